"""People who have not enrolled as comparators, from records to an effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.adjust import adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import effects
from clinops.define.protocol import Protocol
from clinops.errors import DataError
from clinops.study import Study
from tests.conftest import tiny
from tests.spec.support import bled, bleed, drug, took
from tests.truth.support import study_of, the_protocol

EMBEDDED = the_protocol()
offer, visit = EMBEDDED.programme.offer, EMBEDDED.exposed.entry.events  # type: ignore[union-attr]
STEPS = (*EMBEDDED.exposed.steps[:4], co.has(visit, co.days(0, 0)))


def waiting(entry: Any, adjust: Any, **more: Any) -> Protocol:
    """The embedded programme from the day of the offer, v people at a visit who wait."""
    given: dict[str, Any] = {
        "exposed": co.cohort("Offered", entry=co.first_eligible(offer), steps=STEPS),
        "comparator": co.cohort("Waiting", entry=entry, steps=STEPS), "subgroups": (),
        "sensitivity": co.sensitivity(), "outcomes": EMBEDDED.outcomes[:2], "negative_controls": (),
    }  # fmt: skip
    return EMBEDDED.with_(adjust=adjust, **given | more)


MONTH = (*EMBEDDED.covariates, co.index_period("month"))
IN_THE_MONTH = co.match(exact=("Index month",))
risk_set = co.risk_set(offer, at=visit, later="kept")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A small programme without any effect, offers coming later for some."""
    folder = tmp_path_factory.mktemp("waiting")
    protocol = waiting(risk_set, IN_THE_MONTH, covariates=MONTH)
    return study_of(folder, protocol, persons=2_500, effect=0.0, seed=11, later_offers=0.3)[1]


def test_the_attrition_shows_the_rule_and_the_steps_of_both_arms(study: Study) -> None:
    frame = study.attrition.frame
    mine = frame[frame["arm"] == "Waiting"]
    assert mine["rule"].iloc[0] == (
        "At primary care visit, without programme offer so far, on a day on which somebody enters at it"
    )
    steps = [step.label for step in STEPS]
    assert mine["rule"].tolist()[2:] == steps
    assert frame[frame["arm"] == "Offered"]["rule"].tolist()[2:-1] == steps


def test_candidates_are_at_risk_on_days_of_entry_only(study: Study) -> None:
    frame = study.baseline.frame
    arm = frame["arm"].to_numpy() == 1
    assert set(frame["index_date"][~arm]) <= set(frame["index_date"][arm])
    entered = frame[arm].set_index("person_id")["index_date"]
    both = frame[~arm & frame["person_id"].isin(entered.index)]
    assert len(both) > 20  # controls before they become cases
    assert (both["index_date"].to_numpy() < entered[both["person_id"]].to_numpy()).all()


@pytest.mark.parametrize("how", ["optimal", "mahalanobis", "full"])
def test_ways_that_would_pair_people_with_themselves_are_refused(how: str) -> None:
    """Ten people who wait and then enrol: each is nearest to themselves, and such a pair compares nobody."""
    ages = np.tile(np.linspace(50, 80, 10), 2) + np.repeat([0.0, 0.1], 10)
    frame = pd.DataFrame({
        "person_id": np.tile(np.arange(10), 2), "arm": np.repeat([1, 0], 10).astype("int8"),
        "index_date": pd.Timestamp("2020-01-01"), "care_site_id": pd.array([1] * 20, "Int64"), "age": ages,
    })  # fmt: skip
    covariates = (co.age_at_index(),)
    with pytest.raises(DataError, match="pair one with themselves"):
        adjust(Dataset(frame), covariates, co.match(how=how, caliper=None))
    once = Dataset(frame.assign(person_id=np.arange(20)))
    assert adjust(once, covariates, co.match(how=how, caliper=None)).sets is not None
    sets = adjust(Dataset(frame), covariates, co.match(caliper=None)).sets
    assert sets is not None and (sets >= 0).any()
    assert not frame.assign(set=sets)[sets >= 0].duplicated(["set", "person_id"]).any()


