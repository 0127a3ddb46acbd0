"""The only writer: rows become immutable files, and of two writers of one file the first wins."""

import errno
import json
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lip_ray.records import (
    FailureRecord,
    LayerMask,
    LevelRecord,
    PointRecord,
    ScoreRecord,
    Standing,
    StoredTensor,
    SweepRecord,
    TrialRecord,
)
from lip_ray.store import masks
from lip_ray.store.paths import (
    MARKER,
    check_version,
    failure_file,
    level_file,
    point_file,
    root_of,
    running_file,
    sweep_file,
    trial_file,
    unfinished_file,
)
from lip_ray.store.patience import Patience, Result, unwritable
from lip_ray.store.schema import PACKED, TABLES, VERSION, VERSION_KEY

NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


class Writer:
    """Writes into one store; any number of them may do so at once, from any machine."""

    def __init__(self, root: Path, patience: Patience) -> None:
        self._root = root
        self._patience = patience

    @property
    def root(self) -> Path:
        """The store's folder, absolute, for whoever is to open it from elsewhere."""
        return self._root

    @classmethod
    def open(
        cls,
        store: str | Path,
        *,
        patience_s: float = 0.0,
        must_exist: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The writer of a store, which is made if there is none, unless it `must_exist`.

        A write that fails in a way that passes, as on a full disk or when a mount is gone, is tried
        again for `patience_s` seconds; so is a look for a store that must exist. Then it raises
        StoreUnavailable.

        Raises StoreError when the folder cannot be written to, or is of a newer layout.
        """
        root = root_of(store)
        patience = Patience(patience_s, sleep=sleep, clock=clock)
        opening = patience if must_exist else Patience(0.0)  # a wrong path is said at once
        opening.insist(root, partial(_enter, root, make=not must_exist))
        return cls(root, patience)

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
            raise unwritable(root, error) from error

    @contextmanager
    def beacon(self) -> Iterator[str]:
        """A name by which a reader elsewhere knows this very store from one of the same path."""
        name = f".beacon.{uuid.uuid4().hex}"
        try:
            (self._root / name).touch()
        except OSError as error:
            raise unwritable(self._root, error) from error
        try:
            yield name
        finally:
            (self._root / name).unlink(missing_ok=True)

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
            self._write_mask(first.trial_id, level, layers)
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
        with suppress(OSError):  # the level is committed; a state that stays is read no more
            unfinished_file(self._root, first.trial_id, first.level).unlink(missing_ok=True)
        return all(ours)

    def write_failure(self, record: FailureRecord) -> None:
        """Note that a run gave a trial up, beside what was noted before."""
        row = asdict(record) | {"cause": str(record.cause)}
        paths = (failure_file(self._root, record.trial_id, number) for number in count())
        next(path for path in paths if self._write(path, "failures", [row]))

    def write_point(self, record: PointRecord) -> bool:
        """Note that a search asked for a point. Returns False when another's was there first."""
        row = asdict(record)
        trials = list(zip(row.pop("trial_ids"), row.pop("specs"), row.pop("levels"), strict=True))
        rows = [
            row | {"position": position, "trial_id": trial_id, "spec": spec, "levels": levels}
            for position, (trial_id, spec, levels) in enumerate(trials or [(None, None, None)])
        ]
        path = point_file(self._root, "points", record.search, record.search_id, record.number)
        return self._write(path, "points", rows)

    def write_score(self, record: ScoreRecord) -> bool:
        """Note what a point came to. Returns False when another's was there first."""
        path = point_file(self._root, "scores", record.search, record.search_id, record.number)
        return self._write(path, "scores", [asdict(record)])

    def note_standing(self, standing: Standing) -> None:
        """Note how far a trial has come, in place of what was noted before.

        Nothing depends on it: where it cannot be written, nothing is.
        """
        path = running_file(self._root, standing.trial_id)
        note = json.dumps(asdict(standing) | {"host": platform.node()})
        with suppress(OSError):
            self._make_ready(path)
            with _drafted(path, note.encode(), durable=False) as draft:
                draft.replace(path)

    def end_standing(self, trial_id: str) -> None:
        """Remove what was noted of a trial that no longer runs here."""
        with suppress(OSError):
            running_file(self._root, trial_id).unlink(missing_ok=True)

    def keep_unfinished(self, trial_id: str, level: int, state: bytes) -> None:
        """Note how far a level has come, in place of what was noted before."""
        path = unfinished_file(self._root, trial_id, level)

        def replace() -> None:
            with _drafted(path, state) as draft:
                draft.replace(path)

        self._insist(path, replace)

    def _write_mask(self, trial_id: str, level: int, layers: Sequence[LayerMask]) -> bool:
        path = level_file(self._root, "masks", trial_id, level)
        rows = self._insist(path, partial(self._mask_rows, trial_id, level, layers))
        return self._write(path, "masks", rows)

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
        return self._insist(path, partial(_publish, path, _parquet(table, rows)))

    def _insist(self, path: Path, act: Callable[[], Result]) -> Result:
        """What `act` returns, which is about `path`; tried again as long as patience lasts."""

        def ready_and_act() -> Result:
            self._make_ready(path)
            return act()

        return self._patience.insist(path, ready_and_act)

    def _make_ready(self, path: Path) -> None:
        """Have the folder of the file there."""
        _check_there(self._root)
        path.parent.mkdir(exist_ok=True)


def _enter(root: Path, *, make: bool) -> None:
    if make:
        root.mkdir(parents=True, exist_ok=True)
    if make and not (root / MARKER).exists():
        _publish(root / MARKER, json.dumps({"schema_version": VERSION}).encode())
    _check_there(root)
    check_version(root)
    if not os.access(root, os.W_OK):
        raise PermissionError(errno.EACCES, "no permission")


def _check_there(root: Path) -> None:
    """Raise an OSError unless the store is there: below a mount that is gone lies another disk."""
    try:
        (root / MARKER).stat()
    except FileNotFoundError as error:
        missing = f"there is no store there (no {MARKER})"
        raise FileNotFoundError(errno.ENOENT, missing, str(root)) from error


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
        ours = _linked(draft, path, content)
        _sync_folder(path.parent)
        return ours


def _linked(draft: Path, path: Path, content: bytes) -> bool:
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
    return True


@contextmanager
def _drafted(path: Path, content: bytes, *, durable: bool = True) -> Iterator[Path]:
    """The content in a file beside `path`, gone afterwards unless it was moved.

    A durable one is safe on disk, so that not even a power cut leaves a name without its content.
    """
    unique = f"{platform.node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    draft = path.with_name(f".{path.name}.{unique}.tmp")  # hidden: no reader takes it for data
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may take the name away again."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
