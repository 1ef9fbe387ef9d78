"""Numbers in sentences, as a journal prints them: a real minus sign, thousands apart, no false precision."""

from __future__ import annotations

import math

MINUS = "\u2212"


def decimals(*values: float) -> int:
    """Decimals for numbers printed together: none from 100 on, else one."""
    known = [abs(v) for v in values if math.isfinite(v)]
    return 0 if known and max(known) >= 100 else 1


def number(value: float, places: int | None = None) -> str:
    """Return a number for a sentence; NaN is "not estimable"."""
    if math.isnan(value):
        return "not estimable"
    said = f"{abs(value):,.{decimals(value) if places is None else places}f}"
    zero = not any(digit in said for digit in "123456789")
    return said if value >= 0 or zero else MINUS + said


def interval(estimate: float, low: float, high: float, unit: str = "") -> str:
    """Return an estimate with its unit and its 95% interval, all to the same precision."""
    places = decimals(estimate, low, high)
    shown = [number(value, places) for value in (estimate, low, high)]
    return f"{shown[0]}{f' {unit}' if unit else ''} (95% CI {shown[1]} to {shown[2]})"
