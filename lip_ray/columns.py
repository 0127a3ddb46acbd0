r"""The registry of columns: all that is known of every table and view that queries see.

Arrow schemas and their version, `lip tables`, docs/tables.md, the objectives of a search and the
words on axes derive from it. Names are public API. Times are naive UTC.
"""

from dataclasses import dataclass, replace
from typing import Literal

Type = Literal[
    "string",
    "bool",
    "int32",
    "int64",
    "double",
    "binary",
    "timestamp[us]",
    "list of string",
    "list of int32",
    "list of float",
    "list of double",
]
"""Arrow types, as `lip tables` writes them."""

Unit = Literal["", "dB", "s", "MiB"]

UNITS: dict[Unit, str] = {"dB": "dB", "s": "seconds", "MiB": "2²⁰ bytes"}
"""The words by which the meaning of a column gives its unit."""

MEBIBYTE = 2**20
"""The bytes of a mebibyte, the unit of columns named `_mb` since the first version of the store."""


@dataclass(frozen=True)
class Column:
    """One column: its type, its meaning in words, and its title on axes."""

    name: str
    type: Type
    meaning: str
    unit: Unit = ""
    title: str = ""
    """The title on axes, without the unit; columns that nothing plots have none."""
    since: int = 1
    """The schema version that added it to its table; it is null in rows of older versions."""

    def but(self, meaning: str) -> "Column":
        """The same column with other attributes, for a table where it differs."""
        return replace(self, meaning=meaning)

    @property
    def is_number(self) -> bool:
        """Whether its values are single numbers."""
        return self.type in ("int32", "int64", "double")

    @property
    def axis_title(self) -> str:
        """The title on axes, with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Table:
    """One table, or one view, which is computed and has no files."""

    name: str
    about: str
    stored: tuple[Column, ...] = ()
    """The columns in its files, in their order."""
    derived: tuple[Column, ...] = ()
    """The columns that queries see in addition to the stored ones."""
    since: int = 1
    """The schema version that added it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that queries see, in their order."""
        return self.stored + self.derived

    def __getitem__(self, name: str) -> Column:
        """The column with that name. Raises KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


TRIAL_ID = Column(
    "trial_id",
    "string",
    "SHA-256 of the trial's canonical spec, the first 16 hexadecimal digits",
)
LEVEL = Column("level", "int32", "of the ladder; 0 is dense")
IMAGE = Column(
    "image", "string", "label of the image; several that share a network are joined by ' + '"
)
LEVEL_KEY = (TRIAL_ID, LEVEL, IMAGE)

KIND = Column("kind", "string", "trajectory, transfer, classification, generator or reconstruction")
KIND_ASKED_FOR = replace(KIND, since=6)
PRUNER = Column("pruner", "string", "criterion by which weights were pruned")
PRIOR = Column("prior", "string", "kind of network, or of what takes its place")
TASK = Column("task", "string", "kind of degradation")
SEED = Column("seed", "int64", "of all draws")
TRAVELS = Column(
    "travels",
    "string",
    "what of a ticket a transfer took over: mask, mask_and_weights, layer_densities",
    since=2,
)
MACS_PER_STEP = Column(
    "macs_per_step",
    "int64",
    "multiply-adds of one step of the whole network on the first image, forward and backward: what "
    "dense execution computes at every level, whatever its mask",
    since=2,
)
SPEC = Column("spec", "string", "JSON, defaults included")
LEVELS_WHEN_COMPLETE = Column("levels", "int32", "when complete")
POSITION = Column("position", "int32", "place in the order, from 0")
SHAPE = Column("shape", "list of int32", "of the tensor")
HOST = Column("host", "string", "name of the machine")
DEVICE = Column("device", "string", "cpu, or the GPU's name")
CPU = Column(
    "cpu",
    "string",
    "model of the machine's CPU and the vector instructions that PyTorch uses there; null in rows "
    "from before schema version 10",
    since=10,
)
EPOCH = Column(
    "epoch",
    "int32",
    "of the defaults that the trial was asked for with: 1 before they were put right, 2 since",
    since=7,
)
LIP_RAY_VERSION = Column("lip_ray_version", "string", "that wrote the row")
OUTCOME = Column("outcome", "string", "budget, stopped, collapsed, diverged or failed")
UNFINISHED = Column(
    "unfinished",
    "bool",
    "whether the best step is in the last hundredth of the fit, so that more steps would restore "
    "better; null in rows from before schema version 7",
    since=7,
)
REASON = Column("reason", "string", "of the outcome, one line; may be empty")

