"""The tables of docs/findings.md, from the published study.

    python docs/findings_table.py

Claims whose fits have not run yet are left out.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from lip_ray.analysis.named import table_of_page
from lip_ray.analysis.parts.claims.stated import StatedStore
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
