"""What every definition shares: frozen, hashable, printable, and the same after a trip through JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Self

from clinops.define.fields import settle, shown
from clinops.errors import DefinitionError, unknown

_KINDS: dict[str, type[Definition]] = {}
_HINTS: dict[type[Definition], dict[str, Any]] = {}


class Definition:
    """A value that says *what*, with no connection in it.

    Subclasses are frozen dataclasses and name themselves with ``kind``, the word that JSON carries
    in ``"type"``, and say in ``made`` how one is written. Equal definitions hash alike, print alike
    and write the same JSON.
    """

    kind: ClassVar[str]
    made: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        """Hold every field to its declared type; a subclass with rules of its own calls this first."""
        for name, hint in _fields(type(self)).items():
            said = f"{name.replace('_', ' ')} of the {self.kind}"
            object.__setattr__(self, name, settle(getattr(self, name), hint, said))

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain JSON values, leaving out what is at its default."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        said = {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}
        return {"type": self.kind} | {name: _encode(value) for name, value in said.items()}

    def to_json(self, indent: int | None = 2) -> str:
        """Return the definition as JSON text that `from_json` turns back into an equal value."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def write(self, path: str | Path) -> Path:
        """Write the definition as a JSON file and return its path."""
        target = Path(path)
        target.write_text(self.to_json() + "\n", encoding="utf-8")
        return target

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a definition from what `to_dict` gave; unknown types and fields are refused."""
        built = _decode(values)
        if not isinstance(built, cls):
            given = getattr(built, "kind", type(built).__name__)
            raise DefinitionError(f"This is a {given!r}, not a {getattr(cls, 'kind', cls.__name__.lower())!r}.")
        return built

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a definition from JSON text."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as problem:
            raise DefinitionError(f"This is not JSON: {problem}. `write` and `to_json` make it.") from None
        return cls.from_dict(values)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON: the same for equal definitions on every machine."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _encode(value: Any) -> Any:
    if isinstance(value, Definition):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        raise DefinitionError(f"A definition names its type; this one has only {sorted(value)}.")
    if not isinstance(value["type"], str) or value["type"] not in _KINDS:
        raise DefinitionError(unknown("definition of type", value["type"], _KINDS))
    cls = _KINDS[value["type"]]
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    extra = [name for name in value if name != "type" and name not in known]
    if extra:
        raise DefinitionError(unknown(f"field of a {cls.kind}", extra[0], known))
    hints = _fields(cls)
    said = {name: _dated(_decode(item), hints[name], name) for name, item in value.items() if name != "type"}
    missing = [name for name, f in known.items() if name not in said and _required(f)]
    if missing:
        raise DefinitionError(f"A {cls.kind} needs {', '.join(missing)}; given: {', '.join(said) or 'nothing'}.")
    return cls(**said)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fields(cls: type[Definition]) -> dict[str, Any]:
    """The declared type of every field of a definition; resolving the annotations is slow, so it is done once."""
    if cls not in _HINTS:
        hints = typing.get_type_hints(cls)
        _HINTS[cls] = {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return _HINTS[cls]


def _dated(value: Any, hint: Any, name: str) -> Any:
    """Turn ISO text back into a date where the field holds dates."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return as_date(value, name) if isinstance(value, str) and dt.date in options else value


def as_date(value: str | dt.date, what: str) -> dt.date:
    """Read a date given as a date or as ISO text (2020-01-31)."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise DefinitionError(f"{what} is {shown(value)}; write a date as YYYY-MM-DD, such as 2020-01-31.") from None


def slug(text: str) -> str:
    """Return a name fit for a column or a file: lower case, digits and single underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "unnamed"


def choice(kind: str, given: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse a value that is not one of the allowed ones, naming the nearest."""
    if given not in allowed:
        raise DefinitionError(unknown(kind, given, [str(item) for item in allowed]))


def whole(name: str, given: Any, low: int | None = None, high: int | None = None) -> None:
    """Refuse anything but a whole number within the limits."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise DefinitionError(f"{name} is {shown(given)}; give a whole number.")
    if (low is not None and given < low) or (high is not None and given > high):
        limits = f"be {low} or more" if high is None else f"lie between {low} and {high}"
        raise DefinitionError(f"{name} is {given}; it must {limits}.")
