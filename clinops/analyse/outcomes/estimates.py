"""Estimates of one outcome: risks with death competing, time lost, hazards, tests, and events that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.dataset import DAYS_A_YEAR
from clinops.analyse.endless import endless_ratio
from clinops.analyse.outcomes.rows import EVENT, EventRows

if TYPE_CHECKING:
    from clinops.stats.competing_risks import CumulativeIncidence
    from clinops.stats.recurrent import MeanCurve

Row = dict[str, Any]
LEVEL = 0.95
KNOWN = "weights taken as known"


def incidence(rows: EventRows) -> tuple[CumulativeIncidence, CumulativeIncidence]:
    """Cumulative incidence of every cause in both arms, weighted."""
    from clinops.stats.competing_risks import aalen_johansen

    found = []
    for arm in (True, False):
        at = rows.arm(arm)
        found.append(aalen_johansen(
            rows.exit[at], rows.cause[at], entry=np.full(int(at.sum()), rows.since),
            weights=None if rows.plain else rows.weights[at], causes=rows.causes,
            cluster=None if rows.plain else rows.cluster[at], variance=None if rows.plain else "robust", level=LEVEL,
        ))  # fmt: skip
    return found[0], found[1]


def mean_counts(rows: EventRows) -> tuple[MeanCurve, MeanCurve]:
    """Mean number of events a person in both arms, death ending them (Ghosh and Lin), weighted."""
    from clinops.stats.recurrent import mean_cumulative
    from clinops.stats.recurrent_rows import counting_process

    found = []
    for arm in (True, False):
        at = np.flatnonzero(rows.arm(arm))
        mine = np.isin(rows.event_row, at)
        death = rows.died[at] if rows.death else None
        made = counting_process(
            at, rows.end[at], rows.event_row[mine], rows.event_day[mine], start=np.full(len(at), rows.since),
            death=death, ties="merge",
        )  # fmt: skip
        found.append(mean_cumulative(
            made.exit, made.event, made.person, entry=made.entry, death=made.death if rows.death else None,
            weights=None if rows.plain else rows.weights[at[made.index]],
            cluster=None if rows.plain else rows.cluster[at[made.index]], level=LEVEL,
        ))  # fmt: skip
    return found[0], found[1]


def base(rows: EventRows, cause: int = EVENT, by: float = np.inf, **said: Any) -> Row:
    """What every row says: counts and person-time up to a day, for whom."""
    row: Row = {
        "exposed": rows.names[0], "comparator": rows.names[1], "measure": rows.called(cause),
        "role": rows.role if cause == EVENT else "secondary",
        "estimand": rows.estimand, "adjustment": rows.adjustment, "conf_level": LEVEL,
    }  # fmt: skip
    for arm, name in ((True, "exposed"), (False, "comparator")):
        at = rows.arm(arm)
        had = (rows.cause[at] == cause) & (rows.exit[at] <= by)
        days = np.maximum(np.minimum(rows.exit[at], by) - rows.since, 0)
        row |= {f"n_{name}": int(at.sum()), f"events_{name}": int(had.sum()),
                f"person_days_{name}": float(days.sum())}  # fmt: skip
    return row | said


def risk_rows(rows: EventRows, landmarks: tuple[float, ...]) -> list[Row]:
    """Risks by each landmark with their difference and ratio, and what censoring deaths would have said."""
    from clinops.stats.competing_risks import compare_incidence

    one, zero = incidence(rows)
    made = []
    for cause in rows.causes:
        for day in landmarks:
            value = [_risk(curve, cause, day) for curve in (one, zero)]
            for scale, unit, per in (("difference", "per 1,000 persons", 1000.0), ("ratio", "ratio", 1.0)):
                found = compare_incidence(one, zero, cause, day, scale=scale)
                made.append(base(
                    rows, cause, day, analysis="cumulative incidence", method="Aalen-Johansen", scale=f"risk {scale}",
                    unit=unit, period=f"to day {day:g}", value_exposed=1000 * value[0],
                    value_comparator=1000 * value[1],
                    **_numbers(found, per, _kind(found.se_kind, rows), _lost(rows, (one, zero), day)),
                ))  # fmt: skip
    return made + _wrong(rows, one, zero, landmarks)


def _risk(curve: CumulativeIncidence, cause: int, day: float) -> float:
    return float(curve.at([day]).incidence[0, curve.column(cause)]) if _known(curve, day) else np.nan


def _known(curve: CumulativeIncidence | MeanCurve, day: float) -> bool:
    """Whether somebody was followed to the day, or nobody is left to whom anything could happen."""
    return len(curve.time) > 0 and bool(day <= curve.time[-1] or curve.survival[-1] == 0)


def _wrong(rows: EventRows, one: Any, zero: Any, landmarks: tuple[float, ...]) -> list[Row]:
    """1 - Kaplan-Meier, which counts the dead as still able to have the event; for contrast only."""
    if not rows.death:
        return []
    made = []
    for day in landmarks:
        value = []
        for curve in (one, zero):
            before = np.concatenate([[0.0], curve.one_minus_kaplan_meier(EVENT)])
            risk = float(before[np.searchsorted(curve.time, day, side="right")])
            value.append(1000 * risk if _known(curve, day) else np.nan)
        made.append(base(
            rows, EVENT, day, analysis="cumulative incidence", method="1 - Kaplan-Meier: wrong, for contrast",
            scale="risk difference", unit="per 1,000 persons", period=f"to day {day:g}", value_exposed=value[0],
            value_comparator=value[1], estimate=value[0] - value[1],
            note="deaths are counted as censored, as if the dead could still have the event",
        ))  # fmt: skip
    return made


def time_rows(rows: EventRows) -> list[Row]:
    """Days up to the horizon that are lost to each cause, on average."""
    from clinops.stats.competing_risks import compare_time_lost

    one, zero = incidence(rows)
    made = []
    for cause in rows.causes:
        lost = [curve.time_lost(cause, rows.horizon).estimate for curve in (one, zero)]
        for scale, unit in (("difference", "days per person"), ("ratio", "ratio")):
            found = compare_time_lost(one, zero, cause, rows.horizon, scale=scale)
            made.append(base(
                rows, cause, analysis="time lost", method="restricted mean time lost", scale=f"mean {scale}", unit=unit,
                period=f"to day {rows.horizon:g}", value_exposed=lost[0], value_comparator=lost[1],
                **_numbers(found, 1.0, _kind(found.se_kind, rows), _lost(rows, (one, zero), rows.horizon)),
            ))  # fmt: skip
    return made


def hazard_rows(rows: EventRows) -> list[Row]:
    """Cause-specific hazard ratios and the subdistribution hazard ratio, each the answer to another question."""
    from clinops.stats.fine_gray import cause_specific_cox, fine_gray

    at = rows.arm(True) | rows.arm(False)
    x, exit, cause = rows.exposed[at].astype(float), rows.exit[at] - rows.since, rows.cause[at]
    given: Row = {} if rows.plain else {"weights": rows.weights[at], "cluster": rows.cluster[at]}
    made = []
    for of in rows.causes:
        found = cause_specific_cox(x, exit, cause, of, **given)
        made.append(_ratio_row(rows, of, "cause-specific hazard ratio (Cox)", found))
    if rows.death:
        fit = fine_gray(x[:, None], exit, cause, EVENT, known_weights=not rows.plain, **given)
        made.append(_ratio_row(rows, EVENT, "subdistribution hazard ratio (Fine-Gray)", fit))
    return made


def _ratio_row(rows: EventRows, cause: int, method: str, fit: Any) -> Row:
    from clinops.stats.normal import two_sided

    coef, error = float(fit.coef[0]), float(np.asarray(getattr(fit, "se", np.nan)).ravel()[0])
    low, high = (float(np.ravel(end)[0]) for end in fit.interval(LEVEL))
    finite = bool(np.isfinite(coef))
    if error == 0:  # as where the two persons that there are have it on one day
        error = low = high = np.nan
    p = two_sided(coef / error) if error > 0 else np.nan
    note = _empty(rows) or fit.note.replace("column 0: ", "")
    low, high = float(np.exp(low)), float(np.exp(high))
    if np.isinf(coef) and hasattr(fit, "profile_interval"):  # a Cox model; Fine and Gray's has no such answer
        found = endless_ratio(fit, LEVEL)
        low, high, p = (found.get(name, np.nan) for name in ("conf_low", "conf_high", "p_value"))
        instead = found["note"] if rows.plain else f"{found['note']}; see the weighted log-rank test"
        note = note.replace("use the score test, not the Wald interval", instead)
    return base(
        rows, cause, analysis="hazards", method=method, scale="hazard ratio", unit="ratio",
        period=f"to day {rows.horizon:g}", estimate=float(np.exp(coef)) if finite else np.nan, std_error=error,
        conf_low=low, conf_high=high, p_value=p,
        se_kind=_kind(fit.se_kind, rows),
        note=note or (None if finite and error > 0 else "no standard error from so few persons"),
    )  # fmt: skip


def test_rows(rows: EventRows) -> list[Row]:
    """Whether the arms differ at all: log-rank of each cause, also weighted, and Gray's test of what is seen."""
    from clinops.stats.gray import gray_test
    from clinops.stats.logrank import logrank

    at = rows.arm(True) | rows.arm(False)
    exit, cause, group = rows.exit[at] - rows.since, rows.cause[at], np.where(rows.exposed[at], *rows.names)
    made = []
    for of in rows.causes:
        found = logrank(exit, cause == of, group)
        made.append(_test_row(rows, of, "Log-rank test (cause-specific hazard)", found))
        if not rows.plain:
            found = logrank(exit, cause == of, group, weights=rows.weights[at], cluster=rows.cluster[at])
            made.append(_test_row(rows, of, "Weighted log-rank test (cause-specific hazard)", found) | {
                "adjustment": rows.adjustment, "estimand": rows.estimand, "se_kind": _kind(found.se_kind, rows),
            })  # fmt: skip
        if rows.death:
            made.append(_test_row(rows, of, "Gray's test (cumulative incidence)", gray_test(exit, cause, group, of)))
    return made


