"""The blocks of code of README.md and docs/, their comments, and how their shell is read."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[^\n]*)\n(?P<text>.*?)^ *(?P=fence)",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"<!--(?P<said>(?:(?!-->).)*)-->\s*\Z", re.DOTALL)
NOT_RUN = re.compile(r"not run: *(?P<why>\S.*)", re.DOTALL)
NAMED_FILE = re.compile(r"# (\S+\.yaml)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block, where it begins, and what the comment before it says."""

    page: str
    line: int
    language: str
    text: str
    comment: str

    @property
    def place(self) -> str:
        """Page and line, as editors open them."""
        return f"{self.page}:{self.line}"

    @property
    def not_run(self) -> str:
        """Why this block cannot be run, as its page says; empty where it is to run."""
        said = NOT_RUN.fullmatch(self.comment)
        return said["why"].strip() if said else ""

    @property
    def is_directive(self) -> bool:
        """Whether the site's builder reads it, as a table of contents."""
        return self.language.startswith("{")

    @property
    def file(self) -> str:
        """The name of the sweep file that it shows whole, in its first line."""
        named = NAMED_FILE.match(self.text) if self.language == "yaml" else None
        return named[1] if named else ""


@dataclass(frozen=True)
class Command:
    """A simple command of a block, what it reads and writes, and the output that the page shows."""

    words: tuple[str, ...]
    reads: str = ""
    writes: str = ""
    shown: str = ""


def blocks(text: str, page: str) -> list[Block]:
    """The blocks of a page in order."""
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"].strip().lower(),
            text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            comment=_comment(text[: match.start()]),
        )
        for match in FENCE.finditer(text)
    ]


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [
        block
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
    ]


def stray_comments(text: str) -> list[str]:
    """What a page says of blocks that are not there: no block follows these comments."""
    of_blocks = [
        comment.start()
        for match in FENCE.finditer(text)
        if (comment := COMMENT.search(text[: match.start()]))
    ]
    return [
        comment[0]
        for comment in re.finditer(r"<!--\s*not run\b.*?-->", text, re.DOTALL)
        if comment.start() not in of_blocks
    ]


def commands(shell: str) -> Iterator[Command]:
    """The simple commands of a block; of one that shows output, those behind a prompt."""
    if re.search(r"^\$ ", shell, re.MULTILINE):
        for example in re.split(r"^\$ ", shell, flags=re.MULTILINE)[1:]:
            line, _, shown = example.partition("\n")
            *first, last = _simple(line)
            yield from first
            yield Command(last.words, last.reads, last.writes, shown)
    else:
        for line in re.sub(r"\\\n\s*", " ", shell).splitlines():
            yield from _simple(line)


def _comment(before: str) -> str:
    found = COMMENT.search(before)
    return " ".join(found["said"].split()) if found else ""


def _simple(line: str) -> list[Command]:
    """The commands of one line: `a && b`, `cat FILE | a`, and `a > FILE`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found, words, reads = [], [], ""
    for word in [*lexer, ";"]:
        if word == "|" and words[:1] == ["cat"] and len(words) == 2:
            words, reads = [], words[1]
        elif set(word) <= set("|&;"):
            if words:
                writes = words[-1] if ">" in words[-2:-1] else ""
                found.append(Command(tuple(words[:-2] if writes else words), reads, writes))
            words, reads = [], ""
        else:
            words.append(word)
    return found
