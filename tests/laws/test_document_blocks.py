"""Every block of code in README.md and docs/ runs, or a comment before it says why it cannot.

Commands run in this process, in a folder that has the files and stores that the pages name. The
stores are those of the pages' own sweeps, made once with tiny networks. What would take long is
shortened (SHORTENED). `<!-- not run: needs a cluster -->` before a block keeps it from running;
readers of the page do not see the comment.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from PIL import Image
from typer.testing import CliRunner, Result

from lip_ray.analysis import print as printing
from lip_ray.claims import Claims
from lip_ray.cli import app
from lip_ray.literature import PAPERS
from lip_ray.store import Reader
from lip_ray.sweep import Sweep, json_schema
from tests.laws.documents import (
    PAGES,
    ROOT,
    Block,
    Command,
    all_blocks,
    blocks,
    commands,
    stray_comments,
)
from tests.studies import run_all

BLOCKS = all_blocks()
FILES = {block.file: block.text for block in BLOCKS if block.file}
"""Sweep files that pages show whole, by the name in their first line."""

LEFT_OUT = ("docs/cluster.md", "docs/findings.md")
"""Pages whose commands need a cluster, or hours: no block of theirs runs."""

GENERATED = "docs/sweeps.md"
"""Its examples are read off the specs, each as little as shows one spec."""

SHORTENED: Mapping[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "run": lambda given: ("plan", *given[1:]),
    "restore": lambda given: (*given, "--steps=2"),
}
"""What stands for a command that takes minutes. A plan reads sweep, options and store as a run."""

YES = ("remove",)
"""Commands that ask before they do anything."""

TICKET = re.compile(r"\b(?=\d*[a-f])[0-9a-f]{4}@\d+")
"""A ticket as pages write it, by the first digits of a trial's id: every store has its own."""

BASE = {
    "name": "fragment",
    "trial": {"images": "astronaut", "task": {"kind": "denoising", "sigma": 25}},
}
"""What a part of a sweep file is a part of."""

TINY = ("prior.width=4", "prior.scales=2", "prior.input_channels=4", "fit.steps=8")
SET14 = (
    *("baboon", "barbara", "bridge", "coastguard", "comic", "face", "flowers"),
    *("foreman", "lenna", "man", "monarch", "pepper", "ppt3", "zebra"),
)


def ident(block: Block) -> str:
    return block.place


def of(*languages: str, page: str = "") -> list[Block]:
    """The blocks in these languages that are to run, of one page or of all."""
    return [
        block
        for block in BLOCKS
        if block.language in languages
        and page in ("", block.page)
        and not block.not_run
        and block.page not in LEFT_OUT
    ]


RUN_LANGUAGES = ("console", "python", "sql")
RUN = list(dict.fromkeys(block.page for block in of(*RUN_LANGUAGES)))
"""The pages that have something to run."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that pages speak of."""
    folder = tmp_path_factory.mktemp("furnished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("sweeps", "examples"):
            Path(name).symlink_to(ROOT / name)
        _make_pictures()
        for name, text in FILES.items():
            Path(name).write_text(text, encoding="utf-8")
        Path("mine.sql").write_text("select count(*) from levels")
        _make_stores()
    return folder


def _make_pictures() -> None:
    """The photos of the pages' sweeps, small ones, no two alike."""
    sides = {"clean.png": 72, "noisy.png": 72, "old.jpg": 24}
    sides |= {f"data/set14/{name}.png": 72 for name in SET14}
    sides |= {f"{folder}/{n}.png": 72 for folder in ("Set14", "faces") for n in range(2)}
    sides |= {f"photos/{name}.png": 72 for name in ("cat", "chelsea", "astronaut", "coffee")}
    sides |= {f"photos/faces/{n}.png": 16 for n in range(64)}
    for seed, (path, side) in enumerate(sides.items()):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _image(seed, side).save(path)
    held_out = np.stack([np.asarray(_image(1000 + n, 64)) for n in range(4)])
    np.savez("photos/held-out.npz", images=held_out)
    noisy = np.random.default_rng(0).normal(0.5, 0.1, (1, 72, 72, 3)).astype(np.float32)
    np.savez("noisy.npz", images=np.clip(noisy, 0, 1))
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)).save("photo.tif")


