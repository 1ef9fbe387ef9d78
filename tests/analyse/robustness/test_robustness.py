"""`co.robustness` on a small simulated programme: every exhibit again from the rows, by simpler means."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.robustness import confounding, missing, placebo, record
from clinops.analyse.robustness.facade import NUMBERS, ORDER, Robustness
from clinops.analyse.robustness.setting import Setting, setting_of
from clinops.errors import DefinitionError, DesignError
from clinops.results.result import Check
from clinops.results.schema import validate
from clinops.sources import connect
from clinops.worlds import write

PROTOCOL = Path(__file__).parents[3] / "data" / "protocols" / "remote_care_programme.json"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("world") / "small"
    write(folder, persons=2000, seed=11)
    with connect(folder / "omop") as opened:
        yield opened


@pytest.fixture(scope="module")
def tried(source: Any) -> Robustness:
    return co.robustness(co.protocol.read(PROTOCOL).vary(min_cell=1), source, imputations=3, draws=2000)


@pytest.fixture(scope="module")
def setting(tried: Robustness) -> Setting:
    return setting_of(tried.study)


# --- the whole ------------------------------------------------------------------------------------


def test_the_exhibits_stand_in_order_with_their_numbers(tried: Robustness) -> None:
    assert [one.name for one in tried.exhibits] == list(NUMBERS)
    assert [one.number for one in tried.exhibits] == list(NUMBERS.values())
    assert [getattr(tried, name).protected for name in ORDER] == [1] * len(ORDER)
    text = str(tried)
    assert [number for number in NUMBERS.values() if number not in text] == []
    assert all(one.alt for one in tried.exhibits if one.figure is not None)


def test_the_summary_says_what_each_exhibit_says(tried: Robustness) -> None:
    frame = tried.summary.frame
    made = [getattr(tried, name) for name in ORDER if name != "before_after"]
    assert frame["finding"].tolist() == [one.sentence for one in made]
    judged = [one.verdict if isinstance(one, Check) else "–" for one in made]
    assert frame["verdict"].tolist() == judged and frame["where"].tolist() == [one.number for one in made]


def test_the_estimates_are_the_long_schema_and_leave_as_a_bundle(tried: Robustness) -> None:
    validate(tried.estimates)
    assert set(tried.estimates["analysis"]) == {
        "main", "negative control", "specification curve", "end of observation", "missing covariates",
        "missing outcomes", "placebo period", "placebo date", "before and after",
    }  # fmt: skip
    assert tried.write() is None  # no folder, no runner
    bundle = tried.bundle()
    assert bundle.title.startswith("Robustness: ") and bundle.estimates is tried.estimates
    assert bundle.failed == tuple(c.title for c in tried.exhibits if isinstance(c, Check) and c.passed is False)


def test_what_cannot_be_is_refused_before_anything_is_read() -> None:
    for given, said in (
        ({"sensitivity": (0.9,)}, "the least and the most"), ({"sensitivity": (0.9, 0.8)}, "the least first"),
        ({"sensitivity": (0.3, 0.9), "specificity": (0.6, 0.9)}, "says nothing of the outcome"),
        ({"imputations": 1}, "between 2 and 200"), ({"last_contact": (-1,)}, "between 0 and 3650"),
        ({"placebo_shift": 0}, "between 1 and"), ({"draws": 5}, "between 100"),
    ):  # fmt: skip
        with pytest.raises(DefinitionError, match=said):
            co.robustness(PROTOCOL, None, **given)


def test_an_unknown_outcome_and_a_protocol_without_one_are_refused(source: Any) -> None:
    plan = co.protocol.read(PROTOCOL)
    with pytest.raises(DefinitionError, match="Did you mean 'Admissions'"):
        co.robustness(plan, source, outcome="Admision")
    with pytest.raises(DefinitionError, match="has no outcome"):
        co.robustness(plan.with_(outcomes=()), source)
    with pytest.raises(DesignError, match="covariate-after-time-zero"):
        co.robustness(plan.with_(covariates=(co.cost("total", co.days(1, 30)),)), source)


def test_adjustments_of_the_grid_that_name_covariates_do_not_stop_the_past(source: Any, tried: Robustness) -> None:
    """The past outcome is measured without the covariates, so nothing may still ask for them by name."""
    grid = co.sensitivity(adjustments=(co.match(exact=("Sex",)),))
    other = co.robustness(co.protocol.read(PROTOCOL).with_(sensitivity=grid, min_cell=1), source)
    for name in ("placebo_period", "change"):
        pd.testing.assert_frame_equal(getattr(other, name).frame, getattr(tried, name).frame)


def test_where_the_outcome_is_modelled_weights_of_its_estimand_stand_in(source: Any, tried: Robustness) -> None:
    """A model of the outcome has no weights; rows as they are would be called adjusted."""
    other = co.robustness(co.protocol.read(PROTOCOL).with_(adjust=co.standardise(), min_cell=1), source, draws=2000)
    for name in ("capture", "misclassification", "missing_outcomes"):
        pd.testing.assert_frame_equal(getattr(other, name).frame, getattr(tried, name).frame)
    assert "Adjusted: ATT weighting." in other.capture.notes


# --- confounding ----------------------------------------------------------------------------------


def test_an_e_value_is_a_statement_and_never_a_verdict(tried: Robustness) -> None:
    check = tried.e_values
    assert check.passed is None and check.threshold is None
    assert isinstance(check.observed, float) and check.observed > 1
    assert check.frame["e_value"].tolist() == [check.observed]


def test_tipping_points_are_the_effect_over_the_gap(tried: Robustness, setting: Setting) -> None:
    row = next(r for r in tried._main if r["scale"] == "mean difference")
    frame = tried.tipping.frame
    assert frame["estimate"].tolist() == pytest.approx((row["estimate"] / frame["gap"]).tolist())
    nearer = row["conf_high"] if row["estimate"] < 0 else row["conf_low"]
    beyond = nearer * row["estimate"] > 0
    expected = nearer / frame["gap"] if beyond else frame["gap"] * 0
    assert frame["limit"].tolist() == pytest.approx(expected.tolist())
    none = confounding.tipping(setting, row | {"estimate": None})
    assert none.sentence.startswith("Not possible")


def controls(*log: float, error: float = 0.1) -> list[dict[str, Any]]:
    """Rows of negative controls as an analysis leaves them."""
    z = np.abs(np.array(log)) / error
    return [
        {"measure": f"Control {i}", "scale": "hazard ratio", "events_exposed": 50, "events_comparator": 60,
         "n_exposed": 500, "n_comparator": 900, "estimate": math.exp(y), "std_error": error,
         "conf_low": math.exp(y - 0.196), "conf_high": math.exp(y + 0.196), "p_value": math.erfc(p / math.sqrt(2))}
        for i, (y, p) in enumerate(zip(log, z, strict=True))
    ]  # fmt: skip


def test_a_single_negative_control_warns_and_never_clears(setting: Setting) -> None:
    quiet, loud = (confounding.negative_controls(setting, controls(y)) for y in (0.05, 0.5))
    assert quiet.passed is None and "A single one can warn but not clear" in quiet.sentence
    assert loud.passed is False
    assert confounding.negative_controls(setting, controls(0.05, -0.02)).passed is True
    assert confounding.negative_controls(setting, controls(0.05, 0.3)).passed is False  # P .003 against .025
    assert confounding.negative_controls(setting, []).passed is None


def test_fewer_than_twenty_calibrate_nothing_and_say_how_many(setting: Setting) -> None:
    few = confounding.calibration(setting, controls(*[0.1] * 19), [])
    assert few.sentence == (
        "Not possible: empirical calibration needs at least 20 negative controls with an estimate; there are 19."
    )


def test_twenty_calibrate_and_are_judged_by_their_systematic_error(setting: Setting) -> None:
    rng = np.random.default_rng(3)
    biased, fair = (rng.normal(mean, 0.1, 30) for mean in (0.6, 0.0))
    check = confounding.negative_controls(setting, controls(*biased))
    assert check.passed is False and check.observed == pytest.approx(np.abs(biased).mean(), abs=0.02)
    assert confounding.negative_controls(setting, controls(*fair)).passed is True
    (outcome,) = controls(0.6)
    frame = confounding.calibration(setting, controls(*biased), [outcome]).frame
    assert frame["plain_p"].iloc[0] < 1e-6 and frame["p_value"].iloc[0] > 0.5  # what the bias explains
    assert frame["estimate"].iloc[0] == pytest.approx(math.exp(0.6 - biased.mean()), rel=0.01)


# --- the record -----------------------------------------------------------------------------------


def test_contacts_per_month_are_those_of_the_visits(tried: Robustness, source: Any) -> None:
    """Distinct days with a visit of each entry, counted again with pandas from the tables."""
    base, ends = tried.study.baseline.frame, tried.study.outcomes.frame
    visits = source.engine.collect(source.table("visit_occurrence").select("person_id", "visit_start_date")).to_pandas()
    pairs = base[["person_id", "index_date", "arm"]].assign(row=range(len(base)), end=ends["end_day"],
                                                           since=ends["observed_from_day"])  # fmt: skip
    pairs = pairs.merge(visits.assign(visit_start_date=pd.to_datetime(visits["visit_start_date"])), on="person_id")
    pairs["day"] = (pairs["visit_start_date"] - pairs["index_date"]).dt.days
    days = pairs.drop_duplicates(["row", "day"])
    frame = tried.capture.frame
    for i, (inside, time) in enumerate((
        (days["day"].between(-365, -1) & (days["day"] >= days["since"]), np.minimum(-ends["observed_from_day"], 365)),
        (days["day"].between(1, 365) & (days["day"] <= days["end"]), ends["end_day"].clip(lower=0)),
    )):  # fmt: skip
        for arm, name in ((1, "exposed"), (0, "comparator")):
            months = time[base["arm"] == arm].sum() / (365.25 / 12)
            count = (inside & (days["arm"] == arm)).sum()
            assert frame[f"rate_{name}"].iloc[i] == pytest.approx(count / months)
            seen = days.loc[inside & (days["arm"] == arm), "row"].nunique()
            followed = (time[base["arm"] == arm] > 0).sum()
            assert frame[f"none_{name}"].iloc[i] == followed - seen
    assert tried.capture.observed == pytest.approx(math.exp(abs(math.log(frame["ratio"].iloc[0]))))


def test_a_source_that_sees_its_own_care_only_is_judged_in_follow_up_too(tried: Robustness, setting: Setting) -> None:
    before, after = tried.capture.frame["ratio"]
    study = dataclasses.replace(setting, study=_As(tried.study, capture="ehr"))
    check = record.capture(study)
    assert check.observed == pytest.approx(math.exp(max(abs(math.log(before)), abs(math.log(after)))))


class _As:
    """A study on a source with another capture."""

    def __init__(self, study: Any, capture: str) -> None:
        self._study = study
        self.source = type("Source", (), {"capture": capture})()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def test_the_end_of_observation_moves_what_is_counted(tried: Robustness) -> None:
    frame = tried.end_of_observation.frame
    assert frame["level"].tolist() == ["as recorded", *(f"last contact and {d} days" for d in (90, 180, 365))]
    main = next(r for r in tried._main if r["scale"] == "PMPM difference")
    assert frame["estimate"].iloc[0] == pytest.approx(main["estimate"], rel=1e-12)
    shares = frame["share_exposed"].tolist()
    assert shares[1] <= shares[2] <= shares[3] <= shares[0] and shares[1] < shares[0]
    # The same protocol, with the rule written into it, comes to the same.
    p = tried.study.protocol
    said = p.with_(
        follow_up=dataclasses.replace(p.follow_up, last_contact=90), outcomes=(p.primary,), negative_controls=()
    )
    again = setting_of(said.on(tried.study.source))
    row = again.row(again.data, again.outcome, again.adjusted, "PMPM difference")
    assert frame["estimate"].iloc[1] == pytest.approx(row["estimate"], rel=1e-9)


def test_a_recorded_risk_is_corrected_as_by_hand(tried: Robustness, setting: Setting) -> None:
    data, w = setting.data, setting.adjusted.weights
    measure = next(m for m in setting.protocol.outcomes if m.name == "Admissions")
    had = data.column(measure) > 0
    one, zero = (np.average(had[arm], weights=w[arm]) for arm in (data.exposed, ~data.exposed))
    frame = tried.misclassification.frame.set_index("case")
    first = frame.loc["As recorded"]
    assert (first["value_exposed"], first["value_comparator"]) == pytest.approx((1000 * one, 1000 * zero))
    assert first["difference"] == pytest.approx(1000 * (one - zero)) and first["ratio"] == pytest.approx(one / zero)
    mended = frame.loc["Also recorded by mistake in both arms"]
    assert mended["difference"] == pytest.approx(1000 * (one - zero) / (0.8 + 0.98 - 1))
    apart = frame.loc["Missed more often among Not offered"]
    assert apart["difference"] == pytest.approx(1000 * (one / 0.95 - zero / 0.8))
    assert "Admissions" in tried.misclassification.title


def test_ranges_that_contradict_the_records_are_counted(setting: Setting) -> None:
    made = record.misclassification(setting, "Admissions", (0.8, 0.9), (0.85, 0.99), 2000)
    frame = made.frame.set_index("case")
    hopeless = frame.loc["Also recorded by mistake in both arms"]  # 15 % by mistake, more than there are on record
    assert hopeless["impossible"] == 1 and math.isnan(hopeless["difference"])
    assert 0 < frame.loc["Any of these, alike in both arms", "impossible"] < 1
    assert "impossible combinations" in made.sentence and "impossible" in str(made)


# --- placebos -------------------------------------------------------------------------------------


def test_the_placebo_outcome_is_the_cost_before_the_covariates(tried: Robustness, source: Any) -> None:
    """Crude difference from the cost table, of those observed 730 days before the index date."""
    base, since = tried.study.baseline.frame, tried.study.outcomes.frame["observed_from_day"]
    kept = base[since <= -730][["person_id", "index_date", "arm"]].reset_index(drop=True)
    costs = _costs(source)
    pairs = kept.assign(row=range(len(kept))).merge(costs, on="person_id")
    day = (pairs["date"] - pairs["index_date"]).dt.days
    spent = pairs[day.between(-730, -366)].groupby("row")["amount"].sum().reindex(range(len(kept)), fill_value=0)
    crude = spent[kept["arm"] == 1].mean() - spent[kept["arm"] == 0].mean()
    frame = tried.placebo_period.frame
    assert frame["estimate"].iloc[0] == pytest.approx(crude)
    assert frame[["n_exposed", "n_comparator"]].iloc[0].tolist() == [(kept["arm"] == a).sum() for a in (1, 0)]
    check = tried.placebo_period
    assert isinstance(check, Check) and check.passed == (frame["p_value"].iloc[1] >= 0.05)


def _costs(source: Any) -> pd.DataFrame:
    """Allowed amounts by person and the day on which the visit or fill they belong to starts."""
    cost, visit, drug = (source.table(n) for n in ("cost", "visit_occurrence", "drug_exposure"))
    held = source.engine.collect(cost.select("cost_event_id", "cost_domain_id", "amount_allowed")).to_pandas()
    parts = []
    for domain, table, key, date in (("Visit", visit, "visit_occurrence_id", "visit_start_date"),
                                     ("Drug", drug, "drug_exposure_id", "drug_exposure_start_date")):  # fmt: skip
        rows = source.engine.collect(table.select("person_id", key, date)).to_pandas()
        part = held[held["cost_domain_id"] == domain].merge(rows, left_on="cost_event_id", right_on=key)
        parts.append(part[["person_id", "amount_allowed"]].assign(date=pd.to_datetime(part[date])))
    both = pd.concat(parts)
    return both.assign(amount=both["amount_allowed"].astype(float))


def test_a_placebo_date_within_the_days_of_selection_is_not_judged(tried: Robustness, setting: Setting) -> None:
    assert isinstance(tried.placebo_date, Check) and tried.placebo_date.passed is None
    assert "moved back by 366 days" in tried.placebo_date.sentence
    near = placebo.date(setting, 100)
    assert near.row is None and "reach past the true date" in near.why
    far = placebo.date(setting, 731)
    assert far.judged and far.row is None and "fewer than 50 persons" in far.why


def test_a_placebo_date_before_the_days_of_selection_is_judged(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placebo, "LEAST", 2)
    p = co.protocol.read(PROTOCOL).vary(min_cell=1)
    made = setting_of(p.with_(adjust=co.crude(), outcomes=(p.primary,), negative_controls=()).on(source))
    found = placebo.date(made, 731)
    assert found.judged and found.row is not None and found.said.endswith("the covariates of both dates")
    check = placebo.placebo_check(made, found)
    assert isinstance(check, Check) and check.passed == (found.row["p_value"] >= 0.05) and check.threshold == 0.05
    # By hand: those observed 731 + 365 days before, their cost on days -730 to -366 of the true date.
    base, since = made.study.baseline.frame, made.study.outcomes.frame["observed_from_day"]
    kept = base[since <= -731 - 365].reset_index(drop=True)
    pairs = kept.assign(row=range(len(kept))).merge(_costs(source), on="person_id")
    day = (pairs["date"] - pairs["index_date"]).dt.days
    spent = pairs[day.between(-730, -366)].groupby("row")["amount"].sum().reindex(range(len(kept)), fill_value=0)
    gap = spent[kept["arm"] == 1].mean() - spent[kept["arm"] == 0].mean()
    assert found.row["estimate"] == pytest.approx(gap)
    data, covariates = placebo._with_true_date(made, made.study.design, 0)
    again = made.study.design.baseline
    assert (data.baseline["admissions_before_at_the_true_date"] == again["admissions_before"]).all()
    assert len(covariates) == 2 * len(p.covariates) - 5  # what a person is does not change


def test_death_has_no_past(setting: Setting) -> None:
    death = next(m for m in setting.protocol.outcomes if m.name == "Death")
    of_death = Setting(setting.study, death)
    for found in (placebo.period(of_death), placebo.date(of_death)):
        assert found.row is None and "died" in found.why
    assert placebo.placebo_check(of_death, placebo.period(of_death)).sentence.startswith("Not possible")


# --- the specification curve ----------------------------------------------------------------------


def test_every_combination_is_there_once_and_counted(tried: Robustness) -> None:
    frame = tried.curve.frame
    groups = ["Adjustment", "Window", "Outcome", "Observation ends"]
    whole = list(itertools.product(*(frame[g].unique() for g in groups)))
    assert sorted(map(tuple, frame[groups].to_numpy())) == sorted(whole) and len(frame) == 60
    assert tried.curve.sentence.startswith("60 specifications of Total cost")
    assert frame["estimate"].is_monotonic_increasing and frame["rank"].tolist() == list(range(1, 61))


def test_the_main_specification_and_another_are_those_of_the_study(tried: Robustness) -> None:
    frame = tried.curve.frame
    (main,) = frame[frame["main"]]["estimate"]
    told = next(r for r in tried._main if r["scale"] == "PMPM difference" and r["method"] == "weight")
    assert main == pytest.approx(told["estimate"], rel=1e-12)
    p = tried.study.protocol
    lean = p.with_(outcomes=(p.primary,), negative_controls=()).vary(follow_up_days=183, adjust=co.weight("overlap"))
    half = setting_of(lean.on(tried.study.source))
    expected = half.row(half.data, half.outcome, half.adjusted, "PMPM difference")["estimate"]
    asked = {"Adjustment": "overlap weighting", "Window": "days 1 to 183", "Outcome": "Total cost, allowed",
             "Observation ends": "as recorded"}  # fmt: skip
    chosen = frame[(frame[list(asked)] == pd.Series(asked)).all(axis=1)]
    assert chosen["estimate"].tolist() == pytest.approx([expected], rel=1e-9)


# --- what is missing ------------------------------------------------------------------------------


def test_covariates_filled_in_give_back_the_observed_ones(setting: Setting, tried: Robustness) -> None:
    frame = setting.data.baseline
    hole = frame["race"].isna().to_numpy()
    assert hole.any() and [m.name for m in missing.incomplete(setting)] == ["Race"]
    for made in missing._completed(setting, 2):
        assert made["race"].notna().all() and (made.loc[~hole, "race"] == frame.loc[~hole, "race"]).all()
        assert made.drop(columns="race").equals(frame.drop(columns="race"))
    table = tried.missing_covariates.frame
    assert table["n_exposed"].iloc[2] == (~hole & setting.data.exposed).sum()
    assert table["estimate"].iloc[1] == pytest.approx(table["estimate"].iloc[0], abs=2 * table["std_error"].iloc[0])


def test_without_a_hole_nothing_is_filled_in(setting: Setting) -> None:
    p = setting.protocol
    kept = tuple(m for m in p.covariates if m.name in ("Age", "Sex", "Primary care visits"))
    lean = p.with_(covariates=kept, outcomes=(setting.outcome,), negative_controls=())
    made = setting_of(lean.on(setting.study.source))
    rows = missing.covariate_rows(made, 3)
    assert (
        len(rows) == 1 and "no covariate of the protocol is missing" in missing.missing_covariates(made, rows).sentence
    )


def test_an_imputed_data_set_that_cannot_be_adjusted_is_a_row_that_says_why(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights make the means equal of a value that tells the arms apart; the other rows stand."""
    study = copy.copy(setting.study)
    study.protocol = setting.protocol.with_(adjust=co.weight("att", using="entropy"))
    balanced = dataclasses.replace(setting, study=study)
    arm = setting.data.exposed
    apart = setting.data.baseline.assign(sex=np.where(arm, "female", "male"))
    monkeypatch.setattr(missing, "_completed", lambda *_: iter([apart]))
    rows = missing.covariate_rows(balanced, 2)
    assert rows[1]["estimate"] is None and rows[1]["std_error"] is None and rows[1]["conf_low"] is None
    assert rows[1]["note"].startswith("an imputed data set gave no estimate: No weights make the covariates' means")
    assert [rows[i]["estimate"] is not None for i in (0, 2)] == [True, True]
    exhibit = missing.missing_covariates(balanced, rows)
    assert len(exhibit.frame) == 3 and any(rows[1]["note"] in note for note in exhibit.notes)
    assert "nan" not in exhibit.sentence


