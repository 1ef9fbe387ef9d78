"""How much would a group picked for a high value have fallen with no programme? Regression to the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import two_sided, z_value

Floats = NDArray[np.float64]
STRATA = 10


@dataclass(frozen=True)
class ExpectedChange:
    """The change that is expected in a selected group without any effect.

    Attributes
    ----------
    before, after : mean before, and mean expected after.
    change, std_error : after - before; the error is of the estimate of `after` (NaN where it is taken as known).
    covered : share of the selected group that the estimate speaks of, 0 to 1.
    note : "" or what a reader must know.
    within : (n,) who of the selected, in their order, the estimate speaks of; None where it speaks of all.
    """

    before: float
    after: float
    change: float
    std_error: float
    covered: float
    note: str
    within: NDArray[np.bool_] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class BeforeAfter:
    """A group's change, what was expected without any effect, and what is left; each with its error.

    `left` is observed minus expected, of the n persons of whom the expectation speaks. It is no effect: it holds every
    difference between the group and those from whom the expectation comes.
    """

    n: int
    before: float
    after: float
    observed: float
    observed_error: float
    expected: float
    expected_error: float
    left: float
    left_error: float
    left_low: float
    left_high: float
    p_value: float


def truncated_change(
    mean: float, sd: float, correlation: float, cutoff: float, *, above: bool = True,
    mean_after: float | None = None, sd_after: float | None = None,
) -> ExpectedChange:  # fmt: skip
    """Expected change of everybody beyond a cutoff, of values that are bivariate normal.

    Parameters
    ----------
    mean, sd : of the whole population before. correlation : of its values before and after.
    cutoff : who lies above it (below, with above=False) was selected.
    mean_after, sd_after : of the whole population after; as before where not given.

    Raises
    ------
    DataError : a standard deviation that is not positive, a correlation outside -1 to 1.

    Notes
    -----
    With z = (cutoff - mean) / sd and C = phi(z) / (1 - Phi(z)): before mean + sd C, after mean_after + rho sd_after C;
    with equal moments the change is -sd (1 - rho) C. Source: Davis 1976 (Am J Epidemiol 104:493); Linden 2013 (BMC Med
    Res Methodol 13:119). Use and cost are skewed: for a high cutoff the formula then understates the fall, and
    overstates it for a low one; see `matched_change`.
    """
    if not sd > 0 or (sd_after is not None and not sd_after > 0):
        raise DataError(f"sd is {sd!r} and sd_after {sd_after!r}; standard deviations are above 0.")
    if not -1 <= correlation <= 1:
        raise DataError(f"correlation is {correlation!r}; it lies from -1 to 1.")
    sign = 1.0 if above else -1.0
    z = sign * (cutoff - mean) / sd
    hazard = sign * _mills(z)
    before = mean + sd * hazard
    later, spread = mean if mean_after is None else mean_after, sd if sd_after is None else sd_after
    after = later + correlation * spread * hazard
    return ExpectedChange(before, after, after - before, math.nan, 1.0, "bivariate normal")


def linear_change(selected_before: ArrayLike, before: ArrayLike, after: ArrayLike) -> ExpectedChange:
    """Expected change of a selected group by the regression line of an untreated population, however it was selected.

    Parameters
    ----------
    selected_before : (n,) values of the selected group before.
    before, after : (m,) values of an untreated population.

    Raises
    ------
    DataError : fewer than 3 untreated persons, none selected, values that are missing or do not vary.

    Notes
    -----
    after = mean_after + b (mean of selected - mean_before), b the slope; with equal moments the change is
    -(1 - rho)(distance from the mean), of which `truncated_change` is the case of a cutoff. Right where the regression
    is a line. Error: of the line at that point (HC1), the selected group's mean taken as known.
    """
    picked, x, y = _values(selected_before, before, after)
    if len(x) < 3 or not np.ptp(x) > 0:
        raise DataError("A regression line needs 3 untreated persons or more whose values before differ.")
    at, centred = float(picked.mean()), x - x.mean()
    total = float(centred @ centred)
    slope = float(centred @ y / total)
    distance = at - float(x.mean())
    expected = float(y.mean()) + slope * distance
    residual = y - y.mean() - slope * centred
    leverage = 1 / len(x) + centred * distance / total
    error = math.sqrt(float((leverage**2 * residual**2).sum()) * len(x) / (len(x) - 2))
    return ExpectedChange(at, expected, expected - at, error, 1.0, "straight line")


def matched_change(
    selected_before: ArrayLike, before: ArrayLike, after: ArrayLike, *, strata: int = STRATA
) -> ExpectedChange:
    """Expected change of a selected group from untreated persons with like values before: no formula, no shape.

    Parameters
    ----------
    selected_before : (n,) values of the selected group before.
    before, after : (m,) values of untreated persons.
    strata : into how many groups of equal size the selected are cut by their value before; equal values stay together.

    Raises
    ------
    DataError : none selected or no untreated person, missing values. ParameterError : fewer than one stratum.

    Notes
    -----
    Within each stratum the untreated persons' mean change is taken (their values before differ a little from the
    selected ones': the change, not the value after, is carried over), weighted by the selected. A stratum with fewer
    than two untreated persons is not covered; `covered` says how much is. Error: of the strata's means, the selected
    group taken as known. Checked against direct means in simulated skewed data, where the formula is too small.
    """
    picked, x, y = _values(selected_before, before, after)
    if strata < 1:
        raise ParameterError(f"strata is {strata!r}; give at least 1.")
    cuts = _cuts(picked, strata)
    mine, theirs = np.searchsorted(cuts, picked), np.searchsorted(cuts, x)
    inside = (x >= picked.min()) & (x <= picked.max())
    change = variance = weight = 0.0
    for stratum in np.unique(mine):
        moved = (y - x)[(theirs == stratum) & inside]
        share = float((mine == stratum).mean())
        if len(moved) >= 2:
            change, weight = change + share * float(moved.mean()), weight + share
            variance += share**2 * float(moved.var(ddof=1)) / len(moved)
    if weight == 0:
        raise DataError("No stratum holds two untreated persons with values like those of the selected group.")
    note = "" if weight > 1 - 1e-12 else f"{100 * (1 - weight):.0f}% of the selected have no untreated person like them"
    covered = np.isin(mine, [s for s in np.unique(mine) if ((theirs == s) & inside).sum() >= 2])
    start = float(picked[covered].mean())
    return ExpectedChange(
        start, start + change / weight, change / weight, math.sqrt(variance) / weight, weight, note,
        covered if note else None,
    )  # fmt: skip


def before_after(before: ArrayLike, after: ArrayLike, expected: ExpectedChange, *, level: float = 0.95) -> BeforeAfter:
    """Set a group's change beside the one that was expected without any effect.

    Parameters
    ----------
    before, after : (n,) of the same persons; `before` in the order in which `matched_change` was given them, since
        those whom it does not cover (the highest, who would fall most) are left out here too.
    expected : from `matched_change`, `linear_change` or `truncated_change`; an error of NaN counts as 0.

    Returns
    -------
    BeforeAfter; without errors where a single person is covered.

    Raises
    ------
    DataError : fewer than two persons, missing values, other persons than those of `expected`. ParameterError : level.
    """
    x, y = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("before and after need one finite value each of two persons or more.")
    if expected.within is not None:
        if len(x) != len(expected.within) or not math.isclose(x[expected.within].mean(), expected.before, rel_tol=1e-9):
            raise DataError("The expectation speaks of other persons than these; give the same, in the same order.")
        x, y = x[expected.within], y[expected.within]
    change = y - x
    observed, error = float(change.mean()), float(change.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.nan
    doubt = 0.0 if math.isnan(expected.std_error) else expected.std_error
    left, both = observed - expected.change, math.hypot(error, doubt)
    reach = z_value(level) * both
    return BeforeAfter(
        len(x), float(x.mean()), float(y.mean()), observed, error, expected.change, expected.std_error, left, both,
        left - reach, left + reach, two_sided(left / both) if both > 0 else math.nan,
    )  # fmt: skip


def _values(selected: ArrayLike, before: ArrayLike, after: ArrayLike) -> tuple[Floats, Floats, Floats]:
    picked, x, y = (np.asarray(a, dtype=float) for a in (selected, before, after))
    if picked.ndim != 1 or x.ndim != 1 or x.shape != y.shape or not len(picked) or not len(x):
        raise DataError(
            f"shapes {picked.shape}, {x.shape} and {y.shape}: give persons on both sides, before and after."
        )
    for values in (picked, x, y):
        if missing := int((~np.isfinite(values)).sum()):
            raise DataError(f"{missing} of {len(values)} values are missing or infinite; set those persons aside.")
    return picked, x, y


def _cuts(picked: Floats, strata: int) -> Floats:
    """Where strata end: between every two values where there are no more of them than strata, else at quantiles."""
    values = np.unique(picked)
    if len(values) <= strata:
        return np.asarray((values[1:] + values[:-1]) / 2, dtype=float)
    return np.unique(np.quantile(picked, np.arange(1, strata) / strata))


def _mills(z: float) -> float:
    """phi(z) / (1 - Phi(z)), also far in the tail."""
    from scipy.special import erfcx

    return float(math.sqrt(2 / math.pi) / erfcx(z / math.sqrt(2)))
