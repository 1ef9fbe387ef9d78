"""Checks of whom the comparison can speak of: equipoise by the preference score, and positivity by the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset
from clinops.define.protocol import Protocol
from clinops.results.result import Check, Column

if TYPE_CHECKING:
    import pandas as pd

EQUIPOISE_SHARE = 0.5
"""Of each arm that must have a preference score between 0.3 and 0.7 (Walker 2013)."""
OUTSIDE = 0.05
"""Of an arm's weight that may lie beyond the scores of the other arm."""
ONE_PERSON = 0.05
"""Of an arm's weight that one person may carry, or the weight of two average persons where that is more."""


def equipoise_check(data: Dataset, protocol: Protocol, adjusted: Adjusted) -> Check:
    """Whether at least half of each arm could about as well have been in the other one."""
    import pandas as pd

    from clinops.stats.overlap import equipoise

    names = (protocol.exposed.name, protocol.comparator.name)
    arms = (data.exposed, ~data.exposed)
    frame = pd.DataFrame({"arm": names, "n": [int(a.sum()) for a in arms]})
    least, said = None, "The arms are compared as they are, without a score of who could have been in either."
    if adjusted.score is not None:
        found = equipoise(adjusted.score, data.exposed)
        low, high = found.bounds
        inside = (found.preference >= low) & (found.preference <= high)
        frame["inside"] = [int(inside[a].sum()) for a in arms]
        frame["share"] = frame["inside"] / frame["n"]
        least = float(frame["share"].min())
        shares = " and ".join(f"{100 * s:.0f}% of {n}" for s, n in zip(frame["share"], names, strict=True))
        said = f"{shares} have a preference score between {low:g} and {high:g}; half of each is called equipoise."
    else:
        frame["inside"], frame["share"] = pd.array([pd.NA, pd.NA], dtype="Int64"), np.nan
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("inside", "Preference score 0.3 to 0.7", "count", "n", missing="–"),
        Column("share", "Share", "fraction", of=("inside", "n"), missing="–"),
    )  # fmt: skip
    return Check(
        "check_equipoise", "Could most persons have been in either arm?", frame, columns,
        ("Preference score: the propensity score as if both arms were equally common (Walker 2013), unweighted.",),
        said, observed=least, threshold=EQUIPOISE_SHARE, passed=None if least is None else least >= EQUIPOISE_SHARE,
        why="Where who was exposed was plain beforehand, few persons on either side are alike, and the estimate leans "
        "on the model that makes them so.",
    )  # fmt: skip


def positivity_check(data: Dataset, protocol: Protocol, adjusted: Adjusted) -> Check:
    """Whether the weight of each arm lies where the other arm has people, and is not carried by one of them."""
    import pandas as pd

    from clinops.stats.overlap import positivity

    names, arms = (protocol.exposed.name, protocol.comparator.name), (data.exposed, ~data.exposed)
    whole = np.full(len(data), 0.5) if adjusted.score is None else adjusted.score
    held = adjusted.weights > 0
    score, arm, weights = whole[held], data.exposed[held], adjusted.weights[held]
    found = positivity(score, arm, weights)
    beyond = ~((score >= found.support[0]) & (score <= found.support[1]))  # everybody, where an arm is empty
    sides = (arm, ~arm)
    rows = [int(a.sum()) for a in sides]
    largest = (found.largest_weight_treated, found.largest_weight_comparator)
    moved = adjusted.balancing.n_truncated if adjusted.balancing is not None else 0
    frame = pd.DataFrame({
        "arm": names, "n": [int(a.sum()) for a in arms], "weighted": rows,
        "effective": (found.ess_treated, found.ess_comparator), "largest": largest,
        "share_largest": [top / n if n else np.nan for top, n in zip(largest, rows, strict=True)],
        "outside": [int((beyond & a).sum()) for a in sides],
        "share_outside": [weights[beyond & a].sum() / weights[a].sum() if a.any() else np.nan for a in sides],
    })  # fmt: skip
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"), Column("weighted", "With weight", "count", "n"),
        Column("effective", "Effective", "number0", of="weighted"),
        Column("largest", "Largest weight", "number1", "times the mean", of="weighted", missing="–"),
        Column("share_largest", "Weight of one person", "fraction", of="weighted", missing="–"),
        Column("outside", "Beyond the other arm's scores", "count", "n"),
        Column("share_outside", "Their weight", "fraction", of=("outside", "weighted"), missing="–"),
    )  # fmt: skip
    passed = None if adjusted.score is None else _judged(frame)
    worst, top = _most(frame["share_outside"]), _most(frame["share_largest"])
    cut = "" if adjusted.adjustment.truncate is None else f" n = {moved} weights were truncated."
    return Check(
        "check_positivity", "Does the weight lie where both arms have persons?", frame, columns,
        (f"Effective: Kish's effective sample size under {adjusted.label}.{cut}",),
        f"{100 * worst:.1f}% of an arm's weight lies beyond the other arm's scores. One person carries at most "
        f"{100 * top:.2f}% of an arm.",
        observed=worst, threshold=OUTSIDE, passed=passed,
        why="Beyond the other arm's scores there is nobody to compare with, and a person with a large weight speaks "
        "for many: the estimate is then a guess of the model, or an anecdote.",
    )  # fmt: skip


def _most(shares: pd.Series) -> float:
    return float(shares.fillna(1.0).max())


def _judged(frame: pd.DataFrame) -> bool:
    """Fail where an arm has no weight, too much of it without a like, or too much of it on one person."""
    most = np.maximum(ONE_PERSON, 2 / frame["weighted"].clip(lower=1))
    heavy = ~(frame["share_largest"] <= most)
    return not heavy.any() and bool((frame["share_outside"] <= OUTSIDE).all())
