"""Archives that say or hold more than can be meant: refused before any of it is unpacked."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from lip_ray.data import npz
from lip_ray.data.image_sets import ArraySet
from lip_ray.data.images import ArrayImage


def header(shape: str, *, descr: str = "'|u1'", version: int = 1) -> bytes:
    """The beginning of an array of some shape."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes((version, 0)) + length + text


def member(data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("images.npy", data)

    return write


def many(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(40):
            archive.writestr(f"{index}.npy", header("(1, 1, 1)") + b"\0")


def encrypted(path: Path) -> None:
    member(header("(1, 1, 1)") + b"\0", zipfile.ZIP_STORED)(path)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "vast shape": (member(header("(1000000000, 1000, 1000)")), "more than the 4,294,967,296 that"),
    "overflow": (
        member(header(f"({'9' * 30}, 1, 1)")),
        "more than the 4,294,967,296 that are read",
    ),
    "too short": (member(header("(2, 2, 2)") + b"\0"), "bytes long, its header says"),
    "bomb": (member(header("(1, 1, 1)") + bytes(10**8)), "is 100,000,[0-9]+ bytes long, its head"),
    "negative": (member(header("(-1, 2, 2)")), r"a\.npz is not an \.npz archive|its header says"),
    "long header": (member(header("(1, 1, 1)" + " " * 10**5, version=2)), "a header of 100,"),
    "vast header": (member(b"\x93NUMPY\2\0" + b"\xff" * 4 + bytes(10**8)), "a header of 4,294,967"),
    "an expression": (member(header("__import__('os').getpid()")), r"a\.npz is not an \.npz arch"),
    "encrypted": (encrypted, r"a\.npz is not an \.npz archive"),
    "many": (many, "it has 40 arrays, more than 30"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["image", "set"])
def test_odd_archives_are_one_message(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "MOST_ARRAYS", 30)
    monkeypatch.setattr(np, "load", None)  # nothing is unpacked
    make, message = ODD[name]
    make(tmp_path / "a.npz")
    path = str(tmp_path / "a.npz")
    with pytest.raises(ValidationError, match=message) as raised:
        ArrayImage(path=path, index=0) if kind == "image" else ArraySet(path=path)
    assert raised.value.error_count() == 1


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{}, {}]))
    with pytest.raises(ValidationError, match=r"it holds images object \(2,\)"):
        ArrayImage(path=str(tmp_path / "a.npz"), index=0)


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    pictures = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", images=pictures)
        assert npz.headers(tmp_path / "a.npz")["images"][0] == (2, 4, 6)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, pictures, version=(3, 0))
    member(buffer.getvalue())(tmp_path / "b.npz")
    assert ArraySet(path=str(tmp_path / "b.npz")).count == 2
