"""What a machine of a cluster is asked before it has trials: light, as each answers in seconds.

Without torch and Tune a worker imports this in a fraction of the time that a trial's takes.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from lip_ray import __version__
from lip_ray.store import Reader, StoreError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where Ray's cluster launcher leaves the cluster's file on its head."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What a worker on one machine found."""

    host: str
    version: str
    """The version of lip-ray on that machine."""
    problem: str
    """Why the store cannot be used from there; empty where it can."""


def look(store: str, beacon: str) -> Sighting:
    """This machine's version of lip-ray, and whether it sees the file in the store."""
    try:
        seen = Reader(store).sees(beacon)
        problem = "" if seen else "it has another store there"
    except StoreError as error:
        problem = str(error)
    return Sighting(host=platform.node(), version=__version__, problem=problem)


def bootstrap() -> str | None:
    """What Ray's cluster launcher left on this machine, if it made it."""
    path = Path(BOOTSTRAP).expanduser()
    return path.read_text(encoding="utf-8") if path.is_file() else None
