"""Confounding that nobody measured: tipping points, negative controls and what they calibrate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.effects import RELATIVE, Row
from clinops.analyse.robustness.setting import COUNTS, EVENTS, Setting, number
from clinops.define.measures import EVENT_KINDS
from clinops.results.result import Check, Column, Figure, Result, absent

if TYPE_CHECKING:
    from clinops.stats.calibration import SystematicError

PREVALENCE = 0.2
"""Prevalence of the unmeasured confounder in the comparator, in the table and the figure of tipping points."""
GAPS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
MOST_ERROR = 0.25
"""Expected absolute systematic error (log scale) beyond which negative controls say that the design is biased."""


def main_rows(setting: Setting) -> list[Row]:
    """The outcome's effect under the main adjustment and crude, on the absolute and the relative scale."""
    rows = []
    for adjusted in (setting.adjusted, setting.crude):
        for scale in dict.fromkeys((setting.main, setting.relative, setting.rate)):
            rows.append(setting.row(setting.data, setting.outcome, adjusted, scale, analysis="main"))
    return rows


def control_rows(setting: Setting) -> list[Row]:
    """Each negative control under the main adjustment, on its relative scale."""
    p = setting.protocol
    found = [setting.within(m) for m in p.negative_controls if setting.data.has(m)]
    return [
        setting.row(setting.data, m, setting.adjusted, RELATIVE[m.measure], analysis="negative control") for m in found
    ]


# --- tipping points -------------------------------------------------------------------------------


def tipping(setting: Setting, main: Row) -> Result:
    """What an unmeasured binary confounder would have to be to explain the effect, or the limit nearer no effect."""
    import pandas as pd

    from clinops.stats.tipping import tipping_points

    estimate, low, high = (number(main[name]) for name in ("estimate", "conf_low", "conf_high"))
    title = f"How strong would a confounder that nobody measured have to be? {setting.outcome.name}"
    if few := setting.few(setting.outcome):
        return absent("tipping_point", title, few)
    if math.isnan(estimate):
        return absent("tipping_point", title, "the effect could not be estimated.")
    ratio = main["scale"].endswith("ratio")
    fine = np.linspace(0.005, 1 - PREVALENCE, 160)
    drawn = tipping_points(
        estimate, low, high, prevalence_exposed=PREVALENCE + fine, prevalence_comparator=PREVALENCE,
        scale="ratio" if ratio else "difference",
    )  # fmt: skip
    found = tipping_points(
        estimate, low, high, prevalence_exposed=PREVALENCE + np.array(GAPS), prevalence_comparator=PREVALENCE,
        scale="ratio" if ratio else "difference",
    )  # fmt: skip
    frame = pd.DataFrame({
        "gap": GAPS, "comparator": PREVALENCE, "exposed": PREVALENCE + np.array(GAPS), "estimate": found.estimate,
        "limit": found.limit, "n_exposed": main["n_exposed"], "n_comparator": main["n_comparator"],
    })  # fmt: skip
    data = pd.DataFrame({"gap": fine, "estimate": drawn.estimate, "limit": drawn.limit})
    unit = "ratio" if ratio else str(main["unit"])
    columns = _tipping_columns(setting, ratio, unit)
    said = _tipping_sentence(setting, frame, ratio, unit, found.null)
    options = {"xlabel": f"Difference in prevalence ({setting.names[0]} minus {setting.names[1]})", "unit": unit,
               "null": found.null, "exposed": setting.names[0]}  # fmt: skip
    notes = (
        f"One binary confounder given the measured covariates, in {PREVALENCE:.0%} of {setting.names[1]}; its "
        "association with the outcome is the same in both arms. On a difference only the gap in prevalence matters.",
        "Lin, Psaty and Kronmal 1998; VanderWeele and Arah 2011. Not a test: whether there is such a confounder is "
        "a judgement about the setting.",
        f"A confounder rarer among {setting.names[0]} than among {setting.names[1]} needs an association of the "
        "other sign.",
    )  # fmt: skip
    return Result("tipping_point", title, frame, columns, notes, said,
                  figure=Figure("tipping", data, options), alt=said)  # fmt: skip


