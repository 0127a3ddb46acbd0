"""How many bytes the masks of a trajectory take in the store, before compaction.

    python benchmarks/masks.py [--steps 60]

A real one: the study's network (2,208,768 prunable weights) on a photo of 64×64, sixteen prunings
of 20 % of what remains. Few steps a fit are enough to rank the weights as fitted ones are.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import typer

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, WindowedVariance
from lip_ray.store import Writer
from lip_ray.tasks import Denoising
from lip_ray.trials import Context, Trajectory, run


def main(steps: int = 60) -> None:
    """Print bytes by level and in total, beside the same masks saved as float tensors."""
    trial = study(steps)
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer.open(folder)
        counts = []
        for record in run(trial, Context(device=torch.device("cpu"))):
            counts.append((record.kept, record.total))
            writer.write_level([replace(record, curve=None, reconstructions=())])
        sizes = [path.stat().st_size for path in sorted(Path(folder, "masks").iterdir())]
    for level, (size, (kept, total)) in enumerate(zip(sizes, counts, strict=True)):
        print(f"level {level:2d}  density {kept / total:.4f}  {size:9,} bytes")
    floats = sum(4 * total for _, total in counts)
    print(f"{len(sizes)} levels: {sum(sizes):,} bytes; as float tensors {floats:,} bytes")


def study(steps: int) -> Trajectory:
    """The trajectory with that many steps per fit."""
    return Trajectory(
        images=(BuiltinImage(name="astronaut", size=(64, 64)),),
        task=Denoising(sigma=25.0),
        fit=Fit(steps=steps, stopping=WindowedVariance()),
    )


if __name__ == "__main__":
    typer.run(main)
