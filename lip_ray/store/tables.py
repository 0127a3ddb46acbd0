"""The registry of columns as text: `lip tables` and docs/tables.md."""

from collections.abc import Collection, Iterator, Sequence

from lip_ray.columns import REGISTRY, Table
from lip_ray.names import hint
from lip_ray.store.paths import QueryError


def require_known(table: str, *, also: Collection[str] = ()) -> None:
    """Raise QueryError, with the nearest name, unless there is such a table or view, or it is one
    of those that there are `also`."""
    known = [*REGISTRY, *also]
    if table not in known:
        near = hint(table, known)
        raise QueryError(f"there is no table {table!r}; {near}there are: {', '.join(known)}")


def described(table: str | None = None) -> str:
    """The columns of a table or view, or of all, with types and units, as Markdown.

    Raises QueryError for one that is not there.
    """
    if table is not None:
        require_known(table)
    chosen = [REGISTRY[table]] if table else list(REGISTRY.values())
    return "\n".join(_lines(chosen)) + "\n"


def _lines(tables: Sequence[Table]) -> Iterator[str]:
    yield "# Tables and views"
    for table in tables:
        yield from ("", f"## {table.name}", "", table.about, "")
        yield from ("| column | type | meaning |", "|---|---|---|")
        for column in table.columns:
            yield f"| {column.name} | {column.type} | {column.meaning} |"
