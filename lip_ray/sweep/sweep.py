"""From YAML to the ordered trials of a sweep, and everything that can be wrong on the way."""

import copy
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, TypeAdapter, ValidationError

from lip_ray import strict_yaml
from lip_ray.errors import UserError
from lip_ray.mistakes import Mistake, explained, shown
from lip_ray.spec import ID_DIGITS, Spec
from lip_ray.sweep.run import Run
from lip_ray.sweep.search import NearDensity, Numbered, Objective, Params, Search, nearest, overlap
from lip_ray.trials import AbstractTrial, Generator, Trajectory, Trial

SWEEP_KEYS = ("name", "trial", "sources", "cases", "grid", "search", "quick", "run")
SOURCE = "source"
"""The field of a trial that a sweep's sources set."""
Finder = Trajectory | Generator
"""Trials that find tickets, and so can be the sources of others."""

MANY = 10**9
"""Weights enough to see what densities a schedule comes to."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
SETTABLE = (
    "what can be set is [trial.]<field>, grid.<field>, search.<field>, run.<field>, cases and "
    "sources.<field>"
)


class SweepError(UserError):
    """All that is wrong with a sweep, at once, found before anything is computed."""

    def __init__(self, source: str, problems: Sequence[Mistake]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {count}\n{lines}")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A named, ordered set of trials and how to run them; or a search, whose points are trials."""

    name: str
    trials: tuple[AbstractTrial, ...]
    """None where it is a search: which ones there will be, only its points say."""
    run: Run
    search: Search | None = None
    search_id: str = ""
    """The first 16 hexadecimal digits of SHA-256 over what the values of a search depend on: the
    trial, what is tried in every point, the space and the objectives. A search goes on under the
    same id with more points, others to start from, or another sampler."""
    _draft: "_Draft | None" = field(default=None, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the ids of its trials, in order; of a
        search, its own id."""
        ids = ",".join(trial.id for trial in self.trials)
        return self.search_id or hashlib.sha256(ids.encode()).hexdigest()[:ID_DIGITS]

    @property
    def store(self) -> str:
        """Where its results go."""
        return self.run.store or f"results/{self.name}"

    @classmethod
    def from_yaml(cls, path: Path, *, overrides: Iterable[str] = (), quick: bool = False) -> Self:
        """The sweep in a file, after its `quick` block if asked and `dotted.path=value` overrides.

        Raises SweepError with every problem found.
        """
        return cls.build(
            _document(path), source=str(path), folder=path.parent, overrides=overrides, quick=quick
        )

    @classmethod
    def build(
        cls,
        document: object,
        *,
        source: str = "sweep",
        folder: Path = Path(),
        overrides: Iterable[str] = (),
        quick: bool = False,
    ) -> Self:
        """The sweep that a mapping like the YAML file's describes; its trial may be a spec.

        The sweep that it names as its sources is looked for from `folder`.

        Raises SweepError with every problem found.
        """
        draft = _Draft.read(document, source, folder)
        if quick:
            draft.apply_quick()
        for override in overrides:
            draft.apply(override)
        search = draft.checked_search()
        trials = () if search else draft.trials()
        run = draft.checked_run()
        draft.refuse_if_wrong()
        if not search:
            return cls(name=draft.name, trials=trials, run=run)
        search_id = draft.search_id(search)
        return cls(
            name=draft.name, trials=(), run=run, search=search, search_id=search_id, _draft=draft
        )

    def typical_trials(self) -> tuple[AbstractTrial, ...]:
        """Its trials; of a search, those of the first point to start from whose values go together,
        or where there is none, of one at an end of the space.
        """
        if self.search is None:
            return self.trials
        points = iter(self.search.bases())
        while True:
            try:
                return self.trials_at(next(points))
            except SweepError:
                continue  # one of them is right, or the search would have been refused

    def trials_at(self, params: Params) -> tuple[AbstractTrial, ...]:
        """The trials of a point of the search: each case with each point of the grid, in order.

        Raises SweepError where the values do not go together.
        """
        if self._draft is None:
            raise ValueError(f"{self.name} is not a search")
        draft = replace(self._draft, problems={})
        trials = draft.trials(draft.point(params))
        draft.refuse_if_wrong()
        return trials


def json_schema() -> dict[str, Any]:
    """The JSON schema of a sweep file, for editors: what it refuses, a sweep refuses too."""
    trial = _nothing_required(TypeAdapter(Trial).json_schema(ref_template="#/$defs/{model}"))
    search = Search.model_json_schema(ref_template="#/$defs/{model}")
    definitions = trial.pop("$defs", {}) | search.pop("$defs")
    axes = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lip-ray sweep",
        "type": "object",
        "required": ["name", "trial"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": NAME_PATTERN},
            "trial": trial,
            "sources": {"anyOf": [{"type": "string"}, _Sources.model_json_schema()]},
            "cases": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "grid": axes,
            "search": search,
            "quick": {"type": "object", "additionalProperties": True},
            "run": Run.model_json_schema(),
        },
        "$defs": definitions,
    }


def json_schema_text() -> str:
    """The JSON schema as it lies beside the shipped sweeps."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _nothing_required(schema: Any) -> Any:
    """The schema without `required`: the grid may give any field instead.

    Without a required kind a mapping may be right for several members of a family.
    """
    if isinstance(schema, dict):
        return {
            "anyOf" if key == "oneOf" else key: _nothing_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list))
        }
    return [_nothing_required(item) for item in schema] if isinstance(schema, list) else schema


