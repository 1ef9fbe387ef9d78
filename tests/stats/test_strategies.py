"""Begin within a grace period v do not begin: by hand, in closed form, against R, and where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.glm import glm
from clinops.stats.refits import refittable
from clinops.stats.strategies import BEGIN, REFRAIN, Strategies, segment_cuts, strategies
from clinops.stats.strategy_values import strategy_means, strategy_risks
from tests.support import assert_close, oracle, oracle_csv

NAN = np.nan


# --- a table worked by hand -----------------------------------------------------------------------------------------

EXIT = [10, 3, 10, 2, 10, 10, 6, 10]
CAUSE = [0, 1, 0, 1, 0, 0, 1, 0]
BEGINS = [1, NAN, 2, NAN, NAN, 4, NAN, 3]
"""Grace day 3, horizon 10. Persons 0, 2 and 7 begin in time, 5 too late, the others never; events on days 2, 3, 6."""


def by_hand(**more: Any) -> Strategies:
    return strategies(EXIT, CAUSE, BEGINS, grace=3, horizon=10, cuts=(0, 1, 2, 3, 4, 10), truncate=None, **more)


def test_who_is_followed_until_when():
    of = by_hand()
    # Not to have begun by day 3 ends "begin" for those still there after it (4, 5 and 6), not for 1, whose event comes
    # on the grace day itself, nor for 3; to begin ends "do not begin" on that day.
    assert of.ends[BEGIN].tolist() == [10, 3, 10, 2, 3, 3, 3, 10]
    assert of.deviates[BEGIN].tolist() == [False, False, False, False, True, True, True, False]
    assert of.ends[REFRAIN].tolist() == [1, 3, 2, 2, 10, 4, 6, 3]
    assert of.deviates[REFRAIN].tolist() == [True, False, True, False, False, True, False, True]


def test_weights_are_one_over_the_share_that_has_not_deviated():
    of = by_hand()
    begin, refrain = of.own[0]
    # Followed beyond day 3: 0, 2, 4, 5, 6, 7; three of six had begun, so each of them counts twice from day 4.
    assert begin[0].tolist() == pytest.approx([1, 1, 1, 2, 2, 2])
    assert begin[1].tolist() == pytest.approx([1, 1, 1, 1, 1, 1])
    # Days 1, 2, 3, 4: one of 8, of 7, of 5 (3 had the event on day 2), of 4 (so had 1, on day 3; 4, 5, 6, ...) begins.
    weights = np.cumprod([1, 8 / 7, 7 / 6, 5 / 4, 3 / 2, 1])
    assert refrain[4].tolist() == pytest.approx(weights.tolist())


def test_risks_and_means_are_those_of_the_table():
    of = by_hand()
    found = strategy_risks(of, seed=1, replicates=2)
    # Begin: 8 at risk on day 2, 7 on day 3 (events 1 and 1), nothing after it.
    begin = 1 - (7 / 8) * (6 / 7)
    # Do not begin: day 2: 7 at risk; day 3: those left are 1, 4, 5, 6, 7; day 6: 4 and 6.
    refrain = 1 - (6 / 7) * (4 / 5) * (1 / 2)
    assert found.risk[:, -1] == pytest.approx([begin, refrain], abs=1e-12)
    assert found.difference[0] == pytest.approx(begin - refrain)
    assert found.ratio[0] == pytest.approx(begin / refrain)
    assert found.events == (2, 3)
    assert found.at_risk[:, [1, 3, 4, 7]].tolist() == [[8, 7, 3, 3], [8, 5, 3, 1]]
    spent = np.arange(40.0).reshape(8, 5) * (np.asarray(EXIT)[:, None] > [0, 1, 2, 3, 4])
    means = strategy_means(of, spent, seed=1, replicates=2)
    first = spent[:, :3].mean(axis=0).sum()  # everybody up to the grace day
    kept, w = [0, 1, 2, 3, 7], np.array([2, 1, 2, 1, 2])  # then those who had begun, and those whose end had come
    later = (w @ spent[kept, 3] + w @ spent[kept, 4]) / w.sum()
    assert means.mean[BEGIN] == pytest.approx(first + later)
    stay = [[1, 2, 3, 4, 5, 6, 7], [1, 3, 4, 5, 6, 7], [1, 3, 4, 5, 6], [1, 3, 4, 6], [1, 3, 4, 6]]
    weight = np.ones((8, 5))
    for k, share in enumerate((8 / 7, 7 / 6, 5 / 4, 3 / 2)):
        at_risk = [i for i in range(8) if EXIT[i] > k and not BEGINS[i] <= k]
        weight[at_risk, k:] *= share
    expected = sum(np.average(spent[rows, k], weights=weight[rows, k]) for k, rows in enumerate(stay))
    assert means.mean[REFRAIN] == pytest.approx(expected)
    assert means.persons == (8, 8) and means.followers == (5, 4)


# --- against R ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "strategy", "more"),
    [("begin", BEGIN, {}), ("begin_last_10", BEGIN, {"last": 10}), ("refrain", REFRAIN, {}),
     ("refrain_in_grace", REFRAIN, {"until": 20})],
)  # fmt: skip
def test_models_weights_curves_and_means_are_those_of_r(name: str, strategy: int, more: dict[str, Any]):
    data, reference = oracle_csv("causal/clone_censor"), oracle("causal/clone_censor")["expected"]
    expected = reference[name]
    moving = data[[f"m{k}" for k in range(1, 6)]].to_numpy()[:, :, None]
    of = strategies(
        data["exit"], data["cause"], data["begin"], grace=20, horizon=120, X=data[["x"]], moving=moving,
        cuts=[int(day) for day in reference["cuts"]], truncate=None, **more,
    )  # fmt: skip
    fit = of.models[strategy].fit
    assert fit is not None
    assert_close(fit.coef, expected["coef"], 1e-7)
    assert_close(of.own[0][strategy][:8, -1], expected["last_weights"], 1e-7)
    risks = strategy_risks(of, seed=1, replicates=2)
    assert_close(risks.risk[strategy][[int(day) for day in reference["days"]]], expected["risk"], 1e-7)
    spent = data[[f"cost{k}" for k in range(1, 6)]].to_numpy()
    assert_close(strategy_means(of, spent, seed=1, replicates=2).mean[strategy], expected["mean"], 1e-7)


# --- closed forms and edges ------------------------------------------------------------------------------------------


def course(n: int, seed: int, *, confounded: float = 0.8, effect: float = 1.0) -> tuple[np.ndarray, ...]:
    """Whole days to the event and of beginning: exit, cause, begins, x; the effect is on the hazard after day 30.

    x is two columns for three kinds of people, so that no model of them can be wrong.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, n)
    hazard = 0.004 * np.exp(-confounded * x)
    begins = np.ceil(rng.exponential(1 / (0.03 * np.exp(confounded * x))))
    begins[begins > 30] = NAN
    risk = rng.exponential(size=n)
    slow = np.where(np.isnan(begins), 1.0, effect)
    event = np.ceil(np.where(risk < 30 * hazard, risk / hazard, 30 + (risk - 30 * hazard) / (hazard * slow)))
    exit = np.minimum(event, 180)
    return (
        exit,
        (event <= 180).astype(float),
        np.where(begins <= exit, begins, NAN),
        np.column_stack([x == 0, x == 1]).astype(float),
    )


