"""A roll-out whose order was drawn, as a stepped wedge: every number again by other means; where there is none."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import statsmodels.formula.api as smf
from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

import clinops as co
from clinops.analyse.panels import rollout
from clinops.analyse.panels.wedge import CONSTANT, SEES, SINCE, SUITS, TITLE
from clinops.define.panel import PanelPlan
from clinops.errors import DefinitionError, DesignError
from tests.analyse.panels.made import Clinics, clinics, emergency, panel

PLAN = Path(__file__).parent.parent.parent.parent / "data" / "plans" / "remote_care_rollout.json"


@pytest.fixture
def six(source_of: Any) -> tuple[Clinics, rollout.Rollout]:
    """Six clinics in three steps, of which all begin, with an effect that grows."""
    world = clinics(seed=11, sizes={4.0: 2, 6.0: 2, 8.0: 2}, persons=100, averts=0.12)
    return world, co.rollout(panel(order="random"), source_of(world.tables, synthetic=True))


def cells(world: Clinics) -> pd.DataFrame:
    y = world.happened / world.days * 30437.5
    site, period = np.indices(y.shape)
    frame = pd.DataFrame({"y": y.ravel(), "site": site.ravel(), "period": period.ravel()})
    since = frame["period"] - world.first[frame["site"]]
    return frame.assign(since=since, on=(since >= 0).astype(float), lag=np.where(since >= 0, since, -1).astype(int))


def part(rolled: rollout.Rollout, name: str) -> pd.DataFrame:
    frame = rolled.wedge.frame
    return frame[frame["part"] == name].reset_index(drop=True)


def test_effects_are_those_of_a_regression_of_the_cells(six: tuple[Clinics, rollout.Rollout]) -> None:
    world, rolled = six
    frame = cells(world)
    one = smf.ols("y ~ C(site) + C(period) + on", frame).fit().params["on"]
    constant = part(rolled, CONSTANT)
    assert constant["estimate"].tolist() == pytest.approx([one, one], rel=1e-8)
    by = smf.ols("y ~ C(site) + C(period) + C(lag)", frame).fit().params.filter(like="C(lag)")
    since = part(rolled, SINCE)
    assert since["estimate"].tolist()[:-1] == pytest.approx(by.tolist(), rel=1e-7)
    assert since["estimate"].iloc[-1] == pytest.approx(by.mean(), rel=1e-7)
    assert [label[-9:] for label in since["label"][:-1]] == ["(6 sites)"] * 4 + ["(4 sites)"] * 2 + ["(2 sites)"] * 2
    trend = smf.ols("y ~ C(site) + C(period) + on + on:since", frame).fit().params["on:since"]
    suits = part(rolled, SUITS).iloc[0]
    assert suits["estimate"] == pytest.approx(trend, rel=1e-7) and suits["low"] < suits["estimate"] < suits["high"]
    assert suits["p"] < 0.05 and "✗ one effect does not suit" in suits["label"]
    assert "the effect grows with time" in rolled.wedge.sentence
    assert set(rolled.wedge.frame["unit"]) == {
        "per 1,000 person-months", "per 1,000 person-months, a quarter", "sites", "quarters", "share of variance",
    }  # fmt: skip


def cr2(X: np.ndarray, y: np.ndarray, site: np.ndarray) -> tuple[float, float, float]:
    """Limits and degrees of freedom of the last coefficient: each site's (I - H)^(-1/2), and the whole hat matrix."""
    inverse = np.linalg.inv(X.T @ X)
    maker = np.eye(len(X)) - X @ inverse @ X.T
    residual, pulls, variance = maker @ y, [], 0.0
    for one in np.unique(site):
        mine = np.flatnonzero(site == one)
        values, axes = np.linalg.eigh(maker[np.ix_(mine, mine)])
        root = (axes * np.where(values > 1e-9, np.abs(values) ** -0.5, 0)) @ axes.T
        weight = (inverse @ X[mine].T @ root)[-1]
        variance += float(weight @ residual[mine]) ** 2
        pulls.append(maker[:, mine] @ weight)
    products = np.array(pulls) @ np.array(pulls).T
    df = float(np.trace(products) ** 2 / (products**2).sum())
    middle, reach = (inverse @ X.T @ y)[-1], student.isf(0.025, df) * np.sqrt(variance)
    return middle - reach, middle + reach, df


