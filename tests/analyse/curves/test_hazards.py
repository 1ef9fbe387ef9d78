"""`co.hazard_ratios` of a fitted Cox model, ours or lifelines'."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

import clinops as co
from clinops.errors import DefinitionError
from clinops.render import figures
from clinops.stats.cox import cox
from tests.support import assert_close, oracle, oracle_csv

COLUMNS = ["age", "sex", "ph_ecog"]


def fitted(**options: object) -> CoxPHFitter:
    data = oracle_csv("survival/cox_lung")[[*COLUMNS, "time", "event", "inst"]].dropna()
    keep = [*COLUMNS, "time", "event", *(["inst"] if "cluster_col" in options else [])]
    penalizer = float(str(options.pop("penalizer", 0.0)))
    return CoxPHFitter(penalizer=penalizer).fit(data[keep], "time", "event", **options)


def test_our_fit_and_that_of_lifelines_print_r_s_ratios() -> None:
    data, expected = oracle_csv("survival/cox_lung"), oracle("survival/cox_lung")["expected"]["efron"]
    ours = co.hazard_ratios(cox(data[COLUMNS], data["time"], data["event"]), COLUMNS, min_cell=0).frame
    theirs = co.hazard_ratios(CoxPHFitter().fit(data[[*COLUMNS, "time", "event"]], "time", "event"), min_cell=0).frame
    for frame, tolerance in ((ours, 1e-7), (theirs, 1e-5)):  # lifelines stops early
        assert_close(frame["estimate"], expected["hr"], tolerance)
        assert_close(frame["low"], expected["lower95"], tolerance)
        assert_close(frame["high"], expected["upper95"], tolerance)
        assert frame["n"].unique().tolist() == [expected["n"]]
        assert frame["events"].unique().tolist() == [expected["nevent"]]
    assert_close(ours["p_value"], expected["p"], 1e-6)


def test_labels_are_printed_and_the_forest_is_drawn_on_a_log_axis() -> None:
    shown = co.hazard_ratios(fitted(), labels={"age": "Age, per year"}, called="Death")
    assert "Age, per year" in str(shown) and shown.title == "Death: Cox model"
    assert shown.figure is not None and shown.figure.options["scale"] == "log"
    assert figures.svg(figures.draw(shown.figure)).startswith(b"<?xml")


def test_what_lifelines_only_approximates_is_said() -> None:
    assert any("approximate" in note for note in co.hazard_ratios(fitted(robust=True)).notes)
    assert any("approximate" in note for note in co.hazard_ratios(fitted(cluster_col="inst")).notes)
    assert any("penalised" in note for note in co.hazard_ratios(fitted(penalizer=0.1)).notes)
    assert len(co.hazard_ratios(fitted()).notes) == 1


def test_an_infinite_ratio_has_counts_a_score_test_and_a_reason() -> None:
    arm = np.repeat([0, 1], 20)
    fit = cox(np.column_stack([arm, np.ones(40)]), np.arange(1.0, 41), arm == 0)
    shown = co.hazard_ratios(fit, ["App", "Constant"], min_cell=0)
    row = shown.frame.iloc[0]
    assert np.isnan(row["estimate"]) and row["p_value"] == pytest.approx(fit.score_p, rel=1e-9) and row["events"] == 20
    assert row["low"] == 0 and row["high"] == pytest.approx(np.exp(fit.profile_interval(0).conf_high))
    assert any("App: the ratio is zero" in note for note in shown.notes)
    assert any("Constant: not identified" in note for note in shown.notes)
    assert figures.svg(figures.draw(shown.figure)).startswith(b"<?xml")


def test_few_events_are_hidden() -> None:
    rng = np.random.default_rng(2)
    fit = cox(rng.normal(size=50), np.arange(1.0, 51), np.arange(50) < 5)
    assert "hidden" in str(co.hazard_ratios(fit, ["x"]))


def test_refusals() -> None:
    fit = cox([0, 1, 0, 1], [1, 2, 3, 4], [1, 1, 1, 0])
    for call, message in (
        (lambda: co.hazard_ratios(fit), "1 columns and 0 names"),
        (lambda: co.hazard_ratios(fit, ["a", "b"]), "1 columns and 2 names"),
        (lambda: co.hazard_ratios(CoxPHFitter()), "not fitted"),
        (lambda: co.hazard_ratios(fitted(), COLUMNS), "brings its names along"),
        (lambda: co.hazard_ratios(pd.DataFrame()), "There is no fitted Cox model 'DataFrame'"),
    ):
        with pytest.raises(DefinitionError, match=message):
            call()
