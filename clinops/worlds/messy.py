"""A few broken rows, for tests of bad input: orphans, duplicates, impossible dates.

None belongs to an eligible person, so the truth stays the truth once the broken rows are set aside.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FEW = 7
"""Rows broken in each way."""
NOBODY = 9_000_000_000
"""First of the person ids that `person` does not hold."""


def soil(tables: dict[str, pa.Table], spare: np.ndarray) -> dict[str, pa.Table]:
    """Return the tables with FEW broken rows of each sort added; `spare` are person ids to break."""
    out = dict(tables)
    visits = _of(tables["visit_occurrence"], spare)
    conditions = _of(tables["condition_occurrence"], spare)
    periods = _of(tables["observation_period"], spare)
    persons = _of(tables["person"], spare)
    nobody = pa.array(np.arange(NOBODY, NOBODY + FEW))
    long_ago, later = (pa.scalar(text).cast(pa.date32()) for text in ("2001-01-01", "2031-01-01"))

    orphan_periods = _with(_renumbered(periods[:FEW]), person_id=nobody)
    unobserved = _with(_renumbered(persons[:FEW]), person_id=pc.add(nobody, 1000))
    reversed_visits = _renumbered(_with(visits[:FEW], visit_start_date=later, visit_end_date=long_ago))
    outside = _renumbered(_with(conditions[:FEW], condition_start_date=long_ago))
    orphan_conditions = _renumbered(_with(conditions[FEW : 2 * FEW], person_id=nobody), start=FEW)
    died = set(tables["death"]["person_id"].to_pylist())
    living = [number for number in persons["person_id"].to_pylist() if number not in died][:FEW]
    early = pa.table(
        {
            name: pa.array([living[row] for row in range(len(living))], column.type)
            if name == "person_id"
            else pa.array(["1900-01-01"] * len(living)).cast(pa.date32())
            if name == "death_date"
            else pa.nulls(len(living), column.type)
            for name, column in zip(tables["death"].schema.names, tables["death"].schema, strict=True)
        },
        schema=tables["death"].schema,
    )
    added = {
        "observation_period": [orphan_periods],
        "person": [unobserved],
        "visit_occurrence": [reversed_visits, visits[FEW : 2 * FEW]],
        "condition_occurrence": [outside, orphan_conditions],
        "death": [early],
    }
    for name, rows in added.items():
        out[name] = pa.concat_tables([tables[name], *rows])
    return out


def _of(table: pa.Table, spare: np.ndarray) -> pa.Table:
    return table.filter(pc.is_in(table["person_id"], value_set=pa.array(spare)))


def _with(table: pa.Table, **columns: pa.Array | pa.Scalar) -> pa.Table:
    """Return the table with some columns replaced; a scalar is repeated."""
    for name, value in columns.items():
        at = table.schema.get_field_index(name)
        kind = table.schema.field(at).type
        values = pa.repeat(value, len(table)) if isinstance(value, pa.Scalar) else value[: len(table)]
        table = table.set_column(at, table.schema.field(at), values.cast(kind))
    return table


def _renumbered(table: pa.Table, start: int = 0) -> pa.Table:
    """Return the table with identifiers (its first column) that no other row has."""
    new = pa.array(np.arange(len(table)) + NOBODY + 10_000 + start)
    return _with(table, **{table.schema.names[0]: new})
