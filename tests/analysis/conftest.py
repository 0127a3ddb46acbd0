"""A store made by hand: three pruners, two seeds, six densities; SNIP and one random fit collapse.

The frames have the columns of a real store's; every picture is a flat colour of its own.
"""

import io
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import every_kind
import pandas as pd
import pytest
from browsers import Windows, chromium
from PIL import Image
from pydantic import ValidationError

from lip_ray.analysis import named
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Section
from lip_ray.data.labelled import Digits
from lip_ray.records import Facets, LayerMask
from lip_ray.store import Reader, legacy
from lip_ray.trials import (
    AnyTrial,
    Classification,
    Generator,
    Reconstruction,
    Trajectory,
    Transfer,
)

TOTAL = 2_208_768
DENSITIES = (1.0, 0.5, 0.25, 0.12, 0.05, 0.03)
MEASURED_DB = 20.3
FLAT_DB = 13.0
SELECTED_DB = {
    "magnitude": (27.3, 27.35, 27.4, 27.3, 27.3, 26.5),
    "random": (27.3, 27.1, 26.4, 25.2, 23.7, 12.9),
    "snip": (27.3, 26.6, 23.5, 11.2, 11.2, 11.2),
}
SHADES = count()


@dataclass(frozen=True)
class FakeStore:
    """Frames by name, as the store's reader gives them."""

    frames: dict[str, pd.DataFrame]

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table of that name, or rows of these trials; without rows it has no columns."""
        found = self.frames.get(table, pd.DataFrame())
        return found if trials is None or found.empty else found[found["trial_id"].isin(trials)]

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """None: nobody has pruned anything."""
        return None


def flat_png() -> bytes:
    """A small PNG in a colour that no other has."""
    shade = next(SHADES)
    colour = (40 + shade * 7 % 200, 40 + shade * 53 % 200, shade % 256)
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row_of(kind: type[AnyTrial], spec: dict[str, Any]) -> dict[str, Any]:
    """A row of `trials` as the class of its spec says it.

    What the class refuses, such as a hostile name or a setting of another version, is a row as a
    store of before schema version 6 has it: read off the JSON.
    """
    try:
        return said_by(kind.model_validate_json(json.dumps(spec)))
    except ValidationError:
        return said_by_json(spec)


def said_by(trial: AnyTrial) -> dict[str, Any]:
    """What a row of `trials` has from its spec."""
    described = trial.description
    return {
        "trial_id": trial.id,
        "kind": trial.kind,
        "pruner": described.pruner,
        "prior": described.prior,
        "task": described.task,
        "image": described.image,
        "seed": trial.seed_used,
        "source_ids": [source.id for source in trial.sources],
        "travels": described.travels,
        "parameters": TOTAL + 4_000,
        "macs_per_step": 3_000 * TOTAL,
        "levels": trial.levels,
        "levels_done": trial.levels,
        "outcome": "budget",
        "spec": trial.model_dump_json(),
        "canonical": trial.canonical_json(),
        **trial.facets().columns(),
    }


def said_by_json(spec: dict[str, Any]) -> dict[str, Any]:
    """The same of a spec that no class of today takes."""
    found, text = spec, json.dumps(spec)
    while "source" in found and found["source"].get("kind") != "dct":
        found = found["source"]
        found = found.get("trajectories", [found])[0]
    kinds = {name: (found.get(name) or {}).get("kind") for name in ("pruner", "prior")}
    seed = spec.get("seed")
    row = {
        "trial_id": f"{zlib.crc32(text.encode()):x}",
        "kind": spec["kind"],
        "pruner": kinds["pruner"] or found.get("name", "none"),
        "prior": kinds["prior"] or "skip",
        "task": spec.get("task", {"kind": "generation"})["kind"],
        "image": "digits" if spec["kind"] == "generator" else _label(spec["images"][0]),
        "seed": found.get("seed", 0) if seed is None else seed,
        "source_ids": [],
        "travels": spec.get("travels"),
        "parameters": TOTAL + 4_000,
        "macs_per_step": 3_000 * TOTAL,
        "levels": len(DENSITIES),
        "levels_done": len(DENSITIES),
        "outcome": "budget",
        "spec": text,
        "canonical": json.dumps(json.loads(text, object_hook=_without_location)),
    }
    return row | dict.fromkeys(Facets.names()) | dict(legacy.columns_of(row))


def _label(image: dict[str, Any]) -> str:
    return str(image.get("name", f"{image['kind']}-{image.get('index')}"))


def _without_location(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "path"}


def make_trial(pruner: str = "magnitude", seed: int = 0, /, **changes: Any) -> dict[str, Any]:
    """A row of `trials`; `changes` replace fields of its spec."""
    spec = {
        "kind": "trajectory",
        "images": [{"kind": "builtin", "name": "astronaut", "size": [128, 128]}],
        "task": {"kind": "denoising", "sigma": 25.0, "clip": True},
        "prior": {"kind": "skip", "width": 128},
        "pruner": {"kind": pruner},
        "schedule": {"kind": "densities", "densities": list(DENSITIES)},
        "fit": {"steps": 3000, "learning_rate": 0.01},
        "seed": seed,
    } | changes
    row = row_of(Trajectory, spec)
    return row | {"trial_id": f"{pruner}-{seed}-{row['trial_id'][:8]}"}


def make_transfer(
    found: dict[str, Any], target: str, /, *, source: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A row of `trials`: the tickets of a trajectory's row, fitted to an image of that name."""
    own = json.loads(found["spec"])
    spec = {
        "kind": "transfer",
        "source": source or own,
        "images": [{"kind": "builtin", "name": target, "size": [128, 128]}],
        "task": own["task"],
        "travels": "mask_and_weights",
        "fit": own["fit"],
        "seed": None,
    } | changes
    row = row_of(Transfer, spec)
    return row | {"trial_id": f"moved-{row['trial_id']}", "source_ids": [found["trial_id"]]}


