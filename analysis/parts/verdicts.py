"""Verdicts: whether a method matches the dense network, and which of two methods is better.

Fits are paired: same image, seed, noise and initial weights, at equal true density. A study is what
problems share apart from their image: task, network and fit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..page.content import Content, Part
from ..page.section import Block, Emphasis, Fold, Section, Table, Words, table_of
from ..rows.identity import KINDS
from ..rows.naming import distinct_names, grouped, tuples
from ..rows.points import CONFIDENCE, described_points, distinct_fits
from ..rows.texts import density_text, tested_text
from ..statistics.intervals import (
    Matching,
    Rung,
    check_confidence,
    mean_interval,
    p_value,
    samples_of,
)
from ..statistics.ladders import Ladder, Verdict, judged, rung_of
from ..statistics.rounding import rounding_of
from .differences import is_rounding

MARGIN_DB = 0.1
"""A ticket matches that is worse than dense by less than this, unless told otherwise."""

JUDGED = ("selected", "peak")
"""The PSNRs that verdicts are about, side by side."""

MATCHED = [
    *("problem", "study_name", "study_key", "study_settings", "task_name", "prior"),
    *("image", "method"),
    *("reference", "seed", "kept", "total", "density", "unfinished", "below_measured"),
    "psnr_measured_db",
]
"""The columns that verdicts follow from beside the PSNRs: few are sorted fast."""

NO_VERDICT = "no verdict"
"""The words that stand in a verdict's place, with the reason."""

ONE_RUN = f"one run: {NO_VERDICT}"

UNFINISHED = f"{NO_VERDICT}: the dense network's fit is unfinished, its best step is among the last"
NONE_FINISHED = f"{NO_VERDICT}: no pair of fits is finished"
WORSE_THAN_MEASURED = f"{NO_VERDICT}: the dense network restores worse than the measurement itself"

BOUNDS = ("shown", "estimate", "refuted", "images")
"""The numbers of a verdict, by the names that columns begin with."""

NOTE: Words = (
    """Every fit is paired with the dense fit of the same image, noise and initial weights, once at
    the selected and once at the best step. A density is """,
    Emphasis("shown"),
    f""" to match if it, and all above it, are not worse by {MARGIN_DB:g} dB or more; it is """,
    Emphasis("refuted"),
    """ if it, and all below it, are worse by more. Both are one-sided t tests over images, seeds
    averaged first; densities between the two are undecided. P-values are Holm's, over all methods
    and densities of the table: the chance that anything at all is wrongly shown is at most 5 %,
    and so it is for what is refuted. How many images would decide is about one such test by
    itself, at 5 % and a power of 80 %. With a single image the sample is its seeds, and the
    verdict is about that image alone. Unfinished fits, whose best step is in their last
    hundredth, are left out, and so are ladders whose dense fit is unfinished or restores worse
    than the measurement. No loss is shown by a mean difference that rounding alone could make.""",
)


COUNTING = "Count unfinished fits"
"""The title of what says the same with unfinished fits."""

COUNTED = "with unfinished fits"

COUNTED_NOTE = """
As above, but unfinished fits count as if they had ended. What is compared is then also how far each
fit had come, so these are no findings.
"""


