"""A checksum in every Parquet file, over all its bytes but its own digits.

Neither page checksums nor Parquet's readers tell a flipped bit in a footer, and DuckDB verifies no
page. So each file carries a CRC-32 of itself in its key-value metadata, which a reader compares
before anything else looks at the bytes. Files of older versions have none.
"""

import re
import zlib
from enum import Enum
from io import SEEK_END, BytesIO
from typing import BinaryIO

KEY = "lip_ray_seal"
"""The key of a file's metadata that holds the checksum."""

BLANK = "crc32:00000000"
"""What is written under the key while the checksum is not known."""

DIGITS = 8
TAIL_BYTES = 1 << 16
"""The end of a file, in which the metadata lies."""

CHUNK_BYTES = 1 << 20

_VALUE = b"\x18\x0e" + BLANK[:-DIGITS].encode()
"""How Parquet writes a text of this length, and how the text begins."""

ANY_VALUE = re.compile(re.escape(_VALUE) + rb"[0-9a-f]{8}")
"""A checksum whose key is damaged."""


class Seal(Enum):
    """What a file's checksum says of it."""

    WHOLE = "its bytes are those that were written"
    MISSING = "an older version wrote it, without a checksum"
    BROKEN = "its bytes are not those that were written"


def sealed(content: bytes) -> bytes:
    """A Parquet file whose metadata has `BLANK` under `KEY`, with its checksum in that place."""
    place = _place(content)
    if place is None or content[place : place + DIGITS] != b"0" * DIGITS:
        raise ValueError(f"the file has no {KEY} in its metadata")
    digits = f"{_checksum(content[:place], content[place + DIGITS :]):08x}".encode()
    return content[:place] + digits + content[place + DIGITS :]


def seal_of(content: bytes) -> Seal:
    """The seal of a whole file in memory."""
    return seal_in(BytesIO(content))


def seal_in(file: BinaryIO) -> Seal:
    """The seal of an open file, which is read from its start to its end."""
    start = max(0, file.seek(0, SEEK_END) - TAIL_BYTES)
    file.seek(start)
    tail = file.read(TAIL_BYTES)
    place = _place(tail)
    if place is None:
        return Seal.BROKEN if ANY_VALUE.search(tail) else Seal.MISSING
    file.seek(0)
    found = zlib.crc32(tail[place + DIGITS :], zlib.crc32(tail[:place], _begun(file, start)))
    return Seal.WHOLE if tail[place : place + DIGITS] == b"%08x" % found else Seal.BROKEN


def _place(tail: bytes) -> int | None:
    """Where the digits of the checksum begin; none without the key."""
    key = tail.rfind(KEY.encode())
    return None if key < 0 else key + len(KEY) + len(_VALUE)


def _begun(file: BinaryIO, size: int) -> int:
    """The checksum of as many bytes from where the file stands."""
    found, left = 0, size
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        found, left = zlib.crc32(chunk, found), left - len(chunk)
    return found


def _checksum(*pieces: bytes) -> int:
    found = 0
    for piece in pieces:
        found = zlib.crc32(piece, found)
    return found
