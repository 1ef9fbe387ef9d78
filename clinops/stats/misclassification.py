"""What would the risks be if the outcome is recorded with error? Rogan-Gladen, and probabilistic bias analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import two_sided, z_value

Floats = NDArray[np.float64]
_ROUNDING = 1e-12  # by which a corrected risk of just 0 or 1 may miss it
IMPOSSIBLE = "the corrected risk lies outside 0 to 1: these data cannot come from such a record"


@dataclass(frozen=True)
class CorrectedRisks:
    """Risks, difference and ratio with recording error taken away.

    Attributes
    ----------
    risk_exposed, risk_comparator : as they come out, outside 0 to 1 too.
    difference, difference_low, difference_high, ratio, ratio_low, ratio_high, p_value : NaN where impossible. P is of
        the difference.
    possible : whether both risks lie from 0 to 1. note : why not.
    """

    risk_exposed: float
    risk_comparator: float
    difference: float
    difference_low: float
    difference_high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p_value: float
    possible: bool
    note: str


@dataclass(frozen=True)
class Range:
    """What a sensitivity or specificity may be: trapezoidal, flat between the modes and falling to the ends.

    low, high : ends. mode_low, mode_high : of the flat part; the whole range (uniform) where not given. low = high is
    a constant.
    """

    low: float
    high: float
    mode_low: float | None = None
    mode_high: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.modes[0] <= self.modes[1] <= self.high <= 1:
            raise ParameterError(
                f"The range {self.low!r} to {self.high!r} (modes {self.modes[0]!r} to {self.modes[1]!r}) must rise "
                "within 0 to 1."
            )

    @property
    def modes(self) -> tuple[float, float]:
        """The flat part."""
        low = self.low if self.mode_low is None else self.mode_low
        return low, (self.high if self.mode_high is None else self.mode_high)

    def quantile(self, u: ArrayLike) -> Floats:
        """Values at shares `u` of the distribution."""
        p = np.asarray(u, dtype=float)
        c, d = self.modes
        a, b = self.low, self.high
        if a == b:
            return np.full(p.shape, a)
        height = 2 / (b + d - a - c)
        first, last = height * (c - a) / 2, 1 - height * (b - d) / 2
        rising = a + np.sqrt(np.maximum(p * (c - a) * 2 / height, 0))
        falling = b - np.sqrt(np.maximum((1 - p) * (b - d) * 2 / height, 0))
        flat = c + (p - first) / height
        return np.where(p < first, rising, np.where(p > last, falling, flat))


@dataclass(frozen=True)
class BiasAnalysis:
    """Effects over draws of sensitivities and specificities, impossible draws counted and not dropped in silence.

    Attributes
    ----------
    difference, ratio : (3,) median, low and high percentile over the possible draws, recording error only.
    difference_total, ratio_total : (3,) the same with chance added.
    share_impossible : of all draws, 0 to 1. draws : how many. note : "" or what a reader must know.
    """

    difference: Floats
    ratio: Floats
    difference_total: Floats
    ratio_total: Floats
    share_impossible: float
    draws: int
    note: str


def corrected_risks(
    risk_exposed: float,
    risk_comparator: float,
    *,
    sensitivity: tuple[float, float],
    specificity: tuple[float, float],
    covariance: ArrayLike | None = None,
    level: float = 0.95,
) -> CorrectedRisks:
    """Correct two risks for how often the outcome is missed and how often it is recorded by mistake.

    Parameters
    ----------
    risk_exposed, risk_comparator : as recorded, 0 to 1 (weighted risks too).
    sensitivity, specificity : of the record in the exposed and in the comparator, known.
    covariance : (2, 2) of the two risks; none: no intervals.

    Raises
    ------
    DataError : a risk outside 0 to 1. ParameterError : a sensitivity or specificity outside 0 to 1, or the two add up
        to 1 or less in an arm (the record says nothing of the outcome), level.

    Notes
    -----
    true risk = (risk - (1 - sp)) / (se + sp - 1), its error divided by se + sp - 1. Source: Rogan and Gladen 1978;
    Lash, Fox and Fink 2009, ch. 6. Checked against episensr's published example.
    """
    recorded = np.array([risk_exposed, risk_comparator], dtype=float)
    if ((recorded < 0) | (recorded > 1)).any():
        raise DataError(f"risks {risk_exposed!r} and {risk_comparator!r}: give shares from 0 to 1.")
    se, sp = np.array(sensitivity, dtype=float), np.array(specificity, dtype=float)
    if not ((se >= 0) & (se <= 1) & (sp >= 0) & (sp <= 1)).all():
        raise ParameterError(f"sensitivity {sensitivity!r}, specificity {specificity!r}: give shares from 0 to 1.")
    if not (se + sp > 1).all():
        raise ParameterError(
            f"sensitivity {sensitivity!r} and specificity {specificity!r} add up to 1 or less in an arm: such a "
            "record says nothing of the outcome."
        )
    informed = se + sp - 1
    true = _held((recorded - (1 - sp)) / informed)
    if not ((true >= 0) & (true <= 1)).all():
        lost = (math.nan,) * 3
        return CorrectedRisks(float(true[0]), float(true[1]), *lost, *lost, math.nan, False, IMPOSSIBLE)
    spread = np.full((2, 2), math.nan)
    if covariance is not None:
        spread = np.asarray(covariance, dtype=float) / np.outer(informed, informed)
    return _contrasts(true, spread, z_value(level))


def bias_analysis(
    risk_exposed: float,
    risk_comparator: float,
    *,
    sensitivity: Range | tuple[Range, Range],
    specificity: Range | tuple[Range, Range],
    covariance: ArrayLike,
    seed: int,
    draws: int = 10_000,
    correlation: float = 0.8,
    level: float = 0.95,
) -> BiasAnalysis:
    """How far could an effect lie from what was recorded, over what is believed of the record?

    Parameters
    ----------
    risk_exposed, risk_comparator, covariance : as in `corrected_risks`.
    sensitivity, specificity : one range for both arms alike (one draw serves both), or one for each arm.
    seed, draws : of the draws. correlation : between the arms' draws where each has a range (normal copula).

    Raises
    ------
    DataError, ParameterError : as `corrected_risks`; no draws, a correlation outside -1 to 1, or ranges of which no
        draw says anything of the outcome.

    Notes
    -----
    Chance: a bivariate normal error of the recorded risks with `covariance`, drawn anew each time and corrected by
    that draw's sensitivity and specificity. Impossible draws (a risk outside 0 to 1, or se + sp <= 1) are left out of
    the percentiles and their share is the result's `share_impossible`: where it is large the ranges contradict the
    data. Source: Lash, Fox and Fink 2009, ch. 8; Fox, Lash and Greenland 2005.
    """
    if draws < 1 or not -1 <= correlation <= 1:
        raise ParameterError(f"draws {draws!r} and correlation {correlation!r}: at least 1, and from -1 to 1.")
    rng = np.random.default_rng(seed)
    se, sp = (_drawn(r, draws, correlation, rng) for r in (sensitivity, specificity))
    informed = se + sp - 1
    if not (informed > 0).any():
        raise ParameterError("no draw has a sensitivity and specificity that add up to more than 1.")
    recorded = np.array([risk_exposed, risk_comparator], dtype=float)
    if ((recorded < 0) | (recorded > 1)).any():
        raise DataError(f"risks {risk_exposed!r} and {risk_comparator!r}: give shares from 0 to 1.")
    chance = rng.standard_normal((draws, 2)) @ _root(np.asarray(covariance, dtype=float)).T
    with np.errstate(divide="ignore", invalid="ignore"):
        true = _held((recorded - (1 - sp)) / informed)
        noisy = (recorded + chance - (1 - sp)) / informed
    possible = ((true >= 0) & (true <= 1) & (informed > 0)).all(axis=1)
    share = float(1 - possible.mean())
    note = f"{100 * share:.1f}% of the draws cannot be: a corrected risk lies outside 0 to 1" if share else ""
    difference, ratio = _summaries(true[possible], level)
    with_chance = _summaries(noisy[possible], level)
    return BiasAnalysis(difference, ratio, *with_chance, share, draws, note)


def _held(risks: Floats) -> Floats:
    """Risks with what is rounding around 0 and 1 taken off."""
    whole = np.round(risks)
    return np.where((np.abs(risks - whole) <= _ROUNDING) & np.isin(whole, (0.0, 1.0)), whole, risks)


def _contrasts(true: Floats, spread: Floats, z: float) -> CorrectedRisks:
    one, zero = float(true[0]), float(true[1])
    difference, error = one - zero, math.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    p = two_sided(difference / error) if error > 0 else math.nan
    if one > 0 and zero > 0:
        variance = spread[0, 0] / one**2 + spread[1, 1] / zero**2 - 2 * spread[0, 1] / (one * zero)
        reach = z * math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan
        ratios = (one / zero, one / zero * math.exp(-reach), one / zero * math.exp(reach))
    else:
        ratios = (one / zero if zero > 0 else math.nan, math.nan, math.nan)
    note = "" if one > 0 and zero > 0 else "no true events in an arm: the ratio has no interval"
    return CorrectedRisks(
        one, zero, difference, difference - z * error, difference + z * error, *ratios, p, True, note
    )  # fmt: skip


def _drawn(given: Range | tuple[Range, Range], draws: int, correlation: float, rng: np.random.Generator) -> Floats:
    """(draws, 2) values for both arms."""
    from scipy.special import ndtr

    if isinstance(given, Range):
        return np.repeat(given.quantile(rng.random(draws))[:, None], 2, axis=1)
    first, second = rng.standard_normal((2, draws))
    other = correlation * first + math.sqrt(1 - correlation**2) * second
    return np.column_stack([given[0].quantile(ndtr(first)), given[1].quantile(ndtr(other))])


def _root(covariance: Floats) -> Floats:
    """A square root of a covariance that may be singular (a risk of 0 has no error)."""
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-9 * max(float(values[-1]), 1e-300):
        raise DataError("the covariance of the two risks is not one: it has a negative eigenvalue.")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)), dtype=float)


def _summaries(risks: Floats, level: float) -> tuple[Floats, Floats]:
    """Median and percentiles of the difference and of the ratio; NaN without a draw."""
    tail = (1 - level) / 2
    at = [0.5, tail, 1 - tail]
    if not len(risks):
        return np.full(3, math.nan), np.full(3, math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = risks[:, 0] / risks[:, 1]
    kept = ratio[np.isfinite(ratio) & (risks > 0).all(axis=1)]
    difference = np.quantile(risks[:, 0] - risks[:, 1], at)
    return difference, np.quantile(kept, at) if len(kept) else np.full(3, math.nan)
