"""The index of risk sets is the same whether it is found by a table of days or by sorting."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.stats.risk_sets import risk_sets, spells

ROWS = st.lists(
    st.tuples(st.integers(-3, 12), st.integers(1, 15), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.booleans())
def test_whole_days_and_thirds_of_days_give_the_same_index(rows, every_exit):
    entry, length, event, stratum = (np.array(column) for column in zip(*rows, strict=True))

    def index(unit: float):
        checked = spells((entry + length) * unit, event, entry=entry * unit, strata=stratum)
        return risk_sets(checked, every_exit=every_exit)

    whole, thirds = index(1.0), index(1 / 3)
    for name in ("stratum", "moment_of", "first", "last"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(thirds, name))
    np.testing.assert_allclose(whole.time / 3, thirds.time, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.booleans())
def test_the_index_says_who_is_at_risk(rows, every_exit):
    """Brute force: a row is at risk at a moment of its stratum when entry < time <= exit."""
    entry, length, event, stratum = (np.array(column) for column in zip(*rows, strict=True))
    stop = entry + length
    found = risk_sets(spells(stop, event, entry=entry, strata=stratum), every_exit=every_exit)
    ends = {(int(s), float(t)) for s, t, e in zip(stratum, stop, event, strict=True) if e or every_exit}
    codes = {code: at for at, code in enumerate(sorted(set(stratum.tolist())))}
    assert list(zip(found.stratum, found.time, strict=True)) == sorted((codes[s], t) for s, t in ends)
    for row in range(len(rows)):
        mine = found.stratum == codes[int(stratum[row])]
        expected = np.flatnonzero(mine & (entry[row] < found.time) & (found.time <= stop[row]))
        np.testing.assert_array_equal(np.arange(found.first[row], found.last[row]), expected)
        ended = np.flatnonzero(mine & (found.time == stop[row]))
        assert found.moment_of[row] == (ended[0] if event[row] else -1)


def test_far_apart_times_need_no_table():
    """A clock in seconds since 1970 has gaps of millions; the table would not fit."""
    found = risk_sets(spells([1e15, 2e15, 2e15], [1, 1, 0], entry=[0.0, 1.0, 1e15]))
    assert found.time.tolist() == [1e15, 2e15]
    assert found.at_risk(np.ones(3)).tolist() == [2, 2]
