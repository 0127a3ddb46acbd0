"""The pictures of docs/analysis.md, each from the published study or a store that a shipped sweep
made.

    lip run quickstart_sensing
    python docs/pictures.py studies/lottery results/quickstart_sensing [STORE...]

Of each kind of figure the first store that has one is pictured.
"""

import sys
from pathlib import Path

from lip_ray.analysis import first_figures, write_figure
from lip_ray.store import Reader

FOLDER = Path(__file__).with_name("analysis")

WIDTH_MM, FONT_PT, DPI = 150.0, 8.0, 84.0

ELSEWHERE = ("stopping",)
"""Figures of studies of their own, which their pages say how to draw."""


def main(stores: list[str]) -> None:
    """Draw every figure that any of the stores has, and print where each is from."""
    drawn = set(ELSEWHERE)
    for store in stores:
        for name, figure in first_figures(Reader(store)).items():
            if name not in drawn:
                drawn.add(name)
                output = FOLDER / f"{name}.png"
                write_figure(figure, output, width_mm=WIDTH_MM, font_size_pt=FONT_PT, dpi=DPI)
                print(f"{output}: {store}, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
