"""Tensors in the files that people save, read without running what their pickles ask for.

Files of torch.save in both of its formats, pickles of tensors, and safetensors; state dicts in the
wrappers of training scripts and with the prefixes that parallel or compiled training puts before
all names. All readers of published files begin here.
"""

import io
import json
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lip_ray.data import fingerprint
from lip_ray.errors import UserError
from lip_ray.priors.shapes import listed

SAVED_FLAT = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
"""How files of torch.save began before they became zip archives."""
SAFETENSORS = ".safetensors"
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Where training scripts keep the state dict among other things."""
DEEPEST = 4
"""Wrappers within each other."""
PARALLEL = ("module", "model")
"""What stands before all names where a network was trained in parallel or by Lightning."""
COMPILED = "_orig_mod."
"""What torch.compile puts into names."""
PARTS = re.compile("(_orig|_mask)$")
"""Ends of names that torch.nn.utils.prune makes of one."""
COUNTER = ".num_batches_tracked"
"""The batch counter of batch normalisation. Older files lack it, and nothing depends on it."""
MOST_NUMBERS = 2**30
"""In all tensors of a file."""


class CheckpointError(UserError):
    """A file holds no masks or weights for the prior; the message says why."""


class _ForeignError(CheckpointError):
    """A file asks for a global that does not build tensors."""


def state_in(
    path: Path, *, needed: str, expected: Collection[str] | None = None
) -> dict[str, Tensor] | Tensor:
    """What a file holds: a state dict as `state_of` gives it, or a single dense tensor.

    Objects beside the tensors are passed over, whatever their class, and never made. Raises
    CheckpointError, without the file's name.
    """
    try:
        content = tensors_in(path)
    except _ForeignError as refusal:
        try:
            return state_of(_inert(path, refusal), needed=needed, expected=expected)
        except CheckpointError:
            raise refusal from None
    return content if _is_plain(content) else state_of(content, needed=needed, expected=expected)


def state_of(
    content: object, *, needed: str, expected: Collection[str] | None = None
) -> dict[str, Tensor]:
    """The tensors of a state dict, by name: out of its wrapper, without a prefix of all names.

    Which prefix that is shows in the `expected` names; without them only known ones are taken off.
    Tensors may be sparse. Raises CheckpointError where there is no state dict, or several; `needed`
    begins its message where the content is of another kind.
    """
    found = _unwrapped(content)
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"{needed} this is a {kind_of(found)}")
    strange = [f"{name} ({kind_of(v)})" for name, v in found.items() if not _is_readable(v)]
    if strange:
        raise CheckpointError(f"all entries must be dense tensors, not {listed(strange)}")
    numbers = sum(value.numel() for value in found.values())
    if numbers > MOST_NUMBERS:
        raise CheckpointError(f"it has {numbers:,} numbers, more than {MOST_NUMBERS:,}")
    names = _without_prefix([str(name) for name in found], expected)
    if len(set(names)) < len(names):
        raise CheckpointError("its names are not told apart by more than what training put there")
    return {name: value.detach() for name, value in zip(names, found.values(), strict=True)}


def dense(name: str, value: Tensor) -> Tensor:
    """The tensor with all of its zeros. Raises CheckpointError where it is sparse and damaged."""
    if value.layout == torch.strided:
        return value
    try:
        return value.to_dense()
    except Exception as error:  # damaged indices may raise anything
        raise CheckpointError(f"{name} is no sound sparse tensor ({kind_of(error)})") from error


def _unwrapped(content: object) -> object:
    """The only state dict in a wrapper, or the content. Raises CheckpointError for several."""
    found = dict(_wrapped(content, DEEPEST))
    if len(found) > 1:
        raise CheckpointError(f"it holds several state dicts, {listed(found)}: save one alone")
    return next(iter(found.values()), content)


def _wrapped(content: object, depth: int, place: str = "") -> Iterator[tuple[str, object]]:
    """All state dicts under a wrapper's name, by where they are."""
    if not isinstance(content, Mapping) or not depth:
        return
    for name in WRAPPERS:
        inside = content.get(name)
        if isinstance(inside, Mapping):
            deeper = list(_wrapped(inside, depth - 1, f"{place}{name}."))
            if deeper:
                yield from deeper
            elif any(isinstance(value, Tensor) for value in inside.values()):
                yield f"{place}{name}", inside


