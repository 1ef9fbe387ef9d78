"""Placebos: the outcome in a time before the programme, and the same persons on a date on which nothing began.

Two designs, because they ask two things. The placebo period keeps the index date and the main adjustment, and looks at
the outcome in a window that ends before any measure of use among the covariates begins. If the covariates at the index
date hold all that decides who is exposed, the further past does not differ, and the effect is null. Covariates measured
in the same days as the placebo outcome would take away what the placebo should find, hence the earlier window.

The placebo date moves the index date back and measures the covariates anew. A placebo outcome that lies between the
placebo date and the true one lies in the days by which persons were chosen (a programme for those with recent use finds
recent use), so a difference is expected and no verdict is given. Moved back further, so that the placebo outcome ends
before the covariates of the true date begin, it is adjusted for both sets of covariates and judged.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from clinops.analyse import words
from clinops.analyse.adjust import adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import Row
from clinops.analyse.robustness.setting import Setting, number
from clinops.define.cohorts import CohortDefinition
from clinops.define.measures import PERSON_KINDS, Measure
from clinops.define.protocol import Adjustment, Protocol, Sensitivity
from clinops.define.steps import Observed
from clinops.define.windows import Window
from clinops.errors import DataError
from clinops.results.result import Check, Column, Result, absent

USE = ("count", "cost", "days at home")
"""Kinds of covariates that measure use: a placebo outcome in their days would be conditioned on itself."""
ALPHA = 0.05
LEAST = 50
"""Persons of an arm below which a score made anew separates the arms rather than makes them alike."""
FEW = f"fewer than {LEAST} persons of an arm were observed for so long."
_CRUDE = Adjustment("none")
PERIOD, DATE = "placebo period", "placebo date"
TITLES = {
    PERIOD: "Did the arms already differ before the covariates begin?",
    DATE: "Does the analysis find an effect on a date on which nothing began?",
}
NAMES = {PERIOD: "placebo_period", DATE: "placebo_date"}


@dataclass(frozen=True)
class Placebo:
    """A placebo analysis.

    Attributes
    ----------
    row : the effect with the main adjustment, and `crude` without; None where it is not possible, and `why`.
    judged : whether a difference counts against the design. said : what was done, in words.
    """

    kind: str
    row: Row | None
    crude: Row | None
    judged: bool
    said: str
    why: str = ""


def look_back(protocol: Protocol) -> int:
    """The first day of any measure of use among the covariates, from the index date; 0 without one."""
    starts = [
        m.window.start for m in protocol.covariates if m.measure in USE and m.window and m.window.start is not None
    ]
    return min(starts, default=0)


def length_of(setting: Setting) -> int | None:
    """Days of the outcome's window; None where it has no end."""
    window = setting.outcome.window
    return None if window is None or window.start is None else window.length


def _possible(setting: Setting) -> str:
    """Why the outcome has no past; empty where it has one."""
    measure = setting.outcome
    if length_of(setting) is None:
        return "the outcome's window has no end, so there is no window of that length before it."
    if measure.events is not None and measure.events.domain == "death":
        return "who is alive on the index date has not died before it: death is no placebo outcome."
    return ""


def before_measure(measure: Measure, window: Window, name: str) -> Measure:
    """The outcome as a covariate over a window before the index date; a time to an event is asked as any event."""
    kind = "any" if measure.measure == "time to" else measure.measure
    return dataclasses.replace(
        measure, name=name, measure=kind, window=window, role="covariate", worthwhile=None, better=measure.better
    )


def period(setting: Setting) -> Placebo:
    """The outcome over as many days before the covariates begin, under the main adjustment."""
    if why := _possible(setting):
        return Placebo(PERIOD, None, None, True, "", why)
    first, length = look_back(setting.protocol), length_of(setting)
    assert length is not None
    window = Window(first - length, first - 1)
    past = before_measure(setting.outcome, window, f"{setting.outcome.name} before")
    column = _measured(setting, past)
    from_day = setting.study.outcomes.frame["observed_from_day"].to_numpy(dtype=float)
    seen = from_day <= window.start if window.start is not None else np.zeros(len(setting.data), dtype=bool)
    said = f"{setting.outcome.name} on {window}, of those observed since then"
    return _compared(setting, PERIOD, _as_outcome(setting.study.design, past, column, seen), past, said, True)


def _measured(setting: Setting, measure: Measure) -> np.ndarray:
    """A covariate on every entry, measured alone."""
    from clinops.build import rows

    alone = setting.protocol.with_(covariates=(measure,), subgroups=(), adjust=_CRUDE, sensitivity=Sensitivity())
    made = rows.baseline(alone, setting.study.exposed, setting.study.comparator)
    if measure.id not in made.frame:
        raise DataError(f"The records cannot give {measure.name!r}: {dict(made.missing_covariates)}")
    return made.frame[measure.id].to_numpy(dtype=float)


def _as_outcome(design: Dataset, measure: Measure, values: np.ndarray, keep: np.ndarray) -> Dataset:
    """Rows that were observed throughout the window, with the past measure standing as their outcome."""
    import pandas as pd

    assert measure.window is not None and measure.window.length is not None
    frame = pd.DataFrame({measure.id: values, f"{measure.id}__days": float(measure.window.length)})
    return dataclasses.replace(design, outcomes=frame).where(keep)


