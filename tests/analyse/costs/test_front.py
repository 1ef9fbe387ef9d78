"""The first page: the verdict in its order of precedence, the main table by hand, naive beside adjusted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clinops.analyse.costs import front
from clinops.results.result import Check
from tests.analyse.costs.support import at_stake, censored, charged, cost_rows, random_rows, scored
from tests.analyse.support import COST, COUNT, HOME, TIME, protocol

Z = 1.959963984540054


def saved(net: float, spread: float = 10.0, fee: float | None = 0.0):
    """Fifty persons an arm; the net saving per person, with costs that vary by `spread` either way."""
    wave = np.tile([-spread, spread], 25)
    rows = cost_rows(np.repeat([1, 0], 50), np.concatenate([500 - net - (fee or 0) + wave, 500 + wave]))
    return at_stake(replace(rows, **charged(rows, fee)))


def check(name: str, passed: bool | None) -> Check:
    import pandas as pd

    return Check(name, "Is it?", pd.DataFrame({"a": [1]}), sentence=f"Sentence of {name}.", passed=passed)


@pytest.mark.parametrize(
    ("net", "spread", "worthwhile", "label", "said"),
    [
        (50, 10, None, "benefit", "the whole interval is a saving"),
        (-50, 10, None, "harm", "the whole interval is an added cost"),
        (1, 50, None, "too uncertain", "both a saving and an added cost are compatible"),
        (1, 10, 30, "no worthwhile difference", "less than the 30 worth having"),
        (20, 10, 30, "no worthwhile difference", "less than the 30 worth having"),  # sure, and too little
        (50, 10, 30, "benefit", "the whole interval is a saving"),
        (1, 500, 30, "too uncertain", "both a saving"),
    ],
)
def test_the_verdict(net: float, spread: float, worthwhile: float | None, label: str, said: str) -> None:
    found, words = front.verdict(saved(net, spread), (), worthwhile)
    assert found == label and said in words


def test_the_limits_in_the_verdict_are_those_of_the_net() -> None:
    at = saved(50)
    net, error = at.net()
    assert net == pytest.approx(50)
    # 100 persons, each 10 from his mean: CR1 (100/98) x (2 x 50 x (10/50)^2)
    assert error == pytest.approx(np.sqrt(100 / 98 * 100 * 0.2**2))
    low, high = (f"{50 + sign * Z * error:.1f}" for sign in (-1, 1))
    assert f"50.0 USD per person (95% CI {low} to {high})" in front.verdict(at, ())[1]


def test_the_fee_is_in_the_verdict_where_it_is_known() -> None:
    assert front.verdict(saved(-20, fee=70), ())[0] == "harm"
    label, said = front.verdict(saved(50, fee=None), ())
    assert label == "benefit" and said.startswith("Before any programme fee, which is not known,")


def test_the_verdict_is_of_the_one_whose_perspective_is_taken() -> None:
    """A payer's saving of 50 is a provider's loss of 15 at a margin of 0.3; a system that owns all keeps 35."""
    wave = np.tile([-10.0, 10.0], 25)
    rows = cost_rows(np.repeat([1, 0], 50), np.concatenate([450 + wave, 500 + wave]))
    rows = replace(rows, **charged(rows, 40.0))
    error = np.sqrt(100 / 98 * 100 * 0.2**2)
    for perspective, worth, share, label, said in (
        ("payer", 10, 1.0, "benefit", "Net of the programme fee 10.0"),
        ("at-risk system", -5, 0.7, "harm", "To the system, net of the programme fee −5.0"),
        ("provider margin", -15, 0.3, "harm", "To the provider, whose revenue a saving is, −15.0"),
    ):
        at = at_stake(rows, perspective=perspective, margin=0.3)
        assert at.worth() == pytest.approx((worth, share * error))
        found, words = front.verdict(at, ())
        assert found == label and words.startswith(said)
    unstated = front.verdict(at_stake(rows, perspective="at-risk system"), ())
    assert unstated[0] == "benefit" and unstated[1].startswith("To the payer (the system's margin is not stated)")


@pytest.mark.parametrize("name", front.DECISIVE)
def test_a_decisive_failure_comes_before_any_interval(name: str) -> None:
    label, said = front.verdict(saved(50), (check("cost_check_tails", False), check(name, False)))
    assert label == "not interpretable" and f"Sentence of {name}" in said and "tails" not in said


def test_other_failures_and_what_is_not_judged_do_not_decide() -> None:
    judged = (check("cost_check_tails", False), check("cost_check_prices", False), check(front.DECISIVE[0], None))
    assert front.verdict(saved(50), judged)[0] == "benefit"


@pytest.mark.parametrize("rows", [cost_rows([1] * 4, [1.0, 2, 3, 4]), cost_rows([1, 0], [1.0, 2])], ids=["arm", "pair"])
def test_without_an_interval_there_is_no_verdict(rows: Any) -> None:
    assert front.verdict(at_stake(rows), ()) == (
        "not interpretable", "No saving could be estimated from these costs.",
    )  # fmt: skip


# --- the main table and the strip ---------------------------------------------------------------


def test_the_main_table_by_hand() -> None:
    rows = cost_rows([1, 1, 0, 0], [[30, 0], [50, 40], [100, 60], [0, 100]], died=[1, 0, 0, 0], months=[1, 2, 2, 2])
    rows = replace(rows, **charged(rows, 12.0, [1, 0, 0, 0]))
    frame = front.main_table(rows, at_stake(rows)).frame.set_index("line")
    assert frame["estimate"].tolist() == pytest.approx([60 - 130, 6, -64, 500, 120 / 3 - 260 / 4])
    assert frame.loc["Deaths", ["value_exposed", "value_comparator"]].tolist() == [500, 0]
    assert frame.loc["Programme fee", "value_comparator"] == 0
    assert frame["events_exposed"].dropna().tolist() == [1] and frame["events_comparator"].dropna().tolist() == [0]


def test_without_a_fee_the_main_table_has_no_net() -> None:
    rows = random_rows(1)
    assert front.main_table(rows, at_stake(rows)).frame["line"].tolist() == [
        "Cost of care over the horizon", "Deaths", "Cost per member-month",
    ]  # fmt: skip


def test_net_and_care_in_one_table_agree() -> None:
    rows = scored(censored(random_rows(6), 6), 6)
    rows = replace(rows, **charged(rows, 0.0))
    frame = front.main_table(rows, at_stake(rows)).frame.set_index("line")
    care, net = frame.loc["Cost of care over the horizon"], frame.loc["Net: care and fee"]
    assert net[["estimate", "low", "high"]].tolist() == pytest.approx(care[["estimate", "low", "high"]].tolist())


def test_two_years_say_that_care_is_not_discounted_in_the_first_line() -> None:
    rows = cost_rows([1, 1, 0, 0], np.random.default_rng(1).uniform(0, 9, (4, 24)))
    made = front.main_table(rows, at_stake(rows, discount_rate=0.05))
    assert "discounted in fee and net only" in made.notes[0]


def test_the_strip_shows_crude_adjusted_and_the_truth() -> None:
    rows = scored(random_rows(2))
    made = front.strip(rows, -12.0)
    assert made.frame["label"].tolist() == ["Crude", "Adjusted: ATT weighting", "Truth (simulated)"]
    plain = rows.total[rows.exposed].mean() - rows.total[~rows.exposed].mean()
    weighted = rows.values(rows.total).value[:, 0]
    assert made.frame["estimate"].tolist() == pytest.approx([plain, weighted[0] - weighted[1], -12])
    assert front.strip(random_rows(2), None).frame["label"].tolist() == ["Crude"]


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "said"), [(0, "0 A"), (3, "<11 A"), (10, "<11 A"), (11, "11 A"), (12345, "12,345 A")])
def test_persons_are_told_from_the_smallest_count_on(n: int, said: str) -> None:
    assert front._persons(n, 11, "A") == said


@pytest.mark.parametrize(
    ("effect", "unit"),
    [
        ("Days at home", "day at home"), ("Emergency visits", "event averted (emergency visits)"),
        ("Death", "death averted"), ("Unheard of", "unit of effect"), ("", "unit of effect"),
    ],
)  # fmt: skip
def test_the_unit_of_the_effect(effect: str, unit: str) -> None:
    study = SimpleNamespace(protocol=protocol(outcomes=(COST, HOME, COUNT, TIME)))
    assert front.effect_unit(effect, study) == unit
    assert front.effect_unit(effect, None) == "unit of effect"


def care_of(**plan: Any) -> Any:
    design = SimpleNamespace(protocol=SimpleNamespace(assignment=plan.pop("assignment", "observational")))
    return SimpleNamespace(study=design, plan=SimpleNamespace(**({"prices": None} | plan)))


def test_threats_are_failed_checks_first_and_no_more_than_three() -> None:
    failed = tuple(check(f"cost_check_{i}", False) for i in range(4))
    assert len(front._threats(care_of(), failed)) == 3
    one = front._threats(care_of(), failed[:1])
    assert one[0].startswith("Is it? No:") and "chosen, not drawn" in one[1] and "Prices are as recorded" in one[2]
    drawn = front._threats(care_of(assignment="random", prices="2022"), ())
    assert drawn == ("Care that no claim tells of is neither counted nor paid for here.",)
    defended = care_of(assignment="as if random")
    defended.study.protocol.assignment_reason = "By a number that the insurer drew."
    assert "defended as if random (By a number that the insurer drew)" in front._threats(defended, ())[0]
    assert "Prices" not in " ".join(front._threats(care_of(), (check("cost_check_prices", False),))[1:])


def test_a_worthwhile_difference_is_that_of_a_primary_cost() -> None:
    def worth(*outcomes: Any) -> float | None:
        return front._worthwhile(SimpleNamespace(study=SimpleNamespace(protocol=protocol(outcomes=outcomes))))

    assert worth(replace(COST, worthwhile=300.0)) == 300
    assert worth(replace(COUNT, role="primary", worthwhile=1.0)) is None
    assert front._worthwhile(SimpleNamespace(study=None)) is None
