"""Before any result: on what terms money is counted, and the smallest saving that these persons could have shown."""

from __future__ import annotations

import numpy as np

from clinops.analyse.costs.rows import CostRows
from clinops.define.cost_plan import CostPlan
from clinops.results.result import Column, Result

POWERS = (0.8, 0.9)
NOT_KNOWN = "No smallest saving can be given: an arm is empty, or the comparator's costs do not vary."
AMOUNTS = {
    "allowed": "Allowed: what payer and patient owe together", "paid": "Paid by the payer",
    "charge": "Charges times a cost-to-charge ratio",
}  # fmt: skip


def terms(rows: CostRows, plan: CostPlan, amount: str) -> Result:
    """Perspective, amount, currency, price year, discounting, horizon, and what is taken as given."""
    import pandas as pd

    lines = [
        ("Perspective", plan.perspective.capitalize()),
        ("Amount", AMOUNTS[amount]),
        ("Currency and prices", f"{rows.currency}; {_prices(plan)}"),
        ("Horizon", f"{rows.horizon} months from the index date, the same for everybody; day 0 is in no month"),
        ("Discounting", _discounting(rows, plan)),
        ("Death", "The dead stay in the mean, at no further cost; they leave the member-months of cost per month"),
        ("Leaving the records", "Cost until then counts; later months are carried by those who stayed"),
        ("Categories", ", ".join(rows.categories)),
        ("What the programme can touch", ", ".join(plan.touchable)),
        ("Programme fee", _fee(rows)),
        ("Comparison", f"{rows.names[0]} v {rows.names[1]}, {rows.adjustment}; {rows.estimand}"),
    ]
    frame = pd.DataFrame(lines, columns=["what", "how"])
    return Result("cost_terms", "The terms", frame, (Column("what", "What"), Column("how", "How")),
                  sentence=f"{rows.basis}; {rows.horizon} months from index.")  # fmt: skip


def _prices(plan: CostPlan) -> str:
    return "prices as recorded, years not brought to one" if plan.prices is None else str(plan.prices)


def _discounting(rows: CostRows, plan: CostPlan) -> str:
    if rows.horizon <= 12:
        return "None within the first year"
    return f"{plan.discount_rate:.1%} a year after the first; a budget impact is not discounted"


def _fee(rows: CostRows) -> str:
    if rows.fee is None:
        return "Not known"
    if rows.fee_each is None:
        return "Each person's own, as the file has it"
    return f"{rows.fee_each:,.2f} {rows.currency} for each {rows.fee_unit}"


def detectable(rows: CostRows) -> Result:
    """The smallest saving that could have been seen, from the comparator's spread and the effective sizes alone."""
    import pandas as pd

    size, sd = smallest_saving(rows)
    spend = float(rows.total[rows.arm(False)].mean()) if rows.arm(False).any() else np.nan
    frame = pd.DataFrame([
        {"power": power, "saving": saving, "share": saving / spend if spend > 0 else np.nan,
         "n_exposed": int(rows.arm(True).sum()), "n_comparator": int(rows.arm(False).sum()), "sd": sd}
        for power, saving in zip(POWERS, size, strict=True)
    ])  # fmt: skip
    counts = ("n_exposed", "n_comparator")
    columns = (
        Column("power", "Chance of seeing it", "fraction", of=()),
        Column("saving", "Smallest saving per person", "money", rows.currency, of=counts),
        Column("share", "Of the comparator's cost", "fraction", of=counts),
        Column("sd", "SD of cost", "money", rows.currency, of=counts),
        Column("n_exposed", rows.names[0], "count", "n"), Column("n_comparator", rows.names[1], "count", "n"),
    )  # fmt: skip
    share = f", {frame['share'].iloc[0]:.0%} of what the comparator cost" if spend > 0 else ""
    said = NOT_KNOWN if not np.isfinite(size[0]) else (
        f"A saving smaller than {size[0]:,.0f} {rows.currency} per person{share} would have been missed more often "
        "than one time in five."
    )  # fmt: skip
    return Result("cost_detectable", "The smallest saving that could have been seen", frame, columns,
                  ("Two-sided test at 5%; SD of the comparator's cost; effective sample sizes after weighting. The "
                   "costs of the exposed are not used.",), said)  # fmt: skip


def smallest_saving(rows: CostRows) -> tuple[tuple[float, ...], float]:
    """Return the smallest detectable savings at `POWERS`, and the SD they rest on."""
    from clinops.stats.decision import smallest_detectable_saving
    from clinops.stats.weighting import effective_sample_size

    cost = rows.total[rows.arm(False)]
    sd = float(cost.std(ddof=1)) if len(cost) > 1 else float("nan")
    sizes = [float(effective_sample_size(rows.weights[rows.arm(arm)])) if rows.arm(arm).any() else 0.0
             for arm in (True, False)]  # fmt: skip
    if not (sd > 0 and min(sizes) > 0):
        return tuple(float("nan") for _ in POWERS), sd
    return tuple(smallest_detectable_saving(sd, *sizes, power=power) for power in POWERS), sd
