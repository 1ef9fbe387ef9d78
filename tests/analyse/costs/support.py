"""Costs of two arms made by hand: rows as the crossing makes them, and arms with random costs for what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from clinops.analyse.costs.rows import CostRows
from clinops.analyse.costs.stake import Stake, stake
from clinops.define.cost_plan import CostPlan, cost_plan
from clinops.stats.propensity import propensity
from clinops.stats.weighting import balancing_weights

NAMES = ("Programme", "Usual care")
NAN = float("nan")


def cost_rows(exposed: Any, cost: Any, **given: Any) -> CostRows:
    """Rows of persons who are watched to the horizon unless `months` (n,) says otherwise; who `died` is complete.

    cost : (n, K, C), (n, K) of one category, or (n,) of one month and category.
    """
    arm = np.asarray(exposed, dtype=bool)
    amount = np.asarray(cost, dtype=float)
    amount = amount.reshape(len(arm), *amount.shape[1:], *[1] * (3 - amount.ndim))
    n, horizon, count = amount.shape
    months = np.asarray(given.pop("months", np.full(n, float(horizon))), dtype=float)
    died = np.asarray(given.pop("died", np.zeros(n)), dtype=bool)
    names = ("inpatient", "emergency", "outpatient", "pharmacy")[:count]
    made: dict[str, Any] = {
        "exposed": arm, "cost": amount, "before": np.zeros((n, 12)), "categories": names,
        "covered": np.clip(months[:, None] - np.arange(horizon), 0, 1), "covered_before": np.ones((n, 12)),
        "died": died, "last_day": np.floor(months * 30), "complete": died | (months >= horizon),
        "weights": np.ones(n), "cluster": np.arange(n), "cluster_name": "person", "design": np.empty((n, 0)),
        "index_date": np.full(n, "2021-03-15", dtype="datetime64[D]"), "names": NAMES, "currency": "USD",
        "basis": "Payer perspective, allowed amounts, USD, prices as recorded", "estimand": "as they are",
        "adjustment": "crude", "years": (2021,),
    }  # fmt: skip
    return CostRows(**(made | given))


def charged(rows: CostRows, each: float | None, units: Any = None) -> dict[str, Any]:
    """The fields of a fee of `each` for so many units a person (one for each exposed where not given)."""
    count = rows.exposed.astype(float) if units is None else np.asarray(units, dtype=float)
    return {"fee": None if each is None else each * count, "fee_each": each, "fee_units": count}


def random_costs(rng: np.random.Generator, n: int, months: int = 3, categories: int = 2) -> np.ndarray:
    """(n, months, categories) of costs with many zeros and a long tail, whole cents."""
    some = rng.random((n, months, categories)) < 0.5
    return np.round(some * rng.lognormal(4, 1.2, (n, months, categories)), 2)


def random_rows(seed: int, n: int = 60, months: int = 3, categories: int = 2, **given: Any) -> CostRows:
    """Two arms of n persons in all with random costs, nobody censored."""
    rng = np.random.default_rng(seed)
    exposed = rng.permutation(np.arange(n) < n // 2)
    return cost_rows(exposed, random_costs(rng, n, months, categories), **given)


def scored(rows: CostRows, seed: int = 0, estimand: str = "att") -> CostRows:
    """The same rows weighted by an estimated score on two covariates, the first of which goes with exposure."""
    from dataclasses import replace

    rng = np.random.default_rng(seed)
    columns = np.column_stack([rng.normal(size=len(rows)) + 0.4 * rows.exposed, rng.normal(size=len(rows))])
    fit = propensity(columns, rows.exposed)
    made = balancing_weights(fit, estimand=estimand)
    return replace(rows, weights=made.weights, balancing=made, propensity=fit, design=columns, target=estimand,
                   adjustment=f"{estimand.upper()} weighting", estimand=estimand)  # fmt: skip


def censored(rows: CostRows, seed: int = 0) -> CostRows:
    """The same rows with a fifth of the persons gone early and some dead, what they cost afterwards cut off."""
    from dataclasses import replace

    rng = np.random.default_rng(seed)
    n, months = len(rows), rows.horizon
    ends = np.where(rng.random(n) < 0.4, np.round(rng.uniform(0.1, months, n), 2), float(months))
    ends[[np.flatnonzero(rows.exposed)[0], np.flatnonzero(~rows.exposed)[0]]] = months  # somebody stays in each arm
    died = (ends < months) & (rng.random(n) < 0.5)
    share = np.clip(ends[:, None] - np.arange(months), 0, 1)
    return replace(
        rows, cost=rows.cost * share[:, :, None], covered=share, died=died, complete=died | (ends >= months),
        last_day=np.floor(ends * 30),
    )  # fmt: skip


def at_stake(rows: CostRows, **terms: Any) -> Stake:
    """What is at stake on the terms given."""
    return stake(rows, plan(rows, **terms))


def plan(rows: CostRows, **terms: Any) -> CostPlan:
    """A plan with the horizon of the rows and few replicates."""
    return cost_plan(**({"horizon_months": rows.horizon, "replicates": 200} | terms))


seeds = st.integers(0, 2**32 - 1)


CLAIMS = """person_id,service_date,category,allowed
1,2021-01-15,inpatient,999
1,2021-01-16,pharmacy,30
1,2021-04-15,inpatient,400
1,2021-04-16,inpatient,5000
2,2021-02-15,emergency,100
2,2021-02-16,emergency,50
2,2021-03-01,emergency,-20
3,2021-03-01,inpatient,700
3,2021-03-25,pharmacy,60
5,2021-01-20,inpatient,1000
6,2021-02-20,emergency,200
8,2021-03-30,pharmacy,80
8,2020-12-20,pharmacy,55
"""
"""By hand, index 15 January and three months (to 15 April): day 0 and 16 April count nowhere, nor does what comes after
the death of person 3; the first four cost 430, 130, 700 and 0, the others 1000, 200, 0 and 80."""
ENROLMENT = "person_id,plan,start_date,end_date,death_date\n" + "".join(
    f"{who},A,2020-01-01,2022-12-31,{'2021-03-20' if who == 3 else ''}\n" for who in range(1, 9)
) + "1,B,2021-01-01,2021-06-30,\n"  # fmt: skip
PEOPLE = "person_id,arm,index_date,death_date,days_at_home\n" + "".join(
    f"{who},{int(who < 5)},2021-01-15,{'2021-03-20' if who == 3 else ''},{60 + who}\n" for who in range(1, 9)
)  # fmt: skip


def flat(folder: Path, claims: str = CLAIMS, enrolment: str = ENROLMENT, people: str = PEOPLE) -> Path:
    """Write claims, enrolment and persons of eight persons (or those given) and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("claims", claims), ("enrolment", enrolment)):
        (folder / f"{name}.csv").write_text(text)
    (folder.parent / "people.csv").write_text(people)
    return folder
