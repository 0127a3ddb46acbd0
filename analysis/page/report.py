"""One page that shows a store's frontiers: figures, reconstructions and numbers, all offline."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from importlib.resources import files
from operator import attrgetter
from typing import Any, Protocol

import pandas as pd
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from lip_ray.records import LayerMask

from ..charts.style import BUTTONS, PALETTE
from ..parts import generators
from ..parts.explorer.section import CHART as EXPLORER
from ..parts.explorer.section import explorer_data, explorer_section
from ..parts.explorer.table import fits_of, scene_table
from ..parts.frontier import frontier_figure, frontier_table
from ..parts.generators import generator_points
from ..parts.sensing import table as sensing
from ..parts.sensing.section import INTRODUCTION as SENSING_INTRODUCTION
from ..parts.sensing.section import (
    cards,
    gallery_points,
    generator_sections,
    sensing_sections,
    sheet_points,
    tile_name,
)
from ..parts.sensing.table import sensing_points
from ..rows.choosing import most_frequent
from ..rows.identity import DENSE, KINDS
from ..rows.naming import flat_settings, grouped, tuples
from ..rows.points import (
    BAD_OUTCOMES,
    WHICH,
    density_text,
    described_points,
    distinct_fits,
    sample_text,
    sparsity_text,
    without_keys,
)
from .gallery import gallery_entries
from .html import Section, chart, controls, mean_text, number_table
from .more_sections import MOST_PROBLEMS, more_sections
from .pictures import (
    NO_PICTURES,
    PICTURE_KEY,
    Pictures,
    db_text,
    pictures_within,
    tile,
)
from .sections import (
    classification_sections,
    search_sections,
    size_sections,
    transfer_sections,
    verdict_sections,
)

PICTURES_MB = 40.0
"""By default a page embeds no more than this many megabytes of PNG files."""

CONFIG = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "doubleClick": False,
    "responsive": True,
}
"""For Plotly, which without the first two offers to upload the figure, and takes the tap of a
finger, and the click a browser makes of it, for a double click that changes the axes."""

CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses every request to the outside."""

SCRIPTS = ("page.js", "choices.js", "explorer.js", "report.js", "gallery.js")
"""In the order in which they run."""

SHOWN_KINDS = {*KINDS, "classification", generators.KIND, sensing.KIND}

TITLE = "Accuracy against density"

INTRODUCTION = """
<p>Each network below can only produce images. It is pruned level by level and, with what is left
of it, fitted to a degraded image; the figures show how good the restored image is, as PSNR against
the clean one, and how few weights that takes. Methods are compared at equal density, from the same
initial weights, latent and noise.</p>
<p>Every fit has three PSNRs. <b>Selected</b> is at the step that a rule chose without the clean
image: what one would get in use. <b>Peak</b> is the best over the fit, found by looking at the
clean image: an upper bound, and what papers report. <b>Final</b> is at the last step.</p>
"""

LEGEND_NOTE = """
Density is kept ÷ prunable weights. Open marks are fits, one a seed; lines join their means. Pale
bars are Student-t intervals of the mean over seeds within this one image; with few seeds they are
wide and may leave the axis. The dense fit of a seed is the same for all methods and counted once;
other initial weights, a clean target or several images at once have dense lines of their own.
A cross is a collapsed fit: the mask leaves no path from input to output, the image is one flat
colour, and its PSNR is real. Point at a mark, or tap it, to see what that fit restored.
"""

NUMBERS_NOTE = """
Mean PSNR in dB over seeds and, in brackets, its Student-t interval. Kept counts prunable weights;
effective is the mean of those on a path from input to output.
"""

NO_FITS = pd.DataFrame(columns=PICTURE_KEY)

NO_CHART = "<p>There is no clean image to compare with, so no PSNR to plot.</p>"


