"""From cells of a frame to numbers and texts, and from ranges to ticks."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinops.errors import DataError
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, width_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
NOT_SHOWN = "not shown"
#: Amounts from ten times these on are divided by them.
LARGE = ((1e9, "billions"), (1e6, "millions"))
#: Before the name of a column, the column with what is printed for its hidden cells.
PRINTED = "printed:"
#: A hyphen that stands for a minus: before a digit, after no letter or digit (a date keeps its hyphens).
HYPHEN = re.compile(r"(?<![\w.-])-(?=\d)")


def numbers(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column as floats; missing in any spelling, and a column that is not there, is NaN."""
    import pandas as pd

    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return np.array([math.nan if pd.isna(value) else float(value) for value in frame[column]], dtype=float)


def finite(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column as floats; what is infinite is no amount, and as unknown as what is missing."""
    found = numbers(frame, column)
    return np.where(np.isfinite(found), found, math.nan)


def shares(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column of shares as floats; one outside 0 to 1 is refused: it is a percentage, or no share at all."""
    found = finite(frame, column)
    outside = found[(found < -1e-9) | (found > 1 + 1e-9)]
    if len(outside):
        raise DataError(
            f"The column {column!r} holds shares from 0 to 1, not {outside[0]:g}. Divide percentages by 100."
        )
    return found


def words(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column as texts with single spaces; missing is empty."""
    import pandas as pd

    if column not in frame.columns:
        return [""] * len(frame)
    return ["" if pd.isna(value) else " ".join(str(value).split()) for value in frame[column]]


def labels(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column of labels in sentence case and with true minus signs: "Overlap weighting, days −365 to −1"."""
    return [sentence_case(HYPHEN.sub(say.MINUS, text)) for text in words(frame, column)]


def sentence_case(text: str) -> str:
    """Return a text with a capital first letter, unless its first word has capitals of its own (eGFR, pH)."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text


def marked(frame: pd.DataFrame, hidden: Sequence[tuple[int, str, str]]) -> pd.DataFrame:
    """Return the frame with, beside each column that lost cells to disclosure control, what is printed for them."""
    out = frame.copy()
    texts: dict[str, list[str]] = {}
    for row, column, text in hidden:
        texts.setdefault(column, [""] * len(frame))[row] = text
    for column, printed in texts.items():
        out[PRINTED + column] = printed
    return out


def printed(frame: pd.DataFrame, column: str) -> list[str]:
    """Return what disclosure control prints in each cell of a column; empty where the cell is its own."""
    return words(frame, PRINTED + column)


def counts(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column of counts as printed: "1,234"; "<11" or "hidden" where hidden; a dash where not known."""
    pairs = zip(numbers(frame, column), printed(frame, column), strict=True)
    return [text or (say.number(value) if math.isfinite(value) else say.DASH) for value, text in pairs]


def unseen(frame: pd.DataFrame, *columns: str) -> str:
    """Return how the counts of some columns that are hidden print, such as "<11" or "<11 or hidden"; empty if none."""
    texts = {text for column in columns for text in printed(frame, column) if text}
    return " or ".join(sorted(texts))


def unseen_or(frame: pd.DataFrame, column: str, missing: str) -> str:
    """Return `unseen` of a column, with what is said of its counts that were taken away before they came here."""
    lost = any(
        not text and not math.isfinite(v)
        for text, v in zip(printed(frame, column), numbers(frame, column), strict=True)
    )
    texts = [*unseen(frame, column).split(" or "), missing if lost else ""]
    return " or ".join(dict.fromkeys(filter(None, texts)))


def plain(value: float) -> str:
    """Return a tick as a plain number: "1,200", "0.5", "−20"; never a power."""
    text = f"{abs(value):,.10f}".rstrip("0").rstrip(".")
    return say.MINUS + text if value < 0 and text != "0" else text


def percent_tick(value: float) -> str:
    """Return a share as a tick: 0.05 is "5%"."""
    return plain(round(100 * value, 8)) + "%"


def alike(texts: Sequence[str]) -> list[str]:
    """Return ticks with the same number of decimals, but for zero: "0%", "2.5%", "5.0%"."""
    decimals = [len(re.sub(r"^[^.]*\.?", "", re.sub(r"\D+$", "", text))) for text in texts]
    most = max(decimals, default=0)
    padded = []
    for text, found in zip(texts, decimals, strict=True):
        end = re.search(r"\D*$", text)
        at = end.start() if end else len(text)
        zero = not re.search("[1-9]", text)
        more = ("" if found else ".") + "0" * (most - found) if most > found and not zero else ""
        padded.append(text[:at] + more + text[at:])
    return padded


def currency_of(unit: str) -> str:
    """Return the currency that a unit starts with ("USD per person" is "USD"); empty where it is no amount."""
    first = unit.split(" ", 1)[0]
    return first if first in say.SYMBOLS or (len(first) == 3 and first.isalpha() and first.isupper()) else ""


def digits_for(values: Floats) -> int:
    """Return the decimals that show three figures of the largest value."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max(initial=0.0))
    return next((digits for digits, least in ((0, 100), (1, 10), (2, 1)) if largest >= least), 3)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most ``most`` round numbers from low to high."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=max(most - 1, 1), steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [0.0 if abs(v) < slack else float(v) for v in found if low - slack <= v <= high + slack]


def log_ticks(low: float, high: float) -> list[list[float]]:
    """Return sets of round numbers for a logarithmic axis, densest first; 1 is in each where in range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    sets = []
    for factors in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        sets.append([round(f * 10.0**e, 12) for e in exponents for f in factors])
    thinned = [[10.0**e for e in exponents if e % step == 0] for step in (2, 3, 4, 6)]
    narrow = [linear_ticks(low, high, n) for n in (7, 5)] if high / low < 3 else []
    found = [[v for v in ticks if low <= v <= high] for ticks in (*narrow, *sets, *thinned)]
    return [ticks for ticks in found if ticks]


def fit(
    sets: Sequence[Sequence[float]],
    place: Callable[[float], float],
    label: Callable[[float], str],
    size: float = SMALL,
    gap: float = 0.09,
) -> list[float]:
    """Return the first set of ticks whose labels do not run into each other.

    Parameters
    ----------
    sets : candidates, best first.
    place : from a value to inches along the axis.
    label : from a value to its text.
    size, gap : of the labels, and the least room between two in inches.
    """
    for ticks in sets:
        if apart([(place(v), label(v)) for v in ticks], size, gap):
            return list(ticks)
    return list(sets[-1][:1]) if sets else []


def inside(
    ticks: Sequence[float], place: Callable[[float], float], label: Callable[[float], str], left: float, right: float
) -> list[float]:  # fmt: skip
    """Return the ticks whose labels stay between two places in inches."""
    halves = [(v, place(v), width_of(label(v), SMALL) * SLACK / 2) for v in ticks]
    return [v for v, x, half in halves if x - half >= left and x + half <= right]


def apart(labels: Sequence[tuple[float, str]], size: float = SMALL, gap: float = 0.09) -> bool:
    """Tell whether centred labels (position in inches, text) leave a gap between each other."""
    spans = sorted((x, width_of(text, size) * SLACK / 2) for x, text in labels)
    return all(b - a >= half + other + gap for (a, half), (b, other) in itertools.pairwise(spans))


def scaled(values: Floats, unit: str) -> tuple[float, str]:
    """Return by what to divide amounts that are too long to read, and their unit: (1e6, "USD millions a year")."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    factor, word = next(((f, w) for f, w in LARGE if largest >= 10 * f), (1.0, ""))
    currency = currency_of(unit)
    rest = unit[len(currency) :].strip()
    return factor, " ".join(part for part in (currency, word, rest) if part)
