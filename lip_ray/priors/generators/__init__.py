"""Generators: networks from latents to images. One file per family, one line here."""

from typing import Annotated

from lip_ray.priors.generators.base import AbstractGenerator as AbstractGenerator
from lip_ray.priors.generators.base import GeneratorPrior as GeneratorPrior
from lip_ray.priors.generators.dcgan import Dcgan as Dcgan
from lip_ray.priors.generators.file import Architecture as Architecture
from lip_ray.priors.generators.file import GeneratorError as GeneratorError
from lip_ray.priors.generators.file import GeneratorFile as GeneratorFile
from lip_ray.priors.generators.layers import LayerList as LayerList
from lip_ray.priors.generators.pgan import Pgan as Pgan
from lip_ray.spec import Family

GeneratorSpec = Annotated[Architecture | GeneratorFile, Family(default="dcgan")]
"""Any generator; a mapping without a kind is a DCGAN."""
