"""A table or view as one file, for other programs."""

from pathlib import Path

from lip_ray.outputs import write_whole
from lip_ray.store.formats import rendered
from lip_ray.store.paths import StoreError
from lip_ray.store.reader import Reader
from lip_ray.store.tables import require_known
from lip_ray.store_names import Format

SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".csv": "csv"}


def export(store: str | Path | Reader, table: str, output: Path, *, overwrite: bool = False) -> int:
    r"""Write all rows of a table or view to a file, Parquet or CSV by its suffix; the number of
    rows.

    The file appears whole or not at all; a reader names the damaged files that it left out. Raises
    QueryError for a table that does not exist, and StoreError for another suffix, for an existing
    file unless `overwrite`, for one that cannot be
    written, and for a store that cannot be read.
    """
    form = _form(output)
    require_known(table)
    if output.exists() and not overwrite:
        raise StoreError(f"{output} is there already: nothing was written over it")
    reader = store if isinstance(store, Reader) else Reader(store)
    rows = reader.sql(f"from {table}")
    _put(output, rendered(rows, form))
    return int(rows.num_rows)


def _form(output: Path) -> Format:
    try:
        return SUFFIXES[output.suffix.lower()]
    except KeyError:
        allowed = " or ".join(SUFFIXES)
        raise StoreError(f"{output}: the name must end in {allowed}") from None


def _put(output: Path, content: bytes) -> None:
    if not output.parent.is_dir():
        raise StoreError(f"{output} cannot be written: there is no folder {output.parent}")
    try:
        write_whole(output, content)
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror or error}") from error
