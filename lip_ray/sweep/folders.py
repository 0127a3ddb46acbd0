"""Folders of pictures in a sweep, each of which stands for one trial per picture."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BeforeValidator, ValidationError

from lip_ray.data.folders import PictureFolder, expanded, is_folder
from lip_ray.mistakes import Mistake, explained, joined
from lip_ray.spec import Family, Spec, kind_of, members
from lip_ray.trials import Trial

RawImages = Sequence[dict[str, Any]]
Found = tuple[RawImages, Sequence[Mistake]]


def folders_in(trial: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    r"""The dotted places of a raw trial where a folder stands for several trials, and the folders.

    These are fields of images to restore. A folder that a generator learns from is one set.
    """
    if _has_folder(trial):
        annotation, *metadata = get_args(Trial)
        yield from _inside(trial, annotation, metadata, "")


class Pictures:
    """The pictures of folders, each of which is read once."""

    def __init__(self) -> None:
        self._read: dict[str, Found] = {}

    def of(self, folder: Mapping[str, Any], *, most: int) -> Found:
        """The raw images in a folder, and what is wrong with it; no more than `most` of them."""
        key = json.dumps([folder, most], sort_keys=True, default=repr)
        if key not in self._read:
            self._read[key] = _read(folder, most)
        return self._read[key]


def content_of(image: Mapping[str, Any]) -> str:
    """Name and SHA-256 of the files of a raw image, which may be a pair."""
    files = [image] if "sha256" in image else [image["clean"], image["measurement"]]
    return " ".join(f"{file['name']} {file['sha256']}" for file in files)


def _read(written: Mapping[str, Any], most: int) -> Found:
    try:
        folder = PictureFolder.model_validate(written)
    except ValidationError as error:
        return (), explained(error, PictureFolder, written)
    try:
        images = folder.files(most=most, limit="run.most_trials")
    except ValueError as error:
        return (), [Mistake("", str(error))]
    return [image.model_dump(mode="json") for image in images], ()


def _has_folder(value: object) -> bool:
    """Whether there is one anywhere: of most trials nothing more need be known."""
    if isinstance(value, Mapping):
        return is_folder(value) or any(map(_has_folder, value.values()))
    return isinstance(value, list) and any(map(_has_folder, value))


def _inside(
    value: object, annotation: Any, metadata: Sequence[object], at: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The folders in the raw value of a field with this annotation."""
    if any(isinstance(m, BeforeValidator) and m.func is expanded for m in metadata):
        if isinstance(value, dict) and is_folder(value) and value.get("together") is not True:
            yield at, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _inside(item, annotation, (), joined(at, str(index)))
    elif isinstance(value, Mapping):
        spec = _spec_of(value, annotation, metadata)
        for name, field in spec.model_fields.items() if spec else ():
            inside = joined(at, name) if at else name
            yield from _inside(value.get(name), field.annotation, field.metadata, inside)


def _spec_of(
    value: Mapping[str, Any], annotation: Any, metadata: Sequence[object]
) -> type[Spec] | None:
    """The spec that a raw mapping describes; None where its kind is unknown."""
    specs = list(members(annotation))
    usual = next((m.default for m in metadata if isinstance(m, Family)), None)
    kind = value.get("kind", usual)
    if len(specs) == 1:
        return specs[0]
    return next((spec for spec in specs if kind_of(spec) == kind), None)
