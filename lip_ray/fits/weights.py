"""The deep-image-prior fit: Adam on the weights of an untrained network, one or more images."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.fits.progress import Watch, mean_psnr_db, unknown, unwatched
from lip_ray.fits.stopping import Stopping, WindowedVariance
from lip_ray.fits.trace import Best, Trace
from lip_ray.priors import UntrainedPrior
from lip_ray.priors.network import Network
from lip_ray.pruning import Mask
from lip_ray.records import Outcome
from lip_ray.spec import Spec, Steps
from lip_ray.tasks import Problem

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One image of a fit, (1, C, H, W), and the step it was taken at."""

    step: int
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One image of a fit: what it measured, its latent, and the draws of its input noise.

    The subjects of one fit share the network; `draws` is on the device of the latent.
    """

    prior: UntrainedPrior
    problem: Problem
    draws: torch.Generator


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """How a fit went on one image.

    Images are averaged outputs; a fit that diverged has no final one, and a problem without a
    clean image no peak.
    """

    outcome: Outcome
    reason: str
    steps: int
    seconds: float
    """Of the whole fit, all of its images together."""
    rows: Tensor
    """(steps, 4) on the host: loss, PSNR of the output and of the average, stopping statistic."""
    peak: Snapshot | None
    selected: Snapshot | None
    final: Snapshot | None
    snapshot: dict[str, Tensor] | None = None
    """All parameters and buffers after the `snapshot_at` steps that were asked for; none where
    the fit ended before."""


@final
class Fit(Spec):
    """How the weights are fitted; the defaults are those of Ulyanov et al. 2018 for denoising."""

    steps: Steps = 3000
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """Of Adam, on all parameters, without decay."""
    input_noise: Annotated[float, Field(ge=0)] = 1 / 30
    """Standard deviation of the Gaussian noise added to the latent anew at every step."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the exponential moving average of the outputs; 0 turns averaging off."""
    stopping: Stopping = WindowedVariance()
    precision: Precision = "fp32"
    """fp32 is exact; tf32 and bf16 (autocast) change the numbers."""
    compiled: bool = False
    """Whether the network runs through torch.compile, which changes the last bits."""

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        self.stopping.check(self.steps)
        return self

    def run(
        self,
        subjects: Sequence[Subject],
        mask: Mask,
        *,
        snapshot_at: int | None = None,
        watch: Watch = unwatched,
    ) -> tuple[FitResult, ...]:
        """Fit the masked weights that the subjects share to all measurements: a result each.

        What is minimised is the sum of the losses; each image passes through the network alone,
        so normalisation never mixes them and their sizes may differ. The weights are left as
        fitted; those that `mask` removes are zero after every step. With `snapshot_at`, the
        results also hold the weights as they were after so many steps.
        """
        _check(subjects, snapshot_at, self.steps)
        prior = subjects[0].prior
        traces = tuple(
            Trace(subject.problem, steps=self.steps, decay=self.average, stopping=self.stopping)
            for subject in subjects
        )
        started = time.perf_counter()
        with arithmetic(self.precision, prior.latent.device):
            end = self._descend(subjects, mask, traces, snapshot_at, watch)
        rows = [trace.rows(end.steps) for trace in traces]  # waits for the device,
        seconds = time.perf_counter() - started  # so the clock is right
        _check_zeros(prior, mask)
        if snapshot_at is not None and snapshot_at > end.steps:  # taken after the first bad loss
            end = replace(end, snapshot=None)
        return tuple(
            _result(trace, own, end, seconds) for trace, own in zip(traces, rows, strict=True)
        )

    def _descend(
        self,
        subjects: Sequence[Subject],
        mask: Mask,
        traces: Sequence[Trace],
        snapshot_at: int | None,
        watch: Watch,
    ) -> "_End":
        """Take the steps; the host looks at the device once an interval, and for the watch."""
        prior = subjects[0].prior
        network = torch.compile(prior.module) if self.compiled else prior.module
        optimizer = torch.optim.Adam(prior.module.parameters(), lr=self.learning_rate, fused=True)
        apply_mask = GradientMask(prior, mask)
        noise = InputNoise(self.input_noise)
        snapshot = prior.snapshot() if snapshot_at == 0 else None
        watch(0, self.steps, unknown)
        for step in range(self.steps):
            outputs, losses = [], []
            for subject in subjects:  # one graph at a time; gradients add up
                output = self._output(network, noise(subject))
                loss = subject.problem.loss(output)
                loss.backward()
                outputs.append(output.detach())
                losses.append(loss.detach())
            apply_mask()
            optimizer.step()
            optimizer.zero_grad()
            if snapshot_at == step + 1:
                snapshot = prior.snapshot()
            total = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
            for trace, loss, output in zip(traces, losses, outputs, strict=True):
                trace.observe(step, loss, output, total=total)
            watch(step + 1, self.steps, partial(_psnr_db, traces, step))
            if (step + 1) % self.stopping.interval == 0:
                finite = min(trace.finite(step + 1) for trace in traces)
                if finite <= step:
                    return _End(finite, Outcome.DIVERGED, snapshot)
                if all(self.stopping.ends(step, trace.selected.step) for trace in traces):
                    return _End(step + 1, Outcome.STOPPED, snapshot)
        finite = min(trace.finite(self.steps) for trace in traces)
        if finite < self.steps:
            return _End(finite, Outcome.DIVERGED, snapshot)
        return _End(self.steps, Outcome.BUDGET, snapshot)

    def _output(self, network: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
        """The network's image, in full precision whatever it computes in."""
        reduced = self.precision == "bf16"
        with torch.autocast(latent.device.type, torch.bfloat16, enabled=reduced):
            output = network(latent)
        return output.float()


class InputNoise:
    """Latents plus Gaussian noise of standard deviation `sigma`, drawn anew at every call."""

    def __init__(self, sigma: float) -> None:
        self._sigma = sigma
        self._buffers: dict[torch.Size, Tensor] = {}

    def __call__(self, subject: Subject) -> Tensor:
        """The latent itself, and nothing drawn, where `sigma` is 0."""
        latent = subject.prior.latent
        if not self._sigma:
            return latent
        if latent.shape not in self._buffers:  # in one order, whatever the latent's layout
            self._buffers[latent.shape] = torch.empty_like(
                latent, memory_format=torch.contiguous_format
            )
        noise = self._buffers[latent.shape].normal_(generator=subject.draws)
        return latent.clone().add_(noise, alpha=self._sigma)


class GradientMask:
    """Zeroes the gradients of pruned weights: Adam's moments, and so the weights, stay zero."""

    def __init__(self, prior: Network, mask: Mask) -> None:
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


def _check_zeros(prior: Network, mask: Mask) -> None:
    """NaN passes: a masked gradient that was not finite is NaN, and the fit diverged."""
    for name, weight in prior.prunable().items():
        pruned = weight.detach()[~mask.layers[name]]
        if bool((pruned.nan_to_num(nan=0) != 0).any()):
            raise AssertionError(f"pruned weights of {name} came back during the fit")


@dataclass(frozen=True)
class _End:
    """Where a fit ended, how, and the snapshot that was taken on the way."""

    steps: int
    outcome: Outcome
    snapshot: dict[str, Tensor] | None


def _check(subjects: Sequence[Subject], snapshot_at: int | None, steps: int) -> None:
    if not subjects:
        raise ValueError("subjects must be at least one, got none")
    if any(subject.prior.module is not subjects[0].prior.module for subject in subjects):
        raise ValueError(
            "subjects must share one network: the same prior.module, not copies of it "
            "(UntrainedPrior.with_latent gives the prior of another image)"
        )
    if snapshot_at is not None and not 0 <= snapshot_at <= steps:
        raise ValueError(
            f"snapshot_at must be from 0 to {steps}, the fit's steps: got {snapshot_at}"
        )


def _psnr_db(traces: Sequence[Trace], step: int) -> float | None:
    return mean_psnr_db(trace.psnr_db(step) for trace in traces)


def _result(trace: Trace, rows: Tensor, end: _End, seconds: float) -> FitResult:
    diverged = end.outcome is Outcome.DIVERGED
    reason = ""
    if diverged:
        elsewhere = trace.finite(end.steps + 1) > end.steps
        reason = f"the loss of step {end.steps} was not finite"
        reason += " on another image of the fit" if elsewhere else ""
    return FitResult(
        outcome=end.outcome,
        reason=reason,
        steps=end.steps,
        seconds=seconds,
        rows=rows,
        peak=_snapshot(trace.peak),
        selected=_snapshot(trace.selected),
        final=None if diverged else Snapshot(step=end.steps - 1, image=trace.average),
        snapshot=end.snapshot,
    )


def _snapshot(best: Best) -> Snapshot | None:
    step = int(best.step)
    return Snapshot(step=step, image=best.image) if step >= 0 else None
