"""Replayed steps: the numbers of launched ones, in every kind of fit to an image."""

import logging
from collections.abc import Iterable
from dataclasses import asdict
from math import inf

import pytest
import torch
from torch import Tensor

from lip_ray.fits import replay, trace
from lip_ray.tasks import Problem
from lip_ray.trials import Context, run
from tests.gpu.kinds import Case, artifacts, cases, deepinv, trajectory
from tests.gpu.standin import GPU, GpuGraph, differences, gpu, lacking
from tests.gpu.waits import recorded

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

OTHERS = {"solver", "generator", "classification,", "generator,", "reconstruction,", "pruner"}
"""First words of cases whose loop is not a fit to an image."""
CASES = {name: case for name, case in cases() if name.split()[0] not in OTHERS}
ROLLS_BACK = "trajectory, roll back"
FIRST = {"task denoising 1", "task super_resolution 1", "rule held_out", "trajectory, two images"}
"""Cases of every run; the others are slow together."""


def each(names: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrise by case."""
    marked = (pytest.param(n, marks=[] if n in FIRST else pytest.mark.slow) for n in names)
    return pytest.mark.parametrize("name", list(marked))


STEPS = 9
"""Steps of a fit, of which some are launched first."""
OF_THE_CLOCK = {"fit_s", "memory_mb", "finished_at"}


def found(
    case: Case, monkeypatch: pytest.MonkeyPatch, *, worth_capturing: float
) -> tuple[str, int]:
    """What a trial records, without times, and how often a step was replayed."""
    replays = []
    plain = GpuGraph.replay
    monkeypatch.setattr(GpuGraph, "replay", lambda graph: (replays.append(graph), plain(graph)))
    monkeypatch.setattr(replay, "WORTH_CAPTURING", worth_capturing)
    monkeypatch.setattr(trace, "MOST_TOGETHER", 4)  # steps are evaluated between replays
    trial = case.make(STEPS)
    with deepinv(), gpu():
        records = [
            asdict(one) for one in run(trial, Context(device=GPU, artifacts=artifacts(trial)))
        ]
    monkeypatch.undo()
    told = [
        {name: value for name, value in one.items() if name not in OF_THE_CLOCK} for one in records
    ]
    return repr(told), len(replays)


@each(CASES)
def test_the_records_are_those_of_launched_steps(name: str, monkeypatch) -> None:
    launched, none = found(CASES[name], monkeypatch, worth_capturing=inf)
    replayed, count = found(CASES[name], monkeypatch, worth_capturing=1)
    assert none == 0
    assert count % (STEPS - replay.WARM_UP) == 0
    assert bool(count) is (name != ROLLS_BACK)
    assert replayed == launched


@each(name for name in CASES if name != ROLLS_BACK)
def test_steps_are_the_same_work(name: str, monkeypatch) -> None:
    """From the second on, when all memory is claimed; evaluating them is not part of a step."""
    monkeypatch.setattr(trace, "MOST_TOGETHER", 100)
    _, _, *steps, _ = recorded(CASES[name], 5, taping=True).sections[:6]
    assert len(steps) == 3
    assert len(steps[0]) > 50
    for step in steps[1:]:
        assert differences(steps[0], step) == []


def test_all_first_cases_exist() -> None:
    assert CASES.keys() >= FIRST


def test_short_fits_are_launched(monkeypatch) -> None:
    assert found(Case(trajectory), monkeypatch, worth_capturing=STEPS + 1)[1] == 0


def test_a_step_that_waits_is_launched_and_says_why(monkeypatch, caplog) -> None:
    loss = Problem.loss

    def read(self: Problem, output: Tensor) -> Tensor:
        float(output.detach().mean())
        return loss(self, output)

    launched, _ = found(Case(trajectory), monkeypatch, worth_capturing=inf)
    monkeypatch.setattr(Problem, "loss", read)
    with caplog.at_level(logging.WARNING, logger="lip_ray"), monkeypatch.context() as patch:
        waiting, count = found(Case(trajectory), patch, worth_capturing=1)
    assert count == 0
    assert waiting == launched
    assert "launched one by one" in caplog.text
    assert "reads a number" in caplog.text


def test_a_step_that_counts_on_the_host_is_told_from_its_replay(monkeypatch) -> None:
    """The stand-in replays the numbers of the capture: such a step has other results."""
    loss, count = Problem.loss, iter(range(10**6))

    def counting(self: Problem, output: Tensor) -> Tensor:
        return loss(self, output) * (1 + next(count))

    monkeypatch.setattr(Problem, "loss", counting)
    with monkeypatch.context() as patch:
        launched, _ = found(Case(trajectory), patch, worth_capturing=inf)
    count = iter(range(10**6))
    with monkeypatch.context() as patch:
        replayed, _ = found(Case(trajectory), patch, worth_capturing=1)
    assert replayed != launched


def test_a_capture_leaves_everything_as_it_was() -> None:
    with gpu():
        values, draws = torch.ones(3, device=GPU), torch.Generator(GPU).manual_seed(1)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(draws)
        with torch.cuda.graph(graph):
            values.add_(1)
            drawn = torch.randn(2, device=GPU, generator=draws)
            doubled = 2 * values
        assert values.tolist() == [1, 1, 1]
        again = torch.Generator(GPU).manual_seed(1)
        for count in (1, 2, 3):
            graph.replay()
            assert values.tolist() == [1 + count] * 3
            assert doubled.tolist() == [2 + 2 * count] * 3
            assert drawn.tolist() == torch.randn(2, device=GPU, generator=again).tolist()
