"""Fits of latents: what is minimised, chosen, kept apart, survived, and never looked at."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lip_ray.fits import L1, Erm, FitResult, Huber, MedianOfMeans, Solver, Trimmed
from lip_ray.fits import latent as module
from lip_ray.fits.latent import AbstractSolver, absolutes, huber, squares, trimmed
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.metrics import psnr
from lip_ray.records import Outcome
from lip_ray.tasks import Identity, Operator, Problem
from lip_ray.tasks.operators import Downsampling, Masking

SHAPE = (1, 4, 6)
PIXELS = 24
LATENT = 3


class Matrix(Operator):
    """Random numbers of an image; counts its uses."""

    def __init__(self, m: int, *, seed: int = 0) -> None:
        draws = torch.Generator().manual_seed(seed)
        self.rows = torch.randn((m, PIXELS), generator=draws) / m**0.5
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images.flatten(1) @ self.rows.T

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        return SHAPE


class Linear(nn.Module):
    """z ↦ W z, as an image."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn((PIXELS, LATENT), generator=draws) * 0.3)

    def forward(self, latents: Tensor) -> Tensor:
        return (latents @ self.weight.T).unflatten(1, SHAPE)


@dataclass
class Lab:
    """A prior, problems that share a matrix, and latents to begin at."""

    prior: Callable[[Tensor], Tensor]
    problems: list[Problem]
    seed: int = 0
    outputs: list[Tensor] = field(default_factory=list)

    def latents(self, solver: AbstractSolver) -> Tensor:
        draws = torch.Generator().manual_seed(self.seed)
        shape = (solver.players, len(self.problems), solver.restarts, LATENT)
        return torch.randn(shape, generator=draws)

    def run(self, solver: AbstractSolver, *, latents: Tensor | None = None, order: int = 0):
        def watched(z: Tensor) -> Tensor:
            images = self.prior(z)
            self.outputs.append(images.detach().clone())
            return images

        self.outputs.clear()
        start = self.latents(solver) if latents is None else latents
        return solver.run(watched, self.problems, start, torch.Generator().manual_seed(order))

    def images(self, solver: AbstractSolver) -> Tensor:
        """(steps, players, images, restarts, C, H, W), as they were made."""
        shape = (solver.players, len(self.problems), solver.restarts)
        return torch.stack([made.unflatten(0, shape) for made in self.outputs])


def measured(operator: Operator, truth: Tensor, **fields) -> Problem:
    """Exactly what a linear generator can make."""
    clean = Linear()(truth[None]).detach()
    return Problem(clean=clean, measured=operator(clean), operator=operator, **fields)


@pytest.fixture
def truths() -> Tensor:
    return torch.randn((2, LATENT), generator=torch.Generator().manual_seed(7))


@pytest.fixture
def lab(truths) -> Lab:
    operator = Matrix(60)
    return Lab(Linear(), [measured(operator, truth) for truth in truths])


SOLVERS = (
    Erm(steps=20, restarts=3),
    Erm(steps=20, restarts=3, latent_penalty=0.1),
    MedianOfMeans(steps=20, restarts=3, block=5),
    Trimmed(steps=20, restarts=3, trim=0.1),
    Huber(steps=20, restarts=3),
    L1(steps=20, restarts=3),
)
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=repr)


def same(ours: FitResult, theirs: FitResult) -> bool:
    """Bit for bit, but for the clock."""
    return (
        torch.equal(ours.rows[:, :3], theirs.rows[:, :3])
        and torch.equal(ours.peak.image, theirs.peak.image)
        and torch.equal(ours.selected.image, theirs.selected.image)
        and torch.equal(ours.final.image, theirs.final.image)
    )


residual_rows = st.integers(1, 40).flatmap(
    lambda m: st.lists(st.floats(-100, 100, width=32), min_size=m, max_size=m)
)


