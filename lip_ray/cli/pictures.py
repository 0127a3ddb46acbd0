"""Commands about images at full size: see what a fit restored, restore a photo of one's own."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lip_ray.cli.common import (
    StoreArgument,
    StoreOption,
    example,
    number,
    own_up,
    refuse,
    require_one_of,
    store_or_only,
)

if TYPE_CHECKING:
    from lip_ray.exchange.pictures import Found, StoredFit, Which
    from lip_ray.exchange.restoring import Restoration, Restored
    from lip_ray.records import Standing

WHICH = ("selected", "peak", "final", "measured", "error", "clean")
ENDINGS = (".png", ".tif", ".tiff", ".npy")

WORST = 64
"""The error in grey levels of 255 that has the last colour, as on the pages of `lip report`."""

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where there is no terminal to renew one line on."""

app = typer.Typer()

OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help=f"The file, {', '.join(ENDINGS)}."),
]

TaskOption = Annotated[
    str,
    typer.Option(
        metavar="TASK",
        help="denoising, poisson, salt_and_pepper, inpainting, super_resolution, or a task in "
        "YAML: '{kind: super_resolution, factor: 4}'.",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For inpainting: white is known, black is missing. By default transparent pixels are "
        "missing.",
    ),
]
NoiseOption = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=1000,
        callback=number,
        help="Standard deviation of the noise in grey levels of 255, where it is known.",
    ),
]
DensityOption = Annotated[
    float,
    typer.Option(min=0, max=1, callback=number, help="Share of the network's weights to keep."),
]
StepsOption = Annotated[
    int | None, typer.Option(min=1, max=10**7, help="Most steps of a fit; by default 3,000.")
]
WhiteOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=10**9,
        callback=number,
        help="Value of white in a photo of more than 8 bits; by default 65535.",
    ),
]
PageOption = Annotated[
    int | None,
    typer.Option(min=0, max=2**31 - 1, help="Of a photo of several pages or frames, from 0."),
]


