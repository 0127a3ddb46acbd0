"""What is built is whole: all packages, all extras, one version."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lip_ray import __version__, strict_yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"lip_ray": "lip_ray", "lip_ray.analysis": "analysis", "lip_ray.sweeps": "sweeps"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_in_the_wheel(project: dict[str, Any]) -> None:
    found = {
        ".".join([name, *path.parent.relative_to(ROOT / folder).parts])
        for name, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_all_names_every_extra_but_that_of_developers(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = everything.removeprefix("lip-ray[").removesuffix("]").split(",")
    assert sorted(named) == sorted(extras.keys() - {"all", "dev"})


def test_citation_and_package_are_of_this_version(project: dict[str, Any]) -> None:
    citation = strict_yaml.parse((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["project"]["version"] == __version__
    assert citation["license"] == project["project"]["license"]
