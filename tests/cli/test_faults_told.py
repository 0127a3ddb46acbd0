"""Every command on every broken store: done, or one clear line and a documented exit code.

`make test` tries some of them, drawn anew for each command; `make test-fuzz` tries all.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from broken_stores import BROKEN, FIRST, TRIAL
from typer.testing import CliRunner, Result

from lip_ray.cli import app
from lip_ray.cli.common import BAD_INPUT, INCOMPLETE, INTERRUPTED
from lip_ray.engine import doctor, launch
from lip_ray.engine.resources import LaunchError

SEED = 15
DRAWN = 4
"""Broken stores per command in the short form."""

EXITS = (0, INCOMPLETE, BAD_INPUT, INTERRUPTED)

SWEEP = """
name: tiny
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 2, skip_width: 0, input_channels: 2}
  schedule: [1, 0.5, 0.25]
  fit: {steps: 6}
run: {store_patience_s: 0}
"""
OUTPUTS = {
    "report": "x.html",
    "figure": "x.svg",
    "store export": "x.csv",
    "init": "x.yaml",
    "picture": "x.png",
    "restore": "x.png",
}
"""By command; others write tickets."""

ALSO = {
    ("ls",): ["folder"],
    ("init",): ["wish"],
    ("explain",): ["path"],
    ("store", "remove"): ["trials"],
}
"""Arguments that are given to a command although it can do without."""

ROWS = 3
"""Levels of the sound store."""


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(_commands(typer.main.get_command(app)))
"""All that there are."""


@dataclass
class Figures:
    """What came of all tries."""

    tried: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    silent: int = 0
    tracebacks: int = 0

    def __str__(self) -> str:
        """In one line."""
        done, unwell, refused, _ = (self.ends[code] for code in EXITS)
        return (
            f"{self.tried} tried: {done} done, {unwell} unwell, {refused} refused, "
            f"{self.silent} silent, {self.tracebacks} tracebacks"
        )


def _arguments(path: tuple[str, ...], command: Any, store: Path, aside: Path) -> list[str]:
    """A call of the command that is right but for the store."""
    values = {
        "sweep": str(aside / "tiny.yaml"),
        "sql": "select count(*) as n from levels",
        "table": "levels",
        "name": "frontier",
        "ticket": f"{TRIAL}@1",
        "fit": f"{TRIAL}@1",
        "first": f"{TRIAL}@1",
        "second": f"{TRIAL}@2",
        "prior": "skip",
        "output": str(aside / OUTPUTS.get(" ".join(path), "x.safetensors")),
        "named": [str(aside / "merged"), str(store)],
        "folder": str(store.parent),
        "wish": "denoise",
        "path": "task.inpainting",
        "trials": TRIAL,
    }
    given = list(path)
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        needed = parameter.required or parameter.name in ("output", *ALSO.get(path, ()))
        if parameter.name == "store" or needed:
            value = values.get(parameter.name, str(store))
            listed = value if isinstance(value, list) else [value]
            given += [parameter.opts[0], *listed] if is_option else listed
    return given


def _with_flags(given: list[str], command: Any, draw: random.Random) -> list[str]:
    """With some of its switches; `--measure` is left out, which takes seconds."""
    switches = [one.opts[0] for one in command.params if getattr(one, "is_flag", False)]
    allowed = [one for one in switches if one not in ("--help", "--measure")]
    return [*given, *(one for one in allowed if draw.random() < 0.5)]


@pytest.fixture
def _without_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Ray, no browser, and a server that ends after one look at each of its pages."""
    from werkzeug.serving import BaseWSGIServer

    from lip_ray.analysis import print as printing
    from lip_ray.analysis.live import serve as serving

    def no_ray(*_: object) -> Any:
        raise LaunchError("there is no Ray here")

    def served(server: Any, *_: object) -> None:
        client = server.app.test_client()
        for page in ("/", "/status.json", "/plotly.min.js"):
            assert client.get(page).status_code == 200

    monkeypatch.setattr(launch, "ray_at", no_ray)
    monkeypatch.setattr(doctor, "ray_at", no_ray)
    monkeypatch.setattr(printing, "_rendered", lambda *_: b"drawn")
    monkeypatch.setattr(BaseWSGIServer, "serve_forever", served)
    monkeypatch.setattr(serving, "ENDING_S", 600.0)  # or a slow machine ends the tests' process
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    monkeypatch.delenv("LIP_RAY_DEBUG", raising=False)


