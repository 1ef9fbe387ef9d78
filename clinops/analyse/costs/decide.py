"""From effect to decision: gross, fee and net, who keeps it, what of it is cash, and what it does to a budget."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.models import person_counts
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.costs.stake import Stake, limits
from clinops.analyse.effects import Row
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    from clinops.stats.decision import Amount

NO_FEE = "The fee is not known, so nothing is said of what is left after it."
NOBODY = "nobody is in the exposed arm"
OWNERS = {"at-risk system": "Left to the at-risk system", "provider margin": "Left to the provider"}
CASH = (("Cash", "leaves the budget"), ("Capacity set free", "beds, visits and hours not used"))
NO_CASH = "The share of each category that is cash (cashable=) is not stated"
NO_MARGIN = "The margin on care (margin=) is not stated, so what a provider loses or keeps is not known"
ANALYSIS = "decision"


def decision_rows(at: Stake) -> list[Row]:
    """Gross, fee, net, break-even fee and return on investment as rows of the results schema."""
    return [_row(at, line) for line in _lines(at)]


def _row(at: Stake, line: dict[str, Any]) -> Row:
    note = line["note"] or (None if line["estimate"] == line["estimate"] else "not estimable")
    return person_counts(at.rows) | {
        "analysis": ANALYSIS, "measure": line["line"], "category": "total", "method": line["method"],
        "scale": line["scale"], "unit": line["unit"], "estimate": line["estimate"], "std_error": line["std_error"],
        "conf_low": line["conf_low"], "conf_high": line["conf_high"], "se_kind": line["method"], "note": note,
    }  # fmt: skip


def _lines(at: Stake) -> list[dict[str, Any]]:
    """Everything that is said of gross and net, each with its interval."""
    from clinops.stats import decision

    money = f"{at.rows.currency} per person"
    normal, drawn = "delta method", f"one-step bootstrap ({at.plan.replicates})"
    z = _interval(at.gross, at.gross_error)
    made = [_line("Gross saving on care", z, "saving", money, normal)]
    if at.fee is None:
        return [*made, _line("Programme fee", _unknown(NO_FEE), "fee", money, normal)]
    errors = {
        "std_error": at.gross_error, "fee_std_error": at.fee_error, "covariance": at.gross_fee_covariance,
    }  # fmt: skip
    fee = _interval(at.fee, at.fee_error)
    net = decision.net_saving(at.gross, at.fee, **errors)
    draws = at.draws
    back = decision.return_on_investment(
        at.gross, at.fee, draws=draws[:, : len(at.saving)].sum(axis=1), fee_draws=draws[:, -2]
    )
    made += [_line("Programme fee", fee, "fee", money, normal), _line("Net saving", net, "saving", money, normal)]
    charged = _charged(at)
    known = charged == charged
    even = decision.break_even_fee(at.gross, charged=charged, std_error=at.gross_error) if known else _unknown(NOBODY)
    unit = f"{at.rows.currency} per {at.rows.fee_unit}"
    made.append(_line("Break-even fee", even, "fee", unit, normal))
    made.append(_line("Return on investment", back, "ratio", "per unit of fee", drawn))
    if at.plan.perspective in OWNERS and at.plan.margin is not None:
        made.append(_line(OWNERS[at.plan.perspective], _interval(*at.worth()), "saving", money, normal))
    return made


def _charged(at: Stake) -> float:
    """Fees that fall due per exposed person; one where each person's fee is his own. NaN without anybody exposed."""
    units, inside = at.rows.fee_units, at.rows.arm(True)
    if not inside.any():
        return float("nan")
    return 1.0 if units is None else float(np.average(units[inside], weights=at.rows.weights[inside]))


def _line(name: str, amount: Amount, scale: str, unit: str, method: str) -> dict[str, Any]:
    return {"line": name, "scale": scale, "unit": unit, "method": method} | asdict(amount)


def _interval(estimate: float, error: float) -> Amount:
    from clinops.stats.decision import Amount

    return Amount(estimate, error, *limits(estimate, error))


def _unknown(why: str) -> Amount:
    from clinops.stats.decision import Amount

    return Amount(np.nan, np.nan, np.nan, np.nan, why)


