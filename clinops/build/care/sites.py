"""Index discharges by site: the hospital that discharged, or the clinic that the person is registered with."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from clinops.build import people
from clinops.build.care.readmissions import Readmitted
from clinops.build.entries import collect
from clinops.define.base import choice

SITES = ("hospital", "clinic")
"""Hospital: care site of the episode's last stay, which discharged. Clinic: care site of the person."""


def index_by_site(source: Any, found: Readmitted, by: str = "hospital") -> pd.DataFrame:
    """One row an index discharge with its site, and what the mix of patients is told by.

    Returns
    -------
    frame by discharge: person_id, site (Int64, missing where not on record), name (text, missing where the records
    name no such site), age (whole years at admission, missing where not known), sex (text, missing where not known)
    and readmitted.

    Raises
    ------
    DefinitionError : another kind of site.
    """
    choice("kind of site", by, SITES)
    table = found.table.filter(found.table["index"])
    stays = source.table("visit_occurrence")
    where = stays.select(visit=stays.visit_occurrence_id, ward=stays.care_site_id)
    placed = table.left_join(where, table.last_stay == where.visit)
    who = people.persons(source).rename(who="person_id")
    known = placed.left_join(who, placed.person_id == who.who)
    known = known.mutate(index_date=known.admitted)
    sites = source.table("care_site")
    named = sites.group_by(sites.care_site_id).agg(name=sites.care_site_name.max()).rename(place="care_site_id")
    chosen = known.mutate(site=known.ward if by == "hospital" else known.home_site)
    whole = chosen.left_join(named, chosen.site == named.place)
    levels = people.LEVELS["sex"]
    sex = ibis.cases(
        *((whole.gender_concept_id == concept, name) for concept, name in levels.items() if name), else_=None
    )
    shown = whole.select("person_id", "episode", "site", "name", "readmitted", age=people.age(whole), sex=sex)
    frame = pd.DataFrame(collect(source, shown.order_by("episode")))
    return frame.drop(columns="episode").astype({"site": "Int64", "age": "Int64", "readmitted": bool})
