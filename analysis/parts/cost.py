"""What a store's fits cost, and what went wrong in them."""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from lip_ray.columns import MEMORY_MB
from lip_ray.records import FAILURES

from ..charts.style import OKABE_ITO, axis_lines, layout, numbers, plain
from ..page.content import Content, Part
from ..page.section import Block, Figure, Heading, Section, Text, table_of
from ..rows.naming import tuples
from ..rows.texts import known_text

COST_KEY = ["kind", "prior", "execution", "device"]

NETWORK = ["prior", "parameters", "macs_per_step"]
"""The columns of `trials` that fits of one network, and of images of one size, have in common."""

GIVEN_UP = "given up"
"""What a run says of a trial that it could not go on with."""

HOUR_S = 3600.0

MOST_REASONS = 30
"""Rows of the table of failures."""

NOTE = """
Hours of fitting, without pruning, evaluation and waiting, added up over fits also where several
shared a device.
"""

NUMBERS_NOTE = """
A fit is a level of a trial on all of its images. Core time is the time of fitting times the threads
of each fit, on CPUs only. Memory is the highest peak: of tensors on a GPU, of the whole process on
a CPU. Computed are the multiply-adds of all steps: dense execution computes those of all weights at
any density, sparse execution those of kept weights. The last column counts those of the weights
that masks keep, whether or not a fit computed so few. Gradients by all weights are counted, though
reconstructions, which fit latents, compute none: about a third less.
"""

FAILURE_NOTE = """
Fits that went wrong are rows of the store like all others. A trial that was given up is tried again
by the next run: the last column counts those that are incomplete to this day.
"""

COST_CELLS = {
    "Kind": lambda row: row.kind,
    "Prior": lambda row: row.prior,
    "Execution": lambda row: row.execution,
    "Device": lambda row: row.device,
    "Trials": lambda row: f"{row.trials:,}",
    "Fits": lambda row: f"{row.fits:,}",
    "Fitting": lambda row: time_text(row.fit_s),
    "Core time": lambda row: "none" if pd.isna(row.core_s) else time_text(row.core_s),
    "Memory": lambda row: known_text(row.memory_mb, unit=MEMORY_MB.unit),
    "Computed": lambda row: macs_text(row.macs),
    "Of kept weights": lambda row: macs_text(row.kept_macs),
}

FAILURE_CELLS = {
    "Outcome": lambda row: row.outcome,
    "Times": lambda row: f"{row.count:,}",
    "Trials": lambda row: f"{row.trials:,}",
    "Incomplete": lambda row: f"{row.open:,}",
    "Reason": lambda row: row.reason,
}


