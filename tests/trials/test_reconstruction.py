"""Reconstructions: what generators can recover, beside what they could at best, on equal terms."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import DCGAN, checkpoint, generator, linear_file, reconstruction
from ladders import CPU, MemoryArtifacts, found, masks_of, records_of
from PIL import Image as Photo
from pydantic import ValidationError
from torch import Tensor

from lip_ray.fits import Erm, MedianOfMeans
from lip_ray.records import LevelRecord, Outcome
from lip_ray.tasks import Identity, Problem
from lip_ray.trials import Context, Generator, Reconstruction
from lip_ray.trials.recording import curve

DIGITS = {"kind": "digit", "index": [0, 3]}
ENOUGH = {"kind": "compressed_sensing", "m": 16}
TOO_FEW = {"kind": "compressed_sensing", "m": 2}
ROWS = {"kind": "compressed_sensing", "m": 60, "outliers": {"kind": "rows", "share": 0.05}}


@pytest.fixture
def linear(tmp_path: Path) -> Generator:
    return checkpoint(tmp_path)


@pytest.fixture(scope="module")
def learned() -> tuple[Generator, MemoryArtifacts]:
    """A ladder of a generator, and what it left."""
    spec = generator()
    return spec, MemoryArtifacts(records_of(spec))


def artifacts_of(source: Generator) -> MemoryArtifacts:
    return MemoryArtifacts(records_of(source))


def psnrs(records: list[LevelRecord]) -> list[float]:
    return [record.psnr_selected_db or 0.0 for record in records]


@pytest.fixture
def latents(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Where every fit began, in order."""
    seen: list[Tensor] = []
    for solver in (Erm, MedianOfMeans):
        fit = solver.run

        def watched(
            self: Any, prior: Any, problems: Any, z: Tensor, *rest: Any, fit=fit, **options: Any
        ):
            seen.append(z.clone())
            return fit(self, prior, problems, z, *rest, **options)

        monkeypatch.setattr(solver, "run", watched)
    return seen


class TestRecovery:
    def test_images_in_range_are_found_from_more_measurements_than_latents(self, linear) -> None:
        artifacts = artifacts_of(linear)
        enough = records_of(reconstruction(linear), artifacts=artifacts)
        too_few = records_of(reconstruction(linear, task=TOO_FEW), artifacts=artifacts)
        assert [record.image for record in enough] == ["sample-0", "sample-1"]
        assert [record.split for record in enough] == ["in_range", "in_range"]
        assert min(psnrs(enough)) > 50 > max(psnrs(too_few))

    def test_gross_outliers_ruin_least_squares_and_not_median_of_means(self, linear) -> None:
        artifacts = artifacts_of(linear)
        robust = {"kind": "median_of_means", "steps": 300, "restarts": 2, "block": 4}
        plain = records_of(reconstruction(linear, task=ROWS), artifacts=artifacts)
        kept = records_of(reconstruction(linear, task=ROWS, solver=robust), artifacts=artifacts)
        assert max(psnrs(plain)) < 10 < 30 < min(psnrs(kept))

    @pytest.mark.parametrize(
        "task",
        [
            {"kind": "projection"},
            {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}},
            {"kind": "super_resolution", "factor": 2, "border": 0},
        ],
    )
    def test_any_task_can_be_solved(self, linear, task: dict[str, Any]) -> None:
        records = records_of(reconstruction(linear, task=task), artifacts=artifacts_of(linear))
        assert min(psnrs(records)) > 40

    def test_cosines_alone_find_a_smooth_image(self) -> None:
        camera = {"name": "camera", "kind": "builtin", "size": [8, 8]}
        spec = reconstruction(
            {"kind": "dct"},
            images=camera,
            task={"kind": "compressed_sensing", "m": 60},
            solver="lasso",
        )
        (record,) = records_of(spec)
        assert (record.kept, record.total) == (64, 64)
        assert record.split is None
        assert psnrs([record])[0] > 20
        assert spec.sources == ()


