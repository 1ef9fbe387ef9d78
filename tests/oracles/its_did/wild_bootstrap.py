"""Makes wild_bootstrap.json: P values of the package wildboottest (kind "11": CR1, null imposed) on two data sets.

Run beside the CSV files with wildboottest 0.3.2 and statsmodels installed: `python wild_bootstrap.py`.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from wildboottest.wildboottest import wildboottest

HERE = Path(__file__).parent


def p_value(y: np.ndarray, X: pd.DataFrame, param: str, cluster: np.ndarray, weights: str, draws: int) -> float:
    model = sm.OLS(pd.Series(y, name="y"), X)
    found = wildboottest(
        model, param=param, cluster=pd.Series(cluster), B=draws, weights_type=weights, bootstrap_type="11", seed=1,
        show=False,
    )  # fmt: skip
    return float(found["p-value"].iloc[0])


def two_by_two() -> dict[str, float]:
    """Twelve hospitals of 6 or 7 persons each, ids in turn within the arms; every sign pattern is taken."""
    frame = pd.read_csv(HERE / "did_2x2.csv")
    hospital = (frame["id"] - 1) % 6 + 6 * frame["treated"]
    X = pd.DataFrame({"one": 1.0, "treated": frame["treated"], "post": frame["post"]})
    X["both"] = frame["treated"] * frame["post"]
    return {"p_value": p_value(frame["y"].to_numpy(), X, "both", hospital.to_numpy(), "rademacher", 4097)}


def counties() -> dict[str, float]:
    """Two-way fixed effects, clustered by state (29); county means are taken out before."""
    frame = pd.read_csv(HERE / "mpdta.csv")
    under = (frame["first.treat"] > 0) & (frame["year"] >= frame["first.treat"])
    columns = pd.get_dummies(frame["year"], prefix="year", drop_first=True).astype(float)
    columns["under"] = under.astype(float)
    columns["y"] = frame["lemp"]
    within = columns - columns.groupby(frame["countyreal"]).transform("mean")
    state = (frame["countyreal"] // 1000).to_numpy()
    found = {}
    for kind in ("rademacher", "webb"):
        found[kind] = p_value(within["y"].to_numpy(), within.drop(columns="y"),
                              "under", state, kind, 99999)  # fmt: skip
    return found


if __name__ == "__main__":
    meta = {
        "name": "wild_bootstrap", "packages": {name: version(name) for name in ("wildboottest", "statsmodels")},
        "tolerance": "enumerated: ties of the data with themselves (2 of 4,096); drawn: 4 Monte Carlo errors",
        "input": ["did_2x2.csv", "mpdta.csv"],
    }  # fmt: skip
    expected = {"two_by_two": two_by_two(), "counties": counties()}
    text = json.dumps({"meta": meta, "expected": expected}, indent=1)
    (HERE / "wild_bootstrap.json").write_text(text + "\n", encoding="utf-8")
