"""Both arms as one numbered table in the engine, which every measure joins to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from clinops.build import people
from clinops.build.cohorts import Cohort
from clinops.errors import DataError
from clinops.sources.describe import shown


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of both arms, exposed first, then by person and index date.

    Attributes
    ----------
    source : where they came from.
    table : one row an entry: row (0, 1, ...), arm (1 exposed), person_id, index_date, observed_from and
        observed_to (the observation episode that holds the index date), birth and traits of the person.
    count : how many entries.
    """

    source: Any
    table: ir.Table
    count: int
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def keys(self) -> ir.Table:
        """Only row, person_id and index_date."""
        return self.table.select("row", "person_id", "index_date")

    def collect(self, expr: ir.Table) -> dict[str, NDArray[Any]]:
        """Run an expression and return its columns as arrays."""
        return collect(self.source, expr)

    def spread(self, found: dict[str, NDArray[Any]], name: str, empty: float) -> NDArray[np.float64]:
        """Lay a column of `found` (which has a column row) out over all entries, `empty` where there is none."""
        values = np.full(self.count, empty, dtype=np.float64)
        column = found[name].astype(np.float64)
        values[found["row"]] = np.where(np.isnan(column), empty, column)
        return values


def collect(source: Any, expr: ir.Table) -> dict[str, NDArray[Any]]:
    """Run an expression and return its columns as arrays; nulls of numbers become NaN, of text None."""
    table = source.engine.collect(expr)
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


def enter(exposed: Cohort, comparator: Cohort) -> Entries:
    """Number the entries of both arms.

    Raises
    ------
    DataError : an arm has nobody; the message shows at which step it emptied.
    """
    for cohort in (exposed, comparator):
        _refuse_empty(cohort)
    source = exposed.source
    arms = [cohort.table.mutate(arm=ibis.literal(arm, type="int8")) for cohort, arm in ((exposed, 1), (comparator, 0))]
    both = ibis.union(*arms)
    order = [both.arm.desc(), both.person_id, both.index_date]
    numbered = both.mutate(row=ibis.row_number().over(order_by=order))
    joined = numbered.inner_join(people.persons(source), "person_id")
    table = source.engine.materialise(joined, "entries")
    count = sum(int(cohort.attrition["entries"].iloc[-1]) for cohort in (exposed, comparator))
    return Entries(source, table, count)


def _refuse_empty(cohort: Cohort) -> None:
    steps = cohort.attrition
    if steps["entries"].iloc[-1] > 0:
        return
    emptied = int(np.flatnonzero(steps["entries"].to_numpy() == 0)[0])
    # A message ends up in logs and in the record of a failed run, so it keeps small counts to itself too.
    persons = [shown(int(count)) for count in steps["persons"]]
    lines = [
        f"  {at}. {rule}: {count} persons" for at, (rule, count) in enumerate(zip(steps["rule"], persons, strict=True))
    ]
    left = f"the last {persons[emptied - 1]} persons left there" if emptied else "the records hold no such entry"
    raise DataError(
        f"Nobody is in the arm {cohort.definition.name!r}: it emptied at step {emptied}, "
        f"{steps['rule'].iloc[emptied]!r} ({left}). Loosen or correct that step.\n" + "\n".join(lines)
    )