def test_cr2_errors_are_their_definition_in_full_matrices(six: tuple[Clinics, rollout.Rollout]) -> None:
    world, rolled = six
    frame = cells(world)
    y, site = frame["y"].to_numpy(), frame["site"].to_numpy()
    X = np.column_stack([np.eye(6)[site], np.eye(12)[frame["period"]][:, 1:], frame["on"]])
    low, high, df = cr2(X, y, site)
    found = part(rolled, CONSTANT).iloc[0]
    assert [found["low"], found["high"]] == pytest.approx([low, high], rel=1e-7)
    assert f"t with {df:.1f} degrees" in found["label"]
    trend = part(rolled, SUITS).iloc[0]
    expected = cr2(np.column_stack([X, frame["on"] * frame["since"]]), y, site)[:2]
    assert trend[["low", "high"]].tolist() == pytest.approx(expected, rel=1e-7)


def test_the_permutation_is_over_every_order(six: tuple[Clinics, rollout.Rollout]) -> None:
    world, rolled = six
    frame = cells(world)
    fixed = np.column_stack([np.eye(6)[frame["site"]], np.eye(12)[frame["period"]]])
    found = part(rolled, CONSTANT).iloc[1]
    orders = sorted(set(itertools.permutations(world.first)))
    assert len(orders) == 90 and "(all 90)" in found["label"]

    def share(effect: float) -> float:
        y = frame["y"] - effect * frame["on"]
        seen = []
        for order in orders:
            on = (frame["period"] >= np.array(order)[frame["site"]]).astype(float)
            seen.append(np.linalg.lstsq(np.column_stack([fixed, on]), y, rcond=None)[0][-1])
        observed = seen[orders.index(tuple(world.first))]
        return float(np.mean(np.abs(seen) >= abs(observed) - 1e-9))

    assert found["p"] == pytest.approx(share(0.0))
    gap = 0.01 * (found["high"] - found["low"])
    assert share(found["low"] + gap) > 0.05 >= share(found["low"] - gap)
    assert share(found["high"] - gap) > 0.05 >= share(found["high"] + gap)


def test_correlation_and_power_are_those_of_hussey_and_hughes(six: tuple[Clinics, rollout.Rollout]) -> None:
    """Variances by statsmodels' mixed model of the cells; the variance of the effect by the closed form of 2007."""
    world, rolled = six
    frame = cells(world)
    # In standard deviations, where the optimiser of statsmodels meets its own tolerance.
    spread = frame["y"].std()
    model = smf.mixedlm("scaled ~ C(period) + on", frame.assign(scaled=frame["y"] / spread), groups="site").fit()
    between, own = float(model.cov_re.iloc[0, 0]) * spread**2, float(model.scale) * spread**2
    sees = part(rolled, SEES)["estimate"].tolist()
    assert sees[:4] == [6, 0, 12, 3]
    assert sees[4] == pytest.approx(between / (between + own), abs=1e-3)
    X = frame.pivot(index="site", columns="period", values="on").to_numpy()
    sites, periods = X.shape
    U, W, V = X.sum(), (X.sum(axis=0) ** 2).sum(), (X.sum(axis=1) ** 2).sum()
    top = sites * own * (own + periods * between)
    bottom = (sites * U - W) * own + (U**2 + sites * periods * U - periods * W - sites * V) * between
    error = np.sqrt(top / bottom)
    critical = student.isf(0.025, 4)
    shift = brentq(lambda d: nct.sf(critical, 4, d) + nct.cdf(-critical, 4, d) - 0.8, 1, 10)
    assert sees[5] == pytest.approx(shift * error, rel=5e-3)


