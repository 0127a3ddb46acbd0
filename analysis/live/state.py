"""A store's page as it stands: computed once for all who look, and only when something is new."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import plotly.io as pio

from lip_ray.errors import UserError
from lip_ray.store import Reader

from ..page.report import frontier_report, report_sections
from ..page.section import Section
from ..parts.status import FRESH_S, Noted, running_table
from ..rows.naming import tuples

MOST_RUNNING = 8
"""Trials in flight that are named one by one."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section, and a digest that differs where its words or its figure do."""

    section: Section
    digest: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The page at one time."""

    version: str
    """Another one for other sections."""
    parts: tuple[Part, ...]
    at: datetime
    """When it was computed."""


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What is told at once: the page as far as it is computed, and how the store is."""

    shown: Shown
    status: tuple[str, ...]
    """Lines of text: levels that are done, then trials in flight."""
    trouble: str
    """Why the page is not as of now; empty where it is."""


@dataclass(kw_only=True)
class Live:
    """Looks into one store for any number of browsers."""

    store: str | Path
    sweep: str | None = None
    """The sweep whose trials alone are shown; all are where it is None."""
    _reader: Reader = field(init=False)
    _lock: Lock = field(default_factory=Lock)
    _seen: object = None
    _shown: Shown | None = None
    _glance: Glance | None = None
    _page: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        """Raises StoreError where there is no store, or no such sweep in it."""
        self._reader = Reader(self.store, sweep=self.sweep)

    def look(self) -> Glance:
        """The page as of now; who comes while it is computed gets the one before."""
        if not self._lock.acquire(blocking=self._glance is None):
            assert self._glance is not None
            return self._glance
        try:
            self._glance = self._looked()
            return self._glance
        finally:
            self._lock.release()

    def part(self, title: str) -> Part | None:
        """The part with this title, as of the last look; None where it is gone."""
        parts = self._shown.parts if self._shown else ()
        return next((part for part in parts if part.section.title == title), None)

    def page(self) -> str:
        """The page as `frontier_report` makes it, with all pictures, once for each version.

        Raises UserError when the store has no finished level or is away, or OSError.
        """
        version = self.look().shown.version
        with self._lock:
            if self._page[0] != version or not version:
                self._page = version, frontier_report(self._reader)
            return self._page[1]

    def _looked(self) -> Glance:
        try:
            done, standings = self._reader.levels_done(), self._reader.standings()
            running = {one.trial_id for one, noted_s, _ in standings if noted_s < FRESH_S}
            if self._shown is None or self._seen != (done, running):
                self._shown = _computed(self._reader)
                self._seen = (done, running)
        except (UserError, OSError) as error:
            shown = self._shown or Shown(version="", parts=(), at=datetime.now(UTC))
            trouble = f"The store is away; this is as of {_time(shown.at)}. {error}"
            return Glance(shown=shown, status=(), trouble=trouble)
        trouble = "" if self._shown.parts else "No finished level yet: figures come with the first."
        return Glance(shown=self._shown, status=_status(done, standings), trouble=trouble)


def _computed(reader: Reader) -> Shown:
    at = datetime.now(UTC)
    has_levels = bool(len(reader.frame("levels")))
    sections = report_sections(reader) if has_levels else []
    version = str(time.time_ns())
    parts = tuple(Part(section=one, digest=_digest(one, version)) for one in sections)
    return Shown(version=version, parts=parts, at=at)


def _digest(section: Section, version: str) -> str:
    """What is drawn anew for each choice is more than is shown: it is another in every version."""
    shown = section.figure
    if shown is not None and shown.draw is not None:
        return version
    figure = "" if shown is None else pio.to_json(shown.figure, validate=False)
    return blake2b(f"{section.blocks}\n{figure}".encode(), digest_size=16).hexdigest()


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
