"""Every adjustment of a protocol through the analysis path: R's numbers on lalonde, closed forms, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.design import model_design
from clinops.analyse.effects import effects
from clinops.analyse.exhibits.balance import balance_check, balances
from clinops.analyse.methods import _adjustment
from clinops.analyse.truth import _population
from clinops.define.protocol import Adjustment
from clinops.errors import DataError, DefinitionError
from tests.analyse.lalonde import LALONDE, by_row, lalonde, lalonde_protocol
from tests.analyse.support import ANY, COUNT, TIME, VALUE, arms, dataset, rows
from tests.support import assert_close, oracle

MATCHIT = oracle("causal/matching_lalonde")["expected"]
WEIGHTS = oracle("causal/weights_lalonde")["expected"]
DATA = lalonde()
SCORE: dict[str, Any] = {"caliper_on": "score"}


def adjusted(how: Adjustment, data: Dataset = DATA, **more: Any) -> Adjusted:
    return adjust(data, LALONDE, how, **more)


def main(how: Adjustment) -> dict[str, Any]:
    return rows(DATA, VALUE, adjusted(how))["mean difference"]


# --- matching: MatchIt's sets, effects and clustered errors ---------------------------------------


@pytest.mark.parametrize(("how", "variant"), [
    (co.match(caliper=None, **SCORE), "nearest_1to1_largest"),
    (co.match(caliper=None, order="data", **SCORE), "nearest_1to1_data_order"),
    (co.match(caliper=0.2, **SCORE), "nearest_caliper02"),
    (co.match(caliper=0.2), "nearest_caliper02_logit"),
    (co.match(caliper=None, exact="Race", **SCORE), "nearest_exact_race"),
    (co.match(caliper=0.25, exact=("Race", "married"), **SCORE), "nearest_caliper_exact"),
    (co.match(2, caliper=None, **SCORE), "nearest_ratio2"),
    (co.match(caliper=None, replacement=True, **SCORE), "nearest_replace"),
    (co.match(3, caliper=0.2, replacement=True, **SCORE), "nearest_replace_ratio3_caliper"),
    (co.match(how="mahalanobis"), "mahalanobis"),
    (co.match(how="mahalanobis", on=("Age", "educ", "re74", "re75"), caliper=0.2, **SCORE), "mahvars_caliper"),
    (co.match(how="coarsened"), "cem_default"),
    (co.match(how="subclass", **SCORE), "subclass5_att"),
], ids=lambda value: value if isinstance(value, str) else value.label)  # fmt: skip
def test_matching_equals_matchit(how: Adjustment, variant: str) -> None:
    made, expected = adjusted(how), MATCHIT[variant]
    assert_close(made.weights, by_row("matching_lalonde", variant, "weights"), 1e-8)
    row = main(how)
    assert_close(row["estimate"], expected["effect_unadjusted"]["coef"], 1e-8)
    if "se_cluster_subclass" in expected["effect_unadjusted"] and how.how != "subclass":
        assert_close(row["std_error"], expected["effect_unadjusted"]["se_cluster_subclass"], 1e-8)
        assert "matched set)" in row["se_kind"]
    dropped = 185 - int(made.weights[DATA.exposed].astype(bool).sum())
    assert_close(made.share_unmatched, dropped / 185, 1e-12)
    assert ("matched treated" in made.estimand) == bool(dropped)
    assert any(f"n = {dropped} of 185" in note for note in made.notes) == bool(dropped)


def test_exact_matching_equals_matchit() -> None:
    names = ("Race", "married", "nodegree")
    made = adjusted(co.match(how="exact", on=names))
    assert made.sets is not None
    labels = DATA.baseline[["race", "married", "nodegree"]].astype(str).agg("|".join, axis=1).to_numpy()
    arm = DATA.exposed
    for label in np.unique(labels):
        inside = labels == label
        both = arm[inside].any() and (~arm[inside]).any()
        assert len(set(made.sets[inside])) == 1 and (made.sets[inside] >= 0).all() == both


def test_people_of_a_subclass_are_not_taken_for_relatives() -> None:
    """A few large groups: robust over persons, weights known, which is R's HC0 but for the factor of clusters."""
    how = co.match(how="subclass", **SCORE)
    made, row = adjusted(how), main(how)
    assert made.cluster_name == "person" and row["se_kind"].endswith("(614 clusters: person)")
    y, w, gap = DATA.column(VALUE), made.weights, 0.0
    for arm in (DATA.exposed, ~DATA.exposed):
        gap += (w[arm] ** 2 * (y[arm] - np.average(y[arm], weights=w[arm])) ** 2).sum() / w[arm].sum() ** 2
    assert_close(row["std_error"], math.sqrt(gap * 614 / 613 * 613 / 612), 1e-9)


