"""Code lists: concepts with descendants and exclusions, source codes with wildcards, CSV in and out."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from clinops.define.base import Definition, whole
from clinops.define.fields import several
from clinops.errors import DefinitionError, unknown

_COLUMNS = ("concept_id", "source_code", "vocabulary", "descendants", "exclude", "description")
_YES, _NO = {"yes", "true", "1", "y"}, {"no", "false", "0", "n", ""}


@dataclass(frozen=True)
class Codes(Definition):
    """A named code list.

    Attributes
    ----------
    name : what the list stands for, as a report prints it.
    concept_ids : standard concepts that count.
    descendants : whether everything below them in the hierarchy counts too.
    exclude : concepts that do not count (with what is below them, where ``descendants``).
    source_codes : codes as the source wrote them; a trailing ``*`` stands for anything that follows.
        Dots and case are ignored.
    vocabulary : of the source codes, such as "ICD10CM"; printed, and a filter where the source tells.
    origin : where the list came from: a paper, a file, a person's role.
    """

    kind: ClassVar[str] = "codes"
    made: ClassVar[str] = "a code list, made with co.codes(name, ...)"
    name: str
    concept_ids: tuple[int, ...] = ()
    descendants: bool = True
    exclude: tuple[int, ...] = ()
    source_codes: tuple[str, ...] = ()
    vocabulary: str | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tidy()
        if not self.name:
            raise DefinitionError("A code list needs a name: it is what the report prints.")
        if not self.concept_ids and not self.source_codes:
            raise DefinitionError(f"The code list {self.name!r} is empty; give concept ids or source codes.")
        for concept in (*self.concept_ids, *self.exclude):
            whole(f"a concept id of {self.name!r}", concept, 0)
        for code in self.source_codes:
            if not code.strip("*. ") or not code.isprintable():
                raise DefinitionError(f"{code!r} in {self.name!r} is no source code; give text such as 'E11*'.")
            if "*" in code[:-1]:
                raise DefinitionError(f"{code!r} in {self.name!r}: the wildcard * may only be the last character.")
        if not self.source_codes and set(self.concept_ids) <= set(self.exclude):
            raise DefinitionError(f"The code list {self.name!r} excludes every concept that it names.")

    def _tidy(self) -> None:
        """Drop what carries no meaning: blanks around and repeated within texts, codes given twice."""
        said: dict[str, Any] = {"name": _plain(self.name), "origin": _plain(self.origin)}
        said["vocabulary"] = _plain(self.vocabulary or "") or None
        said["source_codes"] = tuple(dict.fromkeys(_plain(code) for code in self.source_codes))
        said |= {name: tuple(dict.fromkeys(getattr(self, name))) for name in ("concept_ids", "exclude")}
        for name, value in said.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return self.name

    def write(self, path: str | Path) -> Path:
        """Write the list as CSV (or as JSON, where the file's name ends in .json) and return its path."""
        return super().write(path) if Path(path).suffix.lower() == ".json" else self.to_csv(path)

    def to_csv(self, path: str | Path) -> Path:
        """Write the list as a CSV with one code a row; `codes.read` gives an equal list back."""
        target = Path(path)
        below = "yes" if self.descendants else "no"
        rows = [(str(c), "", "", below, "no", "") for c in self.concept_ids]
        rows += [(str(c), "", "", below, "yes", "") for c in self.exclude]
        rows += [("", c, self.vocabulary or "", "", "no", "") for c in self.source_codes]
        about = {"name": self.name, "origin": self.origin}
        # What rows cannot say: the vocabulary is theirs to say on source codes, descendants on concepts.
        about["vocabulary"] = "" if self.source_codes else self.vocabulary or ""
        about["descendants"] = "" if self.concept_ids or self.exclude or self.descendants else below
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"# {name}: {said}\n" for name, said in about.items() if said)
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(rows)
        return target


def _plain(text: str) -> str:
    return " ".join(text.split())


