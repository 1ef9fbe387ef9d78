"""A single arm before and after: shown only beside what would have happened without any programme.

People enter a programme when their use is high, and what is high falls. The expected change comes from persons who were
not exposed and began at like values (`comparators`), from the same persons at an earlier event of the same kind
(`earlier`), or from a straight line through an untreated population (`line`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse import words
from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.robustness.placebo import before_measure
from clinops.analyse.robustness.setting import Setting, setting_of
from clinops.define.base import choice
from clinops.define.measures import EVENT_KINDS
from clinops.define.protocol import Adjustment, Protocol, Sensitivity
from clinops.define.protocol import protocol as read_protocol
from clinops.define.windows import Window
from clinops.errors import DataError, DesignError
from clinops.results.result import Column, Figure, Result, absent

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.regression_to_mean import BeforeAfter, ExpectedChange

WAYS = ("comparators", "earlier", "line")
SAID = {
    "comparators": "persons not exposed, who began at like values",
    "earlier": "the same persons at an earlier event of the same kind",
    "line": "a straight line through persons not exposed",
}
REFUSED = (
    "A single arm before and after is refused on its own: who enters with high use will use less later whatever is "
    "done "
    "(regression to the mean), and the fall would be read as an effect.\n"
    "Say where the change that is expected without any programme comes from: expected='comparators' (persons not "
    "exposed who began at like values), 'earlier' (the same persons at an earlier event of the same kind) or 'line' "
    "(a straight line through persons not exposed). Better: compare the arms, protocol.on(source)."
)
PRE_POST = "before and after"
NAMES = ("change_before_after", "before_after")


@dataclass(frozen=True, eq=False)
class Change:
    """The exposed before and after their index date, and every way to expect their change.

    Attributes
    ----------
    before, after : (n,) of the exposed who were observed throughout the time before.
    found : by way, the expectation, or the reason why there is none.
    window : the days before. whole : share followed to the end of the window or to death.
    n_untreated : by way, persons from whom the expectation comes. cluster : (n,) of the exposed, by the protocol.
    """

    before: Floats
    after: Floats
    found: dict[str, ExpectedChange | str]
    window: Window
    whole: float
    n_untreated: dict[str, int]
    cluster: NDArray[np.int64]

    @property
    def single(self) -> bool:
        """Whether all of the exposed are of one cluster, which leaves no error."""
        return len(np.unique(self.cluster)) < 2


def change_of(setting: Setting) -> Change | str:
    """Measure the exposed before and after, and what was expected of them; words where the outcome has no past."""
    measure = setting.outcome
    if measure.window is None or measure.window.start is None or measure.window.length is None:
        return "the outcome's window has no end, so there is no time of that length before it."
    if measure.events is not None and measure.events.domain == "death":
        return "who is alive on the index date has not died before it."
    if measure.measure == "value":
        return "a single measurement before is not a window of use; compare its change between the arms."
    if setting.protocol.cluster != "person" and not _sites(setting.study.design.baseline, setting.protocol.cluster):
        return f"the protocol clusters on the {setting.protocol.cluster}, but no row has one; use cluster='person'."
    window = Window(-measure.window.length, -1)
    one, zero = _arm_values(setting, setting.study.exposed, setting.study.comparator, window)
    least = setting.protocol.min_cell
    if setting.outcome.measure in EVENT_KINDS and any(0 < int((v > 0).sum()) < least for v in one[:2]):
        return f"fewer than {least} of {setting.names[0]} had {measure.name} before or after, too few to be shown."
    if len(one[0]) < 2:
        return (
            f"fewer than two of {setting.names[0]} were observed for {-(window.start or 0)} days before the index date."
        )
    earlier = _earlier(setting, window)
    found: dict[str, ExpectedChange | str] = {}
    from clinops.stats.regression_to_mean import linear_change, matched_change

    for way, make, untreated in (
        ("comparators", matched_change, zero), ("earlier", matched_change, earlier), ("line", linear_change, zero),
    ):  # fmt: skip
        try:
            found[way] = make(one[0], *untreated[:2], cluster=untreated[3])
        except DataError as problem:
            found[way] = str(problem)
    used = {"comparators": len(zero[0]), "earlier": len(earlier[0]), "line": len(zero[0])}
    return Change(one[0], one[1], found, window, one[2], used, one[3])


Values = tuple[Floats, Floats, float, NDArray[np.int64]]
"""Before, after, the share followed to the end, and the cluster, of an arm."""


def _arm_values(setting: Setting, exposed: Any, comparator: Any, window: Window) -> tuple[Values, Values]:
    """Before, after, share followed and cluster of each arm, of those observed throughout the window before."""
    from clinops.build import rows

    past = before_measure(setting.outcome, window, f"{setting.outcome.name} before")
    alone = setting.protocol.with_(
        covariates=(past,), outcomes=(setting.outcome,), negative_controls=(), subgroups=(), adjust=Adjustment("none"),
        sensitivity=Sensitivity(),
    )  # fmt: skip
    baseline = rows.baseline(alone, exposed, comparator)
    outcomes = rows.outcomes(alone, baseline).frame
    before = setting.person[0] * baseline.frame[past.id].to_numpy(dtype=float)
    after = setting.person[0] * outcomes[setting.outcome.id].to_numpy(dtype=float)
    seen = outcomes["observed_from_day"].to_numpy() <= (window.start or 0)
    seen &= np.isfinite(before) & np.isfinite(after) & (outcomes["end_day"].to_numpy() > 0)
    whole = outcomes["end_reason"].isin(["window", "death"]).to_numpy()
    arm = baseline.frame["arm"].to_numpy() == 1
    both, group = [], _groups(baseline.frame, alone.cluster)
    for keep in (arm & seen, ~arm & seen):
        share = float(whole[keep].mean()) if keep.any() else float("nan")
        both.append((before[keep], after[keep], share, group[keep]))
    return both[0], both[1]


SITES = {"care site": "care_site_id", "clinician": "clinician_id"}


def _sites(frame: pd.DataFrame, cluster: str) -> bool:
    """Whether any row has the care site or the clinician on whom the protocol clusters."""
    return SITES[cluster] in frame and bool(frame[SITES[cluster]].notna().any())


def _groups(frame: pd.DataFrame, cluster: str) -> NDArray[np.int64]:
    """(n,) cluster ids that mean the same in every cohort: even ones of sites, odd ones of persons (without a site)."""
    person = 2 * frame["person_id"].to_numpy(dtype=np.int64) + 1
    if cluster == "person" or not _sites(frame, cluster):
        return np.asarray(person)
    units = frame[SITES[cluster]]
    return np.where(units.isna(), person, 2 * units.fillna(0).to_numpy(dtype=np.int64))


def _earlier(setting: Setting, window: Window) -> Values:
    """The exposed at an earlier event of their entry, whose time after ends before the index date."""
    from clinops.build.placebo import at_earlier_entry

    assert setting.outcome.window is not None and setting.outcome.window.end is not None
    apart = setting.outcome.window.end + 1
    cohort = at_earlier_entry(setting.study.exposed, apart, -(window.start or 0))
    if cohort.entries < 2:
        return np.empty(0), np.empty(0), float("nan"), np.empty(0, dtype=np.int64)
    return _arm_values(setting, cohort, setting.study.comparator, window)[0]


def compared(change: Change, way: str) -> BeforeAfter | None:
    """The change beside one expectation; None where there is none."""
    from clinops.stats.regression_to_mean import before_after

    expected = change.found[way]
    if isinstance(expected, str):
        return None
    return before_after(change.before, change.after, expected, level=LEVEL, cluster=change.cluster)


def change_table(setting: Setting, change: Change | str, chosen: str = "comparators") -> Result:
    """What happened, what was expected without a programme by each way, and what is left."""
    import pandas as pd

    title = f"Before and after, {setting.names[0]}: {setting.outcome.name}"
    if isinstance(change, str):
        return absent(NAMES[0], title, change)
    lines: list[dict[str, Any]] = []
    reasons = []
    for way in (chosen, *(w for w in WAYS if w != chosen)):
        found = compared(change, way)
        if found is None:
            reasons.append(f"Not possible from {SAID[way]}: {change.found[way]}")
            continue
        expected = change.found[way]
        lines.append({
            "way": SAID[way], "n": found.n, "n_untreated": change.n_untreated[way], "before": found.before,
            "after": found.after, "observed": found.observed, "expected": found.expected, "left": found.left,
            "left_low": found.left_low, "left_high": found.left_high, "covered": getattr(expected, "covered", np.nan),
            "share": found.expected / found.observed if found.observed else np.nan,
        })  # fmt: skip
    if not lines:
        return absent(NAMES[0], title, f"{' '.join(reasons)} {REFUSED}")
    frame = pd.DataFrame(lines)
    notes = (
        f"{setting.outcome.name} over {change.window.length} days before the index date and {setting.outcome.window} "
        f"after it, of those observed throughout the time before; {change.whole:.0%} were followed to the end or to "
        "death. Those who left keep what they had, here and among those from whom the expectation comes.",
        "What is left is no effect: it holds every other difference between the exposed and those from whom the "
        "expectation comes. Regression to the mean: Davis 1976; Linden 2013.",
        *_uncovered(frame),
        _clustered(setting, change),
        *reasons,
    )  # fmt: skip
    return Result(NAMES[0], title, frame, _change_columns(setting), notes, _change_sentence(setting, frame))


def _uncovered(frame: pd.DataFrame) -> tuple[str, ...]:
    """What a row speaks of where some of the exposed have nobody like them."""
    if not (frame["covered"] < 1).any():
        return ()
    return (
        "Where not all of the exposed are covered, before, after and observed change are those of the covered ones: "
        "the others, mostly the highest, have no untreated persons like them, and would have fallen most by "
        "themselves.",
    )


def _clustered(setting: Setting, change: Change) -> str:
    """What the intervals respect."""
    unit = setting.protocol.cluster
    if change.single:
        return f"All of {setting.names[0]} are of one {unit}: no interval, since one {unit} shows no spread."
    also = " (a person without one is a cluster alone)" if unit != "person" else ""
    return f"Intervals are clustered by {unit}{also} over both sides together (CR1)."


def _change_columns(setting: Setting) -> tuple[Column, ...]:
    cost = setting.outcome.measure == "cost"
    kind, unit = ("money", setting.study.currency) if cost else ("number1", setting.person[1])
    return (
        Column("way", "Expected from"), Column("n_untreated", "Persons", "count", "n", "Expected from"),
        Column("n", setting.names[0], "count", "persons"),
        Column("before", "Before", kind, unit, "Observed", of="n"),
        Column("after", "After", kind, unit, "Observed", of="n"),
        Column("observed", "Observed", kind, unit, "Change", of="n"),
        Column("expected", "Expected without a programme", kind, unit, "Change", of=("n", "n_untreated")),
        Column("left", "Left over (95% CI)", kind, unit, low="left_low", high="left_high", of=("n", "n_untreated")),
        Column("covered", "Covered", "fraction", "of the exposed", of=("n", "n_untreated")),
    )  # fmt: skip


def _change_sentence(setting: Setting, frame: pd.DataFrame) -> str:
    row = frame.iloc[0]
    unit = setting.person[1]
    observed, expected = float(row["observed"]), float(row["expected"])
    left = words.interval(float(row["left"]), float(row["left_low"]), float(row["left_high"]), unit)
    part = "" if not row["covered"] < 1 else f"the {row['covered']:.0%} covered of "
    return (
        f"{setting.outcome.name} of {part}{setting.names[0]} changed by {words.number(observed)} {unit}; "
        f"{words.number(expected)} was expected without any programme, from {row['way']}. Left over: {left}. "
        "That is not the effect of the programme."
    )


def change_figure(setting: Setting, table: Result, name: str = NAMES[1]) -> Result:
    """The observed change, what was expected by each way, and what is left, on one axis."""
    import pandas as pd

    title = "The change, and the change expected without any programme"
    if "left" not in table.frame:
        return absent(name, title, table.sentence.removeprefix("Not possible: "))
    unit = setting.person[1]
    first = table.frame.iloc[0]
    lines = [{"label": "Observed change", "group": "", "estimate": first["observed"], "low": np.nan, "high": np.nan}]
    for _, row in table.frame.iterrows():
        lines += [
            {"label": "Expected without a programme", "group": row["way"], "estimate": row["expected"], "low": np.nan,
             "high": np.nan},
            {"label": "Left over", "group": row["way"], "estimate": row["left"], "low": row["left_low"],
             "high": row["left_high"]},
        ]  # fmt: skip
    data = pd.DataFrame(lines).assign(n=int(first["n"]))
    figure = Figure("forest", data, {"scale": "linear", "null": 0.0, "xlabel": f"Change, {unit} (95% CI)"},
                    counts=("n",), of=dict.fromkeys(("estimate", "low", "high"), ("n",)))  # fmt: skip
    columns = (Column("group", "Expected from"), Column("label", "Change"),
               Column("estimate", "Change (95% CI)", "number1", unit, low="low", high="high", of="n"))  # fmt: skip
    return Result(name, title, data, columns, (), table.sentence, figure=figure, alt=table.sentence)


def change_rows(setting: Setting, change: Change | str) -> list[Row]:
    """What is left by each way, as rows of the results schema."""
    if isinstance(change, str):
        return []
    made = []
    for way in WAYS:
        found = compared(change, way)
        row: Row = {
            "analysis": PRE_POST, "measure": setting.outcome.name, "role": setting.outcome.role,
            "level": f"expected from {way}",
            "period": f"{change.window} v {setting.outcome.window}", "estimand": "no comparison group: not an effect",
            "method": "before-after less regression to the mean", "adjustment": "exposed only", "conf_level": LEVEL,
            "unit": setting.person[1],
            "scale": "mean difference", "n_exposed": len(change.before), "n_comparator": change.n_untreated[way],
        }  # fmt: skip
        if found is None:
            row |= {"estimate": None, "note": str(change.found[way])}
        else:
            alone = "; of one person or cluster: no error" if np.isnan(found.left_error) else ""
            row |= {
                "n_exposed": found.n, "value_exposed": found.observed, "value_comparator": found.expected,
                "estimate": found.left, "std_error": found.left_error, "conf_low": found.left_low,
                "conf_high": found.left_high, "p_value": found.p_value,
                "se_kind": f"CR1 (clusters: {setting.protocol.cluster})",
                "note": "regression to the mean taken away; no effect" + alone,
            }  # fmt: skip
        made.append(setting.named(row))
    return made


class PrePost(Readable, Analysis):
    """The exposed arm of a protocol before and after, beside its regression to the mean.

    Parameters
    ----------
    study : from ``protocol.on(source)``. expected : the way of the headline, one of `WAYS`.
    """

    def __init__(self, study: Any, expected: str) -> None:
        choice("way to expect the change", expected, WAYS)
        self.study, self.expected = study, expected
        self._setting = setting_of(study)
        numbers = dict(zip(NAMES, ("Table 1", "Figure 1"), strict=True))
        self._gallery = Gallery(
            numbers, synthetic=study.source.synthetic, min_cell=study.protocol.min_cell,
            everything=lambda: self.exhibits,
        )  # fmt: skip

    @cached_property
    def _change(self) -> Change | str:
        found = change_of(self._setting)
        if isinstance(found, Change) and isinstance(reason := found.found[self.expected], str):
            raise DesignError(f"No regression to the mean from {SAID[self.expected]}: {reason}\n{REFUSED}")
        return found

    def _table(self) -> Result:
        return change_table(self._setting, self._change, self.expected)

    @property
    def change(self) -> Result:
        """What happened, what was expected, what is left."""
        return self._show(NAMES[0], self._table)

    @property
    def figure(self) -> Result:
        """The same as a picture."""
        return self._show(NAMES[1], lambda: change_figure(self._setting, self._table()))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """What is left by each way in the one long schema."""
        from clinops.results.schema import estimates

        return estimates(change_rows(self._setting, self._change))

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Both exhibits."""
        return self.change, self.figure

    def bundle(self) -> Bundle:
        """What `write` writes."""
        return Bundle(
            f"Before and after: {self.study.protocol.title}", self.exhibits, self.study.source,
            protocol=self.study.protocol, findings=self.study.findings, estimates=self.estimates,
            min_cell=self.study.protocol.min_cell,
        )  # fmt: skip


def pre_post(
    protocol: Protocol | str | Path, source: Any, expected: str | None = None, register: str | Path | None = None
) -> PrePost:
    """Look at the exposed arm before and after its index date, with the change that was expected anyway.

    Parameters
    ----------
    protocol : or its file; the exposed arm and the primary outcome are looked at.
    source : from `connect`.
    expected : where the change without a programme comes from: "comparators" (persons not exposed who began at like
        values), "earlier" (the same persons at an earlier event of the same kind) or "line".
    register : the file in which the plan was locked; that outcomes are read is written there.

    Raises
    ------
    DesignError : no `expected`: a single arm alone is refused; or none can be had from there, with the reason.
    DefinitionError : an unknown way, or no outcome.
    """
    if expected is None:
        raise DesignError(REFUSED)
    choice("way to expect the change", expected, WAYS)
    plan = protocol if isinstance(protocol, Protocol) else read_protocol.read(protocol)
    made = PrePost(plan.on(source, register=register), expected)
    _ = made._change
    return made
