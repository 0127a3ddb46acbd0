"""What a launch does before it starts a Ray."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lip_ray.engine import launch as launching
from lip_ray.engine.launch import COMPILING, launch
from lip_ray.sweep import Sweep

loading = pytest.importorskip("lip_ray.fits.sparse.loading")


class StartedError(Exception):
    """A Ray would be started now."""


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens before a Ray is started, in order."""
    seen: list[str] = []

    def load(begins: Callable[[], None]) -> None:
        begins()
        seen.append("compiled")

    def ray_at(address: str | None) -> Any:
        seen.append("Ray")
        raise StartedError

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(launching, "ray_at", ray_at)
    return seen


def begun(sweep: Sweep, store: Path) -> str:
    """What a launch says before it starts a Ray."""
    said = io.StringIO()
    with pytest.raises(StartedError):
        launch(sweep, str(store), Console(file=said, width=200))
    return said.getvalue()


SEARCH = """
name: search
trial:
  images: {kind: builtin, name: camera, size: [32, 32]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 8, scales: 2, input_channels: 4}
  schedule: [1, 0.5]
  fit: {steps: 20, execution: sparse}
search:
  space: {fit.learning_rate: {kind: float, low: 0.001, high: 0.1}}
  objectives: [{column: psnr_selected_db, direction: maximize}]
  points: 2
"""


def test_kernels_are_compiled_once_before_workers_start(
    tiny: Path, tmp_path: Path, events: list[str]
) -> None:
    sweep = Sweep.from_yaml(tiny, overrides=["fit.execution=sparse"])
    assert len(sweep.trials) == 4
    assert begun(sweep, tmp_path / "store") == f"{COMPILING}\n"
    assert events == ["compiled", "Ray"]


def test_so_they_are_for_a_search(tmp_path: Path, events: list[str]) -> None:
    (tmp_path / "search.yaml").write_text(SEARCH)
    begun(Sweep.from_yaml(tmp_path / "search.yaml"), tmp_path / "store")
    assert events == ["compiled", "Ray"]


def test_dense_trials_need_no_kernels(tiny: Path, tmp_path: Path, events: list[str]) -> None:
    assert begun(Sweep.from_yaml(tiny), tmp_path / "store") == ""
    assert events == ["Ray"]
