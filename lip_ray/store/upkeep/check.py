"""A check of every byte of a store: sound files, complete levels, correct masks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lip_ray.records import Outcome
from lip_ray.store.database import database
from lip_ray.store.decoded import Reading
from lip_ray.store.files import READ_ERRORS, Files, valid
from lip_ray.store.limits import Limits
from lip_ray.store.manifest import (
    COMPACTED,
    FILE,
    FOLDER,
    Manifest,
    loose_files,
    newest,
    part_schema,
    stem_of,
    stems,
    table_of,
)
from lip_ray.store.omissions import BULKY
from lip_ray.store.paths import SUFFIX, StoreError
from lip_ray.store.schema import TABLES
from lip_ray.store.seal import Seal
from lip_ray.store.upkeep.repair import recovery, strays
from lip_ray.store.upkeep.rows import alike, covered_by, folded_rows_of, opened

KEYS: Mapping[str, tuple[str, ...]] = {
    "sweeps": ("sweep", "sweep_id", "position"),
    "trials": ("trial_id",),
    "levels": ("trial_id", "level", "image"),
    "curves": ("trial_id", "level", "image"),
    "choices": ("trial_id", "level", "image", "rule", "settings"),
    "masks": ("trial_id", "level", "position"),
    "weights": ("trial_id", "level", "position"),
    "networks": ("trial_id", "level", "position"),
    "reconstructions": ("trial_id", "level", "image", "role"),
    "pictures": ("trial_id", "level", "image", "role"),
    "omissions": ("trial_id", "level", "omitted"),
    "failures": ("trial_id", "failed_at"),
    "scores": ("search", "search_id", "number"),
    "points": ("search", "search_id", "number", "position"),
}
"""The columns that identify a row of each table."""

ALSO = {
    "trials": ("kind", "levels", "source_ids", "spec"),
    "levels": ("outcome", "steps", "unfinished"),
    "masks": ("layer", "kept", "total", "within"),
}

OF_LEVELS = (
    "levels",
    "curves",
    "choices",
    "masks",
    "weights",
    "networks",
    "reconstructions",
    "pictures",
)

NAMED_AFTER: Mapping[str, str] = {
    "sweeps": "sweep || '-' || sweep_id",
    "trials": "trial_id",
    "failures": "trial_id || regexp_extract(file, '-[0-9]{3,}$')",
    "omissions": "printf('%s-%03d-%s', trial_id, level, omitted)",
    "scores": "printf('%s-%s-%05d', search, search_id, number)",
    "points": "printf('%s-%s-%05d', search, search_id, number)",
    **dict.fromkeys(OF_LEVELS, "printf('%s-%03d', trial_id, level)"),
}
"""The SQL for the name of a row's file, without folder and suffix, by table."""

MENDED = (*OF_LEVELS, "trials", "sweeps")
"""Tables whose missing rows are written anew when the sweep is run again."""

OF_TABLE = re.compile(rf".+{re.escape(SUFFIX)}")
OF_COMPACTION = re.compile(
    rf"({'|'.join(COMPACTED)})-[0-9a-f]{{8}}{re.escape(SUFFIX)}|manifest-\d{{6,}}.json"
)

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


def _renamed(table: str) -> str:
    return f"""
    select distinct origin, 'renamed or copied: it has the rows of ' || {NAMED_AFTER[table]}
    from {table} where file != {NAMED_AFTER[table]}
    """


def _twice(table: str) -> str:
    key = ", ".join(KEYS[table])
    return f"""
    select distinct origin,
           case when one = other then 'has rows twice' else 'has rows that ' || one || ' has' end
    from {table} join (
        select {key}, min(origin) as one, max(origin) as other
        from {table} group by {key} having count(*) > 1
    ) using ({key})
    where origin != one or one = other
    """


ENDED = f"outcome in ('{Outcome.BUDGET}', '{Outcome.STOPPED}')"
HAS_MASK = f"outcome != '{Outcome.FAILED}'"


def _omitted(table: str) -> str:
    """SQL for the levels whose rows of a table were left out when the store was published."""
    return f"(select trial_id, level from omissions where omitted = '{table}')"


