"""The file that makes a folder a store, and says which layout it has."""

import errno
import json
from contextlib import suppress

from lip_ray.store.files import Files
from lip_ray.store.paths import StoreError
from lip_ray.store.schema import VERSION
from lip_ray.store_names import MARKER


def mark(files: Files) -> None:
    """Make the folder a store of the present layout, unless it is a store already."""
    if not files.exists(MARKER):
        with suppress(IsADirectoryError):  # whoever reads it says so
            files.publish(MARKER, _today())


def renew(files: Files) -> None:
    r"""Set the layout to the present one, as versions that do not know it would miss rows.

    Raises an OSError where that cannot be written.
    """
    if files.read(MARKER) != _today():
        files.replace(MARKER, _today())


def check_there(files: Files) -> None:
    """Raise an OSError unless the store is there: under a lost mount lies another disk."""
    try:
        files.modified(MARKER)
    except FileNotFoundError as error:
        missing = f"there is no store there (no {MARKER})"
        raise FileNotFoundError(errno.ENOENT, missing, files.where) from error


def check_version(files: Files) -> None:
    """Raise StoreError unless this lip-ray knows the store's layout."""
    try:
        version = json.loads(files.read(MARKER))["schema_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{files.where}/{MARKER} cannot be read: {error}") from error
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise StoreError(
            f"{files.where} has schema version {version}, this lip-ray knows 1 to {VERSION}: "
            "use the lip-ray that wrote it, or a newer one"
        )


def _today() -> bytes:
    return json.dumps({"schema_version": VERSION}).encode()
