"""What rounding alone makes of differences between fits: numbers in, numbers out."""

from typing import Any

import numpy as np

ROUNDING_SD_DB = 0.13
"""The standard deviation of a fit's peak PSNR when the same numbers are added up in another order.

`python benchmarks/rounding.py --steps 400 --photos 3` measured 0.07 dB with two threads, 0.10 with
one weight changed by its last bit and 0.19 with another memory layout, each over six fits; this is
the root mean square of the three.
"""

SPAN = 2.0
"""The standard deviations beyond which a difference is more than rounding."""


def rounding_db(fits: Any, references: Any = None) -> Any:
    """How far rounding alone moves the mean difference of `fits` to their `references`, in dB.

    Two standard deviations of that mean, when each fit is rounded on its own; without a number of
    `references` each fit has one of its own. Takes numbers or columns of them; NaN without a fit.
    """
    own = np.asarray(fits, float)
    other = own if references is None else np.asarray(references, float)
    known = (own > 0) & (other > 0)
    share = np.where(known, 1 / np.where(known, own, 1) + 1 / np.where(known, other, 1), np.nan)
    found = SPAN * ROUNDING_SD_DB * np.sqrt(share)
    return found if found.ndim else float(found)


def rounding_of(samples: Any) -> float:
    """The `rounding_db` of a mean over images, of which each sample has the values of one.

    Seeds are averaged within images first, and so is what rounding does to them.
    """
    share = sum(1 / len(values) for values in samples) / len(samples) ** 2
    return float(rounding_db(1 / share))
