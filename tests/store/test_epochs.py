"""Trials of the first defaults beside new ones of the same spec: no mean is over both."""

import json
from pathlib import Path

import every_kind
import pyarrow.parquet as pq
import pytest

from lip_ray.analysis import frontier_points, frontier_report, problem_table
from lip_ray.records import Facets
from lip_ray.store import Reader, Writer, check, compact

SEEDS = (0, 1, 2)
BEFORE_DB, AFTER_DB = 20.0, 30.0
LATER = {"epoch", *Facets.names()}
"""Columns of `trials` that the first versions did not write."""
SCORES = ("psnr_measured_db", "psnr_peak_db", "psnr_selected_db", "psnr_final_db")


def older_row(path: Path, trial_id: str) -> None:
    """Have the row of a trial as an older version wrote it: without epoch and facets, with a spec
    of its own id and fields."""
    [row] = pq.read_table(path, partitioning=None).to_pylist()
    spec, key = json.loads(row["spec"]), json.loads(row["canonical"])
    rule = {"kind": "wmv", "window": 100, "stride": 10, "patience": None, "run_on": False}
    spec["fit"] = {**spec["fit"], "stopping": rule}
    del spec["fit"]["held_out"], key["epoch"], key["fit"]
    row |= {"trial_id": trial_id, "spec": json.dumps(spec), "canonical": json.dumps(key)}
    schema = pq.read_schema(path)
    kept = [schema.field(name) for name in schema.names if name not in LATER]
    table = pq.read_table(path, partitioning=None).slice(0, 0).select([f.name for f in kept])
    path.unlink()
    new = path.with_name(f"{trial_id}.parquet")
    rows = {name: [row[name]] for name in table.column_names}
    pq.write_table(table.from_pydict(rows, schema=table.schema.remove_metadata()), new)


@pytest.fixture(params=["loose", "compacted"])
def mixed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store with one trajectory twice per seed: of the first defaults, and of today's."""
    writer = Writer.open(tmp_path)
    for seed in SEEDS:
        trial = every_kind.trajectory(seed=seed)
        for trial_id, psnr in ((f"{seed:016x}", BEFORE_DB), (trial.id, AFTER_DB)):
            writer.write_trial(every_kind.record(trial))
            if psnr == BEFORE_DB:
                older_row(tmp_path / "trials" / f"{trial.id}.parquet", trial_id)
            for rows in every_kind.level_records(trial):
                scores = dict.fromkeys(SCORES, psnr + 0.1 * seed)
                writer.write_level([_with(row, trial_id=trial_id, **scores) for row in rows])
    if request.param == "compacted":
        compact(tmp_path, grace_s=0)
    return tmp_path


def _with(row, **changes):
    return type(row)(**{**vars(row), **changes})


def test_each_trial_says_its_epoch(mixed: Path) -> None:
    rows = Reader(mixed).sql("select trial_id, epoch, kind from trials").to_pylist()
    assert {row["epoch"] for row in rows if row["trial_id"].startswith("0000")} == {1}
    assert {row["epoch"] for row in rows if not row["trial_id"].startswith("0000")} == {2}


def test_the_frontier_view_has_a_row_of_each(mixed: Path) -> None:
    """With the seeds of its own epoch, and their mean."""
    asked = "select * from frontier where level = 0"
    rows = Reader(mixed).sql(asked).to_pylist()
    means = sorted(next(v for k, v in row.items() if "selected" in k) for row in rows)
    assert len(rows) == 2
    assert means == pytest.approx([BEFORE_DB + 0.1, AFTER_DB + 0.1])


def test_matching_pairs_within_an_epoch(mixed: Path) -> None:
    """A ticket of one epoch against a dense fit of the other would be 10 dB better, or worse."""
    rows = Reader(mixed).sql("from matching").to_pylist()
    assert rows
    differences = [value for row in rows for name, value in row.items() if name == "difference_db"]
    assert differences
    assert max(map(abs, differences)) < 1


def test_the_page_tells_them_apart_by_name(mixed: Path) -> None:
    reader = Reader(mixed)
    points = frontier_points(reader.frame("trials"), reader.frame("levels"))
    table = problem_table(points)
    problems = set(map(str, table["problem"]))
    assert len(problems) == 2
    for epoch in (1, 2):
        assert sum(f"(epoch {epoch})" in problem for problem in problems) == 1
    assert sorted(set(table["mean_db"].round(3))) == pytest.approx(
        [BEFORE_DB + 0.1, AFTER_DB + 0.1]
    )
    page = frontier_report(reader)
    assert "epoch 1" in page
    assert "epoch 2" in page


def test_it_is_a_sound_store(mixed: Path) -> None:
    problems = [p for p in check(mixed).problems if "no sweep" not in p.what]
    assert [p for p in problems if "trials/" in p.file or "choices/" in p.file] == []
