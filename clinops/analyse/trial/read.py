"""From a file with one row a person to the arrays of a trial; what can be wrong is said before any estimate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.define.trial import TrialPlan
from clinops.errors import DataError, SourceError, nearest, unknown
from clinops.stats.glm import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet")
ON_MANY_LEVELS = 10
"""A column with more values than this is split at its median when it makes subgroups."""


@dataclass(frozen=True, eq=False)
class TrialData:
    """The persons of a trial; n rows, one a person.

    Attributes
    ----------
    plan : the analysis. name : of the file. fingerprint : SHA-256 of the file. persons_in_file : its rows.
    frame : the rows that the plan's `within` keeps.
    offer : (n,) 1 offered, 0 not. taken : (n,) 1 took part, 0 not, NaN not known; None without a take-up column.
    strata : (n,) codes of the cells, or None. cluster : (n,) codes, or None.
    covariates : (n, k), NaN where missing. covariate_names : (k,).
    notes : what was done to the rows, in sentences.
    """

    plan: TrialPlan
    name: str
    fingerprint: str
    persons_in_file: int
    frame: pd.DataFrame
    offer: Floats
    taken: Floats | None
    strata: Ints | None
    cluster: Ints | None
    covariates: Floats
    covariate_names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def offered(self) -> np.ndarray:
        """(n,) who was offered."""
        return self.offer == 1

    def column(self, name: str) -> Floats:
        """(n,) a column as numbers, NaN where missing."""
        return np.asarray(self.frame[name].to_numpy(dtype=float, na_value=np.nan))

    @cached_property
    def outcomes(self) -> Floats:
        """(n, q) outcomes in their units."""
        pairs = zip(self.plan.outcomes, self.plan.multipliers, strict=True)
        return np.column_stack([self.column(name) * times for name, times in pairs])

    @cached_property
    def weights(self) -> Floats:
        """(n, q) weight of each person for each outcome; 0 where the outcome is not known."""
        return self.weights_of(self.plan.weights, self.outcomes)

    def weights_of(self, names: tuple[str, ...], values: Floats) -> Floats:
        """(n, k) weights by their columns; 0 where the value or the weight is missing."""
        found = np.ones(values.shape)
        for j, name in enumerate(names):
            if name:
                found[:, j] = np.nan_to_num(self.column(name))
        return np.where(np.isfinite(values), found, 0.0)

    @cached_property
    def complete(self) -> np.ndarray:
        """(n,) who has every covariate."""
        return np.asarray(np.isfinite(self.covariates).all(axis=1))

    @cached_property
    def used(self) -> Floats:
        """(n, q) as `weights`, 0 also where a covariate is missing: the rows that estimates rest on."""
        return np.where(self.complete[:, None], self.weights, 0.0)

    def fitted(self, j: int) -> tuple[np.ndarray, Floats, Floats]:
        """Rows (bool) that the estimate of outcome j rests on, their outcome and their weights."""
        rows = self.used[:, j] > 0
        return rows, self.outcomes[rows, j], self.used[rows, j]

    def labels_of(self, rows: np.ndarray, what: Ints | None) -> Ints | None:
        """Strata or clusters of some rows; None stays None."""
        return None if what is None else what[rows]


@dataclass(frozen=True, eq=False)
class Table:
    """A file as it is: its name, the SHA-256 of its bytes, and its rows."""

    name: str
    fingerprint: str
    frame: pd.DataFrame


def read(table: Table, plan: TrialPlan) -> TrialData:
    """Hold a file to the plan.

    Raises
    ------
    DataError : a column that is not there (the nearest is
    named), an offer or take-up that is not 0/1, an empty arm, a constant outcome, negative weights, one-armed strata.
    """
    whole, name, fingerprint = table.frame, table.name, table.fingerprint
    _columns_exist(plan, whole, name)
    frame, notes = _within(plan, whole)
    offer = _binary(frame, plan.offer, "offer")
    keep = np.isfinite(offer)
    if not keep.all():
        notes.append(f"{int((~keep).sum()):,} rows have no {plan.offer} and are set aside.")
    frame, offer = frame[keep].reset_index(drop=True), offer[keep]
    _both_arms(plan, offer)
    taken = _taken(plan, frame, offer, notes)
    strata = _cells(plan, frame, offer)
    covariates, names = _covariates(plan, frame, notes)
    cluster = None if plan.clusters is None else _codes(frame, (plan.clusters,), "cluster")
    data = TrialData(
        plan, name, fingerprint, len(whole), frame, offer, taken, strata, cluster, covariates, names, tuple(notes)
    )
    _check_numbers(data)
    return data


def opened(file: str | Path) -> Table:
    """Open a file with one row a person; SourceError where there is none, or in a format that is not read."""
    import pandas as pd

    path = Path(file)
    if not path.is_file():
        siblings = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
        close = nearest(path.name, siblings, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise SourceError(f"There is no file {path.name!r} in {path.parent.name or '.'}/.{hint}")
    if path.suffix.lower() not in FORMATS:
        raise SourceError(f"{path.name} is not a format a trial is read from; give {' or '.join(FORMATS)}.")
    frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    if frame.empty:
        raise DataError(f"{path.name} has no rows; a trial has one row a person.")
    return Table(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), frame)


def _columns_exist(plan: TrialPlan, frame: pd.DataFrame, file: str) -> None:
    asked = {
        "offer": (plan.offer,), "take_up": (plan.take_up,), "outcomes": plan.outcomes, "weights": plan.weights,
        "strata": plan.strata, "covariates": plan.covariates, "subgroups": plan.subgroups, "clusters": (plan.clusters,),
        "within_column": (plan.within_column,), "baseline": plan.baseline, "baseline_weights": plan.baseline_weights,
        "compare_on": plan.compare_on,
    }  # fmt: skip
    for parameter, names in asked.items():
        for name in names:
            if name and name not in frame.columns:
                raise DataError(
                    unknown(f"column (of {parameter}) in {file}", name, map(str, frame.columns), "Correct the name.")
                )
    for parameter in ("outcomes", "baseline", "weights", "baseline_weights"):
        for name in asked[parameter]:
            if name and frame[name].dtype.kind not in "biuf":
                raise DataError(f"The column {name!r} ({parameter}) holds text; {parameter} must be numbers.")


def _within(plan: TrialPlan, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the rows whose column has the plan's value, compared as numbers where both are, else as text."""
    if plan.within_column is None:
        return frame, []
    column, wanted = frame[plan.within_column], str(plan.within_value)
    numeric = column.dtype.kind in "biuf" and _is_number(wanted)
    equal = column == float(wanted) if numeric else column.astype("string") == wanted
    keep = equal.fillna(False).to_numpy(dtype=bool)
    if not keep.any():
        values = sorted(map(str, column.dropna().unique()[:20]))
        raise DataError(unknown(f"value of {plan.within_column}", wanted, values))
    note = f"Only the {int(keep.sum()):,} of {len(frame):,} persons with {plan.within_column} = {wanted}."
    return frame[keep].reset_index(drop=True), [note]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _binary(frame: pd.DataFrame, name: str, what: str) -> Floats:
    column = frame[name]
    if column.dtype.kind not in "biuf":
        raise DataError(f"The column {name!r} ({what}) holds text; it must be 1 and 0.")
    values = np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    odd = np.unique(values[np.isfinite(values) & ~np.isin(values, (0, 1))])
    if odd.size:
        raise DataError(
            f"The column {name!r} ({what}) must be 1 or 0; it also holds {', '.join(f'{v:g}' for v in odd[:5])}."
        )
    return values


