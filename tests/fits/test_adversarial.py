"""Adversarial fits: the published losses, masks, averages, draws, breaks and failures."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from lip_ray.fits import AdversarialFit, AdversarialResult, adversarial
from lip_ray.fits.frechet import frechet, pixel_features
from lip_ray.priors.generators import AbstractGenerator, Dcgan, LayerList
from lip_ray.priors.network import Network
from lip_ray.pruning import Mask
from lip_ray.records import Outcome
from lip_ray.rng import keyed

CPU = torch.device("cpu")
INTERVAL = 5
SMALL = Dcgan(size=8, channels=1, width=4, latent_size=3)

BRANCHED = LayerList(
    layers=(
        *(("linear", 3, 32), ("view", 2, 4, 4), ("bn2d", 2, 1e-5), ("leaky", 0.2)),
        *(("convT", 2, 2, 2, 2, 0, False), ("conv", 2, 2, 3, 1, 1, True), ("bn2d", 2, 1e-5)),
        *(("leaky", 0.2), ("conv", 2, 1, 3, 1, 1, True), ("sigmoid",)),
    ),
    latent_size=3,
    output="unit",
)


@pytest.fixture(autouse=True, scope="module")
def interval() -> Iterator[None]:
    """The host looks at the device more often, so that fits can be short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversarial, "INTERVAL", INTERVAL)
        yield


class Linear(AbstractGenerator):
    """One layer and a sigmoid: pictures in [0, 1], nothing normalised."""

    kind: Literal["linear"] = "linear"
    latent_size: int = 3
    law: Literal["normal", "uniform"] = "uniform"
    output: Literal["unit", "symmetric"] = "unit"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (1, 8, 8)

    @property
    def critic_width(self) -> int:
        return 4

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))


def pictures(count: int = 30) -> Tensor:
    """Blurred noise, (count, 1, 8, 8) uint8."""
    draws = torch.Generator().manual_seed(5)
    noise = torch.rand(count, 1, 3, 3, generator=draws)
    return (F.interpolate(noise, (8, 8), mode="bilinear") * 255).round().to(torch.uint8)


def some(network: Network, density: float) -> Mask:
    """A random mask."""
    draws = torch.Generator().manual_seed(1)
    return Mask(
        {
            name: torch.rand(weight.shape, generator=draws) < density
            for name, weight in network.prunable().items()
        }
    )


@dataclass
class Bench:
    """Two networks from the same weights each time, and pictures."""

    spec: AbstractGenerator = SMALL
    images: Tensor = field(default_factory=pictures)
    density: float = 1.0
    critic_density: float | None = None

    def __post_init__(self) -> None:
        self.generator = self.spec.build(seed=0, device=CPU)
        self.critic = self.spec.build_critic(seed=0, device=CPU)
        self.initial = (self.generator.snapshot(), self.critic.snapshot())
        self.mask = some(self.generator, self.density)
        both = self.critic_density is not None
        self.critic_mask = some(self.critic, self.critic_density or 1) if both else None

    def rewind(self) -> None:
        """Begin again from the initial weights."""
        self.generator.rewind(self.initial[0], self.mask.layers)
        dense = Mask.dense(self.critic.prunable())
        self.critic.rewind(self.initial[1], (self.critic_mask or dense).layers)

    def fit(self, *, seed: int = 0, level: int = 0, snapshot_at=None, checkpointer=None, **fields):
        """Rewind and fit, twelve small steps by default."""
        self.rewind()
        return AdversarialFit(**{"steps": 12, "batch": 4} | fields).run(
            self.generator,
            self.critic,
            self.spec,
            self.images,
            self.mask,
            self.critic_mask,
            seed=seed,
            level=level,
            snapshot_at=snapshot_at,
            checkpointer=checkpointer,
        )


