"""The methods paragraph, made from the protocol and what was done."""

from __future__ import annotations

from typing import Any

from clinops.analyse.adjust import ESTIMANDS, Adjusted
from clinops.analyse.capture import capture_of
from clinops.define.base import slug
from clinops.define.measures import SCORE_KINDS
from clinops.define.protocol import Protocol
from clinops.define.steps import Step

SCORE_WEIGHTS = {"charlson": "Charlson's (1987)", "van_walraven": "van Walraven's (2009)", "quan": "Quan's (2011)"}


def methods(protocol: Protocol, source: Any, adjusted: Adjusted, version: str, age_rule: str) -> str:
    """Return the methods in prose that a paper could carry; every number in it comes from the run."""
    parts = [
        _source(source),
        _arms(protocol),
        _follow_up(protocol),
        _covariates(protocol, adjusted, _counted(age_rule, protocol.min_cell)),
        _adjustment(protocol, adjusted),
        _outcomes(protocol),
        _conventions(protocol, version),
    ]
    return "\n\n".join(parts)


def _source(source: Any) -> str:
    first, last = source.span
    kind = "synthetic records" if source.synthetic else "records"
    return (
        f"**Data.** {source.name}: {kind} in {source.model}, {source.persons:,} persons, {first} to {last}. "
        f"The source captures {capture_of(source)}."
    )


def _arms(protocol: Protocol) -> str:
    exposed, comparator = protocol.exposed, protocol.comparator
    shared = [s for s in exposed.steps if s in comparator.steps]
    return (
        f"**Arms.** {exposed.name} entered at '{exposed.entry.label.lower()}' ({exposed.entry.which}), "
        f"{comparator.name} at '{comparator.entry.label.lower()}' ({comparator.entry.which}). "
        f"Both had to meet: {_listed(shared)}. {exposed.name} besides: {_listed(_own(exposed.steps, shared))}. "
        f"{comparator.name} besides: {_listed(_own(comparator.steps, shared))}. The order of the rules is that of "
        "the attrition table."
    )


def _own(steps: tuple[Step, ...], shared: list[Step]) -> list[Step]:
    return [s for s in steps if s not in shared]


def _listed(steps: list[Step]) -> str:
    return "; ".join(s.label[0].lower() + s.label[1:] for s in steps) or "nothing more"


def _follow_up(protocol: Protocol) -> str:
    ends = ", ".join(e if isinstance(e, str) else e.label for e in protocol.follow_up.censor)
    rule = f" Capture: {protocol.follow_up.capture}." if protocol.follow_up.capture else ""
    if (days := protocol.follow_up.last_contact) is not None:
        rule = f" Observation ends {days} days after the last visit on record, if that is sooner.{rule}"
    return (
        f"**Follow-up.** {str(protocol.follow_up.window).capitalize()} from the index date (day 0), ending early at "
        f"{ends}. Windows include both ends; day 0 is neither baseline nor outcome; events and deaths precede "
        f"censoring on the same day.{rule}"
    )


def _covariates(protocol: Protocol, adjusted: Adjusted, age_rule: str) -> str:
    used = {t.measure.id for t in adjusted.design.terms} if adjusted.design else set()
    exact = {slug(name) for name in adjusted.adjustment.exact} if adjusted.adjustment.method == "match" else set()
    used |= exact
    names = [m.name for m in protocol.covariates if m.id in used]
    left = [m.name for m in protocol.covariates if m.id not in used] if adjusted.design else []
    scores = [
        f"{m.name} with {SCORE_WEIGHTS.get(str(m.weights), m.weights)} weights"
        for m in protocol.covariates
        if m.measure in SCORE_KINDS
    ]
    text = f"**Covariates.** {', '.join(names) or 'None'}."
    if scores:
        text += f" {'; '.join(scores)} (Quan 2005 code lists)."
    if exact:
        named = {m.id: m.name for m in protocol.covariates}
        text += f" Matched exactly: {', '.join(named.get(name, 'Index date') for name in sorted(exact))}."
    if left:
        text += f" Not used, since they could not be measured or do not vary: {', '.join(left)}."
    return (
        text
        + f" {_age(age_rule)} Counts and costs entered as log(1 + x);"
        + " missing numbers as the mean with an indicator."
    )


