"""Numbers that are drawn on the host at every step, and used on the device."""

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device, without a wait of the host.

    A GPU reads pinned memory when its turn comes. A copy from other memory would wait until all
    work that was launched before it is done.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
