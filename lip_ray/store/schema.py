"""The registry's stored tables as Arrow schemas.

Strings, not dictionaries: files hold a few rows each.
"""

import pyarrow as pa

from lip_ray.columns import REGISTRY, Column, Type
from lip_ray.columns import VERSION as VERSION

VERSION_KEY = "lip_ray_schema"
"""The key of the schema version in the metadata of every file."""


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of columns of the registry, in their order."""
    return pa.schema([(column.name, _arrow_type(column.type)) for column in columns])


def _arrow_type(name: Type) -> pa.DataType:
    item = name.removeprefix("list of ")
    kind = pa.type_for_alias(item)
    return kind if item == name else pa.list_(kind)


TABLES: dict[str, pa.Schema] = {
    name: arrow_schema(table.stored) for name, table in REGISTRY.items() if table.stored
}
"""The schemas of all tables that files hold, in the registry's order."""

PACKED = frozenset({"masks", "networks", "sweeps", "weights"})
"""Tables worth compressing: loose files of the others would grow by it, or hold PNGs."""
