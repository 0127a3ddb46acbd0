"""Numbers in words, as tables, captions and figures write them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pandas as pd

from lip_ray.records import FAILURES


def known_text(value: Any, form: str = ",.0f", *, unit: str = "") -> str:
    """A number in the given form with its unit; "none" where there is none."""
    return "none" if pd.isna(value) else f"{value:{form}} {unit}".rstrip()


def mean_text(mean: float, low: float, high: float, form: str = ".2f") -> str:
    """A mean and its interval, as far as there are."""
    said = known_text(mean, form)
    said = said if pd.isna(low) else f"{said} [{low:{form}}, {high:{form}}]"
    return said.replace("-", "−")


def mean_cells(
    heads: Iterable[str], first: int = 0, *, end: str = "", form: str = ".2f"
) -> dict[str, Callable[[Sequence[Any]], str]]:
    """By head the cell with the `mean_text` of each of several rows, from the `first` on.

    The columns mean, low and high of these rows have the ending `end`.
    """
    ends = attrgetter(f"mean{end}", f"low{end}", f"high{end}")

    def cell(place: int) -> Callable[[Sequence[Any]], str]:
        return lambda rows: mean_text(*ends(rows[place]), form)

    return {head: cell(place) for place, head in enumerate(heads, first)}


def wrong_text(row: Any, missing: Mapping[str, int]) -> str:
    """How many fits of a row went wrong or are `missing` something; empty where all is well."""
    counts = {name: getattr(row, name) for name in FAILURES} | dict(missing)
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def tested_text(row: Any, others: Mapping[str, int]) -> str:
    """How many images or seeds a row's test is about, and how many `others` there are, by name."""
    said = f"{row.n} {row.unit}{'' if row.n == 1 else 's'}"
    return ", ".join([said, *(f"{count} {name}" for name, count in others.items() if count)])


def sample_text(table: pd.DataFrame, noun: str = "seeds") -> str:
    """How many seeds or the like the means of a table are over, and what its intervals are."""
    counts = table.loc[table["n"] > 0, "n"]
    if counts.max() == 1:
        return f"n = {counted_text(counts, noun)}, so no intervals"
    where = " from n = 2" if counts.min() == 1 else ""
    level = 100 * table["confidence"].iloc[0]
    return f"n = {counted_text(counts, noun)}, {level:g} % intervals{where}"


def counted_text(counts: pd.Series, noun: str) -> str:
    """How many there are of a noun in the plural, from the least to the most."""
    least, most = counts.min(), counts.max()
    noun = noun.removesuffix("s") if most == 1 else noun
    return f"{most} {noun}" if least == most else f"{least} to {most} {noun}"


def db_text(value: float) -> str:
    """A PSNR of one fit."""
    return known_text(value, ".2f", unit="dB")


def density_text(density: float) -> str:
    """A density in three significant digits."""
    return f"{density:.3g}"


def sparsity_text(density: float) -> str:
    """The share of weights removed, in percent; with more digits where little is left."""
    return f"{round(100 * (1 - density), 1 if density >= 0.01 else 3):g} %"


def removed_text(density: float) -> str:
    """A density, and in brackets the share of weights removed."""
    return f"{density_text(density)} ({sparsity_text(density)} removed)"


def count_text(count: float) -> str:
    """A count in three digits: 83.2 k, 2.22 M, 1.4 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}"
    return f"{count:g}"


def seeds_text(fits: pd.DataFrame) -> str:
    """The seeds of these fits."""
    return ", ".join(map(str, sorted(set(fits["seed"]))))
