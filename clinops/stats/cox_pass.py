"""The Cox partial likelihood and its derivatives in three sweeps over the rows, compiled.

The twin of `cox_likelihood.State`, for ordinary risk sets: there each sum over risk sets is an array, here it is a
running total. Arrays, for n rows, q covariates and m moments: x (n, q); weight (n,) or empty (1); first (n,) or empty
(everybody at risk from the start); last, moment_of (n,) as of RiskSets; stratum, tied, mass (m,) of the moments, rows
with an event and their weight. Tables have a row a moment and the columns (1, x), each summed with weight exp(eta).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.stats.compiled import jit
from clinops.stats.cox_likelihood import LARGEST_PREDICTOR

OK, TOO_LARGE, DIGITS_LOST = 0, 1, 2
MOST_PASSED = 1e8
"""A running total that was this many times what is left of it has lost half of its sixteen digits."""
BLOCK = 512


@jit
def slope(
    x: Any, offset: Any, weight: Any, first: Any, last: Any, moment_of: Any, stratum: Any, tied: Any, mass: Any,
    efron: bool, in_order: bool, beta: Any, gradient: Any, information: Any,
) -> Any:  # fmt: skip
    """Return a status and the value at `beta` (q,); fills `gradient` (q,) and `information` (q, q).

    in_order : rows are sorted by `last`, so that those who leave are met one after another and need no table.
    """
    n, q = x.shape
    m = len(tied)
    risk = np.empty(n)
    leaving = np.zeros((1 if in_order else m + 1, q + 1))
    entering = np.zeros((m + 1 if len(first) else 1, q + 1))
    events = np.zeros((m, q + 1))
    fine, value = _predict(x, offset, weight, moment_of, beta, risk, gradient)
    if not fine:
        return TOO_LARGE, 0.0
    _tabulate(x, risk, first, last, moment_of, tied, efron, in_order, leaving, entering, events)
    hazard, spared = np.zeros(m), np.zeros(m)
    status, most, logs = _backwards(
        x, risk, first, last, stratum, tied, mass, efron, in_order, leaving, entering, events, hazard, spared,
        gradient, information,
    )  # fmt: skip
    if status == OK:
        most = max(most, _forwards(x, risk, first, last, moment_of, stratum, hazard, spared, information))
        status = DIGITS_LOST if most > MOST_PASSED else OK
    for j in range(q):
        for h in range(j):
            information[h, j] = information[j, h]
    return status, value - logs


@jit
def _predict(x: Any, offset: Any, weight: Any, moment_of: Any, beta: Any, risk: Any, gradient: Any) -> Any:
    """Fill `risk` with weight exp(eta); return whether that can be computed, and the events' own part of the value."""
    n, q = x.shape
    value = 0.0
    for i in range(n):
        eta = offset[i] if len(offset) else 0.0
        for j in range(q):
            eta += x[i, j] * beta[j]
        if not abs(eta) <= LARGEST_PREDICTOR:
            return False, 0.0
        w = weight[i] if len(weight) else 1.0
        risk[i] = w * np.exp(eta)
        if moment_of[i] >= 0:
            value += w * eta
            for j in range(q):
                gradient[j] += w * x[i, j]
    return True, value


@jit
def _tabulate(
    x: Any, risk: Any, first: Any, last: Any, moment_of: Any, tied: Any, efron: bool, in_order: bool, leaving: Any,
    entering: Any, events: Any,
) -> None:  # fmt: skip
    """Sums of those who leave before each moment, who enter after it, and, where several are tied, of the tied."""
    late = len(first) > 0
    for i in range(len(risk)):
        if late and first[i] >= last[i]:  # at risk at no moment
            continue
        if not in_order:
            _add(leaving, last[i], risk[i], x, i)
        if late:
            _add(entering, first[i], risk[i], x, i)
        k = moment_of[i]
        if efron and k >= 0 and tied[k] > 1:
            _add(events, k, risk[i], x, i)


@jit
def _add(table: Any, k: int, r: float, x: Any, i: int) -> None:
    table[k, 0] += r
    for j in range(x.shape[1]):
        table[k, j + 1] += r * x[i, j]


