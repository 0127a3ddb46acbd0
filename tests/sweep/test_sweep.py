"""Sweeps: what a file means, and what is said of a wrong one: all faults, one plain line each."""

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from lip_ray.data.images import AnyImage, BuiltinImage
from lip_ray.fits import Fit, WindowedVariance
from lip_ray.mistakes import Mistake
from lip_ray.priors import Skip
from lip_ray.pruning import Densities, Magnitude, Pruner, Random, Snip
from lip_ray.spec import kinds_of
from lip_ray.sweep import Run, Sweep, SweepError
from lip_ray.tasks import Denoising, Task
from lip_ray.trials import Trajectory

TINY: dict[str, Any] = {
    "name": "tiny",
    "trial": {
        "images": {"kind": "builtin", "name": "camera", "size": [32, 32]},
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
        "schedule": [1, 0.5],
        "fit": {"steps": 100},
    },
}
"""1,140 prunable weights; images of at least 5×5 pixels."""

JARGON = (
    "input should", "[type=", "http", "further information", "pydantic", "validation", "instance",
    "object to extract", "dictionary", "tuple", "integer", "string", "literal", "traceback",
    "extra inputs", "nonetype", "lip_ray", "trajectory(", "denoising(", "list index",
    "windowedvariance", "builtinimage", "fileimage", "_document", "base 10", "[key]",
)  # fmt: skip


TASKS = ", ".join(kinds_of(Task))
PRUNERS = ", ".join(kinds_of(Pruner))
IMAGES = ", ".join(kinds_of(AnyImage))
FIT_FIELDS = ", ".join(Fit.model_fields)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tiny(**changes: Any) -> dict[str, Any]:
    """The tiny sweep with sections added, or fields of its trial changed by `trial_<field>`."""
    document = copy.deepcopy(TINY)
    for name, value in changes.items():
        section, _, field = name.partition("_")
        if field:
            document[section][field] = value
        else:
            document[section] = value
    return document


def built(document: object, **options: Any) -> Sweep:
    return Sweep.build(document, **options)


def faults(document: object, *overrides: str, quick: bool = False) -> list[str]:
    """The lines of all faults, which are checked to be plain."""
    with pytest.raises(SweepError) as caught:
        Sweep.build(document, overrides=overrides, quick=quick)
    return plain_lines(caught.value)


def plain_lines(error: SweepError) -> list[str]:
    head, *lines = str(error).split("\n")
    count = len(error.problems)
    assert head == f"{error.source}: {count} problem{'s' if count > 1 else ''}"
    assert lines == [f"  {problem}" for problem in error.problems]
    for line in lines:
        assert len(line.strip()) > 10
        found = [word for word in JARGON if word in line.lower()]
        assert not found, line
    return [line.strip() for line in lines]


def fault(document: object, *overrides: str, quick: bool = False) -> str:
    (line,) = faults(document, *overrides, quick=quick)
    return line


class TestMeaning:
    def test_without_a_grid_it_is_one_trial(self) -> None:
        sweep = built(TINY)
        assert sweep.name == "tiny"
        assert sweep.trials == (
            Trajectory(
                images=(BuiltinImage(name="camera", size=(32, 32)),),
                task=Denoising(sigma=25),
                prior=Skip(width=4, scales=2, input_channels=2),
                schedule=Densities(densities=(1, 0.5)),
                fit=Fit(steps=100),
            ),
        )

    def test_the_last_axis_is_the_fastest(self) -> None:
        grid = {"seed": [3, 1], "task.sigma": [50, 25], "pruner": ["snip", "random"]}
        expected = list(itertools.product([3, 1], [50.0, 25.0], [Snip(), Random()]))
        trials = built(tiny(grid=grid)).trials
        assert [(t.seed, t.task.sigma, t.pruner) for t in trials] == expected

    def test_an_axis_may_be_mappings_or_kinds(self) -> None:
        trials = built(tiny(grid={"pruner": [{"kind": "magnitude"}, "random"]})).trials
        assert [trial.pruner for trial in trials] == [Magnitude(), Random()]

    def test_an_axis_may_give_what_the_trial_leaves_out(self) -> None:
        document = tiny(grid={"task.sigma": [25, 50], "images": ["camera", "moon"]})
        del document["trial"]["task"]["sigma"], document["trial"]["images"]
        labels = [trial.images[0].label for trial in built(document).trials]
        assert labels == ["camera", "moon", "camera", "moon"]

    def test_an_axis_replaces_what_the_trial_says(self) -> None:
        assert built(tiny(trial_seed=9, grid={"seed": [1]})).trials[0].seed == 1

    def test_an_axis_may_set_an_item_of_a_list(self) -> None:
        trials = built(tiny(grid={"schedule.1": [0.4, 0.3]})).trials
        assert [t.schedule.kept(100) for t in trials] == [(100, 40), (100, 30)]

    def test_the_document_is_left_as_it_was(self) -> None:
        document = tiny(grid={"fit.steps": [100, 200]}, quick={"fit.steps": 120})
        before = copy.deepcopy(document)
        built(document, overrides=["task.sigma=50", "grid.seed=[1, 2]"], quick=True)
        assert document == before

    def test_the_store_goes_by_the_name(self) -> None:
        assert built(TINY).store == "results/tiny"
        assert built(tiny(run={"store": "elsewhere"})).store == "elsewhere"

    @pytest.mark.parametrize(
        ("run", "store"),
        [
            ({}, "results/tiny-quick"),
            ({"store": "elsewhere/"}, "elsewhere-quick"),
            ({"store": "s3://bucket/noise?region=eu"}, "s3://bucket/noise-quick?region=eu"),
        ],
    )
    def test_a_quick_run_has_a_store_of_its_own(self, run: dict[str, str], store: str) -> None:
        document = tiny(run=run, quick={"fit.steps": 2})
        assert Sweep.build(document, quick=True).store == store
        assert Sweep.build(document).store == (run.get("store") or "results/tiny")

    def test_a_quick_store_may_be_named(self) -> None:
        named = tiny(quick={"run.store": "short"})
        assert Sweep.build(named, quick=True).store == "short"
        set_here = Sweep.build(tiny(), quick=True, overrides=["run.store=here"])
        assert set_here.store == "here"

    def test_a_wrong_store_is_refused_once_in_a_quick_run_too(self) -> None:
        with pytest.raises(SweepError, match=r"1 problem\b[\s\S]*run.store: must be text, got 3"):
            Sweep.build(tiny(run={"store": 3}), quick=True)

    def test_run(self) -> None:
        assert built(TINY).run == Run()
        assert built(tiny(run={"cpus": 2, "gpus": 1})).run == Run(cpus=2, gpus=1.0)
        assert built(tiny(run={"gpus": "auto"})).run.resources("transfer").gpus == "auto"


