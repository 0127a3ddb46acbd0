"""Means over pairs of two crossed samples, as tickets of some images on others are.

Both sides of a pair were drawn: with other sources, and with other targets, the mean would be
another. An interval over the pairs, as if each were independent, is far too narrow, and one over
either side alone takes the other for all there is (Clark 1973).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .intervals import check_confidence

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class CrossedMean:
    """A mean over pairs with its standard error, which respects both sides."""

    mean: float
    error: float
    """The standard error; NaN where one side has a single member, or both vary only together."""
    freedom: float
    """The degrees of freedom of that error, by Satterthwaite's approximation."""
    sources: int
    targets: int
    pairs: int

    @property
    def decided(self) -> bool:
        """Whether there is an error, and so an interval and tests."""
        return bool(np.isfinite(self.error))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided Student-t interval; NaN where there is no error.

        Raises ValueError for a `confidence` that is not within 0 and 1.
        """
        check_confidence(confidence)
        half = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half

    def below(self, bound: float) -> float:
        """The p-value of "the mean is at most the bound", one-sided; NaN without an error."""
        return self._tail(self.mean - bound)

    def above(self, bound: float) -> float:
        """The p-value of "the mean is at least the bound", one-sided; NaN without an error."""
        return self._tail(bound - self.mean)

    def _tail(self, beyond: float) -> float:
        if self.error == 0:
            return 0.0 if beyond > 0 else 1.0
        return float(stats.t.sf(beyond / self.error, self.freedom))


def crossed_mean(
    values: Sequence[float], sources: Sequence[Hashable], targets: Sequence[Hashable]
) -> CrossedMean:
    """The mean of one value per pair, with sources and targets as crossed random effects.

    Variances are those of the two-way analysis of variance, by Henderson's third method where
    pairs are missing (Searle, Casella & McCulloch 1992); a negative one counts as zero. Degrees of
    freedom are Satterthwaite's (1946). Where each source goes with one target of its own, the
    pairs are the sample.

    Raises ValueError when there is no pair, or one twice.
    """
    pairs = list(zip(sources, targets, strict=True))
    if not pairs or len(set(pairs)) < len(pairs):
        raise ValueError("a crossed mean needs one value for each pair, and a pair")
    found = np.asarray(values, float)
    one, other = _membership(sources), _membership(targets)
    counts = {"sources": one.shape[1], "targets": other.shape[1], "pairs": len(pairs)}
    error, freedom = _error(found, one, other)
    return CrossedMean(mean=float(found.mean()), error=error, freedom=freedom, **counts)


def _error(values: Vector, one: Matrix, other: Matrix) -> tuple[float, float]:
    """The standard error of the mean, and its degrees of freedom."""
    n = len(values)
    if n == one.shape[1] == other.shape[1] > 1:
        return float(values.std(ddof=1) / np.sqrt(n)), n - 1.0
    sides = np.hstack([one, other])
    rank = int(np.linalg.matrix_rank(sides))
    if min(one.shape[1], other.shape[1]) < 2 or rank < one.shape[1] + other.shape[1] - 1:
        return np.nan, np.nan
    left = n - rank
    residual = _residual_square(values, sides) / left if left else 0.0
    terms = [
        *_component(values, one, other, residual),
        *_component(values, other, one, residual),
    ]
    if left:
        terms.append((1 / n - sum(weight for weight, *_ in terms), residual, left))
    variance = sum(weight * square for weight, square, _ in terms)
    spread = sum((weight * square) ** 2 / df for weight, square, df in terms)
    return float(np.sqrt(variance)), float(variance**2 / spread) if spread else 1.0


def _component(
    values: Vector, side: Matrix, rest: Matrix, residual: float
) -> Iterator[tuple[float, float, int]]:
    """The weight of one side's mean square in the variance of the mean, and its freedom.

    Nothing where its component is estimated at zero or below. Without a residual to take off, the
    mean square stands for itself, which errs to the safe side.
    """
    freedom = side.shape[1] - 1
    explained = _residual_square(values, rest) - _residual_square(values, np.hstack([side, rest]))
    square = explained / freedom
    if square > residual:
        share = _square_beside(side, rest) / freedom
        yield float((side.sum(axis=0) ** 2).sum()) / len(values) ** 2 / share, square, freedom


def _residual_square(values: Vector, columns: Matrix) -> float:
    """The sum of squares that these columns leave."""
    fitted, *_ = np.linalg.lstsq(columns, values, rcond=None)
    return float(((values - columns @ fitted) ** 2).sum())


def _square_beside(side: Matrix, rest: Matrix) -> float:
    """The sum of squares of the side's columns once the rest is taken off them."""
    off = side - rest @ np.linalg.lstsq(rest, side, rcond=None)[0]
    return float((off**2).sum())


def _membership(members: Sequence[Hashable]) -> Matrix:
    """Which pair (row) is of which member (column)."""
    names = list(dict.fromkeys(members))
    found: Matrix = np.array([[float(one == name) for name in names] for one in members])
    return found
