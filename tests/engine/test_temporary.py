"""The temporary folder: what is refused, and what killed runs have left there."""

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lip_ray.engine import doctor, temporary
from lip_ray.engine.resources import LaunchError
from lip_ray.engine.temporary import private_folder, usable_folder
from lip_ray.scratch import LOCK, MARK, remove_abandoned

LONG = "/tmp/0123456789abcdef/scratch"
REFUSED = {
    "small": ("-o size=1m", "it has no room for 16 MB"),
    "sealed": ("-o ro", "it cannot be written to (Read-only file system)"),
}
"""Real folders, by name: how each is mounted, and what is said of it."""

USED = """
import os, sys
from lip_ray.engine.ray_session import ray_at
from lip_ray.engine.resources import LaunchError

for folder in sys.argv[1:]:
    os.environ["TMPDIR"] = folder
    try:
        with ray_at(None):
            print("it ran")
    except LaunchError as error:
        print(error)
"""
"""Begins to use Ray with one temporary folder after the other."""


def refused(**options: Any) -> str:
    """The one line that a temporary folder is refused with."""
    with pytest.raises(LaunchError) as error, private_folder(**options):
        pass
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


class TestRefused:
    def test_a_name_that_is_too_long_for_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", LONG)
        assert refused() == (
            f"TMPDIR={LONG}: its name has 29 bytes, and the names of Ray's sockets leave it 24: "
            "set TMPDIR to a folder with a shorter name, such as /tmp"
        )

    def test_bytes_count_and_not_letters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", "/tmp/" + "ü" * 10)
        assert "its name has 25 bytes" in refused()

    def test_who_joins_a_cluster_has_no_sockets_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        with private_folder(sockets=False) as private:
            assert private.parent == tmp_path

    @pytest.mark.parametrize("variable", temporary.VARIABLES)
    def test_a_folder_that_is_not_there(
        self, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in temporary.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, "/tmp/no/such/folder")
        assert refused() == (
            f"{variable}=/tmp/no/such/folder: it cannot be written to (No such file or directory): "
            "set TMPDIR to a folder that can"
        )

    def test_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
        assert "it cannot be written to (Not a directory)" in refused(sockets=False)

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_disk_that_is_full(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        for name in temporary.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(temporary.os, "posix_fallocate", full)
        assert refused() == (
            "the temporary folder /tmp: it has no room for 16 MB, which Ray needs there "
            f"({os.strerror(number)}): free some, or set TMPDIR to another folder"
        )

    def test_objects_need_room_where_shared_memory_has_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(temporary, "_write", lambda _, size: asked.append(size))
        for shared in ("/dev/shm", "/no/such/folder"):
            monkeypatch.setattr(temporary, "SHARED_MEMORY", Path(shared))
            usable_folder(object_store_bytes=1_000_000, sockets=False)
        assert asked == [16_000_000, 17_000_000]

    def test_the_doctor_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", LONG)
        monkeypatch.setattr(doctor, "_ray_answered", lambda: "")
        found = {check.name: check for check in doctor.checks("store")}["temporary"]
        assert not found.passed
        assert found.detail.startswith(f"TMPDIR={LONG}: its name has 29 bytes")


def test_a_real_folder_without_room_or_leave() -> None:
    """Before any process of Ray's starts, and no other folder is taken."""
    folders = [f"/mnt/{name}" for name in REFUSED]
    mounts = [
        f"mount -t tmpfs {options} none {folder}"
        for folder, (options, _) in zip(folders, REFUSED.values(), strict=True)
    ]
    made = ["mount -t tmpfs none /mnt", f"mkdir {shlex.join(folders)}", *mounts]
    program = shlex.join([sys.executable, "-c", USED, *folders])
    script = " && ".join([*made, f"exec {program}"])
    command = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not permitted" in ended.stderr:
        pytest.skip("this machine lets nobody mount in a namespace of their own")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    for line, folder, (_, said) in zip(lines, folders, REFUSED.values(), strict=True):
        assert line.startswith(f"TMPDIR={folder}: {said}")


def abandoned(folder: Path, content: str, lock: str = LOCK) -> Path:
    """A folder with work in it and an unlocked lock file."""
    folder.mkdir()
    (folder / "work").write_text("precious")
    (folder / lock).write_text(content.format(folder=folder))
    return folder


class TestAbandonedFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(temporary, "LONGEST", 4096)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        return tmp_path

    def test_what_a_killed_run_left_is_removed(self, folder: Path) -> None:
        left = abandoned(folder / "lip-killed", MARK)
        with private_folder() as own:
            assert own.is_dir()
            assert not left.exists()
            remove_abandoned(folder)
            assert own.is_dir(), "it is in use"
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("content", "lock"), [("", "lock"), ("", LOCK), ("lip-ray", LOCK), (MARK, "lock")]
    )
    def test_what_looks_like_it_stays(self, folder: Path, content: str, lock: str) -> None:
        mine = abandoned(folder / "lip-smith", content, lock)
        with private_folder():
            pass
        assert (mine / "work").read_text() == "precious"

    def test_a_folder_that_was_copied_or_moved_stays(self, folder: Path) -> None:
        moved = abandoned(folder / "lip-killed", MARK).rename(folder / "lip-kept")
        remove_abandoned(folder)
        assert (moved / "work").exists()

    def test_links_are_not_followed(self, folder: Path, tmp_path_factory: Any) -> None:
        mine = tmp_path_factory.mktemp("mine")
        (mine / "work").write_text("precious")
        (mine / LOCK).write_text(MARK.format(folder=folder / "lip-link"))
        (folder / "lip-link").symlink_to(mine)
        other = folder / "lip-other"
        other.mkdir()
        (other / LOCK).symlink_to(mine / "mark")
        (mine / "mark").write_text(MARK.format(folder=other))
        remove_abandoned(folder)
        assert (mine / "work").exists()
        assert other.is_dir()

    def test_what_another_user_owns_stays(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = abandoned(folder / "lip-killed", MARK)
        monkeypatch.setattr(temporary.os, "getuid", lambda: os.geteuid() + 1)
        remove_abandoned(folder)
        assert (theirs / "work").exists()
