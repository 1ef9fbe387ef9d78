"""How often 95 % intervals of the cost estimators hold the truth: cells of a grid, and what is counted in each.

A cell is a set of estimators on the same data sets, a tail and a number of persons. Each data set has its own seed, so
a cell is the same whatever else is run, and its answers can be kept and looked at again.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinops.analyse.costs.checks import CARRIERS
from clinops.stats.bootstrap import bootstrap_means
from clinops.stats.censored_costs import censored_cost_values
from clinops.stats.cost_models import glm_values
from clinops.stats.one_step import one_step_draws
from clinops.stats.propensity import propensity
from clinops.stats.quantiles import quantile_values
from clinops.stats.standardise import arm_designs
from clinops.stats.two_part import two_part
from clinops.stats.weighted_effects import ArmValues, contrast, weighted_values
from clinops.stats.weighting import balancing_weights
from tests.truth import costs
from tests.truth.costs import (
    EFFECT,
    MONTHS,
    TAILS,
    UNLIKE,
    People,
    Tail,
    average_effect,
    effect_in_exposed,
    followed_effect,
    ratio_of_means,
)

CSV = Path(__file__).parents[2] / "docs" / "methods" / "cost_coverage.csv"
SETS = 2_000
REPLICATES = 1_000
SIZES = (250, 500, 1_000, 2_000, 5_000, 20_000)
FIELDS = ("estimate", "low", "high", "error", "skewness", "largest", "fourth", "cochran")
"""What is kept of an estimator in a data set; error and skewness are on the working scale (log of a ratio)."""

Answer = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Design:
    """Estimators that share data sets: how one is drawn and answered, their truths, and which cells are run."""

    answer: Callable[[Tail, int, int], Answer]
    truths: Callable[[Tail], dict[str, float]]
    sizes: tuple[int, ...] = SIZES
    tails: tuple[str, ...] = TAILS


def warning_signs(influence: np.ndarray, cost: np.ndarray, exposed: np.ndarray) -> tuple[float, ...]:
    """Of an estimate: skewness, share of the largest person in its variance, sum of squared shares; Cochran's ratio."""
    squares = influence**2
    total = squares.sum()
    worst = np.inf
    for arm in (exposed, ~exposed):
        gap = cost[arm] - cost[arm].mean()
        skewness = (gap**3).mean() / (gap**2).mean() ** 1.5
        worst = min(worst, arm.sum() / max(50.0, 25 * skewness**2))
    fourth = float((squares**2).sum() / total**2)
    return float((squares * influence).sum() / total**1.5), float(squares.max() / total), fourth, float(worst)


def _line(arms: ArmValues, scale: str, cost: np.ndarray, exposed: np.ndarray) -> tuple[float, ...]:
    found = contrast(arms, scale)[0]
    one, zero = arms.influence[:, :, 0]
    value = arms.value[:, 0]
    combined = one - zero if scale == "difference" else one / value[0] - zero / value[1]
    return (found.estimate, found.conf_low, found.conf_high, found.std_error, *warning_signs(combined, cost, exposed))


def _generator(tail: Tail, n: int, design: int, at: int) -> np.random.Generator:
    return np.random.default_rng([TAILS.index(tail.name), n, design, at])


def _by_lot(tail: Tail, n: int, at: int) -> Answer:
    one = costs.people(tail, n, _generator(tail, n, 1, at), share=0.5)
    means = weighted_values(one.cost[:, None], one.exposed)
    median = quantile_values(one.cost, one.exposed, probabilities=(0.5,))
    given = one.cost, one.exposed
    return {
        "difference in means": _line(means, "difference", *given),
        "ratio of means": _line(means, "ratio", *given),
        "difference in medians": _line(median, "difference", *given),
    }


def _unequal(tail: Tail, n: int, at: int) -> Answer:
    one = costs.people(tail, n, _generator(tail, n, 2, at), share=0.2)
    means = weighted_values(one.cost[:, None], one.exposed)
    given = one.cost, one.exposed
    return {
        "difference in means, a fifth exposed": _line(means, "difference", *given),
        "ratio of means, a fifth exposed": _line(means, "ratio", *given),
    }


def _confounded(tail: Tail, n: int, at: int) -> Answer:
    return _adjusted(costs.people(tail, n, _generator(tail, n, 3, at), share=None))


