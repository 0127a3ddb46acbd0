"""What trials of older stores mean, read off their spec JSON: stores from before schema version 6
lack the columns in which a trial's class says it, and those that say which kind was asked for.

This module is frozen, as specs of those versions gain no fields. For later trials their classes
give the facets.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lip_ray.records import Facets, Part

SAID_BY = "setting"
"""The column that is null in rows from before there were facets."""

EPOCH = "epoch"
"""The column that is null in rows of the first defaults, and the key in JSON that tells them from
later ones."""

ASKED_FOR = ("sweeps", "points")
"""Tables of trials that need not have begun."""

NEEDED = ("kind", "pruner", "prior", "task", "image", "seed", "travels", "spec", "canonical")
"""The columns that facets are read from."""

DEFAULTS: Mapping[str, Any] = {
    "prior": {"kind": "skip"},
    "pruner": {"kind": "magnitude"},
    "schedule": {"kind": "rate"},
    "rewind": {"kind": "init"},
    "fit": {},
}
"""The parts that canonical specs leave out where they are defaults, as they appear in keys."""

DENSE = "dense"
FINDS = ("pruner", "schedule", "rewind", "target", "latents")
TRAINED = ("prior", "images", "fit")
MOST_NAMED = 3
TRAVELS_SAID = {"mask": ", mask only", "layer_densities": ", layer densities"}
STRENGTHS = (("sigma", "σ"), ("peak", "peak"), ("share", "share"))

COLUMNS = Facets.names()

Spec = Mapping[str, Any]
Said = Callable[[Spec], Any]

SEED = re.compile(r'"seed": ?\d+')


def completed(table: str, rows: pa.Table) -> pa.Table:
    """Rows of a table with what those of an older version lack."""
    if table == "trials":
        return _with_facets(rows)
    return _with_kinds_asked_for(rows) if table in ASKED_FOR else rows


def _with_kinds_asked_for(rows: pa.Table) -> pa.Table:
    """Rows of `sweeps` or `points` with the kinds of their trials."""
    if rows["kind"].null_count == rows["spec"].null_count:  # a point may be without a trial
        return rows
    pairs = zip(rows["kind"].to_pylist(), rows["spec"].to_pylist(), strict=True)
    kinds = [kind or _kind_of(spec) for kind, spec in pairs]
    place, field = rows.schema.get_field_index("kind"), rows.schema.field("kind")
    return rows.set_column(place, field, pa.array(kinds, field.type))


def _kind_of(spec: str | None) -> str | None:
    try:
        kind = json.loads(spec or "")["kind"]
    except (ValueError, KeyError, TypeError):
        return None
    return kind if isinstance(kind, str) else None


def _with_facets(rows: pa.Table) -> pa.Table:
    """Rows of `trials`, with the facets and the epoch of those that lack them."""
    lacking = pc.is_null(rows[SAID_BY])
    if pc.any(lacking).as_py():
        rows = _with_said(rows, lacking)
    first = pc.is_null(rows[EPOCH])
    return _of_first_epoch(rows, first) if pc.any(first).as_py() else rows


def _of_first_epoch(rows: pa.Table, first: pa.ChunkedArray) -> pa.Table:
    """Rows of `trials`, with what tells the chosen ones from those of later defaults."""
    for name in ("network_key", "network_settings"):
        texts, place = rows[name], rows.schema.get_field_index(name)
        told = pc.replace_substring(texts, "{", f'{{"{EPOCH}": 1, ', max_replacements=1)
        told = pc.if_else(pc.equal(texts, "{}"), f'{{"{EPOCH}": 1}}', told)
        rows = rows.set_column(place, rows.schema.field(name), pc.if_else(first, told, texts))
    place, field = rows.schema.get_field_index(EPOCH), rows.schema.field(EPOCH)
    return rows.set_column(place, field, pc.coalesce(rows[EPOCH], pa.scalar(1, field.type)))


def _with_said(rows: pa.Table, lacking: pa.ChunkedArray) -> pa.Table:
    """Rows of `trials`, with the facets of those that lack them."""
    known: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    said = (_remembered(known, row) for row in rows.select(NEEDED).to_pylist())
    found = pa.Table.from_pylist(list(said), pa.schema([rows.schema.field(n) for n in COLUMNS]))
    for name in COLUMNS:
        place, field = rows.schema.get_field_index(name), rows.schema.field(name)
        rows = rows.set_column(place, field, pc.if_else(lacking, found[name], rows[name]))
    return rows


def may_be_older(footer: pq.FileMetaData) -> bool:
    """Whether some row of a file of `trials` may lack facets or an epoch, by what is counted in its
    footer."""
    return any(_may_be_null(footer, name) for name in (SAID_BY, EPOCH))


def _may_be_null(footer: pq.FileMetaData, name: str) -> bool:
    """Whether some row may lack a column."""
    names = footer.schema.names
    if name not in names:
        return True
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    counted = [group.column(names.index(name)).statistics for group in groups]
    return any(one is None or not one.has_null_count or one.null_count > 0 for one in counted)


def columns_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facets of a row of `trials`, by column; for a spec that is not understood only the
    setting, and for one that is no mapping nothing."""
    try:
        spec, key = (
            json.loads(text or "") for text in (row["spec"], row["canonical"] or row["spec"])
        )
    except (ValueError, RecursionError):
        return {}
    if not (isinstance(spec, dict) and isinstance(key, dict)):
        return {}
    try:
        return BY_KIND[row["kind"]](row, spec, key).columns()
    except (KeyError, TypeError, AttributeError, IndexError):
        return {"setting": _setting(key)}


