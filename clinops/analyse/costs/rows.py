"""The crossing to a cost analysis: who cost how much in which month and category, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.adjust import CODES
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.months import months_covered
from clinops.build.ledger.observed import observed
from clinops.define.cost_plan import CostPlan
from clinops.define.prices import CATEGORIES
from clinops.errors import DataError, DefinitionError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.propensity import PropensityFit
    from clinops.stats.weighted_effects import ArmValues
    from clinops.stats.weighting import BalancingWeights

MONTHS_BEFORE = 12


@dataclass(frozen=True)
class CostRows:
    """What each person of two arms cost; n persons, K months from index, C categories.

    Attributes
    ----------
    exposed : (n,).
    cost : (n, K, C) in prices of the plan's year, not discounted; nothing after the end of follow-up.
    before : (n, B) total cost in the months before index, the last of them next to it.
    categories : names of the C categories; they add up to the total.
    covered, covered_before : (n, K), (n, B) share of each month that was observed.
    died : (n,) within the horizon and in observation.
    last_day : (n,) of follow-up within the horizon, from the index date.
    complete : (n,) whose cost over the horizon is known: observed to its end, or to death.
    weights, balancing, propensity : what makes the arms comparable, as in `Adjusted`.
    cluster, cluster_name : independent units, and what they are.
    design : (n, p) columns of covariates, without a constant; p may be 0.
    index_date : (n,) dates. fee : (n,) programme fee, 0 where none is due; None where it is not known.
    fee_each, fee_unit : what one fee is, None where it differs, and what it is for ("activated person").
    fee_units : (n,) how many such fees fall due; None where that is not known.
    years : calendar years of service of their claims.
    effect : (n,) the outcome that money is set against; None for none. effect_over : its days, where they are not
        those of the horizon.
    names : of the exposed and of the comparator. estimand, adjustment : in words; target : the estimand by its code.
    currency : code. basis : perspective, amount, currency and price year in words, for every exhibit.
    notes : what a reader must know of the rows.
    """

    exposed: NDArray[np.bool_]
    cost: Floats
    before: Floats
    categories: tuple[str, ...]
    covered: Floats
    covered_before: Floats
    died: NDArray[np.bool_]
    last_day: Floats
    complete: NDArray[np.bool_]
    weights: Floats
    cluster: NDArray[Any]
    cluster_name: str
    design: Floats
    index_date: NDArray[np.datetime64]
    names: tuple[str, str]
    currency: str
    basis: str
    estimand: str
    adjustment: str
    target: str = "ate"
    balancing: BalancingWeights | None = None
    propensity: PropensityFit | None = None
    years: tuple[int, ...] = ()
    fee: Floats | None = None
    fee_each: float | None = None
    fee_unit: str = "exposed person"
    fee_units: Floats | None = None
    effect: Floats | None = None
    effect_over: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.exposed)

    @property
    def horizon(self) -> int:
        """Months from index."""
        return int(self.cost.shape[1])

    @cached_property
    def total(self) -> Floats:
        """(n,) cost over the horizon, as far as it was observed."""
        return self.cost.sum(axis=(1, 2))

    @cached_property
    def by_category(self) -> Floats:
        """(n, C) cost over the horizon."""
        return self.cost.sum(axis=1)

    @cached_property
    def by_month(self) -> Floats:
        """(n, K) cost of all categories."""
        return self.cost.sum(axis=2)

    @cached_property
    def months(self) -> Floats:
        """(n,) months under observation, up to the horizon."""
        return self.covered.sum(axis=1)

    @cached_property
    def time(self) -> Floats:
        """(n,) months to death, to the end of observation, or to the horizon, whichever came first.

        Who died on the index date cost nothing in the months after it, and is complete.
        """
        seen = np.minimum(self.months, self.horizon)
        return np.where(self.died, np.maximum(seen, 1e-6), np.where(self.complete, float(self.horizon), seen))

    @property
    def known_weights(self) -> bool:
        """Whether the variance takes the weights as given."""
        return self.balancing is None

    def arm(self, exposed: bool) -> NDArray[np.bool_]:
        """(n,) the rows of one arm that carry weight."""
        return (self.exposed == exposed) & (self.weights > 0)

    def values(self, outcomes: Floats, denominator: Floats | None = None) -> ArmValues:
        """Weighted means (or rates) of q outcomes in both arms, the weights' own uncertainty carried along."""
        from clinops.stats.weighted_effects import weighted_values

        columns = outcomes if outcomes.ndim == 2 else outcomes[:, None]
        given = self.weights if self.balancing is None else self.balancing
        return weighted_values(columns, self.exposed, given, propensity=self.propensity, denominator=denominator)

    def scaled(self, factors: Floats) -> CostRows:
        """The same rows with the cost of every month multiplied by (K,) factors."""
        return replace(self, cost=self.cost * factors[None, :, None])