def _test_row(rows: EventRows, cause: int, method: str, found: Any) -> Row:
    statistic = float(found.statistic)
    whole = bool((rows.weights > 0).all())
    return base(
        rows, cause, analysis="test", method=method, scale="chi-squared", unit=f"df {found.df}",
        period=f"to day {rows.horizon:g}", estimate=statistic, p_value=float(found.p_value),
        adjustment="crude" if whole else f"{rows.adjustment}, without weights",
        estimand="difference between the arms as they are" if whole else rows.estimand,
        note=_empty(rows) or found.note or (None if np.isfinite(statistic) else "nothing can be compared"),
    )  # fmt: skip


def repeat_rows(rows: EventRows) -> list[Row]:
    """How often it came back: mean number by the horizon, and rate ratios by the usual models."""
    from clinops.stats.recurrent import mean_contrast
    from clinops.stats.recurrent_models import rate_regression

    if not rows.death:
        return []  # one dies once
    one, zero = mean_counts(rows)
    made = []
    for scale, unit in (("difference", "events per person"), ("ratio", "ratio")):
        found = mean_contrast(one, zero, rows.horizon, scale=scale, shared=not rows.plain, level=LEVEL)
        value = [m if _known(c, rows.horizon) else np.nan for c, m in ((one, found.mean), (zero, found.mean_0))]
        made.append(_all_events(rows) | {
            "analysis": "recurrent events", "method": "mean cumulative count, death ends it", "scale": f"mean {scale}",
            "unit": unit, "value_exposed": value[0], "value_comparator": value[1],
            **_numbers(found, 1.0, _kind("robust", rows), _lost(rows, (one, zero), rows.horizon)),
        })  # fmt: skip
    at = rows.arm(True) | rows.arm(False)
    design = np.column_stack([np.ones(int(at.sum())), rows.exposed[at]])
    years = (rows.end[at] - rows.since) / DAYS_A_YEAR
    given: Row = {} if rows.plain else {"weights": rows.weights[at], "cluster": rows.cluster[at]}
    counted = [bool(rows.count[rows.arm(arm)].any()) for arm in (True, False)]
    for model, name in (("negative binomial", "negative binomial"), ("quasipoisson", "quasi-Poisson")):
        fit = rate_regression(design, rows.count[at], years, model=model, se="HC1", **given)
        made.append(_all_events(rows) | {
            "analysis": "recurrent events", "method": f"rate ratio, {name}", "scale": "rate ratio", "unit": "ratio",
            "estimate": _ratio(fit.rate_ratio[1]), "std_error": float(fit.std_error[1]),
            "conf_low": float(fit.conf_low[1]), "conf_high": float(fit.conf_high[1]), "p_value": float(fit.p_value[1]),
            "se_kind": _kind(fit.se_kind, rows),
            "note": _empty(rows) or ("" if all(counted) else "no events in an arm: no ratio of rates") or fit.note
            or (None if np.isfinite(_ratio(fit.rate_ratio[1])) else "not estimable from so few persons"),
        })  # fmt: skip
    return made


