"""The tables: every column's name and type. Names are public API.

Times are naive UTC. Strings, not dictionaries: files hold a few rows each.
"""

import pyarrow as pa

from lip_ray.records import ENDS, PARTS

VERSION = 6
"""Of the layout and the columns below. A newer store is refused, an older one stays readable."""

VERSION_KEY = "lip_ray_schema"
"""Under which every file says its version too."""

_TEXTS = pa.list_(pa.string())

_FACETS = [
    ("setting", pa.string()),
    ("images", _TEXTS),
    ("image_keys", _TEXTS),
    ("image_settings", _TEXTS),
    *((f"{part}_{end}", pa.string()) for part in PARTS for end in ENDS),
    ("source_images", _TEXTS),
    ("source_tasks", _TEXTS),
    ("source_task", pa.string()),
    ("source_seed", pa.int64()),
    ("target", pa.string()),
    ("owns_masks", pa.bool_()),
    ("solver", pa.string()),
    ("m", pa.int32()),
    ("outlier_share", pa.float64()),
]
"""What a trial means; null in rows from before schema version 6, for which readers fill it in."""

_LEVEL_KEY = [("trial_id", pa.string()), ("level", pa.int32()), ("image", pa.string())]


SWEEPS = pa.schema(
    [
        ("sweep", pa.string()),
        ("sweep_id", pa.string()),
        ("position", pa.int32()),
        ("trial_id", pa.string()),
        ("levels", pa.int32()),
        ("spec", pa.string()),
        ("lip_ray_version", pa.string()),
        ("requested_at", pa.timestamp("us")),
    ]
)
"""One row a trial that a sweep asked for, in its order, whether or not it has begun."""

TRIALS = pa.schema(
    [
        ("trial_id", pa.string()),
        ("kind", pa.string()),
        ("pruner", pa.string()),
        ("prior", pa.string()),
        ("task", pa.string()),
        ("image", pa.string()),
        ("seed", pa.int64()),
        ("levels", pa.int32()),
        ("source_ids", pa.list_(pa.string())),
        ("travels", pa.string()),
        ("parameters", pa.int64()),
        ("macs_per_step", pa.int64()),
        ("spec", pa.string()),
        ("canonical", pa.string()),
        *_FACETS,
        ("lip_ray_version", pa.string()),
        ("torch_version", pa.string()),
        ("ray_version", pa.string()),
        ("python_version", pa.string()),
        ("host", pa.string()),
        ("device", pa.string()),
        ("started_at", pa.timestamp("us")),
    ]
)
"""One row a trial that has begun. Queries see `levels_done` and `outcome` beside these columns:
incomplete, given up where a run says so in `failures`, or as the worst of its levels ended."""

