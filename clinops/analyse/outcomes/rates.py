"""Rates of one outcome by calendar year and age: person-time exact to the day, and what the arms differ by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import DAYS_A_YEAR, Floats
from clinops.analyse.outcomes.estimates import KNOWN, LEVEL, Row, base
from clinops.analyse.outcomes.rows import EVENT, EventRows
from clinops.errors import DefinitionError, unknown
from clinops.stats.lexis import OLDEST, Lexis, lexis, new_years

if TYPE_CHECKING:
    from clinops.stats.rates import Estimate

Mask = NDArray[np.bool_]

AGES = (18, 45, 65, 75, 85)
"""Ages at which a new band begins, where nothing else is said."""
STANDARDS = ("both arms", "exposed")
COUNTED = ("all events", "first events")
PER = 1000.0
UNIT = "per 1,000 person-years"
EVERYBODY, YEAR, AGE = "Everybody", "Calendar year", "Age"


@dataclass(frozen=True)
class Rates:
    """Follow-up of both arms in pieces that are each in one calendar year and one band of age.

    Attributes
    ----------
    rows : of the outcome. of : (k,) those that are in an arm. pieces : theirs, in the same numbering.
    ages : where bands begin. first : whether only first events count, in the time up to them.
    standard : one of `STANDARDS`.
    """

    rows: EventRows
    of: NDArray[np.int64]
    pieces: Lexis
    ages: tuple[int, ...]
    first: bool
    standard: str

    @cached_property
    def exposed(self) -> Mask:
        """(p,) whether a piece is of the exposed arm."""
        return self.rows.exposed[self.of][self.pieces.row]

    @cached_property
    def years(self) -> Floats:
        """(p,) person-years of each piece."""
        return self.pieces.days / DAYS_A_YEAR

    @cached_property
    def cluster(self) -> NDArray[np.int64]:
        """(p,) code of the cluster that each piece is of."""
        return np.unique(self.rows.cluster[self.of], return_inverse=True)[1][self.pieces.row]

    @cached_property
    def weight(self) -> Floats:
        """(p,) the weight of a piece's row."""
        return self.rows.weights[self.of][self.pieces.row]

    @property
    def exact(self) -> bool:
        """Whether events are independent: once a person, all of whom count alike."""
        return self.rows.plain and (self.first or not self.rows.death)

    @property
    def kind(self) -> str:
        """How errors are made, in words."""
        if self.exact:
            return "Poisson"
        return f"robust, clusters: {self.rows.cluster_name}" + ("" if self.rows.plain else f", {KNOWN}")

    def strata(self) -> Iterator[tuple[str, str, Mask]]:
        """Everybody, then every calendar year and band of age in which somebody is watched: split, level, pieces."""
        piece = self.pieces
        yield EVERYBODY, "All", np.ones(len(piece.row), dtype=bool)
        year = piece.first.astype("datetime64[Y]").astype(np.int64) + 1970
        for one in np.unique(year).tolist():
            yield YEAR, f"{one}", year == one
        for band in np.unique(piece.band).tolist():
            yield AGE, band_name(self.ages, band), piece.band == band


def band_name(ages: Sequence[int], band: int) -> str:
    """The name of a band of age: below 18, 18 to 44, 85 and over."""
    if band > len(ages) or not ages:
        return "not known"
    if band == 0:
        return f"below {ages[0]}"
    low = ages[band - 1]
    if band == len(ages):
        return f"{low} and over"
    return f"{low} to {ages[band] - 1}" if ages[band] - 1 > low else f"{low}"


def checked(age_bands: Sequence[int], rates_of: str, standard: str) -> tuple[tuple[int, ...], bool, str]:
    """Check what the rates are asked for; return ages, whether first events only, and the standard.

    Raises
    ------
    DefinitionError : ages that do not rise or are no whole years, an unknown word.
    """
    if rates_of not in COUNTED:
        raise DefinitionError(unknown("kind of events to count in rates", rates_of, COUNTED))
    if standard not in STANDARDS:
        raise DefinitionError(unknown("standard for rates", standard, STANDARDS))
    given = list(age_bands) or list(AGES)
    whole = all(isinstance(age, int | np.integer) and not isinstance(age, bool) for age in given)
    if not whole or given != sorted(set(given)) or given[0] < 1 or given[-1] > OLDEST:
        raise DefinitionError(
            f"The age bands begin at {', '.join(map(str, given))}; give rising whole years from 1 to {OLDEST}: "
            f"{list(AGES)} makes below 18, 18 to 44, and so on."
        )
    return tuple(int(age) for age in given), rates_of == "first events", standard


