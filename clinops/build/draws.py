"""Draws without a random generator: whole-number arithmetic that gives the same answer in every database.

A draw is a number from 0 to SIZE - 1 made of a person, a day and a seed: each is added in turn, and the sum cubed
modulo a prime. SIZE - 1 is no multiple of 3, so that cubing only changes places; a sum alone would leave neighbours
related. Products stay below 2^63, so that no engine's 64-bit integers overflow.
"""

from __future__ import annotations

from typing import Any

SIZE = 2_147_483_579
_A, _B, _C = 1_103_515_245, 1_664_525_941, 742_938_285


def draw(person: Any, day: Any, seed: int) -> Any:
    """Return a draw for a person and day: columns of whole numbers, ibis expressions or arrays alike.

    Parameters
    ----------
    person : any 64-bit whole number. day : the same, such as days since 1970. seed : zero or more.
    """
    key = _cubed(_cubed((seed * _C + _B) % SIZE) + 1)
    state = _cubed((_remainder(person) + key) % SIZE)
    state = _cubed((state * _A + _remainder(day) * _B + key) % SIZE)
    return _cubed((state * _C + _A) % SIZE)


def _remainder(value: Any) -> Any:
    # A remainder has the sign of its dividend in SQL and of its divisor in Python; the second one settles it.
    return (value % SIZE + SIZE) % SIZE


def _cubed(state: Any) -> Any:
    return state * state % SIZE * state % SIZE
