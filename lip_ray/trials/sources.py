"""Where tickets come from: a trajectory, several that agree, or a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data import fingerprint
from lip_ray.priors import AbstractPrior, Prior
from lip_ray.pruning import Mask, keep_top
from lip_ray.spec import Family, RunOnly, Spec
from lip_ray.trials import ticketfile
from lip_ray.trials.context import Context
from lip_ray.trials.trajectory import Trajectory


@final
class Consensus(Spec):
    """Tickets that single-image trajectories agree on: the alternative to shared weights.

    All must prune the same network by the same schedule. Each level keeps as many weights as
    theirs, within the level above.
    """

    kind: Literal["consensus"] = "consensus"
    trajectories: Annotated[tuple[Trajectory, ...], Field(strict=False, min_length=2)]
    """The trajectories that agree, of one network, schedule and seed."""
    rule: Literal["mean_rank", "vote"] = "mean_rank"
    """mean_rank keeps the weights that survive longest on average; vote keeps those that most
    trajectories keep at that very level, with ties broken by mean rank."""

    @model_validator(mode="after")
    def _alike(self) -> Self:
        first = self.trajectories[0]
        for other in self.trajectories[1:]:
            for name in ("prior", "schedule", "seed"):
                if getattr(other, name) != getattr(first, name):
                    raise ValueError(
                        f"trajectories must have the same {name}: masks of different networks, "
                        "counts or initial weights have nothing to agree on"
                    )
        if len({trajectory.id for trajectory in self.trajectories}) < len(self.trajectories):
            raise ValueError("trajectories must differ, one of them is there twice")
        return self

    @property
    def prior(self) -> AbstractPrior:
        """The network that all of them prune."""
        return self.trajectories[0].prior

    @property
    def levels(self) -> int:
        """The number of levels that each of them has."""
        return self.trajectories[0].levels

    @property
    def seed(self) -> int:
        """The seed, and so the initial weights, that they share."""
        return self.trajectories[0].seed

    @property
    def finders(self) -> tuple[Trajectory, ...]:
        """The trajectories that must be complete first."""
        return self.trajectories

    @property
    def label(self) -> str:
        """The pruners that found the tickets, for tables."""
        kinds = dict.fromkeys(trajectory.pruner.kind for trajectory in self.trajectories)
        return " + ".join(kinds)

    def counts(self, total: int) -> tuple[int, ...]:
        """The number of weights that each level keeps, out of `total`."""
        return self.trajectories[0].counts(total)

    def channels(self) -> int:
        """The number of channels of the images that the network makes."""
        return self.trajectories[0].channels()

    def weights(self, level: int, context: Context) -> None:
        """None, as a consensus rewinds to the weights that its seed draws."""

    def masks(self, context: Context, dense: Mask) -> list[Mask]:
        r"""The agreed masks, dense first, down to the last level that all trajectories have.

        Levels below it that only some trajectories found are left out, so that each has an equal
        say.
        """
        ladders = [trajectory.masks(context, dense) for trajectory in self.trajectories]
        shared = list(zip(*(ladder[1:] for ladder in ladders), strict=False))
        ranks = _survival([mask for level in shared for mask in level], dense)
        agreed = [dense]
        for level in shared:
            scores = ranks if self.rule == "mean_rank" else _votes(level, ranks, dense)
            agreed.append(keep_top(scores, agreed[-1], kept=level[0].kept))
        return agreed


def _survival(masks: Sequence[Mask], dense: Mask) -> dict[str, Tensor]:
    """For each weight, how many of the masks keep it; over a ladder, how long it survives."""
    total = {name: torch.zeros_like(m, dtype=torch.float64) for name, m in dense.layers.items()}
    for mask in masks:
        for name, layer in mask.layers.items():
            total[name] += layer
    return total


def _votes(masks: Sequence[Mask], ranks: Mapping[str, Tensor], dense: Mask) -> dict[str, Tensor]:
    """For each weight, how many masks keep it; the ranks, scaled below one vote, break ties."""
    most = 1 + max(float(layer.max()) for layer in ranks.values())
    return {name: votes + ranks[name] / most for name, votes in _survival(masks, dense).items()}


@final
class FromFile(Spec):
    """One ticket out of a file that `lip tickets export` or `lip import ticket` wrote.

    Level 0 is the dense network, with initial weights of the seed of the trial that takes the
    ticket over; level 1 is the ticket.
    """

    kind: Literal["file"] = "file"
    path: Annotated[str, RunOnly()]
    """The path of the .safetensors file, relative to the working directory; it is stored as
    absolute."""
    name: str
    """The name in tables and figures; by default the file's own name without its ending."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""
    prior: Prior
    """The network; by default the one that the file names."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        if isinstance(fields, dict) and not isinstance(fields.get("path"), str):
            fields = {"prior": "skip"} | fields  # only the path is at fault
        return fingerprint.filled(
            fields,
            name=fingerprint.stem,
            sha256=lambda path: ticketfile.read(path).sha256,
            prior=lambda path: ticketfile.read(path).about["prior"],
        )

    @property
    def levels(self) -> int:
        """Two: the dense network and the ticket."""
        return 2

    @property
    def seed(self) -> None:
        """None, as the weights are in the file."""

    @property
    def finders(self) -> tuple[Trajectory, ...]:
        """Empty, as no trial has to run first."""
        return ()

    @property
    def label(self) -> str:
        """The file's name, for tables."""
        return self.name

    def counts(self, total: int) -> tuple[int, ...]:
        """The number of weights that the dense network and the ticket keep."""
        return total, sum(int(mask.sum()) for mask in self.read().masks.values())

    def channels(self) -> int:
        """The number of channels of the images that the network makes."""
        return int(self.read().about["image_channels"])

    def weights(self, level: int, context: Context) -> dict[str, Tensor] | None:
        """The weights in the file; None for the dense network, whose pruned weights it does not
        have."""
        if level == 0:
            return None
        return {name: value.to(context.device) for name, value in self.read().weights.items()}

    def masks(self, context: Context, dense: Mask) -> list[Mask]:
        """The dense mask and that of the file."""
        layers = self.read().masks
        return [dense, Mask({name: mask.to(context.device) for name, mask in layers.items()})]

    def read(self) -> ticketfile.Ticket:
        r"""The ticket, in the order of the network.

        Raises TicketError when the file is missing, has changed, is no ticket or is one of another
        network.
        """
        ticket = ticketfile.read(Path(self.path))
        if ticket.sha256 != self.sha256:
            raise ticketfile.TicketError(
                f"{self.path} has changed since its sha256 {self.sha256[:12]}… was noted"
            )
        return ticketfile.ordered(ticket, self.prior)


Source = Annotated[Trajectory | Consensus | FromFile, Family(default="trajectory")]
