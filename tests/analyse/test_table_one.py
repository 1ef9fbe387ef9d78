"""Table 1 of a frame: numbers against R and by hand, small counts that stay unknown, and input that is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.table_one.columns import Levels, Numbers, read
from clinops.errors import DataError, DefinitionError
from clinops.render.table import layout
from clinops.results.result import Result
from clinops.stats.balance import balance
from tests.support import assert_close, case_file, oracle, oracle_csv

R = oracle("epi/group_tests")["expected"]
DATA = oracle_csv("epi/group_tests").drop(columns="seed")


def printed(result: Result) -> dict[str, list[str]]:
    """The cells of each row by its label, as a reader sees them; of rows with one label the first."""
    found: dict[str, list[str]] = {}
    for group in layout(result).groups:
        for row in group.rows:
            found.setdefault(row.head.text.strip(), [cell.text for cell in row.cells])
    return found


def lines(result: Result) -> pd.DataFrame:
    """The first line of each covariate, by its name."""
    return result.frame.drop_duplicates("covariate").set_index("covariate")


def levels(**counts: list[int]) -> pd.DataFrame:
    """One row a person from the counts of each level in arms a, b, ...; level "none" is missing."""
    rows = [
        (chr(97 + arm), None if level == "none" else level)
        for level, numbers in counts.items()
        for arm, n in enumerate(numbers)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=["arm", "level"])


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["arm", "site"])
def test_means_quartiles_and_p_equal_r(by: str) -> None:
    found = lines(
        co.table_one(
            DATA, by, ["age", "stay", "ldl", "smoking", "diabetes", "transplant"], nonnormal=["stay", "ldl"],
            tests=True, min_cell=1,
        )
    )  # fmt: skip
    for group, expected in R["moments"]["age"][by].items():
        assert_close(found.loc["age", f"value_{group}"], expected["mean"], 1e-12)
        assert_close(found.loc["age", f"spread_{group}"], np.sqrt(expected["variance"]), 1e-12)
        assert found.loc["age", f"denominator_{group}"] == expected["n"]
    for group, expected in R["moments"]["ldl"][by].items():
        three = [found.loc["ldl", f"{part}_{group}"] for part in ("low", "value", "high")]
        assert_close(three, expected["quartiles"], 1e-12)
    assert_close(found.loc["age", "p_value"], R["welch"]["age"][by]["p"], 1e-10)
    assert_close(found.loc["ldl", "p_value"], R["kruskal"]["ldl"][by]["p"], 1e-10)
    assert_close(found.loc["smoking", "p_value"], R["chi_squared"]["smoking"][by]["p"], 1e-10)
    rare = R["fisher"]["transplant"] if by == "arm" else R["chi_squared"]["transplant"][by]
    assert_close(found.loc["transplant", "p_value"], rare["p"], 1e-10)


def test_the_smd_of_two_arms_is_that_of_balance_and_of_case_c024() -> None:
    found = lines(co.table_one(DATA, "arm", ["age", "diabetes"], min_cell=1))
    expected = balance(DATA[["age", "diabetes"]], DATA["arm"] == "offered").smd
    assert_close(found["smd"], np.abs(expected), 1e-12)
    smoking = pd.read_csv(case_file("C024", "smoking.csv"))
    table = co.table_one(smoking, "arm", ["smoking"], min_cell=1)
    assert lines(table).loc["smoking", "smd"] == pytest.approx(0.725163, abs=5e-7)


def test_of_three_groups_the_largest_of_the_pairs() -> None:
    names = sorted(DATA["site"].unique())
    pairs = []
    for one, two in ((0, 1), (0, 2), (1, 2)):
        some = DATA[DATA["site"].isin([names[one], names[two]])]
        pairs.append(abs(balance(some[["age"]], some["site"] == names[one]).smd[0]))
    table = co.table_one(DATA, "site", ["age"], min_cell=1)
    assert_close(lines(table).loc["age", "smd"], max(pairs), 1e-12)
    assert any("largest of all pairs" in note for note in table.notes)


def test_weighted_numbers_equal_r_and_counts_are_not_weighted() -> None:
    table = co.table_one(DATA, "arm", ["age", "smoking", "ldl"], nonnormal="ldl", weights="weight", min_cell=1)
    found = lines(table)
    for group, expected in R["weighted_age"].items():
        assert_close(found.loc["age", f"value_{group}"], expected["mean"], 1e-12)
        assert_close(found.loc["age", f"spread_{group}"], np.sqrt(expected["variance"]), 1e-12)
        header = next(c for c in table.columns if c.name == f"value_{group}")
        n = (DATA["arm"] == group).sum()
        assert (header.label, header.unit) == (f"{group} (n = {n})", f"effective n = {expected['ess']:.0f}")
    some = DATA[(DATA["arm"] == "usual") & DATA["smoking"].notna()]
    never = some["smoking"] == "never"
    row = table.frame[table.frame["level"] == "never"].iloc[0]
    assert_close(row["value_usual"], some["weight"][never].sum() / some["weight"].sum(), 1e-12)
    assert row["count_usual"] == never.sum()
    # R's type 1: the first value at which the weights reach half
    known = DATA[DATA["ldl"].notna()].sort_values("ldl")
    half = known["ldl"][known["weight"].cumsum() >= known["weight"].sum() / 2].iloc[0]
    assert found.loc["ldl", "value_Overall"] == half


def test_equal_weights_change_no_number() -> None:
    plain = co.table_one(DATA, "arm", ["age", "smoking"], min_cell=1)
    equal = co.table_one(DATA.assign(w=2.5), "arm", ["age", "smoking"], weights="w", min_cell=1)
    assert_close(lines(equal)["smd"].to_numpy(), lines(plain)["smd"].to_numpy(), 1e-12)
    assert_close(lines(equal).loc["age", "spread_usual"], lines(plain).loc["age", "spread_usual"], 1e-12)
    zero = co.table_one(DATA.assign(w=(DATA["site"] != "west") * 1.0), "arm", ["age"], weights="w", min_cell=1)
    rest = co.table_one(DATA[DATA["site"] != "west"], "arm", ["age"], min_cell=1)
    assert_close(lines(zero).loc["age", "value_usual"], lines(rest).loc["age", "value_usual"], 1e-12)


# --- the page ----------------------------------------------------------------------------------------------


def test_it_prints_as_a_journal_has_it() -> None:
    frame = pd.DataFrame({
        "arm": ["b"] * 4 + ["a"] * 4, "age": [50, 60, 70, 80, 40, 40, 60, 60], "ldl": [1, 2, 3, 4, 2, 2, 4, None],
        "sex": ["F", "M", "M", "M", "F", "F", "M", None], "diabetes": [1, 0, 0, 0, 1, 1, 0, 0],
        "site": pd.Categorical(list("zyxzyxzy"), categories=["z", "y", "x", "w"]),
    })  # fmt: skip
    table = co.table_one(frame, "arm", nonnormal="ldl", labels={"arm": "Arm", "age": "Age, years"}, min_cell=1)
    assert [c.label for c in table.columns][1:4] == ["a (n = 4)", "b (n = 4)", "Overall (n = 8)"]
    assert [c.spanner for c in table.columns] == ["", "Arm", "Arm", "", ""]
    cells = printed(table)
    assert cells["Age, years, mean (SD)"][:2] == ["50.0 (11.5)", "65.0 (12.9)"]
    # linear quartiles of 2, 2, 4: 2, 2, 3; fewer than four values have none
    assert cells["ldl, median (Q1 to Q3)"][:3] == ["2.0", "2.5 (1.8 to 3.2)", "2.0 (2.0 to 3.5)"]
    assert cells["Missing"][:3] == ["1", "0", "1"]
    assert cells["sex: M, n (%)"][:3] == ["1/3 (33%)", "3/4 (75%)", "4/7 (57%)"]
    assert cells["diabetes, n (%)"][:3] == ["2 (50%)", "1 (25%)", "3 (38%)"]
    assert list(cells)[-4:] == ["site, n (%)", "z", "y", "x"]
    assert "p_value" not in table.frame


def test_the_parts_that_are_asked_for() -> None:
    one = co.table_one(DATA, covariates="diabetes", all_levels="diabetes", min_cell=1)
    assert list(printed(one)) == ["diabetes, n (%)", "0", "1"] and "smd" not in one.frame and one.sentence == ""
    two = co.table_one(DATA, "arm", "age", overall=False, digits={"age": 3}, min_cell=1, title="Who")
    assert [c.name for c in two.columns] == ["label", "value_offered", "value_usual", "smd"]
    assert printed(two)["age, mean (SD)"][0] == "58.740 (9.861)" and two.title == "Who"
    named = co.table_one(DATA.assign(arm=np.where(DATA["arm"] == "usual", "Overall", "n")), "arm", "age", min_cell=1)
    assert {"value_Overall", "value_n", "value_Overall_"} <= set(named.frame)
    assert "<table" in named._repr_html_() and "covariate,level" in str(named.to_csv())


def test_what_cannot_be_judged_is_said_and_never_called_small() -> None:
    frame = pd.DataFrame({"arm": list("aabb"), "apart": [0, 0, 1, 1], "flat": [7.0] * 4, "gone": [1.5, 2, None, None]})
    table = co.table_one(frame, "arm", tests=True, min_cell=1, continuous="flat")
    cells = printed(table)
    assert cells["apart, n (%)"][3:] == ["infinite", ".33"]  # Fisher: two of six tables are as extreme
    assert cells["flat, mean (SD)"][3:] == ["not estimable"] * 2
    assert cells["gone, mean (SD)"][1] == "not estimable"
    assert "is infinite (apart)" in table.sentence
    assert any("Fisher's exact test of apart" in note for note in table.notes)


# --- what a column is taken for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "names"),
    [
        (["b", "a", None], Levels, ("a", "b")),
        ([True, False, None], Levels, ("no", "yes")),
        (pd.array([True, None, False], dtype="boolean"), Levels, ("no", "yes")),
        (pd.array(["u", None, "v"], dtype="string"), Levels, ("u", "v")),
        (pd.Categorical(["hi", "lo", None], categories=["lo", "mid", "hi"]), Levels, ("lo", "hi")),
        ([0, 1, 1], Levels, ("0", "1")),
        ([0.0, 1.0, np.nan], Levels, ("0", "1")),
        ([1, 2, 3], Numbers, ()),
        (pd.array([1, None, 7], dtype="Int64"), Numbers, ()),
        ([Decimal("1.5"), None, Decimal("2")], Numbers, ()),
    ],
)
def test_columns_are_read_by_what_they_hold(values: Any, kind: type, names: tuple[str, ...]) -> None:
    found = read(pd.Series(values), "x")
    assert isinstance(found, kind)
    assert not isinstance(found, Levels) or found.names == names
    missing = pd.isna(pd.Series(values)).to_numpy()
    gone = found.codes < 0 if isinstance(found, Levels) else np.isnan(found.values)
    assert gone.tolist() == missing.tolist()


def test_a_few_whole_numbers_stay_numbers_and_are_named() -> None:
    frame = pd.DataFrame({"stage": [1, 2, 3, 4] * 5, "age": np.arange(20)})
    assert any("few whole values: stage" in note for note in co.table_one(frame, min_cell=1).notes)
    coded = co.table_one(frame, categorical="stage", min_cell=1)
    assert list(printed(coded))[:5] == ["stage, n (%)", "1", "2", "3", "4"]
    share = co.table_one(pd.DataFrame({"b": [True, False, False, False]}), continuous="b", min_cell=1)
    assert printed(share)["b, mean (SD)"] == ["0.25 (0.50)"]


# --- what is refused ---------------------------------------------------------------------------------------

PLAIN = pd.DataFrame({"arm": ["a", "a", "b", "b"], "age": [1.0, 2, 3, 4], "sex": list("fmfm"), "w": [1.0, 2, 1, 2]})


@pytest.mark.parametrize(
    ("changes", "options", "why"),
    [
        ({}, {"by": "arms"}, "Did you mean 'arm'"),
        ({}, {"by": "arm", "covariates": ["agee"]}, "Did you mean 'age'"),
        ({}, {"by": "arm", "nonnormal": ["ages"]}, r"nonnormal= 'ages'. Did you mean 'age'"),
        ({}, {"by": "arm", "labels": {"sexx": "Sex"}}, "Did you mean 'sex'"),
        ({}, {"by": "arm", "covariates": ["arm", "age"]}, "is a covariate and also by="),
        ({}, {"by": "arm", "covariates": ["age", "age"]}, "stands twice"),
        ({}, {"by": "arm", "categorical": "age", "nonnormal": "age"}, "both as categorical and as a number"),
        ({}, {"by": "w", "weights": "w"}, "both as by and as weights"),
        ({}, {"by": "arm", "weights": "w", "tests": True}, "tests=True with weights"),
        ({}, {"tests": True}, "no groups to compare"),
        ({}, {"by": "arm", "min_cell": 0}, "min_cell is 0"),
    ],
)
def test_a_wrong_call_is_refused(changes: dict[str, Any], options: dict[str, Any], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        co.table_one(PLAIN.assign(**changes), **options)


@pytest.mark.parametrize(
    ("changes", "options", "why"),
    [
        ({"arm": ["a", None, "b", None]}, {"by": "arm"}, "2 of 4 rows have no value of 'arm'"),
        ({"arm": "a"}, {"by": "arm"}, "same value of 'arm'"),
        ({"age": [1, np.inf, 2, 3]}, {"by": "arm"}, "'age': some values are infinite"),
        ({"age": [1, -np.inf, 2, 3]}, {"by": "arm", "nonnormal": "age"}, "'age': some values are infinite"),
        ({"age": pd.Timestamp("2020-01-01")}, {}, "datetime64"),
        ({"age": dt.date(2020, 1, 1)}, {}, "of type date"),
        ({"age": [1, "n/a", 2, 3]}, {}, "mixes text with numbers"),
        ({"age": [[1], [2], [3], [4]]}, {}, "cannot be counted"),
        ({}, {"continuous": "sex"}, "holds text"),
        ({"w": [1, 1, None, -1]}, {"weights": "w"}, "2 weights in 'w'"),
        ({"w": "heavy"}, {"weights": "w"}, "numbers"),
        ({"w": 0.0}, {"weights": "w"}, "All weights"),
        ({"sex": ["1", "1 ", "1", "1"], "age": pd.Series([1, "1", 1, "1"])}, {"covariates": ["age"]}, "mixes"),
    ],
)
def test_data_that_make_no_table_are_refused(changes: dict[str, Any], options: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        co.table_one(PLAIN.assign(**changes), **options)


def test_frames_that_make_no_table_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        co.table_one(PLAIN.iloc[:0], "arm")
    with pytest.raises(DataError, match="two columns named age"):
        co.table_one(pd.concat([PLAIN, PLAIN[["age"]]], axis=1), "arm")
    with pytest.raises(DataError, match="a dict was given"):
        co.table_one({"age": [1]})  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="no covariate"):
        co.table_one(PLAIN[["arm"]], "arm")
    many = pd.DataFrame({"id": [f"p{at}" for at in range(150)], "x": np.arange(150)})
    with pytest.raises(DataError, match="150 levels; a table shows at most 100"):
        co.table_one(many)
    with pytest.raises(DataError, match="30 values; a table compares at most 10 groups"):
        co.table_one(many.head(30), by="x")


# --- small counts ------------------------------------------------------------------------------------------


def possible(known: np.ndarray, sizes: list[int], small: np.ndarray) -> list[np.ndarray]:
    """Every table of whole counts that a reader must hold possible: rows are levels and missing, columns arms and all.

    NaN in `known` is a hidden cell, 1 to 3 where `small`. Each column adds up to its size, each row's arms to the last.
    """
    columns = []
    for j in range(2):
        free = np.flatnonzero(np.isnan(known[:, j]))
        ranges = [range(1, 4) if small[i, j] else range(sizes[j] + 1) for i in free]
        filled = [known[:, j].copy() for _ in product(*ranges)]
        for column, values in zip(filled, product(*ranges), strict=True):
            column[free] = values
        columns.append([column for column in filled if column.sum() == sizes[j]])
    found = []
    for a, b in product(*columns):
        total = a + b
        fits = (np.isnan(known[:, 2]) | (known[:, 2] == total)).all()
        if fits and all(1 <= total[i] <= 3 for i in np.flatnonzero(small[:, 2])):
            found.append(np.column_stack([a, b, total]))
    return found


@pytest.mark.parametrize(
    "counts",
    [
        {"x": [9, 8], "y": [1, 6], "z": [5, 5]},
        {"x": [9, 8], "y": [6, 6], "none": [2, 0]},
        {"x": [9, 8], "y": [6, 6], "z": [5, 4], "none": [2, 1]},
        {"x": [9, 12], "y": [2, 1], "z": [6, 4], "none": [0, 2]},
        {"x": [14, 12], "y": [2, 5]},
        {"x": [1, 12], "y": [1, 5], "none": [9, 0]},
    ],
)
def test_a_small_count_has_more_than_one_possible_value(counts: dict[str, list[int]]) -> None:
    """The reader's attack, by trying every table; the smallest count shown is 4, so that there are few to try."""
    frame = levels(**counts)
    table = co.table_one(frame, "arm", all_levels="level", min_cell=4)
    sizes = [*frame["arm"].value_counts().sort_index(), len(frame)]
    rows = [at for at, how in enumerate(table.frame["format"]) if how != "text"]
    columns = ["value_a", "value_b", "value_Overall"]
    known = table.frame.loc[rows, columns].to_numpy(float)
    said = {(at, name): text for at, name, text in table.hidden}
    small = np.array([[said.get((at, name)) == "<4" for name in columns] for at in rows])
    tables = possible(known, sizes, small)
    assert tables
    for place in zip(*np.nonzero(np.isnan(known)), strict=True):
        assert len({each[place] for each in tables}) > 1, f"{place} is known"
    assert not any(0 < value < 4 for value in known[~np.isnan(known)])


