"""The median-of-means objective: the reference's numbers, its definition, its breakdown point."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lip_ray.fits import MedianOfMeans
from lip_ray.fits.latent import block_means, median_of_means, square_differences

CONFLICT_FREE = MedianOfMeans(block=20)


def by_hand(values: np.ndarray, block: int) -> float:
    """The definition, in a loop."""
    starts = range(0, len(values) - block + 1, block)
    means = sorted(float(values[start : start + block].mean()) for start in starts)
    return means[len(means) // 2]


class TestReference:
    @pytest.fixture
    def case(self, shared) -> dict[str, torch.Tensor]:
        path = shared / "oracles" / "median_of_means.safetensors"
        if not path.is_file():
            pytest.skip("the reference tensors are not beside the repository")
        return load_file(path)

    def test_the_solver_has_its_numbers(self, case) -> None:
        """Measurements are shuffled where the reference shuffles the matrix."""
        block = int(case["block_size"])
        candidates = torch.stack((case["x_f"], case["x_g"]))
        measured = (candidates @ case["A"].T)[:, case["permutation"]]
        wanted = case["y"][case["permutation"]]
        exact = {"rtol": 1e-9, "atol": 0.0}
        means = block_means(square_differences(measured, wanted), block)
        torch.testing.assert_close(means, case["block_means"], **exact)
        value = MedianOfMeans(block=block).value(measured, wanted)
        torch.testing.assert_close(value, case["value"][0], **exact)


class TestDefinition:
    @given(m=st.integers(1, 60), block=st.integers(1, 60), seed=st.integers(0, 99))
    def test_it_is_the_block_mean_in_the_middle(self, m: int, block: int, seed: int) -> None:
        block = min(block, m)
        values = np.random.default_rng(seed).normal(size=(3, m))
        found = median_of_means(torch.from_numpy(values), block)
        assert found.tolist() == pytest.approx([by_hand(row, block) for row in values])

    def test_of_an_even_number_of_blocks_it_is_the_upper(self) -> None:
        values = torch.tensor([4.0, 1.0, 3.0, 2.0])
        assert float(median_of_means(values, 1)) == 3

    def test_a_last_partial_block_is_dropped(self) -> None:
        values = torch.tensor([1.0, 3.0, 5.0, 7.0, 1e9])
        assert block_means(values, 2).tolist() == [2, 6]

    def test_blocks_of_one_give_the_median_and_one_block_the_mean(self) -> None:
        values = torch.randn(2, 31, generator=torch.Generator().manual_seed(0))
        assert torch.equal(median_of_means(values, 1), values.median(-1).values)
        torch.testing.assert_close(median_of_means(values, 31), values.mean(-1))

    def test_the_order_of_whole_blocks_does_not_matter(self) -> None:
        values = torch.randn(60, generator=torch.Generator().manual_seed(0)).double()
        swapped = values.view(12, 5)[torch.randperm(12)].flatten()
        assert torch.equal(median_of_means(values, 5), median_of_means(swapped, 5))

    def test_the_players_oppose_each_other(self) -> None:
        """Each latent's gradient is that of the block's own mean square, but for the sign."""
        residuals = torch.randn((2, 3, 40), generator=torch.Generator().manual_seed(0)).double()
        wanted = torch.randn((3, 40), generator=torch.Generator().manual_seed(1)).double()
        measured = (residuals + wanted).requires_grad_()
        value = MedianOfMeans(block=4).value(measured, wanted)
        (gradient,) = torch.autograd.grad(value.sum(), measured)
        moved = gradient[0] != 0
        assert moved.sum(-1).tolist() == [4, 4, 4]
        assert torch.equal(gradient[1] != 0, moved)
        expected = residuals * 2 / 4 * moved
        torch.testing.assert_close(gradient, torch.stack((expected[0], -expected[1])))

    def test_swapping_the_players_turns_the_sign(self) -> None:
        measured = torch.randn((2, 35), generator=torch.Generator().manual_seed(0)).double()
        solver, wanted = MedianOfMeans(block=5), torch.ones(35)  # of seven blocks one is the middle
        forth, back = solver.value(measured, wanted), solver.value(measured.flip(0), wanted)
        assert float(back) == -float(forth)

    @given(height=st.floats(2, 1e6, width=32), seed=st.integers(0, 99))
    def test_differences_keep_their_digits_beside_an_outlier(self, height, seed) -> None:
        """In float32, against exact arithmetic."""
        measured = 0.5 + 1e-4 * torch.randn((2, 9), generator=torch.Generator().manual_seed(seed))
        exact = [
            float((Fraction(f) - Fraction(height)) ** 2 - (Fraction(g) - Fraction(height)) ** 2)
            for f, g in zip(*measured.tolist(), strict=True)
        ]
        found = square_differences(measured, torch.full((9,), height))
        assert found.tolist() == pytest.approx(exact, rel=1e-6, abs=0)

    @given(dirty=st.integers(0, 9), height=st.floats(-1e12, 1e12))
    def test_a_minority_of_dirty_blocks_cannot_carry_it_beyond_the_clean_ones(
        self, dirty: int, height: float
    ) -> None:
        values = torch.randn((20, 5), generator=torch.Generator().manual_seed(0)).double()
        clean = block_means(values[dirty:].flatten(), 5)
        values[:dirty] = height
        found = float(median_of_means(values.flatten(), 5))
        assert float(clean.min()) <= found <= float(clean.max())


class TestConflicts:
    def test_none_where_the_share_is_small(self) -> None:
        assert list(CONFLICT_FREE.conflicts(1000, 0.02)) == []
        assert list(CONFLICT_FREE.conflicts(20, None)) == []
        assert list(CONFLICT_FREE.conflicts(20, 0.0)) == []

    def test_a_block_larger_than_the_measurement(self) -> None:
        ((name, message),) = CONFLICT_FREE.conflicts(19, None)
        assert (name, message) == ("block", "is 20, but there are only 19 measurements")

    @pytest.mark.parametrize("share", [0.5, 0.7, 1.0])
    def test_no_majority_of_clean_measurements(self, share) -> None:
        ((name, message),) = MedianOfMeans(block=1).conflicts(1000, share)
        assert name == "kind"
        assert f"{share:g}" in message
        assert "below 0.5" in message

    @pytest.mark.parametrize(("share", "largest"), [(0.02, 34), (0.1, 6), (0.29, 2), (0.49, 1)])
    def test_the_largest_block_that_is_named_is_allowed(self, share, largest) -> None:
        ((name, message),) = MedianOfMeans(block=largest + 1).conflicts(1000, share)
        assert name == "block"
        assert f"at most {largest}," in message
        assert 1 - (1 - share) ** (largest + 1) >= 0.5 > 1 - (1 - share) ** largest
        assert list(MedianOfMeans(block=largest).conflicts(1000, share)) == []
