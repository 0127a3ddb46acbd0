"""The science needs torch and nothing of the machinery around it."""

import subprocess
import sys

HEAVY = ("ray", "pyarrow", "plotly", "pandas", "duckdb", "optuna", "typer", "rich")


def test_fits_and_trials_import_no_scheduler_store_or_plots() -> None:
    """Trials import fits too."""
    loads = "import sys, lip_ray.trials, lip_ray.fits"
    script = f"{loads}; print(*[name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