def _plain_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise ValueError("must be letters, digits, - and _ only, the first a letter or a digit")
    return name


class _Sources(Spec):
    """The sweep whose trajectories or generators are the sources of a sweep's trials."""

    sweep: str
    """Its file, seen from the folder of this one."""
    set: dict[str, Any] = {}  # noqa: RUF012
    """Dotted fields of its trials, `grid.` or `cases` to override."""
    where: dict[str, Any] = {}  # noqa: RUF012
    """Dotted fields of its trials and the value, or the list of values, that they must have."""


class _OneTrial(Spec):
    """A trial of any kind, as a field, so that what is wrong with its kind is said too."""

    trial: Trial


class _Document(Spec):
    """The outermost keys of a sweep file; what is inside is checked after overrides."""

    name: Annotated[str, AfterValidator(_plain_name)]
    trial: dict[str, Any]
    sources: str | dict[str, Any] | None = None
    cases: list[dict[str, Any]] | None = None
    grid: dict[str, Any] = {}  # noqa: RUF012
    search: dict[str, Any] | None = None
    quick: dict[str, Any] = {}  # noqa: RUF012
    run: dict[str, Any] = {}  # noqa: RUF012


@dataclass(frozen=True)
class _Choice:
    """One value for one field of a trial, and where it was written."""

    path: str
    """Of the field, dotted."""
    place: str
    """What sets the field: `grid.seed`, `cases[2].fit.steps`."""
    item: str
    """Which of its values: `[1]`; empty where it has but one."""
    value: Any


