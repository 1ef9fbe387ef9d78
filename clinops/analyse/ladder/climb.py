"""Run a rung of the ladder on records: the estimate, and what the checks say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.checks import negative_control_check
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.effects import effects
from clinops.analyse.exhibits.balance import balance_check, balances
from clinops.analyse.ladder.rungs import AFTER, BEFORE_AFTER, CHANGES, EARLIER, SAME_LENGTH_BEFORE, Rung

if TYPE_CHECKING:
    from clinops.results.result import Check

SCALE = "rate ratio"
PLACEBO_LEVEL = 0.05


@dataclass(frozen=True)
class Climbed:
    """What a rung found.

    Attributes
    ----------
    rung : the comparison.
    row : of the results schema, on the ratio scale.
    change, low, high : relative effect in percent with its 95 % interval.
    failed, passed : names of the checks that did and did not see something.
    """

    rung: Rung
    row: dict[str, Any]
    change: float
    low: float
    high: float
    failed: tuple[str, ...]
    passed: tuple[str, ...]


def climb(rung: Rung, source: Any) -> Climbed:
    """Run one rung."""
    study = rung.allowed.on(source)
    data: Dataset = study.data
    if rung.how == BEFORE_AFTER:
        row = _before_after(data)
    elif rung.how == CHANGES:
        row = _changes(data)
    else:
        row = next(row for row in effects(data, AFTER, study.adjusted) if row["scale"] == SCALE)
    change, low, high = (100 * (float(row[name]) - 1) for name in ("estimate", "conf_low", "conf_high"))
    verdicts = _checks(rung, data, study)
    named = {
        "exposed": rung.protocol.exposed.name, "comparator": rung.protocol.comparator.name, "analysis": "bias ladder",
        "category": rung.kind, "subgroup": rung.bias, "level": rung.key,
    }  # fmt: skip
    return Climbed(
        rung, row | named, change, low, high,
        tuple(name for name, passed in verdicts.items() if passed is False),
        tuple(name for name, passed in verdicts.items() if passed),
    )  # fmt: skip


def _checks(rung: Rung, data: Dataset, study: Any) -> dict[str, bool | None]:
    """The verdicts of the checks that suit the way a rung compares."""
    if rung.how == BEFORE_AFTER:
        return {}
    controls = _controls(rung, data, study)
    if rung.how == CHANGES:
        placebo = _difference_of_changes(data, EARLIER.id, SAME_LENGTH_BEFORE.id)
        return {"negative control": controls.passed, "placebo period": bool(placebo.p_value >= PLACEBO_LEVEL)}
    balance = balance_check(balances(study.design, rung.protocol, study.adjusted), rung.protocol)
    return {"negative control": controls.passed, "balance": balance.passed}


def _controls(rung: Rung, data: Dataset, study: Any) -> Check:
    from clinops.results.schema import estimates

    rows = [
        row for measure in rung.protocol.negative_controls
        for row in effects(data, measure, study.adjusted, analysis="negative control")
    ]  # fmt: skip
    return negative_control_check(estimates(rows), rung.protocol)


def _before_after(data: Dataset) -> dict[str, Any]:
    """The exposed's mean after over their mean before, each person being a cluster of two rows."""
    from clinops.stats.weighted_effects import contrast, weighted_values

    arm = data.exposed
    after, before = data.column(AFTER)[arm], data.baseline[SAME_LENGTH_BEFORE.id].to_numpy(dtype=float)[arm]
    side = np.repeat([True, False], arm.sum())
    found = contrast(
        weighted_values(np.concatenate([after, before])[:, None], side), "ratio", cluster=np.tile(data.person[arm], 2)
    )[0]
    return _row(found, "before-after", int(arm.sum()), 0, found.value_exposed, found.value_comparator)


def _changes(data: Dataset) -> dict[str, Any]:
    """The difference of changes as a share of what the exposed would have had without it."""
    found = _difference_of_changes(data, SAME_LENGTH_BEFORE.id, None)
    mean = float(data.column(AFTER)[data.exposed].mean())
    without = mean - found.estimate
    ratio = [1 + value / without for value in (found.estimate, found.conf_low, found.conf_high)]
    counts = int(data.exposed.sum()), int((~data.exposed).sum())
    row = _row(found, "difference of changes", *counts, mean, without)
    return row | {
        "estimate": ratio[0], "conf_low": ratio[1], "conf_high": ratio[2], "std_error": found.std_error / without,
        "note": "the interval takes the mean without the programme as known",
    }  # fmt: skip


def _difference_of_changes(data: Dataset, first: str, second: str | None) -> Any:
    """Difference in differences between two half years; the second is the outcome where no name is given."""
    from clinops.stats.did import difference_in_differences

    before = data.baseline[first].to_numpy(dtype=float)
    after: Floats = data.column(AFTER) if second is None else data.baseline[second].to_numpy(dtype=float)
    n = len(data)
    return difference_in_differences(
        np.concatenate([before, after]), np.tile(data.exposed, 2), np.repeat([0, 1], n), np.tile(data.person, 2),
        se="CR1",
    )  # fmt: skip


def _row(found: Any, method: str, n: int, m: int, one: float, zero: float) -> dict[str, Any]:
    return {
        "measure": AFTER.name, "role": "primary", "period": str(AFTER.window), "method": method, "adjustment": "none",
        "scale": SCALE, "unit": "admissions per person", "n_exposed": n, "n_comparator": m, "value_exposed": one,
        "value_comparator": zero, "estimate": found.estimate, "std_error": found.std_error, "se_kind": found.se_kind,
        "conf_low": found.conf_low, "conf_high": found.conf_high, "conf_level": 0.95, "p_value": found.p_value,
    }  # fmt: skip
