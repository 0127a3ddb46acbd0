"""The only place that touches a file system: a store's files by name, in a folder or a bucket.

Names are relative to the store's root and have one folder, as `levels/<trial_id>-<level>.parquet`.
Whatever is not there raises FileNotFoundError, a file system that fails another OSError.
"""

import errno
import os
import platform
import re
import stat
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from lip_ray.errors import first_line
from lip_ray.store.paths import Damaged, StoreError
from lip_ray.store.seal import Outline, ReadBetween, Seal, between, outline, seal_of, whole_seal
from lip_ray.store.verified import VerifiedFile

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}

DELAYED = "allow_delayed_open=true"
"""The option of Arrow's S3 file system without which every upload needs three requests."""

CHECKSUMS, WHEN_REQUIRED = "AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"
"""The setting of Amazon's library that servers other than Amazon's may need.

By itself it sends files in chunks with a checksum behind them, which OpenStack Swift refuses. Files
of a store carry checksums of their own.
"""

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

READ_ERRORS = (Damaged, OSError, pa.ArrowException)
"""What a file that cannot be read, or not understood, ends its reading with."""

AT_ONCE = 16
"""Files that are read at once: over a network each takes its time."""

CREDENTIALS = re.compile(r"(?<=//)\S+@")
"""Name and password within a URI."""


DRAFT = re.compile(r"\..+?\.(?:parquet|json)\.(.+)\.(\d+)\.[0-9a-f]{8}\.tmp")
"""A draft of a file, with the machine and the process that wrote it."""


class Stamp(NamedTuple):
    """What changes where a file does."""

    size: int
    modified_ns: int
    inode: int = 0


