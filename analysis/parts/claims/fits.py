"""The fits that a claim is about, picked by SQL and paired by image, task and seed."""

from typing import Any, Literal

import pandas as pd

from lip_ray.claims import Claim, Claims
from lip_ray.errors import UserError
from lip_ray.store import Reader

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
           as image_key
from levels as level join trials as trial using (trial_id)
"""
"""One row a fit: what `levels` has of it, and its trial."""

ONE = ["image_key", "task_key", "seed"]
"""What both fits of a pair have in common."""

PSNRS = [f"psnr_{which}_db" for which in ("peak", "selected", "final")]

SAME = ["dense_key", "kept", "total"]
"""Where these are equal, several fits are one fit that several ladders begin with."""


def picked(store: Reader, claims: Claims, claim: Claim, side: Side) -> pd.DataFrame:
    """The fits of one side of a claim, each once, those that failed as their measurements.

    Raises QueryError for SQL that is wrong, UserError where several different fits of one image,
    task, seed and source are picked: a claim has to say which it means.
    """
    named = "".join(f", ({condition}\n) as {name}" for name, condition in claims.fits.items())
    chosen = f"({claim.where}\n) and ({getattr(claim, side)}\n)"
    rows = store.sql(f"from (select *{named} from ({FITS})) where {chosen}").to_pandas()
    moved = (rows["kind"] == "transfer") & (rows["source_image"] != rows["image"])
    fits = _restored(rows.assign(origin=rows["source_image"].where(moved, "")))
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
    measurement itself, whether or not it is finished: how far below it is means nothing.
    """
    fits = rows.astype(dict.fromkeys([*PSNRS, "psnr_measured_db"], float))
    failed = fits["psnr_peak_db"] < fits["psnr_measured_db"]
    unfinished = fits["unfinished"].astype("boolean").fillna(False).astype(bool)
    counted = {name: fits[name].mask(failed, fits["psnr_measured_db"]) for name in PSNRS}
    return fits.assign(**counted, failed=failed, unfinished=unfinished & ~failed)


def pairs_of(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Each first fit with the second of its image, task and seed and, where tickets of both sides
    were found on other images, of its `origin`; columns of the second end in `_second`."""
    both = bool((first["origin"] != "").any() and (second["origin"] != "").any())
    beside = second[[*ONE, "unfinished", "failed", *PSNRS, *(["origin"] * both)]]
    return first.merge(beside, on=[*ONE, *(["origin"] * both)], suffixes=("", "_second"))


def _described(row: Any) -> str:
    return f"{row.method_name} at {row.density:.3g} of trial {row.trial_id}"
