"""Ids are for ever: pinned ids, pinned defaults, and what may and may not change an id.

A test here that fails means that results already stored would no longer be found. Never change a
pinned value; `make pins` pins a new field or a new spec class.
"""

import hashlib
import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pins
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from pins import REQUIRED, changed, defaults, every_spec, read, text
from pydantic import TypeAdapter

from lip_ray.data.images import BuiltinImage, FileImage
from lip_ray.fits import Discrepancy, ExponentialVariance, Fit, HeldOut, WindowedVariance
from lip_ray.priors import DeepDecoder, OesUnet, Skip
from lip_ray.pruning import Densities, Magnitude, Random, Rate, Snip
from lip_ray.spec import EPOCH, Spec
from lip_ray.sweep import Sweep
from lip_ray.tasks import Denoising
from lip_ray.trials import Trajectory, Trial

QUICKSTART = Path(str(files("lip_ray.sweeps"))) / "quickstart.yaml"
CAMERA = BuiltinImage(name="camera")
NOISE = Denoising(sigma=25)

PINNED = {
    "cb6dde6e4bacefb9": Trajectory(images=(CAMERA,), task=NOISE),
    "96940f2b28d65baf": Trajectory(images=(CAMERA,), task=NOISE, seed=7),
    "734d70bd63b7aa93": Trajectory(
        images=(CAMERA,), task=Denoising(sigma=12.5, clip=False), pruner=Snip()
    ),
    "397468088fa84107": Trajectory(
        images=(
            BuiltinImage(
                name="chelsea", rows=(0, 256), columns=(96, 352), size=(64, 64), channels=1
            ),
        ),
        task=Denoising(sigma=50),
        prior=Skip(width=16, scales=3, skip_width=0, input_channels=8),
        pruner=Random(),
        schedule=Densities(densities=(1, 0.5, 0.1)),
    ),
    "149b2670589f10cc": Trajectory(
        images=(CAMERA,),
        task=NOISE,
        schedule=Rate(rate=0.5, steps=4),
        fit=Fit(
            steps=500,
            learning_rate=1e-3,
            input_noise=0,
            average=0.9,
            stopping=WindowedVariance(window=50, stride=5, patience=200),
            precision="bf16",
            compiled=True,
        ),
    ),
}

NEWER: dict[str, Any] = {
    "PHOTON": {
        "images": "camera",
        "task": {"kind": "poisson", "peak": 30},
        "prior": "deep_decoder",
        "pruner": {"kind": "oes", "steps": 100, "scope": "erk"},
        "rewind": {"kind": "step", "step": 100},
        "target": "clean",
        "latents": "redrawn",
        "fit": {"stopping": {"kind": "emv", "patience": 500, "ends_fit": True}},
    },
    "HOLES": {
        "images": ["camera", "moon"],
        "task": {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}},
        "prior": {"kind": "oes_unet"},
        "pruner": {"kind": "magnitude", "at": "dense", "scope": "layer"},
        "rewind": "finetune",
    },
    "MOVED": {
        "kind": "transfer",
        "source": {"images": "camera", "task": {"kind": "denoising", "sigma": 25}},
        "images": "moon",
        "task": {"kind": "super_resolution", "factor": 4},
        "travels": "layer_densities",
        "take": [4, 8],
        "seed": 3,
    },
    "AGREED": {
        "kind": "transfer",
        "source": {
            "kind": "consensus",
            "rule": "vote",
            "trajectories": [
                {"images": name, "task": {"kind": "denoising", "sigma": 25}}
                for name in ("camera", "moon")
            ],
        },
        "images": "clock",
        "task": {"kind": "deblurring", "kernel": {"kind": "motion", "length": 9}},
    },
    "READ": {
        "kind": "classification",
        "source": {"images": "camera", "task": {"kind": "denoising", "sigma": 25}},
        "dataset": "digits",
    },
    "LEARNED": {
        "kind": "generator",
        "prior": {"kind": "dcgan", "size": 8, "channels": 1},
        "images": "digits",
        "pruner": {"kind": "magnitude", "raw": True},
        "critic_pruned": True,
        "fit": {"steps": 500},
        "seed": 1,
    },
    "RECOVERED": {
        "kind": "reconstruction",
        "source": {"prior": {"size": 8, "channels": 1}, "images": "digits", "fit": {}},
        "images": [{"kind": "digit", "index": [0, 1]}, {"kind": "sample", "index": 2}],
        "task": {
            "kind": "compressed_sensing",
            "m": 32,
            "matrix": "orthogonal",
            "outliers": {"kind": "rows", "share": 0.05},
        },
        "solver": {"kind": "median_of_means", "block": 4, "candidates": 8},
        "take": [0, 3],
        "seed": 2,
    },
    "SPARSE": {
        "kind": "reconstruction",
        "source": "dct",
        "images": {"kind": "digit", "index": 0, "split": "training"},
        "task": {"kind": "compressed_sensing", "m": 9, "outliers": {"kind": "flips", "share": 0.2}},
        "solver": "lasso",
    },
}
NEWER_IDS = {
    "PHOTON": "fd4135c2e9ce14cd",
    "HOLES": "0182aee20d8fb2a8",
    "MOVED": "3d6d8c3bd51d68c8",
    "AGREED": "f4e7578531338da9",
    "READ": "cb3a8d5f2a1b5b79",
    "LEARNED": "93d2bc8369694906",
    "RECOVERED": "427756390cf7d89e",
    "SPARSE": "4ef610dba5e80d6c",
}

