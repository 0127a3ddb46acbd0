"""Classifiers: they learn, what is held out stays so, and pruned weights never come back."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from lip_ray.data.labelled import Digits, Labelled, Split
from lip_ray.fits import classifier as module
from lip_ray.fits.classifier import Classifier, EpochFit, EpochResult
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.pruning import Mask, paths
from lip_ray.records import Outcome
from lip_ray.rng import keyed

pytest.importorskip("sklearn")

CPU = torch.device("cpu")
SMALL = Skip(width=4, scales=1, skip_width=2, input_channels=2)


def classifier(prior: Skip = SMALL, *, side: int = 8, pictures: int = 1) -> Classifier:
    draws = keyed(0, "test")
    return Classifier(
        prior.module((1, side, side), draws),
        latent_channels=prior.input_channels,
        picture_channels=pictures,
        output_channels=1,
        side=side,
        classes=10,
        draws=draws,
    )


def body_of(network: Classifier) -> UntrainedPrior:
    return UntrainedPrior(network.body, torch.empty(0))


def dense(network: Classifier) -> Mask:
    return Mask.dense(body_of(network).prunable())


def third(network: Classifier) -> Mask:
    """Every third weight, the network masked by it."""
    layers = {
        name: (torch.arange(weight.numel()) % 3 == 0).view(weight.shape)
        for name, weight in body_of(network).prunable().items()
    }
    body_of(network).rewind(network.body.state_dict(), layers)
    return Mask(layers)


@pytest.fixture(scope="module")
def split() -> Split:
    """The digits."""
    return Digits().split(0)


@pytest.fixture(scope="module")
def few(split: Split) -> Split:
    """Two hundred of them to learn from."""
    return replace(split, training=split.training[torch.arange(200)])


def fitted(fit: EpochFit, split: Split, *, seed: int = 0, level: int = 0) -> EpochResult:
    network = classifier()
    return fit.run(network, dense(network), split, seed=seed, level=level)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step, in order."""
    seen: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD) -> None:
        seen.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    return seen


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, Tensor]]:
    """Whether the classifier was learning, and the pictures it was given, in order."""
    seen: list[tuple[bool, Tensor]] = []
    forward = Classifier.forward

    def watched(self: Classifier, pictures: Tensor) -> Tensor:
        modes = {layer.training for layer in self.modules()}
        seen.append((modes.pop(), pictures))
        assert not modes
        return forward(self, pictures)

    monkeypatch.setattr(Classifier, "forward", watched)
    return seen


class TestClassifier:
    def test_it_gives_logits(self) -> None:
        network = classifier()
        assert not any(isinstance(layer, nn.Sigmoid) for layer in network.modules())
        logits = network(torch.rand(50, 1, 8, 8))
        assert logits.shape == (50, 10)
        assert logits.min() < 0

    def test_the_body_keeps_the_names_of_the_prior(self) -> None:
        prior = SMALL.module((1, 8, 8), keyed(0, "test"))
        assert classifier().body.state_dict().keys() == prior.state_dict().keys()

    def test_channels_are_repeated_in_turn(self) -> None:
        network = classifier(SMALL.model_copy(update={"input_channels": 5}), pictures=3)
        seen: list[Tensor] = []
        network.body.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
        pictures = torch.rand(2, 3, 8, 8)
        network(pictures)
        assert torch.equal(seen[0], torch.cat([pictures, pictures[:, :2]], dim=1))

    def test_pictures_are_resized(self) -> None:
        network = classifier(side=16)
        seen: list[Tensor] = []
        network.body.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
        ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
        network(ramp)
        assert seen[0].shape == (1, 2, 16, 16)
        # bilinear doubling: pixel centres at (i + 1/2) / 2 - 1/2, repeated at the border
        expected = ((torch.arange(16) + 0.5) / 2 - 0.5).clamp(0, 7) / 8
        torch.testing.assert_close(seen[0][0, 0, 3], expected)

    def test_the_head_is_drawn_as_pytorch_draws_it(self) -> None:
        head = classifier(side=16).head
        assert head.weight.shape == (10, 256)
        assert 0.9 / 16 < head.weight.abs().max() <= 1 / 16
        assert head.bias.abs().max() <= 1 / 16

    def test_the_global_generator_is_left_alone(self, few: Split) -> None:
        state = torch.get_rng_state()
        fitted(EpochFit(epochs=1), few)
        assert torch.equal(state, torch.get_rng_state())


