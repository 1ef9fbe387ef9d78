"""Sites compared on readmission: a funnel plot of the crude share, and the table standardised by age and sex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.care import hidden
from clinops.analyse.care.readmission_tables import POST_EXPOSURE
from clinops.results.cells import small
from clinops.results.result import Column, Figure, Result
from clinops.stats.funnel import FunnelLimits, Overdispersion, binomial_limits, overdispersion, widened_limits
from clinops.stats.standardisation import standardised_ratio

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"95": 0.95, "998": 0.998}
AGES = (0, 18, 45, 65, 75, 85)
"""First years of the age bands of the standardisation."""
UNKNOWN = "Not known"
SITE, TOGETHER, TOTAL = "site", "together", "total"
LIMIT_POINTS = 80
FROM_COUNTS = ("ratio", "ratio_low", "ratio_high", "against", "value")
NAMES = {"hospital": ("Hospital", "hospitals", "the hospital that discharged"),
         "clinic": ("Clinic", "clinics", "the clinic that the person is registered with")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Compared:
    """Sites with their counts, what of them may be shown, and what they are held against.

    Attributes
    ----------
    rows : one row a site (most discharges first), then the smaller ones together, those not known, and the total:
        label, kind, index, events, expected, ratio with ratio_low and ratio_high, index_hidden, events_hidden.
    target : share of all index discharges; NaN without any, or where it would give a small count away.
    spread : overdispersion of the sites whose counts are shown.
    limits : by level, at each row's volume.
    smaller : sites that are not shown alone.
    """

    rows: pd.DataFrame
    target: float
    spread: Overdispersion
    limits: dict[str, FunnelLimits]
    smaller: int

    @property
    def sites(self) -> pd.DataFrame:
        """The rows of single sites."""
        return self.rows[self.rows["kind"] == SITE]


def compare(frame: pd.DataFrame, min_cell: int) -> Compared:
    """Count index discharges and readmissions by site, and say what chance and the mix of patients explain.

    Parameters
    ----------
    frame : of `index_by_site`. min_cell : sites with fewer index discharges are taken together.
    """
    import pandas as pd

    rows, smaller = _rows(frame, min_cell)
    index, events = (rows[name].to_numpy(dtype=int) for name in ("index", "events"))
    total = int(index.sum())
    back = int(events.sum())
    known = total > 0 and hidden.total_known(total, back, min_cell)
    target = back / total if known else np.nan
    if not known:
        # Expected numbers add up to all readmissions, and an interval at 0 tells its expected number.
        rows[["expected", "ratio", "ratio_low", "ratio_high"]] = np.nan
    gone = hidden.by_site(index.tolist(), events.tolist(), min_cell)
    rows = rows.assign(index_hidden=gone[0], events_hidden=gone[1])
    shown = (rows["kind"] == SITE).to_numpy() & ~gone[0] & ~gone[1]
    spread = overdispersion(events[shown], index[shown], target if known else 0.0)
    everyone = {"label": "Total", "kind": TOTAL, "index": total, "events": back, "ratio": np.nan, "ratio_low": np.nan,
                "ratio_high": np.nan, "expected": float(back) if known else np.nan,
                "index_hidden": small(total, min_cell), "events_hidden": total > 0 and not known}  # fmt: skip
    rows = pd.concat([rows, pd.DataFrame([everyone])], ignore_index=True) if len(rows) else pd.DataFrame([everyone])
    limits = {name: _limits(rows["index"], target, spread, level) for name, level in LEVELS.items()}
    return Compared(rows, target, spread, limits, smaller)


def _limits(n: Any, target: float, spread: Overdispersion, level: float) -> FunnelLimits:
    if not np.isfinite(target):
        none = np.full(len(n), np.nan)
        return FunnelLimits(none, none, level, "")
    if spread.matters:
        return widened_limits(n, target, spread.factor, level)
    return binomial_limits(n, target, level)


def _rows(frame: pd.DataFrame, min_cell: int) -> tuple[pd.DataFrame, int]:
    import pandas as pd

    stratum = _strata(frame)
    rate = frame["readmitted"].groupby(stratum).mean()
    label = _labels(frame)
    n = label.map(label.value_counts())
    few = (n < min_cell) & (label != UNKNOWN)
    smaller = int(label[few].nunique())
    kind = np.where(few | (label == UNKNOWN), TOGETHER, SITE)
    label = label.mask(few, f"Smaller ones together ({smaller})")
    parts = []
    for (name, what), part in frame.groupby([label, kind], sort=False):
        sizes = stratum[part.index].value_counts()
        found = standardised_ratio(int(part["readmitted"].sum()), sizes, rate[sizes.index])
        parts.append({
            "label": name, "kind": what, "index": len(part), "events": int(part["readmitted"].sum()),
            "expected": found.expected, "ratio": found.ratio.estimate, "ratio_low": found.ratio.conf_low,
            "ratio_high": found.ratio.conf_high,
        })  # fmt: skip
    columns = ["label", "kind", "index", "events", "expected", "ratio", "ratio_low", "ratio_high"]
    rows = pd.DataFrame(parts, columns=columns)
    place = rows.assign(a=rows["kind"] != SITE, b=rows["label"] == UNKNOWN, c=-rows["index"])
    order = place.sort_values(["a", "b", "c", "label"]).index
    return rows.loc[order].reset_index(drop=True), smaller


def _labels(frame: pd.DataFrame) -> pd.Series:
    """The name of each discharge's site: the records' own, with its number where two sites share it."""
    number = frame["site"].astype("string")
    name = frame["name"].astype("string").str.strip().replace("", None)
    several = frame["site"].groupby(name).transform("nunique").reindex(frame.index).fillna(1) > 1
    named = name.where(~several, name + " (" + number + ")").fillna("Site " + number)
    return named.where(frame["site"].notna(), UNKNOWN).astype(object)


def _strata(frame: pd.DataFrame) -> pd.Series:
    """Age band and sex of each discharge; not known is a level of its own."""
    age = frame["age"].to_numpy(dtype=float, na_value=np.nan)
    band = np.searchsorted(AGES, np.where(np.isfinite(age), age, -1), side="right")
    sex = frame["sex"].astype("string").fillna("not known")
    return sex + "/" + band.astype(str)


def _against(found: Compared) -> list[str]:
    """Where each site lies: within the limits, or beyond which."""
    share = (found.rows["events"] / found.rows["index"]).to_numpy(dtype=float)
    judged = (found.rows["kind"] == SITE) & np.isfinite(found.target)
    said = np.where(judged, "within", "").astype(object)
    for name, level in LEVELS.items():
        for side, beyond in (("below", share < found.limits[name].low), ("above", share > found.limits[name].high)):
            said[beyond & (found.rows["kind"] == SITE).to_numpy()] = f"{side} {100 * level:g}%"
    return [str(one) for one in said]


def _taken(frame: pd.DataFrame, rows: pd.DataFrame, min_cell: int) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """The counts that are not shown taken out of a frame whose first rows are `rows`, with what is made of them."""
    gone = []
    frame = frame.astype({"index": "Int64", "events": "Int64"})
    out = np.zeros(len(frame), dtype=bool)
    for name in ("index", "events"):
        lost = np.zeros(len(frame), dtype=bool)
        lost[: len(rows)] = rows[f"{name}_hidden"].to_numpy(dtype=bool)[: len(frame)]
        gone += [(int(row), name, hidden.printed(rows[name].iloc[row], min_cell)) for row in np.flatnonzero(lost)]
        frame[name] = frame[name].mask(lost)
        out |= lost
    # Left in place, such a number would take a sentence along that happens to hold the same one.
    for name in FROM_COUNTS:
        if name in frame.columns:
            frame[name] = frame[name].mask(out)
    return frame, tuple(gone)


def sites(found: Compared, days: int, by: str, min_cell: int) -> Result:
    """Index discharges and readmissions by site, with what the patients' age and sex let expect."""
    head, several, _ = NAMES[by]
    frame = found.rows.drop(columns=["index_hidden", "events_hidden"]).assign(against=_against(found))
    frame, gone = _taken(frame, found.rows, min_cell)
    columns = (
        Column("label", head), Column("index", "Index discharges", "count", "n"),
        Column("events", "Readmitted", "percent", "n/index (%)", denominator="index"),
        Column("expected", "Expected", "number1", "n", of="index", missing="–"),
        Column("ratio", "Observed/expected (95% CI)", "ratio", low="ratio_low", high="ratio_high",
               of=("events", "index"), missing="–"),
        Column("against", "Against the limits", of=("events", "index"), missing="–"),
    )  # fmt: skip
    notes = (
        "Expected: each discharge at the readmission rate of its age band and sex over all sites (indirect "
        "standardisation); exact Poisson interval, the expected number taken as known. Such ratios compare a site with "
        "all, not with another site.",
        "Discharges of one person count each: intervals and limits take them as independent, and are then too narrow.",
        *_smaller_note(found, several, min_cell), POST_EXPOSURE,
    )  # fmt: skip
    title = f"Readmission within {days} days by {by}"
    return Result("readmission_sites", title, frame, columns, notes, _standardised(found, by), hidden=gone)


