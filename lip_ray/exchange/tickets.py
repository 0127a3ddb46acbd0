"""Tickets between stores, files and people: exported, imported, compared."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor

from lip_ray import __version__, strict_yaml
from lip_ray.mistakes import explained
from lip_ray.priors import AbstractPrior, Checkpoint, Prior, read_checkpoint
from lip_ray.priors.generators import (
    AbstractGenerator,
    Dcgan,
    GeneratorFile,
    GeneratorSpec,
    LayerList,
    Pgan,
)
from lip_ray.pruning import Mask, Overlap, effective, overlap
from lip_ray.records import Outcome
from lip_ray.rng import keyed
from lip_ray.spec import EPOCH, Spec, kind_of
from lip_ray.store import Reader, trial_named
from lip_ray.trials import (
    AnyTrial,
    Classification,
    Context,
    Generator,
    Reconstruction,
    Trajectory,
    Transfer,
    from_json,
    ticketfile,
)
from lip_ray.trials.rewinding import FineTune, Reinit, ToStep
from lip_ray.trials.sources import Source
from lip_ray.trials.ticketfile import Ticket, TicketError

REFERENCE = re.compile(r"([0-9a-f]{4,16})@([0-9]{1,9})")
"""A reference to a ticket: at least four digits of a trial's id, and a level."""
SHOWN = 5
"""The number of layers that a message lists before it only counts them."""
LEFT_DENSE = ("1.0.1.1.weight", "1.1.1.1.weight")
"""Layers that the lottery-image-prior scripts prune in the masks that they save, and nowhere
else."""
LISTING = f"""
select trial_id || '@' || level as ticket, pruner, travels, trials.image as image,
       any_value(density) as density, avg(psnr_selected_db) as psnr_selected_db,
       any_value(effective_density) as effective_density
from levels join trials using (trial_id)
group by trial_id, level, pruner, travels, trials.image
having bool_and(levels.outcome <> '{Outcome.FAILED}') and any_value(kind) <> 'reconstruction'
order by trials.image, pruner, trial_id, level
"""
"""The SQL that lists the tickets of a store; PSNRs are means over the images of a trial."""

Restoring = Trajectory | Transfer | Classification
"""The kinds of trials whose tickets are of untrained priors."""

_CPU = torch.device("cpu")


class _WithPrior(Spec):
    prior: Prior


class _WithGenerator(Spec):
    prior: GeneratorSpec


def is_file(reference: str) -> bool:
    """Whether a reference is the path of a ticket file, rather than TRIAL_ID@LEVEL."""
    return Path(reference).suffix == ticketfile.SUFFIX


def read(path: Path) -> Ticket:
    r"""The ticket in a file, in the order of its network.

    Raises TicketError when the file is missing, holds no ticket, or contradicts the prior it names.
    """
    ticket = ticketfile.read(path)
    if _generator_of(ticket) is not None:
        raise TicketError(
            f"{path} is a generator's ticket, which is for other programs: here it is named by "
            "where it was found, TRIAL_ID@LEVEL"
        )
    return ticketfile.ordered(ticket, _prior_of(ticket))


def write(ticket: Ticket, path: Path) -> None:
    """Write a ticket file. Raises OSError, and TicketError unless its name ends in .safetensors."""
    if not is_file(str(path)):
        raise TicketError(f"a ticket file must end in {ticketfile.SUFFIX}, got {path}")
    ticketfile.write(ticket, path)


def prior_named(text: str) -> AbstractPrior:
    """The prior that YAML describes: `skip`, or `{kind: skip, width: 8}`. Raises TicketError."""
    try:
        return _validated(strict_yaml.parse(text))
    except strict_yaml.YamlError as error:
        raise TicketError(f"prior: {error}") from error