def _image(seed: int, side: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def _make_stores() -> None:
    """The stores of the pages' sweeps, of tiny fits; others are copies of these."""
    quickstart = ("grid.seed=[0, 1]", *TINY)
    run_all(ROOT / "sweeps/quickstart.yaml", Path("results/quickstart"), overrides=quickstart)
    sensing = ROOT / "sweeps/quickstart_sensing.yaml"
    run_all(sensing, Path("results/quickstart_sensing"), quick=True)
    short = yaml.safe_load(FILES["noise.yaml"])
    short["trial"] |= {
        "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 4},
        "schedule": [1, 0.6, 0.4, 0.3, 0.2],
        "fit": {"steps": 8},
    }
    Path("short-noise.yaml").write_text(yaml.safe_dump(short))
    run_all(Path("short-noise.yaml"), Path("results/noise"))
    short |= {"name": "photos", "grid": {"pruner": ["magnitude", "random"]}}
    Path("short-photos.yaml").write_text(yaml.safe_dump(short))
    run_all(Path("short-photos.yaml"), Path("results/cat"))
    for name in ("more", "stopping"):
        shutil.copytree("results/noise", f"results/{name}")


@pytest.fixture
def workplace(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which a block may change."""
    folder = shutil.copytree(furnished, tmp_path / "workplace", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    return folder


def lip(arguments: tuple[str, ...], text: str | None = None) -> Result:
    answer = "y\n" if set(YES) & set(arguments[:2]) else text
    return CliRunner().invoke(app, list(arguments), input=answer, env={"COLUMNS": "200"})


def shortened(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return SHORTENED.get(arguments[0], tuple)(arguments)


def with_tickets(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The same with tickets of the store in place of those that the page names."""
    names = dict.fromkeys(name for word in arguments for name in TICKET.findall(word))
    if not names:
        return arguments
    store = arguments[arguments.index("--store") + 1] if "--store" in arguments else "results/noise"
    ids = sorted(Reader(store).frame("trials")["trial_id"])
    found = {name: f"{ids[at]}@{name.partition('@')[2]}" for at, name in enumerate(names)}
    return tuple(TICKET.sub(lambda name: found[name[0]], word) for word in arguments)


def refused(command: Command) -> bool:
    """Whether the page shows how this command is refused."""
    return re.match(r".+: \d+ problems?$", command.shown.partition("\n")[0]) is not None


def run(command: Command) -> Result:
    """The command, as far as it is run here."""
    text = Path(command.reads).read_text() if command.reads else None
    result = lip(shortened(with_tickets(command.words[1:])), text)
    if command.writes:
        Path(command.writes).write_text(result.stdout)
    return result


def run_block(block: Block, run_command: Callable[[Command], Result]) -> None:
    """Run a block as its language is run; a command that fails, or shows other columns, raises."""
    if block.language == "python":
        exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
        return
    if block.language == "sql":
        query = ("lip", "query", block.text, "--store", "results/quickstart")
        given = [Command(query)]
    else:
        given = [command for command in commands(block.text) if not refused(command)]
    for command in given:  # how others are refused, test_documentation compares
        result = run_command(command)
        said = f"{block.place}: {shlex.join(command.words)}\n{result.output}\n{result.exception!r}"
        assert result.exit_code == 0, said
        if columns := told(command):
            shown = [name for name in result.stdout.partition("\n")[0].split() if name != NOTE]
            assert shown == [name for name in columns if name != NOTE], said


NOTE = "Note"
"""The column that a table has only where there is something to note."""


def told(command: Command) -> list[str]:
    """The names of the columns that the page shows above an answer in SQL or a table."""
    tables = command.words[1:2] in (("query",), ("table",)) and "--format" not in command.words
    return command.shown.partition("\n")[0].split() if tables else []


@pytest.fixture(scope="module")
def validator() -> Any:
    """What holds parts of sweep files to their schema, which is checked once for all of them."""
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


class TestEveryBlock:
    @pytest.mark.parametrize("block", BLOCKS, ids=ident)
    def test_it_runs_or_says_why_not(self, block: Block) -> None:
        """What is neither tried nor output, `text`, says why it cannot be run."""
        tried = block.language in ("console", "python", "yaml", "sql", "bibtex", "text")
        assert tried or block.is_directive or block.not_run or block.page in LEFT_OUT
        if block.language == "console" and not block.not_run and block.page not in LEFT_OUT:
            others = [one.words for one in commands(block.text) if one.words[0] != "lip"]
            assert others == [], "only `lip` is run: give the others a block with a comment"

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_a_comment_is_before_its_block(self, page: Path) -> None:
        assert stray_comments(page.read_text(encoding="utf-8")) == []

    @pytest.mark.parametrize("page", RUN, ids=str)
    def test_page(self, page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The blocks of a page run one after another, in one folder."""
        monkeypatch.setattr(printing, "_rendered", lambda *_: b"drawn")
        for block in of(*RUN_LANGUAGES, page=page):
            run_block(block, run)

    @pytest.mark.parametrize(
        "block", [one for one in of("yaml") if one.page != GENERATED], ids=ident
    )
    def test_sweep_files_and_parts_of_them(self, block: Block, workplace: Path) -> None:
        written = yaml.safe_load(block.text)
        if "claims" in written:
            assert Claims.model_validate(written).claims
            return
        sweep = Sweep.build(whole(written), folder=workplace)
        assert sweep.trials or sweep.search

    @pytest.mark.parametrize(
        "block", [one for one in of("yaml") if one.page == GENERATED], ids=ident
    )
    def test_examples_of_one_spec(self, block: Block, validator: Any) -> None:
        """They may lack required fields, and files: names and types are those of the schema."""
        validator.validate(placed(yaml.safe_load(block.text)))

    @pytest.mark.parametrize("block", of("bibtex"), ids=ident)
    def test_bibtex_is_what_lip_cite_prints(self, block: Block) -> None:
        key = block.text.partition("{")[2].partition(",")[0]
        assert block.text.split() == PAPERS[key].bibtex(key).split()


def without_needs(schema: Any) -> Any:
    """A schema whose fields may be left out, but for the kinds by which unions are told apart."""
    if isinstance(schema, list):
        return [without_needs(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: without_needs(item) for key, item in schema.items()}
    needs = found.get("required")
    return found | {"required": ["kind"] * ("kind" in needs)} if isinstance(needs, list) else found


SCHEMA = without_needs(json_schema())
SWEEP_KEYS = set(SCHEMA["properties"])


def placed(document: dict[str, Any]) -> dict[str, Any]:
    """A part of a sweep file at its place: fields of a trial are the trial's."""
    return document if set(document) <= SWEEP_KEYS else {"trial": document}


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """A sweep that has the part of a file that a page shows."""
    part = placed(document)
    if "name" in part:
        return part
    return BASE | part | {"trial": BASE["trial"] | part.get("trial", {})}


class TestTheReader:
    def test_a_block_and_its_comment(self) -> None:
        text = (
            "a\n\n<!-- not run: needs\na cluster -->\n```console\nlip run x\n```\n\n```yaml\n```\n"
        )
        first, second = blocks(text, "docs/a.md")
        assert (first.place, first.language, first.text) == (
            "docs/a.md:5",
            "console",
            "lip run x\n",
        )
        assert (first.not_run, second.not_run) == ("needs a cluster", "")
        assert stray_comments(text) == []

    @pytest.mark.parametrize("comment", ["not run:", "not run", "nothing", "run: now"])
    def test_a_comment_without_a_reason_keeps_nothing_from_running(self, comment: str) -> None:
        [block] = blocks(f"<!-- {comment} -->\n```sql\n```\n", "a.md")
        assert block.not_run == ""

    def test_a_comment_with_words_between_is_no_block_s(self) -> None:
        text = "<!-- not run: slow -->\nwords\n```console\n```\n"
        [block] = blocks(text, "a.md")
        assert block.not_run == ""
        assert stray_comments(text) == ["<!-- not run: slow -->"]

    def test_a_table_of_contents_is_no_code(self) -> None:
        [block] = blocks("```{toctree}\na\n```\n", "a.md")
        assert block.is_directive

    def test_a_named_file(self) -> None:
        first, second = blocks("```yaml\n# a.yaml\nname: a\n```\n```yaml\nname: b\n```\n", "a.md")
        assert (first.file, second.file) == ("a.yaml", "")

    def test_commands(self) -> None:
        shell = "lip run x && lip report y -o z.html  # a page\ncat a.sql | lip query - > b.csv\n"
        assert list(commands(shell)) == [
            Command(("lip", "run", "x")),
            Command(("lip", "report", "y", "-o", "z.html")),
            Command(("lip", "query", "-"), reads="a.sql", writes="b.csv"),
        ]

    def test_commands_with_their_output(self) -> None:
        shown = "$ lip query 'select 1 as n'\n  n\n  1\n$ lip ls\n"
        assert [(one.words[1], one.shown) for one in commands(shown)] == [
            ("query", "  n\n  1\n"),
            ("ls", ""),
        ]

    def test_a_command_that_fails_is_named_with_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        [block] = blocks("```console\nlip status --store nowhere\n```\n", "docs/a.md")
        with pytest.raises(AssertionError, match=r"docs/a\.md:1: lip status --store nowhere"):
            run_block(block, run)

    def test_other_columns_than_the_page_shows_are_refused(self, workplace: Path) -> None:
        shell = '$ lip query "select 1 as one" --store results/cat\ntwo\n  1\n'
        [block] = blocks(f"```console\n{shell}```\n", "docs/a.md")
        with pytest.raises(AssertionError, match="select 1 as one"):
            run_block(block, run)
