"""Exhibits of effects, all read from the long frame of estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import DAYS_A_YEAR
from clinops.analyse.effects import MAIN, scales
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

MONEY, COUNTED = ("cost",), ("any", "count", "time to")


def select(estimates: pd.DataFrame, *, analysis: str, measure: Measure | None = None, **equal: Any) -> pd.DataFrame:
    """Rows of one analysis, narrowed to a measure and to columns equal to a value."""
    keep = estimates["analysis"] == analysis
    if measure is not None:
        keep &= estimates["measure"] == measure.name
    for name, value in equal.items():
        keep &= (estimates[name] == value).fillna(False)
    return estimates[keep]


def pick(
    estimates: pd.DataFrame, measure: Measure, scale: str, adjustment: str, analysis: str = "main"
) -> pd.Series | None:
    """The one row of a measure on a scale under an adjustment, or None."""
    rows = select(estimates, analysis=analysis, measure=measure, scale=scale, adjustment=adjustment)
    return None if rows.empty else rows.iloc[0]


def effects_table(estimates: pd.DataFrame, protocol: Protocol) -> Result:
    """Each outcome's adjusted values, absolute and relative effect, crude effect beside it."""
    frame = effect_frame(estimates, protocol, protocol.outcomes, "main")
    # One group a unit, in the order in which the protocol first comes to it.
    frame = frame.iloc[frame["unit"].map({u: i for i, u in enumerate(frame["unit"].unique())}).argsort(kind="stable")]
    frame = frame.assign(heading=frame["unit"].str[0].str.upper() + frame["unit"].str[1:]).reset_index(drop=True)
    columns = effect_columns(protocol, frame)
    label = protocol.adjust.label
    notes = [
        f"Adjusted: {label}. Differences and ratios compare {protocol.exposed.name} with {protocol.comparator.name}.",
        "Persons, events and person-years are as observed, without weights; values are "
        + ("weighted." if protocol.adjust.needs_weights else "means predicted for the same persons."),
        "Ratio: of hazards for a time to the first event, of rates for counts, of means for costs and days."
        if protocol.adjust.needs_weights
        else "Ratio: of rates for counts and a time to the first event, of means for costs and days.",
    ]
    return Result(
        "effects",
        "Effects on outcomes, use and cost",
        frame,
        columns,
        tuple(notes),
        _effect_sentence(frame, protocol),
        group_by="heading",
    )


def effect_frame(
    estimates: pd.DataFrame, protocol: Protocol, measures: tuple[Measure, ...], analysis: str
) -> pd.DataFrame:
    """One row a measure: both arms, the absolute and the relative effect, and the crude difference."""
    import pandas as pd

    rows = [_effect_row(estimates, protocol, m, scale, analysis) for m in measures for scale in _absolute(m, protocol)]
    frame = pd.DataFrame([r for r in rows if r is not None], columns=_COLUMNS)
    # P stands only where it says more than the intervals do: beside a ratio that is 0 or infinite.
    endless = frame["ratio_estimate"].isna() & frame["ratio_p"].notna()
    return frame.assign(ratio_p=frame["ratio_p"].where(endless)) if endless.any() else frame.drop(columns="ratio_p")


_ENDS = ("estimate", "low", "high")
_COLUMNS = [
    "measure", "role", "scale", "unit", "format", "n_exposed", "n_comparator", "events_exposed", "events_comparator",
    "years_exposed", "years_comparator", "value_exposed", "value_comparator",
    *[f"{kind}_{end}" for kind in ("difference", "ratio", "crude") for end in _ENDS], "ratio_scale", "ratio_note",
    "ratio_p", "se_kind", "note",
]  # fmt: skip


def _absolute(measure: Measure, protocol: Protocol) -> tuple[str, ...]:
    """A cost is shown per person over the horizon and per member-month; anything else once."""
    return ("mean difference", "PMPM difference") if measure.measure in MONEY else scales(measure, protocol.adjust)[:1]


