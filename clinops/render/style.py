"""One look for every figure and table: palette, fonts, sizes, and the settings that make figures repeat.

Nothing is imported from matplotlib here: `rc_params` is a plain dictionary for `matplotlib.rc_context`.
"""

from __future__ import annotations

from typing import Any

#: Okabe and Ito's eight colours, told apart under every common colour blindness.
OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}

#: Order in which series take colours; every series also differs by line style or marker and has a label.
SERIES = (
    OKABE_ITO["blue"], OKABE_ITO["vermillion"], OKABE_ITO["green"], OKABE_ITO["purple"],
    OKABE_ITO["orange"], OKABE_ITO["sky"], OKABE_ITO["black"],
)  # fmt: skip
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

EXPOSED, COMPARATOR = OKABE_ITO["blue"], OKABE_ITO["vermillion"]
INK, MUTED, RULE, FAINT = "#1b2430", "#5b6673", "#c9d0d8", "#eef1f4"
BANNER_INK = "#8a3b00"

#: Widths in inches: one journal column, the JAMA canvas, two columns, the page of a report.
WIDTHS = {"single": 3.4, "jama": 5.0, "double": 7.0, "report": 7.2}
DPI = 300
FONT = "DejaVu Sans"  # ships with matplotlib, so figures look the same on every machine
FONT_SIZE = 8.0
#: Salt of the ids inside SVG files: without it two drawings of one figure differ.
HASH_SALT = "clinops"

SYNTHETIC_BANNER = "Synthetic data: no clinical meaning"
INTERNAL_STAMP = "Internal, not cleared for release"


def rc_params() -> dict[str, Any]:
    """Return matplotlib settings under which every figure is drawn; use with ``matplotlib.rc_context``.

    Text is never parsed as mathematics (two dollar signs in a label are two dollar signs), and SVG ids
    come from a fixed salt. Save SVG with ``metadata={"Date": None}`` besides.
    """
    return {
        "font.family": [FONT],
        "font.size": FONT_SIZE,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.titlesize": FONT_SIZE + 1,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": FONT_SIZE,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "axes.formatter.use_mathtext": False,
        "grid.color": FAINT,
        "grid.linewidth": 0.7,
        "xtick.labelsize": FONT_SIZE - 0.5,
        "ytick.labelsize": FONT_SIZE - 0.5,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": FONT_SIZE - 0.5,
        "text.color": INK,
        "figure.facecolor": "white",
        "figure.dpi": 100,
        "savefig.facecolor": "white",
        "savefig.dpi": DPI,
        "svg.fonttype": "path",
        "svg.hashsalt": HASH_SALT,
        "pdf.fonttype": 42,
    }
