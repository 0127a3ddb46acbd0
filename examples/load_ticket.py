"""A ticket in plain PyTorch: the file has a state dict and, beside each pruned weight, its mask."""

from safetensors.torch import load_file
from torch import nn


def load_ticket(network: nn.Module, path: str) -> None:
    """Set the network to the ticket, and let no optimizer step bring a pruned weight back.

    Its parameters have the names that the prior's have. Weight decay and momentum are safe:
    pruned weights are zero and never get a gradient.
    """
    tensors = load_file(path)
    masks = {name: tensors.pop(name) for name in list(tensors) if name.endswith("_mask")}
    network.load_state_dict(tensors)
    for name, mask in masks.items():
        weight = network.get_parameter(name.removesuffix("_mask"))
        weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))
