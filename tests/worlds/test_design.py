"""The default design is exactly right: eligibility, covariates and law of offers follow from the records."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.worlds.settings import OFFER_INTERCEPT, OFFER_SLOPES

COVARIATES = """
    with used as (
        select e.person_id,
            count(*) filter (v.visit_concept_id = 9202) as primary_care,
            count(*) filter (v.visit_concept_id = 9203) as emergency,
            count(*) filter (v.visit_concept_id = 9201) as admitted
        from eligible e join visit_occurrence v on v.person_id = e.person_id
            and v.visit_start_date between index_date - 365 and index_date - 1 group by 1
    ), spent as (
        select e.person_id, sum(c.amount_allowed)::double as dollars from eligible e join charged c
            on c.person_id = e.person_id and c.d between index_date - 365 and index_date - 1 group by 1
    ), had as (
        select e.person_id, bool_or(condition_concept_id = 320128) as ht, bool_or(condition_concept_id = 316139) as hf
        from eligible e join condition_occurrence c on c.person_id = e.person_id
            and c.condition_start_date between index_date - 1095 and index_date - 1 group by 1
    )
    select e.person_id, age::double as age_years, (gender = 8532)::double as female,
        (index_date - date '2020-01-01')::double as index_date_days,
        ln(1 + coalesce(primary_care, 0)) as log1p_primary_care_visits,
        ln(1 + coalesce(emergency, 0)) as log1p_emergency_visits,
        ln(1 + coalesce(admitted, 0)) as log1p_admissions,
        ln(1 + coalesce(dollars, 0)) as log1p_allowed_cost,
        coalesce(ht, false)::double as hypertension, coalesce(hf, false)::double as heart_failure,
        exists (select 1 from observation o where o.person_id = e.person_id
            and o.observation_concept_id = 2000000001 and o.observation_date = index_date)::double as offered
    from eligible e left join used using (person_id) left join spent using (person_id) left join had using (person_id)
    order by e.person_id
"""


@pytest.fixture(scope="module")
def covariates(records) -> dict[str, np.ndarray]:
    return records.sql(COVARIATES).fetchnumpy()


def test_eligibility_in_sql_finds_the_truths_persons_and_dates(records, small):
    ours = records.sql("select person_id, index_date from eligible order by person_id").to_arrow_table()
    assert ours["person_id"].to_pylist() == small.truth["person_id"].to_pylist()
    assert ours["index_date"].to_pylist() == small.truth["index_date"].to_pylist()
    assert 0.35 <= len(ours) / 8_000 <= 0.50


def test_offers_are_made_at_the_index_only(records, small):
    offers = "select person_id, observation_date from observation where observation_concept_id = 2000000001"
    strays = records.sql(f"""select count(*) from ({offers}) o left join eligible e
        on e.person_id = o.person_id and e.index_date = o.observation_date where e.person_id is null""")
    assert strays.fetchone()[0] == 0
    offered = small.truth["offered"].to_numpy()
    assert records.sql(f"select count(*) from ({offers})").fetchone()[0] == offered.sum()
    assert 0.28 <= offered.mean() <= 0.37


def test_the_propensity_is_a_function_of_the_records_alone(covariates, small):
    score = OFFER_INTERCEPT + sum(slope * covariates[name] for name, slope in OFFER_SLOPES.items())
    np.testing.assert_allclose(1 / (1 + np.exp(-score)), small.truth["propensity"].to_numpy(), rtol=1e-10)
    np.testing.assert_array_equal(covariates["offered"] == 1, small.truth["offered"].to_numpy())


def test_a_logistic_regression_on_the_records_recovers_the_law_of_offers(covariates):
    x = np.column_stack([np.ones(len(covariates["offered"]))] + [covariates[name] for name in OFFER_SLOPES])
    beta, error = logistic(x, covariates["offered"])
    wanted = np.array([OFFER_INTERCEPT, *OFFER_SLOPES.values()])
    assert np.all(np.abs(beta - wanted) < 4 * error), dict(zip(("intercept", *OFFER_SLOPES), beta, strict=True))


def logistic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method, for coefficients and model standard errors."""
    scale = np.maximum(np.abs(x).max(axis=0), 1.0)
    x, beta = x / scale, np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ beta))
        information = x.T @ (x * (p * (1 - p))[:, None])
        step = np.linalg.solve(information, x.T @ (y - p))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return beta / scale, np.sqrt(np.diag(np.linalg.inv(information))) / scale


def test_activation_follows_the_offer_and_engagement_the_activation(records):
    dates = """select o.person_id, min(observation_date) filter (observation_concept_id = 2000000001) as offer,
        min(observation_date) filter (observation_concept_id = 2000000002) as activation,
        min(observation_date) filter (observation_concept_id = 2000000003) as engagement
        from observation o group by 1"""
    n, activated, engaged, wrong = records.sql(f"""select count(*), count(activation), count(engagement),
        count(*) filter (activation <= offer or engagement <= activation or (engagement is not null and
        activation is null) or offer is null) from ({dates})""").fetchone()
    assert wrong == 0
    assert 0.53 <= activated / n <= 0.65
    assert 0.48 <= engaged / activated <= 0.65
