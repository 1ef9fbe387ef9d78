"""Panels for the tests of difference in differences: generated, and the counties of R's `did`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

Arrays = dict[str, Any]


def made(
    seed: int = 1, sizes: dict[float, int] | None = None, periods: int = 6, grows: float = 0.0, noise: float = 1.0
) -> Arrays:
    """Rows of a balanced panel: cohorts of given sizes (infinite: never), effect 1 + grows x periods since the start.

    The covariate x shifts both the trend and (through the cohorts' means) the chance of early treatment.
    """
    rng = np.random.default_rng(seed)
    sizes = sizes or {3.0: 15, 4.0: 12, 6.0: 10, np.inf: 25}
    first = np.repeat(list(sizes), list(sizes.values())).astype(float)
    unit = np.arange(len(first))
    time = np.arange(1, periods + 1, dtype=float)
    x = rng.normal(size=len(first)) + 0.3 * (first < 5)
    since = time - first[:, None]
    effect = np.where(since >= 0, 1 + grows * np.where(np.isfinite(since), since, 0), 0.0)
    y = rng.normal(size=len(first))[:, None] + np.sin(time) + 0.2 * x[:, None] * time + effect
    y = y + noise * rng.normal(size=y.shape)
    each = len(time)
    return {
        "y": y.ravel(), "unit": np.repeat(unit, each), "time": np.tile(time, len(first)),
        "first_treated": np.repeat(first, each), "x": np.repeat(x, each)[:, None], "effect": effect.ravel(),
    }  # fmt: skip


def rows(data: Arrays) -> Arrays:
    """The four arguments that every estimator of a panel takes."""
    return {name: data[name] for name in ("y", "unit", "time", "first_treated")}


def counties(frame: pd.DataFrame) -> Arrays:
    """The counties of `mpdta` in the same form."""
    first = frame["first.treat"].to_numpy(float)
    return {
        "y": frame["lemp"].to_numpy(), "unit": frame["countyreal"].to_numpy(), "time": frame["year"].to_numpy(),
        "first_treated": np.where(first == 0, np.inf, first), "x": frame[["lpop"]].to_numpy(),
    }  # fmt: skip


def taken(data: Arrays, which: Any) -> Arrays:
    """Some of the rows, in the order asked for."""
    return {name: values[which] for name, values in data.items()}
