"""The protocol: the target trial that an evaluation emulates, as one value."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from clinops.define.adjustment import ESTIMANDS, USUAL, Adjustment, check_covariates
from clinops.define.base import Definition, choice, whole
from clinops.define.cohorts import CohortDefinition, check_ends
from clinops.define.events import Events
from clinops.define.fields import settle, several
from clinops.define.measures import Measure
from clinops.define.steps import Age, Step, between
from clinops.define.uptake import UptakePlan
from clinops.define.windows import Window
from clinops.errors import DefinitionError, unknown

if TYPE_CHECKING:
    from clinops.define.findings import Findings
    from clinops.define.register import Entry

PERSPECTIVES = ("payer", "at-risk system", "provider margin")
FEE_UNITS = ("person", "person-month")
PLACES = {
    "covariates": (("covariate",), "covariate"),
    "outcomes": (("primary", "secondary", "safety", "balancing"), "secondary"),
    "negative_controls": (("negative control",), "negative control"),
}
"""Where measures stand in a protocol: the roles they may have there, and the one they take."""


@dataclass(frozen=True)
class FollowUp(Definition):
    """When outcomes count and what ends observation.

    ``capture`` is the rule by which the absence of an event is believed on a source that sees only
    the care given inside it (an EHR): who is taken to be observed, and why; printed in the report.
    ``last_contact`` ends observation so many days after the last visit on record, where that is sooner
    than the records say; None takes the records' own end.
    """

    kind: ClassVar[str] = "follow-up"
    made: ClassVar[str] = "co.follow_up(co.days(1, 365))"
    window: Window
    censor: tuple[str | Events, ...] = ("end of observation", "death")
    capture: str | None = None
    last_contact: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ends(self.censor)
        if self.last_contact is not None:
            whole("last_contact, days after the last visit,", self.last_contact, 0, 3650)
        if self.capture is not None and not self.capture.strip():
            raise DefinitionError("capture is blank; write by which rule people count as observed, or leave it out.")
        if self.window.start is None:
            raise DefinitionError("Follow-up needs a first day; follow-up usually starts on day 1.")


@dataclass(frozen=True)
class Subgroup(Definition):
    """A split of the persons by something known at the index date.

    ``breaks`` cut a number into [.., b1), [b1, b2), ...; a categorical measure splits by its levels.
    """

    kind: ClassVar[str] = "subgroup"
    made: ClassVar[str] = "co.subgroup(measure, breaks=(...))"
    measure: Measure
    breaks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.measure.categorical and not self.breaks:
            raise DefinitionError(f"Subgroups by {self.measure.name!r} need breaks, such as breaks=(65,).")
        if list(self.breaks) != sorted(set(self.breaks)):
            raise DefinitionError(f"The breaks {self.breaks} must rise.")


@dataclass(frozen=True)
class Sensitivity(Definition):
    """The grid of other defensible choices that the report shows beside the main one."""

    kind: ClassVar[str] = "sensitivity"
    made: ClassVar[str] = "co.sensitivity(windows=(...), adjustments=(...))"
    windows: tuple[Window, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()


@dataclass(frozen=True)
class Programme(Definition):
    """The programme's three dates, kept apart, and what it costs.

    A fee is charged for each activated person (each offered one where no activation is given):
    once, or per started month observed.
    """

    kind: ClassVar[str] = "programme"
    made: ClassVar[str] = "co.programme(offer=co.events(...), ...)"
    offer: Events
    activation: Events | None = None
    engagement: Events | None = None
    fee: float | None = None
    fee_per: str = "person"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("fee unit", self.fee_per, FEE_UNITS)
        if self.fee is not None and self.fee < 0:
            raise DefinitionError(f"The fee is {self.fee}; give an amount of 0 or more.")


@dataclass(frozen=True)
class Allowance(Definition):
    """A lint error that this protocol accepts, by name and with a written reason."""

    kind: ClassVar[str] = "allowance"
    made: ClassVar[str] = "co.allow('rule', 'the reason')"
    rule: str
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.reason.strip()) < 10:
            raise DefinitionError(
                f"Allowing {self.rule!r} needs a written reason, a sentence a reader can judge: the report prints it."
            )


@dataclass(frozen=True)
class Protocol(Definition):
    """The target trial: question, arms, time zero, follow-up, covariates, outcomes, estimand.

    `assignment` is "observational", "random", or "as if random" with the defence in `assignment_reason`; `uptake`
    is what `co.uptake` looks at.

    Make one with `protocol`; `lint` checks the design before any query; `on` runs it on a source.
    """

    kind: ClassVar[str] = "protocol"
    made: ClassVar[str] = "a protocol, made with co.protocol(...)"
    title: str
    question: str
    exposed: CohortDefinition
    comparator: CohortDefinition
    follow_up: FollowUp
    covariates: tuple[Measure, ...] = ()
    outcomes: tuple[Measure, ...] = ()
    negative_controls: tuple[Measure, ...] = ()
    adjust: Adjustment = USUAL
    estimand: str = "att"
    assignment: str = "observational"
    cluster: str = "person"
    perspective: str = "payer"
    price_year: int | None = None
    programme: Programme | None = None
    subgroups: tuple[Subgroup, ...] = ()
    sensitivity: Sensitivity = Sensitivity()
    balance_threshold: float = 0.1
    seed: int = 20260101
    min_cell: int = 11
    allow: tuple[Allowance, ...] = ()
    assignment_reason: str | None = None
    uptake: UptakePlan | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._place_measures()
        for name in ("title", "question"):
            if not getattr(self, name).strip():
                raise DefinitionError(f"The protocol has no {name}: it stands at the top of the report.")
        choice("estimand", self.estimand, ESTIMANDS)
        choice("assignment", self.assignment, ("observational", "random", "as if random"))
        choice("cluster", self.cluster, ("person", "care site", "clinician"))
        choice("perspective", self.perspective, PERSPECTIVES)
        whole("the smallest cell count shown", self.min_cell, 1)
        whole("the seed", self.seed, 0)
        if not self.balance_threshold > 0:
            raise DefinitionError(f"balance_threshold is {self.balance_threshold:g}; give an SMD above 0, such as 0.1.")
        if self.exposed.name == self.comparator.name:
            raise DefinitionError(f"Both arms are named {self.exposed.name!r}; a table could not tell them apart.")
        if self.adjust.method != "none" and self.adjust.estimand != self.estimand:
            raise DefinitionError(
                f"The estimand is {self.estimand!r} but the adjustment targets {self.adjust.estimand!r}."
            )
        self._check_measures()
        self._check_allowances()

    def _place_measures(self) -> None:
        """Give each measure the role, and each outcome the window, of its place where it states none."""
        for name, (roles, default) in PLACES.items():
            window = None if name == "covariates" else self.follow_up.window
            placed = []
            for measure in getattr(self, name):
                if measure.role not in (None, *roles):
                    said = f"role among the {name} (for {measure.name!r})"
                    raise DefinitionError(unknown(said, measure.role, roles))
                placed.append(measure.at(default, window))
            object.__setattr__(self, name, tuple(placed))

    def _check_measures(self) -> None:
        seen: dict[str, Measure] = {}
        for measure in self.measures:
            if measure.id in seen:
                raise DefinitionError(f"Two measures are called {measure.name!r}; give one of them name=.")
            seen[measure.id] = measure
        if sum(m.role == "primary" for m in self.outcomes) > 1:
            raise DefinitionError("More than one outcome has the role 'primary'; one question has one primary outcome.")
        for adjust in (self.adjust, *self.sensitivity.adjustments):
            check_covariates(adjust, self.covariates)
        if self.primary is not None and self.primary.measure == "time to" and not self.adjust.needs_weights:
            raise DefinitionError(
                f"The primary outcome {self.primary.name!r} is a time to an event, of which {self.adjust.label} has no "
                "curve: people leave before it. Use co.weight(...) or co.match(...), or co.any_of(...) as the outcome."
            )

    def _check_allowances(self) -> None:
        allowed = [a.rule for a in self.allow]
        for rule in dict.fromkeys(allowed):
            if allowed.count(rule) > 1:
                raise DefinitionError(f"{rule!r} is allowed twice; give one allowance with one reason.")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every measure of the protocol, covariates first."""
        return (*self.covariates, *self.outcomes, *self.negative_controls)

    @property
    def primary(self) -> Measure | None:
        """The primary outcome, or None where none is named."""
        return next((m for m in self.outcomes if m.role == "primary"), None)

    def with_(self, **changes: Any) -> Protocol:
        """Return a copy with some fields changed; unknown names are refused."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise DefinitionError(unknown("part of a protocol", name, known))
        return dataclasses.replace(self, **changes)

    def vary(
        self, *, follow_up_days: int | None = None, age_from: int | None = None, age_to: int | None = None,
        age_rule: str = "exact", index_from: dt.date | str | None = None, index_to: dt.date | str | None = None,
        adjust: Adjustment | None = None, min_cell: int | None = None, seed: int | None = None,
    ) -> Protocol:  # fmt: skip
        """Return a copy with some of the choices that a parameter changes; what is None stays as it is.

        Age and index dates are rules added to the end of both arms' steps, so the attrition shows them.

        Raises
        ------
        DefinitionError : as the parts themselves raise.
        """
        steps: list[Step] = []
        if index_from is not None or index_to is not None:
            steps.append(between(index_from or dt.date(1800, 1, 1), index_to or dt.date(9999, 12, 31)))
        if age_from is not None or age_to is not None:
            steps.append(Age(age_from or 0, age_to, age_rule))
        changed = self.over(Window(1, follow_up_days)) if follow_up_days is not None else self
        plain: dict[str, Any] = {"adjust": adjust, "min_cell": min_cell, "seed": seed}
        if adjust is not None and adjust.method != "none":
            plain["estimand"] = adjust.estimand
        arms = {
            name: dataclasses.replace(arm, steps=(*arm.steps, *steps))
            for name, arm in (("exposed", self.exposed), ("comparator", self.comparator))
            if steps
        }
        return changed.with_(**arms, **{name: value for name, value in plain.items() if value is not None})

    def over(self, window: Window) -> Protocol:
        """Return a copy whose follow-up, and every outcome that runs over it, has another window."""
        before = self.follow_up.window

        def moved(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
            return tuple(dataclasses.replace(m, window=window) if m.window == before else m for m in measures)

        return self.with_(
            follow_up=dataclasses.replace(self.follow_up, window=window),
            outcomes=moved(self.outcomes),
            negative_controls=moved(self.negative_controls),
        )

    def lint(self, source: Any = None) -> Findings:
        """Check the design; with a source, also what only the source can tell (its capture)."""
        from clinops.define.lint import lint

        return lint(self, source)

    def lock(self, register: str | Path, *, reason: str = "") -> Entry:
        """Fix the plan before outcomes are read: write it into a register, an append-only file, with date and hash.

        A changed protocol is an amendment and needs a reason. Give the same file to ``protocol.on(source,
        register=...)`` and the report says whether outcomes had been read before, and what was amended.

        Raises
        ------
        DesignError : lint errors that the protocol does not allow by name.
        DefinitionError : an amendment without a reason; a file that is no register.
        """
        from clinops.define.register import lock

        return lock(register, self, reason=reason)

    def on(self, source: Any, **more: Any) -> Any:
        """Bind the protocol to a source; returns a `Study`, in which nothing has run yet."""
        # The facade stands at the end of the road and this at its beginning: looked up by name, so
        # that definitions import nothing that comes after them.
        return importlib.import_module("clinops.study").Study(self, source, **more)

    def __str__(self) -> str:
        return f"{self.title}: {self.exposed.name} v {self.comparator.name}, {self.follow_up.window}"


class _ProtocolConstructor:
    """`protocol(...)` makes a protocol; `protocol.read(path)` reads one from JSON."""

    def __call__(
        self,
        *,
        title: str,
        question: str,
        exposed: CohortDefinition,
        comparator: CohortDefinition,
        follow_up: FollowUp | Window,
        covariates: tuple[Measure, ...] = (),
        outcomes: tuple[Measure, ...] = (),
        negative_controls: tuple[Measure, ...] = (),
        adjust: Adjustment | None = None,
        estimand: str = "att",
        **more: Any,
    ) -> Protocol:
        """Make a protocol; measures take the role and window of the place they stand in.

        Parameters
        ----------
        title, question : as the report prints them.
        exposed, comparator : cohorts with the same eligibility but for the exposure itself.
        follow_up : `follow_up(...)`, or a bare window.
        covariates, outcomes, negative_controls : measures; an outcome without a window takes the follow-up's.
        adjust : `weight(...)`, `match(...)`, `standardise(...)`, `doubly_robust(...)` or `crude()`; weighting for the
            estimand when left out.
        more : any other field of `Protocol` (programme, subgroups, sensitivity, perspective, allow, ...).

        Raises
        ------
        DefinitionError
            Unknown field, two measures of one name, two primaries, an estimand that the adjustment
            does not target.
        """
        known = {f.name for f in dataclasses.fields(Protocol)}
        for name in more:
            if name not in known:
                raise DefinitionError(unknown("part of a protocol", name, known))
        when = follow_up if isinstance(follow_up, FollowUp) else FollowUp(follow_up)
        rest: dict[str, Any] = {
            name: several(v, name) if name in ("subgroups", "allow") else v for name, v in more.items()
        }
        return Protocol(
            title=title, question=question, exposed=exposed, comparator=comparator, follow_up=when,
            covariates=several(covariates, "covariates"), outcomes=several(outcomes, "outcomes"),
            negative_controls=several(negative_controls, "negative_controls"),
            adjust=Adjustment(estimand=estimand) if adjust is None else adjust, estimand=estimand, **rest,
        )  # fmt: skip

    def read(self, path: str | Path) -> Protocol:
        """Read a protocol from a JSON file that `Protocol.write` made."""
        file = Path(path)
        if not file.is_file():
            near = [p.name for p in file.parent.glob("*.json")] if file.parent.is_dir() else []
            raise DefinitionError(unknown("protocol file", file.name, near, f"Looked in {file.parent}."))
        return Protocol.from_json(file.read_text(encoding="utf-8"))


protocol = _ProtocolConstructor()


def follow_up(
    window: Window,
    censor: tuple[str | Events, ...] = ("end of observation", "death"),
    capture: str | None = None,
    last_contact: int | None = None,
) -> FollowUp:
    """Outcomes count in the window, until the first of what censors; see `FollowUp` for capture and last_contact."""
    return FollowUp(window, several(censor, "censor of the follow-up"), capture, last_contact)


def subgroup(measure: Measure, breaks: tuple[float, ...] = ()) -> Subgroup:
    """Split by a measure known at the index date: by its levels, or cut at the breaks."""
    settle(measure, Measure, "measure of the subgroup")
    return Subgroup(measure.at("covariate"), several(breaks, "breaks of the subgroup"))


def sensitivity(windows: tuple[Window, ...] = (), adjustments: tuple[Adjustment, ...] = ()) -> Sensitivity:
    """Other follow-up windows and other adjustments to set beside the main analysis."""
    return Sensitivity(several(windows, "windows of the grid"), several(adjustments, "adjustments of the grid"))


def programme(
    offer: Events, activation: Events | None = None, engagement: Events | None = None,
    fee: float | None = None, fee_per: str = "person",
) -> Programme:  # fmt: skip
    """The programme's offer, activation and engagement dates, and its fee."""
    return Programme(offer, activation, engagement, fee, fee_per)


def allow(rule: str, reason: str) -> Allowance:
    """Accept one lint error by name; the reason is printed in the report."""
    return Allowance(rule, reason)
