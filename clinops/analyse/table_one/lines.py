"""The lines of the table: a covariate becomes one row, or a heading with its levels, and a row of missing values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from clinops.analyse.table_one.hide import Hidden
from clinops.analyse.table_one.summarise import Summary
from clinops.results.suppress import HIDDEN, less_than

INDENT = "\u2003"
MOST_DIGITS = 4
Line = dict[str, Any]
Gone = dict[str, str]


class Lines:
    """Writes covariates as rows of the frame.

    Parameters
    ----------
    suffixes : of the frame's columns, one a column of the table. sizes : persons in each. min_cell : as everywhere.
    digits : decimals by covariate, where they were given. weighted : whether counts stand apart from proportions.
    """

    def __init__(
        self, suffixes: list[str], sizes: list[int], min_cell: int, digits: Mapping[str, int], *, weighted: bool
    ) -> None:
        self.suffixes, self.sizes, self.min_cell, self.digits = suffixes, sizes, min_cell, digits
        self.parts = ("value", "spread", "low", "high", "denominator", *(("count",) if weighted else ()))

    def of(self, found: Summary, gone: Hidden) -> Iterator[tuple[Line, Gone]]:
        """Yield the rows of one covariate, each with what is hidden of it and printed instead."""
        if found.levels and found.one_row is not None:
            yield self._level(found, gone, found.one_row, alone=True)
        elif found.kind == "levels":
            line = self._line(found, found.label + self._what(found), None, "text")
            yield self._judged(line, found, gone)
            yield from (self._level(found, gone, row, alone=False) for row in range(len(found.levels)))
        else:
            yield self._number(found, gone)
        if found.missing.any():
            yield self._missing(found, gone)

    def _what(self, found: Summary) -> str:
        return ", n (%)" if found.shares is None else ", %"

    def _line(self, found: Summary, label: str, level: str | None, how: str) -> Line:
        line: Line = {"covariate": found.name, "level": level, "label": label, "format": how, "digits": math.nan}
        for part in self.parts:
            line |= {f"{part}_{suffix}": math.nan for suffix in self.suffixes}
        line |= {"smd": math.nan, "format_smd": "text", "p_value": math.nan, "format_p": "text"}
        return line | {"test": None, "note": None}

    def _level(self, found: Summary, gone: Hidden, row: int, *, alone: bool) -> tuple[Line, Gone]:
        name = found.levels[row]
        said = found.label if found.yes_no else f"{found.label}: {name}"
        # Where values are missing the parts have other wholes than the header, so each part says of how many it is.
        how = "fraction" if found.shares is not None else "percent" if found.missing.any() else "n_percent"
        line = self._line(found, said + self._what(found) if alone else INDENT + name, name, how)
        hidden: Gone = {}
        for j, suffix in enumerate(self.suffixes):
            place = "value" if found.shares is None else "count"
            line[f"{place}_{suffix}"] = found.counts[row, j]
            if found.shares is not None:
                line[f"value_{suffix}"] = found.shares[row, j]
            # how many have a value would tell how many have none
            line[f"denominator_{suffix}"] = self.sizes[j] if gone.counts[-1, j] else found.known[j]
            if gone.counts[row, j] or gone.values[j]:
                hidden |= self._count(f"{place}_{suffix}", found.counts[row, j], gone.values[j])
                hidden |= {} if found.shares is None else {f"value_{suffix}": HIDDEN}
                hidden |= {f"denominator_{suffix}": HIDDEN} if gone.values[j] else {}
        return self._judged(line, found, gone, hidden) if alone else (line, hidden)

    def _count(self, column: str, count: float, whole: bool) -> Gone:
        small = 0 < count < self.min_cell
        return {column: less_than(self.min_cell) if small and not whole else HIDDEN}

    def _number(self, found: Summary, gone: Hidden) -> tuple[Line, Gone]:
        what = ", mean (SD)" if found.kind == "mean" else ", median (Q1 to Q3)"
        line = self._line(found, found.label + what, None, found.kind)
        digits = self.digits.get(found.name)
        line["digits"] = decimals(found) if digits is None else digits
        ends = found.known >= 4 * self.min_cell  # as many values beyond a quartile as a count must have to be shown
        hidden: Gone = {}
        for j, suffix in enumerate(self.suffixes):
            kept = {"value": found.centre[j], "spread": found.spread[j]}
            kept |= {"low": found.low[j], "high": found.high[j]} if ends[j] else {}
            if gone.round_off:
                kept = {part: round(float(value), int(line["digits"])) for part, value in kept.items()}
            line |= {f"{part}_{suffix}": value for part, value in kept.items()}
            line[f"denominator_{suffix}"] = math.nan if gone.counts[-1, j] else found.known[j]
            if gone.values[j]:
                hidden |= {f"{part}_{suffix}": HIDDEN for part in (*kept, "denominator")}
        return self._judged(line, found, gone, hidden)

    def _missing(self, found: Summary, gone: Hidden) -> tuple[Line, Gone]:
        line = self._line(found, f"{INDENT}Missing", "missing", "count")
        hidden: Gone = {}
        for j, suffix in enumerate(self.suffixes):
            line[f"value_{suffix}"] = found.missing[j]
            if gone.counts[-1, j]:
                hidden |= self._count(f"value_{suffix}", found.missing[j], self.sizes[j] < self.min_cell)
        return line, hidden

    def _judged(self, line: Line, found: Summary, gone: Hidden, hidden: Gone | None = None) -> tuple[Line, Gone]:
        """Put the SMD and P of a covariate on its first line."""
        line |= {"smd": found.smd, "format_smd": "smd", "format_p": "p"}
        if gone.difference:  # which test it took tells that an expected count is small
            return line, {**(hidden or {}), "smd": HIDDEN, "p_value": HIDDEN}
        line["note"] = "A group has no value, or nothing varies: no SMD." if math.isnan(found.smd) else None
        if found.test is not None:
            line |= {"p_value": found.test.p_value, "test": found.test.method, "note": found.test.note or line["note"]}
        if gone.round_off:
            line |= {"smd": _rounded(found.smd, 2), "p_value": _rounded(line["p_value"], 3)}
        return line, hidden or {}


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) if math.isfinite(value) else value


def decimals(found: Summary) -> int:
    """Decimals of a mean or a median: two figures of the smallest spread, one decimal at least, none from 1,000 on."""
    centre = np.abs(found.centre[np.isfinite(found.centre)])
    if centre.max(initial=0.0) >= 1000:
        return 0
    width = found.spread if found.kind == "mean" else found.high - found.low
    some = width[np.isfinite(width) & (width > 0)]
    if not len(some):
        return 1
    return int(np.clip(1 - math.floor(math.log10(float(some.min()))), 1, MOST_DIGITS))
