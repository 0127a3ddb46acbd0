"""Synthetic stores: they read as those that runs leave behind."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import synthetic
from lip_ray.analysis.page.report import frontier_report
from lip_ray.analysis.rows.identity import identities
from lip_ray.records import Outcome
from lip_ray.store import Reader
from lip_ray.store.manifest import COMPACTED
from lip_ray.store.upkeep.compact import compact
from lip_ray.trials import from_json

LEVELS = 150


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file a table and level, with pictures."""
    path = tmp_path_factory.mktemp("synthetic") / "store"
    synthetic.write(path, LEVELS, pictures=True)
    return path


def test_every_trial_has_the_id_of_its_spec(loose: Path) -> None:
    """So a run would find them in the store."""
    for row in Reader(loose).frame("trials").itertuples():
        trial = from_json(row.spec)
        assert (trial.id, trial.canonical_json(), trial.levels) == (
            row.trial_id,
            row.canonical,
            row.levels,
        )
        assert (trial.seed_used, trial.description.image) == (row.seed, row.image)


def test_there_are_as_many_levels_as_were_asked_for(loose: Path) -> None:
    """And only one trial is not complete."""
    reader = Reader(loose)
    assert len(reader.frame("levels")) == LEVELS == sum(reader.levels_done().values())
    assert (reader.frame("trials")["outcome"] == "incomplete").sum() == 1
    assert set(reader.frame("levels")["outcome"]) >= {Outcome.BUDGET, Outcome.COLLAPSED}


def test_masks_are_nested_and_decode_to_what_is_said(loose: Path) -> None:
    """Level by level, each within the one before."""
    reader = Reader(loose)
    trial = reader.sql("from trials where pruner = 'snip' and outcome != 'incomplete' limit 1")
    trial_id = trial.column("trial_id")[0].as_py()
    outer = None
    for level in range(len(synthetic.DENSITIES)):
        layers = reader.masks(trial_id, level)
        assert layers is not None
        kept = [np.unpackbits(np.frombuffer(layer.bits, np.uint8)) for layer in layers]
        assert [mask.sum() for mask in kept] == [layer.kept for layer in layers]
        assert outer is None or all((a <= b).all() for a, b in zip(kept, outer, strict=True))
        outer = kept


def test_dense_fits_of_one_seed_are_the_same_whatever_prunes_later(loose: Path) -> None:
    """As they are where trials run."""
    reader = Reader(loose)
    levels, trials = reader.frame("levels"), reader.frame("trials")
    named = identities(trials, levels).merge(trials[["trial_id", "seed"]], on="trial_id")
    dense = levels[levels["level"] == 0].merge(named, on=["trial_id", "image"])
    assert (dense.groupby(["problem_key", "seed"])["psnr_selected_db"].nunique() == 1).all()
    assert dense.groupby(["problem_key", "seed"]).size().max() > 1


def test_a_size_always_gives_the_same_store(loose: Path, tmp_path: Path) -> None:
    """Byte by byte."""
    synthetic.write(tmp_path / "again", LEVELS, pictures=True)
    files = [path for path in loose.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert (tmp_path / "again" / path.relative_to(loose)).read_bytes() == path.read_bytes()


def test_parts_have_the_same_rows_as_files(loose: Path, tmp_path: Path) -> None:
    """Each with the stem of the file that it would be in."""
    synthetic.write(tmp_path / "parts", LEVELS, compacted=True, pictures=True)
    whole, parts = Reader(loose), Reader(tmp_path / "parts")
    for table in COMPACTED:
        order = f"select cast({table} as varchar) as row from {table} order by all"
        assert parts.sql(order).equals(whole.sql(order)), table
    again = compact(tmp_path / "parts")
    assert (again.folded, again.parts) == (0, len(COMPACTED) - 1)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """It may be a real store."""
    with pytest.raises(FileExistsError):
        synthetic.write(tmp_path, LEVELS)


def test_the_page_shows_it(tmp_path: Path) -> None:
    """With all problems and methods."""
    synthetic.write(tmp_path / "store", synthetic.ROWS_PER_PROBLEM * 2)
    page = frontier_report(Reader(tmp_path / "store"))
    assert all(name in page for name in ("astronaut", "camera", "denoising", "grasp"))
