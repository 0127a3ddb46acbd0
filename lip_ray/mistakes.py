"""Mistakes in a spec, in a user's words instead of the validator's."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lip_ray import strict_yaml
from lip_ray.errors import UserError, one_line
from lip_ray.names import called_here, hint
from lip_ray.spec import Spec, kind_of

LONGEST_SHOWN = 80

Location = tuple[int | str, ...]
"""Pydantic's path to a value: names, indices, and the kind after each union."""

RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "none_required": "must be left out",
    "string_type": "must be text",
    "too_long": "must be a list of at most {max_length}",
    "too_short": "must be a list of at least {min_length}",
    "tuple_type": "must be a list",
}
"""What must hold, in a user's words, by pydantic's type of error."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: where (a dotted path) and what, with what is allowed."""

    path: str
    message: str
    fault: str = field(default="", compare=False, repr=False)
    """The validator's type of error."""
    given: object = field(default=None, compare=False, repr=False)
    """The value that was found there."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SweepError(UserError):
    """All mistakes of a sweep or of claims at once, found before anything is computed."""

    many_lines = True

    def __init__(self, source: str, problems: Sequence[Mistake]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{one_line(source)}: {count}\n{lines}")


def document(path: Path) -> Any:
    """The content of a YAML file. Raises SweepError where it cannot be read."""
    try:
        return strict_yaml.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SweepError(str(path), [Mistake("", f"cannot be read: {reason}")]) from error
    except strict_yaml.YamlError as error:
        raise SweepError(str(path), [Mistake("", str(error))]) from error


@dataclass(frozen=True)
class Mistakes:
    r"""The mistakes of one sweep found so far, in order, each once.

    The same mistake is met at many points of a grid.
    """

    source: str
    """Where the sweep was read from, for the message."""
    found: dict[Mistake, None] = field(default_factory=dict)

    def note(self, path: str, message: str, fault: str = "") -> None:
        """Add a mistake, unless it has been added before."""
        self.found[Mistake(path, message, fault)] = None

    def note_all(self, section: str, mistakes: Iterable[Mistake]) -> None:
        """Add the mistakes of a section, whose paths are relative to it."""
        for mistake in mistakes:
            self.note(joined(section, mistake.path), mistake.message)

    def refuse(self) -> None:
        """Raise SweepError with all mistakes found, if there are any."""
        if self.found:
            raise SweepError(self.source, list(self.found))


def joined(section: str, path: str) -> str:
    """A dotted path below a section; the section itself where the path is empty."""
    return f"{section}.{path}" if path else section


def explained(
    error: ValidationError, model: type[Spec], mapping: Mapping[str, Any], *, in_grid: bool = False
) -> list[Mistake]:
    r"""Pydantic's errors in a user's words: path as written, rule, value got, nearest name.

    `mapping` is the input that `model` refused; `in_grid` says that a list may belong in a grid.
    """
    details = error.errors()
    problems = [_problem(e, model, mapping) for e in details if not _follows(e, details)]
    return [_with_grid_hint(problem) for problem in problems] if in_grid else problems


def _follows(error: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because one of its items is wrong."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in others
    )


def _problem(error: ErrorDetails, model: type[Spec], mapping: Mapping[str, Any]) -> Mistake:
    fault, given, context = error["type"], error["input"], error.get("ctx", {})
    location = _of_a_value(fault, error["loc"])
    owners, path, written = _walk(location, model, mapping, whole=fault == "missing")
    if fault == "extra_forbidden":
        message = _unknown_key(str(location[-1]), owners[0])
    elif fault == "missing":
        message = "is missing"
    elif fault == "union_tag_not_found":
        path, message = f"{path}.kind", f"is missing; allowed: {', '.join(map(kind_of, owners))}"
    elif fault == "union_tag_invalid":
        path = path if isinstance(written, str) else f"{path}.kind"
        tag = given["kind"] if isinstance(given, Mapping) else context["tag"]
        message = _unknown("kind", tag, list(map(kind_of, owners)))
    elif fault == "literal_error":
        choices = [name.strip("'") for name in re.split(", | or ", context["expected"])]
        message = _unknown("kind" if location[-1] == "kind" else "value", given, choices)
    elif fault == "value_error":
        message = _with_value(str(context["error"]), given)
    elif location != error["loc"]:
        message = f"a key must be text, got {shown(given)}"
    else:
        message = f"{_rule(error, owners)}, got {shown(given)}"
    return Mistake(path, message, fault, given)


def _with_grid_hint(problem: Mistake) -> Mistake:
    if isinstance(problem.given, list) and problem.fault.endswith(("_type", "too_long")):
        hint = f"{problem.message}; a list of values to try belongs in the grid"
        return replace(problem, message=hint)
    return problem


def _of_a_value(fault: str, location: Location) -> Location:
    """The location of the mapping whose key is wrong, or else the location itself."""
    if location[-1:] == ("[key]",):
        return location[:-2]
    return location[:-1] if fault == "invalid_key" else location


def _rule(error: ErrorDetails, owners: Sequence[type[Spec]]) -> str:
    """What must hold, in pydantic's words where `RULES` has none."""
    if error["type"] in ("model_type", "model_attributes_type"):
        kinds = [kind_of(owner) for owner in owners if "kind" in owner.model_fields]
        return "must be a mapping" + (f" with a kind ({', '.join(kinds)})" if kinds else "")
    own = RULES.get(error["type"])
    return own.format(**error.get("ctx", {})) if own else error["msg"]


