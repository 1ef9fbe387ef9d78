"""Rates by calendar year and age as exhibits, with what keeps a hidden stratum from being worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import DAYS_A_YEAR
from clinops.analyse.outcomes.estimates import Row
from clinops.analyse.outcomes.rates import (
    AGE,
    EVERYBODY,
    PER,
    UNIT,
    YEAR,
    Rates,
    contrast,
    counted,
    margins_are_cells,
    rate,
    standard_name,
    standardised,
)
from clinops.results.disclosure import HIDDEN
from clinops.results.long import DERIVED
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.rates import Estimate

NOT_SHOWN = "not shown: it rests on small counts, or would give one away"
ARMS = ((True, "exposed"), (False, "comparator"))


def rates(of: Rates, min_cell: int) -> Result:
    """Events, person-time and rates of both arms, and their ratio: in all, by calendar year and by age."""
    import pandas as pd

    frame = pd.DataFrame([_stratum(of, *one) for one in of.strata()])
    columns = (
        Column("level", ""),
        *(column for _, arm in ARMS for column in _columns(of, arm)),
        Column("ratio", "Rate ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=_counts(of),
               missing="–"),
    )  # fmt: skip
    hidden = _lone(frame, _size(of), min_cell)
    drawn = frame["split"] != EVERYBODY
    place = np.cumsum(drawn.to_numpy()) - 1
    kept = [name for name in frame.columns if not str(name).startswith(("ratio", "years"))]
    figure = Figure(
        "rates", frame.loc[drawn, kept].reset_index(drop=True),
        {"ylabel": f"{of.rows.event} {UNIT}", "exposed": of.rows.names[0], "comparator": of.rows.names[1],
         "adjustment": of.rows.adjustment}, counts=_counts(of),
        of={f"{part}_{arm}": (f"{_size(of)}_{arm}", f"events_{arm}") for _, arm in ARMS for part in
            ("rate", "low", "high")},
        hidden=tuple((int(place[row]), column, text) for row, column, text in hidden if column in kept),
    )  # fmt: skip
    said = _said(of, frame.iloc[0], f"{of.rows.event}, {_which(of)}, {UNIT}")
    each = [_said(of, row, f"{row['split']} {row['level']}") for _, row in frame[drawn].iterrows()]
    return Result(
        "rates", f"{of.rows.event}: rates by calendar year and age", frame, columns,
        (*_notes(of), *_without_ratio(of, frame)), said,
        figure=figure, group_by="split", alt=" ".join([said, *each]), hidden=hidden,
    )  # fmt: skip


def _columns(of: Rates, arm: str) -> tuple[Column, ...]:
    name, size, events = of.rows.names[arm != "exposed"], f"{_size(of)}_{arm}", f"events_{arm}"
    return (
        Column(size, "Persons", "count", spanner=name), Column(events, "Events", "count", spanner=name),
        Column(f"years_{arm}", "Person-years", "number1", of=size, spanner=name),
        Column(f"rate_{arm}", "Rate (95% CI)", "number1", UNIT, spanner=name, low=f"low_{arm}", high=f"high_{arm}",
               of=(size, events), missing="–"),
    )  # fmt: skip


def _size(of: Rates) -> str:
    """What the column of persons is called: of first events "n", since those without one are a number as well."""
    return "n" if of.first or not of.rows.death else "persons"


def _counts(of: Rates) -> tuple[str, ...]:
    return tuple(f"{what}_{arm}" for what in (_size(of), "events") for _, arm in ARMS)


def _which(of: Rates) -> str:
    return "first events" if of.first else "all events" if of.rows.death else "events"


def _stratum(of: Rates, split: str, level: str, mask: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"split": split, "level": level}
    for arm, name in ARMS:
        n, events, days = counted(of, mask, arm)
        row |= {f"{_size(of)}_{name}": n, f"events_{name}": events, f"years_{name}": days / DAYS_A_YEAR}
        row |= _parts(rate(of, mask, arm), PER, f"rate_{name}", f"low_{name}", f"high_{name}")
    return row | _parts(contrast(of, mask, "ratio"), 1.0, "ratio", "ratio_low", "ratio_high")


def _parts(found: Estimate, per: float, *names: str) -> dict[str, float]:
    values = (found.estimate, found.conf_low, found.conf_high)
    return {name: per * value for name, value in zip(names, values, strict=True)}


def _lone(frame: pd.DataFrame, size: str, min_cell: int) -> tuple[tuple[int, str, str], ...]:
    """Hide the person-years of a second stratum where those of one alone are hidden: the total would give them away.

    Its rate and the ratio go with them, since events over a rate are person-years.
    """
    hidden = []
    for _, arm in ARMS:
        for split in (YEAR, AGE):
            part = frame[(frame["split"] == split) & (frame[f"years_{arm}"] > 0)]
            small = part[f"{size}_{arm}"] < min_cell
            if small.sum() == 1 and len(part) > 1:
                large = part.index[~small].to_numpy()
                row = int(large[np.argmin(part.loc[large, f"years_{arm}"])])
                names = (*(f"{what}_{arm}" for what in ("years", "rate", "low", "high")), "ratio", "ratio_low",
                         "ratio_high")  # fmt: skip
                hidden += [(row, name, HIDDEN) for name in names]
    return tuple(dict.fromkeys(hidden))


def _said(of: Rates, row: Any, what: str) -> str:
    parts = []
    for (_, arm), name in zip(ARMS, of.rows.names, strict=True):
        value, low, high = (float(row[f"{part}_{arm}"]) for part in ("rate", "low", "high"))
        known = words.interval(value, low, high) if np.isfinite(low) else words.number(value)
        parts.append(f"{known} among {name}" if row[f"years_{arm}"] else f"nobody followed among {name}")
    return f"{what}: {' and '.join(parts)}."


def _notes(of: Rates) -> list[str]:
    rows = of.rows
    time = "up to the first event or the end of follow-up" if of.first else "to the end of follow-up"
    said = [
        f"Person-time {time}, exact to the day: New Year's Day belongs to the new year, a birthday to the new age. A "
        "person is counted in every year and age in which they are watched."
    ]
    if not rows.plain:
        # Without the label of the adjustment: a number in it could be one that is hidden, and the note would go.
        said.append("Rates and ratios are weighted as the study is; persons, events and person-years are as counted.")
    said.append(
        "Intervals are exact (Poisson): the event comes once a person." if of.exact else
        f"Intervals take {'persons' if rows.cluster_name == 'person' else f'a {rows.cluster_name}'} as the unit, since "
        "events of one resemble each other; without events they are exact (Poisson)."
    )  # fmt: skip
    if (of.pieces.band == of.pieces.shape[1] - 1).any():
        said.append("Age is not known without a year of birth, or with one after the first day of follow-up.")
    return said


def _without_ratio(of: Rates, frame: pd.DataFrame) -> list[str]:
    """In which strata there is no ratio, by what is 0 in them."""
    told: dict[str, list[str]] = {}
    for row in frame[frame["ratio"].isna()].to_dict("records"):
        for (_, arm), name in zip(ARMS, of.rows.names, strict=True):
            what = "nobody was followed" if not row[f"years_{arm}"] else "there were no events"
            if not row[f"events_{arm}"]:
                told.setdefault(f"{what} in the arm {name}", []).append(f"{row['split']} {row['level']}")
    return [f"There is no ratio where {why}: {', '.join(strata)}." for why, strata in told.items()]


# --- standardised ------------------------------------------------------------------------------------------


def standardised_rates(of: Rates) -> Result:
    """The rates of both arms as they are and with the years and ages of one standard, and one ratio for all cells."""
    import pandas as pd

    everybody = next(of.strata())[2]
    found = standardised(of)
    crude = [rate(of, everybody, arm) for arm, _ in ARMS]
    plain = "as they are" if of.rows.plain else f"weighted ({of.rows.adjustment})"
    whole = standard_name(of)
    lines = [
        _line(f"Rates {plain}", crude, contrast(of, everybody, "difference"), contrast(of, everybody, "ratio")),
        _line(whole[0].upper() + whole[1:], [found.exposed, found.comparator], found.difference, found.ratio)
        | {"covered": found.covered},
        _line("Mantel-Haenszel rate ratio over calendar year and age", [], None, found.mantel_haenszel)
        | {"covered": found.covered},
    ]  # fmt: skip
    sizes = {f"{what}_{arm}": value for at, arm in ARMS for what, value in
             zip((_size(of), "events"), counted(of, everybody, at)[:2], strict=True)}  # fmt: skip
    frame = pd.DataFrame([line | sizes for line in lines])
    rests = _counts(of)
    if margins_are_cells(of):
        fewest = _fewest(of)
        for _, arm in ARMS:
            frame[f"fewest_{arm}"] = [np.nan, fewest[arm], fewest[arm]]
        rests = (*rests, *(f"fewest_{arm}" for _, arm in ARMS))
    columns = (
        Column("what", ""),
        *(Column(f"rate_{arm}", f"{name} (95% CI)", "number1", UNIT, low=f"low_{arm}", high=f"high_{arm}",
                 of=rests, missing="–") for (_, arm), name in zip(ARMS, of.rows.names, strict=True)),
        Column("gap", "Difference (95% CI)", "number1", UNIT, low="gap_low", high="gap_high", of=rests, missing="–"),
        Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=rests, missing="–"),
        Column("p_value", "P", "p", "of the ratio", of=rests, missing="–"),
        Column("covered", "Covered", "fraction", "of the standard", of=rests, missing="–"),
    )  # fmt: skip
    names = of.rows.names
    said = f"{of.rows.event}, {_which(of)}, {names[0]} v {names[1]}: {_ratio('standardised rate ratio', found.ratio)}."
    cells = (
        "A cell is a calendar year and band of age. Cells in which an arm has no person-time, or the age is not known, "
        "are left out; covered is the share of the standard's person-time in the others."
    )
    notes = [cells, *_why({line["what"]: line["note"] for line in lines})]
    return Result("standardised_rates", f"{of.rows.event}: rates with the same calendar years and ages", frame, columns,
                  tuple(notes), said)  # fmt: skip


def _line(what: str, rates: list[Estimate], gap: Estimate | None, ratio: Estimate) -> dict[str, Any]:
    row: dict[str, Any] = {"what": what, "p_value": ratio.p_value, "covered": np.nan, "note": ratio.note}
    for (_, arm), one in zip(ARMS, rates, strict=False):
        row |= _parts(one, PER, f"rate_{arm}", f"low_{arm}", f"high_{arm}")
    if gap is not None:
        row |= _parts(gap, PER, "gap", "gap_low", "gap_high")
    return row | _parts(ratio, 1.0, "ratio", "ratio_low", "ratio_high")


def _fewest(of: Rates) -> dict[str, int]:
    """The smallest count of each arm that is not 0: of persons, events, and those without an event."""
    found = {}
    for at, arm in ARMS:
        counts = [counted(of, mask, at)[:2] for _, _, mask in of.strata()]
        every = [n for pair in counts for n in (*pair, pair[0] - pair[1]) if n > 0]
        found[arm] = min(every, default=0)
    return found


def _ratio(what: str, found: Estimate) -> str:
    if not np.isfinite(found.estimate):
        return f"no {what} can be estimated"
    limits = [words.number(value, 2) for value in (found.conf_low, found.conf_high)]
    return f"{what} {found.estimate:.2f} (95% CI {limits[0]} to {limits[1]})"


def _why(notes: dict[str, str]) -> list[str]:
    told: dict[str, list[str]] = {}
    for what, note in notes.items():
        if note:
            told.setdefault(note, []).append(what)
    return [f"{'; '.join(heads)}: {note}." for note, heads in told.items()]


# --- the long table ----------------------------------------------------------------------------------------


def as_shown(rows: list[Row], strata: Result, whole: Result) -> list[Row]:
    """Take from rows of the long table what disclosure control took from the exhibits.

    On its own the long table might hide another stratum than the exhibit, and the two together would give both away.
    """
    gone: dict[tuple[str, str], set[str]] = {}
    for row, column, _ in strata.hidden:
        split, level = strata.frame["split"].iloc[row], strata.frame["level"].iloc[row]
        gone.setdefault(("", "") if split == EVERYBODY else (split, level), set()).add(column)
    lost = any(row > 0 and column == "ratio" for row, column, _ in whole.hidden)
    return [_row_as_shown(row, gone, lost) for row in rows]


def _row_as_shown(row: Row, gone: dict[tuple[str, str], set[str]], lost: bool) -> Row:
    columns = gone.get((row.get("subgroup", ""), row.get("level", "")), set())
    arms = {arm for _, arm in ARMS if any(column.endswith(arm) for column in columns)}
    together = not row["method"].startswith("rate of")
    if not arms and not (together and lost):
        return row
    empty: Row = {f"{what}_{arm}": None for arm in arms for what in ("n", "events", "person_days")}
    empty |= dict.fromkeys(DERIVED)
    return row | empty | {"note": NOT_SHOWN}
