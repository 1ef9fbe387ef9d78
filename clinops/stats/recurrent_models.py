"""Effects on events that come again: Andersen-Gill, Prentice-Williams-Peterson, Wei-Lin-Weissfeld, rate ratios."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.counts import negative_binomial
from clinops.stats.cox import CoxFit, cox
from clinops.stats.glm import GlmFit, glm
from clinops.stats.normal import two_sided, z_value
from clinops.stats.recurrent import recurrent_spells
from clinops.stats.risk_sets import Floats, Ints

NAN = float("nan")


def andersen_gill(
    X: ArrayLike,
    exit: ArrayLike,
    event: ArrayLike,
    person: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: str = "efron",
) -> CoxFit:
    """By what factor does each covariate multiply the rate of events, all events being alike?

    Parameters
    ----------
    X : (n, p) or (n,) covariates, as for `cox`. exit, event, entry, person : rows as for `recurrent.mean_cumulative`.
    weights, strata, ties : as for `cox`. cluster : (n,) larger independent units; by default persons.

    Returns
    -------
    CoxFit with errors robust over persons, which hold whatever makes one person's events depend on each other.

    Raises
    ------
    DataError : see `cox`; rows of a person that overlap. ParameterError : unknown ties.

    Notes
    -----
    Andersen and Gill 1982; Lin, Wei, Yang and Ying 2000 (a model of the rate). Checked against R survival 3.5.3.
    """
    recurrent_spells(exit, event, person, entry=entry, cluster=cluster)
    return cox(
        X, exit, event, entry=entry, weights=weights, strata=strata, ties=ties,
        cluster=person if cluster is None else cluster,
    )  # fmt: skip


def prentice_williams_peterson(
    X: ArrayLike,
    exit: ArrayLike,
    event: ArrayLike,
    person: ArrayLike,
    order: ArrayLike,
    *,
    clock: str = "total",
    entry: ArrayLike | None = None,
    pool_from: int | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: str = "efron",
) -> CoxFit:
    """By what factor does each covariate multiply the hazard of the next event, among those who had as many before?

    Parameters
    ----------
    X, exit, event, person, entry, weights, cluster, ties : as for `andersen_gill`.
    order : (n,) the number, from 1, of the event that a row is at risk of (`RecurrentRows.order`).
    clock : "total" (time since the start) or "gap" (time since the event before).
    pool_from : from this order on, events share one baseline; of use where few persons have so many.
    strata : (n,) labels within which events of each order are compared.

    Raises
    ------
    DataError : see `andersen_gill`; orders that are not whole numbers from 1. ParameterError : unknown clock or ties.

    Notes
    -----
    Prentice, Williams and Peterson 1981. The comparison at the second event is among those who had a first, so the
    effect is not that of a trial as a whole. Checked against R survival 3.5.3.
    """
    if clock not in ("total", "gap"):
        raise ParameterError(unknown("clock", clock, ("total", "gap")))
    recurrent_spells(exit, event, person, entry=entry, cluster=cluster)
    number = _orders(order, np.size(np.asarray(exit)))
    if pool_from is not None:
        number = np.minimum(number, pool_from)
    stop = np.asarray(exit, dtype=np.float64)
    begin = np.zeros(len(stop)) if entry is None else np.asarray(entry, dtype=np.float64)
    return cox(
        X,
        stop if clock == "total" else stop - begin,
        event,
        entry=begin if clock == "total" else None,
        weights=weights,
        strata=_crossed(number, strata),
        ties=ties,
        cluster=person if cluster is None else cluster,
    )


@dataclass(frozen=True)
class MarginalFit:
    """Effects on the time to the first, second, ... event, each for itself, and their average.

    order : (k,). coef, std_error, se_model : (k, p), robust and the model's; infinite or NaN as in `CoxFit`.
    cov : (k p, k p) robust, by order and then column. average, average_std_error : (p,) the combination of the k
    coefficients with the least variance (Wei, Lin and Weissfeld); NaN if one of them is not finite. wald_test : (p,)
    chi-squared on k that all k are zero. fit : the Cox model of all, columns by order.
    """

    order: Ints
    coef: Floats
    std_error: Floats
    se_model: Floats
    cov: Floats
    average: Floats
    average_std_error: Floats
    wald_test: Floats
    note: str
    fit: CoxFit = field(repr=False)


def wei_lin_weissfeld(
    X: ArrayLike,
    exit: ArrayLike,
    event: ArrayLike,
    person: ArrayLike,
    order: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: str = "efron",
) -> MarginalFit:
    """By what factor does each covariate multiply the hazard of the first event, of the second, and so on?

    Parameters
    ----------
    X, exit, event, order : rows of `recurrent_rows.marginal_rows`: each person has one for each order, at risk from
        the start. person, entry, weights, cluster, ties : as for `andersen_gill`.

    Raises
    ------
    DataError : see `cox`; orders that are not whole numbers from 1; two rows of a person for one order.

    Notes
    -----
    Wei, Lin and Weissfeld 1989, who use Breslow's ties. A model with one coefficient for all orders is
    `cox(X, exit, event, strata=order, cluster=person)`. Checked against R survival 3.5.3.
    """
    design = np.asarray(X, dtype=np.float64)
    design = design[:, None] if design.ndim == 1 else design
    number = _orders(order, len(design))
    if np.shape(person) != (len(design),):
        raise DataError(f"person has the shape {np.shape(person)}; it must have one label a row: {len(design)}.")
    pairs = np.stack([np.unique(np.asarray(person), return_inverse=True)[1].reshape(-1), number], axis=1)
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise DataError("A person has two rows for one order; give one row for each order (marginal_rows makes them).")
    orders = np.unique(number)
    member = number[:, None] == orders
    wide = (member[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    fit = cox(
        wide, exit, event, entry=entry, weights=weights, strata=number, ties=ties,
        cluster=person if cluster is None else cluster,
    )  # fmt: skip
    k, p = len(orders), design.shape[1]
    average, error, wald = np.full(p, NAN), np.full(p, NAN), np.full(p, NAN)
    for column in range(p):
        mine = np.arange(k) * p + column
        block, values = fit.cov_robust[np.ix_(mine, mine)], fit.coef[mine]
        if np.isfinite(block).all() and np.linalg.matrix_rank(block) == k:
            share = np.linalg.solve(block, np.ones(k))
            average[column] = share @ values / share.sum()
            error[column] = 1 / np.sqrt(share.sum())
            wald[column] = values @ np.linalg.solve(block, values)
    return MarginalFit(
        orders, fit.coef.reshape(k, p), fit.se_robust.reshape(k, p), fit.se_model.reshape(k, p), fit.cov_robust,
        average, error, wald, fit.note, fit,
    )  # fmt: skip


@dataclass(frozen=True)
class RateRegression:
    """Rate ratios from counts and person-time; k columns.

    coef, std_error, p_value : (k,) of the log rate. rate_ratio, conf_low, conf_high : (k,) exp of it; for an
    intercept the rate itself. A coefficient that has no finite estimate (no events on one side) is plus or minus
    infinity, its ratio infinite or 0, without an interval. dispersion : Pearson's, for any model over the Poisson
    variance of its means. theta : negative binomial shape, variance mu + mu^2 / theta. log_likelihood : NaN for
    quasi-Poisson. n, events, person_time : used. set_aside : rows without person-time.
    """

    coef: Floats
    std_error: Floats
    cov: Floats
    rate_ratio: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    model: str
    se_kind: str
    dispersion: float
    theta: float
    theta_std_error: float
    log_likelihood: float
    level: float
    n: int
    events: float
    person_time: float
    set_aside: int
    note: str
    fit: GlmFit | None = field(repr=False)


MODELS = ("poisson", "quasipoisson", "negative binomial")


def rate_regression(
    X: ArrayLike,
    events: ArrayLike,
    person_time: ArrayLike,
    *,
    model: str = "negative binomial",
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str | None = None,
    level: float = 0.95,
) -> RateRegression:
    """By what factor does each covariate multiply the number of events per unit of person-time?

    Parameters
    ----------
    X : (n, k) covariates; include a column of ones if an intercept is wanted. events, person_time : (n,) a person's.
    model : "poisson", "quasipoisson" (its errors times the root of Pearson's dispersion) or "negative binomial".
    weights : (n,) zero or more. cluster : (n,) ids, such as persons with several rows; errors are then CR1.
    se : "model", "HC0", "HC1" or "HC3"; by default "model" for quasi-Poisson and "HC1" for the others.

    Raises
    ------
    DataError : see `glm`; events without person-time, negative person-time. ParameterError : unknown model, bad level.

    Notes
    -----
    log mean = x' beta + log person-time. Normal approximation. Without any events nothing is estimated: NaN and a
    note. Two groups with few events: `rates.rate_ratio` is exact. Checked against R (`glm`, MASS `glm.nb`, sandwich).
    """
    if model not in MODELS:
        raise ParameterError(unknown("model", model, MODELS))
    z = z_value(level)
    count, time = np.asarray(events, dtype=np.float64), np.asarray(person_time, dtype=np.float64)
    used = _with_time(count, time)
    design = _long("X", np.asarray(X, dtype=np.float64), 2, used)
    case = None if weights is None else _long("weights", np.asarray(weights, dtype=np.float64), 1, used)
    groups = None if cluster is None else _long("cluster", np.asarray(cluster), 1, used)
    count, time = count[used], time[used]
    mass = np.ones(len(count)) if case is None else case
    kind = se or ("model" if model == "quasipoisson" else "HC1")
    if not mass @ count:
        return _no_events(design.shape[1], model, level, len(count), float(mass @ time), int((~used).sum()))
    theta, theta_error, likelihood, note = NAN, NAN, NAN, ""
    options = {"weights": case, "offset": np.log(time), "cluster": groups, "se": kind}
    if model == "negative binomial":
        found = negative_binomial(design, count, **options)  # type: ignore[arg-type]
        fit, theta, theta_error, note = found.fit, found.theta, found.theta_std_error, found.note
        likelihood = found.log_likelihood
    else:
        fit = glm(design, count, model, **options)  # type: ignore[arg-type]
        note = fit.note
        if model == "poisson":
            likelihood = _poisson_likelihood(count, fit.fitted, mass)
    coef, ratio, low, high, p = _ratios(fit, z)
    degrees = fit.df_residual
    pearson = float(mass @ ((count - fit.fitted) ** 2 / np.maximum(fit.fitted, 1e-300)))
    return RateRegression(
        coef, fit.std_error, fit.cov, ratio, low, high, p, model, fit.se_kind, pearson / degrees if degrees else NAN,
        theta, theta_error, likelihood, level, len(count), float(mass @ count), float(mass @ time),
        int((~used).sum()), note, fit,
    )  # fmt: skip


def _ratios(fit: GlmFit, z: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Coefficients (infinite where they drift), their exponentials with limits, and P values: (k,) each."""
    drifting = np.isnan(fit.std_error) & ~np.isnan(np.diag(fit.bread))
    coef = np.where(drifting, np.copysign(np.inf, fit.coef), fit.coef)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ratio, low, high = np.exp(coef), np.exp(coef - z * fit.std_error), np.exp(coef + z * fit.std_error)
        p = np.array([two_sided(value) for value in coef / fit.std_error])
    return coef, ratio, low, high, p


def _long(name: str, values: NDArray, dimensions: int, used: NDArray[np.bool_]) -> NDArray:
    """Return the rows used of a column or matrix that has one row for each row of the data."""
    if values.ndim != dimensions or len(values) != len(used):
        wanted = f"({len(used)}, columns)" if dimensions == 2 else f"({len(used)},)"
        raise DataError(f"{name} has the shape {values.shape}; it must be {wanted}, as events is ({len(used)},).")
    return values[used]


def _with_time(count: Floats, time: Floats) -> NDArray[np.bool_]:
    if count.ndim != 1 or time.shape != count.shape:
        raise DataError(f"events has the shape {count.shape} and person_time {time.shape}; both must be (n,).")
    if not np.isfinite(time).all() or (time < 0).any():
        raise DataError("person_time must be finite and not negative.")
    if (count[time == 0] != 0).any():
        raise DataError(
            f"{int((count[time == 0] != 0).sum())} rows have events in no person-time: count the time in which they "
            "could occur."
        )
    return np.asarray(time > 0)


def _no_events(k: int, model: str, level: float, n: int, time: float, aside: int) -> RateRegression:
    none, square = np.full(k, NAN), np.full((k, k), NAN)
    return RateRegression(
        none, none, square, none, none, none, none, model, "", NAN, NAN, NAN, NAN, level, n, 0.0, time, aside,
        "no events: nothing can be estimated", None,
    )  # fmt: skip


def _poisson_likelihood(count: Floats, mean: Floats, mass: Floats) -> float:
    from scipy.special import gammaln, xlogy

    return float(mass @ (xlogy(count, mean) - mean - gammaln(count + 1)))


def _orders(order: ArrayLike, n: int) -> Ints:
    found = np.asarray(order, dtype=np.float64)
    if found.shape != (n,) or not np.isfinite(found).all() or (found < 1).any() or (found != np.round(found)).any():
        raise DataError(f"order must be whole numbers from 1, one a row: {n} values.")
    return found.astype(np.int64)


def _crossed(order: Ints, strata: ArrayLike | None) -> NDArray:
    """One label for each combination of order and stratum."""
    if strata is None:
        return order
    labels = np.asarray(strata)
    if labels.shape != order.shape:
        raise DataError(f"strata has the shape {labels.shape}; it must have {len(order)} values, as exit has.")
    codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    return np.asarray(codes * (order.max(initial=0) + 1) + order)
