"""`co.outcome` as a user calls it: landmarks, numbers of exhibits, what it writes, matched arms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.outcomes.facade import NUMBERS, ORDER, Outcome
from clinops.errors import DefinitionError
from clinops.results.schema import COLUMNS, validate
from clinops.sources import connect
from tests.analyse.outcomes.support import One, only, records, some, study
from tests.conftest import write_parquet

EXPOSED, COMPARATOR = some(40, 21), some(50, 22)


@pytest.fixture(scope="module")
def crude(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_parquet(records(EXPOSED, COMPARATOR), tmp_path_factory.mktemp("records"))
    with connect(folder, capture="enrolment") as source:
        yield study(source)


@pytest.fixture(scope="module")
def visits(crude: Any) -> Outcome:
    return co.outcome(crude, "Visits", landmarks=[30, 100])


def test_the_exhibits_stand_in_order_with_their_numbers(visits: Outcome) -> None:
    assert [one.name for one in visits.exhibits] == list(NUMBERS)
    assert [one.number for one in visits.exhibits] == list(NUMBERS.values())
    assert all(getattr(visits, name).protected == 1 for name in ORDER)
    text, page = str(visits), visits._repr_html_()
    assert [name for name in NUMBERS.values() if name not in text or name not in page] == []


def test_the_estimates_are_the_long_schema(visits: Outcome) -> None:
    frame = visits.estimates
    validate(frame)
    assert list(frame.columns) == list(COLUMNS)
    assert set(frame["analysis"]) == {
        "cumulative incidence", "time lost", "hazards", "test", "recurrent events", "rates",
    }  # fmt: skip
    assert set(frame.loc[frame["measure"] == "Visits", "role"]) == {"primary"}
    assert set(frame["period"]) == {"to day 30", "to day 100"}
    row = only(frame, "Aalen", "risk difference", period="to day 100")
    assert (row["n_exposed"], row["n_comparator"]) == (40, 50)
    assert row["events_exposed"] == sum(bool(one.events) for one in EXPOSED)
    assert only(frame, "rate ratio, quasi", "rate ratio")["estimate"] == pytest.approx(
        sum(len(o.events) for o in EXPOSED) / sum(o.end for o in EXPOSED)
        / (sum(len(o.events) for o in COMPARATOR) / sum(o.end for o in COMPARATOR)), rel=1e-8,
    )  # fmt: skip


def test_landmarks_are_four_round_days_unless_given(crude: Any) -> None:
    assert co.outcome(crude, "Visits").landmarks == (25, 50, 75, 100)
    assert co.outcome(crude, "Visits", landmarks=(1, 100)).landmarks == (1, 100)
    table = co.outcome(crude, "Death", landmarks=[40]).incidence.frame
    assert table["day"].tolist() == [40]


def test_rates_are_asked_for_by_age_events_and_standard(crude: Any) -> None:
    # Index 1 January 2020; the exposed are born from 1951, the others from 1951 too, on a day that nobody knows.
    usual = co.outcome(crude, "Visits")
    assert usual.rates.frame["level"].tolist()[:2] == ["All", "2020"]
    first = co.outcome(crude, "Visits", age_bands=[30, 60], rates_of="first events", standard="exposed")
    ages = first.rates.frame.set_index("split").loc["Age"]
    born = [1950 + who % 1000 for who in (*range(1, 41), *range(1001, 1051))]
    expected = {name: sum(low <= 2020 - year < high for year in born) for name, low, high in
                (("below 30", 0, 30), ("30 to 59", 30, 60), ("60 and over", 60, 150))}  # fmt: skip
    found = ages.set_index("level")
    assert {name: found.loc[name, ["n_exposed", "n_comparator"]].sum() for name in found.index} == {
        name: count for name, count in expected.items() if count
    }
    assert found["events_exposed"].sum() == sum(bool(one.events) for one in EXPOSED)
    assert "to the person-time of Programme" in first.standardised_rates.frame["what"][1]
    assert usual.rates.frame["events_exposed"][0] == sum(len(one.events) for one in EXPOSED)


def test_wrong_ages_and_words_are_refused_before_anything_is_read() -> None:
    with pytest.raises(DefinitionError, match="The age bands begin at 65, 18; give rising whole years"):
        co.outcome(None, "Visits", age_bands=[65, 18])
    with pytest.raises(DefinitionError, match="Did you mean 'both arms'"):
        co.outcome(None, "Visits", standard="both")
    with pytest.raises(DefinitionError, match="Did you mean 'first events'"):
        co.outcome(None, "Visits", rates_of="first")


@pytest.mark.parametrize("landmarks", [[0], [-5, 10], [101], [50, 20], [20, 20], [float("nan")]])
def test_landmarks_outside_the_window_or_out_of_order_are_refused(crude: Any, landmarks: list[float]) -> None:
    with pytest.raises(DefinitionError, match="give rising days from 1 to 100") as raised:
        co.outcome(crude, "Visits", landmarks=landmarks)
    assert f"{landmarks[0]:g}" in str(raised.value)


def test_an_unknown_outcome_is_refused_with_the_nearest(crude: Any) -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'Death'"):
        co.outcome(crude, "Deaths")


def test_death_as_the_outcome_says_that_it_comes_once(crude: Any) -> None:
    one = co.outcome(crude, "Death")
    validate(one.estimates)
    assert set(one.estimates["measure"]) == {"Death"} and set(one.estimates["role"]) == {"safety"}
    assert one.repeats.sentence == "Not possible: Death comes once."
    assert str(one.happened).count("Died before it") == 0


def test_matched_arms_are_those_who_have_a_match(source_of: Callable[..., Any]) -> None:
    source = source_of(records(EXPOSED, COMPARATOR), capture="enrolment")
    found = study(source, adjust=co.match(caliper=None))
    one = co.outcome(found, "Visits")
    row = only(one.estimates, "Aalen", "risk difference", period="to day 100")
    assert row["n_exposed"] == row["n_comparator"] == 40
    assert row["se_kind"] == "robust, clusters: matched set, weights taken as known"
    sets, keep = found.adjusted.sets, found.adjusted.weights > 0
    assert len(np.unique(sets[keep])) == 40 and keep.sum() == 80


def test_weighted_arms_have_robust_errors(source_of: Callable[..., Any]) -> None:
    source = source_of(records(EXPOSED, COMPARATOR), capture="enrolment")
    found = study(source, adjust=co.weight("att"), estimand="att")
    one = co.outcome(found, "Visits")
    validate(one.estimates)
    row = only(one.estimates, "Aalen", "risk difference", period="to day 100")
    assert "robust, clusters: person, weights taken as known" in row["se_kind"]
    assert "ATT" in row["estimand"] and (row["n_exposed"], row["n_comparator"]) == (40, 50)
    # The exposed weigh 1 each: their risk is the crude one.
    plain = only(co.outcome(study(source), "Visits").estimates, "Aalen", "risk difference", period="to day 100")
    assert row["value_exposed"] == pytest.approx(plain["value_exposed"])
    test = only(one.estimates, "Gray", "chi-squared")
    assert (test["adjustment"], test["estimand"]) == ("crude", "difference between the arms as they are")


def test_a_bundle_holds_every_table_figure_and_estimate(visits: Outcome, tmp_path: Path) -> None:
    assert visits.write() is None  # no folder and no runner
    folder = visits.write(tmp_path / "out")
    assert folder is not None
    written = pd.read_csv(folder / "results.csv")
    assert len(written) == len(visits.estimates)
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == set(NUMBERS)
    assert {path.name for path in (folder / "figures").glob("*.svg")} == {
        "cumulative_incidence.svg", "mean_count.svg", "rates.svg",
    }  # fmt: skip
    assert json.loads((folder / "summary.json").read_text())["title"] == "Visits: A programme"


def test_an_arm_of_five_is_hidden_by_default(source_of: Callable[..., Any], tmp_path: Path) -> None:
    five = [One(100, events=(12, 44)), One(33, dies=True), One(87), One(100), One(61, events=(29,))]
    source = source_of(records(five, some(60, 5)), capture="enrolment")
    one = co.outcome(study(source, min_cell=11), "Visits", landmarks=[100])
    assert "Numbers that rest on small counts are not shown." in one.happened.sentence
    folder = one.write(tmp_path / "out")
    assert folder is not None
    written = pd.read_csv(folder / "results.csv")
    # A zero is shown: of bands of age in which none of them is.
    assert written[["n_exposed", "person_days_exposed", "value_exposed"]].fillna(0).eq(0).all().all()
    assert written[["estimate", "p_value"]].isna().all().all()
    assert set(written["events_exposed"].dropna()) <= {0}
    assert (written.loc[written["subgroup"].isna(), "n_comparator"] == 60).all()
