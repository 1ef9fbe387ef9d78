"""Measures: one type for covariates, outcomes, negative controls and costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, choice, slug
from clinops.define.comparators import PERIODS
from clinops.define.events import Events
from clinops.define.windows import Window
from clinops.errors import DefinitionError

EVENT_KINDS = ("any", "count", "time to")
PERSON_KINDS = ("age", "sex", "race", "ethnicity", "index date", "index period")
SCORE_KINDS = ("charlson", "elixhauser")
OTHER_KINDS = ("value", "cost", "days at home")
RISKS = ("any", "time to")
"""Kinds whose value is a risk between 0 and 1."""

KINDS = (*EVENT_KINDS, *PERSON_KINDS, *SCORE_KINDS, *OTHER_KINDS)
CATEGORICAL = ("sex", "race", "ethnicity", "index period")
ROLES = ("covariate", "primary", "secondary", "safety", "balancing", "negative control")
COST_CATEGORIES = ("total", "inpatient", "emergency", "outpatient", "professional", "pharmacy", "post-acute")
AMOUNTS = ("allowed", "paid")


@dataclass(frozen=True)
class Measure(Definition):
    """What is measured on each person: kind, events, window, and the part it plays.

    Attributes
    ----------
    name : as tables print it; `id` is the column made of it.
    measure : one of `KINDS`. "any" is 0 or 1, "count" a number of events (a rate where it is an
        outcome), "time to" the first event or the end of follow-up, "value" the last measurement
        in the window, "cost" money in the window, "days at home" days alive, observed and not in hospital.
    events : what is counted; for a cost None.
    window : days from index; None on an outcome means the whole follow-up.
    role : one primary; secondary, safety, balancing, negative control; covariate.
    category : of cost; of an index period "month", "quarter" or "year".
    amount : of cost: "allowed" (default) or "paid". Charges are not spending and are not offered.
    unit : as axis and table print it.
    better : "lower" or "higher", for the verdict; None where neither is.
    worthwhile : the smallest absolute difference that would be worth having, in the measure's unit
        (per person over the window; for "any" and "time to" a risk between 0 and 1).
    weights : of a comorbidity score.
    """

    kind: ClassVar[str] = "measure"
    made: ClassVar[str] = "a measure, such as co.count(...), co.time_to(...), co.cost(...) or co.sex()"
    name: str
    measure: str
    events: Events | None = None
    window: Window | None = None
    role: str | None = None
    category: str | None = None
    amount: str = "allowed"
    unit: str = ""
    better: str | None = None
    worthwhile: float | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.strip():
            raise DefinitionError("A measure needs a name: it is what tables print.")
        choice("kind of measure", self.measure, KINDS)
        if self.role is not None:
            choice("role", self.role, ROLES)
        if self.better is not None:
            choice("better direction", self.better, ("lower", "higher"))
        if self.measure in (*EVENT_KINDS, "value") and self.events is None:
            raise DefinitionError(f"The measure {self.name!r} is about events but names none; give co.events(...).")
        if self.measure == "cost":
            choice("cost category", self.category, COST_CATEGORIES)
            choice("amount", self.amount, AMOUNTS)
        if self.measure == "index period":
            choice("calendar period", self.category, PERIODS)
        if self.measure in SCORE_KINDS:
            self._check_weights()
        self._check_worthwhile()

    def _check_weights(self) -> None:
        from clinops.define.maps import WEIGHTS

        if self.weights is not None:
            choice(f"weights of the {self.measure} score", self.weights, WEIGHTS[self.measure])

    def _check_worthwhile(self) -> None:
        size = self.worthwhile
        if size is None:
            return
        if not size > 0:
            raise DefinitionError(f"worthwhile of {self.name!r} is {size:g}; give the size of a difference, above 0.")
        if self.measure in RISKS and size >= 1:
            raise DefinitionError(
                f"worthwhile of {self.name!r} is {size:g}; it is a difference in risk between 0 and 1, such as 0.02."
            )

    @property
    def id(self) -> str:
        """The column that holds this measure."""
        return slug(self.name)

    @property
    def categorical(self) -> bool:
        """Whether the measure's values are levels and not numbers."""
        return self.measure in CATEGORICAL

    def at(self, role: str, window: Window | None = None) -> Measure:
        """Return the measure with the role and window of its place where it states none itself."""
        return dataclasses.replace(self, role=self.role or role, window=self.window or window)

    def __str__(self) -> str:
        return self.name


