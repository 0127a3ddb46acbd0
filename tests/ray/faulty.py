"""A cluster of three nodes on this machine, and the ways to break it."""

import os
import random
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

FAULTS = Path(__file__).parent / "faults"
MEMORY = 100_000_000
"""Of each node's object store, in bytes: next to nothing passes through it."""

WORKER = b"ray::ImplicitFunc"

PATIENCE_S = 300.0
"""For what must come, on a machine with much else to do."""


class FaultyCluster:
    """A head without cores and two nodes with one each; what runs there heeds `faults`.

    With `cores` it is one machine instead: a head that has them, and no nodes.
    """

    def __init__(self, mark: str, *, cores: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lip-faults-"))
        self.environment = {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_health_check_timeout_ms": "60000",  # a busy machine's nodes answer late
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # and so does a driver's server
            "PYTHONPATH": str(FAULTS),
            "LIP_FAULTS": str(self.folder),
            "LIP_TEST_MARK": mark,
        }
        self._mark = mark.encode()
        self.client_port = _free_port()
        """For `ray://`."""
        head = {
            "num_cpus": cores,
            "include_dashboard": False,
            "object_store_memory": MEMORY,
            "ray_client_server_port": self.client_port,
        }
        with pytest.MonkeyPatch.context() as patch:
            self._set(patch)
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [] if cores else [self._added(), self._added()]

    @property
    def address(self) -> str:
        """For `--address`."""
        return str(self._cluster.address)

    def fault(self, name: str, content: str = "") -> None:
        """Switch a fault on."""
        (self.folder / name).write_text(content)

    def mend(self, name: str) -> None:
        """Switch a fault off."""
        (self.folder / name).unlink(missing_ok=True)

    def wait_for_refusals(self, count: int) -> None:
        """Return once the full disk has let nothing in so many times more."""
        log = self.folder / "refused"
        before = log.stat().st_size if log.exists() else 0
        until = time.monotonic() + PATIENCE_S
        while not log.exists() or log.stat().st_size < before + count:
            assert time.monotonic() < until, f"nothing was refused in {PATIENCE_S:g} s"
            time.sleep(0.05)

    def replace_node(self, which: int) -> None:
        """Lose a node without a word, and get another."""
        self._cluster.remove_node(self.nodes[which], allow_graceful=False)
        self.nodes[which] = self._added()

    def workers(self) -> list[int]:
        """The processes that have trials, by id."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                ours = self._mark in (folder / "environ").read_bytes()
                if ours and (folder / "cmdline").read_bytes().startswith(WORKER):
                    found.append(int(folder.name))
            except OSError:  # gone meanwhile
                continue
        return sorted(found)

    def signal_worker(self, number: int, draws: random.Random | None = None) -> int | None:
        """Send a signal to a worker; which one it was, None where there is none."""
        workers = self.workers()
        if not workers:
            return None
        chosen = draws.choice(workers) if draws else workers[0]
        try:
            os.kill(chosen, number)
        except ProcessLookupError:
            return None
        return chosen

    def shutdown(self) -> None:
        """End everything, also what a signal stopped."""
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)
        self._cluster.shutdown()

    def _added(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            self._set(patch)
            return self._cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    def _set(self, patch: pytest.MonkeyPatch) -> None:
        for name, value in self.environment.items():
            patch.setenv(name, value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
