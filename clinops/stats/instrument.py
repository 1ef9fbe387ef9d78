"""Complier effects: two-stage least squares with one instrument, how strong it is, and what holds if it is weak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints
from clinops.stats.linear import (
    checked_weights,
    cross_product,
    demean,
    estimable,
    inference,
    small_sample,
    stratum_codes,
)

BOUNDED, OUTSIDE, LINE, NONE = "interval", "outside", "whole line", "none"


@dataclass(frozen=True)
class InstrumentFit:
    """The effect of taking part in those who take part because of the offer.

    Attributes
    ----------
    estimate, std_error, conf_low, conf_high, p_value : of the effect of the exposure.
    first_stage, first_stage_error : by how much the instrument raises the exposure.
    first_stage_f : robust F of the instrument; with one instrument it is also the effective F.
    reduced_form : effect of the instrument on the outcome (intention to treat).
    ar_low, ar_high : ends of the Anderson-Rubin set, right however weak the instrument. ar_kind : "interval" (between
        the ends), "outside" (all but what lies between them), "whole line", or "none" (no effect fits, or no test).
    influence : (n,), what each row adds to the error of the estimate. factor : of the small sample.
    n, n_parameters, df, conf_level, se_kind : as in LinearFit. note : "" or what a reader must know.
    """

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    first_stage: float
    first_stage_error: float
    first_stage_f: float
    reduced_form: float
    ar_low: float
    ar_high: float
    ar_kind: str
    influence: Floats
    factor: float
    n: int
    n_parameters: int
    df: float
    conf_level: float
    se_kind: str
    note: str


def two_stage_least_squares(
    y: ArrayLike,
    exposure: ArrayLike,
    instrument: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str = "HC1",
    interval: str = "t",
    conf_level: float = 0.95,
) -> InstrumentFit:
    """Estimate the effect of an exposure that people choose, from an offer that they did not.

    Parameters
    ----------
    y : (n,) outcome. exposure : (n,) taken up, 0/1 or an amount. instrument : (n,) the offer, 0/1.
    covariates : (n, k) without an intercept. weights, strata, cluster, interval : as in `linear`.
    se : "HC1", or "HC0" as Stata's `ivregress 2sls, robust` without `small`; the first stage and the Anderson-Rubin
        set keep HC1. CR1 with clusters whatever `se` says.

    Returns
    -------
    InstrumentFit; NaN and a note where the instrument does not move the exposure at all.

    Raises
    ------
    DataError : shapes, missing values in rows with weight, negative weights.

    Notes
    -----
    With z, d and y free of strata and covariates: b = sum w z y / sum w z d; error from sum (w z e)^2, HC1 or CR1.
    Source: Imbens and Angrist 1994 (who compliers are), Angrist and Pischke 2009; Anderson and Rubin 1949; Montiel
    Olea and Pflueger 2013 (effective F). Equal to the Wald ratio without weights and covariates.
    """
    outcome, taken, offer = (np.asarray(a, dtype=float) for a in (y, exposure, instrument))
    X = np.zeros((len(outcome), 0)) if covariates is None else np.asarray(covariates, dtype=float)
    for name, given in (("exposure", taken), ("instrument", offer), ("covariates", X)):
        if len(given) != len(outcome):
            raise DataError(f"{name} has {len(given)} rows and y {len(outcome)}; they must be equal.")
    w = checked_weights(weights, len(outcome), np.column_stack([outcome, taken, offer]), X)
    code, groups = stratum_codes(strata, w)
    (yy, dd, zz), rank = partial_out((outcome, taken, offer), X, w, code)
    n, parameters = int((w > 0).sum()), groups + rank + 1
    if se not in ("HC1", "HC0"):
        raise DefinitionError(unknown("kind of standard error of two-stage least squares", se, ("HC0", "HC1")))
    factor, _, df, _ = small_sample(n, parameters, cluster, w)
    own_factor, _, _, kind = small_sample(n, parameters, cluster, w, se)
    szz, szd, szy = (float(w @ (zz * a)) for a in (zz, dd, yy))
    if not szz > 1e-12 * max(float(w @ offer**2), 1e-300):
        return _none(n, parameters, df, conf_level, kind, "The offer does not vary within strata.")
    reduced, first = szy / szz, szd / szz
    pulls = np.column_stack([w * zz * (yy - reduced * zz), w * zz * (dd - first * zz)]) / szz
    cov = factor * cross_product(pulls, cluster, w)
    if not abs(szd) > 1e-10 * np.sqrt(szz * max(float(w @ dd**2), 1e-300)):
        return _none(
            n, parameters, df, conf_level, kind, "The offer does not change the take-up.", (reduced, first), cov
        )
    effect = szy / szd
    own = (w * zz * (yy - effect * dd) / szd)[:, None]
    variance = own_factor * cross_product(own, cluster, w)[0]
    error, low, high, p, used = inference(np.array([effect]), variance, df, interval, conf_level)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = float(np.divide(first**2, cov[1, 1]))
    ar = anderson_rubin(reduced, first, cov, used, conf_level)
    weak = f"A weak instrument (first-stage F {strength:.1f}): read the Anderson-Rubin set."
    return InstrumentFit(
        effect, float(error[0]), float(low[0]), float(high[0]), float(p[0]), first, float(np.sqrt(cov[1, 1])), strength,
        reduced, *ar, own[:, 0], own_factor,
        n, parameters, used, conf_level, kind, weak if strength < 10 else "",
    )  # fmt: skip


def anderson_rubin(
    reduced: float, first: float, cov: Floats, df: float, conf_level: float = 0.95
) -> tuple[float, float, str]:
    """Return the effects b that are not rejected by a test of reduced - b first = 0, as (low, high, kind).

    cov : (2, 2) of the two estimates. The set is an interval when the first stage is significant, else everything
    outside two ends, or the whole line.
    """
    from scipy.stats import t

    if not np.isfinite(cov).all() or not df > 0:
        return np.nan, np.nan, NONE
    size = float(t.isf((1 - conf_level) / 2, df)) ** 2
    a = first**2 - size * cov[1, 1]
    b = -2 * (reduced * first - size * cov[0, 1])
    c = reduced**2 - size * cov[0, 0]
    root = b**2 - 4 * a * c
    if a == 0 and b == 0 and c > 0:
        return np.nan, np.nan, NONE  # take-up that never varies explains no effect of the offer
    if a == 0 or root < 0:  # a = 0 leaves a half-line, which a report cannot tell from the whole one
        return -np.inf, np.inf, LINE
    low, high = sorted((-b + sign * np.sqrt(root)) / (2 * a) for sign in (-1, 1))
    return float(low), float(high), BOUNDED if a > 0 else OUTSIDE


def partial_out(columns: tuple[Floats, ...], X: Floats, w: Floats, code: Ints) -> tuple[tuple[Floats, ...], int]:
    """Take strata and covariates out of each column by weighted least squares; return them and the rank of X."""
    within = demean(np.column_stack([*columns, X]), w, code)
    targets, design = within[:, : len(columns)], within[:, len(columns) :]
    keep = estimable(X, design, w)
    narrow = design[:, keep]
    if keep.size:
        gram = (narrow * w[:, None]).T
        targets = targets - narrow @ np.linalg.solve(gram @ narrow, gram @ targets)
    return tuple(targets.T), int(keep.size)


def _none(
    n: int, parameters: int, df: float, level: float, kind: str, note: str,
    forms: tuple[float, float] = (np.nan, np.nan), cov: Floats | None = None,
) -> InstrumentFit:  # fmt: skip
    """What is left to say when the offer moves nothing: no estimate, but a set where the offer varies."""
    reduced, first = forms
    ar = (np.nan, np.nan, NONE) if cov is None else anderson_rubin(reduced, first, cov, df, level)
    return InstrumentFit(
        *(np.nan,) * 5, first, np.nan, np.nan, reduced, *ar, np.zeros(0), np.nan, n, parameters, df, level, kind, note
    )
