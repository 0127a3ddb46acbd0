"""Seeded mutations of documents and bytes, and the figures of what came of them."""

import copy
import random
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lip_ray.errors import UserError

SLOW_S = 60.0
"""A single input that takes longer is a fault: it hangs whoever gave it."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 255, 256, 1000, 2**31, 2**53 + 1, 2**63, 10**30,
    -(10**30),
    0.0, 0.1, 0.5, 1.5, -0.5, 1e-300, 1e300, float("inf"), -float("inf"), float("nan"),
    "", " ", "a", "camera", "astronaut", "digits", "skip", "magnitude", "denoising", "rate", "init",
    "0", "1e-2", "null", "~", "~nobody-of-that-name/a.png", "/dev/zero", "/", ".", "*.png", "a\0b",
    "https://example.org/a.png", "s3://bucket/a.npz", "ü", "\ud800", "x" * 5000, "$(id)", "{{7*7}}",
    [], [1], [[]], [None], [1, 0.5], [1, 0.5, 0.1], [0, 8], [8, 0], [-1, 4], [16, 16],
    [10**9, 10**9],
    ["camera", "moon"], {}, {"kind": None}, {"kind": "nothing"}, {"a": {"b": {"c": 1}}}, {1: 2},
    {"kind": "rate", "rate": 0.5, "steps": 10**9}, {"kind": "digit", "index": [0, 1, 2]},
    {"kind": "file", "path": "/dev/zero"}, {"kind": "npz", "path": "/etc/passwd", "index": 0},
)  # fmt: skip
"""What a slip, a script or a stranger may write in any place."""


@dataclass
class Figures:
    """What came of many inputs of one kind."""

    kind: str
    seed: int
    tried: int = 0
    refused: int = 0
    silent: list[str] = field(default_factory=list)
    """Inputs that were taken with other values than they have."""
    tracebacks: list[str] = field(default_factory=list)
    """Inputs that ended in anything but one message, or took too long."""

    def attempt(
        self, label: str, read: Callable[[], str], *, refusal: type[ValueError] = UserError
    ) -> None:
        """Try one input. `read` returns what is wrong with what it got; empty where nothing is."""
        self.tried += 1
        begun = time.monotonic()
        try:
            wrong = read()
        except refusal as error:
            self.refused += 1
            if not str(error).encode(errors="ignore").decode() == str(error) != "":
                self.tracebacks.append(f"{label}: a refusal that cannot be printed, {error!r}")
        except Exception:
            self.tracebacks.append(f"{label}: {traceback.format_exc(limit=-3)}")
        else:
            if wrong:
                self.silent.append(f"{label}: {wrong}")
        if time.monotonic() - begun > SLOW_S:
            self.tracebacks.append(f"{label}: took {time.monotonic() - begun:.0f} s")

    def __str__(self) -> str:
        return (
            f"{self.kind} (seed {self.seed}): {self.tried:,} tried, {self.refused:,} refused, "
            f"{len(self.silent)} silent, {len(self.tracebacks)} tracebacks"
        )

    def require_sound(self) -> None:
        """Print the figures; fail with the first few faults where there are any."""
        print(f"\n{self}")
        faults = [*self.silent, *self.tracebacks]
        assert not faults, "\n".join([str(self), *faults[:5]])


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a document."""
    inside = document.items() if isinstance(document, dict) else ()
    if isinstance(document, list):
        inside = enumerate(document)
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        document = document[key]
    return document


def mutated(document: Any, draws: random.Random) -> tuple[str, Any]:
    """A copy with one to three values replaced, dropped, doubled, moved or added; and what."""
    document = copy.deepcopy(document)
    done = []
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        paths = list(places(document))
        if not paths:
            break
        path = draws.choice(paths)
        parent, key = at(document, path[:-1]), path[-1]
        how = draws.choice(("replace", "replace", "replace", "drop", "add", "swap", "rename"))
        value = copy.deepcopy(draws.choice(VALUES))
        if how == "replace":
            parent[key] = value
        elif how == "drop":
            del parent[key]
        elif how == "swap":
            parent[key] = copy.deepcopy(at(document, draws.choice(paths)))
        elif isinstance(parent, dict):
            name = f"{key}x" if isinstance(key, str) else key
            parent[name] = parent.pop(key) if how == "rename" else value
        else:
            parent.insert(key, value)
        done.append(f"{how} {'.'.join(map(str, path))} {value!r:.60}")
    return "; ".join(done), document


def damaged(data: bytes, draws: random.Random) -> tuple[str, bytes]:
    """A copy with a bit turned, bytes overwritten, cut off, doubled or inserted; and what."""
    content = bytearray(data)
    place = draws.randrange(len(content))
    how = draws.choice(("bit", "bit", "byte", "cut", "zeros", "insert", "double"))
    if how == "bit":
        content[place] ^= 1 << draws.randrange(8)
    elif how == "byte":
        content[place] = draws.randrange(256)
    elif how == "cut":
        del content[place:]
    elif how == "zeros":
        content[place : place + 16] = bytes(len(content[place : place + 16]))
    elif how == "insert":
        content[place:place] = draws.randbytes(draws.choice((1, 4, 64)))
    else:
        content += content[place:]
    return f"{how} at {place} of {len(data)}", bytes(content)