class TestRows:
    def test_one_a_level_and_image_with_pictures_and_counts(self, learned) -> None:
        source, artifacts = learned
        records = records_of(reconstruction(source, images=DIGITS), artifacts=artifacts)
        assert [(r.level, r.image) for r in records] == [
            (level, f"digit-{index}") for level in range(3) for index in (0, 3)
        ]
        total = source.prior.cost.prunable
        assert [r.kept for r in records[::2]] == list(source.schedule.kept(total))
        roles = [{shown.role for shown in record.reconstructions} for record in records]
        fitted = {"peak", "selected", "final"}
        assert roles[:2] == [{"clean", "measured"} | fitted] * 2
        assert roles[2:] == [fitted] * 4
        for record in records:
            assert record.psnr_peak_db >= max(record.psnr_selected_db, record.psnr_final_db) - 1e-4
            assert record.steps == 150

    def test_levels_are_evaluated_with_the_source_generator_as_stored(self, learned) -> None:
        source, artifacts = learned
        both = records_of(reconstruction(source, images=DIGITS), artifacts=artifacts)
        one = records_of(reconstruction(source, images=DIGITS, take=[2]), artifacts=artifacts)
        assert [record.level for record in one] == [0, 0]
        assert psnrs(one) == psnrs(both[4:])
        assert [record.kept for record in one] == [record.kept for record in both[4:]]

    def test_training_images_are_told_from_held_out_ones(self, learned) -> None:
        source, artifacts = learned
        images = [{"kind": "digit", "index": 0, "split": part} for part in ("test", "training")]
        records = records_of(reconstruction(source, images=images, take=[0]), artifacts=artifacts)
        assert [record.split for record in records] == ["held_out", "training"]

    def test_of_a_checkpoint_nobody_knows(self, linear) -> None:
        records = records_of(reconstruction(linear, images=DIGITS), artifacts=artifacts_of(linear))
        assert {record.split for record in records} == {"unknown"}

    def test_l2_is_in_the_generators_own_range(self, learned, linear) -> None:
        source, artifacts = learned
        for spec, left, width in ((source, artifacts, 2), (linear, artifacts_of(linear), 1)):
            record, *_ = records_of(reconstruction(spec, images=DIGITS), artifacts=left)
            mse = 10 ** (-(record.psnr_selected_db or 0) / 10)
            assert record.l2_per_pixel == pytest.approx(width**2 * mse)

    def test_a_broken_off_trial_goes_on_to_the_same_bits(self, learned) -> None:
        source, artifacts = learned
        spec = reconstruction(source, images=DIGITS)
        whole = records_of(spec, artifacts=artifacts)
        again = records_of(spec, artifacts=artifacts, first=1)
        assert [found(record) for record in again] == [found(record) for record in whole[2:]]


class TestEqualTerms:
    def test_levels_solvers_and_sparser_sources_begin_at_the_same_latents(
        self, learned, latents
    ) -> None:
        source, artifacts = learned
        robust = {"kind": "median_of_means", "steps": 2, "restarts": 2, "block": 4}
        for solver in ({"kind": "erm", "steps": 2, "restarts": 2}, robust):
            records_of(reconstruction(source, images=DIGITS, solver=solver), artifacts=artifacts)
        first, *others = latents
        assert first.shape == (1, 2, 2, 4)
        for other in others:
            assert torch.equal(other[:1], first)

    def test_more_restarts_and_other_images_change_none(self, learned, latents) -> None:
        source, artifacts = learned
        for restarts, index in ((2, [0, 3]), (3, [3])):
            solver = {"kind": "erm", "steps": 1, "restarts": restarts}
            images = {"kind": "digit", "index": index}
            spec = reconstruction(source, images=images, solver=solver, take=[0])
            records_of(spec, artifacts=artifacts)
        few, many = latents
        assert torch.equal(few[0, 1], many[0, 0, :2])

    def test_a_restart_begins_at_the_best_of_its_candidates(self, linear, latents) -> None:
        artifacts = artifacts_of(linear)
        for candidates in (1, 40):
            solver = {"kind": "erm", "steps": 1, "restarts": 2, "candidates": candidates}
            records_of(reconstruction(linear, solver=solver), artifacts=artifacts)
        bench = reconstruction(linear).bench(Context(device=CPU, artifacts=artifacts))
        misfits = [
            torch.stack(
                [
                    problem.loss(bench._prior(z[None]))
                    for problem, own in zip(bench.problems, start[0], strict=True)
                    for z in own
                ]
            )
            for start in latents
        ]
        assert bool((misfits[1] < misfits[0]).all())

    def test_the_seed_is_the_sources_unless_given(self, learned) -> None:
        source, _ = learned
        assert reconstruction(generator(seed=3)).seed_used == 3
        assert reconstruction(source, seed=5).seed_used == 5


