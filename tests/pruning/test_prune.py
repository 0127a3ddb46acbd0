"""Pruning in one shot and in rounds: who is scored, and how many are left each time."""

from collections.abc import Iterable
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from toys import context

from lip_ray.pruning import (
    AbstractPruner,
    Grasp,
    Magnitude,
    Mask,
    Oes,
    Pruner,
    Random,
    ScoreContext,
    Snip,
    Synflow,
    UnrankableError,
    keep_top,
)
from lip_ray.pruning.base import Rounds, geometric


class Watched(AbstractPruner):
    """Keeps what is large, and remembers nothing: contexts are remembered by who makes them."""

    kind: Literal["watched"] = "watched"
    rounds: Rounds = None

    def score(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        return dict(context.weights)


class Contexts:
    """Makes contexts of pruned networks, and remembers for which mask and density."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self._weights = weights
        self.asked: list[tuple[int, float]] = []

    def __call__(self, mask: Mask, density: float) -> ScoreContext:
        self.asked.append((mask.kept, density))
        masked = {name: weight * mask.layers[name] for name, weight in self._weights.items()}
        return context(masked, mask=mask, density=density)


WEIGHTS = {
    "a": torch.linspace(1, 2, 64).view(4, 4, 2, 2),
    "b": torch.linspace(0.5, 3, 36).view(6, 6, 1, 1),
}
DENSE = Mask.dense(WEIGHTS)


def same(one: Mask, other: Mask) -> bool:
    return all(torch.equal(one.layers[name], other.layers[name]) for name in one.layers)


def counts(layers: Iterable[torch.Tensor]) -> list[int]:
    return [int(layer.sum()) for layer in layers]


def test_in_one_shot_the_dense_network_is_scored_and_survivors_kept() -> None:
    contexts = Contexts(WEIGHTS)
    half = Watched().prune(contexts, DENSE, kept=50)
    fifth = Watched().prune(contexts, half, kept=20)
    assert contexts.asked == [(100, 0.5), (100, 0.2)]
    assert same(half, keep_top(WEIGHTS, DENSE, kept=50))
    assert same(fifth, keep_top(WEIGHTS, half, kept=20))


def test_in_rounds_each_scores_what_the_last_has_left() -> None:
    contexts = Contexts(WEIGHTS)
    eighth = Watched(rounds=3).prune(contexts, DENSE, kept=12)
    assert contexts.asked == [(100, 0.49), (49, 0.24), (24, 0.12)]  # 100 × 0.12^(i/3)
    assert same(eighth, keep_top(WEIGHTS, DENSE, kept=12))


def test_one_round_scores_the_network_as_it_is() -> None:
    contexts = Contexts(WEIGHTS)
    half = keep_top(WEIGHTS, DENSE, kept=50)
    Watched(rounds=1).prune(contexts, half, kept=20)
    assert contexts.asked == [(50, 0.2)]


def test_rounds_that_would_remove_nothing_are_not_scored() -> None:
    contexts = Contexts(WEIGHTS)
    assert Watched(rounds=100).prune(contexts, DENSE, kept=97).kept == 97
    assert contexts.asked == [(100, 0.99), (99, 0.98), (98, 0.97)]


@given(start=st.integers(2, 10**7), rounds=st.integers(1, 200), data=st.data())
def test_counts_fall_geometrically_to_the_end(start: int, rounds: int, data) -> None:
    end = data.draw(st.integers(1, start - 1))
    counts = geometric(start, end, rounds)
    assert counts[-1] == end
    assert 1 <= len(counts) <= rounds
    assert all(after < before for before, after in zip([start, *counts], counts, strict=False))
    wanted = [start * (end / start) ** (i / rounds) for i in range(1, rounds + 1)]
    assert all(min(abs(w - c) for c in [start, *counts]) < 0.5001 for w in wanted)


@pytest.mark.parametrize(("scope", "kept"), [("layer", [32, 18]), ("erk", [23, 27])])
def test_a_scope_says_how_many_each_layer_keeps(scope, kept: list[int]) -> None:
    """Sums of sides 12 and 14: 50 × 12 ÷ 26 is 23.1."""
    for rounds in (None, 1, 5):
        mask = Watched(scope=scope, rounds=rounds).prune(Contexts(WEIGHTS), DENSE, kept=50)
        assert counts(mask.layers.values()) == kept


@pytest.mark.parametrize("rounds", [None, 1, 4])
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_scores_that_are_not_finite_cannot_be_ranked(scope, rounds) -> None:
    broken = WEIGHTS | {"b": torch.full((6, 6, 1, 1), float("nan"))}
    with pytest.raises(UnrankableError):
        Watched(scope=scope, rounds=rounds).prune(Contexts(broken), DENSE, kept=50)


@pytest.mark.parametrize("rounds", [None, 1, 4])
@pytest.mark.parametrize("kept", [0, 101])
def test_a_count_that_cannot_be_kept_is_refused(rounds, kept: int) -> None:
    with pytest.raises(ValueError, match="kept must be between 1 and"):
        Watched(rounds=rounds).prune(Contexts(WEIGHTS), DENSE, kept=kept)


def test_defaults_keep_what_they_always_kept() -> None:
    """One ranking of all layers at once, of the dense network."""
    contexts = Contexts(WEIGHTS)
    for pruner in (Magnitude(), Random()):
        scores = pruner.score(contexts(DENSE, 0.3))
        half = pruner.prune(contexts, DENSE, kept=50)
        assert same(half, keep_top(scores, DENSE, kept=50))
        assert same(pruner.prune(contexts, half, kept=30), keep_top(scores, half, kept=30))


def test_published_defaults() -> None:
    assert [p().rounds for p in (Magnitude, Random, Snip, Grasp, Oes)] == [None] * 5
    assert Synflow().rounds == 100
    assert Oes() == Oes(steps=60_000, learning_rate=0.01, temperature=0.2, kl=1e-9)
    assert {p().scope for p in (Magnitude, Random, Snip, Grasp, Synflow, Oes)} == {"global"}


def test_magnitude_says_whose_weights_it_judges() -> None:
    assert Magnitude().scores_at == "trained"
    assert Magnitude(at="dense").scores_at == "dense"
    assert Magnitude(at="init").scores_at == "init"
    assert {p().scores_at for p in (Random, Snip, Grasp, Synflow, Oes)} == {"init"}


@pytest.mark.parametrize(
    ("pruner", "field"),
    [
        ({"kind": "magnitude", "rounds": 3}, "rounds"),
        ({"kind": "random", "rounds": 3}, "rounds"),
        ({"kind": "magnitude", "at": "trained"}, "at"),
        ({"kind": "snip", "rounds": 0}, "rounds"),
        ({"kind": "snip", "scope": "local"}, "scope"),
        ({"kind": "oes", "steps": 0}, "steps"),
        ({"kind": "oes", "temperature": 0.0}, "temperature"),
        ({"kind": "oes", "kl": -1.0}, "kl"),
        ({"kind": "oes", "learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_wrong_fields_are_refused_by_name(pruner, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        TypeAdapter(Pruner).validate_python(pruner)


def test_short_forms() -> None:
    family = TypeAdapter(Pruner)
    assert family.validate_python("synflow") == Synflow()
    assert family.validate_python({"at": "init"}) == Magnitude(at="init")
