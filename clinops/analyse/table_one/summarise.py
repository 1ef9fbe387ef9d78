"""One covariate in every group: what is counted, what is averaged, how far groups are apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clinops.analyse.table_one.columns import Levels, Numbers
from clinops.analyse.table_one.read import Arms, Call
from clinops.errors import DataError
from clinops.stats.balance import smd_of_counts, smd_of_moments
from clinops.stats.glm import Floats
from clinops.stats.group_summary import GroupMoments, group_counts, group_moments
from clinops.stats.group_tests import GroupTest, kruskal_wallis, table_test, welch_test
from clinops.stats.quantiles import weighted_quantile

QUARTILES = (0.25, 0.5, 0.75)
SOLVABLE = 3


@dataclass(frozen=True)
class Summary:
    """A covariate over g columns: the groups and, where asked for, everybody in the last.

    Attributes
    ----------
    name, label : of the covariate. kind : "mean", "median" or "levels". levels : names of the levels, none of a number.
    one_row : the level that is shown alone, or None. yes_no : whether its name need not be said.
    counts : (levels + 1, g) persons at each level, or (2, g) persons with a value; the last row is those without.
    shares : (levels, g) weighted proportions, None without weights.
    centre, spread, low, high : (g,) mean and SD, or median and quartiles; NaN otherwise.
    smd : largest over the pairs of groups; NaN where undefined. test : None where none was asked for.
    few : a number with so few whole values that it may be a code.
    rare : (g,) of a number of two or three values the least count of one, which its mean and SD tell; else None.
    """

    name: str
    label: str
    kind: str
    levels: tuple[str, ...]
    one_row: int | None
    yes_no: bool
    counts: Floats
    shares: Floats | None
    centre: Floats
    spread: Floats
    low: Floats
    high: Floats
    smd: float
    test: GroupTest | None
    few: bool = False
    rare: Floats | None = None

    @property
    def known(self) -> Floats:
        """(g,) persons with a value."""
        return np.asarray(self.counts[:-1].sum(axis=0))

    @property
    def missing(self) -> Floats:
        """(g,) persons without."""
        return np.asarray(self.counts[-1])


def summarise(call: Call, arms: Arms, name: str, *, together: bool) -> Summary:
    """Summarise one covariate.

    Raises
    ------
    DataError : what `columns.read` refuses; infinite values.
    """
    found = call.read(name)
    if isinstance(found, Levels):
        return _levels(call, arms, name, found, together)
    try:
        return _numbers(call, arms, name, found, together)
    except DataError as error:
        raise DataError(f"{name!r}: {error}") from None


def _levels(call: Call, arms: Arms, name: str, found: Levels, together: bool) -> Summary:
    k, levels = len(arms.names), len(found.names)
    counts = group_counts(found.codes, arms.split, levels)
    weighted = None if arms.weights is None else group_counts(found.codes, arms.split, levels, arms.weights)
    apart = [
        smd_of_counts(counts[:-1][:, pair], None if weighted is None else weighted[:-1][:, pair]) for pair in _pairs(k)
    ]
    whole = _with_all(counts) if together else counts
    mass = whole if weighted is None else (_with_all(weighted) if together else weighted)
    total = mass[:-1].sum(axis=0)
    nothing = np.full(whole.shape[1], np.nan)
    return Summary(
        name, call.label(name), "levels", found.names,
        found.present if levels == 2 and name not in call.all_levels else None, found.yes_no, whole,
        None if weighted is None else mass[:-1] / np.where(total > 0, total, np.nan),
        nothing, nothing, nothing, nothing, _largest(apart), table_test(counts[:-1]) if call.tests else None,
    )  # fmt: skip


def _with_all(table: Floats) -> Floats:
    return np.column_stack([table, table.sum(axis=1)])


def _pairs(k: int) -> list[list[int]]:
    return [list(pair) for pair in combinations(range(k), 2)]


def _largest(apart: list[float]) -> float:
    """The largest of the pairs; a pair that cannot be judged leaves the covariate unjudged."""
    sizes = np.abs(apart)
    return float(sizes.max()) if len(sizes) and not np.isnan(sizes).any() else float("nan")


def _numbers(call: Call, arms: Arms, name: str, found: Numbers, together: bool) -> Summary:
    parts = arms.split.split(found.values)
    plain = group_moments(parts)
    heavy = None if arms.weights is None else arms.split.split(arms.weights)
    shown = plain if heavy is None else group_moments(parts, heavy)
    apart = [
        float(smd_of_moments(shown.mean[i], shown.mean[j], plain.variance[i], plain.variance[j])[0])
        for i, j in _pairs(len(arms.names))
    ]
    skewed = name in call.nonnormal
    if skewed and heavy is None:  # in order once, for quartiles and for ranks
        parts = [np.sort(part)[:known] for part, known in zip(parts, plain.n, strict=True)]
    test = None
    if call.tests:
        test = kruskal_wallis(parts) if skewed else welch_test(plain.n, plain.mean, plain.variance)
    counts = np.array([plain.n, plain.missing], dtype=float)
    counts = _with_all(counts) if together else counts
    columns = _quartiles(parts, heavy, together) if skewed else _means(shown, together)
    return Summary(
        name, call.label(name), "median" if skewed else "mean", (), None, False, counts, None, *columns,
        _largest(apart), test, found.few, _rare(found, arms, together),
    )  # fmt: skip


def _rare(found: Numbers, arms: Arms, together: bool) -> Floats | None:
    """Count the values of a number that has two or three: then a mean and an SD tell how many persons have each."""
    if found.distinct is None or not 1 < len(found.distinct) <= SOLVABLE:
        return None
    code = np.full(len(found.values), -1)
    for at, value in enumerate(found.distinct):
        code[found.values == value] = at
    counts = group_counts(code, arms.split, len(found.distinct))[:-1]
    counts = _with_all(counts) if together else counts
    return np.asarray(np.where(counts > 0, counts, np.inf).min(axis=0))


def _means(shown: GroupMoments, together: bool) -> tuple[Floats, Floats, Floats, Floats]:
    both = (shown, shown.together()) if together else (shown,)
    mean = np.concatenate([each.mean for each in both])
    spread = np.sqrt(np.concatenate([each.variance for each in both]))
    return mean, spread, np.full(len(mean), np.nan), np.full(len(mean), np.nan)


def _quartiles(
    parts: list[Floats], heavy: list[Floats] | None, together: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """Medians and quartiles: numpy's "linear" kind, and with weights the inverted distribution function."""
    # a stable sort of runs in order is one merge
    values = [*parts, np.sort(np.concatenate(parts), kind="stable")] if together and heavy is None else parts
    if heavy is None:
        rows = [weighted_quantile(x, QUARTILES, kind="linear") for x in values]
    else:
        pairs = list(zip(parts, heavy, strict=True))
        pairs += [(np.concatenate(parts), np.concatenate(heavy))] if together else []
        rows = [weighted_quantile(x[~np.isnan(x)], QUARTILES, w[~np.isnan(x)]) for x, w in pairs]
    low, middle, high = np.array(rows).T
    return middle, np.full(len(middle), np.nan), low, high
