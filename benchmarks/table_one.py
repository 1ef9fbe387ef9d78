"""Table 1 with tests and standardised differences against the Python package tableone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from tableone import TableOne

import clinops as co
from benchmarks.timing import heading, versus
from clinops.results.result import Result

NUMBERS = [f"x{at}" for at in range(10)]
SKEWED = NUMBERS[-2:]
LEVELS = [f"c{at}" for at in range(10)]


def records(n: int, *, category: bool) -> pd.DataFrame:
    """Return two arms with ten numbers (2 % missing, two of them skewed) and ten covariates of two to five levels."""
    rng = np.random.default_rng(1)
    arm = rng.random(n) < 0.4
    frame = pd.DataFrame({"arm": np.where(arm, "programme", "usual care").astype(object)})
    for at, name in enumerate(NUMBERS):
        value = rng.lognormal(3, 0.8, n) if name in SKEWED else rng.normal(50 + 0.2 * at * arm, 10, n)
        frame[name] = np.where(rng.random(n) < 0.02, np.nan, value)
    for at, name in enumerate(LEVELS):
        levels = 2 + at % 4
        code = np.minimum((rng.random(n) ** (1 + 0.05 * arm) * levels).astype(int), levels - 1)
        frame[name] = np.array([f"level {level}" for level in range(levels)])[code].astype(object)
    return frame.astype(dict.fromkeys(LEVELS, "category")) if category else frame


def ours(frame: pd.DataFrame) -> Result:
    """Make the table here; missing values and disclosure control are counted in."""
    return co.table_one(frame, by="arm", nonnormal=SKEWED, all_levels=LEVELS, tests=True)


def peer(frame: pd.DataFrame) -> Any:
    """Make it there."""
    return TableOne(
        frame, columns=[*NUMBERS, *LEVELS], categorical=LEVELS, groupby="arm", nonnormal=SKEWED, pval=True, smd=True
    )


def check(frame: pd.DataFrame) -> None:
    """Check that both print the same numbers.

    Definitions differ in two places: tableone's SMD has a sign, and its chi-squared of two by two has the continuity
    correction; those P values are compared with scipy's without it.
    """
    mine, theirs = ours(frame).frame, peer(frame)
    heads = mine[mine["smd"].notna()].set_index("covariate")
    apart = theirs.smd_table.iloc[:, 0].astype(float).abs()
    np.testing.assert_allclose(heads["smd"], apart.loc[heads.index], atol=1e-9)
    chance = theirs.htest_table["P-Value"].astype(float)
    for name in heads.index:
        expected = chance[name]
        if name in LEVELS and frame[name].nunique() == 2:
            expected = chi2_contingency(pd.crosstab(frame[name], frame["arm"]), correction=False).pvalue
        np.testing.assert_allclose(heads.loc[name, "p_value"], expected, rtol=1e-6, atol=1e-12)
    for arm in ("programme", "usual care"):
        _same_arm(frame, mine, theirs, arm)


def _same_arm(frame: pd.DataFrame, mine: pd.DataFrame, theirs: Any, arm: str) -> None:
    numbers = mine[mine["format"].isin(["mean", "median"])].set_index("covariate")
    described = theirs.cont_describe
    for name in NUMBERS:
        quartiles, moments = {"value": "median", "low": "q25", "high": "q75"}, {"value": "mean", "spread": "std"}
        parts = quartiles if name in SKEWED else moments
        for part, said in parts.items():
            np.testing.assert_allclose(numbers.loc[name, f"{part}_{arm}"], described.loc[name, (said, arm)], rtol=1e-9)
    rows = mine[mine["format"] == "n_percent"]
    printed = theirs.cat_describe
    share = 100 * rows[f"value_{arm}"] / rows[f"denominator_{arm}"]
    places = zip(rows["covariate"], rows["level"], strict=True)
    expected = [float(printed.loc[place, ("percent", arm)]) for place in places]
    np.testing.assert_allclose(share.astype(float), expected, atol=1e-9)


def time_table(n: int, *, category: bool) -> None:
    """Time both on n rows."""
    frame = records(n, category=category)
    what = f"Table 1, 20 covariates, SMDs and tests, {'categories' if category else 'text'}"
    versus(what, n, lambda: ours(frame), lambda: peer(frame), "tableone", rounds=3)


def main(sizes: list[int]) -> None:
    """Check on 10,000 rows, then time every size, text first, then pandas categories."""
    heading("numpy", "pandas", "tableone")
    for category in (False, True):
        check(records(10_000, category=category))
        for n in sizes:
            time_table(n, category=category)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