def _without_prefix(names: list[str], expected: Collection[str] | None) -> list[str]:
    """The names without the first parts that all of them share, as far as they are expected."""
    plain = [name.replace(COMPILED, "") for name in names]
    while _shared(plain) in PARALLEL and not _some(plain, expected):
        plain = _shortened(plain)
    shorter = plain
    while expected and _shared(shorter) and not _some(shorter, expected):
        shorter = _shortened(shorter)
    return shorter if _some(shorter, expected) else plain


def _shared(names: list[str]) -> str:
    """The first part of all names; empty where they differ in it, or where one has no other."""
    first, *others = {name.partition(".")[0] for name in names}
    return "" if others or not all("." in name for name in names) else first


def _some(names: list[str], expected: Collection[str] | None) -> bool:
    return any(PARTS.sub("", name) in (expected or ()) for name in names)


def _shortened(names: list[str]) -> list[str]:
    return [name.partition(".")[2] for name in names]


def _is_readable(value: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor of plain numbers on the CPU, dense or sparse."""
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def with_counters(state: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """A state dict with the batch counters that it lacks of those that are expected."""
    counters = [name for name in expected if name.endswith(COUNTER)]
    return dict.fromkeys(counters, torch.tensor(0)) | dict(state)


def _is_plain(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a dense tensor on the CPU."""
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
        fingerprint.regular(path)
        if _is_safetensors(path):
            return load(path.read_bytes())
        _refuse_unsound(path)
        with path.open("rb") as file, torch.sparse.check_sparse_tensor_invariants():
            beginning = file.read(len(SAVED_FLAT))
            file.seek(0)
            if zipfile.is_zipfile(path) or beginning == SAVED_FLAT:
                return torch.load(file, map_location="cpu", weights_only=True)
            return _TensorUnpickler(file).load()
    except CheckpointError:
        raise
    except SafetensorError as error:
        raise CheckpointError(f"is no file of tensors ({error})") from error
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
        return _inert(path, refusal)


def _inert(path: Path, refusal: _ForeignError) -> object:
    """What a file holds, with inert objects in place of foreign ones.

    Raises the refusal where that cannot be read either.
    """
    try:  # a BytesIO, as torch would take a path for an archive of the tar format too
        with torch.sparse.check_sparse_tensor_invariants():
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


def _is_safetensors(path: Path) -> bool:
    """Whether a file is called so or begins as one: the length of a JSON header, then that."""
    if path.suffix == SAFETENSORS:
        return True
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size or file.read(1) != b"{":
            return False
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(length)), dict)
        except (ValueError, RecursionError):
            return False


def _refuse_unsound(path: Path) -> None:
    """Raise CheckpointError for an archive that is damaged, or unpacks to more than it has.

    No torch.save packs, and torch.load looks at no checksum.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > path.stat().st_size:
                packed = f"it is packed, and unpacks to {unpacked:,} bytes: save it plain"
                raise CheckpointError(packed)
            damaged = archive.testzip()
        if damaged:
            raise CheckpointError(f"it is damaged: the checksum of {damaged} is wrong")


def _reason(error: Exception) -> CheckpointError:
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted:
        return _ForeignError(_refusal(wanted[1]))
    return CheckpointError(f"is no file of tensors ({kind_of(error)})")


def _refusal(wanted: str) -> str:
    return f"refused: only tensors are read from it, but it asks for {wanted}"


HARMLESS = frozenset(
    [
        *(
            f"{core}.multiarray.{name}"
            for core in ("numpy.core", "numpy._core")
            for name in ("_reconstruct", "scalar")
        ),
        "numpy.dtype",
        "_codecs.encode",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "torch.Size",
        "torch.device",
    ]
)
"""What training scripts leave beside the tensors and pickles make by a call: an inert object stands
for what it would make, and nothing is called."""


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
        if wanted in HARMLESS:
            return lambda *_: object.__new__(_Inert)
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