def _remembered(known: dict[tuple[Any, ...], Mapping[str, Any]], row: dict[str, Any]) -> Any:
    """`columns_of` with a cache, as trajectories that differ by their seeds alone share their
    facets."""
    texts = [SEED.subn("", text or "") for text in (row["spec"], row["canonical"] or row["spec"])]
    if row["kind"] != "trajectory" or texts[0][1] != 1:
        return columns_of(row)
    alike = (row["pruner"], *(text for text, _ in texts))
    if alike not in known:
        known[alike] = columns_of(row)
    return {**known[alike], "source_seed": row["seed"]}


def _trajectory(row: Spec, spec: Spec, key: Spec) -> Facets:
    clean = ", clean target" if spec.get("target") == "clean" else ""
    found_on = f" found on {len(spec['images'])} images" if _shared(spec) else ""
    at_once, pruner = _at_once(spec), row["pruner"]

    def dense(own: Spec) -> Any:
        return ({"target": own["target"]} if clean else {}) | _shared(own)

    return Facets(
        **_restoring(spec, key),
        method=_part(pruner + found_on + clean, lambda own: _finds(own) | _shared(own), spec, key),
        dense=_part(DENSE + at_once + clean, dense, spec, key),
        finder=_part(pruner + at_once + clean, lambda own: _finds(own) | _shared(own), spec, key),
        source=_part(_place(spec)[0], lambda own: _place(own)[1], spec, key),
        source_images=tuple(map(_label, spec["images"])),
        source_tasks=(spec["task"]["kind"],),
        source_task=_task_name(spec["task"]),
        source_seed=row["seed"],
        target=spec.get("target", "measured"),
        owns_masks=True,
    )


def _transfer(row: Spec, spec: Spec, key: Spec) -> Facets:
    source, travels, pruner = spec["source"], row["travels"], row["pruner"]
    of_seed = _of_seed(spec)
    where, at_once, clean = _whence(spec) + of_seed, _at_once(spec), _clean(spec)
    how = TRAVELS_SAID.get(travels, "" if where else ", refitted")

    def method(own: Spec) -> Any:
        found = {"source": _origin(own, _like(own)), "travels": travels}
        return found | _other_seed(own) | _shared(own)

    return Facets(
        **_restoring(spec, key),
        **_sources(spec),
        method=_part(pruner + where + how + at_once + clean, method, spec, key),
        dense=_part(_dense(spec)[0], lambda own: _dense(own)[1], spec, key),
        finder=_part(
            pruner + at_once + clean,
            lambda own: _common_finder(own, _like(own)) | _shared(own),
            spec,
            key,
        ),
        source=_part(_source_name(spec, where), _source_place, spec, key),
        owns_masks=source["kind"] != "trajectory" or travels == "layer_densities",
    )


