"""Serving a page: mistakes are told before anything is served, and Ctrl-C ends it."""

import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("flask", reason="flask is not installed")

from lip_ray.analysis.live.serve import ServeError, app, serve
from lip_ray.store import StoreError


@pytest.mark.parametrize("refresh_s", [0.0, -1.0, float("nan"), float("inf")])
def test_how_often(store: Path, refresh_s: float) -> None:
    with pytest.raises(ServeError, match="refresh_s must be positive"):
        app(store, refresh_s=refresh_s)


def test_a_port_that_is_taken(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"port {port}: Address already in use.*--port"):
            serve(store, port=port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none(store: Path, port: int) -> None:
    with pytest.raises(ServeError, match="port must be from 0 to 65535"):
        serve(store, port=port)


@pytest.mark.parametrize("host", ["no such host", "a" * 300, "1.2.3.4.5"])
def test_a_host_that_is_none(store: Path, host: str) -> None:
    with pytest.raises(ServeError, match=f"cannot listen at {host}, port 8050"):
        serve(store, host=host)


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        app(tmp_path)


def test_no_flask(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lip_ray.analysis.live.app", raising=False)
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(ServeError, match=r"pip install 'lip-ray\[serve\]'"):
        app(store)
