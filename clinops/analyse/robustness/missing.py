"""What is missing: covariates filled in many times, outcomes of those who left bounded and shifted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.adjust import adjust
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.analyse.robustness.setting import COUNTS, Setting, number
from clinops.define.measures import Measure
from clinops.errors import DataError
from clinops.results.result import Column, Result, absent

if TYPE_CHECKING:
    import pandas as pd

CAP = 0.99
"""The worst that an unseen cost or count may be: this quantile of those who were followed to the end."""
ANALYSIS = "missing covariates"


# --- covariates -----------------------------------------------------------------------------------


def incomplete(setting: Setting) -> list[Measure]:
    """Covariates that some entries lack."""
    frame = setting.study.design.baseline
    return [m for m in setting.protocol.covariates if m.id in frame and bool(frame[m.id].isna().any())]


def covariate_rows(setting: Setting, m: int) -> list[Row]:
    """The effect with missing covariates as a level of their own, filled in m times, and with complete rows only."""
    main = setting.row(setting.data, setting.outcome, setting.adjusted, setting.main, analysis=ANALYSIS,
                       level="Missing as a level of its own (main analysis)")  # fmt: skip
    lacking = incomplete(setting)
    if not lacking or setting.adjusted.design is None:
        return [main]
    whole = setting.data.baseline[[x.id for x in lacking]].notna().all(axis=1).to_numpy()
    alone = setting.again(setting.data.where(whole), setting.outcome, setting.protocol.adjust, setting.main,
                          analysis=ANALYSIS, level="Complete rows only")  # fmt: skip
    return [main, _pooled(setting, main, m), _sized(setting, alone, whole)]


def _sized(setting: Setting, row: Row, whole: np.ndarray) -> Row:
    """The row of complete entries without the size of an arm that, next to that of all, would give few away."""
    least, said = setting.protocol.min_cell, False
    for arm, name in ((setting.data.exposed, "exposed"), (~setting.data.exposed, "comparator")):
        if 0 < int((arm & ~whole).sum()) < least:
            gone = ["n", "person_days", *(["events"] if (row.get(f"events_{name}") or 0) >= least else [])]
            row, said = row | dict.fromkeys(f"{size}_{name}" for size in gone), True
    why = f"an arm's size is not shown: it differs from all by fewer than {least}"
    return row | {"note": "; ".join(part for part in (row.get("note"), why) if part)} if said else row


def _pooled(setting: Setting, main: Row, m: int) -> Row:
    from clinops.stats.imputations import pool

    p, found, why = setting.protocol, [], ""
    try:
        for baseline in _completed(setting, m):
            data = Dataset(baseline, setting.data.outcomes)
            made = adjust(data, p.covariates, p.adjust, cluster=p.cluster, seed=p.seed)
            found.append(setting.row(data, setting.outcome, made, setting.main))
    except DataError as problem:
        why = f": {str(problem).rstrip('.')}"
    q, s = (np.array([number(row[name]) for row in found]) for name in ("estimate", "std_error"))
    level = f"Filled in {m} times, pooled"
    row = main | {"level": level, "method": "multiple imputation", "se_kind": "Rubin's rules"}
    blank = ("std_error", "conf_low", "conf_high", "p_value", "value_exposed", "value_comparator")
    if why or not (np.isfinite(q).all() and np.isfinite(s).all()):
        return row | dict.fromkeys(blank) | {"estimate": None, "note": f"an imputed data set gave no estimate{why}"}
    pooled = pool(q, s**2, level=LEVEL)
    return row | {
        "estimate": pooled.estimate, "std_error": pooled.std_error, "conf_low": pooled.conf_low,
        "conf_high": pooled.conf_high, "p_value": pooled.p_value,
        "value_exposed": float(np.mean([number(r["value_exposed"]) for r in found])),
        "value_comparator": float(np.mean([number(r["value_comparator"]) for r in found])),
        "note": f"fraction of missing information {pooled.share_missing_information:.3f}",
    }  # fmt: skip


def _completed(setting: Setting, m: int) -> Any:
    """Baselines without holes: imputed from all covariates, the exposure, the outcome and its days."""
    from clinops.stats.imputations import Column as Filled
    from clinops.stats.imputations import impute

    frame, data = setting.data.baseline, setting.data
    measures = [x for x in setting.protocol.covariates if x.id in frame]
    levels = {x.id: sorted(frame[x.id].dropna().unique()) for x in measures if x.categorical}
    columns = [_coded(frame, x, levels.get(x.id)) for x in measures]
    y, days = data.column(setting.outcome), data.days(setting.outcome)
    more = [data.exposed.astype(float), np.log1p(np.abs(y)) * np.sign(y), days]
    columns += [Filled(np.where(np.isfinite(v), v, np.nan)) for v in more if np.isfinite(v).any()]
    for filled in impute(columns, m=m, seed=setting.protocol.seed):
        made = frame.copy()
        for measure, values in zip(measures, filled, strict=False):
            if not frame[measure.id].isna().any():
                continue
            known = levels.get(measure.id)
            made[measure.id] = values if known is None else np.array(known, dtype=object)[values.astype(int)]
        yield made


def _coded(frame: pd.DataFrame, measure: Measure, levels: list[Any] | None) -> Any:
    from clinops.stats.imputations import Column as Filled

    values = frame[measure.id]
    if levels is not None:
        codes = values.map({level: float(i) for i, level in enumerate(levels)}).to_numpy(dtype=float)
        return Filled(codes, len(levels)) if len(levels) > 1 else Filled(np.where(np.isnan(codes), np.nan, 0.0))
    if values.dtype.kind == "M":
        return Filled((values - values.min()).dt.days.to_numpy(dtype=float))
    return Filled(values.to_numpy(dtype=float))


def missing_covariates(setting: Setting, found: list[Row]) -> Result:
    """The main effect under three ways with missing covariates."""
    import pandas as pd

    title = "What of covariates that are missing?"
    lacking = incomplete(setting)
    if not lacking:
        return absent("missing_covariates", title, "no covariate of the protocol is missing on any entry.")
    frame, unit = pd.DataFrame(found), str(found[0]["unit"])
    base = setting.study.design.baseline
    listed = ", ".join(f"{m.name} {_share(base[m.id].isna(), setting.protocol.min_cell)}" for m in lacking)
    columns = (Column("level", "Missing covariates"), *setting.arm_columns(), setting.effect_column(setting.main, unit))
    low, high = (float(pd.to_numeric(frame["estimate"]).agg(end)) for end in ("min", "max"))
    said = (
        f"{len(lacking)} covariate{'s are' if len(lacking) > 1 else ' is'} incomplete; the effect lies between "
        f"{words.number(low)} and {words.number(high)} {unit}."
    )
    notes = (
        f"Missing: {listed} of all entries.",
        "Filled in by chained equations with predictive mean matching from all covariates, the exposure and the "
        "outcome; each data set is weighted anew, and the estimates are pooled by Rubin's rules (missing at random, "
        "given these).",
        *(f"{row['level']}: {row['note']}." for row in found if row.get("note")),
    )  # fmt: skip
    return Result("missing_covariates", title, frame, columns, notes, said)


def _share(missing: pd.Series, least: int) -> str:
    few = 0 < int(missing.sum()) < least
    return f"fewer than {least}" if few else f"{missing.mean():.1%}"


# --- outcomes -------------------------------------------------------------------------------------


def lost(setting: Setting) -> np.ndarray:
    """(n,) entries whose outcome was not seen to the end of its window, though they did not die."""
    outcomes, window = setting.study.outcomes.frame, setting.outcome.window
    end = float(window.end) if window is not None and window.end is not None else math.inf
    gone = ~outcomes["end_reason"].isin(["window", "death"]).to_numpy() & (setting.data.end_day < end)
    y = setting.data.column(setting.outcome)
    if setting.outcome.measure in ("any", "time to"):
        return gone & ~(y > 0)  # who has had it cannot have it less
    return gone | ~np.isfinite(y)


def outcome_bounds(setting: Setting) -> tuple[Result, list[Row]]:
    """The effect with the outcomes of those who left as low and as high as they can be, and shifted until it is "
    "gone."""
    import pandas as pd

    from clinops.stats.bounds import missing_outcome_bounds

    title = "What if those who left had fared differently?"
    gone, y, adjusted = lost(setting), setting.data.column(setting.outcome), setting.weighted
    weights = adjusted.weights
    if not (gone & (weights > 0)).any():
        return absent("missing_outcomes", title, "everybody was followed to the end of the window or to death."), []
    if few := setting.few(setting.outcome):
        return absent("missing_outcomes", title, few), []
    counts, shown = _missing_counts(gone, setting, weights), setting.protocol.min_cell
    if any(0 < counts[f"left_{arm}"] < shown for arm in ("exposed", "comparator")):
        return absent(
            "missing_outcomes", title, f"fewer than {shown} of an arm left, and bounds give away how many."
        ), []
    binary = setting.outcome.measure in ("any", "time to")
    per, unit = setting.person
    y = np.where(np.isfinite(y), y, 0.0)
    known = (weights > 0) & ~gone
    cap = 1.0 if binary else float(np.quantile(y[known], CAP)) if known.any() else float("nan")
    if setting.outcome.measure == "days at home":
        assert setting.outcome.window is not None
        cap = float(setting.outcome.window.length or cap)
    least, most = y * per, np.where(gone, np.maximum(y, cap), y) * per
    found = missing_outcome_bounds(
        least, most, setting.data.exposed, weights, cluster=adjusted.cluster, level=LEVEL
    )  # fmt: skip
    lines: list[dict[str, Any]] = [
        {"assumption": "Nothing more would have happened to anybody", **_two_arms(least, setting, weights)},
        {"assumption": "Anything between the least and the most", "estimate": None, "conf_low": found.low,
         "conf_high": found.high, "bounds": f"{words.number(found.low)} to {words.number(found.high)}"},
        {"assumption": "The same, with chance (Imbens and Manski)", "estimate": None, "conf_low": found.conf_low,
         "conf_high": found.conf_high, "bounds": f"{words.number(found.conf_low)} to {words.number(found.conf_high)}"},
    ]  # fmt: skip
    lines += _shifted(setting, y * per, gone, weights)
    frame = pd.DataFrame(lines).assign(**counts)
    rows = [_bound_row(setting, unit, line) for line in lines]
    return Result("missing_outcomes", f"{title} {setting.outcome.name}", frame, _outcome_columns(setting, unit),
                  _outcome_notes(setting, cap * per, binary, unit),
                  _outcome_sentence(setting, frame, found, unit)), rows  # fmt: skip


