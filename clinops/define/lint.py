"""The rules that a design is held to before any query runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from clinops.define import lint_index_dates as dates
from clinops.define.cohorts import CohortDefinition
from clinops.define.comparators import Candidates
from clinops.define.events import Events
from clinops.define.findings import Finding, Findings
from clinops.define.lint_uptake import (
    as_if_random_without_defence,
    complier_effect_without_random_offer,
    immortal_time_of_activation,
    per_protocol_without_time_varying,
    programme_dates_out_of_order,
)
from clinops.define.measures import EVENT_KINDS, PERSON_KINDS, Measure
from clinops.define.protocol import Protocol
from clinops.define.steps import First, Has, Lacks, Observed, Step
from clinops.errors import DefinitionError, unknown

TREATMENTS = ("drug", "procedure", "device")
NO_PERSON_TIME = ("any",)
"""Kinds whose value says nothing about how long the person was observed."""

_CHOSEN = re.compile(r"\b(engag|adheren|complet(ed|er|ion)|activat(ed|ion)|active user)", re.IGNORECASE)
"""Words for what people choose to do once offered; in the name of a drug or procedure they mean something else."""

Found = Iterator[Finding]


def lint(protocol: Protocol, source: Any = None) -> Findings:
    """Check a design against every rule, without touching any record.

    Parameters
    ----------
    protocol : the design.
    source : where it will run; adds the rules that depend on what the source captures.

    Raises
    ------
    DefinitionError
        The protocol allows a rule that does not exist, or that is no error.
    """
    for allowance in protocol.allow:
        if allowance.rule in WARNINGS:
            raise DefinitionError(f"{allowance.rule!r} is a warning: it stops nothing, so take its allowance out.")
        if allowance.rule not in ERRORS:
            raise DefinitionError(unknown("lint error to allow", allowance.rule, ERRORS))
    found = [finding for rule in ERRORS.values() for finding in rule(protocol, source)]
    found += [finding for rule in WARNINGS.values() for finding in rule(protocol, source)]
    return Findings(tuple(found)).with_allowances(protocol.allow)


def exposures(protocol: Protocol) -> tuple[Events, ...]:
    """The events that make the arms differ.

    With a programme declared, its offer, and its activation or engagement where an arm is defined by
    them. What a comparator with an index date of its own has not met by then. The entry events where
    the arms enter by different ones: both of two treatments, else the exposed arm's. Failing these,
    what the exposed alone must have, the clearest first: on day 0 rather than before, what the
    comparator must lack rather than what it may have too. Failing that, what the comparator alone
    must lack.
    """
    exposed, comparator = protocol.exposed, protocol.comparator
    found: list[Events] = []
    if protocol.programme is not None:
        used = {exposed.entry.events, *(s.events for arm in _arms(protocol) for s in arm.steps if _about(s))}
        chosen = (protocol.programme.activation, protocol.programme.engagement)
        found = [protocol.programme.offer, *(e for e in chosen if e is not None and e in used)]
    if isinstance(comparator.entry, Candidates):
        found += [comparator.entry.events]
    elif exposed.entry.events != comparator.entry.events:
        found.append(exposed.entry.events)
        found += [comparator.entry.events] if comparator.entry.events.domain in TREATMENTS else []
    return tuple(dict.fromkeys(found or _by_steps(exposed, comparator)))


def _by_steps(exposed: CohortDefinition, comparator: CohortDefinition) -> list[Events]:
    lacked = [s.events for s in comparator.steps if isinstance(s, Lacks) and s not in exposed.steps]
    must = [s for s in exposed.steps if isinstance(s, Has) and s not in comparator.steps]

    def clear(step: Has) -> tuple[bool, bool, bool]:
        window = step.window
        on_the_day = (window.start or 0) <= 0 <= (window.end or 0)
        return on_the_day, step.events in lacked, window.start == window.end == 0

    best = max((clear(step) for step in must), default=None)
    return [s.events for s in must if clear(s) == best] or lacked


# --- errors -------------------------------------------------------------------------------------


def _eligibility_after_time_zero(protocol: Protocol, source: Any) -> Found:
    never = _never_enrol(protocol)
    for arm in _arms(protocol):
        for step in arm.steps:
            if (step.reaches is not None and step.reaches <= 0) or (arm is protocol.comparator and step in never):
                continue
            yield Finding(
                "eligibility-after-time-zero", "error",
                f"{arm.name}: the rule '{step.label}' looks past the index date.",
                "Who is eligible then depends on what happens later: people are guaranteed to survive or stay "
                "until the rule is met (immortal time), which makes the arm look healthier and cheaper.",
                "End the window on day 0 or before. For people who leave early use person-time and censoring "
                "(co.follow_up), not a rule that they must stay.",
            )  # fmt: skip


def _covariate_after_time_zero(protocol: Protocol, source: Any) -> Found:
    for measure in _baseline(protocol):
        if measure.measure in PERSON_KINDS or (measure.window is not None and _ends_before_zero(measure)):
            continue
        when = "has no window" if measure.window is None else f"is measured over: {measure.window}"
        yield Finding(
            "covariate-after-time-zero", "error",
            f"The covariate '{measure.name}' {when}.",
            "What is measured on the index date or later can be an effect of the exposure; adjusting for it removes "
            "part of the effect (towards no effect) or opens a path that biases either way.",
            "Measure it before the index date: co.before(365) ends on day -1.",
        )  # fmt: skip


def _outcome_before_follow_up(protocol: Protocol, source: Any) -> Found:
    for measure in (*protocol.outcomes, *protocol.negative_controls):
        window = measure.window
        if window is not None and window.start is not None and window.start >= 1:
            continue
        yield Finding(
            "outcome-before-follow-up", "error",
            f"The outcome '{measure.name}' is measured over: {window or 'no window'}.",
            "Events on the index date or before cannot be caused by the exposure, and the visit that starts "
            "follow-up would count as an outcome; it biases towards no effect, or invents one where the arms' "
            "index events differ in kind.",
            "Start the outcome on day 1: co.days(1, 365), or co.after(365).",
        )  # fmt: skip


def _unequal_eligibility(protocol: Protocol, source: Any) -> Found:
    exposure, arms = exposures(protocol), _arms(protocol)
    for arm, other in (arms, arms[::-1]):
        for step in arm.steps:
            if step in other.steps or (_about(step) and step.events in exposure):
                continue
            yield Finding(
                "unequal-eligibility", "error",
                f"'{step.label}' holds for {arm.name} but not for {other.name}.",
                "The arms then differ by who may enter, not only by the exposure; the difference in outcomes mixes "
                "the two, in the direction of the extra rule (one that asks for illness makes its arm look worse).",
                "Write the shared rules once as a tuple and use it in both arms; only rules about the exposure "
                "itself may differ.",
            )  # fmt: skip
    if not _same_order(*arms, exposure):
        yield Finding(
            "unequal-eligibility", "error",
            "The arms apply their rules in a different order around 'first entry of each person'.",
            "First-then-filter and filter-then-first choose different index dates, so the arms start at different "
            "stages of care; the direction depends on the rule.",
            "Use the same tuple of steps, in the same order, in both arms, and put the rules about the exposure on the "
            "same side of co.first().",
        )  # fmt: skip


def _entry_kinds_differ(protocol: Protocol, source: Any) -> Found:
    if dates.aligned(protocol) or (
        _entry_kind(protocol.exposed, protocol) == _entry_kind(protocol.comparator, protocol)
        and not isinstance(protocol.exposed.entry, Candidates)
    ):
        return
    yield Finding(
        "entry-kinds-differ", "error",
        " and ".join(f"{arm.name} enters at '{arm.entry.label}'" for arm in _arms(protocol)) + ".",
        "Time zero does not align: an arm that starts at a turning point of care, often a peak of need, sees its use "
        "fall by itself and looks better than it is, while the other starts on a day of another kind. Adjusting for "
        "the calendar date does not cure it.",
        "Let both arms enter at the same events, and tell them apart by the exposure on that day; or let the exposed "
        "enter at the exposure and the others at co.risk_set of it; or compare two new-user arms, each at the first "
        "use of its treatment.",
    )  # fmt: skip


def _comparator_never_enrols(protocol: Protocol, source: Any) -> Found:
    for step in _never_enrol(protocol):
        yield Finding(
            "comparator-never-enrols", "error",
            f"{protocol.comparator.name}: '{step.label}' asks that they never enrol after the index date.",
            "It selects comparators by their future: those who stay well enough, or die too soon, to be enrolled "
            "later. The direction depends on who enrols; where the sick enrol, comparators look too healthy.",
            "Ask for no exposure up to day 0 (co.days(None, 0)); let them enrol later, and censor them then "
            "(exit=...) or keep them as they were assigned.",
        )  # fmt: skip


def _exposure_among_measures(protocol: Protocol, source: Any) -> Found:
    exposure = exposures(protocol)
    for measure in dict.fromkeys((*_baseline(protocol), *protocol.outcomes, *protocol.negative_controls)):
        hit = next((e for e in exposure if measure.events is not None and overlap(e, measure.events)), None)
        if hit is None:
            continue
        part = "covariate" if measure.role == "covariate" else "outcome"
        yield Finding(
            "exposure-among-measures", "error",
            f"The {part} '{measure.name}' counts '{hit.label}', which is the exposure.",
            "As a covariate it explains the exposure perfectly (no overlap, exploding weights); as an outcome it "
            "differs by construction, so an effect is found where there is none.",
            "Take the exposure's codes out of the measure's code list (exclude=).",
        )  # fmt: skip


def _undeclared_entry(protocol: Protocol, source: Any) -> Found:
    for arm in _arms(protocol):
        if arm.entry.which != "undeclared":
            continue
        yield Finding(
            "undeclared-entry", "error",
            f"{arm.name} enters at '{arm.entry.events.label}' without saying which one.",
            "First-ever and first-eligible choose other people at other stages of care. Left open, the counts change "
            "with the order of the rules and cannot be repeated; the direction of the bias is unknown.",
            "Write co.first_ever(...), co.first_eligible(...) or co.every(...).",
        )  # fmt: skip


def _ehr_without_capture(protocol: Protocol, source: Any) -> Found:
    if getattr(source, "capture", None) != "ehr" or protocol.follow_up.capture:
        return
    claimed = _claims(protocol)
    if claimed:
        yield Finding(
            "ehr-without-capture", "error",
            f"The source sees only care given inside it, and the design relies on {'; '.join(claimed[:3])}"
            f"{' and more' if len(claimed) > 3 else ''}, without a capture rule.",
            "Care elsewhere is invisible: its cost is missing and its events look absent. The arm that is seen more "
            "often looks sicker and dearer, so a programme that adds contacts looks harmful (or one that loses "
            "people looks good).",
            "Say by which rule people count as observed: co.follow_up(..., capture='...'); the report prints it.",
        )  # fmt: skip


# --- warnings -----------------------------------------------------------------------------------


def _window_beyond_observation(protocol: Protocol, source: Any) -> Found:
    guaranteed = min(_guaranteed(arm) for arm in _arms(protocol))
    for measure in (*protocol.outcomes, *protocol.negative_controls):
        if measure.measure not in NO_PERSON_TIME or measure.window is None:
            continue
        if measure.window.end is not None and measure.window.end <= guaranteed:
            continue
        yield Finding(
            "window-beyond-observation", "warning",
            f"'{measure.name}' runs over: {measure.window}; observation after index is guaranteed for {guaranteed} "
            "days.",
            "People who leave early have had less time to have the event, so the arm that leaves earlier shows fewer: "
            "it looks better where the event is a harm, worse where it is a good.",
            "Use co.time_to or co.count, which carry person-time; or shorten the window to the days guaranteed.",
        )  # fmt: skip


def _no_negative_control(protocol: Protocol, source: Any) -> Found:
    if not protocol.negative_controls and protocol.assignment != "random":
        yield Finding(
            "no-negative-control", "warning", "The design names no negative-control outcome.",
            "Without an outcome that the exposure cannot change, confounding that the covariates miss stays unseen; "
            "its direction is unknown.",
            "Add outcomes that the exposure cannot affect: negative_controls=(co.time_to(...), ...).",
        )  # fmt: skip


def _no_primary(protocol: Protocol, source: Any) -> Found:
    if protocol.primary is None:
        yield Finding(
            "no-primary-outcome", "warning", "No outcome has the role 'primary'.",
            "With many outcomes and no primary one, the most favourable tends to be told (away from no effect).",
            "Give one outcome role='primary'.",
        )  # fmt: skip


def _no_worthwhile(protocol: Protocol, source: Any) -> Found:
    primary = protocol.primary
    if primary is not None and primary.worthwhile is None:
        yield Finding(
            "no-smallest-worthwhile-effect", "warning",
            f"The primary outcome '{primary.name}' states no smallest worthwhile difference.",
            "Without it 'not significant' is read as 'no effect', and a tiny effect in a large sample as a success.",
            "Give worthwhile=, the smallest difference that would change a decision.",
        )  # fmt: skip


def _engagement_as_exposure(protocol: Protocol, source: Any) -> Found:
    programme = protocol.programme
    chosen = {programme.engagement, programme.activation} - {None} if programme else set()
    exposed, comparator = protocol.exposed, protocol.comparator
    differ = exposed.entry.events != comparator.entry.events or isinstance(comparator.entry, Candidates)
    entry = [exposed.entry.events] if differ else []
    steps = [s.events for s in exposed.steps if isinstance(s, Has) and s not in comparator.steps]
    for events in (*entry, *steps):
        named = events.domain not in ("drug", "procedure") and _CHOSEN.search(events.label)
        if events in chosen or named:
            yield Finding(
                "engagement-as-exposure", "warning",
                f"{exposed.name} is defined by '{events.label}', which people choose.",
                "Those who engage are healthier and more able than those who do not, so the programme looks better "
                "than it is; matching on prior use leaves most of this in place.",
                "Compare by the offer; show engagement as a description, not as an effect.",
            )  # fmt: skip
            return


Rule = Callable[[Protocol, Any], Found]
ERRORS: dict[str, Rule] = {
    "eligibility-after-time-zero": _eligibility_after_time_zero,
    "covariate-after-time-zero": _covariate_after_time_zero,
    "outcome-before-follow-up": _outcome_before_follow_up,
    "unequal-eligibility": _unequal_eligibility,
    "entry-kinds-differ": _entry_kinds_differ,
    "comparator-never-enrols": _comparator_never_enrols,
    "exposure-among-measures": _exposure_among_measures,
    "undeclared-entry": _undeclared_entry,
    "ehr-without-capture": _ehr_without_capture,
    "comparator-already-exposed": lambda protocol, source: dates.already_exposed(protocol, exposures(protocol)),
    "exact-day-not-shared": lambda protocol, source: dates.day_that_none_shares(protocol),
    "clusters-ignore-persons": lambda protocol, source: dates.clusters_ignore_persons(protocol),
    "immortal-time-of-activation": immortal_time_of_activation,
    "programme-dates-out-of-order": programme_dates_out_of_order,
    "complier-effect-without-random-offer": complier_effect_without_random_offer,
    "as-if-random-without-defence": as_if_random_without_defence,
}
WARNINGS: dict[str, Rule] = {
    "window-beyond-observation": _window_beyond_observation,
    "no-negative-control": _no_negative_control,
    "no-primary-outcome": _no_primary,
    "no-smallest-worthwhile-effect": _no_worthwhile,
    "engagement-as-exposure": _engagement_as_exposure,
    "random-index-date": lambda protocol, source: dates.random_index_date(protocol),
    "later-enrolment-undeclared": lambda protocol, source: dates.later_enrolment(protocol),
    "calendar-time-unadjusted": lambda protocol, source: dates.calendar_time_unadjusted(protocol),
    "totals-of-one-censored-arm": lambda protocol, source: dates.totals_of_one_censored_arm(protocol),
    "per-protocol-without-time-varying": per_protocol_without_time_varying,
}


# --- what the rules ask -------------------------------------------------------------------------


def _arms(protocol: Protocol) -> tuple[CohortDefinition, CohortDefinition]:
    return protocol.exposed, protocol.comparator


def _about(step: Step) -> TypeGuard[Has | Lacks]:
    return isinstance(step, Has | Lacks)


def _baseline(protocol: Protocol) -> tuple[Measure, ...]:
    """Covariates and what subgroups split by, each once."""
    return tuple(dict.fromkeys((*protocol.covariates, *(s.measure for s in protocol.subgroups))))


def _never_enrol(protocol: Protocol) -> tuple[Lacks, ...]:
    """The comparator's rules that it never meets the exposure after the index date."""
    exposure = exposures(protocol)
    return tuple(
        step
        for step in protocol.comparator.steps
        if isinstance(step, Lacks) and step.events in exposure and (step.reaches is None or step.reaches > 0)
    )


