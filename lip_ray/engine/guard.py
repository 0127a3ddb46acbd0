"""Ends a run whose Ray has died: Tune would wait for ever, or this process end without a word.

Ray's own processes are the GCS, which knows the cluster, and one raylet per machine, which starts
workers. A driver cannot go on without the GCS and the raylet of its own machine.
"""

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import ray
from ray.exceptions import RayError

LOOK_S = 1.0
"""Between two looks at Ray's processes."""

OWN_PATIENCE_S = 5.0
"""How long the GCS of one's own Ray may be silent. Nobody starts it again."""

CLUSTER_PATIENCE_S = 25.0
"""How long that of a cluster may be: where it is fault-tolerant, another takes its place.

A look at a machine that is gone takes `LOOK_S` more, and after 60 s Ray would end this process.
"""

LAST_WORDS_S = 10.0
"""How long the end may take before this process ends without."""

RESUME = "Levels that are stored stay: the same command resumes"

Died = Callable[[str], None]
"""Told in one line what happened."""


@contextmanager
def guarded(died: Died, *, patience_s: float) -> Iterator[None]:
    """Look after the Ray that this process has joined, and say once that it has died.

    The main thread may then be stuck within Ray for good, so `died` is called in a thread.
    """
    over = threading.Event()
    watch = _Watch(died, over, patience_s)
    watch.start()
    try:
        yield
    finally:
        over.set()


def end_process(code: int, last_words: Callable[[], None]) -> None:
    """End this process at once, since Ray's own end would wait for processes that are gone.

    `last_words` is what is left to do, for which there are `LAST_WORDS_S` seconds.
    """
    impatient = threading.Timer(LAST_WORDS_S, os._exit, [code])
    impatient.daemon = True
    impatient.start()
    with suppress(Exception):
        last_words()
    os._exit(code)


class _Watch(threading.Thread):
    """Looks at the GCS and at this machine's raylet until it is over, or one of them is."""

    def __init__(self, died: Died, over: threading.Event, patience_s: float) -> None:
        super().__init__(name="guard of Ray", daemon=True)
        context = ray.get_runtime_context()
        self._gcs: str = context.gcs_address
        self._node: str = context.get_node_id()
        self._died = died
        self._over = over
        self._patience_s = patience_s

    def run(self) -> None:
        silent_s = 0.0  # counted by looks, since this process too may have been stopped for a while
        while not self._over.wait(LOOK_S):
            silent_s = silent_s + LOOK_S if is_gone(self._gcs) else 0.0
            if silent_s and silent_s >= self._patience_s:
                return self._say(f"its GCS at {self._gcs} has died")
            if not silent_s and self._is_lost():
                return self._say("the raylet of this machine has died")

    def _is_lost(self) -> bool:
        """Whether the GCS counts this machine as dead: it is never taken back."""
        try:
            return any(node["NodeID"] == self._node and not node["Alive"] for node in ray.nodes())
        except (RayError, RuntimeError):  # not the GCS's word
            return False

    def _say(self, what: str) -> None:
        if not self._over.is_set():
            self._died(f"Ray cannot go on: {what}. {RESUME}.")


def is_gone(address: str) -> bool:
    """Whether nobody listens at HOST:PORT, or there is no way to that machine.

    Anything else that fails, such as a lack of file handles here, says nothing of it.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S).close()
    except (ConnectionError, TimeoutError):
        return True
    except OSError as error:
        return error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
    return False
