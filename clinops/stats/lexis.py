"""Person-time split by calendar time and by age, exact to the day: the Lexis diagram as arrays.

A row is watched on the days (entry, exit]: the day after `entry` is its first, `exit` its last, so it has exit - entry
person-days, as everywhere here (`risk_sets`). A day belongs to the period and to the age that hold that date: 1
January to the new year, a birthday to the new age. No row is made for a day: memory grows with the cells that rows
pass through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError

Ints = NDArray[np.int64]
Days = NDArray[np.datetime64]
OLDEST = 150
"""Cuts of age above this are taken for an error of unit (days, months)."""


@dataclass(frozen=True)
class LexisCells:
    """Person-days and events in each cell: shape (periods, bands + 1), the last column for those of unknown age.

    Whole numbers without weights, so that they add up exactly; weighted sums otherwise.
    """

    days: NDArray[Any]
    events: NDArray[Any]


@dataclass(frozen=True)
class Lexis:
    """Follow-up in pieces, p of them, each within one period and one band of age; in the order of rows and of time.

    Attributes
    ----------
    row : (p,) the row that the piece is of. first : (p,) its first day. days : (p,) its length. events : (p,).
    period : (p,) 0 before the first cut of the calendar, 1 from it on, and so on.
    band : (p,) 0 below the first cut of age, ...; one more than the last where the birth is not known.
    shape : how many periods, and bands with the one of unknown age.
    rows : how many were given. without_time : of them with entry = exit; they have no piece.
    outside : events on no day of their row's follow-up; they are in no piece.
    """

    row: Ints
    first: Days
    days: Ints
    events: Ints
    period: Ints
    band: Ints
    shape: tuple[int, int]
    rows: int
    without_time: int
    outside: int

    @property
    def cell(self) -> Ints:
        """(p,) number of the cell: period times bands (the unknown one included) plus band."""
        return self.period * self.shape[1] + self.band

    def cells(self, weights: ArrayLike | None = None) -> LexisCells:
        """Add up the pieces of each cell.

        Parameters
        ----------
        weights : (rows,) each row's weight; a 0 leaves it out. Without: person-days and events as counted.

        Raises
        ------
        DataError : weights of another length, missing or negative.
        """
        size = self.shape[0] * self.shape[1]
        if weights is None:
            # Sums of whole numbers below 2^53 are exact in bincount's doubles.
            found = [np.bincount(self.cell, v, size).astype(np.int64) for v in (self.days, self.events)]
        else:
            weight = np.asarray(weights, dtype=np.float64)
            if weight.shape != (self.rows,) or not np.isfinite(weight).all() or (weight < 0).any():
                raise DataError(f"weights must be {self.rows} finite numbers, 0 or more: one for each row.")
            found = [np.bincount(self.cell, v * weight[self.row], size) for v in (self.days, self.events)]
        return LexisCells(found[0].reshape(self.shape), found[1].reshape(self.shape))


def lexis(
    entry: ArrayLike,
    exit: ArrayLike,
    *,
    origin: ArrayLike | None = None,
    born: ArrayLike | None = None,
    calendar: ArrayLike = (),
    ages: Sequence[int] = (),
    event_row: ArrayLike = (),
    event_day: ArrayLike = (),
) -> Lexis:
    """How much person-time, and how many events, fall in each period of the calendar and band of age?

    Parameters
    ----------
    entry, exit : (n,) dates, or whole days from `origin`; watched on entry < day <= exit. A person may have several
        rows.
    origin : (n,) dates of day 0 of each row (or one date for all); 1 January 1970 where None.
    born : (n,) dates of birth, NaT where unknown; needed for `ages`. For a year only: `birth_dates`.
    calendar : rising dates on which a new period begins (`new_years` for calendar years).
    ages : rising whole years at which a new band begins; [18, 65] makes below 18, 18 to 64, 65 and over.
    event_row, event_day : (m,) each event: the row it is of (0, 1, ...), and its day as `entry`. A row may have many,
        also on one day; those outside its follow-up are counted in `outside`.

    Raises
    ------
    DataError : lengths that differ, days that are missing or not whole, an exit before its entry, follow-up before
        birth, events of a row that is not there. ParameterError : cuts that do not rise, ages without `born`.

    Notes
    -----
    Source: Lexis 1875; Carstensen 2007. Ages change on calendar birthdays; whoever is born on 29 February has theirs
    on 1 March of common years, as in the age at the index date. Checked day by day, and against `survSplit` and
    `pyears` of R's survival (`tests/oracles/epi/lexis.json`).
    """
    start, stop, shift = _follow_up(entry, exit, origin)
    cuts, bands = _calendar(calendar), _ages(ages, born)
    birth = _births(born, start, stop) if len(bands) else None
    packed, band, keep = _pieces(start, stop, cuts, bands, birth)
    row, first = packed.unpack(keep)
    until = np.append(first[1:], 0)
    last = np.append(row[1:] != row[:-1], True)[: len(row)]
    until[last] = stop[row[last]] + 1
    at, outside = _events(event_row, event_day, shift, start, stop, packed, keep)
    return Lexis(
        row=row, first=first.astype("datetime64[D]"), days=until - first, period=np.searchsorted(cuts, first, "right"),
        events=np.bincount(at, minlength=len(row)), band=band, shape=(len(cuts) + 1, len(bands) + 2),
        rows=len(start), without_time=int((start == stop).sum()), outside=outside,
    )  # fmt: skip


def new_years(first: Any, last: Any) -> Days:
    """Return every 1 January after one date, up to another: the cuts of `lexis` that make calendar years.

    Raises
    ------
    DataError : no date, or `last` before `first`.
    """
    low, high = (
        _days(name, [value], None)[0].astype("datetime64[D]") for name, value in (("first", first), ("last", last))
    )
    if high < low:
        raise DataError(f"The last day, {high}, is before the first, {low}.")
    years = np.arange(low.astype("datetime64[Y]") + 1, high.astype("datetime64[Y]") + 1)
    return years.astype("datetime64[D]")


def birth_dates(year: ArrayLike, month: ArrayLike, day: ArrayLike) -> Days:
    """Return dates of birth from their parts (n,): 1 January where only the year is known, NaT where not even that.

    With 1 January as birthday age is the calendar year less the year of birth, the rule for the age at the index date.
    Months outside 1 to 12 and days outside 1 to 31 (some records write 0) are unknown. A day that its month lacks
    (30 February) is the first of the next month.
    """
    parts = [np.asarray(part, dtype=np.float64) for part in (year, month, day)]
    if parts[0].ndim != 1 or len({part.shape for part in parts}) > 1:
        raise DataError(f"Years, months and days have the shapes {[part.shape for part in parts]}; give one of each.")
    known = np.isfinite(parts[0])
    dated = known & (parts[1] >= 1) & (parts[1] <= 12) & (parts[2] >= 1) & (parts[2] <= 31)
    months = (np.where(known, parts[0], 1970) - 1970) * 12 + np.where(dated, parts[1], 1) - 1
    first = months.astype(np.int64).astype("datetime64[M]")
    born = first.astype("datetime64[D]") + np.where(dated, parts[2] - 1, 0).astype(np.int64)
    born = np.minimum(born, (first + 1).astype("datetime64[D]"))
    born[~known] = np.datetime64("NaT")
    return born


# --- pieces ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Birth:
    """Births as months since 1970 and days of the month less one, 0 where not `known`."""

    month: Ints
    day: Ints
    known: NDArray[np.bool_]

    def age(self, at: Ints) -> Ints:
        """Whole years of age on a day of each row."""
        dates = at.astype("datetime64[D]")
        month = dates.astype("datetime64[M]")
        of_month = at - month.astype("datetime64[D]").astype(np.int64)
        found: Ints = (month.astype(np.int64) - self.month - (of_month < self.day)) // 12
        return found

    def birthday(self, row: Ints, age: Ints) -> Ints:
        """The day on which each of some rows reaches an age; 29 February gives 1 March in common years."""
        month = self.month[row] + 12 * age
        # First days of the months in question once: to convert every date anew would take most of the time.
        low, high = (int(month.min()), int(month.max())) if len(month) else (0, 0)
        firsts = np.arange(low, high + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        found: Ints = firsts[month - low] + self.day[row]
        return found


@dataclass(frozen=True)
class _Packed:
    """First days of pieces, sorted, each as one number: the row, then the day since `low` in the last `bits`."""

    key: Ints
    low: int
    bits: int

    def pack(self, row: Ints, day: Ints) -> Ints:
        return (row << self.bits) | (day - self.low)

    def unpack(self, keep: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        key = self.key[keep]
        return key >> self.bits, (key & ((1 << self.bits) - 1)) + self.low


def _pieces(
    start: Ints, stop: Ints, cuts: Ints, ages: Ints, birth: _Birth | None
) -> tuple[_Packed, Ints, NDArray[np.bool_]]:
    """Return the first days of pieces, the band of those to keep, and which these are.

    A row's pieces begin on its first day, on each cut of the calendar and on each birthday that opens a band; where
    two of these are one day the piece is one.
    """
    rows = np.flatnonzero(stop > start)
    first, last = start[rows] + 1, stop[rows]
    low = int(first.min(initial=0))
    packed = _Packed(np.empty(0, np.int64), low, max(int(last.max(initial=low)) - low, 1).bit_length())
    before, after = (np.searchsorted(cuts, day, "right") for day in (first, last))
    at, cut = _each(before, after)
    found = [packed.pack(rows, first) << 1, packed.pack(rows[at], cuts[cut]) << 1]
    own = np.full(len(rows), len(ages) if birth is None else 0, dtype=np.int64)
    if birth is not None:
        mine = _Birth(birth.month[rows], birth.day[rows], birth.known[rows])
        own = np.where(mine.known, np.searchsorted(ages, mine.age(first), "right"), len(ages) + 1)
        end = np.where(mine.known, np.searchsorted(ages, mine.age(last), "right"), own)
        at, cut = _each(own, end)
        found.append((packed.pack(rows[at], mine.birthday(at, ages[cut])) << 1) | 1)
    key = np.sort(np.concatenate(found))
    day, opens = key >> 1, key & 1
    row = day >> packed.bits
    begins = np.append(True, row[1:] != row[:-1])[: len(row)]
    passed = np.cumsum(opens)
    rank = np.cumsum(begins) - 1
    band = own[rank] + passed - passed[np.flatnonzero(begins)[rank]]
    keep = np.append(day[1:] != day[:-1], True)[: len(day)]
    return _Packed(day, packed.low, packed.bits), band[keep], keep


def _each(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return for every i each of low[i], ..., high[i] - 1: which i it is of, and the number itself."""
    count = high - low
    of = np.repeat(np.arange(len(low)), count)
    return of, np.arange(len(of)) - np.repeat(np.cumsum(count) - count - low, count)


