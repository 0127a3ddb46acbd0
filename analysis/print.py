"""Figures as files for papers: PDF, SVG and PNG, sized in millimetres and points."""

import asyncio
import logging
import math
import os
import signal
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from textwrap import wrap
from threading import Thread
from typing import Any

import plotly.graph_objects as go

from lip_ray.errors import UserError
from lip_ray.outputs import write_whole

SUFFIXES = (".pdf", ".svg", ".png")

FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
"""The fonts, of which the first that the machine has is used."""

DRAWN_PX = 13.0
"""The font size that figures are designed at: lines and marks grow and shrink with it."""

CSS_PX_PER_INCH, MM_PER_INCH, PT_PER_INCH = 96.0, 25.4, 72.0

MARGIN = {"l": 62, "r": 14, "t": 14, "b": 62}
"""Pixels around a figure without buttons; the legend reserves its own room."""

NO_MARGIN = dict.fromkeys(("l", "r", "t", "b"), 2)
"""Around a figure that says its own proportion, as those do that are not axes and lines."""

PROPORTION = 0.62
"""The ratio of a plot's height to its width."""

ENTRY_PX, CHARACTER_PX, ROW_PX, LINE_PX = 46.0, 6.2, 4.0, 17.0
"""Pixels of a legend: an entry beside its text, a character, a row of entries, a line."""

LEGEND_CHARACTERS = 44
"""Characters after which an entry of a legend begins another line."""

LARGEST = {"width_mm": 2000.0, "height_mm": 2000.0, "font_size_pt": 100.0, "dpi": 2400.0}
"""The largest allowed values: those of a poster."""

GRACE_S = 5.0
"""Seconds for a browser to close, or to end when it was killed."""


class FigureError(UserError):
    """A figure cannot be found or written; the message says which, and what would work."""


def write_figure(
    figure: go.Figure,
    output: Path,
    *,
    width_mm: float = 180.0,
    height_mm: float | None = None,
    font: str = FONT,
    font_size_pt: float = 8.0,
    dpi: float = 300.0,
    timeout_s: float = 120.0,
) -> None:
    """Draw a figure into a .pdf, .svg or .png file, through kaleido and a Chromium.

    `height_mm` is by default what the figure and its legend need. Lines and marks are in proportion
    to the font. PDF has its fonts embedded; `dpi` counts for PNG alone. The file is whole or not
    there.

    Raises FigureError for another suffix, a size that is not positive or beyond LARGEST, a folder
    that is not there, without kaleido or a Chromium, and when the browser does not answer within
    `timeout_s`.
    """
    if output.suffix not in SUFFIXES:
        raise FigureError(f"{output}: a figure is written as {', '.join(SUFFIXES)}")
    sizes = {"width_mm": width_mm, "height_mm": 1.0 if height_mm is None else height_mm}
    sizes |= {"font_size_pt": font_size_pt, "dpi": dpi, "timeout_s": timeout_s}
    for name, size in sizes.items():
        if not 0 < size < math.inf:
            raise FigureError(f"{name} must be positive, got {size:g}")
        if size > LARGEST.get(name, size):
            raise FigureError(f"{name} must be at most {LARGEST[name]:g}, got {size:g}")
    if not output.parent.is_dir():
        raise FigureError(f"{output}: there is no folder {output.parent}")
    scale = font_size_pt / PT_PER_INCH * CSS_PX_PER_INCH / DRAWN_PX
    width = _pixels(width_mm) / scale
    bare = _bare(figure, font, width)
    height = _height(bare, width) if height_mm is None else _pixels(height_mm) / scale
    raster = dpi / CSS_PX_PER_INCH if output.suffix == ".png" else 1.0
    options = {"format": output.suffix[1:], "width": width, "height": height}
    drawn = _rendered(bare, options | {"scale": scale * raster}, timeout_s)
    write_whole(output, drawn)


def _pixels(millimetres: float) -> float:
    return millimetres / MM_PER_INCH * CSS_PX_PER_INCH


