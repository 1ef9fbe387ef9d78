"""A block of a world in memory: what could have happened to its persons, and what did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.worlds import people, programme, rollout, use
from clinops.worlds import truth as potential
from clinops.worlds.people import People
from clinops.worlds.programme import Eligible, Programme
from clinops.worlds.settings import NEVER, Knobs
from clinops.worlds.use import Diagnoses, Fills, Visits


@dataclass(frozen=True)
class Drawn:
    """A block as arrays: who lives in it, what happened, and the truth.

    `kept`, `noted` and `taken` are the visits, diagnoses and fills that really happened, `death` (one a person) the
    day that really came. `truth` holds columns of one row an eligible person, money in cents, `clinics` the sums by
    clinic and month of a roll-out (empty without one).
    """

    who: People
    of: Eligible
    ran: Programme
    kept: Visits
    noted: Diagnoses
    taken: Fills
    death: np.ndarray
    truth: dict[str, np.ndarray]
    clinics: dict[str, np.ndarray]


def draw(knobs: Knobs, block: int, n: int) -> Drawn:
    """Draw people and their use, run the programme, keep what really happened."""
    who = people.people(knobs, block, n)
    seen = use.visits(knobs, block, who)
    noted = use.diagnoses(knobs, block, who, seen)
    taken = use.fills(knobs, block, who)
    of = programme.eligible(who, seen, noted, taken)
    ran = programme.programme(knobs, block, who, seen, of)
    known = potential.truth(knobs, who, seen, taken, of, ran)

    death = who.death.copy()
    death[of.person] = ran.death_real
    there = programme.happens(knobs, who, seen, of, ran.activation, ran.acts_until)
    there &= seen.start <= death[seen.person]
    kept, noted = _kept(seen, noted, there)
    clinics: dict[str, np.ndarray] = {}
    if knobs.waves:
        known |= {"clinic": who.clinic[of.person] + 1, "offer_date": ran.offer, "activation_date": ran.activation}
        plain = programme.happens(knobs, who, seen, of, np.full(len(of), NEVER), ran.acts_until)
        clinics = rollout.by_clinic(who, of, seen.where(plain), kept, taken, (ran.death_without, ran.death_real))
    filled = taken.start <= death[taken.person]
    taken = Fills(taken.person[filled], taken.start[filled], taken.drug[filled], taken.cents[filled])
    return Drawn(who, of, ran, kept, noted, taken, death, known, clinics)


def _kept(seen: Visits, noted: Diagnoses, there: np.ndarray) -> tuple[Visits, Diagnoses]:
    """Keep the visits that happened and their diagnoses, which then refer to the new positions."""
    position = np.cumsum(there) - 1
    rows = there[noted.visit]
    return seen.where(there), Diagnoses(position[noted.visit[rows]], noted.condition[rows])
