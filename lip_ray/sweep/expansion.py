"""From a draft to its trials: sources × cases × grid, at one point of a search."""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from lip_ray.mistakes import (
    Mistake,
    Mistakes,
    SweepError,
    document,
    explained,
    joined,
    shown,
)
from lip_ray.spec import Spec
from lip_ray.sweep.draft import Draft
from lip_ray.sweep.folders import Pictures, content_of, folders_in
from lip_ray.sweep.places import assign, assigned
from lip_ray.sweep.search import NearDensity, Numbered, Objective, nearest, overlap
from lip_ray.trials import AbstractTrial, Generator, Trajectory, Trial

SOURCE = "source"
"""The field of a trial that a sweep's sources set."""

Finder = Trajectory | Generator
"""The kinds of trials that find tickets, and so can be the sources of others."""

STOPPED_BY = "psnr_selected_db"
"""What a search compares to stop a trial."""

MANY = 10**9
"""A number of weights that is large enough to read a schedule's densities off its counts."""


class Sources(Spec):
    """The sweep whose trajectories or generators are the sources of a sweep's trials."""

    sweep: str
    """The file of that sweep, relative to the folder of this one."""
    set: dict[str, Any] = {}  # noqa: RUF012
    """Dotted fields of its trials, `grid.` or `cases` to override."""
    where: dict[str, Any] = {}  # noqa: RUF012
    """Dotted fields of its trials and the value, or the list of values, that they must have."""


class _OneTrial(Spec):
    """A trial of any kind as a field, so that a mistake in its kind is reported too."""

    trial: Trial


@dataclass(frozen=True)
class Choice:
    """One value for one field of a trial, and where it was written."""

    path: str
    """The dotted path of the field."""
    place: str
    """What sets the field: `grid.seed`, `cases[2].fit.steps`."""
    item: str
    """The place of the value among several, as `[1]`; empty where there is only one."""
    value: Any


Axis = list[list[Choice]]
"""Alternatives, each of which sets some fields."""


