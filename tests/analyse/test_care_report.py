"""The measures of care as one report: persons of a protocol, numbers, and what is refused before work starts."""

from __future__ import annotations

from pathlib import Path

import pytest

import clinops as co
from clinops.analyse.care.report import NUMBERS
from clinops.analyse.exhibits.gallery import RUN_FOLDER
from clinops.errors import DefinitionError
from clinops.worlds import write
from tests.repo.files import ROOT

PROTOCOL = ROOT / "data" / "protocols" / "remote_care_programme.json"
YEAR = {"first": "2021-01-01", "last": "2021-12-31"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("world") / "demo"
    write(folder, persons=1500, seed=11)
    with co.connect(folder / "omop") as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """As a report makes it: the first exhibit asked for makes them all, and they are protected together."""
    found = co.care(source, **YEAR, continuity_by="site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_FOLDER, str(tmp_path_factory.mktemp("run")))
        assert found.rules.protected == 11 and len(found._gallery._kept) == len(NUMBERS)
    return found


def test_every_exhibit_has_its_number_and_renders(whole):
    assert {one.name: one.number for one in whole.exhibits} == NUMBERS
    html = whole._repr_html_()
    assert all(f"{number}." in html or number in html for number in NUMBERS.values())
    assert str(whole).count("Synthetic data") >= len(NUMBERS)
    for one in whole.exhibits:
        assert one.sentence and one.protected == 11
        assert one.figure is None or one.alt
    assert whole.write() is None  # no folder given and no runner at work


def test_the_two_halves_count_the_same(whole):
    """Months, the rate table and the sites are of the same admissions and readmissions."""
    loose = co.care(whole.source, **YEAR, min_cell=1)
    admitted = loose.use.frame["events"].iloc[0]
    assert loose.admissions_by_month.frame["admissions"].sum() == admitted == loose.rate.frame["events"].iloc[0]
    emergency = loose.use.frame.set_index("measure").loc["Emergency visits", "events"].iloc[0]
    assert loose.emergency_by_month.frame["emergency"].sum() == emergency
    total = loose.sites.frame.iloc[-1]
    back = loose.rate.frame[loose.rate.frame["unit"] == "per 100 index discharges"].iloc[0]
    assert (total["events"], total["index"]) == (back["events"], back["of"])
    years = loose.admissions_by_month.frame["years"].sum()
    assert years == pytest.approx(loose.use.frame["of"].iloc[1])


def test_a_protocol_says_whose_care_counts(source):
    plan = co.protocol.read(PROTOCOL)
    offered, other = (
        co.care(source, **YEAR, protocol=PROTOCOL, arm=arm, min_cell=1) for arm in ("exposed", "comparator")
    )
    by_hand = co.care_measures(source, **YEAR, cohort=plan.exposed, window=plan.follow_up.window, min_cell=1)
    assert offered.use.frame.equals(by_hand.use.frame)
    assert str(offered.people) == f"{plan.exposed.name}, {plan.follow_up.window} from the index date"
    assert other.people.cohort == plan.comparator
    assert co.care(source, protocol=plan).people == offered.people


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arm": "offered"}, "arm"),
        ({"site": "ward"}, "kind of site"),
        ({"continuity_by": "doctor"}, "continuity"),
        ({"days": 0}, "days"),
        ({"first": "2020-02-30"}, "2020-02-30"),
        ({"first": "2021-01-01", "last": "2020-01-01"}, "earlier day first"),
        ({"follow_up_days": (30, 7)}, "rising"),
        ({"baseline_to": "2020-06-30", "last": "2020-01-31"}, "The baseline ends on 2020-06-30"),
        ({"protocol": Path("nowhere.json")}, "protocol file"),
    ],
)
def test_wrong_input_is_refused_before_work_starts(given, message):
    with pytest.raises(DefinitionError, match=message):
        co.care(_Untouched(), **given)


class _Untouched:
    """Records that nobody may read."""

    def __getattr__(self, name: str):
        raise AssertionError(f"the records were read ({name})")