class TestFloor:
    def test_it_is_the_projection_of_the_same_images_shared_by_all_that_measure_them(
        self, linear
    ) -> None:
        noisy = reconstruction(linear, task=TOO_FEW)
        robust = reconstruction(
            linear, solver={"kind": "median_of_means", "steps": 150, "restarts": 2, "block": 4}
        )
        floor = noisy.floor
        assert floor is not None
        assert floor.task.kind == "projection"
        assert floor.solver.kind == "erm"
        assert robust.floor is not None
        assert floor.id == robust.floor.id == reconstruction(linear).floor.id
        assert [source.id for source in noisy.sources] == [linear.id, floor.id]
        assert floor.floor is None
        assert [source.id for source in floor.sources] == [linear.id]

    def test_a_stored_spec_reads_back_with_the_same_floor(self, linear) -> None:
        spec = reconstruction(linear)
        again = Reconstruction.model_validate_json(spec.model_dump_json())
        assert again == spec
        assert again.floor == spec.floor

    def test_without_a_clean_image_there_is_none(self, linear, tmp_path: Path) -> None:
        Photo.new("L", (8, 8), 90).save(tmp_path / "seen.png")
        photo = {"kind": "file", "path": str(tmp_path / "seen.png"), "measured": True}
        mask = {"kind": "box", "rows": [0, 2], "columns": [0, 2]}
        spec = reconstruction(linear, images=photo, task={"kind": "inpainting", "mask": mask})
        assert spec.floor is None
        assert list(spec.conflicts()) == []
        (record,) = records_of(spec, artifacts=artifacts_of(linear))
        assert record.psnr_selected_db is None
        assert record.l2_per_pixel is None
        assert record.outcome is Outcome.BUDGET


