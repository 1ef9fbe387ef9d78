"""The exhibits of an interrupted series: the series with what it would have been, effects, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.panels.rolled import LEVEL, size_name, value_of
from clinops.analyse.panels.rollout_exhibits import methods_table, shared_methods
from clinops.analyse.panels.series import PAIRS, Interrupted, Series
from clinops.define.panel import PERSON
from clinops.results.result import Column, Figure, Result
from clinops.results.suppress import HIDDEN
from clinops.stats.counterfactuals import counterfactual
from clinops.stats.interrupted import SegmentedFit

if TYPE_CHECKING:
    from clinops.stats.counterfactuals import Counterfactual

OBSERVED, FITTED, WITHOUT = "observed", "fitted", "counterfactual"
MAIN, OTHER, RATIOS = "Main", "Other errors and models", "As ratios (quasi-Poisson)"
FEW_SAID = "A part of the series has fewer than {} persons or events, so nothing made of it is shown."
LINEAR = "Linear, AR(1) errors by REML"


def figure(found: Interrupted) -> Result:
    """The series, what was fitted to it, and what it would have been without the interruption."""
    import pandas as pd

    plan, fit = found.plan, found.drawn
    rows = [row for one in (found.ours, found.control) if one is not None for row in _points(found, one)]
    rows += [] if found.few else _lines(found, fit)
    frame = pd.DataFrame(rows)
    size = size_name(plan)
    for name in (size, *(("events",) if found.counted else ())):
        frame[name] = frame[name].astype("Int64")
    order = {OBSERVED: 0, FITTED: 1, WITHOUT: 2}
    frame = frame.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable").reset_index(drop=True)
    behind = (size, "events") if found.counted else (size,)
    how = format_of(found)
    columns = (
        Column("arm", "Series"), Column("kind", "What"), Column("period", "Period"),
        *(Column(name, label, "count", "n", missing="–") for name, label in ((size, "Persons"), ("events", "Events"))
          if name in behind),
        Column("value", plan.rate if found.control is None or not plan.control_outcome else "Rate", how,
               found.currency, of=behind, low="low", high="high", missing="–"),
    )  # fmt: skip
    options: dict[str, Any] = {
        "ylabel": plan.rate, "start": found.at, "start_label": f"the programme starts, {plan.starts}",
        "phase_in": plan.phase_in, "persons": "Persons observed", "interval": "95% confidence intervals of the mean",
    }  # fmt: skip
    options |= {"currency": found.currency} if found.currency else {}
    options |= {"percent": True} if plan.per == PERSON else {}
    said = sentence(found)
    return Result(
        "interrupted_series", "The series, and what it would have been", frame, columns,
        (f"Lines: segmented regression, {fit.se_kind}. {fit.note}".strip(),), said, group_by="arm",
        figure=Figure("interrupted", frame, options, behind, {"value": behind, "low": (), "high": ()}),
        alt=f"Points by {plan.every}, the fitted line, and dashed with a band what it would have been. {said}",
    )  # fmt: skip


def _lines(found: Interrupted, fit: SegmentedFit) -> list[dict[str, Any]]:
    """What was fitted, and what would have been."""
    plan, mine, without = found.plan, fit.design.treated, counterfactual(fit)
    rows = [
        {"arm": found.ours.name, "kind": FITTED, "period": plan.names[int(t)], "value": value}
        for t, value in zip(fit.design.time[mine], fit.fitted[mine], strict=True)
    ]
    return rows + [
        {"arm": found.ours.name, "kind": WITHOUT, "period": plan.names[int(t)], "value": v, "low": low, "high": high}
        for t, v, low, high in zip(without.time, without.counterfactual, without.counterfactual_low,
                                   without.counterfactual_high, strict=True)
    ]  # fmt: skip


def _points(found: Interrupted, one: Series) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(found.plan.names):
        row = {
            "arm": one.name, "kind": OBSERVED, "period": name, "phase": "before" if i < found.at else "after",
            "value": one.value[i], size_name(found.plan): int(one.persons[i]), "low": np.nan, "high": np.nan,
        }  # fmt: skip
        rows.append(row | ({"events": round(one.total[i])} if found.counted else {}))
    return rows


def format_of(found: Interrupted) -> str:
    """The format of a rate."""
    return "money" if found.currency else "fraction" if found.plan.per == PERSON else "number2"


def around(found: Interrupted) -> Result:
    """Persons, events and rates before and after."""
    import pandas as pd

    plan, rows = found.plan, []
    after = found.at + plan.phase_in
    for one in (found.ours, found.control):
        if one is None:
            continue
        for phase, part in (("Before", slice(0, found.at)), ("Phase-in", slice(found.at, after)),
                            ("After", slice(after, None))):  # fmt: skip
            total, days, persons = (float(v[part].sum()) for v in (one.total, one.days, one.persons))
            periods = len(one.total[part])
            if periods:
                row = {
                    "series": one.name, "phase": phase, "periods": float(periods), "persons": round(persons / periods),
                    "rate": float(value_of(plan, total, days, persons)),
                }  # fmt: skip
                rows.append(row | ({"events": round(total)} if found.counted else {}))
    frame = pd.DataFrame(rows)
    behind = ("events", "persons") if found.counted else ("persons",)
    what = f"Person-{plan.every}s with one" if plan.per == PERSON else "Events"
    columns = (
        Column("phase", "Periods"), Column("periods", "Number", "number0"),
        Column("persons", "Persons", "count", "mean a period"),
        *([Column("events", what, "count", "n")] * found.counted),
        Column("rate", "Rate", format_of(found), found.currency, of=behind),
    )  # fmt: skip
    said = "A plain comparison of before and after takes trend and season for an effect; the model does not."
    return Result("interrupted_periods", "Before and after, as they are", frame, columns, (f"Rate: {plan.rate}.",),
                  said, group_by="series", label_column="phase")  # fmt: skip


def effect_rows(found: Interrupted) -> list[dict[str, Any]]:
    """Every estimate: part, label, method, scale and numbers."""
    main = _linear_rows(found, found.main, found.effect, MAIN, LINEAR)
    plain = found.linear(found.target, found.design(), "newey-west")
    rows = [*main, *_linear_rows(found, plain, counterfactual(plain), OTHER, "Linear, Newey-West errors")]
    model = found.linear(found.target, found.design(), "model")
    rows += _linear_rows(found, model, counterfactual(model), OTHER, "Linear, independent errors")
    if found.counts is not None:
        rows += _ratio_rows(found, found.counts)
    return rows


def _linear_rows(
    found: Interrupted, fit: SegmentedFit, effect: Counterfactual, part: str, method: str
) -> list[dict[str, Any]]:
    wanted = [(f"level {found.at}", "Change of level in the first period")]
    if found.plan.change != "level":
        wanted.append((f"slope {found.at}", f"Change of slope a {found.plan.every}"))
    rows = []
    for term, label in wanted:
        i = fit.term(term)
        rows.append({
            "part": part, "label": label, "method": method, "scale": "difference", "estimate": float(fit.coef[i]),
            "std_error": float(fit.std_error[i]), "low": float(fit.conf_low[i]), "high": float(fit.conf_high[i]),
            "p": float(fit.p_value[i]), "error": fit.se_kind, "note": fit.note,
        })  # fmt: skip
    total, n = effect.total, effect.total.periods
    mean = {
        "part": part, "label": f"Mean over the {n} {found.plan.every}s after", "method": method, "scale": "difference",
        "estimate": total.effect / n, "std_error": total.std_error / n, "low": total.effect_low / n,
        "high": total.effect_high / n, "p": _p(total.effect, total.std_error, fit.df), "error": fit.se_kind,
        "note": effect.note or fit.note,
    }  # fmt: skip
    return [mean, *rows] if part == MAIN else [mean, rows[0]]


def _p(estimate: float, error: float, df: float) -> float:
    from clinops.stats.linear import inference

    return float(inference(np.array([estimate]), np.array([error**2]), df, "t", LEVEL)[3][0])


def _ratio_rows(found: Interrupted, fit: SegmentedFit) -> list[dict[str, Any]]:
    before = "treated:" if found.control is not None else ""
    wanted = [(f"{before}level {found.at}", "Level in the first period")]
    if found.plan.change != "level":
        wanted.append((f"{before}slope {found.at}", f"Slope a {found.plan.every}"))
    method = "Quasi-Poisson, person-time as offset, Newey-West errors"
    common = {"part": RATIOS, "method": method, "scale": "ratio", "error": fit.se_kind, "note": fit.note}
    total = counterfactual(fit).total
    rows = [common | {"label": f"Mean over the {total.periods} {found.plan.every}s after", "estimate": total.ratio,
                      "std_error": np.nan, "low": total.ratio_low, "high": total.ratio_high, "p": np.nan}]  # fmt: skip
    for term, label in wanted:
        middle, low, high = fit.ratio(term)
        rows.append(common | {"label": label, "estimate": middle, "std_error": np.nan, "low": low, "high": high,
                              "p": float(fit.p_value[fit.term(term)])})  # fmt: skip
    return rows


def effects(found: Interrupted) -> Result:
    """Every estimate of the change."""
    import pandas as pd

    plan = found.plan
    frame = pd.DataFrame(effect_rows(found))
    difference = format_of(found)
    frame["format"] = ["ratio" if scale == "ratio" else difference for scale in frame["scale"]]
    frame["head"] = [m if p == OTHER else p for p, m in zip(frame["part"], frame["method"], strict=True)]
    columns = (
        Column("label", "Change"),
        Column("estimate", "Estimate (95% CI)", format_by="format", unit=found.currency, low="low", high="high", of=()),
        Column("p", "P", "p", of=(), missing="–"),
    )  # fmt: skip
    notes = [f"Main: {LINEAR}, of {'the rate' if found.control is None else 'the difference of the two rates'}."]
    notes += [f"Differences: {plan.rate}."]
    notes += [f"Control: {found.control.name}." if found.control is not None else "No control series."]
    said = [f"{one.rstrip('.')}." for note in frame["note"] for one in note.split(". ") if one and "row(s)" not in one]
    notes += list(dict.fromkeys(said))
    shown = frame[["head", "label", "estimate", "low", "high", "p", "format"]].copy()
    numbers = ["estimate", "low", "high", "p"] if found.few else []
    shown[numbers] = np.nan
    hidden = tuple((row, name, HIDDEN) for row in range(len(shown)) for name in numbers)
    return Result("interrupted_effects", "Change at the start of the programme", shown, columns, tuple(notes),
                  sentence(found), group_by="head", label_column="label", hidden=hidden)  # fmt: skip


def sentence(found: Interrupted) -> str:
    """The main estimate in words, beside what would have been."""
    if found.few:
        return FEW_SAID.format(found.plan.min_cell)
    total, n = found.effect.total, found.effect.total.periods
    if not np.isfinite(total.effect):
        return "The change could not be estimated."
    plan = found.plan
    times = 100.0 if plan.per == PERSON else 1.0
    after = found.at + plan.phase_in
    seen = float(found.ours.value[after:].mean())
    without = seen - total.effect / n
    places = 2 if max(abs(seen), abs(without)) * times < 100 else 0
    unit = found.currency or ("percentage points" if plan.per == PERSON else "")
    effect, low, high, one, other = (
        words.number(v * times, places)
        for v in (total.effect / n, total.effect_low / n, total.effect_high / n, seen, without)
    )
    said = f"{plan.rate}, mean of the {n} {plan.every}s after: {effect}{f' {unit}' if unit else ''}"
    said += f" (95% CI {low} to {high})"
    if not without > 0:
        return f"{said}."
    share = abs(seen / without - 1)
    return f"{said}: {one} instead of {other}, {share:.0%} {'less' if seen < without else 'more'}."


def methods(found: Interrupted, version: str) -> Result:
    """What was done, in words."""
    plan = found.plan
    control = "none" if found.control is None else (
        f"{found.control.name}: the effect is the change of the difference between the two series"
    )  # fmt: skip
    season = {
        "harmonics": f"{PAIRS[plan.every]} pair(s) of sine and cosine", "none": "none",
        "indicators": f"an indicator of each {plan.every} but the first",
    }[plan.season]  # fmt: skip
    rows = [
        *shared_methods(plan), ("Start", f"{plan.starts}, in {plan.names[found.at]}: the first period after"),
        ("Phase-in", f"{plan.phase_in} {plan.every}s left out"), ("Control", control), ("Season", season),
        ("Main model", f"{LINEAR}; {plan.change}; the change of level is that of the first period after"),
        ("Counts", "quasi-Poisson with the logarithm of exact person-time as offset" if found.counted else
         "the outcome is money: none"),
        ("Meanwhile", plan.meanwhile or "nothing is stated"),
        ("Assumes", "the trend before would have gone on, straight, and the season as it was; nothing else happened at "
         "that time, or it happened to the control too; the same kind of people are counted"),
        ("Not seen here", "a start chosen because of the series"),
        ("Software", f"clinops {version}"),
    ]  # fmt: skip
    return methods_table("interrupted_methods", rows, found.findings)
