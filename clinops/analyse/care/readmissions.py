"""Readmissions as exhibits: the rules, what they did to the stays, the flags, and the rates."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.care import readmission_tables as tables
from clinops.analyse.care import sites
from clinops.analyse.care.people import People
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.base import choice
from clinops.define.care import ReadmissionRules, readmission_rules
from clinops.define.cohorts import CohortDefinition
from clinops.define.windows import Window
from clinops.errors import DefinitionError

if TYPE_CHECKING:
    import pandas as pd

    from clinops.build.care.readmissions import Readmitted
    from clinops.results.result import Result


class Readmissions(Readable, Analysis):
    """Readmissions on a source by stated rules.

    Exhibits leave with small counts hidden; `frame` and `persons` hold the numbers as they are, and stay with the
    analyst. Rates among the admitted are post-exposure: they describe, and show no effect.

    Parameters
    ----------
    source : from `connect`.
    rules : what an episode, an index discharge and a readmission are.
    people : who counts, and when.
    min_cell : smallest count that exhibits show.
    site : what is compared: "hospital" (that discharged) or "clinic" (that the person is registered with).
    gallery : of a report that these exhibits are a part of; one of their own where None.
    """

    def __init__(
        self, source: Any, rules: ReadmissionRules, people: People, min_cell: int = 11, site: str = "hospital",
        gallery: Gallery | None = None,
    ) -> None:  # fmt: skip
        choice("kind of site", site, tuple(sites.NAMES))
        self.source, self.definition, self.people, self.site = source, rules, people, site
        self._gallery = gallery or Gallery(
            {}, synthetic=source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )

    @cached_property
    def found(self) -> Readmitted:
        """Episodes, persons and counts; see `clinops.build.care.readmissions`."""
        from clinops.build.care.readmissions import readmitted

        return readmitted(self.source, self.definition, self.people.within(self.source))

    @property
    def frame(self) -> pd.DataFrame:
        """One row an episode of hospital care, with every flag, whether it is an index, and what came after it."""
        return self.found.frame

    @property
    def persons(self) -> pd.DataFrame:
        """One row a person observed: days, admissions, index discharges and readmissions."""
        return self.found.persons

    @property
    def rules(self) -> Result:
        """Every rule in words, with its source."""
        return self._show("readmission_rules", lambda: tables.rules(self.definition, self.found, str(self.people)))

    @property
    def stays(self) -> Result:
        """From hospital stays to index discharges: what each rule took."""
        return self._show("readmission_stays", lambda: tables.stays(self.found))

    @property
    def flags(self) -> Result:
        """How many episodes carry each flag, and which of them are no index for it."""
        return self._show("readmission_flags", lambda: tables.flags(self.found))

    @property
    def rate(self) -> Result:
        """Rates with intervals: of everybody observed, and per index discharge."""
        return self._show("readmission_rate", lambda: tables.rate(self.found))

    @cached_property
    def compared(self) -> sites.Compared:
        """Index discharges and readmissions by site; not protected."""
        from clinops.build.care.sites import index_by_site

        return sites.compare(index_by_site(self.source, self.found, self.site), self._gallery.min_cell)

    @property
    def funnel(self) -> Result:
        """Sites as a funnel plot: share readmitted by volume, within the limits of chance."""
        return self._show("readmission_limits", lambda: self._sites(sites.funnel))

    @property
    def sites(self) -> Result:
        """Sites with what their patients' age and sex let expect, and where they lie against the limits."""
        return self._show("readmission_sites", lambda: self._sites(sites.sites))

    def _sites(self, make: Any) -> Result:
        made: Result = make(self.compared, self.definition.days, self.site, self._gallery.min_cell)
        return made

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of reading."""
        return (self.rate, self.funnel, self.sites, self.stays, self.flags, self.rules)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        title = f"Readmissions within {self.definition.days} days: {self.source.name}"
        return Bundle(title, self.exhibits, self.source, min_cell=self._gallery.min_cell)


def readmissions(
    source: Any, days: int = 30, *, cohort: CohortDefinition | None = None, window: Window | None = None,
    rules: ReadmissionRules | None = None, site: str = "hospital", min_cell: int = 11, **given: Any,
) -> Readmissions:  # fmt: skip
    """Count readmissions within so many days of discharge, by stated rules.

    Parameters
    ----------
    source : from `connect`.
    days : a readmission starts on day 0 to so many days after discharge.
    cohort : whose stays count; None: everybody's.
    window : with a cohort, the days from the index date that count; day 1 onwards where not given.
    rules : all rules as one value; leave out `days` and `given` then.
    site : sites that are compared: "hospital" (that discharged) or "clinic" (that the person is registered with).
    min_cell : smallest count that exhibits show.
    given : the other rules, such as not_index="hospital-wide", same_day="new stay", always_planned=events,
        first="2022-01-01"; docs/care_measures.md has all of them.

    Raises
    ------
    DefinitionError : an unknown rule, or one that cannot be.
    """
    people = People.of(cohort, window)
    if rules is None:
        return Readmissions(source, readmission_rules(days, **given), people, min_cell, site)
    if given or days != 30:
        raise DefinitionError("Give the rules as one value (rules=) or one by one, not both.")
    return Readmissions(source, rules, people, min_cell, site)