class TestObjectives:
    @given(row=residual_rows)
    def test_squares_and_absolute_values(self, row) -> None:
        residuals, numbers = torch.tensor([row]).double(), np.array(row)
        assert squares(residuals).tolist() == pytest.approx([float((numbers**2).sum())])
        assert absolutes(residuals).tolist() == pytest.approx([float(np.abs(numbers).sum())])

    @given(row=residual_rows, percent=st.integers(1, 99))
    def test_trimmed_sums_the_least_squares(self, row, percent) -> None:
        kept = -(-(100 - percent) * len(row) // 100)
        expected = float(np.sort(np.array(row) ** 2)[:kept].sum())
        found = trimmed(torch.tensor([row]).double(), percent / 100)
        assert found.tolist() == pytest.approx([expected])

    @pytest.mark.parametrize(("trim", "kept"), [(0.58, 42), (0.07, 93), (0.99, 1), (0.001, 100)])
    def test_trimmed_counts_exactly(self, trim, kept) -> None:
        """0.58 · 100 is a little less than 58 in binary."""
        assert float(trimmed(torch.ones(100), trim)) == kept

    @given(row=residual_rows, threshold=st.floats(0.1, 5))
    def test_huber(self, row, threshold) -> None:
        sizes = np.abs(np.array(row))
        delta = threshold * np.percentile(sizes, 50, method="lower") / 0.6745
        large = delta * (sizes - delta / 2)
        expected = float(np.where(sizes <= delta, sizes**2 / 2, large).sum())
        assert huber(torch.tensor([row]).double(), threshold).tolist() == pytest.approx([expected])

    def test_huber_with_a_far_threshold_is_half_the_squares(self) -> None:
        residuals = torch.randn((3, 50), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(huber(residuals, 1e3), squares(residuals) / 2)

    def test_huber_agrees_with_torch_at_its_threshold(self) -> None:
        """And so does its gradient, to which the threshold is a constant."""
        residuals = torch.randn(51, generator=torch.Generator().manual_seed(0)).double()
        delta = 1.345 * float(residuals.abs().median()) / 0.6745
        residuals.requires_grad_()
        theirs = F.huber_loss(residuals, torch.zeros(51).double(), reduction="sum", delta=delta)
        ours = huber(residuals, 1.345)
        torch.testing.assert_close(ours, theirs)
        gradients = [torch.autograd.grad(loss, residuals)[0] for loss in (ours, theirs)]
        torch.testing.assert_close(*gradients)

    @each_solver
    def test_each_row_counts_for_itself(self, solver) -> None:
        measured = torch.randn((2, 3, 4, 30), generator=torch.Generator().manual_seed(0))
        wanted = torch.randn((3, 1, 30), generator=torch.Generator().manual_seed(1))
        whole = solver.value(measured, wanted)
        assert whole.shape == (3, 4)
        alone = solver.value(measured[:, 1:2, 2:3], wanted[1:2])
        torch.testing.assert_close(alone, whole[1:2, 2:3])
        assert solver.loss(measured).shape == (2, 3, 4)

    @pytest.mark.parametrize("solver", [s for s in SOLVERS if s.players == 1], ids=repr)
    def test_the_order_of_measurements_does_not_matter(self, solver) -> None:
        residuals = torch.randn((5, 31), generator=torch.Generator().manual_seed(0)).double()
        order = torch.randperm(31, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(solver.loss(residuals), solver.loss(residuals[:, order]))


class TestMinimum:
    def test_least_squares_are_reached(self, lab, truths) -> None:
        """Of a noisy measurement, in closed form."""
        noise = torch.randn((1, 60), generator=torch.Generator().manual_seed(3)) * 0.1
        problem = lab.problems[0]
        lab.problems = [replace(problem, measured=problem.measured + noise)]
        (result,) = lab.run(Erm(steps=200, learning_rate=0.3, restarts=1))
        system = problem.operator.rows @ lab.prior.weight.detach()
        z = torch.linalg.lstsq(system, lab.problems[0].measured[0]).solution
        torch.testing.assert_close(
            result.final.image, lab.prior(z[None]).detach(), atol=1e-4, rtol=0
        )
        residual = float((system @ z - lab.problems[0].measured[0]).square().sum())
        assert float(result.rows[-1, LOSS]) == pytest.approx(residual, rel=1e-4)

    def test_the_penalty_is_ridge_regression(self, lab) -> None:
        lab.problems = lab.problems[:1]
        (result,) = lab.run(Erm(steps=200, learning_rate=0.3, restarts=1, latent_penalty=0.5))
        system = lab.problems[0].operator.rows @ lab.prior.weight.detach()
        normal = system.T @ system + 0.5 * torch.eye(LATENT)
        z = torch.linalg.solve(normal, system.T @ lab.problems[0].measured[0])
        torch.testing.assert_close(
            result.final.image, lab.prior(z[None]).detach(), atol=1e-4, rtol=0
        )
        misfit = (system @ z - lab.problems[0].measured[0]).square().sum()
        expected = float(misfit + 0.5 * z.square().sum())
        assert float(result.rows[-1, LOSS]) == pytest.approx(expected, rel=1e-4)

    @each_solver
    def test_what_the_generator_can_make_is_found(self, lab, solver) -> None:
        solver = solver.model_copy(
            update={"steps": 150, "learning_rate": 0.2, "latent_penalty": 0.0}
        )
        for result in lab.run(solver):
            assert float(result.rows[-1, PSNR]) > 30

    @pytest.mark.parametrize(
        ("solver", "noise", "robust"),
        [
            (Erm(steps=150, restarts=2, learning_rate=0.2), 0.01, False),
            (MedianOfMeans(steps=150, restarts=2, learning_rate=0.2, block=10), 0.01, True),
            (MedianOfMeans(steps=150, restarts=2, learning_rate=0.2, block=10), 0.0, True),
            (Trimmed(steps=150, restarts=2, learning_rate=0.2, trim=0.05), 0.01, True),
            (Huber(steps=150, restarts=2, learning_rate=0.2), 0.01, True),
            (L1(steps=150, restarts=2, learning_rate=0.2), 0.01, True),
        ],
        ids=lambda value: getattr(value, "kind", value),
    )
    def test_gross_outliers_mislead_least_squares_alone(
        self, truths, solver, noise, robust
    ) -> None:
        """Two in a hundred, as in the study, whose outliers are 10,000."""
        problem = measured(Matrix(200), truths[0])
        errors = torch.randn((1, 200), generator=torch.Generator().manual_seed(3)) * noise
        wrong = problem.measured + errors
        wrong[:, :4] = 1e4
        (result,) = Lab(Linear(), [replace(problem, measured=wrong)]).run(solver)
        found = float(problem.psnr(result.selected.image))
        assert found > 30 if robust else found < 5

    def test_the_penalty_holds_both_players(self, lab) -> None:
        """A heavy one draws both latents to 0, where the image is black."""
        solver = MedianOfMeans(steps=120, restarts=2, block=5, latent_penalty=1e3)
        lab.run(solver)
        assert float(lab.images(solver)[-1].abs().max()) < 0.02


class TestOneStep:
    def test_median_of_means_moves_both_players_at_once(self, lab) -> None:
        """Against the definition, image by image, with the same orders."""
        solver = MedianOfMeans(steps=4, restarts=2, block=7, learning_rate=0.3)
        lab.run(solver, order=5)
        draws = torch.Generator().manual_seed(5)
        torch.randperm(60, generator=draws)  # of the blocks by which restarts are chosen
        orders = [torch.randperm(60, generator=draws) for _ in range(4)]
        found = lab.images(solver)
        starts = lab.latents(solver)
        for place, problem in enumerate(lab.problems):
            for restart in range(2):
                z = starts[:, place, restart].clone()
                players = [z[0].clone().requires_grad_(), z[1].clone().requires_grad_()]
                optimizers = [torch.optim.Adam([p], lr=0.3) for p in players]
                for step, order in enumerate(orders):
                    images = [lab.prior(p[None]) for p in players]
                    expected = torch.cat(images).detach()
                    torch.testing.assert_close(found[step, :, place, restart], expected)
                    rows = [(problem.operator(i) - problem.measured)[0, order] for i in images]
                    blocks = [own[:56].view(8, 7).square().mean(1) for own in rows]
                    middle = int((blocks[0] - blocks[1]).argsort()[4])
                    for own, player, optimizer in zip(blocks, players, optimizers, strict=True):
                        (player.grad,) = torch.autograd.grad(own[middle], player)
                        optimizer.step()

    def test_a_step_makes_and_measures_one_batch(self, lab) -> None:
        operator = lab.problems[0].operator
        solver = MedianOfMeans(steps=3, restarts=4, block=5)
        operator.batches.clear()
        lab.run(solver)
        assert [len(made) for made in lab.outputs] == [16] * 3
        assert operator.batches[-3:] == [16] * 3

    def test_the_weights_get_no_gradient_and_the_start_stays(self, lab) -> None:
        solver = Erm(steps=5, restarts=2)
        start = lab.latents(solver)
        before = start.clone()
        lab.run(solver, latents=start)
        assert lab.prior.weight.grad is None
        assert torch.equal(start, before)
        assert not start.requires_grad

    def test_nothing_is_read_from_the_device_on_the_way(self, lab) -> None:
        counts = []
        for steps in (3, 30):
            with Reads() as reads:
                lab.run(MedianOfMeans(steps=steps, restarts=2, block=5))
            counts.append(reads.count)
        assert counts[0] == counts[1]


class Reads(TorchDispatchMode):
    """Counts values that the host asks for, and indices that depend on values."""

    NAMES = ("_local_scalar_dense", "nonzero", "equal", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in self.NAMES
        return func(*args, **(kwargs or {}))


def restart_of(result: FitResult, made: Tensor) -> int:
    """The one whose image was selected, from (steps, restarts, C, H, W), as they were made."""
    (image,) = result.selected.image
    return [torch.equal(image, one) for one in made[result.selected.step]].index(True)


class TestRecords:
    @each_solver
    def test_rows_are_those_of_the_selected_restart(self, lab, solver) -> None:
        results = lab.run(solver)
        images = lab.images(solver)
        for place, (result, problem) in enumerate(zip(results, lab.problems, strict=True)):
            assert result.outcome is Outcome.BUDGET
            assert result.reason == ""
            assert result.steps == len(result.rows) == 20
            made = images[:, 0, place]
            chosen = restart_of(result, made)
            quality = torch.cat([psnr(one[None], problem.clean) for one in made[:, chosen]])
            torch.testing.assert_close(result.rows[:, PSNR], quality, rtol=1e-4, atol=1e-4)
            assert torch.equal(result.rows[:, PSNR], result.rows[:, PSNR_RAW])
            assert bool(result.rows[:, STATISTIC].isnan().all())
            assert result.selected.step == int(result.rows[:, LOSS].argmin())
            assert result.final.step == 19
            assert torch.equal(result.final.image[0], made[-1, 0])

    @pytest.mark.parametrize("rate", [0.1, 3.0])
    def test_the_least_objective_of_all_steps_and_restarts_is_selected(self, lab, rate) -> None:
        """At large steps it need not be the last step of any."""
        solver = Erm(steps=12, restarts=8, learning_rate=rate)
        results = lab.run(solver)
        images = lab.images(solver)[:, 0]
        for place, (result, problem) in enumerate(zip(results, lab.problems, strict=True)):
            made = images[:, place]
            measured = problem.operator(made.flatten(0, 1)).unflatten(0, (12, 8))
            losses = (measured - problem.measured).square().sum(2)
            step, restart = divmod(int(losses.argmin()), 8)
            assert result.selected.step == step
            assert torch.equal(result.selected.image[0], made[step, restart])
            torch.testing.assert_close(result.rows[:, LOSS], losses[:, restart])
        assert all(result.selected.step == 11 for result in results) is (rate == 0.1)

    @pytest.mark.parametrize("rate", [0.1, 3.0])
    def test_median_of_means_is_chosen_by_the_first_players_own_blocks(self, lab, rate) -> None:
        """They are the same at all steps, or an objective would not compare with another."""
        solver = MedianOfMeans(steps=12, restarts=8, block=7, learning_rate=rate)
        result, _ = lab.run(solver, order=2)
        made, problem = lab.images(solver)[:, 0, 0], lab.problems[0]
        order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
        residuals = problem.operator(made.flatten(0, 1)) - problem.measured
        blocks = residuals[:, order][:, :56].square().view(12, 8, 8, 7).mean(3)
        losses = blocks.sort(2).values[..., 4]
        step, restart = divmod(int(losses.argmin()), 8)
        assert result.selected.step == step
        assert torch.equal(result.selected.image[0], made[step, restart])
        torch.testing.assert_close(result.rows[:, LOSS], losses[:, restart])

    def test_of_equal_objectives_the_first_is_selected(self, lab) -> None:
        """At a minimum that no step leaves, for both restarts begin there."""
        lab.problems = [replace(p, measured=torch.zeros_like(p.measured)) for p in lab.problems]
        start = torch.zeros(1, 2, 2, LATENT)
        for result in lab.run(Erm(steps=4, restarts=2), latents=start):
            assert result.rows[:, LOSS].tolist() == [0] * 4
            assert result.selected.step == 0

    def test_a_fit_that_leaves_its_best_point_selects_it(self, truths) -> None:
        """The game comes by the truth at large steps, among gross outliers, and is thrown off."""
        problem = measured(Matrix(200), truths[0])
        wrong = problem.measured.clone()
        wrong[:, :4] = 1e4
        lab = Lab(Linear(), [replace(problem, measured=wrong)])
        solver = MedianOfMeans(steps=20, restarts=1, block=10, learning_rate=10.0)
        start = lab.latents(solver)
        start[0, 0, 0] = truths[0] + 0.01
        (result,) = lab.run(solver, latents=start)
        assert result.selected.step == 0
        assert result.final.step == 19
        assert float(problem.psnr(result.selected.image)) > 40
        assert float(problem.psnr(result.final.image)) < 10

    def test_the_peak_is_of_all_steps_and_restarts(self, lab) -> None:
        solver = Erm(steps=25, restarts=5, learning_rate=1.0)
        results = lab.run(solver)
        images = lab.images(solver)[:, 0]
        for place, (result, problem) in enumerate(zip(results, lab.problems, strict=True)):
            errors = (images[:, place] - problem.clean).square().mean((2, 3, 4))
            step, restart = divmod(int(errors.argmin()), 5)
            assert result.peak.step == step
            assert torch.equal(result.peak.image[0], images[step, place, restart])

    def test_quality_is_measured_as_the_problem_says(self, lab) -> None:
        """Of super-resolution, on the luma without a border."""
        lab.problems = [replace(lab.problems[0], luma_border=1)]
        (result,) = lab.run(Erm(steps=5, restarts=2))
        expected = float(lab.problems[0].psnr(result.selected.image))
        assert float(result.rows[-1, PSNR]) == pytest.approx(expected, rel=1e-5)

    def test_a_measured_photo_has_no_peak(self, lab) -> None:
        known = lab.run(Erm(steps=30, restarts=3))
        lab.problems[1] = replace(lab.problems[1], clean=None)
        (first, second) = lab.run(Erm(steps=30, restarts=3))
        assert same(first, known[0])
        assert second.peak is None
        assert second.outcome is Outcome.BUDGET
        assert bool(second.rows[:, PSNR].isnan().all())
        assert torch.equal(second.rows[:, LOSS], known[1].rows[:, LOSS])
        assert torch.equal(second.selected.image, known[1].selected.image)


class TestIndependence:
    @each_solver
    def test_the_same_draws_give_the_same_bits(self, lab, solver) -> None:
        first = lab.run(solver)
        torch.rand(5)
        again = lab.run(solver)
        assert all(same(ours, theirs) for ours, theirs in zip(first, again, strict=True))

    def test_only_blocks_depend_on_the_draws(self, lab) -> None:
        for solver in SOLVERS:
            first, other = lab.run(solver, order=0)[0], lab.run(solver, order=1)[0]
            assert same(first, other) is (solver.players == 1)

    @each_solver
    def test_the_global_generator_is_left_alone(self, lab, solver) -> None:
        state = torch.get_rng_state()
        lab.run(solver)
        assert torch.equal(state, torch.get_rng_state())

    @each_solver
    def test_a_restart_is_the_same_alone(self, lab, solver) -> None:
        """And the best of those that were alone is what all of them together select."""
        both = lab.run(solver)
        together = lab.images(solver)
        alone = solver.model_copy(update={"restarts": 1})
        start = lab.latents(solver)
        apart = []
        for restart in range(solver.restarts):
            results = lab.run(alone, latents=start[:, :, restart, None])
            made = lab.images(alone)[:, :, :, 0]
            torch.testing.assert_close(made, together[:, :, :, restart], rtol=1e-5, atol=1e-5)
            for place, result in enumerate(results):
                step = int(result.rows[:, LOSS].argmin())
                assert result.selected.step == step
                assert torch.equal(result.selected.image[0], made[step, 0, place])
                assert torch.equal(result.final.image[0], made[-1, 0, place])
            apart.append(results)
        for ours, alternatives in zip(both, zip(*apart, strict=True), strict=True):
            best = min(alternatives, key=lambda result: float(result.rows[:, LOSS].min()))
            assert ours.selected.step == best.selected.step
            close = {"rtol": 1e-5, "atol": 1e-5}
            torch.testing.assert_close(ours.selected.image, best.selected.image, **close)

    @each_solver
    def test_an_image_is_the_same_alone(self, lab, solver) -> None:
        together = lab.run(solver)
        start, problems = lab.latents(solver), lab.problems
        for place, problem in enumerate(problems):
            lab.problems = [problem]
            (alone,) = lab.run(solver, latents=start[:, place, None])
            torch.testing.assert_close(
                alone.rows, together[place].rows, rtol=1e-4, atol=1e-4, equal_nan=True
            )
            torch.testing.assert_close(alone.selected.image, together[place].selected.image)
            assert alone.selected.step == together[place].selected.step

    @each_solver
    def test_the_order_of_images_and_restarts_does_not_matter(self, lab, solver) -> None:
        first, second = lab.run(solver)
        start = lab.latents(solver).flip(1, 2)
        lab.problems.reverse()
        turned = lab.run(solver, latents=start)
        for ours, theirs in zip((second, first), turned, strict=True):
            torch.testing.assert_close(ours.rows, theirs.rows, rtol=1e-4, atol=1e-4, equal_nan=True)
            torch.testing.assert_close(ours.peak.image, theirs.peak.image)
            torch.testing.assert_close(ours.selected.image, theirs.selected.image)

    @each_solver
    def test_another_clean_image_changes_nothing_but_the_measuring(self, lab, solver) -> None:
        ours = lab.run(solver)
        lab.problems = [replace(problem, clean=1 - problem.clean) for problem in lab.problems]
        theirs = lab.run(solver)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.rows[:, LOSS], other.rows[:, LOSS])
            assert torch.equal(one.selected.image, other.selected.image)
            assert not torch.equal(one.rows[:, PSNR], other.rows[:, PSNR])


class TestOperators:
    @each_solver
    def test_one_operator_or_equal_ones_are_the_same(self, lab, solver) -> None:
        shared = lab.run(solver)
        lab.problems = [replace(problem, operator=Matrix(60)) for problem in lab.problems]
        apart = lab.run(solver)
        for one, other in zip(shared, apart, strict=True):
            torch.testing.assert_close(one.rows, other.rows, rtol=1e-4, atol=1e-4, equal_nan=True)

    @each_solver
    def test_images_may_have_measured_different_things(self, solver, truths) -> None:
        mask = (torch.arange(PIXELS) % 3 > 0).float().view(1, *SHAPE)
        operators = (Matrix(60), Masking(mask), Downsampling(2), Identity())
        truths = (*truths, *truths)
        problems = [measured(operator, t) for operator, t in zip(operators, truths, strict=True)]
        lab = Lab(Linear(), problems)
        together, start = lab.run(solver), lab.latents(solver)
        for place, problem in enumerate(problems):
            lab.problems = [problem]
            (alone,) = lab.run(solver, latents=start[:, place, None])
            close = {"rtol": 1e-4, "atol": 1e-4, "equal_nan": True}
            if solver.players == 1:  # else it meets other blocks
                torch.testing.assert_close(alone.rows, together[place].rows, **close)
            losses = together[place].rows[:, LOSS]
            assert float(losses[-1]) < float(losses[0])

    @pytest.mark.parametrize("solver", [s for s in SOLVERS if s.players == 1], ids=repr)
    def test_missing_pixels_are_no_measurements(self, solver, truths) -> None:
        """As zeros they would always fit: they would be what trimming keeps, and the median."""
        few = torch.arange(PIXELS) % 4 == 0
        by_mask = measured(Masking(few.float().view(1, *SHAPE)), truths[0])
        rows = Matrix(6)
        rows.rows = torch.eye(PIXELS)[few]
        by_rows = measured(rows, truths[0])
        (ours,), (theirs,) = (Lab(Linear(), [p]).run(solver) for p in (by_mask, by_rows))
        torch.testing.assert_close(ours.rows, theirs.rows, rtol=1e-4, atol=1e-4, equal_nan=True)

    def test_an_oracle_is_fitted_to_the_clean_image(self, lab) -> None:
        lab.problems = [
            replace(problem, target="clean", measured=problem.measured + 9)
            for problem in lab.problems
        ]
        results = lab.run(Erm(steps=100, learning_rate=0.3, restarts=2))
        assert all(float(result.rows[-1, PSNR]) > 40 for result in results)


def nothing(where: Tensor) -> Tensor:
    """Not a number there, and 0 elsewhere."""
    return torch.zeros(where.shape).masked_fill(where, math.nan)


class Fragile(Linear):
    """Makes no numbers of the restarts whose first latent number was huge."""

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents + nothing(latents[:, :1].abs() > 100))


class Mortal(Linear):
    """Makes no numbers of the second restart of one image from the sixth step on."""

    def __init__(self, solver: AbstractSolver) -> None:
        super().__init__()
        second = torch.arange(solver.players * solver.restarts) % solver.restarts == 1
        self.losses = iter(nothing(second & (step >= 5))[:, None] for step in range(solver.steps))

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents + next(self.losses))


class TestDivergence:
    @pytest.fixture
    def fragile(self, lab) -> Lab:
        return replace(lab, prior=Fragile())

    @each_solver
    def test_a_restart_that_diverges_is_left_out(self, fragile, solver) -> None:
        start = fragile.latents(solver)
        start[:, 0, 0, 0] = 1e6
        first, second = fragile.run(solver, latents=start)
        made = fragile.images(solver)[:, 0, 0]
        assert first.outcome is second.outcome is Outcome.BUDGET
        assert bool(made[:, 0].isnan().all())
        assert restart_of(first, made) > 0
        assert bool(first.rows[:, LOSS].isfinite().all())
        assert bool(first.peak.image.isfinite().all())
        assert first.final is None
        assert second.final is not None

    @pytest.mark.parametrize("solver", [s for s in SOLVERS if not s.latent_penalty], ids=repr)
    def test_one_that_diverges_later_is_selected_at_its_least(self, lab, truths, solver) -> None:
        """It begins at the truth; what another restart ends at is said to be the clean image."""
        lab = replace(lab, prior=Mortal(solver), problems=lab.problems[:1])
        start = lab.latents(solver)
        start[0, 0, 1] = truths[0]
        lab.run(solver, latents=start)
        other = lab.images(solver)[-1, 0, 0, 2]
        lab.problems = [replace(lab.problems[0], clean=other[None])]
        lab.prior = Mortal(solver)
        (result,) = lab.run(solver, latents=start)
        made = lab.images(solver)[:, 0, 0]
        assert bool(made[:5, 1].isfinite().all() & made[5:, 1].isnan().all())
        assert result.outcome is Outcome.BUDGET
        assert result.selected.step == 0
        assert restart_of(result, made) == 1
        assert result.steps == len(result.rows) == 20
        assert bool(result.rows[:5, [LOSS, PSNR]].isfinite().all())
        assert bool(result.rows[5:].isnan().all())
        assert result.peak.step == result.final.step == 19
        assert torch.equal(result.peak.image[0], other)
        assert torch.equal(result.final.image[0], made[-1, 0])

    @pytest.mark.parametrize("found", [False, True])
    def test_what_comes_after_a_loss_that_is_not_finite_does_not_count(
        self, lab, truths, found
    ) -> None:
        """Though it is finite again, and next to 0. What came before it may be selected."""
        truth = Linear()(truths[:1]).detach()
        first = torch.tensor([True, False])[:, None, None, None]
        left = iter(range(6))

        def recovering(latents: Tensor) -> Tensor:
            step, images = next(left), Linear()(latents)
            if step < 2:
                return images
            return torch.where(first, math.nan if step == 2 else truth, images)

        lab = replace(lab, prior=recovering, problems=lab.problems[:1])
        solver = Erm(steps=6, restarts=2)
        start = lab.latents(solver)
        if found:
            start[0, 0, 0] = truths[0]
        (result,) = lab.run(solver, latents=start)
        made = lab.images(solver)[:, 0, 0]
        assert torch.equal(made[-1, 0], truth[0])
        assert restart_of(result, made) == (0 if found else 1)
        assert result.selected.step == (0 if found else 5)
        lost = [False] * 2 + [found] * 4
        assert result.rows[:, LOSS].isnan().tolist() == lost
        assert result.rows[:, PSNR].isnan().tolist() == lost

    @each_solver
    def test_it_changes_no_other_restart(self, fragile, solver) -> None:
        fragile.run(solver)
        sound = fragile.images(solver)[:, 0, :, 1:]
        start = fragile.latents(solver)
        start[:, :, 0, 0] = 1e6
        fragile.run(solver, latents=start)
        assert torch.equal(sound, fragile.images(solver)[:, 0, :, 1:])

    @each_solver
    def test_an_image_without_a_restart_diverged(self, fragile, solver) -> None:
        start = fragile.latents(solver)
        start[:, 0, :, 0] = 1e6
        first, second = fragile.run(solver, latents=start)
        assert first.outcome is Outcome.DIVERGED
        assert first.reason == "at step 0 no restart had a finite loss any more"
        assert first.steps == 0
        assert first.rows.shape == (0, 4)
        assert first.peak is first.selected is first.final is None
        assert second.outcome is Outcome.BUDGET

    def test_a_step_without_a_finite_loss_is_no_peak(self, lab) -> None:
        """Though its image is sound."""
        lost = lab.problems[0].measured * math.nan
        lab.problems[0] = replace(lab.problems[0], measured=lost)
        first, second = lab.run(Erm(steps=3, restarts=2))
        assert bool(lab.images(Erm(restarts=2))[0].isfinite().all())
        assert first.outcome is Outcome.DIVERGED
        assert first.peak is None
        assert second.outcome is Outcome.BUDGET

    def test_what_came_before_is_kept(self, lab) -> None:
        """Of the restart that lasted longest."""
        left = iter(range(20))

        def failing(latents: Tensor) -> Tensor:
            step = next(left)
            return Linear()(latents + nothing(torch.tensor([[step >= 5], [step >= 12]])))

        lab = replace(lab, prior=failing, problems=lab.problems[:1])
        (result,) = lab.run(Erm(steps=20, restarts=2))
        assert result.outcome is Outcome.DIVERGED
        assert "at step 12 " in result.reason
        assert result.steps == len(result.rows) == 12
        assert bool(result.rows[:, [LOSS, PSNR]].isfinite().all())
        assert result.selected is result.final is None
        assert 0 <= result.peak.step < 12
        assert bool(result.peak.image.isfinite().all())


class TestRefusals:
    def test_latents_of_another_shape(self, lab) -> None:
        solver = MedianOfMeans(restarts=3)
        with pytest.raises(ValueError, match=r"\(2, 2, 3, '…'\), got \(1, 2, 3, 3\)"):
            lab.run(solver, latents=torch.zeros(1, 2, 3, LATENT))
        with pytest.raises(ValueError, match="latents must be"):
            lab.run(solver, latents=torch.zeros(2, 2, LATENT))

    def test_no_problems(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Lab(Linear(), []).run(Erm(restarts=1))

    def test_blocks_that_are_too_large(self, lab) -> None:
        with pytest.raises(
            ValueError, match="median_of_means, block: is 61, but there are only 60"
        ):
            lab.run(MedianOfMeans(restarts=1, block=61))

    @pytest.mark.parametrize("solver", [s for s in SOLVERS if s.players == 1], ids=repr)
    def test_one_player_minds_no_outliers(self, solver) -> None:
        assert list(solver.conflicts(1, 0.9)) == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "erm", "steps": 0},
            {"kind": "erm", "restarts": 0},
            {"kind": "erm", "latent_penalty": -1.0},
            {"kind": "erm", "block": 20},
            {"kind": "median_of_means", "block": 0},
            {"kind": "trimmed"},
            {"kind": "trimmed", "trim": 0.0},
            {"kind": "trimmed", "trim": 1.0},
            {"kind": "huber", "threshold": 0.0},
            {"kind": "l2"},
        ],
    )
    def test_fields_are_checked(self, wrong) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(Solver).validate_python(wrong)

    def test_a_kind_stands_for_its_defaults(self) -> None:
        solver = TypeAdapter(Solver).validate_python("median_of_means")
        assert solver == MedianOfMeans(
            steps=1000, learning_rate=0.1, restarts=10, latent_penalty=0.0, block=20
        )


def test_arithmetic_is_exact_while_it_runs(lab, monkeypatch) -> None:
    """CUDA's shortcuts are turned off around the steps; without CUDA it can only be noted."""
    asked = []
    real = module.arithmetic

    def noted(precision, device):
        asked.append((precision, device.type))
        return real(precision, device)

    monkeypatch.setattr(module, "arithmetic", noted)
    lab.run(Erm(steps=1, restarts=1))
    assert asked == [("fp32", "cpu")]
