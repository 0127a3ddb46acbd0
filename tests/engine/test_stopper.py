"""What Ctrl-C does, without Ray: the first lets levels end, the second ends all."""

import copy
import os
import signal
from typing import Any

import pytest
from ray.tune.stopper import NoopStopper

from lip_ray.engine.stopper import RunStopper
from lip_ray.engine.tune_searcher import PlanSearcher


class Nobody:
    """Nothing is given up here."""

    def out_of_memory(self, config: dict[str, Any], reason: str) -> None:
        raise AssertionError

    def source_failed(self, config: dict[str, Any], source_id: str) -> None:
        raise AssertionError


@pytest.fixture
def searcher() -> PlanSearcher:
    """Two trials have begun, known to Tune as 1 and 2; a third waits."""
    configs = [{"trial_id": name, "source_ids": [], "levels": 3, "alone": False} for name in "abc"]
    made = PlanSearcher(configs, Nobody())
    made.suggest("1"), made.suggest("2")
    return made


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that Tune gets instead of this process."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    return sent


def test_once_lets_levels_in_flight_end(searcher: PlanSearcher, ended: list[int]) -> None:
    running = {"1", "2"}
    stopper = RunStopper(searcher, lambda: running)
    with stopper.on_signals():
        assert not stopper("1", {"level": 0})
        assert not stopper.stop_all()
        signal.raise_signal(signal.SIGINT)
        assert stopper.interrupted
        assert searcher.suggest("3") == "FINISHED", "no other begins"
        assert not stopper.stop_all(), "two levels are in flight"
        assert stopper("1", {"level": 1})
        running.remove("1")
        running.add("4")  # Tune held it ready and has begun it
        assert not stopper.stop_all()
        assert stopper("2", {"level": 0})
        running.remove("2")
        assert stopper.stop_all()
    assert ended == []


def test_so_does_a_store_that_takes_no_more(searcher: PlanSearcher) -> None:
    running = {"1", "2"}
    stopper = RunStopper(searcher, lambda: running)
    searcher.on_trial_complete("1", {"level": -1, "ending": "store", "reason": "disk full"})
    running.remove("1")
    assert stopper("2", {"level": 0}), "the level in flight is the last"
    assert not stopper.stop_all()
    running.remove("2")
    assert stopper.stop_all()


def test_a_second_signal_before_tune_listens_ends_nothing_else(searcher: PlanSearcher) -> None:
    stopper = RunStopper(searcher, set)
    with stopper.on_signals():
        signal.raise_signal(signal.SIGTERM)  # SIGUSR1 would end the process, were it not ours
        assert searcher.closed


def test_a_trial_that_is_not_known_goes_on(searcher: PlanSearcher) -> None:
    assert not RunStopper(searcher, set, lambda *_: True)("9", {"level": 0})


def test_twice_ends_all_at_once(searcher: PlanSearcher, ended: list[int]) -> None:
    stopper = RunStopper(searcher, set)
    with stopper.on_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert ended == [signal.SIGUSR1]


def test_so_does_a_scheduler_s_sigterm(searcher: PlanSearcher, ended: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopper = RunStopper(searcher, set)
    with stopper.on_signals():
        signal.raise_signal(signal.SIGTERM)
    assert ended == [signal.SIGUSR1]
    assert not stopper.interrupted
    assert searcher.closed
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_hopeless_ends_with_its_level(searcher: PlanSearcher) -> None:
    asked = []

    def hopeless(trial_id: str, report: dict[str, Any]) -> bool:
        asked.append((trial_id, report["level"]))
        return trial_id == "b"

    stopper = RunStopper(searcher, set, hopeless)
    assert not stopper("1", {"level": 1})
    assert stopper("2", {"level": 1})
    assert asked == [("a", 1), ("b", 1)]


def test_tune_may_pickle_it(searcher: PlanSearcher) -> None:
    assert isinstance(copy.deepcopy(RunStopper(searcher, set)), NoopStopper)
