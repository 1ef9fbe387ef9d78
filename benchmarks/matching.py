"""1:1 nearest matching without replacement against plain ways of writing it.

By one score both peers are exact greedy matching, the largest first: one looks at every free comparator, the other asks
scikit-learn's neighbours for ever more candidates until one of them is free. By Mahalanobis distance the peer makes
SciPy's matrix of all distances and crosses out columns. With a caliper R's MatchIt is timed as well, where it is
installed (Debian: `r-cran-matchit`); its answer is not compared, since that version lets pairs through that lie outside
the caliper. Optimal matching by one score is set against SciPy's assignment problem
on the matrix of all distances.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from statistics import median

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from benchmarks.r import R, there, versions
from benchmarks.timing import exponent, heading, versus
from clinops.stats.mahalanobis import match_mahalanobis
from clinops.stats.matching import match
from clinops.stats.optimal import optimal_match

CALIPER = 0.2


def scores(treated: int, comparators: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the logit of the score and who is treated; the treated lie 0.8 SD higher."""
    rng = np.random.default_rng(3)
    logit = np.concatenate([rng.normal(0.8, 1, treated), rng.normal(0, 1, comparators)])
    return logit, np.arange(len(logit)) < treated


def plain(logit: np.ndarray, treated: np.ndarray, caliper: float = np.inf) -> dict[int, int]:
    """Greedy matching as numpy code usually has it: the nearest of all, then cross it out."""
    limit = caliper * logit.std(ddof=1)
    free = np.where(treated, np.inf, logit)
    found = {}
    for row in np.flatnonzero(treated)[np.argsort(-logit[treated], kind="stable")]:
        far = np.abs(free - logit[row])
        nearest = int(np.argmin(far))
        if far[nearest] > limit:
            continue
        found[int(row)] = nearest
        free[nearest] = np.inf
    return found


def neighbours(logit: np.ndarray, treated: np.ndarray) -> dict[int, int]:
    """Greedy matching on scikit-learn's tree, doubling the number of candidates until one is free."""
    pool = np.flatnonzero(~treated)
    tree = NearestNeighbors(algorithm="kd_tree").fit(logit[pool, None])
    line = np.flatnonzero(treated)[np.argsort(-logit[treated], kind="stable")]
    candidates = tree.kneighbors(logit[line, None], n_neighbors=min(32, len(pool)), return_distance=False)
    used = np.zeros(len(pool), dtype=bool)
    found = {}
    for row, near in zip(line, candidates, strict=True):
        while used[near].all() and len(near) < len(pool):
            wider = min(4 * len(near), len(pool))
            near = tree.kneighbors(logit[[row], None], n_neighbors=wider, return_distance=False)[0]
        chosen = near[~used[near]][0]
        used[chosen] = True
        found[int(row)] = int(pool[chosen])
    return found


def one_size(few: int, many: int, rounds: int) -> None:
    """Check that all three find the same pairs, then time them."""
    logit, treated = scores(few, many)

    def ours() -> dict[int, int]:
        return {int(row): int(other) for row, other in match(logit, treated, caliper=None).pairs}

    assert ours() == plain(logit, treated) == neighbours(logit, treated)
    for peer, name in ((plain, "numpy, every free comparator"), (neighbours, "scikit-learn neighbours")):
        versus(f"1:1 of {few:,} treated", few + many, ours, partial(peer, logit, treated), name, rounds)


def within_caliper(sizes: tuple[tuple[int, int], ...], timed: tuple[int, int]) -> None:
    """Time one size against MatchIt in the same run, checked against looking at every comparator; then the growth."""
    logit, treated = scores(*timed)
    ours = partial(match, logit, treated, caliper=CALIPER)
    assert {int(row): int(other) for row, other in ours().pairs} == plain(logit, treated, CALIPER)
    if there("MatchIt"):
        with tempfile.TemporaryDirectory() as folder, R(folder, "matchit.R") as r:
            r.load_people({"logit": logit, "treated": treated})
            what = f"1:1 of {timed[0]:,} treated, caliper"
            versus(what, sum(timed), ours, partial(r.run, "match"), "R MatchIt", 1)
    took: dict[int, float] = {}
    for few, many in sizes:
        rows, cpu = scores(few, many), []
        for _ in range(9):
            start = time.process_time()
            match(*rows, caliper=CALIPER)
            cpu.append(time.process_time() - start)
        took[few + many] = median(cpu)
    exponent("1:1, caliper, processor's seconds", took)


def matrix(X: np.ndarray, treated: np.ndarray) -> dict[int, int]:
    """Greedy matching on the whole matrix of Mahalanobis distances, the treated in the order of the rows."""
    within = np.where(treated[:, None], X - X[treated].mean(axis=0), X - X[~treated].mean(axis=0))
    inverse = np.linalg.inv(within.T @ within / (len(X) - 2))
    line, pool = np.flatnonzero(treated), np.flatnonzero(~treated)
    far = cdist(X[line], X[pool], "mahalanobis", VI=inverse)
    found = {}
    for place, row in enumerate(line):
        nearest = int(np.argmin(far[place]))
        found[int(row)] = int(pool[nearest])
        far[:, nearest] = np.inf
    return found


def mahalanobis(few: int, many: int, columns: int, rounds: int) -> None:
    """Check that both find the same pairs, then time them."""
    rng = np.random.default_rng(3)
    treated = np.arange(few + many) < few
    X = rng.normal(size=(few + many, columns)) + 0.4 * treated[:, None]

    def ours() -> dict[int, int]:
        return {int(row): int(other) for row, other in match_mahalanobis(X, treated).pairs}

    assert ours() == matrix(X, treated)
    what = f"1:1 of {few:,} treated, Mahalanobis, {columns} covariates"
    versus(what, few + many, ours, partial(matrix, X, treated), "SciPy, every distance", rounds)


def optimal(few: int, many: int, rounds: int) -> None:
    """Check that the line costs what the assignment problem costs, then time both."""
    rng = np.random.default_rng(4)
    treated = np.arange(few + many) < few
    value = rng.normal(size=few + many) + treated

    def ours() -> float:
        return float(optimal_match(value, treated, caliper=None).distance.sum())

    def peer() -> float:
        far = cdist(value[treated][:, None], value[~treated][:, None])
        return float(far[linear_sum_assignment(far)].sum())

    np.testing.assert_allclose(ours(), peer())
    versus(f"Optimal 1:1 of {few:,} treated", few + many, ours, peer, "SciPy linear_sum_assignment", rounds)


def main() -> None:
    """Run every size."""
    heading("numpy", "scikit-learn", more=versions("MatchIt") if there("MatchIt") else "")
    for few, many, rounds in ((1_000, 10_000, 5), (3_000, 30_000, 3), (10_000, 100_000, 1)):
        one_size(few, many, rounds)
    within_caliper(((3_000, 30_000), (10_000, 100_000), (30_000, 300_000)), timed=(10_000, 100_000))
    mahalanobis(1_000, 10_000, 8, 5)
    optimal(1_000, 10_000, 3)
    optimal(2_000, 20_000, 1)


if __name__ == "__main__":
    main()
