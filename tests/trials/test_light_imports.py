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


A_TRIAL = """
import sys
from lip_ray.trials import Context, Trajectory, run
import torch

trial = Trajectory.model_validate({
    "images": [{"kind": "builtin", "name": "camera", "rows": [0, 16], "columns": [0, 16]}],
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 3},
    "schedule": [1, 0.5],
    "fit": {"steps": 3},
})
assert trial.size.macs_per_step > 0
assert len(list(run(trial, Context(device=torch.device("cpu"))))) == 2
print(*[name for name in ("torch._dynamo", "sympy", "scipy.stats") if name in sys.modules])
"""


def test_a_trial_imports_no_compiler_algebra_or_statistics() -> None:
    """The compiler takes more than a second and 70 MB in each process, the others half a second."""
    ended = subprocess.run(
        [sys.executable, "-c", A_TRIAL], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == []
