"""The fit of a classifier whose body is a prior's network: gradient descent by epochs."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from lip_ray.data.labelled import Labelled, Split
from lip_ray.fits.numerics import DeadScales, GradientMask, Precision, arithmetic, check_zeros
from lip_ray.fits.progress import Callback, no_callback, unknown
from lip_ray.fits.sending import sent
from lip_ray.priors import UntrainedPrior
from lip_ray.pruning import Mask, Paths, paths
from lip_ray.records import Outcome
from lip_ray.rng import keyed
from lip_ray.spec import Spec


class Classifier(nn.Module):
    """(N, c, h, w) pictures in [0, 1] → (N, classes) logits, by a body and a linear head.

    The body is the network of an untrained prior, with a picture where the latent would be. The
    picture is resized to `side` pixels and its channels are repeated cyclically until they are as
    many as the latent's: so every mask fits exactly and no layer is left dense, whereas published
    code replaced the first convolutions by dense ones. The sigmoid that ends the prior is left
    out: without parameters, it fits no mask, and it would make all features positive and shrink
    their gradients fourfold at least. The head sees the flattened output; nothing follows it.
    """

    channels: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        latent_channels: int,
        picture_channels: int,
        output_channels: int,
        side: int,
        classes: int,
        draws: torch.Generator,
    ) -> None:
        """Takes the sigmoid out of `body`; the head's weights are drawn as PyTorch would."""
        super().__init__()
        for name, layer in body.named_children():
            if isinstance(layer, nn.Sigmoid):
                setattr(body, name, nn.Identity())
        self.body = body
        self.side = side
        features = output_channels * side**2
        self.head = nn.utils.skip_init(nn.Linear, features, classes)
        for parameter in self.head.parameters():
            nn.init.uniform_(parameter, -(features**-0.5), features**-0.5, generator=draws)
        repeated = torch.arange(latent_channels) % picture_channels
        self.register_buffer("channels", repeated, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits of the pictures, (N, classes)."""
        if pictures.shape[-2:] != (self.side, self.side):
            pictures = F.interpolate(
                pictures, (self.side, self.side), mode="bilinear", antialias=True
            )
        logits: Tensor = self.head(self.body(pictures[:, self.channels]).flatten(1))
        return logits

    @property
    def body_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the body's input."""
        return (len(self.channels), self.side, self.side)

    def forget_statistics(self) -> None:
        """Reset the running statistics, as those of a latent do not describe pictures."""
        for layer in self.body.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """How the fit of a classifier went."""

    outcome: Outcome
    reason: str = ""
    steps: int = 0
    seconds: float = 0.0
    """The seconds of all epochs. The test set is evaluated afterwards."""
    ends: tuple[int, ...] = ()
    """The last step of each epoch."""
    losses: tuple[float, ...] = ()
    """Cross-entropy in nats, means over the steps of each epoch."""
    errors: tuple[float, ...] = ()
    """Shares of the validation set in [0, 1] that are wrong after each epoch."""
    chosen: int | None = None
    """The first epoch with the least validation error; None where not even the first one ended."""
    accuracy: float | None = None
    """Accuracy on the test set, in [0, 1], after the chosen epoch."""
    accuracy_final: float | None = None
    """Accuracy on the test set after the last epoch; None where the fit diverged."""


Epochs = Annotated[int, Field(ge=1, le=10**5)]


@final
class EpochFit(Spec):
    """Stochastic gradient descent on the cross-entropy of logits; nothing is augmented.

    The defaults are those of the lottery-image-prior study for CIFAR-10. Normalisation is by batch
    statistics while learning and by running statistics where accuracy is measured.
    """

    epochs: Epochs = 182
    """How often every training picture is seen."""
    batch: Annotated[int, Field(ge=2, le=2**16)] = 256
    """The most pictures per step. An epoch has as few batches as that allows, nearly equal in
    size."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """The learning rate of the first epochs."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """The share of the last step that the next one keeps."""
    weight_decay: Annotated[float, Field(ge=0)] = 2e-4
    """The weight decay of all parameters, added to their gradients."""
    milestones: Annotated[tuple[Epochs, ...], Field(strict=False)] = (91, 136)
    """The epochs after which the learning rate is multiplied by `decay`; later ones than the fit
    has do nothing."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the learning rate is multiplied by after each of the `milestones`."""
    precision: Precision = "fp32"
    """fp32 is exact; tf32 and bf16 (autocast) change the numbers."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")
        return self

    def batches(self, pictures: int) -> int:
        """The number of batches of one epoch over `count` pictures."""
        return -(-pictures // self.batch)

    def run(
        self,
        classifier: Classifier,
        mask: Mask,
        split: Split,
        *,
        seed: int,
        level: int,
        on_path: Paths | None = None,
        callback: Callback = no_callback,
    ) -> EpochResult:
        r"""Fit all parameters; pruned weights of the body are zero after every step.

        Parameters of the body on no path from picture to head get no gradient, so weight decay
        alone moves them; `on_path` are the paths of `mask`, found here where they are not given.
        The order of the pictures is keyed by (seed, "shuffle", level). The host waits for the
        device once per epoch. The test set is evaluated after all epochs, so that it changes
        neither the weights nor the choice of the epoch.
        """
        device = next(classifier.parameters()).device
        on_path = on_path or paths(classifier.body, mask, classifier.body_shape)
        loop = _Training(self, classifier, mask, on_path.parameters)
        with arithmetic(self.precision, device), loop.scales.silent(classifier.body):
            return loop.run(split.to(device), seed=seed, level=level, callback=callback)

    def rehearse(self, classifier: Classifier, mask: Mask, split: Split, *, steps: int) -> float:
        """The measured seconds of `steps` steps on the device of the classifier."""
        device = next(classifier.parameters()).device
        training = split.training.to(device)
        with arithmetic(self.precision, device):
            loop = _Training(self, classifier, mask)
            started, done = time.perf_counter(), 0
            while done < steps:
                epoch = loop.epoch(training, torch.arange(len(training)))
                losses = list(islice(epoch, steps - done))
                done += len(losses)
            bool(losses[-1].isfinite())  # waits for the device
            return time.perf_counter() - started


class _Training:
    """A classifier and its optimizer during training."""

    def __init__(
        self,
        fit: EpochFit,
        classifier: Classifier,
        mask: Mask,
        learning: Mapping[str, Tensor] | None = None,
    ) -> None:
        """`learning` says, by parameter, what learns; by default all that `mask` keeps."""
        self._fit = fit
        self._classifier = classifier
        self._mask = mask
        self._body = UntrainedPrior(classifier.body, torch.empty(0))
        learning = mask.layers if learning is None else learning
        self._apply_mask = GradientMask(self._body, learning)
        self.scales = DeadScales(self._body, learning)
        self._optimizer = torch.optim.SGD(
            classifier.parameters(),
            lr=fit.learning_rate,
            momentum=fit.momentum,
            weight_decay=fit.weight_decay,
            fused=True,
        )

    def run(self, split: Split, *, seed: int, level: int, callback: Callback) -> EpochResult:
        """Train all epochs, then evaluate the test set."""
        shuffle = keyed(seed, "shuffle", level=level)
        batches = self._fit.batches(len(split.training))
        losses: list[float] = []
        errors: list[float] = []
        best: dict[str, Tensor] = {}
        reason, steps = "", self._fit.epochs * batches
        started = time.perf_counter()
        callback(0, steps, unknown)
        for epoch in range(self._fit.epochs):
            passed = sum(milestone <= epoch for milestone in self._fit.milestones)
            for group in self._optimizer.param_groups:
                group["lr"] = self._fit.learning_rate * self._fit.decay**passed
            order = torch.randperm(len(split.training), generator=shuffle)
            taken = []
            for loss in self.epoch(split.training, order):
                taken.append(loss)
                callback(epoch * batches + len(taken), steps, unknown)
            right = self._right(split.validation)
            read = torch.cat((torch.stack(taken).double(), right.double()[None])).cpu()
            found = read[:-1]
            if not bool(found.isfinite().all()):
                steps = epoch * batches + int((~found.isfinite()).nonzero()[0])
                reason = f"the loss of step {steps} was not finite"
                break
            error = 1 - float(read[-1]) / len(split.validation)
            if not errors or error < min(errors):
                best = {n: value.clone() for n, value in self._classifier.state_dict().items()}
            losses.append(float(found.mean()))
            errors.append(error)
        seconds = time.perf_counter() - started
        check_zeros(self._body, self._mask)
        final = None if reason else self.accuracy(split.test)
        if best:
            self._classifier.load_state_dict(best)
            check_zeros(self._body, self._mask)
        return EpochResult(
            outcome=Outcome.DIVERGED if reason else Outcome.BUDGET,
            reason=reason,
            steps=steps,
            seconds=seconds,
            ends=tuple((epoch + 1) * batches - 1 for epoch in range(len(losses))),
            losses=tuple(losses),
            errors=tuple(errors),
            chosen=errors.index(min(errors)) if errors else None,
            accuracy=self.accuracy(split.test) if best else None,
            accuracy_final=final,
        )

    def epoch(self, training: Labelled, order: Tensor) -> Iterator[Tensor]:
        """Take one step per batch; the loss of each step, on the device."""
        self._classifier.train()
        order = sent(order, training.labels.device)
        for chosen in order.tensor_split(self._fit.batches(len(order))):
            batch = training[chosen]
            loss = F.cross_entropy(self._logits(batch), batch.labels)
            loss.backward()
            self._apply_mask()
            self._optimizer.step()
            self._optimizer.zero_grad()
            yield loss.detach()

    def accuracy(self, held_out: Labelled) -> float:
        """The share of pictures in [0, 1] that is classified correctly. Waits for the device."""
        return float(self._right(held_out)) / len(held_out)

    @torch.no_grad()
    def _right(self, held_out: Labelled) -> Tensor:
        """How many pictures are classified correctly with running statistics, a scalar on the
        device; logits that are not finite count as wrong."""
        self._classifier.eval()
        device = held_out.labels.device
        count = torch.zeros((), dtype=torch.int64, device=device)
        for chosen in torch.arange(len(held_out), device=device).split(self._fit.batch):
            batch = held_out[chosen]
            logits = self._logits(batch)
            count += ((logits.argmax(1) == batch.labels) & logits.isfinite().all(1)).sum()
        return count

    def _logits(self, batch: Labelled) -> Tensor:
        """The logits in float32, whatever precision the network computes in."""
        reduced = self._fit.precision == "bf16"
        with torch.autocast(batch.labels.device.type, torch.bfloat16, enabled=reduced):
            logits: Tensor = self._classifier(batch.values)
        return logits.float()
