"""What care cost in the two arms, before any claim about why: means, tails, member-months, concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.ledger_tables import by
from clinops.analyse.costs.models import effect_row
from clinops.analyse.costs.rows import MONTHS_BEFORE, CostRows
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.analyse.exhibits.curves import pmpm_by_month
from clinops.analyse.exhibits.outcomes import FEWEST_ABOVE, percentile
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    from clinops.build.ledger.books import Books

ARMS = (True, False)
POINTS = 200
TOP = (0.01, 0.05, 0.10)
"""Shares of persons whose share of the cost is told, where each is of at least `FEWEST_ABOVE` persons."""


def distribution(rows: CostRows) -> Result:
    """Cost per person over the horizon as it is spread: means, spread, none, upper tail, by arm."""
    import pandas as pd

    frame = pd.DataFrame([_spread(rows, arm) for arm in ARMS])
    money = rows.currency
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("complete", "Observed to the end or to death", "percent", "n/all (%)", denominator="n"),
        Column("deaths", "Died", "percent", "n/all (%)", denominator="n"),
        Column("mean", "Mean", "money", money, of="n"), Column("sd", "SD", "money", money, of="n"),
        Column("median", "Median", "money", money, of="n"),
        Column("none", "Cost nothing", "percent", "n/all (%)", denominator="n"),
        Column("p95", "95th percentile", "money", money, of="n"),
        Column("p99", "99th percentile", "money", money, of="n"),
        Column("top", "Share of cost of the dearest 5%", "fraction", of="n"),
    )  # fmt: skip
    one, other = frame.iloc[0], frame.iloc[1]
    said = (
        f"Before adjustment the mean cost is {words.number(one['mean'], 0)} {money} a person in {one['arm']} and "
        f"{words.number(other['mean'], 0)} in {other['arm']}, the median {words.number(one['median'], 0)} and "
        f"{words.number(other['median'], 0)}."
    )
    return Result(
        "cost_distribution", f"Cost per person over {rows.horizon} months, as it is spread", frame, columns,
        ("As observed, without weights. Finance pays the mean, so no outlier is cut here; a maximum is one person's "
         f"cost and is not shown, nor a percentile with fewer than {FEWEST_ABOVE} persons above it.",), said,
    )  # fmt: skip


def _spread(rows: CostRows, arm: bool) -> dict[str, Any]:
    inside = rows.arm(arm)
    cost = rows.total[inside]
    return {
        "arm": rows.names[0 if arm else 1], "n": len(cost), "complete": int(rows.complete[inside].sum()),
        "deaths": int(rows.died[inside].sum()), "mean": float(cost.mean()) if len(cost) else np.nan,
        "sd": float(cost.std(ddof=1)) if len(cost) > 1 else np.nan, "median": percentile(cost, 50),
        "none": int((cost == 0).sum()), "p95": percentile(cost, 95), "p99": percentile(cost, 99),
        "top": _share_of_top(cost, 0.05),
    }  # fmt: skip


def _share_of_top(cost: Floats, share: float) -> float:
    """The part of all cost that the dearest persons have; NaN where they are too few to be spoken of."""
    count = int(np.floor(share * len(cost)))
    if count < FEWEST_ABOVE or not cost.sum() > 0:
        return np.nan
    return float(np.sort(cost)[::-1][:count].sum() / cost.sum())


def member_months(rows: CostRows) -> Result:
    """Cost per member-month by category, with the member-months and the deaths beside it."""
    import pandas as pd

    at = np.column_stack([rows.by_category, rows.total])
    arms = rows.values(at, denominator=rows.months)
    labels = [*rows.categories, "total"]
    lines = []
    for j, label in enumerate(labels):
        line: dict[str, Any] = {"category": label.capitalize()}
        for i, arm in enumerate(ARMS):
            inside, name = rows.arm(arm), ("exposed", "comparator")[i]
            line |= {
                f"n_{name}": int(inside.sum()), f"deaths_{name}": int(rows.died[inside].sum()),
                f"months_{name}": float(rows.months[inside].sum()), f"pmpm_{name}": float(arms.value[i, j]),
            }  # fmt: skip
        lines.append(line)
    frame = pd.DataFrame(lines)
    columns = [Column("category", "Category")]
    for name, head in zip(("exposed", "comparator"), rows.names, strict=True):
        columns += [
            Column(f"n_{name}", "Persons", "count", "n", head),
            Column(f"months_{name}", "Member-months", "number1", "months", head, of=f"n_{name}"),
            Column(f"pmpm_{name}", "Per member-month", "money", rows.currency, head, of=f"n_{name}", digits=2),
            Column(f"deaths_{name}", "Deaths", "percent", "n/all (%)", head, denominator=f"n_{name}"),
        ]  # fmt: skip
    total = frame.iloc[-1]
    said = (
        f"{words.number(total['pmpm_exposed'], 2)} {rows.currency} per member-month among {rows.names[0]}, "
        f"{words.number(total['pmpm_comparator'], 2)} among {rows.names[1]}, {rows.adjustment}."
    )
    return Result(
        "cost_pmpm", "Cost per member-month by category", frame, tuple(columns),
        ("Categories add up to the total. Months are prorated by the days observed and end with death or disenrolment. "
         "The dead leave the denominator, so an arm in which more die looks cheaper per member-month: read it with the "
         "cost over the whole horizon.",), said,
    )  # fmt: skip


def pmpm_rows(rows: CostRows) -> list[Row]:
    """The difference and the ratio of cost per member-month, by category and in total."""
    from clinops.stats.weighted_effects import contrast

    arms = rows.values(np.column_stack([rows.by_category, rows.total]), denominator=rows.months)
    made = []
    for scale, unit in (("difference", f"{rows.currency} per member-month"), ("ratio", "ratio")):
        effects = contrast(arms, scale, cluster=rows.cluster, conf_level=LEVEL)
        made += [
            effect_row(rows, effect, scale=f"PMPM {scale}", unit=unit, analysis="cost per member-month",
                       measure=f"{category.capitalize()} cost", category=category, method="cost over member-months")
            for category, effect in zip((*rows.categories, "total"), effects, strict=True)
        ]  # fmt: skip
    return made


def trend(rows: CostRows) -> Result:
    """Cost per member-month by month from index, before and after it."""
    at = np.array([*range(-MONTHS_BEFORE, 0), *range(1, rows.horizon + 1)])
    cost = np.column_stack([rows.before, rows.by_month])
    covered = np.column_stack([rows.covered_before, rows.covered])
    return pmpm_by_month(
        rows.values(cost, denominator=covered), (rows.arm(True), rows.arm(False)), covered, at, rows.names,
        rows.currency, rows.adjustment,
    )  # fmt: skip


def calendar(books: Books, min_cell: int) -> Result:
    """Cost per member-month of everybody in the ledger by calendar month, incomplete months marked."""
    made = by(books, ("month",), min_cell)
    frame = made.frame[made.frame["month"].str.match(r"\d{4}-\d{2}$")].reset_index(drop=True)
    if books.raw.enrolment is None or "pmpm" not in frame:
        return made.with_(name="ledger_calendar")
    frame = frame[frame["member_months"] > 0].reset_index(drop=True)
    drawn = (
        frame[["month", "pmpm", "members", "member_months"]]
        .rename(columns={"members": "persons"})
        .assign(complete=frame["run_out"] != "incomplete")
    )
    options = {"currency": books.unit, "basis": f"Everybody in the ledger, {books.rules.amount} amounts, {books.unit}"}
    if books.complete_to is not None:
        options["run_out"] = f"claims taken as complete to {books.complete_to}"
    figure = Figure("cost_calendar", drawn, options, counts=("persons",),
                    of=dict.fromkeys(("pmpm", "member_months"), ("persons",)))  # fmt: skip
    done = drawn[drawn["complete"]]
    said = (
        f"Cost per member-month runs from {done['pmpm'].min():,.0f} to {done['pmpm'].max():,.0f} {books.unit} over "
        f"{len(done)} complete calendar months; {len(drawn) - len(done)} are not complete yet."
    ) if len(done) else "No calendar month is complete."  # fmt: skip
    return made.with_(name="ledger_calendar", title="Cost per member-month by calendar month", figure=figure,
                      sentence=said, alt=said)  # fmt: skip


def concentration(rows: CostRows) -> Result:
    """Which share of the cost falls on which share of the persons."""
    import pandas as pd

    curves = [_curve(rows, arm) for arm in ARMS]
    frame = pd.concat([one for one in curves if len(one)] or curves[:1], ignore_index=True)
    table = pd.DataFrame([
        {"arm": rows.names[0 if arm else 1], "n": int(rows.arm(arm).sum()),
         **{f"top_{round(100 * share)}": _share_of_top(rows.total[rows.arm(arm)], share) for share in TOP}}
        for arm in ARMS
    ])  # fmt: skip
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        *(Column(f"top_{round(100 * share)}", f"Dearest {100 * share:.0f}%", "fraction", "of all cost", of="n")
          for share in TOP),
    )  # fmt: skip
    parts = [f"{row['top_5']:.0%} in {row['arm']}" for _, row in table.iterrows() if row["top_5"] == row["top_5"]]
    said = f"The dearest 5% of persons have {' and '.join(parts)} of all cost." if parts else (
        "Too few persons to say what the dearest 5% cost.")  # fmt: skip
    figure = Figure("concentration", frame, {}, counts=("persons",), of={"share_cost": ("persons",)})
    return Result("cost_concentration", "How cost is concentrated", table, columns, sentence=said, alt=said,
                  figure=figure, notes=("As observed, without weights; persons from the dearest down.",))  # fmt: skip


def _curve(rows: CostRows, arm: bool) -> Any:
    """Points of the curve; the first is of at least `FEWEST_ABOVE` persons, so that none is one person's cost."""
    import pandas as pd

    cost = np.sort(rows.total[rows.arm(arm)])[::-1]
    n, whole = len(cost), float(cost.sum())
    if n < 2 * FEWEST_ABOVE or not whole > 0:
        return pd.DataFrame(columns=["arm", "share_persons", "share_cost", "persons"])
    steps = np.unique(np.linspace(FEWEST_ABOVE, n, min(POINTS, n - FEWEST_ABOVE + 1)).round().astype(int))
    steps = steps[(n - steps >= FEWEST_ABOVE) | (steps == n)]
    sums = np.cumsum(cost)
    return pd.DataFrame({
        "arm": rows.names[0 if arm else 1], "share_persons": np.concatenate([[0.0], steps / n]),
        "share_cost": np.concatenate([[0.0], sums[steps - 1] / whole]), "persons": np.concatenate([[0], steps]),
    })  # fmt: skip
