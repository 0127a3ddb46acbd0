"""A page that a process of its own serves."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SERVE = (
    "import signal, sys; from lip_ray.analysis.live.serve import serve; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "  # it may be ignored here
    "serve(sys.argv[1], host=sys.argv[2], port=0, refresh_s=1)"
)


class Server(NamedTuple):
    """A page that another process serves, and what that has printed."""

    url: str
    complaints: Path
    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) != -signal.SIGABRT


@contextmanager
def serving(store: Path, folder: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """A process of its own that serves a store, and looks every second."""
    complaints = folder / "stderr"
    command = [sys.executable, "-c", SERVE, str(store), host]
    with (
        complaints.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert " at " in line, complaints.read_text()
            server = Server(line.split(" at ")[1].split()[0], complaints, process)
            yield server
            server.stop()
        finally:
            process.kill()