def test_own_cut_points_and_levels() -> None:
    made = adjusted(co.match(how="coarsened", on="Race", cuts={"Age": (25, 40)}))
    assert made.sets is not None
    age, race = DATA.baseline["age"].to_numpy(), DATA.baseline["race"].to_numpy(dtype=str)
    bins = np.char.add(race, np.searchsorted([25, 40], age, side="right").astype(str))
    for label in np.unique(bins):
        assert len(set(made.sets[bins == label])) == 1
    assert len(np.unique(made.sets[made.sets >= 0])) == len(
        [b for b in np.unique(bins) if 0 < DATA.exposed[bins == b].mean() < 1]
    )


def test_a_missing_number_is_matched_with_a_missing_one() -> None:
    x = np.array([1.0, np.nan, 2, 1.1, np.nan, 2.1, 1.2, 5.0])
    data = dataset(arms(3, 5), {"x": x})
    number = co.value(co.events("measurement"), co.before(365), name="x")
    made = adjust(data, (number,), co.match(how="coarsened", cuts={"x": (1.5,)}))
    assert made.sets is not None and made.sets[1] == made.sets[4] >= 0
    assert sum(made.sets == made.sets[1]) == 2


def test_a_random_order_is_the_protocol_s_seed() -> None:
    how = co.match(order="random")
    one, again, other = (adjusted(how, seed=seed).weights for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()


def test_matching_on_what_the_records_cannot_give() -> None:
    for how in (co.match(how="mahalanobis", on="Sex"), co.match(how="coarsened", on="Sex")):
        with pytest.raises(DataError, match="on 'Sex', which these records cannot give"):
            adjust(DATA, (*LALONDE, co.sex()), how)
    with pytest.raises(DataError, match="exact on 'Sex', which these records cannot give"):
        adjust(DATA, (*LALONDE, co.sex()), co.match(how="exact", on="Sex"))


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "key"), [
    (co.weight("att", using="entropy"), "ebal_ATT"), (co.weight("ate", using="entropy"), "ebal_ATE"),
    (co.weight("att", using="cbps"), "cbps_ATT"), (co.weight("atc"), "ATC"), (co.weight("matching"), "ATM"),
    (co.weight("ate", stabilised=True), "ATE_stabilized"),
], ids=lambda value: value if isinstance(value, str) else value.label)  # fmt: skip
def test_weighted_effects_equal_r(how: Adjustment, key: str) -> None:
    row = main(how)
    assert_close(row["estimate"], WEIGHTS[key]["effect"]["hajek"], 1e-6)
    assert row["se_kind"] == "M-estimation, CR1 clustered (614 clusters: person)"


def test_entropy_balancing_is_ebal_s() -> None:
    assert_close(main(co.weight(using="entropy"))["estimate"], WEIGHTS["ebal_ATT_ebal_pkg"]["effect"], 1e-10)


def test_stabilised_weights_have_the_arm_s_share() -> None:
    plain, made = adjusted(co.weight("ate")).weights, adjusted(co.weight("ate", stabilised=True)).weights
    assert_close(made, plain * np.where(DATA.exposed, 185, 429) / 614, 1e-12)
    assert_close(made.max(), WEIGHTS["ATE_stabilized"]["max"], 1e-6)


def test_balancing_weights_balance_every_column() -> None:
    for how, estimand in ((co.weight(using="entropy"), "att"), (co.weight("ate", using="entropy"), "ate")):
        found = balances(DATA, lalonde_protocol(adjust=how, estimand=estimand), adjusted(how))
        assert found.worst_after < 1e-7


