"""Files that people ask for: each is written beside its place and moved there once it is whole.

A disk that is full, or a process that is killed, leaves the file that was there as it was.
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Make a file hold this, text as UTF-8, or leave it as it was. Raises OSError."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes | str]) -> None:
    """Likewise of several files that belong together: all are whole before the first is moved.

    Folders are made where there are none. Links are followed; what is no plain file, such as
    /dev/stdout, is written to as it is. Raises OSError.
    """
    with ExitStack() as drafts:
        moves = []
        for path, content in contents.items():
            target = path.resolve()
            data = content.encode() if isinstance(content, str) else content
            if target.exists() and not target.is_file():
                path.write_bytes(data)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".lip-ray.{uuid.uuid4().hex}.tmp")
            drafts.callback(_removed, draft)
            _draft(draft, data, target)
            moves.append((draft, target))
        for draft, target in moves:
            draft.replace(target)


def _draft(draft: Path, data: bytes, target: Path) -> None:
    """Write the draft so that it is safe on disk, with the permissions of what it replaces."""
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if target.exists():
        shutil.copymode(target, draft)


def _removed(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink(missing_ok=True)
