"""The tickets whose masks the store has: what layers and overlaps are shown of."""

import pandas as pd

from ..page.content import Content
from ..rows.choosing import with_most
from ..rows.naming import named
from ..rows.points import described_points

MOST_NETWORKS = 4
"""Networks that have a map of layers, and a matrix of overlaps."""

TICKET = ["trial_id", "level"]

TICKETS = [
    *("trial_id", "level", "network", "scene", "method", "image", "target_task_name", "seed"),
    *("kept", "total", "density"),
]
"""The columns of `pruned_points` that masks are shown with."""


def pruned_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """The tickets of which the store has masks: one row a trial and level below dense.

    Beside the columns of `frontier_points` there are `network`, a name for prior and fit, and
    `scene`, one for image and task. Transfers that take the masks of a trajectory as they are have
    none of their own.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    return with_masks(described_points(trials, levels), trials)


def with_masks(points: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The `pruned_points` of `described_points`."""
    names = {part: named(points, part) for part in ("network", "scene")}
    owners = set(trials.loc[trials["owns_masks"].astype(bool), "trial_id"])
    sparse = (points["kept"] < points["total"]) & points["trial_id"].isin(owners)
    found = points.assign(**names)[sparse]
    return found.drop_duplicates(TICKET).reset_index(drop=True)


def masked_tickets(shown: Content) -> pd.DataFrame:
    """The tickets with masks of the `MOST_NETWORKS` networks that have the most."""
    tickets = with_masks(shown.described, shown.trials)[TICKETS]
    tickets = shown.having("masks", tickets).reset_index(drop=True)
    return with_most(tickets, "network", MOST_NETWORKS)