def _tipping_columns(setting: Setting, ratio: bool, unit: str) -> tuple[Column, ...]:
    kind, of = ("ratio", "ratio") if ratio else setting.amount(unit)
    return (
        Column("gap", "More prevalent by", "fraction", of=()),
        Column("comparator", setting.names[1], "fraction", spanner="Prevalence of the confounder", of=()),
        Column("exposed", setting.names[0], "fraction", spanner="Prevalence of the confounder", of=()),
        Column("estimate", "Estimate is no effect", kind, of, "Association with the outcome at which the", of=COUNTS,
               missing="none does it"),
        Column("limit", "Limit is no effect", kind, of, "Association with the outcome at which the", of=COUNTS,
               missing="none does it"),
    )  # fmt: skip


def _tipping_sentence(setting: Setting, frame: Any, ratio: bool, unit: str, null: float) -> str:
    row = frame[frame["gap"] == 0.2].iloc[0]
    if number(row["limit"]) == null:
        return f"{setting.outcome.name}: the interval holds no effect already; no confounder is needed to explain it."

    def say(value: float) -> str:
        if math.isnan(value):
            return "no association at all"
        return f"a ratio of {value:.2f}" if ratio else f"a difference of {words.number(value)} {unit}"

    return (
        f"{setting.outcome.name}: a confounder 20 percentage points more prevalent among {setting.names[0]} would "
        f"need {say(number(row['estimate']))} in the outcome to explain the estimate, {say(number(row['limit']))} to "
        "move the interval to no effect."
    )


# --- negative controls ----------------------------------------------------------------------------


