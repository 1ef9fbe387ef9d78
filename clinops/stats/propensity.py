"""Propensity scores: logistic, plain or penalised, with what M-estimation needs to account for the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, expit, gram, information_inverse, solve_glm
from clinops.stats.glm_families import family_named

_PENALTIES = ("l1", "l2")
_ROUNDS, _SWEEPS = 200, 2000
_EXTREME = 0.01  # scores beyond this from 0 or 1 are counted in the note


@dataclass(frozen=True)
class PropensityFit:
    """A fitted propensity score; n rows, k covariates.

    Attributes
    ----------
    coef : (k + 1,), the intercept first, on the scale of the columns given; NaN for aliased columns.
    score, logit : (n,), probability of treatment and its log odds.
    treated : (n,) bool. weights : (n,) case weights.
    design : (n, m) columns that were estimated, the intercept first. columns : (m,) their index in `coef`.
    bread : (m, m) inverse information, or None when penalised or boosted (M-estimation does not then apply).
    penalty : "none", "l1 (strength 1)", "gradient boosting, out of 5 folds", ...
    separated : True when a combination of covariates predicts treatment perfectly in some rows.
    note : what a reader must know ("" if nothing).
    """

    coef: Floats
    score: Floats
    logit: Floats
    treated: NDArray[np.bool_]
    weights: Floats
    design: Floats
    columns: Ints
    bread: Floats | None
    penalty: str
    separated: bool
    note: str

    @property
    def contributions(self) -> Floats:
        """(n, m) each row's term of the logistic score equations (they sum to zero when unpenalised)."""
        return self.design * (self.weights * (self.treated - self.score))[:, None]

    def influence(self, gradient: Floats) -> Floats:
        """Carry the uncertainty of the coefficients over to a quantity that depends on them.

        Parameters
        ----------
        gradient : (m,) or (m, q), derivative of the quantity with respect to the estimated coefficients.

        Returns
        -------
        (n,) or (n, q): `gradient' bread contribution_i` for each row.
        """
        if self.bread is None:
            raise DefinitionError(
                f"The score was penalised or learned ({self.penalty}), so its score equations do not hold;"
                " use a plain score (penalty=None), the bootstrap, or take the weights as known."
            )
        direction = self.design @ (self.bread @ gradient)
        residual = self.weights * (self.treated - self.score)
        return direction * (residual if direction.ndim == 1 else residual[:, None])


def propensity(
    X: ArrayLike,
    treated: ArrayLike,
    *,
    penalty: str | None = None,
    strength: float = 1.0,
    weights: ArrayLike | None = None,
) -> PropensityFit:
    """Estimate each row's probability of treatment from its covariates by logistic regression.

    Parameters
    ----------
    X : (n, k) covariates without an intercept, which is added here.
    treated : (n,) 0/1 or bool.
    penalty : None, "l1" or "l2"; penalised columns are standardised inside (the intercept is free).
    strength : inverse scale (l1, Laplace) or inverse variance (l2, normal) of the prior on a standardised
        coefficient, so 1 is mild and does not grow with n. Ignored without a penalty.
    weights : (n,) case weights >= 0.

    Raises
    ------
    DefinitionError : unknown penalty, strength not positive. DataError : an empty arm, missing covariates,
    a treatment that is not 0/1.

    Notes
    -----
    Source: Rosenbaum and Rubin 1983; unpenalised equal to R's `glm(binomial)`, penalised by proximal Newton
    steps (Lee, Sun and Saunders 2014), equal to scikit-learn's `LogisticRegression(C=1/strength)` on
    standardised columns.
    """
    arm = as_treated(treated)
    design = as_covariates(X, len(arm))
    case = case_weights(weights, len(arm))
    both_arms(arm, case)
    if penalty is None:
        return _plain(design, arm, case)
    if penalty not in _PENALTIES:
        raise DefinitionError(unknown("penalty", penalty, (*_PENALTIES, "None")))
    if not strength > 0:
        raise DefinitionError(f"strength is {strength!r}; it must be more than 0 (use penalty=None for none).")
    return _penalised(design, arm, case, penalty, strength)


