"""The base of every spec: a frozen, strict pydantic model whose id is a hash of its content."""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)

ID_DIGITS = 16

EPOCH = 2
"""The number of the set of defaults. Defaults were put right once, before the first release; ids of
epoch 1 are of the old ones."""

Steps = Annotated[int, Field(ge=1, le=10**7)]
"""A number of steps of an optimizer; a row of numbers is held for each."""
Level = Annotated[int, Field(ge=0, le=10**4)]
"""A level of a ladder, each of which is a fit."""
Batch = Annotated[int, Field(ge=1, le=2**16)]
"""A number of items that are computed at once."""


def is_unset(value: object) -> bool:
    """Whether a field that came later is unset: then stored specs stay as they were before it."""
    return value is None


class RunOnly:
    """Annotation marker of a field that says where or how to run, and so is not part of the id."""


class AlwaysSaid:
    """Annotation marker of a field whose default depends on other fields of its trial, so that the
    canonical JSON has it even where it equals its class's default."""


class Spec(BaseModel):
    r"""The description of a trial or of a part of one: immutable, without unknown keys or coercion.

    The law of defaults: a field's default means the old behaviour for ever. To change behaviour add
    a field; then every id ever recorded stays valid, because defaults are left out of it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
    )

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:ID_DIGITS]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the spec as pydantic does; the copy has an id of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        return copied

    def canonical_json(self) -> str:
        """JSON with sorted keys and without defaults, but with the epoch of the defaults, each
        `kind`, and the fields whose default depends on others."""
        said = {"epoch": EPOCH} | canonical(self)
        return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(schema)
        fields = handler.resolve_ref_schema(found).get("properties", {})
        for name, text in descriptions(cls).items():
            if name in fields:
                fields[name].setdefault("description", text)
        return found


def descriptions(spec_class: type[Spec]) -> dict[str, str]:
    """The docstrings below a spec's fields, by name; of a field declared anew, only the new one.

    They are read from the source when they are asked for: pydantic's `use_attribute_docstrings`
    reads all of them whenever the package is imported, a third of what its own modules take.
    """
    found: dict[str, str] = {}
    for owner in reversed(spec_class.__mro__):
        if issubclass(owner, Spec) and owner is not Spec:
            declared, said = owner.__annotations__, _docstrings(owner)
            found = {name: text for name, text in found.items() if name not in declared} | said
    return found


@cache
def _docstrings(spec_class: type[Spec]) -> dict[str, str]:
    """The docstrings below the fields that a class itself declares."""
    try:
        source = inspect.getsource(spec_class)
    except (OSError, TypeError):  # it was made where no source is kept
        return {}
    (parsed,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(parsed, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(parsed.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }


def canonical(value: object) -> Any:
    """A spec or a field of one as in canonical JSON: without defaults and run-only fields."""
    if isinstance(value, Spec):
        given = [(name, getattr(value, name), default) for name, default in _fields(type(value))]
        said = {"kind", *_always_said(type(value))}
        return {
            name: canonical(field)
            for name, field, default in given
            if name in said or bool(field != default)
        }
    if isinstance(value, tuple):
        return [canonical(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value  # -0.0 equals 0.0


@cache  # ids are asked for by the thousand, and pydantic copies a default whenever it gives it
def _fields(spec_class: type[Spec]) -> tuple[tuple[str, object], ...]:
    """The fields that may be part of the id, with their defaults."""
    return tuple(
        (name, field.get_default(call_default_factory=True, validated_data={}))
        for name, field in spec_class.model_fields.items()
        if not any(isinstance(marker, RunOnly) for marker in field.metadata)
    )


def stated(spec: Spec) -> dict[str, Any]:
    """A spec as JSON, without what was left for its trial to set by other fields."""
    said = spec.model_dump(mode="json")
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if name in _always_said(type(spec)) and name not in spec.model_fields_set:
            del said[name]
        elif isinstance(value, Spec):
            said[name] = stated(value)
    return said


@cache
def _always_said(spec_class: type[Spec]) -> frozenset[str]:
    """The fields that canonical JSON never leaves out."""
    return frozenset(
        name
        for name, field in spec_class.model_fields.items()
        if any(isinstance(marker, AlwaysSaid) for marker in field.metadata)
    )


@dataclass(frozen=True, kw_only=True)
class Family:
    r"""Annotation marker of a union of specs that `kind` tells apart; each union is written once.

    `random` stands for `{kind: random}`. Where the field that takes the family has a default, a
    mapping without a kind may stand for the kind `default`.
    """

    default: str | None = None
    short: Callable[[object], object] | None = None
    """The family's own short forms, which replace the usual one."""
    offers: Any = None
    """The type of the short forms, for the JSON schema."""

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> Any:
        beside = Literal.__getitem__(kinds_of(union)) if self.offers is None else self.offers
        given = BeforeValidator(self.short or self._mapping, json_schema_input_type=beside | union)
        told_apart = Annotated[union, Field(discriminator="kind"), given]
        return handler.generate_schema(told_apart)

    def _mapping(self, value: object) -> object:
        if isinstance(value, str):
            return {"kind": value}
        if self.default is not None and isinstance(value, dict):
            return {"kind": self.default} | value
        return value


def kinds_of(family: Any) -> tuple[str, ...]:
    """The kinds of a family's members, in the order that they are written in."""
    return tuple(map(kind_of, members(family)))


def members(family: Any) -> Iterator[type[Spec]]:
    """The concrete specs of a family, which may be one class or a union, annotated or not."""
    if inspect.isclass(family) and issubclass(family, Spec):
        yield family
    else:
        for argument in get_args(family):
            yield from members(argument)


def kind_of(spec_class: type[Spec]) -> str:
    """The value of a spec class's `kind` field."""
    return str(get_args(spec_class.model_fields["kind"].annotation)[0])
