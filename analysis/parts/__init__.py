"""The parts of a page, each with its tables, its figures and its sections."""

from ..page.content import Part
from ..rows.identity import KINDS
from . import (
    classification,
    cost,
    frontier,
    generators,
    layers,
    overlap,
    search,
    size,
    traces,
    transfer,
    verdicts,
)
from .explorer import section as explorer
from .sensing import section as sensing
from .sensing import table as reconstructions

PARTS: tuple[Part, ...] = (
    Part(sections=verdicts.sections),
    Part(sections=explorer.sections),
    Part(
        sections=frontier.sections,
        pictured=frontier.pictured,
        kinds={*KINDS},
        introduction=frontier.INTRODUCTION,
    ),
    Part(sections=size.sections),
    Part(sections=transfer.sections),
    Part(sections=classification.sections, kinds={classification.KIND}),
    Part(
        sections=generators.sections,
        pictured=generators.pictured,
        kinds={generators.KIND},
        introduction=sensing.INTRODUCTION,
    ),
    Part(
        sections=sensing.sections,
        pictured=sensing.pictured,
        kinds={reconstructions.KIND},
        introduction=sensing.INTRODUCTION,
    ),
    Part(sections=search.sections),
    Part(sections=traces.sections),
    Part(sections=layers.sections),
    Part(sections=overlap.sections),
    Part(sections=cost.sections),
)
"""In the order of the page."""
