"""Small generators to test with: a DCGAN that learns digits, and a linear one in a file."""

from pathlib import Path
from typing import Any

import torch

from lip_ray.priors.generators import LayerList
from lip_ray.priors.generators.file import Trained, write
from lip_ray.rng import keyed
from lip_ray.trials import Generator, Reconstruction

DCGAN: dict[str, Any] = {
    "kind": "generator",
    "prior": {"kind": "dcgan", "size": 8, "channels": 1, "width": 4, "latent_size": 4},
    "images": "digits",
    "schedule": [1.0, 0.6, 0.3],
    "fit": {"steps": 4, "batch": 8},
}

LATENT = 4


def generator(**changes: Any) -> Generator:
    return Generator.model_validate(DCGAN | changes)


def linear_file(folder: Path) -> str:
    """A generator whose images are linear in four numbers: what compressed sensing can solve."""
    architecture = LayerList.model_validate(
        {
            "layers": [["linear", LATENT, 64], ["view", 1, 8, 8]],
            "latent_size": LATENT,
            "law": "normal",
            "output": "unit",
        }
    )
    module = architecture.module(keyed(5, "linear generator"))
    weights = {name: value / 4 for name, value in module.state_dict().items()}
    weights["0.bias"] = torch.full_like(weights["0.bias"], 0.5)
    trained = Trained(architecture=architecture, weights=weights, critic=None, origin={})
    return str(write(trained, folder, "linear"))


def checkpoint(folder: Path, **changes: Any) -> Generator:
    """The linear generator as it is."""
    fields = {"prior": {"kind": "file", "path": linear_file(folder)}, "schedule": [1.0]}
    return Generator.model_validate(fields | changes)


def reconstruction(source: Generator | dict[str, Any], **changes: Any) -> Reconstruction:
    fields: dict[str, Any] = {
        "source": source,
        "images": {"kind": "sample", "index": [0, 1]},
        "task": {"kind": "compressed_sensing", "m": 16},
        "solver": {"kind": "erm", "steps": 150, "restarts": 2},
    }
    return Reconstruction.model_validate(fields | changes)
