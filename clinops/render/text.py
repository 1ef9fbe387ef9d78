"""Numbers and sentences as journals print them. Everything here takes numbers and returns text."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from clinops.errors import DefinitionError, unknown

MINUS, INFINITY, DASH = "\u2212", "\u221e", "\u2013"
NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True)
class NumberStyle:
    """How a journal writes numbers.

    Attributes
    ----------
    group_from : thousands are separated by commas from this number on.
    leading_zero_p : whether P keeps the zero before its decimal point.
    """

    name: str
    group_from: int = 1000
    leading_zero_p: bool = False


#: "report" is "jama" with commas from 1,000 on (JAMA starts at 10,000): columns of mixed length line up.
STYLES = {
    "report": NumberStyle("report"),
    "jama": NumberStyle("jama", group_from=10_000),
    "plain": NumberStyle("plain", leading_zero_p=True),
}
DEFAULT = STYLES["report"]

SYMBOLS = {"USD": "$", "EUR": "\u20ac", "GBP": "\u00a3"}


def number_style(name: str) -> NumberStyle:
    """Return a style by its name."""
    if name not in STYLES:
        raise DefinitionError(unknown("number style", name, STYLES))
    return STYLES[name]


def number(value: float, digits: int = 0, style: NumberStyle = DEFAULT) -> str:
    """Return a number with so many decimals, commas and a true minus: -1234.5 is "−1,234.5" at one decimal."""
    if math.isnan(value):
        return NOT_ESTIMABLE
    if math.isinf(value):
        return INFINITY if value > 0 else MINUS + INFINITY
    size = round(abs(value), digits)
    text = f"{size:,.{digits}f}" if size >= style.group_from else f"{size:.{digits}f}"
    return MINUS + text if value < 0 and float(f"{size:.{digits}f}") != 0 else text


def ratio_digits(value: float) -> int:
    """Return the decimals of a ratio: two, fewer where it is large, three where two would hide it."""
    size = abs(value)
    if not math.isfinite(value) or size < 9.995:
        return 3 if 0 < size < 0.095 else 2
    return 1 if size < 99.95 else 0


def ratio(value: float, style: NumberStyle = DEFAULT) -> str:
    """Return a ratio; one too small for three decimals is "<0.001"."""
    if 0 < value < 0.0005:
        return "<0.001"
    return number(value, ratio_digits(value), style)


def percent_digits(denominator: float) -> int:
    """Return the decimals that a denominator carries: none below 100, else one (JAMA)."""
    return 0 if denominator < 100 else 1


def percent(share: float, digits: int = 1, style: NumberStyle = DEFAULT) -> str:
    """Return a share as a percentage: 0.196 is "19.6%"; an infinite one has no sign of percent."""
    text = number(100 * share, digits, style)
    return text + "%" if math.isfinite(share) else text


def count_of(
    part: float, whole: float, style: NumberStyle = DEFAULT, digits: int | None = None, *, alone: bool = False
) -> str:
    """Return a count with its denominator and percentage: 45 of 230 is "45/230 (19.6%)", alone "45 (19.6%)"."""
    if math.isnan(part) or math.isnan(whole):
        return DASH if math.isnan(part) else number(part, 0, style)
    shown = number(part, 0, style) if alone else f"{number(part, 0, style)}/{number(whole, 0, style)}"
    if whole == 0:
        return shown
    return f"{shown} ({percent(part / whole, percent_digits(whole) if digits is None else digits, style)})"


def money(value: float, currency: str = "", digits: int = 0, style: NumberStyle = DEFAULT) -> str:
    """Return an amount with its currency: "$1,234", "−€20", "CHF 1,234"; without one, the bare amount."""
    text = number(abs(value), digits, style)
    if text == NOT_ESTIMABLE:
        return text
    sign = MINUS if value < 0 and float(f"{abs(value):.{digits}f}") != 0 else ""
    if currency in SYMBOLS:
        return f"{sign}{SYMBOLS[currency]}{text}"
    return f"{sign}{currency} {text}" if currency else sign + text


def p_value(value: float, style: NumberStyle = DEFAULT) -> str:
    """Return P as the AMA manual has it: .03, .049 (never rounded across .05), .004, <.001, >.99."""
    if math.isnan(value):
        return NOT_ESTIMABLE
    if value < 0.001:
        text = "<0.001"
    elif value > 0.99:
        text = ">0.99"
    elif value < 0.05 <= round(value, 3):
        text = f"{value:.4f}" if round(value, 4) < 0.05 else "<0.05"
    elif value < 0.01 or (value < 0.05 <= round(value, 2)):
        text = f"{value:.3f}"
    else:
        text = f"{value:.2f}"
    return text if style.leading_zero_p else text.replace("0.", ".", 1)


def date(value: Any) -> str:
    """Return a date as YYYY-MM-DD, which no reader takes for another day."""
    if value is None or value != value or type(value).__name__ == "NaTType":
        return DASH
    return value.strftime("%Y-%m-%d") if isinstance(value, dt.date) else str(value)


def interval(estimate: str, low: str, high: str) -> str:
    """Return an estimate with its interval: "1.35 (1.10 to 1.65)"; an estimate that is not there stands alone."""
    if NOT_ESTIMABLE in (estimate, low, high):
        return estimate
    return f"{estimate} ({low} to {high})"


#: What an effect is called on each scale, and its value where there is none.
SCALES: dict[str, tuple[str, float]] = {
    "hazard ratio": ("hazard ratio", 1.0),
    "risk ratio": ("risk ratio", 1.0),
    "rate ratio": ("rate ratio", 1.0),
    "odds ratio": ("odds ratio", 1.0),
    "mean ratio": ("ratio of means", 1.0),
    "risk difference": ("risk difference", 0.0),
    "rate difference": ("rate difference", 0.0),
    "mean difference": ("difference in means", 0.0),
    "difference": ("difference", 0.0),
}

ESTIMANDS = {
    "att": "the effect in the exposed (ATT)",
    "ate": "the effect in everybody (ATE)",
    "overlap": "the effect in the overlap population",
    "atc": "the effect in the comparators (ATC)",
    "matching": "the effect in those who could be matched one to one (ATM)",
    "matched treated": "the effect in the exposed who could be matched",
    "itt": "the effect of the offer (intention to treat)",
    "cace": "the effect in compliers",
}


def effect_sentence(
    measure: str, estimate: float, low: float, high: float, *, scale: str, exposed: str, comparator: str,
    estimand: str | None = None, assumptions: str = "", unit: str = "", level: float = 0.95,
    style: NumberStyle = DEFAULT,
) -> str:  # fmt: skip
    """Return one sentence for an effect; a causal word needs a stated estimand and stated assumptions.

    Without both it says how much higher or lower the measure was, as an association. An interval that
    holds the value of no effect is said to be too uncertain, never to show "no effect".

    Parameters
    ----------
    measure, exposed, comparator : names as the report prints them.
    estimate, low, high : on the scale; NaN where it could not be estimated.
    scale : one of `SCALES`.
    estimand : key of `ESTIMANDS`; None for a crude comparison.
    assumptions : what it takes for the estimate to be the effect, after "provided that".
    unit : of a difference ("per 1,000", "days"; a currency code prints as money).
    level : of the interval.

    Raises
    ------
    DefinitionError
        An unknown scale or estimand.
    """
    if scale not in SCALES:
        raise DefinitionError(unknown("scale of an effect", scale, SCALES))
    if estimand is not None and estimand not in ESTIMANDS:
        raise DefinitionError(unknown("estimand", estimand, ESTIMANDS))
    word, null = SCALES[scale]
    if math.isnan(estimate):
        return f"{measure}: the {word} of {exposed} v {comparator} could not be estimated."
    numbers = f"{word}, {_numbers(estimate, low, high, null, unit, level, style)}"
    direction = "higher" if estimate > null else "lower"
    if math.isnan(low) or math.isnan(high) or low <= null <= high:
        return (
            f"{measure}: too uncertain to say whether higher or lower with {exposed} than with {comparator} "
            f"({numbers})."
        )
    if estimand is None or not assumptions:
        return f"{measure}: {direction} with {exposed} than with {comparator} ({numbers}); an association."
    verb = "raised" if estimate > null else "lowered"
    return (
        f"{measure}: {verb} by {exposed} compared with {comparator} ({numbers}): {ESTIMANDS[estimand]}, "
        f"provided that {assumptions}."
    )


def _numbers(estimate: float, low: float, high: float, null: float, unit: str, level: float, style: NumberStyle) -> str:
    currency = unit in SYMBOLS or (len(unit) == 3 and unit.isupper())
    digits = 1 if abs(estimate) >= 0.995 else 3

    def shown(value: float) -> str:
        if null == 1:
            return ratio(value, style)
        return money(value, unit, style=style) if currency else number(value, digits, style)

    of = f" {unit}" if null == 0 and unit and not currency else ""
    if math.isnan(low) or math.isnan(high):
        return f"{shown(estimate)}{of}; interval {NOT_ESTIMABLE}"
    return f"{shown(estimate)}{of}; {100 * level:g}% CI, {shown(low)} to {shown(high)}"
