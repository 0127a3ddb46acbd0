"""The precision of CUDA arithmetic during a fit."""

import pytest
import torch

from lip_ray.fits import arithmetic


def test_arithmetic_is_set_and_put_back() -> None:
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    for precision, expected in (("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")):
        with arithmetic(precision, torch.device("cuda")):
            assert convolutions.fp32_precision == products.fp32_precision == expected
        assert (convolutions.fp32_precision, products.fp32_precision) == before


def test_arithmetic_is_put_back_after_an_error() -> None:
    before = torch.backends.cudnn.conv.fp32_precision
    with pytest.raises(RuntimeError, match="on purpose"):  # noqa: SIM117
        with arithmetic("fp32", torch.device("cuda")):
            raise RuntimeError("on purpose")
    assert torch.backends.cudnn.conv.fp32_precision == before