def dense_differences(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    which: str = "selected",
    unfinished: bool = False,
) -> pd.DataFrame:
    """One row per sparse fit: `difference_db`, its PSNR − that of its seed's dense fit.

    Beside the columns of `frontier_points` there are `study`, a name for task, network and fit, and
    the difference, NaN where either fit has no PSNR. Fits without a dense one are left out, and
    so are `unfinished` pairs unless these are asked for.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    found = _differences(study_fits(described_points(trials, levels)), [which])
    found = found.rename(columns={f"difference_{which}_db": "difference_db"})
    return found if unfinished else found[~(found["unfinished"] | found["dense_unfinished"])]


def matching_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    margin_db: float = MARGIN_DB,
    confidence: float = CONFIDENCE,
    unfinished: bool = False,
) -> pd.DataFrame:
    """One row per study and method: down to which density it matches dense, and verdicts in words.

    Twice, by the selected and by the best step, with these endings: `shown_selected`,
    `estimate_peak` and so on are densities as of `statistics.Matching`, from p-values that are
    adjusted over all rows (Holm 1979), at a one-sided error of 1 − `confidence` for the whole
    table. `images_…` is the number of images that would decide an open verdict, NaN without one,
    and `disagreement` says in a word where the two verdicts differ. `least` is the least density
    that was fitted. `n` images (`unit` image), or seeds of a single image, were the sample, of
    `seeds` seeds. `missing` counts pairs without a PSNR: no density with one is shown to match.
    `unfinished` counts the unfinished fits, sparse or dense, and `below_measured` the pairs whose
    dense network is worse than the measurement; neither is tested, unless `unfinished` says so.

    Raises ValueError when there is no fit of a trajectory or a transfer, `confidence` is not within
    0 and 1 or `margin_db` is not positive.
    """
    points = described_points(trials, levels)
    return matching_of(points, margin_db=margin_db, confidence=confidence, unfinished=unfinished)


def matching_of(
    points: pd.DataFrame,
    *,
    margin_db: float = MARGIN_DB,
    confidence: float = CONFIDENCE,
    unfinished: bool = False,
) -> pd.DataFrame:
    """The `matching_table` of `described_points`."""
    check_confidence(confidence)
    groups = [_Pairs.of(pairs) for pairs in _grouped(paired_fits(points), unfinished=unfinished)]
    verdicts = {
        which: judged(
            [one.ladder(which, margin_db) for one in groups],
            margin_db=margin_db,
            alpha=1 - confidence,
        )
        for which in JUDGED
    }
    rows = [
        group.row
        | {"margin_db": margin_db, "confidence": confidence}
        | _said(group, {which: found[place] for which, found in verdicts.items()})
        for place, group in enumerate(groups)
    ]
    columns = [
        *("study", "method", "margin_db", "confidence", "unit", "n", "seeds", "missing"),
        *("unfinished", "below_measured", "least"),
        *(f"{name}_{which}" for which in JUDGED for name in (*BOUNDS, "verdict")),
        "disagreement",
    ]
    return pd.DataFrame(rows, columns=columns)


def comparison_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    first: str,
    second: str,
    *,
    which: str = "selected",
    confidence: float = CONFIDENCE,
    unfinished: bool = False,
) -> pd.DataFrame:
    """One row per study and density at which both methods were fitted: first − second, in dB.

    `mean_db` lies in `low_db` to `high_db` at that `confidence`, each row by itself; `p` is that of
    no difference and `q` its value among all rows of the table, by which the false discovery rate
    is controlled (Benjamini & Hochberg 1995). `n`, `unit`, `seeds` and `missing` are as in
    `matching_table`, and one run has no interval. `verdict` names the better method where `q` is at
    most 1 − `confidence`; it says "rounding" of a mean within `rounding_db`, which rounding alone
    could make, and else "open". Pairs with an `unfinished` fit are left out unless these are asked
    for.

    Raises ValueError for a method that the points do not have, naming those that they have.
    """
    check_confidence(confidence)
    fits = study_fits(described_points(trials, levels))
    known = sorted(set(fits["method"]))
    for name in (first, second):
        if name not in known:
            raise ValueError(f"no method {name!r} in these fits; there are: {', '.join(known)}")
    if not unfinished:
        fits = fits[~fits["unfinished"]]
    psnr = f"psnr_{which}_db"
    key = ["study", "problem", "image", "seed", "kept", "total", "density"]
    one, other = (fits.loc[fits["method"] == name, [*key, psnr]] for name in (first, second))
    pairs = one.merge(other, on=key, suffixes=("", "_other"))
    pairs["difference_db"] = pairs[psnr] - pairs[f"{psnr}_other"]
    rows = [
        {"study": study, "first": first, "second": second, "density": density}
        | {name: round(float(group[name].mean())) for name in ("kept", "total")}
        | {"confidence": confidence}
        | _compared(group, confidence)
        for (study, density), group in pairs.groupby(["study", "density"])
    ]
    columns = [
        *("study", "first", "second", "kept", "total", "density", "confidence", "unit", "n"),
        *("seeds", "missing", "mean_db", "low_db", "high_db", "rounding_db", "p"),
    ]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sort_values(["study", "density"], ascending=[True, False], ignore_index=True)
    table = table.assign(q=_adjusted(table["p"]))
    return table.assign(verdict=[_better(row, 1 - confidence) for row in tuples(table)])


def _better(row: Any, alpha: float) -> str:
    """Which of two methods is better at one density, in words."""
    if is_rounding(row.mean_db, row.rounding_db):
        return "rounding"
    if not row.q <= alpha:
        return "open"
    return f"{row.first if row.mean_db > 0 else row.second} is better"


def _adjusted(p_values: pd.Series) -> pd.Series:
    """The p-values among all of them, NaN where there is none."""
    found, tested = pd.Series(np.nan, index=p_values.index), p_values.dropna()
    if len(tested):
        found[tested.index] = stats.false_discovery_control(tested)
    return found


def matching_shown(shown: Content) -> pd.DataFrame:
    """The `matching_table` of a page."""
    return matching_of(shown.described)


def sections(shown: Content) -> Iterator[Section]:
    """Down to which density each method matches dense.

    Nothing where no ticket was fitted, or no clean image is known.
    """
    found = shown.once(matching_shown)
    if not len(found) or shown.described["psnr_selected_db"].isna().all():
        return
    title = "Verdicts"
    blocks: list[Block] = [_table(found, title, NOTE)]
    if found["unfinished"].any():
        every = matching_of(shown.described, unfinished=True)
        table = _table(every, f"{title}, {COUNTED}", COUNTED_NOTE)
        blocks.append(Fold(title=COUNTING, blocks=(table,)))
    yield Section(name="verdicts", title=title, blocks=tuple(blocks))


def _table(found: pd.DataFrame, label: str, note: Words) -> Table:
    return table_of(tuples(found), CELLS, name="verdicts", label=label, note=note)


def _sample_text(row: Any) -> str:
    counts = {
        "without PSNR": row.missing,
        "unfinished": row.unfinished,
        "below the measurement": row.below_measured,
    }
    return tested_text(row, counts)


def _bound_text(density: Any) -> str:
    return "–" if pd.isna(density) else density_text(density)


CELLS = {
    "Study": lambda row: row.study,
    "Method": lambda row: row.method,
    "By selected": lambda row: row.verdict_selected,
    "By peak": lambda row: row.verdict_peak,
    "Differ": lambda row: row.disagreement,
    "Sample": _sample_text,
    "Crosses": lambda row: (
        f"{_bound_text(row.estimate_selected)}, {_bound_text(row.estimate_peak)}"
    ),
    "Sparsest": lambda row: _bound_text(row.least),
}


def study_fits(points: pd.DataFrame) -> pd.DataFrame:
    """All fits once, with `study`, a name for what their problems share apart from the image.

    `fit` is the label of the row.
    """
    fits = distinct_fits(points)
    problem = fits["task_name"].astype(str) + ", " + fits["prior"].astype(str)
    names = problem + fits["study_name"].astype(str)
    study = distinct_names(names, fits["study_key"], fits["study_settings"])
    named = fits.assign(study=study, fit=fits.index)
    return named.astype(dict.fromkeys(("study", "problem", "method", "reference"), str))


def paired_fits(points: pd.DataFrame, judged: Sequence[str] = JUDGED) -> pd.DataFrame:
    """Each sparse fit of `described_points` with the dense one of its image, noise and start.

    Beside the columns `MATCHED` and `study` there are those of the dense fit, which begin with
    `dense_`, and the differences of the PSNRs that are judged.
    """
    psnrs = [f"psnr_{which}_db" for which in dict.fromkeys((*JUDGED, *judged))]
    return _differences(study_fits(points[[*MATCHED, *psnrs]]), judged)


def comparable_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The `paired_fits` that can support a verdict, which none with an unfinished fit can."""
    return pairs[_comparable(pairs, unfinished=False)]


