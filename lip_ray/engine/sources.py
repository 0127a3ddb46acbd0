"""Sources that another sweep has run already: they are copied from its store, not run again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lip_ray.engine.plan import PlannedTrial
from lip_ray.errors import UserError
from lip_ray.store import Reader, merge
from lip_ray.sweep import Sweep
from lip_ray.trials.needed import TICKETS, needed_of_itself, needed_of_sources


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The sources that a sweep's own store lacks, and where another has them."""

    store: str
    """The other store, which need not be there."""
    wanted: int
    """The number of trials that are sources and not complete in the own store."""
    levels: Mapping[str, int]
    """Those of them that are complete there, with their number of levels."""
    left_out: str = ""
    """The table that others of them lack there, as it was left out when that store was
    published."""

    @property
    def line(self) -> str:
        """What becomes of the sources, in words."""
        found = len(self.levels)
        if not found and self.left_out:
            return (
                f"sources: {_trials(self.wanted)} to run first, as their {self.left_out} were left "
                f"out of {self.store} when it was published; --sources STORE names the full one"
            )
        if not found:
            return (
                f"sources: {_trials(self.wanted)} to run first, as {self.store} has none of them "
                "complete; --sources STORE names another place"
            )
        left = self.wanted - found
        rest = f"; {left:,} more to run first" if left else ""
        return f"sources: {_trials(found)} to copy from {self.store}{rest}"


def elsewhere(sweep: Sweep, store: str, planned: Sequence[PlannedTrial]) -> Elsewhere | None:
    """The sources that the store lacks, and those of them that are complete in the store of the
    sweep that they come from, or in `run.sources`; None where there is nothing to look for.

    `planned` are the trials of the sweep, with their levels in the store; of a search, those of a
    typical point.

    Sources whose masks, weights or networks the store was published without count as lacking.
    Raises UserError where `run.sources` is no store, or was published without them.
    """
    place = sweep.run.sources or sweep.sources_store
    if place is None or _same(place, store):
        return None
    wanted = _wanted(planned, store)
    if sweep.run.sources and not Reader.exists(place):
        raise UserError(
            f"run.sources: there is no store in {place}: name that of the sweep which ran the "
            "sources, or leave it out to run them here"
        )
    if not wanted:
        return None
    there = Reader(place).levels_done() if Reader.exists(place) else {}
    complete = {trial: levels for trial, levels in wanted.items() if there.get(trial, 0) >= levels}
    lacking = _left_out(place, complete)
    for trial, table in lacking.items() if sweep.run.sources else ():
        raise UserError(
            f"run.sources: the {table} of trial {trial}, which is a source, were left out of "
            f"{place} when it was published: name the full store, or {store} to run sources there"
        )
    return Elsewhere(
        store=place,
        wanted=len(wanted),
        levels={trial: levels for trial, levels in complete.items() if trial not in lacking},
        left_out=next(iter(lacking.values()), ""),
    )


def refuse_left_out(planned: Sequence[PlannedTrial], store: str, copied: Collection[str]) -> None:
    """Raise UserError where a trial that is to run needs what the store was published without, of
    a source that is not copied from elsewhere or of its own levels."""
    if not Reader.exists(store):
        return
    left = [one for one in planned if one.levels_left]
    needed = {one.id for one in left}.union(*(one.source_ids for one in left))
    if not needed:
        return
    lacking = Reader(store).left_out(needed - set(copied), TICKETS)
    remedy = "run this sweep in a store of its own, with --store"
    for one in left:
        own = needed_of_itself(one.trial) if one.levels_done else ()
        for table in _first(lacking, one.id, own):
            raise UserError(
                f"trial {one.id} is not complete, and its {table} were left out of {store} when it "
                f"was published: run it in the full store, or {remedy}"
            )
        for source in one.source_ids:
            for table in _first(lacking, source, needed_of_sources(one.trial)):
                raise UserError(
                    f"trial {source} is a source of trial {one.id}, and its {table} were left out "
                    f"of {store} when it was published: name the full store with --sources, or "
                    f"{remedy}"
                )


def _first(
    lacking: Mapping[str, Collection[str]], trial: str, needed: Sequence[str]
) -> Sequence[str]:
    """The first of the needed tables that a trial lacks, if any."""
    return [table for table in needed if table in lacking.get(trial, ())][:1]


def copied(found: Elsewhere, store: str) -> list[str]:
    """Copy the sources into the store; what was done, in sentences.

    What cannot be copied, since it is damaged or unlike what is there, runs again.
    """
    if not found.levels:
        return [found.line]
    merged = merge(store, found.store, trials=found.levels)
    lost = [f"not copied, so it runs again: {conflict}" for conflict in merged.conflicts]
    return [found.line.replace(" to copy from ", " copied from "), *lost]


def _wanted(planned: Sequence[PlannedTrial], store: str) -> dict[str, int]:
    """The sources that are not complete, or whose tickets were left out, with their number of
    levels."""
    sources = {source for one in planned for source in one.source_ids}
    used = {source for one in planned if one.levels_left for source in one.source_ids}
    lacking = _left_out(store, used)
    return {
        one.id: one.trial.levels
        for one in planned
        if one.id in sources and (one.levels_left or one.id in lacking)
    }


def _left_out(store: str, trials: Collection[str]) -> dict[str, str]:
    """The trials whose masks, weights or networks a store was published without, and which of
    them."""
    if not (trials and Reader.exists(store)):
        return {}
    found = Reader(store).left_out(trials, TICKETS)
    return {trial: next(iter(tables)) for trial, tables in found.items()}


def _same(one: str, other: str) -> bool:
    if one == other or "://" in one + other:
        return one == other
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"
