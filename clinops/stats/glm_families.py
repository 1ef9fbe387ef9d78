"""The families of generalised linear models: mean, slope, variance, deviance and what outcomes they allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError, unknown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAMILIES = (
    "gaussian",
    "binomial",
    "probit",
    "poisson",
    "quasipoisson",
    "gamma",
    "tweedie",
    "negative binomial",
)


@dataclass(frozen=True)
class Family:
    """The functions that iteratively reweighted least squares needs; each family has the one link named here.

    mean(eta), slope(eta, mu) = d mean / d eta, variance(mu), unit_deviance(y, mu), initial_mean(y), link(mu),
    allowed(y) -> (n,) bool. fixed_dispersion : the dispersion is 1 by definition.
    """

    name: str
    mean: Callable[[Floats], Floats]
    slope: Callable[[Floats, Floats], Floats]
    variance: Callable[[Floats], Floats]
    unit_deviance: Callable[[Floats, Floats], Floats]
    initial_mean: Callable[[Floats], Floats]
    link: Callable[[Floats], Floats]
    fixed_dispersion: bool
    allowed: Callable[[Floats], NDArray[np.bool_]]
    allowed_text: str


def family_named(name: str, *, power: float = 1.5, theta: float | None = None) -> Family:
    """Return a family by its name.

    Parameters
    ----------
    name : one of FAMILIES. Links: identity (gaussian), logit (binomial), normal quantile (probit), log (the others).
    power : of the mean in the variance of "tweedie", from 1 (Poisson) to 2 (gamma), both excluded.
    theta : shape of "negative binomial": variance mu + mu^2 / theta; more than 0.

    Raises
    ------
    DefinitionError : an unknown name (with the nearest), a power or theta that is not possible.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name == "tweedie":
        if not 1 < power < 2:
            raise DefinitionError(
                f"power is {power!r}; a Tweedie variance needs one between 1 and 2 (1 is 'poisson', 2 is 'gamma')."
            )
        return _tweedie(power)
    if name == "negative binomial":
        if theta is None or not theta > 0:
            raise DefinitionError(
                f"theta is {theta!r}; a negative binomial needs one above 0. counts.negative_binomial estimates it."
            )
        return _negative_binomial(theta)
    raise DefinitionError(unknown("family", name, FAMILIES))


def expit(eta: ArrayLike) -> Floats:
    """Inverse logit, without overflow at either end."""
    x = np.asarray(eta, dtype=float)
    small = np.exp(-np.abs(x))
    value: Floats = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return value


def _xlog_ratio(y: Floats, mu: Floats) -> Floats:
    """y * log(y / mu), 0 where y is 0."""
    safe = np.where(y > 0, y, 1.0)
    return np.where(y > 0, y * (np.log(safe) - np.log(np.maximum(mu, 1e-300))), 0.0)


def _exp(eta: Floats) -> Floats:
    return np.exp(np.clip(eta, -700.0, 700.0))


def _normal_cdf(eta: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(eta), dtype=float)


def _normal_quantile(mu: Floats) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(mu), dtype=float)


def _normal_density(eta: Floats) -> Floats:
    return np.exp(-0.5 * np.clip(eta, -38.0, 38.0) ** 2) / np.sqrt(2 * np.pi)


def _bernoulli_deviance(y: Floats, mu: Floats) -> Floats:
    return 2 * (_xlog_ratio(y, mu) + _xlog_ratio(1 - y, 1 - mu))


def _not_negative(y: Floats) -> NDArray[np.bool_]:
    return (y >= 0) & np.isfinite(y)


def _poisson(name: str, fixed_dispersion: bool) -> Family:
    return Family(
        name,
        mean=_exp,
        slope=lambda eta, mu: mu,
        variance=lambda mu: mu,
        unit_deviance=lambda y, mu: 2 * (_xlog_ratio(y, mu) - (y - mu)),
        initial_mean=lambda y: y + 0.1,
        link=np.log,
        fixed_dispersion=fixed_dispersion,
        allowed=_not_negative,
        allowed_text="zero or more",
    )


def _tweedie(p: float) -> Family:
    def deviance(y: Floats, mu: Floats) -> Floats:
        own = y ** (2 - p) / ((1 - p) * (2 - p))
        safe = np.maximum(mu, 1e-300)
        return 2 * (own - y * safe ** (1 - p) / (1 - p) + safe ** (2 - p) / (2 - p))

    return Family(
        "tweedie",
        mean=_exp,
        slope=lambda eta, mu: mu,
        variance=lambda mu: mu**p,
        unit_deviance=deviance,
        # a start between each outcome and the common mean, so that a zero has a logarithm
        initial_mean=lambda y: 0.5 * y + 0.5 * y.mean() + 1e-12,
        link=np.log,
        fixed_dispersion=False,
        allowed=_not_negative,
        allowed_text="zero or more",
    )


def _negative_binomial(theta: float) -> Family:
    def deviance(y: Floats, mu: Floats) -> Floats:
        return 2 * (_xlog_ratio(y, mu) - (y + theta) * (np.log(y + theta) - np.log(mu + theta)))

    return Family(
        "negative binomial",
        mean=_exp,
        slope=lambda eta, mu: mu,
        variance=lambda mu: mu + mu**2 / theta,
        unit_deviance=deviance,
        initial_mean=lambda y: y + (y == 0) / 6,
        link=np.log,
        fixed_dispersion=True,
        allowed=_not_negative,
        allowed_text="zero or more",
    )


_FIXED = {
    family.name: family
    for family in (
        Family(
            "gaussian",
            mean=lambda eta: eta,
            slope=lambda eta, mu: np.ones_like(mu),
            variance=np.ones_like,
            unit_deviance=lambda y, mu: (y - mu) ** 2,
            initial_mean=lambda y: y,
            link=lambda mu: mu,
            fixed_dispersion=False,
            allowed=lambda y: np.isfinite(y),
            allowed_text="any finite number",
        ),
        Family(
            "binomial",
            mean=expit,
            slope=lambda eta, mu: mu * (1 - mu),
            variance=lambda mu: mu * (1 - mu),
            unit_deviance=_bernoulli_deviance,
            initial_mean=lambda y: (y + 0.5) / 2,
            link=lambda mu: np.log(mu) - np.log1p(-mu),
            fixed_dispersion=True,
            allowed=lambda y: (y >= 0) & (y <= 1),
            allowed_text="0 to 1",
        ),
        Family(
            "probit",
            mean=_normal_cdf,
            slope=lambda eta, mu: _normal_density(eta),
            variance=lambda mu: mu * (1 - mu),
            unit_deviance=_bernoulli_deviance,
            initial_mean=lambda y: (y + 0.5) / 2,
            link=_normal_quantile,
            fixed_dispersion=True,
            allowed=lambda y: (y >= 0) & (y <= 1),
            allowed_text="0 to 1",
        ),
        _poisson("poisson", True),
        _poisson("quasipoisson", False),
        Family(
            "gamma",
            mean=_exp,
            slope=lambda eta, mu: mu,
            variance=lambda mu: mu**2,
            unit_deviance=lambda y, mu: 2 * ((y - mu) / mu - np.log(y / mu)),
            initial_mean=lambda y: y,
            link=np.log,
            fixed_dispersion=False,
            allowed=lambda y: (y > 0) & np.isfinite(y),
            allowed_text="more than zero",
        ),
    )
}
