"""Rows in parts count once, wherever their loose files are; damaged files are left out, named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.store import Reader, StoreError, Writer, queries
from lip_ray.store.files import Folder, files_of
from lip_ray.store.manifest import COMPACTED, FILE, Manifest, newest, publish, stem_of
from lip_ray.store.schema import TABLES

Make = Callable[..., Any]
A, B = "a" * 16, "b" * 16


@pytest.fixture
def store(tmp_path: Path, level_record: Make, trial_record: Make) -> Path:
    """Two trials of two levels, in loose files."""
    writer = Writer.open(tmp_path)
    for trial_id in (A, B):
        writer.write_trial(trial_record(trial_id))
        for level in range(2):
            writer.write_level([level_record(trial_id, level)])
    return tmp_path


def fold(store: Path, *, keep: bool = False, tables: tuple[str, ...] = COMPACTED) -> None:
    """One part a table of all that is loose; the files go unless they are kept."""
    files = files_of(store)
    old = newest(files)
    parts = dict(old.parts)
    for table in tables:
        names = files.names(table)
        if not names:
            continue
        rows = [_labelled(files.table(name, TABLES[table]), stem_of(name)) for name in names]
        part = f"compacted/{table}-{old.version:08x}.parquet"
        (store / "compacted").mkdir(exist_ok=True)
        pq.write_table(pa.concat_tables(rows), store / part, compression="zstd")
        parts[table] = (*parts.get(table, ()), part)
        for name in () if keep else names:
            files.remove(name)
    assert publish(files, Manifest(version=old.version + 1, parts=parts))


def _labelled(rows: pa.Table, stem: str) -> pa.Table:
    return rows.append_column(FILE, pa.array([stem] * len(rows), pa.string()))


def everything(reader: Reader) -> dict[str, list[str]]:
    """All rows of the tables that are compacted, as text."""
    return {
        table: sorted(map(repr, reader.sql(f"from {table}").to_pylist())) for table in COMPACTED
    }


class TestManifest:
    def test_without_one_nothing_is_compacted(self, store: Path) -> None:
        assert newest(files_of(store)) == Manifest(version=0, parts={})

    def test_the_newest_counts_and_none_is_written_over(self, store: Path) -> None:
        files = files_of(store)
        for version in (1, 2, 11):
            one = Manifest(version=version, parts={"levels": (f"compacted/levels-{version}",)})
            assert publish(files, one)
            assert newest(files) == one
        assert not publish(files, Manifest(version=11))
        assert newest(files).parts

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"parts": 3}'])
    def test_a_damaged_one_is_named(self, store: Path, content: bytes) -> None:
        files_of(store).publish("compacted/manifest-000001.json", content)
        with pytest.raises(StoreError, match=r"manifest-000001\.json cannot be read"):
            Reader(store).sql("from levels")


class TestReading:
    @pytest.mark.parametrize("keep", [False, True])
    def test_folded_rows_are_seen_once(self, store: Path, keep: bool) -> None:
        reader = Reader(store)
        before, done = everything(reader), reader.levels_done()
        masks = [reader.masks(A, level) for level in range(3)]
        fold(store, keep=keep)
        for one in (reader, Reader(store)):
            assert everything(one) == before
            assert one.levels_done() == done == {A: 2, B: 2}
            assert [one.levels_done_of(trial_id) for trial_id in (A, B, "c" * 16)] == [2, 2, 0]
            assert [one.masks(A, level) for level in range(3)] == masks
            assert one.damaged == ()
        assert None not in masks

    def test_new_files_join_the_parts(self, store: Path, level_record: Make) -> None:
        fold(store)
        reader = Reader(store)
        assert len(reader.frame("levels")) == 4
        Writer.open(store).write_level([level_record(A, 2)])
        assert len(reader.frame("levels")) == 5
        assert reader.levels_done() == {A: 3, B: 2}
        fold(store)
        assert sorted(reader.frame("levels")["level"]) == [0, 0, 1, 1, 2]
        assert len(newest(files_of(store)).parts["levels"]) == 2
        assert reader.masks(A, 3) is not None

    def test_levels_after_a_gap_do_not_count(self, store: Path, level_record: Make) -> None:
        fold(store)
        Writer.open(store).write_level([level_record(B, 3)])
        Writer.open(store).write_level([level_record("c" * 16, 1)])
        assert Reader(store).levels_done() == {A: 2, B: 2, "c" * 16: 0}
        assert [Reader(store).levels_done_of(trial_id) for trial_id in (B, "c" * 16)] == [2, 0]
        fold(store)
        assert Reader(store).levels_done() == {A: 2, B: 2, "c" * 16: 0}
        Writer.open(store).write_level([level_record(B, 2)])
        assert Reader(store).levels_done_of(B) == 4, "a loose one between those in parts"

    def test_rows_of_a_level_that_is_not_committed_are_not_seen(self, store: Path) -> None:
        (store / "levels" / f"{A}-001.parquet").unlink()
        fold(store)
        for table in ("curves", "reconstructions"):
            assert set(Reader(store).frame(table, trials=[A])["level"]) == {0}
        assert Reader(store).masks(A, 1) is not None, "but the trial goes on from it"

    @pytest.mark.parametrize("table", [*COMPACTED, "failures"])
    def test_rows_of_some_trials(self, store: Path, level_record: Make, table: str) -> None:
        fold(store)
        Writer.open(store).write_level([level_record(A, 2)])
        reader = Reader(store)
        whole = reader.frame(table)
        for chosen in ([A], [A, B], [], ["it's none"]):
            own = whole[whole["trial_id"].isin(chosen)]
            rows = reader.frame(table, trials=chosen)
            assert repr(rows.to_dict("records")) == repr(own.to_dict("records"))

    def test_a_view_still_compares_with_other_trials(self, store: Path) -> None:
        reader = Reader(store)
        assert reader.frame("settings", trials=[A]).equals(
            reader.sql(f"from settings where trial_id = '{A}'").to_pandas()
        )

    def test_parts_of_an_older_lip_ray_lack_columns(self, store: Path) -> None:
        fold(store)
        [part] = newest(files_of(store)).parts["levels"]
        pq.write_table(
            pq.read_table(store / part).drop_columns(["macs", "l2_per_pixel"]), store / part
        )
        assert Reader(store).frame("levels")["macs"].isna().tolist() == [True] * 4

    def test_a_part_that_is_replaced_meanwhile_is_looked_for_again(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fold(store)
        files = files_of(store)
        old = Manifest(version=1, parts={"levels": ("compacted/levels-gone.parquet",)})
        answers = iter([old])
        monkeypatch.setattr(queries, "newest", lambda files: next(answers, newest(files)))
        reader = Reader(store)
        assert len(reader.frame("levels")) == 4
        assert reader.damaged == ()
        assert newest(files).version == 1

    def test_a_folder_may_be_called_anything(self, store: Path, tmp_path: Path) -> None:
        fold(store)
        odd = tmp_path.parent / "it's [1] *?"
        store.rename(odd)
        assert len(Reader(odd).frame("levels")) == 4

    def test_other_files_beside_parts_cannot_be_read(self, store: Path) -> None:
        fold(store)
        pq.write_table(pa.table({"a": [1]}), store / "compacted" / "secret.parquet")
        with pytest.raises(queries.QueryError, match="disabled by configuration"):
            Reader(store).sql(f"from read_parquet('{store}/compacted/secret.parquet')")


class TestWriting:
    def test_a_folded_level_gets_no_second_copy(self, store: Path, level_record: Make) -> None:
        fold(store)
        writer = Writer.open(store)
        before = everything(Reader(store))
        assert writer.write_level([level_record(A, 1)]), "the same rows again are no conflict"
        assert not writer.write_level([level_record(A, 1, fit_s=9.0)])
        assert not writer.write_level(
            [level_record(A, 1, curve=None, masks={2: level_record().masks[0]})]
        )
        assert all(files_of(store).names(table) == [] for table in COMPACTED)
        assert everything(Reader(store)) == before

    def test_a_trial_goes_on_from_a_folded_mask(self, store: Path, level_record: Make) -> None:
        fold(store)
        assert Writer.open(store).write_level([level_record(A, 2)])
        stored = files_of(store).table(f"masks/{A}-003.parquet", TABLES["masks"])
        assert set(stored["within"].to_pylist()) == {2}, "nested in what a part holds"
        assert Reader(store).masks(A, 3) == level_record(A, 2).masks[3]


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "deep":
        path.write_bytes(content[:4] + b"\xff" * 60 + content[64:])
    else:
        path.write_bytes({"empty": b"", "short": content[:-9], "garbage": b"\n" * 500}[how])


class TestDamage:
    @pytest.mark.parametrize(
        ("table", "how"),
        [
            ("levels", "short"),
            ("levels", "deep"),
            ("trials", "empty"),
            ("curves", "empty"),
            ("curves", "deep"),
            ("masks", "garbage"),
            ("reconstructions", "short"),
        ],
    )
    def test_a_loose_file_is_left_out_and_named(self, store: Path, table: str, how: str) -> None:
        stem = B if table == "trials" else f"{B}-001"
        before = Reader(store).sql(f"from {table}").to_pylist()
        spoil(store / table / f"{stem}.parquet", how)
        reader = Reader(store)
        for _ in range(2):
            left = reader.sql(f"from {table}").to_pylist()
            kept = [r for r in before if r["trial_id"] == A or r.get("level") == 0]
            assert sorted(map(repr, left)) == sorted(map(repr, kept))
            assert reader.damaged == (f"{table}/{stem}.parquet",)

    @pytest.mark.parametrize(
        ("table", "how"),
        [
            ("levels", "missing"),
            ("levels", "short"),
            ("levels", "deep"),
            ("curves", "missing"),
            ("curves", "garbage"),
            ("curves", "deep"),
        ],
    )
    def test_a_part_is_left_out_and_named(
        self, store: Path, level_record: Make, table: str, how: str
    ) -> None:
        fold(store)
        Writer.open(store).write_level([level_record(A, 2)])
        [part] = newest(files_of(store)).parts[table]
        spoil(store / part, how)
        reader = Reader(store)
        for _ in range(2):
            assert reader.frame(table)["level"].tolist() == [2]
            assert reader.damaged == (part,)
        assert len(reader.frame("trials")) == 2

    def test_what_one_query_found_damaged_another_leaves_named(self, store: Path) -> None:
        spoil(store / "levels" / f"{B}-001.parquet", "garbage")
        reader = Reader(store)
        assert reader.sql("from sweeps").num_rows == 0
        assert reader.damaged == (), "no query needed it"
        for query in ("from levels", "from sweeps", "select 1"):
            reader.sql(query)
            reader.levels_done()
            assert reader.damaged == (f"levels/{B}-001.parquet",)

    def test_files_that_a_missing_part_covered_count_while_they_are_there(
        self, store: Path
    ) -> None:
        fold(store, keep=True)
        spoil(store / newest(files_of(store)).parts["levels"][0], "missing")
        assert len(Reader(store).frame("levels")) == 4
        assert Reader(store).levels_done() == {A: 2, B: 2}
        assert Reader(store).levels_done_of(A) == 2

    def test_a_mask_in_a_damaged_part_is_an_error(self, store: Path) -> None:
        fold(store)
        [part] = newest(files_of(store)).parts["masks"]
        for how in ("garbage", "missing"):
            spoil(store / part, how)
            with pytest.raises(StoreError, match=part):
                Reader(store).masks(A, 1)

    def test_a_file_that_was_mended_counts_again(self, store: Path) -> None:
        for name in (f"levels/{B}-001.parquet", f"curves/{B}-000.parquet"):
            sound = (store / name).read_bytes()
            spoil(store / name, "short")
            reader = Reader(store)
            table = name.partition("/")[0]
            assert len(reader.frame(table)) == 3
            (store / name).unlink()
            files_of(store).publish(name, sound)
            assert len(reader.frame(table)) == 4
            assert reader.damaged == ()

    def test_a_slip_in_a_query_blames_no_file(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor are all files read to find one."""
        read: list[str] = []
        table = Folder.table

        def noted(folder: Folder, name: str, *args: Any, **options: Any) -> pa.Table:
            read.append(name)
            return table(folder, name, *args, **options)

        monkeypatch.setattr(Folder, "table", noted)
        for slip in ("select nothing from levels", "select 'x'::int", "selec"):
            with pytest.raises(queries.QueryError):
                Reader(store).sql(slip)
        assert read == []
        with pytest.raises(queries.QueryError, match="that is how it is"):
            Reader(store).sql("select error('that is how it is')")

    def test_many_files_and_one_damaged_are_read_by_halves(
        self, tmp_path: Path, level_record: Make
    ) -> None:
        writer = Writer.open(tmp_path)
        for level in range(20):
            bare = level_record(A, level, masks={}, curve=None, reconstructions=())
            writer.write_level([bare])
        spoil(tmp_path / "levels" / f"{A}-013.parquet", "garbage")
        reader = Reader(tmp_path)
        assert reader.frame("levels")["level"].tolist() == [n for n in range(20) if n != 13]
        assert reader.damaged == (f"levels/{A}-013.parquet",)


def test_manifests_are_small_json(store: Path) -> None:
    fold(store)
    told = json.loads((store / "compacted" / "manifest-000001.json").read_text())
    assert sorted(told) == ["crc32", "parts"]
    assert set(told["parts"]) == set(COMPACTED) - {"omissions"}
