"""Journeys: flows between the states of care from step to step, and the single lanes of simulated persons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from clinops.errors import DataError, DefinitionError, unknown
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import foot
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    counts,
    finite,
    fit,
    labels,
    linear_ticks,
    plain,
    printed,
    sentence_case,
    unseen,
    unseen_or,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd

OTHER = "Other"
#: A state below this share of the arm at every step of every arm is merged with others like it.
LEAST = 0.02
BAR, GAP, LOW = 0.13, 0.06, 0.012
#: Height of the bar of all persons of an arm.
WHOLE = 1.8
NAMELESS = "State without a name"
#: Colours of states in the order of their first rows; their names stand beside them at every step.
STATES = (*style.SERIES[:6], "#7f8a96")


@dataclass(frozen=True)
class _Node:
    """A state at a step: its count (NaN: not known), what is printed for it, its share of the arm."""

    count: float
    said: str
    share: float


@dataclass(frozen=True)
class _Journey:
    """The journeys of one arm: nodes by (step, state), flows by (step, state, next state), persons at the start."""

    arm: str
    nodes: dict[tuple[str, str], _Node]
    flows: dict[tuple[str, str, str], float]
    whole: float


@dataclass(frozen=True)
class _Plan:
    """The states in order, and whether they go by number where their names do not fit beside the bars."""

    states: list[str]
    numbered: bool

    def colour(self, state: str) -> str:
        return style.RULE if state == OTHER else STATES[self.states.index(state) % len(STATES)]


@dataclass(frozen=True)
class _Spot:
    """Where a node stands: the top of its bar and the bar's height."""

    top: float
    height: float


