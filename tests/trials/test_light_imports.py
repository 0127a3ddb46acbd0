"""The science needs torch and nothing of the machinery around it."""

import subprocess
import sys

import pytest

HEAVY = ("ray", "pyarrow", "plotly", "pandas", "duckdb", "optuna", "typer", "rich")


@pytest.mark.parametrize("module", ["lip_ray.fits", "lip_ray.trials"])
def test_fits_and_trials_import_no_scheduler_store_or_plots(module: str) -> None:
    script = f"import sys, {module}; print(*[n for n in {HEAVY} if n in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
