"""A sweep on a real Ray of three nodes, and all that can go wrong with one.

Whatever happens, the store ends as one that was left alone, bit for bit.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import PATIENCE_S, FaultyCluster
from studies import run_all

from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep

Start = Callable[..., Any]
Same = Callable[[Path, Path], None]

FAULTY = """
name: faulty
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 2, input_channels: 2}
  schedule: [1, 0.6, 0.36, 0.2]
  fit: {steps: 100, stopping: {kind: wmv, window: 20, stride: 5}}
grid:
  seed: [0, 1, 2]
run: {store_patience_s: 60}
"""

MOVING = """
name: moving
sources: faulty.yaml
trial: {kind: transfer, travels: layer_densities}
"""

LEVELS = 12
WORKERS = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[FaultyCluster]:
    """Two nodes for one trial each; they may be others after a test."""
    made = FaultyCluster("cluster of the tests")
    yield made
    made.shutdown()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The sweep file."""
    (tmp_path / "moving.yaml").write_text(MOVING)
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    return path


@pytest.fixture
def start(
    lip: Start, cluster: FaultyCluster, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Starts `lip run` on the cluster, with its faults."""
    for name in ("RAY_AUTH_MODE", "PYTHONPATH", "LIP_FAULTS"):
        monkeypatch.setenv(name, cluster.environment[name])
    return lambda *arguments: lip("run", *arguments, "--address", cluster.address)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that was left alone, without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "faulty.yaml"
    path.write_text(FAULTY)
    run_all(path, folder / "store")
    return folder / "store"


def status(lip: Start, store: str) -> str:
    """What `lip status` says."""
    code, output = lip("status", "--store", store).finish()
    assert code == 0, output
    return str(output)


def wait_for_stored(store: Path, count: int) -> None:
    """Return once the store has so many levels, whoever ran them."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if Reader.exists(store) and sum(Reader(store).levels_done().values()) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {count} levels in {PATIENCE_S:g} s")


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_cost_a_level_each(
    start: Start, cluster: FaultyCluster, sweep: Path, undisturbed: Path, assert_same_store: Same
) -> None:
    cluster.fault("held", "levels/*-003.parquet")
    running = start(sweep, "--store", "store")
    running.wait_for_levels(1)
    cluster.signal_worker(signal.SIGKILL)
    meanwhile = running.wait_for_levels(2)
    cluster.replace_node(0)
    cluster.mend("held")
    code, output = running.finish()
    assert code == 0, output
    assert "failed, going on once more" in "".join(meanwhile) + output
    assert_same_store(sweep.parent / "store", undisturbed)