def test_bounds_of_those_who_left_are_those_by_hand(tried: Robustness, setting: Setting) -> None:
    data, w = setting.data, setting.adjusted.weights
    gone = missing.lost(setting)
    reasons = tried.study.outcomes.frame["end_reason"]
    assert gone.tolist() == (reasons == "end of observation").tolist()
    y = data.column(setting.outcome)
    cap = np.quantile(y[~gone], 0.99)
    most = np.where(gone, np.maximum(y, cap), y)

    arm = data.exposed

    def gap(one: np.ndarray, zero: np.ndarray, w: np.ndarray = w) -> float:
        return np.average(one[arm], weights=w[arm]) - np.average(zero[~arm], weights=w[~arm])

    frame = tried.missing_outcomes.frame
    assert frame["estimate"].iloc[0] == pytest.approx(gap(y, y))
    assert (frame["conf_low"].iloc[1], frame["conf_high"].iloc[1]) == pytest.approx((gap(y, most), gap(most, y)))
    assert frame["estimate"].iloc[3] == pytest.approx(gap(y, y, np.where(gone, 0, w)))
    tipped = frame[frame["assumption"].str.endswith("the estimate is no effect")]
    assert tipped["estimate"].tolist() == pytest.approx([0], abs=1e-9)


def test_the_exposed_without_a_match_are_bounded(source: Any) -> None:
    p = co.protocol.read(PROTOCOL).vary(min_cell=1, adjust=co.match(caliper=0.01))
    made = setting_of(p.with_(outcomes=(p.primary,), negative_controls=()).on(source))
    alone = made.data.exposed & (made.adjusted.weights == 0)
    table = missing.unmatched(made)
    assert table is not None and alone.any()
    frame, share = table.frame, alone.sum() / made.data.exposed.sum()
    y = made.data.column(made.outcome)
    high = (1 - share) * frame["low"].iloc[0] + share * y[alone].mean()
    assert frame["high"].iloc[1] == pytest.approx(high) and frame["low"].iloc[1] < frame["low"].iloc[0]
    assert f"{alone.sum():,} of {made.data.exposed.sum():,}" in table.sentence
    few = missing.unmatched(_with_least(made, int(alone.sum()) + 1))
    assert few is not None and few.is_absent and str(alone.sum()) not in few.sentence.split()