KEPT = Column("kept", "int64", "prunable weights left", title="prunable weights kept")
TOTAL = Column("total", "int64", "prunable weights of the dense network", title="prunable weights")
DENSITY = Column("density", "double", "kept ÷ total, in (0, 1]", title="density (kept ÷ prunable)")
EFFECTIVE_DENSITY = Column(
    "effective_density", "double", "kept weights on a path from input to output ÷ total"
)
MACS = Column(
    "macs",
    "int64",
    "multiply-adds of one forward pass over one image with the kept weights alone: as many are "
    "computed in sparse execution only; null in rows from before schema version 5",
    title="multiply-adds of a forward pass",
    since=5,
)
PSNR_PEAK_DB = Column(
    "psnr_peak_db",
    "double",
    "highest PSNR in dB over the fit, found with the clean image: an oracle",
    unit="dB",
    title="Peak PSNR over the fit, an oracle",
)
PSNR_SELECTED_DB = Column(
    "psnr_selected_db",
    "double",
    "PSNR in dB of the step that the stopping rule chose, without the clean image",
    unit="dB",
    title="PSNR of the selected step",
)
PSNR_FINAL_DB = Column(
    "psnr_final_db",
    "double",
    "PSNR in dB after the last step",
    unit="dB",
    title="PSNR of the last step",
)
MSE_SELECTED = Column(
    "mse_selected", "double", "mean squared error at the selected step, in [0, 1] units"
)
SPLIT = Column(
    "split", "string", "of a reconstructed image: in_range, training, held_out or unknown", since=3
)
L2_PER_PIXEL = Column(
    "l2_per_pixel",
    "double",
    "mean squared error of the selected reconstruction, in the generator's own range of values",
    title="mean squared error per pixel",
    since=3,
)
FIT_S = Column(
    "fit_s",
    "double",
    "seconds of fitting, shared evenly by the images of a level",
    unit="s",
    title="seconds of fitting",
)
MEMORY_MB = Column(
    "memory_mb",
    "double",
    "peak memory in 2²⁰ bytes: tensors on a GPU; on a CPU the whole process",
    unit="MiB",
    title="peak memory",
)

HEIGHT = Column("height", "int32", "of the full image, in pixels")
WIDTH = Column("width", "int32", "of the full image, in pixels")

POINT_KEY = (
    Column("search", "string", "name of the search"),
    Column("search_id", "string", "of its space and objectives"),
    Column("number", "int32", "of the point, from 0, in the order of asking"),
)
PARAMS = Column("params", "string", "JSON: the value of each searched field")
OBJECTIVES_OF_A_SEARCH = Column("objectives", "string", "JSON: column, direction and level of each")
STATE = Column("state", "string", "complete, stopped, collapsed or failed")
VALUES = Column("values", "list of double", "one an objective, in their order")
LOSSES = Column("losses", "list of double", "values, turned so that less is better")
TOLD_AT = Column("told_at", "timestamp[us]", "UTC")

SETTING = Column(
    "setting", "string", "the same for trials that differ by their seeds alone", since=6
)
SOLVER = Column("solver", "string", "of a reconstruction", since=6)
M = Column("m", "int32", "number of measurements", since=6)
OUTLIER_SHARE = Column("outlier_share", "double", "of the measurements, in [0, 1]", since=6)
SEEDS = Column("seeds", "int64", "how many")

TENSORS = (
    TRIAL_ID,
    LEVEL,
    POSITION,
    Column("name", "string", "in the state dict"),
    SHAPE,
    Column("dtype", "string", "as NumPy writes it"),
    Column("values", "binary", "little-endian, row by row"),
)

