"""The `search` section of a sweep: the space, the objectives and the sampler, checked."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lip_ray.columns import OBJECTIVES
from lip_ray.mistakes import Mistake, shown
from lip_ray.names import hint
from lip_ray.spec import Family, Spec
from lip_ray.spec import Level as LevelNumber

NEAR = 0.1
"""The relative distance within which the nearest level of a ladder counts as having a given
density."""

EXACT = 2**53
"""Whole numbers up to here are exact as floating-point numbers, which samplers draw."""

Count = Annotated[int, Field(ge=1, le=10**6)]
SamplerSeed = Annotated[int, Field(ge=0, lt=2**32)]
"""As NumPy takes it."""
Corner = tuple[str, Any]
"""A value at the edge of a domain, and where it was written: `.low`, `[2]`."""
Params = dict[str, Any]
"""A value for each searched field, by its dotted path."""

Direction = Literal["maximize", "minimize"]
if TYPE_CHECKING:
    Column = str
else:
    Column = Literal[OBJECTIVES]
"""The numbers that a level has in the store."""


class AbstractDomain(Spec, ABC):
    """The values that one field may take."""

    kind: str

    @abstractmethod
    def corners(self) -> tuple[Corner, ...]:
        """Values that are checked before anything runs: if they are right, so are all others."""

    @abstractmethod
    def holds(self, value: object) -> bool:
        """Whether the domain contains the value."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """The number of values; None where they are too many to count."""


class AbstractRange(AbstractDomain):
    """Numbers between two others."""

    low: Any
    high: Any
    log: bool = False
    """Whether samplers draw on a logarithmic scale: from 1 to 10 as often as from 10 to 100."""
    step: Any

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be greater than 0, got {self.low:g}")
        if self.log and self.step != type(self).model_fields["step"].default:
            raise ValueError(f"log has no steps: leave step out, got {self.step:g}")
        if self.step is not None and not _on_step(self.high, self.low, self.step):
            raise ValueError(
                f"high must be low and a whole number of steps: got {self.low:g} to "
                f"{self.high:g} in steps of {self.step:g}"
            )
        return self

    def corners(self) -> tuple[Corner, ...]:
        """The two ends of the range, with their places in the sweep file."""
        return (".low", self.low), (".high", self.high)

    @property
    def size(self) -> int | None:
        """The number of steps plus one; None without steps."""
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def holds(self, value: object) -> bool:
        """Whether it is a number from low to high, and on a step where there are steps."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        on_step = self.step is None or _on_step(value, self.low, self.step)
        return on_step and bool(self.low <= value <= self.high)


@final
class FloatRange(AbstractRange):
    """Numbers from low to high, both included."""

    kind: Literal["float"] = "float"
    low: float
    """The least value."""
    high: float
    """The greatest value."""
    step: Annotated[float, Field(gt=0)] | None = None
    """The distance between neighbouring values; by default all numbers between are allowed."""

    def rounded(self, value: float) -> float:
        """The number on the nearest step, without rounding errors of adding up steps."""
        if self.step is None:
            return value
        return round(self.low + round((value - self.low) / self.step) * self.step, 12)


@final
class IntRange(AbstractRange):
    """Whole numbers from low to high, both included."""

    kind: Literal["int"] = "int"
    low: Annotated[int, Field(ge=-EXACT, le=EXACT)]
    """The least value."""
    high: Annotated[int, Field(ge=-EXACT, le=EXACT)]
    """The greatest value."""
    step: Annotated[int, Field(ge=1, le=EXACT)] = 1
    """The distance between neighbouring values."""

    def holds(self, value: object) -> bool:
        """Whether it is a whole number from low to high, and on a step."""
        return isinstance(value, int) and super().holds(value)


@final
class Choice(AbstractDomain):
    """One of a list; a bare list stands for it. Items are whatever the field takes."""

    kind: Literal["choice"] = "choice"
    values: Annotated[tuple[Any, ...], Field(strict=False, min_length=1, max_length=10**4)]
    """The values to choose from."""

    def corners(self) -> tuple[Corner, ...]:
        """All values, with their places in the sweep file."""
        return tuple((f"[{index}]", value) for index, value in enumerate(self.values))

    def holds(self, value: object) -> bool:
        """Whether it is in the list; the order of keys in mappings does not matter."""
        return value in self.values

    @property
    def size(self) -> int:
        """The length of the list."""
        return len(self.values)


