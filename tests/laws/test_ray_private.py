"""What Ray does not document is used in one file only, with the versions it was checked against."""

import ast
import importlib
import logging
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from lip_ray.engine import ray_private

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(str(files("lip_ray")))
ONLY_IN = PACKAGE / "engine" / "ray_private.py"
PLACES = (PACKAGE, Path(str(files("lip_ray.analysis"))), ROOT / "sweeps", ROOT / "benchmarks")
MODULES = sorted({path for place in PLACES for path in place.rglob("*.py")} - {ONLY_IN})

DOCUMENTED = {
    "ray",
    "ray.exceptions",
    "ray.tune",
    "ray.tune.search",
    "ray.tune.stopper",
    "ray.util.queue",
    "ray.util.scheduling_strategies",
}
"""Modules whose public names Ray's documentation promises."""

OF_TRIALS = {"config", "trial_id"}
"""What Ray documents of the trial that it gives to callbacks."""

IN_TEXT = re.compile(r"\bray\.(\w+\.)*_[a-z]|__internal_|ray\.tune\.(execution|experiment|impl)\b")
"""Names within strings, which a call may look up."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def found(source: str) -> set[str]:
    """What a module uses of Ray that is not documented."""
    tree = ast.parse(source)
    known = dict(names(tree))
    return {
        *imports(tree),
        *attributes(tree, known),
        *texts(tree),
        *(name for node in ast.walk(tree) for name in of_class(node, known)),
    }


def is_private(name: str) -> bool:
    """Whether any part of a dotted name begins with one underscore."""
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def imported(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    """For each name of Ray's that is imported: its module, itself or "", and what it is called."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == "ray":
                yield alias.name, "", alias.asname or "ray"
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
        for alias in node.names:
            yield str(node.module), alias.name, alias.asname or alias.name


def names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each name that an import of Ray binds stands for, in full."""
    for node in ast.walk(tree):
        for module, name, called in imported(node):
            yield (
                called,
                ".".join(filter(None, (module if name or called != "ray" else "ray", name))),
            )


def imports(tree: ast.AST) -> Iterator[str]:
    """Private modules and names that are imported, and modules that Ray does not document."""
    for node in ast.walk(tree):
        for module, name, _ in imported(node):
            whole = f"{module}.{name}" if name else module
            if is_private(whole) or not {module, whole} & DOCUMENTED:
                yield whole


def attributes(tree: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Private attributes of what Ray's names stand for, and private arguments of its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            whole = dotted(node.value, known)
            if whole:
                yield f"{whole}.{node.attr}"
        if isinstance(node, ast.Call) and (whole := dotted(node.func, known)):
            yield from (
                f"{whole}({key.arg}=)" for key in node.keywords if is_private(key.arg or "")
            )


def dotted(node: ast.AST, known: dict[str, str]) -> str:
    """The full name of something of Ray's; "" for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and (whole := dotted(node.value, known)):
        return f"{whole}.{node.attr}"
    return ""


