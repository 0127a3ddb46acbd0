"""The table of claims in docs/findings.md, from the published study.

    python docs/findings_table.py

Claims whose fits have not run yet are left out.
"""

from pathlib import Path

from lip_ray.analysis.named import table_of_page
from lip_ray.analysis.parts.claims.stated import StatedStore
from lip_ray.claims import Claims
from lip_ray.outputs import write_whole
from lip_ray.store import Reader, rendered_texts

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "findings.md"
STORE, FILE = ROOT / "studies" / "lottery", ROOT / "studies" / "claims.yaml"

BEGIN, END = "<!-- claims: python docs/findings_table.py writes them -->\n\n", "\n<!-- end -->"

COLUMNS = ("Claim", "In words", "Source", "By", "Found", "Sample", "Verdict")

NO_PAIR = "0 images"


def claims_text() -> str:
    """The table as Markdown."""
    stated = StatedStore(reader=Reader(STORE), claims=Claims.load(FILE))
    found = table_of_page(stated, "claims")
    places = [found.heads.index(name) for name in COLUMNS]
    sample = found.heads.index("Sample")
    rows = [[row[place] for place in places] for row in found.rows if row[sample] != NO_PAIR]
    return rendered_texts(COLUMNS, rows, "markdown").decode()


def page_with(table: str) -> str:
    """The page with that table in its place."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


if __name__ == "__main__":
    write_whole(PAGE, page_with(claims_text()))
