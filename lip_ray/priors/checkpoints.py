"""Published masks and weights, read without running the code that pickles ask for."""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn, TypeGuard

import torch
from torch import Tensor, nn

from lip_ray.errors import UserError
from lip_ray.priors.base import AbstractPrior, UntrainedPrior
from lip_ray.priors.shapes import Shapes, listed, misfits, shapes

SAVED_FLAT = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
"""How files of torch.save began before they became zip archives."""


class CheckpointError(UserError):
    """A file holds no masks or weights for the prior; the message says why."""


class _ForeignError(CheckpointError):
    """A file asks for a global that does not build tensors."""


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


def read_checkpoint(path: Path, prior: AbstractPrior, *, image_channels: int = 3) -> Checkpoint:
    r"""The masks, and weights if there are any, that a published file holds for this prior.

    Files of torch.save, or pickled tensors from any device, that hold one of these:
    `<convolution>.weight_mask` for every convolution (the lottery-image-prior scripts, which leave
    two convolutions unmasked where they apply it); one flat mask over all parameters in order,
    biases and normalisation included (Optimal Eye Surgeon); a state dict, bare or under
    `state_dict` (Deep Image Prior), whose mask keeps what is not zero, or that of a network pruned
    by torch.nn.utils.prune. Nothing but tensors is ever built from a pickle.

    Raises CheckpointError, a ValueError, where the file asks for more than that, or where layers or
    shapes are not the prior's: it names them.
    """
    with torch.device("meta"):
        module = prior.network(image_channels)
    try:
        return _understood(tensors_in(path), module)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _understood(content: object, module: nn.Module) -> Checkpoint:
    if is_plain(content):
        return _of_flat_mask(content, module)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"masks are a dense tensor or a mapping, this is a {kind_of(content)}"
        )
    strange = [f"{name} ({kind_of(v)})" for name, v in content.items() if not is_plain(v)]
    if strange:
        raise CheckpointError(f"all entries must be dense tensors, not {listed(strange)}")
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
    _require_equal(shapes(weights), shapes(expected))
    return Checkpoint(
        masks=_checked(
            {name: weights[name] != 0 if m is None else m for name, m in masks.items()}, module
        ),
        weights={name: weights[name].detach().to(like.dtype) for name, like in expected.items()},
        masked_elsewhere=0,
    )


def _checked(masks: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The masks in the network's order, as booleans."""
    expected = shapes(_prunable(module))
    _require_equal(shapes(masks), expected)
    return {name: _binary(name, masks[name]) for name in expected}


def _binary(name: str, mask: Tensor) -> Tensor:
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


def is_plain(value: object) -> TypeGuard[Tensor]:
    """Whether a tensor is dense and on the CPU."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def kind_of(value: object) -> str:
    """The name of an object's class, for messages."""
    return type(value).__name__


def tensors_in(path: Path) -> object:
    r"""The content of a file, if it consists of tensors in Python's own containers.

    Raises CheckpointError, without the file's name.
    """
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
        raise _reason(error) from error


def objects_in(path: Path) -> object:
    r"""The content of a file, like `tensors_in`; beside tensors it may hold objects of unknown
    classes.

    These become inert objects: whatever the class, it is neither imported nor called, and the state
    of such an object is dropped. Raises CheckpointError, also where the file wants to call
    something that does not build tensors.
    """
    try:
        return tensors_in(path)
    except _ForeignError as refusal:
        try:  # a BytesIO, as torch would take a path for an archive of the tar format too
            return torch.load(
                io.BytesIO(path.read_bytes()),
                map_location="cpu",
                weights_only=False,  # by this pickle module, which is stricter
                pickle_module=_INERT_PICKLES,
            )
        except CheckpointError:
            raise
        except Exception:  # damaged pickles may raise anything
            raise refusal from None


def _reason(error: Exception) -> CheckpointError:
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted:
        return _ForeignError(_refusal(wanted[1]))
    return CheckpointError(f"is no file of tensors ({kind_of(error)})")


def _refusal(wanted: str) -> str:
    return f"refused: only tensors are read from it, but it asks for {wanted}"


class _TensorUnpickler(pickle.Unpickler):
    r"""An unpickler that builds tensors on the CPU and nothing else.

    The stand-ins for the globals that it knows are made anew for every file, so that a pickle
    cannot alter what other code uses.
    """

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        super().__init__(file, **options)
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
        """The stand-in for a global that builds tensors. Raises an error with the name of any
        other."""
        wanted = f"{module}.{name}"
        return self._known[wanted] if wanted in self._known else self.foreign(wanted)

    def foreign(self, wanted: str) -> Any:
        """Refuse a global that does not build tensors."""
        raise _ForeignError(_refusal(wanted))


class _InertUnpickler(_TensorUnpickler):
    """An unpickler that makes inert objects beside the tensors."""

    def foreign(self, wanted: str) -> Any:
        """An inert class of that name; its module is not imported."""
        return _InertClass(wanted, (_Inert,), {})


class _InertClass(type):
    """A class that makes empty objects, as pickles of objects do, and that cannot be called."""

    def __call__(cls, *_: object, **__: object) -> NoReturn:
        """Raise the refusal, as a pickle that calls a class may want to run it."""
        raise _ForeignError(_refusal(cls.__name__))


class _Inert(metaclass=_InertClass):
    """An object of an unknown class, with nothing of its state."""

    def __new__(cls, *_: object, **__: object) -> "_Inert":
        """An empty object, whatever the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the pickled state."""


def _load_inert(file: IO[bytes], **options: Any) -> object:
    return _InertUnpickler(file, **options).load()


_INERT_PICKLES = SimpleNamespace(
    __name__="inert_pickles", Unpickler=_InertUnpickler, load=_load_inert
)
"""The parts of the pickle module that torch.load uses."""
