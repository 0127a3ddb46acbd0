"""Checksums in every Parquet file, over all its bytes.

Neither page checksums nor Parquet's readers tell a flipped bit in a footer, and DuckDB verifies no
page. So each file carries CRC-32s in its key-value metadata, which are compared before anything
decodes the bytes that they are of:

    lip_ray_blocks   in parts, which are read in pieces: one checksum for each block of equal size,
                     from the start of the file to the end of its rows
    lip_ray_seal     in all files: the checksum of what no block covers, but for its own digits

Files of older versions have neither, and parts of some versions have no blocks.
"""

import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import pairwise

KEY = "lip_ray_seal"
"""The key of a file's metadata that holds the seal."""

BLANK = "crc32:00000000"
"""What is written under the key while the checksum is not known."""

BLOCKS_KEY = "lip_ray_blocks"
"""The key of a part's metadata that holds the checksums of its blocks. It is written before `KEY`,
which then is near the end of the file."""

BLOCK_BYTES = 1 << 14
"""The least that is read and compared at a time."""

DIGITS = 8
TAIL_BYTES = 1 << 16
"""The end of a file, in which the seal lies."""

CHUNK_BYTES = 1 << 20
FOOTER_END_BYTES = 8
"""The length of the footer and the word by which Parquet files begin and end."""

_VALUE = b"\x18\x0e" + BLANK[:-DIGITS].encode()
"""How Parquet writes a text of this length, and how the text begins."""

ANY_VALUE = re.compile(re.escape(_VALUE) + rb"[0-9a-f]{8}")
"""A seal whose key is damaged."""

_BLOCKS = re.compile(
    re.escape(BLOCKS_KEY.encode()) + rb"\x18[\x80-\xff]*[\x00-\x7f](\d+):(\d+):([0-9a-f]*)\x00"
)
"""How Parquet writes the blocks: key, length of the text, text."""

ReadBetween = Callable[..., list[bytes]]
"""Reads the pieces of a file that lie between places, of which each is at or behind the one before:
one piece for two places, two for three."""


