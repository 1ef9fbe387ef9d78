"""One column of a frame as a covariate: a number, or codes with their levels. What it is taken for is decided here."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

MOST_LEVELS = 100
"""More levels than anybody reads: an identifier, or numbers kept as text."""
FEW = 5
"""Whole numbers with so few values may be codes: they stay numbers, and a note says so."""
HEAD = 1000
YES = frozenset({"1", "true", "yes", "y"})
NO = frozenset({"0", "false", "no", "n"})


@dataclass(frozen=True)
class Numbers:
    """A continuous covariate.

    Attributes
    ----------
    values : (n,), NaN where missing. distinct : its different values where they are five or fewer, else None.
    asked : whether it was named as a number, so that nobody need be told that it may be a code.
    """

    values: Floats
    distinct: Floats | None = None
    asked: bool = False

    @property
    def few(self) -> bool:
        """Whether it takes so few whole values that it may be a code."""
        some = self.distinct
        return some is not None and not self.asked and len(some) > 1 and bool((some == np.round(some)).all())


@dataclass(frozen=True)
class Levels:
    """A categorical covariate: (n,) codes, -1 where missing, and what the codes say, in the order of the rows."""

    codes: Ints
    names: tuple[str, ...]

    @property
    def present(self) -> int:
        """The second of two levels, which speaks for both in one row."""
        return len(self.names) - 1

    @property
    def yes_no(self) -> bool:
        """Whether a row without the level's name is understood: 0 and 1, no and yes, false and true."""
        said = [name.strip().lower() for name in self.names]
        return len(said) == 2 and said[0] in NO and said[1] in YES


def read(column: pd.Series, name: str, ask: str | None = None) -> Numbers | Levels:
    """Read a column.

    Text, booleans and pandas categories are categorical, and so are numbers that are all 0 or 1; other numbers are
    continuous. `ask` ("categorical" or "continuous") overrides that.

    Raises
    ------
    DataError : dates, text mixed with numbers, too many levels, infinite values, no numbers where they were asked for.
    """
    import pandas as pd

    kind = column.dtype
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind) or kind.kind == "c":
        raise DataError(f"{name!r} is of type {kind}; a table needs a number or levels, such as an age or a year.")
    if isinstance(kind, pd.CategoricalDtype):
        return _asked(_categories(column, name), name, ask)
    if pd.api.types.is_bool_dtype(kind) and kind.kind != "O":
        return _numbers(as_floats(column), True) if ask == "continuous" else _numbered(column, name)
    if pd.api.types.is_numeric_dtype(kind):
        return _number(column, name, ask)
    return _text(column, name, ask)


def _number(column: pd.Series, name: str, ask: str | None) -> Numbers | Levels:
    if ask == "categorical":
        return _numbered(column, name)
    values = as_floats(column)
    found = _numbers(values, ask is not None)
    if ask is None and found.distinct is not None and len(found.distinct) and np.isin(found.distinct, (0, 1)).all():
        return Levels(np.where(np.isnan(values), -1, values).astype(np.int64), ("0", "1"))
    return found


def _numbers(values: Floats, asked: bool) -> Numbers:
    return Numbers(values, _few(values), asked)


def as_floats(column: pd.Series) -> Floats:
    """Return a numeric column as floats, NaN where missing."""
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column, dtype=float)
    return column.to_numpy(dtype=float, na_value=np.nan)


def _few(values: Floats) -> Floats | None:
    """Return the different values where they are few; the first thousand rows mostly settle it."""
    import pandas as pd

    if len(np.unique(values[:HEAD])) > FEW + 1:
        return None
    found = pd.unique(values)
    found = found[~np.isnan(found)]
    return np.asarray(found) if len(found) <= FEW else None


def _text(column: pd.Series, name: str, ask: str | None) -> Numbers | Levels:
    import pandas as pd

    try:
        codes, found = pd.factorize(column)
    except TypeError as error:
        raise DataError(
            f"{name!r} holds values that cannot be counted ({error}); a table needs numbers or levels."
        ) from error
    text = [isinstance(each, str) for each in found]
    truth = [isinstance(each, bool | np.bool_) for each in found]
    odd = {type(each).__name__ for each in found if not isinstance(each, str | numbers.Number | Decimal)}
    if odd:
        raise DataError(f"{name!r} holds values of type {', '.join(sorted(odd))}; a table needs numbers or levels.")
    if len(found) and not any(text) and not any(truth):
        return _number(column.astype(float), name, ask)
    if len(found) and not (all(text) or all(truth)):
        raise DataError(
            f"{name!r} mixes text with numbers ({sum(text):,} of {len(found):,} different values are text). Set what "
            f"stands for a missing value to None, or make everything text with frame[{name!r}].astype(str)."
        )
    if all(truth) and ask == "continuous":
        return _numbers(np.asarray(column, dtype=float), True)
    return _asked(_ordered(codes, list(found), name), name, ask)


def _asked(levels: Levels, name: str, ask: str | None) -> Numbers | Levels:
    """Return levels as they are, or as numbers where those were asked for and can be had."""
    if ask != "continuous":
        return levels
    try:
        number = np.array(levels.names, dtype=float)
    except ValueError:
        raise DataError(
            f"{name!r} was given as a number, but holds text; take it out of the list, or clean it."
        ) from None
    return _numbers(np.append(number, np.nan)[levels.codes], True)


def _categories(column: pd.Series, name: str) -> Levels:
    codes = np.asarray(column.cat.codes, dtype=np.int64)
    used = np.bincount(codes + 1, minlength=len(column.cat.categories) + 1)[1:] > 0
    place = np.append(np.where(used, np.cumsum(used) - 1, -1), -1)
    names = [each for each, there in zip(column.cat.categories, used, strict=True) if there]
    return _made(codes if used.all() else place[codes], names, name)


def _numbered(column: pd.Series, name: str) -> Levels:
    import pandas as pd

    codes, found = pd.factorize(column)
    return _ordered(codes, list(found), name)


def _ordered(codes: Any, found: list[Any], name: str) -> Levels:
    """Put levels in order; -1, the code of a missing value, picks the last place, which holds -1."""
    order = sorted(range(len(found)), key=lambda at: found[at])
    place = np.empty(len(found) + 1, dtype=np.int64)
    place[order] = np.arange(len(found))
    place[-1] = -1
    return _made(place[codes], [found[at] for at in order], name)


def _made(codes: Ints, found: list[Any], name: str) -> Levels:
    if len(found) > MOST_LEVELS:
        raise DataError(
            f"{name!r} has {len(found):,} levels; a table shows at most {MOST_LEVELS}. Leave it out if it is an "
            "identifier, make numbers of text with pandas.to_numeric, or put levels together."
        )
    names = tuple(_said(each) for each in found)
    if len(set(names)) < len(names):
        raise DataError(f"{name!r} has levels that print alike; give each its own name.")
    return Levels(codes, names)


def _said(level: Any) -> str:
    if isinstance(level, bool | np.bool_):
        return "yes" if level else "no"
    return f"{level:g}" if isinstance(level, float | np.floating) else str(level) or "(empty)"
