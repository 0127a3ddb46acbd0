"""What is noticed of a Ray that dies, without one; with one: `tests/ray/test_ray_dies.py`."""

import errno
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from lip_ray.engine import guard
from lip_ray.engine.guard import guarded, is_gone

WAIT_S = 20.0


@pytest.fixture
def gcs() -> Iterator[socket.socket]:
    """Something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def told(gcs: socket.socket, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said of a Ray that stands in for one, of two machines that are alive."""
    address = f"127.0.0.1:{gcs.getsockname()[1]}"
    context = SimpleNamespace(gcs_address=address, get_node_id=lambda: "here")
    nodes = [{"NodeID": "here", "Alive": True}, {"NodeID": "there", "Alive": True}]
    stand_in = SimpleNamespace(get_runtime_context=lambda: context, nodes=lambda: nodes)
    monkeypatch.setattr(guard, "ray", stand_in)
    monkeypatch.setattr(guard, "LOOK_S", 0.02)
    return []


def wait_for(told: list[str]) -> str:
    """The one thing that is said, once it is."""
    until = time.monotonic() + WAIT_S
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    (said,) = told
    return said


def test_a_gcs_that_no_longer_listens(gcs: socket.socket, told: list[str]) -> None:
    with guarded(told.append, patience_s=0.1):
        time.sleep(0.2)
        assert told == []
        gcs.close()
        said = wait_for(told)
    assert said.startswith("Ray cannot go on: its GCS at 127.0.0.1:")
    assert said.endswith(" has died. Levels that are stored stay: the same command resumes.")


def test_a_gcs_that_comes_back_in_time(gcs: socket.socket, told: list[str]) -> None:
    port = gcs.getsockname()[1]
    with guarded(told.append, patience_s=WAIT_S):
        gcs.close()
        time.sleep(0.2)
        with socket.create_server(("127.0.0.1", port)):
            time.sleep(0.2)
    assert told == []


def test_a_raylet_that_has_died_on_this_machine(told: list[str]) -> None:
    with guarded(told.append, patience_s=WAIT_S):
        guard.ray.nodes()[1]["Alive"] = False  # another machine's: its trials are tried again
        time.sleep(0.2)
        assert told == []
        guard.ray.nodes()[0]["Alive"] = False
        said = wait_for(told)
    assert said == (
        "Ray cannot go on: the raylet of this machine has died. "
        "Levels that are stored stay: the same command resumes."
    )


def test_what_is_over_is_not_watched(gcs: socket.socket, told: list[str]) -> None:
    with guarded(told.append, patience_s=0.0):
        pass
    gcs.close()
    time.sleep(0.2)
    assert told == []


def test_nobody_listens() -> None:
    assert is_gone("127.0.0.1:1")


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
    ],
)
def test_what_fails_on_this_machine_says_nothing(
    error: OSError, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(guard.socket, "create_connection", fail)
    assert is_gone("10.0.0.1:6379") == gone


@pytest.mark.parametrize("last_words", ["print('bye', flush=True)", "time.sleep(600)", "1 / 0"])
def test_a_process_ends_though_its_end_hangs(last_words: str) -> None:
    program = (
        "import sys, time\nfrom lip_ray.engine import guard\nguard.LAST_WORDS_S = 1\n"
        "try:\n  guard.end_process(7, lambda: exec(sys.argv[1]))\n"
        "finally:\n  time.sleep(600)"
    )
    command = [sys.executable, "-c", program, last_words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 7
    assert ended.stderr == ""