def _comparable(pairs: pd.DataFrame, *, unfinished: bool) -> "pd.Series[bool]":
    below = pairs["dense_below_measured"]
    return ~(below if unfinished else below | _open_ended(pairs))


def _open_ended(pairs: pd.DataFrame) -> "pd.Series[bool]":
    return pairs["unfinished"] | pairs["dense_unfinished"]


def _grouped(pairs: pd.DataFrame, *, unfinished: bool) -> list[list[Any]]:
    """The pairs of each study and method, in order, with what they count for."""
    told = pairs.assign(
        tested=_comparable(pairs, unfinished=unfinished),
        known=pairs[[f"difference_{which}_db" for which in JUDGED]].notna().all(axis=1),
        open_ended=_open_ended(pairs),
    )
    ordered = told.sort_values(["study", "method"], kind="stable")
    return grouped(ordered, "study", "method")


def _differences(fits: pd.DataFrame, judged: Iterable[str]) -> pd.DataFrame:
    """Each sparse fit with what its dense one is like, and the difference of each PSNR."""
    psnrs = [f"psnr_{which}_db" for which in dict.fromkeys(("peak", *judged))]
    of_dense = ["unfinished", "below_measured", *psnrs]
    dense = fits.loc[fits["kept"] == fits["total"], ["problem", "method", "seed", *of_dense]]
    dense = dense.rename(columns={name: f"dense_{name}" for name in of_dense})
    dense = dense.rename(columns={"method": "reference"})
    sparse = fits[fits["kept"] < fits["total"]]
    found = sparse.merge(dense, on=["problem", "reference", "seed"])
    differences = {
        f"difference_{which}_db": found[f"psnr_{which}_db"] - found[f"dense_psnr_{which}_db"]
        for which in judged
    }
    return found.assign(**differences)


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """The pairs of one study and method that are tested, and what the row says beside verdicts."""

    tested: Sequence[Any]
    row: dict[str, Any]
    reason: str
    """Why there is no verdict; empty where there is one."""

    @classmethod
    def of(cls, pairs: Sequence[Any]) -> "_Pairs":
        """Leaves out what cannot support a verdict, and counts it."""
        tested = [pair for pair in pairs if pair.tested]
        known = [pair for pair in tested if pair.known]
        sample = _sample([pair.image for pair in known], [pair.seed for pair in known])
        row = {
            "study": pairs[0].study,
            "method": pairs[0].method,
            **sample,
            "missing": len(tested) - len(known),
            "unfinished": sum(pair.open_ended for pair in pairs),
            "below_measured": sum(pair.dense_below_measured for pair in pairs),
            "least": min(pair.density for pair in pairs),
        }
        return cls(tested=tested, row=row, reason=_reason(pairs, tested, sample))

    def ladder(self, which: str, margin_db: float) -> Ladder:
        """Its tests, none where nothing can be tested."""
        rungs = list(self._rungs(f"difference_{which}_db", margin_db))
        return Ladder(rungs=rungs, least=self.row["least"], single=self.row["unit"] == "seed")

    def _rungs(self, score: str, margin_db: float) -> Iterator[Rung]:
        """Dense to sparse, up to the first density with a fit without PSNR."""
        falling = sorted(self.tested, key=attrgetter("density"), reverse=True)
        for density, rung in groupby(falling, attrgetter("density")):
            fits = list(rung)
            differences = [getattr(fit, score) for fit in fits]
            if not np.isfinite(differences).all():
                return
            samples = samples_of(differences, [fit.image for fit in fits])
            if len(samples) == 1 and self.row["unit"] == "image":
                samples = [[float(np.mean(samples[0]))]]
            yield rung_of(density, samples, margin_db)