def _expand_list(value: object) -> object:
    if isinstance(value, list | tuple):
        return {"kind": "choice", "values": value}
    return value


Domain = Annotated[FloatRange | IntRange | Choice, Family(short=_expand_list, offers=list[Any])]
"""Any domain; a bare list stands for a choice."""


@final
class Last(Spec):
    """The sparsest level of each trial."""

    kind: Literal["last"] = "last"


@final
class Numbered(Spec):
    """The level of that number; a bare number stands for it."""

    kind: Literal["number"] = "number"
    number: LevelNumber
    """The number of the level, from 0, which is dense."""


@final
class NearDensity(Spec):
    """The level whose density is nearest, at most 10 % off. `{density: 0.1}` stands for it."""

    kind: Literal["density"] = "density"
    density: Annotated[float, Field(gt=0, le=1)]
    """The density that a level must be near."""


def _expand_level(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"kind": "number", "number": value}
    if isinstance(value, dict) and "density" in value:
        return {"kind": "density"} | value
    return {"kind": value} if isinstance(value, str) else value


Level = Annotated[
    Last | Numbered | NearDensity,
    Field(discriminator="kind"),
    BeforeValidator(
        _expand_level,
        json_schema_input_type=Literal["last"] | LevelNumber | Last | Numbered | NearDensity,
    ),
]
"""The level of a ladder that an objective is about."""


@final
class Objective(Spec):
    r"""A column of the levels that is maximised or minimised.

    A point's value is the mean over its trials and their images at that level; for `fit_s`, a
    trial's seconds up to that level are summed first. A column that no row of a trial has, such as
    a PSNR without a clean image, is refused before anything runs.
    """

    column: Column
    """The column of `levels` whose value counts, as the mean over the trials of a point."""
    direction: Direction
    """Whether more is better or less."""
    level: Level = Last()
    """The level whose value counts: `last`, a number, or `{density: 0.05}`."""

    @model_validator(mode="before")
    @classmethod
    def _directed(cls, value: object) -> object:
        if isinstance(value, Mapping) and "direction" not in value:
            column = shown(value.get("column"))
            raise ValueError(f"the objective {column} has no direction: maximize or minimize")
        return value


@final
class Tpe(Spec):
    """A tree-structured Parzen estimator (Bergstra et al. 2011; several objectives: Ozaki et al.
    2022), which counts points in flight as bad ones, so that they are not asked for again."""

    kind: Literal["tpe"] = "tpe"
    seed: SamplerSeed = 0
    """The seed of the sampler's draws."""
    startup: Count = 10
    """The number of points that must have scores before any but random ones are drawn."""


@final
class Nsga2(Spec):
    """A genetic algorithm for several objectives (Deb et al. 2002)."""

    kind: Literal["nsga2"] = "nsga2"
    seed: SamplerSeed = 0
    """The seed of the sampler's draws."""
    population: Annotated[int, Field(ge=2, le=10**4)] = 20
    """The number of points per generation."""


@final
class RandomPoints(Spec):
    """Points drawn independently: the baseline that a search must beat."""

    kind: Literal["random"] = "random"
    seed: SamplerSeed = 0
    """The seed of the sampler's draws."""


Sampler = Annotated[Tpe | Nsga2 | RandomPoints, Family(default="tpe")]


@final
class StopHopeless(Spec):
    r"""Ends trials that are far behind the others, level by level.

    A fit that learns and then overfits can be behind at a step and ahead at the end, so its curve
    is no guide while it runs: the selected PSNR of a whole level is compared with the median of
    completed points at the same level of the same trial. A trial that is stopped has no lower
    levels, so do not use this for comparisons on equal terms.
    """

    margin_db: Annotated[float, Field(ge=0)] = 1.0
    """How far below the median a trial may be, in dB."""
    after: Count = 5
    """The number of completed points before any trial is stopped."""
    from_level: LevelNumber = 1
    """The first level that is compared."""


