"""How a trial's numbers print: the format of each row by its unit and spread, and the columns tables share."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from clinops.analyse.trial.estimates import Row
from clinops.define.trial import TrialPlan
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    import pandas as pd

CURRENCY = re.compile(r"^[A-Z]{3}(?![A-Za-z])")
NUMBERS = ("n_exposed", "n_comparator")


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
    return pd.DataFrame(made)


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
        f"value_{arm}", label, "mean", currency_of(plan), spanner, of=f"n_{arm}", format_by="format",
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
