"""Names that tell apart what has the same short name, by the settings in which they differ."""

import json
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd


def distinct_names(names: pd.Series, settings: pd.Series) -> "pd.Categorical[str]":
    """Each name and, where several settings (JSON objects) share it, the fields that differ.

    The categories are ordered by name.
    """
    labels: dict[tuple[str, str], str] = {}
    pairs = list(zip(names, settings, strict=True))
    for name, group in groupby(sorted(set(pairs)), key=itemgetter(0)):
        texts = [text for _, text in group]
        labels |= {(name, text): name + _difference(text, texts) for text in texts}
    return pd.Categorical(
        [labels[pair] for pair in pairs], categories=list(labels.values()), ordered=True
    )


def flat_settings(settings: str) -> dict[str, str]:
    """The leaves of a JSON object as text, by dotted path: `task.sigma` → `25.0`."""
    return dict(_leaves(json.loads(settings), ""))


def _difference(settings: str, others: Sequence[str]) -> str:
    """What sets these settings apart from the others, in brackets; empty where nothing does."""
    flat = [flat_settings(text) for text in others]
    own = flat_settings(settings)
    paths = sorted({path for leaves in flat for path in leaves})
    differing = [path for path in paths if len({leaves.get(path) for leaves in flat}) > 1]
    said = ", ".join(f"{path} {own.get(path, 'none')}" for path in differing)
    return f" ({said})" if said else ""


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = list(enumerate(value))
    else:
        return [(path, value if isinstance(value, str) else json.dumps(value))]
    return [leaf for key, item in items for leaf in _leaves(item, f"{path}.{key}".lstrip("."))]
