"""The tables of a ledger, made from its sums."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.run_out import chain_ladder
from clinops.build.ledger import cube, prices
from clinops.build.ledger.books import Books
from clinops.build.ledger.raw import Note
from clinops.build.ledger.spans import month_of
from clinops.define.ledger import MONTH_RULES
from clinops.errors import DataError
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    import pandas as pd

UNDATED = "no date"
TOTAL = "total"
MONTHS_IN_WORDS = {
    "any day": "a month counts whole if any of its days is covered, and a claim counts if its month does",
    "prorated": "a month counts by the share of its own days that are covered, and a claim counts if its day is",
}


def named_month(month: Any) -> str:
    """A month's number as 2025-01; "no date" where there is none."""
    try:
        year, at = month_of(int(month))
    except (TypeError, ValueError):
        return UNDATED
    return f"{year:04d}-{at:02d}"


def grouped(books: Books, keys: tuple[str, ...], months: str) -> pd.DataFrame:
    """Whole numbers of the cube by any of inside, month, year, category and plan; a row also where all is 0."""
    frame = cube.cube(books, months, plans="plan" in keys)
    frame["year"] = ["" if named == UNDATED else named[:4] for named in map(named_month, frame["month"])]
    frame["month"] = [named_month(month) for month in frame["month"]]
    frame["year"] = frame["year"].replace("", UNDATED)
    frame["category"] = _ordered(frame["category"], books)
    summed = frame.groupby(list(keys), observed=True, sort=True)[list(cube.COUNTS)].sum().reset_index()
    if "category" in keys:
        summed["category"] = summed["category"].astype(str)
    return summed


def _ordered(names: Any, books: Books) -> Any:
    import pandas as pd

    return pd.Categorical(names, categories=list(books.rules.categories), ordered=True)


def months_total(books: Books, months: str, pharmacy: bool = False) -> Fraction:
    """Member-months as an exact fraction."""
    frame = cube.member_months(books, months, pharmacy)
    pairs = zip(frame["days"], frame["length"], strict=True)
    return sum((Fraction(int(days), int(length)) for days, length in pairs), Fraction(0))


def _per(cents: float, months: Fraction) -> float:
    """Money per member-month, rounded once: both are exact."""
    return float(Fraction(int(cents), 100) / months) if months else float("nan")


# -- Rules -------------------------------------------------------------------------------------------


def rules(books: Books, min_cell: int = 11) -> Result:
    """Every rule in words, with what it touched."""
    import pandas as pd

    notes = [*books.notes, *_enrolment_notes(books), *_run_out_notes(books)]
    said_too: tuple[str, ...] = ()
    if books.raw.enrolment is not None and _small(_lost(books)[0], min_cell):
        # All claims less those inside, which other tables print, would tell how many are outside.
        notes = [note._replace(rows=None, amount=None) if (note.rows or 0) >= min_cell else note for note in notes]
        said_too = ("Numbers of all claims are left out, because few are outside enrolment.",)
    frame = pd.DataFrame(
        {
            "rule": [note.rule for note in notes],
            "words": [note.words for note in notes],
            "rows": pd.array([note.rows for note in notes], dtype="Int64"),
            "amount": [float("nan") if note.amount is None else float(note.amount) for note in notes],
        }
    )
    columns = (
        Column("rule", "Rule"), Column("words", "What it says"), Column("rows", "Rows", "count", "n", missing="–"),
        Column("amount", "Amount", "money", books.unit, of=("rows",), missing="–", digits=2),
    )  # fmt: skip
    said = f"{len(notes)} rules say what counts as cost, as a member-month and as a claim inside enrolment."
    return Result("ledger_rules", "Rules of the ledger", frame, columns, said_too, said)


def _lost(books: Books) -> tuple[int, int]:
    """Claims and cents outside enrolment, by the ledger's own rule."""
    frame = grouped(books, ("inside",), books.rules.months)
    frame = frame[~frame["inside"]]
    return int(frame["claims"].sum()), int(frame["cents"].sum())


def _small(count: int, min_cell: int) -> bool:
    return 0 < count < min_cell


