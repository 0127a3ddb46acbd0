"""The architecture: who may import whom, heavy packages in one folder each, small functions."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path

import pytest

FLOORS = (
    {
        "allocator",
        "columns",
        "cores",
        "errors",
        "literature",
        "names",
        "outputs",
        "records",
        "rng",
        "scratch",
        "spec",
        "store_names",
        "strict_yaml",
    },
    {"metrics", "mistakes", "processor", "reference", "status", "systems"},
    {"claims", "data"},
    {"priors", "pruning", "tasks"},
    {"fits"},
    {"trials"},
    {"exchange", "sweep"},
    {"engine"},
    {"cli"},
)
"""Each unit, a module or a folder, may import those on lower floors; siblings never each other."""

BESIDE = {
    "lip_ray": {"results", "systems"},  # the package itself, and the door for notebooks
    "results": {"analysis", "columns", "errors", "records", "store"},
    "sweeps": set[str](),
    "store": {
        "columns",
        "cores",
        "errors",
        "names",
        "outputs",
        "records",
        "scratch",
        "store_names",
        "strict_yaml",
    },
    "analysis": {
        "claims",
        "columns",
        "errors",
        "literature",
        "outputs",
        "records",
        "status",
        "store",
    },
}
"""Units on no floor, and all that they may import."""

ALSO = {
    "cli": {"analysis", "store", "sweeps"},
    "engine": {"store"},
    "exchange": {"store"},
    "reference": {"sweeps"},
}
"""What is used from beside the floors, and by whom."""

ONLY_IN = {
    "duckdb": {"store"},
    "flask": {"analysis"},
    "fsspec": {"store"},
    "kaleido": {"analysis"},
    "mlflow": {"engine"},
    "optuna": {"analysis", "engine"},
    "plotly": {"analysis", "results"},
    "pyarrow": {"results", "store"},
    "ray": {"engine"},
    "rich": {"cli", "engine"},
    "tensorboardX": {"engine"},
    "typer": {"cli"},
    "wandb": {"engine"},
    "yaml": {"strict_yaml"},
}
"""Packages at home in few units."""

NEVER_IN = {
    unit: {"torch"}
    for unit in (
        "analysis",
        "cli",
        "columns",
        "errors",
        "literature",
        "records",
        "reference",
        "results",
        "spec",
        "status",
        "store",
        "store_names",
        "strict_yaml",
    )
}
NOTHING_BUT = {
    "analysis": {
        "choreographer",
        "flask",
        "jinja2",
        "kaleido",
        "markupsafe",
        "numpy",
        "optuna",
        "pandas",
        "plotly",
        "scipy",
        "werkzeug",
    },
    "store": {"duckdb", "fsspec", "numpy", "pandas", "pyarrow"},
    "status": {"pandas"},
    "columns": set[str](),
    "reference": set[str](),
    "store_names": set[str](),
    "literature": set[str](),
    "records": set[str](),
    "errors": set[str](),
    "spec": {"pydantic"},
}
"""All packages that a unit may import beside Python's own."""

AT_START = {
    "cli",
    "columns",
    "errors",
    "lip_ray",
    "names",
    "outputs",
    "records",
    "store_names",
    "sweeps",
    "systems",
    "typer",
}
"""What the command line may import when it starts, beside Python's own: all else takes a tenth of a
second or seconds, so each command imports what it needs when it runs."""

