"""Writes what derives from the specs: the pinned defaults, and schema, list and page of what may
stand in sweep files.

    python -m tests.laws.pins

New spec classes and new fields are pinned. A pinned default is never changed: then nothing is
written, and every field at fault is named.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from lip_ray.outputs import write_whole
from lip_ray.spec import Spec, canonical, members
from lip_ray.sweep import json_schema_text
from lip_ray.sweep.catalogue import read_off
from lip_ray.sweeps import REFERENCE, SCHEMA
from lip_ray.trials import Trial

PINNED = Path(__file__).with_name("pinned_defaults.json")
"""Of every spec a trial is made of; a default that is a spec, by how it differs from its own
class's defaults."""
PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"
REQUIRED, GONE = "required", "gone"

Defaults = Mapping[str, Mapping[str, object]]
"""By spec class and field."""


def main() -> None:
    """Write all files, or say which defaults would change and leave with 1."""
    pinned, found = read(), today()
    if refused := list(changed(pinned, found)):
        sys.exit("\n".join(["nothing is pinned: a default means the old behaviour", *refused]))
    write_whole(PINNED, text(found))
    write_whole(SCHEMA, json_schema_text())
    known = read_off()
    write_whole(REFERENCE, known.text)
    write_whole(PAGE, known.page)


def read() -> Defaults:
    """The defaults that are pinned."""
    pinned: Defaults = json.loads(PINNED.read_text(encoding="utf-8"))
    return pinned


def text(found: Defaults) -> str:
    """The defaults as they lie in the file."""
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def today() -> Defaults:
    """The defaults that the specs have."""
    return {spec.__name__: defaults(spec) for spec in every_spec()}


def changed(pinned: Defaults, found: Defaults) -> Iterator[str]:
    """What would not be as it was, one line a field: its name, the old default and the new."""
    for name in pinned:
        old, new = pinned[name], found.get(name, {})
        for field, default in old.items():
            if new.get(field, GONE) != default or field not in new:
                yield f"{name}.{field}: was {_shown(default)}, is {_shown(new.get(field, GONE))}"
        for field in new.keys() - old.keys():
            if new[field] == REQUIRED:
                yield f"{name}.{field}: was not there, is {_shown(REQUIRED)}: give it a default"


def _shown(default: object) -> str:
    return str(default) if default in (REQUIRED, GONE) else json.dumps(default)


def every_spec() -> tuple[type[Spec], ...]:
    """Every spec class that a trial is made of, once."""
    return tuple(dict.fromkeys(spec for trial in members(Trial) for spec in spec_classes(trial)))


def spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    """The spec classes in an annotation and, through their fields, all they are made of."""
    if inspect.isclass(annotation) and issubclass(annotation, Spec):
        yield annotation
        for field in annotation.model_fields.values():
            yield from spec_classes(field.annotation)
    for argument in get_args(annotation):
        yield from spec_classes(argument)


def defaults(spec: type[Spec]) -> dict[str, object]:
    """By field, the default as JSON has it, or that the field is required."""
    found = {}
    for name, field in spec.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        is_spec = isinstance(default, Spec)
        default = canonical(default) if is_spec else default
        default = list(default) if isinstance(default, tuple) else default
        found[name] = REQUIRED if field.is_required() else default
    return found


if __name__ == "__main__":
    main()
