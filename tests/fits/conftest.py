"""A small network with a measurement to fit, and fits that take milliseconds."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, FitResult, Subject, WindowedVariance, weights
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.pruning import Mask
from lip_ray.tasks import Denoising, Problem

CPU = torch.device("cpu")


@dataclass
class Bench:
    """A prior, a problem and a mask; `fit` runs from the initial weights each time."""

    prior: UntrainedPrior
    initial: dict[str, Tensor]
    problem: Problem
    mask: Mask
    outputs: list[Tensor]
    """Of the network, in the order they were made by the last fit."""

    def fit(self, fit: Fit, *, seed: int = 0, snapshot_at: int | None = None) -> FitResult:
        """Rewind and fit."""
        return self.fit_all(fit, [self.subject(seed=seed)], snapshot_at=snapshot_at)[0]

    def fit_all(
        self, fit: Fit, subjects: list[Subject], *, snapshot_at: int | None = None
    ) -> tuple[FitResult, ...]:
        """Rewind and fit to several images."""
        self.outputs.clear()
        self.prior.rewind(self.initial, self.mask.layers)
        return fit.run(subjects, self.mask, snapshot_at=snapshot_at)

    def subject(self, *, seed: int = 0) -> Subject:
        """The bench's own problem and latent."""
        draws = torch.Generator().manual_seed(seed)
        return Subject(prior=self.prior, problem=self.problem, draws=draws)

    def other(self, *, height: int = 12, width: int = 20, seed: int = 5) -> Subject:
        """Another image of another size, with a latent of its own, for the same network."""
        image = BuiltinImage(name="astronaut", rows=(0, height), columns=(200, 200 + width))
        problem = Denoising(sigma=25.0).realise(image, seed=1, device=CPU)
        draws = torch.Generator().manual_seed(seed)
        latent = torch.rand((1, 4, height, width), generator=draws) * 0.1
        prior = replace(self.prior, latent=latent)
        return Subject(prior=prior, problem=problem, draws=draws)

    def with_clean(self, clean: Tensor) -> "Bench":
        """The same measurement of what is said to be another image."""
        return replace(self, problem=replace(self.problem, clean=clean))


@pytest.fixture
def bench() -> Bench:
    """A dense network for 16×15 pixels in colour."""
    image = BuiltinImage(name="astronaut", rows=(96, 112), columns=(200, 215))
    problem = Denoising(sigma=25.0).realise(image, seed=0, device=CPU)
    spec = Skip(width=6, scales=2, skip_width=2, input_channels=4)
    prior = spec.build(problem.image_shape, seed=0, image="cat", device=CPU)
    outputs: list[Tensor] = []
    prior.module.register_forward_hook(lambda *call: outputs.append(call[-1].detach().clone()))
    return Bench(prior, prior.snapshot(), problem, Mask.dense(prior.prunable()), outputs)


@pytest.fixture
def sparse(bench: Bench) -> Bench:
    """The same with every third weight."""
    layers = {
        name: (torch.arange(layer.numel()) % 3 == 0).view(layer.shape)
        for name, layer in bench.mask.layers.items()
    }
    bench.mask = Mask(layers)
    return bench


@pytest.fixture(autouse=True)
def _looks_every_ten_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as in a fit of thousands of steps, for its length."""
    monkeypatch.setattr(weights, "LOOK_EVERY", 10)


@pytest.fixture
def short() -> Callable[..., Fit]:
    """A fit of a few steps; with a patience, the rule ends it. Other keywords change its fields."""

    def make(*, window: int = 10, stride: int = 5, patience: int | None = None, **fields) -> Fit:
        rule = WindowedVariance(
            window=window,
            stride=stride,
            warm_up=0,
            patience=patience or 1000,
            ends_fit=patience is not None,
        )
        return Fit(**{"steps": 60, "stopping": rule} | fields)

    return make
