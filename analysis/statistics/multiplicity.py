"""Many tests at once: p-values that keep the error of the whole family."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that any wrong rejection among all of them is rare (Holm 1979).

    Rejecting those of at most α leaves a chance of at most α that one of the rejections, or more,
    is wrong, however the tests depend on each other. NaN is a test that was not made: it stays NaN
    and does not count.
    """
    found = np.asarray(p_values, float)
    order = np.argsort(found, kind="stable")[: int(np.isfinite(found).sum())]
    stricter = found[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(found), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(stricter), 1.0)
    return adjusted.tolist()
