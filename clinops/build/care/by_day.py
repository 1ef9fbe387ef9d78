"""Use of care by calendar day: persons alive and observed, admissions, emergency visits."""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clinops.build.care.contacts import visits
from clinops.build.care.readmissions import Readmitted
from clinops.build.care.use import inside, observed
from clinops.build.entries import collect
from clinops.define.care import CareRules
from clinops.sources import omop


def by_day(source: Any, rules: CareRules, found: Readmitted, within: ir.Table | None = None) -> pd.DataFrame:
    """Count, for each day of the period, who is observed and what starts.

    Admissions and emergency visits are those of the rates per person-year: on observed days alone, emergency visits
    of one person and day as one.

    Returns
    -------
    frame indexed by day, the first to the last with anybody: persons, admissions, emergency (whole numbers). Empty
    where nobody is observed.
    """
    spans = source.engine.materialise(observed(source, rules, within), "observed")
    began, ended = _counted(source, spans, "begin"), _counted(source, spans, "finish")
    if began.empty:
        return pd.DataFrame(columns=["persons", "admissions", "emergency"])
    days = pd.date_range(began.index.min(), ended.index.max(), freq="D")
    here = began.reindex(days, fill_value=0) - ended.reindex(days, fill_value=0).shift(1, fill_value=0)
    stays = found.starts.rename(who="person_id")
    admitted = stays.inner_join(
        spans, [stays.who == spans.person_id, stays.start >= spans.begin, stays.start <= spans.finish]
    )
    urgent = visits(source, rules.emergency, omop.EMERGENCY).select("person_id", "day")
    seen = inside(source, rules, urgent, within)
    return pd.DataFrame({
        "persons": here.cumsum(), "admissions": _counted(source, admitted, "start").reindex(days, fill_value=0),
        "emergency": _counted(source, seen, "day").reindex(days, fill_value=0),
    })  # fmt: skip


def _counted(source: Any, table: ir.Table, day: str) -> pd.Series:
    """How many rows each day has."""
    by = table.group_by(day).agg(n=table.count())
    frame = pd.DataFrame(collect(source, by.order_by(day)))
    index = pd.to_datetime(frame[day]).astype("datetime64[s]")
    return pd.Series(frame["n"].to_numpy(dtype="int64"), index=pd.DatetimeIndex(index))
