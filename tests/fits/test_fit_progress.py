"""Watched fits: told every step, changed in no bit, held up by nobody who does not ask."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lip_ray.data.labelled import Labelled, Split
from lip_ray.fits import AdversarialFit, AdversarialResult, Callback, Erm, FitResult, MedianOfMeans
from lip_ray.fits.classifier import Classifier, EpochFit, EpochResult
from lip_ray.fits.progress import mean_psnr_db, no_callback
from lip_ray.fits.trace import PSNR
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.priors.generators import Dcgan
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Identity, Problem

CPU = torch.device("cpu")


class Nosy:
    """Asks for the PSNR at every step."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, float | None]] = []

    def __call__(self, step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
        self.told.append((step, steps, psnr_db()))

    @property
    def steps(self) -> list[int]:
        """In the order they were told."""
        return [step for step, _, _ in self.told]

    @property
    def psnrs(self) -> list[float | None]:
        """In the order they were read."""
        return [psnr for _, _, psnr in self.told]


class BrokenOffError(Exception):
    """The fit is cut off."""


def same(one: Any, other: Any) -> bool:
    """Bit for bit but for the time it took, NaN like NaN, through what holds tensors."""
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(7), other.nan_to_num(7))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dataclass_fields__"):
        names = [name for name in one.__dataclass_fields__ if name != "seconds"]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def adversarial(callback: Callback, checkpointer=None, steps: int = 23) -> AdversarialResult:
    spec = Dcgan(size=8, channels=1, width=4, latent_size=3)
    made, critic = spec.build(seed=0, device=CPU), spec.build_critic(seed=0, device=CPU)
    draws = torch.Generator().manual_seed(5)
    images = torch.randint(256, (30, 1, 8, 8), generator=draws, dtype=torch.uint8)
    mask = Mask.dense(made.prunable())
    fit = AdversarialFit(steps=steps, batch=4)
    return fit.run(
        made,
        critic,
        spec,
        images,
        mask,
        seed=0,
        level=0,
        checkpointer=checkpointer,
        callback=callback,
    )


def labelled(count: int) -> Labelled:
    draws = torch.Generator().manual_seed(count)
    pictures = torch.randint(256, (count, 1, 8, 8), generator=draws, dtype=torch.uint8)
    return Labelled(
        pictures=pictures, labels=torch.randint(4, (count,), generator=draws), white=255
    )


def classified(callback: Callback, *, learning_rate: float = 0.01) -> EpochResult:
    prior, draws = Skip(width=4, scales=1, skip_width=2, input_channels=2), keyed(0, "test")
    network = Classifier(
        prior.module((1, 8, 8), draws),
        latent_channels=2,
        picture_channels=1,
        output_channels=1,
        side=8,
        classes=4,
        draws=draws,
    )
    mask = Mask.dense(UntrainedPrior(network.body, torch.empty(0)).prunable())
    split = Split(training=labelled(50), validation=labelled(10), test=labelled(12))
    fit = EpochFit(epochs=3, batch=16, learning_rate=learning_rate)
    return fit.run(network, mask, split, seed=0, level=0, callback=callback)


def waves(latents: Tensor) -> Tensor:
    """(N, 3) latents → (N, 1, 8, 8) images."""
    ways = torch.randn((3, 64), generator=torch.Generator().manual_seed(2)) / 5
    return (latents @ ways + 0.5).unflatten(1, (1, 8, 8))


def photographs(count: int = 2) -> list[Problem]:
    draws = torch.Generator().manual_seed(3)
    found = []
    for _ in range(count):
        clean = waves(torch.randn((1, 3), generator=draws))
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=draws)
        found.append(Problem(clean=clean, measured=noisy, operator=Identity()))
    return found


def recovered(
    callback: Callback, solver: Erm | MedianOfMeans, problems: list[Problem] | None = None
) -> tuple[FitResult, ...]:
    shown = problems or photographs()
    shape = (solver.players, len(shown), solver.restarts, 3)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    return solver.run(waves, shown, latents, torch.Generator().manual_seed(6), callback=callback)


SOLVERS = (Erm(steps=12, restarts=3), MedianOfMeans(steps=12, restarts=2, block=5))


