"""What a notebook's parameters cell declares, and strict reading of the values given for it.

The cell tagged `parameters` holds one line for each parameter:

    index_year: int = 2022          # calendar year of the index date; >= 2000, <= 2030
    estimator: Literal["att", "ate"] = "att"   # whose effect
    source: Path = "data/gibleed"   # folder, file or address of the records

The comment is the description; what follows its last semicolon may bound a number or a date
(`>= 0, <= 365`). The cell is read as a syntax tree and never run by us, so a value cannot become code.
It stays plain Python: JupyterLab and a raw papermill run it unchanged.
"""

from __future__ import annotations

import ast
import io
import operator
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinops.errors import ParameterError, unknown
from clinops.runner.kinds import SUPPORTED, Kind, Text, Value, is_address, kind_of_annotation, kind_of_value, read
from clinops.runner.secret import refuse_secret

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Bound:
    """One limit on a number or a date: a comparison (>=, >, <=, <) and what it compares with."""

    comparison: str
    limit: Any

    def __str__(self) -> str:
        whole = isinstance(self.limit, float) and self.limit.is_integer() and abs(self.limit) < 1e15
        return f"{self.comparison} {int(self.limit) if whole else self.limit}"

    def allows(self, value: Any) -> bool:
        return _COMPARE[self.comparison](value, self.limit)


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a notebook."""

    name: str
    kind: Kind
    default: Value
    description: str
    bounds: tuple[Bound, ...]
    annotated: bool

    @property
    def limits(self) -> str:
        """The bounds as text, empty where there are none."""
        return ", ".join(str(bound) for bound in self.bounds)

    def check(self, value: Value) -> None:
        """Raise ParameterError where a value of the right type is outside the bounds."""
        members = value if isinstance(value, list | tuple) else [value]
        for member in members:
            if member is not None and not all(bound.allows(member) for bound in self.bounds):
                raise ParameterError(f"Parameter {self.name!r} must be {self.limits}, got {member}.")

    def read(self, given: Text | list, base: Path) -> Value:
        """Turn a value as written into one of the declared type, inside its bounds."""
        try:
            value = read(self.kind, given, base)
        except ParameterError as problem:
            raise ParameterError(f"Parameter {self.name!r} {problem}".rstrip(".") + ".") from problem
        self.check(value)
        return value


# --- reading the cell ----------------------------------------------------------------------------


def declared(cell: str) -> dict[str, Parameter]:
    """Return the parameters that a cell declares, in order.

    Raises
    ------
    ParameterError
        The cell holds something other than declarations; says which line and what is allowed.
    """
    try:
        tree = ast.parse(cell)
    except SyntaxError as problem:
        raise ParameterError(f"the parameters cell is not valid Python (line {problem.lineno})") from problem
    comments = _comments(cell)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
            continue
        parameter = _declaration(statement, comments.get(statement.end_lineno or 0, ""))
        if parameter.name in found:
            raise ParameterError(f"the parameters cell declares {parameter.name!r} twice")
        found[parameter.name] = parameter
    return found


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _comments(cell: str) -> dict[int, str]:
    """The comment on each line, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(cell).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _declaration(statement: ast.stmt, comment: str) -> Parameter:
    name, annotation, expression = _parts(statement)
    try:
        default = ast.literal_eval(expression)
    except ValueError as problem:
        raise ParameterError(f"the default of parameter {name!r} is not a plain value") from problem
    kind = kind_of_annotation(annotation) if annotation else kind_of_value(default)
    if kind is None:
        what = f"is declared {ast.unparse(annotation)}" if annotation else "has no declared type"
        raise ParameterError(f"parameter {name!r} {what}; allowed are {SUPPORTED}")
    description, bounds = _describe(name, kind, comment)
    parameter = Parameter(name, kind, _default(name, kind, default), description, bounds, annotation is not None)
    parameter.check(parameter.default)
    refuse_secret(name, default)
    return parameter


def _parts(statement: ast.stmt) -> tuple[str, ast.expr | None, ast.expr]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return statement.target.id, statement.annotation, statement.value
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return target.id, None, statement.value
    raise ParameterError(
        f"line {statement.lineno} of the parameters cell is {ast.unparse(statement)!r}; "
        "only `name: type = value  # description` lines may stand there"
    )