def _missing(table: str) -> str:
    """SQL for rows that a completed fit lacks although other fits of its trial have them, unless
    they were left out."""
    key = "trial_id, level" if table == "masks" else "trial_id, level, image"
    return f"""
    select distinct '{table}/' || file || '{SUFFIX}', 'missing: other levels of its trial have one'
    from levels anti join {table} using ({key}) anti join {_omitted(table)} using (trial_id, level)
    where {ENDED} and trial_id in (select trial_id from {table})
    """


def _implied(table: str, kinds: str, of_levels: str, why: str) -> str:
    """SQL for rows that each level of these kinds of trials must have, unless they were left
    out."""
    return f"""
    select distinct '{table}/' || level.file || '{SUFFIX}', 'missing: {why}'
    from levels as level join trials as trial using (trial_id)
    anti join {table} as own on own.trial_id = level.trial_id and own.level = level.level
    anti join {_omitted(table)} as omitted
    on omitted.trial_id = level.trial_id and omitted.level = level.level
    where {of_levels} and ({kinds})
    """


FINDERS = "trial.kind in ('trajectory', 'generator')"
"""The kinds of trials that find tickets, so that all their levels have masks."""

REWINDS = "case when json_valid(trial.spec) then trial.spec->>'$.rewind.kind' end"

IMPLIED = (
    _implied("masks", FINDERS, HAS_MASK, "every level of its trial has one"),
    _implied(
        "curves",
        "trial.kind in ('trajectory', 'transfer', 'generator', 'reconstruction')",
        f"{ENDED} and steps > 0",
        "its fit took steps",
    ),
    _implied(
        "choices",
        "unfinished is not null",
        f"{ENDED} and steps > 0",
        "stopping rules watched its fit",
    ),
    _implied(
        "networks",
        "trial.kind = 'generator'",
        f"{ENDED} and steps > 0",
        "every level of its trial has one",
    ),
    _implied(
        "weights",
        f"{REWINDS} = 'finetune' or ({REWINDS} = 'step' and level.level = 1)",
        f"level.level > 0 and {HAS_MASK}",
        "its trial rewinds to it",
    ),
)

NEXT_MASK = f"""
select distinct printf('masks/%s-%03d{SUFFIX}', level.trial_id, level.level + 1),
       'missing: it was found with the level above, and a run would record its level as failed'
from levels as level join trials as trial using (trial_id)
anti join levels as below on below.trial_id = level.trial_id and below.level = level.level + 1
anti join masks as own on own.trial_id = level.trial_id and own.level = level.level + 1
anti join {_omitted("masks")} as omitted
on omitted.trial_id = level.trial_id and omitted.level = level.level + 1
where {ENDED} and {FINDERS} and level.level + 1 < trial.levels
  and not coalesce(
      {REWINDS} = 'step' and level.level = 0 and outcome = '{Outcome.STOPPED}', false
  )
"""
"""The mask of a level that is not fitted yet is stored before the rows of the level above. A dense
fit that stopped before the step that its trial rewinds to leaves none."""

NOT_ASKED = """
select 'sweeps', 'missing: no sweep or search has ' || min(trial_id) ||
       case when count(*) > 1 then printf(' and %d more', count(*) - 1) else '' end
from trials
where trial_id not in (select trial_id from sweeps where trial_id is not null)
  and trial_id not in (select trial_id from points where trial_id is not null)
  and trial_id not in (select unnest(source_ids) from trials)
having count(*) > 0
"""
"""Trials that no sweep lists, although a sweep lists its trials before they begin."""

NO_SPEC = """
select distinct origin, 'a spec is no JSON object' from trials
where case when json_valid(spec) then json_type(spec) != 'OBJECT' else true end
"""

NO_POINT = f"""
select distinct printf('points/%s-%s-%05d{SUFFIX}', search, search_id, number),
       'missing: its score is there'
from scores anti join points using (search, search_id, number)
union
select distinct printf('points/%s-%s-%05d{SUFFIX}', search, search_id, above.number),
       'missing: later points are there'
from (select search, search_id, number - 1 as number from points where number > 0) as above
anti join points using (search, search_id, number)
"""