class TestFromPython:
    def test_specs_stand_for_their_mappings(self) -> None:
        (trial,) = built(TINY).trials
        assert built({"name": "tiny", "trial": trial}).trials == (trial,)
        parts = {name: getattr(trial, name) for name in type(trial).model_fields}
        assert built({"name": "tiny", "trial": parts}).trials == (trial,)

    def test_specs_may_be_in_the_grid(self) -> None:
        given = {"pruner": (Random(), Snip()), "fit": [Fit(steps=100), Fit(steps=200)]}
        written = {"pruner": ["random", "snip"], "fit": [{"steps": 100}, {"steps": 200}]}
        sweep = built(tiny(grid=given))
        assert sweep.trials == built(tiny(grid=written)).trials
        assert sweep.id == built(tiny(grid=written)).id

    def test_a_run_may_be_a_spec(self) -> None:
        assert built(tiny(run=Run(cpus=2))).run == Run(cpus=2)

    def test_a_file_says_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "s.yaml"
        path.write_text(
            "# σ is no ASCII\n"
            "name: tiny\n"
            "trial:\n"
            "  images: {kind: builtin, name: camera, size: [32, 32]}\n"
            "  task: {kind: denoising, sigma: 25}\n"
            "  prior: {kind: skip, width: 4, scales: 2, input_channels: 2}\n"
            "  schedule: [1, 0.5]\n"
            "  fit: {steps: 100}\n",
            encoding="utf-8",
        )
        assert Sweep.from_yaml(path) == built(TINY)


class TestQuick:
    def test_only_when_asked(self) -> None:
        document = tiny(
            grid={"seed": [0, 1]},
            quick={"fit.steps": 120, "grid.seed": [5], "run.cpus": 2, "trial.task.sigma": 30},
        )
        assert [trial.seed for trial in built(document).trials] == [0, 1]
        shrunk = built(document, quick=True)
        (trial,) = shrunk.trials
        assert (trial.fit.steps, trial.seed, trial.task.sigma) == (120, 5, 30.0)
        assert shrunk.run.cpus == 2

    def test_overrides_come_after_it(self) -> None:
        document = tiny(quick={"fit.steps": 120})
        (trial,) = built(document, overrides=["fit.steps=130"], quick=True).trials
        assert trial.fit.steps == 130

    @pytest.mark.parametrize("path", ["name", "grid", "trial", "run", "quick", "quick.seed"])
    def test_it_sets_fields_only(self, path: str) -> None:
        line = fault(tiny(quick={path: 1}), quick=True)
        assert line.startswith(f"quick.{path}: what can be set is [trial.]<field>, grid.<field>")


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "of", "value"),
        [
            ("seed=3", lambda t: t.seed, 3),
            ("trial.seed=3", lambda t: t.seed, 3),
            (" seed = 3", lambda t: t.seed, 3),
            ("task.sigma=1e2", lambda t: t.task.sigma, 100.0),
            ("pruner=random", lambda t: t.pruner, Random()),
            ("pruner={kind: snip}", lambda t: t.pruner, Snip()),
            ("pruner.kind=snip", lambda t: t.pruner, Snip()),
            ("schedule=[1, 0.2, 0.1]", lambda t: t.levels, 3),
            ("schedule.1=0.25", lambda t: t.schedule.kept(100), (100, 25)),
            ("images=moon", lambda t: t.images[0].label, "moon"),
            ("images.name=moon", lambda t: t.images[0].size, (32, 32)),
            (
                "fit.stopping.window=50",
                lambda t: t.fit.stopping,
                WindowedVariance(window=50),
            ),
            ("fit.stopping={patience: 20}", lambda t: t.fit.stopping.patience, 20),
        ],
    )
    def test_fields_of_the_trial(
        self, override: str, of: Callable[[Trajectory], object], value: object
    ) -> None:
        (trial,) = built(TINY, overrides=[override]).trials
        assert of(trial) == value

    def test_later_ones_win(self) -> None:
        (trial,) = built(TINY, overrides=["seed=3", "trial.seed=4"]).trials
        assert trial.seed == 4

    def test_an_axis_is_added_or_replaced(self) -> None:
        document = tiny(grid={"seed": [0, 1]})
        sweep = built(document, overrides=["grid.seed=[7]", "grid.task.sigma=[25, 50]"])
        assert [(t.seed, t.task.sigma) for t in sweep.trials] == [(7, 25.0), (7, 50.0)]

    def test_a_value_ends_its_axis(self) -> None:
        document = tiny(grid={"seed": [0, 1], "pruner": ["random", "snip"]})
        trials = built(document, overrides=["seed=5"]).trials
        assert [(t.seed, t.pruner.kind) for t in trials] == [(5, "random"), (5, "snip")]

    def test_a_wrong_axis_of_the_file_can_be_put_right(self) -> None:
        assert len(built(tiny(grid={"seed": []}), overrides=["grid.seed=[1, 2]"]).trials) == 2
        assert len(built(tiny(grid={"seed": []}), overrides=["seed=1"]).trials) == 1

    def test_run(self) -> None:
        run = built(TINY, overrides=["run.cpus=2", "run.device=cpu"]).run
        assert (run.cpus, run.device) == (2, "cpu")

    @pytest.mark.parametrize(
        ("override", "line"),
        [
            ("seed", "--set: must read dotted.path=value, got 'seed'"),
            ("=3", "--set: must read dotted.path=value, got '=3'"),
            (
                "name=x",
                "name: what can be set is [trial.]<field>, grid.<field>, search.<field>, "
                "run.<field>, cases and sources.<field>",
            ),
            ("task..sigma=3", "trial.task..sigma: a dotted path has no empty parts"),
            (
                "task.sigma.x=3",
                "trial.task.sigma.x: task.sigma is 25, which has no fields: set task.sigma itself",
            ),
            (
                "schedule.9=0.1",
                "trial.schedule.9: '9' is no item of the list there: it has 2, counted from 0",
            ),
            (
                "schedule.-1=0.1",
                "trial.schedule.-1: '-1' is no item of the list there: it has 2, counted from 0",
            ),
            (
                "schedule.steps=3",
                "trial.schedule.steps: 'steps' is no item of the list there: "
                "it has 2, counted from 0",
            ),
            ("grid.seed=3", "grid.seed: must be a list of at least one value, got 3"),
            ("grid.seed=[]", "grid.seed: must be a list of at least one value, got []"),
            (
                "seed=[0, 1]",
                "trial.seed: must be a whole number, got [0, 1]; "
                "a list of values to try belongs in the grid",
            ),
            ("task.sigma=", "trial.task.sigma: is missing"),
            (
                "task.sigma={a: 1, a: 2}",
                "--set task.sigma: line 1: duplicate key 'a'",
            ),
            (
                "fit.setps=3",
                "trial.fit.setps: unknown key 'setps'; did you mean 'steps'? "
                f"allowed: {FIT_FIELDS}",
            ),
        ],
    )
    def test_wrong_ones(self, override: str, line: str) -> None:
        assert fault(TINY, override) == line

    def test_a_value_inside_an_axis(self) -> None:
        document = tiny(grid={"fit": [{"steps": 100}, {"steps": 200}]})
        line = fault(document, "fit.steps=300")
        assert line == "trial.fit.steps: the grid sets fit: set grid.fit instead"

    def test_all_wrong_ones_at_once(self) -> None:
        lines = faults(TINY, "seed", "task..sigma=3", "run.cpus=0", "sede=1")
        assert [line.partition(":")[0] for line in lines] == [
            "--set",
            "trial.task..sigma",
            "trial.sede",
            "run.cpus",
        ]


