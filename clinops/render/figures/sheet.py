"""The sheet a figure is drawn on: it grows downwards, and every position is in inches from its top left corner.

Text is measured before it is placed, so nothing runs into anything else whatever the labels are. No state of
pyplot is touched: a `Sheet` owns one `matplotlib.figure.Figure` with a canvas of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D, blended_transform_factory

from clinops.render import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

SIZE, SMALL, TINY = style.FONT_SIZE, style.FONT_SIZE - 0.5, 7.0
MARGIN = 0.1
POINTS = 72.0
#: Baseline to baseline, in font sizes; the same for every block of text.
LEADING = 1.25
#: What a renderer may add to the measured width of a text by rounding glyphs to its pixels.
SLACK = 1.03


@lru_cache(maxsize=20_000)
def width_of(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Return the width in inches of the widest line of a text."""
    font = FontProperties(family=style.FONT, size=size, weight=weight)
    lines = text.split("\n")
    return max(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in lines) / POINTS


def height_of(text: str, size: float = SIZE) -> float:
    """Return the height in inches of a block of text; an empty one has none."""
    return LEADING * (text.count("\n") + 1) * size / POINTS if text else 0.0


def wrap(text: str, width: float, size: float = SIZE, weight: str = "normal") -> str:
    """Break a text into lines of at most a width in inches; a wider word breaks inside, after a hyphen if it can."""
    room = width / SLACK
    lines: list[str] = []
    for word in str(text).split():
        joined = f"{lines[-1]} {word}" if lines else word
        if width_of(joined, size, weight) <= room:
            lines[-1:] = [joined]
            continue
        while width_of(word, size, weight) > room and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if width_of(word[:n], size, weight) <= room), 1)
            fits = max(word.rfind("-", 0, fits), word.rfind("/", 0, fits)) + 1 or fits
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return "\n".join(lines)


def even(text: str, width: float, size: float = SIZE, weight: str = "normal") -> str:
    """Break a text like `wrap`, into as few lines but of like length: no line holds one short word."""
    lines = wrap(text, width, size, weight)
    if "\n" not in lines:
        return lines
    most = lines.count("\n")
    least = min(width_of(" ".join(text.split()), size, weight) * SLACK / (most + 1), width)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        tighter = wrap(text, least + share * (width - least), size, weight)
        if tighter.count("\n") == most and tighter.split() == lines.split():
            return tighter
    return lines


def clip(text: str, most: int) -> str:
    """Cut a wrapped text after so many lines, with an ellipsis where something is lost."""
    lines = text.split("\n")
    return text if len(lines) <= most else "\n".join([*lines[: most - 1], lines[most - 1].rstrip(" ,;") + "\u2026"])


