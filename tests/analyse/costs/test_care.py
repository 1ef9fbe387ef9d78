"""Flat claims of eight persons from files to every exhibit, the answers worked out by hand; what small arms leave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.costs.care import NUMBERS, ORDER, CostOfCare, cost_of_care
from clinops.errors import DataError, DefinitionError
from clinops.results.schema import estimates
from tests.analyse.costs.support import CLAIMS, flat

TERMS = {"horizon_months": 3, "fee": 10.0, "replicates": 200, "effect": "days_at_home", "thresholds": (0, 5)}
RULES = co.ledger_rules(currency="USD")


def care(tmp_path: Path, min_cell: int = 1, file: Path | None = None, **given: Any) -> CostOfCare:
    terms = TERMS | given.pop("terms", {})
    folder = flat(tmp_path / "records", **given)
    return cost_of_care(
        folder, co.cost_plan(**terms), people=file or tmp_path / "people.csv", names=("Programme", "Usual care"),
        rules=RULES, min_cell=min_cell,
    )  # fmt: skip


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> CostOfCare:
    return care(tmp_path_factory.mktemp("eight"))


# --- by hand ------------------------------------------------------------------------------------

EXPOSED, COMPARATOR = np.array([430.0, 130, 700, 0]), np.array([1000.0, 200, 0, 80])


def test_each_person_costs_what_is_in_his_months(eight: CostOfCare) -> None:
    rows = eight.rows
    assert rows.total.tolist() == [*EXPOSED, *COMPARATOR]
    assert rows.categories == ("inpatient", "emergency", "pharmacy")
    assert rows.cost[0, :, 0].tolist() == [0, 0, 400] and rows.cost[0, 0, 2] == 30
    assert rows.cost[1, :, 1].tolist() == [100, 50 - 20, 0]  # day 31 ends month 1; the reversal is netted
    assert rows.before[7].tolist() == [0.0] * 11 + [55] and rows.before[:7].sum() == 0
    assert rows.died.tolist() == [False, False, True] + [False] * 5 and rows.complete.all()
    # person 3 from day 1 to 20 March: 31 and 28 days of the first two months, 5 of the 31 of the third
    assert rows.months.tolist() == pytest.approx([3, 3, 2 + 5 / 31, 3, 3, 3, 3, 3])
    assert rows.years == (2020, 2021)


def test_the_effect_by_category(eight: CostOfCare) -> None:
    frame = eight.effects.frame.set_index("category")
    assert frame["value_exposed"].tolist() == pytest.approx([1100 / 4, 130 / 4, 30 / 4, 315])
    assert frame["value_comparator"].tolist() == pytest.approx([250, 50, 20, 320])
    assert frame["difference"].tolist() == pytest.approx([25, -17.5, -12.5, -5])
    squares = sum(((arm - arm.mean()) ** 2).sum() / 16 for arm in (EXPOSED, COMPARATOR))
    error = np.sqrt(8 / 6 * squares)
    assert frame.loc["total", "difference_high"] == pytest.approx(-5 + 1.959964 * error, rel=1e-6)


def test_gross_fee_net_and_what_breaks_even(eight: CostOfCare) -> None:
    frame = eight.money.frame.set_index("line")["estimate"]
    assert frame.tolist() == pytest.approx([5, 10, -5, 5, -0.5])
    assert eight.main.frame.set_index("line").loc["Net: care and fee", "estimate"] == pytest.approx(5)
    assert eight.waterfall.frame["value"].tolist() == pytest.approx([25, -17.5, -12.5, -5, 10, 5])


def test_cost_per_member_month(eight: CostOfCare) -> None:
    total = eight.pmpm.frame.set_index("category").loc["Total"]
    assert total["pmpm_exposed"] == pytest.approx(1260 / (11 + 5 / 31))
    assert total["pmpm_comparator"] == pytest.approx(1280 / 12)


def test_the_effect_and_the_cumulative_cost(eight: CostOfCare) -> None:
    assert eight.stake.effect == pytest.approx(62.5 - 66.5)
    frame = eight.cumulative.frame.set_index(["arm", "month"])
    assert frame.loc["Programme", "cost"].tolist() == pytest.approx([0, (30 + 100) / 4, (130 + 30 + 700) / 4, 315])
    assert frame.loc["Usual care", "cost"].tolist() == pytest.approx([0, 250, 300, 320])
    assert frame.loc["Programme", "deaths"].tolist() == [0, 0, 0, 1]


def test_at_standard_prices_only_use_differs(eight: CostOfCare) -> None:
    """Without a service code a price is the category's mean a claim, a reversal taking its volume back."""
    split = eight.price_and_use.frame.set_index("category")
    price = (999 + 400 + 5000 + 700 + 1000) / 5
    assert split.loc["Inpatient", "use"] == pytest.approx((2 - 1) * price / 4)
    assert split.loc["Total", "use"] + split.loc["Total", "price"] == pytest.approx(-5)