def test_no_weights_name_the_covariate_that_is_beyond_reach() -> None:
    data = dataset(arms(5, 5), {"x": np.array([9.0, 10, 11, 12, 13, 1, 2, 3, 4, 5])})
    number = co.value(co.events("measurement"), co.before(365), name="x")
    for using in ("entropy", "cbps"):
        with pytest.raises(DataError, match=r"No weights make .* equal \(x: beyond their range\)"):
            adjust(data, (number,), co.weight(using=using))


def test_boosted_scores_are_out_of_fold_and_taken_as_known() -> None:
    how = co.weight("att", using="boosted")
    one, again, other = (adjusted(how, seed=seed) for seed in (1, 1, 2))
    assert one.score is not None and other.score is not None
    assert (one.weights == again.weights).all() and (one.weights != other.weights).any()
    assert rows(DATA, VALUE, one)["mean difference"]["se_kind"].startswith("weights taken as known, CR1")
    data = lalonde(person=(np.arange(614) % 300).tolist())  # entries of one person stand in one fold
    assert adjust(data, LALONDE, how, seed=1).score is not None


# --- models of the outcome ------------------------------------------------------------------------


@pytest.mark.parametrize("estimand", ["att", "ate", "atc"])
def test_standardisation_is_two_regressions_averaged(estimand: str) -> None:
    X = np.column_stack([np.ones(614), model_design(DATA, LALONDE).matrix])
    y, arm = DATA.column(VALUE), DATA.exposed
    whom = {"att": arm, "ate": np.ones(614, bool), "atc": ~arm}[estimand]
    beta = [np.linalg.lstsq(X[rows], y[rows], rcond=None)[0] for rows in (arm, ~arm)]
    row = main(co.standardise(estimand))
    values = [(X[whom] @ b).mean() for b in beta]
    assert_close([row["value_exposed"], row["value_comparator"]], values, 1e-9)
    # the sandwich of both regressions and both averages, every derivative written out
    own = []
    for rows_, b, value in zip((arm, ~arm), beta, values, strict=True):
        bread = np.linalg.inv(X[rows_].T @ X[rows_])
        score = np.where(rows_, y - X @ b, 0.0)[:, None] * X
        own.append(score @ bread @ X[whom].mean(axis=0) + np.where(whom, X @ b - value, 0.0) / whom.sum())
    gap = own[0] - own[1]
    assert_close(row["std_error"], math.sqrt((gap**2).sum() * 614 / 613 * 613 / 612), 1e-7)
    assert row["se_kind"] == "M-estimation, CR1 clustered (614 clusters: person)"
    assert (row["n_exposed"], row["n_comparator"]) == (185, 429)


@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_doubly_robust_is_its_formula(estimand: str) -> None:
    X = np.column_stack([np.ones(614), model_design(DATA, LALONDE).matrix])
    y, arm = DATA.column(VALUE), DATA.exposed
    p = np.array(MATCHIT["ps"]["ps"])
    one, zero = (X @ np.linalg.lstsq(X[rows], y[rows], rcond=None)[0] for rows in (arm, ~arm))
    if estimand == "ate":
        each = one + arm / p * (y - one) - zero - ~arm / (1 - p) * (y - zero)
        expected = each.mean()
    else:
        expected = (arm * y - arm * zero - ~arm * p / (1 - p) * (y - zero)).sum() / arm.sum()
    row = main(co.doubly_robust(estimand))
    assert_close(row["estimate"], expected, 1e-7)
    assert row["se_kind"].startswith("M-estimation")


def test_targeted_maximum_likelihood_is_that_of_stats() -> None:
    from clinops.stats.doubly_robust import tmle
    from clinops.stats.weighted_effects import contrast

    design = model_design(DATA, LALONDE).matrix
    row = main(co.doubly_robust("ate", estimator="tmle"))
    found = tmle(DATA.column(VALUE), DATA.exposed, design, estimand="ate")
    assert_close(row["estimate"], found.effect.estimate, 1e-10)
    assert_close(contrast(found.arms)[0].estimate, found.effect.estimate, 1e-12)


