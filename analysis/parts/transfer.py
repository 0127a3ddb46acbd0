"""Transfers: tickets of one image or task on another, against those found there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..charts.cells import cell_layout, cell_map, in_lines
from ..charts.controls import PSNR_SHOWN, Change, Choice, density_choice, menu, only
from ..charts.style import PALETTE
from ..page.content import Content, Part
from ..page.section import Block, Figure, Fold, Section, Text, table_of
from ..rows.choosing import check_single
from ..rows.naming import named, part_of, tuples
from ..rows.points import CONFIDENCE, WHICH, described_points, distinct_fits
from ..rows.texts import density_text, known_text, removed_text
from ..statistics.aggregate import Groups, dense_first
from ..statistics.intervals import check_confidence, check_margin
from ..statistics.rounding import rounding_db
from .crossed import crossed_blocks, crossed_of
from .differences import ROUNDED, difference_cell, is_rounding
from .verdicts import COUNTED, COUNTED_NOTE, COUNTING, MARGIN_DB

MATRIX = ("network", "method", "travels")
"""The columns whose values a matrix of sources and targets has in common."""

SAMPLE = ["n", "n_native", "n_dense"]
"""The columns in which matrices with and without unfinished fits differ."""

GROUP = (*MATRIX, "source", "target", "kept")

PAIR = ("problem_key", "finder_key", "kept", "seed")
"""The columns in which a transfer and its native ticket are equal."""

TASKS = {"source_task_name": "source_task", "target_task_name": "target_task"}
"""The columns with the tasks of both ends, by what tables call them."""

MOVED = [
    *GROUP,
    *("problem_key", "finder_key", "seed", "trial_id", "image", "total", "density", "own"),
    *("unfinished", *TASKS.values(), *(f"psnr_{which}_db" for which in WHICH)),
]
"""The columns that tables of transfers follow from: few are merged fast."""

NOTE = """
In a cell: PSNR of the transferred ticket − that of the native one, which the same method found on
the target itself, at the same density; the mean over seeds. Blue is better than native, orange is
worse. The diagonal is outlined: where tickets did not travel back to where they come from, it has
the native ticket's own PSNR in dB. Grey and in brackets are differences that rounding alone could
make. Point at a cell, or tap it, for intervals and the dense network.
"""

NUMBERS_NOTE = f"""
Mean PSNR in dB at the selected step, and the mean difference to the native ticket and to the dense
fit from the same initial weights, over seeds; in brackets Student-t intervals, which hold for this
source and this target alone: more seeds narrow them, and say nothing about other images. Unfinished
fits are left out of means, and so are differences to an unfinished fit. {ROUNDED}
"""

CELLS = {
    "Found on": lambda row: row.source,
    "Fitted on": lambda row: row.target,
    "Density": lambda row: density_text(row.density),
    "PSNR": lambda row: known_text(row.mean_db, ".2f").replace("-", "−"),
    "To native": lambda row: _difference(row, "native"),
    "To dense": lambda row: _difference(row, "dense"),
    "n": lambda row: f"{row.n}, {row.unfinished} unfinished" if row.unfinished else row.n,
}

DIFFERENCE = ("db", "low_db", "high_db", "rounding_db")
"""How the columns of a mean difference end."""

TRAVELS = {
    "mask_and_weights": "mask and weights travel",
    "mask": "the mask travels, weights are drawn afresh",
    "layer_densities": "only the densities of the layers travel",
}

NO_NATIVE = Text("The targets have no tickets of their own to compare with.")

UNFINISHED_FITS = Choice(
    name="unfinished",
    legend="Unfinished fits",
    labels={False: "left out", True: "counted"},
    row=True,
    worded=True,
)

READING = "down: found on<br>across: fitted on<br>cells: dB to the native ticket, (within rounding)"

LABEL_WIDTH = 16
"""Characters in a line of a label, unless a single word is longer."""

WORSE, EVEN, BETTER = "#B35806", "#F0F0F0", "#2166AC"

MOST_IN_LINES = 10
"""The targets whose names are in lines: of more, names stand upright, each in one line."""

LEAST_SCALE_DB = 0.2
"""The colours span at least this much either way, so that noise does not look like a finding."""

Cell: TypeAlias = tuple[float, str, str]
"""The colour of a cell, its text, and what is said where it is pointed at."""

EMPTY: Cell = (np.nan, "", "")

SCALE_QUANTILE = 0.9
"""The quantile of differences where the colours end: a collapse must not fade the rest."""


def transfer_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    confidence: float = CONFIDENCE,
    unfinished: bool = False,
) -> pd.DataFrame:
    """One row per network, method, travels, source, target, density and `which` PSNR of transfers.

    `mean_db` is over the `n` of `seeds` that have that PSNR. `native_db` is the mean over seeds of
    the target's native tickets: of the trajectory that finds tickets by the same method on the
    target itself, at the same count. Where the method looks at clean images, native is the ticket
    found on the target's clean image and fitted to its measurement by a transfer of its own.
    `to_native_db` is the mean difference to the native ticket of the same seed, over `n_native`
    seeds, within the Student-t interval `to_native_low_db` to `to_native_high_db` (NaN below two
    seeds); `to_dense_db` is that to the dense fit which the trial itself begins with, of the same
    initial weights, and `to_dense_deviation_db` its standard deviation over seeds. Means of up to
    `to_native_rounding_db` or `to_dense_rounding_db` either way may be rounding alone. `own` marks
    transfers back to the image and task that the tickets come from. `unfinished` counts the
    transferred tickets whose fit is unfinished; their scores, and differences to unfinished fits,
    are in no mean unless asked for.

    Raises ValueError when there is no fit at all, or `confidence` is not within 0 and 1.
    """
    points = _finished(described_points(trials, levels), unfinished=unfinished)
    return _means(_transfers(points), confidence)


def crossed_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    margin_db: float = MARGIN_DB,
    confidence: float = CONFIDENCE,
    unfinished: bool = False,
) -> pd.DataFrame:
    """One row per network, method, travels, tasks, density, `which` PSNR and `against`.

    `mean_db` is the mean difference of transferred tickets, other than those that stayed where they
    come from, to native ones or dense fits, over `pairs` of a source and a target, seeds averaged
    first. `sources` and `targets` are crossed random effects: `low_db` to `high_db` is an interval
    for other images on either side, NaN where these do not vary apart. `kept` and `total` are
    missing where networks of several sizes are at one density, as for grey and colour images.
    `shown`, `estimate`, `refuted`, `images` and `verdict` are as in `matching_table`, with p-values
    adjusted over all rows of the same PSNR and comparison; `images` are as many sources and as many
    targets.

    Raises ValueError when there is no fit at all, `confidence` is not within 0 and 1 or `margin_db`
    is not positive.
    """
    check_confidence(confidence)
    check_margin(margin_db)
    points = _finished(described_points(trials, levels), unfinished=unfinished)
    return crossed_of(_transfers(points), margin_db=margin_db, confidence=confidence)


def _means(transfers: Mapping[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """The `transfer_table` of transfers with their differences, by `which` PSNR."""
    parts = [_scores(paired, confidence, which) for which, paired in transfers.items()]
    table = pd.concat(parts, ignore_index=True)
    table["which"] = pd.Categorical(table["which"], categories=WHICH, ordered=True)
    return dense_first(table, [*GROUP, "which"])


def _finished(points: pd.DataFrame, *, unfinished: bool) -> pd.DataFrame:
    """The points, those that are unfinished without a PSNR unless asked for."""
    if unfinished:
        return points
    known = {f"psnr_{which}_db": points[f"psnr_{which}_db"] for which in WHICH}
    return points.assign(**{name: own.mask(points["unfinished"]) for name, own in known.items()})


def _transfers(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By `which` PSNR the sparse fits of transfers, labelled, with their differences."""
    fits = points[(points["kind"] == "transfer") & (points["kept"] < points["total"])]
    moved = _labelled(distinct_fits(fits)).rename(columns=TASKS)[MOVED]
    natives = _natives(points)
    dense = points[points["kept"] == points["total"]]
    return {which: _paired(moved, natives, dense, f"psnr_{which}_db") for which in WHICH}


