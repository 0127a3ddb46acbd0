"""By what fits are judged: rules that transfers take over, values that are held out, refusals."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from ladders import SPEC, MemoryArtifacts, crop, found, records_of, trajectory
from pydantic import ValidationError

from lip_ray.fits import Discrepancy, Fit, HeldOut, WindowedVariance
from lip_ray.pruning import Mask
from lip_ray.tasks import Denoising
from lip_ray.trials import Trajectory, Transfer
from lip_ray.trials.bench import Bench, Setting

CPU = torch.device("cpu")
NOISE: dict[str, Any] = {"kind": "denoising", "sigma": 25.0}
HOLES: dict[str, Any] = {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}}
NOISY_HOLES = HOLES | {"sigma": 10.0}


def source(**changes: Any) -> Trajectory:
    return Trajectory.model_validate(SPEC | {"fit": {"steps": 60}} | changes)


def moved(there: Trajectory, form: str = "spec", **changes: Any) -> Transfer:
    """A transfer of a trajectory that is given as a spec, or as the JSON of one."""
    given = there if form == "spec" else there.model_dump(mode="json")
    return Transfer.model_validate({"source": given} | changes)


class TestTakenOver:
    @pytest.mark.parametrize("form", ["spec", "JSON"])
    def test_a_rule_by_default_is_that_of_the_own_task(self, form: str) -> None:
        found, filled = source(), source(task=HOLES)
        assert (found.fit.stopping, filled.fit.stopping) == (HeldOut(), WindowedVariance())
        assert moved(found, form).fit == found.fit
        assert moved(filled, form).fit == filled.fit
        there, back = moved(found, form, task=HOLES).fit, moved(filled, form, task=NOISE).fit
        assert (there.stopping, there.held_out, there.steps) == (WindowedVariance(), 0.0, 60)
        assert (back.stopping, back.held_out, back.steps) == (HeldOut(), 0.03, 60)

    @pytest.mark.parametrize("form", ["spec", "JSON"])
    @pytest.mark.parametrize(
        "rule", [WindowedVariance(window=6), HeldOut(patience=9), Discrepancy(factor=0.8)]
    )
    def test_a_stated_one_is_taken_over_where_it_fits(self, form: str, rule) -> None:
        there = source(fit={"steps": 60, "stopping": rule, "learning_rate": 0.02})
        for task in (NOISE, {"kind": "denoising", "sigma": 50.0}, NOISY_HOLES):
            assert moved(there, form, task=task).fit == there.fit
        elsewhere = moved(there, form, task=HOLES).fit
        assert elsewhere.learning_rate == 0.02
        fits = not isinstance(rule, Discrepancy)  # without noise there is nothing to compare with
        assert elsewhere.stopping == (rule if fits else WindowedVariance())

    def test_a_stated_share_is_taken_over(self) -> None:
        there = source(fit={"steps": 60, "held_out": 0.2})
        assert moved(there, task=HOLES).fit.held_out == 0.2
        kept = moved(there, task=NOISY_HOLES).fit
        assert (kept.stopping, kept.held_out) == (HeldOut(), 0.2)

    def test_tickets_of_the_clean_image_are_judged_by_the_measurement(self) -> None:
        oracle = source(target="clean")
        assert (oracle.fit.stopping, oracle.fit.held_out) == (WindowedVariance(), 0.0)
        assert moved(oracle).fit == source().fit
        stated = source(target="clean", fit={"steps": 60, "stopping": {"window": 6}})
        assert moved(stated).fit.stopping == WindowedVariance(window=6)

    def test_a_fit_of_its_own_takes_over_nothing(self) -> None:
        there = source(fit={"steps": 60, "stopping": {"window": 6}, "average": 0.5})
        own = moved(there, fit={"steps": 40}).fit
        assert (own.steps, own.average, own.stopping) == (40, 0.99, HeldOut())

    def test_a_consensus_has_no_fit_to_take_over(self) -> None:
        agreed = {
            "kind": "consensus",
            "trajectories": [
                source(fit={"steps": 60, "stopping": {"window": 6}}, images=crop(name))
                for name in ("astronaut", "coffee")
            ],
        }
        spec = Transfer.model_validate({"source": agreed, "images": crop("coffee"), "task": NOISE})
        assert (spec.fit.stopping, spec.fit.held_out, spec.fit.steps) == (HeldOut(), 0.03, 3000)

    def test_of_the_network_it_has_what_was_published(self) -> None:
        small = {"kind": "deep_decoder", "width": 6, "layers": 2}
        there = source(prior=small, schedule=[1.0], fit={})
        assert moved(there).fit == there.fit
        assert (there.fit.steps, there.fit.input_noise, there.fit.average) == (1900, 0.0, 0.0)
        own = moved(there, fit={"learning_rate": 0.1}).fit
        assert (own.steps, own.input_noise, own.average) == (1900, 0.0, 0.0)

    def test_it_is_complete_by_itself(self) -> None:
        for spec in (moved(source(), task=HOLES), moved(source(target="clean"))):
            again = Transfer.model_validate_json(spec.model_dump_json())
            assert again == spec
            assert again.id == spec.id

    def test_a_wrong_source_is_told_alone(self) -> None:
        wrong = source().model_dump(mode="json") | {"seed": -1}
        with pytest.raises(ValidationError) as told:
            Transfer.model_validate({"source": wrong})
        assert [error["loc"][-1] for error in told.value.errors()] == ["seed"]


def setting(**changes: Any) -> Setting:
    return source(task=NOISY_HOLES, **changes).setting


class TestHeldOut:
    def test_they_are_keyed_by_seed_and_image(self) -> None:
        def held(there: Setting, place: int = 0) -> torch.Tensor:
            found = there.problem(there.images[place], CPU).held_out
            assert found is not None
            return found

        own = held(setting())
        assert 0.01 < float(own.float().mean()) < 0.06
        assert torch.equal(held(setting()), own)
        assert torch.equal(held(moved(source(), task=NOISY_HOLES).setting), own)
        assert not torch.equal(held(setting(seed=1)), own)
        assert not torch.equal(held(setting(images=crop("coffee"))), own)
        two = setting(images=[crop("coffee"), crop("astronaut")])
        assert torch.equal(held(two, 1), own), "whatever else is fitted"

    def test_the_fit_does_not_depend_on_them(self) -> None:
        """Neither do its weights, bit by bit, nor its losses; only what judges it does."""
        fitted = []
        for noise in (0.0, 10.0, float("nan")):
            bench = Bench(setting(), CPU)
            [subject] = bench.subjects(level=0)
            problem = subject.problem
            disturbed = torch.where(problem.held_out, problem.measured + noise, problem.measured)
            subject = replace(subject, problem=replace(problem, measured=disturbed))
            [result] = Fit(steps=20).run([subject], Mask.dense(bench.prior.prunable()))
            fitted.append((bench.prior.snapshot(), result.rows[:, :3], result.choices))
        (weights, rows, choices), *others = fitted
        for own, theirs, _ in others:
            assert torch.equal(theirs, rows)
            assert all(torch.equal(own[name], weights[name]) for name in weights)
        assert "held_out" in {choice.rule.kind for choice in choices}
        assert "held_out" not in {choice.rule.kind for choice in others[1][2]}, "all were NaN"

    def test_a_run_broken_off_goes_on_bit_for_bit(self) -> None:
        spec = trajectory(task=NOISY_HOLES, fit={"steps": 12})
        whole = records_of(spec)
        rest = records_of(spec, first=2, artifacts=MemoryArtifacts(whole))
        assert [found(record) for record in rest] == [found(record) for record in whole[2:]]
        assert all(record.choices[0].rule == "held_out" for record in whole)

    def test_every_fit_says_what_each_rule_chose(self) -> None:
        for record in records_of(trajectory(fit={"steps": 12})):
            first, *others = record.choices
            assert (first.rule, first.in_force) == ("held_out", True)
            assert first.step == record.selected_step
            assert first.psnr_db == pytest.approx(record.psnr_selected_db, abs=1e-4)
            assert first.noise is None
            noises = {other.rule: other.noise for other in others}
            assert noises.keys() == {"wmv", "emv", "discrepancy"}
            assert noises["discrepancy"] == pytest.approx(25 / 255, rel=0.3), (
                "clipped, so estimated"
            )
            assert not any(other.in_force for other in others)
            late = record.peak_step >= record.steps - 1
            assert record.unfinished is late


class TestRefusals:
    """Before anything is computed, once each."""

    def told(self, spec: Trajectory | Transfer) -> list[tuple[str, str]]:
        return list(spec.conflicts())

    @pytest.mark.parametrize(
        ("changes", "field", "message"),
        [
            (
                {"task": HOLES, "fit": {"stopping": "discrepancy"}},
                "fit.stopping",
                "discrepancy compares residuals with the noise, and that of astronaut is neither "
                "stated by the task nor can it be estimated: allowed here: held_out, wmv, emv",
            ),
            (
                {"fit": {"stopping": "held_out", "held_out": 0.0}},
                "fit.held_out",
                "must be greater than 0 for the rule held_out, got 0",
            ),
            (
                {"target": "clean", "fit": {"stopping": "held_out"}},
                "fit.stopping",
                "held_out judges fits to a measurement, and with target clean none is fitted: "
                "allowed here: wmv, emv",
            ),
            (
                {"target": "clean", "fit": {"stopping": "discrepancy"}},
                "fit.stopping",
                "discrepancy judges fits to a measurement, and with target clean none is fitted: "
                "allowed here: wmv, emv",
            ),
            (
                {"target": "clean", "fit": {"held_out": 0.1}},
                "fit.held_out",
                "leaves measured values out of the loss, and with target clean none is in it: "
                "must be 0, got 0.1",
            ),
        ],
    )
    def test_a_rule_without_what_it_goes_by(self, changes, field: str, message: str) -> None:
        assert self.told(source(**changes)) == [(field, message)]
        if field != "fit.stopping" or "neither" not in message:
            several = source(**changes, images=[crop("astronaut"), crop("coffee")])
            assert self.told(several) == [(field, message)]

    def test_one_measured_value_cannot_be_split(self) -> None:
        task = {"kind": "compressed_sensing", "m": 1, "sigma": 2.0}
        assert self.told(source(task=task)) == [
            ("fit.held_out", "needs at least two measured values, astronaut has one")
        ]

    @pytest.mark.parametrize(
        "rule", [{"window": 61}, {"warm_up": 60}, {"kind": "held_out", "warm_up": 60}]
    )
    def test_lengths_beyond_the_fit(self, rule: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=r"(longer|shorter) than the fit: got"):
            source(fit={"steps": 60, "stopping": rule})

    def test_lengths_beyond_the_published_fit(self) -> None:
        with pytest.raises(ValidationError, match="warm_up 2000 and steps 1900") as told:
            source(
                prior={"kind": "deep_decoder", "layers": 2, "width": 6},
                schedule=[1.0],
                fit={"stopping": {"warm_up": 2000}},
            )
        assert told.value.error_count() == 1

    def test_what_goes_together_is_allowed(self) -> None:
        for changes in (
            {},
            {"task": HOLES},
            {"target": "clean"},
            {"target": "clean", "fit": {"stopping": "emv"}},
            {"fit": {"stopping": "held_out"}},
            {"fit": {"held_out": 0.1}},
            {"task": NOISY_HOLES, "fit": {"stopping": "discrepancy"}},
        ):
            assert self.told(source(**changes)) == []


def test_the_noise_of_a_measured_photo_is_estimated(tmp_path) -> None:
    from PIL import Image as Picture

    draws = torch.Generator().manual_seed(0)
    photo = 0.5 + 20 / 255 * torch.randn(64, 64, generator=draws)
    Picture.fromarray((photo.clamp(0, 1) * 255).byte().numpy()).save(tmp_path / "mine.png")
    mine = {"kind": "file", "path": str(tmp_path / "mine.png"), "measured": True}
    spec = source(images=mine, task={"kind": "denoising"}, fit={"steps": 12}, schedule=[1.0])
    assert spec.fit.stopping == HeldOut(), "nothing states its noise"
    [record] = records_of(spec)
    [noted] = [choice for choice in record.choices if choice.rule == "discrepancy"]
    assert noted.noise == pytest.approx(20 / 255, rel=0.15)
    asked = source(images=mine, task={"kind": "denoising"}, fit={"stopping": "discrepancy"})
    assert list(asked.conflicts()) == []
    assert Denoising().realise(asked.images[0], seed=0, device=CPU).noise_variance == pytest.approx(
        noted.noise**2
    )