Try = Callable[..., None]


@pytest.fixture
def try_out(tmp_path: Path, _without_machines: None, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Gives a command to a broken store, and counts what comes of it."""

    def tried(name: tuple[str, ...], kind: str, draw: random.Random, figures: Figures) -> None:
        folder = tmp_path / f"{figures.tried}"
        aside = folder / "aside"
        aside.mkdir(parents=True)
        (aside / "tiny.yaml").write_text(SWEEP)
        monkeypatch.chdir(aside)
        broken = BROKEN[kind]
        sound = shutil.copytree(FIRST, folder / "store")
        store = broken.damage(sound) or sound
        given = _arguments(name, COMMANDS[name], store, aside)
        given = _with_flags(given, COMMANDS[name], draw)
        with broken.around(store):
            ended = CliRunner().invoke(app, given)
        _count(figures, given, kind, ended)
        shutil.rmtree(folder)

    return tried


def _count(figures: Figures, given: Sequence[str], kind: str, ended: Result) -> None:
    figures.tried += 1
    figures.ends[ended.exit_code] += 1
    said = ended.stderr.splitlines()
    wrong = ""
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        figures.tracebacks += 1
        wrong = f"{type(ended.exception).__name__}: {ended.exception}"
    elif ended.exit_code not in EXITS or "Traceback" in ended.output:
        wrong = f"exit code {ended.exit_code}"
    elif ended.exit_code and not ended.output.strip():
        figures.silent += 1
        wrong = "nothing is said"
    elif ended.exit_code == BAD_INPUT and len(said) != 1 and not _in_order(said[0]):
        wrong = f"{len(said)} lines"
    elif _lost(given, kind, ended):
        figures.silent += 1
        wrong = f"rows are missing without a word: {ended.stdout.split()}"
    if wrong:
        figures.wrong.append(f"{' '.join(given)} [{kind}]: {wrong}\n{ended.stderr[-300:]}")


def _in_order(first: str) -> bool:
    """Whether a message of several lines lists problems, or says how the command is used."""
    return first.endswith(("problem", "problems")) or first.startswith("Usage: ")


NOTHING_TO_READ = ("no levels", "a file that links nowhere", "a file that is a pipe")
NOTHING_TO_READ += ("a file that is a folder", "levels that are a file")
"""Where rows are not there to be read: what lacks them, `lip store check` tells."""


def _lost(given: Sequence[str], kind: str, ended: Result) -> bool:
    """Whether an answer counts fewer rows than files hold, and says nothing of the others."""
    if given[0] != "query" or ended.exit_code or kind in NOTHING_TO_READ:
        return False
    return int(ended.stdout.split()[1]) < ROWS and not ended.stderr


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_command_tells_what_is_broken(name: tuple[str, ...], try_out: Try) -> None:
    draw = random.Random(f"{SEED} {name}")
    figures = Figures()
    for kind in ("sound", *draw.sample(list(BROKEN), DRAWN)):
        try_out(name, kind, draw, figures)
    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.tried == DRAWN + 1


@pytest.fixture(scope="module")
def total() -> Iterator[Figures]:
    """What came of all commands, printed at the end."""
    figures = Figures()
    yield figures
    print(f"\n{len(COMMANDS)} commands on {len(BROKEN)} stores: {figures}")


@pytest.mark.fuzz
@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_command_tells_all_that_is_broken(
    name: tuple[str, ...], try_out: Try, total: Figures
) -> None:
    draw = random.Random(f"{SEED} {name}")
    before = len(total.wrong)
    for kind in BROKEN:
        try_out(name, kind, draw, total)
    assert not total.wrong[before:], "\n".join(total.wrong[before:])
