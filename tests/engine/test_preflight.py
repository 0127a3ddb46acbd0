"""Machines that cannot run trials are named before any trial is sent to them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lip_ray import __version__
from lip_ray.engine import preflight
from lip_ray.engine.node_report import NodeReport
from lip_ray.engine.preflight import refuse_unready
from lip_ray.engine.resources import LaunchError

Seen = dict[str, NodeReport | str]


def sighting(
    host: str, *, version: str = __version__, problem: str = "", lacks_mps: bool = False
) -> NodeReport:
    return NodeReport(host=host, version=version, problem=problem, lacks_mps=lacks_mps)


def refused(monkeypatch: pytest.MonkeyPatch, store: Path, seen: Seen) -> str:
    """What is said of machines that saw this; the beacon was there when they looked."""

    def look(path: str, beacon: str) -> Seen:
        assert (Path(path) / beacon).exists()
        return seen

    monkeypatch.setattr(preflight, "_node_reports", look)
    try:
        refuse_unready(str(store))
    except LaunchError as error:
        return str(error)
    return ""


def test_machines_that_see_the_store_are_welcome(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert refused(monkeypatch, tmp_path, {"a (1)": sighting("a"), "b (2)": sighting("b")}) == ""
    assert not list(tmp_path.glob(".beacon*")), "nothing is left behind"


def test_machines_whose_gpus_compute_in_turns_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: Seen = {"a (1)": sighting("a", lacks_mps=True), "b (2)": sighting("b")}
    monkeypatch.setattr(preflight, "_node_reports", lambda store, beacon: seen)
    assert refuse_unready(str(tmp_path)) == ["a"]


def test_a_store_that_is_not_shared_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blind = {f"node{i} ({i})": sighting("n", problem="no store there") for i in range(5)}
    said = refused(monkeypatch, tmp_path, blind | {"good (9)": sighting("good")})
    assert said == (
        f"--store {tmp_path}: not shared with node0 (0), node1 (1), node2 (2) and 2 more: give a "
        "folder that all machines of the cluster mount under this path, as NFS does"
    )


def test_another_version_or_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: Seen = {
        "old (1)": sighting("old", version="0.0.1"),
        "bare (2)": "ModuleNotFoundError: No module named 'lip_ray'",
    }
    old, bare = refused(monkeypatch, tmp_path, seen).splitlines()
    assert old.startswith(f"old (1) has lip-ray 0.0.1, this machine {__version__}")
    assert bare.startswith("bare (2) cannot run lip-ray: ModuleNotFoundError: ")


GOOD, BAD = "aa" * 28, "bb" * 28
"""Ids of machines, as Ray writes them."""


class DyingCluster:
    """What the check uses of Ray: two machines, of which one does not answer."""

    def __init__(self, *, remaining: set[str]) -> None:
        """The `remaining` machines are those that are there after they were asked."""
        self._there, self._remaining = {GOOD, BAD}, remaining

    def nodes(self) -> list[dict[str, object]]:
        return [
            {
                "NodeID": name,
                "NodeManagerHostname": name,
                "NodeManagerAddress": "10.0.0.1",
                "Alive": name in self._there,
                "Resources": {"CPU": 2.0},
            }
            for name in (GOOD, BAD)
        ]

    def remote(self, **options: object) -> Callable[[object], "DyingCluster"]:
        return lambda function: self

    def options(self, *, scheduling_strategy: NodeAffinitySchedulingStrategy) -> "Asking":
        return Asking(scheduling_strategy.node_id)

    def wait(self, promises: list[str], **options: object) -> None:
        self._there = self._remaining

    def get(self, promise: str, **options: object) -> NodeReport:
        if promise == BAD:
            raise TaskUnschedulableError("the node that it asks for does not exist")
        return sighting(promise)


class Asking:
    """A task for one machine; its promise is the machine's name."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id

    def remote(self, store: str, beacon: str) -> str:
        return self._node_id


def test_a_machine_that_leaves_the_cluster_meanwhile_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "ray", DyingCluster(remaining={GOOD}))
    assert refuse_unready(str(tmp_path)) == []
    monkeypatch.setattr(preflight, "ray", DyingCluster(remaining={GOOD, BAD}))
    with pytest.raises(LaunchError, match=rf"^{BAD} \(10\.0\.0\.1\) cannot run lip-ray: .*"):
        refuse_unready(str(tmp_path))


def test_machines_are_asked_by_what_is_imported_at_once() -> None:
    """A worker that only looks at the store need not wait for torch and Tune."""
    script = "import sys, lip_ray.engine.node_report; print(*{'torch', 'ray'} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