class TestOneFault:
    """Of a field: where, the rule or what is allowed, the value, the nearest name."""

    @pytest.mark.parametrize(
        ("field", "value", "line"),
        [
            (
                "task",
                {"kind": "denoising", "sigma": 25, "clp": True},
                "trial.task.clp: unknown key 'clp'; did you mean 'clip'? "
                "allowed: kind, sigma, clip",
            ),
            ("task", {"kind": "denoising"}, "trial.task.sigma: is missing"),
            ("task", "denoising", "trial.task.sigma: is missing"),
            (
                "task",
                {"kind": "denosing", "sigma": 25},
                "trial.task.kind: unknown kind 'denosing'; did you mean 'denoising'? "
                f"allowed: {TASKS}",
            ),
            ("task", None, f"trial.task: must be a mapping with a kind ({TASKS}), got null"),
            ("task", 3, f"trial.task: must be a mapping with a kind ({TASKS}), got 3"),
            (
                "task",
                {"kind": "denoising", "sigma": "25"},
                "trial.task.sigma: must be a number, got '25'",
            ),
            (
                "task",
                {"kind": "denoising", "sigma": True},
                "trial.task.sigma: must be a number, got true",
            ),
            (
                "task",
                {"kind": "denoising", "sigma": float("nan")},
                "trial.task.sigma: must be a finite number, got nan",
            ),
            (
                "task",
                {"kind": "denoising", "sigma": -25},
                "trial.task.sigma: sigma is in 8-bit grey levels, at least 1, got -25",
            ),
            (
                "task",
                {"kind": "denoising", "sigma": 0.1},
                "trial.task.sigma: sigma is in 8-bit grey levels, at least 1: "
                "for 0.1 in [0, 1] write 25.5, got 0.1",
            ),
            (
                "task",
                {"kind": "denoising", "sigma": [15, 25]},
                "trial.task.sigma: must be a number, got [15, 25]; "
                "a list of values to try belongs in the grid",
            ),
            (
                "prior",
                "unet",
                "trial.prior: unknown kind 'unet'; did you mean 'oes_unet'? "
                "allowed: skip, deep_decoder, oes_unet",
            ),
            (
                "prior",
                {"kind": "skip", "width": 0},
                "trial.prior.width: must be at least 1, got 0",
            ),
            (
                "pruner",
                "snpi",
                f"trial.pruner: unknown kind 'snpi'; did you mean 'snip'? allowed: {PRUNERS}",
            ),
            (
                "pruner",
                {"kind": "magnitud"},
                "trial.pruner.kind: unknown kind 'magnitud'; did you mean 'magnitude'? "
                f"allowed: {PRUNERS}",
            ),
            (
                "pruner",
                None,
                f"trial.pruner: must be a mapping with a kind ({PRUNERS}), got null",
            ),
            (
                "pruner",
                {"kind": "random", "scop": "layer"},
                "trial.pruner.scop: unknown key 'scop'; did you mean 'scope'? "
                "allowed: kind, scope, rounds",
            ),
            (
                "schedule",
                {"kind": "rate", "rate": 1.5},
                "trial.schedule.rate: must be less than 1, got 1.5",
            ),
            (
                "schedule",
                {"kind": "rate", "steps": 1.5},
                "trial.schedule.steps: must be a whole number, got 1.5",
            ),
            ("schedule", [], "trial.schedule: must be a list of at least 1, got []"),
            (
                "schedule",
                [0.5, 0.2],
                "trial.schedule: level 0 is dense: densities begin with 1, got 0.5",
            ),
            (
                "schedule",
                [1, 0.5, 0.5],
                "trial.schedule: densities must fall from level to level, got (1.0, 0.5, 0.5)",
            ),
            ("schedule", [1, 1.5], "trial.schedule.1: must be at most 1, got 1.5"),
            ("schedule", [1, 0], "trial.schedule.1: must be greater than 0, got 0"),
            ("schedule", [1, "half"], "trial.schedule.1: must be a number, got 'half'"),
            (
                "schedule",
                [1, 0.00001],
                "trial.schedule: level 1 would keep 0 of 1140 weights, 1140 before it; "
                "each level must keep fewer than the last, and at least one",
            ),
            ("fit", None, "trial.fit: must be a mapping, got null"),
            ("fit", "long", "trial.fit: must be a mapping, got 'long'"),
            (
                "fit",
                {"precision": "fp16"},
                "trial.fit.precision: unknown value 'fp16'; did you mean 'bf16'? "
                "allowed: fp32, tf32, bf16",
            ),
            ("fit", {"compiled": "yes"}, "trial.fit.compiled: must be true or false, got 'yes'"),
            (
                "fit",
                {"steps": 50, "stopping": {"window": 100}},
                "trial.fit: stopping.window must not be longer than the fit: "
                "got window 100 and steps 50",
            ),
            (
                "fit",
                {"stopping": {"window": 15, "stride": 10}},
                "trial.fit.stopping: window must be a multiple of stride, got 15 and 10",
            ),
            ("seed", -1, "trial.seed: must be at least 0, got -1"),
            ("seed", 1.0, "trial.seed: must be a whole number, got 1.0"),
            (
                "kind",
                "transfr",
                "trial.kind: unknown kind 'transfr'; did you mean 'transfer'? "
                "allowed: trajectory, transfer, classification, generator, reconstruction",
            ),
            (
                "sede",
                1,
                "trial.sede: unknown key 'sede'; did you mean 'seed'? allowed: "
                "kind, images, task, prior, pruner, schedule, rewind, target, latents, fit, seed",
            ),
        ],
    )
    def test_in_the_trial(self, field: str, value: object, line: str) -> None:
        document = tiny()
        document["trial"][field] = value
        assert fault(document) == line

    @pytest.mark.parametrize(
        ("images", "line"),
        [
            (
                None,
                f"trial.images: must be a mapping with a kind ({IMAGES}), got null",
            ),
            ([], "trial.images: must be a list of at least 1, got []"),
            (["moon", "moon"], "trial.images: each image once, got moon, moon"),
            (
                {"name": "camera"},
                f"trial.images.kind: is missing; allowed: {IMAGES}",
            ),
            ({"kind": "file"}, "trial.images.path: is missing"),
            ({"kind": "file", "path": 3}, "trial.images.path: must be text, got 3"),
            (
                {"kind": "builtin", "name": "camera", "size": 64},
                "trial.images.size: must be a list, got 64",
            ),
            (
                {"kind": "builtin", "name": "camera", "size": [64, 64.0]},
                "trial.images.size.1: must be a whole number, got 64.0",
            ),
            (
                {"kind": "builtin", "name": "camera", "size": [64, 0]},
                "trial.images: size must be [height, width] of at least 1, got (64, 0)",
            ),
            (
                {"kind": "builtin", "name": "camera", "channels": 2},
                "trial.images.channels: unknown value 2; allowed: 1, 3",
            ),
            (
                {"kind": "builtin", "name": "camera", "rows": [0, 9999]},
                "trial.images: crop rows (0, 9999), columns (0, 512) is outside of camera "
                "(512×512)",
            ),
            (
                {"kind": "builtin", "name": "camera", "size": [4, 64]},
                "trial.images: camera is 4×64, but this prior needs at least 5×5",
            ),
        ],
    )
    def test_of_the_image(self, images: object, line: str) -> None:
        assert fault(tiny(trial_images=images)) == line

    @pytest.mark.parametrize(
        ("images", "path"),
        [
            ("camra", "trial.images"),
            (["camra"], "trial.images.0"),
            ({"kind": "builtin", "name": "camra"}, "trial.images.name"),
            ([{"kind": "builtin", "name": "camra"}], "trial.images.0.name"),
        ],
    )
    def test_an_unknown_image_is_where_it_was_written(self, images: object, path: str) -> None:
        line = fault(tiny(trial_images=images))
        assert line.startswith(f"{path}: unknown value 'camra'; did you mean 'camera'? allowed: ")
        assert line.endswith("rocket, text")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("missing.png", "cannot read image {path}: No such file or directory"),
            (
                ".",
                "cannot read image {path}: Is a directory; {{kind: folder, path: {path}}} makes a "
                "trial of each of its pictures",
            ),
            ("words.png", "{path} is not an image that can be read"),
            (
                "deep.png",
                "{path} is a 16-bit PNG; only 8-bit images are read without white, the value that "
                "is white",
            ),
            ("clear.png", "{path} has transparent pixels; flatten its alpha channel first"),
            ("small.png", "is 4×4, but this prior needs at least 5×5"),
        ],
    )
    @pytest.mark.parametrize("where", ["trial", "grid"])
    def test_of_an_image_file(self, name: str, reason: str, where: str, tmp_path: Path) -> None:
        Path("words.png").write_text("no picture")
        for file, pixels in (
            ("deep.png", np.zeros((40, 40), np.uint16)),
            ("clear.png", np.zeros((40, 40, 4), np.uint8)),
            ("small.png", np.zeros((4, 4), np.uint8)),
        ):
            Picture.fromarray(pixels).save(file)
        given = f"./{name}"
        document = tiny(trial_images=given) if where == "trial" else tiny(grid={"images": [given]})
        line = fault(document)
        assert line.startswith({"trial": "trial.images: ", "grid": "grid.images[0]: "}[where])
        assert reason.format(path=(tmp_path / name).resolve()) in line

    @pytest.mark.parametrize(
        ("run", "line"),
        [
            (None, "run: must be a mapping, got null"),
            ([1], "run: must be a mapping, got [1]"),
            (
                {"stroe": "x"},
                "run.stroe: unknown key 'stroe'; did you mean 'store'? "
                "allowed: store, sources, device, cpus, gpus, memory_gb, kinds, concurrent, "
                "most_trials, retries, level_limit_s, store_patience_s, checkpoint_s, pictures, "
                "trackers",
            ),
            (
                {"device": "gpu"},
                "run.device: unknown value 'gpu'; did you mean 'cpu'? allowed: auto, cpu, cuda",
            ),
            ({"cpus": 0}, "run.cpus: must be at least 1, got 0"),
            ({"cpus": [1, 2]}, "run.cpus: must be a whole number, got [1, 2]"),
            ({"gpus": -1}, "run.gpus: must be at least 0, got -1"),
            ({"gpus": "all"}, "run.gpus: must be a number or auto, got 'all'"),
            ({"gpus": True}, "run.gpus: must be a number or auto, got true"),
            ({"gpus": [1]}, "run.gpus: must be a number or auto, got [1]"),
            (
                {"kinds": {"transfer": {"gpus": "Auto"}}},
                "run.kinds.transfer.gpus: must be a number or auto, got 'Auto'",
            ),
            (
                {"gpus": 1.5},
                "run: gpus above 1 must be a whole number: GPUs are shared, not split; got 1.5",
            ),
            (
                {"kinds": {"transfers": {"gpus": 0.5}}},
                "run.kinds: unknown value 'transfers'; did you mean 'transfer'? "
                "allowed: trajectory, transfer, classification, generator, reconstruction",
            ),
            ({"store": 3}, "run.store: must be text, got 3"),
            ({3: 3}, "run: a key must be text, got 3"),
        ],
    )
    def test_in_run(self, run: object, line: str) -> None:
        assert fault(tiny(run=run)) == line

    @pytest.mark.parametrize(
        ("document", "got"), [(None, "null"), ([], "[]"), ("x", "'x'"), (3, "3")]
    )
    def test_no_mapping_at_all(self, document: object, got: str) -> None:
        assert fault(document) == (
            "a sweep is a mapping with the keys name, trial, sources, cases, grid, search, quick, "
            f"run; got {got}"
        )

    @pytest.mark.parametrize(
        ("section", "value", "line"),
        [
            ("name", None, "name: must be text, got null"),
            ("name", 3, "name: must be text, got 3"),
            (
                "name",
                "../x",
                "name: must be letters, digits, - and _ only, the first a letter or a digit, "
                "got '../x'",
            ),
            ("trial", "quick", "trial: must be a mapping, got 'quick'"),
            ("grid", ["seed"], "grid: must be a mapping, got ['seed']"),
            ("grid", {1: [2]}, "grid: a key must be text, got 1"),
            ("quick", 3, "quick: must be a mapping, got 3"),
            ("quick", {1: 2}, "quick: a key must be text, got 1"),
            (
                "gird",
                {},
                "gird: unknown key 'gird'; did you mean 'grid'? "
                "allowed: name, trial, sources, cases, grid, search, quick, run",
            ),
        ],
    )
    def test_of_a_section(self, section: str, value: object, line: str) -> None:
        assert fault(tiny(**{section: value})) == line

    @pytest.mark.parametrize("section", ["name", "trial"])
    def test_a_missing_section(self, section: str) -> None:
        document = tiny()
        del document[section]
        assert fault(document) == f"{section}: is missing"

    def test_a_long_value_is_cut(self) -> None:
        line = fault(tiny(trial_seed="x" * 1000))
        assert line.endswith("xxx...")
        assert len(line) < 130