def _label(events: Events) -> str:
    """The name of what is counted; anything that is not events is refused when the measure is made."""
    return str(getattr(events, "label", events))


def _named(name: str | None, what: str, window: Window | None) -> str:
    return name or (f"{what}, {window}" if window is not None else what)


def age_at_index() -> Measure:
    """Age in whole years at the index date."""
    return Measure("Age", "age", unit="years")


def sex() -> Measure:
    """Recorded sex."""
    return Measure("Sex", "sex")


def race() -> Measure:
    """Recorded race, where the source has it."""
    return Measure("Race", "race")


def ethnicity() -> Measure:
    """Recorded ethnicity, where the source has it."""
    return Measure("Ethnicity", "ethnicity")


def index_date() -> Measure:
    """The index date itself, so that calendar time can be adjusted for."""
    return Measure("Index date", "index date", unit="days since 1970-01-01")


def index_period(every: str = "month") -> Measure:
    """The calendar month, quarter or year of the index date ("2021-03", "2021-Q1", "2021"): one level each."""
    choice("calendar period", every, PERIODS)
    return Measure(f"Index {every}", "index period", category=every)


def any_of(
    events: Events, window: Window | None = None, *, name: str | None = None, role: str | None = None,
    better: str | None = None, worthwhile: float | None = None,
) -> Measure:  # fmt: skip
    """Whether at least one event falls in the window (0 or 1)."""
    label = _named(name, f"Any {_label(events)}", window)
    return Measure(label, "any", events, window, role, unit="risk", better=better, worthwhile=worthwhile)


def count(
    events: Events, window: Window | None = None, *, name: str | None = None, role: str | None = None,
    better: str | None = None, worthwhile: float | None = None,
) -> Measure:  # fmt: skip
    """How many events fall in the window; as an outcome, a rate by exact person-time too."""
    label = _named(name, f"Number of {_label(events)}", window)
    return Measure(label, "count", events, window, role, unit="events", better=better, worthwhile=worthwhile)


def time_to(
    events: Events, window: Window | None = None, *, name: str | None = None, role: str | None = None,
    better: str | None = None, worthwhile: float | None = None,
) -> Measure:  # fmt: skip
    """Days from the index date to the first event in the window, or to the end of follow-up."""
    label = name or f"Time to {_label(events)}"
    return Measure(label, "time to", events, window, role, unit="days", better=better, worthwhile=worthwhile)


def value(events: Events, window: Window, *, name: str | None = None, unit: str = "") -> Measure:
    """The last numeric value among measurements in the window; missing where there is none."""
    return Measure(_named(name, f"{_label(events)}", window), "value", events, window, unit=unit)


def cost(
    category: str = "total", window: Window | None = None, *, name: str | None = None,
    role: str | None = None, amount: str = "allowed", better: str | None = None,
    worthwhile: float | None = None,
) -> Measure:  # fmt: skip
    """Money in the window, of one category or in total: the allowed amount unless "paid" is asked for."""
    choice("cost category", category, COST_CATEGORIES)
    label = _named(name, f"{category.capitalize()} cost", window)
    return Measure(
        label, "cost", None, window, role, category, amount, "currency", better or "lower", worthwhile
    )  # fmt: skip


def days_at_home(
    window: Window | None = None, *, name: str | None = None, role: str | None = None,
    worthwhile: float | None = None,
) -> Measure:  # fmt: skip
    """Days alive, observed and not in hospital."""
    return Measure(
        name or "Days at home",
        "days at home",
        None,
        window,
        role,
        unit="days",
        better="higher",
        worthwhile=worthwhile,
    )


def charlson(window: Window, *, weights: str = "charlson") -> Measure:
    """Charlson comorbidity index from ICD codes in the window (Quan 2005 code lists)."""
    return Measure(_named(None, "Charlson index", window), "charlson", None, window, unit="points", weights=weights)


def elixhauser(window: Window, *, weights: str = "van_walraven") -> Measure:
    """Elixhauser comorbidity score from ICD codes in the window (Quan 2005 code lists)."""
    return Measure(_named(None, "Elixhauser score", window), "elixhauser", None, window, unit="points", weights=weights)
