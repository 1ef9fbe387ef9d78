"""Published anchors on the embedded GiBleed records, and the same counts again in SQL written from their definition.

The numbers come from the specification of the project, the recount from the definitions alone: it reads the files
with DuckDB and shares no line with the package. The hazard ratio is checked by lifelines too.
"""

from __future__ import annotations

import functools
from typing import Any

import duckdb
import pandas as pd
import pytest

import clinops as co
from tests.conftest import GIBLEED

PROTOCOL = GIBLEED.parent / "protocols" / "celecoxib_v_diclofenac.json"
CELECOXIB, DICLOFENAC, HAEMORRHAGE = 1118084, 1124300, 192671
PRIMARY = "Gastrointestinal haemorrhage"
CONTROLS = {
    "Viral sinusitis": (40481087, 191, 74),
    "Acute viral pharyngitis": (4112343, 125, 59),
    "Acute bronchitis": (260139, 73, 35),
}
WITHIN = {365: (355, 124, "1.347 (1.098 to 1.652)"), 30: (113, 46, "1.132 (0.804 to 1.595)")}
PERSON_DAYS = {365: (538_989, 260_175)}
COHORTS, AT_LEAST_40 = (1800, 830), (732, 322)


@pytest.fixture(scope="module")
def study_of(gibleed):
    """Return `study_of(**changes)`: the embedded protocol, varied, as a study; each made once."""
    protocol = co.protocol.read(PROTOCOL)
    made = {}

    def make(**changes: Any) -> Any:
        key = tuple(sorted(changes.items()))
        if key not in made:
            made[key] = (protocol.vary(**changes) if changes else protocol).on(gibleed)
        return made[key]

    return make


def crude(study, measure: str, scale: str) -> pd.Series:
    """The one unadjusted estimate of a measure on a scale."""
    rows = study.estimates
    rows = rows[(rows["measure"] == measure) & (rows["scale"] == scale) & (rows["method"] == "none")]
    rows = rows[rows["analysis"].isin(["main", "negative control"])]
    assert len(rows) == 1
    return rows.iloc[0]


def printed(estimate: float, low: float, high: float) -> str:
    return f"{estimate:.3f} ({low:.3f} to {high:.3f})"


# Through the public path: connect, the protocol's file, the study.


def test_persons_exposed_and_persons_with_a_haemorrhage(study_of):
    attrition, lists = study_of().attrition.frame, study_of().code_lists.frame
    assert tuple(attrition.loc[attrition["step"] == 0, "persons"]) == (1844, 850)
    persons = lists.set_index("list")["persons"]
    assert (persons["celecoxib"], persons["diclofenac"], persons["gastrointestinal haemorrhage"]) == (1844, 850, 479)


def test_cohorts(study_of):
    study = study_of()
    assert (study.exposed.persons, study.comparator.persons) == COHORTS
    assert tuple(study.attrition.frame.groupby("arm", sort=True)["persons"].last()) == COHORTS
    assert study.baseline.frame.groupby("arm").size().to_dict() == {1: 1800, 0: 830}


@pytest.mark.parametrize("days", WITHIN)
def test_events_person_days_and_the_crude_hazard_ratio(study_of, days):
    row = crude(study_of() if days == 365 else study_of(follow_up_days=days), PRIMARY, "hazard ratio")
    exposed, comparator, ratio = WITHIN[days]
    assert (row["n_exposed"], row["n_comparator"]) == COHORTS
    assert (row["events_exposed"], row["events_comparator"]) == (exposed, comparator)
    if days in PERSON_DAYS:
        assert (row["person_days_exposed"], row["person_days_comparator"]) == PERSON_DAYS[days]
    assert printed(row["estimate"], row["conf_low"], row["conf_high"]) == ratio


def test_at_least_40_by_the_difference_of_years(study_of):
    study = study_of(age_from=40, age_rule="year")
    assert (study.exposed.persons, study.comparator.persons) == AT_LEAST_40


@pytest.mark.parametrize("name", CONTROLS)
def test_negative_controls(study_of, name):
    row = crude(study_of(), name, "risk difference")
    assert (row["events_exposed"], row["events_comparator"]) == CONTROLS[name][1:]


def test_what_was_set_aside_reaches_the_report(study_of):
    study = study_of()
    assert ("observation_period: periods without a person", 2649) in [item[:2] for item in study.set_aside]
    shown = study.limits.frame.set_index("what")
    assert shown.loc["observation_period: periods without a person", "count"] == 2649
    assert {"death", "cost"} <= set(shown.index[shown["kind"] == "Not possible"])