def resolve(store: Reader, reference: str) -> tuple[str, int]:
    r"""The trial's id and the level of `TRIAL_ID@LEVEL`.

    The first digits of an id are enough, at least four, where no other id begins with them. Raises
    TicketError with the alternatives.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise TicketError(
            f"{reference!r} is no ticket: allowed are TRIAL_ID@LEVEL, with at least 4 digits of "
            f"the id, and files that end in {ticketfile.SUFFIX}"
        )
    trial_id, level = trial_named(store, match[1]), int(match[2])
    levels = store.sql(
        f"select level, any_value(outcome) as outcome, any_value(reason) as reason from levels "
        f"where trial_id = '{trial_id}' group by level order by level"
    ).to_pylist()
    found = next((row for row in levels if row["level"] == level), None)
    if found is None:
        there = ", ".join(str(row["level"]) for row in levels) or "none yet"
        raise TicketError(f"trial {trial_id} has no level {level}; levels there are: {there}")
    if found["outcome"] == Outcome.FAILED:
        raise TicketError(f"level {level} of trial {trial_id} has no ticket: {found['reason']}")
    return trial_id, level


def stored_trial(store: Reader, trial_id: str) -> AnyTrial:
    """A trial of the store. Raises TicketError for one that this version does not understand."""
    asked = f"select spec, epoch, lip_ray_version from trials where trial_id = '{trial_id}'"
    (row,) = store.sql(asked).to_pylist()
    if row["epoch"] != EPOCH:
        raise TicketError(
            f"trial {trial_id} is of epoch {row['epoch']} of the defaults, and this lip-ray runs "
            f"trials of epoch {EPOCH}: run its sweep again, or use lip-ray "
            f"{row['lip_ray_version']} as it was when it wrote the trial"
        )
    try:
        return from_json(row["spec"])
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise TicketError(f"the spec of trial {trial_id} cannot be read: {first}") from error


def export(store: Reader, reference: str) -> Ticket:
    r"""The ticket of a level: its mask, and the weights that the level begins with.

    These are stored ones, or drawn again as the trial drew them; for a generator, those at the end
    of the level. Raises TicketError.
    """
    trial_id, level = resolve(store, reference)
    trial = stored_trial(store, trial_id)
    context = Context(device=_CPU, artifacts=store)
    if isinstance(trial, Reconstruction):
        finders = ", ".join(finder.id for finder in trial.source.finders) or "none"
        raise TicketError(
            f"trial {trial_id} is a reconstruction and finds no ticket; its generator's trial: "
            f"{finders}"
        )
    if isinstance(trial, Generator):
        return _of_generator(trial, level, context, store)
    mask = context.mask(_mask_owner(trial).id, level)
    if mask is None:
        raise TicketError(
            f"the mask of level {level} of trial {trial_id} is not in the store"
            + _left_out(store, _mask_owner(trial).id, "masks")
        )
    *_, last = mask.layers.values()
    weights, origin = _begins_with(trial, level, context, channels=len(last))
    described = trial.description
    about = _about(_finder(trial).prior, mask, channels=len(last), weights=origin) | {
        "trial_id": trial_id,
        "level": level,
        "pruner": described.pruner,
        "image": described.image,
        "travels": described.travels,
        "spec": json.loads(trial.canonical_json()),
    }
    return Ticket(about=about, weights=weights, masks=mask.layers)


def _of_generator(trial: Generator, level: int, context: Context, store: Reader) -> Ticket:
    mask, weights = trial.mask(level, context), trial.network(level, context)
    if mask is None or weights is None:
        why = _left_out(store, trial.id, "masks" if mask is None else "networks")
        raise TicketError(f"level {level} of trial {trial.id} has no generator in the store{why}")
    channels, _, _ = trial.image_shape
    about = _about(trial.prior, mask, channels=channels, weights=f"end of level {level}") | {
        "trial_id": trial.id,
        "level": level,
        "pruner": trial.label,
        "image": trial.description.image,
        "travels": None,
        "spec": json.loads(trial.canonical_json()),
    }
    return Ticket(about=about, weights=weights, masks=mask.layers)


def _left_out(store: Reader, trial_id: str, table: str) -> str:
    """What to say where rows of a table were left out; empty where they were not."""
    if table not in store.left_out([trial_id], [table]).get(trial_id, ()):
        return ""
    return f": {table} of trial {trial_id} were left out when it was published"


def imported(
    path: Path,
    prior: AbstractPrior,
    *,
    image_channels: int = 3,
    weights: Path | None = None,
    seed: int | None = None,
) -> Ticket:
    r"""The ticket in a published file; its `about` notes what differs from the original setting.

    The weights are those of the file `weights`, or the initial ones of `seed`; with neither, the
    file's own and, where it has none, those of seed 0. Raises TicketError, and CheckpointError
    where a file is not of this prior.
    """
    if weights and seed is not None:
        raise TicketError("weights are read from a file or drawn by a seed: give one of them")
    found = read_checkpoint(path, prior, image_channels=image_channels)
    values, origin, notes = found.weights, f"of {path.name}", []
    if weights:
        values = read_checkpoint(weights, prior, image_channels=image_channels).weights
        origin = f"of {weights.name}, sha256 {_sha256(weights)}"
        if values is None:
            raise TicketError(f"{weights} holds masks and no weights")
    elif values is None or seed is not None:
        values = _drawn(prior, image_channels, seed or 0)
        origin = f"initial weights of seed {seed or 0}"
        notes.append("the weights are not those that the mask was found with, but drawn here")
    mask = Mask(found.masks)
    notes += _differences(found)
    notes += _emptied(prior, mask, image_channels)
    about = _about(prior, mask, channels=image_channels, weights=origin) | {
        "imported_from": {"name": path.name, "sha256": _sha256(path)},
        "notes": notes,
    }
    return Ticket(about=about, weights=values, masks=mask.layers)


def compare(first: Ticket, second: Ticket) -> pd.DataFrame:
    r"""The overlap of the masks of two tickets, A and B: one row per layer, then totals.

    Chance is the IoU of independent masks with the same counts: counts of the whole network in
    `total`, of every layer in `total by layer`. Raises TicketError where layers differ.
    """
    masks = Mask(first.masks), Mask(second.masks)
    _require_same_layers(*masks)
    found = overlap(*masks)
    rows = [
        _row(layer, "×".join(map(str, mask.shape)), found.layers[layer], mask.numel())
        for layer, mask in masks[0].layers.items()
    ]
    on_a_path = {
        f"effective_density_{side}": _effective_density(ticket)
        for side, ticket in (("a", first), ("b", second))
    }
    totals = {"total": found.total, "total by layer": found.total_by_layer}
    rows += [_row(name, "", one, masks[0].total) | on_a_path for name, one in totals.items()]
    return pd.DataFrame(rows)


def _row(layer: str, shape: str, found: Overlap, weights: int) -> dict[str, Any]:
    return {
        "layer": layer,
        "shape": shape,
        "density_a": found.first / weights,
        "density_b": found.second / weights,
        "iou": found.iou,
        "iou_by_chance": found.chance,
        "iou_over_chance": found.lift,
    }


def _require_same_layers(first: Mask, second: Mask) -> None:
    ours, theirs = ({n: tuple(m.shape) for n, m in mask.layers.items()} for mask in (first, second))
    differing = [
        f"{name} ({_size(ours.get(name))} and {_size(theirs.get(name))})"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        raise TicketError(f"tickets of different networks: {_listed(differing)}")


def _size(shape: tuple[int, ...] | None) -> str:
    return "×".join(map(str, shape)) if shape else "not there"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _effective_density(ticket: Ticket) -> float:
    """Weights on a path from latent to image, divided by all prunable weights."""
    mask = Mask(ticket.masks)
    made_by = _generator_of(ticket)
    if made_by is not None:
        module = made_by.module(keyed(0, "initial weights"))
        return effective(module, mask, (made_by.latent_size,)) / mask.total
    return _on_a_path(_prior_of(ticket), mask, ticket.about["image_channels"]) / mask.total


def _on_a_path(prior: AbstractPrior, mask: Mask, channels: int) -> int:
    """How many weights are on a path from latent to image."""
    shape = (channels, prior.minimum_side, prior.minimum_side)
    module = prior.module(shape, keyed(0, "initial weights"))
    return effective(module, mask, prior.latent_shape(shape))


def _mask_owner(trial: Restoring) -> Spec:
    """The trial that stores the masks; a transfer that takes masks as they are stores none."""
    finder = _finder(trial)
    if isinstance(trial, Trajectory) or not isinstance(finder, Trajectory):
        return trial
    some_levels = isinstance(trial, Transfer) and trial.take is not None
    return trial if some_levels or trial.travels == "layer_densities" else finder


def _finder(trial: Restoring) -> Source:
    """The trajectories or the file that a trial's tickets come from."""
    return trial if isinstance(trial, Trajectory) else trial.source


