"""The long results schema: one row an estimate, the same columns for every analysis.

One schema means that suppression, pooling, diffing and publishing are one code path each. Numbers are
numbers, missing is null, and an estimate that could not be made is a row with a note, never a gap.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

TEXT, COUNT, NUMBER = "string", "Int64", "float64"

#: Every column in its order, with its pandas type.
COLUMNS: dict[str, str] = {
    "analysis": TEXT,
    "notebook": TEXT,
    "exposed": TEXT,
    "comparator": TEXT,
    "measure": TEXT,
    "role": TEXT,
    "category": TEXT,
    "subgroup": TEXT,
    "level": TEXT,
    "period": TEXT,
    "estimand": TEXT,
    "method": TEXT,
    "adjustment": TEXT,
    "unit": TEXT,
    "scale": TEXT,
    "n_exposed": COUNT,
    "n_comparator": COUNT,
    "events_exposed": COUNT,
    "events_comparator": COUNT,
    "person_days_exposed": NUMBER,
    "person_days_comparator": NUMBER,
    "value_exposed": NUMBER,
    "value_comparator": NUMBER,
    "estimate": NUMBER,
    "std_error": NUMBER,
    "se_kind": TEXT,
    "conf_low": NUMBER,
    "conf_high": NUMBER,
    "conf_level": NUMBER,
    "p_value": NUMBER,
    "note": TEXT,
}

#: Columns that a row may not leave out.
REQUIRED = ("analysis", "measure")


def estimates(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Build the typed frame of estimates from rows that name only what they have.

    Parameters
    ----------
    rows : mappings from column name to value; what is left out, None or NaN is null.

    Returns
    -------
    DataFrame with every column of `COLUMNS` in its order and type; rows in the order given.

    Raises
    ------
    DataError
        An unknown column (the nearest is named), a value of the wrong type, or a row that breaks a
        rule of `validate`.
    """
    import pandas as pd

    given = [dict(row) for row in rows]
    for row in given:
        for name in row:
            if name not in COLUMNS:
                raise DataError(unknown("column of the results schema", name, COLUMNS))
    data = {}
    for name, dtype in COLUMNS.items():
        values = [_cell(name, dtype, row.get(name), i) for i, row in enumerate(given)]
        data[name] = pd.array(values, dtype=dtype)  # type: ignore[call-overload]
    frame = pd.DataFrame(data, columns=list(COLUMNS))
    validate(frame)
    return frame


def _cell(name: str, dtype: str, value: Any, row: int) -> Any:
    """Return the value as its column's type, or say which row and column are wrong."""
    if _missing(value):
        return float("nan") if dtype == NUMBER else None
    wrong = DataError(
        f"Row {row + 1} of the estimates has {name} = {value!r} ({type(value).__name__}); "
        f"{name} holds {_SAID[dtype]}. Give that, or leave it out for 'missing'."
    )
    if dtype == TEXT:
        if not isinstance(value, str):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong
    number = float(value)
    if dtype == NUMBER:
        return number
    if not number.is_integer() or number < 0:
        raise wrong
    return int(number)


_SAID = {TEXT: "text", COUNT: "a whole number of 0 or more", NUMBER: "a number"}


def _missing(value: Any) -> bool:
    """Tell whether a value stands for 'missing': None, NaN in any library's spelling, pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real) and math.isnan(value)


def validate(frame: pd.DataFrame) -> None:
    """Refuse a frame that is not the long results schema, or that contradicts itself.

    Raises
    ------
    DataError
        Columns missing, unknown or out of order; a wrong type; a required column left empty; a missing
        estimate without a note; bounds that cross; a level or a P value outside its range.
    """
    for name in frame.columns:
        if name not in COLUMNS:
            raise DataError(unknown("column of the results schema", name, COLUMNS))
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise DataError(f"The estimates lack the column(s) {', '.join(absent)}; build them with estimates().")
    if list(frame.columns) != list(COLUMNS):
        raise DataError("The columns of the estimates are out of order; build them with estimates().")
    for name, dtype in COLUMNS.items():
        if str(frame[name].dtype) != dtype:
            raise DataError(f"{name} has the type {frame[name].dtype}; the schema says {dtype}.")
    for name in REQUIRED:
        _refuse(frame, frame[name].isna(), f"leaves {name} empty, which names the estimate")
    silent = frame["estimate"].isna() & frame["note"].isna()
    _refuse(frame, silent, "has no estimate and no note; say why it could not be made")
    _refuse(frame, frame["conf_low"] > frame["conf_high"], "has conf_low above conf_high")
    _refuse(frame, (frame["p_value"] < 0) | (frame["p_value"] > 1), "has a p_value outside 0 to 1")
    level = frame["conf_level"]
    _refuse(frame, (level <= 0) | (level >= 1), "has a conf_level outside 0 to 1; 95% is 0.95")


def _refuse(frame: pd.DataFrame, bad: pd.Series, what: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        label = f"{frame['analysis'].iloc[row]}, {frame['measure'].iloc[row]}"
        raise DataError(f"Row {row + 1} of the estimates ({label}) {what}.")
