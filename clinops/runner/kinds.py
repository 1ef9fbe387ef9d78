"""Declared types of notebook parameters, and how text becomes a value of one.

A value is read by the type that the notebook *declares*, never by its looks: `007` for a `str`
stays "007", `NO` stays "NO", and `1e3` for an `int` is refused rather than guessed.
"""

from __future__ import annotations

import ast
import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clinops.errors import ParameterError, nearest

Value = str | int | float | bool | None | list | tuple

SUPPORTED = (
    "str, int, float, bool, date, Path, Literal['a', 'b'], list[...] or tuple[..., ...] of these, "
    "and any of them `| None`"
)


@dataclass(frozen=True)
class Text:
    """One value as it was written: at the command line, or as a scalar in a YAML file.

    `null` and `boolean` say that YAML reads the unquoted word as nothing or as true/false;
    `cli` that it came from the command line, where quoting cannot tell such things apart.
    """

    text: str
    null: bool = False
    boolean: bool = False
    cli: bool = False


Given = Text | list  # a list holds Text (or, wrongly, further lists)


@dataclass(frozen=True)
class Kind:
    """A declared type.

    `name` is one of str, int, float, bool, date, Path, choice, list, tuple; `item` is the type of a
    list's members; `choices` are a Literal's values; `optional` says that None is allowed.
    """

    name: str
    optional: bool = False
    item: Kind | None = None
    choices: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        if self.name == "choice":
            text = f"Literal[{', '.join(repr(choice) for choice in self.choices)}]"
        elif self.item is not None:
            text = f"list[{self.item}]" if self.name == "list" else f"tuple[{self.item}, ...]"
        else:
            text = self.name
        return text + (" | None" if self.optional else "")

    @property
    def scalar(self) -> Kind:
        """The type of one member (of itself where it is not a list)."""
        return self.item or self


# --- from an annotation to a Kind ----------------------------------------------------------------


def kind_of_annotation(node: ast.expr) -> Kind | None:
    """Return the declared type that an annotation states, or None where it is not a supported one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # a quoted annotation
        try:
            return kind_of_annotation(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _optional(node.left, node.right)
    if isinstance(node, ast.Subscript):
        return _subscript(_last_name(node.value), node.slice)
    name = _last_name(node)
    return Kind(name) if name in ("str", "int", "float", "bool", "date", "Path") else None


def _last_name(node: ast.expr) -> str:
    """`date` of both `date` and `datetime.date`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _optional(left: ast.expr, right: ast.expr) -> Kind | None:
    for one, other in ((left, right), (right, left)):
        if isinstance(other, ast.Constant) and other.value is None:
            inner = kind_of_annotation(one)
            return inner and Kind(inner.name, True, inner.item, inner.choices)
    return None


def _subscript(name: str, inside: ast.expr) -> Kind | None:
    members = list(inside.elts) if isinstance(inside, ast.Tuple) else [inside]
    if name == "Literal":
        values = [member.value for member in members if isinstance(member, ast.Constant)]
        choices = tuple(value for value in values if isinstance(value, str | int) and not isinstance(value, bool))
        return Kind("choice", choices=choices) if len(choices) == len(members) else None
    if name == "Optional":
        return _optional(inside, ast.Constant(None))
    if name == "tuple" and len(members) == 2 and _is_ellipsis(members[1]):
        members = members[:1]
    if name not in ("list", "tuple") or len(members) != 1:
        return None
    item = kind_of_annotation(members[0])
    return None if item is None or item.item or item.optional else Kind(name, item=item)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def kind_of_value(value: object) -> Kind | None:
    """Return the type of a default that carries no annotation, or None where it does not tell."""
    if isinstance(value, list | tuple):
        names = {type(member).__name__ for member in value}
        if len(names) == 1 and names <= {"str", "int", "float"}:
            return Kind(type(value).__name__, item=Kind(names.pop()))
        return None
    name = type(value).__name__
    return Kind(name) if name in ("str", "int", "float", "bool") else None


# --- from text to a value ------------------------------------------------------------------------


