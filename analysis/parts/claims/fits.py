"""The fits that a claim is about, picked by SQL and paired by image, task and seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from lip_ray.claims import Claim, Claims
from lip_ray.errors import UserError
from lip_ray.records import Outcome
from lip_ray.store import QueryError, Reader

OF_TRIALS = (
    *("kind", "pruner", "prior", "task", "seed", "travels", "target", "setting"),
    *("task_name", "task_key", "network_name", "network_key", "method_name", "method_key"),
    *("dense_key", "source_name", "source_key", "source_task", "source_seed", "solver", "m"),
    *("outlier_share", "method_settings", "network_settings", "parameters"),
)
"""The columns of `trials` that conditions may name; those of `levels` are all there."""

Side = Literal["first", "second"]

FITS = f"""
select level.*, {", ".join(f"trial.{name}" for name in OF_TRIALS)},
       trial.source_images, array_to_string(trial.source_images, ' + ') as source_image,
       coalesce(trial.image_keys[list_position(trial.images, level.image)], level.image)
           as image_key,
       coalesce(asked.sweeps, []) as sweeps
from levels as level join trials as trial using (trial_id)
left join (select trial_id, list(distinct sweep) as sweeps from sweeps group by trial_id) as asked
    using (trial_id)
"""
"""One row a fit: what `levels` has of it, its trial, and the sweeps that asked for that."""

ONE = ["image_key", "task_key", "seed"]
"""What both fits of a pair have in common."""

PSNRS = [f"psnr_{which}_db" for which in ("peak", "selected", "final")]

SAME = ["dense_key", "kept", "total"]
"""Where these are equal, several fits are one fit that several ladders begin with."""


@dataclass(frozen=True, kw_only=True)
class Fits:
    """All fits of a store, those that failed as their measurements, and which of them each side of
    each claim picks."""

    rows: pd.DataFrame
    picked: pd.DataFrame
    """A column of flags for each side."""

    @classmethod
    def of(cls, store: Reader, claims: Claims) -> "Fits":
        """One query answers all conditions.

        Raises QueryError for SQL that is wrong, naming the first claim in which it is.
        """
        conditions = dict(_conditions(claims))
        try:
            found = store.sql(_query(claims, conditions)).to_pandas()
        except QueryError:
            for flag, condition in conditions.items():
                _try(store, claims, flag, condition)
            raise
        rows = found.drop(columns=[*conditions])
        moved = (rows["kind"] == "transfer") & (rows["source_image"] != rows["image"])
        rows = _restored(rows.assign(origin=rows["source_image"].where(moved, "")))
        return cls(rows=rows, picked=found[[*conditions]].astype(bool))


def _conditions(claims: Claims) -> Iterator[tuple[str, str]]:
    """By the name of its flag what picks the fits of one side of a claim."""
    for claim in claims.claims:
        for side in ("first", "second"):
            if condition := getattr(claim, side):
                yield _flag(claim, side), f"({claim.where}\n) and ({condition}\n)"


def _flag(claim: Claim, side: Side) -> str:
    return f"{claim.name}, {side}"


def _query(claims: Claims, conditions: Mapping[str, str]) -> str:
    named = "".join(f", ({condition}\n) as {name}" for name, condition in claims.fits.items())
    flags = "".join(
        f', coalesce({condition}, false) as "{flag}"' for flag, condition in conditions.items()
    )
    return f"select *{flags} from (select *{named} from ({FITS}))"


def _try(store: Reader, claims: Claims, flag: str, condition: str) -> None:
    try:
        store.sql(_query(claims, {flag: condition}))
    except QueryError as error:
        raise QueryError(f"claim {flag}: {error}") from error


def side_of(found: Fits, claim: Claim, side: Side) -> pd.DataFrame:
    """The fits of one side of a claim, each once.

    Raises UserError where several different fits of one image, task, seed and source are picked: a
    claim has to say which it means.
    """
    fits = found.rows[found.picked[_flag(claim, side)]]
    dense = fits["kept"] == fits["total"]
    key = [*ONE, "origin"]
    once = pd.concat([fits[dense].drop_duplicates([*key, *SAME]), fits[~dense]]).sort_values(key)
    twice = once[once.duplicated(key, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        same = twice[(twice[key] == first[key]).all(axis=1)]
        raise UserError(
            f"claim {claim.name}, {side}: {len(same)} different fits of {first['image']}, "
            f"{first['task_name']}, seed {first['seed']}: a narrower condition picks one (they are "
            f"{', '.join(sorted(map(_described, same.itertuples())))})"
        )
    return once


def _restored(rows: pd.DataFrame) -> pd.DataFrame:
    """The fits with what anybody would have of them.

    A fit that is worse than its measurement even at its best step has `failed`. It counts as the
    measurement itself, whether or not it is finished: how far below it is means nothing. A network
    that collapsed is `dead`, even where its constant output is nearer to a smooth photo than the
    noisy measurement is.
    """
    fits = rows.astype(dict.fromkeys([*PSNRS, "psnr_measured_db"], float))
    failed, unfinished = (
        fits[name].astype("boolean").fillna(False).astype(bool)
        for name in ("below_measured", "unfinished")
    )
    counted = {name: fits[name].mask(failed, fits["psnr_measured_db"]) for name in PSNRS}
    dead = fits["outcome"] == Outcome.COLLAPSED.value
    return fits.assign(**counted, failed=failed, unfinished=unfinished & ~failed, dead=dead)


def pairs_of(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Each first fit with the second of its image, task and seed and, where tickets of both sides
    were found on other images, of its `origin`; columns of the second end in `_second`."""
    both = bool((first["origin"] != "").any() and (second["origin"] != "").any())
    beside = second[[*ONE, "unfinished", "failed", *PSNRS, *(["origin"] * both)]]
    return first.merge(beside, on=[*ONE, *(["origin"] * both)], suffixes=("", "_second"))


def _described(row: Any) -> str:
    return f"{row.method_name} at {row.density:.3g} of trial {row.trial_id}"
