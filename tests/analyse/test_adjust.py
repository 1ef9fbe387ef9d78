"""Weighting and matching through a Dataset and a protocol's measures, against R and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.design import model_design
from clinops.analyse.exhibits.balance import balances
from clinops.define.protocol import Adjustment
from clinops.errors import DataError
from clinops.stats.balance import Balance
from tests.analyse.lalonde import LALONDE, by_row, lalonde, lalonde_protocol
from tests.analyse.support import TIME, VALUE, arms, dataset, rows
from tests.support import assert_close, oracle

WEIGHTS = oracle("causal/weights_lalonde")["expected"]
MATCHIT = oracle("causal/matching_lalonde")["expected"]
OURS = {"att": "ATT", "ate": "ATE", "overlap": "ATO"}
X = (co.value(co.events("measurement"), co.before(365), name="x"),)


def adjusted(how: Adjustment, data: Dataset | None = None, **more: Any) -> Adjusted:
    return adjust(lalonde() if data is None else data, LALONDE, how, **more)


def random_arms(n: int = 60, seed: int = 3, **more: Any) -> Dataset:
    """Exposure that depends on one number, with a third of the rows exposed or so."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = (rng.random(n) < 1 / (1 + np.exp(1 - x))).astype(int)
    arm[:2] = (0, 1)
    return dataset(arm.tolist(), {"x": x}, {VALUE: (x + rng.normal(size=n), 365)}, **more)


# --- against R ----------------------------------------------------------------------------------


def test_the_score_equals_r() -> None:
    fitted = MATCHIT["ps"]
    made = adjusted(co.weight("att"))
    assert made.propensity is not None
    assert_close(made.propensity.score, fitted["ps"], 1e-8)
    assert_close(made.propensity.logit.std(ddof=1), fitted["sd_logit_ps"], 1e-8)


@pytest.mark.parametrize("estimand", OURS)
def test_weights_and_estimates_equal_r(estimand: str) -> None:
    data, expected = lalonde(), WEIGHTS[OURS[estimand]]
    made = adjusted(co.weight(estimand), data)
    assert_close(made.weights, by_row("weights_lalonde", OURS[estimand], "weights"), 1e-6)
    assert made.balancing is not None
    assert_close([made.balancing.ess_treated, made.balancing.ess_comparator], list(expected["ess"].values()), 1e-6)
    row = rows(data, VALUE, made)["mean difference"]
    assert_close(row["estimate"], expected["effect"]["hajek"], 1e-6)
    assert row["se_kind"] == "M-estimation, CR1 clustered (614 clusters: person)"
    assert row["estimand"] == made.estimand
    # with the weights taken as known the error is R's (HC0), but for the factor of clusters of one
    known = rows(data, VALUE, replace(made, balancing=None, propensity=None))["mean difference"]
    assert_close(known["std_error"], expected["effect"]["se_hc0"] * math.sqrt(614 / 612), 1e-6)


@pytest.mark.parametrize("estimand", OURS)
@pytest.mark.parametrize("clusters", [614, 150])
def test_the_error_is_the_sandwich_of_all_estimating_equations(estimand: str, clusters: int) -> None:
    """Score and means solved together (Stefanski and Boos 2002), derivatives by differences: no influence functions."""
    person = np.arange(614) % clusters
    data = lalonde(person=person.tolist())
    arm, y = data.exposed.astype(float), data.column(VALUE)
    X = np.column_stack([np.ones(614), model_design(data, LALONDE).matrix])

    def equations(theta: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-X @ theta[:-2]))
        one, zero = {"att": (1, p / (1 - p)), "ate": (1 / p, 1 / (1 - p)), "overlap": (1 - p, p)}[estimand]
        means = [arm * one * (y - theta[-2]), (1 - arm) * zero * (y - theta[-1])]
        return np.column_stack([X * (arm - p)[:, None], *means])

    row = rows(data, VALUE, adjusted(co.weight(estimand), data))["mean difference"]
    beta = np.linalg.lstsq(X, np.log(np.array(MATCHIT["ps"]["ps"]) / (1 - np.array(MATCHIT["ps"]["ps"]))), rcond=None)[
        0
    ]
    at = np.array([*beta, row["value_exposed"], row["value_comparator"]])
    assert np.abs(equations(at).sum(axis=0)).max() < 1e-3  # it is their solution
    steps = np.diag(1e-5 * np.maximum(np.abs(at), 1e-2))
    slope = np.column_stack([(equations(at + s) - equations(at - s)).sum(axis=0) / (2 * s.sum()) for s in steps])
    own = np.linalg.solve(slope, equations(at).T)
    gap = own[-2] - own[-1]
    factor = clusters / (clusters - 1) * 613 / 612
    assert_close(row["std_error"], math.sqrt(factor * (np.bincount(person, weights=gap) ** 2).sum()), 1e-6)


