"""What a trial's analysis is: who was offered what, what is compared, with which weights, strata and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from clinops.define.base import Definition, choice, whole
from clinops.errors import DefinitionError

ASSIGNMENTS = ("random", "observed")
STRATA_AS = ("cells", "additive")
MISSING_COVARIATES = ("set aside", "indicator")
INTERVALS = ("t", "normal")
BETTER = ("", "lower", "higher")
ARROW = " -> "


@dataclass(frozen=True)
class TrialPlan(Definition):
    """The analysis of a file with one row a person; every list beside `outcomes` is as long as it.

    Attributes
    ----------
    offer : column of the assignment, 1 or 0. take_up : column of what was taken up, 1 or 0; none offered, none taken.
    outcomes, labels, units, weights, multipliers, families, indices, better : one entry an outcome; "" is none.
    strata : columns whose cells (or, additive, whose levels) have an effect of their own.
    baseline, baseline_labels, baseline_weights, baseline_groups : variables measured before the offer; those of one
        group are tested together.
    within_column, within_value : only rows in which the column has this value.
    """

    kind: ClassVar[str] = "trial"
    made: ClassVar[str] = "a trial, from co.trial(...)"
    offer: str
    outcomes: tuple[str, ...]
    take_up: str | None = None
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    multipliers: tuple[float, ...] = ()
    families: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    better: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    strata_as: str = "cells"
    one_armed_strata: str = "refuse"
    covariates: tuple[str, ...] = ()
    missing_covariates: str = "set aside"
    subgroups: tuple[str, ...] = ()
    subgroup_labels: tuple[str, ...] = ()
    clusters: str | None = None
    within_column: str | None = None
    within_value: str | None = None
    assignment: str = "random"
    baseline: tuple[str, ...] = ()
    baseline_labels: tuple[str, ...] = ()
    baseline_weights: tuple[str, ...] = ()
    baseline_groups: tuple[str, ...] = ()
    compare_on: tuple[str, ...] = ()
    truncate_at: tuple[float, ...] = ()
    interval: str = "t"
    complier_se: str = "HC0"
    bootstrap: int = 2000
    seed: int = 1
    worthwhile: float | None = None
    title: str = "What did the offer change?"
    offered: str = "Offered"
    not_offered: str = "Not offered"
    period: str = ""
    min_cell: int = 11

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (
            ("assignment", ASSIGNMENTS), ("strata_as", STRATA_AS), ("one_armed_strata", ("refuse", "keep")),
            ("missing_covariates", MISSING_COVARIATES), ("interval", INTERVALS), ("complier_se", ("HC0", "HC1")),
        ):  # fmt: skip
            choice(name, getattr(self, name), allowed)
        if not self.outcomes:
            raise DefinitionError("A trial needs at least one outcome; name its column in outcomes.")
        for direction in self.better:
            choice("better", direction, BETTER)
        _unlike(self.outcomes, "outcomes")
        _unlike(self.baseline, "baseline")
        for percentile in self.truncate_at:
            if not 50 <= percentile < 100:
                raise DefinitionError(
                    f"truncate_at holds {percentile:g}; give percentiles from 50 to below 100, such as 99 and 99.5."
                )
        if (self.within_column is None) != (self.within_value is None):
            raise DefinitionError(
                "within_column and within_value go together: the column, and the value rows must have."
            )
        whole("bootstrap", self.bootstrap, low=100)
        whole("min_cell", self.min_cell, low=1)


def trial_plan(outcomes: Sequence[str], **given: Any) -> TrialPlan:
    """Return the plan with every list brought to the length of its outcomes.

    A list beside the outcomes is empty, holds one entry for all, one for each, or entries such as
    "spend* -> USD per month" for the columns that a pattern fits (the first that fits; the others keep the default).
    """
    names = tuple(outcomes)
    fills: dict[str, Any] = {
        "labels": names, "units": "", "weights": "", "multipliers": 1.0, "families": "All outcomes", "indices": "",
        "better": "",
    }  # fmt: skip
    settled = dict(given)
    for name, default in fills.items():
        settled[name] = _each(name, given.get(name) or (), names, default, "outcomes")
    base = tuple(given.get("baseline") or ())
    for name, default in (("baseline_labels", base), ("baseline_weights", ""), ("baseline_groups", "Baseline")):
        settled[name] = _each(name, given.get(name) or (), base, default, "baseline variables")
    groups = tuple(given.get("subgroups") or ())
    settled["subgroup_labels"] = _each(
        "subgroup_labels", given.get("subgroup_labels") or (), groups, groups, "subgroups"
    )
    settled["labels"] = _told_apart(settled["labels"], names)
    settled["baseline_labels"] = _told_apart(settled["baseline_labels"], base)
    lists = ("strata", "covariates", "subgroups", "baseline", "compare_on", "truncate_at")
    settled |= {name: tuple(settled.get(name) or ()) for name in lists}
    return TrialPlan(outcomes=names, **settled)


def _each(name: str, given: Sequence[Any], of: tuple[str, ...], default: Any, what: str) -> tuple[Any, ...]:
    values = tuple(given)
    if any(isinstance(value, str) and ARROW in value for value in values):
        return _by_pattern(name, values, of, default)
    if not values:
        return default if isinstance(default, tuple) else (default,) * len(of)
    if len(values) == 1 and not name.endswith("labels"):
        return values * len(of)
    if len(values) != len(of):
        raise DefinitionError(
            f"{name} has {len(values)} entries for {len(of)} {what}; give one for all, or one for each, in their order "
            f'("" for none). {what.capitalize()}: {", ".join(of) or "none"}.'
        )
    return values


def _told_apart(labels: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Labels that are empty become their column's name; those that are not unique get it in brackets."""
    filled = [label or column for label, column in zip(labels, columns, strict=True)]
    pairs = zip(filled, columns, strict=True)
    return tuple(f"{label} ({column})" if filled.count(label) > 1 else label for label, column in pairs)


def _by_pattern(name: str, values: tuple[Any, ...], of: tuple[str, ...], default: Any) -> tuple[Any, ...]:
    """Read entries of the form "column -> value"."""
    pairs = [str(value).split(ARROW, 1) for value in values]
    if any(len(pair) != 2 for pair in pairs):
        raise DefinitionError(f'{name} mixes "column{ARROW}value" with plain entries; write all of them one way.')
    found = []
    for place, column in enumerate(of):
        plain = default[place] if isinstance(default, tuple) else default
        found.append(next((value.strip() for key, value in pairs if fnmatchcase(column, key.strip())), plain))
    return tuple(found)


def matching(names: Sequence[str], columns: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Replace each pattern (spend_*) by the columns it fits, but those taken; a plain name stays as it is."""
    found: list[str] = []
    for name in names:
        if any(sign in name for sign in "*?["):
            found += [one for one in columns if fnmatchcase(one, name) and one not in taken]
        else:
            found.append(name)
    return tuple(dict.fromkeys(found))


def _unlike(names: tuple[str, ...], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DefinitionError(f"{what} names {', '.join(twice)} twice; name each column once.")
