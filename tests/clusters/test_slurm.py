"""clusters/slurm.sh under a real SLURM of two nodes, and what ends its jobs.

Whatever does, the job goes on by itself, and the store ends as one that was left alone, bit for
bit.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_sweep import LEVELS, SWEEP, Faults, assert_same_trials, hosts_of, levels
from hosts import IMPORTS, ROOT, STORE, lacking, wait_until
from slurm_cluster import NEEDED_BY_SLURM, NODES, SlurmCluster
from studies import assert_same

pytestmark = pytest.mark.clusters

PATIENCE_S = 400.0

Submit = Callable[..., str]

SMALL = ("--cpus-per-task=1", "--mem-per-cpu=1G")
"""A job that leaves room for another on its node."""

ON_BOTH = (*SMALL, "--nodes=2")

LEFT = "find /tmp -maxdepth 1 -name 'lip-*' -printf '%f\\n'"
"""What of our own lies in a node's folder for temporary files."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """The cluster, for all tests of this file."""
    if lacks := lacking(NEEDED_BY_SLURM):
        pytest.skip(f"no SLURM can run here: {lacks}")
    made = SlurmCluster(tmp_path_factory.mktemp("slurm") / "net")
    try:
        shutil.copy(ROOT / "clusters" / "slurm.sh", made.home)
        (made.home / "hosts.yaml").write_text(SWEEP)
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def faults(slurm: SlurmCluster) -> Iterator[Faults]:
    """Faults of the hosts, all of them mended at the end."""
    made = Faults(slurm.network)
    yield made
    made.release()


@pytest.fixture
def submit(slurm: SlurmCluster, faults: Faults, request: pytest.FixtureRequest) -> Submit:
    """Gives the sweep to sbatch, with options; the job's id. Its store has the test's name."""
    slurm.wait_for_nodes()
    path = f"PYTHONPATH={ROOT}/tests/ray/faults:{IMPORTS}"
    name = request.node.name

    def give(*options: str, more: tuple[str, ...] = (), **exported: object) -> str:
        variables = [f"{name}={value}" for name, value in exported.items()]
        words = ["ALL", path, "LIP_FAULTS=/srv/shared/faults", *variables]
        sweep = ("slurm.sh", "hosts.yaml", "--store", str(STORE / name), *more)
        return slurm.submit(f"--export={','.join(words)}", *options, *sweep)

    return give


@pytest.fixture
def store(slurm: SlurmCluster, request: pytest.FixtureRequest) -> Path:
    """The test's store, as this machine sees it."""
    return slurm.network.store / request.node.name


def restarts(slurm: SlurmCluster, job: str) -> int:
    """How often a job has gone back into the queue."""
    words = dict(word.partition("=")[::2] for word in slurm.state(job).split())
    return int(words["Restarts"])


def test_one_node_takes_what_it_is_given(
    slurm: SlurmCluster, submit: Submit, store: Path, undisturbed: Path
) -> None:
    job = submit(*SMALL)
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    log = (slurm.home / f"lip-{job}.log").read_text()
    assert "1 trials at once on cpu" in log, "the machine has more, but the job has not"
    assert restarts(slurm, job) == 0
    assert_same(store, undisturbed)


