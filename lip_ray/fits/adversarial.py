"""The fit of a generator against a critic: a Wasserstein GAN with gradient penalty."""

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, final

import torch
from pydantic import Field
from torch import Tensor, nn

from lip_ray.fits.checkpoint import Checkpointer, digest, sealed, unsealed
from lip_ray.fits.frechet import frechet, pixel_features
from lip_ray.fits.numerics import DeadScales, GradientMask, Precision, arithmetic, check_zeros
from lip_ray.fits.progress import Callback, no_callback, unknown
from lip_ray.fits.sending import sent
from lip_ray.priors.generators import AbstractGenerator, GeneratorPrior
from lip_ray.priors.network import Network
from lip_ray.pruning import Mask, Paths, paths
from lip_ray.records import Outcome
from lip_ray.rng import keyed
from lip_ray.spec import Batch, Spec, Steps

INTERVAL = 20
"""The number of steps between two looks of the host at the device and at the clock."""
RESIDENT_BYTES = 2**30
"""A larger set of pictures stays where it is, and each minibatch is moved."""
JUDGED = 1024
"""The most pictures of each kind, real and generated, that the critic's gap is measured on."""
COMPARED = 4096
"""The most pictures of each kind, real and generated, that the Fréchet distance is measured on."""
SAMPLES = 64

State = dict[str, Tensor]
"""Parameters and buffers by state-dict name."""


@dataclass(frozen=True, kw_only=True)
class AdversarialResult:
    """How an adversarial fit went; measurements at its end are None where it diverged."""

    outcome: Outcome
    reason: str
    steps: int
    """How many steps the generator took."""
    seconds: float
    """The seconds of all steps, without the measurements at the end and without steps lost in an
    interruption."""
    rows: Tensor
    """(steps, 3) on the host: the critic's loss, the generator's loss, and the critic's gap on
    its minibatch: mean score of real pictures − mean score of generated ones."""
    average: State
    """The weights of the generator averaged over training."""
    generator: State
    critic: State
    snapshot: tuple[State, State] | None
    """Generator and critic after step `snapshot_at`; None where the fit ended before it."""
    critic_gap: float | None
    """The critic's gap between real pictures and those of the averaged generator, both in
    evaluation mode."""
    frechet: float | None
    """Squared Fréchet distance of the average's pictures from real ones by their pixels."""
    samples: Tensor | None
    """(64, C, H, W) in [0, 1] on the host, from the average; their latents are keyed by the seed
    alone."""


