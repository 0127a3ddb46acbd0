"""All traces that the frontier's scenes could have, and the columns that these refer to.

The columns are those of all scenes: means, then fits, then published numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...charts.choices import Column, Columns, Drawing, Piece, Places, Trace, Values
from ...charts.style import plain
from ...rows.naming import tuples
from ...rows.points import WHICH
from ...statistics.published import published_for, published_table
from .looks import FLAWED, FRONT, MEASURED, PUBLISHED, SAMPLES, Series
from .table import AXES, SCENE, SERIES

MANY = 2_000
"""Fits in view beyond which they are drawn by WebGL."""

COST_DECIMALS = {"density": 8, "kept": 0, "macs": 0, "seconds": 3}
MEAN_DECIMALS, FIT_DECIMALS = 4, 3
"""The decimals that a page needs."""

Scene = tuple[str, str]
"""A task and an image."""

LEAST_SAMPLES = 3
"""Fits or images from which a mean has an interval drawn; the fits themselves say more below."""

DODGE = 0.011
"""How far apart the intervals of two series are, in spans of the axis: about their own width."""

CONDITIONS = {(which, axis): {"which": [which], "axis": [axis]} for which in WHICH for axis in AXES}


def drawings(
    series: Sequence[Series], rows: Mapping[str, pd.DataFrame], fits: pd.DataFrame | None = None
) -> dict[Scene, Drawing]:
    """All that the figure of each scene could show.

    `rows` are those of a `scene_table` by `which` PSNR, of the same means in the same order; `fits`
    are `frontier_fits` of these scenes.
    """
    means = _Means(
        rows={which: own.reset_index(drop=True) for which, own in rows.items()}, fits=fits
    )
    marks = None if fits is None else _Fits(fits=_in_order(fits, series), series=series)
    published, published_marks = _published(means.keys)
    measured, measured_lines = _measured(next(iter(rows.values())))
    columns = {**means.columns, **(marks.columns if marks else {}), **published, **measured}

    def traces(scene: Scene) -> Iterator[Trace]:
        yield from measured_lines.get(scene, ())
        for one in series:
            yield from means.traces(scene, one)
        if marks:
            yield from marks.traces(scene)
        yield means.front(scene)
        yield from published_marks.get(scene, ())

    return {
        scene: Drawing(traces=[*traces(scene)], columns=columns, most=MANY) for scene in means.keys
    }


@dataclass(frozen=True, kw_only=True)
class _Means:
    """The means of a `scene_table` by `which` PSNR and, below, two ends for each level line."""

    rows: Mapping[str, pd.DataFrame]
    fits: pd.DataFrame | None = None

    def traces(self, scene: Scene, series: Series) -> Iterator[Trace]:
        """A series' intervals, its means and, of a dense network, their level lines."""
        own = self._places(scene, series, series.method)
        if not len(own):
            return
        yield from self._intervals(series, own)
        if series.base:
            yield _trace(series.means, series, own)
            yield from (_trace(series.level, series, self._ends(row)) for row in own)
        else:
            dense = self._places(scene, series, self._base["reference"].iat[own[0]])
            yield _trace(series.means, series, [*dense[:1], *own])

    def _intervals(self, series: Series, own: Values) -> Iterator[Trace]:
        """Those of the means over `LEAST_SAMPLES` and more, as bars and, along a ladder, bands."""
        bars, bands = [], []
        for which, rows in self.rows.items():
            places = own[rows["n"].to_numpy()[own] >= LEAST_SAMPLES]
            if not len(places):
                continue
            along = len(places) > 1 and not series.base
            when = {**series.when, "which": [which]}
            spreads = ["bars"] if along else ["bars", "bands"]
            bars.append(Piece(when={**when, "spread": spreads}, places=places))
            for axis in AXES if along else ():
                order = np.argsort(rows[axis].to_numpy()[places], kind="stable")
                own_axis = {**when, "spread": ["bands"], "axis": [axis]}
                bands.append(Piece(when=own_axis, places=places[order]))
        if bars:
            yield Trace(template=series.interval, pieces=bars)
        if bands:
            yield Trace(template=series.band, pieces=bands)

    def front(self, scene: Scene) -> Trace:
        """Which means are on the front, the cheapest first, differs by PSNR and by cost."""
        pieces = [
            Piece(when=CONDITIONS[which, axis], places=self._on_front(scene, which, axis))
            for which in self.rows
            for axis in AXES
        ]
        return Trace(template=FRONT, pieces=pieces)

    @property
    def columns(self) -> Columns:
        """Costs by axis, the others by PSNR."""
        dense, by_scene = self._dense, self._base.groupby(SCENE, observed=True)
        costs = {}
        for axis in AXES:
            own = self._base[axis].to_numpy(float)
            ends = [by_scene[axis].transform(end).to_numpy(float)[dense] for end in ("max", "min")]
            values = np.concatenate([own, np.column_stack(ends).ravel()])
            costs[axis] = Column(values=values, decimals=COST_DECIMALS[axis])
        beside = {
            axis: Column(values=self._base[axis] * own, decimals=COST_DECIMALS[axis])
            for axis, own in self._dodges.items()
        }
        means = {
            which: np.concatenate([own, np.repeat(own[dense], 2)])
            for which, own in self._by_which("mean_db").items()
        }
        samples = {
            which: np.where(own["n"] > 1, own["unit"].map([*SAMPLES].index), 0)
            for which, own in self.rows.items()
        }
        return {
            "cost": costs,
            "cost beside": beside,
            "mean": _columns(means, MEAN_DECIMALS),
            "low": _columns(self._by_which("low_db"), MEAN_DECIMALS),
            "high": _columns(self._by_which("high_db"), MEAN_DECIMALS),
            "n": _columns(self._by_which("n")),
            "sample": _columns(samples),
            "mean fit": _columns({which: self._nearest(which) for which in self.rows}),
        }

    def _nearest(self, which: str) -> Values:
        """For each mean the label of the fit, as a text, whose PSNR is nearest to it."""
        rows, psnr = self.rows[which], f"psnr_{which}_db"
        found = np.full(len(rows), "", object)
        if self.fits is None:
            return found
        fits = self.fits[["task", "image", *SERIES, "density", psnr]].dropna(subset=[psnr])
        fits = fits.assign(fit=fits.index.astype(str), image=fits["image"].astype(str))
        own = rows[["task", "image", *SERIES, "density", "mean_db"]]
        own = own.assign(place=np.arange(len(own)), image=own["image"].astype(str))
        for keys in (["task", "image", *SERIES, "density"], ["task", *SERIES, "density"]):
            pairs = own[found == ""].merge(fits.drop(columns=[*{"image"} - {*keys}]), on=keys)
            apart = (pairs[psnr] - pairs["mean_db"]).abs().dropna()  # none to an infinite mean
            first = pairs.loc[apart.groupby(pairs.loc[apart.index, "place"]).idxmin()]
            found[first["place"]] = first["fit"]
        return found

    @cached_property
    def keys(self) -> dict[Scene, str]:
        """The scenes with the JSON of their image and task."""
        return dict(self._base.groupby(SCENE, observed=True)["scene"].first())

    @cached_property
    def _base(self) -> pd.DataFrame:
        """The columns that are the same for all PSNRs."""
        return next(iter(self.rows.values()))

    @cached_property
    def _scenes(self) -> Mapping[Any, Any]:
        return self._base.groupby(SCENE, observed=True).indices

    @cached_property
    def _series(self) -> Mapping[Any, Any]:
        return self._base.groupby([*SCENE, *SERIES], observed=True).indices

    @cached_property
    def _dense(self) -> Any:
        base = self._base
        return np.flatnonzero(base["method"].astype(str) == base["reference"].astype(str))

    @property
    def _dodges(self) -> dict[str, Any]:
        """By axis the factors that set the intervals of a scene's series apart."""
        base = self._base
        scene = [base[name].astype(str) for name in SCENE]
        ranks = base.groupby(SERIES, observed=True).ngroup().groupby(scene).rank("dense")
        apart = DODGE * (ranks - ranks.groupby(scene).transform("mean"))
        apart.iloc[self._dense] = 0.0  # no other series has a mean there
        costs = {axis: np.log10(base[axis].where(base[axis] > 0)).groupby(scene) for axis in AXES}
        spans = {axis: one.transform("max") - one.transform("min") for axis, one in costs.items()}
        return {axis: 10 ** (apart * span).fillna(0.0) for axis, span in spans.items()}

    def _by_which(self, name: str) -> dict[str, Any]:
        return {which: own[name].to_numpy() for which, own in self.rows.items()}

    def _ends(self, row: int) -> Places:
        first = len(self._base) + 2 * int(np.searchsorted(self._dense, row))
        return [first, first + 1]

    def _places(self, scene: Scene, series: Series, method: Any) -> Any:
        return self._series.get((*scene, series.network, method), ())

    def _on_front(self, scene: Scene, which: str, axis: str) -> Any:
        rows = self.rows[which][[axis, f"front_{axis}"]].iloc[self._scenes[scene]]
        return rows.loc[rows[f"front_{axis}"], axis].sort_values(kind="stable").index