SWEEPS = Table(
    "sweeps",
    "One row per trial that a sweep asked for, whether or not it has begun.",
    stored=(
        Column("sweep", "string", "name of the sweep"),
        Column("sweep_id", "string", "of its trials"),
        POSITION,
        TRIAL_ID,
        LEVELS_WHEN_COMPLETE.but("that were asked for"),
        KIND_ASKED_FOR,
        SPEC,
        LIP_RAY_VERSION,
        Column("requested_at", "timestamp[us]", "UTC"),
    ),
)

PARTS = {
    "task": "the task, with how hard it is",
    "network": "the prior and its fit or, of a generator, its training",
    "method": "how tickets were found and, if elsewhere, where; of a reconstruction the solver",
    "dense": "the dense fit that the ladder begins with",
    "finder": "how tickets were found, wherever",
    "source": "where tickets were found",
    "outliers": "what is wrong with the measurements",
}
"""The facets that are parts; each has three columns, which begin with these words."""


def _said(part: str, meaning: str) -> tuple[Column, ...]:
    return (
        Column(f"{part}_name", "string", meaning, since=6),
        Column(f"{part}_key", "string", "JSON without defaults, equal for the same", since=6),
        Column(f"{part}_settings", "string", "JSON, defaults included", since=6),
    )


FACETS = (
    SETTING,
    Column("images", "list of string", "their labels, as rows of levels name them", since=6),
    Column("image_keys", "list of string", "of each image, JSON as of other keys", since=6),
    Column("image_settings", "list of string", "of each image, JSON, defaults included", since=6),
    *(column for part, meaning in PARTS.items() for column in _said(part, meaning)),
    Column(
        "source_images",
        "list of string",
        "labels of the images that tickets were found on; empty where unknown",
        since=6,
    ),
    Column("source_tasks", "list of string", "kinds of the tasks, likewise", since=6),
    Column("source_task", "string", "these tasks, with how hard they are", since=6),
    Column("source_seed", "int64", "seed of the trial that tickets come from", since=6),
    Column(
        "target",
        "string",
        "what tickets were found to fit: measured, or clean with the ground truth",
        since=6,
    ),
    Column("owns_masks", "bool", "whether it found masks itself, for images to restore", since=6),
    SOLVER,
    M,
    OUTLIER_SHARE,
)
"""What a trial means, as its class says; in older stores it is read off the stored specs."""

TRIALS = Table(
    "trials",
    "One row per trial that has begun.",
    stored=(
        TRIAL_ID,
        KIND,
        PRUNER,
        PRIOR,
        TASK,
        IMAGE,
        SEED,
        LEVELS_WHEN_COMPLETE,
        Column("source_ids", "list of string", "trials whose tickets it takes", since=2),
        TRAVELS,
        Column(
            "parameters",
            "int64",
            "weights, biases and normalisation of the dense network",
            since=2,
        ),
        MACS_PER_STEP,
        SPEC,
        Column(
            "canonical",
            "string",
            "the JSON that the id is the hash of: no defaults, nothing that only says where",
            since=2,
        ),
        *FACETS,
        EPOCH,
        LIP_RAY_VERSION,
        Column("torch_version", "string", "that it began with"),
        Column("ray_version", "string", "that it began with"),
        Column("python_version", "string", "that it began with"),
        HOST,
        DEVICE,
        Column("started_at", "timestamp[us]", "UTC"),
    ),
    derived=(
        Column("levels_done", "int32", "committed so far"),
        OUTCOME.but("incomplete, given up, or the worst of its levels' outcomes"),
    ),
)

