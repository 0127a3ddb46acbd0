"""The weights that are there: one vector of all that a pruned network has left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lip_ray.pruning import Mask


@dataclass(frozen=True)
class Piece:
    """A parameter's place in the vector, and which of its entries are there."""

    start: int
    entries: Tensor
    """Indices into the flattened parameter."""

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.start + len(self.entries)


class KeptWeights:
    r"""All that the passes of a network read: kept weights, normalisations, biases, and behind
    those, running means and variances, which nothing learns.

    Pruned weights are nowhere in it, so nothing has to hold them at zero.
    """

    def __init__(self, module: nn.Module, mask: Mask, learning: Mapping[str, Tensor]) -> None:
        """`learning` says, by the parameter's name, which entries learn; all of those not named."""
        self._module = module
        self._running = {
            f"{name}.running_mean": layer
            for name, layer in module.named_modules()
            if isinstance(layer, nn.BatchNorm2d)
        }
        self.pieces: dict[str, Piece] = {}
        end = 0
        for name, values in self._named():
            kept = mask.layers[name] if name in mask.layers else torch.ones_like(values)
            entries = kept.cpu().flatten().nonzero().squeeze(1)
            self.pieces[name] = Piece(end, entries)
            end += len(entries)
        self.learned = sum(len(self.pieces[name].entries) for name, _ in module.named_parameters())
        self.zeros = end
        """Where zeros begin, for layers without biases."""
        widest = max(values.shape[0] for _, values in module.named_parameters())
        self.values = torch.zeros(end + widest)
        self.learns = torch.ones(self.learned)
        for name, _ in module.named_parameters():
            if name in learning:
                piece = self.pieces[name]
                learns = learning[name].cpu().flatten()[piece.entries]
                self.learns[piece.start : piece.end] = learns.float()
        self.load()

    @torch.no_grad()
    def load(self) -> None:
        """Take the values that the module has."""
        for name, values in self._named():
            piece = self.pieces[name]
            self.values[piece.start : piece.end] = values.detach().flatten()[piece.entries]

    @torch.no_grad()
    def store(self) -> None:
        """Give the module the values that are here."""
        for name, values in self._named():
            piece = self.pieces[name]
            flat = values.detach().flatten()
            flat[piece.entries] = self.values[piece.start : piece.end]
            values.copy_(flat.view_as(values))

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters first, then running means and variances, each behind its own."""
        yield from self._module.named_parameters()
        for name, layer in self._running.items():
            assert layer.running_mean is not None
            assert layer.running_var is not None
            yield name, layer.running_mean
            yield name.replace("running_mean", "running_var"), layer.running_var
