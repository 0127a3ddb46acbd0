"""Transfers between images in general: sources and targets as two samples that are crossed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, product
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from ..page.section import Block, Table, Text, table_of
from ..rows.naming import tuples
from ..rows.texts import counted_text, density_text
from ..statistics.crossed import CrossedMean, crossed_mean
from ..statistics.intervals import Rung
from ..statistics.ladders import Ladder, judged
from ..statistics.rounding import rounding_db
from .differences import ROUNDED, difference_cell
from .verdicts import JUDGED

AGAINST = ("native", "dense")
"""What a transferred ticket is compared with."""

LADDER = ("network", "method", "travels", "source_task", "target_task")
"""The columns whose values the densities of one verdict have in common."""

DIFFERENCE = ("mean", "low", "high", "rounding")
"""What the columns of a mean difference begin with."""

NOTE = (
    """
The mean difference over all pairs of a source and a target, seeds averaged first; in brackets an
interval for other sources and other targets than these, as both are crossed random effects. Tickets
that stayed where they come from are left out. Pairs as if each were independent would claim far
more. P-values of the verdicts are Holm's, over all densities and matrices. Where a verdict says how
many images would decide, it means as many sources and as many targets. """
    + ROUNDED
)

ALONE = "no verdict: sources and targets have to vary apart, two of each at least"


Means = Sequence[tuple[Mapping[str, Any], CrossedMean]]
"""The means of a ladder, dense to sparse, each with what its row begins with."""


def crossed_of(
    paired: Mapping[str, pd.DataFrame], *, margin_db: float, confidence: float
) -> pd.DataFrame:
    """The `crossed_table` of transfers with their differences, by `which` PSNR."""
    rows: list[dict[str, Any]] = []
    for which, against in product(JUDGED, AGAINST):
        found = [*_means(paired[which], which, against)]
        ladders = [_tests(means, margin_db) for means in found]
        verdicts = judged(ladders, margin_db=margin_db, alpha=1 - confidence, reference=against)
        for means, verdict in zip(found, verdicts, strict=True):
            text = verdict.text if any(mean.decided for _, mean in means) else ALONE
            said = {**vars(verdict.bounds), "images": verdict.images, "verdict": text}
            rows += [_row(start, mean, confidence) | said for start, mean in means]
    columns = [
        *(*LADDER, "which", "against", "kept", "total", "density", "sources", "targets", "pairs"),
        *("mean_db", "low_db", "high_db", "freedom", "rounding_db", "confidence"),
        *("shown", "estimate", "refuted", "images", "verdict"),
    ]
    return pd.DataFrame(rows, columns=columns).astype({"kept": "Int64", "total": "Int64"})


def _means(fits: pd.DataFrame, which: str, against: str) -> Iterator[Means]:
    """The means of each ladder over its pairs that have a difference."""
    score = f"to_{against}"
    moved = fits[~fits["own"] & fits[score].notna()]
    keys = [*LADDER, "density", "source", "target"]
    sizes = {"kept": ("kept", "first"), "total": ("total", "first")}
    pairs = moved.groupby(keys, observed=True).agg(**{score: (score, "mean")}, **sizes)
    for key, ladder in groupby(tuples(pairs.reset_index()), attrgetter(*LADDER)):
        start = dict(zip(LADDER, key, strict=True)) | {"which": which, "against": against}
        means = []
        for density, group in groupby(ladder, attrgetter("density")):
            own = list(group)
            values = zip(*map(attrgetter(score, "source", "target"), own), strict=True)
            size = {name: _same(map(attrgetter(name), own)) for name in sizes}
            means.append((start | size | {"density": density}, crossed_mean(*values)))
        yield means[::-1]


def _same(numbers: Iterable[int]) -> Any:
    """The one number of weights, missing where images of other channels have networks of others."""
    found = set(numbers)
    return found.pop() if len(found) == 1 else pd.NA


def _tests(means: Means, margin_db: float) -> Ladder:
    """The tests of a ladder, as far as there are."""
    rungs = [
        Rung(
            density=start["density"],
            mean=mean.mean,
            deviation=mean.error * np.sqrt(min(mean.sources, mean.targets)),
            n=min(mean.sources, mean.targets),
            p_within=mean.below(-margin_db),
            p_beyond=mean.above(-margin_db),
            rounding_db=_rounding_db(mean),
        )
        for start, mean in means
        if mean.decided
    ]
    return Ladder(rungs=rungs, least=means[-1][0]["density"])


def _row(start: Mapping[str, Any], mean: CrossedMean, confidence: float) -> dict[str, Any]:
    """The row of one density, but for the verdict on its ladder."""
    low, high = mean.interval(confidence)
    return {
        **start,
        **{"sources": mean.sources, "targets": mean.targets, "pairs": mean.pairs},
        **{"mean_db": mean.mean, "low_db": low, "high_db": high, "freedom": mean.freedom},
        **{"rounding_db": _rounding_db(mean), "confidence": confidence},
    }


def _rounding_db(mean: CrossedMean) -> float:
    """How far rounding alone moves the mean: pairs on one target share what they are held to."""
    return float(rounding_db(mean.pairs, mean.targets))


def crossed_blocks(table: pd.DataFrame, ending: str = "") -> Iterator[Block]:
    """What is said of one matrix, and the numbers; nothing where nothing went elsewhere.

    The `ending` tells the labels of several tables of one matrix apart.
    """
    for (source, target), own in table.groupby(["source_task", "target_task"], observed=True):
        where = f"{source} to {target}" if source != target else str(source)
        for against, rows in own.groupby("against", sort=False):
            yield Text(f"{where}, against {WHOM[str(against)]}, {_sentence(rows)}")
    if len(table):
        yield _numbers(table, ending)


WHOM = {"native": "native tickets", "dense": "dense fits"}


def _sentence(rows: pd.DataFrame) -> str:
    """The sample, and the verdict by each PSNR."""
    sizes = [counted_text(rows[side], side) for side in ("sources", "targets")]
    sample = f"over {' and '.join(sizes)}"
    said = rows.drop_duplicates("which").set_index("which")["verdict"]
    if said.nunique() == 1:
        return f"{sample}: {said.iloc[0]}."
    return " ".join([f"{sample}.", *(f"By {which}: {text}." for which, text in said.items())])


def _numbers(table: pd.DataFrame, ending: str) -> Table:
    """One row per density, with a mean for each PSNR and each comparison."""
    keys = ["source_task", "target_task", "density"]
    groups = [list(tuples(rows)) for _, rows in table.groupby(keys, observed=True, sort=False)]
    scores = dict.fromkeys(zip(table["against"], table["which"], strict=True))
    cells = {
        "From": lambda rows: rows[0].source_task,
        "To": lambda rows: rows[0].target_task,
        "Density": lambda rows: density_text(rows[0].density),
        **{f"To {a}, {w}": _mean_cell(a, w) for a, w in scores},
        "Pairs": lambda rows: max(row.pairs for row in rows),
    }
    return table_of(
        groups,
        cells,
        title="Over sources and targets",
        name="crossed",
        label=f"Transfers in general{ending}",
        note=NOTE,
    )


def _mean_cell(against: str, which: str) -> Any:
    def cell(rows: Sequence[Any]) -> str:
        found = [row for row in rows if (row.against, row.which) == (against, which)]
        if not found:
            return "–"
        return difference_cell(*(getattr(found[0], f"{name}_db") for name in DIFFERENCE))

    return cell