class TestNothingChanges:
    def test_in_a_fit_of_weights(self, sparse, short) -> None:
        pair = [sparse.subject(), sparse.other()]
        fit = short(patience=20)
        results, weights = [], []
        for callback in (no_callback, Nosy()):
            pair = [sparse.subject(), sparse.other()]
            sparse.prior.rewind(sparse.initial, sparse.mask.layers)
            results.append(fit.run(pair, sparse.mask, snapshot_at=7, callback=callback))
            weights.append(sparse.prior.snapshot())
        assert same(*results)
        assert same(*weights)

    @pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.kind)
    def test_in_a_fit_of_latents(self, solver) -> None:
        assert same(recovered(no_callback, solver), recovered(Nosy(), solver))

    def test_in_an_adversarial_fit(self) -> None:
        assert same(adversarial(no_callback), adversarial(Nosy()))

    def test_in_a_fit_of_a_classifier(self) -> None:
        assert same(classified(no_callback), classified(Nosy()))

    def test_the_comparison_is_not_blind(self, bench, short) -> None:
        one, other = bench.fit(short()), bench.fit(short(), seed=1)
        assert same(one, one)
        assert not same(one, other)
        assert not same(adversarial(no_callback), adversarial(no_callback, steps=22))


class TestEveryStepIsTold:
    def test_of_weights(self, bench, short) -> None:
        callback = Nosy()
        short(steps=20).run([bench.subject()], bench.mask, callback=callback)
        assert [(step, steps) for step, steps, _ in callback.told] == [(s, 20) for s in range(21)]

    def test_of_weights_up_to_where_it_stops(self, bench, short) -> None:
        callback = Nosy()
        (result,) = short(patience=5).run([bench.subject()], bench.mask, callback=callback)
        assert result.steps < 60
        assert callback.steps == list(range(result.steps + 1))

    @pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.kind)
    def test_of_latents(self, solver) -> None:
        callback = Nosy()
        recovered(callback, solver)
        assert [(step, steps) for step, steps, _ in callback.told] == [(s, 12) for s in range(13)]

    def test_of_a_generator(self) -> None:
        callback = Nosy()
        adversarial(callback)
        assert callback.told == [(step, 23, None) for step in range(24)]

    def test_of_a_classifier_over_all_its_epochs(self) -> None:
        callback = Nosy()
        classified(callback)  # of 50 pictures by 16
        assert callback.told == [(step, 12, None) for step in range(13)]

    def test_of_a_classifier_that_diverges(self) -> None:
        callback = Nosy()
        result = classified(callback, learning_rate=1e30)
        assert result.reason
        assert result.steps < max(callback.steps) <= 12

    def test_a_fit_that_goes_on_begins_where_it_was_broken_off(self) -> None:
        class Memory:
            interval_s = 0.0
            kept: bytes | None = None

            def load(self) -> bytes | None:
                return self.kept

            def save(self, state: bytes) -> None:
                self.kept = state

        def breaks(step: int, *_: Any) -> None:
            if step == 22:
                raise BrokenOffError

        memory, callback = Memory(), Nosy()
        with pytest.raises(BrokenOffError):
            adversarial(breaks, checkpointer=memory)
        assert same(adversarial(callback, checkpointer=memory), adversarial(no_callback))
        assert callback.steps == [20, 21, 22, 23]