class TestFaultsInTheGrid:
    """Each under `grid.axis[index]`; a wrong name under `grid.axis`, once."""

    @pytest.mark.parametrize(
        ("grid", "lines"),
        [
            ({"seed": []}, ["grid.seed: must be a list of at least one value, got []"]),
            ({"seed": 3}, ["grid.seed: must be a list of at least one value, got 3"]),
            (
                {"seed": [0, "a", 1, -1]},
                [
                    "grid.seed[1]: must be a whole number, got 'a'",
                    "grid.seed[3]: must be at least 0, got -1",
                ],
            ),
            ({"seed": [1, True]}, ["grid.seed[1]: must be a whole number, got true"]),
            (
                {"pruner": ["magnitude", "rand", {"kind": "snip", "scop": 1}]},
                [
                    "grid.pruner[1]: unknown kind 'rand'; did you mean 'random'? "
                    f"allowed: {PRUNERS}",
                    "grid.pruner[2].scop: unknown key 'scop'; did you mean 'scope'? "
                    "allowed: kind, scope, rounds",
                ],
            ),
            (
                {"prior.width": ["wide", 4], "seed": ["a", 0]},
                [
                    "grid.prior.width[0]: must be a whole number, got 'wide'",
                    "grid.seed[0]: must be a whole number, got 'a'",
                ],
            ),
            (
                {"fit.setps": [100, 200, 300]},
                [
                    "grid.fit.setps: unknown key 'setps'; did you mean 'steps'? "
                    f"allowed: {FIT_FIELDS}"
                ],
            ),
            (
                {"trial.seed": [0, 1]},
                [
                    "grid.trial.seed: unknown key 'trial'; allowed: "
                    "kind, images, task, prior, pruner, schedule, rewind, target, latents, fit, "
                    "seed"
                ],
            ),
            ({"seed": [0, 0]}, ["grid: gives the trial {'seed': 0} twice"]),
            (
                {"pruner": ["snip", {"kind": "snip"}]},
                ["grid: gives the trial {'pruner': {'kind': 'snip'}} twice"],
            ),
            ({"task.sigma": [25, 25.0]}, ["grid: gives the trial {'task.sigma': 25.0} twice"]),
            (
                {"prior": [{"kind": "skip", "scales": 2}], "prior.width": [4, 8]},
                ["grid: prior and prior.width set the same field"],
            ),
            (
                {"prior.width": [4, 8], "prior": [{"kind": "skip", "scales": 2}]},
                ["grid: prior.width and prior set the same field"],
            ),
            (
                {"fit.steps": [200, 50], "fit.stopping.warm_up": [60]},
                [
                    "grid.fit.steps[1] and grid.fit.stopping.warm_up[0]: stopping.warm_up must be "
                    "shorter than the fit: got warm_up 60 and steps 50"
                ],
            ),
            (
                {"fit.steps": [200, 50], "fit.stopping.window": [100, 10]},
                [
                    "grid.fit.steps[1] and grid.fit.stopping.window[0]: stopping.window must not "
                    "be longer than the fit: got window 100 and steps 50"
                ],
            ),
            (
                {"schedule": [[1, 0.5], [0.5], [1, 2]]},
                [
                    "grid.schedule[1]: level 0 is dense: densities begin with 1, got 0.5",
                    "grid.schedule[2].1: must be at most 1, got 2",
                ],
            ),
            (
                {"images.size": [[32, 32], [2, 2]]},
                ["grid.images.size[1]: camera is 2×2, but this prior needs at least 5×5"],
            ),
            (
                {"schedule.7": [0.1]},
                ["grid.schedule.7: '7' is no item of the list there: it has 2, counted from 0"],
            ),
            (
                {"task.sigma.x": [1]},
                ["grid.task.sigma.x: task.sigma is 25, which has no fields: set task.sigma itself"],
            ),
            ({"": [1]}, ["grid.: a dotted path has no empty parts"]),
        ],
    )
    def test_where_and_what(self, grid: dict[str, object], lines: list[str]) -> None:
        assert faults(tiny(grid=grid)) == lines

    def test_one_name_that_only_begins_another_is_no_overlap(self) -> None:
        document = tiny(grid={"prior.width": [4], "prior.width_x": [1]})
        assert fault(document).startswith("grid.prior.width_x: unknown key 'width_x'")

    def test_a_wrong_axis_does_not_make_its_field_missing(self) -> None:
        document = tiny(grid={"task.sigma": [], "seed": [-1]})
        del document["trial"]["task"]["sigma"]
        assert faults(document) == [
            "grid.task.sigma: must be a list of at least one value, got []",
            "grid.seed[0]: must be at least 0, got -1",
        ]


