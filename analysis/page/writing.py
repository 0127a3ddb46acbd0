"""Pages on disk: one file that has all, or a folder in which pages share Plotly's script."""

from pathlib import Path

from plotly.offline import get_plotlyjs

from lip_ray.outputs import write_together, write_whole

from .content import Frames
from .report import PICTURES_MB, frontier_report

SCRIPT = "plotly.min.js"


def write_report(store: Frames, output: Path, *, pictures_mb: float = PICTURES_MB) -> Path:
    """Write a store's page, and say where it is.

    An `output` in .html is that file; any other is a folder, made if there is none, that gets
    index.html and plotly.min.js. Raises ValueError when the store has no finished level, and an
    OSError where nothing can be written.
    """
    if output.suffix.lower() in (".html", ".htm"):
        page = frontier_report(store, pictures_mb=pictures_mb)
        write_whole(output, page)
        return output
    page = frontier_report(store, pictures_mb=pictures_mb, plotly=SCRIPT)
    index = output / "index.html"
    write_together({output / SCRIPT: get_plotlyjs(), index: page})
    return index
