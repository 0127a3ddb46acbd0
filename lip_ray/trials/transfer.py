"""Transfers: the tickets of one ladder, evaluated on another image, task or noise."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeVar, final

from pydantic import TypeAdapter, ValidationError, model_validator

from lip_ray.fits import Discrepancy, Fit
from lip_ray.fits.weights import usual_share
from lip_ray.records import Facets, LevelRecord
from lip_ray.spec import AlwaysSaid
from lip_ray.tasks import AbstractTask, Task
from lip_ray.trials.base import (
    Conflict,
    Description,
    Take,
    refuse_untakeable,
    together,
)
from lip_ray.trials.bench import AbstractRestoration, Bench, Setting, complete_fit, usual_rule
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

INHERITED = ("images", "task", "fit")
"""The fields that are by default those of the source trajectory."""

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
TASK: TypeAdapter[AbstractTask] = TypeAdapter(Task)


@final
class Transfer(AbstractTakeover, AbstractRestoration):
    r"""The tickets of `source`, level by level, fitted anew; level 0 is the dense network.

    Images, task and fit are by default those of the source trajectory. On these, `layer_densities`
    is the layer-wise random baseline of its criterion, and `mask` tells whether the ticket needs
    its weights.

    Of the source's fit, the stopping rule and the share of held-out values are taken over only
    where they differ from those that the source would have by default. Otherwise, and where it is
    the discrepancy principle and another task states no noise, they are the defaults for the
    transfer's own task. A transfer that states a fit of its own takes over nothing of the source's,
    and neither does one of a consensus or of a file, which have no fit.
    """

    kind: Literal["transfer"] = "transfer"
    source: Source
    """The trial that finds the tickets; it runs first, and once. Or a consensus, or a file."""
    images: Images
    """The images that are restored; by default those of the source."""
    task: Task
    """What is restored; by default the task of the source."""
    travels: Travels = "mask_and_weights"
    """mask_and_weights: the mask, and the weights that the source rewinds to; mask: the mask, on
    weights drawn afresh; layer_densities: as many weights in each layer, at random places, on the
    initial weights of this trial's seed, which is by default the source's."""
    take: Take = None
    """The levels of the source that are evaluated, in rising order; by default all."""
    fit: Annotated[Fit, AlwaysSaid()] = Fit()
    """How the weights are fitted; by default as in the source."""
    seed: Seed | None = None
    """The seed of the noise, the latent and all other draws; by default the source's, so that both
    draw the same ones on the same image."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_source(cls, fields: object) -> object:
        """Fill in what is left out from the source, so that the spec is complete by itself."""
        if not isinstance(fields, dict):
            return fields
        source = _understood(SOURCE, fields.get("source"))
        if isinstance(source, Trajectory):
            given = {"images": source.images, "task": source.task} | fields | {"source": source}
            return {"fit": _inherited_fit(source, given["task"])} | given
        wrong = fields.get("source")
        if source is None and isinstance(wrong, dict):  # its mistakes are told, and no others
            return {name: wrong[name] for name in INHERITED if name in wrong} | fields
        return fields | ({"source": source} if source else {})

    @model_validator(mode="after")
    def _completes_the_fit(self) -> Self:
        complete_fit(self, self.source.prior, usual_rule(self.images, self.task))
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

    def counts(self, total: int) -> tuple[int, ...]:
        of_the_source = self.source.counts(total)
        return tuple(of_the_source[level] for level in self.taken)

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


Form = TypeVar("Form")


def _understood(form: TypeAdapter[Form], value: object) -> Form | None:
    """A field in its validated form; None where it is wrong, which its own validation says."""
    try:
        return form.validate_python(value)
    except ValidationError:
        return None


def _inherited_fit(source: Trajectory, task: object) -> Fit:
    """The source's fit, without the rule and the held-out share that the task is to decide."""
    fit, usual = source.fit, usual_rule(source.images, source.task, source.target)
    own = _understood(TASK, task)
    unjudged = own is not None and own != source.task and not own.adds_noise
    left_open = {"stopping"} if fit.stopping == usual else set()
    if isinstance(fit.stopping, Discrepancy) and unjudged:
        left_open.add("stopping")
    if fit.held_out == usual_share(fit.stopping):
        left_open.add("held_out")
    return Fit(**{name: getattr(fit, name) for name in Fit.model_fields if name not in left_open})


def run(spec: Transfer, context: Context) -> Iterator[LevelRecord]:
    """Take over, fit, record: one record per level and image, dense first.

    Levels that the source has no ticket for are recorded as failed.
    """
    bench = Bench(spec.setting, context.device, pictures=context.pictures)
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
