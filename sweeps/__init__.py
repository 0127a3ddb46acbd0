"""The shipped sweeps, and what was written down of sweep files: their JSON schema, by which editors
check them, and the reference that `lip explain` reads."""

from pathlib import Path

FOLDER = Path(__file__).parent
SCHEMA = FOLDER / "schema.json"
REFERENCE = FOLDER / "reference.json"
