"""Two drivers on two hosts fill one store in a bucket of OpenStack Swift, which is no mock."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_sweep import LEVELS, SWEEP, assert_same_trials, hosts_of
from hosts import Network, lacking, wait_until
from swift_bucket import KEYS, NEEDED_BY_SWIFT, SwiftBucket

from lip_ray.store import Reader

pytestmark = pytest.mark.clusters

PATIENCE_S = 600.0

DRIVERS = ("d1", "d2")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A host with a bucket, and one for each driver."""
    if lacks := lacking(NEEDED_BY_SWIFT):
        pytest.skip(f"no bucket of Swift can be had here: {lacks}")
    made = Network(
        tmp_path_factory.mktemp("swift") / "net", ("bucket", *DRIVERS), more=SwiftBucket.MORE
    )
    try:
        for name in DRIVERS:
            (made[name].folder / "home" / "hosts.yaml").write_text(SWEEP)
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def bucket(network: Network) -> SwiftBucket:
    """The bucket."""
    return SwiftBucket(network["bucket"])


def test_two_drivers_at_once(network: Network, bucket: SwiftBucket, undisturbed: Path) -> None:
    """Both end well, and so does the store, though the host of one is lost and its run repeated."""
    store = bucket.address % "both"
    orders = {"d1": "[0, 1, 2, 3]", "d2": "[3, 2, 1, 0]"}  # the same trials

    def start(name: str, log: str) -> "subprocess.Popen[bytes]":
        settings = (f"grid.seed={orders[name]}", "run.concurrent=1")
        words = ("lip", "run", "hosts.yaml", "--store", store)
        options = [word for setting in settings for word in ("--set", setting)]
        return network[name].start(*words, *options, log=log, environment=KEYS)

    running = {name: start(name, "lip.log") for name in DRIVERS}
    first, second = (network[name] for name in DRIVERS)
    wait_until(
        lambda: all(" density " in network[name].log("lip.log") for name in DRIVERS),
        "a level of each driver",
        patience_s=PATIENCE_S,
    )
    second.kill()
    second.boot()
    running["d2"] = start("d2", "again.log")
    for name in DRIVERS:
        code = running[name].wait(timeout=PATIENCE_S)
        assert code == 0, network[name].log("lip.log") + network[name].log("again.log")
    checked = first.run(
        "lip", "store", "check", "--store", store, environment=KEYS, timeout=PATIENCE_S
    )
    assert "all is well" in checked.stdout
    exported = "/mnt/lip/fetched"
    copy = (
        "import sys; from pyarrow import fs; source, path = fs.FileSystem.from_uri(sys.argv[1]);"
        "fs.copy_files(path, sys.argv[2], source_filesystem=source,"
        " destination_filesystem=fs.LocalFileSystem())"
    )
    first.run("python", "-c", copy, store, exported, environment=KEYS, timeout=PATIENCE_S)
    fetched = network.store / "fetched"
    assert sum(Reader(fetched).levels_done().values()) == LEVELS
    assert hosts_of(fetched) == set(DRIVERS)
    assert_same_trials(fetched, undisturbed, count=4)