def transfer_figure(table: pd.DataFrame, counted: pd.DataFrame | None = None) -> go.Figure:
    """Sources by targets: the difference to the native ticket, at a density from a dropdown.

    `table` has one matrix's rows of a `transfer_table`. Where tickets did not go back to where they
    come from, the outlined diagonal has the native ticket's own PSNR. Sources and targets without
    any native ticket to compare with are left out, single cells left blank. `counted` are the same
    rows with unfinished fits; buttons then choose between the two.

    Raises ValueError when that is more than one matrix, or nothing has a native ticket.
    """
    matrices = table.assign(matrix=table.groupby(list(MATRIX), observed=True).ngroup())
    rule = "a transfer figure shows one network, method and travels: choose its rows"
    check_single(matrices, "matrix", rule)
    every = table if counted is None else counted
    if not every["n_native"].any():
        raise ValueError("no transfer has a native ticket to compare with")
    every = _with_natives(every)
    density = _density(every)
    shown = list(density.labels)

    def score(which: str, unfinished: bool = False) -> Change:
        traces = _matrices(every if unfinished else table, which, density, every)
        names = ("z", "text", "customdata")
        return {name: [getattr(trace, name) for trace in traces] for name in names}, {}

    def one_density(density: float) -> Change:
        return only(shown.index(density), len(shown)), {}

    menus = [menu(_scores_shown(counted), score), menu([density], one_density, x=1)]
    drawn = _matrices(table, WHICH[0], density, every)
    return go.Figure(drawn, _look(every) | {"updatemenus": menus})