def _ends_before_zero(measure: Measure) -> bool:
    return measure.window is not None and measure.window.end is not None and measure.window.end < 0


def _same_order(one: CohortDefinition, other: CohortDefinition, exposure: tuple[Events, ...]) -> bool:
    """Whether 'first entry' cuts in at the same place: among the shared rules, and about those on the exposure."""
    shared = [[s for s in arm.ordered_steps if s in mate.ordered_steps] for arm, mate in ((one, other), (other, one))]
    if shared[0] != shared[1] and any(isinstance(s, First) for s in shared[0]):
        return False
    sides = [_sides(arm, exposure) for arm in (one, other)]
    return not all(sides) or sides[0] == sides[1]


def _sides(arm: CohortDefinition, exposure: tuple[Events, ...]) -> set[str]:
    """On which sides of 'first entry' the arm has rules about the exposure."""
    steps = arm.ordered_steps
    cut = next((place for place, step in enumerate(steps) if isinstance(step, First)), None)
    places = [place for place, step in enumerate(steps) if _about(step) and step.events in exposure]
    return set() if cut is None else {"before" if place < cut else "after" for place in places}


def _entry_kind(arm: CohortDefinition, protocol: Protocol) -> tuple[str, object]:
    """What makes two entries comparable: the same events by the same rule, or first use of a treatment."""
    entry = arm.entry
    differ = protocol.exposed.entry.events != protocol.comparator.entry.events
    washed = entry.which == "first ever" or any(
        isinstance(s, Lacks) and s.events == entry.events and s.window.end == -1 for s in arm.steps
    )
    if differ and entry.events.domain in TREATMENTS and washed:
        return "new use of a treatment", entry.events.domain
    return entry.which, entry.events


