"""What a cluster may come to, and how it is said that there is none."""

import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from lip_ray import strict_yaml
from lip_ray.engine import ray_session
from lip_ray.engine.ray_session import TRIES, joined, launched, refuse_silent, unreachable
from lip_ray.engine.resources import Capacity, LaunchError

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
max_workers: 5
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}}
  small: {resources: {CPU: 8, GPU: 1}, max_workers: 3}
  large: {resources: {CPU: 64, GPU: 8}}
"""


def test_each_type_of_node_counts_as_often_as_it_may_be_started() -> None:
    small, large = Capacity(cpus=8, gpus=1), Capacity(cpus=64, gpus=8)
    assert launched(strict_yaml.parse(CONFIG)) == [small] * 3 + [large] * 5


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
def test_the_shipped_clusters_grow_to_have_gpus(name: str) -> None:
    most = launched(strict_yaml.parse((ROOT / name).read_text()))
    assert most
    assert all(node.gpus >= 1 and node.cpus >= node.gpus for node in most)


def test_a_cluster_of_machines_that_are_there_does_not_grow() -> None:
    assert launched(strict_yaml.parse((ROOT / "clusters/on_premises.yaml").read_text())) == []


@pytest.mark.parametrize("address", ["here", "ray://", "10.0.0.1:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="neither auto, HOST:PORT nor ray://HOST:PORT"):
        refuse_silent(address)


def test_auto_that_leads_nowhere_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a head that was killed has left, or a Ray of another run that listens on loopback."""
    with socket.create_server(("", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        refuse_silent("auto")
    with pytest.raises(ConnectionError, match=rf"nothing answers at [\d.]+:{port}, where Ray"):
        refuse_silent("auto")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 1\n"), "other vers"),
        (
            ImportError("No module named 'grpc'"),
            "missing on this machine: pip install 'lip-ray[cluster]'",
        ),
        (ValueError("Ray Client requires pip package `ray[client]`."), "'lip-ray[cluster]'"),
        (ConnectionError("Connection refused"), "RAY_AUTH_TOKEN"),
        (
            ConnectionAbortedError("Initialization failure:\nTraceback:\nOSError: full"),
            "OSError: full",
        ),
    ],
)
def test_why_a_cluster_cannot_be_joined_is_one_line(error: Exception, said: str) -> None:
    message = unreachable("head:6379", error)
    assert message.startswith("--address head:6379: no Ray cluster can be joined there: ")
    assert said in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("failures", [TRIES - 1, TRIES])
def test_a_busy_head_is_asked_again_for_a_drivers_server(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        if len(asked) <= failures:
            raise ConnectionAbortedError("Initialization failure:\nRuntimeError: not in time")

    monkeypatch.setattr("lip_ray.engine.ray_session.ray.init", init)
    monkeypatch.setattr("lip_ray.engine.ray_session.refuse_silent", lambda address: None)
    end = nullcontext() if failures < TRIES else pytest.raises(LaunchError, match="not in time")
    with end, joined("ray://head:10001"):
        pass
    assert asked == ["ray://head:10001"] * TRIES


def test_keys_of_the_driver_are_not_handed_to_workers_through_ray() -> None:
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    import lip_ray.engine.launch  # noqa: F401

    assert not {name for name in ENV_VARS_TO_PROPAGATE if "AWS" in name or "KEY" in name}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(("failures", "starts"), [(0, 1), (2, 3)])
def test_a_ray_that_was_too_slow_is_started_again(
    failures: int, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last try has begun is ended first, or it would slow down the next one."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> None:
        assert all(process.poll() is not None for process in begun)
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        begun.append(subprocess.Popen(sleep, env={"RAY_AUTH_TOKEN": "ours"}))
        if len(begun) <= failures:
            raise Exception("The current node timed out during startup. This could happen")  # Ray's

    monkeypatch.setattr(ray_session.ray_private, "start", start)
    try:
        with ray_session.local_ray(tmp_path, "ours"):
            assert len(begun) == starts
    finally:
        for process in begun:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("said", "starts"), [("The current node timed out during startup.", 3), ("no such folder", 1)]
)
def test_a_ray_that_does_not_start(
    said: str, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[None] = []

    def start(*_: object, **__: object) -> None:
        tried.append(None)
        raise Exception(said)  # Ray raises no narrower one

    monkeypatch.setattr(ray_session.ray_private, "start", start)
    with pytest.raises(LaunchError, match=said), ray_session.local_ray(tmp_path, "ours"):
        pass
    assert len(tried) == starts