class Frames(Protocol):
    """What reads a store: `lip_ray.store.Reader`, or frames made by hand."""

    def frame(self, table: str, /, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table of that name, or its rows of these trials."""

    def masks(self, trial_id: str, level: int, /) -> tuple[LayerMask, ...] | None:
        """The mask of a level, None where none is stored."""


def frontier_report(
    store: Frames, *, pictures_mb: float = PICTURES_MB, plotly: str | None = None
) -> str:
    """A self-contained HTML page: a section per problem, comparison and matrix; no network needed.

    Methods have verdicts, and all scenes one explorer. The problems with the most fits have their
    frontiers, galleries and numbers; those beyond are in the explorer alone. Networks of different
    kinds on one image and task are compared by size, transfers in matrices of sources and targets,
    classifiers by accuracy, generators by what they draw, and reconstructions with these by their
    errors.
    A search has its front; trials that only a search asked for are compared nowhere else. Last come
    curves of fits, densities of layers, overlaps of masks, the cost of all, and failures.
    Pictures beyond `pictures_mb` megabytes stay out, and the page says how many.

    Plotly's script is in the page, unless `plotly` names a file of it beside the page.

    Raises ValueError when the store has no finished level.
    """
    content = _content(store, int(pictures_mb * 1e6))
    shown, pictures, sections = content.shown, content.pictures, content.sections
    figures = {section.chart: section.figure for section in sections if section.figure is not None}
    explorer = figures.pop(EXPLORER, None)
    data = {
        "config": CONFIG,
        "palette": PALETTE,
        "which": WHICH,
        "figures": {name: figure.to_dict() for name, figure in figures.items()},
        "fits": {fit.Index: _card(fit, pictures) for fit in tuples(shown.fits)}
        | cards(shown.gallery, pictures),
        "gallery": _gallery_data(shown, pictures),
        "explorer": None if explorer is None else explorer_data(content.scenes, shown.scattered),
        "pictures": pictures.uris,
    }
    introduction = INTRODUCTION if content.kinds & set(KINDS) else ""
    introduction += SENSING_INTRODUCTION if content.kinds & {generators.KIND, sensing.KIND} else ""
    body = "".join(section.html for section in sections)
    footer = _footer(content.trials, content.levels, pictures)
    return _page(introduction + _contents(sections) + body + footer, data, plotly)


def report_sections(store: Frames, *, pictures_mb: float = 0.0) -> list[Section]:
    """The parts of the page in their order, for who shows them, or their figures, elsewhere.

    Only a page has pictures to show: by default none are read.

    Raises ValueError when the store has no finished level.
    """
    return _content(store, int(pictures_mb * 1e6), counted=False).sections


@dataclass(frozen=True, kw_only=True)
class _Content:
    """A page before it is written."""

    trials: pd.DataFrame
    levels: pd.DataFrame
    kinds: Set[str]
    """Of all trials with a finished level."""
    shown: "_Shown"
    pictures: Pictures
    scenes: pd.DataFrame
    """Of the explorer; no rows where a store has none."""
    sections: list[Section]


def _content(store: Frames, room: int, *, counted: bool = True) -> _Content:
    """All parts of a page, with pictures of at most `room` bytes.

    Those without room are `counted`, or not even read where there is none.
    """
    trials, levels, points = (store.frame(name) for name in ("trials", "levels", "points"))
    kinds = _fitted(trials, levels)
    if not kinds & SHOWN_KINDS:
        raise ValueError("no finished level in the store: run a sweep of trajectories first")
    searched = _only_searched(points, store)
    compared, fits, compared_kinds = trials, levels, kinds
    if searched:
        compared = trials[~trials["trial_id"].isin(searched)]
        fits = levels[levels["trial_id"].isin(compared["trial_id"].unique())]
        compared_kinds = _fitted(compared, fits)
    shown = _shown(compared, fits, compared_kinds)
    read = counted or room > 0
    pictures = pictures_within(_pictures_of(shown.pictured, store), room) if read else NO_PICTURES
    scenes = scene_table(shown.scattered) if len(shown.scattered) else NO_FITS
    sections = list(_sections(compared, fits, shown, scenes, pictures))
    if len(points):
        sections += search_sections(points)
    sections += more_sections(store, trials, levels, points=shown.described)
    return _Content(
        trials=trials,
        levels=levels,
        kinds=kinds,
        shown=shown,
        pictures=pictures,
        scenes=scenes,
        sections=sections,
    )


def _fitted(trials: pd.DataFrame, levels: pd.DataFrame) -> set[str]:
    """The kinds of trials that have a finished level."""
    return set(trials.loc[trials["trial_id"].isin(levels["trial_id"].unique()), "kind"])


def _only_searched(points: pd.DataFrame, store: Frames) -> set[str]:
    """Ids of trials that no sweep asked for but a search: each differs from all others."""
    if points.empty:
        return set()
    return set(points["trial_id"].dropna()) - set(store.frame("sweeps")["trial_id"])


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What a page has pictures of; no rows where a store has none of a kind."""

    kinds: Set[str]
    """Of what is compared."""
    described: pd.DataFrame
    """All fits that restore images, as `described_points`."""
    scattered: pd.DataFrame
    """Those that the explorer has."""
    left: int
    """How many problems only the explorer has."""
    points: pd.DataFrame
    """Of the frontiers that are shown."""
    fits: pd.DataFrame
    """Those without repetition."""
    sheets: pd.DataFrame
    """Of generators."""
    sensed: pd.DataFrame
    """Of reconstructions."""
    gallery: pd.DataFrame
    """Those that are shown as pictures."""

    @property
    def pictured(self) -> pd.DataFrame:
        """Trial, level and image of all whose pictures are wanted, each once."""
        parts = [part for part in (self.fits, self.sheets, self.gallery) if len(part)]
        found = pd.concat([part[PICTURE_KEY] for part in parts or [NO_FITS]])
        return found.drop_duplicates()


def _shown(trials: pd.DataFrame, levels: pd.DataFrame, kinds: Set[str]) -> _Shown:
    restored = bool(kinds & set(KINDS))
    described = described_points(trials, levels) if restored else NO_FITS
    points = without_keys(described) if restored else NO_FITS
    problems = most_frequent(points["problem"], MOST_PROBLEMS) if restored else []
    left = points["problem"].nunique() - len(problems) if restored else 0
    points = points[points["problem"].isin(problems)] if restored else NO_FITS
    sheets = generator_points(trials, levels) if generators.KIND in kinds else NO_FITS
    sensed = sensing_points(trials, levels) if sensing.KIND in kinds else NO_FITS
    return _Shown(
        kinds=kinds,
        described=described,
        scattered=fits_of(described) if restored else NO_FITS,
        left=left,
        points=points,
        fits=distinct_fits(points) if len(points) else NO_FITS,
        sheets=sheet_points(sheets) if len(sheets) else NO_FITS,
        sensed=sensed,
        gallery=gallery_points(sensed) if len(sensed) else NO_FITS,
    )


def _sections(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    shown: _Shown,
    scenes: pd.DataFrame,
    pictures: Pictures,
) -> Iterator[Section]:
    kinds = shown.kinds
    if len(shown.points):
        yield from verdict_sections(shown.described)
        if scenes["n"].any():
            yield explorer_section(scenes, shown.scattered)
        yield from _frontier_sections(shown, frontier_table(shown.points), pictures)
        yield from size_sections(shown.described)
    if "transfer" in kinds:
        yield from transfer_sections(shown.described)
    if "classification" in kinds:
        yield from classification_sections(trials, levels)
    if generators.KIND in kinds:
        yield from generator_sections(trials, levels, shown.sheets, pictures)
    if len(shown.sensed):
        yield from sensing_sections(shown.sensed, pictures)


def _frontier_sections(shown: _Shown, table: pd.DataFrame, pictures: Pictures) -> Iterator[Section]:
    """One per problem, the first says how many are left out."""
    for place, (problem, own) in enumerate(shown.fits.groupby("problem", observed=True)):
        rows = table[table["problem"] == problem]
        figure = frontier_figure(own, rows) if rows["n"].any() else None
        name = f"chart-{place}"
        drawn = chart(
            name,
            "PSNR against density; the numbers are in the table below",
            LEGEND_NOTE,
            rows=own["method"].nunique(),
            carded=True,
        )
        yield Section(
            name=f"problem-{place}",
            title=str(problem),
            body=("" if place else _left(shown))
            + f"{_settings(own)}{_switch(place)}{NO_CHART if figure is None else drawn}"
            + f"{_gallery(own, pictures)}{_numbers(rows)}",
            chart=name,
            figure=figure,
        )


def _left(shown: _Shown) -> str:
    """How many problems have no section of their own; nothing where all have."""
    if not shown.left:
        return ""
    own = shown.points["problem"].nunique()
    return (
        f"<p>The {own} problems with the most fits have a part of this page each. "
        f"{shown.left:,} more are in the explorer alone.</p>"
    )


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections, where there are several."""
    if len(sections) < 2:
        return ""
    items = "".join(f'<li><a href="#{s.name}">{escape(s.title)}</a></li>' for s in sections)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def _switch(place: int) -> str:
    """Radio buttons for the three PSNRs of the figure, the gallery and the cards."""
    return controls(f"which-{place}", "PSNR and pictures shown", BUTTONS)


def _pictures_of(fits: pd.DataFrame, store: Frames) -> pd.DataFrame:
    """The stored pictures of these fits only."""
    stored = store.frame("reconstructions", trials=set(fits["trial_id"]))
    return stored.merge(fits[PICTURE_KEY], on=PICTURE_KEY)


def _card(fit: Any, pictures: Pictures) -> dict[str, Any]:
    """What the page's script shows of a fit: rows that hold for all of it, and a view a PSNR."""
    return {
        "title": f"{fit.method}, seed {fit.seed}",
        "rows": [
            ["Density", f"{density_text(fit.density)} ({sparsity_text(fit.density)} removed)"],
            ["Weights", f"{fit.kept:,} of {fit.total:,}"],
            ["Effective", _count(fit.effective)],
            ["Outcome", _outcome(fit)],
        ],
        "views": [
            {
                "picture": pictures.place(fit, which),
                "alt": _alt(fit, which),
                "line": _line(fit, which),
                "rows": [["Step", f"{which}, {_count(_step(fit, which))}"], *_scores(fit, which)],
            }
            for which in WHICH
        ],
    }


def _gallery_data(shown: _Shown, pictures: Pictures) -> dict[str, dict[str, Any]]:
    """What the dialog shows beside each fit's card."""
    restored = ["problem", "seed"]
    sensed = ["trial_id", "image"]
    return gallery_entries(
        shown.fits, pictures, attrgetter("Index"), scene=restored, ladder=[*restored, "method"]
    ) | gallery_entries(shown.gallery, pictures, tile_name, scene=sensed, ladder=sensed)


def _scores(fit: Any, which: str) -> list[list[str]]:
    psnr, ssim = getattr(fit, f"psnr_{which}_db"), getattr(fit, f"ssim_{which}")
    return [["PSNR", db_text(psnr)], ["SSIM", "none" if pd.isna(ssim) else f"{ssim:.3f}"]]


def _step(fit: Any, which: str) -> Any:
    return fit.steps if which == "final" else getattr(fit, f"{which}_step")


def _outcome(fit: Any) -> str:
    return (
        str(fit.outcome)
        if pd.isna(fit.reason) or not fit.reason
        else f"{fit.outcome}: {fit.reason}"
    )


def _line(fit: Any, which: str) -> str:
    """The PSNR as a caption, and what went wrong."""
    score = db_text(getattr(fit, f"psnr_{which}_db"))
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def _alt(fit: Any, which: str) -> str:
    return (
        f"{fit.image} restored with {fit.method} at density {density_text(fit.density)}, "
        f"{which} step, seed {fit.seed}"
    )


def _count(value: Any) -> str:
    return "none" if pd.isna(value) else f"{value:,.0f}"


def _settings(fits: pd.DataFrame) -> str:
    """The settings that matter most as a sentence, all of them folded away."""
    settings = flat_settings(fits["settings"].iloc[0])
    first = fits.iloc[0]
    seeds = ", ".join(str(seed) for seed in sorted(set(fits["seed"])))
    steps = f", {settings['fit.steps']} steps a fit" if "fit.steps" in settings else ""
    said = (
        f"Image {first['image']}, task {first['task']}. Network {first['prior']}, "
        f"{first['total']:,} prunable weights{steps}. Seeds: {seeds}."
    )
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in settings.items())
    return f"<p>{escape(said)}</p><details><summary>All settings</summary><dl>{rows}</dl></details>"


