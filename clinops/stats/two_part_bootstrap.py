"""Bootstrap of the two-part model, refitted in every sample (exact) or moved by one Newton step (one-step).

Samples are weights on the rows of one data set, taken in blocks: gradients and information of all samples of a block
are matrix products, and each sample starts from the full fit, where its first Newton step needs no exponential at all.
That first step is the one-step bootstrap; the exact one goes on until the coefficients stand still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError, unknown
from clinops.stats.bootstrap import Bootstrap, Resampling, check_bootstrap, resampling, summarise
from clinops.stats.glm import cluster_sums, independent_columns
from clinops.stats.glm_families import Floats, Ints
from clinops.stats.propensity import as_treated
from clinops.stats.standardise import design_pair
from clinops.stats.two_part import SECOND_PARTS, TwoPart, two_part

HOW = ("exact", "one-step")
QUANTITIES = ("exposed", "comparator", "difference", "ratio")
_ROUNDS = 12
_STILL = 1e-6  # a step this small, in units of the linear predictor, leaves an error far below it
_NEAR = 0.03  # after a step this small the information is kept: it has all but stopped moving
_FAR = 3.0  # a one-step move beyond this is no small step: the sample is refitted


@dataclass(frozen=True)
class _Part:
    """One part of the model on its rows: design (n, k) and its products (n, k(k+1)/2), the full fit, its outcome.

    linear : (n, k) what the gradient holds that does not move with the coefficients. at_start : (n, k + k(k+1)/2)
    each row's part of gradient and information at the full fit. scale : (k,) root mean squares of the columns.
    """

    kind: str
    design: Floats
    products: Floats
    outcome: Floats
    linear: Floats
    at_start: Floats
    start: Floats
    scale: Floats
    keep: Ints
    upper: tuple[NDArray[np.int64], NDArray[np.int64]]


def two_part_bootstrap(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    seed: int,
    second: str = "gamma",
    weights: ArrayLike | None = None,
    average_over: str = "everybody",
    how: str = "exact",
    replicates: int = 1000,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    method: str = "percentile",
    conf_level: float = 0.95,
) -> Bootstrap:
    """Bootstrap the two-part model's means, their difference and their ratio (logit first part).

    Parameters
    ----------
    y, treated, design_exposed, design_comparator, second, average_over : as in `two_part`.
    weights : (n,) taken as known: nothing that made them is refitted (use `bootstrap` around it all for that).
    how : "exact" refits both parts in every sample, to the same coefficients as `two_part`; "one-step" stops after
        one Newton step from the full fit, several times faster and the same to first order.
    seed, replicates, cluster, strata, method, conf_level : as in `bootstrap`, which draws the same samples.

    Returns
    -------
    Bootstrap of q = 4: mean of the exposed, mean of the comparators, difference, ratio (QUANTITIES). "bca" takes its
    acceleration from the influence function. A sample without a finite answer is counted in n_failed.

    Raises
    ------
    DefinitionError : unknown names. DataError : as `two_part` and `bootstrap`.

    Notes
    -----
    Samples in which Newton's method does not settle (separation, a rare level not drawn) are refitted one by one by
    `two_part`. One step: Davidson and MacKinnon 1999. Exact is checked against a loop over `two_part`, and the errors
    of both against each other.
    """
    if how not in HOW:
        raise DefinitionError(unknown("kind of bootstrap", how, HOW))
    if second not in SECOND_PARTS:
        raise DefinitionError(unknown("second part", second, SECOND_PARTS))
    check_bootstrap(method, replicates, conf_level)
    arm = as_treated(treated)
    units = resampling(len(arm), cluster=cluster, strata=strata)
    ones, zeros, seen = design_pair(design_exposed, design_comparator, arm)
    case = None if weights is None else np.asarray(weights, dtype=float)

    def fitted(extra: Floats | None) -> TwoPart:
        both = case if extra is None else extra if case is None else case * extra
        return two_part(y, arm, ones, zeros, second=second, weights=both, average_over=average_over)

    full = fitted(None)
    share = {"everybody": None, "exposed": arm.astype(float), "comparators": (~arm).astype(float)}[average_over]
    job = _Job(full, fitted, np.asarray(y, dtype=float), ones, zeros, seen, case, share, units, second)
    draws = job.means(seed, replicates, how == "exact")
    estimate = _quantities(full.everybody.value.T)[0]
    return summarise(
        estimate, _quantities(draws), units, method=method, conf_level=conf_level, gap=_pull(full, units), label=how
    )


def _quantities(means: Floats) -> Floats:
    """(b, 4) of (b, 2) means."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((means[:, 0] > 0) & (means[:, 1] > 0), means[:, 0] / means[:, 1], np.nan)
    return np.column_stack([means, means[:, 0] - means[:, 1], ratio])


