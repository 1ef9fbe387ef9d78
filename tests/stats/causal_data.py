"""The two data sets of the causal references, as arrays in the order of the references' terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support import oracle, oracle_csv

LALONDE_TERMS = ("age", "educ", "raceblack", "racehispan", "racewhite", "married", "nodegree", "re74", "re75")


@dataclass(frozen=True)
class Lalonde:
    """MatchIt's lalonde data; X has LALONDE_TERMS as columns, score is R's fitted propensity score."""

    X: np.ndarray
    treated: np.ndarray
    outcome: np.ndarray
    score: np.ndarray
    race: np.ndarray
    married: np.ndarray
    row: dict[str, int]

    @property
    def logit(self) -> np.ndarray:
        return np.log(self.score / (1 - self.score))


def lalonde() -> Lalonde:
    frame = oracle_csv("causal/lalonde")
    fitted = oracle("causal/matching_lalonde")["expected"]["ps"]
    assert fitted["rid"] == frame["rid"].tolist()
    columns = [
        frame[term].to_numpy(float) if term in frame else (frame["race"] == term[4:]).to_numpy(float)
        for term in LALONDE_TERMS
    ]
    return Lalonde(
        X=np.column_stack(columns),
        treated=frame["treat"].to_numpy(),
        outcome=frame["re78"].to_numpy(float),
        score=np.array(fitted["ps"]),
        race=frame["race"].to_numpy(str),
        married=frame["married"].to_numpy(),
        row={name: i for i, name in enumerate(frame["rid"])},
    )


def r_default_score(data: Lalonde) -> np.ndarray:
    """The score as R's glm leaves it with its default stopping rule (relative deviance 1e-8).

    Rounded, so that people with equal covariates have equal scores whatever the linear algebra's last digit.
    """
    X = np.column_stack([np.ones(len(data.X)), np.delete(data.X, 2, axis=1)])
    t, mu = data.treated, (data.treated + 0.5) / 2
    eta, last = np.log(mu / (1 - mu)), np.inf
    while True:
        deviance = -2 * float(np.log(np.where(t == 1, mu, 1 - mu)).sum())
        if abs(deviance - last) / (abs(deviance) + 0.1) < 1e-8:
            return np.round(mu, 14)
        root = np.sqrt(mu * (1 - mu))
        working = eta + (t - mu) / root**2
        eta = X @ np.linalg.lstsq(X * root[:, None], working * root, rcond=None)[0]
        mu, last = 1 / (1 + np.exp(-eta)), deviance


@dataclass(frozen=True)
class Nhefs:
    """What If's NHEFS data: confounders as the book codes them, without an intercept."""

    X: np.ndarray
    treated: np.ndarray
    weight_change: np.ndarray
    death: np.ndarray
    smoke_intensity: np.ndarray

    def outcome_design(self, treated: float) -> np.ndarray:
        """The reference's outcome model: treatment, confounders, treatment x smoking intensity."""
        one = np.ones(len(self.X))
        return np.column_stack([one, treated * one, self.X, treated * self.smoke_intensity])


def nhefs() -> Nhefs:
    frame = oracle_csv("causal/nhefs_complete")

    def dummies(name: str) -> list[Any]:
        return [(frame[name] == level).to_numpy(float) for level in sorted(frame[name].unique())[1:]]

    def squares(name: str) -> list[Any]:
        column = frame[name].to_numpy(float)
        return [column, column**2]

    columns = [
        *dummies("sex"), *dummies("race"), *squares("age"), *dummies("education"), *squares("smokeintensity"),
        *squares("smokeyrs"), *dummies("exercise"), *dummies("active"), *squares("wt71"),
    ]  # fmt: skip
    return Nhefs(
        X=np.column_stack(columns),
        treated=frame["qsmk"].to_numpy(),
        weight_change=frame["wt82_71"].to_numpy(float),
        death=frame["death"].to_numpy(float),
        smoke_intensity=frame["smokeintensity"].to_numpy(float),
    )
