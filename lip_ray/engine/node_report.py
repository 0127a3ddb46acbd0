"""The tasks that machines of a cluster run before any trial.

This module imports neither torch nor Tune, so that a worker answers seconds earlier.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from lip_ray import __version__
from lip_ray.engine.mps import lacks_mps
from lip_ray.store import Reader, StoreError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where Ray's cluster launcher leaves the cluster's file on its head."""


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """The findings of a worker on one machine."""

    host: str
    version: str
    """The version of lip-ray on that machine."""
    problem: str
    """Why the store cannot be used from there; empty where it can."""
    lacks_mps: bool = False
    """Whether it has an NVIDIA GPU on which processes compute in turns."""


def node_report(store: str, beacon: str) -> NodeReport:
    """The version of lip-ray on this machine, whether it sees the beacon in the store, and whether
    trials can share its GPUs."""
    try:
        seen = Reader(store).sees(beacon)
        problem = "" if seen else "it has another store there"
    except StoreError as error:
        problem = str(error)
    host = platform.node()
    return NodeReport(host=host, version=__version__, problem=problem, lacks_mps=lacks_mps())


def bootstrap() -> str | None:
    """What Ray's cluster launcher left on this machine, if it made it."""
    path = Path(BOOTSTRAP).expanduser()
    return path.read_text(encoding="utf-8") if path.is_file() else None
