"""The cost of care through the production path: files, sums by SQL of the same records, the truth, flat claims."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from clinops.analyse.costs.care import NUMBERS, ORDER
from clinops.runner.cli import main
from tests.analyse.costs.support import flat
from tests.notebooks.conftest import PROTOCOLS, ROOT, Run
from tests.notebooks.test_evaluation import one, page, results

pytestmark = pytest.mark.notebook
NOTEBOOK = ROOT / "notebooks" / "cost_of_care.ipynb"
PROTOCOL = PROTOCOLS / "remote_care_programme.json"


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run("cost_of_care", "cost", source=world / "omop", truth=world / "truth.parquet", protocol=PROTOCOL)


def table(report: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(report / "tables" / f"{name}.csv")


def horizon(report: Path, **equal: str) -> pd.DataFrame:
    frame = results(report)
    frame = frame[(frame["analysis"] == "cost over the horizon") & (frame["scale"] == "mean difference")]
    for name, value in equal.items():
        frame = frame[frame[name] == value]
    return frame.set_index("category")


# --- what is there ------------------------------------------------------------------------------


def test_everything_promised_is_there(report: Path) -> None:
    assert {f"{name}.csv" for name in NUMBERS} <= {path.name for path in (report / "tables").iterdir()}
    figures = {path.name for path in (report / "figures").iterdir()}
    for name in ("cumulative_cost", "cost_trend", "cost_waterfall", "cost_concentration", "cost_plane",
                 "cost_acceptability", "cost_models", "cost_budget", "ledger_calendar"):  # fmt: skip
        assert {f"{name}.svg", f"{name}.png"} <= figures
    html = page(report)
    assert "Synthetic data: no clinical meaning" in html
    assert "Payer perspective, allowed amounts, USD, prices as recorded" in html
    for number in {re.sub(r"[a-z]$", "", number) for number in NUMBERS.values()}:
        assert number in html, number


def test_the_notebook_shows_every_exhibit_once_and_in_order() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]
    shown = [cell.removeprefix("costs.") for cell in text if re.fullmatch(r"costs\.\w+", cell)]
    assert shown == ["front_page", *ORDER]


def test_the_smallest_saving_comes_before_any_result(report: Path) -> None:
    body = page(report).partition("On what terms")[2]
    assert body.index("The smallest saving that could have been seen") < body.index("Effect on cost per person")


def test_no_small_count_is_anywhere(report: Path) -> None:
    frame = results(report)
    for column in ("n_exposed", "n_comparator", "events_exposed", "events_comparator"):
        assert not frame[column].dropna().between(1, 10).any(), column
    for path in sorted((report / "tables").glob("*.csv")):
        made = pd.read_csv(path, dtype=str)
        for column in [c for c in made if re.match(r"(n|n_.*|events_.*|deaths.*|persons|complete|none|claims)$", c)]:
            small = [value for value in made[column].dropna() if re.fullmatch(r"(?:[1-9]|10)(?:\.0)?", value)]
            assert not small, f"{path.name}: {column} shows {small}"


# --- sums ---------------------------------------------------------------------------------------


def test_categories_add_up_to_the_total(report: Path) -> None:
    frame = results(report)
    for analysis, scale in (
        ("cost over the horizon", "mean difference"), ("cost per member-month", "PMPM difference"),
        ("price and use", "mean difference"),
    ):  # fmt: skip
        part = frame[(frame["analysis"] == analysis) & (frame["scale"] == scale)]
        for _, group in part.groupby(["adjustment", "level"], dropna=False):
            whole = group["category"] == "total"
            for value in ("estimate", "value_exposed", "value_comparator"):
                gap = float(group.loc[~whole, value].sum() - group.loc[whole, value].sum())
                assert abs(gap) < 1e-9 * max(1.0, float(group[value].abs().max())), (analysis, value)
    parts = table(report, "cost_waterfall")
    value = parts.set_index("kind")["value"]
    assert value["part"].sum() == pytest.approx(value["subtotal"], rel=1e-9)
    assert value["subtotal"] + value["fee"] == pytest.approx(value["total"], rel=1e-9)


def test_use_and_price_add_up_to_the_difference(report: Path) -> None:
    frame = results(report)
    split = frame[frame["analysis"] == "price and use"].set_index(["level", "category"])["estimate"]
    whole = horizon(report, adjustment="ATT weighting")["estimate"]
    assert (split["use"] + split["price"])[whole.index].tolist() == pytest.approx(whole.tolist(), rel=1e-9, abs=1e-9)


def test_the_same_number_is_the_same_in_every_exhibit(report: Path) -> None:
    main_row = horizon(report, adjustment="ATT weighting").loc["total"]
    ends = ["conf_low", "conf_high"]
    shown = table(report, "cost_main").loc[0, ["low", "high"]].astype(float)
    assert shown.tolist() == pytest.approx(main_row[ends].tolist())
    final = one(results(report), analysis="cumulative cost", period="months 1 to 12")
    assert final[ends].tolist() == pytest.approx(main_row[ends].tolist())
    money = table(report, "cost_money").set_index("line")
    gross = money.loc["Gross saving on care"]
    assert [-gross["conf_high"], -gross["conf_low"]] == pytest.approx(main_row[ends].tolist())
    net = table(report, "cost_waterfall").iloc[-1]
    assert net["value"] == pytest.approx(-money.loc["Net saving", "estimate"])
    budget = table(report, "cost_budget")
    assert budget["net"].iloc[0] == pytest.approx(budget["persons"].iloc[0] * money.loc["Net saving", "estimate"])


# --- by other means -----------------------------------------------------------------------------

CLAIMS = """
WITH money AS (
    SELECT v.person_id, v.visit_start_date AS day, amount_allowed AS amount,
           CASE visit_concept_id WHEN 9201 THEN 'inpatient' WHEN 9203 THEN 'emergency' ELSE 'outpatient' END AS category
    FROM cost c JOIN visit_occurrence v ON c.cost_domain_id = 'Visit' AND c.cost_event_id = v.visit_occurrence_id
    UNION ALL
    SELECT d.person_id, d.drug_exposure_start_date, amount_allowed, 'pharmacy'
    FROM cost c JOIN drug_exposure d ON c.cost_domain_id = 'Drug' AND c.cost_event_id = d.drug_exposure_id
), people AS (
    SELECT t.person_id, t.offered, CAST(t.index_date AS DATE) AS day0, x.death_date,
           o.observation_period_end_date AS seen_to
    FROM truth t JOIN observation_period o ON o.person_id = t.person_id
        AND CAST(t.index_date AS DATE) BETWEEN o.observation_period_start_date AND o.observation_period_end_date
    LEFT JOIN death x ON x.person_id = t.person_id
), followed AS (
    SELECT *, least(seen_to, coalesce(death_date, seen_to), day0 + 365) AS until,
           coalesce(death_date <= least(seen_to, day0 + 365), FALSE) AS died
    FROM people
)
SELECT f.person_id, f.offered, f.day0, f.until, f.died, m.day, m.category, CAST(m.amount AS DOUBLE) AS amount
FROM followed f LEFT JOIN (
    SELECT * FROM money m WHERE EXISTS (
        SELECT 1 FROM payer_plan_period e WHERE e.person_id = m.person_id
        AND m.day BETWEEN e.payer_plan_period_start_date AND e.payer_plan_period_end_date)
) m ON m.person_id = f.person_id AND m.day > f.day0 AND m.day <= f.until
"""


@pytest.fixture(scope="module")
def by_sql(world: Path) -> pd.DataFrame:
    """Every claim of every person of the truth within the follow-up, without a line of the library."""
    with duckdb.connect() as connection:
        for path in (world / "omop").glob("*.parquet"):
            connection.execute(f"CREATE VIEW {path.stem} AS FROM '{path}'")
        connection.execute(f"CREATE VIEW truth AS FROM '{world / 'truth.parquet'}'")
        return connection.execute(CLAIMS).df()


def test_means_and_deaths_as_observed_are_those_of_sql(report: Path, by_sql: pd.DataFrame) -> None:
    persons = by_sql.groupby(["offered", "person_id"]).agg(cost=("amount", "sum"), died=("died", "first"))
    for arm, line in zip((True, False), table(report, "cost_distribution").to_dict("records"), strict=True):
        mine = persons.loc[arm]
        assert line["n"] == len(mine) and line["none"] == (mine["cost"] == 0).sum()
        assert line["mean"] == pytest.approx(mine["cost"].mean(), rel=1e-12)
        assert line["sd"] == pytest.approx(mine["cost"].std(), rel=1e-12)
        assert line["median"] == pytest.approx(mine["cost"].median(), rel=1e-12)
        died = int(mine["died"].sum())
        assert str(line["deaths"]) == ("<11" if 0 < died < 11 else str(died))


def partitioned(arm: pd.DataFrame) -> float:
    """Bang and Tsiatis 2000 by month, as their formula reads: loops over persons and months, no shared code."""
    person = arm.groupby("person_id").agg(day0=("day0", "first"), until=("until", "first"), died=("died", "first"))
    ends, starts = [], []
    for day0 in person["day0"]:
        last = [day0 + pd.DateOffset(months=m) for m in range(13)]
        starts.append(last)
    time = []
    for (_, row), months in zip(person.iterrows(), starts, strict=True):
        if row["until"] >= months[0] + pd.Timedelta(days=365) and not row["died"]:
            time.append(12.0)  # 365 days, where twelve months may be 366
            continue
        place = max(m for m in range(12) if row["until"] > months[m] or m == 0)
        days = (row["until"] - months[place]).days / (months[place + 1] - months[place]).days
        time.append(place + days if row["until"] > months[0] else 0.0)
    person["time"], person["months"] = time, starts
    ends = person[~person["died"] & (person["time"] < 12)]["time"].to_numpy()
    person = person[person["died"] | (person["time"] > 0)]
    all_times = person["time"].to_numpy()

    @cache
    def stays(t: float) -> float:
        """Kaplan-Meier of staying just before t: censorings before it over who was still there."""
        left = 1.0
        for c in np.unique(ends[(ends < t - 1e-9) & (ends > 0)]):
            # at equal times deaths come before censorings
            there = (all_times > c + 1e-9).sum() + ((abs(all_times - c) <= 1e-9) & ~person["died"].to_numpy()).sum()
            left *= 1 - (abs(ends - c) <= 1e-9).sum() / there
        return left

    total = 0.0
    for who, claims in arm.dropna(subset=["day"]).groupby("person_id"):
        row = person.loc[who]
        for day, amount in zip(claims["day"], claims["amount"], strict=True):
            month = next(m for m in range(1, 13) if day <= row["months"][m])
            known = row["died"] or row["time"] >= month - 1e-9
            total += amount / stays(min(row["time"], month)) if known else 0.0
    return total / len(person)


def test_the_crude_difference_is_that_of_an_independent_estimator(report: Path, by_sql: pd.DataFrame) -> None:
    row = horizon(report, adjustment="crude").loc["total"]
    found = [partitioned(by_sql[by_sql["offered"] == arm]) for arm in (True, False)]
    assert [row["value_exposed"], row["value_comparator"]] == pytest.approx(found, rel=1e-9)
    assert row["estimate"] == pytest.approx(found[0] - found[1], rel=1e-8)


def test_the_fee_is_for_who_activated(report: Path, world: Path) -> None:
    fee = json.loads(PROTOCOL.read_text())["programme"]["fee"]
    truth = pd.read_parquet(world / "truth.parquet")
    share = truth.loc[truth["offered"], "activated"].mean()
    money = table(report, "cost_money").set_index("line")["estimate"]
    assert money["Programme fee"] == pytest.approx(fee * share)
    assert money["Net saving"] == pytest.approx(money["Gross saving on care"] - fee * share)
    assert money["Break-even fee"] == pytest.approx(money["Gross saving on care"] / share)


def test_the_truth_is_compatible_with_the_estimate(report: Path, world: Path) -> None:
    """Within three standard errors, as it is in 997 of 1,000 worlds; and it stands beside the estimate."""
    truth = pd.read_parquet(world / "truth.parquet")
    offered = truth[truth["offered"]]
    planted = (offered["cost_total_1"] - offered["cost_total_0"]).mean()
    row = horizon(report, adjustment="ATT weighting").loc["total"]
    assert abs(row["estimate"] - planted) < 3 * row["std_error"]
    strip = table(report, "cost_strip").set_index("label")
    assert strip.loc["Truth (simulated)", "estimate"] == pytest.approx(planted)
    assert strip.loc["Adjusted: ATT weighting", "estimate"] == pytest.approx(row["estimate"])


# --- other parameters ---------------------------------------------------------------------------


def test_flat_claims_and_a_file_of_persons(run: Run, tmp_path: Path) -> None:
    """The eight persons of the tests by hand, through the notebook's parameters alone."""
    folder = flat(tmp_path / "records")
    made = run(
        "cost_of_care", "flat", source=folder, people=tmp_path / "people.csv", protocol="none", truth="none",
        currency="USD", horizon_months=3, fee=10, effect="days_at_home", names='["Programme", "Usual care"]',
        min_cell=1,
    )  # fmt: skip
    total = horizon(made).loc["total"]
    assert total[["value_exposed", "value_comparator", "estimate"]].tolist() == pytest.approx([315, 320, -5])
    assert table(made, "cost_money").set_index("line").loc["Net saving", "estimate"] == pytest.approx(-5)
    source = json.loads((made / "manifest.json").read_text())["source"]
    assert source["model"] == "flat claims" and source["persons"] == 6


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("perspective", "payor", "payer"), ("horizon_months", "0", "horizon_months"), ("fee", "-1", "fee"),
        ("discount_rate", "3", "discount_rate"), ("margins", "0.3", "margin"), ("margin", "1.5", "margin"),
        ("replicates", "5", "replicates"), ("amount", "charges", "allowed"),
    ],
)  # fmt: skip
def test_impossible_parameters_stop_before_the_run(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    records = ["-p", "source", str(world / "omop"), "-p", "truth", str(world / "truth.parquet")]
    assert main(["run", str(NOTEBOOK), *records, "-p", name, value, "--out", str(tmp_path), "--run-id", "x"]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())
