"""Stopping rules: their statistics against definitions, the lengths left open, what is refused.

What holds for every rule is in `tests/conformance/test_stopping_rules.py`.
"""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from lip_ray.fits import Discrepancy, ExponentialVariance, Fit, HeldOut, WindowedVariance
from lip_ray.fits.stopping import WATCHING, AbstractMonitor, AbstractStopping, Seen
from lip_ray.fits.trace import Trace
from lip_ray.fits.weights import usual_share
from lip_ray.tasks import Problem

SHAPE = (1, 2, 2, 3)


def monitored(rule: AbstractStopping, outputs: Iterable[np.ndarray | Tensor]) -> list[float | None]:
    """The statistics of a rule over images; None where none is due."""
    found, monitor = [], None
    for step, output in enumerate(outputs):
        image = torch.as_tensor(output)
        problem = Problem(measured=torch.zeros_like(image))
        monitor = monitor or rule.monitor(problem)
        value = float(monitor.update(Seen(problem, step, outputs=image, averages=image)))
        found.append(None if np.isnan(value) else value)
    return found


def brute_force(outputs: np.ndarray, step: int, window: int) -> float:
    """The mean squared distance per pixel from the mean of the last `window` outputs."""
    recent = outputs[step + 1 - window : step + 1].astype(np.float64)
    return float(((recent - recent.mean(0)) ** 2).mean())


@given(
    stride=st.integers(1, 7),
    buckets=st.integers(1, 6),
    steps=st.integers(1, 90),
    offset=st.sampled_from([0.0, 1.0, 1e5]),
    warm_up=st.sampled_from([0, 30]),
    seed=st.integers(0, 3),
)
@settings(max_examples=60)
def test_the_running_variance_is_the_variance(
    stride, buckets, steps, offset, warm_up, seed
) -> None:
    rule = WindowedVariance(window=stride * buckets, stride=stride, warm_up=warm_up, patience=9)
    draws = np.random.default_rng(seed)
    drift = np.linspace(0, draws.normal(), steps)[:, None, None, None, None]
    outputs = (offset + drift + 0.01 * draws.normal(size=(steps, *SHAPE))).astype(np.float32)
    for step, variance in enumerate(monitored(rule, outputs)):
        due = step + 1 >= rule.window and (step + 1) % stride == 0 and step >= warm_up
        assert (variance is not None) == due
        if variance is not None:
            expected = brute_force(outputs, step, rule.window)
            assert variance == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_outputs_that_do_not_move_have_no_variance() -> None:
    rule = WindowedVariance(window=4, stride=2, warm_up=0, patience=9)
    found = monitored(rule, [torch.full((1, 1, 2, 2), 0.7)] * 12)
    assert [value for value in found if value is not None] == [0.0] * 5


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
    outputs = (offset + 0.01 * draws.normal(size=(steps, *SHAPE))).astype(np.float32)
    found = monitored(ExponentialVariance(alpha=alpha, warm_up=0, patience=9), outputs)
    seen = np.concatenate((np.zeros_like(outputs[:1]), outputs)).astype(np.float64)
    ages = np.arange(steps, -1, -1.0)
    weights = np.where(ages == steps, 1, alpha) * (1 - alpha) ** ages
    mean = np.average(seen, axis=0, weights=weights)
    expected = np.average(((seen - mean) ** 2).mean(axis=(1, 2, 3, 4)), weights=weights)
    assert weights.sum() == pytest.approx(1)
    assert found[-1] == pytest.approx(expected, rel=1e-5)


def test_the_moving_variance_begins_large_and_forgets_that_it_did() -> None:
    """Of outputs x that do not move it is (1 − α)^k (1 − (1 − α)^k) x² after k of them."""
    rule = ExponentialVariance(warm_up=0, patience=9)
    found = monitored(rule, [torch.full((1, 1, 2, 2), 0.5)] * 300)
    left = 0.9 ** np.arange(1, 301)
    assert found == pytest.approx(list(left * (1 - left) * 0.25), rel=1e-6)
    assert found[-1] < 1e-13


def held_by(monitor: AbstractMonitor) -> int:
    """How many numbers a monitor holds."""
    return sum(v.numel() for v in vars(monitor).values() if isinstance(v, Tensor))


def test_memory_is_a_few_images_whatever_the_window() -> None:
    problem = Problem(measured=torch.zeros(1, 3, 8, 8))
    rule = WindowedVariance(window=1000, stride=250).scaled(3000)
    assert held_by(rule.monitor(problem)) <= (4 + 2) * problem.measured.numel()


def test_the_moving_variance_holds_one_image() -> None:
    problem = Problem(measured=torch.zeros(1, 3, 8, 8))
    monitor = ExponentialVariance(alpha=0.001).scaled(3000).monitor(problem)
    assert held_by(monitor) == problem.measured.numel() + 1


