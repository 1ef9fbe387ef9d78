"""The verdict in words, the threats to it, and the smallest effect that could have been seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import DAYS_A_YEAR, Dataset
from clinops.define.measures import RISKS, Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Check

if TYPE_CHECKING:
    import pandas as pd

BENEFIT, HARM, UNCERTAIN, NEITHER, UNREADABLE = (
    "benefit", "harm", "too uncertain", "no worthwhile difference", "not interpretable",
)  # fmt: skip
DECISIVE = ("check_balance", "check_overlap", "check_follow_up", "check_negative_controls")
"""Checks whose failure makes an estimate unreadable, whatever its interval."""


@dataclass(frozen=True)
class Verdict:
    """The answer to the protocol's question: a label and the sentence that says why."""

    label: str
    sentence: str


def verdict(row: pd.Series | None, measure: Measure | None, checks: Iterable[Check]) -> Verdict:
    """Judge the primary outcome: its interval against no effect and the smallest worthwhile one.

    A failed decisive check comes first: an estimate that cannot be read is neither benefit nor harm.
    """
    failed = [c for c in checks if c.name in DECISIVE and c.passed is False]
    if failed:
        listed = "; ".join(c.sentence.rstrip(".") for c in failed)
        return Verdict(UNREADABLE, f"{len(failed)} check(s) failed, so the estimate cannot be read: {listed}.")
    if measure is None or row is None:
        return Verdict(UNREADABLE, "The protocol names no primary outcome that these records can give.")
    estimate, low, high = (float(row[c]) if row[c] == row[c] else np.nan for c in ("estimate", "conf_low", "conf_high"))
    if not np.isfinite([estimate, low, high]).all():
        return Verdict(UNREADABLE, f"The effect on {measure.name} cannot be estimated: {row['note']}.")
    unit = str(row["unit"])
    return _judged(measure, words.interval(estimate, low, high, unit), low, high, worthwhile_in(measure, unit))


def worthwhile_in(measure: Measure, unit: str) -> float | None:
    """Return the smallest worthwhile difference in the unit of an estimate.

    A protocol states it per person over the window; a risk is estimated per 1,000 persons and a rate per 1,000
    person-years, so that of half a year is twice as large a rate. None where the protocol states none, or where a
    window without an end gives no years to divide by.
    """
    if measure.worthwhile is None or not unit.startswith("per 1,000"):
        return measure.worthwhile
    if not unit.endswith("person-years"):
        return 1000 * measure.worthwhile
    days = measure.window.length if measure.window else None
    return None if days is None else 1000 * measure.worthwhile * DAYS_A_YEAR / days


def _judged(measure: Measure, interval: str, low: float, high: float, worthwhile: float | None) -> Verdict:
    good, bad = (high < 0, low > 0) if measure.better != "higher" else (low > 0, high < 0)
    inside = worthwhile is not None and max(abs(low), abs(high)) < worthwhile
    if inside:
        size = f"the smallest worthwhile difference, {words.number(float(worthwhile or 0))}"
        return Verdict(NEITHER, f"{measure.name}: difference {interval}; the whole interval is smaller than {size}.")
    if measure.better is None and (good or bad):
        return Verdict(
            UNCERTAIN, f"{measure.name}: difference {interval}; the protocol does not say which direction is better."
        )
    if good or bad:
        label, side = (BENEFIT, "better") if good else (HARM, "worse")
        small = worthwhile is not None and min(abs(low), abs(high)) < worthwhile
        size = f", but it reaches below the smallest worthwhile one ({words.number(worthwhile or 0)})" if small else ""
        return Verdict(label, f"{measure.name}: difference {interval}; the whole interval is on the {side} side{size}.")
    return Verdict(
        UNCERTAIN, f"{measure.name}: difference {interval}; both a benefit and a harm are compatible with the data."
    )


def detectable(data: Dataset, measure: Measure | None, sizes: dict[str, float]) -> tuple[float, str] | None:
    """Return the smallest difference that these persons could have shown (power 80%), in the measure's unit.

    From the effective sample sizes after adjustment and the outcome's spread (its risk, for an event)
    in the comparator; the exposed's outcomes are not used. For a risk, the change in the better direction (a
    fall where none is named), or the other one where even the largest would be missed. NaN where nothing could
    be seen, None without a comparator's value to reckon from.
    """
    from clinops.stats.power import detectable_difference_means, detectable_difference_proportions

    if measure is None or not data.has(measure):
        return None
    known = ~data.exposed & np.isfinite(data.column(measure))
    comparator, n = data.column(measure)[known], (sizes["exposed"], sizes["comparator"])
    if not len(comparator):
        return None
    if measure.measure in RISKS:
        fall, rise = detectable_difference_proportions(float(comparator.mean()), *n)
        wanted, other = (rise, -fall) if measure.better == "higher" else (-fall, rise)
        return 1000 * (other if np.isnan(wanted) else wanted), "per 1,000 persons"
    spread = float(comparator.std(ddof=1)) if len(comparator) > 1 else float("nan")
    found = detectable_difference_means(spread, *n)
    if measure.measure == "count":
        years = float(data.days(measure)[known].mean()) / DAYS_A_YEAR
        return (1000 * found / years, "per 1,000 person-years") if years > 0 else None
    return found, "currency per person" if measure.measure == "cost" else "per person"


def threats(
    protocol: Protocol, source: Any, checks: Iterable[Check], e_value: float | None, share_unmatched: float,
    complete: float, not_possible: Iterable[tuple[str, str]],
) -> tuple[str, ...]:  # fmt: skip
    """The three largest threats to the answer, gravest first."""
    found = [(0, f"{c.title} No: {c.sentence} {c.why}") for c in checks if c.passed is False]
    if drawn := not_drawn(protocol):
        strength = f" A confounder would need risk ratios of {e_value:.2f} with both to explain it." if e_value else ""
        found.append((2, f"{drawn}{strength}"))
    if source.capture == "ehr":
        found.append(
            (1, "The source sees only care given inside it; care elsewhere is neither counted nor paid for here.")
        )
    if share_unmatched > 0.05:
        found.append((2, f"{100 * share_unmatched:.0f}% of the exposed found no match and are not spoken for."))
    if complete < 0.9:
        found.append(
            (3, f"Only {100 * complete:.0f}% were observed for the whole window; censoring is taken as uninformative.")
        )
    if missing := [what for what, _ in not_possible]:
        found.append(
            (4, f"Asked for, but not measurable here: {', '.join(missing[:4])}{' and more' * (len(missing) > 4)}.")
        )
    found.append((5, "One source and one period: another population may respond otherwise."))
    found.append((6, "Codes stand for conditions and events; their accuracy was not validated here."))
    return tuple(text for _, text in sorted(found, key=lambda pair: pair[0])[:3])


def not_drawn(protocol: Protocol | None) -> str:
    """What it means for the answer that nobody drew lots; empty where somebody did. Without a protocol: chosen."""
    if protocol is not None and protocol.assignment == "random":
        return ""
    if protocol is not None and protocol.assignment == "as if random":
        reason = (protocol.assignment_reason or "no reason is given").strip().rstrip(".")
        return (
            f"The offer is defended as if random ({reason}). That is an argument and not a fact: where it does not "
            "hold, what the covariates miss is not adjusted for."
        )
    return "The exposure was chosen, not drawn: what the covariates miss is not adjusted for."
