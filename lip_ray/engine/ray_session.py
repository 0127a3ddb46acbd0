"""Ray itself: started inside this process on one machine, or joined where a cluster has it."""

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from lip_ray import strict_yaml
from lip_ray.cores import available_cpus
from lip_ray.engine import ray_private
from lip_ray.engine.node_report import bootstrap
from lip_ray.engine.own_processes import end_processes
from lip_ray.engine.resources import Capacity, LaunchError
from lip_ray.engine.temporary import private_folder
from lip_ray.engine.tensor_cards import tensor_card_here, tensor_card_of
from lip_ray.engine.worker_process import SCRATCH
from lip_ray.errors import first_line

OBJECT_STORE_BYTES = 100_000_000
"""Nothing but specs and short reports passes through it."""

LOOPBACK = "127.0.0.1"

TOKEN_HINT = (
    " (where a cluster asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN must be set)"
)

RAYLET_DIED = "Raylet is terminated"
NODE_DIED = "The node with node id"
"""How messages begin by which Ray tells of its own end, in many lines."""

ANSWER_S = 10.0
"""How long a cluster's address may take to accept a connection."""

TRIES = 3
"""How often a head is asked for a driver's server, and one's own Ray is started: a busy machine may
not do so in time."""

TOO_SLOW = "timed out during startup"
"""What Ray says then."""


@dataclass(frozen=True)
class Session:
    """A Ray that this process has started or joined."""

    folder: Path
    """For Tune's state, which is thrown away: the store is what counts."""
    token: str
    """That of this process's own Ray, whose processes all have it; "" for a cluster's."""

    def end(self) -> None:
        """Leave nothing behind where Ray itself no longer works: it would wait for itself."""
        if self.token:
            end_processes(self.token, self.folder.parent)
        shutil.rmtree(self.folder.parent, ignore_errors=True)


@contextmanager
def ray_at(address: str | None) -> Iterator[Session]:
    """A Ray to run trials on: this machine's own, or that of the cluster at an address.

    Raises LaunchError where nothing answers, a Ray or Python of another version does, or the
    temporary folder is of no use.
    """
    with _folder(address) as private:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told at the end
        token = "" if address else secrets.token_hex(32)
        running = joined(address) if address else local_ray(private / "ray", token)
        messages = (RAYLET_DIED,) if address else (RAYLET_DIED, NODE_DIED)
        with ray_private.without_messages(*messages), running:
            yield Session(private / "tune", token)


def _folder(address: str | None) -> AbstractContextManager[Path]:
    """The folder for a run; one that joins a cluster has no sockets and objects in it."""
    if address:
        return private_folder(sockets=False)
    return private_folder(object_store_bytes=OBJECT_STORE_BYTES)


@contextmanager
def local_ray(folder: Path, token: str) -> Iterator[None]:
    """A Ray of this process's own on the cores it may use, listening on loopback only."""
    with _environment(_own_settings(folder, token)), ray_private.only_loopback():
        try:
            _start(folder, token)
            yield
        finally:
            ray.shutdown()


def _start(folder: Path, token: str) -> None:
    """Raise LaunchError where Ray does not start, after some tries where it was too slow.

    Ray gives its processes 30 s, which a machine with other work may exceed.
    """
    for attempt in range(1, TRIES + 1):
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
            return
        except Exception as error:  # on a busy machine Ray raises no narrower one
            ray.shutdown()
            end_processes(token, folder)
            if attempt == TRIES or TOO_SLOW not in str(error):
                said = first_line(error)
                raise LaunchError(f"Ray cannot be started on this machine: {said}") from error


@contextmanager
def joined(address: str) -> Iterator[None]:
    """The Ray of a cluster; one that this process has joined already is left joined."""
    if ray.is_initialized():
        yield
        return
    try:
        refuse_silent(address)
        _join(address)
    except (ConnectionError, RuntimeError, ValueError, ImportError, RayError) as error:
        raise LaunchError(unreachable(address, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Raise ConnectionAbortedError where the head starts no server for a driver at `ray://`."""
    for attempt in range(1, TRIES + 1):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            return
        except ConnectionAbortedError:
            if attempt == TRIES:
                raise


def refuse_silent(address: str) -> None:
    """Raise ConnectionError where no one listens at a host and port: Ray would try for minutes.

    Raises ValueError for what is no address.
    """
    if address == "local":
        return
    found = ray_private.address_of_auto() if address == "auto" else address
    if found is None:
        return
    host, colon, port = found.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        raise ValueError("it is neither auto, HOST:PORT nor ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        there = f"nothing answers at {found}, where Ray looks for it: " if address == "auto" else ""
        raise ConnectionError(there + (error.strerror or str(error))) from error


def unreachable(address: str, error: Exception) -> str:
    """Why a cluster cannot be joined, in a line or two."""
    said = str(error).strip() or repr(error)
    if "Version mismatch" in said or "version" in said.lower():
        reason = f"it runs other versions than this machine: {' '.join(said.split())}"
    elif isinstance(error, ImportError) or "ray[client]" in said:
        reason = "Ray's client is missing on this machine: pip install 'lip-ray[cluster]'"
    elif isinstance(error, ConnectionAbortedError):  # it ends in a traceback of the head
        reason = said.splitlines()[-1]
    else:
        reason = said.splitlines()[0]
    refused = isinstance(error, ConnectionError) and not isinstance(error, ConnectionAbortedError)
    hint = TOKEN_HINT if refused or "oken" in said else ""
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
    on_head = ray.remote(bootstrap).options(num_cpus=0, resources=ray_private.HEAD)
    text = ray.get(on_head.remote())
    if text:
        return launched(strict_yaml.parse(text))
    resources = ray_private.most_resources()
    return [_capacity(resources)] if resources else []


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
        tensor_card=tensor_card_of(resources),
    )


def this_machine() -> Capacity:
    """What this process may use, before any Ray runs."""
    return Capacity(cpus=available_cpus(), gpus=available_gpus(), tensor_card=tensor_card_here())


def available_gpus() -> int:
    """The GPUs this process may use."""
    return torch.cuda.device_count()


def answers() -> bool:
    """Whether a task sent to the running Ray comes back."""
    return bool(ray.get(ray.remote(lambda: True).remote()))


def _own_settings(folder: Path, token: str) -> dict[str, str]:
    """What makes a Ray private: its address is loopback, only who has the token may speak, and its
    workers write temporary files beside its own.

    Ray asks for tokens by itself, and writes one into a readable file where it is given none.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # read by the processes that Ray starts
        "RAY_AUTH_TOKEN": token,
        SCRATCH: str(folder.parent),
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
