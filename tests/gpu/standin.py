r"""A stand-in for one CUDA device, on machines without any.

    with gpu() as run:
        list(trials.run(spec, Context(device=GPU)))
    run.waits  # where the host waited for the device
    run.tape   # with gpu(taping=True): what was launched, in order
    run.sections  # the tape between calls of run.mark(), for `differences` to compare

Within `gpu()`, whatever asks for cuda gets tensors that say they are on cuda:0 and hold a tensor of
the CPU, which computes. Numbers are real, so loops run to their end, and curves equal those of the
CPU where the memory layout is the same. Every operation is held to CUDA's rules:

- Tensors of two devices raise `WrongDeviceError` where CUDA refuses them, and so does a generator
  of the other device.
- An operation that makes the host wait for the device is recorded with the line of lip_ray that
  asked for it. A copy from the host is one unless it is `non_blocking` and from pinned memory: a
  copy from pageable memory waits for all work before it.

CUDA graphs work: what is captured does not run, a wait ends the capture with an error, and a replay
repeats the operations with the numbers that they were captured with, on the same memory.

Time, memory and kernels are not modelled, nor that CUDA draws other random numbers. A build of
PyTorch without CUDA and a C++ compiler are needed; `lacking()` says what is missing.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import lip_ray

GPU = torch.device("cuda:0")
HOST = torch.device("cpu")

SOURCE = Path(__file__).with_name("guard.cpp")
BUILT = Path(__file__).parents[2] / ".pytest_cache" / "standin"
"""The folder of the compiled library, whose name changes with its source and with PyTorch."""
PACKAGE = str(Path(lip_ray.__file__).parent)

aten = torch.ops.aten

WAITING = {
    aten._local_scalar_dense.default: "reads a number",
    aten._linalg_check_errors.default: "checks a solver's result",
    aten._linalg_eigh.default: "checks a solver's result",
    aten._linalg_svd.default: "checks a solver's result",
    aten._unique2.default: "has a size that depends on values",
    aten.bincount.default: "has a size that depends on values",
    aten.equal.default: "compares tensors",
    aten.masked_select.default: "has a size that depends on values",
    aten.nonzero.default: "has a size that depends on values",
    aten.repeat_interleave.Tensor: "has a size that depends on values",
    aten.unique_consecutive.default: "has a size that depends on values",
}
"""Operations on the device whose result the host needs before it continues."""

INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
COPYING = {aten._to_copy.default, aten.copy_.default}
TAKES_A_NUMBER = {aten.fill.Tensor, aten.fill_.Tensor}
"""Operations that read a tensor of the CPU with one number, beside the pointwise ones."""
TO_DEVICE, FROM_DEVICE = "copies to the device", "copies from the device"


class WrongDeviceError(RuntimeError):
    """An operation on tensors or a generator of two devices, which CUDA would refuse."""


class UnsupportedError(RuntimeError):
    """An operation that the stand-in does not imitate."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of lip_ray."""

    file: str
    """The path of the file from the package on."""
    line: int
    function: str
    """The function's name after those of the classes and functions around it."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


@dataclass(frozen=True, order=True)
class Wait:
    """One time that the host waits for the device."""

    place: Place
    operation: str
    reason: str
    section: int
    """The number of marks before it."""


@dataclass(frozen=True)
class Operation:
    """One operation on the device. Two steps are the same work if their operations are equal."""

    name: str
    """The operation and its overload, such as `aten.add.Tensor`."""
    arguments: str
    """All arguments: numbers by value, tensors by device, type and shape."""
    place: Place = field(compare=False)
    carried: frozenset[tuple[int, int]] = field(compare=False)
    """The address of each tensor that it takes from an earlier section, such as weights, and the
    section in which that was made."""


class Recording:
    """What ran on the device: the waits, the tape of operations, and sections between marks."""

    def __init__(self, *, taping: bool) -> None:
        self.waits: list[Wait] = []
        self.tape: list[Operation] = []
        self._taping = taping
        self._marks: list[int] = []
        self._born: dict[int, int] = {}
        """The section in which the memory at an address was last allocated."""

    def mark(self) -> None:
        """Begin a new section, such as the next step of a fit."""
        self._marks.append(len(self.tape))

    @property
    def sections(self) -> list[list[Operation]]:
        """The operations before the first mark, between each two marks, and after the last."""
        return [self.tape[a:b] for a, b in pairwise([0, *self._marks, len(self.tape)])]

    def wait(self, operation: str, reason: str) -> None:
        """Record that the host waits."""
        self.waits.append(Wait(_place(), operation, reason, len(self._marks)))

    def operation(self, call: "_Call", found: Any) -> None:
        """Record an operation and its result on the CPU, if there is a tape."""
        if not self._taping:
            return
        named = (f"{name}={_said(value)}" for name, value in call.kwargs.items())
        said = ", ".join((*map(_said, call.args), *named))
        read = {_address(tensor.host) for tensor in call.gpu}
        section = len(self._marks)
        origins = ((at, self._born.get(at, 0)) for at in read)
        carried = frozenset((at, born) for at, born in origins if born < section)
        made = {_address(tensor) for tensor in _tensors(found)}
        self._born |= dict.fromkeys(made - read, section)
        self.tape.append(Operation(str(call.func), said, _place(), carried))


def differences(step: Sequence[Operation], other: Sequence[Operation]) -> list[str]:
    r"""Why the recorded work of one step cannot be replayed for another; empty where it can.

    A replay, as by a CUDA graph, repeats the same operations with the same numbers, on memory at
    the same addresses.
    """
    if len(step) != len(other):
        return [f"there are {len(step)} operations, and {len(other)}"]
    found = []
    for one, two in zip(step, other, strict=True):
        if one != two:
            found.append(f"{one.place}: {one.name}({one.arguments}), {two.name}({two.arguments})")
        elif one.carried != two.carried:
            found.append(f"{one.place}: {one.name} takes tensors that were made anew")
    return found


class GpuTensor(Tensor):
    """A tensor that says it is on cuda:0, and holds the one on the CPU that computes."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> "GpuTensor":
        made = Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=GPU,
        )
        made.host = host
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _Device.current.run(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        return self.detach().cpu().numpy()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.detach().cpu().__reduce_ex__(protocol)  # torch.save copies it as well

    def __repr__(self, **kwargs: Any) -> str:
        return f"GpuTensor({self.host!r})"


class GpuGenerator(torch._C.Generator):
    """A generator of the CPU that says it is the device's."""

    device = GPU


class _AnyGenerator(type):
    """The type of a `torch.Generator` of which generators of both devices are instances."""

    def __instancecheck__(cls, found: object) -> bool:
        return isinstance(found, torch._C.Generator)


class _Generator(metaclass=_AnyGenerator):
    """What `torch.Generator` is while there is a stand-in."""

    def __new__(cls, device: Any = "cpu") -> Any:
        if torch.device(device).type == GPU.type:
            return _Device.current.generator()
        return torch._C.Generator(device)


class GpuGraph:
    """What `torch.cuda.CUDAGraph` is while there is a stand-in."""

    def __init__(self) -> None:
        self._captured: list[tuple[_Call, list[Tensor]]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._draws: dict[int, tuple[GpuGenerator, Tensor]] = {}

    def register_generator_state(self, generator: GpuGenerator) -> None:
        """Allow the graph to draw from a generator."""
        self._draws[generator._cdata] = generator, generator.get_state()

    def compute(self, call: "_Call") -> Any:
        """Capture an operation. It runs, and `end` undoes it, so that later ones have their
        arguments."""
        for tensor in call.gpu:
            whole = tensor.host.untyped_storage()
            if whole.data_ptr() not in self._before:
                bytes_of = torch.empty(0, dtype=torch.uint8).set_(whole)
                self._before[whole.data_ptr()] = bytes_of, bytes_of.clone()
        for generator in call.generators:
            if generator._cdata not in self._draws:
                raise RuntimeError("a graph draws from a generator that it does not know")
        found = call.compute()
        self._captured.append((call, list(_tensors(found))))
        return found

    def end(self) -> None:
        """Make memory and generators what they were before the capture."""
        for now, before in self._before.values():
            now.copy_(before)
        for generator, state in self._draws.values():
            generator.set_state(state)

    def replay(self) -> None:
        """Repeat the operations on the memory that they were captured with."""
        with _disable_current_modes():  # operations on the CPU's tensors are no new ones
            self._repeat()

    def _repeat(self) -> None:
        for call, made in self._captured:
            for into, value in zip(made, _tensors(call.compute()), strict=True):
                if into.data_ptr() != value.data_ptr():
                    into.copy_(value)


class GpuStream:
    """What `torch.cuda.Stream` is: there is one queue, so that none waits for another."""

    def wait_stream(self, stream: "GpuStream") -> None:
        """Nothing."""


@contextmanager
def _captured(graph: GpuGraph, stream: GpuStream | None = None) -> Iterator[None]:
    """What `torch.cuda.graph` is: operations within are captured."""
    _Device.current.graph = graph
    try:
        yield
    finally:
        _Device.current.graph = None
        graph.end()


class _Mode(TorchDispatchMode):
    """Sees the operations that no GpuTensor takes part in, such as those that make one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _Device.current.run(func, args, kwargs or {})


class _Call:
    """The arguments of one operation, taken apart: what is on which device."""

    def __init__(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.gpu: list[GpuTensor] = []
        self.host: list[Tensor] = []
        self.generators: list[torch._C.Generator] = []
        self._inner = self._unwrapped(tuple(args))
        self._named = {name: self._unwrapped(value) for name, value in kwargs.items()}
        device = kwargs.get("device")
        self.wanted = None if device is None else torch.device(device).type

    def _unwrapped(self, value: Any) -> Any:
        """An argument with tensors of the CPU in place of the device's; each is noted."""
        if isinstance(value, GpuTensor):
            self.gpu.append(value)
            return value.host
        if isinstance(value, Tensor):
            if value.device == HOST:
                self.host.append(value)
        elif isinstance(value, torch._C.Generator):
            self.generators.append(value)
        elif isinstance(value, torch.device):
            return HOST if value.type == GPU.type else value
        elif isinstance(value, list | tuple):
            return type(value)(map(self._unwrapped, value))
        return value

    def compute(self) -> Any:
        """The result on the CPU."""
        return self.func(*self._inner, **self._named)

    @property
    def concerns_gpu(self) -> bool:
        return bool(self.gpu) or self.wanted == GPU.type

    @property
    def ends_on_gpu(self) -> bool:
        """Whether the result is on the device, for an operation that concerns it."""
        if self.func is aten.copy_.default:
            return isinstance(self.args[0], GpuTensor)
        return self.wanted in (None, GPU.type)

    @property
    def non_blocking(self) -> bool:
        """Whether a copy was asked not to wait."""
        given = self.args[2:] if self.func is aten.copy_.default else ()
        return bool(self.kwargs.get("non_blocking", given and given[0]))

    def refuse(self, why: str) -> None:
        """Raise WrongDeviceError."""
        raise WrongDeviceError(f"{self.func}: {why}, at {_place()}")


class _Device:
    """The device: it holds every operation to CUDA's rules and computes on the CPU."""

    current: "_Device"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._generators: dict[int, GpuGenerator] = {}  # held, so that no address is used twice
        self._pinned: dict[int, torch.UntypedStorage] = {}
        self.graph: GpuGraph | None = None
        """The graph that is being captured."""

    def generator(self) -> GpuGenerator:
        """A new generator of the device."""
        made = GpuGenerator()
        self._generators[made._cdata] = made
        return made

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result of an operation on any device, after a check where this one is concerned."""
        call = _Call(func, args, kwargs)
        self._refuse_generators(call)
        if func is aten.is_pinned.default:
            return not call.gpu and self._is_pinned(args[0])
        if not call.concerns_gpu:
            return self._pinning(call)
        self._check(call)
        found = call.compute() if self.graph is None else self.graph.compute(call)
        self._recording.operation(call, found)
        if call.ends_on_gpu:
            return _wrapped(found, {id(tensor.host): tensor for tensor in call.gpu})
        if func is aten._to_copy.default and call.non_blocking:
            self._pin(found)  # PyTorch makes it so
        return found

    def _check(self, call: _Call) -> None:
        """Refuse what CUDA refuses, and record where the host waits."""
        if call.func in COPYING:
            self._check_copy(call)
        elif call.func in INDEXING:
            self._check_index(call)
        else:
            self._check_mixture(call)
        if call.gpu and call.func in WAITING:
            self._wait(call, WAITING[call.func])

    def _check_copy(self, call: _Call) -> None:
        """A copy between devices waits, unless it may be late and the host's memory is pinned."""
        source = call.args[call.func is aten.copy_.default]
        to_gpu, from_gpu = call.ends_on_gpu, isinstance(source, GpuTensor)
        if to_gpu == from_gpu:
            return
        made = from_gpu and call.func is aten._to_copy.default  # in pinned memory, if need be
        pinned = made or self._is_pinned(source if to_gpu else call.args[0])
        if not (call.non_blocking and pinned):
            self._wait(call, TO_DEVICE if to_gpu else FROM_DEVICE)

    def _check_index(self, call: _Call) -> None:
        """Masks are counted first, and indices of the host are copied."""
        indices = [index for index in call.args[1] if index is not None]
        on_gpu = [index for index in indices if isinstance(index, GpuTensor)]
        if not isinstance(call.args[0], GpuTensor):
            call.refuse("a tensor of the host is indexed by one of the device")
        value = call.args[2] if len(call.args) > 2 else None
        of_host = value is not None and not isinstance(value, GpuTensor)
        if of_host and value.dim() > 0:
            call.refuse("values of the host are put into a tensor of the device")
        if len(on_gpu) < len(indices):
            self._wait(call, TO_DEVICE)
        masks = [index for index in indices if index.dtype in (torch.bool, torch.uint8)]
        if masks and not of_host:  # one number of the host fills the mask without a count
            self._wait(call, "counts a mask")

    def _check_mixture(self, call: _Call) -> None:
        """Tensors of the host with one number may take part in some operations, others in none."""
        if not call.gpu or not call.host:
            return
        shapes = [tuple(tensor.shape) for tensor in call.host]
        if any(shapes):
            call.refuse(f"tensors of the device together with tensors {shapes} of the host")
        if call.func._schema.is_mutable and not isinstance(call.args[0], GpuTensor):
            call.refuse("a tensor of the host is changed by one of the device")
        if call.func is aten.where.self:
            self._wait(call, TO_DEVICE)
        elif torch.Tag.pointwise not in call.func.tags and call.func not in TAKES_A_NUMBER:
            call.refuse("a number of the host among tensors of the device")

    def _refuse_generators(self, call: _Call) -> None:
        """Refuse a generator of the other device."""
        for generator in call.generators:
            if (generator._cdata in self._generators) != call.concerns_gpu:
                call.refuse("the generator is of the other device")

    def _pinning(self, call: _Call) -> Any:
        """The result of an operation on the host, which may be to pin memory."""
        if call.func is aten._pin_memory.default:
            return self._pin(call.args[0].clone())
        return call.compute()

    def _pin(self, tensor: Tensor) -> Tensor:
        self._pinned[_address(tensor)] = tensor.untyped_storage()
        return tensor

    def _is_pinned(self, tensor: Tensor) -> bool:
        return _address(tensor) in self._pinned

    def _wait(self, call: _Call, reason: str) -> None:
        if self.graph is not None:
            raise RuntimeError(f"{call.func} {reason}, which a capture does not allow")
        self._recording.wait(str(call.func), reason)


@contextmanager
def gpu(*, taping: bool = False) -> Iterator[Recording]:
    """The stand-in takes the place of CUDA within, and records; with `taping` operations too."""
    recording = Recording(taping=taping)
    answer = _library().answer_for_cuda
    with ExitStack() as stack:
        stack.callback(answer, False)
        answer(True)
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(mock.patch.multiple(torch.cuda, **_cuda_functions(recording)))
        stack.enter_context(_switched_on())
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        _Device.current = _Device(recording)
        stack.enter_context(_Mode())
        yield recording


@contextmanager
def _switched_on() -> Iterator[None]:
    """What PyTorch does otherwise for tensors of a type of their own: a module that is moved gets
    new parameters, and `torch.tensor(…, device="cuda")` is made on the CPU and copied."""
    moved = torch.__future__.get_overwrite_module_params_on_conversion()
    lifted = torch._C._only_lift_cpu_tensors()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(moved)
        torch._C._set_only_lift_cpu_tensors(lifted)


def _cuda_functions(recording: Recording) -> dict[str, Any]:
    """Functions of torch.cuda, by name, for one device without numbers of its own."""
    return {
        "CUDAGraph": GpuGraph,
        "Stream": GpuStream,
        "_lazy_init": lambda: None,
        "current_device": lambda: GPU.index,
        "current_stream": GpuStream,
        "device_count": lambda: 1,
        "empty_cache": lambda: None,
        "graph": _captured,
        "get_device_name": lambda device=None: "stand-in",
        "get_device_properties": lambda device=None: SimpleNamespace(
            name="stand-in", major=9, minor=0, total_memory=2**30
        ),
        "is_available": lambda: True,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "is_current_stream_capturing": lambda: False,
        "max_memory_allocated": lambda device=None: 0,
        "reset_peak_memory_stats": lambda device=None: None,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda device=None: recording.wait("torch.cuda.synchronize", "is asked to"),
    }


def _wrapped(found: Any, known: Mapping[int, GpuTensor]) -> Any:
    """A result with tensors of the device in place of the CPU's.

    An operation in place returns the tensor that it changed; `known` has these, by the id of the
    tensor that they hold.
    """
    if isinstance(found, list | tuple):
        return type(found)(_wrapped(one, known) for one in found)
    if not isinstance(found, Tensor):
        return found
    given = known.get(id(found))
    if given is None:
        return GpuTensor(found)
    if given.shape != found.shape or given.stride() != found.stride():
        raise UnsupportedError(
            f"an operation in place changes the shape of its argument, at {_place()}"
        )
    return given


def _tensors(found: Any) -> Iterator[Tensor]:
    """The tensors of a result."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, list | tuple):
        for one in found:
            yield from _tensors(one)


def _address(tensor: Tensor) -> int:
    """Where a tensor's memory begins; views share it."""
    return tensor.untyped_storage().data_ptr()


def _said(value: Any) -> str:
    """An argument as text."""
    if isinstance(value, Tensor):
        return f"{value.device.type} {str(value.dtype).removeprefix('torch.')} {[*value.shape]}"
    if isinstance(value, torch._C.Generator):
        return "generator"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_said, value))}]"
    return repr(value)