def _compared(
    setting: Setting, kind: str, data: Dataset, measure: Measure, said: str, judged: bool,
    covariates: tuple[Measure, ...] | None = None,
) -> Placebo:  # fmt: skip
    p = setting.protocol
    arms = [int((data.exposed == arm).sum()) for arm in (True, False)]
    if min(arms) < LEAST:
        return Placebo(kind, None, None, judged, said, FEW)
    try:
        made = adjust(data, covariates or p.covariates, p.adjust, cluster=p.cluster, seed=p.seed)
    except DataError as problem:
        return Placebo(kind, None, None, judged, said, str(problem))
    scale = setting.main if measure.measure == setting.outcome.measure else "risk difference"
    plain = adjust(data, (), _CRUDE, cluster=p.cluster)
    rows = [setting.row(data, measure, how, scale, analysis=kind) for how in (made, plain)]
    return Placebo(kind, rows[0], rows[1], judged, said)


def date(setting: Setting, shift: int | None = None) -> Placebo:
    """The whole analysis with every index date moved back by `shift` days, of the persons observed for so long.

    shift : None moves by the length of the outcome's window and one day, so that the outcome ends before the true date.
    """
    from clinops.build import rows
    from clinops.build.placebo import moved

    if why := _possible(setting):
        return Placebo(DATE, None, None, False, "", why)
    p, window = setting.protocol, setting.outcome.window
    assert window is not None and window.end is not None
    days = window.end + 1 if shift is None else shift
    if days <= window.end:
        return Placebo(
            DATE, None, None, False, "", f"moved back by {days} days the outcome would reach past the true date."
        )
    judged = window.end - days < look_back(p)
    before = max(_guaranteed(p.exposed), _guaranteed(p.comparator), -look_back(p))
    arms = [moved(cohort, days, before) for cohort in (setting.study.exposed, setting.study.comparator)]
    said = f"Index dates moved back by {days} days, of those observed {before} days before the placebo date"
    if min(cohort.entries for cohort in arms) < LEAST:
        return Placebo(DATE, None, None, judged, said, FEW)
    alone = p.with_(outcomes=(setting.outcome,), negative_controls=(), subgroups=())
    baseline = rows.baseline(alone, *arms)
    data = Dataset(baseline.frame).with_outcomes(rows.outcomes(alone, baseline).frame)
    covariates = p.covariates
    if judged:
        data, covariates = _with_true_date(setting, data, days)
        said += "; adjusted for the covariates of both dates"
    return _compared(setting, DATE, data, setting.outcome, said, judged, covariates)


def _with_true_date(setting: Setting, data: Dataset, days: int) -> tuple[Dataset, tuple[Measure, ...]]:
    """Add the covariates of the true index date to those of the placebo date."""
    import pandas as pd

    true = setting.study.design.baseline
    again = [m for m in setting.protocol.covariates if m.measure not in PERSON_KINDS and m.id in true.columns]
    named = {m.id: dataclasses.replace(m, name=f"{m.name}, at the true date") for m in again}
    held = true[["person_id", "arm", "index_date", *named]].rename(columns={old: m.id for old, m in named.items()})
    held = held.assign(index_date=held["index_date"] - pd.Timedelta(days=days))
    frame = data.baseline.merge(held, on=["person_id", "arm", "index_date"], how="left", validate="one_to_one")
    return Dataset(frame, data.outcomes), (*setting.protocol.covariates, *named.values())


def _guaranteed(arm: CohortDefinition) -> int:
    return max((step.before for step in arm.steps if isinstance(step, Observed)), default=0)


def placebo_check(setting: Setting, found: Placebo) -> Check | Result:
    """The placebo as a check: an effect where there can be none says that the arms differ in more than was adjusted."""
    import pandas as pd

    name, title = NAMES[found.kind], TITLES[found.kind]
    if found.row is None or found.crude is None:
        return absent(name, title, found.why)
    lines = [{"how": how, **row} for how, row in (("crude", found.crude), (found.row["adjustment"], found.row))]
    frame = pd.DataFrame(lines)
    unit = str(found.row["unit"])
    p = number(found.row["p_value"])
    known = bool(np.isfinite(p))
    columns = (
        Column("how", "Adjustment"), *setting.arm_columns(), setting.effect_column(found.row["scale"], unit),
        Column("p_value", "P", "p", of=setting.of, missing="–"),
    )  # fmt: skip
    estimate, low, high = (number(found.row[c]) for c in ("estimate", "conf_low", "conf_high"))
    said = f"{found.said}: {words.interval(estimate, low, high, unit)}."
    return Check(
        name, title, frame, columns, _notes(found), said, observed=p if known else None,
        threshold=ALPHA if found.judged else None, passed=p >= ALPHA if known and found.judged else None,
        why=_WHY[found.kind],
    )  # fmt: skip


def _notes(found: Placebo) -> tuple[str, ...]:
    if found.kind == PERIOD:
        return (
            "Weights (or matches) are made anew among those observed for so long, from the covariates at the index "
            "date, all of whose measures of use begin after the placebo window.",
        )
    if found.judged:
        return ("The placebo outcome ends before the measures of use at the true date begin.",)
    return (
        "Not judged: the placebo outcome lies in the days by which persons were chosen for the programme, so a "
        "design that chooses on recent use shows a difference here. Moved back further (placebo_shift) it would be "
        "judged.",
    )


_WHY = {
    PERIOD: "What came before a programme is not its effect: a difference is confounding that the covariates miss.",
    DATE: "A difference on a date on which nothing began is how the arms were already drifting apart: it warns against "
    "before-after designs and differences in differences.",
}
