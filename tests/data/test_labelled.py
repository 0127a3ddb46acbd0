"""Labelled pictures: what is held out stays held out, and an archive runs no code."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from lip_ray.data import labelled
from lip_ray.data.labelled import Cifar10, Dataset, Digits, stratified, unpickled_arrays

FILES = (*labelled.CIFAR_TRAINING, "test_batch")
PICTURES = 20
"""In each file of the stub: two of each class."""


class Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes text as the byte strings of Python 2, and NumPy's names as they were then."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_text(self, value: str | bytes) -> None:
        """SHORT_BINSTRING or BINSTRING, which protocol 2 of Python 3 never writes."""
        data = value.encode("latin1") if isinstance(value, str) else value
        short = len(data) < 256
        self.write(b"U" + bytes([len(data)]) if short else b"T" + len(data).to_bytes(4, "little"))
        self.write(data)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        """By the module's old name."""
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    def save_type(self, value: type) -> None:
        """As any global."""
        self.save_global(value)

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[type] = save_type


def pickled(fields: object) -> bytes:
    buffer = io.BytesIO()
    Python2(buffer, protocol=2).dump(fields)
    return buffer.getvalue()


def batch(number: int, **changes: object) -> dict[str, object]:
    """One file: pictures of one grey each, classes in turn."""
    pixels = np.arange(PICTURES, dtype=np.uint8)[:, None] + np.zeros((1, 3072), dtype=np.uint8)
    pixels[:, 1024] = number  # the first pixel's green
    labels = [picture % 10 for picture in range(PICTURES)]
    return {"batch_label": f"batch {number}", "labels": labels, "data": pixels} | changes


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small archive; files are replaced, or left out with None."""

    def write(**replaced: bytes | None) -> Path:
        path = tmp_path / "cifar-10-python.tar.gz"
        whole = {name: pickled(batch(i)) for i, name in enumerate(FILES)} | replaced
        with tarfile.open(path, "w:gz") as opened:
            for name, data in whole.items():
                if data is not None:
                    entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                    entry.size = len(data)
                    opened.addfile(entry, io.BytesIO(data))
        return path

    return write


class TestDigits:
    def test_every_picture_is_in_one_set(self) -> None:
        split = Digits().split(0)
        parts = (split.training, split.validation, split.test)
        assert sum(len(part) for part in parts) == 1797
        rows = torch.cat([part.pictures.flatten(1) for part in parts])
        assert len(rows.unique(dim=0)) == 1797  # no two are alike, so none is in two sets

    def test_a_fifth_of_each_class_is_held_out(self) -> None:
        rest, test = Digits().load()
        for held_out, others in zip(test.labels.bincount(), rest.labels.bincount(), strict=True):
            assert int(held_out) == round(0.2 * int(held_out + others))

    def test_seeds_change_the_validation_set_and_never_the_test_set(self) -> None:
        one, same, other = Digits().split(1), Digits().split(1), Digits().split(2)
        assert torch.equal(one.validation.pictures, same.validation.pictures)
        assert not torch.equal(one.validation.pictures, other.validation.pictures)
        assert torch.equal(one.test.pictures, other.test.pictures)

    def test_the_test_set_is_this_one(self) -> None:
        _, test = Digits().load()
        assert (
            hashlib.sha256(test.pictures.numpy().tobytes()).hexdigest()[:16] == "ebe51f5718383382"
        )

    def test_values_are_in_0_1(self) -> None:
        values = Digits().load()[0].values
        assert (values.min(), values.max(), values.dtype) == (0, 1, torch.float32)
        assert values.shape[1:] == Digits().shape

    def test_loading_draws_nothing_from_the_global_generator(self) -> None:
        labelled._digits.cache_clear()
        state = torch.get_rng_state()
        Digits().split(0)
        assert torch.equal(state, torch.get_rng_state())


class TestStratified:
    def test_each_class_gives_its_share(self) -> None:
        labels = torch.tensor([0] * 40 + [1] * 10 + [2] * 2 + [3])
        chosen = stratified(labels, 0.1, torch.Generator())
        assert labels[chosen].bincount(minlength=4).tolist() == [4, 1, 1, 0]

    def test_never_all_of_a_class(self) -> None:
        labels = torch.tensor([0] * 5)
        assert int(stratified(labels, 0.99, torch.Generator()).sum()) == 4


class TestCifar10:
    def test_the_archive_is_read(self, archive: Callable[..., Path]) -> None:
        training, test = Cifar10(path=str(archive())).load()
        assert (len(training), len(test)) == (5 * PICTURES, PICTURES)
        assert training.pictures.shape[1:] == Cifar10(path=str(archive())).shape
        assert training.labels.tolist() == [i % 10 for i in range(PICTURES)] * 5
        assert training.pictures[::PICTURES, 1, 0, 0].tolist() == [0, 1, 2, 3, 4]
        assert test.pictures[:, 0, 31, 31].tolist() == list(range(PICTURES))
        assert test.pictures[0, 1, 0, 0] == 5
        assert test.values.max() == pytest.approx(PICTURES / 255, abs=1 / 255)

    def test_its_own_test_set_is_held_out(self, archive: Callable[..., Path]) -> None:
        split = Cifar10(path=str(archive())).split(3)
        assert (len(split.training), len(split.validation)) == (90, 10)
        assert split.test.pictures[:, 1, 0, 0].unique().tolist() == [5]

    def test_as_python_3_would_pickle_it(self) -> None:
        """Arrays alone: that it writes byte strings by calling a codec is not allowed."""
        found = unpickled_arrays(pickle.dumps({1: np.arange(3)}))
        assert found[1].tolist() == [0, 1, 2]

    def test_moving_the_file_changes_no_id(
        self, archive: Callable[..., Path], tmp_path: Path
    ) -> None:
        first = Cifar10(path=str(archive()))
        moved = archive().rename(tmp_path / "moved.tar.gz")
        again = Cifar10.model_validate({"path": str(moved), "sha256": first.sha256})
        assert first.id == again.id
        assert len(again.load()[0]) == 5 * PICTURES

    def test_a_changed_file_is_refused(self, archive: Callable[..., Path]) -> None:
        spec = Cifar10(path=str(archive()))
        archive(test_batch=pickled(batch(9)))
        with pytest.raises(ValueError, match="has changed since its sha256"):
            spec.load()

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match=r"cannot read dataset .*nowhere"):
            Cifar10(path=str(tmp_path / "nowhere"))

    def test_without_a_path_only_that_is_missing(self) -> None:
        with pytest.raises(ValidationError) as raised:
            TypeAdapter(Dataset).validate_python("cifar10")
        assert [error["loc"][-1] for error in raised.value.errors()] == ["path"]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (None, "has no cifar-10-batches-py/data_batch_3"),
            (b"not a pickle", "cannot be read"),
            (pickled([1, 2]), "holds no dictionary, but list"),
            (pickled(batch(0, data=np.zeros((20, 3072)))), "must be rows of bytes"),
            (pickled(batch(0, data=np.zeros((20, 3000), np.uint8))), "got 3000"),
            (pickled(batch(0, labels=[0])), "one class a picture"),
            (pickled(batch(0, labels=[10] * PICTURES)), "from 0 to 9"),
            (pickled(batch(0, labels=["a"] * PICTURES)), "from 0 to 9"),
        ],
    )
    def test_what_is_wrong_inside_is_said(
        self, archive: Callable[..., Path], data: bytes | None, message: str
    ) -> None:
        path = archive(data_batch_3=data)
        with pytest.raises(ValueError, match=rf"is not cifar-10-python.tar.gz: .*{message}"):
            Cifar10(path=str(path)).load()

    def test_what_is_no_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "cifar.tar.gz"
        path.write_bytes(b"something else")
        with pytest.raises(ValueError, match=r"is not cifar-10-python.tar.gz"):
            Cifar10(path=str(path)).load()


class Touch:
    """What a malicious pickle holds: a call that leaves a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


class TestMaliciousPickles:
    def test_no_code_of_an_archive_is_run(
        self, archive: Callable[..., Path], tmp_path: Path
    ) -> None:
        trap = tmp_path / "trap"
        data = pickle.dumps(batch(0) | {"more": Touch(trap)}, protocol=4)
        pickle.loads(data)
        assert trap.exists(), "the trap works"
        trap.unlink()
        path = archive(data_batch_1=data)
        with pytest.raises(ValueError, match="is not allowed"):
            Cifar10(path=str(path)).load()
        assert not trap.exists()

    @pytest.mark.parametrize(
        "name",
        [
            "builtins\neval",
            "os\nsystem",
            "posix\nsystem",
            "numpy\nload",
            "numpy\nmemmap",
            "numpy._core.multiarray\nfromfile",
            "_codecs\nencode",
        ],
    )
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="is not allowed"):
            unpickled_arrays(f"c{name}\n.".encode())

    def test_an_array_cannot_be_made_by_calling_its_class(self) -> None:
        """Its constructor would take any buffer and any size."""
        with pytest.raises(ValueError, match="cannot be read"):
            unpickled_arrays(b"cnumpy\nndarray\n(I9\ntR.")
