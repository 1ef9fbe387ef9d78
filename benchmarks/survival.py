"""Cox model and Kaplan-Meier curve against lifelines, on whole days (many ties) and on continuous times."""

from __future__ import annotations

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter

from benchmarks.timing import heading, versus
from clinops.stats.cox import cox
from clinops.stats.survival import kaplan_meier

COLUMNS = [f"x{at}" for at in range(10)]


def records(n: int, days: bool) -> pd.DataFrame:
    """Return n persons with ten covariates, a time and whether it ended in an event (about 45 %)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, len(COLUMNS)))
    event = rng.exponential(1800 * np.exp(-x @ np.linspace(-0.5, 0.5, len(COLUMNS))))
    censor = rng.uniform(200, 1825, n)
    time = np.minimum(event, censor)
    frame = pd.DataFrame(x, columns=COLUMNS)
    return frame.assign(time=np.ceil(time) if days else time, event=(event <= censor).astype(int))


def time_cox(n: int, days: bool) -> None:
    """Check that both fit the same coefficients, then time both."""
    frame = records(n, days)
    x, time, event = (frame[c].to_numpy() for c in (COLUMNS, "time", "event"))

    def peer() -> CoxPHFitter:
        return CoxPHFitter().fit(frame, "time", "event")

    np.testing.assert_allclose(cox(x, time, event).coef, peer().params_.to_numpy(), atol=1e-4)
    kind = "whole days" if days else "continuous times"
    versus(f"Cox, Efron, 10 covariates, {kind}", n, lambda: cox(x, time, event), peer, "CoxPHFitter", rounds=3)


def time_curve(n: int) -> None:
    """Check that both curves are equal, then time both."""
    frame = records(n, True)
    time, event = frame["time"].to_numpy(), frame["event"].to_numpy()

    def peer() -> KaplanMeierFitter:
        return KaplanMeierFitter().fit(time, event)

    curve = kaplan_meier(time, event)
    np.testing.assert_allclose(curve.survival, peer().survival_function_.loc[curve.time].iloc[:, 0], atol=1e-9)
    what = "Kaplan-Meier with limits, whole days"
    versus(what, n, lambda: kaplan_meier(time, event), peer, "KaplanMeierFitter")


def main() -> None:
    """Run every size."""
    heading("numpy", "lifelines", "pandas")
    for days in (True, False):
        for n in (10_000, 100_000):
            time_cox(n, days)
    for n in (10_000, 100_000, 1_000_000):
        time_curve(n)


if __name__ == "__main__":
    main()
