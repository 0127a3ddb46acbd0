"""What trials have in common, in the words and the JSON that are stored with each of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from lip_ray.fits import Fit
from lip_ray.priors import AbstractPrior
from lip_ray.records import Part
from lip_ray.spec import EPOCH, Spec, canonical
from lip_ray.tasks import AbstractTask, CompressedSensing

View = Callable[[Any], Any]
"""Turns a spec or a field into JSON: `canonical` for keys, `written` for settings."""

DENSE = "dense"
"""The method of every fit that keeps all weights and begins with those that its seed draws."""

CLEAN_TARGET = ", clean target"
"""Appended to the name of a method that finds tickets with the ground truth."""

ONE_LATENT = ", one latent"
"""Appended to the name of a method that finds tickets of several images with one latent for all."""

MOST_NAMED = 3
"""The most images that are named; of more only the number is given."""

SETTING_DIGITS = 8


class Labelled(Protocol):
    """Anything with a label: an image, an image set or a dataset."""

    @property
    def label(self) -> str:
        """The name in tables."""


def written(value: object) -> Any:
    """A spec, or a field of one, as its stored JSON has it: with defaults and paths."""
    if isinstance(value, Spec):
        return value.model_dump(mode="json")
    return [written(item) for item in value] if isinstance(value, tuple) else value


def part(name: str, said: Callable[[View], Any]) -> Part:
    """The part with this name; `said` makes its JSON object in either view."""
    return Part(name=name, key=text(said(canonical)), settings=text(said(written)))


def network_part(name: str, said: Callable[[View], Mapping[str, Any]]) -> Part:
    """A network and its fit as a part. The epoch keeps fits by other defaults apart."""
    return part(name, lambda view: {"epoch": EPOCH, **said(view)})


def text(value: object) -> str:
    """JSON with sorted keys."""
    return json.dumps(value, sort_keys=True)


def chosen(view: View, spec: Spec, names: Iterable[str]) -> dict[str, Any]:
    r"""Some fields of a spec as JSON; a field that is a spec itself is in it even at its default.

    So a key tells the kinds of nested specs apart, whatever the default is.
    """
    own = view(spec)
    values = {name: getattr(spec, name) for name in names}
    return {
        name: own[name] if name in own else view(value)
        for name, value in values.items()
        if name in own or isinstance(value, Spec)
    }


def setting_of(trial: Spec) -> str:
    """A short hash of the canonical spec without any seed in it."""
    seedless = json.dumps(
        without_seeds(json.loads(trial.canonical_json())), sort_keys=True, separators=(",", ":")
    )
    return hashlib.md5(seedless.encode(), usedforsecurity=False).hexdigest()[:SETTING_DIGITS]


def without_seeds(value: Any) -> Any:
    """JSON without the fields called seed, however deep they are."""
    if isinstance(value, dict):
        return {name: without_seeds(item) for name, item in value.items() if name != "seed"}
    return [without_seeds(item) for item in value] if isinstance(value, list) else value


def without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A JSON object without the named fields."""
    return {name: value for name, value in fields.items() if name not in names}


def image_columns(images: Sequence[Any]) -> dict[str, Any]:
    """The facets of images: their labels, keys and settings."""
    return {
        "images": tuple(image.label for image in images),
        "image_keys": tuple(text(canonical(image)) for image in images),
        "image_settings": tuple(text(written(image)) for image in images),
    }


def task_part(task: AbstractTask) -> Part:
    """The task, under a name that says how hard it is."""
    return part(task.title, lambda view: view(task))


def measurement_columns(task: AbstractTask) -> dict[str, Any]:
    """The facets of compressed measurements; empty for other tasks."""
    if not isinstance(task, CompressedSensing):
        return {}
    return {"m": task.m, "outlier_share": getattr(task.outliers, "share", 0.0)}


def fitted_network(prior: AbstractPrior, fit: Fit) -> Part:
    """An untrained network and how it is fitted to an image."""
    return network_part(prior.kind, lambda view: {"prior": view(prior), "fit": view(fit)})


def in_common(view: View, images: tuple[Spec, ...]) -> dict[str, Any]:
    """The images that share the network's weights, where there are several; otherwise empty."""
    return {"images": view(images)} if len(images) > 1 else {}


def at_once(images: Sequence[object]) -> str:
    """The words for a network that is fitted to several images; empty for one image."""
    return f", on {len(images)} images at once" if len(images) > 1 else ""


def few_words(images: Iterable[Labelled]) -> str:
    """The labels of a few images, or the number of many."""
    named = list(dict.fromkeys(image.label for image in images))
    return " + ".join(named) if len(named) <= MOST_NAMED else f"{len(named)} images"
