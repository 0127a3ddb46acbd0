"""How many images a comparison needs: numbers in, numbers out."""

import numpy as np
from scipy import special, stats

MOST_IMAGES = 100_000
"""More images than this are none that anybody will fit."""

POWER = 0.8


def images_needed(
    deviation_db: float, distance_db: float, *, alpha: float = 0.05, power: float = POWER
) -> int | None:
    """The number of images from which a one-sided t test at `alpha` decides with that power.

    `deviation_db` is the standard deviation over images, seeds averaged first, and `distance_db`
    how far the true mean difference is from the margin. None beyond `MOST_IMAGES`.

    Raises ValueError unless both are positive numbers.
    """
    if not (deviation_db > 0 and distance_db > 0):
        raise ValueError(
            f"deviation_db and distance_db must be positive, got {deviation_db}, {distance_db}"
        )
    effect = distance_db / deviation_db
    if _chance(MOST_IMAGES, effect, alpha) < power:
        return None
    too_few, enough = 1, MOST_IMAGES
    while enough - too_few > 1:
        images = (too_few + enough) // 2
        if _chance(images, effect, alpha) < power:
            too_few = images
        else:
            enough = images
    return enough


def _chance(images: int, effect: float, alpha: float) -> float:
    """The chance that the test decides, from the noncentral t distribution (Cohen 1988)."""
    beyond = effect * np.sqrt(images)
    bound = stats.t.ppf(1 - alpha, images - 1)
    chance = float(special.nctdtr(images - 1, beyond, bound))
    return 1 - chance if np.isfinite(chance) else float(stats.norm.sf(bound - beyond))
