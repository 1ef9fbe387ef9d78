"""`co.survival` on a frame and on fitted lifelines curves: R's numbers in the exhibits, edges, clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, KaplanMeierFitter, WeibullFitter
from scipy.optimize import brentq

import clinops as co
from clinops.errors import DataError, DefinitionError
from clinops.render import figures
from tests.support import assert_close, oracle, oracle_csv


def lung() -> pd.DataFrame:
    """Lung cancer by sex (R's survival): 138 men, 90 women."""
    return oracle_csv("survival/km_lung_sex").assign(sex=lambda frame: frame["sex"].map({1: "Men", 2: "Women"}))


def of_lung(**options: Any) -> Any:
    return co.survival(lung(), time="time", event="event", by="sex", min_cell=0, **options)


def test_risks_at_landmarks_and_their_difference_are_r_s() -> None:
    at = oracle("survival/km_lung_sex")["expected"]["at"]
    frame = of_lung(landmarks=(180, 365, 730), horizon=730).risk.frame
    for at_, sex in ((slice(0, 3), "Men"), (slice(3, 6), "Women")):
        mine = frame[frame["group"] == sex]
        assert_close(mine["risk"], 100 * (1 - np.array(at["surv"][at_])), 1e-8)
        assert_close(mine["low"], 100 * (1 - np.array(at["upper"][at_])), 1e-8)
        assert_close(mine["high"], 100 * (1 - np.array(at["lower"][at_])), 1e-8)
        assert mine["n_risk"].tolist() == at["n_risk"][at_]
    women = frame[(frame["group"] == "Women") & (frame["day"] == 365)].iloc[0]
    men_s, women_s = at["surv"][1], at["surv"][4]
    reach = 1.959963984540054 * np.hypot(at["std_err_surv"][1], at["std_err_surv"][4])
    gap = men_s - women_s
    found = [women["difference"], women["difference_low"], women["difference_high"]]
    assert_close(found, [100 * gap, 100 * (gap - reach), 100 * (gap + reach)], 1e-7)
    assert women["ratio"] == pytest.approx((1 - women_s) / (1 - men_s), rel=1e-8)


def test_times_and_effects_are_r_s() -> None:
    expected = oracle("survival/km_lung_sex")["expected"]["summary_loglog"]
    made = of_lung(horizon=365)
    times = made.times.frame
    assert_close(times["median"], expected["median"], 1e-8)
    assert_close(times["low"], expected["median_lower"], 1e-8)
    assert_close(times["mean"], expected["rmst"], 1e-8)
    assert times["events"].tolist() == expected["events"] and times["n"].tolist() == expected["records"]
    effects = made.effects.frame.set_index("quantity")
    means, errors = np.array(expected["rmst"]), np.array(expected["rmst_se"])
    reach = 1.959963984540054 * np.hypot(*errors)
    mine = effects.loc["Difference in mean time free of the event, to 365"]
    assert_close([mine["estimate"], mine["low"]], [means[1] - means[0], means[1] - means[0] - reach], 1e-7)
    mine = effects.loc["Ratio of mean time free of the event, to 365"]
    half = 1.959963984540054 * np.hypot(*(errors / means))
    assert_close([mine["estimate"], mine["high"]], [means[1] / means[0], means[1] / means[0] * np.exp(half)], 1e-7)
    logrank = oracle("survival/logrank")["expected"]["lung_sex"]
    assert_close([effects.loc["Log-rank test", "p_value"]], [logrank["p"]], 1e-7)
    # published with the data (Therneau and Grambsch 2000, and R's help): women have 0.59 of the hazard of men
    assert effects.loc["Hazard ratio", "estimate"] == pytest.approx(0.588, abs=5e-4)


def test_a_pair_that_stands_in_both_groups_is_one_cluster() -> None:
    """Everybody stands in both groups with the same follow-up: no difference, and nothing that could vary."""
    rng = np.random.default_rng(4)
    time, event = np.ceil(rng.exponential(50, 60)), rng.integers(0, 2, 60)
    frame = pd.DataFrame({
        "time": np.tile(time, 2), "event": np.tile(event, 2), "arm": np.repeat(["a", "b"], 60),
        "pair": np.tile(np.arange(60), 2),
    })  # fmt: skip
    paired = co.survival(frame, time="time", event="event", by="arm", cluster="pair", horizon=40, landmarks=(20, 40))
    row = paired.estimates.risk(1, 20, "difference")
    assert row.estimate == pytest.approx(0, abs=1e-12) and row.std_error == pytest.approx(0, abs=1e-7)
    apart = co.survival(frame, time="time", event="event", by="arm", horizon=40, landmarks=(20, 40))
    assert apart.estimates.risk(1, 20, "difference").std_error > 0.05
    ratio = paired.estimates.mean_rows(1)[1]
    assert ratio["low"] == pytest.approx(1, abs=1e-6) and ratio["high"] == pytest.approx(1, abs=1e-6)


def test_numbers_at_risk_count_who_has_entered() -> None:
    """By hand: at risk at t means entry < t <= exit; at the very start, those who enter then."""
    frame = pd.DataFrame({"start": [0, 0, 3, 5], "stop": [4, 8, 9, 9], "event": [1, 0, 1, 1]})
    made = co.survival(frame, time="stop", event="event", entry="start", landmarks=(3, 4, 6, 9), min_cell=0)
    assert made.risk.frame["n_risk"].tolist() == [2, 3, 3, 2]
    drawn = made.risk.figure.data
    assert drawn[drawn["kind"] == "at risk"]["n_risk"].tolist() == [2, 2, 3, 3, 2]
    assert made.times.frame["time"].tolist() == [4 + 8 + 6 + 4]


def test_fitted_lifelines_curves_give_what_their_rows_give() -> None:
    parts = dict(list(lung().groupby("sex")))
    fitted = {name: KaplanMeierFitter().fit(part["time"], part["event"]) for name, part in parts.items()}
    there = co.survival(fitted, called="Death", horizon=700, min_cell=0)
    here = of_lung(called="Death", horizon=700)
    for name in ("times", "risk", "effects"):
        pd.testing.assert_frame_equal(getattr(there, name).frame, getattr(here, name).frame)
    listed = [KaplanMeierFitter(label=name).fit(part["time"], part["event"]) for name, part in parts.items()]
    assert co.survival(listed).groups.names == ("Men", "Women")
    assert co.survival(listed, reference="Women").groups.names == ("Women", "Men")


def test_one_group_three_groups_and_how_they_are_drawn() -> None:
    alone = co.survival(lung(), time="time", event="event")
    assert len(alone.exhibits) == 2 and "difference" not in str(alone.risk).lower()
    with pytest.raises(DefinitionError, match="one group"):
        _ = alone.effects
    veteran = oracle_csv("survival/km_veteran_trt")
    four = co.survival(veteran, time="time", event="status", by="celltype", min_cell=0, landmarks=(90,), horizon=180)
    contrasts = [f"{name} v adeno" for name in ("large", "smallcell", "squamous")]
    assert list(dict.fromkeys(four.effects.frame["contrast"])) == [*contrasts, "All groups"]
    expected = oracle("survival/logrank")["expected"]["veteran_celltype"]
    p = four.effects.frame.set_index("quantity").loc["Log-rank test", "p_value"]
    assert p == pytest.approx(expected["p"], rel=1e-6)
    for made in (alone, four, of_lung()):
        assert figures.svg(figures.draw(made.risk.figure, width=3.4)).startswith(b"<?xml")


def test_no_events_in_one_group() -> None:
    frame = pd.DataFrame({"time": np.arange(1.0, 41), "event": np.repeat([1, 0], 20), "arm": np.repeat(["a", "b"], 20)})
    made = co.survival(frame, time="time", event="event", by="arm", min_cell=0)
    row = made.effects.frame.set_index("quantity").loc["Hazard ratio"]
    assert np.isnan(row["estimate"]) and row["p_value"] < 0.001 and "score test" in row["note"]
    # all who had the event in group a were at risk with all 20 of b: the profile of its log hazard ratio falls by
    # chi2_1(0.95) / 2 where sum over j = 1..20 of log(1 + 20 exp(b) / j) is that much, b against a
    fall = brentq(lambda b: np.log1p(20 * np.exp(b) / np.arange(1, 21)).sum() - 1.959963984540054**2 / 2, -20, 5)
    assert row["low"] == 0 and row["high"] == pytest.approx(np.exp(fall), rel=1e-7)
    assert "not estimable (0.00 to" in str(made.effects)
    assert "no finite hazard ratio" in made.effects.sentence
    assert "Test of proportional hazards" in str(made.effects)


def test_follow_up_that_ends_early_is_said() -> None:
    frame = pd.DataFrame({"time": [5.0, 9, 2, 3], "event": [0, 1, 1, 0], "arm": ["a", "a", "b", "b"]})
    made = co.survival(frame, time="time", event="event", by="arm", horizon=9, landmarks=(2, 8), min_cell=0)
    late = made.risk.frame.query("group == 'b' and day == 8").iloc[0]
    assert np.isnan(late["risk"]) and np.isnan(late["difference"])
    assert any("b by 8 days" in note for note in made.risk.notes)
    assert np.isnan(made.times.frame["mean"].iloc[1]) and any("follow-up ends at 3" in n for n in made.times.notes)


def test_small_groups_are_hidden_and_names_are_text() -> None:
    frame = pd.DataFrame({"time": np.arange(1.0, 46), "event": 1, "arm": np.repeat(["<b>usual</b>", "few"], [40, 5])})
    made = co.survival(frame, time="time", event="event", by="arm")
    page = made._repr_html_()
    assert "<b>usual</b>" not in page and "&lt;b&gt;usual&lt;/b&gt;" in page
    assert "<11" in str(made.times) and "45" not in str(made.times)


def test_weights_reach_the_errors() -> None:
    """Weights that are no counts: robust errors everywhere, as R's weighted curves have (survfit, robust)."""
    data = oracle_csv("survival/km_lung_weighted")
    made = co.survival(data, time="time", event="event", by="sex", weights="w", min_cell=0, horizon=365)
    expected = oracle("survival/km_lung_weighted")["expected"]["km_robust"]
    curve = made.estimates.curves[0]
    assert_close(curve.std_error, expected["std_err_surv"][: len(curve.time)], 1e-8)
    assert made.estimates.model.se_kind == "robust" and "weighted" in made.risk.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "tme"}, "time: There is no column 'tme'. Did you mean 'time'"),
        ({"by": "gender"}, "by: There is no column 'gender'"),
        ({"by": "sex", "reference": "Woman"}, "reference: There is no group 'Woman'. Did you mean 'Women'"),
        ({"event": None}, "Name the columns of the frame"),
        ({"landmarks": (365, 180)}, "rising times after 0, up to"),
        ({"landmarks": (5000,)}, "rising times after 0, up to"),
        ({"horizon": 5000}, "horizon is 5000; follow-up ends at"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message.replace("(", r"\(").replace("?", r"\?")):
        co.survival(lung(), **({"time": "time", "event": "event"} | options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": [None, 2.0]}, "1 of 2 rows without a value"),
        ({"event": [2, 1]}, "event must be 0 or 1"),
        ({"time": [-1.0, 2.0]}, "enter after they leave"),
        ({"time": ["1", "2"]}, "not numbers"),
        ({"time": [0.0, 0.0]}, "has any follow-up"),
        ({"event": ["0", "1"]}, "event: column 'event' holds object, not numbers; code the event 1"),
    ],
)
def test_rows_that_no_curve_can_be_made_of(change: dict[str, Any], message: str) -> None:
    frame = pd.DataFrame({"time": [1.0, 2.0], "event": [1, 0]} | change)
    with pytest.raises(DataError, match=message):
        co.survival(frame, time="time", event="event")