def money_table(at: Stake) -> Result:
    """Gross, fee, net, break-even fee and return, per exposed person."""
    import pandas as pd

    frame = pd.DataFrame(_lines(at))
    frame["format"] = ["ratio" if scale == "ratio" else "money" for scale in frame["scale"]]
    frame["n_exposed"], frame["n_comparator"] = (int(at.rows.arm(arm).sum()) for arm in (True, False))
    counts = ("n_exposed", "n_comparator")
    columns = (
        Column("line", f"Over {at.rows.horizon} months"), Column("unit", "Unit"),
        Column("estimate", "Estimate (95% CI)", "money", at.rows.currency, low="conf_low", high="conf_high",
               format_by="format", of=counts, digits=None),
    )  # fmt: skip
    net = frame[frame["line"].isin(("Net saving", *OWNERS.values()))]
    last = net.iloc[-1] if len(net) else frame.iloc[0]
    said = (
        f"{last['line']}: {words.interval(last['estimate'], last['conf_low'], last['conf_high'], last['unit'])}. A "
        "negative saving is a loss."
    )
    return Result(
        "cost_money", f"Gross, fee and net: {at.plan.perspective} perspective", frame, columns,
        (_basis(at.rows), "A saving is what the comparator spent less what the exposed spent. A return of 0 gives back "
         "the fee, -1 loses it. The fee counts everybody who was exposed, whether or not they took it up."), said,
    )  # fmt: skip


def _basis(rows: CostRows) -> str:
    return f"{rows.basis}."


def waterfall(at: Stake) -> Result:
    """The difference by category, adding up to the total, then the fee, then the net."""
    import pandas as pd

    lines = []
    for j, name in enumerate(at.rows.categories):
        pick = np.zeros(len(at.saving) + 2)
        pick[j] = 1.0
        lines.append(_bar(name.capitalize(), -float(at.saving[j]), at.error(pick), "part"))
    if at.fee is None:
        lines.append(_bar("Cost of care", -at.gross, at.gross_error, "total"))
    else:
        net, error = at.net()
        lines.append(_bar("Cost of care", -at.gross, at.gross_error, "subtotal"))
        lines.append(_bar("Programme fee", at.fee, at.fee_error, "fee"))
        lines.append(_bar("Net", -net, error, "total"))
    frame = pd.DataFrame(lines)
    frame["n_exposed"], frame["n_comparator"] = (int(at.rows.arm(arm).sum()) for arm in (True, False))
    counts = ("n_exposed", "n_comparator")
    columns = (
        Column("label", "Part"),
        Column("value", "Difference per person (95% CI)", "money", at.rows.currency, low="low", high="high", of=counts),
    )
    largest = min(lines[: len(at.rows.categories)], key=lambda line: line["value"])
    where = f"the largest fall is in {largest['label'].lower()}, {words.number(largest['value'], 0)}"
    where = where if largest["value"] < 0 else "no category of care falls"
    said = (
        f"{lines[-1]['label']}: {words.interval(lines[-1]['value'], lines[-1]['low'], lines[-1]['high'])} "
        f"{at.rows.currency} per person; {where}."
    )
    options = {"currency": f"{at.rows.currency} per person", "basis": at.rows.basis}
    figure = Figure("waterfall", frame, options, counts=counts, of=dict.fromkeys(("value", "low", "high"), counts))
    return Result("cost_waterfall", "Where the difference comes from", frame, columns, sentence=said, alt=said,
                  figure=figure, notes=("A negative number is less spent among the exposed.",))  # fmt: skip


def _bar(label: str, value: float, error: float, kind: str) -> dict[str, Any]:
    low, high = limits(value, error)
    return {"label": label, "value": value, "low": low, "high": high, "kind": kind}


def perspectives(at: Stake) -> Result:
    """Whose money it is: the payer's, the at-risk system's and the provider's answer, and what of it is cash."""
    import pandas as pd

    frame = pd.DataFrame([*_owners(at), *_cash(at)])
    frame["n_exposed"], frame["n_comparator"] = (int(at.rows.arm(arm).sum()) for arm in (True, False))
    columns = (
        Column("line", "To whom"), Column("what", "What is counted"),
        Column("estimate", "Per person (95% CI)", "money", at.rows.currency, low="conf_low", high="conf_high",
               of=("n_exposed", "n_comparator")),
    )  # fmt: skip
    cash = frame[frame["line"] == "Cash"].iloc[0]
    said = (
        f"Of the gross saving {words.number(float(cash['estimate']), 0)} {at.rows.currency} per person are taken to be "
        "cash. The rest is capacity set free, worth money only where it is given up or used."
    ) if at.plan.cash_known else f"{NO_CASH}, so what leaves the budget of a provider is not known."  # fmt: skip
    fee = "" if at.fee is not None else f" {NO_FEE} What is called after the fee is before it."
    return Result(
        "cost_perspectives", "A payer's saving is a provider's lost revenue", frame, columns,
        (f"Cash shares: {_shares(at)}. The fee is the payer's and the system's; a provider is taken to pay none."
         f"{fee}",),
        said, group_by="group",
    )  # fmt: skip