def equal(one: Any, other: Any) -> bool:
    """Bit for bit, through state dicts and pairs of them."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return one == other


def differences(one: AdversarialResult, other: AdversarialResult) -> set[str]:
    """The fields that differ, the clock aside."""
    names = set(vars(one)) - {"seconds"}
    return {name for name in names if not equal(getattr(one, name), getattr(other, name))}


@dataclass
class Expected:
    """What the formulas give."""

    generator: nn.Module
    critic: nn.Module
    average: dict[str, Tensor]
    rows: list[list[float]]


def by_the_formulas(bench: Bench, fit: AdversarialFit, *, seed: int, level: int) -> Expected:
    """The same fit in the plainest way, in double precision where nothing is drawn."""
    bench.rewind()
    made, judge = copy.deepcopy((bench.generator.module, bench.critic.module))
    made.double().train()
    judge.double().train()
    betas = (fit.beta_1, fit.beta_2)
    adams = [torch.optim.Adam(n.parameters(), fit.learning_rate, betas) for n in (made, judge)]
    average = {name: value.clone() for name, value in made.state_dict().items()}
    names = ("minibatches", "adversarial latents", "interpolates")
    order, latents, shares = (keyed(seed, name, level=level) for name in names)
    chosen: list[int] = []
    rows = []

    def fakes() -> Tensor:
        return made(bench.spec.latents(fit.batch, latents).double())

    for step in range(fit.steps):
        for _ in range(fit.critic_steps):
            if len(chosen) < fit.batch:
                chosen = torch.randperm(len(bench.images), generator=order).tolist()
            real = bench.images[chosen[: fit.batch]].double() / 255
            real = 2 * real - 1 if bench.spec.output == "symmetric" else real
            chosen = chosen[fit.batch :]
            fake = fakes().detach()
            penalty = torch.zeros((), dtype=torch.float64)
            share = torch.rand(fit.batch, 1, 1, 1, generator=shares).double()
            mixed = (share * real + (1 - share) * fake).requires_grad_()
            for score in judge(mixed):
                (slope,) = torch.autograd.grad(score, mixed, create_graph=True)
                penalty = penalty + (slope.square().sum().sqrt() - 1) ** 2 / fit.batch
            gap = judge(real).mean() - judge(fake).mean()
            drift = judge(real).square().mean()
            loss = -gap + fit.gradient_penalty * penalty + fit.drift * drift
            judge.zero_grad()
            loss.backward()
            adams[1].step()
        generator_loss = -judge(fakes()).mean()
        made.zero_grad()
        generator_loss.backward()
        adams[0].step()
        decay = min(fit.average, (1 + step) / (10 + step))
        for name, value in made.state_dict().items():
            if value.is_floating_point():
                average[name] = decay * average[name] + (1 - decay) * value
            else:
                average[name] = value.clone()
        rows.append([loss.item(), generator_loss.item(), gap.item()])
    return Expected(made, judge, average, rows)


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value.double(), other[name].double(), rtol=1e-3, atol=2e-5)


class TestFormulas:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"critic_steps": 3, "gradient_penalty": 2.0, "drift": 0.5, "batch": 7},
            {"average": 0.2, "learning_rate": 1e-3, "beta_1": 0.5, "beta_2": 0.9},
            {"average": 0.0, "gradient_penalty": 0.0, "drift": 0.0},
        ],
    )
    @pytest.mark.parametrize("spec", [SMALL, Linear()], ids=lambda spec: spec.kind)
    def test_losses_weights_and_average_are_the_published_ones(self, spec, fields) -> None:
        bench = Bench(spec)
        fit = AdversarialFit(**{"steps": 6, "batch": 4, "learning_rate": 3e-4} | fields)
        expected = by_the_formulas(bench, fit, seed=3, level=2)
        result = bench.fit(seed=3, level=2, **fit.model_dump())
        rows = torch.tensor(expected.rows)
        torch.testing.assert_close(result.rows, rows, rtol=1e-3, atol=1e-4)
        close(result.generator, expected.generator.state_dict())
        close(result.critic, expected.critic.state_dict())
        close(result.average, expected.average)

    def test_without_averaging_the_average_is_the_generator(self) -> None:
        result = Bench().fit(average=0.0)
        assert equal(result.average, result.generator)

    def test_the_defaults_are_those_of_the_study(self) -> None:
        fit = AdversarialFit()
        assert (fit.learning_rate, fit.beta_1, fit.beta_2) == (2e-4, 0.0, 0.99)
        assert (fit.gradient_penalty, fit.drift, fit.critic_steps) == (10.0, 1e-3, 1)
        assert (fit.batch, fit.average, fit.precision) == (64, 0.999, "fp32")


class TestResult:
    def test_what_is_measured_is_of_the_average_and_of_all_pictures(self) -> None:
        bench = Bench()
        result = bench.fit(seed=4)
        bench.generator.module.load_state_dict(result.average)
        latents = bench.spec.latents(30, keyed(4, "compared latents"))
        with torch.no_grad():
            fake = bench.generator(latents)
            real = bench.images.float() / 255
            gap = (
                bench.critic.module(2 * real - 1).mean() - bench.critic.module(2 * fake - 1).mean()
            )
            samples = bench.generator(bench.spec.latents(64, keyed(4, "samples")))
        assert result.critic_gap == pytest.approx(float(gap), abs=1e-5)
        distance = frechet(pixel_features(real), pixel_features(fake))
        assert result.frechet == pytest.approx(distance, rel=1e-4)
        torch.testing.assert_close(result.samples, samples)

    def test_the_networks_are_left_as_fitted_in_eval_mode(self) -> None:
        bench = Bench()
        result = bench.fit()
        assert equal(bench.generator.snapshot(), result.generator)
        assert equal(bench.critic.snapshot(), result.critic)
        modules = (*bench.generator.module.modules(), *bench.critic.module.modules())
        assert not any(module.training for module in modules)
        assert (result.outcome, result.reason, result.steps) == (Outcome.BUDGET, "", 12)
        assert result.rows.shape == (12, 3)
        assert result.seconds > 0

    def test_samples_are_pictures_of_latents_that_no_level_changes(self) -> None:
        bench = Bench(Linear())
        first, second = (bench.fit(level=level, learning_rate=1e-12) for level in (0, 1))
        assert first.samples.shape == (64, 1, 8, 8)
        assert 0 <= float(first.samples.min()) <= float(first.samples.max()) <= 1
        torch.testing.assert_close(first.samples, second.samples)
        assert not torch.allclose(first.samples, bench.fit(seed=1).samples, atol=0.1)

    def test_at_most_so_many_pictures_are_measured(self, monkeypatch) -> None:
        bench = Bench()
        everything = bench.fit()
        monkeypatch.setattr(adversarial, "COMPARED", 11)
        assert differences(everything, bench.fit()) == {"critic_gap", "frechet"}
        monkeypatch.setattr(adversarial, "JUDGED", 7)
        monkeypatch.setattr(adversarial, "COMPARED", 4096)
        assert differences(everything, bench.fit()) == {"critic_gap"}


class TestMasks:
    def test_pruned_weights_are_zero_in_both_networks_and_the_average(self) -> None:
        bench = Bench(density=0.3, critic_density=0.3)
        result = bench.fit(learning_rate=1e-2)
        for mask, state in (
            (bench.mask, result.generator),
            (bench.mask, result.average),
            (bench.critic_mask, result.critic),
        ):
            assert 0.1 < mask.density < 0.5
            for name, kept in mask.layers.items():
                assert not state[name][~kept].any()
                assert state[name][kept].any()

    def test_they_are_zero_after_every_step(self, monkeypatch) -> None:
        bench = Bench(density=0.3, critic_density=0.3)
        step = adversarial._Networks.step
        seen = []

        def watched(self, number: int) -> Tensor:
            row = step(self, number)
            seen.append(number)
            self.end()  # looks for pruned weights that are not zero
            return row

        monkeypatch.setattr(adversarial._Networks, "step", watched)
        bench.fit(critic_steps=2)
        assert seen == list(range(12))

    def test_without_a_mask_for_it_the_critic_is_dense(self) -> None:
        bench = Bench(density=0.3)
        bench.fit()
        assert all(bool((weight != 0).all()) for weight in bench.critic.prunable().values())

    @pytest.mark.parametrize("who", ["generator", "critic"])
    def test_a_pruned_weight_that_is_not_zero_is_noticed(self, who) -> None:
        bench = Bench(density=0.5, critic_density=0.5)
        fit = AdversarialFit(steps=1, batch=4)
        bench.rewind()
        network = getattr(bench, who)
        network.module.load_state_dict(bench.initial[who == "critic"])
        with pytest.raises(AssertionError, match="came back"):
            fit.run(
                bench.generator, bench.critic, bench.spec, bench.images,
                bench.mask, bench.critic_mask, seed=0, level=0,
            )  # fmt: skip

    def test_a_channel_on_no_path_makes_its_shift_and_does_not_learn(self) -> None:
        """In training as in evaluation, in the generator as in its average."""
        bench = Bench(BRANCHED)
        bench.mask.layers["5.weight"][0] = False
        bench.initial[0]["6.bias"] = torch.tensor([0.5, 0.0])
        result = bench.fit(learning_rate=1e-2)
        assert result.outcome is Outcome.BUDGET
        for state in (result.generator, result.average):
            assert state["6.weight"][0] == 0
            assert state["6.weight"][1] not in (0, 1)
            for name in ("5.bias", "6.bias"):
                assert state[name][0] == bench.initial[0][name][0]
                assert state[name][1] != bench.initial[0][name][1]
        made: list[Tensor] = []
        bench.generator.module[6].register_forward_hook(lambda *call: made.append(call[-1]))
        bench.generator(torch.randn(4, 3))
        assert bool((made[0][:, 0] == 0.5).all())


class TestNormalisation:
    def test_the_average_makes_with_its_running_statistics_what_it_makes_with_a_batchs(
        self,
    ) -> None:
        bench = Bench(Dcgan(size=8, channels=1, width=8, latent_size=4))
        result = bench.fit(steps=60, batch=16, learning_rate=5e-3, average=0.9)
        module = bench.generator.module
        module.load_state_dict(result.average)
        latents = bench.spec.latents(2000, keyed(9, "test"))
        with torch.no_grad():
            by_running = module.eval()(latents)
            by_batch = module.train()(latents)
        assert float(by_batch.std()) > 0.2
        assert float((by_running - by_batch).square().mean().sqrt()) < 0.1 * float(by_batch.std())

    def test_both_networks_learn_in_training_mode(self) -> None:
        bench = Bench()
        modes = []
        for network in (bench.generator, bench.critic):
            network.module.register_forward_hook(lambda module, *_: modes.append(module.training))
        bench.fit(steps=2)
        assert modes[: 2 * 6] == [True] * 12
        assert not any(modes[12:])


class TestRange:
    @pytest.mark.parametrize("output", ["unit", "symmetric"])
    def test_the_critic_sees_pictures_in_the_networks_own_range(self, output) -> None:
        images = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(64).view(2, 1, 8, 8)
        bench = Bench(Linear(output=output), images)
        seen: list[Tensor] = []
        bench.critic.module.register_forward_pre_hook(lambda _, inputs: seen.append(*inputs))
        bench.fit(steps=1, batch=2)
        ends = [0.0, 1.0] if output == "unit" else [-1.0, 1.0]
        assert sorted(seen[0].flatten(1).mean(1).tolist()) == ends


class TestRandomness:
    def test_the_same_key_gives_the_same_bits(self) -> None:
        bench, state = Bench(), torch.get_rng_state()
        first = bench.fit(seed=1, level=3)
        torch.rand(3)
        assert differences(first, bench.fit(seed=1, level=3)) == set()
        torch.set_rng_state(state)

    def test_seeds_and_levels_draw_for_themselves(self) -> None:
        bench = Bench()
        first = bench.fit(seed=1, level=3)
        for other in (bench.fit(seed=2, level=3), bench.fit(seed=1, level=4)):
            assert not torch.equal(first.rows[0], other.rows[0])

    def test_the_global_generator_is_left_alone(self) -> None:
        state = torch.get_rng_state()
        Bench().fit(snapshot_at=3)
        assert torch.equal(state, torch.get_rng_state())

    def test_every_picture_is_seen_once_before_any_is_seen_again(self) -> None:
        images = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 8, 8)
        bench = Bench(Linear(), images)
        seen: list[Tensor] = []
        bench.critic.module.register_forward_pre_hook(lambda _, inputs: seen.append(*inputs))
        bench.fit(steps=12, batch=7)
        shown = [(batch[:, 0, 0, 0] * 255).round().int().tolist() for batch in seen[: 12 * 4 : 4]]
        rounds = [list(chain(*shown[start : start + 4])) for start in (0, 4, 8)]
        assert [len(set(one)) for one in rounds] == [28, 28, 28]
        assert rounds[0] != rounds[1] != rounds[2]

    def test_pictures_that_are_too_many_for_the_device_are_the_same(self, monkeypatch) -> None:
        bench = Bench()
        resident = bench.fit()
        monkeypatch.setattr(adversarial, "RESIDENT_BYTES", 100)
        assert differences(resident, bench.fit()) == set()


class TestSnapshot:
    @pytest.mark.parametrize("step", [0, 7, 12])
    def test_it_is_of_both_networks_after_so_many_steps(self, step) -> None:
        bench = Bench(density=0.5)
        whole = bench.fit(snapshot_at=step)
        bench.rewind()
        start = (bench.generator.snapshot(), bench.critic.snapshot())
        short = bench.fit(steps=step) if step else None
        assert equal(whole.snapshot, (short.generator, short.critic) if short else start)
        assert differences(whole, bench.fit()) == {"snapshot"}

    @pytest.mark.parametrize("step", [-1, 13])
    def test_out_of_the_fit_there_is_none(self, step) -> None:
        with pytest.raises(ValueError, match=f"snapshot_at must be from 0 to 12.*got {step}"):
            Bench().fit(snapshot_at=step)


class BrokenOffError(Exception):
    """The machine went away."""


@dataclass
class MemoryCheckpointer:
    """Keeps the last state in memory; breaks the fit off after so many saves."""

    interval_s: float = 0.0
    breaks_after: int | None = None
    kept: bytes | None = None
    saves: int = 0

    def load(self) -> bytes | None:
        return self.kept

    def save(self, state: bytes) -> None:
        self.kept = state
        self.saves += 1
        if self.saves == self.breaks_after:
            raise BrokenOffError


class TestBreaks:
    LONG: ClassVar[Any] = {
        "steps": 3 * INTERVAL + 2,
        "critic_steps": 2,
        "snapshot_at": INTERVAL + 1,
    }

    @staticmethod
    def half() -> Bench:
        return Bench(density=0.5, critic_density=0.5)

    @pytest.fixture
    def bench(self) -> Bench:
        return self.half()

    @pytest.fixture(scope="class")
    @classmethod
    def undisturbed(cls) -> AdversarialResult:
        return cls.half().fit(**cls.LONG)

    @pytest.fixture(scope="class")
    @classmethod
    def kept(cls) -> bytes:
        """The state of a fit that was broken off at its first save."""
        checkpointer = MemoryCheckpointer(breaks_after=1)
        with pytest.raises(BrokenOffError):
            cls.half().fit(**cls.LONG, checkpointer=checkpointer)
        assert checkpointer.kept
        return checkpointer.kept

    @pytest.mark.parametrize("saves", [1, 2, 3])
    def test_a_fit_goes_on_to_the_same_bits(self, bench, undisturbed, saves) -> None:
        checkpointer = MemoryCheckpointer(breaks_after=saves)
        with pytest.raises(BrokenOffError):
            bench.fit(**self.LONG, checkpointer=checkpointer)
        steps = []
        bench.generator.module.register_forward_hook(lambda *_: steps.append(1))
        resumed = bench.fit(**self.LONG, checkpointer=replace(checkpointer, breaks_after=None))
        assert differences(undisturbed, resumed) == set()
        learning = 3 * (self.LONG["steps"] - saves * INTERVAL)  # 2 for the critic, 1 for itself
        measuring = 8 + 16  # batches of 4, of 30 pictures and of 64 samples
        assert len(steps) == learning + measuring

    def test_it_may_be_broken_off_after_its_last_step(self, bench, undisturbed) -> None:
        checkpointer = MemoryCheckpointer(breaks_after=4)
        with pytest.raises(BrokenOffError):
            bench.fit(**self.LONG, checkpointer=checkpointer)
        resumed = bench.fit(**self.LONG, checkpointer=checkpointer)
        assert differences(undisturbed, resumed) == set()

    def test_saving_changes_nothing(self, bench, undisturbed) -> None:
        checkpointer = MemoryCheckpointer()
        kept = bench.fit(**self.LONG, checkpointer=checkpointer)
        assert checkpointer.saves == 4
        assert differences(undisturbed, kept) == set()

    def test_it_is_saved_no_oftener_than_asked(self, bench) -> None:
        checkpointer = MemoryCheckpointer(interval_s=1000.0)
        bench.fit(**self.LONG, checkpointer=checkpointer)
        assert checkpointer.saves == 0

    def test_seconds_add_up(self, bench, kept, monkeypatch) -> None:
        times = iter(range(1000, 9000, 10))
        monkeypatch.setattr(adversarial.time, "perf_counter", lambda: float(next(times)))
        whole = bench.fit(**self.LONG, checkpointer=MemoryCheckpointer(interval_s=1e9))
        resumed = bench.fit(**self.LONG, checkpointer=MemoryCheckpointer(interval_s=1e9, kept=kept))
        assert whole.seconds == 70  # the clock is looked at twice an interval, of which 4 are
        assert 50 < resumed.seconds < 60  # three, after one by the clock on the wall

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"",
            lambda data: b"something else",
            lambda data: data[: len(data) // 2],
            lambda data: data[:-1],
            lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:],
        ],
    )
    def test_what_is_damaged_is_ignored(self, bench, undisturbed, kept, damage) -> None:
        again = bench.fit(**self.LONG, checkpointer=MemoryCheckpointer(kept=damage(kept)))
        assert differences(undisturbed, again) == set()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"seed": 1}, "seed is 0, here it is 1"),
            ({"level": 1}, "level is 0, here it is 1"),
            ({"drift": 0.0}, "its fit is"),
            ({"snapshot_at": 5}, "snapshot_at is 6, here it is 5"),
        ],
    )
    def test_what_another_fit_saved_is_refused(self, bench, kept, change, named) -> None:
        with pytest.raises(ValueError, match=f"of another fit.*{named}"):
            bench.fit(**self.LONG | change, checkpointer=MemoryCheckpointer(kept=kept))

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (lambda bench: setattr(bench, "images", bench.images.flip(0)), "images"),
            (lambda bench: setattr(bench, "mask", some(bench.generator, 0.7)), "masks"),
            (lambda bench: bench.initial[1]["0.bias"].add_(1), "initial weights"),
            (lambda bench: setattr(bench, "spec", SMALL.model_copy(update={"law": "uniform"})),
             "generator"),
        ],
    )  # fmt: skip
    def test_so_is_what_began_from_something_else(self, bench, kept, change, named) -> None:
        change(bench)
        with pytest.raises(ValueError, match=f"of another fit: its {named} is"):
            bench.fit(**self.LONG, checkpointer=MemoryCheckpointer(kept=kept))


def broken(bench: Bench, call: int) -> None:
    """Let the critic give NaN at its `call`-th call: real, generated, mixed, and the generator's
    make four a step."""
    count = iter(range(10**6))
    bench.critic.module.register_forward_hook(
        lambda module, inputs, scores: scores * float("nan") if next(count) == call else None
    )


class TestDivergence:
    @pytest.mark.parametrize(
        ("call", "reason"),
        [
            (0, "the critic's loss of step 0 was not finite"),
            (4 * 7 + 2, "the critic's loss of step 7 was not finite"),
            (4 * 7 + 3, "the generator's loss of step 7 was not finite"),
            (4 * 9 + 3, "the generator's loss of step 9 was not finite"),
        ],
    )
    def test_the_first_bad_loss_is_named(self, call, reason) -> None:
        bench = Bench()
        broken(bench, call)
        result = bench.fit(steps=15, snapshot_at=7)
        assert (result.outcome, result.reason) == (Outcome.DIVERGED, reason)
        assert result.steps == len(result.rows) == call // 4
        assert bool(result.rows.isfinite().all())
        assert (result.critic_gap, result.frechet, result.samples) == (None, None, None)
        assert (result.snapshot is None) == (call == 0)

    def test_a_diverged_fit_ends_soon_and_is_not_saved(self) -> None:
        bench = Bench(density=0.5)
        broken(bench, 4 * 7)
        checkpointer = MemoryCheckpointer()
        steps = []
        bench.generator.module.register_forward_hook(lambda *_: steps.append(1))
        bench.fit(steps=100, checkpointer=checkpointer)
        assert checkpointer.saves == 1
        assert len(steps) == 2 * 2 * INTERVAL

    def test_it_is_noticed_in_a_last_rest_of_steps(self) -> None:
        bench = Bench()
        broken(bench, 4 * 11)
        assert bench.fit(steps=12).reason == "the critic's loss of step 11 was not finite"

    def test_a_weight_that_the_last_step_ruined_is_noticed(self) -> None:
        bench = Bench(Linear())
        weight = next(iter(bench.generator.prunable().values()))
        number = iter(range(100))
        weight.register_hook(lambda slope: slope / 0 if next(number) == 4 else slope)
        result = bench.fit(steps=5, snapshot_at=5)
        assert result.outcome is Outcome.DIVERGED
        assert result.reason == "a weight of the generator was not finite after the last step"
        assert result.steps == len(result.rows) == 5
        assert result.frechet is None


class TestPrecision:
    def test_bf16_changes_the_numbers_but_not_the_penaltys_arithmetic(self) -> None:
        bench = Bench()
        exact = bench.fit()
        reduced: list[bool] = []
        bench.critic.module.register_forward_hook(
            lambda *_: reduced.append(torch.is_autocast_enabled("cpu"))
        )
        rough = bench.fit(precision="bf16")
        assert reduced[:4] == [True, True, False, True]
        assert not torch.equal(exact.rows, rough.rows)
        torch.testing.assert_close(exact.rows, rough.rows, rtol=0.1, atol=0.1)


class TestInput:
    def test_more_in_a_batch_than_there_are_pictures(self) -> None:
        with pytest.raises(ValueError, match=r"batch must be at most 30.*got 31"):
            Bench().fit(batch=31)
        assert list(AdversarialFit(batch=31).conflicts(30)) == [
            ("batch", "must be at most 30, the number of pictures: got 31")
        ]
        assert list(AdversarialFit(batch=30).conflicts(30)) == []

    @pytest.mark.parametrize("count", [0, 1])
    def test_too_few_pictures(self, count) -> None:
        assert list(AdversarialFit(batch=1).conflicts(count)) == [
            ("images", f"must be at least two pictures, got {count}")
        ]

    @pytest.mark.parametrize(
        "images", [torch.rand(30, 1, 8, 8), torch.zeros(30, 3, 8, 8, dtype=torch.uint8)]
    )
    def test_pictures_of_another_kind(self, images) -> None:
        with pytest.raises(ValueError, match=r"images must be \(N, 1, 8, 8\) uint8"):
            Bench(images=images).fit()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("steps", 0),
            ("batch", 0),
            ("learning_rate", 0.0),
            ("beta_1", 1.0),
            ("beta_2", -0.1),
            ("critic_steps", 0),
            ("gradient_penalty", -1.0),
            ("drift", -1.0),
            ("average", 1.0),
            ("precision", "fp16"),
        ],
    )
    def test_fields_out_of_range(self, name, value) -> None:
        with pytest.raises(ValidationError, match=name):
            AdversarialFit(**{name: value})


def test_a_rehearsal_takes_so_many_steps_and_measures_nothing() -> None:
    bench = Bench()
    calls = []
    bench.generator.module.register_forward_hook(lambda *_: calls.append(1))
    fit = AdversarialFit(batch=4, critic_steps=2)
    seconds = fit.rehearse(
        bench.generator, bench.critic, bench.spec, bench.images, bench.mask, steps=7
    )
    assert seconds > 0
    assert len(calls) == 7 * 3


def test_the_host_waits_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def looks(steps: int) -> int:
        seen: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "nonzero"):
                original: Callable[..., Any] = getattr(Tensor, name)
                patch.setattr(
                    Tensor, name, lambda *a, o=original, n=name, **k: seen.append(n) or o(*a, **k)
                )
            bench.fit(steps=steps)
        return len(seen)

    few, more, most = looks(INTERVAL), looks(2 * INTERVAL), looks(4 * INTERVAL)
    assert most - more == 2 * (more - few)
    assert more - few <= 2
    assert looks(INTERVAL - 1) == looks(1) == few


def test_digits_are_learned() -> None:
    pytest.importorskip("sklearn")
    from lip_ray.data.labelled import Digits

    images = (Digits().load()[0].pictures.float() * 255 / 16).round().to(torch.uint8)
    bench = Bench(Dcgan(size=8, channels=1, width=8, latent_size=8), images)
    start = bench.fit(steps=1, batch=64).frechet
    end = bench.fit(steps=80, batch=32, learning_rate=5e-3, average=0.95).frechet
    assert end < 0.4 * start
