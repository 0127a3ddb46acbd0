"""From a fit to its row: columns, thinned curves, pictures, outcomes."""

import io
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from ladders import CPU, records_of, trajectory
from PIL import Image as Pillow

from lip_ray.fits import Fit, FitResult, Snapshot
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.metrics import psnr, ssim
from lip_ray.records import Outcome
from lip_ray.tasks import Problem
from lip_ray.trials import recording
from lip_ray.trials.recording import (
    curve,
    fit_columns,
    machine_columns,
    pictures,
    reset_peak_memory,
)

NAN = float("nan")


def problem_of(side: int = 16) -> Problem:
    draws = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, side, side + 2, generator=draws)
    noise = 0.1 * torch.randn(clean.shape, generator=draws)
    return Problem(clean=clean, measured=(clean + noise).clamp(0, 1))


def result_of(steps: int, problem: Problem, *, peak: int = 0, selected: int = 0) -> FitResult:
    """A fit whose loss is its step, with a statistic at every tenth step from the 20th."""
    rows = torch.arange(steps, dtype=torch.float32)[:, None].repeat(1, 4)
    rows[:, PSNR_RAW] += 1000
    rows[:, PSNR] += 2000
    due = [step for step in range(steps) if step >= 19 and (step + 1) % 10 == 0]
    rows[:, STATISTIC] = NAN
    rows[due, STATISTIC] = torch.tensor(due, dtype=torch.float32)
    return FitResult(
        outcome=Outcome.BUDGET,
        reason="",
        steps=steps,
        seconds=1.5,
        rows=rows,
        peak=Snapshot(step=peak, image=problem.clean * 0.9),
        selected=Snapshot(step=selected, image=problem.clean * 0.8),
        final=Snapshot(step=steps - 1, image=problem.clean * 0.7),
        execution="dense",
    )


class TestCurve:
    @pytest.mark.parametrize("steps", [1, 2, 3, 150, 301, 3000, 20_000])
    def test_steps_rise_from_the_first_to_the_last(self, steps: int) -> None:
        thinned = curve(result_of(steps, problem_of())).step
        assert thinned[0] == 0
        assert thinned[-1] == steps - 1
        assert all(before < after for before, after in pairwise(thinned))
        assert len(thinned) <= min(steps, 290)
        assert all(type(step) is int for step in thinned)

    @pytest.mark.parametrize(("peak", "selected"), [(1237, 2749), (2999, 0), (5, 5)])
    def test_peak_and_selected_are_among_them(self, peak: int, selected: int) -> None:
        thinned = curve(result_of(3000, problem_of(), peak=peak, selected=selected)).step
        assert {peak, selected} <= set(thinned)

    def test_short_fits_are_kept_whole(self) -> None:
        assert curve(result_of(100, problem_of())).step == tuple(range(100))

    def test_the_beginning_is_dense_and_no_gap_is_wide(self) -> None:
        thinned = np.array(curve(result_of(3000, problem_of())).step)
        assert thinned[:20].tolist() == list(range(20))
        assert np.diff(thinned).max() <= 24

    def test_columns_are_the_rows_at_these_steps(self) -> None:
        shown = curve(result_of(3000, problem_of(), peak=1237))
        assert shown.loss == shown.step
        assert shown.psnr_raw_db == tuple(1000 + step for step in shown.step)
        assert shown.psnr_db == tuple(2000 + step for step in shown.step)

    def test_the_statistic_is_the_latest(self) -> None:
        shown = curve(result_of(3000, problem_of()))
        for step, statistic in zip(shown.step, shown.statistic, strict=True):
            if step < 19:
                assert math.isnan(statistic)
            else:
                assert statistic == (step + 1) // 10 * 10 - 1

    def test_a_fit_that_never_began_has_an_empty_curve(self) -> None:
        result = replace(
            result_of(1, problem_of()), steps=0, rows=torch.zeros(0, 4), selected=None, final=None
        )
        shown = curve(result)
        assert shown.step == shown.loss == shown.psnr_db == shown.statistic == ()


class TestColumns:
    def test_they_are_the_metrics_of_the_three_images(self) -> None:
        problem = problem_of()
        result = result_of(50, problem, peak=31, selected=29)
        row = fit_columns(result, problem)
        for name in ("peak", "selected", "final"):
            image = getattr(result, name).image
            assert row[f"psnr_{name}_db"] == float(psnr(image, problem.clean))
            assert row[f"ssim_{name}"] == float(ssim(image, problem.clean))
        assert row["psnr_measured_db"] == float(psnr(problem.measured, problem.clean))
        assert (row["peak_step"], row["selected_step"], row["steps"]) == (31, 29, 50)
        assert row["loss_final"] == float(result.rows[-1, LOSS]) == 49.0
        assert row["fit_s"] == 1.5

    def test_what_a_diverged_fit_does_not_have_is_none(self) -> None:
        problem = problem_of()
        result = replace(
            result_of(1, problem),
            outcome=Outcome.DIVERGED,
            steps=0,
            rows=torch.zeros(0, 4),
            peak=None,
            selected=None,
            final=None,
        )
        row = fit_columns(result, problem)
        known = {name for name, value in row.items() if value is not None}
        assert known == {"psnr_measured_db", "steps", "execution", "fit_s"}

    def test_images_of_one_fit_share_its_time(self) -> None:
        problem = problem_of()
        assert fit_columns(result_of(5, problem), problem, share=3)["fit_s"] == 0.5

    def test_without_a_clean_image_there_is_nothing_to_compare_with(self) -> None:
        problem = replace(problem_of(), clean=None)
        result = replace(result_of(50, problem_of()), peak=None)
        result.rows[:, [PSNR_RAW, PSNR]] = NAN
        row = fit_columns(result, problem)
        assert {name for name, value in row.items() if value is None} == {
            f"{metric}" for metric in row if metric.startswith(("psnr", "ssim", "peak"))
        }
        shown = curve(result)
        assert (shown.psnr_db, shown.psnr_raw_db) == ((), ())
        assert len(shown.loss) == len(shown.step) == 50
        roles = [p.role for p in pictures(result, problem, with_problem=True)]
        assert roles == ["measured", "selected", "final"]

    def test_images_too_small_have_no_ssim(self) -> None:
        problem = problem_of(side=8)
        row = fit_columns(result_of(5, problem), problem)
        assert row["ssim_peak"] is row["ssim_selected"] is row["ssim_final"] is None
        assert row["psnr_peak_db"] is not None


