"""The bundle: complete, protected, free of paths, and the same bytes twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clinops.errors import DataError
from clinops.results.bundle import write
from clinops.results.front import FrontPage
from clinops.results.result import Column, Figure, Result
from clinops.results.schema import COLUMNS, estimates


def bundle(folder: Path, **more: Any) -> Path:
    table = pd.DataFrame({"level": ["18-44", "45-64", "65-74", "75+", "Total"], "persons": [40, 7, 25, 30, 102]})
    ages = Result("ages", "Ages", table, sentence="7 persons were 45 to 64.")
    love = pd.DataFrame({"covariate": ["Age", "=1+1"], "smd_before": [0.3, -0.2], "smd_after": [0.01, 0.02]})
    plot = Result(
        "love plot", "Balance", love, (Column("covariate", "Covariate"), Column("smd_after", "After", "smd")),
        figure=Figure("love", love, {"threshold": 0.1}), banner="Synthetic data: no clinical meaning",
    )  # fmt: skip
    page = FrontPage("Title", "too uncertain", "It cannot be said.", "Does it work?", main=ages)
    given: dict[str, Any] = {
        "results": [page, ages, plot], "protocol": {"hash": "abc", "title": "T"},
        "estimates": estimates([{"analysis": "main", "measure": "Death", "estimate": 1.5, "events_exposed": 7}]),
        "source_identity": {"name": "demo", "fingerprint": "f" * 64},
        "summary": {"title": "T", "synthetic": True, "verdicts": []},
    }  # fmt: skip
    return write(folder, **{**given, **more})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_everything_promised_is_there_and_no_small_count_is(tmp_path: Path) -> None:
    files = contents(bundle(tmp_path / "run"))
    assert set(files) == {
        "results.parquet", "results.csv", "protocol.json", "source.json", "summary.json", "tables/ages.csv",
        "tables/ages.html", "tables/love_plot.csv", "tables/love_plot.html", "figures/love_plot.svg",
        "figures/love_plot.png",
    }  # fmt: skip
    assert files["tables/ages.csv"].decode().splitlines() == [
        "level,persons", "18-44,40", "45-64,<11", "65-74,hidden", "75+,30", "Total,102",
    ]  # fmt: skip
    for name in ("tables/ages.html", "results.csv", "summary.json"):
        assert "7 persons" not in files[name].decode()
        assert ">7<" not in files[name].decode()
    assert ",7," not in files["results.csv"].decode()


def test_the_same_bundle_twice_is_the_same_bytes(tmp_path: Path) -> None:
    assert contents(bundle(tmp_path / "a")) == contents(bundle(tmp_path / "b"))


def test_parquet_keeps_the_schema(tmp_path: Path) -> None:
    frame = pd.read_parquet(bundle(tmp_path) / "results.parquet")
    assert list(frame.columns) == list(COLUMNS)
    assert frame["note"].tolist() == ["n < 11 not shown"]
    assert frame["events_exposed"].isna().all()


def test_the_stamp_stands_in_the_summary_and_on_every_table(tmp_path: Path) -> None:
    folder = bundle(tmp_path)
    assert json.loads((folder / "summary.json").read_text())["disclosure"] == "internal, not cleared for release"
    for page in (folder / "tables").glob("*.html"):
        assert "not cleared for release" in page.read_text(encoding="utf-8")


def test_a_label_cannot_become_a_formula(tmp_path: Path) -> None:
    assert "\n'=1+1," in (bundle(tmp_path) / "tables" / "love_plot.csv").read_text()


def test_two_exhibits_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [Result("a", "A", pd.DataFrame({"x": [i]})) for i in (100, 200)]
    with pytest.raises(DataError, match="called 'a'"):
        bundle(tmp_path, results=twice)


def test_an_identity_with_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="path"):
        bundle(tmp_path, source_identity={"where": str(tmp_path / "records")})


def test_without_estimates_the_frame_is_empty_and_typed(tmp_path: Path) -> None:
    folder = bundle(tmp_path, estimates=None)
    assert (folder / "results.csv").read_text() == ",".join(COLUMNS) + "\n"