def test_a_chosen_order_is_not_shown_and_moves_nothing(source_of: Any) -> None:
    source = source_of(clinics(seed=3, sizes={4.0: 3, 7.0: 3}, persons=8).tables)
    chosen, drawn = co.rollout(panel(), source), co.rollout(panel(), source, order="random")
    assert chosen.wedge.sentence.startswith("Not shown: the plan says that the order of the starts was chosen")
    assert chosen.wedge.number == drawn.wedge.number == "Table 6"
    added = (drawn.estimates["category"] == TITLE).fillna(False)
    assert added.sum() == 3 + 8 and not (chosen.estimates["category"] == TITLE).any()
    pd.testing.assert_frame_equal(drawn.estimates[~added].reset_index(drop=True), chosen.estimates)
    assert "order" not in panel(order="chosen").to_dict() and panel(order="random").hash != panel().hash
    said = json.loads(PLAN.read_text(encoding="utf-8"))
    canonical = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert PanelPlan.read(PLAN).hash == hashlib.sha256(canonical.encode()).hexdigest()
    with pytest.raises(DefinitionError, match="Did you mean 'random'"):
        panel(order="randon")


def without_events(world: Clinics) -> dict[str, pa.Table]:
    """The same records with every emergency visit on a day before the first period."""
    visits = world.tables["visit_occurrence"]
    which = pc.equal(visits["visit_concept_id"], 9203)
    days = pc.if_else(which, pa.scalar(dt.date(2019, 12, 31)), visits["visit_start_date"])
    place = visits.schema.get_field_index("visit_start_date")
    return world.tables | {"visit_occurrence": visits.set_column(place, "visit_start_date", days)}


def test_where_there_is_no_trial_a_sentence_says_why(source_of: Any) -> None:
    two = co.rollout(panel(order="random"), source_of(without_events(clinics(sizes={4.0: 1, 8.0: 1}))))
    assert two.wedge.sentence.startswith("Not possible: 2 care site(s) cannot tell")
    none = co.rollout(panel(order="random"), source_of(without_events(clinics(sizes={4.0: 2, 8.0: 1}))))
    assert none.wedge.sentence == "Not possible: the outcome is 0 at every site in every period."
    assert not (none.estimates["category"] == TITLE).any()
    source = source_of(clinics(sizes={6.0: 4}).tables)
    with pytest.raises(DesignError, match="random-order-one-start"):
        co.rollout(panel(order="random"), source)
    allowed = co.rollout(
        panel(order="random", allow=co.allow("random-order-one-start", "who starts was drawn too")), source
    )
    assert allowed.wedge.sentence.startswith("Not possible: every site starts in the same period")


def test_small_counts_shares_and_sites_that_began_before(source_of: Any, tmp_path: Path) -> None:
    rare = clinics(seed=6, sizes={4.0: 2, 6.0: 1, 8.0: 1}, persons=3, rate=0.03)
    few = co.rollout(panel(order="random"), source_of(rare.tables))
    assert few.wedge.sentence == "The effect rests on counts too small to be shown."
    shown = part(few, SINCE)[["estimate", "low", "high", "p"]]
    folder = few.write(tmp_path / "few")
    assert folder is not None
    written = pd.read_csv(folder / "results.csv").query("category == @TITLE")
    assert len(written) == 11 and written[["estimate", "conf_low", "p_value"]].isna().all(axis=None)
    assert shown.isna().all(axis=None) and "○ not judged" in part(few, SUITS)["label"].iloc[0]
    source = source_of(clinics(seed=5, sizes={4.0: 2, 6.0: 1, 8.0: 2}, persons=30).tables)
    dates = {1: "2019-06-01", 2: "2021-01-01", 3: "2021-07-01", 4: "2022-01-01", 5: "2022-01-01"}
    share = co.rollout(
        panel(order="random", starts=dates, outcome=co.any_of(emergency, name="An emergency visit")), source
    )
    assert part(share, SEES)["estimate"].iloc[0] == 4 and "percentage points" in share.wedge.sentence
    assert any("1 site(s) under the programme from the first period on" in note for note in share.wedge.notes)
    assert any("12 orders are too few" in note for note in share.wedge.notes)
    assert np.isinf(part(share, CONSTANT)[["low", "high"]].iloc[1]).all() and "∞%" not in str(share.wedge)
    assert not {f.rule for f in share.findings} & {"random-order-from-records", "random-order-one-start"}
