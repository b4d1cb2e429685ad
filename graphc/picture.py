"""Pictures in files: PNG, SVG or PDF by the file's suffix. matplotlib is imported here and where figures are drawn.

The same figure gives the same file, and the text of an SVG stays text.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from graphc.errors import GraphcError
from graphc.plan.text import bytes_text

__all__ = ["FORMATS", "check_picture", "mark_bytes", "new_panel", "save_picture"]

FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Raise GraphcError unless a picture can be drawn here, and a file of this name can hold one."""
    if path.suffix.lower() not in FORMATS:
        raise GraphcError(f"a picture is a file that ends in {', '.join(FORMATS)}; {str(path)!r} does not")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise GraphcError("a picture needs matplotlib: pip install 'graphc[demo]'") from None


def new_panel(width: float, height: float) -> Any:
    """The axes of a new figure, so many inches wide and high."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    return panel


def mark_bytes(axis: Any, top: int) -> None:
    """Marks at round numbers of bytes, on an axis that ends a little above `top`."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    axis.set_major_locator(MultipleLocator(2.0 ** math.ceil(math.log2(max(top / 12, 1)))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(int(value))))


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure to `path`. Raises OSError."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "graphc"}):
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        figure.savefig(path, metadata=dated.get(path.suffix.lower()))
