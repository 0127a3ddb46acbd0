"""The state of an unfinished fit as bytes, by which the fit and any damage are recognised."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

HEADER = b"lip-ray fit, format 1\n"
DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpointer(Protocol):
    """Where a fit saves its state, so that it can resume after an interruption."""

    @property
    def interval_s(self) -> float:
        """The least number of seconds between two saves."""

    def load(self) -> bytes | None:
        """The state that was saved last; None where there is none."""

    def save(self, state: bytes) -> None:
        """Store this state in place of the last one."""


def sealed(state: Mapping[str, Any], identity: Mapping[str, str]) -> bytes:
    """Tensors, numbers and text as bytes, with the identity of their fit and a checksum."""
    buffer = io.BytesIO()
    torch.save({"identity": dict(identity), "state": dict(state)}, buffer)
    data = buffer.getvalue()
    return HEADER + hashlib.sha256(data).digest() + data


def unsealed(data: bytes | None, identity: Mapping[str, str]) -> dict[str, Any] | None:
    r"""The state, on the CPU; None where there is none or it is damaged.

    Raises ValueError where it belongs to another fit, naming the first difference.
    """
    start = len(HEADER) + DIGEST_BYTES
    if data is None or not data.startswith(HEADER):
        return None
    if hashlib.sha256(data[start:]).digest() != data[len(HEADER) : start]:
        return None
    kept = torch.load(io.BytesIO(data[start:]), map_location="cpu", weights_only=True)
    for name, value in identity.items():
        if kept["identity"].get(name) != value:
            raise ValueError(
                f"what was kept is of another fit: its {name} is {kept['identity'].get(name)}, "
                f"here it is {value}"
            )
    state: dict[str, Any] = kept["state"]
    return state


def digest(tensors: Iterable[Tensor]) -> str:
    """The first 16 hexadecimal digits of SHA-256 over the numbers of the tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().reshape(-1).numpy().data)
    return found.hexdigest()[:16]
