"""Where the tickets of a trial come from, in words and in JSON, as seen from that trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lip_ray.data.images import AnyImage
from lip_ray.fits import Fit
from lip_ray.records import Part
from lip_ray.tasks import AbstractTask
from lip_ray.trials.facets import (
    DENSE,
    View,
    at_once,
    chosen,
    few_words,
    in_common,
    part,
    text,
    without_seeds,
)
from lip_ray.trials.sources import Consensus, FromFile
from lip_ray.trials.trajectory import Trajectory, protocol_of

TRAVELS_SAID = {"mask": ", mask only", "layer_densities": ", layer densities"}
"""The words for what is taken over of a ticket, unless it is mask and weights."""

OF_A_FIT = ("fit", "task", "images")
"""The fields that trajectories and transfers both have."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A source of tickets as seen from the trial that takes them over."""

    source: Trajectory | Consensus | FromFile
    travels: str
    seed: int | None
    """The seed of the trial that takes the tickets over; None where it uses the source's."""

    @property
    def finders(self) -> tuple[Trajectory, ...]:
        """The trajectories that found the tickets."""
        return self.source.finders

    def columns(self) -> dict[str, Any]:
        """The facets that describe the source alone."""
        return {
            "source_images": tuple(self._images()),
            "source_tasks": tuple(dict.fromkeys(finder.task.kind for finder in self.finders)),
            "source_task": " + ".join(self._tasks()) or "unknown task",
            "source_seed": self.source.seed,
            "target": min((finder.target for finder in self.finders), default=None),
        }

    @property
    def protocol(self) -> str:
        """The words for tickets that were found by a published protocol; empty for others."""
        return protocol_of(self.finders)

    @property
    def other_seed(self) -> dict[str, int]:
        """The seed of the source, where the trial has another; otherwise empty."""
        found = [finder.seed for finder in self.finders[:1]]
        return {"seed": found[0]} if found and self.seed not in (None, found[0]) else {}

    @property
    def of_seed(self) -> str:
        """The words for a source of another seed; empty where the trial has the same."""
        return "".join(f", seed {seed}" for seed in self.other_seed.values())

    def settings(self, view: View, elsewhere: Mapping[str, Any]) -> dict[str, Any]:
        """The source as JSON, without its seed and without what it has in common with
        `elsewhere`."""
        if isinstance(self.source, FromFile):
            return chosen(view, self.source, ("kind", "name", "sha256"))
        found = []
        for finder in self.finders:
            own = chosen(view, finder, OF_A_FIT)
            apart = {name: value for name, value in own.items() if value != elsewhere.get(name)}
            found.append(finder.finds(view) | apart)
        if isinstance(self.source, Trajectory):
            return found[0]
        return {"kind": self.source.kind, "rule": self.source.rule, "trajectories": found}

    def method(self, view: View, elsewhere: Mapping[str, Any]) -> dict[str, Any]:
        """How and where the tickets were found, and what of them is taken over, as JSON."""
        return {
            "source": self.settings(view, elsewhere),
            "travels": self.travels,
        } | self.other_seed

    def finder(self, view: View, elsewhere: Mapping[str, Any]) -> dict[str, Any]:
        r"""How the tickets were found, wherever that was, as JSON.

        Trajectories that did not all find theirs in one way are listed with their settings.
        """
        alike = {text(finder.finds(view)): finder.finds(view) for finder in self.finders}
        return next(iter(alike.values())) if len(alike) == 1 else self.settings(view, elsewhere)

    def place(self, view: View) -> dict[str, Any]:
        """Where the tickets were found, as JSON; the whole source where it has no single place."""
        own = self.source
        found = own.place(view) if isinstance(own, Trajectory) else view(own)
        return {**without_seeds(found), **self.other_seed}

    def place_name(self, whence: str) -> str:
        """The place in words; `whence` says where it is, as seen from the trial."""
        if isinstance(self.source, Trajectory):
            return few_words(self.source.images) + self.of_seed
        if isinstance(self.source, FromFile):
            return self.source.name + self.of_seed
        return whence.lstrip(", ")

    def whence(self, images: tuple[AnyImage, ...], task: AbstractTask | None) -> str:
        """Where the tickets come from, in words; empty where that is the trial's own image and
        task."""
        if isinstance(self.source, FromFile):
            return " from a file"
        found = self._images()
        here = isinstance(self.source, Trajectory) and tuple(found.values()) == images
        said = [] if here else [few_words(found.values())]
        if any(finder.task != task for finder in self.finders):
            said.append(" + ".join(self._tasks()))
        if isinstance(self.source, Consensus):
            return f", consensus of {', '.join(said)}"
        return f" from {', '.join(said)}" if said else ""

    def how(self, whence: str) -> str:
        """What is taken over, in words; `refitted` for whole tickets that stay on their image."""
        return TRAVELS_SAID.get(self.travels, "" if whence else ", refitted")

    def dense(self, images: tuple[AnyImage, ...]) -> Part:
        """The dense fit that the ladder begins with, which differs by its initial weights."""
        name, own = self._dense_weights()
        return part(name + at_once(images), lambda view: own | in_common(view, images))

    def _dense_weights(self) -> tuple[str, dict[str, Any]]:
        if self.travels == "mask":
            return f"{DENSE}, fresh weights", {"weights": "fresh"}
        if self.travels == "mask_and_weights" and isinstance(self.source, FromFile):
            return f"{DENSE}, weights of {self.source.name}", {"weights": self.source.sha256}
        if self.travels == "mask_and_weights" and self.other_seed:
            return f"{DENSE}, weights of seed {self.source.seed}", dict(self.other_seed)
        return DENSE, {}

    def _images(self) -> dict[str, AnyImage]:
        return {image.label: image for finder in self.finders for image in finder.images}

    def _tasks(self) -> list[str]:
        return list(dict.fromkeys(finder.task.title for finder in self.finders))


def elsewhere(view: View, *, images: object, task: AbstractTask, fit: Fit) -> dict[str, Any]:
    """The fields that a transfer has in common with a trajectory on the same images and task."""
    return {"images": view(images), "task": view(task), "fit": view(fit)}
