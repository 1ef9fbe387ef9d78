"""clinops: evaluations of digital care programmes, from raw records to a report.

Usually imported as ``import clinops as co``. Definitions say what (`codes`, `events`, `cohort`,
`protocol`, ...), `connect` says where, and ``protocol.on(source)`` brings the two together.
"""

from clinops._version import __version__
from clinops.define.codes import codes
from clinops.define.cohorts import cohort, every, first_eligible, first_ever
from clinops.define.events import events
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
    race,
    sex,
    time_to,
    value,
)
from clinops.define.protocol import (
    allow,
    crude,
    follow_up,
    match,
    programme,
    protocol,
    sensitivity,
    subgroup,
    weight,
)
from clinops.define.steps import age, between, first, has, lacks, observed, sex_is
from clinops.define.windows import after, before, days
from clinops.sources import connect

__all__ = [
    "__version__", "after", "age", "age_at_index", "allow", "any_of", "before", "between", "charlson",
    "codes", "cohort", "connect", "cost", "count", "crude", "days", "days_at_home", "elixhauser", "ethnicity",
    "events", "every", "first", "first_eligible", "first_ever", "follow_up", "has", "index_date", "lacks",
    "match", "observed", "programme", "protocol", "race", "sensitivity", "sex", "sex_is", "subgroup",
    "time_to", "value", "weight",
]  # fmt: skip