def test_a_rare_outcome_is_not_given_away_by_what_is_made_of_it(source: Any) -> None:
    """Three deaths of 249 are 12.0 per 1,000: an unweighted arm's risk, a median or a bound would say so."""
    p = co.protocol.read(PROTOCOL)
    death = next(m for m in p.outcomes if m.name == "Death")
    dead = co.any_of(death.events, co.days(1, 365), name="Dead", role="primary")
    rare = co.robustness(p.with_(outcomes=(dead,), negative_controls=()), source, imputations=2, draws=200)
    happened = rare.study.data.column(rare.study.protocol.outcomes[0])
    assert 0 < happened[rare.study.data.exposed].sum() < 11
    for name in ("tipping", "misclassification", "missing_outcomes"):
        assert "fewer than 11 persons of an arm had Dead" in getattr(rare, name).sentence
    for name in ("curve", "end_of_observation", "missing_covariates"):
        shown = getattr(rare, name)
        assert shown.frame["estimate"].isna().all() and not re.search(r"\d\.\d", shown.sentence)
        if shown.figure is not None:
            assert shown.figure.data["estimate"].isna().all()


def _with_least(setting: Setting, least: int) -> Setting:
    """The same rows where counts below `least` are not shown."""
    study = copy.copy(setting.study)
    study.protocol = setting.protocol.with_(min_cell=least)
    return dataclasses.replace(setting, study=study)


