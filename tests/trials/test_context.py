"""Trials tell how far their levels have come, seldom, and find the same bits as those that do
not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from generators import checkpoint, generator, reconstruction
from ladders import CPU, NOTHING, MemoryArtifacts, found, records_of, trajectory

from lip_ray.records import Standing
from lip_ray.trials import AbstractTrial, Classification, Context, Transfer, context, run

pytest.importorskip("sklearn")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still."""
    now = [1000.0]
    monkeypatch.setattr(context.time, "monotonic", lambda: now[0])
    return now


def noted(
    spec: AbstractTrial, artifacts: MemoryArtifacts = NOTHING, *, every_s: float = 0.0
) -> list[Standing]:
    """All that a trial tells, its records being those of a trial that tells nothing."""
    told: list[Standing] = []
    context = Context(device=CPU, artifacts=artifacts, report=told.append, report_every_s=every_s)
    records = list(run(spec, context))
    assert [found(one) for one in records] == [
        found(one) for one in records_of(spec, artifacts=artifacts)
    ]
    return told


def steps_by_level(told: Sequence[Standing]) -> dict[int, list[int]]:
    return {
        level: [standing.step for standing in told if standing.level == level]
        for level in dict.fromkeys(standing.level for standing in told)
    }


class TestWatch:
    def callback(self, every_s: float = 10.0) -> tuple[Any, list[Standing]]:
        told: list[Standing] = []
        context = Context(device=CPU, report=told.append, report_every_s=every_s)
        return context.callback("abc", 3), told

    def test_it_notes_at_once_and_then_when_it_is_time(self, clock: list[float]) -> None:
        callback, told = self.callback()
        for step in range(100):
            callback(step, 500, lambda: 20.0)
            clock[0] += 3
        assert [standing.step for standing in told] == list(range(0, 100, 4))
        assert told[1] == Standing(trial_id="abc", level=3, step=4, steps=500, psnr_db=20.0)

    def test_it_asks_for_a_note_only(self, clock: list[float]) -> None:
        callback, told = self.callback()
        asked = [0]

        def psnr_db() -> float | None:
            asked[0] += 1
            return None

        for step in range(100):
            callback(step, 100, psnr_db)
            clock[0] += 1
        assert asked[0] == len(told) == 10

    def test_a_slow_note_is_not_followed_by_another(self, clock: list[float]) -> None:
        told: list[int] = []

        def slow(standing: Standing) -> None:
            told.append(standing.step)
            clock[0] += 60

        callback = Context(device=CPU, report=slow, report_every_s=10.0).callback("abc", 0)
        for step in range(30):
            callback(step, 30, lambda: None)
            clock[0] += 1
        assert told == [0, 10, 20]

    def test_every_level_is_noted_at_once(self, clock: list[float]) -> None:
        told: list[Standing] = []
        context = Context(device=CPU, report=told.append)
        for level in range(3):
            context.callback("abc", level)(0, 5, lambda: None)
        assert [standing.level for standing in told] == [0, 1, 2]

    def test_nobody_need_listen(self) -> None:
        Context(device=CPU).callback("abc", 0)(1, 2, lambda: 3.0)


class TestTrials:
    def test_a_trajectory(self) -> None:
        spec = trajectory()
        told = noted(spec)
        assert steps_by_level(told) == {level: list(range(13)) for level in range(4)}
        assert {(standing.trial_id, standing.steps) for standing in told} == {(spec.id, 12)}
        assert all((standing.psnr_db is None) == (standing.step == 0) for standing in told)

    def test_its_last_note_is_of_the_final_image(self) -> None:
        spec = trajectory()
        last = [standing for standing in noted(spec) if standing.step == 12]
        finals = [record.psnr_final_db for record in records_of(spec)]
        assert [standing.psnr_db for standing in last] == pytest.approx(finals)

    def test_seldom(self) -> None:
        told = noted(trajectory(), every_s=3600.0)
        assert [(standing.level, standing.step) for standing in told] == [(n, 0) for n in range(4)]

    def test_a_transfer_tells_its_own_levels(self) -> None:
        source = trajectory()
        artifacts = MemoryArtifacts(records_of(source))
        spec = Transfer.model_validate({"source": source.model_dump(mode="json"), "take": [1, 3]})
        told = noted(spec, artifacts)
        assert steps_by_level(told) == {level: list(range(13)) for level in range(2)}
        assert {standing.trial_id for standing in told} == {spec.id}

    def test_a_classification(self) -> None:
        grey = {"kind": "builtin", "name": "astronaut", "size": (12, 13), "channels": 1}
        source = trajectory(images=grey, schedule=[1.0, 0.4])
        artifacts = MemoryArtifacts(records_of(source))
        spec = Classification.model_validate(
            {
                "source": source.model_dump(mode="json"),
                "dataset": "digits",
                "fit": {"epochs": 1, "batch": 256},
            }
        )
        told = noted(spec, artifacts)
        assert steps_by_level(told) == {level: list(range(spec.steps + 1)) for level in range(2)}
        assert {(s.trial_id, s.steps, s.psnr_db) for s in told} == {(spec.id, spec.steps, None)}

    def test_a_generator_and_a_reconstruction_with_it(self) -> None:
        source = generator(schedule=[1.0, 0.6])
        told = noted(source)
        assert steps_by_level(told) == {level: list(range(5)) for level in range(2)}
        assert {(s.trial_id, s.steps, s.psnr_db) for s in told} == {(source.id, 4, None)}
        artifacts = MemoryArtifacts(records_of(source))
        solver = {"kind": "erm", "steps": 5, "restarts": 2}
        spec = reconstruction(source, solver=solver, take=[1])
        told = noted(spec, artifacts)
        assert steps_by_level(told) == {0: list(range(6))}
        assert {(standing.trial_id, standing.steps) for standing in told} == {(spec.id, 5)}
        assert all((standing.psnr_db is None) == (standing.step == 0) for standing in told)

    def test_a_checkpoint_has_nothing_to_tell(self, tmp_path: Path) -> None:
        assert noted(checkpoint(tmp_path)) == []

    def test_a_lasso_counts_its_images(self) -> None:
        spec = reconstruction(
            {"kind": "dct"},
            images={"kind": "digit", "index": [0, 3]},
            task={"kind": "compressed_sensing", "m": 40},
            solver={"kind": "lasso", "alpha": 1e-3},
        )
        told = noted(spec)
        psnrs = [record.psnr_selected_db for record in records_of(spec)]
        assert [(s.step, s.steps, s.psnr_db) for s in told] == [
            (0, 2, None),
            (1, 2, psnrs[0]),
            (2, 2, psnrs[1]),
        ]

    def test_a_level_without_a_path_has_nothing_to_tell(self) -> None:
        spec = trajectory(pruner="random", schedule=[1.0, 0.6, 0.001])
        outcomes = [record.outcome for record in records_of(spec)]
        assert outcomes[-1] == "collapsed"
        assert list(steps_by_level(noted(spec))) == [0, 1]