def test_the_rest_of_two_levels_is_hidden_with_the_one_that_is_shown() -> None:
    """48 of 50 would say that two are not; the SMD goes too."""
    cells = printed(co.table_one(levels(no=[2, 15], yes=[48, 45]), "arm", tests=True))
    assert cells["level, n (%)"] == ["hidden", "hidden", "93 (84.5%)", "hidden", "hidden"]


def test_few_missing_values_leave_the_numbers_and_take_their_digits() -> None:
    rng = np.random.default_rng(2)
    age = np.round(rng.normal(60, 9, 120))
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 60), "age": age, "ill": [0, 1] * 60})
    frame.loc[[1, 2, 3], ["age", "ill"]] = np.nan
    table = co.table_one(frame, "arm")
    cells = printed(table)
    assert cells["Missing"][:3] == ["<11", "0", "<11"]
    # the mean in full, times each possible number of values, is whole for one of them: it is kept as it prints
    row = lines(table).loc["age"]
    assert row["value_a"] == round(float(frame["age"][:60].mean()), 1) and pd.isna(row["denominator_a"])
    # of everybody in the arm, since how many have a value is not shown
    assert cells["ill, n (%)"][0] == "28/60 (47%)"
    assert any("of everybody in the column" in note for note in table.notes)


def test_nothing_is_shown_of_a_small_group_and_everybody_goes_with_it() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"arm": ["a"] * 7 + ["b"] * 60, "age": rng.normal(size=67), "sex": rng.choice(["f", "m"], 67)})
    table = co.table_one(frame, "arm", tests=True)
    assert [c.label for c in table.columns][1:3] == ["a (n = <11)", "b (n = 60)"]
    cells = printed(table)
    assert cells["age, mean (SD)"][0] == "hidden" and cells["age, mean (SD)"][2:] == ["hidden", "hidden"]
    assert cells["sex: m, n (%)"][0] == "hidden" and cells["sex: m, n (%)"][1] != "hidden"
    assert table.frame[[c for c in table.frame if c.endswith("_a")]].isna().all().all()
    weighted = co.table_one(frame.assign(w=np.tile([1.0, 3.0, 2.0], 23)[:67]), "arm", weights="w")
    assert [c.unit for c in weighted.columns][1] == "effective n = <11"