def assemble(
    ledger: Any, people: pd.DataFrame, plan: CostPlan, *, exposed: NDArray[np.bool_], **given: Any
) -> CostRows:  # fmt: skip
    """Read from a ledger what every person cost.

    Parameters
    ----------
    ledger : knows claims and enrolment.
    people : row, person_id, index_date, first_day (0 or earlier), last_day, death_day (NaN for none) and reach, the
        day on which the horizon ends; all in days from index.
    plan : the horizon and the prices.
    exposed : (n,).
    given : the other fields of `CostRows`.
    """
    months = plan.horizon_months
    frame = ledger.costs_by_month(people, months, before=MONTHS_BEFORE)
    index = people["index_date"].to_numpy(dtype="datetime64[D]")
    first, last = (people[name].to_numpy(dtype=float) for name in ("first_day", "last_day"))
    at, covered = months_covered(index, first, last, MONTHS_BEFORE, months)
    categories = tuple(dict.fromkeys((*_ordered(frame["category"].unique()),)))
    if not categories:
        raise DataError("No claim of these persons lies within their observed months; there is no cost to analyse.")
    cost, before = _spread(frame, len(people), months, categories, _factors(plan))
    death, reach = (people[name].to_numpy(dtype=float) for name in ("death_day", "reach"))
    died = np.isfinite(death) & (death <= last)
    return CostRows(
        exposed=exposed, cost=cost, before=before, categories=categories, covered=covered[:, at > 0],
        covered_before=covered[:, at < 0], died=died,
        last_day=last, complete=died | (last >= reach), index_date=index,
        years=tuple(sorted({int(year) for year in frame["year"].unique()})), **given,
    )  # fmt: skip


def _ordered(found: Any) -> list[str]:
    """Categories in the order in which tables print them; those that a user named himself at the end."""
    from clinops.define.measures import COST_CATEGORIES

    known = [name for name in COST_CATEGORIES if name in set(found)]
    return [*known, *sorted(str(name) for name in set(found) - set(known))]


def _factors(plan: CostPlan) -> Callable[[int, str], float]:
    prices = plan.prices
    if prices is None:
        return lambda year, category: 1.0
    # A category that a user named, or "other", has no index of its own: it takes that of the total.
    return lambda year, category: prices.factor(year, category if category in CATEGORIES else "total")


def _spread(
    frame: pd.DataFrame, n: int, months: int, categories: tuple[str, ...], factor: Callable[[int, str], float]
) -> tuple[Floats, Floats]:
    """Put a long frame of row, month, year, category, cost in its places, in prices of the base year."""
    place = {name: j for j, name in enumerate(categories)}
    years, kinds = frame["year"].to_numpy(), frame["category"].to_numpy()
    pairs = {(int(y), str(c)): factor(int(y), str(c)) for y, c in set(zip(years, kinds, strict=True))}
    amount = frame["cost"].to_numpy(dtype=float)
    amount = amount * np.array([pairs[int(y), str(c)] for y, c in zip(years, kinds, strict=True)], dtype=float)
    row, month = frame["row"].to_numpy(dtype=np.int64), frame["month"].to_numpy(dtype=np.int64)
    column = np.array([place[str(c)] for c in kinds], dtype=np.int64)
    cost, before = np.zeros((n, months, len(categories))), np.zeros((n, MONTHS_BEFORE))
    later = month > 0
    np.add.at(cost, (row[later], month[later] - 1, column[later]), amount[later])
    np.add.at(before, (row[~later], month[~later] + MONTHS_BEFORE), amount[~later])
    return cost, before


def study_rows(study: Any, ledger: Any, plan: CostPlan) -> CostRows:
    """The rows of a study: its persons, weights, follow-up and fee, with the ledger's money."""
    from clinops.analyse.design import model_design
    from clinops.analyse.money import fee_units
    from clinops.analyse.months import anniversary_days

    _check(study.protocol, plan)
    data: Dataset = study.data
    adjusted = study.adjusted
    index = data.baseline["index_date"].to_numpy(dtype="datetime64[D]")
    reach = anniversary_days(index, plan.horizon_months)
    end = study.protocol.follow_up.window.end
    if end is not None:
        # A year of 365 days and twelve months that hold a 29 February are the same horizon.
        reach = np.minimum(reach, end)
    outcomes = data.outcomes
    assert outcomes is not None
    death = outcomes["death_day"].to_numpy(dtype=float)
    people = data.baseline[["person_id", "index_date"]].assign(
        row=np.arange(len(data)), first_day=outcomes["observed_from_day"].to_numpy(), reach=reach, death_day=death,
        last_day=np.fmin(np.minimum(data.end_day, reach), np.maximum(death, 0)).astype(int),
    )  # fmt: skip
    people = _enrolled(ledger, people)
    fee, fee_per = _fee(study.protocol, plan)
    since = study.activation
    # Nobody's activation is more likely a gap in the records than a programme that cost nothing.
    known = since is None or bool(np.isfinite(since).any())
    units = fee_units(data, fee_per, since) if fee is not None and known else None
    return assemble(
        ledger, people, plan, exposed=data.exposed, weights=adjusted.weights, cluster=adjusted.cluster,
        cluster_name=adjusted.cluster_name, design=model_design(data, study.protocol.covariates).matrix,
        names=(study.protocol.exposed.name, study.protocol.comparator.name), currency=ledger.currency,
        basis=basis(plan, ledger.amount, ledger.currency),
        estimand=adjusted.estimand, adjustment=adjusted.label, target=_target(adjusted),
        balancing=None if adjusted.known_weights else adjusted.balancing,
        propensity=None if adjusted.known_weights else adjusted.propensity,
        fee=None if units is None or fee is None else fee * units, fee_each=fee, fee_units=units,
        fee_unit=_fee_unit(fee_per, since is not None),
        effect=_effect(study, plan), effect_over=_effect_over(study.protocol, plan),
    )  # fmt: skip


