"""A hundred faults over one sweep on a cluster: nothing is lost, doubled or changed.

What it prints (`-s`) is the log that docs/reliability.md sums up.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from faulty import FaultyCluster
from studies import run_all

from lip_ray.store import Reader

Same = Callable[[Path, Path], None]

FAULTS = 100
SEED = 20_26
PAUSE_S = (2.0, 7.0)
"""Between two faults, at least and at most."""

PATIENCE_S = 3600.0
"""For all of it."""

SWEEP = """
name: soaked
trial:
  images: {kind: builtin, name: camera, size: [32, 32]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 8, scales: 2, input_channels: 4}
  schedule: [1, 0.6, 0.36, 0.2]
  fit: {steps: 150, stopping: {kind: wmv, window: 20, stride: 5}}
grid:
  pruner: [magnitude, random]
  seed: [%s]
run: {retries: 1000, level_limit_s: 40, store_patience_s: 300}
"""
SEEDS = 80

WEIGHTS = {
    "worker killed": 28,
    "worker stopped": 8,
    "node lost": 14,
    "driver killed": 14,
    "Ctrl-C once": 6,
    "Ctrl-C twice": 6,
    "SIGTERM": 6,
    "disk full for 3 s": 10,
    "clock moved": 8,
}
"""How often each fault is drawn, in parts."""


@dataclass
class Soak:
    """The sweep under fire, and what happened."""

    cluster: FaultyCluster
    folder: Path
    sweep: Path
    draws: random.Random
    driver: "subprocess.Popen[bytes] | None" = None
    drivers: int = 0
    log: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seen: dict[Path, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def start(self) -> None:
        """The same command, once more, where none is running."""
        if self.driver and self.driver.poll() is None:
            return
        self.drivers += 1
        lip = str(Path(sys.executable).with_name("lip"))
        command = [lip, "run", str(self.sweep), "--store", str(self.store)]
        with (self.folder / "drivers.log").open("ab") as log:
            self.driver = subprocess.Popen(
                [*command, "--address", self.cluster.address],
                env=os.environ | self.cluster.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def fault(self) -> None:
        """One that is drawn; one that finds nobody to hit counts as none."""
        [name] = self.draws.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if self._strikes(name):
            self.counts[name] += 1
            done = sum(Reader(self.store).levels_done().values())
            seconds = time.monotonic() - self.began
            self.log.append(f"{seconds:7.1f} s  {name:<18} {done} levels stored")
            print(self.log[-1], flush=True)

    def _strikes(self, name: str) -> bool:
        assert self.driver
        if name.startswith("worker"):
            number = signal.SIGKILL if name == "worker killed" else signal.SIGSTOP
            return self.cluster.signal_worker(number, self.draws) is not None
        if name == "node lost":
            self.cluster.replace_node(self.draws.randrange(2))
        elif name == "disk full for 3 s":
            self.cluster.fault("full")
            time.sleep(3)
            self.cluster.mend("full")
        elif name == "clock moved":
            self.cluster.fault("clock", str(self.draws.uniform(-1e6, 1e6)))
        else:
            return self._driver_struck(name)
        return True

    def _driver_struck(self, name: str) -> bool:
        assert self.driver
        if self.driver.poll() is not None or not self.cluster.workers():
            return False
        sent = {"driver killed": signal.SIGKILL, "SIGTERM": signal.SIGTERM}.get(name, signal.SIGINT)
        self.driver.send_signal(sent)
        if name == "Ctrl-C twice":
            time.sleep(0.5)
            self.driver.send_signal(sent)
        if name == "driver killed" and self.draws.random() < 0.5:
            self.start()  # while what the dead one left is still there
        else:
            self.driver.wait(timeout=300)
        return True

    def check(self) -> None:
        """No file that was there is gone or another, none is doubled."""
        files = {path: path for path in self.store.rglob("*.parquet") if path.name[0] != "."}
        for path, digest in self.seen.items():
            assert path in files, f"{path} is gone"
            assert _digest(path) == digest, f"{path} was changed"
        self.seen |= {path: _digest(path) for path in files.keys() - self.seen.keys()}
        levels = Reader(self.store).frame("levels")
        assert not levels.duplicated(["trial_id", "level", "image"]).any()


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    """The sweep on a cluster of its own."""
    sweep = tmp_path / "soaked.yaml"
    sweep.write_text(SWEEP % ", ".join(map(str, range(SEEDS))))
    cluster = FaultyCluster("soaked cluster")
    made = Soak(cluster=cluster, folder=tmp_path, sweep=sweep, draws=random.Random(SEED))
    yield made
    if made.driver and made.driver.poll() is None:
        made.driver.kill()
        made.driver.wait()
    cluster.shutdown()


@pytest.mark.slow
def test_a_hundred_faults_change_nothing(soak: Soak, assert_same_store: Same) -> None:
    soak.start()
    while not Reader.exists(soak.store):
        time.sleep(0.5)
    until = time.monotonic() + PATIENCE_S
    while soak.counts.total() < FAULTS and time.monotonic() < until:
        time.sleep(soak.draws.uniform(*PAUSE_S))
        soak.start()
        soak.fault()
        soak.check()
    assert soak.counts.total() == FAULTS
    faulty = sum(Reader(soak.store).levels_done().values())
    assert faulty < 8 * SEEDS, "the last faults had nothing left to hit"
    soak.cluster.mend("clock")
    soak.start()
    assert soak.driver
    if soak.driver.wait(timeout=PATIENCE_S) != 0:  # that one was told to end
        soak.start()
        assert soak.driver.wait(timeout=PATIENCE_S) == 0
    soak.check()
    run_all(soak.sweep, soak.folder / "undisturbed")
    assert_same_store(soak.store, soak.folder / "undisturbed")
    print("\n".join(f"{count:4d} × {name}" for name, count in sorted(soak.counts.items())))
    print(f"{soak.drivers} drivers; {faulty} of {8 * SEEDS} levels were stored under fire")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