def test_cross_fitting_keeps_a_person_in_one_fold_and_the_seed_is_the_protocol_s() -> None:
    how = co.doubly_robust("att", folds=5)
    one, again, other = (
        rows(DATA, VALUE, adjusted(how, seed=seed))["mean difference"]["estimate"] for seed in (1, 1, 2)
    )
    assert one == again != other
    boosted = main(co.doubly_robust("att", using="boosted"))
    assert "cross-fitted in 5 folds" in boosted["se_kind"] and np.isfinite(boosted["std_error"])


def programme_arms(n: int = 400, seed: int = 8) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    days = rng.integers(100, 366, n)
    counts = rng.poisson(np.exp(0.3 * x) * days / 365)
    values = {COUNT: (counts, days), ANY: ((counts > 0).astype(float), days), TIME: ((counts > 1) * 1.0, days)}
    return dataset(arm.tolist(), {"x": x}, values)


def test_a_rate_is_the_ratio_of_two_standardised_means() -> None:
    """On a covariate that takes two values and interacts, a model is the mean of each cell: all can be counted."""
    rng = np.random.default_rng(3)
    n = 600
    x = rng.integers(0, 2, n)
    arm = rng.random(n) < 0.3 + 0.4 * x
    days = rng.integers(50, 366, n).astype(float)
    counts = rng.poisson((1 + x) * days / 365).astype(float)
    data = dataset(arm.astype(int).tolist(), {"flag": x.astype(float)}, {COUNT: (counts, days)})
    flag = (co.any_of(co.events("condition"), co.before(365), name="flag"),)

    def rate(rows_: np.ndarray, whom: np.ndarray) -> float:
        cells = [whom & (x == level) for level in (0, 1)]
        top = sum(c.sum() * counts[rows_ & (x == level)].mean() for level, c in enumerate(cells))
        return 1000 * top / sum(c.sum() * days[rows_ & (x == level)].mean() for level, c in enumerate(cells)) * 365.25

    for how in (co.standardise("att"), co.doubly_robust("att")):
        row = rows(data, COUNT, adjust(data, flag, how))["rate difference"]
        assert_close([row["value_exposed"], row["value_comparator"]], [rate(arm, arm), rate(~arm, arm)], 1e-7)
    weighted = rows(data, COUNT, adjust(data, flag, co.weight("att")))["rate difference"]
    assert_close(weighted["std_error"], row["std_error"], 1e-6)  # saturated models all are one estimator


def test_risks_stay_risks_and_a_time_to_an_event_has_no_curve() -> None:
    data = programme_arms()
    number = (co.value(co.events("measurement"), co.before(365), name="x"),)
    for how in (co.standardise("ate"), co.doubly_robust("ate"), co.doubly_robust("att", estimator="tmle")):
        made = adjust(data, number, how)
        risk = rows(data, ANY, made)["risk difference"]
        assert 0 < risk["value_comparator"] < 1000 and np.isfinite(risk["std_error"])
        timed = rows(data, TIME, made)
        assert timed["risk difference"]["estimate"] is None and "no curve" in timed["risk difference"]["note"]
        assert np.isfinite(timed["rate difference"]["estimate"]) and "hazard ratio" not in timed


def test_rows_without_an_outcome_are_left_out_of_models_and_averages() -> None:
    y = DATA.column(VALUE).copy()
    y[::7] = np.nan
    with_gaps = dataset(
        DATA.exposed.astype(int).tolist(), {c: DATA.baseline[c] for c in DATA.baseline.columns[4:]}, {VALUE: (y, 365)}
    )
    whole = with_gaps.where(np.isfinite(y))
    for how in (co.standardise("att"), co.doubly_robust("att"), co.doubly_robust("att", estimator="tmle")):
        one, other = (rows(d, VALUE, adjusted(how, d))["mean difference"] for d in (with_gaps, whole))
        # columns are scaled over all rows, which changes no prediction
        assert_close([one["estimate"], one["std_error"]], [other["estimate"], other["std_error"]], 1e-7)
        assert one["n_exposed"] == other["n_exposed"] and "left out" in one["note"]