def split(rows: EventRows, ages: tuple[int, ...], first: bool, standard: str) -> Rates:
    """Split the follow-up of both arms; those watched before their birth, which cannot be, have no known age."""
    of = np.flatnonzero(rows.arm(True) | rows.arm(False))
    place = np.full(len(rows), -1)
    place[of] = np.arange(len(of))
    stop = (rows.exit if first else rows.end)[of].astype(np.int64)
    start = np.full(len(of), int(rows.since))
    if first:
        row = np.flatnonzero(rows.cause == EVENT)
        day = rows.exit[row]
    else:
        row, day = rows.event_row, rows.event_day
    here = place[row] >= 0
    index = rows.index_date[of]
    begin = index + start + 1
    born = np.where(rows.born[of] > begin, np.datetime64("NaT"), rows.born[of])
    cuts = new_years(begin.min(), (index + stop).max()) if len(of) else ()
    pieces = lexis(
        start, stop, origin=index, born=born, calendar=cuts, ages=ages, event_row=place[row[here]], event_day=day[here]
    )
    return Rates(rows, of, pieces, ages, first, standard)


# --- one stratum -------------------------------------------------------------------------------------------


def counted(of: Rates, mask: Mask, arm: bool) -> tuple[int, int, float]:
    """Persons, events and days of an arm in some pieces, without weights."""
    at = mask & (of.exposed == arm)
    piece, row = of.pieces, of.pieces.row[at]  # in the order of rows
    persons = int((row[1:] != row[:-1]).sum()) + bool(len(row))
    return persons, int(piece.events[at].sum()), float(piece.days[at].sum())


def rate(of: Rates, mask: Mask, arm: bool) -> Estimate:
    """The rate of an arm in some pieces, per person-year."""
    from clinops.stats.clustered import ratio_of_sums
    from clinops.stats.rates import poisson_rate

    at = mask & (of.exposed == arm)
    events, years = of.pieces.events[at], of.years[at]
    if of.exact or not events.any():  # without events the counts are all that there is: no weight changes the 0
        return poisson_rate(float(events.sum()), float(years.sum()), level=LEVEL)
    found = ratio_of_sums(*(np.bincount(of.cluster[at], v * of.weight[at]) for v in (events, years)), level=LEVEL)
    # Where all persons are alike the error is 0 but for rounding.
    return found if found.std_error > 1e-12 * found.estimate else _without_interval(found)


def contrast(of: Rates, mask: Mask, scale: str) -> Estimate:
    """What the rates of the arms differ by in some pieces: a "difference" per person-year, or a "ratio"."""
    from clinops.stats.clustered_rates import clustered_rates
    from clinops.stats.rates import NAN, Estimate, rate_difference, rate_ratio

    sums = [counted(of, mask, arm) for arm in (True, False)]
    if note := _lost(of, mask):
        return Estimate(NAN, NAN, NAN, LEVEL, "", note=note)
    if of.exact:
        (_, one, days), (_, zero, days_0) = sums
        by = rate_ratio if scale == "ratio" else rate_difference
        found = by(one, days / DAYS_A_YEAR, zero, days_0 / DAYS_A_YEAR, level=LEVEL)
    else:
        w = of.weight[mask]
        parts = clustered_rates(
            of.pieces.events[mask] * w, of.years[mask] * w, np.zeros(int(mask.sum()), dtype=int), of.exposed[mask],
            of.cluster[mask], [1.0], level=LEVEL,
        )  # fmt: skip
        found = parts.ratio if scale == "ratio" else parts.difference
    return finite(found) if scale == "ratio" else found


def _lost(of: Rates, mask: Mask) -> str:
    """Why nothing can be compared where an arm has nobody."""
    lost = [name for name, arm in zip(of.rows.names, (True, False), strict=True) if not counted(of, mask, arm)[2]]
    return f"nobody was followed in the arm {' nor in the arm '.join(lost)}" if lost else ""


def finite(found: Estimate) -> Estimate:
    """A ratio of which one side is 0 says nothing of size: empty, with the reason."""
    from clinops.stats.rates import NAN, Estimate

    if 0 < found.estimate < np.inf:
        return found
    note = found.note or "no events in an arm: no ratio of rates"
    return Estimate(NAN, NAN, NAN, found.level, found.method, note=note)


def _without_interval(found: Estimate) -> Estimate:
    from clinops.stats.rates import NAN, Estimate

    note = found.note or "no spread between persons: no interval"
    return Estimate(found.estimate, NAN, NAN, found.level, found.method, note=note)


# --- all strata together -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standardised:
    """Rates of both arms, per person-year, with the years and ages of one standard; and one ratio for all cells.

    covered : share of the standard's person-time that is in cells with both arms, to which all is restricted.
    """

    exposed: Estimate
    comparator: Estimate
    difference: Estimate
    ratio: Estimate
    mantel_haenszel: Estimate
    covered: float