def _events(
    event_row: ArrayLike, event_day: ArrayLike, shift: Ints | None, start: Ints, stop: Ints, packed: _Packed,
    keep: NDArray[np.bool_],
) -> tuple[Ints, int]:  # fmt: skip
    """Return the piece of every event within its row's follow-up, and how many are outside."""
    row = np.asarray(event_row)
    if not row.size:
        if np.size(event_day):
            raise DataError("event_day is given without event_row; say which row each event is of.")
        return np.empty(0, np.int64), 0
    if row.dtype.kind not in "iu" or row.ndim != 1 or row.min() < 0 or row.max() >= len(start):
        raise DataError(f"event_row must hold whole numbers from 0 to {len(start) - 1}: the row each event is of.")
    row = row.astype(np.int64)
    day = _days("event_day", event_day, None if shift is None else shift[row] if shift.ndim else shift)
    if day.shape != row.shape:
        raise DataError(f"event_row has {len(row)} events and event_day {len(day)}; both must have the same.")
    inside = (start[row] < day) & (day <= stop[row])
    at = np.searchsorted(packed.key[keep], packed.pack(row[inside], day[inside]), "right") - 1
    return at, int((~inside).sum())


# --- what is given -----------------------------------------------------------------------------------------


def _follow_up(entry: ArrayLike, exit: ArrayLike, origin: ArrayLike | None) -> tuple[Ints, Ints, Ints | None]:
    shift = None if origin is None else _days("origin", np.atleast_1d(np.asarray(origin)), None)
    if shift is not None and len(shift) == 1:
        shift = shift[0]
    if shift is not None and shift.ndim and np.shape(entry) != shift.shape:
        raise DataError(f"origin has {len(shift)} dates for {np.shape(entry)} entries; give one for each row, or one.")
    start, stop = _days("entry", entry, shift), _days("exit", exit, shift)
    if start.shape != stop.shape:
        raise DataError(f"entry has {len(start)} rows and exit {len(stop)}; both must have the same.")
    if (stop < start).any():
        at = int(np.flatnonzero(stop < start)[0])
        raise DataError(f"Row {at} ends before it begins; exit must be the day of entry or later.")
    return start, stop, shift


