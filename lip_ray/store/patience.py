"""Writing with patience, to a store that is unavailable for a while: a full disk, a lost mount."""

import errno
import re
import time
from collections.abc import Callable
from typing import TypeVar

from lip_ray.store.paths import StoreError, StoreUnavailable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

PASSING = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT),
        *(errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOLCK),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENODEV, errno.ENXIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    }
)
"""Errors that may pass: lack of space that somebody frees, a mount or a server that comes back. A
missing folder is among them, as under a lost mount."""

PASSING_OF_S3 = re.compile(
    r"AWS Error (INTERNAL_FAILURE|NETWORK_CONNECTION|REQUEST_TIMEOUT|SERVICE_UNAVAILABLE|SLOW_DOWN"
    r"|THROTTLING|UNKNOWN)\b"
)
"""The passing errors of object stores, which have names instead of numbers."""

Result = TypeVar("Result")


class Patience:
    """Tries again, with longer and longer pauses, for a given time."""

    def __init__(
        self,
        limit_s: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._sleep = sleep
        self._clock = clock

    def insist(self, where: str, act: Callable[[], Result]) -> Result:
        r"""The result of `act`, tried until it succeeds; `where` is for the message.

        Raises StoreUnavailable when it did not succeed within the time, and StoreError at once for
        errors that waiting does not mend.
        """
        deadline = self._clock() + self._limit_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return act()
            except (OSError, StoreError) as error:
                cause = _passing(error)
                left_s = deadline - self._clock()
                if cause is None and isinstance(error, OSError):
                    raise unwritable(where, error) from error
                if cause is None:
                    raise
                if left_s <= 0:
                    raise self._given_up(where, cause) from error
            self._sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _given_up(self, where: str, cause: OSError) -> StoreUnavailable:
        waited = f", for {self._limit_s:g} s now" if self._limit_s else ""
        return StoreUnavailable(f"{unwritable(where, cause)}{waited}")


def unwritable(where: str, error: OSError) -> StoreError:
    """The message that nothing can be written there, and why."""
    return StoreError(f"the store cannot be written to: {where}: {error.strerror or error}")


def _passing(error: OSError | StoreError) -> OSError | None:
    """The system's error behind an error, if it is one that may pass."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if not isinstance(cause, OSError):
        return None
    passes = cause.errno in PASSING if cause.errno else PASSING_OF_S3.search(str(cause))
    return cause if passes else None