def test_without_confounding_weights_are_shares_and_curves_those_of_followers():
    exit, cause, begins, _ = course(1000, 3, confounded=0.0)
    of = strategies(exit, cause, begins, grace=30, horizon=180, cuts=(0, *range(1, 31), 180), truncate=None)
    left, share = np.ones(31), 1.0
    for day in range(1, 31):
        there = (exit >= day) & ~(begins < day)
        share *= 1 - (there & (begins == day) & (exit > day)).sum() / there.sum()
        left[day] = share
    never = np.isnan(begins) & (exit == 180)
    assert of.own[0][REFRAIN][never, :31] == pytest.approx(np.tile(1 / left, (never.sum(), 1)))
    # The same curves without a model: followers of each day, hazards multiplied.
    curve = 1.0
    for day in range(1, 181):
        there = (exit >= day) & ~(begins < day)
        curve *= 1 - (there & (exit == day) & (cause == 1)).sum() / there.sum()
    found = strategy_risks(of, seed=1, replicates=2).risk[:, -1]
    assert found[REFRAIN] == pytest.approx(1 - curve)
    assert found[BEGIN] == pytest.approx(
        1 - (exit > 30).mean() * (exit[(begins <= 30) & (exit > 30)] == 180).mean(), abs=2e-2
    )