def _days(name: str, values: ArrayLike, shift: Ints | None) -> Ints:
    """Read dates, or whole days from the shift, as days since 1 January 1970."""
    found = np.asarray(values)
    if found.ndim != 1:
        raise DataError(f"{name} has the shape {found.shape}; it must have one dimension.")
    if found.dtype.kind in "iuf":
        if not np.isfinite(found).all() or (found != np.floor(found)).any():
            raise DataError(f"{name} must hold whole days, none missing.")
        return found.astype(np.int64) + (0 if shift is None else shift)
    dates = _dates(name, found)
    if np.isnat(dates).any():
        raise DataError(f"{name} has a missing date at {int(np.flatnonzero(np.isnat(dates))[0])}; leave such rows out.")
    return dates.astype(np.int64)


def _dates(name: str, values: NDArray[Any]) -> Days:
    try:
        return values.astype("datetime64[D]")
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds values of the type {values.dtype}; give dates, or whole days.") from error


def _calendar(calendar: ArrayLike) -> Ints:
    given = np.asarray(calendar)
    cuts = _days("calendar", given, None) if given.size else np.empty(0, np.int64)
    if (np.diff(cuts) <= 0).any():
        raise ParameterError("The cuts of the calendar must rise: give each date once, the earliest first.")
    return cuts


