"""Which problem a fit belongs to and which method it is of, read off the specs of trials.

Keys are taken from `canonical`, which a later version's new fields leave as it was; settings, which
are shown, have all fields that the trial's own version knew.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from .naming import tuples

KINDS = ("trajectory", "transfer")
"""The kinds of trial that restore images."""

DENSE = "dense"
"""The method of every fit that keeps all weights and begins with those that its seed draws."""

METHOD_FIELDS = ("pruner", "schedule", "rewind", "target", "latents")
"""The fields of a trajectory that say how it finds tickets."""

DEFAULTS: Mapping[str, Any] = {
    "prior": {"kind": "skip"},
    "pruner": {"kind": "magnitude"},
    "schedule": {"kind": "rate"},
    "rewind": {"kind": "init"},
    "fit": {},
}
"""What a canonical spec leaves out. A default never changes."""

TRAVELS_SAID = {"mask": ", mask only", "layer_densities": ", layer densities"}

SEED = re.compile(r'"seed": ?\d+')

MOST_NAMED = 3
"""Of more images than that only the number is said."""

Spec = Mapping[str, Any]


def identities(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and image that has levels: names, keys and settings as JSON.

    Of the problem (image, task, prior, fit), the scene (image and task), the method, the dense fit
    that it begins with (`dense`), the `finder` (how tickets are found, wherever) and the `source`
    (where they were found). All are categories, the same ones for all names, keys or settings.
    """
    columns = ["trial_id", "kind", "pruner", "spec", "canonical"]
    chosen = trials.loc[trials["kind"].isin(KINDS), columns]
    pairs = levels[["trial_id", "image"]].drop_duplicates().merge(chosen, on="trial_id")
    known: dict[tuple[str, ...], int] = {}
    rows: list[dict[str, str]] = []
    places = []
    for row in tuples(pairs):
        alike = (*_but_seed(row), row.image, row.pruner)
        if alike not in known:
            known[alike] = len(rows)
            rows.append(_parts(row))
        places.append(known[alike])
    found = _categorical(pd.DataFrame(rows)).iloc[places].reset_index(drop=True)
    return pd.concat([pairs[["trial_id", "image"]], found], axis=1)


def task_name(task: Spec) -> str:
    """A task and how hard it is: `denoising, σ = 25`."""
    said = [task["kind"]]
    if task.get("factor"):
        said[0] += f" × {task['factor']}"
    for field, symbol in (("sigma", "σ = "), ("peak", "peak = "), ("share", "share = ")):
        if task.get(field):
            said.append(f"{symbol}{task[field]:g}")
    return ", ".join(said)


def image_label(image: Spec) -> str:
    """The name of an image in the columns of a store."""
    return f"{image['name']}-{image['sha256'][:6]}" if "sha256" in image else str(image["name"])


def together(labels: Iterable[str]) -> str:
    """Several images in a few words."""
    named = list(labels)
    return " + ".join(named) if len(named) <= MOST_NAMED else f"{len(named)} images"


def _but_seed(trial: Any) -> tuple[str, str]:
    """Spec and canonical spec; those of a trajectory without its seed, which names nothing."""
    texts = (trial.spec, trial.canonical)
    found = [SEED.subn("", text) for text in texts]
    alone = trial.kind == "trajectory" and found[0][1] == 1
    return (found[0][0], found[1][0]) if alone else texts


def _categorical(rows: pd.DataFrame) -> pd.DataFrame:
    """Names, keys and settings as categories, so that long texts are there once."""
    dtypes: dict[str, pd.CategoricalDtype] = {}
    for end in ("_name", "_key", "_settings"):
        columns = [column for column in rows.columns if column.endswith(end)]
        texts = sorted(set(rows[columns].to_numpy().ravel()))
        dtypes |= dict.fromkeys(columns, pd.CategoricalDtype(texts))
    return rows.astype(dtypes)


def _parts(row: Any) -> dict[str, str]:
    """Name, key and settings of each part, by column."""
    full = _identity(json.loads(row.spec), row.image, row.pruner)
    keys = _identity(json.loads(row.canonical), row.image, row.pruner)
    found = {}
    for part, (name, settings) in full.items():
        found[f"{part}_name"] = name
        found[f"{part}_key"] = _json(keys[part][1])
        found[f"{part}_settings"] = _json(settings)
    return found


def _identity(spec: Spec, image: str, pruner: str) -> dict[str, tuple[str, Spec]]:
    """Name and settings of each part."""
    images = spec["images"]
    own = {image_label(one): one for one in images}.get(image, images[0])
    scene = {"image": own, "task": spec["task"]}
    problem = {**scene, "prior": _prior(spec), "fit": spec.get("fit", DEFAULTS["fit"])}
    scene_name = f"{image}: {task_name(spec['task'])}"
    found = _trajectory(spec, pruner) if spec["kind"] == "trajectory" else _transfer(spec, pruner)
    network = {"prior": problem["prior"], "fit": problem["fit"]}
    return {
        "problem": (scene_name, problem),
        "scene": (scene_name, scene),
        "target": (image, scene),
        "target_task": (task_name(spec["task"]), {}),
        "network": (problem["prior"]["kind"], network),
        **found,
    }


def _trajectory(spec: Spec, pruner: str) -> dict[str, tuple[str, Spec]]:
    """Parts of a trajectory: it is its own source."""
    clean = ", clean target" if spec.get("target") == "clean" else ""
    finder, shared = _finder(spec), _shared(spec)
    found_on = f" found on {len(spec['images'])} images" if shared else ""
    at_once = f", on {len(spec['images'])} images at once" if shared else ""
    target = {"target": spec["target"]} if clean else {}
    return {
        "method": (pruner + found_on + clean, finder | shared),
        "dense": (DENSE + at_once + clean, target | shared),
        "finder": (pruner + at_once + clean, finder | shared),
        "source": _place(spec),
        "source_task": (task_name(spec["task"]), {}),
    }