def test_refits_are_those_of_the_model_itself():
    rng = np.random.default_rng(5)
    X = np.column_stack([np.ones(300), rng.normal(size=(300, 3)), np.ones(300)])
    y = rng.random(300) < 1 / (1 + np.exp(-X[:, 1]))
    weights = np.vstack([rng.multinomial(300, np.full(300, 1 / 300), size=5), 10 * (X[:, 1] > 0), y, ~y])
    model = refittable(X, y)
    assert model.columns.tolist() == [0, 1, 2, 3]
    found = model.again(weights.astype(float))
    for w, p in zip(weights[:6], found, strict=False):
        assert p == pytest.approx(glm(X, y, "binomial", weights=w).fitted, abs=1e-6)
    assert (found[6] == 1).all() and (found[7] == 0).all()  # samples with one outcome only
    with pytest.raises(DataError, match="needs both"):
        refittable(X, np.ones(300))


def test_a_sample_that_the_model_separates_gets_its_own_steps():
    X = np.column_stack([np.ones(60), np.repeat([0.0, 1.0], 30)])
    y = np.r_[np.arange(30) < 10, np.arange(30) < 20].astype(float)
    apart = np.r_[np.where(y[:30] == 0, 1.0, 0.0), np.where(y[30:] == 1, 1.0, 0.0)]
    (found,) = refittable(X, y).again(apart[None])
    assert found[:30].max() < 1e-6 and found[30:].min() > 1 - 1e-6


def test_nobody_deviates():
    of = strategies([10, 4, 10], [0, 1, 0], [NAN, NAN, NAN], grace=3, horizon=10, cuts=(0, 3, 10))
    assert (of.own[0][REFRAIN] == 1).all()
    assert of.models[REFRAIN].fit is None and of.models[REFRAIN].note == "nobody deviates"
    found = strategy_risks(of, seed=1, replicates=20)
    assert found.risk[REFRAIN, -1] == pytest.approx(1 / 3)
    # Everybody deviates from "begin" on day 3: nothing is known after it, and it says so.
    assert np.isnan(found.risk[BEGIN, -1]) and found.risk[BEGIN, 3] == 0 and np.isnan(found.difference[0])
    assert "nobody is left under “begin” after day 3" in found.note
    means = strategy_means(of, np.ones((3, 2)), seed=1, replicates=20)
    # The one whose event came later than day 3 deviated too; who is left to be averaged is nobody.
    assert np.isnan(means.mean[BEGIN]) and means.mean[REFRAIN] == pytest.approx(2)


def test_everybody_begins_at_once():
    of = strategies([10, 4, 10], [0, 1, 0], [0, 0, 0], grace=3, horizon=10, cuts=(0, 3, 10))
    found = strategy_risks(of, seed=1, replicates=20)
    assert found.risk[BEGIN, -1] == pytest.approx(1 / 3)
    assert np.isnan(found.risk[REFRAIN, 1:]).all() and found.risk[REFRAIN, 0] == 0
    assert "nobody is left under “do not begin” after day 0" in found.note


