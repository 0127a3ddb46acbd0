"""The documentation holds: links lead somewhere, commands exist, code compiles, no one's paths."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lip_ray.cli import app

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"build", "dist", "node_modules", "results"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in LEFT_OUT for part in path.relative_to(ROOT).parts)
)
SHELLS = {"", "bash", "console", "sh", "shell", "shell-session"}
SOMEONE_S = re.compile(r"(?<![\w.])(/(?:home|root|Users)/\S*|[A-Z]:\\\S*)")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *([\w-]*)[^\n]*\n(.*?)^ *\2", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TEST = re.compile(r"\btest_\w+\.py\b")
TESTS = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
PLACEHOLDER = re.compile(r"<[\w .-]+>")
OPTIONAL = re.compile(r"\[(--?\w[^\]]*)\](?:…|\.\.\.)?")

each = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(match[3].lower(), match[4]) for match in FENCE.finditer(text)]


def prose(text: str) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", text)


def absent_tests(text: str) -> set[str]:
    """The files of tests that a page names, of those that are not there."""
    return set(TEST.findall(text)) - TESTS


def anchors(text: str) -> set[str]:
    """The headings, as GitHub names them in links."""
    headings = re.findall(r"^#+\s+(.+?)\s*#*$", prose(text), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def broken_links(page: Path) -> list[str]:
    """Links to files or headings that are not there."""
    text = INLINE.sub("", prose(page.read_text(encoding="utf-8")))
    targets = [inline or reference for inline, reference in LINK.findall(text)]
    return [target for target in targets if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a link is to another site, or to a file, or to a heading, that exists."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return True
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    if not anchor or file.suffix != ".md":
        return file.exists()
    return file.exists() and anchor in anchors(file.read_text(encoding="utf-8"))


def commands(shell: str) -> Iterator[list[str]]:
    """The arguments of every `lip` in a piece of shell."""
    joined = re.sub(r"\\\n\s*", " ", OPTIONAL.sub(r"\1", PLACEHOLDER.sub("X", shell)))
    for line in joined.splitlines():
        words = shlex.shlex(re.sub(r"^\s*[$%>] ", "", line), posix=True, punctuation_chars="|&;<>")
        words.whitespace_split = True
        simple: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("|&;"):
                yield from lip_in(simple)
                simple = []
            else:
                simple.append(word)


def lip_in(words: list[str]) -> Iterator[list[str]]:
    """What follows `lip` in a simple command, without the redirections."""
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if words and words[0].rpartition("/")[2] == "lip":
        ends = [index for index, word in enumerate(words) if set(word) <= set("<>")]
        yield words[1 : ends[0] if ends else None]


def mistake(arguments: list[str], *, complete: bool = True) -> str:
    """What the command line would say of these arguments; nothing where they are right."""
    return said_of(typer.main.get_command(app), arguments, complete=complete)


def said_of(group: Any, arguments: list[str], *, complete: bool) -> str:
    """The same of the commands in one group."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name.startswith("-"):
        known = {option for param in group.params for option in param.opts} | {"--help"}
        return "" if name in known else f"no such option {name}"
    if name not in group.commands:
        return "" if not name and not complete else f"no such command {name!r}"
    if "--help" in rest:
        return ""
    if hasattr(group.commands[name], "commands"):
        return said_of(group.commands[name], rest, complete=complete)
    try:
        group.commands[name].make_context(name, list(rest))
    except Exception as error:
        if type(error).__name__ == "MissingParameter" and not complete:
            return ""
        return f"{type(error).__name__}: {error}"
    return ""


def wrong_commands(text: str) -> list[str]:
    """The commands of a page that the command line would refuse."""
    given = [
        (arguments, True)
        for block in blocks(text)
        if block.language in SHELLS
        for arguments in commands(block.text)
    ]
    given += [
        (arguments, False)
        for code in INLINE.findall(prose(text))
        if re.match(r"lip(\s|$)", code)
        for arguments in commands(code)
    ]
    return [
        f"lip {shlex.join(arguments)}: {said}"
        for arguments, complete in given
        if (said := mistake(arguments, complete=complete))
    ]


def test_there_is_a_readme() -> None:
    assert ROOT / "README.md" in PAGES


