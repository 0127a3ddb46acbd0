"""The sweep that runs on hosts, and what holds it back until a test has found it at work."""

from pathlib import Path

import pandas as pd
from hosts import Network
from studies import comparable

from lip_ray.store import Reader

SWEEP = """
name: hosts
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 2, input_channels: 2}
  schedule: [1, 0.6, 0.36, 0.2]
  fit: {steps: 100, stopping: {kind: wmv, window: 20, stride: 5}}
grid:
  seed: [0, 1, 2, 3]
run: {device: cpu, gpus: 0, retries: 20}
"""

LEVELS = 16


class Faults:
    """Holds back files of a store on all hosts of a network, so that a fault finds a run busy."""

    def __init__(self, network: Network) -> None:
        self._folder = network.shared / "faults"
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o777)

    def hold(self, pattern: str) -> None:
        """Let files that match it wait."""
        (self._folder / "held").write_text(pattern)

    def release(self) -> None:
        """Let them go."""
        (self._folder / "held").unlink(missing_ok=True)


def levels(store: Path) -> int:
    """How many levels a store has."""
    return sum(Reader(store).levels_done().values()) if Reader.exists(store) else 0


def hosts_of(store: Path) -> set[str]:
    """The hosts that have fitted its levels."""
    return set(Reader(store).frame("levels")["host"])


def assert_same_trials(store: Path, other: Path, *, count: int) -> None:
    """Both stores have so many trials in common, and the same rows of them, bit for bit.

    The table of sweeps is left out: drivers that share a store may each have asked for a part.
    """
    ours, theirs = comparable(store), comparable(other)
    common = set(ours["trials"]["trial_id"]) & set(theirs["trials"]["trial_id"])
    assert len(common) == count
    for table, frame in ours.items():
        if table != "sweeps" and "trial_id" in frame:
            both = (one[one["trial_id"].isin(common)] for one in (frame, theirs[table]))
            left, right = (one.reset_index(drop=True) for one in both)
            pd.testing.assert_frame_equal(left, right, check_exact=True, obj=table)
