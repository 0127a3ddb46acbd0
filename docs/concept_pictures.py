"""The pictures of docs/concepts.md, from the store that docs/tutorial.md makes.

    python docs/concept_pictures.py results/cat

They show the first IMP trial of the store: a layer of its first ticket, its levels, and the curve
of its dense fit.
"""

import base64
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lip_ray.exchange.tickets import export
from lip_ray.outputs import write_whole
from lip_ray.store import Reader

FOLDER = Path(__file__).parent
INK, MUTED, GRID = "#222222", "#767676", "#EBEBEB"
BLUE, ORANGE, YELLOW, PINK = "#0072B2", "#D55E00", "#E69F00", "#CC79A7"
CELL = 10
SIDE = 128


@dataclass(frozen=True)
class Plot:
    """Where steps and decibels are drawn."""

    steps: float
    low: float
    high: float
    left: float = 50.0
    top: float = 20.0
    width: float = 480.0
    height: float = 220.0

    def x(self, step: float) -> float:
        """The place of a step, from the left."""
        return self.left + step / self.steps * self.width

    def y(self, db: float) -> float:
        """The place of a PSNR, from the top."""
        return self.top + (self.high - db) / (self.high - self.low) * self.height


def main(place: str) -> None:
    """Write all pictures, and print where they are."""
    store = Reader(place)
    [first, *_] = store.sql(
        "select trial_id from trials where pruner = 'magnitude' order by seed, trial_id"
    ).to_pylist()
    trial = first["trial_id"]
    drawn = {
        "ticket": ticket(store, trial),
        "levels": levels(store, trial),
        "psnrs": psnrs(store, trial),
    }
    for name, picture in drawn.items():
        output = FOLDER / f"concepts-{name}.svg"
        write_whole(output, picture)
        print(f"{output}: {output.stat().st_size:,} bytes")


def ticket(store: Reader, trial: str) -> str:
    """The smallest square layer of the first ticket: initial weights, mask, and both together."""
    found = export(store, f"{trial}@1")
    name = min(
        (name for name, mask in found.masks.items() if mask.shape[0] == mask.shape[1] >= 16),
        key=lambda name: (found.masks[name].numel(), name),
    )
    mask = found.masks[name].flatten(1)
    weights = found.weights[name].flatten(1)
    largest = float(weights.abs().max())
    shades = [[_shade(float(value) / largest) for value in row] for row in weights]
    kept = [[INK if one else GRID for one in row] for row in mask.tolist()]
    both = [
        [shade if one else GRID for shade, one in zip(*rows, strict=True)]
        for rows in zip(shades, mask.tolist(), strict=True)
    ]
    wide, count = CELL * mask.shape[1], int(mask.sum())
    titles = ("initial weights of a layer", f"mask: {count} of {mask.numel()} kept", "ticket")
    parts = [
        part
        for at, (title, cells) in enumerate(zip(titles, (shades, kept, both), strict=True))
        for part in (
            _text(20 + at * (wide + 60) + wide / 2, 24, title),
            *_cells(cells, 20 + at * (wide + 60), 36),
        )
    ]
    signs = [
        _text(20 + at * (wide + 60) - 30, 36 + wide / 2, sign, 24)
        for at, sign in ((1, "×"), (2, "="))
    ]
    return _svg(3 * wide + 160, wide + 56, [*parts, *signs])


def levels(store: Reader, trial: str) -> str:
    """Each level of the trial with the image that its fit selected, in the frame of the trial."""
    rows = store.sql(
        "select level, density, kept, psnr_selected_db from levels "
        f"where trial_id = '{trial}' order by level"
    ).to_pylist()
    pictures = store.frame("reconstructions", trials=[trial]).query("role == 'selected'")
    png = dict(zip(pictures["level"], pictures["png"], strict=True))
    gap = 130
    parts = [_text(40, 34, f"one trial: {trial}", anchor="start")]
    for at, row in enumerate(rows):
        x = 40 + at * (SIDE + gap)
        captions = (
            f"level {row['level']}" + (" (dense)" if at == 0 else ""),
            f"density {row['density']:.3g}: {row['kept']:,} weights",
            f"selected: {row['psnr_selected_db']:.1f} dB",
        )
        parts.append(
            f'<image x="{x}" y="50" width="{SIDE}" height="{SIDE}" '
            f'style="image-rendering: pixelated" href="data:image/png;base64,'
            f'{base64.b64encode(png[row["level"]]).decode()}"/>'
        )
        parts += [_text(x + SIDE / 2, 196 + 18 * n, one) for n, one in enumerate(captions)]
        if at:
            middle = x - gap / 2
            parts += [_text(middle, 84 + 18 * n, one) for n, one in enumerate(("score,", "prune,"))]
            parts += [_text(middle, 120, "→", 28), _text(middle, 140, "rewind, fit")]
    width = 80 + len(rows) * SIDE + (len(rows) - 1) * gap
    frame = (
        f'<rect x="8" y="8" width="{width - 16}" height="248" rx="8" fill="none" stroke="{MUTED}"/>'
    )
    return _svg(width, 264, [frame, *parts])


