"""Published masks and weights, read without running what their pickles ask for."""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import torch
from torch import Tensor, nn

from lip_ray.errors import UserError
from lip_ray.priors.base import AbstractPrior, UntrainedPrior

NAMED = 5
"""Layers that a message names before it only counts them."""
SAVED_FLAT = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
"""How files of torch.save began before they became zip archives."""


class CheckpointError(UserError):
    """A file that holds no masks or weights for the prior: the message says why."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file holds for one prior, on the CPU."""

    masks: Mapping[str, Tensor]
    """Boolean, True where a weight is kept; of all prunable weights, by state-dict name."""
    weights: Mapping[str, Tensor] | None
    """The whole state dict, where the file has one; pruned weights as the file has them."""
    masked_elsewhere: int
    """Biases and entries of normalisation that the file masks too; they are never pruned here."""


def read_checkpoint(path: Path, prior: AbstractPrior, *, image_channels: int = 3) -> Checkpoint:
    """The masks, and weights if there are any, that a published file holds for this prior.

    Files of torch.save, or pickled tensors from any device, that hold one of these:
    `<convolution>.weight_mask` for every convolution (the lottery-image-prior scripts, which leave
    two convolutions unmasked where they apply it); one flat mask over all parameters in order,
    biases and normalisation included (Optimal Eye Surgeon); a state dict, bare or under
    `state_dict` (Deep Image Prior), which keeps what is not zero, or that of a network pruned by
    torch.nn.utils.prune. Nothing but tensors is ever made of a pickle.

    Raises CheckpointError, a ValueError, where the file wants more than that, or where layers or
    shapes are not the prior's: it names them.
    """
    with torch.device("meta"):
        module = prior.network(image_channels)
    try:
        return _understood(_tensors(path), module)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _understood(content: object, module: nn.Module) -> Checkpoint:
    if _is_plain(content):
        return _of_flat_mask(content, module)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"masks are a dense tensor or a mapping, this is a {_kind(content)}")
    strange = [f"{name} ({_kind(v)})" for name, v in content.items() if not _is_plain(v)]
    if strange:
        raise CheckpointError(f"all entries must be dense tensors, not {_listed(strange)}")
    named = {str(name): value for name, value in content.items()}
    if all(name.endswith("_mask") for name in named):
        masks = {name.removesuffix("_mask"): mask for name, mask in named.items()}
        return Checkpoint(masks=_checked(masks, module), weights=None, masked_elsewhere=0)
    return _of_state_dict(named, module)


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


def _of_state_dict(state: Mapping[str, Tensor], module: nn.Module) -> Checkpoint:
    weights = {name.removesuffix("_orig"): value for name, value in state.items()}
    masks = {name: weights.pop(f"{name}_mask", None) for name in _prunable(module)}
    expected = module.state_dict()
    _require_equal(_shapes(weights), _shapes(expected))
    return Checkpoint(
        masks=_checked(
            {name: weights[name] != 0 if m is None else m for name, m in masks.items()}, module
        ),
        weights={name: weights[name].detach().to(like.dtype) for name, like in expected.items()},
        masked_elsewhere=0,
    )


def _checked(masks: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The masks in the network's order, as booleans."""
    expected = _shapes(_prunable(module))
    _require_equal(_shapes(masks), expected)
    return {name: _binary(name, masks[name]) for name in expected}


def _binary(name: str, mask: Tensor) -> Tensor:
    kept = mask != 0
    if not torch.equal(kept.to(mask.dtype), mask):
        raise CheckpointError(f"the mask of {name} has entries other than 0 and 1")
    return kept


def _prunable(module: nn.Module) -> dict[str, Tensor]:
    return UntrainedPrior(module, torch.empty(0)).prunable()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _require_equal(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    differing = [
        f"{name} is {_size(found[name])} instead of {_size(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [
        f"{what}{_listed(names)}"
        for what, names in (("", differing), ("it lacks ", missing), ("the prior lacks ", unknown))
        if names
    ]
    if wrong:
        raise CheckpointError("made for another network: " + "; ".join(wrong))


def _size(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a number"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(islice(names, NAMED)) + more


def _is_plain(value: object) -> TypeGuard[Tensor]:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _kind(value: object) -> str:
    return type(value).__name__


def _tensors(path: Path) -> object:
    """What a file holds, if that is made of tensors and of Python's own containers."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(SAVED_FLAT))
            file.seek(0)
            if zipfile.is_zipfile(path) or beginning == SAVED_FLAT:
                return torch.load(file, map_location="cpu", weights_only=True)
            return _TensorUnpickler(file).load()
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}") from error
    except Exception as error:  # damaged pickles may raise anything
        raise CheckpointError(_reason(error)) from error


def _reason(error: Exception) -> str:
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    return _refusal(wanted[1]) if wanted else f"is no file of tensors ({_kind(error)})"


def _refusal(wanted: str) -> str:
    return f"refused: only tensors are read from it, but it asks for {wanted}"


class _TensorUnpickler(pickle.Unpickler):
    """Makes tensors on the CPU and nothing else.

    What it hands out in place of the globals it knows is made anew for every file, so that a
    pickle cannot alter what anything else uses.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._known: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor_v2": lambda storage, offset, size, stride, *_: (
                torch._utils._rebuild_tensor(storage, offset, size, stride)
            ),
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "torch.storage._load_from_bytes": lambda saved: torch.load(
                io.BytesIO(saved), map_location="cpu", weights_only=True
            ),
            "collections.OrderedDict": lambda *items: OrderedDict(*items),
        }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global that makes tensors; of any other, an error with its name."""
        wanted = f"{module}.{name}"
        if wanted not in self._known:
            raise CheckpointError(_refusal(wanted))
        return self._known[wanted]