def test_matching_equals_matchit() -> None:
    """1:1 nearest on the logit with a caliper of 0.2 SD: who is matched, the effect and its clustered error."""
    data, expected = lalonde(), MATCHIT["nearest_caliper02_logit"]
    made = adjusted(co.match(caliper=0.2), data)
    assert_close(made.weights, by_row("matching_lalonde", "nearest_caliper02_logit", "weights"), 1e-8)
    sets = dict(zip(expected["subclass"]["rid"], expected["subclass"]["subclass"], strict=True))
    theirs = pd.Series([sets[name] for name in MATCHIT["ps"]["rid"]]).to_numpy(dtype=object)
    assert made.sets is not None
    for one in np.unique(made.sets[made.sets >= 0]):
        assert len(set(theirs[made.sets == one])) == 1
    row = rows(data, VALUE, made)["mean difference"]
    assert_close(row["estimate"], expected["effect_unadjusted"]["coef"], 1e-8)
    assert_close(row["std_error"], expected["effect_unadjusted"]["se_cluster_subclass"], 1e-8)
    assert row["se_kind"] == "weights taken as known, CR1 clustered (117 clusters: matched set)"
    assert (row["n_exposed"], row["n_comparator"]) == (117, 117)


def test_who_found_no_match_is_said_and_names_the_estimand() -> None:
    made = adjusted(co.match(caliper=0.2))
    assert made.share_unmatched == pytest.approx(68 / 185)
    assert made.estimand == "average effect in the matched treated (exposed who found a match)"
    assert "n = 68 of 185 exposed entries found no match." in made.notes
    everyone = adjusted(co.match(caliper=None))
    assert everyone.share_unmatched == 0
    assert everyone.estimand == "average effect in the exposed (ATT)"
    assert everyone.notes == ()


@pytest.mark.parametrize(
    ("estimand", "file", "sd"), [("att", "cobalt_treated", "smd_treated_sd"), ("ate", "cobalt_pooled", "smd_pooled")]
)
def test_balance_before_and_after_equals_r(estimand: str, file: str, sd: str) -> None:
    data, how = lalonde(), lalonde_protocol(adjust=co.weight(estimand), estimand=estimand)
    found = balances(data, how, adjusted(how.adjust, data))
    names = {f"{t.measure.id}{'_' + t.level if t.level else ''}": i for i, t in enumerate(found.terms)}
    before = oracle("causal/smd_lalonde")["expected"][file]
    for term, smd, ratio in zip(before["term"], before["smd"], before["var_ratio"], strict=True):
        assert_close(found.before.smd[names[term]], smd, 1e-8, term)
        assert_close(found.before.variance_ratio[names[term]], ratio, 1e-8, term)
    after = WEIGHTS[OURS[estimand]][sd]
    for term, smd in zip(after["term"], after["smd"], strict=True):
        at = names[term.replace("race", "race_")]
        # these references divide by n - 1 for binary columns too; ours is cobalt's p(1 - p), as before adjustment
        assert_close(found.after.smd[at], smd * _binary_factor(estimand, found.before, at), 1e-6, term)
    race = oracle("causal/smd_lalonde")["expected"]["yang_dalton_race"]
    assert_close(found.multilevel["race"][0], race, 1e-8)


def _binary_factor(estimand: str, before: Balance, at: int) -> float:
    """The SD that weights_lalonde divides by, with n - 1 below, over ours."""
    if not before.binary[at]:
        return 1
    one, zero = before.sd_treated[at] ** 2, before.sd_comparator[at] ** 2
    if estimand == "att":
        return math.sqrt(185 / 184)
    return math.sqrt((one * 185 / 184 + zero * 429 / 428) / (one + zero))


# --- matching by hand ---------------------------------------------------------------------------


def greedy(logit: np.ndarray, arm: np.ndarray, ratio: int, limit: float, stratum: np.ndarray) -> dict[int, list[int]]:
    """Nearest neighbours by trying everyone: the largest logit first, a first comparator for all before a second."""
    order = sorted(np.flatnonzero(arm), key=lambda row: -logit[row])
    free, found = set(np.flatnonzero(~arm)), {int(row): [] for row in order}
    for turn in range(ratio):
        for row in [r for r in order if len(found[r]) == turn]:
            near = [(abs(logit[c] - logit[row]), c) for c in free if stratum[c] == stratum[row]]
            if near and min(near)[0] <= limit:
                found[row].append(min(near)[1])
                free.remove(min(near)[1])
    return found


