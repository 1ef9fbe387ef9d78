"""Landmark: who is left at the day, classified by what had begun by then; the others are counted, not dropped."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.landmark import landmark

EXIT = [10, 30, 31, 90, 90, 90, 5, 90]
CAUSE = [1, 1, 1, 0, 0, 2, 2, 0]
BEGINS = [2, np.nan, np.nan, 30, 31, 0, np.nan, np.nan]


def test_by_hand():
    found = landmark(EXIT, CAUSE, BEGINS, day=30)
    assert found.row.tolist() == [2, 3, 4, 5, 7]  # an end on day 30 leaves nothing to follow
    assert found.begun.tolist() == [False, True, False, True, False]  # day 30 counts, day 31 does not
    assert found.exit.tolist() == [1, 60, 60, 60, 60]
    assert found.cause.tolist() == [1, 0, 0, 2, 0]
    assert found.before == ({0: 0, 1: 1, 2: 1}, {0: 0, 1: 1, 2: 0})


def test_nobody_is_left():
    found = landmark([5, 6], [1, 0], [np.nan, 1], day=6)
    assert len(found.row) == 0 and found.before == ({0: 0, 1: 1}, {0: 1, 1: 0})


def test_no_immortal_time():
    """Beginning at random days without any effect: the naive contrast sees one, the landmark does not."""
    rng = np.random.default_rng(1)
    event, begins = np.ceil(rng.exponential(100, 40_000)), np.ceil(rng.exponential(30, 40_000))
    exit, cause = np.minimum(event, 200), (event <= 200).astype(int)
    begins = np.where(begins < exit, begins, np.nan)
    naive = cause[np.isfinite(begins)].mean() - cause[np.isnan(begins)].mean()
    found = landmark(exit, cause, begins, day=40)
    gap = found.cause[found.begun].mean() - found.cause[~found.begun].mean()
    assert naive < -0.15 and abs(gap) < 0.02


def test_what_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="day -1"):
        landmark(EXIT, CAUSE, BEGINS, day=-1)
    with pytest.raises(DataError, match="one a row"):
        landmark(EXIT, CAUSE[:-1], BEGINS, day=3)