def test_events_of_any_numeric_kind_are_the_same_events() -> None:
    time, event = [5.0, 6, 7, 8], [0, 1, 1, 0]
    for column in (
        event,
        np.array(event, bool),
        pd.array(event, "Int64"),
        pd.array(event, "boolean"),
        np.array(event, object),
    ):
        frame = pd.DataFrame({"days": time, "died": column})
        assert co.survival(frame, time="days", event="died").estimates.curves[0].events == 2


def test_all_events_on_one_day() -> None:
    frame = pd.DataFrame({"t": [30.0] * 20 + [90.0] * 40, "e": [1] * 20 + [0] * 40, "arm": ["a", "b"] * 30})
    made = co.survival(frame, time="t", event="e", by="arm", min_cell=0)
    assert any("events at one time only" in note for note in made.effects.notes)


def test_a_group_that_nothing_stands_for_is_refused() -> None:
    frame = pd.DataFrame(
        {"t": [0.0] * 3 + [1.0, 2, 3], "e": 1, "arm": ["a"] * 3 + ["b"] * 3, "w": [1.0, 1, 1, 0, 0, 0]}
    )
    with pytest.raises(DataError, match="Group 'a' has no row with any follow-up"):
        co.survival(frame, time="t", event="e", by="arm")
    with pytest.raises(DataError, match="Group 'b' has no row with a weight above 0"):
        co.survival(frame.assign(t=frame["t"] + 1), time="t", event="e", by="arm", weights="w")
    with pytest.raises(DataError, match="two groups that print as '1'"):
        co.survival(frame.assign(arm=[1, "1", 1, "1", 1, "1"], t=1.0), time="t", event="e", by="arm")
    with pytest.raises(DefinitionError, match="more than one column 't'"):
        co.survival(pd.concat([frame, frame[["t"]]], axis=1), time="t", event="e")


