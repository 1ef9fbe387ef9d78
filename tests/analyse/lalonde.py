"""MatchIt's lalonde data as `build` would hand them over."""

from __future__ import annotations

from typing import Any

import numpy as np

import clinops as co
from clinops.analyse.dataset import Dataset
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from tests.analyse.support import VALUE, dataset, protocol
from tests.support import oracle, oracle_csv

PAST = co.before(365)


def _number(name: str) -> Measure:
    return co.value(co.events("measurement"), PAST, name=name)


def _flag(name: str) -> Measure:
    return co.any_of(co.events("condition"), PAST, name=name)


# Earnings enter the references as they are, so they are numbers here and not costs, which are logged.
LALONDE = (
    co.age_at_index(), _number("educ"), co.race(), _flag("married"), _flag("nodegree"), _number("re74"), _number("re75")
)  # fmt: skip


def lalonde(**more: Any) -> Dataset:
    """185 trainees and 429 comparators; the outcome is what they earned in 1978."""
    frame = oracle_csv("causal/lalonde")
    names = ("age", "educ", "race", "married", "nodegree", "re74", "re75")
    baseline = {name: frame[name].to_numpy(dtype=object if name == "race" else float) for name in names}
    return dataset(frame["treat"].tolist(), baseline, {VALUE: (frame["re78"], 365)}, **more)


def lalonde_protocol(**changes: Any) -> Protocol:
    return protocol(**({"covariates": LALONDE, "outcomes": (VALUE,)} | changes))


def by_row(file: str, *path: str) -> np.ndarray:
    """A reference's numbers by person, in the order of the rows; those it does not name are 0."""
    found = oracle(f"causal/{file}")["expected"]
    for step in path:
        found = found[step]
    rows = {name: i for i, name in enumerate(oracle_csv("causal/lalonde")["rid"])}
    made = np.zeros(len(rows))
    for name, weight in zip(found["rid"], found["weight"], strict=True):
        made[rows[name]] = weight
    return made
