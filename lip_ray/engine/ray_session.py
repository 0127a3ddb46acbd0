"""Ray itself: started inside this process on one machine, or joined where a cluster has it."""

import fcntl
import logging
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import ray
import torch
from ray.exceptions import RayError

from lip_ray import strict_yaml
from lip_ray.engine import ray_private
from lip_ray.engine.cores import available_cpus
from lip_ray.engine.resources import Capacity, LaunchError

OBJECT_STORE_BYTES = 100_000_000
"""Nothing but specs and short reports passes through it."""

LOOPBACK = "127.0.0.1"
PREFIX = "lip-"
LOCK = "lip-ray.lock"

MARK = "lip-ray's own temporary folder: {folder}\n"
"""The content of a folder's lock file. A folder without it, or moved, is never removed."""

LONGEST_TEMPORARY_FOLDER = 24
"""The limit in characters: Linux allows 107 for the name of a socket, and Ray's part of it takes
82."""

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where Ray's cluster launcher leaves the cluster's file on its head."""

TOKEN_HINT = (
    " (where a cluster asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN must be set)"
)

ANSWER_S = 10.0
"""How long a cluster's address may take to accept a connection."""


@contextmanager
def ray_at(address: str | None) -> Iterator[Path]:
    """A Ray to run trials on: this machine's own, or that of the cluster at an address.

    Yields a folder for Tune's state, which is thrown away: the store is what counts. Raises
    LaunchError where nothing answers, or a Ray or Python of another version.
    """
    with _private_folder() as private:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told at the end
        with joined(address) if address else local_ray(private / "ray"):
            yield private / "tune"


@contextmanager
def local_ray(folder: Path) -> Iterator[None]:
    """A Ray of this process's own on the cores it may use, listening on loopback only."""
    with _environment(_own_settings()), ray_private.only_loopback():
        try:
            ray_private.start(
                folder,
                ip_address=LOOPBACK,
                num_cpus=available_cpus(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
            )
            yield
        finally:
            ray.shutdown()


@contextmanager
def joined(address: str) -> Iterator[None]:
    """The Ray of a cluster; one that this process has joined already is left joined."""
    if ray.is_initialized():
        yield
        return
    try:
        refuse_silent(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ImportError, RayError) as error:
        raise LaunchError(unreachable(address, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def refuse_silent(address: str) -> None:
    """Raise ConnectionError where no one listens at a host and port: Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        if address in ("auto", "local"):
            return
        raise ValueError("it is neither auto, HOST:PORT nor ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error


def unreachable(address: str, error: Exception) -> str:
    """Why a cluster cannot be joined, in a line or two."""
    said = str(error).strip() or repr(error)
    if "Version mismatch" in said or "version" in said.lower():
        reason = f"it runs other versions than this machine: {' '.join(said.split())}"
    elif isinstance(error, ImportError):
        reason = f"{said}: pip install 'ray[client]'"
    else:
        reason = said.splitlines()[0]
    hint = TOKEN_HINT if "oken" in said or isinstance(error, ConnectionError) else ""
    return f"--address {address}: no Ray cluster can be joined there: {reason}{hint}"


def nodes() -> list[Capacity]:
    """What each machine of the running Ray has for trials."""
    return [
        _capacity(node["Resources"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    ]


def most() -> list[Capacity]:
    """The machines that the running Ray's autoscaler may start; none where it cannot grow.

    The launcher's file on the head lists them. Where there is none, as under Kubernetes, Ray may
    know what they come to in sum, which is then taken for one machine.
    """
    on_head = ray.remote(_bootstrap).options(num_cpus=0, resources=ray_private.HEAD)
    text = ray.get(on_head.remote())
    if text:
        return launched(strict_yaml.parse(text))
    resources = ray_private.most_resources()
    return [_capacity(resources)] if resources else []


def _bootstrap() -> str | None:
    """What Ray's cluster launcher left on this machine, if it made it."""
    path = Path(BOOTSTRAP).expanduser()
    return path.read_text(encoding="utf-8") if path.is_file() else None


def launched(config: Any) -> list[Capacity]:
    """The machines of a launcher's file, each type as often as it may be started."""
    found: list[Capacity] = []
    ceiling = config.get("max_workers", 0)
    for name, node in config.get("available_node_types", {}).items():
        workers = 0 if name == config.get("head_node_type") else ceiling
        count = min(ceiling, node.get("max_workers", workers))
        found += [_capacity(node.get("resources", {}))] * count
    return found


def _capacity(resources: Mapping[str, float]) -> Capacity:
    memory = resources.get("memory")
    return Capacity(
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        memory_gb=memory / 1e9 if memory else None,
    )


def this_machine() -> Capacity:
    """What this process may use, before any Ray runs."""
    return Capacity(cpus=available_cpus(), gpus=available_gpus())


def available_gpus() -> int:
    """The GPUs this process may use."""
    return torch.cuda.device_count()


def answers() -> bool:
    """Whether a task sent to the running Ray comes back."""
    return bool(ray.get(ray.remote(lambda: True).remote()))


def _own_settings() -> dict[str, str]:
    """What makes a Ray private: its address is loopback, and only who has the token may speak.

    Ray asks for tokens by itself, and writes one into a readable file where it is given none.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # read by the processes that Ray starts
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """These variables while it lasts."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A temporary folder for this user's eyes only, removed afterwards.

    By itself Ray would open its files to everyone on the machine.
    """
    _remove_abandoned_folders()
    private = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_short_folder()))
    lock = _locked(private)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)
        lock.close()


def _locked(private: Path) -> IO[bytes]:
    """The folder's lock file, held until it is closed or this process ends, however it ends."""
    lock = (private / f"{LOCK}.new").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(_mark(private))
    lock.flush()
    (private / f"{LOCK}.new").rename(private / LOCK)  # it appears only once it is held
    return lock


def _mark(private: Path) -> bytes:
    return MARK.format(folder=private).encode()


def _remove_abandoned_folders() -> None:
    """Remove what runs that were killed have left in the temporary folder, and nothing else."""
    for private in Path(_short_folder()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, or gone by now
            if _is_own(private, stat.S_ISDIR):
                _remove_unlocked(private)


def _remove_unlocked(private: Path) -> None:
    """Remove a folder whose lock file is ours and held by nobody. Raises OSError otherwise."""
    handle = os.open(private / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_own(private / LOCK, stat.S_ISREG) and lock.read() == _mark(private):
            shutil.rmtree(private, ignore_errors=True)  # follows no links


def _is_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind, no link, and belongs to this user."""
    found = path.lstat()
    return is_kind(found.st_mode) and found.st_uid == os.getuid()


def _short_folder() -> str:
    """The temporary folder, or /tmp where its name leaves no room for the names of sockets."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= LONGEST_TEMPORARY_FOLDER else "/tmp"
