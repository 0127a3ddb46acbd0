"""Docstrings stand alone: none begins as the rest of a sentence that nobody wrote."""

import ast
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

PACKAGES = ("lip_ray", "lip_ray.analysis", "lip_ray.sweeps")
DANGLING = re.compile(r"(Of|As of|As any|As one|The same (of|for|in|on|after)|Said|Its own)\b")
"""Beginnings without a noun: *Of the fit* (what of it?), *The same of one trial* (the same what?).
*The same network with another latent* has one."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The docstrings of modules, classes and functions, and those under attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if (
                isinstance(one, ast.Expr)
                and isinstance(one.value, ast.Constant)
                and isinstance(one.value.value, str)
            ):
                yield one.lineno, one.value.value.strip()


def dangling(source: str) -> list[str]:
    """The first lines of docstrings that begin without a noun, each with its line."""
    return [
        f"{line}: {text.splitlines()[0]}"
        for line, text in texts(ast.parse(source))
        if DANGLING.match(text)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_stand_alone(package: str) -> None:
    paths = sorted(Path(str(files(package))).rglob("*.py"))
    found = {str(path): dangling(path.read_text(encoding="utf-8")) for path in paths}
    assert paths
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_dangling_one_is_found() -> None:
    source = (
        "'Fits.'\nSTEPS = 3\n'Of the fit.'\ndef f():\n  'The same of a trial.'\n"
        "class A:\n  'An a.'\n  def g(self):\n    'The same network with another latent.'\n"
    )
    assert dangling(source) == ["3: Of the fit.", "5: The same of a trial."]