def _place() -> Place:
    """The innermost line of lip_ray that is running; line 0 of no file where there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE + os.sep):
            file = "lip_ray" + code.co_filename[len(PACKAGE) :].replace(os.sep, "/")
            return Place(file, frame.f_lineno, code.co_qualname)
        frame = frame.f_back
    return Place("", 0, "")


@cache
def lacking() -> str:
    """Why there is no stand-in here; empty where there can be one."""
    if torch.version.cuda or torch.version.hip:
        return "the stand-in is for builds of PyTorch without CUDA"
    if not _built().exists() and not shutil.which("g++"):
        return "the stand-in needs g++, to compile tests/gpu/guard.cpp"
    return ""


def _built() -> Path:
    """The path of the compiled library."""
    known = SOURCE.read_bytes() + torch.__version__.encode()
    return BUILT / f"guard-{hashlib.sha256(known).hexdigest()[:16]}.so"


@cache
def _library() -> ctypes.CDLL:
    """The library that answers autograd, compiled at the first use."""
    if lacking():
        raise UnsupportedError(lacking())
    if not _built().exists():
        _compile(_built())
    return ctypes.CDLL(str(_built()))


def _compile(target: Path) -> None:
    """Compile the library beside its place, then move it there, as several tests may begin at
    once."""
    torch_folder = Path(torch.__file__).parent
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}")
    subprocess.run(
        [
            *("g++", "-shared", "-fPIC", "-std=c++20", f"-I{torch_folder / 'include'}"),
            *(str(SOURCE), "-o", str(beside), f"-L{torch_folder / 'lib'}", "-lc10", "-ltorch_cpu"),
        ],
        check=True,
    )
    beside.replace(target)
