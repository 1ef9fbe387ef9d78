"""Everybody of both arms with the three dates of the programme, and the outcomes that strategies are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import Floats
from clinops.analyse.outcomes.rows import EventRows, event_rows
from clinops.define.adjustment import Adjustment
from clinops.define.measures import Measure
from clinops.define.uptake import UptakePlan
from clinops.errors import DataError, DefinitionError, unknown

if TYPE_CHECKING:
    from clinops.stats.strategies import Strategies

FOLLOWED = ("cost", "count", "time to", "any")
"""Kinds of outcome that can be followed under a strategy: amounts by segment, or the day of a first event."""


@dataclass(frozen=True)
class People:
    """Both arms, n entries, days from the index date (NaN: no such date within follow-up).

    Attributes
    ----------
    study : the arms, their adjustment and follow-up. plan : what is asked for.
    offer, activation, engagement : (n,) days. engages : whether the programme names engagement at all.
    """

    study: Any
    plan: UptakePlan
    offer: Floats
    activation: Floats
    engagement: Floats
    engages: bool

    def __len__(self) -> int:
        return len(self.offer)

    @property
    def offered(self) -> NDArray[np.bool_]:
        """(n,) the arm that was offered the programme."""
        found: NDArray[np.bool_] = self.study.data.exposed
        return found

    @property
    def activated(self) -> NDArray[np.bool_]:
        """(n,) who activated at any time within follow-up."""
        return np.isfinite(self.activation)

    @property
    def died(self) -> NDArray[np.bool_]:
        """(n,) whose follow-up ends with death; a death after its end is none here."""
        data = self.study.data
        return np.asarray(data.outcomes["death_day"].to_numpy(dtype=float) <= data.end_day)

    @property
    def person(self) -> NDArray[np.int64]:
        """(n,) person ids: who entered twice is one cluster."""
        found: NDArray[np.int64] = self.study.data.person
        return found

    @cached_property
    def cluster(self) -> NDArray[np.int64]:
        """(n,) ids of the unit of assignment, as the protocol names it: the person, the care site, the clinician."""
        from clinops.analyse.adjust import adjust

        p = self.study.protocol
        found: NDArray[np.int64] = adjust(self.study.design, (), Adjustment("none"), cluster=p.cluster).cluster
        return found

    @property
    def names(self) -> tuple[str, str]:
        """Names of both arms."""
        return self.study.protocol.exposed.name, self.study.protocol.comparator.name

    @property
    def asked(self) -> tuple[str, ...]:
        """The effects that are asked for."""
        return self.plan.asked(self.study.protocol.assignment)

    @cached_property
    def X(self) -> Floats:
        """(n, p) covariates of day 0, as the propensity model sees them; no column without variation."""
        from clinops.analyse.design import model_design

        return model_design(self.study.design, self.study.protocol.covariates).matrix

    def recent(self, at: Sequence[int]) -> Floats:
        """(n, K, q) visits and costs of the days before each of K days, as log(1 + x), scaled; q of them are known."""
        from clinops.build import rows

        study = self.study
        found = rows.recent(study.protocol, study.baseline, at, self.plan.look_back)
        kept = [found.visits if name == "visits" else found.cost for name in self.plan.time_varying]
        logs = [np.sign(v) * np.log1p(np.abs(v)) for v in kept if v is not None]
        scaled = [(v - v.mean()) / v.std() for v in logs if v.std() > 0]
        return np.stack(scaled, axis=2) if scaled else np.zeros((len(self), len(at), 0))

    def unit(self, unit: str) -> str:
        """A unit with the source's currency in the place of the word."""
        return unit.replace("currency", str(self.study.currency))

    @property
    def outcomes(self) -> tuple[Measure, ...]:
        """Every outcome of the protocol that the records give."""
        return tuple(m for m in self.study.protocol.outcomes if self.study.data.has(m))

    def chosen(self, names: Sequence[str]) -> tuple[Measure, ...]:
        """The outcomes named; else the primary and the first time to an event.

        Raises
        ------
        DefinitionError : no such outcome, or one that cannot be followed from segment to segment.
        """
        known = {m.name: m for m in self.outcomes if m.measure in FOLLOWED}
        if names:
            for name in names:
                if name not in known:
                    raise DefinitionError(unknown("outcome that can be followed under a strategy", name, known))
            return tuple(known[name] for name in names)
        primary = [m for m in known.values() if m.role == "primary"]
        timed = [m for m in known.values() if m.measure == "time to" and m not in primary]
        return (*primary, *timed[:1]) or tuple(known.values())[:1]

    def horizon(self, measure: Measure) -> int:
        """The last day on which an outcome counts."""
        from clinops.build.outcomes import overlap

        window = overlap(measure.window, self.study.protocol.follow_up.window)
        last = float(self.study.data.end_day.max(initial=0.0))
        end = last if window is None or window.end is None else min(float(window.end), max(last, 0.0))
        if window is None or (window.start or 0) > 1 or end <= self.plan.grace:
            raise DefinitionError(
                f"{measure.name!r} is watched over: {window or 'no day'}; to be followed under a strategy it must "
                f"begin on day 1 or before and go on beyond the grace day ({self.plan.grace})."
            )
        return int(end)


