"""Trajectories: paired, nested, resumable level by level, and honest about what went wrong."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from ladders import CPU, SPEC, MemoryArtifacts, Start, crop, found, masks_of, records_of, trajectory
from PIL import Image as Picture
from torch import Tensor

from lip_ray.fits import Fit
from lip_ray.pruning import effective
from lip_ray.records import Outcome
from lip_ray.trials import Context, Trajectory, run
from lip_ray.trials.bench import Bench

PRUNERS = ("magnitude", "random", "snip")


def starts_of(starts: list[Start], spec: Trajectory) -> list[Start]:
    starts.clear()
    records_of(spec)
    return list(starts)


class TestLevels:
    def test_levels_come_in_order_with_their_counts(self) -> None:
        spec = trajectory()
        records = records_of(spec)
        total = spec.prior.prunable_count(3)
        assert [record.level for record in records] == [0, 1, 2, 3]
        assert [record.kept for record in records] == list(spec.schedule.kept(total))
        assert {record.total for record in records} == {total}
        assert {record.trial_id for record in records} == {spec.id}
        assert {record.image for record in records} == {"astronaut"}
        assert {record.outcome for record in records} == {Outcome.BUDGET}

    def test_all_parameters_are_counted_too(self, starts) -> None:
        spec = trajectory()
        records = records_of(spec)
        with torch.device("meta"):
            parameters = sum(p.numel() for p in spec.prior.network(3).parameters())
        others = parameters - records[0].total
        for record, start in zip(records, starts, strict=True):
            assert record.total_all == parameters
            assert record.kept_all == record.kept + others
            assert record.kept == sum(int(x.sum()) for x in start.mask.layers.values())

    def test_effective_weights_are_those_of_the_levels_own_mask(self) -> None:
        spec = trajectory()
        records = records_of(spec)
        prior = spec.prior.build((3, 12, 13), seed=0, image="astronaut", device=CPU)
        for record, mask in zip(records, masks_of(records).values(), strict=True):
            assert record.effective == effective(prior.module, mask, (3, 5, 5))
            assert record.effective <= record.kept
        assert records[0].effective == records[0].total

    def test_multiply_adds_are_those_of_the_weights_left(self) -> None:
        spec = trajectory()
        records = records_of(spec)
        uses = spec.prior.cost((3, 12, 13)).uses
        for record in records:
            mask = masks_of(records)[record.level]
            kept = {name: int(layer.sum()) for name, layer in mask.layers.items()}
            assert record.macs == sum(uses[name] * count for name, count in kept.items())

    def test_masks_are_nested_and_recorded_once(self) -> None:
        records = records_of(trajectory())
        assert [set(record.masks) for record in records] == [{0, 1}, {2}, {3}, set()]
        for wider, narrower in pairwise(masks_of(records).values()):
            for name, layer in narrower.layers.items():
                assert not bool((layer & ~wider.layers[name]).any())

    def test_pictures_of_the_problem_come_with_the_first_level_only(self) -> None:
        first, *others = records_of(trajectory())
        fitted = ["peak", "selected", "final"]
        assert [shown.role for shown in first.reconstructions] == ["clean", "measured", *fitted]
        for record in others:
            assert [shown.role for shown in record.reconstructions] == fitted

    def test_one_level_is_a_plain_fit(self) -> None:
        (record,) = records_of(trajectory(schedule=[1.0]))
        assert (record.level, record.density) == (0, 1.0)
        assert set(record.masks) == {0}

    def test_the_run_says_where_and_when(self) -> None:
        record, *_ = records_of(trajectory(schedule=[1.0]))
        assert record.device == "cpu"
        assert record.threads == torch.get_num_threads()
        assert record.host
        assert record.memory_mb > 0
        assert record.fit_s > 0
        assert record.finished_at is not None

    def test_the_global_generator_is_left_alone(self) -> None:
        state = torch.get_rng_state()
        records_of(trajectory(pruner="random"))
        assert torch.equal(state, torch.get_rng_state())


class TestPairing:
    """All methods meet the same noise, latent, initial weights and input noise."""

    @pytest.mark.parametrize("pruner", PRUNERS[1:])
    def test_pruners_start_from_the_same(self, starts, pruner: str) -> None:
        ours = starts_of(starts, trajectory())
        theirs = starts_of(starts, trajectory(pruner=pruner))
        dense = ours[0].weights
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.latent, other.latent)
            assert torch.equal(one.clean, other.clean)
            assert torch.equal(one.measured, other.measured)
            assert one.draws == other.draws
            assert one.mask.kept == other.mask.kept
        assert all(torch.equal(dense[name], theirs[0].weights[name]) for name in dense)

    @pytest.mark.parametrize("pruner", PRUNERS)
    def test_every_level_starts_from_the_masked_initial_weights(self, starts, pruner) -> None:
        levels = starts_of(starts, trajectory(pruner=pruner))
        initial = levels[0].weights
        for start in levels:
            for name, value in start.weights.items():
                mask = start.mask.layers.get(name)
                expected = initial[name] if mask is None else initial[name] * mask
                assert torch.equal(value, expected), name

    def test_levels_share_all_but_their_input_noise(self, starts) -> None:
        levels = starts_of(starts, trajectory())
        assert all(torch.equal(start.latent, levels[0].latent) for start in levels)
        assert all(torch.equal(start.measured, levels[0].measured) for start in levels)
        assert len({start.draws for start in levels}) == len(levels)

    def test_another_seed_changes_all_draws(self, starts) -> None:
        ours = starts_of(starts, trajectory())[0]
        theirs = starts_of(starts, trajectory(seed=1))[0]
        assert not torch.equal(ours.latent, theirs.latent)
        assert not torch.equal(ours.measured, theirs.measured)
        assert ours.draws != theirs.draws
        assert any(not torch.equal(ours.weights[n], theirs.weights[n]) for n in ours.weights)

    def test_another_image_keeps_the_initial_weights(self, starts) -> None:
        ours = starts_of(starts, trajectory())[0]
        coffee = SPEC["images"] | {"name": "coffee"}
        theirs = starts_of(starts, trajectory(images=coffee))[0]
        assert not torch.equal(ours.latent, theirs.latent)
        assert all(torch.equal(ours.weights[n], theirs.weights[n]) for n in ours.weights)

    def test_the_noise_level_changes_neither_latent_nor_weights(self, starts) -> None:
        ours = starts_of(starts, trajectory())[0]
        theirs = starts_of(starts, trajectory(task={"kind": "denoising", "sigma": 50.0}))[0]
        assert torch.equal(ours.latent, theirs.latent)
        assert all(torch.equal(ours.weights[n], theirs.weights[n]) for n in ours.weights)


class TestWhatIsRanked:
    LONGER = SPEC["fit"] | {"steps": 18}

    @pytest.mark.parametrize("pruner", ["random", "snip"])
    def test_at_initialisation_the_fit_has_no_say(self, pruner: str) -> None:
        ours = records_of(trajectory(pruner=pruner))
        theirs = records_of(trajectory(pruner=pruner, fit=self.LONGER))
        assert [one.masks for one in ours] == [other.masks for other in theirs]

    def test_trained_weights_are_those_at_the_end_of_the_levels_fit(self, monkeypatch) -> None:
        fitted: list[dict[str, Tensor]] = []
        fit = Fit.run

        def watched(self, subjects, *arguments, **options):
            results = fit(self, subjects, *arguments, **options)
            weights = subjects[0].prior.prunable()
            fitted.append({name: w.detach().clone() for name, w in weights.items()})
            return results

        monkeypatch.setattr(Fit, "run", watched)
        masks = masks_of(records_of(trajectory()))
        for level, weights in enumerate(fitted[:-1]):
            kept, removed = masks[level + 1].layers, masks[level].layers
            smallest = min(
                float(w[kept[n]].abs().min()) for n, w in weights.items() if kept[n].any()
            )
            gone = [w[removed[n] & ~kept[n]].abs() for n, w in weights.items()]
            assert max(float(values.max()) for values in gone if len(values)) <= smallest


class TestResuming:
    @pytest.mark.parametrize("pruner", PRUNERS)
    def test_a_run_repeats_bit_for_bit(self, pruner: str) -> None:
        spec = trajectory(pruner=pruner)
        for one, again in zip(records_of(spec), records_of(spec), strict=True):
            assert found(one) == found(again)

    @pytest.mark.parametrize("pruner", PRUNERS)
    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_any_level_is_where_it_can_go_on(self, pruner: str, level: int) -> None:
        spec = trajectory(pruner=pruner)
        whole = records_of(spec)
        rest = records_of(spec, first=level, artifacts=MemoryArtifacts(whole[:level]))
        assert [found(record) for record in rest] == [found(record) for record in whole[level:]]

    def test_one_level_reruns_alone(self) -> None:
        spec = trajectory()
        whole = records_of(spec)
        alone = run(spec, Context(device=CPU, first_level=2, artifacts=MemoryArtifacts(whole[:2])))
        assert found(next(alone)) == found(whole[2])

    def test_nothing_is_left_to_do_behind_the_last_level(self) -> None:
        assert records_of(trajectory(), first=4) == []


class TestFailures:
    HOPELESS = SPEC["fit"] | {"learning_rate": 1e30}

    def test_without_trained_weights_the_levels_below_fail(self) -> None:
        first, *below = records_of(trajectory(fit=self.HOPELESS))
        assert first.outcome is Outcome.DIVERGED
        assert first.reason == "the loss of step 1 was not finite"
        assert first.steps == 1
        assert (first.psnr_final_db, first.psnr_selected_db) == (None, None)
        assert set(first.masks) == {0}
        assert [record.level for record in below] == [1, 2, 3]
        for record in below:
            assert record.outcome is Outcome.FAILED
            assert "diverged" in record.reason
            assert record.effective is None
            assert record.masks == {}
            assert record.curve is None
            assert record.psnr_peak_db is None

    def test_failed_levels_say_what_they_would_have_kept(self) -> None:
        good, bad = records_of(trajectory()), records_of(trajectory(fit=self.HOPELESS))
        for one, other in zip(good, bad, strict=True):
            counts = ("kept", "total", "kept_all", "total_all")
            assert all(getattr(one, name) == getattr(other, name) for name in counts)

    @pytest.mark.parametrize("pruner", ["random", "snip"])
    def test_pruning_at_initialisation_needs_no_trained_weights(self, pruner: str) -> None:
        records = records_of(trajectory(pruner=pruner, fit=self.HOPELESS))
        assert [record.outcome for record in records] == [Outcome.DIVERGED] * 4
        healthy = records_of(trajectory(pruner=pruner))
        assert masks_of(records).keys() == masks_of(healthy).keys()
        assert [record.masks for record in records] == [record.masks for record in healthy]

    def test_a_run_broken_off_below_a_diverged_level_goes_on_failing(self) -> None:
        spec = trajectory(fit=self.HOPELESS)
        whole = records_of(spec)
        rest = records_of(spec, first=2, artifacts=MemoryArtifacts(whole[:2]))
        assert [found(record) for record in rest] == [found(record) for record in whole[2:]]

    def test_an_error_of_ours_is_not_mistaken_for_divergence(self) -> None:
        """A stored mask too sparse for the next level does not belong to this trial."""
        spec = trajectory()
        whole = records_of(spec)
        sparse = dataclasses.replace(whole[0], masks={1: whole[2].masks[3]})
        with pytest.raises(ValueError, match="kept must be between"):
            records_of(spec, first=1, artifacts=MemoryArtifacts([sparse]))

    @pytest.mark.parametrize("pruner", PRUNERS)
    def test_a_network_without_a_path_has_collapsed(self, pruner: str) -> None:
        *_, last = records_of(trajectory(pruner=pruner, schedule=[1.0, 0.002]))
        assert last.kept <= 3  # too few for any path
        assert last.outcome is Outcome.COLLAPSED
        assert last.effective == 0
        assert "no path" in last.reason
        assert last.steps == 0, "it is not fitted"
        assert last.psnr_selected_db == last.psnr_peak_db == last.psnr_final_db > 0
        assert last.curve is None

    def test_a_collapsed_level_is_the_best_image_of_one_colour(self) -> None:
        """What a fit of such a network would converge to."""
        spec = trajectory(pruner="random", schedule=[1.0, 0.002])
        *_, last = records_of(spec)
        problem = spec.task.realise(spec.images[0], seed=0, device=CPU)
        flat = problem.measured.mean(dim=(2, 3), keepdim=True).expand_as(problem.measured)
        assert last.psnr_final_db == pytest.approx(float(problem.psnr(flat)), abs=1e-3)

    def test_patience_is_an_outcome(self) -> None:
        stopping = {"window": 6, "stride": 3, "patience": 3, "ends_fit": True}
        fit = {"steps": 200, "learning_rate": 0.3, "stopping": stopping}
        (record,) = records_of(trajectory(fit=fit, schedule=[1.0]))
        assert record.outcome is Outcome.STOPPED
        assert record.selected_step < record.steps < 200


class TestConflicts:
    def test_a_sound_trial_has_none(self) -> None:
        assert list(trajectory().conflicts()) == []

    @pytest.mark.parametrize("size", [(4, 9), (9, 4)])
    def test_an_image_too_small_is_told_the_least_side(self, size) -> None:
        image = {"kind": "builtin", "name": "astronaut", "size": size}
        ((field, message),) = trajectory(images=image).conflicts()
        assert field == "images"
        assert f"astronaut is {size[0]}×{size[1]}" in message
        assert "at least 5×5" in message

    def test_the_smallest_image_is_no_conflict(self) -> None:
        image = {"kind": "builtin", "name": "astronaut", "size": (5, 5)}
        spec = trajectory(images=image)
        assert list(spec.conflicts()) == []
        assert len(records_of(spec)) == spec.levels

    def test_a_ladder_too_deep_for_the_network(self) -> None:
        schedule = {"kind": "rate", "rate": 0.9, "steps": 9}
        ((field, message),) = trajectory(schedule=schedule).conflicts()
        assert field == "schedule"
        assert "would keep 0" in message

    def test_all_conflicts_are_told_at_once(self) -> None:
        image = {"kind": "builtin", "name": "astronaut", "size": (4, 4)}
        schedule = {"kind": "rate", "rate": 0.9, "steps": 9}
        found = trajectory(images=image, schedule=schedule).conflicts()
        assert [field for field, _ in found] == ["images", "schedule"]

    def test_a_crop_outside_of_the_image(self) -> None:
        image = {"kind": "builtin", "name": "astronaut", "rows": (0, 513)}
        ((field, message),) = trajectory(images=image).conflicts()
        assert field == "images"
        assert "outside of astronaut" in message

    def test_a_clean_target_needs_a_clean_image(self, tmp_path) -> None:
        Picture.fromarray(np.full((12, 12, 3), 99, np.uint8)).save(tmp_path / "mine.png")
        photo = {"path": str(tmp_path / "mine.png"), "kind": "file", "measured": True}
        spec = trajectory(images=photo, task={"kind": "denoising"}, target="clean")
        ((field, message),) = spec.conflicts()
        assert field == "target"
        assert "no clean image is known" in message

    def test_images_that_share_weights_have_as_many_channels(self) -> None:
        ((field, message),) = trajectory(images=[crop("astronaut"), crop("camera")]).conflicts()
        assert field == "images"
        assert "equally many channels, got 1 and 3" in message

    def test_an_image_is_there_once(self) -> None:
        ((field, message),) = trajectory(images=[crop("coffee"), crop("coffee")]).conflicts()
        assert (field, message) == ("images", "each image once, got coffee, coffee")

    def test_conflicts_draw_nothing(self) -> None:
        state = torch.get_rng_state()
        list(trajectory().conflicts())
        assert torch.equal(state, torch.get_rng_state())


class TestOneLatent:
    PAIR = (SPEC["images"], SPEC["images"] | {"name": "coffee"})

    def test_all_images_have_it_and_its_noise_and_each_level_another(self, starts) -> None:
        found = starts_of(starts, trajectory(images=self.PAIR, latents="shared"))
        pairs = [found[at : at + 2] for at in range(0, len(found), 2)]
        assert len(pairs) == 4
        for one, other in pairs:
            assert torch.equal(one.latent, other.latent)
            assert one.draws == other.draws
            assert not torch.equal(one.measured, other.measured)
        assert len({one.latent.sum().item() for one, _ in pairs}) == len(pairs)

    def test_so_all_images_are_restored_as_one(self) -> None:
        setting = trajectory(images=self.PAIR, latents="shared").setting
        bench = Bench(setting, CPU)
        one, other = bench.fit(0, bench.initial, bench.dense)
        assert torch.equal(one.final.image, other.final.image)
        assert not torch.equal(one.rows, other.rows)

    @pytest.mark.parametrize(
        ("images", "path", "message"),
        [
            (PAIR[:1], "latents", "shared is for several images"),
            ((PAIR[0], PAIR[1] | {"rows": (0, 20)}), "images", "one latent makes images of one"),
        ],
    )
    def test_what_it_does_not_go_with(self, images, path: str, message: str) -> None:
        ((found, said),) = trajectory(images=images, latents="shared").conflicts()
        assert found == path
        assert said.startswith(message)