def _all_events(rows: EventRows) -> Row:
    """As `base`, but events are all of them and not the first of each person, over all of follow-up."""
    row = base(rows, period=f"to day {rows.horizon:g}")
    for arm, name in ((True, "exposed"), (False, "comparator")):
        at = rows.arm(arm)
        row |= {
            f"events_{name}": int(rows.count[at].sum()),
            f"person_days_{name}": float((rows.end[at] - rows.since).sum()),
        }
    return row


def _empty(rows: EventRows) -> str:
    """Why nothing can be compared where an arm has nobody left."""
    lost = [name for name, arm in zip(rows.names, (True, False), strict=True) if not rows.arm(arm).any()]
    return f"nobody was followed in the arm {' nor in the arm '.join(lost)}" if lost else ""


def _lost(rows: EventRows, curves: tuple[Any, Any], day: float) -> str:
    """Why nothing can be said of a day. How far follow-up went is not told: it may be one person's."""
    late = [name for name, curve in zip(rows.names, curves, strict=True) if not _known(curve, day)]
    return _empty(rows) or (
        f"nobody is followed to day {day:g} in the arm {' nor in the arm '.join(late)}" if late else ""
    )


def _ratio(value: float) -> float:
    """A ratio of which one side is 0 says nothing of size: NaN, as its note says."""
    return float(value) if 0 < value < np.inf else np.nan


def _numbers(found: Any, per: float, kind: str, lost: str) -> Row:
    estimate = _ratio(found.estimate) if found.scale == "ratio" else float(found.estimate)
    finite = bool(np.isfinite(estimate))
    return {
        "estimate": per * estimate, "std_error": per * float(found.std_error),
        "conf_low": per * float(found.conf_low), "conf_high": per * float(found.conf_high),
        "p_value": float(found.p_value), "se_kind": kind,
        "note": lost or found.note or (None if finite else "not estimable"),
    }  # fmt: skip


def _kind(kind: str, rows: EventRows) -> str:
    """The kind of variance in words, with what its clusters are and what it takes as known."""
    if rows.plain:
        return kind
    return f"{kind}, clusters: {rows.cluster_name}, {KNOWN}"
