"""From an effect to a decision: fees, returns, budgets, what is cashable, and whose money it is.

A saving is the comparator's mean less the exposed's: positive where the programme costs the payer less, before
its fee. Everything is a person's amount over the horizon in one price year, unless it says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.glm import Floats
from clinops.stats.normal import z_value
from clinops.stats.power import detectable_difference_means

PERSPECTIVES = ("payer", "at-risk system", "provider margin")
NAN = math.nan


@dataclass(frozen=True)
class Amount:
    """A number with its standard error and interval; NaN with a note where it has none."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    note: str = ""


def break_even_fee(
    saving: float,
    *,
    charged: float = 1.0,
    std_error: float | None = None,
    draws: ArrayLike | None = None,
    level: float = 0.95,
) -> Amount:
    """At which fee does the programme cost as much as it saves?

    Parameters
    ----------
    saving : gross saving a person. charged : fees paid for a person of the analysis: the share activated, or the
        months charged a person; a known number. The answer is a fee per charge.
    std_error : of the saving, for a normal interval; or draws : (b,) bootstrap savings, for a percentile interval.

    Returns
    -------
    Amount; a negative fee stands with a note that no fee breaks even. NaN where nobody is charged.

    Raises
    ------
    DataError : charged is negative; neither or both of std_error and draws.
    """
    if not charged >= 0:
        raise DataError(f"charged is {charged!r}; it is the fees paid for a person, 0 or more.")
    if charged == 0:
        return Amount(NAN, NAN, NAN, NAN, "nobody is charged: no fee to break even")
    note = "the programme saves nothing before its fee: no fee breaks even" if saving <= 0 else ""
    low, high, error = _spread(saving, std_error, draws, level)
    return Amount(saving / charged, error / charged, low / charged, high / charged, note)


def net_saving(
    saving: float,
    fee: float,
    *,
    std_error: float | None = None,
    fee_std_error: float = 0.0,
    covariance: float = 0.0,
    draws: ArrayLike | None = None,
    fee_draws: ArrayLike | None = None,
    level: float = 0.95,
) -> Amount:
    """What is left of the saving after the fee, a person?

    Parameters
    ----------
    saving, fee : means a person of the analysis. std_error, fee_std_error, covariance : of the two, for a normal
        interval; a fee that is the same for everybody has none.
    draws, fee_draws : (b,) paired bootstrap replicates instead, for a percentile interval; fee_draws None is the fee
        in every replicate.

    Raises
    ------
    DataError : neither or both of std_error and draws; replicates of unequal length; errors and a covariance that
        contradict each other.
    """
    if draws is None:
        error = _error_of_combination(std_error, fee_std_error, covariance, 1.0, -1.0)
        low, high, error = _spread(saving - fee, error, None, level)
    else:
        paired = _paired(draws, fee_draws, fee)
        low, high, error = _spread(saving - fee, std_error, paired[0] - paired[1], level)
    return Amount(saving - fee, error, low, high)


def return_on_investment(
    saving: float,
    fee: float,
    *,
    std_error: float | None = None,
    fee_std_error: float = 0.0,
    covariance: float = 0.0,
    draws: ArrayLike | None = None,
    fee_draws: ArrayLike | None = None,
    level: float = 0.95,
) -> Amount:
    """What does each unit of money spent on the programme bring back beyond itself: (saving - fee) / fee?

    0 breaks even, -1 loses the whole fee. Arguments as `net_saving`; the error is by the delta method or the
    replicates'. NaN with a note where the fee is 0: a return needs an investment.

    Raises
    ------
    DataError : a negative fee; as `net_saving`.
    """
    if fee < 0:
        raise DataError(f"fee is {fee!r}; what the programme costs is 0 or more.")
    if fee == 0:
        return Amount(NAN, NAN, NAN, NAN, "without a fee there is no return on investment")
    ratio = saving / fee
    if draws is None:
        error = _error_of_combination(std_error, fee_std_error, covariance, 1 / fee, -ratio / fee)
        low, high, error = _spread(ratio - 1, error, None, level)
        return Amount(ratio - 1, error, low, high)
    gained, paid = _paired(draws, fee_draws, fee)
    if np.any(paid <= 0):
        return Amount(ratio - 1, NAN, NAN, NAN, f"no fee in {int(np.sum(paid <= 0))} replicates: no interval")
    low, high, error = _spread(ratio - 1, std_error, gained / paid - 1, level)
    return Amount(ratio - 1, error, low, high)


