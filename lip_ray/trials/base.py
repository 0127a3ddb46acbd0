"""What every kind of trial is given when it runs."""

from dataclasses import dataclass

import torch

from lip_ray.records import LayerMask


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a trial runs and where it takes up: nothing here changes what it finds."""

    device: torch.device
    first_level: int = 0
    """The first level that is not recorded yet."""
    masks: tuple[LayerMask, ...] | None = None
    """The mask of that level, where it was pruned before the run broke off."""