def test_before_anybody_is_at_risk_nothing_is_known() -> None:
    """Group b enters on day 40: no risk by day 20, no mean from day 0, and no difference from either."""
    frame = pd.DataFrame({
        "t": np.r_[np.arange(1.0, 31), np.full(30, 60.0)], "from": np.repeat([0.0, 40], 30), "e": np.repeat([1, 0], 30),
        "arm": np.repeat(["a", "b"], 30),
    })  # fmt: skip
    made = co.survival(frame, time="t", event="e", entry="from", by="arm", landmarks=(20,), horizon=30, min_cell=0)
    late = made.risk.frame.query("group == 'b'").iloc[0]
    assert np.isnan([late["risk"], late["difference"], late["ratio"]]).all() and late["n_risk"] == 0
    assert np.isnan(made.times.frame["mean"].iloc[1]) and not np.isnan(made.times.frame["mean"].iloc[0])
    means = made.effects.frame[made.effects.frame["quantity"].str.contains("mean time")]
    assert means["estimate"].isna().all() and (means["note"] == "nobody is at risk before 40").all()


def test_what_was_given_does_not_change_with_the_frame() -> None:
    frame = pd.DataFrame({"t": np.arange(1.0, 41), "e": [1, 0] * 20, "arm": ["a"] * 20 + ["b"] * 20, "s": [0, 1] * 20})
    options = {"time": "t", "event": "e", "by": "arm", "strata": "s", "cluster": "s"}
    kept, expected = co.survival(frame, **options), co.survival(frame.copy(), **options).estimates.model.coef
    frame.loc[:, "s"] = 0
    assert kept.estimates.model.coef == pytest.approx(expected, rel=1e-12)


