"""Comorbidity indices against R comorbidity 1.1.0 (tolerance 0) and the worked case C029."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.define.icd import normalise
from clinops.define.maps import INDICES, WEIGHTS, comorbidity_map, comorbidity_weights, prefixes
from clinops.errors import DataError, DefinitionError
from clinops.stats.comorbidity import code_groups, comorbidity
from tests.support import ORACLES, case_file, oracle

VERSIONS = (9, 10)
R_NAME = {"charlson": "charlson", "quan": "quan", "van_walraven": "vw", "swiss": "swiss"}
CHOICES = [(index, weights) for index in INDICES for weights in WEIGHTS[index]]


def written(version: int) -> pd.DataFrame:
    frame = pd.read_csv(ORACLES / f"comorbidity/codes_icd{version}.csv", dtype=str)
    return frame.dropna().reset_index(drop=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("index", "weights"), CHOICES)
@pytest.mark.parametrize("hierarchy", [True, False])
def test_flags_and_scores_equal_r(version: int, index: str, weights: str, hierarchy: bool) -> None:
    stage = "hierarchy_applied" if hierarchy else "no_hierarchy"
    expected = oracle(f"comorbidity/comorbidity_icd{version}")["expected"][f"{index}_{stage}"]
    codes = written(version)
    result = comorbidity(
        codes["id"].astype(int).to_numpy() - 1,
        codes["code_written"].to_numpy(),
        version,
        n_persons=500,
        index=index,
        weights=weights,
        hierarchy=hierarchy,
    )
    assert expected["id"] == list(range(1, 501))
    assert set(result.names) == set(expected["flags"])
    for column, name in enumerate(result.names):
        assert result.groups[:, column].astype(int).tolist() == expected["flags"][name], name
    assert result.score.tolist() == expected["scores"][R_NAME[weights]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("index", INDICES)
def test_each_single_code_falls_in_the_groups_r_gives(version: int, index: str) -> None:
    expected = oracle("comorbidity/single_code_groups")["expected"][f"icd{version}"]
    found = code_groups(expected["code"], version, index=index)
    for row, (code, groups) in enumerate(zip(expected["code"], expected[index], strict=True)):
        hit = {found.names[group] for group in np.flatnonzero(found.member[row])}
        assert hit == set(groups), code


def c029() -> tuple[Any, pd.DataFrame, list[str]]:
    rows = pd.read_csv(case_file("C029", "dx.csv"), dtype={"code": str}, skipinitialspace=False)
    persons = sorted(rows["person_id"].unique())
    place = rows["person_id"].map({name: row for row, name in enumerate(persons)})
    result = comorbidity(
        place.to_numpy(), rows["code"].to_numpy(), rows["icd_version"].to_numpy(), n_persons=len(persons)
    )
    return result, rows, persons


def test_c029_eleven_scores_and_one_flag() -> None:
    result, _, persons = c029()
    scores = dict(zip(persons, result.score.tolist(), strict=True))
    flagged = scores.pop("p10")
    assert scores == {
        "p01": 1,
        "p02": 2,
        "p03": 1,
        "p04": 6,
        "p05": 3,
        "p06": 1,
        "p07": 0,
        "p08": 1,
        "p09": 0,
        "p11": 6,
        "p12": 6,
    }
    assert flagged == 0
    (one,) = result.unscored
    assert (one.code, one.version, one.rows) == ("42", 9, 1)
    assert "leading zero" in one.reason


def test_c029_without_the_hierarchy_counts_twice() -> None:
    _, rows, persons = c029()
    place = rows["person_id"].map({name: row for row, name in enumerate(persons)})
    result = comorbidity(place.to_numpy(), rows["code"], rows["icd_version"], n_persons=len(persons), hierarchy=False)
    scores = dict(zip(persons, result.score.tolist(), strict=True))
    assert (scores["p02"], scores["p04"], scores["p05"]) == (3, 8, 4)  # as the case says of other packages


def test_map_weights_and_sources_are_named() -> None:
    result = comorbidity([0], ["E11.9"], 10, n_persons=1, weights="quan")
    assert (result.index, result.map, result.weights) == ("charlson", "quan", "quan")
    assert result.title == "Charlson score (quan map, quan weights, with hierarchy)"
    assert "Med Care 2005" in result.sources[0]
    assert "Am J Epidemiol 2011" in result.sources[1]
    assert comorbidity([0], ["E11.9"], 10, n_persons=1, index="elixhauser").weights == "van_walraven"


def test_persons_without_codes_score_zero_and_nothing_is_flagged() -> None:
    result = comorbidity([], [], 10, n_persons=3)
    assert result.score.tolist() == [0, 0, 0]
    assert result.groups.shape == (3, 17)
    assert result.unscored == ()
    assert comorbidity([], [], 9, n_persons=0).score.shape == (0,)


def test_missing_impossible_and_unspecific_codes_are_counted() -> None:
    codes = np.array([None, "42", "42", "E11", "E11.9", "D69", float("nan")], dtype=object)
    versions = np.array([10, 9, 9, 10, 12, 10, 10])
    result = comorbidity([0, 0, 1, 1, 1, 0, 0], codes, versions, n_persons=2)
    listed = {(one.code, one.version): (one.rows, one.reason) for one in result.unscored}
    assert listed["42", 9][0] == 2
    assert listed["E11", 10] == (1, "less specific than the map needs, which lists E110, E111, E112, E113, ...")
    assert listed["E11.9", None] == (1, "the ICD version is neither 9 nor 10")
    assert sum(rows for (code, _), (rows, _) in listed.items() if code == "") == 2
    assert ("D69", 10) not in listed  # D69 is outside the Charlson map, whatever its fourth character
    assert result.score.tolist() == [0, 0]


def test_clear_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'charlson'"):
        comorbidity([0], ["E11.9"], 10, n_persons=1, index="charlsen")
    with pytest.raises(DefinitionError, match="belong to the elixhauser index"):
        comorbidity([0], ["E11.9"], 10, n_persons=1, weights="swiss")
    with pytest.raises(DefinitionError, match="comorbidity map 'deyo'"):
        comorbidity([0], ["E11.9"], 10, n_persons=1, map="deyo")
    with pytest.raises(DataError, match="outside 0 to 0"):
        comorbidity([1], ["E11.9"], 10, n_persons=1)
    with pytest.raises(DataError, match="give one a code"):
        comorbidity([0, 0], ["E11.9"], 10, n_persons=1)
    with pytest.raises(DataError, match="row number"):
        comorbidity(["a"], ["E11.9"], 10, n_persons=1)
    with pytest.raises(DataError, match="version is needed"):
        comorbidity([0], ["E11.9"], None, n_persons=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("index", INDICES)
def test_the_maps_are_well_formed(version: int, index: str) -> None:
    table = comorbidity_map(index, version)
    assert len(table.names) == {"charlson": 17, "elixhauser": 31}[index]
    assert {group for _, of in table.prefixes for group in of} == set(range(len(table.names)))
    for prefix, of in table.prefixes:
        assert normalise(prefix, version).valid, prefix
        for size in range(3, len(prefix)):
            above = dict(table.prefixes).get(prefix[:size], ())
            assert not set(above) & set(of), f"{prefix} is already covered by {prefix[:size]}"
    assert prefixes(index, version) == tuple(sorted(set(prefixes(index, version))))
    for weights in WEIGHTS[index]:
        assert len(comorbidity_weights(index, weights).points) == len(table.names)


def test_the_misprint_of_the_paper_is_corrected() -> None:
    for index in INDICES:
        table = comorbidity_map(index, 9)
        pvd = table.names.index("pvd")
        assert table.groups_of("4471") == (pvd,)
        assert table.groups_of("0471") == ()


_CODE = st.sampled_from(["E11.9", "e1122", "K70.3", "K76.7", "250.00", "042", "42", "I21.4", "I10", None, "x"])
_ROW = st.tuples(st.integers(0, 4), _CODE, st.sampled_from([9, 10]))


@settings(deadline=None, max_examples=100)
@given(st.lists(_ROW), st.sampled_from(CHOICES), st.randoms(use_true_random=False))
def test_order_and_repetition_change_no_score(rows: Any, choice: tuple[str, str], random: Any) -> None:
    def score(of: Any) -> tuple[list[int], list[list[bool]]]:
        person = np.array([row[0] for row in of], dtype=int)
        code = np.array([row[1] for row in of], dtype=object)
        version = np.array([row[2] for row in of], dtype=int)
        found = comorbidity(person, code, version, n_persons=5, index=choice[0], weights=choice[1])
        impossible = [row for row in of if not normalise(row[1], row[2]).valid]
        flagged = sum(one.rows for one in found.unscored if not one.reason.startswith("less specific"))
        assert flagged == len(impossible)
        return found.score.tolist(), found.groups.tolist()

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert score(rows) == score(shuffled) == score(rows + rows)
