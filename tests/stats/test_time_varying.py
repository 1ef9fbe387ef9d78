"""No day before an exposure counts as exposed: case C019, by hand, and by its own laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.errors import DataError
from clinops.stats.cox import cox
from clinops.stats.rates import rate_ratio
from clinops.stats.time_varying import exposed_spells
from tests.support import case_file


def test_immortal_time_case() -> None:
    """C019: 1 death in 930 days against 3 in 1,770; ratio 59/93 (exact 0.0121 to 7.90); hazard ratio 1.118."""
    people = pd.read_csv(case_file("C019", "people.csv"))
    found = exposed_spells(people["end_day"], people["death"], people["programme_start_day"])
    assert (found.events(True), found.time(True)) == (1, 930) and (found.events(False), found.time(False)) == (3, 1770)
    ratio = rate_ratio(1, 930, 3, 1770)
    assert ratio.estimate == pytest.approx(59 / 93, rel=1e-12)
    assert (ratio.conf_low, ratio.conf_high) == (pytest.approx(0.0121, abs=5e-5), pytest.approx(7.90, abs=5e-3))
    fit = cox(found.exposed, found.exit, found.event, entry=found.entry)
    assert np.exp(fit.coef[0]) == pytest.approx(1.118, abs=1e-3)


def test_who_will_ever_enrol_is_no_group_from_day_0() -> None:
    """C019: a protocol that looks ahead for its exposed arm is told why that biases, and in which direction."""
    visit, start = (
        co.events("visit", co.codes("visit", 9202)),
        co.events("observation", co.codes("start", 2000000001)),
    )
    ever = co.cohort("Ever", entry=co.first_eligible(visit), steps=(co.has(start, co.days(0, 365)),))
    never = co.cohort("Never", entry=co.first_eligible(visit), steps=(co.lacks(start, co.days(0, 365)),))
    protocol = co.protocol(
        title="Ever v never", question="Does it help?", exposed=ever, comparator=never,
        follow_up=co.follow_up(co.days(1, 365)), covariates=(co.age_at_index(),),
        outcomes=(co.time_to(co.events("death"), role="primary", better="lower"),), adjust=co.weight("att"),
        estimand="att", perspective="payer",
    )  # fmt: skip
    said = [finding for finding in protocol.lint() if finding.rule == "eligibility-after-time-zero"]
    assert said and "immortal time" in str(said[0])


def test_starts_at_the_edges() -> None:
    """Before entry: exposed throughout. At exit or later, or never: not at all. An event at the start: unexposed."""
    found = exposed_spells([5, 5, 5, 5, 5, 4], [1, 1, 1, 1, 0, 1], [-1, 5, 9, np.nan, 0, 3], entry=[0, 0, 0, 0, 0, 4])
    assert found.row.tolist() == [0, 1, 2, 3, 4] and found.exposed.tolist() == [True, False, False, False, True]
    assert found.event.tolist() == [True, True, True, True, False] and found.set_aside == 1


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans(), st.integers(-1, 14)), min_size=1)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_nothing_is_lost_and_nobody_is_in_two_places(rows) -> None:
    entry, length, event, start = (np.array(column) for column in zip(*rows, strict=True))
    begins = np.where(start < 0, np.nan, start)
    found = exposed_spells(entry + length, event, begins, entry=entry)
    assert found.time(True) + found.time(False) == length.sum()
    assert found.events(True) + found.events(False) == event.sum()
    assert (np.bincount(found.row, weights=found.exit - found.entry) == length).all()
    assert (found.entry[found.exposed] >= begins[found.row[found.exposed]]).all()
    late = np.nan_to_num(begins[found.row], nan=np.inf)
    assert (found.exit[~found.exposed] <= late[~found.exposed]).all()


def test_refusals() -> None:
    with pytest.raises(DataError, match="it must have 2 times"):
        exposed_spells([1, 2], [0, 1], [1.0])
    with pytest.raises(DataError, match="NaN where the exposure never begins"):
        exposed_spells([1, 2], [0, 1], [1.0, np.inf])
