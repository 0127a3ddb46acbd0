"""What trackers are told of a trial, where they keep it, and what they can never do to a run."""

import importlib.machinery
import json
import logging
import pickle
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.air.integrations import wandb as ray_wandb
from ray.tune.logger import LoggerCallback
from tensorboardX.proto.event_pb2 import Event

from lip_ray.engine import trackers
from lip_ray.engine.resources import LaunchError
from lip_ray.trials import AbstractTrial, from_json

SPEC = {
    "kind": "trajectory",
    "images": [{"kind": "builtin", "name": "camera", "size": [32, 32]}],
    "task": {"kind": "denoising", "sigma": 25.0},
    "prior": {"kind": "skip", "width": 8, "scales": 2, "input_channels": 4},
    "pruner": {"kind": "magnitude"},
    "schedule": {"kind": "densities", "densities": [1.0, 0.5]},
    "seed": 3,
}
PLANTED = "planted-key-0123456789"
SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def trial() -> AbstractTrial:
    """A small trajectory."""
    found: AbstractTrial = from_json(json.dumps(SPEC))
    return found


@pytest.fixture
def tunes(trial: AbstractTrial) -> Any:
    """The same trial as Tune has it."""
    config = {"trial_id": trial.id, "spec": trial.model_dump_json(), "store": "/secret/place"}
    return SimpleNamespace(config=config | {"device": "cpu", "threads": 1})


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, PLANTED)


def report(level: int, **changes: Any) -> dict[str, Any]:
    """A level's report, with what Tune adds to it."""
    own = {"level": level, "density": 0.5**level, "psnr_selected_db": 27.5 - level, "fit_s": 1.5}
    words = {"ending": None, "outcome": "budget", "accuracy": None, "psnr_peak_db": float("nan")}
    tunes = {"training_iteration": 7, "time_total_s": 9.0, "pid": 4, "done": False, "config": {}}
    return own | words | tunes | changes


def follow(callback: tune.Callback, trial: Any, *, levels: int = 2) -> None:
    """What Tune calls over a trial, and at the end."""
    callback.on_trial_start(0, [], trial)
    for level in range(levels):
        callback.on_trial_result(level, [], trial, report(level))
    callback.on_trial_complete(levels, [], trial)
    callback.on_experiment_end([])


def events(file: Path) -> Iterator[Event]:
    """What an event file says: TFRecords, a length with its checksum and the bytes with theirs."""
    data = file.read_bytes()
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]


