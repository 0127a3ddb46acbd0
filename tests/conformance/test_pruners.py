"""The laws of every pruner: exact, nested, repeatable, over all layers, zero after every step."""

from functools import cache
from itertools import pairwise

import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written

from lip_ray.data.images import BuiltinImage
from lip_ray.fits.adam import Adam
from lip_ray.priors import Skip
from lip_ray.pruning import (
    AbstractPruner,
    Densities,
    Grasp,
    Magnitude,
    Mask,
    Oes,
    Pruner,
    Random,
    Rate,
    ScoreContext,
    Snip,
    Synflow,
)
from lip_ray.pruning.allocation import keep_best, shares
from lip_ray.records import LevelRecord
from lip_ray.spec import Spec
from lip_ray.tasks import Denoising
from lip_ray.trials import Context, Trajectory, run

FAMILY = Pruner
BASE = AbstractPruner
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Magnitude: (
        Magnitude(),
        Magnitude(scope="layer"),
        Magnitude(at="dense"),
        Magnitude(at="init", scope="erk"),
    ),
    Random: (Random(), Random(scope="layer"), Random(scope="erk")),
    Snip: (Snip(), Snip(scope="layer"), Snip(rounds=3)),
    Grasp: (Grasp(), Grasp(scope="erk", rounds=2)),
    Synflow: (Synflow(rounds=4), Synflow(scope="layer", rounds=2), Synflow(rounds=None)),
    Oes: (Oes(steps=5), Oes(steps=5, scope="layer"), Oes(steps=5, rounds=2)),
}

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(100, 112), columns=(200, 213))
PRIOR = Skip(width=4, scales=2, skip_width=2, input_channels=3)
LADDER = Rate(rate=0.3, steps=5)
FIT = {"steps": 5, "stopping": {"window": 5, "stride": 5}}


