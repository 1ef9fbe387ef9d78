"""The long schema: typed, complete, and refusing what is not in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clinops.errors import DataError
from clinops.results.schema import COLUMNS, estimates, validate

ROW = {"analysis": "main", "measure": "Death", "estimate": 1.5, "n_exposed": 20, "conf_low": 1.0, "conf_high": 2.0}


def test_every_column_is_there_in_order_and_typed() -> None:
    frame = estimates([ROW])
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
    assert frame["n_exposed"].iloc[0] == 20
    assert frame["events_exposed"].isna().all()


def test_no_rows_still_have_their_types() -> None:
    frame = estimates([])
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, np.nan])
def test_missing_is_null_in_any_spelling(missing: object) -> None:
    frame = estimates([{**ROW, "n_exposed": missing, "p_value": missing, "level": missing}])
    assert frame[["n_exposed", "p_value", "level"]].isna().all(axis=None)


def test_numpy_numbers_and_infinite_ratios_are_numbers() -> None:
    frame = estimates([{**ROW, "n_exposed": np.int64(3), "estimate": np.float64(2.5), "conf_high": np.inf}])
    assert frame["n_exposed"].iloc[0] == 3
    assert frame["conf_high"].iloc[0] == np.inf


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"estimat": 1.0}, "estimate"),
        ({"n_exposed": 2.5}, "whole number"),
        ({"n_exposed": -1}, "whole number"),
        ({"n_exposed": float("inf")}, "whole number"),
        ({"estimate": "1.5"}, "a number"),
        ({"estimate": True}, "a number"),
        ({"measure": 3}, "text"),
        ({"measure": None}, "leaves measure empty"),
        ({"estimate": None}, "no estimate and no note"),
        ({"conf_low": 3.0}, "conf_low above conf_high"),
        ({"p_value": 1.2}, "p_value"),
        ({"conf_level": 95}, "conf_level"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        estimates([{**ROW, **change}])


def test_a_missing_estimate_with_a_note_stays_a_row() -> None:
    frame = estimates([{**ROW, "estimate": None, "note": "no events in either arm"}])
    assert len(frame) == 1


def test_a_frame_out_of_order_or_with_a_wrong_type_is_refused() -> None:
    frame = estimates([ROW])
    with pytest.raises(DataError, match="out of order"):
        validate(frame[list(COLUMNS)[::-1]])
    with pytest.raises(DataError, match="n_exposed has the type"):
        validate(frame.astype({"n_exposed": "float64"}))
    with pytest.raises(DataError, match="lack the column"):
        validate(frame.drop(columns="note"))
