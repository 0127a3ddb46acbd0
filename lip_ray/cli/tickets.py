"""Commands about tickets, and about networks imported from elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import (
    TEXTS,
    FormatOption,
    StoreArgument,
    StoreOption,
    TextOption,
    example,
    named_store,
    print_answer,
    print_in,
    require_one_of,
    store_or_only,
)

if TYPE_CHECKING:
    from lip_ray.trials.ticketfile import Ticket

NETWORKS = ("avgG", "netG")
"""The generators in a checkpoint of the GAN zoo."""

tickets = typer.Typer(no_args_is_help=True, help="Take tickets out of a store, compare, list them.")
imports = typer.Typer(no_args_is_help=True, help="Take over published masks, weights, generators.")

TicketArgument = Annotated[
    str,
    typer.Argument(
        metavar="TICKET",
        help="TRIAL_ID@LEVEL, or a .safetensors file.",
        autocompletion=completion.tickets,
    ),
]
TicketOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="The .safetensors file to write."),
]


@tickets.command("list", epilog=example("lip tickets list results/noise"))
def list_tickets(
    argument: StoreArgument = None, store: StoreOption = None, form: FormatOption = "table"
) -> None:
    """List the tickets of a store, with their densities and PSNR."""
    from lip_ray.exchange.tickets import LISTING

    print_answer(LISTING, named_store(store, argument), form)


@tickets.command(epilog=example("lip tickets export 3f2a@4 -o ticket.safetensors"))
def export(
    ticket: TicketArgument,
    output: TicketOption,
    argument: StoreArgument = None,
    store: StoreOption = None,
) -> None:
    """Write a ticket of a store, mask and weights, into a file for PyTorch or a sweep."""
    from lip_ray.exchange.tickets import write

    chosen = _ticket(ticket, named_store(store, argument))
    write(chosen, output)
    _print_ticket(chosen, output)


@tickets.command(epilog=example("lip tickets compare 3f2a@4 91c0@4 results/noise"))
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="TRIAL_ID@LEVEL or a file.", autocompletion=completion.tickets
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B", help="TRIAL_ID@LEVEL or a file.", autocompletion=completion.tickets
        ),
    ],
    argument: StoreArgument = None,
    store: StoreOption = None,
    form: TextOption = "table",
) -> None:
    """Compare two masks layer by layer: densities, and their overlap against chance."""
    require_one_of(TEXTS, form)
    from lip_ray.exchange.tickets import compare

    place = named_store(store, argument)
    frame = compare(_ticket(first, place), _ticket(second, place))
    print_in(form, frame)


@imports.command(
    "ticket", epilog=example("lip import ticket masks.pt --prior skip -o ticket.safetensors")
)
def import_ticket(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Published masks or weights.")],
    prior: Annotated[
        str, typer.Option(metavar="PRIOR", help="Of the network, in YAML: {kind: skip, width: 8}.")
    ],
    output: TicketOption,
    channels: Annotated[int, typer.Option(min=1, max=8192, help="Of the network's images.")] = 3,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rewind to this state dict.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Rewind to initial weights of this seed."),
    ] = None,
) -> None:
    """Make a ticket of a published file: mask files of lottery-image-prior and open_lth, flat masks
    of Optimal Eye Surgeon, state dicts of Deep Image Prior as torch.save, Lightning or safetensors
    save them. Which of them it is shows in the file."""
    from lip_ray.exchange.tickets import imported, prior_named, write

    ticket = imported(file, prior_named(prior), image_channels=channels, weights=weights, seed=seed)
    write(ticket, output)
    _print_ticket(ticket, output)


@imports.command("generator", epilog=example("lip import generator weights.pt --card card.json"))
def import_generator(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Published weights.")],
    card: Annotated[
        Path | None, typer.Option(metavar="CARD.json", help="What the layers of FILE are.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help=f"{' or '.join(NETWORKS)}, by default the first."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the file is written.")
    ] = Path("generators"),
) -> None:
    """Make a file that trials take of a published generator: a checkpoint of the GAN zoo's
    progressive GAN, or a state dict with a card of its layers."""
    if network is not None:
        require_one_of(NETWORKS, network, "--network", "network")
    from lip_ray.exchange.generators import imported

    found = imported(file, card=card, network=network, folder=output)
    for line in found.lines:
        typer.echo(line)


def _ticket(reference: str, store: str | None) -> "Ticket":
    """The ticket in a file, or that of a level in the store."""
    from lip_ray.exchange.tickets import export, is_file, read

    if is_file(reference):
        return read(Path(reference))
    from lip_ray.store import Reader

    return export(Reader(store_or_only(store)), reference)


def _print_ticket(ticket: "Ticket", path: Path) -> None:
    about = ticket.about
    typer.echo(
        f"{path}: keeps {about['kept']:,} of {about['total']:,} weights (density "
        f"{about['density']:.4g}); weights: {about['weights']}"
    )
    for note in about.get("notes", ()):
        typer.echo(f"note: {note}")
