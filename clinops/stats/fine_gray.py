"""Regression with competing risks: Fine and Gray's model of the share, and the Cox model of a cause's rate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.causes import cause_codes
from clinops.stats.covariates import Columns, design_matrix, standardised
from clinops.stats.cox import CoxFit, cox
from clinops.stats.cox_likelihood import Maximum, State, identified, maximise, partial_likelihood
from clinops.stats.normal import chi2_tail, z_value
from clinops.stats.risk_sets import Bools, Floats, Ints, Spells, ratio, spells
from clinops.stats.subdistribution import CENSORING_RULES, Observed, observed, subdistribution_sets


@dataclass(frozen=True)
class FineGrayFit:
    """A fitted proportional subdistribution hazards model with p columns.

    coef, se : (p,) log subdistribution hazard ratios and errors; cov : (p, p). A coefficient is plus or minus infinity
    where the likelihood keeps rising, NaN where the data say nothing of it; both have NaN errors and a note.
    se_kind : "Fine-Gray", the sandwich that counts the estimation of the censoring weights; "robust", without that
    part; either with ", clustered". loglik_null, loglik : pseudo-likelihoods, at 0 and at the estimate. wald_test is
    chi-squared on `df`. n, n_event, n_competing : rows, events of the cause, events of other causes.
    set_aside : rows with entry = exit. influence : (n, p) of each row used, weight included; cov is its sum of squares
    over rows or clusters.
    """

    cause: int
    coef: Floats
    se: Floats
    cov: Floats
    se_kind: str
    loglik_null: float
    loglik: float
    wald_test: float
    wald_p: float
    df: int
    n: int
    n_event: int
    n_competing: int
    set_aside: int
    ties: str
    censoring: str
    iterations: int
    converged: bool
    note: str
    influence: Floats = field(repr=False, compare=False)
    state: State = field(repr=False, compare=False)
    columns: Columns = field(repr=False, compare=False)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Wald limits of the coefficients, (p,) each; NaN where the estimate is infinite or not identified."""
        reach = z_value(level) * self.se
        return self.coef - reach, self.coef + reach

    @property
    def p_values(self) -> Floats:
        """Two-sided Wald P values: (p,)."""
        from scipy.special import ndtr

        return np.asarray(2 * ndtr(-np.abs(self.coef / self.se)), dtype=np.float64)

    def predict(self, newdata: ArrayLike, times: ArrayLike) -> Floats:
        """Cumulative incidence of people with covariates `newdata` (people, p) at `times`: (times, people).

        1 - exp(-H(t) exp(x' beta)), H by Breslow's (or Efron's) rule. NaN if a coefficient is infinite or unknown.

        Raises
        ------
        DataError : newdata has another number of columns.
        """
        new, when = np.atleast_2d(np.asarray(newdata, dtype=np.float64)), np.atleast_1d(np.asarray(times, float))
        if new.shape[1] != len(self.coef):
            raise DataError(f"newdata has {new.shape[1]} columns; the model has {len(self.coef)}.")
        if not self.columns.finite.all():
            return np.full((len(when), len(new)), np.nan)
        lik = self.state.of
        total = np.concatenate([[0.0], np.cumsum(lik.by_moment(self.state.hazard))])
        base = total[np.searchsorted(lik.sets.time, when, side="right")]
        relative = np.exp((new - self.columns.centre) @ self.coef)
        return np.asarray(-np.expm1(-base[:, None] * relative))


@dataclass(frozen=True)
class FineGrayRows:
    """Weighted rows whose ordinary Cox model is the Fine-Gray model: r rows, ready for `cox`.

    row : (r,) which of the rows given each is made of, the person for covariates and clusters. entry, exit, event :
    (r,). weight : (r,) the chance of still being under observation, times the weight given.
    """

    row: Ints
    entry: Floats
    exit: Floats
    event: Bools
    weight: Floats


