"""A new column is one line of the registry and whoever fills it: everything else follows.

A copy of the package gets a column in these two edits and is asked, in one process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest

from lip_ray.columns import VERSION

ROOT = Path(__file__).resolve().parents[2]
FIRST = ROOT / "tests" / "store" / "first_version"
"""A store that another lip-ray has written."""

BEFORE = "        OUTCOME,\n        UNFINISHED,\n        REASON,\n        FIT_S,\n"
"""Where the table `levels` gets the column."""

COLUMN = f"""
        Column(
            "psnr_gain_db",
            "double",
            "selected − measured: what the fit gains, in dB",
            unit="dB",
            title="gain over the measurement",
            since={VERSION + 1},
        ),
"""

AFTER = "        return self.kept / self.total\n"
"""Where the record of a level gets what fills it."""

PROPERTY = """
    @property
    def psnr_gain_db(self) -> float | None:
        if self.psnr_selected_db is None or self.psnr_measured_db is None:
            return None
        return self.psnr_selected_db - self.psnr_measured_db
"""

LINE = "| psnr_gain_db | double | selected − measured: what the fit gains, in dB |"
"""What `lip tables` says of it."""

ASKED = """
import json
import sys

from typer.testing import CliRunner

import lip_ray
from lip_ray import columns
from lip_ray.analysis.parts.search.table import WORDS, Goal
from lip_ray.cli import app
from lip_ray.records import LevelRecord, Outcome
from lip_ray.store import Reader, Writer, described, schema
from lip_ray.store.upkeep.compact import compact
from lip_ray.sweep.json_schema import json_schema_text
from lip_ray.sweep.search import Objective

store = sys.argv[1]
sizes = {"kept": 8, "total": 8, "kept_all": 8, "total_all": 8, "effective": 8}
fit = {"outcome": Outcome.BUDGET, "psnr_measured_db": 20.0, "psnr_selected_db": 27.5}
Writer.open(store).write_level(
    [
        LevelRecord(trial_id="new", level=0, image="camera", **sizes, **fit),
        LevelRecord(trial_id="new", level=0, image="unfitted", **sizes, outcome=Outcome.FAILED),
    ]
)


def rows():
    query = "select image, psnr_gain_db from levels where trial_id = 'new' order by image"
    return Reader(store).sql(query).to_pylist()


def older():
    query = "select count(*), count(psnr_gain_db) from levels where trial_id != 'new'"
    return list(Reader(store).sql(query).to_pylist()[0].values())


framed = Reader(store).frame("levels", trials=["new"]).set_index("image")
found = {
    "package": lip_ray.__file__,
    "version": schema.VERSION,
    "type": str(schema.TABLES["levels"].field("psnr_gain_db").type),
    "rows": rows(),
    "frame": float(framed.loc["camera", "psnr_gain_db"]),
    "older": older(),
    "tables": CliRunner().invoke(app, ["tables", "levels"]).stdout,
    "page": described(),
    "objective": Objective(column="psnr_gain_db", direction="maximize").column,
    "search_schema": json_schema_text(),
    "axis": WORDS["psnr_gain_db"],
    "goal": Goal.of({"column": "psnr_gain_db", "direction": "maximize"}).title,
}
compact(store)
print(json.dumps(found | {"compacted_rows": rows(), "compacted_older": older()}))
"""


def insert(path: Path, text: str, *, before: str = "", after: str = "") -> None:
    """Edit a file at the one place where an anchor is."""
    anchor, content = before or after, path.read_text(encoding="utf-8")
    assert content.count(anchor) == 1, f"{path.name} has changed: choose another place for the edit"
    edited = content.replace(anchor, text.lstrip("\n") + anchor if before else anchor + text)
    path.write_text(edited, encoding="utf-8")


def copy_of_the_package(to: Path) -> Path:
    """The package as it is installed, in a folder of its own."""
    package = to / "lip_ray"
    for folder, place in (("lip_ray", "."), ("analysis", "analysis"), ("sweeps", "sweeps")):
        shutil.copytree(ROOT / folder, package / place, dirs_exist_ok=True)
    return package


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a package with one more column says and does."""
    folder = tmp_path_factory.mktemp("extended")
    package, store = copy_of_the_package(folder), folder / "store"
    insert(package / "columns.py", COLUMN, before=BEFORE)
    insert(package / "records.py", PROPERTY, after=AFTER)
    shutil.copytree(FIRST, store)
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(store)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    assert Path(answers["package"]) == package / "__init__.py"
    return answers


def test_files_have_it_from_a_new_version_on(found: dict[str, Any]) -> None:
    assert found["version"] == VERSION + 1
    assert found["type"] == "double"


@pytest.mark.parametrize("when", ["rows", "compacted_rows"])
def test_what_is_written_is_read(found: dict[str, Any], when: str) -> None:
    assert found[when] == [
        {"image": "camera", "psnr_gain_db": 7.5},
        {"image": "unfitted", "psnr_gain_db": None},
    ]


def test_frames_have_it(found: dict[str, Any]) -> None:
    assert found["frame"] == 7.5


@pytest.mark.parametrize("when", ["older", "compacted_older"])
def test_rows_of_older_files_have_null(found: dict[str, Any], when: str) -> None:
    rows, known = found[when]
    assert rows > 0
    assert known == 0


def test_the_command_line_lists_it(found: dict[str, Any]) -> None:
    assert LINE in found["tables"].splitlines()


def test_the_documentation_gets_its_line_and_no_other(found: dict[str, Any]) -> None:
    today = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    changes = ndiff(today.splitlines(), found["page"].splitlines())
    assert [change for change in changes if change[0] in "+-"] == [f"+ {LINE}"]


def test_searches_may_make_it_large(found: dict[str, Any]) -> None:
    assert found["objective"] == "psnr_gain_db"
    assert '"psnr_gain_db"' in found["search_schema"]


def test_axes_have_its_words(found: dict[str, Any]) -> None:
    assert found["axis"] == "gain over the measurement (dB)"
    assert found["goal"].startswith("Gain over the measurement (dB), ")