@pytest.mark.slow
def test_a_level_that_hangs_is_killed_and_tried_again(
    start: Start, cluster: FaultyCluster, sweep: Path, undisturbed: Path, assert_same_store: Same
) -> None:
    """A stopped process cannot end itself: Ray kills it from outside."""
    running = start(sweep, "--store", "store", "--set", "run.level_limit_s=25")
    running.wait_for_levels(1)
    stopped = cluster.signal_worker(signal.SIGSTOP)
    code, output = running.finish()
    assert code == 0, output
    assert stopped not in cluster.workers()
    assert_same_store(sweep.parent / "store", undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_is_waited_for(
    start: Start, cluster: FaultyCluster, sweep: Path, undisturbed: Path, assert_same_store: Same
) -> None:
    running = start(sweep, "--store", "store")
    running.wait_for_levels(2)
    cluster.fault("full")
    cluster.wait_for_refusals(WORKERS)
    store = sweep.parent / "store"
    done = sum(Reader(store).levels_done().values())
    cluster.wait_for_refusals(1)
    assert sum(Reader(store).levels_done().values()) == done
    cluster.mend("full")
    code, output = running.finish()
    assert code == 0, output
    assert_same_store(store, undisturbed)


@pytest.mark.slow
def test_a_disk_that_stays_full_ends_the_run_and_nothing_is_half_written(
    start: Start,
    lip: Start,
    cluster: FaultyCluster,
    sweep: Path,
    undisturbed: Path,
    assert_same_store: Same,
) -> None:
    running = start(sweep, "--store", "store", "--set", "run.store_patience_s=1")
    running.wait_for_levels(2)
    cluster.fault("full")
    code, output = running.finish()
    cluster.mend("full")
    assert code == 1, output
    assert "stopped: the store cannot be written to: " in output
    assert "No space left on device" in output
    store = sweep.parent / "store"
    assert not list(store.rglob("*.tmp"))
    done = sum(Reader(store).levels_done().values())
    assert f" {done}/{LEVELS} " in status(lip, "store")
    code, output = start(sweep, "--store", "store").finish()
    assert code == 0, output
    assert_same_store(store, undisturbed)


@pytest.mark.slow
def test_two_drivers_and_a_clock_that_is_moved(
    start: Start, cluster: FaultyCluster, sweep: Path, undisturbed: Path, assert_same_store: Same
) -> None:
    """They share the cluster and the store; one of them is killed, the clock goes back a day."""
    first, second = (start(sweep, "--store", "store") for _ in range(2))
    wait_for_stored(sweep.parent / "store", 1)
    cluster.fault("clock", "-86400")
    wait_for_stored(sweep.parent / "store", 3)
    cluster.fault("clock", "3600")
    os.kill(first.process.pid, signal.SIGKILL)
    code, output = second.finish()
    cluster.mend("clock")
    assert code == 0, output
    assert_same_store(sweep.parent / "store", undisturbed)


@pytest.mark.slow
def test_too_little_gpu_memory_is_tried_once_more_and_then_recorded(
    start: Start, lip: Start, cluster: FaultyCluster, sweep: Path
) -> None:
    cluster.fault("short")
    code, output = start(sweep, "--store", "store", "--set", "grid.seed=[0]").finish()
    assert code == 1, output
    assert output.count("out_of_memory: CUDA out of memory. Tried to allocate 2.00 GiB.") == 2
    assert "failed: magnitude seed 0: CUDA out of memory" in output
    failures = Reader(sweep.parent / "store").frame("failures")
    assert failures[["cause", "level", "seed"]].values.tolist() == [["out_of_memory", 0, 0]]
    code, output = lip("status", "--store", "store", "--failures").finish()
    assert "CUDA out of memory" in output
    cluster.mend("short")
    code, output = start(sweep, "--store", "store", "--set", "grid.seed=[0]").finish()
    assert code == 0, output
    assert "nothing has failed" in lip("status", "--store", "store", "--failures").finish()[1]


@pytest.mark.slow
def test_transfers_of_a_finished_trajectory_run_while_others_still_do(
    start: Start, cluster: FaultyCluster, sweep: Path
) -> None:
    """Three trajectories on two nodes: transfers are stored while the last trajectory waits.

    A worker is never sent a transfer whose source is not complete.
    """
    store = sweep.parent / "store"
    trajectories = Sweep.from_yaml(sweep).trials
    *others, waiting = trajectories
    cluster.fault("held", "levels/*-003.parquet")
    running = start(sweep.with_name("moving.yaml"), "--store", "store")
    wait_for_stored(store, WORKERS * 3)
    assert transfers_begun(store) == set()
    cluster.fault("held", f"levels/{waiting.id}-003.parquet")
    wait_for_stored(store, LEVELS)  # of which the trajectories have one less
    assert Reader(store).levels_done().get(waiting.id, 0) < waiting.levels
    begun = transfers_begun(store)
    assert begun
    assert begun <= {other.id for other in others}
    cluster.mend("held")
    code, output = running.finish()
    assert code == 0, output
    assert transfers_begun(store) == {trial.id for trial in trajectories}
    assert set(Reader(store).levels_done().values()) == {4}


def transfers_begun(store: Path) -> set[str]:
    """The sources of the transfers that a worker has."""
    rows = Reader(store).frame("trials").query("kind == 'transfer'")
    return {source for ids in rows["source_ids"] for source in ids}


@pytest.mark.slow
def test_a_failed_source_fails_what_waits_for_it_and_the_rest_goes_on(
    start: Start, lip: Start, sweep: Path
) -> None:
    store = sweep.parent / "store"
    first = Sweep.from_yaml(sweep).trials[0]
    Writer.open(store)
    (store / "levels" / f"{first.id}-001.parquet").mkdir(parents=True)  # it cannot be stored
    moving = sweep.with_name("moving.yaml")
    code, output = start(moving, "--store", "store", "--set", "run.retries=0").finish()
    assert code == 1, output
    assert "its source was given up" in output
    reader = Reader(store)
    failures = reader.frame("failures").sort_values("kind")
    assert failures["kind"].tolist() == ["trajectory", "transfer"]
    assert failures["cause"].tolist() == ["error", "source"]
    assert failures["source_id"].tolist()[1] == first.id
    assert sorted(reader.levels_done().values()) == [1, 4, 4, 4, 4]
    by_kind = status(lip, "store").splitlines()[-1]
    assert by_kind.split() == ["transfer", "2/3", "8/12", "0", "0", "1"]


@pytest.mark.slow
def test_a_run_from_outside_the_cluster(
    lip: Start,
    cluster: FaultyCluster,
    sweep: Path,
    undisturbed: Path,
    assert_same_store: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its driver is on the cluster: lines come from there, and Ctrl-C goes there."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    address = f"ray://127.0.0.1:{cluster.client_port}"
    store = sweep.parent / "store"
    code, output = lip("run", sweep, "--store", "store", "--address", address).finish()
    assert code == 2, output
    assert "the store is a path on the cluster, so it must be absolute" in output

    longer = ("--set", "fit.steps=1500")
    running = lip("run", sweep, "--store", store, "--address", address, *longer)
    running.wait_for_levels(1)
    os.kill(running.process.pid, signal.SIGINT)
    code, output = running.finish()
    assert code == 130, output
    assert "levels in flight are finished first" in output
    assert 1 <= sum(Reader(store).levels_done().values()) < LEVELS
    shutil.rmtree(store)

    code, output = lip("run", sweep, "--store", store, "--address", address).finish()
    assert code == 0, output
    assert "12/12 levels of 3/3 trials" in output
    assert_same_store(store, undisturbed)
