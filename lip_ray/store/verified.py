"""A file whose bytes are compared with their checksums before anybody sees them."""

from collections.abc import Callable
from io import SEEK_CUR, SEEK_SET, RawIOBase
from threading import local

from lip_ray.store.paths import Damaged
from lip_ray.store.seal import Outline, ReadBetween

SCHEME = "lip-ray"
"""How the paths of such files begin in SQL: lip-ray://compacted/levels-01234567.parquet."""


class VerifiedFile(RawIOBase):
    """A file that is read from any place, by any number of threads at once."""

    def __init__(self, outline: Outline, read: ReadBetween, damage: Callable[[], Damaged]) -> None:
        """`damage` makes the error of a file whose bytes do not fit."""
        self._outline = outline
        self._read = read
        self._damage = damage
        self._place = local()
        """Where each thread stands: DuckDB seeks first, and reads then."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._outline.size

    def again(self) -> "VerifiedFile":
        """The same file, to be read from its start."""
        return VerifiedFile(self._outline, self._read, self._damage)

    def readable(self) -> bool:
        """Whether it can be read, which is always so."""
        return True

    def seekable(self) -> bool:
        """Whether one can go to any place in it, which is always so."""
        return True

    def tell(self) -> int:
        """The place where this thread stands."""
        return getattr(self._place, "now", 0)

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Move this thread to a place; the place."""
        base = (
            0 if whence == SEEK_SET else self.tell() if whence == SEEK_CUR else self._outline.size
        )
        self._place.now = base + offset
        return self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes from where this thread stands. Raises Damaged."""
        start = self.tell()
        left = max(0, self._outline.size - start)
        end = start + (left if size is None or size < 0 else min(size, left))
        self._place.now = end
        return self._verified(start, end)

    def _verified(self, start: int, end: int) -> bytes:
        blocks, tail = self._outline.blocks, self._outline.tail
        if blocks is None:
            [content] = self._read(start, end)
            return content
        if start >= blocks.end:
            return tail[start - blocks.end : end - blocks.end]
        last = min(end, blocks.end)
        first_block, last_block = blocks.around(start, last)
        pieces = self._read(first_block, start, last, last_block)
        if not blocks.fit(first_block, last_block, pieces):
            raise self._damage()
        return pieces[1] + tail[: end - last] if end > last else pieces[1]
