"""The published study says what docs/findings.md says of it, also without lip-ray."""

import runpy
import subprocess
import sys
from pathlib import Path

from lip_ray.analysis import claims_table
from lip_ray.claims import Claims
from lip_ray.store import Reader, check

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "studies" / "lottery"

MOST_BYTES = 12 * 10**6


def test_the_table_of_claims_is_that_of_the_store() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "findings_table.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    assert script["BEGIN"] in page
    assert page == script["page_with"](script["claims_text"]()), "python docs/findings_table.py"


def test_pandas_and_scipy_alone_find_the_same() -> None:
    """Means, intervals and numbers of photos, to the digit."""
    script = [sys.executable, str(ROOT / "examples" / "claims_with_pandas.py"), str(STORE)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    found = dict(line.split(": ") for line in said.splitlines())
    rows = claims_table(Reader(STORE), Claims.load(ROOT / "studies" / "claims.yaml"))
    peak = rows[rows["by"] == "peak"].set_index("claim")
    ours = {
        name: "{mean:+.2f} [{low:+.2f}, {high:+.2f}], {n} images".format(**peak.loc[name])
        for name in found
    }
    assert len(found) == 6
    assert found == ours


def test_the_store_is_sound_and_small() -> None:
    assert check(STORE).problems == ()
    files = [path for path in (ROOT / "studies").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
