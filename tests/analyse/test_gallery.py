"""The gallery: exhibits made once; by hand protected one by one, in a report as one."""

from __future__ import annotations

import pandas as pd
import pytest

from clinops.analyse.exhibits.gallery import RUN_FOLDER, SYNTHETIC, Gallery
from clinops.results.result import Column, Result

COLUMNS = (Column("label", "Group"), Column("n", "Persons", "count", "n"))


def table(name: str, **counts: int) -> Result:
    return Result(name, name, pd.DataFrame({"label": list(counts), "n": list(counts.values())}), COLUMNS)


class Room:
    """Two exhibits that share a count; the first hides it to keep a small one from being solved for."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.gallery = Gallery({"one": "Table 1"}, synthetic=True, min_cell=11, everything=self.everything)

    def everything(self) -> None:
        assert self.one and self.two

    def _make(self, name: str, **counts: int) -> Result:
        self.made.append(name)
        return table(name, **counts)

    @property
    def one(self) -> Result:
        return self.gallery.show("one", lambda: self._make("one", few=4, some=30, many=500, total=534))

    @property
    def two(self) -> Result:
        return self.gallery.show("two", lambda: self._make("two", some=30, others=700))


def hidden(result: Result) -> set[str]:
    return {str(result.frame["label"].iloc[row]) for row, column, _ in result.hidden if column == "n"}


def test_made_once_numbered_and_stamped() -> None:
    room = Room()
    assert room.one is room.one and room.made == ["one"]
    assert (room.one.number, room.one.banner, room.two.number) == ("Table 1", SYNTHETIC, None)


def test_in_a_report_what_one_exhibit_hides_no_other_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_FOLDER, raising=False)
    alone = Room()
    assert hidden(alone.one) == {"few", "some"} and hidden(alone.two) == set()
    monkeypatch.setenv(RUN_FOLDER, "somewhere")
    together = Room()
    assert hidden(together.two) == {"some"}
    assert hidden(together.one) == {"few", "some"} and together.made == ["one", "two"]
    assert together.one.banner == SYNTHETIC
