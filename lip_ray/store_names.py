"""What is known of stores before one is read: their marker, formats of answers, names of limits.

The command line says these in its help and completes them, and must not import what reads a store
for that.
"""

from typing import Literal

MARKER = "lip-ray-store.json"
"""The file that makes a folder a store."""

Format = Literal["table", "csv", "json", "parquet", "lines", "latex", "markdown"]
"""What an answer may be written as."""

FOR_PEOPLE: tuple[Format, ...] = ("table", "lines")
"""The formats that fit their terminal."""

MEMORY, THREADS, SPILL = "LIP_RAY_MEMORY", "LIP_RAY_THREADS", "LIP_RAY_SPILL"
"""The environment variables that limit queries."""

MOST_MEMORY, MOST_SPILL = "50%", "10GB"
"""The limits of queries by default, as `lip_ray.store.Limits` reads them."""