class TestPictures:
    def test_roles_steps_and_sizes(self) -> None:
        problem = problem_of(side=20)
        result = result_of(50, problem, peak=31, selected=29)
        shown = pictures(result, problem, with_problem=True)
        assert [(picture.role, picture.step) for picture in shown] == [
            ("clean", None),
            ("measured", None),
            ("peak", 31),
            ("selected", 29),
            ("final", 49),
        ]
        assert {(picture.height, picture.width) for picture in shown} == {(20, 22)}

    def test_the_pictures_are_the_images(self) -> None:
        problem = problem_of()
        result = result_of(50, problem)
        images = (problem.clean, problem.measured, result.peak.image)
        shown = pictures(result, problem, with_problem=True)
        for picture, image in zip(shown, images, strict=False):
            with Pillow.open(io.BytesIO(picture.png)) as opened:
                pixels = np.asarray(opened).transpose(2, 0, 1) / 255
            assert np.abs(pixels - image[0].numpy()).max() <= 0.5 / 255 + 1e-6

    def test_images_that_do_not_exist_are_left_out(self) -> None:
        problem = problem_of()
        result = replace(result_of(50, problem), selected=None, final=None)
        shown = pictures(result, problem, with_problem=False)
        assert [picture.role for picture in shown] == ["peak"]


LARGE = 256
"""In 2²⁰ bytes: far more than all else of these tests takes."""


def allocate() -> None:
    """Take so much memory, use all of it and give it back."""
    torch.ones(LARGE * 2**18)


def peak_mb() -> float:
    return machine_columns(CPU)["memory_mb"]


@pytest.fixture
def resettable() -> None:
    """The kernel forgets a peak when it is told to."""
    if not recording.CLEAR_REFS.exists():
        pytest.skip("there is no /proc/self/clear_refs")


class TestPeakMemory:
    @pytest.fixture
    def hungry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fits of which the first takes much memory."""
        fit = Fit.run
        fitted: list[Fit] = []

        def run(self, *arguments, **options):
            if not fitted:
                allocate()
            fitted.append(self)
            return fit(self, *arguments, **options)

        monkeypatch.setattr(Fit, "run", run)

    @pytest.mark.usefixtures("resettable", "hungry")
    def test_is_that_of_the_level(self) -> None:
        assert trajectory().size.parameters  # counting them imports what stays in memory
        dense, *others = [record.memory_mb for record in records_of(trajectory())]
        assert len(others) == 3
        for other in others:
            assert LARGE * 0.9 < dense - other < LARGE * 1.5

    @pytest.mark.usefixtures("resettable")
    def test_is_what_was_resident_at_most_since_it_was_reset(self) -> None:
        allocate()
        reset_peak_memory(CPU)
        before = peak_mb()
        allocate()
        after = peak_mb()
        assert LARGE * 0.9 < after - before < LARGE * 1.1
        assert peak_mb() == pytest.approx(after, abs=20)  # although it was given back
        reset_peak_memory(CPU)
        assert peak_mb() == pytest.approx(before, abs=20)

    @pytest.mark.usefixtures("resettable")
    def test_what_is_held_counts(self) -> None:
        reset_peak_memory(CPU)
        before = peak_mb()
        held = torch.ones(LARGE * 2**18)
        reset_peak_memory(CPU)
        assert peak_mb() - before > LARGE * 0.9
        assert held[0] == 1

    @pytest.mark.parametrize("place", ["absent", "a folder"])
    def test_without_proc_it_is_that_of_the_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        here = tmp_path if place == "a folder" else tmp_path / place / "file"
        monkeypatch.setattr(recording, "CLEAR_REFS", here)
        monkeypatch.setattr(recording, "STATUS", here)
        allocate()
        reset_peak_memory(CPU)
        largest = recording.resource.getrusage(recording.resource.RUSAGE_SELF).ru_maxrss / 2**10
        assert peak_mb() == pytest.approx(largest, abs=20)
        assert peak_mb() > LARGE

    def test_a_kernel_that_tells_no_peak(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        status = tmp_path / "status"
        status.write_text("Name:\tpython\nVmRSS:\t    2048 kB\n")
        monkeypatch.setattr(recording, "STATUS", status)
        assert peak_mb() > 50
        status.write_text("VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")
        assert peak_mb() == 2.0
