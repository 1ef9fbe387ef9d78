"""Accelerated failure time models: by what factor does a covariate stretch the time to an event?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.glm import cluster_sums, expit, independent_columns
from clinops.stats.normal import z_value
from clinops.stats.risk_sets import Bools, Floats, Spells, spells

NAN = float("nan")
DISTRIBUTIONS = ("weibull", "exponential", "lognormal", "loglogistic")
_MAX_ITERATIONS = 100
# Newton's decrement is twice what the log likelihood still has to gain: below the first value a step that is still
# long belongs to a coefficient without a maximum; below the second the search ends.
_NOTHING_LEFT = 1e-10
_POLISHED = 1e-22
_LONG_STEP = 0.01  # in the units of log time over the scale, for a covariate of root mean square 1


@dataclass(frozen=True)
class TimePoints:
    """Times or shares predicted for given people; arrays (people,) or (times, people)."""

    estimate: Floats
    conf_low: Floats
    conf_high: Floats
    level: float


@dataclass(frozen=True)
class AftFit:
    """log T = intercept + x' beta + scale e. k = 1 + p coefficients, the intercept first.

    coef, std_error : (k,); a coefficient is plus or minus infinity where the likelihood keeps rising that way (no
    events in one arm), NaN where its column repeats others; both without a standard error, and `note` says so.
    time_ratio, conf_low, conf_high : (p,) exp(beta) and its interval. scale : of log time, 1 for the exponential.
    log_scale_std_error : NaN where the scale is fixed. cov : (k + 1, k + 1) with log(scale) last; NaN where fixed.
    log_likelihood : of the times. n, events : unweighted. set_aside : rows without follow-up (time 0).
    """

    distribution: str
    coef: Floats
    std_error: Floats
    time_ratio: Floats
    conf_low: Floats
    conf_high: Floats
    scale: float
    log_scale_std_error: float
    cov: Floats
    log_likelihood: float
    se_kind: str
    level: float
    n: int
    events: int
    set_aside: int
    iterations: int
    converged: bool
    note: str
    scores: Floats = field(repr=False, compare=False)

    def quantile(self, newdata: ArrayLike, probability: float, level: float = 0.95) -> TimePoints:
        """By what time has this share had the event (0.5: the median)? newdata : (m, p). Interval on the log scale.

        Raises
        ------
        DataError : the number of columns. ParameterError : probability or level not between 0 and 1.
        """
        if not 0 < probability < 1:
            raise ParameterError(f"probability is {probability!r}; it must lie between 0 and 1, 0.5 for the median.")
        rows = self._rows(newdata)
        shift = _LAWS[self.distribution].quantile(probability)
        centre = rows @ self.coef + self.scale * shift
        gradient = np.column_stack([rows, np.full(len(rows), self.scale * shift)])
        reach = z_value(level) * self._error(gradient)
        return TimePoints(np.exp(centre), np.exp(centre - reach), np.exp(centre + reach), level)

    def survival(self, newdata: ArrayLike, times: ArrayLike, level: float = 0.95) -> TimePoints:
        """What share is still free of the event at each time? newdata : (m, p); arrays (times, m).

        The interval is that of the standardised log time, so it stays within 0 and 1.

        Raises
        ------
        DataError : the number of columns, times that are not positive. ParameterError : a bad level.
        """
        rows, when = self._rows(newdata), np.atleast_1d(np.asarray(times, dtype=np.float64))
        if not (np.isfinite(when) & (when > 0)).all():
            raise DataError("times must be positive numbers.")
        z = (np.log(when)[:, None] - rows @ self.coef) / self.scale
        error = np.stack([self._error(-np.column_stack([rows / self.scale, each])) for each in z])
        reach, law = z_value(level) * error, _LAWS[self.distribution]
        return TimePoints(law.survival(z), law.survival(z + reach), law.survival(z - reach), level)

    def _rows(self, newdata: ArrayLike) -> Floats:
        new = np.asarray(newdata, dtype=np.float64)
        new = new[:, None] if new.ndim == 1 else new
        if new.ndim != 2 or new.shape[1] != len(self.coef) - 1:
            raise DataError(f"newdata has the shape {new.shape}; it must be (people, {len(self.coef) - 1}).")
        return np.column_stack([np.ones(len(new)), new])

    def _error(self, gradient: Floats) -> Floats:
        cov = self.cov if np.isfinite(self.log_scale_std_error) else self.cov[:-1, :-1]
        used = gradient[:, : len(cov)]
        return np.sqrt(np.einsum("ij,jk,ik->i", used, cov, used))


def aft(
    X: ArrayLike,
    exit: ArrayLike,
    event: ArrayLike,
    *,
    distribution: str = "weibull",
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    robust: bool = False,
    level: float = 0.95,
) -> AftFit:
    """By what factor does each covariate multiply the time to the event?

    Parameters
    ----------
    X : (n, p) or (n,) covariates without an intercept, which is added; (n, 0) for none.
    exit, event : (n,) time to the event or to the end of follow-up, and which of the two (1, 0).
    distribution : "weibull", "exponential", "lognormal" or "loglogistic".
    weights : (n,) zero or more. With weights that are not counts ask for a robust variance.
    cluster : (n,) labels; implies robust. robust : sandwich variance over rows or clusters.

    Raises
    ------
    DataError : see `risk_sets.spells`; X of another length or with missing values. ParameterError : unknown
        distribution, a bad level.

    Notes
    -----
    Maximum likelihood by Newton's method in (beta / scale, 1 / scale), in which it is concave (Burridge 1981); errors
    from the observed information in (beta, log scale). Without late entry. Kalbfleisch and Prentice 2002, ch. 3.
    Checked against R survival 3.5.3 `survreg`. No events, or a likelihood without a maximum: no estimate and a note.
    """
    if distribution not in DISTRIBUTIONS:
        raise ParameterError(unknown("distribution", distribution, DISTRIBUTIONS))
    z_value(level)
    rows = spells(exit, event, weights=weights, cluster=cluster)
    design = _design(X, rows)
    live = rows.weight > 0
    keep, aliased = independent_columns(design[live]) if live.any() else (np.zeros(0, np.int64), np.arange(0))
    kind = "model (observed information)" if not (robust or cluster is not None) else "robust"
    kind += ", clustered" if cluster is not None else ""
    if not (rows.event & live).any():
        return _nothing(rows, design.shape[1], distribution, kind, level)
    fixed = distribution == "exponential"
    model = _Model(design[:, keep], np.log(rows.exit), rows.event, rows.weight, _LAWS[distribution], fixed)
    found = _maximise(model)
    lost = found.endless[:-1] != 0 if found.converged else np.ones(len(keep), dtype=bool)
    return _report(model, found, rows, keep, aliased, lost, design.shape[1], distribution, kind, level)


def _design(X: ArrayLike, rows: Spells) -> Floats:
    values = np.asarray(X, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != len(rows.kept):
        raise DataError(f"X has the shape {values.shape}; it must have {len(rows.kept)} rows, as exit has.")
    if not np.isfinite(values).all():
        raise DataError(
            f"X has {int((~np.isfinite(values)).any(axis=1).sum())} rows with missing or infinite values; "
            "drop or complete them, and count them, before the analysis."
        )
    return np.column_stack([np.ones(rows.n), values[rows.kept]])


# --- distributions of the standardised log time -------------------------------------------------------------


@dataclass(frozen=True)
class _Law:
    """log density and log survival of e, each with first and second derivative; survival; quantile."""

    density: Callable[[Floats], tuple[Floats, Floats, Floats]]
    tail: Callable[[Floats], tuple[Floats, Floats, Floats]]
    survival: Callable[[Floats], Floats]
    quantile: Callable[[float], float]


def _extreme_density(z: Floats) -> tuple[Floats, Floats, Floats]:
    grown = np.exp(z)
    return z - grown, 1 - grown, -grown


def _extreme_tail(z: Floats) -> tuple[Floats, Floats, Floats]:
    grown = np.exp(z)
    return -grown, -grown, -grown


def _normal_density(z: Floats) -> tuple[Floats, Floats, Floats]:
    return -(z**2) / 2 - math.log(2 * math.pi) / 2, -z, -np.ones_like(z)


def _normal_tail(z: Floats) -> tuple[Floats, Floats, Floats]:
    from scipy.special import log_ndtr

    log_survival = np.asarray(log_ndtr(-z), dtype=np.float64)
    hazard = np.exp(_normal_density(z)[0] - log_survival)
    return log_survival, -hazard, -hazard * (hazard - z)


def _logistic_tail(z: Floats) -> tuple[Floats, Floats, Floats]:
    share = expit(z)
    return -np.logaddexp(0.0, z), -share, -share * (1 - share)


def _logistic_density(z: Floats) -> tuple[Floats, Floats, Floats]:
    value, first, second = _logistic_tail(z)
    return z + 2 * value, 1 + 2 * first, 2 * second


def _normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


_EXTREME = _Law(
    _extreme_density, _extreme_tail, lambda z: np.exp(-np.exp(z)), lambda p: math.log(-math.log1p(-p))
)  # fmt: skip
_LAWS = {
    "weibull": _EXTREME,
    "exponential": _EXTREME,
    "lognormal": _Law(_normal_density, _normal_tail, lambda z: np.exp(_normal_tail(z)[0]), _normal_quantile),
    "loglogistic": _Law(_logistic_density, _logistic_tail, lambda z: expit(-z), lambda p: math.log(p / (1 - p))),
}


# --- the likelihood -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Model:
    """x : (n, q) columns used, log_time, event, weight : (n,); fixed : the scale is 1."""

    x: Floats
    log_time: Floats
    event: Bools
    weight: Floats
    law: _Law
    fixed: bool

    def pieces(self, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Log likelihood of each row in z (without the scale) and its two derivatives by z."""
        out = np.empty((3, len(z)))
        with np.errstate(over="ignore", invalid="ignore"):
            for rows, law in ((self.event, self.law.density), (~self.event, self.law.tail)):
                out[:, rows] = law(z[rows])
        return out[0], out[1], out[2]

    def at(self, theta: Floats, basis: Floats) -> tuple[float, Floats, Floats]:
        """Value, gradient and minus the second derivatives at theta = (beta / scale, 1 / scale), z = basis theta."""
        value, first, second = self.pieces(basis @ theta)
        d, inverse = float(self.weight @ self.event), theta[-1]
        total = float(self.weight @ value) + d * math.log(inverse)
        gradient = basis.T @ (self.weight * first)
        information = -(basis.T * (self.weight * second)) @ basis
        gradient[-1] += d / inverse
        information[-1, -1] += d / inverse**2
        return total, gradient, information