def _pull(full: TwoPart, units: Resampling) -> Floats:
    """(units, 4) influence of each unit on the four quantities."""
    one, zero = cluster_sums(full.everybody.influence[:, :, 0].T, units.unit, units.count).T
    value = full.everybody.value[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (one - value[0] / value[1] * zero) / value[1]
    return np.column_stack([one, zero, one - zero, ratio])


@dataclass(frozen=True)
class _Job:
    """One bootstrap: the full fit, how to refit one sample, the arrays, and the units that are drawn."""

    full: TwoPart
    fitted: Callable[[Floats], TwoPart]
    cost: Floats
    ones: Floats
    zeros: Floats
    seen: Floats
    case: Floats | None
    share: Floats | None
    units: Resampling
    second: str

    def means(self, seed: int, replicates: int, exact: bool) -> Floats:
        """(replicates, 2) mean cost of the exposed and of the comparators in each sample."""
        if self.full.second is None:
            return np.full((replicates, 2), np.nan)
        # rows with a cost come first, so that the second part's weights are a plain slice
        order = np.argsort(self.cost <= 0, kind="stable")
        positive = int((self.cost > 0).sum())
        some = (self.cost[order] > 0).astype(float)
        first = None
        if self.full.first is not None:
            first = _part("logit", self.seen[order], some, self.full.first.coef)
        second = _part(self.second, self.seen[order[:positive]], self.cost[order[:positive]], self.full.second.coef)
        sound = self.full.second.converged and (self.full.first is None or self.full.first.converged)
        found = np.empty((replicates, 2))
        done = 0
        for weight in self.units.blocks(seed, replicates, rows=order):
            here = found[done : done + len(weight)]
            done += len(weight)
            drawn = weight.copy() if self.case is not None else weight
            lost = np.ones(len(weight), dtype=bool)
            if sound:
                if self.case is not None:
                    weight *= self.case[order]
                here[:], lost = self._block(weight, order, positive, first, second, exact)
            for b in np.flatnonzero(lost):
                extra = np.empty(len(order))
                extra[order] = drawn[b]
                here[b] = self._one(extra)
        return found

    def _block(
        self, weight: Floats, order: Ints, positive: int, first: _Part | None, second: _Part, exact: bool
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Means of a block of samples, and which of them have to be refitted one by one."""
        lost = np.zeros(len(weight), dtype=bool)
        any_cost = None
        if first is not None:
            beta, bad = _newton(first, weight, exact)
            any_cost, lost = _wide(beta, first, self.ones.shape[1]), bad
        beta, bad = _newton(second, weight[:, :positive], exact)
        amount, lost = _wide(beta, second, self.ones.shape[1]), lost | bad
        if self.share is not None:
            weight = weight * self.share[order]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            found = _averages(weight, self.ones[order], self.zeros[order], any_cost, amount)
        return found, lost | ~np.isfinite(found).all(axis=1)

    def _one(self, extra: Floats) -> Floats:
        counted = (extra > 0) if self.case is None else (extra * self.case > 0)
        averaged = counted if self.share is None else counted & (self.share > 0)
        if not averaged.any():
            return np.full(2, np.nan)
        return self.fitted(extra).everybody.value[:, 0]


def _part(kind: str, design: Floats, outcome: Floats, coef: Floats) -> _Part:
    keep = independent_columns(design)[0]
    narrow = np.ascontiguousarray(design[:, keep])
    first, other = np.triu_indices(len(keep))
    start = np.nan_to_num(coef)[keep]
    products = narrow[:, first] * narrow[:, other]
    eta = narrow @ start
    if kind == "logit":
        mean = 1 / (1 + np.exp(-eta))
        residual, curve, linear = outcome - mean, mean * (1 - mean), narrow * outcome[:, None]
    elif kind == "gamma":
        curve = outcome * np.exp(-eta)
        residual, linear = curve - 1, -narrow
    else:
        curve = np.exp(eta)
        residual, linear = outcome - curve, narrow * outcome[:, None]
    return _Part(
        kind=kind,
        design=narrow,
        products=products,
        outcome=outcome,
        linear=linear,
        at_start=np.column_stack([narrow * residual[:, None], products * curve[:, None]]),
        start=start,
        scale=np.sqrt((narrow**2).mean(axis=0)),
        keep=keep,
        upper=(first.astype(np.int64), other.astype(np.int64)),
    )


def _wide(beta: Floats, part: _Part, k: int) -> Floats:
    wide = np.zeros((len(beta), k))
    wide[:, part.keep] = beta
    return wide


def _newton(part: _Part, weight: Floats, exact: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """(b, k) coefficients of each sample and which samples did not settle."""
    k = part.design.shape[1]
    # from the full fit the means are the same in every sample, so that the first step is one matrix product
    both = weight @ part.at_start
    information = _squares(part, both[:, k:])
    step = _solve(information, both[:, :k] / part.scale)
    beta, size = part.start + step / part.scale, np.abs(step).max(axis=1)
    if not exact:
        return beta, ~(size < _FAR)
    fixed = weight @ part.linear
    moving = weight * part.outcome if part.kind == "gamma" else weight
    for _ in range(_ROUNDS):
        if not (size > _STILL).any():
            break
        keep = bool((size < _NEAR).all())
        gradient, triangle = _slopes(part, moving, fixed, beta, None if keep else part.products)
        if triangle is not None:
            information = _squares(part, triangle)
        step = _solve(information, gradient / part.scale)
        beta, size = beta + step / part.scale, np.abs(step).max(axis=1)
    return beta, ~(size <= _STILL)


def _slopes(
    part: _Part, weight: Floats, fixed: Floats, beta: Floats, products: Floats | None
) -> tuple[Floats, Floats | None]:
    """Gradient (b, k) and, given the products, upper triangle of the information of every sample at its own
    coefficients; (b, n) arrays are worked on in place."""
    with np.errstate(over="ignore", invalid="ignore"):
        if part.kind == "logit":
            mean = -beta @ part.design.T
            np.exp(mean, out=mean)
            mean += 1
            np.reciprocal(mean, out=mean)
            curve = weight * mean
            gradient = fixed - curve @ part.design
            if products is None:
                return gradient, None
            np.subtract(1, mean, out=mean)
            curve *= mean
            return gradient, curve @ products
        mean = (-beta if part.kind == "gamma" else beta) @ part.design.T
        np.exp(mean, out=mean)
        mean *= weight
        moved = mean @ part.design
        gradient = fixed + moved if part.kind == "gamma" else fixed - moved
        return gradient, None if products is None else mean @ products


def _squares(part: _Part, triangle: Floats) -> Floats:
    """(b, k, k) information of columns scaled to a root mean square of 1."""
    b, k = len(triangle), len(part.scale)
    information = np.empty((b, k, k))
    information[:, part.upper[0], part.upper[1]] = triangle
    information[:, part.upper[1], part.upper[0]] = triangle
    information /= np.outer(part.scale, part.scale)
    return information


def _solve(information: Floats, gradient: Floats) -> Floats:
    """Information^-1 gradient of every sample; NaN where the information has no inverse."""
    try:
        return np.asarray(np.linalg.solve(information, gradient[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        found = np.full(gradient.shape, np.nan)
        for row, square in enumerate(information):
            if np.isfinite(square).all() and np.linalg.matrix_rank(square) == len(square):
                found[row] = np.linalg.solve(square, gradient[row])
        return found


def _averages(weight: Floats, ones: Floats, zeros: Floats, first: Floats | None, second: Floats) -> Floats:
    """(b, 2) weighted means of P(any) E(cost given any) under exposure and under none."""
    shift = ones - zeros
    if (shift != shift[0]).any():
        each = [_products(design, first, second) for design in (ones, zeros)]
        totals = [np.einsum("bn,bn->b", weight, product) for product in each]
        return np.stack(totals, axis=1) / weight.sum(axis=1)[:, None]
    # one arm column and no interaction: the exposed's predictions are the others' times a constant
    mean = second @ zeros.T
    np.exp(mean, out=mean)
    mean *= weight
    up = np.exp(second @ shift[0])
    if first is None:
        total = mean.sum(axis=1)
        return np.stack([up * total, total], axis=1) / weight.sum(axis=1)[:, None]
    against = first @ zeros.T
    np.negative(against, out=against)
    np.exp(against, out=against)
    found = np.empty((len(weight), 2))
    scaled = against * np.exp(-(first @ shift[0]))[:, None]
    for side, odds, factor in ((0, scaled, up), (1, against, 1.0)):
        odds += 1
        np.divide(mean, odds, out=odds)
        found[:, side] = factor * odds.sum(axis=1)
    return found / weight.sum(axis=1)[:, None]


def _products(design: Floats, first: Floats | None, second: Floats) -> Floats:
    mean = np.exp(second @ design.T)
    return mean if first is None else mean / (1 + np.exp(-(first @ design.T)))
