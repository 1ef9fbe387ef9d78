"""Rules of panels and series: each with a design that it finds and a near miss that passes in silence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import clinops as co
from clinops.define.panel import PanelPlan, PeriodPlan, SeriesPlan, plan_of
from clinops.define.panel_lint import ERRORS, WARNINGS
from clinops.errors import DefinitionError, DesignError

emergency = co.events("visit", co.codes("emergency visit", 9203))
office = co.events("visit", co.codes("office visit", 9202))
offer = co.events("observation", co.codes("programme offer", 2000000001))
Starts = dict[int, dt.date | None]


def panel(**given: Any) -> PanelPlan:
    parts = {
        "title": "t", "question": "q", "starts": offer, "outcome": co.count(emergency), "first": "2020-01-01",
        "last": "2022-12-31", "every": "quarter",
    }  # fmt: skip
    return co.panel(**(parts | given))


def series(**given: Any) -> SeriesPlan:
    parts = {
        "title": "t", "question": "q", "starts": "2022-01-01", "outcome": co.count(emergency), "first": "2020-01-01",
        "last": "2022-12-31", "units": (1, 2), "control": (3,),
    }  # fmt: skip
    return co.series(**(parts | given))


def starts(*cohorts: tuple[str | None, int]) -> Starts:
    days = [None if day is None else dt.date.fromisoformat(day) for day, n in cohorts for _ in range(n)]
    return dict(enumerate(days, 1))


SOUND = starts(("2021-01-01", 12), ("2021-07-01", 12), (None, 20))


GIVEN = {site: day for site, day in SOUND.items() if day is not None}


class Ehr:
    capture = "ehr"


def rules(found: Any) -> set[str]:
    return {finding.rule for finding in found}


def test_sound_designs_pass_in_silence() -> None:
    assert rules(panel().lint()) == set() and rules(panel().lint(None, SOUND)) == set()
    assert rules(series().lint()) == set()
    assert rules(panel(capture="contacts").lint(Ehr(), SOUND)) == set()


CASES: list[tuple[str, dict[str, Any], Starts, dict[str, Any], Starts]] = [
    ("everyone-treated-at-first", {}, starts(("2020-02-01", 40)), {}, starts(("2020-02-01", 20), ("2021-01-01", 40))),
    ("nobody-starts", {}, starts((None, 30), ("2020-01-05", 20)), {}, SOUND),
    ("nobody-starts", {}, starts((None, 30), ("2023-01-01", 20)), {}, SOUND),
    ("everyone-starts-at-once", {}, starts(("2021-01-01", 20), ("2021-03-31", 20)), {},
     starts(("2021-01-01", 20), ("2021-04-01", 20))),
    ("everyone-starts-at-once", {"comparison": "never treated"}, starts(("2020-01-01", 20), ("2021-01-01", 20)), {},
     starts(("2021-01-01", 20), (None, 1))),
    ("no-never-treated", {"comparison": "never treated"}, starts(("2021-01-01", 20), ("2021-07-01", 20)),
     {"comparison": "never treated"}, SOUND),
    ("no-trend-before", {}, starts(("2020-06-30", 20), (None, 30)), {}, starts(("2020-07-01", 20), (None, 30))),
    ("short-trend-before", {}, starts(("2020-06-30", 20), ("2021-01-01", 20), (None, 30)), {}, SOUND),
    ("two-way-with-staggered-starts", {"primary": "two-way"}, SOUND, {"primary": "two-way"},
     starts(("2021-01-01", 20), (None, 20))),
    ("random-order-one-start", {"order": "random"}, starts(("2021-01-01", 20), (None, 20)), {"order": "random"}, SOUND),
    ("random-order-one-start", {"order": "random"}, starts(("2021-01-01", 20), ("2021-02-01", 20)),
     {}, starts(("2021-01-01", 20), (None, 20))),
    ("random-order-from-records", {"order": "random"}, SOUND, {"order": "random", "starts": GIVEN}, SOUND),
    ("few-sites", {}, starts(("2021-01-01", 19), (None, 20)), {}, starts(("2021-01-01", 20), (None, 20))),
    ("hardly-any-sites", {}, starts(("2021-01-01", 5), (None, 50)), {}, starts(("2021-01-01", 6), (None, 50))),
    ("hardly-any-sites", {}, starts(("2021-01-01", 50), (None, 5)), {}, starts(("2021-01-01", 50), (None, 6))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "when", "near", "then"), CASES)
def test_rules_of_starts(rule: str, bad: Any, when: Starts, near: Any, then: Starts) -> None:
    found = panel(**bad).lint(None, when).named(rule)
    assert len(found) == 1 and found[0].severity == ("error" if rule in ERRORS else "warning")
    assert found[0].what and found[0].why and found[0].remedy
    assert rule not in rules(panel(**near).lint(None, then))


SERIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no-control-series", {"control": ()}, {"control": co.count(office)}),
    ("few-points", {"starts": "2020-08-01"}, {"starts": "2020-09-01"}),
    ("few-points", {"starts": "2022-05-01", "phase_in": 1}, {"starts": "2022-05-01"}),
    ("season-under-two-years", {"starts": "2021-12-01"}, {"starts": "2021-12-01", "season": "none"}),
    ("start-inside-period", {"starts": "2022-01-02"}, {"starts": "2022-01-02", "phase_in": 1}),
]


@pytest.mark.parametrize(("rule", "bad", "near"), SERIES)
def test_rules_of_series(rule: str, bad: dict[str, Any], near: dict[str, Any]) -> None:
    assert len(series(**bad).lint().named(rule)) == 1
    assert rule not in rules(series(**near).lint())


@pytest.mark.parametrize("plan", [panel, series])
def test_rules_of_both(plan: Any) -> None:
    own = {"programme": offer, "outcome": co.count(offer)}
    if plan is series:
        assert rules(series(programme=office, control=co.count(office), units=()).lint()) == {
            "outcome-counts-programme"
        }
    assert "outcome-counts-programme" in rules(plan(**own).lint())
    assert rules(plan(programme=offer).lint()) == set()
    assert rules(plan(population=co.has(office, co.days(-30, 1))).lint()) == {"population-after-period-start"}
    assert rules(plan(population=co.observed(30, 30)).lint()) == {"population-after-period-start"}
    assert rules(plan(population=(co.has(office, co.days(-30, 0)), co.observed(365))).lint()) == set()
    assert rules(plan().lint(Ehr())) == {"ehr-without-capture"}


def test_one_start_of_everybody_is_said_once() -> None:
    once = starts(("2021-01-01", 40))
    assert rules(panel(comparison="never treated").lint(None, once)) & set(ERRORS) == {"everyone-starts-at-once"}
    assert rules(panel(order="random").lint(None, once)) & set(ERRORS) == {"random-order-one-start"}
    late = starts(("2021-01-01", 20), ("2023-01-01", 20))  # after the last period: those have not started yet
    assert not rules(panel().lint(None, late)) & set(ERRORS)


def test_every_rule_has_a_case() -> None:
    tried = {case[0] for case in CASES} | {case[0] for case in SERIES}
    shared = {"outcome-counts-programme", "population-after-period-start", "ehr-without-capture"}
    assert tried | shared == {*ERRORS, *WARNINGS}


def test_dates_in_the_plan_are_judged_without_records() -> None:
    given = {1: "2021-01-01", 2: "2021-07-15"}
    found = panel(starts=given, primary="two-way").lint()
    assert rules(found) == {"two-way-with-staggered-starts"}
    with pytest.raises(DesignError, match="two-way-with-staggered-starts"):
        found.raise_if_stopped()
    reason = "The published report used it, and it is repeated here."
    allowed = panel(starts=given, primary="two-way", allow=co.allow("two-way-with-staggered-starts", reason)).lint()
    assert allowed.errors == () and len(allowed.allowed) == 1
    for rule, said in (
        ("few-sites", "is a warning"),
        ("two-way-with-starts", "Did you mean 'two-way-with-staggered-starts'"),
    ):
        with pytest.raises(DefinitionError, match=said):
            panel(allow=co.allow(rule, reason)).lint()


# --- the plans themselves -----------------------------------------------------------------------------------


def test_periods_are_whole_months_and_quarters() -> None:
    plan = panel(first="2019-10-01", last="2020-06-30")
    assert plan.names == ("2019 Q4", "2020 Q1", "2020 Q2")
    assert plan.periods[1] == (dt.date(2020, 1, 1), dt.date(2020, 3, 31))
    days = (dt.date(2019, 9, 30), dt.date(2019, 10, 1), dt.date(2020, 3, 31), dt.date(2020, 4, 1))
    assert [plan.period_of(day) for day in days] == [-1, 0, 1, 2]
    monthly = panel(every="month", first="2020-02-01", last="2020-03-31")
    assert monthly.names == ("2020-02", "2020-03") and monthly.periods[0][1] == dt.date(2020, 2, 29)
    assert panel().rate.endswith("per 1,000 person-months") and panel(outcome=co.cost()).per == "person-month"
    assert panel(outcome=co.any_of(emergency)).rate.startswith("Share of persons with any emergency")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"first": "2020-02-01"}, "no whole quarters.* such as 2020-01-01 to 2020-12-31"),
        ({"last": "2022-11-30"}, "no whole quarters"),
        ({"every": "month", "last": "2022-12-30"}, "no whole months"),
        ({"last": "2019-12-31"}, "no whole quarters"),
        ({"last": "2020-03-31"}, "a change needs at least two"),
        ({"first": "2020-01-1"}, "write a date as"),
        ({"every": "week"}, "no length of a period 'week'"),
        ({"per": "person"}, "no per 'person'"),
        ({"outcome": co.any_of(emergency), "per": "person-year"}, "no per 'person-year'"),
        ({"outcome": co.time_to(emergency)}, "kind of outcome of a panel"),
        ({"outcome": co.count(emergency, co.after(30))}, "each period is one"),
        ({"population": co.first()}, "the periods say when"),
        ({"population": co.between("2020-01-01", "2020-12-31")}, "the periods say when"),
        ({"starts": {}}, "in one way"),
        ({"starts": "2020-01-01"}, "give events, or a date for each site"),
        ({"starts": {1: "soon"}}, "the start of site 1 is 'soon'"),
        ({"comparison": "never"}, "comparison"),
        ({"compare": "never"}, "no part of a panel 'compare'. Did you mean 'comparison'"),
        ({"unit": "ward"}, "no unit 'ward'"),
        ({"starting_records": 0}, "starting_records is 0"),
        ({"membership": "always"}, "membership"),
        ({"min_cell": 0}, "min_cell"),
    ],
)
def test_impossible_plans_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        panel(**given)


def test_plans_go_through_json_and_change(tmp_path: Any) -> None:
    for plan in (panel(starts={3: "2021-01-01", 1: dt.date(2021, 7, 1)}, population=co.age(18)), panel(), series()):
        again = PeriodPlan.from_json(plan.to_json())
        assert again == plan and again.hash == plan.hash and type(plan).read(plan.write(tmp_path / "p.json")) == plan
    assert [one.site for one in panel(starts={3: "2021-01-01", 1: "2021-07-01"}).start_dates] == [1, 3]
    changed = plan_of(panel(), PanelPlan, {"every": "month", "seed": None})
    assert changed.every == "month" and changed.seed == 1
    assert str(panel()) == "t: Number of emergency visit per 1,000 person-months, 2020 Q1 to 2022 Q4"


def test_one_drawn_start_is_found_in_the_plan_alone() -> None:
    one = dict.fromkeys((1, 2, 3), "2021-01-01")
    assert rules(panel(order="random", starts=one).lint()) == {"random-order-one-start"}
    assert rules(panel(order="random", starts=one | {3: "2021-04-01"}).lint()) == set()
    assert rules(panel(starts=one).lint()) == set()
