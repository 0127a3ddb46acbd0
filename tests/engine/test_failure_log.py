"""What is given up is told and stored, and what hangs is killed, without Ray."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.exceptions import RayActorError

from lip_ray.engine.failures import FailureLog, Watchdog
from lip_ray.engine.plan import plan
from lip_ray.engine.progress import Tally
from lip_ray.records import Cause
from lip_ray.store import Reader, StoreUnavailable, Writer
from lip_ray.sweep import Sweep


@pytest.fixture
def tally(tiny: Path) -> Tally:
    """Four trials."""
    return Tally(plan(Sweep.from_yaml(tiny), {}))


@pytest.fixture
def failure_log(tally: Tally, tmp_path: Path) -> FailureLog:
    """Of an empty store."""
    writer = Writer.open(tmp_path / "store")
    return FailureLog(Reader(tmp_path / "store"), writer, tally)


class Clock:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """At 0 s."""
    return Clock()


def tune_trial(tally: Tally, error: Path | None = None) -> Any:
    return SimpleNamespace(
        trial_id="1",
        config={"trial_id": tally.planned[0].trial.id},
        temporary_state=SimpleNamespace(ray_actor="its actor"),
        pickled_error_file=error,
    )


def failed(tally: Tally, folder: Path, error: Exception) -> Any:
    """A trial whose last worker left this error."""
    path = folder / "error.pkl"
    path.write_bytes(pickle.dumps(error))
    return tune_trial(tally, path)


def test_a_row_says_what_was_given_up_and_why(
    failure_log: FailureLog, tally: Tally, tmp_path: Path
) -> None:
    first, second = tally.planned[0].trial, tally.planned[2].trial
    failure_log.note(first.id, Cause.ERROR, "ValueError: no", traceback="Traceback\nValueError: no")
    failure_log.source_failed({"trial_id": second.id}, first.id)
    rows = Reader(tmp_path / "store").frame("failures").set_index("trial_id")
    assert rows.loc[first.id, ["cause", "reason", "level", "pruner", "seed"]].tolist() == [
        "error", "ValueError: no", 0, "magnitude", 0,
    ]  # fmt: skip
    assert rows.loc[second.id, "cause"] == "source"
    assert rows.loc[second.id, "reason"] == "its source was given up: magnitude seed 0"
    assert rows.loc[second.id, "source_id"] == first.id
    assert list(tally.given_up) == [first.id, second.id]
    assert tally.kinds() == {
        "trajectory": {"running": 0, "waiting": 2, "done": 0, "failed": 2},
    }
    assert [f.trial for f in failure_log.failures] == ["magnitude seed 0", "random seed 0"]


def test_a_store_that_takes_no_row_does_not_end_the_run(
    failure_log: FailureLog, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Writer, "write_failure", full)
    failure_log.note(tally.planned[0].trial.id, Cause.DIED, "killed")
    assert failure_log.unwritten == "disk full"
    assert len(failure_log.failures) == 1


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (ValueError("a\nthe field is wrong"), Cause.ERROR, "the field is wrong"),
        (RayActorError(), Cause.DIED, str(RayActorError()).splitlines()[0]),
        (ValueError(""), Cause.ERROR, "ValueError('')"),
    ],
)
def test_a_worker_that_kept_failing(
    failure_log: FailureLog,
    tally: Tally,
    tmp_path: Path,
    error: Exception,
    cause: Cause,
    reason: str,
    clock: Clock,
) -> None:
    dog = Watchdog(failure_log, limit_s=None, now=clock, kill=None)
    dog.on_trial_error(0, [], failed(tally, tmp_path, error))
    [failure] = failure_log.failures
    assert (failure.cause, failure.reason) == (cause, reason)
    assert bool(failure.traceback) == (cause is Cause.ERROR and bool(str(error)))


def test_a_level_that_takes_too_long_is_killed(
    failure_log: FailureLog, tally: Tally, tmp_path: Path, clock: Clock
) -> None:
    killed: list[Any] = []
    dog = Watchdog(failure_log, limit_s=10, now=clock, kill=killed.append)
    trial = tune_trial(tally)
    dog.on_trial_start(0, [], trial)
    assert set(dog.running()) == {"1"}
    clock.seconds = 9
    dog.on_trial_result(0, [], trial, {})
    clock.seconds = 18
    dog.on_step_end(0, [])
    assert killed == [], "each level has the time anew"
    clock.seconds = 19.5
    dog.on_step_end(0, [])
    dog.on_step_end(0, [])
    assert killed == ["its actor"]
    dog.on_trial_error(0, [], failed(tally, tmp_path, RayActorError()))
    [failure] = failure_log.failures
    assert (failure.cause, failure.reason) == (
        Cause.TIME_LIMIT, "a level took longer than 10 s",
    )  # fmt: skip


def test_what_ended_is_not_watched(failure_log: FailureLog, tally: Tally, clock: Clock) -> None:
    killed: list[Any] = []
    dog = Watchdog(failure_log, limit_s=10, now=clock, kill=killed.append)
    for over in (dog.on_trial_complete, dog.on_trial_recover):
        dog.on_trial_start(0, [], tune_trial(tally))
        over(0, [], tune_trial(tally))
        clock.seconds += 99
        dog.on_step_end(0, [])
    assert killed == []
    assert type(copy.deepcopy(dog)) is tune.Callback, "Tune may pickle it"