def _default(name: str, kind: Kind, default: Any) -> Value:
    """Check a default against its declared type (a file need not exist until the run uses it)."""
    if default is None and kind.optional:
        return None
    if kind.item is not None:
        fits = isinstance(default, list | tuple) and all(_fits(kind.item, member) for member in default)
    else:
        fits = _fits(kind, default)
    if not fits:
        raise ParameterError(f"the default of parameter {name!r}, {default!r}, is not of its type {kind}")
    return default


def _fits(kind: Kind, value: Any) -> bool:
    if kind.name == "choice":
        return any(type(value) is type(choice) and value == choice for choice in kind.choices)
    if kind.name == "date":
        try:
            return isinstance(value, str) and read(kind, Text(value), Path()) == value
        except ParameterError:
            return False
    types: dict[str, tuple[type, ...]] = {
        "str": (str,), "Path": (str,), "int": (int,), "float": (int, float), "bool": (bool,)
    }  # fmt: skip
    return type(value) in types[kind.name]


def _describe(name: str, kind: Kind, comment: str) -> tuple[str, tuple[Bound, ...]]:
    """Split a comment into its description and the bounds after its last semicolon."""
    head, _, tail = comment.rpartition(";")
    if not tail.lstrip().startswith(("<", ">")):
        return comment.strip(), ()
    bounds = []
    for part in tail.split(","):
        match = _BOUND.fullmatch(part)
        if not match:
            raise ParameterError(f"the limits of parameter {name!r} are {tail.strip()!r}; write `>= 0, <= 365`")
        bounds.append(Bound(match[1], _limit(name, kind.scalar, match[2])))
    return head.strip(), tuple(bounds)


def _limit(name: str, kind: Kind, text: str) -> Value:
    if kind.name not in ("int", "float", "date"):
        raise ParameterError(f"parameter {name!r} has limits, but only numbers and dates can have them")
    try:
        return read(kind, Text(text), Path())
    except ParameterError as problem:
        raise ParameterError(f"a limit of parameter {name!r} {problem}") from problem


# --- reading the values --------------------------------------------------------------------------


def values_for(
    parameters: Mapping[str, Parameter],
    given: Mapping[str, Any],
    notebook: str,
    base: Path,
    workdir: Path,
) -> dict[str, Value]:
    """Return the values to inject for the parameters that were given, checked against their declarations.

    Parameters
    ----------
    parameters : what the notebook declares.
    given : name to `Text` (or list of `Text`) as written.
    notebook : its name, for messages.
    base : the folder where the command was given: relative paths *given* are understood from there.
    workdir : the folder in which the notebook runs: relative *defaults* are understood from there.

    Raises
    ------
    ParameterError
        Unknown name, wrong type, impossible value, a missing file, or a secret.
    """
    for name in given:
        if name not in parameters:
            then = f"`clinops list` shows them with their types ({notebook})."
            raise ParameterError(unknown("parameter", name, parameters, then))
    values: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if name in given:
            if isinstance(given[name], dict):
                raise ParameterError(f"Parameter {name!r} must be one value or a list, got a mapping.")
            refuse_secret(name, _plain(given[name]))
            values[name] = _seen_from(workdir, parameter, parameter.read(given[name], base))
        elif parameter.kind.scalar.name == "Path" and parameter.default is not None:
            defaults = parameter.default if isinstance(parameter.default, list | tuple) else [parameter.default]
            for default in defaults:
                _must_exist(parameter, str(default), workdir)
    return values


def _plain(given: Text | list) -> list[str]:
    """Every text of a given value."""
    return [given.text] if isinstance(given, Text) else [text for part in given for text in _plain(part)]


def _must_exist(parameter: Parameter, default: str, workdir: Path) -> None:
    try:
        read(parameter.kind.scalar, Text(default), workdir)
    except ParameterError as problem:
        raise ParameterError(f"Parameter {parameter.name!r} (by default) {problem}") from problem


def _seen_from(workdir: Path, parameter: Parameter, value: Value) -> Value:
    """Write paths relative to the notebook's folder where they lie in it: records then hold no machine path."""
    if parameter.kind.scalar.name != "Path" or value is None:
        return value
    if isinstance(value, list | tuple):
        return type(value)(_relative(str(member), workdir) for member in value)
    return _relative(str(value), workdir)


def _relative(value: str, workdir: Path) -> str:
    if is_address(value):
        return value
    place = Path(value).absolute()
    return place.relative_to(workdir).as_posix() if place.is_relative_to(workdir) else str(place)