def _effect_row(
    estimates: pd.DataFrame, protocol: Protocol, measure: Measure, scale: str, analysis: str
) -> dict[str, Any] | None:
    row = pick(estimates, measure, scale, protocol.adjust.label, analysis)
    if row is None:
        return None
    relative = "PMPM ratio" if scale == "PMPM difference" else scales(measure, protocol.adjust)[1]
    out = {
        "measure": measure.name, "role": row["role"],
        "scale": scale, "unit": row["unit"], "format": _format(measure),
        "years_exposed": row["person_days_exposed"] / DAYS_A_YEAR,
        "years_comparator": row["person_days_comparator"] / DAYS_A_YEAR, "ratio_scale": relative,
        "se_kind": row["se_kind"], "note": row["note"],
    }  # fmt: skip
    for name in ("n", "events", "value"):
        for arm in ("exposed", "comparator"):
            out[f"{name}_{arm}"] = row[f"{name}_{arm}"]
    ratio = pick(estimates, measure, relative, protocol.adjust.label, analysis)
    crude = pick(estimates, measure, scale, "crude", analysis)
    for kind, found in (("difference", row), ("ratio", ratio), ("crude", crude)):
        for end, column in zip(_ENDS, ("estimate", "conf_low", "conf_high"), strict=True):
            out[f"{kind}_{end}"] = np.nan if found is None else found[column]
    out |= {f"ratio_{end}": np.nan if ratio is None else ratio[c] for end, c in (("note", "note"), ("p", "p_value"))}
    return out


def _format(measure: Measure) -> str:
    return "number0" if measure.measure in MONEY else "number1"


def effect_columns(protocol: Protocol, frame: pd.DataFrame, *, crude: bool = True) -> tuple[Column, ...]:
    """How a frame of effects is shown; an arm's persons stand in its heading where all outcomes have the same."""
    counts = ("events_exposed", "events_comparator")
    columns = [Column("measure", "Outcome")]
    for arm, cohort in (("exposed", protocol.exposed), ("comparator", protocol.comparator)):
        persons = frame[f"n_{arm}"].dropna().unique()
        head = f"{cohort.name} (n = {int(persons[0]):,})" if len(persons) == 1 else cohort.name
        if len(persons) > 1:
            columns.append(Column(f"n_{arm}", "Persons", "count", "n", head))
        columns += [
            Column(f"events_{arm}", "Events", "count", "n", head),
            Column(f"value_{arm}", "Value", "number1", "adjusted", head, of=f"events_{arm}", format_by="format"),
        ]
    columns.append(
        Column("difference_estimate", "Difference (95% CI)", "number1", "", "Adjusted", of=counts, format_by="format",
               low="difference_low", high="difference_high")
    )  # fmt: skip
    columns.append(
        Column(
            "ratio_estimate", "Ratio (95% CI)", "ratio", "", "Adjusted", of=counts, low="ratio_low", high="ratio_high"
        )
    )
    if "ratio_p" in frame:
        columns.append(Column("ratio_p", "P", "p", "", "Adjusted", of=counts, missing=""))
    if crude and protocol.adjust.method != "none":
        columns.append(
            Column("crude_estimate", "Difference (95% CI)", "number1", "", "Crude", of=counts, format_by="format",
                   low="crude_low", high="crude_high")
        )  # fmt: skip
    return tuple(columns)


def _three(row: pd.Series, kind: str) -> tuple[float, float, float]:
    """An estimate and the ends of its interval."""
    estimate, low, high = (float(row[f"{kind}_{end}"]) for end in _ENDS)
    return estimate, low, high


def _effect_sentence(frame: pd.DataFrame, protocol: Protocol) -> str:
    found = frame[frame["role"] == "primary"]
    if found.empty:
        return f"{len(frame)} outcomes are compared between {protocol.exposed.name} and {protocol.comparator.name}."
    row = found.iloc[0]
    said = words.interval(*_three(row, "difference"), str(row["unit"]))
    return f"{row['measure']}: adjusted difference {said}; crude {words.number(float(row['crude_estimate']))}."


