"""A run that is watched from outside the cluster: its driver is a task on the cluster's head."""

import io
import signal
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from queue import SimpleQueue
from typing import IO, cast

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue
from rich.console import Console

from lip_ray.engine.guard import RESUME
from lip_ray.engine.launch import Summary, launch
from lip_ray.engine.ray_private import HEAD
from lip_ray.engine.ray_session import joined
from lip_ray.engine.resources import LaunchError
from lip_ray.errors import UserError, first_line
from lip_ray.sweep import Sweep

LOOK_S = 0.5

PASSED_ON = 2
"""Ctrl-Cs that the driver is told of; one more stops the watching."""


def launch_from_outside(sweep: Sweep, store: str, console: Console, address: str) -> Summary:
    """`launch` on the cluster that a `ray://` address leads to; its lines are printed here.

    The store is a path on the cluster. Ctrl-C is passed on: once, levels in flight end first; a
    third one stops watching.

    Raises LaunchError where the cluster cannot be reached, and whatever `launch` raises.
    """
    if not PurePosixPath(store).is_absolute():
        raise LaunchError(
            f"--store {store}: with --address {address} the store is a path on the cluster, so it "
            "must be absolute: /mnt/shared/results, say"
        )
    with joined(address):
        lines, interrupts = (Queue(actor_options={"num_cpus": 0}) for _ in range(2))
        driver = _drive.remote(sweep, store, lines, interrupts, console.width)
        try:
            return _followed(driver, lines, interrupts, console)
        except RayTaskError:
            raise
        except (RayError, ConnectionError) as error:
            raise LaunchError(lost(address, error)) from error
        finally:
            with suppress(RayError, ConnectionError):
                lines.shutdown(force=True)
                interrupts.shutdown(force=True)


def lost(address: str, error: Exception) -> str:
    """What is said where the driver, or the way to it, has died."""
    said = first_line(error)
    what = f"the driver on the cluster's head no longer answers: {said}"
    return f"--address {address}: {what}. {RESUME}."


def _followed(
    driver: "ray.ObjectRef[Summary]", lines: Queue, interrupts: Queue, console: Console
) -> Summary:
    with _ctrl_c() as pressed:
        while True:
            ended, _ = ray.wait([driver], timeout=LOOK_S)
            while not pressed.empty():
                interrupts.put(pressed.get())  # cancelling the task would end all it waits for
            while not lines.empty():
                console.print(lines.get(), markup=False, highlight=False, soft_wrap=True)
            if ended:
                return _result(driver)


@contextmanager
def _ctrl_c() -> Iterator["SimpleQueue[int]"]:
    """An entry for each Ctrl-C that is to be passed on.

    An exception in its place would be lost where it meets a finaliser of Ray's.
    """
    pressed: SimpleQueue[int] = SimpleQueue()
    presses = 0

    def note(number: int, _: object) -> None:
        nonlocal presses
        presses += 1
        if presses > PASSED_ON:
            raise KeyboardInterrupt
        pressed.put(number)

    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _result(driver: "ray.ObjectRef[Summary]") -> Summary:
    try:
        summary: Summary = ray.get(driver)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    return summary


@ray.remote(num_cpus=0, max_retries=0, resources=HEAD)  # it may lose no machine, as trials may
def _drive(sweep: Sweep, store: str, lines: Queue, interrupts: Queue, width: int) -> Summary:
    threading.Thread(target=_pass_on, args=(interrupts,), daemon=True).start()
    console = Console(file=cast(IO[str], _Lines(lines)), width=width, force_terminal=False)
    return launch(sweep, store, console, address="auto")


def _pass_on(interrupts: Queue) -> None:
    """Let this process have each Ctrl-C that was pressed outside, until the queue is gone."""
    with suppress(RayError):
        while True:
            interrupts.get()
            interrupt_main()  # Ray blocks the signal itself in its workers


class _Lines(io.TextIOBase):
    """A file whose lines go into a queue."""

    def __init__(self, lines: Queue) -> None:
        self._lines = lines
        self._rest = ""

    def write(self, text: str) -> int:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._lines.put(line)
        return len(text)

    def flush(self) -> None:
        """Lines go when they are whole."""
