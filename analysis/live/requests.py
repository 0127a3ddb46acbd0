"""What the live page answers to requests that no page of ours makes: a status, and no traceback."""

import traceback
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound
from werkzeug.serving import WSGIRequestHandler

OURS = "lip_ray."

LARGEST_BODY = 4_000_000
"""In bytes. A page sends back its outline and what is chosen: kilobytes."""

SILENT_S = 60.0
"""How long a client may take over its next byte."""

FILES = "/_dash-component-suites/"


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


def guard(server: Flask, names: Collection[str]) -> None:
    """Have wrong requests answered with 400, 404 or 413; with names, these hosts alone are served.

    A page of another site that is open in a browser here may make its own name mean this machine.
    """
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    server.register_error_handler(Exception, _answered)
    if names:
        server.before_request(lambda: _refuse_other_names(names))


def _refuse_other_names(names: Collection[str]) -> None:
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        host = None
    if host is not None and host not in names:
        abort(400, f"this page is at {', '.join(sorted(names))}")
    if host is None and request.headers.get("Host"):
        abort(400)


def _answered(error: Exception) -> HTTPException | Response:
    """The error of a request that Dash or Flask could make nothing of. Raises errors of ours."""
    if isinstance(error, HTTPException):
        return error
    frames = traceback.walk_tb(error.__traceback__)
    if any(str(frame.f_globals.get("__name__", "")).startswith(OURS) for frame, _ in frames):
        raise error
    return NotFound() if request.path.startswith(FILES) else BadRequest()