def fine_gray(
    X: ArrayLike,
    exit: ArrayLike,
    cause: ArrayLike,
    of: int,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: str = "breslow",
    censoring: str = "crr",
    known_weights: bool = False,
) -> FineGrayFit:
    """By what factor does each covariate multiply the subdistribution hazard of a cause?

    Its sign is that of the effect on the cumulative incidence. It is no rate among people still at risk: for that
    see `cause_specific_cox`; report both.

    Parameters
    ----------
    X : (n, p) or (n,) covariates, numeric, without an intercept; one row a person. exit, cause : (n,) as for
        `aalen_johansen`. of : the cause modelled. entry : (n,) late entry, by weights for both ends of observation.
    weights : (n,) zero or more, taken as known. cluster : (n,) labels.
    ties : "breslow" (as cmprsk) or "efron".
    censoring : at equal times, "crr" keeps those with an event at risk of being censored, as cmprsk does; "finegray"
        lets events come first, as R survival and as everywhere else here.
    known_weights : leave the estimation of the censoring weights out of the variance, as weighted `coxph` does. With
        late entry it always is.

    Raises
    ------
    DataError : see `risk_sets.spells`; X of another length or with missing values. ParameterError : unknown options.

    Notes
    -----
    Fine and Gray 1999; Geskus 2011 (late entry); Zhou and others 2012 (clusters); checked against cmprsk 2.2.11
    `crr` and R survival 3.5.3 `finegray` with `coxph`. One pass over the data an iteration: no rows are added.
    """
    if ties not in ("efron", "breslow"):
        raise ParameterError(unknown("tie rule", ties, ("efron", "breslow")))
    rows, codes, chance = _prepared(exit, cause, of, entry, weights, cluster, censoring)
    design = design_matrix(X, rows)
    columns, scaled = standardised(design, rows)
    likelihood = partial_likelihood(rows, scaled, efron=ties == "efron")
    sets = subdistribution_sets(likelihood.rows, codes, of, chance)
    likelihood = replace(likelihood, sets=sets)
    at_zero = likelihood.at(np.zeros(design.shape[1]))
    assert at_zero is not None, "at zero every predictor is zero"
    columns = replace(columns, used=identified(at_zero.information(), float(likelihood.mass.sum())))
    likelihood = likelihood.with_columns(likelihood.x[:, columns.used])
    null = likelihood.at(np.zeros(int(columns.used.sum())))
    assert null is not None, "at zero every predictor is zero"
    best = maximise(likelihood, null.beta)
    endless = np.zeros(design.shape[1])
    endless[columns.used] = best.endless
    columns = replace(columns, endless=endless, settled=best.converged)
    known = known_weights or bool((rows.entry > rows.entry.min(initial=np.inf)).any())
    kind = ("robust" if known else "Fine-Gray") + ("" if cluster is None else ", clustered")
    influence = _influence(best.state, columns, None if known else (chance, codes, censoring))
    return _report(best, null, columns, influence, (of, kind, ties, censoring), codes)


def cause_specific_cox(X: ArrayLike, exit: ArrayLike, cause: ArrayLike, of: int, **options: Any) -> CoxFit:
    """By what factor does each covariate multiply the rate of this cause, among those still free of every cause?

    The Cox model in which other causes end the follow-up. It describes rates, not the share that has the event:
    that share also depends on the other causes. `options` are those of `cox`.

    Raises
    ------
    DataError : see `cox.cox`; a cause that is no whole number of 0 or more.

    Notes
    -----
    Prentice and others 1978; checked against R survival 3.5.3 `coxph`.
    """
    return cox(X, exit, cause_codes(cause) == of, **options)


