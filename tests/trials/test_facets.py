"""Facets: what a trial's class says of it, and what is read off the specs of older stores."""

import json
from pathlib import Path

import every_kind
import pyarrow as pa
import pytest

from lip_ray.records import PARTS, Facets, TrialRecord
from lip_ray.store import legacy
from lip_ray.store.schema import TABLES
from lip_ray.trials import AnyTrial

TRIALS = every_kind.TRIALS
OLDER = {name: trial for name, trial in TRIALS.items() if name not in every_kind.NEWER}


def row_of(record: TrialRecord) -> dict[str, object]:
    """A row of `trials` as an older version wrote it: without facets."""
    return {name: getattr(record, name) for name in legacy.NEEDED}


@pytest.mark.parametrize("trial", OLDER.values(), ids=list(OLDER))
def test_older_stores_are_read_as_the_class_says(trial: AnyTrial) -> None:
    with every_kind.first_defaults():
        row, expected = row_of(every_kind.record(trial)), trial.facets().columns()
    [found] = legacy.completed("trials", pa.Table.from_pylist([row], TABLES["trials"])).to_pylist()
    lists = {name: list(v) for name, v in expected.items() if isinstance(v, tuple)}
    assert {name: found[name] for name in expected} == expected | lists
    assert found["epoch"] == 1


@pytest.mark.parametrize("trial", TRIALS.values(), ids=list(TRIALS))
def test_settings_and_keys_are_json_and_images_are_parallel(trial: AnyTrial) -> None:
    facets = trial.facets()
    said = facets.columns()
    texts = [said[f"{part}_{end}"] for part in PARTS for end in ("key", "settings")]
    for text in (*texts, *facets.image_keys, *facets.image_settings):
        assert text is None or isinstance(json.loads(text), dict)
    assert len(facets.images) == len(facets.image_keys) == len(facets.image_settings)
    assert facets.images == tuple(row.image for row in next(every_kind.level_records(trial))) or (
        trial.kind == "generator" and not facets.images
    )


def test_columns_are_those_of_the_table() -> None:
    assert set(Facets.names()) <= set(TABLES["trials"].names)
    assert tuple(TRIALS["own"].facets().columns()) == Facets.names()


def test_a_setting_is_shared_by_trials_that_differ_by_their_seeds_alone() -> None:
    settings = {name: trial.facets().setting for name, trial in TRIALS.items()}
    alike = [
        ("own", "another seed"),
        ("moved", "moved, another seed"),
        ("moved", "moved to another seed"),
        ("classified", "classified, another seed"),
        ("generator", "generator, another seed"),
        ("sensed", "sensed, another seed"),
    ]
    for one, other in alike:
        assert settings[one] == settings[other]
    distinct = settings.keys() - {other for _, other in alike} - {
        "task denoising", "classified, own seed", "another image, another seed",
    } - {name for name in settings if name.startswith("floor of")}  # fmt: skip
    assert len({settings[name] for name in distinct}) == len(distinct)


def test_one_latent_for_several_images_is_named_wherever_its_tickets_are() -> None:
    found, moved = TRIALS["one latent"].facets(), TRIALS["from one latent"].facets()
    assert found.method.name == "magnitude found on 2 images, one latent, clean target"
    assert found.dense.name == "dense, on 2 images at once, one latent, clean target"
    assert moved.method.name.endswith(", one latent, clean target")
    assert "one latent" not in moved.dense.name  # which is fitted with a latent of its own
    assert found.dense.key != TRIALS["two"].facets().dense.key


def test_rows_that_lack_facets_are_completed_beside_those_that_have_them() -> None:
    with every_kind.first_defaults():
        records = [every_kind.record(trial) for trial in OLDER.values()]
    whole = [vars(one) | one.facets.columns() for one in records if one.facets]
    later = ("epoch", *Facets.names())
    bare = [row if place % 2 else row | dict.fromkeys(later) for place, row in enumerate(whole)]
    expected, given = (pa.Table.from_pylist(rows, TABLES["trials"]) for rows in (whole, bare))
    assert legacy.completed("trials", given).to_pylist() == expected.to_pylist()
    assert legacy.completed("trials", expected) is expected


def test_a_spec_that_is_not_understood_has_its_setting_alone() -> None:
    row = row_of(every_kind.record(TRIALS["own"])) | {"spec": "{}", "canonical": '{"seed": 1}'}
    assert list(legacy.columns_of(row)) == ["setting"]


def test_a_store_of_every_kind_reads_back(tmp_path: Path) -> None:
    reader = every_kind.store(tmp_path)
    rows = {row["trial_id"]: row for row in reader.sql("from trials").to_pylist()}
    for trial in TRIALS.values():
        said = trial.facets().columns()
        lists = {name: list(v) for name, v in said.items() if isinstance(v, tuple)}
        assert {name: rows[trial.id][name] for name in said} == said | lists
