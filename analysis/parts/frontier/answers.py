"""What a frontier is read for: how sparse each method gets, at what PSNR, and how sure that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...page.section import Answer, Emphasis, Words
from ...rows.naming import tuples
from ...rows.texts import counted_text, density_text
from ..verdicts import NO_VERDICT, ONE_RUN, paired_fits, study_fits
from .looks import Series
from .table import fits_of

MATCHES, LOSES, UNKNOWN = "matches dense down to", "loses to dense from", "cannot be compared yet"

MOST_ANSWERS = 60
"""More sentences than these nobody reads; the table of verdicts has them all."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Means over images, seeds averaged first, at one density."""

    density: float
    psnr_db: float
    dense_db: float
    images: int
    seeds: int
    fit: int
    """The label of one of its fits."""


def answers(points: pd.DataFrame, verdicts: pd.DataFrame, series: Sequence[Series]) -> list[Answer]:
    """A sentence for each study and method, the sparsest match first.

    `points` are `described_points` and `verdicts` their `matching_table`; PSNRs are those of the
    selected step. A method matches down to a density where it, and all above it, have a mean
    difference from dense within the margin.
    """
    places, ladders = _places(points), _ladders(points)
    known = {(one.network, one.method): one for one in series}
    found = []
    for row in tuples(verdicts):
        task, network = places[row.study]
        own = known[network, row.method]
        rungs = ladders.get((row.study, row.method), [])
        depth = _depth(rungs, row.margin_db)
        answer = Answer(
            when={"task": task, "prior": network, "method": row.method},
            words=_words(own.name, rungs, depth),
            certainty=_certainty(row, rungs, depth),
            colour=own.style.colour,
            fit=_at(rungs, depth).fit if rungs else None,
        )
        found.append((depth or 1.0, -rungs[-1].psnr_db if rungs else 0.0, answer))
    found.sort(key=lambda one: one[:2])
    return [answer for _, _, answer in found[:MOST_ANSWERS]]


def _places(points: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The task and the network of each study, as the figure's lists have them."""
    fits = fits_of(points)[["task", "network"]].astype(str)
    studies = study_fits(points)["study"]
    known = fits.assign(study=studies).drop_duplicates("study")
    return {row.study: (row.task, row.network) for row in tuples(known)}


def _ladders(points: pd.DataFrame) -> dict[tuple[str, str], list[Rung]]:
    """The rungs of each study and method, densest first, of the pairs that verdicts rest on."""
    pairs = paired_fits(points)
    able = ~(pairs["unfinished"] | pairs["dense_unfinished"] | pairs["dense_below_measured"])
    keys = ["study", "method", "density"]
    psnrs = ["psnr_selected_db", "dense_psnr_selected_db"]
    images = pairs[able].groupby([*keys, "image"])[psnrs].mean()
    means = images.groupby(keys)[psnrs].mean().dropna()
    sample = (
        pairs[able]
        .groupby(keys)
        .agg(images=("image", "nunique"), seeds=("seed", "nunique"), fit=("fit", "first"))
    )
    means = means.join(sample).reset_index()
    found: dict[tuple[str, str], list[Rung]] = {}
    for row in tuples(means.sort_values("density", ascending=False, kind="stable")):
        rung = Rung(
            density=row.density,
            psnr_db=row.psnr_selected_db,
            dense_db=row.dense_psnr_selected_db,
            images=row.images,
            seeds=row.seeds,
            fit=row.fit,
        )
        found.setdefault((row.study, row.method), []).append(rung)
    return found


def _depth(rungs: Sequence[Rung], margin_db: float) -> float | None:
    """The least density down to which all means are within the margin; None where none is."""
    depth = None
    for rung in rungs:
        if rung.psnr_db - rung.dense_db <= -margin_db:
            break
        depth = rung.density
    return depth


def _at(rungs: Sequence[Rung], depth: float | None) -> Rung:
    """The rung that a sentence is about: the last that matches, or the first that does not."""
    return next((rung for rung in rungs if rung.density == depth), rungs[0])


def _words(method: str, rungs: Sequence[Rung], depth: float | None) -> Words:
    """How sparse the method gets, with both PSNRs there."""
    name = Emphasis(method, strong=True)
    if not rungs:
        return (name, f" {UNKNOWN}.")
    at = _at(rungs, depth)
    said = Emphasis(density_text(at.density), strong=True)
    numbers = f"{at.psnr_db:.1f} against {at.dense_db:.1f} dB."
    if depth is None:
        on = " on" if len(rungs) > 1 else ""
        return (name, f" {LOSES} ", said, f"{on}: {numbers}")
    tried = ", the sparsest tried" if depth == rungs[-1].density else ""
    return (name, f" {MATCHES} ", said, f"{tried}: {numbers}")


def _certainty(row: Any, rungs: Sequence[Rung], depth: float | None) -> str:
    """Whether that is shown, by what, and what would decide it."""
    verdict = row.verdict_selected
    if NO_VERDICT in verdict and verdict != ONE_RUN:
        reason = verdict.removeprefix(f"{NO_VERDICT}: ")
        return f"{reason[:1].upper()}{reason[1:]}."
    if not rungs:
        return "No sparse fit has a PSNR."
    sample = _sample(_at(rungs, depth))
    if verdict == ONE_RUN:
        return f"Not proven: {sample}."
    if depth is None:
        proven = row.refuted_selected is not None and row.refuted_selected >= rungs[0].density
    else:
        proven = row.shown_selected is not None and row.shown_selected <= depth
    return f"Shown by {sample}." if proven else " ".join(_open(row, sample))


def _open(row: Any, sample: str) -> Iterator[str]:
    """What was fitted is not enough, and what would be."""
    yield f"Not proven: {sample}{';' if pd.notna(row.images_selected) else '.'}"
    if pd.notna(row.images_selected):
        yield f"about {int(row.images_selected):,} images would decide."


def _sample(rung: Rung) -> str:
    """The sample that a verdict rests on."""
    if rung.images > 1:
        return f"{rung.images:,} images"
    return f"{counted_text(pd.Series([rung.seeds]), 'seeds')} of one image"