@dataclass
class Expansion:
    """All trials of a draft. Mistakes are noted, not raised."""

    draft: Draft
    mistakes: Mistakes
    objectives: tuple[Objective, ...] = ()
    """The objectives of the search, which every trial must have levels and numbers for."""
    stopping: bool = False
    """Whether the search stops trials by what they reach on the way."""
    pictures: Pictures = field(default_factory=Pictures)
    """The pictures of the folders that were read so far."""

    @cached_property
    def axes(self) -> list[Axis]:
        """The axes of all combinations: sources, cases, and those axes of the grid without
        mistakes."""
        draft = self.draft
        axes = [_source_choices(draft, self.mistakes)] if draft.sources is not None else []
        if draft.cases is not None:
            axes.append(_case_choices(draft.cases))
        taken = {choice.path for axis in axes for part in axis for choice in part}
        return axes + _grid_choices(draft.grid, sorted(taken), self.mistakes)

    def aside(self) -> "Expansion":
        """The same expansion with no mistakes noted yet; the axes are not expanded again."""
        copied = replace(self, mistakes=Mistakes(self.mistakes.source))
        copied.__dict__["axes"] = self.axes
        return copied

    def trials(self, point: Sequence[Choice] = ()) -> tuple[AbstractTrial, ...]:
        r"""Each source with each case with each point of the grid, the last axis fastest.

        All of them are at the given `point` of a search. A combination whose images are a folder is
        one trial for each of its pictures.
        """
        trials: dict[str, AbstractTrial] = {}
        if not self.draft.known or self._too_many():
            return ()
        for combination in itertools.product(*self.axes):
            choices = [choice for part in (*combination, point) for choice in part]
            for mapping in self._mappings(choices):
                trial = self._trial(mapping, choices)
                if trial is None:
                    continue
                if trial.id in trials:
                    values = {c.path: c.value for c in choices if c.path != SOURCE}
                    self.mistakes.note("grid", f"gives the trial {shown(values)} twice")
                trials[trial.id] = trial
        return tuple(trials.values())

    @property
    def count(self) -> int:
        """How many trials there are, without making any."""
        count = math.prod(map(len, self.axes))
        if count > self.draft.most_trials:
            return count
        return sum(map(self._count_at, itertools.product(*self.axes)))

    @property
    def pictures_by_content(self) -> list[list[str]]:
        """Name and SHA-256 of the pictures of each folder of each combination."""
        found = []
        for combination in itertools.product(*self.axes):
            choices = [choice for part in combination for choice in part]
            places = self._pictures_in(self._written(choices) or {}, choices)
            found += [list(map(content_of, pictures)) for _, pictures in places]
        return found

    def _count_at(self, combination: Sequence[Sequence[Choice]]) -> int:
        """How many trials a combination makes: one, or one for each picture of a folder."""
        choices = [choice for part in combination for choice in part]
        mapping = self._written(choices)
        if mapping is None:
            return 1
        return math.prod(len(found) for _, found in self._pictures_in(mapping, choices))

    def _too_many(self) -> bool:
        """Whether there are more trials than are meant, which is noted."""
        most, count = self.draft.most_trials, self.count
        if count > most:
            sizes = " × ".join(str(len(axis)) for axis in self.axes)
            if count > math.prod(map(len, self.axes)):
                sizes += f"{' and ' * bool(sizes)}one for each picture of a folder"
            self.mistakes.note(
                "grid",
                f"makes {count:,} trials ({sizes}), more than run.most_trials, {most:,}: "
                "raise that if so many are meant",
            )
        return count > most

    def _written(self, choices: Sequence[Choice]) -> dict[str, Any] | None:
        """The raw trial with these choices; None where one of them has no place."""
        mapping = copy.deepcopy(self.draft.trial)
        for choice in choices:
            label, value = choice.place.removesuffix(choice.path), copy.deepcopy(choice.value)
            if not assigned(mapping, label, choice.path, value, mistakes=self.mistakes):
                return None
        return mapping

    def _mappings(self, choices: Sequence[Choice]) -> Iterator[dict[str, Any]]:
        """The raw trials with these choices: one, or one for each picture of a folder."""
        mapping = self._written(choices)
        if mapping is None:
            return
        places = self._pictures_in(mapping, choices)
        for pictures in itertools.product(*(found for _, found in places)):
            copied = copy.deepcopy(mapping)
            for (path, _), picture in zip(places, pictures, strict=True):
                assign(copied, path, picture)
            yield copied

    def _pictures_in(
        self, mapping: Mapping[str, Any], choices: Sequence[Choice]
    ) -> list[tuple[str, Sequence[dict[str, Any]]]]:
        """The folders of a raw trial that stand for several trials: their places, and the raw
        images in them. Mistakes in a folder are noted."""
        found = []
        for path, folder in folders_in(mapping):
            images, mistakes = self.pictures.of(folder, most=self.draft.most_trials)
            for mistake in mistakes:
                inside = Mistake(joined(path, mistake.path), mistake.message, mistake.fault)
                self.mistakes.note(_located(inside, choices), mistake.message, mistake.fault)
            found.append((path, images))
        return found

    def _trial(self, mapping: Mapping[str, Any], choices: Sequence[Choice]) -> AbstractTrial | None:
        """The trial that a mapping with these choices describes; None where it is mistaken."""
        trial = self._validated(mapping, choices)
        if trial is None:
            return None
        for path, message in trial.conflicts():
            self.mistakes.note(_located(Mistake(path, message), choices), message)
        for index, objective in enumerate(self.objectives):
            message = _off_the_ladder(objective, trial)
            if message:
                self.mistakes.note(f"search.objectives[{index}].level", message)
        self._note_what_it_lacks(trial)
        return trial

    def _note_what_it_lacks(self, trial: AbstractTrial) -> None:
        """Note what the search compares and the trial can never have."""
        compared = {
            f"search.objectives[{index}].column": objective.column
            for index, objective in enumerate(self.objectives)
        }
        if self.stopping:
            compared["search.stop_hopeless"] = STOPPED_BY
        lacks = trial.lacks() if compared else {}
        for place, column in compared.items():
            if column in lacks:
                self.mistakes.note(place, f"{column} can have no value: {lacks[column]}")

    def _validated(
        self, mapping: Mapping[str, Any], choices: Sequence[Choice]
    ) -> AbstractTrial | None:
        """The trial that a mapping describes; None where a field is wrong by itself."""
        written = {"trial": mapping}
        try:
            return _OneTrial.model_validate(written).trial
        except ValidationError as error:
            for mistake in explained(error, _OneTrial, written, in_grid=True):
                inside = replace(mistake, path=mistake.path.partition(".")[2])
                if not self._would_be_given(inside, choices):
                    self.mistakes.note(_located(inside, choices), inside.message, inside.fault)
            return None

    def _would_be_given(self, mistake: Mistake, choices: Sequence[Choice]) -> bool:
        """Whether a field is missing only because its axis is mistaken, which has been noted."""
        wrong = self.draft.grid.keys() - {choice.path for choice in choices}
        return mistake.fault == "missing" and any(overlap(axis, mistake.path) for axis in wrong)


def store_of_sources(draft: Draft) -> str | None:
    """The store of the sweep that is named under `sources`; None where there is none.

    Raises SweepError where that sweep cannot be read.
    """
    if draft.sources is None:
        return None
    theirs = _source_draft(Sources.model_validate(_written_sources(draft)), draft)
    return theirs.checked_run().store_of(theirs.name)


def _written_sources(draft: Draft) -> Mapping[str, Any] | None:
    return {"sweep": draft.sources} if isinstance(draft.sources, str) else draft.sources


