"""The truth of simulated records, for the estimand that was estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol


def true_effect(file: Path, data: Dataset, protocol: Protocol, adjusted: Adjusted) -> float | None:
    """Average the known difference between both potential outcomes over whom the estimand speaks of.

    Parameters
    ----------
    file : Parquet with person_id, index_date and, for each outcome, the potential outcomes without (`..._0`)
        and with (`..._1`) the offer, as ``clinops simulate`` writes it.
    data : the analysed entries.
    protocol, adjusted : say whose average: the exposed's (ATT, or those matched), everybody's (ATE) or the
        overlap population's.

    Returns
    -------
    The true mean difference of the primary outcome over the world's horizon, None where it is not known:
    another outcome, window or index date than the world's.
    """
    primary = protocol.primary
    column = None if primary is None else truth_column(primary)
    if column is None or primary is None or primary.window is None:
        return None
    import pyarrow.parquet as pq

    if (primary.window.start, primary.window.end) != (1, 365):
        return None
    columns = ["person_id", "index_date", f"{column}_0", f"{column}_1"]
    if not set(columns) <= set(pq.read_schema(file).names):
        return None
    known = pq.read_table(file, columns=columns).to_pandas()
    known["index_date"] = known["index_date"].astype("datetime64[s]")
    keys = data.baseline[["person_id", "index_date"]].astype({"index_date": "datetime64[s]"})
    joined = keys.merge(known, how="left", on=["person_id", "index_date"], validate="many_to_one")
    difference = (joined[f"{column}_1"] - joined[f"{column}_0"]).to_numpy(dtype=float)
    weights = _population(data, adjusted)
    if np.isnan(difference[weights > 0]).any():
        return None
    return float(np.average(np.nan_to_num(difference), weights=weights))


def truth_column(measure: Measure) -> str | None:
    """The world's own name for a measure."""
    if measure.measure == "cost" and measure.amount == "allowed":
        return f"cost_{measure.category}"
    return "days_at_home" if measure.measure == "days at home" else None


def _population(data: Dataset, adjusted: Adjusted) -> np.ndarray:
    """(n,) how much each row counts in the average that the estimand speaks of."""
    estimand, score = adjusted.adjustment.estimand, adjusted.score
    if estimand in ("att", "atc"):
        return np.where(data.exposed == (estimand == "att"), adjusted.weights, 0.0)
    if estimand in ("overlap", "matching") and score is not None:
        return score * (1 - score) if estimand == "overlap" else np.minimum(score, 1 - score)
    # Of a full match within a caliper, those who could be matched.
    return (adjusted.weights > 0).astype(float) if adjusted.sets is not None else np.ones(len(data))
