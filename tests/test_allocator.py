"""Memory that a fit frees stays with its process, and no number changes by that."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lip_ray import allocator
from lip_ray.allocator import keep_freed_memory

FIT = """
import resource, sys, threading
import torch
from lip_ray.allocator import keep_freed_memory
from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, Subject
from lip_ray.priors import Skip
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising

def fit(steps):
    image = BuiltinImage(name="astronaut", size=(128, 128))
    problem = Denoising(sigma=25.0).realise(image, seed=0, device=torch.device("cpu"))
    prior = Skip(width=32, scales=2, input_channels=4).build(
        problem.image_shape, seed=0, image=image.label, device=torch.device("cpu")
    )
    subject = Subject(prior=prior, problem=problem, draws=keyed(0, "input noise"))
    (result,) = Fit(steps=steps).run([subject], Mask.dense(prior.prunable()))
    return result

def faults():
    # Those of taking and freeing blocks of 40 MiB again: glibc by itself gives them back.
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(10 * 2**20) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def run():
    result = fit(6)
    bits = result.final.image.numpy().tobytes() + result.rows.numpy().tobytes()
    print(faults(), bits.hex())

torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
worker = threading.Thread(target=run)  # as Ray runs trials
worker.start()
worker.join()
"""

glibc = pytest.mark.skipif(not allocator._is_glibc(), reason="another C library")


def fitted(how: str) -> tuple[int, str]:
    """Page faults in another thread than the main one, and the bits of a fit there."""
    unset = {name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", FIT, how]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    faults, bits = output.stdout.split()
    return int(faults), bits


@glibc
def test_a_fit_has_the_same_bits_and_freed_memory_stays() -> None:
    before, plain = fitted("plain")
    after, kept = fitted("kept")
    assert kept == plain
    assert after < before / 2


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is asked of glibc, which takes everything."""
    asked: list[tuple[int, int]] = []
    refusing(monkeypatch, asked, above=2**31)
    return asked


def refusing(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, int]], *, above: int) -> None:
    """Let glibc be one that refuses values above a limit, and note what it takes."""

    def mallopt(parameter: int, value: int) -> int:
        if value > above:
            return 0
        asked.append((parameter, value))
        return 1

    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))


def test_thresholds_and_heaps_are_set(calls: list[tuple[int, int]]) -> None:
    assert keep_freed_memory({})
    assert calls == [(-3, 2**30), (-1, 2**30), (-2, 2**26)]


def test_an_older_glibc_gets_the_most_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    refusing(monkeypatch, asked, above=2**26)
    assert keep_freed_memory({})
    assert asked[0] == (-3, 2**25)


def test_a_glibc_that_refuses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    refusing(monkeypatch, asked, above=0)
    assert not keep_freed_memory({})
    assert asked == []


@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"MALLOC_MMAP_THRESHOLD_": "131072"},
        {"MALLOC_TOP_PAD_": "0"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_what_the_user_has_set_stays(
    environment: dict[str, str], calls: list[tuple[int, int]]
) -> None:
    assert not keep_freed_memory(environment)
    assert calls == []


@pytest.mark.parametrize("said", [None, "musl 1.2", ValueError("unrecognized configuration name")])
def test_on_other_c_libraries_nothing_happens(
    said: object, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def confstr(name: str) -> object:
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(os, "confstr", confstr)
    assert not keep_freed_memory({})
    assert calls == []
