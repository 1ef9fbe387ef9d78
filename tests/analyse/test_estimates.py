"""Every estimate of a study as rows: main, ladder, subgroups, interactions, sensitivity grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import clinops as co
from clinops.analyse.adjust import adjust
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.effects import effects
from clinops.analyse.estimates import interactions, ladder_rows, levels, main_rows, sensitivity_rows, subgroup_rows
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from tests.analyse.support import ANY, COST, COUNT, TIME, VISIT, YEAR, arms, dataset, frame, nothing, protocol
from tests.support import assert_close

PAST = co.cost("total", co.before(365), name="Past cost")
AGE, SEX = co.age_at_index(), co.sex()
CONTROL = co.any_of(co.events("condition"), YEAR, name="Ear wax")
ALTERNATIVES = [
    "1:1 nearest matching, caliper 0.05 SD", "1:1 nearest matching, caliper 0.2 SD", "overlap weighting",
    "ATT weighting, L2 score", "ATT weighting, truncated at 99%", "ATT entropy balancing", "standardisation, ATT",
    "doubly robust, ATT",
]  # fmt: skip


def months(data: Dataset, measure: Measure) -> Floats:
    return np.full(len(data), 12.0)


def people(n: int = 80, seed: int = 7) -> Dataset:
    rng = np.random.default_rng(seed)
    age = rng.integers(30, 90, n).astype(float)
    arm = (rng.random(n) < 1 / (1 + np.exp(1 - (age - 60) / 20))).astype(int)
    past = rng.exponential(100, n)
    event = (rng.random(n) < 0.4).astype(float)
    baseline = {"age": age, "sex": np.where(rng.random(n) < 0.5, "female", "male").astype(object), "past_cost": past}
    outcomes = {
        COST: (past + 50 * rng.normal(size=n), 365), ANY: (event, 365), COUNT: (rng.poisson(1, n), 365),
        TIME: (event, np.where(event == 1, 100, 365)), CONTROL: ((rng.random(n) < 0.5).astype(float), 365),
    }  # fmt: skip
    return dataset(arm.tolist(), baseline, outcomes)


def full(**changes: Any) -> Protocol:
    given: dict[str, Any] = {
        "covariates": (AGE, SEX, PAST), "outcomes": (COST, ANY, COUNT, TIME), "negative_controls": (CONTROL,),
    }  # fmt: skip
    return protocol(**(given | changes))


DATA = people()


def adjusted(how: Protocol, data: Dataset = DATA) -> Any:
    return adjust(data, how.covariates, how.adjust, cluster=how.cluster, seed=how.seed)


# --- main ---------------------------------------------------------------------------------------


def test_each_outcome_and_control_crude_and_adjusted_on_every_scale() -> None:
    how = full()
    made = frame(main_rows(DATA, how, adjusted(how), months))
    scales = made.groupby(["analysis", "measure", "adjustment"], sort=False).size()
    label = "ATT weighting"
    assert scales.to_dict() == {
        ("main", COST.name, "crude"): 4, ("main", COST.name, label): 4, ("main", ANY.name, "crude"): 2,
        ("main", ANY.name, label): 2, ("main", COUNT.name, "crude"): 2, ("main", COUNT.name, label): 2,
        ("main", TIME.name, "crude"): 5, ("main", TIME.name, label): 5, ("negative control", "Ear wax", "crude"): 2,
        ("negative control", "Ear wax", label): 2,
    }  # fmt: skip
    assert made["estimate"].notna().all()
    assert set(made.loc[made["analysis"] == "negative control", "role"]) == {"negative control"}


def test_a_crude_protocol_has_its_rows_once() -> None:
    how = full(adjust=co.crude())
    made = frame(main_rows(DATA, how, adjusted(how), months))
    assert set(made["adjustment"]) == {"crude"}
    assert not made.duplicated(["analysis", "measure", "scale"]).any()


def test_what_the_records_cannot_give_has_no_row() -> None:
    how = full(outcomes=(COST, co.count(VISIT, YEAR, name="Unheard of")))
    assert "Unheard of" not in set(frame(main_rows(DATA, how, adjusted(how), months))["measure"])


def test_months_are_asked_for_costs_only() -> None:
    def asked(data: Dataset, measure: Measure) -> Floats:
        assert measure.measure == "cost"
        return np.full(len(data), 6.0)

    how = full()
    rows = main_rows(DATA, how, adjusted(how), asked)
    pmpm = next(r for r in rows if r["scale"] == "PMPM difference" and r["adjustment"] == "crude")
    assert_close(pmpm["value_exposed"], DATA.column(COST)[DATA.exposed].mean() / 6, 1e-12)


def test_a_window_beyond_the_follow_up_is_named_by_the_days_that_were_watched() -> None:
    long = co.time_to(co.events("death"), co.days(1, 730), name="Death", role="secondary")
    how = full(outcomes=(COST, long))
    made = frame(main_rows(DATA, how, adjusted(how), months))
    rows = made[made["measure"] == "Death"]
    assert set(rows["period"]) == {"days 1 to 365"}
    assert rows["estimate"].notna().all()  # the risk is that of the 365 days


# --- ladder -------------------------------------------------------------------------------------


def test_the_ladder_from_the_most_naive_to_the_main() -> None:
    how = full()
    made = frame(ladder_rows(DATA, how, adjusted(how), months))
    assert made["adjustment"].tolist() == ["exposed only, after v before", "crude", *ALTERNATIVES, "ATT weighting"]
    assert made["level"].tolist()[0] == "naive"
    assert made["level"].tolist()[-1] == "main"
    assert made["level"].isna().sum() == 9
    assert set(made["scale"]) == {"mean difference"}
    main = next(r for r in main_rows(DATA, how, adjusted(how), months) if r["adjustment"] == "ATT weighting")
    assert made["estimate"].iloc[-1] == main["estimate"]


def test_the_naive_rung_is_the_paired_change_of_the_exposed() -> None:
    how = full()
    row = ladder_rows(DATA, how, adjusted(how), months)[0]
    change = (DATA.column(COST) - DATA.baseline["past_cost"].to_numpy())[DATA.exposed]
    error = change.std(ddof=1) / math.sqrt(len(change))
    assert_close(row["estimate"], change.mean(), 1e-12)
    assert_close(
        [row["conf_low"], row["conf_high"]],
        [change.mean() - 1.959963984540054 * error, change.mean() + 1.959963984540054 * error],
        1e-12,
    )
    assert row["estimand"] == "no comparison group: not an effect"
    assert (row["n_exposed"], row["n_comparator"]) == (DATA.exposed.sum(), 0)


@pytest.mark.parametrize("before", [co.cost("total", co.before(180)), co.cost("inpatient", co.before(365))])
def test_without_the_same_cost_before_there_is_no_naive_rung(before: Measure) -> None:
    data = Dataset(DATA.baseline.assign(**{before.id: 1.0}), DATA.outcomes)
    how = full(covariates=(AGE, before))
    rows = ladder_rows(data, how, adjusted(how, data), months)
    assert all(row.get("level") != "naive" for row in rows)


def test_one_exposed_person_has_no_change() -> None:
    data = dataset(arms(1, 3), {"past_cost": [1.0, 2, 3, 4]}, {COST: ([1.0, 2, 3, 5], 365)})
    how = full(covariates=(PAST,), adjust=co.crude())
    row = ladder_rows(data, how, adjusted(how, data), months)[0]
    assert row["estimate"] is None
    assert "fewer than two persons" in row["note"]
    frame([row])


def test_a_random_offer_has_one_rung_and_no_doubles() -> None:
    how = full(assignment="random", adjust=co.crude(), covariates=())
    made = frame(ladder_rows(DATA, how, adjusted(how), months))
    assert made["adjustment"].tolist() == ["crude"]
    assert made["level"].tolist() == ["main"]


# --- subgroups ----------------------------------------------------------------------------------


def test_levels_of_a_number_hold_their_lower_break() -> None:
    data = dataset(arms(2, 4), {"age": [64.0, 65, 74.9, 75, np.nan, 90]})
    found = levels(data, co.subgroup(AGE, breaks=(65, 75)))
    assert {name: np.flatnonzero(keep).tolist() for name, keep in found} == {
        "below 65": [0], "65 to below 75": [1, 2], "75 or above": [3, 5],
    }  # fmt: skip


def test_levels_of_a_category_by_name_and_missing_in_none() -> None:
    data = dataset(arms(2, 2), {"sex": np.array(["male", "female", None, "male"], dtype=object)})
    found = levels(data, co.subgroup(SEX))
    assert {name: np.flatnonzero(keep).tolist() for name, keep in found} == {"female": [1], "male": [0, 3]}


def test_a_subgroup_is_adjusted_anew_within_itself() -> None:
    how = full(subgroups=(co.subgroup(SEX),))
    rows = subgroup_rows(DATA, how, months)
    women = DATA.where((DATA.baseline["sex"] == "female").to_numpy())
    alone = effects(women, COST, adjust(women, how.covariates, how.adjust), months=months(women, COST))
    found = [r for r in rows if r["level"] == "female"]
    assert [r["estimate"] for r in found] == [r["estimate"] for r in alone]
    assert {r["subgroup"] for r in rows} == {"Sex"}
    assert {r["level"] for r in rows} == {"female", "male"}
    frame(rows)


@pytest.mark.parametrize("arm", [1, 0])
def test_a_subgroup_with_an_empty_arm_is_a_row_with_a_note(arm: int) -> None:
    keep = (DATA.baseline["sex"] == "male") | (DATA.baseline["arm"] == arm)
    data = DATA.where(keep.to_numpy())
    rows = subgroup_rows(data, full(subgroups=(co.subgroup(SEX),)), months)
    women = [r for r in rows if r["level"] == "female"]
    assert len(women) == 1
    assert women[0]["estimate"] is None
    assert f"Nobody is in the {'comparator' if arm else 'exposed'} arm" in women[0]["note"]
    assert (women[0]["n_comparator"] if arm else women[0]["n_exposed"]) == 0
    made = frame(rows)
    assert made.loc[made["level"] == "female", ["scale", "period", "category"]].to_numpy().tolist() == [
        ["mean difference", "days 1 to 365", "total"]
    ]
    assert made.loc[made["level"] == "male", "estimate"].notna().all()


def test_a_subgroup_of_nobody_is_a_row_with_a_note() -> None:
    rows = subgroup_rows(DATA, full(subgroups=(co.subgroup(AGE, breaks=(120,)),)), months)
    old = [r for r in rows if r["level"] == "120 or above"]
    assert [r["n_exposed"] for r in old] == [0]
    assert old[0]["note"].startswith("Nobody is in the exposed arm")


def test_a_subgroup_in_which_nothing_varies_is_a_row_with_a_note() -> None:
    data = dataset(arms(2, 2), {"sex": np.array(["male"] * 4, dtype=object)}, {COST: ([1.0, 2, 3, 4], 365)})
    rows = subgroup_rows(data, full(covariates=(SEX,), subgroups=(co.subgroup(SEX),)), months)
    assert rows[0]["note"].startswith("No covariate varies")


@pytest.mark.parametrize("make", [subgroup_rows, None])
def test_without_a_primary_outcome_there_are_none(make: Callable[..., Any] | None) -> None:
    for how in (full(outcomes=(ANY,)), full(outcomes=(co.cost("inpatient", YEAR, role="primary"),))):
        if make:
            assert make(DATA, how, months) == []
        else:
            assert ladder_rows(DATA, how, adjusted(how), months) == []
            assert sensitivity_rows(DATA, how, months, lambda _: DATA) == []


# --- interactions -------------------------------------------------------------------------------


def part(level: str, estimate: float | None, error: float | None, scale: str = "mean difference") -> dict[str, Any]:
    return {"subgroup": "Sex", "level": level, "scale": scale, "estimate": estimate, "std_error": error}


def test_two_levels_are_compared_by_z() -> None:
    found = interactions([part("a", 10, 3), part("b", 2, 4)])
    z = 8 / 5
    assert found == {("Sex", "mean difference"): pytest.approx(math.erfc(z / math.sqrt(2)))}


def test_ratios_are_compared_on_the_log_scale() -> None:
    found = interactions([part("a", 2.0, 0.3, "rate ratio"), part("b", 0.5, 0.4, "rate ratio")])
    assert found["Sex", "rate ratio"] == pytest.approx(math.erfc(math.log(4) / 0.5 / math.sqrt(2)))


def test_three_levels_by_cochrans_q() -> None:
    found = interactions([part("a", 1, 1), part("b", 2, 1), part("c", 6, 1)])
    assert found["Sex", "mean difference"] == pytest.approx(chi2.sf(4 + 1 + 9, 2))


def test_a_level_without_an_estimate_is_no_level() -> None:
    rows = [part("a", 1, 1), part("b", None, None), part("c", 3, math.nan), part("d", 2, 1)]
    assert interactions(rows)["Sex", "mean difference"] == pytest.approx(chi2.sf(0.5, 1))
    assert math.isnan(interactions(rows[:3])["Sex", "mean difference"])
    assert interactions([]) == {}


def test_interactions_of_a_real_study() -> None:
    how = full(subgroups=(co.subgroup(SEX), co.subgroup(AGE, breaks=(60,))))
    found = interactions(subgroup_rows(DATA, how, months))
    assert set(found) == {
        (s, c) for s in ("Sex", "Age") for c in ("mean difference", "mean ratio", "PMPM difference", "PMPM ratio")
    }
    assert all(0 <= p <= 1 for p in found.values())


# --- sensitivity --------------------------------------------------------------------------------


class Rereader:
    """Outcomes over another window, and which windows were asked for."""

    def __init__(self, data: Dataset = DATA, factor: float = 0.5) -> None:
        self.data, self.factor, self.asked = data, factor, list[Window]()

    def __call__(self, window: Window) -> Dataset:
        self.asked.append(window)
        assert self.data.outcomes is not None
        half = {
            name: self.data.outcomes[name] * self.factor for name in self.data.outcomes if name.startswith("total_cost")
        }
        return self.data.with_outcomes(self.data.outcomes.assign(**half))


def test_the_grid_of_other_adjustments_and_half_the_window() -> None:
    how, reread = full(), Rereader()
    made = frame(sensitivity_rows(DATA, how, months, reread))
    assert made["adjustment"].tolist() == [*ALTERNATIVES, "ATT weighting"]
    assert made["level"].tolist() == ["adjustment"] * 8 + ["window"]
    assert made["period"].tolist() == ["days 1 to 365"] * 8 + ["days 1 to 183"]
    assert set(made["scale"]) == {"mean difference"}
    assert reread.asked == [co.days(1, 183)]
    main = next(r for r in main_rows(DATA, how, adjusted(how), months) if r["adjustment"] == "ATT weighting")
    assert_close(made["estimate"].iloc[-1], main["estimate"] / 2, 1e-9)
    assert_close(made["std_error"].iloc[-1], main["std_error"] / 2, 1e-9)


def test_the_grid_that_the_protocol_states() -> None:
    stated = co.sensitivity(windows=(co.days(1, 90), co.days(31, 365)), adjustments=(co.match(2),))
    reread = Rereader()
    made = frame(sensitivity_rows(DATA, full(sensitivity=stated), months, reread))
    assert made["adjustment"].tolist() == ["1:2 nearest matching, caliper 0.05 SD", "ATT weighting", "ATT weighting"]
    assert made["period"].tolist() == ["days 1 to 365", "days 1 to 90", "days 31 to 365"]
    assert reread.asked == [co.days(1, 90), co.days(31, 365)]


def test_an_outcome_with_a_window_of_its_own_is_cut_and_not_moved() -> None:
    early = co.cost("total", co.days(1, 30), name=COST.name, role="primary")
    stated = co.sensitivity(windows=(co.days(1, 90), co.days(11, 90), co.days(60, 90)), adjustments=(co.crude(),))
    made = frame(sensitivity_rows(DATA, full(outcomes=(early,), sensitivity=stated), months, Rereader()))
    assert made["period"].tolist() == ["days 1 to 30", "days 1 to 30", "days 11 to 30", "days 60 to 90"]
    assert made["estimate"].notna().tolist() == [True, True, True, False]
    assert made["note"].iloc[-1] == "The outcome has no day in days 60 to 90."


def test_a_grid_entry_that_cannot_be_had_is_a_row_with_a_note() -> None:
    """Perfect separation leaves infinite logits to match on, or nobody within the caliper."""
    age = np.concatenate([np.linspace(80, 90, 5), np.linspace(30, 40, 7)])
    data = dataset(arms(5, 7), {"age": age}, {COST: (np.arange(12.0), 365)})
    made = frame(sensitivity_rows(data, full(covariates=(AGE,)), months, Rereader(data)))
    assert len(made) == 9
    assert made["note"].notna().all() | made["std_error"].notna().all()
    assert set(made.loc[made["estimate"].isna(), "note"].notna()) <= {True}


def test_a_window_too_short_to_halve_is_left_alone() -> None:
    reread = Rereader()
    how = full(follow_up=co.follow_up(co.days(1, 2)), outcomes=(co.cost("total", role="primary", name=COST.name),))
    sensitivity_rows(DATA, how, months, reread)
    assert reread.asked == []


def test_missing_covariates_and_rows_of_every_kind_pass_the_schema() -> None:
    rng = np.random.default_rng(1)
    age = DATA.baseline["age"].where(pd.Series(rng.random(len(DATA)) < 0.8))
    data = Dataset(DATA.baseline.assign(age=age), DATA.outcomes)
    how = full(subgroups=(co.subgroup(AGE, breaks=(50, 70)), co.subgroup(SEX)))
    rows = main_rows(data, how, adjusted(how, data), months) + ladder_rows(data, how, adjusted(how, data), months)
    rows += subgroup_rows(data, how, months) + sensitivity_rows(data, how, months, Rereader(data))
    made = frame(rows)
    assert {"main", "negative control", "ladder", "subgroup", "sensitivity"} == set(made["analysis"])
    assert not any(nothing(row["estimate"]) and not row["note"] for row in rows)
