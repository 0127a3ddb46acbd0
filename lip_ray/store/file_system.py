"""A store's files as a file system for DuckDB, which is read only.

Whatever DuckDB decodes of a file has been compared with its checksum, and no more of it is read.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

from fsspec import AbstractFileSystem

from lip_ray.store.verified import SCHEME, VerifiedFile

_times = count()


class VerifiedFiles(AbstractFileSystem):  # type: ignore[misc] # it has no types
    """Files of one store by their names, for one query, during which none changes."""

    protocol = SCHEME
    cachable = False

    def __init__(self, opened: Callable[[str], VerifiedFile], names: Collection[str]) -> None:
        """Files with these names, and no others, are `opened` once, when they are needed."""
        super().__init__()
        self._opened = cache(opened)
        self._names = frozenset(names)
        self._time = datetime.fromtimestamp(next(_times), UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself, as no name has wildcards; nothing where it is another one."""
        return [path] if _name(path) in self._names else []

    def exists(self, path: str, **_: Any) -> bool:
        """True: whoever opens a file that is gone is told then."""
        return True

    def size(self, path: str) -> int:
        """The number of bytes."""
        return self._file(path).size

    def modified(self, path: str) -> datetime:
        """A time of this query's own: another may be of files with the same names, whose footers
        DuckDB remembers."""
        return self._time

    def open(self, path: str, *_: Any, **__: Any) -> VerifiedFile:
        """The file, to be read only. Raises Damaged and FileNotFoundError."""
        return self._file(path).again()

    def _file(self, path: str) -> VerifiedFile:
        return self._opened(_name(path))


def _name(path: str) -> str:
    return path.removeprefix(f"{SCHEME}://")
