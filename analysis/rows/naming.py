"""Names that tell apart what has the same short name, by the settings in which they differ."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pandas as pd

EPOCH = "epoch"
"""The key that says which defaults a key leaves out."""

ENDS = ("name", "key", "settings")
"""How the columns of a part end that says which of its kind it is."""


def distinct_names(names: pd.Series, keys: pd.Series, settings: pd.Series) -> "pd.Categorical[str]":
    """Each name and, where several keys share it, the fields in which these differ.

    Keys and settings are JSON objects; what differs is found in the keys, its values are shown
    from the settings, which have the defaults too. The categories are ordered by name.
    """
    name_places, unique_names = pd.factorize(names)
    key_places, unique_keys = pd.factorize(keys)
    places, found = pd.factorize(name_places * len(unique_keys) + key_places)
    whole = [divmod(one, len(unique_keys)) for one in found.tolist()]
    pairs = [(str(unique_names[name]), str(unique_keys[key])) for name, key in whole]
    last = ~keys.duplicated(keep="last").to_numpy()
    full = dict(zip(keys[last], settings[last], strict=True))
    labels: dict[tuple[str, str], str] = {}
    for name, group in groupby(sorted(pairs), key=itemgetter(0)):
        sharing = [key for _, key in group]
        labels |= {(name, key): name + _difference(key, sharing, full[key]) for key in sharing}
    ranks = {pair: rank for rank, pair in enumerate(labels)}
    codes = np.array([ranks[pair] for pair in pairs], np.intp)[places]
    return pd.Categorical.from_codes(codes, pd.Index(list(labels.values())), ordered=True)


def part_of(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """The columns name, key and settings of a part that these rows belong to."""
    columns = {f"{part}_{end}": end for end in ENDS}
    return frame[list(columns)].rename(columns=columns)


def named(frame: pd.DataFrame, part: str = "") -> "pd.Categorical[str]":
    """The `distinct_names` of a part of the rows, or of rows that are parts themselves."""
    return distinct_names(*(frame[f"{part}_{end}" if part else end] for end in ENDS))


def flat_settings(settings: str) -> dict[str, str]:
    """The leaves of a JSON object as text, by dotted path: `task.sigma` → `25.0`."""
    return dict(_leaves(json.loads(settings), ""))


def joined(*merged: str, **parts: str) -> str:
    """One JSON object with the fields of the `merged` ones, and with each part under its name."""
    found = {name: json.loads(part) for name, part in parts.items()}
    return json.dumps(
        found | {k: v for text in merged for k, v in json.loads(text).items()}, sort_keys=True
    )


def without(settings: str, name: str) -> str:
    """A JSON object without one of its fields."""
    return json.dumps({k: v for k, v in json.loads(settings).items() if k != name}, sort_keys=True)


def tuples(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows, their columns as attributes of whatever type is in them."""
    return iter(frame.itertuples())


def grouped(frame: pd.DataFrame, *columns: str) -> list[list[Any]]:
    """The rows as `tuples`, those together that are equal in the columns, in order of their firsts.

    Faster than pandas where there are many groups of few rows.
    """
    key = attrgetter(*columns)
    found: dict[Any, list[Any]] = {}
    for row in tuples(frame):
        found.setdefault(key(row), []).append(row)
    return list(found.values())


def _difference(key: str, others: Sequence[str], settings: str) -> str:
    """What sets a key apart from the others, in brackets; empty where nothing does.

    Keys of other defaults leave out other values, so that only the epochs are told apart there.
    """
    flat = [flat_settings(text) for text in others]
    own = flat_settings(settings) | flat_settings(key)
    comparable = [leaves for leaves in flat if leaves.get(EPOCH) == own.get(EPOCH)]
    paths = sorted({path for leaves in comparable for path in leaves})
    differing = [path for path in paths if len({leaves.get(path) for leaves in comparable}) > 1]
    differing = [EPOCH, *differing] if len(comparable) < len(flat) else differing
    said = ", ".join(f"{path} {own[path]}" for path in differing if path in own)
    said = said or ", ".join(f"{path} none" for path in differing)
    return f" ({said})" if said else ""


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = list(enumerate(value))
    else:
        return [(path, value if isinstance(value, str) else json.dumps(value))]
    return [leaf for key, item in items for leaf in _leaves(item, f"{path}.{key}".lstrip("."))]
