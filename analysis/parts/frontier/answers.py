"""What a frontier is read for: how sparse each method gets, at what PSNR, and how sure that is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...page.section import Answer, Emphasis, Words
from ...rows.naming import grouped, tuples
from ...rows.texts import counted_text, density_text
from ...statistics.ladders import about
from ...statistics.rounding import rounding_db
from ..verdicts import NO_VERDICT, ONE_RUN, comparable_pairs, paired_fits, study_fits
from .looks import Series

UNKNOWN = "cannot be compared yet"

MOST_ANSWERS = 12
"""The sentences of one task and network; the table of verdicts has them all."""


def answers(
    points: pd.DataFrame, fits: pd.DataFrame, verdicts: pd.DataFrame, series: Sequence[Series]
) -> list[Answer]:
    """A sentence for each study and method, the sparsest match first.

    `points` are `described_points`, `fits` their `fits_of`, and `verdicts` their `matching_table`;
    PSNRs are those of the selected step. A method matches down to a density where it, and all above
    it, have a mean difference from dense within the margin.
    """
    places, ladders = _places(points, fits), _ladders(points)
    known = {(one.network, one.method): one for one in series}
    found = []
    for row in tuples(verdicts):
        task, network = places[row.study]
        own = known[network, row.method]
        rungs = ladders.get((row.study, row.method), [])
        depth = _depth(rungs, row.margin_db)
        answer = Answer(
            when={"task": task, "prior": network, "method": row.method},
            words=_words(own.name, rungs, depth, row),
            certainty=_certainty(row, rungs, depth),
            colour=own.style.colour,
            fit=_at(rungs, depth).fit if rungs else None,
        )
        found.append((depth or 1.0, -rungs[-1].psnr_db if rungs else 0.0, answer))
    found.sort(key=lambda one: one[:2])
    return list(_first([answer for _, _, answer in found]))


def _first(found: Sequence[Answer]) -> Iterator[Answer]:
    """The first `MOST_ANSWERS` of each task and network."""
    counts: Counter[tuple[str, str]] = Counter()
    for answer in found:
        place = answer.when["task"], answer.when["prior"]
        counts[place] += 1
        if counts[place] <= MOST_ANSWERS:
            yield answer


def _places(points: pd.DataFrame, fits: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The task and the network of each study, as the figure's lists have them."""
    labels = fits[["task", "network"]].astype(str)
    studies = study_fits(points)["study"]
    known = labels.assign(study=studies).drop_duplicates("study")
    return {row.study: (row.task, row.network) for row in tuples(known)}


def _ladders(points: pd.DataFrame) -> dict[tuple[str, str], list[Any]]:
    """The rungs of each study and method, densest first, of the pairs that verdicts rest on.

    Each is a row of one density with the means `psnr_db` and `dense_db` over images, seeds averaged
    first, `rounding_db`, how far rounding alone may move their difference, the numbers of `images`,
    `seeds` and `pairs`, the label `fit` of one of its fits, and `left_out`, the number of pairs at
    this density that are not compared, as a fit of theirs is unfinished.
    """
    every, keys = paired_fits(points), ["study", "method", "density"]
    pairs = comparable_pairs(every)
    left_out = every.drop(index=pairs.index).groupby(keys).size().rename("left_out")
    psnrs = ["psnr_selected_db", "dense_psnr_selected_db"]
    lost = pairs["density"].where(pairs[psnrs].isna().any(axis=1))
    ends = lost.groupby([pairs["study"], pairs["method"]]).transform("max")
    pairs = pairs[~(pairs["density"] <= ends)]  # as in verdicts, a missing PSNR ends a ladder
    images = pairs.groupby([*keys, "image"])[psnrs].mean()
    means = images.groupby(keys)[psnrs].mean().dropna().set_axis(["psnr_db", "dense_db"], axis=1)
    sample = pairs.groupby(keys).agg(
        images=("image", "nunique"),
        seeds=("seed", "nunique"),
        pairs=("fit", "size"),
        fit=("fit", "first"),
    )
    found = means.join(sample).join(left_out).reset_index()
    found = found.assign(
        rounding_db=rounding_db(found["pairs"]),
        left_out=found["left_out"].fillna(0).astype(int),
    )
    falling = found.sort_values("density", ascending=False, kind="stable")
    return {(own[0].study, own[0].method): own for own in grouped(falling, "study", "method")}