def _begins_with(
    trial: Restoring, level: int, context: Context, *, channels: int
) -> tuple[Mapping[str, Tensor], str]:
    """The weights that a level begins with, before its mask, and a description of them."""
    if isinstance(trial, Trajectory):
        return _rewound_to(trial, level, context, channels=channels)
    prior, seed = trial.source.prior, trial.seed_used
    if isinstance(trial, Transfer):
        level = trial.taken[level]
    if trial.travels == "mask":
        drawn = _drawn(prior, channels, seed, purpose="fresh initial weights")
        return drawn, f"fresh initial weights of seed {seed}"
    if trial.travels == "mask_and_weights":
        if isinstance(trial.source, Trajectory):
            return _rewound_to(trial.source, level, context, channels=channels)
        stored = trial.source.weights(level, context)
        if stored is not None:
            return stored, f"of the ticket file {trial.source.label}"
        seed = seed if trial.source.seed is None else trial.source.seed
    return _drawn(prior, channels, seed), f"initial weights of seed {seed}"


def _rewound_to(
    trial: Trajectory, level: int, context: Context, *, channels: int
) -> tuple[Mapping[str, Tensor], str]:
    rewind, seed = trial.rewind, trial.seed
    if level and isinstance(rewind, Reinit):
        drawn = _drawn(trial.prior, channels, seed, purpose="fresh initial weights", level=level)
        return drawn, f"fresh initial weights of seed {seed} and level {level}"
    if level and isinstance(rewind, ToStep | FineTune):
        stored = trial.weights(level, context)
        if stored is None:
            raise TicketError(
                f"the weights that level {level} of trial {trial.id} begins with are not stored, "
                "or were left out when the store was published"
            )
        if isinstance(rewind, ToStep):
            return stored, f"step {rewind.step} of the dense fit"
        return stored, f"end of the fit of level {level - 1}"
    return _drawn(trial.prior, channels, seed), f"initial weights of seed {seed}"


