"""Sections as HTML, and the whole page around them: every text is escaped by the templates."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from ..rows.points import WHICH
from .section import Faint, Section

STYLES = ("report.css", "gallery.css")
SCRIPTS = ("page.js", "choices.js", "explorer.js", "report.js", "gallery.js")
"""The scripts in the order in which they run."""

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


def page_html(*, data: Mapping[str, Any], plotly: str | None, **said: Any) -> str:
    """A whole page: `data` for its scripts, and what is `said` in its template.

    Plotly's script is in the page, unless `plotly` names a file of it beside the page.
    """
    compiled = (data["explorer"] or {}).get("webgl")
    sources = ["script-src", *["'self' file:"] * bool(plotly), *["'unsafe-eval'"] * bool(compiled)]
    policy = CONTENT_POLICY.replace("script-src", " ".join(sources))
    text = json.dumps(data, cls=PlotlyJSONEncoder, allow_nan=False)
    page = _environment().get_template("page.html")
    return page.render(
        said,
        data=Markup(text.replace("<", "\\u003c")),  # no HTML parser takes it for markup
        plotly=plotly,
        library="" if plotly else Markup(get_plotlyjs()),
        policy=policy,
        style=Markup("".join(map(shipped, STYLES))),
        script=Markup("".join(map(shipped, SCRIPTS))),
    )


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
    found.globals["first"] = WHICH[0]
    return found