def _gallery(fits: pd.DataFrame, pictures: Pictures) -> str:
    """The reconstructions of the seed with the most fits, dense first, then by method."""
    seed = fits["seed"].mode().iloc[0]
    own = fits[fits["seed"] == seed].sort_values("kept", ascending=False, kind="stable")
    strips = [
        _strip(str(method), group, pictures)
        for method, group in own.groupby("method", observed=True)
    ]
    return (
        f'<h3>Reconstructions of seed {seed}, <span class="which">{WHICH[0]}</span> step</h3>'
        + "".join(strips)
    )


def _strip(method: str, fits: pd.DataFrame, pictures: Pictures) -> str:
    """A method's reconstructions in a row; before the dense one, what it was fitted to."""
    tiles = [_fit_tile(fit, pictures) for fit in tuples(fits)]
    if method == DENSE:
        method = "The problem, and the dense network"
        tiles.insert(0, _problem_tiles(next(tuples(fits)), pictures))
    return f'<h4>{escape(method)}</h4><div class="strip">{"".join(tiles)}</div>'


def _problem_tiles(dense: Any, pictures: Pictures) -> str:
    """The clean image where one is known, and the measurement."""
    clean = tile(pictures.place(dense, "clean"), f"{dense.image}, clean", "clean", "")
    known = (dense.trial_id, dense.level, dense.image, "clean") in pictures.places
    return (clean if known else "") + tile(
        pictures.place(dense, "measured"),
        f"{dense.image}, measured",
        "measurement",
        db_text(dense.psnr_measured_db),
    )


