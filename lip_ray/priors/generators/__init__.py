"""Generators: networks from latents to images. One file a family, one line here."""

from typing import Annotated

from pydantic import Field

from lip_ray.priors.generators.base import AbstractGenerator as AbstractGenerator
from lip_ray.priors.generators.base import GeneratorPrior as GeneratorPrior
from lip_ray.priors.generators.dcgan import Dcgan as Dcgan
from lip_ray.priors.generators.file import GeneratorError as GeneratorError
from lip_ray.priors.generators.file import GeneratorFile as GeneratorFile
from lip_ray.priors.generators.layers import LayerList as LayerList
from lip_ray.priors.generators.pgan import Pgan as Pgan
from lip_ray.spec import kind_or_mapping

GeneratorSpec = Annotated[
    Dcgan | Pgan | LayerList | GeneratorFile,
    Field(discriminator="kind"),
    kind_or_mapping(Dcgan | Pgan | LayerList | GeneratorFile, default="dcgan"),
]
"""A mapping without a kind is a DCGAN."""