def _bare(figure: go.Figure, font: str, width: float) -> go.Figure:
    """A copy for print: white, without buttons, in that font, the legend in short lines."""
    bare = go.Figure(figure)
    bare.layout.updatemenus = ()
    bare.update_layout(
        margin=NO_MARGIN if bare.layout.meta else MARGIN,
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": font, "size": DRAWN_PX},
        legend={"maxheight": 1},
    )
    bare.update_xaxes(title_font_size=DRAWN_PX)
    bare.update_yaxes(title_font_size=DRAWN_PX)
    longest = max(12, min(LEGEND_CHARACTERS, int((width - ENTRY_PX) / CHARACTER_PX)))
    for trace in bare.data:
        trace.legendgroup = None  # of use to a mouse only, and it takes room
        trace.name = "<br>".join(wrap(trace.name or "", longest, break_on_hyphens=False))
    return bare


def _height(figure: go.Figure, width: float) -> float:
    """Room for a plot of pleasant proportions and all rows of the legend, in pixels."""
    entries = [
        trace.name.split("<br>")
        for trace in figure.data
        if trace.name and trace.showlegend is not False
    ]
    longest = max((len(line) for entry in entries for line in entry), default=0)
    columns = max(1, int(width // (ENTRY_PX + CHARACTER_PX * longest)))
    rows = (entries[place : place + columns] for place in range(0, len(entries), columns))
    lines = [max(map(len, row)) for row in rows]
    if figure.layout.meta:
        return float(figure.layout.meta["proportion"] * width)
    labelled = LINE_PX * len(figure.layout.yaxis.tickvals or ())
    plot = max(PROPORTION * width, labelled, *map(_rows_height, figure.data))
    return plot + MARGIN["b"] + ROW_PX * len(lines) + LINE_PX * sum(lines)


def _rows_height(trace: Any) -> float:
    """What a matrix needs for the labels of its rows, and of its columns where they are upright."""
    if trace.type != "heatmap":
        return 0.0
    labels = [str(label).split("<br>") for label in trace.y]
    longest = max(len(line) for label in labels for line in label)
    return LINE_PX * len(labels) * max(map(len, labels)) + CHARACTER_PX * longest


def _rendered(figure: go.Figure, options: dict[str, Any], timeout_s: float) -> bytes:
    """What kaleido makes of it, in a thread of its own: a notebook's has an event loop already."""
    try:
        from kaleido import errors
    except ImportError as error:
        raise FigureError(
            "writing a figure needs kaleido: pip install 'lip-ray[figures]'"
        ) from error
    found: Future[bytes] = Future()
    coroutine = _within(figure, options, timeout_s)
    Thread(target=_settle, args=(found, coroutine), daemon=True).start()
    try:
        return found.result(timeout_s + 4 * GRACE_S)
    except errors.ChromeNotFoundError as error:
        raise FigureError(
            "writing a figure needs a Chromium or Chrome: install one (Debian: apt-get install "
            "chromium), or set BROWSER_PATH to where it is"
        ) from error
    except TimeoutError as error:
        raise FigureError(
            f"the browser that draws figures is silent for {timeout_s:g} s"
        ) from error
    except (errors.KaleidoError, errors.BrowserClosedError, errors.BrowserFailedError) as error:
        raise FigureError(f"the browser that draws figures failed: {error}") from error


def _settle(found: Future[bytes], coroutine: Coroutine[Any, Any, bytes]) -> None:
    try:
        found.set_result(asyncio.run(coroutine))
    except BaseException as error:  # the thread that waits raises it
        found.set_exception(error)


async def _within(figure: go.Figure, options: dict[str, Any], timeout_s: float) -> bytes:
    """One browser for one figure; when time is up it is killed, since it may not even stop."""
    from kaleido import Kaleido

    # What fails is raised; beside it the browser's pipe logs what it reads while it closes.
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    browser = Kaleido(n=1, timeout=None, mathjax=False)

    async def draw() -> bytes:
        await browser.open()
        drawn: bytes = await browser.calc_fig(figure, opts=options)
        return drawn

    drawing = asyncio.create_task(draw())
    done, _ = await asyncio.wait({drawing}, timeout=timeout_s)
    if not done:
        os.killpg(browser.subprocess.pid, signal.SIGKILL)
        await asyncio.wait({drawing}, timeout=GRACE_S)
        drawing.cancel()
    await asyncio.wait({asyncio.create_task(browser.close())}, timeout=GRACE_S)
    if not done:
        raise TimeoutError
    return drawing.result()