def _fit_tile(fit: Any, pictures: Pictures) -> str:
    which = WHICH[0]
    return tile(
        pictures.place(fit, which),
        _alt(fit, which),
        f"{density_text(fit.density)} ({sparsity_text(fit.density)})",
        _line(fit, which),
        fit=fit.Index,
    )


def _numbers(table: pd.DataFrame) -> str:
    """The table of one problem as HTML: a row per method and density."""
    heads = ["Method", "Density", "Kept", "Effective", "Selected", "Peak", "Final", "Seeds", "Note"]
    sample = f" {sample_text(table)}." if table["n"].any() else ""
    return number_table(
        "Mean PSNR by method and density",
        NUMBERS_NOTE + sample,
        heads,
        map(_row, grouped(table, "method", "kept")),
    )


def _row(group: Sequence[Any]) -> list[str]:
    first = group[0]
    return [
        first.method,
        density_text(first.density),
        _count(first.kept),
        _count(first.effective),
        *(mean_text(row.mean_db, row.low_db, row.high_db) for row in group),
        _count(first.seeds),
        _note(group),
    ]


def _note(group: Sequence[Any]) -> str:
    """How many fits went wrong, and how many have no PSNR; empty where all is well."""
    counts = {str(outcome): getattr(group[0], outcome) for outcome in BAD_OUTCOMES}
    counts |= {f"without {row.which} PSNR": row.missing for row in group}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _footer(trials: pd.DataFrame, levels: pd.DataFrame, pictures: Pictures) -> str:
    said = [f"Trials: {len(trials)}, fits: {len(levels)}."]
    others = int((~trials["kind"].isin(SHOWN_KINDS)).sum())
    if others:
        said.append(f"Trials of kinds that have no page yet, not shown: {others}.")
    if pictures.left_out:
        said.append(f"Pictures left out to keep the page small: {pictures.left_out}.")
    said.append(f"Made by lip-ray {version('lip-ray')}.")
    unfinished = trials[trials["levels_done"] < trials["levels"]]
    return f"<footer>{_unfinished(unfinished)}<p>{escape(' '.join(said))}</p></footer>"


