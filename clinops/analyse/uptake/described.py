"""What is described and never called an effect: the three dates, who gets how far, and the engaged."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.uptake.offers import UNITS
from clinops.analyse.uptake.people import People, watched

if TYPE_CHECKING:
    from clinops.stats.competing_risks import CumulativeIncidence

Row = dict[str, Any]
STEPS = (("Offer", "Activation"), ("Activation", "Engagement"), ("Offer", "Engagement"))
MARKS = (7, 14, 30, 90)
UNKNOWN = "not recorded"


def days_of(people: People, stage: str) -> np.ndarray:
    """(n,) days of a stage by its name."""
    found: np.ndarray = getattr(people, stage.lower())
    return found


def timing_rows(people: People) -> list[Row]:
    """Days from one date to the next among those of the offered arm who have both, in that order."""
    rows = []
    for start, end in STEPS:
        if end == "Engagement" and not people.engages:
            continue
        one, two = days_of(people, start), days_of(people, end)
        whole = people.offered & np.isfinite(one)
        both = whole & np.isfinite(two) & (two >= one)
        gap = two[both] - one[both]
        quartiles = np.quantile(gap, [0.25, 0.5, 0.75]) if both.any() else np.full(3, np.nan)
        rows.append({
            "step": f"{start} to {end.lower()}", "n": int(whole.sum()), "reached": int(both.sum()),
            "q1": quartiles[0], "median": quartiles[1], "q3": quartiles[2],
            "longest": float(np.quantile(gap, 0.95)) if both.any() else np.nan,
        })  # fmt: skip
    return rows


def reached(people: People) -> dict[str, CumulativeIncidence]:
    """Share of the offered arm that has activated, and engaged, by each day; death competes, the end censors."""
    from clinops.stats.competing_risks import aalen_johansen

    end, made = people.study.data.end_day, {}
    for stage in ("Activation", *(("Engagement",) if people.engages else ())):
        day = days_of(people, stage)
        exit = np.where(np.isfinite(day), day, end)
        cause = np.where(np.isfinite(day), 1, np.where(people.died, 2, 0))
        at = people.offered
        # Day 0 itself has no time at risk, so the clock starts half a day before it.
        made[stage] = aalen_johansen(exit[at] + 0.5, cause[at], causes=(1, 2))
    return made


def out_of_order(people: People) -> list[tuple[str, str, int, int]]:
    """How many have a later date before an earlier one: (arm, what, how many, of those with the dates)."""
    found = []
    for arm, of in zip(people.names, (people.offered, ~people.offered), strict=True):
        for start, end in STEPS[:2]:
            one, two = days_of(people, start), days_of(people, end)
            both = of & np.isfinite(one) & np.isfinite(two)
            found.append((arm, f"{end} before the {start.lower()}", int((both & (two < one)).sum()), int(both.sum())))
        taken = of & people.activated
        alone = taken & ~np.isfinite(people.offer)
        found.append((arm, "Activation without an offer on record", int(alone.sum()), int(taken.sum())))
    return found


def equity_rows(people: People, bands: tuple[int, ...]) -> list[Row]:
    """The funnel by sex, age group and race: eligible, offered, activated, engaged, each of the step before."""
    from clinops.build import rows
    from clinops.define.measures import age_at_index, race, sex

    measures = (sex(), age_at_index(), race())
    known = rows.traits(people.study.baseline.entries, measures)
    made: list[Row] = []
    for measure, head in zip(measures, ("Sex", "Age", "Race"), strict=True):
        values = known[measure.id]
        labels = _bands(values.to_numpy(dtype=float), bands) if head == "Age" else values.fillna(UNKNOWN).to_numpy()
        order = list(dict.fromkeys(sorted(labels, key=_place))) if head == "Age" else sorted(set(labels))
        made += [_level(people, head, str(level), labels == level) for level in order]
    return made


def _level(people: People, head: str, level: str, of: np.ndarray) -> Row:
    offered = of & people.offered
    activated = offered & people.activated
    engaged = activated & np.isfinite(people.engagement)
    return {
        "by": head, "level": level, "eligible": int(of.sum()), "offered": int(offered.sum()),
        "activated": int(activated.sum()), "engaged": int(engaged.sum()),
    }  # fmt: skip


def _bands(age: np.ndarray, bands: tuple[int, ...]) -> np.ndarray:
    if not bands:
        return np.where(np.isnan(age), UNKNOWN, "every age").astype(object)
    names = [f"below {bands[0]}", *(f"{low} to {high - 1}" for low, high in itertools.pairwise(bands)),
             f"{bands[-1]} and over"]  # fmt: skip
    place = np.searchsorted(np.asarray(bands, dtype=float), np.nan_to_num(age, nan=-1), side="right")
    return np.where(np.isnan(age), UNKNOWN, np.array(names, dtype=object)[place])


def _place(label: str) -> tuple[int, int]:
    """Where a band of ages stands: "below" first, then by its lowest age, the unknown last."""
    if label == UNKNOWN:
        return 2, 0
    return (0, 0) if label.startswith("below") else (1, int("".join(c for c in label.split()[0] if c.isdigit()) or 0))


@dataclass(frozen=True)
class Contrast:
    """One contrast of people who chose differently: a head, who is in it, and who chose."""

    head: str
    chose: str
    did_not: str
    within: np.ndarray
    choice: np.ndarray


def contrasts(people: People) -> list[Contrast]:
    """Engaged or not among those who were offered; activated or not from day 0 where the plan asks for it."""
    made = []
    engaged = np.isfinite(people.engagement)
    if people.engages:
        made.append(Contrast(f"Among {people.names[0]}", "Engaged", "Did not engage", people.offered, engaged))
    if "as treated" in people.asked:
        everyone = np.ones(len(people), dtype=bool)
        head = "Everybody, days before activation counted as activated"
        made.append(Contrast(head, "Activated", "Did not activate", everyone, people.activated))
    return made


def chosen_rows(people: People) -> list[Row]:
    """Means of those who chose and of those who did not, and how far they lie apart; no P value."""
    from clinops.stats.linear import linear

    data, rows = people.study.data, []
    for one in contrasts(people):
        for measure in people.outcomes:
            unit, per = UNITS[measure.measure]
            y = per * data.column(measure)
            at = one.within & np.isfinite(y)
            sides = [at & one.choice, at & ~one.choice]
            counts = [int(side.sum()) for side in sides]
            means = [float(y[side].mean()) if side.any() else np.nan for side in sides]
            low = high = np.nan
            if min(counts) > 1:
                fit = linear(one.choice[at].astype(float)[:, None], y[at])
                low, high = float(fit.conf_low[0]), float(fit.conf_high[0])
            rows.append({
                "analysis": "not causal", "exposed": one.chose, "comparator": one.did_not, "measure": measure.name,
                "role": measure.role, "category": measure.category, "subgroup": one.head,
                "period": str(watched(measure, people.study).window),
                "estimand": "none: people who chose differently, described", "method": "as they are",
                "unit": people.unit(unit), "scale": "mean difference", "n_exposed": counts[0],
                "n_comparator": counts[1], "value_exposed": means[0], "value_comparator": means[1],
                "estimate": means[0] - means[1], "conf_low": low, "conf_high": high, "conf_level": 0.95,
                "note": "not estimable" if not min(counts) else "a description, not an effect",
            })  # fmt: skip
    return rows