@pytest.mark.parametrize(
    ("how", "by"),
    [
        (co.match(caliper=None), None), (co.match(2, caliper=0.1), None),
        (co.match(caliper=0.5, exact=("Ward",)), "ward"), (co.match(3, caliper=None, exact=("Ward",)), "ward"),
    ],
)  # fmt: skip
def test_matching_equals_brute_force(how: Adjustment, by: str | None) -> None:
    ward = co.value(co.events("measurement"), co.before(365), name="Ward")
    data = random_arms(80)
    wards = np.random.default_rng(5).integers(0, 3, 80).astype(float)
    data = Dataset(data.baseline.assign(ward=wards), data.outcomes)
    made = adjust(data, (*X, ward), how)
    assert made.propensity is not None and made.sets is not None
    logit, arm = made.propensity.logit, data.exposed
    limit = np.inf if how.caliper is None else how.caliper * logit.std(ddof=1)
    found = greedy(logit, arm, how.ratio, limit, wards if by else np.zeros(80))
    matched = {row: mates for row, mates in found.items() if mates}
    for row, mates in matched.items():
        assert sorted(np.flatnonzero((made.sets == made.sets[row]) & ~arm)) == sorted(mates)
    assert made.share_unmatched == pytest.approx(1 - len(matched) / arm.sum())
    # a matched exposed counts once, its comparators share one weight, scaled to average 1
    share = np.zeros(80)
    for mates in matched.values():
        share[mates] = 1 / len(mates)
    share *= (share > 0).sum() / share.sum()
    assert_close(made.weights, np.where(np.isin(np.arange(80), list(matched)), 1.0, share), 1e-9)


def test_exact_on_a_covariate_with_missing_levels() -> None:
    data = random_arms(40)
    sex = np.array(["female", "male", None, "female"] * 10, dtype=object)
    data = Dataset(data.baseline.assign(sex=sex), data.outcomes)
    made = adjust(data, (*X, co.sex()), co.match(caliper=None, exact=("Sex",)))
    assert made.sets is not None
    for one in np.unique(made.sets[made.sets >= 0]):
        assert len({str(s) for s in sex[made.sets == one]}) == 1


def test_exact_on_what_the_records_cannot_give() -> None:
    with pytest.raises(DataError, match="exact on 'Sex', which these records cannot give"):
        adjust(random_arms(), (*X, co.sex()), co.match(exact=("Sex",)))


def test_nobody_within_the_caliper_leaves_nothing_to_compare() -> None:
    data = dataset(arms(2, 3), {"x": [10.0, 11, 0, 10.5, 1]}, {VALUE: ([1.0, 2, 3, 4, 5], 365)})
    made = adjust(data, X, co.match(caliper=1e-9))
    assert made.share_unmatched == 1
    row = rows(data, VALUE, made)["mean difference"]
    assert row["note"].startswith("The exposed arm is empty") or "0 cluster(s)" in row["note"]
    assert row["n_exposed"] == 0


# --- weights ------------------------------------------------------------------------------------


def test_truncated_weights_stop_at_their_quantile() -> None:
    plain, cut = adjusted(co.weight("ate")), adjusted(co.weight("ate", truncate=0.95))
    limit = np.quantile(plain.weights, 0.95)
    assert_close(cut.weights, np.minimum(plain.weights, limit), 1e-12)
    assert "Weights above the 95th percentile were set to it." in cut.notes
    assert cut.label == "ATE weighting, truncated at 95%"


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_penalised_score_takes_its_weights_as_known(penalty: str) -> None:
    data = lalonde()
    made = adjusted(co.weight("att", penalty=penalty), data)
    assert made.known_weights
    assert rows(data, VALUE, made)["mean difference"]["se_kind"].startswith("weights taken as known, CR1")


def test_a_strong_penalty_shrinks_the_score_to_the_share_exposed() -> None:
    made = adjusted(co.weight("att", penalty="l2", strength=1e9))
    assert made.propensity is not None
    assert_close(made.propensity.score, np.full(614, 185 / 614), 1e-5)


def test_a_crude_comparison_weights_everyone_one() -> None:
    made = adjusted(co.crude())
    assert set(made.weights) == {1.0}
    assert made.design is None and made.propensity is None
    assert made.estimand == "difference between the arms as they are"


