"""The pages that `lip serve` answers with: the report as it stands, and what is new of it."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, request
from werkzeug.serving import WSGIRequestHandler

from ..page.static import LIBRARIES, library_text, waiting_html
from .state import Live

SILENT_S = 60.0
"""How long a client may take over its next byte."""


class Handler(WSGIRequestHandler):
    """Reads requests; malformed ones are answered with 400, and no line is printed for any."""

    timeout = SILENT_S
    default_request_version = "HTTP/1.0"  # else who sends garbage would get no status

    def parse_request(self) -> bool:
        """Whether it can be understood; else it has been answered."""
        if not super().parse_request():
            return False
        try:
            _ = urlsplit(self.path).port
        except ValueError:
            self.send_error(400, "Bad request target")
            return False
        return True

    def log_error(self, format: str, *args: Any) -> None:
        """Print nothing: what strangers send is no news to who reads the terminal."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing, and do not read a path that may be malformed."""


def make_app(live: Live, names: Collection[str] = ()) -> Flask:
    """A page at /, what is new at /status.json; with `names`, these hosts alone are served.

    A page of another site that is open in a browser here may make its own name mean this machine.
    """
    app = Flask("lip_ray", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 0
    if names:
        app.before_request(lambda: _refuse_other_names(names))
    app.after_request(_guarded)

    @app.get("/")
    def page() -> str:
        live.look()
        return live.page or waiting_html(refresh_s=live.refresh_s)

    @app.get("/status.json")
    def status() -> Response:
        glance = live.look()
        return jsonify(version=glance.version, status=glance.status, trouble=glance.trouble)

    @app.get("/<name>")
    def library(name: str) -> Response:
        if name not in LIBRARIES:
            abort(404)
        found = Response(library_text(name), mimetype="text/javascript")
        found.add_etag()
        found.make_conditional(request)
        return found

    return app


def _guarded(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _refuse_other_names(names: Collection[str]) -> None:
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        host = None
    if host is not None and host not in names:
        abort(400, f"this page is at {', '.join(sorted(names))}")
    if host is None and request.headers.get("Host"):
        abort(400)
