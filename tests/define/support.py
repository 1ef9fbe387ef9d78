"""A sound design in few words, and ways to spoil it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import clinops as co
from clinops.define.protocol import Protocol

visit = co.events("visit", co.codes("primary care visit", 9202))
emergency = co.events("visit", co.codes("emergency visit", 9203))
offer = co.events("observation", co.codes("programme offer", 900001))
activation = co.events("observation", co.codes("programme activation", 900002))
diabetes = co.events("condition", co.codes("type 2 diabetes", 201826))
cough = co.events("condition", co.codes("cough", 254761))
celecoxib = co.events("drug", co.codes("celecoxib", 1118084))
diclofenac = co.events("drug", co.codes("diclofenac", 1124300))
surgery = co.events("procedure", co.codes("knee replacement", 4203771))
death = co.events("death")

shared = (co.between("2020-01-01", "2022-12-31"), co.age(18, 85), co.observed(before=365),
          co.has(diabetes, co.days(-1095, -1)))  # fmt: skip
offered = (co.has(offer, co.days(0, 0)), co.lacks(offer, co.before()))
not_offered = (co.lacks(offer, co.days(None, 0)),)


def sound(**parts: Any) -> Protocol:
    """A programme compared by its offer, without a finding of any kind; `parts` replace its own."""
    given: dict[str, Any] = {
        "title": "Diabetes programme",
        "question": "Does the offer change the cost of care within a year?",
        "exposed": co.cohort("Offered", entry=co.first_eligible(visit), steps=(*shared, *offered)),
        "comparator": co.cohort("Not offered", entry=co.first_eligible(visit), steps=(*shared, *not_offered)),
        "follow_up": co.follow_up(co.days(1, 365)),
        "covariates": (co.age_at_index(), co.sex(), co.index_date(), co.count(visit, co.before(365))),
        "outcomes": (co.cost("total", role="primary", worthwhile=300), co.count(emergency), co.time_to(death)),
        "negative_controls": (co.time_to(cough),),
    }
    return co.protocol(**given | parts)


def new_users(**parts: Any) -> Protocol:
    """Two drugs compared among their new users, without a finding."""
    given: dict[str, Any] = {
        "exposed": co.cohort("Celecoxib", entry=co.first_ever(celecoxib), steps=shared),
        "comparator": co.cohort("Diclofenac", entry=co.first_ever(diclofenac), steps=shared),
    }
    return sound(**given | parts)


def arms(exposed: tuple[Any, ...], comparator: tuple[Any, ...], **entries: Any) -> Protocol:
    """The sound design with other steps (and entries) in its arms."""
    one, two = sound().exposed, sound().comparator
    return sound(
        exposed=replace(one, steps=exposed, entry=entries.get("exposed_entry", one.entry)),
        comparator=replace(two, steps=comparator, entry=entries.get("comparator_entry", two.entry)),
    )


def both(*steps: Any) -> Protocol:
    """The sound design with rules added to both arms."""
    return arms((*shared, *steps, *offered), (*shared, *steps, *not_offered))


def rules(protocol: Protocol, source: Any = None) -> set[str]:
    """Names of the rules that fire."""
    return {finding.rule for finding in protocol.lint(source)}