def test_an_adjustment_reads_no_outcome() -> None:
    data = lalonde()
    blind = Dataset(data.baseline)
    for how in (co.weight("att"), co.match(), co.crude()):
        assert_close(adjusted(how, blind).weights, adjusted(how, data).weights, 1e-15)


# --- clusters -----------------------------------------------------------------------------------


def test_persons_are_clusters() -> None:
    data = dataset(arms(2, 2), {"x": [1.0, 2, 1.5, 2.5]}, person=[8, 9, 8, 7])
    made = adjust(data, X, co.crude())
    assert made.cluster.tolist() == [8, 9, 8, 7]
    assert made.cluster_name == "person"


def test_a_care_site_is_a_cluster_and_a_row_without_one_its_own() -> None:
    data = dataset(arms(2, 3), {"x": [1.0, 2, 1.5, 2.5, 3]}, site=[4, None, 4, 0, None])
    made = adjust(data, X, co.weight("att"), cluster="care site")
    assert made.cluster_name == "care site"
    groups = made.cluster
    assert groups[0] == groups[2] == 4 and groups[3] == 0
    assert len({groups[1], groups[4], 4, 0}) == 4


def test_no_row_has_a_care_site() -> None:
    with pytest.raises(DataError, match="no row has one; use cluster='person'"):
        adjust(random_arms(), X, co.crude(), cluster="care site")


def crossed() -> Dataset:
    """Scores rise with x, so the pairs are (0, 3), (1, 4), (2, 5); person 1 stands in the first two of them."""
    return dataset(
        arms(3, 5), {"x": [1.0, 2, 3, 1.01, 2.01, 3.01, -3, -4]}, {VALUE: ([0.0, 2, 5, 1, 4, 9, 6, 7], 365)},
        person=[1, 2, 3, 4, 1, 5, 6, 7],
    )  # fmt: skip


def test_matched_sets_that_share_a_person_cross_with_persons() -> None:
    data = crossed()
    made = adjust(data, X, co.match(caliper=None))
    assert made.sets is not None and made.crossed is not None
    assert made.sets[[0, 1, 2]].tolist() == made.sets[[3, 4, 5]].tolist()
    assert made.cluster_name == "matched set and person"
    assert made.crossed.tolist() == made.sets.tolist()
    assert made.cluster[0] == made.cluster[4] and len(set(made.cluster[:6])) == 5
    assert made.cluster[[6, 7]].tolist() == [-1, -1]
    row = rows(data, VALUE, made)["mean difference"]
    assert "two-way clustered (3 and 5 clusters: matched set and person)" in row["se_kind"]
    # Means 7/3 and 14/3; three sets, five persons, six rows, each kind with its own factor.
    e = (np.array([0, 2, 5, -1, -4, -9]) - np.array([7, 7, 7, -14, -14, -14]) / 3) / 3
    by_set = (e[0] + e[3]) ** 2 + (e[1] + e[4]) ** 2 + (e[2] + e[5]) ** 2
    by_person = (e[0] + e[4]) ** 2 + (e[[1, 2, 3, 5]] ** 2).sum()
    total = 3 / 2 * 5 / 4 * by_set + 5 / 4 * 5 / 4 * by_person - 6 / 5 * 5 / 4 * (e**2).sum()
    assert_close(row["std_error"], math.sqrt(total), 1e-9)


def test_a_hazard_ratio_respects_sets_and_persons_too() -> None:
    from clinops.stats.cox import cox

    rng = np.random.default_rng(4)
    n = 120
    arm, x = (np.arange(n) < 40).astype(int), rng.normal(size=n)
    person = np.where(rng.random(n) < 0.4, rng.integers(0, 12, n), np.arange(n) + 100)
    days, event = rng.integers(20, 365, n), rng.random(n) < 0.6
    data = dataset(arm.tolist(), {"x": x}, {TIME: (event, days)}, person=person.tolist())
    made = adjust(data, X, co.match(caliper=None))
    assert made.crossed is not None
    used = made.weights > 0
    square = {}
    both = [f"{a} {b}" for a, b in zip(made.crossed[used], made.cluster[used], strict=True)]
    for name, ids in (("set", made.crossed[used]), ("person", made.cluster[used]), ("both", np.array(both))):
        fit = cox(arm[used][:, None].astype(float), days[used], event[used], weights=made.weights[used], cluster=ids)
        square[name] = float(fit.se[0]) ** 2
    found = rows(data, TIME, made)["hazard ratio"]
    assert_close(found["std_error"], math.sqrt(square["set"] + square["person"] - square["both"]), 1e-9)
    assert found["se_kind"].endswith("clustered by matched set and person")


