"""What is at stake: the saving by category, the fee and the effect of the same persons, with how they vary together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clinops.analyse.costs.horizon import category_values, discounted
from clinops.analyse.costs.models import within_arms
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL
from clinops.define.cost_plan import CostPlan


@dataclass(frozen=True)
class Stake:
    """Estimates per exposed person over the horizon, n rows, C categories.

    Attributes
    ----------
    rows, plan : where they come from.
    saving : (C,) comparator less exposed, by category; positive is less spent.
    touchable : mean spend of the comparator in the categories that the programme can touch.
    fee : per exposed person; None where it is not known. effect : gain in the effect; None where none was asked.
    influence : (n, C + 2) of each row on the savings, the fee and the effect (0 where there is none).
    """

    rows: CostRows
    plan: CostPlan
    saving: Floats
    touchable: float
    fee: float | None
    effect: float | None
    influence: Floats

    @cached_property
    def covariance(self) -> Floats:
        """(C + 2, C + 2) of savings, fee and effect, clusters respected (CR1)."""
        from clinops.stats.glm import clustered_meat

        meat, _ = clustered_meat(self.influence, self.rows.cluster)
        # As `contrast` has it: rows without weight may influence through the score, but are not counted.
        counted = self.rows.weights > 0
        n, groups = int(counted.sum()), len(np.unique(self.rows.cluster[counted]))
        if groups < 2 or n < 3:
            return np.full_like(meat, np.nan)
        return np.asarray(groups / (groups - 1) * (n - 1) / (n - 2) * meat)

    @property
    def gross(self) -> float:
        """The saving on care, all categories."""
        return float(self.saving.sum())

    @property
    def known_fee(self) -> float:
        """The fee, 0 where it is not known."""
        return 0.0 if self.fee is None else self.fee

    def error(self, weights: Floats) -> float:
        """Standard error of a combination of savings, fee and effect; (C + 2,) weights."""
        return float(np.sqrt(max(float(weights @ self.covariance @ weights), 0.0)))

    @property
    def gross_error(self) -> float:
        """Standard error of the gross saving."""
        return self.error(self.pick(saving=1.0))

    @property
    def fee_error(self) -> float:
        """Standard error of the mean fee."""
        return self.error(self.pick(fee=1.0))

    @property
    def gross_fee_covariance(self) -> float:
        """Covariance of the gross saving with the mean fee."""
        return float(self.pick(saving=1.0) @ self.covariance @ self.pick(fee=1.0))

    def net(self) -> tuple[float, float]:
        """The saving after the fee with its standard error; before it where the fee is not known."""
        paid = -1.0 if self.fee is not None else 0.0
        return self.gross - self.known_fee, self.error(self.pick(saving=1.0, fee=paid))

    def owned(self, perspective: str) -> Floats:
        """(C + 2,) what a unit of each saving, and of the fee, is worth to an owner; without a margin, the payer's."""
        plan = self.plan
        lost = plan.inside * (plan.margin or 0.0) * (1 - plan.refilled)
        kept = {"payer": 1.0, "at-risk system": 1.0 - lost, "provider margin": -lost}[perspective]
        return self.pick(saving=kept, fee=0.0 if perspective == "provider margin" or self.fee is None else -1.0)

    def worth(self) -> tuple[float, float]:
        """What is left to the one whose perspective is taken, with its standard error; the payer's net is his."""
        weights = self.owned(self.plan.perspective)
        return float(weights[:-1] @ np.array([*self.saving, self.known_fee])), self.error(weights)

    def pick(self, saving: float = 0.0, fee: float = 0.0, effect: float = 0.0) -> Floats:
        """(C + 2,) weights: the same for every category, for the fee, for the effect."""
        return np.array([*[saving] * len(self.saving), fee, effect])

    @cached_property
    def draws(self) -> Floats:
        """(b, C + 2) joint bootstrap replicates of savings, fee and effect, drawn within the arms."""
        from clinops.stats.one_step import one_step_draws

        point = np.array([*self.saving, self.known_fee, self.effect or 0.0])
        whole = within_arms(self.rows)
        return one_step_draws(
            point, self.influence, cluster=self.rows.cluster, strata=self.rows.exposed if whole else None,
            replicates=self.plan.replicates, seed=self.plan.seed,
        )  # fmt: skip


def stake(rows: CostRows, plan: CostPlan) -> Stake:
    """Estimate what is at stake; money after the first year is discounted."""
    money = discounted(rows, plan.discount_rate)
    arms = category_values(money)
    influence = [arms.influence[1, :, :-1] - arms.influence[0, :, :-1]]
    spend = arms.value[1, :-1]
    touched = float(sum(amount for name, amount in zip(rows.categories, spend, strict=True) if name in plan.touchable))
    fee, effect, none = None, None, np.zeros((len(rows), 1))
    if rows.fee is None:
        influence.append(none)
    else:
        paid = rows.values(rows.fee)
        fee = float(paid.value[0, 0])
        influence.append(paid.influence[0])
    if rows.effect is None:
        influence.append(none)
    else:
        gained = rows.values(rows.effect)
        effect = float(gained.value[0, 0] - gained.value[1, 0])
        influence.append(gained.influence[0] - gained.influence[1])
    return Stake(rows, plan, spend - arms.value[0, :-1], touched, fee, effect, np.concatenate(influence, axis=1))


def limits(estimate: float, error: float) -> tuple[float, float]:
    """The normal 95% interval, as every contrast of means has it."""
    from clinops.stats.normal import z_value

    reach = z_value(LEVEL) * error
    return estimate - reach, estimate + reach