def as_covariates(X: ArrayLike, rows: int) -> Floats:
    """Check covariates, (rows, k), every value known.

    Raises
    ------
    DataError : another shape, or missing values.
    """
    matrix = np.asarray(X, dtype=float)
    if matrix.ndim != 2 or len(matrix) != rows:
        raise DataError(f"X has shape {matrix.shape}; it must be ({rows}, columns) to fit `treated`.")
    if not np.isfinite(matrix).all():
        columns = np.flatnonzero(~np.isfinite(matrix).all(axis=0)).tolist()
        raise DataError(f"column(s) {columns} of X hold missing or infinite values; impute or set rows aside.")
    return matrix


def as_treated(treated: ArrayLike) -> NDArray[np.bool_]:
    """Return a (n,) bool array from 0/1 or bool; anything else is a DataError."""
    given = np.asarray(treated)
    if given.ndim != 1:
        raise DataError(f"treated has shape {given.shape}; it must be one value a row.")
    if given.dtype != bool and not np.isin(given, (0, 1)).all():
        raise DataError("treated holds values other than 0 and 1 (or False and True); set such rows aside first.")
    return given.astype(bool)


def both_arms(arm: NDArray[np.bool_], case: Floats, where: str = "") -> None:
    """Refuse an arm in which nobody has weight."""
    exposed, comparator = int((arm & (case > 0)).sum()), int((~arm & (case > 0)).sum())
    if not exposed or not comparator:
        raise DataError(
            f"A propensity score needs people in both arms; there are {exposed} treated and {comparator}"
            f" comparators{where}. Loosen the eligibility of the empty arm."
        )


def _plain(X: Floats, arm: NDArray[np.bool_], case: Floats) -> PropensityFit:
    design, outcome = np.empty((len(arm), X.shape[1] + 1)), arm.astype(float)
    design[:, 0], design[:, 1:] = 1.0, X
    found = solve_glm(design, outcome, family_named("binomial"), case, np.zeros(len(arm)))
    keep = found.kept
    notes = []
    if found.aliased.size:
        constant = "constant or linear combinations of earlier ones"
        notes.append(f"Covariate(s) {(found.aliased - 1).tolist()} are {constant} and were left out.")
        design = design[:, keep]
    if found.drifting.size:
        culprits = found.drifting - 1
        notes.append(
            f"Perfect separation: covariate(s) {culprits[culprits >= 0].tolist()} predict treatment exactly in"
            " some rows, so scores there are 0 or 1 and the arms do not overlap; narrow the eligibility, drop"
            " the covariate (if it is part of the exposure) or use a penalty."
        )
    logit = design @ found.coef
    score = expit(logit)
    notes.append(extremes_note(score))
    coef = np.full(X.shape[1] + 1, np.nan)
    coef[keep] = found.coef
    return PropensityFit(
        coef=coef,
        score=score,
        logit=logit,
        treated=arm,
        weights=case,
        design=design,
        columns=keep,
        bread=information_inverse(design, case * score * (1 - score)),
        penalty="none",
        separated=bool(found.drifting.size),
        note=" ".join(filter(None, notes)),
    )


def case_weights(weights: ArrayLike | None, rows: int) -> Floats:
    """(rows,) weights, all 1 by default; a DataError where they are not finite numbers of 0 or more."""
    case = np.ones(rows) if weights is None else np.asarray(weights, dtype=float)
    if case.shape != (rows,) or not np.isfinite(case).all() or (case < 0).any():
        raise DataError(f"weights must be {rows} finite numbers, none negative; got shape {case.shape}.")
    return case


