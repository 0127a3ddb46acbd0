"""Classification trials: the tickets of one ladder become the bodies of image classifiers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.data.labelled import Dataset, Split
from lip_ray.fits import Callback
from lip_ray.fits.classifier import Classifier, EpochFit, EpochResult
from lip_ray.priors import UntrainedPrior
from lip_ray.priors.base import LAYOUTS
from lip_ray.priors.network import step_macs
from lip_ray.pruning import Mask, PathFinder
from lip_ray.records import Curve, Facets, LevelRecord, Outcome
from lip_ray.rng import keyed
from lip_ray.trials.base import Conflict, Description, Size
from lip_ray.trials.context import Context
from lip_ray.trials.facets import View, chosen, image_columns, network_part, part, setting_of
from lip_ray.trials.lacking import ADVERSARIAL, COMPARED, of_other_kinds
from lip_ray.trials.origin import Origin
from lip_ray.trials.recording import identity_columns, machine_columns, reset_peak_memory
from lip_ray.trials.sources import Source
from lip_ray.trials.takeover import (
    AbstractTakeover,
    Travels,
    keeps_source_masks,
    source_conflicts,
    start,
    transferred_masks,
)
from lip_ray.trials.trajectory import Seed


@final
class Classification(AbstractTakeover):
    """The tickets of `source`, level by level, learn to classify; level 0 is the dense network.

    The network takes pictures in place of its latent, a linear head reads its output, and
    accuracy is measured on a test set that chooses nothing. It is the high-level task of the
    lottery-image-prior study, which pruned a classifier anew; no image prior's ticket was ever
    tried there.
    """

    kind: Literal["classification"] = "classification"
    source: Source
    """The trial that finds the tickets; it runs first, and once. Or a consensus, or a file."""
    dataset: Dataset
    """The labelled pictures that are learned."""
    side: Annotated[int, Field(ge=2, le=4096)] | None = None
    """Height and width in pixels of the pictures that the network gets; by default the smallest
    multiple of their own that it takes. Published: 50 for CIFAR-10."""
    travels: Travels = "mask_and_weights"
    """mask_and_weights: the mask, and the weights that the source rewinds to; mask: the mask, on
    weights drawn afresh; layer_densities: as many weights in each layer, at random places, on
    weights of its own seed. The head is drawn, and the same for all of them."""
    fit: EpochFit = EpochFit()
    """How the network and its head learn."""
    seed: Seed | None = None
    """The seed of the head, the validation set, the order of the pictures and all other draws; by
    default the source's."""

    @property
    def levels(self) -> int:
        return self.source.levels

    @property
    def steps(self) -> int:
        """The steps of all epochs together."""
        return self.fit.epochs * self.fit.batches(len(self._split.training))

    @property
    def description(self) -> Description:
        """The names of its parts in tables, with the dataset in place of an image."""
        return Description(
            pruner=self.source.label,
            prior=self.source.prior.kind,
            task=self.kind,
            image=self.dataset.label,
            travels=self.travels,
        )

    def facets(self) -> Facets:
        r"""The facets, with the dataset in place of an image.

        The method is where and how the tickets were found; the dense network is the same for all.
        """
        origin = Origin(source=self.source, travels=self.travels, seed=self.seed)
        label = self.source.label
        return Facets(
            setting=setting_of(self),
            **image_columns([self.dataset]),
            **origin.columns(),
            task=part(self.kind, lambda view: {}),
            network=network_part(self.source.prior.kind, self._network),
            method=part(label, lambda view: origin.method(view, elsewhere={})),
            finder=part(label + origin.protocol, lambda view: origin.finder(view, elsewhere={})),
            source=part(origin.place_name(origin.whence((), None)), origin.place),
        )

    def _network(self, view: View) -> dict[str, Any]:
        return {"prior": view(self.source.prior)} | chosen(view, self, ("fit", "side"))

    @property
    def side_used(self) -> int:
        """`side`, or by default the smallest multiple of the pictures' own side that the network
        takes."""
        if self.side is not None:
            return self.side
        own = self.dataset.shape[1]
        return own * -(-self.source.prior.minimum_side // own)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the body's output for one picture."""
        return self.source.channels(), self.side_used, self.side_used

    @property
    def size(self) -> Size:
        """Parameters of body and head; a step is one batch of `fit.batch` pictures."""
        classifier = self.classifier(torch.Generator()).eval()
        no_picture = torch.empty(0, *self.dataset.shape)
        return Size(
            parameters=sum(parameter.numel() for parameter in classifier.parameters()),
            macs_per_step=self.fit.batch * step_macs(classifier, no_picture),
        )

    @property
    def rehearsal(self) -> str:
        channels, side, _ = self.image_shape
        return f"{self.kind} {self.dataset.label} {channels}×{side} {self.source.prior.id} " + (
            f"{self.fit.batch} {self.fit.precision}"
        )

    def rehearse(self, steps: int, *, device: torch.device) -> float:
        """The measured seconds of `steps` steps of the dense network; accuracy is not measured."""
        bench = ClassifierBench(self, device)
        bench.rewind(bench.initial, bench.dense)
        return self.fit.rehearse(bench.classifier, bench.dense, self._split, steps=steps)

    def classifier(self, draws: torch.Generator) -> Classifier:
        """Body and head on the CPU, with all weights drawn from `draws`."""
        prior = self.source.prior
        channels, side, _ = self.image_shape
        return Classifier(
            prior.module(self.image_shape, draws),
            latent_channels=prior.latent_shape(self.image_shape)[0],
            picture_channels=self.dataset.shape[0],
            output_channels=channels,
            side=side,
            classes=self.dataset.classes,
            draws=draws,
        )

    def lacks(self) -> dict[str, str]:
        """All comparisons of images, numbers of generators, and multiply-adds."""
        return of_other_kinds(self.kind, *COMPARED, *ADVERSARIAL, "macs")

    def conflicts(self) -> Iterator[Conflict]:
        """Find what does not go together. Reads the dataset, the source's images and ticket
        files."""
        wrong = list(source_conflicts(self.source, self.seed, self.travels))
        yield from wrong
        try:
            self.dataset.split(self.seed_used)
        except ValueError as error:
            yield "dataset", str(error)
        least = self.source.prior.minimum_side
        if self.side_used < least:
            yield "side", f"must be at least {least} for this prior, got {self.side_used}"
        elif not wrong:
            yield from self._misfits()

    def _misfits(self) -> Iterator[Conflict]:
        """Why a picture cannot take the place of the latent, if it cannot."""
        latent_channels, *sides = self.source.prior.latent_shape(self.image_shape)
        if sides != [self.side_used] * 2:
            yield (
                "source",
                f"the latent of {self.source.prior.kind} is smaller than what it makes, so no "
                "picture can take its place: allowed are priors whose latent is as large as the "
                "image, such as skip and oes_unet",
            )
        elif latent_channels < self.dataset.shape[0]:
            yield (
                "source",
                f"the network takes {latent_channels} channels and the pictures of "
                f"{self.dataset.label} have {self.dataset.shape[0]}: allowed are priors of at "
                "least as many input_channels",
            )

    @property
    def _split(self) -> Split:
        return self.dataset.split(self.seed_used)


def run(spec: Classification, context: Context) -> Iterator[LevelRecord]:
    """Take over, learn, record: one record per level, dense first.

    Levels that the source has no ticket for are recorded as failed.
    """
    bench = ClassifierBench(spec, context.device)
    masks = transferred_masks(spec, spec.source.masks(context, bench.dense))
    for level in range(context.first_level, spec.levels):
        reset_peak_memory(context.device)
        if level >= len(masks):
            yield bench.failed(level, spec.source.counts(bench.dense.total)[level])
            continue
        mask = masks[level]
        begin, callback = start(spec, level, bench, context), context.callback(spec.id, level)
        result = bench.fit(level, begin, mask, callback)
        new = {} if keeps_source_masks(spec) else {level: mask}
        yield bench.record(level, mask, result, masks=new)


class ClassifierBench:
    """The classifier and the pictures of a trial, on a device."""

    def __init__(self, spec: Classification, device: torch.device) -> None:
        self._spec = spec
        self._split = spec.dataset.split(spec.seed_used).to(device)
        self.device = device
        self.classifier = spec.classifier(keyed(spec.seed_used, "classifier"))
        layout = LAYOUTS.get(device.type, torch.contiguous_format)
        self.classifier.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self._body = UntrainedPrior(self.classifier.body, torch.empty(0))
        self._head = {n: w.clone() for n, w in self.classifier.head.state_dict().items()}
        self.dense = Mask.dense(self._body.prunable())
        self._on_path = PathFinder(self.classifier.body, self._smallest)

    @property
    def initial(self) -> dict[str, Tensor]:
        """The body's initial weights of the trial's own seed."""
        return self.drawn(self._spec.seed_used)

    def drawn(self, seed: int) -> dict[str, Tensor]:
        """The body's initial weights of a seed, which are those that a fit of images draws."""
        return self._drawn(keyed(seed, "initial weights"))

    def fresh(self, seed: int) -> dict[str, Tensor]:
        """Weights of the same distribution as the initial ones, keyed apart from them."""
        return self._drawn(keyed(seed, "fresh initial weights"))

    def _drawn(self, draws: torch.Generator) -> dict[str, Tensor]:
        module = self._spec.source.prior.module(self._spec.image_shape, draws)
        return {name: value.to(self.device) for name, value in module.state_dict().items()}

    def rewind(self, weights: Mapping[str, Tensor], mask: Mask) -> None:
        """Set the body to `weights` times `mask`, and the head to its initial weights."""
        self._body.rewind(weights, mask.layers)
        self.classifier.forget_statistics()
        self.classifier.head.load_state_dict(self._head)

    def fit(
        self, level: int, weights: Mapping[str, Tensor], mask: Mask, callback: Callback
    ) -> EpochResult:
        """Train from these weights. Without a path from picture to head the result is collapsed."""
        self.rewind(weights, mask)
        on_path = self._on_path(mask)
        if on_path.effective == 0:
            return self._collapsed()
        return self._spec.fit.run(
            self.classifier,
            mask,
            self._split,
            seed=self._spec.seed_used,
            level=level,
            on_path=on_path,
            callback=callback,
        )

    def effective(self, mask: Mask) -> int:
        """The number of kept weights on a path from the picture to the head."""
        return self._on_path(mask).effective

    @property
    def _smallest(self) -> tuple[int, int, int]:
        """The shape of the smallest input that the body takes, (C, h, w)."""
        prior = self._spec.source.prior
        side = prior.minimum_side
        return prior.latent_shape((self._spec.image_shape[0], side, side))

    def _collapsed(self) -> EpochResult:
        """The result without a path: only biases reach the head, so it predicts the most frequent
        class of the training set."""
        guess = self._split.training.labels.bincount().argmax()
        accuracy = float((self._split.test.labels == guess).double().mean())
        return EpochResult(
            outcome=Outcome.COLLAPSED,
            reason="no path from picture to head is left, so every picture gets the most frequent "
            "class of the training set: it is not fitted",
            accuracy=accuracy,
            accuracy_final=accuracy,
        )

    def record(
        self, level: int, mask: Mask, result: EpochResult, *, masks: Mapping[int, Mask]
    ) -> LevelRecord:
        r"""The row of a level.

        Its curve has one entry per epoch: the loss and, as the statistic, the validation error,
        whose minimum chooses the epoch.
        """
        chosen = result.chosen
        return LevelRecord(
            **self._identity(level, mask.kept),
            effective=self.effective(mask),
            selected_step=result.ends[chosen] if chosen is not None else None,
            steps=result.steps,
            loss_final=result.losses[-1] if result.losses else None,
            accuracy=result.accuracy,
            accuracy_final=result.accuracy_final,
            outcome=result.outcome,
            reason=result.reason,
            fit_s=result.seconds,
            masks={level: mask.to_rows() for level, mask in masks.items()},
            curve=_curve(result) if result.ends else None,
            **machine_columns(self.device),
        )

    def failed(self, level: int, kept: int) -> LevelRecord:
        """The row of a level that has no ticket, with the reason."""
        return LevelRecord(
            **self._identity(level, kept),
            effective=None,
            outcome=Outcome.FAILED,
            reason="the source has no ticket of this level",
            **machine_columns(self.device),
        )

    def _identity(self, level: int, kept: int) -> dict[str, Any]:
        everything = sum(parameter.numel() for parameter in self.classifier.parameters())
        total = self.dense.total
        counted = identity_columns(
            self._spec.id, level, kept=kept, total=total, unpruned=everything - total
        )
        return counted | {"image": self._spec.dataset.label}


def _curve(result: EpochResult) -> Curve:
    return Curve(
        step=result.ends,
        loss=result.losses,
        psnr_raw_db=(),
        psnr_db=(),
        statistic=result.errors,
    )
