"""Generators: networks from latents to images. One file a family, one line here."""

from typing import Annotated

from lip_ray.priors.generators.base import AbstractGenerator as AbstractGenerator
from lip_ray.priors.generators.base import GeneratorPrior as GeneratorPrior
from lip_ray.priors.generators.dcgan import Dcgan as Dcgan
from lip_ray.spec import kind_or_mapping

GeneratorSpec = Annotated[Dcgan, kind_or_mapping(Dcgan, default="dcgan")]
"""A mapping without a kind is a DCGAN."""
