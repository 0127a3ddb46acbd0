"""Published masks and weights, read as tickets of a prior."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lip_ray.priors.base import AbstractPrior, UntrainedPrior
from lip_ray.priors.saved import CheckpointError, dense, state_in, with_counters
from lip_ray.priors.shapes import Shapes, misfits, shapes

MASK, BEFORE_MASK = "_mask", "_orig"
"""How torch.nn.utils.prune ends the names of a mask and of what it masks."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The masks and weights that a file holds for one prior, on the CPU."""

    masks: Mapping[str, Tensor]
    """Boolean masks of all prunable weights, True where a weight is kept, by state-dict name."""
    weights: Mapping[str, Tensor] | None
    """The whole state dict, where the file has one; pruned weights have the file's values."""
    masked_elsewhere: int
    """The number of entries of biases and normalisation that the file masks too; they are never
    pruned here."""
    of_the_study: bool = False
    """Whether it has the form in which the lottery-image-prior scripts save masks."""


def read_checkpoint(path: Path, prior: AbstractPrior, *, image_channels: int = 3) -> Checkpoint:
    r"""The masks, and weights if there are any, that a published file holds for this prior.

    Files of torch.save or safetensors, or pickled tensors from any device, that hold one of these:
    `<convolution>.weight_mask` for every convolution (the lottery-image-prior scripts, which leave
    two convolutions unmasked where they apply it); `<convolution>.weight` with zeros and ones only
    (open_lth); one flat mask over all parameters in order, biases and normalisation included
    (Optimal Eye Surgeon); a state dict (Deep Image Prior), which keeps what is not zero, or that of
    a network pruned by torch.nn.utils.prune. State dicts may lie in a wrapper, have a prefix before
    all names, lack counters of batches, and be sparse. Nothing but tensors is ever made of any.

    Raises CheckpointError, a ValueError, where the file wants more than that, where layers or
    shapes are not the prior's (it names them), where a number is not finite, or where no weight is
    kept.
    """
    with torch.device("meta"):
        module = prior.network(image_channels)
    needed = "masks are a dense tensor or a mapping,"
    try:
        content = state_in(path, needed=needed, expected=module.state_dict())
        found = _understood(content, module)
        if not any(bool(mask.any()) for mask in found.masks.values()):
            total = sum(mask.numel() for mask in found.masks.values())
            raise CheckpointError(f"it keeps none of the {total:,} weights")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return found


def _understood(content: object, module: nn.Module) -> Checkpoint:
    if isinstance(content, Tensor):
        return _of_flat_mask(content, module)
    assert isinstance(content, Mapping)
    if all(name.endswith(MASK) for name in content):
        masks = {name.removesuffix(MASK): mask for name, mask in content.items()}
        return replace(_of_masks(masks, module), of_the_study=True)
    if _are_masks(content, module):
        return _of_masks(content, module)
    return _of_state_dict(content, module)


def _are_masks(named: Mapping[str, Tensor], module: nn.Module) -> bool:
    """Whether the tensors, under the names of weights, are masks: zeros and ones without more."""
    parameters = dict(module.named_parameters())
    return shapes(named).items() <= shapes(parameters).items() and all(
        bool(((mask == 0) | (mask == 1)).all()) for mask in (dense(*item) for item in named.items())
    )


def _of_flat_mask(flat: Tensor, module: nn.Module) -> Checkpoint:
    parameters = dict(module.named_parameters())
    counts = [parameter.numel() for parameter in parameters.values()]
    if flat.numel() != sum(counts):
        raise CheckpointError(
            f"a flat mask of this prior has one entry for each of its {sum(counts):,} parameters, "
            f"this one has {flat.numel():,}"
        )
    parts = {
        name: part.view(parameter.shape)
        for (name, parameter), part in zip(
            parameters.items(), flat.reshape(-1).split(counts), strict=True
        )
    }
    prunable = _prunable(module)
    elsewhere = [_binary(name, part) for name, part in parts.items() if name not in prunable]
    return Checkpoint(
        masks=_checked({name: parts[name] for name in prunable}, module),
        weights=None,
        masked_elsewhere=sum(int((~part).sum()) for part in elsewhere),
    )


def _of_masks(masks: Mapping[str, Tensor], module: nn.Module) -> Checkpoint:
    """Masks of all prunable weights; those of other parameters are counted."""
    prunable = _prunable(module)
    others = {name: p for name, p in module.named_parameters() if name not in prunable}
    beside = {name: mask for name, mask in masks.items() if name in others}
    _require_equal(shapes(beside), shapes({name: others[name] for name in beside}))
    return Checkpoint(
        masks=_checked({name: m for name, m in masks.items() if name not in beside}, module),
        weights=None,
        masked_elsewhere=sum(int((~_binary(*item)).sum()) for item in beside.items()),
    )


def _of_state_dict(state: Mapping[str, Tensor], module: nn.Module) -> Checkpoint:
    """The weights, and as masks those of the file or what is not zero."""
    expected = module.state_dict()
    weights = {name.removesuffix(BEFORE_MASK): value for name, value in state.items()}
    masks = {
        name: weights.pop(name + MASK)
        for name, _ in module.named_parameters()
        if name + MASK in weights
    }
    weights = with_counters(weights, expected)
    _require_equal(shapes(weights), shapes(expected))
    values = {name: _numbers(name, weights[name], like) for name, like in expected.items()}
    prunable = _prunable(module)
    for name in (name for name in masks if name not in prunable):
        values[name] = values[name] * _binary(name, _of_shape(masks[name], values[name], name))
    found = _of_masks({name: values[name] != 0 for name in prunable} | masks, module)
    return Checkpoint(masks=found.masks, weights=values, masked_elsewhere=found.masked_elsewhere)


def _of_shape(mask: Tensor, like: Tensor, name: str) -> Tensor:
    _require_equal({name + MASK: tuple(mask.shape)}, {name + MASK: tuple(like.shape)})
    return mask


def _numbers(name: str, value: Tensor, like: Tensor) -> Tensor:
    """The tensor in the network's own precision, with all of its zeros."""
    if value.is_floating_point() != like.is_floating_point():
        raise CheckpointError(f"{name} is {value.dtype} instead of {like.dtype}")
    found = dense(name, value).to(like.dtype)
    if not bool(found.isfinite().all()):
        broken = int((~found.isfinite()).sum())
        raise CheckpointError(f"{name} has {broken:,} numbers that are not finite")
    return found


def _checked(masks: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The masks in the network's order, as booleans."""
    expected = shapes(_prunable(module))
    _require_equal(shapes(masks), expected)
    return {name: _binary(name, masks[name]) for name in expected}


def _binary(name: str, mask: Tensor) -> Tensor:
    mask = dense(name, mask)
    kept = mask != 0
    if not torch.equal(kept.to(mask.dtype), mask):
        raise CheckpointError(f"the mask of {name} has entries other than 0 and 1")
    return kept


def _prunable(module: nn.Module) -> dict[str, Tensor]:
    return UntrainedPrior(module, torch.empty(0)).prunable()


def _require_equal(found: Shapes, expected: Shapes) -> None:
    wrong = misfits(found, expected, owner="the prior")
    if wrong:
        raise CheckpointError(wrong)