def _drawn(
    prior: AbstractPrior,
    channels: int,
    seed: int,
    *,
    purpose: str = "initial weights",
    level: int = 0,
) -> Mapping[str, Tensor]:
    """The weights that a trial draws from the seed; the height and width of images do not change
    them."""
    side = prior.minimum_side
    draws = keyed(seed, purpose, level=level)
    return prior.module((channels, side, side), draws).state_dict()


def _about(prior: Spec, mask: Mask, *, channels: int, weights: str) -> dict[str, Any]:
    return {
        "prior": prior.model_dump(mode="json"),
        "image_channels": channels,
        "kept": mask.kept,
        "total": mask.total,
        "density": mask.density,
        "weights": weights,
        "lip_ray_version": __version__,
    }


def _differences(found: Checkpoint) -> list[str]:
    """Properties of a published file that mean something else in its own scripts than here."""
    notes = []
    if found.masked_elsewhere:
        notes.append(
            f"the file masks {found.masked_elsewhere:,} biases and entries of normalisation too: "
            "here they are never pruned"
        )
    dense = [found.masks[name] for name in LEFT_DENSE if name in found.masks]
    regrown = sum(int((~layer).sum()) for layer in dense)
    if found.of_the_study and regrown:
        notes.append(
            "the lottery-image-prior scripts apply such a mask to all convolutions but 1.0.1.1 and "
            f"1.1.1.1: {regrown:,} of the weights pruned here are fitted there"
        )
    return notes


def _emptied(prior: AbstractPrior, mask: Mask, channels: int) -> list[str]:
    """What a mask has cut off: all of the image, or single layers."""
    notes = []
    if not _on_a_path(prior, mask, channels):
        notes.append("no path leads from the latent to the image: no fit can restore anything")
    empty = [name for name, layer in mask.layers.items() if not layer.any()]
    if empty:
        some = "1 layer has" if len(empty) == 1 else f"{len(empty)} layers have"
        notes.append(f"{some} no weight left: {_listed(empty)}")
    return notes


def _prior_of(ticket: Ticket) -> AbstractPrior:
    return _validated(ticket.about["prior"])


def _generator_of(ticket: Ticket) -> AbstractGenerator | None:
    """The generator of the images, for tickets of a generator."""
    prior = ticket.about["prior"]
    kinds = [kind_of(member) for member in (Dcgan, Pgan, LayerList, GeneratorFile)]
    if not isinstance(prior, dict) or prior.get("kind") not in kinds:
        return None
    return _WithGenerator.model_validate_json(json.dumps({"prior": prior})).prior


def _validated(prior: object) -> AbstractPrior:
    try:
        return _WithPrior.model_validate({"prior": prior}).prior
    except ValidationError as error:
        problems = explained(error, _WithPrior, {"prior": prior})
        raise TicketError("; ".join(map(str, problems))) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
