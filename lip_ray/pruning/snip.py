"""SNIP: prune at initialisation by connection sensitivity."""

from typing import Literal, final

import torch

from lip_ray.pruning.base import AbstractPruner, Rounds, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Snip(AbstractPruner):
    r"""Keep the initial weights whose removal would change the loss most.

    Lee, Ajanthan & Torr 2019 (arXiv 1810.02340), equation 5 without its normalising constant, which
    does not change the ranking. In one shot as published; in rounds, iterative SNIP (Verdenius et
    al. 2020, arXiv 2006.00896; de Jorge et al. 2021, arXiv 2006.09081).
    """

    kind: Literal["snip"] = "snip"
    rounds: Rounds = None

    def score(self, context: ScoreContext) -> Scores:
        """|∂L/∂w · w| at initialisation."""
        weights = {name: w.detach().requires_grad_() for name, w in context.weights.items()}
        gradients = torch.autograd.grad(context.loss(weights), list(weights.values()))
        return {
            name: (gradient * weight).abs().detach()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