class _CodesConstructor:
    """`codes(...)` makes a code list; `codes.read(path)` reads one from a CSV."""

    def __call__(
        self,
        name: str,
        *concept_ids: int,
        descendants: bool = True,
        exclude: tuple[int, ...] | list[int] | int = (),
        source: str | tuple[str, ...] | list[str] = (),
        vocabulary: str | None = None,
        origin: str = "",
    ) -> Codes:
        """Make a named code list.

        Examples
        --------
        >>> str(codes("type 2 diabetes", 201826))
        'type 2 diabetes'
        >>> codes("type 2 diabetes", source="E11*", vocabulary="ICD10CM").source_codes
        ('E11*',)
        """
        for concept in concept_ids:
            if isinstance(concept, str):
                raise DefinitionError(
                    f"{concept!r} in {name!r} is no concept id, which is a whole number; "
                    f"a source code goes into source={concept!r}, a file into co.codes.read(...)."
                )
        written, excluded = several(source, f"source of {name!r}"), several(exclude, f"exclude of {name!r}")
        return Codes(name, tuple(concept_ids), descendants, excluded, written, vocabulary, origin)

    def read(self, path: str | Path) -> Codes:
        """Read a code list from a CSV with a column ``concept_id`` or ``source_code``, as `Codes.write` makes it.

        Codes are read as text, so "042" and "250.00" stay what they are. Optional columns:
        ``vocabulary``, ``descendants`` (yes/no), ``exclude`` (yes/no), ``description``. Lines that
        begin with # are comments; ``# name:`` and ``# origin:`` name the list, without them the file's
        name does. A file that ends in .json is read as the JSON of a code list.

        Raises
        ------
        DefinitionError
            No such file, an unknown column, a row without a code or with too many cells, an excluded
            source code, or rows that disagree on ``descendants`` or ``vocabulary``.
        """
        file = Path(path)
        if not file.is_file():
            near = [p.name for p in file.parent.glob("*.csv")] if file.parent.is_dir() else []
            raise DefinitionError(unknown("code list file", file.name, near, f"Looked in {file.parent}."))
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise DefinitionError(f"{file.name} is not UTF-8 text; save it as CSV UTF-8.") from None
        if file.suffix.lower() == ".json":
            return Codes.from_json(text)
        return _from_text(text, file)


codes = _CodesConstructor()


def _from_text(text: str, file: Path) -> Codes:
    lines = list(io.StringIO(text))
    said = dict(_comment(line) for line in lines if line.startswith("#"))
    reader = csv.DictReader(line for line in lines if line.strip() and not line.startswith("#"))
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    for column in reader.fieldnames:
        if column not in _COLUMNS:
            then = "Columns are separated by commas."
            raise DefinitionError(unknown(f"column of a code list (in {file.name})", column, _COLUMNS, then))
    rows = [_Row.of(row, f"{file.name}, code {number}") for number, row in enumerate(reader, 1)]
    if not rows:
        raise DefinitionError(f"{file.name} holds no codes.")
    below = {row.descendants for row in rows if row.concept is not None}
    named = {row.vocabulary for row in rows if row.concept is None and row.vocabulary}
    if len(below) > 1 or len(named) > 1:
        raise DefinitionError(f"{file.name}: the rows must agree on descendants and vocabulary; split the list in two.")
    return Codes(
        name=said.get("name") or file.stem.replace("_", " "),
        concept_ids=tuple(row.concept for row in rows if row.concept is not None and not row.exclude),
        descendants=below.pop() if below else _flag(said.get("descendants"), True, file.name),
        exclude=tuple(row.concept for row in rows if row.concept is not None and row.exclude),
        source_codes=tuple(row.code for row in rows if row.concept is None),
        vocabulary=named.pop() if named else said.get("vocabulary"),
        origin=said.get("origin", ""),
    )


def _comment(line: str) -> tuple[str, str]:
    name, _, value = line.lstrip("# ").partition(":")
    return name.strip().lower(), value.strip()


@dataclass(frozen=True)
class _Row:
    """One row of a code list: a concept (else None) or a source code."""

    concept: int | None
    code: str
    vocabulary: str
    descendants: bool
    exclude: bool

    @classmethod
    def of(cls, row: dict[str, Any], where: str) -> _Row:
        if None in row:
            raise DefinitionError(f"{where}: more cells than columns; put text that holds a comma in double quotes.")
        cell = {name: (value or "").strip() for name, value in row.items()}
        concept, code = cell.get("concept_id", ""), cell.get("source_code", "")
        exclude = _flag(cell.get("exclude"), False, where)
        if bool(concept) == bool(code):
            raise DefinitionError(f"{where}: give either a concept_id or a source_code.")
        if concept and not (concept.isascii() and concept.isdigit()):
            raise DefinitionError(f"{where}: concept_id is {concept!r}; give a whole number.")
        if code and exclude:
            raise DefinitionError(
                f"{where}: the source code {code!r} is marked to be excluded; only concepts can be. "
                "List the source codes that do count instead."
            )
        below = _flag(cell.get("descendants"), True, where)
        return cls(int(concept) if concept else None, code, cell.get("vocabulary", ""), below, exclude)


def _flag(text: str | None, default: bool, where: str) -> bool:
    word = (text or "").strip().lower()
    if word not in _YES | _NO:
        raise DefinitionError(f"{where}: {text!r} is neither yes nor no.")
    return default if word == "" else word in _YES