@dataclass(frozen=True, kw_only=True)
class _Fits:
    """Fits as `_in_order` gives them."""

    fits: pd.DataFrame
    series: Sequence[Series]

    def traces(self, scene: Scene) -> Iterator[Trace]:
        """Open marks by series, those of each flaw as it is marked, and what these marks mean."""
        for one, own in self._shown(scene, ""):
            yield _trace(one.fits, one, own)
        for flaw, entry in FLAWED.items():
            shown = list(self._shown(scene, flaw))
            for one, own in shown:
                yield _trace(one.flawed[flaw], one, own)
            if shown:
                pieces = [Piece(when=one.when, places=()) for one, _ in shown]
                yield Trace(template=entry, pieces=pieces)

    @property
    def columns(self) -> Columns:
        """Costs by axis, PSNRs, and what is said of each fit."""
        fits = self.fits
        psnrs = {which: fits[f"psnr_{which}_db"].to_numpy(float) for which in WHICH}
        texts = [
            f"{plain(image)}, seed {seed}"
            for image, seed in zip(fits["image"], fits["seed"], strict=True)
        ]
        return {
            "fit": Column(values=fits.index.to_numpy()),
            "fit cost": {
                axis: Column(values=fits[axis].to_numpy(float), decimals=COST_DECIMALS[axis])
                for axis in AXES
            },
            "fit psnr": _columns(psnrs, FIT_DECIMALS),
            "fit text": Column(values=np.array(texts, object)),
        }

    @cached_property
    def _of_task(self) -> Mapping[Any, Any]:
        return self.fits.groupby(["task", "series", "flaw"], observed=True).indices

    @cached_property
    def _of_image(self) -> Mapping[Any, Any]:
        return self.fits.groupby(["task", "image", "series", "flaw"], observed=True).indices

    def _shown(self, scene: Scene, flaw: str) -> Iterator[tuple[Series, Places]]:
        """The series that have such fits, with their places.

        They are those of all images of the task where the scene is their mean.
        """
        task, image = scene
        single = image in self.fits["image"].cat.categories
        known, start = (self._of_image, scene) if single else (self._of_task, (task,))
        for place, one in enumerate(self.series):
            if (*start, place, flaw) in known:
                yield one, known[*start, place, flaw]