class TestMissingInTheGrid:
    """A field that one value of an axis leaves out is missing there, and said so."""

    def test_a_kind_alone_that_needs_more(self) -> None:
        tasks = ["inpainting", {"kind": "denoising", "sigma": 9}]
        assert faults({**TINY, "grid": {"task": tasks}}) == ["grid.task[0].mask: is missing"]

    def test_what_a_wrong_axis_would_give_is_not_missed(self) -> None:
        document = {**TINY, "grid": {"task.mask": 3}}
        document["trial"] = {**TINY["trial"], "task": {"kind": "inpainting"}}
        assert faults(document) == ["grid.task.mask: must be a list of at least one value, got 3"]


class TestAllFaultsAtOnce:
    def test_in_every_section(self) -> None:
        document = {
            "name": "a b",
            "trial": {
                "images": "camra",
                "task": {"kind": "denoising", "sigma": 0.1, "clp": 1},
                "prior": {"kind": "skip", "width": 0},
                "pruner": "snp",
                "schedule": [1, 2],
                "fit": {"learning_rate": "x", "precision": "fp16"},
            },
            "grid": {"seed": ["a"], "fit.steps": []},
            "run": {"cpu": 3},
            "qick": {},
        }
        paths = [line.partition(": ")[0] for line in faults(document, "nonsense")]
        assert paths == [
            "name",
            "qick",
            "--set",
            "grid.fit.steps",
            "trial.images",
            "trial.task.sigma",
            "trial.task.clp",
            "trial.prior.width",
            "trial.pruner",
            "trial.schedule.1",
            "trial.fit.learning_rate",
            "trial.fit.precision",
            "grid.seed[0]",
            "run.cpu",
        ]

    def test_a_small_image_beside_an_unreadable_one(self) -> None:
        lines = faults(
            tiny(grid={"images": [{"kind": "builtin", "name": "moon", "size": [2, 2]}, "no.png"]})
        )
        assert [line.partition(": ")[0] for line in lines] == ["grid.images[0]", "grid.images[1]"]

    def test_as_values(self) -> None:
        with pytest.raises(SweepError) as caught:
            Sweep.build(tiny(trial_seed=-1), source="mine")
        assert caught.value.source == "mine"
        assert caught.value.problems == (Mistake("trial.seed", "must be at least 0, got -1"),)