def _both_arms(plan: TrialPlan, offer: Floats) -> None:
    for value, arm in ((1, plan.offered), (0, plan.not_offered)):
        if not (offer == value).any():
            raise DataError(f"Nobody has {plan.offer} = {value} ({arm}); a comparison needs both arms.")


def _taken(plan: TrialPlan, frame: pd.DataFrame, offer: Floats, notes: list[str]) -> Floats | None:
    """Who took part; whoever was not offered and has no value could not, and counts as 0."""
    if plan.take_up is None:
        return None
    values = _binary(frame, plan.take_up, "take_up")
    could_not = np.isnan(values) & (offer == 0)
    if could_not.any():
        notes.append(
            f"{plan.take_up} is empty for {int(could_not.sum()):,} persons who were not offered: they could not, so 0."
        )
    lost = int((np.isnan(values) & (offer == 1)).sum())
    if lost:
        notes.append(f"{lost:,} of the offered have no {plan.take_up}: they are left out of whatever uses it.")
    return np.where(could_not, 0.0, values)


def _cells(plan: TrialPlan, frame: pd.DataFrame, offer: Floats) -> Ints | None:
    """Codes of the strata that are absorbed: all cells, or of additive strata the first column."""
    if not plan.strata:
        return None
    columns = plan.strata if plan.strata_as == "cells" else plan.strata[:1]
    code = _codes(frame, columns, "stratum")
    if plan.one_armed_strata == "refuse" and plan.strata_as == "cells":
        sizes = np.bincount(code)
        offered = np.bincount(code, weights=offer)
        one_armed = (offered == 0) | (offered == sizes)
        if one_armed.any():
            persons = int(sizes[one_armed].sum())
            raise DataError(
                f"{int(one_armed.sum())} of {len(sizes)} strata ({' x '.join(columns)}) hold one arm only, "
                f"{persons:,} persons: nobody there can be compared. Name other strata, or say "
                'one_armed_strata="keep" to keep them without weight in the effect.'
            )
    return code


