"""Priors: networks that produce images, fitted to one image each. One file per family, one line
here."""

from typing import Annotated

from lip_ray.priors.base import AbstractPrior as AbstractPrior
from lip_ray.priors.base import Cost as Cost
from lip_ray.priors.base import UntrainedPrior as UntrainedPrior
from lip_ray.priors.checkpoints import Checkpoint as Checkpoint
from lip_ray.priors.checkpoints import read_checkpoint as read_checkpoint
from lip_ray.priors.deep_decoder import DeepDecoder as DeepDecoder
from lip_ray.priors.oes_unet import OesUnet as OesUnet
from lip_ray.priors.saved import CheckpointError as CheckpointError
from lip_ray.priors.skip import Skip as Skip
from lip_ray.spec import Family

Prior = Annotated[Skip | DeepDecoder | OesUnet, Family(default="skip")]
