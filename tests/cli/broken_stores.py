"""Stores that are broken, each in one way, and commands to give to them."""

import ctypes
import errno
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.store import compact

FIRST = Path(__file__).parents[1] / "store" / "first_version"
TRIAL = "b6f43e67e912a542"
LEVEL = f"levels/{TRIAL}-001.parquet"
MARKER = "lip-ray-store.json"

Around = AbstractContextManager[object]


class Broken(NamedTuple):
    """How a store is broken."""

    damage: Callable[[Path], Path | None]
    """Does it to a sound store; returns where the store is, if elsewhere."""
    around: Callable[[Path], Around] = lambda store: nullcontext()
    """What holds while a command runs."""


def _replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(content)

    return damage


def _cut(store: Path) -> None:
    content = (store / LEVEL).read_bytes()
    (store / LEVEL).write_bytes(content[: len(content) // 2])


def _flipped(store: Path) -> None:
    content = bytearray((store / LEVEL).read_bytes())
    content[len(content) // 3] ^= 16
    (store / LEVEL).write_bytes(content)


def _link(name: str, target: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(target)

    return damage


def _folder(name: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        (store / name).unlink(missing_ok=True)
        (store / name).mkdir(parents=True)

    return damage


def _file(name: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        shutil.rmtree(store / name)
        (store / name).write_bytes(b"a file")

    return damage


def _gone(name: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def _renamed(name: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        other = os.fsencode(store / "levels") + b"/" + os.fsencode(name)
        shutil.copy(store / LEVEL, os.fsdecode(other))

    return damage


def _moved(name: str) -> Callable[[Path], Path]:
    def damage(store: Path) -> Path:
        return store.rename(store.with_name(name))

    return damage


def _elsewhere(name: str) -> Callable[[Path], Path]:
    return lambda store: store.parent / name


def _rewritten(name: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        pq.write_table(change(pq.read_table(store / name)), store / name)

    return damage


def _set(column: str, value: object, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index(column)
        return rows.set_column(place, column, pa.array([value] * len(rows), kind))

    return change


def _no_text(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("spec")
    values = pa.array([b"\xff\xfe{}"] * len(rows), pa.binary())
    buffers = values.buffers()
    text = pa.Array.from_buffers(pa.string(), len(rows), buffers)
    return rows.set_column(place, "spec", text)


def _compacted(then: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        compact(store, grace_s=0)
        then(store)

    return damage


def _manifest(content: bytes) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        for path in (store / "compacted").glob("manifest-*"):
            path.write_bytes(content)

    return damage


def _each(pattern: str, act: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        for path in store.glob(pattern):
            act(path)

    return damage


def _fifo(store: Path) -> None:
    (store / LEVEL).unlink()
    os.mkfifo(store / LEVEL)


def _modes(folders: int, files: int) -> Callable[[Path], Around]:
    @contextmanager
    def around(store: Path) -> Iterator[None]:
        paths = [store, *store.rglob("*")]
        for path in reversed(paths):
            path.chmod(folders if path.is_dir() else files)
        try:
            with _unprivileged():
                yield
        finally:
            for path in paths:
                path.chmod(0o700 if path.is_dir() else 0o600)

    return around


CAPABILITIES, VERSION, OVERRIDES = 2, 0x20080522, 0b110
"""Of Linux: numbers of words, the version of the interface, and what lets root read anything."""


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Without root's right to read and write whatever the permissions say."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head = ctypes.create_string_buffer(struct.pack("Ii", VERSION, 0))
    before = ctypes.create_string_buffer(12 * CAPABILITIES)
    if libc.capget(head, before):
        pytest.skip("capabilities cannot be read")
    words = list(struct.unpack("6I", before.raw))
    words[0] &= ~OVERRIDES
    less = ctypes.create_string_buffer(struct.pack("6I", *words))
    libc.capset(head, less)
    try:
        yield
    finally:
        libc.capset(head, before)


def _full(store: Path) -> Around:
    """A disk without room: nothing can be made safe on it."""

    @contextmanager
    def around() -> Iterator[None]:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            patch.setattr(os, "link", refuse)
            patch.setattr(Path, "replace", refuse)
            patch.setattr(Path, "write_bytes", refuse)
            patch.setattr(Path, "write_text", refuse)
            yield

    return around()


BROKEN: dict[str, Broken] = {
    "sound": Broken(lambda store: None),
    "compacted": Broken(_compacted(lambda store: None)),
    "nowhere": Broken(_elsewhere("nowhere")),
    "a folder that is empty": Broken(lambda store: _emptied(store)),
    "a file": Broken(lambda store: store / MARKER),
    "below a file": Broken(lambda store: store / MARKER / "store"),
    "a name with spaces": Broken(_moved("a store  of mine")),
    "a name with a line end": Broken(_moved("a\nstore")),
    "a name with an escape sequence": Broken(_moved("a\x1b[31mstore")),
    "a name that is no text": Broken(_moved(os.fsdecode(b"sto\xffre"))),
    "a name that is too long": Broken(_elsewhere("n" * 300)),
    "a name that nothing can have": Broken(_elsewhere("a\0b")),
    "a user who is not there": Broken(lambda store: Path("~nobody-of-that-name/store")),
    "a link to itself": Broken(lambda store: _looped(store)),
    "a bucket of no kind": Broken(lambda store: Path("gopher://a/b")),
    "a marker that is empty": Broken(_replaced(MARKER, b"")),
    "a marker that is no text": Broken(_replaced(MARKER, b"\xff\xfe")),
    "a marker that is a list": Broken(_replaced(MARKER, b"[[[[1]]]]")),
    "a marker that is nested": Broken(_replaced(MARKER, b"[" * 100_000)),
    "a newer marker": Broken(_replaced(MARKER, b'{"schema_version": 99}')),
    "a marker that is a folder": Broken(_folder(MARKER)),
    "a marker that links to itself": Broken(_link(MARKER, MARKER)),
    "levels that are a file": Broken(_file("levels")),
    "levels that link to themselves": Broken(_link("levels", "levels")),
    "no levels": Broken(_gone("levels")),
    "no trials": Broken(_gone("trials")),
    "no sweeps": Broken(_gone("sweeps")),
    "no masks": Broken(_gone("masks")),
    "an empty file": Broken(_replaced(LEVEL, b"")),
    "a file that is none": Broken(_replaced(LEVEL, b"PAR1 is how it begins")),
    "a cut file": Broken(_cut),
    "a flipped bit": Broken(_flipped),
    "a file that is a folder": Broken(_folder(LEVEL)),
    "a file that links to itself": Broken(_link(LEVEL, Path(LEVEL).name)),
    "a file that links nowhere": Broken(_link(LEVEL, "nowhere")),
    "a file that is a pipe": Broken(_fifo),
    "a file of a strange name": Broken(_renamed("strange.parquet")),
    "a file of no level": Broken(_renamed(f"{TRIAL}-one.parquet")),
    "a file of a level below 0": Broken(_renamed(f"{TRIAL}--01.parquet")),
    "a file whose name is no text": Broken(_renamed(os.fsdecode(b"\xff-000.parquet"))),
    "a file whose name has a line end": Broken(_renamed(f"{TRIAL}\n-009.parquet")),
    "other columns": Broken(lambda store: pq.write_table(pa.table({"a": [1]}), store / LEVEL)),
    "a column of another type": Broken(_rewritten(LEVEL, _set("kept", "many", pa.string()))),
    "a level that is null": Broken(_rewritten(LEVEL, _set("level", None, pa.int32()))),
    "a level of another trial": Broken(_rewritten(LEVEL, _set("trial_id", "x", pa.string()))),
    "a number that is none": Broken(
        _rewritten(LEVEL, _set("psnr_selected_db", float("nan"), pa.float64()))
    ),
    "a spec that is no text": Broken(_rewritten(f"trials/{TRIAL}.parquet", _no_text)),
    "a spec that is no JSON": Broken(
        _rewritten(f"trials/{TRIAL}.parquet", _set("spec", "{", pa.string()))
    ),
    "a spec of another kind": Broken(
        _rewritten(f"trials/{TRIAL}.parquet", _set("spec", '{"kind": "else"}', pa.string()))
    ),
    "a picture that is none": Broken(
        _rewritten(f"reconstructions/{TRIAL}-001.parquet", _set("png", b"no picture", pa.binary()))
    ),
    "masks that are none": Broken(
        _rewritten(f"masks/{TRIAL}-001.parquet", _set("bits", b"", pa.binary()))
    ),
    "a manifest that is no JSON": Broken(_compacted(_manifest(b"{"))),
    "a manifest that is no text": Broken(_compacted(_manifest(b"\xff\xfe"))),
    "a manifest of another shape": Broken(_compacted(_manifest(b'{"parts": {"levels": [1]}}'))),
    "a manifest of parts elsewhere": Broken(
        _compacted(_manifest(b'{"parts": {"levels": ["../../x"], "else": ["a"]}}'))
    ),
    "no manifest": Broken(_compacted(_each("compacted/manifest-*", Path.unlink))),
    "no parts": Broken(_compacted(_each("compacted/*.parquet", Path.unlink))),
    "a part that is none": Broken(
        _compacted(_each("compacted/levels-*", lambda part: part.write_bytes(b"PAR1")))
    ),
    "a part that is a folder": Broken(
        _compacted(_each("compacted/levels-*", lambda part: (part.unlink(), part.mkdir())))
    ),
    "compacted that is a file": Broken(_replaced("compacted", b"a file")),
    "a note that is none": Broken(_replaced(f"running/{TRIAL}", b"\xff[1, 2]")),
    "a note of another shape": Broken(_replaced(f"running/{TRIAL}", b'{"host": 1, "level": {}}')),
    "no permission": Broken(lambda store: None, _modes(0o000, 0o000)),
    "no permission to list": Broken(lambda store: None, _modes(0o300, 0o600)),
    "no permission to read files": Broken(lambda store: None, _modes(0o700, 0o000)),
    "no permission to write": Broken(lambda store: None, _modes(0o500, 0o400)),
    "a disk that is full": Broken(lambda store: None, _full),
}
"""By what is wrong."""


def _looped(store: Path) -> Path:
    path = store.with_name("loop")
    path.symlink_to(path)
    return path


def _emptied(store: Path) -> Path:
    path = store.with_name("empty")
    path.mkdir()
    return path