def _source_choices(draft: Draft, mistakes: Mistakes) -> Axis:
    """The trajectories and generators of the sweep that is named under `sources`."""
    written = _written_sources(draft)
    try:
        wanted = Sources.model_validate(written)
    except ValidationError as error:
        mistakes.note_all("sources", explained(error, Sources, written or {}))
        return []
    try:
        trials = _source_trials(wanted, draft)
    except SweepError as error:
        for mistake in error.problems:
            mistakes.note(f"sources: {error.source}", str(mistake))
        return []
    found = [t for t in trials if isinstance(t, Finder) and _fits(t, wanted.where)]
    if not found:
        wish = f"trajectory or generator where {shown(wanted.where)}"
        mistakes.note("sources", f"{wanted.sweep} has no {wish}")
    return [
        [Choice(SOURCE, "sources", f"[{index}]", trial.model_dump(mode="json"))]
        for index, trial in enumerate(found)
    ]


def _source_trials(wanted: Sources, draft: Draft) -> tuple[AbstractTrial, ...]:
    """All trials of a sweep's sources. Raises SweepError with what is wrong there."""
    theirs = _source_draft(wanted, draft)
    trials = Expansion(theirs, theirs.mistakes).trials()
    theirs.mistakes.refuse()
    return trials


def _source_draft(wanted: Sources, draft: Draft) -> Draft:
    """The sweep of a sweep's sources, with what is set there; mistakes are noted in it.

    Raises SweepError where it has sources itself, or is no sweep at all.
    """
    path = draft.folder / wanted.sweep
    theirs = Draft.read(document(path), str(path), path.parent)
    theirs.run["most_trials"] = draft.most_trials
    if theirs.sources is not None:
        theirs.mistakes.note("sources", "the sources of a sweep cannot have sources themselves")
        theirs.mistakes.refuse()
    if draft.shrunk:
        theirs.apply_quick()
    for field_path, value in wanted.set.items():
        theirs.override(field_path, value, origin="set.")
    return theirs


def _case_choices(cases: Sequence[Mapping[str, Any]]) -> Axis:
    return [
        [Choice(path, f"cases[{index}].{path}", "", value) for path, value in case.items()]
        for index, case in enumerate(cases)
    ]


def _grid_choices(grid: Mapping[str, Any], taken: Sequence[str], mistakes: Mistakes) -> list[Axis]:
    """The axes that are lists and set different fields."""
    sound: dict[str, list[Any]] = {}
    for axis, values in grid.items():
        overlapping = [other for other in (*taken, *sound) if overlap(axis, other)]
        for other in overlapping:
            mistakes.note("grid", f"{other} and {axis} set the same field")
        if not isinstance(values, list) or not values:
            rule = "must be a list of at least one value"
            mistakes.note(f"grid.{axis}", f"{rule}, got {shown(values)}")
        elif not overlapping:
            sound[axis] = values
    return [
        [[Choice(axis, f"grid.{axis}", f"[{i}]", value)] for i, value in enumerate(values)]
        for axis, values in sound.items()
    ]


def _off_the_ladder(objective: Objective, trial: AbstractTrial) -> str:
    """Why a trial has no such level; empty where it has one, or where only its results can tell."""
    level = objective.level
    if isinstance(level, Numbered) and level.number >= trial.levels:
        return f"must be at most {trial.levels - 1}, the last level, got {level.number}"
    if not isinstance(level, NearDensity) or not isinstance(trial, Finder):
        return ""
    try:
        kept = trial.schedule.kept(MANY)
    except ValueError:
        return ""  # which is a conflict of the trial's own
    densities = [count / MANY for count in kept]
    if nearest(densities, level.density) is not None:
        return ""
    ladder = ", ".join(f"{density:.3g}" for density in densities)
    return f"no level has a density within 10 % of {level.density:g}: the ladder has {ladder}"


def _located(mistake: Mistake, choices: Sequence[Choice]) -> str:
    """The place where a trial's mistake was written: in what sets its path or a part of it, or in
    the trial."""
    setting = [choice for choice in choices if overlap(choice.path, mistake.path)]
    beneath = [choice for choice in setting if len(choice.path) >= len(mistake.path)]
    if beneath and mistake.fault == "extra_forbidden":
        return " and ".join(choice.place for choice in beneath)  # the name, whatever the value
    if setting:
        rest = mistake.path[len(setting[0].path) :]
        return " and ".join(choice.place + choice.item for choice in setting) + rest
    return joined("trial", mistake.path)


def _fits(trial: AbstractTrial, where: Mapping[str, Any]) -> bool:
    """Whether the trial's fields have these values, each one or one of a list.

    A field that the trial does not have is null.
    """
    written = trial.model_dump(mode="json")
    for path, allowed in where.items():
        if _at(written, path) not in (allowed if isinstance(allowed, list) else [allowed]):
            return False
    return True


def _at(written: Any, path: str) -> Any:
    """The value of a dotted field; None where there is no such field."""
    for part in path.split("."):
        if isinstance(written, dict):
            written = written.get(part)
        elif isinstance(written, list) and part.isdecimal() and int(part) < len(written):
            written = written[int(part)]
        else:
            return None
    return written
