"""The deep-image-prior fit: Adam on the weights of an untrained network, one or more images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Self, final

from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.fits.descent import Descent, Subject
from lip_ray.fits.execution import Execution, steps_of
from lip_ray.fits.numerics import DeadScales, Precision, arithmetic, check_zeros
from lip_ray.fits.progress import Callback, mean_psnr_db, no_callback, unknown
from lip_ray.fits.result import FitResult
from lip_ray.fits.roll_back import RollBack
from lip_ray.fits.stopping import (
    WATCHING,
    AbstractStopping,
    HeldOut,
    Stopping,
    WindowedVariance,
)
from lip_ray.fits.trace import Trace
from lip_ray.pruning import Mask, Paths, paths
from lip_ray.records import Outcome
from lip_ray.spec import AlwaysSaid, Spec, is_unset
from lip_ray.spec import Steps as StepCount
from lip_ray.tasks import Problem

LOOK_EVERY = 100
"""The number of steps between two looks of the host at the device."""

USUALLY_HELD_OUT = 0.03
"""The share of measured values that is held out, where they judge the fit and none is stated."""


def _is_dense(execution: object) -> bool:
    """Whether a fit says nothing of its execution, like those that were stored before it could."""
    return execution == "dense"


@final
class Fit(Spec):
    """How the weights are fitted; the defaults are those of Ulyanov et al. 2018 for denoising."""

    steps: Annotated[StepCount, AlwaysSaid()] = 3000
    """The steps of Adam."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """The learning rate of Adam, on all parameters, without decay."""
    input_noise: Annotated[float, Field(ge=0), AlwaysSaid()] = 1 / 30
    """Standard deviation of the Gaussian noise added to the latent anew at every step."""
    average: Annotated[float, Field(ge=0, lt=1), AlwaysSaid()] = 0.99
    """Decay of the exponential moving average of the outputs; 0 turns averaging off."""
    held_out: Annotated[float, Field(ge=0, le=0.5), AlwaysSaid()] = 0.0
    """The share of the measured values that the loss leaves out, so that they can judge the fit; it
    changes the fit. In a trial it is by default 0.03 where the rule is `held_out`, otherwise 0."""
    stopping: Annotated[Stopping, AlwaysSaid()] = WindowedVariance()
    """The rule that chooses the selected step. In a trial it is by default `held_out` where the
    measurement has noise; where it has none, or the clean image is the target, it is `wmv`."""
    precision: Precision = "fp32"
    """fp32 is exact; tf32 and bf16 (autocast) change the numbers."""
    compiled: bool = False
    """Whether the network runs through torch.compile, which changes the last bits."""
    execution: Execution = Field(default="dense", exclude_if=_is_dense)
    """Whether steps compute all weights, or the kept ones alone. `sparse` is for CPUs, and changes
    the last bits; levels that keep more than 400 weights per output channel are dense in it too."""
    roll_back: RollBack | None = Field(default=None, exclude_if=is_unset)
    """When weights that suddenly do worse are taken back, as in published notebooks; by default
    never."""

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        self.stopping.check(self.steps)
        return self

    @model_validator(mode="after")
    def _dense_alone(self) -> Self:
        """Raise ValueError where sparse execution is asked for what it lacks."""
        if self.execution == "sparse":
            for name, wanted in (("precision", "fp32"), ("compiled", False), ("roll_back", None)):
                if getattr(self, name) != wanted:
                    raise ValueError(f"{name} must be {_shown(wanted)} with execution sparse")
        return self

    @property
    def rules(self) -> tuple[AbstractStopping, ...]:
        """The rules that watch the fit, scaled to its length; the one in force comes first."""
        in_force = self.stopping.scaled(self.steps)
        others = (rule.scaled(self.steps) for rule in WATCHING)
        return (in_force, *(rule for rule in others if rule != in_force))

    def completed(self, published: Mapping[str, float], *, usual: AbstractStopping) -> Self:
        r"""The same fit with everything that was left open set.

        `published` are the settings that the prior was published with, `usual` is the rule for the
        task. Raises ValueError where the fit is then too short for the rule that it states.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        known = {**published, "stopping": usual, **given}
        share = usual_share(known["stopping"])
        found = self.model_copy(update={"held_out": share, **known})
        found.stopping.check(found.steps)
        return found

    def run(
        self,
        subjects: Sequence[Subject],
        mask: Mask,
        *,
        on_path: Paths | None = None,
        snapshot_at: int | None = None,
        callback: Callback = no_callback,
        replay: bool = True,
    ) -> tuple[FitResult, ...]:
        r"""Fit the weights that the subjects share to all measurements; one result per subject.

        The objective is the sum of the losses. Each image passes through the network alone, so
        normalisation never mixes them and their sizes may differ. The network is left as fitted;
        weights that `mask` removes are zero after every step, and parameters on no path from latent
        to image stay as they are. `on_path` are the paths of `mask`, found here where they are not
        given. With `snapshot_at`, the results also hold the weights after that many steps. On CUDA
        steps are replayed as a graph unless `replay` is false; the results are the same.
        """
        _check(subjects, snapshot_at, self.steps)
        prior = subjects[0].prior
        on_path = on_path or paths(prior.module, mask, tuple(prior.latent.shape[1:]))
        traces = tuple(self._trace(subject.problem) for subject in subjects)
        scales = DeadScales(prior, on_path.parameters)
        started = time.perf_counter()
        with arithmetic(self.precision, prior.latent.device), scales.silent(prior.module):
            steps = steps_of(
                self.execution,
                prior,
                mask,
                on_path.parameters,
                precision=self.precision,
                compiled=self.compiled,
            )
            descent = Descent(
                subjects,
                steps,
                traces,
                learning_rate=self.learning_rate,
                input_noise=self.input_noise,
                roll_back=self.roll_back,
                replays=self.steps if replay and not self.compiled else 0,
            )
            end = self._descend(descent, traces, snapshot_at, callback)
            descent.finish()
        rows = [trace.rows(end.steps) for trace in traces]  # waits for the device,
        seconds = time.perf_counter() - started  # so the clock is right
        check_zeros(prior, mask)
        if snapshot_at is not None and snapshot_at > end.steps:  # taken after the first bad loss
            end = replace(end, snapshot=None)
        if end.snapshot is not None:
            end = replace(end, snapshot=scales.restored(end.snapshot))
        return tuple(
            _result(trace, own, end, seconds, steps.execution)
            for trace, own in zip(traces, rows, strict=True)
        )

    def _trace(self, problem: Problem) -> Trace:
        """The trace of one image, with all rules that can judge its fit."""
        in_force, *others = self.rules
        if not in_force.applies(problem):
            raise ValueError(f"the stopping rule {in_force.kind} cannot judge this problem")
        known = [rule for rule in others if rule.applies(problem)]
        return Trace(problem, steps=self.steps, decay=self.average, rules=[in_force, *known])

    def _descend(
        self,
        descent: Descent,
        traces: Sequence[Trace],
        snapshot_at: int | None,
        callback: Callback,
    ) -> "_End":
        """Take the steps; the host looks at the device once per interval, and for the callback."""
        snapshot = descent.snapshot() if snapshot_at == 0 else None
        callback(0, self.steps, unknown)
        for step in range(self.steps):
            descent.take_step()
            if snapshot_at == step + 1:
                snapshot = descent.snapshot()
            callback(step + 1, self.steps, partial(_psnr_db, traces, step))
            if (step + 1) % LOOK_EVERY == 0:
                finite = min(trace.finite(step + 1) for trace in traces)
                if finite <= step:
                    return _End(finite, Outcome.DIVERGED, snapshot)
                if all(trace.ends(step + 1) for trace in traces):
                    return _End(step + 1, Outcome.STOPPED, snapshot)
        finite = min(trace.finite(self.steps) for trace in traces)
        if finite < self.steps:
            return _End(finite, Outcome.DIVERGED, snapshot)
        return _End(self.steps, Outcome.BUDGET, snapshot)


def usual_share(rule: AbstractStopping) -> float:
    """The share of measured values that is held out for a rule where no share is stated."""
    return USUALLY_HELD_OUT if isinstance(rule, HeldOut) else 0.0


@dataclass(frozen=True)
class _End:
    """Where and how a fit ended, and the snapshot that was taken on the way."""

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


def _shown(value: object) -> str:
    return "left out" if value is None else str(value).lower()


def _psnr_db(traces: Sequence[Trace], step: int) -> float | None:
    return mean_psnr_db(trace.psnr_db(step) for trace in traces)


def _result(
    trace: Trace, rows: Tensor, end: _End, seconds: float, execution: Execution
) -> FitResult:
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
        peak=trace.peak,
        selected=trace.selected,
        final=None if diverged else trace.final(end.steps),
        execution=execution,
        choices=trace.choices(rows),
        snapshot=end.snapshot,
    )
