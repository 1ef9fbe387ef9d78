"""Interrupted time series: did a series change its level or its slope when something happened?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, ParameterError, unknown
from clinops.stats.autoregressive import ar1_regression
from clinops.stats.glm import Floats, GlmFit, Ints, glm, robust_cov
from clinops.stats.linear import inference
from clinops.stats.serial import (
    SerialDiagnostics,
    default_lag,
    newey_west,
    newey_west_bandwidth,
    on_grid,
    serial_diagnostics,
)

CHANGES = ("level", "level and slope")
ORIGINS = ("last before", "first after")
FAMILIES = ("gaussian", "poisson", "quasipoisson")
ERRORS = ("model", "HC0", "HC1", "HC3", "newey-west", "ar1 ml", "ar1 reml")
FEW = 8
"""Points on a side of an interruption below which a note is due (Penfold and Zhang 2013)."""
SHORT = 200
"""Periods below which Newey-West errors are noted as likely too small (our simulation; docs/methods/interrupted.md)."""
_FAR = 1e6  # periods from 0 beyond which the time and the intercept can no longer be told apart to 8 digits


@dataclass(frozen=True)
class Season:
    """Columns of the season, (n, s), and their names."""

    columns: Floats
    names: tuple[str, ...]


@dataclass(frozen=True)
class SegmentedDesign:
    """The columns of a segmented regression; m rows, k columns.

    Attributes
    ----------
    matrix : (m, k). terms : their names: "intercept", "time", "level 37", "slope 37", "treated:level 37", ...
    rows : (m,) which row of the input each is: series after series (control first), in the order of time.
    time : (m,) as given. period : (m,) whole places in time. treated : (m,) true outside a control series.
    effect : (k,) true for the columns that the interruptions added (to the treated series, with a control).
    n : rows of the input. left_out : rows in a transition. note : "" or what a reader must know.
    """

    matrix: Floats
    terms: tuple[str, ...]
    rows: Ints
    time: Floats
    period: Ints
    treated: NDArray[np.bool_]
    effect: NDArray[np.bool_]
    n: int
    left_out: int
    note: str


@dataclass(frozen=True)
class SegmentedFit:
    """A fitted segmented regression, in the rows and columns of `design`.

    Attributes
    ----------
    coef, std_error, conf_low, conf_high, p_value : (k,); on the log scale for counts, see `ratio`. cov : (k, k).
    observed, fitted, residual : (m,); Pearson's residual, or what is new in each period with AR(1) errors.
    offset : (m,) or zeros. dispersion : Pearson's, well above 1 for counts that vary more than Poisson's.
    rho : of AR(1) errors, else NaN. lag : of Newey-West errors, else -1. df : of the t distribution.
    """

    design: SegmentedDesign
    family: str
    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    cov: Floats
    observed: Floats
    fitted: Floats
    residual: Floats
    offset: Floats
    dispersion: float
    rho: float
    lag: int
    df: float
    conf_level: float
    se_kind: str
    note: str

    @property
    def log_link(self) -> bool:
        """Whether coefficients are logarithms of ratios."""
        return self.family != "gaussian"

    def term(self, name: str) -> int:
        """Return the place of a column by its name."""
        if name not in self.design.terms:
            raise DefinitionError(unknown("term", name, self.design.terms))
        return self.design.terms.index(name)

    def ratio(self, name: str) -> tuple[float, float, float]:
        """Return exp of a coefficient with its limits: by what factor did the rate change?"""
        if not self.log_link:
            raise DefinitionError("A linear model has no ratios; take the coefficient, or `counterfactual`.")
        at = self.term(name)
        low, middle, high = np.exp([self.conf_low[at], self.coef[at], self.conf_high[at]])
        return float(middle), float(low), float(high)


def harmonics(position: ArrayLike, *, length: float = 12, pairs: int = 2) -> Season:
    """Return sine and cosine of 1 to `pairs` cycles a season: a smooth season of few columns.

    position : (n,) place in the season, such as the month 1..12. length : of the season, in the same units.

    Raises
    ------
    DefinitionError : pairs not from 1 to less than half the length. DataError : a missing position.
    """
    at = np.asarray(position, dtype=float)
    if at.ndim != 1 or not np.isfinite(at).all():
        raise DataError(f"position has shape {at.shape}; it must be one known number for each row.")
    if not 1 <= pairs < length / 2:
        raise DefinitionError(f"pairs is {pairs!r}; a season of {length:g} takes 1 or more, and fewer than half of it.")
    angles = [2 * np.pi * cycle * at / length for cycle in range(1, pairs + 1)]
    names = [f"{wave} {cycle}" for cycle in range(1, pairs + 1) for wave in ("sin", "cos")]
    return Season(np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)]), tuple(names))


def season_indicators(label: ArrayLike) -> Season:
    """Return an indicator of each month (or other label) but the first: a season of any form."""
    labels = np.asarray(label)
    known = np.unique(labels)[1:]
    if labels.ndim != 1 or not len(known):
        raise DataError("A season needs at least two different labels, one for each row.")
    return Season((labels[:, None] == known).astype(float), tuple(f"season {one}" for one in known))


def segmented_design(
    time: ArrayLike,
    interruptions: float | Sequence[float],
    *,
    change: str = "level and slope",
    transition: int = 0,
    season: Season | None = None,
    treated: ArrayLike | None = None,
    origin: str = "last before",
    step: float | None = None,
) -> SegmentedDesign:
    """Build the columns of a segmented regression.

    Parameters
    ----------
    time : (n,) of each row, on a regular grid, in any order. interruptions : first time of each new segment.
    change : "level and slope" or "level". transition : periods from each interruption on that are left out; the new
        segment starts after them. season : of `harmonics` or `season_indicators`.
    treated : (n,) false for the rows of a control series; its columns are added and the effect is the difference.
    origin : where the new slope is 0: "last before" (1 step in the first period, the level change is then that of the
        last period before, extrapolated) or "first after" (the level change is that of the first period).
    step : length of a period; None for the smallest distance between two times.

    Raises
    ------
    DefinitionError : change, origin. DataError : times that are missing, repeated or off the grid; an interruption
    outside the series or without a period left; a control series alone.

    Notes
    -----
    eta = b0 + b1 t + sum over interruptions j of [b2j 1(t >= T_j) + b3j (t - T_j + step)+] + season; with a control the
    same columns again times `treated`, season excepted. Source: Wagner and others 2002; Lopez Bernal, Cummins and
    Gasparrini 2017 and 2018 (controls).
    """
    if change not in CHANGES:
        raise DefinitionError(unknown("change", change, CHANGES))
    if origin not in ORIGINS:
        raise DefinitionError(unknown("origin", origin, ORIGINS))
    if transition < 0 or transition != int(transition):
        raise DefinitionError(f"transition is {transition!r}; it is a whole number of periods, 0 or more.")
    when = np.asarray(time, dtype=float)
    ours = np.ones(len(when), bool) if treated is None else np.asarray(treated, dtype=bool)
    place, width = _places(when, ours, step)
    starts = sorted({float(one) for one in np.atleast_1d(np.asarray(interruptions, dtype=float))})
    _check_starts(starts, when, ours, width)
    near = 1e-6 * width
    away = np.zeros(len(when), bool)
    for start in starts:
        away |= (when >= start - near) & (when < start + transition * width - near)
    order = np.lexsort((place, ours))
    rows = order[~away[order]]
    t, group = when[rows], ours[rows]
    columns, terms = [np.ones(len(rows)), t], ["intercept", "time"]
    for start in starts:
        first = start + transition * width
        after = t >= first - near
        if not after[group].any() or after[group].all():
            raise DataError(f"Nothing is left on one side of the interruption at {start:g}; shorten the transition.")
        columns.append(after.astype(float))
        terms.append(f"level {start:g}")
        if change == "level and slope":
            columns.append(np.where(after, t - first + (width if origin == "last before" else 0.0), 0.0))
            terms.append(f"slope {start:g}")
    table, names, effect = _with_control(np.column_stack(columns), terms, group, season, rows, len(when))
    return SegmentedDesign(
        table, tuple(names), rows.astype(np.int64), t, place[rows], group, effect, len(when), int(away.sum()),
        _design_notes(t, group, starts, place[rows], int(away.sum())),
    )  # fmt: skip


def segmented_regression(
    design: SegmentedDesign,
    y: ArrayLike,
    family: str = "gaussian",
    *,
    offset: ArrayLike | None = None,
    se: str = "model",
    lag: int | str = "rule",
    small_sample: bool = False,
    prewhiten: bool = False,
    interval: str = "t",
    conf_level: float = 0.95,
) -> SegmentedFit:
    """By how much did level and slope change at the interruption?

    Parameters
    ----------
    design : of `segmented_design`. y : (n,) of the rows given there. family : "gaussian" (means, log-rates), "poisson"
        or "quasipoisson" (counts). offset : (n,) log of the exposure.
    se : "model", "HC0", "HC1", "HC3", "newey-west", and for one linear series "ar1 ml" or "ar1 reml", which also change
        the coefficients. lag : "rule" (`default_lag`), "automatic" (`newey_west_bandwidth`) or a number of periods.
    small_sample : Newey-West times n / (n - k). prewhiten : as in `newey_west`.
    interval : "t" (m - k degrees of freedom) or "normal".

    Raises
    ------
    DefinitionError : family, errors, lag, interval. DataError : shapes, missing or impossible values, more columns than
    periods.

    Notes
    -----
    By `glm` or `ar1_regression`. Counts all zero, or none on one side: NaN and a note. Notes, too, where errors that
    take periods as independent meet residuals that are not (r_1 above 2 / sqrt(m)), and where Newey-West errors rest on
    fewer than 200 periods: they are too small then (docs/methods/interrupted.md has the coverage).
    """
    if family not in FAMILIES:
        raise DefinitionError(unknown("family", family, FAMILIES))
    if se not in ERRORS:
        raise DefinitionError(unknown("kind of standard error", se, ERRORS))
    outcome, shift = _of_rows(y, design, "y"), np.zeros(len(design.rows))
    if offset is not None:
        shift = _of_rows(offset, design, "offset")
    m, k = design.matrix.shape
    if m < k:
        raise DataError(f"{m} periods cannot determine {k} columns; give a longer series or a smaller season.")
    if se.startswith("ar1"):
        return _autoregressive(design, outcome, family, shift, se, interval, conf_level)
    fit = glm(design.matrix, outcome, family, offset=shift, se="model")
    used = _lag(lag, fit, design, prewhiten) if se == "newey-west" else -1
    if used >= 0:
        cov, kind = newey_west(fit, used, period=design.period, small_sample=small_sample, prewhiten=prewhiten)
    else:
        cov, kind = robust_cov(fit, se)
    note = " ".join(filter(None, [design.note, fit.note]))
    lost = np.isnan(fit.std_error) if m > k else np.isnan(fit.coef)
    lost = lost | (family != "gaussian" and not outcome.any())  # nothing happened: no rate to compare with
    exact = family == "gaussian" and fit.deviance <= 1e-24 * float(outcome @ outcome)
    if exact or fit.df_residual < 1:
        note = f"{note} The columns fit the series exactly: nothing to tell the error by.".strip()
    cov = np.where(lost[:, None] | lost[None, :] | exact | (fit.df_residual < 1), np.nan, cov)
    df = np.inf if family == "poisson" and se == "model" else float(fit.df_residual)
    root = np.sqrt(fit.fitted) if family != "gaussian" else 1.0
    freedom = max(fit.df_residual, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(fit.fitted == outcome, 0.0, (outcome - fit.fitted) / root)
    pearson = float(residual @ residual)
    spread = _spread_note(pearson, freedom) if family == "poisson" and se == "model" else ""
    note = " ".join(filter(None, [note, spread, _serial_note(residual, design, used)]))
    return _fit(
        design, family, np.where(lost, np.nan, fit.coef), cov, outcome, fit.fitted, residual, shift,
        pearson / freedom, np.nan, used, df, interval, conf_level, kind, note,
    )  # fmt: skip


def segmented_diagnostics(fit: SegmentedFit, lags: int = 12) -> SerialDiagnostics:
    """Are the residuals of a segmented regression correlated in time? (See `serial.serial_diagnostics`.)

    lags : periods to look back. Two series: each on its own, with pairs only inside a series. With AR(1) errors what is
    new in each period is looked at, with a degree of freedom less, and there is no Breusch-Godfrey test.
    """
    place = fit.design.period - fit.design.period.min()
    apart = int(place.max()) + lags + 1
    shared = not fit.design.treated.all()
    period = place + apart * (fit.design.treated & shared)
    white = bool(np.isfinite(fit.rho))
    found = serial_diagnostics(
        fit.residual, lags, design=None if white else fit.design.matrix, period=period, fitted=int(white)
    )
    return replace(found, note="Two series: pairs within each, no Durbin-Watson statistic.") if shared else found


# --- parts -------------------------------------------------------------------------------------------------------


def _places(when: Floats, ours: NDArray[np.bool_], step: float | None) -> tuple[Ints, float]:
    """Return whole places in time and the length of a period; refuse times off the grid or repeated."""
    if when.ndim != 1 or ours.shape != when.shape or not np.isfinite(when).all():
        raise DataError(f"time has shape {when.shape} and treated {ours.shape}; both are one known value a row.")
    if not ours.any():
        raise DataError("Every row belongs to the control series; `treated` must be true for the series of interest.")
    distinct = np.unique(when)
    if len(distinct) < 2:
        raise DataError("The series has a single time; it needs periods before and after the interruption.")
    width = float(np.diff(distinct).min()) if step is None else float(step)
    if not width > 0:
        raise DataError(f"step is {step!r}; the length of a period is above 0.")
    if np.abs(distinct).max() > _FAR * width:
        raise DataError(
            f"Times lie {_FAR:g} periods and more from 0, which loses digits; count from nearer the series."
        )
    exact = (when - distinct[0]) / width
    place = np.round(exact)
    off = int((~(np.abs(exact - place) <= 1e-6 * np.maximum(1.0, np.abs(place)))).sum())
    if off:
        raise DataError(f"{off} times are not whole steps of {width:g}; count periods (0, 1, 2, ...) or give `step`.")
    keys = place * 2 + ours
    if len(np.unique(keys)) < len(keys):
        raise DataError("A series has two rows of one time; add them up, or mark the control's rows by `treated`.")
    return place.astype(np.int64), width


def _check_starts(starts: list[float], when: Floats, ours: NDArray[np.bool_], width: float) -> None:
    first, last = float(when[ours].min()), float(when[ours].max())
    outside = [start for start in starts if not first < start <= last]
    if outside or not starts:
        raise DataError(f"The interruptions {outside} lie outside the series, which goes from {first:g} to {last:g}.")
    steps = (np.array(starts) - float(when.min())) / width
    if (np.abs(steps - np.round(steps)) > 1e-6 * np.maximum(1.0, np.abs(steps))).any():
        raise DataError(f"The interruptions {starts} are not all times of the series; give the first of a segment.")


def _with_control(
    columns: Floats, terms: list[str], group: NDArray[np.bool_], season: Season | None, rows: Ints, n: int
) -> tuple[Floats, list[str], NDArray[np.bool_]]:
    """Add the season, and the columns once more for the treated where there is a control."""
    parts, names = [columns], list(terms)
    changed = np.arange(len(terms)) >= 2
    effect = [changed]
    if season is not None:
        if len(season.columns) != n:
            raise DataError(f"The season has {len(season.columns)} rows; it must have one for each of the {n} times.")
        parts.append(season.columns[rows])
        names += season.names
        effect.append(np.zeros(len(season.names), bool))
    if not group.all():
        parts.append(columns * group[:, None])
        names += ["treated", *(f"treated:{term}" for term in terms[1:])]
        effect[0] = np.zeros(len(terms), bool)
        effect.append(changed)
    return np.column_stack(parts), names, np.concatenate(effect)


def _design_notes(t: Floats, group: NDArray[np.bool_], starts: list[float], place: Ints, left_out: int) -> str:
    notes = []
    edges = [-np.inf, *starts, np.inf]
    counts = [int(((t >= low) & (t < high) & group).sum()) for low, high in pairwise(edges)]
    if min(counts) < FEW:
        notes.append(
            f"Only {min(counts)} period(s) in a segment; under {FEW} on a side tell little (Penfold and Zhang 2013)."
        )
    span = np.unique(place)
    gaps = int(span[-1] - span[0]) + 1 - len(span)
    if left_out:
        notes.append(f"{left_out} row(s) of the transition are left out.")
    if gaps:
        notes.append(f"{gaps} period(s) of the span have no row; distances are counted by time.")
    return " ".join(notes)


def _spread_note(pearson: float, df: int) -> str:
    """Say where counts vary more than Poisson's: Pearson's statistic against chi-squared, P under 0.05."""
    from scipy.stats import chi2

    if chi2.sf(pearson, df) >= 0.05:
        return ""
    return f"The counts vary {pearson / df:.1f} times as much as Poisson's: their errors are too small; quasipoisson."


def _serial_note(residual: Floats, design: SegmentedDesign, lag: int) -> str:
    """Say where errors are likely too small because of correlation in time."""
    if lag >= 0:
        short = len(np.unique(design.period))
        return f"Newey-West errors from {short} periods are likely too small." if short < SHORT else ""
    square = float(residual @ residual)
    if not square > 0:
        return ""
    series = [
        on_grid(residual[group], design.period[group]) for group in (design.treated, ~design.treated) if group.any()
    ]
    first = sum(float(e[1:, 0] @ e[:-1, 0]) for e in series) / square
    if first <= 2 / np.sqrt(len(residual)):
        return ""
    return f"Neighbouring residuals correlate ({first:.2f}): errors that take periods as independent are too small."


def _of_rows(values: ArrayLike, design: SegmentedDesign, name: str) -> Floats:
    given = np.asarray(values, dtype=float)
    if given.shape != (design.n,):
        raise DataError(f"{name} has shape {given.shape}; it must be ({design.n},) as the times are.")
    chosen: Floats = given[design.rows]
    bad = int((~np.isfinite(chosen)).sum())
    if bad:
        raise DataError(
            f"{name} is missing or infinite in {bad} periods; leave those rows out: a gap is borne in mind."
        )
    return chosen


def _lag(lag: int | str, fit: GlmFit, design: SegmentedDesign, prewhiten: bool) -> int:
    if isinstance(lag, str):
        if lag == "rule":
            return default_lag(len(np.unique(design.period)))
        if lag != "automatic":
            raise DefinitionError(unknown("lag", lag, ("rule", "automatic"), "Or give a number of periods."))
        slopes = np.arange(len(fit.coef)) > 0
        found = newey_west_bandwidth(fit.scores, slopes, period=design.period, prewhiten=prewhiten)
        return int(found) if np.isfinite(found) else 0
    if lag < 0 or lag != int(lag):
        raise ParameterError(f"lag is {lag!r}; it must be a whole number of periods, 0 or more.")
    return int(lag)


def _autoregressive(
    design: SegmentedDesign, y: Floats, family: str, shift: Floats, se: str, interval: str, conf_level: float
) -> SegmentedFit:
    if family != "gaussian" or not design.treated.all():
        raise DefinitionError(f"{se!r} is for one linear series; use 'newey-west' for counts and with a control.")
    method = se.split()[1].upper()
    fit = ar1_regression(design.matrix, y - shift, period=design.period, method=method)
    note = " ".join(filter(None, [design.note, fit.note]))
    return _fit(
        design, family, fit.coef, fit.cov, y, y - fit.residual, fit.innovation, shift,
        float(fit.innovation @ fit.innovation) / fit.df_residual, fit.rho, -1, float(fit.df_residual), interval,
        conf_level, f"AR(1) errors by {method}", note,
    )  # fmt: skip


def _fit(
    design: SegmentedDesign, family: str, coef: Floats, cov: Floats, y: Floats, fitted: Floats, residual: Floats,
    shift: Floats, dispersion: float, rho: float, lag: int, df: float, interval: str, conf_level: float, kind: str,
    note: str,
) -> SegmentedFit:  # fmt: skip
    error, low, high, p, used = inference(coef, np.diag(cov), df, interval, conf_level)
    return SegmentedFit(
        design, family, coef, error, low, high, p, cov, y, fitted, residual, shift, dispersion, rho, lag, used,
        conf_level, kind, note,
    )  # fmt: skip
