"""Trials by the first digits of their ids."""

from collections.abc import Sequence
from difflib import get_close_matches

from lip_ray.store.paths import StoreError
from lip_ray.store.reader import Reader

SHOWN = 5
"""The most ids that a message lists."""


def trial_named(store: Reader, prefix: str) -> str:
    """The only trial's id that begins with these digits. Raises StoreError for none or several."""
    rows = store.sql("select distinct trial_id from trials order by all").to_pylist()
    ids = [str(row["trial_id"]) for row in rows]
    found = [trial_id for trial_id in ids if trial_id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise StoreError(f"{prefix} begins the ids of {len(found)} trials: {_listed(found)}")
    near = get_close_matches(prefix, {i[: len(prefix)] for i in ids}, n=SHOWN)
    candidates = [trial_id for trial_id in ids if trial_id.startswith(tuple(near))] or ids
    raise StoreError(
        f"no trial {prefix}; {'near' if near else 'trials there'} are: "
        f"{_listed(candidates) or 'none yet'}"
    )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
