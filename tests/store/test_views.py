"""The ready-made views: what they take together, what they keep apart, what they compare."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import every_kind
import pytest

from lip_ray.records import Outcome
from lip_ray.store import Reader, Writer
from lip_ray.store.schema import TABLES
from lip_ray.store.views import define, needed_by, schemas, without_rows

TASK = {"kind": "denoising", "sigma": 25.0}
CAMERA = {"kind": "builtin", "name": "camera"}
ASTRONAUT = {"kind": "builtin", "name": "astronaut"}


class Study:
    """A store that trials are put into, a line each."""

    def __init__(self, path: Path, trial: Callable[..., Any], level: Callable[..., Any]) -> None:
        self._writer = Writer.open(path)
        self._trial, self._level = trial, level
        self._count = 0

    def add(self, spec: dict[str, Any], levels: list[dict[str, Any]], **columns: Any) -> str:
        """A trial of that canonical spec, and its levels' columns from dense on."""
        self._count += 1
        trial_id = f"{self._count:016x}"
        said = {"kind": spec["kind"], "image": spec["images"][0]["name"], "levels": len(levels)}
        full = {"task": spec["task"], **spec}
        own = (
            said
            | {"spec": json.dumps(full), "canonical": json.dumps(spec, separators=(",", ":"))}
            | columns
        )
        self._writer.write_trial(self._trial(trial_id, **own))
        for place, changes in enumerate(levels):
            shared = {"image": said["image"], "masks": {}, "total": 8}
            self._writer.write_level([self._level(trial_id, place, **shared | changes)])
        return trial_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def study(path: Path, trial_record: Callable[..., Any], level_record: Callable[..., Any]) -> Study:
    """An empty store."""
    return Study(path, trial_record, level_record)


