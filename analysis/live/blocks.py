"""Sections as Dash components: no markup reaches a browser, whatever the names in a store are.

Figures and their controls are the live page's own; pictures are left to the page as a file.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from dash import html

from ..page.section import Block, Emphasis, Facts, Faint, Fold, Heading, Strong, Table, Text, Words


def components(blocks: Iterable[Block]) -> list[Any]:
    """The words and the tables among these blocks."""
    return [one for block in blocks for one in _components(block)]


def inline(words: Words) -> list[Any]:
    """Running text as components."""
    return [_run(run) for run in ((words,) if isinstance(words, str) else words)]


def _components(block: Block) -> list[Any]:
    match block:
        case Text():
            return [html.P(inline(block.words))]
        case Heading():
            return [html.H3(block.text)]
        case Facts():
            pairs = ((html.Dt(name), html.Dd(value)) for name, value in block.rows.items())
            return [_folded(block.title, [html.Dl([*chain.from_iterable(pairs)])])]
        case Table():
            return _table(block)
        case Fold() if not block.pictured:
            return [_folded(block.title, components(block.blocks))]
    return []


def _run(run: str | Strong | Emphasis) -> Any:
    match run:
        case Strong():
            return html.B(run.text)
        case Emphasis():
            return html.I(run.text)
    return run


def _folded(title: str, inside: list[Any]) -> Any:
    return html.Details([html.Summary(title), *inside])


def _table(block: Table) -> list[Any]:
    first, *more = (_rows(block.heads, *part) for part in block.parts)
    count = len(block.rows) - len(next(block.parts)[2])
    folded = [_folded(f"{count:,} more rows", [rows]) for rows in more]
    return [html.H3(block.title), html.P(inline(block.note)), first, *folded]


def _rows(
    heads: Sequence[str],
    title: str,
    label: str,
    rows: Sequence[Sequence[str]],
    kinds: Sequence[str],
) -> Any:
    head = [
        html.Th(name, scope="col", **_look(kind)) for name, kind in zip(heads, kinds, strict=True)
    ]
    body = [html.Tr(_row(cells, kinds)) for cells in rows]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(body)], **_named(label))
    return html.Div(table, className="wide", role="region", tabIndex="0", **_named(title))


def _row(cells: Sequence[str], kinds: Sequence[str]) -> list[Any]:
    head, *rest = cells
    columns = zip(rest, kinds[1:], strict=True)
    body = (html.Td(_cell(text), **_look(kind)) for text, kind in columns)
    return [html.Th(head, scope="row"), *body]


def _cell(text: str) -> Any:
    return html.Span(text, className="faint") if isinstance(text, Faint) else text


def _look(kind: str) -> dict[str, Any]:
    return {"className": kind} if kind else {}


def _named(label: str) -> dict[str, Any]:
    return {"aria-label": label}
