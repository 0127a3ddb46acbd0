"""A ticket in a file of its own: safetensors, with a JSON beside it for people.

The tensors are the network's state dict, pruned weights zero, under its own names, and for every
prunable weight `<name>_mask`, true where it is kept. What the ticket is stands in the file's
metadata under `ticket`, as JSON; the .json beside it repeats that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

MASK = "_mask"
KEY = "ticket"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A mask and the weights it rewinds to; tensors on the CPU."""

    about: Mapping[str, Any]
    """The prior's spec under `prior`; counts and origin beside it."""
    weights: Mapping[str, Tensor] = field(repr=False)
    masks: Mapping[str, Tensor] = field(repr=False)
    """Boolean, by the name of the prunable weight."""
    sha256: str = ""
    """Of the file's bytes, where it was read from one."""


def write(ticket: Ticket, path: Path) -> None:
    """Write PATH, which must end in .safetensors, and its .json. Raises OSError."""
    tensors = {
        name: value * ticket.masks[name] if name in ticket.masks else value
        for name, value in ticket.weights.items()
    }
    tensors |= {name + MASK: mask for name, mask in ticket.masks.items()}
    about = json.dumps(dict(ticket.about), indent=2, sort_keys=True)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(contiguous, metadata={KEY: about}))
    path.with_suffix(".json").write_text(about + "\n", encoding="utf-8")


def read(path: Path) -> Ticket:
    """The ticket in a file. Raises ValueError when it is missing or none."""
    try:
        data = path.read_bytes()
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
        tensors = load(data)
        about = json.loads(metadata[KEY])
    except OSError as error:
        raise ValueError(f"cannot read ticket {path}: {error.strerror}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is no ticket: lip tickets export and lip import write them ({error})"
        ) from error
    return Ticket(
        about=about,
        weights={n: value for n, value in tensors.items() if not n.endswith(MASK)},
        masks={
            name.removesuffix(MASK): value for name, value in tensors.items() if name.endswith(MASK)
        },
        sha256=hashlib.sha256(data).hexdigest(),
    )
