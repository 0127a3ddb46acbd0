"""The file that makes a folder a store, and says which layout it has."""

import errno
import json
from contextlib import suppress

from lip_ray.store.files import Files
from lip_ray.store.paths import MARKER, StoreError
from lip_ray.store.schema import VERSION


def mark(files: Files) -> None:
    """Make it a store of today's layout, unless it is one already."""
    if not files.exists(MARKER):
        with suppress(IsADirectoryError):  # whoever reads it says so
            files.publish(MARKER, _today())


def renew(files: Files) -> None:
    """Have it say today's layout: a lip-ray that does not know it would miss rows.

    Raises an OSError where that cannot be written.
    """
    if files.read(MARKER) != _today():
        files.replace(MARKER, _today())


def check_there(files: Files) -> None:
    """Raise an OSError unless the store is there: below a mount that is gone lies another disk."""
    try:
        files.modified(MARKER)
    except FileNotFoundError as error:
        missing = f"there is no store there (no {MARKER})"
        raise FileNotFoundError(errno.ENOENT, missing, files.where) from error


def check_version(files: Files) -> None:
    """Raise StoreError unless this lip-ray knows the store's layout."""
    try:
        version = json.loads(files.read(MARKER))["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{files.where}/{MARKER} cannot be read: {error}") from error
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise StoreError(
            f"{files.where} has schema version {version}, this lip-ray knows 1 to {VERSION}: "
            "use the lip-ray that wrote it, or a newer one"
        )


def _today() -> bytes:
    return json.dumps({"schema_version": VERSION}).encode()
