"""Which problem a fit belongs to and which method it is of: what its trial's columns say.

Keys tell apart and leave out defaults, so that a later version's new fields change none; settings
are shown and have all fields that the trial's own version knew. Both are JSON.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from .naming import ENDS, joined

KINDS = ("trajectory", "transfer")
"""The kinds of trial that restore images."""

DENSE = "dense"
"""The method of every fit that keeps all weights and begins with those that its seed draws."""

MOST_NAMED = 3
"""Images that are named one by one; of more only the number is said."""

IMAGES = ["images", "image_keys", "image_settings"]
"""Columns of lists, one entry per image of a trial."""

WHOLES = {
    "problem": ("image", "task", "network"),
    "study": ("task", "network"),
    "scene": ("image", "task"),
    "target": ("image", "task"),
    "image": ("image",),
    "task": ("task",),
}
"""What is said of image, task and network together: by name, these parts in one JSON object."""

SAME = ("method", "dense", "finder", "source", "network")
"""The parts that are the same for all images of a trial."""


def identities(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and image that has levels: names, keys and settings as JSON.

    Each row describes the problem (image, task, prior, fit), the study (the problem apart from its
    image), the scene (image and task; for transfers also `target`), the method, the dense fit that
    it begins with (`dense`), the `finder` (how tickets are found, wherever) and the `source` (where
    they were found). All are categories, the same ones for all names, keys or settings. Several
    images that one network is fitted to are a study of their own, and names of methods name them.
    """
    whole = [f"{part}_{end}" for part in (*SAME, "task") for end in ENDS]
    columns = ["trial_id", *IMAGES, *whole, "source_task", "target"]
    chosen = trials.loc[trials["kind"].isin(KINDS), columns].dropna(subset="images")
    pairs = levels[["trial_id", "image"]].drop_duplicates().merge(chosen, on="trial_id")
    clean = pairs.pop("target") == "clean"
    at_once = pairs["images"].map(len)
    found = _with_wholes(_with_own_image(_with_named_images(at_once, pairs)))
    return _categorical(_with_study_of(at_once, found)).assign(clean=clean)


def _with_named_images(at_once: pd.Series, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows with a few images named where a method says how many its network is fitted to."""
    several = at_once > 1
    own = pairs[several]
    for part in ("method", "dense", "finder"):
        pairs.loc[several, f"{part}_name"] = [
            name.replace(f"on {len(images)} images", f"on {together(images)}")
            for name, images in zip(own[f"{part}_name"], own["images"], strict=True)
        ]
    return pairs


def _with_study_of(at_once: pd.Series, found: pd.DataFrame) -> pd.DataFrame:
    """The rows with their study set apart where a network is fitted to several images."""
    several = at_once > 1
    found.loc[several, "study_name"] = at_once[several].map(", {} images at once".format)
    for end in ENDS[1:]:
        texts = zip(found.loc[several, f"study_{end}"], at_once[several], strict=True)
        found.loc[several, f"study_{end}"] = [
            joined(text, images_at_once=str(count)) for text, count in texts
        ]
    return found


def _with_own_image(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows with key and settings of their image; of one that the trial lacks, the first's."""
    labels = zip(pairs["image"], pairs["images"], strict=True)
    own = [list(known).index(image) if image in known else 0 for image, known in labels]
    found = pairs.drop(columns=IMAGES)
    for end in ("key", "settings"):
        texts = zip(pairs["image_keys" if end == "key" else "image_settings"], own, strict=True)
        found[f"image_{end}"] = [each[place] for each, place in texts]
    return found


def _with_wholes(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows with the `WHOLES`, whose names are those of image and task."""
    image, task = pairs["image"], pairs["task_name"]
    names: dict[str, Any] = {"study": "", "target": image, "image": image, "task": task}
    found = pairs.rename(columns={"source_task": "source_task_name"})
    found["target_task_name"] = task
    for part, inner in WHOLES.items():
        found[f"{part}_name"] = names.get(part, image + ": " + task)
        for end in ENDS[1:]:
            found[f"{part}_{end}"] = _joined(pairs, inner, end)
    return found


def _joined(pairs: pd.DataFrame, parts: Sequence[str], end: str) -> pd.Series:
    """JSON of several parts of each row; each distinct one is put together once."""
    rows = list(zip(*(pairs[f"{part}_{end}"].tolist() for part in parts), strict=True))
    wholes = {}
    for row in set(rows):
        own = dict(zip(parts, row, strict=True))
        wholes[row] = joined(own.pop("network", "{}"), **own)
    return pd.Series([wholes[row] for row in rows], pairs.index, dtype="str")


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
