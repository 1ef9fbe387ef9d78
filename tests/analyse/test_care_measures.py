"""Measures of care as exhibits: values by hand, what is said with them, and what is kept back."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import clinops as co
from clinops.analyse.care import care_tables
from clinops.analyse.care.readmission_tables import POST_EXPOSURE
from clinops.define.care import CareRules, care_rules
from clinops.errors import DefinitionError
from clinops.stats.clustered import ratio_of_sums
from tests.analyse.test_readmissions import PAGE
from tests.conftest import tiny
from tests.spec.test_care import PERIOD, follow_up_tables, seen
from tests.spec.test_readmissions import observed, stay

kept, missed = (co.events("observation", co.codes(name, code)) for name, code in (("kept", 60), ("missed", 61)))
referral, therapy = (
    co.events("observation", co.codes(name, code)) for name, code in (("referral", 50), ("therapy", 51))
)
watched = co.events("visit", co.codes("observation stay", 581385))


def booked(person, day, concept):
    return {"person": person, "concept": concept, "start": day}


def full_tables():
    """Four persons observed through 2020 (366 days each)."""
    return tiny(
        observation_period=[observed(p, "2020-01-01", "2020-12-31") for p in range(1, 5)],
        visit_occurrence=[
            stay(1, "2020-02-01", "2020-02-05", id=1), stay(1, "2020-03-01", "2020-03-01", id=2),  # 4 and 0 nights
            stay(2, "2020-02-01", "2020-02-09", id=3),  # 8 nights, dies on the last day
            seen(1, "2020-05-01", 9203, id=4), seen(1, "2020-02-01", 9203, id=5), seen(3, "2020-05-01", 581385, id=6),
            *(seen(3, f"2020-0{month}-02", provider_id=doctor, id=10 + month)
              for month, doctor in ((1, 7), (2, 7), (3, 8), (4, 7))),
            *(seen(4, f"2020-0{month}-02", provider_id=9, id=20 + month) for month in (1, 2, 3)),
            seen(1, "2020-02-09", provider_id=9, id=30),
        ],
        death=[{"person": 2, "start": "2020-02-09"}],
        observation=[booked(1, "2020-01-03", 60), booked(1, "2020-01-04", 61), booked(2, "2020-01-03", 60),
                     booked(3, "2020-04-01", 50), booked(3, "2020-04-08", 51), booked(4, "2020-04-01", 50)],
    )  # fmt: skip


@pytest.fixture
def found(source_of):
    return co.care_measures(
        source_of(full_tables()), **PERIOD, min_cell=1, observation=watched, steps_from=referral, steps_to=therapy,
        kept=kept, missed=missed,
    )  # fmt: skip


def test_use_per_1000(found):
    frame = found.use.frame
    counts = dict(zip(frame["measure"], frame["events"], strict=True))
    assert counts == {
        "Admissions": 3, "Emergency visits": 2, "Emergency visits, released": 1, "Emergency visits, admitted": 1,
        "Observation stays": 1,
    }  # fmt: skip
    years = (3 * 366 + 40) / 365.25  # person 2 lives for 40 days of the year
    assert frame["value"].tolist()[:2] == pytest.approx([750, 3000 / years])
    assert frame["of"].tolist()[:2] == pytest.approx([4, years])
    expected = ratio_of_sums([2, 1, 0, 0], [1, 1, 1, 1])
    assert frame["high"].iloc[0] == pytest.approx(1000 * expected.conf_high)
    assert not any("Observation stays are not counted" in note for note in found.use.notes)


def test_length_of_stay(found):
    frame = found.length_of_stay.frame.set_index("episodes_of")
    assert frame["nights"].to_dict() == {"Discharged alive": 4, "Died in hospital": 8, "Total": 12}
    assert frame["mean"].to_dict() == {"Discharged alive": 2, "Died in hospital": 8, "Total": 4}
    assert frame["n"].to_dict() == {"Discharged alive": 2, "Died in hospital": 1, "Total": 3}
    assert frame[["q1", "median", "q3"]].isna().all().all()  # too few lie beyond them, whatever min_cell
    assert POST_EXPOSURE in found.length_of_stay.notes


def test_quarters_need_enough_values_on_either_side():
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 11)
    assert care_tables._quarters(values) == {"q1": 1, "median": 2, "q3": 3}
    # 43 values: the first quarter is the 11th, and 11 lie at or below it; the third is the 33rd, and 11 lie above.
    assert care_tables._quarters(np.arange(43)) == {"q1": 10, "median": 21, "q3": 32}
    few = care_tables._quarters(np.arange(40))
    assert math.isnan(few["q1"]) and few["median"] == 19 and few["q3"] == 29


def test_follow_up_after_discharge(source_of):
    found = co.care_measures(source_of(follow_up_tables()), **PERIOD, min_cell=1)
    frame = found.follow_up.frame
    # Six index discharges of five persons (the second of person 4 on 16 January, seen on the 20th).
    assert frame["events"].tolist() == [2, 4] and frame["of"].tolist() == [6, 6] and frame["persons"].tolist() == [5, 5]
    assert frame["value"].tolist() == pytest.approx([100 * 2 / 6, 100 * 4 / 6])
    assert frame["died"].tolist() == [1, 1] and frame["readmitted"].tolist() == [1, 1]
    assert found.follow_up.sentence == "66.7% of index discharges: ambulatory visit within 30 days."
    assert POST_EXPOSURE in found.follow_up.notes
    later = co.care_measures(source_of(follow_up_tables()), **PERIOD, days=14, min_cell=1)
    assert later.follow_up.frame["measure"].tolist() == ["Ambulatory visit within 14 days"]


def test_access_continuity_and_no_show(found):
    access = found.access.frame
    assert access["events"].tolist() == [1, 1] and access["of"].tolist() == [2, 2]
    assert found.access.sentence == "50.0% of days with referral: therapy within 30 days."
    continuity = found.continuity.frame
    assert continuity["persons"].tolist() == [2, 2, 2]
    # Person 3: 3 of 4, (10 - 4) / 12, 1 of 3; person 4: 1, 1, 1.
    assert continuity["mean"].tolist() == pytest.approx([(3 / 4 + 1) / 2, (1 / 2 + 1) / 2, (1 / 3 + 1) / 2])
    no_show = found.no_show.frame.iloc[0]
    assert (no_show["events"], no_show["of"], no_show["persons"]) == (1, 3, 2)
    assert len(found.exhibits) == 8


def test_measures_without_a_list_are_refused_or_left_out(source_of):
    plain = co.care_measures(source_of(full_tables()), **PERIOD)
    assert [one.name for one in plain.exhibits] == [
        "care_use", "care_admissions_by_month", "care_emergency_by_month", "care_length_of_stay", "care_follow_up",
        "care_continuity",
    ]  # fmt: skip
    assert any("Observation stays are not counted" in note for note in plain.use.notes)
    with pytest.raises(DefinitionError, match="access needs to know steps_from and steps_to"):
        _ = plain.access
    with pytest.raises(DefinitionError, match="no_show needs to know kept and missed"):
        _ = plain.no_show


def test_nobody_gives_rows_without_an_estimate(source_of):
    empty = co.care_measures(source_of(tiny(visit_occurrence=[seen(1, "2020-01-01", 9200)])), **PERIOD, min_cell=1)
    assert empty.use.frame["value"].tolist() == [0] * 8
    assert empty.length_of_stay.sentence == "There is no episode."
    assert empty.follow_up.sentence == "There are no index discharges that were followed for 30 days."
    assert "by='site'" in empty.continuity.sentence
    for exhibit in empty.exhibits:
        assert exhibit._repr_html_()


def test_small_counts_are_hidden_with_what_gives_them_away(source_of):
    people = range(1, 41)
    tables = tiny(
        observation_period=[observed(p, "2019-01-01", "2020-12-31") for p in people],
        visit_occurrence=[
            *(stay(p, "2020-01-05", "2020-01-10") for p in people),
            *(seen(p, "2020-01-12") for p in people if p > 3),  # all but three, two of whom died in hospital
        ],
        death=[{"person": p, "start": "2020-01-10"} for p in (1, 2)],
    )
    found = co.care_measures(source_of(tables), **PERIOD)
    stays = {(row, column) for row, column, _ in found.length_of_stay.hidden}
    assert {(0, "n"), (1, "n"), (0, "nights"), (1, "nights"), (0, "mean"), (1, "mean")} <= stays
    # 37 of 38 were seen: one was not.
    reached = {column for row, column, _ in found.follow_up.hidden if row == 0}
    assert {"events", "value"} <= reached
    assert "37" not in str(found.follow_up)


def test_rules_come_as_one_value_or_one_by_one(source_of):
    source = source_of(full_tables())
    rules = care_rules(**PERIOD, at_least=2)
    one, other = (
        co.care_measures(source, rules=rules, min_cell=1),
        co.care_measures(source, **PERIOD, at_least=2, min_cell=1),
    )
    assert one.continuity.frame.equals(other.continuity.frame)
    with pytest.raises(DefinitionError, match="not both"):
        co.care_measures(source, rules=rules, days=7)


def test_a_cohort_is_followed_from_its_index_dates(source_of):
    source = source_of(full_tables())
    entry = co.first_eligible(co.events("visit", co.codes("emergency", 9203)))
    visitors = co.cohort("Emergency visitors", entry=entry)
    found = co.care_measures(source, cohort=visitors, window=co.days(0, 60), observation=watched, min_cell=1)
    # Person 1 enters on 1 February 2020: the stay of that day, the visit of that day, and the stay of 1 March.
    frame = found.use.frame
    assert frame["events"].tolist()[::2] == [2, 1, 0, 1, 0] and frame["of"].tolist()[:2] == pytest.approx(
        [1, 61 / 365.25]
    )
    assert found.length_of_stay.frame["n"].tolist() == [2, 0, 2]
    again = co.readmissions(source, cohort=visitors, window=co.days(0, 60), min_cell=1)
    assert again.frame["episode"].tolist() == [1, 2]
    assert "Emergency visitors, days 0 to 60 from the index date" in str(again.rules)
    assert "everybody on record" in str(co.readmissions(source).rules)
    for call in (co.readmissions, co.care_measures):
        with pytest.raises(DefinitionError, match="A window counts from the index dates of a cohort"):
            call(source, window=co.days(1, 30))
        with pytest.raises(DefinitionError, match="The window is 30"):
            call(source, cohort=visitors, window=30)


def test_a_bundle_leaves(found, tmp_path):
    folder = found.write(tmp_path / "out")
    assert len(list((folder / "tables").glob("care_*.csv"))) == 8


def test_the_page_names_every_rule():
    named = [field.name for field in dataclasses.fields(CareRules)]
    assert [name for name in named if f"`{name}`" not in PAGE] == []