def _owners(at: Stake) -> list[dict[str, Any]]:
    from clinops.stats.decision import value_to

    said = {
        "payer": "care not paid for, less the fee",
        "at-risk system": "care not bought, less the margin lost on its own care, less the fee",
        "provider margin": "revenue lost, less the costs that go with it",
    }
    cov, plan = at.covariance[: len(at.saving), : len(at.saving)], at.plan
    lines = []
    for name, what in said.items():
        fee = 0.0 if name == "provider margin" else at.known_fee
        if plan.margin is None and name != "payer":
            found = _unknown(NO_MARGIN)
        else:
            found = value_to(
                name, at.saving, fee, inside=plan.inside, refilled=plan.refilled, covariance=cov,
                variable_cost=None if plan.margin is None else 1 - plan.margin,
            )  # fmt: skip
            found = _interval(found.estimate, at.error(at.owned(name)))
        chosen = " (the perspective of this report)" if name == plan.perspective else ""
        lines.append(
            {"group": "Worth after the fee", "line": f"{name.capitalize()}{chosen}", "what": what} | asdict(found)
        )
    return lines


def _cash(at: Stake) -> list[dict[str, Any]]:
    from clinops.stats.decision import cashable_saving

    group = "The gross saving"
    if not at.plan.cash_known:
        return [{"group": group, "line": line, "what": what} | asdict(_unknown(NO_CASH)) for line, what in CASH]
    share = np.array([at.plan.cash_share(name) for name in at.rows.categories])
    found = cashable_saving(at.saving, share, covariance=at.covariance[: len(share), : len(share)])
    parts = zip(CASH, (found.cashable, found.released), strict=True)
    return [{"group": group, "line": line, "what": what} | asdict(part) for (line, what), part in parts]


def _shares(at: Stake) -> str:
    if not at.plan.cash_known:
        return "none stated, so nothing is said of cash"
    if not at.plan.cashable:
        return "none stated, so all of the saving is taken to be cash, as it is for a payer of claims"
    return ", ".join(f"{name} {at.plan.cash_share(name):.0%}" for name in at.rows.categories)


def budget(at: Stake) -> Result:
    """What offering the programme does to the budget of each year, undiscounted."""
    import pandas as pd

    from clinops.stats.decision import budget_impact

    people = np.array(at.plan.persons_a_year, dtype=float)
    # The error of the net, since fee and saving of the same persons vary together.
    found = budget_impact(people, 1.0, at.gross, at.known_fee, std_error=at.net()[1])
    frame = pd.DataFrame({
        "year": [f"Year {i + 1}" for i in range(len(people))], "persons": people.astype(int), "gross": found.saving,
        "fee": found.fee, "net": found.net, "net_low": found.net_low, "net_high": found.net_high,
        "cumulative": found.cumulative,
    })  # fmt: skip
    frame["n_exposed"], frame["n_comparator"] = (int(at.rows.arm(arm).sum()) for arm in (True, False))
    counts = ("n_exposed", "n_comparator")
    money = at.rows.currency
    columns = (
        Column("year", "Year"), Column("persons", "Persons offered", "number0", "n"),
        Column("gross", "Gross saving", "money", money, of=counts),
        Column("fee", "Fee", "money", money, of="n_exposed"),
        Column("net", "Net (95% CI)", "money", money, low="net_low", high="net_high", of=counts),
        Column("cumulative", "Net so far", "money", money, of=counts),
    )  # fmt: skip
    total = found.total
    said = (
        f"Over {len(people)} years and {int(people.sum()):,} persons offered the net is "
        f"{words.interval(total.estimate, total.conf_low, total.conf_high, money)}."
    )
    notes = (
        f"Not discounted, in one price year. Each person's saving over {at.rows.horizon} months is booked in the year "
        "of the offer, at the effect and the take-up of this study; a larger programme may reach persons who gain "
        "less. The years' errors are taken to go together.",
        *(() if at.fee is not None else (NO_FEE,)),
    )
    numbers = ("gross", "fee", "net", "net_low", "net_high", "cumulative")
    figure = Figure("budget", frame, {"currency": money, "basis": at.rows.basis}, counts=counts,
                    of=dict.fromkeys(numbers, counts))  # fmt: skip
    return Result("cost_budget", "Budget impact by year", frame, columns, notes, said, figure=figure, alt=said)