class Sheet:
    """A figure under construction.

    Attributes
    ----------
    figure : the matplotlib figure.
    width : of the whole figure, inches.
    left, right : where the content may start and end.
    y : where the next thing goes; whoever draws moves it on with `take`.
    inches : the transform from inches (right, down) to the canvas.
    """

    def __init__(self, width: float, banner: str = "") -> None:
        self.figure = Figure(figsize=(width, 1.0))
        FigureCanvasAgg(self.figure)
        self.width, self.left, self.right = width, MARGIN, width - MARGIN
        self.y = MARGIN
        self._flip = Affine2D()
        self.inches = self._flip + self.figure.dpi_scale_trans
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        if banner:
            self.paragraph(banner, TINY, color=style.BANNER_INK, weight="bold", gap=0.09)

    @property
    def body(self) -> float:
        """The width between the margins."""
        return self.right - self.left

    @property
    def narrow(self) -> bool:
        """Whether the figure is meant for one column of a journal."""
        return self.width < 5

    def take(self, height: float) -> float:
        """Return the current position and move it down by a height."""
        top, self.y = self.y, self.y + height
        return top

    def text(self, x: float, y: float, text: str, size: float = SIZE, **options: Any) -> Text:
        """Write a text as it stands (wrap it before); by default x, y is the top left corner of it."""
        options = {"ha": "left", "va": "top", "color": style.INK, "linespacing": LEADING, **options}
        return self.figure.text(x, y, text, fontsize=size, transform=options.pop("transform", self.inches), **options)

    def paragraph(
        self, text: str, size: float = SMALL, *, gap: float = 0.04, weight: str = "normal", **options: Any
    ) -> None:
        """Write a text over the whole width and move on below it."""
        lines = wrap(text, self.body, size, weight)
        self.text(self.left, self.take(height_of(lines, size) + gap), lines, size, weight=weight, **options)

    def at_tick(self, axes: Axes, x: float, y: float, text: str, size: float = SMALL, **options: Any) -> Text:
        """Write a text centred under the value x of an axis, at y inches from the top."""
        transform = blended_transform_factory(axes.transData, self.inches)
        return self.text(x, y, text, size, transform=transform, **{"ha": "center", **options})

    def line(self, xs: tuple[float, float], ys: tuple[float, float], **options: Any) -> None:
        """Draw a straight line between two points."""
        options = {"color": style.RULE, "linewidth": 0.7, **options}
        self.figure.add_artist(Line2D(xs, ys, transform=self.inches, **options))

    def box(self, x: float, y: float, width: float, height: float, **options: Any) -> None:
        """Draw a rectangle whose top left corner is x, y."""
        options = {"facecolor": "white", "edgecolor": style.MUTED, "linewidth": 0.7, **options}
        self.figure.add_artist(Rectangle((x, y), width, height, transform=self.inches, **options))

    def arrow(self, start: tuple[float, float], end: tuple[float, float], **options: Any) -> None:
        """Draw an arrow from one point to another."""
        options = {"color": style.MUTED, "linewidth": 0.7, "mutation_scale": 6, **options}
        self.figure.add_artist(
            FancyArrowPatch(start, end, arrowstyle="-|>", shrinkA=0, shrinkB=0, transform=self.inches, **options)
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes whose frame is the rectangle given."""
        axes = self.figure.add_axes((0.1, 0.1, 0.8, 0.8), label=f"axes {len(self._axes)}")
        self._axes.append((axes, (left, top, width, height)))
        axes.tick_params(length=2.5, pad=2.5)
        return axes

    def key(self, entries: list[tuple[dict[str, Any], str]], left: float, room: float, size: float = SMALL) -> None:
        """Write a key: a sample of each line, marker or patch with its label, over as many lines as it takes."""
        x, step = left, size * 1.4 / POINTS
        for sample, label in entries:
            lines = wrap(label, room - 0.3, size)
            needed = 0.3 + width_of(lines, size) * SLACK
            if x > left and x + needed > left + room:
                x, self.y = left, self.y + step
            self._sample(x, self.y, sample)
            self.text(x + 0.28, self.y, lines, size)
            x += needed + 0.18
            if "\n" in lines:
                x, self.y = left, self.y + height_of(lines, size) + 0.04
        self.take(step + 0.04 if x > left else 0.04)

    def _sample(self, x: float, y: float, sample: dict[str, Any]) -> None:
        middle = y + 0.5 * SMALL / POINTS
        if "facecolor" in sample:
            self.box(x + 0.04, middle - 0.04, 0.18, 0.085, **sample)
        else:
            where = (
                ([x + 0.12], [middle]) if sample.get("linestyle") == "none" else ([x, x + 0.11, x + 0.22], [middle] * 3)
            )
            self.figure.add_artist(
                Line2D(*where, transform=self.inches, **{"markevery": [len(where[0]) // 2], **sample})
            )

    def nothing(self, why: str) -> None:
        """Say that there is nothing to draw, and why."""
        lines = wrap(f"Nothing to draw: {why}", self.body - 0.3, SIZE)
        height = height_of(lines) + 0.3
        top = self.take(height)
        self.box(self.left, top, self.body, height, facecolor=style.FAINT, edgecolor=style.RULE)
        self.text(self.left + 0.15, top + 0.15, lines)

    def finish(self) -> Figure:
        """Fix the height to what was drawn and return the figure."""
        height = self.y + MARGIN
        self.figure.set_size_inches(self.width, height)
        self._flip.clear().scale(1, -1).translate(0, height)
        for axes, (left, top, width, tall) in self._axes:
            axes.set_position((left / self.width, 1 - (top + tall) / height, width / self.width, tall / height))
        return self.figure