@each
class TestEveryPage:
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        assert broken_links(page) == []

    def test_its_commands_exist(self, page: Path) -> None:
        assert wrong_commands(page.read_text(encoding="utf-8")) == []

    def test_its_tests_are_there(self, page: Path) -> None:
        assert absent_tests(page.read_text(encoding="utf-8")) == set()

    def test_its_python_compiles(self, page: Path) -> None:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language in ("python", "py"):
                compile(block.text, str(page), "exec")

    def test_it_names_no_one_s_machine(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert SOMEONE_S.findall(text) == []
        assert str(ROOT) not in text


def test_the_makefile_s_commands_exist() -> None:
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line.strip("\t@-") for line in recipes.splitlines() if "/lip " in line]
    assert lines
    for line in lines:
        for arguments in commands(line.replace("$(BIN)", "bin")):
            assert mistake(arguments) == ""


class TestTheChecker:
    def test_names_of_tests(self) -> None:
        said = "tested by `test_documentation.py` and `tests/laws/test_no_one_s.py`"
        assert absent_tests(said) == {"test_no_one_s.py"}

    def test_links(self, tmp_path: Path) -> None:
        (tmp_path / "b.md").write_text("# One thing\n```\n# no heading\n```\n")
        page = tmp_path / "a.md"
        page.write_text(
            "# The store's `id`\n[x](b.md) [x](b.md#one-thing) [x](#the-stores-id) ![x](c.png)\n"
            "[x](https://example.org/a) [x](b.md#two) [x](#nothing) `[x](code.md)` [x][y]\n"
            "```\n[x](block.md)\n```\n[y]: d.md\n[z]: b.md\n"
        )
        assert broken_links(page) == ["c.png", "b.md#two", "#nothing", "d.md"]

    @pytest.mark.parametrize(
        "shell",
        [
            "lip run quickstart --quick --set seed=3 --set 'grid.seed=[0, 1]'",
            "$ lip plan sweeps/quickstart.yaml  # what is left",
            'lip query "select count(*) from levels where kept > 3" --format csv > out.csv',
            "lip report results/quickstart \\\n    -o page.html && open page.html",
            "LIP_RAY_STORE=here .venv/bin/lip status | head -3; lip doctor",
            "lip run SWEEP [--store PATH] [--set dotted.path=value]…",
            "lip run <sweep> --store <folder>",
            "lip tickets compare 1234@2 ticket.safetensors",
            "lip --help\nlip run --help\nlip --version",
            "pip install lip-ray\npython -m lips nothing",
        ],
    )
    def test_right_commands(self, shell: str) -> None:
        assert wrong_commands(f"```sh\n{shell}\n```\n") == []

    @pytest.mark.parametrize(
        "shell",
        [
            "lip fly quickstart",
            "lip run quickstart --quickly",
            "lip run",
            "lip run one two",
            "lip tickets fly",
            "lip tickets compare only-one",
            "lip --verbose",
            "lip",
            "cd there && lip status --stroe results",
            "lip query 'select 1' | lip fly",
            "lip report results \\\n  --page x.html",
        ],
    )
    @pytest.mark.parametrize("language", ["", "bash", "console"])
    def test_wrong_commands(self, shell: str, language: str) -> None:
        assert len(wrong_commands(f"```{language}\n{shell}\n```\n")) == 1

    def test_commands_within_a_sentence(self) -> None:
        assert wrong_commands("After `lip run`, `lip report` or `lip`: `lips`, `lip-ray`.") == []
        assert len(wrong_commands("Use `lip fly` or `lip run x --fast`.")) == 2

    def test_commands_shown_as_something_else_are_not_read(self) -> None:
        assert wrong_commands("```yaml\nlip fly\n```\n") == []

    def test_paths(self) -> None:
        found = SOMEONE_S.findall("see /home/ann/x and C:\\x, not ./home/x or https://a.b/home/c")
        assert found == ["/home/ann/x", "C:\\x,"]


def refusals() -> Iterator[tuple[str, str]]:
    """Commands whose shown output says what is wrong with them, and that output."""
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            for example in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, shown = example.partition("\n")
                if re.match(r".+: \d+ problems?$", shown.partition("\n")[0]):
                    yield command, shown


@pytest.mark.parametrize(("command", "shown"), list(refusals()))
def test_what_a_refused_command_says_is_shown_as_it_is(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    name, *arguments = shlex.split(command)
    assert name == "lip"
    said = CliRunner().invoke(app, arguments).output
    assert said.split() == shown.split()


def test_a_refused_command_is_found() -> None:
    assert list(refusals())