def _penalised(X: Floats, arm: NDArray[np.bool_], case: Floats, penalty: str, strength: float) -> PropensityFit:
    centre = case @ X / case.sum()
    standard = np.empty((len(arm), X.shape[1] + 1))
    standard[:, 0] = 1.0
    np.subtract(X, centre, out=standard[:, 1:])
    spread = np.sqrt(np.einsum("i,ij,ij->j", case, standard[:, 1:], standard[:, 1:]) / case.sum())
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(centre))
    standard[:, 1:] /= np.where(varies, spread, 1.0)
    kept = np.concatenate([[0], 1 + np.flatnonzero(varies)]).astype(np.int64)
    standard = standard if varies.all() else standard[:, kept]
    beta, converged = _proximal_newton(standard, arm.astype(float), case, penalty, strength)
    coef = np.full(X.shape[1] + 1, np.nan)
    coef[1:][varies] = beta[1:] / spread[varies]
    coef[0] = beta[0] - coef[1:][varies] @ centre[varies]
    logit = standard @ beta
    del standard  # as large as the covariates themselves
    constant = np.flatnonzero(~varies).tolist()
    notes = [f"Covariate(s) {constant} are constant and were left out." if constant else ""]
    notes.append("" if converged else f"The penalised fit stopped after {_ROUNDS} rounds short of its tolerance.")
    notes.append(extremes_note(expit(logit)))
    return PropensityFit(
        coef=coef,
        score=expit(logit),
        logit=logit,
        treated=arm,
        weights=case,
        design=np.column_stack([np.ones(len(arm)), X if varies.all() else X[:, varies]]),
        columns=kept,
        bread=None,
        penalty=f"{penalty} (strength {strength:g})",
        separated=False,
        note=" ".join(filter(None, notes)),
    )


def _proximal_newton(Z: Floats, y: Floats, case: Floats, penalty: str, strength: float) -> tuple[Floats, bool]:
    """Minimise the logistic loss plus strength |b| (l1) or strength b^2 / 2 (l2), the intercept free.

    Each round minimises the quadratic approximation of the loss plus the penalty itself by coordinate
    descent on the (k, k) information, so that a round costs one pass over the rows.
    """
    cost = np.full(Z.shape[1], strength)
    cost[0] = 0.0
    lasso, ridge = (cost, np.zeros_like(cost)) if penalty == "l1" else (np.zeros_like(cost), cost)

    def objective(beta: Floats) -> float:
        eta = Z @ beta
        return float(case @ (np.logaddexp(0.0, eta) - y * eta) + lasso @ np.abs(beta) + ridge @ beta**2 / 2)

    beta = np.zeros(Z.shape[1])
    now = objective(beta)
    for _ in range(_ROUNDS):
        mean = expit(Z @ beta)
        gradient = Z.T @ (case * (y - mean)) - ridge * beta
        information = gram(Z, case * mean * (1 - mean)) + np.diag(ridge)
        target = _coordinate_descent(information, gradient, beta, lasso)
        step, share = target - beta, 1.0
        while share > 1e-6 and objective(beta + share * step) > now + 1e-12 * abs(now):
            share /= 2
        beta = beta + share * step
        now = objective(beta)
        if np.abs(step).max() < 1e-9 * (1 + np.abs(beta).max()):
            return beta, True
    return beta, False


def _coordinate_descent(information: Floats, gradient: Floats, beta: Floats, lasso: Floats) -> Floats:
    """Minimise the quadratic model around `beta` plus lasso |b|, one coordinate at a time."""
    target, diagonal = beta.copy(), np.maximum(np.diag(information), 1e-12)
    slope = gradient.copy()  # of the quadratic model at `target`
    for _ in range(_SWEEPS):
        largest = 0.0
        for j in range(len(beta)):
            pull = target[j] * diagonal[j] + slope[j]
            fresh = np.sign(pull) * max(abs(pull) - lasso[j], 0.0) / diagonal[j]
            change = fresh - target[j]
            if change:
                slope -= information[:, j] * change
                target[j] = fresh
                largest = max(largest, abs(change))
        if largest < 1e-12:
            break
    return target


def extremes_note(score: Floats) -> str:
    """Say how many scores are nearly 0 or 1, when it is more than 5 %."""
    beyond = int(((score < _EXTREME) | (score > 1 - _EXTREME)).sum())
    if beyond <= len(score) * 0.05:
        return ""
    share = f"{100 * beyond / len(score):.0f} % of rows ({beyond} of {len(score)})"
    return f"Near-perfect separation: {share} have a score below {_EXTREME} or above {1 - _EXTREME}."
