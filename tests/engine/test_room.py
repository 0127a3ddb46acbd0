"""What a machine has room for, and what it is asked for in vain."""

from typing import Any

import pytest

from lip_ray.engine import room
from lip_ray.engine.room import LaunchError, Room
from lip_ray.sweep import Run


def room_for(monkeypatch: pytest.MonkeyPatch, cpus: int, gpus: int, /, **run: Any) -> Room:
    monkeypatch.setattr(room, "available_cpus", lambda: cpus)
    monkeypatch.setattr(room, "available_gpus", lambda: gpus)
    return Room.of(Run(**run))


@pytest.mark.parametrize(
    ("cpus", "gpus", "run", "device", "at_once"),
    [
        (2, 0, {}, "cpu", 2),
        (8, 0, {"cpus": 3}, "cpu", 2),
        (8, 0, {"concurrent": 1}, "cpu", 1),
        (8, 2, {}, "cuda", 2),
        (8, 2, {"device": "cpu"}, "cpu", 8),
        (8, 2, {"gpus": 0.5}, "cuda", 4),
        (8, 2, {"gpus": 0.4}, "cuda", 4),
        (8, 2, {"gpus": 0.34}, "cuda", 4),
        (8, 4, {"gpus": 2.0}, "cuda", 2),
        (2, 4, {"cpus": 1}, "cuda", 2),
    ],
)
def test_as_many_trials_as_fit(
    monkeypatch: pytest.MonkeyPatch,
    cpus: int,
    gpus: int,
    run: dict[str, Any],
    device: str,
    at_once: int,
) -> None:
    found = room_for(monkeypatch, cpus, gpus, **run)
    assert (found.device, found.trials_at_once) == (device, at_once)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"cpus": 3}, r"run\.cpus: a trial asks for 3 cores, but there are 2"),
        ({"device": "cuda"}, r"run\.device: cuda is asked for, but there is no GPU"),
    ],
)
def test_what_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, run: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        room_for(monkeypatch, 2, 0, **run)


def test_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchError, match=r"run\.gpus: a trial asks for 2 GPUs, but there are 1"):
        room_for(monkeypatch, 8, 1, gpus=2.0)


def test_ray_is_asked_for_what_a_trial_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(cpus=2, gpus=0.5)
    assert room_for(monkeypatch, 8, 1, cpus=2, gpus=0.5).resources(run) == {"cpu": 2, "gpu": 0.5}
    assert room_for(monkeypatch, 8, 0, cpus=2).resources(run) == {"cpu": 2}
