"""Super-resolution: sizes, the small image, and the luma that is compared."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import ValidationError

from lip_ray.data.images import BuiltinImage, FileImage
from lip_ray.metrics import luma, psnr
from lip_ray.tasks import SuperResolution
from lip_ray.tasks.operators import Downsampling

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 64), columns=(100, 196))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_small_image_is_downsampled(factor: int) -> None:
    problem = SuperResolution(factor=factor).realise(IMAGE, seed=0, device=CPU)
    assert problem.measured.shape == (1, 3, 64 // factor, 96 // factor)
    assert torch.equal(problem.measured, Downsampling(factor)(problem.clean))
    assert problem.image_shape == (3, 64, 96)


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_makes_the_published_small_image(factor: int, channels: int, tmp_path) -> None:
    """As the notebook does it with the file: resized by Pillow in 8 bits, divided by 255."""
    image = IMAGE.model_copy(update={"channels": channels})
    file = Pillow.fromarray((image.load() * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
                            .squeeze())  # fmt: skip
    file.save(tmp_path / "large.png")
    with Pillow.open(tmp_path / "large.png") as large:
        size = (large.size[0] // factor, large.size[1] // factor)
        small = np.asarray(large.resize(size, Pillow.Resampling.LANCZOS)) / 255
    task = SuperResolution(factor=factor, made_by="pillow")
    photo = FileImage(path=str(tmp_path / "large.png"))
    problem = task.realise(photo, seed=0, device=CPU)
    expected = torch.from_numpy(np.atleast_3d(small)).float().permute(2, 0, 1)[None]
    assert torch.equal(problem.measured, expected)
    assert torch.equal(problem.clean, photo.load()[None])


def test_the_two_small_images_differ_and_only_the_operator_s_own_is_reached_exactly() -> None:
    ours = SuperResolution(factor=4).realise(IMAGE, seed=0, device=CPU)
    published = SuperResolution(factor=4, made_by="pillow").realise(IMAGE, seed=0, device=CPU)
    assert float(ours.loss(ours.clean)) == 0
    assert float(published.loss(published.clean)) > 1e-5
    assert 30 < float(psnr(ours.measured, published.measured)) < 50
    assert torch.equal((published.measured * 255).round() / 255, published.measured)


def test_by_default_nothing_of_it_is_stored() -> None:
    assert "made_by" not in SuperResolution(factor=4).model_dump_json()
    stored = SuperResolution(factor=4, made_by="pillow").model_dump_json()
    assert SuperResolution.model_validate_json(stored).made_by == "pillow"


def test_psnr_is_of_the_luma_without_four_pixels_at_each_side() -> None:
    problem = SuperResolution(factor=4).realise(IMAGE, seed=0, device=CPU)
    output = problem.clean.clone()
    output[..., :4, :] = output[..., -4:, :] = output[..., :4] = output[..., -4:] = 0
    assert float(problem.psnr(output)) == float("inf")
    output[..., 4, 4] = 1
    inside = (luma(output) - luma(problem.clean))[..., 4:-4, 4:-4]
    expected = psnr(inside, torch.zeros_like(inside))
    assert float(problem.psnr(output)) == pytest.approx(float(expected), abs=1e-4)


def test_without_a_border_all_channels_count() -> None:
    problem = SuperResolution(factor=4, border=None).realise(IMAGE, seed=0, device=CPU)
    assert float(problem.psnr(problem.clean + 0.1)) == pytest.approx(20, abs=1e-3)


def test_noise_is_added_to_the_small_image() -> None:
    large = BuiltinImage(name="astronaut")
    noisy = SuperResolution(factor=2, sigma=25.0).realise(large, seed=0, device=CPU)
    noise = noisy.measured - noisy.operator(noisy.clean)
    assert float(noise.std()) == pytest.approx(25 / 255, rel=0.01)


@pytest.mark.parametrize(
    ("factor", "rows", "columns", "divides"),
    [(2, 63, 96, False), (4, 62, 96, False), (8, 64, 92, False), (4, 64, 92, True)],
)
def test_sizes_that_the_factor_does_not_divide_are_refused(factor, rows, columns, divides) -> None:
    image = BuiltinImage(name="astronaut", rows=(0, rows), columns=(0, columns))
    task = SuperResolution(factor=factor)
    if divides:
        assert list(task.conflicts(image)) == []
        return
    ((path, message),) = task.conflicts(image)
    assert path == "factor"
    assert f"astronaut is {rows}×{columns}, which {factor} does not divide" in message
    with pytest.raises(ValueError, match="does not divide"):
        task.realise(image, seed=0, device=CPU)


def test_a_border_that_leaves_nothing_is_refused() -> None:
    ((path, message),) = SuperResolution(factor=2, border=32).conflicts(IMAGE)
    assert path == "border"
    assert message == "leaves nothing of astronaut (64×96), got 32"
    assert list(SuperResolution(factor=2, border=31).conflicts(IMAGE)) == []


def test_a_measured_photo_of_any_size_is_the_small_image(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "small.png")
    photo = FileImage(path=str(tmp_path / "small.png"), measured=True)
    problem = SuperResolution(factor=4).realise(photo, seed=0, device=CPU)
    assert torch.equal(problem.measured, photo.load()[None])
    assert problem.image_shape == (3, 20, 28)
    assert problem.view.shape == (1, 3, 20, 28)


@pytest.mark.parametrize("factor", [1, 3, 16])
def test_other_factors_are_refused(factor: int) -> None:
    with pytest.raises(ValidationError, match="factor"):
        SuperResolution(factor=factor)
