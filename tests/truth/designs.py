"""The default designs in one simulated world, each beside the truth of its own estimand; no records are written.

One world is drawn once. Its persons have both potential years, so the world without an effect and the one with it, and
an offer by lot beside the offer that follows need, share the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import effects
from clinops.analyse.estimates import CRUDE
from clinops.define.protocol import Adjustment, Protocol
from clinops.stats.instrument import two_stage_least_squares
from clinops.worlds.draw import Drawn, draw
from clinops.worlds.measured import baseline, difference, potential
from clinops.worlds.programme import programme
from clinops.worlds.settings import BLOCK, NEVER, Knobs
from tests.truth.support import SCALE, the_protocol

PERSONS = 20_000
"""The default size of a world: about 2,600 offered and 5,200 not."""
protocol: Callable[[], Protocol] = cache(the_protocol)


def drawn(persons: int = PERSONS, **knobs: Any) -> Drawn:
    """Draw a world of one block in memory."""
    assert persons <= BLOCK
    return draw(Knobs.of(persons=persons, **knobs), 0, persons)


def in_order(offered: np.ndarray) -> np.ndarray:
    """The positions of the eligible persons as `build` orders them: the offered first, then by person."""
    return np.argsort(~offered, kind="stable")


def dataset(it: Drawn, offered: np.ndarray, outcomes: dict[str, Any] | None = None) -> Dataset:
    """The rows of an analysis, as a study of the written records would hold them."""
    order = in_order(offered)
    frame = pd.DataFrame({name: values[order] for name, values in baseline(it, offered).items()})
    frame["care_site_id"] = frame["care_site_id"].astype("Int64")
    found = Dataset(frame)
    return found if outcomes is None else with_outcomes(found, order, outcomes)


def with_outcomes(data: Dataset, order: np.ndarray, outcomes: dict[str, Any]) -> Dataset:
    """The same rows with outcomes, given in the order of the eligible persons."""
    return data.with_outcomes(pd.DataFrame({name: values[order] for name, values in outcomes.items()}))


@dataclass(frozen=True)
class Answer:
    """An estimate with its interval, and the true value of what it estimates among the persons of its world."""

    estimate: float
    error: float
    low: float
    high: float
    truth: float


def one_world(seed: int, persons: int = PERSONS, **knobs: Any) -> dict[str, dict[str, tuple[float, ...]]]:
    """Answer every design in one world: by design, "none" (no effect) and "planted"."""
    it = drawn(persons=persons, seed=seed, **knobs)
    lottery = _by_lot(it, persons=persons, seed=seed, **knobs)
    return _plain(_observational(it, WAYS) | _randomised(it, *lottery))


def calipers(seed: int, persons: int = PERSONS, **knobs: Any) -> dict[str, dict[str, tuple[float, ...]]]:
    """Answer matching under narrower calipers in one world, as `one_world` does."""
    return _plain(_observational(drawn(persons=persons, seed=seed, **knobs), NARROWER))


def _plain(answers: dict[str, dict[str, Answer]]) -> dict[str, dict[str, tuple[float, ...]]]:
    return {name: {which: tuple(vars(one).values()) for which, one in pair.items()} for name, pair in answers.items()}


def _by_lot(it: Drawn, **knobs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Half of the same persons are offered by lot: who, and who of them activates."""
    ran = programme(Knobs.of(**knobs | {"lottery": 0.5}), 0, it.who, it.kept, it.of)
    return ran.offered, ran.activation < NEVER


WAYS = {
    "weights, offered (ATT)": Adjustment("weight", "att"),
    "weights, everybody (ATE)": Adjustment("weight", "ate"),
    "weights, overlap": Adjustment("weight", "overlap"),
    "matching, caliper 0.2": Adjustment("match", "att", caliper=0.2),
    "as they are": CRUDE,
}


NARROWER = {
    "matching, caliper 0.1": Adjustment("match", "att", caliper=0.1),
    "matching, caliper 0.05": Adjustment("match", "att", caliper=0.05),
}


def _observational(it: Drawn, ways: dict[str, Adjustment]) -> dict[str, dict[str, Answer]]:
    offered, p = it.ran.offered, protocol()
    order, data = in_order(offered), dataset(it, offered)
    gap = difference(it)[order]
    found: dict[str, dict[str, Answer]] = {name: {} for name in ways}
    for which, took in (("none", np.zeros_like(offered)), ("planted", offered)):
        full = with_outcomes(data, order, potential(it, took))
        for name, way in ways.items():
            adjusted = adjust(full, p.covariates, way)
            weights = _speaks_of(full, adjusted)
            truth = float(np.average(gap, weights=weights)) if which == "planted" else 0.0
            found[name][which] = answer(full, adjusted, truth)
    return found


def _speaks_of(data: Dataset, adjusted: Adjusted) -> np.ndarray:
    """How much each person counts in the population that the estimand speaks of."""
    if adjusted.adjustment.estimand == "overlap" and adjusted.propensity is not None:
        return adjusted.propensity.score * (1 - adjusted.propensity.score)
    if adjusted.adjustment.estimand == "ate":
        return np.ones(len(data))
    return np.where(data.exposed, adjusted.weights, 0.0)


def answer(data: Dataset, adjusted: Adjusted, truth: float) -> Answer:
    """The main difference of the primary outcome under an adjustment, beside the truth."""
    primary = protocol().primary
    assert primary is not None
    row = next(row for row in effects(data, primary, adjusted) if row["scale"] == SCALE)
    values = (float(row[name]) for name in ("estimate", "std_error", "conf_low", "conf_high"))
    return Answer(*values, truth)


def _randomised(it: Drawn, offered: np.ndarray, activated: np.ndarray) -> dict[str, dict[str, Answer]]:
    p = protocol()
    order, data = in_order(offered), dataset(it, offered)
    gap, would = difference(it)[order], (it.ran.if_offered < NEVER)[order]
    itt, complier = "offer by lot (intention to treat)", "offer by lot, compliers (instrument)"
    found: dict[str, dict[str, Answer]] = {itt: {}, complier: {}}
    for which, took in (("none", np.zeros_like(offered)), ("planted", offered)):
        full = with_outcomes(data, order, potential(it, took))
        share = float(which == "planted")
        found[itt][which] = answer(full, adjust(full, p.covariates, CRUDE), share * float(gap.mean()))
        assert p.primary is not None
        fit = two_stage_least_squares(full.column(p.primary), activated[order], offered[order])
        found[complier][which] = Answer(
            fit.estimate, fit.std_error, fit.conf_low, fit.conf_high, share * float(gap[would].mean())
        )
    return found
