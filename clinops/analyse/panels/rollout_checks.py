"""Checks of a roll-out that can fail: trends before, early effects, inference, who is there, other methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.checks import design_check
from clinops.analyse.panels.lines import permuted_line, since_few
from clinops.analyse.panels.rolled import LEVEL, Rolled
from clinops.analyse.panels.rollout_exhibits import band, p_text, rest_on_few
from clinops.errors import DataError
from clinops.results.result import Check, Column

DESIGN = "check_panel_design"
ALPHA = 0.05
BOUNDS = (0.0, 0.5, 1.0, 2.0)
FEW = "Not shown: it rests on fewer than {} persons or events."
"""Said in place of what the event study or the table of effects hides."""


def trends_before(rolled: Rolled) -> Check:
    """Whether groups of sites went the same way before their starts, and what a look at that could have seen."""
    import pandas as pd

    found, few = rolled.near, _few_before(rolled)
    which = np.flatnonzero((found.event_time < 0) & np.isfinite(found.estimate) & ~np.isin(found.event_time, few))
    test = band(found, which, rolled)
    frame = pd.DataFrame({
        "since": found.event_time[which].astype("int64"), "estimate": found.estimate[which],
        "low": found.conf_low[which], "high": found.conf_high[which],
    })  # fmt: skip
    every = rolled.plan.every
    columns = (
        Column("since", f"{every.capitalize()}s since the start", "number0"),
        Column("estimate", "Difference (95% CI)", "number2", rolled.plan.rate, low="low", high="high", of=()),
    )  # fmt: skip
    judged = bool(np.isfinite(test.p_value))
    said = (
        f"The largest of {test.n} differences in the year before the start is {test.statistic:.1f} standard errors "
        "from zero; "
        f"P {p_text(test.p_value)} that chance alone gives one so large."
        if judged
        else FEW.format(rolled.plan.min_cell)
        if few
        else "Not judged: there is a single period before each start, or no error."
    )
    notes = (
        (f"{len(few)} of the differences rest on counts below {rolled.plan.min_cell} and are not shown.",)
        if few
        else _power(rolled)
    )
    return Check(
        "check_trends_before", "Did sites go the same way before?", frame, columns, notes, said,
        observed=test.p_value if judged else None, threshold=ALPHA, passed=test.p_value >= ALPHA if judged else None,
        why="The estimate takes what the others did as what these would have done. A test that finds nothing has not "
        "shown that it holds, and a small study cannot find much (Roth 2022).",
    )  # fmt: skip


def _few_before(rolled: Rolled) -> list[int]:
    """Times of the year before the start which the event study does not show."""
    return [int(one) for one in rolled.near.event_time if one < 0 and since_few(rolled, int(one))]


def _few_after(rolled: Rolled, times: Any) -> bool:
    """Whether a mean over times from the start on would give away one that is hidden, or is hidden itself."""
    return rest_on_few(rolled, rolled.treated) or any(since_few(rolled, int(one)) for one in times if one >= 0)


def _hidden(name: str, title: str, columns: tuple[Column, ...], why: str, rolled: Rolled) -> Check:
    """A check of which nothing is shown, as it rests on small counts."""
    import pandas as pd

    frame = pd.DataFrame(columns=[one for column in columns for one in (column.name, column.low, column.high) if one])
    return Check(name, title, frame, columns, (), FEW.format(rolled.plan.min_cell), passed=None, why=why)


def _power(rolled: Rolled) -> tuple[str, ...]:
    """Which difference in trends the look would have missed half of the time, and what it would do."""
    from clinops.stats.lead_power import lead_power

    study = rolled.near
    if not np.isfinite(study.std_error[study.before]).any():
        return ()
    try:
        found = lead_power(study)
    except DataError as problem:  # more differences than the sites can tell apart
        return (f"What this look would have missed is not known. {problem}",)
    after = found.event_time >= 0
    bias = float(found.bias[after].mean()) if after.any() else np.nan
    return (
        f"With the year before the start: trends that part by {_number(rolled, found.slope)} a {rolled.plan.every} "
        f"would go unseen half of the time, and move the mean effect of the first year by {_number(rolled, bias)}.",
    )


def other_trends(rolled: Rolled) -> Check:
    """How far trends could part, next to what was seen before the start, with the effect still standing."""
    import pandas as pd

    from clinops.stats.honest import honest_bounds

    study, every = rolled.near, rolled.plan.every
    title = "Would the effect stand if trends parted?"
    why = (
        "Trends that were alike before may part after. This asks how much worse than the worst change seen before, "
        "from one period to the next, they would have to part for the interval to reach no effect (Rambachan and Roth "
        "2023)."
    )
    columns = (
        Column("bound", "Times the largest change before", "number1"),
        Column("low", "From", "number2", spanner="95% CI of the mean effect", of=()),
        Column("high", "To", "number2", spanner="95% CI of the mean effect", of=()),
    )  # fmt: skip
    if _few_before(rolled) or _few_after(rolled, study.event_time):
        return _hidden("check_other_trends", title, columns, why, rolled)
    beside = np.isin([-2, 0], study.event_time[np.isfinite(study.std_error)])
    if not beside.all():
        frame = pd.DataFrame(columns=["bound", "low", "high"], dtype=float)
        return Check("check_other_trends", title, frame, columns, (), "Not judged: no difference before the start.",
                     passed=None, why=why)  # fmt: skip
    found = honest_bounds(study, bounds=BOUNDS)
    frame = pd.DataFrame({"bound": found.bound, "low": found.conf_low, "high": found.conf_high})
    notes = (
        f"Mean effect over the first {found.lags} {every}s, {_number(rolled, found.estimate)} "
        f"({_number(rolled, found.plain_low)} to {_number(rolled, found.plain_high)}) with trends alike; "
        f"{found.leads} differences before. {found.note}".strip(),
    )
    null = found.plain_low <= 0 <= found.plain_high
    said = (
        "The mean effect of the first year is not told from zero with trends alike either."
        if null
        else f"The interval leaves out no effect up to {found.breakdown:.2f} times the largest change before the start."
    )
    return Check(
        "check_other_trends", title, frame, columns, notes, said, observed=float(found.breakdown), threshold=None,
        passed=None, why=why,
    )  # fmt: skip


def early_effect(rolled: Rolled) -> Check:
    """Whether something changed in the period just before the start."""
    import pandas as pd

    from clinops.stats.group_time_averages import average_effects

    by = rolled.averages("dynamic")
    at = np.flatnonzero(by.label == -1)
    few = since_few(rolled, -2)
    at = at[:0] if few else at
    low, high = (float(v[at[0]]) if at.size else np.nan for v in (by.conf_low, by.conf_high))
    value = float(by.estimate[at[0]]) if at.size else np.nan
    earlier = None if few or _few_after(rolled, rolled.study.event_time) else _shifted(rolled)
    rows = [{"what": f"Change in the last {rolled.plan.every} before the start", "value": value, "low": low,
             "high": high}]  # fmt: skip
    if earlier is not None:
        moved = average_effects(earlier, "dynamic")
        rows.append({"what": f"Mean effect from the start on, against one {rolled.plan.every} earlier still",
                     **_mean(moved.estimate, moved.influence, moved.label >= 1, earlier)})  # fmt: skip
        plain = rolled.averages("dynamic")
        rows.append({"what": f"The same against the last {rolled.plan.every} before the start", "value": plain.overall,
                     "low": plain.overall_conf_low, "high": plain.overall_conf_high})  # fmt: skip
    known = bool(np.isfinite(low))
    notes = () if few or earlier is None else ("Means over the times since the start, each time alike.",)
    if not few and _few_after(rolled, rolled.study.event_time):
        notes = (f"Means from the start on rest on counts below {rolled.plan.min_cell} and are not shown.",)
    said = (
        f"In the last {rolled.plan.every} before the start the difference changed by {_number(rolled, value)} "
        f"({_number(rolled, low)} to {_number(rolled, high)})."
        if known
        else FEW.format(rolled.plan.min_cell)
        if few
        else "Not judged: nothing is known of the change just before the start."
    )
    columns = (Column("what", "What"), Column("value", "Difference (95% CI)", "number2", rolled.plan.rate, low="low",
                                              high="high", of=(), missing="–"))  # fmt: skip
    return Check(
        "check_early_effect", "Did anything happen just before the start?", pd.DataFrame(rows), columns,
        notes, said,
        observed=value if known else None, threshold="an interval that holds 0",
        passed=low <= 0 <= high if known else None,
        why="Sites that prepare, or people who wait for the programme, change before it starts; the base period is "
        "then no longer one without it. So does a site that starts because it did badly: the estimate is then a "
        "recovery.",
    )  # fmt: skip


def _mean(estimate: Any, influence: Any, which: Any, effects: Any) -> dict[str, float]:
    """The plain mean of some averages, with its limits."""
    from scipy.stats import norm

    from clinops.stats.group_time import influence_cov

    if not which.any():
        return {"value": np.nan, "low": np.nan, "high": np.nan}
    value = float(estimate[which].mean())
    error = float(np.sqrt(influence_cov(influence[:, which].mean(axis=1)[:, None], effects.cluster)[0, 0]))
    reach = float(norm.isf((1 - LEVEL) / 2)) * error
    return {"value": value, "low": value - reach, "high": value + reach}


def _shifted(rolled: Rolled) -> Any:
    """Effects with all starts one period earlier; None where that leaves nobody a period before."""
    first = rolled.rows()["first_treated"]
    later = first[np.isfinite(first) & (first > 0)]
    return rolled.effects_of("value", earlier=1) if later.size and later.min() > 1 else None


def inference_check(rolled: Rolled) -> Check:
    """Whether the permutation test, which needs no theory, says what the interval says."""
    import pandas as pd

    title, columns = (
        "Does the conclusion need large-sample theory?",
        (Column("how", "How"), Column("p", "P", "p", missing="–")),
    )
    why = (
        "The site is the unit. With few of them errors by theory are too small; where the two disagree, believe the "
        "permutation."
    )
    if rest_on_few(rolled, rolled.treated):
        return _hidden("check_inference", title, columns, why, rolled)
    main, permuted = permuted_line(rolled), rolled.permuted
    sites = rolled.effects.n_clusters
    frame = pd.DataFrame([
        {"how": f"{main.method}: {main.error}", "p": main.p_value},
        {"how": f"Permutation of starts, {permuted.permutations:,} assignments{', all' if permuted.exact else ''}",
         "p": permuted.p_value},
        {"how": "Wild cluster bootstrap of the two-way coefficient, which is another estimate",
         "p": rolled.wild.p_value},
    ])  # fmt: skip
    known = bool(np.isfinite(main.p_value) and np.isfinite(permuted.p_value))
    agree = (main.p_value < ALPHA) == (permuted.p_value < ALPHA)
    said = (
        f"{sites} {rolled.plan.unit}s. P by theory: {p_text(main.p_value)}; by permutation: {p_text(permuted.p_value)}."
        if known
        else f"Not judged with {sites} {rolled.plan.unit}s: one of the P values does not exist."
    )
    return Check(
        "check_inference", title, frame, columns, tuple(filter(None, [permuted.note, rolled.wild.note])), said,
        observed=permuted.p_value if known else None, threshold=f"the same side of {ALPHA} by both",
        passed=bool(agree) if known else None, why=why,
    )  # fmt: skip


def composition(rolled: Rolled) -> Check:
    """Whether other people are counted once a site starts."""
    import pandas as pd

    from clinops.stats.group_time_averages import average_effects

    cells = rolled.cells.assign(
        share_female=rolled.cells["female"] / rolled.cells["persons"].where(rolled.cells["persons"] > 0),
        log_persons=np.log(rolled.cells["persons"].where(rolled.cells["persons"] > 0)),
    )
    looked = {"age": "Mean age, years", "share_female": "Share of women", "log_persons": "Log number of persons"}
    rows = []
    other = Rolled(rolled.plan, rolled.findings, rolled.sites, cells, rolled.attrition, rolled.nowhere, (), "")
    for column, name in looked.items():
        # A site whose people's ages are unknown in some period has no mean there and is left out of that row.
        known = cells.groupby("unit")[column].apply(lambda one: one.notna().all())
        if not known.any() or not np.isfinite(cells.loc[cells["unit"].isin(known[known].index), "first"]).any():
            continue
        found = average_effects(other.effects_of(column), "simple")
        z = found.overall / found.overall_std_error if found.overall_std_error > 0 else np.nan
        rows.append({"what": name, "value": found.overall, "low": found.overall_conf_low,
                     "high": found.overall_conf_high, "z": z})  # fmt: skip
    frame = pd.DataFrame(rows, columns=["what", "value", "low", "high", "z"])
    largest = float(np.nanmax(np.abs(frame["z"]))) if frame["z"].notna().any() else np.nan
    limit = _bonferroni(int(frame["z"].notna().sum()))
    stay = _stayed(rolled)
    judged = bool(np.isfinite(largest))
    worst = str(frame["what"].iloc[int(np.nanargmax(np.abs(frame["z"])))]) if judged else ""
    columns = (Column("what", "Who is counted"), Column("value", "Difference (95% CI)", "number3", low="low",
                                                        high="high", of=(), missing="–"))  # fmt: skip
    said = (
        f"Largest change: {worst.lower()}, {largest:.1f} standard errors. {stay}"
        if judged
        else f"Not judged: nothing varies. {stay}"
    )
    return Check(
        "check_composition", "Are the same kind of people counted?", frame.drop(columns="z"), columns,
        ("The same comparison, with what describes people in place of the outcome; allowing for their number.",), said,
        observed=largest if judged else None, threshold=limit if judged else None,
        passed=largest < limit if judged else None,
        why="If a programme draws other people to a site, or keeps them there, the outcome changes without an effect "
        "on anybody.",
    )  # fmt: skip


def _bonferroni(tests: int) -> float:
    from scipy.stats import norm

    return round(float(norm.isf((1 - LEVEL) / 2 / max(tests, 1))), 2)


def _stayed(rolled: Rolled) -> str:
    """Which share of those counted in the last period were there in the first one."""
    last = rolled.cells[rolled.cells["period"] == len(rolled.plan.periods) - 1]
    persons = last["persons"].sum()
    share = last["stayed"].sum() / persons if persons else np.nan
    if not np.isfinite(share):
        return "Nobody is left in the last period."
    return f"Of the persons in the last {rolled.plan.every}, {share:.0%} were there in the first."


def _number(rolled: Rolled, value: float) -> str:
    return words.number(value, 0 if rolled.currency and abs(value) >= 100 else 2)


def checks(rolled: Rolled) -> tuple[Check, ...]:
    """Every check, in the order of the report."""
    return (
        design_check(rolled.findings, DESIGN), trends_before(rolled), other_trends(rolled), early_effect(rolled),
        inference_check(rolled), composition(rolled),
    )  # fmt: skip
