"""Persons from a file: who was in which arm from which day, where no protocol made the arms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.costs.rows import CostRows, assemble, basis
from clinops.analyse.months import anniversary_days, months_started
from clinops.build.ledger.observed import deaths, observed
from clinops.define.cost_plan import CostPlan
from clinops.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("person_id", "arm", "index_date")
DATES = ("index_date", "last_date", "death_date")
FOREVER = 2**20
CRUDE = "difference between the arms as they are"


def people_rows(
    ledger: Any, plan: CostPlan, *, file: Path, names: tuple[str, ...], covariates: tuple[str, ...]
) -> CostRows:  # fmt: skip
    """Read the file, hold it to what an analysis needs, and look up what each person cost.

    Raises
    ------
    DataError : a missing column, an arm that is not 0 or 1 or is empty, a date or a weight that is none, a person
        twice on one index date.
    """
    frame = read(file, covariates, plan)
    if len(names) != 2 or names[0] == names[1]:
        raise DataError(f"names is {names}; give two different names, the exposed first.")
    index = frame["index_date"].to_numpy(dtype="datetime64[D]")
    reach = anniversary_days(index, plan.horizon_months)
    death, left = _days(frame, "death_date", index, np.nan), _days(frame, "last_date", index, FOREVER)
    for name, day in (("death_date", death), ("last_date", left)):
        if early := int((day < 0).sum()):
            raise DataError(f"{early:,} rows of {file.name} have a {name} before their index_date; mend or leave out.")
    people = frame[["person_id", "index_date"]].assign(row=np.arange(len(frame)), reach=reach)
    first, until = observed(ledger.books, people)
    # Enrolment ends with a death that the file may not tell of; who died has not left, and is complete.
    death = np.fmin(death, deaths(ledger.books, people))
    people["death_day"] = death
    if lost := int(np.isnan(until).sum()):
        raise DataError(
            f"{lost:,} of {len(frame):,} persons of {file.name} are not enrolled on their index date, so what they "
            "cost is not known. Leave them out, or mend the enrolment."
        )
    last = np.minimum.reduce([reach, until, left, np.nan_to_num(death, nan=FOREVER)]).astype(int)
    people = people.assign(first_day=first, last_day=last)
    exposed = frame["arm"].to_numpy(dtype=int) == 1
    return assemble(
        ledger, people, plan, exposed=exposed,
        cluster=frame["cluster"].to_numpy() if "cluster" in frame else frame["person_id"].to_numpy(),
        cluster_name="cluster" if "cluster" in frame else "person", design=_design(frame, covariates),
        weights=_numbers(frame, "weight") if "weight" in frame else np.ones(len(frame)),
        names=names, currency=ledger.currency, basis=basis(plan, ledger.amount, ledger.currency),
        estimand="as the weights of the file make it" if "weight" in frame else CRUDE,
        adjustment="weights of the file" if "weight" in frame else "crude",
        effect=_effect(frame, plan), **_fee(frame, plan, exposed, index, index + last),
    )  # fmt: skip


def _fee(frame: pd.DataFrame, plan: CostPlan, exposed: Any, index: Any, end: Any) -> dict[str, Any]:
    """Each person's fee: as the file has it, or the plan's for everybody who was exposed."""
    if "fee" in frame and plan.fee is not None:
        raise DataError("The fee stands in the file (column fee) and in the plan (fee=); give one of the two.")
    if "fee" in frame:
        return {"fee": _numbers(frame, "fee")}
    units = exposed.astype(float)
    if plan.fee_per == "person-month":
        units *= months_started(index, end)
    unit = "started month" if plan.fee_per == "person-month" else "exposed person"
    fee = None if plan.fee is None else plan.fee * units
    return {"fee": fee, "fee_each": plan.fee, "fee_units": units, "fee_unit": unit}


def read(file: Path, covariates: tuple[str, ...], plan: CostPlan) -> pd.DataFrame:
    """Return the file as a typed frame; ids are text."""
    import pandas as pd

    if not file.is_file():
        raise DataError(f"There is no file {file.name}; give a CSV or Parquet file with {', '.join(NEEDED)}.")
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype={"person_id": "string"})
    except ValueError as problem:  # of pandas, of Arrow, and of text that is not UTF-8
        said = str(problem).splitlines()[0].rstrip(".")
        raise DataError(f"{file.name} cannot be read as a table: {said}. Give CSV (UTF-8) or Parquet.") from None
    for name in (*NEEDED, *covariates, *((plan.effect,) if plan.effect else ())):
        if name not in frame.columns:
            raise DataError(unknown(f"column of {file.name}", name, map(str, frame.columns)))
    frame["person_id"] = frame["person_id"].astype("string")
    wrong = [str(one) for one in frame["arm"].dropna().unique() if one not in (0, 1)]
    if wrong or frame["arm"].isna().any():
        raise DataError(f"arm of {file.name} holds {', '.join(wrong[:3]) or 'missing values'}; give 1 (exposed) or 0.")
    for arm, name in ((1, "exposed"), (0, "comparator")):
        if not (frame["arm"] == arm).any():
            raise DataError(f"Nobody in {file.name} is in the {name} arm (arm = {arm}); there is nothing to compare.")
    for name in (one for one in DATES if one in frame):
        given = frame[name].notna()
        frame[name] = pd.to_datetime(frame[name], errors="coerce", format="ISO8601")
        if bad := int((given & frame[name].isna()).sum()) or (name == "index_date" and int(frame[name].isna().sum())):
            raise DataError(f"{bad} rows of {file.name} have no readable {name}; write dates as YYYY-MM-DD.")
    for name in (one for one in ("person_id", "cluster") if one in frame):
        if bad := int(frame[name].isna().sum()):
            raise DataError(f"{name} of {file.name} is missing in {bad:,} rows; give every person's.")
    if twice := int(frame.duplicated(["person_id", "index_date"]).sum()):
        raise DataError(f"{twice} rows of {file.name} repeat a person on one index date; give each once.")
    return frame.reset_index(drop=True)


def _days(frame: pd.DataFrame, name: str, index: Any, missing: float) -> Any:
    if name not in frame:
        return np.full(len(frame), missing, dtype=float)
    days = (frame[name].to_numpy(dtype="datetime64[D]") - index).astype("timedelta64[D]").astype(float)
    return np.where(frame[name].isna(), missing, days)


def _numbers(frame: pd.DataFrame, name: str) -> Any:
    import pandas as pd

    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
    if bad := int((~(np.isfinite(found) & (found >= 0))).sum()):
        raise DataError(f"{name} is missing, negative or no number in {bad:,} rows; give 0 or more for every person.")
    return found


def _design(frame: pd.DataFrame, covariates: tuple[str, ...]) -> Any:
    """Columns of the covariates, centred and scaled; levels of text as indicators, missing as a level or a flag."""
    columns = []
    for name in covariates:
        values = frame[name]
        if values.dtype.kind in "biuf":
            number = values.to_numpy(dtype=float)
            gone = np.isnan(number)
            columns.append(np.where(gone, number[~gone].mean() if (~gone).any() else 0.0, number))
            columns += [gone.astype(float)] if gone.any() else []
        else:
            text = values.astype("object").where(values.notna(), "missing").astype(str)
            levels = sorted(text.unique())[1:]
            columns += [(text == level).to_numpy(dtype=float) for level in levels]
    kept = [(one - one.mean()) / one.std() for one in columns if one.std() > 0]
    return np.column_stack(kept) if kept else np.empty((len(frame), 0))


def _effect(frame: pd.DataFrame, plan: CostPlan) -> Any:
    if not plan.effect:
        return None
    import pandas as pd

    found = pd.to_numeric(frame[plan.effect], errors="coerce").to_numpy(dtype=float)
    if bad := int((~np.isfinite(found)).sum()):
        raise DataError(
            f"{plan.effect} is missing or no number for {bad:,} persons; give every person's, higher being better."
        )
    return found
