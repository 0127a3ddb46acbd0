"""Rows as tables of papers: LaTeX with booktabs, and Markdown."""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from lip_ray.store.text_table import Columns, text_of

DIGITS = 4
"""Significant digits of the largest number of a column; all others have as many decimals."""

MOST_DECIMALS = 6
"""Decimals beyond which numbers are written with a power of ten."""

UNKNOWN = ("", "none", "–")
"""Cells of a column of numbers in which there is none."""

NUMBER = r"[−+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"

INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\](.*)", re.DOTALL)
"""A mean, the ends of its interval, and what is said of it."""

SIGNED = re.compile(r"([−+-])(\d[\d,]*(?:\.\d+)?)(.*)", re.DOTALL)

POWER = re.compile(r"([−-]?[\d.]+)e([+-]?\d+)")

MEASURED = re.compile(rf"{NUMBER}(?: \[{NUMBER}, {NUMBER}\])?(?: ?(?:%|[A-Za-zµ]{{1,3}}))?")
"""A number, with its interval and its unit as far as there are."""

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "≤": r"$\le$", "≥": r"$\ge$",
    "→": r"$\to$", "∞": r"$\infty$", "σ": r"$\sigma$", "α": r"$\alpha$", "μ": r"$\mu$",
    "µ": r"$\mu$", "–": "--", "…": r"\ldots{}", "⁻": "$^{-}$", "√": r"$\surd$",
    **{digit: f"$^{place}$" for place, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip
"""What LaTeX would take for commands, or has no letter for."""

MARKDOWN = re.compile(r"([\\`*_|<>\[\]])")


class _Column(NamedTuple):
    name: str
    cells: Sequence[str]
    numeric: bool


def latex(columns: Columns) -> str:
    """A tabular with the lines of booktabs, all text escaped.

    Columns of numbers are aligned to the right and have the same number of decimals each. A mean
    with an interval is written with ±, or with both deviations where they differ.
    """
    made = [_column(name, values) for name, values in columns]
    places = "".join("r" if column.numeric else "l" for column in made)
    heads = [_escaped(column.name) for column in made]
    rows = zip(*(map(_latex_cell, column.cells) for column in made), strict=True)
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{places}}}",
        r"\toprule",
        _latex_row(heads),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "".join(f"{line}\n" for line in lines)


def markdown(columns: Columns) -> str:
    """A table of pipes, all text escaped; numbers, and means with intervals, as in `latex`."""
    made = [_column(name, values) for name, values in columns]
    heads = [_marked(column.name) for column in made]
    rules = ["---:" if column.numeric else "---" for column in made]
    rows = zip(
        *([_marked(_interval(cell, _plus_minus)) for cell in c.cells] for c in made), strict=True
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rules, *rows))


def _column(name: str, values: Sequence[Any]) -> _Column:
    """The cells of a column as text in one line each."""
    known = [value for value in values if value is not None]
    if known and all(_is_number(value) for value in known):
        return _Column(name, _numbers(values), numeric=True)
    cells = [text_of(value, name) for value in values]
    said = [cell for cell in cells if cell not in UNKNOWN]
    numeric = bool(said) and all(MEASURED.fullmatch(cell) for cell in said)
    return _Column(name, [_blank(cell) for cell in cells] if numeric else cells, numeric)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _blank(cell: str) -> str:
    return "–" if cell in UNKNOWN else cell


def _numbers(values: Sequence[Any]) -> list[str]:
    """Numbers of a column with so many decimals that the largest has `DIGITS`; null is a dash."""
    if all(value is None or isinstance(value, int) for value in values):
        return ["–" if value is None else f"{value:,}".replace("-", "−") for value in values]
    known = [float(value) for value in values if value is not None]
    largest = max((abs(value) for value in known if math.isfinite(value)), default=0.0)
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(largest))) if largest else DIGITS - 1
    return ["–" if value is None else _number(float(value), decimals) for value in values]


def _number(value: float, decimals: int) -> str:
    """A number with these decimals; a smaller one that would be written as 0 in two digits."""
    if math.isnan(value):
        return "–"
    text = f"{value:,.{decimals}f}" if decimals <= MOST_DECIMALS else f"{value:.{DIGITS - 1}e}"
    vanishes = value != 0 and math.isfinite(value) and not text.strip("-0.,")
    return (f"{value:.2g}" if vanishes else text).replace("-", "−").replace("e−", "e-")


def _interval(cell: str, said: Callable[[str, str, str], str | None]) -> str:
    """The cell with its interval as `said` of mean and both deviations; the cell without one."""
    found = INTERVAL.fullmatch(cell)
    if not found:
        return cell
    mean, low, high = (
        float(text.replace("−", "-").replace(",", "")) for text in found.groups()[:3]
    )
    decimals = len(found[1].partition(".")[2])
    above, below = (f"{width:.{decimals}f}" for width in (high - mean, mean - low))
    if abs((high - mean) - (mean - low)) < 1.6 * 10**-decimals:  # as far as rounding goes
        above = below = f"{(high - low) / 2:.{decimals}f}"
    written = said(found[1], above, below)
    return cell if written is None else written + found[4]


def _plus_minus(mean: str, above: str, below: str) -> str | None:
    return f"{mean} ± {above}" if above == below else None


def _latex_cell(cell: str) -> str:
    found = INTERVAL.fullmatch(cell)
    if found:
        return _interval(cell[: len(cell) - len(found[4])], _in_math) + _escaped(found[4])
    power = POWER.fullmatch(cell)
    if power:
        return rf"${power[1].replace('−', '-')} \times 10^{{{int(power[2])}}}$"
    signed = SIGNED.fullmatch(cell)
    if signed:
        sign = "+" if signed[1] == "+" else "-"
        return f"${sign}{signed[2]}$".replace(",", "{,}") + _escaped(signed[3])
    return _escaped(cell)


def _in_math(mean: str, above: str, below: str) -> str:
    mean = mean.replace("−", "-").replace(",", "{,}")
    return rf"${mean} \pm {above}$" if above == below else f"${mean}^{{+{above}}}_{{-{below}}}$"


def _latex_row(cells: Sequence[str]) -> str:
    """A row; one that begins with [ or * would be taken for an argument of the one before."""
    row = " & ".join(cells)
    return rf"{{}}{row} \\" if row.startswith(("[", "*")) else rf"{row} \\"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _marked(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", text)
