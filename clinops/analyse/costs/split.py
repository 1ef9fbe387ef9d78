"""Price and use apart: the same care at standard prices, where what is left of a difference is one in use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.horizon import METHOD, category_values
from clinops.analyse.costs.models import effect_row
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.effects import LEVEL, Row
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    from clinops.stats.weighted_effects import Effect


def split_rows(rows: CostRows, standard: CostRows) -> list[Row]:
    """The difference at standard prices (use), and what is left of it (price and mix within a service)."""
    rows, standard = _alike(rows, standard)
    made = []
    for name, effects in _effects(rows, standard).items():
        made += [
            effect_row(rows, effect, scale="mean difference", unit=f"{rows.currency} per person",
                       analysis="price and use", measure=f"{category.capitalize()} cost", category=category,
                       method=METHOD, level=name)
            for category, effect in zip((*rows.categories, "total"), effects, strict=True)
        ]  # fmt: skip
    return made


def _alike(rows: CostRows, standard: CostRows) -> tuple[CostRows, CostRows]:
    """Both with the same categories: a claim without an amount has a standard price, maybe the only one of its kind."""
    names = tuple(dict.fromkeys((*rows.categories, *standard.categories)))
    made = []
    for one in (rows, standard):
        cost = np.zeros((*one.cost.shape[:2], len(names)))
        cost[:, :, [names.index(name) for name in one.categories]] = one.cost
        made.append(replace(one, cost=cost, categories=names))
    return made[0], made[1]


def _effects(rows: CostRows, standard: CostRows) -> dict[str, tuple[Effect, ...]]:
    from clinops.stats.weighted_effects import contrast

    rest = replace(standard, cost=rows.cost - standard.cost)
    return {
        name: contrast(category_values(one), "difference", cluster=rows.cluster, conf_level=LEVEL)
        for name, one in (("use", standard), ("price", rest))
    }


def split_table(rows: CostRows, standard: CostRows) -> Result:
    """By category: the whole difference, the part that is use, and the part that is price."""
    import pandas as pd

    from clinops.stats.weighted_effects import contrast

    rows, standard = _alike(rows, standard)
    found = {"whole": contrast(category_values(rows), "difference", cluster=rows.cluster, conf_level=LEVEL)}
    found |= _effects(rows, standard)
    frame = pd.DataFrame({"category": [name.capitalize() for name in (*rows.categories, "total")]})
    counts = ("n_exposed", "n_comparator")
    frame["n_exposed"], frame["n_comparator"] = (int(rows.arm(arm).sum()) for arm in (True, False))
    labels = {"whole": "Difference per person (95% CI)", "use": "Of it use (95% CI)", "price": "Of it price (95% CI)"}
    columns = [Column("category", "Category")]
    for name, label in labels.items():
        for end, attribute in (("", "estimate"), ("_low", "conf_low"), ("_high", "conf_high")):
            frame[f"{name}{end}"] = [getattr(effect, attribute) for effect in found[name]]
        columns.append(Column(name, label, "money", rows.currency, low=f"{name}_low", high=f"{name}_high", of=counts))
    last = frame.iloc[-1]
    share = last["use"] / last["whole"] if last["whole"] else np.nan
    said = (
        f"At standard prices the difference is {words.number(float(last['use']), 0)} {rows.currency} per person"
        + (f", {share:.0%} of the whole." if 0 <= share <= 1 else ".")
    )  # fmt: skip
    return Result(
        "price_and_use", "Price and use apart", frame, tuple(columns),
        ("Use: every claim at one standard price for its service (the ledger's own mean, or the prices given), in both "
         "arms and all years. Price: the rest, prices paid and the mix within a service. Where claims name no "
         "service, the service is the category, and dearer care within it counts as price.",), said,
    )  # fmt: skip
