"""Event studies: effects by periods since treatment began, with their covariance, from four estimators in one form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums
from clinops.stats.group_time import GroupTimeEffects, group_time_effects, influence_cov
from clinops.stats.group_time_averages import average_effects
from clinops.stats.imputation import imputation_effects
from clinops.stats.linear import JointTest, inference, linear, wald, without_spread
from clinops.stats.panel import Panel, balanced_panel, with_a_before
from clinops.stats.two_way import two_way_event_study

EVENT_METHODS = ("group-time", "imputation", "two-way", "stacked")
_ALONE = "Event time(s) {}: one cluster on a side tells nothing of the error, so none is given."
_ALIKE = "Event time(s) {}: values that do not vary tell nothing of the error, so none is given."
_NOBODY = "Not estimable, as nobody is left to compare with: event time(s) {}."


@dataclass(frozen=True)
class EventStudy:
    """Effects by event time: periods of the panel since the first one under treatment; k of them.

    Attributes
    ----------
    method : one of EVENT_METHODS. event_time : (k,) whole numbers in order; below 0 are checks and no effects.
    estimate, std_error, conf_low, conf_high : (k,); NaN where not estimable. cov : (k, k).
    n_treated : (k,) treated units behind each.
    reference : the event time that the others are compared with, not among them; NaN of "imputation", whose effects
        are compared with all periods before and whose leads with the earliest ones.
    n_units, n_clusters : after those set aside. df : of the t distribution, or infinite. conf_level : of each interval.
    note : "" or what a reader must know.
    """

    method: str
    event_time: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    cov: Floats
    n_treated: Ints
    reference: float
    n_units: int
    n_clusters: int
    df: float
    conf_level: float
    note: str

    @property
    def before(self) -> Ints:
        """Places of the event times before treatment."""
        return np.flatnonzero(self.event_time < 0)

    @property
    def after(self) -> Ints:
        """Places of the event times under treatment."""
        return np.flatnonzero(self.event_time >= 0)


@dataclass(frozen=True)
class AverageEffect:
    """A weighted mean of an event study's effects, with its interval; `note` says what was left out."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    note: str