def _classification(row: Spec, spec: Spec, key: Spec) -> Facets:
    where, pruner = _whence(spec), row["pruner"]

    def network(own: Spec) -> Any:
        fields = {"side": own["side"]} if "side" in own else {}
        return fields | {"prior": _prior(own), "fit": own.get("fit", {})}

    def method(own: Spec) -> Any:
        return {"source": _origin(own, {}), "travels": row["travels"]} | _other_seed(own)

    return Facets(
        setting=_setting(key),
        **_images([spec["dataset"]], [key["dataset"]], [spec["dataset"]["kind"]]),
        **_sources(spec),
        task=Part(name="classification", key="{}", settings="{}"),
        network=_part(row["prior"], network, spec, key),
        method=_part(pruner, method, spec, key),
        finder=_part(pruner + _clean(spec), lambda own: _common_finder(own, {}), spec, key),
        source=_part(_source_name(spec, where + _of_seed(spec)), _source_place, spec, key),
    )


def _generator(row: Spec, spec: Spec, key: Spec) -> Facets:
    full = _with_kinds(key, spec)
    images = [one["images"] for one in (spec, key) if one.get("images")]
    return Facets(
        setting=_setting(key),
        **_images(images[:1], images[1:], [row["image"]][: len(images)]),
        task=Part(name="generation", key="{}", settings="{}"),
        network=_part(_trained_name(spec, row["prior"]), _trained, spec, full),
        method=_part(
            row["pruner"], lambda own: _without(own, "kind", "seed", *TRAINED), spec, full
        ),
        finder=_part(row["pruner"].replace("_", " "), _pruned, spec, full),
    )


def _reconstruction(row: Spec, spec: Spec, key: Spec) -> Facets:
    key = _with_kinds(key, spec)
    key["source"] = _with_kinds(key["source"], spec["source"])
    pruner = "" if spec["source"]["kind"] == "dct" else row["pruner"].replace("_", " ")
    outliers = spec["task"].get("outliers")

    def method(own: Spec) -> Any:
        rest = _without(own, "kind", "source", "images", "task", "solver", "seed")
        return own["solver"] | rest

    return Facets(
        setting=_setting(json.loads(row["canonical"] or row["spec"])),
        **_images(spec["images"], key["images"], list(map(_label, spec["images"]))),
        task=_part(
            _task_name(spec["task"]).replace("_", " ", 1),
            lambda own: _without(own["task"], "m", "outliers"),
            spec,
            key,
        ),
        network=_part(
            _trained_name(spec["source"], row["prior"]),
            lambda own: _trained(own["source"]),
            spec,
            key,
        ),
        method=_part(spec["solver"]["kind"].replace("_", " "), method, spec, key),
        finder=_part(pruner, lambda own: _pruned(own["source"]), spec, key),
        outliers=outliers
        and _part(_outliers_name(outliers), lambda own: own["task"]["outliers"], spec, key),
        source_seed=spec["source"].get("seed"),
        solver=spec["solver"]["kind"],
        **_measurements(spec["task"]),
    )


BY_KIND: Mapping[str, Callable[[Spec, Spec, Spec], Facets]] = {
    "trajectory": _trajectory,
    "transfer": _transfer,
    "classification": _classification,
    "generator": _generator,
    "reconstruction": _reconstruction,
}


def _restoring(spec: Spec, key: Spec) -> dict[str, Any]:
    """The facets of all trials that restore images with an untrained network."""
    return {
        "setting": _setting(key),
        **_images(spec["images"], key["images"], list(map(_label, spec["images"]))),
        "task": _part(_task_name(spec["task"]), lambda own: own["task"], spec, key),
        "network": _part(
            _prior(spec)["kind"],
            lambda own: {"prior": _prior(own), "fit": own.get("fit", {})},
            spec,
            key,
        ),
        **_measurements(spec["task"]),
    }