def _unlike(tail: Tail, n: int, at: int) -> Answer:
    made = _adjusted(costs.people(tail, n, _generator(tail, n, 5, at), share=None, effects=UNLIKE))
    return {f"{name}; wrong model": answer for name, answer in made.items()}


def _weighted(one: People) -> ArmValues:
    score = propensity(one.covariates, one.exposed)
    weights = balancing_weights(score, estimand="att")
    return weighted_values(one.cost[:, None], one.exposed, weights, propensity=score)


def _adjusted(one: People) -> Answer:
    given = one.cost, one.exposed
    designs = arm_designs(one.exposed, one.covariates)
    made = {"weighted difference in the exposed": _line(_weighted(one), "difference", *given)}
    for name, family in (("OLS", "gaussian"), ("Poisson quasi-likelihood", "quasipoisson"), ("Tweedie", "tweedie")):
        made[name] = _line(glm_values(*given, *designs, family=family), "difference", *given)
    both = two_part(*given, *designs).everybody
    made["two-part, difference"] = _line(both, "difference", *given)
    made["two-part, ratio"] = _line(both, "ratio", *given)
    return made


def _one_step(tail: Tail, n: int, at: int) -> Answer:
    one = costs.people(tail, n, _generator(tail, n, 3, at), share=None)
    arms = _weighted(one)
    point = arms.value[0] - arms.value[1]
    draws = one_step_draws(
        point, arms.influence[0] - arms.influence[1], strata=one.exposed, replicates=REPLICATES, seed=at
    )
    return {"weighted difference, one-step bootstrap": _percentiles(point, draws, arms, one)}


def _percentiles(point: np.ndarray, draws: np.ndarray, arms: ArmValues, one: People) -> tuple[float, ...]:
    low, high = np.quantile(draws[:, 0], (0.025, 0.975))
    signs = _line(arms, "difference", one.cost, one.exposed)[4:]
    return (float(point[0]), float(low), float(high), float(draws[:, 0].std(ddof=1)), *signs)


def _censored(tail: Tail, n: int, at: int) -> Answer:
    one = costs.followed(tail, n, _generator(tail, n, 4, at))
    arms = censored_cost_values(one.time, one.died, one.cost, np.arange(MONTHS + 1.0), one.exposed)
    return {"Bang-Tsiatis, partitioned": _line(arms, "difference", one.cost.sum(axis=1), one.exposed)}


def _resampled(tail: Tail, n: int, at: int) -> Answer:
    one = costs.people(tail, n, _generator(tail, n, 1, at), share=0.5)
    found = bootstrap_means(
        one.cost, one.exposed, seed=at, replicates=REPLICATES, strata=one.exposed, method="bca"
    )  # fmt: skip
    arms = weighted_values(one.cost[:, None], one.exposed)
    plain = _percentiles(found.estimate, found.replicates, arms, one)
    return {
        "percentile bootstrap": plain,
        "BCa bootstrap": (plain[0], float(found.conf_low[0]), float(found.conf_high[0]), *plain[3:]),
    }


def _adjusted_truths(tail: Tail, effects: tuple[float, float] = (EFFECT, EFFECT)) -> dict[str, float]:
    mean = average_effect(tail, effects)
    models = dict.fromkeys(("OLS", "Poisson quasi-likelihood", "Tweedie", "two-part, difference"), mean)
    exposed = effect_in_exposed(tail, effects)
    return {"weighted difference in the exposed": exposed} | models | {"two-part, ratio": ratio_of_means(effects)}


FEW = (250, 500, 1_000, 2_000)
RESAMPLED = ("resampled", "one-step")
DESIGNS = {
    "by lot": Design(_by_lot, lambda tail: {
        "difference in means": average_effect(tail), "ratio of means": EFFECT,
        "difference in medians": (EFFECT - 1) * tail.median,
    }),
    "a fifth exposed": Design(_unequal, lambda tail: {
        "difference in means, a fifth exposed": average_effect(tail), "ratio of means, a fifth exposed": EFFECT,
    }),
    "confounded": Design(_confounded, _adjusted_truths),
    "wrong model": Design(_unlike, lambda tail: {
        f"{name}; wrong model": truth for name, truth in _adjusted_truths(tail, UNLIKE).items()
    }, (5_000,), ("trial",)),
    "censored": Design(_censored, lambda tail: {"Bang-Tsiatis, partitioned": followed_effect(tail)}),
    "resampled": Design(_resampled, lambda tail: {
        "percentile bootstrap": average_effect(tail), "BCa bootstrap": average_effect(tail),
    }, FEW, ("trial", "heavy")),
    "one-step": Design(_one_step, lambda tail: {
        "weighted difference, one-step bootstrap": effect_in_exposed(tail),
    }, FEW, ("trial",)),
}  # fmt: skip


