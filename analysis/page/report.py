"""One page that shows all of a store: figures, reconstructions and numbers, all offline."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from lip_ray.errors import UserError
from lip_ray.outputs import write_together, write_whole

from ..charts.style import OKABE_ITO, PALETTE
from ..parts import PARTS
from ..rows.naming import tuples
from ..rows.points import WHICH
from .content import Content, Frames
from .section import Section
from .static import library_for, library_text, page_html

PICTURES_MB = 40.0
"""By default a page embeds no more than this many megabytes of PNG files."""

CONFIG = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "doubleClick": False,
    "responsive": True,
}
"""For Plotly, which without the first two offers to upload the figure, and takes the tap of a
finger, and the click a browser makes of it, for a double click that changes the axes."""

TITLE = "Accuracy against density"
"""What a page is called where no sweep is named."""

MOST_NAMES = 3
"""The sweeps that are named in the title of a page."""


def frontier_report(store: Frames, *, pictures_mb: float = PICTURES_MB) -> str:
    """A self-contained HTML page: a section per problem, comparison and matrix; no network needed.

    Methods have verdicts, and all scenes one frontier. The problems with the most fits have their
    frontiers, galleries and numbers; those beyond are in the frontier alone. Networks of different
    kinds on one image and task are compared by size, transfers in matrices of sources and targets,
    classifiers by accuracy, generators by what they draw, and reconstructions with these by their
    errors.
    A search has its front; trials that only a search asked for are compared nowhere else. Last come
    curves of fits, densities of layers, overlaps of masks, the cost of all, and failures.
    Pictures beyond `pictures_mb` megabytes stay out, and the page says how many.

    Raises ValueError when the store has no finished level.
    """
    return _page(store, pictures_mb=pictures_mb)[0]


def live_report(store: Frames, *, version: str, refresh_s: float) -> str:
    """The page as a server shows it: it looks every `refresh_s` seconds for another `version`.

    Raises ValueError when the store has no finished level.
    """
    live = {"version": version, "refresh_s": refresh_s}
    return _page(store, pictures_mb=PICTURES_MB, beside=True, live=live)[0]


def _page(
    store: Frames,
    *,
    pictures_mb: float,
    beside: bool = False,
    live: Mapping[str, Any] | None = None,
) -> tuple[str, str]:
    """A page, and the name of Plotly's script that it has or, where it lies `beside` it, needs."""
    content = _content(store, int(pictures_mb * 1e6))
    outline = list(content.outline())
    sections = [section for _, own in outline for section in own]
    there = (part for part in content.parts if part.kinds & content.kinds)
    data = _data(content, sections) | {"live": live}
    library = library_for({*_kinds(data)})
    page = page_html(
        title=title_of(content),
        origin=", ".join(_origin(content)),
        introduction=list(dict.fromkeys(words for part in there for words in part.introduction)),
        outline=outline,
        unfinished=list(_unfinished(content.trials)),
        footer=" ".join(_footer(content)),
        data=data,
        library=library,
        beside=beside,
        live=live is not None,
    )
    return page, library


def write_report(store: Frames, output: Path, *, pictures_mb: float = PICTURES_MB) -> Path:
    """Write a store's page, and say where it is.

    An `output` in .html is that file; any other is a folder, made if there is none, that gets
    index.html and Plotly's script. Raises ValueError when the store has no finished level, and an
    OSError where nothing can be written.
    """
    if output.suffix.lower() in (".html", ".htm"):
        write_whole(output, frontier_report(store, pictures_mb=pictures_mb))
        return output
    page, library = _page(store, pictures_mb=pictures_mb, beside=True)
    index = output / "index.html"
    write_together({output / library: library_text(library), index: page})
    return index


def report_sections(store: Frames) -> list[Section]:
    """The sections of the page in their order, for who shows them, or their figures, elsewhere.

    Only a page has pictures to show: none are read.

    Raises ValueError when the store has no finished level.
    """
    return list(chain.from_iterable(report_parts(store)))


def report_parts(store: Frames, name: str = "") -> Iterator[list[Section]]:
    """The `report_sections` by part; with the `name` of a figure or table no other part is made."""
    return (sections for _, sections in _content(store, None).outline(name))


def _content(store: Frames, room: int | None) -> Content:
    content = Content(store=store, parts=PARTS, room=room)
    if not any(part.kinds & content.kinds for part in PARTS):
        raise UserError("no finished level in the store: run a sweep of trajectories first")
    return content


def _data(content: Content, sections: Sequence[Section]) -> dict[str, Any]:
    found = (section.figure for section in sections)
    figures = [figure for figure in found if figure is not None and not figure.paper]
    return {
        "config": CONFIG,
        "palette": PALETTE,
        "colours": OKABE_ITO,
        "which": WHICH,
        "figures": {one.place: one.figure.to_dict() for one in figures if one.source is None},
        "fits": {name: card for section in sections for name, card in section.cards().items()},
        "sweeps": {trial: text for one in sections for trial, text in one.sweeps().items()},
        "gallery": {name: own for one in sections for name, own in one.neighbours().items()},
        "frontier": None,
        **{one.name: one.source() for one in figures if one.source is not None},
        "pictures": content.pictures.uris,
    }


def _kinds(data: Mapping[str, Any]) -> Iterator[str]:
    """The kinds of traces that a page draws."""
    for figure in data["figures"].values():
        yield from (trace["type"] for trace in figure["data"])
    if (data["frontier"] or {}).get("webgl"):
        yield "scattergl"


def title_of(content: Content) -> str:
    """The names of the sweeps that a store is of, as far as they fit into a line."""
    searches = content.points.get("search", pd.Series(dtype=str))
    names = list(dict.fromkeys(map(str, [*content.sweeps["sweep"], *searches])))
    if not names:
        return TITLE
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _origin(content: Content) -> Iterator[str]:
    """How much was fitted, and when and where."""
    trials = content.trials
    yield f"{len(content.levels):,} fits of {len(trials):,} trials"
    begun = trials.get("started_at", pd.Series(dtype="datetime64[us]")).dropna()
    if len(begun):
        first, last = (f"{day:%-d %B %Y}" for day in (begun.min(), begun.max()))
        yield first if first == last else f"{first} to {last}"
    for noun, column in (("machines", "host"), ("devices", "device")):
        names = sorted(set(trials.get(column, pd.Series(dtype=str)).dropna()))
        if names:
            yield names[0] if len(names) == 1 else f"{len(names)} {noun}"


def _footer(content: Content) -> Iterator[str]:
    if content.sweep:
        yield f"Only the trials that sweep {content.sweep} asked for."
    yield f"Trials: {len(content.trials)}, fits: {len(content.levels)}."
    shown = {kind for part in content.parts for kind in part.kinds}
    others = int((~content.trials["kind"].isin(shown)).sum())
    if others:
        yield f"Trials of kinds that have no page yet, not shown: {others}."
    if content.pictures.left_out:
        yield f"Pictures left out to keep the page small: {content.pictures.left_out}."
    if content.left_out:
        each = (f"{table} of {len(levels):,}" for table, levels in content.left_out.items())
        yield f"Levels whose rows were left out when the store was published: {', '.join(each)}."
    yield f"Made by lip-ray {version('lip-ray')}."


def _unfinished(trials: pd.DataFrame) -> Iterator[str]:
    left = trials[trials["levels_done"] < trials["levels"]].sort_values("trial_id")
    for trial in tuples(left):
        name = f"{trial.trial_id} ({trial.pruner}, {trial.image}, seed {trial.seed})"
        yield f"{name}: {trial.levels_done} of {trial.levels} levels"
