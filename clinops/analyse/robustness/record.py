"""What the record misses: outcomes recorded with error, care outside the system's view, when observation ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import Row
from clinops.analyse.robustness.setting import COUNTS, Setting, forest_data
from clinops.define.measures import EVENT_KINDS, Measure
from clinops.define.protocol import Protocol
from clinops.errors import DefinitionError, unknown
from clinops.results.result import Check, Column, Figure, Result, absent

UNEQUAL = 1.25
"""Arms whose contacts per observed month differ by more than this factor, after adjustment, are seen unequally."""
MONTH = 365.25 / 12
BEFORE = 365


# --- outcomes recorded with error -----------------------------------------------------------------


def chosen_event(setting: Setting, name: str) -> Measure | None:
    """The outcome whose recording is doubted: the one named, else the primary, else the first that is no death.

    Raises
    ------
    DefinitionError : no outcome of that name that counts events.
    """
    known = [m for m in setting.protocol.outcomes if m.measure in EVENT_KINDS and setting.data.has(m)]
    if name:
        named = {m.name: m for m in known}
        if name not in named:
            raise DefinitionError(unknown("outcome that counts events", name, named))
        return named[name]
    ordered = sorted(known, key=lambda m: (m.id != setting.outcome.id, m.events is None or m.events.domain == "death"))
    return ordered[0] if ordered else None


def misclassification(
    setting: Setting, name: str, sensitivity: Sequence[float], specificity: Sequence[float], draws: int
) -> Result:
    """The risk of an outcome if it is missed or recorded by mistake, alike in both arms and not."""
    import pandas as pd

    from clinops.stats.misclassification import Range, bias_analysis

    title = "What if the outcome is recorded with error?"
    measure = chosen_event(setting, name)
    if measure is None:
        return absent("misclassification", title, "the protocol has no outcome that counts events.")
    if few := setting.few(measure):
        return absent("misclassification", title, few)
    risks, covariance, counts = _risks(setting, measure)
    if not np.isfinite(risks).all():
        return absent("misclassification", title, f"the risk of {measure.name} could not be estimated.")
    (low, high), (worst, best) = sensitivity, specificity
    cases = (
        ("As recorded", (1.0, 1.0), (1.0, 1.0)),
        ("Missed as often in both arms", (low, low), (best, best)),
        ("Also recorded by mistake in both arms", (low, low), (worst, worst)),
        (f"Missed more often among {setting.names[1]}", (high, low), (best, best)),
        (f"Missed more often among {setting.names[0]}", (low, high), (best, best)),
    )
    lines = [_fixed(label, se, sp, risks, covariance) for label, se, sp in cases]
    se, sp = Range(low, high), Range(worst, best)
    seed = setting.protocol.seed
    for label, a, b in (
        ("Any of these, alike in both arms", se, sp),
        ("Any of these, each arm its own", (se, se), (sp, sp)),
    ):
        made = bias_analysis(*risks, sensitivity=a, specificity=b, covariance=covariance, seed=seed, draws=draws)
        lines.append({
            "case": label, "sensitivity": f"{low:.0%} to {high:.0%}", "specificity": f"{worst:.0%} to {best:.0%}",
            **_triple(1000 * made.difference_total, made.ratio_total), "impossible": made.share_impossible,
        })  # fmt: skip
    frame = pd.DataFrame(lines).assign(**counts)
    return Result("misclassification", f"{title} {measure.name}", frame, _misclassified_columns(setting),
                  _misclassified_notes(setting, measure, draws), _misclassified_sentence(frame, measure))  # fmt: skip


def _risks(setting: Setting, measure: Measure) -> tuple[Floats, Floats, dict[str, int]]:
    """Weighted risks of at least one event in each arm, their covariance by cluster, and persons."""
    from clinops.stats.glm import cluster_sums
    from clinops.stats.weighted_effects import weighted_values

    data, adjusted = setting.data, setting.weighted
    happened = (data.column(measure) > 0).astype(float)
    arms = weighted_values(
        happened[:, None], data.exposed, adjusted.weights if adjusted.known_weights else adjusted.balancing,
        propensity=None if adjusted.known_weights else adjusted.propensity,
    )  # fmt: skip
    groups, code = np.unique(adjusted.cluster, return_inverse=True)
    sums = cluster_sums(arms.influence[:, :, 0].T, code, len(groups))
    used = adjusted.weights > 0
    counts = {"n_exposed": int((used & data.exposed).sum()), "n_comparator": int((used & ~data.exposed).sum())}
    return arms.value[:, 0], sums.T @ sums, counts


def _fixed(
    label: str, se: tuple[float, float], sp: tuple[float, float], risks: Floats, covariance: Floats
) -> dict[str, Any]:
    from clinops.stats.misclassification import corrected_risks

    found = corrected_risks(*risks, sensitivity=se, specificity=sp, covariance=covariance)
    difference = np.array([found.difference, found.difference_low, found.difference_high])
    ratio = np.array([found.ratio, found.ratio_low, found.ratio_high])
    return {
        "case": label, "sensitivity": _shares(se), "specificity": _shares(sp),
        "value_exposed": 1000 * found.risk_exposed if found.possible else np.nan,
        "value_comparator": 1000 * found.risk_comparator if found.possible else np.nan,
        **_triple(1000 * difference, ratio), "impossible": float(not found.possible),
    }  # fmt: skip


def _shares(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.0%}" if pair[0] == pair[1] else f"{pair[0]:.0%} and {pair[1]:.0%}"


def _triple(difference: Floats, ratio: Floats) -> dict[str, float]:
    return {"difference": difference[0], "low": difference[1], "high": difference[2],
            "ratio": ratio[0], "ratio_low": ratio[1], "ratio_high": ratio[2]}  # fmt: skip


def _misclassified_columns(setting: Setting) -> tuple[Column, ...]:
    per = "per 1,000 persons"
    return (
        Column("case", "If the outcome is"),
        Column("sensitivity", "Recorded of true ones",
               note=f"Sensitivity; two numbers: {setting.names[0]} and {setting.names[1]}."),
        Column("specificity", "Of others not recorded", note="Specificity."),
        Column("value_exposed", setting.names[0], "number1", per, "Risk", of=COUNTS, missing="–"),
        Column("value_comparator", setting.names[1], "number1", per, "Risk", of=COUNTS, missing="–"),
        Column("difference", "Difference (95% CI)", "number1", per, "", COUNTS, low="low", high="high",
               missing="impossible"),
        Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=COUNTS, missing="impossible"),
        Column("impossible", "Impossible", "fraction", "of the draws", of=()),
    )  # fmt: skip


def _misclassified_notes(setting: Setting, measure: Measure, draws: int) -> tuple[str, ...]:
    return (
        f"Risk of at least one event ({measure.name}) in the days observed, adjusted by "
        f"{setting.weighted.label}. Rogan and Gladen 1978.",
        f"The last two rows: {draws:,} draws from uniform ranges, with chance added; median and middle 95% (Lash, "
        "Fox and Fink 2009). In the very last, the arms' draws correlate by 0.8.",
        "Impossible: a corrected risk below 0 or above 1, so that these ranges contradict the records. Such draws "
        "are counted here and left out of the percentiles.",
    )  # fmt: skip


def _misclassified_sentence(frame: Any, measure: Measure) -> str:
    kept = frame[np.isfinite(frame["difference"].to_numpy(dtype=float))]
    low, high = float(kept["difference"].min()), float(kept["difference"].max())
    gone = int((frame["impossible"] > 0).sum())
    return (
        f"{measure.name}: the difference in risk lies between {words.number(low, 1)} and {words.number(high, 1)} per "
        "1,000 persons over these "
        f"records{f'; {gone} of {len(frame)} rows hold impossible combinations' if gone else ''}."
    )


# --- care outside the system's view ---------------------------------------------------------------


def capture(setting: Setting) -> Check:
    """Whether both arms are seen alike: contacts per observed month, before the index date and after it."""
    import pandas as pd

    from clinops.build.capture import contacts

    data, adjusted = setting.data, setting.weighted
    found = contacts(setting.protocol, setting.study.baseline, BEFORE)
    lines = []
    for label, days in ((f"The {BEFORE} days before the index date", "before"), ("Follow-up", "after")):
        seen, time = found[days].to_numpy(dtype=float), found[f"days_{days}"].to_numpy(dtype=float) / MONTH
        row: dict[str, Any] = {"when": label}
        for arm, name in ((data.exposed, "exposed"), (~data.exposed, "comparator")):
            used = arm & (adjusted.weights > 0)
            w = np.where(used, adjusted.weights, 0.0)
            row |= {f"n_{name}": int(used.sum()), f"months_{name}": float(time[used].sum()),
                    f"rate_{name}": _over(seen[used].sum(), time[used].sum()),
                    f"weighted_{name}": _over(w @ seen, w @ time),
                    f"none_{name}": int((used & (seen == 0) & (time > 0)).sum())}  # fmt: skip
        row["ratio"] = _over(row["weighted_exposed"], row["weighted_comparator"])
        lines.append(row)
    frame = pd.DataFrame(lines)
    ehr = setting.study.source.capture == "ehr"
    judged = frame["ratio"].to_numpy(dtype=float)[: 2 if ehr else 1]
    apart = float(np.max(np.exp(np.abs(np.log(judged))))) if (judged > 0).all() else float("nan")
    known = bool(np.isfinite(apart))
    before, after = frame["ratio"]
    return Check(
        "capture", "Are both arms seen alike by these records?", frame, _capture_columns(setting),
        _capture_notes(setting, ehr),
        f"Contacts per observed month, {setting.names[0]} over {setting.names[1]}, adjusted: {before:.2f} before the "
        f"index date, {after:.2f} in follow-up.",
        observed=apart if known else None, threshold=UNEQUAL, passed=apart <= UNEQUAL if known else None,
        why="Care outside the system's view is invisible: the arm that is seen more often has more of its events "
        "and costs on record.",
    )  # fmt: skip


def _over(top: Any, bottom: Any) -> float:
    return float(top / bottom) if bottom > 0 else float("nan")


def _capture_columns(setting: Setting) -> tuple[Column, ...]:
    per = "contacts per observed month"
    sides = tuple(zip(("exposed", "comparator"), setting.names, strict=True))
    return (
        Column("when", "When"),
        *(Column(f"rate_{side}", name, "number2", per, "As recorded", of=f"n_{side}") for side, name in sides),
        *(Column(f"weighted_{side}", name, "number2", per, "Adjusted", of=f"n_{side}") for side, name in sides),
        Column("ratio", "Ratio", "number2", spanner="Adjusted", of=COUNTS),
        *(Column(f"none_{side}", name, "percent", "persons/all (%)", "Without any contact", denominator=f"n_{side}")
          for side, name in sides),
    )  # fmt: skip


def _capture_notes(setting: Setting, ehr: bool) -> tuple[str, ...]:
    judged = (
        "Judged on both periods: these records see only the care given inside them."
        if ehr
        else "Judged on the time before the index date: in follow-up a programme may add or save contacts, and these "
        "records see all care that is paid for."
    )
    return ("A contact is a day on which a visit of any kind starts; the index date is not counted.",
            f"Adjusted: {setting.weighted.label}.", judged)  # fmt: skip


# --- when observation ends ------------------------------------------------------------------------


def end_rows(setting: Setting, allowed: Sequence[int]) -> list[Row]:
    """The effect with observation ended as recorded, and so many days after the last contact."""
    from clinops.build import rows

    main = setting.row(setting.data, setting.outcome, setting.adjusted, setting.rate, analysis="end of observation",
                       level="as recorded")  # fmt: skip
    found = [main | _watched(setting, setting.data)]
    for days in allowed:
        p = ended(setting.protocol, days).with_(outcomes=(setting.outcome,), negative_controls=(), subgroups=())
        data = setting.study.design.with_outcomes(rows.outcomes(p, setting.study.baseline).frame)
        row = setting.row(data, setting.outcome, setting.adjusted, setting.rate, analysis="end of observation",
                          level=f"last contact and {days} days")  # fmt: skip
        found.append(row | _watched(setting, data))
    return found


def ended(protocol: Protocol, days: int | None) -> Protocol:
    """The protocol with observation ended so many days after the last contact."""
    return protocol.with_(follow_up=dataclasses.replace(protocol.follow_up, last_contact=days))


def _watched(setting: Setting, data: Any) -> Row:
    """Share of the window that each arm was observed, beside the schema's columns."""
    length = float(setting.protocol.follow_up.window.length or np.nan)
    days = data.outcomes["observed_days"].to_numpy(dtype=float)
    return {f"share_{name}": float(days[arm].mean()) / length
            for name, arm in (("exposed", data.exposed), ("comparator", ~data.exposed))}  # fmt: skip


