"""What is asked of a programme that people take up: which effects, by which day, and what predicts taking it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, choice, whole
from clinops.errors import DefinitionError

EFFECTS = (
    "intention to treat", "complier", "treated", "landmark", "per-protocol", "clone-censor", "as treated",
)  # fmt: skip
AS_RANDOM = ("random", "as if random")
"""Assignments under which arms are compared by the offer as they are."""

TIME_VARYING = ("visits", "costs")
POPULATIONS = ("everyone", "offered")


@dataclass(frozen=True)
class UptakePlan(Definition):
    """How offer, activation and engagement are looked at; offer and activation stay two dates throughout.

    Attributes
    ----------
    effects : which of `EFFECTS`; empty: what suits the assignment (see `asked`).
    grace : last day from the index date on which to activate counts as in time.
    landmark : day at which persons still followed are classified.
    last : days at the end of the grace period in which those who have not activated are taken to do so as others
        do; None is the whole of it.
    population : who stands under the strategies of clone-censor-weight: everyone in both arms, or the offered.
    look_back : days of visits and costs before each segment that the censoring models see.
    time_varying : "visits", "costs", both or none.
    truncate : stabilised weights beyond this quantile are set to it; None leaves them.
    adjust_compliers : the effect in compliers has the covariates in both stages; else it is adjusted as the effect of
        the offer is.
    """

    kind: ClassVar[str] = "uptake plan"
    made: ClassVar[str] = "co.uptake_plan(...)"
    effects: tuple[str, ...] = ()
    grace: int = 30
    landmark: int = 30
    last: int | None = None
    population: str = "everyone"
    look_back: int = 30
    time_varying: tuple[str, ...] = TIME_VARYING
    truncate: float | None = 0.99
    adjust_compliers: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for effect in self.effects:
            choice("effect of uptake", effect, EFFECTS)
        for name in self.time_varying:
            choice("time-varying covariate", name, TIME_VARYING)
        choice("population of the strategies", self.population, POPULATIONS)
        whole("the grace day", self.grace, 1, 3650)
        whole("the landmark", self.landmark, 1, 3650)
        whole("the days of look-back", self.look_back, 1, 3650)
        if self.last is not None:
            whole("the last days of the grace period", self.last, 1, self.grace)
        if self.truncate is not None and not 0.5 < self.truncate < 1:
            raise DefinitionError(f"truncate is {self.truncate:g}; give a quantile between 0.5 and 1, such as 0.99.")

    def asked(self, assignment: str) -> tuple[str, ...]:
        """The effects that are asked for: by the offer where it was (as if) random, else in the treated."""
        if self.effects:
            return self.effects
        first = ("intention to treat", "complier") if assignment in AS_RANDOM else ("treated",)
        return (*first, "landmark", "per-protocol", "clone-censor")


def uptake_plan(
    effects: tuple[str, ...] = (), *, grace: int = 30, landmark: int = 30, last: int | None = None,
    population: str = "everyone", look_back: int = 30, time_varying: tuple[str, ...] = TIME_VARYING,
    truncate: float | None = 0.99, adjust_compliers: bool = False,
) -> UptakePlan:  # fmt: skip
    """How a programme's uptake is analysed: effects, grace day, landmark, and what the censoring models see."""
    from clinops.define.fields import several

    return UptakePlan(
        several(effects, "effects of the plan"), grace, landmark, last, population, look_back,
        several(time_varying, "time_varying of the plan"), truncate, adjust_compliers,
    )  # fmt: skip
