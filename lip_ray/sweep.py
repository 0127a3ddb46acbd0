"""From YAML to the ordered trials of a sweep, and everything that can be wrong on the way."""

import copy
import difflib
import hashlib
import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from lip_ray import yaml
from lip_ray.spec import ID_DIGITS, Spec, kind_of
from lip_ray.trials import Trajectory, Trial

SWEEP_KEYS = ("name", "trial", "grid", "quick", "run")


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


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a dotted path) and what, with what is allowed."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SweepError(ValueError):
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
            document = yaml.parse(path.read_text())
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
            for path, value in draft.quick.items():
                draft.override(path, value)
        for override in overrides:
            draft.override(*_parsed_override(override, source))
        trials, run = draft.trials(), draft.checked_run()
        draft.refuse_if_wrong()
        return cls(name=draft.name, trials=trials, run=run)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a sweep file, for editors."""
    trial = TypeAdapter(Trial).json_schema(ref_template="#/$defs/{model}")
    run = Run.model_json_schema()
    definitions = trial.pop("$defs", {})
    trial.pop("required", None)  # the grid may give a field instead
    override = {"type": "object", "additionalProperties": True}
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
            "quick": override,
            "run": run,
        },
        "$defs": definitions,
    }


NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class _Document(Spec):
    """The outermost keys of a sweep file; the trial and the run are checked after overrides."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    trial: dict[str, Any]
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}  # noqa: RUF012
    quick: dict[str, Any] = {}  # noqa: RUF012
    run: dict[str, Any] = {}  # noqa: RUF012


@dataclass
class _Draft:
    """A sweep file while overrides may still change it."""

    source: str
    name: str
    trial: dict[str, Any]
    grid: dict[str, list[Any]]
    quick: dict[str, Any]
    run: dict[str, Any]
    problems: dict[Problem, None] = field(default_factory=dict)
    """In the order found, each once: a grid meets the same fault many times."""

    @classmethod
    def read(cls, document: object, source: str) -> Self:
        if not isinstance(document, Mapping):
            expected = f"a sweep is a mapping with the keys {', '.join(SWEEP_KEYS)}"
            raise SweepError(source, [Problem("", f"{expected}; got {_shown(document)}")])
        plain = {
            key: value.model_dump(mode="json") if isinstance(value, Spec) else value
            for key, value in document.items()
        }
        try:
            checked = _Document.model_validate(plain)
        except ValidationError as error:
            raise SweepError(source, _explained(error, _Document, plain)) from None
        return cls(source=source, **copy.deepcopy(checked.model_dump()))

    def override(self, path: str, value: object) -> None:
        """Set one value by its dotted path; fields of the trial may leave out `trial.`."""
        section, _, rest = path.partition(".")
        if section == "grid" and rest:
            self._set_axis(rest, value)
        elif section == "run" and rest:
            self._set(self.run, path, rest, value)
        elif path in SWEEP_KEYS or section == "quick":
            self._refuse(path, "what can be set is [trial.]<field>, grid.<field> and run.<field>")
        else:
            self._set_trial(rest if section == "trial" else path, value)

    def trials(self) -> tuple[Trial, ...]:
        """The grid's product, in order, the last axis fastest; problems are noted."""
        self._check_axes()
        trials: dict[str, Trial] = {}
        for values in itertools.product(*self.grid.values()):
            point = dict(zip(self.grid, values, strict=True))
            mapping = self._at(point)
            try:
                trial = Trajectory.model_validate(mapping)
            except ValidationError as error:
                self._note(
                    self._located(problem, point)
                    for problem in _explained(error, Trajectory, mapping)
                )
                continue
            if trial.id in trials:
                self._note([Problem("grid", f"gives the trial {_shown(point)} twice")])
            trials[trial.id] = trial
        if not self.problems:
            self._note(_conflicts(trials.values()))
        return tuple(trials.values())

    def checked_run(self) -> Run:
        """How to run; problems are noted."""
        try:
            return Run.model_validate(self.run)
        except ValidationError as error:
            problems = _explained(error, Run, self.run)
            self._note(Problem(f"run.{p.path}", p.message) for p in problems)
            return Run()

    def refuse_if_wrong(self) -> None:
        """Raise SweepError with all the problems noted, if there are any."""
        if self.problems:
            raise SweepError(self.source, list(self.problems))

    def _note(self, problems: Iterable[Problem]) -> None:
        self.problems |= dict.fromkeys(problems)

    def _set_axis(self, path: str, value: object) -> None:
        if not isinstance(value, list) or not value:
            self._refuse(
                f"grid.{path}", f"must be a list of at least one value, got {_shown(value)}"
            )
        self.grid[path] = value

    def _set_trial(self, path: str, value: object) -> None:
        for axis in self.grid:
            if axis != path and _overlap(axis, path):
                self._refuse(f"trial.{path}", f"the grid sets {axis}: set grid.{axis} instead")
        self.grid.pop(path, None)
        self._set(self.trial, f"trial.{path}", path, value)

    def _set(self, target: dict[str, Any], label: str, path: str, value: object) -> None:
        try:
            _assign(target, path, value)
        except (TypeError, IndexError, ValueError) as error:
            self._refuse(label, str(error))

    def _refuse(self, path: str, message: str) -> NoReturn:
        raise SweepError(self.source, [Problem(path, message)])

    def _check_axes(self) -> None:
        for first, second in itertools.combinations(self.grid, 2):
            if _overlap(first, second):
                self._refuse("grid", f"{first} and {second} set the same field")

    def _at(self, point: Mapping[str, object]) -> dict[str, Any]:
        mapping = copy.deepcopy(self.trial)
        for axis, value in point.items():
            self._set(mapping, f"grid.{axis}", axis, copy.deepcopy(value))
        return mapping

    def _located(self, problem: Problem, point: Mapping[str, object]) -> Problem:
        """The problem under `grid.` where an axis set the value, else under `trial.`."""
        for axis, value in point.items():
            if _overlap(axis, problem.path) and len(axis) <= len(problem.path):
                index = self.grid[axis].index(value)
                return Problem(f"grid.{axis}[{index}]{problem.path[len(axis) :]}", problem.message)
        return Problem(f"trial.{problem.path}", problem.message)