def _counted(rule: str, min_cell: int) -> str:
    """The age rule with its count as it may be shown."""
    kind, _, n = rule.partition(": ")
    return f"{kind}: <{min_cell}" if n and 0 < int(n) < min_cell else rule


def _age(rule: str) -> str:
    """Say how age was reckoned: "exact", "year", or "mixed: n" (n entries with only a year of birth)."""
    kind, _, n = rule.partition(": ")
    return {
        "exact": "Age is in whole years at the index date, from the date of birth.",
        "year": "Age is the index year minus the year of birth.",
        "mixed": f"Age is in whole years from the date of birth; for {n} entries with only a year of birth it is the "
        "index year minus that year.",
    }[kind]


def _adjustment(protocol: Protocol, adjusted: Adjusted) -> str:
    if protocol.adjust.method == "none":
        return "**Analysis.** The arms are compared as they are."
    return (
        f"**Analysis.** Estimand: {ESTIMANDS[protocol.estimand]}. {_how(protocol)} {_variance(adjusted)} "
        "Hazard ratios (Cox, Efron ties) have a robust variance that takes the weights as known."
    )


def _how(protocol: Protocol) -> str:
    """What was done to make the arms comparable, in a sentence or two."""
    adjust = protocol.adjust
    penalised = f"{adjust.penalty.upper()}-penalised " if adjust.penalty else ""
    score = f"Propensity score by {penalised}logistic regression"
    if adjust.method == "weight":
        return {
            "entropy": "Weights by entropy balancing, which makes the covariates' means equal (Hainmueller 2012).",
            "cbps": "Weights by the covariate balancing propensity score (Imai and Ratkovic 2014).",
        }.get(adjust.using, f"{score}; {adjust.label}.")
    if adjust.method == "match":
        by_score = adjust.how in ("nearest", "optimal", "full", "subclass") or adjust.caliper is not None
        return f"{score}; {adjust.label}." if by_score else f"{adjust.label[0].upper()}{adjust.label[1:]}."
    model = (
        "Each outcome was regressed on the covariates in each arm (logistic for risks, log-linear for counts and "
        "costs, linear for others and for person-time)"
    )
    if adjust.method == "standardise":
        return f"{model} and both predictions averaged over the same persons ({adjust.label}; no weights)."
    return f"{score}. {model}, and its residuals weighted by the score ({adjust.label}, augmented weighting)."


def _variance(adjusted: Adjusted) -> str:
    """What the variance of means, risks and rates accounts for."""
    by = f"is clustered by {adjusted.cluster_name}"
    adjust = adjusted.adjustment
    if adjust.method == "standardise":
        return f"The variance accounts for the estimation of the models (M-estimation) and {by}."
    if adjust.method == "doubly robust":
        known = "takes both models as known" if adjust.penalty else "accounts for the estimation of both models"
        return f"The variance {known} and {by}."
    what = "weights" if adjust.using != "logistic" else "score"
    if adjusted.known_weights:
        return f"The variance of means, risks and rates takes the weights as known and {by}."
    return f"The variance of means, risks and rates accounts for the estimation of the {what} (M-estimation) and {by}."


def _outcomes(protocol: Protocol) -> str:
    primary = protocol.primary
    lines = f"Primary: {primary.name}" if primary else "No primary outcome"
    if primary is not None and primary.worthwhile is not None:
        lines += f" (smallest worthwhile difference {primary.worthwhile:g})"
    others = [f"{m.name} ({m.role})" for m in protocol.outcomes if m is not primary]
    controls = [m.name for m in protocol.negative_controls]
    more = f"Others: {', '.join(others) or 'none'}. Negative controls: {', '.join(controls) or 'none'}."
    return f"**Outcomes.** {lines}. {more}"


def _conventions(protocol: Protocol, version: str) -> str:
    price = f" Prices of {protocol.price_year}." if protocol.price_year else " Prices as recorded, not inflated."
    hidden = f"Counts of 1 to {protocol.min_cell - 1} print <{protocol.min_cell}."
    return (
        f"**Reporting.** Intervals are 95%; P values are two-sided and unadjusted for the number of outcomes. "
        f"{hidden} Perspective: {protocol.perspective}.{price} "
        f"Protocol {protocol.hash[:8]}, clinops {version}, seed {protocol.seed}."
    )
