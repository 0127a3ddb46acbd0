"""Published generators, imported into files that trials take."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lip_ray.priors.generators import GeneratorFile
from lip_ray.priors.generators.file import write
from lip_ray.priors.generators.published import Published, read_published

LAWS = {"normal": "N(0, 1)", "uniform": "U(-1, 1)"}
RANGES = {"unit": "[0, 1]", "symmetric": "[-1, 1]"}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A generator in a file that trials take, and what is known of it."""

    path: Path
    generator: GeneratorFile
    published: Published

    @property
    def lines(self) -> Iterator[str]:
        """A description for people."""
        spec, trained = self.generator, self.published.trained
        channels, height, width = spec.image_shape
        colour = "grey" if channels == 1 else "colour"
        cost = spec.cost
        network = trained.origin.get("network")
        yield f"{self.path}: {trained.architecture.kind}, {height}×{width} pixels, {colour}"
        yield (
            f"{cost.parameters:,} parameters, {cost.prunable:,} of them prunable weights; critic: "
            + ("that of the file" if trained.critic else "none, to be drawn anew")
        )
        yield (
            f"latent: {spec.latent_size} numbers, {LAWS[spec.law]}; range: {RANGES[spec.output]}"
        )
        yield f"source: sha256 {trained.origin['sha256']}" + (f", {network}" if network else "")
        yield f"result: sha256 {spec.sha256}"
        yield from (f"note: {note}" for note in self.published.notes)


def imported(
    path: Path,
    *,
    card: Path | None = None,
    network: str | None = None,
    folder: Path,
) -> Imported:
    r"""Read a published generator and write it into the folder, under a name of its content.

    The same generator always makes the same bytes. Raises OSError, and CheckpointError or
    GeneratorError, which are ValueErrors.
    """
    published = read_published(path, card=card, network=network)
    name = re.sub(r"[^\w.-]+", "-", published.name).strip(".-") or "generator"
    written = write(published.trained, folder, name)
    generator = GeneratorFile.model_validate({"path": str(written)})
    return Imported(path=written, generator=generator, published=published)
