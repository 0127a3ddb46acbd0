"""Small weights and masks."""

import pytest
import torch

from lip_ray.pruning import Mask


@pytest.fixture
def two_layers() -> Mask:
    """A dense mask over a convolution of 12 weights and one of 8."""
    return Mask(
        {
            "first": torch.ones(2, 3, 1, 2, dtype=torch.bool),
            "second": torch.ones(2, 1, 2, 2, dtype=torch.bool),
        }
    )
