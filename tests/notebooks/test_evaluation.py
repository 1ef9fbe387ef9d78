"""The evaluation through the production path: files, anchors of the published records, privacy, repeatability."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from clinops.results.schema import COLUMNS, validate
from clinops.runner.cli import main
from tests.notebooks.conftest import PROTOCOLS, Run

pytestmark = pytest.mark.notebook

EXHIBITS = {
    "attrition", "target_trial", "study_diagram", "flow", "baseline", "love", "overlap", "crude_events", "effects",
    "forest", "ladder", "subgroups", "sensitivity", "checks", "code_lists", "limits", "main", "strip",
}  # fmt: skip


def results(report: Path) -> pd.DataFrame:
    frame = pd.read_parquet(report / "results.parquet")
    validate(frame)
    return frame


def page(report: Path) -> str:
    return (report / "report.html").read_text(encoding="utf-8")


def one(frame: pd.DataFrame, **equal: str) -> pd.Series:
    for name, value in equal.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, f"{len(frame)} rows for {equal}"
    return frame.iloc[0]


def test_everything_promised_is_there(gibleed_report: Path) -> None:
    names = {path.name for path in gibleed_report.iterdir()}
    promised = {"report.html", "notebook.ipynb", "results.parquet", "results.csv", "protocol.json", "manifest.json"}
    assert promised | {"tables", "figures", "summary.json"} == names
    assert {f"{name}.csv" for name in EXHIBITS} <= {path.name for path in (gibleed_report / "tables").iterdir()}
    figures = {path.name for path in (gibleed_report / "figures").iterdir()}
    for name in ("flow", "study_diagram", "love", "overlap", "forest", "survival_gastrointestinal_haemorrhage"):
        assert {f"{name}.svg", f"{name}.png"} <= figures


def test_the_results_are_those_of_the_published_records(gibleed_report: Path) -> None:
    """Counts, person-days and the crude hazard ratio: an independent count of the same records (issue 2)."""
    row = one(results(gibleed_report), analysis="main", role="primary", adjustment="crude", scale="hazard ratio")
    assert (row["n_exposed"], row["n_comparator"]) == (1800, 830)
    assert (row["events_exposed"], row["events_comparator"]) == (355, 124)
    assert (row["person_days_exposed"], row["person_days_comparator"]) == (538989, 260175)
    assert [round(float(row[c]), 3) for c in ("estimate", "conf_low", "conf_high")] == [1.347, 1.098, 1.652]


def test_the_csv_says_what_the_parquet_says(gibleed_report: Path) -> None:
    told = pd.read_csv(gibleed_report / "results.csv")
    assert list(told.columns) == list(COLUMNS)
    kept = results(gibleed_report)
    assert len(told) == len(kept)
    assert told["estimate"].to_numpy() == pytest.approx(kept["estimate"].to_numpy(dtype=float), nan_ok=True)


def test_the_page_says_what_it_is(gibleed_report: Path) -> None:
    html = page(gibleed_report)
    assert "Synthetic data: no clinical meaning" in html and "Internal, not cleared for release" in html
    assert "no total cost could be measured" in html  # no costs, and it says so
    assert "Charlson index" in html and "carry an ICD code" in html  # not computable here, with the reason
    assert "periods without a person" in html and "2,649" in html
    assert not re.search(r"(?:src|href)=[\"']?https?:", html)
    for number in ("Table 1", "Table 2", "Table 3", "Table 6", "Table 12", "Figure 1", "Figure 7"):
        assert number in html
    assert html.count("<img") == len(re.findall(r"<img[^>]* alt=\"[^\"]{20,}\"", html))


def test_numbers_stand_in_the_order_of_the_page(gibleed_report: Path) -> None:
    found = re.findall(r'class="co-number">(Table|Figure) (\d+)', page(gibleed_report))
    for kind in ("Table", "Figure"):
        numbers = [int(number) for what, number in found if what == kind]
        assert numbers == sorted(numbers) and numbers[0] == 1


def test_no_p_value_in_the_baseline_table(gibleed_report: Path) -> None:
    columns = pd.read_csv(gibleed_report / "tables" / "baseline.csv").columns
    assert not [name for name in columns if name.startswith("p_") or name == "p"]


@pytest.mark.parametrize("which", ["gibleed_report", "programme_report"])
def test_no_small_count_is_anywhere(which: str, request: pytest.FixtureRequest) -> None:
    """Counts of persons or events from 1 to 10 print <11 in the results, the tables and the manifest."""
    report = request.getfixturevalue(which)
    frame = results(report)
    for column in ("n_exposed", "n_comparator", "events_exposed", "events_comparator"):
        values = frame[column].dropna()
        assert not values.between(1, 10).any(), column
    for path in sorted((report / "tables").glob("*.csv")):
        table = pd.read_csv(path, dtype=str)
        for column in [c for c in table if re.match(r"(n|n_.*|events_.*|entries|persons|excluded_.*|count)$", c)]:
            small = [value for value in table[column].dropna() if re.fullmatch(r"(?:[1-9]|10)(?:\.0)?", value)]
            assert not small, f"{path.name}: {column} shows {small}"
    source = json.loads((report / "manifest.json").read_text())["source"]
    counts = [*source["rows"].values(), *(item["count"] for item in source["set_aside"])]
    assert not [count for count in counts if isinstance(count, int) and 0 < count < 11]


def test_no_row_of_a_person_is_in_the_report(programme_report: Path) -> None:
    text = page(programme_report) + (programme_report / "notebook.ipynb").read_text()
    assert "person_id" not in re.sub(r"<details.*?</details>|person_id is not in the person table", "", text)


def test_the_programme_shows_its_truth_beside_the_estimate(programme_report: Path) -> None:
    strip = pd.read_csv(programme_report / "tables" / "strip.csv").set_index("label")
    assert strip.loc["Truth (simulated)", "estimate"] < 0  # a saving was planted
    frame = results(programme_report)
    main_row = one(frame, analysis="main", measure="Total cost", adjustment="ATT weighting", scale="mean difference")
    assert main_row["unit"] == "USD per person" and main_row["se_kind"]
    money = pd.read_csv(programme_report / "tables" / "money.csv")
    gross, fee, net = money["estimate"]
    assert gross == main_row["estimate"] and net == pytest.approx(gross + fee)


def test_every_scale_of_every_outcome_is_there(programme_report: Path) -> None:
    frame = results(programme_report)
    main_rows = frame[frame["analysis"] == "main"]
    scales = main_rows.groupby("measure")["scale"].agg(set).to_dict()
    assert {"mean difference", "mean ratio", "PMPM difference", "PMPM ratio"} == scales["Total cost"]
    assert {"rate difference", "rate ratio"} == scales["Admissions"] == scales["Emergency visits"]
    assert {"risk difference", "risk ratio", "hazard ratio", "rate difference", "rate ratio"} == scales["Death"]
    assert main_rows.groupby(["measure", "scale"])["adjustment"].agg(set).map(len).min() == 2  # crude and adjusted
    estimated = main_rows[main_rows["estimate"].notna()]
    assert estimated[["conf_low", "conf_high", "n_exposed", "n_comparator", "person_days_exposed"]].notna().all(None)


def test_the_manifest_is_a_record_of_the_run(programme_report: Path) -> None:
    made = json.loads((programme_report / "manifest.json").read_text())
    protocol = json.loads((programme_report / "protocol.json").read_text())
    assert made["status"] == "ok" and made["protocol_hash"] == protocol["hash"]
    assert made["title"] == "Remote care for type 2 diabetes" and made["source"]["synthetic"] is True
    assert made["parameters"]["caliper"] == 0.05
    assert all(cell["seconds"] >= 0 for cell in made["cells"])


def test_the_same_run_twice_is_the_same_to_the_byte(run: Run, world: Path, programme_report: Path) -> None:
    again = run(
        "evaluation", "again", source=world / "omop", truth=world / "truth.parquet",
        protocol=PROTOCOLS / "remote_care_programme.json",
    )  # fmt: skip
    for name in ("results.csv", "results.parquet", "protocol.json", "summary.json"):
        assert (again / name).read_bytes() == (programme_report / name).read_bytes(), name
    for part in ("tables", "figures"):
        for path in sorted((programme_report / part).iterdir()):
            assert (again / part / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_design_error_stops_the_run_unless_it_is_allowed_with_a_reason(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import clinops as co

    sound = co.protocol.read(PROTOCOLS / "celecoxib_v_diclofenac.json")
    late = co.age_at_index(), co.count(co.events("condition"), co.days(-30, 30), name="Conditions around the index")
    wrong = co.protocol(**{**vars(sound), "covariates": late, "subgroups": ()})
    wrong.write(tmp_path / "wrong.json")
    notebook = str(Path(__file__).parent.parent.parent / "notebooks" / "evaluation.ipynb")
    arguments = ["run", notebook, "-p", "protocol", str(tmp_path / "wrong.json"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--run-id", "wrong"]) == 1
    rule = next(iter(wrong.lint().errors)).rule
    assert rule in capsys.readouterr().err
    assert not (tmp_path / "out" / "wrong").exists() and (tmp_path / "out" / "wrong.failed").is_dir()
    reason = "A check of the check: this covariate is late on purpose."
    allowed = co.protocol(**{**vars(wrong), "allow": (co.allow(rule, reason),)})
    allowed.write(tmp_path / "allowed.json")
    html = page(run("evaluation", "allowed", protocol=tmp_path / "allowed.json"))
    assert reason in html and "Not interpretable" not in html


def test_thirty_days_and_older_people_by_parameters_alone(run: Run) -> None:
    """Within 30 days: 113 and 46 events, 1.132 (0.804 to 1.595), by an independent count (issue 2)."""
    frame = results(run("evaluation", "thirty", follow_up_days=30))
    row = one(frame, analysis="main", role="primary", adjustment="crude", scale="hazard ratio")
    assert (row["events_exposed"], row["events_comparator"]) == (113, 46)
    assert [round(float(row[c]), 3) for c in ("estimate", "conf_low", "conf_high")] == [1.132, 0.804, 1.595]