def make_level(trial: dict[str, Any], level: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of `levels`: a good fit, save for `changes`."""
    kept = changes["kept"] if "kept" in changes else round(TOTAL * DENSITIES[level])
    psnr = changes.pop("psnr", 27.0)
    return {
        "trial_id": trial["trial_id"],
        "level": level,
        "image": trial["image"],
        "kept": kept,
        "total": TOTAL,
        "density": kept / TOTAL,
        "kept_all": kept + 4_000,
        "total_all": TOTAL + 4_000,
        "effective": kept - 1000,
        "macs": None,
        "psnr_measured_db": MEASURED_DB,
        "psnr_peak_db": psnr + 0.5,
        "psnr_selected_db": psnr,
        "psnr_final_db": psnr - 1.5,
        "ssim_peak": 0.82,
        "ssim_selected": 0.8,
        "ssim_final": 0.75,
        "peak_step": 1500,
        "selected_step": 1800,
        "steps": 3000,
        "outcome": "budget",
        "reason": "",
        "fit_s": 60.0,
        "memory_mb": 500.0,
        "device": "cpu",
        "threads": 1,
        "execution": "dense",
    } | changes


def make_pictures(level: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `reconstructions` for a level."""
    roles = ("selected", "peak", "final") if level["outcome"] != "failed" else ()
    if level.get("frechet") is not None:
        roles = ("samples",)
    shared = ("clean", "measured") if level["level"] == 0 and "samples" not in roles else ()
    keys = {name: level[name] for name in ("trial_id", "level", "image")}
    size = {"step": 1, "height": 128, "width": 128}
    return [keys | size | {"role": role, "png": flat_png()} for role in (*shared, *roles)]


def make_store(trials: list[dict[str, Any]], levels: list[dict[str, Any]]) -> FakeStore:
    """A store of these rows, with a picture wherever a fit leaves one."""
    pictures = [picture for level in levels for picture in make_pictures(level)]
    rows = {"trials": trials, "levels": levels, "reconstructions": pictures}
    return FakeStore({name: pd.DataFrame(found) for name, found in rows.items()})


def _fit(trial: dict[str, Any], level: int) -> dict[str, Any]:
    psnr = SELECTED_DB[trial["pruner"]][level] + 0.1 * trial["seed"]
    if trial["pruner"] == "random" and level == 4 and trial["seed"] == 1:
        psnr = 12.9
    if psnr > FLAT_DB:
        return make_level(trial, level, psnr=psnr)
    flat = {"psnr_peak_db": psnr, "psnr_final_db": psnr, "effective": 0, "outcome": "collapsed"}
    return make_level(trial, level, psnr=psnr, reason="no path from input to output", **flat)


@pytest.fixture(scope="session", autouse=True)
def _parts_name_what_they_have() -> Iterator[None]:
    """Whatever is made of any store has only figures and tables that its part names: who asks for
    one by its name gets all of that name, though no other part is made."""

    def watched(content: Content, name: str = "") -> Iterator[tuple[str, list[Section]]]:
        names = {part.label: part.names for part in content.parts}
        for label, sections in outline(content, name):
            for one, inside in product(sections, (named._figures_of, named._tables_of)):
                assert {name for name, *_ in inside(one)} <= names[label]
            yield label, sections

    outline = Content.outline
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Content, "outline", watched)
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def windows(browser: Any) -> Windows:
    """Its windows."""
    return Windows(browser)


