"""The explorer on a page: its controls, and the columns that its script draws from."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.io as pio

from ...charts.style import AXIS_TITLES, numbers, plain
from ...page.content import Content
from ...page.section import Figure, Section
from ...rows.naming import tuples
from ...rows.points import WHICH, density_text
from ...statistics.published import published_for
from ..size import count_text
from .figures import (
    ALL,
    BROKEN,
    COST_HOVERS,
    DEEP_DECODER,
    MANY,
    TAILS,
    Series,
    cost_axis,
    explorer_figure,
    first_choice,
    psnr_range,
    published_marks,
    series_of,
)
from .scenes import Scenes
from .table import (
    AXES,
    MEAN_IMAGE,
    SCENE,
    SERIES,
    SIZE,
    fits_of,
    hypervolume_table,
    scene_table,
)

CHART = "explorer"
NAME = "explore"
"""Of the section, and of the fragment that keeps a choice."""

NOTE = """
Large marks are means, pale bars their 95 % Student-t intervals; open marks are single fits. Over
images, the seeds of each are averaged first, and images are the sample. Level lines are dense
networks, the deep decoder among them whatever is chosen. Rings and steps are the Pareto front of
the scene over all networks and methods: nothing else is as good for as little. Seconds depend on
the machine, and on what else ran there. The address of this page keeps what is chosen.
"""

COST_TEXTS = {
    "density": lambda cost: f"density {density_text(cost)}",
    "kept": lambda cost: f"{count_text(cost)} weights",
    "macs": lambda cost: f"{cost:.3g} multiply-adds",
    "seconds": lambda cost: f"{cost:.3g} s",
}

MISSING = {
    "macs": "multiply-adds, which stores of older versions did not count",
    "seconds": "seconds of fitting",
}


def sections(shown: Content) -> Iterator[Section]:
    """One figure for all scenes that have a PSNR."""
    if shown.described.empty:
        return
    fits = fits_of(shown.described)
    table = scene_table(fits)
    if table["n"].any():
        yield Section(name=NAME, title="Explorer", blocks=(_drawn(table, fits),))


def _drawn(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    lines = table[[*SCENE, *SERIES]].drop_duplicates().groupby(SCENE, observed=True).size().max()
    figure = explorer_figure(table, fits=fits)
    scenes = Scenes(table=table, fits=fits)
    return Figure(
        name="explorer",
        place=CHART,
        label="PSNR against what it costs",
        note=NOTE,
        lines=int(lines) + 1 + len(BROKEN),
        figure=figure,
        controls=scenes.controls,
        carded=True,
        spoken=True,
        draw=scenes.figure,
        source=lambda: explorer_data(table, fits, figure),
    )


def explorer_data(table: pd.DataFrame, fits: pd.DataFrame, figure: Any) -> dict[str, Any]:
    """What the page's script draws from: nothing is left for it to compute.

    `rows` and `fits` are columns; each scene says which of them are its own.
    """
    wide = {which: _of_which(table, which) for which in WHICH}
    base = wide[WHICH[0]].reset_index(drop=True)
    fits = fits.sort_values(SCENE, kind="stable")
    series = series_of(table)
    scenes = _scenes(table, wide, fits)
    return {
        "all": ALL,
        "first": vars(first_choice(table)),
        "axes": {
            axis: {"label": label, "hover": COST_HOVERS[axis], "layout": cost_axis(axis)}
            for axis, label in AXES.items()
        },
        "titles": {which: AXIS_TITLES[which] for which in WHICH},
        "tails": TAILS,
        "broken": BROKEN,
        "many": MANY,
        "webgl": any(end - start > MANY for start, end in (one["fits"] for one in scenes)),
        "decoder": DEEP_DECODER,
        "layout": json.loads(pio.to_json(figure.layout, validate=False)),
        "series": [_series(one) for one in series],
        "scenes": scenes,
        "rows": _rows(base, wide, series),
        "fits": _fits(fits, base),
    }


def _of_which(table: pd.DataFrame, which: str) -> pd.DataFrame:
    return table[table["which"] == which].reset_index(drop=True)


def _series(one: Series) -> dict[str, Any]:
    own = {name: getattr(one, name) for name in ("network", "method", "prior", "base")}
    return {**own, "name": plain(one.name), "group": one.name, **vars(one.style)}


def _rows(
    base: pd.DataFrame, wide: Mapping[str, pd.DataFrame], series: list[Series]
) -> dict[str, Any]:
    """Columns: of each row its series, where its ladder begins, costs, and means by PSNR."""
    places = {(one.network, one.method): place for place, one in enumerate(series)}
    keys = base[[*SCENE, *SERIES]].astype(str)
    own = [tuple(key) for key in keys.itertuples(index=False)]
    first: dict[tuple[str, ...], int] = {}
    for place, key in enumerate(own):
        first.setdefault(key, place)
    tops = zip(own, base["reference"].astype(str), strict=True)
    return {
        "series": [places[key[2], key[3]] for key in own],
        "top": [first.get((*key[:3], reference), -1) for key, reference in tops],
        "image": [plain(key[1]) for key in own],
        **_costs(base),
        **{which: _means(rows) for which, rows in wide.items()},
    }


def _means(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        **{name: _rounded(rows[f"{name}_db"], 4) for name in ("mean", "low", "high")},
        "n": rows["n"].tolist(),
    }


def _costs(frame: pd.DataFrame) -> dict[str, Any]:
    decimals = {"density": 8, "kept": 0, "macs": 0, "seconds": 3}
    return {axis: _rounded(frame[axis], places) for axis, places in decimals.items()}


def _rounded(values: pd.Series, decimals: int) -> list[float | None]:
    """As many digits as a figure can show; whole numbers without a point."""
    found = np.round(values.astype(float).to_numpy(), decimals)
    texts = found.tolist()
    if decimals == 0:
        return [int(value) if value == value else None for value in texts]
    return [value if value == value else None for value in texts]


def _fits(fits: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    """Columns: of each fit its row, which says density and weights, its own costs and PSNRs."""
    key = [*SCENE, *SERIES, *SIZE]
    rows = base[key].assign(row=np.arange(len(base)))
    own = fits[key].astype({name: base[name].dtype for name in key})
    outcomes = {outcome: place for place, outcome in enumerate(BROKEN, start=1)}
    costs = _costs(fits)
    return {
        "row": own.merge(rows, on=key, how="left")["row"].tolist(),
        "id": fits.index.tolist(),
        "seed": fits["seed"].tolist(),
        "broken": fits["outcome"].map(outcomes).fillna(0).astype(int).tolist(),
        "macs": costs["macs"],
        "seconds": costs["seconds"],
        **{which: _rounded(fits[f"psnr_{which}_db"], 3) for which in WHICH},
    }


def _scenes(
    table: pd.DataFrame, wide: Mapping[str, pd.DataFrame], fits: pd.DataFrame
) -> list[dict[str, Any]]:
    """Of each scene the ends of its rows and fits, axes, fronts and what is said of it."""
    volumes = {
        (row.task, row.image, row.which, row.axis): row for row in tuples(hypervolume_table(table))
    }
    placed = fits.reset_index(drop=True)
    tasks = placed.groupby("task", observed=True).indices
    images = placed.groupby(SCENE, observed=True).indices
    scenes = []
    for (task, image), own in wide[WHICH[0]].groupby(SCENE, observed=True):
        places = own.index.to_numpy()
        span = tasks[task] if image == MEAN_IMAGE else images[task, image]
        rows = {which: wide[which].iloc[places] for which in WHICH}
        scene = own["scene"].iloc[0]
        published = [*_published_words(scene)]
        scenes.append(
            {
                "task": task,
                "image": image,
                "unit": own["unit"].iloc[0],
                "rows": [int(places[0]), int(places[-1]) + 1],
                "fits": [int(span[0]), int(span[-1]) + 1],
                "range": psnr_range(pd.concat(rows.values()), placed.iloc[span]),
                "ends": {axis: _ends(own, axis) for axis in AXES},
                "fronts": {
                    which: {axis: _front(one, axis) for axis in AXES} for which, one in rows.items()
                },
                "published": _published(scene),
                "words": {
                    which: _words(
                        one, {axis: volumes[task, image, which, axis] for axis in AXES}, published
                    )
                    for which, one in rows.items()
                },
            }
        )
    return scenes


def _ends(rows: pd.DataFrame, axis: str) -> list[float | None]:
    return numbers([rows[axis].max(), rows[axis].min()])


def _front(rows: pd.DataFrame, axis: str) -> list[int]:
    """The rows on the front, the cheapest first."""
    on = rows[f"front_{axis}"].to_numpy()
    order = np.argsort(rows[axis].to_numpy()[on], kind="stable")
    found: list[int] = rows.index.to_numpy()[on][order].tolist()
    return found


def _published(scene: str) -> dict[str, Any]:
    """Marks by PSNR, where there are any."""
    if not scene or published_for(scene).empty:
        return {}
    marks = {which: published_marks(scene, which) for which in WHICH}
    return {
        which: {
            "x": found["density"].tolist(),
            "y": found["psnr_db"].tolist(),
            "text": found["text"].tolist(),
        }
        for which, found in marks.items()
        if len(found)
    }


def _words(rows: pd.DataFrame, volumes: Mapping[str, Any], published: list[str]) -> dict[str, str]:
    """By axis the front of a scene, what it dominates, and what is missing from it."""
    sample = [*_sample_words(rows), *published]
    return {
        axis: " ".join([*_front_words(volume, axis), *_missing_words(rows, axis), *sample])
        for axis, volume in volumes.items()
    }


def _front_words(volume: Any, axis: str) -> Iterable[str]:
    yield f"Pareto front: {volume.front} of {volume.points} points."
    if volume.hypervolume == volume.hypervolume:
        yield (
            f"Hypervolume {volume.hypervolume:.2f} decades × dB, within the reference point "
            f"{COST_TEXTS[axis](volume.worst_cost)} and {volume.worst_db:.2f} dB, the measurement."
        )


def _sample_words(rows: pd.DataFrame) -> Iterable[str]:
    counts = rows.loc[rows["n"] > 0, "n"]
    if counts.empty:
        return
    unit, least, most = rows["unit"].iloc[0], counts.min(), counts.max()
    if most == 1:
        yield "Every point is one run: there are no intervals."
    else:
        said = f"{most}" if least == most else f"{least} to {most}"
        yield f"Means are over {said} {unit}s."
    partial = int((~rows["whole"]).sum())
    if partial:
        yield f"{partial} of them, over fewer images than the others, are not on the front."
    if rows["missing"].any():
        yield f"Fits without this PSNR: {rows['missing'].sum():,}."


def _missing_words(rows: pd.DataFrame, axis: str) -> Iterable[str]:
    unknown = int(rows[axis].isna().sum())
    if unknown:
        yield f"{unknown} of {len(rows)} points are not shown: they lack {MISSING[axis]}."


def _published_words(scene: str) -> Iterable[str]:
    found = set(published_for(scene)["which"]) if scene else set()
    if found:
        steps = " and ".join(which for which in WHICH if which in found)
        yield f"Published numbers of this image and task are shown by density: {steps} PSNR."
