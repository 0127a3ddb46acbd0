"""From YAML to the ordered trials of a sweep, and everything that can be wrong on the way."""

import copy
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from lip_ray import yaml
from lip_ray.errors import UserError
from lip_ray.problems import Problem, explained, shown
from lip_ray.spec import ID_DIGITS, Spec
from lip_ray.trials import Trajectory, Trial

SWEEP_KEYS = ("name", "trial", "grid", "quick", "run")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
SETTABLE = "what can be set is [trial.]<field>, grid.<field> and run.<field>"


class Run(Spec):
    """Where and how the trials run. Nothing here changes what they find, so none is in an id."""

    store: str | None = None
    """Folder of the results; `results/<name of the sweep>` by default."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto is CUDA wherever Ray finds a GPU."""
    cpus: Annotated[int, Field(ge=1)] = 1
    """CPU cores, and so threads, of one trial."""
    gpus: Annotated[float, Field(gt=0)] = 1.0
    """GPUs of one trial, where it runs on CUDA; 0.5 lets two trials share one."""
    concurrent: Annotated[int, Field(ge=1)] | None = None
    """Trials at once; by default as many as there are cores or GPUs for."""
    retries: Annotated[int, Field(ge=0)] = 3
    """How often a trial whose process died is started again."""


class SweepError(UserError):
    """All that is wrong with a sweep, at once, found before anything is computed."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {count}\n{lines}")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A named, ordered set of trials and how to run them."""

    name: str
    trials: tuple[Trial, ...]
    run: Run

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the ids of its trials, in order."""
        ids = ",".join(trial.id for trial in self.trials)
        return hashlib.sha256(ids.encode()).hexdigest()[:ID_DIGITS]

    @property
    def store(self) -> str:
        """Where its results go."""
        return self.run.store or f"results/{self.name}"

    @classmethod
    def from_yaml(cls, path: Path, *, overrides: Iterable[str] = (), quick: bool = False) -> Self:
        """The sweep in a file, after its `quick` block if asked and `dotted.path=value` overrides.

        Raises SweepError with every problem found.
        """
        try:
            document = yaml.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SweepError(str(path), [Problem("", f"cannot be read: {reason}")]) from error
        except yaml.YamlError as error:
            raise SweepError(str(path), [Problem("", str(error))]) from error
        return cls.build(document, source=str(path), overrides=overrides, quick=quick)

    @classmethod
    def build(
        cls,
        document: object,
        *,
        source: str = "sweep",
        overrides: Iterable[str] = (),
        quick: bool = False,
    ) -> Self:
        """The sweep that a mapping like the YAML file's describes; its trial may be a spec.

        Raises SweepError with every problem found.
        """
        draft = _Draft.read(document, source)
        if quick:
            draft.apply_quick()
        for override in overrides:
            draft.apply(override)
        trials, run = draft.trials(), draft.checked_run()
        draft.refuse_if_wrong()
        return cls(name=draft.name, trials=trials, run=run)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a sweep file, for editors: what it refuses, a sweep refuses too."""
    trial = _nothing_required(TypeAdapter(Trial).json_schema(ref_template="#/$defs/{model}"))
    definitions = trial.pop("$defs", {})
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
            "grid": axes,
            "quick": {"type": "object", "additionalProperties": True},
            "run": Run.model_json_schema(),
        },
        "$defs": definitions,
    }


