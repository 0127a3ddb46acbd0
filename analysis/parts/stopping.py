"""Stopping rules: what each rule that watched the fits would have lost to the best step."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ..charts.cells import in_lines
from ..charts.style import OKABE_ITO, PALETTE, axis_lines, layout, plain
from ..page.content import Content, Part
from ..page.gallery import PICTURE_KEY
from ..page.section import Figure, Section, table_of
from ..rows.choosing import evenly
from ..rows.identity import KINDS
from ..rows.naming import distinct_names, flat_settings, tuples
from ..rows.points import described_points, distinct_fits

RULES = {
    "wmv": "ES-WMV",
    "emv": "ES-EMV",
    "discrepancy": "discrepancy principle",
    "held_out": "held-out values",
}
"""What rules are called, by kind: windowed and exponential moving variance (Wang et al. 2021), the
residual held to the noise (Morozov 1966), and values that the fit does not see."""

SIGNALS = {"average": "averaged output", "output": "each output"}

PUBLISHED = {"kind": "wmv", "signal": "output", "window": 100, "warm_up": 0, "patience": 1000}
"""The settings of ES-WMV as it was published."""

MOST_MARKS = 200
"""The fits of a rule that are drawn one by one, evenly from the best to the worst."""

LABEL_WIDTH = 18
"""Characters in a line of a rule's name."""

QUANTILES = {"q10_db": 0.1, "q25_db": 0.25, "median_db": 0.5, "q75_db": 0.75, "q90_db": 0.9}

NOTE = """
Several rules watch every fit, and none of them sees the clean image. A gap is the best PSNR of the
fit − that of the step the rule chose, in dB: what trusting it costs. Strokes are fits, at most 200
a rule; a box is the middle half of them, its line the median, the whiskers end at 10 % and 90 %,
and the dashed line is the mean. The image of a rule that follows each output is that output, so its
gap may be negative: the best PSNR is of the averaged output. A rule "ended" where its choice was
final before the fit's last step; otherwise it is the best step so far.
"""

NUMBERS_NOTE = """
Peak − chosen in dB: the mean over fits, what nine fits of ten stay below, and the worst fit. In
force counts the fits whose selected PSNR is of this rule.
"""

CELLS = {
    "Rule": lambda row: row.name,
    "Fits": lambda row: f"{row.fits:,}",
    "Images": lambda row: f"{row.images:,}",
    "Mean": lambda row: _gap_text(row.mean_db),
    "90 %": lambda row: _gap_text(row.q90_db),
    "Worst": lambda row: _gap_text(row.worst_db),
    "Ended": lambda row: f"{100 * row.fired:.0f} %",
    "In force": lambda row: f"{row.in_force:,}",
}