NO_FAILURE = f"""
select distinct printf('failures/%s-%03d{SUFFIX}', trial_id, above.number),
       'missing: later failures of its trial are there'
from (
    select trial_id, regexp_extract(file, '[0-9]+$')::integer - 1 as number from failures
) as above
anti join (
    select trial_id, regexp_extract(file, '[0-9]+$')::integer as number from failures
) using (trial_id, number)
where above.number >= 0
"""

GAP = f"""
select distinct printf('levels/%s-%03d{SUFFIX}', trial_id, above.level),
       'missing: levels below are there'
from (select trial_id, level - 1 as level from levels where level > 0) as above
anti join levels using (trial_id, level)
"""

NO_TRIAL = f"""
select distinct 'trials/' || trial_id || '{SUFFIX}', 'missing: levels of it are there'
from levels anti join trials using (trial_id)
union
select distinct 'trials/' || trial_id || '{SUFFIX}', 'missing: other rows of it are there'
from ({" union all ".join(f"select trial_id from {t}" for t in OF_LEVELS if t != "levels")})
anti join trials using (trial_id) anti join levels using (trial_id)
"""

WRONG_BITS = """
with nested as (
    select mask.*, outside.layer as outer_layer,
           case when mask.within is null then mask.total else outside.kept end as places
    from masks as mask left join masks as outside
      on outside.trial_id = mask.trial_id and outside.level = mask.within
     and outside.position = mask.position
)
select origin, arg_min(printf('level %d of %s, layer %s: ', level, trial_id, layer) || case
    when places is null then 'nested in level ' || within || ', which is missing'
    when layer != outer_layer then 'nested in a layer ' || outer_layer
    when size != (places + 7) // 8 then printf('%d bytes for %d weights', size, places)
    else printf('%d weights kept, not the %d it says', ones, kept)
end, (level, position))
from nested
where places is null or layer != outer_layer or size != (places + 7) // 8 or ones != kept
group by origin
"""
"""Masks with a wrong number of bits, one per file. There is a bit for each weight, or for each that
the mask it is within keeps."""

THERE = " union all ".join(f"select trial_id, level, '{t}' as omitted from {t}" for t in BULKY)

LEFT_OUT = f"""
select omitted, count(*), count(distinct trial_id) from omissions anti join ({THERE})
using (trial_id, level, omitted) group by omitted order by omitted
"""
"""By table, the number of levels and trials whose rows were left out and are not there."""

OF_ROWS = tuple((table, rule(table)) for rule in (_renamed, _twice) for table in TABLES)
"""SQL for the rows of a table that are wrong by themselves, which running again does not mend."""

RULES = (
    *((_missing(table), True) for table in ("masks", "curves", "choices", "reconstructions")),
    *((rule, True) for rule in (GAP, NO_TRIAL, NOT_ASKED, WRONG_BITS, *IMPLIED, NEXT_MASK)),
    *((rule, False) for rule in (NO_SPEC, NO_POINT, NO_FAILURE)),
)
"""SQL for each other kind of damage: files and what is wrong with them, and whether running again
may mend it."""

BATCH = 512
"""The number of files that are compared with a part at a time."""

ATTEMPTS = 3

UNNAMED = "rows without an id"
"""What is named in place of a file where rows do not say whose they are."""


class Damage(NamedTuple):
    """A damaged file and what is wrong with it."""

    file: str
    what: str
    mended: bool
    """Whether running the sweep again restores its rows, once the file is deleted and with it the
    `levels` files of its trial, by which the trial counts as done."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """The result of a check: what was read, and what is wrong with it."""

    problems: tuple[Damage, ...]
    counts: Mapping[str, int]
    """The number of readable rows, by table."""
    files: int
    """The number of files that were read."""
    unsealed: int = 0
    """The number of those that have no checksum."""
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By table, the number of levels, and of trials, whose rows were left out when the store was
    published."""

    @property
    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        rows = ", ".join(f"{count:,} {table}" for table, count in self.counts.items() if count)
        yield f"{self.files:,} files were read, with the rows of {rows or 'nothing'}"
        if self.unsealed:
            yield (
                f"{self.unsealed:,} of them are unverified: an older version wrote them, without a "
                "checksum"
            )
        if self.left_out:
            each = (
                f"{table} of {_counted_as(levels, 'level')} of {_counted_as(trials, 'trial')}"
                for table, (levels, trials) in self.left_out.items()
            )
            yield f"left out when the store was published: {', '.join(each)}"
        if not self.problems:
            yield "all is well"
        for mended, how in (
            (True, "delete them and the levels files of their trials, and run the sweep again"),
            (False, "no sweep that is run again mends them"),
        ):
            found = [problem for problem in self.problems if problem.mended == mended]
            if found:
                yield f"{len(found):,} problem{'s'[: len(found) > 1]}: {how}"
                yield from (f"  {problem.file}: {problem.what}" for problem in found)