# The recount.


@functools.cache
def recount(days: int, outcome: int = HAEMORRHAGE) -> pd.DataFrame:
    """One row a person: exposed, birth year, index date, days of follow-up, whether the outcome came in them."""

    def table(name: str) -> str:
        return f"read_parquet('{GIBLEED / name}.parquet')"

    sql = f"""
    WITH first_exposure AS (
        SELECT person_id, drug_concept_id, MIN(drug_exposure_start_date) AS day0
        FROM {table("drug_exposure")} WHERE drug_concept_id IN ({CELECOXIB}, {DICLOFENAC})
        GROUP BY person_id, drug_concept_id),
    cohort AS (
        SELECT f.person_id, f.drug_concept_id = {CELECOXIB} AS exposed, f.day0, p.year_of_birth,
               LEAST(f.day0 + {days}, o.observation_period_end_date) AS last_day
        FROM first_exposure f
        JOIN {table("person")} p ON p.person_id = f.person_id
        JOIN {table("observation_period")} o ON o.person_id = f.person_id
         AND f.day0 BETWEEN o.observation_period_start_date AND o.observation_period_end_date
        WHERE f.day0 - o.observation_period_start_date >= 365
          AND NOT EXISTS (
            SELECT 1 FROM {table("condition_occurrence")} c
            WHERE c.person_id = f.person_id AND c.condition_concept_id = {HAEMORRHAGE}
              AND c.condition_start_date < f.day0)),
    followed AS (
        SELECT person_id, exposed, day0, year_of_birth, last_day,
               (SELECT MIN(c.condition_start_date) FROM {table("condition_occurrence")} c
                 WHERE c.person_id = cohort.person_id AND c.condition_concept_id = {outcome}
                   AND c.condition_start_date > cohort.day0) AS next_event
        FROM cohort)
    SELECT person_id, exposed, year_of_birth, day0,
           COALESCE(next_event <= last_day, FALSE) AS event,
           (CASE WHEN next_event <= last_day THEN next_event ELSE last_day END) - day0 AS days
    FROM followed ORDER BY person_id, exposed"""
    with duckdb.connect() as connection:
        return connection.execute(sql).df()


def by_arm(values: pd.Series, exposed: pd.Series) -> tuple[int, int]:
    return int(values[exposed].sum()), int(values[~exposed].sum())


@pytest.mark.parametrize("days", WITHIN)
def test_the_recount_agrees(days):
    people = recount(days)
    assert by_arm(people["exposed"] | True, people["exposed"]) == COHORTS
    assert by_arm(people["event"], people["exposed"]) == WITHIN[days][:2]
    if days in PERSON_DAYS:
        assert by_arm(people["days"], people["exposed"]) == PERSON_DAYS[days]
    old = pd.to_datetime(people["day0"]).dt.year - people["year_of_birth"] >= 40
    assert by_arm(old, people["exposed"]) == AT_LEAST_40


@pytest.mark.parametrize("name", CONTROLS)
def test_the_recount_of_negative_controls_agrees(name):
    concept, exposed, comparator = CONTROLS[name]
    people = recount(365, concept)
    assert by_arm(people["event"], people["exposed"]) == (exposed, comparator)


@pytest.mark.parametrize("days", WITHIN)
def test_the_hazard_ratio_of_the_recount_by_lifelines(days):
    from lifelines import CoxPHFitter

    people = recount(days)[["exposed", "event", "days"]].astype("int64")
    row = CoxPHFitter().fit(people, "days", "event").summary.loc["exposed"]  # ties by Efron
    found = printed(row["exp(coef)"], row["exp(coef) lower 95%"], row["exp(coef) upper 95%"])
    assert found == WITHIN[days][2]


@pytest.mark.parametrize("days", WITHIN)
def test_every_person_of_the_study_is_as_in_the_recount(study_of, days):
    study = study_of() if days == 365 else study_of(follow_up_days=days)
    name = study.protocol.primary.id
    outcome = study.outcomes.frame
    ours = pd.DataFrame(
        {
            "person_id": study.baseline.frame["person_id"],
            "exposed": study.baseline.frame["arm"] == 1,
            "event": outcome[name] == 1,
            "days": outcome[f"{name}__days"],
        }
    )
    keys = ["person_id", "exposed"]
    theirs = recount(days)[list(ours.columns)]
    pd.testing.assert_frame_equal(
        ours.sort_values(keys, ignore_index=True), theirs.sort_values(keys, ignore_index=True), check_dtype=False
    )
