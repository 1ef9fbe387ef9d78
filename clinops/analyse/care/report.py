"""The measures of care as one report: use and its charts, readmission and its sites, what follows a discharge."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.care.measures import CareMeasures
from clinops.analyse.care.people import People
from clinops.analyse.care.readmissions import Readmissions
from clinops.analyse.care.sites import NAMES
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.base import choice
from clinops.define.care import CareRules, ReadmissionRules, care_rules, readmission_rules
from clinops.define.protocol import Protocol
from clinops.define.protocol import protocol as read_protocol

if TYPE_CHECKING:
    from clinops.results.result import Result

NUMBERS = {
    "care_use": "Table 1", "care_admissions_by_month": "Figure 1", "care_emergency_by_month": "Figure 2",
    "readmission_rate": "Table 2", "readmission_limits": "Figure 3", "readmission_sites": "Table 3",
    "care_length_of_stay": "Table 4", "care_follow_up": "Table 5", "care_continuity": "Table 6",
    "readmission_stays": "Table 7", "readmission_flags": "Table 8", "readmission_rules": "Table 9",
}  # fmt: skip
ARMS = ("exposed", "comparator")


class Care(Readable, Analysis):
    """Readmissions and the other measures of care of the same persons and days, numbered and protected together.

    Parameters
    ----------
    source : from `connect`.
    readmission, rules : what counts as what.
    people : who counts, and when.
    site : sites that are compared on readmission.
    min_cell : smallest count that exhibits show.
    protocol : from which the persons are; None for everybody.
    """

    def __init__(
        self, source: Any, readmission: ReadmissionRules, rules: CareRules, people: People, site: str = "hospital",
        min_cell: int = 11, protocol: Protocol | None = None,
    ) -> None:  # fmt: skip
        self.source, self.people, self.protocol = source, people, protocol
        self._gallery = Gallery(
            NUMBERS, synthetic=source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )
        self.readmissions = Readmissions(source, readmission, people, min_cell, site, self._gallery)
        self.measures = CareMeasures(source, rules, people, min_cell, self._gallery)

    @property
    def use(self) -> Result:
        """Admissions and emergency visits per 1,000."""
        return self.measures.use

    @property
    def admissions_by_month(self) -> Result:
        """Admissions by calendar month, as a control chart."""
        return self.measures.admissions_by_month

    @property
    def emergency_by_month(self) -> Result:
        """Emergency visits by calendar month, as a control chart."""
        return self.measures.emergency_by_month

    @property
    def rate(self) -> Result:
        """Readmissions: of everybody, and of index discharges."""
        return self.readmissions.rate

    @property
    def funnel(self) -> Result:
        """Sites as a funnel plot."""
        return self.readmissions.funnel

    @property
    def sites(self) -> Result:
        """Sites, standardised by age and sex."""
        return self.readmissions.sites

    @property
    def length_of_stay(self) -> Result:
        """Nights in hospital an episode."""
        return self.measures.length_of_stay

    @property
    def follow_up(self) -> Result:
        """Ambulatory visits after discharge."""
        return self.measures.follow_up

    @property
    def continuity(self) -> Result:
        """Continuity of ambulatory care."""
        return self.measures.continuity

    @property
    def stays(self) -> Result:
        """From hospital stays to index discharges."""
        return self.readmissions.stays

    @property
    def flags(self) -> Result:
        """Why a discharge is no index."""
        return self.readmissions.flags

    @property
    def rules(self) -> Result:
        """Every rule in words."""
        return self.readmissions.rules

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of the report."""
        return (
            self.use, self.admissions_by_month, self.emergency_by_month, self.rate, self.funnel, self.sites,
            self.length_of_stay, self.follow_up, self.continuity, self.stays, self.flags, self.rules,
        )  # fmt: skip

    def bundle(self) -> Bundle:
        """What `write` writes."""
        return Bundle(
            f"Measures of care: {self.source.name}", self.exhibits, self.source, protocol=self.protocol,
            min_cell=self._gallery.min_cell,
        )  # fmt: skip


def care(
    source: Any, days: int = 30, *, first: str | dt.date | None = None, last: str | dt.date | None = None,
    protocol: Protocol | str | Path | None = None, arm: str = "exposed", site: str = "hospital",
    follow_up_days: Any = (7, 30), continuity_by: str = "provider", baseline_to: str | dt.date | None = None,
    min_cell: int = 11,
) -> Care:  # fmt: skip
    """Measure readmission, use of care and what follows a discharge, as one report by the plain rules.

    For other rules (code lists, other stays, access, no-shows) see `readmissions` and `care_measures`.

    Parameters
    ----------
    source : from `connect`.
    days : a readmission starts on day 0 to so many days after discharge.
    first, last : the period, both days included; all on record where not given.
    protocol : whose care counts: a protocol or its file, one arm of it on the days of its follow-up; None: everybody's.
    arm : of the protocol, "exposed" or "comparator".
    site : sites that are compared: "hospital" (that discharged) or "clinic" (that the person is registered with).
    follow_up_days : within how many days after discharge an ambulatory visit is looked for.
    continuity_by : whom continuity of ambulatory care is with: "provider" or "site".
    baseline_to : control charts take their centre line from the months up to this day; None: from all.
    min_cell : smallest count that exhibits show.

    Raises
    ------
    DefinitionError : a rule that cannot be, an unknown arm or kind of site, a protocol that is not there.
    DataError : the records hold no visits.
    """
    choice("arm", arm, ARMS)
    choice("kind of site", site, tuple(NAMES))
    people, plan = People(), None
    if protocol is not None:
        plan = protocol if isinstance(protocol, Protocol) else read_protocol.read(protocol)
        people = People.of(plan.exposed if arm == "exposed" else plan.comparator, plan.follow_up.window)
    rules = care_rules(first=first, last=last, baseline_to=baseline_to, days=follow_up_days, by=continuity_by)
    return Care(source, readmission_rules(days, first=first, last=last), rules, people, site, min_cell, plan)
