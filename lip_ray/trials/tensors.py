"""Weights of a network as the store keeps them, and back."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from lip_ray.records import StoredTensor


def stored(weights: Mapping[str, Tensor]) -> tuple[StoredTensor, ...]:
    """Weights by state-dict name, as little-endian bytes for the store."""
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in weights.items()}
    return tuple(
        StoredTensor(
            name=name,
            shape=tuple(array.shape),
            dtype=array.dtype.name,
            values=array.astype(array.dtype.newbyteorder("<")).tobytes(),
        )
        for name, array in arrays.items()
    )


def loaded(tensors: Iterable[StoredTensor], device: torch.device) -> dict[str, Tensor]:
    """The weights that `stored` made these of, by state-dict name."""
    return {one.name: _tensor(one).to(device) for one in tensors}


def _tensor(one: StoredTensor) -> Tensor:
    little = np.dtype(one.dtype).newbyteorder("<")
    array = np.frombuffer(one.values, dtype=little).reshape(one.shape)
    return torch.from_numpy(array.astype(one.dtype))
