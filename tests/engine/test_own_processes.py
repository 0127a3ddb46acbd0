"""Which processes are ended where Ray has died; with a Ray: `tests/ray/test_ray_dies.py`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lip_ray.engine.ray_session import Session

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

WAIT_S = 20.0

Process = subprocess.Popen[bytes]


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Starts a process that sleeps, with an environment of one token."""
    started: list[Process] = []

    def begin(token: str = "", **files: object) -> Process:
        started.append(subprocess.Popen(SLEEP, env={"RAY_AUTH_TOKEN": token}, **files))  # type: ignore[call-overload]
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """One whose folder is there, and begins as another's does."""
    for name in ("run", "running"):
        (tmp_path / name / "ray").mkdir(parents=True)
        (tmp_path / name / "ray/agent.log").touch()
    return Session(tmp_path / "run/tune", "ours")


def test_all_processes_with_our_token_are_ended(
    session: Session, start: Callable[..., Process]
) -> None:
    ours, others = start("ours"), start("ours-not")
    Session(session.folder, "").end()
    assert ours.poll() is None, "a cluster's own processes are not ours"
    session.end()
    assert ours.wait(WAIT_S) < 0
    assert others.poll() is None
    assert not session.folder.parent.exists()


@pytest.mark.parametrize("looks", [1, 2])
def test_a_process_that_begins_a_program_is_ended_too(
    looks: int, session: Session, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the kernel loads a program, the process's environment reads as empty."""
    process = start("ours")
    environment = Path(f"/proc/{process.pid}/environ")
    read_bytes, begins = Path.read_bytes, iter(range(looks))

    def read(path: Path) -> bytes:
        begun = path != environment or next(begins, None) is None
        return read_bytes(path) if begun else b""

    monkeypatch.setattr(Path, "read_bytes", read)
    session.end()
    assert process.wait(WAIT_S) < 0


@pytest.mark.parametrize("deleted", [False, True])
def test_helpers_whose_title_has_overwritten_the_token_are_ended_too(
    deleted: bool, session: Session, start: Callable[..., Process]
) -> None:
    """Ray's agents write their title over their environment; they have their log open."""
    ours, another = session.folder.parent / "ray", session.folder.parents[1] / "running/ray"
    with (
        (ours / "agent.log").open("w") as log,
        (another / "agent.log").open("w") as other_log,
        (ours / "agent.log").open() as followed,
    ):
        helper, others, reader = start(stdout=log), start(stdout=other_log), start(stdin=followed)
    if deleted:
        (ours / "agent.log").unlink()
    session.end()
    assert helper.wait(WAIT_S) < 0
    assert others.poll() is None, "another run's folder is not ours"
    assert reader.poll() is None, "who reads a log is not Ray"


def test_a_folder_is_found_by_another_name_too(
    session: Session, start: Callable[..., Process], tmp_path: Path
) -> None:
    """TMPDIR may be a link."""
    with (session.folder.parent / "ray/agent.log").open("w") as log:
        helper = start(stdout=log)
    (tmp_path / "link").symlink_to(tmp_path)
    Session(tmp_path / "link/run/tune", "ours").end()
    assert helper.wait(WAIT_S) < 0
