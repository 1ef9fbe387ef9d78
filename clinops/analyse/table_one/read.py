"""What `table_one` was given, checked before any work is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.table_one.columns import Levels, Numbers, as_floats, read
from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats
from clinops.stats.group_summary import Groups, groups

if TYPE_CHECKING:
    import pandas as pd

MOST_GROUPS = 10
EVERYBODY = "Overall"


@dataclass(frozen=True)
class Call:
    """The call, once its words are known to fit the frame."""

    frame: pd.DataFrame
    by: str | None
    covariates: tuple[str, ...]
    categorical: Collection[str]
    continuous: Collection[str]
    nonnormal: Collection[str]
    all_levels: Collection[str]
    labels: Mapping[str, str]
    digits: Mapping[str, int]
    weights: str | None
    tests: bool
    overall: bool
    min_cell: int

    def label(self, name: str) -> str:
        """How a column is called in the table."""
        return str(self.labels.get(name, name))

    def read(self, name: str) -> Numbers | Levels:
        """Read one covariate."""
        ask = "categorical" if name in self.categorical else None
        ask = "continuous" if name in self.continuous or name in self.nonnormal else ask
        return read(self.frame[name], name, ask)


@dataclass(frozen=True)
class Arms:
    """The groups: their names in order, their rows, and the weights cut alike."""

    names: tuple[str, ...]
    split: Groups
    weights: Floats | None


def check(call: Call) -> Call:
    """Refuse what does not fit, and fill in the covariates where none were named.

    Raises
    ------
    DefinitionError : unknown, repeated or contradictory names; tests with weights; a bad `min_cell`.
    DataError : no frame, no rows.
    """
    frame = call.frame
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        raise DataError(f"table_one takes a pandas DataFrame; a {type(frame).__name__} was given.")
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        raise DataError(f"The frame has two columns named {', '.join(twice)}; rename one of each.")
    if not len(frame):
        raise DataError("The frame has no rows; was everybody filtered out?")
    apart = [name for name in (call.by, call.weights) if name is not None]
    chosen = call.covariates or tuple(name for name in frame.columns if name not in apart)
    _names(call, chosen, apart)
    if isinstance(call.min_cell, bool) or not isinstance(call.min_cell, int) or call.min_cell < 1:
        raise DefinitionError(f"min_cell is {call.min_cell!r}; give a whole number of 1 or more (1 shows every count).")
    if call.tests and call.weights is not None:
        raise DefinitionError(
            "tests=True with weights: P values would need the design of the survey or of the weights, which a column "
            "of weights does not say. Leave tests out and read the standardised differences."
        )
    if call.tests and call.by is None:
        raise DefinitionError("tests=True without by: there are no groups to compare. Name the column in by=.")
    return Call(**{**vars(call), "covariates": chosen})


def _names(call: Call, chosen: tuple[Any, ...], apart: list[str]) -> None:
    there = list(call.frame.columns)
    asked = [("column for by=", (call.by,)), ("column of weights", (call.weights,)), ("covariate", chosen)]
    for what, given in asked:
        for name in given:
            if name is not None and name not in there:
                raise DefinitionError(unknown(what, name, map(str, there)))
    if call.by is not None and call.by == call.weights:
        raise DefinitionError(f"{call.by!r} is given both as by and as weights; name two columns.")
    both = [str(name) for name in chosen if name in apart]
    if both:
        raise DefinitionError(f"{both[0]!r} is a covariate and also by= or weights=; leave it out of one of them.")
    repeated = sorted({str(name) for name in chosen if chosen.count(name) > 1})
    if repeated:
        raise DefinitionError(f"{', '.join(repeated)} stands twice in covariates; name each once.")
    if not chosen:
        raise DefinitionError("There is no covariate: the frame has no other column than by and weights.")
    options: dict[str, Iterable[Any]] = {
        name: getattr(call, name) for name in ("categorical", "continuous", "nonnormal", "all_levels", "digits")
    }
    for option, names in options.items():
        for name in names:
            if name not in chosen:
                raise DefinitionError(unknown(f"covariate for {option}=", name, map(str, chosen)))
    for name in call.labels:
        if name not in (*chosen, *apart):
            raise DefinitionError(unknown("covariate for labels=", name, map(str, (*chosen, *apart))))
    torn = [str(name) for name in call.categorical if name in call.continuous or name in call.nonnormal]
    if torn:
        raise DefinitionError(f"{torn[0]!r} is given both as categorical and as a number; leave it out of one list.")


def arms(call: Call) -> tuple[Call, Arms]:
    """Read the groups and the weights; rows of weight 0 are left out of the call's frame.

    Raises
    ------
    DataError : rows without a group, fewer than two groups, too many; weights that are missing, negative, infinite.
    """
    weights = None
    if call.weights is not None:
        weights = _weights(call.frame[call.weights], call.weights)
        if not weights.all():
            call = Call(**{**vars(call), "frame": call.frame[weights > 0]})
            weights = weights[weights > 0]
    n = len(call.frame)
    if call.by is None:
        return call, Arms((EVERYBODY,), groups(np.zeros(n, np.int64), 1), weights)
    found = read(call.frame[call.by], call.by, "categorical")
    assert isinstance(found, Levels)
    lost = int((found.codes < 0).sum())
    if lost:
        raise DataError(
            f"{lost:,} of {n:,} rows have no value of {call.by!r}, so they are in no group. Leave them out with "
            f"frame[frame[{call.by!r}].notna()], or make them a group of their own with fillna."
        )
    if len(found.names) < 2:
        raise DataError(f"Every row has the same value of {call.by!r}; give by=None for a table of one column.")
    if len(found.names) > MOST_GROUPS:
        raise DataError(
            f"{call.by!r} has {len(found.names):,} values; a table compares at most {MOST_GROUPS} groups. Put values "
            "together, with pandas.cut for a number."
        )
    return call, Arms(found.names, groups(found.codes, len(found.names)), weights)


def _weights(column: pd.Series, name: str) -> Floats:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(f"The weights {name!r} are of type {column.dtype}; give a column of numbers.")
    found = as_floats(column)
    bad = int((~np.isfinite(found) | (found < 0)).sum())
    if bad:
        raise DataError(
            f"{bad:,} weights in {name!r} are missing, negative or infinite; give each row a number of 0 or more."
        )
    if not (found > 0).any():
        raise DataError(f"All weights in {name!r} are 0.")
    return found
