"""What a world is asked to be: its size, its planted effect, its calendar and its law of offers."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from clinops.errors import ParameterError, unknown

BLOCK = 20_000
"""Persons made at a time: memory stays flat however large the world, and the result does not depend on it
being written or held, since each block has its own random streams."""


def day(text: str) -> int:
    """Return an ISO date as whole days since 1970-01-01."""
    return int(np.datetime64(text, "D").astype(np.int64))


FIRST_DAY, LAST_DAY = day("2019-01-01"), day("2024-12-31")
INDEX_FROM, INDEX_TO = day("2020-01-01"), day("2022-12-31")
AGE_FROM, AGE_TO = 18, 85
LOOK_BACK, DIAGNOSIS_BACK, HORIZON = 365, 1095, 365
TRAILING, LEAST_ADMISSIONS = 182, 2
"""With `qualifying`, an index is an admission that is at least the second within so many days."""
NEVER = 2**30
"""A day after every other: stands for "no such date" in comparisons."""

OFFER, ACTIVATION, ENGAGEMENT = 2_000_000_001, 2_000_000_002, 2_000_000_003

OFFER_INTERCEPT = -3.40
OFFER_SLOPES = {
    "age_years": 0.008,
    "female": 0.15,
    "index_date_days": 0.0004,
    "log1p_primary_care_visits": 0.30,
    "log1p_emergency_visits": 0.30,
    "log1p_admissions": 0.30,
    "log1p_allowed_cost": 0.20,
    "hypertension": 0.20,
    "heart_failure": 0.30,
}
"""The log-odds of an offer, per unit of each covariate as the design can compute it from the records.

