r"""A trained generator in a file of its own: safetensors with a description of the network.

The tensors are the generator's state dict and, under `critic.`, that of the critic it was trained
with, where there is one. The file's metadata holds, as JSON under `generator`, the spec of the
architecture and the origin of the weights. Equal generators make equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, final

import torch
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lip_ray.data import fingerprint
from lip_ray.errors import UserError
from lip_ray.outputs import write_whole
from lip_ray.priors.base import Shape
from lip_ray.priors.generators.base import AbstractGenerator, Law, Output
from lip_ray.priors.generators.dcgan import Dcgan
from lip_ray.priors.generators.layers import LayerList
from lip_ray.priors.generators.pgan import Pgan
from lip_ray.priors.shapes import misfits, shapes
from lip_ray.spec import RunOnly, canonical

SUFFIX = ".safetensors"
KEY = "generator"
CRITIC = "critic."
"""The prefix of the names of the critic's tensors."""
DIGITS = 12
"""The number of hexadecimal digits of its content's hash in a file's name."""

Architecture = Dcgan | Pgan | LayerList
_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(
    Annotated[Architecture, Field(discriminator="kind")]
)


class GeneratorError(UserError):
    """There is no such generator, or it does not fit; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained generator, with tensors on the CPU."""

    architecture: AbstractGenerator
    weights: Mapping[str, Tensor] = field(repr=False)
    critic: Mapping[str, Tensor] | None = field(repr=False)
    """The weights of the critic that it was trained with; None where they are not known."""
    origin: Mapping[str, Any]
    """The origin of the weights as JSON: `sha256` of the published file, and what else is known."""


def write(trained: Trained, folder: Path, name: str) -> Path:
    """Write FOLDER/NAME-<12 digits of its content's hash>.safetensors and return its path. Raises
    OSError."""
    critic = {CRITIC + n: value for n, value in (trained.critic or {}).items()}
    tensors = {  # copies, as the format refuses tensors that share memory
        n: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for n, value in (dict(trained.weights) | critic).items()
    }
    about = {
        "architecture": canonical(trained.architecture),
        "origin": dict(trained.origin),
    }
    data = save(tensors, metadata={KEY: json.dumps(about, sort_keys=True)})
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:DIGITS]}{SUFFIX}"
    write_whole(path, data)
    return path


def read(path: Path) -> Trained:
    """The generator in a file. Raises GeneratorError when the file is missing or holds none."""
    return _parsed(path, _bytes(path))


def _bytes(path: Path) -> bytes:
    try:
        fingerprint.regular(path)
        return path.read_bytes()
    except OSError as error:
        raise GeneratorError(f"cannot read generator {path}: {error.strerror}") from error


def _parsed(path: Path, data: bytes) -> Trained:
    try:
        tensors = load(data)
        about = json.loads(_metadata(data)[KEY])
        architecture = _ARCHITECTURE.validate_json(json.dumps(about["architecture"]))
        origin = dict(about["origin"])
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _no_generator(path, _reason(error)) from error
    critic = {n.removeprefix(CRITIC): v for n, v in tensors.items() if n.startswith(CRITIC)}
    weights = {n: v for n, v in tensors.items() if not n.startswith(CRITIC)}
    with torch.device("meta"):
        parts = (weights, architecture.network()), (critic, architecture.critic_network())
    for tensors, network in parts[: 1 + bool(critic)]:
        wrong = unfit(tensors, network)
        if wrong:
            raise _no_generator(path, wrong)
    return Trained(architecture=architecture, weights=weights, critic=critic or None, origin=origin)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata in the bytes of a safetensors file, whose first 8 bytes give the length of its
    JSON header."""
    end = 8 + int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8:end]).get("__metadata__", {})
    return metadata


def unfit(found: Mapping[str, Tensor], network: nn.Module) -> str:
    """How the tensors differ from those of the network; empty where they do not."""
    expected = network.state_dict()
    wrong = misfits(shapes(found), shapes(expected), owner="the network")
    if wrong:
        return wrong
    for name, like in expected.items():
        if found[name].dtype != like.dtype:
            return f"of other numbers: {name} is {found[name].dtype} instead of {like.dtype}"
        if not bool(found[name].isfinite().all()):
            return f"broken: {name} has numbers that are not finite"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"architecture.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _no_generator(path: Path, reason: str) -> GeneratorError:
    return GeneratorError(f"{path} is no generator: lip import generator writes them ({reason})")


@final
class GeneratorFile(AbstractGenerator):
    r"""A trained generator in a file that `lip import generator` wrote.

    It is known by its content, so moving the file changes no id.
    """

    kind: Literal["file"] = "file"
    path: Annotated[str, RunOnly()]
    """The path of the .safetensors file, relative to the working directory; it is stored as
    absolute."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(fields, sha256=_sha256)

    @property
    def label(self) -> str:
        """The file's name without its ending."""
        return Path(self.path).stem

    @property
    def architecture(self) -> AbstractGenerator:
        """The architecture of the network in the file. Raises GeneratorError as `read` does."""
        return _architecture(self.path, self.sha256)

    def read(self) -> Trained:
        """The content of the file. Raises GeneratorError when it is missing, changed or no
        generator."""
        return _checked(self.path, self.sha256)

    @property
    def latent_size(self) -> int:
        """The number of entries in a latent."""
        return self.architecture.latent_size

    @property
    def law(self) -> Law:
        """The distribution of latents."""
        return self.architecture.law

    @property
    def output(self) -> Output:
        """The range of the network's output."""
        return self.architecture.output

    @property
    def image_shape(self) -> Shape:
        return self.architecture.image_shape

    def network(self) -> nn.Module:
        return self.architecture.network()

    def initialise(self, module: nn.Module, draws: torch.Generator) -> None:
        """Draw weights as the architecture's paper does, for an untrained network."""
        self.architecture.initialise(module, draws)

    def critic_network(self) -> nn.Module:
        return self.architecture.critic_network()

    def initialise_critic(self, module: nn.Module, draws: torch.Generator) -> None:
        """Draw the critic's weights as the architecture does."""
        self.architecture.initialise_critic(module, draws)

    def pretrained(self) -> Mapping[str, Tensor]:
        """The weights in the file. Raises GeneratorError as `read` does."""
        return self.read().weights

    def pretrained_critic(self) -> Mapping[str, Tensor] | None:
        """The weights of the critic, where the file has one. Raises GeneratorError as `read`
        does."""
        return self.read().critic


def _sha256(path: Path) -> str:
    """The SHA-256 of the file, after a check that the file holds a generator."""
    found = fingerprint.sha256_of("generator")(path)
    _architecture(str(path), found)
    return found


def _checked(path: str, sha256: str) -> Trained:
    data = _bytes(Path(path))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise GeneratorError(f"{path} has changed since its sha256 {sha256[:12]}… was noted")
    return _parsed(Path(path), data)


@cache
def _architecture(path: str, sha256: str) -> AbstractGenerator:
    return _checked(path, sha256).architecture
