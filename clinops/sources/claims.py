"""Flat claims and enrolment: two files whose columns are known by the roles they play."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, SourceError, nearest, unknown
from clinops.sources import canonical
from clinops.sources.canonical import Found
from clinops.sources.tables import Column

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.duck import DuckEngine
    from clinops.sources.engine import Raw
    from clinops.sources.files import TableFile

CLAIM_ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "claim_id": ("key", ("claim_id", "claim", "claim_number", "clm_id")),
    "line_id": ("key", ("line_id", "line", "line_number", "claim_line", "claim_line_number")),
    "version": ("key", ("version", "claim_version")),
    "person_id": ("key", ("person_id", "member_id", "patient_id", "bene_id", "enrolid")),
    "date": ("date", ("service_date", "date", "date_of_service", "claim_start_date", "from_date", "fill_date")),
    "paid_date": ("date", ("paid_date", "payment_date")),
    "category": ("text", ("category", "cost_category", "service_category")),
    "plan": ("text", ("plan", "plan_id")),
    "currency": ("text", ("currency", "currency_code")),
    "allowed": ("money", ("allowed", "allowed_amount", "amount_allowed")),
    "paid": ("money", ("paid", "paid_amount", "amount_paid", "total_paid")),
    "charge": ("money", ("charge", "charges", "charge_amount", "billed_amount", "total_charge")),
    "header_allowed": ("money", ("header_allowed", "claim_allowed_amount")),
    "header_paid": ("money", ("header_paid", "claim_paid_amount")),
    "header_charge": ("money", ("header_charge", "claim_charge_amount")),
    "units": ("number", ("units", "service_units", "quantity")),
    "code": ("text", ("code", "service_code", "procedure_code", "hcpcs_code")),
    "capitated": ("flag", ("capitated", "capitation")),
}
"""By role: the kind of its values, and the names under which a column is found where nobody says which it is."""

ENROLMENT_ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "person_id": CLAIM_ROLES["person_id"],
    "plan": CLAIM_ROLES["plan"],
    "start_date": ("date", ("start_date", "enrolment_start_date", "enrollment_start_date", "coverage_start")),
    "end_date": ("date", ("end_date", "enrolment_end_date", "enrollment_end_date", "coverage_end")),
    "pharmacy": ("flag", ("pharmacy_benefit", "pharmacy", "rx_benefit")),
    "death_date": ("date", ("death_date", "date_of_death")),
}
ENROLMENT_NAMES = ("enrolment", "eligibility", "enrollment")
_TRUE, _FALSE = ("1", "true", "t", "yes", "y"), ("0", "false", "f", "no", "n")


@dataclass(frozen=True, eq=False)
class FlatRecords:
    """Claims and enrolment under the names of their roles.

    Attributes
    ----------
    engine : an in-memory DuckDB that reads the files where they are.
    claims, enrolment : one column a role, null where the file has none; enrolment None where there is no file.
    has : roles that the claims have.
    name : what the files are called.
    columns : by role, what the column is called in the claims.
    """

    engine: DuckEngine
    claims: ir.Table
    enrolment: ir.Table | None
    has: frozenset[str]
    name: str
    columns: Mapping[str, str]


def open_claims(
    claims: str | Path | None = None, enrolment: str | Path | None = None, *, folder: str | Path | None = None,
    columns: Mapping[str, str] | None = None, category_map: str | Path | None = None,
) -> FlatRecords:  # fmt: skip
    """Open a file of claims and one of enrolment; nothing in them is changed.

    Parameters
    ----------
    claims, enrolment : Parquet or CSV(.gz) files, or folders of Parquet parts.
    folder : holds both, as claims.* and enrolment.* (or eligibility.*), in place of the two.
    columns : role -> column, where the names are not the usual ones; roles are `CLAIM_ROLES`, `ENROLMENT_ROLES`.
    category_map : CSV with the header column,value,category: claims whose column holds the value have the category;
        the first row that fits wins.

    Raises
    ------
    SourceError : no such file, role or column, or a column that cannot be done without.
    DataError : values that are no dates, amounts or flags.
    """
    from clinops.sources.duck import DuckEngine

    files = _files(claims, enrolment, folder)
    given = dict(columns or {})
    known = {*CLAIM_ROLES, *ENROLMENT_ROLES}
    for role in given:
        if role not in known:
            raise SourceError(unknown("role of a column", role, known))
    pairs = _category_map(category_map)
    engine = DuckEngine()
    try:
        engine.read_files(files)
        return _records(engine, files, given, pairs)
    except BaseException:
        engine.close()
        raise


def _files(claims: Any, enrolment: Any, folder: Any) -> dict[str, TableFile]:
    from clinops.sources.files import find, single

    if folder is not None:
        held = find(Path(folder).expanduser())
        names = [name for name in ENROLMENT_NAMES if name in held]
        if len(names) > 1:
            raise SourceError(f"{Path(folder).name} holds enrolment twice, as {' and '.join(names)}; keep one of them.")
        if "claims" not in held:
            raise SourceError(unknown("table of claims", "claims", held, "Give a folder with claims and enrolment."))
        return {"claims": held["claims"]} | ({"enrolment": held[names[0]]} if names else {})
    if claims is None:
        raise SourceError("There are no claims: give the file of claims, or a folder with claims and enrolment.")
    found = {"claims": single(Path(claims).expanduser())}
    if enrolment is not None:
        found["enrolment"] = single(Path(enrolment).expanduser())
    return found


def _records(
    engine: DuckEngine, files: Mapping[str, TableFile], given: Mapping[str, str], pairs: Sequence[tuple[str, str, str]]
) -> FlatRecords:
    raw = engine.raw["claims"]
    text = _differ(engine, given)
    at = _columns("claims", raw, CLAIM_ROLES, given)
    claims = _read("claims", raw, CLAIM_ROLES, at, engine, text, pairs)
    has = set(at) | ({"category"} if pairs else set())
    enrolment = None
    if "enrolment" in engine.raw:
        other = engine.raw["enrolment"]
        where = _columns("enrolment", other, ENROLMENT_ROLES, given)
        for role in ("person_id", "start_date", "end_date"):
            if role not in where:
                raise SourceError(_lacking("enrolment", role, other, ENROLMENT_ROLES))
        for role in ("person_id", "date"):
            if role not in at:
                raise SourceError(_lacking("claims", role, raw, CLAIM_ROLES))
        enrolment = _read("enrolment", other, ENROLMENT_ROLES, where, engine, text, ())
    name = " and ".join(file.label for file in files.values())
    return FlatRecords(engine, claims, enrolment, frozenset(has), name, at)


def _columns(
    name: str, raw: Raw, roles: Mapping[str, tuple[str, tuple[str, ...]]], given: Mapping[str, str]
) -> dict[str, str]:
    """Role -> column of the file, for the roles that it has."""
    found = {}
    for role, (_, names) in roles.items():
        wanted = given.get(role)
        if wanted is not None and wanted.lower() in raw.columns:
            found[role] = raw.columns[wanted.lower()]
        elif wanted is not None and role not in set(CLAIM_ROLES) & set(ENROLMENT_ROLES):
            raise SourceError(unknown(f"column in {name}", wanted, raw.columns, f"It should be the {role}."))
        elif held := next((raw.columns[other] for other in names if other in raw.columns), None):
            found[role] = held
    return found


def _lacking(name: str, role: str, raw: Raw, roles: Mapping[str, tuple[str, tuple[str, ...]]]) -> str:
    close = nearest(role, raw.columns)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return (
        f"The {name} have no column for {role} (looked for: {', '.join(roles[role][1])}).{hint} They have: "
        f"{', '.join(raw.columns)}. Say which it is: columns={{{role!r}: '...'}}."
    )


def _differ(engine: DuckEngine, given: Mapping[str, str]) -> bool:
    """Whether the ids of persons have to be text: they are in one of the files."""
    kinds = []
    for name, roles in (("claims", CLAIM_ROLES), ("enrolment", ENROLMENT_ROLES)):
        if name in engine.raw:
            raw = engine.raw[name]
            at = _columns(name, raw, {"person_id": roles["person_id"]}, given)
            kinds += [raw.table[column].type().is_string() for column in at.values()]
    return any(kinds)


def _read(
    name: str, raw: Raw, roles: Mapping[str, tuple[str, tuple[str, ...]]], at: Mapping[str, str], engine: DuckEngine,
    text: bool, pairs: Sequence[tuple[str, str, str]],
) -> ir.Table:  # fmt: skip
    """The file under the names of its roles, its values checked and typed."""
    import ibis

    found = []
    for role, (kind, _) in roles.items():
        column = raw.table[at[role]] if role in at else None
        if kind == "key":
            of_person = role == "person_id"
            whole = column is not None and not column.type().is_string() and not (of_person and text)
            kind = "id" if whole or (column is None and not (of_person and text)) else "text"
        found.append(Found(Column(role, "text" if kind == "flag" else kind), column))
    canonical.check_pairs(name, raw, found, engine)
    columns = canonical.values(found)
    for role in (role for role, (kind, _) in roles.items() if kind == "flag"):
        if role in at:
            _check_flag(name, raw.table.select(**{role: columns[role]}), role, engine)
        columns[role] = _flag(columns[role])
    if pairs:
        columns["category"] = ibis.coalesce(_mapped(raw, pairs), columns["category"])
    return raw.table.select(**columns)


def _flag(column: ir.StringValue) -> ir.BooleanValue:
    import ibis

    said = column.lower().strip()
    return ibis.cases((said.isin(_TRUE), True), (said.isin(_FALSE), False), else_=ibis.null("boolean"))


def _check_flag(name: str, table: ir.Table, role: str, engine: DuckEngine) -> None:
    said = table[role].lower().strip()
    odd = table.filter(said.notnull() & (said != "") & ~said.isin((*_TRUE, *_FALSE)))
    row = engine.rows(odd.aggregate(n=odd.count(), sample=odd[role].max()))[0]
    if row["n"]:
        raise DataError(
            f"{row['n']:,} values of {name}.{role} are neither yes nor no, such as {row['sample']!r}. "
            f"Known: {', '.join((*_TRUE, *_FALSE))}."
        )


def _mapped(raw: Raw, pairs: Sequence[tuple[str, str, str]]) -> ir.StringValue:
    """The category that the map gives a row; null where no row of the map fits."""
    import ibis

    branches = []
    for column, value, category in pairs:
        if column.lower() not in raw.columns:
            raise SourceError(unknown("column in claims", column, raw.columns, "The map of categories names it."))
        held = raw.table[raw.columns[column.lower()]].cast("string").strip()
        branches.append((held == value, category))
    return ibis.cases(*branches, else_=ibis.null("string"))


def _category_map(path: str | Path | None) -> list[tuple[str, str, str]]:
    """Read the map from values of columns to categories."""
    if path is None:
        return []
    with Path(path).expanduser().open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or set(rows[0]) != {"column", "value", "category"}:
        raise SourceError(f"{Path(path).name} needs the header column,value,category and a row for every value.")
    return [(row["column"].strip(), row["value"].strip(), row["category"].strip()) for row in rows]
