"""Query results for other programs: CSV, JSON, Parquet, or a plain table for people."""

import base64
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

Format = Literal["table", "csv", "json", "parquet"]

CELL_WIDTH = 60


def rendered(result: pa.Table, form: Format) -> bytes:
    """The result in the given format; all but parquet are UTF-8 text.

    JSON is a list of objects, without NaN or infinity (null); bytes are base64 in CSV and JSON.
    """
    return FORMATS[form](result)


def _parquet(result: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(result, sink, compression="zstd")
    return bytes(sink.getvalue())


def _json(result: pa.Table) -> bytes:
    rows = ",\n".join(json.dumps(_plain(row)) for row in result.to_pylist())
    return f"[{rows}]\n".encode()


def _csv(result: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(_flat(result), sink)
    return bytes(sink.getvalue())


def _flat(result: pa.Table) -> pa.Table:
    """Lists, structures and bytes as JSON text: a CSV cell holds one value."""
    for place, column in enumerate(result.schema):
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            values = result.column(place).to_pylist()
            texts = [None if v is None else json.dumps(_plain(v)) for v in values]
            result = result.set_column(place, column.name, pa.array(texts, pa.string()))
    return result


def _table(result: pa.Table) -> bytes:
    """Aligned columns as text, with wide cells cut short."""
    if not result.num_rows:
        return ("  ".join(result.column_names) + "\n").encode()
    frame = result.to_pandas(types_mapper=pd.ArrowDtype)  # keeps integers whole beside nulls
    shown = frame.astype(object).where(frame.notna(), "")
    text = shown.to_string(index=False, max_colwidth=CELL_WIDTH, float_format="{:.6g}".format)
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: without bytes, times, NaN or infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


FORMATS: dict[Format, Callable[[pa.Table], bytes]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
