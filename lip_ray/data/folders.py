"""Folders of pictures: the files in them, and the images that a folder stands for."""

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BeforeValidator, ValidationError, model_validator

from lip_ray.data import fingerprint
from lip_ray.data.images import WHAT, FileImage, Framing, Image, Pair
from lip_ray.mistakes import explained

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings of picture files, in any case. Other files in a folder are ignored."""
MOST_TOGETHER = 64
"""The most images that share the weights of one network."""


class PictureFolder(Framing):
    r"""The pictures of a folder or of a pattern: a sweep makes one trial for each of them.

    A picture becomes an image of the kind `file`, framed as the folder says. So ids are those of
    the single files, wherever the folder is and whatever it is called.
    """

    kind: Literal["folder"] = "folder"
    path: str
    r"""The path of the folder, or a pattern of files such as `photos/*.png`; relative to the
    working directory.

    A folder stands for its files that end in .bmp .jpeg .jpg .png .tif .tiff .webp, those of its
    subfolders included; a pattern for all files that match it, where `**` is any number of folders.
    Hidden files are ignored. The order is that of the paths."""
    together: bool = False
    """Whether all pictures are the images of one trial, for one ticket in common."""
    measured: bool = False
    """Whether each picture is itself the measurement, so that no clean image is known."""
    measurements: str | None = None
    """A folder or a pattern of measurements that were made elsewhere: each picture is a pair with
    the one that has the same name, whatever its ending, framed alike."""

    @model_validator(mode="after")
    def _measured_once(self) -> Self:
        if self.measured and self.measurements is not None:
            raise ValueError("measurements are of clean pictures: leave measured out, got true")
        return self

    def files(self, *, most: int, limit: str) -> tuple[FileImage | Pair, ...]:
        """Each picture as an image, in the order of their paths.

        Raises ValueError without any picture, with the same one twice, with one that should have
        a single measurement and does not, and with more than `most`, which is called the `limit`.
        """
        paths = pictures_at(self.path)
        if len(paths) > most:
            raise ValueError(
                f"path holds {len(paths):,} pictures, more than {limit}, {most:,}: got {self.path}"
            )
        images = tuple(map(self._image, paths))
        _refuse_twice(images)
        if self.measurements is None:
            return images
        return tuple(map(self._paired(pictures_at(self.measurements, name="measurements")), images))

    def _paired(self, measurements: Sequence[Path]) -> Callable[[FileImage], Pair]:
        """A function that makes a pair of an image and the measurement of the same name."""

        def pair(image: FileImage) -> Pair:
            found = [path for path in measurements if path.stem == image.name]
            if len(found) != 1:
                raise ValueError(
                    f"measurements must hold one picture called {image.name}, got {len(found)} in "
                    f"{self.measurements}"
                )
            return Pair(clean=image, measurement=self._image(found[0]))

        return pair

    def _image(self, path: Path) -> FileImage:
        same = {name: getattr(self, name) for name in (*Framing.model_fields, "measured")}
        sha256 = fingerprint.sha256_of(WHAT)(path)
        return FileImage.model_validate({"path": str(path), "sha256": sha256} | same)


def pictures_at(path: str, *, name: str = "path") -> list[Path]:
    """The pictures of a folder or of a pattern, sorted. Raises ValueError, which calls the path by
    the `name` of its field, without any."""
    place = fingerprint.absolute(path)
    if _is_folder(place):
        return [place / file for file in picture_files(place)]
    if not fingerprint.PATTERN.search(path):
        raise ValueError(f"{name} must be a folder of pictures or a pattern of files, got {path}")
    names = glob.glob(str(place), recursive=True)  # noqa: PTH207, as this passes hidden files over
    found = [file for file in map(Path, names) if file.is_file()]
    if not found:
        raise ValueError(f"{name} is a pattern that no file matches, got {path}")
    return sorted(found)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # as of a name that is too long
        return False


def picture_files(folder: Path) -> list[str]:
    """The relative paths of the pictures of a folder, sorted. Raises ValueError without any."""
    if not _is_folder(folder):
        raise ValueError(f"path must be a folder of pictures, got {folder}")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS]
    names = [path.relative_to(folder).as_posix() for path in found if path.is_file()]
    names = [name for name in names if not name.startswith(".") and "/." not in name]
    if not names:
        raise ValueError(f"{folder} holds no picture, no file that ends in {', '.join(ENDINGS)}")
    return sorted(names)


def expanded(value: object) -> list[Any]:
    r"""The raw images that one image or a list stands for.

    An index that is a list means several images, a folder with `together` all of its pictures. For
    a validator of the raw value of a field. Raises ValueError for an empty index, and for a folder
    that stands for several trials.
    """
    items = value if isinstance(value, list | tuple) else [value]
    return [image for item in items for image in _each(item)]


one_or_many_images = BeforeValidator(
    expanded, json_schema_input_type=Image | PictureFolder | list[Image | PictureFolder]
)
"""A validator that makes a tuple of one image, of one with a list of indices, or of several."""


def is_folder(value: object) -> bool:
    """Whether a raw image is a folder of pictures."""
    return isinstance(value, PictureFolder) or (
        isinstance(value, dict) and value.get("kind") == "folder"
    )


def _each(item: object) -> list[Any]:
    if is_folder(item):
        return list(_together(item))
    index = item.get("index") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(index, list | tuple):
        return [item]
    if not index:
        raise ValueError("index must be a whole number or a list of at least 1, got []")
    return [item | {"index": each} for each in index]


def _together(item: Any) -> Iterator[FileImage | Pair]:
    try:
        folder = PictureFolder.model_validate(item)
    except ValidationError as error:
        raise ValueError("; ".join(map(str, explained(error, PictureFolder, item)))) from error
    if not folder.together:
        raise ValueError(
            "a folder stands for one trial per picture, which the trial, grid or cases of a sweep "
            "make of it; among the images of one trial it needs together: true, "
            f"got {folder.path}"
        )
    yield from folder.files(most=MOST_TOGETHER, limit="a network can be fitted to")


def _refuse_twice(images: tuple[FileImage, ...]) -> None:
    first: dict[str, str] = {}
    for image in images:
        other = first.setdefault(image.id, image.path)
        if other != image.path:
            raise ValueError(
                f"path holds one picture twice, with one name and content: got {other} and "
                f"{image.path}"
            )
