"""The parts of a page, each with its tables, its figures and its sections."""

from importlib import import_module

from ..page.content import Part

NAMES = (
    "verdicts",
    "explorer.section",
    "frontier.section",
    "size",
    "transfer",
    "classification",
    "generators",
    "sensing.section",
    "search",
    "traces",
    "layers",
    "overlap",
    "cost",
)
"""The modules of the parts, in the order of the page; what each shows is its `PART`."""


def _part(name: str) -> Part:
    part: Part = import_module(f".{name}", __name__).PART
    return part


PARTS = tuple(_part(name) for name in NAMES)
"""All parts, in the order of the page."""
