"""Rules of lint on where a comparator's index date comes from, and on people who enter more than once."""

from __future__ import annotations

from collections.abc import Iterator

from clinops.define.base import slug
from clinops.define.cohorts import CohortDefinition, Entry
from clinops.define.comparators import Candidates, RandomVisit, RiskSet, Rolling, Sequential
from clinops.define.events import Events
from clinops.define.findings import Finding
from clinops.define.protocol import Protocol
from clinops.define.steps import Has, Lacks

Found = Iterator[Finding]
CALENDAR = (RiskSet, Rolling, Sequential)
"""Rules whose dates hang on the calendar days or periods of the exposed."""


def aligned(protocol: Protocol) -> bool:
    """Whether a comparator with such an entry is counted from the days on which the exposed enter."""
    exposed, rule = protocol.exposed, protocol.comparator.entry
    if not isinstance(exposed.entry, Entry) or not isinstance(rule, Candidates):
        return False
    visit = rule.visit if isinstance(rule, Sequential) else rule.at if isinstance(rule, RiskSet) else None
    if visit is not None:
        # The others enter on the day of a visit, so the exposed must be exposed on the day of one too.
        by_visit = exposed.entry.events == visit and _on_the_day(exposed, rule.events)
        return by_visit or (exposed.entry.events == rule.events and _on_the_day(exposed, visit))
    return exposed.entry.events == rule.events


def _on_the_day(arm: CohortDefinition, events: Events) -> bool:
    return any(isinstance(s, Has) and s.events == events and s.window.start == s.window.end == 0 for s in arm.steps)


# --- errors -------------------------------------------------------------------------------------


def already_exposed(protocol: Protocol, exposure: tuple[Events, ...]) -> Found:
    """The comparator may hold people who met the exposure before or on the index date."""
    exposed, comparator = protocol.exposed, protocol.comparator
    asked = any(isinstance(step, Has) and step.events in exposure for step in exposed.steps)
    if not isinstance(comparator.entry, Entry) or exposed.entry.events != comparator.entry.events or not asked:
        return
    washed = [s.window for s in comparator.steps if isinstance(s, Lacks) and s.events in exposure]
    days = {
        day for w in washed for day in (-1, 0)
        if (w.start is None or w.start <= day) and (w.end is None or day <= w.end)
    }  # fmt: skip
    if days == {-1, 0}:
        return
    when = "on the index date" if days == {-1} else "before the index date" if days == {0} else "by the index date"
    yield Finding(
        "comparator-already-exposed", "error",
        f"{comparator.name} may hold people who have met '{exposure[0].label}' {when}.",
        "People under the exposure are then counted as without it: the arms look more alike than they are (towards no "
        "effect), and those who have stayed with it are the ones for whom it works.",
        "Ask the comparator for no exposure up to day 0: co.lacks(exposure, co.days(None, 0)).",
    )  # fmt: skip


def day_that_none_shares(protocol: Protocol) -> Found:
    """Exact matching on the day where the arms' days are of different kinds."""
    rule = protocol.comparator.entry
    if not isinstance(rule, Candidates) or isinstance(rule, RiskSet) or "index_date" not in _exact(protocol):
        return
    if isinstance(rule, Sequential) and rule.visit is not None:
        return
    period = f'co.index_period("{rule.every}")' if isinstance(rule, Rolling | Sequential) else "co.index_date()"
    yield Finding(
        "exact-day-not-shared", "error",
        f"The match is exact on the index date, but {protocol.comparator.name} enters by {rule.kind}, on other days "
        "than the exposed.",
        "Only exposed people whose day happens to be one of those days find a match, so that chance decides whose "
        "effect is estimated; the direction depends on what is particular about those days.",
        f"Match within the calendar period or on calendar time as a covariate ({period}), or use co.risk_set, whose "
        "days are those of the exposed.",
    )  # fmt: skip


