"""Exhibits of the measures of care: use per 1,000, length of stay, follow-up, access, continuity, appointments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.care import hidden
from clinops.analyse.care.readmission_tables import DAYS_PER_YEAR, EVERYBODY, POST_EXPOSURE, line
from clinops.define.care import CareRules
from clinops.results.result import Column, Result
from clinops.stats.clustered import ratio_of_sums

if TYPE_CHECKING:
    import pandas as pd

    from clinops.build.care.contacts import After
    from clinops.build.care.readmissions import Readmitted

CONTINUITY = {
    "upc": "Usual provider of care (UPC): share of visits to the provider seen most",
    "coc": "Continuity of care (Bice-Boxerman): how little visits are spread over providers",
    "secon": "Sequential continuity (SECON): share of visits to the provider of the visit before",
}
QUARTERS = "Median and quarters are left out where too few lie at or beyond them to be shown."
MOST_EXTREME = 11
STEP = (
    "Where the first step itself comes after exposure, so does who is counted here: this then describes, and shows no "
    "effect."
)


EMERGENCY = "Emergency visits"
PARTS = (f"{EMERGENCY}, released", f"{EMERGENCY}, admitted")


def use(
    persons: pd.DataFrame, counts: dict[str, tuple[str, pd.DataFrame, str]], notes: tuple[str, ...], min_cell: int
) -> Result:
    """Admissions, emergency visits and observation stays of everybody observed.

    Parameters
    ----------
    persons : of `Readmitted`. counts : name -> label, frame by person, its column. min_cell : smallest count shown.
    """
    import pandas as pd

    persons = persons[persons["days"] > 0]
    years = persons["days"].to_numpy(dtype=float) / DAYS_PER_YEAR
    everyone, rows = np.ones(len(persons)), []
    for label, frame, column in counts.values():
        found = pd.Series(frame[column].to_numpy(), index=frame["person_id"].to_numpy())
        events = found.reindex(persons["person_id"].to_numpy()).fillna(0).to_numpy(dtype=float)
        rows.append(line(EVERYBODY, label, events, everyone, "per 1,000 persons", 1000, "rate", "count"))
        rows.append(line(EVERYBODY, label, events, years, "per 1,000 person-years", 1000, "rate", "number0"))
    frame = pd.DataFrame(rows)
    columns = (
        Column("measure", "Measure"), Column("events", "Events", "percent", "n", denominator="part_of"),
        Column("of", "Of", "count", of="persons", format_by="of_format"), Column("unit", "Unit"),
        Column("value", "Rate (95% CI)", "number1", of=("events", "persons"), low="low", high="high"),
    )  # fmt: skip
    said = f"{frame['value'].iloc[1]:,.1f} admissions per 1,000 person-years."
    kept = ("Intervals take a person as the unit: events of one person resemble each other.", *notes)
    frame, gone = _without_parts(frame, min_cell)
    return Result("care_use", "Use of care per 1,000", frame, columns, kept, said, hidden=gone)


def _without_parts(frame: pd.DataFrame, min_cell: int) -> tuple[pd.DataFrame, tuple[tuple[int, str, str], ...]]:
    """Take out the part of the emergency visits that gives a small other part away: charts tell their total."""
    events = {label: float(frame["events"][frame["measure"] == label].iloc[0]) for label in PARTS}
    gone = [label for label, out in zip(PARTS, hidden.parts(list(events.values()), min_cell), strict=True) if out]
    rows = [int(row) for row in np.flatnonzero(frame["measure"].isin(gone))]
    shown = frame.assign(events=frame["events"].mask(frame["measure"].isin(gone)))
    return shown, tuple((row, "events", hidden.printed(events[frame["measure"].iloc[row]], min_cell)) for row in rows)


def length_of_stay(found: Readmitted) -> Result:
    """Nights in hospital an episode, of all and of those discharged alive."""
    import pandas as pd

    frame = found.frame
    known = frame[~frame["no_discharge"].astype(bool)]
    nights = (known["discharged"] - known["admitted"]).dt.days
    alive = ~known["died"].astype(bool)
    parts = {"Discharged alive": alive, "Died in hospital": ~alive, "Total": alive | ~alive}
    rows = [_length(label, known["person_id"][part], nights[part]) for label, part in parts.items()]
    columns = (
        Column("episodes_of", "Episodes"), Column("n", "Episodes", "count", "n"),
        Column("persons", "Persons", "count", "n"), Column("nights", "Nights", "number0", "n", of=("n", "persons")),
        Column("mean", "Mean nights (95% CI)", "number1", of=("n", "persons"), low="low", high="high"),
        Column("median", "Median (quarters)", "median", of=("n", "persons"), low="q1", high="q3"),
    )  # fmt: skip
    mean = rows[-1]["mean"]
    said = f"An episode of hospital care lasted {mean:.1f} nights on average." if len(known) else "There is no episode."
    notes = (
        "Nights are days from admission to discharge: 0 for in and out on one day. Transfers are one episode.",
        QUARTERS,
        *(("Episodes without a day of discharge are left out.",) if len(known) < len(frame) else ()),
        POST_EXPOSURE,
    )
    return Result("care_length_of_stay", "Length of stay", pd.DataFrame(rows), columns, notes, said)


def _length(label: str, persons: pd.Series, nights: pd.Series) -> dict[str, Any]:
    by = nights.groupby(persons.to_numpy()).agg(["sum", "size"])
    found = ratio_of_sums(by["sum"], by["size"], kind="mean")
    return {"episodes_of": label, "n": len(nights), "persons": len(by), "nights": int(nights.sum()),
            "mean": found.estimate, "low": found.conf_low, "high": found.conf_high} | _quarters(nights)  # fmt: skip


def _quarters(values: Any) -> dict[str, float]:
    """Median and quarters (the lowest value with so large a share at or below it), where enough lie beyond them."""
    known = np.sort(np.asarray(values, dtype=float))
    n, found = len(known), {}
    for name, share in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        at = known[max(int(np.ceil(share * n)) - 1, 0)] if n else np.nan
        enough = min((known <= at).sum(), (known >= at).sum()) >= MOST_EXTREME if n else False
        found[name] = float(at) if enough else np.nan
    return found


def reached(name: str, title: str, after: After, rules: CareRules, words: tuple[str, str]) -> Result:
    """How many had the contact within each number of days; `words` are what starts and what ends the wait."""
    import pandas as pd

    start, end = words
    frame = after.frame[after.frame["followed"].astype(bool)]
    unseen = len(after.frame) - len(frame)
    rows = [_within(frame, days, f"{end} within {days} days") for days in rules.days]
    columns = [
        Column("measure", "Measure"), Column("events", f"Of {start.lower()}", "percent", "n/all (%)", denominator="of"),
        Column("value", "Per 100 (95% CI)", "number1", of=("events", "of", "persons"), low="low", high="high"),
        Column("persons", "Persons", "count", "n"), Column("died", "Died before it", "count", "n"),
    ]  # fmt: skip
    if "days_to_next" in frame:
        columns.append(Column("readmitted", "Admitted before it", "count", "n"))
    last = rows[-1]
    said = f"{last['value']:.1f}% of {start.lower()}: {last['measure'].lower()}."
    if not len(frame):
        said = f"There are no {start.lower()} that were followed for {after.last} days."
    notes = [
        f"Of {start.lower()} followed for the longest time asked for, or until death in it; who died stays in, as not "
        "reached.",
        POST_EXPOSURE if "days_to_next" in frame else STEP,
    ]  # fmt: skip
    if unseen:
        notes.insert(1, "Those that were not followed for so long are left out of numerator and denominator.")
    return Result(name, title, pd.DataFrame(rows), tuple(columns), tuple(notes), said)


def _within(frame: pd.DataFrame, days: int, label: str) -> dict[str, Any]:
    by = frame.assign(reached=(frame["days_to"] <= days).astype(float), one=1.0)
    before = ~(frame["days_to"] <= days)
    sums = by.groupby("person_id")[["reached", "one"]].sum()
    found = ratio_of_sums(sums["reached"], sums["one"], kind="share")
    row = {
        "measure": label, "events": float(by["reached"].sum()), "of": len(frame), "value": 100 * found.estimate,
        "low": 100 * found.conf_low, "high": 100 * found.conf_high, "persons": len(sums),
        "died": int((before & (frame["days_to_death"] <= days)).sum()),
    }  # fmt: skip
    if "days_to_next" in frame:
        sooner = frame["days_to_next"] < frame["days_to"].where(frame["days_to"] <= days, np.inf)
        row["readmitted"] = int((sooner & (frame["days_to_next"] <= days)).sum())
    return row


def continuity(frame: pd.DataFrame, unnamed: int, rules: CareRules) -> Result:
    """Indices of continuity over persons with enough visits."""
    import pandas as pd

    rows = []
    for name, label in CONTINUITY.items():
        values = frame[name].to_numpy(dtype=float)
        found = ratio_of_sums(values, np.ones(len(values)), kind="mean")
        rows.append({"measure": label, "persons": len(values), "mean": found.estimate, "low": found.conf_low,
                     "high": found.conf_high, "unnamed": unnamed} | _quarters(values))  # fmt: skip
    columns = (
        Column("measure", "Index, 0 to 1"), Column("persons", "Persons", "count", "n"),
        Column("mean", "Mean (95% CI)", "number2", of="persons", low="low", high="high"),
        Column("median", "Median (quarters)", "median", of="persons", low="q1", high="q3", digits=2),
        Column("unnamed", f"Visits without a {rules.by}", "count", "n, left out"),
    )  # fmt: skip
    notes = (
        f"Of persons with at least {rules.at_least} visits in the period; visits to one {rules.by} on a day are one.",
        QUARTERS,
    )
    said = f"Mean Bice-Boxerman continuity: {rows[1]['mean']:.2f}."
    if not len(frame):
        other = " by='site' takes the site of care instead." if rules.by == "provider" else ""
        said = f"Nobody has {rules.at_least} visits that name a {rules.by}.{other}"
    return Result("care_continuity", "Continuity of ambulatory care", pd.DataFrame(rows), columns, notes, said)


def no_show(frame: pd.DataFrame) -> Result:
    """Missed appointments of all that were booked."""
    import pandas as pd

    missed, booked = (frame[name].to_numpy(dtype=float) for name in ("missed", "booked"))
    found = ratio_of_sums(missed, booked, kind="share")
    row = {"measure": "Missed appointments", "events": float(missed.sum()), "of": float(booked.sum()),
           "persons": len(frame), "value": 100 * found.estimate, "low": 100 * found.conf_low,
           "high": 100 * found.conf_high}  # fmt: skip
    columns = (
        Column("measure", "Measure"), Column("events", "Of those booked", "percent", "n/all (%)", denominator="of"),
        Column("value", "Per 100 (95% CI)", "number1", of=("events", "of", "persons"), low="low", high="high"),
        Column("persons", "Persons", "count", "n"),
    )  # fmt: skip
    notes = ("Appointments are days with one kept or one missed; cancelled ones are neither.",)
    said = f"{row['value']:.1f}% of appointments were missed." if len(frame) else "There are no appointments."
    return Result("care_no_show", "No-show", pd.DataFrame([row]), columns, notes, said)
