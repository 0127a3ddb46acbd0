"""One page that shows all of a store: figures, reconstructions and numbers, all offline."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from lip_ray.errors import UserError
from lip_ray.outputs import write_together, write_whole

from ..charts.style import PALETTE
from ..parts import PARTS
from ..rows.naming import tuples
from ..rows.points import WHICH
from .content import Content, Frames
from .section import Section
from .static import page_html

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

SCRIPT = "plotly.min.js"
"""The file of Plotly's script in a folder that is a page."""

TITLE = "Accuracy against density"


def frontier_report(
    store: Frames, *, pictures_mb: float = PICTURES_MB, plotly: str | None = None
) -> str:
    """A self-contained HTML page: a section per problem, comparison and matrix; no network needed.

    Methods have verdicts, and all scenes one explorer. The problems with the most fits have their
    frontiers, galleries and numbers; those beyond are in the explorer alone. Networks of different
    kinds on one image and task are compared by size, transfers in matrices of sources and targets,
    classifiers by accuracy, generators by what they draw, and reconstructions with these by their
    errors.
    A search has its front; trials that only a search asked for are compared nowhere else. Last come
    curves of fits, densities of layers, overlaps of masks, the cost of all, and failures.
    Pictures beyond `pictures_mb` megabytes stay out, and the page says how many.

    Plotly's script is in the page, unless `plotly` names a file of it beside the page.

    Raises ValueError when the store has no finished level.
    """
    content = _content(store, int(pictures_mb * 1e6))
    sections = list(content.sections())
    there = (part for part in content.parts if part.kinds & content.kinds)
    return page_html(
        title=TITLE,
        introduction=list(dict.fromkeys(words for part in there for words in part.introduction)),
        sections=sections,
        unfinished=list(_unfinished(content.trials)),
        footer=" ".join(_footer(content)),
        data=_data(content, sections),
        plotly=plotly,
    )


def write_report(store: Frames, output: Path, *, pictures_mb: float = PICTURES_MB) -> Path:
    """Write a store's page, and say where it is.

    An `output` in .html is that file; any other is a folder, made if there is none, that gets
    index.html and plotly.min.js. Raises ValueError when the store has no finished level, and an
    OSError where nothing can be written.
    """
    if output.suffix.lower() in (".html", ".htm"):
        write_whole(output, frontier_report(store, pictures_mb=pictures_mb))
        return output
    page = frontier_report(store, pictures_mb=pictures_mb, plotly=SCRIPT)
    index = output / "index.html"
    write_together({output / SCRIPT: get_plotlyjs(), index: page})
    return index


def report_sections(store: Frames) -> list[Section]:
    """The parts of the page in their order, for who shows them, or their figures, elsewhere.

    Only a page has pictures to show: none are read.

    Raises ValueError when the store has no finished level.
    """
    return list(_content(store, None).sections())


def _content(store: Frames, room: int | None) -> Content:
    content = Content(store=store, parts=PARTS, room=room)
    if not any(part.kinds & content.kinds for part in PARTS):
        raise UserError("no finished level in the store: run a sweep of trajectories first")
    return content


def _data(content: Content, sections: Sequence[Section]) -> dict[str, Any]:
    figures = [section.figure for section in sections if section.figure is not None]
    return {
        "config": CONFIG,
        "palette": PALETTE,
        "which": WHICH,
        "figures": {one.place: one.figure.to_dict() for one in figures if one.source is None},
        "fits": {name: card for section in sections for name, card in section.cards().items()},
        "gallery": {name: own for one in sections for name, own in one.neighbours().items()},
        "explorer": None,
        **{one.place: one.source() for one in figures if one.source is not None},
        "pictures": content.pictures.uris,
    }


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
    yield f"Made by lip-ray {version('lip-ray')}."


def _unfinished(trials: pd.DataFrame) -> Iterator[str]:
    for trial in tuples(trials[trials["levels_done"] < trials["levels"]]):
        name = f"{trial.trial_id} ({trial.pruner}, {trial.image}, seed {trial.seed})"
        yield f"{name}: {trial.levels_done} of {trial.levels} levels"