@dataclass(frozen=True)
class BudgetImpact:
    """What a budget holder spends and saves by year, undiscounted, in one price year.

    Attributes
    ----------
    enrolled : (t,), more people in the programme than without the decision. saving, fee, net : (t,), gross, paid and
        gross less paid. net_low, net_high : (t,). cumulative : (t,) of net. total : over all years.
    """

    enrolled: Floats
    saving: Floats
    fee: Floats
    net: Floats
    net_low: Floats
    net_high: Floats
    cumulative: Floats
    total: Amount


def budget_impact(
    eligible: ArrayLike,
    uptake: ArrayLike,
    saving: ArrayLike,
    fee: ArrayLike,
    *,
    std_error: ArrayLike,
    uptake_now: ArrayLike = 0.0,
    level: float = 0.95,
) -> BudgetImpact:
    """What does offering the programme do to the budget of each year?

    Parameters
    ----------
    eligible : (t,), people by year. uptake, uptake_now : (t,) or one share for all years, with the decision and
        without it. saving, fee : (t,) or one number, gross saving and fee of an enrolled person in that year.
    std_error : (t,) or one, of the saving. The years' savings come from one evaluation and are taken to err
        together, so the errors of years add; for any other correlation the interval is too wide, not too narrow.

    Notes
    -----
    ISPOR's principles for budget impact analysis (Sullivan 2014): the budget holder's perspective, by calendar
    year, undiscounted, at constant prices: put all amounts in one price year first.

    Raises
    ------
    DataError : lengths differ, a share outside 0..1, a negative number of people, fee or error.
    """
    people = np.atleast_1d(np.asarray(eligible, float))
    if people.ndim != 1 or not len(people):
        raise DataError(f"eligible has shape {people.shape}; give one number of people a year.")
    named = (("uptake", uptake), ("uptake_now", uptake_now), ("saving", saving), ("fee", fee), ("std_error", std_error))
    years = {name: _by_year(name, given, len(people)) for name, given in named}
    for name in ("uptake", "uptake_now"):
        if np.any((years[name] < 0) | (years[name] > 1)):
            raise DataError(f"{name} is {years[name].tolist()}; shares lie between 0 and 1.")
    for name, values in (("eligible", people), ("fee", years["fee"]), ("std_error", years["std_error"])):
        if np.any(values < 0):
            raise DataError(f"{name} is {values.tolist()}; it is 0 or more.")
    enrolled = people * (years["uptake"] - years["uptake_now"])
    saved, paid = enrolled * years["saving"], enrolled * years["fee"]
    errors = enrolled * years["std_error"]
    z = z_value(level)
    net, reach = saved - paid, z * np.abs(errors)
    low, high, error = _spread(float(net.sum()), float(np.abs(errors).sum()), None, level)
    total = Amount(float(net.sum()), error, low, high)
    return BudgetImpact(enrolled, saved, paid, net, net - reach, net + reach, np.cumsum(net), total)


@dataclass(frozen=True)
class Plausibility:
    """A saving as a share of the spend that the programme can touch; passed is that it is not above 1."""

    share: float
    share_low: float
    share_high: float
    passed: bool
    note: str


def plausible_saving(saving: float, touchable: float, *, conf_low: float = NAN, conf_high: float = NAN) -> Plausibility:
    """Is the saving more than the money there was to save?

    Parameters
    ----------
    saving : gross, a person. conf_low, conf_high : its interval.
    touchable : the comparator's observed mean spend, a person, in the categories that the programme can change.

    Returns
    -------
    Plausibility; only the estimate decides. An interval that reaches beyond the touchable spend is a note: a saving
    of that size is not possible and the interval is too wide at that end. Without touchable spend any saving fails.

    Raises
    ------
    DataError : touchable is negative or missing.
    """
    if not touchable >= 0:
        raise DataError(f"touchable is {touchable!r}; give the comparator's mean spend, 0 or more.")
    if math.isnan(saving):
        return Plausibility(NAN, NAN, NAN, False, "no saving was estimated")
    if touchable == 0:
        note = "there is no spend that the programme could touch"
        return Plausibility(math.inf if saving > 0 else NAN, NAN, NAN, saving <= 0, note)
    share, low, high = saving / touchable, conf_low / touchable, conf_high / touchable
    if share > 1:
        note = "the saving exceeds the spend that the programme can touch: something other than the programme differs"
    else:
        note = "the interval reaches beyond the spend that the programme can touch" if high > 1 else ""
    return Plausibility(share, low, high, share <= 1, note)


