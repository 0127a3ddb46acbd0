"""What may stand in a sweep file, field by field, read off the specs themselves."""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, get_args

from pydantic.fields import FieldInfo

from lip_ray.errors import UserError
from lip_ray.names import called_here, hint
from lip_ray.spec import Spec, canonical, descriptions, kind_of, members
from lip_ray.sweep.draft import Document
from lip_ray.sweep.expansion import Sources
from lip_ray.sweep.run import Run
from lip_ray.sweep.search import Search
from lip_ray.trials import Trial

Specs = tuple[type[Spec], ...]

SECTIONS: dict[str, Specs] = {
    "trial": tuple(members(Trial)),
    "sources": (Sources,),
    "search": (Search,),
    "run": (Run,),
}
"""The keys of a sweep file that specs describe."""

UNITS = {"db": "dB", "s": "seconds", "gb": "10⁹ bytes", "mm": "millimetres"}
"""The unit that the last part of a field's name stands for."""

WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
"""Types in a user's words, by their name in JSON schemas."""

BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
}

SAMPLES: dict[str, object] = {
    "array": "images",
    "columns": [0, 8],
    "densities": [1, 0.5, 0.25],
    "images": "astronaut",
    "high": 8,
    "layers": [["linear", 20, 64], ["view", 1, 8, 8]],
    "low": 1,
    "name": "astronaut",
    "rows": [0, 8],
    "schedule": [1, 0.5, 0.25],
    "share": 0.02,
    "sweep": "noise.yaml",
    "values": [0.001, 0.01],
    "trajectories": [
        {"images": "astronaut", "task": {"kind": "denoising", "sigma": 25}},
        {"images": "coffee", "task": {"kind": "denoising", "sigma": 25}},
    ],
}
"""What stands in examples for a field that has no default, where its type alone does not tell."""

NEEDED: dict[str, dict[str, object]] = {
    "denoising": {"sigma": 25},
    "poisson": {"peak": 30},
    "salt_and_pepper": {"share": 0.1},
    "generator": {
        "prior": {"kind": "dcgan", "size": 8, "channels": 1},
        "images": "digits",
        "fit": {"steps": 1000},
    },
}
"""By kind, what stands in examples beside what has no default, since it belongs to that."""

LONGEST_LINE = 52
"""The most characters in a line of an example that can be broken."""

KEYS = {"space": "fit.learning_rate", "kinds": "transfer"}
"""Fields that map names to specs, each with such a name."""

LISTS = ("objectives",)
IMAGES = ("images", "clean", "measurement")
"""Fields in which a word stands for a photo and not for a kind."""