LONGEST_FUNCTION = 60
"""In lines."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DYNAMIC = {"__import__", "import_module"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports, in full."""

    name: str
    line: int
    at_start: bool
    """Whether it happens when the module is imported, and not only in a call or for types."""


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    source: str
    is_package: bool = False

    @property
    def unit(self) -> str:
        """Its row in the tables."""
        return unit_of(self.name)

    @cached_property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """All imports, wherever they are written."""
        late = {id(inner) for outer in ast.walk(self.tree) for inner in postponed(outer)}
        return tuple(
            Import(name, node.lineno, at_start=id(node) not in late)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in self._names(node)
        )

    def _names(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        base = node.module or ""
        if node.level:
            parents = self.name.split(".")
            kept = len(parents) - node.level + self.is_package
            base = ".".join([*parents[:kept], *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def postponed(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside of a function, or of an `if TYPE_CHECKING`."""
    if isinstance(node, (*FUNCTIONS, ast.Lambda)) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ):
        yield from ast.walk(node)


def unit_of(name: str) -> str:
    """The folder or module below `lip_ray` that a full name lies in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def allowed(unit: str) -> set[str]:
    """The units that a unit may import, itself included."""
    if unit in BESIDE:
        return {unit} | BESIDE[unit]
    floor = next(index for index, units in enumerate(FLOORS) if unit in units)
    return {unit, "lip_ray"}.union(*FLOORS[:floor]) | ALSO.get(unit, set())


def violations(module: Module) -> list[str]:
    """What a module must not do, each with its line."""
    unit = module.unit
    if unit not in set(BESIDE).union(*FLOORS):
        return [f"{module.name} is in no table of tests/laws/test_layers.py"]
    found = [
        f"{module.name}:{node.lineno} imports by a computed name"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in DYNAMIC
    ]
    for imported in module.imports:
        target = home_of(imported.name)
        is_ours = imported.name.partition(".")[0] == "lip_ray"
        if not (target in allowed(unit) if is_ours else may_use(unit, target)):
            found.append(f"{module.name}:{imported.line} {unit} must not import {target}")
    return found


def home_of(name: str) -> str:
    """The unit that a full name is from, or the package where it is not ours."""
    package = name.partition(".")[0]
    if package != "lip_ray":
        return package
    unit = unit_of(name)
    return unit if unit in set(BESIDE).union(*FLOORS) else "lip_ray"  # a name of the package itself


def at_start(module: Module) -> list[str]:
    """What a module of the command line imports before anybody knows which command runs."""
    allowed = AT_START | sys.stdlib_module_names
    return [
        f"{module.name}:{one.line} {one.name}"
        for one in module.imports
        if one.at_start and home_of(one.name) not in allowed
    ]


def may_use(unit: str, package: str) -> bool:
    """Whether a unit may import a package from outside."""
    return package in sys.stdlib_module_names or (
        unit in ONLY_IN.get(package, {unit})
        and package not in NEVER_IN.get(unit, set())
        and package in NOTHING_BUT.get(unit, {package})
    )


def modules() -> Iterator[Module]:
    """All of the package, with the folders that are mapped into it."""
    for package in ("lip_ray", "lip_ray.analysis", "lip_ray.sweeps"):
        folder = Path(str(files(package)))
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            yield Module(name, path.read_text(encoding="utf-8"), is_package)


ALL = {module.name: module for module in modules()}


def cycle(among: Iterable[Module]) -> list[str]:
    """Modules that import each other in a ring when they are imported; empty without."""
    known = {module.name: module for module in among}
    graph: dict[str, set[str]] = {}
    for module in known.values():
        names = {imported.name for imported in module.imports if imported.at_start}
        direct = {name if name in known else name.rpartition(".")[0] for name in names}
        graph[module.name] = direct & known.keys()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


INSIDE_THE_STORE = {n for n in ALL if n.startswith("lip_ray.store.")} - {"lip_ray.store.reader"}


class TestThePackage:
    def test_every_module_keeps_to_its_floor(self) -> None:
        found = {name: violations(module) for name, module in ALL.items()}
        assert {name: wrong for name, wrong in found.items() if wrong} == {}

    def test_no_ring_of_imports(self) -> None:
        assert cycle(ALL.values()) == []

    def test_the_command_line_imports_little_when_it_starts(self) -> None:
        found = {name: at_start(module) for name, module in ALL.items() if module.unit == "cli"}
        assert {name: wrong for name, wrong in found.items() if wrong} == {}

    def test_every_row_of_the_tables_exists(self) -> None:
        assert set(BESIDE).union(*FLOORS) == {module.unit for module in ALL.values()}

    def test_nothing_imports_the_store_by_its_inside(self) -> None:
        inside = {
            f"{module.name}:{imported.line}"
            for module in ALL.values()
            for imported in module.imports
            if module.unit != "store" and imported.name.rpartition(".")[0] in INSIDE_THE_STORE
        }
        assert not inside


def long_functions(source: str) -> list[str]:
    """The functions that do not fit on a screen."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, FUNCTIONS)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]


Ancestry = dict[str, tuple[set[str], set[str]]]
"""By name of a class, the names of its bases and of its documented methods."""


def ancestry(trees: Iterable[ast.Module]) -> Ancestry:
    """All classes of some modules."""
    return {
        node.name: (
            {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases},
            {
                one.name
                for one in node.body
                if isinstance(one, FUNCTIONS) and ast.get_docstring(one)
            },
        )
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def inherits_words(owner: str, method: str, classes: Ancestry) -> bool:
    """Whether a class above the owner documents the method, so that an override need not."""
    bases, _ = classes.get(owner, (set(), set()))
    return any(
        method in classes[base][1] or inherits_words(base, method, classes)
        for base in bases
        if base in classes
    )


def undocumented(node: ast.Module | ast.ClassDef, name: str, classes: Ancestry) -> Iterator[str]:
    """The public functions and classes without a docstring, and the module itself.

    An override has the docstring of what it overrides.
    """
    if not ast.get_docstring(node):
        yield name
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from undocumented(inner, f"{name}.{inner.name}", classes)
        elif isinstance(inner, FUNCTIONS) and not (
            inner.name.startswith("_")
            or ast.get_docstring(inner)
            or (isinstance(node, ast.ClassDef) and inherits_words(node.name, inner.name, classes))
        ):
            yield f"{name}.{inner.name}"


class TestEveryModule:
    def test_functions_fit_on_a_screen(self) -> None:
        long = {name: long_functions(module.source) for name, module in ALL.items()}
        assert {name: functions for name, functions in long.items() if functions} == {}

    def test_what_is_public_is_documented(self) -> None:
        trees = {name: module.tree for name, module in ALL.items()}
        classes = ancestry(trees.values())
        assert [b for name, tree in trees.items() for b in undocumented(tree, name, classes)] == []

    def test_a_long_function_is_found(self) -> None:
        body = "    x = 1\n"
        source = f"def short():\n{body * 59}\nclass A:\n  def long(self):\n{body * 60}"
        assert long_functions(source) == ["long"]

    def test_what_has_no_docstring_is_found(self) -> None:
        source = (
            "def f(): pass\ndef _f(): pass\ndef g():\n  'Does.'\n  def h(): pass\n"
            "class A:\n  'An a.'\n  def __init__(self): pass\n  def m(self): pass\nclass _B: pass"
        )
        assert list(undocumented(ast.parse(source), "here", {})) == ["here", "here.f", "here.A.m"]

    def test_an_override_has_the_docstring_of_what_it_overrides(self) -> None:
        source = (
            "'Here.'\nclass A:\n  'An a.'\n  def m(self): 'Does.'\n  def n(self): 'Does.'\n"
            "class B(A):\n  'A b.'\n  def m(self): pass\nclass C(B):\n  'A c.'\n"
            "  def n(self): pass\n  def own(self): pass\n"
        )
        tree = ast.parse(source)
        assert list(undocumented(tree, "here", ancestry([tree]))) == ["here.C.own"]


class TestTheChecker:
    @pytest.mark.parametrize(
        ("name", "source"),
        [
            ("lip_ray.spec", "from lip_ray.data.images import png"),
            ("lip_ray.spec", "import torch"),
            ("lip_ray.records", "import numpy as np"),
            ("lip_ray.records", "from lip_ray import rng"),
            ("lip_ray.metrics", "from lip_ray.data.images import png"),
            ("lip_ray.priors.skip", "from lip_ray.pruning import Mask"),
            ("lip_ray.pruning.grasp", "import lip_ray.tasks.base"),
            ("lip_ray.tasks.blur", "from lip_ray import fits"),
            ("lip_ray.fits.latent", "from lip_ray.trials.base import Context"),
            ("lip_ray.trials.transfer", "from lip_ray.store import Reader"),
            ("lip_ray.trials.transfer", "from ..store import Reader"),
            ("lip_ray.trials.transfer", "def run():\n    import ray"),
            ("lip_ray.sweep", "from lip_ray.engine import launch"),
            ("lip_ray.sweep", "import yaml"),
            ("lip_ray.engine.search", "import pyarrow as pa"),
            ("lip_ray.engine.search", "if TYPE_CHECKING:\n    from lip_ray.cli import app"),
            ("lip_ray.cli", "import pyarrow.parquet"),
            ("lip_ray.cli", "import ray"),
            ("lip_ray.store.upkeep.compact", "from lip_ray.spec import Spec"),
            ("lip_ray.store.upkeep.compact", "import torch"),
            ("lip_ray.store.upkeep.compact", "import yaml"),
            ("lip_ray.analysis.page.gallery", "import torch"),
            ("lip_ray.analysis.page.gallery", "from ray import tune"),
            ("lip_ray.analysis.page.gallery", "import duckdb"),
            ("lip_ray.analysis.page.gallery", "from lip_ray.sweep import Sweep"),
            ("lip_ray.analysis.page.gallery", "from ...trials import run"),
            ("lip_ray.analysis.page.gallery", "import matplotlib"),
            ("lip_ray.results", "import torch"),
            ("lip_ray", "from lip_ray.sweep import Sweep"),
            ("lip_ray.fits.latent", "import plotly.graph_objects as go"),
            ("lip_ray.fits.latent", "importlib.import_module('ray')"),
            ("lip_ray.fits.latent", "__import__('ray')"),
            ("lip_ray.helpers", ""),
        ],
    )
    def test_it_finds(self, name: str, source: str) -> None:
        assert len(violations(Module(name, source))) == 1

    @pytest.mark.parametrize(
        ("name", "source"),
        [
            ("lip_ray.pruning.grasp", "import torch\nfrom lip_ray.pruning.base import Scores"),
            ("lip_ray.pruning.grasp", "from .base import Scores"),
            ("lip_ray.trials.transfer", "from lip_ray import __version__, metrics, records"),
            ("lip_ray.engine.search", "from ray import tune\nfrom lip_ray.store import Writer"),
            ("lip_ray.cli", "def report():\n    from lip_ray.analysis import frontier_report"),
            ("lip_ray.analysis.page.gallery", "import json, pandas\nfrom .naming import names"),
        ],
    )
    def test_it_lets_pass(self, name: str, source: str) -> None:
        assert violations(Module(name, source)) == []

    @pytest.mark.parametrize(
        "source", ["import rich.console", "from lip_ray.store import Reader", "import pandas as pd"]
    )
    def test_an_import_at_start_is_found(self, source: str) -> None:
        assert len(at_start(Module("lip_ray.cli.new", source))) == 1
        assert not at_start(Module("lip_ray.cli.new", f"def run():\n    {source}"))

    def test_relative_names_are_resolved(self) -> None:
        inside = Module("lip_ray.fits.latent", "from .trace import Trace\nfrom .. import rng")
        assert [imported.name for imported in inside.imports] == [
            "lip_ray.fits.trace.Trace",
            "lip_ray.rng",
        ]
        package = Module("lip_ray.fits", "from .trace import Trace\nfrom . import base", True)
        assert [imported.name for imported in package.imports] == [
            "lip_ray.fits.trace.Trace",
            "lip_ray.fits.base",
        ]

    def test_a_ring_is_found(self) -> None:
        one = Module("lip_ray.fits.one", "from lip_ray.fits.two import f")
        two = Module("lip_ray.fits.two", "from lip_ray.fits import three")
        three = Module("lip_ray.fits.three", "import lip_ray.fits.one")
        assert set(cycle([one, two, three])) == {one.name, two.name, three.name}

    @pytest.mark.parametrize("late", ["def f():\n    {}", "if TYPE_CHECKING:\n    {}"])
    def test_a_late_import_makes_no_ring(self, late: str) -> None:
        one = Module("lip_ray.fits.one", "from lip_ray.fits.two import f")
        two = Module("lip_ray.fits.two", late.format("from lip_ray.fits.one import g"))
        assert cycle([one, two]) == []


TAG = re.compile(r"</?(?!br\b|sub\b|extra\b)[a-z][a-z0-9]*[ >]")
"""Markup but for the little that Plotly takes in its labels."""


@pytest.mark.parametrize("path", sorted(Path("analysis").rglob("*.py")), ids=str)
def test_no_markup_is_written_by_hand_or_read_back(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value for part in node.values if isinstance(part, ast.Constant))
            assert not TAG.search("".join(map(str, parts))), f"{path}:{node.lineno}"
    assert "html.parser" not in source
