"""Identities: what is worked out once for many trials is what each has by itself."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lip_ray.analysis.rows.identity import identities
from lip_ray.analysis.rows.naming import distinct_names, grouped

PICTURES = [
    {"kind": "builtin", "name": name, "size": [128, 128]} for name in ("astronaut", "chelsea")
]
TEXT = st.sampled_from(["", "magnitude", "random", "skip, wide"])
KEYS = st.integers(0, 3).map(lambda width: json.dumps({"width": width}))


@settings(max_examples=20)
@given(data=st.data())
def test_trials_that_differ_in_their_seed_alone_have_one_identity(
    data: st.DataObject, trial_row: Callable[..., Any], level_row: Callable[..., Any]
) -> None:
    trials = []
    for _ in range(data.draw(st.integers(1, 8))):
        pruner = data.draw(st.sampled_from(["magnitude", "random"]))
        prior = {"kind": "skip", "width": data.draw(st.sampled_from([32, 128]))}
        images = [data.draw(st.sampled_from(PICTURES))]
        seed = data.draw(st.integers(0, 12))
        trials.append(trial_row(pruner, seed, prior=prior, images=images))
    frame = pd.DataFrame(trials).drop_duplicates("trial_id", ignore_index=True)
    levels = pd.DataFrame([level_row(trial) for trial in trials])
    found = identities(frame, levels)
    assert list(found["trial_id"]) == list(levels["trial_id"].unique())
    for place, trial_id in enumerate(found["trial_id"]):
        alone = identities(frame[frame["trial_id"] == trial_id], levels)
        assert found.iloc[[place]].astype(str).to_dict("records") == alone.astype(str).to_dict(
            "records"
        )


def test_a_seed_that_is_not_the_trials_own_stays_in_what_is_told_apart(
    trial_row: Callable[..., Any], transfer_row: Callable[..., Any], level_row: Callable[..., Any]
) -> None:
    trials = [trial_row("magnitude", seed, pruner={"kind": "oes", "seed": seed}) for seed in (1, 2)]
    trials += [transfer_row(trials[0], "chelsea", seed=seed) for seed in (1, 2)]
    levels = pd.DataFrame([level_row(trial) for trial in trials])
    found = identities(pd.DataFrame(trials), levels)
    assert found["method_key"].nunique() == 4


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(TEXT, KEYS), min_size=1, max_size=12))
def test_namesakes_are_told_apart_wherever_they_stand(rows: list[tuple[str, str]]) -> None:
    names, keys = (pd.Series(column) for column in zip(*rows, strict=True))
    found = distinct_names(names, keys, keys)
    for (name, key), label in zip(rows, found, strict=True):
        shared = {other for own, other in rows if own == name}
        width = json.loads(key)["width"]
        assert label == (f"{name} (width {width})" if len(shared) > 1 else name)
    assert list(found.categories) == sorted(set(found))
    categories = distinct_names(*(column.astype("category") for column in (names, keys, keys)))
    assert list(categories) == list(found)


def endings(*settings: dict[str, Any]) -> list[str]:
    """What names of these settings, which have one name, end with."""
    keys = pd.Series([json.dumps(own) for own in settings])
    names = pd.Series(["n"] * len(keys))
    return [label.removeprefix("n") for label in distinct_names(names, keys, keys)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (({"fit": {"steps": 20}}, {"fit": {"steps": 3000}}), ["20 steps", "3000 steps"]),
        (
            ({"fit": {"input_noise": 1 / 30}}, {"fit": {"input_noise": 0.0}}),
            ["input noise 0.03333", "input noise 0"],
        ),
        (({"rate": 0.1}, {"rate": 0.1 + 1e-9}), ["rate 0.1", "rate 0.100000001"]),
        (
            ({"fit": {"stopping": {"kind": "wmv"}}}, {"fit": {"stopping": {"kind": "held_out"}}}),
            ["stopping wmv", "stopping held_out"],
        ),
        (
            ({"prior": {"width": 8}, "fit": {"width": 1}}, {"prior": {"width": 9}}),
            ["fit.width 1, prior.width 8", "prior.width 9"],
        ),
        (
            ({"fit": {"steps": 9, "execution": "sparse"}}, {"fit": {"steps": 9}}),
            ["execution sparse", "default execution"],
        ),
        (
            tuple({"densities": [1.0, *([0.5] * count), 0.03]} for count in (8, 9)),
            [f"densities [1.0, {'0.5, ' * count}0.03]" for count in (8, 9)],
        ),
        (
            tuple({"name": "a" * 20 + last + "z" * 20} for last in "bc"),
            [f"name {'a' * 20}{last}{'z' * 20}" for last in "bc"],
        ),
        (
            tuple({"name": first + "a" * 40 + "z"} for first in "bc"),
            [f"name {first}aaaaaaaaaaa…aaaaaaaaaaaz" for first in "bc"],
        ),
    ],
)
def test_settings_are_said_shortly(settings: tuple[dict[str, Any], ...], said: list[str]) -> None:
    assert endings(*settings) == [f" ({words})" for words in said]


def test_of_many_differences_those_are_said_that_tell_apart() -> None:
    fits = [{"a": 0, "b": 0, "c": 0, "d": 0, "e": w, "f": 0} for w in (0, 1)]
    fits.append({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1})
    found = endings(*fits)
    assert found[0] == " (a 0, b 0, e 0, 3 more settings)"
    assert len(set(found)) == 3


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2)), unique_by=str, max_size=6
    )
)
def test_no_two_settings_get_one_name(rows: list[dict[str, Any]]) -> None:
    distinct = {json.dumps(row, sort_keys=True) for row in rows}
    assert len(set(endings(*map(json.loads, sorted(distinct))))) == len(distinct)


@given(rows=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=9))
def test_rows_are_grouped_in_the_order_of_their_firsts(rows: list[tuple[str, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["name", "size"])
    found = [[row.Index for row in group] for group in grouped(frame, "name", "size")]
    groups = frame.groupby(["name", "size"], sort=False)
    assert found == [list(group.index) for _, group in groups]