def json_schema_text() -> str:
    """The JSON schema as it lies beside the shipped sweeps."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _nothing_required(schema: Any) -> Any:
    """The schema without `required`: the grid may give any field instead."""
    if isinstance(schema, dict):
        return {
            key: _nothing_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list))
        }
    return [_nothing_required(item) for item in schema] if isinstance(schema, list) else schema


def _plain_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise ValueError("must be letters, digits, - and _ only, the first a letter or a digit")
    return name


class _Document(Spec):
    """The outermost keys of a sweep file; what is inside is checked after overrides."""

    name: Annotated[str, AfterValidator(_plain_name)]
    trial: dict[str, Any]
    grid: dict[str, Any] = {}  # noqa: RUF012
    quick: dict[str, Any] = {}  # noqa: RUF012
    run: dict[str, Any] = {}  # noqa: RUF012


@dataclass
class _Draft:
    """A sweep file while overrides may still change it."""

    source: str
    name: str = ""
    trial: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    known: bool = True
    """Whether the trial and the grid are there, and so can be checked."""
    problems: dict[Problem, None] = field(default_factory=dict)
    """In the order found, each once: a grid meets the same fault many times."""

    @classmethod
    def read(cls, document: object, source: str) -> Self:
        """The document's sections; those of the wrong type are left out and noted."""
        if not isinstance(document, Mapping):
            expected = f"a sweep is a mapping with the keys {', '.join(SWEEP_KEYS)}"
            raise SweepError(source, [Problem("", f"{expected}; got {shown(document)}")])
        plain = _plain(document)
        problems: list[Problem] = []
        try:
            _Document.model_validate(plain)
        except ValidationError as error:
            problems = explained(error, _Document, plain)
        wrong = {problem.path.partition(".")[0] for problem in problems}
        sound = {key: plain[key] for key in SWEEP_KEYS if key in plain and key not in wrong}
        return cls(
            source=source,
            known=wrong.isdisjoint(("trial", "grid")),
            problems=dict.fromkeys(problems),
            **sound,
        )

    def apply_quick(self) -> None:
        """Shrink the sweep by its own `quick` block."""
        for path, value in self.quick.items():
            self._override(path, value, origin="quick.")

    def apply(self, override: str) -> None:
        """Set what `dotted.path=value` says, the value in YAML."""
        path, equals, value = override.partition("=")
        if not (path and equals):
            self._refuse("--set", f"must read dotted.path=value, got {override!r}")
            return
        try:
            self._override(path.strip(), yaml.parse(value))
        except yaml.YamlError as error:
            self._refuse(f"--set {path}", str(error))

    def trials(self) -> tuple[Trial, ...]:
        """The grid's product, in order, the last axis fastest; problems are noted."""
        trials: dict[str, Trial] = {}
        if not self.known:
            return ()
        axes = self._sound_axes()
        for indices in itertools.product(*(range(len(self.grid[axis])) for axis in axes)):
            point = dict(zip(axes, indices, strict=True))
            trial = self._trial(point)
            if trial is None:
                continue
            if trial.id in trials:
                values = {axis: self.grid[axis][index] for axis, index in point.items()}
                self._refuse("grid", f"gives the trial {shown(values)} twice")
            trials[trial.id] = trial
        return tuple(trials.values())

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

    def _refuse(self, path: str, message: str) -> None:
        self.problems[Problem(path, message)] = None

    def _override(self, path: str, value: object, *, origin: str = "") -> None:
        """Set one value by its dotted path; fields of the trial may leave out `trial.`."""
        section, _, rest = path.partition(".")
        if section == "grid" and rest:
            self.grid[rest] = value
        elif section == "run" and rest:
            self._set(self.run, origin or "run.", rest, value)
        elif path in SWEEP_KEYS or section == "quick":
            self._refuse(origin + path, SETTABLE)
        else:
            self._set_trial(rest if section == "trial" else path, value, origin or "trial.")

    def _set_trial(self, path: str, value: object, label: str) -> None:
        for axis in self.grid:
            if axis != path and _overlap(axis, path):
                self._refuse(label + path, f"the grid sets {axis}: set grid.{axis} instead")
                return
        self.grid.pop(path, None)
        self._set(self.trial, label, path, value)

    def _set(self, target: dict[str, Any], label: str, path: str, value: object) -> bool:
        """Whether the value could be set; if not, why is noted."""
        try:
            _assign(target, path, value)
        except ValueError as error:
            self._refuse(label + path, str(error))
            return False
        return True

    def _sound_axes(self) -> tuple[str, ...]:
        """The axes that are lists and set fields of their own; what is wrong is noted."""
        axes: list[str] = []
        for axis, values in self.grid.items():
            overlapping = [other for other in axes if _overlap(axis, other)]
            for other in overlapping:
                self._refuse("grid", f"{other} and {axis} set the same field")
            if not isinstance(values, list) or not values:
                rule = "must be a list of at least one value"
                self._refuse(f"grid.{axis}", f"{rule}, got {shown(values)}")
            elif not overlapping:
                axes.append(axis)
        return tuple(axes)

    def _trial(self, point: Mapping[str, int]) -> Trial | None:
        """The trial at one index an axis, if it is one; problems are noted."""
        mapping = copy.deepcopy(self.trial)
        for axis, index in point.items():
            if not self._set(mapping, "grid.", axis, copy.deepcopy(self.grid[axis][index])):
                return None
        try:
            trial = Trajectory.model_validate(mapping)
        except ValidationError as error:
            for problem in explained(error, Trajectory, mapping, in_grid=True):
                if not self._would_be_given(problem):
                    self._refuse(_located(problem, point), problem.message)
            return None
        for path, message in trial.conflicts():
            self._refuse(_located(Problem(path, message), point), message)
        return trial

    def _would_be_given(self, problem: Problem) -> bool:
        """Whether a field is only missing because its axis is wrong, which is noted already."""
        return problem.fault == "missing" and any(
            _overlap(axis, problem.path) for axis in self.grid
        )


def _located(problem: Problem, point: Mapping[str, int]) -> str:
    """Where a trial's problem was written: in the axes at or beneath its path, else the trial."""
    axes = [axis for axis in point if _overlap(axis, problem.path)]
    beneath = [axis for axis in axes if len(axis) >= len(problem.path)]
    if beneath and problem.fault == "extra_forbidden":
        return " and ".join(f"grid.{axis}" for axis in beneath)  # the name, whatever the value
    if axes:
        rest = problem.path[len(axes[0]) :]
        return " and ".join(f"grid.{axis}[{point[axis]}]" for axis in axes) + rest
    return _joined("trial", problem.path)


def _joined(section: str, path: str) -> str:
    return f"{section}.{path}" if path else section


def _overlap(first: str, second: str) -> bool:
    shorter, longer = sorted((first, second), key=len)
    return longer == shorter or longer.startswith(shorter + ".")


def _plain(value: Any) -> Any:
    """A copy in which every spec is the mapping that describes it, every tuple a list."""
    if isinstance(value, Spec):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _assign(target: dict[str, Any], path: str, value: object) -> None:
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
