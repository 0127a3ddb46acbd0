"""What only some systems have stays in the engine, and in a few modules that are named here."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lip_ray
from lip_ray import systems
from lip_ray.cli import app

PACKAGE = Path(lip_ray.__file__).parent
ANALYSIS = Path(str(lip_ray.__file__)).parents[1] / "analysis"

MODULES = {"ctypes", "fcntl", "grp", "msvcrt", "pty", "pwd", "resource", "termios", "winreg"}
"""Modules of Python that some systems lack, or that reach into the system's libraries."""

CALLS = {
    "os": {"fork", "forkpty", "geteuid", "getuid", "kill", "killpg", "sched_getaffinity", "setsid"},
    "signal": {"SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "pthread_sigmask"},
}
"""By module of Python, the names in it that some systems lack."""

FOLDERS = {"/bin", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/usr", "/var"}
"""Folders that some systems lack."""

GUARDED = {
    "lip_ray.allocator": {"ctypes"},  # asks for glibc first
    "lip_ray.analysis.print": {"os.killpg", "signal.SIGKILL"},  # a browser and its processes
    "lip_ray.cores": {"os.sched_getaffinity"},  # asks whether there is such a function
    "lip_ray.scratch": {"fcntl", "os.getuid"},  # locks, on Linux and macOS
    "lip_ray.store.files": {"os.kill"},  # not on Windows, where asking would end a process
    "lip_ray.trials.recording": {"/proc", "resource"},  # without /proc, what getrusage says
}
"""Modules outside the engine that may name what some systems lack, and what each of them names."""


def of_one_system(tree: ast.Module) -> Iterator[str]:
    """What a module names that some systems lack."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from MODULES & {node.module or ""}
            names = {alias.name for alias in node.names} & CALLS.get(node.module or "", set())
            yield from (f"{node.module}.{name}" for name in names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in CALLS.get(node.value.id, set()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and id(node) not in told:
            yield from {"/".join(str(node.value).split("/")[:2])} & FOLDERS


def test_only_the_engine_and_the_guarded_modules_name_what_some_systems_lack() -> None:
    found: dict[str, set[str]] = {}
    for package, folder in (("lip_ray", PACKAGE), ("lip_ray.analysis", ANALYSIS)):
        for path in folder.rglob("*.py"):
            name = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            if not name.startswith("lip_ray.engine."):
                found[name] = set(of_one_system(ast.parse(path.read_text(encoding="utf-8"))))
    assert {name: names for name, names in found.items() if names} == GUARDED


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import fcntl", "fcntl"),
        ("def f():\n    from resource import getrusage", "resource"),
        ("import os\nos.fork()", "os.fork"),
        ("from os import getuid", "os.getuid"),
        ("import signal\nx = signal.SIGKILL", "signal.SIGKILL"),
        ("open('/proc/self/status')", "/proc"),
        ("x = f'/tmp/{1}'", "/tmp"),
    ],
)
def test_the_law_finds(source: str, name: str) -> None:
    assert list(of_one_system(ast.parse(source))) == [name]


@pytest.mark.parametrize(
    "source", ["'/tmp'", "x = 'not /tmp'", "x = 'a/tmp'", "import os\nos.getpid()"]
)
def test_the_law_lets_pass(source: str) -> None:
    assert list(of_one_system(ast.parse(source))) == []


@pytest.mark.parametrize("system", ["win32", "cygwin", "emscripten"])
def test_other_systems_are_refused(system: str) -> None:
    with pytest.raises(systems.WrongSystem, match=rf"Linux and macOS, not on {system}; .* WSL 2"):
        systems.require_known(system)


@pytest.mark.parametrize("system", systems.SYSTEMS)
def test_these_are_taken(system: str) -> None:
    systems.require_known(system)


def test_every_command_refuses_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "SYSTEMS", {"plan9": "Plan 9"})
    for command in ("query select", "run quickstart", "store check"):
        refused = CliRunner().invoke(app, command.split())
        assert (refused.exit_code, refused.stdout) == (2, "")
        said = f"lip-ray runs on Plan 9, not on {sys.platform}; "
        assert refused.stderr.startswith(said)
        assert refused.stderr.count("\n") == 1


def test_a_notebook_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "SYSTEMS", {"plan9": "Plan 9"})
    with pytest.raises(systems.WrongSystem):
        lip_ray.open_store(tmp_path)
