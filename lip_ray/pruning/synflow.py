"""SynFlow: prune at initialisation without data, round by round."""

from typing import Literal, final

import torch

from lip_ray.pruning.base import AbstractPruner, Rounds, ScoreContext
from lip_ray.pruning.flow import flow, linearised
from lip_ray.pruning.mask import Scores


@final
class Synflow(AbstractPruner):
    """Keep the initial weights through which most synaptic flow passes.

    Tanaka et al. 2020 (arXiv 2006.05467), algorithm 1: the flow R is the summed output of the
    network of absolute weights, without biases, normalisation and activations, for an input of
    ones. In 100 rounds as published; one round loses whole layers.
    """

    kind: Literal["synflow"] = "synflow"
    rounds: Rounds = 100

    def score(self, context: ScoreContext) -> Scores:
        r"""|w| · ∂R/∂|w| in double precision, for the smallest input that the network takes.

        No border is padded with zeros, so a larger input would only scale all scores alike.
        """
        weights = {
            name: weight.detach().double().abs().requires_grad_()
            for name, weight in context.weights.items()
        }
        total = flow(linearised(context.module), weights, context.latent_shape)
        gradients = torch.autograd.grad(total, list(weights.values()))
        return {
            name: (gradient * weight).detach()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