def trajectory(image: dict[str, Any] = CAMERA, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A canonical spec, which says no seed of 0."""
    own = {"seed": seed} if seed else {}
    return {"images": [image], "kind": "trajectory"} | own | {"task": TASK} | changes


def ladder(*psnr_db: float) -> list[dict[str, Any]]:
    """Levels of 8, 4, 2, 1 weights with these selected PSNRs."""
    return [{"kept": 8 >> place, "psnr_selected_db": db} for place, db in enumerate(psnr_db)]


class TestFrontier:
    def test_unfinished_fits_are_counted(self, study: Study, path: Path) -> None:
        study.add(trajectory(), [one | {"unfinished": True} for one in ladder(27.0)])
        study.add(trajectory(seed=1), ladder(29.0), seed=1)
        [row] = Reader(path).sql("from frontier").to_pylist()
        assert (row["unfinished_fits"], row["broken"], row["psnr_selected_db"]) == (1, 0, 28.0)

    def test_seeds_are_one_row_and_other_settings_others(self, study: Study, path: Path) -> None:
        for seed, db in ((0, 27.0), (1, 29.0), (12, 31.0)):
            study.add(trajectory(seed=seed), ladder(db), seed=seed)
        study.add(trajectory(fit={"steps": 9}), ladder(20.0))
        asked = "select n, seeds, psnr_selected_db, psnr_selected_sd_db from frontier order by n"
        [alone, together] = Reader(path).sql(asked).to_pylist()
        assert alone["n"] == 1
        assert alone["psnr_selected_sd_db"] is None
        assert together == {
            "n": 3,
            "seeds": 3,
            "psnr_selected_db": 29.0,
            "psnr_selected_sd_db": 2.0,
        }

    @pytest.mark.parametrize("keys", [("seed", "images"), ("images", "seed")], ids=str)
    def test_a_seed_is_left_out_wherever_it_stands(
        self, study: Study, path: Path, keys: tuple[str, ...]
    ) -> None:
        for seed in (0, 4):
            spec = trajectory() | ({"seed": seed} if seed else {})
            ordered = {key: spec[key] for key in (*keys, "kind", "task") if key in spec}
            study.add(ordered, ladder(27.0), seed=seed)
        last = trajectory() | {"source": {"seed": 3}}
        study.add(last, ladder(27.0))
        asked = "select count(distinct setting) as n from frontier"
        assert Reader(path).sql(asked).to_pylist() == [{"n": 2}]

    def test_seeds_of_tickets_are_no_seeds_of_fits(self, path: Path) -> None:
        """Transfers of one seed that took tickets of two are of one setting."""
        writer = Writer.open(path)
        for source_seed, seed in ((0, 5), (1, 5), (0, 6)):
            source = every_kind.trajectory(seed=source_seed)
            moved = every_kind.transfer(source, seed=seed)
            writer.write_trial(every_kind.record(moved))
            for rows in every_kind.level_records(moved):
                writer.write_level(rows)
        asked = "select level, n, seeds from frontier order by level"
        assert Reader(path).sql(asked).to_pylist() == [
            {"level": level, "n": 3, "seeds": 2} for level in range(3)
        ]

    def test_broken_fits_are_counted_and_their_psnr_is_real(self, study: Study, path: Path) -> None:
        study.add(trajectory(), [{"outcome": Outcome.COLLAPSED, "psnr_selected_db": 11.0}])
        study.add(trajectory(seed=1), [{"outcome": Outcome.FAILED, "psnr_selected_db": None}])
        asked = "select broken, n, psnr_selected_db from frontier"
        assert Reader(path).sql(asked).to_pylist() == [
            {"broken": 2, "n": 1, "psnr_selected_db": 11.0}
        ]


class TestMatching:
    def test_the_ladder_is_descended_as_long_as_means_hold(self, study: Study, path: Path) -> None:
        study.add(trajectory(), ladder(27.0, 27.0, 26.5, 27.5))
        [row] = Reader(path).sql("from matching").to_pylist()
        assert (row["matching_density"], row["lost_density"]) == (0.5, 0.25)
        assert (row["difference_db"], row["lost_difference_db"]) == (0.0, -0.5)
        assert (row["images"], row["seeds"], row["margin_db"]) == (1, 1, 0.1)

    def test_seeds_are_averaged_within_images_first(self, study: Study, path: Path) -> None:
        """Three seeds on one image weigh no more than one on another: −0.3 and +0.3."""
        for seed in range(3):
            study.add(trajectory(seed=seed), ladder(27.0, 26.7), seed=seed)
        study.add(trajectory(ASTRONAUT), ladder(30.0, 30.3))
        [row] = Reader(path).sql("from matching").to_pylist()
        assert row["images"] == 2
        assert row["difference_db"] == pytest.approx(0.0)
        assert row["matching_density"] == 0.5

    def test_a_seed_on_two_cuts_of_one_picture_is_one_seed(self, study: Study, path: Path) -> None:
        """Both cuts have one name; each ticket is paired with the dense fit of its own cut."""
        cut = CAMERA | {"rows": [0, 32]}
        study.add(trajectory(), ladder(27.0, 27.2))
        study.add(trajectory(cut), ladder(20.0, 20.4))
        study.add(trajectory(cut, pruner={"kind": "random"}), ladder(20.0, 19.0), pruner="random")
        asked = "select method, images, seeds, difference_db from matching order by method"
        rows = Reader(path).sql(asked).to_pylist()
        assert [(row["images"], row["seeds"]) for row in rows] == [(1, 1), (1, 1)]
        assert [row["difference_db"] for row in rows] == pytest.approx([0.3, 0.0])

    def test_a_method_that_never_holds_matches_dense_only(self, study: Study, path: Path) -> None:
        study.add(trajectory(), ladder(27.0, 20.0))
        [row] = Reader(path).sql("from matching").to_pylist()
        assert (row["matching_density"], row["lost_density"]) == (1.0, 0.5)

    @pytest.mark.parametrize(
        ("level", "flaw"),
        [
            (1, {"unfinished": True}),
            (0, {"unfinished": True}),
            (0, {"psnr_peak_db": 19.9}),
            (0, {"psnr_peak_db": 19.9, "unfinished": True}),
        ],
    )
    def test_unfinished_fits_and_poor_references_are_left_out(
        self, study: Study, path: Path, level: int, flaw: dict[str, Any]
    ) -> None:
        """One image holds, the other would not but has a flaw."""
        study.add(trajectory(ASTRONAUT), ladder(27.0, 27.0))
        levels = ladder(27.0, 20.0)
        levels[level] |= flaw
        study.add(trajectory(), levels)
        [row] = Reader(path).sql("from matching").to_pylist()
        assert (row["images"], row["matching_density"]) == (1, 0.5)

    def test_a_poor_ticket_is_no_reason_to_leave_it_out(self, study: Study, path: Path) -> None:
        levels = ladder(27.0, 13.0)
        levels[1] |= {"psnr_peak_db": 14.0}
        study.add(trajectory(), levels)
        [row] = Reader(path).sql("from matching").to_pylist()
        assert (row["matching_density"], row["lost_density"]) == (1.0, 0.5)


class TestTransfer:
    def test_unfinished_fits_have_no_difference(self, study: Study, path: Path) -> None:
        native, moved = ladder(30.0, 29.0, 28.0), ladder(30.0, 28.5, 28.0)
        native[1] |= {"unfinished": True}
        moved[2] |= {"unfinished": True}
        study.add(trajectory(ASTRONAUT), native)
        study.add(self.moved(ASTRONAUT), moved, travels="mask")
        rows = Reader(path).sql("from transfer order by level").to_pylist()
        assert [row["to_native_db"] for row in rows] == [0.0, None, None]
        assert [row["unfinished"] for row in rows] == [False, False, True]
        assert rows[2]["psnr_native_db"] == 28.0

    def moved(self, image: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A transfer of the camera's ticket."""
        source = trajectory() | changes.pop("source", {})
        return {"images": [image], "kind": "transfer", "source": source, "task": TASK} | changes

    def test_it_stands_beside_the_native_ticket_of_the_same_count(
        self, study: Study, path: Path
    ) -> None:
        study.add(trajectory(ASTRONAUT), ladder(30.0, 29.0))
        study.add(trajectory(ASTRONAUT, fit={"steps": 9}), ladder(10.0, 10.0))
        study.add(self.moved(ASTRONAUT), ladder(30.0, 28.5), travels="mask")
        rows = Reader(path).sql("from transfer order by level").to_pylist()
        assert [row["to_native_db"] for row in rows] == [0.0, -0.5]
        assert {row["source_image"] for row in rows} == {"camera"}
        assert {row["image"] for row in rows} == {"astronaut"}

    @pytest.mark.parametrize(
        "native",
        [
            {"task": {"kind": "denoising", "sigma": 50.0}},
            {"prior": {"kind": "deep_decoder"}},
            {"pruner": {"kind": "random"}},
            {"rewind": {"kind": "reinit"}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_what_differs_is_no_native(
        self, study: Study, path: Path, native: dict[str, Any]
    ) -> None:
        study.add(trajectory(ASTRONAUT, **native), ladder(30.0))
        study.add(self.moved(ASTRONAUT), ladder(30.0))
        [row] = Reader(path).sql("from transfer").to_pylist()
        assert row["psnr_native_db"] is None


class TestNeeded:
    """Only files of tables that a query reads are opened: which, is told from its words."""

    @pytest.mark.parametrize("name", sorted({*schemas(), *(f"files.{one}" for one in TABLES)}))
    def test_no_table_is_missed(self, name: str) -> None:
        """Nor a view: with what is needed alone, and no other, a query is answered."""
        with duckdb.connect() as connection:
            needed = needed_by(connection, f"from {name}")
            connection.execute("create schema files")
            without_rows(connection, needed.tables)
            define(connection, needed.views)
            assert connection.sql(f"from {name}").fetchall() == []

    @pytest.mark.parametrize(
        ("query", "needed"),
        [
            ("select 1", set()),
            ("from levels", {"levels"}),
            ('select 1 from "LEVELS"', {"levels"}),
            ("from files.levels", {"levels"}),
            ("from trials", {"trials", "levels", "failures"}),
            ("with own as (from scores) from own", {"scores"}),
            ("select (select count(*) from scores)", {"scores"}),
            ("from sweeps where trial_id in (select trial_id from scores)", {"sweeps", "scores"}),
            ("from sweeps union all by name from scores", {"sweeps", "scores"}),
            ("summarize levels", {"levels"}),
            ("pivot levels on image in ('camera') using avg(kept)", {"levels"}),
            ("from pareto", {"points", "scores", "levels"}),
            ("select 'masks' as curves, scores.trials from scores", {"scores"}),
            ("from scores -- and masks", {"scores"}),
            ("with query as (from scores) from query", {"scores"}),
            ("from scores, range(3)", {"scores"}),
            (f"select {' + '.join('1' * 900)} from scores", {"scores"}),
            ("from query_table('lev' || 'els')", set(TABLES)),
            ("from Query('from lev' || 'els')", set(TABLES)),
            ("select 1 where exists (from query('from ' || 'levels'))", set(TABLES)),
            (
                "from json_execute_serialized_sql(json_serialize_sql('from lev' || 'els'))",
                set(TABLES),
            ),
            ("from histogram('lev' || 'els', kept)", set(TABLES)),
            ("from scores, duckdb_table_sample('levels')", {"scores", "levels"}),
            ("explain from levels", set(TABLES)),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else " ".join(sorted(value))[:40],
    )
    def test_tables(self, query: str, needed: set[str]) -> None:
        with duckdb.connect() as connection:
            assert needed_by(connection, query).tables == needed

    @pytest.mark.parametrize(
        ("query", "needed"),
        [
            ("select 1", set()),
            ("from scores", {"scores"}),
            ("from files.scores", {"scores"}),
            ("from pareto", {"pareto", "levels", "points", "scores"}),
            ("from score", None),
            ("from information_schema.tables", None),
            ("from duckdb_views()", None),
            ("from scores, range(3)", None),
            ("from query_table('sco' || 'res')", None),
            ("explain from scores", None),
        ],
    )
    def test_views(self, query: str, needed: set[str] | None) -> None:
        """All, where a query may list them, or DuckDB suggest one for a name that is none."""
        with duckdb.connect() as connection:
            assert needed_by(connection, query).views == needed
