"""Out: what a study, a profile or a quality report leaves behind, written as one bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.exhibits.gallery import RUN_FOLDER
from clinops.define.findings import Findings
from clinops.define.panel import PeriodPlan
from clinops.define.protocol import Protocol
from clinops.results.front import FrontPage
from clinops.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

DOCUMENTS = "CLINOPS_DOCUMENTS"
"""Set by the runner: the formats, apart by commas, in which the report is wanted besides HTML."""


@dataclass(frozen=True)
class Bundle:
    """What goes out.

    Attributes
    ----------
    title : of the report.
    exhibits : in the report's order.
    source : the records; only what identifies them is written.
    protocol, findings, estimates : of a study; None where there is none.
    verdicts : each with label, text and status, for the index of reports.
    failed : the checks that failed, in words.
    min_cell : counts from 1 to one less than this are hidden.
    page : the first page; None where there is none.
    """

    title: str
    exhibits: tuple[Result, ...]
    source: Any
    protocol: Protocol | PeriodPlan | None = None
    findings: Findings | None = None
    estimates: pd.DataFrame | None = None
    verdicts: tuple[Mapping[str, str], ...] = ()
    failed: tuple[str, ...] = ()
    min_cell: int = 11
    page: FrontPage | None = None


def documents_asked() -> tuple[str, ...]:
    """The formats in which the runner wants the report besides HTML."""
    return tuple(filter(None, os.environ.get(DOCUMENTS, "").split(",")))


def write(bundle: Bundle, folder: str | Path | None = None) -> Path | None:
    """Write a bundle into a folder, or where the runner says.

    Returns
    -------
    The folder; None where none was given and no runner is at work, as in a notebook opened by hand.
    """
    target = folder or os.environ.get(RUN_FOLDER)
    if not target:
        return None
    from clinops.results import bundle as exit_

    first, last = bundle.source.span
    summary = {
        "title": bundle.title, "data": bundle.source.name, "date_range": f"{first} to {last}",
        "synthetic": bundle.source.synthetic, "cleared": False, "verdicts": [dict(v) for v in bundle.verdicts],
        "failed_checks": list(bundle.failed),
    }  # fmt: skip
    lint = () if bundle.findings is None else tuple(vars(finding) for finding in bundle.findings)
    return exit_.write(
        target, results=bundle.exhibits, estimates=bundle.estimates, protocol=bundle.protocol,
        source_identity=bundle.source.identity_at(bundle.min_cell), summary=summary, lint=lint,
        min_cell=bundle.min_cell, page=bundle.page,
        documents=documents_asked(),
    )  # fmt: skip