def _two_arms(values: Floats, setting: Setting, weights: Floats) -> dict[str, float]:
    """Difference of weighted means, weights known, with its interval."""
    from clinops.stats.weighted_effects import weighted_effect

    found = weighted_effect(values, setting.data.exposed, weights, cluster=setting.adjusted.cluster)
    return {"estimate": found.estimate, "std_error": found.std_error, "conf_low": found.conf_low,
            "conf_high": found.conf_high}  # fmt: skip


def _shifted(setting: Setting, y: Floats, gone: np.ndarray, weights: Floats) -> list[dict[str, Any]]:
    """Those who left are like those who stayed; and the shift at which the effect, or its limit, is gone."""
    from clinops.stats.tipping import delta_adjusted, tipping_delta

    arm = setting.data.exposed
    stayed = _two_arms(y, setting, np.where(gone, 0.0, weights))
    shares, sizes = [], []
    for rows in (arm, ~arm):
        w = weights[rows]
        shares.append(float(w[gone[rows]].sum() / w.sum()))
        sizes.append(float(w.sum() ** 2 / (w**2).sum()))
    lines: list[dict[str, Any]] = [{"assumption": "Those who left are like those who stayed", **stayed}]
    if not (shares[0] < 1 and shares[1] < 1 and np.isfinite(stayed["estimate"])):
        return lines
    whole, limit = tipping_delta(stayed["estimate"], stayed["std_error"], missing_exposed=shares[0], n_exposed=sizes[0])
    for reached, delta in (("the estimate is no effect", whole), ("the interval holds no effect", limit)):
        if not np.isfinite(delta) or delta == 0:
            continue
        made = delta_adjusted(
            stayed["estimate"], stayed["std_error"], missing_exposed=shares[0], missing_comparator=shares[1],
            n_exposed=sizes[0], n_comparator=sizes[1], delta_exposed=delta,
        )  # fmt: skip
        more = "more" if delta > 0 else "less"
        lines.append({
            "assumption": f"{setting.names[0]} who left had {words.number(abs(delta))} {more} than those who stayed: "
            f"{reached}",
            "estimate": float(made.estimate[0]), "std_error": float(made.std_error[0]),
            "conf_low": float(made.conf_low[0]), "conf_high": float(made.conf_high[0]), "delta": delta,
        })  # fmt: skip
    return lines


