"""Landmark analysis: who is still there at a fixed day, classified by what had happened by then, followed from then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Landmark:
    """Persons still at risk after the landmark: m of n rows, in their order.

    Attributes
    ----------
    row : (m,) which of the rows given. begun : (m,) whether it had begun by the landmark, that day included.
    exit : (m,) days from the landmark to the end. cause : (m,) as given.
    before : for not begun (0) and begun (1) by their end or the landmark, how many were set aside by cause:
        before[begun][cause], cause 0 being the end of follow-up.
    """

    row: NDArray[np.int64]
    begun: NDArray[np.bool_]
    exit: Floats
    cause: NDArray[np.int64]
    before: tuple[dict[int, int], dict[int, int]]


def landmark(exit: ArrayLike, cause: ArrayLike, begins: ArrayLike, *, day: float) -> Landmark:
    """Among those without an event and still followed at a day, who had begun by then, and what came after?

    Nobody is classified by what came later, and no time before the day is counted: so no immortal time. It answers
    what begun or not by that day goes with among those who got that far, not what beginning does from day 0.

    Parameters
    ----------
    exit : (n,) last day of follow-up, of the event or of another end. cause : (n,) 0 none, 1 the event, 2 another
        that ends follow-up. begins : (n,) day on which it begins, NaN never. day : the landmark.

    Returns
    -------
    Landmark. Who ends on the day itself is set aside: nothing is left to follow. Beginning on the day counts.

    Raises
    ------
    DataError : lengths that differ, missing or infinite ends. ParameterError : a landmark before day 0.

    Notes
    -----
    Anderson, Cain and Gelber 1983 (Journal of Clinical Oncology 1:710); Dafni 2011. Checked by hand.
    """
    if not (np.isfinite(day) and day >= 0):
        raise ParameterError(f"The landmark is day {day:g}; give a day of 0 or later.")
    ends, why, start = checked_course(exit, cause, begins)
    begun = start <= np.minimum(day, ends)
    kept = ends > day
    counted = tuple(
        {int(code): int(((why == code) & ~kept & (begun == arm)).sum()) for code in np.unique(why)}
        for arm in (False, True)
    )
    row = np.flatnonzero(kept).astype(np.int64)
    return Landmark(row, begun[row], ends[row] - day, why[row], (counted[0], counted[1]))


def checked_course(
    exit: ArrayLike, cause: ArrayLike, begins: ArrayLike
) -> tuple[Floats, NDArray[np.int64], Floats]:  # fmt: skip
    """Check what happened to each person: end, cause, and the day of beginning (infinite where never).

    Raises
    ------
    DataError : lengths that differ, ends that are missing, infinite or negative, a cause that is no code.
    """
    ends, why, start = (np.asarray(a, dtype=float) for a in (exit, cause, begins))
    if ends.ndim != 1 or why.shape != ends.shape or start.shape != ends.shape:
        raise DataError(f"exit, cause and begins have {ends.shape}, {why.shape} and {start.shape} values; one a row.")
    if not np.isfinite(ends).all() or (ends < 0).any():
        raise DataError("exit holds missing, infinite or negative days; every row of follow-up ends on day 0 or later.")
    if not np.isin(why, (0, 1, 2)).all():
        raise DataError("cause holds other codes than 0 (none), 1 (the event) and 2 (another end).")
    if (start < 0).any():
        raise DataError("begins holds days before day 0; who had begun before belongs to another question.")
    return ends, why.astype(np.int64), np.where(np.isnan(start), np.inf, start)