def forest(estimates: pd.DataFrame, protocol: Protocol) -> Result:
    """The relative effect on every outcome, adjusted and crude, on a log axis."""
    frame = effect_frame(estimates, protocol, protocol.outcomes, "main")
    frame = frame[frame["scale"] != "PMPM difference"].reset_index(drop=True).drop(columns="ratio_p", errors="ignore")
    data = frame.rename(
        columns={"measure": "label", "ratio_estimate": "estimate", "ratio_low": "low", "ratio_high": "high"}
    )
    figure = Figure(
        "forest", data[["label", "estimate", "low", "high", "events_exposed", "n_exposed", "events_comparator",
                        "n_comparator"]],
        {"scale": "log", "null": 1.0, "xlabel": "Adjusted ratio (95% CI)", "exposed": protocol.exposed.name,
         "comparator": protocol.comparator.name},
        counts=("events_exposed", "n_exposed", "events_comparator", "n_comparator"),
        of=dict.fromkeys(_ENDS, ("events_exposed", "events_comparator")),
    )  # fmt: skip
    shown = data["estimate"].notna().sum()
    sentence = f"Ratios of {shown} outcomes with 95% intervals; left of 1 is less among {protocol.exposed.name}."
    columns = (
        Column("measure", "Outcome"), Column("ratio_scale", "Ratio of"),
        Column("ratio_estimate", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high",
               of=("events_exposed", "events_comparator")),
    )  # fmt: skip
    return Result(
        "forest", "Relative effects on all outcomes", frame, columns, sentence=sentence, figure=figure, alt=sentence
    )


def ladder(estimates: pd.DataFrame, protocol: Protocol, currency: str) -> Result:
    """From the most naive comparison to the main one, on the primary outcome."""
    frame = select(estimates, analysis="ladder").reset_index(drop=True)
    money = protocol.primary is not None and protocol.primary.measure in MONEY
    columns = (
        Column("adjustment", "Comparison"),
        Column("estimand", "For whom"),
        Column("n_exposed", protocol.exposed.name, "count", "persons"),
        Column("n_comparator", protocol.comparator.name, "count", "persons"),
        Column("estimate", "Difference (95% CI)", "money" if money else "number1",
               currency if money else _unit(frame), low="conf_low", high="conf_high",
               of=("n_exposed", "n_comparator")),
    )  # fmt: skip
    figure = Figure(
        "forest", _as_forest(frame, "adjustment"),
        _linear(protocol, _unit(frame)),
        counts=("n_exposed", "n_comparator"), of=dict.fromkeys(_ENDS, ("n_exposed", "n_comparator")),
    )  # fmt: skip
    name = protocol.primary.name if protocol.primary else "the primary outcome"
    sentence = f"{name} under {len(frame)} ways of comparing, from naive to the main analysis."
    return Result("ladder", f"From naive to adjusted: {name}", frame, columns, sentence=sentence, figure=figure,
                  alt=sentence, notes=_rows_notes(frame))  # fmt: skip


def _linear(protocol: Protocol, unit: str) -> dict[str, Any]:
    """Options of a forest of differences."""
    return {"scale": "linear", "null": 0.0, "xlabel": f"Difference, {unit} (95% CI)",
            "exposed": protocol.exposed.name, "comparator": protocol.comparator.name}  # fmt: skip


