"""Code lists that match nothing: an error where somebody must have the events, else said wherever the list is used."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.errors import DataError, DefinitionError
from tests.bad_input.support import COLD, noted, printed, records
from tests.spec.support import bleed, drug, other_drug

RECORDS = records(
    concept=[
        {"id": 1118084, "name": "celecoxib", "vocabulary": "RxNorm"},
        {"id": 192671, "name": "Gastrointestinal hemorrhage", "vocabulary": "SNOMED"},
    ]
)
WRONG_DRUG = co.events("drug", co.codes("celecoxib", 118084))
NOTHING = co.events("condition", co.codes("gastrointestinal hemorrhag", 19267, source="K92*"))
SAID = "The code list 'gastrointestinal hemorrhag' (19267, K92*) matches no condition in these records."
OBSERVED = co.observed(before=365)


def arms(*steps, exit=()):
    """Both arms with more steps."""
    return {
        "exposed": co.cohort("Drug", entry=co.first_ever(drug), steps=(OBSERVED, *steps), exit=exit),
        "comparator": co.cohort("Other drug", entry=co.first_ever(other_drug), steps=(OBSERVED, *steps), exit=exit),
    }


def test_the_list_of_the_entry(any_study):
    study = any_study(RECORDS, exposed=co.cohort("Drug", entry=co.first_ever(WRONG_DRUG), steps=(OBSERVED,)))
    with pytest.raises(DataError) as raised:
        study.attrition  # noqa: B018
    message = str(raised.value)
    assert "The code list 'celecoxib' (118084) matches no drug in these records." in message
    assert "Names like it in that table: celecoxib (1118084)." in message
    assert "Check the codes, or whether the domain is the right one." in message
    assert "So 'celecoxib' cannot be looked for." in message


def test_the_list_of_something_that_both_arms_must_have(any_study):
    study = any_study(RECORDS, **arms(co.has(NOTHING, co.before())))
    with pytest.raises(DataError) as raised:
        study.attrition  # noqa: B018
    assert SAID in str(raised.value)
    assert "Names like it in that table: Gastrointestinal hemorrhage (192671)." in str(raised.value)


def test_the_list_of_a_covariate(any_study):
    past = co.any_of(NOTHING, co.before(365), name="Past haemorrhage")
    study = any_study(RECORDS, covariates=(co.age_at_index(), past))
    assert "past_haemorrhage" not in study.baseline.frame
    assert SAID in printed(study)["Past haemorrhage"]
    exhibit = study.code_lists
    assert any(SAID in note for note in exhibit.notes)
    assert (exhibit.frame.set_index("list").loc["gastrointestinal hemorrhag", "records"] == 0).all()
    assert SAID[:60] in " ".join(str(exhibit).split())


def test_the_list_of_an_outcome_and_of_a_negative_control(study_of, tmp_path):
    study = study_of(
        RECORDS,
        outcomes=(co.time_to(NOTHING, name="Haemorrhage", role="primary"), co.count(bleed, name="Bleeds")),
        negative_controls=(co.any_of(NOTHING, name="Control"), co.any_of(COLD, name="Cold")),
    )
    assert SAID in printed(study)["Haemorrhage"] and SAID in printed(study)["Control"]
    assert set(study.estimates["measure"]) == {"Bleeds", "Cold"}
    assert study.verdict.label == "not interpretable"
    study.write(tmp_path / "out")


def test_the_list_of_an_exclusion_excludes_nobody_and_says_so(any_study):
    study = any_study(RECORDS, **arms(co.lacks(NOTHING, co.before())))
    assert (study.exposed.persons, study.comparator.persons) == (40, 40)
    what = "Records matched by 'gastrointestinal hemorrhag', which a rule of the protocol names"
    assert noted(study)[what] == 0
    assert printed(study)[what].startswith(f"0 {SAID}")
    assert any(note.startswith(SAID) for note in study.exposed.codes["note"])


@pytest.mark.parametrize("place", ["exit", "censor"])
def test_the_list_of_an_event_that_ends_follow_up(study_of, place):
    ends = co.follow_up(co.days(1, 365), censor=("end of observation", "death", NOTHING))
    study = study_of(RECORDS, **(arms(exit=(NOTHING,)) if place == "exit" else {"follow_up": ends}))
    assert set(study.outcomes.frame["end_reason"]) == {"window", "death"}
    assert any(SAID in text for text in printed(study).values())


def test_the_list_of_a_programme_s_dates(study_of):
    study = study_of(RECORDS, programme=co.programme(offer=drug, activation=NOTHING))
    assert any(SAID in text for text in printed(study).values())
    funnel = study.funnel.frame
    assert "Activated" in set(funnel["stage"])


def test_a_list_for_another_domain_names_the_domain(any_study):
    as_procedure = co.events("visit", co.codes("gastrointestinal haemorrhage", 192671))
    study = any_study(RECORDS, covariates=(co.age_at_index(), co.count(as_procedure, co.before(), name="Wrong")))
    assert "(192671) matches no visit in these records." in printed(study)["Wrong"]
    assert "whether the domain is the right one" in printed(study)["Wrong"]


def test_only_some_codes_of_a_list_match(study_of):
    partly = co.events("condition", co.codes("bleeds", 192671, 19267))
    study = study_of(RECORDS, covariates=(co.age_at_index(), co.any_of(partly, co.before(), name="Past bleed")))
    counts = study.code_lists.frame.query("list == 'bleeds'").set_index("code")["records"]
    assert counts.to_dict() == {"all codes": 26, "192671": 26, "19267": 0}
    assert "past_bleed" in study.baseline.frame


def test_an_empty_code_list_file(tmp_path):
    (tmp_path / "list.csv").write_text("concept_id,description\n")
    with pytest.raises(DefinitionError, match="holds no codes"):
        co.codes.read(tmp_path / "list.csv")