def _enrolled(ledger: Any, people: pd.DataFrame) -> pd.DataFrame:
    """Hold follow-up to the ledger's enrolment: a month in which no claim would count must not count either.

    Raises
    ------
    DataError : persons who are not enrolled on their index date.
    """
    first, until = observed(ledger.books, people)
    if lost := int(np.isnan(until).sum()):
        raise DataError(
            f"{lost:,} of {len(people):,} persons are not enrolled on their index date by the ledger, so what they "
            "cost is not known. Where periods of observation stand for enrolment, say "
            "ledger_rules(enrolment='observation periods'); where the run-out is cut, end the index dates before it."
        )
    return people.assign(
        first_day=np.maximum(people["first_day"], first).astype(int),
        last_day=np.minimum(people["last_day"], until).astype(int),
    )


def _check(protocol: Any, plan: CostPlan) -> None:
    """Refuse before anything is read an adjustment without weights, an unknown effect, a horizon beyond follow-up.

    What a person cost after the last day that anybody watched would count as nothing.
    """
    protocol.adjust.refuse_models("A cost analysis")
    named = [m.name for m in protocol.outcomes]
    if plan.effect and plan.effect not in named:
        raise DefinitionError(unknown("outcome to set money against", plan.effect, named))
    end, months = protocol.follow_up.window.end, plan.horizon_months
    if end is None or end * 12 // 365 >= months:
        return
    fits = f"ask for {end * 12 // 365} months, or " if end * 12 // 365 else ""
    raise DefinitionError(
        f"The protocol follows persons to day {end}, the cost plan looks {months} months ahead: {fits}follow up to day "
        f"{-(-months * 365 // 12)} or later."
    )


def _target(adjusted: Any) -> str:
    """The estimand by the code that estimators know it by."""
    method = adjusted.adjustment.method
    named = "ate" if method == "none" else str(adjusted.adjustment.estimand)
    if method == "match" and named == "att":
        return "matched treated"
    return CODES.get(named, named)


def basis(plan: CostPlan, amount: str, currency: str) -> str:
    """Whose money of which year: what every exhibit of money says."""
    year = "prices as recorded" if plan.prices is None else f"prices of {plan.prices.year}"
    return f"{plan.perspective.capitalize()} perspective, {amount} amounts, {currency}, {year}"


def _fee(protocol: Any, plan: CostPlan) -> tuple[float | None, str]:
    programme = protocol.programme
    if plan.fee is not None:
        return plan.fee, plan.fee_per
    return (None, plan.fee_per) if programme is None else (programme.fee, programme.fee_per)


def _fee_unit(fee_per: str, activation: bool) -> str:
    if fee_per == "person-month":
        return "started month"
    return "activated person" if activation else "exposed person"


def _effect_over(protocol: Any, plan: CostPlan) -> str:
    """Over which days the effect is counted, where that is not the horizon of the cost."""
    window = next((m.window for m in protocol.outcomes if m.name == plan.effect), None)
    if window is None or (window.end is not None and window.end * 12 // 365 == plan.horizon_months):
        return ""
    return str(window)


def _effect(study: Any, plan: CostPlan) -> Floats | None:
    if not plan.effect:
        return None
    measure = next(m for m in study.protocol.outcomes if m.name == plan.effect)
    if not study.data.has(measure):
        raise DataError(
            f"The outcome to set money against, {plan.effect!r}, could not be measured in these records. Name another "
            "(effect=), or none."
        )
    value: Floats = study.data.column(measure)
    if missing := int((~np.isfinite(value)).sum()):
        raise DataError(
            f"The outcome to set money against, {plan.effect!r}, is missing for {missing:,} of {len(value):,} persons. "
            "Name one that everybody has (effect=), or none."
        )
    return value if measure.better == "higher" else -value
