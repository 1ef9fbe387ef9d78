"""`table_one`: the baseline table of a frame, in one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinops.analyse.table_one import says
from clinops.analyse.table_one.hide import hidden
from clinops.analyse.table_one.lines import Lines
from clinops.analyse.table_one.read import EVERYBODY, Arms, Call, arms, check
from clinops.analyse.table_one.summarise import summarise
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    import pandas as pd


def table_one(
    frame: pd.DataFrame,
    by: str | None = None,
    covariates: str | Sequence[str] | None = None,
    *,
    nonnormal: str | Collection[str] = (),
    categorical: str | Collection[str] = (),
    continuous: str | Collection[str] = (),
    all_levels: str | Collection[str] = (),
    labels: Mapping[str, str] | None = None,
    digits: Mapping[str, int] | None = None,
    weights: str | None = None,
    tests: bool = False,
    overall: bool = True,
    title: str = "Baseline characteristics",
    min_cell: int = 11,
) -> Result:
    """Who is in each group: the Table 1 of a paper, from one row a person.

    Parameters
    ----------
    frame : one row a person (or whatever is described).
    by : the column with the groups, two to ten; None for one column of everybody.
    covariates : columns to describe, in order; every other column where None.
    nonnormal : numbers shown as median (quartiles) and tested by ranks, not as mean (SD).
    categorical, continuous : overrule what a column is taken for. Text, booleans, pandas categories and numbers that
        are all 0 or 1 count as categorical; other numbers do not, however few their values.
    all_levels : covariates of two levels that are to show both; the second alone is shown otherwise.
    labels : column -> how the table calls it, with the unit: ``{"ldl": "LDL cholesterol, mmol/L"}``.
    digits : column -> decimals; two figures of the spread where not given.
    weights : a column of weights. Means, SDs, quartiles and percentages are then weighted and headers have the
        effective sample size; counts of persons and of missing values are not weighted. Rows of weight 0 are left out.
    tests : add P values. They are left out by default: CONSORT and STROBE advise against testing baseline differences.
    overall : whether there is a column of everybody besides the groups.
    title : the caption. min_cell : counts of 1 to one less are hidden, with what they follow from; 1 shows everything.

    Returns
    -------
    Result, protected; its ``frame`` has a row a line with unrounded numbers, columns named ``value_<group>`` and so on.

    Raises
    ------
    DefinitionError : unknown, repeated or contradictory names; tests with weights.
    DataError : rows without a group or weight; a column that is no covariate (dates, identifiers, infinite values).

    Notes
    -----
    SMD as `clinops.stats.balance.smd_of_moments` and `smd_of_counts` (Yang and Dalton 2012), without sign, over the
    spread before weighting; of more than two groups the largest of all pairs. Tests: Welch's t or F, Kruskal and
    Wallis's, Pearson's chi-squared, Fisher's exact for two levels in two groups with an expected count under 5.
    docs/table_one.md has every rule.

    Examples
    --------
    >>> co.table_one(frame, by="arm", covariates=["age", "sex", "ldl"], nonnormal=["ldl"])  # doctest: +SKIP
    """
    from clinops.results.disclosure import protect

    call = Call(
        frame, by, _listed(covariates or ()), _listed(categorical), _listed(continuous), _listed(nonnormal),
        _listed(all_levels), dict(labels or {}), dict(digits or {}), weights, tests, overall, min_cell,
    )  # fmt: skip
    call, groups = arms(check(call))
    return protect(_made(call, groups, title), min_cell)


def _listed(names: str | Collection[str]) -> tuple[str, ...]:
    """Return names as they are; a single one may stand without its list."""
    return (names,) if isinstance(names, str) else tuple(names)


def _made(call: Call, groups: Arms, title: str) -> Result:
    import pandas as pd

    sizes = [int(n) for n in groups.split.size]
    few = any(n < call.min_cell for n in sizes)
    # everybody less the other groups is the group that is too small to be shown
    together = call.overall and len(sizes) > 1 and not few
    found = [summarise(call, groups, name, together=together) for name in call.covariates]
    heads = [*groups.names, EVERYBODY] if together else list(groups.names)
    sizes = [*sizes, sum(sizes)] if together else sizes
    lines = Lines(_suffixes(heads), sizes, call.min_cell, call.digits, weighted=groups.weights is not None)
    gone = {one.name: hidden(one, sizes, together=together, min_cell=call.min_cell) for one in found}
    rows = [made for one in found for made in lines.of(one, gone[one.name])]
    frame = _asked(pd.DataFrame([line for line, _ in rows]), compared=len(groups.names) > 1, tested=call.tests)
    taken = tuple(
        (at, name, text) for at, (_, hides) in enumerate(rows) for name, text in hides.items() if name in frame.columns
    )
    return Result(
        "table_one", title, _typed(frame, taken), _columns(call, groups, heads, lines, sizes),
        notes=says.notes(call, found, list(gone.values()), few=few, groups=len(groups.names)),
        sentence=says.sentence(groups, [one for one in found if not gone[one.name].difference]),
        label_column="label", hidden=taken,
    )  # fmt: skip


def _suffixes(heads: list[str]) -> list[str]:
    """Return the names of the groups as they end the frame's columns; a group may be called Overall itself."""
    groups = heads[:-1] if heads[-1] == EVERYBODY else heads
    last = EVERYBODY
    while last in groups:
        last += "_"
    return [*groups, last] if len(groups) < len(heads) else heads


