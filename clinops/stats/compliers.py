"""Who would take part only if offered: how many compliers there are, and what both courses would bring them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.instrument import InstrumentFit, two_stage_least_squares
from clinops.stats.linear import linear
from clinops.stats.rates import proportion

Share = tuple[float, float, float]


@dataclass(frozen=True)
class ComplianceTypes:
    """Shares of the three kinds of people under monotonicity, each with low and high.

    Attributes
    ----------
    compliers : take part if offered and not otherwise. always : take part in either case. never : in neither.
    n_offered, taken_offered, n_not, taken_not : persons, and those who took part, in both arms (unweighted).
    defiers : True where more take part without the offer than with it, which monotonicity forbids.
    note : "" or what a reader must know.
    """

    compliers: Share
    always: Share
    never: Share
    n_offered: int
    taken_offered: int
    n_not: int
    taken_not: int
    defiers: bool
    note: str


@dataclass(frozen=True)
class ComplierEffect:
    """The effect in compliers, with what they would have had in either case.

    `fit` is the two-stage least squares of the outcome; `treated` and `untreated` are compliers' means taking part
    and not; their difference is the effect.
    """

    fit: InstrumentFit
    treated: float
    untreated: float


def compliance_types(
    offer: ArrayLike, taken: ArrayLike, *, cluster: ArrayLike | None = None, conf_level: float = 0.95
) -> ComplianceTypes:
    """How many take part because of the offer, how many anyway, how many never?

    Parameters
    ----------
    offer, taken : (n,) 0/1. cluster : (n,) ids for the interval of the compliers' share.

    Raises
    ------
    DataError : values other than 0 and 1, an arm without anybody.

    Notes
    -----
    Compliers: P(taken | offered) - P(taken | not), HC1 or CR1 interval; always: the latter, never: 1 less the
    former, Wilson intervals. Source: Imbens and Angrist 1994; Angrist, Imbens and Rubin 1996. By hand.
    """
    z, d = (np.asarray(a, dtype=float) for a in (offer, taken))
    if z.shape != d.shape or not (np.isin(z, (0, 1)).all() and np.isin(d, (0, 1)).all()):
        raise DataError("offer and taken must be 0 or 1, one a row each.")
    one, zero = z == 1, z == 0
    if not one.any() or not zero.any():
        raise DataError("Nobody is in one of the arms of the offer, so no share can be compared.")
    n1, n0, t1, t0 = int(one.sum()), int(zero.sum()), int(d[one].sum()), int(d[zero].sum())
    fit = linear(z[:, None], d, cluster=cluster, conf_level=conf_level)
    gap = t1 / n1 - t0 / n0
    always, never = proportion(t0, n0, level=conf_level), proportion(n1 - t1, n1, level=conf_level)
    defiers = gap < 0
    note = "fewer take part with the offer than without it, so there are people who do the opposite" if defiers else ""
    if t1 in (0, n1) and t0 in (0, n0):
        note = f"{note}; " * bool(note) + "take-up varies in neither arm, so the compliers' interval has no width"
    low, high = (float(np.clip(end[0], -1, 1)) for end in (fit.conf_low, fit.conf_high))
    return ComplianceTypes(
        (gap, low, high), (t0 / n0, always.conf_low, always.conf_high),
        (1 - t1 / n1, never.conf_low, never.conf_high), n1, t1, n0, t0, defiers, note,
    )  # fmt: skip


def complier_effect(y: ArrayLike, taken: ArrayLike, offer: ArrayLike, **options: object) -> ComplierEffect:
    """What does taking part change in those who do so because of the offer, and from what to what?

    Parameters
    ----------
    y, taken, offer : (n,), as in `two_stage_least_squares`, whose options (covariates, weights, strata, cluster, se,
        interval, conf_level) are taken.

    Returns
    -------
    ComplierEffect; NaN and a note where the offer does not change the take-up.

    Notes
    -----
    The compliers' mean taking part is the coefficient of y d on d, not taking part that of y (1 - d) on 1 - d, both
    by the same instrument and covariates. Source: Imbens and Rubin 1997; Abadie 2002. Their difference is the
    estimate, checked to 1e-9; the levels against simulated truth.
    """
    outcome, d = np.asarray(y, dtype=float), np.asarray(taken, dtype=float)
    fit = two_stage_least_squares(outcome, d, offer, **options)  # type: ignore[arg-type]
    if np.isnan(fit.estimate):
        return ComplierEffect(fit, np.nan, np.nan)
    one = two_stage_least_squares(outcome * d, d, offer, **options)  # type: ignore[arg-type]
    zero = two_stage_least_squares(outcome * (1 - d), 1 - d, offer, **options)  # type: ignore[arg-type]
    return ComplierEffect(fit, one.estimate, zero.estimate)