def _standardised(found: Compared, by: str) -> str:
    """How far observed and expected are apart, in a sentence."""
    seen = _shown(found).dropna(subset="ratio").sort_values("ratio", kind="stable")
    if len(found.sites) < 2 or seen.empty:
        return _said(found, by)
    low, high = seen.iloc[0], seen.iloc[-1]
    return (
        f"For their patients' age and sex, observed over expected readmissions run from {low['ratio']:.2f} "
        f"({low['label']}) to {high['ratio']:.2f} ({high['label']})."
    )


def _shown(found: Compared) -> pd.DataFrame:
    """Single sites whose counts are shown, with where they lie."""
    judged = found.rows.assign(against=_against(found))
    return judged[(judged["kind"] == SITE) & ~judged["events_hidden"] & ~judged["index_hidden"]]


def _smaller_note(found: Compared, several: str, min_cell: int) -> tuple[str, ...]:
    if not found.smaller:
        return ()
    return (f"Smaller ones: {several} with fewer than {min_cell} index discharges, in no comparison.",)


def _said(found: Compared, by: str) -> str:
    """The comparison in a sentence, of the sites whose counts are shown."""
    head, several, _ = NAMES[by]
    if not found.rows["index"].iloc[-1]:
        return f"No discharge is an index, so {several} cannot be compared."
    if not np.isfinite(found.target):
        return "There are too few readmissions to be shown."
    if len(found.sites) < 2:
        return f"There are fewer than two {several} with enough index discharges: nothing to compare."
    judged = _shown(found)
    if judged.empty:
        return f"Every one of the {several} has too few readmissions to be shown."
    far = judged[judged["against"].str.endswith("99.8%")]
    if far.empty:
        return f"No {head.lower()} lies beyond the 99.8% limits of chance about {100 * found.target:.1f}%."
    names = "; ".join(f"{row.label} {str(row.against).split()[0]}" for row in far.itertuples())
    return f"Beyond the 99.8% limits of chance about {100 * found.target:.1f}%: {names}."


