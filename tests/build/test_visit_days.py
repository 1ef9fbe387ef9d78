"""The steps of a journey on tiny records: which visits are steps, of which kind, and what a day cost."""

from __future__ import annotations

from typing import Any

import pytest

import clinops as co
from clinops.build.visit_days import KINDS, cost_days, visit_days
from clinops.errors import DataError
from clinops.sources import omop
from tests.conftest import tiny
from tests.spec.support import analysis, bled, bleed, came, drug, other_drug, someone_else, took

INDEX = "2020-01-01"  # day 0; day 10 is 11 January
OTHER = someone_else(INDEX)
WINDOW = co.days(1, 30)


def protocol(**more: Any) -> Any:
    return co.protocol(
        title="t", question="q", follow_up=more.get("follow_up", co.follow_up(WINDOW)),
        exposed=co.cohort("drug", entry=co.first_ever(drug)),
        comparator=co.cohort("other", entry=co.first_ever(other_drug)),
    )  # fmt: skip


def found(source: Any, days: int = 30, **more: Any) -> dict[int, list[tuple[int, str]]]:
    """(day, kind) by person; the frame stands in order of its rows."""
    baseline, _ = analysis(source, window=WINDOW, **more)
    frame = visit_days(protocol(**more), baseline, days)
    assert frame.columns.tolist() == ["row", "day", "kind"]
    assert frame.equals(frame.sort_values(["row", "day"]).reset_index(drop=True))
    persons = baseline.frame["person_id"].to_numpy()
    out: dict[int, list[tuple[int, str]]] = {}
    for row, day, kind in frame.itertuples(index=False):
        out.setdefault(int(persons[row]), []).append((int(day), kind))
    return out


def test_the_gravest_visit_of_a_day_is_the_step(any_source: Any) -> None:
    day, next_day = "2020-01-11", "2020-01-12"
    visits = [row for concept in (9202, 9203, 9201, 5083) for row in came(1, day, concept=concept)]
    visits += [*came(1, next_day, next_day), *came(1, next_day, concept=9203), *came(2, day, concept=5083)]
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), *took(2, INDEX), OTHER], visit_occurrence=visits))
    assert found(source) == {1: [(10, "Admission"), (11, "Emergency")], 2: [(10, "Telehealth")]}


def test_every_kind_of_visit_has_its_kind_of_contact(source_of: Any) -> None:
    said = {
        **dict.fromkeys(omop.INPATIENT, "Admission"), 9203: "Emergency", 8870: "Emergency", 8863: "Post-acute",
        581476: "Post-acute", 9202: "Office", 581477: "Office", 8940: "Office", 5083: "Telehealth",
        38004207: "Other contact", 581458: "Other contact", 0: "Other contact",
    }  # fmt: skip
    visits = [came(1, f"2020-01-{day:02}", concept=concept)[0] for day, concept in enumerate(said, 2)]
    source = source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=visits))
    assert found(source) == {1: list(enumerate(said.values(), 1))}
    assert set(said.values()) == set(KINDS)


def test_days_before_and_after_do_not_count(any_source: Any) -> None:
    dates = ("2019-12-31", INDEX, "2020-01-02", "2020-01-21", "2020-01-22", "2020-01-31", "2020-02-01")
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, *dates)))
    assert [day for day, _ in found(source)[1]] == [1, 20, 21, 30]  # day 31 is after follow-up
    assert [day for day, _ in found(source, days=20)[1]] == [1, 20]
    assert [day for day, _ in found(source, days=1)[1]] == [1]


def test_a_stay_counts_on_the_day_it_starts(source_of: Any) -> None:
    stays = [{**came(1, start, concept=9201)[0], "end": "2020-01-20"} for start in ("2019-12-30", "2020-01-11")]
    source = source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=stays))
    assert found(source) == {1: [(10, "Admission")]}


def test_visits_after_the_end_of_follow_up_are_no_steps(any_source: Any) -> None:
    dates = ("2020-01-11", "2020-01-12")  # days 10 and 11; follow-up ends on day 10
    tables = tiny(
        observation_period=[{"person": 1, "start": "2015-01-01", "end": "2020-01-11"}, {"person": 2}, {"person": 3},
                            {"person": 999}],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), *took(3, INDEX), OTHER],
        visit_occurrence=[row for person in (1, 2, 3) for row in came(person, *dates)],
        death=[{"person": 2, "start": "2020-01-11"}], condition_occurrence=bled(3, "2020-01-11"),
    )  # fmt: skip
    censored = co.follow_up(WINDOW, censor=("end of observation", bleed))
    assert found(any_source(tables), follow_up=censored) == {person: [(10, "Office")] for person in (1, 2, 3)}


def test_a_person_in_both_arms_has_the_visits_of_each(source_of: Any) -> None:
    tables = tiny(
        drug_exposure=[*took(1, INDEX), *took(1, "2020-01-06", concept=1124300)], visit_occurrence=came(1, "2020-01-11")
    )
    baseline, _ = analysis(source_of(tables), window=WINDOW)
    assert visit_days(protocol(), baseline, 30).to_numpy().tolist() == [[0, 10, "Office"], [1, 5, "Office"]]


def test_nobody_with_a_visit_and_no_table_of_visits(source_of: Any) -> None:
    early = came(1, "2019-01-01")
    source = source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=early))
    assert found(source) == {}
    with pytest.raises(DataError, match=r"hold no visits.*visit_occurrence.*no journey"):
        found(source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER])))


def test_costs_by_day_within_follow_up(any_source: Any) -> None:
    dates = ("2020-01-01", "2020-01-02", "2020-01-11", "2020-01-11", "2020-02-01")
    amounts = ("1.00", "2.10", "4.25", "0.25", "16.00")
    tables = tiny(
        drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, *dates),
        cost=[{"person": 1, "event": at, "allowed": amount} for at, amount in enumerate(amounts, 1)],
    )  # fmt: skip
    baseline, _ = analysis(any_source(tables), window=WINDOW)
    assert cost_days(protocol(), baseline, 30).to_numpy().tolist() == [[0, 1, 2.10], [0, 10, 4.50]]
    assert cost_days(protocol(), baseline, 9).to_numpy().tolist() == [[0, 1, 2.10]]


def test_records_without_costs(source_of: Any) -> None:
    source = source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, "2020-01-11")))
    baseline, _ = analysis(source, window=WINDOW)
    assert cost_days(protocol(), baseline, 30) is None