class TestFiles:
    @staticmethod
    def refusal(path: Path) -> str:
        with pytest.raises(SweepError) as caught:
            Sweep.from_yaml(path)
        (line,) = plain_lines(caught.value)
        assert caught.value.source == str(path)
        return line

    def test_missing(self) -> None:
        assert self.refusal(Path("no.yaml")) == "cannot be read: No such file or directory"

    def test_a_folder(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path) == "cannot be read: Is a directory"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                "",
                "a sweep is a mapping with the keys name, trial, sources, cases, grid, search, "
                "quick, run; got null",
            ),
            (
                "- a",
                "a sweep is a mapping with the keys name, trial, sources, cases, grid, search, "
                "quick, run; got ['a']",
            ),
            ("name: a\nname: b", "line 2: duplicate key 'name'"),
            ("name: a\n\ttrial: 3", "line 2: found character '\\t' that cannot start any token"),
            ("name: [a", "line 1: expected ',' or ']', but got '<stream end>'"),
            ("name: !!python/object:a.b {}", "line 1: the tag !!python/object:a.b is not allowed"),
        ],
    )
    def test_wrong_text(self, content: str, message: str) -> None:
        path = Path("s.yaml")
        path.write_text(content)
        assert self.refusal(path).startswith(message)

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
    def test_not_utf8(self, encoding: str) -> None:
        path = Path("s.yaml")
        path.write_bytes("name: café".encode(encoding))
        assert self.refusal(path) == "cannot be read: it is not UTF-8 text"


