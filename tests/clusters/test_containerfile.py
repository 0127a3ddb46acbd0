"""Containerfile, built line by line, and in its image what KubeRay would start.

Images come from a registry, which tests do without: the image of Python is stood in for by a Debian
with its own Python.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from hosts import NEEDED, ROOT, lacking

from lip_ray import __version__
from lip_ray.store import Reader

pytestmark = pytest.mark.clusters

NEEDED_BY_IMAGES = NEEDED | {"buildah": "buildah", "debootstrap": "debootstrap"}

BASE, IMAGE = "localhost/python:debian", f"localhost/lip-ray:{__version__}"

USER_ID = 1000
"""The user whom both the image and the pods of clusters/kuberay.yaml name."""

FEW = (
    "fit.steps=20",
    "schedule.steps=2",
    "images={kind: builtin, name: astronaut, size: [32, 32]}",
    "prior={kind: skip, width: 8, scales: 2, input_channels: 4}",
    "run.gpus=0",
    "run.device=cpu",
)
"""What makes the sweep of clusters/kuberay.yaml one for a machine without a GPU, in seconds."""


class Images:
    """Images and containers in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._own = ["buildah", "--root", str(folder / "images"), "--runroot", str(folder / "run")]

    def __call__(self, *args: str, apart: bool = False) -> str:
        """What buildah prints; a command that fails raises AssertionError with the end of that.

        What runs apart sees no network but its own, and none of it outlives the command.
        """
        command = [*self._own, *args]
        if apart:
            inside = f"ip link set lo up && exec {shlex.join(command)}"
            namespaces = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
            command = ["unshare", *namespaces, "sh", "-c", inside]
        settings = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout.strip()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """With an image that has a Python and its pip, as images of Python have."""
    if lacks := lacking(NEEDED_BY_IMAGES):
        pytest.skip(f"no image can be built here: {lacks}")
    folder = tmp_path_factory.mktemp("images")
    try:
        root = folder / "debian"
        wanted = "--include=python3,python3-pip,ca-certificates"
        made = ["debootstrap", "--variant=minbase", wanted, "bookworm", str(root)]
        done = subprocess.run(made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        (root / "usr/bin/python").symlink_to("python3")
        for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            mark.unlink()
        found = Images(folder)
        container = found("from", "scratch")
        found("add", "--quiet", container, str(root), "/")
        shutil.rmtree(root)
        found("commit", "--quiet", "--rm", container, BASE)
        yield found
    finally:
        shutil.rmtree(folder)


def as_here(folder: Path) -> list[str]:
    """Options that let pip find inside what it finds on this machine."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {
        name.rpartition(".")[2]: ast.literal_eval(value)
        for name, _, value in (line.partition("=") for line in said.splitlines())
    }
    lines = (f"{name} = {' '.join(value.split())}" for name, value in settings.items())
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    places = {Path(path) for path in re.findall(r"(?:file://|(?<![\w:/]))(/[^\s']+)", said)}
    seen = {path if path.is_file() else path.parent for path in places if path.exists()}
    mounts = {folder / "pip.conf": Path("/etc/pip.conf")} | {path: path for path in seen}
    return [f"--volume={here}:{there}:ro" for here, there in mounts.items()]


@pytest.fixture(scope="module")
def container(images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A container of the image that the file describes."""
    options = as_here(tmp_path_factory.mktemp("pip"))
    base = f"--build-arg=PYTHON={BASE}"
    images("build", "--pull=never", base, *options, f"--tag={IMAGE}", ".")
    return images("from", "--pull=never", IMAGE)


def test_its_commands_are_found_by_a_login_shell(images: Images, container: str) -> None:
    said = images("run", container, "--", "bash", "-lc", "id -u; pwd; lip --version; ray --version")
    user, home, lip, of_ray = said.splitlines()
    assert (user, home) == (str(USER_ID), "/home/ray")
    assert __version__ in lip
    assert ray.__version__ in of_ray


def test_it_has_the_package_whole(images: Images, container: str) -> None:
    read = "from importlib.metadata import metadata; print(metadata('lip-ray')['Description'])"
    said = images("run", container, "--", "python", "-c", read)
    assert said == (ROOT / "PACKAGE.md").read_text(encoding="utf-8").strip()


def test_nothing_of_its_making_is_left(images: Images, container: str) -> None:
    left = images("run", container, "--", "bash", "-c", "find /tmp /src /dist ~/.cache | sort || :")
    assert left == "/tmp"


def test_the_job_runs_in_it(images: Images, container: str, tmp_path: Path) -> None:
    """As KubeRay starts it, but for a GPU: a head without trials, a worker, a token, one store."""
    found = yaml.safe_load_all((ROOT / "clusters" / "kuberay.yaml").read_text(encoding="utf-8"))
    parts: dict[str, Any] = {one["kind"]: one for one in found}
    sweeps, store = tmp_path / "sweeps", tmp_path / "store"
    sweeps.mkdir()
    store.mkdir()
    os.chown(store, USER_ID, USER_ID)
    for name, text in parts["ConfigMap"]["data"].items():
        (sweeps / name).write_text(text)
    job = parts["RayJob"]["spec"]
    group = job["rayClusterSpec"]["headGroupSpec"]
    params = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
    lines = [
        shlex.join(["ray", "start", "--head", *params]),
        "ray start --address=127.0.0.1:6379 --num-cpus=2",
        shlex.join([*shlex.split(job["entrypoint"]), *(f"--set={one}" for one in FEW)]),
        "ray stop",
    ]
    images(
        "run",
        "--env=RAY_AUTH_MODE=token",
        f"--env=RAY_AUTH_TOKEN={'0123456789abcdef' * 4}",
        f"--volume={sweeps}:/sweeps:ro",
        f"--volume={store}:/mnt/lip",
        container,
        "--",
        "bash",
        "-lc",
        " && ".join(lines),
        apart=True,
    )
    assert list(Reader(store / "noise").levels_done().values()) == [3] * 6