def standardised(of: Rates) -> Standardised:
    """Direct standardisation to the person-time of the standard by calendar year and age, and Mantel and Haenszel's
    rate ratio, over the cells of known age in which both arms have person-time."""
    from clinops.stats.clustered_rates import clustered_rates
    from clinops.stats.rates import NAN, Estimate

    (d, t), known = _sums(of), _known_cells(of)
    size = t[1] if of.standard == "exposed" else t[0] + t[1]
    both = known & (t[0] > 0) & (t[1] > 0)
    whole, inside = float(size.sum()), float(size[both].sum())
    if not inside > 0:
        note = _lost(of, np.ones(len(of.years), dtype=bool))
        note = note or "no calendar year and age with person-time in both arms"
        none = Estimate(NAN, NAN, NAN, LEVEL, "", note=note)
        return Standardised(none, none, none, none, none, 0.0 if whole else NAN)
    if of.exact:
        found = _poisson(d[:, both], t[:, both], size[both])
    else:
        keep = both[of.pieces.cell]
        w = of.weight[keep]
        parts = clustered_rates(
            of.pieces.events[keep] * w, of.years[keep] * w, of.pieces.cell[keep], of.exposed[keep], of.cluster[keep],
            np.where(both, size, 0.0), level=LEVEL,
        )  # fmt: skip
        found = parts.exposed, parts.comparator, parts.difference, parts.ratio, parts.mantel_haenszel
    one, zero, gap, ratio, pooled = found
    return Standardised(one, zero, gap, finite(ratio), finite(pooled), min(inside / whole, 1.0))


def _poisson(d: Floats, t: Floats, size: Floats) -> tuple[Estimate, ...]:
    from clinops.stats.standardisation import mantel_haenszel, standardised_contrast, standardised_rate

    rates = [standardised_rate(d[arm], t[arm], size, level=LEVEL) for arm in (1, 0)]
    gaps = [
        standardised_contrast(d[1], t[1], d[0], t[0], size, kind="rate", scale=scale, level=LEVEL)
        for scale in ("difference", "ratio")
    ]
    return *rates, *gaps, mantel_haenszel(d[1], t[1], d[0], t[0], measure="rate ratio", level=LEVEL).effect


def _sums(of: Rates) -> tuple[Floats, Floats]:
    """Weighted events and person-years of every cell, (2, cells) each, the comparator first."""
    cells = of.pieces.shape[0] * of.pieces.shape[1]
    place, w = of.exposed * cells + of.pieces.cell, np.ones_like(of.weight) if of.exact else of.weight
    d, t = (np.bincount(place, v * w, 2 * cells).reshape(2, cells) for v in (of.pieces.events, of.years))
    return d.astype(np.float64), t.astype(np.float64)


def _known_cells(of: Rates) -> Mask:
    periods, bands = of.pieces.shape
    return np.tile(np.arange(bands) < bands - 1, periods)


def margins_are_cells(of: Rates) -> bool:
    """Whether an arm has only one calendar year or one band of age, so that strata that are printed are cells.

    Then a standardised rate is an equation in numbers that are printed, and could give a hidden one away.
    """
    arms = [of.exposed == arm for arm in (True, False)]
    return any(len(np.unique(part[arm])) <= 1 for part in (of.pieces.period, of.pieces.band) for arm in arms)


# --- the long table ----------------------------------------------------------------------------------------


def rate_rows(of: Rates) -> list[Row]:
    """Every stratum's rates and their ratio, differences of everybody, and the standardised and pooled ones."""
    made = []
    for name, level, mask in of.strata():
        values = [PER * rate(of, mask, arm).estimate for arm in (True, False)]
        place: Row = {} if name == EVERYBODY else {"subgroup": name, "level": level}
        for scale in ("difference", "ratio") if name == EVERYBODY else ("ratio",):
            made.append(_row(of, mask, scale, values, contrast(of, mask, scale)) | place | {"method": _method(of)})
    found, everybody = standardised(of), np.ones(len(of.years), dtype=bool)
    values = [PER * one.estimate for one in (found.exposed, found.comparator)]
    for scale in ("difference", "ratio"):
        made.append(_row(of, everybody, scale, values, getattr(found, scale)) | {"method": standard_name(of)})
    pooled = _row(of, everybody, "ratio", [np.nan, np.nan], found.mantel_haenszel)
    return [*made, pooled | {"method": "Mantel-Haenszel over calendar year and age"}]


def _method(of: Rates) -> str:
    return f"rate of {'first' if of.first or not of.rows.death else 'all'} events"


def standard_name(of: Rates) -> str:
    """The standardised rate, with the standard, in words."""
    who = "both arms" if of.standard == "both arms" else of.rows.names[0]
    return f"standardised by calendar year and age to the person-time of {who}"


def _row(of: Rates, mask: Mask, scale: str, values: list[float], found: Estimate) -> Row:
    per = PER if scale == "difference" else 1.0
    row = base(of.rows, analysis="rates", scale=f"rate {scale}", period=f"to day {of.rows.horizon:g}")
    for arm, name in ((True, "exposed"), (False, "comparator")):
        n, events, days = counted(of, mask, arm)
        row |= {f"n_{name}": n, f"events_{name}": events, f"person_days_{name}": days}
    known = bool(np.isfinite(found.estimate))
    return row | {
        "unit": UNIT if scale == "difference" else "ratio", "value_exposed": values[0], "value_comparator": values[1],
        "estimate": per * found.estimate, "std_error": per * found.std_error, "conf_low": per * found.conf_low,
        "conf_high": per * found.conf_high, "p_value": found.p_value, "se_kind": of.kind,
        "note": found.note or (None if known else "not estimable"),
    }  # fmt: skip