def _scores_shown(counted: pd.DataFrame | None) -> list[Choice]:
    """What the buttons choose, which are fewer where no fit is unfinished."""
    return [PSNR_SHOWN] if counted is None else [PSNR_SHOWN, UNFINISHED_FITS]


def sections(shown: Content) -> Iterator[Section]:
    """One per network, method and travels that went elsewhere than where tickets come from."""
    table, general = _both(shown.described, unfinished=False)
    unfinished = shown.described["unfinished"].any()
    counted = _both(shown.described, unfinished=True) if unfinished else None
    networks = table["network"].nunique()
    groups = table.groupby(list(MATRIX), observed=True)
    away = [
        (key, rows)
        for key, rows in groups
        if not rows["own"].all() and rows[["n", "unfinished"]].any(axis=None)
    ]
    for place, ((network, method, travels), rows) in enumerate(away):
        key = (network, method, travels)
        title = f"Transfers of {method}, {TRAVELS.get(str(travels), travels)}"
        name = f"transfer-{place}"
        every = None if counted is None else _of_matrix(counted[0], *key)
        every = None if every is None or rows[SAMPLE].equals(every[SAMPLE]) else every
        blocks: list[Block] = [
            _drawn(rows, every, name),
            *_said(rows, _of_matrix(general, *key), NUMBERS_NOTE),
        ]
        if counted is not None and every is not None:
            said = _said(every, _of_matrix(counted[1], *key), COUNTED_NOTE, f", {COUNTED}")
            blocks.append(Fold(title=COUNTING, blocks=tuple(said)))
        yield Section(
            name=f"of-{name}",
            title=f"{title}: {network}" if networks > 1 else title,
            blocks=tuple(blocks),
        )