def test_too_few_who_deviate_for_the_covariates():
    exit, cause, begins, _ = course(60, 6)
    late = np.flatnonzero((exit > 30) & np.isfinite(begins))[:3]
    alone = np.where(np.isin(np.arange(60), late), begins, NAN)
    X = np.random.default_rng(1).normal(size=(60, 8))
    wide, narrow = (
        strategies(exit, cause, alone, grace=30, horizon=180, cuts=(0, 30, 180), X=x, truncate=None) for x in (X, None)
    )
    assert "fewer deviate" in wide.models[REFRAIN].note and narrow.models[REFRAIN].note == ""
    assert wide.own[0][REFRAIN] == pytest.approx(narrow.own[0][REFRAIN])


def test_an_event_on_the_grace_day_counts_under_both():
    of = strategies([5, 9, 9], [1, 0, 0], [NAN, 2, NAN], grace=5, horizon=9, cuts=(0, 2, 5, 9), truncate=None)
    assert not of.deviates[:, 0].any() and (of.ends[:, 0] == 5).all()
    found = strategy_risks(of, seed=1, replicates=2)
    assert found.events == (1, 1)
    assert found.risk[:, 5].tolist() == pytest.approx([1 / 3, 1 / 2])


def test_beginning_after_the_days_that_forbid_it_does_not_deviate():
    of = strategies([9, 9, 9], [0, 0, 0], [7, 2, NAN], grace=3, horizon=9, cuts=(0, 3, 9), until=3)
    assert of.deviates[REFRAIN].tolist() == [False, True, False]
    assert of.ends[BEGIN].tolist() == [3, 9, 3]


def test_each_may_stand_under_one_strategy_and_weights_of_day_0_are_kept():
    exit, cause, begins, x = course(800, 8)
    offered = np.arange(800) % 2 == 0
    start = np.where(offered, begins, NAN)
    base = np.where(offered, 1.0, 2.0)
    of = strategies(
        exit, cause, start, grace=30, horizon=180, X=x, assigned=[offered, ~offered], base=base, truncate=None
    )
    alone = strategies(
        exit[offered], cause[offered], start[offered], grace=30, horizon=180, X=x[offered], truncate=None
    )
    assert of.models[REFRAIN].note == "nobody deviates"
    one, two = (strategy_risks(each, seed=1, replicates=2).risk[BEGIN, -1] for each in (of, alone))
    assert one == pytest.approx(two)
    assert strategy_means(of, np.ones((800, len(of.cuts) - 1)), seed=1, replicates=2).persons == (400, 400)


def test_truncation_bounds_the_stabilised_weights():
    exit, cause, begins, x = course(2000, 2, confounded=1.5)
    wide, cut = (strategies(exit, cause, begins, grace=30, horizon=180, X=x, truncate=t) for t in (None, 0.8))
    there, after = wide.ends[BEGIN] > 30, wide.cuts.tolist().index(30)
    ratio = wide.own[1][BEGIN][there, after]
    low, high = np.quantile(ratio, [0.2, 0.8])
    assert cut.own[1][BEGIN][there, after] == pytest.approx(np.clip(ratio, low, high))
    assert ratio.mean() == pytest.approx(1) and ratio.max() > high


def test_the_seed_decides_and_persons_stay_together():
    exit, cause, begins, x = course(300, 4)
    of = strategies(exit, cause, begins, grace=30, horizon=180, X=x)
    first, again, other = (strategy_risks(of, seed=s, replicates=20) for s in (1, 1, 2))
    assert first.difference == again.difference and first.difference != other.difference
    pairs = np.repeat(np.arange(300), 2)
    twice = strategies(
        *(np.repeat(a, 2) for a in (exit, cause, begins)), grace=30, horizon=180, X=np.repeat(x, 2, axis=0)
    )
    joined = strategy_risks(twice, seed=1, replicates=20, cluster=pairs)
    assert joined.difference == pytest.approx(first.difference) and "clustered" in joined.se_kind


