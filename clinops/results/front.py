"""The first page of a report: the whole evaluation in the shape of a structured abstract."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from clinops.errors import DefinitionError, unknown
from clinops.results.result import Check, Result

#: What an evaluation may conclude, each with a shape, so that no verdict rests on colour.
VERDICTS = {
    "benefit": "▲ Benefit",
    "harm": "▼ Harm",
    "no worthwhile difference": "● No worthwhile difference",
    "too uncertain": "◆ Too uncertain",
    "not interpretable": "✕ Not interpretable",
}


@dataclass(frozen=True, eq=False)
class FrontPage:
    """What a reader must know before anything else; every part is filled from results, none from prose.

    Attributes
    ----------
    title : of the evaluation.
    verdict : one of `VERDICTS`.
    conclusion : the verdict in one sentence.
    question, who_v_whom, time_zero, period, n, capture : one sentence each.
    detectable : the smallest effect the data could detect, beside the smallest worth having.
    main : the table of the primary outcome, deaths, admissions, emergency visits, days at home, safety.
    money : gross, fee, net, perspective and price year; or a sentence why there is none.
    strip : naive beside adjusted, as a result with a figure.
    threats : the largest threats to the conclusion.
    failed : checks that failed or could not be judged.
    allowed : lint errors that the protocol allows, as (rule, reason).
    """

    title: str
    verdict: str
    conclusion: str
    question: str
    who_v_whom: str = ""
    time_zero: str = ""
    period: str = ""
    n: str = ""
    capture: str = ""
    detectable: str = ""
    main: Result | None = None
    money: Result | str | None = None
    strip: Result | None = None
    threats: tuple[str, ...] = ()
    failed: tuple[Check, ...] = ()
    allowed: tuple[tuple[str, str], ...] = ()
    name: str = "front_page"

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise DefinitionError(unknown("verdict", self.verdict, VERDICTS))
        for part in ("threats", "failed", "allowed"):
            object.__setattr__(self, part, tuple(getattr(self, part)))

    @property
    def results(self) -> tuple[Result, ...]:
        """The results that stand on the page."""
        return tuple(part for part in (self.main, self.money, self.strip) if isinstance(part, Result))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The design in labelled sentences, those left empty left out."""
        said = (
            ("Question", self.question), ("Who v whom", self.who_v_whom), ("Time zero", self.time_zero),
            ("Period", self.period), ("Persons", self.n), ("What the data capture", self.capture),
            ("Detectable effect", self.detectable),
        )  # fmt: skip
        return tuple((label, text) for label, text in said if text)

    def _repr_html_(self) -> str:
        return str(importlib.import_module("clinops.render.exhibit").front_to_html(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def __str__(self) -> str:
        return str(importlib.import_module("clinops.render.exhibit").front_to_text(self))

    def __repr__(self) -> str:
        return f"<FrontPage {self.title}: {self.verdict}>"
