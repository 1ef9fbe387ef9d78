"""Simulated costs of two arms with a known truth: three tails, with and without confounding, with censoring.

The truth is exact by construction. A person's cost is a draw of a tail (mean m, zeros and all) times 0.75 or 1.25 by a
binary trait, times 0.9 if exposed; so the mean model with trait and arm on the log scale is right, arms differ by 10 %
of the mean, and both strata are exposed with the same variance, so that a linear model without interaction estimates
the same average effect. A second covariate does nothing. What is not right is the distribution: no model here knows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.optimize import brentq
from scipy.stats import norm

CLAIMS = Path(__file__).parents[2] / "data" / "illinois-wellness" / "claims.csv"
MEAN = 1_000.0
"""Of the costs above zero in the two simulated tails."""
EFFECT = 0.9
TRAIT = np.array([0.75, 1.25])
OFFERED = np.array([0.4, 0.6])
"""Probability of exposure by trait, where there is confounding."""
JITTER = 0.1
"""SD of the logarithm of the factor, mean 1, that smooths the costs drawn from the trial."""
MONTHS = 12
DYING, DEARER = 0.05, 3.0
"""Share who die within the horizon, and how many times dearer they are."""
LEAVING = 0.22
UNLIKE = (1.15, 0.75)
"""Factors of exposure without and with the trait, where a model without their interaction is wrong."""


@dataclass(frozen=True)
class Tail:
    """A law of costs: (size,) draws, the mean, and the probability of a cost up to (k,) amounts."""

    name: str
    draw: Callable[[Generator, int], np.ndarray]
    mean: float
    cdf: Callable[[float], float]

    @property
    def median(self) -> float:
        """Of an unexposed person's cost, the trait being as common as not."""
        return float(brentq(lambda q: np.mean([self.cdf(q / one) for one in TRAIT]) - 0.5, 1e-6, 1e6, xtol=1e-9))


@cache
def trial_costs() -> np.ndarray:
    """Monthly spending of the controls of the Illinois trial in its first year (n = 1,031; 9 % zeros, skewness 9.4)."""
    lines = CLAIMS.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    arm, spend = names.index("treat"), names.index("spend_0816_0717")
    cells = [line.split(",") for line in lines[1:]]
    return np.array([float(row[spend]) for row in cells if row[arm] == "0" and row[spend] != ""])


def _lognormal(name: str, sd: float, zeros: float) -> Tail:
    centre = np.log(MEAN) - sd**2 / 2

    def draw(rng: Generator, size: int) -> np.ndarray:
        return np.exp(rng.normal(centre, sd, size)) * (rng.random(size) >= zeros)

    return Tail(name, draw, MEAN * (1 - zeros), lambda q: zeros + (1 - zeros) * norm.cdf((np.log(q) - centre) / sd))


def _trial() -> Tail:
    costs = trial_costs()
    some = np.log(costs[costs > 0])

    def draw(rng: Generator, size: int) -> np.ndarray:
        return rng.choice(costs, size) * np.exp(rng.normal(-(JITTER**2) / 2, JITTER, size))

    def cdf(q: float) -> float:
        below = norm.cdf((np.log(q) - some + JITTER**2 / 2) / JITTER)
        return float(np.mean(costs == 0) + below.sum() / len(costs))

    return Tail("trial", draw, float(costs.mean()), cdf)


@cache
def tail(name: str) -> Tail:
    """Return a tail by its name: "light", "trial" or "heavy"."""
    return {
        "light": lambda: _lognormal("light", 0.8, 0.10),
        "trial": _trial,
        "heavy": lambda: _lognormal("heavy", 1.8, 0.25),
    }[name]()


TAILS = ("light", "trial", "heavy")


@dataclass(frozen=True)
class People:
    """One data set: cost (n,), exposed (n,) bool, covariates (n, 2): the trait, and one that does nothing."""

    cost: np.ndarray
    exposed: np.ndarray
    covariates: np.ndarray


def people(
    law: Tail, n: int, rng: Generator, *, share: float | None, effects: tuple[float, float] = (EFFECT, EFFECT)
) -> People:
    """Draw n persons, `share` of them exposed by lot, or by the trait's odds where share is None.

    `effects` are the factors of exposure without the trait and with it.
    """
    trait = (rng.random(n) < 0.5).astype(int)
    exposed = np.arange(n) < round(share * n) if share is not None else rng.random(n) < OFFERED[trait]
    cost = law.draw(rng, n) * TRAIT[trait] * np.where(exposed, np.array(effects)[trait], 1.0)
    return People(cost, exposed, np.column_stack([trait.astype(float), rng.normal(size=n)]))


def average_effect(law: Tail, effects: tuple[float, float] = (EFFECT, EFFECT)) -> float:
    """Of exposure on the mean, over everybody."""
    return law.mean * float(TRAIT @ (np.array(effects) - 1)) / 2


def effect_in_exposed(law: Tail, effects: tuple[float, float] = (EFFECT, EFFECT)) -> float:
    """Of exposure on the mean of those exposed, who have the dearer trait more often."""
    return law.mean * float((OFFERED * TRAIT) @ (np.array(effects) - 1) / OFFERED.sum())


def ratio_of_means(effects: tuple[float, float] = (EFFECT, EFFECT)) -> float:
    """Mean of everybody exposed over that of everybody not."""
    return float(TRAIT @ np.array(effects)) / float(TRAIT.sum())


@dataclass(frozen=True)
class Followed:
    """One data set with follow-up: time (n,) in months, died (n,), cost by month (n, 12), exposed (n,)."""

    time: np.ndarray
    died: np.ndarray
    cost: np.ndarray
    exposed: np.ndarray


def followed(law: Tail, n: int, rng: Generator) -> Followed:
    """Draw n persons, half exposed, of whom about a fifth leave before the end or death; times are whole days.

    A cost is spread unevenly over the months lived; who dies is `DEARER`. What a person would have cost up to the
    horizon does not depend on when he leaves.
    """
    one = people(law, n, rng, share=0.5)
    day = 1 / 30
    rate = -np.log(1 - DYING) / MONTHS
    death = np.ceil(rng.exponential(1 / rate, n) / day) * day
    dies = death <= MONTHS + 1e-9
    months = np.arange(MONTHS)
    spread = rng.gamma(0.3, size=(n, MONTHS)) + 1e-12
    spread *= months < np.minimum(death, MONTHS)[:, None]
    whole = one.cost * np.where(dies, DEARER, 1.0)
    by_month = spread / spread.sum(axis=1, keepdims=True) * whole[:, None]
    leaves = np.where(rng.random(n) < LEAVING, np.ceil(rng.random(n) * MONTHS / day) * day, np.inf)
    end = np.minimum(death, MONTHS)
    time = np.minimum(leaves, end)
    watched = np.where((leaves < end)[:, None], np.clip(time[:, None] - months, 0, 1), 1.0)
    return Followed(time, (dies & (leaves >= end)).astype(float), by_month * watched, one.exposed)


def followed_effect(law: Tail) -> float:
    """Of exposure on the mean cost up to the horizon."""
    died = 1 - np.exp(np.log(1 - DYING) / MONTHS * MONTHS)
    return average_effect(law) * (1 + (DEARER - 1) * float(died))
