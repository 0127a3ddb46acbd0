"""Sections as Dash components: no markup reaches a browser, whatever the names in a store are.

Figures and their controls are the live page's own; pictures are left to the page as a file.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from dash import html

from ..page.section import (
    MOST_ROWS,
    Block,
    Emphasis,
    Facts,
    Faint,
    Fold,
    Heading,
    Rows,
    Table,
    Text,
    Words,
)


def components(blocks: Iterable[Block]) -> list[Any]:
    """The words and the tables among these blocks."""
    return [one for block in blocks for one in _components(block)]


def inline(words: Words) -> list[Any]:
    """Running text as components."""
    return [_run(run) for run in ([words] if isinstance(words, str) else words)]


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


def _run(run: str | Emphasis) -> Any:
    if isinstance(run, str):
        return run
    return html.B(run.text) if run.strong else html.I(run.text)


def _folded(title: str, inside: list[Any]) -> Any:
    return html.Details([html.Summary(title), *inside])


def _table(block: Table) -> list[Any]:
    first, *more = (_rows(block.heads, *part) for part in block.parts)
    folded = [_folded(f"{len(block.rows) - MOST_ROWS:,} more rows", [rows]) for rows in more]
    return [html.H3(block.title), html.P(inline(block.note)), first, *folded]


def _rows(heads: Sequence[str], title: str, label: str, rows: Rows, kinds: Sequence[str]) -> Any:
    looks: list[dict[str, Any]] = [{"className": kind} if kind else {} for kind in kinds]
    head = [html.Th(name, scope="col", **look) for name, look in zip(heads, looks, strict=True)]
    body = [
        html.Tr([html.Th(first, scope="row"), *map(_cell, rest, looks[1:])])
        for first, *rest in rows
    ]
    named: tuple[Any, Any] = {"aria-label": label}, {"aria-label": title}
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(body)], **named[0])
    return html.Div(table, className="wide", role="region", tabIndex="0", **named[1])


def _cell(text: str, look: dict[str, Any]) -> Any:
    inside = html.Span(text, className="faint") if isinstance(text, Faint) else text
    return html.Td(inside, **look)
