"""How often each kind of trial makes the host wait for a GPU: `python -m tests.gpu.waits [WORD …]`.

A trial runs on the stand-in with a loop of some length, and with one twice as long. What the longer
one has more of is what the loop itself does, wherever the loop is and whatever goes on around it.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import islice
from unittest import mock

import torch

from lip_ray.fits import adversarial
from lip_ray.records import Outcome
from lip_ray.trials import Context, run
from lip_ray.trials.context import LevelProgress
from tests.gpu.kinds import Case, artifacts, cases, deepinv
from tests.gpu.standin import GPU, Place, Recording, gpu

LENGTH = 2
"""The shorter length of a loop."""

Waits = dict[tuple[Place, str], Fraction]
"""How often the host waits per step, epoch or round, by line and reason."""


def waits(case: Case, length: int = LENGTH) -> Waits:
    """The waits of a case's loop."""
    short, long = (_counted(recorded(case, count)) for count in (length, 2 * length))
    grown = long - short  # what is made once a process is left out, as the short one is the first
    return {key: Fraction(more, length * case.loops) for key, more in grown.items()}


def recorded(case: Case, length: int, *, taping: bool = False) -> Recording:
    """A case's trial of a length, run on the stand-in.

    Fits report the begin and the end of each step, so that sections 1, 2, … are the steps of the
    first fit, and a wait's section is its step. Raises ValueError where a fit ends badly, for then
    less has run than it seems.
    """
    trial = case.make(length)
    context = Context(
        device=GPU,
        artifacts=artifacts(trial),
        checkpoint_every_s=math.inf,
    )
    few_pictures = mock.patch.multiple(adversarial, COMPARED=16, JUDGED=16, SAMPLES=4)
    with deepinv(), few_pictures, gpu(taping=taping) as recording, _marking(recording):
        found = list(islice(run(trial, context), case.rows))
    wrong = {record.outcome for record in found} - {Outcome.BUDGET, Outcome.STOPPED}
    if wrong:
        raise ValueError(f"a fit ended as {wrong.pop()}: {found[-1].reason}")
    return recording


def _marking(recording: Recording) -> AbstractContextManager[object]:
    """A report of a fit's progress, which would wait whenever it is due, is a mark instead."""

    def mark(*_: object) -> None:
        recording.mark()

    return mock.patch.object(LevelProgress, "__call__", mark)


def _counted(recording: Recording) -> Counter[tuple[Place, str]]:
    return Counter((wait.place, f"{wait.reason} ({wait.operation})") for wait in recording.waits)


def lines(words: list[str]) -> Iterator[str]:
    """A table of the cases that have one of the words in their name; of all without words."""
    for name, case in cases():
        if not words or any(word in name for word in words):
            found = waits(case)
            yield f"{float(sum(found.values())):8.2f} per {case.unit:6} {name}"
            for (place, why), count in sorted(found.items()):
                yield f"{float(count):19.2f}  {place}: {why}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in lines(sys.argv[1:]):
        print(line, flush=True)