def test_sets_share_the_month_and_hold_each_person_once(study: Study) -> None:
    frame, sets = study.baseline.frame, study.adjusted.sets
    assert sets is not None
    inside = frame.assign(set=sets)[sets >= 0]
    assert (inside.groupby("set")["index_month"].nunique() == 1).all()
    assert (inside["index_month"] == inside["index_date"].dt.strftime("%Y-%m")).all()
    assert not inside.groupby("set")["person_id"].apply(lambda ids: ids.duplicated().any()).any()
    assert not inside[inside["arm"] == 0]["person_id"].duplicated().any()


def test_balance_effects_and_clusters_come_out(study: Study) -> None:
    assert study.adjusted.cluster_name == "matched set and person"
    assert study.balance.frame["smd_after"].notna().any()
    row = study.estimates.query("analysis == 'main' and scale == 'mean difference' and method == 'match'").iloc[0]
    assert np.isfinite([row["estimate"], row["std_error"]]).all() and row["std_error"] > 0
    assert "two-way clustered" in row["se_kind"]
    assert {row.rule for row in study.findings} <= {"no-negative-control"}


def protocol_of_tiny(adjust: Any, covariates: Any, entry: Any = None) -> Protocol:
    return co.protocol(
        title="t", question="q", follow_up=co.follow_up(co.days(1, 30), capture="no care is given elsewhere"),
        outcomes=(co.count(bleed),), covariates=covariates,
        exposed=co.cohort("takes", entry=co.first_eligible(drug)), adjust=adjust,
        comparator=co.cohort("waits", entry=entry or co.risk_set(drug, later="kept")),
    )  # fmt: skip


def test_matching_is_on_what_was_true_on_each_candidate_date(any_source: Any) -> None:
    """Bleeds in the 30 days before: 3 has one before the first day only, 4 before the second only."""
    tables = tiny(
        person=[{"person_id": who, "year_of_birth": 1950 + who} for who in (1, 2, 3, 4)],
        drug_exposure=[*took(1, "2020-03-10"), *took(2, "2020-05-05")],
        condition_occurrence=[
            *bled(1, "2020-03-01"), *bled(2, "2020-05-01"), *bled(3, "2020-03-05"), *bled(4, "2020-04-20"),
        ],
    )  # fmt: skip
    recent = co.any_of(bleed, co.before(30), name="Recent bleed")
    adjust = co.match(exact=("index date", "Recent bleed"), caliper=None)
    study = protocol_of_tiny(adjust, (co.age_at_index(), recent)).on(any_source(tables))
    frame = study.baseline.frame
    named = {(int(p), str(d.date())): x for p, d, x in zip(
        frame["person_id"], frame["index_date"], frame["recent_bleed"], strict=True)}  # fmt: skip
    assert named == {
        (1, "2020-03-10"): 1, (2, "2020-05-05"): 1, (2, "2020-03-10"): 0, (3, "2020-03-10"): 1,
        (3, "2020-05-05"): 0, (4, "2020-03-10"): 0, (4, "2020-05-05"): 1,
    }  # fmt: skip
    sets = frame.assign(set=study.adjusted.sets)
    pairs = sets[sets["set"] >= 0].groupby("set")["person_id"].apply(sorted).tolist()
    assert sorted(pairs) == [[1, 3], [2, 4]]  # the same people would not match on the other day


@pytest.mark.slow
def test_without_an_effect_none_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Twelve worlds without an effect: the mean of the estimates is within what chance allows, and intervals cover."""
    found = []
    for seed in range(12):
        folder = tmp_path_factory.mktemp(f"none_{seed}")
        protocol = waiting(risk_set, co.weight("att"), outcomes=EMBEDDED.outcomes[:1])
        _, study = study_of(folder, protocol, persons=4_000, effect=0.0, seed=seed, later_offers=0.3)
        rows = effects(study.data, study.protocol.outcomes[0], study.adjusted, analysis="main")
        (row,) = [row for row in rows if row["scale"] == "mean difference"]
        found.append((row["estimate"], row["std_error"]))
    estimate, error = np.array(found).T
    assert abs(estimate.mean()) < 3 * estimate.std(ddof=1) / np.sqrt(len(estimate))
    assert (np.abs(estimate) < 1.96 * error).mean() >= 0.75
