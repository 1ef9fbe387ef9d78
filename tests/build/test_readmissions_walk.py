"""Episodes and readmissions of many made-up stays, against a walk over each person's stays in plain Python.

The walk follows the register (docs/care_measures.md) and shares no line with the SQL: it takes one stay after the
other, with the days written out.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from clinops.build.care.readmissions import readmitted
from clinops.define.care import readmission_rules
from tests.conftest import tiny

START = dt.date(2020, 1, 1)
PERSONS = 120


def day(number: int) -> str:
    return (START + dt.timedelta(days=int(number))).isoformat()


def made_up(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Stays that touch, nest, return, lack a facility or a discharge; deaths; gaps in observation."""
    rng = np.random.default_rng(seed)
    visits, conditions, periods, deaths, stay_id = [], [], [], [], 0
    for person in range(1, PERSONS + 1):
        at = int(rng.integers(0, 20))
        for _ in range(int(rng.integers(0, 6))):
            stay_id += 1
            length = int(rng.integers(0, 6))
            facility = [1, 1, 1, 2, 2, 3, None][rng.integers(0, 7)]
            open_end = rng.random() < 0.04
            visits.append({
                "id": stay_id, "person": person, "concept": 9201, "start": day(at),
                "end": None if open_end else day(at + length), "care_site_id": facility,
                "discharged_to_concept_id": 4216643 if rng.random() < 0.02 else None,
            })  # fmt: skip
            if rng.random() < 0.7:
                conditions.append({
                    "person": person, "concept": int(rng.integers(1, 3)), "start": day(at),
                    "visit_occurrence_id": stay_id, "condition_status_concept_id": 32902,
                })  # fmt: skip
            at = max(at + int(rng.choice([0, 0, length, length, length + 1, length + 2, length + 30, length + 31])), 0)
        first, last = int(rng.integers(-40, 5)), int(rng.integers(60, 200))
        if rng.random() < 0.25:
            deaths.append({"person": person, "start": day(last)})
        periods.append({"person": person, "start": day(first), "end": day(last)})
    return {"person": [{"person_id": person} for person in range(1, PERSONS + 1)], "visit_occurrence": visits,
            "condition_occurrence": conditions, "observation_period": periods, "death": deaths}  # fmt: skip


def walked(rows: dict[str, list[dict[str, Any]]], same_day: str, transfer_days: int | None) -> dict[int, Any]:
    """Each episode by the id of its first stay."""
    code = {row["visit_occurrence_id"]: row["concept"] for row in rows["condition_occurrence"]}
    seen = {row["person"]: (row["start"], row["end"]) for row in rows["observation_period"]}
    died = {row["person"]: row["start"] for row in rows["death"]}
    found: dict[int, Any] = {}
    for person in range(1, PERSONS + 1):
        stays = [row for row in rows["visit_occurrence"] if row["person"] == person]
        episodes = _episodes(stays, code, same_day, transfer_days)
        for place, episode in enumerate(episodes):
            following = episodes[place + 1] if place + 1 < len(episodes) else None
            found[episode[0]["id"]] = _judge(episode, following, episodes[place - 1] if place else None,
                                             seen[person], died.get(person))  # fmt: skip
    return found


def _number(text: str) -> int:
    return (dt.date.fromisoformat(text) - START).days


def _end(stay: dict[str, Any]) -> int:
    return _number(stay["end"] or stay["start"])


def _episodes(stays: list[Any], code: dict[int, int], same_day: str, transfer_days: int | None) -> list[list[Any]]:
    single: list[Any] = []
    for stay in sorted(stays, key=lambda r: r["id"]):
        if not any(all(stay[k] == o[k] for k in ("care_site_id", "start")) and _end(stay) == _end(o) for o in single):
            single.append(stay)
    spells: list[list[Any]] = []
    for stay in sorted(single, key=lambda r: (r["start"], _end(r), r["id"])):
        if spells and _number(stay["start"]) < max(map(_end, spells[-1])):
            spells[-1].append(stay)
        else:
            spells.append([stay])
    whole: list[list[Any]] = []
    before: list[Any] = []
    for spell in spells:
        if before and _belongs(_last(before), spell[0], code, same_day, transfer_days):
            whole[-1] += spell
        else:
            whole.append(list(spell))
        before = spell
    return whole


def _last(stays: list[Any]) -> Any:
    return max(stays, key=lambda r: (_end(r), r["start"], r["id"]))


def _belongs(before: Any, stay: Any, code: dict[int, int], same_day: str, transfer_days: int | None) -> bool:
    here, there = before["care_site_id"], stay["care_site_id"]
    if here is None or there is None:
        return False
    gap = _number(stay["start"]) - _end(before)
    if here != there:
        return transfer_days is not None and gap <= transfer_days
    if gap or same_day == "new stay":
        return False
    alike = before["id"] in code and code.get(before["id"]) == code.get(stay["id"])
    return same_day == "one stay" or alike


def _judge(
    episode: list[Any], following: Any, earlier: Any, seen: tuple[str, str], died: str | None
) -> tuple[Any, ...]:
    last, start, end = _last(episode), _number(episode[0]["start"]), max(map(_end, episode))
    death = None if died is None else _number(died)
    dead = last["discharged_to_concept_id"] == 4216643 or (death is not None and death <= end)
    observed = _number(seen[0]) <= end <= _number(seen[1])
    through = end + 30 if death is None else min(end + 30, max(death, end))
    unseen = not (observed and _number(seen[1]) >= through)
    if dead:
        unseen = None  # whether who died in hospital was followed after it is nobody's question
    no_end = last["end"] is None
    index = not (dead or no_end or unseen)
    to_next = None if following is None else _number(following[0]["start"]) - end
    again = earlier is not None and start - max(map(_end, earlier)) <= 30
    return (last["id"], day(start), day(end), len(episode), dead, no_end, unseen, again, index, to_next,
            index and to_next is not None and to_next <= 30)  # fmt: skip


@pytest.mark.parametrize(("same_day", "transfer_days"), [("same condition", 1), ("new stay", None), ("one stay", 2)])
def test_the_sql_finds_what_a_walk_over_the_stays_finds(any_source, same_day, transfer_days):
    rows = made_up(seed=20)
    expected = walked(rows, same_day, transfer_days)
    rules = readmission_rules(same_day=same_day, transfer_days=transfer_days, first="2019-01-01", last="2022-12-31")
    result = readmitted(any_source(tiny(**rows)), rules)
    found = {int(row["episode"]): _as_walked(row) for row in result.frame.to_dict("records")}
    assert found == expected
    assert sum(one[-1] for one in expected.values()) >= 20  # the made-up stays do hold readmissions
    merged = sum(result.counts[name] for name in ("copies", "overlaps", "transfers", "same_day"))
    assert result.counts["stays"] - merged == len(expected)


def _as_walked(row: dict[Any, Any]) -> tuple[Any, ...]:
    dead, to_next = bool(row["died"]), row["days_to_next"]
    return (
        row["last_stay"], str(row["admitted"].date()), str(row["discharged"].date()), row["stays"], dead,
        bool(row["no_discharge"]), None if dead else bool(row["follow_up"]), bool(row["readmission"]),
        bool(row["index"]), None if np.isnan(to_next) else int(to_next), bool(row["readmitted"]),
    )  # fmt: skip
