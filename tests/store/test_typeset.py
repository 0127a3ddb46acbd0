"""Tables of papers: nothing of a name is taken for a command, and numbers stay what they are."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.store import rendered, rendered_texts
from lip_ray.store.typeset import latex, markdown


def body(text: str) -> list[list[str]]:
    """The cells of a tabular's rows, its heads first."""
    rows = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r"\\")]
    return [re.split(r" (?<!\\)& ", row) for row in rows]


def cell_of(value: object) -> str:
    """How LaTeX has one cell."""
    return body(latex([("x", [value])]))[1][0]


def test_a_tabular_of_booktabs() -> None:
    columns = [("Method", ["IMP", "random_2"]), ("PSNR", ["27.30 [26.90, 27.70]", "none"])]
    assert latex(columns) == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "Method & PSNR \\\\\n"
        "\\midrule\n"
        "IMP & $27.30 \\pm 0.40$ \\\\\n"
        "random\\_2 & -- \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+0.30 [−0.10, +0.70]", r"$+0.30 \pm 0.40$"),
        ("−0.02 [−0.05, 0.01] rounding", r"$-0.02 \pm 0.03$ rounding"),
        ("27.30 [26.90, 29.70]", "$27.30^{+2.40}_{-0.40}$"),
        ("27.30 [26.90, 27.69]", r"$27.30 \pm 0.40$"),
        ("−0.12", "$-0.12$"),
        ("−1,234.5 s", "$-1{,}234.5$ s"),
        ("41.5 s", "41.5 s"),
        ("by 50 %", r"by 50 \%"),
        ("σ = 25", r"$\sigma$ = 25"),
        (r"\input{x} & 3_2 #1 ~^", r"\textbackslash{}input\{x\} \& 3\_2 \#1 "
         r"\textasciitilde{}\textasciicircum{}"),
        ("two\nlines", r"two\textbackslash{}nlines"),
        (None, ""),
        (True, "True"),
        (1234, "1,234"),
        (-3, "$-3$"),
        (2.5e-9, r"$2.500 \times 10^{-9}$"),
        ('"a" `b`', r"\symbol{34}a\symbol{34} \textasciigrave{}b\textasciigrave{}"),
        ("a--b ''c'' ,,d", "a-{}-b '{}'c'{}' ,{},d"),
        ("1–2", "1--2"),
        ("Σ λ ≈ ∂", r"$\Sigma$ $\lambda$ $\approx$ $\partial$"),
        ("x₀⁻¹", "x$_0$$^{-}$$^1$"),
        ("a\u0301\u200bb", "áb"),
        ("1\u202f000", r"1\,000"),
        ("1.2e-05 [1.0e-05, 1.4e-05]", "1.2e-05 [1.0e-05, 1.4e-05]"),
    ],
)  # fmt: skip
def test_cells(value: object, shown: str) -> None:
    assert cell_of(value) == shown


@pytest.mark.parametrize("cell", ["[2pt]", "*"])
def test_no_row_is_an_argument_of_the_one_before(cell: str) -> None:
    assert rf"{{}}{cell} \\" in latex([("x", ["a", cell])]).splitlines()


def test_a_name_stays_in_one_line() -> None:
    columns = [("a\n\nb", [1])]
    assert r"a\textbackslash{}n\textbackslash{}nb \\" in latex(columns)
    assert markdown(columns).startswith("| a\\\\n\\\\nb |\n")


def test_long_texts_are_broken_into_lines() -> None:
    columns = [("a", ["word " * 9]), ("b", ["b" * 41]), ("c", ["c" * 40]), ("n", [1])]
    text = latex(columns)
    broken = r">{\raggedright\arraybackslash}p{0.30\linewidth}"
    assert rf"\begin{{tabular}}{{{broken}{broken}lr}}" in text
    assert text.startswith("% needs \\usepackage{array,booktabs}\n\\begin")


def test_a_tabular_says_what_it_needs() -> None:
    assert "T1" not in latex([("Erdős", ["é ß ł — “q” €"])])
    assert latex([("«x»", ["ą"])]).splitlines()[1] == r"% needs \usepackage[T1]{fontenc}"
    needs = latex([("ħ", ["漢 σ"])]).splitlines()[1]
    assert needs == "% needs XeLaTeX or LuaLaTeX, and a font that has ħ 漢"


def test_a_column_of_numbers_has_its_decimals() -> None:
    found = body(latex([("x", [27.346, 5.0, 0.001, -1.0, None, float("nan")])]))
    assert [row[0] for row in found[1:]] == ["27.35", "5.00", "0.001", "$-1.00$", "--", "--"]
    assert markdown([("density", [1.0, 0.5, 0.03])]).splitlines()[2:] == [
        "| 1.000 |", "| 0.500 |", "| 0.030 |",
    ]  # fmt: skip


def test_markdown() -> None:
    columns = [("a|b", ["*x*", "<i>"]), ("n", ["1.00 [0.50, 1.50]", "−2.00 [−9.00, −1.00]"])]
    assert markdown(columns) == (
        "| a\\|b | n |\n"
        "| --- | ---: |\n"
        "| \\*x\\* | 1.00 ± 0.50 |\n"
        "| \\<i\\> | −2.00 \\[−9.00, −1.00\\] |\n"
    )


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4))
def test_text_is_text_in_every_row(rows: list[tuple[str, str]]) -> None:
    columns = [("x", [a for a, _ in rows]), ("y", [b for _, b in rows])]
    for line in latex(columns).partition("\\midrule\n")[2].splitlines()[:-2]:
        bare = re.sub(r"\\(?:[&%$#_{},]|text\w+{}|ldots{}|symbol{34}|\\$)", "", line)
        bare = re.sub(r"\$[^$]*\$", "", bare)
        assert bare.count("&") == 1
        assert not set(bare) & set("\\%#_~^")
    assert len(markdown(columns).splitlines()) == 2 + len(rows)


def test_answers_of_queries_have_both() -> None:
    answer = pa.table({"pruner": ["snip"], "n": [3]})
    assert b"snip & 3" in rendered(answer, "latex")
    assert rendered(answer, "markdown").endswith(b"| snip | 3 |\n")
    assert rendered(pa.table({}), "markdown") == b"|  |\n|  |\n"


def test_rows_of_texts_have_every_format() -> None:
    heads, rows = ["Method", "To native"], [["IMP", "−0.30"]]
    assert rendered_texts(heads, rows, "csv") == b'"Method","To native"\n"IMP","-0.30"\n'
    assert rendered_texts(heads, rows, "json") == b'[{"Method": "IMP", "To native": "-0.30"}]\n'
    assert b"IMP & $-0.30$" in rendered_texts(heads, rows, "latex")
    assert "−0.30" in rendered_texts(heads, rows, "table").decode()
    assert rendered_texts(heads, [], "csv") == b'"Method","To native"\n'