def _both(points: pd.DataFrame, *, unfinished: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The `transfer_table` and the `crossed_table` of `described_points`."""
    transfers = _transfers(_finished(points, unfinished=unfinished))
    crossed = crossed_of(transfers, margin_db=MARGIN_DB, confidence=CONFIDENCE)
    return _means(transfers, CONFIDENCE), crossed


def _said(
    rows: pd.DataFrame, general: pd.DataFrame, note: str, ending: str = ""
) -> Iterator[Block]:
    """What holds in general for one matrix, and its numbers."""
    yield from crossed_blocks(general, ending)
    yield table_of(
        tuples(rows[rows["which"] == WHICH[0]]),
        CELLS,
        name="transfer",
        label=f"Transfers by source, target, density{ending}",
        note=note,
    )


def _of_matrix(general: pd.DataFrame, *matrix: Any) -> pd.DataFrame:
    """The rows of a table that belong to one matrix."""
    own = [general[name].astype(str) == str(one) for name, one in zip(MATRIX, matrix, strict=True)]
    return general[own[0] & own[1] & own[2]]


def _drawn(rows: pd.DataFrame, counted: pd.DataFrame | None, place: str) -> Figure | Text:
    every = rows if counted is None else counted
    if not every.loc[~every["own"], "n_native"].any():
        return NO_NATIVE
    return Figure(
        name="transfer",
        place=place,
        label="Differences of transferred to native tickets",
        note=NOTE,
        lines=rows["source"].nunique() * 2,
        figure=transfer_figure(rows, counted),
        controls=(*_scores_shown(counted), _density(_with_natives(every))),
    )


def _with_natives(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of sources and targets that have any native ticket to compare with."""
    for end in ("source", "target"):
        known = table.loc[table["n_native"] > 0, end]
        table = table[table[end].isin(known)]
    return table


def _density(table: pd.DataFrame) -> Choice:
    """The densities that a matrix offers; first the middle one."""
    middle = table["density"].nunique() // 2
    return density_choice(table, removed_text, by="density", chosen=middle, menu=1)


def _difference(row: Any, to: str) -> str:
    return difference_cell(*(getattr(row, f"to_{to}_{end}") for end in DIFFERENCE))


def _labelled(transfers: pd.DataFrame) -> pd.DataFrame:
    """Transfers with network, method, source and target as names that tell apart."""
    found = transfers.assign(own=transfers["source_key"] == transfers["target_key"])
    found["network"], found["method"] = named(found, "network"), named(found, "finder")
    names = named(_ends(found))
    found["source"], found["target"] = names[: len(found)], names[len(found) :]
    return found


def _ends(transfers: pd.DataFrame) -> pd.DataFrame:
    """Sources, then targets: named by image, by task or by both, whichever varies."""
    ends = [
        part_of(transfers, end).assign(task=transfers[f"{end}_task_name"])
        for end in ("source", "target")
    ]
    found = pd.concat(ends).astype({"name": str, "task": str})
    tasks_vary, images_vary = found["task"].nunique() > 1, found["name"].nunique() > 1
    if tasks_vary and images_vary:
        found["name"] += ", " + found["task"]
    elif tasks_vary:
        found["name"] = found["task"]
    return found


def _paired(
    fits: pd.DataFrame, natives: pd.DataFrame, dense: pd.DataFrame, psnr: str
) -> pd.DataFrame:
    """The fits with their score, and those of the native ticket and the dense fit beside it."""
    of_native = natives[[*PAIR, psnr]].rename(columns={psnr: "native"})
    of_dense = dense[["trial_id", "image", psnr]].rename(columns={psnr: "dense"})
    found = fits.assign(score=fits[psnr]).merge(of_native, on=list(PAIR), how="left")
    found = found.merge(of_dense, on=["trial_id", "image"], how="left")
    return found.assign(
        to_native=found["score"] - found["native"], to_dense=found["score"] - found["dense"]
    )


def _natives(points: pd.DataFrame) -> pd.DataFrame:
    """One row per ticket that was found where it is fitted, as `PAIR` tells them apart."""
    clean = points["clean"]
    found_here = (points["kind"] == "trajectory") & ~clean
    own = points["source_key"] == points["target_key"]
    brought_back = own & clean & (points["travels"] == "mask_and_weights")
    tickets = points[(found_here | brought_back) & (points["kept"] < points["total"])]
    return tickets.drop_duplicates(list(PAIR))


def _scores(paired: pd.DataFrame, confidence: float, which: str) -> pd.DataFrame:
    """The rows of one PSNR: its mean, and those of its differences to native and dense."""
    groups = Groups(fits=paired, by=GROUP, confidence=confidence)
    own, native, dense = (groups.interval(name) for name in ("score", "to_native", "to_dense"))
    table = groups.keys().assign(which=which)
    table[["total", "density", "own"]] = groups.same("total", "density", "own")
    table["seeds"], table["n"], table["mean_db"] = groups.sizes(), own["n"], own["mean"]
    table["unfinished"] = groups.counted("unfinished")["unfinished"]
    table["native_db"] = groups.means("native")["native"]
    for to, found in {"native": native, "dense": dense}.items():
        table[f"n_{to}"] = found["n"]
        table[f"to_{to}_db"] = found["mean"]
        table[f"to_{to}_deviation_db"] = found["deviation"]
        table[f"to_{to}_rounding_db"] = rounding_db(found["n"])
    table["to_native_low_db"], table["to_native_high_db"] = native["low"], native["high"]
    table["confidence"] = confidence
    table["to_dense_low_db"], table["to_dense_high_db"] = dense["low"], dense["high"]
    return table


def _axes(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Sources and targets, those that are both first and in the same order."""
    sources, targets = (set(table[end].astype(str)) for end in ("source", "target"))
    both = sorted(sources & targets)
    return [*both, *sorted(sources - targets)], [*both, *sorted(targets - sources)]


def _matrices(
    table: pd.DataFrame, which: str, density: Choice, every: pd.DataFrame
) -> list[go.Heatmap]:
    """One trace per density, for one of the PSNRs; the chosen one is visible.

    Sources, targets and the ends of the scale are those of `every` row that there may be.
    """
    sources, targets = _axes(every)
    sizes = every["to_native_db"].abs().replace(np.inf, np.nan)
    limit = max(float(sizes.quantile(SCALE_QUANTILE)), LEAST_SCALE_DB)
    own = table[table["which"] == which]
    traces = []
    for place, one in enumerate(density.labels):
        cells = _cells(own[own["density"] == one], sources, targets)
        trace = cell_map(
            [_label(name) for name in targets] if len(targets) <= MOST_IN_LINES else targets,
            [_label(name) for name in sources],
            [[z for z, _, _ in line] for line in cells],
            scale=[[0, WORSE], [0.5, EVEN], [1, BETTER]],
            ends=(-limit, limit),
            gap=2,
            text=[[text for _, text, _ in line] for line in cells],
            customdata=[[said for _, _, said in line] for line in cells],
            hovertemplate="%{y} → %{x}<br>%{customdata}<extra></extra>",
            visible=place == density.chosen,
        )
        traces.append(trace)
    return traces


def _cells(rows: pd.DataFrame, sources: list[str], targets: list[str]) -> list[list[Cell]]:
    """The cells of one density: a line per source, a cell per target."""
    found = {(row.source, row.target): _cell(row) for row in tuples(rows)}
    missing = [name for name in targets if name in sources and (name, name) not in found]
    found |= {(name, name): _native_cell(rows, name) for name in missing}
    return [[found.get((source, target), EMPTY) for target in targets] for source in sources]


def _native_cell(rows: pd.DataFrame, target: str) -> Cell:
    """The cell of a target whose tickets did not travel back to it."""
    native_db = rows.loc[rows["target"] == target, "native_db"].mean()
    if pd.isna(native_db):
        return EMPTY
    return 0.0, f"{native_db:.1f}", f"native ticket<br>{native_db:.2f} dB"


def _cell(row: Any) -> Cell:
    """The cell of a source and a target."""
    if not row.n:
        return np.nan, "", "unfinished, left out" if row.unfinished else "no PSNR"
    said = f"{row.mean_db:.2f} dB, n = {row.n}"
    if row.n_native:
        said += f"<br>to native {_signed(row, 'native')}"
    if row.n_dense:
        said += f"<br>to dense {_signed(row, 'dense')}"
    difference = row.to_native_db
    if pd.isna(difference):
        return difference, "", said
    if is_rounding(difference, row.to_native_rounding_db):
        return 0.0, f"({signed_text(difference)})", said
    return difference, signed_text(difference), said


def _signed(row: Any, to: str) -> str:
    mean, low, high, rounding = (getattr(row, f"to_{to}_{end}") for end in DIFFERENCE)
    bounds = "" if pd.isna(low) else f" [{signed_text(low)}, {signed_text(high)}]"
    ending = " rounding" if is_rounding(mean, rounding) else ""
    return f"{signed_text(mean)} dB{bounds}{ending}"


def signed_text(value: float) -> str:
    """A difference in dB with its sign, and a true minus."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def _look(table: pd.DataFrame) -> dict[str, Any]:
    """Sources down, targets across, the diagonal outlined."""
    sources, targets = _axes(table)
    found = cell_layout(font_size=12, bottom=90)
    found["xaxis"] |= {"title": {"text": READING, "standoff": 12, "font": {"size": 12}}}
    return found | {"shapes": list(_outlines(sources, targets))}


def _label(name: str) -> str:
    """A name in short lines, none of which begins or ends in an equals sign."""
    name = name.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return in_lines(name, LABEL_WIDTH, break_long_words=False)


def _outlines(sources: list[str], targets: list[str]) -> Iterable[dict[str, Any]]:
    line = {"color": PALETTE["ink"], "width": 2}
    for y, name in enumerate(sources):
        if name in targets:
            x = targets.index(name)
            ends = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
            yield {"type": "rect", **ends, "line": line, "fillcolor": "rgba(0,0,0,0)"}


PART = Part(label="Transfer", names={"transfer", "crossed"}, sections=sections, kinds={"transfer"})