def clusters_ignore_persons(protocol: Protocol) -> Found:
    """Rows of one person that the variance takes as independent."""
    again = [arm.name for arm in (protocol.exposed, protocol.comparator) if arm.repeats]
    if protocol.cluster == "person" or not again:
        return
    yield Finding(
        "clusters-ignore-persons", "error",
        f"A person may enter {' and '.join(again)} on several dates, and the variance is clustered by "
        f"{protocol.cluster} only.",
        "Dates of one person are alike and may lie at several sites; taken as independent they make intervals too "
        "narrow, so a chance difference is read as an effect.",
        "Use cluster='person', or let each person enter once (co.first() among the steps).",
    )  # fmt: skip


# --- warnings -----------------------------------------------------------------------------------


def random_index_date(protocol: Protocol) -> Found:
    """The comparator starts on a day that nothing marks."""
    rule = protocol.comparator.entry
    if isinstance(rule, RandomVisit):
        yield Finding(
            "random-index-date", "warning",
            f"{protocol.comparator.name} enters at a random {rule.visit.label}.",
            "People enrol when they need care, and a random day is not such a day: the exposed start higher and the "
            "programme looks worse (by 14 % of cost in a simulated world without any effect), even when prior use is "
            "matched.",
            "Use co.risk_set on the days on which others enrol, or let both arms enter at the same qualifying event.",
        )  # fmt: skip


def later_enrolment(protocol: Protocol) -> Found:
    """Comparators who enrol later, and nothing said about them."""
    comparator = protocol.comparator
    rule = comparator.entry
    if not isinstance(rule, Candidates) or rule.later == "kept":
        return
    if rule.events in comparator.exit or rule.events in protocol.follow_up.censor:
        return
    yield Finding(
        "later-enrolment-undeclared", "warning",
        f"{comparator.name} may meet '{rule.events.label}' later, and the design does not say what happens then.",
        "Followed on under the exposure they look more like the exposed (towards no effect); censored, they leave "
        "when they are at their sickest, and the rest look better. Which question is answered must be chosen.",
        "End their follow-up (exit=(exposure,)), or declare that they stay as assigned: later='kept' in the entry.",
    )  # fmt: skip


def calendar_time_unadjusted(protocol: Protocol) -> Found:
    """Candidates of many calendar days pooled without calendar time among what is adjusted for."""
    rule = protocol.comparator.entry
    if not isinstance(rule, CALENDAR) or "index_date" in _exact(protocol):
        return
    if any(measure.measure in ("index date", "index period") for measure in protocol.covariates):
        return
    yield Finding(
        "calendar-time-unadjusted", "warning",
        f"{protocol.comparator.name} enters by {rule.kind} on many calendar days, and neither the match nor the "
        "covariates hold the day or its period.",
        "Entries of the two arms pile up in different months, so season, prices and changes of care between them pass "
        "for an effect; the direction depends on which arm is the later one.",
        "Match exactly on the day or the period, or add co.index_period(...) or co.index_date() to the covariates.",
    )  # fmt: skip


def totals_of_one_censored_arm(protocol: Protocol) -> Found:
    """Sums over a window that ends earlier in one arm by design."""
    sums = [m.name for m in protocol.outcomes if m.measure in ("cost", "days at home", "any")]
    for arm, other in ((protocol.exposed, protocol.comparator), (protocol.comparator, protocol.exposed)):
        ends = [end for end in arm.exit if isinstance(end, Events)]
        ends = [end for end in ends if end not in other.exit and end not in protocol.follow_up.censor]
        if not ends or not sums:
            continue
        yield Finding(
            "totals-of-one-censored-arm", "warning",
            f"The follow-up of {arm.name} ends at '{ends[0].label}', that of {other.name} does not, and '{sums[0]}' "
            "adds up over the window.",
            f"{arm.name} is watched for fewer days, so its totals are lower for that reason alone: it looks better for "
            "a cost or a harm, worse for a good.",
            "Read the rates by observed time (per member-month, co.count, co.time_to), or keep people as assigned "
            "(later='kept', no exit=).",
        )  # fmt: skip


def _exact(protocol: Protocol) -> set[str]:
    return {slug(name) for name in protocol.adjust.exact} if protocol.adjust.method == "match" else set()
