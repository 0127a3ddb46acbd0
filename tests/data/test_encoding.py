"""Whole pictures as files: every value comes back, at full size and depth, by other readers too."""

import io

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Pillow

from lip_ray.data.decoding import decoded
from lip_ray.data.encoding import ENCODERS, INFERNO, in_colours, pixels, png, png_of


def image_of(channels: int, height: int = 301, width: int = 7) -> torch.Tensor:
    """(1, C, H, W) with all shades, larger than what galleries show."""
    draws = torch.Generator().manual_seed(channels)
    return torch.rand(1, channels, height, width, generator=draws)


@pytest.mark.parametrize("channels", [1, 3])
class TestPng:
    def test_pillow_reads_eight_bits(self, channels: int) -> None:
        image = image_of(channels)
        found = np.asarray(Pillow.open(io.BytesIO(png(image, 8))))
        assert found.dtype == np.uint8
        assert np.array_equal(found, pixels(image, 8))
        assert found.shape == ((301, 7) if channels == 1 else (301, 7, 3))

    def test_sixteen_bits_come_back(self, channels: int) -> None:
        image = image_of(channels)
        found = decoded(png(image, 16), "a.png", deep=True)
        assert found.dtype == np.uint16
        assert np.array_equal(found, pixels(image, 16))
        assert len(np.unique(found & 255)) > 200, "the lower bytes are there"

    def test_pillow_sees_the_upper_byte_of_sixteen(self, channels: int) -> None:
        picture = Pillow.open(io.BytesIO(png(image_of(channels), 16)))
        upper = np.asarray(picture) if channels == 3 else np.asarray(picture) >> 8
        assert np.array_equal(upper, pixels(image_of(channels), 16) >> 8)

    def test_a_tiff_is_read_by_tifffile(self, channels: int) -> None:
        for bits in (8, 16):
            found = tifffile.imread(io.BytesIO(ENCODERS[".tif"](image_of(channels), bits)))
            assert np.array_equal(found, pixels(image_of(channels), bits))

    def test_an_array_has_every_bit(self, channels: int) -> None:
        found = np.load(io.BytesIO(ENCODERS[".npy"](image_of(channels), 8)))
        assert found.dtype == np.float32
        planes = np.atleast_3d(found).transpose(2, 0, 1)
        assert np.array_equal(planes, image_of(channels)[0].numpy())


def test_values_are_rounded_and_clipped_once() -> None:
    image = torch.tensor([[[-0.5, 0.0, 0.5, 1.0, 1.5]]])
    assert pixels(image, 8).tolist() == [[0, 0, 128, 255, 255]]
    assert pixels(image, 16).tolist() == [[0, 0, 32768, 65535, 65535]]


def test_pixels_of_any_byte_order_are_written() -> None:
    picture = np.arange(12, dtype=">u2").reshape(3, 4) * 5000
    assert np.array_equal(decoded(png_of(picture), "a.png", deep=True), picture)


def test_colours_run_from_black_to_yellow_and_stay_there() -> None:
    found = in_colours(torch.tensor([[0.0, 0.125, 0.25, 9.0]]), 0.25)
    ends = torch.tensor(INFERNO, dtype=torch.float64) / 255
    assert found.shape == (3, 1, 4)
    assert torch.allclose(found[:, 0, 0], ends[0])
    assert torch.allclose(found[:, 0, 2], ends[-1])
    assert torch.equal(found[:, 0, 2], found[:, 0, 3])
    assert torch.allclose(found[:, 0, 1], (ends[4] + ends[5]) / 2)


def test_brightness_of_the_scale_rises() -> None:
    found = in_colours(torch.linspace(0, 1, 100)[None], 1.0)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64) @ found[:, 0]
    assert bool((luma.diff() > 0).all())
