"""Make a world in memory, or write one to a folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinops._version import __version__
from clinops.errors import ParameterError
from clinops.worlds import messy, rollout, tables
from clinops.worlds import truth as potential
from clinops.worlds.draw import draw
from clinops.worlds.settings import (
    AGE_FROM,
    AGE_TO,
    BLOCK,
    DIAGNOSIS_BACK,
    HORIZON,
    INDEX_FROM,
    INDEX_TO,
    LEAST_ADMISSIONS,
    LOOK_BACK,
    NEVER,
    OFFER_INTERCEPT,
    OFFER_SLOPES,
    TRAILING,
    Knobs,
)

RECORDS = "omop"
"""The folder of the OMOP tables inside a written world; the truth lies beside it, never among the records."""


@dataclass(frozen=True)
class World:
    """A simulated programme in memory.

    `tables` holds the OMOP tables by name, `truth` one row an eligible person (columns in
    docs/methods/worlds.md), `settings` what the world was asked to be and the law of its offers. `clinics` is the
    truth by clinic and month of a roll-out, None without one.
    """

    tables: dict[str, pa.Table]
    truth: pa.Table
    settings: dict[str, Any]
    clinics: pa.Table | None = None

    def att(self, person_ids: Any = None) -> dict[str, Any]:
        """Average effect of the offer among the offered, or among the given persons; see `averages`."""
        rows = pc.is_in(self.truth["person_id"], pa.array(person_ids)) if person_ids is not None else None
        return averages(self.truth.filter(self.truth["offered"] if rows is None else rows))

    def truths(self, outcome: str = "cost_total") -> dict[str, float]:
        """The true mean difference that each estimand asks for, by its name; see `clinops.worlds.truth.estimands`."""
        return potential.estimands(self.truth, outcome)

    def register(self, connection: Any) -> None:
        """Make every table a view of a DuckDB connection, under its OMOP name."""
        for name, table in self.tables.items():
            connection.register(name, table)


@dataclass(frozen=True)
class Block:
    """A block of persons as tables: the records, the truth of its eligible persons, sums by clinic (see `rollout`)."""

    records: dict[str, pa.Table]
    truth: pa.Table
    clinics: dict[str, np.ndarray]


def averages(truth: pa.Table) -> dict[str, Any]:
    """Average the potential outcomes over a truth table's rows: `{"n": ..., outcome: {without, with, difference}}`."""
    columns = {
        f"{name}_{world}": truth[f"{name}_{world}"].to_numpy() for name in potential.OUTCOMES for world in (0, 1)
    }
    return potential.averages(columns, np.ones(len(truth), dtype=bool))


def world(persons: int = 20_000, effect: float = 0.15, seed: int = 20260101, **knobs: Any) -> World:
    """Make a world in memory.

    Parameters
    ----------
    persons, effect, seed, **knobs : see `clinops.worlds.settings.Knobs`.

    Raises
    ------
    ParameterError : an unknown setting or an impossible value.
    """
    asked = Knobs.of(persons=persons, effect=effect, seed=seed, **knobs)
    made = list(blocks(asked))
    joined = {name: pa.concat_tables([one.records[name] for one in made]) for name in made[0].records}
    truth = pa.concat_tables([one.truth for one in made])
    clinics = _clinic_table(asked, [one.clinics for one in made])
    return World(joined | tables.fixed(asked, __version__), truth, describe(asked), clinics)


def _clinic_table(knobs: Knobs, sums: list[dict[str, np.ndarray]]) -> pa.Table | None:
    """Add the blocks' sums by clinic and month; None where no clinic begins."""
    if not knobs.waves:
        return None
    whole = {name: np.sum([one[name] for one in sums], axis=0) for name in sums[0]}
    return rollout.table(knobs, whole)


def blocks(knobs: Knobs) -> Iterator[Block]:
    """Yield the person-level tables and the truth of each block of persons, in order."""
    for block, first in enumerate(range(0, knobs.persons, BLOCK)):
        yield make_block(knobs, block, min(BLOCK, knobs.persons - first))


def make_block(knobs: Knobs, block: int, n: int) -> Block:
    """Make one block as tables: the records that its actual course left behind, and the truth."""
    it = draw(knobs, block, n)
    who, death = it.who, it.death
    years = tables.plan_years(who, death)
    part = {
        "person": tables.person(block, who),
        "observation_period": tables.observation_period(block, who, death),
        "payer_plan_period": tables.payer_plan_period(block, who, years),
        "visit_occurrence": tables.visit_occurrence(block, who, it.kept, death),
        "condition_occurrence": tables.condition_occurrence(block, it.kept, it.noted),
        "drug_exposure": tables.drug_exposure(block, who, it.taken, death),
        "cost": tables.cost(knobs, block, it.kept, it.taken, years, it.arrived),
        "observation": tables.observation(block, it.of, it.ran),
        "death": tables.deaths(block, death),
    }
    if knobs.messy and block == 0:
        spare = np.setdiff1d(np.arange(n), it.of.person)
        part = messy.soil(part, tables.person_ids(block, spare))
    return Block(part, _truth_table(block, it.truth), it.clinics)


def _truth_table(block: int, known: dict[str, np.ndarray]) -> pa.Table:
    columns = potential.in_units(known)
    number = tables.person_ids(block, columns.pop("person"))
    dates = {name: _dates(columns.pop(name)) for name in list(columns) if name.endswith("_date")}
    return pa.table({"person_id": number} | dates | columns)


