"""Published pairs: the same programme judged by a popular comparison and by one that guards against its bias."""

from __future__ import annotations

from dataclasses import dataclass

NAN = float("nan")


@dataclass(frozen=True)
class Anchor:
    """One published pair; numbers as printed, intervals of 95 % (for Illinois from the printed standard errors).

    `popular` and `guarded` are (estimate, low, high) in `unit`; NaN where not published.
    """

    programme: str
    popular_by: str
    popular: tuple[float, float, float]
    guarded_by: str
    guarded: tuple[float, float, float]
    unit: str
    source: str


ANCHORS = (
    Anchor(
        "Care transitions for high users, Camden", "before and after", (-38.0, NAN, NAN),
        "randomised: 62.3% v 61.7% readmitted in 180 days", (0.82, -5.97, 7.61), "percentage points",
        "Finkelstein and others, N Engl J Med 2020;382:152-162",
    ),
    Anchor(
        "Workplace wellness, Illinois", "participants v non-participants", (-137.3, -271.8, -2.8),
        "randomised offer, effect of taking part", (17.7, -137.1, 172.5), "USD of spending a month",
        "Jones and others, Q J Econ 2019;134:1747-1791",
    ),
    Anchor(
        "Asthma management in Medicaid", "own earlier charges", (-49.1, NAN, NAN),
        "matched controls over the same time", (-30.7, NAN, NAN), "percent change of charges",
        "Am J Manag Care 2004;10:948-954",
    ),
    Anchor(
        "Telehealth for chronic disease, England", "matched to others not enrolled", (1.34, 1.16, 1.56),
        "randomised practices", (0.82, 0.70, 0.97), "ratio (hazard; odds) of emergency care or death; of admission",
        "Steventon and others, BMJ Open 2016; Steventon and others, BMJ 2012;344:e3874",
    ),
    Anchor(
        "Remote monitoring and digital discharge by one vendor", "activated v not, weighted", (0.68, 0.54, 0.86),
        "stepped wedge: no effect in any risk group (P 0.23, 0.21, 0.48)", (NAN, NAN, NAN), "odds ratio",
        "JAMA Netw Open 2022;5(7):e2221050; Am J Manag Care 2024;30(2):e32-e38",
    ),
)  # fmt: skip