class TestLearning:
    FIT = EpochFit(epochs=3, batch=64, learning_rate=0.05)

    def learned(self, split: Split) -> EpochResult:
        network = classifier(Skip(width=8, scales=2), side=16)
        return self.FIT.run(network, dense(network), split, seed=0, level=0)

    def test_digits_are_learned_and_the_same_bits_twice(self, split: Split) -> None:
        one, again = self.learned(split), self.learned(split)
        assert one.accuracy is not None
        assert one.accuracy > 0.8
        assert replace(one, seconds=0) == replace(again, seconds=0)

    def test_random_labels_do_not_generalise(self, split: Split) -> None:
        """Were the test set learned from, its own labels would be known."""
        shuffled = {}
        for name in ("training", "validation"):
            part: Labelled = getattr(split, name)
            order = torch.randperm(len(part), generator=keyed(0, name))
            shuffled[name] = replace(part, labels=part.labels[order])
        result = fitted(self.FIT, replace(split, **shuffled))
        chance = (0.1 * 0.9 / len(split.test)) ** 0.5
        assert result.accuracy_final == pytest.approx(0.1, abs=4 * chance)
        assert fitted(self.FIT, split).accuracy_final > 0.1 + 20 * chance

    def test_one_step_by_hand(self, few: Split) -> None:
        fit = EpochFit(epochs=1, batch=200, momentum=0.5, weight_decay=0.1)
        network, ours = classifier(), classifier()
        result = fit.run(network, dense(network), few, seed=0, level=0)
        loss = F.cross_entropy(ours(few.training.pictures / 16), few.training.labels)
        gradients = torch.autograd.grad(loss, list(ours.parameters()))
        for old, new, gradient in zip(
            ours.parameters(), network.parameters(), gradients, strict=True
        ):
            torch.testing.assert_close(new, old - 0.01 * (gradient + 0.1 * old))
        assert result.losses == (pytest.approx(float(loss.detach())),)

    def test_rates_are_those_of_the_multi_step_schedule(
        self, few: Split, rates: list[float]
    ) -> None:
        fit = EpochFit(epochs=6, batch=100, milestones=(2, 5), decay=0.5)
        fitted(fit, few)
        ours, rates[:] = rates[:], []
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5], gamma=0.5)
        theirs = []
        for _ in range(6):
            theirs += [optimizer.param_groups[0]["lr"]] * 2
            optimizer.step()
            schedule.step()
        assert ours == pytest.approx(theirs)


class TestBatches:
    def test_every_picture_once_an_epoch_in_even_batches(
        self, few: Split, calls: list[tuple[bool, Tensor]]
    ) -> None:
        result = fitted(EpochFit(epochs=2, batch=64), few)
        learned = [pictures for learning, pictures in calls if learning]
        assert [len(pictures) for pictures in learned] == [50] * 8
        assert result.steps == 8
        assert result.ends == (3, 7)
        for epoch in (learned[:4], learned[4:]):
            rows = torch.cat(epoch).flatten(1)
            assert torch.equal(rows.unique(dim=0), few.training.values.flatten(1).unique(dim=0))

    def test_measured_by_running_statistics_and_the_test_set_last(
        self, few: Split, calls: list[tuple[bool, Tensor]]
    ) -> None:
        fitted(EpochFit(epochs=2, batch=200), few)
        assert [learning for learning, _ in calls] == [True, False, True, *[False] * 5]
        sizes = [len(pictures) for _, pictures in calls]
        validation = len(few.validation)
        assert sizes == [200, validation, 200, validation, 200, 159, 200, 159]

    @pytest.mark.parametrize("changes", [{"seed": 1}, {"level": 1}])
    def test_orders_are_keyed(
        self, few: Split, calls: list[tuple[bool, Tensor]], changes: dict[str, int]
    ) -> None:
        fit = EpochFit(epochs=1, batch=200)
        for keys in ({}, {}, changes):
            fitted(fit, few, **keys)
        one, same, other = (pictures for learning, pictures in calls if learning)
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


class TestChoice:
    FIT = EpochFit(epochs=6, batch=50, learning_rate=0.3)

    def test_the_test_set_has_no_say(self, few: Split) -> None:
        labels = few.test.labels.flip(0)
        other = replace(few, test=replace(few.test, labels=labels))
        one, two = fitted(self.FIT, few), fitted(self.FIT, other)
        assert one.accuracy != two.accuracy
        told = {"seconds": 0.0, "accuracy": None, "accuracy_final": None}
        assert replace(one, **told) == replace(two, **told)

    def test_accuracy_is_that_of_the_chosen_epoch(self, few: Split) -> None:
        result = fitted(self.FIT, few)
        assert result.chosen == result.errors.index(min(result.errors))
        assert 0 < result.chosen < 5, "an epoch before the last, or this shows nothing"
        until = self.FIT.model_copy(update={"epochs": result.chosen + 1})
        assert result.accuracy == fitted(until, few).accuracy_final
        assert result.accuracy != result.accuracy_final

    def test_errors_are_shares_of_the_validation_set(self, few: Split) -> None:
        for error in fitted(self.FIT, few).errors:
            assert error * len(few.validation) == pytest.approx(round(error * len(few.validation)))


