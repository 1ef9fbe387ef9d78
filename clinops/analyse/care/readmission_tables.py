"""Exhibits of readmissions: the rules in words, stays to index discharges, flags, and rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.define.care import FLAGS, ReadmissionRules
from clinops.results.result import Column, Result
from clinops.stats.clustered import ratio_of_sums

if TYPE_CHECKING:
    import pandas as pd

    from clinops.build.care.readmissions import Readmitted

DAYS_PER_YEAR = 365.25
POST_EXPOSURE = (
    "Who is admitted is decided after exposure, so what is counted among the admitted cannot show an effect: a "
    "programme that prevents the lighter admissions leaves a sicker group. The primary measures are admissions per "
    "1,000 and days at home of everybody."
)
EVERYBODY, ADMITTED = "Everybody observed (primary)", "Among the admitted (post-exposure: no effect can be read here)"

CMS = "Hospital-wide measure of CMS (Horwitz et al. 2014)"
SOURCES = {
    "died": CMS, "no_discharge": "clinops: nothing can be counted from an unknown day",
    "follow_up": f"{CMS}; deaths after discharge stay in", "look_back": f"{CMS}: 12 months",
    "against_advice": CMS, "transferred_out": CMS, "psychiatric": CMS, "rehabilitation": CMS, "cancer": CMS,
    "readmission": "Condition-specific measures of CMS; in the hospital-wide one a readmission may be an index",
}  # fmt: skip


def rules(rules: ReadmissionRules, found: Readmitted, persons: str) -> Result:
    """Every rule in words, with where it comes from; `persons` says who counts, and when."""
    import pandas as pd

    rows = [*_rules(rules), ("Persons", persons, "given")]
    frame = pd.DataFrame(rows, columns=["rule", "here", "source"])
    columns = (Column("rule", "Rule"), Column("here", "Here"), Column("source", "Source"))
    said = f"A readmission is the next episode of hospital care within {rules.days} days of an index discharge."
    return Result("readmission_rules", "Rules of the readmission measure", frame, columns, found.notes, said)


def _rules(rules: ReadmissionRules) -> list[tuple[str, str, str]]:
    merged = "not merged" if rules.transfer_days is None else (
        f"a stay at another facility that starts up to {rules.transfer_days} "
        f"{'day' if rules.transfer_days == 1 else 'days'} after discharge is the same episode"
    )  # fmt: skip
    period = f"{rules.first or 'first day on record'} to {rules.last or 'last day on record'}"
    stays = ", ".join(one.label for one in rules.stays) or "inpatient visits"
    reasons = "; ".join(FLAGS[name] for name in rules.not_index) or "none"
    planned = "all are counted together: no rules for planned ones were given"
    if rules.has_planned:
        always = ", ".join(one.label for one in rules.always_planned) or "none"
        maybe = ", ".join(one.label for one in rules.potentially_planned) or "none"
        acute = ", ".join(one.label for one in rules.acute) or "none"
        planned = f"always: {always}; potentially: {maybe}; but not with an acute diagnosis: {acute}"
    return [
        ("Hospital stays", stays, "OMOP visit concepts, or the code list given"),
        ("Exact copies", "same person, facility and days: one stay", "Tuva, duplicates"),
        ("Overlapping stays", "one episode: nobody is in two hospitals", "clinops; Tuva throws both out"),
        ("Transfers", merged, CMS),
        (
            "Return on the day of discharge to the same facility",
            rules.same_day,
            f"{CMS}: one stay if the same condition",
        ),
        (
            "Readmission",
            f"the next episode starts on day 0 to {rules.days} after discharge; an index has one at most",
            CMS,
        ),
        ("Planned readmissions", planned, "Planned readmission algorithm of CMS (Horwitz et al. 2014); own lists"),
        ("Diagnoses that the lists are held against", rules.diagnosis, f"{CMS}: principal"),
        ("No index if", reasons, "see the flags"),
        ("Days of discharge that count", period, "given"),
    ]


def stays(found: Readmitted) -> Result:
    """From stays on record to index discharges and readmissions: what each rule took."""
    import pandas as pd

    frame = pd.DataFrame(_steps(found), columns=["step", "out", "left"])
    columns = (
        Column("step", "Step"), Column("out", "Merged or left out", "count", "n"), Column("left", "Left", "count", "n"),
    )  # fmt: skip
    index, back = int(found.frame["index"].sum()), int(found.frame["readmitted"].sum())
    said = f"{index:,} index discharges, {back:,} of them followed by a readmission."
    return Result("readmission_stays", "From hospital stays to index discharges", frame, columns, sentence=said)


def _steps(found: Readmitted) -> list[tuple[str, Any, int]]:
    counts, frame = found.counts, found.frame
    left = counts["stays"]
    rows: list[tuple[str, Any, int]] = [("Hospital stays on record", np.nan, left)]
    merged = {
        "copies": "Exact copies left out", "overlaps": "Overlapping stays merged", "transfers": "Transfers merged",
        "same_day": "Returns on the day of discharge merged",
    }  # fmt: skip
    for name, label in merged.items():
        left -= counts[name]
        rows.append((label, counts[name], left))
    rows.append(("Episodes of other persons or discharged outside the period", left - len(frame), len(frame)))
    index = int(frame["index"].sum())
    rows.append(("No index, for a reason of the rules (see the flags)", len(frame) - index, index))
    back = int(frame["readmitted"].sum())
    rows.append((f"Index discharges followed by a readmission within {found.rules.days} days", np.nan, back))
    if found.rules.has_planned:
        rows.append(("of these unplanned", np.nan, int(frame["unplanned"].sum())))
    return rows


def flags(found: Readmitted) -> Result:
    """Every flag: how many episodes carry it, whether it keeps them from being an index, and where it is from.

    Reasons to be no index are counted at the first that holds, so that they add up with the index discharges to
    all episodes: counts that add up are protected together, and overlapping ones could be subtracted from others.
    """
    import pandas as pd

    frame = found.frame
    rows, used, still = [], found.rules.not_index, np.ones(len(frame), dtype=bool)
    for name in used:
        taken = still & frame[name].to_numpy(dtype=bool)
        still &= ~taken
        rows.append(_flag(FIRST, name, float(taken.sum()), SOURCES[name]))
    rows.append({"use": FIRST, "flag": "Index discharges", "episodes": float(still.sum()), "source": ""})
    rows.append({"use": FIRST, "flag": "Total", "episodes": float(len(frame)), "source": ""})
    for name in FLAGS:
        if name in found.unknown:
            rows.append(_flag(COLUMN, name, np.nan, f"Not known here: {found.unknown[name]}"))
        elif name not in used:
            rows.append(_flag(COLUMN, name, float(frame[name].sum()), SOURCES[name]))
    columns = (
        Column("flag", "Flag"), Column("episodes", "Episodes", "count", "n"), Column("source", "Source"),
    )  # fmt: skip
    said = "No flag removes an episode; those of the first group keep its discharge from being an index."
    return Result(
        "readmission_flags", "Flags of the episodes", pd.DataFrame(rows), columns, sentence=said, group_by="use"
    )


FIRST, COLUMN = "No index if (counted at the first reason that holds)", "Columns only (every episode that carries it)"


def _flag(use: str, name: str, episodes: float, source: str) -> dict[str, Any]:
    return {"use": use, "flag": FLAGS[name][0].upper() + FLAGS[name][1:], "episodes": episodes, "source": source}


def rate(found: Readmitted) -> Result:
    """Admissions and readmissions: per 1,000 persons and person-years of everybody, and per index discharge."""
    import pandas as pd

    frame = pd.DataFrame(_rates(found.rules, found.persons, found.rules.has_planned))
    columns = (
        Column("measure", "Measure"), Column("events", "Events", "percent", "n", denominator="part_of"),
        Column("of", "Of", "count", of="persons", format_by="of_format"), Column("unit", "Unit"),
        Column("value", "Rate (95% CI)", "number1", of=("events", "persons"), low="low", high="high"),
        Column("persons", "Persons", "count", "n"),
    )  # fmt: skip
    among = frame[(frame["among"] == ADMITTED) & frame["measure"].str.startswith("Readmissions")]
    share = among.iloc[0]
    said = f"{share['value']:.1f}% of index discharges were followed by a readmission within {found.rules.days} days."
    if np.isnan(share["value"]):
        said = "No discharge is an index, so there is no readmission rate."
    notes = [POST_EXPOSURE, "Intervals take a person, not a stay, as the unit: persons with several stays count once."]
    if not found.rules.has_planned:
        notes.append("Unplanned readmissions are not told apart: no rules for planned ones were given.")
    notes += sorted({note for note in frame["note"] if note})
    return Result(
        "readmission_rate", "Admissions and readmissions", frame, columns,
        tuple(notes), said, group_by="among",
    )  # fmt: skip


def _rates(rules: ReadmissionRules, persons: pd.DataFrame, planned: bool) -> list[dict[str, Any]]:
    watched = persons[persons["days"] > 0]
    everyone, years = np.ones(len(watched)), watched["days"].to_numpy(dtype=float) / DAYS_PER_YEAR
    kinds = {"admissions": "Admissions", "readmitted": f"Readmissions within {rules.days} days"}
    if planned:
        kinds["unplanned"] = f"Unplanned readmissions within {rules.days} days"
    rows = []
    for name, label in kinds.items():
        events = watched[name].to_numpy(dtype=float)
        rows.append(line(EVERYBODY, label, events, everyone, "per 1,000 persons", 1000, "rate", "count"))
        rows.append(line(EVERYBODY, label, events, years, "per 1,000 person-years", 1000, "rate", "number0"))
    index = persons["index"].to_numpy(dtype=float)
    for name, label in list(kinds.items())[1:]:
        events = persons[name].to_numpy(dtype=float)
        rows.append(line(ADMITTED, label, events, index, "per 100 index discharges", 100, "share", "count"))
    died, label = persons["died_within"].to_numpy(dtype=float), f"Deaths within {rules.days} days of discharge"
    return [*rows, line(ADMITTED, label, died, index, "per 100 index discharges", 100, "share", "count")]


def line(
    among: str, measure: str, events: np.ndarray, of: np.ndarray, unit: str, times: float, kind: str, of_format: str
) -> dict[str, Any]:
    """One row of a table of rates; `events` and `of` are one number a person."""
    found = ratio_of_sums(events, of, kind=kind)
    return {
        "among": among, "measure": measure, "events": float(events.sum()), "of": float(of.sum()), "unit": unit,
        "part_of": float(of.sum()) if kind == "share" else np.nan,
        "value": found.estimate * times, "low": found.conf_low * times, "high": found.conf_high * times,
        "std_error": found.std_error * times, "persons": int((of > 0).sum()), "of_format": of_format,
        "note": found.note and f"{measure} {unit}: {found.note}.",
    }  # fmt: skip
