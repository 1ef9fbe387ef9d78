"""A thousand bootstrap repetitions of a two-part cost model (logit, gamma), against statsmodels in a loop."""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: one thread for both, as in a report run

import numpy as np
import statsmodels.api as sm

from benchmarks.timing import heading
from clinops.stats.standardise import arm_designs
from clinops.stats.two_part import two_part
from clinops.stats.two_part_bootstrap import two_part_bootstrap

REPLICATES = 1000
CHUNKS = 5


def people(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cost (a third without any, gamma of shape 1/2), arm and four covariates: six columns in all."""
    rng = np.random.default_rng(0)
    arm, x = rng.integers(0, 2, n), rng.normal(size=(n, 4))
    X = np.column_stack([np.ones(n), arm, x])
    some = rng.random(n) < 1 / (1 + np.exp(-X @ [0.8, 0.3, 0.2, -0.1, 0.1, 0.0]))
    mean = np.exp(X @ [6, 0.15, 0.2, 0.1, -0.1, 0.05])
    return np.where(some, rng.gamma(0.5, mean / 0.5), 0.0), arm, x


def peer(cost: np.ndarray, arm: np.ndarray, x: np.ndarray, seed: int, replicates: int) -> np.ndarray:
    """Return replicates of the difference: rows drawn, both parts refitted by statsmodels, predictions recycled."""
    rng, n = np.random.default_rng(seed), len(cost)
    X = np.column_stack([np.ones(n), arm, x])
    found = np.empty(replicates)
    for b in range(replicates):
        rows = rng.integers(0, n, n)
        design, y = X[rows], cost[rows]
        some = y > 0
        first = sm.GLM(some.astype(float), design, sm.families.Binomial()).fit().params
        family = sm.families.Gamma(sm.families.links.Log())
        second = sm.GLM(y[some], design[some], family).fit().params
        each = []
        for side in (1.0, 0.0):
            design[:, 1] = side
            each.append(np.mean(np.exp(design @ second) / (1 + np.exp(-design @ first))))
        found[b] = each[0] - each[1]
    return found


def one_size(n: int) -> None:
    """Time all three in turn, chunk by chunk of the peer's repetitions, and compare their standard errors."""
    cost, arm, x = people(n)
    designs = arm_designs(arm, x)
    took: dict[str, list[float]] = {"statsmodels": [], "exact": [], "one-step": []}
    error: dict[str, float] = {}
    theirs = []
    for chunk in range(CHUNKS):
        start = time.perf_counter()
        theirs.append(peer(cost, arm, x, chunk, REPLICATES // CHUNKS))
        took["statsmodels"].append(time.perf_counter() - start)
        for how in ("exact", "one-step"):
            start = time.perf_counter()
            found = two_part_bootstrap(cost, arm, *designs, seed=1, how=how, replicates=REPLICATES)
            took[how].append(time.perf_counter() - start)
            error[how] = float(found.std_error[2])
    error["statsmodels"] = float(np.concatenate(theirs).std(ddof=1))
    reference = sum(took["statsmodels"])
    for how, goal in (("exact", 10), ("one-step", 50)):
        ours = float(np.median(took[how]))
        what = f"Two-part bootstrap, {REPLICATES:,} samples, {how}"
        print(f"| {what} | {n:,} | {ours:.4f} | {reference:.4f} | {reference / ours:.1f} | statsmodels loop |")
        print(f"  goal: {goal} times faster; standard error {error[how]:.3f}, statsmodels {error['statsmodels']:.3f}")
    delta = two_part(cost, arm, *designs).effect().std_error
    print(f"  delta method {delta:.3f}; a standard error from {REPLICATES:,} samples is uncertain by 2.2 %")


def main() -> None:
    """Run the size of the goal, or those given."""
    heading("numpy", "statsmodels")
    for n in map(int, sys.argv[1:] or ["10000"]):
        one_size(n)


if __name__ == "__main__":
    main()
