"""A store's page as a Dash app: the page's sections, their controls as components, figures live.

Their blocks become components one by one: no markup reaches the browser as such, whatever the
names in a store are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, MATCH, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate
from flask import Response

from lip_ray.errors import UserError

from ..charts.controls import Choice
from ..page.report import CONFIG, TITLE
from ..page.section import Block, Figure, Section
from ..page.static import shipped
from .blocks import components, inline
from .state import Live, Part

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Only this server is asked. Plotly compiles programs for its WebGL marks, so it may evaluate."""

WHOLE_PAGE = "/report.html"

KEEP_ZOOM = """
(sent, id) => {
  const name = JSON.stringify(id, Object.keys(id).sort());
  const drawn = document.getElementById(name)?.querySelector(".js-plotly-plot")?._fullLayout;
  const before = (window.lipRanges ??= {})[name] ?? {};
  const own = (window.lipRanges[name] = {});
  for (const axis of ["xaxis", "yaxis"]) {
    const [range, shown] = [sent.layout[axis]?.range, drawn?.[axis]?.range];
    if (!range) continue;
    own[axis] = [...range];
    if (shown && before[axis]?.some((end, place) => end !== shown[place]))
      sent.layout[axis].range = [...shown];
  }
  return sent;
}
"""
"""In the browser: a new figure takes over the ranges that someone has zoomed the one before to."""

SLOTS = 120
"""The sections that there is room for; the others are in the whole page alone."""

FEW = 4
"""Choices that are shown side by side; more are a list to choose from."""

STYLE = """
@media (prefers-color-scheme: dark) {
  :root { color-scheme: light; --ink: #222222; --muted: #5f5f5f; --paper: #ffffff;
    --grid: #ebebeb; --rule: #d8d8d8; --quiet: #f3f3f3; --accent: #0a58a8; }
}
#sections { display: flex; flex-direction: column; }
#status p { margin: 0; font-size: 0.875rem; color: var(--muted); max-width: none; }
#trouble:not(:empty) { border-left: 4px solid #d55e00; padding: 6px 12px; }
.option { border: 0; padding: 0; margin: 20px 0 4px; min-width: 14em; }
.option legend { padding: 0; margin-bottom: 6px; font-size: 0.875rem; color: var(--muted); }
.option label { margin-right: 16px; cursor: pointer; }
"""

