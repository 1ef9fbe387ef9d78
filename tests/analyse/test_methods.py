"""The methods paragraph says what was done, and only that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.analyse.adjust import adjust
from clinops.analyse.capture import CAPTURE, capture_of
from clinops.analyse.methods import methods
from tests.analyse.support import ANY, COST, VISIT, arms, dataset, protocol

DATA = dataset(arms(3, 4), {"age": [50.0, 60, 70, 55, 65, 75, 45], "sex": np.array(["female"] * 7, dtype=object)})


@dataclass
class Source:
    name: str = "Clinic"
    synthetic: bool = False
    model: str = "OMOP 5.4"
    persons: int = 12345
    span: tuple[str, str] = field(default=("2019-01-01", "2022-12-31"))
    capture: str = "enrolment"


def said(source: Source | None = None, age: str = "exact", **changes: Any) -> str:
    how = protocol(**changes)
    return methods(how, source or Source(), adjust(DATA, how.covariates, how.adjust), "1.2.3", age)


def test_the_source_its_size_and_what_it_captures() -> None:
    assert "Clinic: records in OMOP 5.4, 12,345 persons, 2019-01-01 to 2022-12-31." in said()
    assert "synthetic records" in said(Source(synthetic=True))


@pytest.mark.parametrize("kind", CAPTURE)
def test_capture_in_words(kind: str) -> None:
    assert capture_of(Source(capture=kind)) == CAPTURE[kind]
    assert CAPTURE[kind] in said(Source(capture=kind))


def test_a_capture_without_words_is_shown_as_it_is() -> None:
    assert capture_of(Source(capture="claims")) == "claims"


def test_arms_have_their_shared_rules_once_and_their_own_apart() -> None:
    entry = co.first_eligible(VISIT)
    offer = co.events("observation", co.codes("programme offer", 900001))
    text = said(
        exposed=co.cohort("Offered", entry=entry, steps=(co.age(18, 85), co.has(offer, co.days(0, 0)))),
        comparator=co.cohort("Others", entry=entry, steps=(co.age(18, 85), co.lacks(offer, co.days(None, 0)))),
    )
    assert text.count("18 to 85") == 1
    assert "Offered besides: " in text and "Others besides: " in text
    assert "Both had to meet: nothing more." in said()


def test_covariates_that_were_used_and_those_that_were_not() -> None:
    text = said(covariates=(co.age_at_index(), co.sex(), co.race()))
    assert "**Covariates.** Age." in text
    assert "Not used, since they could not be measured or do not vary: Sex, Race." in text


def test_what_pairs_agree_in_is_said() -> None:
    text = said(covariates=(co.age_at_index(), co.sex()), adjust=co.match(exact=("Sex", "index date"), caliper=None))
    assert "**Covariates.** Age, Sex. Matched exactly: Index date, Sex." in text and "Not used" not in text


@pytest.mark.parametrize(
    ("rule", "words"),
    [("exact", "the date of birth."), ("year", "minus the year of birth"),
     ("mixed: 834", "for 834 entries with only"), ("mixed: 7", "for <11 entries with only")],
)  # fmt: skip
def test_how_age_was_reckoned(rule: str, words: str) -> None:
    assert words in said(age=rule)


def test_the_analysis_names_estimand_score_and_variance() -> None:
    text = said()
    assert "Estimand: average effect in the exposed (ATT)." in text
    assert "ATT weighting" in text
    assert "accounts for the estimation of the score (M-estimation) and is clustered by person" in text
    assert "L2-penalised logistic regression" in said(adjust=co.weight("att", penalty="l2"))
    matched = said(adjust=co.match())
    assert "takes the weights as known and is clustered by matched set" in matched
    assert "compared as they are" in said(adjust=co.crude())


def test_outcomes_and_conventions() -> None:
    control = co.any_of(co.events("condition"), name="Ear wax")
    worth = co.cost("total", role="primary", worthwhile=150)
    text = said(outcomes=(worth, ANY), negative_controls=(control,), price_year=2021, min_cell=6, seed=5)
    assert f"Primary: {worth.name} (smallest worthwhile difference 150)." in text
    assert "Any emergency visit (secondary)" in text
    assert "Negative controls: Ear wax." in text
    assert "Counts of 1 to 5 print <6." in text
    assert "Prices of 2021." in text
    assert "clinops 1.2.3, seed 5." in text
    assert "No primary outcome" in said(outcomes=(ANY,))
    assert COST.name in said()