def _dates(days: np.ndarray) -> pa.Array:
    """Return days since 1970-01-01 as dates; NEVER is null."""
    return pa.array(days.astype(np.int32), mask=days == NEVER).cast(pa.date32())


def describe(knobs: Knobs) -> dict[str, Any]:
    """Return what a reader needs to state this world's design: settings, eligibility, law of offers."""
    offers: dict[str, Any] = {
        "form": "logistic, linear in the covariates",
        "intercept": OFFER_INTERCEPT,
        "slopes": {name: slope * knobs.confounding for name, slope in OFFER_SLOPES.items()},
    }
    if knobs.hidden:
        offers["hidden"] = f"plus {knobs.hidden:g} a unit of the latent need, which no record holds"
    if knobs.lottery:
        offers = {"form": "a lottery", "share": knobs.lottery}
    if knobs.waves:
        offers = {"form": "everyone eligible, from the start of the person's clinic on"}
    entry: dict[str, Any] = {
        "entry": "first primary care visit (visit_concept_id 9202) at which all of this holds",
        "condition": {"concept_id": 201826, "descendants": True, "days": [-DIAGNOSIS_BACK, -1]},
    }
    if knobs.qualifying:
        entry = {
            "entry": "first admission (visit_concept_id 9201) at which all of this holds",
            "admissions": {"at_least": LEAST_ADMISSIONS, "days": [-TRAILING, 0]},
        }
    iso = [str(np.datetime64(bound, "D")) for bound in (INDEX_FROM, INDEX_TO)]
    return {
        "clinops": __version__,
        "knobs": knobs.record(),
        "eligibility": entry | {"between": iso, "age": [AGE_FROM, AGE_TO], "observed_before_days": LOOK_BACK},
        "follow_up_days": [1, HORIZON],
        "offer_model": offers,
        "population_att": knobs.population_att(),
        "effect_means": (
            "expected fall in mean allowed cost over days 1 to 365 among the offered, as a share of their mean "
            "without the offer, at the default uptake; the realised truth of this world is under att"
        ),
    }


def write(
    out: Path | str,
    *,
    persons: int = 20_000,
    effect: float = 0.15,
    seed: int = 20260101,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **knobs: Any,
) -> dict[str, Any]:
    """Write a world: `out/omop/*.parquet`, `out/truth.parquet`, `out/truth.json`; whole or not at all.

    Parameters
    ----------
    out : folder to make; one that exists and is not empty is refused unless `replace`.
    persons, effect, seed, **knobs : see `clinops.worlds.settings.Knobs`.
    replace : put the new world in the place of an older world (only of a world, never of another folder).
    progress : called with (persons done, persons in all) after each block.

    Returns
    -------
    dict : what `truth.json` holds, with `rows` by table.

    Raises
    ------
    ParameterError : an impossible setting, an occupied or unwritable folder; nothing is written.
    """
    asked = Knobs.of(persons=persons, effect=effect, seed=seed, **knobs)
    out = Path(out)
    _refuse_occupied(out, replace)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as why:
        raise ParameterError(f"Cannot write to {out.parent}: {why.strerror}. Choose another folder.") from why
    try:
        summary = _fill(building, asked, progress)
        building.chmod(0o755)
        _put_in_place(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return summary


def _refuse_occupied(out: Path, replace: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ParameterError(f"{out} is a file; give a folder that does not exist yet.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not replace:
        raise ParameterError(f"{out} is not empty; nothing was written. Choose another folder or allow replacing.")
    if not (out / "truth.json").is_file() or not (out / RECORDS).is_dir():
        raise ParameterError(f"{out} is not a simulated world, so it is not replaced. Choose another folder.")


def _fill(folder: Path, knobs: Knobs, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    (folder / RECORDS).mkdir()
    rows: dict[str, int] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    truths, clinics = [], []
    try:
        for block, made in enumerate(blocks(knobs)):
            for name, table in made.records.items():
                if name not in writers:
                    writers[name] = _writer(folder / RECORDS / f"{name}.parquet", table)
                writers[name].write_table(table)
                rows[name] = rows.get(name, 0) + len(table)
            truths.append(made.truth)
            clinics.append(made.clinics)
            if progress is not None:
                progress(min((block + 1) * BLOCK, knobs.persons), knobs.persons)
    finally:
        for writer in writers.values():
            writer.close()
    for name, table in tables.fixed(knobs, __version__).items():
        pq.write_table(table, folder / RECORDS / f"{name}.parquet", compression="zstd")
        rows[name] = len(table)
    truth = pa.concat_tables(truths)
    pq.write_table(truth, folder / "truth.parquet", compression="zstd")
    by_clinic = _clinic_table(knobs, clinics)
    if by_clinic is not None:
        pq.write_table(by_clinic, folder / "truth_clinics.parquet", compression="zstd")
    summary = describe(knobs) | {
        "eligible": len(truth),
        "att": averages(truth.filter(truth["offered"])),
        "ate": averages(truth),
        "rows": dict(sorted(rows.items())),
    }
    text = json.dumps(_without_nan(summary), indent=1, sort_keys=True, allow_nan=False)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _writer(path: Path, table: pa.Table) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, table.schema, compression="zstd")


def _without_nan(value: Any) -> Any:
    """Return the value with NaN as None: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def _put_in_place(building: Path, out: Path) -> None:
    """Rename the finished folder to its place; an older world there is set aside first, then removed."""
    if out.is_dir() and any(out.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        out.rename(aside / "old")
        building.rename(out)
        shutil.rmtree(aside)
        return
    building.rename(out)