def _as_forest(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    data = frame.rename(columns={label: "label", "conf_low": "low", "conf_high": "high"})
    return data[["label", "estimate", "low", "high", "n_exposed", "n_comparator"]].reset_index(drop=True)


def _unit(frame: pd.DataFrame) -> str:
    units = frame["unit"].dropna()
    return str(units.iloc[0]) if len(units) else ""


def _rows_notes(frame: pd.DataFrame) -> tuple[str, ...]:
    """Notes of the rows, each once and with the row it belongs to."""
    said = frame[frame["note"].notna()]
    return tuple(dict.fromkeys(f"{row['adjustment']}: {row['note']}" for _, row in said.iterrows()))


def subgroups(
    estimates: pd.DataFrame, protocol: Protocol, p_values: dict[tuple[str, str], float], currency: str
) -> Result:
    """The primary outcome within subgroups, with a test of whether they differ."""
    primary = protocol.primary
    scale = MAIN[primary.measure] if primary else "mean difference"
    frame = select(estimates, analysis="subgroup", scale=scale).reset_index(drop=True)
    frame = frame.assign(
        label=frame["subgroup"].str.cat(frame["level"], sep=": "),
        p_interaction=[p_values.get((s, scale), np.nan) for s in frame["subgroup"]],
    )
    frame.loc[frame["subgroup"].duplicated(), "p_interaction"] = np.nan
    money = primary is not None and primary.measure in MONEY
    columns = (
        Column("level", "Level"),
        Column("n_exposed", protocol.exposed.name, "count", "persons"),
        Column("n_comparator", protocol.comparator.name, "count", "persons"),
        Column("estimate", "Difference (95% CI)", "money" if money else "number1",
               currency if money else _unit(frame), low="conf_low", high="conf_high", of=("n_exposed", "n_comparator")),
        Column("p_interaction", "P for difference between levels", "p"),
    )  # fmt: skip
    data = _as_forest(frame.drop(columns="label").assign(adjustment=frame["label"]), "adjustment")
    figure = Figure(
        "forest", data, _linear(protocol, _unit(frame)),
        counts=("n_exposed", "n_comparator"), of=dict.fromkeys(_ENDS, ("n_exposed", "n_comparator")),
    )  # fmt: skip
    sentence = (
        f"{len(frame)} subgroups; each weighted anew. A difference between subgroups needs its own test, shown once."
    )
    return Result("subgroups", "Primary outcome in subgroups", frame, columns, sentence=sentence, group_by="subgroup",
                  figure=figure, alt=sentence, notes=_rows_notes(frame))  # fmt: skip


def sensitivity(estimates: pd.DataFrame, protocol: Protocol, currency: str) -> Result:
    """The primary outcome under other defensible choices, the main analysis first."""
    import pandas as pd

    primary = protocol.primary
    scale = MAIN[primary.measure] if primary else "mean difference"
    main = select(estimates, analysis="main", measure=primary, scale=scale, adjustment=protocol.adjust.label)
    frame = pd.concat(
        [main.assign(level="main analysis"), select(estimates, analysis="sensitivity")], ignore_index=True
    )
    frame = frame.assign(label=frame["adjustment"].str.cat(frame["period"], sep=", "))
    money = primary is not None and primary.measure in MONEY
    columns = (
        Column("adjustment", "Adjustment"),
        Column("period", "Window"),
        Column("estimand", "For whom"),
        Column("n_exposed", protocol.exposed.name, "count", "persons"),
        Column("n_comparator", protocol.comparator.name, "count", "persons"),
        Column("estimate", "Difference (95% CI)", "money" if money else "number1",
               currency if money else _unit(frame), low="conf_low", high="conf_high", of=("n_exposed", "n_comparator")),
    )  # fmt: skip
    figure = Figure(
        "forest", _as_forest(frame.drop(columns="adjustment").rename(columns={"label": "adjustment"}), "adjustment"),
        _linear(protocol, _unit(frame)),
        counts=("n_exposed", "n_comparator"), of=dict.fromkeys(_ENDS, ("n_exposed", "n_comparator")),
    )  # fmt: skip
    same = np.sign(frame["estimate"].dropna()).nunique() <= 1
    sentence = f"{len(frame)} specifications; the sign is {'the same' if same else 'not the same'} in all of them."
    return Result("sensitivity", "Sensitivity to window, caliper and estimator", frame, columns, sentence=sentence,
                  figure=figure, alt=sentence, notes=_rows_notes(frame))  # fmt: skip