def _transfer(spec: Spec, pruner: str) -> dict[str, tuple[str, Spec]]:
    """Parts of a transfer: what its source shares with it is not said again."""
    source, travels = spec["source"], spec.get("travels", "mask_and_weights")
    finders = {"trajectory": [source]}.get(source["kind"], source.get("trajectories", []))
    shared = _shared(spec)
    at_once = f", on {len(spec['images'])} images at once" if shared else ""
    clean = ", clean target" if any(one.get("target") == "clean" for one in finders) else ""
    seed = _other_seed(spec, finders)
    of_seed = f", seed {seed['seed']}" if seed else ""
    where = _whence(spec, source, finders) + of_seed
    how = TRAVELS_SAID.get(travels, "" if where else ", refitted")
    alike = {_json(_finder(one)): _finder(one) for one in finders}
    ticket = next(iter(alike.values())) if len(alike) == 1 else _origin(spec, source, finders)
    place = (source.get("name") or where.removesuffix(of_seed).lstrip(", "), source)
    if source["kind"] == "trajectory":
        place = _place(source)
    method = {"source": _origin(spec, source, finders), "travels": travels} | seed | shared
    tasks = dict.fromkeys(task_name(finder["task"]) for finder in finders) or ["unknown task"]
    return {
        "method": (pruner + where + how + at_once + clean, method),
        "dense": _dense(source, travels, seed, shared, at_once),
        "finder": (pruner + at_once + clean, {**ticket, **shared}),
        "source": (place[0] + of_seed, {**_without_seed(place[1]), **seed}),
        "source_task": (" + ".join(tasks), {}),
    }


def _dense(
    source: Spec, travels: str, seed: Spec, shared: Spec, at_once: str
) -> tuple[str, dict[str, Any]]:
    """The dense fit that a transfer begins with: another one where its weights are others."""
    if travels == "mask":
        return f"{DENSE}, fresh weights{at_once}", {"weights": "fresh", **shared}
    if travels == "mask_and_weights" and source["kind"] == "file":
        weights = {"weights": source.get("sha256")}
        return f"{DENSE}, weights of {source['name']}{at_once}", {**weights, **shared}
    if travels == "mask_and_weights" and seed:
        return f"{DENSE}, weights of seed {seed['seed']}{at_once}", {**seed, **shared}
    return DENSE + at_once, dict(shared)


def _whence(spec: Spec, source: Spec, finders: list[Spec]) -> str:
    """Where the tickets come from, as far as that is not where they are used."""
    if source["kind"] == "file":
        return " from a file"
    images = {image_label(one): one for finder in finders for one in finder["images"]}
    tasks = list(dict.fromkeys(task_name(finder["task"]) for finder in finders))
    here = list(images.values()) == list(spec["images"]) and source["kind"] == "trajectory"
    said = [] if here else [together(images)]
    if any(finder["task"] != spec["task"] for finder in finders):
        said += [" + ".join(tasks)]
    if source["kind"] == "consensus":
        return f", consensus of {', '.join(said)}"
    return f" from {', '.join(said)}" if said else ""


def _origin(spec: Spec, source: Spec, finders: list[Spec]) -> dict[str, Any]:
    """A source without its seed and without what it has in common with the transfer."""
    if source["kind"] == "file":
        return {name: source[name] for name in ("kind", "name", "sha256") if name in source}
    fits = {"fit": spec.get("fit", DEFAULTS["fit"]), "task": spec["task"], "images": spec["images"]}
    found = []
    for finder in finders:
        own = {name: finder.get(name, DEFAULTS.get(name)) for name in fits}
        found.append(_finder(finder) | {k: v for k, v in own.items() if v != fits[k]})
    if source["kind"] == "trajectory":
        return found[0]
    return {"kind": "consensus", "rule": source.get("rule", "mean_rank"), "trajectories": found}


def _finder(spec: Spec) -> dict[str, Any]:
    """How a trajectory finds tickets."""
    fields = {**DEFAULTS, **spec}
    return {name: fields[name] for name in METHOD_FIELDS if name in fields}


def _shared(spec: Spec) -> dict[str, Any]:
    """The images that share weights, where there are several."""
    return {"images": spec["images"]} if len(spec["images"]) > 1 else {}


def _place(spec: Spec) -> tuple[str, dict[str, Any]]:
    """What a trajectory was found on."""
    images = spec["images"]
    scene = {"images": images} if len(images) > 1 else {"image": images[0]}
    return together(image_label(one) for one in images), {**scene, "task": spec["task"]}


def _other_seed(spec: Spec, finders: list[Spec]) -> dict[str, Any]:
    """The seed of the source, where it is not the transfer's."""
    if not finders or spec.get("seed") is None:
        return {}
    seed = finders[0].get("seed", 0)
    return {} if seed == spec["seed"] else {"seed": seed}


def _prior(spec: Spec) -> Spec:
    """The network, which a transfer has from its source."""
    source = spec.get("source", spec)
    holder: Spec = source["trajectories"][0] if source["kind"] == "consensus" else source
    prior: Spec = holder.get("prior", DEFAULTS["prior"])
    return prior


def _without_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_seed(item) for name, item in value.items() if name != "seed"}
    return [_without_seed(item) for item in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
