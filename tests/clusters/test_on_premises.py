"""`ray up clusters/on_premises.yaml` over SSH to hosts with firewalls, and what can befall them.

A cable is pulled and put back, a host loses its power; the store ends as one that was left alone.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_sweep import SWEEP, Faults, hosts_of, levels
from hosts import lacking, wait_until
from ssh_cluster import NEEDED_BY_SSH, RAY_HOSTS, WORKERS, SshCluster
from studies import assert_same

pytestmark = pytest.mark.clusters

PATIENCE_S = 600.0

FILE = "clusters/on_premises.yaml"

PULLED_S = 20.0
"""How long the cable is out: longer than any timeout of one request, not than Ray's patience."""


def lacks() -> str:
    """What this machine lacks for `ray up`."""
    if found := lacking(NEEDED_BY_SSH):
        return found
    needs = [sys.executable, "-c", "import aiohttp, opencensus, virtualenv"]
    if subprocess.run(needs, capture_output=True, check=False).returncode:
        return "its Python has no ray[default]: pip install '.[cluster]'"
    return ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshCluster]:
    """The hosts, on which `ray up` has installed the wheel and started Ray."""
    if said := lacks():
        pytest.skip(f"`ray up` cannot be tried here: {said}")
    made = SshCluster(tmp_path_factory.mktemp("ssh") / "net")
    try:
        made.furnish()
        made.check_out(SWEEP)
        made.up("ray get-auth-token --generate > /dev/null; chmod 600 ~/.ray/auth_token")
        made.up(f"ray up --yes {FILE}", timeout=PATIENCE_S)
        wait_until(
            lambda: alive(made) == len(RAY_HOSTS),
            "a Ray of all hosts",
            patience_s=PATIENCE_S,
            every_s=5,
        )
        yield made
    finally:
        made.shutdown()


def alive(cluster: SshCluster) -> int:
    """How many hosts the head's Ray counts."""
    ask = (
        "import ray; ray.init(log_to_driver=False);"
        "print(sum(n['Alive'] for n in ray.nodes()), 'alive')"
    )
    said = cluster.up(f'ray exec {FILE} "python -c \\"{ask}\\"" 2>&1 || true', timeout=PATIENCE_S)
    found = [line.split()[0] for line in said.splitlines() if line.strip().endswith(" alive")]
    return int(found[-1]) if found else 0


def test_every_worker_has_the_wheel(cluster: SshCluster) -> None:
    for name in RAY_HOSTS:
        where = cluster.network[name].run(
            "/srv/home/lip-ray/venv/bin/python",
            "-c",
            "import lip_ray; print(lip_ray.__file__)",
            environment={"PYTHONPATH": ""},
        )
        assert where.stdout.startswith("/srv/home/lip-ray/venv/")


def test_nobody_without_the_token_is_answered(cluster: SshCluster) -> None:
    ask = (
        f"import ray; ray.init('{cluster.head.address}:6379', log_to_driver=False); print('joined')"
    )
    for settings in (
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
    ):
        refused = cluster.network["w1"].run(
            *("timeout", "60", "python", "-c", ask),
            environment=settings,
            check=False,
        )
        assert "joined" not in refused.stdout


def test_a_cable_that_is_pulled_and_a_host_that_is_lost(
    cluster: SshCluster, undisturbed: Path
) -> None:
    faults = Faults(cluster.network)
    store = cluster.network.store / "hosts"
    faults.hold("levels/*-002.parquet")
    cluster.up(f"ray rsync-up {FILE} hosts.yaml hosts.yaml", timeout=PATIENCE_S)
    command = "lip run hosts.yaml --address auto --store /mnt/lip/hosts"
    running = cluster.start(f"ray exec {FILE} '{command}'", "lip.log")
    said = cluster.laptop
    wait_until(lambda: levels(store) >= 8, said.log("lip.log"), patience_s=PATIENCE_S)
    first, second = (cluster.network[name] for name in WORKERS)
    first.cut()
    time.sleep(PULLED_S)
    first.mend()
    second.kill()
    faults.release()
    assert running.wait(timeout=PATIENCE_S) == 0, said.log("lip.log")
    assert "16/16 levels of 4/4 trials" in said.log("lip.log")
    assert hosts_of(store) == set(WORKERS), "both had trials, and the first finished what both had"
    assert_same(store, undisturbed)
    for name in ("head", "w1"):
        assert cluster.refused(name) == 0, "the page names every port that is needed"
    shown = cluster.up(f"ray exec {FILE} 'lip status --store /mnt/lip/hosts'", timeout=PATIENCE_S)
    assert "16/16" in shown
