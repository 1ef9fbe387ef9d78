"""`co.uptake` on simulated programmes: against the truth, against closed forms, and what it refuses to say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import clinops as co
from clinops.analyse.uptake.facade import Uptake
from clinops.analyse.uptake.people import course
from clinops.define.protocol import Protocol
from clinops.errors import DataError, DefinitionError, DesignError, ParameterError
from clinops.results.result import Check
from clinops.worlds import World, world
from tests.truth.support import the_protocol

DEFENCE = "Letters went out in the order of a number that the insurer drew; nobody could choose."
BY_OFFER = ("intention to treat", "complier")


def random_protocol(**parts: Any) -> Protocol:
    return the_protocol().with_(**{"assignment": "random", "adjust": co.crude()} | parts)


def written(folder: Path, **knobs: Any) -> World:
    made = world(**knobs)
    for name, table in made.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="none")
    return made


def truths(made: World, found: Uptake, column: str) -> tuple[float, float]:
    """Mean effect of the offer among everybody in the study, and among those who would activate if offered."""
    truth = made.truth.to_pandas().set_index("person_id")
    own = truth.loc[found.study.data.person]
    gap = own[f"{column}_1"] - own[f"{column}_0"]
    return float(gap.mean()), float(gap[own["would_activate"].to_numpy()].mean())


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Any]]:
    """4,000 persons with the usual law of offers."""
    folder = tmp_path_factory.mktemp("uptake")
    made = written(folder, persons=4000, seed=3)
    with co.connect(folder) as source:
        yield made, source


@pytest.fixture(scope="module")
def observed(programme: tuple[World, Any]) -> Uptake:
    """The programme as it is: offers that follow need."""
    return co.uptake(the_protocol(), programme[1], replicates=10)


@pytest.fixture(scope="module")
def drawn(programme: tuple[World, Any]) -> Uptake:
    """The same records, taken as if the offer had been drawn: for closed forms, not for the truth."""
    protocol = random_protocol(assignment="as if random", assignment_reason=DEFENCE)
    return co.uptake(protocol, programme[1], co.uptake_plan((*BY_OFFER, "as treated", "landmark")), replicates=20)


def row(found: Uptake, analysis: str, measure: str, **equal: Any) -> Any:
    frame = found.estimates
    keep = (frame["analysis"] == analysis) & (frame["measure"] == measure)
    for name, value in equal.items():
        keep &= frame[name] == value
    assert keep.sum() == 1, frame[keep]
    return frame[keep].iloc[0]


# --- by the offer ---------------------------------------------------------------------------------------------------


def test_the_complier_effect_is_walds_ratio_of_the_raw_means(drawn: Uptake) -> None:
    data = drawn.study.data
    cost, activated = data.outcomes["total_cost"].to_numpy(), drawn.people.activated
    one, zero = data.exposed, ~data.exposed
    gap = cost[one].mean() - cost[zero].mean()
    share = activated[one].mean() - activated[zero].mean()
    assert 0.4 < share < 0.7
    late = row(drawn, "complier", "Total cost", method="two-stage least squares")
    assert late["estimate"] == pytest.approx(gap / share)
    assert late["value_exposed"] - late["value_comparator"] == pytest.approx(gap / share)
    assert row(drawn, "complier", "Total cost", method="reduced form")["estimate"] == pytest.approx(gap)
    itt = row(drawn, "intention to treat", "Total cost", scale="mean difference")
    assert itt["estimate"] == pytest.approx(gap) and itt["unit"] == "USD per person"
    assert row(drawn, "intention to treat", "Total cost", scale="mean ratio")["unit"] == "ratio"
    # A zero that the interval of the ratio leaves out is one that the Anderson-Rubin set leaves out, and the other way.
    ar = row(drawn, "complier", "Total cost", method="Anderson-Rubin set")
    reduced = row(drawn, "complier", "Total cost", method="reduced form")
    assert (ar["conf_low"] <= 0 <= ar["conf_high"]) == (reduced["conf_low"] <= 0 <= reduced["conf_high"])
    died = row(drawn, "complier", "Death", method="reduced form")
    dead = data.outcomes["death"].to_numpy()
    assert died["estimate"] == pytest.approx(1000 * (dead[one].mean() - dead[zero].mean()))


def test_shares_of_the_three_kinds(drawn: Uptake) -> None:
    activated, offered = drawn.people.activated, drawn.people.offered
    assert not activated[~offered].any()
    assert row(drawn, "compliance", "Compliers")["estimate"] == pytest.approx(100 * activated[offered].mean())
    assert row(drawn, "compliance", "Always-takers")["estimate"] == 0
    assert row(drawn, "compliance", "Never-takers")["estimate"] == pytest.approx(100 * (1 - activated[offered].mean()))
    assert isinstance(drawn.check_first_stage, Check) and drawn.check_first_stage.passed
    assert drawn.check_first_stage.observed > 100


def test_the_assumptions_and_the_defence_are_printed(drawn: Uptake) -> None:
    text = str(drawn.assumptions)
    for word in ("Exclusion", "Monotonicity", "no defiers", "Cannot be tested here"):
        assert word in text
    assert DEFENCE in drawn.assumptions.frame["here"].iloc[0]
    assert any(DEFENCE.rstrip(".") in cell for cell in drawn.study.target_trial.frame["emulation"])


def test_covariates_in_both_stages(drawn: Uptake) -> None:
    from clinops.analyse.uptake.offers import complier_rows
    from clinops.stats.instrument import two_stage_least_squares

    people = replace(drawn.people, plan=co.uptake_plan("complier", adjust_compliers=True))
    data = drawn.study.data
    fit = two_stage_least_squares(
        data.outcomes["total_cost"], people.activated * 1.0, data.exposed * 1.0, covariates=people.X
    )
    late = complier_rows(people)[1]
    assert late["measure"] == "Total cost"
    assert late["estimate"] == pytest.approx(fit.estimate) and late["std_error"] == pytest.approx(fit.std_error)
    assert "both stages" in late["adjustment"]


def test_a_model_of_the_outcome_is_refused_where_persons_are_weighted(programme: tuple[World, Any]) -> None:
    """It has no weights: compliers and strategies would stand unadjusted under its name."""
    for effect in ("complier", "landmark", "per-protocol", "clone-censor"):
        plan = random_protocol(adjust=co.standardise(), uptake=co.uptake_plan(effect))
        with pytest.raises(DefinitionError, match="standardisation, ATT has no weights"):
            co.uptake(plan, programme[1])
    cost, death = (m for m in the_protocol().outcomes if m.name in ("Total cost", "Death"))
    lean = the_protocol().with_(
        adjust=co.standardise(),
        outcomes=(cost, replace(death, role="secondary")),
        covariates=the_protocol().covariates[:1],
    )
    found = co.uptake(lean, programme[1], co.uptake_plan("treated"))
    assert row(found, "treated", "Total cost", scale="mean difference")["adjustment"] == "standardisation, ATT"
    # There is no curve of a modelled outcome, so the rate of deaths stands in its place.
    assert np.isfinite(row(found, "treated", "Death", scale="rate difference")["estimate"])


def test_the_unit_of_assignment_reaches_every_error(programme: tuple[World, Any]) -> None:
    """Offers by clinic: errors from the landmark on and of strategies are by clinic too (CR1 written out)."""
    plan = co.uptake_plan(("landmark", "per-protocol"))
    found = co.uptake(the_protocol().with_(cluster="care site"), programme[1], plan, replicates=2)
    people, late = found.people, row(found, "landmark", "Total cost", adjustment="crude")
    one = course(people, found.study.protocol.primary)
    at = np.flatnonzero(one.exit > 30)
    begun, spent = people.activation[at] <= 30, one.amounts(people, (30, one.horizon))[at, 0]
    sites = found.study.data.baseline["care_site_id"].to_numpy()[at].astype(int)
    pull = np.where(
        begun, (spent - spent[begun].mean()) / begun.sum(), -(spent - spent[~begun].mean()) / (~begun).sum()
    )
    sums, (n, g) = np.bincount(sites, pull), (len(at), len(np.unique(sites)))
    assert late["std_error"] == pytest.approx(np.sqrt(g / (g - 1) * (n - 1) / (n - 2) * (sums**2).sum()), rel=0.01)
    assert f"({g} clusters)" in late["se_kind"]
    assert len(np.unique(people.cluster)) < len(people) / 10


def test_a_risk_of_few_events_is_not_said(observed: Uptake) -> None:
    """Persons under a strategy are printed, so their risk would be the number of events."""
    found = next(one for one in observed._compared["clone-censor"] if one.is_risk)
    assert any(0 < n < 11 for n in found.found.events)
    assert "is not said" in observed.strategies.sentence and "per 1,000" not in observed.strategies.sentence


def test_without_a_random_offer_there_is_the_effect_in_the_treated(observed: Uptake) -> None:
    assert "Not shown" in observed.intention_to_treat.sentence
    for name in ("complier", "compliance", "assumptions", "check_first_stage"):
        assert "no instrument" in getattr(observed, name).sentence
    assert "complier" not in set(observed.estimates["analysis"])
    treated = row(observed, "treated", "Total cost", scale="mean difference")
    cost, w = observed.study.data.outcomes["total_cost"].to_numpy(), observed.study.adjusted.weights
    means = [np.average(cost[arm], weights=w[arm]) for arm in (observed.people.offered, ~observed.people.offered)]
    assert treated["estimate"] == pytest.approx(means[0] - means[1])
    score = observed.study.adjusted.propensity.score
    exposed = observed.people.offered
    outside = (score[exposed] > score[~exposed].max()) | (score[exposed] < score[~exposed].min())
    from clinops.analyse.uptake.offers import dropped

    n = int(exposed.sum())
    assert [one[1:] for one in dropped(observed.people)] == [(0, n), (int(outside.sum()), n)]
    assert (observed.dropped.frame["of"] == exposed.sum()).all()


def test_the_share_without_a_match_is_stated(programme: tuple[World, Any]) -> None:
    protocol = the_protocol().with_(adjust=co.match(caliper=0.001), min_cell=1)
    found = co.uptake(protocol, programme[1], co.uptake_plan("treated"))
    frame = found.dropped.frame
    unmatched = int((found.people.offered & (found.study.adjusted.weights == 0)).sum())
    assert unmatched > 5 and frame["n"].iloc[0] == unmatched
    assert f"{100 * unmatched / frame['of'].iloc[0]:.1f}%" in found.dropped.sentence


def test_a_few_random_worlds_are_near_their_truth(tmp_path: Path) -> None:
    off = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = written(folder, persons=3000, seed=seed, confounding=0.0, effect=0.29)
        with co.connect(folder) as source:
            found = co.uptake(random_protocol(), source, co.uptake_plan(BY_OFFER))
            for column, measure in (("emergency_visits", "Emergency visits"), ("cost_total", "Total cost")):
                per = 1000 if column == "emergency_visits" else 1
                for truth, method in zip(
                    truths(made, found, column), ("reduced form", "two-stage least squares"), strict=True
                ):
                    one = row(found, "complier", measure, method=method)
                    off.append((one["estimate"] - per * truth) / one["std_error"])
    assert np.abs(off).max() < 3.5
    assert abs(np.mean(off)) < 1.5


@pytest.mark.slow
def test_random_worlds_offer_and_complier_effects_are_unbiased_and_covered(tmp_path: Path) -> None:
    from scipy.stats import binom

    worlds, found = 100, []
    for seed in range(worlds):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = written(folder, persons=20_000, seed=10_000 + seed, confounding=0.0)
        with co.connect(folder) as source:
            one = co.uptake(random_protocol(), source, co.uptake_plan(BY_OFFER))
            truth = truths(made, one, "emergency_visits")
            rows = [row(one, "complier", "Emergency visits", method=method) for method in
                    ("reduced form", "two-stage least squares", "Anderson-Rubin set")]  # fmt: skip
        for each, right in zip(rows, (truth[0], truth[1], truth[1]), strict=True):
            target = 1000 * right
            found.append((each["estimate"] - target, each["conf_low"] <= target <= each["conf_high"]))
    for kind in range(3):
        gaps = np.array([gap for gap, _ in found[kind::3]])
        held = sum(held for _, held in found[kind::3])
        assert abs(gaps.mean()) < 2.576 * gaps.std(ddof=1) / math.sqrt(worlds)
        assert held >= binom.ppf(0.005, worlds, 0.95)


# --- by what was done -----------------------------------------------------------------------------------------------


def test_the_landmark_against_the_rows(observed: Uptake) -> None:
    data, people = observed.study.data, observed.people
    left = data.end_day > 30
    begun = people.activation <= 30
    from clinops.build import rows

    (cost,) = (m for m in people.outcomes if m.name == "Total cost")
    after = rows.by_segment(observed.study.protocol, observed.study.baseline, cost, (30, 365))[:, 0]
    crude = row(observed, "landmark", "Total cost", adjustment="crude")
    assert crude["estimate"] == pytest.approx(after[left & begun].mean() - after[left & ~begun].mean())
    there = data.end_day > 0
    for name, side in (("n_exposed", begun), ("n_comparator", ~begun)):
        gone = (there & side & ~left).sum()
        shown = crude[name] == (left & side).sum()
        assert shown if gone == 0 or gone >= 11 else pd.isna(crude[name])  # the funnel less it would be the few
    assert row(observed, "landmark", "Death", adjustment="crude")["events_exposed"] == int(
        ((data.outcomes["death_day"] <= data.end_day) & left & begun).sum()
    )
    text = str(observed.landmark)
    assert "It answers" in text and "It does not answer" in text


def test_per_protocol_is_the_plain_difference_where_everybody_keeps_to_it(tmp_path: Path) -> None:
    written(tmp_path, persons=1200, seed=5, uptake=1.0)
    with co.connect(tmp_path) as source:
        found = co.uptake(random_protocol(), source, co.uptake_plan("per-protocol"), replicates=2)
        data = found.study.data
        kept = data.end_day > 0
        late = kept & data.exposed & (data.end_day > 30) & ~(found.people.activation <= 30)
        assert not late.any()
        cost = data.outcomes["total_cost"].to_numpy()
        gap = cost[kept & data.exposed].mean() - cost[kept & ~data.exposed].mean()
        one = row(found, "per-protocol", "Total cost", scale="mean difference")
        assert one["estimate"] == pytest.approx(gap)
        assert one["adjustment"].startswith("nobody deviates")


def test_clones_are_everybody_under_both_and_the_offered_if_so_asked(observed: Uptake, programme: Any) -> None:
    kept = observed.study.data.end_day > 0
    one = row(observed, "clone-censor", "Death", scale="risk difference")
    assert one["n_exposed"] == one["n_comparator"] == kept.sum()
    assert one["exposed"] == "Activate by day 30" and one["comparator"] == "Do not activate"
    assert one["conf_low"] < one["estimate"] < one["conf_high"] and "refitted" in one["se_kind"]
    only = co.uptake(
        the_protocol(), programme[1], co.uptake_plan("clone-censor", population="offered"), replicates=5,
        outcomes=("Death",),
    )  # fmt: skip
    one = row(only, "clone-censor", "Death", scale="risk difference")
    assert one["n_exposed"] == (kept & only.people.offered).sum()
    assert only.strategies.figure.kind == "cumulative_incidence"
    assert isinstance(only.check_weights, Check)


def test_choosers_are_shown_as_not_causal_and_nothing_else(observed: Uptake, drawn: Uptake) -> None:
    for found in (observed, drawn):
        shown = found.not_causal
        assert shown.title.startswith("Not causal") and shown.sentence.startswith("Not causal")
        assert not [column for column in shown.columns if column.format == "p"]
        text = " ".join([*shown.notes, shown.sentence, *(c.label for c in shown.columns), *shown.frame["measure"]])
        assert not any(word in text.lower() for word in ("effect of", "causes", "impact", "reduc", "led to", "because"))
        rows = found.estimates[found.estimates["analysis"] == "not causal"]
        assert len(rows) and rows["p_value"].isna().all() and rows["estimand"].str.startswith("none").all()
        assert found.bundle().verdicts == ()
    assert len(set(drawn.not_causal.frame["subgroup"])) == 2  # activated v not was asked for
    engaged = np.isfinite(observed.people.engagement)[observed.people.offered]
    cost = observed.study.data.outcomes["total_cost"].to_numpy()[observed.people.offered]
    assert row(observed, "not causal", "Total cost")["estimate"] == pytest.approx(
        cost[engaged].mean() - cost[~engaged].mean()
    )


def test_the_funnel_by_group_adds_up(observed: Uptake) -> None:
    from clinops.analyse.uptake.described import equity_rows

    made = equity_rows(observed.people, (45, 65))
    people = observed.people
    for by in ("Sex", "Age", "Race"):
        part = [one for one in made if one["by"] == by]
        assert sum(one["eligible"] for one in part) == len(people)
        assert sum(one["offered"] for one in part) == people.offered.sum()
        assert sum(one["activated"] for one in part) == (people.offered & people.activated).sum()
    assert [one["level"] for one in made if one["by"] == "Age"] == ["below 45", "45 to 64", "65 and over"]
    assert observed.check_order.passed and observed.check_order.observed == "in order"


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_before_anything_runs(programme: tuple[World, Any]) -> None:
    _, source = programme
    with pytest.raises(DesignError, match="complier-effect-without-random-offer"):
        co.uptake(the_protocol(), source, co.uptake_plan("complier"))
    with pytest.raises(DesignError, match="as-if-random-without-defence"):
        co.uptake(the_protocol().with_(assignment="as if random"), source)
    with pytest.raises(DesignError, match="immortal-time-of-activation"):
        co.uptake(the_protocol(), source, co.uptake_plan("as treated"))
    with pytest.raises(DefinitionError, match="names no activation"):
        co.uptake(the_protocol().with_(programme=None), source)
    with pytest.raises(DefinitionError, match="Did you mean 'Death'"):
        co.uptake(the_protocol(), source, outcomes=("Deaths",))
    with pytest.raises(ParameterError, match="2 to 10,000"):
        co.uptake(the_protocol(), source, replicates=1)
    with pytest.raises(ParameterError, match="ages that rise"):
        co.uptake(the_protocol(), source, age_bands=(65, 45))
    short = co.uptake(the_protocol().over(co.days(1, 20)), source, co.uptake_plan("clone-censor"))
    with pytest.raises(DefinitionError, match="go on beyond the grace day"):
        _ = short.clone_censor


def test_nobody_activates(programme: tuple[World, Any]) -> None:
    protocol = the_protocol()
    absent = co.events("observation", co.codes("never noted", 2_000_000_099))
    assert protocol.programme is not None
    with pytest.raises(DataError, match="Nobody of either arm has 'never noted'"):
        co.uptake(protocol.with_(programme=replace(protocol.programme, activation=absent)), programme[1])