LEVELS = pa.schema(
    [
        *_LEVEL_KEY,
        ("kept", pa.int64()),
        ("total", pa.int64()),
        ("density", pa.float64()),
        ("kept_all", pa.int64()),
        ("total_all", pa.int64()),
        ("effective", pa.int64()),
        ("macs", pa.int64()),
        ("psnr_measured_db", pa.float64()),
        ("psnr_peak_db", pa.float64()),
        ("psnr_selected_db", pa.float64()),
        ("psnr_final_db", pa.float64()),
        ("ssim_peak", pa.float64()),
        ("ssim_selected", pa.float64()),
        ("ssim_final", pa.float64()),
        ("peak_step", pa.int32()),
        ("selected_step", pa.int32()),
        ("steps", pa.int32()),
        ("loss_final", pa.float64()),
        ("accuracy", pa.float64()),
        ("accuracy_final", pa.float64()),
        ("split", pa.string()),
        ("l2_per_pixel", pa.float64()),
        ("critic_gap", pa.float64()),
        ("frechet", pa.float64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("fit_s", pa.float64()),
        ("memory_mb", pa.float64()),
        ("host", pa.string()),
        ("device", pa.string()),
        ("threads", pa.int32()),
        ("finished_at", pa.timestamp("us")),
    ]
)
"""One row a level and image: the commit mark of everything else about it. Queries see
`effective_density`, `psnr_gap_db`, peak − selected, and `mse_selected`, in [0, 1] units, beside
these columns."""

CURVES = pa.schema(
    [
        *_LEVEL_KEY,
        ("step", pa.list_(pa.int32())),
        ("loss", pa.list_(pa.float32())),
        ("psnr_raw_db", pa.list_(pa.float32())),
        ("psnr_db", pa.list_(pa.float32())),
        ("statistic", pa.list_(pa.float32())),
    ]
)
"""One row a level and image: thinned traces as lists of equal length."""

MASKS = pa.schema(
    [
        ("trial_id", pa.string()),
        ("level", pa.int32()),
        ("position", pa.int32()),
        ("layer", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("kept", pa.int64()),
        ("total", pa.int64()),
        ("within", pa.int32()),
        ("bits", pa.binary()),
    ]
)
"""One row a level and layer, in the network's order: `bits` are the flattened booleans of the
layer's weights, packed eight to a byte, most significant first. Where `within` is not null there is
a bit only for each weight that the mask of that level keeps; the others are pruned. Queries see
`density`, the layer's own, beside these columns."""

_TENSORS = pa.schema(
    [
        ("trial_id", pa.string()),
        ("level", pa.int32()),
        ("position", pa.int32()),
        ("name", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("dtype", pa.string()),
        ("values", pa.binary()),
    ]
)

WEIGHTS = _TENSORS
"""One row a parameter or buffer that a level, and those below up to the next stored one, begin
with; nothing where the seed draws them. `values` are little-endian, row by row."""

NETWORKS = _TENSORS
"""One row a parameter or buffer of the generator that a level ended with; `values` likewise."""

RECONSTRUCTIONS = pa.schema(
    [
        *_LEVEL_KEY,
        ("role", pa.string()),
        ("step", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("png", pa.binary()),
    ]
)
"""One row a level, image and role: clean, measured, peak, selected or final; or samples, a sheet of
what a generator makes."""

FAILURES = pa.schema(
    [
        ("trial_id", pa.string()),
        ("kind", pa.string()),
        ("pruner", pa.string()),
        ("prior", pa.string()),
        ("task", pa.string()),
        ("image", pa.string()),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        ("cause", pa.string()),
        ("reason", pa.string()),
        ("traceback", pa.string()),
        ("source_id", pa.string()),
        ("host", pa.string()),
        ("lip_ray_version", pa.string()),
        ("failed_at", pa.timestamp("us")),
    ]
)
"""One row each time that a run gave a trial up, at the first level that was not in the store.
Queries see `open` beside these columns: whether the trial is incomplete to this day."""

_POINT_KEY = [("search", pa.string()), ("search_id", pa.string()), ("number", pa.int32())]

SCORES = pa.schema(
    [
        *_POINT_KEY,
        ("state", pa.string()),
        ("values", pa.list_(pa.float64())),
        ("reason", pa.string()),
        ("told_at", pa.timestamp("us")),
    ]
)
"""One row a point of a search that came to an end: complete, stopped, collapsed or failed. `values`
are one an objective, in their order."""

POINTS = pa.schema(
    [
        *_POINT_KEY,
        ("params", pa.string()),
        ("objectives", pa.string()),
        ("position", pa.int32()),
        ("trial_id", pa.string()),
        ("levels", pa.int32()),
        ("spec", pa.string()),
        ("problem", pa.string()),
        ("lip_ray_version", pa.string()),
        ("asked_at", pa.timestamp("us")),
    ]
)
"""One row a trial of a point that a search asked for; where its values do not go together, one row
without a trial and the `problem`. `params` and `objectives` are JSON. Queries see the point's score
beside these columns: `state`, `values`, `reason` and `told_at`; `losses`, the values turned so that
less is better; and `pareto`: whether the point is complete and no other complete point of its
search is at least as good in all and better in one. The view `pareto` has those, a row a point."""

TABLES: dict[str, pa.Schema] = {
    "sweeps": SWEEPS,
    "trials": TRIALS,
    "levels": LEVELS,
    "curves": CURVES,
    "masks": MASKS,
    "weights": WEIGHTS,
    "networks": NETWORKS,
    "reconstructions": RECONSTRUCTIONS,
    "failures": FAILURES,
    "scores": SCORES,
    "points": POINTS,
}
"""A score comes before its point: whoever lists files in this order finds a point for each."""

PACKED = frozenset({"masks", "networks", "weights"})
"""Tables worth compressing; the others' loose files grow by it, or hold PNGs."""
