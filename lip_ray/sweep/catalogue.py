"""What the specs say of a sweep file, written down for `lip_ray.reference`."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any, get_args

from pydantic.fields import FieldInfo

from lip_ray.reference import Field, Reference, Sheet, flow, placed
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

HIDDEN = ("sha256",)
"""Fields that are filled in and that nobody writes."""


def read_off() -> Reference:
    """What the specs say today."""
    found = dict.fromkeys(chain.from_iterable(map(_all_below, chain(*SECTIONS.values()))))
    sheets = [_sheet(spec) for spec in found]
    assert len({sheet.name for sheet in sheets}) == len(sheets), "two specs of one name"
    return Reference(
        document=_sheet(Document),
        sections={name: tuple(one.__name__ for one in specs) for name, specs in SECTIONS.items()},
        sheets={sheet.name: sheet for sheet in sheets},
    )


@cache
def _all_below(spec: type[Spec]) -> Specs:
    """A spec, and all that its fields are made of."""
    fields = spec.model_fields.values()
    inside = chain.from_iterable(_spec_classes(own.annotation) for own in fields)
    return (spec, *chain.from_iterable(map(_all_below, inside)))


def _sheet(spec: type[Spec]) -> Sheet:
    return Sheet(
        name=spec.__name__,
        kind=kind_of(spec) if "kind" in spec.model_fields else "",
        about=_sentences(inspect.getdoc(spec) or ""),
        every_field=tuple(_field(spec, name) for name in spec.model_fields),
        sample=_sample_of(spec),
    )


def _spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    if inspect.isclass(annotation) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _spec_classes(argument)


def _field(spec: type[Spec], name: str) -> Field:
    info = spec.model_fields[name]
    inside = tuple(dict.fromkeys(_spec_classes(info.annotation)))
    return Field(
        name=name,
        type=_type(spec, name, inside),
        default=_default(info),
        meaning=_sentences(_described(spec, name)) or _meaning(inside),
        specs=tuple(one.__name__ for one in inside),
        shown=name not in ("kind", *HIDDEN),
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
        return placed(name, _sample_of(inside))
    schema = _schema(spec)["properties"][name]
    schema = next(iter(schema.get("anyOf", [schema])))
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "integer":
        return max(2, int(schema.get("minimum", 0)))
    if schema.get("type") == "number":
        return 0.5 if schema.get("maximum", schema.get("exclusiveMaximum", 2)) <= 1 else 25
    return name.upper()


def _sentences(text: str) -> str:
    """A docstring as one paragraph."""
    return " ".join(text.split())
