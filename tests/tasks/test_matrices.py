"""Random matrices: exact transposes, the distribution they say, and never whole in memory."""

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lip_ray.tasks import matrices
from lip_ray.tasks.matrices import GaussianMatrix, Measurements, OrthogonalRows, WithRowsOfOnes

SHAPE = (3, 4, 5)
COUNT = 60


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(operator: Measurements) -> Tensor:
    """(m, C · H · W): what it does to each pixel."""
    pixels = torch.eye(operator.count, dtype=torch.float64)
    return operator(pixels.reshape(-1, *operator.shape)).T


def with_ones(operator: Measurements) -> WithRowsOfOnes:
    return WithRowsOfOnes(operator, torch.arange(operator.m) % 3 == 0)


OPERATORS = {
    "gaussian": GaussianMatrix,
    "orthogonal": OrthogonalRows,
    "gaussian with ones": lambda *a, **k: with_ones(GaussianMatrix(*a, **k)),
    "orthogonal with ones": lambda *a, **k: with_ones(OrthogonalRows(*a, **k)),
}
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@pytest.fixture
def redrawn(monkeypatch) -> None:
    """No matrix is small enough to be kept."""
    monkeypatch.setattr(matrices, "HELD_BYTES", 0)


@pytest.mark.parametrize("name", OPERATORS)
class TestAll:
    @given(shape=SHAPES, share=st.floats(0, 1), seed=st.integers(0, 2**31))
    def test_the_adjoint_is_exact(self, name: str, shape, share: float, seed: int) -> None:
        m = max(1, round(share * math.prod(shape)))
        operator = OPERATORS[name](m, shape, seed=seed)
        images, measurements = normal(2, *shape, seed=seed), normal(2, m, seed=seed + 1)
        measured, pulled_back = operator(images), operator.adjoint(measurements)
        assert measured.shape == (2, m)
        assert pulled_back.shape == images.shape
        assert operator.image_shape(measurements) == shape
        forth, back = (measured * measurements).sum(1), (images * pulled_back).sum((1, 2, 3))
        scale = measured.norm() * measurements.norm() + images.norm() * pulled_back.norm()
        assert float((forth - back).abs().max()) <= 1e-13 * float(scale)

    def test_the_gradient_is_the_adjoint_and_has_a_gradient(self, name: str) -> None:
        operator = OPERATORS[name](7, SHAPE, seed=0)
        image = normal(1, *SHAPE).requires_grad_()
        measurement = normal(1, 7, seed=1)
        (gradient,) = torch.autograd.grad(operator(image), image, measurement)
        _, pull_back = torch.func.vjp(operator, image.detach())
        assert torch.allclose(gradient, operator.adjoint(measurement), atol=1e-12)
        assert torch.allclose(gradient, pull_back(measurement)[0], atol=1e-12)
        assert torch.autograd.gradgradcheck(operator, (image,))

    def test_the_view_is_pulled_back_and_in_range(self, name: str) -> None:
        operator = OPERATORS[name](7, SHAPE, seed=0)
        measurement = normal(1, 7)
        assert torch.equal(operator.view(measurement), operator.adjoint(measurement).clamp(0, 1))

    def test_its_precision_is_that_of_the_image(self, name: str) -> None:
        operator = OPERATORS[name](7, SHAPE, seed=0)
        image = normal(1, *SHAPE)
        assert operator(image.float()).dtype == torch.float32
        assert torch.allclose(operator(image.float()).double(), operator(image), atol=1e-5)


@pytest.mark.parametrize("made", [GaussianMatrix, OrthogonalRows])
class TestDraws:
    def test_the_seed_keys_them(self, made) -> None:
        image = normal(1, *SHAPE)
        first, same, other = (made(9, SHAPE, seed=seed)(image) for seed in (0, 0, 1))
        assert torch.equal(first, same)
        assert not torch.allclose(first, other)

    def test_a_smaller_matrix_has_the_first_rows_of_a_larger_one(self, made, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 7 * COUNT)
        few, many = (dense(made(m, SHAPE, seed=0)) * math.sqrt(m) for m in (10, 30))
        assert torch.allclose(few, many[:10], atol=1e-12)
        assert not torch.allclose(many[:10], many[10:20])

    def test_a_squared_norm_keeps_its_mean(self, made, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 10 * COUNT)
        image, m, seeds = normal(1, *SHAPE), 20, 400
        ratios = [
            float(made(m, SHAPE, seed=seed)(image).square().sum() / image.square().sum())
            for seed in range(seeds)
        ]
        assert sum(ratios) / seeds == pytest.approx(1, abs=4 * math.sqrt(2 / m / seeds))


