"""Requests that no page of ours makes: each gets a status, and none prints anything."""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("flask", reason="flask is not installed")

from servers import Server, serving

STORE = Path(__file__).parents[2] / "store" / "first_version"
SILENCE_S = 60.0


def ask(server: Server, request: bytes) -> int:
    """The status of the answer to these bytes, in which HOST is the server's own."""
    with connected(server) as client:
        client.sendall(request.replace(b"HOST", urlsplit(server.url).netloc.encode()))
        client.shutdown(socket.SHUT_WR)
        first = client.makefile("rb").readline().split()
    assert first, "no answer"
    assert first[0].startswith(b"HTTP/"), first
    return int(first[1])


def connected(server: Server) -> socket.socket:
    """A connection to it."""
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname or "", place.port), timeout=SILENCE_S)


@pytest.fixture(scope="module", params=["127.0.0.1", "::1", "[::1]"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The live page at each of the names that this machine has for itself."""
    with serving(STORE, tmp_path_factory.mktemp("served"), request.param) as server:
        yield server


def get(target: bytes, *heads: bytes) -> bytes:
    """A request for a page."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *(heads or (b"Host: HOST",)), b"", b""])


def post(body: bytes, *heads: bytes) -> bytes:
    """Something to be kept, which this server never does."""
    said = heads or (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: HOST", *said, b"", body])


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
    "a file that is not there": (get(b"/nothing.js"), {404}),
    "a file of ours": (get(b"/live.js"), {404}),
    "a file elsewhere": (get(b"/../../../etc/passwd"), {404}),
    "a file elsewhere, in code": (get(b"/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), {404}),
    "bytes that are no text": (get(b"/\xff\xfe"), {404}),
    "something to be kept": (post(b"{}"), {405}),
    "no length": (post(b"", b"Content-Length: x"), {405}),
    "chunks that are none": (post(b"ZZ\r\nabc\r\n", b"Transfer-Encoding: chunked"), {405}),
    "a huge body": (post(b"", b"Content-Length: 100000000000"), {405, 413}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_gets_a_status_and_prints_nothing(server: Server, name: str) -> None:
    request, allowed = WRONG[name]
    assert ask(server, request) in allowed
    assert server.complaints.read_text() == ""


def test_the_page_is_where_it_says(server: Server) -> None:
    assert ask(server, get(b"/")) == 200
    assert ask(server, get(b"/?%ff=%zz", b"Host: HOST", b"Cookie: a=\xff;;=")) == 200


def test_who_leaves_early_is_no_news(server: Server) -> None:
    for said in (
        b"",
        b"GET / HT",
        get(b"/status.json")[:-2],
        post(b"abc", b"Content-Length: 9"),
    ):
        with connected(server) as client:
            client.sendall(said)
    with connected(server) as client:
        client.sendall(get(b"/status.json"))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    time.sleep(1)
    assert ask(server, get(b"/status.json")) == 200
    assert server.complaints.read_text() == ""