@dataclass
class _Draft:
    """A sweep file while overrides may still change it."""

    source: str
    folder: Path
    name: str = ""
    trial: dict[str, Any] = field(default_factory=dict)
    sources: str | dict[str, Any] | None = None
    cases: list[dict[str, Any]] | None = None
    grid: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] | None = None
    quick: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    known: bool = True
    """Whether the trial and what is tried are there, and so can be checked."""
    shrunk: bool = False
    """Whether the quick block was applied, and so is to be to the sources."""
    axes: list[list[list[_Choice]]] | None = None
    """What is tried in every combination, once it is known."""
    objectives: tuple[Objective, ...] = ()
    """Of a search: what must be found in its trials."""
    problems: dict[Mistake, None] = field(default_factory=dict)
    """In the order found, each once: a grid meets the same fault many times."""

    @classmethod
    def read(cls, document: object, source: str, folder: Path) -> Self:
        """The document's sections; those of the wrong type are left out and noted."""
        if not isinstance(document, Mapping):
            expected = f"a sweep is a mapping with the keys {', '.join(SWEEP_KEYS)}"
            raise SweepError(source, [Mistake("", f"{expected}; got {shown(document)}")])
        plain = _plain(document)
        problems: list[Mistake] = []
        try:
            _Document.model_validate(plain)
        except ValidationError as error:
            problems = explained(error, _Document, plain)
        wrong = {problem.path.partition(".")[0] for problem in problems}
        sound = {key: plain[key] for key in SWEEP_KEYS if key in plain and key not in wrong}
        return cls(
            source=source,
            folder=folder,
            known=wrong.isdisjoint(("trial", "sources", "cases", "grid", "search")),
            problems=dict.fromkeys(problems),
            **sound,
        )

    def apply_quick(self) -> None:
        """Shrink the sweep by its own `quick` block, and that of its sources by theirs."""
        self.shrunk = True
        for path, value in self.quick.items():
            self.override(path, value, origin="quick.")

    def apply(self, override: str) -> None:
        """Set what `dotted.path=value` says, the value in YAML."""
        path, equals, value = override.partition("=")
        if not (path and equals):
            self._refuse("--set", f"must read dotted.path=value, got {override!r}")
            return
        try:
            self.override(path.strip(), strict_yaml.parse(value))
        except strict_yaml.YamlError as error:
            self._refuse(f"--set {path}", str(error))

    def trials(self, point: Sequence[_Choice] = ()) -> tuple[AbstractTrial, ...]:
        """Each source with each case with each point of the grid, the last axis fastest, all at
        one point of a search.

        Problems are noted.
        """
        trials: dict[str, AbstractTrial] = {}
        if not self.known:
            return ()
        for combination in itertools.product(*self._axes()):
            choices = [choice for part in (*combination, point) for choice in part]
            trial = self._trial(choices)
            if trial is None:
                continue
            if trial.id in trials:
                values = {c.path: c.value for c in choices if c.path != SOURCE}
                self._refuse("grid", f"gives the trial {shown(values)} twice")
            trials[trial.id] = trial
        return tuple(trials.values())

    def checked_search(self) -> Search | None:
        """What is searched; problems are noted, those of values that no point can have too."""
        if self.search is None:
            return None
        try:
            search = Search.model_validate(self.search)
        except ValidationError as error:
            for problem in explained(error, Search, self.search):
                self._refuse(_joined("search", problem.path), problem.message)
            self.known = False
            return None
        self.objectives = search.objectives
        found = list(search.conflicts())
        for problem in found:
            self._refuse(_joined("search", problem.path), problem.message)
        if self.known and not found and not self._set_twice(search):
            self._check_values(search)
        return search

    def _set_twice(self, search: Search) -> bool:
        """Whether a searched field is also set by what is tried in every point, which is noted."""
        taken = {
            f"{choice.place.removesuffix(choice.path)}{choice.path}": choice.path
            for axis in self._axes()
            for part in axis
            for choice in part
        }
        both = [
            (path, place) for path in search.space for place in taken if overlap(path, taken[place])
        ]
        for path, place in both:
            self._refuse(
                f"search.space.{path}", f"{place} sets it too: a field is set in one place"
            )
        return bool(both)

    def _check_values(self, search: Search) -> None:
        """Note what is wrong with each end of a range and each item of a list.

        A value is right if it goes with the values of one of the points to start from, or with the
        first, or the last, of every other field: that others do not go with it is for the search
        to find out.
        """
        bases = search.bases()
        sound = [base for base in bases if not self._wrong_at(base)]
        places = {path: f"search.space.{path}" for path in search.space}
        if not sound:
            for problem in self._wrong_at(bases[0]):
                if not any(_within(problem.path, place) for place in places.values()):
                    self.problems[problem] = None
        for path, domain in search.space.items():
            place = places[path]
            for item, value in domain.corners():
                wrong = self._wrong_with(sound or bases, _Choice(path, place, item, value))
                own = [problem for problem in wrong if _within(problem.path, place)]
                self.problems |= dict.fromkeys(own)
                if sound and not own:
                    for problem in wrong:
                        self._refuse(place + item, str(problem))
                if any(problem.fault.endswith("_type") for problem in own):
                    break

    def _wrong_with(self, bases: Sequence[Params], choice: _Choice) -> list[Mistake]:
        """What is wrong with a value in the first of some points; nothing if it goes with one."""
        tried = [self._wrong_at(base, choice) for base in bases]
        return tried[0] if all(tried) else []

    def _wrong_at(self, params: Params, choice: _Choice | None = None) -> list[Mistake]:
        """What is wrong with the trials of a point, one of whose values is a choice of its own."""
        aside = replace(self, problems={})
        others = {path: v for path, v in params.items() if not choice or path != choice.path}
        aside.trials([*self.point(others), *([choice] if choice else [])])
        return list(aside.problems)

    @staticmethod
    def point(params: Params) -> list[_Choice]:
        """The choices that a point of a search makes."""
        return [_Choice(path, f"search.space.{path}", "", value) for path, value in params.items()]

    def search_id(self, search: Search) -> str:
        """The hash of all that the values of a search depend on."""
        axes = [[[(c.path, c.value) for c in part] for part in axis] for axis in self._axes()]
        space = {path: domain.canonical_json() for path, domain in search.space.items()}
        objectives = [objective.canonical_json() for objective in search.objectives]
        whole = json.dumps([self.trial, axes, space, objectives], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:ID_DIGITS]

    def checked_run(self) -> Run:
        """How to run; problems are noted."""
        try:
            return Run.model_validate(self.run)
        except ValidationError as error:
            for problem in explained(error, Run, self.run):
                self._refuse(_joined("run", problem.path), problem.message)
            return Run()

    def refuse_if_wrong(self) -> None:
        """Raise SweepError with all the problems noted, if there are any."""
        if self.problems:
            raise SweepError(self.source, list(self.problems))

    def _refuse(self, path: str, message: str, fault: str = "") -> None:
        self.problems[Mistake(path, message, fault)] = None

    def override(self, path: str, value: object, *, origin: str = "") -> None:
        """Set one value by its dotted path; fields of the trial may leave out `trial.`."""
        section, _, rest = path.partition(".")
        if section == "grid" and rest:
            self.grid[rest] = value
        elif section == "run" and rest:
            self._set(self.run, origin or "run.", rest, value)
        elif section == "search" and rest:
            self._set_search(rest, value, origin)
        elif path == "cases":
            self._set_cases(value, origin)
        elif path == "sources" and isinstance(value, str | dict):
            self.sources = value
        elif section == "sources" and rest:
            whole = self.sources or {}
            self.sources = {"sweep": whole} if isinstance(whole, str) else whole
            self._set(self.sources, origin + "sources.", rest, value)
        elif path in SWEEP_KEYS or section == "quick":
            self._refuse(origin + path, SETTABLE)
        else:
            self._set_trial(rest if section == "trial" else path, value, origin or "trial.")

    def _set_cases(self, value: object, origin: str) -> None:
        if isinstance(value, list) and all(isinstance(case, dict) for case in value):
            self.cases = value
        else:
            self._refuse(origin + "cases", f"must be a list of mappings, got {shown(value)}")

    def _set_search(self, path: str, value: object, origin: str) -> None:
        """Set a field of the search; in its space, a dotted field or what is written of one."""
        label = f"{origin}search."
        if self.search is None:
            self._refuse(label + path, "this sweep has no search")
            return
        section, _, rest = path.partition(".")
        space = self.search.get("space")
        if section != "space" or not rest or not isinstance(space, dict):
            self._set(self.search, label, path, value)
            return
        searched = next((field for field in space if rest.startswith(f"{field}.")), None)
        inside = space.get(searched)
        if searched is None or not isinstance(inside, dict | list):
            space[rest] = value
        else:
            self._set(inside, f"{label}space.{searched}.", rest.removeprefix(f"{searched}."), value)

    def _set_trial(self, path: str, value: object, label: str) -> None:
        for axis in self.grid:
            if axis != path and overlap(axis, path):
                self._refuse(label + path, f"the grid sets {axis}: set grid.{axis} instead")
                return
        for index, case in enumerate(self.cases or ()):
            for set_there in case:
                if overlap(set_there, path):
                    self._refuse(
                        label + path, f"cases[{index}] sets {set_there}: set cases instead"
                    )
                    return
        for searched in (self.search or {}).get("space") or ():
            if overlap(searched, path):
                self._refuse(
                    label + path,
                    f"the search tries {searched}: set search.space.{searched} instead",
                )
                return
        self.grid.pop(path, None)
        self._set(self.trial, label, path, value)

    def _set(
        self, target: dict[str, Any] | list[Any], label: str, path: str, value: object
    ) -> bool:
        """Whether the value could be set; if not, why is noted."""
        try:
            _assign(target, path, value)
        except ValueError as error:
            self._refuse(label + path, str(error))
            return False
        return True

    def _axes(self) -> list[list[list[_Choice]]]:
        """What is tried in every combination: sources, cases, and the grid's sound axes."""
        if self.axes is None:
            axes = [self._source_choices()] if self.sources is not None else []
            if self.cases is not None:
                axes.append(self._case_choices())
            taken = {choice.path for axis in axes for part in axis for choice in part}
            self.axes = axes + self._grid_choices(sorted(taken))
        return self.axes

    def _source_choices(self) -> list[list[_Choice]]:
        """The trajectories and generators of the sweep that is named as sources."""
        written = {"sweep": self.sources} if isinstance(self.sources, str) else self.sources
        try:
            wanted = _Sources.model_validate(written)
        except ValidationError as error:
            for problem in explained(error, _Sources, written or {}):
                self._refuse(_joined("sources", problem.path), problem.message)
            return []
        try:
            trials = self._source_trials(wanted)
        except SweepError as error:
            for problem in error.problems:
                self._refuse(f"sources: {error.source}", str(problem))
            return []
        found = [t for t in trials if isinstance(t, Finder) and _fits(t, wanted.where)]
        if not found:
            wish = f"trajectory or generator where {shown(wanted.where)}"
            self._refuse("sources", f"{wanted.sweep} has no {wish}")
        return [
            [_Choice(SOURCE, "sources", f"[{index}]", trial.model_dump(mode="json"))]
            for index, trial in enumerate(found)
        ]

    def _source_trials(self, wanted: _Sources) -> tuple[AbstractTrial, ...]:
        path = self.folder / wanted.sweep
        draft = _Draft.read(_document(path), str(path), path.parent)
        if draft.sources is not None:
            draft._refuse("sources", "the sources of a sweep cannot have sources themselves")
            draft.refuse_if_wrong()
        if self.shrunk:
            draft.apply_quick()
        for field_path, value in wanted.set.items():
            draft.override(field_path, value, origin="set.")
        trials = draft.trials()
        draft.refuse_if_wrong()
        return trials

    def _case_choices(self) -> list[list[_Choice]]:
        return [
            [_Choice(path, f"cases[{index}].{path}", "", value) for path, value in case.items()]
            for index, case in enumerate(self.cases or ())
        ]

    def _grid_choices(self, taken: Sequence[str]) -> list[list[list[_Choice]]]:
        """The axes that are lists and set fields of their own; what is wrong is noted."""
        sound: dict[str, list[Any]] = {}
        for axis, values in self.grid.items():
            overlapping = [other for other in (*taken, *sound) if overlap(axis, other)]
            for other in overlapping:
                self._refuse("grid", f"{other} and {axis} set the same field")
            if not isinstance(values, list) or not values:
                rule = "must be a list of at least one value"
                self._refuse(f"grid.{axis}", f"{rule}, got {shown(values)}")
            elif not overlapping:
                sound[axis] = values
        return [
            [[_Choice(axis, f"grid.{axis}", f"[{i}]", value)] for i, value in enumerate(values)]
            for axis, values in sound.items()
        ]

    def _trial(self, choices: Sequence[_Choice]) -> AbstractTrial | None:
        """The trial with these choices, if it is one; problems are noted."""
        mapping = copy.deepcopy(self.trial)
        for choice in choices:
            label = choice.place.removesuffix(choice.path)
            if not self._set(mapping, label, choice.path, copy.deepcopy(choice.value)):
                return None
        written = {"trial": mapping}
        try:
            trial = _OneTrial.model_validate(written).trial
        except ValidationError as error:
            for problem in explained(error, _OneTrial, written, in_grid=True):
                inside = replace(problem, path=problem.path.partition(".")[2])
                if not self._would_be_given(inside, choices):
                    self._refuse(_located(inside, choices), inside.message, inside.fault)
            return None
        for path, message in trial.conflicts():
            self._refuse(_located(Mistake(path, message), choices), message)
        for index, objective in enumerate(self.objectives):
            message = _off_the_ladder(objective, trial)
            if message:
                self._refuse(f"search.objectives[{index}].level", message)
        return trial

    def _would_be_given(self, problem: Mistake, choices: Sequence[_Choice]) -> bool:
        """Whether a field is only missing because its axis is wrong, which is noted already."""
        wrong = self.grid.keys() - {choice.path for choice in choices}
        return problem.fault == "missing" and any(overlap(axis, problem.path) for axis in wrong)