def test_segments_are_cut_where_people_begin_and_by_month():
    assert segment_cuts([1, 2, 3, NAN], 30, 100) == (0, 1, 2, 3, 30, 60, 90, 100)
    assert segment_cuts([NAN], 14, 50) == (0, 14, 30, 50)
    assert len(segment_cuts(np.arange(1, 90), 30, 91, most=3)) == 7


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"exit": [1.5, 2, 3]}, DataError, "whole days"),
        ({"exit": [NAN, 2, 3]}, DataError, "missing"),
        ({"cause": [3, 0, 0]}, DataError, "other codes"),
        ({"begins": [-1, 2, NAN]}, DataError, "before day 0"),
        ({"begins": [1, 2]}, DataError, "one a row"),
        ({"grace": 0}, ParameterError, "0 < grace < horizon"),
        ({"grace": 9}, ParameterError, "0 < grace < horizon"),
        ({"last": 5}, ParameterError, "give 1 to 3"),
        ({"cuts": (0, 4, 9)}, ParameterError, "hold 0, 3, 9"),
        ({"truncate": 0.3}, ParameterError, "quantile"),
        ({"X": [[1.0], [2.0]]}, DataError, r"X must be \(3, p\)"),
        ({"X": [[1.0], [NAN], [2.0]]}, DataError, "missing or infinite"),
        ({"base": [1, -1, 1]}, DataError, "zero or more"),
        ({"assigned": [True, True, True]}, DataError, "assigned must be"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], error: type[Exception], words: str):
    given: dict[str, Any] = {"exit": [9, 4, 9], "cause": [0, 1, 0], "begins": [1, NAN, NAN], "grace": 3, "horizon": 9}
    with pytest.raises(error, match=words):
        strategies(**(given | change))
    with pytest.raises(DataError, match="amounts has shape"):
        strategy_means(strategies(**given), np.ones((3, 1)), seed=1, replicates=2)


# --- where the truth is known ----------------------------------------------------------------------------------------


def truth(effect: float) -> np.ndarray:
    """Risk at day 180 if all began, and if nobody did, in the law of `course`."""
    hazard = 0.004 * np.exp(-0.8 * np.array([-1, 0, 1]))
    return np.array([1 - np.exp(-hazard * (30 + 150 * slow)).mean() for slow in (effect, 1.0)])


@pytest.mark.parametrize("effect", [1.0, 0.6])
def test_immortal_time_and_confounding_mislead_the_naive_contrast_and_not_this_one(effect: float):
    right, naive = [], []
    for seed in range(9):
        exit, cause, begins, x = course(1000, seed, effect=effect)
        of = strategies(exit, cause, begins, grace=30, horizon=180, X=x, truncate=None)
        right.append(strategy_risks(of, seed=1, replicates=2).risk[:, -1])
        began = np.isfinite(begins)
        naive.append([cause[began].mean(), cause[~began].mean()])
    off = np.array(right) - truth(effect)
    error = off.std(axis=0, ddof=1) / 3
    assert (np.abs(off.mean(axis=0)) < 3 * error).all()
    gap = off[:, 0] - off[:, 1]
    assert abs(gap.mean()) < 3 * gap.std(ddof=1) / 3
    wrong = np.subtract(*np.array(naive).T) - np.subtract(*truth(effect))
    assert wrong.mean() < -0.2 and wrong.max() < -0.1  # begun looks far better than it is


@pytest.mark.slow
@pytest.mark.parametrize("effect", [1.0, 0.6])
def test_intervals_hold_the_truth_as_often_as_they_say(effect: float):
    target = float(np.subtract(*truth(effect)))
    held = 0
    for seed in range(200):
        exit, cause, begins, x = course(1000, 1000 + seed, effect=effect)
        of = strategies(exit, cause, begins, grace=30, horizon=180, X=x, truncate=None)
        _, _, low, high = strategy_risks(of, seed=seed, replicates=200).difference
        held += low <= target <= high
    assert 181 <= held <= 198  # 95% of 200, within what chance does in 99 of 100
