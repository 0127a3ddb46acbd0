"""Python loads this first in every process of a test's cluster: files in $LIP_FAULTS are faults.

`full`: the disk is; `short`: so is the GPU's memory, when a level is stored; `clock`: how many
seconds the clock is off.
"""

import datetime
import errno
import os
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["LIP_FAULTS"])

_link, _time = os.link, time.time


def link(*arguments: Any, **keywords: Any) -> None:
    """What makes a row appear in a store."""
    if (FOLDER / "full").exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if (FOLDER / "short").exists() and "/levels/" in str(arguments[-1]):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    _link(*arguments, **keywords)


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


os.link = link
time.time = lambda: _time() + off()
datetime.datetime = Shifted  # type: ignore[misc]
