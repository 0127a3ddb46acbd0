"""Sources that another sweep has run already: they are copied from its store, not run again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lip_ray.engine.plan import PlannedTrial, plan
from lip_ray.errors import UserError
from lip_ray.store import Reader, merge
from lip_ray.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The sources that a sweep's own store lacks, and where another has them."""

    store: str
    """The other store, which need not be there."""
    wanted: int
    """The number of trials that are sources and not complete in the own store."""
    levels: Mapping[str, int]
    """Those of them that are complete there, with their number of levels."""

    @property
    def line(self) -> str:
        """What becomes of the sources, in words."""
        found = len(self.levels)
        if not found:
            return (
                f"sources: {_trials(self.wanted)} to run first, as {self.store} has none of them "
                "complete; --sources STORE names another place"
            )
        left = self.wanted - found
        rest = f"; {left:,} more to run first" if left else ""
        return f"sources: {_trials(found)} to copy from {self.store}{rest}"


def elsewhere(sweep: Sweep, store: str, levels_done: Mapping[str, int]) -> Elsewhere | None:
    """The sources that the store lacks, and those of them that are complete in the store of the
    sweep that they come from, or in `run.sources`; None where there is nothing to look for.

    Raises UserError where `run.sources` is no store.
    """
    place = sweep.run.sources or sweep.sources_store
    if place is None or _same(place, store):
        return None
    wanted = _wanted(sweep, levels_done)
    if sweep.run.sources and not Reader.exists(place):
        raise UserError(
            f"run.sources: there is no store in {place}: name that of the sweep which ran the "
            "sources, or leave it out to run them here"
        )
    if not wanted:
        return None
    there = Reader(place).levels_done() if Reader.exists(place) else {}
    complete = {trial: levels for trial, levels in wanted.items() if there.get(trial, 0) >= levels}
    return Elsewhere(store=place, wanted=len(wanted), levels=complete)


def copied(found: Elsewhere, store: str) -> list[str]:
    """Copy the sources into the store; what was done, in sentences.

    What cannot be copied, since it is damaged or unlike what is there, runs again.
    """
    if not found.levels:
        return [found.line]
    merged = merge(store, found.store, trials=found.levels)
    lost = [f"not copied, so it runs again: {conflict}" for conflict in merged.conflicts]
    return [found.line.replace(" to copy from ", " copied from "), *lost]


def _wanted(sweep: Sweep, levels_done: Mapping[str, int]) -> dict[str, int]:
    """The sources that are not complete, with their number of levels."""
    planned: Sequence[PlannedTrial] = plan(
        replace(sweep, trials=sweep.typical_trials()), levels_done
    )
    sources = {source for one in planned for source in one.source_ids}
    return {one.id: one.trial.levels for one in planned if one.id in sources and one.levels_left}


def _same(one: str, other: str) -> bool:
    if one == other or "://" in one + other:
        return one == other
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"
