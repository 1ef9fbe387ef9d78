"""Exhibits of comparability: baseline before and after adjustment, love plot, overlap of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.design import Term, balance_design
from clinops.define.protocol import Protocol
from clinops.results.result import Check, Column, Figure, Result

if TYPE_CHECKING:
    from clinops.stats.balance import Balance, EcdfDifferences

BINS = 30
DIVISORS = {"att": ("treated", "the exposed's"), "atc": ("comparator", "the comparators'")}
"""Whose standard deviation divides, by estimand, and how it is said; the pooled one for the others."""
REGRESSION = 0.5
"""SMD beyond which a regression extrapolates too far to be trusted (Rubin 2001): the limit of standardisation."""


@dataclass(frozen=True)
class Balances:
    """Balance of every covariate column before and after adjustment, and what the columns are."""

    terms: tuple[Term, ...]
    before: Balance
    after: Balance
    multilevel: dict[str, tuple[float, float]]
    ecdf_before: EcdfDifferences
    ecdf_after: EcdfDifferences

    @property
    def worst_after(self) -> float:
        """The largest absolute SMD after adjustment; infinite where one is undefined in an informative way."""
        sizes = np.abs(self.after.smd)
        undefined = np.isnan(sizes) & ~_constant(self.after)
        return float(np.where(undefined, np.inf, np.nan_to_num(sizes)).max(initial=0.0))


def _constant(found: Balance) -> Any:
    """Columns without variation in either arm and with equal means: nothing to balance."""
    flat = (found.sd_treated == 0) & (found.sd_comparator == 0)
    return flat & (found.mean_treated == found.mean_comparator)


def balances(data: Dataset, protocol: Protocol, adjusted: Adjusted) -> Balances:
    """Judge every covariate: one column a number, one a level; multi-level covariates also as a whole.

    The standard deviation that divides is always the one before adjustment: the exposed's for the ATT, the
    comparators' for the ATC, else the pooled one.
    """
    from clinops.stats.balance import balance, ecdf_differences, smd_levels

    design = balance_design(data, protocol.covariates)
    denominator, _ = _divisor(protocol)
    before = balance(design.matrix, data.exposed, denominator=denominator)
    after = balance(design.matrix, data.exposed, adjusted.weights, denominator=denominator)
    whole = {}
    for measure in {t.measure for t in design.terms if t.measure.categorical}:
        levels = data.baseline[measure.id].astype("object").where(data.baseline[measure.id].notna(), "missing")
        labels = levels.astype(str).to_numpy(dtype=str)
        whole[measure.id] = (smd_levels(labels, data.exposed), smd_levels(labels, data.exposed, adjusted.weights))
    curves = [ecdf_differences(design.matrix, data.exposed, w) for w in (None, adjusted.weights)]
    return Balances(design.terms, before, after, whole, *curves)


def _divisor(protocol: Protocol) -> tuple[str, str]:
    """Whose standard deviation divides an SMD, for the estimator and in words."""
    return DIVISORS.get(protocol.estimand, ("pooled", "the pooled"))


def baseline_table(data: Dataset, protocol: Protocol, adjusted: Adjusted, found: Balances) -> Result:
    """Baseline of both arms before and after adjustment, with SMDs, variance ratios and missing values."""
    import pandas as pd

    rows = [_row(data, found, i) for i in range(len(found.terms))]
    frame = pd.DataFrame(rows)
    n = {"exposed": int(data.exposed.sum()), "comparator": int((~data.exposed).sum())}
    after = _after_label(adjusted)
    heads = {a: f"{_arm(protocol, a)} (n = {n[a]:,})" for a in n}
    columns = [Column("covariate", "Covariate")]
    for arm, head in heads.items():
        columns.append(
            Column(f"value_{arm}", head, "mean", "n (%) or mean (SD)", "Before adjustment", spread=f"sd_{arm}",
                   denominator=f"known_{arm}", format_by="format")
        )  # fmt: skip
    columns.append(Column("smd_before", "SMD", "smd", "", "Before adjustment"))
    columns.append(Column("ecdf_before", "eCDF", "number2", "", "Before adjustment", missing="–"))
    sizes = effective_sizes(data, adjusted)
    columns += [
        Column(f"after_{arm}", f"{_arm(protocol, arm)} (effective n = {sizes[arm]:,.0f})", "mean", "% or mean", after,
               format_by="format_after")
        for arm in heads
    ]  # fmt: skip
    columns += [
        Column("smd_after", "SMD", "smd", "", after),
        Column("ecdf_after", "eCDF", "number2", "", after, missing="–"),
        Column("vr_after", "Variance ratio", "ratio", "", after, missing="–"),
        Column("missing", "Missing", "count", "n"),
    ]
    return Result(
        "baseline", "Baseline characteristics before and after adjustment", frame, tuple(columns),
        notes=_balance_notes(protocol, found, adjusted), sentence=_balance_sentence(protocol, found, adjusted),
        group_by=None,
    )  # fmt: skip


def _row(data: Dataset, found: Balances, i: int) -> dict[str, Any]:
    term, before, after = found.terms[i], found.before, found.after
    level = term.is_share
    row: dict[str, Any] = {"covariate": term.label, "format": "percent" if level else "mean"}
    row["format_after"] = "fraction" if level else "mean"
    for arm, mask in (("exposed", data.exposed), ("comparator", ~data.exposed)):
        side = "treated" if arm == "exposed" else "comparator"
        mean = float(getattr(before, f"mean_{side}")[i])
        known = int(mask.sum()) - int(getattr(before, f"missing_{side}")[i])
        row[f"known_{arm}"] = known
        row[f"value_{arm}"] = round(mean * known) if level else mean
        row[f"sd_{arm}"] = np.nan if level else float(getattr(before, f"sd_{side}")[i])
        row[f"after_{arm}"] = float(getattr(after, f"mean_{side}")[i])
    row |= {
        "smd_before": float(before.smd[i]), "smd_after": float(after.smd[i]),
        "vr_before": np.nan if level else float(before.variance_ratio[i]),
        "vr_after": np.nan if level else float(after.variance_ratio[i]),
        "ecdf_before": np.nan if level else float(found.ecdf_before.maximum[i]),
        "ecdf_after": np.nan if level else float(found.ecdf_after.maximum[i]),
        "missing": int(before.missing_treated[i] + before.missing_comparator[i]),
    }  # fmt: skip
    return row


def love(found: Balances, protocol: Protocol) -> Result:
    """Standardised differences before and after adjustment, largest first."""
    import pandas as pd

    frame = pd.DataFrame({
        "covariate": [t.label for t in found.terms], "smd_before": found.before.smd, "smd_after": found.after.smd,
    })  # fmt: skip
    order = np.argsort(-np.nan_to_num(np.abs(frame["smd_before"].to_numpy()), nan=np.inf), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    threshold = protocol.balance_threshold
    outside = [int((~b.within(threshold) & ~_constant(b)).sum()) for b in (found.before, found.after)]
    sentence = (
        f"{outside[0]} of {len(frame)} columns differ by more than {threshold:g} SD before adjustment, "
        f"{outside[1]} after it."
    )
    figure = Figure("love", frame, {"threshold": threshold})
    columns = (
        Column("covariate", "Covariate"),
        Column("smd_before", "SMD before", "smd"),
        Column("smd_after", "SMD after", "smd"),
    )
    return Result("love", "Standardised mean differences before and after adjustment", frame, columns,
                  sentence=sentence, figure=figure, alt=sentence)  # fmt: skip


def overlap(data: Dataset, protocol: Protocol, adjusted: Adjusted) -> Result:
    """Distribution of the propensity score by arm, before and after adjustment."""
    import pandas as pd

    score = adjusted.score if adjusted.score is not None else np.full(len(data), 0.5)
    edges = _edges(score, data, protocol.min_cell)
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:]})
    for name, arm in (("exposed", data.exposed), ("comparator", ~data.exposed)):
        frame[f"n_{name}"] = np.histogram(score[arm], edges)[0]
        share = np.histogram(score[arm], edges, weights=adjusted.weights[arm])[0]
        frame[f"share_{name}"] = frame[f"n_{name}"] / max(int(arm.sum()), 1)
        frame[f"weighted_{name}"] = share / share.sum() if share.sum() else share
    sizes = effective_sizes(data, adjusted)
    sentence = (
        f"Effective sample size after adjustment: {sizes['exposed']:,.0f} of {int(data.exposed.sum()):,} "
        f"{_arm(protocol, 'exposed')} and {sizes['comparator']:,.0f} of {int((~data.exposed).sum()):,} "
        f"{_arm(protocol, 'comparator')}."
    )
    columns = (
        Column("low", "Score from", "number2", of=()), Column("high", "to", "number2", of=()),
        Column("n_exposed", _arm(protocol, "exposed"), "count", "n"),
        Column("n_comparator", _arm(protocol, "comparator"), "count", "n"),
    )  # fmt: skip
    hidden_with = {f"{part}_{a}": (f"n_{a}",) for a in ("exposed", "comparator") for part in ("share", "weighted")}
    figure = Figure(
        "overlap", frame, {"exposed": _arm(protocol, "exposed"), "comparator": _arm(protocol, "comparator")},
        counts=("n_exposed", "n_comparator"), of=hidden_with,
    )  # fmt: skip
    return Result("overlap", "Propensity scores: who could have been in either arm", frame, columns,
                  sentence=sentence, figure=figure, alt=sentence)  # fmt: skip


def _edges(score: Floats, data: Dataset, min_cell: int) -> Floats:
    """Ends of as many bins as may be shown.

    The bins of an arm add up to its size, which is printed. So small counts are safe only where several are
    hidden and their sum leaves each of them open; else the bins are made wider.
    """
    for bins in range(BINS, 1, -1):
        edges = np.linspace(0, 1, bins + 1)
        counts = [np.histogram(score[arm], edges)[0] for arm in (data.exposed, ~data.exposed)]
        hidden = [count[(count > 0) & (count < min_cell)] for count in counts]
        if all(len(h) == 0 or (len(h) > 1 and len(h) < h.sum() < (min_cell - 1) * len(h)) for h in hidden):
            return edges
    return np.array([0.0, 1.0])


def effective_sizes(data: Dataset, adjusted: Adjusted) -> dict[str, float]:
    """Kish's effective sample size of each arm under the weights."""
    from clinops.stats.weighting import effective_sample_size

    return {
        "exposed": effective_sample_size(adjusted.weights[data.exposed]),
        "comparator": effective_sample_size(adjusted.weights[~data.exposed]),
    }