QUICKSTART_TRIALS = [
    "e2e65d1eb0fd9fdd",
    "8c757657a562a620",
    "d415180e237051ab",
    "c8821b5eda3eb933",
    "dc828d8cd3a503a8",
    "d6527eae42e7ad3c",
    "0ac519cc766460ec",
    "32fee81d598c0dc5",
    "0a411572d02ea7d5",
]

FIT_SAID = (
    '"fit":{"average":0.99,"held_out":0.03,"input_noise":0.03333333333333333,"steps":3000,'
    '"stopping":{"kind":"held_out"}}'
)
"""What is always said of a fit, as it depends on the task and the network."""

ANY_TRIAL: TypeAdapter[Any] = TypeAdapter(Trial)
DEFAULTS = read()


class TestPinned:
    @pytest.mark.parametrize("pinned", PINNED)
    def test_ids(self, pinned: str) -> None:
        assert PINNED[pinned].id == pinned

    @pytest.mark.parametrize("name", NEWER)
    def test_ids_of_all_kinds_of_trials(self, name: str) -> None:
        assert ANY_TRIAL.validate_python(NEWER[name]).id == NEWER_IDS[name]

    def test_what_a_fit_is_by_default(self) -> None:
        """The settings that the network was published with."""
        said = {}
        for prior in ("skip", "deep_decoder", "oes_unet"):
            trial = Trajectory.model_validate(
                {"images": "camera", "task": "projection", "prior": prior}
            )
            said[prior] = (trial.fit.steps, trial.fit.input_noise, trial.fit.average)
        assert said == {
            "skip": (3000, 1 / 30, 0.99),
            "deep_decoder": (1900, 0.0, 0.0),
            "oes_unet": (40_000, 0.0, 0.0),
        }

    @pytest.mark.parametrize(
        ("task", "kind", "share"),
        [
            ({"kind": "denoising", "sigma": 25}, "held_out", 0.03),
            ({"kind": "poisson", "peak": 30}, "held_out", 0.03),
            ({"kind": "salt_and_pepper", "share": 0.1}, "held_out", 0.03),
            ({"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}}, "wmv", 0.0),
            (
                {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}, "sigma": 10},
                "held_out",
                0.03,
            ),
            ({"kind": "super_resolution", "factor": 4}, "wmv", 0.0),
            ({"kind": "compressed_sensing", "m": 100, "sigma": 2}, "held_out", 0.03),
            ("projection", "wmv", 0.0),
        ],
    )
    def test_what_judges_a_fit_by_default(self, task, kind: str, share: float) -> None:
        trial = Trajectory.model_validate({"images": "camera", "task": task})
        assert (trial.fit.stopping.kind, trial.fit.held_out) == (kind, share)
        clean = Trajectory.model_validate({"images": "camera", "task": task, "target": "clean"})
        assert (clean.fit.stopping, clean.fit.held_out) == (WindowedVariance(), 0.0)

    def test_the_id_is_the_hash_of_what_was_said(self) -> None:
        said = (
            '{"epoch":2,' + FIT_SAID + ',"images":[{"kind":"builtin","name":"camera"}],'
            '"kind":"trajectory","seed":7,"task":{"kind":"denoising","sigma":25.0}}'
        )
        assert hashlib.sha256(said.encode()).hexdigest()[:16] == "96940f2b28d65baf"
        assert PINNED["96940f2b28d65baf"].canonical_json() == said

    def test_the_quickstart_sweep(self) -> None:
        sweep = Sweep.from_yaml(QUICKSTART)
        assert [trial.id for trial in sweep.trials] == QUICKSTART_TRIALS
        assert sweep.id == "79b019870ea416b1"

    def test_a_sweep_is_known_by_its_trials_in_order(self) -> None:
        sweep = Sweep.from_yaml(QUICKSTART)
        renamed = Sweep(name="other", trials=sweep.trials, run=sweep.run)
        reordered = Sweep(name=sweep.name, trials=sweep.trials[::-1], run=sweep.run)
        assert (
            renamed.id
            == sweep.id
            == hashlib.sha256(",".join(QUICKSTART_TRIALS).encode()).hexdigest()[:16]
        )
        assert reordered.id != sweep.id

    def test_a_file_by_name_and_content(self, tmp_path: Path) -> None:
        image = FileImage(path=str(tmp_path / "cat.png"), name="cat", sha256="0" * 64)
        trial = Trajectory(images=(image,), task=NOISE)
        said = (
            '{"epoch":2,'
            + FIT_SAID
            + ',"images":[{"kind":"file","name":"cat","sha256":"'
            + "0" * 64
            + '"}],"kind":"trajectory","task":{"kind":"denoising","sigma":25.0}}'
        )
        assert hashlib.sha256(said.encode()).hexdigest()[:16] == "aee586b1ae003a31"
        assert trial.id == "aee586b1ae003a31"

    def test_every_spec_class_is_pinned(self) -> None:
        assert {spec.__name__ for spec in every_spec()} == set(DEFAULTS)

    @pytest.mark.parametrize("spec", every_spec())
    def test_a_default_never_changes(self, spec: type[Spec]) -> None:
        found, pinned = defaults(spec), DEFAULTS[spec.__name__]
        assert {name: found.get(name, "gone") for name in pinned} == pinned
        added = {name: default for name, default in found.items() if name not in pinned}
        assert REQUIRED not in added.values(), "a new field needs a default: the old behaviour"
        assert not added, "pin the new field's default, for ever: make pins"


class TestPins:
    """What `make pins` writes, and what it refuses."""

    def test_the_file_is_as_it_writes_it(self) -> None:
        path = Path(__file__).with_name("pinned_defaults.json")
        assert path.read_text(encoding="utf-8") == text(DEFAULTS)

    def test_what_is_added_is_no_change(self) -> None:
        old = {"Snip": {"kind": "snip"}}
        new = {"Snip": {"kind": "snip", "rounds": None}, "Other": {"path": REQUIRED}}
        assert list(changed(old, new)) == []

    @pytest.mark.parametrize(
        ("found", "line"),
        [
            ({"width": 2, "size": None}, "Net.width: was 1, is 2"),
            ({"width": 1}, "Net.size: was null, is gone"),
            ({"width": REQUIRED, "size": None}, "Net.width: was 1, is required"),
            (
                {"width": 1, "size": None, "new": REQUIRED},
                "Net.new: was not there, is required: give it a default",
            ),
        ],
    )
    def test_a_changed_default_is_named(self, found: dict[str, object], line: str) -> None:
        assert list(changed({"Net": {"width": 1, "size": None}}, {"Net": found})) == [line]

    def test_a_class_that_is_gone_is_named_by_its_fields(self) -> None:
        assert list(changed({"Net": {"width": 1}}, {})) == ["Net.width: was 1, is gone"]

    def test_nothing_is_written_where_a_default_would_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pinned = tmp_path / "pinned.json"
        pinned.write_text(text({**DEFAULTS, "Rate": {"rate": 0.3}}), encoding="utf-8")
        before = pinned.read_bytes()
        monkeypatch.setattr(pins, "PINNED", pinned)
        monkeypatch.setattr(pins, "SCHEMA", tmp_path / "schema.json")
        with pytest.raises(SystemExit, match=r"Rate\.rate: was 0\.3, is 0\.2"):
            pins.main()
        assert pinned.read_bytes() == before
        assert not (tmp_path / "schema.json").exists()


def test_ids_do_not_depend_on_the_process() -> None:
    code = (
        "import sys; from pathlib import Path; from lip_ray.sweep import Sweep\n"
        "print(*(t.id for t in Sweep.from_yaml(Path(sys.argv[1])).trials))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(QUICKSTART)],
        env={**os.environ, "PYTHONHASHSEED": "1"},  # this process has another
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == QUICKSTART_TRIALS


falling = st.sets(st.floats(0.001, 0.999), max_size=5).map(
    lambda densities: (1.0, *sorted(densities, reverse=True))
)
spans = st.none() | st.tuples(st.integers(0, 200), st.integers(201, 500))
framings = {
    "rows": spans,
    "columns": spans,
    "size": st.none() | st.tuples(st.integers(1, 500), st.integers(1, 500)),
    "channels": st.sampled_from([None, 1, 3]),
}
stoppings = st.builds(
    lambda stride, strides, patience, signal: WindowedVariance(
        stride=stride, window=stride * strides, patience=patience, signal=signal
    ),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 500),
    st.sampled_from(["average", "output"]),
)
stoppings |= st.sampled_from([WindowedVariance(), ExponentialVariance(), Discrepancy()])
trajectories = st.builds(
    Trajectory,
    images=st.tuples(
        st.builds(BuiltinImage, name=st.sampled_from(["camera", "astronaut"]), **framings)
    ),
    task=st.builds(Denoising, sigma=st.floats(1, 255) | st.integers(1, 255), clip=st.booleans()),
    prior=st.sampled_from([DeepDecoder(), OesUnet()])
    | st.builds(
        Skip,
        width=st.integers(1, 256),
        scales=st.integers(1, 6),
        skip_width=st.integers(0, 8),
        input_channels=st.integers(1, 64),
    ),
    pruner=st.sampled_from([Magnitude(), Random(), Snip()]),
    schedule=st.builds(Densities, densities=falling)
    | st.builds(Rate, rate=st.floats(0.01, 0.99), steps=st.integers(0, 30)),
    fit=st.sampled_from([Fit(), Fit(stopping=HeldOut())])
    | st.builds(
        Fit,
        steps=st.integers(400, 9000),
        learning_rate=st.floats(1e-9, 1),
        input_noise=st.floats(0, 1),
        average=st.floats(0, 0.999),
        stopping=stoppings,
        precision=st.sampled_from(["fp32", "tf32", "bf16"]),
        compiled=st.booleans(),
    ),
    seed=st.integers(0, 2**63 - 1),
)


def shuffled(value: Any) -> Any:
    """The same mappings with their keys in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


class TestLaws:
    @given(trajectories)
    def test_json_brings_the_same_spec_back(self, trial: Trajectory) -> None:
        back = Trajectory.model_validate_json(trial.model_dump_json())
        assert back == trial
        assert back.id == trial.id

    @given(trajectories)
    def test_the_canonical_json_says_all(self, trial: Trajectory) -> None:
        said = json.loads(trial.canonical_json())
        assert said.pop("epoch") == EPOCH
        assert Trajectory.model_validate_json(json.dumps(said)) == trial

    @given(trajectories)
    def test_writing_the_defaults_out_or_in_another_order_changes_nothing(
        self, trial: Trajectory
    ) -> None:
        written = shuffled(trial.model_dump(mode="json"))
        assert Trajectory.model_validate(written).id == trial.id

    @given(trajectories, trajectories)
    def test_equal_ids_mean_equal_specs(self, one: Trajectory, other: Trajectory) -> None:
        assert (one.id == other.id) == (one == other)

    def test_a_whole_number_is_the_float_it_stands_for(self) -> None:
        whole, point = Denoising(sigma=25), Denoising(sigma=25.0)
        assert whole.id == point.id
        assert whole.canonical_json() == '{"epoch":2,"kind":"denoising","sigma":25.0}'

    def test_every_field_counts(self) -> None:
        base = Trajectory(images=(CAMERA,), task=NOISE)
        others = [
            base.model_copy(update=change)
            for change in (
                {"images": (BuiltinImage(name="moon"),)},
                {"images": (BuiltinImage(name="camera", channels=3),)},
                {"task": Denoising(sigma=26)},
                {"task": Denoising(sigma=25, clip=False)},
                {"prior": Skip(scales=4)},
                {"pruner": Random()},
                {"schedule": Rate(steps=15)},
                {"schedule": Densities(densities=(1, 0.8))},
                {"fit": Fit(steps=2999)},
                {"fit": Fit(stopping=WindowedVariance(patience=1))},
                {"fit": Fit(precision="tf32")},
                {"seed": 1},
            )
        ]
        assert len({base.id, *(other.id for other in others)}) == 1 + len(others)


class TestWhereItRuns:
    def test_how_to_run_is_in_no_id(self) -> None:
        sweep = Sweep.from_yaml(QUICKSTART)
        moved = Sweep.from_yaml(
            QUICKSTART,
            overrides=["run.cpus=2", "run.device=cpu", "run.store=elsewhere", "run.retries=0"],
        )
        assert moved.run != sweep.run
        assert moved.id == sweep.id
        assert moved.trials == sweep.trials

    def test_where_an_image_lies_is_in_no_id(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        for folder in "ab":
            Picture.new("RGB", (8, 8), "teal").save(tmp_path / folder / "cat.png")
        here, there = (
            FileImage.model_validate({"path": str(tmp_path / folder / "cat.png")})
            for folder in "ab"
        )
        assert here.path != there.path
        assert here.id == there.id

    def test_what_an_image_shows_is(self, tmp_path: Path) -> None:
        path = tmp_path / "cat.png"
        ids = set()
        for colour in ("teal", "tan"):
            Picture.new("RGB", (8, 8), colour).save(path)
            ids.add(FileImage.model_validate({"path": str(path)}).id)
        assert len(ids) == 2
