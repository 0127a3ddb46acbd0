"""ES-WMV: the running variance against brute force, and what it selects."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lip_ray.fits import WindowedVariance
from lip_ray.fits.trace import STATISTIC, Trace
from lip_ray.tasks import Problem


def brute_force(outputs: np.ndarray, step: int, window: int) -> float:
    """The mean squared distance per pixel from the mean of the last `window` outputs."""
    recent = outputs[step + 1 - window : step + 1].astype(np.float64)
    return float(((recent - recent.mean(0)) ** 2).mean())


@given(
    stride=st.integers(1, 7),
    buckets=st.integers(1, 6),
    steps=st.integers(1, 90),
    offset=st.sampled_from([0.0, 1.0, 1e5]),
    seed=st.integers(0, 3),
)
@settings(max_examples=60)
def test_the_running_variance_is_the_variance(stride, buckets, steps, offset, seed) -> None:
    rule = WindowedVariance(window=stride * buckets, stride=stride)
    draws = np.random.default_rng(seed)
    drift = np.linspace(0, draws.normal(), steps)[:, None, None, None, None]
    outputs = (offset + drift + 0.01 * draws.normal(size=(steps, 1, 2, 2, 3))).astype(np.float32)
    monitor = rule.monitor(torch.zeros(1, 2, 2, 3))
    for step, output in enumerate(outputs):
        variance = monitor.update(step, torch.from_numpy(output))
        due = step + 1 >= rule.window and (step + 1) % stride == 0
        assert (variance is not None) == due
        if variance is not None:
            expected = brute_force(outputs, step, rule.window)
            assert float(variance) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_outputs_that_do_not_move_have_no_variance() -> None:
    monitor = WindowedVariance(window=4, stride=2).monitor(torch.zeros(1, 1, 2, 2))
    found = [monitor.update(step, torch.full((1, 1, 2, 2), 0.7)) for step in range(12)]
    assert [float(v) for v in found if v is not None] == [0.0] * 5


def test_memory_is_a_few_images_whatever_the_window() -> None:
    image = torch.zeros(1, 3, 8, 8)
    monitor = WindowedVariance(window=1000, stride=250).monitor(image)
    held = sum(v.numel() for v in vars(monitor).values() if isinstance(v, torch.Tensor))
    assert held <= (4 + 2) * image.numel()


def test_the_output_may_be_overwritten_afterwards() -> None:
    """The monitor keeps sums, never the tensors that it was shown."""
    rule = WindowedVariance(window=4, stride=1)
    ours, theirs = rule.monitor(torch.zeros(1, 1, 2, 2)), rule.monitor(torch.zeros(1, 1, 2, 2))
    shown = torch.zeros(1, 1, 2, 2)
    for step in range(8):
        shown.fill_(step**2)
        first = ours.update(step, shown)
        second = theirs.update(step, torch.full((1, 1, 2, 2), float(step**2)))
        assert first == second


@pytest.mark.parametrize("window", [20, 100])
def test_it_selects_near_the_peak_of_a_fit_that_learns_and_then_overfits(window: int) -> None:
    draws = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 16, 16, generator=draws)
    noise = 0.2 * torch.randn(clean.shape, generator=draws)
    problem = Problem(clean=clean, measured=clean + noise)
    rule = WindowedVariance(window=window, stride=10)
    trace = Trace(problem, steps=1000, decay=0.0, stopping=rule)
    for step in range(1000):
        learnt = 1 - np.exp(-step / 70)
        overfitted = max(step - 350, 0) / 650
        jitter = 0.002 * torch.randn(clean.shape, generator=draws)
        output = learnt * clean + overfitted * noise + jitter
        trace.observe(step, problem.loss(output), output)
    peak, selected = int(trace.peak.step), int(trace.selected.step)
    assert 250 <= peak <= 450
    assert abs(selected - peak) <= 150
    images = (trace.peak.image, trace.selected.image, trace.average)
    best, chosen, last = (float(problem.psnr(image)) for image in images)
    assert best - last > 20
    assert best - chosen < 5
    statistic = trace.rows(1000)[:, STATISTIC]
    assert int(np.nanargmin(statistic.numpy())) == selected


def test_windows_that_are_no_multiple_of_the_stride_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of stride, got 100 and 30"):
        WindowedVariance(window=100, stride=30)


@pytest.mark.parametrize("field", ["window", "stride", "patience"])
def test_counts_below_one_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        WindowedVariance(**{field: 0})