def _claims(protocol: Protocol) -> list[str]:
    """What a design takes from records as complete: costs, and that an event which is not there did not happen."""
    outcomes = (*protocol.outcomes, *protocol.negative_controls)
    claimed = [m.name for m in protocol.measures if m.measure == "cost"]
    claimed += [m.name for m in outcomes if m.measure == "days at home"]
    claimed += [m.name for m in outcomes if m.measure in EVENT_KINDS and m.events and m.events.domain != "death"]
    for arm in _arms(protocol):
        claimed += [arm.entry.label] if arm.entry.which == "first ever" or isinstance(arm.entry, Candidates) else []
        claimed += [s.label for s in arm.steps if isinstance(s, Lacks) and s.events.domain != "death"]
    return list(dict.fromkeys(claimed))


def _guaranteed(arm: CohortDefinition) -> int:
    return max((s.after for s in arm.steps if isinstance(s, Observed)), default=0)


def overlap(one: Events, other: Events) -> bool:
    """Whether two sets of events share a code, as far as can be told without a vocabulary."""
    if one.domain != other.domain:
        return False
    if one.codes is None or other.codes is None:
        return one.codes is other.codes
    excluded = {*one.codes.exclude, *other.codes.exclude}
    shared = set(one.codes.concept_ids) & set(other.codes.concept_ids) - excluded
    return bool(shared) or any(_meet(a, b) for a in one.codes.source_codes for b in other.codes.source_codes)


def _meet(one: str, other: str) -> bool:
    """Whether some code matches both source codes; dots, blanks and case are ignored, a last * is any ending."""
    a, b = (re.sub(r"[.\s]", "", code).upper() for code in (one, other))
    if a.endswith("*") and b.endswith("*"):
        return a[:-1].startswith(b[:-1]) or b[:-1].startswith(a[:-1])
    if b.endswith("*"):
        a, b = b, a
    return b.startswith(a[:-1]) if a.endswith("*") else a == b