def texts(tree: ast.AST) -> Iterator[str]:
    """Strings with such names in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (match.group() for match in IN_TEXT.finditer(node.value))


def of_class(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """What a class that derives from one of Ray's overrides, or reads off Tune's trials."""
    bases = [dotted(base, known) for base in node.bases] if isinstance(node, ast.ClassDef) else []
    for base in filter(None, bases):
        above = resolved(base)
        for name in defined(node):
            if is_private(name) and hasattr(above, name):
                yield f"{base}.{name}"
        for inner in ast.walk(node):
            if (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.value, ast.Name)
                and inner.value.id == "trial"
                and inner.attr not in OF_TRIALS
            ):
                yield f"trial.{inner.attr}"


def defined(node: ast.AST) -> Iterator[str]:
    """The methods and attributes that a class has of its own."""
    for inner in ast.walk(node):
        if isinstance(inner, FUNCTIONS):
            yield inner.name
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


def resolved(name: str) -> object:
    """The object of a full name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_private_names_of_ray_are_in_one_file() -> None:
    everywhere = {str(path): found(path.read_text(encoding="utf-8")) for path in MODULES}
    assert len(everywhere) > 100
    assert {path: names for path, names in everywhere.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from ray._private import ray_constants", "ray._private.ray_constants"),
        ("import ray._private.state as state", "ray._private.state"),
        ("from ray.tune.execution.class_cache import X", "ray.tune.execution.class_cache.X"),
        ("from ray.air.integrations.mlflow import M", "ray.air.integrations.mlflow.M"),
        ("from ray.tune import _x", "ray.tune._x"),
        ("import ray\nray._private.state.state.get()", "ray._private"),
        ("from ray import tune\ntune._x", "ray.tune._x"),
        ("import ray\nray.init(_temp_dir='x')", "ray.init(_temp_dir=)"),
        ("import ray\nray.remote(resources={'node:__internal_head__': 1})", "__internal_"),
        ("resolve_name('ray.tune.execution.x')", "ray.tune.execution"),
        (
            "from ray import tune\nclass C(tune.Callback):\n"
            "  def on_trial_start(self, trial): trial.temporary_state.ray_actor",
            "trial.temporary_state",
        ),
        (
            "from ray.tune.search import Searcher\nclass S(Searcher):\n"
            "  def set_search_properties(self): ...\n  def _own(self): ...",
            "",
        ),
        ("from ray.tune import Trainable\nclass T(Trainable):\n  def _x(self): ...", ""),
        (
            "from ray.tune import Trainable\nclass T(Trainable):\n  def _export_model(self): ...",
            "ray.tune.Trainable._export_model",
        ),
        ("import ray\nfrom ray import tune\nray.nodes(); tune.Tuner(x, run_config=y)", ""),
        ("class C:\n  def f(self, trial): return trial._x", ""),
    ],
)
def test_it_finds(source: str, name: str) -> None:
    assert (name in found(source)) if name else found(source) == set()


class TestAnotherRay:
    """A version that was not checked, and lacks a name."""

    @pytest.fixture(autouse=True)
    def _again(self, monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
        monkeypatch.setattr(ray, "__version__", "2.71.0")
        ray_private._tell.cache_clear()
        yield
        ray_private._tell.cache_clear()

    def test_one_line_says_what_is_lost_and_nothing_fails(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delattr("ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE")
        monkeypatch.delattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER")
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                ray_private.withhold_keys()
                with ray_private.only_loopback():
                    pass
                assert ray_private.worker_of(SimpleNamespace()) is None
                assert ray_private.last_error(SimpleNamespace()) is None
        assert len(caplog.messages) == 4
        assert caplog.messages[0] == (
            "ray 2.71.0 has no ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE, as versions "
            "2.55 to 2.60 have: AWS keys of this process may get into Ray's logs"
        )

    def test_the_doctor_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert ray_private.complaint() == "lip-ray was checked with 2.55 to 2.60"
        monkeypatch.delattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER")
        assert ray_private.complaint() == (
            "lip-ray was checked with 2.55 to 2.60; its ports may be open to the network"
        )


def test_the_installed_ray_is_one_that_was_checked() -> None:
    assert ray_private.complaint() == ""


def test_loopback_is_forced_only_meanwhile() -> None:
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    with ray_private.only_loopback():
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert before == ray_constants.ENABLE_RAY_CLUSTER


def test_some_messages_of_ray_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from ray._private import worker

    said = ({"lines": [line], "pid": "raylet", "is_err": False} for line in ("It died.", "Else."))
    with ray_private.without_messages("It died"):
        for data in said:
            worker.print_to_stdstream(data, ignore_prefix=False)
    printed = capsys.readouterr().out
    assert "Else." in printed
    assert "It died." not in printed


def test_each_function_says_which_versions_it_was_checked_with() -> None:
    tree = ast.parse(ONLY_IN.read_text(encoding="utf-8"))
    public = [
        node
        for node in tree.body
        if isinstance(node, FUNCTIONS)
        and not node.name.startswith("_")
        and node.name != "complaint"
    ]
    assert public
    for node in public:
        words = " ".join((ast.get_docstring(node) or "").split())
        assert "Checked with 2.55 and 2.60." in words, node.name
