"""The printed tables of the Illinois Workplace Wellness Study, cell by cell, beside what `co.trial` makes of its data.

Every number comes from `trial.estimates`, the frame that lands in results.csv; each table's parameters are those of
data/illinois-wellness/tables/, read as the command line reads them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import clinops as co
from clinops.runner.parameters import declared, values_for
from clinops.runner.yamlfile import read_mapping

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "data" / "illinois-wellness"
TABLES = DATA / "tables"
PRINTED = DATA / "published"
NUMBER = re.compile(r"[<>]?-?\d[\d,]*(?:\.\d+)?\**")
STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))


@dataclass(frozen=True)
class Cell:
    """One printed number: where it stands, what is printed, and what it came out as here."""

    table: str
    place: str
    printed: str
    ours: str

    @property
    def same(self) -> bool:
        return self.printed == self.ours


@cache
def run(name: str) -> Any:
    """The trial of one parameters file, from the notebook's declarations and defaults."""
    cells = json.loads((ROOT / "notebooks" / "trial.ipynb").read_text(encoding="utf-8"))["cells"]
    cell = next(c for c in cells if "parameters" in c["metadata"].get("tags", []))
    parameters = declared("".join(cell["source"]))
    given = values_for(parameters, read_mapping(TABLES / f"{name}.yaml"), "trial", ROOT, ROOT)
    values = {name: one.default for name, one in parameters.items()} | given
    return co.trial(ROOT / str(values.pop("file")), **values)


@cache
def estimates(table: str) -> pd.DataFrame:
    """The long rows of all runs of a table: one file, or one for each file of the data set."""
    names = sorted(path.stem for path in TABLES.glob(f"{table}*.yaml"))
    assert names, table
    return pd.concat([run(name).estimates for name in names], ignore_index=True)


def row(table: str, analysis: str, measure: str, method: str | None = None, scale: str | None = None) -> Any:
    frame = estimates(table)
    keep = (frame["analysis"] == analysis) & (frame["measure"] == measure)
    if method is not None:
        keep &= frame["method"] == method
    if scale is not None:
        keep &= frame["scale"] == scale
    found = frame[keep.fillna(False)]
    assert len(found) == 1, (table, analysis, measure, method, len(found))
    return found.iloc[0]


