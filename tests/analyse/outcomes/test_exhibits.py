"""Exhibits of one outcome: what they print and draw, and that a small arm leaves no trace in any of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from clinops.analyse.outcomes import exhibits
from clinops.analyse.outcomes.exhibits import MOST_STEPS
from clinops.analyse.outcomes.rate_exhibits import rates, standardised_rates
from clinops.analyse.outcomes.rates import AGES, Rates, split
from clinops.analyse.outcomes.rows import EventRows
from clinops.results.disclosure import protect
from clinops.results.result import Result
from tests.analyse.outcomes.support import One, every_row, only, rows, some
from tests.analyse.outcomes.test_estimates import FIVE, OTHERS, WATCHED_0

MARKS = (50.0, 100.0)


def every(of: EventRows, marks: tuple[float, ...] = MARKS) -> tuple[Result, ...]:
    return (
        exhibits.happened(of), exhibits.incidence(of, marks), exhibits.effects(of), exhibits.repeats(of, marks),
        exhibits.repeat_effects(of), rates(by_cell(of), 11), standardised_rates(by_cell(of)),
    )  # fmt: skip


def by_cell(of: EventRows) -> Rates:
    return split(of, AGES, False, "both arms")


def all_text(results: tuple[Result, ...], pages: bool = True) -> str:
    """All that a reader could see: text, pages with their figures, what figures are drawn from, the files of tables."""
    parts = []
    for one in results:
        page = one._repr_html_() if pages else ""
        drawn = "" if one.figure is None else one.figure.data.to_csv() + str(one.figure.options)
        parts += [str(one), page, drawn, str(one.to_csv()), one.alt]
    return "\n".join(parts)


def test_what_happened_is_counted_without_weights() -> None:
    found = exhibits.happened(rows(FIVE, OTHERS))
    one = found.frame.iloc[0]
    assert (one["n"], one["first"], one["death"], one["all"]) == (5, 2, 1, 4)
    assert one["years"] == pytest.approx((10 + 20 + 100 + 30 + 40) / 365.25)
    assert one["rate"] == pytest.approx(1000 * 4 / (290 / 365.25)) and one["median"] == 40
    assert found.sentence == "Visits: 2 of 5 Programme and 1 of 4 Usual care had at least one."
    assert found.notes == ("As it happened, without weights.",)
    aside = exhibits.happened(rows([*FIVE, One(0)], OTHERS))
    assert "without a day of follow-up" in aside.notes[0] and aside.frame["n"].tolist() == [5, 4]


def test_the_figure_of_risks_holds_the_steps_and_who_is_at_risk() -> None:
    found = exhibits.incidence(rows(FIVE, OTHERS), (25.0, 100.0))
    data = found.figure.data  # type: ignore[union-attr]
    curve = data[(data["kind"] == "curve") & (data["arm"] == "Programme") & (data["cause"] == "Visits")]
    assert curve["time"].tolist() == [0, 10, 30] and curve["risk"].tolist() == pytest.approx([0, 0.2, 0.4])
    assert curve["n_risk"].tolist() == [5, 5, 3]
    at = data[(data["kind"] == "at risk") & (data["arm"] == "Programme")]
    assert dict(zip(at["time"], at["n_risk"], strict=True)) == {0: 5, 25: 3, 100: 1}
    gap = data[(data["kind"] == "difference") & (data["cause"] == "Visits")]
    assert gap["risk"].tolist() == pytest.approx([-0.05, 0.15])
    assert "15" in found.sentence and "100" in found.sentence
    assert "Difference had deaths been censored" in " ".join(column.label for column in found.columns)


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    one, zero = some(900, 1, horizon=365, rate=2), some(500, 2, horizon=365, rate=2)
    of = rows([o._replace(end=365, dies=False, events=(1 + i * 364 // 900,)) for i, o in enumerate(one)], zero, 365)
    for found, value in ((exhibits.incidence(of, (365.0,)), "risk"), (exhibits.repeats(of, (365.0,)), "mean")):
        data = found.figure.data  # type: ignore[union-attr]
        keep = (data["kind"] == "curve") & (data["arm"] == "Programme") & (data["cause"] == "Visits")
        assert keep.sum() == MOST_STEPS + 1
        assert data.loc[keep, value].iloc[-1] == pytest.approx(1.0) and data.loc[keep, "time"].iloc[-1] == 364


def test_every_exhibit_prints_and_draws_whatever_happened() -> None:
    dead, alive = [One(9 + i, dies=True) for i in range(12)], [One(100)] * 12
    for arms in ((alive, WATCHED_0), (dead, dead), ([One(0)] * 3, WATCHED_0)):
        for one in protect(every(rows(*arms))):
            text = str(one)
            assert one._repr_html_() and not re.search(r"\b(nan|inf|None)\b", text), text


def test_a_missing_number_is_told_why_below_its_table() -> None:
    found = every(rows([One(100)] * 12, WATCHED_0))
    assert any("cause-specific hazard ratio (Cox): the likelihood keeps rising" in note for note in found[2].notes)
    limit = only(every_row(rows([One(100)] * 12, WATCHED_0)), "cause-specific", "hazard ratio")["conf_high"]
    assert found[2].sentence == f"Visits: no hazard ratio can be estimated; its upper 95% limit is {limit:.2f}."
    assert f"not estimable (0.00 to {limit:.2f})" in str(found[2])
    turned = every(rows(WATCHED_0, [One(100)] * 12))
    assert f"its lower 95% limit is {1 / limit:.2f}." in turned[2].sentence
    assert f"not estimable ({1 / limit:.2f} to \u221e)" in str(turned[2])
    assert found[4].sentence == "Visits: no ratio can be estimated."
    late = every(rows([*[One(50, events=(5,))] * 19, One(50)], WATCHED_0))
    assert any("by day 100: nobody is followed to day 100 in the arm Programme." in note for note in late[1].notes)
    assert late[3].sentence == "Visits per person by day 100: not estimable among Programme and 0.520 among Usual care."


def test_death_happens_once() -> None:
    of = rows(some(40, 1), some(40, 2))
    itself = EventRows(**{
        **{name: getattr(of, name) for name in of.__dataclass_fields__}, "death": "", "event": "Death",
        "cause": np.where(of.died, 1, 0), "exit": of.end, "event_row": np.flatnonzero(of.died),
        "event_day": of.end[of.died],
    })  # fmt: skip
    found = every(itself)
    assert {"death", "wrong"}.isdisjoint(column.name for one in found for column in one.columns)
    assert found[1].title == "Death: risk"
    assert found[3].sentence == found[4].sentence == "Not possible: Death comes once."


# --- small counts -------------------------------------------------------------------------------------

MANY = some(150, 11, rate=1.5)
SMALL = {
    "five": [One(100, events=(12, 44, 71)), One(33, dies=True), One(87), One(100), One(61, events=(29,))],
    "nine": [
        One(97, events=(5, 6)), One(21, dies=True), One(46, dies=True), One(100, events=(80,)), One(100), One(100),
        One(35, events=(9, 10, 30)), One(100), One(77),
    ],
}  # fmt: skip


@pytest.mark.parametrize("together", [True, False], ids=["as in a report", "one by one"])
def test_what_is_shown_of_a_small_arm_does_not_depend_on_who_is_in_it(together: bool) -> None:
    """Five persons or nine, with other histories: not a character of all that leaves may differ."""
    shown = []
    for people in SMALL.values():
        found = every(rows(people, MANY))
        kept = protect(found) if together else tuple(protect(one) for one in found)
        shown.append(all_text(kept, pages=together))
    assert shown[0] == shown[1]
    assert "150" in shown[0]  # the large arm is shown
    open_ = [all_text(every(rows(people, MANY)), pages=False) for people in SMALL.values()]
    assert open_[0] != open_[1]


def test_the_long_table_says_nothing_of_a_small_arm() -> None:
    frames = [protect(every_row(rows(people, MANY), *MARKS)) for people in SMALL.values()]
    assert frames[0].to_csv() == frames[1].to_csv()
    hidden = ["n_exposed", "events_exposed", "person_days_exposed", "value_exposed", "estimate", "conf_low", "p_value"]
    assert frames[0][hidden].isna().all().all()


def test_few_events_by_a_landmark_hide_what_rests_on_them() -> None:
    # 4 of 200 by day 50, 30 by day 100: the later risk is shown, the earlier is not, nor its difference in the figure.
    people = [One(100, events=(day,)) for day in (*range(41, 45), *range(60, 86))] + [One(100)] * 170
    found = protect(exhibits.incidence(rows(people, some(200, 3)), MARKS))
    own = found.frame[found.frame["cause"] == "Visits"].set_index("day")
    assert np.isnan(own.loc[50, "value_exposed"]) and np.isnan(own.loc[50, "difference"])
    assert own.loc[100, "value_exposed"] == pytest.approx(150)
    data: Any = found.figure.data  # type: ignore[union-attr]
    gap = data[(data["kind"] == "difference") & (data["cause"] == "Visits")].set_index("time")
    assert np.isnan(gap.loc[50, "risk"]) and not np.isnan(gap.loc[100, "risk"])
    at = data[(data["kind"] == "at risk")]
    assert at["n_risk"].notna().all()  # who is at risk is not few
