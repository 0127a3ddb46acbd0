"""Tasks: how a clean image becomes a measurement."""

from typing import Annotated

from lip_ray.spec import kind_or_mapping
from lip_ray.tasks.base import AbstractTask as AbstractTask
from lip_ray.tasks.base import Identity as Identity
from lip_ray.tasks.base import Operator as Operator
from lip_ray.tasks.base import Problem as Problem
from lip_ray.tasks.denoising import Denoising as Denoising

# One member a file; the union gains a `kind` with each of them.
Task = Annotated[Denoising, kind_or_mapping(Denoising)]
