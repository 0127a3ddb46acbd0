"""Trials begin once their sources are complete, whatever else is going on."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from lip_ray.engine.tune_searcher import PlanSearcher
from lip_ray.store import StoreError

Config = dict[str, Any]

LAST = {"level": 2, "ending": None}
"""The report of a trial's last level."""


def config(trial_id: str, *sources: str) -> Config:
    return {"trial_id": trial_id, "source_ids": list(sources), "levels": 3, "alone": False}


class Given:
    """Takes in what was given up."""

    def __init__(self) -> None:
        self.up: list[tuple[str, str]] = []

    def out_of_memory(self, config: Config, reason: str) -> None:
        self.up.append((config["trial_id"], reason))

    def source_failed(self, config: Config, source_id: str) -> None:
        self.up.append((config["trial_id"], source_id))


def searcher_of(*configs: Config, given: Given | None = None, **more: Any) -> PlanSearcher:
    return PlanSearcher(configs, given or Given(), **more)


def test_what_has_no_sources_comes_in_order_and_then_the_end() -> None:
    searcher = searcher_of(config("a"), config("b"))
    assert [searcher.suggest(name)["trial_id"] for name in ("1", "2")] == ["a", "b"]
    assert searcher.suggest("3") is None, "one that runs may come back"
    searcher.on_trial_complete("1", LAST)
    searcher.on_trial_complete("2", LAST)
    assert searcher.suggest("3") == Searcher.FINISHED


def test_a_transfer_waits_for_its_source_and_lets_others_pass() -> None:
    searcher = searcher_of(config("a"), config("t", "a"), config("b"))
    assert searcher.suggest("1")["trial_id"] == "a"
    assert searcher.suggest("2")["trial_id"] == "b"
    assert searcher.suggest("3") is None, "there is more to come"
    searcher.on_trial_complete("1", LAST)
    assert searcher.suggest("3")["trial_id"] == "t"


def test_a_source_that_the_store_has_is_not_waited_for() -> None:
    searcher = searcher_of(config("t", "stored"))
    assert searcher.suggest("1")["trial_id"] == "t"


def test_all_sources_must_be_there() -> None:
    searcher = searcher_of(config("a"), config("b"), config("t", "a", "b"))
    searcher.suggest("1"), searcher.suggest("2")
    searcher.on_trial_complete("1", LAST)
    assert searcher.suggest("3") is None
    searcher.on_trial_complete("2", {})  # another run had finished it: nothing to report
    assert searcher.suggest("3")["trial_id"] == "t"


def test_what_waits_for_a_trial_that_was_given_up_is_given_up_in_turn() -> None:
    given = Given()
    searcher = searcher_of(
        config("a"), config("t", "a"), config("b"), config("u", "b", "t"), config("v", "a", "t"),
        given=given,
    )  # fmt: skip
    searcher.suggest("1")
    searcher.on_trial_complete("1", error=True)
    assert sorted(given.up) == [("t", "a"), ("u", "t"), ("v", "t")]
    assert searcher.suggest("2")["trial_id"] == "b"
    searcher.on_trial_complete("2", LAST)
    assert searcher.suggest("3") == Searcher.FINISHED


def test_a_trial_that_was_stopped_releases_nothing() -> None:
    searcher = searcher_of(config("a"), config("t", "a"))
    searcher.suggest("1")
    searcher.closed = True
    searcher.on_trial_complete("1", {"level": 1, "ending": None})
    assert searcher.suggest("2") == Searcher.FINISHED
    assert [left["trial_id"] for left in searcher.waiting] == ["t"]


def test_out_of_memory_is_tried_once_more_alone_and_then_given_up() -> None:
    given = Given()
    searcher = searcher_of(config("a"), config("b"), config("t", "a"), given=given)
    short = {"level": -1, "ending": "out_of_memory", "reason": "no"}
    searcher.suggest("1")
    searcher.on_trial_complete("1", short)
    again = searcher.suggest("2")
    assert (again["trial_id"], again["alone"]) == ("a", True)
    searcher.on_trial_complete("2", short)
    assert given.up == [("t", "a"), ("a", "no")] or given.up == [("a", "no"), ("t", "a")]
    assert searcher.suggest("3")["trial_id"] == "b"


def test_a_store_that_cannot_be_written_to_ends_it() -> None:
    searcher = searcher_of(config("a"), config("b"), config("c"))
    searcher.suggest("1"), searcher.suggest("2")
    searcher.on_trial_complete("1", {"level": -1, "ending": "store", "reason": "disk full"})
    assert searcher.suggest("3") == Searcher.FINISHED
    assert searcher.store_problem == "disk full"


def test_no_more_at_once_than_allowed() -> None:
    searcher = searcher_of(config("a"), config("b"), at_once=1)
    searcher.suggest("1")
    assert searcher.suggest("2") is None
    searcher.on_trial_complete("1", LAST)
    assert searcher.suggest("2")["trial_id"] == "b"


class TwoPoints:
    """Gives one trial at a time, the second after the first has ended."""

    def __init__(self) -> None:
        self.left = ["p", "q"]
        self.over: list[str] = []
        self.given_up: list[bool] = []

    @property
    def exhausted(self) -> bool:
        return not self.left

    def more(self) -> Sequence[Config]:
        ready = self.left and len(self.over) == 2 - len(self.left)
        return [config(self.left.pop(0))] if ready else []

    def ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        self.over.append(trial_id)
        self.given_up.append(given_up)


class Away:
    """A supply whose store cannot be written to."""

    exhausted = False

    def more(self) -> Sequence[Config]:
        raise StoreError("disk full")

    def ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        raise StoreError("disk full")


def test_a_supply_that_cannot_write_ends_it_tidily() -> None:
    searcher = searcher_of(config("a"), config("b"), supply=Away())
    searcher.suggest("1"), searcher.suggest("2")
    assert searcher.suggest("3") == Searcher.FINISHED
    searcher = searcher_of(config("a"), config("b"), config("c"), supply=Away())
    searcher.suggest("1")
    searcher.on_trial_complete("1", LAST)
    assert searcher.suggest("2") == Searcher.FINISHED
    assert searcher.store_problem == "disk full"


def test_a_supply_is_asked_when_nothing_else_can_begin() -> None:
    supply = TwoPoints()
    searcher = searcher_of(supply=supply)
    assert searcher.suggest("1")["trial_id"] == "p"
    assert searcher.suggest("2") is None
    searcher.on_trial_complete("1", error=True)
    assert searcher.suggest("2")["trial_id"] == "q"
    searcher.on_trial_complete("2", {"level": 1, "ending": None})  # stopped as hopeless
    assert supply.over == ["p", "q"]
    assert supply.given_up == [True, False]
    assert searcher.suggest("3") == Searcher.FINISHED
