"""The JSON schema of sweep files, for editors."""

import json
from typing import Any

from pydantic import TypeAdapter

from lip_ray.sweep.draft import NAME_PATTERN
from lip_ray.sweep.expansion import Sources
from lip_ray.sweep.run import Run
from lip_ray.sweep.search import Search
from lip_ray.trials import Trial


def json_schema() -> dict[str, Any]:
    """The JSON schema of a sweep file, for editors: what it refuses, a sweep refuses too."""
    trial = _nothing_required(TypeAdapter(Trial).json_schema(ref_template="#/$defs/{model}"))
    search = Search.model_json_schema(ref_template="#/$defs/{model}")
    sources, run = (model.model_json_schema() for model in (Sources, Run))
    parts = (trial, search, sources, run)
    definitions = {name: one for part in parts for name, one in part.pop("$defs", {}).items()}
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
            "sources": {"anyOf": [{"type": "string"}, sources]},
            "cases": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "grid": axes,
            "search": search,
            "quick": {"type": "object", "additionalProperties": True},
            "run": run,
        },
        "$defs": definitions,
    }


def json_schema_text() -> str:
    """The text of the JSON schema as stored beside the shipped sweeps."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _nothing_required(schema: Any) -> Any:
    r"""The schema without `required`, as the grid may give any field.

    Without a required kind, a mapping may be right for several members of a family.
    """
    if isinstance(schema, dict):
        return {
            "anyOf" if key == "oneOf" else key: _nothing_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list))
        }
    return [_nothing_required(item) for item in schema] if isinstance(schema, list) else schema