def test_the_ratio_of_means_needs_no_events_in_both_groups() -> None:
    frame = pd.DataFrame({"t": [5, 6, 7, 8, 3, 4, 7, 8], "e": [0, 0, 0, 0, 1, 1, 0, 0], "arm": ["a"] * 4 + ["b"] * 4})
    made = co.survival(frame, time="t", event="e", by="arm", horizon=7, min_cell=0)
    row = made.effects.frame.set_index("quantity").loc["Ratio of mean time free of the event, to 7"]
    assert row["estimate"] == pytest.approx((3 + 4 + 7 + 7) / 4 / 7)  # b lives 3, 4, 7 and 7 of 7, a all of it


def test_times_in_seconds_have_a_handful_of_landmarks() -> None:
    frame = pd.DataFrame({"t": np.linspace(1e5, 1e7, 60), "e": [1, 0] * 30})
    assert len(co.survival(frame, time="t", event="e").landmarks) <= 8


def test_exhibits_are_written_to_a_folder(tmp_path: Path) -> None:
    made = of_lung()
    folder = made.write(tmp_path / "out")
    assert folder is not None and (folder / "figures" / "risk.svg").exists() and (folder / "tables").is_dir()
    assert made.write() is None


def test_too_many_groups_are_refused() -> None:
    frame = pd.DataFrame({"time": np.arange(1.0, 8), "event": 1, "clinic": list("abcdefg")})
    with pytest.raises(DataError, match="7 groups; 6 curves"):
        co.survival(frame, time="time", event="event", by="clinic")


def test_models_that_hold_no_curve_are_refused() -> None:
    time, event = [1.0, 2.0, 3.5, 4.0], [1, 0, 1, 1]
    for model, message in (
        (AalenJohansenFitter().fit(time, event, 1), "at random"),
        (WeibullFitter().fit(time, event), "There is no fitted model that holds a curve 'WeibullFitter'"),
        (KaplanMeierFitter(), "is not fitted"),
        (KaplanMeierFitter().fit_left_censoring(time, event), "left-censored"),
        ([KaplanMeierFitter().fit(time), KaplanMeierFitter().fit(time)], "are called"),
    ):
        with pytest.raises(DefinitionError, match=message):
            co.survival(model)
    with pytest.raises(DefinitionError, match="by name columns of a frame"):
        co.survival(KaplanMeierFitter().fit(time), by="arm")
