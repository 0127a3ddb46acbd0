"""The wheel, without the repository: it installs, runs a study, and shows what came of it.

The environment borrows the packages that lip-ray needs from the one that runs the tests, and has
lip-ray itself from the wheel alone. `make test-wheel` runs this.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from lip_ray import __version__

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("lip_ray", "analysis", "sweeps", "pyproject.toml", "PACKAGE.md", "LICENSE")
STUDY = "results/quickstart-quick"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", folder, copy], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says of itself to an index."""
    with zipfile.ZipFile(wheel) as files:
        text = files.read(f"lip_ray-{__version__}.dist-info/METADATA").decode()
    return message_from_string(text)


@pytest.fixture(scope="module")
def lip(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> "Lip":
    """The command of a new environment, in an empty folder."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", wheel], check=True)
    # A path in a .pth file is only searched; .pth files there, as of an editable install, are not.
    borrowed = sysconfig.get_path("purelib")
    (own,) = place.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text(borrowed)
    return Lip(place / "bin", tmp_path_factory.mktemp("empty"))


class Lip:
    """Runs commands."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self._programs = programs

    def __call__(self, *arguments: str, name: str = "lip") -> str:
        """What a command prints, by one of its names."""
        return self._run(str(self._programs / name), *arguments)

    def python(self, code: str) -> str:
        """What a few lines of Python print."""
        return self._run(str(self._programs / "python"), "-c", code)

    def _run(self, *command: str) -> str:
        hidden = ("PYTHONPATH", "LIP_RAY_STORE", "VIRTUAL_ENV")
        environment = {name: os.environ[name] for name in os.environ if name not in hidden}
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=environment | {"RAY_USAGE_STATS_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


class TestWhatAnIndexShows:
    def test_name_and_version(self, metadata: Message) -> None:
        assert (metadata["Name"], metadata["Version"]) == ("lip-ray", __version__)

    def test_its_description_is_markdown_whose_links_lead_somewhere(
        self, metadata: Message
    ) -> None:
        assert metadata["Description-Content-Type"] == "text/markdown"
        text = metadata.get_payload()
        assert isinstance(text, str)
        assert text.startswith("# lip-ray\n")
        links = re.findall(r"\]\(([^)]*)\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]*)", text)
        targets = [first or second for first, second in links]
        assert targets
        assert [one for one in targets if not one.startswith("https://")] == []

    def test_it_has_the_licence_and_says_its_type_hints_are_there(
        self, wheel: Path, metadata: Message
    ) -> None:
        names = zipfile.ZipFile(wheel).namelist()
        assert metadata["License-Expression"] == "Apache-2.0"
        assert f"lip_ray-{__version__}.dist-info/licenses/LICENSE" in names
        assert "lip_ray/py.typed" in names

    def test_there_is_nothing_but_the_package(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()
        first = {name.partition("/")[0] for name in names}
        assert first == {"lip_ray", f"lip_ray-{__version__}.dist-info"}

    def test_every_file_of_the_package_is_there(self, wheel: Path) -> None:
        folders = {"lip_ray": ROOT / "lip_ray", "lip_ray/analysis": ROOT / "analysis"}
        folders["lip_ray/sweeps"] = ROOT / "sweeps"
        there = {
            f"{name}/{path.relative_to(folder).as_posix()}"
            for name, folder in folders.items()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
        }
        assert there - set(zipfile.ZipFile(wheel).namelist()) == set()


class TestWithoutTheRepository:
    def test_it_is_the_wheel_that_runs(self, lip: Lip) -> None:
        assert lip("--version") == f"lip-ray {__version__}\n"
        found = lip.python("import lip_ray.analysis, lip_ray.sweeps; print(lip_ray.__path__[0])")
        assert "/environment" in found
        assert str(ROOT) not in found

    def test_it_has_the_name_by_which_uvx_and_pipx_run_a_package_too(self, lip: Lip) -> None:
        assert lip("--version", name="lip-ray") == lip("--version")

    def test_a_study_from_run_to_figure(self, lip: Lip) -> None:
        assert "lip report" in lip("run", "quickstart", "--quick")
        assert lip("query", "select count(*) > 0 as some from levels", STUDY, "--format", "csv")
        lip("report", STUDY, "-o", "page.html")
        page = (lip.folder / "page.html").read_text(encoding="utf-8")
        assert "plotly" in page.lower()
        if shutil.which("chromium") or shutil.which("google-chrome"):
            lip("figure", "frontier", STUDY, "-o", "frontier.pdf")
            assert (lip.folder / "frontier.pdf").read_bytes().startswith(b"%PDF")

    def test_what_it_ships_is_found(self, lip: Lip) -> None:
        assert "quickstart" in lip("plan", "quickstart", "--quick")
        assert lip("explain", "fit.stopping").startswith("fit.stopping is one of these kinds.")
        assert '"title": "lip-ray sweep"' in lip("schema")
        assert lip("init", "denoise") == "denoise.yaml: see lip plan denoise.yaml\n"
