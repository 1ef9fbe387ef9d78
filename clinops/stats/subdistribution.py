"""Risk sets of a subdistribution: those with a competing event stay, weighted by the chance of still being followed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clinops.errors import DataError
from clinops.stats.risk_sets import Bools, Floats, Ints, RiskSets, Spells, ratio, risk_sets

CENSORING_RULES = ("crr", "finegray")


@dataclass(frozen=True)
class SubdistributionSets(RiskSets):
    """Risk sets at the times of one cause, in which rows with a competing event stay to the end.

    stays : (n,) rows with a competing event. own : (n,) chance of being under observation at the row's end, weight
    (m,) the same at each moment: after its end a row counts weight / own.
    """

    stays: Bools = field(kw_only=True)
    own: Floats = field(kw_only=True)
    weight: Floats = field(kw_only=True)

    def at_risk(self, values: Floats) -> Floats:
        """Sum `values` (n,) or (n, p) over those at risk at each moment, those who stay by their weight."""
        columns = values[:, None] if values.ndim == 1 else values
        since, own = self.last[self.stays], self.own[self.stays]
        total = np.zeros((self.m, columns.shape[1]))
        for column in range(columns.shape[1]):
            joined = np.bincount(since, weights=columns[self.stays, column] / own, minlength=self.m + 1)
            total[:, column] = self.weight * np.cumsum(joined[: self.m])
        return super().at_risk(values) + total.reshape(self.m, *values.shape[1:])

    def along(self, increments: Floats) -> Floats:
        """Sum `increments` (m,) or (m, p) over the moments at which each row is at risk, by its weight there."""
        total = super().along(increments)
        scale = self.weight if increments.ndim == 1 else self.weight[:, None]
        later = np.cumsum((increments * scale)[::-1], axis=0)[::-1]
        later = np.concatenate([later, np.zeros((1, *increments.shape[1:]))])
        own = self.own[self.stays] if increments.ndim == 1 else self.own[self.stays, None]
        total[self.stays] += later[self.last[self.stays]] / own
        return total

    def maximum(self, values: Floats) -> Floats:
        """Return the largest of `values` (n,) among those at risk at each moment, -inf if there is nobody."""
        last = np.where(self.stays, self.m, self.last)
        return RiskSets(self.stratum, self.time, self.moment_of, self.first, last).maximum(values)


@dataclass(frozen=True)
class Observed:
    """The chance of being under observation just before t: G of censoring, by that of late entry if anyone enters late.

    time : (k,) all times at which a row ends or begins. chance : (k,) just before each. hazard : (k,) of censoring at
    each. n_risk : (k,) weighted rows at risk of being censored there.
    """

    time: Floats
    chance: Floats
    hazard: Floats
    n_risk: Floats

    def before(self, times: Floats) -> Floats:
        """Chance just before given times, each one of `time`."""
        return np.asarray(self.chance[np.searchsorted(self.time, times, side="left")])


def observed(rows: Spells, codes: Ints, rule: str) -> Observed:
    """Estimate it by Kaplan-Meier (weighted), and for late entry by Kaplan-Meier in reversed time.

    rule : at equal times "crr" keeps those with an event at risk of being censored, "finegray" does not.

    Raises
    ------
    DataError : with late entry, nobody is at risk for a while.
    """
    clock = np.unique(np.concatenate([rows.exit, rows.entry]))
    leave, enter = np.searchsorted(clock, rows.exit), np.searchsorted(clock, rows.entry)

    def total(at: Ints, chosen: Bools) -> Floats:
        return np.bincount(at[chosen], weights=rows.weight[chosen], minlength=len(clock)).astype(np.float64)

    everyone = np.ones(rows.n, dtype=bool)
    gone, come = total(leave, everyone), total(enter, everyone)
    until = np.cumsum(gone[::-1])[::-1]
    n_risk = until - np.cumsum(come[::-1])[::-1]  # entry < t <= exit
    n_risk = n_risk - (total(leave, codes > 0) if rule == "finegray" else 0.0)
    hazard = np.minimum(ratio(total(leave, codes == 0), n_risk, n_risk > 0), 1.0)
    chance = np.concatenate([[1.0], np.cumprod(1 - hazard)])[:-1]
    inside = n_risk - gone + come if rule == "crr" else n_risk + total(leave, codes > 0) - gone + come
    joining = ratio(come, inside, inside > 0)  # of those at risk just after t, the share that entered at t
    first = rows.entry.min(initial=np.inf)
    joining[clock <= first] = 0.0
    if (joining >= 1 - 1e-12).any():
        when = clock[joining >= 1 - 1e-12][0]
        raise DataError(
            f"nobody is at risk just before {when:g}, where follow-up begins again: the weights for late entry are "
            "not defined across that gap. Start the analysis after it, or end it before."
        )
    entered = np.cumprod((1 - joining)[::-1])[::-1]  # over entries at t or later
    return Observed(clock, chance * entered, hazard, n_risk)


def subdistribution_sets(rows: Spells, codes: Ints, of: int, chance: Observed) -> SubdistributionSets:
    """Index the risk sets of cause `of`; `rows` has as events those of that cause, `codes` (n,) all causes."""
    plain = risk_sets(rows)
    return SubdistributionSets(
        plain.stratum,
        plain.time,
        plain.moment_of,
        plain.first,
        plain.last,
        stays=(codes > 0) & (codes != of),
        own=chance.before(rows.exit),
        weight=chance.before(plain.time),
    )
