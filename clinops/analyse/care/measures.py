"""Measures of care as exhibits: use per 1,000, length of stay, follow-up, access, continuity, no-show."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.care import care_tables as tables
from clinops.analyse.care import monthly
from clinops.analyse.care.people import People
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.care import CareRules, care_rules
from clinops.define.cohorts import CohortDefinition
from clinops.define.windows import Window
from clinops.errors import DefinitionError

if TYPE_CHECKING:
    import pandas as pd

    from clinops.build.care.contacts import After
    from clinops.build.care.readmissions import Readmitted
    from clinops.results.result import Result


class CareMeasures(Readable, Analysis):
    """Measures of care on a source by stated rules.

    Each is made when it is asked for and leaves with small counts hidden; those that need a code list (`observation`
    rows, `access`, `no_show`) are refused, or left out of `exhibits`, without one.

    Parameters
    ----------
    source : from `connect`.
    rules : the period, and what counts as what.
    people : who counts, and when.
    min_cell : smallest count that exhibits show.
    gallery : of a report that these exhibits are a part of; one of their own where None.
    """

    def __init__(
        self, source: Any, rules: CareRules, people: People, min_cell: int = 11, gallery: Gallery | None = None
    ) -> None:
        self.source, self.definition, self.people = source, rules, people
        self._gallery = gallery or Gallery(
            {}, synthetic=source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )

    @cached_property
    def _within(self) -> Any:
        return self.people.within(self.source)

    @cached_property
    def admitted(self) -> Readmitted:
        """Episodes of hospital care and the persons observed; see `clinops.build.care.readmissions`."""
        from clinops.build.care.use import admissions

        return admissions(self.source, self.definition, self._within)

    @cached_property
    def after_discharge(self) -> After:
        """The first ambulatory visit after each index discharge, one row a discharge."""
        from clinops.build.care.use import follow_up

        return follow_up(self.source, self.definition, self.admitted)

    @property
    def use(self) -> Result:
        """Admissions, emergency visits (released or admitted) and observation stays per 1,000."""
        return self._show("care_use", self._use)

    def _use(self) -> Result:
        from clinops.build.care import use

        persons = self.admitted.persons
        words = tables.PARTS
        emergency = use.emergency(self.source, self.definition, self.admitted, self._within)
        both = emergency.assign(all=emergency["released"] + emergency["admitted"])
        counts = {
            "admissions": ("Admissions", persons, "admissions"),
            "emergency": (tables.EMERGENCY, both, "all"),
            "released": (words[0], emergency, "released"),
            "admitted": (words[1], emergency, "admitted"),
        }
        notes: tuple[str, ...] = (
            "Emergency visits that start on one day are one; admitted: a hospital stay starts that day or the next.",
        )
        if self.definition.observation:
            found = use.observation(self.source, self.definition, self._within)
            counts["observation"] = ("Observation stays", found, "visits")
        else:
            notes += ("Observation stays are not counted: no list says which visits they are.",)
        return tables.use(persons, counts, notes, self._gallery.min_cell)

    @cached_property
    def _span(self) -> monthly.Span:
        rules = self.definition
        first, last = rules.first or self.source.span[0], rules.last or self.source.span[1]
        return monthly.Span(first, last, rules.baseline_to)

    @cached_property
    def months(self) -> pd.DataFrame:
        """Persons, person-years, admissions and emergency visits of each calendar month; not protected."""
        from clinops.build.care.by_day import by_day

        return monthly.by_month(by_day(self.source, self.definition, self.admitted, self._within), self._span)

    @property
    def admissions_by_month(self) -> Result:
        """Admissions per 1,000 person-years by calendar month, as a control chart."""
        return self._month(monthly.ADMISSIONS)

    @property
    def emergency_by_month(self) -> Result:
        """Emergency visits, released or admitted, per 1,000 person-years by calendar month, as a control chart."""
        return self._month(monthly.EMERGENCY)

    def _month(self, kind: monthly.Kind) -> Result:
        return self._show(kind.name, lambda: monthly.chart(kind, self.months, self._span, self._gallery.min_cell))

    @property
    def length_of_stay(self) -> Result:
        """Nights in hospital an episode."""
        return self._show("care_length_of_stay", lambda: tables.length_of_stay(self.admitted))

    @property
    def follow_up(self) -> Result:
        """Index discharges with an ambulatory visit within so many days."""
        words = ("Index discharges", "Ambulatory visit")
        return self._show("care_follow_up", lambda: tables.reached(
            "care_follow_up", "Follow-up after discharge", self.after_discharge, self.definition, words
        ))  # fmt: skip

    @property
    def access(self) -> Result:
        """First steps with the next one within so many days.

        Raises
        ------
        DefinitionError : the rules name no steps.
        """
        self._need("steps_from", "steps_to", "access")
        return self._show("care_access", self._access)

    def _access(self) -> Result:
        from clinops.build.care.use import access

        start, end = (
            ", ".join(one.label for one in getattr(self.definition, name)) for name in ("steps_from", "steps_to")
        )
        found = access(self.source, self.definition, self._within)
        words = (f"Days with {start}", end[:1].upper() + end[1:])
        return tables.reached("care_access", "Access: days to the next step", found, self.definition, words)

    @property
    def continuity(self) -> Result:
        """Usual provider, Bice-Boxerman and sequential continuity of ambulatory visits."""
        return self._show("care_continuity", self._continuity)

    def _continuity(self) -> Result:
        from clinops.build.care.use import continuity

        return tables.continuity(*continuity(self.source, self.definition, self._within), self.definition)

    @property
    def no_show(self) -> Result:
        """Missed appointments of all that were booked.

        Raises
        ------
        DefinitionError : the rules name no appointments.
        """
        self._need("kept", "missed", "no_show")
        return self._show("care_no_show", self._no_show)

    def _no_show(self) -> Result:
        from clinops.build.care.use import appointments

        return tables.no_show(appointments(self.source, self.definition, self._within))

    def _need(self, one: str, other: str, measure: str) -> None:
        if not getattr(self.definition, one):
            raise DefinitionError(
                f"{measure} needs to know {one} and {other}: co.care_measures(..., {one}=, {other}=)."
            )

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit that the rules allow, in the order of reading."""
        made = [
            self.use,
            self.admissions_by_month,
            self.emergency_by_month,
            self.length_of_stay,
            self.follow_up,
            self.continuity,
        ]
        if self.definition.steps_from:
            made.append(self.access)
        if self.definition.kept:
            made.append(self.no_show)
        return tuple(made)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        title = f"Measures of care: {self.source.name}"
        return Bundle(title, self.exhibits, self.source, min_cell=self._gallery.min_cell)


def care_measures(
    source: Any, *, cohort: CohortDefinition | None = None, window: Window | None = None,
    rules: CareRules | None = None, min_cell: int = 11, **given: Any,
) -> CareMeasures:  # fmt: skip
    """Measure the use of care, length of stay, follow-up, access, continuity and no-show, by stated rules.

    Parameters
    ----------
    source : from `connect`.
    cohort : whose care counts; None: everybody's.
    window : with a cohort, the days from the index date that count; day 1 onwards where not given.
    rules : all rules as one value; leave out `given` then.
    min_cell : smallest count that exhibits show.
    given : the rules, such as first="2022-01-01", last="2022-12-31", days=(7, 30), observation=events;
        docs/care_measures.md has all of them.

    Raises
    ------
    DefinitionError : an unknown rule, or one that cannot be.
    """
    if rules is not None and given:
        raise DefinitionError("Give the rules as one value (rules=) or one by one, not both.")
    return CareMeasures(source, rules or care_rules(**given), People.of(cohort, window), min_cell)
