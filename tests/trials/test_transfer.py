"""Transfers: the very tickets of a source, on other terms; and tickets of several images."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from ladders import (
    NOTHING,
    SPEC,
    MemoryArtifacts,
    Start,
    crop,
    found,
    masks_of,
    records_of,
    trajectory,
)
from pydantic import ValidationError

from lip_ray.records import Outcome
from lip_ray.trials import Transfer


def transfer(source=None, **changes: Any) -> Transfer:
    shared = {name: SPEC[name] for name in ("images", "task", "fit")}
    nested = (source or trajectory()).model_dump(mode="json")
    return Transfer.model_validate({"source": nested} | shared | changes)


def begun(starts: list[Start], spec, artifacts: MemoryArtifacts) -> list[Start]:
    starts.clear()
    records_of(spec, artifacts=artifacts)
    return list(starts)


@pytest.fixture(scope="module")
def artifacts() -> MemoryArtifacts:
    """The default trajectory, complete."""
    return MemoryArtifacts(records_of(trajectory()))


class TestWhatTravels:
    def test_on_its_own_terms_a_ticket_is_what_it_was(self, artifacts) -> None:
        """Image, task, fit and seed the same: so are all figures, to the last bit."""
        found_there = records_of(trajectory())
        taken = records_of(transfer(), artifacts=artifacts)
        for one, other in zip(found_there, taken, strict=True):
            ours, theirs = found(one), found(other)
            for own in ("trial_id", "masks"):
                del ours[own], theirs[own]
            assert ours == theirs

    def test_a_mask_alone_meets_fresh_weights(self, starts, artifacts) -> None:
        native = begun(starts, trajectory(), NOTHING)
        alone = begun(starts, transfer(travels="mask"), artifacts)
        first = alone[0].weights["1.1.1.1.weight"]
        assert not bool((first == native[0].weights["1.1.1.1.weight"]).any())
        for start, theirs in zip(alone, native, strict=True):
            layers = start.mask.layers
            assert all(torch.equal(layers[n], theirs.mask.layers[n]) for n in layers)
            expected = first * layers["1.1.1.1.weight"]
            assert torch.equal(start.weights["1.1.1.1.weight"], expected)

    def test_layer_densities_alone_are_the_layerwise_random_baseline(
        self, starts, artifacts
    ) -> None:
        native = begun(starts, trajectory(), NOTHING)
        random = begun(starts, transfer(travels="layer_densities"), artifacts)
        for start, theirs in zip(random, native, strict=True):
            for name, layer in start.mask.layers.items():
                assert int(layer.sum()) == int(theirs.mask.layers[name].sum())
                expected = native[0].weights[name] * layer
                assert torch.equal(start.weights[name], expected)
        assert any(
            not torch.equal(random[-1].mask.layers[n], native[-1].mask.layers[n])
            for n in native[-1].mask.layers
        )
        for wider, narrower in pairwise(random):
            for name, layer in narrower.mask.layers.items():
                assert not bool((layer & ~wider.mask.layers[name]).any())

    def test_late_rewound_weights_come_from_the_store(self, starts) -> None:
        source = trajectory(rewind={"kind": "step", "step": 5})
        native = begun(starts, source, NOTHING)
        whole = MemoryArtifacts(records_of(source))
        elsewhere = begun(starts, transfer(source, images=crop("coffee")), whole)
        for one, other in zip(native, elsewhere, strict=True):
            assert all(torch.equal(one.weights[n], other.weights[n]) for n in one.weights)

    def test_another_seed_keeps_the_tickets_weights(self, starts, artifacts) -> None:
        native = begun(starts, trajectory(), NOTHING)
        other = begun(starts, transfer(seed=5), artifacts)
        assert not torch.equal(native[0].measured, other[0].measured)
        for one, two in zip(native, other, strict=True):
            assert all(torch.equal(one.weights[n], two.weights[n]) for n in one.weights)

    def test_masks_are_stored_where_they_are_not_the_sources(self, artifacts) -> None:
        assert all(not record.masks for record in records_of(transfer(), artifacts=artifacts))
        own = records_of(transfer(travels="layer_densities"), artifacts=artifacts)
        assert [set(record.masks) for record in own] == [{0}, {1}, {2}, {3}]


def test_what_is_left_out_is_as_in_the_source() -> None:
    source = trajectory(images=crop("coffee"))
    spec = Transfer.model_validate({"source": source})
    assert (spec.images, spec.task, spec.fit) == (source.images, source.task, source.fit)
    written = Transfer.model_validate({"source": source.model_dump(mode="json")})
    assert written.id == spec.id == Transfer.model_validate_json(spec.model_dump_json()).id


class TestSomeLevels:
    def test_those_taken_are_as_in_the_whole(self, artifacts) -> None:
        changes = {"images": crop("coffee"), "travels": "layer_densities"}
        whole = records_of(transfer(**changes), artifacts=artifacts)
        some = records_of(transfer(**changes, take=[1, 3]), artifacts=artifacts)
        assert [record.level for record in some] == [0, 1]
        for one, other in zip(some, (whole[1], whole[3]), strict=True):
            assert one.kept == other.kept
            assert one.curve.psnr_db == other.curve.psnr_db
        assert [set(record.masks) for record in some] == [{0}, {1}]

    @pytest.mark.parametrize(
        ("take", "message"),
        [([2, 2], "must rise"), ([4], "which has 0 to 3: got"), ([], "least 1")],
    )
    def test_levels_that_there_are_not(self, take, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            transfer(take=take)


class TestElsewhere:
    @pytest.mark.parametrize(
        "task",
        [
            {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}},
            {"kind": "super_resolution", "factor": 2},
            {"kind": "denoising", "sigma": 50.0},
        ],
        ids=lambda task: task["kind"],
    )
    def test_other_tasks_and_images(self, artifacts, task) -> None:
        image = crop("coffee") | {"columns": (200, 212)}
        records = records_of(transfer(images=image, task=task), artifacts=artifacts)
        assert [record.image for record in records] == ["coffee"] * 4
        assert [record.outcome for record in records] == [Outcome.BUDGET] * 4
        kept = [mask.kept for mask in masks_of(records_of(trajectory())).values()]
        assert [record.kept for record in records] == kept

    def test_a_run_broken_off_goes_on_bit_for_bit(self, artifacts) -> None:
        spec = transfer(images=crop("coffee"), travels="layer_densities")
        whole = records_of(spec, artifacts=artifacts)
        rest = records_of(spec, first=2, artifacts=artifacts)
        assert [found(record) for record in rest] == [found(record) for record in whole[2:]]

    def test_without_a_ticket_a_level_has_failed(self) -> None:
        hopeless = trajectory(fit=SPEC["fit"] | {"learning_rate": 1e30})
        lost = MemoryArtifacts(records_of(hopeless))
        first, *below = records_of(transfer(hopeless), artifacts=lost)
        assert first.outcome is Outcome.BUDGET
        assert {record.outcome for record in below} == {Outcome.FAILED}
        assert [r.kept for r in below] == list(hopeless.schedule.kept(first.total))[1:]

    def test_a_photo_without_a_clean_image(self, artifacts, tmp_path) -> None:
        from PIL import Image as Picture

        side = torch.arange(156, dtype=torch.uint8).view(12, 13, 1).expand(-1, -1, 3)
        Picture.fromarray(side.numpy()).save(tmp_path / "mine.png")
        photo = {"kind": "file", "path": str(tmp_path / "mine.png"), "measured": True}
        spec = transfer(images=photo, task={"kind": "denoising"})
        assert list(spec.conflicts()) == []
        for record in records_of(spec, artifacts=artifacts):
            assert record.psnr_selected_db is record.psnr_peak_db is record.peak_step is None
            assert record.selected_step is not None
            assert "selected" in {shown.role for shown in record.reconstructions}


class TestConflicts:
    def test_a_sound_one_has_none(self) -> None:
        assert list(transfer().conflicts()) == []

    def test_another_number_of_channels(self) -> None:
        ((field, message),) = transfer(images=crop("camera")).conflicts()
        assert field == "images"
        assert "make images of 3 channels, camera has 1" in message

    def test_weights_drawn_afresh_cannot_travel(self) -> None:
        source = trajectory(rewind="reinit")
        ((field, message),) = transfer(source).conflicts()
        assert field == "travels"
        assert "allowed: mask, layer_densities" in message
        assert list(transfer(source, travels="mask").conflicts()) == []

    def test_what_is_wrong_with_the_source_is_told_too(self) -> None:
        source = trajectory(schedule={"kind": "rate", "rate": 0.9, "steps": 9})
        ((field, _),) = transfer(source).conflicts()
        assert field == "source.schedule"

    def test_its_sources_come_first(self) -> None:
        spec = transfer()
        assert [source.id for source in spec.sources] == [trajectory().id]
        assert spec.levels == 4
        assert spec.seed_used == 0


class TestSeveralImages:
    PAIR = (crop("astronaut"), crop("coffee"))

    def test_each_has_its_latent_and_its_row_and_they_share_the_weights(self, starts) -> None:
        spec = trajectory(images=self.PAIR)
        records = records_of(spec)
        assert [(r.level, r.image) for r in records] == [
            (level, image) for level in range(4) for image in ("astronaut", "coffee")
        ]
        one, other = starts[:2]
        assert not torch.equal(one.latent, other.latent)
        assert not torch.equal(one.measured, other.measured)
        assert all(torch.equal(one.weights[n], other.weights[n]) for n in one.weights)
        assert [set(record.masks) for record in records[:3]] == [{0, 1}, set(), {2}]

    def test_alone_an_image_meets_the_same_noise_and_latent(self, starts) -> None:
        records_of(trajectory(images=self.PAIR, schedule=[1.0]))
        together = starts[1]
        starts.clear()
        records_of(trajectory(images=crop("coffee"), schedule=[1.0]))
        assert torch.equal(starts[0].latent, together.latent)
        assert torch.equal(starts[0].measured, together.measured)
        assert starts[0].draws == together.draws

    def test_the_network_restores_each_and_not_their_mean(self) -> None:
        """One latent for several targets would end at the mean image."""
        fit = {"steps": 250, "input_noise": 0.0, "stopping": {"window": 50, "stride": 10}}
        prior = {"kind": "skip", "width": 16, "scales": 2, "input_channels": 8}
        spec = trajectory(images=self.PAIR, schedule=[1.0], fit=fit, prior=prior, target="clean")
        records = records_of(spec)
        clean = [image.load()[None] for image in spec.images]
        mean = (clean[0] + clean[1]) / 2
        for record, image in zip(records, clean, strict=True):
            blurred = -10 * torch.log10((mean - image).square().mean())
            assert record.psnr_peak_db > float(blurred) + 3

    def test_their_ticket_travels(self) -> None:
        source = trajectory(images=self.PAIR)
        artifacts = MemoryArtifacts(records_of(source))
        records = records_of(transfer(source, images=crop("chelsea")), artifacts=artifacts)
        assert {record.image for record in records} == {"chelsea"}
        assert {record.outcome for record in records} == {Outcome.BUDGET}