class Bench:
    """A network, its initial weights and the loss that a criterion may look at."""

    def __init__(self, *, seed: int = 0) -> None:
        problem = Denoising(sigma=25.0).realise(IMAGE, seed=seed, device=CPU)
        self.prior = PRIOR.build(problem.image_shape, seed=seed, image="cat", device=CPU)
        self.initial = self.prior.snapshot()
        optimizer = torch.optim.Adam(self.prior.module.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            problem.loss(self.prior.module(self.prior.latent)).backward()
            optimizer.step()
        self.seed, self.problem = seed, problem
        self.dense = Mask.dense(self.prior.prunable())
        self.context = self.pruned(self.dense, 0.3)

    def pruned(self, mask: Mask, density: float) -> ScoreContext:
        """Of the network pruned by a mask."""
        weights = {
            name: weight.detach() * mask.layers[name]
            for name, weight in self.prior.prunable().items()
        }
        side = PRIOR.minimum_side
        return ScoreContext(
            weights=weights,
            mask=mask,
            density=density,
            loss=lambda weights: self.problem.loss(self.prior.restored_with(weights)),
            module=self.prior.module,
            latent_shape=PRIOR.latent_shape((3, side, side)),
            seed=self.seed,
            level=1,
        )


def ladder_of(pruner, bench: Bench) -> list[Mask]:
    """The masks of all levels, from the same weights."""
    masks = [bench.dense]
    for kept in LADDER.kept(bench.dense.total)[1:]:
        masks.append(pruner.prune(bench.pruned, masks[-1], kept=kept))
    return masks


@cache
def ladder_from(seed: int, pruner) -> list[Mask]:
    """The masks of all levels on a bench of that seed, which tests share."""
    return ladder_of(pruner, Bench(seed=seed))


def trajectory(pruner, **changes) -> Trajectory:
    return Trajectory.model_validate(
        {
            "images": [IMAGE.model_dump()],
            "task": {"kind": "denoising", "sigma": 25.0},
            "prior": PRIOR.model_dump(),
            "pruner": pruner.model_dump(),
            "schedule": LADDER.model_dump(),
            "fit": FIT,
        }
        | changes
    )


def records_of(pruner, **changes) -> list[LevelRecord]:
    return list(run(trajectory(pruner, **changes), Context(device=CPU)))


@cache
def dense_reference() -> LevelRecord:
    """The dense level of a trial whose pruner is the random one."""
    (dense,) = records_of(Random(), schedule=[1.0])
    return dense


def masks_of(records: list[LevelRecord]) -> list[Mask]:
    rows = {level: mask for record in records for level, mask in record.masks.items()}
    return [Mask.from_rows(rows[level], device=CPU) for level in sorted(rows)]


def same(one: Mask, other: Mask) -> bool:
    return list(one.layers) == list(other.layers) and all(
        torch.equal(one.layers[name], other.layers[name]) for name in one.layers
    )


def test_a_criterion_says_which_weights_it_judges(example) -> None:
    assert example.scores_at in ("trained", "dense", "init")


def test_scores_are_finite_numbers_one_a_weight_in_every_layer(example) -> None:
    bench = Bench()
    scores = example.score(bench.context)
    assert list(scores) == list(bench.context.weights)
    for name, weight in bench.context.weights.items():
        assert scores[name].shape == weight.shape
        assert scores[name].dtype.is_floating_point
        assert not scores[name].requires_grad
        assert bool(torch.isfinite(scores[name]).all())


def test_no_layer_is_left_out(example) -> None:
    """Every layer's weights can be told apart, and none of them is safe."""
    bench = Bench()
    scores = example.score(bench.context)
    for name, values in scores.items():
        assert len(values.unique()) > values.numel() / 2, name
    last = example.prune(bench.pruned, bench.dense, kept=1)
    assert sorted(int(layer.sum()) for layer in last.layers.values())[-2:] == [0, 1]


def test_the_scope_decides_how_many_each_layer_keeps(example) -> None:
    bench = Bench()
    mask = example.prune(bench.pruned, bench.dense, kept=bench.dense.total // 3)
    counts = {name: int(layer.sum()) for name, layer in mask.layers.items()}
    if example.scope == "global":
        assert counts != shares(bench.dense, kept=mask.kept, scope="layer")
    else:
        assert counts == shares(bench.dense, kept=mask.kept, scope=example.scope)


def test_only_the_network_that_is_asked_for_is_scored(example) -> None:
    """The dense one in one shot; in rounds, what is left, down to the count."""
    bench = Bench()
    half = example.prune(bench.pruned, bench.dense, kept=bench.dense.total // 2)
    asked: list[tuple[int, float]] = []

    def context_of(mask: Mask, density: float) -> ScoreContext:
        asked.append((mask.kept, density))
        return bench.pruned(mask, density)

    kept = bench.dense.total // 4
    example.prune(context_of, half, kept=kept)
    assert asked[0][0] == (bench.dense.total if example.rounds is None else half.kept)
    assert asked[-1][1] == kept / bench.dense.total
    assert len(asked) == (example.rounds or 1)
    assert all(before[0] > after[0] for before, after in pairwise(asked))


def test_scoring_is_pure(example) -> None:
    bench = Bench()
    state, randomness = bench.prior.snapshot(), torch.get_rng_state()
    first, second = example.score(bench.context), example.score(bench.context)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(randomness, torch.get_rng_state())
    for name, value in bench.prior.snapshot().items():
        assert torch.equal(state[name], value), name
    assert all(weight.grad is None for weight in bench.context.weights.values())


def test_a_ladder_keeps_exact_counts_and_is_nested(example) -> None:
    masks = ladder_from(0, example)
    assert [mask.kept for mask in masks] == list(LADDER.kept(masks[0].total))
    for wider, narrower in pairwise(masks):
        for name, layer in narrower.layers.items():
            assert not bool((layer & ~wider.layers[name]).any())


def test_the_same_seed_gives_the_same_masks(example) -> None:
    ours, theirs = ladder_from(0, example), ladder_of(example, Bench())
    assert all(same(one, other) for one, other in zip(ours, theirs, strict=True))
    others = ladder_of(example, Bench(seed=1))
    assert not same(ours[-1], others[-1])


def test_ties_are_broken_in_the_order_of_the_network(example) -> None:
    """Whatever the criterion, among equal scores that are ranked together the first are kept."""
    bench = Bench()
    scores = {name: torch.zeros_like(s) for name, s in example.score(bench.context).items()}
    chosen = keep_best(scores, bench.dense, kept=100, scope=example.scope)
    flat = [layer.flatten() for layer in chosen.layers.values()]
    for ranked in [torch.cat(flat)] if example.scope == "global" else flat:
        count = int(ranked.sum())
        assert bool(ranked[:count].all())
        assert not bool(ranked[count:].any())


def test_rewound_weights_are_the_mask_times_the_initial_ones(example) -> None:
    bench, mask = Bench(), ladder_from(0, example)[-1]
    bench.prior.rewind(bench.initial, mask.layers)
    for name, value in bench.prior.snapshot().items():
        expected = bench.initial[name]
        if name in mask.layers:
            expected = expected * mask.layers[name]
        assert torch.equal(value, expected), name


def test_pruned_weights_are_zero_after_every_step(example, monkeypatch) -> None:
    """Looked at right behind the optimiser, with the moments that it has gathered."""
    seen: list[list[torch.Tensor]] = []
    step = Adam.step

    def watched(optimizer: Adam) -> None:
        step(optimizer)
        seen.append(
            [
                tensor.detach().clone()
                for state in zip(optimizer.parameters, *optimizer.moments, strict=True)
                for tensor in state
                if state[0].ndim == 4
            ]
        )

    monkeypatch.setattr(Adam, "step", watched)
    records = records_of(example, schedule={"kind": "densities", "densities": [1.0, 0.3]})
    (_, mask) = masks_of(records)
    layers = [layer for layer in mask.layers.values() for _ in range(3)]
    assert len(seen) == 2 * FIT["steps"]
    for tensors in seen[FIT["steps"] :]:
        for tensor, kept in zip(tensors, layers, strict=True):
            assert not bool(tensor[~kept].any())
        assert all(
            bool(weight[kept].any()) == bool(kept.any())
            for weight, kept in zip(tensors[::3], layers[::3], strict=True)
        )
        assert any(bool(moment.any()) for moment in tensors[1::3])


def test_a_trajectory_keeps_the_counts_it_says_and_its_masks_are_nested(example) -> None:
    records = records_of(example)
    masks = masks_of(records)
    assert [record.kept for record in records] == [mask.kept for mask in masks]
    assert [mask.kept for mask in masks] == list(LADDER.kept(masks[0].total))
    for wider, narrower in pairwise(masks):
        for name, layer in narrower.layers.items():
            assert not bool((layer & ~wider.layers[name]).any())


def test_every_pruner_removes_as_many_as_every_other(example) -> None:
    """Equal terms: the counts depend on the schedule alone."""
    total = PRIOR.prunable_count(3)
    ladder = Densities(densities=(1.0, 0.61, 0.13))
    records = records_of(example, schedule=ladder.model_dump())
    assert [record.kept for record in records] == list(ladder.kept(total))
    assert {record.total for record in records} == {total}


def test_the_dense_level_is_the_same_for_all(example) -> None:
    """The pruner has no say before the first cut: same noise, latent, weights and fit."""
    (dense,) = records_of(example, schedule=[1.0])
    reference = dense_reference()
    assert dense.curve.loss == reference.curve.loss
    assert dense.curve.psnr_db == reference.curve.psnr_db
    assert dense.psnr_selected_db == reference.psnr_selected_db