def _counted_as(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def check(store: str | Path) -> Health:
    r"""Read all of a store and report what is wrong; nothing is changed.

    Others may read, write and compact meanwhile. Raises StoreError where there is no store.
    """
    files = opened(store)
    for _ in range(ATTEMPTS):
        try:
            return Examination(files).health()
        except FileNotFoundError:  # compaction was faster
            continue
    raise StoreError(f"{files.where} changes all the time: try again")


class Examination:
    """One check of a store in its present state."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._found: dict[str, str] = {}
        """What is wrong with each file; only the first finding is kept."""
        self._beyond: set[str] = set()
        """Those of the damaged files that no run mends."""
        self._read = 0
        self._unsealed = 0
        order = ("levels", *(table for table in TABLES if table != "levels"))
        self._loose = {table: loose_files(files, table) for table in order}
        self._manifest = self._newest()

    def health(self) -> Health:
        """The findings of all rules. Raises FileNotFoundError where a file has vanished
        meanwhile."""
        counts = {}
        with database(Limits.of_environment()) as bounded:
            connection = bounded.connection
            for table in TABLES:
                rows = self._rows(table)
                counts[table] = len(rows)
                connection.register(f"rows_{table}", rows)
                origin = f"coalesce(part, '{table}/' || file || '{SUFFIX}') as origin"
                connection.execute(f"create view {table} as select *, {origin} from rows_{table}")
            own = [(rule, False) for table, rule in OF_ROWS if counts[table]]
            for rule, mended in (*own, *RULES):
                for file, what in connection.execute(rule).fetchall():
                    self._say(file, what, mended=mended)
            omitted = connection.execute(LEFT_OUT).fetchall()
            folded = connection.execute(
                "select distinct trial_id from levels where part is not null"
            )
            fixed = frozenset(trial_id for (trial_id,) in folded.fetchall())
        self._look_for_strangers()
        problems = [
            Damage(file, what, file not in self._beyond and _mended(file, fixed))
            for file, what in sorted(self._found.items())
        ]
        return Health(
            problems=tuple(problems),
            counts=counts,
            files=self._read,
            unsealed=self._unsealed,
            left_out={table: (levels, trials) for table, levels, trials in omitted},
        )

    def _say(self, file: str | None, what: str, *, mended: bool = True) -> None:
        file = file or UNNAMED
        if file not in self._found:
            self._found[file] = what
            self._beyond.update(() if mended else {file})

    def _newest(self) -> Manifest:
        """The manifest that counts, or the one that a repair would write."""
        try:
            found = newest(self._files)
        except StoreError as error:
            self._say(FOLDER, str(error))
            return recovery(self._files).manifest
        for part in strays(self._files, found):
            self._say(part, self._stray(part), mended=False)
        return found

    def _stray(self, part: str) -> str:
        """What is wrong with a part that no manifest names."""
        try:
            stems(self._files, table_of(part), part)
        except READ_ERRORS:
            return "damaged, and no manifest names it"
        return (
            "no manifest names it, and its rows are nowhere else: lip store check --repair makes "
            "them count"
        )

    def _look_for_strangers(self) -> None:
        for folder in (*TABLES, FOLDER):
            pattern = OF_COMPACTION if folder == FOLDER else OF_TABLE
            for name in self._files.names(folder):
                if not pattern.fullmatch(name.rpartition("/")[2]):
                    self._say(name, "no file of a store: nothing reads it", mended=False)

    def _rows(self, table: str) -> pa.Table:
        """The columns that rules need of every row that counts: in parts, and in loose files of no
        part."""
        kept = [_looked_at(table, part_schema(table).empty_table(), None)]
        parts = [
            name for name in self._manifest.parts.get(table, ()) if self._whole(table, name, kept)
        ]
        covered = covered_by(self._files, table, parts)
        free = [name for name in self._loose[table] if stem_of(name) not in covered]
        reading = Reading(self._files, table, free)
        kept += [_looked_at(table, rows, None) for rows in reading]
        self._count(reading)
        for name in reading.damaged:
            self._say(name, "damaged")
        free_names = set(free)
        self._compare(table, parts, [n for n in self._loose[table] if n not in free_names])
        return pa.concat_tables(kept)

    def _whole(self, table: str, part: str, kept: list[pa.Table]) -> bool:
        """Whether all of a part can be read; the columns that rules need are added to `kept`."""
        try:
            dataset = self._files.parts([part], part_schema(table))
            found = [_looked_at(table, valid(rows), part) for rows in dataset.to_batches()]
        except FileNotFoundError:
            if newest(self._files) != self._manifest:
                raise
            self._say(part, "missing: so are its rows, but for those whose own files are there")
            return False
        except READ_ERRORS as error:
            self._say(part, f"damaged, its rows are missing but for those with own files: {error}")
            return False
        kept += found
        self._read += 1
        self._unsealed += self._files.seal(part) is Seal.MISSING
        return True

    def _count(self, reading: Reading) -> None:
        self._read += reading.count
        self._unsealed += reading.unsealed

    def _compare(self, table: str, parts: Sequence[str], names: Sequence[str]) -> None:
        """Compare files that parts cover, and that will be deleted, with their rows in the
        parts."""
        for start in range(0, len(names), BATCH):
            batch = {stem_of(name): name for name in names[start : start + BATCH]}
            held = folded_rows_of(self._files, table, parts, batch)
            reading = Reading(self._files, table, list(batch.values()))
            for rows in reading:
                stem = rows[FILE][0].as_py() if len(rows) else ""
                if stem and not alike(rows, held[stem]):
                    self._say(batch[stem], "unlike its rows in a part, which count", mended=False)
            self._count(reading)
            for name in reading.damaged:
                self._say(name, "damaged, but a part has its rows: delete it", mended=False)


def _looked_at(table: str, rows: pa.Table | pa.RecordBatch, part: str | None) -> pa.Table:
    """Keys, file and part of each row; for masks also how many bits there are and how many are
    set."""
    names = [*KEYS[table], *ALSO.get(table, ()), FILE]
    found = pa.table({name: rows.column(name) for name in names})
    found = found.append_column("part", pa.array([part] * len(rows), pa.string()))
    if table != "masks":
        return found
    size, ones = _counted(rows.column("bits"))
    return found.append_column("size", pa.array(size)).append_column("ones", pa.array(ones))


def _counted(bits: pa.Array | pa.ChunkedArray) -> tuple[Integers, Integers]:
    """For each mask, its bytes and how many bits are set."""
    whole = pa.chunked_array(bits) if isinstance(bits, pa.Array) else bits
    whole = whole.combine_chunks()
    if not len(whole):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    _, places, values = whole.buffers()
    ends = np.frombuffer(places, np.int32)[whole.offset : whole.offset + len(whole) + 1]
    set_bits = np.bitwise_count(np.frombuffer(values or b"", np.uint8)[ends[0] : ends[-1]])
    before = np.concatenate([[0], set_bits.cumsum(dtype=np.int64)])
    return np.diff(ends).astype(np.int64), np.diff(before[ends - ends[0]])


def _mended(file: str, folded: frozenset[str]) -> bool:
    """Whether a file is of a sweep, or of a trial whose `levels` files can still be deleted."""
    table, _, name = file.partition("/")
    if table == "sweeps":
        return True
    trial_id = stem_of(name) if table == "trials" else name.partition("-")[0]
    return table in MENDED and trial_id not in folded