def _some(space: Params) -> Params:
    if not space:
        raise ValueError("must have at least one field")
    return space


class Search(Spec):
    """Points of a space, evaluated one after another and chosen by the results of earlier ones."""

    space: Annotated[
        dict[str, Domain], AfterValidator(_some), Field(json_schema_extra={"minProperties": 1})
    ]
    """The domain of each searched field, by its dotted path."""
    objectives: Annotated[tuple[Objective, ...], Field(strict=False, min_length=1)]
    """What is looked for; of several, the best compromises."""
    points: Count
    """The number of points, `start` included; to continue a finished search, raise it."""
    start: Annotated[tuple[Params, ...], Field(strict=False, max_length=10**4)] = ()
    """Points that are evaluated first; the sampler chooses the fields that one leaves out."""
    sampler: Sampler = Tpe()
    """The method by which points are chosen."""
    at_once: Annotated[int, Field(ge=1, le=10**4)] = 8
    """The most points evaluated at once. The fewer, the more results are known when a point is
    chosen."""
    stop_hopeless: StopHopeless | None = None
    """The rule for stopping trials early; by default none is stopped."""

    @property
    def total(self) -> int:
        """The number of points, which is no larger than the space."""
        size = 1
        for domain in self.space.values():
            if domain.size is None:
                return self.points
            size *= domain.size
        return min(self.points, size)

    def bases(self) -> list[Params]:
        r"""Points from which every value is reached by changing one field.

        They are the starting points, with the first value of each field that they leave out, then
        the first values of all fields and the last.
        """
        first, last = (
            {path: domain.corners()[end][1] for path, domain in self.space.items()}
            for end in (0, -1)
        )
        return [*(first | point for point in self.start), first, last]

    def conflicts(self) -> Iterator[Mistake]:
        """Find parts that are right alone and wrong together; paths are relative to the search."""
        for first, second in combinations(self.space, 2):
            if overlap(first, second):
                yield Mistake("space", f"{first} and {second} set the same field")
        for path, domain in self.space.items():
            if isinstance(domain, Choice):
                yield from _repeated(f"space.{path}", domain.values)
        for index, point in enumerate(self.start):
            yield from self._misfits(f"start[{index}]", point)
        yield from _repeated("start", self.start)
        searched = next((path for path in self.space if overlap(path, "schedule")), None)
        if self.stop_hopeless and searched:
            yield Mistake(
                "stop_hopeless",
                "compares levels of one number, which must have one density: "
                f"leave it out where {searched} is searched",
            )

    def _misfits(self, place: str, point: Params) -> Iterator[Mistake]:
        for path, value in point.items():
            if path not in self.space:
                searched = ", ".join(self.space)
                yield Mistake(
                    f"{place}.{path}",
                    f"is not searched; {hint(path, self.space)}allowed: {searched}",
                )
            elif not self.space[path].holds(value):
                yield Mistake(
                    f"{place}.{path}", f"must be in search.space.{path}, got {shown(value)}"
                )


def overlap(first: str, second: str) -> bool:
    """Whether two dotted paths name the same field, or one a part of the other."""
    shorter, longer = sorted((first, second), key=len)
    return longer == shorter or longer.startswith(shorter + ".")


def nearest(densities: Sequence[float], wanted: float) -> int | None:
    """The level whose density is nearest to the wanted one; None where all are over 10 % off."""
    place = min(range(len(densities)), key=lambda i: abs(densities[i] - wanted))
    return place if abs(densities[place] - wanted) <= NEAR * wanted else None


def key_of(params: Mapping[str, Any]) -> str:
    """A point as canonical JSON, which is equal for equal values."""
    return json.dumps(params, sort_keys=True, separators=(",", ":"))


def _repeated(place: str, values: Sequence[Any]) -> Iterator[Mistake]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Mistake(f"{place}[{index}]", f"is there twice: {shown(value)}")


def _on_step(value: float, low: float, step: float) -> bool:
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-8
