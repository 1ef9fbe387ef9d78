"""How much the answer rests on: what the costs say of the models, and how much the dearest persons carry."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.models import designs, effect_row
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.costs.stake import limits
from clinops.analyse.costs.value import nothing
from clinops.analyse.effects import LEVEL, Row
from clinops.results.result import Column, Result

TRUNCATED = (0.995, 0.99, 0.95)


def model_tests(rows: CostRows) -> Result:
    """What the costs say of the models: how the variance grows with the mean, and whether the log link holds."""
    import pandas as pd

    from clinops.stats.cost_tests import modified_park, pregibon_link

    design = np.where(rows.exposed[:, None], *designs(rows))
    counted = rows.weights > 0
    some = counted & (rows.total > 0)
    lines: list[dict[str, Any]] = []
    if not (rows.total[counted] < 0).any() and int(some.sum()) > design.shape[1] + 2:
        given = {"weights": rows.weights[some]}
        park = modified_park(design[some], rows.total[some], family="gamma", se="HC1", **given)
        lines.append(_test_line(
            "Modified Park", "variance about mean to the power of", park.slope, park.std_error, np.nan,
            f"nearest family: {park.suggested or 'none'} (0 gaussian, 1 Poisson, 2 gamma, 3 inverse gaussian)",
        ))  # fmt: skip
        for name, family, inside in (
            ("gamma, persons with a cost", "gamma", some),
            ("Poisson quasi-likelihood, everybody", "quasipoisson", counted),
        ):
            link = pregibon_link(
                design[inside], rows.total[inside], family=family, weights=rows.weights[inside],
                cluster=rows.cluster[inside],
            )  # fmt: skip
            said = "the log link is in doubt" if link.p_value < 0.05 else "nothing against the log link"
            lines.append(_test_line(f"Pregibon link: {name}", "coefficient of the squared predictor", link.coef,
                                    link.std_error, link.p_value, said))  # fmt: skip
    if not lines:
        return nothing("cost_model_tests", "What the costs say of the models", "negative costs, or too few above zero")
    frame = pd.DataFrame(lines)
    counts = ("n_exposed", "n_comparator")
    frame["n_exposed"], frame["n_comparator"] = (int((some & rows.arm(arm)).sum()) for arm in (True, False))
    columns = (
        Column("test", "Test"), Column("what", "Quantity"),
        Column("value", "Estimate (95% CI)", "number2", low="low", high="high", of=counts),
        Column("p_value", "P", "p", of=counts, missing="–"), Column("words", "In words"),
        Column("n_exposed", rows.names[0], "count", "n", "With a cost"),
        Column("n_comparator", rows.names[1], "count", "n", "With a cost"),
    )  # fmt: skip
    said = f"{frame['test'].iloc[0]}: {frame['words'].iloc[0]}."
    return Result("cost_model_tests", "What the costs say of the models", frame, columns, sentence=said)


def _test_line(test: str, what: str, value: float, error: float, p_value: float, words: str) -> dict[str, Any]:
    low, high = limits(value, error)
    return {"test": test, "what": what, "value": value, "low": low, "high": high,
            "p_value": p_value, "words": words}  # fmt: skip


def truncation_rows(rows: CostRows) -> list[Row]:
    """The difference in means with the dearest persons' costs cut to a percentile of both arms together.

    Cutting changes the question: the mean that a budget pays holds the dearest persons. It says how much of the
    answer rests on them.
    """
    from clinops.stats.weighted_effects import contrast

    counted = rows.weights > 0
    made = []
    for share in (1.0, *TRUNCATED):
        limit = float(np.quantile(rows.total[counted], share)) if counted.any() else np.nan
        cut = rows.total if share == 1.0 else np.minimum(rows.total, limit)
        effect = contrast(rows.values(cut), "difference", cluster=rows.cluster, conf_level=LEVEL)[0]
        label = "all of it" if share == 1.0 else f"cut at percentile {100 * share:g}"
        made.append(effect_row(
            rows, effect, scale="mean difference", unit=f"{rows.currency} per person", analysis="truncation",
            measure="Total cost", category="total", method="Difference in means", level=label,
        ))  # fmt: skip
    return made


def truncation_table(made: list[Row], rows: CostRows) -> Result:
    """How much of the answer rests on the dearest persons."""
    import pandas as pd

    frame = pd.DataFrame([row for row in made if row["analysis"] == "truncation"])
    counts = ("n_exposed", "n_comparator")
    shown = ["level", *counts, "value_exposed", "value_comparator", "estimate", "conf_low", "conf_high"]
    money = rows.currency
    columns = (
        Column("level", "Cost of a person"),
        Column("value_exposed", rows.names[0], "money", money, "Mean per person", of="n_exposed"),
        Column("value_comparator", rows.names[1], "money", money, "Mean per person", of="n_comparator"),
        Column("estimate", "Difference (95% CI)", "money", money, low="conf_low", high="conf_high", of=counts),
    )  # fmt: skip
    whole, most = frame["estimate"].iloc[0], frame["estimate"].iloc[-1]
    said = (
        f"With every person's cost as it is the difference is {words.number(whole, 0)} {money} per person; with the "
        f"dearest 5% cut to their threshold it is {words.number(most, 0)}."
    )
    return Result("cost_truncation", "How much rests on the dearest persons", frame.reindex(columns=shown), columns,
                  ("A percentile of both arms together. The uncut mean is the answer to what a budget pays; the others "
                   "answer another question.",), said)  # fmt: skip
