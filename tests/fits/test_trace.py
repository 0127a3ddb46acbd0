"""What a trace keeps of a fit: the best images, the average, the first bad loss."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.fits import Discrepancy, WindowedVariance
from lip_ray.fits.stopping import Choice
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC, Best, Trace
from lip_ray.tasks import Problem

NAN, INF = float("nan"), float("inf")


def flat(value: float) -> torch.Tensor:
    return torch.full((1, 1, 2, 2), float(value))


def trace_of(outputs, *, losses=None, decay=0.5, window=2, stride=1) -> Trace:
    """A trace that has observed these flat outputs; the clean image is black."""
    problem = Problem(clean=flat(0), measured=flat(0.5))
    rule = WindowedVariance(window=window, stride=stride, warm_up=0, patience=1000)
    trace = Trace(problem, steps=len(outputs), decay=decay, rules=[rule])
    for step, value in enumerate(outputs):
        loss = problem.loss(flat(value)) if losses is None else torch.tensor(losses[step])
        trace.observe(loss, flat(value))
    return trace


class TestBest:
    def offered(self, scores: list[float], *, together: int) -> Best:
        best = Best.none(flat(0))
        for first in range(0, len(scores), together):
            part = scores[first : first + together]
            images = torch.cat([flat(first + number) for number in range(len(part))])
            best.offer(torch.tensor(part), first, images)
            images.fill_(9)  # what was shown goes on
        return best

    @pytest.mark.parametrize("together", [1, 2, 3, 4])
    def test_the_first_of_equals_is_kept(self, together: int) -> None:
        best = self.offered([1.0, 3.0, 2.0, 3.0], together=together)
        assert (int(best.step), float(best.score)) == (1, 3.0)
        assert torch.equal(best.image, flat(1))

    @pytest.mark.parametrize("together", [1, 2, 3])
    def test_not_a_number_is_never_better(self, together: int) -> None:
        assert int(self.offered([NAN, NAN], together=together).step) == -1
        assert int(self.offered([NAN, -5.0, NAN], together=together).step) == 1


class TestChoice:
    @given(
        statistics=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, NAN, INF]), max_size=12),
        cuts=st.sets(st.integers(1, 11)),
        patience=st.integers(1, 4),
        least=st.sampled_from([-1.0, 0.1, 0.2]),
    )
    def test_steps_offered_together_are_as_steps_offered_one_by_one(
        self, statistics, cuts, patience, least
    ) -> None:
        """A choice ends for its patience, or for a statistic that is small enough."""

        def closed(steps, choice):
            late = (choice.step >= 0) & (choice.step < steps - patience)
            return late | (choice.statistic <= least)

        choice = Choice.none(torch.device("cpu"))
        edges = [0, *sorted(cut for cut in cuts if cut < len(statistics)), len(statistics)]
        for first, end in pairwise(edges):
            if first < end:
                part = torch.tensor(statistics[first:end])
                before = int(choice.step)
                taken, number = choice.offer(part, first, closed)
                assert bool(taken) == (int(choice.step) != before)
                assert not taken or first + int(number) == int(choice.step)

        step, value = -1, INF
        for at, statistic in enumerate(statistics):
            late = 0 <= step < at - patience or value <= least
            if statistic < value and not late:
                step, value = at, statistic
        assert int(choice.step) == step
        assert float(choice.statistic) == pytest.approx(value)


class TestWatch:
    @pytest.mark.parametrize("signal", ["average", "output"])
    def test_peak_selected_and_final_are_of_the_watched_signal(self, signal: str) -> None:
        problem = Problem(clean=flat(0), measured=flat(0.5))
        rule = WindowedVariance(signal=signal, window=2, stride=1, warm_up=0, patience=9)
        trace = Trace(problem, steps=4, decay=0.5, rules=[rule])
        shown, averages = [0.8, 0.2, 0.2, 0.6], [0.8, 0.5, 0.35, 0.475]
        for value in shown:
            trace.observe(problem.loss(flat(value)), flat(value))
        values = averages if signal == "average" else shown
        for snapshot in (trace.peak, trace.selected, trace.final(4)):
            assert torch.allclose(snapshot.image, flat(values[snapshot.step]))
        assert trace.selected.step == (3 if signal == "average" else 2)
        [choice] = trace.choices(trace.rows(4))
        psnr = -20 * np.log10(values[choice.step])
        assert choice.psnr_db == pytest.approx(psnr, abs=1e-4)

    def test_others_note_what_they_would_choose(self) -> None:
        problem = Problem(clean=flat(0), measured=flat(0.5), noise_variance=0.01)
        rule = WindowedVariance(window=2, stride=1, warm_up=0, patience=9)
        other = Discrepancy(signal="output", factor=1.0)
        trace = Trace(problem, steps=4, decay=0.5, rules=[rule, other])
        for value in [0.8, 0.45, 0.2, 0.2]:
            trace.observe(problem.loss(flat(value)), flat(value))
        own, noted = trace.choices(trace.rows(4))
        assert (own.in_force, own.rule, own.step) == (True, rule, trace.selected.step)
        assert (noted.in_force, noted.rule, noted.step) == (False, other, 1)
        assert (noted.fired, noted.noise) == (True, pytest.approx(0.1))


def test_the_average_starts_at_the_first_output_and_moves_exponentially() -> None:
    trace = trace_of([0.8, 0.4, 0.2])
    assert torch.allclose(trace.average, flat((0.8 + 0.4) / 4 + 0.2 / 2))


def test_the_rows_hold_loss_both_psnrs_and_the_statistic() -> None:
    rows = trace_of([0.8, 0.4]).rows(2)
    assert rows[:, LOSS].tolist() == pytest.approx([0.09, 0.01], abs=1e-6)
    raw, averaged = torch.tensor([0.8, 0.4]), torch.tensor([0.8, 0.6])
    assert torch.allclose(rows[:, PSNR_RAW], -20 * raw.log10(), atol=1e-5)
    assert torch.allclose(rows[:, PSNR], -20 * averaged.log10(), atol=1e-5)
    assert rows[0, STATISTIC].isnan()
    assert float(rows[1, STATISTIC]) == pytest.approx(0.01, abs=1e-6)  # of 0.8 and 0.6


@pytest.mark.parametrize(
    ("losses", "steps", "expected"),
    [
        ([1.0, 1.0, 1.0], 3, 3),
        ([1.0, NAN, 1.0], 3, 1),
        ([1.0, 1.0, INF], 3, 2),
        ([1.0, 1.0, INF], 2, 2),
        ([NAN, NAN, NAN], 3, 0),
        ([1.0, -INF, NAN], 3, 1),
    ],
)
def test_the_first_bad_loss_is_found(losses, steps: int, expected: int) -> None:
    assert trace_of([0.5] * 3, losses=losses).finite(steps) == expected


def test_a_step_whose_loss_is_not_finite_is_neither_peak_nor_selected() -> None:
    """Though the output itself, made before the weights broke, is the best of all."""
    trace = trace_of([0.8, 0.4, 0.2, 0.0, 0.0], losses=[1.0, 1.0, 1.0, NAN, INF], decay=0.0)
    assert (int(trace.peak.step), int(trace.selected.step)) == (2, 2)


def test_nothing_after_a_step_whose_loss_is_not_finite_counts() -> None:
    """The fit ends there, whatever later losses are."""
    trace = trace_of([0.8, 0.4, 0.2, 0.0, 0.0], losses=[1.0, 1.0, NAN, 1.0, 1.0], decay=0.0)
    assert (int(trace.peak.step), int(trace.selected.step)) == (1, 1)
    assert [choice.step for choice in trace.choices(trace.rows(2))] == [1]


def test_a_step_that_broke_on_another_image_does_not_count_either() -> None:
    problem = Problem(clean=flat(0), measured=flat(0.5))
    rule = WindowedVariance(window=1, stride=1, warm_up=0, patience=9)
    trace = Trace(problem, steps=2, decay=0.0, rules=[rule])
    trace.observe(torch.tensor(1.0), flat(0.5), total=torch.tensor(2.0))
    trace.observe(torch.tensor(1.0), flat(0.1), total=torch.tensor(NAN))
    assert int(trace.peak.step) == 0
    assert trace.rows(2)[:, LOSS].tolist() == [1.0, 1.0]


def test_when_values_are_read_does_not_matter() -> None:
    """Steps that wait are evaluated first."""
    outputs = torch.rand(50, generator=torch.Generator().manual_seed(0)).tolist()
    whole, problem = (
        trace_of(outputs, window=10, stride=2),
        Problem(clean=flat(0), measured=flat(0.5)),
    )
    rule = WindowedVariance(window=10, stride=2, warm_up=0, patience=1000)
    asked = Trace(problem, steps=50, decay=0.5, rules=[rule])
    for step, value in enumerate(outputs):
        asked.observe(problem.loss(flat(value)), flat(value))
        if step % 7 == 3:
            assert float(asked.psnr_db(step)) == float(whole.rows(50)[step, PSNR])
    assert torch.allclose(asked.rows(50), whole.rows(50), rtol=1e-6, equal_nan=True)
    assert (asked.selected.step, asked.peak.step) == (whole.selected.step, whole.peak.step)
    assert torch.equal(asked.final(50).image, whole.final(50).image)


def test_an_image_too_large_to_wait_is_evaluated_at_once(monkeypatch) -> None:
    plain = trace_of([0.8, 0.4, 0.2]).rows(3)
    monkeypatch.setattr("lip_ray.fits.trace.MOST_VALUES", 1)
    assert torch.equal(trace_of([0.8, 0.4, 0.2]).rows(3).nan_to_num(), plain.nan_to_num())


def test_without_averaging_the_average_is_the_output() -> None:
    trace = trace_of([0.8, 0.3, 0.1], decay=0.0)
    assert torch.equal(trace.average, flat(0.1))
    rows = trace.rows(3)
    assert torch.equal(rows[:, PSNR], rows[:, PSNR_RAW])
