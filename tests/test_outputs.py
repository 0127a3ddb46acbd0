"""Outputs appear whole or not at all: what fails leaves what was there, and nothing beside it."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from plotly import graph_objects as go

from lip_ray.analysis import print as printing
from lip_ray.analysis.page import report
from lip_ray.outputs import write_together, write_whole
from lip_ray.priors.generators import file as generator_file
from lip_ray.priors.generators.dcgan import Dcgan
from lip_ray.store import StoreError, Writer, export
from lip_ray.trials import ticketfile
from tests.store.conftest import make_level, make_sweep, make_trial


def test_content_and_folders(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "text", "ψ\n")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "ψ\n".encode()
    write_together({tmp_path / "one": b"1", tmp_path / "two": "2"})
    assert names(tmp_path) == ["a", "one", "two"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_what_is_no_plain_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        write_whole(pipe, "through")
        assert reader.communicate()[0] == b"through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_long_name(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), "content")
    assert names(tmp_path) == ["n" * 255]


def page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "frontier_report", lambda *_, **__: "x" * 1_000_000)
    return report.write_report(None, folder / "page.html")  # type: ignore[arg-type]


def pages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "_page", lambda *_, **__: ("x" * 1_000_000, "plotly.min.js"))
    monkeypatch.setattr(report, "library_text", lambda _: "small")
    return report.write_report(None, folder / "page")  # type: ignore[arg-type]


def ticket(folder: Path, _: pytest.MonkeyPatch) -> Path:
    weights = {"w": torch.ones(250_000)}
    masks = {"w": torch.ones(250_000, dtype=torch.bool)}
    made = ticketfile.Ticket(about={"kept": 1}, weights=weights, masks=masks)
    ticketfile.write(made, folder / "ticket.safetensors")
    return folder / "ticket.safetensors"


def generator(folder: Path, _: pytest.MonkeyPatch) -> Path:
    made = generator_file.Trained(
        architecture=Dcgan(),
        weights={"w": torch.ones(250_000)},
        critic=None,
        origin={},
    )
    return generator_file.write(made, folder, "name")


def figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(printing, "_rendered", lambda *_: b"x" * 1_000_000)
    printing.write_figure(go.Figure(), folder / "figure.svg", height_mm=50.0)
    return folder / "figure.svg"


def table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store = folder.parent / "store"
    writer = Writer.open(store)
    writer.write_trial(make_trial())
    writer.write_level([make_level()])
    writer.write_sweep(make_sweep())
    monkeypatch.setattr("lip_ray.store.upkeep.export.rendered", lambda *_: b"x" * 1_000_000)
    export(store, "levels", folder / "levels.csv", overwrite=True)
    return folder / "levels.csv"


OUTPUTS = (page, pages, ticket, generator, figure, table)
Output = Callable[[Path, pytest.MonkeyPatch], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outputs"
    made.mkdir()
    return made


@pytest.fixture
def little_room(folder: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: " + mounted.stderr.decode().strip())
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.__name__)
class TestFaults:
    def test_a_full_disk(
        self, little_room: Path, output: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = held_before(little_room)
        with pytest.raises((OSError, StoreError), match="space"):
            output(little_room, monkeypatch)
        assert held(little_room) == before

    def test_a_disk_that_is_full_when_all_is_written(
        self, folder: Path, output: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        path = output(folder, monkeypatch)
        before = held(folder)
        monkeypatch.setattr("lip_ray.outputs.os.fsync", full)
        with pytest.raises((OSError, StoreError), match="space"):
            output(folder, monkeypatch)
        assert held(folder) == before
        assert path.exists()


def held_before(folder: Path) -> dict[str, bytes]:
    """What was there, in places that outputs have."""
    for name in ("page.html", "ticket.safetensors", "ticket.json", "figure.svg", "levels.csv"):
        (folder / name).write_text("old")
    (folder / "page").mkdir()
    (folder / "page" / "index.html").write_text("old")
    return held(folder)


def held(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
