r"""A ticket in a file of its own: safetensors, with a JSON file beside it for people.

The tensors are the network's state dict, pruned weights zero, under its own names, and for every
prunable weight `<name>_mask`, true where it is kept. The file's metadata describes the ticket under
`ticket`, as JSON; the .json file repeats that. Equal tickets make equal bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from lip_ray.data import fingerprint
from lip_ray.errors import UserError
from lip_ray.outputs import write_together
from lip_ray.priors import AbstractPrior, UntrainedPrior

SUFFIX = ".safetensors"
MASK = "_mask"
KEY = "ticket"
NAMED = 5
"""The number of tensors that a message names before it only counts them."""


class TicketError(UserError):
    """There is no such ticket, or it does not fit; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A mask and the weights it rewinds to; tensors on the CPU."""

    about: Mapping[str, Any]
    """The spec of the prior under `prior` and the channels of its images under `image_channels`,
    beside counts and origin."""
    weights: Mapping[str, Tensor] = field(repr=False)
    masks: Mapping[str, Tensor] = field(repr=False)
    """Boolean masks, by the name of the prunable weight."""
    sha256: str = ""
    """The SHA-256 of the file that it was read from; empty where it was not read from one."""


def write(ticket: Ticket, path: Path) -> None:
    """Write PATH, which must end in .safetensors, and its .json. Raises OSError."""
    tensors = {
        name: value.masked_fill(~ticket.masks[name], 0) if name in ticket.masks else value
        for name, value in ticket.weights.items()
    }
    tensors |= {name + MASK: mask for name, mask in ticket.masks.items()}
    about = json.dumps(dict(ticket.about), indent=2, sort_keys=True)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(contiguous, metadata={KEY: about})
    write_together({path: data, path.with_suffix(".json"): about + "\n"})


def read(path: Path) -> Ticket:
    """The ticket in a file. Raises TicketError when the file is missing or holds none."""
    try:
        fingerprint.regular(path)
        data = path.read_bytes()
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
        tensors = load(data)
        about = json.loads(metadata[KEY])
    except OSError as error:
        raise TicketError(f"cannot read ticket {path}: {error.strerror}") from error
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise _no_ticket(path, str(error)) from error
    if not isinstance(about, dict) or not about.keys() >= {"prior", "image_channels"}:
        raise _no_ticket(path, "it does not say its prior and image_channels")
    masks = {n.removesuffix(MASK): value for n, value in tensors.items() if n.endswith(MASK)}
    strange = [name for name, mask in masks.items() if mask.dtype != torch.bool]
    if strange:
        raise _no_ticket(path, f"masks must be boolean, not {_listed(strange)}")
    return Ticket(
        about=about,
        weights={n: value for n, value in tensors.items() if not n.endswith(MASK)},
        masks=masks,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def ordered(ticket: Ticket, prior: AbstractPrior) -> Ticket:
    r"""The ticket with its tensors in the order of the prior's network, as files sort them.

    Raises TicketError where names or shapes are those of another network, where a number is not
    finite, or where no weight is kept.
    """
    channels = ticket.about["image_channels"]
    if not isinstance(channels, int) or channels < 1:
        raise TicketError(f"image_channels must be a whole number from 1, got {channels!r}")
    with torch.device("meta"):
        module = prior.network(channels)
    weights, masks = module.state_dict(), UntrainedPrior(module, torch.empty(0)).prunable()
    for found, expected in ((ticket.weights, weights), (ticket.masks, masks)):
        differing = [
            name
            for name in dict.fromkeys([*expected, *found])
            if name not in found
            or name not in expected
            or found[name].shape != expected[name].shape
        ]
        if differing:
            raise TicketError(
                f"the ticket is one of another network than the prior {prior.kind}: it differs in "
                f"{_listed(differing)}"
            )
    broken = [name for name, value in ticket.weights.items() if not bool(value.isfinite().all())]
    if broken:
        raise TicketError(f"the ticket has numbers that are not finite, in {_listed(broken)}")
    if not any(bool(mask.any()) for mask in ticket.masks.values()):
        raise TicketError("the ticket keeps no weight")
    return replace(
        ticket,
        weights={name: ticket.weights[name] for name in weights},
        masks={name: ticket.masks[name] for name in masks},
    )


def _no_ticket(path: Path, reason: str) -> TicketError:
    return TicketError(
        f"{path} is no ticket: lip tickets export and lip import ticket write them ({reason})"
    )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
