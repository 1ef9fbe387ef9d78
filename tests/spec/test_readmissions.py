"""Readmissions on hand-made patients: which stays are one, which discharges count, what came after them."""

from __future__ import annotations

import csv

import pytest

import clinops as co
from clinops.build.care.readmissions import after_index, readmitted
from clinops.build.cohorts import build
from clinops.define.care import HOSPITAL_WIDE, readmission_rules
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.support import case_file


def stay(person, start, end, site=1, **more):
    return {"person": person, "concept": 9201, "start": start, "end": end, "care_site_id": site, **more}


def observed(person, start, end):
    return {"person": person, "start": start, "end": end}


def found(source, **rules):
    return readmitted(source, readmission_rules(**rules))


def index(result):
    """Discharges that count, by the id of the first stay: days to the next episode, and whether it is a readmission."""
    frame = result.frame[result.frame["index"]]
    return {int(row.episode): bool(row.readmitted) for row in frame.itertuples()}


def case_c004():
    rows = list(csv.DictReader(case_file("C004", "stays.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[-1] == rows[-2]  # an exact copy
    to = {"home": None, "transfer": 8717, "expired": 4216643}
    return tiny(
        observation_period=[
            {"person": person, "start": "2022-01-01", "end": "2023-12-31"} for person in range(1, 10)
        ],
        visit_occurrence=[
            stay(int(row["person_id"][1:]), row["admit_date"], row["discharge_date"], int(row["facility_id"][1:]),
                 id=int(row["stay_id"][1:]), discharged_to_concept_id=to[row["disposition"]])
            for row in rows
        ],
    )  # fmt: skip


@pytest.mark.parametrize("same_day", ["new stay", "same condition"])
def test_case_c004_exactly(any_source, same_day):
    # No stay of the case has a diagnosis, so a same-day return is never known to be for the same condition.
    result = found(any_source(case_c004()), same_day=same_day)
    frame = result.frame
    assert len(frame[frame["index"]]) == 13
    assert set(frame.loc[frame["readmitted"], "episode"]) == {1, 5, 8, 14, 15}
    assert frame.loc[frame["readmitted"], "days_to_next"].tolist() == [30, 10, 0, 7, 8]
    assert frame["readmitted"].sum() / frame["index"].sum() == 5 / 13
    (merged,) = frame[frame["stays"] == 2]["last_stay"].tolist()[:1]
    assert merged == 6
    assert set(frame.loc[~frame["index"], "episode"]) == {10, 13}
    assert frame.set_index("episode").loc[10, "died"] and frame.set_index("episode").loc[13, "follow_up"]
    assert result.counts == {"stays": 17, "copies": 0, "overlaps": 0, "transfers": 2, "same_day": 0}


def test_what_the_case_goes_wrong_without(any_source):
    source = any_source(case_c004())
    loose = found(source, transfer_days=None, not_index=())
    assert (loose.frame["index"].sum(), loose.frame["readmitted"].sum()) == (17, 7)  # the 41.2 % of the case
    assert found(source, days=29).frame["readmitted"].sum() == 4  # day 30 off by one


def test_copies_under_another_id_are_one_stay(any_source):
    twice = tiny(
        visit_occurrence=[stay(1, "2020-01-01", "2020-01-01", id=1), stay(1, "2020-01-01", "2020-01-01", id=2)]
    )
    result = found(any_source(twice))
    assert index(result) == {1: False}
    assert (result.counts["stays"], result.counts["copies"]) == (2, 1)


def test_stays_that_overlap_or_nest_are_one(any_source):
    tables = tiny(visit_occurrence=[
        stay(1, "2020-01-01", "2020-01-10", 1, id=1), stay(1, "2020-01-03", "2020-01-04", 2, id=2),  # nested
        stay(1, "2020-01-09", "2020-01-12", 1, id=3), stay(1, "2020-01-13", "2020-01-14", 1, id=4),
    ])  # fmt: skip
    result = found(any_source(tables))
    first = result.frame.set_index("episode").loc[1]
    assert (first["stays"], first["last_stay"], first["days_to_next"]) == (3, 3, 1)
    assert str(first["discharged"].date()) == "2020-01-12"
    assert index(result) == {1: True, 4: False}
    assert result.counts["overlaps"] == 2


def test_transfers_chain_and_follow_the_number_of_days(any_source):
    tables = tiny(visit_occurrence=[
        stay(1, "2020-01-01", "2020-01-03", 1, id=1), stay(1, "2020-01-03", "2020-01-05", 2, id=2),
        stay(1, "2020-01-06", "2020-01-09", 1, id=3),  # back again the day after: still the same episode
        stay(2, "2020-01-01", "2020-01-03", 1, id=4), stay(2, "2020-01-05", "2020-01-06", 2, id=5),  # two days later
        stay(3, "2020-01-01", "2020-01-03", 1, id=6), stay(3, "2020-01-04", "2020-01-06", 1, id=7),  # same facility
        stay(4, "2020-01-01", "2020-01-03", None, id=8), stay(4, "2020-01-03", "2020-01-06", 2, id=9),  # not known
    ])  # fmt: skip
    source = any_source(tables)
    assert index(found(source)) == {1: False, 4: True, 5: False, 6: True, 7: False, 8: True, 9: False}
    assert index(found(source, transfer_days=2)) == {1: False, 4: False, 6: True, 7: False, 8: True, 9: False}
    assert index(found(source, transfer_days=0))[1] is True  # the stay of day 6 is then a readmission
    assert len(index(found(source, transfer_days=None))) == 9


def diagnosed(stay_id, person, concept, date, status=32903):
    return {"person": person, "concept": concept, "start": date, "visit_occurrence_id": stay_id,
            "condition_status_concept_id": status}  # fmt: skip


def same_day_tables():
    return tiny(
        visit_occurrence=[
            stay(1, "2020-01-01", "2020-01-03", id=1), stay(1, "2020-01-03", "2020-01-05", id=2),  # same condition
            stay(2, "2020-01-01", "2020-01-03", id=3), stay(2, "2020-01-03", "2020-01-05", id=4),  # another one
            stay(3, "2020-01-01", "2020-01-03", id=5), stay(3, "2020-01-03", "2020-01-05", id=6),  # secondary only
        ],
        condition_occurrence=[
            diagnosed(1, 1, 7, "2020-01-01"), diagnosed(2, 1, 7, "2020-01-03"),
            diagnosed(3, 2, 7, "2020-01-01"), diagnosed(4, 2, 8, "2020-01-03"), diagnosed(4, 2, 7, "2020-01-03", 32908),
            diagnosed(5, 3, 7, "2020-01-01", 32908), diagnosed(6, 3, 7, "2020-01-03", 32908),
        ],
    )  # fmt: skip


def test_a_return_on_the_same_day_by_each_rule(any_source):
    source = any_source(same_day_tables())
    assert index(found(source)) == {1: False, 3: True, 4: False, 5: True, 6: False}
    assert index(found(source, same_day="one stay")) == {1: False, 3: False, 5: False}
    assert index(found(source, same_day="new stay")) == {1: True, 2: False, 3: True, 4: False, 5: True, 6: False}
    assert found(source).counts["same_day"] == 1


def test_deaths_after_discharge_stay_in_and_count_as_followed(any_source):
    tables = tiny(
        observation_period=[
            observed(1, "2019-01-01", "2020-01-20"), observed(2, "2019-01-01", "2020-01-20"),
            observed(3, "2019-01-01", "2020-12-31"), observed(4, "2019-01-01", "2020-01-20"),
            observed(5, "2020-02-01", "2020-12-31"),
        ],
        visit_occurrence=[stay(p, "2020-01-05", "2020-01-10", id=p) for p in range(1, 6)],
        death=[
            {"person": 1, "start": "2020-01-20"},  # observed until death on day 10: an index
            {"person": 3, "start": "2020-01-10"},  # on the day of discharge: in hospital
            {"person": 4, "start": "2020-01-30"},  # ten days unseen before death
        ],
    )  # fmt: skip
    result = found(any_source(tables))
    frame = result.frame.set_index("episode")
    assert frame["follow_up"].to_dict() == {1: False, 2: True, 3: False, 4: True, 5: True}  # 5: not observed then
    assert frame["died"].to_dict() == {1: False, 2: False, 3: True, 4: False, 5: False}
    assert index(result) == {1: False}
    assert frame["died_within"].to_dict() == {1: True, 2: False, 3: False, 4: False, 5: False}  # of index discharges
    assert frame["days_to_death"].dropna().to_dict() == {1: 10, 3: 0, 4: 20}
    assert result.persons["died_within"].tolist() == [1, 0, 0, 0, 0]


def test_dispositions_by_concept_and_as_claims_write_them(any_source):
    tables = tiny(visit_occurrence=[
        stay(1, "2020-01-01", "2020-01-03", id=1, discharged_to_concept_id=4021968),
        stay(2, "2020-01-01", "2020-01-03", id=2, discharged_to_source_value="07"),
        stay(3, "2020-01-01", "2020-01-03", id=3, discharged_to_source_value="20"),
        stay(4, "2020-01-01", "2020-01-03", id=4, discharged_to_concept_id=8717),
        stay(5, "2020-01-01", "2020-01-03", id=5, discharged_to_source_value="01"),
        stay(6, "2020-01-01", "2020-01-03", 1, id=6, discharged_to_concept_id=8717),  # received elsewhere
        stay(6, "2020-01-03", "2020-01-06", 2, id=7, discharged_to_source_value="1"),
    ])  # fmt: skip
    source = any_source(tables)
    frame = found(source).frame.set_index("episode")
    assert frame.index[frame["against_advice"].astype(bool)].tolist() == [1, 2]
    assert frame.index[frame["died"].astype(bool)].tolist() == [3]
    assert frame.index[frame["transferred_out"].astype(bool)].tolist() == [4]
    assert sorted(index(found(source))) == [1, 2, 4, 5, 6]  # flags are columns, and no filter
    assert sorted(index(found(source, not_index="hospital-wide"))) == [5, 6]


def planned_tables():
    """Person p is discharged on 5 January and comes back on the 10th; what makes the return planned differs."""
    visits, procedures, conditions = [], [], []
    for person in range(1, 7):
        visits += [stay(person, "2020-01-01", "2020-01-05", id=10 * person),
                   stay(person, "2020-01-10", "2020-01-12", id=10 * person + 1)]  # fmt: skip
    for person, concept in ((1, 70), (2, 71), (3, 71), (6, 70)):
        procedures.append({"person": person, "concept": concept, "start": "2020-01-10",
                           "visit_occurrence_id": 10 * person + (0 if person == 6 else 1)})  # fmt: skip
    conditions += [diagnosed(31, 3, 80, "2020-01-10"), diagnosed(21, 2, 80, "2020-01-10", 32908),
                   diagnosed(41, 4, 81, "2020-01-10"), diagnosed(60, 6, 82, "2020-01-01")]  # fmt: skip
    return tiny(visit_occurrence=visits, procedure_occurrence=procedures, condition_occurrence=conditions)


always = (co.events("procedure", co.codes("transplant", 70)), co.events("condition", co.codes("maintenance", 81)))
maybe = co.events("procedure", co.codes("potentially planned", 71))
acute = co.events("condition", co.codes("acute", 80))


def test_planned_readmissions(any_source):
    source = any_source(planned_tables())
    result = found(source, always_planned=always, potentially_planned=maybe, acute=acute)
    frame = result.frame[result.frame["readmitted"]].set_index("person_id")
    # 1 always; 2 potentially, the acute diagnosis is secondary; 3 potentially but acute; 4 by its diagnosis;
    # 5 nothing; 6 the procedure was in the index stay.
    assert frame["planned"].to_dict() == {1: True, 2: True, 3: False, 4: True, 5: False, 6: False}
    assert (frame["unplanned"] == ~frame["planned"]).all()
    either = found(source, always_planned=always, potentially_planned=maybe, acute=acute, diagnosis="any").frame
    assert not either[either["person_id"] == 2]["planned"].any()


def test_listed_flags_go_by_the_last_stay(any_source):
    psychiatric = co.events("condition", co.codes("depression", 82))
    result = found(any_source(planned_tables()), psychiatric=psychiatric)
    frame = result.frame.set_index("episode")
    assert frame.index[frame["psychiatric"].astype(bool)].tolist() == [60]
    assert set(result.unknown) == {"rehabilitation", "cancer", "against_advice", "transferred_out"}
    assert frame["cancer"].isna().all()


def test_look_back_and_readmissions_as_index(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2019-12-01", "end": "2020-12-31"}],
        visit_occurrence=[stay(1, "2020-01-01", "2020-01-05", id=1), stay(1, "2020-02-01", "2020-02-03", id=2),
                          stay(1, "2020-06-01", "2020-06-03", id=3)],
    )  # fmt: skip
    source = any_source(tables)
    assert index(found(source)) == {1: True, 2: False, 3: False}
    frame = found(source, look_back=62).frame.set_index("episode")
    assert frame["look_back"].to_dict() == {1: True, 2: False, 3: False}  # 31, 62 and 183 days observed
    assert frame["readmission"].to_dict() == {1: False, 2: True, 3: False}
    assert index(found(source, not_index=("readmission",))) == {1: True, 3: False}


def test_a_discharge_on_the_last_day_of_observation_has_been_looked_back_from(any_source):
    tables = tiny(
        observation_period=[observed(1, "2019-01-01", "2020-01-05")],
        visit_occurrence=[stay(1, "2020-01-01", "2020-01-05", id=1)],
    )
    (row,) = found(any_source(tables), look_back=365).frame.to_dict("records")
    assert (row["look_back"], row["follow_up"]) == (False, True)


def test_a_period_takes_discharges_and_looks_beyond_it(any_source):
    tables = tiny(
        observation_period=[observed(1, "2019-01-01", "2021-12-31"), observed(2, "2020-07-01", "2020-07-31")],
        visit_occurrence=[stay(1, "2019-12-30", "2020-01-02", id=1), stay(1, "2020-12-20", "2020-12-31", id=2),
                          stay(1, "2021-01-30", "2021-01-31", id=3)],
    )  # fmt: skip
    result = found(any_source(tables), first="2020-01-01", last="2020-12-31")
    assert index(result) == {1: False, 2: True}  # day 30 is 30 January 2021
    persons = result.persons.set_index("person_id")
    assert persons["days"].to_dict() == {1: 366, 2: 31}
    assert persons["admissions"].to_dict() == {1: 1, 2: 0}  # that of 30 December is before the period
    assert persons["readmitted"].to_dict() == {1: 1, 2: 0}


def test_a_cohort_counts_on_the_days_of_its_window(any_source):
    visit = co.events("visit", co.codes("office", 9202))
    tables = tiny(
        visit_occurrence=[
            *({"person": p, "concept": 9202, "start": "2020-01-01", "end": "2020-01-01", "id": 50 + p} for p in (1, 2)),
            stay(1, "2019-12-30", "2020-01-01", id=1),  # discharged on day 0
            stay(1, "2020-01-10", "2020-01-31", id=2), stay(1, "2020-02-10", "2020-02-12", id=3),  # days 30 and 42
            stay(3, "2020-01-10", "2020-01-12", id=4),  # not of the cohort
        ],
    )  # fmt: skip
    source = any_source(tables)
    cohort = build(co.cohort("visitors", entry=co.first_eligible(visit)), source)
    result = readmitted(source, readmission_rules(), after_index(cohort, co.days(1, 30)))
    assert index(result) == {2: True}  # its return is after the window and counts
    assert result.persons[["person_id", "days", "admissions"]].values.tolist() == [[1, 30, 1], [2, 30, 0]]
    later = readmitted(source, readmission_rules(), after_index(cohort, co.after()))
    assert index(later) == {2: True, 3: False}
    ever = readmitted(source, readmission_rules(), after_index(cohort, co.days(None, 0)))
    assert index(ever) == {1: True}
    twice = build(co.cohort("all visits", entry=co.every(co.events("visit"))), source)
    with pytest.raises(DataError, match="'all visits' has persons with several entries"):
        after_index(twice, co.days(1, 30))


def test_discharges_of_persons_who_are_not_observed_are_in_no_rate_of_everybody(any_source):
    tables = tiny(
        observation_period=[observed(1, "2020-01-01", "2020-12-31"), observed(2, "2020-06-01", "2020-12-31")],
        visit_occurrence=[stay(2, "2020-05-01", "2020-05-03", id=1), stay(3, "2020-05-01", "2020-05-03", id=2)],
        person=[{"person_id": p} for p in (1, 2, 3)],
    )
    persons = found(any_source(tables), not_index=("died",), first="2020-01-01", last="2020-12-31").persons
    assert persons[["days", "admissions", "index"]].values.tolist() == [[366, 0, 0], [214, 0, 1], [0, 0, 1]]


def test_person_time_ends_at_death(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2020-01-01", "end": "2020-12-31"}],
        visit_occurrence=[stay(1, "2020-01-03", "2020-01-05", id=1)], death=[{"person": 1, "start": "2020-01-10"}],
    )  # fmt: skip
    persons = found(any_source(tables)).persons
    assert persons[["days", "admissions"]].values.tolist() == [[10, 1]]


def test_a_stay_without_a_discharge_is_no_index_but_may_be_a_readmission(any_source):
    tables = tiny(visit_occurrence=[stay(1, "2020-01-01", "2020-01-05", id=1), stay(1, "2020-01-10", None, id=2)])
    result = found(any_source(tables))
    assert index(result) == {1: True}
    assert result.frame.set_index("episode")["no_discharge"].to_dict() == {1: False, 2: True}


def test_which_visits_are_stays_can_be_said(any_source):
    observation = co.events("visit", co.codes("observation stay", 581385))
    inpatient = co.events("visit", co.codes("inpatient", 9201))
    tables = tiny(visit_occurrence=[
        stay(1, "2020-01-01", "2020-01-05", id=1), {**stay(1, "2020-01-10", "2020-01-11", id=2), "concept": 581385},
        {**stay(1, "2020-01-20", "2020-01-20", id=3), "concept": 9202},
    ])  # fmt: skip
    source = any_source(tables)
    assert index(found(source)) == {1: False}
    assert index(found(source, stays=(inpatient, observation))) == {1: True, 2: False}


def test_nobody_is_readmitted_where_nobody_was_admitted(any_source):
    result = found(any_source(tiny(visit_occurrence=[{**stay(1, "2020-01-01", "2020-01-01"), "concept": 9202}])))
    assert result.frame.empty
    assert result.persons["admissions"].tolist() == [0]
    assert result.counts["stays"] == 0


def test_notes_say_what_could_not_be_merged(any_source):
    tables = tiny(visit_occurrence=[stay(1, "2020-01-01", "2020-01-03", None)])
    assert "No stay names its facility" in found(any_source(tables)).notes[0]


def test_rules_that_cannot_be_applied_are_refused(source_of):
    source = source_of(tiny(visit_occurrence=[stay(1, "2020-01-01", "2020-01-03")]))
    with pytest.raises(DataError, match="'against_advice' cannot be a reason to be no index: no visit says"):
        found(source, not_index=("against_advice",))
    with pytest.raises(DataError, match="always_planned cannot be applied"):
        found(source, always_planned=always)
    with pytest.raises(DataError, match="no visits"):
        found(source_of(tiny(person=[{"person_id": 1}])))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"days": 0}, "days is 0"),
        ({"dayz": 3}, "no readmission rule 'dayz'. Did you mean 'days'"),
        ({"same_day": "new"}, "Did you mean 'new stay'"),
        ({"not_index": "dead"}, "no reason to be no index 'dead'. Did you mean 'died'"),
        ({"not_index": ("died", "died")}, "names a reason twice"),
        ({"psychiatric": co.events("condition")}, "takes events with a code list"),
        ({"psychiatric": co.events("drug", co.codes("x", 1))}, "no domain of psychiatric 'drug'"),
        ({"stays": co.events("procedure")}, "no domain of hospital stays 'procedure'"),
        ({"acute": acute}, "belong together"),
        ({"first": "2021-01-01", "last": "2020-01-01"}, "is empty"),
        ({"first": "2021-13-01"}, "write a date"),
        ({"transfer_days": -1}, "transfer_days is -1"),
        ({"diagnosis": "first"}, "no kind of diagnosis 'first'"),
    ],
)
def test_impossible_rules_are_refused(given, said):
    with pytest.raises(DefinitionError, match=said):
        readmission_rules(**given)


def test_rules_are_values():
    rules = readmission_rules(90, always_planned=always, first="2020-01-01")
    assert type(rules).from_json(rules.to_json()) == rules
    assert readmission_rules(not_index="hospital-wide", cancer=acute).not_index == tuple(
        name for name in HOSPITAL_WIDE if name not in ("psychiatric", "rehabilitation")
    )
