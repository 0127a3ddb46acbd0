"""Docstrings stand alone: a reader needs no other sentence to know what they are about."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lip_ray import analysis

import lip_ray

PACKAGES = {"lip_ray": lip_ray, "analysis": analysis}
