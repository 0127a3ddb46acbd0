"""Errors become one line with what to do, and faults of lip-ray stay faults."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from lip_ray.cli import app
from lip_ray.cli import faults as told
from lip_ray.cli.faults import Commands, explained
from lip_ray.errors import UserError

FIRST = Path(__file__).parents[1] / "store" / "first_version"


def ending_with(error: BaseException) -> Result:
    """What a command prints that ends with this error."""
    commands = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @commands.command()
    def act(path: str) -> None:
        raise error

    @commands.command()
    def other() -> None:
        """So that there are two."""

    return CliRunner().invoke(commands, ["act", "some/path"])


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_is_a_line(number: int) -> None:
    if number == errno.EPIPE:
        pytest.skip("who reads the output has gone: Typer ends quietly")
    ended = ending_with(OSError(number, os.strerror(number), "/a/file"))
    assert ended.exit_code == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"/a/file: {os.strerror(number)}; ")
    assert len(line.partition("; ")[2]) > 10


def test_two_files_are_both_named() -> None:
    error = OSError(errno.ENOENT, "No such file", "a", None, "b")
    assert ending_with(error).stderr.startswith("a -> b: No such file; ")


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (UserError("wrong"), "wrong"),
        (OSError("Failed to open.\nDetail: more"), "some/path: Failed to open; "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "some/path: 'utf-8' codec can't"),
        (MemoryError(), "some/path: memory does not suffice; "),
    ],
)
def test_errors_without_a_file_name_what_was_given(error: Exception, start: str) -> None:
    ended = ending_with(error)
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(start)


def _errors_of_libraries() -> list[Exception]:
    import duckdb
    import PIL
    import pyarrow as pa
    import torch
    import yaml
    from ray.exceptions import RayError
    from safetensors import SafetensorError

    return [
        pa.ArrowInvalid("bad\nrows"),
        pa.ArrowNotImplementedError("bad"),
        duckdb.IOException("bad"),
        PIL.UnidentifiedImageError("bad"),
        torch.OutOfMemoryError("bad"),
        yaml.YAMLError("bad"),
        RayError("bad"),
        SafetensorError("bad"),
    ]


@pytest.mark.parametrize("error", _errors_of_libraries(), ids=lambda error: type(error).__name__)
def test_errors_of_libraries_are_a_line(error: Exception) -> None:
    ended = ending_with(error)
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("some/path: ")
    assert " says: bad; " in ended.stderr


@pytest.mark.parametrize(
    "error", [TypeError("x"), KeyError("x"), ValueError("x"), RuntimeError("x")]
)
def test_faults_of_our_own_are_shown_and_asked_for(error: Exception) -> None:
    ended = ending_with(error)
    assert ended.exception is error
    assert error.__notes__ == [told.REPORT]


def test_a_fault_has_its_traceback_and_exit_code() -> None:
    call = (
        "import sys, lip_ray.cli as cli, lip_ray.store as store; "
        "store.described = lambda table: 1 // 0; sys.argv = ['lip', 'tables']; cli.main()"
    )
    ended = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert ended.returncode == 70
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith(
        f"ZeroDivisionError: integer division or modulo by zero\n{told.REPORT}\n"
    )


def test_an_interruption_is_a_line() -> None:
    ended = ending_with(KeyboardInterrupt())
    assert (ended.exit_code, ended.stderr) == (130, "interrupted\n")


def test_the_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIP_RAY_DEBUG", "1")
    ended = ending_with(OSError(errno.EIO, "bad", "x"))
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.splitlines()[-1].startswith("x: bad; ")


def test_a_library_that_is_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outer_library.py").write_text("import broken_library\n")
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('no operator nms')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("outer_library", "no_such_library"):
        with pytest.raises((RuntimeError, ImportError)) as caught:
            __import__(name)
        line = explained(caught.value)
        assert line is not None
        named = {"outer_library": "broken_library"}.get(name, name)
        assert line.startswith(f"{named} cannot be imported here: ")
    with pytest.raises(ImportError) as ours:
        from lip_ray import nothing_of_that_name  # type: ignore[attr-defined] # noqa: F401
    assert explained(ours.value) is None


def test_names_stay_on_one_line() -> None:
    assert explained(UserError("there is no store in a\nb\x1b[31m")) == (
        r"there is no store in a\nb\x1b[31m"
    )


def test_output_that_cannot_be_written_is_a_line() -> None:
    call = "from lip_ray.cli import main; import sys; sys.argv = ['lip', 'tables']; main()"
    command = [sys.executable, "-c", call]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "lip: No space left on device; make room there, and give the same command again"
    ]


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    output = tmp_path / os.fsdecode(b"x\xff.html")
    ended = CliRunner().invoke(app, ["report", str(FIRST), "-o", str(output)])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout == f"{tmp_path}/x\\udcff.html\n"
    assert output.is_file()
