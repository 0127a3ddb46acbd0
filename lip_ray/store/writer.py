"""The only writer: rows become immutable files, and of two writers of one file the first wins."""

import json
import platform
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
from lip_ray.store.files import Files, files_of
from lip_ray.store.manifest import folded_rows
from lip_ray.store.marker import check_there, check_version, mark
from lip_ray.store.paths import (
    Damaged,
    failure_file,
    level_file,
    point_file,
    running_file,
    sweep_file,
    trial_file,
    unfinished_file,
)
from lip_ray.store.patience import Patience, Result, unwritable
from lip_ray.store.schema import PACKED, TABLES, VERSION, VERSION_KEY
from lip_ray.store.seal import BLANK, KEY, sealed
from lip_ray.store_names import MARKER


class Writer:
    """Writes into one store; any number of them may do so at once, from any machine."""

    def __init__(self, files: Files, patience: Patience) -> None:
        self._files = files
        self._patience = patience

    @property
    def where(self) -> str:
        """The store's absolute address, by which others can open it from elsewhere."""
        return self._files.where

    @property
    def folder(self) -> Path | None:
        """The store's folder; None where it is in a bucket."""
        return self._files.local(".")

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
        patience = Patience(patience_s, sleep=sleep, clock=clock)
        opening = patience if must_exist else Patience(0.0)  # a wrong path is said at once
        files = opening.insist(str(store), partial(files_of, store))
        opening.insist(files.where, partial(_enter, files, make=not must_exist))
        return cls(files, patience)

    @staticmethod
    def probe(store: str | Path) -> None:
        """Raise StoreError where `open` would, and leave nothing behind."""
        files = files_of(store)
        try:
            if files.exists(MARKER):
                check_version(files)
            files.probe()
        except OSError as error:
            raise unwritable(files.where, error) from error

    @contextmanager
    def beacon(self) -> Iterator[str]:
        """A name by which a reader elsewhere knows this very store from one of the same path."""
        name = f".beacon.{uuid.uuid4().hex}"
        try:
            self._files.replace(name, b"", durable=False)
        except OSError as error:
            raise unwritable(self.where, error) from error
        try:
            yield name
        finally:
            self._files.remove(name)

    def write_sweep(self, record: SweepRecord) -> None:
        """Write the trials of a sweep."""
        rows = [
            {"position": position, "trial_id": trial_id, "kind": kind, "levels": levels}
            | {"spec": spec}
            for position, (trial_id, kind, levels, spec) in enumerate(
                zip(record.trial_ids, record.kinds, record.levels, record.specs, strict=True)
            )
        ]
        shared = {
            "sweep": record.sweep,
            "sweep_id": record.sweep_id,
            "lip_ray_version": record.lip_ray_version,
            "requested_at": record.requested_at,
        }
        name = sweep_file(record.sweep, record.sweep_id)
        self._write(name, "sweeps", [shared | row for row in rows])

    def write_trial(self, record: TrialRecord) -> None:
        """Write that a trial has begun."""
        facets = record.facets.columns() if record.facets else {}
        self._write(trial_file(record.trial_id), "trials", [asdict(record) | facets])

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
            "choices": [
                key | {"image": record.image} | asdict(choice)
                for record in records
                for choice in record.choices
            ],
            "reconstructions": [
                key | {"image": record.image} | asdict(picture)
                for record in records
                for picture in record.reconstructions
            ],
            "pictures": [
                key | {"image": record.image} | asdict(picture)
                for record in records
                for picture in record.pictures
            ],
            "levels": [_level_row(record) for record in records],
        }
        for table, rows in tables.items():
            name = level_file(table, first.trial_id, first.level)
            if rows:
                ours.append(self._write(name, table, rows))
        with suppress(OSError):  # the level is committed; a state that stays is read no more
            self._files.remove(unfinished_file(first.trial_id, first.level))
        return all(ours)

    def write_failure(self, record: FailureRecord) -> None:
        """Write a failure of a trial, beside earlier ones."""
        row = asdict(record) | {"cause": str(record.cause)}
        names = (failure_file(record.trial_id, number) for number in count())
        next(name for name in names if self._write(name, "failures", [row]))

    def write_point(self, record: PointRecord) -> bool:
        """Note that a search asked for a point. Returns False when another's was there first."""
        row = asdict(record)
        each = [row.pop(names) for names in ("trial_ids", "kinds", "specs", "levels")]
        trials = list(zip(*each, strict=True)) or [(None,) * len(each)]
        rows = [
            row
            | {"position": position, "trial_id": trial_id, "kind": kind}
            | {"spec": spec, "levels": levels}
            for position, (trial_id, kind, spec, levels) in enumerate(trials)
        ]
        name = point_file("points", record.search, record.search_id, record.number)
        return self._write(name, "points", rows)

    def write_score(self, record: ScoreRecord) -> bool:
        """Note what a point came to. Returns False when another's was there first."""
        name = point_file("scores", record.search, record.search_id, record.number)
        return self._write(name, "scores", [asdict(record)])

    def note_standing(self, standing: Standing) -> None:
        r"""Write the progress of a trial, in place of the last note.

        Nothing depends on the note: errors in writing it are ignored.
        """
        name = running_file(standing.trial_id)
        note = json.dumps(asdict(standing) | {"host": platform.node()})
        with suppress(OSError):
            check_there(self._files)
            self._files.replace(name, note.encode(), durable=False)

    def end_standing(self, trial_id: str) -> None:
        """Remove the note of a trial that no longer runs here."""
        with suppress(OSError):
            self._files.remove(running_file(trial_id))

    def keep_unfinished(self, trial_id: str, level: int, state: bytes) -> None:
        """Write the checkpoint of a level, in place of the last one."""
        name = unfinished_file(trial_id, level)

        self._insist(name, partial(self._files.replace, name, state))

    def _write_mask(self, trial_id: str, level: int, layers: Sequence[LayerMask]) -> bool:
        name = level_file("masks", trial_id, level)
        rows = self._insist(name, partial(self._mask_rows, trial_id, level, layers))
        return self._write(name, "masks", rows)

    def _write_tensors(
        self, table: str, trial_id: str, level: int, tensors: Sequence[StoredTensor]
    ) -> bool:
        return self._write(
            level_file(table, trial_id, level),
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
        outer = masks.read(self._files, trial_id, level - 1) if level else None
        if outer and masks.nested(layers, outer):
            key["within"] = level - 1
            layers = [masks.folded(a, b) for a, b in zip(layers, outer, strict=True)]
        return [key | {"position": i} | asdict(layer) for i, layer in enumerate(layers)]

    def _write(self, name: str, table: str, rows: list[dict[str, Any]]) -> bool:
        """Whether the store now holds these rows; it does not where another's were there first."""
        return self._insist(name, partial(self._published, name, table, rows))

    def _published(self, name: str, table: str, rows: list[dict[str, Any]]) -> bool:
        content = lean(table, pa.Table.from_pylist(rows, schema=TABLES[table]))
        if not self._files.exists(name):
            with suppress(Damaged):  # what a part that cannot be read had is written anew
                folded = folded_rows(self._files, table, name)
                if folded is not None:
                    return lean(table, folded) == content
        return self._files.publish(name, content)

    def _insist(self, name: str, act: Callable[[], Result]) -> Result:
        """What `act` returns, which is about that file; tried again as long as patience lasts."""

        def there_and_act() -> Result:
            check_there(self._files)
            return act()

        return self._patience.insist(f"{self.where}/{name}", there_and_act)


def _enter(files: Files, *, make: bool) -> None:
    if make:
        mark(files)
    check_there(files)
    check_version(files)
    files.probe()


def _level_row(record: LevelRecord) -> dict[str, Any]:
    names = (name for name in TABLES["levels"].names if name != "outcome")
    return {name: getattr(record, name) for name in names} | {"outcome": str(record.outcome)}


def lean(table: str, rows: pa.Table) -> bytes:
    """A lean file with its checksum: loose files are read whole, so statistics and dictionaries
    only add bytes."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        TABLES[table],
        compression="zstd" if table in PACKED else "none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    ) as file:
        file.write_table(rows.combine_chunks())
        file.add_key_value_metadata({VERSION_KEY: str(VERSION), KEY: BLANK})
    return sealed(bytes(sink.getvalue()))