def test_of_a_group_with_few_values_everybody_is_hidden_too() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 50), "ldl": rng.normal(size=100)})
    frame.loc[5:49, "ldl"] = np.nan
    assert printed(co.table_one(frame, "arm", tests=True))["ldl, mean (SD)"][0::2] == ["hidden"] * 3


def test_a_mean_that_tells_a_count_is_hidden() -> None:
    """Of 60 persons 7 with a 2 and 53 with a 1: the mean is 1 + 7/60."""
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 60), "code": [2] * 7 + [1] * 53 + [1, 2] * 30})
    frame["ill"] = frame["code"] - 1
    cells = printed(co.table_one(frame, "arm", continuous="ill"))
    for name in ("code", "ill"):
        assert cells[f"{name}, mean (SD)"][0] == "hidden" and cells[f"{name}, mean (SD)"][2:] == ["hidden", "hidden"]


def test_one_hidden_count_of_many_groups_does_not_follow_from_their_sum() -> None:
    frame = levels(x=[40, 30, 30, 30, 5, 30], y=[40, 30, 30, 30, 45, 30])
    table = co.table_one(frame, "arm", all_levels="level")
    for cells in (printed(table)["x"], printed(table)["y"]):
        assert sum(cell in ("<11", "hidden") for cell in cells[:7]) >= 2


