"""What a code list means on a source: descendants, exclusions, wildcards, and what matches nothing."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.errors import DataError
from tests.conftest import tiny
from tests.spec.support import entered, find

DIABETES, TYPE_1, TYPE_2, KIDNEY = 201820, 201254, 201826, 443731
ANCESTORS = [
    *({"ancestor": DIABETES, "descendant": c} for c in (DIABETES, TYPE_1, TYPE_2, KIDNEY)),
    *({"ancestor": TYPE_2, "descendant": c} for c in (TYPE_2, KIDNEY)),
    {"ancestor": TYPE_1, "descendant": TYPE_1},
]
CONCEPTS = [
    {"id": TYPE_1, "name": "Type 1 diabetes mellitus", "vocabulary": "SNOMED", "code": "46635009"},
    {"id": TYPE_2, "name": "Type 2 diabetes mellitus", "vocabulary": "SNOMED", "code": "44054006"},
    {"id": 35206881, "name": "Type 2 diabetes without complications", "vocabulary": "ICD10CM", "code": "E11.9"},
    {"id": 44836914, "name": "An ICD-9 code", "vocabulary": "ICD9CM", "code": "E11.9"},
]


def diagnoses(*of):
    """One person a diagnosis, numbered from 1."""
    return [{"person": person, "start": "2020-01-01", **row} for person, row in enumerate(of, 1)]


def who(source, codes):
    return [person for person, _ in entered(find(source, co.first_ever(co.events("condition", codes))))]


def test_a_concept_brings_what_is_below_it_less_what_is_excluded(any_source):
    rows = diagnoses({"concept": DIABETES}, {"concept": TYPE_1}, {"concept": TYPE_2}, {"concept": KIDNEY})
    source = any_source(tiny(condition_occurrence=rows, concept_ancestor=ANCESTORS))
    assert who(source, co.codes("diabetes", DIABETES)) == [1, 2, 3, 4]
    assert who(source, co.codes("diabetes itself", DIABETES, descendants=False)) == [1]
    assert who(source, co.codes("not type 2", DIABETES, exclude=(TYPE_2,))) == [1, 2]
    assert who(
        source, co.codes("not type 2 itself", DIABETES, TYPE_2, KIDNEY, descendants=False, exclude=(TYPE_2,))
    ) == [1, 4]


def test_without_a_hierarchy_the_concepts_themselves_count_and_it_says_so(any_source):
    source = any_source(tiny(condition_occurrence=diagnoses({"concept": TYPE_2}, {"concept": KIDNEY})))
    cohort = find(source, co.first_ever(co.events("condition", co.codes("type 2", TYPE_2))))
    assert [person for person, _ in entered(cohort)] == [1]
    assert cohort.codes["note"].iloc[0].startswith("The source has no concept_ancestor rows")


def test_source_codes_ignore_dots_and_case_and_only_a_star_reaches_further(any_source):
    rows = diagnoses(
        *({"concept": 0, "code": code} for code in ("E11", "E11.9", "e119", "E1165", "E10.9", "E12", None))
    )
    source = any_source(tiny(condition_occurrence=rows))
    assert who(source, co.codes("E11 and below", source="E11*")) == [1, 2, 3, 4]
    assert who(source, co.codes("E11.9", source="E11.9")) == [2, 3]
    assert who(source, co.codes("two", source=("E10.9", "e11"))) == [1, 5]


def test_a_vocabulary_rules_out_only_codes_known_to_be_of_another(any_source):
    same = {"concept": 0, "code": "E11.9"}
    rows = diagnoses(
        {**same, "condition_source_concept_id": 35206881},  # ICD10CM
        {**same, "condition_source_concept_id": 44836914},  # ICD9CM
        {**same, "condition_source_concept_id": 0},
        same,
    )
    source = any_source(tiny(condition_occurrence=rows, concept=CONCEPTS))
    assert who(source, co.codes("E11", source="E11*")) == [1, 2, 3, 4]
    assert who(source, co.codes("E11 of ICD-10-CM", source="E11*", vocabulary="ICD10CM")) == [1, 3, 4]


def test_an_excluded_concept_does_not_come_back_by_its_source_code(any_source):
    rows = diagnoses({"concept": TYPE_2, "code": "E11.9"}, {"concept": KIDNEY, "code": "E11.2"})
    source = any_source(tiny(condition_occurrence=rows))
    assert who(source, co.codes("E11 but the kidney's", source="E11*", exclude=(KIDNEY,))) == [1]


def test_concepts_and_source_codes_of_one_list_add_up(any_source):
    rows = diagnoses({"concept": TYPE_2, "code": "x"}, {"concept": 0, "code": "E11.9"}, {"concept": 0, "code": "x"})
    source = any_source(tiny(condition_occurrence=rows))
    assert who(source, co.codes("either", TYPE_2, source="E11*")) == [1, 2]


def test_matches_are_counted_by_code_and_for_the_list(any_source):
    rows = [
        *diagnoses({"concept": TYPE_2}, {"concept": KIDNEY}),
        {"person": 1, "concept": KIDNEY, "start": "2021-01-01"},
        {"person": 1, "concept": TYPE_2, "start": "2021-01-01"},
    ]
    source = any_source(tiny(condition_occurrence=rows, concept_ancestor=ANCESTORS, concept=CONCEPTS))
    cohort = find(source, co.first_ever(co.events("condition", co.codes("diabetes", DIABETES))))
    counts = cohort.codes.set_index("concept_id")[["records", "persons"]]
    assert list(cohort.codes["concept_id"].isna()) == [True, False, False, False]
    assert tuple(cohort.codes[["records", "persons"]].iloc[0]) == (4, 2)
    assert tuple(counts.loc[TYPE_2]) == (2, 1)
    assert tuple(counts.loc[KIDNEY]) == (2, 2)
    assert tuple(counts.loc[DIABETES]) == (0, 0)
    assert cohort.codes.set_index("concept_id")["description"][TYPE_2] == "Type 2 diabetes mellitus"


def test_a_list_that_matches_nothing_is_refused_with_the_nearest_names(any_source):
    source = any_source(tiny(condition_occurrence=diagnoses({"concept": TYPE_2}), concept=CONCEPTS))
    with pytest.raises(DataError, match=r"'type 2 diabetes' \(999\) matches no condition") as raised:
        who(source, co.codes("type 2 diabetes", 999))
    assert "Type 2 diabetes mellitus (201826)" in str(raised.value)


def test_a_domain_that_is_not_there_is_refused_by_name(any_source):
    source = any_source(tiny(condition_occurrence=diagnoses({"concept": TYPE_2})))
    with pytest.raises(DataError, match="table procedure_occurrence"):
        find(source, co.first_ever(co.events("procedure", co.codes("surgery", 1))))
