"""From an effect on cost to what it is worth to whoever pays: gross, programme fee, net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.exhibits.effects import pick
from clinops.analyse.months import months_started
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    import pandas as pd

CURRENCIES = {44818668: "USD", 44818568: "EUR", 44818571: "GBP"}
"""Standard concepts of the currencies that clinops prints by their code."""


def currency(source: Any) -> str:
    """The currency of a source's costs by its code; "currency units" where the records do not say."""
    if not source.has("cost"):
        return "currency units"
    cost = source.table("cost")
    found = source.engine.collect(cost.select("currency_concept_id").distinct()).column(0).to_pylist()
    named = [CURRENCIES.get(int(concept)) for concept in found if concept]
    return named[0] if len(named) == 1 and named[0] else "currency units"


def total_cost(protocol: Protocol) -> Measure | None:
    """The outcome that stands for all spending, where the protocol has one."""
    return next((m for m in protocol.outcomes if m.measure == "cost" and m.category == "total"), None)


def fee_per_exposed(
    data: Dataset, protocol: Protocol, adjusted: Adjusted, activated: np.ndarray | None
) -> float | None:
    """The programme fee per exposed person; None where the protocol states no fee.

    Charged once for each activated person (each exposed one where the protocol names no activation), or
    for each started month from activation to the end of follow-up.

    Parameters
    ----------
    data : both arms with outcomes, which say when follow-up ends.
    protocol, adjusted : the fee, and the weights of the exposed.
    activated : (n,) day of activation from index, NaN for none; None where the protocol names no activation.
    """
    programme = protocol.programme
    if programme is None or programme.fee is None:
        return None
    rows = data.exposed & (adjusted.weights > 0)
    units = fee_units(data, programme.fee_per, activated)
    return float(programme.fee * np.average(units[rows], weights=adjusted.weights[rows]))


def fee_units(data: Dataset, fee_per: str, activated: np.ndarray | None) -> Floats:
    """How many fees fall due for each row: one a person who activated, or one a started month from then on.

    Parameters
    ----------
    data : both arms with outcomes. fee_per : "person" or "person-month".
    activated : (n,) day of activation from index, NaN for none; None where every exposed person counts from day 0.
    """
    since = np.zeros(len(data)) if activated is None else activated
    units = (np.isfinite(since) & data.exposed).astype(float)
    if fee_per == "person-month":
        index = data.baseline["index_date"].to_numpy(dtype="datetime64[D]")
        first, last = (index + np.nan_to_num(day).astype(int) for day in (since, data.end_day))
        units *= months_started(first, last)
    return units


def _no_fee(protocol: Protocol) -> str:
    if protocol.programme is None or protocol.programme.fee is None:
        return "The protocol states no programme fee"
    return "No activation is in these records, so what the fee comes to is not known"


def money_table(estimates: pd.DataFrame, protocol: Protocol, fee: float | None, unit: str) -> Result | str:
    """Gross effect, fee and net effect per exposed person; or a sentence why there is none."""
    import pandas as pd

    measure = total_cost(protocol)
    row = None if measure is None else pick(estimates, measure, "mean difference", protocol.adjust.label)
    if measure is None or row is None or row["estimate"] != row["estimate"]:
        return "Money: no total cost could be measured in these records, so nothing can be said of savings."
    gross = {end: float(row[c]) for end, c in (("estimate", "estimate"), ("low", "conf_low"), ("high", "conf_high"))}
    lines = [{"line": "Gross: difference in cost of care", **gross}]
    if fee is not None:
        lines.append({"line": "Programme fee", "estimate": fee, "low": np.nan, "high": np.nan})
        lines.append({"line": "Net: cost of care and fee", **{end: value + fee for end, value in gross.items()}})
    frame = pd.DataFrame(lines)
    year = f"prices of {protocol.price_year}" if protocol.price_year else "prices as recorded"
    columns = (
        Column("line", f"Per person over {measure.window}"),
        Column("estimate", "Difference (95% CI)", "money", unit, low="low", high="high"),
    )
    fee_said = "" if fee is not None else f" {_no_fee(protocol)}, so no net effect is shown."
    last = frame.iloc[-1]
    said = f"{last['line'].split(':')[0]}: {words.number(float(last['estimate']), 0)} {unit} per person."
    sentence = (
        f"Perspective: {protocol.perspective}; {year}; {measure.amount} amounts. A negative number is less spent among "
        f"{protocol.exposed.name}. {said}{fee_said}"
    )
    return Result(
        "money", f"Money: {protocol.perspective} perspective, {unit}, {year}", frame, columns,
        ("The fee is taken as certain. Cost over a fixed horizon; deaths stand beside it in the table above, since "
         "the dead cost nothing.",), sentence,
    )  # fmt: skip