def log_estimates(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Log ratios and their standard errors; NaN where an arm had no event."""
    ratio = np.array([number(row["estimate"]) for row in rows], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(ratio)
    return np.where(np.isfinite(log), log, np.nan), np.array(
        [number(row.get("std_error")) for row in rows], dtype=float
    )


def negative_controls(setting: Setting, rows: list[Row]) -> Check:
    """Whether outcomes that the exposure cannot change show no effect: a single one warns, twenty calibrate."""
    import pandas as pd

    from clinops.stats.calibration import LEAST_CONTROLS

    keep = (
        "measure",
        "scale",
        "events_exposed",
        "events_comparator",
        *COUNTS,
        "estimate",
        "conf_low",
        "conf_high",
        "p_value",
    )
    frame = pd.DataFrame([{name: row.get(name) for name in keep} for row in rows], columns=list(keep))
    log, error = log_estimates(rows)
    usable = int((np.isfinite(log) & np.isfinite(error)).sum())
    p = frame["p_value"].dropna().to_numpy(dtype=float)
    observed: float | None
    passed: bool | None
    if usable >= LEAST_CONTROLS:
        fit = _fitted(log, error)
        observed, threshold, passed = fit.expected_absolute, MOST_ERROR, fit.expected_absolute <= MOST_ERROR
        said = (
            f"{usable} negative controls: systematic error of mean {words.number(fit.mean, 2)} and SD {fit.sd:.2f} "
            f"on the log scale; a ratio is off by a factor of {math.exp(fit.expected_absolute):.2f} on average."
        )
    elif usable:
        threshold, observed = 0.05 / usable, float(p.min()) if len(p) else None
        failed = observed is not None and observed < threshold
        # One outcome that shows nothing clears nobody: it can warn, it cannot pass.
        passed = False if failed else None if usable == 1 else True
        said = (
            f"{usable} negative control{'s' if usable > 1 else ''}; the smallest P is "
            f"{'not known' if observed is None else f'{observed:.3f}'} against a threshold of "
            f"{threshold:.3f}.{' A single one can warn but not clear.' if usable == 1 else ''}"
        )
    else:
        observed, threshold, passed = None, 0.05, None
        said = "No negative control could be judged." if rows else "The protocol names no negative control."
    columns = (
        Column("measure", "Negative control"),
        Column("events_exposed", setting.names[0], "count", "events"),
        Column("events_comparator", setting.names[1], "count", "events"),
        Column("scale", "Ratio of"),
        Column("estimate", "Ratio (95% CI)", "ratio", low="conf_low", high="conf_high",
               of=("events_exposed", "events_comparator")),
        Column("p_value", "P", "p", of=("events_exposed", "events_comparator"), missing="–"),
    )  # fmt: skip
    return Check(
        "negative_control_outcomes", "Do outcomes that cannot be affected show no effect?", frame, columns, (), said,
        figure=_control_forest(setting, frame), alt=said, observed=observed, threshold=threshold, passed=passed,
        why="An effect on an outcome that the exposure cannot change is confounding or unequal observation, and the "
        "other estimates share it.",
    )  # fmt: skip


def _control_forest(setting: Setting, frame: Any) -> Figure | None:
    if frame.empty:
        return None
    data = frame.rename(columns={"measure": "label", "conf_low": "low", "conf_high": "high"})
    counts = ("events_exposed", "n_exposed", "events_comparator", "n_comparator")
    options = {"scale": "log", "null": 1.0, "xlabel": "Adjusted ratio (95% CI)", "exposed": setting.names[0],
               "comparator": setting.names[1]}  # fmt: skip
    return Figure("forest", data[["label", "estimate", "low", "high", *counts]], options, counts=counts,
                  of=dict.fromkeys(("estimate", "low", "high"), ("events_exposed", "events_comparator")))  # fmt: skip


def _fitted(log: np.ndarray, error: np.ndarray) -> SystematicError:
    from clinops.stats.calibration import systematic_error

    return systematic_error(log, error)


def calibration(setting: Setting, controls: list[Row], outcomes: list[Row]) -> Result:
    """Ratios of the outcomes with the systematic error that the negative controls show allowed for."""
    import pandas as pd

    from clinops.stats.calibration import LEAST_CONTROLS, calibrate

    title = "Ratios calibrated by the negative controls"
    log, error = log_estimates(controls)
    usable = int((np.isfinite(log) & np.isfinite(error)).sum())
    if usable < LEAST_CONTROLS:
        return absent(
            "calibration", title,
            f"empirical calibration needs at least {LEAST_CONTROLS} negative controls with an estimate; there are "
            f"{usable}.",
        )  # fmt: skip
    fit, lines = _fitted(log, error), []
    for row in outcomes:
        (value,), (spread,) = log_estimates([row])
        found = calibrate(float(value), float(spread), fit)
        lines.append({
            "measure": row["measure"], "scale": row["scale"], **{name: row.get(name) for name in (*COUNTS, *EVENTS)},
            "plain": row["estimate"], "plain_low": row["conf_low"], "plain_high": row["conf_high"],
            "plain_p": row["p_value"], "estimate": math.exp(found.estimate), "conf_low": math.exp(found.conf_low),
            "conf_high": math.exp(found.conf_high), "p_value": found.p_value,
        })  # fmt: skip
    frame, rests = pd.DataFrame(lines), (*COUNTS, *EVENTS)
    columns = (
        Column("measure", "Outcome"), Column("scale", "Ratio of"),
        Column("plain", "Ratio (95% CI)", "ratio", "", "As estimated", rests, low="plain_low", high="plain_high"),
        Column("plain_p", "P", "p", spanner="As estimated", of=rests, missing="–"),
        Column("estimate", "Ratio (95% CI)", "ratio", "", "Calibrated", rests, low="conf_low", high="conf_high"),
        Column("p_value", "P", "p", spanner="Calibrated", of=rests, missing="–"),
    )  # fmt: skip
    note = (
        f"Systematic error of {usable} negative controls: mean {words.number(fit.mean, 2)}, SD {fit.sd:.2f} (log "
        "scale). It is taken to be the same for these outcomes and at every true effect (Schuemie and others 2014, "
        "2018)."
    )
    said = f"{len(frame)} ratios with the systematic error of {usable} negative controls allowed for."
    return Result("calibration", title, frame, columns, (note,), said)


def outcome_ratios(setting: Setting) -> list[Row]:
    """Every outcome that counts events, and the primary one, under the main adjustment on the relative scale."""
    p, data = setting.protocol, setting.data
    wanted = [m for m in p.outcomes if data.has(m) and (m.measure in EVENT_KINDS or m.id == setting.outcome.id)]
    return [
        setting.row(data, setting.within(m), setting.adjusted, RELATIVE[m.measure], analysis="main") for m in wanted
    ]


def e_values(setting: Setting, rows: list[Row]) -> Check:
    """How strong an unmeasured confounder would have to be, as an E-value: a statement, never a verdict."""
    from clinops.analyse import checks
    from clinops.results.schema import estimates

    protocol = setting.protocol.with_(outcomes=(setting.outcome,))
    return checks.e_values(setting.data, estimates(rows), protocol)
