"""The page of a store, live in a browser while a sweep runs: `lip serve`."""

import logging
import math
import os
import socket
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from lip_ray.claims import Claims
from lip_ray.errors import UserError

from .state import Live

if TYPE_CHECKING:
    from flask import Flask

HOST, PORT = "127.0.0.1", 8050

REFRESH_S = 10.0

ENDING_S = 10.0
"""How long Ctrl-C waits for a page that is being computed."""

INTERRUPTED = 130
"""The exit code of a process that was interrupted."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class ServeError(UserError):
    """The page cannot be served; the message says why, and what would work."""


def app(
    store: str | Path,
    *,
    sweep: str | None = None,
    claims: Claims | None = None,
    refresh_s: float = REFRESH_S,
) -> "Flask":
    """A Flask app that shows a store's page and how far its trials are; it never writes.

    Every open page looks at the store every `refresh_s` seconds; only new levels, or other trials
    in flight, have it computed anew, once for all pages. With a `sweep`, only its trials are shown;
    with `claims`, these are put to the test too.

    Raises ServeError for a `refresh_s` that is not positive and where Flask is not installed,
    StoreError when there is no store, or no such sweep in it.
    """
    return _app(_live(store, sweep, claims, refresh_s))


def serve(
    store: str | Path,
    *,
    sweep: str | None = None,
    claims: Claims | None = None,
    host: str = HOST,
    port: int = PORT,
    refresh_s: float = REFRESH_S,
) -> None:
    """Serve the page of a store until interrupted, and print where it is; port 0 is any free one.

    Raises what `app` does, and ServeError for a host or port that cannot be bound.
    """
    live = _live(store, sweep, claims, refresh_s)
    _app(live)  # that Flask is missing is told before a port is taken
    from werkzeug.serving import make_server

    from .app import Handler

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # every request would be a line
    listening = _bound(host, port)
    address, port = listening.getsockname()[:2]
    names = LOCAL_NAMES | {address} if ip_address(address).is_loopback else ()
    server = make_server(
        address,
        port,
        _app(live, names),
        threaded=True,
        request_handler=Handler,
        fd=listening.fileno(),
    )
    name = f"[{address}]" if ":" in address else address
    print(f"{store} is at http://{name}:{port}/ until Ctrl-C", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()
        listening.close()
        _end(live)


def _live(store: str | Path, sweep: str | None, claims: Claims | None, refresh_s: float) -> Live:
    if not 0 < refresh_s < math.inf:
        raise ServeError(f"refresh_s must be positive, got {refresh_s:g}")
    return Live(store=store, sweep=sweep, claims=claims, refresh_s=refresh_s)


def _app(live: Live, names: Collection[str] = ()) -> "Flask":
    """With `names`, requests to other hosts are refused."""
    try:
        from .app import make_app
    except ModuleNotFoundError as error:
        raise ServeError("serving a page needs Flask: pip install 'lip-ray[serve]'") from error
    return make_app(live, names)


def _end(live: Live) -> None:
    """Wait for what still reads the store, or end the process at once.

    A thread that is in DuckDB or Arrow while the interpreter ends aborts the process, or hangs it.
    """
    try:
        ended = live.end(ENDING_S)
    except KeyboardInterrupt:
        ended = False
    if not ended:
        os._exit(INTERRUPTED)


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise ServeError(f"port must be from 0 to 65535, got {port}")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "it is no name of a host"
        raise ServeError(
            f"cannot listen at {host}, port {port}: {said}; choose another with --port, or 0 for "
            "any that is free"
        ) from error
