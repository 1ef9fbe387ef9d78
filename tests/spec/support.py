"""Short words for the specification: what a tiny cohort, baseline or outcome comes to."""

from __future__ import annotations

from typing import Any

import clinops as co
from clinops.build import rows
from clinops.build.cohorts import Cohort, build

DRUG, OTHER_DRUG, BLEED = 1118084, 1124300, 192671

drug = co.events("drug", co.codes("the drug", DRUG))
other_drug = co.events("drug", co.codes("the other drug", OTHER_DRUG))
bleed = co.events("condition", co.codes("bleed", BLEED))
visit = co.events("visit", co.codes("visit", 9202))
death = co.events("death")


def took(person: int, *dates: str, concept: int = DRUG) -> list[dict[str, Any]]:
    """Drug exposures of one person."""
    return [{"person": person, "concept": concept, "start": date} for date in dates]


def bled(person: int, *dates: str) -> list[dict[str, Any]]:
    """Bleeds of one person."""
    return [{"person": person, "concept": BLEED, "start": date} for date in dates]


def came(person: int, *dates: str, concept: int = 9202) -> list[dict[str, Any]]:
    """One-day visits of one person."""
    return [{"person": person, "concept": concept, "start": date, "end": date} for date in dates]


def find(source: Any, entry: Any, *steps: Any, name: str = "arm", exit: Any = ()) -> Cohort:
    """Build a cohort."""
    return build(co.cohort(name, entry=entry, steps=steps, exit=exit), source)


def entered(cohort: Cohort) -> list[tuple[int, str]]:
    """The entries of a cohort, sorted: (person, index date)."""
    found = cohort.source.engine.collect(cohort.table.order_by(["person_id", "index_date"])).to_pylist()
    return [(row["person_id"], row["index_date"].isoformat()) for row in found]


def kept(cohort: Cohort) -> list[tuple[int, int]]:
    """(entries, persons) after each rule, the entry and the rule about observation included."""
    return list(zip(cohort.attrition["entries"], cohort.attrition["persons"], strict=True))


def analysis(source: Any, *, window: Any = None, steps: Any = (), **parts: Any) -> tuple[Any, Any]:
    """Baseline and outcomes of those who took the drug v those who took the other one, first ever."""
    ends = {name: parts.pop(name, ()) for name in ("exposed_exit", "comparator_exit")}
    follow_up = parts.pop("follow_up", window or co.days(1, 10))
    protocol = co.protocol(
        title="t", question="q", follow_up=follow_up,
        exposed=co.cohort(
            "drug", entry=parts.pop("entry", co.first_ever(drug)), steps=steps, exit=ends["exposed_exit"]
        ),
        comparator=co.cohort("other", entry=co.first_ever(other_drug), steps=steps, exit=ends["comparator_exit"]),
        **parts,
    )  # fmt: skip
    baseline = rows.baseline(protocol, build(protocol.exposed, source), build(protocol.comparator, source))
    return baseline, rows.outcomes(protocol, baseline)


def someone_else(date: str = "2015-01-01", person: int = 999) -> dict[str, Any]:
    """A comparator, since no arm may be empty."""
    return {"person": person, "concept": OTHER_DRUG, "start": date}


def by_person(baseline: Any, frame: Any, column: str) -> dict[int, Any]:
    """A column of an outcomes or baseline frame by person (of those who enter once), the comparator left out."""
    pairs = zip(baseline.frame["person_id"], frame[column], strict=True)
    return {int(person): value for person, value in pairs if person != 999}
