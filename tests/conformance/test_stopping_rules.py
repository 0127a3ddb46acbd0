"""The laws of every stopping rule: what it chooses, what it reports, and what it never sees."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written
from torch import Tensor

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import (
    Discrepancy,
    ExponentialVariance,
    Fit,
    FitResult,
    HeldOut,
    Stopping,
    Subject,
    WindowedVariance,
)
from lip_ray.fits.stopping import WATCHING, AbstractMonitor, AbstractStopping, Seen
from lip_ray.fits.trace import PSNR_OF, Trace
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.pruning import Mask
from lip_ray.spec import Spec
from lip_ray.tasks import Denoising, Problem

FAMILY = Stopping
BASE = AbstractStopping
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    WindowedVariance: (
        WindowedVariance(),
        WindowedVariance(signal="output"),
        WindowedVariance(window=50, stride=5, warm_up=110, patience=150),
    ),
    ExponentialVariance: (ExponentialVariance(), ExponentialVariance(alpha=0.03, warm_up=20)),
    Discrepancy: (Discrepancy(), Discrepancy(signal="output", factor=1.0)),
    HeldOut: (HeldOut(), HeldOut(warm_up=30, patience=150)),
}

LONG, BRIEF = 1000, 150
DECAY = 0.9
SHAPE = (1, 3, 16, 16)
SIGMA = 0.2
LEARNT, OVERFIT = 350, 300
"""The step at which a synthetic fit begins to fit noise, and how many later it has fitted all."""
MISSED = 0.03
"""The standard deviation of what a synthetic network never learns of an image."""

NAN = float("nan")

Outputs = Callable[[int], Tensor]


@cache
def noisy(seed: int = 0) -> Problem:
    """A noisy image with a known noise level, a tenth of whose values are held out."""
    draws = torch.Generator().manual_seed(seed)
    clean = torch.rand(SHAPE, generator=draws)
    measured = clean + SIGMA * torch.randn(SHAPE, generator=draws)
    problem = Problem(clean=clean, measured=measured, noise_variance=SIGMA**2)
    return problem.holding_out(0.1, draws)


def learn_then_overfit(problem: Problem, *, seed: int = 0) -> Outputs:
    """Outputs that begin grey, settle near the clean image, then drift to the noise that is fitted.

    The jitter from step to step falls while the network learns and rises while it overfits. At
    held-out values the drift is to noise of another draw: nothing tells the network theirs.
    """
    assert problem.clean is not None
    draws = torch.Generator().manual_seed(100 + seed)  # the problem's are others
    learnt = problem.clean + MISSED * torch.randn(SHAPE, generator=draws)
    drift = problem.measured - problem.clean
    if problem.held_out is not None:
        elsewhere = SIGMA * torch.randn(SHAPE, generator=draws)
        drift = torch.where(problem.held_out, elsewhere, drift)

    @cache
    def output(step: int) -> Tensor:
        unlearnt = torch.exp(torch.tensor(-step / 70))
        overfitted = max(step - LEARNT, 0) / OVERFIT
        jitter = 0.001 + 0.03 * unlearnt + 0.03 * overfitted
        image = unlearnt * 0.5 + (1 - unlearnt) * learnt + min(overfitted, 1) * drift
        return image + jitter * torch.randn(SHAPE, generator=draws)

    for step in range(LONG):  # in one order, whoever asks
        output(step)
    return output


@cache
def overfitting(seed: int = 0) -> Outputs:
    return learn_then_overfit(noisy(seed), seed=seed)


def still(image: Tensor) -> Outputs:
    return lambda step: image


def watched(
    *rules: AbstractStopping,
    problem: Problem | None = None,
    outputs: Outputs | None = None,
    steps: int = LONG,
    bad_from: int = 10**9,
) -> Trace:
    """The trace of a synthetic fit; from `bad_from` on neither outputs nor losses are numbers."""
    problem = problem or noisy()
    outputs = outputs or overfitting()
    scaled = [rule.scaled(steps) for rule in rules]
    trace = Trace(problem, steps=steps, decay=DECAY, rules=scaled)
    for step in range(steps):
        output = outputs(step) if step < bad_from else torch.full(SHAPE, NAN)
        trace.observe(problem.loss(output), output)
    return trace


@cache
def seen_by(rule: AbstractStopping) -> Trace:
    """The trace of the synthetic fit that most laws look at."""
    return watched(rule)


def images(rule: AbstractStopping, outputs: Outputs, steps: int) -> Iterator[Tensor]:
    """The signal that a rule watches, step by step."""
    average = outputs(0).clone()
    for step in range(steps):
        average = average.lerp(outputs(step), 1 - DECAY) if step else average
        yield average if rule.signal == "average" else outputs(step)


def choice_of(trace: Trace, place: int = 0, steps: int = LONG) -> tuple[object, ...]:
    """What a rule chose, without its PSNR."""
    choice = trace.choices(trace.rows(steps))[place]
    return choice.rule, choice.step, choice.statistic, choice.fired, choice.noise


class TestWhatItChooses:
    def test_a_step_near_the_best_before_noise_is_fitted(self, example) -> None:
        """Its image is better than the last one by far, and hardly worse than the best."""
        for seed in range(3):
            trace = watched(example, problem=noisy(seed), outputs=overfitting(seed))
            psnr = trace.rows(LONG)[:, PSNR_OF[example.signal]]
            assert trace.selected is not None
            chosen = float(psnr[trace.selected.step])
            assert chosen > float(psnr[-1]) + 10
            assert chosen > float(psnr.max()) - 3
            assert trace.selected.step <= LEARNT + 100

    def test_first_images_are_not_taken_for_the_best_as_they_are_as_still(self, example) -> None:
        """Nothing moves for the first steps, as in a network that has not begun to learn."""
        learning = overfitting()
        late = watched(example, outputs=lambda step: learning(max(step - 50, 0)))
        assert late.selected is not None
        assert late.selected.step >= 200

    def test_one_of_equals_and_within_the_fit(self, example) -> None:
        trace = watched(example, outputs=still(torch.full(SHAPE, 0.5)))
        assert trace.selected is not None
        assert 0 <= trace.selected.step < LONG
        assert torch.equal(trace.selected.image, torch.full(SHAPE, 0.5))

    def test_a_late_step_where_there_is_no_noise(self, example) -> None:
        clean = noisy().clean
        assert clean is not None
        problem = Problem(clean=clean, measured=clean)
        problem = problem.holding_out(0.1, torch.Generator().manual_seed(0))
        if not example.applies(problem):
            assert isinstance(example, Discrepancy), "only it needs noise"
            return
        trace = watched(example, problem=problem, outputs=learn_then_overfit(problem))
        assert trace.selected is not None
        psnr = trace.rows(LONG)[:, PSNR_OF[example.signal]]
        assert trace.selected.step >= 250
        assert float(psnr[trace.selected.step]) > float(psnr.max()) - 1

    @pytest.mark.parametrize("bad_from", [0, 1, 40, 400])
    def test_nothing_from_where_losses_are_not_finite(self, example, bad_from: int) -> None:
        trace = watched(example, bad_from=bad_from)
        assert trace.finite(LONG) == bad_from
        for choice in trace.choices(trace.rows(bad_from)):
            assert choice.step < bad_from
        assert trace.selected is None or bool(trace.selected.image.isfinite().all())
        assert bad_from > 0 or trace.selected is None

    @pytest.mark.parametrize("steps", [1, 2, 20, 60, 1000])
    def test_a_step_of_any_fit_without_being_told_its_length(self, member, steps: int) -> None:
        rule = member()
        fit = Fit(steps=steps, stopping=rule)
        trace = Trace(noisy(), steps=steps, decay=DECAY, rules=fit.rules)
        for step in range(steps):
            output = overfitting()(step)
            trace.observe(noisy().loss(output), output)
        assert trace.selected is not None
        own = trace.choices(trace.rows(steps))[0]
        assert own.in_force
        assert own.rule.kind == rule.kind
        assert 0 <= own.step == trace.selected.step < steps


class TestWhatItReports:
    def test_the_signal_that_it_watches_at_that_very_step(self, example) -> None:
        """An average lags behind: it is another image than the output of the same step."""
        trace = seen_by(example)
        shown = list(images(example, overfitting(), LONG))
        rows = trace.rows(LONG)
        [choice] = trace.choices(rows)
        for snapshot in (trace.selected, trace.peak, trace.final(LONG)):
            assert snapshot is not None
            assert torch.allclose(snapshot.image, shown[snapshot.step], atol=1e-6)
        assert choice.psnr_db == pytest.approx(float(rows[choice.step, PSNR_OF[example.signal]]))

    def test_all_lengths_of_the_rule_in_steps(self, example) -> None:
        [choice] = (trace := seen_by(example)).choices(trace.rows(LONG))
        assert choice.rule == example.scaled(LONG)
        assert None not in choice.rule.model_dump().values()


def impatient(rule: AbstractStopping) -> AbstractStopping:
    """A rule whose patience, if it has any, runs out within a long fit here."""
    if "patience" not in type(rule).model_fields:
        return rule
    return rule.model_copy(update={"patience": LONG // 3})


class TestFinality:
    def test_a_final_choice_never_changes(self, example) -> None:
        """Not for perfect, motionless images of the clean one."""
        example = impatient(example)
        learning, clean = overfitting(), noisy().clean
        assert clean is not None
        trace = seen_by(example)
        [choice] = trace.choices(trace.rows(LONG))
        assert choice.fired, "this fit gives the rule no reason"
        tempted = watched(
            example,
            outputs=lambda step: learning(step) if step < 990 else clean,
            steps=LONG,
        )
        assert choice_of(tempted) == choice_of(trace)

    def test_it_ends_the_fit_when_it_is_asked_to_and_its_choice_is_final(self, example) -> None:
        example = impatient(example)
        ending = example.model_copy(update={"ends_fit": True}).scaled(LONG)
        trace = Trace(noisy(), steps=LONG, decay=DECAY, rules=[ending])
        silent = Trace(noisy(), steps=LONG, decay=DECAY, rules=[example.scaled(LONG)])
        ended = None
        for step in range(LONG):
            output = overfitting()(step)
            for one in (trace, silent):
                one.observe(noisy().loss(output), output)
            assert not silent.ends(step + 1)
            if ended is None and trace.ends(step + 1):
                ended = step + 1, trace.selected
        assert ended is not None
        assert ended[0] < LONG
        assert trace.ends(LONG)
        assert trace.selected is not None
        assert ended[1].step == trace.selected.step < ended[0]
        assert silent.selected is not None
        assert silent.selected.step == trace.selected.step

    def test_an_open_choice_says_so(self, example) -> None:
        """Outputs still get stiller and nearer: more steps would choose a later one."""
        clean, steps = noisy().clean, 300
        assert clean is not None
        problem = replace(noisy(), measured=clean, noise_variance=1e-12)

        def learning(step: int) -> Tensor:
            unlearnt = 0.5 ** (step / 60)
            return unlearnt * 0.5 + (1 - unlearnt) * clean

        trace = watched(example, problem=problem, outputs=learning, steps=steps)
        [choice] = trace.choices(trace.rows(steps))
        assert choice.fired is False


class TestAlone:
    def test_the_choice_is_the_same_alone_and_among_others(self, example) -> None:
        alone = seen_by(example)
        others = [rule for rule in WATCHING if rule.scaled(LONG) != example.scaled(LONG)]
        first, last = watched(example, *others), watched(*others, example)
        assert choice_of(first) == choice_of(alone) == choice_of(last, len(others))

    def test_a_rule_has_no_influence_on_the_fit(self, example) -> None:
        ours, others = fitted(example), fitted(WindowedVariance(window=1))
        for one, other in zip(ours.results, others.results, strict=True):
            assert torch.equal(one.rows[:, :3], other.rows[:, :3])
        assert ours.weights.keys() == others.weights.keys()
        assert all(torch.equal(ours.weights[name], others.weights[name]) for name in ours.weights)

    def test_each_image_of_a_fit_has_its_own_choice(self, example) -> None:
        """That of its own trace, as if the others were not there."""
        fit = fitted(example)
        assert len(fit.results) == 2
        for result, problem, outputs in zip(fit.results, fit.problems, fit.outputs, strict=True):
            trace = Trace(problem, steps=FITTED, decay=0.99, rules=[example.scaled(FITTED)])
            for output in outputs:
                trace.observe(problem.loss(output), output)
            assert result.choices[0].step == trace.selected.step == result.selected.step
            assert torch.allclose(result.selected.image, trace.selected.image, atol=1e-6)


class TestBlind:
    """No rule ever sees the clean image."""

    @pytest.mark.parametrize("clean", ["none", "nan", "random", "measured"])
    def test_whatever_the_clean_image_is_the_choice_is_the_same(self, example, clean) -> None:
        problem = noisy()
        other = {
            "none": None,
            "nan": torch.full(SHAPE, NAN),
            "random": torch.rand(SHAPE, generator=torch.Generator().manual_seed(9)),
            "measured": problem.measured,
        }[clean]
        seeing, blind = seen_by(example), watched(example, problem=replace(problem, clean=other))
        assert choice_of(blind) == choice_of(seeing)
        assert seeing.selected is not None
        assert blind.selected is not None
        assert torch.equal(blind.selected.image, seeing.selected.image)

    def test_in_a_real_fit_too(self, example) -> None:
        seeing, poisoned = fitted(example), fitted(example, blind=True)
        for one, other in zip(seeing.results, poisoned.results, strict=True):
            assert other.peak is None
            assert [c.step for c in one.choices] == [c.step for c in other.choices]
            assert torch.equal(one.selected.image, other.selected.image)


class TestStatistic:
    def statistics(
        self, rule: AbstractStopping, *, shape: tuple[int, ...] = SHAPE, last: bool = False
    ) -> list[float]:
        """Of a brief fit; -1 where none is due."""
        problem = noisy()
        problem = replace(
            problem,
            measured=laid_out(problem.measured, shape, last),
            held_out=laid_out(problem.held_out, shape, last),
            clean=None,
        )
        monitor = rule.scaled(BRIEF).monitor(problem)
        found = []
        for step in range(BRIEF):
            image = laid_out(overfitting()(step), shape, last)
            value = monitor.update(Seen(problem, step, outputs=image, averages=image))
            found.append(float(value.nan_to_num(nan=-1.0)))
        return found

    def test_it_is_a_finite_scalar_of_full_precision(self, example) -> None:
        monitor = example.scaled(BRIEF).monitor(noisy())
        seen = (
            Seen(noisy(), step, outputs=overfitting()(step), averages=overfitting()(step))
            for step in range(BRIEF)
        )
        found = [monitor.update(one) for one in seen]
        assert all(v.shape == (1,) and v.dtype == torch.float32 for v in found)
        assert any(v.isfinite() for v in found)
        assert not any(v.isinf() for v in found)

    def test_steps_together_have_the_statistics_of_steps_alone(self, example) -> None:
        alone = self.statistics(example)
        for together in (7, 20, BRIEF):
            monitor, found = example.scaled(BRIEF).monitor(noisy()), []
            for first in range(0, BRIEF, together):
                steps = range(first, min(first + together, BRIEF))
                images = torch.cat([overfitting()(step) for step in steps])
                seen = Seen(noisy(), first, outputs=images, averages=images)
                found += monitor.update(seen).nan_to_num(nan=-1.0).tolist()
            assert found == pytest.approx(alone, rel=1e-5)

    def test_the_shape_and_layout_of_images_do_not_matter(self, example) -> None:
        flat = self.statistics(example, shape=(1, 1, 1, 768))
        for shape in (SHAPE, (1, 1, 24, 32), (1, 768, 1, 1)):
            assert self.statistics(example, shape=shape) == pytest.approx(flat, rel=1e-5)
        assert self.statistics(example, last=True) == pytest.approx(flat, rel=1e-5)

    def test_the_same_outputs_give_the_same_bits(self, example) -> None:
        first = self.statistics(example)
        torch.rand(3)
        assert first == self.statistics(example)

    def test_memory_is_a_few_images_however_long_the_fit(self, example) -> None:
        monitor = example.scaled(3000).monitor(noisy())
        held = held_by(monitor)
        assert held <= 13 * noisy().measured.numel()
        for step in range(150):
            image = overfitting()(step)
            monitor.update(Seen(noisy(), step, outputs=image, averages=image))
        assert held_by(monitor) == held

    def test_the_output_may_be_overwritten_afterwards(self, example) -> None:
        """Sums are kept, never the tensors that were shown, and those are left as they were."""
        rule, shown, found = example.scaled(BRIEF), torch.zeros(SHAPE), []
        monitor = rule.monitor(noisy())
        for step in range(BRIEF):
            shown.copy_(overfitting()(step))
            value = monitor.update(Seen(noisy(), step, outputs=shown, averages=shown))
            found.append(float(value.nan_to_num(nan=-1.0)))
            assert torch.equal(shown, overfitting()(step))
        assert found == self.statistics(example)


class TestSpec:
    def test_a_kind_alone_means_its_defaults(self, member) -> None:
        kind = member().kind
        assert Fit.model_validate({"stopping": kind}).stopping == member()

    def test_by_default_it_never_ends_a_fit(self, member) -> None:
        assert member().ends_fit is False

    def test_scaled_twice_is_scaled_once(self, example) -> None:
        once = example.scaled(LONG)
        assert once.scaled(LONG) == once == once.scaled(7 * LONG)

    def test_it_watches_every_fit_it_applies_to(self, member) -> None:
        assert any(isinstance(rule, member) for rule in WATCHING)


def laid_out(image: Tensor | None, shape: tuple[int, ...], last: bool) -> Tensor:
    """An image in another shape, or with its channels last in memory."""
    assert image is not None
    layout = torch.channels_last if last else torch.contiguous_format
    return image.reshape(shape).contiguous(memory_format=layout)


def held_by(monitor: AbstractMonitor) -> int:
    """How many numbers a monitor holds."""
    return sum(v.numel() for v in vars(monitor).values() if isinstance(v, Tensor))


FITTED = 130
"""Steps of a real fit."""


@dataclass(frozen=True)
class Fitted:
    """A real fit of a tiny network to two images, and what came of it."""

    problems: tuple[Problem, ...]
    results: tuple[FitResult, ...]
    outputs: tuple[list[Tensor], ...]
    """What was recorded at every step, by image."""
    weights: dict[str, Tensor]
    """At the end."""


@cache
def fitted(rule: AbstractStopping, *, blind: bool = False) -> Fitted:
    """The fit with a rule; a blind one has no numbers for clean images."""
    subjects = tuple(subjects_of(blind=blind))
    network, shown = subjects[0].prior, list[Tensor]()
    network.module.register_forward_hook(lambda *call: shown.append(call[-1].detach()))
    results = Fit(steps=FITTED, stopping=rule).run(subjects, Mask.dense(network.prunable()))
    return Fitted(
        problems=tuple(subject.problem for subject in subjects),
        results=results,
        outputs=(shown[::2], shown[1::2]),
        weights=network.snapshot(),
    )


def subjects_of(*, blind: bool) -> Iterator[Subject]:
    """Two images for one network, at its initial weights."""
    spec, cpu = Skip(width=4, scales=1, skip_width=2, input_channels=4), torch.device("cpu")
    network: UntrainedPrior | None = None
    for place, name in enumerate(("astronaut", "coffee")):
        image = BuiltinImage(name=name, rows=(96, 112), columns=(200, 215))
        problem = Denoising(sigma=25.0).realise(image, seed=0, device=cpu)
        problem = problem.holding_out(0.1, torch.Generator().manual_seed(place))
        if blind:
            problem = replace(problem, clean=torch.full_like(problem.measured, NAN))
        prior = spec.build(problem.image_shape, seed=0, image=name, device=cpu)
        network = network or prior
        draws = torch.Generator().manual_seed(place)
        yield Subject(prior=network.with_latent(prior.latent), problem=problem, draws=draws)
