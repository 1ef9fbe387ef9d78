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
    influence : (u,) share in the estimate's error of every untreated person who has a part in it; its squares sum to
        the variance of independent persons. None where the estimate is taken as known.
    cluster : (u,) clusters of the same persons; None where everybody is one of their own.
    """

    before: float
    after: float
    change: float
    std_error: float
    covered: float
    note: str
    within: NDArray[np.bool_] | None = field(default=None, compare=False)
    influence: Floats | None = field(default=None, compare=False)
    cluster: NDArray | None = field(default=None, compare=False)


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


def linear_change(
    selected_before: ArrayLike, before: ArrayLike, after: ArrayLike, *, cluster: ArrayLike | None = None
) -> ExpectedChange:
    """Expected change of a selected group by the regression line of an untreated population, however it was selected.

    Parameters
    ----------
    selected_before : (n,) values of the selected group before.
    before, after : (m,) values of an untreated population.
    cluster : (m,) their clusters (persons with several entries, care sites); given, the error is CR1.

    Raises
    ------
    DataError : fewer than 3 untreated persons or clusters, none selected, values that are missing or do not vary.

    Notes
    -----
    after = mean_after + b (mean of selected - mean_before), b the slope; with equal moments the change is
    -(1 - rho)(distance from the mean), of which `truncated_change` is the case of a cutoff. Right where the regression
    is a line. Error: of the line at that point (HC1, CR1 with clusters), the selected group's mean taken as known.
    """
    picked, x, y = _values(selected_before, before, after)
    groups = _ids(cluster, len(x))
    if groups is not None and len(np.unique(groups)) < 3:
        raise DataError("A regression line needs untreated persons of 3 clusters or more.")
    if len(x) < 3 or not np.ptp(x) > 0:
        raise DataError("A regression line needs 3 untreated persons or more whose values before differ.")
    at, centred = float(picked.mean()), x - x.mean()
    total = float(centred @ centred)
    slope = float(centred @ y / total)
    distance = at - float(x.mean())
    expected = float(y.mean()) + slope * distance
    residual = y - y.mean() - slope * centred
    leverage = 1 / len(x) + centred * distance / total
    influence = leverage * residual * math.sqrt(len(x) / (len(x) - 2))
    error = _error(influence, groups)
    return ExpectedChange(at, expected, expected - at, error, 1.0, "straight line", influence=influence, cluster=groups)


def matched_change(
    selected_before: ArrayLike, before: ArrayLike, after: ArrayLike, *, strata: int = STRATA,
    cluster: ArrayLike | None = None,
) -> ExpectedChange:  # fmt: skip
    """Expected change of a selected group from untreated persons with like values before: no formula, no shape.

    Parameters
    ----------
    selected_before : (n,) values of the selected group before.
    before, after : (m,) values of untreated persons.
    strata : into how many groups of equal size the selected are cut by their value before; equal values stay together.
    cluster : (m,) clusters of the untreated (persons with several entries, care sites); given, the error is CR1.

    Raises
    ------
    DataError : none selected or no untreated person, missing values. ParameterError : fewer than one stratum.

    Notes
    -----
    Within each stratum the untreated persons' mean change is taken (their values before differ a little from the
    selected ones': the change, not the value after, is carried over), weighted by the selected. A stratum with fewer
    than two untreated persons (of two clusters) is not covered; `covered` says how much is. Error: of the strata's
    means, the selected group taken as known. Checked against direct means in simulated skewed data, where the formula
    is too small.
    """
    picked, x, y = _values(selected_before, before, after)
    groups = _ids(cluster, len(x))
    if strata < 1:
        raise ParameterError(f"strata is {strata!r}; give at least 1.")
    cuts = _cuts(picked, strata)
    mine, theirs = np.searchsorted(cuts, picked), np.searchsorted(cuts, x)
    inside = (x >= picked.min()) & (x <= picked.max())
    change = weight = 0.0
    influence, used, covered = np.zeros(len(x)), np.zeros(len(x), dtype=bool), np.zeros(len(picked), dtype=bool)
    for stratum in np.unique(mine):
        like = np.flatnonzero((theirs == stratum) & inside)
        n, of = len(like), mine == stratum
        if n < 2 or (groups is not None and len(np.unique(groups[like])) < 2):
            continue
        moved, share = (y - x)[like], float(of.mean())
        change, weight, covered = change + share * float(moved.mean()), weight + share, covered | of
        used[like], influence[like] = True, share * (moved - moved.mean()) / math.sqrt(n * (n - 1))
    if weight == 0:
        two = "" if groups is None else " of two clusters"
        raise DataError(f"No stratum holds two untreated persons{two} with values like those of the selected group.")
    note = "" if weight > 1 - 1e-12 else f"{100 * (1 - weight):.0f}% of the selected have no untreated person like them"
    start, influence = float(picked[covered].mean()), influence[used] / weight
    groups = None if groups is None else groups[used]
    return ExpectedChange(
        start, start + change / weight, change / weight, _error(influence, groups), weight, note,
        covered if note else None, influence, groups,
    )  # fmt: skip


def before_after(
    before: ArrayLike, after: ArrayLike, expected: ExpectedChange, *, level: float = 0.95,
    cluster: ArrayLike | None = None,
) -> BeforeAfter:  # fmt: skip
    """Set a group's change beside the one that was expected without any effect.

    Parameters
    ----------
    before, after : (n,) of the same persons; `before` in the order in which `matched_change` was given them, since
        those whom it does not cover (the highest, who would fall most) are left out here too.
    expected : from `matched_change`, `linear_change` or `truncated_change`; an error that is not stated counts as 0.
    cluster : (n,) clusters of the group, in the ids that `expected` was given; the errors are then CR1, and a cluster
        that stands on both sides (a care site of both arms, a person at an earlier event) is one.

    Returns
    -------
    BeforeAfter; without errors where a single person or cluster is covered.

    Raises
    ------
    DataError : fewer than two persons, missing values, other persons than those of `expected`, clusters on one side
    alone. ParameterError : level.

    Notes
    -----
    CR1: everybody's share in the error is summed within clusters, that of the untreated taken away;
    G/(G-1) (n-1)/n times the sum of squares, n persons on both sides, beside the n/(n-1) of each mean. With everybody
    a cluster of their own it is the error without clusters.
    """
    x, y = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("before and after need one finite value each of two persons or more.")
    groups = _ids(cluster, len(x))
    if expected.within is not None:
        if len(x) != len(expected.within) or not math.isclose(x[expected.within].mean(), expected.before, rel_tol=1e-9):
            raise DataError("The expectation speaks of other persons than these; give the same, in the same order.")
        x, y = x[expected.within], y[expected.within]
        groups = None if groups is None else groups[expected.within]
    change, n = y - x, len(x)
    observed = float(change.mean())
    influence = (change - observed) / math.sqrt(n * (n - 1)) if n > 1 else np.full(n, math.nan)
    error = _error(influence, groups)
    left, both = observed - expected.change, _joint_error(influence, groups, error, expected)
    reach = z_value(level) * both
    return BeforeAfter(
        n, float(x.mean()), float(y.mean()), observed, error, expected.change, expected.std_error, left, both,
        left - reach, left + reach, two_sided(left / both) if both > 0 else math.nan,
    )  # fmt: skip


def _joint_error(influence: Floats, groups: NDArray | None, error: float, expected: ExpectedChange) -> float:
    """Error of a group's change less the expected one, clusters that stand on both sides counted once."""
    if expected.influence is None:
        return math.hypot(error, 0.0 if math.isnan(expected.std_error) else expected.std_error)
    if (groups is None) != (expected.cluster is None):
        raise DataError("Clusters are known on one side alone; give cluster= to the expectation and to before_after.")
    if groups is None or expected.cluster is None:
        return math.hypot(error, expected.std_error)
    if math.isnan(error):
        return math.nan
    return _error(np.concatenate([influence, -expected.influence]), np.concatenate([groups, expected.cluster]))


def _error(influence: Floats, groups: NDArray | None) -> float:
    """Root of the summed squares of everybody's share, or of every cluster's (CR1; NaN of a single one)."""
    if groups is None:
        return math.sqrt(float(influence @ influence))
    n, (ids, code) = len(influence), np.unique(groups, return_inverse=True)
    if len(ids) < 2:
        return math.nan
    sums = np.bincount(code, weights=influence)
    return math.sqrt(float(sums @ sums) * len(ids) / (len(ids) - 1) * (n - 1) / n)


def _ids(cluster: ArrayLike | None, n: int) -> NDArray | None:
    if cluster is None:
        return None
    ids = np.asarray(cluster)
    if ids.shape != (n,):
        raise DataError(f"cluster has shape {ids.shape}; it must be ({n},), one of every person.")
    return ids


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
