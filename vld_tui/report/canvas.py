"""The canvas of a report's figures: sizes, styles, axes and files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vld_tui.study.results.outcomes import Setting
from vld_tui.words.palette import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
)
from vld_tui.words.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_INCHES, PAGE_INCHES = 3.4, 7.0
"""Widths of a column and of a full page."""
PANEL_INCHES: Final = 2.7
COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY_BLUE, GREY, "#000000")
"""Okabe and Ito's palette without yellow, which is invisible on white."""
MARKERS: Final = ("o", "^", "s", "D", "P", "X", "v")
LINES: Final = ("-", "--", ":", "-.")
INK, FAINT = "#222222", "#999999"
LONGEST_LABEL: Final = 48
DOTS_PER_INCH: Final = 200
MOST_TICKS: Final = 7
_LEGEND_INCHES: Final = 0.17
_FORMATS: Final[dict[str, dict[str, Any]]] = {"png": {}, "pdf": {"CreationDate": None}}
"""File formats and their metadata, fixed so that equal figures are equal files."""
RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "text.parse_math": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}
"""No math text, since names are external; text stays text in the PDF."""


class Look(NamedTuple):
    """A setting's colour, for its values, and its mark and line, for its arm."""

    colour: str
    marker: str
    line: str


def looks(settings: Sequence[Setting]) -> dict[Setting, Look]:
    """Return each setting's look, the same in every figure."""
    values = list(dict.fromkeys(setting.values for setting in settings))
    arms = list(dict.fromkeys(setting.arm for setting in settings))
    return {
        setting: Look(
            COLOURS[values.index(setting.values) % len(COLOURS)],
            MARKERS[arms.index(setting.arm) % len(MARKERS)],
            LINES[arms.index(setting.arm) % len(LINES)],
        )
        for setting in settings
    }


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return external text for a figure."""
    return shorten(plain_text(text), longest)


class FigureFiles(NamedTuple):
    """A finished figure: ``files`` are its bytes by format."""

    name: str
    title: str
    caption: str
    files: dict[str, bytes]


def style() -> Any:
    """Return the context that applies the common style."""
    import matplotlib as mpl  # slow to import

    parameters: Any = RC
    return mpl.rc_context(parameters)


def new_figure(width: float, height: float) -> Figure:
    """Return a figure without a window, with a layout free of overlaps."""
    from matplotlib.figure import Figure  # slow to import

    return Figure(figsize=(width, height), layout="constrained")


def panels(count: int, *, legend: int, height: float = PANEL_INCHES) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each data set and room for a legend below."""
    across = min(2, count)
    down = -(-count // across)
    per_line = 2 * across
    inches = height * down + _LEGEND_INCHES * -(-legend // per_line)
    figure = new_figure(COLUMN_INCHES if across == 1 else PAGE_INCHES, inches)
    drawings = [figure.add_subplot(down, across, at + 1) for at in range(count)]
    for axes in drawings:
        axes.locator_params(nbins=MOST_TICKS)
    return figure, drawings


def add_legend(figure: Figure, drawn: dict[Setting, Look]) -> None:
    """Add the legend of settings below the panels."""
    from matplotlib.lines import Line2D  # slow to import

    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="none")
        for look in drawn.values()
    ]
    labels = [shown(setting.label) for setting in drawn]
    is_wide = figure.get_figwidth() > COLUMN_INCHES
    longest = max(map(len, labels))
    columns = max(1, int((110 if is_wide else 54) // (longest + 6)))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)),
                  handletextpad=0.2, columnspacing=1)  # fmt: skip


def files_of(figure: Figure) -> dict[str, bytes]:
    """Return the figure's bytes by format; the layout is computed once.

    A box stands for a character that the font lacks.
    """
    files = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        for kind, metadata in _FORMATS.items():
            file = io.BytesIO()
            figure.savefig(file, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
            figure.set_layout_engine(None)
            files[kind] = file.getvalue()
    return files


def widen(axes: Axes) -> None:
    """Minimum axis range (percentage points), so that small differences look small."""
    for low, high, show in ((*axes.get_xlim(), axes.set_xlim), (*axes.get_ylim(), axes.set_ylim)):
        if high - low < 1:
            show((low + high - 1) / 2, (low + high + 1) / 2)


def fitting(accuracies: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis that fits the marks, in percent.

    Error bars of few seeds can be much longer than the range of the marks and are cut off.
    """
    low, high = min(accuracies), max(accuracies)
    margin = max(1.0, 0.6 * (high - low))
    return max(0.0, low - margin), min(100.0, high + margin)
