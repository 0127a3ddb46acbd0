"""A store that grows, and a page of it that another process serves."""

import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from servers import Server, serving

from lip_ray.records import Curve, LevelRecord, Outcome, Reconstruction, TrialRecord
from lip_ray.store import Writer

Row = Callable[..., dict[str, Any]]
Fill = Callable[..., None]

NOON = datetime(2026, 1, 1, 12)
TOTAL = 1000


def trial_record(row: dict[str, Any], trial_id: str) -> TrialRecord:
    """A record of a hand-made row of `trials`."""
    names = ("kind", "pruner", "prior", "task", "image", "seed", "spec", "canonical")
    versions = dict.fromkeys(("lip_ray", "torch", "ray", "python"), "1")
    return TrialRecord(
        **{name: row[name] for name in names},
        **{f"{name}_version": version for name, version in versions.items()},
        trial_id=trial_id,
        levels=3,
        source_ids=(),
        travels=None,
        parameters=TOTAL,
        epoch=2,
        macs_per_step=1_000_000,
        host="host",
        device="cpu",
        started_at=NOON,
    )


def level_record(
    trial_id: str, level: int, image: str, psnr_db: float, png: bytes = b""
) -> LevelRecord:
    """A good fit, with a picture where there is a PNG."""
    kept = TOTAL >> level
    roles = ("clean", "measured", "selected", "peak", "final") if png else ()
    return LevelRecord(
        trial_id=trial_id,
        level=level,
        image=image,
        kept=kept,
        total=TOTAL,
        kept_all=kept,
        total_all=TOTAL,
        effective=kept,
        psnr_measured_db=20.0,
        psnr_peak_db=psnr_db + 0.5,
        psnr_selected_db=psnr_db,
        psnr_final_db=psnr_db - 1.5,
        peak_step=60,
        selected_step=80,
        steps=100,
        outcome=Outcome.BUDGET,
        fit_s=1.0,
        finished_at=NOON,
        curve=Curve(
            step=(0, 50, 100),
            loss=(1.0, 0.5, 0.4),
            psnr_raw_db=(5.0, 20.0, psnr_db),
            psnr_db=(5.0, 20.0, psnr_db),
            statistic=(float("nan"), 0.2, 0.1),
        ),
        reconstructions=tuple(
            Reconstruction(role=role, step=80, height=32, width=32, png=png) for role in roles
        ),
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where one is, empty."""
    Writer.open(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def fill(store: Path, trial_row: Row) -> Fill:
    """Adds levels of one trial: by pruner, seed and what else there is of an image."""

    def add(
        pruner: str = "magnitude",
        *levels: int,
        seed: int = 0,
        image: str = "camera",
        png: bytes = b"",
    ) -> None:
        images = [{"kind": "builtin", "name": image, "size": [128, 128]}]
        row = trial_row(pruner, seed, images=images) | {"image": image}
        trial_id = f"{zlib.crc32(repr((pruner, seed, image)).encode()):016x}"
        writer = Writer.open(store)
        writer.write_trial(trial_record(row, trial_id))
        for level in levels:
            assert writer.write_level([level_record(trial_id, level, image, 27.0 - level, png)])

    return add


@pytest.fixture
def served(store: Path, fill: Fill, tmp_path: Path) -> Iterator[Server]:
    """The page of a store, which another process serves."""
    fill("magnitude", 0)
    with serving(store, tmp_path) as server:
        yield server


@pytest.fixture
def served_empty(store: Path, tmp_path: Path) -> Iterator[Server]:
    """That of a store without any trial."""
    with serving(store, tmp_path) as server:
        yield server
