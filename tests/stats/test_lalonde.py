"""Keys of the lalonde references that the tests by method leave out: every key is held by one of them or by these."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.stats.weighting import balancing_weights
from tests.stats.matchit import DATA, MATCHIT, their_groups
from tests.stats.test_mahalanobis import matched as by_covariates
from tests.stats.test_matching import matched
from tests.support import assert_close, oracle


def test_spreads_of_the_score_equal_r() -> None:
    assert_close(DATA.score.std(ddof=1), MATCHIT["ps"]["sd_ps"], 1e-8)
    assert_close(DATA.logit.std(ddof=1), MATCHIT["ps"]["sd_logit_ps"], 1e-8)


@pytest.mark.parametrize("variant", [name for name, made in MATCHIT.items() if "match_matrix" in made])
def test_matched_sets_equal_matchit(variant: str) -> None:
    by_several = variant.startswith("mah")
    sets, expected = by_covariates(variant) if by_several else matched(variant), MATCHIT[variant]
    assert sets.n_matched_comparators == expected["n_matched"]["control"]
    assert (sets.caliper is None) == (expected["caliper"] is None)
    if "subclass" not in expected:  # MatchIt forms no sets with replacement
        assert "replace" in variant
        return
    theirs = their_groups(variant)
    assert ((sets.set_id >= 0) == (theirs >= 0)).all()
    kept = theirs >= 0
    together = sets.set_id[kept][:, None] == sets.set_id[kept]
    assert (together == (theirs[kept][:, None] == theirs[kept])).all()


def test_rows_of_the_weights_are_the_rows_of_the_data() -> None:
    for name, made in oracle("causal/weights_lalonde")["expected"].items():
        if "weights" in made:
            assert made["weights"]["rid"] == list(DATA.row), name
    assert len(oracle("causal/weights_lalonde")["expected"]) == 11


@pytest.mark.parametrize("estimand", ["ate", "att", "ato", "atm"])
def test_weights_equal_weightit(estimand: str) -> None:
    made = balancing_weights(DATA.score, DATA.treated, estimand=estimand)
    theirs = oracle("causal/weights_lalonde")["expected"][estimand.upper()]["weightit_weights"]
    assert_close(made.weights, np.array(theirs), 1e-6)