def test_an_outcome_that_one_arm_lacks() -> None:
    y = np.where(DATA.exposed, DATA.column(VALUE), np.nan)
    data = Dataset(DATA.baseline, DATA.outcomes.assign(**{VALUE.id: y}) if DATA.outcomes is not None else None)
    for how in (co.standardise("att"), co.doubly_robust("att"), co.doubly_robust("att", estimator="tmle")):
        row = rows(data, VALUE, adjusted(how, data))["mean difference"]
        assert np.isnan(row["estimate"]) and "comparator arm is empty" in row["note"]


def test_no_overlap_leaves_no_doubly_robust_effect() -> None:
    data = dataset(arms(4, 4), {"x": [5.0, 6, 7, 8, 1, 2, 3, 4]}, {VALUE: (np.arange(8.0), 365)})
    number = (co.value(co.events("measurement"), co.before(365), name="x"),)
    with pytest.raises(DataError, match="Some scores are 0 or 1"):
        adjust(data, number, co.doubly_robust("att"))


def test_rows_too_few_to_be_dealt_out_are_a_row_with_a_reason() -> None:
    data = dataset(arms(4, 4), {"x": [1.0, 2, 3, 4, 1.5, 2.5, 3.5, 1]}, {VALUE: (np.arange(8.0), 365)})
    number = (co.value(co.events("measurement"), co.before(365), name="x"),)
    row = rows(data, VALUE, adjust(data, number, co.doubly_robust("att", folds=9)))["mean difference"]
    assert row["estimate"] is None and "8 rows cannot be dealt out to 9 folds" in row["note"]


def test_models_respect_clusters() -> None:
    data = lalonde(site=[i % 30 for i in range(614)])
    for how in (co.standardise("att"), co.doubly_robust("att"), co.doubly_robust("att", folds=3)):
        row = effects(data, VALUE, adjusted(how, data, cluster="care site"), analysis="main")[0]
        assert "(30 clusters: care site)" in row["se_kind"]


# --- clusters, words, exhibits ----------------------------------------------------------------------


def test_clinicians_are_clusters_and_a_row_without_one_its_own() -> None:
    import pandas as pd

    data = Dataset(DATA.baseline.assign(clinician_id=pd.array([i % 40 or None for i in range(614)], dtype="Int64")))
    made = adjust(data, LALONDE, co.weight("att"), cluster="clinician")
    assert made.cluster_name == "clinician"
    assert len(np.unique(made.cluster)) == 39 + (np.arange(614) % 40 == 0).sum()
    with pytest.raises(DataError, match="clusters on the clinician, but no row has one"):
        adjusted(co.crude(), cluster="clinician")


ALL = (
    co.weight("att"), co.weight("atc"), co.weight("matching"), co.weight("overlap"), co.weight("ate", stabilised=True),
    co.weight("att", truncate=0.95), co.weight("att", using="entropy"), co.weight("att", using="cbps"), co.match(),
    co.weight("att", using="boosted"), co.match(how="mahalanobis"), co.match(how="exact", on="Race"),
    co.match(how="coarsened"), co.match(how="subclass"), co.standardise("att"), co.standardise("atc"),
    co.doubly_robust("att"), co.doubly_robust("ate", estimator="tmle"), co.crude(),
)  # fmt: skip


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.label)
def test_every_adjustment_reads_no_outcome_and_says_for_whom_and_how(how: Adjustment) -> None:
    blind, made = adjusted(how, Dataset(DATA.baseline)), adjusted(how)
    assert_close(blind.weights, made.weights, 1e-12)
    assert made.estimand and made.weights.shape == (614,)
    estimand = how.estimand if how.method != "none" else "att"
    said = _adjustment(lalonde_protocol(adjust=how, estimand=estimand), made)
    assert ("variance" in said) == (how.method != "none")
    whom = _population(DATA, made)
    inside = {"att": DATA.exposed, "atc": ~DATA.exposed}.get(estimand if how.method != "none" else "ate")
    assert inside is None or (whom[~inside] == 0).all()


