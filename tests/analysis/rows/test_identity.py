"""Identities: what is worked out once for many trials is what each has by itself."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
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


@given(rows=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=9))
def test_rows_are_grouped_in_the_order_of_their_firsts(rows: list[tuple[str, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["name", "size"])
    found = [[row.Index for row in group] for group in grouped(frame, "name", "size")]
    groups = frame.groupby(["name", "size"], sort=False)
    assert found == [list(group.index) for _, group in groups]