SHELL = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}<style>STYLE</style></head>
<body>{%app_entry%}{%config%}{%scripts%}{%renderer%}</body>
</html>
"""


def make_app(live: Live, *, refresh_s: float) -> Dash:
    """The app over one store; every browser looks every `refresh_s` seconds."""
    app = Dash(
        "lip_ray",
        title=TITLE,
        update_title="",
        include_assets_files=False,
        serve_locally=True,
        suppress_callback_exceptions=True,
        enable_mcp=False,
        add_log_handler=False,
    )
    app.index_string = SHELL.replace("STYLE", shipped("report.css") + STYLE)
    app.layout = _layout(refresh_s)
    _refresh_page(app, live)
    _refresh_words(app, live)
    _refresh_figures(app, live)
    _serve_whole_page(app, live)
    return app


def _layout(refresh_s: float) -> Any:
    return html.Main(
        [
            html.H1(TITLE),
            html.Div(id="status"),
            html.P(id="trouble", role="alert"),
            html.P(html.A("The whole page as a file, with all pictures", href=WHOLE_PAGE)),
            html.Div([html.Div(id={"slot": slot}) for slot in range(SLOTS)], id="sections"),
            dcc.Store(id="version", data=""),
            dcc.Store(id="outline", data=[]),
            dcc.Interval(id="tick", interval=1000 * refresh_s),
        ]
    )


def _refresh_page(app: Dash, live: Live) -> None:
    @app.callback(
        Output("status", "children"),
        Output("trouble", "children"),
        Output({"slot": ALL}, "children"),
        Output({"slot": ALL}, "style"),
        Output("outline", "data"),
        Output("version", "data"),
        Input("tick", "n_intervals"),
        State("outline", "data"),
        State("version", "data"),
        running=[(Output("tick", "disabled"), True, False)],
    )
    def look(_: int | None, outline: list[Any], version: str) -> tuple[Any, ...]:
        """Only what is new is laid out: what is chosen and zoomed elsewhere stays.

        The clock stands still meanwhile: a browser drops an answer when it asks again before.
        """
        glance = live.look()
        status = [html.P(line) for line in glance.status]
        children, styles, now = _arranged(outline, glance.shown.parts)
        new = no_update if glance.shown.version == version else glance.shown.version
        return status, glance.trouble, children, styles, now, new


def _refresh_words(app: Dash, live: Live) -> None:
    @app.callback(
        Output({"of": MATCH, "is": "lead"}, "children"),
        Output({"of": MATCH, "is": "rest"}, "children"),
        Output({"of": MATCH, "is": "control", "place": ALL}, "options"),
        Output({"of": MATCH, "is": "told"}, "data"),
        Input("version", "data"),
        State({"of": MATCH, "is": "told"}, "data"),
        State({"of": MATCH, "is": "told"}, "id"),
    )
    def tell(_: str, told: str, name: Mapping[str, str]) -> tuple[Any, ...]:
        """The words of a section and its controls, where they are others than those told."""
        part = live.part(name["of"])
        if part is None or part.digest == told:
            raise PreventUpdate
        lead, rest = map(components, _around(part.section))
        options = [list(control.labels.values()) for control in _controls(part.section)]
        return lead, rest, options[: len(ctx.outputs_list[2])], part.digest


def _refresh_figures(app: Dash, live: Live) -> None:
    @app.callback(
        Output({"of": MATCH, "is": "sent"}, "data"),
        Output({"of": MATCH, "is": "figure"}, "style"),
        Output({"of": MATCH, "is": "drawn"}, "data"),
        Input("version", "data"),
        Input({"of": MATCH, "is": "control", "place": ALL}, "value"),
        State({"of": MATCH, "is": "drawn"}, "data"),
        State({"of": MATCH, "is": "drawn"}, "id"),
    )
    def draw(_: str, values: list[Any], drawn: str, name: Mapping[str, str]) -> tuple[Any, ...]:
        """The figure as chosen, where it or the choice is another than that drawn."""
        part = live.part(name["of"])
        found = part.section.figure if part else None
        same = part is not None and part.digest == drawn and ctx.triggered_id == "version"
        if part is None or found is None or same:
            raise PreventUpdate
        figure = found.chosen(values)
        figure.layout.margin.t = 40
        return figure, {"--methods": str(found.lines)}, part.digest

    app.clientside_callback(  # type: ignore[no-untyped-call]
        KEEP_ZOOM,
        Output({"of": MATCH, "is": "figure"}, "figure"),
        Input({"of": MATCH, "is": "sent"}, "data"),
        State({"of": MATCH, "is": "figure"}, "id"),
        prevent_initial_call=True,
    )


def _serve_whole_page(app: Dash, live: Live) -> None:
    def whole_page() -> Response:
        try:
            return Response(_sent(live.page()), mimetype="text/html")
        except (UserError, OSError, UnicodeError) as error:  # Arrow opens no path that is no text
            return Response(_sent(str(error)), status=503, mimetype="text/plain")

    def guard(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    app.server.add_url_rule(WHOLE_PAGE, "whole_page", whole_page)
    app.server.after_request(guard)


def _sent(text: str) -> bytes:
    """Text as UTF-8; a path may have bytes that are no text."""
    return text.encode(errors="backslashreplace")


def _outline(part: Part) -> list[Any]:
    """What cannot change without laying the section out anew."""
    controls = [[one.legend, len(one.labels) <= FEW] for one in _controls(part.section)]
    return [part.section.title, part.section.figure is not None, controls]


def _controls(section: Section) -> tuple[Choice, ...]:
    return section.figure.controls if section.figure else ()


def _around(section: Section) -> tuple[Sequence[Block], Sequence[Block]]:
    """The blocks before the figure, and those after it; all are before where there is none."""
    places = [place for place, one in enumerate(section.blocks) if isinstance(one, Figure)]
    first = places[0] if places else len(section.blocks)
    return section.blocks[:first], section.blocks[first + 1 :]


def _arranged(outline: Sequence[Any], parts: Sequence[Part]) -> tuple[Any, Any, Any]:
    """What the slots hold and in which order they stand; nothing for those that stay as they are.

    A browser draws all of a slot anew whenever it is given any content, so each section keeps its
    own for as long as it is there, and places in the order of the page are a matter of style.
    """
    slots = list(outline) if _is_outline(outline) else [None] * SLOTS
    titles = [part.section.title for part in parts]
    children: list[Any] = [no_update] * SLOTS
    for slot, held in enumerate(slots):
        if held and held[0] not in titles:
            slots[slot] = children[slot] = None
    free = (slot for slot, held in enumerate(slots) if held is None)
    taken = {held[0]: slot for slot, held in enumerate(slots) if held}
    for part in parts[:SLOTS]:
        title = part.section.title
        slot = taken[title] if title in taken else next(free)
        if slots[slot] != _outline(part):
            slots[slot] = _outline(part)
            children[slot] = _laid_out(part)
    if slots == outline:
        return children, [no_update] * SLOTS, no_update
    places = {title: place for place, title in enumerate(titles)}
    return children, [{"order": places[held[0]]} if held else {} for held in slots], slots


def _is_outline(found: object) -> bool:
    """Whether a browser sent back what it was told, and not nothing or anything else."""
    return (
        isinstance(found, list)
        and len(found) == SLOTS
        and all(held is None or (isinstance(held, list) and len(held) == 3) for held in found)
    )


def _laid_out(part: Part) -> Any:
    """A section with room for its words and its figure."""
    section = part.section

    def name(what: str, **more: Any) -> dict[str, Any]:
        return {"of": section.title, "is": what, **more}

    inside = [
        html.H2(section.title, id=section.name),
        html.Div(id=name("lead")),
        dcc.Store(id=name("told"), data=""),
    ]
    if section.figure is not None:
        controls = [
            _control(one, name("control", place=i)) for i, one in enumerate(_controls(section))
        ]
        inside += [
            html.Div(controls, className="controls"),
            _figure(section.figure, name("figure")),
            dcc.Store(id=name("drawn"), data=""),
            dcc.Store(id=name("sent")),
        ]
    label: dict[str, Any] = {"aria-labelledby": section.name}
    return html.Section([*inside, html.Div(id=name("rest"))], **label)


def _figure(found: Figure, name: dict[str, Any]) -> Any:
    config: Any = CONFIG
    graph = dcc.Graph(id=name, config=config, responsive=True, className="chart")
    label: dict[str, Any] = {"aria-label": found.label}
    return html.Figure([html.Div(graph, role="img", **label), html.Figcaption(inline(found.note))])


def _control(control: Choice, name: dict[str, Any]) -> Any:
    """What is chosen is kept by the browser when the section is laid out anew."""
    kept: dict[str, Any] = {"persistence": True, "persistence_type": "memory"}
    options = list(control.labels.values())
    first = options[control.chosen]
    chooser: Any = dcc.Dropdown(options, first, id=name, clearable=False, **kept)
    if len(options) <= FEW:
        chooser = dcc.RadioItems(options, first, id=name, inline=True, **kept)
    return html.Fieldset([html.Legend(control.legend), chooser], className="option")
