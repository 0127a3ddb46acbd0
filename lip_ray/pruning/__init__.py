"""Pruning: criteria, masks, schedules. One file per criterion, one line here."""

from typing import Annotated

from lip_ray.pruning.base import AbstractPruner as AbstractPruner
from lip_ray.pruning.base import ScoreContext as ScoreContext
from lip_ray.pruning.density import PathFinder as PathFinder
from lip_ray.pruning.density import Paths as Paths
from lip_ray.pruning.density import effective as effective
from lip_ray.pruning.density import paths as paths
from lip_ray.pruning.grasp import Grasp as Grasp
from lip_ray.pruning.magnitude import Magnitude as Magnitude
from lip_ray.pruning.mask import Mask as Mask
from lip_ray.pruning.mask import Scores as Scores
from lip_ray.pruning.mask import UnrankableError as UnrankableError
from lip_ray.pruning.mask import keep_top as keep_top
from lip_ray.pruning.oes import Oes as Oes
from lip_ray.pruning.overlap import Overlap as Overlap
from lip_ray.pruning.overlap import Overlaps as Overlaps
from lip_ray.pruning.overlap import overlap as overlap
from lip_ray.pruning.random import Random as Random
from lip_ray.pruning.schedule import Densities as Densities
from lip_ray.pruning.schedule import Rate as Rate
from lip_ray.pruning.schedule import Schedule as Schedule
from lip_ray.pruning.snip import Snip as Snip
from lip_ray.pruning.synflow import Synflow as Synflow
from lip_ray.spec import Family

Pruner = Annotated[Magnitude | Random | Snip | Grasp | Synflow | Oes, Family(default="magnitude")]
"""Any pruner; a mapping without a kind is magnitude pruning."""
