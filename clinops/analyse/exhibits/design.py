"""Exhibits of the design: who entered, the target trial beside its emulation, the windows, the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.analyse.adjust import ESTIMANDS
from clinops.analyse.capture import capture_of
from clinops.define.cohorts import CohortDefinition
from clinops.define.events import Events
from clinops.define.lint import exposures
from clinops.define.protocol import Protocol
from clinops.define.steps import Has, Lacks, Observed
from clinops.results.result import Column, Figure, Result, absent

if TYPE_CHECKING:
    import pandas as pd

    from clinops.build.cohorts import Cohort
    from clinops.build.rows import Baseline


def attrition(*cohorts: Cohort) -> Result:
    """Who was left after each rule, by arm (table 1 of a report)."""
    frame = _stacked(cohorts)
    columns = (
        Column("rule", "Rule"),
        Column("entries", "Entries", "count", "n"),
        Column("persons", "Persons", "count", "n"),
        Column("excluded_persons", "Persons excluded", "count", "n"),
    )
    parts = [
        f"{int(c.attrition['persons'].iloc[-1]):,} of {int(c.attrition['persons'].iloc[0]):,} ({c.definition.name})"
        for c in cohorts
    ]
    return Result(
        "attrition", "Attrition: who remains after each rule", frame, columns,
        notes=("An entry is one candidate index date; a person may have several until a rule keeps the first.",),
        sentence=f"Of the persons with an entry event, {' and '.join(parts)} remain.", group_by="arm",
    )  # fmt: skip


def flow(*cohorts: Cohort) -> Result:
    """The same counts as a flow diagram."""
    table = attrition(*cohorts)
    figure = Figure("flow", table.frame, counts=("entries", "persons", "excluded_entries", "excluded_persons"))
    return table.with_(name="flow", title="Flow of persons into the cohort", figure=figure, alt=table.sentence)


def _stacked(cohorts: tuple[Cohort, ...]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.concat([c.attrition.assign(arm=c.definition.name) for c in cohorts], ignore_index=True)
    return frame[["arm", *[c for c in frame.columns if c != "arm"]]]


def code_lists(protocol: Protocol, source: Any) -> Result:
    """Each code list of the protocol with how many records and persons it matched."""
    from clinops.build.codes import matches

    frame = matches(events_of(protocol), source)
    whole = frame["concept_id"].isna() & frame["source_code"].isna()
    frame = frame.assign(code=frame["source_code"].fillna(frame["concept_id"].astype("string")).fillna("all codes"))
    # Under a list with one code the line of the whole list would say the same again.
    lines = frame.groupby("list")["code"].transform("size")
    frame = frame[~(whole & (lines == 2))].reset_index(drop=True)
    columns = (
        Column("code", "Code"),
        Column("description", "Description"),
        Column("vocabulary", "Vocabulary"),
        Column("records", "Records", "count", "n"),
        Column("persons", "Persons", "count", "n"),
    )
    said = tuple(dict.fromkeys(note for note in frame["note"] if note))
    return Result(
        "code_lists", "Code lists and what they matched in these records", frame, columns,
        notes=("Counts are over the whole source, before any rule of eligibility.", *said),
        sentence=f"{int(whole.sum())} code lists define the arms, covariates and outcomes.", group_by="list",
    )  # fmt: skip


def events_of(protocol: Protocol) -> list[Events]:
    """Every set of coded events that the protocol names, once each, in the order of reading."""
    found: list[Events | None] = []
    for arm in (protocol.exposed, protocol.comparator):
        found += arm.entry.named
        found += [s.events for s in arm.steps if isinstance(s, Has | Lacks)]
        found += [e for e in arm.exit if isinstance(e, Events)]
    if protocol.programme is not None:
        found += [protocol.programme.offer, protocol.programme.activation, protocol.programme.engagement]
    found += [e for e in protocol.follow_up.censor if isinstance(e, Events)]
    found += [m.events for m in protocol.measures]
    return [e for e in dict.fromkeys(found) if e is not None and e.codes is not None]


def target_trial(protocol: Protocol, source: Any) -> Result:
    """The randomised trial one would have liked to run, beside how these records stand in for it."""
    import pandas as pd

    rows = [(element, trial, here) for element, trial, here in _elements(protocol, source)]
    frame = pd.DataFrame(rows, columns=["element", "trial", "emulation"])
    columns = (
        Column("element", "Element"),
        Column("trial", "Target trial"),
        Column("emulation", "Here, from the records"),
    )
    return Result(
        "target_trial", "The target trial and its emulation", frame, columns,
        sentence="Each element of the trial that this analysis stands in for, and what the records allow.",
    )  # fmt: skip


def _elements(protocol: Protocol, source: Any) -> list[tuple[str, str, str]]:
    exposed, comparator = protocol.exposed, protocol.comparator
    shared = [s.label for s in exposed.steps if s in comparator.steps]
    by_covariates = f"{len(protocol.covariates)} covariates by {protocol.adjust.label}"
    drawn = {
        "random": "At random",
        "as if random": f"As if at random: {(protocol.assignment_reason or 'no reason is given').rstrip('.')}",
    }.get(protocol.assignment, f"Not at random: made comparable on {by_covariates}")
    ends = ", ".join(e if isinstance(e, str) else e.label for e in protocol.follow_up.censor)
    start = f"{protocol.follow_up.window}, until {ends}"
    outcome = protocol.primary.name if protocol.primary else "none named primary"
    return [
        ("Eligibility", "; ".join(shared) or "Everybody", "The same rules read from the records of both arms"),
        (
            "Treatment strategies",
            f"{exposed.name} or {comparator.name}",
            f"{_defined_by(exposed, comparator)}; {_defined_by(comparator, exposed)}",
        ),
        (
            "Assignment",
            "At random on the index date",
            drawn,
        ),
        ("Time zero", "Assignment", f"{exposed.entry.label}; {comparator.entry.label.lower()} in the comparator"),
        ("Follow-up", str(protocol.follow_up.window), start),
        ("Primary outcome", outcome, _capture(protocol, source)),
        ("Causal contrast", "As assigned (intention to treat)", ESTIMANDS[protocol.estimand].capitalize()),
        ("Analysis", "Difference between arms", f"{protocol.adjust.label}; variance clustered by {protocol.cluster}"),
    ]  # fmt: skip


def _defined_by(arm: CohortDefinition, other: CohortDefinition) -> str:
    own = [s.label[0].lower() + s.label[1:] for s in arm.steps if s not in other.steps]
    return f"{arm.name}: " + (", ".join(own) or arm.entry.label.lower())


def _capture(protocol: Protocol, source: Any) -> str:
    rule = protocol.follow_up.capture
    return f"As recorded; the source captures {capture_of(source)}" + (f" ({rule})" if rule else "")


def study_diagram(protocol: Protocol) -> Result:
    """Time zero, eligibility, covariate and outcome windows on one axis of days."""
    import pandas as pd

    rows = [*_eligibility_bars(protocol), *_covariate_bars(protocol), *_follow_up_bars(protocol)]
    frame = pd.DataFrame(rows, columns=["label", "start", "end", "role"]).astype({"start": float, "end": float})
    columns = (
        Column("role", "Part"), Column("label", "What"),
        Column("start", "From day", "number0"), Column("end", "To day", "number0"),
    )  # fmt: skip
    window = protocol.follow_up.window
    sentence = (
        f"Covariates end on day -1, day 0 is the index date and outcomes count over {window}: "
        "nothing that happens later decides who is in an arm."
    )
    figure = Figure("design_diagram", frame, {"index_label": f"Day 0: {protocol.exposed.entry.label.lower()}"})
    return Result("study_diagram", "Study design: what is read when", frame, columns, sentence=sentence,
                  figure=figure, alt=sentence, notes=("An empty day is unbounded.",))  # fmt: skip


def _eligibility_bars(protocol: Protocol) -> list[tuple[str, float | None, float | None, str]]:
    exposure = exposures(protocol)
    bars: list[tuple[str, float | None, float | None, str]] = []
    for step in dict.fromkeys((*protocol.exposed.steps, *protocol.comparator.steps)):
        if isinstance(step, Observed):
            bars.append((step.label, -step.before, step.after, "eligibility"))
        elif isinstance(step, Has | Lacks):
            role = "exposure" if step.events in exposure else "eligibility"
            bars.append((step.label, step.window.start, step.window.end, role))
    return bars


def _covariate_bars(protocol: Protocol) -> list[tuple[str, float | None, float | None, str]]:
    windows: dict[Any, int] = {}
    for measure in protocol.covariates:
        if measure.window is not None:
            windows[measure.window] = windows.get(measure.window, 0) + 1
    return [(f"Covariates ({n})", w.start, w.end, "covariates") for w, n in windows.items()]


def _follow_up_bars(protocol: Protocol) -> list[tuple[str, float | None, float | None, str]]:
    window = protocol.follow_up.window
    bars: list[tuple[str, float | None, float | None, str]] = [("Follow-up", window.start, window.end, "follow-up")]
    other = {m.window for m in protocol.outcomes if m.window and m.window != window}
    bars += [(f"Outcomes over {w}", w.start, w.end, "follow-up") for w in sorted(other, key=str)]
    return bars


def funnel(protocol: Protocol, baseline: Baseline) -> Result:
    """How far each arm went, from eligible to engaged, each step with its denominator."""

    title = "Reach: from eligible to engaged"
    if protocol.programme is None:
        return absent("funnel", title, "the protocol describes no programme.")
    from clinops.build.rows import funnel as counted

    frame = counted(protocol, baseline)
    names = {1: protocol.exposed.name, 0: protocol.comparator.name}
    first = frame.groupby("arm")["n"].transform("first")
    frame = frame.assign(arm=frame["arm"].map(names), eligible=first, stage=frame["stage"].str.capitalize())
    columns = (
        Column("stage", "Stage"),
        Column("n", "Persons", "percent", "n/eligible (%)", denominator="eligible"),
    )
    drawn = frame.rename(columns={"stage": "step", "n": "persons"})[["arm", "step", "persons"]]
    exposed = frame[frame["arm"] == protocol.exposed.name]
    parts = [f"{row['stage'].lower()} {row['n']:,}" for _, row in exposed.iterrows()]
    return Result(
        "funnel", title, frame, columns, ("People choose to activate and to engage: those who do differ from those who "
        "do not, so this is a description and not an effect.",),
        f"Of {protocol.exposed.name}: {', '.join(parts)}.", group_by="arm",
        figure=Figure("funnel_steps", drawn, counts=("persons",)),
    )  # fmt: skip


def set_aside_table(set_aside: tuple[tuple[str, int, str], ...]) -> Result:
    """What of the records is not used, with its count and its reason."""
    import pandas as pd

    rows = [{"what": w, "count": n, "why": why} for w, n, why in set_aside]
    frame = pd.DataFrame(rows, columns=["what", "count", "why"]).astype({"count": "int64"})
    columns = (Column("what", "What"), Column("count", "Rows", "count", "n"), Column("why", "Why"))
    said = f"{len(frame)} notes say what was set aside." if len(frame) else "Nothing was set aside."
    return Result("set_aside", "What was set aside", frame, columns, sentence=said)


def limits(not_possible: tuple[tuple[str, str], ...], set_aside: tuple[tuple[str, int, str], ...]) -> Result:
    """What could not be shown, and what of the records was set aside, with counts and reasons."""
    import pandas as pd

    lost = [{"kind": "Not possible", "what": what, "count": None, "why": why} for what, why in not_possible]
    aside = [{"kind": "Set aside or noted", "what": w, "count": n, "why": why} for w, n, why in set_aside]
    frame = pd.DataFrame([*lost, *aside], columns=["kind", "what", "count", "why"]).astype({"count": "Int64"})
    columns = (Column("what", "What"), Column("count", "Rows", "count", "n"), Column("why", "Why"))
    sentence = f"{len(lost)} things could not be measured here; {len(aside)} notes say what was set aside."
    return Result("limits", "What was not possible, and what was set aside", frame, columns, sentence=sentence,
                  group_by="kind")  # fmt: skip
