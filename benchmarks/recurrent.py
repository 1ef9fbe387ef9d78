"""Events that come again, and accelerated failure times, against lifelines."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from lifelines import (
    CoxTimeVaryingFitter,
    LogLogisticAFTFitter,
    LogNormalAFTFitter,
    NelsonAalenFitter,
    WeibullAFTFitter,
)

from benchmarks.timing import heading, versus
from clinops.stats.aft import aft
from clinops.stats.recurrent import mean_cumulative
from clinops.stats.recurrent_models import andersen_gill
from clinops.stats.recurrent_rows import RecurrentRows, counting_process

COLUMNS = [f"x{at}" for at in range(10)]


def events(n: int) -> tuple[RecurrentRows, np.ndarray]:
    """Return about n rows of n / 3 persons on whole days, two events each in five years, and their ten covariates."""
    rng = np.random.default_rng(1)
    persons = n // 3
    x = rng.normal(size=(persons, len(COLUMNS)))
    stop = rng.integers(200, 1826, persons).astype(float)
    count = rng.poisson(rng.gamma(2, 0.5, persons) * np.exp(x @ np.linspace(-0.2, 0.2, len(COLUMNS))) * stop / 506)
    who = np.repeat(np.arange(persons), count)
    when = np.ceil(rng.random(len(who)) * stop[who])
    rows = counting_process(np.arange(persons), stop, who, when, ties="merge")
    return rows, x[rows.index]


def time_mean(n: int) -> None:
    """Check that both curves are equal, then time both; only ours has an error that allows for the person."""
    rows, _ = events(n)

    def peer() -> NelsonAalenFitter:
        fitter = NelsonAalenFitter(nelson_aalen_smoothing=False)
        return fitter.fit(rows.exit, rows.event, entry=rows.entry)

    def ours() -> np.ndarray:
        return mean_cumulative(rows.exit, rows.event, rows.person, entry=rows.entry).mean

    curve = mean_cumulative(rows.exit, rows.event, rows.person, entry=rows.entry)
    theirs = peer().cumulative_hazard_.loc[curve.time].iloc[:, 0]
    np.testing.assert_allclose(curve.mean, theirs, atol=1e-9)
    what = "Mean number of events, robust errors"
    versus(what, len(rows.exit), ours, peer, "NelsonAalenFitter, no robust errors")
    if n > 100_000:
        return
    np.testing.assert_allclose(curve.std_error, time_by_time(rows), rtol=1e-8)
    versus(what, len(rows.exit), ours, lambda: time_by_time(rows), "numpy, time by time", rounds=1)


def time_by_time(rows: RecurrentRows) -> np.ndarray:
    """Return the same errors with every person's influence brought up to date at every time."""
    influence, found = np.zeros(int(rows.person.max()) + 1), []
    for time in np.unique(rows.exit):
        at_risk = (rows.entry < time) & (time <= rows.exit)
        hit = at_risk & rows.event & (rows.exit == time)
        total = at_risk.sum()
        influence[rows.person[at_risk]] -= hit.sum() / total**2
        influence[rows.person[hit]] += 1 / total
        found.append(np.sqrt(influence @ influence))
    return np.array(found)


def time_rates(n: int) -> None:
    """Check that both fit the same coefficients, then time both; only ours has robust errors."""
    rows, x = events(n)
    frame = pd.DataFrame(x, columns=COLUMNS).assign(
        id=rows.person, start=rows.entry, stop=rows.exit, event=rows.event.astype(int)
    )

    def peer() -> CoxTimeVaryingFitter:
        return CoxTimeVaryingFitter().fit(frame, id_col="id", event_col="event", start_col="start", stop_col="stop")

    def ours() -> np.ndarray:
        return andersen_gill(x, rows.exit, rows.event, rows.person, entry=rows.entry).coef

    np.testing.assert_allclose(ours(), peer().params_.to_numpy(), atol=1e-4)
    what = "Andersen-Gill, 10 covariates, robust errors"
    versus(what, len(rows.exit), ours, peer, "CoxTimeVaryingFitter, no robust errors", rounds=3)


PEERS = {"weibull": WeibullAFTFitter, "lognormal": LogNormalAFTFitter, "loglogistic": LogLogisticAFTFitter}


def time_aft(n: int, distribution: str) -> None:
    """Check that both fit the same coefficients, then time both."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, len(COLUMNS)))
    event = np.exp(6 + x @ np.linspace(-0.3, 0.3, len(COLUMNS)) + 0.8 * np.log(rng.exponential(size=n)))
    censor = rng.uniform(200, 1825, n)
    time, happened = np.minimum(event, censor), (event <= censor).astype(int)
    frame = pd.DataFrame(x, columns=COLUMNS).assign(time=time, event=happened)

    def peer() -> np.ndarray:
        fitted = PEERS[distribution]().fit(frame, "time", "event")
        return fitted.params_.unstack().iloc[0][["Intercept", *COLUMNS]].to_numpy(float)

    def ours() -> np.ndarray:
        return aft(x, time, happened, distribution=distribution).coef

    np.testing.assert_allclose(ours(), peer(), atol=2e-3)
    versus(f"AFT, {distribution}, 10 covariates", n, ours, peer, PEERS[distribution].__name__, rounds=3)


def main() -> None:
    """Run every size."""
    warnings.filterwarnings("ignore")
    heading("numpy", "lifelines", "pandas")
    for n in (10_000, 100_000, 1_000_000):
        time_mean(n)
    for n in (10_000, 100_000):
        time_rates(n)
    for distribution in PEERS:
        for n in (10_000, 100_000):
            time_aft(n, distribution)


if __name__ == "__main__":
    main()
