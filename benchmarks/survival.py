"""Cox model, Kaplan-Meier and Aalen-Johansen curves against R, lifelines and scikit-survival, in one run.

On whole days (many ties), on continuous times, and with late entry. Every peer is first held against ours: R to 1e-7,
scikit-survival to 1e-6, lifelines, which stops early, to 1e-4. Needs `requirements-bench.lock`, and R with survival.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import kaplan_meier_estimator

from benchmarks import r
from benchmarks.timing import exponent, heading, versus
from clinops.stats.competing_risks import aalen_johansen
from clinops.stats.cox import CoxFit, cox
from clinops.stats.survival import kaplan_meier

Columns = dict[str, np.ndarray]
SIZES = (10_000, 100_000, 1_000_000)
COVARIATES = 10
# A peer that would need minutes at a size is left out there, and the table says nothing of it.
SLOW = {"lifelines with late entry": 30_000, "lifelines without ties": 100_000}


def records(n: int, days: bool) -> Columns:
    """Return n persons with ten covariates, late entry, a time and how it ended (about 45 % events of two causes)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, COVARIATES))
    event = rng.exponential(1800 * np.exp(-x @ np.linspace(-0.5, 0.5, COVARIATES)))
    censor = rng.uniform(200, 1825, n)
    time, happened = np.minimum(event, censor), event <= censor
    cause = np.where(happened, 1 + (rng.random(n) < 0.4), 0)
    entry = rng.random(n) * np.minimum(time * 0.9, 300)
    if days:
        time, entry = np.ceil(time), np.floor(entry)
    return {"x": x, "time": time, "event": happened.astype(int), "cause": cause, "entry": entry}


def rounds_of(n: int) -> int:
    return 5 if n < 1_000_000 else 3


def time_cox(have: Columns, kind: str, late: bool, peers: r.R) -> float:
    """Check every peer's coefficients (and R's errors), then time each against ours; returns our seconds."""
    n, x = len(have["time"]), have["x"]
    entry = have["entry"] if late else None
    what = f"Cox, Efron, 10 covariates, {kind}{', late entry' if late else ''}"

    def ours() -> CoxFit:
        return cox(x, have["time"], have["event"], entry=entry)

    fit = ours()
    word = "cox_entry" if late else "cox"
    theirs = peers.run(f"{word}_check").value
    np.testing.assert_allclose(theirs[:COVARIATES], fit.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(theirs[COVARIATES:], fit.se, rtol=1e-7)
    mine = versus(what, n, ours, lambda: peers.run(word), "R coxph", rounds_of(n))
    if lifelines_can(n, kind, late):
        run = lifelines_cox(have, late)
        np.testing.assert_allclose(run().params_.to_numpy(), fit.coef, atol=1e-4)
        versus(what, n, ours, run, "lifelines CoxPHFitter", rounds_of(n) if n <= 100_000 and not late else 1)
    if not late:
        outcome = np.array(list(zip(have["event"] == 1, have["time"], strict=True)), dtype=[("e", "?"), ("t", "f8")])
        model = CoxPHSurvivalAnalysis(ties="efron", tol=1e-12)
        np.testing.assert_allclose(model.fit(x, outcome).coef_, fit.coef, rtol=1e-6, atol=1e-6)
        versus(what, n, ours, lambda: model.fit(x, outcome), "scikit-survival", 3 if n <= 100_000 else 1)
    return mine


def lifelines_can(n: int, kind: str, late: bool) -> bool:
    if late:
        return n <= SLOW["lifelines with late entry"]
    return kind == "whole days" or n <= SLOW["lifelines without ties"]


def lifelines_cox(have: Columns, late: bool) -> Callable[[], CoxPHFitter]:
    frame = pd.DataFrame(have["x"], columns=[f"x{at}" for at in range(COVARIATES)])
    frame = frame.assign(time=have["time"], event=have["event"])
    if not late:
        return lambda: CoxPHFitter().fit(frame, "time", "event")
    frame = frame.assign(entry=have["entry"])
    return lambda: CoxPHFitter().fit(frame, "time", "event", entry_col="entry")


def time_kaplan_meier(have: Columns, kind: str, peers: r.R) -> None:
    """Check the curve and, against R, its errors at three times; then time all."""
    n, time, event = len(have["time"]), have["time"], have["event"]
    when = np.quantile(time, [0.25, 0.5, 0.75], method="inverted_cdf")
    what = f"Kaplan-Meier with variance and limits, {kind}"

    def ours() -> object:
        return kaplan_meier(time, event)

    at = kaplan_meier(time, event).at(when)
    theirs = peers.run("km").value
    np.testing.assert_allclose(theirs[:3], at.survival, rtol=1e-8)
    np.testing.assert_allclose(theirs[3:], at.std_error, rtol=1e-7)
    versus(what, n, ours, lambda: peers.run("km"), "R survfit", rounds_of(n))
    fitter = KaplanMeierFitter().fit(time, event)
    np.testing.assert_allclose(fitter.survival_function_at_times(when), at.survival, rtol=1e-8)
    versus(what, n, ours, lambda: KaplanMeierFitter().fit(time, event), "lifelines KaplanMeierFitter", rounds_of(n))
    happened = event == 1
    versus(
        what, n, ours, lambda: kaplan_meier_estimator(happened, time, conf_type="log-log"), "scikit-survival",
        rounds_of(n),
    )  # fmt: skip


def time_aalen_johansen(have: Columns, kind: str, peers: r.R) -> None:
    """Check incidence and error of one cause at three times against R, then time both."""
    n, time, cause = len(have["time"]), have["time"], have["cause"]
    when = np.quantile(time, [0.25, 0.5, 0.75], method="inverted_cdf")
    at = aalen_johansen(time, cause).at(when)
    theirs = peers.run("aj").value
    np.testing.assert_allclose(theirs[:3], at.incidence[:, 0], rtol=1e-8)
    np.testing.assert_allclose(theirs[3:], at.std_error[:, 0], rtol=1e-6)
    versus(
        f"Aalen-Johansen with variance, two causes, {kind}", n, lambda: aalen_johansen(time, cause),
        lambda: peers.run("aj"), "R survfit", 3 if n <= 10_000 else 1,
    )  # fmt: skip


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Run every size."""
    if not r.there():
        sys.exit("R with its package survival is not on the path (Debian: r-base-core, r-cran-survival).")
    heading("numpy", "numba", "lifelines", "scikit-survival", more=r.versions())
    with tempfile.TemporaryDirectory() as folder, r.R(folder) as peers:
        for kind in ("whole days", "continuous times"):
            took: dict[bool, dict[int, float]] = {False: {}, True: {}}
            for n in sizes:
                have = records(n, kind == "whole days")
                peers.load(have)
                for late in (False, True):
                    took[late][n] = time_cox(have, kind, late, peers)
                time_kaplan_meier(have, kind, peers)
                if kind == "whole days" or n <= 10_000:
                    time_aalen_johansen(have, kind, peers)
            for late, seconds in took.items():
                exponent(f"Cox, {kind}{', late entry' if late else ''}", seconds)


if __name__ == "__main__":
    main(tuple(int(float(size)) for size in sys.argv[1:]) or SIZES)
