"""Rows are read off the network as its fit left it, whatever the pruner does to it afterwards."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from generators import generator
from ladders import MemoryArtifacts, found, records_of, trajectory
from torch import nn

from lip_ray.fits import AdversarialFit, Fit
from lip_ray.pruning import AbstractPruner, Pruner
from lip_ray.spec import kinds_of
from lip_ray.trials import AbstractTrial, Classification, bench, classification
from lip_ray.trials import generator as generator_trial

BRIEFLY: dict[str, Any] = {
    "synflow": {"kind": "synflow", "rounds": 2},
    "oes": {"kind": "oes", "steps": 2},
}
PRUNERS = tuple(BRIEFLY.get(kind, kind) for kind in kinds_of(Pruner))
SCHEDULE = [1.0, 0.6, 0.4]
BRIEF = {"steps": 4, "stopping": {"window": 2, "stride": 1}}


def fingerprint(module: nn.Module) -> int:
    """A number that the network's weights decide, in the place of a column."""
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.detach().contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest()[:6], "big") + 1


def scramble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every pruner leave the network with other weights than it was given."""
    prune = AbstractPruner.prune

    def scrambling(self: AbstractPruner, context_of: Any, mask: Any, **options: Any) -> Any:
        pruned = prune(self, context_of, mask, **options)
        with torch.no_grad():
            for parameter in context_of(mask, 0.5).module.parameters():
                parameter.fill_(0.123)
        return pruned

    monkeypatch.setattr(AbstractPruner, "prune", scrambling)


def noted(monkeypatch: pytest.MonkeyPatch, fit: Any, module_of: Callable[..., Any]) -> list[int]:
    """The fingerprint of the network at the end of every fit, in order."""
    seen: list[int] = []
    run = fit.run

    def watched(self: Any, network: Any, *rest: Any, **options: Any) -> Any:
        result = run(self, network, *rest, **options)
        seen.append(fingerprint(module_of(network)))
        return result

    monkeypatch.setattr(fit, "run", watched)
    return seen


def rows(trial: AbstractTrial, artifacts: MemoryArtifacts | None = None) -> list[dict[str, Any]]:
    return [
        found(record) for record in records_of(trial, artifacts=artifacts or MemoryArtifacts(()))
    ]


@pytest.mark.parametrize("pruner", PRUNERS, ids=str)
def test_a_trajectory(monkeypatch: pytest.MonkeyPatch, pruner: Any) -> None:
    trial = trajectory(pruner=pruner, schedule=SCHEDULE, fit=BRIEF)
    monkeypatch.setattr(bench.Bench, "effective", lambda own, _: fingerprint(own.prior.module))
    ends = noted(monkeypatch, Fit, lambda subjects: subjects[0].prior.module)
    expected = rows(trial)
    assert [int(row["effective"]) for row in expected] == ends
    scramble(monkeypatch)
    assert rows(trial) == expected


@pytest.mark.parametrize("pruner", ["magnitude", "random"])
def test_a_generator(monkeypatch: pytest.MonkeyPatch, pruner: str) -> None:
    trial = generator(pruner=pruner)
    monkeypatch.setattr(
        generator_trial.Ladder, "effective", lambda own, _: fingerprint(own._made.module)
    )
    ends = noted(monkeypatch, AdversarialFit, lambda made: made.module)
    expected = rows(trial)
    assert [int(row["effective"]) for row in expected] == ends
    scramble(monkeypatch)
    assert rows(trial) == expected


def test_a_classification_with_the_tickets_of_a_trajectory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("sklearn")
    source = trajectory(pruner="snip", schedule=SCHEDULE, fit=BRIEF)
    fit = {"epochs": 1, "batch": 512}
    trial = Classification(
        **{"source": source.model_dump(mode="json"), "dataset": "digits", "fit": fit}
    )
    monkeypatch.setattr(
        classification.ClassifierBench,
        "effective",
        lambda own, _: fingerprint(own.classifier.body),
    )
    expected = rows(trial, MemoryArtifacts(records_of(source)))
    scramble(monkeypatch)
    assert rows(trial, MemoryArtifacts(records_of(source))) == expected
