"""The Cox model: Efron, Breslow and exact ties, late entry, strata, weights, robust variance, and honest infinities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.covariates import Columns, design_matrix, standardised
from clinops.stats.cox_exact import ExactLikelihood
from clinops.stats.cox_likelihood import (
    Maximum,
    PartialLikelihood,
    State,
    identified,
    maximise,
    partial_likelihood,
)
from clinops.stats.normal import chi2_tail, z_value
from clinops.stats.risk_sets import Floats, Ints, RiskSets, Spells, risk_sets, spells
from clinops.stats.survival import kaplan_meier

if TYPE_CHECKING:
    from clinops.stats.profile import ProfileInterval


@dataclass(frozen=True)
class BaselineHazard:
    """Cumulative hazard for covariates at zero, one value for each distinct (stratum, time) at which a row ends.

    stratum : (k,) codes, 0 without strata. time, cumulative_hazard : (k,).
    """

    stratum: Ints
    time: Floats
    cumulative_hazard: Floats


@dataclass(frozen=True)
class PredictedSurvival:
    """Survival of given people at given times: arrays (times, people); std_error is of survival, limits log-log."""

    time: Floats
    survival: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    level: float


@dataclass(frozen=True)
class ProportionalHazards:
    """Score tests that a coefficient does not change with time; one a term and, last, for all together.

    term : columns of each test. statistic, df, p_value : (terms + 1,).
    """

    term: tuple[tuple[int, ...], ...]
    statistic: Floats
    df: Ints
    p_value: Floats


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model with p columns; where the likelihood has no maximum in a column it says so.

    coef, se_model, se_robust : (p,). A coefficient is plus or minus infinity where the likelihood keeps rising in
    that direction (no events in one arm), and NaN where the data say nothing of it (a column that does not vary
    among those at risk, or repeats others); both have NaN standard errors, and `note` says which columns and why.
    se_robust and cov_robust are NaN unless asked for. cov, cov_robust : (p, p).
    loglik_null, loglik : at coefficients 0 and at the estimate. score_test, lr_test, wald_test : chi-squared on
    `df`; the score test is that of coefficients 0 and remains valid when the estimate is infinite (then wald_test
    is NaN); wald_test uses the robust variance if there is one. n, n_event : rows and events used, unweighted.
    set_aside : rows with entry = exit.
    """

    coef: Floats
    se_model: Floats
    se_robust: Floats
    cov: Floats
    cov_robust: Floats
    se_kind: str
    loglik_null: float
    loglik: float
    score_test: float
    score_p: float
    lr_test: float
    lr_p: float
    wald_test: float
    wald_p: float
    df: int
    n: int
    n_event: int
    set_aside: int
    ties: str
    iterations: int
    converged: bool
    note: str
    state: State = field(repr=False, compare=False)
    columns: Columns = field(repr=False, compare=False)

    @property
    def se(self) -> Floats:
        """The robust standard errors if they were asked for, otherwise the model's: (p,)."""
        return self.se_model if self.se_kind == "model" else self.se_robust

    @property
    def aic(self) -> float:
        return -2 * self.loglik + 2 * self.df

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Wald limits of the coefficients, (p,) each; NaN where the estimate is infinite or not identified."""
        reach = z_value(level) * self.se
        return self.coef - reach, self.coef + reach

    @property
    def p_values(self) -> Floats:
        """Two-sided Wald P values: (p,); NaN where the estimate is infinite, for which see `score_test_of`."""
        from scipy.special import ndtr

        return np.asarray(2 * ndtr(-np.abs(self.coef / self.se)), dtype=np.float64)

    def score_test_of(self, columns: Sequence[int]) -> tuple[float, int, float]:
        """Test that the coefficients of these columns are 0, the others free: statistic, df, P value.

        Valid where their estimates are infinite, since the model is fitted without them (Rao 1948). NaN if the
        data say nothing of them.
        """
        tested = np.isin(np.flatnonzero(self.columns.used), list(columns))
        x = self.state.of.x
        if not tested.any():
            return float("nan"), 0, float("nan")
        without = maximise(self.state.of.with_columns(x[:, ~tested]), np.zeros(int((~tested).sum()))).state
        beta = np.zeros(x.shape[1])
        beta[~tested] = without.beta
        at = self.state.of.at(beta)
        assert at is not None, "the model without these columns was evaluated here"
        gradient, inverse = at.gradient(), np.linalg.inv(at.information())
        statistic = float(gradient @ inverse @ gradient)
        return statistic, int(tested.sum()), chi2_tail(statistic, int(tested.sum()))

    def profile_interval(self, column: int, level: float = 0.95) -> ProfileInterval:
        """Limits of one coefficient by its profile likelihood, one of them where the estimate is infinite.

        For the model's own errors and weights that are counts; see `profile.profile_interval`.
        """
        from clinops.stats.profile import profile_interval

        return profile_interval(self, column, level)

    def martingale(self) -> Floats:
        """Observed minus expected events of each row given, NaN for rows set aside: (rows,)."""
        rows = self.state.of.rows
        return _given(rows, rows.event - np.exp(self.state.eta) * self.state.expected)

    def dfbeta(self) -> Floats:
        """Approximate change of the coefficients if a row were left out, weights included: (rows, p)."""
        out = np.full((self.state.of.rows.n, len(self.coef)), np.nan)
        out[:, self.columns.finite] = _influence(self.state, self.columns)
        return _given(self.state.of.rows, out)

    def baseline(self) -> BaselineHazard:
        """Cumulative hazard for covariates at zero; its tie rule is that of the fit. NaN if an estimate is infinite."""
        lik = self.state.of
        every = risk_sets(lik.rows, every_exit=True)
        hazard = np.zeros(every.m)
        key = np.searchsorted(_pair(every, every), _pair(lik.sets, every))
        hazard[key] = lik.by_moment(self.state.hazard)
        first = np.searchsorted(every.stratum, every.stratum)
        total = np.concatenate([[0.0], np.cumsum(hazard)])
        level = np.exp(-float(self.columns.centre @ self.columns.raw(self.state.beta)))
        level = float("nan") if (self.columns.finite != self.columns.used).any() else level
        return BaselineHazard(every.stratum, every.time, (total[1:] - total[first]) * level)

    def predict(
        self, newdata: ArrayLike, times: ArrayLike, *, stratum: int = 0, level: float = 0.95
    ) -> PredictedSurvival:
        """Survival of people with covariates `newdata` (people, p) at `times`, in the stratum with this code.

        The error is that of the coefficients (robust if the fit is) and of the baseline (Tsiatis 1981; Link 1984).
        NaN throughout if a coefficient is infinite or not identified. Strata are coded 0, 1 ... in sorted order.

        Raises
        ------
        DataError : newdata has another number of columns.
        """
        new, when = np.atleast_2d(np.asarray(newdata, dtype=np.float64)), np.atleast_1d(np.asarray(times, float))
        if new.shape[1] != len(self.coef):
            raise DataError(f"newdata has {new.shape[1]} columns; the model has {len(self.coef)}.")
        hazard, error = self._hazard_of(new, when, stratum)
        survival = np.exp(-hazard)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(hazard > 0, np.exp(z_value(level) * error / hazard), 1.0)
        return PredictedSurvival(when, survival, survival * error, survival**spread, survival ** (1 / spread), level)

    def _hazard_of(self, new: Floats, when: Floats, stratum: int) -> tuple[Floats, Floats]:
        """Cumulative hazard of given people at given times and its standard error: (times, people) each."""
        lik, state = self.state.of, self.state
        if not self.columns.finite.all():
            nowhere = np.full((len(when), len(new)), np.nan)
            return nowhere, nowhere
        x = self.columns.scaled(new)
        turns = lik.sets.stratum[lik.turn_moment] == stratum
        step = np.searchsorted(lik.sets.time[lik.turn_moment[turns]], when, side="right")

        def until(values: Floats) -> Floats:
            """Sum of a turn's values up to each time."""
            return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values[turns], axis=0)])[step]

        relative = np.exp(x @ state.beta)
        base = until(state.hazard)
        reach = base[:, None, None] * x[None] - until(state.hazard[:, None] * state.mean)[:, None, :]
        cov = self.columns.to_scaled(self.cov if self.se_kind == "model" else self.cov_robust)
        own = until(state.hazard / state.denominator)[:, None]
        variance = own + np.einsum("tpi,ij,tpj->tp", reach, cov, reach)
        return base[:, None] * relative, np.sqrt(variance) * relative

    def proportional_hazards(
        self, *, transform: str = "km", terms: Sequence[Sequence[int]] | None = None
    ) -> ProportionalHazards:
        """Do the effects change with time? Score test of each term times g(t) (Grambsch and Therneau 1994).

        transform : g is "km" (1 - S(t-), the default in R too), "identity" or "log". terms : columns tested
        together, such as the levels of one factor; by default each column alone. NaN if an estimate is infinite, or if
        g(t) does not vary over the events.

        Raises
        ------
        ParameterError : unknown transform.
        """
        chosen = tuple(tuple(term) for term in terms or [[column] for column in range(len(self.coef))])
        time = _time_transform(self.state.of, transform)
        if not self.columns.finite.all():
            nowhere = np.full(len(chosen) + 1, np.nan)
            return ProportionalHazards(chosen, nowhere, np.zeros(len(chosen) + 1, dtype=np.int64), nowhere)
        state = self.state.by_turns() if self.ties == "exact" else self.state
        statistic, df = _time_tests(state, time, chosen)
        tail = np.array([chi2_tail(*pair) for pair in zip(statistic, df, strict=True)])
        return ProportionalHazards(chosen, statistic, df, tail)

    def concordance(self) -> float:
        """Share of comparable pairs in which the one who has the event first has the higher risk; ties count half.

        Time in proportion to events x rows. NaN if no pair is comparable.
        """
        return _concordance(self.state)


