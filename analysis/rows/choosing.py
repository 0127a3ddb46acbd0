"""Which of many fits a page shows: always the same ones of the same store."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

T = TypeVar("T")


def evenly(values: Sequence[T], most: int) -> list[T]:
    """At most that many of the values (at least two), evenly by rank, both ends among them."""
    if len(values) <= most:
        return list(values)
    places = np.linspace(0, len(values) - 1, most).round().astype(int)
    return [values[place] for place in places]


def check_single(table: pd.DataFrame, column: str, rule: str) -> None:
    """Raises ValueError with that rule unless the column has exactly one value."""
    if table[column].nunique() != 1:
        raise ValueError(rule)


def leading_seed(fits: pd.DataFrame) -> pd.DataFrame:
    """The fits of the seed that has the most, of several the first."""
    leading = fits["seed"].eq(fits["seed"].mode().iloc[0])
    return pd.DataFrame(fits[leading])


def most_frequent(values: pd.Series, most: int) -> list[str]:
    """The most frequent values, at most so many; of equally frequent ones the first by name."""
    counts = values.astype(str).value_counts().rename_axis("name").reset_index()
    found = counts.sort_values(["count", "name"], ascending=[False, True])
    return list(found["name"].head(most))


def with_most(fits: pd.DataFrame, column: str, most: int) -> pd.DataFrame:
    """The fits of the values that have the most of them, of equally many the first categories."""
    counts = fits[column].value_counts(sort=False).sort_index()
    largest = counts.sort_values(ascending=False, kind="stable").index[:most]
    return pd.DataFrame(fits[fits[column].isin(largest)])


def shown_text(count: int, most: int, words: str) -> str:
    """That only `most` of so many are shown, where that is so; `words` have a place for `most`."""
    return f"Of {count} {words.format(most)} are shown." if count > most else ""
