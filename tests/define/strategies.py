"""Definitions of every type, generated: for what must hold of any of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st

import clinops as co
from clinops.define.adjustment import ESTIMANDS, PENALTIES, Adjustment
from clinops.define.codes import Codes
from clinops.define.cohorts import CohortDefinition
from clinops.define.comparators import PERIODS
from clinops.define.events import DOMAINS, UNCODED, Events
from clinops.define.maps import WEIGHTS
from clinops.define.measures import AMOUNTS, COST_CATEGORIES, Measure
from clinops.define.protocol import FEE_UNITS, PERSPECTIVES, Protocol
from clinops.define.uptake import EFFECTS, POPULATIONS, UptakePlan

concepts = st.integers(0, 2**62)
names = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
spellings = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9. -]{0,6}\*?", fullmatch=True)
windows = st.tuples(st.none() | st.integers(-4000, 4000), st.none() | st.integers(0, 4000)).map(
    lambda pair: co.days(pair[0], pair[1] if None in pair else sum(pair))
)
lookbacks = st.none() | st.integers(1, 4000)
amounts = st.floats(0.001, 1e6, allow_nan=False) | st.integers(1, 10**6)
risks = st.floats(0.001, 0.999)


@st.composite
def code_lists(draw: st.DrawFn) -> Codes:
    ids = draw(st.lists(concepts, max_size=4))
    source = draw(st.lists(spellings, min_size=0 if ids else 1, max_size=3))
    exclude = [c for c in draw(st.lists(concepts, max_size=2)) if c not in ids]
    return co.codes(
        draw(names), *ids, descendants=draw(st.booleans()), exclude=exclude, source=source,
        vocabulary=draw(st.none() | st.sampled_from(["ICD10CM", "SNOMED", "RxNorm"])),
        origin=draw(st.text(max_size=20)),
    )  # fmt: skip


@st.composite
def some_events(draw: st.DrawFn) -> Events:
    domain = draw(st.sampled_from(DOMAINS))
    return co.events(domain, None if domain in UNCODED else draw(st.none() | code_lists()))


def steps() -> st.SearchStrategy[Any]:
    dates = st.tuples(st.dates(dt.date(1990, 1, 1)), st.dates(dt.date(1990, 1, 1))).map(sorted)
    ages = st.tuples(st.integers(0, 60), st.none() | st.integers(60, 130), st.sampled_from(["exact", "year"]))
    return st.one_of(
        dates.map(lambda pair: co.between(*pair)),
        ages.map(lambda given: co.age(*given)),
        st.sampled_from(["female", "male"]).map(co.sex_is),
        st.builds(co.observed, st.integers(0, 2000), st.integers(0, 400)),
        st.builds(co.has, some_events(), windows, st.integers(1, 5)),
        st.builds(co.lacks, some_events(), windows),
        st.just(co.first()),
    )


def ends() -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(["death", "end of observation"]) | some_events(), max_size=2).map(tuple)


def cohorts(name: str) -> st.SearchStrategy[CohortDefinition]:
    entry = st.one_of(*(st.builds(make, some_events()) for make in (co.first_ever, co.first_eligible, co.every)))
    entry |= st.builds(co.risk_set, some_events(), per_case=st.none() | st.integers(1, 9))
    entry |= st.builds(co.rolling, some_events(), st.sampled_from(PERIODS), at=st.none() | some_events())
    entry |= st.builds(co.sequential, some_events(), st.sampled_from(PERIODS) | some_events().map(co.every))
    entry |= st.builds(co.random_visit, some_events(), some_events(), seed=st.integers(0, 99))
    return st.builds(
        co.cohort, st.just(name), entry | some_events(), st.lists(steps(), max_size=4).map(tuple), exit=ends()
    )


def covariates() -> st.SearchStrategy[Measure]:
    made = [co.age_at_index, co.sex, co.race, co.ethnicity, co.index_date, co.index_period]
    plain = st.sampled_from(made).map(lambda make: make())
    before = st.builds(co.before, lookbacks)
    return st.one_of(
        plain,
        st.builds(co.count, some_events(), before),
        st.builds(co.any_of, some_events(), before, name=names),
        st.builds(co.value, some_events(), before, unit=st.text(max_size=5)),
        st.builds(co.cost, st.sampled_from(COST_CATEGORIES), before, amount=st.sampled_from(AMOUNTS)),
        st.builds(co.charlson, before, weights=st.sampled_from(WEIGHTS["charlson"])),
        st.builds(co.elixhauser, before, weights=st.sampled_from(WEIGHTS["elixhauser"])),
    )


def outcomes() -> st.SearchStrategy[Measure]:
    role = st.sampled_from(["secondary", "safety", "balancing", None])
    better = st.sampled_from([None, "lower", "higher"])
    window = st.none() | windows
    return st.one_of(
        st.builds(co.any_of, some_events(), window, role=role, better=better, worthwhile=st.none() | risks),
        st.builds(co.time_to, some_events(), window, role=role, better=better, worthwhile=st.none() | risks),
        st.builds(co.count, some_events(), window, role=role, better=better, worthwhile=st.none() | amounts),
        st.builds(co.cost, st.sampled_from(COST_CATEGORIES), window, role=role, worthwhile=st.none() | amounts),
        st.builds(co.days_at_home, window, role=role),
    )


def several(measures: st.SearchStrategy[Measure]) -> st.SearchStrategy[tuple[Measure, ...]]:
    return st.lists(measures, max_size=3, unique_by=lambda m: m.id).map(tuple)


@st.composite
def adjustments(draw: st.DrawFn, estimand: str | None = None, timed: bool = False) -> Adjustment:
    """Any adjustment; with `timed`, none that a time to an event cannot have."""
    wanted = estimand or draw(st.sampled_from(ESTIMANDS))
    penalty = {"penalty": draw(st.sampled_from(PENALTIES)), "strength": draw(st.floats(0.01, 10))}
    if wanted == "att" and draw(st.booleans()):
        caliper = draw(st.none() | st.floats(0.01, 2))
        other = [
            co.weight(using=draw(st.sampled_from(("entropy", "cbps", "boosted")))), co.standardise(),
            co.match(how="mahalanobis", caliper=caliper, exact=()), co.match(how="coarsened"),
            co.match(how="subclass", strata=draw(st.integers(2, 20))), co.doubly_robust(folds=draw(st.integers(1, 9))),
        ]  # fmt: skip
        if timed or draw(st.booleans()):
            return co.match(draw(st.integers(1, 5)), caliper=caliper, replacement=draw(st.booleans()), **penalty)
        return draw(st.sampled_from(other))
    if draw(st.booleans()):
        return co.crude()
    return co.weight(wanted, truncate=draw(st.none() | st.floats(0.51, 0.999)), **penalty)


def uptake_plans() -> st.SearchStrategy[UptakePlan]:
    return st.builds(
        co.uptake_plan, st.lists(st.sampled_from(EFFECTS), max_size=3, unique=True).map(tuple),
        grace=st.integers(20, 90), landmark=st.integers(1, 90), last=st.none() | st.integers(1, 20),
        population=st.sampled_from(POPULATIONS), look_back=st.integers(1, 90),
        time_varying=st.sampled_from([(), ("visits",), ("visits", "costs")]),
        truncate=st.none() | st.floats(0.51, 0.999),
    )  # fmt: skip


@st.composite
def protocols(draw: st.DrawFn) -> Protocol:
    """Any protocol that the constructors accept, sound or not."""
    estimand = draw(st.sampled_from(ESTIMANDS))
    baseline, after = draw(several(covariates())), draw(several(outcomes()))
    controls = draw(several(st.builds(co.time_to, some_events(), role=st.none())))
    taken = {m.id for m in baseline}
    after = tuple(m for m in after if m.id not in taken)
    controls = tuple(m for m in controls if m.id not in taken | {m.id for m in after})
    first_day = draw(st.integers(0, 30))
    return co.protocol(
        title=draw(names), question=draw(names), exposed=draw(cohorts("One")), comparator=draw(cohorts("Two")),
        follow_up=co.follow_up(
            co.days(first_day, draw(st.none() | st.integers(first_day, 2000))), draw(ends()), draw(st.none() | names)
        ),
        covariates=baseline, outcomes=after, negative_controls=controls,
        adjust=draw(adjustments(estimand, any(m.measure == "time to" for m in after))), estimand=estimand,
        perspective=draw(st.sampled_from(PERSPECTIVES)), price_year=draw(st.none() | st.integers(1990, 2030)),
        programme=draw(st.none() | st.builds(
            co.programme, some_events(), st.none() | some_events(), st.none() | some_events(),
            st.none() | amounts, st.sampled_from(FEE_UNITS))),
        subgroups=draw(st.lists(st.just(co.subgroup(co.sex())) | st.lists(
            st.integers(1, 90), min_size=1, max_size=3, unique=True).map(
                lambda cuts: co.subgroup(co.age_at_index(), sorted(cuts))), max_size=2)),
        sensitivity=co.sensitivity(draw(st.lists(windows, max_size=2)), draw(st.lists(adjustments(), max_size=2))),
        balance_threshold=draw(st.floats(0.01, 1)), seed=draw(st.integers(0, 2**32)),
        min_cell=draw(st.integers(1, 30)),
        assignment=draw(st.sampled_from(["observational", "random", "as if random"])),
        assignment_reason=draw(st.none() | names), uptake=draw(st.none() | uptake_plans()),
        allow=draw(st.sampled_from([(), (co.allow("undeclared-entry", "The first of any kind will do here."),)])),
    )  # fmt: skip
