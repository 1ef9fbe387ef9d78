"""The fields of a definition held to their declared types, with a message for what does not fit."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import operator
import types
import typing
from collections.abc import Iterable
from typing import Any

from clinops.errors import DefinitionError

_WRONG = object()
_WORDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a finite number", bool: "True or False",
    dt.date: "a date", type(None): "None",
}  # fmt: skip


def settle(value: Any, hint: Any, what: str) -> Any:
    """Return a value as its field declares it, so that equal definitions are equal to the last digit.

    Whole numbers of numpy become ints, numbers in a float field become floats, lists become tuples.

    Parameters
    ----------
    value : what was given.
    hint : the declared type: a plain type, a definition, `tuple[x, ...]`, or a union of these.
    what : the field in the reader's words ("window of a measure").

    Raises
    ------
    DefinitionError : the value is of another type; the message says what to give.
    """
    if typing.get_origin(hint) is tuple and isinstance(value, tuple | list):
        inner = typing.get_args(hint)[0]
        return tuple(settle(item, inner, f"item {place} of {what}") for place, item in enumerate(value, 1))
    for option in _options(hint):
        settled = _fit(value, option)
        if settled is not _WRONG:
            return settled
    raise DefinitionError(f"{what[:1].upper()}{what[1:]} is {shown(value)}; give {_wanted(hint)}.")


def several(given: Any, what: str) -> tuple[Any, ...]:
    """Return one thing or several as a tuple: a lone one, where a comma was forgotten, stands for itself.

    Raises
    ------
    DefinitionError : something that holds nothing in order (a set, a dictionary, a function, ...).
    """
    if isinstance(given, str | dt.date | numbers.Real) or hasattr(given, "to_dict"):
        return (given,)
    if not isinstance(given, Iterable) or isinstance(given, set | frozenset | dict):
        raise DefinitionError(f"{what} is {shown(given)}; give one or several in order, as a tuple.")
    return tuple(given)


def shown(value: Any, most: int = 80) -> str:
    """Return a value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _options(hint: Any) -> tuple[Any, ...]:
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if union else (hint,)


def _fit(value: Any, hint: Any) -> Any:
    """Return the value as the type has it, or `_WRONG`; True and False are no numbers."""
    if hint is int:
        whole = hasattr(value, "__index__") and not isinstance(value, bool)
        return operator.index(value) if whole else _WRONG
    if hint is float:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        # Adding 0.0 turns -0.0 into 0.0: equal numbers must also write the same JSON.
        return float(value) + 0.0 if number and math.isfinite(value) else _WRONG
    if hint is str:
        return str(value) if isinstance(value, str) else _WRONG
    if hint is dt.date and isinstance(value, dt.datetime):
        return _WRONG
    return value if isinstance(hint, type) and isinstance(value, hint) else _WRONG


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a tuple, each {_wanted(typing.get_args(hint)[0])}"
    return " or ".join(_WORDS.get(option) or getattr(option, "made", "") or str(option) for option in _options(hint))
