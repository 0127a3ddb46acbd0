"""What the parts of a page have in common: the store's frames, and what is read off them once."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol, TypeVar, cast

import pandas as pd

from lip_ray.literature import displayed
from lip_ray.records import LayerMask

from ..rows.points import described_points
from .gallery import NO_PICTURES, PICTURE_KEY, Pictures, pictures_within
from .section import Section, Words

NAMING = {
    "pruner": "method_settings",
    "method_name": "method_settings",
    "finder_name": "finder_settings",
}
"""Columns of `trials` with names of methods, which rows and queries have by their kinds, and the
columns with the settings of these methods."""

NO_FITS = pd.DataFrame(columns=PICTURE_KEY)

T = TypeVar("T")


class Frames(Protocol):
    """What reads a store: `lip_ray.store.Reader`, or frames made by hand."""

    def frame(self, table: str, /, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table of that name, or its rows of these trials."""

    def masks(self, trial_id: str, level: int, /) -> tuple[LayerMask, ...] | None:
        """The mask of a level, None where none is stored."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the page: what it shows of a store, and what it needs for that."""

    label: str
    """The word for it in the bar that leads through the page."""
    sections: Callable[["Content"], Iterator[Section]]
    """Its sections, of a store that has what it is about."""
    names: Set[str]
    """The names that its figures and tables have."""
    pictured: Callable[["Content"], pd.DataFrame] = lambda _: NO_FITS
    """Trial, level and image of the fits that it shows pictures of."""
    kinds: Set[str] = frozenset()
    """The kinds of trials that it is about, if any: without a fit of these it has no section."""
    introduction: tuple[Words, ...] = ()
    """Paragraphs at the top of a page of such trials; several parts may share them."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A store as its page shows it: parts take what they need, and nothing is made twice."""

    store: Frames
    parts: Sequence[Part] = ()
    """The parts whose pictures share the room that there is."""
    room: int | None = None
    """Bytes for pictures; None where none are shown, and so none are read."""
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    def once(self, make: Callable[["Content"], T]) -> T:
        """What a function makes of this content, made once for all who share it."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast(T, self._made[make])

    def has(self, part: Part) -> bool:
        """Whether there is anything that a part is about."""
        return not part.kinds or bool(part.kinds & self.compared_kinds)

    def outline(self, name: str = "") -> Iterator[tuple[str, list[Section]]]:
        """By the label of each part its sections, of the parts that have any; with a `name` only of
        those that have figures or tables of that name."""
        for part in filter(self.has, self.parts):
            if (not name or name in part.names) and (own := list(part.sections(self))):
                yield part.label, own

    @property
    def sweep(self) -> str | None:
        """The one sweep that the store is narrowed to; frames made by hand are of none."""
        return getattr(self.store, "sweep", None)

    @cached_property
    def left_out(self) -> Mapping[str, Set[tuple[str, int]]]:
        """By table the trials and levels whose rows a published store was made without; frames made
        by hand lack nothing."""
        look = getattr(self.store, "left_out", None)
        found: dict[str, set[tuple[str, int]]] = {}
        for trial, tables in look().items() if look else ():
            for table, levels in tables.items():
                found.setdefault(table, set()).update((trial, level) for level in levels)
        return found

    def having(self, table: str, fits: pd.DataFrame) -> pd.DataFrame:
        """Those of some fits whose rows of a table were not left out."""
        lacking = self.left_out.get(table)
        if not lacking:
            return fits
        keys = zip(fits["trial_id"], fits["level"], strict=True)
        return fits[[key not in lacking for key in keys]]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials of the store, their methods named as people read them."""
        return displayed_trials(self.store.frame("trials"))

    @cached_property
    def levels(self) -> pd.DataFrame:
        """All finished levels of the store."""
        return self.store.frame("levels")

    @cached_property
    def points(self) -> pd.DataFrame:
        """All points of the store's searches."""
        return self.store.frame("points")

    @cached_property
    def sweeps(self) -> pd.DataFrame:
        """What the store's sweeps asked for."""
        found = self.store.frame("sweeps")
        return found if len(found) else pd.DataFrame(columns=["sweep", "trial_id"])

    @cached_property
    def kinds(self) -> Set[str]:
        """The kinds of all trials with a finished level."""
        return _fitted(self.trials, self.levels)

    @cached_property
    def compared_trials(self) -> pd.DataFrame:
        """The trials of sweeps: those of a search alone differ too much from all others."""
        searched = self._only_searched
        return self.trials[~self.trials["trial_id"].isin(searched)] if searched else self.trials

    @cached_property
    def compared_levels(self) -> pd.DataFrame:
        """The levels of `compared_trials`."""
        if not self._only_searched:
            return self.levels
        own = self.levels["trial_id"].isin(self.compared_trials["trial_id"].unique())
        return self.levels[own]

    @cached_property
    def compared_kinds(self) -> Set[str]:
        """The kinds of `compared_trials` with a finished level."""
        return _fitted(self.compared_trials, self.compared_levels)

    @cached_property
    def described(self) -> pd.DataFrame:
        """The compared fits that restore images, as `described_points`."""
        return described_points(self.compared_trials, self.compared_levels)

    @cached_property
    def pictures(self) -> Pictures:
        """The pictures of all parts, as far as there is room."""
        if self.room is None:
            return NO_PICTURES
        found = (self.once(part.pictured) for part in self.parts if self.has(part))
        wanted = [own[PICTURE_KEY] for own in found if len(own)]
        fits = pd.concat(wanted or [NO_FITS]).drop_duplicates()
        stored = self.store.frame("reconstructions", trials=set(fits["trial_id"]))
        return pictures_within(stored.merge(fits, on=PICTURE_KEY), self.room)

    @cached_property
    def _only_searched(self) -> Set[str]:
        if self.points.empty:
            return set()
        return set(self.points["trial_id"].dropna()) - set(self.sweeps["trial_id"])


def displayed_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows with their methods named as people read them."""
    shown = cache(displayed)  # there are far more trials than methods
    names = {
        column: [
            name if pd.isna(name) else shown(name, own)
            for name, own in zip(trials[column], trials[settings].fillna("{}"), strict=True)
        ]
        for column, settings in NAMING.items()
    }
    return trials.assign(**names)


def _fitted(trials: pd.DataFrame, levels: pd.DataFrame) -> Set[str]:
    return set(trials.loc[trials["trial_id"].isin(levels["trial_id"].unique()), "kind"])
