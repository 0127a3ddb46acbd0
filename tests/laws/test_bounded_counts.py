"""Every count that a sweep file may set has a largest value: none can make work without end."""

from collections.abc import Iterator
from typing import Any

import pins
import pytest
from pydantic import TypeAdapter

from lip_ray.spec import Spec
from lip_ray.sweep.run import Resources, Run
from lip_ray.sweep.search import Search
from lip_ray.trials import Trial

BOUNDED_TOGETHER = ("rows", "columns", "size", "items", "layers")
"""What a check of its own bounds: by a picture or an array, by their product, by kind of layer."""
SEARCHED = list(pins.spec_classes(Search))


@pytest.mark.parametrize(
    "spec", [*pins.every_spec(), *SEARCHED, Run, Resources], ids=lambda spec: spec.__name__
)
def test_whole_numbers_have_a_largest(spec: type[Spec]) -> None:
    properties: dict[str, Any] = spec.model_json_schema()["properties"]
    unbounded = [
        name
        for name, schema in properties.items()
        if name not in BOUNDED_TOGETHER and any(map(_unbounded, _whole_numbers(schema)))
    ]
    assert unbounded == [], "a count needs `le`"


def test_it_sees_all_there_is() -> None:
    found = TypeAdapter(Trial).json_schema()["$defs"]
    assert {"Fit", "Rate", "Skip", "CompressedSensing"} <= found.keys()
    steps = found["Fit"]["properties"]["steps"]
    assert [_unbounded(one) for one in _whole_numbers(steps)] == [False]
    assert _unbounded({"type": "integer", "minimum": 1})


def _whole_numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """All schemas of whole numbers within one, but not those of other specs."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer":
            yield schema
        for key, value in schema.items():
            if key != "default":
                yield from _whole_numbers(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _whole_numbers(value)


def _unbounded(schema: dict[str, Any]) -> bool:
    return not {"maximum", "exclusiveMaximum", "enum", "const"} & schema.keys()
