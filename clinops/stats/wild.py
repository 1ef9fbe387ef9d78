"""Wild cluster bootstrap: P values and intervals of a regression coefficient where clusters are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums
from clinops.stats.linear import checked_weights, demean, estimable, linear, stratum_codes, without_spread
from clinops.stats.panel import balanced_panel

SIGNS = {"rademacher": (-1.0, 1.0), "webb": tuple(s * v**0.5 for s in (-1, 1) for v in (0.5, 1.0, 1.5))}
_TIE = 1e-9  # relative: the sample with all signs alike is the data again, but for rounding
_FAR = 10  # an interval is infinite when 3^10 standard errors away nothing is rejected
_ROUNDING = 1e-12  # of a level such as 1 - 0.9, which is a little below 0.1
_CELLS = 2_000_000  # signs held at a time


@dataclass(frozen=True)
class WildBootstrap:
    """A coefficient with its wild cluster bootstrap test and the interval of the values that the test keeps.

    Attributes
    ----------
    estimate, std_error : of the regression; the error is CR1 clustered. statistic : (estimate - null) / std_error.
    p_value : two-sided, of `null`. conf_low, conf_high : infinite where no value on that side is rejected.
    n, n_clusters : rows with weight, clusters. kind : "rademacher" or "webb". n_draws : samples.
    enumerated : whether these are all possible ones, so that nothing is random.
    largest_share : of the variation that determines the coefficient, what lies in one cluster.
    conf_level : of the interval. note : "" or what a reader must know.
    """

    estimate: float
    std_error: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    null: float
    n: int
    n_clusters: int
    kind: str
    n_draws: int
    enumerated: bool
    largest_share: float
    conf_level: float
    note: str


@dataclass(frozen=True)
class _Samples:
    """Squared statistics of every sample by the distance d of the null below the estimate; each (draws,).

    (top0 + d top1)^2 / (a + 2 d b + d^2 c): restricted residuals are those of the full fit plus d times the column.
    """

    top0: Floats
    top1: Floats
    a: Floats
    b: Floats
    c: Floats

    def squares(self, d: float) -> Floats:
        below = np.maximum(self.a + 2 * d * self.b + d**2 * self.c, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = (self.top0 + d * self.top1) ** 2 / below
        return np.where(np.isnan(found), np.inf, found)


def wild_bootstrap(
    X: ArrayLike,
    y: ArrayLike,
    column: int,
    cluster: ArrayLike,
    *,
    seed: int,
    null: float = 0.0,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    kind: str = "auto",
    replicates: int = 9999,
    conf_level: float = 0.95,
) -> WildBootstrap:
    """Test one coefficient of `linear` by turning the residuals of whole clusters, under the null.

    Answers: would an estimate this far from the null be rare among as few and as unequal clusters if the null held?

    Parameters
    ----------
    X, y, weights, strata : as in `linear`. column : of X, whose coefficient is asked for. cluster : (n,) ids.
    seed : of numpy's default generator; unused where all samples are enumerated.
    kind : "rademacher" (-1, 1), "webb" (six points), or "auto": rademacher, but webb where the smallest P of two
        signs, 2^(1 - G), is above 1 - conf_level (below 6 clusters for 95 %).
    replicates : samples; where the possible ones are no more (2^G or 6^G), each is taken once.

    Returns
    -------
    WildBootstrap. NaN with a note for a coefficient that is not estimable, or one cluster.

    Raises
    ------
    DefinitionError : unknown kind, column, level; fewer than 99 replicates. DataError : as `linear`.

    Notes
    -----
    With restricted residuals u = y - r x - Z c, samples y* = r x + Z c + v_g u and the CR1 t statistic of each.
    P is the share of |t*| >= |t| (the data among them: (1 + number) / (1 + draws) for random draws), and the interval
    runs outward from the estimate to where P falls to 1 - conf_level. Never shorter than what the number of
    clusters allows. Source: Cameron, Gelbach and Miller 2008; Webb 2023; computed as Roodman, Nielsen, MacKinnon and
    Webb 2019. Where one or two clusters are treated it hardly ever rejects (MacKinnon and Webb 2017): read
    `largest_share`. Equal to the refitting of every sample to 1e-9.
    """
    if kind not in (*SIGNS, "auto"):
        raise DefinitionError(unknown("kind of wild bootstrap", kind, (*SIGNS, "auto")))
    if replicates < 99:
        raise DefinitionError(f"replicates is {replicates!r}; give at least 99, such as 9999.")
    fit = linear(X, y, weights=weights, strata=strata, cluster=cluster, conf_level=conf_level)
    design, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if not -design.shape[1] <= column < design.shape[1]:
        raise DefinitionError(f"column is {column!r}; X has {design.shape[1]} columns, counted from 0.")
    column %= design.shape[1]
    w = checked_weights(weights, len(outcome), design, outcome)
    code = np.unique(np.asarray(cluster)[w > 0], return_inverse=True)[1].astype(np.int64)
    groups = fit.n_clusters
    chosen = kind
    if kind == "auto":  # two signs, unless no pattern of them is rare enough to reject
        chosen = "rademacher" if 2.0 ** (1 - groups) <= 1 - conf_level + _ROUNDING else "webb"
    estimate, error = float(fit.coef[column]), float(fit.std_error[column])
    if without_spread(np.array([error**2]), outcome[w > 0])[0]:
        error = 0.0
    if not error > 0 or fit.n <= fit.n_parameters:
        why = "The error is 0: no bootstrap." if error == 0 else "Not estimable, or without an error: no bootstrap."
        return WildBootstrap(
            estimate, error, np.nan, np.nan, np.nan, np.nan, null, fit.n, groups, chosen, 0, False, np.nan,
            conf_level, f"{fit.note} {why}".strip(),
        )  # fmt: skip
    strata_code, _ = stratum_codes(strata, w)
    parts = _parts(design, outcome, w, strata_code, column, code, groups)
    enumerated = len(SIGNS[chosen]) ** groups <= replicates
    samples = _samples(parts, _signs(chosen, groups, replicates, seed, enumerated))
    draws = len(samples.a)

    def p_value(r: float) -> float:
        mine = (estimate - r) ** 2 / parts.variance
        beyond = int((samples.squares(estimate - r) >= mine * (1 - _TIE)).sum())
        return beyond / draws if enumerated else (1 + beyond) / (1 + draws)

    low, high = (outward_limit(p_value, estimate, side * error, 1 - conf_level) for side in (-1, 1))
    return WildBootstrap(
        estimate, error, (estimate - null) / error, p_value(null), low, high, null, fit.n, groups, chosen, draws,
        enumerated, parts.largest_share, conf_level, _notes(low, high, parts.largest_share, groups),
    )  # fmt: skip


def two_way_wild_bootstrap(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    seed: int,
    cluster: ArrayLike | None = None,
    null: float = 0.0,
    kind: str = "auto",
    replicates: int = 9999,
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> WildBootstrap:
    """Test the coefficient of `two_way_fixed_effects` by the wild cluster bootstrap; parameters as in both."""
    panel = balanced_panel(y, unit, time, first_treated, cluster=cluster, unbalanced=unbalanced)
    units, periods = panel.outcome.shape
    under = (panel.period >= panel.first[:, None]).astype(float).ravel()
    X = np.column_stack([np.tile(np.eye(periods)[:, 1:], (units, 1)), under])
    return wild_bootstrap(
        X, panel.outcome.ravel(), -1, np.repeat(panel.cluster, periods), seed=seed, null=null,
        strata=np.repeat(np.arange(units), periods), kind=kind, replicates=replicates, conf_level=conf_level,
    )  # fmt: skip


@dataclass(frozen=True)
class _Parts:
    """What a sample's statistic is made of, for the residuals of the full fit (0) and the column's own (1).

    own : (2, G) sums of x_r w u by cluster. left : (G, m), right : (2, m, G): left @ right @ v is what refitting
    takes from the scores. variance : sum of squared scores of the data over (x_r' w x_r)^2.
    """

    own: Floats
    left: Floats
    right: Floats
    variance: float
    largest_share: float


def _parts(X: Floats, y: Floats, w: Floats, strata: Ints, column: int, code: Ints, groups: int) -> _Parts:
    counted = w > 0
    within = demean(np.column_stack([X, y]), w, strata)
    keep = estimable(X, within[:, :-1], w)
    others = within[:, keep[keep != column]][counted]
    x, target, rows, weight = within[counted, column], within[counted, -1], strata[counted], w[counted]
    root = np.sqrt(weight)[:, None]
    basis = np.linalg.qr(others * root)[0] / root if others.shape[1] else others
    x_left, y_left = (v - basis @ (basis.T @ (weight * v)) for v in (x, target))
    scale = float(weight @ x_left**2)
    final = y_left - x_left * (weight @ (x_left * y_left)) / scale
    # The refit takes away strata means, the other columns, and the column itself; each is weights times sums.
    columns = np.column_stack([basis, x_left / np.sqrt(scale)])
    left = cluster_sums(columns * (weight * x_left)[:, None], code, groups)
    own, right = [], []
    for residual in (final, x_left):
        own.append(cluster_sums((weight * x_left * residual)[:, None], code, groups)[:, 0])
        right.append(cluster_sums(columns * (weight * residual)[:, None], code, groups).T)
    across = _across(rows, weight, x_left, (final, x_left), code, groups)
    if across is not None:
        left = np.column_stack([left, across[0]])
        right = [np.vstack([one, more]) for one, more in zip(right, across[1], strict=True)]
    share = cluster_sums((weight * x_left**2)[:, None], code, groups)[:, 0] / scale
    return _Parts(
        np.stack(own), left, np.stack(right), float(own[0] @ own[0]) / scale**2, float(share.max())
    )  # fmt: skip


def _across(
    strata: Ints, weight: Floats, x: Floats, residuals: tuple[Floats, Floats], code: Ints, groups: int
) -> tuple[Floats, list[Floats]] | None:
    """Return what strata that lie across clusters take from the scores; None where each lies within one."""
    total = np.bincount(strata, weights=weight)
    first = np.full(len(total), -1)
    first[strata] = code
    crossing = np.unique(strata[code != first[strata]])
    if not crossing.size:
        return None
    place = np.full(len(total), -1)
    place[crossing] = np.arange(len(crossing))
    rows = np.flatnonzero(place[strata] >= 0)
    cell = code[rows] * len(crossing) + place[strata[rows]]

    def table(values: Floats) -> Floats:
        sums: Floats = cluster_sums((weight * values)[rows, None], cell, groups * len(crossing))
        return sums.reshape(groups, len(crossing))

    return table(x), [(table(residual) / total[crossing]).T for residual in residuals]


def _signs(kind: str, groups: int, replicates: int, seed: int, enumerated: bool) -> Iterator[Floats]:
    """Yield blocks of (draws, G) signs."""
    values = np.array(SIGNS[kind])
    if enumerated:
        yield np.array(list(product(values, repeat=groups)))
        return
    rng, block = np.random.default_rng(seed), max(1, _CELLS // groups)
    for start in range(0, replicates, block):
        yield values[rng.integers(0, len(values), (min(block, replicates - start), groups))]


def _samples(parts: _Parts, signs: Iterator[Floats]) -> _Samples:
    found = []
    for v in signs:
        score = [v * own - (v @ right.T) @ parts.left.T for own, right in zip(parts.own, parts.right, strict=True)]
        tops = [v @ own for own in parts.own]
        pairs = [(score[i] * score[j]).sum(axis=1) for i, j in ((0, 0), (0, 1), (1, 1))]
        found.append(np.stack([*tops, *pairs]))
    return _Samples(*np.concatenate(found, axis=1))


def outward_limit(p_value: Callable[[float], float], estimate: float, step: float, alpha: float) -> float:
    """Return the value at which P, seen from the estimate outward, first falls to alpha or below."""
    inside, outside = estimate, estimate + step
    for _ in range(_FAR):
        if p_value(outside) <= alpha + _ROUNDING:
            break
        inside, outside = outside, outside + 2 * (outside - estimate)
    else:
        return float(np.copysign(np.inf, step))
    for _ in range(60):
        middle = (inside + outside) / 2
        if p_value(middle) <= alpha + _ROUNDING:
            outside = middle
        else:
            inside = middle
    return float(inside)


def _notes(low: float, high: float, share: float, groups: int) -> str:
    notes = []
    if np.isinf(low) or np.isinf(high):
        notes.append(f"{groups} clusters like these cannot rule out any value on a side, so that limit is infinite.")
    if share > 0.5:
        notes.append(
            f"One cluster holds {100 * share:.0f} % of what determines the coefficient: such a test rejects too seldom."
        )
    return " ".join(notes)