def end_of_observation(setting: Setting, found: list[Row]) -> Result:
    """The outcome under other rules for when observation ends."""
    import pandas as pd

    frame = pd.DataFrame(found)
    unit = str(frame["unit"].iloc[0])
    columns = (
        Column("level", "Observation ends"), *setting.arm_columns(),
        Column("share_exposed", setting.names[0], "fraction", "of the window", "Observed", of="n_exposed"),
        Column("share_comparator", setting.names[1], "fraction", "of the window", "Observed", of="n_comparator"),
        setting.effect_column(setting.rate, unit),
    )  # fmt: skip
    estimate = pd.to_numeric(frame["estimate"]).dropna().to_numpy(dtype=float)
    same = len(np.unique(np.sign(estimate))) <= 1
    low, high = (float(end) for end in (estimate.min(initial=np.inf), estimate.max(initial=-np.inf)))
    said = (
        f"{setting.outcome.name} under {len(frame)} rules for the end of observation: between {words.number(low)} "
        f"and {words.number(high)} {unit}; the sign is {'the same' if same else 'not the same'} in all of them."
    )
    figure = Figure(
        "forest", forest_data(frame, "level"),
        {"scale": "linear", "null": 0.0, "xlabel": f"Difference, {unit} (95% CI)", "exposed": setting.names[0],
         "comparator": setting.names[1]},
        counts=setting.of, of=dict.fromkeys(("estimate", "low", "high"), setting.of),
    )  # fmt: skip
    note = (
        "Ending observation after the last contact looks into the future: whoever comes back stays. It is offered "
        "as a sensitivity analysis of the records' own end, not in its place."
    )
    return Result(
        "end_of_observation", "When does observation end?", frame, columns, (note,), said, figure=figure, alt=said
    )
