"""The steps of a fit: gradients of all images, Adam, and what is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lip_ray.fits.adam import Adam
from lip_ray.fits.execution import Steps
from lip_ray.fits.replay import repeated
from lip_ray.fits.roll_back import Checkpoints, RollBack
from lip_ray.fits.trace import Trace
from lip_ray.priors import UntrainedPrior
from lip_ray.tasks import Problem


@dataclass(frozen=True, kw_only=True)
class Subject:
    r"""One image of a fit: its problem, its latent, and the draws of its input noise.

    The subjects of one fit share the network; `draws` is on the device of the latent.
    """

    prior: UntrainedPrior
    problem: Problem
    draws: torch.Generator


class InputNoise:
    """Latents plus Gaussian noise of standard deviation `sigma`, drawn anew at every call."""

    def __init__(self, sigma: float) -> None:
        self._sigma = sigma
        self._buffers: dict[torch.Size, Tensor] = {}

    def __call__(self, subject: Subject) -> Tensor:
        """The latent with noise; the latent itself, and nothing drawn, where `sigma` is 0."""
        latent = subject.prior.latent
        if not self._sigma:
            return latent
        if latent.shape not in self._buffers:  # in one order, whatever the latent's layout
            self._buffers[latent.shape] = torch.empty_like(
                latent, memory_format=torch.contiguous_format
            )
        noise = self._buffers[latent.shape].normal_(generator=subject.draws)
        return latent.clone().add_(noise, alpha=self._sigma)


class Descent:
    """Adam on the weights that the images of a fit share."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        network: Steps,
        traces: Sequence[Trace],
        *,
        learning_rate: float,
        input_noise: float,
        roll_back: RollBack | None,
        replays: int,
    ) -> None:
        r"""There is a trace for each subject.

        On CUDA, steps are replayed where as many as `replays` come and none is rolled back.
        """
        prior = subjects[0].prior
        device = prior.latent.device
        self._prior = prior
        self._subjects = subjects
        self._network = network
        self._traces = traces
        self._noise = InputNoise(input_noise)
        self._optimizer = Adam(network.parameters, learning_rate)
        self._checkpoints = Checkpoints(roll_back, prior)
        self._repeated = repeated(
            self._step,
            times=0 if roll_back else replays,
            device=device,
            draws=[subject.draws for subject in subjects] if input_noise else [],
        )

    def take_step(self) -> None:
        """Move the weights once, and count the step that was recorded."""
        self._repeated()
        for trace in self._traces:
            trace.advance()

    def snapshot(self) -> dict[str, Tensor]:
        """All parameters and buffers as they are now."""
        self._network.store()
        return self._prior.snapshot()

    def finish(self) -> None:
        """Leave the network as fitted, and without gradients."""
        self._network.store()
        self._optimizer.zero_grad()

    def _step(self) -> None:
        """Move the weights, and record losses and outputs from before the move.

        Where nothing is rolled back, this is the same work each time, and on the device alone.
        """
        self._optimizer.zero_grad()  # first, since a step that cannot be captured leaves some
        outputs, losses = [], []
        for subject in self._subjects:  # one graph at a time; gradients add up
            output = self._network(self._noise(subject))
            loss = subject.problem.loss(output)
            loss.backward()
            outputs.append(output.detach())
            losses.append(loss.detach())
        self._network.mask_gradients()
        self._checkpoints.check([subject.problem for subject in self._subjects], outputs)
        self._optimizer.step()
        total = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
        for trace, loss, output in zip(self._traces, losses, outputs, strict=True):
            trace.record(loss, output, total=total)
