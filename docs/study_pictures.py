"""The pictures of README.md and docs/findings.md, from the published study.

    python docs/study_pictures.py

A Chromium draws them, as it does for `lip figure`.
"""

from dataclasses import dataclass
from pathlib import Path

from lip_ray.analysis import write_figure
from lip_ray.analysis.named import figure_of
from lip_ray.store import Reader

DOCS = Path(__file__).parent
STORE = DOCS.parent / "studies" / "lottery"

WIDTH_MM, FONT_PT, DPI = 150.0, 8.0, 110.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of the study's page, with its buttons pressed."""

    figure: str
    which: str = "peak"
    choose: tuple[str, ...] = ()
    part: int | str = 0


PICTURES = {
    "findings-difference-25.png": Picture(
        figure="difference", part="Against the dense network, denoising, σ = 25, skip"
    ),
    "findings-difference-50.png": Picture(
        figure="difference", part="Against the dense network, denoising, σ = 50, skip"
    ),
    "findings-generators.png": Picture(figure="sensing", which="selected", part=1),
    "findings-stopping.png": Picture(figure="stopping"),
}


def main() -> None:
    """Draw them all, and print where they are."""
    store = Reader(STORE)
    for name, picture in PICTURES.items():
        figure = figure_of(
            store, picture.figure, which=picture.which, choose=picture.choose, part=picture.part
        )
        output = DOCS / name
        write_figure(figure, output, width_mm=WIDTH_MM, font_size_pt=FONT_PT, dpi=DPI)
        print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