class TestGaussian:
    def test_what_a_seed_means_does_not_change(self) -> None:
        assert matrices.BLOCK_NUMBERS == 2**20

    def test_entries_are_normal_of_variance_one_over_m(self) -> None:
        entries = dense(GaussianMatrix(500, SHAPE, seed=0)) * math.sqrt(500)
        off = 4 / math.sqrt(entries.numel())
        assert float(entries.mean()) == pytest.approx(0, abs=off)
        assert float(entries.square().mean()) == pytest.approx(1, abs=off * math.sqrt(2))
        assert float(entries.pow(4).mean()) == pytest.approx(3, abs=off * math.sqrt(96))

    def test_its_rows_are_independent(self, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 100 * COUNT)
        rows = dense(GaussianMatrix(500, SHAPE, seed=0)) * math.sqrt(500)
        products = (rows @ rows.T / COUNT).fill_diagonal_(0)
        assert float(products.abs().max()) < 6 / math.sqrt(COUNT)

    @pytest.mark.parametrize("m", [1, 9, 10, 11, 35])
    def test_kept_or_drawn_again_it_is_the_same(self, m: int, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 10 * COUNT)
        kept = GaussianMatrix(m, SHAPE, seed=3)
        monkeypatch.setattr(matrices, "HELD_BYTES", 0)
        again = GaussianMatrix(m, SHAPE, seed=3)
        images, measurements = normal(2, *SHAPE), normal(2, m)
        assert torch.equal(kept(images), again(images))
        assert torch.equal(again(images), again(images))
        assert torch.equal(kept.adjoint(measurements), again.adjoint(measurements))

    @pytest.mark.parametrize(("spare", "draws"), [(0, 0), (-1, 3)])
    def test_it_is_kept_up_to_the_limit(self, spare: int, draws: int, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 10 * COUNT)
        monkeypatch.setattr(matrices, "HELD_BYTES", 4 * 30 * COUNT + spare)
        operator = GaussianMatrix(30, SHAPE, seed=0)
        with Largest() as seen:
            operator(normal(1, *SHAPE, dtype=torch.float32))
        assert seen.draws == draws

    def test_never_is_more_of_it_in_memory_than_a_block(self, redrawn, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", 10 * COUNT)
        with Largest() as seen:
            operator = GaussianMatrix(1000, SHAPE, seed=0)
            image = normal(1, *SHAPE, dtype=torch.float32).requires_grad_()
            (gradient,) = torch.autograd.grad(operator(image).square().sum(), image)
        assert seen.draws == 200
        assert seen.numbers == 1000  # the measurement
        assert seen.large == 2  # a buffer forward, a buffer backward
        assert torch.allclose(gradient, 2 * operator.adjoint(operator(image)), atol=1e-4)

    def test_one_row_is_the_least_that_is_drawn(self, redrawn, monkeypatch) -> None:
        monkeypatch.setattr(matrices, "BLOCK_NUMBERS", COUNT - 1)
        with Largest() as seen:
            GaussianMatrix(5, SHAPE, seed=0)(normal(1, *SHAPE, dtype=torch.float32))
        assert seen.draws == 5

    @pytest.mark.slow
    def test_the_study_s_size_takes_little_memory(self) -> None:
        peaks = subprocess.run(
            [sys.executable, "-c", STUDY], capture_output=True, text=True, check=True
        )
        before, after = map(int, peaks.stdout.split())
        assert after - before < 200 * 1024


STUDY = """
import resource, torch
from lip_ray.tasks.matrices import GaussianMatrix
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak())
image = torch.rand(1, 3, 256, 256, requires_grad=True)
GaussianMatrix(1000, (3, 256, 256), seed=0)(image).square().sum().backward()
print(peak())
"""


class Largest(TorchDispatchMode):
    """What is computed: the largest tensor, new ones of a block's size, and normal draws."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = self.large = self.draws = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.numbers = max(self.numbers, *sizes, 0)
        self.draws += func is torch.ops.aten.normal_.default
        self.large += func is torch.ops.aten.empty.memory_format and sizes[0] == 10 * COUNT
        return output


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [SHAPE, (1, 3, 7), (1, 1, 1)])
    @pytest.mark.parametrize("share", [0.3, 1.0])
    def test_its_rows_are_orthogonal_and_of_one_length(self, shape, share: float) -> None:
        count = math.prod(shape)
        m = max(1, round(share * count))
        matrix = dense(OrthogonalRows(m, shape, seed=0))
        expected = count / m * torch.eye(m, dtype=torch.float64)
        assert torch.allclose(matrix @ matrix.T, expected, atol=1e-12)

    def test_they_are_of_the_hartley_transform_with_random_signs(self) -> None:
        operator = OrthogonalRows(20, SHAPE, seed=0)
        angle = 2 * math.pi * torch.outer(operator.rows, torch.arange(COUNT)).double() / COUNT
        rows = (angle.cos() + angle.sin()) / math.sqrt(COUNT)
        expected = math.sqrt(COUNT / 20) * rows * operator.signs
        assert torch.allclose(dense(operator), expected, atol=1e-12)

    def test_rows_are_distinct_and_signs_balanced(self) -> None:
        operator = OrthogonalRows(900, (1, 30, 40), seed=0)
        assert len(operator.rows.unique()) == 900
        assert set(operator.signs.tolist()) == {-1, 1}
        assert float(operator.signs.mean()) == pytest.approx(0, abs=4 / math.sqrt(1200))


class TestOnes:
    @pytest.mark.parametrize("made", [GaussianMatrix, OrthogonalRows])
    def test_replaced_rows_are_ones_and_the_others_as_they_were(self, made) -> None:
        plain = made(9, SHAPE, seed=0)
        operator = with_ones(plain)
        before, after = dense(plain), dense(operator)
        assert bool((after[operator.replaced] == 1).all())
        assert torch.equal(after[~operator.replaced], before[~operator.replaced])
