"""Effects of following a strategy: per protocol, and by cloning, both with weights for those who deviate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.effects import LEVEL
from clinops.analyse.uptake.people import Course, People, course, followed, watched
from clinops.define.measures import Measure

if TYPE_CHECKING:
    from clinops.stats.strategies import Strategies
    from clinops.stats.strategy_values import StrategyMeans, StrategyRisks

Row = dict[str, Any]
PER_PROTOCOL, CLONES = "per-protocol", "clone-censor"
ESTIMAND = {
    PER_PROTOCOL: "average effect of the offer had everybody kept to it",
    CLONES: "average effect of activating within the grace period, against not activating",
}


@dataclass(frozen=True)
class Compared:
    """One outcome under both strategies.

    Attributes
    ----------
    analysis : `PER_PROTOCOL` or `CLONES`. course : the outcome. of : who follows what. names : of both strategies.
    found : risks or means. unit, per : of the values.
    """

    analysis: str
    course: Course
    of: Strategies
    names: tuple[str, str]
    found: StrategyRisks | StrategyMeans
    unit: str
    per: float

    @property
    def is_risk(self) -> bool:
        """Whether the outcome is a risk rather than an amount."""
        return hasattr(self.found, "risk")

    @property
    def values(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values of both strategies at the horizon, with low and high ends; in `unit`."""
        one = self.found
        made = (one.risk[:, -1], one.low[:, -1], one.high[:, -1]) if self.is_risk else (one.mean, one.low, one.high)  # type: ignore[union-attr]
        return tuple(self.per * np.asarray(v) for v in made)  # type: ignore[return-value]


def named(people: People, analysis: str) -> tuple[str, str]:
    """What the strategies are called."""
    grace = people.plan.grace
    if analysis == PER_PROTOCOL:
        return f"{people.names[0]}, activated by day {grace}", f"{people.names[1]}, never activated"
    return f"Activate by day {grace}", "Do not activate"


def compare(people: People, measure: Measure, analysis: str, replicates: int) -> Compared:
    """Compare one outcome under both strategies; the bootstrap draws units of assignment and fits all models again."""
    from clinops.stats.strategy_values import strategy_means, strategy_risks

    one, offered = course(people, measure), people.offered
    if analysis == PER_PROTOCOL:
        assigned, base = np.stack([offered, ~offered]), people.study.adjusted.weights
    else:
        everyone = np.ones(len(people), dtype=bool) if people.plan.population == "everyone" else offered
        assigned, base = np.stack([everyone, everyone]), None
    of = followed(people, one, assigned, base)
    unique = len(np.unique(people.cluster)) == len(people)
    options: dict[str, Any] = {
        "seed": people.study.protocol.seed, "replicates": replicates, "conf_level": LEVEL,
        "cluster": None if unique else people.cluster,
    }  # fmt: skip
    found: StrategyRisks | StrategyMeans
    if one.events is not None:
        found, unit, per = strategy_risks(of, **options), "per 1,000 persons", 1000.0
    else:
        found = strategy_means(of, one.amounts(people, [int(day) for day in of.cuts]), **options)
        unit, per = ("currency per person", 1.0) if measure.measure == "cost" else ("events per person", 1.0)
    return Compared(analysis, one, of, named(people, analysis), found, people.unit(unit), per)


def compared_rows(people: People, one: Compared) -> list[Row]:
    """The difference and the ratio at the horizon, as rows of the long schema."""
    measure = watched(one.course.measure, people.study)
    values, _, _ = one.values
    persons = [int(one.of.assigned[s].sum()) for s in (0, 1)]
    base: Row = {
        "analysis": one.analysis, "exposed": one.names[0], "comparator": one.names[1], "measure": measure.name,
        "role": measure.role, "category": measure.category, "period": f"days 1 to {one.course.horizon}",
        "estimand": ESTIMAND[one.analysis], "method": "inverse probability of deviation",
        "adjustment": adjusted_for(people, one), "n_exposed": persons[0], "n_comparator": persons[1],
        "value_exposed": float(values[0]), "value_comparator": float(values[1]), "conf_level": LEVEL,
        "se_kind": one.found.se_kind,
    }  # fmt: skip
    if one.is_risk:
        base |= {"events_exposed": one.found.events[0], "events_comparator": one.found.events[1]}  # type: ignore[union-attr]
    what = "risk" if one.is_risk else "mean"
    rows = []
    for scale, numbers, per in (("difference", one.found.difference, one.per), ("ratio", one.found.ratio, 1.0)):
        estimate, error, low, high = numbers
        note = one.found.note or ("not estimable" if np.isnan(estimate) else None)
        times = per if scale == "difference" else 1.0
        rows.append(base | {
            "scale": f"{what} {scale}", "unit": one.unit if scale == "difference" else "ratio",
            "estimate": estimate * times, "std_error": error * times, "conf_low": low * times,
            "conf_high": high * times, "note": note,
        })  # fmt: skip
    return rows


def adjusted_for(people: People, one: Compared) -> str:
    """What the weights see, in words."""
    fits = [model.fit for model in one.of.models if model.fit is not None]
    if not fits:
        return "nobody deviates: no weights"
    recent = " and ".join(people.plan.time_varying)
    moving = f" and {recent} of the {people.plan.look_back} days before each segment" if recent else ""
    start = f"; {people.study.adjusted.label} of day 0" if one.analysis == PER_PROTOCOL else ""
    return f"{people.X.shape[1]} columns of covariates of day 0{moving}{start}"


def weight_rows(one: Compared) -> list[Row]:
    """What the stabilised weights of both strategies are like, among those who never deviate."""
    made = []
    for s, name in enumerate(one.names):
        model, of = one.of.models[s], one.of
        kept = of.assigned[s] & ~of.deviates[s]
        weights, ratio = (array[s, kept, -1] for array in of.own)
        total = weights * of.base[kept]
        size = float(total.sum() ** 2 / (total**2).sum()) if kept.any() else 0.0
        low, high = of.bounds[s, -1]
        cut = int(((ratio <= low) | (ratio >= high)).sum()) if np.isfinite(high) and model.fit is not None else 0
        made.append({
            "analysis": one.analysis, "strategy": name, "persons": int(of.assigned[s].sum()),
            "deviated": int((of.assigned[s] & of.deviates[s]).sum()), "kept": int(kept.sum()),
            "mean": float(ratio.mean()) if kept.any() else np.nan, "min": float(ratio.min(initial=np.inf)),
            "max": float(ratio.max(initial=-np.inf)), "cut": cut, "effective": size,
            "note": model.note,
        })  # fmt: skip
    for row in made:
        if not row["kept"]:
            row |= {"min": np.nan, "max": np.nan}
    return made