def test_protection_finds_nothing_that_was_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from clinops.analyse.table_one import facade

    made: list[Result] = []
    keep = facade._made

    def kept(*given: Any) -> Result:
        made.append(keep(*given))
        return made[-1]

    monkeypatch.setattr(facade, "_made", kept)
    rng = np.random.default_rng(6)
    for k in (2, 3):
        n = 300
        frame = pd.DataFrame({
            "g": rng.integers(0, k, n), "c": rng.choice(list("pqrs"), n, p=[0.5, 0.4, 0.06, 0.04]),
            "b": rng.random(n) < 0.05, "x": rng.normal(size=n),
        })  # fmt: skip
        frame.loc[rng.random(n) < 0.02, "x"] = np.nan
        frame.loc[rng.random(n) < 0.02, "c"] = None
        assert co.table_one(frame, "g").hidden == tuple(sorted(made[-1].hidden))
        assert made[-1].hidden


def test_a_group_called_patients_is_no_count() -> None:
    frame = pd.DataFrame({"arm": np.repeat(["patients", "controls"], 50), "stay": np.tile(np.arange(1.0, 51), 2)})
    assert printed(co.table_one(frame, "arm", nonnormal="stay"))["stay, median (Q1 to Q3)"][1] == "25.5 (13.2 to 37.8)"