def _off_the_ladder(objective: Objective, trial: AbstractTrial) -> str:
    """Why a trial has no such level; empty where it has one, or where only its rows can tell."""
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


def _within(path: str, place: str) -> bool:
    """Whether a path is a place or a part of it."""
    return path.startswith(place) and path[len(place) :][:1] in ("", ".", "[")


def _located(problem: Mistake, choices: Sequence[_Choice]) -> str:
    """Where a trial's problem was written: in what sets its path, or a part of it, or the trial."""
    setting = [choice for choice in choices if overlap(choice.path, problem.path)]
    beneath = [choice for choice in setting if len(choice.path) >= len(problem.path)]
    if beneath and problem.fault == "extra_forbidden":
        return " and ".join(choice.place for choice in beneath)  # the name, whatever the value
    if setting:
        rest = problem.path[len(setting[0].path) :]
        return " and ".join(choice.place + choice.item for choice in setting) + rest
    return _joined("trial", problem.path)


def _fits(trial: AbstractTrial, where: Mapping[str, Any]) -> bool:
    """Whether the trial's fields have these values, each one or one of a list."""
    written = trial.model_dump(mode="json")
    for path, allowed in where.items():
        value: Any = written
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        if value not in (allowed if isinstance(allowed, list) else [allowed]):
            return False
    return True


