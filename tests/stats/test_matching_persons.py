"""Matching of person-dates: a person serves once, never for themselves; against looking at every row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError
from clinops.stats import matching, matching_persons
from clinops.stats.matching import match


def looking_at_every_row(
    value: np.ndarray, treated: np.ndarray, person: np.ndarray, stratum: np.ndarray, ratio: int, limit: float,
    replace: bool,
) -> list[tuple[int, int]]:  # fmt: skip
    """Pairs as the promise reads: in rounds, the largest first, the nearest row of a person who is free."""
    line = np.flatnonzero(treated)[np.argsort(-value[treated], kind="stable")]
    mates: dict[int, list[int]] = {int(row): [] for row in line}
    used: set[int] = set()
    alive = set(mates)
    for _ in range(ratio):
        for row in line:
            if row not in alive:
                continue
            own = {int(person[row]), *(int(person[mate]) for mate in mates[int(row)])}
            fits = [
                int(other) for other in np.flatnonzero(~treated)
                if stratum[other] == stratum[row] and int(person[other]) not in own
                and (replace or int(person[other]) not in used) and abs(value[other] - value[row]) <= limit
            ]  # fmt: skip
            if not fits:
                alive.discard(int(row))
                continue
            # Nearest; below before above (with replacement, fewer places away first); of equal values the one next to
            # the treated in (value, row).
            pool = [other for other in np.flatnonzero(~treated) if stratum[other] == stratum[row]]
            below = sum((value[other], other) < (value[row], row) for other in pool)
            places = {int(other): at for at, other in enumerate(sorted(pool, key=lambda other: (value[other], other)))}

            def key(other: int, row: int = int(row), below: int = below, places: Any = places) -> tuple[Any, ...]:
                before = places[other] < below
                away = below - places[other] if before else places[other] - below + 1
                return abs(value[other] - value[row]), *((away, not before) if replace else (not before, away))

            best = min(fits, key=key)
            mates[int(row)].append(best)
            used.add(int(person[best]))
    return [(row, mate) for row in sorted(mates) for mate in mates[row]]


@st.composite
def person_dates(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = rng.integers(0, 12, n) / 4 if draw(st.booleans()) else rng.normal(size=n)
    return {
        "value": values.astype(float), "treated": rng.random(n) < 0.35, "person": rng.integers(0, max(2, n // 2), n),
        "stratum": rng.integers(0, 3, n), "ratio": draw(st.integers(1, 3)), "replace": draw(st.booleans()),
        "caliper": draw(st.sampled_from([None, 0.2, 0.8])),
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(person_dates())
def test_pairs_are_those_found_by_looking_at_every_row(rows: dict[str, Any]) -> None:
    value, treated, person, stratum = (rows[name] for name in ("value", "treated", "person", "stratum"))
    caliper, ratio, replace = rows["caliper"], rows["ratio"], rows["replace"]
    found = match(value, treated, ratio=ratio, caliper=caliper, exact=stratum, replace=replace, person=person)
    limit = np.inf if caliper is None else caliper * value.std(ddof=1)
    plain = looking_at_every_row(value, treated, person, stratum, ratio, limit, replace)
    assert [tuple(map(int, pair)) for pair in found.pairs] == plain
    served = person[found.pairs[:, 1]]
    assert replace or len(set(served.tolist())) == len(served)
    assert (served != person[found.pairs[:, 0]]).all()


def many(seed: int = 5, n: int = 6_000) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "distance": np.round(rng.normal(size=n), 2), "treated": rng.random(n) < 0.2,
        "exact": rng.integers(0, 20, n), "person": rng.integers(0, n // 3, n),
    }  # fmt: skip


@pytest.mark.parametrize("replace", [False, True])
def test_compiled_and_plain_loops_find_the_same_pairs(replace: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = match(**many(), ratio=3, replace=replace)
    monkeypatch.setattr(matching_persons, "worth_it", lambda rows: False)
    plain = match(**many(), ratio=3, replace=replace)
    assert len(compiled.pairs) > 1000 and (compiled.pairs == plain.pairs).all()


def test_persons_with_one_row_each_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "worth_it", lambda rows: False)  # the loops for few rows, without persons
    given_ = many() | {"person": np.arange(6_000)}
    without = {name: part for name, part in given_.items() if name != "person"}
    for more in ({}, {"ratio": 2}, {"caliper": None}, {"order": "smallest"}, {"replace": True, "ratio": 2}):
        assert (match(**given_, **more).pairs == match(**without, **more).pairs).all()
    monkeypatch.undo()
    assert (match(**without, ratio=2).pairs == match(**given_, ratio=2).pairs).all()


def test_a_person_is_control_before_becoming_a_case() -> None:
    # Rows: case A, candidate B on that day, case B later, candidate A later (who may not serve: no rule of matching
    # forbids it, since A's row is a candidate), and C. B serves A's set; in B's own set A's later row is nearest.
    value, treated = [0.0, 0.0, 5.0, 5.0, 5.4], [1, 0, 1, 0, 0]
    found = match(value, treated, caliper=None, person=["A", "B", "B", "B", "C"])
    # Of B's rows one serves A (the nearest); B's own row at 5.0 is passed over for B's set, which takes C.
    assert found.pairs.tolist() == [[0, 1], [2, 4]]
    assert found.set_id.tolist() == [0, 0, 1, -1, 1]


def test_bad_persons_are_refused() -> None:
    with pytest.raises(DataError, match="one id a row"):
        match([0.0, 1.0], [1, 0], person=[1])
    with pytest.raises(DataError, match="1 of 2 person ids are missing"):
        match([0.0, 1.0], [1, 0], person=[1.0, np.nan])
    with pytest.raises(DataError, match="2 of 3 person ids are missing"):
        match([0.0, 1.0, 2.0], [1, 0, 0], person=np.array(["a", None, np.nan], dtype=object))


def test_nobody_else_is_there() -> None:
    found = match([0.0, 0.0], [1, 0], caliper=None, person=[1, 1])
    assert len(found.pairs) == 0 and found.n_unmatched_treated == 1
