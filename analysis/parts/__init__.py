"""The parts of a page, each with its tables, its figures and its sections."""

from ..page.content import Part
from ..rows.identity import KINDS
from . import (
    classification,
    cost,
    generators,
    layers,
    overlap,
    search,
    size,
    traces,
    transfer,
    verdicts,
)
from .explorer.section import sections as explorer_sections
from .frontier import section as frontier
from .sensing import section as sensing_section
from .sensing import table as reconstructions

PARTS: tuple[Part, ...] = (
    Part(sections=verdicts.sections),
    Part(sections=explorer_sections),
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
        introduction=sensing_section.INTRODUCTION,
    ),
    Part(
        sections=sensing_section.sections,
        pictured=sensing_section.pictured,
        kinds={reconstructions.KIND},
        introduction=sensing_section.INTRODUCTION,
    ),
    Part(sections=search.sections),
    Part(sections=traces.sections),
    Part(sections=layers.sections),
    Part(sections=overlap.sections),
    Part(sections=cost.sections),
)
"""All parts, in the order of the page."""
