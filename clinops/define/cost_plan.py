"""The terms of a cost analysis: over what horizon, in whose money, at which prices, for which decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, choice, whole
from clinops.define.fields import several
from clinops.define.prices import Given, Prices, PriceSeries, prices
from clinops.define.protocol import FEE_UNITS, PERSPECTIVES
from clinops.errors import DefinitionError

LONGEST = 120


@dataclass(frozen=True)
class CategoryShare(Definition):
    """A share between 0 and 1 of one category of cost."""

    kind: ClassVar[str] = "category share"
    made: ClassVar[str] = "'inpatient=0.3', or {'inpatient': 0.3}"
    category: str
    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _category(self.category)
        if not 0 <= self.share <= 1:
            raise DefinitionError(f"The share of {self.category} is {self.share:g}; give a number from 0 to 1.")


@dataclass(frozen=True)
class CostPlan(Definition):
    """What has to be said before a sum of money means anything; `cost_plan` makes one.

    Attributes
    ----------
    horizon_months : months from the index date over which cost is added up, the same for everybody.
    prices : the price year and the index behind it; None for prices as recorded.
    discount_rate : a year, for what comes later than twelve months; a budget impact is never discounted.
    perspective : whose money it is: "payer", "at-risk system" or "provider margin".
    fee, fee_per : the programme's fee in prices of the base year; None takes the protocol's.
    touchable : categories of care that the programme can change; a saving cannot exceed what is spent there.
    cashable : share of a change in each category that leaves the budget as cash; the rest is released capacity.
        A category that is not named is cash in full for a payer. For others it is none; where none is named,
        nothing is said of cash.
    margin : share of the allowed amount that is left to a provider after the costs that vary with it.
    inside : share of the care that the deciding provider gives itself, and is paid for.
    refilled : share of the capacity set free that other paid care fills.
    effect : name of the outcome that money is set against; "" for none.
    thresholds : amounts of money that one unit of the effect may be worth.
    persons_a_year, uptake : persons offered in each year of the budget, and the share of them who take part.
    replicates, seed : of the bootstrap.
    """

    kind: ClassVar[str] = "cost plan"
    made: ClassVar[str] = "co.cost_plan(...)"
    horizon_months: int = 12
    prices: Prices | None = None
    discount_rate: float = 0.03
    perspective: str = "payer"
    fee: float | None = None
    fee_per: str = "person"
    touchable: tuple[str, ...] = ("inpatient", "emergency")
    cashable: tuple[CategoryShare, ...] = ()
    margin: float | None = None
    inside: float = 1.0
    refilled: float = 0.0
    effect: str = ""
    thresholds: tuple[float, ...] = ()
    persons_a_year: tuple[int, ...] = (1000, 1000, 1000)
    replicates: int = 1000
    seed: int = 20260101

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("the horizon in months", self.horizon_months, 1, LONGEST)
        whole("the number of bootstrap replicates", self.replicates, 100, 100_000)
        whole("the seed", self.seed, 0)
        choice("perspective", self.perspective, PERSPECTIVES)
        choice("fee unit", self.fee_per, FEE_UNITS)
        for name in self.touchable:
            _category(name)
        if not 0 <= self.discount_rate < 1:
            raise DefinitionError(f"The discount rate is {self.discount_rate:g} a year; give 0 to 1, such as 0.03.")
        if self.fee is not None and self.fee < 0:
            raise DefinitionError(f"The fee is {self.fee:g}; give an amount of 0 or more.")
        self._check_margin()
        self._check_lists()

    def _check_margin(self) -> None:
        if self.margin is None and self.perspective == "provider margin":
            raise DefinitionError(
                "A provider's margin needs margin=, the share of the allowed amount that is left after the costs that "
                "vary with care, such as 0.3."
            )
        for name in ("margin", "inside", "refilled"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise DefinitionError(f"{name} is {share:g}; give a share, from 0 to 1.")

    def _check_lists(self) -> None:
        if any(not one >= 0 for one in self.thresholds) or list(self.thresholds) != sorted(set(self.thresholds)):
            raise DefinitionError(f"The thresholds are {self.thresholds}; give amounts of 0 or more in rising order.")
        if not self.persons_a_year or any(n < 0 for n in self.persons_a_year):
            raise DefinitionError("persons_a_year needs one number of persons, 0 or more, for each year of the budget.")
        named = [one.category for one in self.cashable]
        if twice := {name for name in named if named.count(name) > 1}:
            raise DefinitionError(f"cashable names {', '.join(sorted(twice))} more than once; give one share each.")

    def check_categories(self, known: Sequence[str]) -> None:
        """Hold the categories that are named to those of a ledger.

        Raises
        ------
        DefinitionError : one that the ledger does not have.
        """
        for name in self.touchable:
            choice("cost category that the programme can touch", name, tuple(known))
        for one in self.cashable:
            choice("cost category of a cash share", one.category, tuple(known))

    def cash_share(self, category: str) -> float:
        """Return the share of a change in one category that leaves the budget as cash."""
        unnamed = 1.0 if self.perspective == "payer" else 0.0
        return next((one.share for one in self.cashable if one.category == category), unnamed)

    @property
    def cash_known(self) -> bool:
        """Whether anything can be said of cash: a payer's saving is cash unless he says otherwise."""
        return self.perspective == "payer" or bool(self.cashable)


