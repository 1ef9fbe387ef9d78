"""The words below and above the table: what was taken for what, and how each number was made."""

from __future__ import annotations

import numpy as np

from clinops.analyse import words
from clinops.analyse.table_one.hide import Hidden
from clinops.analyse.table_one.read import Arms, Call
from clinops.analyse.table_one.summarise import Summary

NEAR = 0.1
"""An SMD that is commonly called small (Austin 2009)."""


def sentence(groups: Arms, judged: list[Summary]) -> str:
    """How far the groups are apart, of the covariates whose SMD is shown."""
    known = [one for one in judged if not np.isnan(one.smd)]
    if len(groups.names) < 2 or not known:
        return ""
    worst = max(known, key=lambda one: one.smd)
    over = sum(one.smd > NEAR for one in known)
    size = "infinite" if np.isinf(worst.smd) else words.number(worst.smd, 2)
    which = "of any two groups " if len(groups.names) > 2 else ""
    return (
        f"The largest standardised difference {which}is {size} ({worst.label}); "
        f"{over} of {len(known)} {'is' if over == 1 else 'are'} above {NEAR:g}."
    )


def notes(call: Call, found: list[Summary], gone: list[Hidden], *, few: bool, groups: int) -> tuple[str, ...]:
    """Every rule that the reader of the table needs."""
    weighted = call.weights is not None
    said = [_percent(found, gone, weighted), _quartiles(call, found, weighted), _kinds(found)]
    if groups > 1:
        said.append(_smd(found, weighted, several=groups > 2))
    if call.tests:
        said.append(_tests([one for one, hides in zip(found, gone, strict=True) if not hides.difference]))
    if weighted:
        said.append(
            f"Weighted by {call.label(str(call.weights))}. n: persons, not weighted; effective n: Kish's effective "
            "sample size."
        )
    if few:
        said.append("Nothing is shown of a group of so few, nor of everybody, from which it could be worked out.")
    return tuple(note for note in said if note)


def _percent(found: list[Summary], gone: list[Hidden], weighted: bool) -> str:
    levels = [one for one in found if one.levels]
    said = ["SD: standard deviation."] if any(one.kind == "mean" for one in found) else []
    if not any(one.missing.any() for one in found):
        return " ".join([*said, "No value is missing."])
    if levels:
        whole = "" if weighted else ", whose number stands after the stroke where some have none"
        said.append(f"Percentages are of those with a value{whole}.")
    if not weighted and any(one.levels and hides.counts[-1].any() for one, hides in zip(found, gone, strict=True)):
        said.append("Where the number without a value is not shown, they are of everybody in the column.")
    return " ".join(said)


def _quartiles(call: Call, found: list[Summary], weighted: bool) -> str:
    if not any(one.kind == "median" for one in found):
        return ""
    kind = (
        "the smallest value at which the weighted share reaches 25% and 75% (R type 1)"
        if weighted
        else "linear between values (numpy's linear, R type 7)"
    )
    return f"Q1 to Q3: quartiles, {kind}; shown of {4 * call.min_cell} values or more."


def _kinds(found: list[Summary]) -> str:
    levels = "; ".join(one.label for one in found if one.levels)
    codes = "; ".join(one.label for one in found if one.few)
    said = [f"Taken as categorical: {levels}."] if levels else []
    said += [f"Taken as numbers, though of few whole values: {codes} (codes belong in categorical=)."] if codes else []
    return " ".join(said)


def _smd(found: list[Summary], weighted: bool, *, several: bool) -> str:
    said = "SMD: absolute difference of means or proportions over the root of the mean of the groups' variances"
    said += " before weighting" if weighted else ""
    if any(one.levels and one.one_row is None for one in found):
        said += "; of several levels as a whole (Yang-Dalton)"
    return said + ("; of more than two groups the largest of all pairs." if several else ".")


METHODS = {
    "Welch's t": "Welch's t test of means", "Welch's F": "Welch's analysis of variance of means",
    "Kruskal-Wallis": "Kruskal-Wallis test where medians are shown",
    "Chi-squared": "chi-squared test of counts, without continuity correction",
}  # fmt: skip


def _tests(found: list[Summary]) -> str:
    used = {one.test.method for one in found if one.test}
    parts = [said for method, said in METHODS.items() if method in used]
    exact = "; ".join(one.label for one in found if one.test and one.test.method == "Fisher's exact")
    parts += [f"Fisher's exact test of {exact}"] if exact else []
    rough = "; ".join(one.label for one in found if one.test and "approximate" in one.test.note)
    if not parts:
        return ""
    said = f"P: {', '.join(parts)}; not adjusted for their number."
    return said + (f" P is approximate, since an expected count is below 5: {rough}." if rough else "")
