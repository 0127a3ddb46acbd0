"""Trials begin once their sources are complete, whatever else is going on."""

from typing import Any

from ray.tune.search import Searcher

from lip_ray.engine.searcher import PlanSearcher


def config(trial_id: str, *sources: str) -> dict[str, Any]:
    return {"trial_id": trial_id, "source_ids": list(sources)}


def test_what_has_no_sources_comes_in_order_and_then_the_end() -> None:
    searcher = PlanSearcher([config("a"), config("b")])
    assert [searcher.suggest(name)["trial_id"] for name in ("1", "2")] == ["a", "b"]
    assert searcher.suggest("3") == Searcher.FINISHED


def test_a_transfer_waits_for_its_source_and_lets_others_pass() -> None:
    searcher = PlanSearcher([config("a"), config("t", "a"), config("b")])
    assert searcher.suggest("1")["trial_id"] == "a"
    assert searcher.suggest("2")["trial_id"] == "b"
    assert searcher.suggest("3") is None, "there is more to come"
    searcher.on_trial_complete("1", {})
    assert searcher.suggest("3")["trial_id"] == "t"
    assert searcher.suggest("4") == Searcher.FINISHED


def test_a_source_that_the_store_has_is_not_waited_for() -> None:
    searcher = PlanSearcher([config("t", "stored")])
    assert searcher.suggest("1")["trial_id"] == "t"


def test_all_sources_must_be_there() -> None:
    searcher = PlanSearcher([config("a"), config("b"), config("t", "a", "b")])
    searcher.suggest("1"), searcher.suggest("2")
    searcher.on_trial_complete("1", {})
    assert searcher.suggest("3") is None
    searcher.on_trial_complete("2", {})
    assert searcher.suggest("3")["trial_id"] == "t"


def test_what_waits_for_a_trial_that_was_given_up_never_begins() -> None:
    searcher = PlanSearcher([config("a"), config("t", "a"), config("b")])
    searcher.suggest("1")
    searcher.on_trial_complete("1", error=True)
    assert searcher.suggest("2")["trial_id"] == "b"
    searcher.on_trial_complete("2", {})
    assert searcher.suggest("3") == Searcher.FINISHED
    assert [left["trial_id"] for left in searcher.waiting] == ["t"]