class TestLengthsLeftOpen:
    """The lengths of a fit of so many steps; a change would be one of defaults."""

    @pytest.mark.parametrize(
        ("steps", "window", "stride", "warm_up"),
        [
            (1, 1, 1, 0),
            (2, 1, 1, 0),
            (20, 2, 1, 2),
            (60, 6, 1, 6),
            (555, 55, 5, 55),
            (1000, 100, 10, 100),
            (3000, 100, 10, 100),
            (40_000, 100, 10, 100),
        ],
    )
    def test_of_the_windowed_variance(self, steps, window, stride, warm_up) -> None:
        rule = WindowedVariance().scaled(steps)
        assert (rule.window, rule.stride) == (window, stride)
        assert (rule.warm_up, rule.patience) == (warm_up, 1000)

    @pytest.mark.parametrize("steps", [1, 60, 3000])
    def test_of_held_out_values(self, steps: int) -> None:
        """First outputs predict nothing well, so none need be left out."""
        rule = HeldOut().scaled(steps)
        assert (rule.warm_up, rule.patience) == (0, 1000)

    @pytest.mark.parametrize(
        ("steps", "alpha", "warm_up"),
        [(3000, 0.1, 100), (100, 0.1, 22), (20, 0.1, 19), (1, 0.1, 0), (3000, 0.01, 459)],
    )
    def test_of_the_moving_variance(self, steps: int, alpha: float, warm_up: int) -> None:
        """The zeros that the mean begins at are forgotten, or the last step is all there is."""
        assert ExponentialVariance(alpha=alpha).scaled(steps).warm_up == warm_up

    def test_what_is_stated_stays(self) -> None:
        rule = WindowedVariance(window=40, stride=8, warm_up=3, patience=5)
        assert rule.scaled(60) == rule
        assert Discrepancy(factor=0.9).scaled(60) == Discrepancy(factor=0.9)

    def test_a_window_left_open_is_a_whole_number_of_strides(self) -> None:
        rule = WindowedVariance(stride=7).scaled(300)
        assert (rule.window, rule.stride) == (28, 7)

    @pytest.mark.parametrize(("alpha", "least"), [(0.1, 22), (0.03, 116), (0.4, 2), (0.7, 1)])
    def test_the_warm_up_outlasts_the_zeros_that_the_mean_begins_at(self, alpha, least) -> None:
        """The first variance is the least until then, of outputs that do not move at all."""
        assert ExponentialVariance(alpha=alpha, warm_up=0).scaled(1000).warm_up == least
        rule = ExponentialVariance(alpha=alpha, warm_up=0, patience=1)
        found = monitored(rule, [torch.ones(1, 1, 2, 2)] * (least + 1))
        assert found[least] < found[0]
        assert least == 1 or min(found[1 : least - 1], default=1.0) >= found[0]


class TestDefaults:
    def test_a_mapping_without_a_kind_means_the_windowed_variance(self) -> None:
        fit = Fit.model_validate({"stopping": {"window": 50}})
        assert fit.stopping == WindowedVariance(window=50)

    def test_by_default_a_rule_watches_the_average_and_the_published_one_the_output(self) -> None:
        assert WindowedVariance().signal == Discrepancy().signal == HeldOut().signal == "average"
        assert ExponentialVariance().signal == "output"
        assert ExponentialVariance().alpha == 0.1

    def test_the_first_rule_that_watches_every_fit_is_the_published_one(self) -> None:
        published = WATCHING[0]
        assert (published.signal, published.window, published.patience) == ("output", 100, 1000)
        assert published.warm_up == 0

    def test_each_rule_watches_once_and_the_one_of_the_spec_comes_first(self) -> None:
        own = HeldOut(warm_up=3)
        rules = Fit(stopping=own).rules
        assert rules[0] == own.scaled(3000)
        assert len(set(rules)) == len(rules) == 1 + len(WATCHING)
        assert len(Fit(stopping=Discrepancy()).rules) == len(WATCHING)

    def test_values_are_held_out_for_the_rule_that_needs_them(self) -> None:
        assert usual_share(HeldOut()) == 0.03
        assert usual_share(Discrepancy()) == usual_share(WindowedVariance()) == 0.0