class Files(ABC):
    """The files of one store, in a folder or a bucket."""

    where: str
    """An absolute path or a URI: for messages, and for opening the same store elsewhere."""

    _system: FileSystem

    @cached_property
    def _outlines(self) -> dict[str, tuple[Stamp, Outline]]:
        """The outlines of files, and how these looked then."""
        return {}

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The complete files in a folder, in order, without hidden ones; empty where there is no
        folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the file is there."""

    @abstractmethod
    def publish(self, name: str, content: bytes) -> bool:
        """Make a file appear whole unless there is one; whether it now has this content."""

    @abstractmethod
    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        r"""Make a file appear whole, in place of an existing one.

        A durable one is safe on disk, so that not even a power cut leaves a name without its
        content.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""

    @abstractmethod
    def modified(self, name: str) -> float:
        """The time of its last change in seconds since 1970, by the store's own clock."""

    @abstractmethod
    def clock(self) -> float:
        """The time by the store's own clock, since those of hosts may differ."""

    @abstractmethod
    def probe(self) -> None:
        """Raise OSError where nothing can be written, and leave nothing behind."""

    @abstractmethod
    def local(self, name: str) -> Path | None:
        """The path on this machine; None where the file has none."""

    @abstractmethod
    def _key(self, name: str) -> str:
        """The name of a file in Arrow's file system."""

    @abstractmethod
    def _reads(self, name: str) -> ReadBetween:
        """What reads the file from any place, and closes it when nothing refers to it any more."""

    @abstractmethod
    def _stamp(self, name: str) -> Stamp:
        """What changes where the file does."""

    def size(self, name: str) -> int:
        """The bytes of a file."""
        return self._stamp(name).size

    @abstractmethod
    def remove_drafts(self) -> None:
        """Remove what killed processes of this machine have left of files that never appeared."""

    def opened(self, name: str) -> VerifiedFile:
        """A Parquet file whose bytes are compared with their checksums as they are read.

        Raises Damaged, now or as it is read, and FileNotFoundError.
        """
        read = self._reads(name)
        found = self._outline(name, read)
        if found.seal is Seal.BROKEN:
            raise self._unsound(name)
        return VerifiedFile(found, read, partial(self._unsound, name))

    def _outline(self, name: str, read: ReadBetween) -> Outline:
        """What a file says of its bytes; it is looked at once a process."""
        stamp = self._stamp(name)
        known = self._outlines.get(name)
        if known is None or known[0] != stamp:
            known = self._outlines[name] = stamp, outline(read, stamp.size)
        return known[1]

    def seal(self, name: str) -> Seal:
        """What the checksums of a Parquet file say, all of which are compared."""
        read = self._reads(name)
        found = self._outline(name, read)
        return whole_seal(read, found.size) if found.blocks else found.seal

    def broken(self, names: Sequence[str]) -> list[str]:
        """The files whose checksum does not fit. Raises FileNotFoundError for one that is gone."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seals = list(pool.map(self.seal, names))
        return [name for name, seal in zip(names, seals, strict=True) if seal is Seal.BROKEN]

    def _unsound(self, name: str, why: object = Seal.BROKEN.value) -> Damaged:
        return Damaged(f"{self.where}/{name} is damaged: {why}")

    def table(
        self,
        name: str,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        filters: Any = None,
    ) -> pa.Table:
        """The rows of a Parquet file, nulls where it lacks a column of the schema.

        With columns or filters (pyarrow's) no more of a part is read, and verified, than they need.
        Raises Damaged where the file is there but its checksums do not fit, or it cannot be
        understood.
        """
        chosen = {"columns": None if columns is None else list(columns), "filters": filters}
        if columns is not None or filters is not None:
            try:
                with self.opened(name) as file:
                    return valid(pq.read_table(file, schema=schema, **chosen))
            except FileNotFoundError:
                raise
            except (OSError, pa.ArrowException):
                pass  # the file, or the way to it: reading all of it tells
        content = self.read(name)
        if seal_of(content) is Seal.BROKEN:
            raise self._unsound(name)
        try:
            return valid(pq.read_table(pa.BufferReader(content), schema=schema, **chosen))
        except (OSError, pa.ArrowException) as error:
            raise self._unsound(name, first_line(error)) from error

    def dataset(self, names: Sequence[str], schema: pa.Schema) -> "Dataset":
        """The rows of Parquet files, which are read only as they are needed.

        Raises Damaged for the first whose checksum does not fit.
        """
        for name in self.broken(names):
            raise self._unsound(name)
        from pyarrow.dataset import FileSystemDataset, ParquetFileFormat  # and pandas with it

        return FileSystemDataset.from_paths(
            [self._key(name) for name in names],
            schema=schema,
            format=ParquetFileFormat(),
            filesystem=self._system,
        )

    def parts(self, names: Sequence[str], schema: pa.Schema) -> "Dataset":
        """The rows of parts, of which only as much is read and verified as is needed.

        Raises Damaged, now or as they are read.
        """
        from pyarrow.dataset import FileSystemDataset, ParquetFileFormat

        form = ParquetFileFormat()
        files = [form.make_fragment(pa.PythonFile(self.opened(name), "r")) for name in names]
        return FileSystemDataset(files, schema, form)


def valid(rows: Rows) -> Rows:
    """The rows. Raises pyarrow's error where they hold what their types do not allow, such as text
    that is not UTF-8: reading alone does not tell."""
    rows.validate(full=True)
    return rows


def files_of(store: str | Path) -> Files:
    """The files of the store in a folder, or behind a URI that Arrow knows, as s3://bucket/prefix.

    Credentials are taken from the environment. Raises StoreError for a path that cannot be one, for
    a URI that is not understood or holds credentials, or whose server does not answer.
    """
    text = str(store)
    if "://" in text and not text.startswith("file://"):
        return Bucket(text)
    return Folder(_path(text.removeprefix("file://")))


def _path(text: str) -> Path:
    """The absolute path, without links."""
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links that loop, no such user, a null
        raise StoreError(
            f"{text}: {first_line(error)}: a store is a folder, or s3://bucket/prefix"
        ) from error


class Folder(Files):
    """A folder on a POSIX file system, shared or not."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._system = LocalFileSystem()
        self.where = str(root)

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self._root / folder) as entries:  # tells files without asking for each
                found = [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(f"{folder}/{name}" for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def exists(self, name: str) -> bool:
        try:
            return stat.S_ISREG((self._root / name).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def publish(self, name: str, content: bytes) -> bool:
        """Hard-link a finished file: that fails where the name is taken, so the first writer
        wins."""
        path = self._ready(name)
        with _drafted(path, content) as draft:
            ours = _linked(draft, path, content)
            _sync_folder(path.parent)
            return ours

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        path = self._ready(name)
        with _drafted(path, content, durable=durable) as draft:
            draft.replace(path)

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def remove_drafts(self) -> None:
        for path in (*self._root.glob(".*.tmp"), *self._root.glob("*/.*.tmp")):
            found = DRAFT.fullmatch(path.name)
            if found and found[1] == platform.node() and not _is_running(int(found[2])):
                path.unlink(missing_ok=True)

    def modified(self, name: str) -> float:
        return (self._root / name).stat().st_mtime

    def clock(self) -> float:
        """The time of a file that is written there now; this host's where none can be written."""
        try:
            with tempfile.TemporaryFile(dir=self._root) as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()

    def probe(self) -> None:
        folders = (self._root, *self._root.parents)
        with tempfile.TemporaryFile(dir=next(folder for folder in folders if folder.exists())):
            pass

    def local(self, name: str) -> Path:
        return self._root / name

    def _key(self, name: str) -> str:
        return str(self._root / name)

    def _reads(self, name: str) -> ReadBetween:
        file = (self._root / name).open("rb", buffering=0)

        def read(*places: int) -> list[bytes]:
            return [os.pread(file.fileno(), end - start, start) for start, end in pairwise(places)]

        return read

    def _stamp(self, name: str) -> Stamp:
        found = (self._root / name).stat()
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)

    def _ready(self, name: str) -> Path:
        """The path of a file, after making its folder. Only a file at the root itself makes the
        root."""
        path = self._root / name
        path.parent.mkdir(parents=path.parent == self._root, exist_ok=True)
        return path


class Bucket(Files):
    """A place in an object store, where every file is uploaded in one piece."""

    def __init__(self, uri: str) -> None:
        shown = CREDENTIALS.sub("…@", uri)
        try:
            parts = urlsplit(uri)
            if parts.password is not None or (parts.scheme == "s3" and "@" in parts.netloc):
                raise StoreError(
                    f"{shown}: credentials in a store's name would be kept wherever it is noted: "
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, instead"
                )
            if "endpoint_override" in parts.query:
                os.environ.setdefault(CHECKSUMS, WHEN_REQUIRED)
            self._system, path = FileSystem.from_uri(_in_one_request(parts))
            self._root = path.rstrip("/")
            if not self._root:
                raise ValueError("no bucket is named")
        except StoreError:
            raise
        except ValueError as error:
            said = CREDENTIALS.sub("…@", first_line(error))
            raise StoreError(
                f"{shown}: {said}: a store is a folder, or s3://bucket/prefix, with ?region=… or "
                "?endpoint_override=… where needed"
            ) from error
        except OSError as error:
            raise StoreError(f"{shown} cannot be reached: {first_line(error)}") from error
        self.where = urlunsplit(parts._replace(path=parts.path.rstrip("/")))

    def names(self, folder: str) -> list[str]:
        selector = FileSelector(self._key(folder), allow_not_found=True)
        return sorted(
            f"{folder}/{entry.base_name}"
            for entry in self._system.get_file_info(selector)
            if entry.type is FileType.File and not entry.base_name.startswith(".")
        )

    def read(self, name: str) -> bytes:
        with self._system.open_input_stream(self._key(name), compression=None) as file:
            return bytes(file.read())

    def exists(self, name: str) -> bool:
        return bool(self._info(name).type is FileType.File)

    def publish(self, name: str, content: bytes) -> bool:
        """Upload a file unless one exists. Of two writers at the same moment the last wins,
        unnoticed."""
        try:
            return self.read(name) == content
        except FileNotFoundError:
            self.replace(name, content)
            return True

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Upload a file in place of an existing one, which is always durable."""

        def put() -> None:
            file = self._system.open_output_stream(self._key(name), compression=None)
            file.write(content)  # at once: a stream that is left by an error is published too
            file.close()

        self._in_folder(name, put)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._system.delete_file(self._key(name))

    def modified(self, name: str) -> float:
        info = self._info(name)
        if info.type is FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return float(info.mtime_ns) / 1e9

    def clock(self) -> float:
        """The clock of this host: object stores refuse requests from clocks that are far from
        theirs."""
        return time.time()

    def probe(self) -> None:
        name = f".probe.{uuid.uuid4().hex}"
        self.replace(name, b"")
        self.remove(name)

    def remove_drafts(self) -> None:
        """Do nothing: an upload appears whole or not at all."""

    def local(self, name: str) -> None:
        """None, as the files are elsewhere."""

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _reads(self, name: str) -> ReadBetween:
        file = self._system.open_input_file(self._key(name))

        def read(*places: int) -> list[bytes]:
            begin, *_, end = places
            content = file.read_at(end - begin, begin)  # each costs a request
            return between(content, *(place - begin for place in places))

        return read

    def _stamp(self, name: str) -> Stamp:
        info = self._info(name)
        return Stamp(info.size, info.mtime_ns)

    def _info(self, name: str) -> Any:
        return self._system.get_file_info(self._key(name))

    def _in_folder(self, name: str, act: Callable[[], None]) -> None:
        r"""Call `act`, and again after making the file's folder if that is missing.

        Object stores need no folders; other file systems behind a URI do.
        """
        try:
            act()
        except FileNotFoundError:
            self._system.create_dir(self._key(name).rpartition("/")[0], recursive=True)
            act()


def _in_one_request(parts: SplitResult) -> str:
    if parts.scheme != "s3" or "allow_delayed_open" in parts.query:
        return urlunsplit(parts)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, DELAYED)))))


def _linked(draft: Path, path: Path, content: bytes) -> bool:
    try:
        os.link(draft, path)
    except FileExistsError:
        # An NFS server may have made the link and lost the answer: then both names are one.
        return draft.stat().st_nlink == 2 or path.read_bytes() == content
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if path.exists():
            return path.read_bytes() == content
        draft.rename(path)
    return True


@contextmanager
def _drafted(path: Path, content: bytes, *, durable: bool = True) -> Iterator[Path]:
    """A temporary file beside `path` with this content, removed afterwards unless it was moved."""
    unique = f"{platform.node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    draft = path.with_name(f".{path.name}.{unique}.tmp")  # hidden: no reader takes it for data
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether there is such a process; on Windows, where asking would end it, always."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync_folder(folder: Path) -> None:
    """Flush a folder to disk, as a power cut could otherwise lose the new name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
