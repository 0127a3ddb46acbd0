"""Where each level begins: the initial weights, an early step, the level above, or afresh."""

from typing import Any

import pytest
import torch
from ladders import CPU, SPEC, MemoryArtifacts, Start, found, masks_of, records_of, trajectory
from pydantic import ValidationError

from lip_ray.fits import Fit, Subject
from lip_ray.records import Outcome
from lip_ray.rng import keyed

FIT = SPEC["fit"]
LATE: dict[str, Any] = {"kind": "step", "step": 5}


def begun(starts: list[Start], **changes: Any) -> list[Start]:
    starts.clear()
    records_of(trajectory(**changes))
    return list(starts)


def test_late_rewinding_returns_to_that_step_of_the_dense_fit(starts) -> None:
    dense, *below = begun(starts, rewind=LATE)
    spec = trajectory(rewind=LATE)
    prior = spec.prior.build((3, 12, 13), seed=0, image="astronaut", device=CPU)
    five = Fit.model_validate(FIT | {"steps": 6}).model_copy(update={"steps": 5})
    problem = spec.task.realise(spec.images[0], seed=0, device=CPU)
    draws = keyed(0, "input noise", image="astronaut", level=0)
    five.run([Subject(prior=prior, problem=problem, draws=draws)], dense.mask)
    expected = prior.snapshot()
    for start in below:
        for name, value in start.weights.items():
            mask = start.mask.layers.get(name)
            wanted = expected[name] if mask is None else expected[name] * mask
            assert torch.equal(value, wanted), name


def test_fine_tuning_goes_on_from_the_level_above(starts, monkeypatch) -> None:
    ended = []
    fit = Fit.run

    def watched(self, subjects, mask, **options):
        results = fit(self, subjects, mask, **options)
        ended.append(subjects[0].prior.snapshot())
        return results

    monkeypatch.setattr(Fit, "run", watched)
    levels = begun(starts, rewind="finetune")
    for before, start in zip(ended, levels[1:], strict=False):
        for name, value in start.weights.items():
            mask = start.mask.layers.get(name)
            assert torch.equal(value, before[name] if mask is None else before[name] * mask)


def test_fresh_weights_are_new_at_every_level_and_meet_the_same_ticket(starts) -> None:
    ours, theirs = begun(starts, rewind="reinit"), begun(starts)
    assert all(torch.equal(ours[0].weights[n], theirs[0].weights[n]) for n in ours[0].weights)
    assert torch.equal(*(start.mask.layers["9.1.weight"] for start in (ours[1], theirs[1]))), (
        "the first cut comes before any weight is drawn afresh"
    )
    drawn = [start.weights["1.1.1.1.weight"] for start in ours]
    for level, one in enumerate(drawn):
        for other in drawn[:level]:
            both = (one != 0) & (other != 0)
            assert bool(both.any())
            assert not bool((one == other)[both].any())


def test_a_latent_of_its_own_for_every_level(starts) -> None:
    kept, redrawn = begun(starts), begun(starts, latents="redrawn")
    assert torch.equal(kept[0].latent, redrawn[0].latent)
    assert len({start.latent.sum().item() for start in kept}) == 1
    assert len({start.latent.sum().item() for start in redrawn}) == len(redrawn)


@pytest.mark.parametrize("rewind", [LATE, "finetune", "reinit"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_run_broken_off_goes_on_bit_for_bit(rewind, level: int) -> None:
    spec = trajectory(rewind=rewind)
    whole = records_of(spec)
    rest = records_of(spec, first=level, artifacts=MemoryArtifacts(whole[:level]))
    assert [found(record) for record in rest] == [found(record) for record in whole[level:]]


def test_only_what_no_seed_draws_is_stored() -> None:
    def levels(**changes: Any) -> list[set[int]]:
        return [set(record.weights) for record in records_of(trajectory(**changes))]

    assert levels() == levels(rewind="reinit") == [set()] * 4
    assert levels(rewind=LATE) == [{1}, set(), set(), set()]
    assert levels(rewind="finetune") == [{1}, {2}, {3}, set()]


def test_without_the_step_to_return_to_there_are_no_tickets() -> None:
    hopeless = FIT | {"learning_rate": 1e30}
    first, *below = records_of(trajectory(rewind=LATE, pruner="random", fit=hopeless))
    assert first.outcome is Outcome.DIVERGED
    assert {record.outcome for record in below} == {Outcome.FAILED}


def test_the_step_must_be_inside_of_the_fit() -> None:
    with pytest.raises(ValidationError, match=r"rewind.step must be less than the fit's steps"):
        trajectory(rewind={"kind": "step", "step": 12})


def test_one_shot_magnitude_finds_all_masks_in_the_dense_fit() -> None:
    spec = trajectory(pruner={"kind": "magnitude", "at": "dense"})
    records = records_of(spec)
    assert [set(record.masks) for record in records] == [{0, 1, 2, 3}, set(), set(), set()]
    rest = records_of(spec, first=2, artifacts=MemoryArtifacts(records[:2]))
    assert [found(record) for record in rest] == [found(record) for record in records[2:]]
    iterative = masks_of(records_of(trajectory()))
    assert all(
        torch.equal(masks_of(records)[1].layers[name], iterative[1].layers[name])
        for name in iterative[1].layers
    )


def test_a_clean_target_is_fitted_and_nothing_else_changes(starts) -> None:
    (measured, *_), (clean, *_) = begun(starts), begun(starts, target="clean")
    assert torch.equal(measured.measured, clean.measured)
    assert torch.equal(measured.latent, clean.latent)
    one, other = (
        records_of(trajectory(target=t, schedule=[1.0]))[0] for t in ("measured", "clean")
    )
    assert one.curve.loss != other.curve.loss
    assert one.curve.psnr_raw_db[0] == other.curve.psnr_raw_db[0]