TIES = ("efron", "breslow", "exact")


def cox(
    X: ArrayLike,
    exit: ArrayLike,
    event: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    ties: str = "efron",
    cluster: ArrayLike | None = None,
    robust: bool = False,
    start: ArrayLike | None = None,
) -> CoxFit:
    """By what factor does each covariate multiply the hazard?

    Parameters
    ----------
    X : (n, p) or (n,) covariates, numeric, without an intercept; constant over a row (use several rows a person
        for covariates that change).
    exit, event, entry : (n,) as for `survival.kaplan_meier`.
    weights : (n,) zero or more. With weights that are not counts ask for a robust variance.
    strata : (n,) labels; each stratum has its own baseline.
    ties : "efron", "breslow", or "exact" for times that are truly discrete and for matched sets of cases and controls
        (conditional logistic regression, a set a stratum). Exact takes neither weights nor a robust variance, time in
        proportion to rows at risk x events at each tied time, and memory to rows at risk, summed over the times; its
        residuals, baseline and test of proportional hazards are Breslow's at its coefficients, as in R.
    cluster : (n,) labels, such as the person or the matched set; implies robust.
    robust : sandwich variance (Lin and Wei 1989), over rows or clusters.
    start : (p,) coefficients to start from; 0 by default.

    Raises
    ------
    DataError : see `risk_sets.spells`; X of another length or with missing values. ParameterError : unknown ties;
        exact ties with weights, clusters or a robust variance.

    Notes
    -----
    Cox 1972, Efron 1977, Breslow 1974; exact: Gail, Lubin and Rubinstein 1981; Newton with step halving; checked
    against R survival 3.5.3 `coxph`. A monotone likelihood is recognised by a Newton step that does not shrink when
    nothing is left to gain, and confirmed on the risk sets: along it no event has a lower value than anyone at risk.
    """
    if ties not in TIES:
        raise ParameterError(unknown("tie rule", ties, TIES))
    rows = spells(exit, event, entry=entry, weights=weights, strata=strata, cluster=cluster)
    if ties == "exact" and (robust or cluster is not None or not rows.plain):
        raise ParameterError(
            "The exact likelihood of ties has no weights and no robust variance; leave out weights, cluster and "
            'robust, or choose ties="efron".'
        )
    design = design_matrix(X, rows)
    begin = np.zeros(design.shape[1]) if start is None else np.asarray(start, dtype=np.float64)
    if begin.shape != (design.shape[1],) or not np.isfinite(begin).all():
        raise DataError(
            f"start has the shape {begin.shape}; it must have one finite value for each of {design.shape[1]} columns."
        )
    columns, scaled = standardised(design, rows)
    likelihood = partial_likelihood(rows, scaled, efron=ties == "efron")
    if ties == "exact":
        likelihood = ExactLikelihood(**{one.name: getattr(likelihood, one.name) for one in fields(likelihood)})
    null = likelihood.at(np.zeros(design.shape[1]))
    assert null is not None, "at zero every predictor is zero"
    columns = replace(columns, used=identified(null.information(), float(likelihood.mass.sum())))
    if not columns.used.all():
        likelihood = likelihood.with_columns(likelihood.x[:, columns.used])
        null = likelihood.at(np.zeros(int(columns.used.sum())))
        assert null is not None, "at zero every predictor is zero"
    best = maximise(likelihood, begin[columns.used] * columns.scale[columns.used], null)
    endless = np.zeros(design.shape[1])
    endless[columns.used] = best.endless
    columns = replace(columns, endless=endless, settled=best.converged)
    kind = "model" if not (robust or cluster is not None) else "robust" if cluster is None else "robust, clustered"
    return _report(best, columns, null, kind, ties)


