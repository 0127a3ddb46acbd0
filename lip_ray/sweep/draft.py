"""A sweep file while its `quick` block and overrides may still change it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ValidationError

from lip_ray import strict_yaml
from lip_ray.mistakes import Mistake, Mistakes, SweepError, explained, shown
from lip_ray.spec import Spec, stated
from lip_ray.sweep.places import Section, assigned
from lip_ray.sweep.run import Run, default_store
from lip_ray.sweep.search import overlap

SWEEP_KEYS = ("name", "trial", "sources", "cases", "grid", "search", "quick", "run")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
SETTABLE = (
    "what can be set is [trial.]<field>, grid.<field>, search.<field>, run.<field>, cases and "
    "sources.<field>"
)


def _plain_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise ValueError("must be letters, digits, - and _ only, the first a letter or a digit")
    return name


class Document(Spec):
    """The outermost keys of a sweep file. Its trials are each source with each case with each point
    of the grid."""

    name: Annotated[str, AfterValidator(_plain_name)]
    """The name of the sweep, of letters, digits, - and _; its results lie in results/NAME."""
    trial: dict[str, Any]
    """What all trials have in common; its `kind` is `trajectory` unless it says another."""
    sources: str | dict[str, Any] | None = None
    """Another sweep file, whose trajectories or generators are the `source` of the trials; or a
    mapping that says which of them."""
    cases: list[dict[str, Any]] | None = None
    """A list of mappings from dotted fields to values: what belongs together, where a grid would
    combine everything."""
    grid: dict[str, Any] = {}  # noqa: RUF012
    """By dotted field of the trial, the list of values to try, all combined with each other."""
    search: dict[str, Any] | None = None
    """A search in place of a grid: Optuna chooses one point after another."""
    quick: dict[str, Any] = {}  # noqa: RUF012
    """By dotted path, what `--quick` sets, so that the sweep takes seconds."""
    run: dict[str, Any] = {}  # noqa: RUF012
    """Where and how trials run; it changes no result."""


@dataclass
class Draft:
    """The sections of a sweep file, and how overrides change them."""

    folder: Path
    """The folder of the file, which paths of other sweeps are relative to."""
    mistakes: Mistakes
    name: str = ""
    trial: dict[str, Any] = field(default_factory=dict)
    sources: str | dict[str, Any] | None = None
    cases: list[dict[str, Any]] | None = None
    grid: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] | None = None
    quick: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    known: bool = True
    """Whether the sections that trials are made of could be read, so that trials can be checked."""
    shrunk: bool = False
    """Whether the `quick` block was applied; then that of the sources is applied too."""

    @classmethod
    def read(cls, document: object, source: str, folder: Path) -> Self:
        """The document's sections. Sections of the wrong type are left out and noted."""
        if not isinstance(document, Mapping):
            expected = f"a sweep is a mapping with the keys {', '.join(SWEEP_KEYS)}"
            raise SweepError(source, [Mistake("", f"{expected}; got {shown(document)}")])
        plain = _plain(document)
        found: list[Mistake] = []
        try:
            Document.model_validate(plain)
        except ValidationError as error:
            found = explained(error, Document, plain)
        wrong = {mistake.path.partition(".")[0] for mistake in found}
        sound = {key: plain[key] for key in SWEEP_KEYS if key in plain and key not in wrong}
        return cls(
            folder=folder,
            mistakes=Mistakes(source, dict.fromkeys(found)),
            known=wrong.isdisjoint(("trial", "sources", "cases", "grid", "search")),
            **sound,
        )

    def apply_quick(self) -> None:
        """Shrink the sweep by its own `quick` block, and its sources by theirs.

        Its results go to a store of their own, so that they are not shown among those of the whole
        sweep; the `quick` block, or a later override, may name another.
        """
        self.shrunk = True
        whole = self.run.get("store") or default_store(self.name)
        if isinstance(whole, str):
            self.run = {**self.run, "store": _quick_store(whole)}
        for path, value in self.quick.items():
            self.override(path, value, origin="quick.")

    def apply(self, override: str) -> None:
        """Set what `dotted.path=value` says, the value in YAML."""
        path, equals, value = override.partition("=")
        if not (path and equals):
            self.mistakes.note("--set", f"must read dotted.path=value, got {override!r}")
            return
        try:
            self.override(path.strip(), strict_yaml.parse(value))
        except strict_yaml.YamlError as error:
            self.mistakes.note(f"--set {path}", str(error))

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
            self._set_source(rest, value, origin)
        elif path in SWEEP_KEYS or section == "quick":
            self.mistakes.note(origin + path, SETTABLE)
        else:
            self._set_trial(rest if section == "trial" else path, value, origin or "trial.")

    def checked_run(self) -> Run:
        """The checked `run` section; mistakes are noted."""
        try:
            return Run.model_validate(self.run)
        except ValidationError as error:
            self.mistakes.note_all("run", explained(error, Run, self.run))
            return Run()

    @property
    def most_trials(self) -> int:
        """What `run` allows; its default where that is wrong, which is noted elsewhere."""
        given = {name: value for name, value in self.run.items() if name == "most_trials"}
        try:
            return Run.model_validate(given).most_trials
        except ValidationError:
            return Run().most_trials

    def _set_source(self, path: str, value: object, origin: str) -> None:
        whole = self.sources or {}
        self.sources = {"sweep": whole} if isinstance(whole, str) else whole
        self._set(self.sources, origin + "sources.", path, value)

    def _set_cases(self, value: object, origin: str) -> None:
        if isinstance(value, list) and all(isinstance(case, dict) for case in value):
            self.cases = value
        else:
            self.mistakes.note(origin + "cases", f"must be a list of mappings, got {shown(value)}")

    def _set_search(self, path: str, value: object, origin: str) -> None:
        """Set a field of the search; below `space.`, a searched field or a part of its domain."""
        label = f"{origin}search."
        if self.search is None:
            self.mistakes.note(label + path, "this sweep has no search")
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
        """Set a field of the trial, unless grid, cases or search set it in every trial."""
        taken = self._set_elsewhere(path)
        if taken:
            self.mistakes.note(label + path, taken)
            return
        self.grid.pop(path, None)
        self._set(self.trial, label, path, value)

    def _set_elsewhere(self, path: str) -> str:
        """The places that set a field of the trial besides the trial itself, and what to override
        instead."""
        for axis in self.grid:
            if axis != path and overlap(axis, path):
                return f"the grid sets {axis}: set grid.{axis} instead"
        for index, case in enumerate(self.cases or ()):
            for set_there in case:
                if overlap(set_there, path):
                    return f"cases[{index}] sets {set_there}: set cases instead"
        for searched in (self.search or {}).get("space") or ():
            if overlap(searched, path):
                return f"the search tries {searched}: set search.space.{searched} instead"
        return ""

    def _set(self, target: Section, label: str, path: str, value: object) -> None:
        assigned(target, label, path, value, mistakes=self.mistakes)


def _quick_store(whole: str) -> str:
    """The store beside that of the whole sweep; a URI keeps what follows its path."""
    path, mark, query = whole.partition("?") if "://" in whole else (whole, "", "")
    return f"{path.rstrip('/')}-quick{mark}{query}"


def _plain(value: Any) -> Any:
    """A copy in which every spec is the mapping that describes it, every tuple a list."""
    if isinstance(value, Spec):
        return stated(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
