"""What is said of a hazard ratio that is 0 or infinite: a limit and a test, never the number where a search gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from clinops.stats.cox import CoxFit

ANSWERED = "the limit is of the profile likelihood, P of the score test"
NO_LIMIT = "weights or clusters leave no likelihood to take a limit from"
Row = dict[str, Any]


def endless_ratio(fit: CoxFit, level: float = 0.95, column: int = 0) -> Row:
    """Limits and P of a column of a fit (the first) whose coefficient is infinite, as columns of the results schema.

    The interval runs from 0 to the upper limit, or from the lower limit to infinity: that of a two-sided interval at
    `level`. The note holds no number: it stays where disclosure control takes the numbers away. A fit with robust
    errors has neither limit nor P. So has a flat profile no limit; its note says why.
    """
    if fit.se_kind != "model":
        return {"note": NO_LIMIT}
    found, p = fit.profile_interval(column, level), fit.score_test_of([column])[2]
    if np.isnan(found.conf_low):
        return {"p_value": p, "note": f"P is of the score test; {found.note.replace(f'column {column}: ', '')}"}
    low, high = (float(np.exp(end)) for end in (found.conf_low, found.conf_high))
    return {"conf_low": low, "conf_high": high, "p_value": p, "note": ANSWERED}