def test_two_persons_leave_and_their_months_are_carried(tmp_path: Path) -> None:
    """Persons 4 and 7 leave on 15 February: after month 1 the others of their arm carry their months."""
    text = "person_id,arm,index_date,last_date\n" + "".join(
        f"{who},{int(who < 5)},2021-01-15,{'2021-02-15' if who in (4, 7) else ''}\n" for who in range(1, 9)
    )
    (tmp_path / "left.csv").write_text(text)
    found = care(tmp_path, file=tmp_path / "left.csv", terms={"effect": "", "thresholds": ()})
    values = found.cumulative.frame.set_index(["arm", "month"])["cost"]
    # exposed: month 1 (130 over four), then 30 + 700 and 400 over the three who stay; the enrolment tells that person 3
    # died, which is no leaving
    assert values["Programme"].tolist() == pytest.approx([0, 130 / 4, 130 / 4 + 730 / 3, 130 / 4 + 1130 / 3])
    assert values["Usual care"].tolist() == pytest.approx([0, 250, 250 + 200 / 3, 250 + 280 / 3])


def test_prices_of_one_year(tmp_path: Path) -> None:
    found = care(tmp_path, terms={"price_year": 2022, "price_index": {2020: 50, 2021: 100, 2022: 200}})
    assert found.rows.total.tolist() == [*(2 * EXPOSED), *(2 * COMPARATOR)]
    assert found.rows.before[7, -1] == 4 * 55
    assert next(check for check in found.checks if check.name == "cost_check_prices").passed is True


# --- every exhibit ------------------------------------------------------------------------------


def test_every_exhibit_is_there_once_numbered_and_says_something(eight: CostOfCare) -> None:
    made = eight.exhibits
    names = [exhibit.name for exhibit in made]
    assert len(set(names)) == len(names)
    assert all(isinstance(getattr(CostOfCare, name), property) for name in ORDER)
    assert len(set(NUMBERS.values())) == len(NUMBERS)
    assert {name for name in names if name not in NUMBERS} == {"cost_main", "cost_strip"}
    assert set(NUMBERS) <= set(names)
    silent = [exhibit.name for exhibit in made if not exhibit.sentence and exhibit.name != "cost_main"]
    assert silent == []
    for exhibit in made:
        assert "nan" not in exhibit.sentence.lower().split(), exhibit.name
        said = exhibit.figure is not None or exhibit.is_absent or "<table" in exhibit._repr_html_()
        assert str(exhibit) and said


def test_estimates_are_in_the_one_long_schema(eight: CostOfCare) -> None:
    frame = eight.estimates
    assert len(estimates(eight.estimate_rows)) == len(frame)
    assert {"cost over the horizon", "cumulative cost", "cost per member-month", "price and use", "cost model",
            "truncation", "decision", "cost-effectiveness", "deaths"} == set(frame["analysis"])  # fmt: skip
    assert set(frame["notebook"].fillna("")) == {""}
    assert (frame["n_exposed"] == 4).all()
    assert frame.set_index("analysis")["events_exposed"].dropna().to_dict() == {"deaths": 1}


def test_terms_print_on_every_exhibit_of_money(eight: CostOfCare) -> None:
    for exhibit in (eight.terms, eight.money, eight.waterfall, eight.perspectives, eight.budget, eight.value):
        text = str(exhibit) + json.dumps(dict(exhibit.figure.options) if exhibit.figure else {})
        assert "USD" in text and "Payer perspective" in text, exhibit.name


# --- what a small arm leaves --------------------------------------------------------------------


def everything_said(found: CostOfCare) -> str:
    """The page, every exhibit, its files and what its figure is drawn from, as text."""
    text = [str(found.front_page)]
    text += [f"{one}\n{one.title}\n{one.alt}\n{' '.join(one.notes)}\n{one.to_csv()}" for one in found.exhibits]
    text += [one.figure.data.to_csv() for one in found.exhibits if one.figure is not None]
    return "\n".join(text)


