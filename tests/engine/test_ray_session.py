"""What a cluster may come to, and how it is said that there is none."""

import os
from pathlib import Path
from typing import Any

import pytest

from lip_ray import strict_yaml
from lip_ray.engine import ray_session
from lip_ray.engine.ray_session import LOCK, MARK, launched, refuse_silent, unreachable
from lip_ray.engine.resources import Capacity

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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 1\n"), "other vers"),
        (ImportError("No module named 'grpc'"), "pip install 'ray[client]'"),
        (ConnectionError("Connection refused"), "RAY_AUTH_TOKEN"),
    ],
)
def test_why_a_cluster_cannot_be_joined_is_one_line(error: Exception, said: str) -> None:
    message = unreachable("head:6379", error)
    assert message.startswith("--address head:6379: no Ray cluster can be joined there: ")
    assert said in message
    assert len(message.splitlines()) == 1


def test_keys_of_the_driver_are_not_handed_to_workers_through_ray() -> None:
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    import lip_ray.engine.launch  # noqa: F401

    assert not {name for name in ENV_VARS_TO_PROPAGATE if "AWS" in name or "KEY" in name}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def abandoned(folder: Path, content: str, lock: str = LOCK) -> Path:
    """A folder with work in it and an unlocked lock file."""
    folder.mkdir()
    (folder / "work").write_text("precious")
    (folder / lock).write_text(content.format(folder=folder))
    return folder


class TestAbandonedFolders:
    @pytest.fixture
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(ray_session, "_short_folder", lambda: str(tmp_path))
        return tmp_path

    def test_what_a_killed_run_left_is_removed(self, temporary: Path) -> None:
        left = abandoned(temporary / "lip-killed", MARK)
        with ray_session._private_folder() as own:
            assert own.is_dir()
            assert not left.exists()
            ray_session._remove_abandoned_folders()
            assert own.is_dir(), "it is in use"
        assert list(temporary.iterdir()) == []

    @pytest.mark.parametrize(
        ("content", "lock"), [("", "lock"), ("", LOCK), ("lip-ray", LOCK), (MARK, "lock")]
    )
    def test_what_looks_like_it_stays(self, temporary: Path, content: str, lock: str) -> None:
        mine = abandoned(temporary / "lip-smith", content, lock)
        with ray_session._private_folder():
            pass
        assert (mine / "work").read_text() == "precious"

    def test_a_folder_that_was_copied_or_moved_stays(self, temporary: Path) -> None:
        moved = abandoned(temporary / "lip-killed", MARK).rename(temporary / "lip-kept")
        ray_session._remove_abandoned_folders()
        assert (moved / "work").exists()

    def test_links_are_not_followed(self, temporary: Path, tmp_path_factory: Any) -> None:
        mine = tmp_path_factory.mktemp("mine")
        (mine / "work").write_text("precious")
        (mine / LOCK).write_text(MARK.format(folder=temporary / "lip-link"))
        (temporary / "lip-link").symlink_to(mine)
        other = temporary / "lip-other"
        other.mkdir()
        (other / LOCK).symlink_to(mine / "mark")
        (mine / "mark").write_text(MARK.format(folder=other))
        ray_session._remove_abandoned_folders()
        assert (mine / "work").exists()
        assert other.is_dir()

    def test_what_another_user_owns_stays(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = abandoned(temporary / "lip-killed", MARK)
        monkeypatch.setattr(ray_session.os, "getuid", lambda: os.geteuid() + 1)
        ray_session._remove_abandoned_folders()
        assert (theirs / "work").exists()
