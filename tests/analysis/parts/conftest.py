"""Rows made by hand for parts that compare paired fits."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import pytest

Row = Callable[..., dict[str, Any]]
Frames = tuple[pd.DataFrame, pd.DataFrame]
Ladders = dict[tuple[str, str, int], Iterable[float | None]]


@pytest.fixture
def rows_of(trial_row: Row, level_row: Row) -> Callable[[Ladders], Frames]:
    """Trials and levels: `{(pruner, image, seed): selected PSNRs, dense first}`."""

    def make(ladders: Ladders) -> Frames:
        trials, levels = [], []
        for (pruner, image, seed), psnrs in ladders.items():
            images = [{"kind": "builtin", "name": image, "size": [128, 128]}]
            trials.append(trial_row(pruner, seed, images=images) | {"image": image})
            for level, psnr in enumerate(psnrs):
                changes: dict[str, Any] = {"psnr": psnr or 0.0}
                if psnr is None:
                    none = ("peak", "selected", "final")
                    changes |= {f"psnr_{which}_db": None for which in none}
                    changes |= {"outcome": "failed"}
                levels.append(level_row(trials[-1], level, **changes))
        return pd.DataFrame(trials), pd.DataFrame(levels)

    return make
