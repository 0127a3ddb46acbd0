"""Where an optional package is missing, one line says which extra to install."""

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go
import pytest

from lip_ray.analysis.live.serve import app
from lip_ray.analysis.print import write_figure
from lip_ray.engine import ray_session, trackers
from lip_ray.fits.sparse import loading
from lip_ray.store import Writer
from lip_ray.tasks.deepinv import _deepinv_physics

ROOT = Path(__file__).resolve().parents[2]


def serve(folder: Path) -> None:
    """Make the live page of a store."""
    Writer.open(folder / "store")
    app(folder / "store")


def draw(folder: Path) -> None:
    """Write a figure to a file."""
    write_figure(go.Figure(go.Scatter(x=[1], y=[1])), folder / "line.svg")


def track(name: str) -> Callable[[Path], None]:
    """Begin to send numbers to a tracker."""
    return lambda folder: trackers.callbacks((name,), sweep="study", store=folder) and None


def join(folder: Path) -> None:
    """Join a cluster from outside."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray_session, "refuse_silent", lambda address: None)
        with ray_session.joined("ray://localhost:1"):
            pass


def compute_sparsely(folder: Path) -> None:
    """Ask what sparse execution lacks."""
    raise ValueError(loading.missing())


def measure(folder: Path) -> None:
    """Look for an operator of deepinv."""
    _deepinv_physics()


NEEDED: dict[str, tuple[tuple[str, ...], Callable[[Path], None]]] = {
    "cluster": (("grpc", "ray.util.client"), join),
    "deepinv": (("deepinv", "deepinv.physics"), measure),
    "figures": (("kaleido",), draw),
    "mlflow": (("mlflow",), track("mlflow")),
    "serve": (("flask", "lip_ray.analysis.live.app"), serve),
    "sparse": (("numba",), compute_sparsely),
    "tensorboard": (("tensorboardX",), track("tensorboard")),
    "wandb": (("wandb",), track("wandb")),
}
"""By extra, modules that are hidden or imported anew, and what needs them."""


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let modules be missing; those of lip-ray and Ray are imported anew."""
    for name in modules:
        if name.startswith(("lip_ray.", "ray.")):
            for inside in [one for one in sys.modules if f"{one}.".startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, inside)
        else:
            monkeypatch.setitem(sys.modules, name, None)


def test_every_extra_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert NEEDED.keys() == project["optional-dependencies"].keys() - {"all", "dev"}


@pytest.mark.parametrize("extra", NEEDED)
def test_a_missing_package_is_told_by_its_extra(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, act = NEEDED[extra]
    hide(monkeypatch, *modules)
    with pytest.raises((ImportError, ValueError)) as refused:
        act(tmp_path)
    said = str(refused.value)
    assert said.count(f"pip install 'lip-ray[{extra}]'") == 1
    assert re.fullmatch(r"[^\n]+", said)