def psnrs(store: Reader, trial: str) -> str:
    """The PSNR of the dense fit by its steps, with its three marks."""
    [row] = store.sql(
        "select step, psnr_db, peak_step, psnr_peak_db, selected_step, psnr_selected_db, "
        "psnr_final_db, psnr_measured_db from curves join levels using (trial_id, level, image) "
        f"where trial_id = '{trial}' and level = 0"
    ).to_pylist()
    last = row["step"][-1]
    plot = Plot(steps=last, low=12, high=28)
    line = " ".join(
        f"{plot.x(step):.1f},{plot.y(db):.1f}"
        for step, db in zip(row["step"], row["psnr_db"], strict=True)
        if db >= plot.low
    )
    measured = plot.y(row["psnr_measured_db"])
    marks = (
        ("peak", row["peak_step"], row["psnr_peak_db"], YELLOW, (40, -12)),
        ("selected", row["selected_step"], row["psnr_selected_db"], ORANGE, (30, -44)),
        ("final", last, row["psnr_final_db"], PINK, (-12, 26)),
    )
    parts = list(_axes(plot))
    parts += [
        f'<line x1="{plot.x(0)}" x2="{plot.x(last)}" y1="{measured:.1f}" y2="{measured:.1f}" '
        f'stroke="{MUTED}" stroke-dasharray="3 3"/>',
        _text(plot.x(last), measured + 16, "the noisy picture", anchor="end"),
        f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
    ]
    for name, step, db, colour, (right, down) in marks:
        x, y = plot.x(step), plot.y(db)
        parts += [
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x + right:.1f}" y2="{y + down - 4:.1f}" '
            f'stroke="{MUTED}"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>',
        ]
        anchor = "start" if right > 0 else "end"
        said = f"{name}: {db:.1f} dB at step {step}"
        parts.append(_text(x + right, y + down, said, anchor=anchor))
    return _svg(560, 290, parts)


def _axes(plot: Plot) -> Iterator[str]:
    for db in range(int(plot.low), int(plot.high) + 1, 4):
        y = plot.y(db)
        yield (
            f'<line x1="{plot.x(0)}" x2="{plot.x(plot.steps)}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{GRID}"/>'
        )
        yield _text(plot.left - 8, y + 4, str(db), anchor="end")
    for step in range(0, int(plot.steps) + 1, 100):
        yield _text(plot.x(step), plot.top + plot.height + 18, str(step))
    yield _text(plot.left + plot.width / 2, plot.top + plot.height + 38, "step of the fit")
    yield _text(plot.left, 14, "PSNR, dB", anchor="start")


def _shade(value: float) -> str:
    """From orange (-1) over white to blue (1)."""
    end = torch.tensor([0, 114, 178] if value > 0 else [213, 94, 0], dtype=torch.float32)
    red, green, blue = (255 + (end - 255) * abs(value)).round().int().tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def _cells(rows: Sequence[Sequence[str]], left: float, top: float) -> Iterator[str]:
    for y, row in enumerate(rows):
        for x, colour in enumerate(row):
            yield (
                f'<rect x="{left + x * CELL}" y="{top + y * CELL}" width="{CELL - 1}" '
                f'height="{CELL - 1}" fill="{colour}"/>'
            )


def _text(x: float, y: float, said: Any, size: int = 13, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}">{said}</text>'
    )


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main(sys.argv[1])
