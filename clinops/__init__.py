"""clinops: evaluations of digital care programmes, from raw records to a report.

Usually imported as ``import clinops as co``. Definitions say what (`codes`, `events`, `cohort`,
`protocol`, ...), `connect` says where, and ``protocol.on(source)`` brings the two together.
"""

import importlib
from typing import Any

from clinops._version import __version__
from clinops.define.adjustment import adjustment, crude, doubly_robust, match, standardise, weight
from clinops.define.codes import codes
from clinops.define.cohorts import cohort, every, first_eligible, first_ever
from clinops.define.comparators import enrolment_times, random_visit, risk_set, rolling, sequential
from clinops.define.cost_plan import cost_plan
from clinops.define.events import events
from clinops.define.ledger import ledger_rules
from clinops.define.measures import (
    age_at_index,
    any_of,
    charlson,
    cost,
    count,
    days_at_home,
    elixhauser,
    ethnicity,
    index_date,
    index_period,
    race,
    sex,
    time_to,
    value,
)
from clinops.define.panel import panel, series
from clinops.define.prices import prices
from clinops.define.protocol import allow, follow_up, programme, protocol, sensitivity, subgroup
from clinops.define.register import read as register
from clinops.define.steps import age, between, first, has, lacks, observed, sex_is
from clinops.define.uptake import uptake_plan
from clinops.define.windows import after, before, days
from clinops.sources import connect

_LATER = {
    "bias_ladder": "clinops.analyse.ladder.facade",
    "care": "clinops.analyse.care.report", "care_measures": "clinops.analyse.care.measures",
    "cost_of_care": "clinops.analyse.costs.care", "design_stage": "clinops.analyse.stage",
    "journey": "clinops.analyse.journey", "hazard_ratios": "clinops.analyse.curves.hazards",
    "interrupted": "clinops.analyse.panels.interrupted",
    "ledger": "clinops.analyse.costs.ledger",
    "outcome": "clinops.analyse.outcomes.facade", "profile": "clinops.analyse.profile",
    "quality": "clinops.analyse.quality",
    "pre_post": "clinops.analyse.robustness.pre_post",
    "readmissions": "clinops.analyse.care.readmissions",
    "rollout": "clinops.analyse.panels.rollout",
    "robustness": "clinops.analyse.robustness.facade",
    "survival": "clinops.analyse.curves.facade",
    "table_one": "clinops.analyse.table_one.facade",
    "trial": "clinops.analyse.trial.facade",
    "uptake": "clinops.analyse.uptake.facade",
}  # fmt: skip
"""Public functions whose modules need numpy: looked up when first used, so that the import stays light."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'clinops' has no attribute {name!r}")


__all__ = [
    "__version__", "adjustment", "after", "age", "age_at_index", "allow", "any_of", "before", "between",
    "bias_ladder", "care", "care_measures", "charlson",
    "codes", "cohort", "connect", "cost", "cost_of_care",
    "cost_plan", "count", "crude", "days", "days_at_home", "design_stage", "doubly_robust", "elixhauser",
    "enrolment_times", "ethnicity",
    "events", "every", "first", "first_eligible", "first_ever", "follow_up", "has", "hazard_ratios",
    "index_date", "index_period", "interrupted", "journey", "lacks", "ledger", "ledger_rules", "match", "observed",
    "outcome", "panel", "pre_post", "prices", "profile", "programme", "protocol", "quality", "race", "random_visit",
    "readmissions", "register", "risk_set", "robustness", "rolling", "rollout", "sensitivity", "sequential",
    "series", "sex", "sex_is", "standardise", "subgroup", "survival", "table_one", "time_to", "trial", "uptake",
    "uptake_plan", "value", "weight",
]  # fmt: skip
