"""The laws of every solver: keyed, of one shape, blind, apart, refusing what it cannot do."""

from dataclasses import replace

import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written

from lip_ray.fits import (
    L1,
    AbstractSolver,
    Erm,
    FitResult,
    Huber,
    MedianOfMeans,
    Solver,
    Trimmed,
)
from lip_ray.fits.trace import LOSS
from lip_ray.records import Outcome
from lip_ray.spec import Spec
from lip_ray.tasks import Identity, Problem

FAMILY = Solver
BASE = AbstractSolver
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Erm: (Erm(steps=6, restarts=2), Erm(steps=6, restarts=2, latent_penalty=0.1)),
    MedianOfMeans: (MedianOfMeans(steps=6, restarts=2, block=5),),
    Trimmed: (Trimmed(steps=6, restarts=2, trim=0.2),),
    Huber: (Huber(steps=6, restarts=2),),
    L1: (L1(steps=6, restarts=2),),
}

SHAPE = (3, 4, 5)


def prior(latents: torch.Tensor) -> torch.Tensor:
    """Waves whose phases are the latent."""
    places = torch.linspace(0, 3, 60)
    return (0.5 + 0.4 * torch.sin(places + latents.cumsum(1)[:, -1:])).unflatten(1, SHAPE)


def problem(phase: float) -> Problem:
    clean = prior(torch.tensor([[phase]]))
    return Problem(clean=clean, measured=clean.clone(), operator=Identity())


def fitted(solver, problems, *, restarts=slice(None)) -> tuple[FitResult, ...]:
    shape = (solver.players, 2, 2, 4)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))[:, : len(problems)]
    latents = latents[:, :, restarts]
    solver = solver.model_copy(update={"restarts": latents.shape[2]})
    return solver.run(prior, problems, latents, torch.Generator().manual_seed(1))


PROBLEMS = (problem(0.3), problem(2.0))


def test_each_image_gets_a_result_of_all_steps(example) -> None:
    results = fitted(example, PROBLEMS)
    assert len(results) == 2
    for result in results:
        assert result.outcome is Outcome.BUDGET
        assert result.rows.shape == (6, 4)
        assert result.steps == 6
        assert result.seconds > 0
        for kept in (result.peak, result.selected, result.final):
            assert kept.image.shape == (1, *SHAPE)
            assert not kept.image.requires_grad


def test_the_objective_falls(example) -> None:
    long = example.model_copy(update={"steps": 40})
    for result in fitted(long, PROBLEMS):
        assert float(result.rows[-1, LOSS]) < float(result.rows[0, LOSS])


def test_the_least_objective_is_selected(example) -> None:
    """Of all steps, and no other restart comes to a lesser one."""
    long = example.model_copy(update={"steps": 40, "learning_rate": 0.5})
    alone = [fitted(long, PROBLEMS, restarts=slice(one, one + 1)) for one in range(2)]
    for place, result in enumerate(fitted(long, PROBLEMS)):
        least = float(result.rows[:, LOSS].min())
        assert result.selected.step == int(result.rows[:, LOSS].argmin())
        others = [float(results[place].rows[:, LOSS].min()) for results in alone]
        assert least == pytest.approx(min(others), rel=1e-3, abs=1e-6)


def test_it_never_looks_at_the_clean_image(example) -> None:
    known = fitted(example, PROBLEMS)
    unknown = fitted(example, [replace(one, clean=None) for one in PROBLEMS])
    for ours, theirs in zip(known, unknown, strict=True):
        assert torch.equal(ours.selected.image, theirs.selected.image)
        assert torch.equal(ours.rows[:, LOSS], theirs.rows[:, LOSS])
        assert theirs.peak is None


def test_images_are_apart(example) -> None:
    together, (alone,) = fitted(example, PROBLEMS), fitted(example, PROBLEMS[:1])
    torch.testing.assert_close(together[0].selected.image, alone.selected.image)


def test_restarts_are_apart(example) -> None:
    (both,) = fitted(example, PROBLEMS[:1])
    (first,) = fitted(example, PROBLEMS[:1], restarts=slice(0, 1))
    torch.testing.assert_close(both.final.image, first.final.image, rtol=1e-5, atol=1e-5)


def test_the_global_generator_is_left_alone(example) -> None:
    before = torch.get_rng_state()
    fitted(example, PROBLEMS)
    assert torch.equal(before, torch.get_rng_state())


def test_players_and_restarts_have_latents_of_their_own(example) -> None:
    wrong = torch.zeros(3 - example.players, 1, 2, 4)
    with pytest.raises(ValueError, match="latents must be"):
        example.run(prior, PROBLEMS[:1], wrong, torch.Generator())


def test_the_study_is_in_no_solvers_way(example) -> None:
    """A thousand measurements, 2 % of them outliers."""
    assert list(example.conflicts(1000, 0.02)) == []


def test_defaults_are_the_familys(member) -> None:
    fields = member.model_fields
    shared = {name: fields[name].default for name in AbstractSolver.model_fields if name != "kind"}
    assert shared == {
        "steps": 1000,
        "learning_rate": 0.1,
        "restarts": 10,
        "latent_penalty": 0.0,
        "candidates": 1,
    }
