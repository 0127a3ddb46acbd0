"""What the dialog tells of a fit beside its picture: its curve, its layers, its sweep file."""

import json
import math
from collections.abc import Callable, Collection
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import frontier_points
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.gallery import NO_PICTURES, PICTURE_KEY
from lip_ray.analysis.parts.problems import details as detailing
from lip_ray.analysis.parts.problems.cards import cards, neighbours
from lip_ray.analysis.parts.problems.details import NO_DETAILS, details_of
from lip_ray.analysis.parts.problems.section import sections
from lip_ray.strict_yaml import parse

Row = Callable[..., dict[str, Any]]


class Stored:
    """A store with curves and masks, which remembers what was read of which trials."""

    def __init__(self, trials: list[dict[str, Any]], levels: list[dict[str, Any]]) -> None:
        self.trials, self.levels = pd.DataFrame(trials), pd.DataFrame(levels)
        self.curves, self.layers = True, True
        self.read: dict[str, set[str]] = {}

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The rows of that table, or of these trials."""
        if table in ("trials", "levels"):
            return getattr(self, table)
        if trials is None:
            return pd.DataFrame()
        self.read[table] = set(trials)
        own = self.levels[self.levels["trial_id"].isin(trials)]
        if table == "reconstructions":
            return pd.DataFrame(columns=[*PICTURE_KEY, "role", "png"])
        if table == "masks" and self.layers:
            rows = [
                {"position": 1, "layer": "2.weight", "kept": 1, "total": 3},
                {"position": 0, "layer": "1.weight", "kept": 16, "total": 16},
            ]
            return own[["trial_id", "level"]].merge(pd.DataFrame(rows), how="cross")
        if table == "curves" and self.curves:
            values = [5.0, math.nan, 27.0]
            lists = dict.fromkeys(("psnr_db", "psnr_raw_db", "statistic"), values)
            one = pd.DataFrame([{"step": [0, 50, 100], **lists}])
            return own[["trial_id", "level", "image"]].merge(one, how="cross")
        return pd.DataFrame()

    def masks(self, trial_id: str, level: int, /) -> None:
        """None is stored."""


@pytest.fixture
def stored(trial_row: Row, level_row: Row) -> Stored:
    """Two trials of three levels."""
    trials = [trial_row(pruner) for pruner in ("magnitude", "random")]
    return Stored(trials, [level_row(one, level) for one in trials for level in range(3)])


def fits_of(stored: Stored) -> pd.DataFrame:
    """All of its fits."""
    return frontier_points(stored.trials, stored.levels)


def told(stored: Stored) -> dict[str, dict[str, Any]]:
    """The cards of its fits."""
    fits = fits_of(stored)
    return cards(fits, NO_PICTURES, lambda: details_of(Content(store=stored), fits))


def test_a_card_has_the_curve_with_gaps_where_it_has_no_psnr(stored: Stored) -> None:
    for card in told(stored).values():
        assert list(card["curve"]["step"]) == [0, 50, 100]
        assert card["curve"]["psnr"] == [5.0, None, 27.0]
    json.dumps([card["curve"]["psnr"] for card in told(stored).values()], allow_nan=False)


def test_a_card_has_the_densities_of_its_layers_in_their_order(stored: Stored) -> None:
    for card in told(stored).values():
        assert card["layers"] == {"name": ["1.weight", "2.weight"], "kept": [1.0, 0.3333]}


def test_a_card_has_the_sweep_file_of_its_trial_which_is_kept_once(stored: Stored) -> None:
    found = details_of(Content(store=stored), fits_of(stored))
    assert set(found.sweeps) == set(stored.trials["trial_id"])
    for fit in fits_of(stored).itertuples():
        assert found.of(fit)["sweep"] == fit.trial_id
    for trial_id, text in found.sweeps.items():
        [spec] = stored.trials.loc[stored.trials["trial_id"] == trial_id, "spec"]
        assert parse(text) == {"name": f"again-{trial_id}", "trial": json.loads(spec)}


def test_what_is_not_stored_is_not_told(stored: Stored) -> None:
    stored.curves = stored.layers = False
    for card in told(stored).values():
        assert card.keys() & {"curve", "layers", "sweep"} == {"sweep"}
    assert "curve" not in cards(fits_of(stored), NO_PICTURES, lambda: NO_DETAILS)["0"]


def test_no_more_fits_have_details_than_a_page_holds(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detailing, "MOST_DETAILED", 2)
    found = told(stored)
    assert ["curve" in card for card in found.values()] == [True] * 2 + [False] * 4
    own = set(stored.trials["trial_id"].iloc[:1])
    assert stored.read == {"curves": own, "masks": own}


def test_a_page_without_room_for_pictures_reads_no_details(stored: Stored) -> None:
    for room, read in ((0, set()), (None, set()), (10**6, {"curves", "masks"})):
        stored.read.clear()
        for section in sections(Content(store=stored, room=room)):
            section.cards()
            assert bool(section.sweeps()) == bool(read)
        assert stored.read.keys() & {"curves", "masks"} == read


def test_a_sparse_fit_names_the_dense_one_of_its_seed(trial_row: Row, level_row: Row) -> None:
    trials = [trial_row("magnitude", seed) for seed in (0, 1)]
    levels = [level_row(trial, level) for trial in trials for level in range(3)]
    fits = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
    found = neighbours(fits, NO_PICTURES)
    assert [found[str(label)]["dense"] for label in range(6)] == [None, "0", "0", None, "3", "3"]


def test_without_a_dense_fit_there_is_none(trial_row: Row, level_row: Row) -> None:
    trial = trial_row()
    fits = frontier_points(pd.DataFrame([trial]), pd.DataFrame([level_row(trial, 1)]))
    assert neighbours(fits, NO_PICTURES)["0"]["dense"] is None