LEVELS = Table(
    "levels",
    "One row per level and image.",
    stored=(
        *LEVEL_KEY,
        KEPT,
        TOTAL,
        DENSITY,
        Column(
            "kept_all",
            "int64",
            "parameters left: kept weights, biases and normalisation",
            title="parameters left, biases and all",
        ),
        Column(
            "total_all",
            "int64",
            "parameters of the dense network",
            title="parameters, biases and all",
        ),
        Column(
            "effective",
            "int64",
            "kept weights on a path from input to output",
            title="weights on a path from input to output",
        ),
        MACS,
        Column(
            "psnr_measured_db",
            "double",
            "PSNR in dB of the measurement, as an image",
            unit="dB",
            title="PSNR of the measurement",
        ),
        PSNR_PEAK_DB,
        PSNR_SELECTED_DB,
        PSNR_FINAL_DB,
        Column(
            "ssim_peak",
            "double",
            "SSIM at the peak step, in [−1, 1]",
            title="peak SSIM over the fit, an oracle",
        ),
        Column(
            "ssim_selected",
            "double",
            "SSIM at the selected step",
            title="SSIM of the selected step",
        ),
        Column("ssim_final", "double", "SSIM after the last step", title="SSIM of the last step"),
        Column("peak_step", "int32", "at which PSNR is highest", title="step of the peak PSNR"),
        Column("selected_step", "int32", "that the stopping rule chose", title="selected step"),
        Column("steps", "int32", "taken", title="steps of the fit"),
        Column("loss_final", "double", "at the last step", title="loss at the last step"),
        Column(
            "accuracy",
            "double",
            "of a classifier on the held-out test set, in [0, 1], at the epoch that validation "
            "chose",
            title="test accuracy, by validation",
            since=2,
        ),
        Column(
            "accuracy_final",
            "double",
            "the same after the last epoch",
            title="test accuracy after the last epoch",
            since=2,
        ),
        SPLIT,
        L2_PER_PIXEL,
        Column(
            "critic_gap",
            "double",
            "of a generator: mean score of real images less that of generated ones",
            title="critic's score, real − generated",
            since=3,
        ),
        Column(
            "frechet",
            "double",
            "of a generator: Fréchet distance to training images, by their pixels",
            title="Fréchet distance to training images",
            since=3,
        ),
        OUTCOME,
        UNFINISHED,
        REASON,
        FIT_S,
        MEMORY_MB,
        HOST,
        DEVICE,
        CPU,
        Column("threads", "int32", "of PyTorch", title="threads"),
        Column(
            "execution",
            "string",
            "of the steps: dense computes all weights, sparse the kept ones alone; null where no "
            "weights were fitted to an image, and in rows from before schema version 7",
            since=7,
        ),
        Column("finished_at", "timestamp[us]", "UTC"),
    ),
    derived=(
        EFFECTIVE_DENSITY,
        Column(
            "psnr_gap_db",
            "double",
            "peak − selected: what the stopping rule loses to an oracle, in dB",
            unit="dB",
        ),
        MSE_SELECTED,
        Column(
            "below_measured",
            "bool",
            "whether the peak PSNR is below that of the measurement itself; null where either is "
            "not known",
        ),
    ),
)
"""Results of levels. A file of this table commits its level: it is written last."""

CURVES = Table(
    "curves",
    "One row per level and image: thinned traces of the fit.",
    stored=(
        *LEVEL_KEY,
        Column("step", "list of int32", "thinned: about 250 of all"),
        Column("loss", "list of float", "at these steps"),
        Column("psnr_raw_db", "list of float", "PSNR in dB of the network's own output", unit="dB"),
        Column("psnr_db", "list of float", "PSNR in dB of the averaged output", unit="dB"),
        Column("statistic", "list of float", "the stopping rule's latest; NaN before its first"),
    ),
)
"""Thinned traces. The lists of a row are equally long; those of PSNRs are empty where no clean
image is known."""