class Recorder(LoggerCallback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def log_trial_start(self, trial: Any) -> None:
        self.told.append(("start", trial))

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        self.told.append(("result", trial, result))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self.told.append(("end", trial, failed))


def tracking(inner: LoggerCallback, folder: Path) -> trackers.Tracking:
    return trackers.Tracking("mlflow", inner, sweep="study", folder=folder)


class TestTensorBoard:
    """Real event files, read back."""

    @pytest.fixture
    def folder(self, tmp_path: Path, trial: AbstractTrial, tunes: Any) -> Path:
        """A trial's own, after two levels."""
        (callback,) = trackers.callbacks(("tensorboard",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        return tmp_path / "tensorboard" / f"camera-skip-magnitude-seed3-{trial.id}"

    def test_each_level_is_a_step_of_its_numbers(self, folder: Path) -> None:
        (file,) = folder.iterdir()
        found = {
            (value.tag, event.step): value.simple_value
            for event in events(file)
            for value in event.summary.value
            if value.WhichOneof("value") == "simple_value"
        }
        assert found == {
            ("ray/tune/level", 0): 0.0,
            ("ray/tune/level", 1): 1.0,
            ("ray/tune/density", 0): 1.0,
            ("ray/tune/density", 1): 0.5,
            ("ray/tune/psnr_selected_db", 0): 27.5,
            ("ray/tune/psnr_selected_db", 1): 26.5,
            ("ray/tune/fit_s", 0): 1.5,
            ("ray/tune/fit_s", 1): 1.5,
        }

    def test_the_hyper_parameters_are_the_spec(self, folder: Path) -> None:
        (file,) = folder.iterdir()
        written = file.read_bytes()
        for name in (b"prior.width", b"task.sigma", b"images.0.name", b"fit.learning_rate"):
            assert name in written
        assert b"trial_id" not in written
        assert b"/secret/place" not in written
        assert PLANTED.encode() not in written

    def test_a_trial_that_goes_on_another_day_adds_to_its_folder(
        self, folder: Path, tmp_path: Path, tunes: Any
    ) -> None:
        (before,) = folder.iterdir()
        first = before.read_bytes()
        before.rename(before.with_name(before.name + ".yesterday"))
        (again,) = trackers.callbacks(("tensorboard",), sweep="study", store=tmp_path)
        follow(again, tunes)
        assert len(list(folder.iterdir())) == 2
        assert before.with_name(before.name + ".yesterday").read_bytes() == first


class TestWhatIsTold:
    """To any tracker."""

    def test_a_trial_is_its_spec_and_nothing_of_the_worker(
        self, tmp_path: Path, tunes: Any
    ) -> None:
        inner = Recorder()
        follow(tracking(inner, tmp_path), tunes)
        (_, seen) = inner.told[0]
        assert seen.config["prior.width"] == 8
        assert seen.config["schedule.densities"] == "[1.0, 0.5]"
        assert seen.config["pruner.rounds"] == "none"
        assert seen.config["seed"] == 3
        assert not {"trial_id", "spec", "store", "device", "threads"} & set(seen.config)
        assert PLANTED not in repr(seen)
        assert [told[0] for told in inner.told] == ["start", "result", "result", "end"]
        assert {told[1] for told in inner.told} == {seen}

    def test_a_name_of_a_file_makes_no_folder_of_its_own(self, tmp_path: Path) -> None:
        images = [{"kind": "file", "path": "/photos/../a b.png", "sha256": "0" * 64}]
        spec = from_json(json.dumps(SPEC | {"images": images})).model_dump_json()
        seen = trackers.tracked({"spec": spec}, sweep="study", folder=tmp_path)
        assert Path(seen.local_path).parent == tmp_path
        assert " " not in seen.label

    def test_the_name_of_many_images_still_makes_a_folder(self, tmp_path: Path) -> None:
        names = ("camera", "astronaut", "coffee", "rocket", "moon") * 12
        images = [{"kind": "builtin", "name": name, "size": [32, 32]} for name in names]
        spec = json.dumps(SPEC | {"images": images})
        seen = trackers.tracked({"spec": spec}, sweep="study", folder=tmp_path)
        seen.init_local_path()
        assert Path(seen.local_path).is_dir()

    def test_what_is_no_level_is_not_told(self, tmp_path: Path, tunes: Any) -> None:
        inner = Recorder()
        callback = tracking(inner, tmp_path)
        callback.on_trial_start(0, [], tunes)
        callback.on_trial_result(0, [], tunes, {"level": -1, "ending": "store", "reason": "full"})
        callback.on_trial_error(1, [], tunes)
        callback.on_experiment_end([])
        assert [told[0] for told in inner.told] == ["start", "end"]
        assert inner.told[-1][2] is True

    def test_a_trial_that_is_started_again_stays_the_same(self, tmp_path: Path, tunes: Any) -> None:
        inner = Recorder()
        callback = tracking(inner, tmp_path)
        callback.on_trial_start(0, [], tunes)
        follow(callback, tunes)
        assert inner.told[0] == inner.told[1]


class TestHarmless:
    """A tracker that fails or hangs is a line in the log, and the run goes on."""

    def test_errors_are_told_once_and_the_rest_still_arrives(
        self, tmp_path: Path, tunes: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Flaky(Recorder):
            def log_trial_result(self, iteration: int, trial: Any, result: Any) -> None:
                raise ConnectionError("https://me:hunter2@host/api is gone\nand more")

        inner = Flaky()
        with caplog.at_level(logging.WARNING):
            follow(tracking(inner, tmp_path), tunes)
        assert [told[0] for told in inner.told] == ["start", "end"]
        (said,) = caplog.messages
        assert said == (
            "run.trackers: mlflow lacks some of it: https://host/api is gone; the store has all"
        )

    def test_nothing_waits_for_a_tracker_that_hangs(
        self,
        tmp_path: Path,
        tunes: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        gone_on = threading.Event()

        class Hanging(Recorder):
            def log_trial_start(self, trial: Any) -> None:
                gone_on.wait(20)

        monkeypatch.setattr(trackers, "LAST_WAIT_S", 0.05)
        follow(tracking(Hanging(), tmp_path), tunes)  # would never return otherwise
        gone_on.set()
        assert "it has not taken all" in caplog.text

    def test_tune_pickles_nothing_of_it(self, tmp_path: Path) -> None:
        again = pickle.loads(pickle.dumps(tracking(Recorder(), tmp_path)))
        assert type(again) is tune.Callback


class TestRefused:
    """Before anything starts."""

    @pytest.mark.parametrize(
        ("name", "module"),
        [("mlflow", "mlflow"), ("wandb", "wandb"), ("tensorboard", "tensorboardX")],
    )
    def test_a_library_that_is_missing(
        self, name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trackers, "find_spec", lambda asked: None)
        with pytest.raises(LaunchError) as refused:
            trackers.callbacks((name,), sweep="study", store=tmp_path)
        said = f"run.trackers: {module} is not installed; pip install 'lip-ray[{name}]'"
        assert str(refused.value) == said
        assert not list(tmp_path.iterdir())

    def test_a_server_that_does_not_answer(
        self, tmp_path: Path, mlflow: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(**_: Any) -> None:
            raise ConnectionError("API request to http://me:hunter2@host/ failed")

        monkeypatch.setattr(mlflow, "get_experiment_by_name", gone)
        with pytest.raises(LaunchError) as refused:
            trackers.callbacks(("mlflow",), sweep="study", store=tmp_path)
        assert str(refused.value) == "run.trackers: mlflow: API request to http://host/ failed"

    def test_no_key(self, tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_API_KEY")
        monkeypatch.delenv("WANDB_MODE", raising=False)
        with pytest.raises(LaunchError, match=r"run\.trackers: wandb: No WandB API key found"):
            trackers.callbacks(("wandb",), sweep="study", store=tmp_path)

    def test_no_tracker_is_no_callback(self, tmp_path: Path) -> None:
        assert trackers.callbacks((), sweep="study", store=tmp_path) == []


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **names: Any) -> Any:
    """A module of that name with these names in it."""
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of MLflow as Ray uses; what its client is told is in `calls`."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Client:
        def __init__(self, **_: Any) -> None: ...

        def create_run(self, **told: Any) -> Any:
            calls.append(("create_run", told))
            return SimpleNamespace(info=SimpleNamespace(run_id="run"))

        def __getattr__(self, name: str) -> Any:
            return lambda **told: calls.append((name, told))

    def settle(what: str) -> Any:
        return lambda uri: calls.append((what, {"uri": uri}))

    stand_in(monkeypatch, "mlflow.tracking", MlflowClient=Client)
    stand_in(monkeypatch, "mlflow.exceptions", MlflowException=type("E", (Exception,), {}))
    stand_in(monkeypatch, "mlflow.utils")
    stand_in(monkeypatch, "mlflow.utils.mlflow_tags", MLFLOW_RUN_NAME="mlflow.runName")
    return stand_in(
        monkeypatch,
        "mlflow",
        __version__="3.17.2",
        calls=calls,
        set_tracking_uri=settle("set_tracking_uri"),
        set_registry_uri=settle("set_registry_uri"),
        get_tracking_uri=lambda: "file:x",
        get_registry_uri=lambda: "file:x",
        get_experiment_by_name=lambda name: None,
        create_experiment=lambda name, artifact_location: calls.append(("create", {"name": name})),
        get_run=lambda run_id: run_id,
        active_run=lambda: None,
    )


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of Weights & Biases as Ray's callback uses in the driver."""
    module = stand_in(monkeypatch, "wandb", ensure_configured=lambda: None, api=None)
    module.api = SimpleNamespace(api_key=None)
    monkeypatch.setattr(ray_wandb, "wandb", module)
    for name in ("WBValue", "Image", "Video"):
        monkeypatch.setattr(ray_wandb, name, type(name, (), {}), raising=False)
    monkeypatch.setattr(ray_wandb, "json_dumps_safer", json.dumps)
    return module


class TestMlflow:
    """Ray's callback as it is, on a stand-in of the library."""

    def test_a_run_a_trial_in_the_sweeps_experiment(
        self, mlflow: Any, tmp_path: Path, trial: AbstractTrial, tunes: Any
    ) -> None:
        (callback,) = trackers.callbacks(("mlflow",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        told = mlflow.calls
        assert told[0] == ("set_tracking_uri", {"uri": None})  # MLflow's own settings decide
        assert ("create", {"name": "study"}) in told
        (run,) = [made for name, made in told if name == "create_run"]
        assert run["run_name"] == f"camera-skip-magnitude-seed3-{trial.id}"
        params = {made["key"]: made["value"] for name, made in told if name == "log_param"}
        assert (params["prior.width"], params["task.kind"]) == (8, "denoising")
        metrics = [
            (made["step"], made["value"])
            for name, made in told
            if name == "log_metric" and made["key"] == "psnr_selected_db"
        ]
        assert metrics == [(0, 27.5), (1, 26.5)]
        assert told[-1] == ("set_terminated", {"run_id": "run", "status": "FINISHED"})
        assert PLANTED not in repr(told)


class TestWandb:
    """Ray's callback but for how it starts its actors, on stand-ins of the library and of Ray."""

    def test_the_key_is_never_part_of_a_runtime_environment(
        self, wandb: Any, tmp_path: Path, tunes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[dict[str, Any]] = []
        begun: list[dict[str, Any]] = []
        queued: list[Any] = []

        class Actor:
            def options(self, **options: Any) -> Any:
                asked.append(options)
                return SimpleNamespace(remote=self.start)

            def start(self, **settings: Any) -> Any:
                begun.append(settings)
                return SimpleNamespace(run=SimpleNamespace(remote=object))

        here = SimpleNamespace(get_node_id=lambda: "0" * 56)
        stand_in_ray = SimpleNamespace(
            remote=lambda _: Actor(),
            get_runtime_context=lambda: here,
            kill=lambda _: None,
            wait=lambda futures, **_: (futures, []),
            is_initialized=lambda: False,
        )
        monkeypatch.setattr(trackers, "ray", stand_in_ray)
        monkeypatch.setattr(ray_wandb, "ray", stand_in_ray)
        monkeypatch.setattr(ray_wandb, "_force_on_current_node", dict)
        monkeypatch.setattr(ray_wandb, "Queue", lambda **_: SimpleNamespace(put=queued.append))

        (callback,) = trackers.callbacks(("wandb",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        assert [set(options) for options in asked] == [{"num_cpus", "scheduling_strategy"}]
        (run,) = begun
        assert (run["project"], run["id"]) == ("study", tunes.config["trial_id"])
        assert run["resume"] == "allow"
        assert run["config"]["prior.width"] == 8
        assert PLANTED not in repr({k: v for k, v in run.items() if k != "settings"})
        assert run["settings"]["api_key"] == PLANTED
        assert run["settings"]["x_disable_meta"] is True
        assert Path(run["logdir"]).is_dir()
        assert [(item[1] or {}).get("psnr_selected_db") for item in queued] == [27.5, 26.5, None]
        assert PLANTED not in repr(queued)
