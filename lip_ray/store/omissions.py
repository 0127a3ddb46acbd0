"""Rows that a published store was made without: known ones, so that they are not taken for lost.

They are rows of the table `omissions`, one per level and table, which `lip store publish` writes in
parts alone. The name that a part has for such a row says all of it.
"""

from collections.abc import Iterable

import pyarrow as pa

from lip_ray.store.manifest import FILE, part_schema
from lip_ray.store.paths import level_of

BULKY = ("curves", "masks", "weights", "networks", "reconstructions", "pictures")
"""Tables with rows per level that take most of a store, and that a published one may lack."""


def omission_of(table: str, stem: str) -> str:
    """The name of the row which says that the rows of a file, by its name, were left out."""
    return f"{stem}-{table}"


def file_of(omission: str) -> tuple[str, str]:
    """The table and the name of the file that an omission is about."""
    stem, _, table = omission.rpartition("-")
    return table, stem


def rows_of(omissions: Iterable[str]) -> pa.Table:
    """Rows of `omissions` for parts, in order."""
    rows = []
    for name in sorted(omissions):
        table, stem = file_of(name)
        found = level_of(stem)
        if found is not None:
            trial_id, level = found
            rows.append({"trial_id": trial_id, "level": level, "omitted": table, FILE: name})
    return pa.Table.from_pylist(rows, part_schema("omissions"))