CHOICES = Table(
    "choices",
    "One row per level, image and stopping rule: the step that it chose. Several rules watch each "
    "fit.",
    stored=(
        *LEVEL_KEY,
        Column("rule", "string", "wmv, emv, discrepancy or held_out", since=7),
        Column(
            "signal",
            "string",
            "what the rule watches and would report: average of the outputs, or each output",
            since=7,
        ),
        Column("settings", "string", "of the rule, as JSON, all lengths in steps", since=7),
        Column(
            "in_force",
            "bool",
            "whether it is the rule of the fit's spec, so that its choice is `selected`",
            since=7,
        ),
        Column("step", "int32", "that it chose", since=7),
        Column("psnr_db", "double", "PSNR in dB of the signal at that step", unit="dB", since=7),
        Column("statistic", "double", "of the rule at that step", since=7),
        Column(
            "fired",
            "bool",
            "whether the choice was final before the fit ended; otherwise it is the best so far",
            since=7,
        ),
        Column(
            "noise",
            "double",
            "standard deviation of the noise that the rule went by, for images in [0, 1]",
            since=7,
        ),
    ),
    since=7,
)

MASKS = Table(
    "masks",
    "One row per level and layer.",
    stored=(
        TRIAL_ID,
        LEVEL,
        POSITION,
        Column("layer", "string", "state-dict name of the weights"),
        SHAPE,
        KEPT.but("weights of the layer left"),
        TOTAL.but("weights of the layer"),
        Column(
            "within",
            "int32",
            "level whose kept weights the bits are of; null where they are of all weights",
            since=2,
        ),
        Column("bits", "binary", "booleans, eight to a byte, most significant first"),
    ),
    derived=(DENSITY,),
)
"""Masks, with layers in the network's order. Where `within` is not null, there is a bit only for
each weight that the mask of that level keeps; the others are pruned."""

WEIGHTS = Table(
    "weights",
    "One row per parameter that a level begins with, where no seed draws it.",
    stored=TENSORS,
    since=2,
)
"""Stored weights, buffers included. Levels below begin with them too, up to the next level that has
its own."""

NETWORKS = Table(
    "networks",
    "One row per parameter of the generator that a level ended with.",
    stored=TENSORS,
    since=3,
)
"""Networks at the end of a level, buffers included."""

RECONSTRUCTIONS = Table(
    "reconstructions",
    "One row per picture of a level and image.",
    stored=(
        *LEVEL_KEY,
        Column(
            "role", "string", "clean, measured, peak, selected, final, or samples of a generator"
        ),
        Column("step", "int32", "at which it was taken; null for what was given"),
        HEIGHT,
        WIDTH,
        Column("png", "binary", "the picture, in a PNG file"),
    ),
)

PICTURES = Table(
    "pictures",
    "One row per picture of a level and image at full size, where such are kept.",
    stored=(
        *LEVEL_KEY,
        Column("role", "string", "clean, measured, peak, selected or final", since=8),
        Column("step", "int32", "at which it was taken; null for what was given", since=8),
        HEIGHT,
        WIDTH,
        Column("depth", "int32", "bits a channel of the input: 8, or 16 for deeper ones", since=8),
        Column("png", "binary", "the picture, in a PNG file of 16 bits a channel", since=8),
    ),
    since=8,
)
"""Pictures at full size. 16 bits are far finer than any restoration is right (rounding alone makes
a PSNR of 107 dB), are what every program reads, and take no more room than half-precision floats,
which are coarser near white than a 16-bit input."""

OMISSIONS = Table(
    "omissions",
    "A row a level and table whose rows were left out when the store was published.",
    stored=(
        replace(TRIAL_ID, since=9),
        replace(LEVEL, since=9),
        Column("omitted", "string", "the table that lacks the rows of this level", since=9),
    ),
    since=9,
)
"""What `lip store publish` left out. A level whose rows are there lacks nothing, whatever is said
here."""

FAILURES = Table(
    "failures",
    "A row each time that a run gave a trial up.",
    stored=(
        TRIAL_ID,
        KIND,
        PRUNER,
        PRIOR,
        TASK,
        IMAGE,
        SEED,
        LEVEL.but("the first that the store lacked"),
        Column("cause", "string", "error, died, time_limit, out_of_memory or source"),
        REASON,
        Column("traceback", "string", "the worker's last; empty where there is none"),
        Column("source_id", "string", "the source that was given up, where that is the cause"),
        HOST.but("of the driver"),
        LIP_RAY_VERSION,
        Column("failed_at", "timestamp[us]", "UTC"),
    ),
    derived=(Column("open", "bool", "whether the trial is incomplete to this day"),),
    since=4,
)

