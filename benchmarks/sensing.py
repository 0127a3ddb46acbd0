"""What fitting latents costs: median-of-means by its published steps, restarts one by one.

    python benchmarks/sensing.py                              # this machine's device
    python benchmarks/sensing.py --device cuda --width 64

Rounds interleave the loops, so that a machine's moods meet all alike; a ratio is taken within a
round and reported as its median over rounds, with the lowest and highest. Loops that are compared
must end at the same image in float64. Memory is the highest sum of all tensors alive that a loop
made, so the matrix and the networks are left out; on a GPU as its allocator counts it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from criteria import MEBIBYTE, peak_of, seconds_of
from fit import spread
from torch import Tensor, nn

from lip_ray.fits import AbstractSolver, Erm, MedianOfMeans, arithmetic
from lip_ray.fits.latent import block_means
from lip_ray.priors.generators import Dcgan
from lip_ray.rng import keyed
from lip_ray.tasks import Problem
from lip_ray.tasks.matrices import GaussianMatrix

Loop = Callable[[], Tensor]
"""Runs all steps from the start; the image it ends at, (1, C, H, W)."""

DIGIT = (1, 28, 28)
DIGIT_LATENT = 20

DTYPES = torch.float32, torch.float64
"""The precision that is timed, and that in which results are compared."""


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    width: Annotated[int, typer.Option(help="Channels of the 64×64 colour generator.")] = 16,
    m: Annotated[int, typer.Option(help="Measurements of the colour image.")] = 1000,
    restarts: Annotated[int, typer.Option(help="Of the fit to a digit.")] = 10,
    steps: Annotated[int, typer.Option(help="Per loop and round.")] = 10,
    rounds: int = 7,
    threads: int = torch.get_num_threads(),
) -> None:
    """Print the milliseconds per step of each loop, the ratios, and the memory."""
    torch.set_num_threads(threads)
    kinds = [torch.empty((), device=device, dtype=dtype) for dtype in DTYPES]
    print(f"{device}, {threads} threads, {rounds} rounds of {steps} steps; median [low, high]")
    duel = MedianOfMeans(steps=steps, restarts=1)
    single, exact = (Case.of_a_face(duel, width, m, like) for like in kinds)
    torch.testing.assert_close(exact.ours(), exact.rows_shuffled(), rtol=0, atol=1e-5)
    print(f"median of means of {m} × {64 * 64 * 3}, width {width}")
    compare({"rows shuffled": single.rows_shuffled, "ours": single.ours}, single, rounds)
    erm = Erm(steps=steps, restarts=restarts)
    single, exact = (Case.of_a_digit(erm, like) for like in kinds)
    torch.testing.assert_close(exact.ours(), exact.one_by_one(), rtol=0, atol=1e-5)
    print(f"least squares of 100 × 784, {restarts} restarts")
    compare({"one by one": single.one_by_one, "ours": single.ours}, single, rounds)


def compare(loops: Mapping[str, Loop], case: "Case", rounds: int) -> None:
    """Time and memory of two loops, and those of the first divided by those of the second."""
    device, steps = case.problem.measured.device, case.solver.steps
    memory = {name: peak_of(loop, device) / MEBIBYTE for name, loop in loops.items()}  # warm
    seconds = [
        {name: seconds_of(loop, device) / steps for name, loop in loops.items()}
        for _ in range(rounds)
    ]
    for name in loops:
        took = spread([1000 * row[name] for row in seconds])
        print(f"  {name:<13} {took} ms a step, {memory[name]:.1f} MiB")
    first, second = loops
    ratios = spread([row[first] / row[second] for row in seconds])
    print(f"  {first} ÷ {second}: time {ratios}, memory {memory[first] / memory[second]:.2f}")


@dataclass(frozen=True)
class Case:
    """A fit to an image that a generator made, with a Gaussian matrix."""

    prior: Callable[[Tensor], Tensor]
    problem: Problem
    rows: Tensor
    """The matrix, (m, n)."""
    solver: AbstractSolver
    start: Tensor
    """The latents that the fit begins with, (players, 1, restarts, latent)."""

    @classmethod
    def of_a_face(cls, solver: AbstractSolver, width: int, m: int, like: Tensor) -> "Case":
        """A colour image of 64×64 pixels, by an untrained generator."""
        spec = Dcgan(size=64, width=width)
        prior = spec.build(seed=0, device=like.device)
        prior.module.to(like)
        return cls._of(prior, spec.latent_size, spec.image_shape, solver, m, like)

    @classmethod
    def of_a_digit(cls, solver: AbstractSolver, like: Tensor) -> "Case":
        """A grey image of 28×28 pixels, by two untrained linear layers, from 100 measurements."""
        prior = nn.Sequential(
            nn.utils.skip_init(nn.Linear, DIGIT_LATENT, 400),
            nn.ReLU(),
            nn.utils.skip_init(nn.Linear, 400, 784),
            nn.Sigmoid(),
            nn.Unflatten(1, DIGIT),
        )
        draws = keyed(0, "initial weights")
        for parameter in prior.parameters():
            nn.init.normal_(parameter, std=0.1, generator=draws)
        return cls._of(prior.to(like), DIGIT_LATENT, DIGIT, solver, 100, like)

    @classmethod
    def _of(
        cls,
        prior: Callable[[Tensor], Tensor],
        latent: int,
        shape: tuple[int, int, int],
        solver: AbstractSolver,
        m: int,
        like: Tensor,
    ) -> "Case":
        draws = keyed(0, "latents")
        truth = torch.randn((1, latent), generator=draws).to(like)
        start = torch.randn((solver.players, 1, solver.restarts, latent), generator=draws)
        matrix = GaussianMatrix(m, shape, seed=0, device=like.device)
        with torch.no_grad():
            clean = prior(truth)
        problem = Problem(clean=clean, measured=matrix(clean), operator=matrix)
        rows = torch.cat(list(matrix.blocks())).to(like) / m**0.5
        return cls(prior, problem, rows, solver, start.to(like))

    def ours(self) -> Tensor:
        """The loop with all players and restarts in one batch."""
        return self._selected(self.solver, self.start)[1]

    def one_by_one(self) -> Tensor:
        """The loop with one fit per restart."""
        alone = self.solver.model_copy(update={"restarts": 1})
        ends = [self._selected(alone, start) for start in self.start.split(1, dim=2)]
        return min(ends, key=lambda end: end[0])[1]

    def _selected(self, solver: AbstractSolver, start: Tensor) -> tuple[float, Tensor]:
        draws = keyed(0, "blocks")
        (result,) = solver.run(self.prior, [self.problem], start, draws)
        assert result.selected is not None
        return float(result.rows[-1, 0]), result.selected.image

    def rows_shuffled(self) -> Tensor:
        """The published scripts' way: for the objective of each player, a shuffled copy of the
        matrix, both images made anew, and the median block found on the host."""
        assert isinstance(self.solver, MedianOfMeans)
        rows, count = self.rows, len(self.rows)
        players = [z.detach().clone().requires_grad_() for z in self.start.flatten(0, 2).split(1)]
        optimizers = [torch.optim.Adam([z], lr=self.solver.learning_rate) for z in players]
        draws = keyed(0, "blocks")
        torch.randperm(count, generator=draws)  # of the blocks that choose a restart
        image = self.problem.measured
        with arithmetic("fp32", rows.device):
            for _ in range(self.solver.steps):
                order = torch.randperm(count, generator=draws).to(rows.device)
                gradients = []
                for player in players:
                    shuffled, wanted = rows.clone()[order], self.problem.measured[:, order]
                    images = [self.prior(z) for z in players]
                    image = images[0].detach()
                    squares = [(i.flatten(1) @ shuffled.T - wanted).square() for i in images]
                    means = block_means(squares[0] - squares[1], self.solver.block)[0]
                    middle = means.detach().cpu().argsort()[len(means) // 2].item()
                    sign = 1 if player is players[0] else -1
                    gradients += torch.autograd.grad(sign * means[int(middle)], player)
                for player, gradient, optimizer in zip(players, gradients, optimizers, strict=True):
                    player.grad = gradient
                    optimizer.step()
        return image


if __name__ == "__main__":
    typer.run(main)
