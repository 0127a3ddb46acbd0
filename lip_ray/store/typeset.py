"""Rows as tables of papers: LaTeX with booktabs, and Markdown."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from lip_ray.errors import one_line
from lip_ray.store.text_table import Columns, text_of

DIGITS = 4
"""Significant digits of the largest number of a column; all others have as many decimals."""

MOST_DECIMALS = 6
"""Decimals beyond which numbers are written with a power of ten."""

UNKNOWN = ("", "none", "–")
"""Cells of a column of numbers in which there is none."""

DECIMAL = r"[−+-]?\d[\d,]*(?:\.\d+)?"

NUMBER = rf"{DECIMAL}(?:e[+-]?\d+)?"

INTERVAL = re.compile(rf"({DECIMAL}) \[({DECIMAL}), ({DECIMAL})\](.*)", re.DOTALL)
"""A mean, the ends of its interval, and what is said of it."""

SIGNED = re.compile(r"([−+-])(\d[\d,]*(?:\.\d+)?)(.*)", re.DOTALL)

POWER = re.compile(r"([−-]?[\d.]+)e([+-]?\d+)")

MEASURED = re.compile(rf"{NUMBER}(?: \[{NUMBER}, {NUMBER}\])?(?: ?(?:%|[A-Za-zµ]{{1,3}}))?")
"""A number, with its interval and its unit as far as there are."""

GREEK = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", (
        "alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "varphi", "chi", "psi",
        "omega",
    ), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΥΦΨΩ", (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
    ), strict=True)),
    "µ": "mu",
}  # fmt: skip

MATHEMATICS = {
    "−": "-", "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "⊙": r"\odot",
    "≤": r"\le", "≥": r"\ge", "≈": r"\approx", "≠": r"\ne", "∈": r"\in", "→": r"\to",
    "←": r"\leftarrow", "↔": r"\leftrightarrow", "∞": r"\infty", "√": r"\surd", "∂": r"\partial",
    "∇": r"\nabla", "∑": r"\sum", "∏": r"\prod", "‖": r"\|", "⌈": r"\lceil", "⌉": r"\rceil",
    "⌊": r"\lfloor", "⌋": r"\rfloor", "⟨": r"\langle", "⟩": r"\rangle", "⁻": "^{-}", "⁺": "^{+}",
    "ᵀ": "^{T}",
    **{digit: f"^{place}" for place, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{digit: f"_{place}" for place, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{letter: rf"\{name}" for letter, name in GREEK.items()},
}  # fmt: skip

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\symbol{34}",
    "`": r"\textasciigrave{}", "–": "--", "…": r"\ldots{}", "\u2009": r"\,", "\u202f": r"\,",
    **{character: f"${formula}$" for character, formula in MATHEMATICS.items()},
}  # fmt: skip
"""What LaTeX would take for commands, or has no letter for."""

DOUBLED = "-',"
"""Characters of which LaTeX makes a dash or a quotation mark where two stand together."""

ONLY_IN_T1 = frozenset("«»ÐÞðþĄąĐđĘęĮįŊŋŲų‚„‹›")
"""Letters and signs that the font encoding T1 has, and LaTeX's default OT1 has not."""

OF_ANY_ENGINE = ONLY_IN_T1 | {*map(chr, range(0xA0, 0x180)), *"ȘșȚț‐‑‒—―‘’“”†‡•‰€№™↑↓ﬀﬁﬂﬃﬄ"} - {
    *"ĦħĸĿŀŉŦŧſ"
}
"""Characters beyond ASCII that pdfLaTeX sets as they are."""

LONG = 40
"""The characters of a text that a column sets in one line; longer ones are broken into lines."""

LONG_SHARE = 0.6
"""The share of the width of a line that all columns of long texts have together."""

MARKDOWN = re.compile(r"([\\`*_|<>\[\]])")


class _Column(NamedTuple):
    name: str
    cells: Sequence[str]
    numeric: bool

    @property
    def long(self) -> bool:
        """Whether a text among its cells is too long for one line."""
        return not self.numeric and max(map(len, self.cells), default=0) > LONG


def latex(columns: Columns) -> str:
    """A tabular with the lines of booktabs, all text escaped.

    Columns of numbers are aligned to the right and have the same number of decimals each. A mean
    with an interval is written with ±, or with both deviations where they differ. Texts of more
    than `LONG` characters are broken into lines. Comments above the tabular say what it needs.
    """
    made = [_column(name, values) for name, values in columns]
    heads = [_escaped(column.name) for column in made]
    rows = zip(*(map(_latex_cell, column.cells) for column in made), strict=True)
    lines = [
        rf"\begin{{tabular}}{{{_places(made)}}}",
        r"\toprule",
        _latex_row(heads),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "".join(f"{line}\n" for line in (*_needs(made, set("".join(lines))), *lines))


def _places(made: Sequence[_Column]) -> str:
    """How a tabular aligns its columns; those of long texts share the width that is theirs."""
    long = sum(column.long for column in made)
    width = LONG_SHARE / long if long else 0
    broken = rf">{{\raggedright\arraybackslash}}p{{{width:.2f}\linewidth}}"
    return "".join("r" if one.numeric else broken if one.long else "l" for one in made)


def _needs(made: Sequence[_Column], characters: set[str]) -> Iterator[str]:
    """Comments: what a document with this tabular needs."""
    packages = ["array", "booktabs"] if any(column.long for column in made) else ["booktabs"]
    yield rf"% needs \usepackage{{{','.join(packages)}}}"
    if characters & ONLY_IN_T1:
        yield r"% needs \usepackage[T1]{fontenc}"
    others = sorted(one for one in characters - OF_ANY_ENGINE if not one.isascii())
    if others:
        yield f"% needs XeLaTeX or LuaLaTeX, and a font that has {' '.join(others)}"


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
    """The cells of a column, and its name, as text in one line each."""
    name = one_line(name)
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
    """The text as LaTeX sets it, accents joined to their letters, without invisible characters."""
    shown = [one for one in unicodedata.normalize("NFC", text) if unicodedata.category(one) != "Cf"]
    return "".join(
        "{}" * (one in DOUBLED and one == before) + LATEX.get(one, one)
        for before, one in zip(["", *shown], shown, strict=False)
    )


def _marked(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", text)
