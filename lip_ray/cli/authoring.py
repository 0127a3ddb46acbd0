"""Commands for whoever writes a sweep file: begin one, look up what may stand in it."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import NARROWEST, example, refuse
from lip_ray.names import hint
from lip_ray.outputs import write_whole

if TYPE_CHECKING:
    from lip_ray.reference import Entry, Field, Place

app = typer.Typer()

WISHES = {
    "denoise": "restore a noisy photo, and see how sparse the network may be",
    "compare": "compare pruners at equal density",
    "transfer": "take tickets to another photo and another task",
    "search": "let Optuna look for the most decibels at the fewest weights",
    "generator": "prune a generator, and recover images from few measurements",
}
"""What a sweep may be for; templates/ has a file for each."""

WIDEST = 100


@app.command(epilog=example("lip init denoise -o cat.yaml"))
def init(
    wish: Annotated[
        str | None,
        typer.Argument(
            metavar="WISH",
            help="What the sweep is for; without one, all are listed.",
            autocompletion=completion.words(*WISHES),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The .yaml file to write; WISH.yaml by default."
        ),
    ] = None,
) -> None:
    """Write a sweep file to begin with, with comments. It runs as it is, and never takes the place
    of a file that is there."""
    if wish is None:
        for name, meaning in WISHES.items():
            typer.echo(f"{name:<10} {meaning}")
        return
    if wish not in WISHES:
        refuse(f"no wish {wish!r}; {hint(wish, WISHES)}there are: {', '.join(WISHES)}")
    path = output or Path(f"{wish}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        refuse(f"--output: a sweep file ends in .yaml, got {path}")
    if path.exists():
        refuse(f"{path} is there already: name another with -o FILE")
    template = Path(__file__).with_name("templates") / f"{wish}.yaml"
    text = template.read_text(encoding="utf-8")
    write_whole(path, text.replace("{file}", str(path)).replace("{name}", _name(path)))
    typer.echo(f"{path}: see lip plan {path}")


@app.command(epilog=example("lip explain task.inpainting"))
def explain(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="A dotted place in a sweep file, as fit.stopping, pruner or run.gpus; without "
            "one, all of it is printed as Markdown.",
        ),
    ] = None,
) -> None:
    """Say what may stand in a sweep file: fields, types, defaults, units, and an example."""
    from lip_ray.reference import shipped

    known = shipped()
    if path is None:
        typer.echo(known.page, nl=False)
        return
    found = known.place(path)
    for line in _said(found, known.entries(found)):
        typer.echo(line)


def _name(path: Path) -> str:
    """The name of a sweep after its file."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in path.stem)
    return plain.lstrip("-_") or "sweep"


def _said(found: "Place", entries: "Sequence[Entry]") -> Iterator[str]:
    """A place in words that fit the terminal."""
    if found.plain is not None:
        yield from _field_lines(found.plain)
        return
    if len(entries) > 1:
        said = f"{found.path or 'trial'} is one of these kinds. {found.meaning}"
        yield from _wrapped(said.rstrip())
    for number, entry in enumerate(entries):
        yield from [""] * (number > 0 or len(entries) > 1)
        yield from _entry_lines(entry)


def _entry_lines(entry: "Entry") -> Iterator[str]:
    yield from _wrapped(f"{entry.path or 'trial'}: {entry.about}")
    for own in entry.fields:
        yield ""
        yield from _field_lines(own, "  ")
    yield ""
    yield "  Example:"
    yield from (f"    {line}" for line in entry.example.splitlines())


def _field_lines(own: "Field", indent: str = "") -> Iterator[str]:
    default = f"{own.default} by default" if own.default else "needed"
    yield from _wrapped(f"{own.name}: {own.type}; {default}", indent, "    ")
    yield from _wrapped(own.meaning, f"{indent}    ")


def _wrapped(text: str, indent: str = "", hanging: str = "") -> list[str]:
    """A paragraph in lines that fit the terminal."""
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