def balance_check(found: Balances, protocol: Protocol) -> Check:
    """Whether every covariate is within the threshold after adjustment."""
    import pandas as pd

    worst, threshold = found.worst_after, balance_limit(protocol)
    frame = pd.DataFrame({"largest_smd_after": [worst], "threshold": [threshold]})
    columns = (
        Column("largest_smd_after", "Largest |SMD| after adjustment", "smd"),
        Column("threshold", "Threshold", "number2"),
    )
    return Check(
        "check_balance", "Are the arms alike on the covariates?", frame, columns,
        sentence=f"The largest standardised difference left is {worst:.3f}; the threshold is {threshold:g}.",
        observed=worst, threshold=threshold, passed=bool(worst <= threshold),
        why="The outcome model carries the arms over to each other, and cannot be trusted to where they are far apart."
        if protocol.adjust.method == "standardise"
        else "A covariate that still differs can explain a difference in outcome.",
    )  # fmt: skip


def balance_limit(protocol: Protocol) -> float:
    """The largest SMD that passes: the protocol's, but where only a model of the outcome bridges the arms Rubin's."""
    threshold = protocol.balance_threshold
    return max(threshold, REGRESSION) if protocol.adjust.method == "standardise" else threshold


def overlap_check(data: Dataset, adjusted: Adjusted) -> Check:
    """Whether enough of the comparator is left in effect, and few exposed lie beyond everyone else."""
    import pandas as pd

    sizes = effective_sizes(data, adjusted)
    n = int((~data.exposed).sum())
    share = sizes["comparator"] / n if n else 0.0
    frame = pd.DataFrame({
        "effective_comparator": [sizes["comparator"]], "comparator": [n], "share": [share],
        "share_unmatched": [adjusted.share_unmatched],
    })  # fmt: skip
    columns = (
        Column("effective_comparator", "Effective comparators", "number0"),
        Column("comparator", "Comparators", "count", "n"),
        Column("share", "Share left in effect", "fraction"),
        Column("share_unmatched", "Exposed without a match", "fraction"),
    )
    enough = sizes["comparator"] >= 50 and share >= 0.05 and adjusted.share_unmatched <= 0.2
    return Check(
        "check_overlap", "Do the arms overlap?", frame, columns,
        sentence=f"After adjustment the comparator counts as {sizes['comparator']:,.0f} of {n:,} persons; "
        f"{100 * adjusted.share_unmatched:.0f}% of the exposed found no match.",
        observed=share, threshold=0.05, passed=enough,
        why="Where few comparators carry all the weight, or many exposed have no counterpart, the estimate rests "
        "on a handful of people or no longer speaks of the exposed.",
    )  # fmt: skip


