"""Compiled trials: what a process compiled before has no say in what it compiles next."""

from functools import partial
from typing import Any

import pytest
import torch
from ladders import records_of, trajectory
from torch.fx import GraphModule


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every graph that is compiled, in order, whether it is for sizes that may change."""
    seen: list[bool] = []

    def backend(graph: GraphModule, inputs: list[Any]) -> Any:
        sizes = [size for one in inputs if isinstance(one, torch.Tensor) for size in one.shape]
        seen.append(any(isinstance(one, torch.SymInt) for one in (*inputs, *sizes)))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    return seen


def test_every_trial_compiles_its_own_network(compiled: list[bool]) -> None:
    for width, side in ((4, 12), (4, 14), (5, 14), (6, 16)):
        records_of(
            trajectory(
                images={"kind": "builtin", "name": "astronaut", "size": (side, side)},
                prior={"kind": "skip", "width": width, "scales": 1, "input_channels": 2},
                schedule=[1.0, 0.5],
                fit={"steps": 2, "compiled": True, "stopping": {"window": 2, "stride": 1}},
            )
        )
    assert compiled == [False] * 4  # once for both levels