def _columns(call: Call, groups: Arms, heads: list[str], lines: Lines, sizes: list[int]) -> tuple[Column, ...]:
    weighted = groups.weights is not None
    units = _effective(groups, sizes, call.min_cell) if weighted else [""] * len(heads)
    made = [Column("label", "Characteristic")]
    for at, (head, suffix) in enumerate(zip(heads, lines.suffixes, strict=True)):
        made.append(
            Column(f"value_{suffix}", f"{head} (n = {sizes[at]:,})", "mean", units[at],
                   spread=f"spread_{suffix}", low=f"low_{suffix}",
                   high=f"high_{suffix}", denominator=f"denominator_{suffix}", format_by="format", digits_by="digits",
                   of=(f"count_{suffix}",) if weighted else (),
                   spanner=call.label(call.by) if call.by and at < len(groups.names) else "")
        )  # fmt: skip
    if len(groups.names) > 1:
        made.append(Column("smd", "SMD", "smd", format_by="format_smd", of=()))
    if call.tests:
        made.append(Column("p_value", "P", "p", format_by="format_p", of=()))
    return tuple(made)


def _effective(groups: Arms, sizes: list[int], min_cell: int) -> list[str]:
    """Say the effective sample size of each column, for the row of units; a small one as a small count."""
    from clinops.results.suppress import less_than
    from clinops.stats.weighting import effective_sample_size

    assert groups.weights is not None
    parts = [*groups.split.split(groups.weights), groups.weights][: len(sizes)]
    found = [effective_sample_size(part) for part in parts]
    return [f"effective n = {less_than(min_cell) if round(n) < min_cell else f'{n:,.0f}'}" for n in found]


def _asked(frame: pd.DataFrame, *, compared: bool, tested: bool) -> pd.DataFrame:
    """Leave out the columns of what was not asked for."""
    idle = ([] if compared else ["smd", "format_smd"]) + ([] if tested else ["p_value", "format_p", "test"])
    return frame.drop(columns=idle)


def _typed(frame: pd.DataFrame, taken: tuple[tuple[int, str, str], ...]) -> pd.DataFrame:
    """Empty what is hidden, and make persons whole numbers."""
    for at, column, _ in taken:
        frame.loc[at, column] = np.nan
    return frame.astype({name: "Int64" for name in frame.columns if name.startswith(("denominator_", "count_"))})
