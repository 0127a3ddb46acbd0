"""What every column means, with its unit: the words behind `lip tables` and docs/tables.md."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from lip_ray.store.paths import QueryError
from lip_ray.store.views import schemas

SHARED: Mapping[str, str] = {
    "trial_id": "SHA-256 of the trial's canonical spec, the first 16 hexadecimal digits",
    "level": "of the ladder; 0 is dense",
    "image": "label of the image; several that share a network are joined by ' + '",
    "kind": "trajectory, transfer, classification, generator or reconstruction",
    "pruner": "criterion by which weights were pruned",
    "prior": "kind of network, or of what takes its place",
    "task": "kind of degradation",
    "seed": "of all draws",
    "travels": "what of a ticket a transfer took over: mask, mask_and_weights, layer_densities",
    "spec": "JSON, defaults included",
    "kept": "prunable weights left",
    "total": "prunable weights of the dense network",
    "density": "kept ÷ total, in (0, 1]",
    "effective_density": "kept weights on a path from input to output ÷ total",
    "macs_per_step": "multiply-adds of one dense step on the first image, forward and backward",
    "host": "name of the machine",
    "device": "cpu, or the GPU's name",
    "lip_ray_version": "that wrote the row",
    "outcome": "budget, stopped, collapsed, diverged or failed",
    "reason": "of the outcome, one line; may be empty",
    "position": "place in the order, from 0",
    "shape": "of the tensor",
    "solver": "of a reconstruction",
    "setting": "the same for trials that differ by their seeds alone",
    "seeds": "how many",
    "psnr_selected_db": "PSNR in dB of the step that the stopping rule chose, without the clean "
    "image",
    "psnr_peak_db": "highest PSNR in dB over the fit, found with the clean image: an oracle",
    "psnr_final_db": "PSNR in dB after the last step",
    "mse_selected": "mean squared error at the selected step, in [0, 1] units",
    "l2_per_pixel": "mean squared error of the selected reconstruction, in the generator's own "
    "range of values",
    "split": "of a reconstructed image: in_range, training, held_out or unknown",
    "search": "name of the search",
    "search_id": "of its space and objectives",
    "number": "of the point, from 0, in the order of asking",
    "params": "JSON: the value of each searched field",
    "objectives": "JSON: column, direction and level of each",
    "values": "one an objective, in their order",
    "losses": "values, turned so that less is better",
    "memory_mb": "peak memory in 2²⁰ bytes: tensors on a GPU; on a CPU the whole process",
}
"""What a column is wherever it stands, unless its table says otherwise."""

FACETS: Mapping[str, str] = {
    "images": "labels of its images, as rows of levels name them",
    "image_keys": "of each image: JSON without defaults, equal for the same image",
    "image_settings": "of each image: JSON, defaults included",
    "task_name": "the task and how hard it is",
    "task_key": "of the task: JSON without defaults, equal for the same task",
    "task_settings": "of the task: JSON, defaults included",
    "network_name": "kind of prior and, of a generator, what it learned to make",
    "network_key": "of the prior and its fit: JSON without defaults, equal for the same of both",
    "network_settings": "of the prior and its fit: JSON, defaults included",
    "method_name": "how tickets were found and, if elsewhere, where; of a reconstruction the solver",
    "method_key": "of the method: JSON without defaults, equal for the same method",
    "method_settings": "of the method: JSON, defaults included",
    "dense_name": "the dense fit that the ladder begins with",
    "dense_key": "of that fit: JSON without defaults, equal for the same weights, images and target",
    "dense_settings": "of that fit: JSON, defaults included",
    "finder_name": "how tickets were found, wherever",
    "finder_key": "of the finder: JSON without defaults, equal for the same finder",
    "finder_settings": "of the finder: JSON, defaults included",
    "source_name": "where tickets were found: images, or the name of a file",
    "source_key": "of the source: JSON without defaults, equal for the same source",
    "source_settings": "of the source: JSON, defaults included",
    "outliers_name": "what is wrong with the measurements",
    "outliers_key": "of the outliers: JSON without defaults, equal for the same outliers",
    "outliers_settings": "of the outliers: JSON, defaults included",
    "source_images": "labels of the images that tickets were found on; empty where unknown",
    "source_tasks": "kinds of the tasks that tickets were found with; empty where unknown",
    "source_task": "these tasks and how hard they are",
    "source_seed": "seed of the trial that the tickets come from",
    "target": "what tickets were found to fit: measured, or clean with the ground truth",
    "owns_masks": "whether the trial found masks itself, for images to restore",
    "m": "measurements, where the task has a number of them",
    "outlier_share": "share of the measurements that are outliers",
}
"""What a trial means, said by its class."""

OWN: Mapping[str, Mapping[str, str]] = {
    "sweeps": {
        "sweep": "name of the sweep",
        "sweep_id": "of its trials",
        "levels": "that were asked for",
        "requested_at": "UTC",
    },
    "trials": {
        "levels": "when complete",
        "source_ids": "trials whose tickets it takes",
        "parameters": "weights, biases and normalisation of the dense network",
        "canonical": "the JSON that the id is the hash of: no defaults, nothing that only says "
        "where",
        **FACETS,
        "torch_version": "that it began with",
        "ray_version": "that it began with",
        "python_version": "that it began with",
        "started_at": "UTC",
        "levels_done": "committed so far",
        "outcome": "incomplete, given up, or the worst of its levels' outcomes",
    },
    "levels": {
        "kept_all": "parameters left: kept weights, biases and normalisation",
        "total_all": "parameters of the dense network",
        "effective": "kept weights on a path from input to output",
        "macs": "multiply-adds of one forward pass over one image with the kept weights; null in "
        "rows from before schema version 5",
        "psnr_measured_db": "PSNR in dB of the measurement, as an image",
        "ssim_peak": "SSIM at the peak step, in [−1, 1]",
        "ssim_selected": "SSIM at the selected step",
        "ssim_final": "SSIM after the last step",
        "peak_step": "at which PSNR is highest",
        "selected_step": "that the stopping rule chose",
        "steps": "taken",
        "loss_final": "at the last step",
        "accuracy": "of a classifier on the held-out test set, in [0, 1], at the epoch that "
        "validation chose",
        "accuracy_final": "the same after the last epoch",
        "critic_gap": "of a generator: mean score of real images less that of generated ones",
        "frechet": "of a generator: Fréchet distance to training images, by their pixels",
        "fit_s": "seconds of fitting, shared evenly by the images of a level",
        "threads": "of PyTorch",
        "finished_at": "UTC",
        "psnr_gap_db": "peak − selected: what the stopping rule loses to an oracle, in dB",
    },
    "curves": {
        "step": "thinned: about 250 of all",
        "loss": "at these steps",
        "psnr_raw_db": "PSNR in dB of the network's own output",
        "psnr_db": "PSNR in dB of the averaged output",
        "statistic": "the stopping rule's latest; NaN before its first",
    },
    "masks": {
        "layer": "state-dict name of the weights",
        "within": "level whose kept weights the bits are of; null where they are of all weights",
        "bits": "booleans, eight to a byte, most significant first",
        "kept": "weights of the layer left",
        "total": "weights of the layer",
    },
    "weights": {
        "name": "in the state dict",
        "dtype": "as NumPy writes it",
        "values": "little-endian, row by row",
    },
    "networks": {
        "name": "in the state dict",
        "dtype": "as NumPy writes it",
        "values": "little-endian, row by row",
    },
    "reconstructions": {
        "role": "clean, measured, peak, selected, final, or samples of a generator",
        "step": "at which it was taken; null for what was given",
        "height": "of the full image, in pixels",
        "width": "of the full image, in pixels",
        "png": "the picture, in a PNG file",
    },
    "failures": {
        "level": "the first that the store lacked",
        "cause": "error, died, time_limit, out_of_memory or source",
        "traceback": "the worker's last; empty where there is none",
        "source_id": "the source that was given up, where that is the cause",
        "host": "of the driver",
        "failed_at": "UTC",
        "open": "whether the trial is incomplete to this day",
    },
    "scores": {
        "state": "complete, stopped, collapsed or failed",
        "told_at": "UTC",
    },
    "points": {
        "position": "of the trial among the point's",
        "levels": "of the trial, when complete",
        "problem": "why the values do not go together; empty where they do",
        "asked_at": "UTC",
        "state": "complete, stopped, collapsed or failed; null while in flight",
        "pareto": "whether no other complete point is at least as good in all and better in one",
        "told_at": "UTC",
    },
    "pareto": {},
    "sensing": {
        "m": "number of measurements",
        "outlier_share": "of the measurements, in [0, 1]",
        "psnr_floor_db": "PSNR in dB of the best fit of the same generator to the image itself",
    },
    "timings": {
        "height": "of the images, in pixels",
        "width": "of the images, in pixels",
        "trials": "how many",
        "fits": "how many",
        "step_s": "median seconds of a step, all images of a level together",
        "fit_s": "median seconds of a fit, all images of a level together",
        "memory_mb": "median of the levels' peaks, in 2²⁰ bytes",
    },
    "settings": {},
    "frontier": {
        "macs": "multiply-adds of a forward pass with the kept weights, mean over seeds",
        "fit_s": "mean seconds of a fit",
        "n": "fits that have a selected PSNR",
        "psnr_selected_db": "mean selected PSNR in dB",
        "psnr_selected_sd_db": "its sample standard deviation over seeds, in dB; null below two",
        "psnr_peak_db": "mean peak PSNR in dB, an oracle",
        "psnr_final_db": "mean PSNR in dB after the last step",
        "effective_density": "mean over seeds",
        "broken": "fits that collapsed, diverged or failed; a collapsed one's PSNR is in the mean",
    },
    "matching": {
        "solver": "of a reconstruction",
    "setting": "the same for trials that differ by seeds and images alone",
        "images": "how many; each has one vote",
        "seeds": "the most that an image has",
        "margin_db": "how far below dense still matches, in dB",
        "matching_density": "the least density down to which, level by level, the mean stays "
        "within the margin",
        "difference_db": "mean of selected − dense there, in dB",
        "lost_density": "the next density, the first beyond the margin; null where none is",
        "lost_difference_db": "mean of selected − dense there, in dB",
    },
    "transfer": {
        "source_image": "on which the ticket was found",
        "source_task": "on which the ticket was found",
        "psnr_native_db": "selected PSNR in dB of the ticket that was found on this very image and "
        "task: same network, fit, seed and number of weights",
        "to_native_db": "selected − native, in dB",
    },
}
"""By table or view, what its own columns are."""

ABOUT: Mapping[str, str] = {
    "sweeps": "A row a trial that a sweep asked for, whether or not it has begun.",
    "trials": "A row a trial that has begun.",
    "levels": "A row a level and image.",
    "curves": "A row a level and image: thinned traces of the fit.",
    "masks": "A row a level and layer.",
    "weights": "A row a parameter that a level begins with, where no seed draws it.",
    "networks": "A row a parameter of the generator that a level ended with.",
    "reconstructions": "A row a picture of a level and image.",
    "failures": "A row each time that a run gave a trial up.",
    "scores": "A row a point of a search that came to an end.",
    "points": "A row a trial of a point that a search asked for.",
    "pareto": "A row a point on the front of its search.",
    "sensing": "A row a level and image of a reconstruction from few measurements.",
    "timings": "A row a kind of fit: what it took.",
    "settings": "A row a trial: which trials differ by their seeds alone.",
    "frontier": "A row a setting, image and level of trajectories and transfers: means over seeds.",
    "matching": "A row a way of finding tickets: how far down it stays as good as dense, by means. "
    "Whether that is more than chance, the report's verdicts say.",
    "transfer": "A row a level of a transfer, beside the native ticket.",
}
"""Every table and view that queries see, in the order of the documentation."""


def meaning(table: str, column: str) -> str:
    """What a column of a table is. Raises KeyError for one that nobody described."""
    own = OWN[table]
    return own[column] if column in own else SHARED[column]


def require_known(table: str) -> None:
    """Raise QueryError, with the nearest name, for what is no table or view."""
    if table not in ABOUT:
        near = difflib.get_close_matches(table.lower(), ABOUT, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise QueryError(f"there is no table {table!r}; {hint}there are: {', '.join(ABOUT)}")


def described(table: str | None = None) -> str:
    """The columns of a table or view, or of all, with types and units, as Markdown.

    Raises QueryError for one that is not there.
    """
    if table is not None:
        require_known(table)
    return "\n".join(_lines([table] if table else list(ABOUT))) + "\n"


def _lines(tables: Sequence[str]) -> Iterator[str]:
    known = schemas()
    yield "# Tables and views"
    for table in tables:
        yield from ("", f"## {table}", "", ABOUT[table], "")
        yield from ("| column | type | meaning |", "|---|---|---|")
        for field in known[table]:
            yield f"| {field.name} | {_type(field.type)} | {meaning(table, field.name)} |"


def _type(kind: pa.DataType) -> str:
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)
