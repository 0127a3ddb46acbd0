"""The published study says what docs/findings.md says of it, also without lip-ray."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lip_ray.analysis import claims_table, dense_differences, difference_table
from lip_ray.claims import Claims
from lip_ray.store import Reader, check

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "studies" / "lottery"

IMP = "magnitude (at level)"

MOST_BYTES = 12 * 10**6


def test_the_tables_are_those_of_the_store() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "findings_table.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    for name in script["TABLES"]:
        assert script["BEGIN"].format(name=name) in page
    assert page == script["page"](), "python docs/findings_table.py"


def test_pandas_and_scipy_alone_find_the_same() -> None:
    """Means, intervals and counts, to the digit; what the stricter rule shows is shown."""
    script = [sys.executable, str(ROOT / "examples" / "claims_with_pandas.py"), str(STORE)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    rows = claims_table(Reader(STORE), Claims.load(ROOT / "studies" / "claims.yaml"))
    peak = rows[rows["by"] == "peak"].set_index("claim")
    shown = 0
    for name, found in (line.split(": ") for line in said.splitlines()):
        row = peak.loc[name]
        numbers, _, verdict = found.rpartition(", ")
        assert numbers == "{mean:+.2f} [{low:+.2f}, {high:+.2f}], {n} images".format(**row)
        assert verdict in (row["verdict"], "cannot be told")
        shown += verdict == "holds"
    assert len(said.splitlines()) == 6
    assert shown


def test_the_script_corrects_for_as_many_claims_as_there_are() -> None:
    claims = Claims.load(ROOT / "studies" / "claims.yaml")
    script = (ROOT / "examples" / "claims_with_pandas.py").read_text(encoding="utf-8")
    assert f"TESTS = {len(list(claims.tests()))} " in script


def test_intervals_are_those_of_drawing_photos_again() -> None:
    """Photos are drawn with replacement from the published rows; a photo brings all its fits."""
    store = Reader(STORE)
    trials, levels = store.frame("trials"), store.frame("levels")
    gains = dense_differences(trials, levels, which="peak")
    own = gains[(gains["method"] == IMP) & gains["density"].round(2).isin([0.2, 0.05])]
    table = difference_table(trials, levels)
    compared = 0
    for (study, density), rows in own.groupby(["study", "density"], observed=True):
        of_photos = rows.groupby("image", observed=True)["difference_db"].mean().to_numpy()
        if len(of_photos) < 10:
            continue
        drawn = np.random.default_rng(0).choice(of_photos, (10_000, len(of_photos)))
        low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
        here = (table["study"] == study) & (table["density"] == density)
        [row] = table[here & (table["method"] == IMP) & (table["which"] == "peak")].itertuples()
        assert row.n == len(of_photos)
        assert row.high_db - row.low_db == pytest.approx(high - low, rel=0.3)
        compared += 1
    assert compared >= 4


def test_the_stores_are_sound_and_small() -> None:
    assert [check(STORE.parent / name).problems for name in ("lottery", "time")] == [(), ()]
    files = [path for path in (ROOT / "studies").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