def fine_gray_rows(
    exit: ArrayLike,
    cause: ArrayLike,
    of: int,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    censoring: str = "finegray",
) -> FineGrayRows:
    """Which weighted rows make an ordinary Cox model (or Kaplan-Meier curve) one of the subdistribution of a cause?

    Someone with a competing event stays at risk, in a new row wherever the weight changes and an event follows. Fit
    with `cox(X[made.row], made.exit, made.event, entry=made.entry, weights=made.weight, cluster=made.row)`. The rows
    multiply with the number of censoring times: `fine_gray` needs none.

    Raises
    ------
    DataError : see `risk_sets.spells`. ParameterError : unknown rule of censoring.

    Notes
    -----
    Geskus 2011; checked against R survival 3.5.3 `finegray` with `coxph`.
    """
    rows, codes, chance = _prepared(exit, cause, of, entry, weights, None, censoring)
    sets = subdistribution_sets(rows, codes, of, chance)
    # Intervals (low, high] of one weight that hold an event time; a weight changes just after a time of `chance`.
    change = np.flatnonzero(np.diff(chance.chance) != 0)
    edges = np.concatenate([[-np.inf], chance.time[change], [np.inf]])
    interval, of_moment = np.unique(np.searchsorted(edges, sets.time, side="left"), return_inverse=True)
    low, high = edges[interval - 1], np.minimum(edges[interval], rows.exit.max(initial=-np.inf))
    first_moment = np.searchsorted(of_moment.reshape(-1), np.arange(len(interval)))
    weight = sets.weight[first_moment]
    stays = np.flatnonzero(sets.stays & (sets.last < sets.m))
    begin = of_moment.reshape(-1)[sets.last[stays]]
    # A row's own interval goes on at the same weight, so it is lengthened; later ones are new rows.
    same = low[begin] < rows.exit[stays]
    exit_ = rows.exit.copy()
    exit_[stays[same]] = high[begin[same]]
    count = len(interval) - begin - same
    who = np.repeat(stays, count)
    turn = np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin + same, count)
    given = np.flatnonzero(rows.kept)
    return FineGrayRows(
        np.concatenate([given, given[who]]),
        np.concatenate([rows.entry, np.maximum(low[turn], rows.exit[who])]),
        np.concatenate([exit_, high[turn]]),
        np.concatenate([rows.event, np.zeros(len(who), dtype=bool)]),
        np.concatenate([rows.weight, rows.weight[who] * weight[turn] / sets.own[who]]),
    )


def _prepared(
    exit: ArrayLike,
    cause: ArrayLike,
    of: int,
    entry: ArrayLike | None,
    weights: ArrayLike | None,
    cluster: ArrayLike | None,
    censoring: str,
) -> tuple[Spells, Ints, Observed]:
    """Checked rows whose events are those of the cause, the cause of each, and the chance of being observed."""
    if censoring not in CENSORING_RULES:
        raise ParameterError(unknown("rule of censoring", censoring, CENSORING_RULES))
    codes = cause_codes(cause)
    rows = spells(exit, codes == of, entry=entry, weights=weights, cluster=cluster)
    codes = codes[rows.kept]
    return rows, codes, observed(rows, codes, censoring)


def _influence(state: State, columns: Columns, estimated: tuple[Observed, Ints, str] | None) -> Floats:
    """Each row's influence on the coefficients: (n, p), NaN where there is no finite estimate."""
    finite = columns.finite[columns.used]
    score = state.score_residuals()
    if estimated is not None:
        score = score + _of_censoring(state, *estimated)
    inverse = np.linalg.inv(state.information()[np.ix_(finite, finite)]) / columns.scale[columns.finite]
    out = np.full((len(score), len(columns.scale)), np.nan)
    out[:, columns.finite] = state.of.rows.weight[:, None] * score[:, finite] @ inverse
    return out


def _covariance(influence: Floats, cluster: Ints | None) -> Floats:
    """Sum of squares over rows or clusters: (p, p)."""
    if not len(influence):
        return np.full((influence.shape[1], influence.shape[1]), np.nan)
    if cluster is not None and influence.shape[1]:
        influence = np.stack([np.bincount(cluster, weights=column) for column in influence.T], axis=1)
    return np.asarray(influence.T @ influence)