def _missing_counts(gone: np.ndarray, setting: Setting, weights: Floats) -> dict[str, int]:
    used, arm = weights > 0, setting.data.exposed
    return {
        "n_exposed": int((used & arm).sum()), "n_comparator": int((used & ~arm).sum()),
        "left_exposed": int((used & arm & gone).sum()), "left_comparator": int((used & ~arm & gone).sum()),
    }  # fmt: skip


def _outcome_columns(setting: Setting, unit: str) -> tuple[Column, ...]:
    kind, shown = setting.amount(unit)
    return (
        Column("assumption", "If"),
        *(Column(f"left_{arm}", name, "percent", "persons/all (%)", "Left early", denominator=f"n_{arm}")
          for arm, name in zip(("exposed", "comparator"), setting.names, strict=True)),
        Column("estimate", "Difference", kind, shown, of=COUNTS, missing="–"),
        Column("conf_low", "from", kind, shown, "95% CI or bounds", of=COUNTS),
        Column("conf_high", "to", kind, shown, "95% CI or bounds", of=COUNTS),
    )  # fmt: skip


def _outcome_notes(setting: Setting, cap: float, binary: bool, unit: str) -> tuple[str, ...]:
    most = (
        "the event"
        if binary
        else f"{words.number(cap)} {unit} (percentile {100 * CAP:g} of those who stayed), or what they had if more"
    )
    if setting.outcome.measure == "days at home":
        most = "every day of the window"
    return (
        f"Least: what was seen until they left. Most: {most}. The dead have left nothing open.",
        "Weights are taken as known here, so that the first row differs a little in its interval from the main "
        "analysis.",
        "Bounds assume nothing of those who left (Manski 1990); a shift is told for the exposed alone (pattern "
        "mixture).",
    )


