"""What may stand in a sweep file, field by field.

The specs say it, and need torch; so `lip_ray.sweep.catalogue` writes down what they say, in a file
beside the shipped sweeps, and `lip explain` reads that.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from itertools import chain
from typing import Any

from lip_ray.errors import UserError
from lip_ray.names import called_here, hint
from lip_ray.sweeps import REFERENCE

LONGEST_LINE = 52
"""The most characters in a line of an example that can be broken."""

KEYS = {"space": "fit.learning_rate", "kinds": "transfer"}
"""Fields that map names to specs, each with such a name."""

LISTS = ("objectives",)
IMAGES = ("images", "clean", "measurement")
"""Fields in which a word stands for a photo and not for a kind."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: what it may be, what it is by default, and what it means."""

    name: str
    type: str
    default: str
    """What it is where it is left out; empty for a field that is needed."""
    meaning: str
    specs: tuple[str, ...] = ()
    """The names of the specs that may stand there."""
    shown: bool = True
    """Whether anybody writes it: some are filled in, and a kind is shown as such."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """All that is written down of one spec."""

    name: str
    kind: str
    """The value of its field `kind`; empty where it has none."""
    about: str
    every_field: tuple[Field, ...]
    sample: Mapping[str, object]
    """A mapping that stands for the spec: its kind, and what has no default."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its fields that are shown."""
        return tuple(own for own in self.every_field if own.shown)

    def field_named(self, name: str) -> Field | None:
        """Its field of that name, if it has one."""
        return next((own for own in self.every_field if own.name == name), None)


