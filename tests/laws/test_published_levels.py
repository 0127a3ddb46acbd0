"""Levels of the published study come out again when their trials are run anew.

On a CPU of the kind that they were found on all bits are the same. Elsewhere sums are rounded in
another order: what was counted is the same, and the PSNR is as near as rounding lets it be.
"""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lip_ray.analysis.statistics.rounding import rounding_db
from lip_ray.processor import cpu_name
from lip_ray.records import LevelRecord
from lip_ray.store import Reader
from lip_ray.trials import Context, from_json, run

STORE = Path(__file__).resolve().parents[2] / "studies" / "lottery"
DRAWN = 3

OF_THE_RUN = {"fit_s", "memory_mb", "host", "finished_at", "lip_ray_version", "torch_version"}
COUNTED = ("kept", "total", "kept_all", "total_all", "steps", "outcome")

SPREAD = 2.0
"""Times what rounding makes of the mean of the drawn levels: four of its standard deviations."""


@pytest.fixture(scope="module")
def drawn() -> list[dict[str, Any]]:
    """Levels that trials found by themselves, of which the curve is published too; those of this
    kind of CPU if there are any."""
    found = (
        Reader(STORE)
        .sql(
            "with own as (from levels semi join curves using (trial_id, level, image)) "
            "select own.*, trial.spec from own join trials as trial using (trial_id) "
            "where trial.kind = 'trajectory' and own.cpu is not null order by trial_id, level"
        )
        .to_pandas()
    )
    assert len(found) >= DRAWN
    here = found[found["cpu"] == cpu_name()]
    rows = (found if len(here) < DRAWN else here).to_dict("records")
    return random.Random("levels to run again").sample(rows, DRAWN)


@pytest.fixture(scope="module")
def again(drawn: list[dict[str, Any]]) -> list[LevelRecord]:
    """The records of those levels, from the first fit of each trial on."""
    threads = torch.get_num_threads()
    try:
        return [found_again(row) for row in drawn]
    finally:
        torch.set_num_threads(threads)


def found_again(row: dict[str, Any]) -> LevelRecord:
    torch.set_num_threads(row["threads"])
    records = run(from_json(row["spec"]), Context(device=torch.device("cpu")))
    own = (row["level"], row["image"])
    return next(record for record in records if (record.level, record.image) == own)


def curve_of(row: dict[str, Any]) -> dict[str, Any]:
    asked = (
        f"trial_id = '{row['trial_id']}' and level = {row['level']} and image = '{row['image']}'"
    )
    return Reader(STORE).sql(f"select * from curves where {asked}").to_pandas().iloc[0].to_dict()


@pytest.mark.slow
def test_what_is_counted_is_the_same(drawn, again) -> None:
    for row, record in zip(drawn, again, strict=True):
        assert [getattr(record, name) for name in COUNTED] == [row[name] for name in COUNTED]
        assert record.psnr_measured_db == pytest.approx(row["psnr_measured_db"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["peak", "final"])
def test_the_psnr_is_as_near_as_rounding_lets_it_be(drawn, again, by: str) -> None:
    column = f"psnr_{by}_db"
    off = [getattr(found, column) - row[column] for row, found in zip(drawn, again, strict=True)]
    assert abs(sum(off) / DRAWN) <= SPREAD * rounding_db(DRAWN), off


@pytest.mark.slow
def test_on_the_same_kind_of_cpu_the_bits_are_the_same(drawn, again) -> None:
    elsewhere = sorted({row["cpu"] for row in drawn} - {cpu_name()})
    if elsewhere:
        pytest.skip(f"the levels are of {elsewhere[0]}, this is {cpu_name()}")
    for row, record in zip(drawn, again, strict=True):
        columns = {field.name for field in dataclasses.fields(record)} & set(row) - OF_THE_RUN
        assert len(columns) > 20
        for name in sorted(columns):
            assert getattr(record, name) == (None if pd.isna(row[name]) else row[name]), name
        stored = curve_of(row)
        for name in ("step", "loss", "psnr_raw_db", "psnr_db", "statistic"):
            np.testing.assert_array_equal(
                np.asarray(getattr(record.curve, name), stored[name].dtype), stored[name], name
            )
