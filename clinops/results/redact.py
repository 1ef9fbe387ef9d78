"""Words that give hidden numbers away: sentences, notes, titles and labels of an exhibit."""

from __future__ import annotations

import re
from collections.abc import Iterable

from clinops.results.suppress import HIDDEN, less_than

NOTICE = "Numbers that rest on small counts are not shown."
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_SIZE = re.compile(r"\b([nN] ?= ?)([\d,]+)\b")


def spellings(value: float) -> set[str]:
    """Return how a hidden number may stand in a sentence: whole, with commas, rounded, as a percentage."""
    if value != value or value in (float("inf"), float("-inf")):
        return set()
    size = abs(value)
    if size.is_integer():
        return {f"{size:.0f}", f"{size:,.0f}"}
    found = {f"{size:,.{digits}f}" for digits in range(4)} | {f"{size:.{digits}f}" for digits in range(4)}
    found |= {f"{100 * size:.{digits}f}" for digits in range(3)} if size < 1 else set()
    # A single digit stands for too much else to be taken for an estimate, and a zero for everything small.
    return {text for text in found if len(text) > 1 and float(text.replace(",", "")) != 0}


def redact(text: str, tokens: Iterable[str], min_cell: int) -> str:
    """Return the text without the sentences that hold a hidden number, and with small sizes as "n = <11"."""
    text = _SIZE.sub(lambda m: m.group(1) + _shown(m.group(2), min_cell), text)
    numbers = set(tokens)
    parts = _SENTENCE.split(text)
    kept = [part for part in parts if not numbers & set(re.findall(r"\d[\d,]*(?:\.\d+)?", part))]
    if len(kept) == len(parts):
        return text
    return " ".join([part[:-1] + "." if part.endswith(";") else part for part in kept] + [NOTICE])


def redact_label(label: str, tokens: Iterable[str], min_cell: int) -> str:
    """Return a header without hidden numbers: they are replaced where they stand."""
    label = _SIZE.sub(lambda m: m.group(1) + _shown(m.group(2), min_cell), label)
    for match in set(re.findall(r"n = ([\d,]+)", label)) & set(tokens):
        label = label.replace(f"n = {match}", f"n = {HIDDEN}")
    return label


def _shown(digits: str, min_cell: int) -> str:
    number = int(digits.replace(",", "") or 0)
    return less_than(min_cell) if 0 < number < min_cell else digits