def _arm(protocol: Protocol, arm: str) -> str:
    return protocol.exposed.name if arm == "exposed" else protocol.comparator.name


def _after_label(adjusted: Adjusted) -> str:
    weighted = {"weight": "After weighting", "doubly robust": "After weighting", "match": "After matching"}
    return weighted.get(adjusted.adjustment.method, "As they are")


def _balance_notes(protocol: Protocol, found: Balances, adjusted: Adjusted) -> tuple[str, ...]:
    _, divisor = _divisor(protocol)
    notes = [
        f"SMD: difference of the means divided by {divisor} standard deviation before adjustment. eCDF: largest "
        "distance of the arms' distributions, 0 to 1."
    ]
    for measure in protocol.covariates:
        if measure.id in found.multilevel:
            before, after = (_smd(value) for value in found.multilevel[measure.id])
            notes.append(f"{measure.name} as a whole (Yang-Dalton): SMD {before} before, {after} after.")
    notes.append("Effective n: Kish's effective sample size of the arm under its weights.")
    return (*notes, *adjusted.notes)


def _smd(value: float) -> str:
    return "undefined" if np.isnan(value) else "infinite" if np.isinf(value) else f"{value:.2f}"


def _balance_sentence(protocol: Protocol, found: Balances, adjusted: Adjusted) -> str:
    before = float(np.nan_to_num(np.abs(found.before.smd)).max(initial=0.0))
    return (
        f"The largest difference between the arms is {before:.2f} SD before adjustment and "
        f"{found.worst_after:.2f} after it ({adjusted.label})."
    )
