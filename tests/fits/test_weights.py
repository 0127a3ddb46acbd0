"""The fit: what it minimises, records, stops at, survives, and never looks at."""

import copy
from collections import Counter
from dataclasses import dataclass, field, replace
from weakref import WeakSet

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lip_ray.fits import ExponentialVariance, Fit, Subject, WindowedVariance
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.metrics import psnr
from lip_ray.pruning import Mask, Paths, paths
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
        raw = torch.cat([psnr(out, clean) for out in bench.outputs])
        averaged = torch.cat([psnr(a, clean.double()) for a in averages(bench.outputs, 0.99)])
        torch.testing.assert_close(rows[:, LOSS], losses, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(rows[:, PSNR_RAW], raw, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(rows[:, PSNR].double(), averaged, rtol=1e-5, atol=1e-4)

    def test_the_statistic_is_the_variance_of_the_averages(self, bench, fit) -> None:
        rows = bench.fit(fit).rows
        expected = variances(averages(bench.outputs, 0.99), window=10, stride=5)
        known = (~rows[:, STATISTIC].isnan()).nonzero().flatten().tolist()
        assert known == list(expected)
        found = rows[known, STATISTIC].tolist()
        assert found == pytest.approx(list(expected.values()), rel=1e-4)

    def test_peak_selected_and_final(self, bench, fit) -> None:
        result = bench.fit(fit)
        smooth = averages(bench.outputs, 0.99)
        scores = [float(psnr(image, bench.problem.clean.double())) for image in smooth]
        spread = variances(smooth, window=10, stride=5)
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
            end for end in range(10, 121, 10) if end - int(statistic[:end].argmin()) > patience
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

    def test_without_ending_the_fit_its_choice_is_noted_as_fixed(self, bench, short) -> None:
        rule = WindowedVariance(window=10, stride=5, warm_up=0, patience=15)
        result = bench.fit(short(steps=120, learning_rate=0.1, stopping=rule))
        ended = bench.fit(short(steps=120, learning_rate=0.1, patience=15))
        assert (result.steps, ended.outcome) == (120, Outcome.STOPPED)
        assert result.choices[0].in_force
        assert result.choices[0].fired
        assert result.selected.step == ended.selected.step == result.choices[0].step


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

    def test_nothing_is_taken_from_a_step_that_does_not_count(self, bench, short) -> None:
        """The output of the first step is fine; its loss is not."""
        bench.problem.measured[0, 0, 0, 0] = float("nan")
        assert bench.fit(short()).peak is None

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
        monkeypatch.setattr("lip_ray.fits.execution.GradientMask", lambda *_: lambda: None)
        free = bench.fit(short())
        assert torch.equal(masked.rows[:, LOSS], free.rows[:, LOSS])

    def test_paths_everywhere_change_no_bit(self, bench, short, monkeypatch) -> None:
        """Of a sparse network whose remaining weights are all on a path."""
        draws = torch.Generator().manual_seed(0)
        layers = bench.mask.layers.items()
        bench.mask = Mask({n: torch.rand(one.shape, generator=draws) < 0.8 for n, one in layers})
        found = paths(bench.prior.module, bench.mask, (4, 16, 15))
        assert found.effective == bench.mask.kept < bench.mask.total
        with_paths = bench.fit(short())
        pruned = Paths(bench.mask.layers, effective=bench.mask.kept)
        monkeypatch.setattr("lip_ray.fits.weights.paths", lambda *_: pruned)
        without = bench.fit(short())
        assert torch.equal(with_paths.rows[:, LOSS], without.rows[:, LOSS])

    @pytest.mark.parametrize("at", [0, 7])
    def test_scales_on_no_path_are_zero_in_the_fit_alone(self, bench, short, at: int) -> None:
        """Neither the network nor a snapshot shows that they were."""
        name, scale = "1.1.2.weight", bench.prior.module.get_parameter("1.1.2.weight")
        with torch.no_grad():
            bench.initial[name] = torch.linspace(1, 2, 6)
        bench.mask = Mask(bench.mask.layers | {"1.1.1.1.weight": torch.zeros(6, 4, 3, 3) > 0})
        seen: list[Tensor] = []
        bench.prior.module.register_forward_pre_hook(lambda *_: seen.append(scale.detach().clone()))
        result = bench.fit(short(), snapshot_at=at)
        assert len(seen) == 60
        assert not any(bool(one.any()) for one in seen)
        assert torch.equal(scale.detach(), bench.initial[name])
        assert torch.equal(result.snapshot[name], bench.initial[name])

    def test_weights_that_came_back_are_an_error_of_ours(self, sparse, short, monkeypatch) -> None:
        monkeypatch.setattr("lip_ray.fits.execution.GradientMask", lambda *_: lambda: None)
        with pytest.raises(AssertionError, match="came back"):
            sparse.fit(short())


class TestSubjects:
    """Several images, one network."""

    def test_what_is_minimised_is_the_sum_of_the_losses(self, sparse, short) -> None:
        """Against a loop that adds the losses up and differentiates once."""
        fit = short(steps=20, input_noise=0.0)
        found = sparse.fit_all(fit, [sparse.subject(), sparse.other()])
        fitted = weights_of(sparse)
        subjects = [sparse.subject(), sparse.other()]
        module = sparse.prior.module
        sparse.prior.rewind(sparse.initial, sparse.mask.layers)
        adam = torch.optim.Adam(module.parameters(), lr=fit.learning_rate)
        for step in range(20):
            losses = [one.problem.loss(module(one.prior.latent)) for one in subjects]
            for loss, result in zip(losses, found, strict=True):
                assert float(loss.detach()) == pytest.approx(
                    float(result.rows[step, LOSS]), rel=1e-4
                )
            sum(losses).backward()
            for name, weight in sparse.prior.prunable().items():
                weight.grad.mul_(sparse.mask.layers[name])
            adam.step()
            adam.zero_grad()
        for name, weight in sparse.prior.prunable().items():
            torch.testing.assert_close(fitted[name], weight.detach(), rtol=1e-3, atol=1e-4)
            assert not bool(fitted[name][~sparse.mask.layers[name]].any())

    def test_each_image_passes_alone(self, bench, short) -> None:
        """Normalisation sees one image: the first outputs are those of the images by themselves."""
        bench.fit_all(short(steps=10, input_noise=0.0), [bench.subject(), bench.other()])
        together = bench.outputs[:2]
        bench.prior.rewind(bench.initial, bench.mask.layers)
        with torch.no_grad():
            alone = [
                bench.prior.module(one.prior.latent) for one in (bench.subject(), bench.other())
            ]
        assert [tuple(output.shape[2:]) for output in together] == [(16, 15), (12, 20)]
        assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))

    def test_results_come_in_order_and_each_is_of_its_own_image(self, bench, short) -> None:
        subjects = [bench.subject(), bench.other()]
        results = bench.fit_all(short(average=0.0), subjects)
        outputs = bench.outputs
        assert len(outputs) == 2 * 60
        for place, (subject, result) in enumerate(zip(subjects, results, strict=True)):
            own = outputs[place::2]
            losses = torch.stack([subject.problem.loss(output) for output in own])
            torch.testing.assert_close(result.rows[:, LOSS], losses, rtol=1e-5, atol=1e-7)
            for taken in (result.peak, result.selected, result.final):
                assert torch.equal(taken.image, own[taken.step])
            assert (result.outcome, result.steps) == (Outcome.BUDGET, 60)

    def test_each_draws_its_own_noise(self, bench, short) -> None:
        """Whoever else is fitted: the first latents are those of a fit alone."""
        latents: list[Tensor] = []
        bench.prior.module.register_forward_pre_hook(lambda _, inputs: latents.append(*inputs))
        bench.fit_all(short(steps=10), [bench.subject(seed=3), bench.other(seed=4)])
        together, latents[:] = latents[:], []
        bench.fit_all(short(steps=10), [bench.subject(seed=3)])
        assert all(torch.equal(*pair) for pair in zip(together[::2], latents, strict=True))
        latents.clear()
        bench.fit_all(short(steps=10), [bench.other(seed=4)])
        assert all(torch.equal(*pair) for pair in zip(together[1::2], latents, strict=True))

    def test_images_of_one_size_do_not_share_their_noise(self, bench, short) -> None:
        latents: list[Tensor] = []
        bench.prior.module.register_forward_pre_hook(lambda _, inputs: latents.append(*inputs))
        subjects = [bench.subject(seed=3), bench.subject(seed=4), bench.subject(seed=3)]
        bench.fit_all(short(steps=10), subjects)
        assert not torch.equal(latents[0], latents[1])
        assert torch.equal(latents[0], latents[2])

    @pytest.mark.parametrize("at", [0, 13, 54])
    def test_one_that_diverges_ends_the_fit_of_all_at_the_same_step(self, bench, short, at) -> None:
        other = bench.other()
        broken = Breaking(
            clean=other.problem.clean, measured=other.problem.measured, at=at, value=float("nan")
        )
        subjects = [bench.subject(), replace(other, problem=broken)]
        fine, bad = bench.fit_all(short(steps=55), subjects)
        assert fine.outcome is bad.outcome is Outcome.DIVERGED
        assert fine.steps == bad.steps == len(fine.rows) == len(bad.rows) == at
        assert bad.reason == f"the loss of step {at} was not finite"
        assert fine.reason == f"the loss of step {at} was not finite on another image of the fit"
        for result in (fine, bad):
            assert result.final is None
            assert all(s is None or s.step < at for s in (result.peak, result.selected))
        assert (fine.peak is None) == (at == 0)

    def test_the_fit_stops_when_the_patience_of_all_has_run_out(self, bench, short) -> None:
        """It is tested on the first pair of images of which one runs out earlier: that depends on
        how the machine rounds."""

        def subjects(seed: int) -> list[Subject]:
            return [bench.subject(seed=seed), bench.other(seed=seed + 5)]

        fields = {"steps": 200, "learning_rate": 0.05, "average": 0.0}
        patience = 15

        def out(statistic: Tensor, end: int) -> bool:
            return end - int(statistic[:end].argmin()) > patience

        ends = range(10, 201, 10)
        for seed in range(20):
            whole = bench.fit_all(short(**fields), subjects(seed))
            statistics = [r.rows[:, STATISTIC].nan_to_num(nan=torch.inf) for r in whole]
            alone = [next((end for end in ends if out(one, end)), 999) for one in statistics]
            both = next((end for end in ends if all(out(one, end) for one in statistics)), 999)
            if min(alone) < both < 200:
                break
        else:
            pytest.fail("no pair of images tells one's patience from both's")
        results = bench.fit_all(short(**fields, patience=patience), subjects(seed))
        assert [r.outcome for r in results] == [Outcome.STOPPED] * 2
        assert [r.steps for r in results] == [both] * 2
        for result, statistic in zip(results, statistics, strict=True):
            assert result.selected.step == int(statistic[:both].argmin())

    @pytest.mark.parametrize("count", [2, 3])
    def test_memory_is_that_of_one_image(self, bench, short, count: int) -> None:
        """No tensor that a backward pass needs outlives it."""

        def most_alive(subjects: list[Subject]) -> int:
            alive: WeakSet[Saved] = WeakSet()
            counts: list[int] = []

            def pack(tensor: Tensor) -> Saved:
                saved = Saved(tensor)
                alive.add(saved)
                counts.append(len(alive))
                return saved

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
                bench.fit_all(short(steps=10), subjects)
            return max(counts)

        alone = most_alive([bench.subject()])
        assert most_alive([bench.subject(seed=seed) for seed in range(count)]) == alone > 10

    def test_none_at_all_are_refused(self, bench, short) -> None:
        with pytest.raises(ValueError, match="subjects must be at least one"):
            bench.fit_all(short(), [])

    def test_networks_that_only_look_alike_are_refused(self, bench, short) -> None:
        twin = replace(bench.prior, module=copy.deepcopy(bench.prior.module))
        subjects = [bench.subject(), replace(bench.subject(), prior=twin)]
        with pytest.raises(ValueError, match="subjects must share one network"):
            bench.fit_all(short(), subjects)