class Seal(Enum):
    """What a file's checksums say of it."""

    WHOLE = "its bytes are those that were written"
    MISSING = "an older version wrote it, without a checksum"
    BROKEN = "its bytes are not those that were written"


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The checksums of a file's bytes up to `end`, in blocks of `size` bytes."""

    size: int
    end: int
    sums: Sequence[int] = field(repr=False)

    def around(self, start: int, end: int) -> tuple[int, int]:
        """The bounds of the whole blocks with these bytes, none of which lies beyond blocks."""
        return start - start % self.size, min(self.end, end + -end % self.size)

    def fit(self, start: int, end: int, pieces: Sequence[bytes]) -> bool:
        """Whether pieces, one after another, are the file's whole blocks between two places."""
        found, place = 0, start
        for piece in pieces:
            view = memoryview(piece)
            while view:
                step = min(self.size - place % self.size, len(view))
                found, place, view = zlib.crc32(view[:step], found), place + step, view[step:]
                if place % self.size == 0 or place == self.end:
                    if found != self.sums[(place - 1) // self.size]:
                        return False
                    found = 0
        return place == end


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What a file says of its bytes, once all that no block covers has been compared."""

    seal: Seal
    """Of what no block covers."""
    size: int
    blocks: Blocks | None = None
    tail: bytes = field(default=b"", repr=False)
    """What no block covers; nothing without blocks."""


def blocks_over(content: bytes | memoryview) -> str:
    """What is to stand under `BLOCKS_KEY` where a file has this much before its footer."""
    view = memoryview(content)
    pieces = (view[start : start + BLOCK_BYTES] for start in range(0, len(view), BLOCK_BYTES))
    sums = "".join(f"{zlib.crc32(piece):08x}" for piece in pieces)
    return f"{BLOCK_BYTES}:{len(view)}:{sums}"


def sealed(content: bytes) -> bytes:
    """A Parquet file whose metadata has `BLANK` under `KEY`, with its seal in that place."""
    place = _place(content)
    if place is None or content[place : place + DIGITS] != b"0" * DIGITS:
        raise ValueError(f"the file has no {KEY} in its metadata")
    blocks = _blocks_in(content)
    start = blocks.end if blocks else 0
    found = zlib.crc32(content[place + DIGITS :], zlib.crc32(content[start:place]))
    return content[:place] + f"{found:08x}".encode() + content[place + DIGITS :]


def seal_of(content: bytes) -> Seal:
    """The seal of a whole file in memory, of which every byte is compared."""
    return whole_seal(partial(between, content), len(content))


def between(content: bytes, *places: int) -> list[bytes]:
    """The pieces of a file in memory that lie between places."""
    return [content[start:end] for start, end in pairwise(places)]


def whole_seal(read: ReadBetween, size: int) -> Seal:
    """The seal of a file of so many bytes, all of which are read and compared."""
    found = outline(read, size)
    if found.blocks is None or found.seal is not Seal.WHOLE:
        return found.seal
    end, step = found.blocks.end, CHUNK_BYTES - CHUNK_BYTES % found.blocks.size
    for start in range(0, end, step):
        stop = min(start + step, end)
        if not found.blocks.fit(start, stop, read(start, stop)):
            return Seal.BROKEN
    return Seal.WHOLE


def outline(read: ReadBetween, size: int) -> Outline:
    """The outline of a file of so many bytes. All that no block covers is read and compared."""
    tail = _tail(read, size)
    begin, place = size - len(tail), _place(tail)
    if place is None:
        seal = Seal.BROKEN if ANY_VALUE.search(tail) else Seal.MISSING
        return Outline(seal=seal, size=size)
    blocks = _blocks_in(tail)
    if blocks and not begin <= blocks.end <= begin + place:
        return Outline(seal=Seal.BROKEN, size=size)
    start = blocks.end - begin if blocks else 0
    before = 0 if blocks else _sum_of(read, begin)
    found = zlib.crc32(tail[place + DIGITS :], zlib.crc32(tail[start:place], before))
    fits = tail[place : place + DIGITS] == b"%08x" % found
    return Outline(
        seal=Seal.WHOLE if fits else Seal.BROKEN,
        size=size,
        blocks=blocks,
        tail=tail[start:] if blocks else b"",
    )


def _tail(read: ReadBetween, size: int) -> bytes:
    """The end of a file, with all of its footer."""
    begin = max(0, size - TAIL_BYTES)
    [tail] = read(begin, size)
    footer = size - FOOTER_END_BYTES - int.from_bytes(tail[-FOOTER_END_BYTES:-4], "little")
    return b"".join((*read(footer, begin), tail)) if 0 <= footer < begin else tail


def _place(tail: bytes) -> int | None:
    """Where the digits of the seal begin; none without the key."""
    key = tail.rfind(KEY.encode())
    return None if key < 0 else key + len(KEY) + len(_VALUE)


def _blocks_in(tail: bytes) -> Blocks | None:
    """The blocks that a file's metadata has; None for damaged ones too, which no seal fits."""
    found = _BLOCKS.search(tail)
    if not found:
        return None
    size, end, digits = int(found[1]), int(found[2]), found[3]
    if not size or len(digits) != DIGITS * -(-end // size):
        return None
    sums = struct.unpack(f">{len(digits) // DIGITS}I", bytes.fromhex(digits.decode()))
    return Blocks(size=size, end=end, sums=sums)


def _sum_of(read: ReadBetween, size: int) -> int:
    """The checksum of a file's first bytes."""
    found = 0
    for start in range(0, size, CHUNK_BYTES):
        for piece in read(start, min(start + CHUNK_BYTES, size)):
            found = zlib.crc32(piece, found)
    return found