@dataclass(frozen=True)
class _Found:
    """theta : (q + 1,). endless : (q + 1,) 1 or -1 where the likelihood keeps rising that way."""

    theta: Floats
    endless: Floats
    iterations: int
    converged: bool


def _maximise(model: _Model) -> _Found:
    size = np.sqrt((model.x**2).mean(axis=0))
    # Log time is centred, which the intercept takes up: the scale then starts from the spread of the times.
    centre = float(model.weight @ model.log_time / model.weight.sum())
    basis = np.column_stack([-model.x / size, model.log_time - centre])
    spread = float(np.sqrt(model.weight @ (model.log_time - centre) ** 2 / model.weight.sum()))
    theta = np.zeros(basis.shape[1])
    theta[-1] = 1.0 if model.fixed or spread == 0 else 1 / spread
    free = np.arange(len(theta) - model.fixed)
    state, step, iteration = model.at(theta, basis), np.zeros(len(theta)), 0
    for iteration in range(1, _MAX_ITERATIONS + 1):
        _, gradient, information = state
        try:
            step = np.zeros(len(theta))
            step[free] = np.linalg.solve(information[np.ix_(free, free)], gradient[free])
        except np.linalg.LinAlgError:
            break
        decrement = float(gradient[free] @ step[free])
        if not math.isfinite(decrement):
            break
        if decrement < _NOTHING_LEFT and np.abs(step).max() > _LONG_STEP:
            endless = np.where(np.abs(step) > _LONG_STEP, np.sign(step), 0.0)
            return _Found(_natural(theta, size, centre), endless, iteration, bool(endless[-1] == 0))
        if decrement < _POLISHED or (decrement < _NOTHING_LEFT and iteration > _MAX_ITERATIONS - 5):
            return _Found(_natural(theta, size, centre), np.zeros(len(theta)), iteration, True)
        theta, state, moved = _climb(model, basis, theta, step, state)
        if not moved:
            small = decrement < _NOTHING_LEFT
            return _Found(_natural(theta, size, centre), np.zeros(len(theta)), iteration, small)
    return _Found(_natural(theta, size, centre), np.zeros(len(theta)), iteration, False)


