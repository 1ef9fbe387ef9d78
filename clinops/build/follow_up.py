"""Follow-up: from which day each entry is observed, on which day it ends, and why."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from clinops.build import events, people
from clinops.build.entries import Entries
from clinops.define.events import Events
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DataError
from clinops.sources import omop

NEVER = 2**30
"""A day after every other: stands for "no such day" in comparisons."""

WINDOW, DEATH, OBSERVATION = "window", "death", "end of observation"


@dataclass(frozen=True, eq=False)
class Followed:
    """The follow-up of every entry; arrays in the order of the entries, days counted from the index date.

    Attributes
    ----------
    table : ibis table with row, person_id, index_date, observed_from_day, death_day (NEVER for none) and end_day.
    end_day : last day of follow-up, 0 or later. Its reason: `end_reason`.
    observed_from_day, observed_to_day : of the observation episode that holds the index date.
    death_day : NaN where no death is on record within follow-up or later observation.
    set_aside : (what, how many, why).
    """

    table: ir.Table
    window: Window
    end_day: NDArray[np.int64]
    end_reason: NDArray[np.object_]
    observed_from_day: NDArray[np.int64]
    observed_to_day: NDArray[np.int64]
    death_day: NDArray[np.float64]
    set_aside: tuple[tuple[str, int, str], ...]

    def days_in(self, window: Window) -> NDArray[np.int64]:
        """Person-days of each entry within a window: from its first day to the end of follow-up, both included."""
        last = self.end_day if window.end is None else np.minimum(self.end_day, window.end)
        return np.maximum(last - (window.start or 0) + 1, 0)


def follow(protocol: Protocol, entries: Entries) -> Followed:
    """Find the end of every entry's follow-up, once a protocol.

    The end is the first of: the window's last day, death, the end of the observation episode that holds the
    index date, and the first event from day 1 on that censors (the protocol's, and the arm's own exits). Where
    several fall on one day the reason is death before the window's end before events before the end of
    observation. Follow-up always ends at death; it goes on beyond the end of observation only where the
    protocol's `censor` does not name it. With `last_contact` observation ends so many days after the last visit
    that starts within the episode (after the index date, where there is none), if that is sooner.

    Raises
    ------
    DataError : the window has no end and nothing else ends follow-up.
    """
    ends = tuple(_ends(protocol, arm) for arm in (0, 1))
    key = ("follow-up", protocol.follow_up.window, ends, protocol.follow_up.last_contact)
    if key not in entries.cache:
        entries.cache[key] = _follow(protocol.follow_up.window, ends, entries, protocol.follow_up.last_contact)
    return entries.cache[key]


def _ends(protocol: Protocol, arm: int) -> tuple[str | Events, ...]:
    cohort = protocol.exposed if arm else protocol.comparator
    return tuple(dict.fromkeys((*protocol.follow_up.censor, *cohort.exit)))


def _follow(
    window: Window, ends: tuple[tuple[str | Events, ...], ...], entries: Entries, last_contact: int | None
) -> Followed:
    for arm in (0, 1):
        if window.end is None and OBSERVATION not in ends[arm]:
            raise DataError(
                "The follow-up has no last day and is not censored at the end of observation, so it never ends. "
                "Give the window an end, or name 'end of observation' in censor."
            )
    days = _days(entries)
    if last_contact is not None:
        days = _after_last_contact(days, entries, last_contact)
    censor = [event for event in dict.fromkeys((*ends[0], *ends[1])) if isinstance(event, Events)]
    for number, event in enumerate(censor):
        arms = [arm for arm in (0, 1) if event in ends[arm]]
        days = _with_first(days, event, entries, f"event_{number}", arms)
    observed = [arm for arm in (0, 1) if OBSERVATION in ends[arm]]
    # Of what falls on one day the first in this list is the reason.
    candidates = {
        DEATH: ibis.greatest(days.death_day, 0),
        WINDOW: ibis.literal(NEVER if window.end is None else window.end, type="int64"),
        **{event.label: days[f"event_{number}"] for number, event in enumerate(censor)},
        OBSERVATION: days.arm.isin(observed).ifelse(days.observed_to_day, NEVER),
    }
    end = ibis.least(*candidates.values())
    reason = ibis.cases(*((day == end, number) for number, day in enumerate(candidates.values())), else_=-1)
    kept = days.mutate(end_day=end.cast("int64"), reason=reason.cast("int64"))
    table = entries.source.engine.materialise(kept.select(*_DAYS, "end_day", "reason"), "follow_up")
    return _collected(table, window, list(candidates), entries)


_DAYS = ("row", "arm", "person_id", "index_date", "observed_from_day", "observed_to_day", "death_day")


def _days(entries: Entries) -> ir.Table:
    """Each entry with the days of its observation episode and of death, NEVER where none is on record."""
    table = entries.table
    died = people.deaths(entries.source).rename(died="person_id")
    joined = table.left_join(died, table.person_id == died.died)
    return joined.select(
        "row",
        "arm",
        "person_id",
        "index_date",
        observed_from_day=joined.observed_from.delta(joined.index_date, unit="day"),
        observed_to_day=joined.observed_to.delta(joined.index_date, unit="day"),
        death_day=joined.death_date.delta(joined.index_date, unit="day").fill_null(NEVER),
    )


def _after_last_contact(days: ir.Table, entries: Entries, allowed: int) -> ir.Table:
    """End observation so many days after the last visit of the episode; the index date counts as a contact."""
    visits = omop.events(entries.source, "visit")
    held = visits.filter(visits.start_date.notnull()).select(visitor="person_id", started="start_date")
    joined = days.inner_join(held, days.person_id == held.visitor)
    seen = joined.mutate(contact=joined.started.delta(joined.index_date, unit="day"))
    inside = seen.filter(seen.contact >= 0, seen.contact <= seen.observed_to_day)
    last = inside.group_by("row").agg(last_day=inside.contact.max()).rename(found="row")
    both = days.left_join(last, days.row == last.found)
    until = ibis.least(both.observed_to_day, both.last_day.fill_null(0) + allowed)
    return both.mutate(observed_to_day=until).drop("found", "last_day")


def _with_first(days: ir.Table, event: Events, entries: Entries, name: str, arms: list[int]) -> ir.Table:
    """Add the day of the first event from day 1 on, NEVER where there is none or the arm is not censored by it."""
    found = events.occasions(entries.keys, event, entries.source, Window(1, None), by=("row",))
    first = found.group_by("row").agg(first_day=found.day.min()).rename(found="row")
    joined = days.left_join(first, days.row == first.found)
    value = joined.arm.isin(arms).ifelse(joined.first_day.fill_null(NEVER), NEVER)
    return joined.mutate(**{name: value}).drop("found", "first_day")


def _collected(table: ir.Table, window: Window, reasons: list[str], entries: Entries) -> Followed:
    found = entries.collect(table.order_by("row"))
    death, end, seen_to = (found[name].astype(np.int64) for name in ("death_day", "end_day", "observed_to_day"))
    names = np.array(reasons, dtype=object)
    inside = (death >= 0) & (death <= np.maximum(seen_to, end))
    return Followed(
        table=table,
        window=window,
        end_day=end,
        end_reason=names[found["reason"].astype(np.int64)],
        observed_from_day=found["observed_from_day"].astype(np.int64),
        observed_to_day=seen_to,
        death_day=np.where(inside, death, np.nan),
        set_aside=_set_aside(death, end, np.maximum(seen_to, end)),
    )


def _set_aside(
    death: NDArray[np.int64], end: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[tuple[str, int, str], ...]:
    counted = (
        ("Entries with a death before the index date", int((death < 0).sum()), "No follow-up: 0 person-days."),
        (
            "Entries with a death after the end of observation",
            int(((death > last) & (death < NEVER)).sum()),
            "Follow-up had ended, so the death is not an outcome.",
        ),
        ("Entries without a day of follow-up", int((end <= 0).sum()), "They count in n with 0 person-days."),
    )
    return tuple(item for item in counted if item[1])