NUMBERS = st.integers(-2, 12) | st.sampled_from([0.5, 1.5, -0.1, float("nan"), float("inf")])
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.sampled_from(["", "x", "random", "camera", "rate", "a.png", "ä\n", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "path", "", "steps", 3]), inner, max_size=3
        )
    ),
    max_leaves=4,
)
WHOLE = tiny(
    grid={"seed": [0, 1], "pruner": ["random", {"kind": "snip"}]},
    quick={"fit.steps": 100, "grid.seed": [0]},
    run={"cpus": 1, "device": "cpu"},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


@given(st.sampled_from(list(places(WHOLE))), JUNK, st.booleans())
def test_whatever_is_written_it_is_a_sweep_or_refused_in_plain_words(
    path: tuple[Any, ...], junk: object, quick: bool
) -> None:
    document = copy.deepcopy(WHOLE)
    *parents, last = path
    place: Any = document
    for key in parents:
        place = place[key]
    place[last] = junk
    try:
        sweep = Sweep.build(document, quick=quick)
    except SweepError as error:
        plain_lines(error)
    else:
        assert sweep.trials


class TestCases:
    """Fields that are set together."""

    def test_each_case_meets_each_point_of_the_grid(self) -> None:
        document = tiny(
            cases=[{"task.sigma": 15, "fit.steps": 100}, {"task.sigma": 50, "fit.steps": 200}],
            grid={"seed": [0, 1]},
        )
        trials = built(document).trials
        assert [(t.task.sigma, t.fit.steps, t.seed) for t in trials] == [
            (15, 100, 0),
            (15, 100, 1),
            (50, 200, 0),
            (50, 200, 1),
        ]

    @pytest.mark.parametrize(
        ("cases", "lines"),
        [
            (
                [{"task.sigma": 0.1}, {"task.sigma": 25}],
                [
                    "cases[0].task.sigma: sigma is in 8-bit grey levels, at least 1: "
                    "for 0.1 in [0, 1] write 25.5, got 0.1"
                ],
            ),
            (
                [{"fit.setps": 3}],
                [
                    "cases[0].fit.setps: unknown key 'setps'; did you mean 'steps'? "
                    f"allowed: {FIT_FIELDS}"
                ],
            ),
            (
                [{"seed": 1}, {"seed": 1}],
                ["grid: gives the trial {'seed': 1} twice"],
            ),
            ([3], ["cases.0: must be a mapping, got 3"]),
        ],
    )
    def test_what_is_wrong_is_told_by_its_case(self, cases: Any, lines: list[str]) -> None:
        assert faults(tiny(cases=cases)) == lines

    def test_a_case_and_an_axis_cannot_set_the_same(self) -> None:
        document = tiny(cases=[{"fit": {"steps": 100}}], grid={"fit.steps": [100, 200]})
        assert faults(document) == ["grid: fit and fit.steps set the same field"]

    def test_they_are_replaced_as_a_whole(self) -> None:
        document = tiny(cases=[{"seed": 1}, {"seed": 2}], quick={"cases": [{"seed": 3}]})
        assert [trial.seed for trial in built(document, quick=True).trials] == [3]
        assert [t.seed for t in built(document, overrides=["cases=[{seed: 4}]"]).trials] == [4]
        assert fault(document, "seed=5") == "trial.seed: cases[0] sets seed: set cases instead"
        assert fault(document, "cases=5") == "cases: must be a list of mappings, got 5"


class TestSources:
    """All tickets of another sweep, on these images and tasks."""

    @pytest.fixture
    def found(self, tmp_path: Path) -> Path:
        """A sweep of two pruners and two seeds, in a folder of its own."""
        path = tmp_path / "finding" / "found.yaml"
        path.parent.mkdir()
        document = tiny(
            grid={"pruner": ["magnitude", "random"], "seed": [0, 1]},
            quick={"grid.seed": [0], "fit.steps": 100},
        )
        path.write_text(yaml.safe_dump(document))
        return path

    def transfers(self, **sections: Any) -> dict[str, Any]:
        return {
            "name": "moved",
            "sources": "finding/found.yaml",
            "trial": {"kind": "transfer"},
        } | sections

    def test_every_trajectory_becomes_a_source(self, found: Path, tmp_path: Path) -> None:
        tasks = [{"kind": "denoising", "sigma": sigma} for sigma in (25, 50)]
        sweep = Sweep.build(self.transfers(grid={"task": tasks}), folder=tmp_path)
        trajectories = Sweep.from_yaml(found).trials
        assert [trial.source.id for trial in sweep.trials] == [
            trajectory.id for trajectory in trajectories for _ in range(2)
        ]
        assert [trial.task.sigma for trial in sweep.trials[:2]] == [25, 50]

    def test_a_file_finds_it_from_its_own_folder(self, found: Path, tmp_path: Path) -> None:
        path = tmp_path / "moved.yaml"
        path.write_text(yaml.safe_dump(self.transfers()))
        assert len(Sweep.from_yaml(path).trials) == 4
        assert len(Sweep.from_yaml(path, quick=True).trials) == 2, "quick shrinks the sources too"

    def test_some_of_them_changed(self, found: Path, tmp_path: Path) -> None:
        sources = {
            "sweep": "finding/found.yaml",
            "where": {"pruner.kind": "random", "seed": [1, 7]},
            "set": {"fit.steps": 150},
        }
        (trial,) = Sweep.build(self.transfers(sources=sources), folder=tmp_path).trials
        assert (trial.source.pruner.kind, trial.source.seed) == ("random", 1)
        assert trial.source.fit.steps == 150

    @pytest.mark.parametrize(
        ("sources", "line"),
        [
            ("none.yaml", "sources: none.yaml: cannot be read: No such file or directory"),
            (
                {"sweep": "finding/found.yaml", "where": {"pruner.kind": "snip"}},
                "sources: finding/found.yaml has no trajectory or generator where "
                "{'pruner.kind': 'snip'}",
            ),
            (
                {"sweep": "finding/found.yaml", "whre": {}},
                "sources.whre: unknown key 'whre'; did you mean 'where'? "
                "allowed: sweep, set, where",
            ),
            (
                {"sweep": "finding/found.yaml", "set": {"fit.steps": 0}},
                "sources: finding/found.yaml: trial.fit.steps: must be at least 1, got 0",
            ),
        ],
    )
    def test_what_is_wrong_with_them(
        self, found: Path, tmp_path: Path, sources: Any, line: str
    ) -> None:
        assert faults(self.transfers(sources=sources)) == [line]

    def test_sources_of_sources_are_refused(self, found: Path, tmp_path: Path) -> None:
        (tmp_path / "moved.yaml").write_text(yaml.safe_dump(self.transfers()))
        (line,) = faults(self.transfers(sources="moved.yaml"))
        assert line == (
            "sources: moved.yaml: sources: the sources of a sweep cannot have sources themselves"
        )


SMALL = {"kind": "builtin", "name": "camera", "size": [32, 32]}
FOUND = {**TINY["trial"], "pruner": "magnitude"}


class TestSenseless:
    """What cannot be meant is refused before anything runs, with the reason."""

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            (
                {
                    "task": {"kind": "super_resolution", "factor": 8},
                    "images": {**SMALL, "size": [36, 36]},
                },
                r"trial.task.factor: .*36.*8",
            ),
            ({"prior": "oes_unet"}, r"trial.images: camera is 32×32, .* needs at least 129×129"),
            (
                {
                    "images": [SMALL, {"kind": "builtin", "name": "moon", "size": [33, 33]}],
                    "prior": {"kind": "deep_decoder", "width": 8, "layers": 2},
                },
                r"trial.images: a deep_decoder network makes images of one size only, "
                r"got 32×32 and 33×33: set size on each",
            ),
            ({"pruner": {"kind": "random", "rounds": 3}}, r"trial.pruner.rounds: .*3"),
            ({"pruner": {"kind": "magnitude", "rounds": 3}}, r"trial.pruner.rounds: .*3"),
            (
                {"rewind": {"kind": "step", "step": 100}},
                r"trial: rewind.step must be less than the fit's steps: got step 100 and steps 100",
            ),
            (
                {"fit": {"steps": 100, "stopping": {"warm_up": 100}}},
                r"trial.fit: stopping.warm_up must be shorter than the fit: got warm_up 100 and",
            ),
            (
                {"kind": "transfer", "source": {**FOUND, "rewind": "reinit"}},
                r"trial.travels: .* only its mask can travel",
            ),
            (
                {"kind": "transfer", "source": FOUND, "take": [5]},
                r"trial: take must be levels of the source, which has 0 to 1: got \[5\]",
            ),
            (
                {
                    "kind": "transfer",
                    "source": {
                        "kind": "consensus",
                        "trajectories": [FOUND, {**FOUND, "schedule": [1, 0.3]}],
                    },
                    "images": SMALL,
                    "task": TINY["trial"]["task"],
                },
                r"trial.source: trajectories must have the same schedule",
            ),
            (
                {
                    "kind": "classification",
                    "source": {**FOUND, "prior": {"kind": "deep_decoder", "width": 8, "layers": 2}},
                    "dataset": "digits",
                },
                r"trial.source: the latent of deep_decoder is smaller",
            ),
        ],
    )
    def test_why(self, changes: dict[str, Any], line: str) -> None:
        document = tiny()
        if "kind" in changes:
            document["trial"] = {}
        document["trial"] |= changes
        assert re.match(line, fault(document)), fault(document)
