"""The base of every spec: a frozen, strict pydantic model whose id is the hash of what it says."""

import hashlib
import json
from functools import cache
from typing import Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict

ID_DIGITS = 16


class RunOnly:
    """Annotation marker of a field that says where or how to run, so it stays out of the id."""


class Spec(BaseModel):
    """What a trial, or a part of one, is: keyword-only, immutable, no unknown keys, no coercion.

    The law of defaults: a field's default means the old behaviour for ever. To change behaviour
    add a field; then every id ever recorded stays valid, because defaults are left out of it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,  # they describe the fields in the JSON schema
    )

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:ID_DIGITS]

    def canonical_json(self) -> str:
        """JSON with sorted keys and without defaults; `kind` is always kept."""
        return json.dumps(canonical(self), sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: object) -> Any:
    """A spec, or a field of one, as canonical JSON has it: without defaults and run-only fields."""
    if isinstance(value, Spec):
        given = ((name, getattr(value, name), default) for name, default in _fields(type(value)))
        return {
            name: canonical(field)
            for name, field, default in given
            if name == "kind" or bool(field != default)
        }
    if isinstance(value, tuple):
        return [canonical(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value  # -0.0 equals 0.0


@cache  # ids are asked for by the thousand, and pydantic copies a default whenever it gives it
def _fields(spec_class: type[Spec]) -> tuple[tuple[str, object], ...]:
    """The fields that may be in the id, with their defaults."""
    return tuple(
        (name, field.get_default(call_default_factory=True, validated_data={}))
        for name, field in spec_class.model_fields.items()
        if not any(isinstance(marker, RunOnly) for marker in field.metadata)
    )


def kind_or_mapping(union: Any, *, default: str | None = None) -> BeforeValidator:
    """A validator that lets `random` stand for `{kind: random}` in a family of specs.

    Where the field that takes the family has a default, a mapping without a kind may mean it too.
    """
    kinds = Literal.__getitem__(tuple(kind_of(member) for member in get_args(union) or (union,)))

    def expanded(value: object) -> object:
        if isinstance(value, str):
            return {"kind": value}
        return {"kind": default} | value if default and isinstance(value, dict) else value

    return BeforeValidator(expanded, json_schema_input_type=kinds | union)


def kind_of(spec_class: type[Spec]) -> str:
    """The literal that a spec class carries in its `kind` field."""
    return str(get_args(spec_class.model_fields["kind"].annotation)[0])