def test_matched_sets_and_care_sites() -> None:
    data = random_arms(60, site=[i % 5 for i in range(60)])
    made = adjust(data, X, co.match(), cluster="care site")
    assert made.cluster_name == "matched set and care site"
    assert made.sets is not None and made.crossed is not None
    inside = np.flatnonzero(made.sets >= 0)
    assert made.crossed[inside].tolist() == made.sets[inside].tolist()
    sites = data.baseline["care_site_id"].to_numpy()
    assert len({(made.cluster[i], sites[i]) for i in inside}) == len(set(sites[inside])) == 5


def test_persons_alone_are_the_clusters_where_comparators_serve_again() -> None:
    data = random_arms(60)
    made = adjust(data, X, co.match(replacement=True, caliper=None))
    assert made.cluster_name == "person" and made.crossed is None
    inside = made.weights > 0
    assert len(set(made.cluster[inside])) == inside.sum()


def test_a_person_serves_once_and_never_for_themselves() -> None:
    data = crossed()
    baseline = data.baseline.assign(person_id=[1, 2, 3, 4, 4, 5, 1, 2])
    made = adjust(Dataset(baseline, data.outcomes), X, co.match(caliper=None))
    assert any(note.startswith("75 % of the persons of the comparator serve") for note in made.notes)
    again = adjust(Dataset(baseline, data.outcomes), X, co.match(caliper=None, replacement=True))
    assert not any("serve, each once" in note for note in again.notes)
    # Largest first: 2 takes 5 (person 5), 1 takes 4 (person 4), so 0 finds row 3 gone with person 4, its own row 6
    # passed over, and takes row 7.
    assert made.sets is not None
    assert made.sets.tolist() == [0, 1, 2, -1, 1, 2, -1, 0]


def test_exact_on_the_index_date_and_its_period() -> None:
    days = ["2021-03-01", "2021-03-15", "2021-04-01", "2021-03-02", "2021-03-15", "2021-03-16", "2021-04-20"]
    data = dataset(arms(3, 4), {"x": [1.0, 2, 3, 1.4, 3.9, 2.1, 0.2]}, index=days)
    by_day = adjust(data, X, co.match(caliper=None, exact=("index date",)))
    assert by_day.sets is not None and by_day.sets.tolist() == [-1, 0, -1, -1, 0, -1, -1]
    month = co.index_period("month")
    named = data.baseline["index_date"].dt.strftime("%Y-%m")
    data = Dataset(data.baseline.assign(index_month=named))
    by_month = adjust(data, (*X, month), co.match(caliper=None, exact=("Index month",)))
    assert by_month.sets is not None and by_month.sets.tolist() == [0, 1, 2, 0, -1, 1, 2]
    # Within a month the month tells nothing, so it is no term of the score.
    assert by_month.design is not None and [term.measure.name for term in by_month.design.terms] == ["x"]


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("arm", "empty"), [(arms(3, 0), "comparator"), (arms(0, 3), "exposed")])
@pytest.mark.parametrize("how", [co.crude(), co.weight("att"), co.match()])
def test_an_empty_arm(arm: list[int], empty: str, how: Adjustment) -> None:
    with pytest.raises(DataError, match=f"Nobody is in the {empty} arm"):
        adjust(dataset(arm, {"x": [1.0, 2, 3]}), X, how)


@pytest.mark.parametrize("how", [co.weight("att"), co.match()])
def test_nothing_to_adjust_for(how: Adjustment) -> None:
    with pytest.raises(DataError, match=r"No covariate varies.*co\.crude\(\)"):
        adjust(dataset(arms(2, 2), {"x": [5.0] * 4}), X, how)


def test_a_covariate_the_records_lack_is_left_out() -> None:
    data = random_arms()
    with_it, without = (adjust(data, covariates, co.weight("att")) for covariates in ((*X, co.race()), X))
    assert_close(with_it.weights, without.weights, 1e-15)


def test_perfect_separation_is_said() -> None:
    data = dataset(arms(4, 4), {"x": [5.0, 6, 7, 8, 1, 2, 3, 4]}, {VALUE: (np.arange(8.0), 365)})
    made = adjust(data, X, co.weight("att"))
    assert any("Perfect separation" in note for note in made.notes)
    for row in rows(data, VALUE, made).values():
        assert row["note"]
