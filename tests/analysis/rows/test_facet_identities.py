"""Identities are what they were: names, and keys and settings by hash, of the present epoch.

Only the names of networks that are fitted to several images have changed: they name the images.
"""

import hashlib
import json
from pathlib import Path

import every_kind as every
import pytest

from lip_ray.analysis.parts.transfer import transfer_table
from lip_ray.analysis.parts.verdicts import matching_table
from lip_ray.analysis.rows.identity import identities
from lip_ray.store import Reader

BEFORE = json.loads((Path(__file__).parent / "identities_before_facets.json").read_text("utf-8"))


@pytest.fixture
def reader(every_kind_store: Reader) -> Reader:
    """A store with every kind of trial."""
    return every_kind_store


def told(column: str, value: str) -> str:
    """A name as it is, JSON by its hash."""
    return value if column.endswith("_name") else hashlib.sha256(value.encode()).hexdigest()[:8]


@pytest.mark.parametrize("name", BEFORE)
def test_they_are_what_they_were(reader: Reader, name: str) -> None:
    own = [every.TRIALS[name].id]
    found = identities(reader.frame("trials", trials=own), reader.frame("levels", trials=own))
    rows = {row["image"]: row for row in found.astype(str).to_dict("records")}
    assert rows.keys() == BEFORE[name].keys()
    for image, columns in BEFORE[name].items():
        assert {column: told(column, rows[image][column]) for column in columns} == columns


@pytest.mark.parametrize("name", ["digit", "training digit", "npz", "from a digit", "to a digit"])
def test_images_without_a_name_of_their_own_are_told_apart_by_label(
    reader: Reader, name: str
) -> None:
    trial = every.TRIALS[name]
    found = identities(
        reader.frame("trials", trials=[trial.id]), reader.frame("levels", trials=[trial.id])
    )
    labels = trial.facets().images
    assert list(found["target_name"]) == list(labels)
    assert found["scene_key"].nunique() == len(labels)


def test_several_images_at_once_are_a_study_of_their_own(reader: Reader) -> None:
    """Their means do not mix with those of networks that are fitted to one image."""
    studies = {}
    for name in ("own", "two"):
        own = [every.TRIALS[name].id]
        found = identities(reader.frame("trials", trials=own), reader.frame("levels", trials=own))
        [studies[name]] = set(zip(found["study_name"], found["study_key"], strict=True))
    assert studies["own"][0] == ""
    assert studies["two"][0] == ", 2 images at once"
    assert studies["own"][1] != studies["two"][1]


@pytest.mark.parametrize(
    ("name", "image", "task"),
    [
        ("moved", "astronaut", "denoising"),
        ("from a digit", "digit-3", "denoising"),
        ("from two", "astronaut + camera", "denoising"),
        ("consensus", "astronaut + camera", "denoising"),
        ("consensus of a digit", "astronaut + digit-3", "denoising"),
        ("consensus of tasks", "astronaut", "denoising + poisson"),
        ("from a file", None, None),
    ],
)
def test_the_view_names_where_tickets_were_found(
    reader: Reader, name: str, image: str | None, task: str | None
) -> None:
    asked = f"from transfer where trial_id = '{every.TRIALS[name].id}'"
    rows = reader.sql(f"select distinct source_image, source_task {asked}").to_pylist()
    assert rows == [{"source_image": image, "source_task": task}]


def test_the_view_and_the_page_have_one_estimate_of_what_matches(reader: Reader) -> None:
    page = matching_table(reader.frame("trials"), reader.frame("levels"))
    asked = "select images, seeds, estimate, matching_density from matching"
    view = reader.sql(asked).to_pandas()
    assert len(view) == len(page)
    page = page.rename(columns={"estimate_selected": "estimate"})
    assert page["estimate"].notna().sum() > 3
    assert page["unfinished"].sum() >= 3

    def told(frame: object, column: str) -> list[float]:
        return sorted(round(float(value), 9) for value in frame[column].dropna())  # type: ignore[index]

    assert told(view, "estimate") == told(page, "estimate")
    assert told(view, "seeds") == told(page, "seeds")


def test_the_view_and_the_page_have_one_native_ticket(reader: Reader) -> None:
    page = transfer_table(reader.frame("trials"), reader.frame("levels"))
    page = page[(page["which"] == "selected") & (page["n_native"] > 0)]
    view = reader.sql(
        "select distinct trial_id, image, kept, to_native_db from transfer "
        "where to_native_db is not null and kept < total"
    ).to_pandas()
    assert page["n_native"].sum() > 5
    assert page["n_native"].sum() <= len(view)
    means = {round(value, 9) for value in page.loc[page["n_native"] == 1, "to_native_db"]}
    assert means <= {round(value, 9) for value in view["to_native_db"]}
