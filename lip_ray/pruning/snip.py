"""SNIP: prune at initialisation by connection sensitivity."""

from typing import ClassVar, Literal, final

import torch

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Snip(AbstractPruner):
    """Keep the initial weights whose removal would change the loss most, in one shot.

    Lee, Ajanthan & Torr 2019 (arXiv 1810.02340), equation 5 without its normalising constant,
    which ranks nothing anew.
    """

    kind: Literal["snip"] = "snip"
    scores_at: ClassVar[Literal["trained", "init"]] = "init"

    def score(self, context: ScoreContext) -> Scores:
        """|∂L/∂w · w| of the dense network at initialisation."""
        weights = {name: w.detach().requires_grad_() for name, w in context.weights.items()}
        gradients = torch.autograd.grad(context.loss(weights), list(weights.values()))
        return {
            name: (gradient * weight).abs().detach()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
