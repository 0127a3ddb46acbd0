"""Projection: the image itself is measured, to see how near a prior can come to it."""

from collections.abc import Iterator
from typing import Literal, final

import torch

from lip_ray.data.images import Picture
from lip_ray.tasks.base import AbstractTask, Problem


@final
class Projection(AbstractTask):
    r"""All pixels without noise: the remaining error is the representation error of the prior.

    The floor of compressed sensing with a generator, https://arxiv.org/abs/1703.03208.
    """

    kind: Literal["projection"] = "projection"

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A measured image, as its clean image is unknown."""
        if image.measured:
            yield "kind", f"{image.label} is measured already; its clean image is not known"

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image as its own measurement; nothing is drawn."""
        self.refuse_conflicts(image)
        clean = image.load()[None].to(device)
        return Problem(clean=clean, measured=clean)