def _report(best: Maximum, columns: Columns, null: State, se_kind: str, ties: str) -> CoxFit:
    state, rows = best.state, best.state.of.rows
    finite = columns.finite[columns.used]
    cov = columns.to_raw(_inverse(state.information()[np.ix_(finite, finite)]))
    coef = columns.estimates(state.beta)
    cov_robust = np.full_like(cov, np.nan) if se_kind == "model" else _sandwich(state, columns)
    df = int(columns.used.sum())
    gradient = null.gradient()
    nan = float("nan")
    score = float(gradient @ np.linalg.solve(null.information(), gradient)) if df else nan
    ratio = 2 * (state.loglik - null.loglik) if df and best.converged else nan
    wald = _wald(coef, cov if se_kind == "model" else cov_robust, columns) if df else nan
    events = int(state.of.tied.sum())
    return CoxFit(
        coef, np.sqrt(np.diag(cov)), np.sqrt(np.diag(cov_robust)), cov, cov_robust, se_kind, null.loglik, state.loglik,
        score, chi2_tail(score, df), ratio, chi2_tail(ratio, df), wald, chi2_tail(wald, df), df,
        int((rows.weight > 0).sum()), events, rows.set_aside, ties, best.iterations, best.converged,
        _explain(best, columns, events), state, columns,
    )  # fmt: skip


