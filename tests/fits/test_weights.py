"""The fit: what it minimises, records, stops at, survives, and never looks at."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lip_ray.fits import Fit, arithmetic
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.metrics import psnr
from lip_ray.pruning import Mask
from lip_ray.records import Outcome
from lip_ray.tasks import Problem


def averages(outputs: list[Tensor], decay: float) -> list[Tensor]:
    """The exponential moving average after every step, in double precision."""
    found = [outputs[0].double()]
    for output in outputs[1:]:
        found.append(decay * found[-1] + (1 - decay) * output.double())
    return found


def variances(outputs: list[Tensor], window: int, stride: int) -> dict[int, float]:
    """By step, the variance per pixel of the last `window` outputs, where one is due."""
    stack = np.stack([output.numpy() for output in outputs]).astype(np.float64)
    due = [s for s in range(window - 1, len(outputs)) if (s + 1) % stride == 0]
    return {s: float(stack[s + 1 - window : s + 1].var(axis=0).mean()) for s in due}


def weights_of(bench) -> dict[str, Tensor]:
    return bench.prior.snapshot()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def equal_with_nan(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(nan=-1), other.nan_to_num(nan=-1))


class TestRecords:
    @pytest.fixture
    def fit(self, short) -> Fit:
        return short(steps=80, average=0.99)

    def test_the_loss_decreases(self, bench, fit) -> None:
        result = bench.fit(fit)
        assert result.outcome is Outcome.BUDGET
        assert result.reason == ""
        assert result.steps == len(bench.outputs) == 80
        losses = result.rows[:, LOSS]
        assert float(losses[-10:].mean()) < 0.5 * float(losses[0])

    def test_losses_and_psnrs_are_those_of_the_outputs(self, bench, fit) -> None:
        rows = bench.fit(fit).rows
        clean, measured = bench.problem.clean, bench.problem.measured
        losses = torch.stack([(out - measured).square().mean() for out in bench.outputs])
        raw = torch.stack([psnr(out, clean) for out in bench.outputs])
        averaged = torch.stack([psnr(a, clean.double()) for a in averages(bench.outputs, 0.99)])
        torch.testing.assert_close(rows[:, LOSS], losses, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(rows[:, PSNR_RAW], raw, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(rows[:, PSNR].double(), averaged, rtol=1e-5, atol=1e-4)

    def test_the_statistic_is_the_variance_of_the_outputs(self, bench, fit) -> None:
        rows = bench.fit(fit).rows
        expected = variances(bench.outputs, window=10, stride=5)
        known = (~rows[:, STATISTIC].isnan()).nonzero().flatten().tolist()
        assert known == list(expected)
        found = rows[known, STATISTIC].tolist()
        assert found == pytest.approx(list(expected.values()), rel=1e-4)

    def test_peak_selected_and_final(self, bench, fit) -> None:
        result = bench.fit(fit)
        smooth = averages(bench.outputs, 0.99)
        scores = [float(psnr(image, bench.problem.clean.double())) for image in smooth]
        spread = variances(bench.outputs, window=10, stride=5)
        assert result.peak.step == int(np.argmax(scores))
        assert result.selected.step == min(spread, key=spread.__getitem__)
        assert result.final.step == 79
        for taken in (result.peak, result.selected, result.final):
            assert torch.allclose(taken.image.double(), smooth[taken.step], atol=1e-5)

    def test_without_averaging_images_are_outputs(self, bench, short) -> None:
        result = bench.fit(short(average=0.0))
        assert torch.equal(result.rows[:, PSNR], result.rows[:, PSNR_RAW])
        for taken in (result.peak, result.selected, result.final):
            assert torch.equal(taken.image, bench.outputs[taken.step])


class TestRandomness:
    def test_the_same_draws_give_the_same_bits(self, bench, short) -> None:
        first = bench.fit(short())
        weights = weights_of(bench)
        torch.rand(7)
        second = bench.fit(short())
        assert equal(weights, weights_of(bench))
        assert equal_with_nan(first.rows, second.rows)
        assert torch.equal(first.selected.image, second.selected.image)

    def test_input_noise_comes_from_the_draws(self, bench, short) -> None:
        first = bench.fit(short(), seed=0)
        second = bench.fit(short(), seed=1)
        assert not torch.equal(first.rows[:, LOSS], second.rows[:, LOSS])

    def test_without_input_noise_nothing_is_drawn(self, bench, short) -> None:
        first = bench.fit(short(input_noise=0.0), seed=0)
        second = bench.fit(short(input_noise=0.0), seed=1)
        assert torch.equal(first.rows[:, LOSS], second.rows[:, LOSS])

    def test_input_noise_has_the_strength_it_says_and_is_drawn_anew(self, bench, short) -> None:
        latents: list[Tensor] = []
        bench.prior.module.register_forward_pre_hook(lambda _, inputs: latents.append(*inputs))
        bench.fit(short(input_noise=0.2, steps=20))
        noise = torch.stack(latents) - bench.prior.latent
        assert float(noise.std()) == pytest.approx(0.2, rel=0.03)
        assert not torch.equal(noise[0], noise[1])

    def test_the_latent_and_the_global_generator_are_left_alone(self, bench, short) -> None:
        latent, state = bench.prior.latent.clone(), torch.get_rng_state()
        bench.fit(short())
        assert torch.equal(latent, bench.prior.latent)
        assert torch.equal(state, torch.get_rng_state())


class TestNoHiddenGroundTruth:
    @pytest.mark.parametrize("patience", [None, 15])
    def test_another_clean_image_changes_nothing_but_the_measuring(
        self, bench, short, patience
    ) -> None:
        fit = short(steps=80, patience=patience)
        ours = bench.fit(fit)
        weights = weights_of(bench)
        other = bench.with_clean(1 - bench.problem.clean)
        theirs = other.fit(fit)
        assert equal(weights, weights_of(bench))
        assert (ours.outcome, ours.steps) == (theirs.outcome, theirs.steps)
        assert ours.selected.step == theirs.selected.step
        assert torch.equal(ours.selected.image, theirs.selected.image)
        assert torch.equal(ours.final.image, theirs.final.image)
        blind = [LOSS, STATISTIC]
        assert equal_with_nan(ours.rows[:, blind], theirs.rows[:, blind])
        assert not torch.equal(ours.rows[:, PSNR], theirs.rows[:, PSNR])


class TestPatience:
    def test_it_stops_where_the_least_variance_is_old_enough(self, bench, short) -> None:
        whole = bench.fit(short(steps=120, learning_rate=0.1))
        statistic = whole.rows[:, STATISTIC].nan_to_num(nan=torch.inf)
        patience = 15
        stops = [
            end for end in range(10, 121, 10) if end - 1 - int(statistic[:end].argmin()) >= patience
        ]
        assert stops[0] < 120, "this fit gives the rule no reason to stop"
        result = bench.fit(short(steps=120, learning_rate=0.1, patience=patience))
        assert result.outcome is Outcome.STOPPED
        assert result.steps == stops[0] == len(bench.outputs)
        assert equal_with_nan(result.rows, whole.rows[: stops[0]])
        assert result.final.step == stops[0] - 1
        assert result.selected.step == int(statistic[: stops[0]].argmin())

    def test_patience_longer_than_the_fit_uses_the_budget(self, bench, short) -> None:
        assert bench.fit(short(patience=1000)).outcome is Outcome.BUDGET


@dataclass(frozen=True, kw_only=True)
class Breaking(Problem):
    """A problem whose loss turns bad at one step and stays fine otherwise."""

    at: int
    value: float
    calls: list[int] = field(default_factory=list)

    def loss(self, output: Tensor) -> Tensor:
        self.calls.append(1)
        return super().loss(output) * (self.value if len(self.calls) - 1 == self.at else 1)


class TestDivergence:
    @pytest.mark.parametrize("mask", ["dense", "sparse"])
    def test_a_learning_rate_beyond_all_measure(self, bench, short, mask, request) -> None:
        bench = bench if mask == "dense" else request.getfixturevalue("sparse")
        result = bench.fit(short(learning_rate=1e30))
        assert result.outcome is Outcome.DIVERGED
        assert result.steps == len(result.rows) == 1
        assert result.reason == "the loss of step 1 was not finite"
        assert result.final is None
        assert result.selected is None
        assert result.peak.step == 0

    @pytest.mark.parametrize("at", [0, 3, 9, 10, 37, 52, 54])
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_the_step_is_named_wherever_it_is(self, sparse, short, at: int, value: float) -> None:
        """In the middle of a window, at its ends, in the last one that is not whole."""
        problem = sparse.problem
        sparse.problem = Breaking(
            clean=problem.clean, measured=problem.measured, at=at, value=value
        )
        result = sparse.fit(short(steps=55))
        assert result.outcome is Outcome.DIVERGED
        assert result.steps == at
        assert str(at) in result.reason
        assert bool(torch.isfinite(result.rows[:, LOSS]).all())
        assert len(sparse.outputs) <= min(10 * (at // 10 + 1), 55)

    def test_a_measurement_that_is_not_a_number(self, bench, short) -> None:
        bench.problem.measured[0, 0, 0, 0] = float("nan")
        result = bench.fit(short())
        assert result.outcome is Outcome.DIVERGED
        assert result.steps == 0
        assert result.rows.shape == (0, 4)
        assert (result.selected, result.final) == (None, None)


class TestMask:
    def test_pruned_weights_stay_zero_and_kept_ones_learn(self, sparse, short) -> None:
        sparse.fit(short())
        for name, weight in sparse.prior.prunable().items():
            kept = sparse.mask.layers[name]
            assert not bool(weight[~kept].any())
            assert not torch.equal(weight[kept], sparse.initial[name][kept])

    def test_biases_and_normalisation_learn_in_a_network_without_weights(self, bench, short):
        nothing = {n: torch.zeros_like(layer) for n, layer in bench.mask.layers.items()}
        bench.mask = Mask(nothing)
        result = bench.fit(short())
        assert result.outcome is Outcome.BUDGET
        assert float(result.rows[-1, LOSS]) < float(result.rows[0, LOSS])
        assert bool((bench.outputs[-1].var(dim=(2, 3)) < 1e-10).all())  # one colour

    def test_a_dense_mask_changes_no_bit(self, bench, short, monkeypatch) -> None:
        masked = bench.fit(short())
        monkeypatch.setattr("lip_ray.fits.weights.GradientMask", lambda *_: lambda: None)
        free = bench.fit(short())
        assert torch.equal(masked.rows[:, LOSS], free.rows[:, LOSS])

    def test_weights_that_came_back_are_an_error_of_ours(self, sparse, short, monkeypatch) -> None:
        monkeypatch.setattr("lip_ray.fits.weights.GradientMask", lambda *_: lambda: None)
        with pytest.raises(AssertionError, match="came back"):
            sparse.fit(short())


class Waits(TorchDispatchMode):
    """Counts the operations that make the host wait for the device."""

    NAMES = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal", "_unique2")

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.NAMES:
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


class TestSpeed:
    def waits(self, bench, fit: Fit, monkeypatch) -> int:
        """How often the host waits during a fit."""
        copies: list[str] = []
        with monkeypatch.context() as patch, Waits() as seen:
            for name in ("cpu", "numpy", "tolist"):
                original = getattr(Tensor, name)
                patch.setattr(
                    Tensor, name, lambda *a, o=original, n=name, **k: copies.append(n) or o(*a, **k)
                )
            bench.fit(fit)
        return seen.count.total() + len(copies)

    def test_the_host_waits_a_window_not_a_step(self, sparse, short, monkeypatch) -> None:
        few = self.waits(sparse, short(steps=20, window=20), monkeypatch)
        longer = self.waits(sparse, short(steps=80, window=80), monkeypatch)
        more = self.waits(sparse, short(steps=80, window=20), monkeypatch)
        assert longer == few > 0
        assert more == few + 3  # once in each of the other three windows

    def test_patience_costs_one_more(self, bench, short, monkeypatch) -> None:
        few = self.waits(bench, short(steps=20, window=20, patience=500), monkeypatch)
        more = self.waits(bench, short(steps=80, window=20, patience=500), monkeypatch)
        assert more == few + 3 * 2

    def test_the_counter_is_not_blind(self) -> None:
        with Waits() as seen:
            torch.tensor([1.0]).item()
            bool(torch.tensor([1.0]) > 0)
            torch.ones(3).nonzero()
        assert seen.count.total() == 3


class TestPrecision:
    def test_arithmetic_is_set_and_put_back(self) -> None:
        convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
        before = convolutions.fp32_precision, products.fp32_precision
        for precision, expected in (("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")):
            with arithmetic(precision, torch.device("cuda")):
                assert convolutions.fp32_precision == products.fp32_precision == expected
            assert (convolutions.fp32_precision, products.fp32_precision) == before

    def test_arithmetic_is_put_back_after_an_error(self) -> None:
        before = torch.backends.cudnn.conv.fp32_precision
        with pytest.raises(RuntimeError, match="on purpose"):  # noqa: SIM117
            with arithmetic("fp32", torch.device("cuda")):
                raise RuntimeError("on purpose")
        assert torch.backends.cudnn.conv.fp32_precision == before

    def test_bf16_fits_too_and_is_recorded_in_full_precision(self, sparse, short) -> None:
        exact, rough = sparse.fit(short()), sparse.fit(short(precision="bf16"))
        assert rough.outcome is Outcome.BUDGET
        assert rough.rows.dtype == torch.float32
        assert not torch.equal(exact.rows[:, LOSS], rough.rows[:, LOSS])
        assert float(rough.rows[-1, LOSS]) == pytest.approx(float(exact.rows[-1, LOSS]), rel=0.2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 50}, "window must not be longer than the fit: got window 100 and steps 50"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"input_noise": -0.1}, "input_noise"),
        ({"average": 1.0}, "average"),
        ({"precision": "fp64"}, "precision"),
    ],
)
def test_fits_that_make_no_sense_are_refused(fields, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Fit(**fields)


def test_the_defaults_are_those_of_the_study() -> None:
    fit = Fit()
    assert (fit.steps, fit.learning_rate, fit.average) == (3000, 0.01, 0.99)
    assert fit.input_noise == 1 / 30
    assert (fit.stopping.window, fit.stopping.patience) == (100, None)