def _climb(
    model: _Model, basis: Floats, theta: Floats, step: Floats, state: tuple[float, Floats, Floats]
) -> tuple[Floats, tuple[float, Floats, Floats], bool]:
    """Take the step, or the largest half, quarter, ... of it that does not lead downhill (beyond rounding)."""
    slack = 1e-13 * (1 + abs(state[0]))
    for halving in range(40):
        there = theta + step / 2**halving
        if there[-1] > 0:
            new = model.at(there, basis)
            if math.isfinite(new[0]) and new[0] >= state[0] - slack:
                return there, new, True
    return theta, state, False


def _natural(theta: Floats, size: Floats, centre: float) -> Floats:
    """Undo the scaling of the columns and the centring of log time (the first column is the intercept)."""
    out = np.concatenate([theta[:-1] / size, theta[-1:]])
    out[0] += centre * theta[-1]
    return out


def _report(
    model: _Model, found: _Found, rows: Spells, keep: np.ndarray, aliased: np.ndarray, lost: Bools, k: int,
    distribution: str, kind: str, level: float,
) -> AftFit:  # fmt: skip
    scale = 1 / float(found.theta[-1])
    beta = found.theta[:-1] * scale
    z = (model.log_time - model.x @ beta) / scale
    value, first, second = model.pieces(z)
    scores = np.column_stack([-model.x * (first / scale)[:, None], -z * first - model.event]) * model.weight[:, None]
    free = np.flatnonzero(np.append(~lost, not model.fixed and found.converged))
    bread = _bread(model, z, scale, first, second, free)
    cov_free = bread
    if kind.startswith("robust"):
        each = scores[:, free]
        if rows.cluster is not None:
            each = cluster_sums(each, rows.cluster, int(rows.cluster.max(initial=-1)) + 1)
        cov_free = bread @ (each.T @ each) @ bread
    coef, cov, every = np.full(k, NAN), np.full((k + 1, k + 1), NAN), np.zeros((rows.n, k + 1))
    wide = np.append(keep, k)
    coef[keep] = beta if found.converged else NAN
    endless = np.flatnonzero(found.endless[:-1])
    coef[keep[endless]] = np.copysign(np.inf, found.endless[endless])
    cov[np.ix_(wide[free], wide[free])], every[:, wide] = cov_free, scores
    error = np.sqrt(np.diag(cov))
    reach = z_value(level) * error[1:k]
    with np.errstate(invalid="ignore", over="ignore"):
        ratio, low, high = np.exp(coef[1:]), np.exp(coef[1:] - reach), np.exp(coef[1:] + reach)
    d = float(model.weight @ model.event)
    likelihood = (
        float(model.weight @ value) - d * math.log(scale) - float((model.weight * model.event) @ model.log_time)
    )
    return AftFit(
        distribution, coef, error[:k], ratio, low, high, scale if found.converged else NAN, float(error[k]), cov,
        likelihood if found.converged else NAN, kind, level, int((rows.weight > 0).sum()), int(rows.event.sum()),
        rows.set_aside, found.iterations, found.converged, _explain(found, keep, aliased), every,
    )  # fmt: skip


