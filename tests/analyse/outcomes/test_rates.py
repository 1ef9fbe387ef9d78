"""Rates by calendar year and age: counted and standardised by hand, weighted, by person, and with nothing to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinops.analyse.outcomes.rates import AGES, Rates, band_name, checked, rate_rows, split, standardised
from clinops.errors import DefinitionError
from clinops.results.schema import estimates
from clinops.stats.clustered import ratio_of_sums
from clinops.stats.rates import poisson_rate, rate_ratio
from clinops.stats.standardisation import mantel_haenszel, standardised_contrast, standardised_rate
from tests.analyse.outcomes.support import One, rows, some

DAY = np.timedelta64(1, "D")


def dates(*given: str) -> np.ndarray:
    return np.array(given, dtype="datetime64[D]")


# Index 30 December 2019, so day 1 is the 31st, day 2 New Year's Day; followed for 100 days, to 8 April 2020.
# The first: born 9 January 1955, 65 on day 10. Days: 1 in 2019 at 64; 8 (day 2 to 9) in 2020 at 64; 91 at 65. Events:
# day 1, day 10 twice (one at 64 in 2019, two at 65 in 2020).
# The second: birth unknown; dies on day 40. Days: 1 in 2019 and 39 in 2020. Event: day 40, the day of death.
# The third, a comparator: born 1 March 1940, 80 on 1 March, day 62, within the band from 75. Days 1 and 99.
FIRST, SECOND, THIRD = One(100, events=(1, 10, 10)), One(40, dies=True, events=(40,)), One(100, events=(100,))
BY_HAND: dict[str, Any] = {
    "index_date": dates(*["2019-12-30"] * 3), "born": dates("1955-01-09", "NaT", "1940-03-01"),
}  # fmt: skip


def made(*arms: list[One], first: bool = False, ages: tuple[int, ...] = AGES, **changes: Any) -> Rates:
    standard = changes.pop("standard", "both arms")
    return split(rows(*arms, **changes), ages, first, standard)


def table(of: Rates) -> pd.DataFrame:
    """The rows of the ratio, by subgroup and level; all rows must pass the schema."""
    frame = estimates(rate_rows(of))
    kept = frame[(frame["scale"] == "rate ratio") & frame["method"].str.startswith("rate of")].fillna({"subgroup": ""})
    return kept.fillna({"level": ""}).set_index(["subgroup", "level"])


def counts(of: Rates, arm: str) -> dict[str, tuple[int, int, float]]:
    found = table(of)
    names = [f"{what}_{arm}" for what in ("n", "events", "person_days")]
    return {" ".join(key).strip(): tuple(row[name] for name in names) for key, row in found.iterrows()}


def test_days_and_events_fall_in_their_year_and_age() -> None:
    of = made([FIRST, SECOND], [THIRD], **BY_HAND)
    assert counts(of, "exposed") == {
        "": (2, 4, 140), "Calendar year 2019": (2, 1, 2), "Calendar year 2020": (2, 3, 138),
        "Age 45 to 64": (1, 1, 9), "Age 65 to 74": (1, 2, 91), "Age 75 to 84": (0, 0, 0),
        "Age not known": (1, 1, 40),
    }  # fmt: skip
    assert counts(of, "comparator") == {
        "": (1, 1, 100), "Calendar year 2019": (1, 0, 1), "Calendar year 2020": (1, 1, 99),
        "Age 45 to 64": (0, 0, 0), "Age 65 to 74": (0, 0, 0), "Age 75 to 84": (1, 1, 100),
        "Age not known": (0, 0, 0),
    }  # fmt: skip


def test_first_events_count_in_the_time_up_to_them() -> None:
    of = made([FIRST, SECOND], [THIRD], first=True, **BY_HAND)
    # The first leaves on day 1, the second on day 40 with its event.
    assert counts(of, "exposed")[""] == (2, 2, 41)
    assert counts(of, "exposed")["Calendar year 2019"] == (2, 1, 2)
    assert counts(of, "comparator")[""] == (1, 1, 100)


def test_an_outcome_that_is_watched_late_has_no_earlier_days() -> None:
    of = made([One(100)], [THIRD], since=60.0, **{name: value[[0, 2]] for name, value in BY_HAND.items()})
    assert counts(of, "exposed")[""] == (1, 0, 40)  # days 61 to 100
    assert "Calendar year 2019" not in counts(of, "exposed")


def test_who_is_watched_before_birth_has_no_known_age() -> None:
    of = made([FIRST], [THIRD], index_date=BY_HAND["index_date"][:2], born=dates("2020-01-05", "1940-03-01"))
    assert counts(of, "exposed")["Age not known"] == (1, 3, 100)


def spread(seed: int, weights: bool = False, **changes: Any) -> Rates:
    """Persons over three years and many ages."""
    draw = np.random.default_rng(seed)
    n = 400
    given: dict[str, Any] = {
        "index_date": np.datetime64("2019-06-01") + draw.integers(0, 600, n),
        "born": np.datetime64("1930-01-01") + draw.integers(0, 22_000, n),
    }  # fmt: skip
    if weights:
        given["weights"] = np.where(np.arange(n) < 150, 1.0, draw.uniform(0.3, 2.0, n))
    return made(some(150, seed, 400), some(250, seed + 1, 400), ages=(45, 65), horizon=400, **given | changes)


def cells(of: Rates) -> dict[tuple[bool, int, int], tuple[float, float]]:
    """Weighted events and person-years of every arm, year and band, person by person and day by day."""
    found: dict[tuple[bool, int, int], list[float]] = {}
    r = of.rows
    for row in np.flatnonzero(r.exit > r.since):
        days = r.index_date[row] + np.arange(1, int(r.exit[row] if of.first else r.end[row]) + 1)
        events = r.event_day[r.event_row == row]
        if of.first:
            events = events[:1]
        born = pd.Timestamp(r.born[row])
        for number, day in enumerate(map(pd.Timestamp, days), 1):
            age = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
            sums = found.setdefault((bool(r.exposed[row]), day.year, sum(age >= cut for cut in of.ages)), [0.0, 0.0])
            sums[0] += r.weights[row] * (events == number).sum()
            sums[1] += r.weights[row] / 365.25
    return {key: (d, t) for key, (d, t) in found.items()}


@pytest.mark.parametrize("standard", ["both arms", "exposed"])
def test_first_events_have_poisson_errors_over_the_cells(standard: str) -> None:
    of = spread(1, first=True, standard=standard)
    assert of.exact and of.kind == "Poisson"
    by = cells(of)
    keys = sorted({key[1:] for key in by if key[0]} & {key[1:] for key in by if not key[0]})
    one, zero = (np.array([by[arm, *key] for key in keys]).T for arm in (True, False))
    size = one[1] if standard == "exposed" else one[1] + zero[1]
    found = standardised(of)
    assert found.exposed.estimate == pytest.approx(standardised_rate(*one, size).estimate)
    assert found.comparator.conf_high == pytest.approx(standardised_rate(*zero, size).conf_high)
    for scale in ("difference", "ratio"):
        same = standardised_contrast(*one, *zero, size, kind="rate", scale=scale)
        assert getattr(found, scale).conf_low == pytest.approx(same.conf_low)
    same = mantel_haenszel(*one, *zero, measure="rate ratio").effect
    assert found.mantel_haenszel.conf_high == pytest.approx(same.conf_high)
    everybody = sum(t for (arm, *_), (_, t) in by.items() if arm or standard == "both arms")
    assert found.covered == pytest.approx(size.sum() / everybody)
    d, t = (sum(by[True, *key][i] for key in keys if key[0] == 2020) for i in (0, 1))
    d_0, t_0 = (sum(by[False, *key][i] for key in keys if key[0] == 2020) for i in (0, 1))
    row = table(of).loc[("Calendar year", "2020")]
    assert row["value_exposed"] == pytest.approx(1000 * poisson_rate(d, t).estimate)
    assert (row["conf_low"], row["p_value"]) == pytest.approx(
        (rate_ratio(d, t, d_0, t_0).conf_low, rate_ratio(d, t, d_0, t_0).p_value)
    )


@pytest.mark.parametrize("weights", [False, True], ids=["plain", "weighted"])
def test_all_events_have_errors_by_person(weights: bool) -> None:
    of = spread(3, weights)
    assert not of.exact and of.kind.startswith("robust, clusters: person")
    assert ("weights taken as known" in of.kind) == weights
    by, found = cells(of), standardised(of)
    keys = sorted({key[1:] for key in by if key[0]} & {key[1:] for key in by if not key[0]})
    one, zero = (np.array([by[arm, *key] for key in keys]).T for arm in (True, False))
    size = one[1] + zero[1]
    assert found.exposed.estimate == pytest.approx(size @ (one[0] / one[1]) / size.sum())
    assert found.ratio.estimate == pytest.approx((size @ (one[0] / one[1])) / (size @ (zero[0] / zero[1])))
    pooled = (one[0] @ (zero[1] / size)) / (zero[0] @ (one[1] / size))
    assert found.mantel_haenszel.estimate == pytest.approx(pooled)
    # In all, each arm is one ratio of sums over persons; the arms share nobody, so that their variances add.
    r = of.rows
    arms = []
    for arm in (True, False):
        at = r.arm(arm)
        arms.append(ratio_of_sums((r.weights * r.count)[at], (r.weights * r.end / 365.25)[at]))
    row = table(of).loc[("", "")]
    assert row["value_exposed"] == pytest.approx(1000 * arms[0].estimate)
    k, each = 400, [(150, arms[0]), (250, arms[1])]
    variance = sum((a.std_error / a.estimate) ** 2 * (m - 1) / m for m, a in each) * k / (k - 1)
    assert row["std_error"] == pytest.approx(np.sqrt(variance))


def test_death_comes_once_and_is_exact() -> None:
    of = spread(5, death="")
    assert of.exact and rate_rows(of)[0]["method"] == "rate of first events"


def test_persons_without_weight_or_time_are_in_no_stratum() -> None:
    weights = np.array([1.0, 0.0, 2.0])
    of = made([FIRST, SECOND], [THIRD], weights=weights, **BY_HAND)
    assert counts(of, "exposed")[""] == (1, 3, 100)
    nobody = made([One(0)], [THIRD], index_date=BY_HAND["index_date"][:2], born=BY_HAND["born"][:2])
    row = table(nobody).loc[("", "")]
    assert row["note"] == "nobody was followed in the arm Programme" and row["n_exposed"] == 0
    empty = made([One(0)], [One(0)], index_date=BY_HAND["index_date"][:2], born=BY_HAND["born"][:2])
    assert list(table(empty)["note"]) == ["nobody was followed in the arm Programme nor in the arm Usual care"]
    assert np.isnan(standardised(empty).covered)


def test_nothing_to_compare_is_said() -> None:
    of = made([One(100)] * 3, [One(100, events=(5,))] * 3, first=True)
    row = table(of).loc[("", "")]
    assert np.isnan(row["estimate"]) and row["note"] == "no events in an arm: no ratio of rates"
    assert row["value_exposed"] == 0
    # The arms' years do not meet: nothing can be standardised.
    index = dates(*["2018-01-01"] * 3, *["2020-01-01"] * 3)
    apart = standardised(made([One(100, events=(5,))] * 3, [One(100, events=(5,))] * 3, index_date=index))
    assert np.isnan(apart.ratio.estimate) and apart.covered == 0
    assert apart.ratio.note == "no calendar year and age with person-time in both arms"
    same = table(made([One(100, events=(5, 6))] * 3, [One(100, events=(5,))] * 3))
    assert same.loc[("", ""), "note"] == "no spread between persons: no interval"


def test_names_of_bands() -> None:
    assert [band_name((18, 45, 46), band) for band in range(5)] == [
        "below 18", "18 to 44", "45", "46 and over", "not known",
    ]  # fmt: skip


def test_what_is_asked_for_is_checked() -> None:
    assert checked((), "all events", "exposed") == (AGES, False, "exposed")
    assert checked([50], "first events", "both arms") == ((50,), True, "both arms")
    for ages in ([0, 18], [45, 18], [18, 18], [18.5], [200], [True, 18]):
        with pytest.raises(DefinitionError, match="give rising whole years from 1 to 150") as raised:
            checked(ages, "all events", "both arms")  # type: ignore[arg-type]
        assert str(ages[0]) in str(raised.value)
    with pytest.raises(DefinitionError, match="Did you mean 'first events'"):
        checked((), "first event", "both arms")
    with pytest.raises(DefinitionError, match="standard for rates 'everybody'"):
        checked((), "all events", "everybody")
