"""`lip` in processes forked from one that has imported it: each starts seconds earlier."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["lip_ray.cli", "lip_ray.engine.launch", "lip_ray.trials"])


class WarmProcess:
    """A `lip` command with the interface of `subprocess.Popen`, as far as tests use it."""

    stdout: IO[str]

    def __init__(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]
    ) -> None:
        reader, writer = _forking.Pipe(duplex=False)
        self._process = _forking.Process(
            target=_run, args=(list(arguments), str(folder), dict(environment), writer)
        )
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    @property
    def pid(self) -> int:
        """The process, which leads a group of its own."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, None while it runs; the negative number of a signal that ended it."""
        return self._process.exitcode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def _run(
    arguments: list[str], folder: str, environment: dict[str, str], output: Connection
) -> None:
    """What a shell and a starting Python do, then `lip`."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR may be another one now
    for name, buffering in (("stdout", -1), ("stderr", 1)):
        number = getattr(sys, name).fileno()
        os.dup2(output.fileno(), number)
        # The stream of before may have been a file's, and would try to seek in the pipe.
        setattr(sys, name, os.fdopen(number, "w", buffering, closefd=False))
    output.close()
    for customize in _customizations(environment.get("PYTHONPATH", "")):
        runpy.run_path(str(customize), run_name="sitecustomize")
    from lip_ray.cli import main

    sys.argv = ["lip", *arguments]
    main()


def _customizations(python_path: str) -> list[Path]:
    """The `sitecustomize.py` that Python would run at its start."""
    folders = [Path(folder) for folder in python_path.split(os.pathsep) if folder]
    return [path for folder in folders if (path := folder / "sitecustomize.py").is_file()][:1]
