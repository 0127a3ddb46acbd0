"""The deep-image-prior fit: Adam on the weights of an untrained network, one measurement."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.fits.stopping import WindowedVariance
from lip_ray.fits.trace import Trace
from lip_ray.priors import UntrainedPrior
from lip_ray.pruning import Mask
from lip_ray.records import Outcome
from lip_ray.spec import Spec, kind_or_mapping
from lip_ray.tasks import Problem

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One image of a fit, (1, C, H, W), and the step it was taken at."""

    step: int
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """How a fit went. Images are averaged outputs; a fit that diverged has no final one."""

    outcome: Outcome
    reason: str
    steps: int
    seconds: float
    rows: Tensor
    """(steps, 4) on the host: loss, PSNR of the output and of the average, stopping statistic."""
    peak: Snapshot | None
    selected: Snapshot | None
    final: Snapshot | None


@final
class Fit(Spec):
    """How the weights are fitted; the defaults are those of Ulyanov et al. 2018 for denoising."""

    steps: Annotated[int, Field(ge=1)] = 3000
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """Of Adam, on all parameters, without decay."""
    input_noise: Annotated[float, Field(ge=0)] = 1 / 30
    """Standard deviation of the Gaussian noise added to the latent anew at every step."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the exponential moving average of the outputs; 0 turns averaging off."""
    stopping: Annotated[WindowedVariance, kind_or_mapping(WindowedVariance)] = WindowedVariance()
    precision: Precision = "fp32"
    """fp32 is exact; tf32 and bf16 (autocast) change the numbers."""
    compiled: bool = False
    """Whether the network runs through torch.compile, which changes the last bits."""

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.stopping.window > self.steps:
            raise ValueError(
                f"stopping.window must not be longer than the fit: "
                f"got window {self.stopping.window} and steps {self.steps}"
            )
        return self

    def run(
        self, prior: UntrainedPrior, problem: Problem, mask: Mask, *, draws: torch.Generator
    ) -> FitResult:
        """Fit the masked weights of `prior` to the measurement of `problem`.

        `draws`, on the device of the latent, gives the input noise. The weights are left as
        fitted; those that `mask` removes are zero after every step.
        """
        trace = Trace(problem, steps=self.steps, decay=self.average, stopping=self.stopping)
        started = time.perf_counter()
        with arithmetic(self.precision, prior.latent.device):
            steps, outcome = self._descend(prior, problem, mask, draws, trace)
        rows = trace.rows(steps)  # waits for the device, so the clock is right
        seconds = time.perf_counter() - started
        _check_zeros(prior, mask)
        return _result(trace, rows, outcome, seconds)

    def _descend(
        self,
        prior: UntrainedPrior,
        problem: Problem,
        mask: Mask,
        draws: torch.Generator,
        trace: Trace,
    ) -> tuple[int, Outcome]:
        """Take the steps; the host looks at the device once a window."""
        network = torch.compile(prior.module) if self.compiled else prior.module
        optimizer = torch.optim.Adam(prior.module.parameters(), lr=self.learning_rate, fused=True)
        apply_mask = GradientMask(prior, mask)
        noise = torch.empty_like(prior.latent, memory_format=torch.contiguous_format)
        for step in range(self.steps):
            latent = prior.latent
            if self.input_noise:
                noise.normal_(generator=draws)  # in one order, whatever the latent's layout
                latent = latent.clone().add_(noise, alpha=self.input_noise)
            with torch.autocast(
                latent.device.type, torch.bfloat16, enabled=self.precision == "bf16"
            ):
                output = network(latent)
            output = output.float()
            loss = problem.loss(output)
            loss.backward()
            apply_mask()
            optimizer.step()
            optimizer.zero_grad()
            trace.observe(step, loss.detach(), output.detach())
            if (step + 1) % self.stopping.window == 0:
                finite = trace.finite(step + 1)
                if finite <= step:
                    return finite, Outcome.DIVERGED
                if self._out_of_patience(trace, step):
                    return step + 1, Outcome.STOPPED
        finite = trace.finite(self.steps)
        return finite, Outcome.BUDGET if finite == self.steps else Outcome.DIVERGED

    def _out_of_patience(self, trace: Trace, step: int) -> bool:
        patience = self.stopping.patience
        return patience is not None and step - int(trace.selected.step) >= patience


class GradientMask:
    """Zeroes the gradients of pruned weights: Adam's moments, and so the weights, stay zero."""

    def __init__(self, prior: UntrainedPrior, mask: Mask) -> None:
        sparse = {n: w for n, w in prior.prunable().items() if not bool(mask.layers[n].all())}
        self._weights = list(sparse.values())
        self._masks = [  # in the layout of the weights, or the product is not one launch
            torch.empty_like(weight.detach()).copy_(mask.layers[name])
            for name, weight in sparse.items()
        ]

    def __call__(self) -> None:
        """Multiply all gradients by their masks, in one launch on CUDA."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, self._masks)


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """TF32 on or off for CUDA convolutions and products, as it was before afterwards."""
    if device.type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _check_zeros(prior: UntrainedPrior, mask: Mask) -> None:
    """NaN passes: a masked gradient that was not finite is NaN, and the fit diverged."""
    for name, weight in prior.prunable().items():
        pruned = weight.detach()[~mask.layers[name]]
        if bool((pruned.nan_to_num(nan=0) != 0).any()):
            raise AssertionError(f"pruned weights of {name} came back during the fit")


def _result(trace: Trace, rows: Tensor, outcome: Outcome, seconds: float) -> FitResult:
    steps = len(rows)
    diverged = outcome is Outcome.DIVERGED
    final = None if diverged else Snapshot(step=steps - 1, image=trace.average)
    peak_step, selected_step = int(trace.peak.step), int(trace.selected.step)
    return FitResult(
        outcome=outcome,
        reason=f"the loss of step {steps} was not finite" if diverged else "",
        steps=steps,
        seconds=seconds,
        rows=rows,
        peak=Snapshot(step=peak_step, image=trace.peak.image) if peak_step >= 0 else None,
        selected=(
            Snapshot(step=selected_step, image=trace.selected.image) if selected_step >= 0 else None
        ),
        final=final,
    )
