"""Does a cost model fit? Modified Park test of the variance, Pregibon's link test, means by tenths of prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import glm, independent_columns
from clinops.stats.glm_families import Floats
from clinops.stats.normal import two_sided, z_value
from clinops.stats.propensity import as_treated
from clinops.stats.weighted_effects import Effect

VARIANCE_POWERS = {"gaussian": 0, "poisson": 1, "gamma": 2, "inverse gaussian": 3}


@dataclass(frozen=True)
class ParkTest:
    """How the variance grows with the mean: variance about mean ** slope.

    suggested : the family whose power is nearest. p_value : by family, of the slope being its power.
    """

    slope: float
    std_error: float
    suggested: str
    p_value: dict[str, float]
    n: int
    se_kind: str
    note: str


@dataclass(frozen=True)
class LinkTest:
    """Coefficient of the squared linear predictor; away from 0 the link or the terms are wrong."""

    coef: float
    std_error: float
    p_value: float
    n: int
    se_kind: str
    note: str


@dataclass(frozen=True)
class GroupedFit:
    """Observed less predicted by groups of prediction, and a joint test that all are 0.

    observed, predicted, difference, std_error : (g,). n_group : (g,) rows with weight. statistic : F, with df.
    """

    observed: Floats
    predicted: Floats
    difference: Floats
    std_error: Floats
    n_group: Floats
    statistic: float
    df: tuple[int, int]
    p_value: float
    note: str


def modified_park(
    X: ArrayLike, y: ArrayLike, *, family: str = "gamma", weights: ArrayLike | None = None, se: str = "model"
) -> ParkTest:
    """Which family's variance do these costs have?

    The squared residuals of a model with a log link are regressed on its linear predictor (gamma, log link).

    Parameters
    ----------
    X : (n, k) design with intercept. y : (n,) cost the family allows. family : with a log link ("gamma",
        "quasipoisson", "tweedie"). weights : (n,). se : of the slope, as in `glm`.

    Notes
    -----
    Slope 0 gaussian, 1 poisson, 2 gamma, 3 inverse gaussian. Residuals of exactly 0 are left out and said. Source:
    Manning and Mullahy 2001; Park 1966. Checked against R on the RAND Health Insurance Experiment.
    """
    _log_link(family)
    fit = glm(X, y, family, weights=weights, se="model")
    square = (np.asarray(y, dtype=float) - fit.fitted) ** 2
    weight = np.ones_like(square) if weights is None else np.asarray(weights, dtype=float)
    # a residual that is 0 but for rounding (a saturated row) has no place in a gamma model
    sound = square > 1e-20 * np.maximum(fit.fitted, 1e-300) ** 2
    lost = int((~sound & (weight > 0)).sum())
    notes = [fit.note, f"{lost} rows without a residual were left out." if lost else ""]
    nan = float("nan")
    design = np.column_stack([np.ones_like(square), fit.eta])[sound]
    if len(independent_columns(design[weight[sound] > 0])[0]) < 2 or (weight[sound] > 0).sum() < 3:
        notes.append("The predictions do not vary, so nothing says how the variance grows with them.")
        none = dict.fromkeys(VARIANCE_POWERS, nan)
        return ParkTest(nan, nan, "", none, fit.n - lost, "", " ".join(filter(None, notes)))
    park = glm(design, square[sound], "gamma", weights=weight[sound], se=se)
    slope, error = float(park.coef[1]), float(park.std_error[1])
    chances = {name: two_sided((slope - power) / error) for name, power in VARIANCE_POWERS.items()}
    nearest = min(VARIANCE_POWERS, key=lambda name: abs(VARIANCE_POWERS[name] - slope))
    return ParkTest(slope, error, nearest, chances, park.n, park.se_kind, " ".join(filter(None, (*notes, park.note))))


def pregibon_link(
    X: ArrayLike,
    y: ArrayLike,
    *,
    family: str = "gamma",
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str = "model",
    power: float = 1.5,
) -> LinkTest:
    """Is the link right: does the squared linear predictor add anything to the model?

    Parameters as `glm`. Source: Pregibon 1980 (Stata's linktest). Checked against R on the RAND experiment.
    """
    fit = glm(X, y, family, weights=weights, se="model", power=power)
    design = np.column_stack([np.ones_like(fit.eta), fit.eta, fit.eta**2])
    again = glm(design, y, family, weights=weights, cluster=cluster, se=se, power=power)
    coef, error = float(again.coef[2]), float(again.std_error[2])
    note = fit.note
    if not np.isfinite(error):
        note = f"{note} The linear predictor takes fewer than three values: nothing to test.".strip()
    return LinkTest(coef, error, two_sided(coef / error) if error > 0 else float("nan"), fit.n, again.se_kind, note)


def grouped_fit(
    y: ArrayLike, predicted: ArrayLike, *, groups: int = 10, weights: ArrayLike | None = None
) -> GroupedFit:
    """Is the model right along its whole range: are residuals 0 on average in every tenth of prediction?

    Parameters
    ----------
    y, predicted : (n,) cost and its prediction from any model (both parts multiplied). groups : of about equal size
        by rank of prediction; equal predictions stay together, so there may be fewer.

    Notes
    -----
    F test of group means of residuals, HC1; the prediction's own estimation is left out, so P is somewhat too large.
    Source: Hosmer and Lemeshow 1980; for costs Manning and Mullahy 2001.
    """
    if groups < 2:
        raise DefinitionError(f"groups is {groups}; at least 2 are needed to compare.")
    cost, guess = np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)
    weight = np.ones_like(cost) if weights is None else np.asarray(weights, dtype=float)
    if cost.ndim != 1 or guess.shape != cost.shape or weight.shape != cost.shape:
        raise DataError(f"y, predicted and weights have shapes {cost.shape}, {guess.shape}, {weight.shape}; all (n,).")
    edges = np.unique(np.quantile(guess[weight > 0], np.linspace(0, 1, groups + 1)[1:-1]))
    group = np.searchsorted(edges, guess, side="left")
    names = np.unique(group[weight > 0])
    member = (group[:, None] == names).astype(float)
    fit = glm(member, cost - guess, "gaussian", weights=weight, se="HC1")
    total = weight @ member
    k, df = len(names), fit.df_residual
    sound = df > 0 and bool((fit.std_error > 0).all())
    statistic = float(fit.coef @ np.linalg.solve(fit.cov, fit.coef)) / k if sound else float("nan")
    return GroupedFit(
        observed=(weight * cost) @ member / total,
        predicted=(weight * guess) @ member / total,
        difference=fit.coef,
        std_error=fit.std_error,
        n_group=(weight > 0) @ member,
        statistic=statistic,
        df=(k, df),
        p_value=_f_tail(statistic, k, df) if sound else float("nan"),
        note="" if sound else "A group holds no variation: no joint test.",
    )


def welch_effect(y: ArrayLike, treated: ArrayLike, *, conf_level: float = 0.95) -> Effect:
    """Difference of two means with Welch's t interval, no weights: what a trial's table would print.

    Raises
    ------
    DataError : shapes, missing values. Fewer than two people in an arm, or no variation: NaN and a note.

    Notes
    -----
    Welch 1947; Satterthwaite's degrees of freedom stand in `se_kind`. Checked against R's `t.test`.
    """
    z_value(conf_level)
    cost, arm = np.asarray(y, dtype=float), as_treated(treated)
    if cost.shape != arm.shape or not np.isfinite(cost).all():
        raise DataError(f"y has shape {cost.shape}; it must be ({len(arm)},), none missing, to fit `treated`.")
    sides = [cost[arm], cost[~arm]]
    counts = [len(side) for side in sides]
    means = [float(side.mean()) if len(side) else float("nan") for side in sides]
    nan = float("nan")
    estimate, error, low, high, p, kind, note = means[0] - means[1], nan, nan, nan, nan, "Welch", ""
    if min(counts) < 2:
        note = "An arm holds fewer than two people: no standard error."
    else:
        parts = [float(side.var(ddof=1)) / len(side) for side in sides]
        if sum(parts) == 0:
            note = "The outcome varies in neither arm: no standard error."
        else:
            error = float(np.sqrt(sum(parts)))
            df = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
            half, p = _t_half(conf_level, df) * error, _t_tail(estimate / error, df)
            low, high, kind = estimate - half, estimate + half, f"Welch, t with {df:.1f} degrees of freedom"
    return Effect(
        means[0],
        means[1],
        estimate,
        error,
        low,
        high,
        conf_level,
        p,
        "difference",
        "as compared",
        kind,
        counts[0],
        counts[1],
        note,
    )


def _log_link(family: str) -> None:
    if family not in ("gamma", "poisson", "quasipoisson", "tweedie"):
        raise DefinitionError(f"family is {family!r}; the Park test needs a log link: gamma, quasipoisson or tweedie.")


def _f_tail(statistic: float, first: int, second: int) -> float:
    from scipy.special import fdtrc

    return float(fdtrc(first, second, statistic))


def _t_half(level: float, df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def _t_tail(statistic: float, df: float) -> float:
    from scipy.special import stdtr

    return 2 * float(stdtr(df, -abs(statistic)))
