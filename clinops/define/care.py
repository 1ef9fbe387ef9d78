"""Rules of health-services measures: which stays are one, which discharges count, what is a readmission."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, ClassVar

from clinops.define.base import Definition, as_date, choice, whole
from clinops.define.events import Events
from clinops.define.fields import several
from clinops.errors import DefinitionError, unknown

SAME_DAY = ("same condition", "new stay", "one stay")
DIAGNOSES = ("principal", "any")

FLAGS = {
    "died": "died in hospital",
    "no_discharge": "no day of discharge on record",
    "follow_up": "not observed for the days after discharge (or until death within them)",
    "look_back": "not observed for the days before admission",
    "against_advice": "left against medical advice",
    "transferred_out": "discharged to another hospital of which there is no stay on record",
    "psychiatric": "admitted for psychiatric care",
    "rehabilitation": "admitted for rehabilitation",
    "cancer": "admitted for medical treatment of cancer",
    "readmission": "admitted within the days after an earlier discharge",
}
"""Reasons for which a discharge may be no index, each a column of every episode."""

LISTED = ("psychiatric", "rehabilitation", "cancer")
"""Flags that need a code list."""

PLAIN = ("died", "no_discharge", "follow_up")
HOSPITAL_WIDE = tuple(name for name in FLAGS if name != "readmission")
"""What is no index in the hospital-wide measure of CMS (Horwitz 2014)."""
SETS = {"plain": PLAIN, "hospital-wide": HOSPITAL_WIDE}


@dataclass(frozen=True)
class ReadmissionRules(Definition):
    """What an episode of hospital care, an index discharge and a readmission are.

    Attributes
    ----------
    days : a readmission starts on day 0 to so many days after discharge.
    stays : visits that are hospital stays; empty: every inpatient visit.
    transfer_days : a stay at another facility that starts up to so many days after discharge is the same episode;
        None: transfers are not merged.
    same_day : a return to the same facility on the day of discharge is "one stay", a "new stay", or (default) one
        stay if the principal diagnosis is the same ("same condition").
    diagnosis : which diagnoses of a stay the lists below are held against, "principal" or "any".
    look_back : days of observation that the flag `look_back` asks for before admission.
    not_index : flags (`FLAGS`) that keep a discharge from being an index; all others are only columns.
    psychiatric, rehabilitation, cancer : what makes an episode one of these, by its last stay.
    always_planned : procedures or diagnoses that make a readmission planned.
    potentially_planned : procedures that make it planned unless its diagnosis is one of `acute`.
    acute : diagnoses of acute conditions and complications.
    first, last : first and last day of discharge that counts; None: all on record.
    """

    kind: ClassVar[str] = "readmission rules"
    made: ClassVar[str] = "readmission_rules(days=30)"
    days: int = 30
    stays: tuple[Events, ...] = ()
    transfer_days: int | None = 1
    same_day: str = "same condition"
    diagnosis: str = "principal"
    look_back: int = 0
    not_index: tuple[str, ...] = PLAIN
    psychiatric: tuple[Events, ...] = ()
    rehabilitation: tuple[Events, ...] = ()
    cancer: tuple[Events, ...] = ()
    always_planned: tuple[Events, ...] = ()
    potentially_planned: tuple[Events, ...] = ()
    acute: tuple[Events, ...] = ()
    first: dt.date | None = None
    last: dt.date | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("days", self.days, 1, 3650)
        whole("look_back", self.look_back, 0, 3650)
        if self.transfer_days is not None:
            whole("transfer_days", self.transfer_days, 0, 30)
        choice("rule for a return on the same day", self.same_day, SAME_DAY)
        choice("kind of diagnosis", self.diagnosis, DIAGNOSES)
        for name in self.not_index:
            choice("reason to be no index", name, tuple(FLAGS))
        if len(set(self.not_index)) < len(self.not_index):
            raise DefinitionError(f"not_index names a reason twice: {', '.join(self.not_index)}.")
        self._check_lists()
        if self.first and self.last and self.last < self.first:
            raise DefinitionError(f"The period from {self.first} to {self.last} is empty; give the earlier day first.")

    def _check_lists(self) -> None:
        for one in self.stays:
            choice("domain of hospital stays", one.domain, ("visit",))
        for name in (*LISTED, "always_planned", "potentially_planned", "acute"):
            for one in getattr(self, name):
                allowed = {"acute": ("condition",), "potentially_planned": ("procedure",)}
                choice(f"domain of {name}", one.domain, allowed.get(name, ("condition", "procedure")))
                if one.codes is None:
                    raise DefinitionError(f"{name} takes events with a code list; {one.label} would mark every stay.")
        if bool(self.potentially_planned) != bool(self.acute):
            raise DefinitionError(
                "potentially_planned and acute belong together: such a procedure makes a readmission planned unless "
                "its diagnosis is acute. Give both, or neither."
            )

    @property
    def has_planned(self) -> bool:
        """Whether planned readmissions can be told from unplanned ones."""
        return bool(self.always_planned or self.potentially_planned)


EPISODES = ReadmissionRules()


@dataclass(frozen=True)
class CareRules(Definition):
    """What the other measures of care count.

    Attributes
    ----------
    first, last : the period, both days included; None: all on record.
    baseline_to : charts take their centre line from the months up to this day; None: from all.
    episodes : what an episode of hospital care and an index discharge are; its days and period give way to these.
    emergency : visits that are emergency visits; empty: the emergency concepts.
    observation : visits that are observation stays; empty: not counted, as no standard says which they are.
    visits : ambulatory visits, of follow-up and of continuity; empty: outpatient, office and telehealth concepts.
    days : within how many days a follow-up visit (or a next step) is looked for; each is a row.
    from_day : first day after discharge on which a visit counts as follow-up.
    by : whose continuity: "provider" or "site".
    at_least : visits that a person needs for an index of continuity.
    steps_from, steps_to : the step that starts a wait, and the one that ends it; both or neither.
    kept, missed : appointments kept and missed; both or neither.
    """

    kind: ClassVar[str] = "care rules"
    made: ClassVar[str] = "care_rules(days=(7, 30))"
    first: dt.date | None = None
    last: dt.date | None = None
    baseline_to: dt.date | None = None
    episodes: ReadmissionRules = EPISODES
    emergency: tuple[Events, ...] = ()
    observation: tuple[Events, ...] = ()
    visits: tuple[Events, ...] = ()
    days: tuple[int, ...] = (7, 30)
    from_day: int = 1
    by: str = "provider"
    at_least: int = 3
    steps_from: tuple[Events, ...] = ()
    steps_to: tuple[Events, ...] = ()
    kept: tuple[Events, ...] = ()
    missed: tuple[Events, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("continuity", self.by, ("provider", "site"))
        whole("at_least", self.at_least, 2, 1000)
        whole("from_day", self.from_day, 0, 3650)
        if not self.days or list(self.days) != sorted(set(self.days)) or min(self.days) < max(self.from_day, 1):
            raise DefinitionError(
                f"days is {self.days}; give rising whole numbers from day {max(self.from_day, 1)} on."
            )
        for name in ("emergency", "observation", "visits"):
            for one in getattr(self, name):
                choice(f"domain of {name}", one.domain, ("visit",))
        for one, other in (("steps_from", "steps_to"), ("kept", "missed")):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                raise DefinitionError(f"{one} and {other} belong together; give both, or neither.")
        if self.first and self.last and self.last < self.first:
            raise DefinitionError(f"The period from {self.first} to {self.last} is empty; give the earlier day first.")
        self._check_baseline()

    def _check_baseline(self) -> None:
        end = self.baseline_to
        if end and ((self.first and end < self.first) or (self.last and end > self.last)):
            raise DefinitionError(
                f"The baseline ends on {end}, outside the period from {self.first or 'the first day on record'} to "
                f"{self.last or 'the last'}; give a day within it."
            )


def care_rules(
    *, first: str | dt.date | None = None, last: str | dt.date | None = None,
    baseline_to: str | dt.date | None = None, days: Any = (7, 30), **given: Any,
) -> CareRules:  # fmt: skip
    """Rules of the measures of care; whatever is not given is at its default.

    Parameters
    ----------
    first, last, baseline_to : the period, and up to where its months are the charts' baseline; dates or ISO text.
    days : one number of days or several.
    given : the other fields of `CareRules`; one events or several.

    Raises
    ------
    DefinitionError : an unknown rule or domain, or an impossible number.
    """
    known = CareRules.__dataclass_fields__
    for name in given:
        if name not in known:
            raise DefinitionError(unknown("care rule", name, known))
    plain = ("episodes", "from_day", "by", "at_least")
    held: dict[str, Any] = {name: value if name in plain else several(value, name) for name, value in given.items()}
    return CareRules(
        first=None if first is None else as_date(first, "first"),
        last=None if last is None else as_date(last, "last"),
        baseline_to=None if baseline_to is None else as_date(baseline_to, "baseline_to"),
        days=several(days, "days"), **held,
    )  # fmt: skip


def readmission_rules(
    days: int = 30, *, not_index: Any = "plain", first: str | dt.date | None = None,
    last: str | dt.date | None = None, **given: Any,
) -> ReadmissionRules:  # fmt: skip
    """Rules of a readmission measure; whatever is not given is at its default.

    Parameters
    ----------
    not_index : "plain" (`PLAIN`), "hospital-wide" (`HOSPITAL_WIDE`), or flags by name (`FLAGS`).
    first, last : days of discharge that count, dates or ISO text.
    given : the other fields of `ReadmissionRules`; one events or several.

    Raises
    ------
    DefinitionError : an unknown rule, flag or domain, or an impossible number.
    """
    known = ReadmissionRules.__dataclass_fields__
    for name in given:
        if name not in known:
            raise DefinitionError(unknown("readmission rule", name, known))
    lists = ("stays", *LISTED, "always_planned", "potentially_planned", "acute")
    held: dict[str, Any] = {name: several(value, name) if name in lists else value for name, value in given.items()}
    reasons = SETS[not_index] if isinstance(not_index, str) and not_index in SETS else several(not_index, "not_index")
    # A flag that rests on a list is no rule without one: the hospital-wide set takes those that were given.
    if isinstance(not_index, str) and not_index in SETS:
        reasons = tuple(name for name in reasons if name not in LISTED or held.get(name))
    return ReadmissionRules(
        days=days, not_index=reasons, first=None if first is None else as_date(first, "first"),
        last=None if last is None else as_date(last, "last"), **held,
    )  # fmt: skip
