"""Sections as HTML, and the whole page around them: every text is escaped by the templates."""

import base64
import gzip
import json
from collections.abc import Mapping, Set
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from ..rows.points import WHICH
from .section import Faint, Section, words_text

STYLES = ("report.css", "first.css", "fits.css")
SCRIPTS = ("page.js", "choices.js", "fits.js", "frontier.js", "report.js")
"""The scripts in the order in which they run."""

LIBRARIES: Mapping[str, Set[str] | None] = {
    "plotly-cartesian.min.js": {"bar", "box", "contour", "heatmap", "histogram", "scatter"},
    "plotly.min.js": None,
}
"""Plotly's scripts, and the kinds of traces that each draws; None where it draws all.

The first is plotly.js-cartesian-dist-min of npm, of the version that the package plotly has.
"""

LIVE_SCRIPTS = ("live.js",)
"""What a page has beside them that a server shows."""

LIVE_POLICY = "; connect-src 'self'"

LONG = 170
"""Characters of a note from which a page folds it away."""

WAITING_S = 1.0
"""How often a page looks, in seconds, that has nothing to show yet."""

CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses every request to the outside.

Scripts are those in the page, a file beside it, and what Plotly compiles for WebGL.
"""


def section_html(section: Section) -> str:
    """One section, as it is on the page."""
    template = _environment().from_string(
        '{% import "blocks.html" as shown with context %}{{ shown.section(one) }}'
    )
    return template.render(one=section)


def page_html(
    *, data: Mapping[str, Any], library: str, beside: bool, live: bool = False, **said: Any
) -> str:
    """A whole page: `data` for its scripts, and what is `said` in its template.

    Plotly's script, by its name among `LIBRARIES`, is in the page, packed, or a file `beside` it.
    A `live` page asks its server for what is new, and nobody else.
    """
    compiled = (data["frontier"] or {}).get("webgl")
    sources = ["script-src", *["'self' file:"] * beside, *["'unsafe-eval'"] * bool(compiled)]
    policy = CONTENT_POLICY.replace("script-src", " ".join(sources))
    text = json.dumps(data, cls=PlotlyJSONEncoder, allow_nan=False)
    page = _environment().get_template("page.html")
    return page.render(
        said,
        live=live,
        data=Markup(text.replace("<", "\\u003c")),  # no HTML parser takes it for markup
        plotly=library if beside else None,
        library="" if beside else base64.b64encode(_packed(library)).decode(),
        policy=policy + LIVE_POLICY * live,
        style=Markup("".join(map(shipped, STYLES))),
        script=Markup("".join(map(shipped, (*SCRIPTS, *LIVE_SCRIPTS * live)))),
        unpack=Markup(shipped("unpack.js")),
    )


def waiting_html(*, refresh_s: float) -> str:
    """What a live page is until there is one: it says what the store does, and looks again."""
    data = {"live": {"version": "", "refresh_s": min(refresh_s, WAITING_S)}}
    page = _environment().get_template("waiting.html")
    return page.render(
        data=Markup(json.dumps(data)),
        policy=CONTENT_POLICY + LIVE_POLICY,
        style=Markup("".join(map(shipped, STYLES))),
        script=Markup("".join(map(shipped, ("page.js", *LIVE_SCRIPTS)))),
    )


def library_for(kinds: Set[str]) -> str:
    """The name of the smallest of Plotly's scripts that draws these kinds of traces."""
    return next(name for name, known in LIBRARIES.items() if known is None or kinds <= known)


def library_text(name: str) -> str:
    """The script of one of `LIBRARIES`."""
    return gzip.decompress(_packed(name)).decode()


@cache
def _packed(name: str) -> bytes:
    if LIBRARIES[name] is None:
        return gzip.compress(get_plotlyjs().encode(), mtime=0)
    return files(__package__).joinpath("assets", f"{name}.gz").read_bytes()


def shipped(name: str) -> str:
    """A style or a script that belongs to the page."""
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.tests["faint"] = lambda cell: isinstance(cell, Faint)
    found.filters["kind"] = lambda block: type(block).__name__
    found.tests["long"] = lambda words: len(words_text(words)) > LONG
    found.globals["first"] = WHICH[0]
    return found