def _money(cents: int, count: int, books: Books, min_cell: int) -> str:
    """Money for a sentence; what rests on few claims is not said."""
    if _small(count, min_cell):
        return f"an amount that rests on fewer than {min_cell} claims"
    return f"{words.number(cents / 100, 2)} {books.unit}"


def _enrolment_notes(books: Books) -> list[Note]:
    from decimal import Decimal

    if books.raw.enrolment is None:
        return [Note("member-months", "There is no enrolment: totals only, nothing per member.")]
    months = books.rules.months
    lost, cents = _lost(books)
    benefit = (
        "Pharmacy per member-month is over months with a pharmacy benefit."
        if cube.benefit_known(books)
        else "The enrolment does not say who has a pharmacy benefit: pharmacy is over all member-months."
    )
    return [
        Note("member-months", "A person's day or month counts once, however many plans cover it."),
        Note("member-months", f"Rule {months!r}: {MONTHS_IN_WORDS[months]}."),
        Note("outside enrolment", "Claims outside enrolment are listed apart and in no cost per member.",
             lost, Decimal(cents).scaleb(-2)),
        Note("pharmacy", benefit),
    ]  # fmt: skip


def _run_out_notes(books: Books) -> list[Note]:
    from decimal import Decimal

    if books.complete_to is None:
        return []
    rows, cents = cube.running_out(books)
    what = "are left out, of claims and member-months alike" if books.rules.cut_run_out else "are taken as incomplete"
    after = books.last_day or books.complete_to
    window = f"{books.rules.run_out_days} days before the extract of {books.extract}"
    said = f"Services after {after} ({window}) {what}."
    return [Note("run-out", said, rows, Decimal(cents).scaleb(-2))]


# -- Per member per month ----------------------------------------------------------------------------


def pmpm(books: Books) -> Result:
    """Cost per member per month by category, with both rules side by side."""
    import pandas as pd

    rows: dict[str, dict[str, Any]] = {}
    for months in MONTH_RULES:
        for name, found in _per_category(books, months).items():
            rows.setdefault(name, {"category": name}).update(found)
    order = [name for name in _lines(books) if name in rows]
    frame = pd.DataFrame([rows[name] for name in order])
    frame["members"] = cube.members(books)[TOTAL]
    for months in MONTH_RULES:
        at = _slug(months)
        frame[f"claims_{at}"] = frame[f"claims_{at}"].fillna(0).astype("int64")
        frame[f"cost_{at}"] = frame[f"cost_{at}"].fillna(0.0)
    shown = [Column("category", "Category")]
    for months in MONTH_RULES:
        at, spanner = _slug(months), f"Months: {months}"
        count = (f"claims_{at}",)
        shown += [
            Column(f"claims_{at}", "Claims", "count", "n", spanner),
            Column(f"cost_{at}", "Cost", "money", books.unit, spanner, of=count, digits=2),
            Column(f"months_{at}", "Member-months", "number2", "", spanner, of=("members",), missing="–"),
            Column(f"pmpm_{at}", "PMPM", "money", books.unit, spanner, of=(*count, "members"), digits=2, missing="–"),
        ]
    total = frame.iloc[-1]
    mine, other = books.rules.months, next(m for m in MONTH_RULES if m != books.rules.months)
    said = (
        f"{words.number(float(total[f'pmpm_{_slug(mine)}']), 2)} {books.unit} per member per month by the rule "
        f"{mine!r}, {words.number(float(total[f'pmpm_{_slug(other)}']), 2)} by the rule {other!r}."
    )
    notes = [f"{months.capitalize()}: {MONTHS_IN_WORDS[months]}." for months in MONTH_RULES]
    notes.append("PMPM is cost inside enrolment over member-months of the same rule; a person's month counts once.")
    if cube.benefit_known(books):
        notes.append("Pharmacy: over months with a pharmacy benefit; what was dispensed outside it has its own line.")
    title = f"Cost per member per month ({books.rules.amount} amount, {books.unit})"
    return Result("ledger_pmpm", title, frame, tuple(shown), tuple(notes), said)


WITHOUT = "pharmacy outside the benefit"


def _lines(books: Books) -> list[str]:
    lines = [*books.rules.categories, TOTAL]
    if "pharmacy" in lines:
        lines.insert(lines.index("pharmacy") + 1, WITHOUT)
    return lines