@final
class AdversarialFit(Spec):
    """WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028) as the lottery-image-prior study trained.

    The critic's loss is mean D(fake) − mean D(real) + gradient_penalty · mean (‖∇D(x̂)‖ − 1)² +
    drift · mean D(real)², with x̂ uniform between a real and a generated picture; the generator's is
    −mean D(fake). Drift and the average of the generator are those of Karras et al. 2018 (arXiv
    1710.10196). Networks normalise by batch statistics while they learn.
    """

    steps: Steps = 5600
    """The steps of the generator. The default is the study's 30 epochs over 12000 pictures."""
    batch: Batch = 64
    """Pictures of each kind that a step of either network sees."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """The learning rate of Adam for both networks."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Adam's decay of the mean of gradients, for both networks."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Adam's decay of the mean of squared gradients, for both networks."""
    critic_steps: Annotated[int, Field(ge=1, le=10**4)] = 1
    """Steps of the critic before each step of the generator."""
    gradient_penalty: Annotated[float, Field(ge=0)] = 10.0
    """The weight of the critic's penalty on gradients whose norm is not 1."""
    drift: Annotated[float, Field(ge=0)] = 1e-3
    """The weight of the critic's penalty on outputs for real pictures that are far from 0."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the exponential moving average of the generator's weights and running statistics. At
    step t, from 0, it is at most (1 + t) ÷ (10 + t), so that initial weights are soon forgotten:
    0.99 applies from step 890, 0.999 from 8990. 0 makes the average the generator itself."""
    precision: Precision = "fp32"
    """fp32 is exact; tf32 and bf16 (autocast, but for the gradient penalty) change the numbers."""

    def conflicts(self, count: int) -> Iterator[tuple[str, str]]:
        """Why the fit cannot use `count` pictures: each field and what is wrong with it."""
        if count < 2:
            yield "images", f"must be at least two pictures, got {count}"
        elif self.batch > count:
            yield "batch", f"must be at most {count}, the number of pictures: got {self.batch}"

    def run(
        self,
        generator: GeneratorPrior,
        critic: Network,
        spec: AbstractGenerator,
        images: Tensor,
        mask: Mask,
        critic_mask: Mask | None = None,
        *,
        seed: int,
        level: int,
        on_path: Paths | None = None,
        snapshot_at: int | None = None,
        checkpointer: Checkpointer | None = None,
        callback: Callback = no_callback,
    ) -> AdversarialResult:
        """Fit both networks to `images`, (N, C, H, W) uint8, and leave them as fitted.

        Weights that the masks remove must be zero, and are after every step: in the generator, in
        the critic and in the average. Parameters of the generator on no path from latent to image
        get no gradient, and such scales of batch normalisation are zero from the start, so that the
        network makes in evaluation mode what it made of them in training; `on_path` are the paths
        of `mask`, found here where they are not given.

        Draws are keyed by (seed, purpose, level), so a level reruns alone. With a checkpointer the
        fit resumes from the last checkpoint, to the same bits; a damaged checkpoint is ignored.
        Raises ValueError where it belongs to another fit.
        """
        self._check(spec, images, snapshot_at)
        on_path = on_path or paths(generator.module, mask, (spec.latent_size,))
        networks = _Networks(
            *(self, generator, critic, spec, images, mask, critic_mask, seed, level),
            learning=on_path.parameters,
        )
        with arithmetic(self.precision, networks.device):
            training = _Training(networks, self.steps, snapshot_at, checkpointer, callback)
            reason = training.run()
            networks.end()
            measured = None if reason else networks.measure()
        return training.result(reason, measured)

    def rehearse(
        self,
        generator: GeneratorPrior,
        critic: Network,
        spec: AbstractGenerator,
        images: Tensor,
        mask: Mask,
        critic_mask: Mask | None = None,
        *,
        steps: int,
    ) -> float:
        """The measured seconds of `steps` steps on the device of the networks."""
        self._check(spec, images, None)
        networks = _Networks(
            *(self, generator, critic, spec, images, mask, critic_mask, 0, 0), learning=mask.layers
        )
        with arithmetic(self.precision, networks.device):
            started = time.perf_counter()
            rows = [networks.step(number) for number in range(steps)]
            bool(torch.stack(rows).isfinite().all())  # waits for the device
            return time.perf_counter() - started

    def _check(self, spec: AbstractGenerator, images: Tensor, snapshot_at: int | None) -> None:
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(spec.image_shape):
            raise ValueError(
                f"images must be (N, {', '.join(map(str, spec.image_shape))}) uint8, what the "
                f"generator makes: got {tuple(images.shape)} {images.dtype}"
            )
        for path, message in self.conflicts(len(images)):
            raise ValueError(f"{path} {message}")
        if snapshot_at is not None and not 0 <= snapshot_at <= self.steps:
            raise ValueError(
                f"snapshot_at must be from 0 to {self.steps}, the fit's steps: got {snapshot_at}"
            )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """The measurements at the end of a fit."""

    critic_gap: float
    frechet: float
    samples: Tensor


