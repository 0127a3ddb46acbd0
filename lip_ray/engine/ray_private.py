"""What Ray does not document and lip-ray uses all the same: each name behind one small function.

The names stand in the sources of the first and of the last version of `CHECKED`. A Ray without one
of them still runs trials: the function then says once what is lost.
"""

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import ray

CHECKED = ("2.55", "2.60")
"""The first and the last version of Ray that each function below was checked against."""

HEAD = {"node:__internal_head__": 0.001}
"""A share of the resource that only a cluster's head has.

Ray documents how to send a task to a node by its id, but not how to tell which node is the head.
Checked with 2.55 and 2.60.
"""

ONLY_LOOPBACK = "ray._private.ray_constants:ENABLE_RAY_CLUSTER"
MOST_RESOURCES = "ray._private.state:state.get_max_resources_from_cluster_config"
PROPAGATED = "ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE"
PRINTS = "ray._private.worker:print_to_stdstream"
AUTO = "ray._private.services:canonicalize_bootstrap_address"
WORKER = "temporary_state.ray_actor"
ERROR_FILE = "pickled_error_file"

LOST = {
    ONLY_LOOPBACK: "its ports may be open to the network",
    MOST_RESOURCES: "what a cluster can grow to may be unknown",
    PROPAGATED: "AWS keys of this process may get into Ray's logs",
    PRINTS: "what Ray prints when it dies is printed too",
    AUTO: "--address auto may take minutes where Ray does not answer",
    WORKER: "run.level_limit_s ends no level",
    ERROR_FILE: "trials fail without a reason",
}
"""Names within Ray's modules and of attributes of Tune's trials, and what is lost without each."""

_log = logging.getLogger(__name__)


def start(folder: Path, *, ip_address: str, **settings: Any) -> None:
    """Start a Ray of this process's own that listens at an address and keeps its files in a folder.

    The documented `ray.init` leaves both to Ray, which takes the machine's address on its network
    and opens its files to every user. Checked with 2.55 and 2.60.
    """
    ray.init(address="local", _node_ip_address=ip_address, _temp_dir=str(folder), **settings)


@contextmanager
def only_loopback() -> Iterator[None]:
    """Let a Ray that starts meanwhile take the loopback address for this machine's only one.

    Ray documents an environment variable for this, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER, but has read
    it when it was imported, and this process may also join a cluster. Checked with 2.55 and 2.60.
    """
    with _replaced(ONLY_LOOPBACK, lambda before: False):
        yield


@contextmanager
def without_messages(*beginnings: str) -> Iterator[None]:
    """Keep messages of Ray's own processes that begin so from being printed meanwhile.

    The documented `log_to_driver=False` is about the output of workers; of the end of a raylet the
    driver prints the last lines of its log twice. Checked with 2.55 and 2.60.
    """

    def filtered(prints: Callable[..., None]) -> Callable[..., None]:
        def printed(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
            if not any(line.startswith(beginnings) for line in data.get("lines", ())):
                prints(data, *arguments, **options)

        return printed

    with _replaced(PRINTS, filtered):
        yield


def most_resources() -> Mapping[str, float] | None:
    """What a cluster's machines come to in sum once all are started; None where Ray cannot say.

    The documented `ray.cluster_resources` counts the machines that run now. Checked with 2.55 and
    2.60.
    """
    most = _found(MOST_RESOURCES)
    resources: Mapping[str, float] | None = most() if most else None
    return resources


def withhold_keys() -> None:
    """Keep the driver's AWS keys out of the environment that Tune hands to workers.

    Tune copies them by itself, in a way that Ray writes into its logs, and documents no setting
    against it; a machine of a cluster has keys of its own. Checked with 2.55 and 2.60.
    """
    names: set[str] = _found(PROPAGATED) or set()
    names.difference_update({name for name in names if name.startswith("AWS_")})


def worker_of(trial: Any) -> Any | None:
    """The actor that runs one of Tune's trials; None where none does.

    Tune gives the trial to callbacks, and documents no way from there to its worker. Checked with
    2.55 and 2.60.
    """
    return _attribute(trial, WORKER)


def last_error(trial: Any) -> Exception | None:
    """What the worker of one of Tune's trials failed by last; None where there is nothing.

    Tune documents the errors of its results only, which it has after the last trial. Checked with
    2.55 and 2.60.
    """
    path = _attribute(trial, ERROR_FILE)
    if path is None:
        return None
    with Path(path).open("rb") as file:
        error: Exception = pickle.load(file)  # as Ray wrote it, in this run's own folder
    return error


def address_of_auto() -> str | None:
    """The HOST:PORT that Ray takes "auto" for; None where it cannot be told.

    Ray documents where it looks, RAY_ADDRESS and what `ray start` left, and looks among the
    processes of the machine too; it says the address only after it was joined. Checked with 2.55
    and 2.60. Raises ConnectionError where there is none.
    """
    look = _found(AUTO)
    return look("auto") if look else None


def complaint() -> str:
    """What is to be said of the installed Ray; nothing where it is one of the checked versions."""
    if _minor(CHECKED[0]) <= _minor(ray.__version__) <= _minor(CHECKED[1]):
        return ""
    lost = [
        LOST[name]
        for name in (ONLY_LOOPBACK, MOST_RESOURCES, PROPAGATED, PRINTS, AUTO)
        if not _has(name)
    ]
    return "; ".join([f"lip-ray was checked with {' to '.join(CHECKED)}", *lost])


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _has(name: str) -> bool:
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def _found(name: str) -> Any | None:
    """What Ray has under a name."""
    if not _has(name):
        _tell(name)
        return None
    return resolve_name(name)


@contextmanager
def _replaced(name: str, by: Callable[[Any], Any]) -> Iterator[None]:
    """Let a name of one of Ray's modules stand for something else meanwhile."""
    before = _found(name)
    if before is None:
        yield
        return
    module, _, last = name.partition(":")
    setattr(resolve_name(module), last, by(before))
    try:
        yield
    finally:
        setattr(resolve_name(module), last, before)


def _attribute(trial: Any, name: str) -> Any | None:
    try:
        return attrgetter(name)(trial)
    except AttributeError:
        _tell(name)
        return None


@cache
def _tell(name: str) -> None:
    """Say, once, what is lost without a name."""
    _log.warning(
        "ray %s has no %s, as versions %s have: %s",
        ray.__version__,
        name.replace(":", "."),
        " to ".join(CHECKED),
        LOST[name],
    )
