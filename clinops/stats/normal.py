"""Tails and quantiles of the normal and chi-squared distributions, as every interval and test needs them."""

from __future__ import annotations

import math
from statistics import NormalDist

from clinops.errors import ParameterError


def z_value(level: float) -> float:
    """Standard errors on either side of an estimate that hold a share `level` of a normal distribution.

    Raises
    ------
    ParameterError : level is not between 0 and 1 (such as 95 for 95 %).
    """
    if not 0 < level < 1:
        raise ParameterError(f"level is {level!r}; it must lie between 0 and 1, such as 0.95.")
    return NormalDist().inv_cdf((1 + level) / 2)


def two_sided(z: float) -> float:
    """P value of a standard normal statistic, NaN for NaN."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi2_tail(statistic: float, df: int) -> float:
    """P value of a chi-squared statistic; NaN without degrees of freedom or a finite statistic."""
    from scipy.special import chdtrc

    return float(chdtrc(df, statistic)) if df and math.isfinite(statistic) else math.nan