class _Networks:
    """Generator, critic, the generator's average, their optimizers, and all that is drawn."""

    def __init__(
        self,
        fit: AdversarialFit,
        generator: GeneratorPrior,
        critic: Network,
        spec: AbstractGenerator,
        images: Tensor,
        mask: Mask,
        critic_mask: Mask | None,
        seed: int,
        level: int,
        *,
        learning: Mapping[str, Tensor],
    ) -> None:
        self._fit = fit
        self._spec = spec
        self._draws = {
            purpose: keyed(seed, purpose, level=level)
            for purpose in ("minibatches", "adversarial latents", "interpolates")
        }
        self.generator = generator
        self.critic = critic
        self.average = replace(generator, module=copy.deepcopy(generator.module).eval())
        self.device = next(generator.module.parameters()).device
        self.images = images.to(self.device) if images.nbytes <= RESIDENT_BYTES else images
        self._order = torch.empty(0, dtype=torch.int64)
        self.mask = mask
        self.critic_mask = critic_mask or Mask.dense(critic.prunable())
        self._scales = DeadScales(generator, learning)
        self._mask_generator = GradientMask(generator, learning)
        self._mask_critic = GradientMask(critic, self.critic_mask.layers)
        self._generator_adam = self._adam(generator.module)
        self._critic_adam = self._adam(critic.module)
        self._seed = seed
        self._level = level
        own, new = self.average.module.state_dict(), generator.module.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        self._followers, self._followed = [own[n] for n in floats], [new[n] for n in floats]
        self._counts = [(own[n], new[n]) for n in own if n not in floats]

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        fit = self._fit
        betas = (fit.beta_1, fit.beta_2)
        return torch.optim.Adam(module.parameters(), lr=fit.learning_rate, betas=betas, fused=True)

    def step(self, number: int) -> Tensor:
        """One step of the generator after those of the critic: a row of losses, on the device."""
        self.generator.module.train()
        self.critic.module.train()
        for _ in range(self._fit.critic_steps):
            critic_loss, gap = self._step_critic()
        generator_loss = self._step_generator()
        self._follow(min(self._fit.average, (1 + number) / (10 + number)))
        return torch.stack((critic_loss, generator_loss, gap))

    def _step_critic(self) -> tuple[Tensor, Tensor]:
        fit = self._fit
        real = self._own(self._minibatch())
        with torch.no_grad():
            fake = self._generated()
        real_scores, fake_scores = self._scores(real), self._scores(fake)
        gap = real_scores.mean() - fake_scores.mean()
        loss = -gap
        if fit.drift:
            loss = loss + fit.drift * real_scores.square().mean()
        if fit.gradient_penalty:
            loss = loss + fit.gradient_penalty * self._penalty(real, fake)
        loss.backward()
        self._mask_critic()
        self._critic_adam.step()
        self._critic_adam.zero_grad()
        return loss.detach(), gap.detach()

    def _step_generator(self) -> Tensor:
        loss = -self._scores(self._generated()).mean()
        loss.backward(inputs=list(self.generator.module.parameters()))  # none of the critic's
        self._mask_generator()
        self._generator_adam.step()
        self._generator_adam.zero_grad()
        return loss.detach()

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean squared distance of the gradient's norm from 1, in full precision."""
        share = torch.rand((len(real), 1, 1, 1), generator=self._draws["interpolates"])
        mixed = torch.lerp(fake, real, sent(share, self.device)).requires_grad_()
        scores = self.critic.module(mixed).sum()
        (gradient,) = torch.autograd.grad(scores, mixed, create_graph=True)
        norms: Tensor = gradient.flatten(1).norm(dim=1)
        return (norms - 1).square().mean()

    def _follow(self, decay: float) -> None:
        """Move the average's parameters and running statistics towards the generator's."""
        torch._foreach_lerp_(self._followers, self._followed, 1 - decay)
        for count, new in self._counts:
            count.copy_(new)

    def _minibatch(self) -> Tensor:
        """Pictures in [0, 1]; every picture is used once before any is used again, except for a
        last incomplete batch."""
        if len(self._order) < self._fit.batch:
            self._order = torch.randperm(len(self.images), generator=self._draws["minibatches"])
        chosen, self._order = self._order.tensor_split([self._fit.batch])
        return self._real(chosen)

    def _real(self, chosen: Tensor) -> Tensor:
        pictures = self.images[sent(chosen, self.images.device)]
        return sent(pictures, self.device).float() / 255

    def _generated(self) -> Tensor:
        """A minibatch of generated pictures in the network's own range, in full precision."""
        latents = self._spec.latents(self._fit.batch, self._draws["adversarial latents"])
        with self._autocast():
            pictures: Tensor = self.generator.module(sent(latents, self.device))
        return pictures.float()

    def _scores(self, pictures: Tensor) -> Tensor:
        with self._autocast():
            scores: Tensor = self.critic.module(pictures)
        return scores.float()

    def _autocast(self) -> torch.autocast:
        reduced = self._fit.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=reduced)

    def _own(self, pictures: Tensor) -> Tensor:
        """Pictures in [0, 1], mapped to the range that the generator makes and the critic sees."""
        return pictures * 2 - 1 if self.generator.output == "symmetric" else pictures

    def identity(self) -> dict[str, str]:
        """What this fit depends on before its first step, to recognise its checkpoints."""
        networks = (self.generator, self.critic)
        masks = (self.mask, self.critic_mask)
        return {
            "fit": self._fit.canonical_json(),
            "generator": self._spec.canonical_json(),
            "seed": str(self._seed),
            "level": str(self._level),
            "images": digest([self.images]),
            "masks": digest(layer for mask in masks for layer in mask.layers.values()),
            "initial weights": digest(
                value for network in networks for value in network.module.state_dict().values()
            ),
        }

    def finite(self) -> bool:
        """Whether all weights of the generator are finite; the critic's show in the next loss."""
        return all(bool(weight.isfinite().all()) for weight in self.generator.module.parameters())

    def begin(self) -> None:
        """Set scales on no path to zero, in the generator and in its average."""
        self._scales.silence(self.generator.module)
        self._scales.silence(self.average.module)

    def end(self) -> None:
        """Switch both networks to evaluation mode and check that pruned weights are still zero."""
        self.generator.module.eval()
        self.critic.module.eval()
        check_zeros(self.generator, self.mask)
        check_zeros(self.average, self.mask)
        check_zeros(self.critic, self.critic_mask)

    @torch.no_grad()
    def measure(self) -> _Measured:
        """Measure the averaged generator, with the same pictures and latents at every level."""
        count = min(COMPARED, len(self.images))
        chosen = torch.randperm(len(self.images), generator=keyed(self._seed, "compared pictures"))
        parts = chosen[:count].split(self._fit.batch)
        real, real_scores = self._judged(self._real(part) for part in parts)
        fake, fake_scores = self._judged(self._averages(count, "compared latents"))
        samples = torch.cat([part.cpu() for part in self._averages(SAMPLES, "samples")])
        return _Measured(
            critic_gap=float(real_scores[:JUDGED].mean() - fake_scores[:JUDGED].mean()),
            frechet=frechet(real, fake),
            samples=samples.clamp(0, 1),
        )

    def _averages(self, count: int, purpose: str) -> Iterator[Tensor]:
        """Batches of pictures that the averaged generator makes."""
        latents = self._spec.latents(count, keyed(self._seed, purpose))
        return (self.average(part.to(self.device)) for part in latents.split(self._fit.batch))

    def _judged(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Features and scores of pictures in [0, 1], on the host."""
        features, scores = [], []
        for pictures in batches:
            features.append(pixel_features(pictures).cpu())
            scores.append(self.critic.module(self._own(pictures)).cpu())
        return torch.cat(features), torch.cat(scores)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "generator": self.generator.module.state_dict(),
            "critic": self.critic.module.state_dict(),
            "average": self.average.module.state_dict(),
            "generator_adam": self._generator_adam.state_dict(),
            "critic_adam": self._critic_adam.state_dict(),
            "draws": {name: draws.get_state() for name, draws in self._draws.items()},
            "order": self._order.clone(),  # not what it is a part of
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a `state`."""
        self.generator.module.load_state_dict(state["generator"])
        self.critic.module.load_state_dict(state["critic"])
        self.average.module.load_state_dict(state["average"])
        self._generator_adam.load_state_dict(state["generator_adam"])
        self._critic_adam.load_state_dict(state["critic_adam"])
        for name, draws in self._draws.items():
            draws.set_state(state["draws"][name])
        self._order = state["order"]


class _Training:
    """The steps of a fit, their recorded rows, and their checkpoints."""

    def __init__(
        self,
        networks: _Networks,
        steps: int,
        snapshot_at: int | None,
        checkpointer: Checkpointer | None,
        callback: Callback,
    ) -> None:
        self._networks = networks
        self._snapshot_at = snapshot_at
        self._checkpointer = checkpointer
        self._callback = callback
        self._identity = (
            networks.identity() | {"snapshot_at": str(snapshot_at)} if checkpointer else {}
        )
        self._rows = torch.zeros(steps, 3, device=networks.device)
        self._step = 0
        self._seconds = 0.0
        self._snapshot: tuple[State, State] | None = None

    def run(self) -> str:
        """Take all steps from the last checkpoint on; the reason where they ended early, else
        empty."""
        self._load()
        self._networks.begin()
        saved = time.perf_counter()
        started = saved - self._seconds
        self._take_snapshot()
        self._tell()
        while self._step < len(self._rows):
            self._rows[self._step] = self._networks.step(self._step)
            self._step += 1
            self._take_snapshot()
            self._tell()
            if self._step % INTERVAL == 0 or self._step == len(self._rows):
                reason = self._failure()  # waits for the device,
                self._seconds = time.perf_counter() - started  # so the clock is right
                if reason:
                    return reason
                saved = self._save(saved)
        if self._networks.finite():
            return ""
        return "a weight of the generator was not finite after the last step"

    def result(self, reason: str, measured: _Measured | None) -> AdversarialResult:
        """The result of the steps before the first bad loss."""
        late = self._snapshot_at is not None and self._snapshot_at > self._step
        return AdversarialResult(
            outcome=Outcome.DIVERGED if reason else Outcome.BUDGET,
            reason=reason,
            steps=self._step,
            seconds=self._seconds,
            rows=self._rows[: self._step].cpu(),
            average=self._networks.average.snapshot(),
            generator=self._networks.generator.snapshot(),
            critic=self._networks.critic.snapshot(),
            snapshot=None if late else self._snapshot,
            critic_gap=measured.critic_gap if measured else None,
            frechet=measured.frechet if measured else None,
            samples=measured.samples if measured else None,
        )

    def _tell(self) -> None:
        self._callback(self._step, len(self._rows), unknown)

    def _take_snapshot(self) -> None:
        if self._step == self._snapshot_at and self._snapshot is None:
            self._snapshot = (self._networks.generator.snapshot(), self._networks.critic.snapshot())

    def _failure(self) -> str:
        """The reason where a loss since the last look is not finite, after going back to that
        step."""
        first = (self._step - 1) // INTERVAL * INTERVAL
        bad = (~self._rows[first : self._step, :2].isfinite()).nonzero()
        if not len(bad):
            return ""
        after, column = bad[0].tolist()
        self._step = first + after
        return f"the {('critic', 'generator')[column]}'s loss of step {self._step} was not finite"

    def _save(self, last: float) -> float:
        """Save a checkpoint if it is time to; the time of the last one."""
        if self._checkpointer is None or time.perf_counter() - last < self._checkpointer.interval_s:
            return last
        state = {
            "duel": self._networks.state(),  # checkpoints have this name for it
            "rows": self._rows[: self._step].clone(),
            "seconds": self._seconds,
            "snapshot": self._snapshot,
        }
        self._checkpointer.save(sealed(state, self._identity))
        return time.perf_counter()

    def _load(self) -> None:
        state = unsealed(self._checkpointer.load(), self._identity) if self._checkpointer else None
        if state is None:
            return
        self._networks.restore(state["duel"])
        self._step = len(state["rows"])
        self._rows[: self._step] = state["rows"]
        self._seconds = state["seconds"]
        if state["snapshot"]:
            generator, critic = state["snapshot"]
            self._snapshot = (self._on_device(generator), self._on_device(critic))

    def _on_device(self, state: State) -> State:
        return {name: value.to(self._networks.device) for name, value in state.items()}