def read(kind: Kind, given: Given, base: Path) -> Value:
    """Turn a value as written into one of the declared type.

    Parameters
    ----------
    kind : the declared type.
    given : the text, or a list of texts.
    base : folder from which a relative `Path` is understood.

    Raises
    ------
    ParameterError
        The value is not of that type; the message says what is wanted (without the parameter's name,
        which the caller knows).
    """
    if isinstance(given, Text) and kind.optional and (given.null or _says_none(given)):
        return None
    if isinstance(given, Text) and given.null:
        raise ParameterError(f"must be {wanted(kind)}, got an empty value")
    if kind.item is not None:
        members = given if isinstance(given, list) else split_list(given)
        values = [read(kind.item, member, base) for member in members]
        return values if kind.name == "list" else tuple(values)
    if isinstance(given, list):
        raise ParameterError(f"must be {wanted(kind)}, got a list")
    return _READERS[kind.name](kind, given, base)


def _says_none(given: Text) -> bool:
    return given.cli and given.text.lower() in ("none", "null")


def split_list(given: Text) -> list:
    """`a, b` or `["a", "b"]` as a list of texts."""
    if given.text.lstrip().startswith("["):
        from clinops.runner.yamlfile import read_list

        members = read_list(given.text)
        return [Text(member.text, cli=given.cli) if isinstance(member, Text) else member for member in members]
    return [Text(part.strip(), cli=given.cli) for part in given.text.split(",") if part.strip()]


def wanted(kind: Kind) -> str:
    """The type in a reader's words."""
    words = {
        "str": "text (str)",
        "int": "a whole number (int)",
        "float": "a number (float)",
        "bool": "true or false (bool)",
        "date": "a date written YYYY-MM-DD",
        "Path": "a file or folder that exists",
        "choice": "one of " + ", ".join(str(choice) for choice in kind.choices),
    }
    text = words[kind.name] if kind.item is None else f"a list, each member {wanted(kind.item)}"
    return text + (", or none" if kind.optional else "")


def _read_str(kind: Kind, given: Text, base: Path) -> str:
    if given.boolean:
        raise ParameterError(
            f"must be {wanted(kind)}, got {given.text}, which YAML reads as true or false; "
            f'quote it if you mean the word: "{given.text}"'
        )
    return given.text


def _read_int(kind: Kind, given: Text, base: Path) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,400}", given.text.strip()):
        raise ParameterError(f"must be {wanted(kind)}, got {given.text!r}")
    return int(given.text)


def _read_float(kind: Kind, given: Text, base: Path) -> float:
    number = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
    text = given.text.strip()
    if not re.fullmatch(number, text) or not math.isfinite(float(text)):
        raise ParameterError(f"must be {wanted(kind)}, finite, got {given.text!r}")
    return float(text)


def _read_bool(kind: Kind, given: Text, base: Path) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if given.text.strip().lower() not in words:
        raise ParameterError(f"must be {wanted(kind)}, got {given.text!r}")
    return words[given.text.strip().lower()]


def _read_date(kind: Kind, given: Text, base: Path) -> str:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", given.text):
        try:
            return datetime.date.fromisoformat(given.text).isoformat()
        except ValueError:
            pass  # right shape, no such day: refused below in the same words
    raise ParameterError(f"must be {wanted(kind)}, got {given.text!r}")


def _read_choice(kind: Kind, given: Text, base: Path) -> str | int:
    for choice in kind.choices:
        if str(choice) == given.text:
            return choice
    close = nearest(given.text, [str(choice) for choice in kind.choices], 1)
    hint = f". Did you mean {close[0]!r}?" if close else ""
    raise ParameterError(f"must be {wanted(kind)}, got {given.text!r}{hint}")


def is_address(text: str) -> bool:
    """Whether a `Path` value is an address (postgresql://...) rather than a file or folder."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def _read_path(kind: Kind, given: Text, base: Path) -> str:
    if is_address(given.text):
        return given.text
    place = base / Path(given.text).expanduser()
    if given.text and place.exists():
        return str(place)
    folder = place.parent
    siblings = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    close = nearest(place.name, siblings, 1)
    hint = f" Did you mean {str(Path(given.text).with_name(close[0]))!r}?" if close else ""
    raise ParameterError(f"must be {wanted(kind)}: there is no {given.text!r} in {base}.{hint}")


_READERS: dict[str, Callable[[Kind, Text, Path], Value]] = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "date": _read_date,
    "choice": _read_choice,
    "Path": _read_path,
}
