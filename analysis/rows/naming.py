"""Names that tell apart what has the same short name, by the settings in which they differ."""

import json
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pandas as pd

EPOCH = "epoch"
"""The key that says which defaults a key leaves out."""

MOST_SAID = 3
"""Differing settings that a name has, unless it takes more to tell namesakes apart."""

LONGEST_VALUE = 24
"""The characters of a setting's value in a name."""

COUNTED = ("steps", "epochs", "restarts", "levels")
"""Settings that are numbers of what they are called."""

ENDS = ("name", "key", "settings")
"""How the columns of a part end that says which of its kind it is."""


def distinct_names(names: pd.Series, keys: pd.Series, settings: pd.Series) -> "pd.Categorical[str]":
    """Each name and, where several keys share it, the settings in which these differ, in brackets.

    Keys and settings are JSON objects; what differs is found in the keys, its values are shown
    from the settings, which have the defaults too. Where more than `MOST_SAID` settings differ, a
    name has those that tell the keys apart, and counts the others. The categories are ordered by
    name.
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
        endings = _endings(sharing, [full[key] for key in sharing])
        labels |= {(name, key): name + end for key, end in zip(sharing, endings, strict=True)}
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
    """The rows, with their columns, of whatever type, and their label, `Index`, as attributes.

    As of pandas' `itertuples`, which takes strings one by one and makes a class each time.
    """
    columns = (column.tolist() for _, column in frame.items())
    return map(_row_of(*frame.columns)._make, zip(frame.index, *columns, strict=True))


@lru_cache
def _row_of(*columns: str) -> Any:
    """The class of rows with these columns."""
    return namedtuple("Row", ["Index", *columns], rename=True)


def grouped(frame: pd.DataFrame, *columns: str) -> list[list[Any]]:
    """The rows as `tuples`, those together that are equal in the columns, in order of their firsts.

    Faster than pandas where there are many groups of few rows.
    """
    key = attrgetter(*columns)
    found: dict[Any, list[Any]] = {}
    for row in tuples(frame):
        found.setdefault(key(row), []).append(row)
    return list(found.values())


def short_names(paths: Sequence[str]) -> list[str]:
    """The last word of each path; the whole of those whose last word is not theirs alone."""
    short = [path.removesuffix(".kind").rpartition(".")[2].replace("_", " ") for path in paths]
    return [
        path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)
    ]


def _endings(keys: Sequence[str], settings: Sequence[str]) -> list[str]:
    """What sets each key apart from the others, in brackets; empty where nothing does.

    Keys of other defaults leave out other values, so that only the epochs are told apart there.
    """
    leaves = [flat_settings(key) for key in keys]
    epochs = [own.get(EPOCH) for own in leaves]
    said: dict[int, list[str]] = {}
    for epoch in dict.fromkeys(epochs):
        places = [place for place, other in enumerate(epochs) if other == epoch]
        paths = _differing([leaves[place] for place in places])
        wholes = [flat_settings(settings[place]) | leaves[place] for place in places]
        own = [f"{EPOCH} {epoch}"] if len(places) < len(keys) and epoch is not None else []
        for place, phrases in zip(places, _phrases(paths, wholes), strict=True):
            said[place] = own + phrases
    return [f" ({', '.join(said[place])})" if said[place] else "" for place in range(len(keys))]


def _differing(leaves: Sequence[Mapping[str, str]]) -> list[str]:
    """The paths whose values are not the same in all."""
    paths = sorted({path for own in leaves for path in own})
    return [path for path in paths if len({own.get(path) for own in leaves}) > 1]


def _phrases(paths: Sequence[str], wholes: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """For each of the settings what is said of these paths: `20 steps`, `stopping wmv`.

    Settings leave out fields that came later and have their default.
    """
    shown = _telling(paths, wholes)
    names = dict(zip(shown, short_names(shown), strict=True))
    values = {path: _short_values([own.get(path) for own in wholes]) for path in shown}
    more = [f"{len(paths) - len(shown)} more settings"] if len(shown) < len(paths) else []
    found = []
    for place in range(len(wholes)):
        pairs = [(names[path], values[path][place]) for path in shown]
        said = [_phrase(name, value) for name, value in pairs if value is not None]
        found.append([*(said or [f"default {name}" for name, _ in pairs]), *more])
    return found


def _telling(paths: Sequence[str], wholes: Sequence[Mapping[str, str]]) -> list[str]:
    """At most `MOST_SAID` of the paths, or as many more as it takes to tell all settings apart."""

    def apart(chosen: Sequence[str]) -> int:
        return len({tuple(own.get(path) for path in chosen) for own in wholes})

    needed: list[str] = []
    while len(paths) > MOST_SAID and apart(needed) < apart(paths):
        needed.append(max(paths, key=lambda path: apart([*needed, path])))
    others = [path for path in paths if path not in needed]
    return sorted([*needed, *others[: max(0, MOST_SAID - len(needed))]])


def _short_values(values: Sequence[str | None]) -> list[str | None]:
    """Numbers in four digits and the ends of long texts, as far as these tell the values apart."""
    short = [None if value is None else _shortened(value) for value in values]
    return short if len(set(short)) == len(set(values)) else list(values)


def _shortened(value: str) -> str:
    try:
        return value if value.lstrip("-").isdigit() else f"{float(value):.4g}"
    except ValueError:
        half = LONGEST_VALUE // 2
        return value if len(value) <= LONGEST_VALUE else f"{value[:half]}…{value[-half:]}"


def _phrase(name: str, value: str) -> str:
    return f"{value} {name}" if name in COUNTED else f"{name} {value}"


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = list(enumerate(value))
    else:
        return [(path, value if isinstance(value, str) else json.dumps(value))]
    return [leaf for key, item in items for leaf in _leaves(item, f"{path}.{key}".lstrip("."))]
