"""Projection: nothing stands between the image and its measurement."""

import math

import pytest
import torch

from lip_ray.data.images import BuiltinImage
from lip_ray.tasks import Projection

IMAGE = BuiltinImage(name="astronaut", rows=(0, 20), columns=(100, 124))


def test_the_loss_is_the_error_that_psnr_tells() -> None:
    problem = Projection().realise(IMAGE, seed=0, device=torch.device("cpu"))
    assert torch.equal(problem.measured, IMAGE.load()[None])
    output = 0.5 * problem.clean + 0.1
    decibels = -10 * math.log10(float(problem.loss(output)))
    assert float(problem.psnr(output)) == pytest.approx(decibels, abs=1e-4)
    assert problem.target == "measured"
