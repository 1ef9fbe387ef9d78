"""`co.trial` on small made files: what it answers, what it refuses, and what it does at the edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.define.base import Definition
from clinops.define.trial import TrialPlan, matching, trial_plan
from clinops.errors import DataError, DefinitionError, SourceError
from clinops.stats.linear import linear


def people(seed: int = 0, n: int = 400) -> pd.DataFrame:
    """A stratified trial: an effect of taking part of 8, and participants who are healthier to begin with."""
    rng = np.random.default_rng(seed)
    site = rng.integers(0, 4, n)
    offered = np.zeros(n, int)
    for s in range(4):
        rows = np.flatnonzero(site == s)
        offered[rng.permutation(rows)[: len(rows) // 2]] = 1
    health = rng.normal(size=n)
    joins = (health + rng.normal(size=n) > 0).astype(float)
    took = np.where(offered == 1, joins, np.nan)
    before = 100 - 20 * health + rng.normal(0, 5, n)
    after = 100 - 20 * health + 8 * joins * offered + 10 * site + rng.normal(0, 5, n)
    return pd.DataFrame({
        "offer": offered, "took": took, "site": site, "region": np.where(site < 2, "north", "south"),
        "before": before, "after": after, "well": (after < 110).astype(int), "cover": rng.random(n).round(2) + 0.1,
        "female": rng.integers(0, 2, n), "age": rng.integers(18, 80, n), "clinic": rng.integers(0, 30, n),
    })  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    people().to_csv(path, index=False)
    return path


def made(file: Path, **more: Any) -> Any:
    return co.trial(file, **{"offer": "offer", "take_up": "took", "outcomes": ["after"], "bootstrap": 100} | more)


def one(trial: Any, analysis: str, **equal: Any) -> Any:
    frame = trial.estimates
    keep = frame["analysis"] == analysis
    for name, value in equal.items():
        keep &= (frame[name] == value).fillna(False)
    found = frame[keep]
    assert len(found) == 1, found[["analysis", "method", "measure"]]
    return found.iloc[0]


# --- answers ------------------------------------------------------------------------------------------------


def test_the_effect_of_the_offer_is_the_regression_with_strata_covariates_and_weights(file: Path) -> None:
    trial = made(file, strata=["site"], covariates=["before", "region"], weights=["cover"])
    data = people()
    design = np.column_stack([data["offer"], data["before"], data["region"] == "south"]).astype(float)
    fit = linear(design, data["after"].to_numpy(), weights=data["cover"].to_numpy(), strata=data["site"].to_numpy())
    row = one(trial, "intention to treat")
    assert row["estimate"] == pytest.approx(fit.coef[0], rel=1e-9)
    assert row["std_error"] == pytest.approx(fit.std_error[0], rel=1e-9)
    assert row["adjustment"] == "fixed effects of site, 2 covariates, weighted by cover"
    assert "robust HC1; t intervals with residual degrees of freedom" in " ".join(trial.effects.notes)


def test_take_up_that_is_empty_without_an_offer_is_zero_and_the_complier_effect_is_near_the_truth(file: Path) -> None:
    trial = made(file, strata=["site"], covariates=["before"])
    row = one(trial, "complier", method="two-stage least squares")
    assert abs(row["estimate"] - 8) < 3 * row["std_error"]
    crude = one(trial, "observational", method="crude")
    # 8 less 20 times the difference in health, 2 x 0.564: participants look far better, since they were healthier
    assert crude["estimate"] == pytest.approx(8 - 20 * 2 * 0.5642, abs=3 * crude["std_error"])
    gap = one(trial, "observational", method="crude minus randomised")
    assert gap["conf_high"] < 0
    assert "reflects who chooses to take part" in trial.observational.sentence
    share = people().query("offer == 1")["took"].mean()
    assert one(trial, "first stage", scale="difference of shares")["estimate"] == pytest.approx(share, abs=0.02)


def test_matching_and_weighting_on_what_drives_the_choice_come_closer_than_crude(file: Path) -> None:
    trial = made(file, compare_on=["before", "region"])
    crude = one(trial, "observational", method="crude")["estimate"]
    for method in ("regression", "matching", "weighting"):
        row = one(trial, "observational", method=method)
        assert np.isfinite(row["std_error"]) and abs(row["estimate"] - 8) < abs(crude - 8) / 2


def test_clusters_widen_the_errors_and_are_named(file: Path) -> None:
    row = one(made(file, clusters="clinic"), "intention to treat")
    assert row["se_kind"] == "CR1 clustered (30 clusters)"


def test_additive_strata_and_cells_are_two_models(file: Path) -> None:
    data = people()
    design = np.column_stack([data["offer"], data["female"]]).astype(float)
    fit = linear(design, data["after"].to_numpy(), strata=data["site"].to_numpy())
    added = one(made(file, strata=["site", "female"], strata_as="additive"), "intention to treat")
    assert added["estimate"] == pytest.approx(fit.coef[0], rel=1e-9)
    cells = one(made(file, strata=["site", "female"]), "intention to treat")
    both = data["site"].to_numpy() * 2 + data["female"].to_numpy()
    exact = linear(data[["offer"]].to_numpy(dtype=float), data["after"].to_numpy(), strata=both)
    assert cells["estimate"] == pytest.approx(exact.coef[0], rel=1e-9)


def test_an_exposure_that_nobody_drew_within_one_arm_is_called_a_difference(file: Path) -> None:
    trial = made(file, offer="took", take_up=None, within_column="offer", within_value="1", assignment="observed")
    data = people().query("offer == 1")
    expected = data[data["took"] == 1]["after"].mean() - data[data["took"] == 0]["after"].mean()
    assert one(trial, "difference")["estimate"] == pytest.approx(expected, rel=1e-9)
    assert trial.front_page.verdict == "not interpretable" and "not an effect" in trial.front_page.conclusion
    assert "No column of take-up" in trial.complier.sentence and "effect of the offer" not in trial.effects.sentence
    text = made(file, within_column="region", within_value="north")
    assert text.data.frame["region"].unique().tolist() == ["north"]


def test_multipliers_weights_and_units_are_by_outcome_or_for_all(file: Path) -> None:
    trial = made(
        file, outcomes=["after", "well"], multipliers=[1, 100], weights=["cover", ""], units=["well -> %", "* -> USD"]
    )
    assert trial.plan.units == ("USD", "%") and trial.plan.weights == ("cover", "")
    plain = one(made(file, outcomes=["well"]), "intention to treat")
    percent = one(trial, "intention to treat", category="well")
    assert percent["estimate"] == pytest.approx(100 * plain["estimate"], rel=1e-9)


def test_subgroups_have_an_effect_each_and_one_test(file: Path) -> None:
    trial = made(file, subgroups=["female", "age", "region"], strata=["site"])
    frame = trial.estimates.query("analysis == 'subgroup'")
    assert frame["level"].tolist()[:2] == ["no", "yes"] and frame["level"].tolist()[-2:] == ["north", "south"]
    assert frame["subgroup"].value_counts().to_dict() == {"female": 2, "age": 2, "region": 2}
    assert set(frame["n_exposed"] + frame["n_comparator"]) and frame["estimate"].notna().all()
    tests = trial.estimates.query("analysis == 'joint test' and method.str.contains('level')")
    assert len(tests) == 3 and tests["p_value"].between(0, 1).all()
    took = trial.estimates.query("analysis == 'take-up by subgroup'")
    assert int(took.iloc[0]["events_exposed"]) == int(people().query("offer == 1")["took"].sum())


def test_baseline_families_indices_and_truncation_are_in_the_long_table(file: Path) -> None:
    trial = made(
        file, outcomes=["after", "well"], indices=["Health"], baseline=["before", "age"], truncate_at=[90, 99],
        families=["A", "B"],
    )  # fmt: skip
    counts = trial.estimates["analysis"].value_counts().to_dict()
    assert counts["multiplicity"] == 6 and counts["index"] == 1 and counts["baseline"] == 2
    assert counts["truncation"] == 3  # of the two outcomes one has two values only
    joint = one(trial, "joint test")
    data = people()
    model = linear(data[["before", "age"]].to_numpy(dtype=float), data["offer"].to_numpy(dtype=float))
    from clinops.stats.linear import joint_test

    assert joint["p_value"] == pytest.approx(joint_test(model).p_value, rel=1e-9)
    alone = trial.estimates.query("analysis == 'multiplicity' and method == 'Holm'")
    assert np.allclose(
        alone["p_value"], [one(trial, "intention to treat", category=c)["p_value"] for c in ("after", "well")]
    )
    assert trial.baseline.frame["smd"].abs().max() < 0.3


def test_patterns_stand_for_columns_and_plain_names_must_be_there(file: Path) -> None:
    assert matching(["a*", "b"], ["a1", "a2", "c"], ["a2"]) == ("a1", "b")
    trial = made(file, baseline=["bef*", "nothing_*"], compare_on=["a?e"])
    assert trial.plan.baseline == ("before",) and trial.plan.compare_on == ("age",)


def test_parquet_is_read_as_csv_is(file: Path, tmp_path: Path) -> None:
    pd.read_csv(file).to_parquet(tmp_path / "people.parquet")
    both = [one(made(path), "intention to treat")["estimate"] for path in (file, tmp_path / "people.parquet")]
    assert both[0] == both[1]


def test_the_verdict_follows_the_interval(file: Path) -> None:
    said = {better: made(file, better=[better], covariates=["before"], strata=["site"]).front_page.verdict
            for better in ("higher", "lower", "")}  # fmt: skip
    assert said == {"higher": "benefit", "lower": "harm", "": "too uncertain"}
    small = made(file, worthwhile=1000.0)
    assert small.front_page.verdict == "no worthwhile difference"


def test_a_plan_is_a_definition_that_survives_json(file: Path) -> None:
    plan = made(file, subgroups=["female"], baseline=["before"]).plan
    again = Definition.from_json(plan.to_json())
    assert again == plan and again.hash == plan.hash and isinstance(again, TrialPlan)


def test_small_counts_are_hidden_in_exhibits_and_files(tmp_path: Path) -> None:
    data = people()
    data["rare"] = "common"
    data.loc[data.index[:14], "rare"] = "rare"
    data.to_csv(tmp_path / "p.csv", index=False)
    trial = made(tmp_path / "p.csv", subgroups=["rare"])
    printed = str(trial.subgroups)
    assert "<11" in printed or "hidden" in printed
    trial.write(tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "results.csv").query("analysis == 'subgroup' and level == 'rare'")
    assert written["estimate"].isna().all() and written["value_exposed"].isna().all()


def test_a_rare_event_is_hidden_wherever_its_share_would_tell_it(tmp_path: Path) -> None:
    """Seven of 200 offered: no mean, effect, standard error or picture may give the seven away."""
    data = people().assign(rare=0)
    data.loc[data.query("offer == 1").index[:7], "rare"] = 1
    data.loc[data.query("offer == 0").index[:40], "rare"] = 1
    data.to_csv(tmp_path / "p.csv", index=False)
    trial = made(tmp_path / "p.csv", outcomes=["rare"], baseline=["rare"], compare_on=["before"], subgroups=["female"])
    share = 7 / int(data["offer"].sum())
    for name in ("main", "effects", "baseline", "forest", "complier", "multiplicity", "detectable"):
        exhibit = trial.front_page.main if name == "main" else getattr(trial, name)
        values = exhibit.frame.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan).ravel()
        assert not np.isclose(values[np.isfinite(values)], share, rtol=1e-6).any(), name
        for column in ("estimate", "value_exposed"):
            assert column not in exhibit.frame or exhibit.frame[column].isna().all(), (name, column)
        if exhibit.figure is not None:
            assert exhibit.figure.data["estimate"].isna().all(), name
    page = trial.front_page
    assert "fewer than 11 persons" in page.conclusion and page.detectable == ""
    said = f"{one(trial, 'intention to treat')['estimate']:.3f}".lstrip("-")
    assert said not in " ".join([str(trial), page._repr_html_()])
    drawn = trial.observational.figure.data.set_index("label")["estimate"]
    assert np.isnan(drawn["Effect of the offer"]) and not any(
        name.startswith("n_") for name in trial.observational.figure.data
    )
    trial.write(tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "results.csv").query("category == 'rare' and analysis != 'joint test'")
    assert (
        written.query("analysis in ('intention to treat', 'mean', 'spread', 'multiplicity')")["estimate"].isna().all()
    )


def test_without_a_baseline_the_covariates_are_compared(file: Path) -> None:
    trial = made(file, covariates=["before", "region"])
    assert trial.plan.baseline == ("before",) and trial.plan.compare_on == ("before", "region")


def test_a_chance_difference_before_the_offer_does_not_make_a_trial_unreadable(file: Path) -> None:
    trial = made(file, baseline=["before"])
    assert trial.check_baseline.threshold == 0.001 and trial.check_baseline.passed
    broken = made(file, offer="well", take_up=None, baseline=["before"])
    assert broken.check_baseline.passed is False and broken.front_page.verdict == "not interpretable"


def test_the_bundle_is_the_same_bytes_twice(file: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        made(
            file, outcomes=["after", "well"], indices=["Health"], subgroups=["female"], baseline=["before"],
            compare_on=["before"], truncate_at=[99], strata=["site"], families=["A", "B"],
        ).write(tmp_path / name)  # fmt: skip
    paths = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(paths) > 30
    different = [p for p in paths if (tmp_path / "a" / p).read_bytes() != (tmp_path / "b" / p).read_bytes()]
    assert different == []


# --- edges --------------------------------------------------------------------------------------------------


def test_nobody_took_part(tmp_path: Path) -> None:
    people().assign(took=lambda d: np.where(d["offer"] == 1, 0.0, np.nan)).to_csv(tmp_path / "p.csv", index=False)
    trial = made(tmp_path / "p.csv")
    row = one(trial, "complier", method="two-stage least squares")
    assert np.isnan(row["estimate"]) and "does not change" in row["note"]
    assert np.isnan(one(trial, "observational")["estimate"])
    assert "Everybody or nobody" in trial.observational.sentence and str(trial)


def test_persons_without_a_covariate_count_in_means_not_in_effects(tmp_path: Path) -> None:
    data = people()
    data.loc[data.index[:30], "before"] = np.nan
    data.to_csv(tmp_path / "p.csv", index=False)
    aside = made(tmp_path / "p.csv", covariates=["before"])
    row = one(aside, "intention to treat")
    assert row["n_exposed"] + row["n_comparator"] == 370
    assert row["value_exposed"] == pytest.approx(data.query("offer == 1")["after"].mean())
    kept = one(made(tmp_path / "p.csv", covariates=["before"], missing_covariates="indicator"), "intention to treat")
    assert kept["n_exposed"] + kept["n_comparator"] == 400


def test_one_person_in_an_arm_has_no_standard_deviation(tmp_path: Path) -> None:
    data = people(n=40).query("site == 0").head(6).assign(offer=[1, 0, 0, 0, 0, 0], took=[1.0] + [np.nan] * 5)
    data.to_csv(tmp_path / "p.csv", index=False)
    trial = made(tmp_path / "p.csv")
    assert np.isnan(one(trial, "spread")["value_exposed"])
    assert np.isfinite(one(trial, "intention to treat")["estimate"]) and str(trial.effects)


# --- refusals -----------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"outcomes": ["afer"]}, DataError, "Did you mean 'after'"),
    ({"offer": "ofer"}, DataError, "Did you mean 'offer'"),
    ({"weights": ["covr"]}, DataError, "of weights.*Did you mean 'cover'"),
    ({"compare_on": ["bfore"]}, DataError, "Did you mean 'before'"),
    ({"offer": "site"}, DataError, "must be 1 or 0; it also holds 2, 3"),
    ({"offer": "region"}, DataError, "holds text"),
    ({"take_up": "age"}, DataError, "take_up.*must be 1 or 0"),
    ({"outcomes": ["region"]}, DataError, "holds text"),
    ({"outcomes": ["flat"]}, DataError, "is 3 for everybody"),
    ({"outcomes": ["zero"]}, DataError, "is 0 for everybody"),
    ({"outcomes": ["empty"]}, DataError, "empty for everybody"),
    ({"outcomes": ["half"]}, DataError, "Nobody of Not offered"),
    ({"outcomes": []}, DefinitionError, "at least one outcome"),
    ({"outcomes": ["after", "after"]}, DefinitionError, "twice"),
    ({"outcomes": ["after", "well"], "labels": ["A"]}, DefinitionError, "labels has 1 entries for 2 outcomes"),
    ({"weights": ["cover", "cover"]}, DefinitionError, "weights has 2 entries for 1 outcomes"),
    ({"units": ["a -> b", "c"], "outcomes": ["after", "well"]}, DefinitionError, "mixes"),
    ({"weights": ["minus"]}, DataError, "negative"),
    ({"strata": ["offer"]}, DataError, "hold one arm only"),
    ({"strata": ["gap"]}, DataError, "have no gap"),
    ({"within_column": "region", "within_value": "nort"}, DataError, "Did you mean 'north'"),
    ({"within_column": "region"}, DefinitionError, "go together"),
    ({"within_column": "offer", "within_value": "1"}, DataError, "Nobody has offer = 0"),
    ({"assignment": "randm"}, DefinitionError, "Did you mean 'random'"),
    ({"truncate_at": [0.99]}, DefinitionError, "percentiles from 50"),
    ({"better": ["hgher"]}, DefinitionError, "Did you mean 'higher'"),
    ({"bootstrap": 10}, DefinitionError, "bootstrap"),
    ({"wieghts": []}, DefinitionError, "Did you mean 'weights'"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD, ids=lambda v: str(v)[:40] if isinstance(v, dict) else "")
def test_what_is_wrong_is_said_before_any_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    data = people().assign(flat=3, zero=0.0, empty=np.nan, minus=-1.0)
    data["half"] = data["after"].where(data["offer"] == 1)
    data["gap"] = data["site"].where(data["site"] > 0)
    data.to_csv(tmp_path / "p.csv", index=False)

    def never(*args: Any, **more: Any) -> None:
        raise AssertionError("an estimate was begun")

    for module in ("estimates", "arms", "observational", "subgroups"):
        monkeypatch.setattr(f"clinops.analyse.trial.{module}.linear", never)
    with pytest.raises(error, match=words):
        made(tmp_path / "p.csv", **change)


def test_a_file_that_is_not_there_or_of_another_kind(file: Path) -> None:
    with pytest.raises(SourceError, match=r"Did you mean 'people\.csv'"):
        made(file.with_name("peple.csv"))
    other = file.with_name("people.xlsx")
    other.write_text("x")
    with pytest.raises(SourceError, match=r"\.csv or \.parquet"):
        made(other)
    empty = file.with_name("empty.csv")
    empty.write_text("offer,after\n")
    with pytest.raises(DataError, match="no rows"):
        made(empty)


def test_one_armed_strata_can_be_kept_by_name(tmp_path: Path) -> None:
    data = people()
    data.loc[data.query("offer == 1").index[:5], "site"] = 9
    data.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match=r"1 of 5 strata \(site\) hold one arm only, 5 persons"):
        made(tmp_path / "p.csv", strata=["site"])
    kept = one(made(tmp_path / "p.csv", strata=["site"], one_armed_strata="keep"), "intention to treat")
    without = data.query("site != 9")
    fit = linear(without[["offer"]].to_numpy(float), without["after"].to_numpy(), strata=without["site"].to_numpy())
    assert kept["estimate"] == pytest.approx(fit.coef[0], rel=1e-9)


def test_lists_are_settled_before_a_file_is_read() -> None:
    plan = trial_plan(("a", "b"), offer="z", families=["one"], weights=["w"])
    assert plan.families == ("one", "one") and plan.labels == ("a", "b") and plan.multipliers == (1.0, 1.0)


def test_outcomes_that_are_known_for_everybody_pass_the_check(file: Path) -> None:
    known = made(file).known
    assert known.passed is True and known.observed == 1.0
    broken = pd.read_csv(file)
    broken.loc[broken.query("offer == 1").index[:60], "after"] = np.nan
    broken.to_csv(file, index=False)
    trial = made(file)
    assert trial.known.passed is False and trial.front_page.verdict == "not interpretable"
    assert "For whom is the outcome known?" in trial.front_page.conclusion


def test_words_follow_the_assignment(file: Path) -> None:
    trial = made(file, assignment="observed", take_up=None, subgroups=["female"], truncate_at=[99])
    exhibits = [trial.front_page.main, trial.effects, trial.forest]
    said = " ".join(str(one) for one in [*exhibits, trial.detectable, trial.subgroups, trial.truncation])
    assert "ffect of the offer" not in said and "Difference" in said


def test_outcomes_of_one_name_are_told_apart() -> None:
    plan = trial_plan(("cost_1", "cost_2", "days"), offer="z", labels=["cost_* -> Cost", "days -> "])
    assert plan.labels == ("Cost (cost_1)", "Cost (cost_2)", "days")
