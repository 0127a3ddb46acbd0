"""A store's files as a file system for DuckDB, which is read only.

Whatever DuckDB decodes of a file has been compared with its checksum, and no more of it is read.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fsspec import AbstractFileSystem

from lip_ray.store.verified import SCHEME, VerifiedFile

UNCHANGED = datetime.fromtimestamp(0, UTC)


class VerifiedFiles(AbstractFileSystem):  # type: ignore[misc] # it has no types
    """The files of one store by their names, for one query, during which none changes."""

    protocol = SCHEME
    cachable = False

    def __init__(self, opened: Callable[[str], VerifiedFile]) -> None:
        """Files are `opened` once, when they are needed."""
        super().__init__()
        self._opened = cache(opened)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: no name has wildcards."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:
        """True: whoever opens a file that is gone is told then."""
        return True

    def size(self, path: str) -> int:
        """The number of bytes."""
        return self._file(path).size

    def modified(self, path: str) -> datetime:
        """Always the same time."""
        return UNCHANGED

    def open(self, path: str, *_: Any, **__: Any) -> VerifiedFile:
        """The file, to be read only. Raises Damaged and FileNotFoundError."""
        return self._file(path).again()

    def _file(self, path: str) -> VerifiedFile:
        return self._opened(path.removeprefix(f"{SCHEME}://"))
