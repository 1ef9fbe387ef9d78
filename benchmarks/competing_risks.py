"""Cumulative incidence against lifelines, and the Fine-Gray model in one pass against the expanded rows."""

from __future__ import annotations

import warnings

import numpy as np
from lifelines import AalenJohansenFitter

from benchmarks.timing import heading, versus
from clinops.stats.competing_risks import aalen_johansen
from clinops.stats.cox import CoxFit, cox
from clinops.stats.fine_gray import fine_gray, fine_gray_rows

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def records(n: int, days: bool) -> Arrays:
    """Return three covariates, a time and its cause (about 30 % each of two, the rest censored) of n persons."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3))
    time = rng.exponential(900 * np.exp(-x @ np.array([0.3, 0.0, -0.3])))
    cause = 1 + (rng.uniform(size=n) < 0.5)
    censor = rng.uniform(200, 1825, n)
    cause = np.where(time <= censor, cause, 0)
    time = np.minimum(time, censor)
    return x, np.ceil(time) if days else time, cause


def time_curve(n: int, days: bool, variance: bool) -> None:
    """Check that both curves agree (lifelines moves ties apart at random, so on whole days to 1e-3), then time both."""
    _, time, cause = records(n, days)

    def peer() -> AalenJohansenFitter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it moves ties
            return AalenJohansenFitter(calculate_variance=variance, seed=1).fit(time, cause, event_of_interest=1)

    curve, theirs = aalen_johansen(time, cause), peer()
    when = np.quantile(time, [0.25, 0.5, 0.75])
    found = theirs.cumulative_density_.iloc[:, 0]
    other = found.to_numpy()[np.searchsorted(found.index.to_numpy(), when + (0.5 if days else 0), side="right") - 1]
    np.testing.assert_allclose(curve.at(when).incidence[:, 0], other, atol=5e-3 if days else 1e-9)
    kind = "whole days" if days else "continuous times"
    name = "AalenJohansenFitter" + ("" if variance else ", no variance")
    what = f"Aalen-Johansen with variance, {kind}"
    versus(what, n, lambda: aalen_johansen(time, cause), peer, name, rounds=3)


def time_robust(n: int) -> None:
    """Time the robust variance against Greenwood's, which is the same number here."""
    _, time, cause = records(n, True)
    model, robust = (aalen_johansen(time, cause, variance=kind) for kind in ("greenwood", "robust"))
    np.testing.assert_allclose(robust.std_error, model.std_error, atol=1e-9)
    versus(
        "Aalen-Johansen, Greenwood", n, lambda: aalen_johansen(time, cause),
        lambda: aalen_johansen(time, cause, variance="robust"), "the same, robust", rounds=3,
    )  # fmt: skip


def time_model(n: int) -> None:
    """Check that the model in one pass is that of the expanded rows, then time both."""
    x, time, cause = records(n, True)

    def rows() -> CoxFit:
        made = fine_gray_rows(time, cause, 1)
        return cox(
            x[made.row], made.exit, made.event, entry=made.entry, weights=made.weight, cluster=made.row, ties="breslow"
        )

    np.testing.assert_allclose(fine_gray(x, time, cause, 1, censoring="finegray").coef, rows().coef, rtol=1e-6)
    versus("Fine-Gray, 3 covariates", n, lambda: fine_gray(x, time, cause, 1), rows, "cox on expanded rows", rounds=3)


def main() -> None:
    """Run every size."""
    heading("numpy", "lifelines", "pandas")
    for days in (True, False):
        for n in (10_000, 100_000):
            time_curve(n, days, True)
    for days in (True, False):
        time_curve(1_000_000, days, False)
    time_robust(1_000_000)
    for n in (1_000, 4_000):
        time_model(n)


if __name__ == "__main__":
    main()
