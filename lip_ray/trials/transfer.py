"""Transfers: the tickets of one ladder, evaluated on another image, task or noise."""

from collections.abc import Iterator
from typing import Any, Literal, Self, final

from pydantic import model_validator

from lip_ray.fits import Fit
from lip_ray.records import Facets, LevelRecord
from lip_ray.tasks import Task
from lip_ray.trials.base import (
    Conflict,
    Description,
    Take,
    refuse_untakeable,
    together,
)
from lip_ray.trials.bench import AbstractRestoration, Bench, Setting, completed_fit
from lip_ray.trials.context import Context
from lip_ray.trials.facets import (
    View,
    at_once,
    fitted_network,
    image_columns,
    in_common,
    measurement_columns,
    part,
    setting_of,
    task_part,
    without,
)
from lip_ray.trials.lacking import (
    ADVERSARIAL,
    CLASSIFIED,
    OF_LATENTS,
    of_other_kinds,
    uncomparable,
)
from lip_ray.trials.origin import Origin, elsewhere
from lip_ray.trials.recording import reset_peak_memory, with_found
from lip_ray.trials.sources import Source
from lip_ray.trials.takeover import (
    AbstractTakeover,
    Travels,
    keeps_source_masks,
    source_conflicts,
    start,
    transferred_masks,
)
from lip_ray.trials.trajectory import Images, Seed, Trajectory

OF_THE_TASK = ("stopping", "held_out")
"""The fields of a fit whose defaults depend on the task."""


@final
class Transfer(AbstractTakeover, AbstractRestoration):
    r"""The tickets of `source`, level by level, fitted anew; level 0 is the dense network.

    Images, task and fit are by default those of the source trajectory. On these, `layer_densities`
    is the layer-wise random baseline of its criterion, and `mask` tells whether the ticket needs
    its weights.
    """

    kind: Literal["transfer"] = "transfer"
    source: Source
    images: Images
    task: Task
    travels: Travels = "mask_and_weights"
    """mask_and_weights: the mask, and the weights that the source rewinds to; mask: the mask, on
    weights drawn afresh; layer_densities: as many weights in each layer, at random places, on the
    initial weights of this trial's seed, which is by default the source's."""
    take: Take = None
    """The levels of the source that are evaluated, in rising order; by default all."""
    fit: Fit = Fit()
    seed: Seed | None = None
    """The seed of the noise, the latent and all other draws; by default the source's, so that both
    draw the same ones on the same image."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_source(cls, fields: object) -> object:
        """Fill in what is left out from the source, so that the spec is complete by itself."""
        source = fields.get("source") if isinstance(fields, dict) else None
        if isinstance(source, Trajectory):
            source = source.model_dump(mode="json")
        if not isinstance(fields, dict) or not isinstance(source, dict):
            return fields
        found = {name: source[name] for name in ("images", "task", "fit") if name in source}
        if "task" in fields and "fit" in found:  # it says itself by what its fits are judged
            found["fit"] = without(found["fit"], *OF_THE_TASK)
        return found | fields

    @model_validator(mode="after")
    def _completes_the_fit(self) -> Self:
        fit = completed_fit(self.fit, self.source.prior, self.images, self.task)
        self.__dict__["fit"] = fit  # the trial, which is still being validated, is frozen
        return self

    @model_validator(mode="after")
    def _takes_what_there_is(self) -> Self:
        refuse_untakeable(self.take, self.source.levels)
        return self

    @property
    def taken(self) -> tuple[int, ...]:
        """For each level of this trial, the level of the source that it evaluates."""
        return tuple(range(self.source.levels)) if self.take is None else self.take

    @property
    def levels(self) -> int:
        return len(self.taken)

    @property
    def steps(self) -> int:
        return self.fit.steps

    @property
    def description(self) -> Description:
        return Description(
            pruner=self.source.label,
            prior=self.source.prior.kind,
            task=self.task.kind,
            image=together(self.images),
            travels=self.travels,
        )

    def facets(self) -> Facets:
        """The facets; what it has in common with its source is given once."""
        origin = Origin(source=self.source, travels=self.travels, seed=self.seed)
        whence = origin.whence(self.images, self.task) + origin.of_seed
        shared, protocol = at_once(self.images), origin.protocol
        return Facets(
            setting=setting_of(self),
            **image_columns(self.images),
            **origin.columns(),
            task=task_part(self.task),
            network=fitted_network(self.source.prior, self.fit),
            method=part(
                self.source.label + whence + origin.how(whence) + shared + protocol,
                lambda view: origin.method(view, self._here(view)) | in_common(view, self.images),
            ),
            dense=origin.dense(self.images),
            finder=part(
                self.source.label + shared + protocol,
                lambda view: origin.finder(view, self._here(view)) | in_common(view, self.images),
            ),
            source=part(origin.place_name(whence), origin.place),
            owns_masks=not keeps_source_masks(self),
            **measurement_columns(self.task),
        )

    def _here(self, view: View) -> dict[str, Any]:
        return elsewhere(view, images=self.images, task=self.task, fit=self.fit)

    @property
    def setting(self) -> Setting:
        return Setting(
            trial_id=self.id,
            images=self.images,
            task=self.task,
            prior=self.source.prior,
            fit=self.fit,
            seed=self.seed_used,
        )

    def lacks(self) -> dict[str, str]:
        """Accuracies, numbers of generators, and what cannot be compared with a clean image."""
        others = of_other_kinds(self.kind, *CLASSIFIED, *ADVERSARIAL, *OF_LATENTS)
        return uncomparable(self.images, self.task) | others

    def conflicts(self) -> Iterator[Conflict]:
        """Find what does not go together. Reads images and ticket files; fits nothing."""
        wrong = list(source_conflicts(self.source, self.seed, self.travels))
        yield from wrong
        found = self.setting.conflicts()
        yield from found
        if not wrong and not found:
            ours, theirs = self.setting.shape[0], self.source.channels()
            if ours != theirs:
                yield (
                    "images",
                    f"the tickets make images of {theirs} channels, {self.images[0].label} has "
                    f"{ours}: set its channels",
                )


def run(spec: Transfer, context: Context) -> Iterator[LevelRecord]:
    """Take over, fit, record: one record per level and image, dense first.

    Levels that the source has no ticket for are recorded as failed.
    """
    bench = Bench(spec.setting, context.device)
    masks = transferred_masks(spec, spec.source.masks(context, bench.dense))
    for level, there in list(enumerate(spec.taken))[context.first_level :]:
        reset_peak_memory(context.device)
        if there >= len(masks):
            kept = spec.source.counts(bench.dense.total)[there]
            yield from bench.failed(level, kept, "the source has no ticket of this level")
            continue
        mask = masks[there]
        begin, callback = start(spec, there, bench, context), context.callback(spec.id, level)
        results = bench.fit(there, begin, mask, callback=callback)
        new = {} if spec.take is None and keeps_source_masks(spec) else {level: mask}
        yield from with_found(bench.records(level, mask, results), masks=new)