def _with_value(message: str, given: object) -> str:
    """The message of a check, with the value; checks of whole mappings name the value
    themselves."""
    if "got " in message or isinstance(given, Mapping):
        return message
    return f"{message}, got {shown(given)}"


def _walk(
    location: Location, model: type[Spec], mapping: Any, *, whole: bool
) -> tuple[list[type[Spec]], str, object]:
    r"""The spec classes that an error is about, its path, and the value there.

    Pydantic puts the kind into the location after each union, and fields or an index where a
    shorthand stands for a mapping or a list. The path leaves out what the user did not write,
    except for the last part where the path must be `whole`.
    """
    owners, path, written = [model], [], mapping
    for depth, part in enumerate(location, start=1):
        tagged = [owner for owner in owners if part == kind_of(owner)] if len(owners) > 1 else []
        if tagged:
            owners = tagged
            continue
        if owners and part in owners[0].model_fields:
            owners = list(_spec_classes(owners[0].model_fields[str(part)].annotation))
        if not _implied(part, written):
            written = _item(written, part)
            path.append(str(part))
        elif whole and depth == len(location):
            path.append(str(part))
    return owners, ".".join(path), written


def _implied(part: int | str, written: object) -> bool:
    """Whether the user wrote a shorthand where this index or field would be."""
    if isinstance(part, int):
        return not isinstance(written, list)
    return isinstance(written, str | list)


def _item(written: Any, part: int | str) -> Any:
    try:
        return written[part]
    except (KeyError, IndexError, TypeError):
        return None


def _spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    if inspect.isclass(annotation) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _spec_classes(argument)


def _unknown(what: str, name: object, allowed: Sequence[object]) -> str:
    names = [str(choice) for choice in allowed]
    return f"unknown {what} {shown(name)}; {hint(str(name), names)}allowed: {', '.join(names)}"


def _unknown_key(name: str, owner: type[Spec]) -> str:
    """The message of a key that a spec does not have, though one of its parts may."""
    inside = [] if called_here(name, owner.model_fields) else list(_fields_below(name, owner))
    if not inside:
        return _unknown("key", name, list(owner.model_fields))
    return f"unknown key {shown(name)}; did you mean {' or '.join(inside)}? allowed: " + ", ".join(
        owner.model_fields
    )


def _fields_below(name: str, owner: type[Spec]) -> Iterator[str]:
    """The fields of a spec's parts that have this name, by their dotted path."""
    for field_name, own in owner.model_fields.items():
        parts = _spec_classes(own.annotation)
        found = (called_here(name, part.model_fields) for part in parts)
        if (inside := next(filter(None, found), None)) is not None:
            yield f"{field_name}.{inside}"


def shown(value: object) -> str:
    """A value as Python writes it, but null and true as in YAML; long ones are cut."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
