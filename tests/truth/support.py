"""A simulated world as a study of the embedded protocol: records on disk, truth beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import clinops as co
from clinops.define.protocol import Protocol
from clinops.study import Study
from clinops.worlds import World, world

PROTOCOL = Path(__file__).parents[2] / "data" / "protocols" / "remote_care_programme.json"


def the_protocol(**changes: Any) -> Protocol:
    """Return the protocol that `make report` runs on the simulated programme."""
    protocol = co.protocol.read(PROTOCOL)
    return replace(protocol, **changes) if changes else protocol


def study_of(folder: Path, protocol: Protocol | None = None, **knobs: Any) -> tuple[World, Study]:
    """Make a world in a folder and return it with the study of its records."""
    made = world(**knobs)
    for name, table in made.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="none")
    truth = folder / "truth.pq"
    pq.write_table(made.truth, truth)
    return made, Study(protocol or the_protocol(), co.connect(folder), truth=truth)
