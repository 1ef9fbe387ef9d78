"""Numbers and sentences as journals print them; expectations from the AMA manual's rules (docs/report.md)."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from clinops.errors import DefinitionError
from clinops.render import text as say


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (1844, 0, "1,844"), (999, 0, "999"), (36127, 0, "36,127"), (-1234.5, 1, "−1,234.5"), (0.0, 2, "0.00"),
        (-0.004, 2, "0.00"), (999.96, 1, "1,000.0"), (math.nan, 1, "not estimable"), (math.inf, 1, "∞"),
        (-math.inf, 1, "−∞"),
    ],
)  # fmt: skip
def test_numbers(value: float, digits: int, shown: str) -> None:
    assert say.number(value, digits) == shown


@pytest.mark.parametrize(("value", "shown"), [(6500, "6500"), (9999, "9999"), (36127, "36,127")])
def test_jama_groups_thousands_from_ten_thousand(value: float, shown: str) -> None:
    assert say.number(value, 0, say.number_style("jama")) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.03, ".03"), (0.034, ".03"), (0.049, ".049"), (0.0496, ".0496"), (0.04999, "<.05"),
        (0.05, ".05"), (0.051, ".05"), (0.2, ".20"),
        (0.0042, ".004"), (0.001, ".001"), (0.00099, "<.001"), (0.0, "<.001"), (0.991, ">.99"), (1.0, ">.99"),
        (0.99, ".99"), (math.nan, "not estimable"),
    ],
)  # fmt: skip
def test_p_values(value: float, shown: str) -> None:
    assert say.p_value(value) == shown


def test_plain_style_keeps_the_zero_of_p() -> None:
    assert [say.p_value(p, say.number_style("plain")) for p in (0.03, 0.0001, 0.999)] == ["0.03", "<0.001", ">0.99"]


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (45, 230, "45/230 (19.6%)"), (9, 50, "9/50 (18%)"), (0, 230, "0/230 (0.0%)"), (1, 0, "1/0"),
        (1844, 36127, "1,844/36,127 (5.1%)"), (math.nan, 230, "–"),
    ],
)  # fmt: skip
def test_every_percentage_prints_its_denominator(part: float, whole: float, shown: str) -> None:
    assert say.count_of(part, whole) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.347, "1.35"), (0.804, "0.80"), (12.34, "12.3"), (123.4, "123"), (0.0123, "0.012"), (0.0001, "<0.001"),
        (0.0, "0.00"), (math.inf, "∞"), (math.nan, "not estimable"), (9.999, "10.0"),
    ],
)  # fmt: skip
def test_ratios(value: float, shown: str) -> None:
    assert say.ratio(value) == shown


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        (1234.4, "USD", "$1,234"), (-20, "EUR", "−€20"), (5, "CHF", "CHF 5"), (5, "", "5"), (-0.2, "USD", "$0"),
        (math.nan, "USD", "not estimable"), (-math.inf, "GBP", "−£∞"),
    ],
)  # fmt: skip
def test_money(value: float, currency: str, shown: str) -> None:
    assert say.money(value, currency) == shown


def test_dates() -> None:
    assert say.date(dt.date(2020, 1, 31)) == "2020-01-31"
    assert say.date(None) == "–"


def sentence(**more: object) -> str:
    given: dict[str, object] = {
        "measure": "Haemorrhage", "estimate": 1.35, "low": 1.10, "high": 1.65, "scale": "hazard ratio",
        "exposed": "celecoxib", "comparator": "diclofenac",
    }  # fmt: skip
    return say.effect_sentence(**{**given, **more})  # type: ignore[arg-type]


def test_without_estimand_and_assumptions_no_causal_word() -> None:
    for more in ({}, {"estimand": "att"}, {"assumptions": "x"}):
        said = sentence(**more)
        assert said.endswith("an association.")
        assert not any(word in said for word in ("raised", "lowered", "effect", "caused"))


def test_with_both_the_estimand_and_the_assumptions_are_said() -> None:
    said = sentence(estimand="att", assumptions="nothing unmeasured differs between the arms")
    assert said == (
        "Haemorrhage: raised by celecoxib compared with diclofenac (hazard ratio, 1.35; 95% CI, 1.10 to 1.65): "
        "the effect in the exposed (ATT), provided that nothing unmeasured differs between the arms."
    )


@pytest.mark.parametrize("low", [0.9, math.nan])
def test_an_interval_with_no_effect_in_it_is_never_no_effect(low: float) -> None:
    said = sentence(low=low, estimand="att", assumptions="x")
    assert "too uncertain to say" in said
    assert "raised" not in said


def test_differences_say_their_unit_and_money_its_currency() -> None:
    assert "47.8 per 1,000; 95% CI, 16.2 to 79.4" in sentence(
        estimate=47.8, low=16.2, high=79.4, scale="risk difference", unit="per 1,000"
    )
    assert "−$1,200; 95% CI, −$2,000 to −$400" in sentence(
        estimate=-1200, low=-2000, high=-400, scale="mean difference", unit="USD"
    )


def test_what_could_not_be_estimated_is_said() -> None:
    assert "could not be estimated" in sentence(estimate=math.nan)


@pytest.mark.parametrize("wrong", [{"scale": "hazrd ratio"}, {"estimand": "atx"}])
def test_unknown_words_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match="Did you mean"):
        sentence(**wrong)
