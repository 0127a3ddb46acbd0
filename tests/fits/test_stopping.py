"""Stopping rules: their statistics against definitions, what they select, what holds for all."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lip_ray.fits import ExponentialVariance, Fit, Stopping, WindowedVariance
from lip_ray.fits.stopping import AbstractStopping, Monitor
from lip_ray.fits.trace import PSNR, STATISTIC, Trace
from lip_ray.tasks import Problem

RULES = [
    WindowedVariance(window=20, stride=5),
    WindowedVariance(window=12, stride=12, patience=40),
    WindowedVariance(window=10, stride=1, patience=40, run_on=True),
    ExponentialVariance(),
    ExponentialVariance(alpha=0.4, patience=7, look_every=3, run_on=True),
]
NAMES = [f"{rule.kind}{place}" for place, rule in enumerate(RULES)]


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


@given(
    alpha=st.sampled_from([0.01, 0.1, 0.5, 0.9]),
    steps=st.integers(1, 60),
    offset=st.sampled_from([0.0, 1.0, 1e3]),
    seed=st.integers(0, 3),
)
def test_the_moving_variance_is_a_weighted_variance(alpha, steps, offset, seed) -> None:
    """Mean and variance of an image of zeros and the outputs, each weighing (1 − α) times as much
    as its successor."""
    draws = np.random.default_rng(seed)
    outputs = (offset + 0.01 * draws.normal(size=(steps, 1, 2, 2, 3))).astype(np.float32)
    monitor = ExponentialVariance(alpha=alpha).monitor(torch.zeros(1, 2, 2, 3))
    found = [float(monitor.update(step, torch.from_numpy(x))) for step, x in enumerate(outputs)]
    seen = np.concatenate((np.zeros_like(outputs[:1]), outputs)).astype(np.float64)
    ages = np.arange(steps, -1, -1.0)
    weights = np.where(ages == steps, 1, alpha) * (1 - alpha) ** ages
    mean = np.average(seen, axis=0, weights=weights)
    expected = np.average(((seen - mean) ** 2).mean(axis=(1, 2, 3, 4)), weights=weights)
    assert weights.sum() == pytest.approx(1)
    assert found[-1] == pytest.approx(expected, rel=1e-5)


def test_the_moving_variance_begins_large_and_forgets_that_it_did() -> None:
    """Of outputs x that do not move it is (1 − α)^k (1 − (1 − α)^k) x² after k of them."""
    monitor = ExponentialVariance().monitor(torch.zeros(1, 1, 2, 2))
    found = [float(monitor.update(step, torch.full((1, 1, 2, 2), 0.5))) for step in range(300)]
    left = 0.9 ** np.arange(1, 301)
    assert found == pytest.approx(list(left * (1 - left) * 0.25), rel=1e-6)
    assert found[-1] < 1e-13


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
class TestLaws:
    """What holds for every rule."""

    def statistics(self, rule: AbstractStopping, outputs: Iterable[Tensor]) -> list[float]:
        """-1 where none is due."""
        monitor: Monitor | None = None
        found = []
        for step, output in enumerate(outputs):
            monitor = monitor or rule.monitor(output)
            value = monitor.update(step, output)
            found.append(-1.0 if value is None else float(value))
        return found

    def outputs(self, shape: tuple[int, ...] = (1, 3, 4, 6)) -> list[Tensor]:
        draws = torch.Generator().manual_seed(0)
        return [
            (0.5 + torch.randn(72, generator=draws) / (step + 1)).reshape(shape)
            for step in range(60)
        ]

    def test_json_brings_it_back(self, rule) -> None:
        adapter = TypeAdapter(Stopping)
        assert adapter.validate_json(adapter.dump_json(rule)) == rule
        assert adapter.validate_json(rule.canonical_json()) == rule
        assert Fit(stopping=rule).stopping == rule

    def test_its_kind_alone_means_its_defaults(self, rule) -> None:
        assert Fit.model_validate({"stopping": rule.kind}).stopping == type(rule)()

    def test_by_default_it_never_ends_a_fit(self, rule) -> None:
        default = type(rule)()
        assert (default.patience, default.run_on, default.closes_after) == (None, False, None)
        assert not default.ends(10**6, torch.tensor(-1))

    def test_patience_ends_the_fit_or_closes_the_choice(self, rule) -> None:
        ending = rule.model_copy(update={"patience": 15, "run_on": False})
        assert [ending.ends(step, torch.tensor(10)) for step in (24, 25, 26)] == [False, True, True]
        assert ending.closes_after is None
        running_on = ending.model_copy(update={"run_on": True})
        assert not running_on.ends(10**6, torch.tensor(10))
        assert running_on.closes_after == 15

    def test_running_on_without_patience_is_refused(self, rule) -> None:
        with pytest.raises(ValidationError, match="run_on needs a patience"):
            type(rule)(run_on=True)

    def test_its_statistic_is_a_finite_scalar_of_full_precision(self, rule) -> None:
        monitor = rule.monitor(torch.zeros(1, 3, 4, 6))
        found = [monitor.update(step, output) for step, output in enumerate(self.outputs())]
        due = [value for value in found if value is not None]
        assert due
        assert all(v.shape == () and v.dtype == torch.float32 and v.isfinite() for v in due)

    def test_the_shape_and_layout_of_images_do_not_matter(self, rule) -> None:
        flat = self.statistics(rule, self.outputs((1, 1, 1, 72)))
        for shape in ((1, 3, 4, 6), (1, 1, 9, 8), (1, 72, 1, 1)):
            assert self.statistics(rule, self.outputs(shape)) == pytest.approx(flat, rel=1e-6)
        last = [o.contiguous(memory_format=torch.channels_last) for o in self.outputs()]
        assert self.statistics(rule, last) == pytest.approx(flat, rel=1e-6)

    def test_the_same_outputs_give_the_same_bits(self, rule) -> None:
        first = self.statistics(rule, self.outputs())
        torch.rand(3)
        assert first == self.statistics(rule, self.outputs())

    def test_memory_is_a_few_images_however_long_the_fit(self, rule) -> None:
        image = torch.zeros(1, 3, 8, 8)
        monitor = rule.monitor(image)
        held = held_by(monitor)
        assert held <= 13 * image.numel()
        for step in range(150):
            monitor.update(step, image + step)
        assert held_by(monitor) == held

    def test_the_output_may_be_overwritten_afterwards(self, rule) -> None:
        """Sums are kept, never the tensors that were shown, and those are left as they were."""
        shown = torch.zeros(1, 3, 4, 6)

        def overwritten() -> Iterator[Tensor]:
            for output in self.outputs():
                shown.copy_(output)
                yield shown
                assert torch.equal(shown, output)

        assert self.statistics(rule, overwritten()) == self.statistics(rule, self.outputs())

    def test_outputs_that_are_not_numbers_are_never_selected(self, rule) -> None:
        monitor = rule.monitor(torch.zeros(1, 3, 4, 6))
        for step, output in enumerate(self.outputs()):
            value = monitor.update(step, output * torch.nan if step >= 30 else output)
            assert value is None or bool(value.isnan()) == (step >= 30)


def held_by(monitor: Monitor) -> int:
    """How many numbers a monitor holds."""
    return sum(v.numel() for v in vars(monitor).values() if isinstance(v, Tensor))


def test_memory_is_a_few_images_whatever_the_window() -> None:
    image = torch.zeros(1, 3, 8, 8)
    monitor = WindowedVariance(window=1000, stride=250).monitor(image)
    assert held_by(monitor) <= (4 + 2) * image.numel()


def test_the_moving_variance_holds_one_image() -> None:
    image = torch.zeros(1, 3, 8, 8)
    assert held_by(ExponentialVariance(alpha=0.001).monitor(image)) == image.numel() + 1


LONG = 1000


def learn_then_overfit(rule: AbstractStopping, *, knows: bool = True, steps: int = LONG) -> Trace:
    """The trace of outputs that begin grey, settle on the clean image, then drift to the noisy one.

    The jitter from step to step falls while the network learns and rises while it overfits.
    """
    draws = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 16, 16, generator=draws)
    noise = 0.2 * torch.randn(clean.shape, generator=draws)
    problem = Problem(clean=clean if knows else None, measured=clean + noise)
    trace = Trace(problem, steps=steps, decay=0.0, stopping=rule)
    for step in range(steps):
        unlearnt = np.exp(-step / 70)
        overfitted = max(step - 350, 0) / 650
        jitter = 0.002 + 0.03 * unlearnt + 0.03 * overfitted
        output = unlearnt * 0.5 + (1 - unlearnt) * clean + overfitted * noise
        output = output + jitter * torch.randn(clean.shape, generator=draws)
        trace.observe(step, problem.loss(output), output)
    return trace


OVERFITTED = [
    WindowedVariance(window=20, stride=10),
    WindowedVariance(window=100, stride=10),
    ExponentialVariance(),
    ExponentialVariance(alpha=0.03),
]


@pytest.mark.parametrize("rule", OVERFITTED, ids=repr)
class TestOverfitting:
    """A fit that learns and then overfits: the last step is bad, the selected one is not."""

    def test_it_selects_near_the_peak(self, rule) -> None:
        trace = learn_then_overfit(rule)
        peak, selected = int(trace.peak.step), int(trace.selected.step)
        assert 250 <= peak <= 450
        assert abs(selected - peak) <= 100
        psnr = trace.rows(LONG)[:, PSNR]
        assert float(psnr[peak] - psnr[-1]) > 20
        assert float(psnr[peak] - psnr[selected]) < float(psnr[peak] - psnr[-1]) / 4
        statistic = trace.rows(LONG)[:, STATISTIC]
        assert int(np.nanargmin(statistic.numpy())) == selected

    def test_it_does_not_see_the_clean_image(self, rule) -> None:
        seeing, blind = learn_then_overfit(rule), learn_then_overfit(rule, knows=False)
        assert int(blind.selected.step) == int(seeing.selected.step)
        assert torch.equal(blind.selected.image, seeing.selected.image)
        assert int(blind.peak.step) == -1
        assert bool(blind.rows(LONG)[:, PSNR].isnan().all())

    @pytest.mark.parametrize("patience", [120, 200])
    def test_running_on_the_choice_is_that_of_the_fit_that_stopped(self, rule, patience) -> None:
        """The choice is the least statistic before the first gap longer than the patience."""
        whole = learn_then_overfit(rule)
        running_on = learn_then_overfit(
            rule.model_copy(update={"patience": patience, "run_on": True})
        )
        statistic = whole.rows(LONG)[:, STATISTIC].nan_to_num(nan=torch.inf)
        expected = -1
        for step, value in enumerate(statistic.tolist()):
            late = expected >= 0 and step > expected + patience
            if not late and value < (statistic[expected] if expected >= 0 else torch.inf):
                expected = step
        assert int(running_on.selected.step) == expected
        stopped = learn_then_overfit(rule, steps=expected + patience + 1)
        assert int(stopped.selected.step) == expected
        assert torch.equal(stopped.selected.image, running_on.selected.image)
        assert int(running_on.peak.step) == int(whole.peak.step)
        assert torch.equal(running_on.average, whole.average)


def test_a_second_dip_after_the_patience_is_not_chosen() -> None:
    """A rule that ran on and looked at all it saw would choose the end."""
    problem = Problem(clean=None, measured=torch.zeros(1, 1, 2, 2))
    jitter = [0.3, 0.1, 0.4, 0.4, 0.4, 0.4, 0.0, 0.0]
    found = {}
    for rule in (
        WindowedVariance(window=2, stride=1),
        WindowedVariance(window=2, stride=1, patience=3),
        WindowedVariance(window=2, stride=1, patience=3, run_on=True),
        WindowedVariance(window=2, stride=1, patience=6, run_on=True),
    ):
        trace = Trace(problem, steps=8, decay=0.0, stopping=rule)
        for step, size in enumerate(jitter):
            output = torch.full((1, 1, 2, 2), 0.5 + size * (-1) ** step)
            trace.observe(step, problem.loss(output), output)
        found[rule.patience, rule.run_on] = int(trace.selected.step)
    assert found == {(None, False): 7, (3, False): 7, (3, True): 1, (6, True): 7}


def test_a_mapping_without_a_kind_means_the_windowed_variance() -> None:
    fit = Fit.model_validate({"stopping": {"window": 50}})
    assert fit.stopping == WindowedVariance(window=50)


def test_the_defaults_are_those_of_the_paper() -> None:
    assert ExponentialVariance().alpha == 0.1
    assert (WindowedVariance().window, WindowedVariance().stride) == (100, 10)


@pytest.mark.parametrize(("alpha", "least"), [(0.1, 22), (0.03, 116), (0.4, 2), (0.7, 1)])
def test_patience_must_outlast_the_zeros_that_the_mean_begins_at(alpha: float, least: int) -> None:
    """The first variance is the least until then, of outputs that do not move at all."""
    if least > 1:
        with pytest.raises(ValidationError, match=f"patience must be at least {least} .* {alpha}"):
            ExponentialVariance(alpha=alpha, patience=least - 1)
    monitor = ExponentialVariance(alpha=alpha, patience=least).monitor(torch.zeros(1, 1, 2, 2))
    found = [float(monitor.update(step, torch.ones(1, 1, 2, 2))) for step in range(least + 1)]
    assert found[least] < found[0]
    assert least == 1 or min(found[1 : least - 1], default=1.0) >= found[0]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0])
def test_forgetting_factors_that_make_no_sense_are_refused(alpha: float) -> None:
    with pytest.raises(ValidationError, match="alpha"):
        ExponentialVariance(alpha=alpha)


def test_windows_that_are_no_multiple_of_the_stride_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of stride, got 100 and 30"):
        WindowedVariance(window=100, stride=30)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (WindowedVariance, "window"),
        (WindowedVariance, "stride"),
        (WindowedVariance, "patience"),
        (ExponentialVariance, "patience"),
        (ExponentialVariance, "look_every"),
    ],
)
def test_counts_below_one_are_refused(rule, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        rule(**{field: 0})
