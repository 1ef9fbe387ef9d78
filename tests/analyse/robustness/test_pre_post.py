"""`co.pre_post`: refused alone; with an expectation, a fall that nobody caused is explained and one caused is left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.analyse.robustness.pre_post import WAYS
from clinops.errors import DefinitionError, DesignError
from clinops.results.schema import validate
from tests.conftest import tiny
from tests.spec.support import DRUG, OTHER_DRUG, came, drug, other_drug, took, visit

INDEX = dt.date(2020, 1, 1)
VISITS = co.count(visit, co.days(1, 100), name="Visits", role="primary", better="lower", worthwhile=1)


def on(day: int) -> str:
    return (INDEX + dt.timedelta(days=day)).isoformat()


def visits(person: int, before: int, after: int, long_before: int = 0) -> list[dict[str, Any]]:
    """Visits in the hundred days before the index date, in those after it, and in those that end on day -201."""
    days = [*range(-before, 0), *range(1, after + 1), *range(-200 - long_before, -200)]
    return came(person, *(on(day) for day in days))


def records(exposed: list[tuple[int, int]], others: list[tuple[int, int]], **more: Any) -> dict[str, Any]:
    people = dict(enumerate(exposed, 1)) | dict(enumerate(others, 1001))
    return tiny(
        drug_exposure=[r for p in people for r in took(p, on(0), concept=DRUG if p < 1001 else OTHER_DRUG)],
        visit_occurrence=[r for p, (before, after) in people.items() for r in visits(p, before, after)], **more,
    )  # fmt: skip


def protocol(**more: Any) -> Any:
    parts: dict[str, Any] = {
        "title": "A programme", "question": "Does it help?", "follow_up": co.follow_up(co.days(1, 100)),
        "exposed": co.cohort("Programme", entry=co.first_ever(drug)),
        "comparator": co.cohort("Usual care", entry=co.first_ever(other_drug)), "adjust": co.crude(),
        "covariates": (co.age_at_index(),), "outcomes": (VISITS,), "min_cell": 1,
    }  # fmt: skip
    return co.protocol(**(parts | more))


HIGH, LOW = [(8, 3), (8, 5), (6, 4), (6, 2)], [(8, 4), (8, 4), (6, 3), (6, 3), (1, 1), (2, 3), (1, 2), (2, 2)]


def test_a_single_arm_alone_is_refused_with_what_to_write(source_of: Callable[..., Any]) -> None:
    source = source_of(records(HIGH, LOW), capture="enrolment")
    with pytest.raises(DesignError, match="refused on its own") as caught:
        co.pre_post(protocol(), source)
    assert all(f"{way!r}" in str(caught.value) for way in WAYS) and "protocol.on(source)" in str(caught.value)
    with pytest.raises(DefinitionError, match="comparators"):
        co.pre_post(protocol(), source, "comparator")


def test_what_is_left_is_the_change_less_that_of_like_persons(source_of: Callable[..., Any]) -> None:
    """By hand, a person: 8 visits fall by 4 and 6 by 3 among the others; the exposed fall by 3.5, as expected."""
    made = co.pre_post(protocol(), source_of(records(HIGH, LOW), capture="enrolment"), "comparators")
    row = made.change.frame.iloc[0]
    assert (row["before"], row["after"], row["observed"]) == (7000, 3500, -3500)  # per 1,000 persons
    assert row["expected"] == pytest.approx(500 * -4 + 500 * -3) and row["left"] == pytest.approx(0)
    assert row["covered"] == 1 and row["n"] == 4 and row["n_untreated"] == 8
    assert "That is not the effect of the programme." in made.change.sentence and "no effect" in made.change.notes[1]
    assert [one.number for one in made.exhibits] == ["Table 1", "Figure 1"]
    validate(made.estimates)
    assert set(made.estimates["estimand"]) == {"no comparison group: not an effect"}


def test_an_effect_is_left_over(source_of: Callable[..., Any]) -> None:
    better = [(before, after - 2) for before, after in HIGH]
    made = co.pre_post(protocol(), source_of(records(better, LOW), capture="enrolment"), "comparators")
    assert made.change.frame["left"].iloc[0] == pytest.approx(-2000)


def test_the_exposed_without_a_like_person_are_set_aside_on_both_sides(source_of: Callable[..., Any]) -> None:
    """One more of the exposed falls from 12 to 1; nobody else had 12: neither observed nor left over."""
    made = co.pre_post(protocol(), source_of(records([*HIGH, (12, 1)], LOW), capture="enrolment"), "comparators")
    row = made.change.frame.iloc[0]
    assert (row["n"], row["covered"]) == (4, pytest.approx(0.8))
    assert (row["before"], row["observed"]) == (7000, -3500) and row["left"] == pytest.approx(0)
    assert "the 80% covered of" in made.change.sentence
    assert any("would have fallen most" in note for note in made.change.notes)


def test_the_straight_line_is_that_of_the_others(source_of: Callable[..., Any]) -> None:
    made = co.pre_post(protocol(), source_of(records(HIGH, LOW), capture="enrolment"), "line")
    before, after = np.array(LOW, dtype=float).T
    slope, level = np.polyfit(before, after, 1)
    row = made.change.frame.iloc[0]
    assert row["way"] == "a straight line through persons not exposed"
    assert row["expected"] == pytest.approx(1000 * (level + slope * 7 - 7))


def test_an_earlier_event_of_the_same_kind_gives_the_same_persons_own_fall(source_of: Callable[..., Any]) -> None:
    """Each of the exposed took the drug on day -210 too: 8 visits in the hundred days before it, 5 after it."""
    first = co.first_eligible(drug)
    people = range(1, 7)
    tables = tiny(
        drug_exposure=[r for p in people for r in took(p, on(-210), on(0))] + took(999, on(0), concept=OTHER_DRUG),
        visit_occurrence=[
            row for p in people for row in came(
                p, *(on(-210 - d) for d in range(1, 9)), *(on(-210 + d) for d in range(1, 6)),
                *(on(-d) for d in range(1, 9)), *(on(d) for d in range(1, 4)),
            )
        ],
    )  # fmt: skip
    lately = (co.between("2020-01-01", "2020-12-31"),)
    alone = co.allow("entry-kinds-differ", "the exposed are looked at alone, before and after")
    p = protocol(allow=(alone,), exposed=co.cohort("Programme", entry=first, steps=lately),
                 comparator=co.cohort("Usual care", entry=co.first_eligible(other_drug), steps=lately))  # fmt: skip
    source = source_of(tables, capture="enrolment")
    made = co.pre_post(p, source, "earlier")
    row = made.change.frame.iloc[0]
    assert (row["observed"], row["expected"], row["left"]) == pytest.approx((-5000, -3000, -2000))
    assert "Not possible from persons not exposed" in " ".join(made.change.notes)
    with pytest.raises(DesignError, match="No stratum holds two untreated persons"):
        co.pre_post(p, source, "comparators")


def test_who_was_not_observed_before_is_left_out_and_nobody_is_said(source_of: Callable[..., Any]) -> None:
    spans = [{"person": p, "start": on(-99 if p == 1 else -100)} for p in (1, 2, 3, 4, *range(1001, 1009))]
    made = co.pre_post(
        protocol(), source_of(records(HIGH, LOW, observation_period=spans), capture="enrolment"), "comparators"
    )
    assert made.change.frame["n"].iloc[0] == 3
    late = [span | {"start": on(-50)} for span in spans]
    nobody = co.pre_post(
        protocol(), source_of(records(HIGH, LOW, observation_period=late), capture="enrolment"), "comparators"
    )
    assert nobody.change.sentence.startswith("Not possible: fewer than two of Programme")
    assert nobody.figure.sentence.startswith("Not possible") and len(nobody.estimates) == 0


def at_sites(sites: dict[int, int | None], **more: Any) -> dict[str, Any]:
    """Eight of the exposed and sixteen others, each with the care site of their home."""
    tables = records(HIGH * 2, LOW * 2)
    people = [{"person_id": p, "care_site_id": sites[p]} for p in (*range(1, 9), *range(1001, 1017))]
    return tables | {"person": tiny(person=people)["person"]}


def test_intervals_respect_the_care_sites_of_both_sides(source_of: Callable[..., Any]) -> None:
    """By hand: sites 1 to 4 hold two of the exposed and four others each; their shares are summed by site."""
    sites = {p: (p - 1) // 2 + 1 for p in range(1, 9)} | {p: (p - 1001) // 4 + 1 for p in range(1001, 1017)}
    source = source_of(at_sites(sites), capture="enrolment")
    row = co.pre_post(protocol(cluster="care site"), source, "comparators").estimates.iloc[0]
    mine, theirs = np.array(HIGH * 2, dtype=float), np.array(LOW * 2, dtype=float)
    change, moved = mine[:, 1] - mine[:, 0], theirs[:, 1] - theirs[:, 0]
    share, total = (change - change.mean()) / np.sqrt(8 * 7), np.zeros(4)
    np.add.at(total, np.arange(8) // 2, share)
    for value, weight in ((8, 0.5), (6, 0.5)):  # four others began at either
        like = np.flatnonzero(theirs[:, 0] == value)
        np.add.at(total, like // 4, -weight * (moved[like] - moved[like].mean()) / np.sqrt(len(like) * (len(like) - 1)))
    n = 8 + 8
    assert row["std_error"] == pytest.approx(1000 * np.sqrt(total @ total * 4 / 3 * (n - 1) / n))
    assert row["se_kind"] == "CR1 (clusters: care site)"
    alone = co.pre_post(protocol(), source, "comparators").estimates.iloc[0]
    assert alone["std_error"] != pytest.approx(row["std_error"]) and alone["estimate"] == row["estimate"]


def test_the_exposed_of_one_care_site_have_no_interval(source_of: Callable[..., Any]) -> None:
    sites = dict.fromkeys(range(1, 9), 1) | {p: p for p in range(1001, 1017)}
    made = co.pre_post(protocol(cluster="care site"), source_of(at_sites(sites), capture="enrolment"), "comparators")
    assert np.isfinite(made.change.frame["left"].iloc[0]) and np.isnan(made.change.frame["left_low"].iloc[0])
    assert any("one care site shows no spread" in note for note in made.change.notes)
    assert made.estimates["note"].iloc[0].endswith("of one person or cluster: no error")
    assert "nan" not in made.change.sentence.lower() and made.figure.figure is not None
    nowhere = dict.fromkeys((*range(1, 9), *range(1001, 1017)))
    none = co.pre_post(protocol(cluster="care site"), source_of(at_sites(nowhere), capture="enrolment"), "comparators")
    assert none.change.sentence.startswith("Not possible: the protocol clusters on the care site, but no row has one")


def test_death_has_no_before(source_of: Callable[..., Any]) -> None:
    dies = co.time_to(co.events("death"), co.days(1, 100), name="Death", role="primary", better="lower", worthwhile=0.1)
    tables = records(HIGH, LOW, death=[{"person": 1, "start": on(50)}])
    made = co.pre_post(protocol(outcomes=(dies,)), source_of(tables, capture="enrolment"), "comparators")
    assert "has not died before it" in made.change.sentence
