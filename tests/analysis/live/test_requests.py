"""Requests that no page of ours makes: each gets a status, and none prints anything."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

pytest.importorskip("dash", reason="dash is not installed")

STORE = Path(__file__).parents[2] / "store" / "first_version"
SERVE = (
    "import signal, sys; from lip_ray.analysis.live.serve import serve; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "serve(sys.argv[1], host=sys.argv[2], port=0, refresh_s=1)"
)
CALLBACKS = "/_dash-update-component"
SILENCE_S = 60.0


class Server(NamedTuple):
    """A page that another process serves, and what that has printed."""

    url: str
    complaints: Path

    def ask(self, request: bytes) -> int:
        """The status of the answer to these bytes, in which HOST is the server's own."""
        with self.connected() as client:
            client.sendall(request.replace(b"HOST", urlsplit(self.url).netloc.encode()))
            client.shutdown(socket.SHUT_WR)
            first = client.makefile("rb").readline().split()
        assert first, "no answer"
        assert first[0].startswith(b"HTTP/"), first
        return int(first[1])

    def connected(self) -> socket.socket:
        """A connection to it."""
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname or "", place.port), timeout=SILENCE_S)


@pytest.fixture(scope="module", params=["127.0.0.1", "::1", "[::1]"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The live page at each of the names that this machine has for itself."""
    complaints = tmp_path_factory.mktemp("served") / "stderr"
    command = [sys.executable, "-c", SERVE, str(STORE), request.param]
    with (
        complaints.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert " at " in line, complaints.read_text()
            yield Server(line.split(" at ")[1].split()[0], complaints)
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()


def get(target: bytes, *heads: bytes) -> bytes:
    """A request for a page."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *(heads or (b"Host: HOST",)), b"", b""])


def post(body: bytes, kind: bytes = b"application/json", *heads: bytes) -> bytes:
    """A call of a callback."""
    said = heads or (b"Content-Length: %d" % len(body),)
    lines = [b"POST " + CALLBACKS.encode() + b" HTTP/1.1", b"Host: HOST", b"Content-Type: " + kind]
    return b"\r\n".join([*lines, *said, b"", body])


TICK = {
    "output": "..status.children...trouble.children..",
    "outputs": 1,
    "inputs": [{"id": "tick", "property": "n_intervals", "value": 1}],
    "changedPropIds": ["tick.n_intervals"],
}
WRONG = {
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {400}),
    "no request": (b"\xff\xfe\xfd\r\n\r\n", {400}),
    "half a request": (b"GET / HT\r\n\r\n", {400}),
    "a target with half a bracket": (get(b"http://[::1"), {400}),
    "a target that is no address": (get(b"http://[x]/"), {400}),
    "a target with a port that is none": (get(b"http://a:99999999/"), {400}),
    "another name": (get(b"/", b"Host: evil.example"), {400}),
    "half a name": (get(b"/", b"Host: ["), {400}),
    "a version that is none": (b"GET / HTTP/9.9\r\nHost: HOST\r\n\r\n", {505}),
    "another method": (b"FOO / HTTP/1.1\r\nHost: HOST\r\n\r\n", {405}),
    "a long target": (get(b"/" + b"a" * 70_000), {414}),
    "many heads": (get(b"/", *([b"a: b"] * 200)), {431}),
    "a file that is not there": (get(b"/_dash-component-suites/dash/nothing.js"), {404}),
    "a package that is not there": (get(b"/_dash-component-suites/nothing/a.js"), {404}),
    "a file elsewhere": (get(b"/_dash-component-suites/dash/../../../etc/passwd"), {404}),
    "half of JSON": (post(b"{"), {400}),
    "JSON of another kind": (post(b"{}", b"text/plain"), {415}),
    "bytes that are no text": (post(b'{"output": "\xff"}'), {400}),
    "half a character": (post(b'{"output": "\\ud800"}'), {400}),
    "nothing in it": (post(b"{}"), {400}),
    "a list": (post(b"[]"), {400}),
    "null": (post(b"null"), {400}),
    "a number": (post(b"1"), {400}),
    "deep nesting": (post(b"[" * 100_000 + b"]" * 100_000), {400}),
    "an unknown callback": (post(json.dumps(TICK | {"output": "a.children"}).encode()), {400}),
    "a wrong call": (post(json.dumps(TICK).encode()), {400}),
    "no length": (post(b"", b"application/json", b"Content-Length: x"), {400}),
    "chunks that are none": (
        post(b"ZZ\r\nabc\r\n", b"application/json", b"Transfer-Encoding: chunked"),
        {400},
    ),
    "a huge body": (post(b"", b"application/json", b"Content-Length: 100000000000"), {413}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_gets_a_status_and_prints_nothing(server: Server, name: str) -> None:
    request, allowed = WRONG[name]
    assert server.ask(request) in allowed
    assert server.complaints.read_text() == ""


def test_the_page_is_where_it_says(server: Server) -> None:
    assert server.ask(get(b"/")) == 200
    assert server.ask(get(b"/?%ff=%zz", b"Host: HOST", b"Cookie: a=\xff;;=")) == 200


def test_who_leaves_early_is_no_news(server: Server) -> None:
    for said in (
        b"",
        b"GET / HT",
        get(b"/report.html")[:-2],
        post(b"abc", b"a", b"Content-Length: 9"),
    ):
        with server.connected() as client:
            client.sendall(said)
    with server.connected() as client:
        client.sendall(get(b"/report.html"))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    time.sleep(1)
    assert server.ask(get(b"/report.html")) == 200
    assert server.complaints.read_text() == ""