def _reason(pairs: Sequence[Any], tested: Sequence[Any], sample: dict[str, Any]) -> str:
    """Why a study and method get no verdict; empty where they do."""
    below = [pair for pair in pairs if pair.dense_below_measured]
    if below and not tested:
        dense = np.nanmean([pair.dense_psnr_peak_db for pair in below])
        measured = np.nanmean([pair.psnr_measured_db for pair in below])
        return f"{WORSE_THAN_MEASURED}, {dense:.1f} against {measured:.1f} dB"
    if not tested:
        return UNFINISHED if all(pair.dense_unfinished for pair in pairs) else NONE_FINISHED
    return ONE_RUN if sample["n"] < 2 else ""


def _sample(images: Iterable[str], seeds: Iterable[int]) -> dict[str, Any]:
    """What pairs of these images and seeds are a sample of."""
    different = {"image": len({*images}), "seed": len({*seeds})}
    unit = "seed" if different["image"] == 1 else "image"
    return {"unit": unit, "n": different[unit], "seeds": different["seed"]}


def _said(pairs: _Pairs, verdicts: dict[str, Verdict]) -> dict[str, Any]:
    """The columns of both verdicts, and a word where they differ."""
    found: dict[str, Any] = {}
    for which, verdict in verdicts.items():
        said = {"images": verdict.images, "verdict": pairs.reason or verdict.text}
        values = vars(verdict.bounds) | said
        found |= {f"{name}_{which}": value for name, value in values.items()}
    selected, peak = (verdicts[which].bounds for which in JUDGED)
    return found | {"disagreement": _disagreement(selected, peak)}


def _disagreement(selected: Matching, peak: Matching) -> str:
    """Which of the two shows more, or else refutes more; empty where they agree."""
    for one, other, less, refuted in (
        (selected.shown, peak.shown, True, ""),
        (selected.refuted, peak.refuted, False, "refuted "),
    ):
        if one == other:
            continue
        if one is None or other is None:
            return f"{refuted}by {'peak' if one is None else 'selected'} only"
        return f"{refuted}further by {'peak' if (other < one) is less else 'selected'}"
    return ""


def _compared(group: pd.DataFrame, confidence: float) -> dict[str, Any]:
    there = group[np.isfinite(group["difference_db"].astype(float))]
    sample = _sample(there["image"], there["seed"]) | {"missing": len(group) - len(there)}
    if there.empty:
        return sample | dict.fromkeys(("mean_db", "low_db", "high_db", "rounding_db", "p"), np.nan)
    samples = samples_of(there["difference_db"].tolist(), there["image"].tolist())
    interval = mean_interval(samples, confidence=confidence)
    bounds = {"mean_db": interval.mean, "low_db": interval.low, "high_db": interval.high}
    p_equal = p_value(samples, 0.0, "two-sided")
    return sample | bounds | {"rounding_db": rounding_of(samples), "p": p_equal}


PART = Part(label="Verdicts", names={"verdicts"}, sections=sections, kinds={*KINDS})
