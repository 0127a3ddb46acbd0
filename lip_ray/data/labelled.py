"""Labelled pictures: handwritten digits and CIFAR-10, split once and for all."""

import io
import pickle
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data import fingerprint
from lip_ray.rng import keyed
from lip_ray.spec import Family, RunOnly, Spec

TEST_SHARE = 0.2
"""The share of the digits that is held out as their test set, since they come without one."""
WHAT = "dataset"
CIFAR_FOLDER = "cifar-10-batches-py"
CIFAR_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR_SHAPE = (3, 32, 32)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Pictures and their classes, with the values that are stored."""

    pictures: Tensor
    """The pictures, (N, C, H, W) uint8."""
    labels: Tensor
    """The classes, (N,) int64, from 0."""
    white: int
    """The stored value that means 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: Tensor) -> "Labelled":
        """The pictures and labels that an index or a mask selects."""
        return Labelled(
            pictures=self.pictures[chosen], labels=self.labels[chosen], white=self.white
        )

    def to(self, device: torch.device) -> "Labelled":
        """A copy with all tensors on the device."""
        return Labelled(
            pictures=self.pictures.to(device), labels=self.labels.to(device), white=self.white
        )

    @property
    def values(self) -> Tensor:
        """The pictures as (N, C, H, W) float32 in [0, 1]."""
        return self.pictures.float() / self.white


@dataclass(frozen=True, kw_only=True)
class Split:
    """The training set, the validation set that chooses the epoch, and the test set."""

    training: Labelled
    validation: Labelled
    test: Labelled

    def to(self, device: torch.device) -> "Split":
        """A copy with all tensors on the device."""
        return Split(
            training=self.training.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


class AbstractDataset(Spec, ABC):
    """Pictures of ten classes with a test set that no seed changes."""

    kind: str
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share of each class's training pictures that is held out to choose the epoch."""

    @property
    def label(self) -> str:
        """The name in tables and figures."""
        return self.kind

    @property
    def classes(self) -> int:
        """The number of classes."""
        return 10

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture, which is square."""

    @abstractmethod
    def load(self) -> tuple[Labelled, Labelled]:
        """The training and the test set on the CPU. Raises ValueError when they cannot be read."""

    def split(self, seed: int) -> Split:
        r"""The sets on the CPU, with a validation set drawn from the training set by `seed`.

        Raises ValueError when they cannot be read or one of them would be empty.
        """
        rest, test = self.load()
        drawn = stratified(rest.labels, self.validation, keyed(seed, "validation set"))
        split = Split(training=rest[~drawn], validation=rest[drawn], test=test)
        for name, part in vars(split).items():
            if not len(part):
                raise ValueError(
                    f"no picture is left for the {name} set of {self.label}: there are "
                    f"{len(rest)} beside the {len(test)} of the test set, and validation is "
                    f"{self.validation:g}"
                )
        return split


@final
class Digits(AbstractDataset):
    """1797 handwritten digits of 8×8 grey pixels (Alpaydin & Kaynak 1998), out of scikit-learn.

    The test set is a fifth of each class.
    """

    kind: Literal["digits"] = "digits"

    @property
    def shape(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def load(self) -> tuple[Labelled, Labelled]:
        return _digits()


@final
class Cifar10(AbstractDataset):
    r"""60000 photos of 32×32 pixels in colour (Krizhevsky 2009), the last 10000 its test set.

    It is known by the archive's content, so moving the file changes no id.
    """

    kind: Literal["cifar10"] = "cifar10"
    path: Annotated[str, RunOnly()]
    """The path of cifar-10-python.tar.gz, relative to the working directory; it is stored as
    absolute."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(fields, sha256=fingerprint.sha256_of(WHAT))

    @property
    def shape(self) -> tuple[int, int, int]:
        return CIFAR_SHAPE

    def load(self) -> tuple[Labelled, Labelled]:
        r"""The training and the test set; no code in the archive is run.

        Raises ValueError when the file is missing, has changed or is another.
        """
        return _cifar(self.path, self.sha256)


Dataset = Annotated[Digits | Cifar10, Family()]
"""`digits` stands for the dataset with all of its defaults."""


def stratified(labels: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """A mask (N,) that selects a rounded share of each class: at least one of it and never all."""
    order = torch.randperm(len(labels), generator=draws)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = order[labels[order] == label]
        count = min(max(1, round(len(members) * share)), len(members) - 1)
        chosen[members[:count]] = True
    return chosen


@lru_cache(maxsize=1)
def _digits() -> tuple[Labelled, Labelled]:
    from sklearn.datasets import load_digits  # here, for it takes long and few trials need it

    found = load_digits()
    everything = Labelled(
        pictures=torch.from_numpy(found.images.astype(np.uint8))[:, None],
        labels=torch.from_numpy(found.target.astype(np.int64)),
        white=16,
    )
    held_out = stratified(everything.labels, TEST_SHARE, keyed(0, "test set", image="digits"))
    return everything[~held_out], everything[held_out]


@lru_cache(maxsize=1)
def _cifar(path: str, sha256: str) -> tuple[Labelled, Labelled]:
    data = fingerprint.read(path, sha256, WHAT)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            batches = {name: _batch(archive, name) for name in (*CIFAR_TRAINING, "test_batch")}
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not cifar-10-python.tar.gz: {error}") from error
    return _joined([batches[name] for name in CIFAR_TRAINING]), _joined([batches["test_batch"]])


def _joined(batches: list[tuple[Tensor, Tensor]]) -> Labelled:
    pictures, labels = zip(*batches, strict=True)
    return Labelled(pictures=torch.cat(pictures), labels=torch.cat(labels), white=255)


def _batch(archive: tarfile.TarFile, name: str) -> tuple[Tensor, Tensor]:
    """Pictures and labels of one file. Raises ValueError when it is missing or another."""
    try:
        opened = archive.extractfile(f"{CIFAR_FOLDER}/{name}")
    except KeyError as error:
        raise ValueError(f"it has no {CIFAR_FOLDER}/{name}") from error
    if opened is None:
        raise ValueError(f"{name} is no file")
    fields = unpickled_arrays(opened.read())
    pixels, labels = fields.get(b"data"), fields.get(b"labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"data of {name} must be rows of bytes")
    if pixels.shape[1] != np.prod(CIFAR_SHAPE):
        raise ValueError(f"data of {name} must be rows of 3072 bytes, got {pixels.shape[1]}")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"labels of {name} must be a list of one class a picture")
    if not all(type(label) is int and 0 <= label < 10 for label in labels):
        raise ValueError(f"labels of {name} must be whole numbers from 0 to 9")
    return torch.from_numpy(pixels.reshape(-1, *CIFAR_SHAPE).copy()), torch.tensor(labels)


def unpickled_arrays(data: bytes) -> Mapping[Any, Any]:
    r"""A pickled dictionary of plain values and NumPy arrays, text of Python 2 as bytes.

    Raises ValueError for anything else, which is neither imported nor called.
    """
    try:
        found = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # whatever a broken pickle makes its reader raise
        raise ValueError(f"a pickle in it cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"a pickle in it holds no dictionary, but {type(found).__name__}")
    return found


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the functions that rebuild NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for one of those functions. Raises an error for any other name."""
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy._core.multiarray", "_reconstruct"): _empty_array,
            ("numpy", "ndarray"): None,  # only ever an argument
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return allowed[module, name]


def _empty_array(*_: object) -> np.ndarray[Any, Any]:
    """An empty array for the pickle to fill, in place of what NumPy's own function makes."""
    return np.empty(0, dtype=np.int8)
