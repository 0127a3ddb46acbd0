"""A store's page as it stands: computed once for all who look, and only when something is new."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread

from lip_ray.claims import Claims
from lip_ray.errors import UserError
from lip_ray.records import FRESH_S
from lip_ray.status import Noted, running_table
from lip_ray.store import Reader

from ..page.content import Frames
from ..page.report import live_report
from ..parts.claims.stated import StatedStore
from ..rows.naming import tuples

MOST_RUNNING = 8
"""Trials in flight that are named one by one."""

WAITING = "No finished level yet: figures come with the first."


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The page at one time."""

    version: str = ""
    """Another one for another page; empty where there is none yet."""
    page: str = ""
    at: datetime
    """When it was computed."""


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What is told at once: which page is computed, and how the store is."""

    version: str
    status: tuple[str, ...]
    """Lines of text: levels that are done, then trials in flight."""
    trouble: str
    """Why the page is not as of now; empty where it is."""


@dataclass(kw_only=True)
class Live:
    """Looks into one store for any number of browsers; a thread computes its page meanwhile."""

    store: str | Path
    sweep: str | None = None
    """The sweep whose trials alone are shown; all are where it is None."""
    claims: Claims | None = None
    """What the page puts to the test, if anything."""
    refresh_s: float = 10.0
    """How often a browser looks, in seconds."""
    _reader: Reader = field(init=False)
    _lock: Lock = field(default_factory=Lock)
    _seen: object = None
    _computing: Thread | None = None
    _shown: Shown = field(default_factory=lambda: Shown(at=datetime.now(UTC)))
    _glance: Glance | None = None
    _trouble: str = ""

    def __post_init__(self) -> None:
        """Raises StoreError where there is no store, or no such sweep in it."""
        self._reader = Reader(self.store, sweep=self.sweep)
        self._frames: Frames = self._reader
        if self.claims is not None:
            self._frames = StatedStore(reader=self._reader, claims=self.claims)

    @property
    def page(self) -> str:
        """The newest page that is computed; empty where none is."""
        return self._shown.page

    def look(self) -> Glance:
        """The store as of now; who comes while another looks gets what that one saw before."""
        if not self._lock.acquire(blocking=self._glance is None):
            assert self._glance is not None
            return replace(self._glance, version=self._shown.version)
        try:
            self._glance = self._looked()
            return self._glance
        finally:
            self._lock.release()

    def wait(self, within_s: float | None = None) -> None:
        """Return once no page is being computed, or so many seconds have passed."""
        if self._computing is not None:
            self._computing.join(within_s)

    def end(self, within_s: float) -> bool:
        """Look no more; whether nothing reads the store any more, after so many seconds at most."""
        until = time.monotonic() + within_s
        if not self._lock.acquire(timeout=within_s):
            return False
        self.wait(max(0.0, until - time.monotonic()))
        return self._computing is None or not self._computing.is_alive()

    def _looked(self) -> Glance:
        try:
            done, standings = self._reader.levels_done(), self._reader.standings()
        except (UserError, OSError) as error:
            return self._told((), self._away(error))
        running = {one.trial_id for one, noted_s, _ in standings if noted_s < FRESH_S}
        self._compute((done, running), any(done.values()))
        trouble = self._trouble or ("" if any(done.values()) else WAITING)
        return self._told(_status(done, standings), trouble)

    def _told(self, status: tuple[str, ...], trouble: str) -> Glance:
        return Glance(version=self._shown.version, status=status, trouble=trouble)

    def _away(self, error: Exception) -> str:
        return f"The store cannot be read. This page shows it at {_time(self._shown.at)}. {error}"

    def _compute(self, seen: object, has_levels: bool) -> None:
        """Begin with the page of what is seen, unless it is that which is shown already."""
        busy = self._computing is not None and self._computing.is_alive()
        if busy or not has_levels or seen == self._seen:
            return
        self._seen = seen
        self._computing = Thread(target=self._computed, daemon=True)
        self._computing.start()

    def _computed(self) -> None:
        at, version = datetime.now(UTC), str(time.time_ns())
        try:
            page = live_report(self._frames, version=version, refresh_s=self.refresh_s)
        except (UserError, OSError) as error:
            self._seen, self._trouble = None, self._away(error)
            return
        except Exception as error:
            self._trouble = f"The page could not be made, a fault of lip-ray: {error!r}"
            raise
        self._shown, self._trouble = Shown(version=version, page=page, at=at), ""


def _status(done: dict[str, int], standings: Sequence[Noted]) -> tuple[str, ...]:
    """How many levels are done, and where the trials in flight are."""
    running = running_table(standings)
    lines = [
        f"{sum(done.values()):,} levels of {len(done):,} trials are done, {len(running)} trials "
        f"are running. As of {_time(datetime.now(UTC))}."
    ]
    for row in tuples(running.head(MOST_RUNNING)):
        psnr = "" if row.psnr_db != row.psnr_db else f", {row.psnr_db:.2f} dB"
        lines.append(
            f"{row.trial_id}: level {row.level}, step {row.step:,} of {row.steps:,}{psnr} "
            f"({row.host}, {row.noted_s:.0f} s ago)"
        )
    more = len(running) - MOST_RUNNING
    return (*lines, f"and {more} more") if more > 0 else tuple(lines)


def _time(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"