def _document(path: Path) -> object:
    """What a YAML file says. Raises SweepError where it cannot be read."""
    try:
        return strict_yaml.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SweepError(str(path), [Mistake("", f"cannot be read: {reason}")]) from error
    except strict_yaml.YamlError as error:
        raise SweepError(str(path), [Mistake("", str(error))]) from error


def _joined(section: str, path: str) -> str:
    return f"{section}.{path}" if path else section


def _plain(value: Any) -> Any:
    """A copy in which every spec is the mapping that describes it, every tuple a list."""
    if isinstance(value, Spec):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _assign(target: dict[str, Any] | list[Any], path: str, value: object) -> None:
    """Set a dotted field, making the mappings on the way; numbers index into lists.

    Raises ValueError where there is no such place.
    """
    *parents, last = path.split(".")
    if not all((*parents, last)):
        raise ValueError("a dotted path has no empty parts")
    place: Any = target
    for depth, parent in enumerate(parents):
        key = _key(place, parent)
        place = place[key] if isinstance(place, list) else place.setdefault(key, {})
        if not isinstance(place, dict | list):
            here = ".".join(parents[: depth + 1])
            raise ValueError(f"{here} is {shown(place)}, which has no fields: set {here} itself")
    place[_key(place, last)] = value


def _key(place: object, part: str) -> Any:
    """The part itself, or the index it is where the place is a list."""
    if not isinstance(place, list):
        return part
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    raise ValueError(f"{part!r} is no item of the list there: it has {len(place)}, counted from 0")