def smallest_detectable_saving(
    sd: float,
    n_exposed: float,
    n_comparator: float,
    *,
    correlation: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Which saving a person could these data have shown, before anything is estimated?

    sd : of the cost a person, both arms. correlation : of the cost with its covariates (past cost); an adjusted
    analysis needs sqrt(1 - correlation^2) of the difference. Otherwise as `power.detectable_difference_means`.
    """
    if not -1 <= correlation <= 1:
        raise ParameterError(f"correlation is {correlation!r}; it lies between -1 and 1.")
    found = detectable_difference_means(sd, n_exposed, n_comparator, power=power, alpha=alpha)
    return float(found * math.sqrt(1 - correlation**2))


@dataclass(frozen=True)
class CashableSaving:
    """A saving split into money that leaves the budget and capacity set free.

    cashable, released : Amount, in total. by_category : (k, 2), the two columns of each category.
    """

    cashable: Amount
    released: Amount
    by_category: Floats


def cashable_saving(
    saving: ArrayLike, share: ArrayLike, *, covariance: ArrayLike | None = None, level: float = 0.95
) -> CashableSaving:
    """How much of a saving is money that can be spent on something else?

    Parameters
    ----------
    saving : (k,), gross saving by category. share : (k,) or one, of each that is cashable, 0..1: a drug not bought is
        1, a bed-day in a ward that stays open is near 0. The rest is capacity released, of use only if it is filled.
    covariance : (k, k) of the savings; without it the amounts have no error.

    Raises
    ------
    DataError : lengths differ, or a share outside 0..1.
    """
    by = np.atleast_1d(np.asarray(saving, float))
    part = _shares("share", share, len(by))
    cov = None if covariance is None else _covariance(covariance, len(by))
    return CashableSaving(
        _weighted(by, part, cov, level),
        _weighted(by, 1 - part, cov, level),
        np.column_stack([by * part, by * (1 - part)]),
    )


def value_to(
    perspective: str,
    saving: ArrayLike,
    fee: float,
    *,
    inside: ArrayLike = 1.0,
    variable_cost: ArrayLike | None = None,
    refilled: ArrayLike = 0.0,
    covariance: ArrayLike | None = None,
    level: float = 0.95,
) -> Amount:
    """What is the programme worth a person to the one who decides? A payer's saving is a hospital's lost revenue.

    Parameters
    ----------
    perspective : "payer", "at-risk system" (paid by the head, buys care and gives some itself) or "provider margin"
        (paid for what it does).
    saving : (k,), the payer's gross saving by category. fee : a person; 0 where somebody else pays it.
    inside : (k,) or one, the share of that spend that was the provider's own revenue.
    variable_cost : (k,) or one, what a unit of revenue costs to produce and is spared when the care is not given;
        needed by every perspective but the payer's, and never guessed.
    refilled : (k,) or one, the share of the capacity released that other paid care fills.
    covariance : (k, k) of the savings.

    Notes
    -----
    With contribution margin m = 1 - variable_cost: payer sum s - fee; provider margin -sum s inside m (1 - refilled)
    - fee; at-risk system sum s (1 - inside m (1 - refilled)) - fee. The system's value is the payer's plus the
    provider's, the fee paid once.

    Raises
    ------
    ParameterError : an unknown perspective, or no variable cost where it is needed. DataError : lengths differ, or
        a share outside 0..1.
    """
    if perspective not in PERSPECTIVES:
        raise ParameterError(unknown("perspective", perspective, PERSPECTIVES))
    by = np.atleast_1d(np.asarray(saving, float))
    if variable_cost is None and perspective != "payer":
        raise ParameterError(
            f"The perspective {perspective!r} needs variable_cost, the share of revenue that is spared."
        )
    own = _shares("inside", inside, len(by))
    variable = _shares("variable_cost", 1.0 if variable_cost is None else variable_cost, len(by))
    lost = own * (1 - variable) * (1 - _shares("refilled", refilled, len(by)))
    weight = {"payer": np.ones(len(by)), "provider margin": -lost, "at-risk system": 1 - lost}[perspective]
    cov = None if covariance is None else _covariance(covariance, len(by))
    found = _weighted(by, weight, cov, level)
    return Amount(found.estimate - fee, found.std_error, found.conf_low - fee, found.conf_high - fee)


def percentiles(draws: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile limits of bootstrap replicates; NaN where one is missing.

    Raises
    ------
    ParameterError : level is not between 0 and 1.
    """
    z_value(level)  # refuses 95 for 95 %
    values = np.asarray(draws, float)
    half = (1 - level) / 2
    low, high = np.quantile(values, [half, 1 - half])
    return float(low), float(high)


def _spread(
    estimate: float, std_error: float | None, draws: ArrayLike | None, level: float
) -> tuple[float, float, float]:
    """Limits and standard error of an estimate, normal or from its replicates."""
    z = z_value(level)
    if (std_error is None) == (draws is None):
        raise DataError("Give the standard error or the bootstrap replicates, one of the two.")
    if draws is not None:
        values = np.asarray(draws, float)
        if values.ndim != 1 or len(values) < 2:
            raise DataError(f"The replicates have shape {values.shape}; give at least 2 in one row.")
        return *percentiles(values, level), float(values.std(ddof=1))
    assert std_error is not None
    if std_error < 0:
        raise DataError(f"std_error is {std_error!r}; a standard error is 0 or more.")
    return estimate - z * std_error, estimate + z * std_error, std_error


def _error_of_combination(
    std_error: float | None, other: float, covariance: float, by_one: float, by_other: float
) -> float | None:
    """Delta method: the error of a function of two estimates from its two slopes."""
    if std_error is None:
        return None
    rounding = 1e-12 * (std_error**2 + other**2)  # a fee that is nearly constant may covary by a last digit
    if min(std_error, other) < 0 or abs(covariance) > std_error * other * (1 + 1e-9) + rounding:
        raise DataError(f"std_error {std_error!r}, fee_std_error {other!r} and covariance {covariance!r} contradict.")
    variance = (by_one * std_error) ** 2 + (by_other * other) ** 2 + 2 * by_one * by_other * covariance
    return math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else NAN


def _paired(draws: ArrayLike, fee_draws: ArrayLike | None, fee: float) -> tuple[Floats, Floats]:
    gained = np.asarray(draws, float)
    paid = np.full(gained.shape, float(fee)) if fee_draws is None else np.asarray(fee_draws, float)
    if gained.shape != paid.shape:
        raise DataError(f"draws has shape {gained.shape}, fee_draws {paid.shape}; replicates are paired.")
    return gained, paid


def _by_year(name: str, given: ArrayLike, years: int) -> Floats:
    values = np.asarray(given, float)
    if values.ndim > 1 or (values.ndim == 1 and len(values) not in (1, years)):
        raise DataError(f"{name} has shape {values.shape}; give one number, or one for each of {years} years.")
    return np.broadcast_to(values, (years,)).astype(float)


def _shares(name: str, given: ArrayLike, categories: int) -> Floats:
    values = np.asarray(given, float)
    if values.ndim > 1 or (values.ndim == 1 and len(values) not in (1, categories)):
        raise DataError(
            f"{name} has shape {values.shape}; give one number, or one for each of {categories} categories."
        )
    if not np.all((values >= 0) & (values <= 1)):
        raise DataError(f"{name} is {values.tolist()}; shares lie between 0 and 1.")
    return np.broadcast_to(values, (categories,)).astype(float)


def _covariance(given: ArrayLike, size: int) -> NDArray[np.float64]:
    cov = np.asarray(given, float)
    if cov.shape != (size, size):
        raise DataError(f"covariance has shape {cov.shape}; give ({size}, {size}), a row a category.")
    return cov


def _weighted(values: Floats, weights: Floats, covariance: Floats | None, level: float) -> Amount:
    """A weighted sum of estimates with its normal interval."""
    estimate = float(values @ weights)
    if covariance is None:
        return Amount(estimate, NAN, NAN, NAN, "no covariance given: no interval")
    error = math.sqrt(max(float(weights @ covariance @ weights), 0.0))
    low, high, _ = _spread(estimate, error, None, level)
    return Amount(estimate, error, low, high)