def lines(table: str) -> list[list[str]]:
    with (PRINTED / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def compared(table: str, place: str, printed: str, values: list[float], p: float | None = None) -> Iterator[Cell]:
    """Compare each number of a printed cell with a value, to the digits (and stars) that are printed."""
    tokens = NUMBER.findall(printed.replace("N=", ""))
    assert len(tokens) == len(values), (table, place, printed, values)
    for token, value in zip(tokens, values, strict=True):
        bare = token.rstrip("*")
        digits = len(bare.partition(".")[2])
        # the files hold seven digits: what is smaller than that is zero, without a sign
        value = abs(value) if abs(value) < 1e-6 else value
        ours = f"{value:,.{digits}f}" if "," in bare or digits == 0 else f"{value:.{digits}f}"
        stars = "" if p is None else next((sign for limit, sign in STARS if p < limit), "")
        yield Cell(table, place, token, ours + stars)


def given(cell: str) -> bool:
    return bool(cell) and "N/A" not in cell


# --- JAMA Internal Medicine: means (SD), effect, P, adjusted P ----------------------------------------------


def jama(table: str) -> tuple[list[Cell], list[Cell]]:
    """The numbers of a JAMA table, and its adjusted P values apart."""
    cells: list[Cell] = []
    adjusted: list[Cell] = []
    section = ""
    for line in lines(table)[2:]:
        label, treatment, control, effect, p, p_adjusted = line
        if not effect:
            section = label if "201" in label or "tandardized" in label else section
            continue
        if "tandardized" in section:
            found = row(table, "index", label)
            cells += compared(
                table, f"{label}, index", effect, [found["estimate"], found["conf_low"], found["conf_high"]]
            )
            cells += compared(table, f"{label}, index P", p, [found["p_value"]])
            continue
        year = "2018" if "2018" in section else "2017"
        measure = f"{label} ({year})"
        itt, mean = row(table, "intention to treat", measure), row(table, "mean", measure)
        spread = row(table, "spread", measure)
        for arm, printed in (("exposed", treatment), ("comparator", control)):
            cells += compared(table, f"{measure}, {arm}", printed, [mean[f"value_{arm}"], spread[f"value_{arm}"]])
        cells += compared(table, f"{measure}, effect", effect, [itt["estimate"], itt["conf_low"], itt["conf_high"]])
        cells += compared(table, f"{measure}, P", p, [itt["p_value"]])
        if p_adjusted:
            ours = row(table, "multiplicity", measure, "Westfall-Young step-down")["p_value"]
            adjusted.append(Cell(table, measure, p_adjusted, f"{ours:.3f}"))
    return cells, adjusted


def within(cell: Cell, tolerance: float = 0.03) -> bool:
    """Whether an adjusted P is within the noise of two bootstraps; ">0.99" and "<0.01" stand for 1 and 0."""
    value = float(cell.printed.lstrip("<>"))
    ours = float(cell.ours)
    if cell.printed.startswith("<"):
        return ours < value + tolerance
    return ours > value - tolerance if cell.printed.startswith(">") else abs(ours - value) <= tolerance + 1e-9


# --- QJE ----------------------------------------------------------------------------------------------------


def qje_1b() -> list[Cell]:
    table = "qje_table_1b"
    cells: list[Cell] = []
    everybody = estimates(table)
    sizes = everybody[everybody["analysis"] == "outcome known"][["n_exposed", "n_comparator"]].drop_duplicates()
    assert len(sizes) == 1  # the same persons in each file
    offered, controls = int(sizes.iloc[0]["n_exposed"]), int(sizes.iloc[0]["n_comparator"])
    for label, _, control, treatment, p, n in (line for line in lines(table)[3:]):
        if label == "Sample size":
            cells += compared(table, label, control, [controls])
            cells += compared(table, label, treatment, [offered])
        elif label.startswith("Joint"):
            cells += list(_joint(table, label, p, n, offered + controls))
        elif given(control):
            found = row(table, "baseline", label)
            cells += compared(table, label, control, [found["value_comparator"]])
            cells += compared(table, label, treatment, [found["value_exposed"]])
            cells += compared(table, f"{label}, P", p, [found["p_value"]])
    return cells


def _joint(table: str, label: str, p: str, n: str, everybody: int) -> Iterator[Cell]:
    """Panel C is tested; of panel D only the number of persons is printed."""
    if given(p):
        found = row("qje_table_1b_claims", "joint test", "panel C")
        yield from compared(table, label, p, [found["p_value"]])
        yield from compared(table, label, n, [found["n_exposed"] + found["n_comparator"]])
    else:
        yield from compared(table, label, n, [everybody])


def blocks(table: str, first: int) -> Iterator[tuple[str, list[list[str]]]]:
    """A labelled line with the unlabelled ones below it: estimate, standard error, bracket, N."""
    label, block = "", []
    for line in [*lines(table)[first:], ["end", "x"]]:
        if line[0]:
            if len(block) > 1:
                yield label, block
            label, block = line[0], []
        block.append(line)


def bare(label: str) -> str:
    """A label without where its data come from: "Drug spending [admin]"."""
    return re.sub(r"\s*\[[^\]]*\]$", "", label)


def qje_2() -> tuple[list[Cell], list[Cell]]:
    table, cells, brackets = "qje_table_2", [], []
    for label, block in blocks(table, 2):
        if not given(block[0][3]):
            continue
        name = bare(label)
        found = row(table, "difference", name)
        cells += compared(table, f"{name}, mean", block[0][1], [row(table, "mean", name)["estimate"]])
        cells += compared(table, f"{name}, N", block[0][2], [found["n_exposed"] + found["n_comparator"]])
        cells += compared(table, f"{name}, effect", block[0][3], [found["estimate"]], found["p_value"])
        cells += compared(table, f"{name}, SE", block[1][3], [found["std_error"]])
        brackets.append(_bracket(table, name, block[2][3]))
    return cells, brackets


def qje_3() -> tuple[list[Cell], list[Cell]]:
    table, cells, brackets = "qje_table_3", [], []
    for label, block in blocks(table, 2):
        for first, when in ((1, "first year"), (4, "longer run")):
            if not given(block[0][first]):
                continue
            name = f"{bare(label)}, {when}"
            found = row(table, "intention to treat", name)
            persons = found["n_exposed"] + found["n_comparator"]
            cells += compared(table, f"{name}, mean", block[0][first], [row(table, "mean", name)["estimate"]])
            cells += compared(table, f"{name}, effect", block[0][first + 1], [found["estimate"]], found["p_value"])
            cells += compared(table, f"{name}, SE", block[1][first + 1], [found["std_error"]])
            for place in (first, first + 1):
                cells += compared(table, f"{name}, N", block[3][place], [persons])
            brackets.append(_bracket(table, name, block[2][first + 1]))
    return cells, brackets


def qje_4() -> list[Cell]:
    table = "qje_table_4"
    cells: list[Cell] = []
    for label, block in blocks(table, 2):
        name = bare(label).removesuffix(" 2017")
        pairs = (
            (1, row(table, "complier", name, "two-stage least squares")),
            (3, row(table, "observational", name, "crude")),
        )
        for place, found in pairs:
            cells += compared(table, f"{name}, effect", block[0][place], [found["estimate"]], found["p_value"])
            cells += compared(table, f"{name}, SE", block[1][place], [found["std_error"]])
            cells += compared(table, f"{name}, N", block[2][place], [found["n_exposed"] + found["n_comparator"]])
    return cells


def _bracket(table: str, name: str, printed: str) -> Cell:
    ours = row(table, "multiplicity", name, "Westfall-Young step-down")["p_value"]
    return Cell(table, name, printed.strip("[]"), f"{ours:.3f}")