def _category(name: str) -> None:
    """Refuse what cannot be a category; which ones there are the ledger knows."""
    if name != name.lower().strip() or not name:
        raise DefinitionError(f"The category {name!r} must be lower case and not blank, such as 'inpatient'.")
    if name == "total":
        raise DefinitionError("'total' is what the categories add up to; name single categories, such as 'inpatient'.")


def cost_plan(
    *,
    horizon_months: int = 12,
    price_year: int | None = None,
    price_purpose: str = "pooling",
    price_index: Given | PriceSeries | None = None,
    discount_rate: float = 0.03,
    perspective: str = "payer",
    fee: float | None = None,
    fee_per: str = "person",
    touchable: Sequence[str] = ("inpatient", "emergency"),
    cashable: Mapping[str, float] | Sequence[str] = (),
    margin: float | None = None,
    inside: float = 1.0,
    refilled: float = 0.0,
    effect: str = "",
    thresholds: Sequence[float] = (),
    persons_a_year: Sequence[int] = (1000, 1000, 1000),
    replicates: int = 1000,
    seed: int = 20260101,
) -> CostPlan:
    """State the terms of a cost analysis; each is printed with every result.

    Parameters
    ----------
    price_year, price_purpose, price_index : as `prices` takes them; without a year prices stay as recorded.
    cashable : {"inpatient": 0.3}, or texts "inpatient=0.3".
    others : as the attributes of `CostPlan`.

    Raises
    ------
    DefinitionError : an impossible value; the message says what to give.
    """
    return CostPlan(
        horizon_months=horizon_months,
        prices=None if price_year is None else prices(price_year, price_purpose, index=price_index),
        discount_rate=discount_rate,
        perspective=perspective, fee=fee, fee_per=fee_per, touchable=several(touchable, "touchable"),
        cashable=_shares(cashable), margin=margin, inside=inside, refilled=refilled, effect=effect,
        thresholds=several(thresholds, "thresholds"),
        persons_a_year=several(persons_a_year, "persons_a_year"), replicates=replicates, seed=seed,
    )  # fmt: skip


def _shares(given: Mapping[str, float] | Sequence[str]) -> tuple[CategoryShare, ...]:
    if isinstance(given, Mapping):
        return tuple(CategoryShare(name, share) for name, share in given.items())
    return tuple(_share(text) for text in several(given, "cashable"))


def _share(text: str) -> CategoryShare:
    name, sign, share = str(text).partition("=")
    try:
        number = float(share)
    except ValueError:
        number = float("nan")
    if not sign or number != number:
        raise DefinitionError(f"cashable is {text!r}; write a category and its share, such as 'inpatient=0.3'.")
    return CategoryShare(name.strip(), number)
