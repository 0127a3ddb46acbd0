"""The only writer: rows become immutable files, and of two writers of one file the first wins."""

import errno
import json
import os
import platform
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lip_ray.records import LayerMask, LevelRecord, StoredTensor, SweepRecord, TrialRecord
from lip_ray.store import masks
from lip_ray.store.paths import (
    MARKER,
    StoreError,
    check_version,
    level_file,
    root_of,
    sweep_file,
    trial_file,
    unfinished_file,
)
from lip_ray.store.schema import PACKED, TABLES, VERSION, VERSION_KEY

NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


class Writer:
    """Writes into one store; any number of them may do so at once, from any machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The store's folder, absolute, for whoever is to open it from elsewhere."""
        return self._root

    @classmethod
    def open(cls, store: str | Path) -> Self:
        """The writer of a store, which is made if there is none.

        Raises StoreError when the folder cannot be written to, or is of a newer layout.
        """
        root = root_of(store)
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not (root / MARKER).exists():
                _publish(root / MARKER, json.dumps({"schema_version": VERSION}).encode())
        except OSError as error:
            raise _unwritable(root, error) from error
        check_version(root)
        if not os.access(root, os.W_OK):
            raise StoreError(f"the store cannot be written to: {root}: no permission")
        return cls(root)

    @staticmethod
    def probe(store: str | Path) -> None:
        """Raise StoreError where `open` would, and leave nothing behind."""
        root = root_of(store)
        if (root / MARKER).exists():
            check_version(root)
        existing = next(folder for folder in (root, *root.parents) if folder.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise _unwritable(root, error) from error

    def write_sweep(self, record: SweepRecord) -> None:
        """Note which trials a sweep asked for."""
        rows = [
            {"position": position, "trial_id": trial_id, "levels": levels, "spec": spec}
            for position, (trial_id, levels, spec) in enumerate(
                zip(record.trial_ids, record.levels, record.specs, strict=True)
            )
        ]
        shared = {
            "sweep": record.sweep,
            "sweep_id": record.sweep_id,
            "lip_ray_version": record.lip_ray_version,
            "requested_at": record.requested_at,
        }
        path = sweep_file(self._root, record.sweep, record.sweep_id)
        self._write(path, "sweeps", [shared | row for row in rows])

    def write_trial(self, record: TrialRecord) -> None:
        """Note that a trial has begun."""
        self._write(trial_file(self._root, record.trial_id), "trials", [asdict(record)])

    def write_level(self, records: Sequence[LevelRecord]) -> bool:
        """Commit one level of a trial, all its images at once; its `levels` rows go last.

        Returns False when other rows were there before: another worker had the trial, or one that
        died left masks that differ in the last bits. The caller then goes on from what is stored.
        """
        first = records[0]
        key = {"trial_id": first.trial_id, "level": first.level}
        new_masks = {level: layers for record in records for level, layers in record.masks.items()}
        ours = [
            self._write(
                level_file(self._root, "masks", first.trial_id, level),
                "masks",
                self._mask_rows(first.trial_id, level, layers),
            )
            for level, layers in sorted(new_masks.items())
        ]
        new_weights = {level: t for record in records for level, t in record.weights.items()}
        ours += [
            self._write_tensors("weights", first.trial_id, level, tensors)
            for level, tensors in sorted(new_weights.items())
        ]
        if first.network:
            ours.append(self._write_tensors("networks", first.trial_id, first.level, first.network))
        tables: Mapping[str, list[dict[str, Any]]] = {
            "curves": [
                key | {"image": record.image} | asdict(record.curve)
                for record in records
                if record.curve is not None
            ],
            "reconstructions": [
                key | {"image": record.image} | asdict(picture)
                for record in records
                for picture in record.reconstructions
            ],
            "levels": [_level_row(record) for record in records],
        }
        for table, rows in tables.items():
            path = level_file(self._root, table, first.trial_id, first.level)
            if rows:
                ours.append(self._write(path, table, rows))
        unfinished_file(self._root, first.trial_id, first.level).unlink(missing_ok=True)
        return all(ours)

    def keep_unfinished(self, trial_id: str, level: int, state: bytes) -> None:
        """Note how far a level has come, in place of what was noted before."""
        path = unfinished_file(self._root, trial_id, level)
        try:
            path.parent.mkdir(exist_ok=True)
            with _drafted(path, state) as draft:
                draft.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _write_tensors(
        self, table: str, trial_id: str, level: int, tensors: Sequence[StoredTensor]
    ) -> bool:
        return self._write(
            level_file(self._root, table, trial_id, level),
            table,
            [
                {"trial_id": trial_id, "level": level, "position": i} | asdict(tensor)
                for i, tensor in enumerate(tensors)
            ],
        )

    def _mask_rows(
        self, trial_id: str, level: int, layers: Sequence[LayerMask]
    ) -> list[dict[str, Any]]:
        """A mask nested in the level before takes a bit for each of that level's weights only."""
        key: dict[str, Any] = {"trial_id": trial_id, "level": level, "within": None}
        outer = masks.read(self._root, trial_id, level - 1) if level else None
        if outer and masks.nested(layers, outer):
            key["within"] = level - 1
            layers = [masks.folded(a, b) for a, b in zip(layers, outer, strict=True)]
        return [key | {"position": i} | asdict(layer) for i, layer in enumerate(layers)]

    def _write(self, path: Path, table: str, rows: list[dict[str, Any]]) -> bool:
        """Whether the file now holds these rows; it does not where another's were there first."""
        content = _parquet(table, rows)
        try:
            path.parent.mkdir(exist_ok=True)
            return _publish(path, content)
        except OSError as error:
            raise _unwritable(path, error) from error


def _level_row(record: LevelRecord) -> dict[str, Any]:
    names = (name for name in TABLES["levels"].names if name != "outcome")
    return {name: getattr(record, name) for name in names} | {"outcome": str(record.outcome)}


def _parquet(table: str, rows: list[dict[str, Any]]) -> bytes:
    """A lean file: loose files are read whole, so statistics and dictionaries only add bytes."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        TABLES[table],
        compression="zstd" if table in PACKED else "none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    ) as file:
        file.write_table(pa.Table.from_pylist(rows, schema=TABLES[table]))
        file.add_key_value_metadata({VERSION_KEY: str(VERSION)})
    return bytes(sink.getvalue())


def _publish(path: Path, content: bytes) -> bool:
    """Make the file appear whole or not at all; whether it now holds this content.

    A hard link fails where the name is taken, so the first writer wins and files never change.
    """
    with _drafted(path, content) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            # An NFS server may have made the link and lost the answer: then both names are one.
            return draft.stat().st_nlink == 2 or path.read_bytes() == content
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            if path.exists():
                return path.read_bytes() == content
            draft.rename(path)
        _sync_folder(path.parent)
        return True


@contextmanager
def _drafted(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file beside `path`, safe on disk; gone afterwards unless it was moved."""
    unique = f"{platform.node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    draft = path.with_name(f".{path.name}.{unique}.tmp")  # hidden: no reader takes it for data
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may take the name away again."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"the store cannot be written to: {path}: {error.strerror or error}")