def watched(measure: Measure, study: Any) -> Measure:
    """The outcome over the days that are really watched: it counts within the follow-up only."""
    from clinops.build.outcomes import overlap

    return replace(measure, window=overlap(measure.window, study.protocol.follow_up.window) or measure.window)


def people(study: Any, plan: UptakePlan) -> People:
    """Read the three dates.

    Raises
    ------
    DefinitionError : the protocol names no programme, or one without activation. DataError : nobody ever activates.
    """
    from clinops.build import rows

    programme = study.protocol.programme
    if programme is None or programme.activation is None:
        raise DefinitionError(
            "The protocol names no activation, so nothing can be said of uptake: give "
            "programme=co.programme(offer, activation=co.events(...))."
        )
    dates = rows.programme_dates(study.protocol, study.baseline)
    offer, activation, engagement = (
        dates[f"{stage}_day"].to_numpy(dtype=float) for stage in ("offer", "activation", "engagement")
    )
    if not np.isfinite(activation).any():
        raise DataError(
            f"Nobody of either arm has {programme.activation.label!r} within follow-up, so there is no uptake to look "
            "at. Are its codes those of these records?"
        )
    return People(study, plan, offer, activation, engagement, programme.engagement is not None)


@dataclass(frozen=True)
class Course:
    """One outcome as strategies follow it: end of follow-up, why, and amounts by segment where it has any.

    `exit`, `cause` : (n,). `events` : the rows behind a time to an event; None for an amount.
    """

    measure: Measure
    exit: Floats
    cause: NDArray[np.int64]
    horizon: int
    events: EventRows | None

    def amounts(self, people: People, cuts: Sequence[int]) -> Floats:
        """(n, K) what falls into each segment."""
        from clinops.build import rows

        study = people.study
        return rows.by_segment(study.protocol, study.baseline, self.measure, cuts)


def course(people: People, measure: Measure) -> Course:
    """Follow one outcome: to its first event where it is a time to an event, else to the end of follow-up.

    Raises
    ------
    DefinitionError : see `People.horizon`.
    """
    horizon, data = people.horizon(measure), people.study.data
    if measure.measure in ("time to", "any"):
        rows = event_rows(people.study, measure.name)
        return Course(measure, rows.exit, rows.cause, horizon, rows)
    return Course(measure, data.end_day, np.where(people.died, 2, 0).astype(np.int64), horizon, None)


def followed(people: People, one: Course, assigned: NDArray[np.bool_], base: Floats | None) -> Strategies:
    """Both strategies on one outcome, with covariates of day 0 and of the days before each segment."""
    from clinops.stats.strategies import segment_cuts, strategies

    plan = people.plan
    start = people.activation
    cuts = set(segment_cuts(np.where(start < one.exit, start, np.nan), plan.grace, one.horizon))
    if plan.last is not None:
        cuts |= {plan.grace - plan.last}
    grid = tuple(sorted(cuts))
    return strategies(
        one.exit, one.cause, start, grace=plan.grace, horizon=one.horizon, X=people.X,
        moving=people.recent(grid[:-1]), cuts=grid, last=plan.last, assigned=assigned, base=base,
        truncate=plan.truncate,
    )  # fmt: skip
