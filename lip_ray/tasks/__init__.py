"""Tasks: how a clean image becomes a measurement."""

from typing import Annotated

from lip_ray.spec import Family
from lip_ray.tasks.base import AbstractTask as AbstractTask
from lip_ray.tasks.base import Identity as Identity
from lip_ray.tasks.base import Operator as Operator
from lip_ray.tasks.base import Problem as Problem
from lip_ray.tasks.compressed_sensing import CompressedSensing as CompressedSensing
from lip_ray.tasks.deblurring import Deblurring as Deblurring
from lip_ray.tasks.deepinv import Deepinv as Deepinv
from lip_ray.tasks.denoising import Denoising as Denoising
from lip_ray.tasks.denoising import ImpulseDenoising as ImpulseDenoising
from lip_ray.tasks.denoising import PoissonDenoising as PoissonDenoising
from lip_ray.tasks.inpainting import Inpainting as Inpainting
from lip_ray.tasks.projection import Projection as Projection
from lip_ray.tasks.super_resolution import SuperResolution as SuperResolution

Task = Annotated[
    Denoising
    | PoissonDenoising
    | ImpulseDenoising
    | Inpainting
    | SuperResolution
    | Deblurring
    | Deepinv
    | CompressedSensing
    | Projection,
    Family(),
]
"""Any task; `denoising` stands for `{kind: denoising}`."""
