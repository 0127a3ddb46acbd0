"""The skip network of Deep Image Prior in its published variants."""

from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator
from torch import nn

from lip_ray.priors.base import AbstractPrior, Shape
from lip_ray.priors.hourglass import Count, Downsampling, Hourglass, Upsampling
from lip_ray.spec import is_unset

SkipCount = Annotated[int, Field(ge=0, le=8192)]
"""A number of channels of a skip connection; 0 is none."""


@final
class Skip(AbstractPrior):
    """An hourglass with skip connections (Ulyanov et al. 2018, arXiv 1711.10925).

    Reflection padding, batch normalisation, LeakyReLU 0.2, a sigmoid at the end. The defaults are
    the network for denoising and super-resolution, which is that of the lottery-image-prior study:
    2,217,831 parameters for three channels, 2,208,768 of them prunable weights. For inpainting
    text, `skip_width: 128` and `upsampling: nearest`: 3,002,627 parameters. For inpainting large
    regions, one input channel, no skips, `widths: [16, 32, 64, 128, 128, 128]`, 5×5 filters down,
    `upsampling: nearest` and `pointwise: false`.
    """

    kind: Literal["skip"] = "skip"
    width: Count = 128
    """Channels of every convolution on the way down and up."""
    scales: Annotated[int, Field(ge=1, le=16)] = 5
    """How many times the image is halved."""
    skip_width: SkipCount = 4
    """Channels of each skip connection; 0 leaves them out."""
    input_channels: Count = 32
    """Channels of the latent."""
    widths: Annotated[tuple[Count, ...], Field(strict=False)] | None = None
    """Channels at each scale, finest first, where they differ; as many as there are scales."""
    skip_widths: Annotated[tuple[SkipCount, ...], Field(strict=False)] | None = Field(
        default=None, exclude_if=is_unset
    )
    """Channels of the skip connection at each scale, finest first, where they differ; 0 leaves one
    out. As many as there are scales."""
    down_filter: Literal[3, 5, 7] = 3
    """Side of the filters on the way down, in pixels."""
    up_filter: Literal[3, 5, 7] = 3
    """Side of the filters on the way up, in pixels."""
    downsampling: Downsampling = "stride"
    """Halving by convolutions of stride 2, or by averaging 2×2 pixels after a convolution."""
    upsampling: Upsampling = "bilinear"
    """Doubling by bilinear interpolation or by repeating pixels."""
    pointwise: bool = True
    """Whether a 1×1 convolution follows each one on the way up."""

    @model_validator(mode="after")
    def _widths_of_all_scales(self) -> Self:
        for one, each in (("width", "widths"), ("skip_width", "skip_widths")):
            self._check_each_scale(one, each)
        return self

    def _check_each_scale(self, one: str, each: str) -> None:
        """Raise ValueError where `each` does not say one width per scale, or `one` is there too."""
        given, alone = getattr(self, each), getattr(self, one)
        if given is None:
            return
        if alone != type(self).model_fields[one].default:
            raise ValueError(f"{each} stand in for {one}: leave {one} out, got {alone}")
        if len(given) != self.scales:
            raise ValueError(
                f"{each} must be as many as scales, which is {self.scales}; got {len(given)} {each}"
            )

    @property
    def minimum_side(self) -> int:
        """The smallest side: padding reflects fewer pixels than there are at the coarsest scale."""
        return self._hourglass.minimum_side

    def latent_shape(self, image_shape: Shape) -> Shape:
        """The shape of the latent, as high and wide as the image."""
        return (self.input_channels, *image_shape[1:])

    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        """(1, input_channels, H, W) → (1, image_channels, H, W) in (0, 1), any H and W.

        State-dict names are those of the original code, so its checkpoints load unchanged.
        """
        return self._hourglass.network(image_channels)

    @property
    def _hourglass(self) -> Hourglass:
        return Hourglass(
            inward=self.input_channels,
            widths=self.widths or (self.width,) * self.scales,
            skip_widths=self.skip_widths or (self.skip_width,) * self.scales,
            down_filter=self.down_filter,
            up_filter=self.up_filter,
            downsampling=self.downsampling,
            upsampling=self.upsampling,
            pointwise=self.pointwise,
        )
