"""The last parts of a page: what they read of a large store, and what they say of a small one."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Section
from lip_ray.analysis.page.static import section_html
from lip_ray.analysis.parts import cost, layers, overlap, traces
from lip_ray.analysis.parts.cost import MOST_REASONS
from lip_ray.analysis.parts.traces import MOST_PROBLEMS
from lip_ray.records import LayerMask

Row = dict[str, Any]
STEP = np.arange(50)


class Store:
    """A store that makes curves and masks as they are asked for, and remembers which were."""

    def __init__(self, trials: list[Row], levels: list[Row], failures: list[Row] | None = None):
        self.trials, self.levels = pd.DataFrame(trials), pd.DataFrame(levels)
        self.failures = pd.DataFrame(failures or [])
        self.read: dict[str, set[str]] = {}
        self.unpacked: list[tuple[str, int]] = []

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """Its rows, made up."""
        if table in ("trials", "levels", "failures"):
            return getattr(self, table)
        if table == "points":
            return pd.DataFrame()
        assert trials is not None, f"all of {table} was read"
        self.read[table] = set(trials)
        own = self.levels[self.levels["trial_id"].isin(trials)]
        keys = own[["trial_id", "level"]].to_dict("records")
        if table == "masks":
            layer = {"position": 0, "layer": "w", "shape": np.array([4, 4]), "kept": 4, "total": 16}
            return pd.DataFrame([key | layer for key in keys])
        rise = 25 - 20 / (1 + STEP)
        lists = {"step": STEP, "psnr_db": rise, "psnr_raw_db": rise, "statistic": 1 / (1 + STEP)}
        keys = own[["trial_id", "level", "image"]].to_dict("records")
        return pd.DataFrame([key | lists for key in keys])

    def masks(self, trial_id: str, level: int, /) -> tuple[LayerMask, ...] | None:
        """One layer of which a quarter is kept."""
        self.unpacked.append((trial_id, level))
        bits = np.packbits(np.arange(16) < 4).tobytes()
        return (LayerMask(layer="w", shape=(4, 4), kept=4, total=16, bits=bits),)

    def sections(self) -> list[Section]:
        """Of a page."""
        content = Content(store=self, parts=[one.PART for one in (traces, layers, overlap, cost)])
        return [one for _, own in content.outline() for one in own]


def timed(level: Row) -> Row:
    """With what a fit took."""
    return level | {
        "fit_s": 9.0,
        "memory_mb": 500.0,
        "device": "cpu",
        "threads": 1,
        "execution": "dense",
    }


@pytest.fixture
def small(trial_row: Callable[..., Row], level_row: Callable[..., Row]) -> Store:
    """Two pruners, two seeds, three densities; the last fit has collapsed."""
    trials = [trial_row(pruner, seed) for pruner in ("magnitude", "random") for seed in (0, 1)]
    levels = [timed(level_row(trial, level)) for trial in trials for level in range(3)]
    levels[-1] |= {"outcome": "collapsed", "reason": "no <b>path"}
    return Store(trials, levels)


def test_each_part_is_there_once(small: Store) -> None:
    sections = small.sections()
    assert [section.name for section in sections] == [
        "of-trace-0", "of-layers-0", "of-overlap-0", "cost",
    ]  # fmt: skip
    for section in sections:
        assert section.figure is not None
        assert f'id="{section.figure.place}"' in section_html(section)
    assert len({section.figure.place for section in sections}) == 4


def test_controls_choose_among_all_buttons_of_their_menu(small: Store) -> None:
    for section in small.sections()[:3]:
        body = section_html(section)
        menus = section.figure.figure.layout.updatemenus
        for place, menu in enumerate(menus):
            own = body.split(f'data-menu="{place}"')[1:]
            counts = [
                part.split("</select>")[0].count("<option")
                or part.split("</fieldset>")[0].count("<input")
                for part in own
            ]
            assert np.prod(counts) == len(menu.buttons), (section.name, place)


def test_failures_are_said_and_escaped(small: Store) -> None:
    cost = section_html(small.sections()[-1])
    assert "collapsed" in cost
    assert "no &lt;b&gt;path" in cost
    assert "<b>path" not in cost


def test_rare_reasons_are_counted(small: Store) -> None:
    lost = {"trial_id": "x", "open": True}
    small.failures = pd.DataFrame([lost | {"reason": f"reason {i:03}"} for i in range(40)])
    cost = section_html(small.sections()[-1])
    assert cost.count("reason 0") == MOST_REASONS - 1
    assert "11 rarer reasons, 11 times in all" in cost


def test_without_curves_or_masks_there_is_the_cost_alone(small: Store) -> None:
    class Bare(Store):
        def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
            if table in ("trials", "levels"):
                return super().frame(table)
            return pd.DataFrame()

        def masks(self, trial_id: str, level: int, /) -> tuple[LayerMask, ...] | None:
            return None

    bare = Bare(small.trials.to_dict("records"), small.levels.to_dict("records"))
    sections = bare.sections()
    assert [section.name for section in sections] == ["cost"]
    assert "no path" not in section_html(sections[0]).replace("no &lt;b&gt;path", "")


def test_a_store_of_classifiers_has_the_cost_alone(classifiers: Any) -> None:
    levels = [timed(row) for row in classifiers.frames["levels"].to_dict("records")]
    store = Store(classifiers.frames["trials"].to_dict("records"), levels)
    assert [section.name for section in store.sections()] == ["cost"]


def test_little_is_read_of_a_large_store(
    trial_row: Callable[..., Row], level_row: Callable[..., Row]
) -> None:
    trials, levels = [], []
    for sigma in range(1, 21):
        task = {"kind": "denoising", "sigma": float(sigma)}
        for pruner in range(8):
            for seed in (0, 1):
                trials.append(trial_row(f"pruner{pruner}", seed, task=task))
                levels += [timed(level_row(trials[-1], level)) for level in range(6)]
    store = Store(trials, levels)
    sections = store.sections()
    names = [section.name for section in sections]
    assert sum(name.startswith("of-trace") for name in names) == MOST_PROBLEMS
    assert len(store.read["curves"]) <= MOST_PROBLEMS * 8
    assert len(store.read["masks"]) <= 6 * 6
    assert len(store.unpacked) == len(set(store.unpacked)) == 24 * 3
    first = section_html(sections[0])
    assert "Of 20 problems the 12 with the most fits are shown." in first
    size = sum(len(section.figure.figure.to_json()) for section in sections)
    assert size < 3_000_000
    assert "tickets 24 are shown" in section_html(sections[names.index("of-overlap-0")])


def test_the_largest_networks_are_mapped(
    trial_row: Callable[..., Row], level_row: Callable[..., Row]
) -> None:
    trials, levels = [], []
    for width in range(1, 8):
        for seed in range(2 if width > 3 else 1):
            prior = {"kind": "skip", "width": width}
            trials.append(trial_row("magnitude", seed, prior=prior))
            levels += [timed(level_row(trials[-1], level)) for level in range(3)]
    names = [section.title for section in Store(trials, levels).sections()]
    maps = [name for name in names if name.startswith("Density by layer")]
    assert maps == [f"Density by layer: skip (width {width})" for width in (4, 5, 6, 7)]
