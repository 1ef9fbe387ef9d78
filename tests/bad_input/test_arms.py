"""Arms with nobody in them, or hardly anybody."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.errors import DataError
from tests.bad_input.support import DRUG, OTHER, day, records, rows
from tests.conftest import tiny
from tests.spec.support import drug, other_drug, took


def narrowed(*steps):
    steps = (co.observed(before=365), *steps)
    return {
        "exposed": co.cohort("Drug", entry=co.first_ever(drug), steps=steps),
        "comparator": co.cohort("Other drug", entry=co.first_ever(other_drug), steps=steps),
    }


def test_an_arm_that_a_step_empties(any_study):
    study = any_study(records(), **narrowed(co.age(18), co.age(95), co.sex_is("female")))
    assert list(study.exposed.attrition["persons"]) == [40, 40, 40, 40, 40, 0, 0]  # the attrition can be looked at
    with pytest.raises(DataError) as raised:
        study.baseline  # noqa: B018
    message = str(raised.value)
    assert "Nobody is in the arm 'Drug': it emptied at step 5, 'Age 95 or older'" in message
    assert "(the last 40 persons left there). Loosen or correct that step." in message
    assert "  4. Age 18 or older: 40 persons\n  5. Age 95 or older: 0 persons\n" in message


def test_an_arm_that_nobody_is_observed_in(any_study):
    changed = rows()
    changed["observation_period"] = [{"person": row["person"]} for row in changed["drug_exposure"] if row["person"] % 2]
    study = any_study(tiny(**changed))
    with pytest.raises(
        DataError, match=r"arm 'Other drug': it emptied at step 2, 'Index date inside an observation pe"
    ):
        study.baseline  # noqa: B018


def test_the_message_hides_small_counts(any_study):
    few = [took(p, day(0), concept=DRUG if p <= 3 else OTHER)[0] for p in range(1, 44)]
    study = any_study(records(drug_exposure=few), **narrowed(co.age(95)))
    with pytest.raises(DataError) as raised:
        study.baseline  # noqa: B018
    assert "(the last <11 persons left there)" in str(raised.value)
    assert "0. Any the drug: <11 persons" in str(raised.value)


@pytest.mark.parametrize("smaller", [1, 2])
def test_an_arm_of_one_or_two_gives_rows_without_a_crash(study_of, smaller, tmp_path):
    few = [took(p, day(0), concept=DRUG if p <= smaller else OTHER)[0] for p in range(1, 81)]
    study = study_of(records(drug_exposure=few))
    assert study.exposed.persons == smaller
    assert study.verdict.label == "not interpretable"
    primary = study.estimates[study.estimates["measure"] == "Bleed"]
    assert {"crude", study.protocol.adjust.label} <= set(primary["adjustment"])
    study.write(tmp_path / "out")


def test_arms_in_which_nothing_happens(study_of, tmp_path):
    """One bleed and one cold in 2012: the lists match, and nobody has an outcome."""
    early = [{"person": 1, "concept": concept, "start": "2012-01-01"} for concept in (192671, 260139)]
    study = study_of(records(condition_occurrence=early, death=[{"person": 1, "start": "2024-01-01"}]))
    rows_ = study.estimates
    assert len(rows_) and (rows_["events_exposed"].fillna(0) == 0).all()
    ratios = rows_[rows_["scale"].isin(["risk ratio", "hazard ratio", "rate ratio"])]
    assert ratios["estimate"].isna().all() and ratios["note"].notna().all()
    study.write(tmp_path / "out")