def _wald(coef: Floats, cov: Floats, columns: Columns) -> float:
    if (columns.finite != columns.used).any():
        return float("nan")
    kept = columns.used
    try:
        return float(coef[kept] @ np.linalg.solve(cov[np.ix_(kept, kept)], coef[kept]))
    except np.linalg.LinAlgError:  # fewer clusters than columns
        return float("nan")


def _explain(best: Maximum, columns: Columns, events: int) -> str:
    if not events:
        return "no events: nothing can be estimated"
    said = []
    for sign, way in ((-1.0, "minus"), (1.0, "plus")):
        for column in np.flatnonzero(columns.endless == sign):
            said.append(
                f"column {column}: the likelihood keeps rising towards {way} infinity (such as no events on one "
                "side); use the score test, not the Wald interval"
            )
    for column in np.flatnonzero(~columns.used):
        said.append(f"column {column}: not identified (it does not vary among those at risk, or repeats other columns)")
    if not best.converged:
        said.append(f"not converged after {best.iterations} iterations, so no estimate; the score test stands")
    return "; ".join(said)


def _influence(state: State, columns: Columns) -> Floats:
    """Weighted score residuals times the inverse information, on the scale given: (n, finite columns)."""
    finite = columns.finite[columns.used]
    inverse = _inverse(state.information()[np.ix_(finite, finite)])
    weighted = state.of.rows.weight[:, None] * state.score_residuals()[:, finite]
    return np.asarray(weighted @ inverse / columns.scale[columns.finite])