def in_report(folder: Path) -> tuple[CostOfCare, Path]:
    """An analysis of four persons an arm as the runner makes it, and the folder of its bundle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINOPS_RUN_DIR", str(folder / "run"))
        found = care(folder, min_cell=11)
        written = found.write(folder / "out")
    assert written is not None
    return found, written


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[CostOfCare, Path]:
    return in_report(tmp_path_factory.mktemp("report"))


SAID = {
    "means": ("315", "320.0", "275", "1260", "1280"), "medians": ("280", "140"), "difference": ("−5.0", "-5.0"),
    "months": ("11.16",), "per month": ("112.89", "106.67", "112.9", "106.7"),
    "standard deviation": ("463", "312"), "died": ("1 of 4", "250.0", "1/4"), "persons": ("of 4 ", "4 Programme"),
}  # fmt: skip
"""What would tell of four persons: numbers of the tests above, as they would be printed."""


def assert_hidden(text: str) -> None:
    words = set(re.findall(r"[−-]?\d[\d,]*(?:\.\d+)?", text))
    told = {what: [one for one in numbers if one in words or (" " in one and one in text)]
            for what, numbers in SAID.items()}  # fmt: skip
    assert {what: one for what, one in told.items() if one} == {}


def test_nothing_of_a_small_arm_is_printed_by_hand(tmp_path: Path) -> None:
    assert_hidden(everything_said(care(tmp_path, min_cell=11)))


def test_nothing_of_a_small_arm_leaves_in_a_report(report: tuple[CostOfCare, Path]) -> None:
    found, out = report
    files = [path.read_text() for path in out.rglob("*") if path.suffix in (".csv", ".json")]
    drawn = re.findall(r">([^<>]*)<", "".join(path.read_text() for path in out.rglob("*.svg")))
    assert_hidden("\n".join([everything_said(found), *files, *drawn]))
    page = found.front_page
    assert page.verdict == "not interpretable" and page.n == "<11 Programme and <11 Usual care"


def test_the_same_bundle_twice(report: tuple[CostOfCare, Path], tmp_path: Path) -> None:
    one, (_, two) = report[1], in_report(tmp_path)
    files = sorted(path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file())
    assert {"results.csv", "summary.json", "tables/cost_money.csv", "figures/cost_waterfall.svg"} <= set(files)
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_no_cell_that_rests_on_a_small_arm_holds_a_number(report: tuple[CostOfCare, Path]) -> None:
    found, _ = report
    about_persons = [one for one in found.exhibits if one.name.startswith("cost_") or one.name == "price_and_use"]
    allowed = {"power", "threshold", "month", "persons", "n", "probability_0", "kind", "share_persons"}
    left = {}
    for exhibit in about_persons:
        for frame in (exhibit.frame, *([exhibit.figure.data] if exhibit.figure is not None else [])):
            numbers = frame.select_dtypes("number").drop(columns=[c for c in frame if c in allowed], errors="ignore")
            kept = [c for c in numbers if numbers[c].notna().any() and not (numbers[c].dropna() == 0).all()]
            if kept:
                left[exhibit.name] = kept
    assert left == {}


def test_identity_hides_small_counts(tmp_path: Path) -> None:
    said = care(tmp_path).source.identity_at(11)
    assert said["persons"] == "<11" and said["claims"] == 13  # six persons have a claim
    assert not re.search(r"/|\\", said["name"]) and said["first_date"] == "2020-12-20"
    assert care(tmp_path / "again").source.identity_at(11)["fingerprint"] == said["fingerprint"]
    other = care(tmp_path / "other", claims=CLAIMS.replace("80", "81")).source.identity_at(1)
    assert other["fingerprint"] != said["fingerprint"] and other["persons"] == 6


def test_few_deaths_among_many_are_not_told(tmp_path: Path) -> None:
    """Thirty persons an arm, three deaths in one: no exhibit and no sentence says three, nor 100 per 1,000."""
    rng = np.random.default_rng(1)
    who = range(1, 61)
    claims = "person_id,service_date,category,allowed\n" + "".join(
        f"{p},2021-02-{1 + p % 28:02d},pharmacy,{rng.integers(10, 99)}\n" for p in who)  # fmt: skip
    enrolment = "person_id,start_date,end_date\n" + "".join(f"{p},2020-01-01,2022-12-31\n" for p in who)
    people = "person_id,arm,index_date,death_date,days_at_home\n" + "".join(
        f"{p},{int(p <= 30)},2021-01-15,{'2021-04-02' if p <= 3 else ''},{50 + p % 7}\n" for p in who)  # fmt: skip
    found = care(tmp_path, min_cell=11, claims=claims, enrolment=enrolment, people=people)
    text = "\n".join([str(found.front_page), *(f"{one}{one.to_csv()}" for one in found.exhibits)])
    assert "3 of 30" not in text and "3/30" not in text and "died among" not in found.cumulative.sentence
    from clinops.results.long import protect_estimates

    rows = protect_estimates(found.estimates)
    assert rows[rows["analysis"] == "deaths"]["estimate"].isna().all()  # and nothing else is lost with it
    assert rows[rows["analysis"] == "cost over the horizon"]["estimate"].notna().all()
    deaths = found.main.frame.set_index("line").loc["Deaths"]
    assert deaths[["value_exposed", "estimate", "low", "high", "events_exposed"]].isna().all()
    assert found.main.frame.set_index("line").loc["Cost of care over the horizon", "estimate"] == pytest.approx(
        found.effects.frame["difference"].iloc[-1]
    )


# --- what is asked for wrongly ------------------------------------------------------------------


def test_one_of_protocol_and_people(tmp_path: Path) -> None:
    folder = flat(tmp_path / "records")
    for given in ({}, {"people": tmp_path / "people.csv", "protocol": "x.json"}):
        with pytest.raises(DefinitionError, match=r"protocol= .* or people= .*one of the two"):
            cost_of_care(folder, rules=RULES, **given)
    with pytest.raises(DefinitionError, match="A protocol needs records in OMOP"):
        cost_of_care(folder, rules=RULES, protocol="x.json")


def test_claims_without_enrolment_or_money_are_refused(tmp_path: Path) -> None:
    folder = flat(tmp_path / "records")
    (folder / "enrolment.csv").unlink()
    with pytest.raises(DataError, match="There is no enrolment"):
        cost_of_care(folder, co.cost_plan(horizon_months=3), people=tmp_path / "people.csv", rules=RULES)
    with pytest.raises(DataError, match="No claim of these persons lies within"):
        care(tmp_path / "none", claims="person_id,service_date,category,allowed\n1,2019-01-01,pharmacy,5\n")


def test_categories_of_one_s_own(tmp_path: Path) -> None:
    """A ledger may name its categories; a plan that names others is refused before anything is read."""
    own = co.ledger_rules(currency="USD", categories=("ward", "emergency", "drugs"))
    text = CLAIMS.replace("inpatient", "ward").replace("pharmacy", "drugs")
    folder, people = flat(tmp_path / "records", claims=text), tmp_path / "people.csv"
    with pytest.raises(DefinitionError, match=r"no cost category that the programme can touch 'inpatient'.*ward"):
        cost_of_care(folder, co.cost_plan(horizon_months=3), people=people, rules=own)
    plan = co.cost_plan(horizon_months=3, touchable=("ward",), cashable={"drugs": 0.5}, price_year=2022,
                        price_index={2020: 1, 2021: 1, 2022: 1})  # fmt: skip
    found = cost_of_care(folder, plan, people=people, rules=own, min_cell=1)
    assert found.stake.touchable == 250 and found.rows.categories == ("emergency", "drugs", "ward")
    assert "drugs 50%" in found.perspectives.notes[0]


def test_parts_of_the_whole(eight: CostOfCare) -> None:
    assert isinstance(eight.front_page.results, tuple) and eight.study is None and eight.truth is None
    assert isinstance(eight.estimates, pd.DataFrame)


def test_a_small_arm_beside_a_large_one_is_not_told_either(tmp_path: Path) -> None:
    """Five exposed, forty comparators: what could be said of the five is searched for, as it would be printed."""
    rng = np.random.default_rng(5)
    who, cost = range(1, 46), np.round(rng.uniform(10_000, 90_000, 45), 2)
    cost[:5] += 7_321.55
    kind = {1: "inpatient", 0: "pharmacy"}
    claims = "person_id,service_date,category,allowed\n" + "".join(
        f"{p},2021-02-{1 + p % 28:02d},{kind[p % 2]},{cost[p - 1]}\n" for p in who)  # fmt: skip
    enrolment = "person_id,start_date,end_date\n" + "".join(f"{p},2020-01-01,2022-12-31\n" for p in who)
    people = "person_id,arm,index_date,days_at_home\n" + "".join(
        f"{p},{int(p <= 5)},2021-01-15,{50 + p % 7}\n" for p in who)  # fmt: skip
    found = care(tmp_path, min_cell=11, claims=claims, enrolment=enrolment, people=people)
    text = everything_said(found)
    few, many = cost[:5], cost[5:]
    odd, even = (np.array([c if p % 2 == r else 0.0 for p, c in zip(who, cost, strict=True)]) for r in (1, 0))
    secret = [few.mean(), few.sum(), np.median(few), few.std(ddof=1), few.mean() / 3, few.sum() / 15, few.max(),
              few.mean() - many.mean(), (few.mean() - many.mean()) / 3, odd[:5].mean(), even[:5].mean(),
              odd[:5].mean() - odd[5:].mean(), even[:5].mean() - even[5:].mean(), 10 + few.mean() - many.mean(),
              *np.quantile(few, [0.9, 0.95])]  # fmt: skip
    digits = text.replace(",", "")
    assert [one for one in map(abs, secret) if re.search(rf"(?<!\d){one:.0f}(?!\d)", digits)] == []
    assert [one for one in map(abs, secret) if f"{one:.2f}" in digits or f"{one:.6f}" in digits] == []
    assert f"{many.mean():,.0f}" in text  # what is said of the forty stands