def _of_censoring(state: State, chance: Observed, codes: Ints, rule: str) -> Floats:
    """Each row's influence through the estimated censoring weights: (n, q), before its own weight (their psi).

    A row's censoring martingale times q(u) / n(u), where q(u) is what a change of the weights after u does to the
    score: those with a competing event before u, against all events from u on.
    """
    lik, rows = state.of, state.of.rows
    sets = lik.sets
    at_risk_of = chance.before  # the same clock for all
    stays = (codes > 0) & ~rows.event
    leave = np.searchsorted(chance.time, rows.exit)
    grown = np.where(stays, state.risk / at_risk_of(rows.exit), 0.0)

    def earlier(values: Floats) -> Floats:
        """Sum over competing events before each time."""
        total = np.bincount(leave, weights=values, minlength=len(chance.time))
        return np.concatenate([[0.0], np.cumsum(total)[:-1]])

    weight = at_risk_of(sets.time)
    begin = np.searchsorted(sets.time, chance.time, side="left")

    def onwards(values: Floats) -> Floats:
        """Sum over events at each time or later."""
        return np.append(np.cumsum((lik.by_moment(values) * weight)[::-1])[::-1], 0.0)[begin]

    out = np.zeros_like(lik.x)
    base = onwards(state.hazard)
    share = ratio(np.ones(len(chance.time)), chance.n_risk, chance.n_risk > 0)
    censored = codes == 0
    # Under "finegray" those with an event are no longer at risk of being censored at that time.
    until = leave if rule == "crr" else np.where(censored, leave, leave - 1)
    for column in range(lik.x.shape[1]):
        q = earlier(grown * lik.x[:, column]) * base - earlier(grown) * onwards(state.hazard * state.mean[:, column])
        path = np.concatenate([[0.0], np.cumsum(q * share * chance.hazard)])
        out[:, column] = np.where(censored, (q * share)[leave], 0.0) - path[until + 1]
    return out


def _report(
    best: Maximum, null: State, columns: Columns, influence: Floats, what: tuple[int, str, str, str], codes: Ints
) -> FineGrayFit:
    of, kind, ties, censoring = what
    state, rows = best.state, best.state.of.rows
    cov = _covariance(influence, rows.cluster)
    coef = columns.estimates(state.beta)
    df = int(columns.used.sum())
    kept, wald = columns.used, float("nan")
    if df and (columns.finite == columns.used).all() and np.linalg.matrix_rank(cov[np.ix_(kept, kept)]) == df:
        wald = float(coef[kept] @ np.linalg.solve(cov[np.ix_(kept, kept)], coef[kept]))
    n_event, live = int((state.of.sets.moment_of >= 0).sum()), rows.weight > 0
    return FineGrayFit(
        of, coef, np.sqrt(np.diag(cov)), cov, kind, null.loglik, state.loglik, wald, chi2_tail(wald, df), df,
        int(live.sum()), n_event, int((live & (codes > 0) & (codes != of)).sum()), rows.set_aside, ties, censoring,
        best.iterations, best.converged, _explain(best, columns, n_event, of), influence, state, columns,
    )  # fmt: skip


def _explain(best: Maximum, columns: Columns, n_event: int, of: int) -> str:
    if not n_event:
        return f"no events of cause {of}: nothing can be estimated"
    said = [
        f"column {column}: the likelihood keeps rising towards {'plus' if columns.endless[column] > 0 else 'minus'} "
        "infinity (such as no events on one side); compare the curves and Gray's test instead"
        for column in np.flatnonzero(columns.endless)
    ]
    for column in np.flatnonzero(~columns.used):
        said.append(f"column {column}: not identified (it does not vary among those at risk, or repeats other columns)")
    if not best.converged:
        said.append(f"not converged after {best.iterations} iterations, so no estimate")
    return "; ".join(said)
