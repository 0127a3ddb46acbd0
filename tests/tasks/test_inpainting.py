"""Inpainting: every mask is what it says, fits the image, and comes with clear refusals."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import TypeAdapter, ValidationError

from lip_ray.data.images import BuiltinImage, FileImage
from lip_ray.tasks import Inpainting, Problem, Task
from lip_ray.tasks.inpainting import BoxMask, RandomMask

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="chelsea", rows=(0, 128), columns=(0, 96))
"""Without any value that is 0, so that what is 0 is missing."""
GREY = BuiltinImage(name="camera", rows=(100, 132), columns=(100, 124))


def realised(mask: object, image: object = IMAGE, *, seed: int = 0, **fields: object) -> Problem:
    return Inpainting(mask=mask, **fields).realise(image, seed=seed, device=CPU)


def missing(problem: Problem) -> torch.Tensor:
    return problem.measured[0] == 0


@pytest.fixture
def drawn(tmp_path):
    """A mask file from an array of truth values or grey levels."""

    def save(kept: np.ndarray, **framing: object) -> FileImage:
        levels = kept.astype(np.uint8) * (255 if kept.dtype == bool else 1)
        Pillow.fromarray(levels).save(tmp_path / "mask.png")
        return FileImage(path=str(tmp_path / "mask.png"), **framing)

    return save


class TestRandom:
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize("channels", ["shared", "independent"])
    def test_it_keeps_as_many_as_it_says(self, kept: float, channels: str) -> None:
        lost = missing(realised(RandomMask(kept=kept, channels=channels)))
        off = 4 * (kept * (1 - kept) / lost[0].numel()) ** 0.5
        assert 1 - float(lost.float().mean()) == pytest.approx(kept, abs=off)

    def test_channels_share_their_mask(self) -> None:
        lost = missing(realised(RandomMask(kept=0.5)))
        assert torch.equal(lost[0], lost[1])
        assert torch.equal(lost[0], lost[2])

    def test_or_each_has_its_own(self) -> None:
        lost = missing(realised(RandomMask(kept=0.5, channels="independent"))).float()
        both = float((lost[0] * lost[1]).mean())
        assert both == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / lost[0].numel()) ** 0.5)

    def test_seed_and_image_key_it(self) -> None:
        other = IMAGE.model_copy(update={"name": "astronaut"})
        mask = RandomMask(kept=0.5)
        first, same, seeded, of_other = (
            realised(mask, image, seed=seed).operator.mask
            for image, seed in ((IMAGE, 0), (IMAGE, 0), (IMAGE, 1), (other, 0))
        )
        assert torch.equal(first, same)
        assert not torch.equal(first, seeded)
        assert not torch.equal(first, of_other)

    @pytest.mark.parametrize("kept", [0.0, 1.0, 1.5])
    def test_all_or_nothing_is_refused(self, kept: float) -> None:
        with pytest.raises(ValidationError, match="kept"):
            RandomMask(kept=kept)

    def test_a_measured_photo_has_no_random_mask(self, drawn) -> None:
        photo = drawn(np.full((16, 16), True), measured=True)
        conflicts = dict(Inpainting(mask=RandomMask(kept=0.5)).conflicts(photo))
        assert "a file or a box" in conflicts["mask"]


class TestBox:
    def test_it_is_missing_and_nothing_else(self) -> None:
        lost = missing(realised(BoxMask(rows=(3, 10), columns=(90, 96))))
        expected = torch.zeros(3, 128, 96, dtype=torch.bool)
        expected[:, 3:10, 90:96] = True
        assert torch.equal(lost, expected)

    def test_outside_of_the_image_it_is_refused(self) -> None:
        task = Inpainting(mask=BoxMask(rows=(0, 10), columns=(90, 97)))
        ((path, message),) = task.conflicts(IMAGE)
        assert path == "mask"
        assert "(90, 97) are outside of chelsea (128×96)" in message
        with pytest.raises(ValueError, match="outside"):
            task.realise(IMAGE, seed=0, device=CPU)

    def test_something_must_be_left(self) -> None:
        task = Inpainting(mask=BoxMask(rows=(0, 128), columns=(0, 96)))
        assert list(task.conflicts(IMAGE)) == [("mask", "keeps nothing of chelsea")]

    @pytest.mark.parametrize("rows", [(5, 5), (9, 2), (-1, 4)])
    def test_senseless_boxes_are_refused(self, rows) -> None:
        with pytest.raises(ValidationError, match="rows must be"):
            BoxMask(rows=rows, columns=(0, 4))


class TestFile:
    def test_white_is_kept_and_black_is_missing(self, drawn) -> None:
        kept = np.random.default_rng(0).random((128, 96)) < 0.5
        lost = missing(realised(drawn(kept)))
        assert torch.equal(lost, torch.from_numpy(~kept).expand(3, -1, -1))

    def test_grey_is_split_in_the_middle(self, drawn) -> None:
        levels = np.array([0, 127, 128, 255], dtype=np.uint8)[None].repeat(4, 0)
        image = GREY.model_copy(update={"rows": (100, 104), "columns": (100, 104)})
        mask = realised(drawn(levels), image).operator.mask
        assert mask[0, 0, 0].tolist() == [0, 0, 1, 1]

    def test_it_is_cropped_like_an_image(self, drawn) -> None:
        kept = np.random.default_rng(0).random((200, 300)) < 0.5
        mask = drawn(kept, rows=(10, 42), columns=(20, 44))
        found = realised(mask, GREY).operator.mask[0, 0]
        assert np.array_equal(found.bool().numpy(), kept[10:42, 20:44])

    def test_a_colour_mask_is_one_a_channel(self, drawn) -> None:
        kept = np.random.default_rng(0).random((128, 96, 3)) < 0.5
        lost = missing(realised(drawn(kept)))
        assert np.array_equal(lost.numpy(), ~kept.transpose(2, 0, 1))

    def test_the_sets_of_deep_image_prior_fit(self, shared) -> None:
        folder = shared / "data" / "images" / "dip"
        for name, share in (("kate", 0.957), ("library", 0.814), ("vase", 0.973)):
            image = FileImage(path=str(folder / f"inpaint_{name}.png"))
            mask = FileImage(path=str(folder / f"inpaint_{name}_mask.png"))
            problem = realised(mask, image)
            assert float(problem.operator.mask.mean()) == pytest.approx(share, abs=1e-3)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((32, 25), "is 32×25, camera 32×24"),
            ((32, 24, 3), "has 3 channels, camera 1: set channels on the mask"),
        ],
    )
    def test_a_mask_that_does_not_fit_is_refused(self, drawn, shape, message: str) -> None:
        task = Inpainting(mask=drawn(np.full(shape, True)))
        assert list(task.conflicts(GREY)) == [("mask", message)]

    def test_a_black_mask_is_refused(self, drawn) -> None:
        task = Inpainting(mask=drawn(np.full((32, 24), False)))
        assert list(task.conflicts(GREY)) == [("mask", "keeps nothing of camera")]

    def test_a_mask_that_went_away_is_refused(self, drawn, tmp_path) -> None:
        task = Inpainting(mask=drawn(np.full((32, 24), True)))
        (tmp_path / "mask.png").unlink()
        ((path, message),) = task.conflicts(GREY)
        assert path == "mask"
        assert "cannot read image" in message

    def test_its_content_is_in_the_id_and_its_place_is_not(self, drawn, tmp_path) -> None:
        kept = np.full((8, 8), True)
        here = Inpainting(mask=drawn(kept))
        (tmp_path / "there").mkdir()
        (tmp_path / "mask.png").rename(tmp_path / "there" / "mask.png")
        there = Inpainting(mask=FileImage(path=str(tmp_path / "there" / "mask.png")))
        kept[0, 0] = False
        assert here.id == there.id
        assert Inpainting(mask=drawn(kept)).id != here.id

    def test_the_missing_pixels_of_a_measured_photo_do_not_count(self, drawn, tmp_path) -> None:
        kept = np.random.default_rng(0).random((16, 16)) < 0.5
        mask = drawn(kept)
        Pillow.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "photo.png")
        photo = FileImage(path=str(tmp_path / "photo.png"), measured=True)
        problem = realised(mask, photo)
        assert float(problem.loss(torch.ones(1, 1, 16, 16))) == 0


class TestNoise:
    def test_it_has_its_strength_on_the_pixels_that_are_kept(self) -> None:
        mask = BoxMask(rows=(0, 64), columns=(0, 96))
        problem = realised(mask, sigma=25.0)
        noise = problem.measured - problem.operator(problem.clean)
        assert float(noise[:, :, 64:].std()) == pytest.approx(25 / 255, rel=0.03)
        assert not noise[:, :, :64].any()

    @pytest.mark.parametrize("sigma", [0.1, -1.0])
    def test_it_is_in_grey_levels(self, sigma: float) -> None:
        with pytest.raises(ValidationError, match="grey levels"):
            Inpainting(mask=RandomMask(kept=0.5), sigma=sigma)


def test_masks_are_told_apart_by_their_kind() -> None:
    tasks = TypeAdapter(Task)
    box = {"kind": "box", "rows": [0, 2], "columns": [1, 3]}
    assert tasks.validate_python({"kind": "inpainting", "mask": box}) == Inpainting(
        mask=BoxMask(rows=(0, 2), columns=(1, 3))
    )
    with pytest.raises(ValidationError, match="mask"):
        tasks.validate_python("inpainting")