SCORES = Table(
    "scores",
    "One row per point of a search that came to an end.",
    stored=(*POINT_KEY, STATE, VALUES, REASON, TOLD_AT),
    since=4,
)

POINTS = Table(
    "points",
    "One row per trial of a point that a search asked for.",
    stored=(
        *POINT_KEY,
        PARAMS,
        OBJECTIVES_OF_A_SEARCH,
        POSITION.but("of the trial among the point's"),
        TRIAL_ID,
        LEVELS_WHEN_COMPLETE.but("of the trial, when complete"),
        KIND_ASKED_FOR.but("kind of the trial"),
        SPEC,
        Column("problem", "string", "why the values do not go together; empty where they do"),
        LIP_RAY_VERSION,
        Column("asked_at", "timestamp[us]", "UTC"),
    ),
    derived=(
        STATE.but("complete, stopped, collapsed or failed; null while in flight"),
        VALUES,
        LOSSES,
        Column(
            "unfit",
            "string",
            "why its values are on no front: of a fit that is unfinished or below the measurement",
        ),
        Column(
            "pareto",
            "bool",
            "whether it is complete and fit, and no other such point is at least as good in all "
            "and better in one",
        ),
        REASON,
        TOLD_AT,
    ),
    since=4,
)
"""Points of searches. A point whose values do not go together has one row, without a trial."""

PARETO = Table(
    "pareto",
    "One row per point on the front of its search.",
    derived=(*POINT_KEY, PARAMS, OBJECTIVES_OF_A_SEARCH, VALUES, LOSSES),
)

SENSING = Table(
    "sensing",
    "One row per level and image of a reconstruction from few measurements.",
    derived=(
        *LEVEL_KEY,
        SPLIT,
        PRUNER,
        PRIOR,
        TASK,
        SOLVER,
        M,
        OUTLIER_SHARE,
        SEED,
        KEPT,
        TOTAL,
        DENSITY,
        PSNR_SELECTED_DB,
        PSNR_PEAK_DB,
        PSNR_FINAL_DB,
        MSE_SELECTED,
        L2_PER_PIXEL,
        Column(
            "psnr_floor_db",
            "double",
            "PSNR in dB of the best fit found of the same generator to the image itself",
            unit="dB",
        ),
    ),
)

TIMINGS = Table(
    "timings",
    "One row per kind of fit: what it took.",
    derived=(
        KIND,
        PRIOR,
        TASK,
        IMAGE,
        DEVICE,
        HEIGHT.but("of the images, in pixels"),
        WIDTH.but("of the images, in pixels"),
        MACS_PER_STEP,
        Column("trials", "int64", "how many"),
        Column("fits", "int64", "how many"),
        Column(
            "step_s",
            "double",
            "median seconds of a step, all images of a level together",
            unit="s",
        ),
        FIT_S.but("median seconds of a fit, all images of a level together"),
        MEMORY_MB.but("median of the levels' peaks, in 2²⁰ bytes"),
    ),
)

SETTINGS = Table(
    "settings",
    "One row per trial: which trials differ by their seeds alone.",
    derived=(TRIAL_ID, SETTING),
)

FRONTIER = Table(
    "frontier",
    "One row per setting, image and level of trajectories and transfers: means over seeds.",
    derived=(
        KIND,
        TASK,
        IMAGE,
        PRIOR,
        PRUNER,
        TRAVELS,
        SETTING,
        LEVEL,
        KEPT,
        TOTAL,
        DENSITY,
        EFFECTIVE_DENSITY.but("mean over seeds"),
        MACS.but("multiply-adds of a forward pass with the kept weights, mean over seeds"),
        FIT_S.but("mean seconds of a fit"),
        SEEDS,
        Column("n", "int64", "fits that have a selected PSNR"),
        PSNR_SELECTED_DB.but("mean selected PSNR in dB"),
        Column(
            "psnr_selected_sd_db",
            "double",
            "its sample standard deviation over seeds, in dB; null below two",
            unit="dB",
        ),
        PSNR_PEAK_DB.but("mean peak PSNR in dB, an oracle"),
        PSNR_FINAL_DB.but("mean PSNR in dB after the last step"),
        Column(
            "broken",
            "int64",
            "fits that collapsed, diverged or failed; a collapsed one's PSNR is in the mean",
        ),
        Column(
            "unfinished_fits", "int64", "fits that are unfinished; their PSNRs are in the means"
        ),
    ),
)