def test_two_nodes_are_one_ray_that_only_the_job_can_reach(
    slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults, undisturbed: Path
) -> None:
    faults.hold("levels/*-002.parquet")
    job = submit(*ON_BOTH, "--gpus-per-node=1")
    wait_until(lambda: levels(store) >= 2, "two levels", patience_s=PATIENCE_S)
    first = slurm.network["n1"]
    [lip] = first.processes("bin/lip run")
    words = first.run("cat", f"/proc/{lip}/cmdline").stdout.split("\0")
    address = words[words.index("--address") + 1]
    environment = dict(
        pair.partition("=")[::2]
        for pair in first.run("cat", f"/proc/{lip}/environ").stdout.split("\0")
    )
    ask = (
        f"import ray; ray.init(address='{address}', log_to_driver=False);"
        "print({name: ray.cluster_resources()[name] for name in ('CPU', 'GPU', 'memory')})"
    )
    token = {name: environment[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    answer = first.run("python", "-c", ask, environment=token).stdout
    assert str({"CPU": 2.0, "GPU": 2.0, "memory": 2.0 * 2**30}) in answer
    for wrong in (
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        {"RAY_AUTH_MODE": "disabled"},
    ):
        refused = first.run("python", "-c", ask, environment=wrong, check=False)
        assert refused.returncode != 0
        assert "CPU" not in refused.stdout
    faults.release()
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    assert hosts_of(store) == set(NODES)
    assert_same(store, undisturbed)
    for node in NODES:
        assert slurm.network[node].processes("ray") == []
        assert slurm.network[node].shell(LEFT) == ""


def test_the_time_limit(
    slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults, undisturbed: Path
) -> None:
    """Levels in flight end before it, no others begin, and the job goes on after it."""
    faults.hold("levels/*-002.parquet")
    job = submit(*ON_BOTH, "--signal=B:USR1@60")
    log = slurm.home / f"lip-{job}.log"
    wait_until(lambda: levels(store) >= 2, "two levels", patience_s=PATIENCE_S)
    passed_s = int(
        slurm.shell(f"squeue -h -j {job} -O TimeUsed:20 | awk -F: '{{print $1 * 60 + $2}}'")
    )
    slurm.login.run(
        "scontrol", "update", f"job={job}", f"TimeLimit={passed_s // 60 + 3}", root=True
    )
    wait_until(
        lambda: "the limit is near" in log.read_text(), "SLURM's signal", patience_s=PATIENCE_S
    )
    before = levels(store)
    faults.release()
    wait_until(lambda: restarts(slurm, job) == 1, "the job in the queue", patience_s=PATIENCE_S)
    assert before < levels(store) < LEVELS, "what ran has ended, and nothing else has begun"
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    assert_same(store, undisturbed)


def test_a_level_that_is_too_long_for_the_limit(
    slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults
) -> None:
    """It is given up in time for the job to go on; one that always is ends after some restarts."""
    faults.hold("levels/*-001.parquet")
    job = submit(*SMALL, LIP_END_S=1_000_000, LIP_MOST_RESTARTS=1)
    wait_until(lambda: levels(store) >= 1, "a level", patience_s=PATIENCE_S)
    slurm.shell(f"scancel --batch --signal=USR1 {job}")
    wait_until(lambda: restarts(slurm, job) == 1, "the job in the queue", patience_s=PATIENCE_S)
    log = slurm.home / f"lip-{job}.log"
    wait_until(
        lambda: log.read_text().count("waiting; 1 trials at once") == 2,
        "the second try",
        patience_s=PATIENCE_S,
    )
    slurm.shell(f"scancel --batch --signal=USR1 {job}")
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "FAILED"
    assert "it has been requeued 1 times: LIP_MOST_RESTARTS allows no more" in log.read_text()


def test_a_job_that_comes_first(
    slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults, undisturbed: Path
) -> None:
    """SLURM takes the nodes away, and the job goes on when they are free again."""
    faults.hold("levels/*-002.parquet")
    job = submit(*ON_BOTH)
    wait_until(lambda: levels(store) >= 2, "two levels", patience_s=PATIENCE_S)
    other = slurm.submit("--partition=first", "--nodes=2", "--exclusive", "--wrap=sleep 2")
    assert slurm.wait_for_end(other, patience_s=PATIENCE_S) == "COMPLETED"
    faults.release()
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    assert restarts(slurm, job) == 1
    assert_same(store, undisturbed)


def test_a_node_that_is_lost(
    slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults, undisturbed: Path
) -> None:
    faults.hold("levels/*-002.parquet")
    job = submit(*ON_BOTH)
    wait_until(lambda: levels(store) >= 2, "two levels", patience_s=PATIENCE_S)
    slurm.network["n2"].kill()
    wait_until(lambda: restarts(slurm, job) == 1, "the job in the queue", patience_s=PATIENCE_S)
    faults.release()
    slurm.replace("n2")
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    assert_same(store, undisturbed)


def test_an_array_shares_nodes_and_store(
    slurm: SlurmCluster, submit: Submit, store: Path, undisturbed: Path
) -> None:
    """Two clusters at once on the same two nodes, with half of the seeds each."""
    job = submit(*ON_BOTH, "--array=0-1", more=("--set", "grid.seed=[%a, 1%a]"))
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "COMPLETED"
    assert levels(store) == LEVELS
    assert_same_trials(store, undisturbed, count=2)  # of seeds 0 and 1


def test_scancel_ends_it(slurm: SlurmCluster, submit: Submit, store: Path, faults: Faults) -> None:
    faults.hold("levels/*-002.parquet")
    job = submit(*ON_BOTH)
    wait_until(lambda: levels(store) >= 2, "two levels", patience_s=PATIENCE_S)
    slurm.shell(f"scancel {job}")
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "CANCELLED"
    slurm.wait_for_nodes()
    assert restarts(slurm, job) == 0
    for node in NODES:
        assert slurm.network[node].processes("ray") == []


def test_wrong_input_is_not_tried_again_and_leaves_nothing(
    slurm: SlurmCluster, submit: Submit
) -> None:
    """Neither its own files nor those that a killed job had to leave."""
    for node in NODES:
        slurm.network[node].shell("mkdir -p /tmp/lip-job-99999/ray /tmp/lip-1abcdefg")
    job = submit(*ON_BOTH, more=("--set", "fit.setps=1"))
    assert slurm.wait_for_end(job, patience_s=PATIENCE_S) == "FAILED"
    assert "did you mean 'steps'?" in (slurm.home / f"lip-{job}.log").read_text()
    assert restarts(slurm, job) == 0
    for node in NODES:
        assert slurm.network[node].shell(LEFT) == "lip-1abcdefg"
        slurm.network[node].shell("rmdir /tmp/lip-1abcdefg")