Sheets = tuple[Sheet, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One spec: what it is, its fields, and how it is written."""

    path: str
    """Its place in a sweep file, with the kind of a family as the last part."""
    about: str
    fields: tuple[Field, ...]
    example: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a sweep file, and the specs or the plain field that may stand there."""

    path: str
    specs: Sheets = ()
    plain: Field | None = field(default=None)
    meaning: str = ""
    """What the field means whose values the specs are; empty where there are several such fields,
    or none."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Everything that may stand in a sweep file."""

    document: Sheet
    """The outermost keys."""
    sections: Mapping[str, tuple[str, ...]]
    """By key of a sweep file that specs describe, their names; the first is that of trials."""
    sheets: Mapping[str, Sheet]
    """All specs, by name."""

    @staticmethod
    def parse(text: str) -> "Reference":
        """The reference that `text` wrote."""
        said = json.loads(text)
        return Reference(
            document=_sheet(said["document"]),
            sections={name: tuple(specs) for name, specs in said["sections"].items()},
            sheets={one["name"]: _sheet(one) for one in said["sheets"]},
        )

    @property
    def text(self) -> str:
        """All of it as JSON, as it lies in the file."""
        said = {
            "document": asdict(self.document),
            "sections": self.sections,
            "sheets": [asdict(sheet) for sheet in self.sheets.values()],
        }
        return json.dumps(said, indent=1, ensure_ascii=False) + "\n"

    def entries(self, place: Place) -> tuple[Entry, ...]:
        """The specs that may stand at a place, each by itself."""
        return tuple(self._entry(place.path, spec, len(place.specs) > 1) for spec in place.specs)

    def place(self, path: str) -> Place:
        """What may stand at a dotted path, in which kinds may be named: `task.inpainting`,
        `run.gpus`.

        Fields of trials may leave out `trial`. Raises UserError, with the nearest names, for a path
        that leads nowhere.
        """
        first, *rest = path.split(".")
        if first in self.sections:
            found = Place(path=first, specs=self._section(first))
        else:
            plain = self.document.field_named(first)
            if plain is not None and not rest:
                return Place(path=first, plain=plain)
            found, rest = Place(path="", specs=self._section("trial")), path.split(".")
        for part in rest:
            found = self._inside(found, part, path)
        return found

    def places(self) -> Iterator[Place]:
        """Every place of a sweep file that has specs which stand at none before it, section by
        section."""
        seen: set[Sheet] = set()
        for name in self.sections:
            waiting = [Place(path="" if name == "trial" else name, specs=self._section(name))]
            while waiting:
                here = waiting.pop(0)
                new = tuple(spec for spec in here.specs if spec not in seen)
                seen.update(new)
                if new:
                    yield Place(path=here.path, specs=new)
                waiting += self._below(here.path, new) if here.path else self._below_trials(new)

    @property
    def page(self) -> str:
        """All of it as Markdown."""
        return "\n".join(self._page()) + "\n"

    def _section(self, name: str) -> Sheets:
        return tuple(self.sheets[spec] for spec in self.sections[name])

    def _specs_of(self, name: str, owners: Sheets) -> Sheets:
        """The specs that a field of some others may be."""
        found = (own.specs for owner in owners if (own := owner.field_named(name)))
        return tuple(self.sheets[spec] for spec in dict.fromkeys(chain.from_iterable(found)))

    def _below(self, path: str, specs: Sheets) -> list[Place]:
        """The places of the fields of some specs that are specs themselves."""
        names = dict.fromkeys(own.name for spec in specs for own in spec.every_field)
        found = [(name, self._specs_of(name, specs)) for name in names]
        return [
            Place(path=_joined(_owner(path, name, specs), name), specs=inside)
            for name, inside in found
            if inside
        ]

    def _below_trials(self, trials: Sheets) -> list[Place]:
        """The places of the fields of trials, those of all but the usual kind named with their
        kind."""
        usual, *others = trials
        named = [self._below(trial.kind, (trial,)) for trial in others]
        return [*self._below("", (usual,)), *chain.from_iterable(named)]

    def _inside(self, found: Place, part: str, whole: str) -> Place:
        """The place that one more part of a path leads to."""
        kinds = list(dict.fromkeys(one.kind for one in found.specs if one.kind))
        fields = list(dict.fromkeys(own.name for one in found.specs for own in one.every_field))
        kind = part if part in kinds else None
        if part not in (*kinds, *fields):
            kind = called_here(part, kinds)
        if kind is not None and len(kinds) > 1:
            same = tuple(spec for spec in found.specs if spec.kind == kind)
            return Place(path=_joined(found.path, kind), specs=same)
        name = part if part in fields else called_here(part, fields)
        if name is None:
            allowed = [*kinds, *fields] if len(kinds) > 1 else fields
            raise UserError(self._unknown(part, whole, allowed))
        path, specs = _joined(found.path, name), self._specs_of(name, found.specs)
        plain, *others = (own for one in found.specs if (own := one.field_named(name)))
        if not specs:
            return Place(path=path, plain=plain)
        return Place(path=path, specs=specs, meaning="" if others else plain.meaning)

    def _unknown(self, part: str, whole: str, allowed: Sequence[str]) -> str:
        """What is said of a part of a path that leads nowhere."""
        elsewhere = [path for path in self._paths if called_here(part, [path.rpartition(".")[2]])]
        near = f"did you mean {' or '.join(elsewhere[:4])}? " if elsewhere else hint(part, allowed)
        if not allowed:
            return f"{whole}: {part!r} has nothing to lead to; {near}".rstrip("; ")
        return f"{whole}: nothing is called {part!r} there; {near}there are: {', '.join(allowed)}"

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        """The paths of all fields, each at its first place."""
        return tuple(
            _joined(entry.path, own.name)
            for found in self.places()
            for entry in self.entries(found)
            for own in entry.fields
        )

    def _entry(self, path: str, spec: Sheet, one_of_several: bool) -> Entry:
        kind = spec.kind if one_of_several else ""
        own = path if not kind or path.rpartition(".")[2] == kind else _joined(path, kind)
        return Entry(
            path=own, about=spec.about, fields=spec.fields, example=self._example(path, spec)
        )

    def _example(self, path: str, spec: Sheet) -> str:
        """How a spec is written at its place in a sweep file."""
        first, *rest = path.split(".") if path else ["trial"]
        mapping: dict[str, object] = {}
        inner = mapping
        if first in self.sections:
            specs = self._section(first)
            mapping[first] = inner = {}
        else:
            specs, rest = self._section("trial"), [first, *rest]
        for part in rest:
            kinds = [one.kind for one in specs if one.kind]
            if part in kinds and len(kinds) > 1:
                inner["kind"] = part
                specs = tuple(one for one in specs if one.kind == part)
            else:
                below: dict[str, object] = {}
                inner[part] = placed(part, below)
                inner, specs = below, self._specs_of(part, specs)
        inner |= spec.sample
        other_trial = "kind" in mapping
        return "\n".join(_block(_short({"trial": mapping} if other_trial else mapping)))

    def _page(self) -> Iterator[str]:
        yield from ("# Sweep files", "", self.document.about, "")
        yield from _table(self.document.fields)
        for found in self.places():
            yield from ("", f"## {_title(found)}")
            for entry in self.entries(found):
                if entry.path != found.path:
                    yield from ("", f"### {entry.path}")
                yield from ("", entry.about, "", "```yaml", entry.example, "```")
                if entry.fields:
                    yield ""
                    yield from _table(entry.fields)


@cache
def shipped() -> Reference:
    """The reference of this version, which needs no spec to be imported."""
    return Reference.parse(REFERENCE.read_text(encoding="utf-8"))


def placed(name: str, value: object) -> object:
    """A spec as the value of a field that takes several, or one by a name."""
    if name in KEYS:
        return {KEYS[name]: value}
    return [value] if name in LISTS else value


def flow(value: object) -> str:
    """A plain value in YAML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sheet(said: dict[str, Any]) -> Sheet:
    fields = (Field(**own | {"specs": tuple(own["specs"])}) for own in said["every_field"])
    return Sheet(**said | {"every_field": tuple(fields)})


def _owner(path: str, name: str, specs: Sheets) -> str:
    """A path of several kinds, with the kind where only one of them has the field."""
    owners = [spec for spec in specs if spec.field_named(name)]
    return path if len(specs) == 1 or len(owners) > 1 else _joined(path, owners[0].kind)


def _short(value: Any, name: str = "") -> Any:
    """An example in which a kind alone stands for a mapping with nothing else."""
    if isinstance(value, list):
        return [_short(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["kind"] and name not in (*IMAGES, "trial"):
        return value["kind"]
    return {key: _short(inside, key) for key, inside in value.items()}


def _block(value: object, indent: str = "") -> Iterator[str]:
    """A mapping in YAML, on as few lines as are not long."""
    assert isinstance(value, dict)
    for key, inside in value.items():
        line = f"{indent}{key}: {flow(inside)}"
        if len(line) > LONGEST_LINE and isinstance(inside, dict):
            yield f"{indent}{key}:"
            yield from _block(inside, f"{indent}  ")
        else:
            yield line


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _title(found: Place) -> str:
    return f"`{found.path}`" if found.path else "Kinds of trials"


def _table(fields: Sequence[Field]) -> Iterator[str]:
    yield from ("| field | type | default | meaning |", "|---|---|---|---|")
    for own in fields:
        cells = (f"`{own.name}`", own.type, own.default or "*needed*", own.meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
