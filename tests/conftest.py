"""One thread for all numerics, a steady hypothesis profile, and the shared reference data."""

import gc
import os
from collections.abc import Iterator
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported, after this
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # threads of one test hold up no others

gc.disable()  # until all tests are collected: among so many new objects it would find no garbage

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steady")


TESTS = Path(__file__).parent
RAY = TESTS / "ray"
FIRST = [RAY, *(TESTS / name for name in ("analysis", "trials", "fits", "conformance"))]
"""Folders in the order in which workers begin them: what takes long is not left for the end, and
what waits for Ray leaves the processor to others meanwhile."""

SHARING = ("tests/ray/", "tests/laws/test_wheel.py")
"""How the paths begin of files whose slow tests share what takes long to make."""

LONG_CPU_S = 20.0
_begun: dict[str, float] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with what takes long, or waits, and leaves the processor to others.

    Slow tests that wait for Ray are spread evenly among the other slow ones.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    if not _slow_alone(config):
        items.sort(key=_place)
        return
    waiting = [item for item in items if item.path.is_relative_to(RAY)]
    computing = [item for item in items if item not in waiting]
    places = {
        item.nodeid: place / len(own)
        for own in (waiting, computing)
        for place, item in enumerate(own)
    }
    items.sort(key=lambda item: places[item.nodeid])


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but not among what stays until the end."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One worker more than there are cores, which those that wait for Ray or a browser leave idle.

    Slow tests, which keep more processes busy, have a core each.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    from lip_ray.cores import available_cpus

    return available_cpus() + (not _slow_alone(config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together where tests run side by side: what they share is made once.

    Tests that start a Ray take turns, unless they are slow and begin a Ray for a file anyway. Most
    other slow tests share little, and one of them may take as long as ten others: each goes where
    there is room.
    """
    from xdist.scheduler import LoadScopeScheduling

    slow = _slow_alone(config)

    class BySharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if slow:
                return path if path.startswith(SHARING) else nodeid
            return "ray" if path.startswith("tests/ray/") else path

    return BySharing(config, log)


def _slow_alone(config: pytest.Config) -> bool:
    """Whether slow tests, and no others, are asked for."""
    return bool(config.option.markexpr == "slow")


def _place(item: pytest.Item) -> int:
    """Where in FIRST a test's folder is; after it for all others."""
    places = (at for at, folder in enumerate(FIRST) if item.path.is_relative_to(folder))
    return next(places, len(FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    """Note where the processor's clock stands when a test begins."""
    _begun[nodeid] = _cpu_s()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note what a test took, where its report takes it to whoever prints."""
    if call.when == "teardown" and item.get_closest_marker("slow") is None:
        item.user_properties.append(("cpu_s", _cpu_s() - _begun[item.nodeid]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List tests that are not marked slow and are."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    took = {
        report.nodeid: dict(report.user_properties).get("cpu_s", 0.0)
        for report in reports
        if getattr(report, "when", None) == "teardown"
    }
    long = {name: cpu_s for name, cpu_s in took.items() if cpu_s > LONG_CPU_S}
    if long:
        terminalreporter.section(f"over {LONG_CPU_S:g} s of CPU: share, shrink or mark slow")
    for name, cpu_s in sorted(long.items(), key=itemgetter(1), reverse=True):
        terminalreporter.write_line(f"{cpu_s:6.1f} s  {name}")


def _cpu_s() -> float:
    """Seconds that this process and those that it has waited for have computed."""
    return sum(os.times()[:4])


@pytest.fixture(scope="session", autouse=True)
def _disks_are_not_waited_for() -> Iterator[None]:
    """What tests write need not outlive a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_are_built_once() -> Iterator[None]:
    """Typer builds all of them anew for each call, which takes longer than most calls."""
    import typer.testing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of reference data, shared/, is not beside the repository")
    return folder
