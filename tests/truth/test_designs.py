"""Over many worlds each default design is right for its own estimand, and the checks see what can be seen.

docs/methods/truth.md holds the long run: 2,000 worlds a design, made by `python -m benchmarks.truth`. A fresh, shorter
run here is judged by binomial limits, other seeds than the long one.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.truth import PAGE, assumption_table, design_table
from tests.truth import assumptions, designs, summaries

FRESH, FRESH_ASSUMPTIONS = 200, 60
FIRST_SEED = 100_001
FIFTH = 0.2
USUAL_CALIPER, ROLLOUT = "matching, caliper 0.2", "roll-out, clinics not yet begun"
NOT_RIGHT = (summaries.CRUDE, USUAL_CALIPER, ROLLOUT)
"""What the page says is not right, and why: each has a test of its own below."""


def limits(n: int, p: float) -> tuple[int, int]:
    """Counts between which 99.8 % of binomial draws lie."""
    return int(binom.ppf(0.001, n, p)), int(binom.ppf(0.999, n, p))


def sound(rows: list[summaries.Design]) -> list[summaries.Design]:
    return [row for row in rows if row.design not in NOT_RIGHT]


def test_the_long_run_holds_what_the_page_promises():
    rows = summaries.read(summaries.DESIGNS_CSV, summaries.Design)
    right = sound(rows)
    assert len(right) == 14
    for row in right:
        assert row.bias_over_se < FIFTH, row
        assert row.worlds == 2_000, row
        assert 0.93 <= row.covers_expected <= 0.97, row
        if row.world == "none":
            assert row.truth == 0 and 0.03 <= row.excludes_zero <= 0.07, row
    assert all(row.bias_over_se > 2 for row in rows if row.design == summaries.CRUDE)


def test_what_is_not_right_is_shown_as_such():
    """Pairs within 0.2 SD of the logit still differ; 24 clinics are few, and fewer worlds were run of them."""
    rows = summaries.read(summaries.DESIGNS_CSV, summaries.Design)
    wide = [row for row in rows if row.design == USUAL_CALIPER]
    assert len(wide) == 2 and all(FIFTH < row.bias_over_se < 0.6 for row in wide)
    few = [row for row in rows if row.design == ROLLOUT]
    assert len(few) == 2
    for row in few:
        assert row.bias_over_se < FIFTH and 0.90 < row.covers_expected < 0.97


def test_the_long_run_of_checks_sees_what_can_be_seen():
    rows = summaries.read(summaries.ASSUMPTIONS_CSV, summaries.Assumption)
    assert {row.scenario for row in rows} == {*assumptions.SCENARIOS, *assumptions.CHANGES}
    for row in rows:
        if row.sound:
            assert row.any_check <= 0.10 and abs(row.bias_over_se) < FIFTH, row
        elif row.seen:
            assert row.any_check >= 0.90, row
        else:  # what no check can see is biased all the same, and shown as such
            assert abs(row.bias_over_se) > FIFTH and row.any_check < 0.90, row


def test_the_page_shows_the_committed_numbers():
    page = PAGE.read_text(encoding="utf-8")
    assert design_table(summaries.read(summaries.DESIGNS_CSV, summaries.Design)) in page
    assert assumption_table(summaries.read(summaries.ASSUMPTIONS_CSV, summaries.Assumption)) in page


def test_a_few_small_worlds_would_show_a_gross_bias():
    """In seconds: pooled over four smaller worlds, against the standard errors that they state."""
    held = [designs.one_world(seed, persons=4_000) for seed in range(FIRST_SEED, FIRST_SEED + 4)]
    for name in held[0]:
        for which in ("none", "planted"):
            estimate, se, _, _, truth = np.array([one[name][which] for one in held]).T
            z = (estimate - truth).mean() / (np.sqrt((se**2).sum()) / len(se))
            assert abs(z) < 3.5 or name == summaries.CRUDE, (name, which)
    assert all(one["weights, offered (ATT)"]["none"][4] == 0 for one in held)


@pytest.mark.slow
def test_every_default_design_is_right_in_fresh_worlds():
    worlds = [designs.one_world(seed) for seed in range(FIRST_SEED, FIRST_SEED + FRESH)]
    rows = summaries.designs(worlds)
    print(design_table(rows))
    low, high = limits(FRESH, 0.95)
    for row in sound(rows):
        # a fifth of the standard error, and what 200 worlds leave open
        assert abs(row.error) < FIFTH * row.se + 3.1 * row.mc_error, row
        assert low <= round(row.covers_expected * FRESH) <= high, row
        if row.world == "none":
            assert FRESH - high <= round(row.excludes_zero * FRESH) <= FRESH - low, row
    assert all(row.error > 5 * row.mc_error for row in rows if row.design == summaries.CRUDE)


@pytest.mark.slow
def test_checks_fail_where_an_assumption_does_in_fresh_worlds():
    worlds = [assumptions.one_world(seed) for seed in range(FIRST_SEED, FIRST_SEED + FRESH_ASSUMPTIONS)]
    rows = summaries.assumptions(worlds)
    print(assumption_table(rows))
    for row in rows:
        failed = round(row.any_check * FRESH_ASSUMPTIONS)
        if row.sound:
            assert failed <= limits(FRESH_ASSUMPTIONS, 0.10)[1], row
        elif row.seen:
            assert failed >= limits(FRESH_ASSUMPTIONS, 0.90)[0], row