class TestPsnr:
    def test_is_that_of_the_averaged_output(self, bench, short) -> None:
        callback = Nosy()
        (result,) = short(steps=15).run([bench.subject()], bench.mask, callback=callback)
        assert callback.psnrs == [None, *result.rows[:, PSNR].tolist()]

    def test_is_the_mean_over_images(self, bench, short) -> None:
        callback = Nosy()
        pair = [bench.subject(), bench.other()]
        one, other = short(steps=15).run(pair, bench.mask, callback=callback)
        expected = (one.rows[:, PSNR].double() + other.rows[:, PSNR].double()) / 2
        assert callback.psnrs[1:] == pytest.approx(expected.tolist())
        assert max(abs(one.rows[:, PSNR] - other.rows[:, PSNR])) > 0.1

    def test_images_without_a_clean_one_are_left_out(self, bench, short) -> None:
        callback = Nosy()
        pair = [bench.subject(), bench.other()]
        pair[0] = replace(pair[0], problem=replace(pair[0].problem, clean=None))
        _, other = short(steps=15).run(pair, bench.mask, callback=callback)
        assert callback.psnrs[1:] == other.rows[:, PSNR].tolist()

    def test_is_none_where_nothing_is_known(self, bench, short) -> None:
        callback = Nosy()
        subject = bench.subject()
        subject = replace(subject, problem=replace(subject.problem, clean=None))
        short(steps=15).run([subject], bench.mask, callback=callback)
        assert callback.psnrs == [None] * 16

    def test_of_a_latent_is_that_of_the_restart_of_least_objective(self) -> None:
        solver, (problem, _) = Erm(steps=40, restarts=1, learning_rate=0.3), photographs()
        start = torch.randn((1, 1, 3, 3), generator=torch.Generator().manual_seed(0))
        alone = [
            solver.run(waves, [problem], start[:, :, [place]], torch.Generator())[0].rows
            for place in range(3)
        ]
        losses, psnrs = (torch.stack([rows[:, column] for rows in alone]) for column in (0, PSNR))
        chosen = losses.argmin(0)
        expected = psnrs.gather(0, chosen[None])[0]
        callback = Nosy()
        together = solver.model_copy(update={"restarts": 3})
        together.run(waves, [problem], start, torch.Generator(), callback=callback)
        assert callback.psnrs[0] is None
        assert callback.psnrs[1:] == pytest.approx(expected.tolist(), abs=1e-2)
        assert len(set(chosen.tolist())) == 3  # each is chosen at some step,
        assert not torch.equal(chosen, psnrs.argmax(0))  # and it is not always the one of best PSNR

    def test_of_latents_is_the_mean_over_images(self) -> None:
        callback = Nosy()
        one, other = recovered(callback, Erm(steps=12, restarts=1))
        expected = (one.rows[:, PSNR] + other.rows[:, PSNR]) / 2
        assert callback.psnrs[1:] == pytest.approx(expected.tolist())

    def test_of_latents_is_none_where_nothing_is_known(self) -> None:
        callback = Nosy()
        unknown = [replace(problem, clean=None) for problem in photographs()]
        recovered(callback, Erm(steps=12, restarts=2), unknown)
        assert callback.psnrs == [None] * 13

    @pytest.mark.parametrize(
        ("values", "mean"),
        [
            ([20.0, 30.0], 25.0),
            ([math.nan, 30.0], 30.0),
            ([math.inf, 30.0], 30.0),
            ([math.nan], None),
            ([-math.inf, math.nan], None),
        ],
    )
    def test_what_is_not_finite_is_left_out(self, values: list[float], mean: float | None) -> None:
        assert mean_psnr_db(torch.tensor(value) for value in values) == mean


class TestSpeed:
    """A callback that does not ask makes nobody wait."""

    def reads(self, monkeypatch, run: Callable[[], Any]) -> int:
        """How often numbers went from the device to the host."""
        reads: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("cpu", "numpy", "tolist", "item", "__float__", "__bool__", "__int__"):
                original = getattr(Tensor, name)
                patch.setattr(
                    Tensor, name, lambda *a, o=original, n=name, **k: reads.append(n) or o(*a, **k)
                )
            run()
        return len(reads)

    @pytest.mark.parametrize(
        "fit",
        [adversarial, classified, lambda callback: recovered(callback, SOLVERS[0])],
        ids=["adversarial", "classifier", "latent"],
    )
    def test_it_costs_no_read(self, monkeypatch, fit) -> None:
        def deaf(*_: Any) -> None:
            """Asks for nothing."""

        alone = self.reads(monkeypatch, lambda: fit(no_callback))
        assert self.reads(monkeypatch, lambda: fit(deaf)) == alone > 0

    def test_of_a_fit_of_weights_either(self, monkeypatch, bench, short) -> None:
        def run(callback: Callback) -> int:
            subject = bench.subject()
            return self.reads(
                monkeypatch, lambda: short(steps=20).run([subject], bench.mask, callback=callback)
            )

        def at_ten(step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
            if step == 10:
                psnr_db()

        alone = run(no_callback)
        assert run(lambda *_: None) == alone
        assert run(at_ten) == alone + 1  # and asking costs one