def test_small_numbers_of_what_is_missing_cannot_be_read_or_taken_away(setting: Setting) -> None:
    """Neither as a share of all, nor as what two sizes in one table differ by, nor from the width of bounds."""
    hole, arm = setting.data.baseline["race"].isna().to_numpy(), setting.data.exposed
    lacking = int((hole & arm).sum())
    assert 0 < lacking < int((hole & ~arm).sum())
    few = _with_least(setting, lacking + 1)
    rows = missing.covariate_rows(few, 2)
    assert rows[2]["n_exposed"] is None and rows[2]["n_comparator"] == int((~hole & ~arm).sum())
    assert "differs from all by fewer than" in rows[2]["note"] and rows[2]["estimate"] is not None
    assert f"Race {hole.mean():.1%}" in missing.missing_covariates(few, rows).notes[0]
    none = _with_least(setting, int(hole.sum()) + 1)
    assert "Race fewer than" in missing.missing_covariates(none, missing.covariate_rows(none, 2)).notes[0]
    left = missing._missing_counts(missing.lost(setting), setting, setting.adjusted.weights)
    bounds, made = missing.outcome_bounds(_with_least(setting, left["left_exposed"] + 1))
    assert bounds.is_absent and made == []


# --- other kinds of outcomes ----------------------------------------------------------------------


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("count", "any", "days at home")]