def _bread(model: _Model, z: Floats, scale: float, first: Floats, second: Floats, free: np.ndarray) -> Floats:
    """Inverse of the observed information in (beta, log scale), of the free ones."""
    x, w = model.x, model.weight
    q = x.shape[1]
    information = np.zeros((q + 1, q + 1))
    information[:q, :q] = -(x.T * (w * second)) @ x / scale**2
    information[:q, q] = information[q, :q] = -x.T @ (w * (first + z * second)) / scale
    information[q, q] = -float(w @ (z * first + z**2 * second))
    chosen = information[np.ix_(free, free)]
    return np.asarray(np.linalg.inv(chosen)) if len(free) else chosen


def _explain(found: _Found, keep: np.ndarray, aliased: np.ndarray) -> str:
    said = [f"coefficient {at}: its column repeats others (or does not vary)" for at in aliased]
    if not found.converged:
        said.append(f"no maximum found after {found.iterations} iterations, so no estimate: too few distinct times?")
        return "; ".join(said)
    for at in np.flatnonzero(found.endless[:-1]):
        way = "plus" if found.endless[at] > 0 else "minus"
        said.append(
            f"coefficient {keep[at]}: the likelihood keeps rising towards {way} infinity "
            "(such as no events on one side)"
        )
    return "; ".join(said)


def _nothing(rows: Spells, k: int, distribution: str, kind: str, level: float) -> AftFit:
    none, square = np.full(k, NAN), np.full((k + 1, k + 1), NAN)
    note = "no events: nothing can be estimated" if rows.n else "no rows with follow-up"
    return AftFit(
        distribution, none, none, none[1:], none[1:], none[1:], NAN, NAN, square, NAN, kind, level,
        int((rows.weight > 0).sum()), 0, rows.set_aside, 0, False, note, np.zeros((rows.n, k + 1)),
    )  # fmt: skip