def _conflicts(trials: Iterable[Trial]) -> Iterator[Problem]:
    for trial in trials:
        for name, message in trial.conflicts():
            yield Problem(f"trial.{name}", message)


def _overlap(first: str, second: str) -> bool:
    shorter, longer = sorted((first, second), key=len)
    return longer == shorter or longer.startswith(shorter + ".")


def _assign(target: dict[str, Any], path: str, value: object) -> None:
    """Set a dotted field, making the mappings on the way; numbers index into lists."""
    *parents, last = path.split(".")
    if not all((*parents, last)):
        raise ValueError("a dotted path has no empty parts")
    place: Any = target
    for depth, parent in enumerate(parents):
        place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        if not isinstance(place, dict | list):
            here = ".".join(parents[: depth + 1])
            raise TypeError(f"{here} is {_shown(place)}, which has no fields: set {here} itself")
    place[int(last) if isinstance(place, list) else last] = value


def _parsed_override(text: str, source: str) -> tuple[str, object]:
    path, equals, value = text.partition("=")
    if not (path and equals):
        problem = Problem("--set", f"must read dotted.path=value, got {text!r}")
        raise SweepError(source, [problem])
    try:
        return path.strip(), yaml.parse(value)
    except yaml.YamlError as error:
        raise SweepError(source, [Problem(f"--set {path}", str(error))]) from error


def _explained(
    error: ValidationError, model: type[Spec], mapping: Mapping[str, Any]
) -> list[Problem]:
    """Pydantic's errors in a user's words: path as written, rule, value got, nearest name."""
    details = error.errors()
    return [_problem(e, model, mapping) for e in details if not _follows(e, details)]


def _follows(error: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because one of its items is wrong."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in others
    )


def _problem(error: ErrorDetails, model: type[Spec], mapping: Mapping[str, Any]) -> Problem:
    owner, path = _walk(error["loc"], model, mapping)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path, _unknown("key", error["loc"][-1], list(owner.model_fields)))
    if kind == "missing":
        return Problem(path, "is missing")
    if kind == "union_tag_invalid":
        choices = [name.strip(" '") for name in str(context["expected_tags"]).split(",")]
        return Problem(path, _unknown("kind", context["tag"], choices))
    if kind == "union_tag_not_found":
        return Problem(path, f"must be a mapping with a kind, got {_shown(error['input'])}")
    if kind == "literal_error":
        return Problem(path, _unknown("value", error["input"], _choices(owner, error["loc"][-1])))
    if kind == "value_error":
        message = str(context["error"])
        return Problem(
            path, message if "got " in message else f"{message}, got {_shown(error['input'])}"
        )
    rule = error["msg"].replace("Input should be", "must be")
    return Problem(path, f"{rule[0].lower()}{rule[1:]}, got {_shown(error['input'])}")


def _walk(
    location: tuple[int | str, ...], model: type[Spec], mapping: Any
) -> tuple[type[Spec], str]:
    """The spec class an error is about, and its path without what the user did not write.

    Pydantic puts the kind into the location after each union, and an index where a single item
    stands for a list.
    """
    candidates, path, place = [model], [], mapping
    for part in location[:-1] if location else ():
        tagged = [c for c in candidates if "kind" in c.model_fields and kind_of(c) == part]
        if _implied(part, place):
            continue
        if tagged and len(candidates) > 1:
            candidates = tagged
            continue
        if isinstance(part, str) and candidates and part in candidates[0].model_fields:
            candidates = list(_spec_classes(candidates[0].model_fields[part].annotation))
        path.append(str(part))
        place = _item(place, part)
    last = location[-1] if location else ""
    is_tag = len(candidates) > 1 and any(kind_of(c) == last for c in candidates)
    if not is_tag and not _implied(last, place):
        path.append(str(last))
    return (candidates or [model])[0], ".".join(path)


def _implied(part: int | str, place: object) -> bool:
    """Whether this is the index of a single item that stands for a list."""
    return isinstance(part, int) and place is not None and not isinstance(place, list | tuple)


def _item(place: Any, part: int | str) -> Any:
    try:
        return place[part]
    except (KeyError, IndexError, TypeError):
        return None


def _spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    if inspect.isclass(annotation) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _spec_classes(argument)


def _choices(owner: type[Spec], field: int | str) -> list[object]:
    annotation = (
        owner.model_fields[str(field)].annotation if str(field) in owner.model_fields else None
    )
    return [choice for choice in _literals(annotation) if choice is not None]


def _literals(annotation: Any) -> Iterator[object]:
    for argument in get_args(annotation):
        if isinstance(argument, str | int):
            yield argument
        yield from _literals(argument)


def _unknown(what: str, name: object, allowed: Sequence[object]) -> str:
    names = [str(choice) for choice in allowed]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {_shown(name)}; {hint}allowed: {', '.join(names)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