def event_study(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    method: str = "group-time",
    comparison: str = "not yet",
    covariates: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    leads: int | None = None,
    lags: int | None = None,
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> EventStudy:
    """Estimate effects by time since treatment began, and the same differences before it.

    Parameters
    ----------
    y, unit, time, first_treated, cluster, unbalanced : as in `group_time_effects`. Event times count the periods of
        the panel, whatever lies between them.
    method : "group-time" (`group_time_effects`, doubly robust, universal base), "imputation" (`imputation_effects`),
        "two-way" (`two_way_event_study`, for comparison with what others publish; labelled where starts differ) or
        "stacked" (`stacked_effects`, which needs leads and lags).
    comparison, covariates : of "group-time" alone.
    leads, lags : periods before and after the start that are shown; None is all of them. For "imputation" leads is
        how many periods before the start are compared with the earlier ones; None is none.

    Returns
    -------
    EventStudy. Where everybody is treated in the end only those not yet treated are compared with; an event time with
    nobody left is NaN, with a note.

    Raises
    ------
    DefinitionError : unknown method; options that the method does not have. DataError : as `group_time_effects`.

    Notes
    -----
    Source: Sun and Abraham 2021; Callaway and Sant'Anna 2021; Borusyak, Jaravel and Spiess 2024. Leads and effects of
    "imputation" are not built alike, so the eye cannot read a trend across the start (Roth 2024).
    """
    if method not in EVENT_METHODS:
        raise DefinitionError(unknown("way to an event study", method, EVENT_METHODS))
    if method != "group-time" and (covariates is not None or comparison != "not yet"):
        raise DefinitionError(f"{method!r} takes no covariates and no comparison; use method='group-time'.")
    if method == "stacked":
        from clinops.stats.stacked import stacked_effects

        if leads is None or lags is None:
            raise DefinitionError("A stacked study needs leads and lags: every cohort is seen over the same window.")
        return stacked_effects(
            y, unit, time, first_treated, leads=leads, lags=lags, cluster=cluster, unbalanced=unbalanced,
            conf_level=conf_level,
        )  # fmt: skip
    panel = balanced_panel(y, unit, time, first_treated, covariates=covariates, cluster=cluster, unbalanced=unbalanced)
    panel, notes = with_a_before(panel)
    if method == "two-way":
        study = _two_way(in_periods(panel), conf_level)
    elif method == "imputation":
        study = _imputation(panel, leads or 0, conf_level)
    else:
        study = _group_time(panel, comparison, conf_level)
    shown = study.event_time != study.reference
    if leads is not None:
        shown &= study.event_time >= -leads
    if lags is not None:
        shown &= study.event_time <= lags
    study = _some(study, np.flatnonzero(shown))
    gone = study.event_time[~np.isfinite(study.estimate)]
    said = [*notes, study.note, _NOBODY.format(_list(gone)) if gone.size else ""]
    return replace(study, note=" ".join(note for note in said if note))


def average_effect(study: EventStudy, weights: ArrayLike | None = None) -> AverageEffect:
    """Average the effects of an event study over its times under treatment.

    Parameters
    ----------
    weights : (number of event times >= 0,), made to add up to 1; None is a plain mean. Those that could not be
        estimated are left out and said.

    Raises
    ------
    DefinitionError : weights of another shape, negative, or all 0.
    """
    after = study.after
    weight = np.ones(len(after)) if weights is None else np.asarray(weights, dtype=float)
    if weight.shape != after.shape or (len(weight) and not ((weight >= 0).all() and weight.any())):
        raise DefinitionError(f"weights have shape {weight.shape}; give {len(after)} numbers >= 0, not all 0.")
    known = np.isfinite(study.estimate[after])
    lost = int((~known & (weight > 0)).sum())
    note = f"{lost} of {len(after)} event times could not be estimated and are left out." if lost else ""
    if not (known & (weight > 0)).any():
        return AverageEffect(np.nan, np.nan, np.nan, np.nan, np.nan, f"Not estimable. {note}".strip())
    share, at = weight[known] / weight[known].sum(), after[known]
    value, variance = share @ study.estimate[at], share @ study.cov[np.ix_(at, at)] @ share
    error, low, high, p, _ = inference(np.array([value]), np.array([variance]), study.df, "t", study.conf_level)
    return AverageEffect(float(value), float(error[0]), float(low[0]), float(high[0]), float(p[0]), note)


def lead_test(study: EventStudy) -> JointTest:
    """Test whether all differences before treatment are zero, by a Wald test with the study's covariance.

    That trends before do not differ does not prove that they would not have differed after; where a test has
    little power it says next to nothing (`lead_power`). Source: Roth 2022.
    """
    known = study.before[np.isfinite(study.std_error[study.before])]
    lost = len(study.before) - len(known)
    note = f"{lost} difference(s) before treatment could not be estimated." if lost else ""
    if not len(study.before):
        note = "There is no difference before treatment."
    df = study.df if len(known) else np.nan
    return wald(study.estimate[known], study.cov[np.ix_(known, known)], df, note)


def in_periods(panel: Panel) -> Panel:
    """Count time in periods of the panel (0, 1, ...), so that event times are whole numbers whatever the gaps."""
    first = np.searchsorted(panel.period, panel.first).astype(float)
    first[first >= len(panel.period)] = np.inf
    return replace(panel, period=np.arange(len(panel.period), dtype=float), first=first)


def made_study(
    method: str,
    event_time: Floats,
    estimate: Floats,
    cov: Floats,
    n_treated: NDArray,
    reference: float,
    panel: Panel,
    df: float,
    level: float,
    note: str,
) -> EventStudy:
    """Put estimates beside their errors and intervals; values that do not vary give none."""
    flat = without_spread(np.diag(cov), panel.outcome) & np.isfinite(estimate) & (event_time != reference)
    cov = _known(cov, flat)
    note = f"{note} {_ALIKE.format(_list(event_time[flat]))}".strip() if flat.any() else note
    error, low, high, _, _ = inference(estimate, np.diag(cov), df, "t", level)
    return EventStudy(
        method, event_time, estimate, error, low, high, cov, n_treated.astype(np.int64), reference,
        len(panel.unit), int(panel.cluster.max()) + 1, df, level, note,
    )  # fmt: skip


def _rows(panel: Panel) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return outcome, unit, time and first treated time in long form."""
    units, periods = panel.outcome.shape
    return (
        panel.outcome.ravel(), np.repeat(panel.unit, periods), np.tile(panel.period, units),
        np.repeat(panel.first, periods),
    )  # fmt: skip


def _clusters(panel: Panel) -> NDArray:
    return np.repeat(panel.cluster, panel.outcome.shape[1])


def _placed(
    panel: Panel, times: Floats, estimate: Floats, cov: Floats, counts: Ints
) -> tuple[Floats, Floats, Floats, Ints]:
    """Put estimates at their event times among all of the panel; the others are NaN, with nobody behind them."""
    every = np.unique(panel.period - panel.first[np.isfinite(panel.first), None])
    at = np.searchsorted(every, times)
    values, wide, behind = np.full(len(every), np.nan), np.full((len(every),) * 2, np.nan), np.zeros(len(every), int)
    values[at], wide[np.ix_(at, at)], behind[at] = estimate, cov, np.where(np.isfinite(estimate), counts, 0)
    return every, values, wide, behind


def _known(cov: Floats, blind: NDArray) -> Floats:
    return np.where(blind[:, None] | blind, np.nan, cov)


def _by_event(panel: Panel, effects: GroupTimeEffects) -> tuple[Floats, Floats, Floats, NDArray, Ints, str]:
    """Return event times, their average effects and influences, where nothing is known of the error, and units.

    The cells keep the panel's own times in their notes, and are averaged by the number of periods since the start.
    """
    shifted = replace(
        effects, group=np.searchsorted(panel.period, effects.group).astype(float), first=in_periods(panel).first,
        time=np.searchsorted(panel.period, effects.time).astype(float),
    )  # fmt: skip
    found = average_effects(shifted, "dynamic")
    since, known = shifted.time - shifted.group, np.isfinite(shifted.estimate)
    units = np.array([effects.n_treated[known & (since == one)].sum() for one in found.label], dtype=np.int64)
    note = f"{effects.note} {found.note}".strip()
    return found.label, found.estimate, found.influence, np.isnan(found.std_error), units, note


def _group_time(panel: Panel, comparison: str, level: float) -> EventStudy:
    effects = group_time_effects(
        *_rows(panel), covariates=np.repeat(panel.covariates, len(panel.period), axis=0), cluster=_clusters(panel),
        comparison=comparison, base="universal", conf_level=level,
    )  # fmt: skip
    times, estimate, influence, blind, units, note = _by_event(panel, effects)
    cov = _known(influence_cov(influence, effects.cluster), blind)
    placed = _placed(in_periods(panel), times, estimate, cov, units)
    return made_study("group-time", *placed, -1.0, panel, np.inf, level, note)


def _two_way(panel: Panel, level: float) -> EventStudy:
    """Where nobody is never treated the last cohort is the comparison until it starts, and no longer."""
    used, note = panel, ""
    if not np.isinf(panel.first).any():
        last = panel.first.max()
        kept = panel.period < last
        used = replace(
            panel, outcome=panel.outcome[:, kept], period=panel.period[kept],
            first=np.where(panel.first == last, np.inf, panel.first),
        )  # fmt: skip
        note = "Everybody is treated in the end: the last to start are the comparison, up to then."
    if not np.isfinite(used.first).any() or len(used.period) < 2:
        nothing = np.zeros(0)
        placed = _placed(panel, nothing, nothing, np.zeros((0, 0)), nothing.astype(np.int64))
        return made_study("two-way", *placed, -1.0, panel, np.nan, level, note)
    fit = two_way_event_study(*_rows(used), cluster=_clusters(used), conf_level=level)
    since = used.period - used.first[:, None]
    units = np.array([(since == one).sum() for one in fit.event_time])
    blind = _one_on_a_side(used, fit.event_time)
    placed = _placed(panel, fit.event_time, fit.coef, _known(fit.cov, blind), units)
    said = [note, fit.note, _ALONE.format(_list(fit.event_time[blind])) if blind.any() else ""]
    return made_study("two-way", *placed, -1.0, panel, fit.df, level, " ".join(filter(None, said)))


def _one_on_a_side(panel: Panel, times: Floats) -> NDArray[np.bool_]:
    """Event times at which the units, or those that are not at it in any period, are one cluster: no spread is seen."""
    since = panel.period - panel.first[:, None]
    found = []
    for one in times:
        there = (since == one).any(axis=1)
        sides = [len(np.unique(panel.cluster[side])) for side in (there, ~there)]
        found.append(sides[0] < 2 or sides[1] == 1 or len(np.unique(panel.cluster)) < 2)
    return np.array(found, dtype=bool)


def _list(times: Floats) -> str:
    return ", ".join(f"{one:g}" for one in times)


def _imputation(panel: Panel, leads: int, level: float) -> EventStudy:
    effects = imputation_effects(*_rows(panel), cluster=_clusters(panel), conf_level=level)
    late, estimate, influence, blind, units, note = _by_event(panel, effects)
    panel = in_periods(panel)
    early, values, pulls, behind = _leads(panel, leads)
    lone = _one_on_a_side(panel, early)
    note = " ".join(filter(None, (note, _ALONE.format(_list(early[lone])) if lone.any() else "")))
    cov = influence_cov(np.column_stack([pulls, influence]), panel.cluster)
    placed = _placed(
        panel, np.concatenate([early, late]), np.concatenate([values, estimate]),
        _known(cov, np.concatenate([np.isnan(values) | lone, blind])), np.concatenate([behind, units]),
    )  # fmt: skip
    study = made_study("imputation", *placed, np.nan, panel, np.inf, level, note)
    return _some(study, np.flatnonzero(study.event_time >= -leads))


def _leads(panel: Panel, leads: int) -> tuple[Floats, Floats, Floats, Ints]:
    """Regress untreated rows on unit and period effects and indicators of the last periods before treatment."""
    units, periods = panel.outcome.shape
    since = (panel.period - panel.first[:, None]).ravel()
    times, seen = np.unique(since[(since < 0) & (since >= -leads) & np.isfinite(since)], return_counts=True)
    if not times.size:
        return times, np.zeros(0), np.zeros((units, 0)), seen.astype(np.int64)
    who, when = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    free = since < 0
    times, seen = times[::-1], seen[::-1]  # the last first: where all are asked for, the earliest is the base
    columns = np.column_stack([(when[:, None] == np.arange(1, periods)), since[:, None] == times]).astype(float)
    fit = linear(columns[free], panel.outcome.ravel()[free], strata=who[free])
    pulls = cluster_sums(fit.influence[:, periods - 1 :], who[free], units) * units
    return times, fit.coef[periods - 1 :], pulls, seen.astype(np.int64)


def _some(study: EventStudy, at: NDArray) -> EventStudy:
    if not at.size:
        raise DataError("No event time of the panel lies within leads and lags; widen them.")
    parts = ("event_time", "estimate", "std_error", "conf_low", "conf_high", "n_treated")
    chosen = {name: getattr(study, name)[at] for name in parts}
    return replace(study, cov=study.cov[np.ix_(at, at)], **chosen)
