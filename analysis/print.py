"""Figures of a page as files for papers: PDF, SVG and PNG, sized in millimetres and points."""

import asyncio
import math
import os
import signal
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import Future
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from threading import Thread
from typing import Any, TypeAlias

import plotly.graph_objects as go

from lip_ray.errors import UserError
from lip_ray.outputs import write_whole

from .charts.style import BUTTONS
from .page.content import Frames
from .page.report import report_sections
from .page.section import Figure, Section
from .parts.sensing.figures import STEP_BUTTONS

SUFFIXES = (".pdf", ".svg", ".png")

FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
"""The fonts, of which the first that the machine has is used."""

DRAWN_PX = 13.0
"""The font size that figures are designed at: lines and marks grow and shrink with it."""

CSS_PX_PER_INCH, MM_PER_INCH, PT_PER_INCH = 96.0, 25.4, 72.0

MARGIN = {"l": 62, "r": 14, "t": 14, "b": 62}
"""Pixels around a figure without buttons; the legend reserves its own room."""

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


def figure_names(store: Frames) -> dict[str, list[str]]:
    """The titles of each figure's parts by its name, in the order of the page."""
    return _names(_drawn(store))


def figure_of(
    store: Frames,
    name: str,
    *,
    which: str = "selected",
    choose: Sequence[str] = (),
    part: int | str = 0,
) -> go.Figure:
    """A figure of the store's page, with its buttons pressed and taken off.

    `part` is one of those that `figure_names` lists, by its place or title. `which` of the PSNRs is
    shown; `choose` are words on other buttons, such as "0.05", "MSE" or "measurements 250".

    Raises FigureError for what the page does not have, naming what it has.
    """
    drawn = _drawn(store)
    names = _names(drawn)
    if name not in names:
        raise FigureError(_unknown("figure", name, names))
    found = _part([one for one in drawn if one[1].name == name], part)
    if which not in BUTTONS:
        raise FigureError(_unknown("PSNR", which, BUTTONS))
    words = (BUTTONS[which], STEP_BUTTONS[which], *choose)
    options = [one.words or one.labels for one in found.controls]
    chosen = [own[one.chosen] for own, one in zip(options, found.controls, strict=True)]
    said = _said(list(zip(options, chosen, strict=True)), words, choose)
    places = [own.index(word) for own, word in zip(options, said, strict=True)]
    pairs = zip(found.controls, places, strict=True)
    return found.chosen([one.labels[place] for one, place in pairs])


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


Drawn: TypeAlias = tuple[Section, Figure]


def _drawn(store: Frames) -> list[Drawn]:
    return [(one, one.figure) for one in report_sections(store) if one.figure is not None]


def _names(drawn: Iterable[Drawn]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for section, figure in drawn:
        found.setdefault(figure.name, []).append(section.title)
    return found


def _part(drawn: Sequence[Drawn], part: int | str) -> Figure:
    """The figure at the place, or the only one whose section's title has the words."""
    titles = [section.title for section, _ in drawn]
    if isinstance(part, int):
        found = drawn[part : part + 1] if part >= 0 else []
    else:
        exact = [one for one in drawn if one[0].title == part]
        found = exact or [one for one in drawn if part.casefold() in one[0].title.casefold()]
    if len(found) != 1:
        listed = "; ".join(f"{place}: {title}" for place, title in enumerate(titles))
        why = "fits several parts" if len(found) > 1 else "is no part"
        raise FigureError(f"{part!r} {why} of this figure, which has {listed}")
    return found[0][1]


def _said(
    columns: Sequence[tuple[Sequence[str], str]], words: Sequence[str], required: Sequence[str]
) -> list[str]:
    """The last option of each column that one of the words is on, else the one it has.

    Raises FigureError for a required word that is on none.
    """
    hits = [[(word, _button(word, options)) for word in words] for options, _ in columns]
    used = {word for column in hits for word, option in column if option}
    lost = [word for word in required if word not in used]
    if lost:
        offered = ", ".join(option for options, _ in columns for option in options)
        raise FigureError(f"no button here has {', '.join(lost)}; there are: {offered or 'none'}")
    return [
        ([option for _, option in column if option] or [chosen])[-1]
        for column, (_, chosen) in zip(hits, columns, strict=True)
    ]


def _button(word: str, options: Sequence[str]) -> str | None:
    """The option that is the word, or begins with it, or has it as one of its words."""
    plain = word.casefold()
    for fits in (
        lambda option: option == plain,
        lambda option: option.startswith(plain),
        lambda option: plain in option.split(),
    ):
        found = [option for option in options if fits(option.casefold())]
        if found:
            return found[0]
    return None


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) or "none"
    return f"no {kind} {name!r} here{hint} (there are: {listed})"


def _pixels(millimetres: float) -> float:
    return millimetres / MM_PER_INCH * CSS_PX_PER_INCH


def _bare(figure: go.Figure, font: str, width: float) -> go.Figure:
    """A copy for print: white, without buttons, in that font, the legend in short lines."""
    bare = go.Figure(figure)
    bare.layout.updatemenus = ()
    bare.update_layout(
        margin=MARGIN,
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
    plot = max(PROPORTION * width, *map(_rows_height, figure.data))
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
