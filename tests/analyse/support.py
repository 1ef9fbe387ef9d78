"""Hand-made arms: a protocol about nothing in particular, and datasets made from short columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import effects
from clinops.define.measures import Measure
from clinops.define.protocol import Adjustment, Protocol
from clinops.results.schema import estimates

VISIT = co.events("visit", co.codes("emergency visit", 9203))
DEATH = co.events("death")
YEAR = co.days(1, 365)

ANY = co.any_of(VISIT, YEAR, name="Any emergency visit", role="secondary", better="lower")
COUNT = co.count(VISIT, YEAR, name="Emergency visits", role="secondary", better="lower")
TIME = co.time_to(DEATH, YEAR, name="Death", role="secondary", better="lower")
COST = co.cost("total", YEAR, role="primary")
HOME = co.days_at_home(YEAR, role="secondary")
VALUE = co.value(co.events("measurement", co.codes("HbA1c", 3004410)), YEAR, name="HbA1c").at("secondary")


def protocol(**changes: Any) -> Protocol:
    """A protocol of one entry event with a cost as its primary outcome; changes replace its parts."""
    entry = co.first_eligible(co.events("visit", co.codes("primary care visit", 9202)))
    offer = co.events("observation", co.codes("programme offer", 900001))
    parts: dict[str, Any] = {
        "title": "A programme", "question": "Does it help?",
        "exposed": co.cohort("Offered", entry=entry, steps=(co.has(offer, co.days(0, 0)),)),
        "comparator": co.cohort("Not offered", entry=entry, steps=(co.lacks(offer, co.days(None, 0)),)),
        "follow_up": co.follow_up(YEAR), "covariates": (co.age_at_index(),), "outcomes": (COST,),
    }  # fmt: skip
    return co.protocol(**(parts | changes))


def dataset(
    arm: Sequence[int],
    baseline: Mapping[str, Any] | None = None,
    outcomes: Mapping[Measure, tuple[Any, Any]] | None = None,
    *,
    person: Sequence[int] | None = None,
    site: Sequence[int | None] | None = None,
    index: str | Sequence[str] = "2021-03-15",
    **follow_up: Any,
) -> Dataset:
    """Rows as `build` makes them: covariates by column, outcomes by measure as (values, person-days)."""
    n = len(arm)
    columns: dict[str, Any] = {
        "person_id": np.arange(1, n + 1) if person is None else np.array(person),
        "arm": np.array(arm, dtype=np.int8),
        "index_date": np.array([index] * n if isinstance(index, str) else index, dtype="datetime64[s]"),
        "care_site_id": pd.array([None] * n if site is None else list(site), dtype="Int64"),
    }
    made = pd.DataFrame(columns | dict(baseline or {}))
    if outcomes is None:
        return Dataset(made)
    values: dict[str, Any] = {"row": np.arange(n), "observed_days": 365, "end_day": 365, "end_reason": "window"}
    for measure, (value, days) in outcomes.items():
        values |= {measure.id: np.array(value, dtype=float), f"{measure.id}__days": days}
    return Dataset(made, pd.DataFrame(values | follow_up, index=range(n)))


def arms(exposed: int, comparator: int) -> list[int]:
    """As many ones, then as many zeros."""
    return [1] * exposed + [0] * comparator


def crude(data: Dataset, cluster: str = "person") -> Adjusted:
    return adjust(data, (), co.crude(), cluster=cluster)


def rows(data: Dataset, measure: Measure, how: Adjusted | None = None, **more: Any) -> dict[str, dict[str, Any]]:
    """An outcome's rows by scale, which must pass the results schema as they stand."""
    made = effects(data, measure, how or crude(data), analysis="main", **more)
    estimates(made)
    return {row["scale"]: row for row in made}


def frame(made: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The long frame of estimates."""
    return estimates(made)


def estimate_row(
    measure: Measure, scale: str, estimate: float | None, low: float | None = None, high: float | None = None,
    how: Adjustment | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One row of the schema as an analysis of `measure` would leave it."""
    label = (how or co.weight("att")).label
    note = None if estimate is not None else "not estimable"
    return {
        "analysis": "main", "measure": measure.name, "role": measure.role, "scale": scale, "adjustment": label,
        "unit": "units", "n_exposed": 100, "n_comparator": 100, "estimate": estimate, "conf_low": low,
        "conf_high": high, "note": note,
    } | more  # fmt: skip


def nothing(value: Any) -> bool:
    """Whether a number of a row is missing, as None or NaN."""
    return value is None or math.isnan(value)
