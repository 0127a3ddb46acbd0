"""What scoring costs, in time and memory, beside one training step of the same network.

    python benchmarks/criteria.py                             # this machine's device, 128×128
    python benchmarks/criteria.py --device cuda --size 512

Rounds alternate the training steps and the criteria, so that a machine's moods meet all alike; a
ratio is taken within a round and reported as its median over rounds, with the lowest and highest.
Memory is the highest sum of all tensors alive that a call made, so the network's own weights are
left out; on a GPU as its allocator counts it.
"""

import statistics
import weakref
from collections.abc import Callable
from typing import Annotated, Any, Self

import torch
import typer
from fit import Stopwatch, noisy_photo, spread
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.pruning import Grasp, Mask, Oes, ScoreContext, Snip, Synflow, keep_top
from lip_ray.tasks import Problem

MEBIBYTE = 2**20

Work = Callable[[], object]


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Channels; 128 is the study's network.")] = 128,
    scales: int = 5,
    steps: Annotated[int, typer.Option(help="Training steps, and steps of OES, a round.")] = 3,
    rounds: int = 5,
    threads: int = torch.get_num_threads(),
) -> None:
    """Print the cost of a training step and of each criterion, in time and memory."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    network = Skip(width=width, scales=scales)
    problem, prior = noisy_photo(size, network, where)
    scored = context(problem, prior, network)
    scores = Snip().score(scored)
    works: dict[str, tuple[Work, int]] = {
        "training step": (training(problem, prior, steps), steps),
        "snip": (lambda: Snip().score(scored), 1),
        "grasp": (lambda: Grasp().score(scored), 1),
        "synflow, a round": (lambda: Synflow().score(scored), 1),
        "oes, a step": (lambda: Oes(steps=steps).score(scored), steps),
        "ranking": (lambda: keep_top(scores, scored.mask, kept=scored.mask.total // 5), 1),
    }
    memory = {name: peak_of(work, where) for name, (work, _) in works.items()}  # warms up, too
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (work, calls) in works.items():
            seconds[name].append(seconds_of(work, where) / calls)
    print(f"{device}, {size}×{size}, width {width}, {scales} scales, {threads} threads")
    print(f"{rounds} rounds, OES and training {steps} steps each; median [lowest, highest]")
    report(seconds, memory)


def report(seconds: dict[str, list[float]], memory: dict[str, int]) -> None:
    """Print the table, and the cost of each default criterion in training steps per level."""
    step = seconds["training step"]
    ratios = {
        name: [one / other for one, other in zip(took, step, strict=True)]
        for name, took in seconds.items()
    }
    for name, took in seconds.items():
        share = memory[name] / memory["training step"]
        print(
            f"  {name:<17} {spread([1000 * s for s in took])} ms = {spread(ratios[name])} steps; "
            f"{memory[name] / MEBIBYTE:.1f} MiB = {share:.2f} of a step's"
        )
    typical = {name: statistics.median(values) for name, values in ratios.items()}
    ranking, turns = typical["ranking"], Synflow().rounds or 1
    print("a level, in training steps:")
    print(f"  snip    {typical['snip'] + ranking:.1f}")
    print(f"  grasp   {typical['grasp'] + ranking:.1f}")
    print(f"  synflow {turns * (typical['synflow, a round'] + ranking):.1f} for {turns} rounds")
    oes = Oes().steps * typical["oes, a step"]
    hours = Oes().steps * statistics.median(seconds["oes, a step"]) / 3600
    print(f"  oes     {oes:,.0f} for {Oes().steps:,} steps, {hours:.2f} hours here")


def context(problem: Problem, prior: UntrainedPrior, network: Skip) -> ScoreContext:
    """The context of the dense network at initialisation, to be pruned to a fifth."""
    weights = {name: weight.detach() for name, weight in prior.prunable().items()}
    side = network.minimum_side
    return ScoreContext(
        weights=weights,
        mask=Mask.dense(weights),
        density=0.2,
        loss=lambda weights: problem.loss(prior.restored_with(weights)),
        module=prior.module,
        latent_shape=network.latent_shape((problem.image_shape[0], side, side)),
        seed=0,
        level=1,
    )


def training(problem: Problem, prior: UntrainedPrior, steps: int) -> Work:
    """Forward, backward and Adam's step, on a copy of the weights."""
    weights = {name: w.detach().clone().requires_grad_() for name, w in prior.prunable().items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.01, fused=True)

    def work() -> None:
        for _ in range(steps):
            problem.loss(prior.restored_with(weights)).backward(inputs=list(weights.values()))
            optimizer.step()
            optimizer.zero_grad()

    return work


def seconds_of(work: Work, device: torch.device) -> float:
    """The seconds that one call takes."""
    with Stopwatch(device) as clock:
        work()
    return clock.seconds


def peak_of(work: Work, device: torch.device) -> int:
    """The highest sum of bytes of the tensors that a call makes."""
    work()  # what is made once and kept, as the optimiser's moments, is made now
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with LiveBytes() as live:
        work()
    return live.highest


class LiveBytes(TorchDispatchMode):
    """Sums the storages that operations make, from their making to their end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[int, int] = {}
        self._live = 0
        self.highest = 0

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {t.untyped_storage()._cdata for t in tensors((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for tensor in tensors(made):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._sizes:
                self._sizes[storage._cdata] = storage.nbytes()
                self._live += storage.nbytes()
                weakref.finalize(storage, self._end, storage._cdata)
        self.highest = max(self.highest, self._live)
        return made

    def _end(self, storage: int) -> None:
        self._live -= self._sizes.pop(storage)


def tensors(tree: Any) -> list[Tensor]:
    """All tensors in nested arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


if __name__ == "__main__":
    typer.run(main)