def _ages(ages: Sequence[int], born: ArrayLike | None) -> Ints:
    given = np.asarray(ages)
    if not given.size:
        return np.empty(0, np.int64)
    if born is None:
        raise ParameterError("Cuts of age need the dates of birth; give born=.")
    whole = given.ndim == 1 and given.dtype.kind in "iuf" and bool((given == np.floor(given)).all())
    if not whole or (np.diff(given) <= 0).any() or given[0] < 1 or given[-1] > OLDEST:
        raise ParameterError(f"The cuts of age are {list(ages)}; give rising whole years from 1 to {OLDEST}.")
    return given.astype(np.int64)


def _births(born: ArrayLike | None, start: Ints, stop: Ints) -> _Birth:
    dates = _dates("born", np.asarray(born))
    if dates.shape != start.shape:
        raise DataError(f"born has the shape {dates.shape}; it must have one date for each of {len(start)} rows.")
    known = ~np.isnat(dates)
    day = np.where(known, dates, np.datetime64("1970-01-01")).astype(np.int64)
    early = known & (day > start + 1) & (stop > start)
    if early.any():
        raise DataError(
            f"Row {int(np.flatnonzero(early)[0])} is watched before its birth ({int(early.sum())} such rows); correct "
            "the dates, or give NaT as born."
        )
    month = day.astype("datetime64[D]").astype("datetime64[M]")
    return _Birth(month.astype(np.int64), day - month.astype("datetime64[D]").astype(np.int64), known)
