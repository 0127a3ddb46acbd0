"""The cores that a process may use, over made-up trees of cgroups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lip_ray import cores
from lip_ray.cores import Limit, tightest
from lip_ray.engine import doctor
from lip_ray.engine.ray_session import this_machine
from lip_ray.processor import cpu_name

CORES = 64


@pytest.fixture(autouse=True)
def _many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(CORES)))


def tree(root: Path, membership: str, **files: str) -> Path:
    """A tree with /proc/self/cgroup and files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def cfs(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    """The files of a cgroup of version 1."""
    return {
        f"{folder}/cpu.cfs_quota_us": str(quota),
        f"{folder}/cpu.cfs_period_us": str(period),
    }


V1 = "4:memory:/a\n3:cpu,cpuacct:/docker/f00\n2:cpuset:/b\n"
V1_IN_NAMESPACE = "3:cpu:/\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "files", "found"),
    [
        ("", {}, CORES),
        ("0::/\n", {"cpu.max": "max 100000"}, CORES),
        ("0::/\n", {"cpu.max": "400000 100000"}, 4),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9999900000 100000"}, CORES),
        ("0::/pods/one\n", {"pods/one/cpu.max": "800000 100000", "pods/cpu.max": "max 1000"}, 8),
        ("0::/pods/one\n", {"pods/one/cpu.max": "max 1000", "pods/cpu.max": "3000 1000"}, 3),
        ("0::/../other\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/gone/by/now\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "what is this"}, CORES),
        ("0::/\n", {"cpu.max": ""}, CORES),
        ("0::/\n", {"cpu.max": "100 0"}, CORES),
        (V1_IN_NAMESPACE, cfs("cpu", 100_000), 1),
        (V1_IN_NAMESPACE, cfs("cpu", -1), CORES),
        (V1_IN_NAMESPACE, cfs("cpu", 250_000), 3),
        (V1_IN_NAMESPACE, cfs("cpu", 50_000, 10_000), 5),
        (V1, cfs("cpu,cpuacct/docker/f00", 600_000), 6),
        (V1, cfs("cpu,cpuacct/docker", 600_000), 6),
        (V1, cfs("cpu,cpuacct", 600_000), 6),
        (V1, cfs("cpuacct,cpu", 600_000), 6),
        (V1, cfs("cpu/docker/f00", 600_000), 6),
        (V1, cfs("cpu/docker/another", 600_000), CORES),
        (V1, cfs("memory", 600_000), CORES),
        ("nonsense", cfs("cpu", 700_000), 7),
    ],
)
def test_the_quota_of_a_cgroup(
    tmp_path: Path, membership: str, files: dict[str, str], found: int
) -> None:
    assert tightest(tree(tmp_path, membership, **files), {}).cores == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("1", 1), ("8", 8), ("128", CORES), ("", CORES), ("0", CORES), ("-2", CORES), ("x", CORES)],
)
def test_what_slurm_gives_a_task(tmp_path: Path, value: str, found: int) -> None:
    assert tightest(tmp_path, {"SLURM_CPUS_PER_TASK": value}).cores == found


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"SLURM_CPUS_ON_NODE": "1"}, Limit(1, "SLURM_CPUS_ON_NODE")),
        (
            {"SLURM_CPUS_ON_NODE": "2", "SLURM_CPUS_PER_TASK": "1"},
            Limit(1, "SLURM_CPUS_PER_TASK"),
        ),
        (
            {"SLURM_CPUS_ON_NODE": "1", "SLURM_CPUS_PER_TASK": "4"},
            Limit(1, "SLURM_CPUS_ON_NODE"),
        ),
    ],
)
def test_what_slurm_gives_a_job_on_this_node(
    tmp_path: Path, environment: dict[str, str], found: Limit
) -> None:
    """A job that asks for a number of tasks, or a whole node, has no cores per task."""
    assert tightest(tmp_path, environment) == found


def test_the_smallest_counts_and_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/\n", **{"cpu.max": "400000 100000"})
    assert tightest(root, {}) == Limit(4, "cgroup quota")
    assert tightest(root, {"SLURM_CPUS_PER_TASK": "2"}) == Limit(2, "SLURM_CPUS_PER_TASK")
    assert tightest(root, {"SLURM_CPUS_PER_TASK": "6"}) == Limit(4, "cgroup quota")
    assert tightest(root / "nowhere", {}) == Limit(CORES, "affinity")


def test_run_plan_and_doctor_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert this_machine().cpus == 1
    said = next(check.detail for check in doctor.checks("store") if check.name == "cpu")
    assert said == f"1 core for this process, by SLURM_CPUS_PER_TASK; {cpu_name()}"


def test_a_container_with_a_quota(shared: Path, tmp_path: Path) -> None:
    """What the kernel mounts for a process counts, wherever the limit comes from."""
    assert (shared / "cases/05-cpu-quota-ignored").is_dir()
    (tmp_path / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    if not Path("/sys/fs/cgroup/cpu").is_dir():
        pytest.skip("this machine has no cgroups of version 1 to mount over")
    count = "from lip_ray.cores import available_cpus; print(available_cpus())"
    mounted = f"mount --bind {tmp_path} /sys/fs/cgroup/cpu && {sys.executable} -c '{count}'"
    command = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", mounted]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not permitted" in ended.stderr:
        pytest.skip("this machine lets nobody mount in a namespace of their own")
    assert ended.stdout == "1\n", ended.stderr