def cost_table(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of trial, prior, execution and device, the most costly first.

    Columns: `trials` and `fits`, a fit being one level of a trial on all of its images; `fit_s`,
    the seconds of all fits, added up also where several shared a device; `core_s`, these times the
    threads of each fit, NaN on a GPU; and `memory_mb`, the highest peak. `macs` are the
    multiply-adds that all steps computed, and `kept_macs` those of kept weights in them; in sparse
    execution they are the same. Both are NaN where none are known.
    """
    told = trials[["trial_id", "kind", *NETWORK]]
    known = levels.assign(execution=levels["execution"].fillna("dense"))
    rows = _with_macs(known.merge(told, on="trial_id"))
    on_cpu = rows["device"].str.lower().str.startswith("cpu")
    rows["core_s"] = (rows["fit_s"] * rows["threads"]).where(on_cpu)
    rows["fit"] = rows["trial_id"] + "-" + rows["level"].astype(str)
    table = rows.groupby(COST_KEY, as_index=False, dropna=False).agg(
        trials=("trial_id", "nunique"),
        fits=("fit", "nunique"),
        fit_s=("fit_s", "sum"),
        core_s=("core_s", lambda seconds: seconds.sum(min_count=1)),
        memory_mb=("memory_mb", "max"),
        macs=("macs", lambda macs: macs.sum(min_count=1)),
        kept_macs=("kept_macs", lambda macs: macs.sum(min_count=1)),
    )
    return table.sort_values("fit_s", ascending=False, kind="stable", ignore_index=True)


def _with_macs(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of levels with the multiply-adds of all their steps in place of those of a pass.

    The share of kept weights is weighted by how often a pass uses each, where a dense pass of the
    same network is known; otherwise it is the density.
    """
    a_pass, a_step = rows["macs"].astype(float), rows["macs_per_step"].astype(float)
    dense = a_pass.where(rows["kept"] == rows["total"])
    whole_pass = dense.groupby([rows[name] for name in NETWORK]).transform("max")
    share = (a_pass / whole_pass).fillna(rows["density"])
    whole = a_step * rows["steps"].astype(float)
    kept = whole * share
    return rows.assign(macs=kept.where(rows["execution"] == "sparse", whole), kept_macs=kept)


def failure_reason_table(levels: pd.DataFrame, failures: pd.DataFrame) -> pd.DataFrame:
    """One row per way in which fits went wrong and its reason, the most frequent first.

    `outcome` is failed, diverged or collapsed, of which `count` counts rows of `levels`; or
    "given up" for the rows of `failures`, each a time that a run gave a trial up. `trials` counts
    the trials, and `open` how many of these are incomplete to this day.
    """
    columns = ["outcome", "reason", "trial_id", "open"]
    bad = levels[levels["outcome"].isin(FAILURES)].assign(open=False)
    parts = [bad, failures.assign(outcome=GIVEN_UP)] if len(failures) else [bad]
    rows = pd.concat([part[columns] for part in parts], ignore_index=True)
    rows["reason"] = rows["reason"].fillna("").replace("", "no reason given")
    rows["open_id"] = rows["trial_id"].where(rows["open"].astype(bool))
    table = rows.groupby(["outcome", "reason"], as_index=False).agg(
        count=("trial_id", "size"), trials=("trial_id", "nunique"), open=("open_id", "nunique")
    )
    order = ["count", "outcome", "reason"]
    return table.sort_values(order, ascending=[False, True, True], ignore_index=True)


def cost_figure(table: pd.DataFrame) -> go.Figure:
    """Hours of fitting of a `cost_table` as bars: a bar a kind and prior, a colour a device.

    Raises ValueError when there is no fit.
    """
    if table.empty:
        raise ValueError("no fit to show the cost of")
    names = (table["kind"] + ", " + table["prior"]).map(plain)
    order = list(dict.fromkeys(names))
    figure = go.Figure(layout=layout("") | {"barmode": "stack", "showlegend": True})
    for place, (device, rows) in enumerate(table.groupby("device", sort=True, dropna=False)):
        hours = rows["fit_s"] / HOUR_S
        figure.add_bar(
            x=numbers(hours),
            y=names[rows.index].tolist(),
            orientation="h",
            name=plain(str(device)),
            marker={"color": OKABE_ITO[place % len(OKABE_ITO)]},
            text=[time_text(seconds) for seconds in rows["fit_s"]],
            textposition="auto",
            customdata=rows["fits"].tolist(),
            hovertemplate="%{y}<br>%{text} in %{customdata:,} fits<extra></extra>",
        )
    figure.update_xaxes(title={"text": "Hours of fitting"}, rangemode="tozero", **axis_lines())
    figure.update_yaxes(autorange="reversed", categoryarray=order, automargin=True, showgrid=False)
    return figure


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: 41.5 s, 3.2 min, 17.9 h."""
    for unit, size in (("h", HOUR_S), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def macs_text(macs: float) -> str:
    """A number of multiply-adds in the unit that suits it: 231.0 G, 1.2 P."""
    if pd.isna(macs):
        return "unknown"
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if macs >= size:
            return f"{macs / size:,.1f} {unit}"
    return f"{macs:,.0f}"


def sections(shown: Content) -> Iterator[Section]:
    """What all fits cost, and what went wrong."""
    table = cost_table(shown.trials, shown.levels)
    reasons = failure_reason_table(shown.levels, shown.store.frame("failures"))
    figure = Figure(
        name="cost",
        place="chart-cost",
        label="Hours of fitting by kind and prior",
        note=NOTE,
        lines=table["device"].nunique(),
        rows=len(table[["kind", "prior"]].drop_duplicates()),
        figure=cost_figure(table),
    )
    label = "Cost by kind, prior, execution and device"
    numbers = table_of(tuples(table), COST_CELLS, name="cost", label=label, note=NUMBERS_NOTE)
    blocks = (figure, numbers, *_failures(reasons))
    yield Section(name="cost", title="Cost and failures", blocks=blocks)


def _failures(table: pd.DataFrame) -> Iterator[Block]:
    if table.empty:
        yield Heading("Failures")
        yield Text("No fit went wrong, and no trial was given up.")
        return
    left = table.iloc[MOST_REASONS:]
    times = left["count"].sum()
    more = f" {len(left)} rarer reasons, {times} times in all, are left out." if len(left) else ""
    yield table_of(
        tuples(table.head(MOST_REASONS)),
        FAILURE_CELLS,
        title="Failures",
        name="failures",
        label="What went wrong",
        note=f"{FAILURE_NOTE.strip()}{more}",
    )


PART = Part(label="Cost", names={"cost", "failures"}, sections=sections)