@app.command(epilog=example("lip picture 3f2a@4 -o restored.png"))
def picture(
    fit: Annotated[
        str, typer.Argument(metavar="TRIAL@LEVEL", help="Without @LEVEL, the last level.")
    ],
    output: OutputOption,
    which: Annotated[
        str, typer.Option("--which", metavar="IMAGE", help=f"{', '.join(WHICH)}.")
    ] = "selected",
    argument: StoreArgument = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="N", help="Of several: its number from 0, or its label."),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Write an image of a fit at full size, with 16 bits a channel where its input has more than 8.
    What the store lacks is fitted again from the seed, that level alone. error is the map of
    |selected - clean|, black where they agree."""
    _refuse_ending(output)
    require_one_of(WHICH, which, "--which", "image")
    import lip_ray.engine  # noqa: F401 (how threads wait is set before torch is imported)
    from lip_ray.exchange.pictures import Pictures, fit_of
    from lip_ray.store import Reader

    wanted = cast("Which", which)
    reader = Reader(store_or_only(store, argument))
    chosen = fit_of(reader, fit, image)
    if "@" not in fit:
        typer.echo(f"level {chosen.level}, the last", err=True)
    with _progress() as report:
        pictures = Pictures(reader, chosen, announce=partial(_announce, chosen), report=report)
        found = pictures.find(wanted)
    _write_picture(output, found, is_error=which == "error")
    _compare(chosen, found, "selected" if which == "error" else which)
    typer.echo(f"{output}: {_described(chosen, found, which)}")
    own_up(reader)


@app.command(epilog=example("lip restore photo.jpg -o restored.png"))
def restore(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A degraded picture.")],
    output: OutputOption,
    task: TaskOption = "denoising",
    mask: MaskOption = None,
    noise: NoiseOption = None,
    density: DensityOption = 1.0,
    steps: StepsOption = None,
    white: WhiteOption = None,
    page: PageOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of all draws.")] = 0,
) -> None:
    """Restore a degraded photo and write it at its size and depth. Nothing is kept but the file.
    Below density 1 a sparse network is found first, by magnitude pruning. Ctrl-C writes nothing."""
    _refuse_ending(output)
    if os.path.realpath(output) == os.path.realpath(photo):  # loops of links have none but this
        refuse(f"--output: {output} is the photo itself; name another file")
    if output.is_dir():
        refuse(f"--output: {output} is a folder; name a file in it")
    import lip_ray.engine  # noqa: F401 (how threads wait is set before torch is imported)
    from lip_ray.exchange.restoring import STEPS, Wishes, on_this_machine, prepared

    wishes = Wishes(
        task=task,
        mask=mask,
        white=white,
        page=page,
        noise=noise,
        density=density,
        steps=STEPS if steps is None else steps,
        seed=seed,
    )
    with on_this_machine() as device, prepared(photo, wishes, device) as restoration:
        for line in restoration.lines:
            typer.echo(line, err=True)
        typer.echo(_forecast(restoration), err=True)
        began = time.monotonic()
        with _progress(levels=restoration.trial.levels) as report:
            restored = restoration.run(report)
        _write_restored(output, restoration, restored, time.monotonic() - began)


def _refuse_ending(output: Path) -> None:
    if output.suffix.lower() not in ENDINGS:
        refuse(f"--output: the name must end in {', '.join(ENDINGS)}, got {output.name!r}")


def _announce(chosen: "StoredFit") -> None:
    typer.echo(
        f"{chosen.name} has no stored image of full size: it is fitted again from its seed; on "
        "another CPU, bits may differ",
        err=True,
    )


def _write_picture(output: Path, found: "Found", *, is_error: bool) -> None:
    """Write a picture; of an error map the colours or, as an array, the numbers."""
    from lip_ray.data.encoding import ENCODERS, in_colours
    from lip_ray.outputs import write_whole

    suffix = output.suffix.lower()
    if is_error and suffix != ".npy":
        content = ENCODERS[suffix](in_colours(found.image[0], WORST / 255), 8)
    else:
        content = ENCODERS[suffix](found.image, found.bits)
    write_whole(output, content)


def _described(chosen: "StoredFit", found: "Found", which: str) -> str:
    """A picture in words."""
    height, width = found.image.shape[1:]
    said = f"{which} of {chosen.image}, {chosen.name} (density {chosen.density:.4g}), "
    said += f"{width}×{height}"
    if which == "error":
        levels = found.image * 255
        beyond = int((levels > WORST).sum())
        return (
            f"{said}: |selected − clean|, mean over channels, black 0 to yellow {WORST} of 255 and "
            f"above ({beyond:,} of the pixels); mean {float(levels.mean()):.1f}, largest "
            f"{float(levels.max()):.0f}"
        )
    psnr = chosen.psnr_db(which)
    return f"{said}, {found.bits} bits" + (f", {psnr:.2f} dB" if psnr is not None else "")


def _compare(chosen: "StoredFit", found: "Found", role: str) -> None:
    """Say how far a fit that was made again is from the stored one."""
    if found.again is None:
        return
    stored, now = chosen.psnr_db(role), getattr(found.again, f"psnr_{role}_db", None)
    if stored is None or now is None:
        steps = f"{found.again.selected_step} of {found.again.steps}"
        same = (chosen.selected_step, chosen.steps) == (
            found.again.selected_step,
            found.again.steps,
        )
        typer.echo(
            "without a clean image there is no PSNR to compare; the selected step is "
            + (f"{steps}, as stored" if same else f"{steps}, stored was {chosen.selected_step}"),
            err=True,
        )
        return
    from lip_ray.analysis.statistics.rounding import rounding_db

    far, allowed = abs(stored - now), rounding_db(1)
    said = f"fitted again: {now:.2f} dB, stored are {stored:.2f} dB"
    if far > allowed:
        said = f"warning: {said}: {far:.2f} dB apart, more than rounding makes ({allowed:.2f} dB)"
    typer.echo(said, err=True)


def _forecast(restoration: "Restoration") -> str:
    """How long a restoration takes at most, by a few steps that are measured now."""
    from lip_ray.engine.progress import clock

    seconds = restoration.seconds_per_step()
    return (
        f"at most about {clock(seconds * restoration.steps)}: {restoration.steps:,} steps of "
        f"{seconds:.3g} s, as measured now; a fit ends earlier once its best step is known"
    )


def _write_restored(
    output: Path, restoration: "Restoration", restored: "Restored", seconds: float
) -> None:
    from lip_ray.data.encoding import ENCODERS
    from lip_ray.engine.progress import clock
    from lip_ray.outputs import write_whole

    write_whole(output, ENCODERS[output.suffix.lower()](restored.image, restoration.bits))
    record, (_, height, width) = restored.record, restored.image.shape
    typer.echo(
        f"{output}: {width}×{height}, {restoration.bits} bits; step {record.selected_step} of "
        f"{record.steps}, density {record.density:.4g}, {clock(seconds)}"
    )
    if record.unfinished:
        typer.echo("the best step is among the last: more --steps would restore better", err=True)


@contextmanager
def _progress(levels: int = 1) -> Iterator["_StepLine"]:
    """A report of progress on stderr, one line that is renewed on a terminal; it is cleared or
    ended whatever happens."""
    line = _StepLine(levels=levels, renews=sys.stderr.isatty())
    try:
        yield line
    finally:
        line.end()


@dataclass
class _StepLine:
    """Prints how far a fit has come."""

    levels: int
    renews: bool
    _began: float = field(default_factory=time.monotonic)
    _due: float = 0.0
    _level: int = -1
    _is_open: bool = False

    def __call__(self, standing: "Standing") -> None:
        """Print a standing, where it is time for it."""
        now = time.monotonic()
        if standing.level != self._level:
            self._level, self._began, self._due = standing.level, now, now
        if now < self._due:
            return
        self._due = now if self.renews else now + LINE_EVERY_S
        self._show(self._text(standing, now - self._began))

    def end(self) -> None:
        """End the line that is renewed."""
        if self._is_open:
            typer.echo("\r\x1b[K", nl=False, err=True)
            self._is_open = False

    def _show(self, text: str) -> None:
        if self.renews:
            cut = text[: shutil.get_terminal_size().columns - 1]
            typer.echo(f"\r\x1b[K{cut}", nl=False, err=True)
            self._is_open = True
        else:
            typer.echo(text, err=True)

    def _text(self, standing: "Standing", seconds: float) -> str:
        from lip_ray.engine.progress import clock

        level = f"level {standing.level} of {self.levels - 1}: " if self.levels > 1 else ""
        psnr = f", {standing.psnr_db:.2f} dB" if standing.psnr_db is not None else ""
        said = f"{level}step {standing.step:,} of at most {standing.steps:,}{psnr}"
        if not standing.step:
            return said
        left = seconds / standing.step * (standing.steps - standing.step)
        return f"{said}, at most {clock(left)} left"
