"""Pictures at full size: which are kept, and that one level fitted again makes the same ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ladders import CPU, MemoryArtifacts, crop, records_of, trajectory
from PIL import Image as Pillow

from lip_ray.data.decoding import decoded
from lip_ray.records import LevelRecord
from lip_ray.trials import Context, Transfer, refit, run

FITTED = ["peak", "selected", "final"]


def photo(folder: Path, *, height: int = 12, width: int = 13) -> dict[str, Any]:
    draws = np.random.default_rng(0)
    path = folder / "photo.png"
    Pillow.fromarray(draws.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return {"kind": "file", "path": str(path)}


def recorded(spec: Any, kept: str = "auto") -> list[LevelRecord]:
    return list(run(spec, Context(device=CPU, pictures=kept)))  # type: ignore[arg-type]


class TestWhichAreKept:
    def test_none_of_images_without_a_measurement(self) -> None:
        assert all(record.pictures == () for record in recorded(trajectory()))

    def test_all_where_they_are_asked_for(self) -> None:
        first, *others = recorded(trajectory(), "full")
        assert [shown.role for shown in first.pictures] == ["clean", "measured", *FITTED]
        assert all([shown.role for shown in record.pictures] == FITTED for record in others)

    def test_of_measured_photos(self, tmp_path: Path) -> None:
        image = photo(tmp_path) | {"measured": True}
        spec = trajectory(images=image, task={"kind": "denoising"}, schedule=[1.0])
        [record] = recorded(spec)
        assert [shown.role for shown in record.pictures] == ["measured", "selected", "final"]
        assert {(shown.height, shown.width) for shown in record.pictures} == {(12, 13)}
        [record] = recorded(spec, "small")
        assert record.pictures == ()
        assert record.reconstructions

    def test_of_pairs(self, tmp_path: Path) -> None:
        pair = {"kind": "pair", "clean": crop("coffee"), "measurement": photo(tmp_path)}
        [record] = recorded(trajectory(images=pair, task={"kind": "denoising"}, schedule=[1.0]))
        assert [shown.role for shown in record.pictures] == ["clean", "measured", *FITTED]

    def test_they_have_the_size_of_the_image_and_not_that_of_galleries(
        self, tmp_path: Path
    ) -> None:
        image = photo(tmp_path, height=270, width=9) | {"measured": True}
        fit = {"steps": 2, "stopping": {"kind": "held_out"}}
        [record] = recorded(
            trajectory(images=image, task={"kind": "denoising"}, schedule=[1.0], fit=fit)
        )
        selected = next(shown for shown in record.pictures if shown.role == "selected")
        assert decoded(selected.png, "selected", deep=True).shape == (270, 9, 3)
        assert (selected.height, selected.width, selected.depth) == (270, 9, 8)

    def test_the_depth_of_the_input_is_noted(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(1).integers(0, 4096, (1, 12, 13)).astype(np.uint16)
        np.savez(tmp_path / "a.npz", images=pixels)
        image = {"kind": "npz", "path": str(tmp_path / "a.npz"), "index": 0, "white": 4095}
        [record] = recorded(trajectory(images=image, schedule=[1.0]), "full")
        assert {shown.depth for shown in record.pictures} == {16}

    def test_they_are_no_part_of_what_a_fit_finds(self) -> None:
        for ours, theirs in zip(
            recorded(trajectory(), "full"), recorded(trajectory(), "small"), strict=True
        ):
            assert ours.psnr_selected_db == theirs.psnr_selected_db
            assert ours.masks == theirs.masks


class TestOneLevelAgain:
    @pytest.mark.parametrize("rewind", ["init", {"kind": "step", "step": 5}, "finetune", "reinit"])
    @pytest.mark.parametrize("level", [0, 2, 3])
    def test_it_is_the_same_bits(self, rewind: object, level: int) -> None:
        spec = trajectory(rewind=rewind)
        records = recorded(spec, "full")
        context = Context(device=CPU, artifacts=MemoryArtifacts(records), pictures="full")
        [again] = refit(spec, level, context)
        assert again.pictures == records[level].pictures
        assert again.psnr_selected_db == records[level].psnr_selected_db
        assert again.masks == {}, "nothing is pruned for the level below"

    def test_of_a_transfer_too(self) -> None:
        source = trajectory()
        found = records_of(source)
        spec = Transfer.model_validate(
            {"images": crop("coffee"), "task": source.task, "source": source, "fit": source.fit}
        )
        artifacts = MemoryArtifacts(found)
        context = Context(device=CPU, artifacts=artifacts, pictures="full")
        rows = list(run(spec, context))
        [again] = refit(spec, 2, context)
        assert again.level == 2
        assert again.pictures == rows[2].pictures

    def test_of_several_images_all_rows_come(self) -> None:
        spec = trajectory(images=[crop("astronaut"), crop("coffee")], schedule=[1.0, 0.5])
        records = recorded(spec, "full")
        context = Context(device=CPU, artifacts=MemoryArtifacts(records), pictures="full")
        again = refit(spec, 1, context)
        assert [row.image for row in again] == ["astronaut", "coffee"]
        assert [row.pictures for row in again] == [row.pictures for row in records[2:]]

    def test_without_its_mask_it_is_failed(self) -> None:
        [row] = refit(trajectory(), 1, Context(device=torch.device("cpu")))
        assert row.outcome == "failed"
