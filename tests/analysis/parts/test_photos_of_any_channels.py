"""Photos of one and of three channels: their networks differ in size, and are one study."""

from dataclasses import replace
from pathlib import Path

import pytest

from lip_ray.analysis import frontier_table, matching_table
from lip_ray.analysis.parts.frontier.table import MEAN_IMAGE
from lip_ray.records import LevelRecord
from lip_ray.store import Reader, Writer
from lip_ray.trials import Trajectory
from tests import every_kind

TOTALS = {"astronaut": 115_232, "camera": 115_168, "cell": 115_168, "chelsea": 115_232}
"""By photo the prunable weights of a network that ends in its channels."""

DENSITIES = (1.0, 0.5, 0.2, 0.05)


def ladder(place: int, name: str) -> tuple[Trajectory, list[LevelRecord]]:
    """A trial, and its levels: all within the margin of dense but the last."""
    trial = Trajectory.model_validate(
        {
            "images": {"kind": "builtin", "name": name, "size": [64, 64]},
            "task": {"kind": "denoising", "sigma": 25.0},
            "schedule": list(DENSITIES),
        }
    )
    total = TOTALS[name]
    levels = []
    for level, (made_up,) in enumerate(every_kind.level_records(trial)):
        kept = round(DENSITIES[level] * total)
        psnr = 27.0 + place - (0.5 + 0.01 * place if level == 3 else 0.0)
        scores = {f"psnr_{which}_db": psnr for which in ("peak", "selected", "final")}
        sizes = {"kept": kept, "total": total, "kept_all": kept + 10, "total_all": total + 10}
        levels.append(replace(made_up, **sizes, **scores, psnr_measured_db=20.0, unfinished=False))
    return trial, levels


@pytest.fixture
def store(tmp_path: Path) -> Reader:
    writer = Writer.open(tmp_path / "store")
    for place, name in enumerate(TOTALS):
        trial, levels = ladder(place, name)
        writer.write_trial(every_kind.record(trial))
        for one in levels:
            writer.write_level([one])
    return Reader(tmp_path / "store")


def test_the_frontier_has_one_mean_at_each_density(store: Reader) -> None:
    table = frontier_table(store.frame("trials"), store.frame("levels"))
    means = table[(table["image"] == MEAN_IMAGE) & (table["which"] == "selected")]
    assert [*means["density"]] == list(DENSITIES)
    assert [*means["n"]] == [4] * 4
    assert means["whole"].all()


def test_verdicts_are_over_all_photos(store: Reader) -> None:
    (row,) = matching_table(store.frame("trials"), store.frame("levels")).itertuples()
    assert (row.n, row.shown_selected, row.refuted_selected) == (4, 0.2, 0.05)


def test_the_view_matching_agrees(store: Reader) -> None:
    (row,) = store.frame("matching").itertuples()
    assert (row.images, row.matching_density, row.lost_density) == (4, 0.2, 0.05)
