"""Benchmarks of fits run with any number of steps."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from typer import Exit

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = {"device": "cpu", "rounds": 1, "threads": 1}
NETWORK = {"size": 32, "width": 4, "scales": 2}
OTHERS = {
    "fit": SMALL | NETWORK,
    "criteria": SMALL | NETWORK,
    "adversarial": SMALL | {"size": 8, "width": 4, "batch": 4},
    "sensing": SMALL | {"width": 4, "m": 200, "restarts": 2},
    "stopping": SMALL | NETWORK | {"updates": 1},
    "sparse": {"densities": "0.5,0.1", "rounds": 1},
    "precision": NETWORK | {"device": "cpu", "seeds": 2, "photos": 1},
}


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a benchmark by name; they import one another from their folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


@pytest.mark.parametrize("steps", [1, 2, 25])
@pytest.mark.parametrize("name", OTHERS)
def test_any_number_of_steps_will_do(
    name: str, steps: int, named: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(Exit):  # a target that is not met is no fault
        named(name).main(steps=steps, **OTHERS[name])
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize("steps", [1, 5, 9, 60])
def test_so_it_will_for_masks(steps: int, named: Callable[[str], ModuleType]) -> None:
    assert named("masks").study(steps).fit.steps == steps
