"""Checks of a cost analysis that could fail: implausible savings, tails too heavy for the interval, unequal loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.costs.stake import Stake, limits
from clinops.analyse.dataset import Floats
from clinops.results.result import Check, Column

if TYPE_CHECKING:
    import datetime as dt

CARRIERS = 10.0
"""Persons (or clusters) that must carry a standard error. It is then known to within about a sixth, 1 / (2 root 10),
as with 20 degrees of freedom. Set by simulation, docs/methods/cost_coverage.md: Cochran's rule for a single mean (25
times the squared skewness) warns of nearly every cost, since between arms of a size the tails cancel."""
LOSS_GAP = 0.05
RUN_OUT = 0.01


def plausibility(at: Stake) -> Check:
    """Whether the saving is no more than the money the programme could have touched."""
    import pandas as pd

    from clinops.stats.decision import plausible_saving

    low, high = limits(at.gross, at.gross_error)
    touchable = at.touchable if at.touchable > 0 else 0.0  # reversals can leave less than nothing
    found = plausible_saving(at.gross, touchable, conf_low=low, conf_high=high)
    known = bool(np.isfinite([at.gross, at.touchable]).all())
    n = {"n_exposed": int(at.rows.arm(True).sum()), "n_comparator": int(at.rows.arm(False).sum())}
    frame = pd.DataFrame([{"saving": at.gross, "low": low, "high": high, "touchable": at.touchable,
                           "share": found.share} | n])  # fmt: skip
    money, counts = at.rows.currency, tuple(n)
    columns = (
        Column("saving", "Gross saving per person (95% CI)", "money", money, low="low", high="high", of=counts),
        Column("touchable", f"Comparator's spend on {', '.join(at.plan.touchable)}", "money", money, of="n_comparator"),
        Column("share", "Saving as a share of it", "fraction", of=counts),
    )
    # Written so that disclosure control finds the number where it has to.
    size = f"{found.share:.1%} of" if abs(found.share) < 1 else f"{found.share:.2f} times"
    said = f"The saving is {size} what the comparator spent on care that the programme can touch."
    if not known:
        said = "Not judged: no saving was estimated."
    elif not np.isfinite(found.share):
        said = "The comparator spent nothing on care that the programme can touch."
    return Check(
        "cost_check_plausible", "Is the saving less than the money there was to save?", frame, columns,
        tuple(filter(None, (found.note,))), said, observed=found.share, threshold=1.0,
        passed=found.passed if known else None,
        why="A programme cannot save money that was never spent on what it changes; if it seems to, the arms differ in "
            "something else.",
    )  # fmt: skip


def tails(rows: CostRows) -> Check:
    """Whether enough persons carry the standard error of the difference in cost, so that it can be trusted.

    A person carries it by the square of his influence. Kish's effective number of these squares is what remains of the
    persons when a few large costs make most of the variance: sum(s)^2 / sum(s^2).
    """
    import pandas as pd

    pull = _pull(rows)
    frame = pd.DataFrame([_tail(rows, arm, pull) for arm in (True, False)])
    carriers = _carriers(rows, pull) if (frame["n"] > 0).all() else np.nan
    known = bool(np.isfinite(carriers))
    # The number is of both arms, so it is hidden where either is small.
    frame["both"], (frame["n_exposed"], frame["n_comparator"]) = carriers, frame["n"]
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("effective", "Effective size after weighting", "number0", of="n"),
        Column("skewness", "Skewness of cost", "number1", of="n"),
        Column("carriers", "Effective number who carry its standard error", "number0", of="n"),
        Column("both", "Of both arms, that of the difference", "number0", of=("n_exposed", "n_comparator")),
    )  # fmt: skip
    amount = words.number(carriers, 0 if carriers >= CARRIERS else 1)
    said = (
        f"The standard error of the difference is carried by effectively {amount} persons." if carriers >= CARRIERS else
        f"The standard error of the difference is carried by effectively {amount} persons with large costs: the "
        "interval is likely too narrow, most of all for a ratio and between arms of unequal size. A bootstrap does not "
        "cure it; compare the median and costs capped at a stated amount."
    ) if known else "Not judged: an arm is empty or its costs do not vary."  # fmt: skip
    return Check(
        "cost_check_tails", "Do enough persons carry the standard error of the cost?", frame, columns,
        ("Effective numbers are Kish's, of the squares of each person's influence on the arm's mean; of those on the "
         f"difference at least {CARRIERS:.0f} are asked for, with which the standard error is known to within about a "
         "sixth. Passing proves little in a small study: large costs that were not drawn show nowhere.",), said,
        observed=carriers, threshold=CARRIERS, passed=carriers >= CARRIERS if known else None,
        why="Where few large costs decide the standard error, a 95% interval holds the truth less often than it says.",
    )  # fmt: skip


def _pull(rows: CostRows) -> Floats:
    """(n,) influence of each person on the difference in mean cost over the horizon."""
    from clinops.analyse.costs.horizon import cumulative_values

    by_arm = cumulative_values(rows).influence[:, :, -1]
    return np.asarray(by_arm[0] - by_arm[1], dtype=float)


def _carriers(rows: CostRows, pull: Floats) -> float:
    from clinops.stats.glm import cluster_sums
    from clinops.stats.weighting import effective_sample_size

    _, code = np.unique(rows.cluster, return_inverse=True)
    squares = cluster_sums(pull[:, None], code, int(code.max(initial=-1)) + 1)[:, 0] ** 2
    largest = squares.max(initial=0.0)
    return effective_sample_size(squares / largest) if np.isfinite(largest) and largest > 0 else np.nan


def _tail(rows: CostRows, arm: bool, pull: Floats) -> dict[str, Any]:
    from clinops.stats.weighting import effective_sample_size

    inside = rows.arm(arm)
    cost, weight = rows.total[inside], rows.weights[inside]
    effective = float(effective_sample_size(weight)) if inside.any() else 0.0
    mean = np.average(cost, weights=weight) if inside.any() else np.nan
    spread = np.sqrt(np.average((cost - mean) ** 2, weights=weight)) if inside.any() else np.nan
    skewness = float(np.average(((cost - mean) / spread) ** 3, weights=weight)) if spread > 0 else np.nan
    return {"arm": rows.names[0 if arm else 1], "n": int(inside.sum()), "effective": effective, "skewness": skewness,
            "carriers": _carriers(rows, np.where(inside, pull, 0.0))}  # fmt: skip


def observation(rows: CostRows) -> Check:
    """Whether both arms were watched alike, and died alike: unequal loss moves a cost per month."""
    import pandas as pd

    arms = [(rows.names[0], rows.arm(True)), (rows.names[1], rows.arm(False))]
    frame = pd.DataFrame([
        {"arm": name, "n": int(inside.sum()), "complete": int(rows.complete[inside].sum()),
         "deaths": int(rows.died[inside].sum()), "share": _share(rows.complete, inside)}
        for name, inside in arms
    ])  # fmt: skip
    gap = float(abs(frame["share"].iloc[0] - frame["share"].iloc[1]))
    known = bool(np.isfinite(gap))
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("complete", "Cost known to the horizon", "percent", "n/all (%)", denominator="n"),
        Column("deaths", "Died", "percent", "n/all (%)", denominator="n"),
    )  # fmt: skip
    said = (
        f"Cost is known to the horizon or to death for {frame['share'].iloc[0]:.1%} and {frame['share'].iloc[1]:.1%}."
    )
    return Check(
        "cost_check_observed", "Is the cost of both arms known alike?", frame, columns,
        sentence=said if known else "Not judged: an arm is empty.", observed=gap, threshold=LOSS_GAP,
        passed=gap <= LOSS_GAP if known else None,
        why="Who leaves the records early may be dearer or cheaper than who stays; they are taken to be alike.",
    )  # fmt: skip


def _share(values: Any, inside: Any) -> float:
    return float(values[inside].mean()) if inside.any() else float("nan")


def prices(rows: CostRows, years: tuple[int, ...], stated: bool) -> Check:
    """Whether money of several calendar years was brought to the prices of one."""
    import pandas as pd

    several = len(years) > 1
    frame = pd.DataFrame([{"years": f"{min(years)} to {max(years)}" if years else "none", "stated": stated}])
    said = (
        "All money is of one calendar year." if not several else
        "Money of several years stands in the prices of one." if stated else
        f"Money of {min(years)} to {max(years)} is added up in the prices of each year: state price_year."
    )  # fmt: skip
    return Check(
        "cost_check_prices", "Is all money in the prices of one year?", frame,
        (Column("years", "Years of service"), Column("stated", "Price year stated", "verdict")), sentence=said,
        observed=len(years), threshold="one price year", passed=stated or not several,
        why="Where the arms' calendar time differs, inflation looks like an effect.",
    )  # fmt: skip


def run_out(rows: CostRows, complete_to: dt.date | None) -> Check:
    """Whether follow-up ends before the days whose claims are still coming in."""
    import pandas as pd

    last = np.datetime64(complete_to, "D") if complete_to is not None else np.datetime64("NaT", "D")
    beyond = (rows.index_date.astype("datetime64[D]") + rows.last_day.astype(int) - last).astype(float)
    late = np.clip(np.nan_to_num(beyond), 0, rows.last_day)
    lines = []
    for arm in (True, False):
        inside = rows.arm(arm)
        days = float(rows.last_day[inside].sum())
        lines.append({"arm": rows.names[0 if arm else 1], "n": int(inside.sum()), "late": int((late[inside] > 0).sum()),
                      "share": float(late[inside].sum()) / days if days > 0 else np.nan})  # fmt: skip
    frame = pd.DataFrame(lines)
    worst = float(frame["share"].max(skipna=False))
    known = complete_to is not None and bool(np.isfinite(worst))
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("late", "Followed into the run-out", "percent", "n/all (%)", denominator="n"),
        Column("share", "Share of their days in it", "fraction", of="late"),
    )  # fmt: skip
    said = f"Claims are taken as complete to {complete_to}; at most {worst:.1%} of an arm's days lie later."
    return Check(
        "cost_check_run_out", "Were the claims of all follow-up in?", frame, columns,
        sentence=said if known else "Not judged: no claim is dated, or nobody was followed.", observed=worst,
        threshold=RUN_OUT, passed=worst <= RUN_OUT if known else None,
        why="Claims come in for months after the care: the last days look cheap, and cheaper in the arm that has more "
            "of them.",
    )  # fmt: skip
