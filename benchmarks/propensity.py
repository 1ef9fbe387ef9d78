"""Logistic propensity score, with and without a penalty, against scikit-learn and statsmodels."""

from __future__ import annotations

import resource

import numpy as np
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from benchmarks.timing import heading, versus
from clinops.stats.propensity import propensity

WIDTH = 20


def arms(n: int, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised covariates and who is exposed (about a third)."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, width))
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x, rng.random(n) < 1 / (1 + np.exp(0.9 - x @ np.linspace(-0.4, 0.4, width) * np.sqrt(WIDTH / width)))


def one_size(n: int) -> None:
    """Check that all agree, then time them; each gives scores, ours and statsmodels' also the variance."""
    x, exposed = arms(n)
    y, design = exposed.astype(float), np.column_stack([np.ones(n), x])

    def peer_glm() -> np.ndarray:
        return sm.GLM(y, design, family=sm.families.Binomial()).fit().params

    def peer_plain(strength: float = 0.0) -> np.ndarray:
        model = LogisticRegression(C=1 / strength if strength else np.inf, tol=1e-8, max_iter=1000).fit(x, y)
        return np.concatenate([model.intercept_, model.coef_[0]])

    def plain() -> np.ndarray:
        return propensity(x, exposed).coef

    def ridge() -> np.ndarray:
        return propensity(x, exposed, penalty="l2").coef

    np.testing.assert_allclose(plain(), peer_glm(), atol=1e-6)
    np.testing.assert_allclose(plain(), peer_plain(), atol=1e-4)
    np.testing.assert_allclose(ridge(), peer_plain(1.0), atol=1e-4)
    versus("Logistic, 20 covariates", n, plain, peer_glm, "statsmodels GLM")
    versus("Logistic, 20 covariates", n, plain, peer_plain, "scikit-learn, C=inf")
    versus("Logistic, L2, 20 covariates", n, ridge, lambda: peer_plain(1.0), "scikit-learn, C=1")


def wide(n: int, width: int) -> None:
    """Time a score of many people and covariates once, and say what memory the process came to hold."""
    x, exposed = arms(n, width)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    def peer() -> np.ndarray:
        return LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(x, exposed).coef_[0]

    ours = propensity(x, exposed).coef[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    np.testing.assert_allclose(ours, peer(), atol=1e-4)
    versus(f"Logistic, {width} covariates", n, lambda: propensity(x, exposed), peer, "scikit-learn, C=inf", 1)
    print(f"Peak memory of {n:,} x {width}: {held:.1f} GB with the data made, {peak:.1f} GB after the score.")


def main() -> None:
    """Run every size; the widest first, so that the peak of memory is its own."""
    heading("numpy", "scikit-learn", "statsmodels")
    wide(1_000_000, 100)
    for n in (10_000, 100_000, 300_000):
        one_size(n)


if __name__ == "__main__":
    main()
