"""Claims: statements about fits that a store can decide, best written before these ran."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from lip_ray.literature import PAPERS
from lip_ray.mistakes import Mistake, SweepError, document, explained
from lip_ray.names import hint
from lip_ray.spec import Spec

Psnr = Literal["peak", "selected", "final"]

Condition = Annotated[str, Field(min_length=1, max_length=4000)]
"""SQL that picks fits: a condition on the columns of the tables `levels` and `trials`."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]

Decibels = Annotated[float, Field(gt=0, le=100)]


class Claim(Spec):
    """One statement about fits, what picks these, and how it is tested."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60)]
    """A short name, by which tables and commands know it."""
    says: Annotated[str, Field(min_length=1, max_length=400)]
    """The statement in words."""
    source: str = ""
    """The paper that makes it, by its key in `lip cite`; empty where it is one's own."""
    where: Condition = "true"
    """What both sides have in common, in SQL: the task, the network, the sweep."""
    first: Condition
    """What picks the fits that the statement is about."""
    second: Condition | None = None
    """What picks the fits that they are compared with, of the same images, tasks and seeds."""
    test: Literal["better", "not_worse", "works"] = "better"
    """`better`: the first restore better than the second. `not_worse`: they are not worse by the
    margin or more. `works`: the first restore more than half of all images better than their
    measurements are; there is no second."""
    by: Annotated[tuple[Psnr, ...], Field(strict=False, min_length=1, max_length=3)] = (
        "peak",
        "selected",
    )
    """The PSNRs that it is tested by, each for itself."""
    against: Psnr | None = None
    """The PSNR of the second; by default the same as that of the first."""
    margin_db: Decibels | None = None
    """The margin of this claim in dB; by default that of the file."""
    limits: Annotated[str, Field(max_length=400)] = ""
    """What keeps a verdict from being general, in words."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.second is None) != (self.test == "works"):
            needed = "has no second" if self.test == "works" else "needs a second"
            raise ValueError(f"a claim tested as {self.test!r} {needed}")
        if self.source and self.source not in PAPERS:
            near = hint(self.source, PAPERS)
            raise ValueError(f"source {self.source!r} is no paper here; {near}lip cite knows them")
        return self


class Claims(Spec):
    """The claims of a file, which are corrected for their number together."""

    margin_db: Decibels = 0.1
    """The difference in dB that is too small to matter."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """One minus the chance that any claim of the file is wrongly shown; for refuted ones it is the
    same."""
    fits: dict[Name, Condition] = Field(default_factory=dict, max_length=1000)
    """Names for conditions, which the conditions of claims may use like columns."""
    claims: Annotated[tuple[Claim, ...], Field(strict=False, min_length=1, max_length=1000)]
    """The claims, in the order in which they are shown."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [claim.name for claim in self.claims]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two claims are called {twice!r}")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """The claims of a YAML file.

        Raises SweepError with all mistakes of the file, or where it cannot be read.
        """
        written = document(path)
        if not isinstance(written, dict):
            raise SweepError(str(path), [Mistake("", "must be a mapping with a list of claims")])
        try:
            return cls.model_validate(written)
        except ValidationError as error:
            raise SweepError(str(path), explained(error, cls, written)) from error

    def tests(self) -> Iterator[tuple[Claim, Psnr]]:
        """Each claim with each PSNR that it is tested by."""
        for claim in self.claims:
            yield from ((claim, which) for which in claim.by)

    def margin_of(self, claim: Claim) -> float:
        """The margin of a claim in dB."""
        return self.margin_db if claim.margin_db is None else claim.margin_db