def _in_order(fits: pd.DataFrame, series: Sequence[Series]) -> pd.DataFrame:
    """The fits with the place of their `series`, those of one trace together."""
    places = {(one.network, one.method): place for place, one in enumerate(series)}
    own = zip(fits["network"], fits["method"], strict=True)
    drawn = fits["flaw"].where(fits["flaw"].isin(list(FLAWED)), "")
    found = fits.assign(series=[places.get(pair, -1) for pair in own], flaw=drawn)
    return found.sort_values(["task", "series", "flaw", "image"], kind="stable")


def _measured(rows: pd.DataFrame) -> tuple[Columns, dict[Scene, list[Trace]]]:
    """The PSNR of what was measured, a level line a scene where it is known.

    The `rows` are those of one PSNR. Columns are both ends by axis, and the PSNR at both.
    """
    ends = {f"{axis}_{end}": (axis, end) for axis in AXES for end in ("max", "min")}
    found = rows.groupby(SCENE, observed=True).agg(**ends, measured_db=("measured_db", "mean"))
    found = found[found["measured_db"].notna()]
    costs = {
        axis: Column(
            values=found[[f"{axis}_max", f"{axis}_min"]].to_numpy(float).ravel(),
            decimals=COST_DECIMALS[axis],
        )
        for axis in AXES
    }
    psnr = np.repeat(found["measured_db"].to_numpy(float), 2)
    lines = {
        scene: [Trace(template=MEASURED, pieces=[Piece(when={}, places=[2 * row, 2 * row + 1])])]
        for row, scene in enumerate(found.index)
    }
    return {"measured cost": costs, "measured": Column(values=psnr, decimals=MEAN_DECIMALS)}, lines


def _published(keys: Mapping[Scene, str]) -> tuple[Columns, dict[Scene, list[Trace]]]:
    """Published PSNRs of scenes, marks by density, each with a text that says whose it is."""
    own = [
        published_for(key).assign(task=task, image=image)
        for (task, image), key in keys.items()
        if key
    ]
    found = pd.concat([published_table().iloc[:0], *own], ignore_index=True)
    texts = [
        f"{plain(f'{row.network}, {row.method}')}<br>{plain(row.source)}" for row in tuples(found)
    ]
    columns = {
        "published density": Column(values=found["density"].to_numpy(float), decimals=8),
        "published psnr": Column(values=found["psnr_db"].to_numpy(float), decimals=8),
        "published text": Column(values=np.array(texts, object)),
    }
    return columns, _published_marks(found)


def _published_marks(found: pd.DataFrame) -> dict[Scene, list[Trace]]:
    """The marks of each scene that there are published PSNRs of, in pieces by `which` PSNR."""
    marks: dict[Scene, list[Trace]] = {}
    for (task, image), rows in found.groupby(SCENE):
        places = rows.groupby("which").groups
        pieces = [
            Piece(when=CONDITIONS[which, "density"], places=places[which].to_numpy())
            for which in WHICH
            if which in places
        ]
        if pieces:
            marks[str(task), str(image)] = [Trace(template=PUBLISHED, pieces=pieces)]
    return marks


def _trace(template: Mapping[str, Any], series: Series, places: Places) -> Trace:
    return Trace(template=template, pieces=[Piece(when=series.when, places=places)])


def _columns(values: Mapping[str, Any], decimals: int | None = None) -> dict[str, Column]:
    return {which: Column(values=own, decimals=decimals) for which, own in values.items()}
