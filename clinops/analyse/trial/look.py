"""How a trial's numbers print: the format of each row by its unit and spread, and the columns tables share."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from clinops.analyse import words
from clinops.analyse.trial.estimates import Row
from clinops.define.trial import TrialPlan
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

CURRENCY = re.compile(r"^[A-Z]{3}(?![A-Za-z])")
NUMBERS = ("n_exposed", "n_comparator", "events_exposed", "events_comparator")
"""The counts that an estimate rests on; events only where an outcome counts them."""


def currency_of(plan: TrialPlan) -> str:
    """The currency of the outcomes ("USD"), empty where none is money; the first where they differ."""
    found = (CURRENCY.match(unit) for unit in plan.units)
    return next((one.group() for one in found if one), "")


def formats(plan: TrialPlan, row: Row, spread: float) -> tuple[str, str]:
    """How a mean and a difference of an outcome print, by its unit and standard deviation."""
    currency = currency_of(plan)
    if currency and str(row.get("unit") or "").startswith(currency):
        return "money", "money"
    if not math.isfinite(spread) or spread >= 5:
        return "mean", "number1"
    if spread >= 0.7:
        return "number2", "number2"
    return "number3", "number3"


def framed(plan: TrialPlan, rows: list[Row], spreads: dict[str, float] | None = None) -> pd.DataFrame:
    """Rows as a frame, with how each prints."""
    import pandas as pd

    made = []
    for row in rows:
        own = float(row.get("sd_comparator", math.nan))
        mean, difference = formats(plan, row, (spreads or {}).get(str(row.get("category")), own))
        made.append(row | {"format": mean, "format_difference": difference})
    return counted(pd.DataFrame(made))


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """Give a frame its columns of counts as whole numbers, empty where there are none."""
    import pandas as pd

    for name in NUMBERS:
        values = frame[name].tolist() if name in frame else [None] * len(frame)
        frame[name] = pd.array([None if v is None or v != v else int(v) for v in values], dtype="Int64")
    return frame


def figure(kind: str, data: pd.DataFrame, options: dict[str, Any], *, silent: bool = False) -> Figure:
    """A figure of estimates whose counts disclosure control sees; where silent, none of them is drawn.

    Events are drawn beside persons only where every row has them.
    """
    known = [name for name in NUMBERS if data[name].notna().any()]
    data = data.drop(columns=[name for name in NUMBERS if name not in known]).reset_index(drop=True)
    quiet = [name for name in known if silent or (name.startswith("events_") and data[name].isna().any())]
    for arm in ("exposed", "comparator"):
        if f"events_{arm}" in quiet:
            data[f"others_{arm}"] = data[f"n_{arm}"] - data[f"events_{arm}"]
    data = data.rename(columns={name: name.replace("n_", "persons_").replace("events_", "cases_") for name in quiet})
    counts = tuple(name for name in data.columns if name.endswith(("_exposed", "_comparator")))
    return Figure(kind, data, options, counts=counts, of=dict.fromkeys(("estimate", "low", "high"), counts))


def contrast(plan: TrialPlan) -> str:
    """What a comparison of the arms is called: an effect only where the offer was drawn."""
    return "Effect of the offer" if plan.assignment == "random" else "Difference"


def points(unit: str | None) -> str:
    """The unit of a difference: percent differ by percentage points."""
    return "percentage points" if unit == "%" else str(unit or "")


def places(*values: float) -> int:
    """Decimals of numbers that a sentence says together: none from 100 on, three below 1."""
    most = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 0 if most >= 100 else 1 if most >= 10 else 2 if most >= 1 else 3


def number(value: float) -> str:
    """A number in a sentence, by its own size."""
    return words.number(value, places(value))


def interval(estimate: float, low: float, high: float, unit: str | None = None) -> str:
    """An estimate in a sentence with its unit and its interval, all to the same precision."""
    digits = places(estimate, low, high)
    shown = [words.number(value, digits) for value in (estimate, low, high)]
    said = points(unit)
    return f"{shown[0]}{f' {said}' if said else ''} (95% CI {shown[1]} to {shown[2]})"


def unit_columns(frame: pd.DataFrame) -> tuple[tuple[Column, ...], str]:
    """A column of units where they differ, else nothing and the one unit for the header."""
    units = [str(unit) for unit in frame["unit"].dropna().unique()] if "unit" in frame else []
    if len(units) > 1 or (units and frame["unit"].isna().any()):
        return (Column("unit", "Unit", of=()),), ""
    return (), units[0] if units else ""


def difference_column(plan: TrialPlan, label: str, unit: str = "", spanner: str = "") -> Column:
    """An estimate with its interval, hidden with the counts of the arms."""
    return Column(
        "estimate", f"{label} (95% CI)", "number1", currency_of(plan) or unit, spanner, of=NUMBERS,
        format_by="format_difference", low="conf_low", high="conf_high",
    )  # fmt: skip


def value_column(plan: TrialPlan, arm: str, label: str, spanner: str, spread: bool = True) -> Column:
    """An arm's mean, with its standard deviation where the row's format shows one."""
    return Column(
        f"value_{arm}", label, "mean", currency_of(plan), spanner, of=(f"n_{arm}", f"events_{arm}"), format_by="format",
        spread=f"sd_{arm}" if spread else None,
    )  # fmt: skip


def not_done(name: str, title: str, why: str) -> Result:
    """An exhibit that has nothing to show, and says why."""
    import pandas as pd

    frame = pd.DataFrame({"not_done": [why]})
    return Result(name, title, frame, (Column("not_done", "Not done"),), sentence=why)


def notes_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """What rows say of themselves, once each."""
    if "note" not in frame:
        return ()
    said: dict[str, list[str]] = {}
    for row in frame.to_dict("records"):
        if isinstance(row["note"], str) and row["note"]:
            said.setdefault(row["note"], []).append(str(row["measure"]))
    return tuple(f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in said.items())
