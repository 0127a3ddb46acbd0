r"""Published generators, read from the files of those who trained them without running their code.

Two kinds are read: checkpoints of the GAN zoo's progressive GAN, whose sizes follow from the
tensors, and weights with a card, a JSON that lists the layers.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from lip_ray.data import fingerprint
from lip_ray.mistakes import explained
from lip_ray.priors.generators.base import Law, Output
from lip_ray.priors.generators.file import SUFFIX, GeneratorError, Trained, unfit
from lip_ray.priors.generators.layers import LayerList
from lip_ray.priors.generators.pgan import Pgan
from lip_ray.priors.saved import (
    CheckpointError,
    dense,
    kind_of,
    objects_in,
    state_in,
    state_of,
    with_counters,
)
from lip_ray.priors.shapes import listed
from lip_ray.spec import Spec

AVERAGE, LAST = "avgG", "netG"
"""Keys of the zoo's checkpoints: the generator averaged over training, and the last one of
training."""
NEEDED = "{} must be a state dict, tensors by name;"
LAWS: Mapping[object, Law] = {"normal(0,1)": "normal", "uniform(-1,1)": "uniform"}
RANGES: Mapping[object, Output] = {(0, 1): "unit", (-1, 1): "symmetric"}
FORMAT, FIRST = "formatLayer.module.weight", "groupScale0.0.module.weight"
"""Layers of the zoo's generator: from the latent, and at the coarsest scale."""

Value = TypeVar("Value")
AnySpec = TypeVar("AnySpec", bound=Spec)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published generator, ready to be written."""

    trained: Trained
    name: str
    """The name for its file: the card's, or that of the published file."""
    notes: tuple[str, ...] = ()
    """Notes on parts of the published file that are not used."""


def read_published(
    path: Path, *, card: Path | None = None, network: str | None = None
) -> Published:
    r"""The generator in a published file.

    With a card: a state dict of torch.save or safetensors, with layer i's weights under
    `<i>.weight`. Without: a checkpoint of the GAN zoo, of whose generators `network` is taken, by
    default the average. Nothing but tensors is ever built from a pickle. Raises CheckpointError or
    GeneratorError, both ValueErrors, that say what was expected.
    """
    if card is not None and network is not None:
        raise GeneratorError(f"network: {network} is one of the GAN zoo's; a card describes one")
    try:
        return _with_card(path, card) if card else _of_the_zoo(path, network)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _of_the_zoo(path: Path, network: str | None) -> Published:
    if path.suffix == SUFFIX:
        raise GeneratorError(f"{path}: which layers its tensors are of a card says: --card FILE")
    content = objects_in(path)
    if not isinstance(content, Mapping) or not {AVERAGE, LAST} & content.keys():
        raise CheckpointError(
            "expected a checkpoint of the GAN zoo, which has netG and avgG, or else a card of the "
            f"layers (--card FILE); this is a {kind_of(content)}{_of_names(content)}"
        )
    chosen = network or (AVERAGE if AVERAGE in content else LAST)
    if chosen not in content:
        raise CheckpointError(f"it lacks {chosen}; it has {listed(map(str, content))}")
    state = _state(content[chosen], chosen)
    spec = _grown(state, chosen)
    critic, spec, notes = _its_critic(content.get("netD"), spec)
    with torch.device("meta"):
        expected = spec.network()
    weights, unused = _used(state, expected)
    _require_fit(weights, expected, chosen)
    trained = Trained(
        architecture=spec,
        weights=weights,
        critic=critic,
        origin={"format": "GAN zoo", "network": chosen, "sha256": sha256_of(path)},
    )
    return Published(trained=trained, name=path.stem, notes=(*unused, *notes))


def _grown(state: Mapping[str, Tensor], name: str) -> Pgan:
    """The progressive GAN whose tensors these are."""
    scales = 0
    while f"scaleLayers.{scales}.1.module.weight" in state:
        scales += 1
    last = f"toRGBLayers.{scales}.module.weight"
    missing = [layer for layer in (FORMAT, FIRST, last) if layer not in state]
    if missing:
        raise CheckpointError(
            f"{name} is none of the GAN zoo's progressive GANs: expected {listed(missing)} in it; "
            f"it has {listed(state)}"
        )
    layers = [state[f"scaleLayers.{scale}.1.module.weight"] for scale in range(scales)]
    fields = {
        "depths": [_first(layer.shape) for layer in (state[FIRST], *layers)],
        "latent_size": _first(state[FORMAT].shape[1:]),
        "channels": _first(state[last].shape),
    }
    return _validated(Pgan, fields, name)


def _first(shape: Sequence[int]) -> int:
    """The first size of a tensor; zero, which no network has, where it has too few dimensions."""
    return next(iter(shape), 0)


