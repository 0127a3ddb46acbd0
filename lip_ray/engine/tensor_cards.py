"""GPUs on which exact 32-bit floats cost much more time than TF32, and what is said of that."""

import re
from collections.abc import Iterable, Mapping

import torch

from lip_ray.trials import AbstractTrial

FIRST_WITH_TF32 = (8, 0)
"""The compute capability from which NVIDIA's GPUs compute TF32 in tensor cores (Ampere)."""

OF_RAY = re.compile(r"accelerator_type:((?:A|B|GB|H|L)\d.*|RTX-PRO.*)")
"""The resource by which Ray names a node's GPUs, for NVIDIA's since Ampere: A100, L40S, GB200."""

LARGE = 256 * 256
"""Pixels from which convolutions keep such a GPU busy enough for the difference to show."""

REMEDY = "--set fit.precision=tf32 is faster, and changes the numbers and the ids"


def tensor_card_here() -> str:
    """The name of this machine's first GPU that computes TF32; empty where there is none."""
    for index in range(torch.cuda.device_count()):
        if torch.cuda.get_device_capability(index) >= FIRST_WITH_TF32:
            return torch.cuda.get_device_name(index)
    return ""


def tensor_card_of(resources: Mapping[str, float]) -> str:
    """The name of a Ray node's GPUs where they compute TF32; empty where they do not, or Ray does
    not know them."""
    found = filter(None, map(OF_RAY.fullmatch, resources))
    return next((match[1] for match in found), "")


def exact_remark(trials: Iterable[AbstractTrial], card: str) -> str:
    """What exact fits of large images cost on that card; empty where no trial has any."""
    large = sum(trial.exact_pixels >= LARGE for trial in trials)
    if not large:
        return ""
    return (
        f"{large} {'trial' if large == 1 else 'trials'} with images of 256×256 or more in exact "
        f"fp32, which on {card} can take several times as long as tf32: {REMEDY}"
    )


def card_remark(card: str) -> str:
    """What exact fits cost on a card, whatever the sweep."""
    return (
        f"exact fp32, the default, can take several times as long as tf32 on {card} for images of "
        f"256×256 or more: {REMEDY}"
    )