class TestMasks:
    FIT = EpochFit(epochs=2, batch=50, learning_rate=0.1)

    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[Classifier]:
        """Checks after every step that what is pruned is zero; put the classifier in."""
        watched: list[Classifier] = []
        step = torch.optim.SGD.step

        def checked(self: torch.optim.SGD) -> None:
            step(self)
            for index, weight in enumerate(body_of(watched[0]).prunable().values()):
                assert not weight.flatten()[torch.arange(weight.numel()) % 3 != 0].any(), index
            watched.append(watched[0])

        monkeypatch.setattr(torch.optim.SGD, "step", checked)
        return watched

    def test_pruned_weights_are_zero_after_every_step(
        self, few: Split, steps: list[Classifier]
    ) -> None:
        network = classifier()
        steps.append(network)
        mask = third(network)
        result = self.FIT.run(network, mask, few, seed=0, level=0)
        assert len(steps) == 1 + result.steps
        assert result.losses[1] < result.losses[0]

    def test_it_is_noticed_when_they_come_back(
        self, few: Split, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module.GradientMask, "__call__", lambda self: None)
        network = classifier()
        with pytest.raises(AssertionError, match="came back during the fit"):
            self.FIT.run(network, third(network), few, seed=0, level=0)

    def test_what_is_on_no_path_gets_no_gradient(self, few: Split) -> None:
        """Its scales are as before, and without weight decay so is all else."""
        network = classifier()
        body = body_of(network)
        layers = dict(dense(network).layers)
        layers["1.1.1.1.weight"] = torch.zeros_like(layers["1.1.1.1.weight"])
        body.rewind(network.body.state_dict(), layers)
        start = body.snapshot()
        fit = EpochFit(epochs=2, batch=50, learning_rate=0.1, weight_decay=0.0)
        result = fit.run(network, Mask(layers), few, seed=0, level=0)
        assert result.outcome is Outcome.BUDGET
        on_path = paths(network.body, Mask(layers), network.body_shape).parameters
        assert not bool(on_path["1.1.2.weight"].any())
        for name, parameter in network.body.named_parameters():
            rests = ~on_path[name]
            assert torch.equal(parameter.detach()[rests], start[name][rests]), name


class TestDivergence:
    def test_in_the_first_epoch(self, few: Split) -> None:
        result = fitted(EpochFit(epochs=3, batch=50, learning_rate=1e30), few)
        assert result.outcome is Outcome.DIVERGED
        assert result.reason == f"the loss of step {result.steps} was not finite"
        assert 1 <= result.steps < 4
        assert (result.accuracy, result.accuracy_final, result.chosen) == (None, None, None)
        assert result.losses == ()

    def test_later_the_best_epoch_before_is_known(
        self, few: Split, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit = EpochFit(epochs=3, batch=100)
        whole = fitted(fit.model_copy(update={"epochs": 1}), few)
        count = 0
        cross_entropy = F.cross_entropy

        def poisoned(*arguments: Tensor) -> Tensor:
            nonlocal count
            count += 1
            return cross_entropy(*arguments) * (torch.nan if count == 4 else 1)

        monkeypatch.setattr(module.F, "cross_entropy", poisoned)
        result = fitted(fit, few)
        assert (result.outcome, result.steps, result.chosen) == (Outcome.DIVERGED, 3, 0)
        assert result.accuracy == whole.accuracy
        assert result.accuracy_final is None

    def test_what_is_not_finite_is_wrong(self, few: Split) -> None:
        network = classifier()
        nn.init.constant_(network.head.bias, torch.nan)
        loop = module._Training(EpochFit(), network, dense(network))
        assert loop.accuracy(few.test) == 0


class TestSpec:
    def test_published_defaults(self) -> None:
        fit = EpochFit()
        assert (fit.epochs, fit.batch, fit.learning_rate) == (182, 256, 0.01)
        assert (fit.momentum, fit.weight_decay, fit.decay) == (0.9, 2e-4, 0.1)
        assert fit.milestones == (91, 136)

    @pytest.mark.parametrize("milestones", [(5, 3), (3, 3)])
    def test_milestones_rise(self, milestones: tuple[int, int]) -> None:
        with pytest.raises(ValidationError, match="must rise"):
            EpochFit(milestones=milestones)

    def test_batches(self) -> None:
        assert [EpochFit(batch=4).batches(n) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]

    def test_a_rehearsal_takes_that_many_steps(self, few: Split, rates: list[float]) -> None:
        network = classifier()
        seconds = EpochFit(batch=100).rehearse(network, dense(network), few, steps=5)
        assert len(rates) == 5
        assert seconds > 0

    def test_autocast_stays_close(self, few: Split) -> None:
        exact, reduced = (
            fitted(EpochFit(epochs=1, batch=50, precision=p), few) for p in ("fp32", "bf16")
        )
        assert reduced.losses != exact.losses
        assert reduced.losses == pytest.approx(exact.losses, rel=0.05)