def stopping_table(
    choices: pd.DataFrame, levels: pd.DataFrame, trials: pd.DataFrame
) -> pd.DataFrame:
    """One row per rule that watched fits with a PSNR: what it loses to the best step.

    `name` says rule and signal and, where several rules share these, the settings in which they
    differ. `fits` on `images` are counted, each dense fit once. `mean_db`, `worst_db` and the
    quantiles `q10_db` to `q90_db` are of the peak PSNR − that of the chosen step. `fired` is the
    share of choices that were final before the fit ended. `in_force` counts the fits whose spec
    names the rule, so that its choice is `selected`. The least mean is first.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    return gap_table(gaps_of(described_points(trials, levels), choices))


def gaps_of(points: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """One row per fit of `described_points` and rule: `name` of the rule and `gap_db`."""
    if choices.empty:
        none = pd.DataFrame(columns=["name", "image", "gap_db", "fired", "in_force"])
        return none.astype({"gap_db": float, "fired": bool, "in_force": bool})
    fits = distinct_fits(points)[[*PICTURE_KEY, "psnr_peak_db"]]
    found = fits.merge(choices, on=list(PICTURE_KEY))
    found["gap_db"] = found["psnr_peak_db"] - found["psnr_db"].astype(float)
    found = found[found["gap_db"].notna()].reset_index(drop=True)
    names = {text: rule_text(json.loads(text)) for text in found["settings"].unique()}
    settings = found["settings"]
    return found.assign(name=distinct_names(settings.map(names), settings, settings))


def gap_table(gaps: pd.DataFrame) -> pd.DataFrame:
    """The `stopping_table` of `gaps_of` fits."""
    groups = gaps.groupby("name", observed=True)
    gap = groups["gap_db"]
    columns = {
        "fits": gap.size(),
        "images": groups["image"].nunique(),
        "mean_db": gap.mean(),
        **{name: gap.quantile(share) for name, share in QUANTILES.items()},
        "worst_db": gap.max(),
        "fired": groups["fired"].mean(),
        "in_force": groups["in_force"].sum(),
    }
    found = pd.DataFrame(columns).reset_index()
    return found.sort_values("mean_db", ignore_index=True)


def rule_text(settings: Mapping[str, Any]) -> str:
    """A rule and the signal that it watches, in words."""
    if PUBLISHED.items() <= settings.items():
        return "ES-WMV as published"
    rule, signal = settings.get("kind", ""), settings.get("signal", "average")
    return f"{RULES.get(rule, rule)}, {SIGNALS.get(signal, signal)}"


def loss_text(fits: pd.DataFrame) -> str:
    """What the rule in force lost in fits of one problem, as a sentence; empty without a PSNR."""
    gaps = (fits["psnr_peak_db"] - fits["psnr_selected_db"]).dropna()
    if gaps.empty:
        return ""
    kind = flat_settings(fits["settings"].iloc[0]).get("fit.stopping.kind", "")
    rule = f"The stopping rule ({RULES.get(kind, kind)})" if kind else "The stopping rule"
    return (
        f"{rule} chose steps {_gap_text(gaps.mean())} dB below the peak in the mean of these "
        f"{len(gaps):,} fits, {_gap_text(gaps.max())} at worst."
    )


def stopping_figure(gaps: pd.DataFrame, table: pd.DataFrame) -> go.Figure:
    """The gaps of each rule, one row per rule, the rule with the least mean on top.

    `gaps` are `gaps_of` fits, and `table` is the `gap_table` of them.

    Raises ValueError when there is no rule.
    """
    if table.empty:
        raise ValueError("no choice of a stopping rule has a PSNR")
    labels = {row.name: in_lines(row.name, LABEL_WIDTH) for row in tuples(table)}
    by_rule = {str(name): own["gap_db"] for name, own in gaps.groupby("name", observed=True)}
    marks = {name: evenly(sorted(by_rule[name]), MOST_MARKS) for name in labels}
    figure = go.Figure(layout=layout(""))
    figure.add_scatter(
        x=[round(gap, 3) for own in marks.values() for gap in own],
        y=[labels[name] for name, own in marks.items() for _ in own],
        mode="markers",
        name="fit",
        marker={
            "symbol": "line-ns",
            "size": 14,
            "opacity": 0.4,
            "line": {"width": 1, "color": PALETTE["muted"]},
        },
        text=[plain(name) for name, own in marks.items() for _ in own],
        hovertemplate="%{text}<br>%{x:.2f} dB below the peak<extra></extra>",
    )
    figure.add_box(
        y=list(labels.values()),
        q1=table["q25_db"].tolist(),
        median=table["median_db"].tolist(),
        q3=table["q75_db"].tolist(),
        lowerfence=table["q10_db"].tolist(),
        upperfence=table["q90_db"].tolist(),
        mean=table["mean_db"].tolist(),
        boxmean=True,
        orientation="h",
        width=0.5,
        name="middle half, 10 % to 90 %, mean",
        line={"color": OKABE_ITO[0], "width": 2},
        fillcolor="rgba(0,0,0,0)",
        hoverinfo="x",
    )
    figure.update_xaxes(title={"text": "Peak − chosen (dB)"}, zeroline=False, **axis_lines())
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


def sections(shown: Content) -> Iterator[Section]:
    """All rules that watched the compared fits; nothing where no clean image or choice is known."""
    gaps = gaps_of(shown.described, shown.store.frame("choices"))
    if gaps.empty:
        return
    table = gap_table(gaps)
    figure = Figure(
        name="stopping",
        place="chart-stopping",
        label="What stopping rules lose to the best step",
        note=NOTE,
        lines=2,
        rows=len(table),
        figure=stopping_figure(gaps, table),
    )
    numbers = table_of(
        tuples(table), CELLS, name="stopping", label="Gaps by stopping rule", note=NUMBERS_NOTE
    )
    yield Section(name="stopping", title="Stopping rules", blocks=(figure, numbers))


def _gap_text(gap: float) -> str:
    return f"{gap:.2f}".replace("-", "−")


PART = Part(label="Stopping", names={"stopping"}, sections=sections, kinds={*KINDS})
