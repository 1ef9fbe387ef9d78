"""What the records see of what happened: contacts that the programme adds, people who leave, costs that come late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinops.worlds import use
from clinops.worlds.people import People
from clinops.worlds.programme import Eligible, Programme
from clinops.worlds.settings import LAST_DAY, NEVER, Knobs
from clinops.worlds.use import Diagnoses, Fills, Visits
from clinops.worlds.vocabulary import TELEHEALTH


def with_contacts(
    knobs: Knobs, block: int, who: People, kept: Visits, noted: Diagnoses, of: Eligible, ran: Programme
) -> tuple[Visits, Diagnoses]:
    """Add the programme's own contacts, free of charge, to the visits, and what they record to the diagnoses."""
    if not knobs.detection:
        return kept, noted
    rng = knobs.rng(block, "contacts")
    last = np.minimum(np.minimum(ran.acts_until, of.span_end), np.minimum(ran.death_real, LAST_DAY))
    days = np.where(ran.activation < NEVER, np.maximum(last - ran.activation, 0), 0)
    counts = rng.poisson(knobs.detection * days / 365.25)
    row = np.repeat(np.arange(len(of)), counts)
    date = ran.activation[row] + 1 + np.floor(rng.random(len(row)) * days[row]).astype(np.int64)
    n = len(row)
    contacts = Visits(
        person=of.person[row], start=date, end=date, kind=np.full(n, TELEHEALTH, dtype=np.int8),
        cents=np.zeros(n, dtype=np.int64), extra=np.zeros(n, dtype=bool), luck=np.ones(n),
    )  # fmt: skip
    both, new, old = _placed(kept, contacts)
    recorded = use.diagnoses(knobs, block, who, both.where(new), "diagnoses of contacts")
    visit = np.concatenate([old[noted.visit], np.flatnonzero(new)[recorded.visit]])
    condition = np.concatenate([noted.condition, recorded.condition])
    order = np.argsort(visit * 64 + condition, kind="stable")
    return both, Diagnoses(visit[order], condition[order])


def _placed(kept: Visits, contacts: Visits) -> tuple[Visits, np.ndarray, np.ndarray]:
    """Merge contacts into visits; which rows are contacts, and the new position of each visit that was there."""
    both = use.merged([replace(kept, luck=np.zeros(len(kept))), contacts])
    new = both.luck == 1
    return both, new, np.flatnonzero(~new)


def closings(knobs: Knobs, block: int, who: People, of: Eligible, ran: Programme) -> np.ndarray:
    """Return the day on which each person leaves the records for good, NEVER for those who stay."""
    closes = np.full(len(who), NEVER)
    if knobs.dropout:
        hazard = knobs.dropout / 365.25 * np.exp(knobs.dropout_need * of.need)
        days = np.floor(knobs.rng(block, "dropout").exponential(1.0, len(of)) / hazard)
        leaves = ran.offered | (knobs.dropout_arm == "both")
        closes[of.person[leaves]] = of.index[leaves] + 1 + np.minimum(days[leaves], NEVER / 2).astype(np.int64)
    return closes


def closed(
    who: People, of: Eligible, ran: Programme, death: np.ndarray, closes: np.ndarray
) -> tuple[People, Eligible, Programme, np.ndarray]:
    """Return persons, index spans, programme dates and deaths as records show them that end on `closes`."""
    spans = who.spans.copy()
    spans[:, :, 1] = np.where(spans[:, :, 0] < NEVER, np.minimum(spans[:, :, 1], closes[:, None]), spans[:, :, 1])
    spans[spans[:, :, 0] > closes[:, None]] = NEVER
    at = closes[of.person]

    def by_then(date: np.ndarray) -> np.ndarray:
        return np.where(date <= at, date, NEVER)

    return (
        replace(who, spans=spans),
        replace(of, span_end=np.minimum(of.span_end, at)),
        replace(ran, offer=by_then(ran.offer), activation=by_then(ran.activation), engagement=by_then(ran.engagement)),
        np.where(death <= closes, death, NEVER),
    )


def on_file(knobs: Knobs, block: int, kept: Visits, taken: Fills) -> tuple[np.ndarray, np.ndarray]:
    """Say of each visit and each fill whether its cost had arrived by the last day of the records."""
    if not knobs.lag:
        return np.ones(len(kept), dtype=bool), np.ones(len(taken.person), dtype=bool)
    rng = knobs.rng(block, "claims lag")
    arrived = [start + rng.exponential(knobs.lag, len(start)) <= LAST_DAY for start in (kept.start, taken.start)]
    return arrived[0], arrived[1]
