"""Rows of follow-up by group, read from a frame of one's own or out of fitted lifelines models, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.errors import DataError, DefinitionError, unknown

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MOST_GROUPS = 6
"""More curves than this cannot be told apart in one picture."""
FITTED = ("KaplanMeierFitter", "NelsonAalenFitter")


@dataclass(frozen=True)
class Groups:
    """n rows of follow-up in k groups.

    Attributes
    ----------
    names : of the groups, the reference first. code : (n,) 0..k-1.
    exit, event : (n,) when a row ends, and whether in the event. entry : (n,) when it begins, or None: at 0.
    weights : (n,) or None. cluster, strata : (n,) labels, or None.
    """

    names: tuple[str, ...]
    code: NDArray[np.int64]
    exit: Floats
    event: NDArray[np.bool_]
    entry: Floats | None = None
    weights: Floats | None = None
    cluster: NDArray[Any] | None = None
    strata: NDArray[Any] | None = None

    def of(self, group: int) -> dict[str, Any]:
        """Arguments of a curve for one group."""
        rows = self.code == group
        parts = {"entry": self.entry, "weights": self.weights, "cluster": self.cluster}
        return {name: None if values is None else values[rows] for name, values in parts.items()} | {
            "exit": self.exit[rows]
        }

    def happened(self, group: int) -> NDArray[np.bool_]:
        """Whether the rows of one group end in the event."""
        return self.event[self.code == group]

    @property
    def adjustment(self) -> str:
        """What the curves are adjusted by, in words."""
        return "unadjusted" if self.weights is None else "weighted, weights taken as known"


def of_frame(frame: pd.DataFrame, columns: Mapping[str, str | None], reference: str | None) -> Groups:
    """Read a frame, one row a spell of follow-up.

    Parameters
    ----------
    columns : time, event, by, entry, weights, cluster, strata -> the column that holds it, or None.

    Raises
    ------
    DefinitionError : an unknown column or reference. DataError : missing values, more groups than can be drawn, or
        rows that no curve can be made of (see `stats.risk_sets.spells`).
    """
    from clinops.stats.risk_sets import spells

    given = {role: name for role, name in columns.items() if name is not None}
    for role, name in given.items():
        if name not in frame.columns:
            raise DefinitionError(f"{role}: " + unknown("column", name, map(str, frame.columns)))
        if list(frame.columns).count(name) > 1:
            raise DefinitionError(f"{role}: the frame has more than one column {name!r}; rename all but one.")
        missing = int(frame[name].isna().sum())
        if missing:
            raise DataError(
                f"{role}: column {name!r} has {missing:,} of {len(frame):,} rows without a value; drop or complete "
                f"them, and count them, before the analysis (frame.dropna(subset=[{name!r}]))."
            )
    names, code = _groups(frame[given["by"]]) if "by" in given else (("All",), np.zeros(len(frame), dtype=np.int64))
    names, code = _reference_first(names, code, reference)
    held: dict[str, Any] = {role: frame[given[role]].to_numpy(copy=True) if role in given else None for role in columns}
    for role in ("time", "event", "entry", "weights"):
        if held[role] is not None:
            held[role] = _numbers(role, given[role], held[role])
    checked = spells(
        held["time"], held["event"], entry=held["entry"], weights=held["weights"], cluster=held["cluster"],
        strata=held["strata"],
    )  # fmt: skip
    if not checked.n:
        raise DataError(f"No row of the frame ({len(frame):,} rows) has any follow-up.")
    _each_is_followed(names, code[checked.kept], checked.weight)
    return Groups(
        names, code, held["time"], held["event"] == 1, held["entry"], held["weights"], held["cluster"], held["strata"]
    )


def _each_is_followed(names: tuple[str, ...], code: NDArray[np.int64], weight: Floats) -> None:
    """Refuse a group that no row with follow-up, or none with a weight, stands for."""
    rows, weights = np.bincount(code, minlength=len(names)), np.bincount(code, weights=weight, minlength=len(names))
    for name, followed, heavy in zip(names, rows, weights, strict=True):
        if not followed or not heavy:
            why = "no row with any follow-up" if not followed else "no row with a weight above 0"
            raise DataError(f"Group {name!r} has {why}, so there is no curve of it; leave it out, or mend its rows.")


def _numbers(role: str, name: str, values: NDArray[Any]) -> Floats:
    plain = values.dtype.kind in "biuf" or all(isinstance(value, int | float | np.number) for value in values)
    if not plain:
        how = (
            "code the event 1, and follow-up that ends without it 0 ((frame.status == 'dead').astype(int))"
            if role == "event"
            else "give numbers on one clock, such as days since the index date ((frame.end - frame.start).dt.days)"
        )
        raise DataError(f"{role}: column {name!r} holds {values.dtype}, not numbers; {how}.")
    return values.astype(np.float64)


def _groups(labels: pd.Series) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names in the order of a categorical, else sorted; and which each row has."""
    import pandas as pd

    held = labels if isinstance(labels.dtype, pd.CategoricalDtype) else labels.astype("category")
    held = held.cat.remove_unused_categories()
    if len(held.cat.categories) > MOST_GROUPS:
        raise DataError(
            f"by: column {labels.name!r} has {len(held.cat.categories)} groups; {MOST_GROUPS} curves can be told "
            "apart in one picture. Merge groups, or give a part of the frame."
        )
    names = tuple(str(name) for name in held.cat.categories)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"by: column {labels.name!r} has two groups that print as {twice!r}; make them one type.")
    return names, held.cat.codes.to_numpy().astype(np.int64)


