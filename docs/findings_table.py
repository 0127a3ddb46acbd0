"""The tables of docs/findings.md, from the published study.

    python docs/findings_table.py

Claims whose fits have not run yet are left out.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from lip_ray.analysis import dense_differences
from lip_ray.analysis.named import table_of_page
from lip_ray.analysis.parts.claims.stated import StatedStore
from lip_ray.analysis.statistics.intervals import mean_interval
from lip_ray.claims import Claims
from lip_ray.outputs import write_whole
from lip_ray.store import Reader, rendered_texts

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "findings.md"
STUDIES = ROOT / "studies"

BEGIN = "<!-- {name}: python docs/findings_table.py writes it -->"
END = "<!-- end -->"

CLAIMS = ("Claim", "In words", "Source", "By", "Found", "Sample", "Verdict")
DIFFERENCES = ("In words", "By", "Found", "Sample")
RULES = ("Rule", "Fits", "Mean", "90 %", "Worst")

SEEDS = (
    "Method", "Task", "A fifth: photos", "A fifth: seeds", "A twentieth: photos",
    "A twentieth: seeds",
)  # fmt: skip

SEEN_TWICE = {
    "magnitude (at level)": "IMP",
    "magnitude, layer densities": "random, at IMP's layer densities",
    "random (scope erk)": "random, ERK",
    "synflow": "SynFlow",
    "oes": "OES",
}
"""The methods that hold out to a twentieth, and what the page calls them."""

SET14 = STUDIES / "set14.csv"

BESIDE_SET14 = (
    ("magnitude (at level)", "peak", "best step"),
    ("random (scope erk)", "peak", "best step"),
    ("magnitude (at level)", "selected", "selected step"),
)

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02)

NO_PAIR = "0 images"


def claims() -> str:
    """All claims that have fits, with their verdicts."""
    return stated("claims.yaml", CLAIMS)


def differences() -> str:
    """What the page says beside the claims, without verdicts."""
    return stated("differences.yaml", DIFFERENCES)


def rules() -> str:
    """What each stopping rule loses to the best step, in dB."""
    return as_markdown(Reader(STUDIES / "lottery"), "stopping", RULES)


@cache
def differences_from_dense(which: str) -> pd.DataFrame:
    """The fits of the study, each with its difference from the dense one."""
    store = Reader(STUDIES / "lottery")
    return dense_differences(store.frame("trials"), store.frame("levels"), which=which)


def seeds() -> str:
    """How far the best step's difference from dense spreads over photos with one seed, and over two
    seeds of one photo, as standard deviations in dB."""
    gains = differences_from_dense("peak")
    known = gains[gains["method"].isin(SEEN_TWICE) & ~gains["unfinished"]]
    rows = [
        [method, str(task), *(text for density in (0.2, 0.05) for text in _spread(own, density))]
        for key, method in SEEN_TWICE.items()
        for task, own in known[known["method"] == key].groupby("task_name")
    ]
    return rendered_texts(SEEDS, [row for row in rows if row[2]], "markdown").decode()


def _spread(gains: pd.DataFrame, density: float) -> tuple[str, str]:
    """The standard deviations at a density, over photos and over seeds, of the photos that have
    both seeds; empty where there are too few."""
    own = gains[gains["density"].round(2) == density]
    both = own.pivot_table(index="image", columns="seed", values="difference_db").dropna()
    if both.shape[0] < 2 or both.shape[1] < 2:
        return "", ""
    photos, seeds = both.var().mean() ** 0.5, both.var(axis=1).mean() ** 0.5
    return f"{photos:.2f}", f"{seeds:.2f}"


def set14() -> str:
    """What is gained over dense by density, on the photos of the study and on those of Set14."""
    others = pd.read_csv(SET14)
    rows = []
    for method, which, said in BESIDE_SET14:
        own = differences_from_dense(which).query("method == @method and seed == 0")
        for task, there in _gains(others, method, which).groupby("task_name"):
            fits = f"{SEEN_TWICE[method]}, {str(task).removeprefix('denoising, ')}, {said}"
            rows.append([fits, "the study's", *_means(own[own["task_name"] == task])])
            rows.append([fits, "Set14", *_means(there)])
    return rendered_texts(("Fits", "Photos", *map(str, DENSITIES)), rows, "markdown").decode()


def _gains(fits: pd.DataFrame, method: str, which: str) -> pd.DataFrame:
    """Each finished sparse fit with its difference from the dense one, where that restores."""
    fits = fits[fits["method"] == method]
    dense = fits[fits["density"] == 1].drop(columns="density")
    pairs = fits[fits["density"] < 1].merge(dense, on=["image", "task_name"], suffixes=("", "_1"))
    sound = ~pairs["unfinished"] & ~pairs["unfinished_1"]
    sound &= pairs["psnr_peak_db_1"] >= pairs["psnr_measured_db_1"]
    difference = pairs[f"psnr_{which}_db"] - pairs[f"psnr_{which}_db_1"]
    return pairs.assign(difference_db=difference)[sound]


def _means(gains: pd.DataFrame) -> list[str]:
    """By density the mean difference over photos with its 95 % interval, and their number."""
    cells = []
    for density in DENSITIES:
        own = gains[gains["density"].round(2) == density].groupby("image")["difference_db"].mean()
        found = mean_interval([[value] for value in own])
        ends = f"[{found.low:+.2f}, {found.high:+.2f}]"
        cells.append(f"{found.mean:+.2f} {ends}, n = {len(own)}".replace("-", "−"))
    return cells


def stated(file: str, columns: tuple[str, ...]) -> str:
    """The rows of a file of claims that have fits."""
    store = StatedStore(reader=Reader(STUDIES / "lottery"), claims=Claims.load(STUDIES / file))
    return as_markdown(store, "claims", columns)


def as_markdown(store: Reader | StatedStore, table: str, columns: tuple[str, ...]) -> str:
    """Some columns of a table of the page."""
    found = table_of_page(store, table)
    places = [found.heads.index(name) for name in columns]
    rows = [[row[place] for place in places] for row in found.rows if NO_PAIR not in row]
    return rendered_texts(columns, rows, "markdown").decode()


TABLES: Mapping[str, Callable[[], str]] = {
    "claims": claims,
    "differences": differences,
    "rules": rules,
    "seeds": seeds,
    "set14": set14,
}


def page() -> str:
    """The page with each table in its place."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        begin = BEGIN.format(name=name)
        before, rest = text.split(begin)
        between, after = rest.split(END, maxsplit=1)
        assert "<!--" not in between, f"the table of {name} has no end"
        text = f"{before}{begin}\n\n{table()}\n{END}{after}"
    return text


if __name__ == "__main__":
    write_whole(PAGE, page())