def _images(settings: list[Any], keys: list[Any], labels: list[str]) -> dict[str, Any]:
    return {
        "images": tuple(labels),
        "image_keys": tuple(map(_text, keys)),
        "image_settings": tuple(map(_text, settings)),
    }


def _measurements(task: Spec) -> dict[str, Any]:
    if task["kind"] != "compressed_sensing":
        return {}
    return {"m": task["m"], "outlier_share": (task.get("outliers") or {}).get("share", 0.0)}


def _sources(spec: Spec) -> dict[str, Any]:
    finders = _finders(spec)
    targets = [finder.get("target", "measured") for finder in finders]
    return {
        "source_images": tuple(dict.fromkeys(_label(i) for f in finders for i in f["images"])),
        "source_tasks": tuple(dict.fromkeys(finder["task"]["kind"] for finder in finders)),
        "source_task": " + ".join(_task_names(finders)) or "unknown task",
        "source_seed": finders[0].get("seed", 0) if finders else None,
        "target": min(targets, default=None),
    }


def _finders(spec: Spec) -> list[Any]:
    """The specs of the trajectories that found the tickets."""
    source = spec["source"]
    return [source] if source["kind"] == "trajectory" else list(source.get("trajectories", []))


def _finds(spec: Spec) -> dict[str, Any]:
    fields = {**DEFAULTS, **spec}
    return {name: fields[name] for name in FINDS if name in fields}


def _shared(spec: Spec) -> dict[str, Any]:
    return {"images": spec["images"]} if len(spec["images"]) > 1 else {}


def _at_once(spec: Spec) -> str:
    return f", on {len(spec['images'])} images at once" if _shared(spec) else ""


def _clean(spec: Spec) -> str:
    clean = any(finder.get("target") == "clean" for finder in _finders(spec))
    return ", clean target" if clean else ""


def _place(spec: Spec) -> tuple[str, dict[str, Any]]:
    images = spec["images"]
    scene = {"images": images} if len(images) > 1 else {"image": images[0]}
    return _few(map(_label, images)), {**scene, "task": spec["task"]}


def _source_name(spec: Spec, where: str) -> str:
    source = spec["source"]
    if source["kind"] == "trajectory":
        return _place(source)[0] + _of_seed(spec)
    return source["name"] + _of_seed(spec) if source["kind"] == "file" else where.lstrip(", ")


def _source_place(spec: Spec) -> dict[str, Any]:
    source = spec["source"]
    own = _place(source)[1] if source["kind"] == "trajectory" else source
    return {**_without_seeds(own), **_other_seed(spec)}


def _whence(spec: Spec) -> str:
    source, finders = spec["source"], _finders(spec)
    if source["kind"] == "file":
        return " from a file"
    images = {_label(image): image for finder in finders for image in finder["images"]}
    here = source["kind"] == "trajectory" and list(images.values()) == spec.get("images")
    said = [] if here else [_few(images)]
    if any(finder["task"] != spec.get("task") for finder in finders):
        said += [" + ".join(_task_names(finders))]
    if source["kind"] == "consensus":
        return f", consensus of {', '.join(said)}"
    return f" from {', '.join(said)}" if said else ""


def _dense(spec: Spec) -> tuple[str, dict[str, Any]]:
    source, travels = spec["source"], spec.get("travels", "mask_and_weights")
    at_once, shared, seed = _at_once(spec), _shared(spec), _other_seed(spec)
    if travels == "mask":
        return f"{DENSE}, fresh weights{at_once}", {"weights": "fresh", **shared}
    if travels == "mask_and_weights" and source["kind"] == "file":
        weights = {"weights": source["sha256"]}
        return f"{DENSE}, weights of {source['name']}{at_once}", {**weights, **shared}
    if travels == "mask_and_weights" and seed:
        return f"{DENSE}, weights of seed {seed['seed']}{at_once}", {**seed, **shared}
    return DENSE + at_once, shared


def _like(spec: Spec) -> dict[str, Any]:
    """The fields that a transfer may have in common with a trajectory of its source."""
    return {"fit": spec.get("fit", {}), "task": spec["task"], "images": spec["images"]}