def _sandwich(state: State, columns: Columns) -> Floats:
    influence = _influence(state, columns)
    cluster = state.of.rows.cluster
    if cluster is not None and len(cluster):
        columns_summed = [np.bincount(cluster, weights=influence[:, k]) for k in range(influence.shape[1])]
        influence = np.stack(columns_summed, axis=1) if columns_summed else influence
    out = np.full((len(columns.scale), len(columns.scale)), np.nan)
    out[np.ix_(columns.finite, columns.finite)] = influence.T @ influence
    return out


def _pair(sets: RiskSets, within: RiskSets) -> Ints:
    """One sortable number for each (stratum, time) of `sets`, on the clock of `within`."""
    clock = np.unique(within.time)
    return sets.stratum * np.int64(len(clock) + 1) + np.searchsorted(clock, sets.time)


def _given(rows: Spells, values: Floats) -> Floats:
    """Values of the kept rows, in the order of the rows given, NaN for those set aside."""
    out = np.full((len(rows.kept), *values.shape[1:]), np.nan)
    out[rows.kept] = values
    return out


def _time_transform(lik: PartialLikelihood, transform: str) -> Floats:
    """g(t) at each turn, centred over the events.

    Where the gradient is 0 the tests do not depend on that, only their rounding does; with exact ties they do.
    """
    time = lik.sets.time[lik.turn_moment]
    if transform == "km":
        curve = kaplan_meier(lik.rows.exit, lik.rows.event, entry=lik.rows.entry)  # unweighted, as in R
        before = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.time, time, side="left")]
        values = 1 - before
    elif transform in ("identity", "log"):
        values = time if transform == "identity" else np.log(time)
    else:
        raise ParameterError(unknown("transform of time", transform, ("km", "identity", "log")))
    events = np.ones(len(values)) if lik.efron else lik.tied
    return np.asarray(values - np.average(values, weights=events) if len(values) else values)


def _time_tests(state: State, time: Floats, terms: Sequence[Sequence[int]]) -> tuple[Floats, Ints]:
    gradient, whole = state.gradient(time), state.information()
    across, within = state.information(time), state.information(time**2)
    left = within - across @ np.linalg.solve(whole, across)
    chosen = [list(term) for term in terms] + [list(range(len(gradient)))]
    # Nothing is left where g(t) does not vary, as with events at one time only: no test, and not a division by noise.
    values = []
    for k in chosen:
        block = left[np.ix_(k, k)]
        varies = np.linalg.eigvalsh(block)[0] > 1e-12 * np.diag(within)[k].max() if k else False
        values.append(float(gradient[k] @ np.linalg.solve(block, gradient[k])) if varies else float("nan"))
    return np.array(values), np.array([len(k) for k in chosen])


def _concordance(state: State) -> float:
    sets, weight, eta = state.of.sets, state.of.rows.weight, state.eta
    events = np.flatnonzero(sets.moment_of >= 0)
    better, pairs = 0.0, 0.0
    tied = 1e-10 * np.abs(eta).max(initial=0)  # equal covariates may differ in the last digit of their predictor
    size = max(1, 2_000_000 // max(len(eta), 1))
    for begin in range(0, len(events), size):
        mine = events[begin : begin + size]
        moment = sets.moment_of[mine][:, None]
        other = (sets.first <= moment) & (moment < sets.last) & (sets.moment_of != moment)
        pair = other * weight[mine][:, None] * weight
        gap = eta[mine][:, None] - eta
        better += float((pair * ((gap > tied) + 0.5 * (np.abs(gap) <= tied))).sum())
        pairs += float(pair.sum())
    return better / pairs if pairs else float("nan")


def _inverse(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
