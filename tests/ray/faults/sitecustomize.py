"""Python loads this first in every process of a test's cluster: files in $LIP_FAULTS are faults.

`full`: the disk is, and `refused` gets a byte whenever it lets nothing in; `short`: so is the GPU's
memory, when a level is stored; `clock`: how many seconds the clock is off; `held`: files of the
store that match this wait.
"""

import datetime
import errno
import importlib.abc
import importlib.machinery
import os
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["LIP_FAULTS"])
OURS = "lip_ray."

_link, _time = os.link, time.time


def link(*arguments: Any, **keywords: Any) -> None:
    """What makes a row appear in a store."""
    while held(str(arguments[-1])):
        time.sleep(0.05)
    if (FOLDER / "full").exists():
        with (FOLDER / "refused").open("a") as refused:
            refused.write("!")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if (FOLDER / "short").exists() and "/levels/" in str(arguments[-1]):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    _link(*arguments, **keywords)


def held(target: str) -> bool:
    """Whether a file of that name has to wait."""
    try:
        held = (FOLDER / "held").read_text()
    except OSError:
        return False
    return bool(held) and fnmatch(target, f"*/{held}")


def off() -> float:
    """Seconds that the clock is off."""
    try:
        return float((FOLDER / "clock").read_text())
    except (OSError, ValueError):
        return 0.0


class Shifted(datetime.datetime):
    """A time of day by a clock that was moved."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Shifted":
        return super().now(tz) + datetime.timedelta(seconds=off())


class Clocks(importlib.abc.MetaPathFinder):
    """Gives the moved clock to our modules that tell the time: compiled ones take no other."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if not name.startswith(OURS):
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        if found and found.loader:
            execute = found.loader.exec_module

            def then_moved(module: Any) -> None:
                execute(module)
                move_clock(module)

            found.loader.exec_module = then_moved  # type: ignore[method-assign]
        return found


def move_clock(module: Any) -> None:
    """Let a module that imports `datetime` tell the time by the moved clock."""
    if getattr(module, "datetime", None) is datetime.datetime:
        module.datetime = Shifted


os.link = link
time.time = lambda: _time() + off()
for name in [name for name in sys.modules if name.startswith(OURS)]:
    move_clock(sys.modules[name])  # in a process that was forked from one that had imported them
sys.meta_path.insert(0, Clocks())
