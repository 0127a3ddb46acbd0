"""A trial does not import PyTorch's compiler, which takes more than a second and 70 MB."""

import subprocess
import sys

SCRIPT = """
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
print("torch._dynamo" in sys.modules)
"""


def test_of_the_smallest_sweep() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "False", ended.stderr
