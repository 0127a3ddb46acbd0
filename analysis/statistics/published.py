"""Published numbers, with where they were read, in the words that this store's trials have."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import Any

import pandas as pd


def published_table() -> pd.DataFrame:
    """One row per published PSNR whose source was read; numbers that were only heard of are none.

    `source` is the paper and `where` the figure, log or notebook of its repository; `task`, `image`
    and `network` are as this package names them, `height` and `width` (NaN where not stated) the
    size that was restored, `whole` whether that is the picture's own. `density` is the true one,
    `density_nominal` what was published; `note` says why they differ. `which` step the PSNR is of,
    in dB and a mean over `images` images.
    """
    return _read().copy()


def published_for(scene: str) -> pd.DataFrame:
    """The rows of `published_table` on the same image, of the same size, and the same task.

    `scene` is JSON of an image and a task, as `scene_settings` of points. Others are left out:
    a PSNR says nothing about another image.
    """
    settings = json.loads(scene)
    image, task = settings["image"], _words(settings["task"])
    table = published_table()
    same = table["task"].eq(task) & table["image"].eq(image.get("name")) & _sized(table, image)
    return pd.DataFrame(table[same]).reset_index(drop=True)


@cache
def _read() -> pd.DataFrame:
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text), keep_default_na=False, na_values={"height": "", "width": ""})


def _words(task: Mapping[str, Any]) -> str:
    """A task as the published table names it: `denoising, σ = 25`."""
    factor = task.get("factor")
    said = [f"{task['kind']} × {factor}" if factor else str(task["kind"])]
    symbols = {"sigma": "σ", "peak": "peak", "share": "share"}
    said += [f"{word} = {task[field]:g}" for field, word in symbols.items() if task.get(field)]
    return ", ".join(said)


def _sized(table: pd.DataFrame, image: Mapping[str, Any]) -> pd.Series:
    """Whether height and width are the published ones; a picture as it is has its own."""
    cut = [image.get(side) for side in ("rows", "columns")]
    size = image.get("size") or [end - first for first, end in filter(None, cut)]
    if not size:
        return table["whole"].astype(bool)
    if len(size) < 2:
        return pd.Series(False, index=table.index)
    height, width = size
    return pd.Series(table["height"].eq(height) & table["width"].eq(width))
