"""Layers with an equalised learning rate."""

from torch import Tensor, nn


class Equalised(nn.Module):
    """A layer whose output, bias included, is multiplied by √(2 ÷ fan-in) whenever it runs.

    Its weights are N(0, 1), so that an optimizer with steps of one size moves all layers alike
    (Karras et al. 2018, arXiv 1710.10196, section 4.1).
    """

    def __init__(self, module: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.module = module
        self.factor: float = (2 / module.weight[0].numel()) ** 0.5
        """The factor that weights and biases are multiplied by when the layer runs."""

    def forward(self, x: Tensor) -> Tensor:
        """The output of the layer inside, times the factor."""
        output: Tensor = self.module(x) * self.factor
        return output
