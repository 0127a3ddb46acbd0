"""What a command says where it cannot do its work: the one place that turns errors into messages.

A user's mistake, a file or disk that fails, and a library that does are one message each, and exit
code 2. Anything else is a fault of lip-ray's own: its traceback is shown, and asked for.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from lip_ray.cli.common import BAD_INPUT, INTERRUPTED
from lip_ray.errors import UserError, one_line
from lip_ray.systems import require_known

DEBUG = "LIP_RAY_DEBUG"
"""The environment variable that has every message preceded by its traceback."""

OURS = "lip_ray"

ARGUMENTS = "lip_ray.arguments"

REPORT = (
    "This is a fault of lip-ray, not of what it was given: please report it with all lines above "
    "and the command."
)

LIBRARIES = {
    "PIL": "is it a picture, and whole?",
    "botocore": "is the server there, and may you read it?",
    "choreographer": "does a Chromium or Chrome run on this machine?",
    "duckdb": "lip store check says which files are damaged",
    "kaleido": "does a Chromium or Chrome run on this machine?",
    "lzma": "is the file whole?",
    "optuna": "the search's settings are in its sweep file",
    "pickle": "is the file whole?",
    "pyarrow": "lip store check says which files are damaged",
    "ray": "the same command resumes; lip doctor says whether Ray runs here",
    "safetensors": "is the file whole?",
    "safetensors_rust": "is the file whole?",
    "tarfile": "is the file whole?",
    "torch": "lip doctor says which devices there are",
    "yaml": "is it YAML?",
    "zipfile": "is the file whole?",
    "zlib": "is the file whole?",
}
"""Packages whose own kinds of error tell of files and machines, and what to do then."""

REMEDIES = {
    errno.EACCES: "ask for permission, or name another place",
    errno.EPERM: "ask for permission, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOSPC: "make room there, and give the same command again",
    errno.EDQUOT: "make room there, and give the same command again",
    errno.EFBIG: "name a place that takes files of this size",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file stands where a folder must be: check the path",
    errno.EISDIR: "a folder stands where a file must be: check the path",
    errno.EEXIST: "something else stands there: check the path",
    errno.ELOOP: "a link there leads back to itself: remove it",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EMFILE: "allow more open files: ulimit -n",
    errno.ENFILE: "allow more open files: ulimit -n",
    errno.ENOMEM: "free memory, and give the same command again",
    errno.EIO: "see to the disk, and give the same command again",
    errno.ESTALE: "mount it again, and give the same command again",
    errno.ENOTCONN: "mount it again, and give the same command again",
}
"""What to do about an error of the system."""

OTHER_REMEDY = "see to the disk or the server, and give the same command again"


class Commands(TyperGroup):
    """The command line, any of whose commands may end early."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse and keep the arguments, since an error may not name its file."""
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command up to its last byte of output."""
        with told(ctx.meta[ARGUMENTS]):
            require_known()
            _print_any_name()
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def told(arguments: Sequence[str] = ()) -> Iterator[None]:
    """End a command with a message and its exit code where something keeps it from its work."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if _of_the_command_line(error):
            _name_value(error)
            raise
        message = explained(error, arguments)
        if message is None:
            error.add_note(REPORT)
            raise
        if os.environ.get(DEBUG):
            traceback.print_exc()
        typer.echo(message, err=True)
        _leave_output()
        raise typer.Exit(BAD_INPUT) from None


def explained(error: Exception, arguments: Sequence[str] = ()) -> str | None:
    """What to tell a user; None for a fault of lip-ray itself.

    An error that names no file is told with the paths among the arguments.
    """
    if isinstance(error, UserError):
        text = str(error)
        return "\n".join(map(one_line, text.split("\n"))) if error.many_lines else one_line(text)
    where = ", ".join(filter(_is_path, arguments)) or "lip"
    if library := _broken_library(error):
        return one_line(
            f"{library} cannot be imported here: {_said(error)}; install it anew, as lip-ray's "
            "constraints.txt has it, or uninstall it where nothing needs it"
        )
    if isinstance(error, OSError) and _package(type(error)) == "builtins":
        return one_line(_of_the_system(error, where))
    if isinstance(error, UnicodeError):
        return one_line(f"{where}: {_said(error)}; it must be UTF-8")
    if isinstance(error, MemoryError):
        return one_line(f"{where}: memory does not suffice; {REMEDIES[errno.ENOMEM]}")
    kinds = (kind for kind in type(error).__mro__ if _package(kind) in LIBRARIES)
    if (kind := next(kinds, None)) is not None:
        name = _package(kind)
        return one_line(f"{where}: {name} says: {_said(error)}; {LIBRARIES[name]}")
    return None


def _name_value(error: Exception) -> None:
    """Add the refused value to Typer's message of an option, which says only what is allowed."""
    if not isinstance(error, typer.BadParameter):
        return
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        error.message += f", got {error.__cause__.errors()[0]['input']}"


def _of_the_command_line(error: Exception) -> bool:
    """Whether Typer itself tells it: usage, exit codes, a pipe that nobody reads."""
    nobody_reads = isinstance(error, OSError) and error.errno == errno.EPIPE
    return _package(type(error)) in ("typer", "click") or nobody_reads


def _of_the_system(error: OSError, where: str) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name)]
    said = error.strerror or _said(error)
    remedy = REMEDIES.get(error.errno or 0, OTHER_REMEDY)
    return f"{' -> '.join(names) or where}: {_first_line(said)}; {remedy}"


def _is_name(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike) and bool(name)


def _broken_library(error: Exception) -> str | None:
    """The other package that could not be imported, if that is what happened."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = _module_in_import(frame)
        if name:
            return name.partition(".")[0]
    if isinstance(error, ImportError) and error.name:
        package = error.name.partition(".")[0]
        return package if package != OURS else None
    return None


def _module_in_import(frame: FrameType) -> str | None:
    """The name of the other package's module whose top level a frame runs."""
    name = str(frame.f_globals.get("__name__", ""))
    outside = name.partition(".")[0] not in (OURS, "__main__", "")
    return name if outside and frame.f_code.co_name == "<module>" else None


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0].lstrip("_")


def _is_path(argument: str) -> bool:
    """Whether an argument may name what an error is about."""
    return not argument.startswith("-") and ("/" in argument or os.path.lexists(argument))


def _said(error: Exception) -> str:
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".;:")


def _print_any_name() -> None:
    """File names may hold bytes that are no text, and terminals lack characters."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


def _leave_output() -> None:
    """What cannot be written now cannot be written at the end of the process either."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