@pytest.fixture(scope="session")
def every_kind_store(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A store with every kind of trial, image, source, task and prior: see tests/every_kind.py."""
    return every_kind.store(tmp_path_factory.mktemp("every_kind"))


@pytest.fixture(scope="session")
def study() -> FakeStore:
    """Three pruners by two seeds on one problem, all complete."""
    trials = [make_trial(pruner, seed) for pruner in SELECTED_DB for seed in (0, 1)]
    return make_store(trials, [_fit(trial, i) for trial in trials for i in range(len(DENSITIES))])


@pytest.fixture(scope="session")
def travelled() -> FakeStore:
    """Tickets of two images, on the other one and by layer densities on their own; two seeds."""
    fits = []
    for seed in (0, 1):
        found = {}
        for image, dense in (("astronaut", 27.0), ("camera", 29.0)):
            images = [{"kind": "builtin", "name": image, "size": [128, 128]}]
            found[image] = make_trial("magnitude", seed, images=images) | {"image": image}
            fits.append((found[image], dense, 0.2))
        for source, target, dense in (("astronaut", "camera", 29.0), ("camera", "astronaut", 27.0)):
            fits.append((make_transfer(found[source], target), dense, 0.7))
        own = make_transfer(found["camera"], "camera", travels="layer_densities")
        fits.append((own, 29.0, 1.0))
    levels = [
        make_level(trial, level, psnr=dense - loss * level + (0.2 * level - 0.2) * (level > 0))
        for trial, dense, loss in fits
        for level in range(4)
    ]
    return make_store([trial for trial, *_ in fits], levels)


@pytest.fixture(scope="session")
def sizes() -> FakeStore:
    """A skip network with tickets of two pruners beside deep decoders of two widths; two seeds."""
    trials, levels = [], []
    for seed in (0, 1):
        for pruner, psnr in (("magnitude", 26.0), ("random", 25.0)):
            trials.append(make_trial(pruner, seed))
            levels.append(make_level(trials[-1], psnr=27.0 + seed))
            levels.append(make_level(trials[-1], 1, psnr=psnr + seed))
        for width, weights, psnr in ((64, 25_000, 24.0), (128, 100_224, 26.0)):
            prior = {"kind": "deep_decoder", "width": width}
            trials.append(make_trial("magnitude", seed, prior=prior) | {"prior": "deep_decoder"})
            size = {"kept": weights, "total": weights, "density": 1.0}
            size |= {"kept_all": weights, "total_all": weights}
            levels.append(make_level(trials[-1], psnr=psnr + seed, **size))
    return make_store(trials, levels)


@pytest.fixture(scope="session")
def classifiers() -> FakeStore:
    """Two pruners by two seeds on one data set."""
    none = dict.fromkeys(f"psnr_{name}_db" for name in ("measured", "peak", "selected", "final"))
    trials, levels = [], []
    for seed in (0, 1):
        for pruner, accuracy in (("magnitude", 0.9), ("random", 0.8)):
            source = Trajectory.model_validate_json(make_trial(pruner, seed)["spec"])
            trial = Classification(source=source, dataset=Digits())
            trials.append(said_by(trial) | {"trial_id": trial.id})
            for level, mean in enumerate((0.95, accuracy)):
                at = mean + (0.1 * seed if (level, pruner) == (1, "random") else 0.0)
                scores = {"accuracy": at, "accuracy_final": at - 0.05}
                levels.append(make_level(trials[-1], level, **none, **scores))
    return make_store(trials, levels)


@pytest.fixture(scope="session")
def transfer_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `trials` for transfers."""
    return make_transfer


@pytest.fixture(scope="session")
def trial_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `trials`."""
    return make_trial


@pytest.fixture(scope="session")
def level_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `levels`."""
    return make_level


@pytest.fixture(scope="session")
def store_of() -> Callable[..., FakeStore]:
    """Makes a store of rows."""
    return make_store


SCENE = [{"kind": "digit", "index": index, "split": "test"} for index in (3, 7)]
KEPT = (1000, 500, 250)


def make_generator(pruner: str = "magnitude", seed: int = 0, /, **changes: Any) -> dict[str, Any]:
    """A row of `trials` for a generator of digits; `changes` replace fields of its spec."""
    spec = {
        "kind": "generator",
        "images": {"kind": "digits"},
        "prior": {"kind": "dcgan", "size": 8, "channels": 1},
        "pruner": {"kind": pruner},
        "schedule": {"kind": "rate", "steps": len(KEPT) - 1},
        "rewind": {"kind": "init"},
        "critic_pruned": False,
        "fit": {"steps": 1000},
        "seed": seed,
    } | changes
    return _row(Generator, spec)


def make_reconstruction(
    source: dict[str, Any] | None,
    solver: str = "erm",
    /,
    *,
    floor: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A row of `trials`: images sensed with a generator's row as source, or with none (lasso).

    `changes` replace fields of its spec; m, share and task those of its task.
    """
    share, m = changes.pop("share", 0.0), changes.pop("m", 250)
    outliers = {"kind": "rows", "share": share, "value": 10_000.0} if share else None
    task = {"kind": "compressed_sensing", "m": m, "sigma": 0.0, "outliers": outliers}
    spec = {
        "kind": "reconstruction",
        "source": json.loads(source["spec"]) if source else {"kind": "dct"},
        "images": SCENE,
        "task": task,
        "solver": {"kind": solver} if solver == "lasso" else {"kind": solver, "restarts": 10},
        "seed": source["seed"] if source else 0,
    } | changes
    ids = [row["trial_id"] for row in (source, floor) if row]
    return _row(Reconstruction, spec) | {"source_ids": ids}


def _row(kind: type[AnyTrial], spec: dict[str, Any], /) -> dict[str, Any]:
    """A row of `trials`."""
    row = row_of(kind, spec)
    return row | {"trial_id": f"{row['kind']}-{row['trial_id']}"}


def make_sensed(
    trial: dict[str, Any], level: int = 0, image: str = "digit-3", **changes: Any
) -> dict[str, Any]:
    """A row of `levels` for a reconstruction, in range unless `changes` say otherwise."""
    psnr = changes.get("psnr", 20.0)
    error = None if psnr is None else 4 * 10 ** (-psnr / 10)
    size = {"kept": KEPT[level], "total": KEPT[0], "density": KEPT[level] / KEPT[0]}
    known = {"image": image, "split": "in_range", "l2_per_pixel": error, "critic_gap": None}
    if psnr is None:
        changes |= {"psnr": float("nan")}
    return make_level(trial, level, **(size | known | {"frechet": None} | changes))


def make_drawn(trial: dict[str, Any], level: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of `levels` for a generator."""
    none = dict.fromkeys(f"psnr_{name}_db" for name in ("measured", "peak", "selected", "final"))
    size = {"kept": KEPT[level], "total": KEPT[0], "density": KEPT[level] / KEPT[0]}
    scores = {"split": None, "l2_per_pixel": None, "critic_gap": 0.5, "frechet": 2.0}
    return make_level(trial, level, **(none | size | scores | changes))


@pytest.fixture(scope="session")
def sensing() -> FakeStore:
    """Two solvers, two pruners, two m, clean and corrupted, two seeds and images; floor and lasso.

    The median of means fails at the lowest density of random pruning, clean, and m = 100.
    """
    trials, levels = [], []
    for seed in (0, 1):
        for loss, pruner in enumerate(("magnitude", "random")):
            generator = make_generator(pruner, seed)
            projection = make_reconstruction(generator, task={"kind": "projection"})
            trials += [generator, projection]
            levels += [make_drawn(generator, i, frechet=2.0 + seed + i + loss) for i in range(3)]
            levels += _sensed_all(projection, 30.0 + seed - loss)
            for solver, m, share in product(("erm", "median_of_means"), (100, 250), (0.0, 0.02)):
                settings = {"m": m, "share": share, "floor": projection}
                trials.append(make_reconstruction(generator, solver, **settings))
                psnr = 20.0 + seed + m / 100 - loss - 300 * share * (solver == "erm")
                sensed = _sensed_all(trials[-1], psnr)
                if (pruner, solver, m, share) == ("random", "median_of_means", 100, 0.0):
                    sensed[-1] |= {"outcome": "collapsed", "reason": "no path"}
                levels += sensed
    for m, share in product((100, 250), (0.0, 0.02)):
        trials.append(make_reconstruction(None, "lasso", m=m, share=share))
        for image in ("digit-3", "digit-7"):
            levels.append(make_sensed(trials[-1], image=image, psnr=15.0, split=None))
    return make_store(trials, levels)


def _sensed_all(trial: dict[str, Any], psnr: float) -> list[dict[str, Any]]:
    """Each level a dB worse than the one above, the second image two better than the first."""
    images = (("digit-3", 0.0), ("digit-7", 2.0))
    places = [(level, *image) for level in range(len(KEPT)) for image in images]
    return [make_sensed(trial, level, name, psnr=psnr - level + by) for level, name, by in places]


@pytest.fixture(scope="session")
def generator_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `trials` for generators."""
    return make_generator


@pytest.fixture(scope="session")
def reconstruction_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `trials` for reconstructions."""
    return make_reconstruction


@pytest.fixture(scope="session")
def sensed_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `levels` for reconstructions."""
    return make_sensed


@pytest.fixture(scope="session")
def drawn_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `levels` for generators."""
    return make_drawn
