"""Whether this machine can run a sweep: versions, devices, the store, Ray."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import torch

from lip_ray.cores import AFFINITY, tightest
from lip_ray.engine import ray_private
from lip_ray.engine.mps import mps_runs, turns_remark
from lip_ray.engine.ray_session import OBJECT_STORE_BYTES, answers, ray_at
from lip_ray.engine.temporary import usable_folder
from lip_ray.engine.tensor_cards import card_remark, tensor_card_here
from lip_ray.processor import cpu_name
from lip_ray.store import Writer

PACKAGES = ("lip-ray", "torch", "ray", "pyarrow", "duckdb", "pandas", "plotly", "pydantic")


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    passed: bool
    detail: str


def checks(store: str) -> Iterator[Check]:
    """Look at one thing after another; none that fails keeps the next from being looked at."""
    yield Check("python", True, f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        yield _version(package)
    yield Check("cpu", True, _cores())
    yield Check("gpu", True, _gpus())
    yield from _of_gpus()
    yield _attempt("store", lambda: _store_written(store))
    yield _attempt("temporary", _temporary_folder)
    yield _attempt("ray", _ray_answered)


def _version(package: str) -> Check:
    complaint = ray_private.complaint() if package == "ray" else ""
    return Check(package, True, ": ".join(filter(None, (version(package), complaint))))


def _cores() -> str:
    limit = tightest()
    by = "" if limit.by == AFFINITY else f", by {limit.by}"
    cores = "core" if limit.cores == 1 else "cores"
    return f"{limit.cores} {cores} for this process{by}; {cpu_name()}"


def _gpus() -> str:
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(names) or "none: fits run on the CPU"


def _of_gpus() -> Iterator[Check]:
    """What to set and to start where there are GPUs."""
    if card := tensor_card_here():
        yield Check("precision", True, card_remark(card))
    if torch.cuda.device_count():
        yield Check("mps", True, "CUDA MPS runs" if mps_runs() else turns_remark(["this machine"]))


def _attempt(name: str, action: Callable[[], str]) -> Check:
    try:
        return Check(name, True, action())
    except Exception as error:
        return Check(name, False, str(error) or repr(error))


def _store_written(store: str) -> str:
    Writer.probe(store)
    return f"{store} can be written to"


def _temporary_folder() -> str:
    return f"{usable_folder(object_store_bytes=OBJECT_STORE_BYTES)} can be written to"


def _ray_answered() -> str:
    with ray_at(None):
        answers()
    return "starts inside this process and runs a task"