def _depth(rungs: Sequence[Any], margin_db: float) -> float | None:
    """The least density down to which all means are within the margin; None where none is."""
    depth = None
    for rung in rungs:
        if rung.psnr_db - rung.dense_db <= -margin_db:
            break
        depth = rung.density
    return depth


def _at(rungs: Sequence[Any], depth: float | None) -> Any:
    """The rung that a sentence is about: the last that matches, or the first that does not."""
    return next((rung for rung in rungs if rung.density == depth), rungs[0])


def _words(method: str, rungs: Sequence[Any], depth: float | None, row: Any) -> Words:
    """How sparse the method gets, with both PSNRs there; it may do so where that is not proven."""
    name = Emphasis(method, strong=True)
    if not rungs:
        return (name, f" {UNKNOWN}.")
    at, proven = _at(rungs, depth), _is_proven(row, rungs, depth)
    said = Emphasis(density_text(at.density), strong=True)
    numbers = f"{at.psnr_db:.2f} against {at.dense_db:.2f} dB."
    if depth is None and abs(at.psnr_db - at.dense_db) <= at.rounding_db:
        return (name, " at ", said, f" is within rounding of dense: {numbers}")
    if depth is None:
        beyond = [one.psnr_db - one.dense_db <= -row.margin_db for one in rungs]
        on = len(beyond) > 1 and all(beyond)
        verb = " is worse than dense" if proven else " looks worse than dense"
        return (name, f"{verb} at ", said, f"{' and sparser' * on}: {numbers}")
    tried = ", the sparsest tried" if depth == row.least else ""
    verb = " matches dense down to " if proven else " may match dense down to "
    return (name, verb, said, f"{tried}: {numbers}")


def _is_proven(row: Any, rungs: Sequence[Any], depth: float | None) -> bool:
    """Whether the tests show what the means say."""
    if depth is None:
        return bool(pd.notna(row.refuted_selected) and row.refuted_selected >= rungs[0].density)
    return bool(pd.notna(row.shown_selected) and row.shown_selected <= depth)


def _certainty(row: Any, rungs: Sequence[Any], depth: float | None) -> str:
    """Whether that is shown, by what, what would decide it, and what else is shown."""
    verdict = row.verdict_selected
    if NO_VERDICT in verdict and verdict != ONE_RUN:
        reason = verdict.removeprefix(f"{NO_VERDICT}: ")
        return f"{reason[:1].upper()}{reason[1:]}."
    if not rungs:
        return "Fits without a PSNR leave nothing to compare."
    rung, proven = _at(rungs, depth), _is_proven(row, rungs, depth)
    said = f"{'Shown by' if proven else 'Not proven:'} {_sample(rung)}{_left_out(rung)}"
    needed = "" if proven or verdict == ONE_RUN else _needed(row, rungs)
    return " ".join([f"{said}{needed}.", *_shown_besides(row, rung, proven)])


def _left_out(rung: Any) -> str:
    """The pairs that are not in the means of a sentence, but in those of the figure."""
    if not rung.left_out:
        return ""
    return f", without {rung.left_out} unfinished fit{'s' * (rung.left_out > 1)}"


def _needed(row: Any, rungs: Sequence[Any]) -> str:
    """How many images would decide the densest test that is open; empty without a number."""
    if pd.isna(row.images_selected):
        return ""
    shown = 2.0 if pd.isna(row.shown_selected) else row.shown_selected
    refuted = 0.0 if pd.isna(row.refuted_selected) else row.refuted_selected
    open_ones = [one.density for one in rungs if refuted < one.density < shown]
    at = f" {density_text(open_ones[0])}" if open_ones else ""
    return f"; it takes about {about(int(row.images_selected))} images to decide{at}"


def _shown_besides(row: Any, rung: Any, proven: bool) -> Iterator[str]:
    """What the tests show beside what the sentence says."""
    if not proven and pd.notna(row.shown_selected):
        yield f"Shown to match down to {density_text(row.shown_selected)}."
    if pd.notna(row.refuted_selected) and row.refuted_selected < rung.density:
        yield f"Shown to be worse from {density_text(row.refuted_selected)} down."


def _sample(rung: Any) -> str:
    """The sample that a verdict rests on."""
    if rung.images > 1:
        return f"{rung.images:,} images"
    return f"{counted_text(pd.Series([rung.seeds]), 'seeds')} of one image"
