"""Each rule of lint: a bad design that it finds, a near miss that passes; errors stop, warnings do not."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import clinops as co
from clinops.define.lint import ERRORS, WARNINGS, exposures
from clinops.define.protocol import Protocol
from clinops.errors import DefinitionError, DesignError
from tests.define.support import (
    activation,
    arms,
    both,
    celecoxib,
    cough,
    death,
    diabetes,
    diclofenac,
    emergency,
    new_users,
    not_offered,
    offer,
    offered,
    rules,
    shared,
    sound,
    surgery,
    visit,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
EHR, CLAIMS = SimpleNamespace(capture="ehr"), SimpleNamespace(capture="enrolment")
FIRST = co.first()
blood_count = co.events("measurement", co.codes("complete blood count", 3))
engaged = co.events("observation", co.codes("engaged with the app", 900003))
programme = co.programme(offer, activation=activation, engagement=engaged)


def by(events: Any, **parts: Any) -> Protocol:
    """The arms told apart by some events on day 0."""
    steps = (*shared, co.has(events, co.days(0, 0)), co.lacks(events, co.before()))
    return sound(
        exposed=co.cohort("Exposed", entry=co.first_eligible(visit), steps=steps),
        comparator=co.cohort(
            "Others", entry=co.first_eligible(visit), steps=(*shared, co.lacks(events, co.days(None, 0)))
        ),
        **parts,
    )


def single_use(**parts: Any) -> Protocol:
    """Users of two drugs at any of their uses, not the first."""
    return new_users(
        exposed=co.cohort("Celecoxib", entry=co.first_eligible(celecoxib), steps=parts.get("exposed", shared)),
        comparator=co.cohort("Diclofenac", entry=co.first_eligible(diclofenac), steps=parts.get("comparator", shared)),
    )


waiting_days = co.days(None, 0)


def waits(
    entry: Any, *, enters: Any = None, exit: Any = offer, steps: Any = shared, extra: Any = (), **parts: Any
) -> Protocol:
    """The offered, from the day of their offer, v people who wait, from a day that a rule gives them."""
    return sound(
        exposed=co.cohort("Offered", entry=enters or co.first_eligible(offer), steps=(*steps, *extra)),
        comparator=co.cohort("Waiting", entry=entry, steps=steps, exit=exit),
        **parts,
    )


by_visit = (*shared, co.has(visit, co.days(0, 0)))
on_the_day = co.match(exact=("index date",))
in_the_month = {"adjust": co.match(exact=("Index month",)), "covariates": (co.age_at_index(), co.index_period())}

DEFENCE = "Letters went out in the order of a number that the insurer drew; nobody could choose."


def by_activation(events: Any = activation, window: Any = None, **parts: Any) -> Protocol:
    """Offered people told apart by what they do in the days after the offer."""
    days = window or co.days(0, 30)
    given: dict[str, Any] = {"programme": programme}
    for name, rule in (("exposed", co.has(events, days)), ("comparator", co.lacks(events, days))):
        given[name] = co.cohort(name, entry=co.first_eligible(visit), steps=(*shared, *offered, rule))
    return sound(**given | parts)


BAD: list[tuple[str, str, Protocol, Any]] = [
    ("eligibility-after-time-zero", "must stay a year", both(co.observed(before=365, after=365)), None),
    ("eligibility-after-time-zero", "must survive", both(co.lacks(death, co.days(1, 180))), None),
    ("eligibility-after-time-zero", "window without an end", both(co.has(diabetes, co.days(-30, None))), None),
    ("eligibility-after-time-zero", "activated later", arms(
        (*shared, co.has(offer, co.days(0, 90))), (*shared, *not_offered)), None),
    ("eligibility-after-time-zero", "later users as comparators", arms(
        (*shared, *offered), (*shared, co.has(offer, co.days(30, 365)))), None),
    ("covariate-after-time-zero", "ends on day 0", sound(covariates=(co.count(visit, co.days(-365, 0)),)), None),
    ("covariate-after-time-zero", "after", sound(covariates=(co.cost("total", co.days(1, 30)),)), None),
    ("covariate-after-time-zero", "no end", sound(covariates=(co.any_of(diabetes, co.days(-365, None)),)), None),
    ("covariate-after-time-zero", "no window", sound(covariates=(co.count(visit),)), None),
    ("covariate-after-time-zero", "of a subgroup", sound(
        subgroups=(co.subgroup(co.count(visit, co.days(0, 30)), breaks=(2,)),)), None),
    ("outcome-before-follow-up", "starts on day 0", sound(outcomes=(co.count(emergency, co.days(0, 365)),)), None),
    ("outcome-before-follow-up", "no start", sound(outcomes=(co.time_to(death, co.days(None, 365)),)), None),
    ("outcome-before-follow-up", "negative control", sound(
        negative_controls=(co.time_to(cough, co.days(-30, 365)),)), None),
    ("outcome-before-follow-up", "follow-up from day 0", sound(follow_up=co.days(0, 365)), None),
    ("unequal-eligibility", "illness asked of one arm", arms(
        (*shared, *offered), (*shared[:-1], *not_offered)), None),
    ("unequal-eligibility", "other ages", arms(
        (*shared, *offered), (shared[0], co.age(18, 75), *shared[2:], *not_offered)), None),
    ("unequal-eligibility", "illness on the day beside the offer", arms(
        (*shared, co.has(emergency, co.days(-30, 0)), *offered), (*shared, *not_offered)), None),
    ("unequal-eligibility", "illness up to the day, absent in the others", arms(
        (*shared[:-1], co.has(diabetes, co.days(None, 0)), *offered),
        (*shared[:-1], co.lacks(diabetes, co.before()), *not_offered)), None),
    ("unequal-eligibility", "illness of one drug's users", new_users(
        exposed=co.cohort("Celecoxib", entry=co.first_ever(celecoxib),
                          steps=(*shared, co.has(cough, co.days(-30, 0))))), None),
    ("unequal-eligibility", "order around the first entry", new_users(
        exposed=co.cohort("Celecoxib", entry=co.every(celecoxib), steps=(FIRST, *shared)),
        comparator=co.cohort("Diclofenac", entry=co.every(diclofenac), steps=(*shared, FIRST))), None),
    ("unequal-eligibility", "exposure before the first entry in one arm, after it in the other", arms(
        (*shared, FIRST, *offered), (*shared, *not_offered, FIRST),
        exposed_entry=co.every(visit), comparator_entry=co.every(visit)), None),
    ("entry-kinds-differ", "offer v visit", sound(
        exposed=co.cohort("Offered", entry=co.first_ever(offer), steps=shared)), None),
    ("entry-kinds-differ", "first ever v first eligible", arms(
        (*shared, *offered), (*shared, *not_offered), exposed_entry=co.first_ever(visit)), None),
    ("entry-kinds-differ", "any use of two drugs", single_use(), None),
    ("entry-kinds-differ", "drug v operation", new_users(
        comparator=co.cohort("Operated", entry=co.first_ever(surgery), steps=shared)), None),
    ("entry-kinds-differ", "calendar time among the covariates does not cure it", sound(
        exposed=co.cohort("Offered", entry=co.first_ever(offer), steps=shared), covariates=(co.index_date(),)), None),
    ("comparator-never-enrols", "never", arms(
        (*shared, *offered), (*shared, co.lacks(offer, co.days(None, None)))), None),
    ("comparator-never-enrols", "within the follow-up", arms(
        (*shared, *offered), (*shared, *not_offered, co.lacks(offer, co.after(365)))), None),
    ("comparator-never-enrols", "never the other drug", new_users(
        comparator=co.cohort("Diclofenac", entry=co.first_ever(diclofenac),
                             steps=(*shared, co.lacks(celecoxib, co.days(None, None))))), None),
    ("exposure-among-measures", "covariate", sound(covariates=(co.count(offer, co.before(365)),)), None),
    ("exposure-among-measures", "outcome", sound(outcomes=(co.count(offer),)), None),
    ("exposure-among-measures", "of the comparator", new_users(outcomes=(co.count(diclofenac),)), None),
    ("exposure-among-measures", "one code of a longer list", new_users(
        outcomes=(co.count(co.events("drug", co.codes("coxibs", 1118084, 1189754))),)), None),
    ("exposure-among-measures", "a wildcard reaches it", by(
        co.events("procedure", co.codes("remote set-up", source="99453")),
        outcomes=(co.count(co.events("procedure", co.codes("remote care", source="9945*"))),)), None),
    ("exposure-among-measures", "subgroup", sound(
        subgroups=(co.subgroup(co.count(offer, co.before(30)), breaks=(1,)),)), None),
    ("undeclared-entry", "both arms", sound(
        exposed=co.cohort("Offered", entry=visit, steps=(*shared, *offered)),
        comparator=co.cohort("Not offered", entry=visit, steps=(*shared, *not_offered))), None),
    ("ehr-without-capture", "cost", sound(), EHR),
    ("ehr-without-capture", "absence of an earlier use", new_users(
        outcomes=(co.time_to(death),), negative_controls=()), EHR),
    ("ehr-without-capture", "days at home", both().with_(
        exposed=co.cohort("A", entry=co.first_eligible(visit), steps=(*shared, co.has(offer, co.days(0, 0)))),
        comparator=co.cohort("B", entry=co.first_eligible(visit), steps=shared),
        outcomes=(co.days_at_home(),), negative_controls=()), EHR),
    ("window-beyond-observation", "any within a year", sound(outcomes=(co.any_of(emergency),)), None),
    ("window-beyond-observation", "negative control", sound(negative_controls=(co.any_of(cough),)), None),
    ("window-beyond-observation", "guaranteed in one arm only", arms(
        (*shared, co.observed(0, 365), *offered), (*shared, *not_offered)).with_(
            outcomes=(co.any_of(emergency),)), None),
    ("no-negative-control", "none", sound(negative_controls=()), None),
    ("no-primary-outcome", "all secondary", sound(outcomes=(co.cost("total"),)), None),
    ("no-smallest-worthwhile-effect", "not stated", sound(outcomes=(co.cost("total", role="primary"),)), None),
    ("engagement-as-exposure", "declared activation", by(activation, programme=programme), None),
    ("engagement-as-exposure", "declared engagement", by(engaged, programme=programme), None),
    ("engagement-as-exposure", "by its name", by(co.events("observation", co.codes("Completed the course", 5))), None),
    ("engagement-as-exposure", "as the entry", sound(
        exposed=co.cohort("Adherent", entry=co.first_ever(co.events("observation", co.codes("adherence > 80 %", 6))))),
     None),
    ("entry-kinds-differ", "risk set of another exposure", waits(co.risk_set(activation)), None),
    ("entry-kinds-differ", "risk set, but the exposed enter at a visit with the offer", waits(
        co.risk_set(offer), enters=co.first_eligible(visit), extra=offered), None),
    ("entry-kinds-differ", "rolling entry of another exposure", waits(co.rolling(activation)), None),
    ("entry-kinds-differ", "enrolment times of another exposure", waits(co.enrolment_times(visit, activation)), None),
    ("entry-kinds-differ", "trials at visits, the exposed on any day", waits(
        co.sequential(offer, every=co.every(visit))), None),
    ("entry-kinds-differ", "a risk set at visits, the exposed on any day", waits(co.risk_set(offer, at=visit)), None),
    ("entry-kinds-differ", "trials in months, the exposed at a visit", waits(
        co.sequential(offer), enters=co.first_eligible(visit), extra=offered), None),
    ("entry-kinds-differ", "a random visit, and another exposure", waits(co.random_visit(visit, activation)), None),
    ("entry-kinds-differ", "the exposed enter by a risk set", waits(
        co.risk_set(offer), enters=co.risk_set(offer)), None),
    ("unequal-eligibility", "illness asked of the exposed, not of their risk set", waits(
        co.risk_set(offer), extra=(co.has(emergency, co.before(30)),)), None),
    ("comparator-never-enrols", "a risk set of people who never enrol", sound(
        exposed=co.cohort("Offered", entry=co.first_eligible(offer), steps=shared),
        comparator=co.cohort("Never", entry=co.risk_set(offer), steps=(*shared, co.lacks(offer, co.after())))), None),
    ("exposure-among-measures", "of a risk set", waits(co.risk_set(offer), outcomes=(co.count(offer),)), None),
    ("engagement-as-exposure", "a risk set of engagement", waits(
        co.risk_set(engaged), enters=co.first_eligible(engaged)), None),
    ("ehr-without-capture", "a risk set takes absence as waiting", waits(
        co.risk_set(offer), steps=(co.age(18, 80),), outcomes=(co.time_to(death),), negative_controls=()), EHR),
    ("comparator-already-exposed", "no washout at all", arms((*shared, *offered), shared), None),
    ("comparator-already-exposed", "only earlier exposure is out", arms(
        (*shared, *offered), (*shared, co.lacks(offer, co.before()))), None),
    ("comparator-already-exposed", "only exposure on the day is out", arms(
        (*shared, *offered), (*shared, co.lacks(offer, co.days(0, 0)))), None),
    ("comparator-already-exposed", "another exposure is out", arms(
        (*shared, *offered), (*shared, co.lacks(activation, waiting_days))), None),
    ("exact-day-not-shared", "first of the month", waits(co.rolling(offer), adjust=on_the_day), None),
    ("exact-day-not-shared", "trials in quarters", waits(
        co.sequential(offer, every="quarter"), adjust=on_the_day), None),
    ("exact-day-not-shared", "enrolment times", waits(co.enrolment_times(visit, offer), adjust=on_the_day), None),
    ("clusters-ignore-persons", "a risk set by sites", waits(co.risk_set(offer), cluster="care site"), None),
    ("clusters-ignore-persons", "every visit by sites", arms(
        (*shared, *offered), (*shared, *not_offered), exposed_entry=co.every(visit), comparator_entry=co.every(visit)
     ).with_(cluster="care site"), None),
    ("random-index-date", "a random visit", waits(co.random_visit(visit, offer)), None),
    ("later-enrolment-undeclared", "a risk set", waits(co.risk_set(offer), exit=()), None),
    ("later-enrolment-undeclared", "another exit", waits(co.rolling(offer), exit=(activation, "death")), None),
    ("totals-of-one-censored-arm", "the cost of those who wait", waits(co.risk_set(offer), exit=offer), None),
    ("totals-of-one-censored-arm", "days at home of the exposed", sound(
        exposed=co.cohort("Offered", entry=co.first_eligible(visit), steps=(*shared, *offered), exit=(surgery,)),
        outcomes=(co.days_at_home(),)), None),
    ("calendar-time-unadjusted", "a risk set without the day", waits(
        co.risk_set(offer), covariates=(co.age_at_index(),)), None),
    ("calendar-time-unadjusted", "exact on something else", waits(
        co.sequential(offer), covariates=(co.age_at_index(), co.sex()), adjust=co.match(exact=("Sex",))), None),
    ("immortal-time-of-activation", "activated within 30 days, from the offer", by_activation(), None),
    ("immortal-time-of-activation", "clone-censor beside arms that are not everybody", by_activation(
        uptake=co.uptake_plan("clone-censor"),
        comparator=co.cohort("Others", entry=co.first_eligible(visit), steps=(*shared, *not_offered))), None),
    ("immortal-time-of-activation", "a landmark before the last day of the rule", by_activation(
        uptake=co.uptake_plan("landmark", landmark=29)), None),
    ("immortal-time-of-activation", "engaged at any time", by_activation(engaged, co.days(0, None)), None),
    ("immortal-time-of-activation", "the plan asks for activated v not", sound(
        programme=programme, uptake=co.uptake_plan("as treated")), None),
    ("programme-dates-out-of-order", "activated before the offer", arms(
        (*shared, co.has(activation, co.before(30)), *offered), (*shared, *not_offered)).with_(
            programme=programme), None),
    ("programme-dates-out-of-order", "enters at activation, offered later", arms(
        (*shared, co.has(offer, co.days(1, 30))), (*shared, *not_offered),
        exposed_entry=co.first_ever(activation)).with_(programme=programme), None),
    ("programme-dates-out-of-order", "offer and activation are one", sound(
        programme=co.programme(offer, activation=offer)), None),
    ("complier-effect-without-random-offer", "observational", sound(
        programme=programme, uptake=co.uptake_plan(("treated", "complier"))), None),
    ("as-if-random-without-defence", "no reason", sound(assignment="as if random"), None),
    ("as-if-random-without-defence", "a word", sound(assignment="as if random", assignment_reason="lottery"), None),
    ("per-protocol-without-time-varying", "censoring weights of day 0", sound(
        programme=programme, uptake=co.uptake_plan(time_varying=())), None),
    ("per-protocol-without-time-varying", "clones too", sound(
        programme=programme, uptake=co.uptake_plan("clone-censor", time_varying=())), None),
]  # fmt: skip

PASSES: list[tuple[str, str, Protocol, Any]] = [
    ("eligibility-after-time-zero", "up to day 0", both(co.has(diabetes, co.days(-30, 0))), None),
    ("eligibility-after-time-zero", "observed on the day", both(co.observed()), None),
    ("covariate-after-time-zero", "ends on day -1", sound(covariates=(co.count(visit, co.before(365)),)), None),
    ("covariate-after-time-zero", "known from birth", sound(covariates=(co.age_at_index(), co.race())), None),
    ("outcome-before-follow-up", "starts on day 1", sound(outcomes=(co.count(emergency, co.days(1, 30)),)), None),
    ("outcome-before-follow-up", "a later start", sound(outcomes=(co.count(emergency, co.days(31, None)),)), None),
    ("unequal-eligibility", "only the exposure differs", sound(), None),
    ("unequal-eligibility", "each drug's own washout", single_use(
        exposed=(*shared, co.lacks(celecoxib, co.before(365))),
        comparator=(*shared, co.lacks(diclofenac, co.before(365)))), None),
    ("unequal-eligibility", "same rules in another order without a first entry between", arms(
        (*shared, *offered), (*shared[::-1], *not_offered)).with_(
            exposed=co.cohort("A", entry=co.every(visit), steps=(*shared, *offered)),
            comparator=co.cohort("B", entry=co.every(visit), steps=(*shared[::-1], *not_offered))), None),
    ("unequal-eligibility", "exposure before the first entry in both", arms(
        (*shared, *offered, FIRST), (*shared, *not_offered, FIRST),
        exposed_entry=co.every(visit), comparator_entry=co.every(visit)), None),
    ("entry-kinds-differ", "same events", sound(), None),
    ("entry-kinds-differ", "two new-user arms", new_users(), None),
    ("entry-kinds-differ", "first ever v washed out, both new use", new_users(
        comparator=co.cohort("Diclofenac", entry=co.first_eligible(diclofenac),
                             steps=(*shared, co.lacks(diclofenac, co.before())))), None),
    ("comparator-never-enrols", "not yet on day 0", arms((*shared, *offered), (*shared, *not_offered)), None),
    ("comparator-never-enrols", "censored at a later offer", sound(
        comparator=co.cohort("Not offered", entry=co.first_eligible(visit), steps=(*shared, *not_offered), exit=offer)),
     None),
    ("exposure-among-measures", "the code is taken out", new_users(
        outcomes=(co.count(co.events("drug", co.codes("other pain drugs", 1118084, 7, exclude=1118084))),)), None),
    ("exposure-among-measures", "same number, another domain", sound(
        outcomes=(co.count(co.events("visit", co.codes("a visit", 900001))),)), None),
    ("exposure-among-measures", "a wildcard beside it", by(
        co.events("procedure", co.codes("remote set-up", source="99453")),
        outcomes=(co.count(co.events("procedure", co.codes("visits", source="9921*"))),)), None),
    ("undeclared-entry", "first() among the steps says it", sound(
        exposed=co.cohort("Offered", entry=visit, steps=(*shared, *offered, FIRST)),
        comparator=co.cohort("Not offered", entry=visit, steps=(*shared, *not_offered, FIRST))), None),
    ("ehr-without-capture", "claims", sound(), CLAIMS),
    ("ehr-without-capture", "no source yet", sound(), None),
    ("ehr-without-capture", "a rule is stated", sound(
        follow_up=co.follow_up(co.days(1, 365), capture="two visits a year count as observed")), EHR),
    ("ehr-without-capture", "nothing absent is relied on", sound(
        exposed=co.cohort("A", entry=co.first_eligible(visit), steps=(*shared, co.has(offer, co.days(0, 0)))),
        comparator=co.cohort("B", entry=co.first_eligible(visit), steps=shared),
        outcomes=(co.time_to(death),), negative_controls=()), EHR),
    ("window-beyond-observation", "counts carry person-time", sound(outcomes=(co.count(emergency),)), None),
    ("window-beyond-observation", "days at home are days observed", sound(outcomes=(co.days_at_home(),)), None),
    ("window-beyond-observation", "guaranteed to the last day", both(co.observed(365, after=365)).with_(
        outcomes=(co.any_of(emergency),)), None),
    ("no-negative-control", "a random offer needs none", sound(negative_controls=(), assignment="random"), None),
    ("no-primary-outcome", "one primary", sound(outcomes=(co.cost("total", role="primary"),)), None),
    ("no-smallest-worthwhile-effect", "stated", sound(outcomes=(co.cost(role="primary", worthwhile=50),)), None),
    ("no-smallest-worthwhile-effect", "no primary to state it for", sound(outcomes=(co.cost("total"),)), None),
    ("engagement-as-exposure", "by the offer", by(offer, programme=programme), None),
    ("engagement-as-exposure", "a blood count is complete in both arms", arms(
        (*shared, *offered), (*shared, *not_offered),
        exposed_entry=co.first_eligible(blood_count), comparator_entry=co.first_eligible(blood_count)), None),
    ("engagement-as-exposure", "activated charcoal is a drug", new_users(
        exposed=co.cohort("Charcoal", entry=co.first_ever(co.events("drug", co.codes("activated charcoal", 1701928))),
                          steps=shared)), None),
    ("entry-kinds-differ", "a risk set of the days of offer", waits(co.risk_set(offer)), None),
    ("entry-kinds-differ", "a risk set at visits, visits with offers", waits(
        co.risk_set(offer, at=visit), enters=co.first_eligible(visit), extra=offered), None),
    ("entry-kinds-differ", "a risk set at visits, offers on visits", waits(
        co.risk_set(offer, at=visit), steps=by_visit), None),
    ("entry-kinds-differ", "first ever", waits(co.risk_set(offer), enters=co.first_ever(offer)), None),
    ("entry-kinds-differ", "rolling entry", waits(co.rolling(offer), **in_the_month), None),
    ("entry-kinds-differ", "enrolment times", waits(co.enrolment_times(visit, offer)), None),
    ("entry-kinds-differ", "a random visit only warns", waits(co.random_visit(visit, offer)), None),
    ("entry-kinds-differ", "trials at visits, offers on visits", waits(
        co.sequential(offer, every=co.every(visit)), steps=by_visit), None),
    ("entry-kinds-differ", "trials at visits, visits with offers", waits(
        co.sequential(offer, every=co.every(visit)), enters=co.first_eligible(visit), extra=offered), None),
    ("unequal-eligibility", "the washout of the exposed says what the rule says of the others", waits(
        co.risk_set(offer), extra=(co.lacks(offer, co.before()),)), None),
    ("comparator-already-exposed", "up to day 0", sound(), None),
    ("comparator-already-exposed", "a washout of a year, in two rules", arms(
        (*shared, *offered), (*shared, co.lacks(offer, co.before(365)), co.lacks(offer, co.days(0, 0)))), None),
    ("comparator-already-exposed", "a risk set is of those not yet exposed", waits(co.risk_set(offer)), None),
    ("comparator-already-exposed", "two new-user arms", new_users(), None),
    ("exact-day-not-shared", "a risk set shares the day", waits(co.risk_set(offer), adjust=on_the_day), None),
    ("exact-day-not-shared", "exact within the month", waits(co.rolling(offer), **in_the_month), None),
    ("exact-day-not-shared", "trials at visits share it", waits(
        co.sequential(offer, every=co.every(visit)), steps=by_visit, adjust=on_the_day), None),
    ("clusters-ignore-persons", "by persons", waits(co.risk_set(offer)), None),
    ("clusters-ignore-persons", "each person once, by sites", waits(
        co.enrolment_times(visit, offer), cluster="care site"), None),
    ("clusters-ignore-persons", "first() among the steps", sound(
        exposed=co.cohort("Offered", entry=co.every(visit), steps=(*shared, *offered, FIRST)),
        comparator=co.cohort("Not offered", entry=co.every(visit), steps=(*shared, *not_offered, FIRST)),
        cluster="care site"), None),
    ("random-index-date", "a trial at every visit", waits(
        co.sequential(offer, every=co.every(visit)), steps=by_visit), None),
    ("later-enrolment-undeclared", "censored at it", waits(co.risk_set(offer), exit=offer), None),
    ("later-enrolment-undeclared", "censored in both arms", waits(
        co.risk_set(offer), exit=(), follow_up=co.follow_up(co.days(1, 365), censor=("end of observation", offer))),
     None),
    ("later-enrolment-undeclared", "kept as assigned", waits(co.risk_set(offer, later="kept"), exit=()), None),
    ("later-enrolment-undeclared", "other designs keep people as assigned", sound(), None),
    ("totals-of-one-censored-arm", "kept as assigned", waits(co.risk_set(offer, later="kept"), exit=()), None),
    ("totals-of-one-censored-arm", "rates only", waits(
        co.risk_set(offer), outcomes=(co.count(emergency, role="primary", worthwhile=1), co.time_to(death))), None),
    ("totals-of-one-censored-arm", "both arms end at it", sound(
        exposed=co.cohort("Offered", entry=co.first_eligible(visit), steps=(*shared, *offered), exit=(surgery,)),
        comparator=co.cohort("Not", entry=co.first_eligible(visit), steps=(*shared, *not_offered), exit=(surgery,))),
     None),
    ("totals-of-one-censored-arm", "death ends everybody's", sound(
        comparator=co.cohort("Not", entry=co.first_eligible(visit), steps=(*shared, *not_offered), exit="death")),
     None),
    ("calendar-time-unadjusted", "exact on the day", waits(
        co.risk_set(offer), covariates=(co.age_at_index(),), adjust=on_the_day), None),
    ("calendar-time-unadjusted", "the period is a covariate", waits(
        co.sequential(offer), covariates=(co.index_period("quarter"),)), None),
    ("calendar-time-unadjusted", "times counted from each person's own day", waits(
        co.enrolment_times(visit, offer), covariates=(co.age_at_index(),)), None),
    ("immortal-time-of-activation", "by the offer", sound(programme=programme), None),
    ("immortal-time-of-activation", "follow-up starts after the rule", by_activation(
        follow_up=co.days(31, 365)), None),
    ("immortal-time-of-activation", "both halves, cloned", by_activation(uptake=co.uptake_plan("clone-censor")), None),
    ("immortal-time-of-activation", "both halves, landmark on the last day", by_activation(
        uptake=co.uptake_plan("landmark", landmark=30)), None),
    ("immortal-time-of-activation", "activated v not, clones beside it", sound(
        programme=programme, uptake=co.uptake_plan(("as treated", "clone-censor"))), None),
    ("immortal-time-of-activation", "activated on the day itself", by(activation, programme=programme), None),
    ("programme-dates-out-of-order", "three dates in order", sound(programme=programme), None),
    ("programme-dates-out-of-order", "activated on the day of the offer", arms(
        (*shared, co.has(activation, co.days(0, 0)), *offered), (*shared, *not_offered)).with_(
            programme=programme), None),
    ("complier-effect-without-random-offer", "random", sound(
        programme=programme, assignment="random", uptake=co.uptake_plan()), None),
    ("complier-effect-without-random-offer", "defended", sound(
        programme=programme, assignment="as if random", assignment_reason=DEFENCE, uptake=co.uptake_plan("complier")),
     None),
    ("complier-effect-without-random-offer", "observational, not asked for", sound(
        programme=programme, uptake=co.uptake_plan()), None),
    ("as-if-random-without-defence", "defended", sound(assignment="as if random", assignment_reason=DEFENCE), None),
    ("as-if-random-without-defence", "random needs none", sound(assignment="random"), None),
    ("per-protocol-without-time-varying", "recent visits", sound(
        programme=programme, uptake=co.uptake_plan(time_varying="visits")), None),
    ("per-protocol-without-time-varying", "no censoring weights", sound(
        programme=programme, uptake=co.uptake_plan("treated", time_varying=())), None),
]  # fmt: skip


def named(cases: list[tuple[str, str, Protocol, Any]]) -> list[str]:
    return [f"{rule}: {what}" for rule, what, _, _ in cases]


@pytest.mark.parametrize(("rule", "what", "protocol", "source"), BAD, ids=named(BAD))
def test_a_bad_design_is_found(rule: str, what: str, protocol: Protocol, source: Any) -> None:
    assert rule in rules(protocol, source)


@pytest.mark.parametrize(("rule", "what", "protocol", "source"), PASSES, ids=named(PASSES))
def test_a_near_miss_passes(rule: str, what: str, protocol: Protocol, source: Any) -> None:
    assert rule not in rules(protocol, source)


def test_every_rule_has_both_cases() -> None:
    every = {*ERRORS, *WARNINGS}
    assert {rule for rule, *_ in BAD} == every == {rule for rule, *_ in PASSES}
    assert (len(ERRORS), len(WARNINGS)) == (16, 10)


@pytest.mark.parametrize(
    "protocol",
    [
        sound(), new_users(), sound(programme=programme), sound(programme=programme, uptake=co.uptake_plan()),
        sound(programme=programme, uptake=co.uptake_plan(), assignment="as if random", assignment_reason=DEFENCE),
        waits(co.risk_set(offer, per_case=4, later="kept"), exit=(), adjust=on_the_day),
        waits(co.rolling(offer, at=visit, later="kept"), exit=(), **in_the_month),
        waits(co.enrolment_times(visit, offer), outcomes=(co.time_to(death, role="primary", worthwhile=0.01),)),
        waits(co.sequential(offer, later="kept"), exit=(), **in_the_month),
        waits(co.sequential(offer, every=co.every(visit), later="kept"), exit=(), steps=by_visit, adjust=on_the_day),
    ],
    ids=["offer", "drugs", "dates", "uptake", "as if random", "risk set",
         "rolling", "times", "trials", "trials at visits"],
)  # fmt: skip
def test_a_sound_design_is_silent(protocol: Protocol) -> None:
    found = protocol.lint(CLAIMS)
    assert list(found) == [] and str(found) == "The design passes every rule."
    found.raise_if_stopped()


DIRECTION = re.compile(
    r"healthier and cheaper|(towards|away from) no effect|looks? (sicker|better|worse|too healthy)"
    r"|an effect is found where there is none|direction (of the bias )?(is|depends)|in the direction of|is read as"
)


@pytest.mark.parametrize(("rule", "what", "protocol", "source"), BAD, ids=named(BAD))
def test_a_finding_says_what_why_with_a_direction_and_the_remedy(
    rule: str, what: str, protocol: Protocol, source: Any
) -> None:
    for finding in protocol.lint(source).named(rule):
        assert finding.severity == ("error" if rule in ERRORS else "warning")
        assert DIRECTION.search(finding.why.lower()), finding.why
        for text in (finding.what, finding.why, finding.remedy):
            assert text.endswith(".") and len(text) > 20 and text in str(finding)
        assert not re.search(r"None|Events\(|Window\(|Codes\(", finding.what), "names, not representations"
        assert rule in str(finding)


def test_a_finding_names_what_it_is_about() -> None:
    (found,) = both(co.lacks(death, co.days(1, 180))).lint().named("eligibility-after-time-zero")[:1]
    assert found.what == "Offered: the rule 'No death, days 1 to 180' looks past the index date."
    (found,) = sound(covariates=(co.count(visit),)).lint().named("covariate-after-time-zero")
    assert found.what == "The covariate 'Number of primary care visit' has no window."
    (found,) = sound(outcomes=(co.count(offer),)).lint().named("exposure-among-measures")
    assert found.what == "The outcome 'Number of programme offer' counts 'programme offer', which is the exposure."
    (found,) = sound(covariates=(co.count(offer, co.before(9)),)).lint().named("exposure-among-measures")
    assert found.what.startswith("The covariate ")


def test_a_flaw_of_a_subgroup_that_is_a_covariate_too_is_told_once() -> None:
    late = co.count(visit, co.days(0, 30))
    found = sound(covariates=(late,), subgroups=(co.subgroup(late, breaks=(2,)),)).lint()
    assert len(found.named("covariate-after-time-zero")) == 1


# --- what the exposure is -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (sound(), (offer,)),
        (new_users(), (celecoxib, diclofenac)),
        (sound(programme=programme), (offer,)),
        (by(activation, programme=programme), (offer, activation)),
        (sound(exposed=co.cohort("Offered", entry=co.first_ever(offer), steps=shared)), (offer,)),
        (arms((*shared, co.has(offer, co.before())), shared), (offer,)),
        (arms(shared, (*shared, co.lacks(offer, co.before()))), (offer,)),
        (arms((*shared, co.has(cough, co.days(-30, 0)), *offered), (*shared, *not_offered)), (offer,)),
        (arms(shared, shared), ()),
        (waits(co.risk_set(offer)), (offer,)),
        (waits(co.random_visit(visit, offer)), (offer,)),
    ],
)
def test_the_exposure_is_what_tells_the_arms_apart(protocol: Protocol, expected: tuple[Any, ...]) -> None:
    assert exposures(protocol) == expected


# --- errors stop --------------------------------------------------------------------------------

LATE = sound(covariates=(co.count(visit, co.days(-30, 30)),))
TWICE = LATE.with_(outcomes=(co.count(emergency, co.days(0, 30)),))
REASON = "Shown to students as an example of what not to do."


def test_an_error_stops_before_the_source_is_touched() -> None:
    with pytest.raises(DesignError, match=r"1 error.*nothing was run") as stopped:
        LATE.on(object())
    said = str(stopped.value)
    assert "covariate-after-time-zero" in said and "Why: " in said and "Instead: " in said
    assert "co.allow('rule', 'the reason')" in said


def test_every_error_is_told_at_once() -> None:
    with pytest.raises(DesignError, match="2 error") as stopped:
        TWICE.lint().raise_if_stopped()
    assert "covariate-after-time-zero" in str(stopped.value) and "outcome-before-follow-up" in str(stopped.value)


def test_what_only_the_source_can_tell_stops_too() -> None:
    sound().lint().raise_if_stopped()
    with pytest.raises(DesignError, match="ehr-without-capture"):
        sound().on(EHR)


def test_a_warning_does_not_stop() -> None:
    found = sound(outcomes=(co.cost("total"),)).lint()
    assert found.warnings and not found.errors
    found.raise_if_stopped()


def test_an_allowed_error_does_not_stop_and_keeps_its_reason() -> None:
    found = LATE.with_(allow=(co.allow("covariate-after-time-zero", REASON),)).lint()
    found.raise_if_stopped()
    (allowed,) = found.allowed
    assert allowed.allowed == REASON and REASON in str(allowed) and REASON in found._repr_html_()
    assert found.errors == ()


def test_an_allowance_covers_its_own_rule_only() -> None:
    with pytest.raises(DesignError, match="1 error") as stopped:
        TWICE.with_(allow=(co.allow("covariate-after-time-zero", REASON),)).lint().raise_if_stopped()
    assert "outcome-before-follow-up" in str(stopped.value)
    assert "covariate-after-time-zero" not in str(stopped.value)


def test_an_allowance_of_no_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'covariate-after-time-zero'"):
        LATE.with_(allow=(co.allow("covariates-after-time-zero", REASON),)).lint()
    with pytest.raises(DefinitionError, match="'no-primary-outcome' is a warning"):
        LATE.with_(allow=(co.allow("no-primary-outcome", REASON),)).lint()


@pytest.mark.parametrize("reason", ["", "   ", "because", "         x"])
def test_an_allowance_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(DefinitionError, match="needs a written reason"):
        co.allow("covariate-after-time-zero", reason)


def test_one_rule_is_allowed_once() -> None:
    one = co.allow("covariate-after-time-zero", REASON)
    with pytest.raises(DefinitionError, match="allowed twice"):
        LATE.with_(allow=(one, co.allow(one.rule, "Another reason, and which one counts?")))


def test_findings_as_a_frame_and_as_html() -> None:
    found = sound(covariates=(co.count(visit, co.days(0, 1), name="<b>&"),)).lint()
    assert list(found.frame["rule"]) == ["covariate-after-time-zero"]
    assert "&lt;b&gt;&amp;" in found._repr_html_() and "<b>&" not in found._repr_html_()
    assert len(sound().lint().frame) == 0 and "passes every rule" in sound().lint()._repr_html_()


# --- what is shipped ----------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((ROOT / "data" / "protocols").glob("*.json")), ids=lambda file: file.stem)
def test_the_shipped_protocols_are_silent(file: Path) -> None:
    assert str(co.protocol.read(file).lint(CLAIMS)) == "The design passes every rule."


def test_the_page_names_every_rule_and_no_other() -> None:
    page = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    listed = [name for name, *_ in rows]
    assert listed == [*ERRORS, *WARNINGS]
    quoted = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", page))
    assert quoted == {*ERRORS, *WARNINGS}
