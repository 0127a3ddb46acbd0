"""The `lip` command in processes of its own, and stores made to compare."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty import FAULTS, WORKER, FaultyCluster
from studies import TINY, assert_same
from warm import WarmProcess

from lip_ray.engine.own_processes import writes


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep file of the study that runs in seconds."""
    path = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def assert_same_store() -> Callable[[Path, Path], None]:
    """Asserts that two stores hold the same rows, bit for bit."""
    return assert_same


@dataclass(frozen=True)
class Lip:
    """A running `lip` command, the leader of a process group of its own."""

    process: "subprocess.Popen[str] | WarmProcess"
    mark: str
    scratch: Path
    """Its temporary folder: titles that processes give themselves overwrite the mark."""

    def lines(self) -> Iterator[str]:
        """What it prints, as it does."""
        assert self.process.stdout
        return iter(self.process.stdout.readline, "")

    def wait_for_levels(self, count: int) -> list[str]:
        """Return once it has said that so many levels are finished."""
        seen: list[str] = []
        for line in self.lines():
            seen.append(line)
            if sum(" density " in text for text in seen) == count:
                return seen
        raise AssertionError(f"it ended early: {''.join(seen)}")

    def wait_for(self, text: str) -> None:
        """Return once it has printed a line with this text."""
        seen = []
        for line in self.lines():
            seen.append(line)
            if text in line:
                return
        raise AssertionError(f"it ended early: {''.join(seen)}")

    def finish(self) -> tuple[int, str]:
        """Its exit code and the rest of what it prints."""
        rest = "".join(self.lines())
        return self.process.wait(), rest

    def processes(self) -> list[int]:
        """All processes that it has started, and itself."""
        found = {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._owns(folder)}
        if self.process.poll() is None:
            found.add(self.process.pid)  # where it was forked, its mark came later
        return sorted(found)

    def commands(self) -> list[str]:
        """The command lines of those processes, which say more than their numbers."""
        lines = []
        for process in self.processes():
            with suppress(OSError):  # it is gone
                line = Path(f"/proc/{process}/cmdline").read_bytes()
                lines.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return lines

    def workers(self) -> list[int]:
        """The processes that have trials."""
        return [
            pid
            for pid in self.processes()
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(WORKER)
        ]

    def _owns(self, process: Path) -> bool:
        try:
            marked = self.mark.encode() in (process / "environ").read_bytes()
            return marked or writes(process, self.scratch)
        except OSError:  # it is gone, or another's
            return False


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home and temporary folder with a short name, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lip(home: Path, tmp_path: Path) -> Iterator[Callable[..., Lip]]:
    """Starts `lip` with arguments; what still runs afterwards is ended.

    With `cold` it is the installed command in an interpreter of its own, as from a shell.
    """
    started: list[Lip] = []

    def start(*arguments: object, cold: bool = False) -> Lip:
        mark = uuid.uuid4().hex
        (home / "tmp").mkdir(exist_ok=True)
        environment = os.environ | {
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "LIP_TEST_MARK": mark,
        }
        words = list(map(str, arguments))
        process = (
            subprocess.Popen(
                [str(Path(sys.executable).with_name("lip")), *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=tmp_path,
                env=environment,
                start_new_session=True,
            )
            if cold
            else WarmProcess(words, folder=tmp_path, environment=environment)
        )
        started.append(Lip(process, mark, home / "tmp"))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout
        running.process.stdout.close()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it is there, files of a store that match the pattern in it are not written.

    So a signal finds a run where the test wants it, however slow the machine is.
    """
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    monkeypatch.setenv("LIP_FAULTS", str(folder))
    return folder / "held"


@pytest.fixture(scope="session")
def machine() -> Iterator[FaultyCluster]:
    """A Ray of two cores for whatever is sound: no test breaks it, so all share it."""
    made = FaultyCluster("machine of the tests", cores=2)
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def run_there(
    lip: Callable[..., Lip], machine: FaultyCluster, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Lip]:
    """Starts `lip run` with arguments on the Ray that tests share."""
    monkeypatch.setenv("RAY_AUTH_MODE", machine.environment["RAY_AUTH_MODE"])
    return lambda *arguments: lip("run", *arguments, "--address", machine.address)
