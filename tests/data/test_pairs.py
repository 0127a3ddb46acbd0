"""A clean image with its measurement: both contents are in the id, neither is drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import TypeAdapter, ValidationError

from lip_ray.data.images import ArrayImage, BuiltinImage, FileImage, Image, Pair

IMAGES = TypeAdapter(Image)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean and a noisy picture, and an array of noisy ones, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Pillow.fromarray(pixels(0)).save("clean.png")
    Pillow.fromarray(pixels(1)).save("noisy.png")
    np.savez("noisy.npz", images=np.stack([pixels(2), pixels(3)]) / np.float32(100) - 1)


def pair(**fields: Any) -> Pair:
    return IMAGES.validate_python(
        {"kind": "pair", "clean": "clean.png", "measurement": "noisy.png"} | fields
    )


def test_paths_stand_for_files() -> None:
    assert pair().clean == FileImage(path="clean.png")
    assert pair().measurement == FileImage(path="noisy.png")
    assert not pair().measured
    assert torch.equal(pair().load(), FileImage(path="clean.png").load())
    assert pair(clean="camera").clean == BuiltinImage(name="camera")


def test_an_array_is_taken_as_it_is() -> None:
    found = pair(measurement={"kind": "npz", "path": "noisy.npz", "index": 1, "rows": [1, 5]})
    values = torch.from_numpy(pixels(3)[1:5] / np.float32(100) - 1).permute(2, 0, 1)
    torch.testing.assert_close(found.measurement.load(), values)
    assert float(values.max()) > 1
    with pytest.raises(ValueError, match="values from 0 to its white, 1, got -1 to 1"):
        ArrayImage(path="noisy.npz", index=1).load()


def test_values_that_are_no_numbers_are_refused() -> None:
    np.savez("nan.npz", images=np.full((1, 2, 2), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match="must have finite values, got nan"):
        pair(measurement={"kind": "npz", "path": "nan.npz", "index": 0}).measurement.load()


def test_both_contents_are_in_the_id_and_in_the_label() -> None:
    before = pair()
    Pillow.fromarray(pixels(9)).save("noisy.png")
    other = pair()
    Pillow.fromarray(pixels(9)).save("clean.png")
    third = pair()
    assert len({before.id, other.id, third.id}) == 3
    assert len({before.label, other.label, third.label}) == 3
    assert pair(clean="noisy.png", measurement="clean.png").id not in (before.id, third.id)


def test_stored_it_reads_back_without_its_files() -> None:
    stored = pair().model_dump_json()
    Path("clean.png").unlink()
    Path("noisy.png").unlink()
    assert Pair.model_validate_json(stored).id == Pair.model_validate_json(stored).id
    assert "measurement" in stored


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clean": {"kind": "file", "path": "clean.png", "measured": True}}, "clean must be a"),
        ({"measurement": "camera"}, "kind"),
        ({"measurement": "nowhere.png"}, "cannot read image .*nowhere.png"),
        ({"measurement": {"kind": "pair"}}, "kind"),
        ({"size": [4, 4]}, "size"),
    ],
)
def test_what_is_wrong(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        pair(**fields)
