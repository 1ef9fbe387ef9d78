"""Code lists: concepts with descendants and exclusions, source codes with wildcards, CSV in and out."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from clinops.define.base import Definition
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
    name: str
    concept_ids: tuple[int, ...] = ()
    descendants: bool = True
    exclude: tuple[int, ...] = ()
    source_codes: tuple[str, ...] = ()
    vocabulary: str | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise DefinitionError("A code list needs a name: it is what the report prints.")
        if not self.concept_ids and not self.source_codes:
            raise DefinitionError(f"The code list {self.name!r} is empty; give concept ids or source codes.")
        for concept in (*self.concept_ids, *self.exclude):
            if isinstance(concept, bool) or not isinstance(concept, int) or concept < 0:
                raise DefinitionError(f"{concept!r} in {self.name!r} is no concept id; give a whole number.")
        for code in self.source_codes:
            if not isinstance(code, str) or not code.strip("*. "):
                raise DefinitionError(f"{code!r} in {self.name!r} is no source code; give text such as 'E11*'.")
            if "*" in code[:-1]:
                raise DefinitionError(f"{code!r} in {self.name!r}: the wildcard * may only be the last character.")

    def __str__(self) -> str:
        return self.name

    def to_csv(self, path: str | Path) -> Path:
        """Write the list as a CSV with one code a row; `codes.read` gives an equal list back."""
        target = Path(path)
        below = "yes" if self.descendants else "no"
        rows = [(str(c), "", "", below, "no", "") for c in self.concept_ids]
        rows += [(str(c), "", "", below, "yes", "") for c in self.exclude]
        rows += [("", c, self.vocabulary or "", "", "no", "") for c in self.source_codes]
        with target.open("w", encoding="utf-8", newline="") as file:
            file.write(f"# name: {self.name}\n# origin: {self.origin}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(rows)
        return target


class _CodesConstructor:
    """`codes(...)` makes a code list; `codes.read(path)` reads one from a CSV."""

    def __call__(
        self,
        name: str,
        *concept_ids: int,
        descendants: bool = True,
        exclude: tuple[int, ...] | list[int] = (),
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
        written = (source,) if isinstance(source, str) else tuple(source)
        return Codes(name, tuple(concept_ids), descendants, tuple(exclude), written, vocabulary, origin)

    def read(self, path: str | Path) -> Codes:
        """Read a code list from a CSV with a column ``concept_id`` or ``source_code``.

        Codes are read as text, so "042" and "250.00" stay what they are. Optional columns:
        ``vocabulary``, ``descendants`` (yes/no), ``exclude`` (yes/no), ``description``. Lines that
        begin with ``# name:`` and ``# origin:`` name the list; without them the file's name does.

        Raises
        ------
        DefinitionError
            No such file, an unknown column, a row without a code, or rows that disagree on
            ``descendants``.
        """
        file = Path(path)
        if not file.is_file():
            near = [p.name for p in file.parent.glob("*.csv")] if file.parent.is_dir() else []
            raise DefinitionError(unknown("code list file", file.name, near, f"Looked in {file.parent}."))
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        said = dict(_comment(line) for line in lines if line.startswith("#"))
        rows = list(csv.DictReader(line for line in lines if line.strip() and not line.startswith("#")))
        return _from_rows(rows, file.name, said.get("name") or file.stem.replace("_", " "), said.get("origin", ""))


codes = _CodesConstructor()


def _comment(line: str) -> tuple[str, str]:
    name, _, value = line.lstrip("# ").partition(":")
    return name.strip(), value.strip()


def _from_rows(rows: list[dict[str, str]], file: str, name: str, origin: str) -> Codes:
    if not rows:
        raise DefinitionError(f"{file} holds no codes.")
    for column in rows[0]:
        if column not in _COLUMNS:
            raise DefinitionError(unknown(f"column of a code list (in {file})", column, _COLUMNS))
    concepts: list[int] = []
    excluded: list[int] = []
    written: list[str] = []
    below: set[bool] = set()
    vocabularies: set[str] = set()
    for number, row in enumerate(rows, 1):
        concept = (row.get("concept_id") or "").strip()
        code = (row.get("source_code") or "").strip()
        if bool(concept) == bool(code):
            raise DefinitionError(f"{file}, code {number}: give either a concept_id or a source_code.")
        if code:
            written.append(code)
            vocabularies |= {v} if (v := (row.get("vocabulary") or "").strip()) else set()
            continue
        if not concept.isdigit():
            raise DefinitionError(f"{file}, code {number}: concept_id is {concept!r}; give a whole number.")
        below.add(_flag(row.get("descendants"), True, file, number))
        (excluded if _flag(row.get("exclude"), False, file, number) else concepts).append(int(concept))
    if len(below) > 1 or len(vocabularies) > 1:
        raise DefinitionError(f"{file}: every row must agree on descendants and vocabulary; split the list in two.")
    return Codes(
        name, tuple(concepts), below.pop() if below else True, tuple(excluded), tuple(written),
        vocabularies.pop() if vocabularies else None, origin,
    )  # fmt: skip


def _flag(text: str | None, default: bool, file: str, number: int) -> bool:
    word = (text or "").strip().lower()
    if word not in _YES | _NO:
        raise DefinitionError(f"{file}, code {number}: {text!r} is neither yes nor no.")
    return default if word == "" else word in _YES