HIDDEN = ("sha256",)
"""Fields that are filled in and that nobody writes."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: what it may be, what it is by default, and what it means."""

    name: str
    type: str
    default: str
    """What it is where it is left out; empty for a field that is needed."""
    meaning: str


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
    specs: Specs = ()
    plain: Field | None = field(default=None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The specs that may stand there, each by itself."""
        return tuple(_entry(self.path, spec, len(self.specs) > 1) for spec in self.specs)


def document() -> Entry:
    """The outermost keys of a sweep file."""
    about = _sentences(inspect.getdoc(Document) or "")
    return Entry(path="", about=about, fields=_fields(Document))


def place(path: str) -> Place:
    """What may stand at a dotted path, in which kinds may be named: `task.inpainting`, `run.gpus`.

    Fields of trials may leave out `trial`. Raises UserError, with the nearest names, for a path
    that leads nowhere.
    """
    first, *rest = path.split(".")
    if first in SECTIONS:
        found = Place(path=first, specs=SECTIONS[first])
    else:
        keys = {own.name: own for own in _fields(Document)}
        if first in keys and not rest:
            return Place(path=first, plain=keys[first])
        found, rest = Place(path="", specs=SECTIONS["trial"]), path.split(".")
    for part in rest:
        found = _inside(found, part, path)
    return found


def places() -> Iterator[Place]:
    """Every place of a sweep file that has specs which stand at none before it, section by
    section."""
    seen: set[type[Spec]] = set()
    for name, specs in SECTIONS.items():
        waiting = [Place(path="" if name == "trial" else name, specs=specs)]
        while waiting:
            here = waiting.pop(0)
            new = tuple(spec for spec in here.specs if spec not in seen)
            seen.update(new)
            if new:
                yield Place(path=here.path, specs=new)
            waiting += _below(here.path, new) if here.path else _below_trials(new)


def _below(path: str, specs: Specs) -> list[Place]:
    """The places of the fields of some specs that are specs themselves."""
    names = dict.fromkeys(name for spec in specs for name in spec.model_fields)
    found = [(name, _specs_of(name, specs)) for name in names]
    return [
        Place(path=_joined(_owner(path, name, specs), name), specs=inside)
        for name, inside in found
        if inside
    ]


def _owner(path: str, name: str, specs: Specs) -> str:
    """A path of several kinds, with the kind where only one of them has the field."""
    owners = [spec for spec in specs if name in spec.model_fields]
    if len(specs) == 1 or len(owners) > 1:
        return path
    return _joined(path, kind_of(owners[0]))


def _below_trials(trials: Specs) -> list[Place]:
    """The places of the fields of trials, those of all but the usual kind named with their kind."""
    usual, *others = trials
    named = [_below(kind_of(trial), (trial,)) for trial in others]
    return [*_below("", (usual,)), *chain.from_iterable(named)]


def _inside(found: Place, part: str, whole: str) -> Place:
    """The place that one more part of a path leads to."""
    kinds = list(dict.fromkeys(kind_of(one) for one in found.specs if "kind" in one.model_fields))
    fields = list(dict.fromkeys(name for spec in found.specs for name in spec.model_fields))
    kind = part if part in kinds else None
    if part not in (*kinds, *fields):
        kind = called_here(part, kinds)
    if kind is not None and len(kinds) > 1:
        own = tuple(spec for spec in found.specs if kind_of(spec) == kind)
        return Place(path=_joined(found.path, kind), specs=own)
    name = part if part in fields else called_here(part, fields)
    if name is None:
        raise UserError(_unknown(part, whole, [*kinds, *fields] if len(kinds) > 1 else fields))
    path, specs = _joined(found.path, name), _specs_of(name, found.specs)
    if specs:
        return Place(path=path, specs=specs)
    owner = next(spec for spec in found.specs if name in spec.model_fields)
    return Place(path=path, plain=_field(owner, name))


def _unknown(part: str, whole: str, allowed: Sequence[str]) -> str:
    """What is said of a part of a path that leads nowhere."""
    elsewhere = [path for path in _paths() if called_here(part, [path.rpartition(".")[2]])]
    near = f"did you mean {' or '.join(elsewhere[:4])}? " if elsewhere else hint(part, allowed)
    if not allowed:
        return f"{whole}: {part!r} has nothing to lead to; {near}".rstrip("; ")
    return f"{whole}: nothing is called {part!r} there; {near}there are: {', '.join(allowed)}"


@cache
def _paths() -> tuple[str, ...]:
    """The paths of all fields, each at its first place."""
    return tuple(
        _joined(entry.path, own.name)
        for found in places()
        for entry in found.entries
        for own in entry.fields
    )


def _specs_of(name: str, owners: Specs) -> Specs:
    """The specs that a field of some others may be."""
    found = (owner.model_fields[name] for owner in owners if name in owner.model_fields)
    each = (_spec_classes(own.annotation) for own in found)
    return tuple(dict.fromkeys(chain.from_iterable(each)))


def _spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    if inspect.isclass(annotation) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _spec_classes(argument)


def _entry(path: str, spec: type[Spec], one_of_several: bool) -> Entry:
    kind = kind_of(spec) if "kind" in spec.model_fields and one_of_several else ""
    own = path if not kind or path.rpartition(".")[2] == kind else _joined(path, kind)
    return Entry(
        path=own,
        about=_sentences(inspect.getdoc(spec) or ""),
        fields=_fields(spec),
        example=_example(path, spec),
    )


def _fields(spec: type[Spec]) -> tuple[Field, ...]:
    names = (name for name in spec.model_fields if name not in ("kind", *HIDDEN))
    return tuple(_field(spec, name) for name in names)


def _field(spec: type[Spec], name: str) -> Field:
    info = spec.model_fields[name]
    inside = tuple(dict.fromkeys(_spec_classes(info.annotation)))
    return Field(
        name=name,
        type=_type(spec, name, inside),
        default=_default(info),
        meaning=_sentences(_described(spec, name)) or _meaning(inside),
    )


def _described(spec: type[Spec], name: str) -> str:
    """What a spec, or else one that it is derived from, says of a field."""
    each = (descriptions(own) for own in spec.__mro__ if issubclass(own, Spec))
    return next((said[name] for said in each if said.get(name)), "")


def _meaning(inside: Specs) -> str:
    """What a field means whose only description is that of the spec that stands there."""
    if len(inside) != 1:
        return ""
    return re.split(r"(?<=\.)\s", _sentences(inspect.getdoc(inside[0]) or ""))[0]


def _type(spec: type[Spec], name: str, inside: Specs) -> str:
    kinds = [kind_of(one) for one in inside if "kind" in one.model_fields]
    if kinds:
        return f"kind: {', '.join(kinds)}"
    if inside:
        return "mapping"
    words = _words(_schema(spec)["properties"][name])
    unit = UNITS.get(name.rpartition("_")[2]) if "_" in name else None
    return words.replace("number", f"number in {unit}", 1) if unit else words


@cache
def _schema(spec: type[Spec]) -> dict[str, Any]:
    return spec.model_json_schema(mode="validation")


def _words(schema: dict[str, Any]) -> str:
    """A type in words, with its bounds."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(one) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(map(flow, schema.get("enum", [schema.get("const")])))
    kind = WORDS.get(schema.get("type", ""), "any value")
    if kind == "list" and isinstance(schema.get("items"), dict):
        kind = f"list of {_words(schema['items'])}"
    bounds = [said.format(flow(schema[key])) for key, said in BOUNDS.items() if key in schema]
    return ", ".join([kind, *bounds])


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return ""
    value = info.get_default(call_default_factory=True, validated_data={})
    if not isinstance(value, Spec):
        return flow(list(value) if isinstance(value, tuple) else value)
    said = canonical(value)
    kind = said.pop("kind", None)
    if not said:
        return str(kind or "its defaults")
    return flow({"kind": kind} | said if kind else said)


def _example(path: str, spec: type[Spec]) -> str:
    """How a spec is written at its place in a sweep file."""
    first, *rest = path.split(".") if path else ["trial"]
    specs = SECTIONS.get(first)
    mapping: dict[str, object] = {}
    inner = mapping
    if specs is None:
        specs, rest = SECTIONS["trial"], [first, *rest]
    else:
        mapping[first] = inner = {}
    for part in rest:
        kinds = [kind_of(one) for one in specs if "kind" in one.model_fields]
        if part in kinds and len(kinds) > 1:
            inner["kind"] = part
            specs = tuple(one for one in specs if kind_of(one) == part)
        else:
            below: dict[str, object] = {}
            inner[part] = _placed(part, below)
            inner, specs = below, _specs_of(part, specs)
    inner |= _sample_of(spec)
    other_trial = specs is not None and "kind" in mapping
    return "\n".join(_block(_short({"trial": mapping} if other_trial else mapping)))


def _placed(name: str, value: object) -> object:
    """A spec as the value of a field that takes several, or one by a name."""
    if name in KEYS:
        return {KEYS[name]: value}
    return [value] if name in LISTS else value


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


def _sample_of(spec: type[Spec]) -> dict[str, object]:
    """A mapping that stands for a spec: its kind, and what has no default."""
    own: dict[str, object] = {"kind": kind_of(spec)} if "kind" in spec.model_fields else {}
    own |= NEEDED.get(str(own.get("kind")), {})
    for name, info in spec.model_fields.items():
        if info.is_required() and name not in (*own, *HIDDEN):
            own[name] = _sample(spec, name, info)
    if own:
        return own
    first = next(iter(spec.model_fields))
    return {first: _plain_default(spec.model_fields[first])}


def _plain_default(info: FieldInfo) -> object:
    value = info.get_default(call_default_factory=True, validated_data={})
    return canonical(value) if isinstance(value, Spec) else value


def _sample(spec: type[Spec], name: str, info: FieldInfo) -> object:
    inside = next(_spec_classes(info.annotation), None)
    if name in SAMPLES:
        return SAMPLES[name]
    if inside is not None:
        return _placed(name, _sample_of(inside))
    schema = _schema(spec)["properties"][name]
    schema = next(iter(schema.get("anyOf", [schema])))
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "integer":
        return max(2, int(schema.get("minimum", 0)))
    if schema.get("type") == "number":
        return 0.5 if schema.get("maximum", schema.get("exclusiveMaximum", 2)) <= 1 else 25
    return name.upper()


def flow(value: object) -> str:
    """A plain value in YAML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentences(text: str) -> str:
    """A docstring as one paragraph."""
    return " ".join(text.split())


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def as_markdown() -> str:
    """Everything that may stand in a sweep file, as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    top = document()
    yield from ("# Sweep files", "", top.about, "")
    yield from _table(top)
    for found in places():
        yield from ("", f"## {_title(found)}")
        for entry in found.entries:
            if entry.path != found.path:
                yield from ("", f"### {entry.path}")
            yield from ("", entry.about, "", "```yaml", entry.example, "```")
            if entry.fields:
                yield ""
                yield from _table(entry)


def _title(found: Place) -> str:
    return f"`{found.path}`" if found.path else "Kinds of trials"


def _table(entry: Entry) -> Iterator[str]:
    yield from ("| field | type | default | meaning |", "|---|---|---|---|")
    for own in entry.fields:
        cells = (f"`{own.name}`", own.type, own.default or "*needed*", own.meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