def funnel(found: Compared, days: int, by: str, min_cell: int) -> Result:
    """The same as a funnel plot: each site's crude share by its volume, within the limits of chance."""
    import pandas as pd

    head, several, whose = NAMES[by]
    chosen = (found.rows["kind"] == SITE).to_numpy()
    rows = found.rows[chosen]
    frame = pd.DataFrame({"label": rows["label"], "index": rows["index"], "events": rows["events"]})
    for name in LEVELS:
        frame[f"low_{name}"] = 100 * found.limits[name].low[chosen]
        frame[f"high_{name}"] = 100 * found.limits[name].high[chosen]
    frame, gone = _taken(frame, rows, min_cell)
    columns = [
        Column("label", head), Column("index", "Index discharges", "count", "n"),
        Column("events", "Readmitted", "percent", "n/index (%)", denominator="index"),
    ]  # fmt: skip
    for name, level in LEVELS.items():
        for end, said in (("low", "Lower"), ("high", "Upper")):
            columns.append(
                Column(f"{end}_{name}", said, "number1", "per 100", f"{100 * level:g}% limits", of="index", missing="–")
            )
    title = f"Readmission within {days} days by {by}, against the limits of chance"
    notes = (f"By {whose}. {_spread_note(found, several)}", *_smaller_note(found, several, min_cell), POST_EXPOSURE)
    alt = f"Funnel plot of {len(rows)} {several}: share readmitted by number of index discharges. {_said(found, by)}"
    drawn = _figure(found, rows, days, by, min_cell) if len(rows) > 1 and np.isfinite(found.target) else None
    return Result("readmission_limits", title, frame, tuple(columns), notes, _said(found, by), figure=drawn, alt=alt,
                  hidden=gone)  # fmt: skip