def cells() -> Iterator[tuple[str, str, int]]:
    """Yield (design, tail, n), small data sets first."""
    for n in SIZES:
        for name, design in DESIGNS.items():
            if n in design.sizes:
                yield from ((name, tail, n) for tail in TAILS if tail in design.tails)


def run(design: str, tail: str, n: int, sets: int = SETS) -> dict[str, np.ndarray]:
    """Answer `sets` data sets of a cell; (sets, fields) by estimator."""
    law, answer = costs.tail(tail), DESIGNS[design].answer
    made = [answer(law, n, at) for at in range(sets)]
    return {name: np.array([one[name] for one in made]) for name in made[0]}


@dataclass(frozen=True)
class Summary:
    """An estimator in a cell.

    `above` and `below` are shares of intervals that lie wholly above or below the truth; `mc_error` is the Monte Carlo
    standard error of the coverage; bias and mean standard error are in SDs of the estimates (of their logs for a
    ratio). `warned` is the share of data sets in which the report would warn of the tail, `covered_unwarned` the
    coverage in the others (NaN where there are fewer than 50), `cochran` the share in which 25 times the squared
    skewness of an arm exceeds its persons. An interval that is missing does not count.
    """

    design: str
    estimator: str
    tail: str
    n: int
    sets: int
    coverage: float
    mc_error: float
    above: float
    below: float
    bias_over_sd: float
    error_over_sd: float
    missing: int
    warned: float
    covered_unwarned: float
    cochran: float

    def cells(self) -> tuple[str, ...]:
        """The fields as text, shares and ratios to four decimals."""
        return tuple(f"{one:.4f}" if isinstance(one, float) else str(one) for one in vars(self).values())


def summaries(design: str, tail: str, n: int, found: dict[str, np.ndarray]) -> list[Summary]:
    """Count what the answers of a cell hold; the warning is that of the main difference of each data set."""
    truths = DESIGNS[design].truths(costs.tail(tail))
    main = next(iter(found.values()))
    return [_summary(name, truths[name], answers, main, (design, tail, n)) for name, answers in found.items()]


def warns(answers: np.ndarray) -> np.ndarray:
    """(sets,) whether the report would warn."""
    return 1 / answers[:, FIELDS.index("fourth")] < CARRIERS


def _summary(name: str, truth: float, answers: np.ndarray, main: np.ndarray, at: tuple[str, str, int]) -> Summary:
    design, tail, n = at
    warned = warns(main)
    estimate, low, high, error = answers[:, :4].T
    there = np.isfinite(low) & np.isfinite(high)
    inside = (low <= truth) & (truth <= high)
    off = np.log(estimate / truth) if "ratio" in name else estimate - truth
    spread = off[there].std(ddof=1)
    coverage = float(inside[there].mean())
    calm = there & ~warned
    return Summary(
        design=design, estimator=name, tail=tail, n=n, sets=len(answers), coverage=coverage,
        mc_error=float(np.sqrt(coverage * (1 - coverage) / there.sum())), above=float((low > truth)[there].mean()),
        below=float((high < truth)[there].mean()), bias_over_sd=float(off[there].mean() / spread),
        error_over_sd=float(error[there].mean() / spread), missing=int((~there).sum()), warned=float(warned.mean()),
        covered_unwarned=float(inside[calm].mean()) if calm.sum() >= 50 else float("nan"),
        cochran=float((main[:, FIELDS.index("cochran")] < 1).mean()),
    )  # fmt: skip


def committed() -> list[Summary]:
    """The summaries in docs/methods/cost_coverage.csv, as they were run."""
    kinds = {"int": int, "float": float, "str": str}
    fields = Summary.__dataclass_fields__
    with CSV.open(encoding="utf-8", newline="") as stream:
        return [
            Summary(**{name: kinds[str(fields[name].type)](cell) for name, cell in row.items()})
            for row in csv.DictReader(stream)
        ]