def _outcome_sentence(setting: Setting, frame: pd.DataFrame, found: Any, unit: str) -> str:
    tip = frame[frame["assumption"].str.endswith("the estimate is no effect")]
    said = (
        f"With those who left at their least and most, the difference lies between {words.number(found.low)} and "
        f"{words.number(found.high)} {unit}."
    )
    if len(tip):
        delta = float(tip["delta"].iloc[0])
        said += (
            f" The estimate is gone if {setting.names[0]} who left had {words.number(abs(delta))} "
            f"{'more' if delta > 0 else 'less'} than those who stayed."
        )
    return said


def _bound_row(setting: Setting, unit: str, line: dict[str, Any]) -> Row:
    adjusted, low, high = setting.weighted, number(line["conf_low"]), number(line["conf_high"])
    estimate = line["estimate"]
    scale = "risk difference" if setting.outcome.measure in ("any", "time to") else "mean difference"
    return setting.named({
        "analysis": "missing outcomes", "measure": setting.outcome.name, "role": setting.outcome.role,
        "level": line["assumption"], "period": str(setting.outcome.window), "unit": unit,
        "scale": scale, "adjustment": adjusted.label, "conf_level": LEVEL,
        "method": "bounds" if estimate is None else "pattern mixture",
        "estimate": estimate, "std_error": line.get("std_error"), "conf_low": low, "conf_high": high,
        "n_exposed": int(((adjusted.weights > 0) & setting.data.exposed).sum()),
        "n_comparator": int(((adjusted.weights > 0) & ~setting.data.exposed).sum()),
        "note": "bounds, no point" if estimate is None else None,
    })  # fmt: skip


# --- the unmatched --------------------------------------------------------------------------------


def unmatched(setting: Setting) -> Result | None:
    """Bounds on the effect in all the exposed where some found no match; None without matching or with all matched."""
    import pandas as pd

    from clinops.stats.bounds import unmatched_bounds

    adjusted, data = setting.adjusted, setting.data
    if adjusted.sets is None or adjusted.share_unmatched == 0:
        return None
    binary = setting.outcome.measure in ("any", "time to")
    per, unit = setting.person
    title, few = "What of the exposed without a match?", int((data.exposed & (adjusted.weights == 0)).sum())
    if few < setting.protocol.min_cell:
        why = f"fewer than {setting.protocol.min_cell} found no match, and bounds give away how many."
        return absent("unmatched", title, why)
    if few_events := setting.few(setting.outcome):
        return absent("unmatched", title, few_events)
    y = np.where(np.isfinite(data.column(setting.outcome)), data.column(setting.outcome), 0.0) * per
    matched = _two_arms(y, setting, adjusted.weights)
    alone = y[data.exposed & (adjusted.weights == 0)]
    cap = per if binary else float(np.quantile(y[~data.exposed], CAP))
    n = int(data.exposed.sum())
    found = unmatched_bounds(matched["estimate"], matched["std_error"], alone, n, least=0.0, most=cap)
    frame = pd.DataFrame([
        {"who": "The matched exposed", "n": n - len(alone), "low": matched["estimate"], "high": matched["estimate"],
         "conf_low": matched["conf_low"], "conf_high": matched["conf_high"]},
        {"who": "All the exposed", "n": n, "low": found.low, "high": found.high, "conf_low": found.conf_low,
         "conf_high": found.conf_high},
    ])  # fmt: skip
    kind, shown = setting.amount(unit)
    columns = (
        Column("who", "Effect in"), Column("n", "Persons", "count", "n"),
        Column("low", "from", kind, shown, "Estimate", of="n"), Column("high", "to", kind, shown, "Estimate", of="n"),
        Column("conf_low", "from", kind, shown, "With chance (95%)", of="n"),
        Column("conf_high", "to", kind, shown, "With chance (95%)", of="n"),
    )  # fmt: skip
    said = (
        f"{len(alone):,} of {n:,} exposed found no match; in all the exposed the effect lies between "
        f"{words.number(found.low)} and {words.number(found.high)} {unit}."
    )
    note = f"Without the exposure the unmatched are taken to have had 0 to {words.number(cap)} {unit} on average."
    return Result("unmatched", title, frame, columns, (note,), said)