def _reference_first(
    names: tuple[str, ...], code: NDArray[np.int64], reference: str | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if reference is None:
        return names, code
    if str(reference) not in names:
        raise DefinitionError("reference: " + unknown("group", reference, names))
    first = names.index(str(reference))
    order = [first, *(at for at in range(len(names)) if at != first)]
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return tuple(names[at] for at in order), place[code]


def of_fitted(models: Any, reference: str | None) -> Groups:
    """Take the rows out of fitted lifelines curves: a model, several, or group -> model.

    Raises
    ------
    DefinitionError : not a fitted Kaplan-Meier or Nelson-Aalen model for right censoring, or two of one name.
    """
    named = _named(models)
    parts = [_held(name, model) for name, model in named]
    names = tuple(name for name, _ in named)
    code = np.repeat(np.arange(len(parts)), [len(part["exit"]) for part in parts])
    names, code = _reference_first(names, code, reference)

    def joined(what: str) -> Floats:
        return np.concatenate([np.asarray(part[what], dtype=np.float64) for part in parts])

    entry, weights = joined("entry"), joined("weights")
    followed = joined("exit") > entry
    _each_is_followed(names, code[followed], weights[followed])
    return Groups(
        names, code, joined("exit"), joined("event") == 1, entry if entry.any() else None,
        None if (weights == 1).all() else weights,
    )  # fmt: skip


def _named(models: Any) -> list[tuple[str, Any]]:
    if isinstance(models, Mapping):
        return [(str(name), model) for name, model in models.items()]
    listed = list(models) if isinstance(models, list | tuple) else [models]
    names = [str(getattr(model, "_label", None) or f"Group {at}") for at, model in enumerate(listed, 1)]
    if len(set(names)) < len(names):
        raise DefinitionError(
            f"Two fitted models are called {next(name for name in names if names.count(name) > 1)!r}; give them as "
            '{"name": model, ...}, or fit them with label=.'
        )
    return list(zip(names, listed, strict=True))


def _held(name: str, model: Any) -> dict[str, Any]:
    kind = type(model).__name__
    if kind == "AalenJohansenFitter":
        raise DefinitionError(
            f"{name!r} is an AalenJohansenFitter: it moves ties apart at random, so it is not taken. Give its rows to "
            "clinops.stats.competing_risks.aalen_johansen, or a study to co.outcome."
        )
    if kind not in FITTED:
        raise DefinitionError(f"{name!r}: " + unknown("fitted model that holds a curve", kind, FITTED))
    if not hasattr(model, "durations"):
        raise DefinitionError(f"{name!r} is not fitted; call its fit(durations, event_observed) first.")
    censoring = getattr(getattr(model, "_censoring_type", None), "name", "RIGHT")
    if censoring != "RIGHT":
        raise DefinitionError(f"{name!r} was fitted to {censoring.lower()}-censored data; only right censoring is.")
    size = len(model.durations)
    entry = getattr(model, "entry", None)
    return {
        "exit": model.durations, "event": model.event_observed,
        "entry": np.zeros(size) if entry is None else entry, "weights": model.weights,
    }  # fmt: skip
