"""A new part of the page is one file and its name in PARTS: whatever shows parts shows it too.

A copy of the package gets a part in these two edits and is asked, in one process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

PART = '''"""How many trials each seed has."""

from collections.abc import Iterator

import plotly.graph_objects as go

from ..page.content import Content, Part
from ..page.section import Figure, Section


def sections(shown: Content) -> Iterator[Section]:
    """One figure."""
    counts = shown.trials["seed"].value_counts()
    figure = Figure(
        name="seeds",
        place="seeds-0",
        label="Seeds",
        note="One bar per seed.",
        lines=1,
        figure=go.Figure(go.Bar(x=counts.index, y=counts)),
    )
    yield Section(name="of-seeds", title="Seeds of trials", blocks=(figure,))


PART = Part(label="Seeds", names={"seeds"}, sections=sections)
'''

IMPORT = "from .cost import PART as COST\n"
LAST = "    COST,\n"

ASKED = """
import importlib.util
import json
import sys
from pathlib import Path

from typer.testing import CliRunner

import lip_ray
from lip_ray.analysis import figure_names, figure_of, frontier_report
from lip_ray.analysis.page.report import live_report
from lip_ray.analysis.parts import PARTS
from lip_ray.cli import app
from lip_ray.store import Reader

store, root = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(root))
sys.path.insert(0, str(root / "tests"))
from benchmarks import synthetic

synthetic.write(store, 7)
reader = Reader(store)
spec = importlib.util.spec_from_file_location("pictures", root / "docs" / "pictures.py")
pictures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pictures)
drawn = []
pictures.write_figure = lambda figure, output, **_: (drawn.append(output.stem), output.touch())
pictures.FOLDER = store
found = {
    "package": lip_ray.__file__,
    "parts": len(PARTS),
    "page": 'id="seeds-0"' in frontier_report(reader),
    "names": figure_names(reader).get("seeds"),
    "notebook": figure_of(reader, "seeds").data[0].type,
    "command": CliRunner().invoke(app, ["figure", "no-such-figure", str(store)]).output,
    "live": 'id="seeds-0"' in live_report(reader, version="1", refresh_s=1.0),
}
pictures.main([str(store)])
print(json.dumps(found | {"drawn": drawn}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a package with one more part shows."""
    folder = tmp_path_factory.mktemp("extended")
    package = folder / "lip_ray"
    for source, place in (("lip_ray", "."), ("analysis", "analysis"), ("sweeps", "sweeps")):
        shutil.copytree(ROOT / source, package / place, dirs_exist_ok=True)
    parts = package / "analysis" / "parts"
    (parts / "seeds.py").write_text(PART, encoding="utf-8")
    listed = (parts / "__init__.py").read_text(encoding="utf-8")
    for line in (IMPORT, LAST):
        assert listed.count(line) == 1, "parts are listed otherwise: choose another place"
        new = line.replace("cost", "seeds").replace("COST", "SEEDS")
        listed = listed.replace(line, line + new)
    (parts / "__init__.py").write_text(listed, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(folder / "store"), str(ROOT)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert Path(answers["package"]) == package / "__init__.py"
    return answers


def test_the_page_has_it(found: dict[str, Any]) -> None:
    assert found["page"]


def test_the_live_page_has_it(found: dict[str, Any]) -> None:
    assert found["live"]


def test_notebooks_have_it(found: dict[str, Any]) -> None:
    assert found["names"] == ["Seeds of trials"]
    assert found["notebook"] == "bar"


def test_the_command_for_figures_knows_it(found: dict[str, Any]) -> None:
    assert "seeds" in found["command"]


def test_the_documentation_gets_its_picture(found: dict[str, Any]) -> None:
    assert "seeds" in found["drawn"]