def test_an_smd_is_divided_by_the_comparators_where_they_are_the_target() -> None:
    how = lalonde_protocol(adjust=co.weight("atc"), estimand="atc")
    found = balances(DATA, how, adjusted(how.adjust))
    age = DATA.baseline["age"].to_numpy()
    place = next(i for i, t in enumerate(found.terms) if t.measure.id == "age")
    arm = DATA.exposed
    assert_close(found.before.smd[place], (age[arm].mean() - age[~arm].mean()) / age[~arm].std(ddof=1), 1e-10)


def test_ecdf_before_and_after_equal_matchit() -> None:
    made = adjusted(co.match(how="mahalanobis"))
    found = balances(DATA, lalonde_protocol(adjust=co.match(how="mahalanobis")), made)
    names = {f"{t.measure.id}{t.level or ''}": i for i, t in enumerate(found.terms)}
    for stage, ecdf in (("before", found.ecdf_before), ("after", found.ecdf_after)):
        expected = MATCHIT["mahalanobis"]["balance"][stage]
        for term, value in zip(expected["term"], expected["ecdf_max"], strict=True):
            assert_close(ecdf.maximum[names[term]], value, 1e-8, term, atol=1e-12)


def test_standardisation_is_held_to_rubin_s_limit() -> None:
    how = lalonde_protocol(adjust=co.standardise("att"))
    check = balance_check(balances(DATA, how, adjusted(how.adjust)), how)
    assert check.threshold == 0.5 and check.passed is False
    wide = lalonde_protocol(adjust=co.standardise("att"), balance_threshold=3.0)
    assert balance_check(balances(DATA, wide, adjusted(wide.adjust)), wide).passed is True


def test_an_analysis_of_weighted_rows_refuses_a_model_before_it_reads() -> None:
    how = lalonde_protocol(adjust=co.standardise("att"))
    with pytest.raises(DefinitionError, match="A cost analysis weights persons, and standardisation, ATT has no"):
        co.cost_of_care(object(), protocol=how)

    class Bound:
        protocol = how

    with pytest.raises(DefinitionError, match="An outcome in depth weights persons"):
        co.outcome(Bound(), "Emergency visits")


# --- optimal and full matching ----------------------------------------------------------------------


def test_optimal_matching_is_no_further_apart_than_nearest_on_the_same_people() -> None:
    far = []
    for how in (co.match(caliper=None), co.match(how="optimal", caliper=None)):
        made = adjusted(how)
        assert made.propensity is not None and made.sets is not None
        logit = made.propensity.logit
        pairs = [logit[made.sets == one] for one in range(185)]
        assert [len(pair) for pair in pairs] == [2] * 185
        far.append(sum(abs(np.ptp(pair)) for pair in pairs))
    assert far[1] < far[0]


@pytest.mark.parametrize("estimand", ["att", "ate", "atc"])
def test_full_matching_weights_its_sets_to_the_estimand_s_population(estimand: str) -> None:
    made = adjusted(co.match(how="full", estimand=estimand))
    assert made.sets is not None and (made.sets >= 0).all()
    arm, w = DATA.exposed, made.weights
    whom = {"att": arm, "ate": np.ones(614, bool), "atc": ~arm}[estimand]
    size = np.bincount(made.sets[whom]) / whom.sum()
    for side in (arm, ~arm):
        assert_close(np.bincount(made.sets[side], w[side]) / w[side].sum(), size, 1e-10)
    row = rows(DATA, VALUE, made)["mean difference"]
    assert row["se_kind"].endswith("clusters: matched set)")


def test_full_matching_within_a_caliper_says_who_is_spoken_for() -> None:
    made = adjusted(co.match(how="full", estimand="atc", caliper=0.05))
    assert made.estimand == "average effect in the comparators (ATC), of those who could be matched"
    assert made.propensity is not None
    logit, arm = made.propensity.logit, DATA.exposed
    nearest = np.abs(logit[arm][:, None] - logit[~arm]).min(axis=1)
    alone = int((nearest > 0.05 * logit.std(ddof=1)).sum())
    assert alone and f"n = {alone} of 185 exposed entries found no match." in made.notes
