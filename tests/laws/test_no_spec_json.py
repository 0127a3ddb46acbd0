"""What a trial means is read off columns: neither the page nor the views look into spec JSON."""

import ast
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from lip_ray.store import views

ANALYSIS = Path(str(files("lip_ray.analysis")))
MODULES = sorted(ANALYSIS.rglob("*.py"))


def named(tree: ast.AST) -> Iterator[str]:
    """Columns with specs in them that are named, as text or as an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in ("spec", "canonical"):
            yield str(node.value)
        if isinstance(node, ast.Attribute) and node.attr in ("spec", "canonical"):
            yield node.attr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ANALYSIS)))
def test_analysis_reads_no_spec(path: Path) -> None:
    assert not set(named(ast.parse(path.read_text(encoding="utf-8"))))


def test_views_read_no_spec() -> None:
    for definition in views.VIEWS:
        text = definition.replace("coalesce(trial.canonical, trial.spec) as canonical", "")
        assert "spec" not in text.split()
        assert ".spec" not in text
        assert "canonical" not in text