def _its_critic(content: object, spec: Pgan) -> tuple[dict[str, Tensor] | None, Pgan, list[str]]:
    """The weights of the zoo's discriminator, the spec with it, and notes on unused parts."""
    try:
        state = _state(content, "netD")
        shown = _first(state.get("groupScaleZero.0.module.weight", torch.empty(0)).shape[1:])
        alone = shown == spec.depths[0]
        with_it = spec.model_copy(update={"minibatch_deviation": not alone})
        with torch.device("meta"):
            network = with_it.critic_network()
        critic, unused = _used(state, network)
        _require_fit(critic, network, "netD")
    except CheckpointError as error:
        return None, spec, [f"the critic is drawn anew: {error}"]
    return critic, with_it, unused


def _used(state: Mapping[str, Tensor], network: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    r"""The part of a state dict that the network at its final size has, and a note on the rest.

    The rest may only be layers that turn coarser scales into images, or images into coarser scales.
    """
    names = network.state_dict().keys()
    unused = [n for n in state if n not in names and n.startswith(("toRGBLayers", "fromRGBLayers"))]
    kept = {name: value for name, value in state.items() if name not in unused}
    if not unused:
        return kept, []
    layers = dict.fromkeys(name.partition(".module.")[0] for name in unused)
    numbers = sum(state[name].numel() for name in unused)
    return kept, [f"not used at this size: {', '.join(layers)} ({numbers:,} numbers)"]


def _with_card(path: Path, card_path: Path) -> Published:
    card = _card(card_path)
    spec = _described(card, card_path)
    with torch.device("meta"):
        network = spec.network()
    found = state_in(path, needed=NEEDED.format("it"), expected=network.state_dict())
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{NEEDED.format('it')} this is a {kind_of(found)}")
    digest = sha256_of(path)
    if card.get("sha256", digest) != digest:
        raise GeneratorError(
            f"{card_path} is the card of another file: its sha256 is {card['sha256']}, that of "
            f"{path} {digest}"
        )
    state = with_counters(_single(found), network.state_dict())
    _require_fit(state, network, "it")
    known = {key: card[key] for key in ("name", "licence", "source") if key in card}
    origin = {"format": "card", "sha256": digest, "card": known}
    trained = Trained(architecture=spec, weights=state, critic=None, origin=origin)
    return Published(trained=trained, name=str(card.get("name", path.stem)))


def _card(path: Path) -> dict[str, Any]:
    try:
        fingerprint.regular(path)
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GeneratorError(f"cannot read card {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GeneratorError(f"{path} is no card, which is a JSON ({error})") from error
    if not isinstance(card, dict) or "layers" not in card:
        raise GeneratorError(f"{path} is no card, which lists layers under `layers`")
    return card


def _described(card: Mapping[str, Any], path: Path) -> LayerList:
    """The architecture that a card describes."""
    fields = {
        "layers": card["layers"],
        "latent_size": _entry(card, "latent", "dim", path),
        "law": _one_of(LAWS, _entry(card, "latent", "prior", path), f"{path}: latent.prior"),
        "output": _one_of(RANGES, _entry(card, "output", "range", path), f"{path}: output.range"),
    }
    spec = _validated(LayerList, fields, str(path))
    shape = _entry(card, "output", "shape", path)
    if list(spec.image_shape) != shape:
        raise GeneratorError(
            f"{path}: output.shape is {shape}, but the layers make {list(spec.image_shape)}"
        )
    return spec


def _entry(card: Mapping[str, Any], part: str, key: str, path: Path) -> Any:
    found = card.get(part)
    if not isinstance(found, Mapping) or key not in found:
        raise GeneratorError(f"{path}: {part}.{key} is missing, so it is no generator's card")
    return found[key]


def _one_of(allowed: Mapping[object, Value], given: object, where: str) -> Value:
    key = tuple(given) if isinstance(given, list) else given
    found = [value for known, value in allowed.items() if known == key]
    if not found:
        choices = ", ".join(str(list(a) if isinstance(a, tuple) else a) for a in allowed)
        raise GeneratorError(f"{where} must be one of {choices}; got {given!r}")
    return found[0]


def _validated(spec: type[AnySpec], fields: Mapping[str, Any], where: str) -> AnySpec:
    try:
        return spec.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(map(str, explained(error, spec, fields)))
        raise GeneratorError(f"{where}: {problems}") from error


def _state(content: object, name: str) -> dict[str, Tensor]:
    """A state dict of the zoo, in single precision. Raises CheckpointError where it is none."""
    return _single(state_of(content, needed=NEEDED.format(name)))


def _single(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Single precision, as generators run here, with all zeros of sparse tensors."""
    precision = {True: torch.float32, False: torch.int64}
    return {
        name: dense(name, value).to(precision[value.is_floating_point()])
        for name, value in state.items()
    }


def _require_fit(state: Mapping[str, Tensor], network: nn.Module, name: str) -> None:
    wrong = unfit(state, network)
    if wrong:
        raise CheckpointError(f"{name} is {wrong}")


def _of_names(content: object) -> str:
    return f" of {listed(map(str, content))}" if isinstance(content, Mapping) and content else ""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