def _codes(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> Ints:
    for name in columns:
        missing = int(frame[name].isna().sum())
        if missing:
            raise DataError(
                f"{missing:,} persons have no {name}, so no {what}; give them one, or a value of their own."
            )
    grouped = frame.groupby(list(columns), sort=True, observed=True).ngroup()
    return np.asarray(grouped.to_numpy(dtype=np.int64))


def _covariates(plan: TrialPlan, frame: pd.DataFrame, notes: list[str]) -> tuple[Floats, tuple[str, ...]]:
    """Columns of the model beside the offer: covariates, and the levels of additive strata after the first."""
    parts, names = design_of(frame, plan.covariates, plan.missing_covariates)
    if plan.strata_as == "additive":
        for name in plan.strata[1:]:
            more, levels = _levels(frame, name)
            parts, names = np.column_stack([parts, more]), (*names, *levels)
    lost = int((~np.isfinite(parts).all(axis=1)).sum())
    if lost:
        notes.append(f"{lost:,} persons lack a covariate: they count in the means of the arms, not in the effects.")
    return parts, names


def design_of(frame: pd.DataFrame, columns: tuple[str, ...], missing: str) -> tuple[Floats, tuple[str, ...]]:
    """(n, k) columns of covariates: numbers as they are, text as levels; missing values as asked."""
    parts: list[Floats] = []
    names: list[str] = []
    for name in columns:
        if frame[name].dtype.kind not in "biuf":
            block, levels = _levels(frame, name)
            parts.append(block)
            names += levels
            continue
        values = np.asarray(frame[name].to_numpy(dtype=float, na_value=np.nan))
        absent = np.isnan(values)
        if missing == "indicator" and absent.any():
            known = values[~absent]
            parts += [np.where(absent, known.mean() if len(known) else 0.0, values), absent.astype(float)]
            names += [name, f"{name} missing"]
        else:
            parts.append(values)
            names.append(name)
    return np.column_stack(parts) if parts else np.zeros((len(frame), 0)), tuple(names)


def _levels(frame: pd.DataFrame, name: str) -> tuple[Floats, list[str]]:
    """Indicators of all levels but the first; a missing value is a level."""
    text = frame[name].astype("string").fillna("missing")
    levels = sorted(text.unique())
    if len(levels) > max(50, len(frame) // 20):
        raise DataError(f"The column {name!r} has {len(levels)} different values; that is no covariate or stratum.")
    made = [np.asarray((text == level).to_numpy(dtype=float)) for level in levels[1:]]
    return np.column_stack(made) if made else np.zeros((len(frame), 0)), [f"{name}: {level}" for level in levels[1:]]


def _check_numbers(data: TrialData) -> None:
    """Refuse negative weights and outcomes that nobody or everybody has alike."""
    plan = data.plan
    for name in dict.fromkeys((*plan.weights, *plan.baseline_weights)):
        if name and (data.column(name) < 0).any():
            raise DataError(f"The weights {name!r} hold negative values; a weight is 0 or more.")
    for j, name in enumerate(plan.outcomes):
        rows = data.used[:, j] > 0
        values = data.outcomes[rows, j]
        if not np.isfinite(data.outcomes[:, j]).any():
            raise DataError(f"The outcome {name!r} is empty for everybody; leave it out.")
        if not rows.any():
            raise DataError(f"Nobody has the outcome {name!r}, a weight above 0 and every covariate.")
        if np.ptp(values) == 0:
            raise DataError(f"The outcome {name!r} is {values[0]:g} for everybody; nothing can be compared.")
        for value, arm in ((1, plan.offered), (0, plan.not_offered)):
            if not (rows & (data.offer == value)).any():
                raise DataError(f"Nobody of {arm} has the outcome {name!r} (with weight and covariates).")


def levels_of(frame: pd.DataFrame, name: str) -> list[tuple[str, np.ndarray]]:
    """Levels of a column that makes subgroups: (label, rows); a number of many values is split at its median."""
    column = frame[name]
    numeric = column.dtype.kind in "biuf"
    if numeric and column.nunique() > ON_MANY_LEVELS:
        values: Any = column.to_numpy(dtype=float, na_value=np.nan)
        middle = float(np.nanmedian(values))
        return [(f"up to {middle:g}", values <= middle), (f"above {middle:g}", values > middle)]
    levels = sorted(column.dropna().unique())
    flags = numeric and set(levels) <= {0, 1}
    said = {level: ("no", "yes")[int(level)] if flags else f"{level:g}" if numeric else str(level) for level in levels}
    return [(said[level], (column == level).fillna(False).to_numpy(dtype=bool)) for level in levels]