`index_date_days` counts from the first day on which an index can fall; `log1p_allowed_cost` is of dollars.
"""

TREATABLE = {
    "cost_total": 1679.5,
    "cost_inpatient": 1218.4,
    "cost_emergency": 461.0,
    "admissions": 0.0499,
    "emergency_visits": 0.1808,
}
"""What the programme could avert at most: the offered persons' mean emergency and inpatient care between
activation and day 365, counting those who activate, at the default knobs. Measured on 80 worlds of 150,000
persons (Monte Carlo SE of the first: 8.0 dollars); see docs/methods/worlds.md."""

TREATABLE_SHARE = 0.298
"""`TREATABLE["cost_total"]` over the offered persons' mean untreated cost, 5,637 dollars (SE 0.0013). It turns
the wanted effect on total cost into the thinning of acute events."""

DEFAULT_UPTAKE = 0.6
CLINICS = 24
ARMS = ("offered", "both")
RANGES = {
    "uptake": (0.0, 1.0), "engagement": (0.0, 1.0), "death_effect": (0.0, 1.0), "later_offers": (0.0, 1.0),
    "confounding": (0.0, 2.0), "use_effect": (0.0, 1.0), "cost_effect": (0.0, 1.0), "need_sd": (0.0, 2.0),
    "need_correlation": (-0.99, 0.99), "hidden": (-3.0, 3.0), "healthy_engagers": (-3.0, 3.0), "shock": (-1.0, 2.0),
    "detection": (0.0, 52.0), "dropout": (0.0, 5.0), "dropout_need": (-3.0, 3.0), "lag": (0.0, 730.0),
    "lottery": (0.0, 1.0), "clinic_spread": (0.0, 1.0),
}  # fmt: skip
"""The values that a number may have."""
ALWAYS = ("persons", "effect", "seed", "confounding", "uptake", "engagement", "death_effect", "later_offers", "messy",
          "thinning")  # fmt: skip
"""Settings that are written down whatever their value."""


@dataclass(frozen=True)
class Knobs:
    """Everything that decides a world.

    Parameters
    ----------
    persons : how many persons; at least 1.
    effect : wanted fall in mean total allowed cost over days 1 to 365, as a share of the offered persons' mean
        had nobody been offered. 0.15 means 15 % less; 0 no effect at all; negative means harm.
    seed : whole number, zero or more; the same seed and version give the same records.
    confounding : multiplies every slope of the offer model; 0 makes the offer a lottery.
    uptake, engagement : share of the offered who activate, and of those who then engage.
    death_effect : probability that the programme averts a death in days 1 to 365 after activation.
    later_offers : share of those not offered at their index who are offered at a later visit.
    messy : add a few broken rows (orphans, duplicates, impossible dates), none to an eligible person.
    use_effect : probability that a primary care or telehealth visit of an activated person is averted.
    cost_effect : share by which the allowed amounts of an activated person's visits are lower; use stays as it is.
    need_sd, need_correlation : spread of the moving part of the log need, and its correlation between quarters.
    qualifying : the index is an admission, at least the second within 182 days, instead of a primary care visit of a
        person with diabetes: the peak of a need that will fall by itself.
    hidden : log-odds of an offer per unit of the latent log need on the index day, which no record holds.
    healthy_engagers : by how much the log-odds of activation fall per unit of that need.
    shock, shock_date : from this day on everybody uses so much more (0.2) or less (-0.3) of every kind of visit.
    detection : contacts a year that the programme adds for the activated; they cost nothing and record diagnoses.
    dropout, dropout_arm, dropout_need : hazard a year, from the index on, of leaving the records, in the "offered" or
        "both" arms, and its log ratio per unit of the latent need. The truth is that of those who had stayed.
    lag : mean days until a cost is on file (exponential); what is later than the last day of the records is missing.
    lottery : share of the eligible who are offered by lot, whatever their need; 0: offers follow the law above.
    waves : clinics begin the programme in so many waves, from 2021-01-01 to 2022-07-01; from its clinic's start on
        everyone eligible is offered, nobody before. 0: offers follow the law above. See `worlds.rollout`.
    holdout_clinics : clinics (of 24) that never begin; with `waves` only.
    ramp : days from activation over which the effect grows in a straight line to its full size; 0 at once.
    clinic_spread : SD between clinics of the log of the need for care.
    """

    persons: int = 20_000
    effect: float = 0.15
    seed: int = 20260101
    confounding: float = 1.0
    uptake: float = DEFAULT_UPTAKE
    engagement: float = 0.6
    death_effect: float = 0.0
    later_offers: float = 0.0
    messy: bool = False
    use_effect: float = 0.0
    cost_effect: float = 0.0
    need_sd: float = 0.55
    need_correlation: float = 0.75
    qualifying: bool = False
    hidden: float = 0.0
    healthy_engagers: float = 0.0
    shock: float = 0.0
    shock_date: str = "2021-07-01"
    detection: float = 0.0
    dropout: float = 0.0
    dropout_arm: str = "offered"
    dropout_need: float = 0.0
    lag: float = 0.0
    lottery: float = 0.0
    waves: int = 0
    holdout_clinics: int = 0
    ramp: int = 0
    clinic_spread: float = 0.0
    thinning: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        _whole("persons", self.persons, 1)
        _whole("seed", self.seed, 0)
        for name, (low, high) in RANGES.items():
            _between(name, getattr(self, name), low, high)
        for name in ("messy", "qualifying"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ParameterError(f"{name} is {getattr(self, name)!r}; it must be True or False.")
        for name in ("waves", "holdout_clinics", "ramp"):
            _whole(name, getattr(self, name), 0)
        self._check_choices()
        self._check_rollout()
        treatable = TREATABLE_SHARE * self.uptake / DEFAULT_UPTAKE
        _between("effect", self.effect, -treatable, treatable)
        object.__setattr__(self, "thinning", self.effect / treatable if treatable else 0.0)

    def _check_choices(self) -> None:
        if self.dropout_arm not in ARMS:
            raise ParameterError(unknown("arm that drops out", self.dropout_arm, ARMS))
        try:
            shocked = day(self.shock_date)
        except (TypeError, ValueError):
            raise ParameterError(f"shock_date is {self.shock_date!r}; write a day as '2021-07-01'.") from None
        if not FIRST_DAY <= shocked <= LAST_DAY:
            raise ParameterError(f"shock_date is {self.shock_date}; it must be from 2019-01-01 to 2024-12-31.")
        if self.hidden and (self.lottery or self.waves):
            raise ParameterError("hidden has no meaning where offers do not depend on persons (lottery, waves).")
        if self.lottery and self.waves:
            raise ParameterError("Give lottery or waves: offers are drawn among persons, or come clinic by clinic.")

    def _check_rollout(self) -> None:
        if self.holdout_clinics and not self.waves:
            raise ParameterError("holdout_clinics needs waves: without a roll-out no clinic begins.")
        if self.waves and self.later_offers:
            raise ParameterError("later_offers has no meaning with waves: the clinic's start decides who is offered.")
        if self.waves + self.holdout_clinics > CLINICS:
            raise ParameterError(
                f"waves is {self.waves} and holdout_clinics {self.holdout_clinics}; together at most {CLINICS}, "
                "the number of clinics."
            )

    @classmethod
    def of(cls, **given: Any) -> Knobs:
        """Build from keyword arguments; an unknown name is refused with the nearest known one."""
        known = [item.name for item in fields(cls) if item.init]
        for name in given:
            if name not in known:
                raise ParameterError(unknown("setting of a world", name, known))
        return cls(**given)

    def rng(self, block: int, purpose: str) -> np.random.Generator:
        """Return the random stream of one purpose in one block.

        A stream for each purpose keeps common random numbers: changing the effect changes no other draw.
        """
        key = [int(self.seed), block, zlib.crc32(purpose.encode())]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def population_att(self) -> dict[str, float] | None:
        """Return the expected effect among the offered, over worlds; None where it was not measured.

        The truth of one world is what its own persons would have had; an interval that treats persons as
        sampled is an interval for this expected effect.
        """
        if self.effect < 0 or any(getattr(self, name) != usual for name, usual in self._law().items()):
            return None
        return {name: -self.thinning * most for name, most in TREATABLE.items()}

    @classmethod
    def _law(cls) -> dict[str, Any]:
        """The usual value of every knob that the expected effect depends on."""
        free = ("persons", "effect", "seed", "engagement", "messy", "thinning")
        return {item.name: item.default for item in fields(cls) if item.name not in free}

    def record(self) -> dict[str, Any]:
        """Return the settings as plain values, for `truth.json`; a knob of the laboratory only where it was turned."""
        usual = {item.name: item.default for item in fields(self)}
        return {name: value for name, value in asdict(self).items() if name in ALWAYS or value != usual[name]}


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ParameterError(f"{name} is {value!r}; it must be a whole number, {least} or more.")


def _between(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise ParameterError(f"{name} is {value!r}; it must be a number from {low:.4g} to {high:.4g}.")