MATCHING = Table(
    "matching",
    "One row per study and way of finding tickets: down to where it stays as good as dense, by "
    "means, as the report's verdicts estimate it. Unfinished fits, and those whose dense network "
    "is unfinished or worse than the measurement, are left out. The bounds of chance need "
    "Student's t and are in the report and its `matching_table` alone.",
    derived=(
        TASK,
        PRIOR,
        PRUNER,
        TRAVELS,
        Column("method", "string", "how tickets were found and, if elsewhere, where"),
        SETTING.but("the same for trials that differ by seeds and images alone"),
        Column("images", "int64", "how many; each has one vote"),
        SEEDS.but("the most that an image has"),
        Column("margin_db", "double", "how far below dense still matches, in dB", unit="dB"),
        Column(
            "matching_density",
            "double",
            "the least density down to which, level by level, the mean stays within the margin",
        ),
        Column("difference_db", "double", "mean of selected − dense there, in dB", unit="dB"),
        Column(
            "lost_density",
            "double",
            "the next density, the first beyond the margin; null where none is",
        ),
        Column("lost_difference_db", "double", "mean of selected − dense there, in dB", unit="dB"),
        Column(
            "estimate",
            "double",
            "the density between these two where the mean crosses the margin, log-linear; null "
            "where one of them is dense or missing",
        ),
    ),
)

TRANSFER = Table(
    "transfer",
    "One row per level of a transfer, beside the native ticket.",
    derived=(
        TRIAL_ID,
        LEVEL,
        PRIOR,
        PRUNER,
        TRAVELS,
        Column(
            "source_image",
            "string",
            "on which the ticket was found, several joined by ' + '; null where unknown",
        ),
        Column("source_task", "string", "with which the ticket was found, likewise"),
        IMAGE,
        TASK,
        SEED,
        KEPT,
        TOTAL,
        DENSITY,
        PSNR_SELECTED_DB,
        PSNR_PEAK_DB,
        PSNR_FINAL_DB,
        Column(
            "psnr_native_db",
            "double",
            "selected PSNR in dB of the ticket that was found on this very image and task: same "
            "network, fit, seed and number of weights",
            unit="dB",
        ),
        Column(
            "to_native_db",
            "double",
            "selected − native, in dB; null where either fit is unfinished",
            unit="dB",
        ),
        UNFINISHED,
    ),
)

REGISTRY = {
    table.name: table
    for table in (
        SWEEPS,
        TRIALS,
        LEVELS,
        CURVES,
        CHOICES,
        MASKS,
        WEIGHTS,
        NETWORKS,
        RECONSTRUCTIONS,
        PICTURES,
        OMISSIONS,
        FAILURES,
        SCORES,
        POINTS,
        PARETO,
        SENSING,
        TIMINGS,
        SETTINGS,
        FRONTIER,
        MATCHING,
        TRANSFER,
    )
}
r"""All tables and views, in the order of the documentation.

Scores come before points: whoever lists the files of tables in this order finds a point for each
score.
"""

VERSION = max(
    max(table.since, column.since) for table in REGISTRY.values() for column in table.stored
)
"""The version of the schema: the latest that added a column or a table. Stores of newer versions
are refused, those of older ones stay readable."""

OBJECTIVES = tuple(
    column.name for column in LEVELS.stored if column.is_number and column not in LEVEL_KEY
)
"""The numeric columns of levels that a search may maximise or minimise."""