def _slug(months: str) -> str:
    return months.replace(" ", "_")


def _per_category(books: Books, months: str) -> dict[str, dict[str, Any]]:
    """By category and in total: claims, cost, member-months and PMPM of one rule."""
    at = _slug(months)
    every = months_total(books, months)
    frame = grouped(books, ("inside", "category"), months)
    mine = frame[frame["inside"]]
    found = {str(r["category"]): (int(r["claims"]), int(r["cents"]), every) for _, r in mine.iterrows()}
    if "pharmacy" in found and cube.benefit_known(books):
        claims, cents, _ = found["pharmacy"]
        covered = cube.with_benefit(books, months)
        found["pharmacy"] = (*covered, months_total(books, months, pharmacy=True))
        if claims > covered[0]:
            found[WITHOUT] = (claims - covered[0], cents - covered[1], Fraction(0))
    found[TOTAL] = (int(mine["claims"].sum()), int(mine["cents"].sum()), every)
    return {
        name: {
            f"claims_{at}": claims, f"cost_{at}": cents / 100, f"pmpm_{at}": _per(cents, over),
            f"months_{at}": float(over) if over else float("nan"),
        }
        for name, (claims, cents, over) in found.items()
    }  # fmt: skip


# -- By month, category, plan ------------------------------------------------------------------------


def by(books: Books, keys: tuple[str, ...], min_cell: int = 11) -> Result:
    """Cost inside enrolment by some keys, with the total; member-months where the keys are of time or plan."""
    import pandas as pd

    months = books.rules.months
    frame = grouped(books, ("inside", *keys), months)
    frame = frame[frame["inside"]].drop(columns="inside").reset_index(drop=True)
    total: dict[str, Any] = dict.fromkeys(keys, TOTAL) | {name: int(frame[name].sum()) for name in cube.COUNTS}
    frame = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    frame["cost"] = frame["cents"] / 100
    frame["reversed"] = frame["reversed_cents"] / 100
    columns = [Column(key, key.capitalize()) for key in keys]
    columns += [
        Column("claims", "Claims", "count", "n"),
        Column("cost", "Cost", "money", books.unit, of=("claims",), digits=2),
        Column("reversed", "of which reversed", "money", books.unit, of=("claims",), digits=2),
        Column("capitated", "Capitated", "count", "n"),
    ]
    per_member = books.raw.enrolment is not None and len(keys) == 1 and keys[0] in ("month", "year", "plan")
    if per_member:
        frame = _with_months(frame, books, keys[0], months)
        columns += [
            Column("member_months", "Member-months", "number2", of=("members",), missing="–"),
            Column("pmpm", "PMPM", "money", books.unit, of=("claims", "members"), digits=2, missing="–"),
        ]
    if keys == ("month",) and books.complete_to is not None:
        frame["run_out"] = [_state(month, books.complete_to) for month in frame["month"]]
        columns.append(Column("run_out", "Run-out"))
    kept = frame.drop(columns=["cents", "reversed_cents", "reversals"])
    within = _money(int(frame["cents"].iloc[-1]), int(frame["claims"].iloc[-1]), books, min_cell)
    if books.raw.enrolment is None:
        said = f"{within} in total; there is no enrolment, so nothing is said per member."
    else:
        lost, cents = _lost(books)
        said = f"{within} inside enrolment (rule {months!r}); {_money(cents, lost, books, min_cell)} outside it."
    title = f"Cost by {' and '.join(keys)} ({books.rules.amount} amount, {books.unit})"
    return Result("ledger_by_" + "_".join(keys), title, kept, tuple(columns), sentence=said)


