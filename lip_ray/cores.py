"""How many CPU cores this process may use: containers, schedulers and `taskset` give fewer."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")

CGROUPS = "sys/fs/cgroup"
VERSION_1 = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
"""Where the controller of CPU time of cgroups v1 may be mounted, below `CGROUPS`."""

VERSION_2 = ("", "unified")

AFFINITY = "affinity"
OF_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""What Slurm gives each task, which it says only where the job asked for it, and the job on this
node."""


@dataclass(frozen=True)
class Limit:
    """A number of cores, and who set it."""

    cores: int
    by: str


def available_cpus() -> int:
    """The cores that this process may use, at least 1."""
    return tightest().cores


def tightest(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Limit:
    """The smallest of all limits; the affinity where no other is smaller.

    `root` has the files `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    return min(
        [_affinity(), *_quotas(root), *_of_slurm(environment)], key=lambda limit: limit.cores
    )


def _affinity() -> Limit:
    """The cores that the system lets this process run on; all where it cannot say."""
    if hasattr(os, "sched_getaffinity"):
        return Limit(len(os.sched_getaffinity(0)), AFFINITY)
    return Limit(os.cpu_count() or 1, AFFINITY)


def _of_slurm(environment: Mapping[str, str]) -> Iterator[Limit]:
    """What Slurm gives; a process outside a job has none.

    Clusters that bind no processes to cores say it nowhere else.
    """
    for variable in OF_SLURM:
        given = environment.get(variable, "")
        if given.isdecimal() and int(given):
            yield Limit(int(given), variable)


def _quotas(root: Path) -> Iterator[Limit]:
    """The quotas of CPU time of this process's cgroup and all above it, in whole cores."""
    for folder in _cgroups(root):
        quota = _quota(folder)
        if quota is not None:
            yield Limit(max(1, math.ceil(quota)), "cgroup quota")


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of cgroups that may limit this process.

    Within a container the path in `proc/self/cgroup` may be that of the host, which is not there:
    the container's own cgroup is then what is mounted.
    """
    for controllers, path in _memberships(root):
        own = PurePosixPath(path.lstrip("/"))
        for mount in VERSION_1 if "cpu" in controllers else VERSION_2 if not controllers else ():
            for relative in (own, *own.parents):
                yield root / CGROUPS / mount / relative


def _memberships(root: Path) -> Iterator[tuple[list[str], str]]:
    """For each hierarchy of cgroups its controllers, none in version 2, and this process's path."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux, or a /proc that hides it
        lines = []
    yield from (
        (controllers.split(",") if controllers else [], path)
        for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1)
    )
    yield from (([], "/"), (["cpu"], "/"))


def _quota(folder: Path) -> float | None:
    """CPU time per time in a cgroup, in cores; None where it is not limited."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (folder / name).read_text(encoding="ascii").strip()
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        return int(quota) / int(period) if quota.isdecimal() and int(period) else None
    except (OSError, ValueError):  # no such cgroup, or of a kind that is not known
        return None
