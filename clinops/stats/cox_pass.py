"""The derivatives of the Cox partial likelihood in two sweeps over the rows, compiled.

The twin of `cox_likelihood.State`, for ordinary risk sets: there each sum over risk sets is an array, here it is a
running total. Arrays, for n rows, each at risk at some moment if entry is late, q covariates and m moments: x (n, q);
risk (n,) weight times exp(predictor); first (n,) or empty (everybody at risk from the start), last (n,) as of RiskSets;
tied_at (n,) the moment at which a row has its event together with others, else m, where nothing is read; stratum, tied,
mass (m,) of the moments, rows with an event and their weight. Tables have a row a moment, and the columns (1, x) summed
by risk. Loops have no branch on a single row, which would be mispredicted at every other one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.stats.compiled import inlined, jit

OK, NOBODY_LEFT, DIGITS_LOST = 0, 1, 2
MOST_PASSED = 1e8
"""A running total that was this many times what is left of it has lost half of its sixteen digits."""
BLOCK = 512


@jit
def slope(
    x: Any, risk: Any, first: Any, last: Any, tied_at: Any, stratum: Any, tied: Any, mass: Any, efron: bool,
    in_order: bool, left: Any, gradient: Any, information: Any,
) -> Any:  # fmt: skip
    """Take from `gradient` (q,), which holds the events' own part, and add to `information` (q, q); return a status.

    tied_at : empty where no turns are shared. in_order : rows are sorted by `last`, so that those who leave are met one
    after another and need no table. left : (turns,) filled with the risk of those left in each turn.
    """
    q = x.shape[1]
    m = len(tied)
    leaving = np.zeros((1 if in_order else m + 1, q + 1))
    entering = np.zeros((m + 1 if len(first) else 1, q + 1))
    events = np.zeros((m + 1 if len(tied_at) else 1, q + 1))
    _tabulate(x, risk, first, last, tied_at, in_order, leaving, entering, events)
    hazard, spared = np.zeros(m), np.zeros(m + 1)
    status, most = _backwards(
        x, risk, first, last, stratum, tied, mass, efron, in_order, leaving, entering, events, hazard, spared, left,
        gradient, information,
    )  # fmt: skip
    if status == OK:
        most = max(most, _forwards(x, risk, first, last, tied_at, stratum, hazard, spared, information))
        status = DIGITS_LOST if most > MOST_PASSED else OK
    for j in range(q):
        for h in range(j):
            information[h, j] = information[j, h]
    return status


@jit
def _tabulate(
    x: Any, risk: Any, first: Any, last: Any, tied_at: Any, in_order: bool, leaving: Any, entering: Any, events: Any
) -> None:
    """Sums of those who leave before each moment, who enter after it, and, where several are tied, of the tied."""
    late, ties = len(first) > 0, len(tied_at) > 0
    if in_order and not late and not ties:
        return
    for i in range(len(risk)):
        if not in_order:
            _add(leaving, last[i], risk[i], x, i)
        if late:
            _add(entering, first[i], risk[i], x, i)
        if ties:
            _add(events, tied_at[i], risk[i], x, i)


@inlined
def _add(table: Any, k: int, r: float, x: Any, i: int) -> None:
    table[k, 0] += r
    for j in range(x.shape[1]):
        table[k, j + 1] += r * x[i, j]


@jit
def _backwards(
    x: Any, risk: Any, first: Any, last: Any, stratum: Any, tied: Any, mass: Any, efron: bool, in_order: bool,
    leaving: Any, entering: Any, events: Any, hazard: Any, spared: Any, left: Any, gradient: Any, information: Any,
) -> Any:  # fmt: skip
    """From the last moment to the first: what each takes from gradient and information.

    Fills `hazard`, what a moment adds to those at risk, `spared`, what its tied rows are let off, and `left`. Returns
    a status and the largest factor by which a running total was more than what is left of it.
    """
    q = x.shape[1]
    late = len(first) > 0
    passed, gone, here = np.zeros((1, q + 1)), np.zeros(q + 1), np.zeros((1, q + 1))
    total = here[0] if late else passed[0]
    untied, roots, filled = np.empty((BLOCK, q)), np.empty(BLOCK), 0
    row, place, most = len(risk) - 1, len(left), 1.0
    for k in range(len(tied) - 1, -1, -1):
        fresh = k < len(tied) - 1 and stratum[k] != stratum[k + 1]
        if fresh:  # those who enter from the moment after on are of the stratum after
            passed[:] = 0.0
            gone[:] = 0.0
        while in_order and row >= 0 and last[row] > k:
            _add(passed, 0, risk[row], x, row)
            row -= 1
        if not in_order:
            for j in range(q + 1):
                passed[0, j] += leaving[k + 1, j]
        if late:
            if not fresh:
                for j in range(q + 1):
                    gone[j] += entering[k + 1, j]
            for j in range(q + 1):
                total[j] = passed[0, j] - gone[j]
        if not total[0] > 0.0:
            return (DIGITS_LOST if late else NOBODY_LEFT), most
        if late:
            most = max(most, passed[0, 0] / total[0])
        turns = tied[k] if efron else 1
        place -= turns
        if turns == 1:
            left[place] = total[0]
            inverse = 1.0 / total[0]
            hazard[k] = mass[k] * inverse
            roots[filled] = np.sqrt(mass[k])
            root = roots[filled] * inverse
            for j in range(q):
                untied[filled, j] = root * total[j + 1]
            filled += 1
            if filled == BLOCK:
                _take(roots, untied, gradient, information)
                filled = 0
            continue
        fine, a, b, c, d, e = _turns(total[0], events[k, 0], mass[k], left[place : place + turns])
        if not fine:
            return NOBODY_LEFT, most
        hazard[k], spared[k] = a, b
        for j in range(q):
            gradient[j] -= a * total[j + 1] - b * events[k, j + 1]
            plain = c * total[j + 1] - d * events[k, j + 1]
            own = e * events[k, j + 1] - d * total[j + 1]
            for h in range(j + 1):
                information[j, h] -= plain * total[h + 1] + own * events[k, h + 1]
    if filled:
        _take(roots[:filled], untied[:filled], gradient, information)
    return OK, most


@inlined
def _take(roots: Any, untied: Any, gradient: Any, information: Any) -> None:
    """Take a block of moments with one turn each: `untied` holds their means, times the roots of their mass."""
    gradient -= roots @ untied
    information -= untied.T @ untied


@inlined
def _turns(total: float, own: float, mass: float, left: Any) -> Any:
    """Fill `left`, s, with what is left in each turn of a moment, h the share of the tied that is gone by then.

    Returns whether anything is, and the mass of a turn times the sums of 1/s, h/s, 1/s^2, h/s^2 and h^2/s^2.
    """
    turns = len(left)
    a = b = c = d = e = 0.0
    for turn in range(turns):
        share = turn / turns
        left[turn] = total - share * own
        if not left[turn] > 0.0:
            return False, a, b, c, d, e
        inverse = 1.0 / left[turn]
        square = inverse * inverse
        a += inverse
        b += share * inverse
        c += square
        d += share * square
        e += share * share * square
    one = mass / turns
    return True, one * a, one * b, one * c, one * d, one * e


@jit
def _forwards(
    x: Any, risk: Any, first: Any, last: Any, tied_at: Any, stratum: Any, hazard: Any, spared: Any, information: Any
) -> Any:
    """Add the rows' second moments, each times the hazard it was exposed to, by blocks that stay in the cache.

    Returns the factor by which running totals of the hazard were more than what was exposed to.
    """
    n, q = x.shape
    late, ties = len(first) > 0, len(tied_at) > 0
    before, upto = np.zeros(len(hazard) + 1), np.zeros(len(hazard) + 1)  # of moment k: at k, and at k + 1
    for k in range(len(hazard)):
        if k > 0 and stratum[k] == stratum[k - 1]:
            before[k] = upto[k]
        upto[k + 1] = before[k] + hazard[k]
    scaled = np.empty((BLOCK, q))
    whole = met = 0.0
    for begin in range(0, n, BLOCK):
        end = min(n, begin + BLOCK)
        for i in range(begin, end):
            reach = upto[last[i]]
            if late:
                whole += risk[i] * reach
                reach -= before[first[i]]
                met += risk[i] * reach
            if ties:
                reach -= spared[tied_at[i]]
            each = risk[i] * reach
            for j in range(q):
                scaled[i - begin, j] = each * x[i, j]
        information += scaled[: end - begin].T @ x[begin:end]
    return whole / met if met > 0.0 else 1.0
