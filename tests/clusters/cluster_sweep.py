"""The sweep that runs on hosts, and what holds it back until a test has found it at work."""

from pathlib import Path

from hosts import Network

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
    """Holds back files of a store, on all hosts of a network, so that a fault finds a run at work."""

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