def alluvial(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw how persons move between states from step to step: bars of states, ribbons between them, a block an arm."""
    n = finite(frame, "n")
    if (n < 0).any():
        raise DataError(f"A journey counts persons: 'n' is {np.nanmin(n):g} in a row.")
    into = labels(frame, "to")
    node = np.array([not to for to in into])
    hidden = unseen(frame, "n")
    if not np.isfinite(n[node]).any():
        sheet.nothing(
            f"every state has too few persons to show ({hidden})." if hidden else "no state's count is known."
        )
        return
    small = _small(frame, n, node, float(options.get("least", LEAST)))
    states = [s for s in dict.fromkeys(labels(frame, "state")) if s not in small] + ([OTHER] if small else [])
    steps = list(dict.fromkeys(step for step, at in zip(labels(frame, "step"), node, strict=True) if at))
    journeys = _journeys(frame, n, small, str(options.get("missing") or say.DASH))
    across = 2 if len(journeys) > 1 and sheet.body / (2 * len(steps)) >= 1.1 else 1
    gutter = 0.25
    room = (sheet.body - gutter * (across - 1)) / across
    word = max(width_of(w, SMALL) for state in states for w in (state or NAMELESS).split()) * SLACK
    plan = _Plan(states, numbered=word > room / len(steps) - BAR - 0.14)
    if plan.numbered:
        looks = [{"facecolor": plan.colour(s), "edgecolor": style.INK, "linewidth": 0.5} for s in states]
        entries = [(look, f"{i + 1} {s or NAMELESS}") for i, (look, s) in enumerate(zip(looks, states, strict=True))]
        sheet.key(entries, sheet.left, sheet.body)
    for first in range(0, len(journeys), across):
        sheet.take(0.16 if first else 0.0)
        top, ends = sheet.y, []
        for i, journey in enumerate(journeys[first : first + across]):
            sheet.y = top
            _journey(sheet, journey, steps, plan, sheet.left + i * (room + gutter), room)
            ends.append(sheet.y)
        sheet.y = max(ends)
    foot(sheet, options, bands=False, also=_said(frame, small, options))


def _small(frame: pd.DataFrame, n: Floats, node: Any, least: float) -> list[str]:
    """Return the states that are small wherever they are, if there are several; one that is hidden is not."""
    arms, states = words(frame, "arm"), labels(frame, "state")
    wholes = _wholes(frame, n, node)
    largest: dict[str, float] = {}
    for i in np.flatnonzero(node):
        whole = wholes[arms[i]]
        share = n[i] / whole if math.isfinite(n[i]) and whole > 0 else math.inf
        largest[states[i]] = max(largest.get(states[i], 0.0), share)
    small = [state for state, share in largest.items() if share < least]
    return small if len(small) > 1 and len(small) < len(largest) else []


def _wholes(frame: pd.DataFrame, n: Floats, node: Any) -> dict[str, float]:
    """Return the persons of each arm: as given, else the largest sum of the states of a step."""
    arms, steps, given = words(frame, "arm"), labels(frame, "step"), finite(frame, "n_arm")
    wholes: dict[str, float] = {}
    for arm in dict.fromkeys(arms):
        at = [i for i in range(len(arms)) if arms[i] == arm and node[i]]
        known = [given[i] for i in at if math.isfinite(given[i])]
        sums: dict[str, float] = {}
        for i in at:
            sums[steps[i]] = sums.get(steps[i], 0.0) + (n[i] if math.isfinite(n[i]) else 0.0)
        wholes[arm] = float(known[0]) if known else max(sums.values(), default=math.nan)
        over = [step for step, total in sums.items() if total > wholes[arm] + 0.5]
        if over:
            raise DataError(
                f"{arm or 'The frame'}: the states of the step {over[0]!r} add up to {say.number(sums[over[0]])}, more "
                f"than the {say.number(wholes[arm])} persons of the arm. Count a person once a step, or mend 'n_arm'."
            )
    return wholes


def _journeys(frame: pd.DataFrame, n: Floats, small: Sequence[str], missing: str) -> list[_Journey]:
    arms, steps = words(frame, "arm"), labels(frame, "step")
    states, into = ([OTHER if s in small else s for s in labels(frame, c)] for c in ("state", "to"))
    gone, said = printed(frame, "n"), counts(frame, "n")
    wholes = _wholes(frame, n, np.array([not to for to in into]))
    found = []
    for arm in dict.fromkeys(arms):
        parts: dict[tuple[str, str], list[int]] = {}
        flows: dict[tuple[str, str, str], float] = {}
        for i in (i for i, other in enumerate(arms) if other == arm):
            if not into[i]:
                parts.setdefault((steps[i], states[i]), []).append(i)
            elif math.isfinite(n[i]):
                key = steps[i], states[i], into[i]
                flows[key] = flows.get(key, 0.0) + n[i]
        nodes: dict[tuple[str, str], _Node] = {}
        for place, at in parts.items():
            count = float(sum(n[i] for i in at))
            text = say.number(count) if math.isfinite(count) else said[at[0]] if gone[at[0]] else missing
            nodes[place] = _Node(count, text, count / wholes[arm] if wholes[arm] > 0 else math.nan)
        found.append(_Journey(arm, nodes, flows, wholes[arm]))
    return found


def _journey(sheet: Sheet, journey: _Journey, steps: Sequence[str], plan: _Plan, left: float, room: float) -> None:
    if journey.arm:
        of = f" (n = {say.number(journey.whole)})" if math.isfinite(journey.whole) else ""
        name = wrap(journey.arm + of, room, weight="bold")
        sheet.text(left, sheet.take(height_of(name) + 0.05), name, weight="bold")
    slot = room / len(steps)
    heads = [even(step, slot - 0.08, SMALL) for step in steps]
    tall = max(height_of(head, SMALL) for head in heads)
    for i, head in enumerate(heads):
        sheet.text(left + i * slot, sheet.y + tall - height_of(head, SMALL), head, SMALL, color=style.MUTED)
    sheet.take(tall + 0.05)
    here = {step: [s for s in plan.states if (step, s) in journey.nodes] for step in steps}
    texts = {key: _label(plan, key[1], node, slot - BAR - 0.14) for key, node in journey.nodes.items()}
    spots, height = _spots(journey, here, texts)
    top = sheet.take(height + 0.06)
    for i, step in enumerate(steps[:-1]):
        across = (left + i * slot + BAR, left + (i + 1) * slot)
        _ribbons(sheet, journey, (step, steps[i + 1]), plan, spots, (top, *across))
    for (step, state), spot in spots.items():
        x, known = left + steps.index(step) * slot, math.isfinite(journey.nodes[step, state].count)
        look = {"facecolor": plan.colour(state)} if known else {"facecolor": "white", "hatch": "//////"}
        sheet.box(x, top + spot.top, BAR, spot.height, edgecolor=style.INK, linewidth=0.5, **look)
        back = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.6}
        middle = top + spot.top + spot.height / 2
        sheet.text(x + BAR + 0.06, middle, texts[step, state], SMALL, va="center", bbox=back)


def _label(plan: _Plan, state: str, node: _Node, room: float) -> str:
    """Return the name of a state, or its number, with its count and its share of the arm, on as few lines as fit."""
    share = f" ({say.percent(node.share)})" if math.isfinite(node.share) else ""
    if plan.numbered:
        return wrap(f"{plan.states.index(state) + 1}: {node.said}{share}", room, SMALL)
    return f"{even(state or NAMELESS, room, SMALL)}\n{wrap(node.said + share, room, SMALL)}"


def _spots(
    journey: _Journey, here: Mapping[str, Sequence[str]], texts: Mapping[tuple[str, str], str]
) -> tuple[dict[tuple[str, str], _Spot], float]:
    """Return where the bars stand, and the height of all: one scale for all steps, each bar level with its label."""
    scale = WHOLE / journey.whole if journey.whole > 0 else 0.0
    spots: dict[tuple[str, str], _Spot] = {}
    heights = {}
    for step, states in here.items():
        at = 0.0
        for state in states:
            count = journey.nodes[step, state].count
            tall = max(scale * count if math.isfinite(count) else 0.0, LOW)
            room = max(tall, height_of(texts[step, state], SMALL)) + GAP
            spots[step, state] = _Spot(at + (room - tall) / 2, tall)
            at += room
        heights[step] = at
    height = max(heights.values())
    moved = {key: _Spot(spot.top + (height - heights[key[0]]) / 2, spot.height) for key, spot in spots.items()}
    return moved, height


def _ribbons(
    sheet: Sheet, journey: _Journey, pair: tuple[str, str], plan: _Plan, spots: Mapping[tuple[str, str], _Spot],
    place: tuple[float, float, float],
) -> None:  # fmt: skip
    """Draw the flows between two steps; those out of a state, and those into one, stack in the order of the states.

    ``place`` is the top of the block, and where the ribbons start and end across.
    """
    step, after = pair
    used: dict[tuple[str, str], float] = {}
    for source in plan.states:
        for target in plan.states:
            n = journey.flows.get((step, source, target), 0.0)
            if n <= 0 or (step, source) not in spots or (after, target) not in spots:
                continue
            sides = []
            for key in ((step, source), (after, target)):
                y, thick = place[0] + spots[key].top + used.get(key, 0.0), _thickness(journey, key, n, spots[key])
                used[key] = used.get(key, 0.0) + thick
                sides.append((y, y + thick))
            _ribbon(sheet, place[1:], sides[0], sides[1], plan.colour(source))


def _thickness(journey: _Journey, key: tuple[str, str], n: float, spot: _Spot) -> float:
    count = journey.nodes[key].count
    return spot.height * n / count if math.isfinite(count) and count > 0 else LOW


def _ribbon(
    sheet: Sheet, ends: tuple[float, float], start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    x, w = ends
    m = (x + w) / 2
    corners = [
        (x, start[0]), (m, start[0]), (m, end[0]), (w, end[0]), (w, end[1]), (m, end[1]), (m, start[1]), (x, start[1]),
        (x, start[0]),
    ]  # fmt: skip
    curve = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    path = Path(corners, curve)
    sheet.figure.add_artist(
        PathPatch(path, transform=sheet.inches, facecolor=colour, edgecolor=colour, linewidth=0.3, alpha=0.32)
    )


def _said(frame: pd.DataFrame, small: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    notes = ["Shares are of the persons of the arm."]
    if small:
        least = say.percent(float(options.get("least", LEAST)), 0)
        notes.append(f"{OTHER}, each below {least} at every step: {', '.join(small)}.")
    missing = str(options.get("missing") or "")
    hidden = unseen_or(frame, "n", missing)
    if hidden:
        notes.append(f"States and flows of too few persons to show ({hidden}) have no width of their own.")
    elif not np.isfinite(finite(frame, "n")).all():
        notes.append("A state or flow whose count is not known has no width of its own.")
    return notes


# -- Lanes -------------------------------------------------------------------------------------------

LANE, MOST_LANES = 0.13, 60
SPANS = ("#9fd0f0", "#f6dfae", "#d9efe7", "#f0d9e6", style.RULE, "#faf4b8")
HATCHES = ("", "//////", "...", "\\\\\\\\\\\\", "", "xxxxxx")
EVENTS = ("D", "o", "s", "^", "v", "P", "X")


def swimmer(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a lane for each simulated person: spans of states as bars, events as marks, an arrow where it goes on.

    Refused unless the records are said to be simulated: a lane is a person, and no disclosure control hides one.
    """
    if options.get("synthetic") is not True:
        raise DefinitionError(
            "A swimmer plot has a lane for each person, so it is drawn for simulated records only. Give the option "
            "synthetic=True where the records are simulated; for others draw 'alluvial' or 'cumulative_incidence'."
        )
    kinds = words(frame, "kind")
    for kind in dict.fromkeys(kinds):
        if kind not in ("span", "event", "ongoing"):
            raise DataError(unknown("kind of a row of a swimmer plot", kind, ("span", "event", "ongoing")))
    start, end = finite(frame, "start"), finite(frame, "end")
    if not np.isfinite(start).any():
        sheet.nothing("no time is known.")
        return
    people = list(dict.fromkeys(words(frame, "lane")))
    names = labels(frame, "what")
    spans = list(dict.fromkeys(n for n, k in zip(names, kinds, strict=True) if k == "span"))
    events = list(dict.fromkeys(n for n, k in zip(names, kinds, strict=True) if k == "event"))
    _lanes_key(sheet, spans, events, goes_on="ongoing" in kinds)
    shown = people[:MOST_LANES]
    arms = _lane_arms(frame, shown)
    times = np.concatenate([start, end])
    last = float(np.nanmax(times[np.isfinite(times)])) or 1.0
    high = 1.05 * last
    left = sheet.left + width_of(str(len(shown)), TINY) * SLACK + 0.1
    width = sheet.right - left - 0.12
    lane = words(frame, "lane")
    number = 0
    for arm, members in arms.items():
        if arm:
            sheet.take(0.05 if number else 0.0)
            sheet.paragraph(arm, weight="bold", gap=0.03)
        axes = sheet.axes(left, sheet.take(LANE * len(members)), width, LANE * len(members))
        for row, person in enumerate(members):
            at = [i for i, other in enumerate(lane) if other == person]
            _lane(axes, row, at, (kinds, names, start, end), (spans, events))
        number += len(members)
        axes.set_xlim(0, high)
        axes.set_ylim(len(members) - 0.5, -0.5)
        axes.set_yticks([0, len(members) - 1] if len(members) > 1 else [0])
        axes.set_yticklabels([str(number - len(members) + 1), str(number)][: min(len(members), 2)], fontsize=TINY)
        ticks = fit([linear_ticks(0, high, k) for k in (8, 6, 4, 3)], lambda v: v / high * width, plain)
        axes.set_xticks(ticks, [plain(t) for t in ticks] if number == len(shown) else [""] * len(ticks))
    sheet.take(0.05 + height_of("0", SMALL) + 0.03)
    title = wrap(str(options.get("xlabel", "Days from index")), sheet.body)
    sheet.text(left + width / 2, sheet.take(height_of(title) + 0.05), title, ha="center")
    more = [f"The first {len(shown)} of {say.number(len(people))} persons."] if len(people) > len(shown) else []
    foot(sheet, options, bands=False, also=["Simulated persons; a lane each, numbered in the order drawn.", *more])


def _lane_arms(frame: pd.DataFrame, people: Sequence[str]) -> dict[str, list[str]]:
    """Return the lanes of each arm."""
    arms: dict[str, list[str]] = {}
    first = dict(reversed(list(zip(words(frame, "lane"), words(frame, "arm"), strict=True))))
    for person in people:
        arms.setdefault(first[person], []).append(person)
    return arms


def _lanes_key(sheet: Sheet, spans: Sequence[str], events: Sequence[str], *, goes_on: bool) -> None:
    entries: list[tuple[dict[str, Any], str]] = [(_span(i), name or "Span") for i, name in enumerate(spans)]
    entries += [({**_event(i), "linestyle": "none"}, name or "Event") for i, name in enumerate(events)]
    if goes_on:
        entries.append(({"color": style.INK, "marker": ">", "linestyle": "none", "markersize": 4}, "Still followed"))
    sheet.key([(look, sentence_case(name)) for look, name in entries], sheet.left, sheet.body)


def _span(i: int) -> dict[str, Any]:
    n = i % len(SPANS)
    return {"facecolor": SPANS[n], "edgecolor": style.INK, "linewidth": 0.4, "hatch": HATCHES[n]}


def _event(i: int) -> dict[str, Any]:
    face = style.OKABE_ITO["vermillion"] if i == 0 else "white"
    return {
        "color": style.INK, "marker": EVENTS[i % len(EVENTS)], "markersize": 3.8, "markerfacecolor": face,
        "markeredgewidth": 0.7,
    }  # fmt: skip


def _lane(
    axes: Any, row: int, at: Sequence[int], columns: tuple[Sequence[str], Sequence[str], Floats, Floats],
    names: tuple[Sequence[str], Sequence[str]],
) -> None:  # fmt: skip
    kinds, what, start, end = columns
    spans, events = names
    for i in at:
        if kinds[i] == "span" and math.isfinite(start[i]) and math.isfinite(end[i]):
            axes.barh([row], [end[i] - start[i]], left=[start[i]], height=0.7, **_span(spans.index(what[i])))
        elif kinds[i] == "event" and math.isfinite(start[i]):
            axes.plot([start[i]], [row], **_event(events.index(what[i])), zorder=4, clip_on=False)
        elif kinds[i] == "ongoing" and math.isfinite(start[i]):
            axes.plot([start[i]], [row], color=style.INK, marker=">", markersize=4, zorder=3, clip_on=False)