class Saved:
    """A tensor kept for a backward pass, whose life can be watched."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class TestWithoutACleanImage:
    def test_there_is_no_peak_and_all_else_is_as_with_one(self, bench, short) -> None:
        known = bench.fit(short())
        unknown = bench.with_clean(None).fit(short())
        assert unknown.peak is None
        assert known.peak is not None
        assert unknown.selected.step == known.selected.step
        assert torch.equal(unknown.selected.image, known.selected.image)
        assert torch.equal(unknown.final.image, known.final.image)
        blind = [LOSS, STATISTIC]
        assert equal_with_nan(unknown.rows[:, blind], known.rows[:, blind])
        assert bool(unknown.rows[:, [PSNR, PSNR_RAW]].isnan().all())


class TestSnapshot:
    """The weights after some steps, for tickets that rewind to them."""

    @pytest.mark.parametrize("at", [0, 1, 10, 37, 60])
    def test_it_is_what_a_fit_of_so_many_steps_leaves(self, sparse, short, at: int) -> None:
        result = sparse.fit(short(), snapshot_at=at)
        if at:
            sparse.fit(short(steps=at, window=1, stride=1))
        else:
            sparse.prior.rewind(sparse.initial, sparse.mask.layers)
        assert result.snapshot.keys() == weights_of(sparse).keys()
        assert equal(result.snapshot, weights_of(sparse))

    def test_it_changes_nothing_else(self, sparse, short) -> None:
        plain = sparse.fit(short())
        weights = weights_of(sparse)
        taken = sparse.fit(short(), snapshot_at=20)
        assert plain.snapshot is None
        assert equal_with_nan(plain.rows, taken.rows)
        assert equal(weights, weights_of(sparse))

    def test_all_images_have_the_same_one(self, bench, short) -> None:
        one, other = bench.fit_all(short(), [bench.subject(), bench.other()], snapshot_at=7)
        assert one.snapshot is other.snapshot is not None

    def test_a_fit_that_ended_before_has_none(self, bench, short) -> None:
        assert bench.fit(short(learning_rate=1e30), snapshot_at=2).snapshot is None
        ended = bench.fit(short(steps=200, learning_rate=0.1, patience=15), snapshot_at=200)
        assert ended.outcome is Outcome.STOPPED
        assert ended.snapshot is None

    def test_one_from_before_the_first_bad_loss_counts(self, bench, short) -> None:
        result = bench.fit(short(learning_rate=1e30), snapshot_at=1)
        assert (result.outcome, result.steps) == (Outcome.DIVERGED, 1)
        assert result.snapshot is not None

    @pytest.mark.parametrize("at", [-1, 61])
    def test_steps_that_the_fit_does_not_take_are_refused(self, bench, short, at: int) -> None:
        with pytest.raises(ValueError, match=f"snapshot_at must be from 0 to 60.* got {at}"):
            bench.fit(short(), snapshot_at=at)


class TestRunningOn:
    @pytest.mark.parametrize("patience", [15, 30])
    def test_the_choice_is_fixed_and_the_rest_is_of_the_whole_fit(
        self, bench, short, patience: int
    ) -> None:
        fields = {"steps": 120, "learning_rate": 0.1}
        whole = bench.fit(short(**fields))
        weights = weights_of(bench)
        rule = WindowedVariance(window=10, stride=5, warm_up=0, patience=patience)
        result = bench.fit(short(**fields, stopping=rule))
        assert (result.outcome, result.steps) == (Outcome.BUDGET, 120)
        assert equal(weights, weights_of(bench))
        assert equal_with_nan(result.rows, whole.rows)
        assert result.peak.step == whole.peak.step
        assert torch.equal(result.final.image, whole.final.image)
        selected = chosen(whole.rows[:, STATISTIC].tolist(), patience)
        assert result.selected.step == selected
        shorter = rule.model_copy(update={"window": 1, "stride": 1})
        stopped = bench.fit(short(**fields | {"steps": selected + 1}, stopping=shorter))
        assert torch.equal(result.selected.image, stopped.final.image)

    def test_it_costs_the_host_no_wait(self, bench, short, monkeypatch) -> None:
        speed = TestSpeed()
        rule = WindowedVariance(window=20, stride=5, warm_up=0, patience=1000)
        closing = rule.model_copy(update={"patience": 15})
        plain = speed.waits(bench, short(steps=80, stopping=rule), monkeypatch)
        assert speed.waits(bench, short(steps=80, stopping=closing), monkeypatch) == plain


def chosen(statistic: list[float], patience: int) -> int:
    """The step of the least value, up to the first that is more than `patience` steps old."""
    best = -1
    for step, value in enumerate(statistic):
        if best >= 0 and step > best + patience:
            return best
        if not np.isnan(value) and (best < 0 or value < statistic[best]):
            best = step
    return best


class TestMovingVariance:
    def test_it_is_taken_after_the_warm_up_and_the_least_is_selected(self, bench, short) -> None:
        result = bench.fit(short(stopping=ExponentialVariance(patience=1000)))
        statistic = result.rows[:, STATISTIC]
        assert statistic.isfinite().tolist() == [step >= 22 for step in range(60)]
        assert result.selected.step == int(statistic.nan_to_num(nan=torch.inf).argmin())
        mean, variance = torch.zeros_like(bench.problem.clean, dtype=torch.float64), 0.0
        for step, (output, found) in enumerate(zip(bench.outputs, statistic.tolist(), strict=True)):
            variance = 0.9 * (variance + 0.1 * float((output - mean).square().mean()))
            mean = 0.9 * mean + 0.1 * output
            assert step < 22 or found == pytest.approx(variance, rel=1e-5)

    def test_its_images_are_outputs(self, bench, short) -> None:
        result = bench.fit(short(stopping=ExponentialVariance()))
        for taken in (result.peak, result.selected, result.final):
            assert torch.equal(taken.image, bench.outputs[taken.step])
        assert result.peak.step == int(result.rows[:, PSNR_RAW].argmax())

    def test_it_stops_where_the_host_looks(self, bench, short) -> None:
        fields = {"steps": 400, "learning_rate": 0.1}
        whole = bench.fit(short(**fields, stopping=ExponentialVariance(patience=1000)))
        statistic = whole.rows[:, STATISTIC].nan_to_num(nan=torch.inf)
        rule = ExponentialVariance(patience=25, ends_fit=True)
        assert rule.scaled(400).warm_up == 40
        ends = [e for e in range(50, 401, 10) if e - int(statistic[:e].argmin()) > 25]
        assert ends, "this fit gives the rule no reason to stop"
        result = bench.fit(short(**fields, stopping=rule))
        assert (result.outcome, result.steps) == (Outcome.STOPPED, ends[0])
        assert result.selected.step == int(statistic[: ends[0]].argmin())

    def test_a_fit_of_one_step_has_a_choice(self, bench, short) -> None:
        assert bench.fit(short(steps=1, stopping=ExponentialVariance())).selected.step == 0


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

    def test_the_host_waits_an_interval_not_a_step(self, sparse, short, monkeypatch) -> None:
        """Whatever the window, and whatever else watches."""
        few = self.waits(sparse, short(steps=20), monkeypatch)
        more = self.waits(sparse, short(steps=80), monkeypatch)
        wide = self.waits(sparse, short(steps=80, window=80), monkeypatch)
        assert more == few + 6 > 6  # once in each of the other six intervals
        assert wide == more

    def test_more_images_cost_no_wait_a_step(self, sparse, short, monkeypatch) -> None:
        def waits(fit: Fit) -> int:
            pair = [sparse.subject(), sparse.other()]
            with monkeypatch.context() as patch:
                patch.setattr(sparse, "fit", lambda fit: sparse.fit_all(fit, pair))
                return self.waits(sparse, fit, monkeypatch)

        assert waits(short(steps=80)) == waits(short(steps=20)) + 2 * 6 > 12

    def test_ending_the_fit_costs_one_more(self, bench, short, monkeypatch) -> None:
        few = self.waits(bench, short(steps=20, patience=500), monkeypatch)
        more = self.waits(bench, short(steps=80, patience=500), monkeypatch)
        assert more == few + 6 * 2

    def test_the_counter_is_not_blind(self) -> None:
        with Waits() as seen:
            torch.tensor([1.0]).item()
            bool(torch.tensor([1.0]) > 0)
            torch.ones(3).nonzero()
        assert seen.count.total() == 3


class TestPrecision:
    def test_bf16_fits_too_and_is_recorded_in_full_precision(self, sparse, short) -> None:
        exact, rough = sparse.fit(short()), sparse.fit(short(precision="bf16"))
        assert rough.outcome is Outcome.BUDGET
        assert rough.rows.dtype == torch.float32
        assert not torch.equal(exact.rows[:, LOSS], rough.rows[:, LOSS])
        assert float(rough.rows[-1, LOSS]) == pytest.approx(float(exact.rows[-1, LOSS]), rel=0.2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"steps": 50, "stopping": {"window": 100}},
            "window must not be longer than the fit: got window 100 and steps 50",
        ),
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
    assert (fit.held_out, fit.stopping) == (0.0, WindowedVariance())
