"""Splitting people into folds, and predicting for each fold from models that never saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import Floats, Ints
from clinops.stats.learners import Learner


@dataclass(frozen=True)
class Nuisances:
    """What doubly robust estimators need to know of each of n rows.

    score : (n,) probability of exposure, within its bounds. mean : (2, n) outcome as if exposed and as if not.
    n_bounded : scores that were pulled in, of rows with weight.
    """

    score: Floats
    mean: Floats
    n_bounded: int


def fold_ids(treated: NDArray[np.bool_], folds: int, seed: int | None, *, cluster: ArrayLike | None = None) -> Ints:
    """Deal rows, or whole clusters, out to folds 0, 1, ... at random; rows arm by arm, so that each fold has both.

    Raises
    ------
    DefinitionError : fewer than 1 fold, no seed with more than one. DataError : more folds than there is to deal.
    """
    n = len(treated)
    if folds < 1 or int(folds) != folds:
        raise DefinitionError(f"folds is {folds!r}; it must be a whole number, at least 1 (1 for no cross-fitting).")
    if folds == 1:
        return np.zeros(n, np.int64)
    if seed is None:
        raise DefinitionError("Cross-fitting deals people out at random and needs a seed, so that it can be repeated.")
    rng = np.random.default_rng(seed)
    if cluster is None:
        order = rng.permutation(n)
        order = order[np.argsort(treated[order], kind="stable")]
        dealt, units = np.empty(n, np.int64), n
        dealt[order] = np.arange(n) % folds
    else:
        ids = np.asarray(cluster)
        if ids.shape != (n,):
            raise DataError(f"cluster has shape {ids.shape}; it must be one id a row, ({n},).")
        names, code = np.unique(ids, return_inverse=True)
        units = len(names)
        dealt = (rng.permutation(units) % folds)[code]
    if units < folds:
        what = "rows" if cluster is None else "clusters"
        raise DataError(f"{units} {what} cannot be dealt out to {folds} folds; ask for fewer folds.")
    return dealt


def out_of_fold(
    learner: Learner, X: Floats, y: Floats, weights: Floats, fold: Ints, rows: NDArray[np.bool_] | None = None
) -> Floats:
    """Predict each row's mean from a model fitted on the other folds; on all rows when there is one fold.

    rows : (n,) to fit on (an arm); every row is predicted.
    """
    return _predicted(learner, X, (X,), y, weights, fold, rows)[0]


def nuisances(
    y: Floats,
    treated: NDArray[np.bool_],
    X: Floats,
    designs: tuple[Floats, Floats] | None,
    weights: Floats,
    fold: Ints,
    outcome: Learner,
    score: Learner,
    bounds: tuple[float, float],
) -> Nuisances:
    """Learn the score and both means; one outcome model on the observed of two designs, or without them one an arm.

    Raises
    ------
    DataError : an arm is missing where a model has to be fitted; a learner predicts something that is no number.
    """
    needs = [(treated, "exposed"), (~treated, "comparators")]
    for left_out in np.unique(fold) if fold.any() else [-1]:
        for rows, name in needs:
            if not (rows & (weights > 0) & (fold != left_out)).any():
                where = "" if left_out < 0 else f" outside fold {left_out}"
                raise DataError(f"There are no {name}{where} to learn from; loosen the eligibility or use fewer folds.")
    chance = out_of_fold(score, X, treated.astype(float), weights, fold)
    if designs is None:
        mean = np.array([out_of_fold(outcome, X, y, weights, fold, rows) for rows, _ in needs])
    else:
        seen = np.where(treated[:, None], *designs)
        mean = _predicted(outcome, seen, designs, y, weights, fold, None)
    if not np.isfinite(chance).all() or not np.isfinite(mean).all():
        raise DataError("A learner predicted a missing or infinite value; check its settings and its covariates.")
    held = np.clip(chance, *bounds)
    return Nuisances(held, mean, int(((held != chance) & (weights > 0)).sum()))


def _predicted(
    learner: Learner,
    seen: Floats,
    wanted: tuple[Floats, ...],
    y: Floats,
    weights: Floats,
    fold: Ints,
    rows: NDArray[np.bool_] | None,
) -> Floats:
    usable = (weights > 0) if rows is None else rows & (weights > 0)
    found = np.empty((len(wanted), len(y)))
    names = np.unique(fold)
    for name in names:
        inside = fold == name
        train = usable & ~inside if len(names) > 1 else usable
        predict = learner(seen[train], y[train], weights[train])
        for j, design in enumerate(wanted):
            found[j, inside] = predict(design[inside])
    return found
