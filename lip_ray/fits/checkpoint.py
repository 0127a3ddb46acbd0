"""The state of an unfinished fit as bytes that are known again, or known to be damaged."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

HEADER = b"lip-ray fit, format 1\n"
DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpointer(Protocol):
    """Where the state of an unfinished fit is kept, so that it goes on after a break."""

    @property
    def interval_s(self) -> float:
        """Seconds between two saves, at least."""

    def load(self) -> bytes | None:
        """What was saved last, if anything was."""

    def save(self, state: bytes) -> None:
        """Keep this in place of what was saved before."""


def sealed(state: Mapping[str, Any], identity: Mapping[str, str]) -> bytes:
    """Tensors, numbers and text, with what they belong to and a checksum."""
    buffer = io.BytesIO()
    torch.save({"identity": dict(identity), "state": dict(state)}, buffer)
    data = buffer.getvalue()
    return HEADER + hashlib.sha256(data).digest() + data


def unsealed(data: bytes | None, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """The state on the CPU; none where nothing whole was kept.

    Raises ValueError where it belongs to something else, naming the first difference.
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
    """The first 16 hexadecimal digits of SHA-256 over their numbers."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().reshape(-1).numpy().data)
    return found.hexdigest()[:16]
