"""Names of files: what they say of the rows in them, and names that say nothing."""

import shutil
from pathlib import Path

import pytest

from lip_ray.store import Reader
from lip_ray.store.paths import level_file, level_of, point_file, points_in

FIRST = Path(__file__).parent / "first_version"
TRIAL = "a" * 16


@pytest.mark.parametrize("level", [0, 7, 123, 4567])
def test_the_name_of_a_level_says_which_it_is(level: int) -> None:
    stem = Path(level_file("levels", TRIAL, level)).stem
    assert level_of(stem) == (TRIAL, level)


@pytest.mark.parametrize(
    "stem", ["strange", f"{TRIAL}-one", f"{TRIAL}-", "-001", f"{TRIAL}-1-2", ""]
)
def test_other_names_are_no_level_s(stem: str) -> None:
    assert level_of(stem) is None


def test_only_numbered_files_of_a_search_are_its_points() -> None:
    mine = [point_file("points", "tiny", "id", number) for number in (2, 0)]
    others = ["points/tiny-id-copy.parquet", "points/tiny-other-00001.parquet", "points/x.parquet"]
    assert points_in([*mine, *others], "tiny", "id") == [(0, mine[1]), (2, mine[0])]


@pytest.mark.parametrize("name", ["strange.parquet", f"{TRIAL}-one.parquet"])
def test_a_renamed_file_commits_no_level(tmp_path: Path, name: str) -> None:
    """The run that needs the level fits it again; `lip store check` names the file."""
    store = Path(shutil.copytree(FIRST, tmp_path / "store"))
    (before,) = Reader(store).levels_done().values()
    last = max((store / "levels").iterdir())
    last.rename(last.with_name(name))
    assert list(Reader(store).levels_done().values()) == [before - 1]