def _spread_note(found: Compared, several: str) -> str:
    """Which limits these are, and why."""
    spread = found.spread
    if not np.isfinite(spread.factor):
        if not np.isfinite(found.target):
            return "No limits are drawn: there are too few readmissions, or none is an index."
        why = "no variation" if spread.note.startswith("no variation") else "too few whose counts are shown"
        return f"Exact binomial limits; whether {several} vary by more than chance cannot be told ({why})."
    about = f"overdispersion {spread.factor:.2f}, of note above {spread.threshold:.2f}; winsorised, Spiegelhalter 2005"
    if spread.matters:
        return f"Limits widened, since {several} vary by more than chance ({about})."
    return f"Exact binomial limits: {several} vary about as much as chance alone makes them ({about})."


def _figure(found: Compared, rows: pd.DataFrame, days: int, by: str, min_cell: int) -> Figure:
    import pandas as pd

    most = int(rows["index"].max())
    # No point of the lines below the smallest count that may be shown: it would be taken for a small count.
    grid = np.unique(np.linspace(max(min_cell, 1), max(most, min_cell), LIMIT_POINTS).round().astype(int))
    lines = {name: _limits(grid, found.target, found.spread, level) for name, level in LEVELS.items()}
    share = (rows["events"] / rows["index"]).to_numpy(dtype=float)
    frame = pd.DataFrame({
        "label": [*rows["label"], *[""] * len(grid)], "kind": ["unit"] * len(rows) + ["limit"] * len(grid),
        "index": [*rows["index"], *grid], "events": pd.array([*rows["events"], *[None] * len(grid)], dtype="Int64"),
        "value": [*share, *[np.nan] * len(grid)],
    })  # fmt: skip
    chosen = (found.rows["kind"] == SITE).to_numpy()
    for name in LEVELS:
        frame[f"low_{name}"] = [*found.limits[name].low[chosen], *lines[name].low]
        frame[f"high_{name}"] = [*found.limits[name].high[chosen], *lines[name].high]
    frame, gone = _taken(frame, rows, min_cell)
    frame = frame.rename(columns={"index": "n"})
    gone = tuple((row, "n" if name == "index" else name, text) for row, name, text in gone)
    options = {
        "target": found.target, "target_label": f"All ({100 * found.target:.1f}%)",
        "ylabel": f"Readmitted within {days} days", "xlabel": "Index discharges", "adjustment": "crude",
        "basis": _spread_note(found, NAMES[by][1]),
    }  # fmt: skip
    rests = {"value": ("events", "n")} | {f"{end}_{name}": ("n",) for name in LEVELS for end in ("low", "high")}
    return Figure("funnel_plot", frame, options, ("n", "events"), rests, hidden=gone)
