"""What trials have in common, put into the words and the JSON that are stored with each."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from lip_ray.fits import Fit
from lip_ray.priors import AbstractPrior
from lip_ray.records import Part
from lip_ray.spec import Spec, canonical
from lip_ray.tasks import AbstractTask, CompressedSensing

View = Callable[[Any], Any]
"""Makes JSON of a spec or of a field: `canonical` that of keys, `written` that of settings."""

DENSE = "dense"
"""The method of every fit that keeps all weights and begins with those that its seed draws."""

CLEAN_TARGET = ", clean target"
"""Said of methods that find tickets with the ground truth."""

MOST_NAMED = 3
"""Of more images than that only the number is said."""

SETTING_DIGITS = 8


class Labelled(Protocol):
    """An image, whatever it is of."""

    @property
    def label(self) -> str:
        """Its name in tables."""


def written(value: object) -> Any:
    """A spec, or a field of one, as its stored JSON has it: with defaults and paths."""
    if isinstance(value, Spec):
        return value.model_dump(mode="json")
    return [written(item) for item in value] if isinstance(value, tuple) else value


def part(name: str, said: Callable[[View], Any]) -> Part:
    """The part of that name; `said` makes its JSON object by either view."""
    return Part(name=name, key=text(said(canonical)), settings=text(said(written)))


def text(value: object) -> str:
    """JSON with sorted keys."""
    return json.dumps(value, sort_keys=True)


def chosen(view: View, spec: Spec, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a spec; those that are specs themselves are said also where they are defaults.

    So a key tells apart the kinds that are in it, whatever the default is.
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
    seedless = json.dumps(without_seeds(canonical(trial)), sort_keys=True, separators=(",", ":"))
    return hashlib.md5(seedless.encode(), usedforsecurity=False).hexdigest()[:SETTING_DIGITS]


def without_seeds(value: Any) -> Any:
    """JSON without the fields called seed, however deep they are."""
    if isinstance(value, dict):
        return {name: without_seeds(item) for name, item in value.items() if name != "seed"}
    return [without_seeds(item) for item in value] if isinstance(value, list) else value


def without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The other fields of a JSON object."""
    return {name: value for name, value in fields.items() if name not in names}


def image_columns(images: Sequence[Any]) -> dict[str, Any]:
    """The facets of images: specs with a label each."""
    return {
        "images": tuple(image.label for image in images),
        "image_keys": tuple(text(canonical(image)) for image in images),
        "image_settings": tuple(text(written(image)) for image in images),
    }


def task_part(task: AbstractTask) -> Part:
    """The task, named with how hard it is."""
    return part(task.title, lambda view: view(task))


def measurement_columns(task: AbstractTask) -> dict[str, Any]:
    """The facets of compressed measurements; none of another task."""
    if not isinstance(task, CompressedSensing):
        return {}
    return {"m": task.m, "outlier_share": getattr(task.outliers, "share", 0.0)}


def fitted_network(prior: AbstractPrior, fit: Fit) -> Part:
    """An untrained network and how it is fitted to an image."""
    return part(prior.kind, lambda view: {"prior": view(prior), "fit": view(fit)})


def in_common(view: View, images: tuple[Spec, ...]) -> dict[str, Any]:
    """The images that share the network's weights, where there are several."""
    return {"images": view(images)} if len(images) > 1 else {}


def at_once(images: Sequence[object]) -> str:
    """Said of methods whose network is fitted to several images."""
    return f", on {len(images)} images at once" if len(images) > 1 else ""


def few_words(images: Iterable[Labelled]) -> str:
    """Several images in a few words."""
    named = list(dict.fromkeys(image.label for image in images))
    return " + ".join(named) if len(named) <= MOST_NAMED else f"{len(named)} images"
