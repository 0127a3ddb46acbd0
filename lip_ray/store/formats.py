"""Rows for other programs, as CSV, JSON or Parquet; for papers; or plain tables for people."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lip_ray.store import typeset
from lip_ray.store.text_table import Columns, TextTable, as_lines, as_table, interval
from lip_ray.store_names import FOR_PEOPLE, Format


def rendered(result: pa.Table, form: Format) -> bytes:
    """The result in the given format; all but parquet are UTF-8 text.

    A table and lines are for people, LaTeX and Markdown for papers; all of these round numbers.
    JSON is a list of objects, without NaN or infinity (null); bytes are base64 in CSV and JSON.
    Programs need names that differ: of columns of one name the second gets _1, and so on. Intervals
    are text.
    """
    if form in FOR_PEOPLE:
        return for_people(result, form).text.encode(errors="backslashreplace")
    return FORMATS[form](_named_apart(result))


def rendered_texts(heads: Sequence[str], rows: Iterable[Sequence[str]], form: Format) -> bytes:
    """Rows of texts in the given format, as `rendered` has the result of a query.

    Programs get a minus sign that they read as one.
    """
    texts = list(rows)
    if form in ("csv", "json"):
        texts = [[cell.replace("−", "-") for cell in row] for row in texts]
    columns = [pa.array([row[place] for row in texts], pa.string()) for place in range(len(heads))]
    return rendered(pa.Table.from_arrays(columns, names=list(heads)), form)


def for_people(
    result: pa.Table, form: str, *, width: int | None = None, most_rows: int | None = None
) -> TextTable:
    """The result as a table or as lines, within a width and so many rows; and what is not shown."""
    rows = result.num_rows if most_rows is None else min(most_rows, result.num_rows)
    columns = _columns(result.slice(0, rows))
    text, notes = as_lines(columns) if form == "lines" else as_table(columns, width=width)
    if rows < result.num_rows:
        first = f"the first {rows:,} of {result.num_rows:,} rows are shown: --rows 0 shows all"
        notes = (first, *notes)
    return TextTable(text, notes)


def _parquet(result: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_without_intervals(result), sink, compression="zstd")
    return bytes(sink.getvalue())


def _json(result: pa.Table) -> bytes:
    columns = _columns(result)
    names = [name for name, _ in columns]
    rows = zip(*(values for _, values in columns), strict=True)
    texts = ",\n".join(json.dumps(_plain(dict(zip(names, row, strict=True)))) for row in rows)
    return f"[{texts}]\n".encode()


def _csv(result: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(_flat(result), sink)
    return bytes(sink.getvalue())


def _flat(result: pa.Table) -> pa.Table:
    """Lists, structures and bytes as JSON text, and text of what CSV has no word for."""
    for place, column in enumerate(result.schema):
        if _fits_a_cell(column.type):
            continue
        values = map(_plain, _values(result.column(place)))
        texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
        result = result.set_column(place, column.name, pa.array(texts, pa.string()))
    return result


def _fits_a_cell(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_date(kind)
        or (types.is_timestamp(kind) and kind.tz is None)
    )


def _columns(result: pa.Table) -> Columns:
    """Names, of which two may be the same, with Python's values."""
    return [
        (name, _values(column))
        for name, column in zip(result.column_names, result.columns, strict=True)
    ]


def _values(column: pa.ChunkedArray) -> Sequence[Any]:
    """Python's values; text of dates that Python's calendar does not have."""
    try:
        values: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    except (OverflowError, ValueError, KeyError):
        values = column.cast(pa.string()).to_pylist()
    return values


def _named_apart(result: pa.Table) -> pa.Table:
    """With names that differ: n, n_1, n_2."""
    taken = set(result.column_names)
    names: list[str] = []
    for name in result.column_names:
        tries = (f"{name}_{number}" for number in count(1))
        names.append(name if name not in names else next(one for one in tries if one not in taken))
        taken.add(names[-1])
    return result.rename_columns(names) if names != result.column_names else result


def _without_intervals(result: pa.Table) -> pa.Table:
    """With text in place of intervals, which Parquet does not have."""
    for place, column in enumerate(result.schema):
        kind = _without_interval(column.type)
        if kind != column.type:
            values = [_worded(value) for value in result.column(place).to_pylist()]
            result = result.set_column(place, column.name, pa.array(values, kind))
    return result


def _without_interval(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_interval(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_interval(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_without_interval(kind.value_type), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([one.with_type(_without_interval(one.type)) for one in kind])
    if pa.types.is_map(kind):
        return pa.map_(_without_interval(kind.key_type), _without_interval(kind.item_type))
    return kind


def _worded(value: Any) -> Any:
    """A value with intervals in words."""
    if isinstance(value, pa.MonthDayNano):
        return interval(*value)
    if isinstance(value, dict):
        return {key: _worded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_worded, value))
    return value


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: without bytes, times, NaN or infinity."""
    if isinstance(value, pa.MonthDayNano):
        return interval(*value)
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _latex(result: pa.Table) -> bytes:
    return typeset.latex(_columns(result)).encode(errors="backslashreplace")


def _markdown(result: pa.Table) -> bytes:
    return typeset.markdown(_columns(result)).encode(errors="backslashreplace")


FORMATS: dict[Format, Callable[[pa.Table], bytes]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "latex": _latex,
    "markdown": _markdown,
}
