"""The hourglass without skips of Optimal Eye Surgeon."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, final

from pydantic import Field
from torch import nn

from lip_ray.priors.base import AbstractPrior, Shape
from lip_ray.priors.hourglass import Count, Hourglass

WIDTHS = (16, 32, 64, 128, 128, 128)


@final
class OesUnet(AbstractPrior):
    """An hourglass without skips (Ghosh et al. 2024, arXiv 2406.05288).

    5×5 filters and averages of 2×2 pixels down, 3×3 filters and repeated pixels up. The defaults
    are the network of that study: 3,008,867 parameters for three channels, 3,003,184 of them
    prunable weights.
    """

    kind: Literal["oes_unet"] = "oes_unet"
    published_fit: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"steps": 40_000, "input_noise": 0.0, "average": 0.0}
    )
    """The tickets of that study: 40,000 steps of Adam, no input noise, no averaging."""
    widths: Annotated[tuple[Count, ...], Field(strict=False, min_length=1, max_length=16)] = WIDTHS
    """Channels at each scale, finest first; the image is halved as often."""
    input_channels: Count = 32
    """Channels of the latent."""

    @property
    def minimum_side(self) -> int:
        """The smallest side: padding reflects two pixels at the coarsest scale, so it needs
        three."""
        return self._hourglass.minimum_side

    def latent_shape(self, image_shape: Shape) -> Shape:
        """The shape of the latent, as high and wide as the image."""
        return (self.input_channels, *image_shape[1:])

    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        """(1, input_channels, H, W) → (1, image_channels, H, W) in (0, 1), any H and W.

        Parameters have the names and the order of the original code.
        """
        return self._hourglass.network(image_channels)

    @property
    def _hourglass(self) -> Hourglass:
        return Hourglass(
            inward=self.input_channels,
            widths=self.widths,
            skip_widths=(0,) * len(self.widths),
            down_filter=5,
            up_filter=3,
            downsampling="average",
            upsampling="nearest",
            pointwise=False,
        )
