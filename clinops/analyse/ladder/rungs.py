"""The rungs of the bias ladder: each popular design, and the guard that removes its bias, as protocols."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from clinops.define.adjustment import Adjustment, crude, match
from clinops.define.codes import codes
from clinops.define.cohorts import CohortDefinition, cohort, first_eligible
from clinops.define.events import Events, events
from clinops.define.findings import Findings
from clinops.define.measures import Measure, count
from clinops.define.protocol import Protocol, allow, follow_up, protocol
from clinops.define.steps import Step, between, has, lacks
from clinops.define.windows import days

AS_DESIGNED, BEFORE_AFTER, CHANGES = "the two arms", "before and after", "difference of changes"
BIASED, GUARDED = "biased", "guarded"
IMMORTAL = "Time that had to be survived"
CHOSEN = "Those who choose to take part"
RETURN = "Return to the mean"
REASON = "A rung of the bias ladder: the mistake is what it shows."


@dataclass(frozen=True)
class Rung:
    """A comparison of the ladder.

    Attributes
    ----------
    key, label : a slug, and what a table calls it.
    bias : the mistake, which heads the group.
    kind : "biased" or "guarded".
    how : from which numbers the estimate is made (the two arms, before and after, or the difference of changes).
    protocol : the design in our definitions, without allowances.
    remedy : what removes the bias; "" for a guard.
    """

    key: str
    label: str
    bias: str
    kind: str
    how: str
    protocol: Protocol
    remedy: str = ""

    @property
    def findings(self) -> Findings:
        """What lint says of the design."""
        return self.protocol.lint()

    @property
    def allowed(self) -> Protocol:
        """The protocol with every error of its own allowed by name, so that it runs."""
        rules = dict.fromkeys(finding.rule for finding in self.findings.errors)
        return self.protocol.with_(allow=tuple(allow(rule, REASON) for rule in rules))


@cache
def rungs() -> tuple[Rung, ...]:
    """The ladder from the most naive comparison to the lottery, each mistake followed by its guard."""
    return (*_return_to_the_mean(), *_immortal(), *_chosen())


ADMISSION = events("visit", codes("admission", 9201))
ACCIDENT = events("visit", codes("visit after an accident", 9203))
DAYS = 182


def _mark(name: str, concept: int) -> Events:
    return events("observation", codes(name, concept))


ENROLLED, LATE = _mark("enrolment", 2_000_000_011), _mark("later enrolment", 2_000_000_012)
ENGAGED, OFFERED = _mark("engagement with the programme", 2_000_000_013), _mark("offer by lot", 2_000_000_014)
REVIEW, REFERENCE = _mark("review after four weeks", 2_000_000_015), _mark("random reference day", 2_000_000_016)
WAIT = 28

IN_TIME = between("2020-01-01", "2021-05-31")
QUALIFIED: tuple[Step, ...] = (IN_TIME, has(ADMISSION, days(-DAYS, 0), at_least=2))
"""At an admission that is at least the second within half a year."""

AFTER = count(ADMISSION, days(1, DAYS), name="Admissions", role="primary", better="lower", worthwhile=0.1)
SAME_LENGTH_BEFORE = count(ADMISSION, days(1 - DAYS, 0), name="Admissions in the half year up to the index date")
BEFORE = count(ADMISSION, days(-DAYS, -1), name="Admissions in the half year before")
THEN = count(ADMISSION, days(1 - DAYS, 0), name="Admissions, then")
EARLIER = count(ADMISSION, days(1 - 2 * DAYS, -DAYS), name="Admissions in the half year before that")
ACCIDENTS = count(ACCIDENT, days(1, DAYS), name="Visits after an accident")


def _design(
    title: str, exposed: CohortDefinition, comparator: CohortDefinition, *, adjust: Adjustment | None = None,
    covariates: tuple[Measure, ...] = (BEFORE,), outcomes: tuple[Measure, ...] = (AFTER,),
    assignment: str = "observational",
) -> Protocol:  # fmt: skip
    return protocol(
        title=title, question="Does the programme change admissions within half a year?", exposed=exposed,
        comparator=comparator, follow_up=follow_up(days(1, DAYS)), covariates=covariates, outcomes=outcomes,
        negative_controls=(ACCIDENTS,), adjust=adjust or crude(), assignment=assignment,
    )  # fmt: skip


def _at(name: str, entry: Events, *steps: Step) -> CohortDefinition:
    return cohort(name, first_eligible(entry), steps)


def _taken(name: str, mark: Events) -> CohortDefinition:
    return _at(name, ADMISSION, *QUALIFIED, has(mark, days(0, 0)))


def _not_taken(name: str, mark: Events) -> CohortDefinition:
    return _at(name, ADMISSION, *QUALIFIED, lacks(mark, days(None, 0)))


def _return_to_the_mean() -> tuple[Rung, ...]:
    enrolled = _taken("Enrolled", ENROLLED)
    anybody = _at("Never enrolled, from a random day", REFERENCE, IN_TIME, lacks(ENROLLED, days(None, None)))
    remedy = "Comparators at their own qualifying admission"
    before_after = _design(
        "Before and after", enrolled, _at("The same people, before", ADMISSION, *enrolled.steps),
        covariates=(SAME_LENGTH_BEFORE,), outcomes=(AFTER, THEN),
    )  # fmt: skip
    matched = _design(
        "Matched on admissions, from a random day", enrolled, anybody, covariates=(SAME_LENGTH_BEFORE,),
        adjust=match(caliper=None, exact=(SAME_LENGTH_BEFORE.name,)),
    )  # fmt: skip
    return (
        Rung("before_after", "Enrolled, after against before", RETURN, BIASED, BEFORE_AFTER, before_after, remedy),
        Rung("random_day", "Against people who never enrolled, from a random day", RETURN, BIASED, AS_DESIGNED,
             _design("A random day", enrolled, anybody), remedy),
        Rung("matched_random_day", "Against those from a random day with as many admissions", RETURN, BIASED,
             AS_DESIGNED, matched, remedy),
        Rung("own_event", "Against others at their own qualifying admission", RETURN, GUARDED, AS_DESIGNED,
             _design("Own qualifying event", enrolled, _not_taken("Not enrolled", ENROLLED))),
    )  # fmt: skip


def _immortal() -> tuple[Rung, ...]:
    quiet = (between("2020-01-29", "2021-06-28"), lacks(ADMISSION, days(1 - WAIT, 0)))
    ever = _design(
        "Enrolled four weeks later, counted from discharge",
        _at("Enrolled within four weeks", ADMISSION, *QUALIFIED, has(LATE, days(0, WAIT))),
        _at("Never enrolled", ADMISSION, *QUALIFIED, lacks(LATE, days(None, None))),
    )
    landmark = _design(
        "Landmark at four weeks", _at("Enrolled at four weeks", REVIEW, *quiet, has(LATE, days(0, 0))),
        _at("Not enrolled at four weeks", REVIEW, *quiet, lacks(LATE, days(None, 0))),
    )  # fmt: skip
    return (
        Rung("immortal", "Enrolled after four quiet weeks, counted from discharge", IMMORTAL, BIASED, AS_DESIGNED, ever,
             "A landmark: both arms quiet at four weeks, counted from then"),
        Rung("landmark", "Both arms quiet at four weeks, counted from then", IMMORTAL, GUARDED, AS_DESIGNED, landmark),
    )  # fmt: skip


def _chosen() -> tuple[Rung, ...]:
    arms = _taken("Engaged", ENGAGED), _not_taken("Not engaged", ENGAGED)
    remedy = "The offer by lot, engaged or not"
    alike = match(caliper=None, exact=(BEFORE.name,))
    lot = _design(
        "The offer by lot", _taken("Offered", OFFERED), _not_taken("Not offered", OFFERED), assignment="random"
    )
    return (
        Rung("engaged", "Engaged against not engaged", CHOSEN, BIASED, AS_DESIGNED, _design("Engaged", *arms), remedy),
        Rung("engaged_matched", "Engaged against not engaged with as many admissions", CHOSEN, BIASED, AS_DESIGNED,
             _design("Engaged, matched", *arms, adjust=alike), remedy),
        Rung("engaged_changes", "Engaged against not engaged, difference of changes", CHOSEN, BIASED, CHANGES,
             _design("Engaged, difference of changes", *arms, covariates=(SAME_LENGTH_BEFORE, EARLIER)), remedy),
        Rung("lottery", "Offered against not offered, by lot", CHOSEN, GUARDED, AS_DESIGNED, lot),
    )  # fmt: skip
