"""Who lives in a world: birth, sex, frailty, chronic disease, enrolment and death."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.worlds.settings import CLINICS, FIRST_DAY, LAST_DAY, NEVER, Knobs, day
from clinops.worlds.vocabulary import CHRONIC

HOSPITALS = 3
FRAILTY_SD = 0.60
QUIET = 0.11
"""Share of persons who hardly ever see a clinician and collect no drugs; most zero-cost years are theirs."""
PREVALENT = 0.80
"""Share of chronic disease that began before the records do; the rest begins on a random later day."""

START_AT_FIRST = 0.65
LEAVE_PER_YEAR, RETURN = 0.06, 0.40
DEATH_PER_YEAR_AT_65, DEATH_PER_YEAR_OF_AGE, DEATH_PER_FRAILTY = 0.010, 0.085, 0.50

_DAYS = np.arange(FIRST_DAY, LAST_DAY + 1).astype("datetime64[D]")
_YEAR = _DAYS.astype("datetime64[Y]").astype(np.int64) + 1970
_MONTH = _DAYS.astype("datetime64[M]").astype(np.int64) % 12 + 1
_MONTH_DAY = _MONTH * 100 + (_DAYS - _DAYS.astype("datetime64[M]")).astype(np.int64) + 1


@dataclass(frozen=True)
class People:
    """Persons of one block; arrays have one row a person unless said otherwise.

    `birth` is the day of birth; `dated` says whether its month and day are in the records. `frailty` is the
    latent log need that no record holds; the `quiet` stay away from ordinary care. `onset` (persons x chronic
    conditions) is the first day of each condition, NEVER without it. `spans` is (persons, 2 spans, start and
    end), an absent second span being NEVER to NEVER; they are not ended by death. `death` is NEVER for those
    who do not die while enrolled.
    """

    birth: np.ndarray
    dated: np.ndarray
    female: np.ndarray
    race: np.ndarray
    hispanic: np.ndarray
    clinic: np.ndarray
    frailty: np.ndarray
    quiet: np.ndarray
    onset: np.ndarray
    spans: np.ndarray
    death: np.ndarray

    def __len__(self) -> int:
        return len(self.birth)

    @property
    def burden(self) -> np.ndarray:
        """What chronic disease, early or late, adds to the log of the need for care."""
        return (self.onset < NEVER) @ np.array([c.burden for c in CHRONIC])

    def birth_parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return year, month and day of birth."""
        date = self.birth.astype("datetime64[D]")
        months = date.astype("datetime64[M]")
        year = date.astype("datetime64[Y]").astype(np.int64) + 1970
        return year, months.astype(np.int64) % 12 + 1, (date - months).astype(np.int64) + 1

    def age_on(self, person: np.ndarray, date: np.ndarray) -> np.ndarray:
        """Age in whole years; where month and day are not recorded, year minus year of birth."""
        year, month, month_day = self.birth_parts()
        at = date - FIRST_DAY
        before = _MONTH_DAY[at] < (month * 100 + month_day)[person]
        return _YEAR[at] - year[person] - (before & self.dated[person])

    def span_on(self, person: np.ndarray, date: np.ndarray) -> np.ndarray:
        """Return which span (0 or 1) holds the date, or -1."""
        held = (self.spans[person, :, 0] <= date[:, None]) & (date[:, None] <= self.spans[person, :, 1])
        return np.where(held.any(axis=1), held.argmax(axis=1), -1)


def people(knobs: Knobs, block: int, n: int) -> People:
    """Draw the persons of one block."""
    rng = knobs.rng(block, "people")
    age = np.clip(rng.normal(57, 16, n), 12, 95)
    birth = _without_leap_day(np.floor(day("2019-01-01") - age * 365.25).astype(np.int64))
    frailty = rng.normal(0, FRAILTY_SD, n)
    onset = _onsets(knobs.rng(block, "chronic disease"), age, frailty)
    spans = _spans(knobs.rng(block, "enrolment"), n)
    death = _deaths(knobs.rng(block, "death"), birth, frailty, spans)
    return People(
        birth=birth,
        dated=rng.random(n) < 0.9,
        female=rng.random(n) < 0.52,
        race=rng.choice(4, n, p=[0.66, 0.18, 0.08, 0.08]),
        hispanic=rng.random(n) < 0.15,
        clinic=rng.integers(0, CLINICS, n),
        frailty=frailty,
        quiet=rng.random(n) < QUIET,
        onset=onset,
        spans=_end_at(spans, death),
        death=death,
    )