def _origin(spec: Spec, elsewhere: Spec) -> dict[str, Any]:
    source = spec["source"]
    if source["kind"] == "file":
        return {name: source[name] for name in ("kind", "name", "sha256")}
    found = []
    for finder in _finders(spec):
        own = {name: finder.get(name, DEFAULTS.get(name)) for name in ("fit", "task", "images")}
        apart = {name: value for name, value in own.items() if value != elsewhere.get(name)}
        found.append(_finds(finder) | apart)
    if source["kind"] == "trajectory":
        return found[0]
    return {"kind": "consensus", "rule": source.get("rule", "mean_rank"), "trajectories": found}


def _common_finder(spec: Spec, elsewhere: Spec) -> dict[str, Any]:
    alike = {_text(_finds(finder)): _finds(finder) for finder in _finders(spec)}
    return next(iter(alike.values())) if len(alike) == 1 else _origin(spec, elsewhere)


def _other_seed(spec: Spec) -> dict[str, Any]:
    finders = _finders(spec)
    if not finders or spec.get("seed") is None:
        return {}
    seed = finders[0].get("seed", 0)
    return {} if seed == spec["seed"] else {"seed": seed}


def _of_seed(spec: Spec) -> str:
    return "".join(f", seed {seed}" for seed in _other_seed(spec).values())


def _prior(spec: Spec) -> Any:
    source = spec.get("source", spec)
    holder = source["trajectories"][0] if source["kind"] == "consensus" else source
    return holder.get("prior", DEFAULTS["prior"])


def _trained(source: Spec) -> dict[str, Any]:
    return {name: source[name] for name in TRAINED if name in source}


def _pruned(source: Spec) -> dict[str, Any]:
    return _without(source, "seed", *TRAINED)


def _trained_name(source: Spec, prior: str) -> str:
    images = source.get("images") or {}
    name = images.get("name") or images.get("kind")
    return f"{prior} of {name}" if name else prior


def _outliers_name(outliers: Spec) -> str:
    if outliers.get("share"):
        return f"{100 * outliers['share']:g} % outliers"
    return f"{outliers['kind']} outliers"


def _task_name(task: Spec) -> str:
    said = [task["kind"]]
    if task.get("factor"):
        said[0] += f" × {task['factor']}"
    said += [f"{symbol} = {task[field]:g}" for field, symbol in STRENGTHS if task.get(field)]
    return ", ".join(said)


def _task_names(finders: list[Any]) -> list[str]:
    return list(dict.fromkeys(_task_name(finder["task"]) for finder in finders))


def _label(image: Spec) -> str:
    if image["kind"] == "digit":
        split = "" if image.get("split", "test") == "test" else "training-"
        return f"digit-{split}{image['index']}"
    if image["kind"] == "sample":
        return f"sample-{image.get('index', 0)}"
    if image["kind"] == "npz":
        return f"{image['name']}-{image['array']}-{image['index']}-{image['sha256'][:6]}"
    return f"{image['name']}-{image['sha256'][:6]}" if "sha256" in image else str(image["name"])


def _few(labels: Iterable[str]) -> str:
    named = list(labels)
    return " + ".join(named) if len(named) <= MOST_NAMED else f"{len(named)} images"


def _with_kinds(key: Spec, full: Spec) -> dict[str, Any]:
    """A canonical spec with the kinds of those parts that it leaves out as defaults."""
    kinds = {
        name: {"kind": part["kind"]}
        for name, part in full.items()
        if isinstance(part, dict) and "kind" in part
    }
    return {**kinds, **key}


def _without(spec: Spec, *names: str) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in names}


def _without_seeds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_seeds(item) for name, item in value.items() if name != "seed"}
    return [_without_seeds(item) for item in value] if isinstance(value, list) else value


def _setting(key: Spec) -> str:
    seedless = json.dumps(_without_seeds(key), sort_keys=True, separators=(",", ":"))
    return hashlib.md5(seedless.encode(), usedforsecurity=False).hexdigest()[:8]


def _part(name: str, said: Said, spec: Spec, key: Spec) -> Part:
    return Part(name=name, key=_text(said(key)), settings=_text(said(spec)))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