class TestCompletion:
    """What a trial sets in a fit: the rule for its task, and the settings of its prior."""

    def test_what_is_open_is_set(self) -> None:
        fit = Fit(learning_rate=0.1).completed({"steps": 1900, "average": 0.0}, usual=HeldOut())
        assert (fit.steps, fit.average, fit.learning_rate) == (1900, 0.0, 0.1)
        assert (fit.stopping, fit.held_out) == (HeldOut(), 0.03)

    def test_what_is_stated_stays_even_where_it_is_the_default(self) -> None:
        stated = Fit(steps=3000, average=0.99, stopping=WindowedVariance(), held_out=0.0)
        found = stated.completed({"steps": 1900, "average": 0.0}, usual=HeldOut())
        assert found == stated

    def test_a_complete_fit_stays_as_it_is(self) -> None:
        fit = Fit().completed({"steps": 1900}, usual=HeldOut())
        assert fit.completed({"steps": 7}, usual=Discrepancy()) == fit

    def test_a_published_fit_too_short_for_the_stated_rule_is_refused(self) -> None:
        fit = Fit(stopping=WindowedVariance(window=2000))
        with pytest.raises(ValueError, match="window 2000 and steps 1900"):
            fit.completed({"steps": 1900}, usual=HeldOut())


def test_a_second_dip_after_the_patience_is_not_chosen() -> None:
    """A rule that looked at all it saw would choose the end."""
    problem = Problem(clean=None, measured=torch.zeros(1, 1, 2, 2))
    jitter = [0.3, 0.1, 0.4, 0.4, 0.4, 0.4, 0.0, 0.0]
    found = {}
    for patience in (3, 6):
        rule = WindowedVariance(window=2, stride=1, warm_up=0, patience=patience)
        trace = Trace(problem, steps=8, decay=0.0, rules=[rule])
        for step, size in enumerate(jitter):
            output = torch.full((1, 1, 2, 2), 0.5 + size * (-1) ** step)
            trace.observe(problem.loss(output), output)
        found[patience] = int(trace.selected.step)
    assert found == {3: 1, 6: 7}


class TestDiscrepancy:
    def choice(self, residuals: list[float], *, variance: float = 0.04, factor: float = 0.95):
        """The trace of flat outputs with these residuals, without averaging."""
        problem = Problem(measured=torch.zeros(1, 1, 2, 2), noise_variance=variance)
        rule = Discrepancy(factor=factor)
        trace = Trace(problem, steps=len(residuals), decay=0.0, rules=[rule])
        for residual in residuals:
            output = torch.full((1, 1, 2, 2), residual**0.5)
            trace.observe(problem.loss(output), output)
        return trace.choices(trace.rows(len(residuals)))[0]

    def test_the_first_step_within_the_noise_is_chosen(self) -> None:
        choice = self.choice([0.5, 0.2, 0.037, 0.01, 0.036])
        assert (choice.step, choice.fired) == (2, True)
        assert choice.statistic == pytest.approx(0.037)
        assert choice.noise == pytest.approx(0.2)

    def test_the_factor_moves_it(self) -> None:
        assert self.choice([0.5, 0.2, 0.037, 0.01], factor=0.5).step == 3

    def test_the_least_residual_is_chosen_where_none_is_small_enough(self) -> None:
        choice = self.choice([0.5, 0.2, 0.1, 0.15])
        assert (choice.step, choice.fired) == (2, False)

    def test_held_out_values_are_no_part_of_the_residual(self) -> None:
        measured = torch.zeros(1, 1, 2, 2)
        held = torch.tensor([[[[True, False], [False, False]]]])
        problem = Problem(measured=measured, noise_variance=0.04, held_out=held)
        image = torch.tensor([[[[9.0, 0.1], [0.1, 0.1]]]])
        seen = Seen(problem, 0, outputs=image, averages=image)
        monitor = Discrepancy().monitor(problem)
        assert float(monitor.update(seen)) == pytest.approx(0.01)


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
        (HeldOut, "patience"),
        (Discrepancy, "factor"),
    ],
)
def test_counts_below_one_are_refused(rule, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        rule(**{field: 0})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (WindowedVariance(window=61), "window must not be longer than the fit: got window 61"),
        (WindowedVariance(stride=61), "window must not be longer than the fit: got window 61"),
        (WindowedVariance(warm_up=60), "warm_up must be shorter than the fit: got warm_up 60"),
        (
            WindowedVariance(window=40, stride=40, warm_up=45),
            "warm_up leaves no statistic: with stride 40 the last of 60 steps is step 39",
        ),
        (ExponentialVariance(warm_up=60), "warm_up must be shorter than the fit"),
        (HeldOut(warm_up=99), "warm_up must be shorter than the fit: got warm_up 99 and steps 60"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_lengths_that_do_not_fit_into_the_fit_are_refused(rule, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Fit(steps=60, stopping=rule)


def test_a_rule_that_cannot_judge_a_problem_is_refused_before_it_fits(bench, short) -> None:
    bench.problem = Problem(measured=bench.problem.measured, clean=bench.problem.clean)
    with pytest.raises(ValueError, match="held_out cannot judge this problem"):
        bench.fit(short(stopping=HeldOut()))
    assert bench.outputs == []
