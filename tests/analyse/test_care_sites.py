"""Sites compared: expected numbers and limits by hand, the edge cases, and what a reader may not work out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import clinops as co
from clinops.analyse.care import sites
from clinops.render import figures
from clinops.results.disclosure import protect
from clinops.stats.funnel import binomial_limits
from tests.conftest import tiny
from tests.render.figures_support import whole
from tests.spec.test_care import seen
from tests.spec.test_readmissions import observed, stay


def discharges(*groups):
    """Index discharges from (site, n, readmitted), with age and sex where given; a site of None is not known."""
    rows = []
    for site, n, back, *mix in groups:
        age, sex = mix or (50, "female")
        rows += [{"site": site, "name": None, "age": age, "sex": sex, "readmitted": i < back} for i in range(n)]
    frame = pd.DataFrame(rows, columns=["site", "name", "age", "sex", "readmitted"])
    return frame.astype({"site": "Int64", "age": "Int64", "readmitted": bool})


def made(frame, min_cell=11):
    found = sites.compare(frame, min_cell)
    exhibits = (sites.sites(found, 30, "hospital", min_cell), sites.funnel(found, 30, "hospital", min_cell))
    return found, *protect(exhibits, min_cell)


def everything(*exhibits):
    """All that leaves: the numbers, the words, and what is drawn."""
    parts = []
    for one in exhibits:
        parts += [one.to_csv(), str(one), one.alt, *one.notes]
        if one.figure is not None:
            parts += [one.figure.data.to_csv(), figures.svg(figures.draw(one.figure))]
    return "\n".join(map(str, parts))


def test_expected_numbers_by_hand():
    young, old = (30, "female"), (70, "male")
    frame = discharges((1, 60, 6, *young), (1, 40, 16, *old), (2, 40, 6, *young), (2, 10, 4, *old))
    found, table, funnel = made(frame, 1)
    # Rates over both sites: 12 of 100 young women, 20 of 50 old men.
    rows = table.frame.set_index("label")
    assert rows["expected"].tolist() == pytest.approx([60 * 0.12 + 40 * 0.4, 40 * 0.12 + 10 * 0.4, 32])
    assert rows.loc["Site 1", "ratio"] == pytest.approx(22 / 23.2)
    exact = [chi2.ppf(0.025, 44) / 2 / 23.2, chi2.ppf(0.975, 46) / 2 / 23.2]  # Garwood
    assert rows.loc["Site 1", ["ratio_low", "ratio_high"]].tolist() == pytest.approx(exact, rel=1e-9)
    assert found.target == pytest.approx(32 / 150)
    limits = binomial_limits([100, 50], 32 / 150)
    assert funnel.frame["low_95"].tolist() == pytest.approx((100 * limits.low).tolist())
    assert funnel.figure.options["target"] == found.target
    assert table.sentence.startswith("For their patients' age and sex")


def test_not_known_is_a_level_of_age_and_of_sex():
    frame = discharges((1, 20, 10, pd.NA, None), (1, 20, 2), (2, 20, 2))
    found, *_ = made(frame, 1)
    # The unknown have a rate of their own, 10 of 20; the others 4 of 40.
    assert found.rows["expected"].tolist() == pytest.approx([10 + 2, 2, 14])


def test_ages_fall_into_their_bands():
    frame = discharges(*((1, 1, 0, age, "female") for age in (0, 17, 18, 44, 45, 64, 65, 74, 75, 84, 85, 101)))
    assert sites._strata(frame).nunique() == 6
    assert sites._strata(frame).tolist()[::2] == sites._strata(frame).tolist()[1::2]


def test_names_are_those_on_record_and_twins_have_their_number():
    frame = discharges((1, 12, 0), (2, 13, 0), (3, 14, 0), (None, 15, 0))
    frame["name"] = frame["site"].map({1: "North", 2: "North", 3: " "})
    assert made(frame)[0].rows["label"].tolist() == ["Site 3", "North (2)", "North (1)", "Not known", "Total"]


def test_small_sites_are_taken_together_and_unknown_ones_counted():
    frame = discharges((1, 100, 20), (2, 90, 18), (3, 10, 1), (4, 9, 0), (5, 8, 0), (None, 30, 12))
    found, table, funnel = made(frame)
    rows = found.rows.set_index("label")
    assert rows["index"].to_dict() == {
        "Site 1": 100, "Site 2": 90, "Smaller ones together (3)": 27, "Not known": 30, "Total": 247,
    }  # fmt: skip
    assert found.target == pytest.approx(51 / 247)  # of all, those in no comparison too
    assert funnel.frame["label"].tolist() == ["Site 1", "Site 2"]
    assert "Smaller ones: hospitals with fewer than 11 index discharges" in str(table)
    assert set(table.frame["against"][2:].fillna("")) == {""}  # neither within nor beyond


def test_one_site_is_no_comparison():
    _, table, funnel = made(discharges((1, 100, 20)))
    assert funnel.figure is None
    assert "fewer than two hospitals" in funnel.sentence and funnel.sentence == table.sentence
    assert table.frame["label"].tolist() == ["Site 1", "Total"]
    none = made(discharges((None, 100, 20)))
    assert none[2].figure is None and none[1].frame["label"].tolist() == ["Not known", "Total"]


def test_no_index_discharge_is_said():
    _, table, funnel = made(discharges())
    assert table.frame["index"].tolist() == [0] and funnel.frame.empty and funnel.figure is None
    assert table.sentence == "No discharge is an index, so hospitals cannot be compared."
    assert table._repr_html_() and funnel._repr_html_()


def test_a_site_without_readmissions_is_a_point_at_zero():
    _, table, funnel = made(discharges((1, 400, 0), *((i, 400, 40) for i in range(2, 7))))
    assert funnel.figure.data["value"].tolist()[0] == 0
    assert table.frame.set_index("label").loc["Site 1", "ratio"] == 0
    # 200 of 2,400 in all; none of 400 has a probability of (11/12)^400.
    assert table.frame.set_index("label").loc["Site 1", "against"] == "below 99.8%"
    assert funnel.sentence == "Beyond the 99.8% limits of chance about 8.3%: Site 1 below."
    quiet = made(discharges(*((i, 400, 0) for i in range(1, 11))))
    assert quiet[0].target == 0 and "no variation" in quiet[2].notes[0]
    assert quiet[1].frame["against"].tolist()[:2] == ["within", "within"]


def test_overdispersed_sites_have_wider_limits_and_the_note_says_so():
    spread = [(i, 400, 40 + 8 * (i % 11)) for i in range(1, 23)]
    found, _, funnel = made(discharges(*spread))
    assert found.spread.matters and found.spread.winsorised == 2
    exact = binomial_limits([400], found.target)
    assert funnel.frame["high_95"].iloc[0] > 100 * exact.high[0]
    assert "Limits widened" in funnel.notes[0] and f"{found.spread.factor:.2f}" in funnel.notes[0]
    even = made(discharges(*((i, 400, 60 + i % 3) for i in range(1, 13))))
    assert not even[0].spread.matters and "Exact binomial limits: hospitals vary about as much" in even[2].notes[0]
    few = made(discharges((1, 400, 60), (2, 400, 120)))
    assert "too few whose counts are shown" in few[2].notes[0]


def test_a_small_count_and_what_gives_it_away_is_hidden_in_table_and_picture():
    _, table, funnel = made(discharges((1, 500, 90), (2, 400, 7), (3, 300, 47), (4, 200, 33)))
    rows = table.frame.set_index("label")
    assert rows["events"].isna().tolist() == [False, True, False, True, False]  # 177 - 90 - 47 - 33 is 7
    assert rows["ratio"].isna().tolist() == [False, True, False, True, True]
    drawn = funnel.figure.data[funnel.figure.data["kind"] == "unit"]
    assert drawn["events"].isna().tolist() == drawn["value"].isna().tolist() == [False, True, False, True]
    assert "Units with too few events to show (<11 or hidden): 2." in whole(funnel.figure)
    # All but four were readmitted: the rest is a small count.
    _, table, _ = made(discharges((1, 500, 90), (2, 60, 56), (3, 300, 47)))
    assert pd.isna(table.frame.set_index("label").loc["Site 2", "events"])


@pytest.mark.parametrize("others", [(), tuple((i, 400, 50 + 6 * (i % 11)) for i in range(5, 25))])
def test_nothing_that_leaves_depends_on_what_is_hidden(others):
    """Two worlds that differ only in hidden counts leave the same, overdispersion and limits included."""
    one = discharges((1, 500, 90), (2, 400, 7), (3, 300, 47), (4, 200, 33), *others)
    two = discharges((1, 500, 90), (2, 400, 3), (3, 300, 47), (4, 200, 37), *others)
    assert everything(*made(one)[1:]) == everything(*made(two)[1:])


def test_too_few_readmissions_in_all_are_in_no_limit_and_no_expected_number():
    one, two = (discharges((1, 300, a), (2, 200, b), (3, 100, c), (4, 150, 0)) for a, b, c in ((2, 1, 1), (3, 2, 1)))
    found, table, funnel = made(one)
    assert math.isnan(found.target) and funnel.figure is None
    assert table.sentence == "There are too few readmissions to be shown."
    # Nor in the interval of a site without any: its upper end is 3.69 over what is expected.
    assert table.frame[["expected", "ratio", "ratio_high"]].isna().all(axis=None)
    assert set(table.frame["against"].fillna("")) == {""}
    assert everything(table, funnel) == everything(*made(two)[1:])
    nearly = made(discharges((1, 300, 297), (2, 200, 200)))  # all but three
    assert math.isnan(nearly[0].target)


def test_from_records_to_the_exhibits(source_of):
    """30 persons at one hospital, six readmitted within 30 days; 20 at another, two."""
    people = range(1, 51)
    visits = [stay(p, "2020-01-05", "2020-01-10", 1 if p <= 30 else 2, id=p) for p in people]
    visits += [stay(p, "2020-01-25", "2020-01-28", 1 if p <= 30 else 2, id=100 + p) for p in (*range(1, 7), 49, 50)]
    tables = tiny(
        observation_period=[observed(p, "2019-01-01", "2020-12-31") for p in people], visit_occurrence=visits,
        care_site=[{"care_site_id": 1, "care_site_name": "North"}, {"care_site_id": 2, "care_site_name": "South"}],
    )  # fmt: skip
    found = co.readmissions(source_of(tables), min_cell=1)
    rows = found.sites.frame.set_index("label")
    # A readmission is an index too: 36 and 22 discharges.
    assert rows["index"].to_dict() == {"North": 36, "South": 22, "Total": 58}
    assert rows["events"].to_dict() == {"North": 6, "South": 2, "Total": 8}
    overall = found.rate.frame.iloc[-2]
    assert (overall["events"], overall["of"]) == (8, 58)
    assert rows["expected"].tolist() == pytest.approx([36 * 8 / 58, 22 * 8 / 58, 8])  # women of one age, all of them
    assert np.isfinite(found.funnel.figure.data["low_998"]).all()


def test_records_without_stays_or_sites_render(source_of):
    empty = co.readmissions(source_of(tiny(visit_occurrence=[seen(1, "2020-01-01")])))
    assert empty.sites.frame["index"].tolist() == [0]
    assert "cannot be compared" in empty.funnel.sentence
    unnamed = [stay(p, "2020-01-05", "2020-01-10", None, id=p) for p in range(1, 30)]
    found = co.readmissions(source_of(tiny(visit_occurrence=unnamed)), site="clinic")
    assert found.sites.frame["label"].tolist() == ["Not known", "Total"]
