"""Windows: days from the index date, both ends included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, whole
from clinops.errors import DefinitionError


@dataclass(frozen=True)
class Window(Definition):
    """Days from the index date (day 0), both ends included; None is unbounded on that side."""

    kind: ClassVar[str] = "window"
    made: ClassVar[str] = "a window, such as co.days(1, 365) or co.before(365)"
    start: int | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None and self.end is not None and self.start > self.end:
            raise DefinitionError(
                f"A window from day {self.start} to day {self.end} is empty; write the earlier day first."
            )

    @property
    def length(self) -> int | None:
        """Number of days in the window; None where a side is unbounded."""
        return None if self.start is None or self.end is None else self.end - self.start + 1

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return "any time"
        if self.start is None:
            return "any time before index" if self.end == -1 else f"any time up to day {self.end}"
        if self.end is None:
            return f"day {self.start} onwards"
        return f"day {self.start}" if self.start == self.end else f"days {self.start} to {self.end}"


def days(start: int | None, end: int | None) -> Window:
    """Days `start` to `end` from the index date, both included; None is unbounded."""
    return Window(start, end)


def before(length: int | None = None) -> Window:
    """The `length` days that end on day -1 (all of the past when None): day 0 is never baseline."""
    if length is not None:
        whole("the number of days before", length, low=1)
    return Window(None if length is None else -length, -1)


def after(length: int | None = None) -> Window:
    """The `length` days that begin on day 1 (all of the future when None): follow-up starts on day 1."""
    if length is not None:
        whole("the number of days after", length, low=1)
    return Window(1, length)
