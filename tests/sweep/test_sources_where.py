"""`sources.where` names fields by dotted paths; one that no trial has finds nothing, in words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lip_ray.sweep import Sweep, SweepError

THEIRS: dict[str, Any] = {
    "name": "theirs",
    "trial": {
        "images": ["camera", "moon"],
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
        "schedule": [1, 0.5],
        "fit": {"steps": 100},
    },
    "grid": {"seed": [0, 1]},
}


def swept(tmp_path: Path, where: dict[str, Any]) -> Sweep:
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(THEIRS))
    trial = {"kind": "transfer", "images": "camera", "task": THEIRS["trial"]["task"]}
    sources = {"sweep": "theirs.yaml", "where": where}
    document = {"name": "ours", "trial": trial, "sources": sources}
    return Sweep.build(document, folder=tmp_path)


@pytest.mark.parametrize(
    "path",
    ["images.x", "images.7", "images.-1", "seed.x", "fit.steps.0", "nothing", "", ".", "rewind.a.b",
     "prior.widths.0", "images.٣x"],
)  # fmt: skip
def test_a_place_that_is_not_there(tmp_path: Path, path: str) -> None:
    with pytest.raises(SweepError, match=r"theirs\.yaml has no trajectory or generator where"):
        swept(tmp_path, {path: 1})


def test_places_that_are(tmp_path: Path) -> None:
    where = {"seed": [0, 7], "images.1.name": "moon", "prior.width": 4}
    assert len(swept(tmp_path, where).trials) == 1
