"""Care by calendar month: limits by hand, months in part, the baseline, and what a reader may not work out."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.analyse.care import hidden, monthly
from clinops.analyse.care.monthly import ADMISSIONS, EMERGENCY, Span
from clinops.define.care import care_rules
from clinops.errors import DataError, DefinitionError
from clinops.render import figures
from clinops.results.cells import Cells, leaks, small
from clinops.results.disclosure import protect
from tests.conftest import tiny
from tests.render.figures_support import whole
from tests.spec.test_care import PERIOD, seen
from tests.spec.test_readmissions import observed, stay

YEAR = Span(dt.date(2020, 1, 1), dt.date(2020, 12, 31))


def days(first, last, persons=1000, admissions=(), emergency=()):
    """Days with so many persons on each; events on the first day of each month in turn."""
    index = pd.date_range(first, last, freq="D")
    frame = pd.DataFrame({"persons": persons, "admissions": 0, "emergency": 0}, index=index)
    starts = [max(month.start_time, index[0]) for month in index.to_period("M").drop_duplicates()]
    for name, counts in (("admissions", admissions), ("emergency", emergency)):
        for day, n in zip(starts, counts, strict=False):
            frame.loc[day, name] = n
    return frame


def chart(admissions, span=YEAR, min_cell=11, **more):
    frame = days(span.first, span.last, admissions=admissions, **more)
    made = monthly.chart(ADMISSIONS, monthly.by_month(frame, span), span, min_cell)
    return protect(made, min_cell)


def everything(result):
    drawn = figures.svg(figures.draw(result.figure)).decode(), result.figure.data.to_csv()
    return "\n".join([result.to_csv(), str(result), result.alt, *result.notes, *drawn])


def test_rates_and_limits_by_hand():
    found = chart([60] * 12).frame
    assert found["period"].tolist()[::11] == ["2020-01", "2020-12"]
    years = 1000 * np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 365.25
    assert found["years"].tolist() == pytest.approx(years.tolist())
    assert found["persons"].tolist() == [1000] * 12
    assert found["value"].tolist() == pytest.approx((60_000 / years).tolist())
    centre = 720_000 / years.sum()  # per 1,000 person-years
    assert found["centre"].tolist() == pytest.approx([centre] * 12)
    reach = 3 * np.sqrt(centre / (years / 1000))
    assert found["low"].tolist() == pytest.approx((centre - reach).tolist())
    assert found["high"].tolist() == pytest.approx((centre + reach).tolist())
    assert set(found["rule"]) == {""}


def test_a_month_outside_the_limits_and_a_long_row_are_signals():
    # Mean about 60 a month, three standard errors about 23.
    found = chart([100, *[66] * 2, *[50] * 9])
    assert found.frame["rule"].tolist() == [monthly.BEYOND, "", "", *[monthly.IN_A_ROW] * 9]
    assert found.sentence == (
        "Admissions: 1 of 12 months outside the limits; 9 of 12 months in a long row on one side of the centre line."
    )
    shown = whole(found.figure)
    assert "Outside the limits" in shown and "8 or more in a row on one side" in shown
    assert found.figure.options["ylabel"] == "Admissions per 1,000 person-years"
    assert "no month is a signal" in chart([60] * 12).sentence


def test_months_in_part_stay_in_with_their_person_time_and_a_mark():
    span = Span(dt.date(2020, 1, 22), dt.date(2020, 4, 10))
    found = chart([20, 60, 60, 20], span).frame
    assert found["period"].tolist() == ["2020-01 (part)", "2020-02", "2020-03", "2020-04 (part)"]
    assert found["years"].tolist() == pytest.approx([1000 * d / 365.25 for d in (10, 29, 31, 10)])
    assert found["persons"].tolist() == [1000] * 4  # of the days that count
    width = (found["high"] - found["centre"]).tolist()
    assert width[0] == pytest.approx(width[1] * math.sqrt(29 / 10))
    assert any("Months marked as part" in note for note in chart([20, 60, 60, 20], span).notes)
    assert not any("Months marked as part" in note for note in chart([60] * 12).notes)


def test_the_baseline_gives_the_centre_line_and_is_named():
    span = Span(YEAR.first, YEAR.last, dt.date(2020, 6, 30))
    found = chart([*[60] * 6, *[90] * 6], span)
    assert found.frame["centre"].tolist() == pytest.approx([360_000 / (1000 * 182 / 365.25)] * 12)
    assert found.frame["rule"].tolist()[6:] == [monthly.BEYOND] * 6
    assert found.figure.data["phase"].tolist() == [monthly.EARLY] * 6 + [monthly.LATE] * 6
    assert "is of the 6 months 2020-01 to 2020-06" in found.notes[0]
    assert any("rests on 6 periods" in note for note in found.notes)
    # A month that ends after the day is not in it.
    early = monthly.by_month(days(YEAR.first, YEAR.last), Span(YEAR.first, YEAR.last, dt.date(2020, 6, 29)))
    assert early["baseline"].sum() == 5
    with pytest.raises(DataError, match="No month from 2020-01 on ends by 2020-01-30"):
        monthly.by_month(days(YEAR.first, YEAR.last), Span(YEAR.first, YEAR.last, dt.date(2020, 1, 30)))


def test_a_small_count_is_hidden_with_another_since_the_centre_line_tells_the_sum():
    found = chart([7, *[60] * 11])
    assert sorted(row for row, name, _ in found.hidden if name == "admissions") == [0, 1]
    assert found.frame["value"].isna().sum() == 2
    assert found.sentence.endswith(" 2 of 12 months are not shown, and not judged.")
    assert "Periods with too few to show" in whole(found.figure)


@pytest.mark.parametrize("baseline", [None, dt.date(2020, 6, 30)])
def test_nothing_that_leaves_depends_on_what_is_hidden(baseline):
    span = Span(YEAR.first, YEAR.last, baseline)
    one, two = chart([7, 50, *[60] * 10], span), chart([3, 54, *[60] * 10], span)
    assert everything(one) == everything(two)


def test_a_month_that_is_not_shown_ends_a_row():
    # Six high months on either side of two that are not shown: no row of eight.
    found = chart([*[70] * 6, 7, 40, *[70] * 4])
    assert set(found.frame["rule"].dropna()) <= {""}


def test_a_baseline_that_tells_a_small_count_is_given_up():
    """Of the months after the baseline only one has few events: all less the baseline would be those."""
    span = Span(YEAR.first, YEAR.last, dt.date(2020, 11, 30))
    found = chart([*[60] * 11, 7], span)
    assert any("The baseline asked for is not used" in note for note in found.notes)
    assert "phase" not in found.figure.data
    assert found.frame["centre"].iloc[0] == pytest.approx(667_000 / (1000 * 366 / 365.25))
    other = chart([*[60] * 10, 62, 5], span)
    assert other.frame["admissions"].isna().sum() == 2
    # With two such months their sum may be told, and the baseline stays.
    kept = chart([*[60] * 10, 6, 7], span=Span(YEAR.first, YEAR.last, dt.date(2020, 10, 31)))
    assert kept.figure.data["phase"].nunique() == 2


def test_few_events_in_all_give_no_centre_line():
    found = chart([1, 2, *[0] * 9, 3])
    assert found.frame["centre"].isna().all() and found.frame["high"].isna().all()
    assert "no centre line" in found.notes[0]
    # By rows: which months have none is shown, how many the others have is not.
    assert found.frame["admissions"].isna().tolist() == [True, True, *[False] * 9, True]
    assert everything(found) == everything(chart([3, 4, *[0] * 9, 1]))


@given(st.lists(st.sampled_from([0, 1, 2, 5, 9, 10, 11, 12, 40]), min_size=2, max_size=9), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_no_hidden_month_can_be_worked_out(counts, early):
    """The attack by linear programmes, on the months, the sum of the baseline where it is told, and the sum of all."""
    baseline = [i < early for i in range(len(counts))]
    gone, told, baseline_told = hidden.by_month(counts, baseline, 11)
    held = Cells()
    months = [held.add(n) for n in counts]
    if baseline_told and not all(baseline):
        held.add_sum([m for m, base in zip(months, baseline, strict=True) if base], held.add(sum(counts[:early])))
    held.add_sum(months, held.add(sum(counts)))
    assert {m for m in months if small(counts[m], 11)} <= set(np.flatnonzero(gone))
    assert not (told and small(sum(counts), 11))
    if told:
        assert leaks(held, {months[i] for i in np.flatnonzero(gone)}, 11) == []
    else:
        assert small(sum(counts), 11) or gone.all()


def test_months_that_are_all_small_and_follow_from_their_sum_are_not_even_said_to_be_small():
    # Twelve months of one each: "<11" for each, and 12 in all, would say so.
    found = chart([1] * 12)
    assert {text for _, name, text in found.hidden if name == "admissions"} == {"hidden"}
    assert found.frame["centre"].isna().all()


def test_no_events_are_said_and_not_drawn():
    found = chart([0] * 12)
    assert found.sentence == "There are no admissions." and found.figure is None
    assert found.frame["value"].tolist() == [0] * 12


def test_nobody_observed_is_said(source_of):
    source = source_of(tiny(visit_occurrence=[seen(1, "2020-01-01", 9200)]))
    empty = co.care_measures(source, first="2000-01-01", last="2000-12-31").admissions_by_month
    assert empty.frame.empty and empty.figure is None and empty.sentence == "Nobody is observed."
    assert empty._repr_html_()


def test_from_records_to_the_charts(source_of):
    people = range(1, 41)
    tables = tiny(
        observation_period=[observed(p, "2020-01-01", "2020-12-31") for p in people],
        visit_occurrence=[
            *(stay(p, "2020-03-05", "2020-03-10", id=p) for p in people if p <= 12),
            *(seen(p, "2020-03-05", 9203, id=100 + p) for p in people if p <= 13),  # twelve of them admitted that day
            *(seen(p, "2020-07-31", 9203, id=200 + p) for p in people if p <= 20),
        ],
    )
    found = co.care_measures(source_of(tables), **PERIOD, min_cell=1)
    admitted, urgent = found.admissions_by_month.frame, found.emergency_by_month.frame
    assert admitted["admissions"].tolist() == [0, 0, 12, *[0] * 9]
    assert urgent["emergency"].tolist() == [0, 0, 13, 0, 0, 0, 20, *[0] * 5]
    assert admitted["value"].iloc[2] == pytest.approx(12_000 / (40 * 31 / 365.25))
    use = found.use.frame.set_index("measure")["events"]
    assert use["Emergency visits"].tolist() == [33, 33] and use["Emergency visits, admitted"].tolist() == [12, 12]


def test_the_chart_does_not_give_a_part_of_the_emergency_visits_away(source_of):
    """30 visits, all but three released: the three follow from the total, so the 27 are hidden."""
    people = range(1, 41)
    tables = tiny(
        observation_period=[observed(p, "2020-01-01", "2020-12-31") for p in people],
        visit_occurrence=[
            *(seen(p, "2020-03-05", 9203, id=p) for p in people if p <= 30),
            *(stay(p, "2020-03-05", "2020-03-10", id=100 + p) for p in (1, 2, 3)),
        ],
    )
    found = co.care_measures(source_of(tables), **PERIOD)
    assert found.emergency_by_month.frame["emergency"].iloc[2] == 30
    use = found.use.frame.set_index("measure")
    assert use.loc["Emergency visits", "events"].tolist() == [30, 30]
    for part in ("Emergency visits, released", "Emergency visits, admitted"):
        assert use.loc[part, ["events", "value"]].isna().all(axis=None)
    assert "27" not in str(found.use)


def test_a_baseline_outside_the_period_is_refused():
    with pytest.raises(DefinitionError, match="The baseline ends on 2021-01-01, outside the period"):
        care_rules(**PERIOD, baseline_to="2021-01-01")
    with pytest.raises(DefinitionError, match="outside the period from 2020-01-01"):
        care_rules(first="2020-01-01", baseline_to="2019-12-31")
    rules = care_rules(**PERIOD, baseline_to="2020-06-30")
    assert type(rules).from_json(rules.to_json()) == rules
    assert EMERGENCY.column in days("2020-01-01", "2020-01-02")
