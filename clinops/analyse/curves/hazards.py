"""`co.hazard_ratios`: a fitted Cox model, lifelines' or ours, as a table and a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.endless import endless_ratio
from clinops.errors import DefinitionError, unknown
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.cox import CoxFit

APPROXIMATE = (
    "The robust errors of lifelines are approximate (without the weights of the risk sets in a row's influence); fit "
    "clinops.stats.cox.cox(..., robust=True or cluster=...) for those of R."
)
SHRUNK = "The fit is penalised: ratios are drawn towards 1, and intervals do not allow for that."


def hazard_ratios(
    model: Any, names: Sequence[str] = (), *, labels: Mapping[str, str] | None = None, called: str = "Event",
    min_cell: int = 11,
) -> Result:  # fmt: skip
    """Show the hazard ratios of a fitted Cox model: counts, ratios with intervals, P values, a forest plot.

    Parameters
    ----------
    model : a fitted `CoxFit` (clinops.stats.cox) or lifelines CoxPHFitter, whose own numbers are shown.
    names : of the columns of a CoxFit, in their order. labels : name -> how it is printed, such as its unit.
    called : what the event is called. min_cell : smallest number of persons or events with which ratios are shown.

    Raises
    ------
    DefinitionError : not a fitted Cox model, or names that do not fit it.
    """
    from clinops.results.disclosure import protect

    frame, notes = _of_ours(model, names) if type(model).__name__ == "CoxFit" else _of_lifelines(model, names)
    frame["label"] = [(labels or {}).get(name, name) for name in frame["label"]]
    of = ("n", "events")
    columns = (
        Column("label", "Covariate"),
        Column("estimate", "Hazard ratio (95% CI)", "ratio", low="low", high="high", of=of),
        Column("p_value", "P", "p", of=of), Column("events", "Events", "count", "n"), Column("n", "Rows", "count", "n"),
    )  # fmt: skip
    figure = Figure(
        "forest", frame, {"scale": "log", "null": 1, "xlabel": "Hazard ratio (95% CI)"}, counts=of,
        of=dict.fromkeys(("estimate", "low", "high"), of),
    )  # fmt: skip
    said = f"{called}: hazard ratios of {len(frame):,} covariates, each adjusted for the others."
    made = Result("hazard_ratios", f"{called}: Cox model", frame, columns, notes, said, figure=figure, alt=said)
    return protect(made, min_cell)


def _of_ours(fit: CoxFit, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    import pandas as pd

    if len(names) != len(fit.coef):
        raise DefinitionError(
            f"The model has {len(fit.coef)} columns and {len(names)} names were given: co.hazard_ratios(fit, "
            '["age", "sex", ...]), in the order of the columns.'
        )
    finite = np.isfinite(fit.coef)
    low, high = (np.exp(end) for end in fit.interval())
    p = np.array(fit.p_values)
    said = []
    for at in np.flatnonzero(np.isinf(fit.coef)).tolist():
        answer = endless_ratio(fit, column=at)
        low[at], high[at] = (answer.get(end, np.nan) for end in ("conf_low", "conf_high"))
        p[at] = answer.get("p_value", np.nan)
        size = "infinite" if fit.coef[at] > 0 else "zero"
        why = "no events on one side, or none while both are at risk"
        said.append(f"{names[at]}: the ratio is {size} ({why}); {answer['note']}.")
    frame = pd.DataFrame({
        "label": [str(name) for name in names], "estimate": np.exp(np.where(finite, fit.coef, np.nan)),
        "low": low, "high": high, "p_value": p,
        "n": fit.n, "events": fit.n_event,
    })  # fmt: skip
    said += [f"{names[at]}: not identified; it does not vary among those at risk, or repeats other columns."
             for at in np.flatnonzero(np.isnan(fit.coef)).tolist()]  # fmt: skip
    return frame, (f"Ties: {fit.ties.capitalize()}. Standard errors: {fit.se_kind}.", *said)


def _of_lifelines(model: Any, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    import pandas as pd

    kind = type(model).__name__
    if kind != "CoxPHFitter":
        raise DefinitionError(unknown("fitted Cox model", kind, ("CoxFit", "CoxPHFitter")))
    if not hasattr(model, "params_"):
        raise DefinitionError("The CoxPHFitter is not fitted; call its fit(frame, duration_col, event_col) first.")
    if names:
        raise DefinitionError("A CoxPHFitter brings its names along; leave names out, and use labels= to print others.")
    params, error = model.params_, model.standard_errors_
    reach = 1.959963984540054 * error  # at 95 % whatever the model's alpha, as the head of the table says
    frame = pd.DataFrame({
        "label": [str(name) for name in params.index], "estimate": np.exp(params.to_numpy()),
        "low": np.exp((params - reach).to_numpy()), "high": np.exp((params + reach).to_numpy()),
        "p_value": model.summary["p"].to_numpy(), "n": len(model.durations), "events": int(model.event_observed.sum()),
    })  # fmt: skip
    robust = bool(getattr(model, "robust", False)) or getattr(model, "cluster_col", None) is not None
    shrunk = np.any(np.asarray(getattr(model, "penalizer", 0.0)) > 0)
    return frame, (
        "Fitted with lifelines; Efron's ties.", *((APPROXIMATE,) if robust else ()),
        *((SHRUNK,) if shrunk else ()),
    )  # fmt: skip
