"""The crossing: records in, one row an entry out. What comes after this knows no database."""

from __future__ import annotations

from clinops.build.baseline import Baseline, baseline, traits
from clinops.build.follow_up import Followed, follow
from clinops.build.outcomes import Outcomes, outcomes
from clinops.build.person_months import person_months
from clinops.build.programme import funnel, programme_dates
from clinops.build.time_varying import Recent, by_segment, recent

__all__ = [
    "Baseline", "Followed", "Outcomes", "Recent", "baseline", "by_segment", "follow", "funnel", "outcomes",
    "person_months", "programme_dates", "recent", "traits",
]  # fmt: skip