def _without_leap_day(birth: np.ndarray) -> np.ndarray:
    """Move a birth on 29 February to the day before: no two engines need agree on such a birthday."""
    date = birth.astype("datetime64[D]")
    months = date.astype("datetime64[M]")
    leap = (months.astype(np.int64) % 12 == 1) & ((date - months).astype(np.int64) == 28)
    return birth - leap


def _onsets(rng: np.random.Generator, age: np.ndarray, frailty: np.ndarray) -> np.ndarray:
    shape = (len(age), len(CHRONIC))
    logit = np.array([c.logit for c in CHRONIC]) + np.outer((age - 60) / 10, [c.age for c in CHRONIC])
    chance = 1 / (1 + np.exp(-(logit + 0.4 * frailty[:, None])))
    has = rng.random(shape) < chance
    late = rng.random(shape) >= PREVALENT
    began = np.where(late, rng.integers(FIRST_DAY, LAST_DAY + 1, shape), FIRST_DAY)
    return np.where(has, began, NEVER)


def _spans(rng: np.random.Generator, n: int) -> np.ndarray:
    """Enrolment: most from the first day; leaving is a constant hazard, blind to everything else."""
    start = np.where(rng.random(n) < START_AT_FIRST, FIRST_DAY, rng.integers(FIRST_DAY + 1, day("2021-12-31"), n))
    stay = rng.exponential(365.25 / LEAVE_PER_YEAR, (n, 2)).astype(np.int64) + 30
    end = np.minimum(start + stay[:, 0], LAST_DAY)
    back = end + rng.integers(90, 500, n)
    returns = (rng.random(n) < RETURN) & (back < LAST_DAY - 60)
    second = np.where(returns, back, NEVER)
    second_end = np.where(returns, np.minimum(back + stay[:, 1], LAST_DAY), NEVER)
    return np.stack([np.stack([start, end], axis=1), np.stack([second, second_end], axis=1)], axis=1)


def _deaths(rng: np.random.Generator, birth: np.ndarray, frailty: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Draw deaths on the clock of enrolled days, so that every death happens under observation."""
    age = (spans[:, 0, 0] - birth) / 365.25
    rate = DEATH_PER_YEAR_AT_65 / 365.25
    rate = rate * np.exp(DEATH_PER_YEAR_OF_AGE * (age - 65) + DEATH_PER_FRAILTY * frailty)
    # Gompertz: the hazard grows with age, so exponential time is stretched back through its integral.
    growth = DEATH_PER_YEAR_OF_AGE / 365.25
    enrolled = np.floor(np.log1p(rng.exponential(1.0, len(birth)) * growth / rate) / growth).astype(np.int64) + 1
    first = spans[:, 0, 1] - spans[:, 0, 0] + 1
    second = np.where(spans[:, 1, 0] < NEVER, spans[:, 1, 1] - spans[:, 1, 0] + 1, 0)
    in_first, in_second = enrolled < first, enrolled < first + second
    later = np.where(in_second, spans[:, 1, 0] + enrolled - first, NEVER)
    return np.where(in_first, spans[:, 0, 0] + enrolled, later)


def _end_at(spans: np.ndarray, death: np.ndarray) -> np.ndarray:
    """Drop the second span of those who died in the first; a death's own span keeps its enrolled end.

    The end that the records show, and the potential ends of follow-up, are cut at death elsewhere, since a
    death may be averted in one world and not in the other.
    """
    ended = death <= spans[:, 0, 1]
    out = spans.copy()
    out[ended, 1, :] = NEVER
    return out
