"""What `build` measures in the written records is, person by person, the truth's potential year of the arm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import clinops as co
from tests.truth.support import study_of, the_protocol

WORLDS = {
    "default": {"persons": 6_000, "seed": 7},
    "broken rows": {"persons": 3_000, "seed": 8, "messy": True},
    "averted deaths": {"persons": 6_000, "seed": 9, "death_effect": 0.8},
    "harm": {"persons": 3_000, "seed": 10, "effect": -0.2},
    "no effect": {"persons": 3_000, "seed": 11, "effect": 0.0},
}
MEASURED = {
    "Total cost": "cost_total", "Inpatient cost": "cost_inpatient", "Emergency cost": "cost_emergency",
    "Outpatient cost": "cost_outpatient", "Pharmacy cost": "cost_pharmacy", "Admissions": "admissions",
    "Emergency visits": "emergency_visits", "Any admission": "any_admission", "Death": "died",
    "Days at home": "days_at_home",
}  # fmt: skip
"""Outcomes of the protocol and the truth's name of each."""


@pytest.mark.parametrize("name", WORLDS)
def test_measured_outcomes_are_the_potential_outcomes_of_the_arm(name: str, tmp_path: Path):
    stay = co.events("visit", co.codes("inpatient stay", 9201))
    protocol = the_protocol()
    protocol = protocol.with_(
        outcomes=(*protocol.outcomes, co.any_of(stay, window=co.days(1, 365), name="Any admission"))
    )
    made, study = study_of(tmp_path, protocol, **WORLDS[name])
    people = study.baseline.frame[["person_id", "index_date", "arm"]]
    truth = made.truth.to_pandas().set_index("person_id").loc[people["person_id"]]

    assert len(people) == len(made.truth)
    np.testing.assert_array_equal(people["arm"] == 1, truth["offered"])
    np.testing.assert_array_equal(
        people["index_date"].to_numpy("datetime64[D]"), truth["index_date"].to_numpy("datetime64[D]")
    )

    def lived(outcome: str) -> np.ndarray:
        return np.where(truth["offered"], truth[f"{outcome}_1"], truth[f"{outcome}_0"])

    frame = study.outcomes.frame
    np.testing.assert_array_equal(frame["observed_days"], lived("follow_up_days"))
    for measure in protocol.outcomes:
        known = lived(MEASURED[measure.name])
        np.testing.assert_allclose(frame[measure.id], known, rtol=0, atol=1e-6, err_msg=measure.name)
    assert {measure.name for measure in protocol.outcomes} == set(MEASURED)
