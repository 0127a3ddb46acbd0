"""Means over seeds of every problem, method and density."""

import pandas as pd

from ...rows.points import CONFIDENCE, distinct_fits
from ...statistics.aggregate import Groups, dense_first, psnr_table


def problem_table(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per problem, method, density and `which` PSNR: its mean over seeds, and interval.

    Of the `seeds`, `n` have that PSNR and `missing` have none. `mean_db` lies in the Student-t
    interval `low_db` to `high_db` at that `confidence`; below two seeds there is none (NaN).
    `effective` and `measured_db` are means over the seeds that have them; `collapsed`, `diverged`,
    `failed`, `unfinished` and `below_measured` count fits. `reference` is the dense method that the
    method's ladder begins with.

    Raises ValueError when `confidence` is not within 0 and 1.
    """
    by = ["problem", "method", "kept"]
    groups = Groups(fits=distinct_fits(points), by=by, confidence=confidence)
    means = {"effective": "effective", "measured_db": "psnr_measured_db"}
    same, flags = ["reference", "total", "density"], ["unfinished", "below_measured"]
    table = psnr_table(groups, same=same, means=means, flags=flags)
    return dense_first(table, [*by, "which"])