def _unfinished(trials: pd.DataFrame) -> str:
    """Which trials have levels to come, folded away; nothing where all are complete."""
    if trials.empty:
        return ""
    items = "".join(
        f"<li>{escape(f'{trial.trial_id} ({trial.pruner}, {trial.image}, seed {trial.seed})')}: "
        f"{trial.levels_done} of {trial.levels} levels</li>"
        for trial in tuples(trials)
    )
    said = f"Incomplete trials, shown as far as they got: {len(trials)}"
    return f"<details><summary>{said}</summary><ul>{items}</ul></details>"


def _page(body: str, data: Mapping[str, Any], plotly: str | None) -> str:
    library = f'<script src="{plotly}">' if plotly else f"<script>{get_plotlyjs()}"
    explorer = data["explorer"] or {}
    policy = _policy(beside=plotly is not None, webgl=explorer.get("webgl", False))
    style = _shipped("report.css") + _shipped("gallery.css")
    script = "".join(map(_shipped, SCRIPTS))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{TITLE}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{TITLE}</h1>
<noscript><p>This page draws its figures and pictures by JavaScript, which is off.</p></noscript>
{body}
</main>
<aside id="card" hidden><b></b><img alt="" width="216" height="216"><dl></dl></aside>
<script type="application/json" id="data">{_inline(data)}</script>
{library}</script>
<script>{script}</script>
</body>
</html>
"""


def _policy(*, beside: bool, webgl: bool) -> str:
    """Scripts are those in the page; a file beside it; and what Plotly compiles for WebGL."""
    sources = ["script-src", *["'self' file:"] * beside, *["'unsafe-eval'"] * webgl]
    return CONTENT_POLICY.replace("script-src", " ".join(sources))


def _shipped(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _inline(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser can mistake for markup."""
    return json.dumps(data, cls=PlotlyJSONEncoder, allow_nan=False).replace("<", "\\u003c")