@pytest.mark.parametrize("kind", ["time to", *SLOW])
def test_every_kind_of_outcome_has_its_exhibits(source: Any, kind: str) -> None:
    p = co.protocol.read(PROTOCOL).vary(min_cell=1)
    stays = next(m for m in p.outcomes if m.name == "Admissions").events
    year = co.days(1, 365)
    outcome = {
        "count": co.count(stays, year, name="Stays", role="primary"),
        "time to": co.time_to(stays, year, name="First stay", role="primary"),
        "any": co.any_of(stays, year, name="Any stay", role="primary"),
        "days at home": co.days_at_home(year, role="primary"),
    }[kind]  # fmt: skip
    few = tuple(m for m in p.covariates if m.name in ("Age", "Sex", "Race", "Admissions before"))
    lean = p.with_(outcomes=(outcome,), negative_controls=(), covariates=few)
    tried = co.robustness(lean, source, imputations=2, draws=100, last_contact=(90,))
    validate(tried.estimates)
    assert len(tried.curve.frame) == (10 if kind == "any" else 20)
    risk = kind in ("any", "time to")
    unit = "days per person" if kind == "days at home" else f"{'' if risk else 'events '}per 1,000 persons"
    assert tried.change.columns[3].unit == unit
    gone = tried.missing_outcomes
    assert gone.frame["conf_low"].iloc[1] <= gone.frame["estimate"].iloc[0] <= gone.frame["conf_high"].iloc[1]
    if risk:  # who has had it cannot have it less: nobody can have more than a risk of one
        assert gone.frame["conf_high"].iloc[1] <= 1000
    named = "not possible" in tried.misclassification.frame
    assert named == (kind == "days at home") and tried.e_values.passed is None


# --- small counts ---------------------------------------------------------------------------------


def test_small_counts_are_hidden(tried: Robustness, source: Any) -> None:
    plain = co.protocol.read(PROTOCOL).vary(min_cell=60)
    kept = co.robustness(plain.with_(negative_controls=()), source, imputations=2, draws=200)
    small = tried.missing_outcomes.frame["left_exposed"].iloc[0]
    assert 0 < small < 60
    assert kept.missing_outcomes.is_absent and f"{small}/" not in str(kept.missing_outcomes)