def _state(month: str, complete_to: dt.date) -> str:
    """Whether all days of a month lie before the run-out."""
    if month in (TOTAL, UNDATED):
        return ""
    following = dt.date(int(month[:4]) + int(month[5:]) // 12, int(month[5:]) % 12 + 1, 1)
    return "complete" if following - dt.timedelta(days=1) <= complete_to else "incomplete"


def _with_months(frame: pd.DataFrame, books: Books, key: str, months: str) -> pd.DataFrame:
    """Add member-months, the persons they rest on, and PMPM; levels with months and no claims get a row."""
    import pandas as pd

    days = cube.member_months(books, months, plans=key == "plan")
    people = cube.member_months(books, "any day", plans=key == "plan")
    for one in (days, people):
        one["year"] = [named_month(month)[:4] for month in one["month"]]
        one["month"] = [named_month(month) for month in one["month"]]
    over: dict[str, Fraction] = {}
    for level, covered, length in zip(days[key], days["days"], days["length"], strict=True):
        over[str(level)] = over.get(str(level), Fraction(0)) + Fraction(int(covered), int(length))
    over[TOTAL] = sum(over.values(), Fraction(0))
    persons = people.groupby(key)["spans"].max().to_dict() | cube.members(books, plans=key == "plan")
    missing = [level for level in over if level not in set(frame[key])]
    empty = pd.DataFrame([{**dict.fromkeys(frame.columns, 0), key: level} for level in missing])
    body = pd.concat([frame.iloc[:-1], empty], ignore_index=True).sort_values(key, ignore_index=True)
    whole = pd.concat([body, frame.iloc[[-1]]], ignore_index=True)
    whole["members"] = pd.array([persons.get(level) for level in whole[key]], dtype="Int64")
    whole["member_months"] = [float(over[level]) if level in over else float("nan") for level in whole[key]]
    whole["pmpm"] = [
        _per(cents, over.get(level, Fraction(0))) for level, cents in zip(whole[key], whole["cents"], strict=True)
    ]
    return whole


def outside(books: Books, min_cell: int = 11) -> Result:
    """Claims outside enrolment by month and category."""
    import pandas as pd

    months = books.rules.months
    frame = grouped(books, ("inside", "month", "category"), months)
    everything = int(frame["cents"].sum())
    frame = frame[~frame["inside"]].drop(columns="inside").reset_index(drop=True)
    total: dict[str, Any] = {"month": TOTAL, "category": TOTAL} | {name: int(frame[name].sum()) for name in cube.COUNTS}
    frame = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    frame["cost"] = frame["cents"] / 100
    columns = (
        Column("month", "Month"), Column("category", "Category"), Column("claims", "Claims", "count", "n"),
        Column("cost", "Cost", "money", books.unit, of=("claims",), digits=2),
    )  # fmt: skip
    share = 100 * total["cents"] / everything if everything else float("nan")
    part = "" if _small(total["claims"], min_cell) else f" ({words.number(share, 1)}% of all)"
    said = (
        f"{_money(total['cents'], total['claims'], books, min_cell)}{part} outside enrolment by the rule {months!r}: "
        "in no cost per member."
    )
    kept = frame[["month", "category", "claims", "cost"]]
    return Result("ledger_outside", "Claims outside enrolment", kept, columns, sentence=said)


# -- Run-out and prices ------------------------------------------------------------------------------


def completion(books: Books, min_cell: int = 11) -> Result:
    """Chain-ladder completion of every month of service."""
    import pandas as pd

    if "paid_date" not in books.raw.has or books.extract is None:
        raise DataError("The claims have no paid date, so their run-out cannot be seen. Name it: columns={...}.")
    long = cube.triangle(books, books.rules.months)
    last = _last_full_month(books.extract)
    long = long[(long["paid_month"] <= last) & (long["month"] <= last)]
    if long.empty:
        raise DataError("No claim inside enrolment was paid in a full month before the extract.")
    first, count = int(long["month"].min()), last - int(long["month"].min()) + 1
    steps = np.zeros((count, count))
    lag = np.maximum(long["paid_month"].to_numpy(dtype=int) - long["month"].to_numpy(dtype=int), 0)
    np.add.at(steps, (long["month"].to_numpy(dtype=int) - first, lag), long["cents"].to_numpy(dtype=float))
    reached = np.arange(count)[None, :] <= count - 1 - np.arange(count)[:, None]
    fit = chain_ladder(np.where(reached, steps.cumsum(axis=1), np.nan))
    inside = grouped(books, ("inside", "month"), books.rules.months)
    claims = inside[inside["inside"]].set_index("month")["claims"]
    names = [named_month(first + at) for at in range(count)]
    frame = pd.DataFrame({
        "month": names, "claims": [int(claims.get(name, 0)) for name in names],
        "lag": count - 1 - np.arange(count), "paid": fit.paid / 100, "completion": fit.completion,
        "ultimate": fit.ultimate / 100,
    })  # fmt: skip
    columns = (
        Column("month", "Month of service"), Column("claims", "Claims", "count", "n"),
        Column("lag", "Months since", "number0", of=()),
        Column("paid", "Paid to date", "money", books.unit, of=("claims",), digits=2),
        Column("completion", "Complete", "fraction", of=("claims",)),
        Column("ultimate", "Expected in the end", "money", books.unit, of=("claims",), digits=2),
    )  # fmt: skip
    due = int(np.nansum(fit.ultimate - fit.paid))
    still = _money(due, int(frame["claims"].sum()), books, min_cell)
    said = f"{still} expected still to be paid for services up to {names[-1]}."
    note = (
        "Chain ladder by month of service and lag of payment: run-out is taken to be alike in all months, and over "
        f"after {count - 1} months. Payments after {named_month(last)}, the last full month, are left out."
    )
    return Result("ledger_completion", "Run-out and completion", frame, columns, (note,), said)


def _last_full_month(extract: dt.date) -> int:
    """The last month of which the extract holds every day, by its number."""
    month = extract.year * 12 + extract.month - 1
    return month if (extract + dt.timedelta(days=1)).day == 1 else month - 1


def standardised(books: Books) -> Result:
    """Cost, and volume at standard prices, by year of service."""
    import pandas as pd

    months = books.rules.months
    table = cube.volumes(books, months)
    price = prices.standard(books.engine, cube.enrolled(books, months), books.rules)
    services = zip(table["service"], table["units"], table["cents"], strict=True)
    table["standard"] = pd.Series(
        [price[name] * units if name in price else Fraction(int(cents)) for name, units, cents in services],
        index=table.index, dtype=object,
    )  # fmt: skip
    unpriced = table[[service not in price for service in table["service"]]]
    over: dict[int, Fraction] = {}
    if books.raw.enrolment is not None:
        days = cube.member_months(books, months)
        for month, covered, length in zip(days["month"], days["days"], days["length"], strict=True):
            over[int(month) // 12] = over.get(int(month) // 12, Fraction(0)) + Fraction(int(covered), int(length))
    lines = []
    for year in sorted({int(one) for one in table["year"]}):
        part = table[table["year"] == year]
        lines.append(_use_and_price(str(year), part, over.get(year, Fraction(0))))
    lines.append(_use_and_price(TOTAL, table, sum(over.values(), Fraction(0))))
    frame = pd.DataFrame(lines)
    count = ("claims",)
    columns = (
        Column("year", "Year"), Column("claims", "Claims", "count", "n"),
        Column("cost", "Cost", "money", books.unit, of=count, digits=2),
        Column("standard", "At standard prices", "money", books.unit, of=count, digits=2),
        Column("pmpm", "PMPM", "money", books.unit, of=count, digits=2, missing="–"),
        Column("standard_pmpm", "PMPM at standard prices", "money", books.unit, of=count, digits=2, missing="–"),
        Column("price_index", "Price index", "number3", of=count, missing="–"),
    )  # fmt: skip
    given = "the prices given" if books.rules.prices else "the ledger's own mean price of each service"
    notes = [f"Standard price: {given}. What changes at standard prices is use; the price index (cost over cost at "
             "standard prices) is price and mix within a service."]  # fmt: skip
    if len(unpriced):
        notes.append("Services without a standard price (no net volume) are taken at their cost.")
    said = "Cost, and what the same use would have cost at one price for each service."
    return Result("ledger_standardised", "Use and price apart", frame, columns, tuple(notes), said)


def _use_and_price(name: str, part: pd.DataFrame, over: Fraction) -> dict[str, Any]:
    cents, standard = int(part["cents"].sum()), sum(part["standard"], Fraction(0))
    return {
        "year": name, "claims": int(part["claims"].sum()), "cost": cents / 100, "standard": float(standard / 100),
        "pmpm": _per(cents, over), "standard_pmpm": float(standard / 100 / over) if over else float("nan"),
        "price_index": float(cents / standard) if standard else float("nan"),
    }  # fmt: skip
