"""Adjustment: how the arms of a protocol are made comparable, with what does not go together refused at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from clinops.define.base import Definition, choice, slug, whole
from clinops.define.fields import several, shown
from clinops.errors import DefinitionError, unknown

if TYPE_CHECKING:
    from clinops.define.measures import Measure

ESTIMANDS = ("att", "ate", "overlap", "atc", "matching")
METHODS = ("weight", "match", "standardise", "doubly robust", "none")
MODELLED = ("standardise", "doubly robust")
"""Methods that model the outcome, so that an analysis made of weighted rows cannot have them."""
PENALTIES = (None, "l1", "l2")
USING = ("logistic", "boosted", "entropy", "cbps")
BALANCING = {"entropy": ("att", "ate", "atc"), "cbps": ("att",)}
"""Weights made to balance the means themselves, and for whom they can be had."""
HOWS = ("nearest", "optimal", "mahalanobis", "full", "exact", "coarsened", "subclass")
PAIRED = ("nearest", "optimal", "mahalanobis", "full")
"""Ways of matching by a distance, which may have a caliper; the others make groups."""
ORDERS = ("largest", "smallest", "data", "random")
SCALES = ("logit", "score")
ESTIMATORS = ("aipw", "tmle")
FOLDS = 5
"""Of cross-fitting, where a learner would else predict the rows it learned from."""
NAMES = {"att": "ATT", "ate": "ATE", "overlap": "overlap", "atc": "ATC", "matching": "matching"}
CALIPER = 0.2
"""What a definition means that was written without one, as files of earlier versions are."""

NEAR = 0.05
"""What `match` takes: over 2,000 simulated worlds pairs up to 0.2 SD apart left a bias of a third of a standard error,
0.05 a twelfth (docs/methods/truth.md)."""

_SCORE = ("penalty", "strength", "using")
_PAIRS = ("ratio", "caliper_on", "exact", "replacement", "order")
_ALLOWED: dict[str, tuple[str, ...]] = {
    "weight": (*_SCORE, "truncate", "stabilised"),
    "nearest": (*_SCORE, *_PAIRS), "optimal": (*_SCORE, "ratio", "caliper_on", "exact"),
    "full": (*_SCORE, "caliper_on", "exact"), "mahalanobis": (*_SCORE, *_PAIRS, "on"),
    "exact": ("on",), "coarsened": ("on", "cuts", "exact"), "subclass": (*_SCORE, "caliper_on", "strata"),
    "standardise": (), "doubly robust": (*_SCORE, "estimator", "folds"),
}  # fmt: skip
"""What each method, or way of matching, may say besides its estimand; anything else is refused."""
_ABOUT = {
    "penalty": "it holds the coefficients of a logistic score down",
    "strength": "it is the strength of the penalty of a logistic score",
    "using": "it says what a score or weights are made with",
    "truncate": "it cuts the largest weights of co.weight(...)",
    "stabilised": "it rescales the weights of co.weight('ate')",
    "ratio": "it is the number of comparators of each exposed, in nearest, optimal and Mahalanobis matching",
    "caliper_on": "it is the scale of the score, in matching on it, a caliper and subclasses",
    "exact": "it names what must be equal besides, in matching by a distance or by bins; else give on=",
    "replacement": "it lets a comparator serve several exposed, in nearest and Mahalanobis matching",
    "order": "it says who chooses first, in nearest and Mahalanobis matching",
    "on": "it names the covariates of Mahalanobis, exact and coarsened matching; the others match on the score",
    "cuts": "they are the cut points of how='coarsened'",
    "strata": "it is the number of groups of how='subclass'",
    "estimator": "it names the estimator of co.doubly_robust(...)",
    "folds": "it is the number of parts that co.doubly_robust(...) predicts from models of the others",
}


@dataclass(frozen=True)
class Cuts(Definition):
    """Where one covariate is cut for coarsened matching; a value on a cut belongs above it."""

    kind: ClassVar[str] = "cuts"
    made: ClassVar[str] = "cut points by covariate, such as cuts={'Age': (40, 65)}"
    covariate: str
    at: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.at or list(self.at) != sorted(set(self.at)):
            raise DefinitionError(f"The cut points of {self.covariate!r} are {self.at}; give one or more that rise.")


@dataclass(frozen=True)
class Adjustment(Definition):
    """How the arms are made comparable on the covariates.

    Attributes
    ----------
    method : "weight", "match", "standardise", "doubly robust" or "none".
    estimand : "att" (effect in the exposed), "ate" (in everybody), "atc" (in the comparators), "overlap", "matching"
        (those who could be matched one to one, by weights).
    penalty, strength : of the logistic propensity model; None is plain maximum likelihood.
    truncate : weights above this quantile are set to it; None leaves them.
    ratio, caliper, exact, replacement : of matching; the caliper in standard deviations of the score.
    using : what the score (of a doubly robust estimator also the outcome's model) or the weights are made with:
        "logistic", "boosted" (trees, out of fold); weights also "entropy", "cbps".
    stabilised : weights times the arm's share of the persons.
    how : of matching: "nearest" on the score, one after another; "optimal", with the least sum of distances; "full",
        everybody in a set; "mahalanobis", "exact", "coarsened", "subclass".
    order : who chooses first: "largest" score, "smallest", "data" (as the rows come), "random" (the protocol's seed).
    caliper_on : the scale on which a score is near and a caliper counts: "logit" or "score".
    on : names of covariates of Mahalanobis, exact and coarsened matching; none: all (but for exact).
    cuts : cut points of coarsened matching; numbers without any have Sturges' bins.
    strata : groups of how="subclass", at quantiles of the exposed's score.
    estimator : "aipw" (augmented weighting) or "tmle" (targeted maximum likelihood) of the doubly robust.
    folds : 1, or how many parts are predicted from models that never saw them.
    """

    kind: ClassVar[str] = "adjustment"
    made: ClassVar[str] = "co.weight(...), co.match(...), co.standardise(...), co.doubly_robust(...) or co.crude()"
    method: str = "weight"
    estimand: str = "att"
    penalty: str | None = None
    strength: float = 1.0
    truncate: float | None = None
    ratio: int = 1
    caliper: float | None = CALIPER
    exact: tuple[str, ...] = ()
    replacement: bool = False
    using: str = "logistic"
    stabilised: bool = False
    how: str = "nearest"
    order: str = "largest"
    caliper_on: str = "logit"
    on: tuple[str, ...] = ()
    cuts: tuple[Cuts, ...] = ()
    strata: int = 5
    estimator: str = "aipw"
    folds: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("adjustment method", self.method, METHODS)
        choice("estimand", self.estimand, ESTIMANDS)
        choice("penalty", self.penalty, PENALTIES)
        choice("way to make weights (using)", self.using, USING)
        choice("way of matching (how)", self.how, HOWS)
        choice("order of matching", self.order, ORDERS)
        choice("scale of a caliper", self.caliper_on, SCALES)
        choice("doubly robust estimator", self.estimator, ESTIMATORS)
        self._check_numbers()
        if self.method != "none":
            self._check_options()
            self._check_estimand()

    def _check_numbers(self) -> None:
        whole("the ratio of matching", self.ratio, 1, 20)
        whole("the number of strata", self.strata, 2, 100)
        whole("the number of folds", self.folds, 1, 50)
        if not self.strength > 0:
            raise DefinitionError(f"The strength of the penalty is {self.strength:g}; give a number above 0.")
        if self.caliper is not None and not self.caliper > 0:
            raise DefinitionError(f"The caliper is {self.caliper}; give a positive number of SDs, or None.")
        if self.truncate is not None and not 0.5 < self.truncate < 1:
            raise DefinitionError(f"truncate is {self.truncate}; give a quantile between 0.5 and 1, such as 0.99.")
        named = [cut.covariate for cut in self.cuts]
        for name in named:
            if named.count(name) > 1:
                raise DefinitionError(f"The cut points of {name!r} are given twice; give them once.")

    def _check_options(self) -> None:
        """Refuse what was said of another method or way of matching, and say where it belongs."""
        kind = self.how if self.method == "match" else self.method
        if self.method != "match" and self.how != "nearest":
            raise DefinitionError(f"how={self.how!r} is a way of matching; use co.match(how={self.how!r}).")
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            if field.name in _ABOUT and given != field.default and field.name not in _ALLOWED[kind]:
                raise DefinitionError(
                    f"{field.name}={shown(given)} does not go with {self._kind}: {_ABOUT[field.name]}. Leave it out."
                )
        if self.method == "match" and kind not in PAIRED and self.caliper is not None:
            raise DefinitionError(f"A caliper does not go with {self._kind}: there are no pairs to hold near.")
        if self.method == "match" and self.how == "exact" and not self.on:
            raise DefinitionError("Exact matching needs the covariates that must be equal, such as on=('Sex',).")
        if self.method != "weight" and self.using in BALANCING:
            raise DefinitionError(f"using={self.using!r} makes weights, not a score; use co.weight(using=...).")
        if self.replacement and self.order != "largest":
            raise DefinitionError("With replacement nobody takes a comparator away, so no order of matching counts.")
        self._check_balancing()

    def _check_balancing(self) -> None:
        if self.using != "logistic" and (self.penalty is not None or self.strength != 1):
            raise DefinitionError(
                f"A penalty does not go with using={self.using!r}: it holds the coefficients of a logistic score down. "
                "Use using='logistic', or leave it out."
            )
        if self.using in BALANCING and self.truncate is not None:
            raise DefinitionError(
                f"truncate={self.truncate!r} does not go with using={self.using!r}: these weights make the means "
                "equal, and no longer would. Use using='logistic', or leave it out."
            )
        if self.method == "doubly robust" and self.using == "boosted" and self.folds < 2:
            raise DefinitionError(
                "Boosted trees know the rows they learned from too well: a doubly robust estimator needs folds=2 or "
                f"more of them, such as {FOLDS}."
            )
        if self.stabilised and (self.estimand != "ate" or self.using in BALANCING):
            raise DefinitionError(
                "Only weights for the ATE from a score are stabilised; the others are bounded or sum to an arm's size."
            )

    def _check_estimand(self) -> None:
        if self.method == "match" and self.how != "full" and self.estimand != "att":
            raise DefinitionError("Matching without replacement of the exposed estimates the ATT; use weight(...).")
        three = ("att", "ate", "atc")
        allowed = {"standardise": three, "match": three, "doubly robust": ("att", "ate")}.get(self.method)
        if self.method == "weight":
            allowed = BALANCING.get(self.using)
        if allowed is not None and self.estimand not in allowed:
            raise DefinitionError(
                f"{self._kind[0].upper()}{self._kind[1:]} has no estimand {self.estimand!r}; it has "
                f"{', '.join(allowed)}. co.weight({self.estimand!r}) makes weights for it from a score."
            )

    @property
    def _kind(self) -> str:
        """The method in words, for messages."""
        if self.method == "weight":
            return {"entropy": "entropy balancing", "cbps": "the covariate balancing score"}.get(
                self.using, "weighting"
            )
        if self.method == "match":
            odd = {"mahalanobis": "Mahalanobis matching", "subclass": "subclasses"}
            return odd.get(self.how, f"{self.how} matching")
        return {"standardise": "standardisation", "doubly robust": "a doubly robust estimator"}[self.method]

    @property
    def needs_weights(self) -> bool:
        """Whether the effect comes from weighted (or matched, or plain) rows, not from a model of the outcome."""
        return self.method not in MODELLED

    @property
    def as_weights(self) -> Adjustment:
        """What stands for it where only weights can: curves and trends of an estimator that models the outcome."""
        return self if self.needs_weights else Adjustment("weight", self.estimand, self.penalty, self.strength)

    def refuse_models(self, what: str) -> None:
        """Refuse, before anything is read, an adjustment that an analysis of weighted rows cannot have.

        Raises
        ------
        DefinitionError : it models the outcome.
        """
        if not self.needs_weights:
            raise DefinitionError(
                f"{what} weights persons, and {self.label} has no weights: it models one outcome at a time. Give the "
                f"protocol another adjustment, such as adjust=co.weight({self.estimand!r}), or vary(adjust=...)."
            )

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of covariates that it asks for one by one."""
        return tuple(dict.fromkeys((*self.exact, *self.on, *(cut.covariate for cut in self.cuts))))

    @property
    def label(self) -> str:
        """The adjustment in a few words: another one, another label."""
        if self.method == "none":
            return "crude"
        who, score = NAMES[self.estimand], self._score
        if self.method == "match":
            return f"{self._match_label}{score}"
        if self.method == "standardise":
            return f"standardisation, {who}"
        if self.method == "doubly robust":
            targeted = " (TMLE)" if self.estimator == "tmle" else ""
            return f"doubly robust{targeted}, {who}{score}{f', {self.folds} folds' if self.folds > 1 else ''}"
        made = {"entropy": "entropy balancing", "cbps": "covariate balancing score"}.get(self.using, "weighting")
        cut = f", truncated at {100 * self.truncate:g}%" if self.truncate else ""
        return f"{who} {made}{score}{', stabilised' if self.stabilised else ''}{cut}"

    @property
    def _score(self) -> str:
        """What is unusual of the score, with a comma before it."""
        if self.using == "boosted":
            return ", boosted score"
        strength = "" if self.strength == 1 else f" of strength {self.strength:g}"
        return f", {self.penalty.upper()} score{strength}" if self.penalty else ""

    @property
    def _match_label(self) -> str:
        equal = f", exact on {', '.join(self.exact)}" if self.exact else ""
        on = f" on {', '.join(self.on)}" if self.on else ""
        scale = ", by the score itself" if self.caliper_on == "score" else ""
        if self.how == "subclass":
            return f"{self.strata} subclasses of the score{scale}"
        if self.how in ("exact", "coarsened"):
            cut = f", cut at {'; '.join(f'{c.covariate} {_listed(c.at)}' for c in self.cuts)}" if self.cuts else ""
            return f"{self.how} matching{on}{cut}{equal}"
        caliper = "no caliper" if self.caliper is None else f"caliper {self.caliper:g} SD"
        name = f"Mahalanobis matching{on}" if self.how == "mahalanobis" else f"{self.how} matching"
        if self.how == "full":
            return f"{name}, {NAMES[self.estimand]}, {caliper}{scale}{equal}"
        usual = "data" if self.how == "mahalanobis" and self.caliper is None else "largest"
        order = f", {self.order} first" if self.order not in (usual,) and not self.replacement else ""
        again = ", with replacement" if self.replacement else ""
        return f"1:{self.ratio} {name}, {caliper}{scale}{equal}{order}{again}"


USUAL = Adjustment()
"""What a protocol does that says nothing: ATT weights from a logistic score."""


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


INDEX_DATE = "index_date"
"""Every entry has one, so pairs can be made within it whether or not it is a covariate."""


def check_covariates(adjust: Adjustment, covariates: tuple[Measure, ...]) -> None:
    """Hold the covariates that an adjustment names to those of the protocol.

    Raises
    ------
    DefinitionError : a name that is none of them, or cut points of one that has levels.
    """
    known = {m.id: m for m in covariates}
    for name in adjust.covariates:
        if slug(name) not in known and not (name in adjust.exact and slug(name) == INDEX_DATE):
            how = "to match exactly on" if name in adjust.exact else "to match on"
            raise DefinitionError(unknown(f"covariate {how}", name, [m.name for m in covariates]))
    for cut in adjust.cuts:
        if known[slug(cut.covariate)].categorical:
            raise DefinitionError(f"{cut.covariate!r} has levels and not numbers: it is matched exactly, without cuts.")


def weight(
    estimand: str = "att", *, using: str = "logistic", penalty: str | None = None, strength: float = 1.0,
    truncate: float | None = None, stabilised: bool = False,
) -> Adjustment:  # fmt: skip
    """Weight for the ATT (default), ATE, ATC, the overlap or the "matching" population.

    Parameters
    ----------
    estimand : "att", "ate", "atc", "overlap", "matching".
    using : "logistic" or "boosted" (gradient boosting, out of fold; extra `boosting`), weights from a propensity score;
        "entropy", the weights nearest to equal ones that make the covariates' means equal (att, ate, atc); "cbps", a
        score that does (att).
    penalty, strength : of the logistic score: "l1" or "l2".
    truncate : weights above this quantile are set to it.
    stabilised : ATE weights times the arm's share of the persons.
    """
    return Adjustment(
        "weight", estimand, penalty, strength, truncate, using=using, stabilised=stabilised,
    )  # fmt: skip


def match(
    ratio: int = 1, *, how: str = "nearest", estimand: str = "att", caliper: float | str | None = "usual",
    caliper_on: str = "logit", exact: tuple[str, ...] = (), on: tuple[str, ...] = (),
    cuts: Mapping[str, Any] | None = None, strata: int = 5, order: str | None = None, replacement: bool = False,
    using: str = "logistic", penalty: str | None = None, strength: float = 1.0,
) -> Adjustment:  # fmt: skip
    """Match each exposed entry with comparators who are like it; the effect is that in the (matched) exposed.

    Parameters
    ----------
    ratio : comparators for each exposed.
    how : "nearest" on the propensity score, one exposed after another; "optimal", with the least sum of distances;
        "mahalanobis", nearest in several covariates at once; "full", everybody in a set with the other arm; "exact" on
        covariates; "coarsened", exact on bins of them; "subclass", groups at quantiles of the exposed's score.
    estimand : "att"; of how="full" also "ate" and "atc".
    caliper : how far apart a pair may be, in SDs of the score: 0.05 by default for nearest and optimal matching, none
        for the others; None for none.
    caliper_on : whether near and the caliper are judged on the "logit" of the score or on the "score" itself.
    exact : covariates that must be equal besides.
    on : covariates of Mahalanobis, exact and coarsened matching.
    cuts : of coarsened matching, covariate -> cut points, such as {"Age": (40, 65)}.
    strata : groups of how="subclass".
    order : who chooses first: "largest" score (default; of Mahalanobis matching without a caliper "data"),
        "smallest", "data", "random".
    replacement : whether a comparator may serve several exposed.
    using, penalty, strength : of the score.

    Raises
    ------
    DefinitionError : an unknown name (the nearest is said), or options that do not go together.
    """
    choice("way of matching (how)", how, HOWS)
    if isinstance(caliper, str):
        if caliper != "usual":
            raise DefinitionError(f"caliper is {caliper!r}; give a positive number of SDs, or None.")
        caliper = NEAR if how in ("nearest", "optimal") else None
    usual = "data" if how == "mahalanobis" and caliper is None and not replacement else "largest"
    if cuts is not None and not isinstance(cuts, Mapping):
        raise DefinitionError(f"cuts is {shown(cuts)}; give {Cuts.made}.")
    made = tuple(Cuts(name, several(at, f"cut points of {name}")) for name, at in (cuts or {}).items())
    return Adjustment(
        "match", estimand, penalty, strength, None, ratio, caliper, several(exact, "exact of the adjustment"),
        replacement, using, False, how, order or usual, caliper_on, several(on, "on of the adjustment"), made, strata,
    )  # fmt: skip


def standardise(estimand: str = "att") -> Adjustment:
    """Model the outcome in each arm on the covariates, and average both predictions over the same persons.

    Parameters
    ----------
    estimand : over whom: "att" the exposed, "ate" everybody, "atc" the comparators.
    """
    return Adjustment("standardise", estimand)


def doubly_robust(
    estimand: str = "att", *, estimator: str = "aipw", using: str = "logistic", folds: int | None = None,
    penalty: str | None = None, strength: float = 1.0,
) -> Adjustment:  # fmt: skip
    """Model the outcome and the exposure both: right if either model is.

    Parameters
    ----------
    estimand : "att" or "ate".
    estimator : "aipw", augmented weighting, or "tmle", targeted maximum likelihood.
    using : "logistic", regressions; "boosted", gradient boosting of both (extra `boosting`).
    folds : parts that are predicted from models of the others; 1 by default, with boosting 5.
    penalty, strength : of the logistic propensity score.
    """
    dealt = (FOLDS if using == "boosted" else 1) if folds is None else folds
    return Adjustment(
        "doubly robust", estimand, penalty, strength, using=using, estimator=estimator, folds=dealt
    )  # fmt: skip


def crude() -> Adjustment:
    """Compare the arms as they are; right where the offer was random."""
    return Adjustment("none")


def adjustment(named: str, *, caliper: float = NEAR) -> Adjustment | None:
    """Return the adjustment that a parameter names; None for "as in the protocol".

    Raises
    ------
    DefinitionError : a name that is not one of these.
    """
    known: dict[str, Adjustment | None] = {
        "as in the protocol": None, "weight att": weight("att"), "weight ate": weight("ate"),
        "weight att boosted": weight("att", using="boosted"),
        "weight atc": weight("atc"), "weight overlap": weight("overlap"), "weight matching": weight("matching"),
        "entropy balancing": weight("att", using="entropy"), "covariate balancing score": weight("att", using="cbps"),
        "match": match(caliper=caliper), "match optimal": match(how="optimal", caliper=caliper),
        "match full att": match(how="full"), "match full ate": match(how="full", estimand="ate"),
        "match mahalanobis": match(how="mahalanobis", caliper=caliper),
        "match coarsened": match(how="coarsened"), "subclass": match(how="subclass"),
        "standardise att": standardise("att"), "standardise ate": standardise("ate"),
        "doubly robust att": doubly_robust("att"), "doubly robust ate": doubly_robust("ate"),
        "tmle att": doubly_robust("att", estimator="tmle"), "tmle ate": doubly_robust("ate", estimator="tmle"),
        "crude": crude(),
    }  # fmt: skip
    choice("adjustment", named, tuple(known))
    return known[named]
