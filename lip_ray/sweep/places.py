"""Places inside the nested mappings of a sweep file, named by dotted paths."""

from typing import Any

from lip_ray.mistakes import Mistakes, shown

Section = dict[str, Any] | list[Any]
"""A part of a sweep file whose fields have dotted paths."""


def assign(target: Section, path: str, value: object) -> None:
    """Set a dotted field, making the mappings on the way; numbers index into lists.

    Raises ValueError where there is no such place.
    """
    *parents, last = path.split(".")
    if not all((*parents, last)):
        raise ValueError("a dotted path has no empty parts")
    place: Any = target
    for depth, parent in enumerate(parents):
        key = _key(place, parent)
        place = place[key] if isinstance(place, list) else place.setdefault(key, {})
        if not isinstance(place, dict | list):
            here = ".".join(parents[: depth + 1])
            raise ValueError(f"{here} is {shown(place)}, which has no fields: set {here} itself")
    place[_key(place, last)] = value


def assigned(target: Section, label: str, path: str, value: object, *, mistakes: Mistakes) -> bool:
    """Whether the field could be set; if not, the reason is noted at `label` + `path`."""
    try:
        assign(target, path, value)
    except ValueError as error:
        mistakes.note(label + path, str(error))
        return False
    return True


def within(path: str, place: str) -> bool:
    """Whether a path is equal to `place` or lies below it."""
    return path.startswith(place) and path[len(place) :][:1] in ("", ".", "[")


def _key(place: object, part: str) -> Any:
    """One part of a path, or the index that it stands for where its container is a list."""
    if not isinstance(place, list):
        return part
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    raise ValueError(f"{part!r} is no item of the list there: it has {len(place)}, counted from 0")
