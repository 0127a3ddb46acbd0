"""Optimal Eye Surgeon: learn a mask over the initial weights, which stay as drawn."""

import math
from typing import Annotated, Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lip_ray.pruning.base import AbstractPruner, Rounds, ScoreContext
from lip_ray.pruning.mask import Scores
from lip_ray.rng import keyed
from lip_ray.spec import Steps


@final
class Oes(AbstractPruner):
    """Keep the initial weights that a mask learned from the measurement keeps with most certainty.

    Ghosh et al. 2024 (arXiv 2406.05288): every weight has a gate of probability σ(p), relaxed as a
    Gumbel-softmax of two classes (Maddison et al. 2017, arXiv 1611.00712); the logits p descend the
    data loss of the gated network, one sample a step, plus the divergence of the gates from the
    density aimed at. Defaults are those of the published code, which gates biases and normalisation
    too.
    """

    kind: Literal["oes"] = "oes"
    rounds: Rounds = None
    steps: Steps = 60_000
    """The steps of Adam for each scoring of the weights."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """The learning rate of the mask's logits."""
    temperature: Annotated[float, Field(gt=0)] = 0.2
    """The temperature of the relaxation. As it falls towards 0, the gates tend to 0 or 1."""
    kl: Annotated[float, Field(ge=0)] = 1e-9
    """Weight of the divergence, summed over all weights, beside the data loss."""

    @property
    def steps_per_level(self) -> int:
        """The steps for all masks that are learned on the way to one level."""
        return self.steps * (self.rounds or 1)

    def score(self, context: ScoreContext) -> Scores:
        """The learned logits, beginning at 0; draws are keyed by seed and level. Nothing waits for
        the device."""
        first, *_ = context.weights.values()
        sizes = [weight.numel() for weight in context.weights.values()]
        logits = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device).requires_grad_()
        prior = context.density / context.mask.density
        optimizer = torch.optim.Adam([logits], lr=self.learning_rate, fused=True)
        draws = keyed(context.seed, "gates", level=context.level, device=first.device)
        for _ in range(self.steps):
            gates = relaxed(logits, self.temperature, draws).split(sizes)
            gated = {
                name: weight * gate.view_as(weight)
                for (name, weight), gate in zip(context.weights.items(), gates, strict=True)
            }
            loss = context.loss(gated) + self.kl * divergence(logits, prior)
            (gradient,) = torch.autograd.grad(loss, [logits])
            logits.grad = learnable(gradient, loss)
            optimizer.step()
        learned = logits.detach().split(sizes)
        return {
            name: part.view(weight.shape)
            for (name, weight), part in zip(context.weights.items(), learned, strict=True)
        }


def relaxed(logits: Tensor, temperature: float, draws: torch.Generator) -> Tensor:
    """One sample of the gates, in [0, 1]: the Gumbel-softmax of two classes, the first's share.

    The difference of two Gumbel variables is logistic, so one uniform draw a gate is enough
    (Maddison et al. 2017, arXiv 1611.00712).
    """
    uniform = torch.rand(logits.shape, generator=draws, dtype=logits.dtype, device=logits.device)
    return torch.sigmoid((logits + torch.logit(uniform)) / temperature)


def learnable(gradient: Tensor, loss: Tensor) -> Tensor:
    r"""The gradient with zeros where it is not finite, as long as the loss is; else NaN.

    A sample may close a whole layer. What lies below is constant, and batch normalisation there
    lets gradients overflow: gates learn nothing from it, and go on with the next sample.
    """
    finite = gradient.nan_to_num(nan=0, posinf=0, neginf=0)
    return torch.where(loss.detach().isfinite(), finite, torch.nan)


def divergence(logits: Tensor, density: float) -> Tensor:
    """Σ KL(Bernoulli(σ(p)) ‖ Bernoulli(density)) in nats, for a density in (0, 1)."""
    prior_logit = math.log(density) - math.log1p(-density)
    each = torch.sigmoid(logits) * (logits - prior_logit) + F.logsigmoid(-logits)
    return each.sum() - logits.numel() * math.log1p(-density)
