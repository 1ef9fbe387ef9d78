"""The care journey by hand: steps, transitions, days and cost between, journeys, and what must stay hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse import journey as made
from clinops.analyse.journey import ENDS, Steps, between, flow, hidden_counts, matrix, transitions, variants
from clinops.analyse.journey_cells import DEATH, LEFT, NONE, START
from clinops.errors import DefinitionError
from clinops.results.disclosure import protect
from clinops.results.result import Result
from tests.analyse.support import protocol

NAMES = ("Offered", "Not offered")
A, E, F, T = "Admission", "Emergency", "Office", "Telehealth"  # F: face to face, in the office
NAN = float("nan")


def steps(
    people: Sequence[tuple[int, Mapping[int, str], int, float]], last_day: int = 100,
    costs: Sequence[tuple[int, int, float]] | None = None,
) -> Steps:  # fmt: skip
    """Persons as (exposed, {day: contact}, last day of follow-up, day of death); costs as (row, day, amount)."""
    seen = [(row, day, kind) for row, (_, days, _, _) in enumerate(people) for day, kind in sorted(days.items())]
    visits = pd.DataFrame(seen, columns=["row", "day", "kind"])
    spent = None if costs is None else pd.DataFrame(costs, columns=["row", "day", "cost"])
    exposed, _, end, death = (np.array(part) for part in zip(*people, strict=True))
    return made._steps(visits, spent, end.astype(float), death.astype(float), exposed == 1, NAMES, last_day)


def rows(found: Steps) -> list[tuple[Any, ...]]:
    return list(zip(found.row, found.order, found.before, found.state, found.days, strict=True))


# Five persons, three of them offered. The last has no contact, the fourth no day of follow-up.
PEOPLE = [
    (1, {10: F, 30: A, 31: F}, 365, NAN),
    (1, {5: E}, 60, 60.0),
    (1, {}, 40, NAN),
    (0, {}, 0, NAN),
    (0, {20: F, 50: T}, 365, 200.0),
]
COSTS = [(0, 1, 7.0), (0, 10, 100.0), (0, 12, 11.0), (0, 30, 5000.0), (0, 31, 80.0), (0, 100, 3.0), (1, 5, 900.0),
         (1, 60, 50.0), (4, 20, 90.0), (4, 49, 10.0), (4, 50, 40.0)]  # fmt: skip


def test_every_contact_is_a_step_and_the_last_step_is_an_end() -> None:
    assert rows(steps(PEOPLE)) == [
        (0, 1, START, F, 10), (0, 2, F, A, 20), (0, 3, A, F, 1), (0, 4, F, NONE, 69),
        (1, 1, START, E, 5), (1, 2, E, DEATH, 55),
        (2, 1, START, LEFT, 40),
        (4, 1, START, F, 20), (4, 2, F, T, 30), (4, 3, T, NONE, 50),
    ]  # fmt: skip
    found = steps(PEOPLE)
    assert (found.persons(True), found.persons(False)) == (3, 1)


def test_ends_on_their_last_day() -> None:
    """Who dies on the last day died; who is followed to it had no further contact; a day less, and it ended early."""
    people = [(1, {}, 100, 100.0), (1, {}, 100, NAN), (1, {}, 99, NAN), (1, {}, 365, 101.0), (1, {}, 99, 99.0)]
    assert steps(people).state.tolist() == [DEATH, NONE, LEFT, NONE, DEATH]


def test_a_contact_on_the_day_of_the_end_comes_before_it() -> None:
    found = steps([(1, {60: A}, 60, 60.0), (0, {100: F}, 365, NAN)], costs=[(0, 60, 8.0), (1, 100, 9.0)])
    assert rows(found) == [
        (0, 1, START, A, 60), (0, 2, A, DEATH, 0), (1, 1, START, F, 100), (1, 2, F, NONE, 0),
    ]  # fmt: skip
    assert found.cost.tolist() == [0, 8, 0, 9]


def test_a_journey_of_one_day() -> None:
    found = steps([(1, {1: F}, 1, NAN), (0, {}, 1, NAN)], last_day=1)
    assert [line[2:4] for line in rows(found)] == [(START, F), (F, NONE), (START, NONE)]


def test_cost_runs_from_a_contact_up_to_the_day_before_the_next_and_to_the_end() -> None:
    found = steps(PEOPLE, costs=COSTS)
    assert found.cost.tolist() == [7, 111, 5000, 83, 0, 950, 0, 0, 100, 40]
    assert found.cost.sum() == sum(amount for _, _, amount in COSTS)  # all of it, once
    assert np.isnan(steps(PEOPLE).cost).all()


def test_one_person_in_both_arms_has_two_journeys() -> None:
    found = steps([(1, {3: F}, 100, NAN), (0, {3: F}, 100, NAN)])
    assert matrix(found)[["arm", "from", "to", "n", "n_from"]].to_numpy().tolist() == [
        [arm, *line] for arm in NAMES for line in ([START, F, 1, 1], [F, NONE, 1, 1])
    ]


def test_matrix_has_counts_and_denominators_in_the_order_of_the_states() -> None:
    assert matrix(steps(PEOPLE)).to_numpy().tolist() == [
        ["Offered", START, E, 1, 3], ["Offered", START, F, 1, 3], ["Offered", START, LEFT, 1, 3],
        ["Offered", A, F, 1, 1], ["Offered", E, DEATH, 1, 1], ["Offered", F, A, 1, 2], ["Offered", F, NONE, 1, 2],
        ["Not offered", START, F, 1, 1], ["Not offered", F, T, 1, 1], ["Not offered", T, NONE, 1, 1],
    ]  # fmt: skip


def test_who_has_come_to_an_end_stays_in_it() -> None:
    found = steps(PEOPLE)
    offered = found.arms()[0][1]
    assert made._wide(found, offered, 2).tolist() == [[F, A], [E, DEATH], [LEFT, LEFT]]
    assert made._wide(found, offered, 5).tolist() == [
        [F, A, F, NONE, NONE], [E, DEATH, DEATH, DEATH, DEATH], [LEFT] * 5,
    ]  # fmt: skip


def test_between_by_hand() -> None:
    people = [(1, {10: F, 20: F, 50: F}, 365, NAN), (1, {4: F}, 30, 30.0), (0, {}, 365, NAN)]
    spent = [(0, 10, 1.0), (0, 20, 2.0), (0, 50, 4.0), (0, 99, 8.0), (1, 30, 16.0)]
    frame = between(steps(people, costs=spent), "USD").frame.set_index("from")
    office = frame.loc[F]
    # Four office visits: two to another after 10 and 30 days, one to no further contact, one to death.
    assert (office["n_exposed"], office["seen_exposed"]) == (4, 2)
    assert (office["low_exposed"], office["days_exposed"], office["high_exposed"]) == (15, 20, 25)
    assert office["cost_exposed"] == (1 + 2 + 4 + 8 + 16) / 4
    index = frame.loc[START]
    assert (index["n_exposed"], index["seen_exposed"], index["days_exposed"], index["cost_exposed"]) == (2, 2, 7, 0)
    assert (index["n_comparator"], index["seen_comparator"], office["n_comparator"]) == (1, 0, 0)
    assert all(pd.isna([index["days_comparator"], office["days_comparator"], office["cost_comparator"]]))


def test_without_costs_there_is_no_column_of_costs() -> None:
    shown = [column.name for column in between(steps(PEOPLE), "USD").columns]
    assert "days_exposed" in shown and "cost_exposed" not in shown


def test_variants_count_whole_journeys_and_gather_the_rare_ones() -> None:
    people = [(1, {}, 365, NAN)] * 3 + [(0, {}, 365, NAN)] * 2 + [(1, {5: F}, 365, NAN), (0, {5: F, 9: F}, 365, NAN)]
    frame = variants(steps(people), 2).frame
    assert frame.to_numpy().tolist() == [
        [NONE, 3, 2, 4, 3], [f"{F} → {NONE}", 1, 0, 4, 3], [f"{F} → {F}", 0, 1, 4, 3],
    ]  # fmt: skip
    kinds = (A, E, F, T)
    many = [(1, {5: a, 6: b}, 365, NAN) for a in kinds for b in kinds]
    frame = variants(steps(many), 2).frame
    assert len(frame) == made.MOST_VARIANTS + 1 and frame["variant"].iloc[-1] == "4 others"
    assert frame["n_exposed"].sum() == 16 and frame["n_comparator"].sum() == 0


def test_the_flow_has_the_size_of_the_arm_and_adds_up() -> None:
    result = flow(steps(PEOPLE), 3)
    data = result.figure.data
    nodes, links = data[data["to"] == ""], data[data["to"] != ""]
    assert dict(zip(data["arm"], data["n_arm"], strict=True)) == {"Offered": 3, "Not offered": 1}
    assert (nodes.groupby(["arm", "step"])["n"].sum() == [1] * 3 + [3] * 3).all()
    out = links.groupby(["arm", "step", "state"])["n"].sum()
    assert out.to_dict() == nodes[nodes["step"] != "Step 3"].groupby(["arm", "step", "state"])["n"].sum().to_dict()
    assert result.frame["n_arm"].isin([1, 3]).all()


def test_steps_beyond_the_flow_count_in_the_transitions() -> None:
    found = steps([(1, dict.fromkeys(range(1, 31), F), 365, NAN), (0, {}, 365, NAN)])
    counted = matrix(found).set_index(["arm", "from", "to"])["n"]
    assert counted["Offered", F, F] == 29 and counted["Offered", F, NONE] == 1


@cache
def crowd_hidden() -> Any:
    return hidden_counts(crowd(), 3, 11)


def results(found: Steps, most: int = 3, min_cell: int = 11, hidden: Any = None) -> tuple[Result, ...]:
    """All exhibits as they leave."""
    hidden = hidden_counts(found, most, min_cell) if hidden is None else hidden
    exhibits = (flow(found, most, hidden), transitions(found, hidden), between(found, "USD", hidden),
                variants(found, most, hidden))  # fmt: skip
    kept: tuple[Result, ...] = protect(exhibits, min_cell)
    return kept


@pytest.mark.parametrize("empty", [0, 1])
def test_an_arm_in_which_nobody_is_followed(empty: int) -> None:
    people = [(1 - empty, {5: F}, 365, NAN)] * 20 + [(empty, {}, 0, NAN)] * 15
    shown = results(steps(people))
    assert all(not one.sentence.startswith(f"{NAMES[1 - empty]} first") for one in shown)
    assert (steps(people).persons(True), steps(people).persons(False)) == ((20, 0) if empty == 0 else (0, 20))
    name = ("comparator", "exposed")[empty]
    assert (shown[2].frame[f"n_{name}"] == 0).all() and (shown[3].frame[f"n_{name}"] == 0).all()
    assert "NaN" not in "".join(str(one) for one in shown)


def test_nobody_with_a_contact() -> None:
    shown = results(steps([(1, {}, 365, NAN)] * 20 + [(0, {}, 365, NAN)] * 30))
    assert shown[1].frame[["from", "to"]].drop_duplicates().to_numpy().tolist() == [[START, NONE]]
    assert shown[2].frame["from"].tolist() == [START]
    assert shown[3].frame["variant"].tolist() == [NONE]
    assert "20 of 20" in shown[0].sentence


def test_everybody_dies() -> None:
    shown = results(steps([(1, {}, 7, 7.0)] * 20 + [(0, {}, 3, 3.0)] * 30, costs=[(0, 7, 40.0)]))
    assert set(shown[1].frame["to"]) == {DEATH}
    line = shown[2].frame.iloc[0]
    assert (line["n_exposed"], line["seen_exposed"], line["cost_exposed"]) == (20, 0, 2)


# --- small counts -------------------------------------------------------------------------------------------


def small_arm() -> Steps:
    offered = [(1, {5: F}, 365, NAN)] * 3 + [(1, {}, 365, NAN)] * 2
    return steps(offered + [(0, {5: F}, 365, NAN)] * 40 + [(0, {}, 365, NAN)] * 60, costs=[(0, 5, 777.0)])


def test_where_every_count_may_be_shown_none_is_hidden() -> None:
    assert hidden_counts(small_arm(), 3, 1) == {"Offered": set(), "Not offered": set()}
    assert not any(one.hidden for one in results(small_arm(), min_cell=1))


def test_an_arm_of_five_is_hidden_everywhere() -> None:
    for one in results(small_arm()):
        parts = [(one.frame, one.hidden)] + ([(one.figure.data, one.figure.hidden)] if one.figure else [])
        for frame, gone in parts:
            mine = frame[frame["arm"] == "Offered"] if "arm" in frame else frame
            names = [name for name in frame if re.fullmatch(r"n|n_from|n_arm|\w+_exposed", str(name))]
            for name in names:
                values = pd.to_numeric(mine[name]).dropna()
                assert (values == 0).all(), f"{one.name}: {name} shows {values.tolist()}"
            assert gone
        assert not re.search(r"\b[1-9]/5\b|\b5 \(", str(one)) and "777" not in str(one) and "259" not in str(one)


def test_the_long_table_hides_what_the_exhibits_hide() -> None:
    study = SimpleNamespace(protocol=SimpleNamespace(min_cell=11))
    found = made.Journey.__new__(made.Journey)
    found.study, found.steps, found.shown_steps = study, crowd(), 3
    found.__dict__["_hidden"] = crowd_hidden()
    frame = protect(found.estimates, 11)
    hidden = found._hidden
    shown = transitions(found.steps, hidden)
    safe = protect(shown, 11).frame
    for line in safe.to_dict("records"):
        side = "exposed" if line["arm"] == "Offered" else "comparator"
        row = frame[(frame["level"] == f"after {line['from']}") & (frame["measure"] == line["to"])].iloc[0]
        assert pd.isna(line["n"]) == pd.isna(row[f"events_{side}"]), line
        if pd.isna(line["n"]):
            assert pd.isna(row[f"value_{side}"]) and pd.isna(row["estimate"]) and "not shown" in row["note"]
        else:
            assert line["n"] == row[f"events_{side}"]


@cache
def crowd(people: int = 400) -> Steps:
    """Many persons with a few rare contacts, deaths and early ends."""
    random = np.random.default_rng(3)
    kinds = np.array([F, T, E, A])
    group = []
    for i in range(people):
        days = np.unique(random.integers(1, 101, size=random.poisson(1.5)))
        chosen = random.choice(kinds, len(days), p=[0.8, 0.1, 0.07, 0.03])
        end = int(random.integers(1, 101)) if random.random() < 0.05 else 365
        contacts = {int(day): str(kind) for day, kind in zip(days, chosen, strict=True) if day <= end}
        group.append((i % 2, contacts, end, float(end) if end < 365 and random.random() < 0.4 else NAN))
    return steps(group)


def printed(shown: Sequence[Result]) -> dict[tuple[Any, ...], float | None]:
    """Every count that leaves, by what it counts; None where no exhibit shows it."""
    first, second, third, fourth = shown
    out: dict[tuple[Any, ...], float | None] = {}

    def put(key: tuple[Any, ...], value: Any) -> None:
        if out.get(key) is None:
            out[key] = None if pd.isna(value) else float(value)

    for line in first.figure.data.to_dict("records"):
        put(("flow", line["arm"], line["step"], line["state"], line["to"]), line["n"])
    for line in first.frame.to_dict("records"):
        put(("flow", line["arm"], line["step"], line["state"], ""), line["n"])
    for frame in (second.frame, second.figure.data):
        for line in frame.to_dict("records"):
            put(("step", line["arm"], line["from"], line["to"]), line["n"])
            put(("from", line["arm"], line["from"]), line["n_from"])
    for line in third.frame.to_dict("records"):
        for arm, side in zip(NAMES, ("exposed", "comparator"), strict=True):
            put(("from", arm, line["from"]), line[f"n_{side}"])
            put(("seen", arm, line["from"]), line[f"seen_{side}"])
    for line in fourth.frame.to_dict("records"):
        for arm, side in zip(NAMES, ("exposed", "comparator"), strict=True):
            put(("path", arm, line["variant"]), line[f"n_{side}"])
    return out


def test_no_small_count_can_be_solved_from_all_exhibits_together() -> None:
    """The reader's unknowns are whole journeys of three steps and transitions; what is shown are sums of them.

    A small count is safe where it is no linear combination of what is shown.
    """
    found = crowd()
    shown = printed(results(found, hidden=crowd_hidden()))
    for arm, mine in found.arms():
        lines = [tuple(line) for line in made._wide(found, mine, 3)]
        pairs = list(zip(found.before[mine], found.state[mine], strict=True))
        kinds, moves = sorted(set(lines)), sorted(set(pairs))
        top = {str(key[2]) for key in shown if key[0] == "path"}
        mine_keys = [key for key in shown if key[1] == arm]
        vectors = {
            key: np.array([_in_journey(key, one, top) for one in kinds] + [_in_move(key, one) for one in moves], float)
            for key in mine_keys
        }
        truth = np.array([lines.count(line) for line in kinds] + [pairs.count(move) for move in moves], dtype=float)
        for key in mine_keys:  # the vectors say what the exhibits count
            value = shown[key]
            assert value is None or value == vectors[key] @ truth, key
        known = [vectors[key] for key in mine_keys if shown[key] is not None]
        known += _laws(kinds, moves)
        basis = np.array(known)
        rank = np.linalg.matrix_rank(basis)
        small = [key for key in mine_keys if 0 < vectors[key] @ truth < 11]
        assert len(small) > 10 and all(shown[key] is None for key in small)
        solved = [key for key in small if np.linalg.matrix_rank(np.vstack([basis, vectors[key]])) == rank]
        assert solved == []


def _in_journey(key: tuple[Any, ...], line: tuple[str, ...], top: set[str]) -> bool:
    if key[0] == "flow":
        k = int(key[2].split()[1])
        return line[k - 1] == key[3] and (not key[4] or line[k] == key[4])
    if key[0] == "path":
        name = made.journey_name(line)
        return name == key[2] or (key[2].endswith(" others") and name not in top)
    return False


def _in_move(key: tuple[Any, ...], move: tuple[str, str]) -> bool:
    if key[0] == "step":
        return move == key[2:]
    if key[0] == "from":
        return move[0] == key[2]
    return key[0] == "seen" and move[0] == key[2] and move[1] not in ENDS


def _laws(kinds: list[tuple[str, ...]], moves: list[tuple[str, str]]) -> list[np.ndarray]:
    """What holds whatever the counts: first steps are steps from the index date; into a contact is out of it."""
    laws = []
    for state in sorted({b for _, b in moves}):
        first = [line[0] == state for line in kinds] + [-(move == (START, state)) for move in moves]
        laws.append(np.array(first, dtype=float))
        if state not in ENDS:
            laws.append(np.array([0.0] * len(kinds) + [(b == state) - (a == state) for a, b in moves], dtype=float))
    laws.append(np.array([1.0] * len(kinds) + [-float(b in ENDS) for _, b in moves]))
    return laws


def test_titles_and_sentences_survive_disclosure_control() -> None:
    """Two steps of a flow are no count of persons."""
    first = results(crowd(), hidden=crowd_hidden())[0]
    assert first.title == "The first contacts, step by step, to day 100"
    assert first.sentence.startswith("Offered first come to ")


# --- the call -----------------------------------------------------------------------------------------------


class Untouched:
    """A study that must not be worked on: its protocol alone is read."""

    protocol = protocol()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read before the parameters were checked")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"last_day": 0}, "day 0; follow-up reaches day 365. Give a day from 1"),
        ({"last_day": 366}, "day 366; follow-up reaches day 365"),
        ({"steps": 0}, "0 steps; give 1 to 6"),
        ({"steps": 7}, "7 steps; give 1 to 6"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(given: dict[str, int], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        co.journey(Untouched(), **given)
