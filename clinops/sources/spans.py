"""Spans of days, both ends included, merged into continuous episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinops.define.base import whole

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.engine import Engine
    from clinops.sources.source import SetAside


def episodes(
    spans: ir.Table, gap: int = 0, *, person: str = "person_id", start: str = "start_date", end: str = "end_date"
) -> ir.Table:
    """Merge spans that overlap, nest, touch, or lie at most `gap` uncovered days apart.

    A span joins the episode of those before it when it starts no later than `gap + 1` days after the latest
    end so far: a running maximum, since a long span may cover several that follow it.

    Parameters
    ----------
    spans : a person, a first and a last day (both dates) a row; more columns are ignored. No end may lie
        before its start; leave such rows out first, and count them.
    gap : whole days without cover that do not end an episode; 0 still joins 31 March to 1 April.
    person, start, end : names of the three columns.

    Returns
    -------
    Columns of the same three names and ``spans``, how many spans the episode was made of.
    """
    import ibis

    whole("the gap", gap, low=0)
    kept = spans.select(person=spans[person], start=spans[start], end=spans[end])
    before = ibis.window(group_by="person", order_by=["start", "end"], rows=(None, -1))
    reach = kept.mutate(reach=kept.end.max().over(before))
    begins = ibis.ifelse(reach.reach.isnull() | (reach.start > reach.reach + ibis.interval(days=gap + 1)), 1, 0)
    flagged = reach.mutate(begins=begins)
    upto = ibis.window(group_by="person", order_by=["start", "end"], rows=(None, 0))
    numbered = flagged.mutate(episode=flagged.begins.sum().over(upto))
    merged = numbered.group_by(["person", "episode"]).agg(
        start=numbered.start.min(), end=numbered.end.max(), spans=numbered.count()
    )
    return merged.select(**{person: merged.person, start: merged.start, end: merged.end, "spans": merged.spans})


def split_reversed(
    spans: ir.Table, engine: Engine, where: str, start: str = "start_date", end: str = "end_date"
) -> tuple[ir.Table, SetAside]:
    """Return the spans that do not end before they start, and what that set aside, with a person to look up."""
    from clinops.sources.source import SetAside

    kept = spans.filter(spans[end] >= spans[start])
    backward = spans.filter(spans[end] < spans[start])
    row = engine.rows(backward.aggregate(n=backward.count(), who=backward.person_id.cast("string").min()))[0]
    example = f", such as of person {row['who']}" if row["n"] else ""
    return kept, SetAside(f"{where}: {end} before {start}", row["n"], f"No span ends before it starts{example}.")
