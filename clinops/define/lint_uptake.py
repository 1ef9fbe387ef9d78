"""The rules about programmes that people take up: offer, activation and engagement are three dates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from clinops.define.cohorts import CohortDefinition
from clinops.define.events import Events
from clinops.define.findings import Finding
from clinops.define.protocol import Protocol
from clinops.define.steps import Has, Lacks
from clinops.define.uptake import AS_RANDOM

Found = Iterator[Finding]
LEAST_DEFENCE = 20
"""Characters of a defence: a sentence, not a word."""


def immortal_time_of_activation(protocol: Protocol, source: Any) -> Found:
    """Activation as the exposure, with follow-up from before it."""
    late = _late(protocol)
    last = max((math.inf if step.reaches is None else step.reaches for _, step in late), default=0)
    first = protocol.follow_up.window.start
    plan = protocol.uptake
    asked = () if plan is None else plan.asked(protocol.assignment)
    handled = "clone-censor" in asked or ("landmark" in asked and plan is not None and plan.landmark >= last)
    if late and not (first is not None and first > last) and not (handled and _complementary(late)):
        arm, step = late[0]
        what = f"{arm.name}: '{step.label}' classifies people by what they do later, and their follow-up starts first."
    elif not late and "as treated" in asked and not handled:
        what = "The plan asks for activated against not activated, followed from the offer, and for nothing beside it."
    else:
        return
    yield Finding(
        "immortal-time-of-activation", "error", what,
        "Whoever activates on day 20 was sure to be there until day 20; days that nobody can die or leave in are given "
        "to the activated (immortal time), so the programme looks better than it is.",
        "Define the arms by the offer and ask co.uptake for clone-censor or landmark: "
        "uptake=co.uptake_plan(('clone-censor', 'landmark')).",
    )  # fmt: skip


def programme_dates_out_of_order(protocol: Protocol, source: Any) -> Found:
    """A definition in which activation comes before the offer, or in which two of the dates are one."""
    programme = protocol.programme
    if programme is None:
        return
    stages = [("offer", programme.offer), ("activation", programme.activation), ("engagement", programme.engagement)]
    named = [(name, events) for name, events in stages if events is not None]
    found = [
        f"The programme names '{one[1].label}' both as {one[0]} and as {two[0]}"
        for i, one in enumerate(named) for two in named[i + 1 :] if one[1] == two[1]
    ]  # fmt: skip
    for arm in (protocol.exposed, protocol.comparator):
        days = [(name, *_days(arm, events)) for name, events in named]
        found += [
            f"{arm.name} asks for the {later} before the {earlier}"
            for i, (earlier, first, _) in enumerate(days) for later, _, last in days[i + 1 :] if last < first
        ]  # fmt: skip
    for what in found:
        yield Finding(
            "programme-dates-out-of-order", "error", f"{what}.",
            "Who took the programme up before it was offered was not waiting for the offer: its effect is then partly "
            "in the baseline, and the offer looks as if it did little (towards no effect).",
            "Give each stage its own events, and let activation come on the day of the offer or later.",
        )  # fmt: skip


def complier_effect_without_random_offer(protocol: Protocol, source: Any) -> Found:
    """A complier effect where the offer is no instrument."""
    plan = protocol.uptake
    if plan is None or "complier" not in plan.asked(protocol.assignment) or protocol.assignment in AS_RANDOM:
        return
    yield Finding(
        "complier-effect-without-random-offer", "error",
        "The plan asks for the effect in compliers, and the offer was neither random nor defended as if random.",
        "The offer is then no instrument: whatever else the offered differ in is divided by the share of compliers "
        "and grows with it; the direction depends on who is offered (where the sick are, it looks worse).",
        "Ask for 'treated' instead; or say that the offer was random, or defend it: assignment='as if random', "
        "assignment_reason='...'.",
    )  # fmt: skip


def as_if_random_without_defence(protocol: Protocol, source: Any) -> Found:
    """An offer taken as if random without a reason."""
    reason = (protocol.assignment_reason or "").strip()
    if protocol.assignment != "as if random" or len(reason) >= LEAST_DEFENCE:
        return
    yield Finding(
        "as-if-random-without-defence", "error",
        "The offer is taken as if random, and the protocol does not say why a reader should believe it.",
        "An offer that people or clinics chose is not random; comparing by it as it is mixes the effect with whatever "
        "led to the offer, and the direction of the bias is unknown.",
        "Write who decided on the offer and why that has nothing to do with the outcome: assignment_reason='...'; the "
        "report prints it.",
    )  # fmt: skip


def per_protocol_without_time_varying(protocol: Protocol, source: Any) -> Found:
    """Censoring weights that see nothing after day 0."""
    plan = protocol.uptake
    asked = () if plan is None else plan.asked(protocol.assignment)
    if plan is None or plan.time_varying or not {"per-protocol", "clone-censor"} & set(asked):
        return
    yield Finding(
        "per-protocol-without-time-varying", "warning",
        "The censoring weights of the plan see covariates of day 0 only.",
        "Who falls ill after the offer may activate for that reason, or no longer be able to. Weights that do not see "
        "it leave this confounding in; the direction depends on whether the sick take it up.",
        "Let the models see recent care: time_varying=('visits', 'costs').",
    )  # fmt: skip


def _late(protocol: Protocol) -> list[tuple[CohortDefinition, Has | Lacks]]:
    """Rules of an arm about activation or engagement that look past day 0."""
    programme = protocol.programme
    chosen = {programme.activation, programme.engagement} - {None} if programme else set()
    return [
        (arm, step)
        for arm in (protocol.exposed, protocol.comparator)
        for step in arm.steps
        if isinstance(step, Has | Lacks) and step.events in chosen and (step.reaches is None or step.reaches > 0)
    ]


def _complementary(late: list[tuple[CohortDefinition, Has | Lacks]]) -> bool:
    """Whether the arms together are everybody: one has what the other lacks, in the same days."""
    has = {(step.events, step.window) for _, step in late if isinstance(step, Has)}
    return bool(has) and has == {(step.events, step.window) for _, step in late if isinstance(step, Lacks)}


def _days(arm: CohortDefinition, events: Events) -> tuple[float, float]:
    """First and last day on which an arm may have the events; anything where it does not ask for them."""
    if arm.entry.events == events:
        return 0.0, 0.0
    windows = [step.window for step in arm.steps if isinstance(step, Has) and step.events == events]
    first = max((-math.inf if w.start is None else float(w.start) for w in windows), default=-math.inf)
    last = min((math.inf if w.end is None else float(w.end) for w in windows), default=math.inf)
    return first, last
