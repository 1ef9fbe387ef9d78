"""Numbers behind the exhibits: curves, what two groups differ by at a day, times, hazard ratios and tests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.curves.groups import Groups
from clinops.analyse.endless import endless_ratio

if TYPE_CHECKING:
    from clinops.stats.competing_risks import CauseEstimate, CumulativeIncidence
    from clinops.stats.cox import CoxFit
    from clinops.stats.survival import SurvivalCurve

EVENT = 1
Row = dict[str, Any]
Z = 1.959963984540054


class Estimates:
    """Every number about groups of rows, worked out once.

    Differences of risks and of restricted means come from one cause of `aalen_johansen` (its incidence is 1 minus
    Kaplan-Meier), whose comparisons know of clusters that stand in both groups, such as matched sets.

    Parameters
    ----------
    groups : the rows. horizon : to which means run, and the last day of the picture.
    """

    def __init__(self, groups: Groups, horizon: float) -> None:
        self.groups, self.horizon = groups, horizon

    @cached_property
    def curves(self) -> tuple[SurvivalCurve, ...]:
        """Kaplan-Meier of each group, log-log limits."""
        from clinops.stats.survival import kaplan_meier

        every = range(len(self.groups.names))
        return tuple(
            kaplan_meier(event=self.groups.happened(at), conf_type="log-log", **self.groups.of(at)) for at in every
        )

    @cached_property
    def incidences(self) -> tuple[CumulativeIncidence, ...]:
        """The same as incidences, for contrasts."""
        from clinops.stats.competing_risks import aalen_johansen

        every = range(len(self.groups.names))
        return tuple(
            aalen_johansen(cause=self.groups.happened(at).astype(np.int64), causes=(EVENT,), **self.groups.of(at))
            for at in every
        )

    def risk(self, group: int, day: float, scale: str) -> CauseEstimate:
        """Difference or ratio of the risk by a day, a group against the reference."""
        from clinops.stats.competing_risks import compare_incidence

        return compare_incidence(self.incidences[group], self.incidences[0], EVENT, day, scale=scale)

    def unknown(self, group: int, day: float) -> str:
        """Why nothing is known of a group's risk by a day; "" where it is. Day 0 asks for the time from 0 on."""
        curve = self.curves[group]
        begins = float(curve.rows.entry.min())
        if begins > 0 and day <= begins:
            return f"nobody is at risk before {begins:g}"
        return "" if curve.time[-1] >= day or curve.survival[-1] == 0 else "nobody is followed so long"

    def mean_rows(self, group: int) -> list[Row]:
        """Difference and ratio of the mean time free of the event, a group against the reference."""
        from clinops.stats.competing_risks import compare_time_lost

        lost = compare_time_lost(self.incidences[group], self.incidences[0], EVENT, self.horizon)
        means = [self.curves[at].rmst(self.horizon) for at in (group, 0)]
        named = f"mean time free of the event, to {self.horizon:g}"
        why = self.unknown(group, 0.0) or self.unknown(0, 0.0)
        if why:
            return [{"quantity": f"{what} {named}", "note": why} for what in ("Difference in", "Ratio of")]
        difference = {
            "quantity": f"Difference in {named}", "estimate": 0.0 - lost.estimate, "low": 0.0 - lost.conf_high,
            "high": 0.0 - lost.conf_low, "p_value": lost.p_value, "note": lost.note, "format": "number1",
        }  # fmt: skip
        one, other = (mean.estimate for mean in means)
        ratio: Row = {"quantity": f"Ratio of {named}", "format": "ratio", "note": lost.note}
        if np.isfinite(lost.estimate) and min(one, other) > 0:
            # time lost and time free of the event vary together, so their covariance over the groups is the same
            shared = (means[0].std_error ** 2 + means[1].std_error ** 2 - lost.std_error**2) / 2
            variance = (means[0].std_error / one) ** 2 + (means[1].std_error / other) ** 2 - 2 * shared / (one * other)
            ratio |= _from_log(float(np.log(one / other)), float(np.sqrt(max(variance, 0.0))))
        return [difference, ratio]

    @cached_property
    def model(self) -> CoxFit:
        """A Cox model with a column for each group but the reference."""
        from clinops.stats.cox import cox

        groups = self.groups
        columns = (groups.code[:, None] == np.arange(1, len(groups.names))).astype(np.float64)
        robust = groups.weights is not None and bool((groups.weights != np.round(groups.weights)).any())
        return cox(
            columns, groups.exit, groups.event, entry=groups.entry, weights=groups.weights, strata=groups.strata,
            cluster=groups.cluster, robust=robust,
        )  # fmt: skip

    def hazard_row(self, group: int) -> Row:
        """Hazard ratio of a group against the reference."""
        fit, column = self.model, group - 1
        row: Row = {"quantity": "Hazard ratio", "format": "ratio", "note": ""}
        if np.isnan(fit.coef[column]):
            return row | {"note": "no hazard ratio: there are no events while both groups are at risk"}
        if np.isinf(fit.coef[column]):
            answer = endless_ratio(fit, column=column)
            why = f"no finite hazard ratio: no events in one of the two groups while both are at risk; {answer['note']}"
            ends = {"low": answer.get("conf_low"), "high": answer.get("conf_high"), "p_value": answer.get("p_value")}
            return row | ends | {"note": why}
        return row | _from_log(float(fit.coef[column]), float(fit.se[column]))

    def test_rows(self) -> list[Row]:
        """Do the groups share a hazard, and do hazards stay in proportion?"""
        from clinops.stats.logrank import logrank

        groups = self.groups
        test = logrank(
            groups.exit, groups.event, groups.code, entry=groups.entry, strata=groups.strata, weights=groups.weights,
            cluster=groups.cluster,
        )  # fmt: skip
        hazards = self.model.proportional_hazards()
        said = "" if np.isfinite(hazards.p_value[-1]) else "no finite hazard ratio, or events at one time only"
        return [
            {"quantity": "Log-rank test", "estimate": test.statistic, "unit": _chi_squared(test.df),
             "p_value": test.p_value, "note": test.note},
            {"quantity": "Test of proportional hazards", "estimate": float(hazards.statistic[-1]),
             "unit": _chi_squared(int(hazards.df[-1])), "p_value": float(hazards.p_value[-1]), "note": said},
        ]  # fmt: skip


def _chi_squared(df: int) -> str:
    return f"chi-squared, {df} df"


def _from_log(logarithm: float, error: float) -> Row:
    from clinops.stats.normal import two_sided

    low, high = np.exp(logarithm - Z * error), np.exp(logarithm + Z * error)
    p = two_sided(logarithm / error) if error > 0 else float("nan")
    return {"estimate": float(np.exp(logarithm)), "low": float(low), "high": float(high), "p_value": p}