class TestOutcomes:
    def test_levels_without_a_generator_are_failed_rows(self) -> None:
        source = generator(fit={"steps": 40, "batch": 8, "learning_rate": 1e30})
        records = records_of(reconstruction(source, images=DIGITS), artifacts=artifacts_of(source))
        assert len(records) == 6
        assert {record.outcome for record in records} == {Outcome.FAILED}
        assert {record.split for record in records} == {"held_out"}

    def test_a_generator_without_a_path_makes_one_image_for_all(self, tmp_path: Path) -> None:
        source = generator(pruner="random", schedule=[1.0, 0.004])
        left = records_of(source)
        assert left[1].effective == 0
        records = records_of(
            reconstruction(source, images=DIGITS), artifacts=MemoryArtifacts(left)
        )[2:]
        assert {record.outcome for record in records} == {Outcome.COLLAPSED}
        assert {record.steps for record in records} == {0}
        assert all(record.psnr_selected_db == record.psnr_peak_db for record in records)
        assert masks_of(left)[1].kept == records[0].kept

    def test_a_curve_reaches_a_peak_behind_the_end_of_the_selected_restart(self) -> None:
        """Which begins at what was measured; the other one comes by the clean image."""
        grey = torch.ones(1, 1, 2, 2)
        problem = Problem(clean=0.5 * grey, measured=0.8 * grey, operator=Identity())
        left = iter(range(9))

        def prior(z: Tensor) -> Tensor:
            lost = torch.tensor([[False], [next(left) >= 3]])
            return z.masked_fill(lost, torch.nan)[..., None, None] * grey

        start = torch.tensor([[[[0.0], [0.8]]]])
        solver = Erm(steps=9, restarts=2)
        (result,) = solver.run(prior, [problem], start, torch.Generator())
        shown = curve(result)
        assert (result.selected.step, result.peak.step) == (0, 5)
        assert shown.step == tuple(range(9))
        assert shown.loss[:3] == (0, 0, 0)
        assert all(map(math.isnan, shown.loss[3:]))


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"source": "dct"}, "go together"),
            ({"solver": "lasso"}, "go together"),
            ({"take": [1, 0]}, "take must rise"),
            ({"take": [3]}, "which has 0 to 2: got"),
            ({"task": {"kind": "compressed_sensing", "m": 0}}, "greater than or equal to 1"),
            ({"images": []}, "at least 1"),
        ],
    )
    def test_what_cannot_be(self, changes: dict[str, Any], message: str) -> None:
        source = changes.pop("source", DCGAN)
        with pytest.raises(ValidationError, match=message):
            reconstruction(source, **changes)

    @pytest.mark.parametrize(
        ("changes", "path", "message"),
        [
            ({"images": "camera"}, "images", "1×512×512, but the generator makes 1×8×8"),
            ({"images": [{"kind": "sample"}] * 2}, "images", "each image once"),
            (
                {"solver": {"kind": "median_of_means", "block": 17}},
                "solver.block",
                "only 16 measurements",
            ),
            (
                {
                    "task": ENOUGH | {"outliers": {"kind": "rows", "share": 0.5}},
                    "solver": {"kind": "median_of_means", "block": 1},
                },
                "solver.kind",
                "0.5",
            ),
            ({"task": ENOUGH | {"m": 65, "matrix": "orthogonal"}}, "task.m", "at most 64"),
            ({"images": {"kind": "digit", "index": 9999}}, "images", "9999"),
        ],
    )
    def test_what_is_wrong_in_this_company(
        self, linear, changes: dict[str, Any], path: str, message: str
    ) -> None:
        conflicts = list(reconstruction(linear, **changes).conflicts())
        assert {where for where, _ in conflicts} == {path}
        assert message in conflicts[0][1]

    def test_conflicts_of_the_source_are_told(self) -> None:
        [(path, message)] = reconstruction(generator(pruner="snip")).conflicts()
        assert path == "source.pruner"
        assert "allowed: magnitude, random" in message

    def test_cosines_draw_no_samples(self) -> None:
        [(path, message)] = reconstruction(
            {"kind": "dct"}, solver="lasso", images={"kind": "sample"}
        ).conflicts()
        assert path == "images"
        assert "no generator" in message

    def test_more_measurements_than_values_are_allowed_and_said(self, linear) -> None:
        spec = reconstruction(linear, task=ENOUGH | {"m": 65})
        assert list(spec.conflicts()) == []
        assert "more than the 64 values" in " ".join(spec.remarks())
        assert list(reconstruction(linear).remarks()) == []


def test_a_rehearsal_needs_no_source(tmp_path: Path) -> None:
    assert reconstruction(generator()).rehearse(2, device=CPU) > 0
    path = linear_file(tmp_path)
    assert reconstruction({"prior": {"kind": "file", "path": path}}).rehearse(1, device=CPU) > 0


def test_the_size_counts_all_restarts_and_players(linear) -> None:
    one, two = (
        reconstruction(linear, solver={"kind": kind, "restarts": 3}).size
        for kind in ("erm", "median_of_means")
    )
    assert one.parameters == linear.prior.cost.parameters
    assert one.macs_per_step == 3 * linear.prior.cost.macs_per_step
    assert two.macs_per_step == 2 * one.macs_per_step