@jit
def _backwards(
    x: Any, risk: Any, first: Any, last: Any, stratum: Any, tied: Any, mass: Any, efron: bool, in_order: bool,
    leaving: Any, entering: Any, events: Any, hazard: Any, spared: Any, gradient: Any, information: Any,
) -> Any:  # fmt: skip
    """From the last moment to the first: what each takes from value, gradient and information.

    Fills `hazard`, what a moment adds to those at risk, and `spared`, what its tied rows are let off. Returns a status,
    the largest factor by which a running total was more than what is left of it, and the sum of logarithms.
    """
    q = x.shape[1]
    late = len(first) > 0
    passed, gone, total = np.zeros((1, q + 1)), np.zeros(q + 1), np.zeros(q + 1)
    untied, filled = np.empty((BLOCK, q)), 0
    row, most, logs = len(risk) - 1, 1.0, 0.0
    for k in range(len(tied) - 1, -1, -1):
        fresh = k < len(tied) - 1 and stratum[k] != stratum[k + 1]
        if fresh:  # those who enter from the moment after on are of the stratum after
            passed[:] = 0.0
            gone[:] = 0.0
        while in_order and row >= 0 and last[row] > k:
            if not late or first[row] < last[row]:
                _add(passed, 0, risk[row], x, row)
            row -= 1
        for j in range(q + 1):
            if not in_order:
                passed[0, j] += leaving[k + 1, j]
            if late and not fresh:
                gone[j] += entering[k + 1, j]
            total[j] = passed[0, j] - gone[j]
        if not total[0] > 0.0:
            return (DIGITS_LOST if late else TOO_LARGE), most, logs
        most = max(most, passed[0, 0] / total[0])
        turns = tied[k] if efron else 1
        fine, part, a, b, c, d, e = _turns(total[0], events[k, 0], turns, mass[k] / turns)
        if not fine:
            return TOO_LARGE, most, logs
        logs += part
        hazard[k], spared[k] = a, b
        for j in range(q):
            gradient[j] -= a * total[j + 1] - b * events[k, j + 1]
        if turns > 1:
            for j in range(q):
                plain = c * total[j + 1] - d * events[k, j + 1]
                own = e * events[k, j + 1] - d * total[j + 1]
                for h in range(j + 1):
                    information[j, h] -= plain * total[h + 1] + own * events[k, h + 1]
            continue
        for j in range(q):
            untied[filled, j] = np.sqrt(c) * total[j + 1]
        filled += 1
        if filled == BLOCK:
            information -= untied.T @ untied
            filled = 0
    information -= untied[:filled].T @ untied[:filled]
    return OK, most, logs


@jit
def _turns(total: float, own: float, turns: int, mass: float) -> Any:
    """Sums over the turns of one moment, h the share of the tied that is gone and s what is left of the total.

    Returns whether something is left, and mass times the sums of log s, 1/s, h/s, 1/s^2, h/s^2 and h^2/s^2.
    """
    logs = a = b = c = d = e = 0.0
    for turn in range(turns):
        share = turn / turns
        left = total - share * own
        if not left > 0.0:
            return False, logs, a, b, c, d, e
        step = mass / left
        logs += mass * np.log(left)
        a += step
        b += share * step
        c += step / left
        d += share * step / left
        e += share * share * step / left
    return True, logs, a, b, c, d, e


@jit
def _forwards(
    x: Any, risk: Any, first: Any, last: Any, moment_of: Any, stratum: Any, hazard: Any, spared: Any, information: Any
) -> Any:
    """Add the rows' second moments, each times the hazard it was exposed to, by blocks that stay in the cache.

    Returns the factor by which running totals of the hazard were more than what was exposed to.
    """
    n, q = x.shape
    late = len(first) > 0
    before, upto = np.zeros(len(hazard) + 1), np.zeros(len(hazard))
    for k in range(len(hazard)):
        if k > 0 and stratum[k] == stratum[k - 1]:
            before[k] = upto[k - 1]
        upto[k] = before[k] + hazard[k]
    scaled = np.empty((BLOCK, q))
    whole = met = 0.0
    for begin in range(0, n, BLOCK):
        end = min(n, begin + BLOCK)
        for i in range(begin, end):
            reach = 0.0
            if last[i] > (first[i] if late else 0):
                reach = upto[last[i] - 1]
                whole += risk[i] * reach
                if late:
                    reach -= before[first[i]]
                met += risk[i] * reach
            if moment_of[i] >= 0:
                reach -= spared[moment_of[i]]
            for j in range(q):
                scaled[i - begin, j] = risk[i] * reach * x[i, j]
        information += scaled[: end - begin].T @ x[begin:end]
    return whole / met if met > 0.0 else 1.0
