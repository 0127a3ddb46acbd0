"""Which problem a fit belongs to and which method it is of: what its trial's columns say.

Keys tell apart and leave out defaults, so that a later version's new fields change none; settings
are shown and have all fields that the trial's own version knew. Both are JSON.
"""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from .naming import ENDS, tuples

KINDS = ("trajectory", "transfer")
"""The kinds of trial that restore images."""

DENSE = "dense"
"""The method of every fit that keeps all weights and begins with those that its seed draws."""

MOST_NAMED = 3
"""Images that are named one by one; of more only the number is said."""

IMAGES = ["images", "image_keys", "image_settings"]
"""Columns of lists, one entry per image of a trial."""

WHOLE = ("method", "dense", "finder", "source", "network")
"""The parts that are the same for all images of a trial."""


def identities(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and image that has levels: names, keys and settings as JSON.

    Of the problem (image, task, prior, fit), the scene (image and task), the method, the dense fit
    that it begins with (`dense`), the `finder` (how tickets are found, wherever) and the `source`
    (where they were found). All are categories, the same ones for all names, keys or settings.
    """
    whole = [f"{part}_{end}" for part in (*WHOLE, "task") for end in ENDS]
    columns = ["trial_id", *IMAGES, *whole, "source_task", "target"]
    chosen = trials.loc[trials["kind"].isin(KINDS), columns].dropna(subset="images")
    pairs = levels[["trial_id", "image"]].drop_duplicates().merge(chosen, on="trial_id")
    clean = pairs.pop("target") == "clean"
    return _categorical(_with_scenes(_with_own_image(pairs))).assign(clean=clean)


def _with_own_image(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows with key and settings of their image; of one that the trial lacks, the first's."""
    images = zip(pairs["image"], pairs["images"], strict=True)
    own = [_place(image, list(labels)) for image, labels in images]
    found = pairs.drop(columns=IMAGES)
    for end, ends in (("key", "image_keys"), ("settings", "image_settings")):
        texts = zip(pairs[ends], own, strict=True)
        found[f"image_{end}"] = [each[place] for each, place in texts]
    return found


def _place(image: str, labels: list[str]) -> int:
    return labels.index(image) if image in labels else 0


def _with_scenes(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows with what belongs to their image and task, in place of these by themselves."""
    found = pairs.drop(columns=["image_key", "image_settings", *(f"task_{end}" for end in ENDS)])
    found = found.rename(columns={"source_task": "source_task_name"})
    scene = pairs["image"] + ": " + pairs["task_name"]
    names = {"problem": scene, "scene": scene, "target": pairs["image"]}
    joined = {end: _joined(pairs, end) for end in ENDS[1:]}
    for part, name in names.items():
        found[f"{part}_name"] = name
        for end in ENDS[1:]:
            found[f"{part}_{end}"] = joined[end]["problem" if part == "problem" else "scene"]
    return found.assign(target_task_name=pairs["task_name"])


def _joined(pairs: pd.DataFrame, end: str) -> pd.DataFrame:
    """JSON of the problem and the scene of each row; each distinct one is put together once."""
    parts = [f"{part}_{end}" for part in ("image", "task", "network")]
    distinct = pairs[parts].drop_duplicates()
    texts = [_problem_and_scene(*row[1:]) for row in tuples(distinct)]
    whole = distinct.assign(problem=[one for one, _ in texts], scene=[one for _, one in texts])
    return pairs[parts].merge(whole, on=parts, how="left")[["problem", "scene"]]


def _problem_and_scene(image: str, task: str, network: str) -> tuple[str, str]:
    scene = {"image": json.loads(image), "task": json.loads(task)}
    return _json({**scene, **json.loads(network)}), _json(scene)


def together(labels: Iterable[str]) -> str:
    """Several images in a few words."""
    named = list(labels)
    return " + ".join(named) if len(named) <= MOST_NAMED else f"{len(named)} images"


def _categorical(rows: pd.DataFrame) -> pd.DataFrame:
    """Names, keys and settings as categories, so that long texts are there once."""
    dtypes: dict[str, pd.CategoricalDtype] = {}
    for end in ("_name", "_key", "_settings"):
        columns = [column for column in rows.columns if column.endswith(end)]
        texts = sorted(set().union(*(rows[column].unique() for column in columns)))
        dtypes |= dict.fromkeys(columns, pd.CategoricalDtype(texts))
    return rows.astype(dtypes)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
