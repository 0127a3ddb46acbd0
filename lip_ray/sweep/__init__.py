"""From YAML to the ordered trials of a sweep or the points of a search."""

from lip_ray.mistakes import SweepError as SweepError
from lip_ray.sweep.json_schema import json_schema as json_schema
from lip_ray.sweep.json_schema import json_schema_text as json_schema_text
from lip_ray.sweep.run import Run as Run
from lip_ray.sweep.sweep import Sweep as Sweep
