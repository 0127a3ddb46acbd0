"""Generators: honest densities, rewinding to where they began, levels that survive a break."""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import DCGAN, checkpoint, generator
from ladders import CPU, MemoryArtifacts, found, masks_of, records_of
from pydantic import ValidationError
from torch import Tensor

from lip_ray.fits import AdversarialFit
from lip_ray.pruning import Mask
from lip_ray.records import LevelRecord, Outcome
from lip_ray.trials import Context, Generator, run
from lip_ray.trials.generator import NO_LAYERS, parted


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The weights of generator and critic that every fit was given, in order."""
    seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    fit = AdversarialFit.run

    def watched(self: AdversarialFit, made: Any, critic: Any, *rest: Any, **options: Any) -> Any:
        seen.append((made.snapshot(), critic.snapshot()))
        return fit(self, made, critic, *rest, **options)

    monkeypatch.setattr(AdversarialFit, "run", watched)
    return seen


def network_of(record: LevelRecord, spec: Generator) -> dict[str, Tensor]:
    artifacts = MemoryArtifacts([record])
    found = Context(device=CPU, artifacts=artifacts).network(spec.id, record.level)
    assert found is not None
    return found


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


class TestLevels:
    def test_levels_come_in_order_with_their_counts_and_health(self) -> None:
        spec = generator()
        records = records_of(spec)
        total = spec.prior.cost.prunable
        assert [record.level for record in records] == [0, 1, 2]
        assert [record.kept for record in records] == list(spec.schedule.kept(total))
        assert {record.total for record in records} == {total}
        assert {record.total_all for record in records} == {spec.prior.cost.parameters}
        for record in records:
            assert record.outcome is Outcome.BUDGET
            assert record.steps == 4
            assert record.frechet is not None
            assert record.frechet > 0
            assert record.critic_gap is not None
            assert [shown.role for shown in record.reconstructions] == ["samples"]
            assert record.reconstructions[0].height == 8 * 8
            assert record.psnr_selected_db is None

    def test_what_is_stored_has_its_levels_density_and_is_never_cut_again(self) -> None:
        spec = generator()
        records = records_of(spec)
        for record, mask in zip(records, masks_of(records).values(), strict=True):
            network = network_of(record, spec)
            pruned = sum(int((network[n][~layer] != 0).sum()) for n, layer in mask.layers.items())
            left = sum(int((network[n][layer] != 0).sum()) for n, layer in mask.layers.items())
            assert pruned == 0
            assert left == record.kept == mask.kept

    def test_masks_are_nested_and_recorded_once(self) -> None:
        records = records_of(generator(pruner="random"))
        assert [set(record.masks) for record in records] == [{0, 1}, {2}, set()]
        for wider, narrower in pairwise(masks_of(records).values()):
            for name, layer in narrower.layers.items():
                assert not bool((layer & ~wider.layers[name]).any())

    def test_the_next_mask_keeps_the_largest_weights_that_the_level_ended_with(self) -> None:
        spec = generator()
        first, *_ = records = records_of(spec)
        network, mask = network_of(first, spec), masks_of(records)[1]
        kept = torch.cat([network[n][layer].abs() for n, layer in mask.layers.items()])
        cut = torch.cat([network[n][~layer].abs() for n, layer in mask.layers.items()])
        assert kept.min() >= cut.max()

    def test_a_raw_ranking_of_equalised_weights_is_another_one(self) -> None:
        prior = {"kind": "pgan", "depths": [8, 4], "latent_size": 8}
        images = {"kind": "digits", "size": [8, 8], "channels": 3}
        one_cut = {"prior": prior, "images": images, "schedule": [1.0, 0.5]}
        ranked, raw = (
            masks_of(records_of(generator(**one_cut, pruner={"kind": "magnitude", "raw": raw})))[1]
            for raw in (False, True)
        )
        assert ranked.kept == raw.kept
        assert any(not torch.equal(ranked.layers[n], raw.layers[n]) for n in raw.layers)


class TestRewinding:
    def test_every_level_begins_with_its_mask_times_the_first_weights(self, starts) -> None:
        records = records_of(generator())
        (first, critic), *later = starts
        for (start, judge), mask in zip(later, list(masks_of(records).values())[1:], strict=True):
            assert same(judge, critic)
            for name, value in start.items():
                expected = first[name] * mask.layers[name] if name in mask.layers else first[name]
                assert torch.equal(value, expected)

    @pytest.mark.parametrize("rewind", ["finetune", "reinit", {"kind": "step", "step": 2}])
    def test_a_ladder_that_is_taken_up_again_goes_on_to_the_same_bits(self, rewind: Any) -> None:
        spec = generator(rewind=rewind)
        whole = records_of(spec)
        again = records_of(spec, artifacts=MemoryArtifacts(whole[:1]), first=1)
        assert [found(record) for record in again] == [found(record) for record in whole[1:]]

    def test_late_rewinding_begins_where_both_networks_were_at_that_step(self, starts) -> None:
        records_of(generator(rewind={"kind": "step", "step": 2}))
        (first, critic), (later, judge), *_ = starts
        assert not same(critic, judge)
        records_of(generator(fit={"steps": 2, "batch": 8}, schedule=[1.0]))
        assert not same(first, later)

    def test_fresh_weights_are_those_of_no_other_level(self, starts) -> None:
        records_of(generator(rewind="reinit"))
        fulls = [start["1.weight"] for start, _ in starts]
        for one, other in pairwise(fulls):
            both = (one != 0) & (other != 0)
            assert bool((one != other)[both].all())


class TestCritic:
    def test_it_is_pruned_alike_and_never_counted(self, starts) -> None:
        spec = generator(critic_pruned=True)
        records = records_of(spec)
        plain = records_of(generator())
        assert [record.kept for record in records] == [record.kept for record in plain]
        for (_, judge), mask, record in zip(
            starts, masks_of(records).values(), records, strict=False
        ):
            _, critic = parted(mask)
            names = [name.removeprefix("critic.") for name in critic.layers]
            assert set(names) <= set(judge)
            assert critic.kept == spec.schedule.kept(critic.total)[record.level]
            for name in names:
                assert not bool(judge[name][~critic.layers[f"critic.{name}"]].any())


OF_LAYERS = generator(layer_densities_of="magnitude")


@pytest.fixture(scope="module")
def model() -> list[LevelRecord]:
    """The records of the generator whose layer densities the other has."""
    return records_of(generator())


@pytest.fixture(scope="module")
def alike(model: list[LevelRecord]) -> list[LevelRecord]:
    """The records of the generator that has its layer densities."""
    return records_of(OF_LAYERS, artifacts=MemoryArtifacts(model))


class TestLayerDensities:
    def test_the_other_generator_differs_by_its_pruner_alone_and_comes_first(self) -> None:
        assert OF_LAYERS.sources == (generator(),)
        assert generator().sources == ()
        assert generator(pruner="random").sources == ()

    def test_every_layer_keeps_as_many_weights_at_other_places(
        self, model: list[LevelRecord], alike: list[LevelRecord]
    ) -> None:
        theirs, own = masks_of(model), masks_of(alike)
        assert [record.kept for record in alike] == [record.kept for record in model]
        for level, mask in own.items():
            for name, layer in mask.layers.items():
                assert int(layer.sum()) == int(theirs[level].layers[name].sum())
        assert any(not torch.equal(own[1].layers[n], theirs[1].layers[n]) for n in own[1].layers)
        for wider, narrower in pairwise(own.values()):
            assert not any(
                bool((narrower.layers[n] & ~wider.layers[n]).any()) for n in own[1].layers
            )

    def test_its_dense_network_is_that_of_the_other(
        self, model: list[LevelRecord], alike: list[LevelRecord]
    ) -> None:
        assert same(network_of(model[0], generator()), network_of(alike[0], OF_LAYERS))

    def test_a_ladder_that_is_taken_up_again_goes_on_to_the_same_bits(
        self, model: list[LevelRecord], alike: list[LevelRecord]
    ) -> None:
        artifacts = MemoryArtifacts([*model, *alike[:1]])
        again = records_of(OF_LAYERS, artifacts=artifacts, first=1)
        assert [found(record) for record in again] == [found(record) for record in alike[1:]]

    def test_where_the_other_has_no_ticket_there_is_none(self, model: list[LevelRecord]) -> None:
        lacking = [dataclasses.replace(model[0], masks={0: model[0].masks[0]})]
        first, *rest = records_of(OF_LAYERS, artifacts=MemoryArtifacts(lacking))
        assert first.outcome is Outcome.BUDGET
        assert [record.outcome for record in rest] == [Outcome.FAILED, Outcome.FAILED]
        assert {record.reason for record in rest} == {NO_LAYERS}

    def test_tables_call_it_by_what_it_takes_over(self) -> None:
        assert OF_LAYERS.label == "magnitude, layer densities"
        assert OF_LAYERS.description.pruner == "magnitude"
        assert OF_LAYERS.description.travels == "layer_densities"
        assert OF_LAYERS.facets().method.key != generator().facets().method.key

    def test_ids_of_those_without_are_as_they_were(self) -> None:
        assert "layer_densities_of" not in generator().model_dump_json()
        assert OF_LAYERS.id != generator().id


class TestBreaks:
    def test_a_level_that_is_broken_off_goes_on_from_what_was_kept(self) -> None:
        spec = generator(fit={"steps": 80, "batch": 8}, schedule=[1.0, 0.5])
        whole = records_of(spec)
        artifacts, kept = MemoryArtifacts(()), []

        class KilledError(Exception):
            pass

        def keep(trial_id: str, level: int, state: bytes) -> None:
            artifacts.keep(trial_id, level, state)
            kept.append(level)
            if len(kept) == 2:
                raise KilledError

        broken = Context(
            device=CPU, artifacts=artifacts, save_checkpoint=keep, checkpoint_every_s=0.0
        )
        with pytest.raises(KilledError):
            list(run(spec, broken))
        steps: list[int] = []
        again = Context(
            device=CPU,
            artifacts=artifacts,
            save_checkpoint=lambda _, level, state: steps.append(level),
            checkpoint_every_s=0.0,
        )
        assert [found(r) for r in run(spec, again)] == [found(record) for record in whole]
        assert 0 < steps.count(0) < steps.count(1)


class TestCheckpoints:
    def test_one_is_taken_as_it_is_and_nothing_of_it_is_stored_again(self, tmp_path: Path) -> None:
        spec = checkpoint(tmp_path, schedule=[1.0, 0.5])
        records = records_of(spec)
        assert [record.network for record in records] == [(), ()]
        assert [record.steps for record in records] == [0, 0]
        assert {record.frechet for record in records} == {None}
        context = Context(device=CPU, artifacts=MemoryArtifacts(records))
        weights = dict(spec.prior.pretrained() or {})
        for level, mask in masks_of(records).items():
            network = spec.network(level, context)
            assert network is not None
            assert torch.equal(network["0.bias"], weights["0.bias"])
            assert torch.equal(network["0.weight"], weights["0.weight"] * mask.layers["0.weight"])

    def test_training_begins_with_its_weights(self, tmp_path: Path, starts) -> None:
        trained = checkpoint(tmp_path, images="digits", fit=DCGAN["fit"], schedule=[1.0, 0.5])
        records_of(trained)
        weights = dict(trained.prior.pretrained() or {})
        assert torch.equal(starts[0][0]["0.weight"], weights["0.weight"])
        kept = starts[1][0]["0.weight"]
        assert torch.equal(kept, weights["0.weight"] * (kept != 0))


class TestOutcomes:
    def test_a_fit_that_diverges_ends_the_search(self) -> None:
        spec = generator(fit={"steps": 40, "batch": 8, "learning_rate": 1e30})
        first, *rest = records_of(spec)
        assert first.outcome is Outcome.DIVERGED
        assert first.network == ()
        assert [record.outcome for record in rest] == [Outcome.FAILED, Outcome.FAILED]
        assert "diverged" in rest[0].reason

    def test_a_network_without_a_path_is_a_row_and_is_kept(self) -> None:
        spec = generator(pruner="random", schedule=[1.0, 0.004])
        _, last = records_of(spec)
        assert last.outcome is Outcome.COLLAPSED
        assert last.effective == 0
        assert last.steps == 0
        assert last.network


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"fit": None}, "images and fit go together: fit is missing"),
            ({"images": None}, "images and fit go together: images is missing"),
            ({"fit": None, "images": None}, "prior.kind must be file, got dcgan"),
            ({"rewind": {"kind": "step", "step": 4}}, "rewind.step must be less than"),
            (
                {"layer_densities_of": "magnitude", "pruner": "random"},
                "layer_densities_of takes the place of pruner",
            ),
            (
                {"layer_densities_of": "magnitude", "critic_pruned": True},
                "leave out pruner and critic_pruned",
            ),
        ],
    )
    def test_what_does_not_go_together(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            generator(**changes)

    @pytest.mark.parametrize(
        ("changes", "path", "message"),
        [
            ({"pruner": "snip"}, "pruner", "allowed: magnitude, random"),
            (
                {"layer_densities_of": "snip"},
                "layer_densities_of",
                "allowed: magnitude, random",
            ),
            (
                {"prior": DCGAN["prior"] | {"size": 16}},
                "images",
                "1×8×8, but the generator makes 1×16×16: set size and channels",
            ),
            ({"fit": {"steps": 1, "batch": 5000}}, "fit.batch", "must be at most"),
            ({"schedule": [1.0, 1e-5]}, "schedule", "at least one"),
        ],
    )
    def test_what_is_wrong_in_this_company(
        self, changes: dict[str, Any], path: str, message: str
    ) -> None:
        conflicts = list(generator(**changes).conflicts())
        assert [where for where, _ in conflicts] == [path]
        assert message in conflicts[0][1]

    def test_a_checkpoint_is_not_rewound(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="for a generator that is trained"):
            checkpoint(tmp_path, rewind="finetune")


def test_a_rehearsal_takes_time_only_where_something_is_trained(tmp_path: Path) -> None:
    assert generator().rehearse(2, device=CPU) > 0
    assert checkpoint(tmp_path).rehearse(2, device=CPU) == 0


def test_a_step_that_takes_minutes_is_rehearsed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, batches = generator(), []

    def rehearsed(self: AdversarialFit, *_: Any, steps: int) -> float:
        batches.append(self.batch)
        return float(steps)

    monkeypatch.setattr(AdversarialFit, "rehearse", rehearsed)
    assert spec.rehearse(2, device=CPU) == 2
    monkeypatch.setattr("lip_ray.trials.generator.REHEARSED_MACS", spec.size.macs_per_step // 4)
    assert spec.rehearse(2, device=CPU) == 8
    assert batches == [8, 2]


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    records_of(generator(schedule=[1.0]))
    assert torch.equal(state, torch.get_rng_state())


def test_parts_of_a_mask_are_told_apart() -> None:
    ones = torch.ones(2, dtype=torch.bool)
    made, critic = parted(Mask({"0.weight": ones, "critic.0.weight": ones}))
    assert list(made.layers) == ["0.weight"]
    assert list(critic.layers) == ["critic.0.weight"]
