"""What trackers are told of a trial, where they keep it, and what they can never do to a run."""

import importlib.machinery
import json
import logging
import os
import pickle
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ray import tune
from tensorboardX.proto.event_pb2 import Event

from lip_ray.engine import trackers
from lip_ray.engine.recorders import Recorder, Tracked
from lip_ray.engine.resources import LaunchError
from lip_ray.engine.wandb_runs import Runs
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


class Notes:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def begin(self, trial: Tracked) -> None:
        self.told.append(("start", trial))

    def record(self, trial: Tracked, level: int, numbers: Mapping[str, float]) -> None:
        self.told.append(("result", trial, level, numbers))

    def end(self, trial: Tracked, *, failed: bool) -> None:
        self.told.append(("end", trial, failed))

    def close(self) -> None: ...


def tracking(recorder: Recorder, folder: Path) -> trackers.Tracking:
    return trackers.Tracking("mlflow", recorder, sweep="study", folder=folder)


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
        inner = Notes()
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
        assert seen.folder.parent == tmp_path
        assert " " not in seen.label

    def test_the_name_of_many_images_still_makes_a_folder(self, tmp_path: Path) -> None:
        names = ("camera", "astronaut", "coffee", "rocket", "moon") * 12
        images = [{"kind": "builtin", "name": name, "size": [32, 32]} for name in names]
        spec = json.dumps(SPEC | {"images": images})
        seen = trackers.tracked({"spec": spec}, sweep="study", folder=tmp_path)
        seen.folder.mkdir()
        assert seen.folder.is_dir()

    def test_what_is_no_level_is_not_told(self, tmp_path: Path, tunes: Any) -> None:
        inner = Notes()
        callback = tracking(inner, tmp_path)
        callback.on_trial_start(0, [], tunes)
        callback.on_trial_result(0, [], tunes, {"level": -1, "ending": "store", "reason": "full"})
        callback.on_trial_error(1, [], tunes)
        callback.on_experiment_end([])
        assert [told[0] for told in inner.told] == ["start", "end"]
        assert inner.told[-1][2] is True

    def test_a_trial_that_is_started_again_stays_the_same(self, tmp_path: Path, tunes: Any) -> None:
        inner = Notes()
        callback = tracking(inner, tmp_path)
        callback.on_trial_start(0, [], tunes)
        follow(callback, tunes)
        assert inner.told[0] == inner.told[1]


class TestHarmless:
    """A tracker that fails or hangs is a line in the log, and the run goes on."""

    def test_errors_are_told_once_and_the_rest_still_arrives(
        self, tmp_path: Path, tunes: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Flaky(Notes):
            def record(self, trial: Any, level: int, numbers: Any) -> None:
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

        class Hanging(Notes):
            def begin(self, trial: Any) -> None:
                gone_on.wait(300)

        monkeypatch.setattr(trackers, "LAST_WAIT_S", 0.05)
        follow(tracking(Hanging(), tmp_path), tunes)  # would never return otherwise
        gone_on.set()
        assert "it has not taken all" in caplog.text

    def test_tune_pickles_nothing_of_it(self, tmp_path: Path) -> None:
        again = pickle.loads(pickle.dumps(tracking(Notes(), tmp_path)))
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
        def gone(*_: Any, **__: Any) -> None:
            raise ConnectionError("API request to http://me:hunter2@host/ failed")

        monkeypatch.setattr(mlflow.client, "get_experiment_by_name", gone)
        with pytest.raises(LaunchError) as refused:
            trackers.callbacks(("mlflow",), sweep="study", store=tmp_path)
        assert str(refused.value) == "run.trackers: mlflow: API request to http://host/ failed"

    @pytest.mark.parametrize(
        "login", [lambda: True, lambda prompt, verify: prompt], ids=["any", "newer"]
    )
    def test_no_key(self, tmp_path: Path, login: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither by the call that newer clients have for it, nor by that of older ones."""
        stand_in(monkeypatch, "wandb", login=login, api=SimpleNamespace(api_key=None))
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
    """As much of MLflow as is used; what its client is told is in `calls`."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Client:
        def __init__(self, **told: Any) -> None:
            calls.append(("client", told))

        def get_experiment_by_name(self, name: str) -> Any:
            return None

        def create_run(self, **told: Any) -> Any:
            calls.append(("create_run", told))
            return SimpleNamespace(info=SimpleNamespace(run_id="run"))

        def __getattr__(self, name: str) -> Any:
            return lambda **told: calls.append((name, told))

    stand_in(monkeypatch, "mlflow.tracking", MlflowClient=Client)
    stand_in(monkeypatch, "mlflow.exceptions", MlflowException=type("E", (Exception,), {}))
    return stand_in(monkeypatch, "mlflow", calls=calls, client=Client)


class TestMlflow:
    """On a stand-in of the library."""

    def test_a_run_a_trial_in_the_sweeps_experiment(
        self, mlflow: Any, tmp_path: Path, trial: AbstractTrial, tunes: Any
    ) -> None:
        (callback,) = trackers.callbacks(("mlflow",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        told = mlflow.calls
        assert told[0] == ("client", {})  # MLflow's own settings decide
        assert ("create_experiment", {"name": "study"}) in told
        (run,) = [made for name, made in told if name == "create_run"]
        assert run["run_name"] == f"camera-skip-magnitude-seed3-{trial.id}"
        assert run["tags"] == {"trial_name": run["run_name"]}
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

    def test_the_experiment_of_the_environment_comes_first(
        self, mlflow: Any, tmp_path: Path, tunes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = SimpleNamespace(experiment_id="7")
        monkeypatch.setattr(mlflow.client, "get_experiment", lambda _, number: own, raising=False)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
        (callback,) = trackers.callbacks(("mlflow",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        (run,) = [made for name, made in mlflow.calls if name == "create_run"]
        assert run["experiment_id"] == "7"


WANDB = """
import json, os, sys, time

def note(name, told):
    with open(os.environ["TOLD"], "a") as file:
        print(json.dumps([name, told, os.environ.get("WANDB_API_KEY"), sys.argv]), file=file)

class Run:
    def log(self, **told):
        print("it prints as it likes")
        note("log", told)

    def finish(self):
        note("finish", {})
        time.sleep(float(os.environ.get("HANGS_S", 0)))

def init(**told):
    note("init", told)
    if os.environ.get("REFUSES"):
        raise RuntimeError("no such entity")
    return Run()
"""
"""A module that stands in for Weights & Biases, and notes what it is told and in what process."""


class TestWandb:
    """Its process is a real one, with a stand-in of the library."""

    @pytest.fixture
    def told(
        self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """The file of what the stand-in is told."""
        folder = tmp_path_factory.mktemp("wandb")
        (folder / "wandb.py").write_text(WANDB)
        before = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{before}")
        monkeypatch.setenv("TOLD", str(folder / "told"))
        monkeypatch.setattr(trackers, "find_spec", lambda asked: True)
        return folder / "told"

    def test_a_run_a_trial_and_no_key_on_any_command_line(
        self, told: Path, tmp_path: Path, tunes: Any
    ) -> None:
        (callback,) = trackers.callbacks(("wandb",), sweep="study", store=tmp_path)
        follow(callback, tunes)
        lines = [json.loads(line) for line in told.read_text().splitlines()]
        assert [line[0] for line in lines] == ["init", "log", "log", "finish"]
        run = lines[0][1]
        assert (run["project"], run["id"]) == ("study", tunes.config["trial_id"])
        assert run["group"] == "study"
        assert run["resume"] == "allow"
        assert run["config"]["prior.width"] == 8
        assert run["config"]["trial_log_path"] == run["dir"]
        assert run["settings"]["x_disable_meta"] is True
        assert Path(run["dir"]).is_dir()
        logged = [line[1] for line in lines[1:3]]
        assert [log["data"]["psnr_selected_db"] for log in logged] == [27.5, 26.5]
        assert [(log["step"], log["data"]["training_iteration"]) for log in logged] == [
            (0, 0),
            (1, 1),
        ]
        assert {line[2] for line in lines} == {PLANTED}, "its process has the environment's key"
        assert PLANTED not in repr([(line[1], line[3]) for line in lines])

    def test_what_the_client_refuses_is_told_once(
        self,
        told: Path,
        tmp_path: Path,
        tunes: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("REFUSES", "1")
        (callback,) = trackers.callbacks(("wandb",), sweep="study", store=tmp_path)
        with caplog.at_level(logging.WARNING):
            follow(callback, tunes)
        (said,) = caplog.messages
        assert "wandb lacks some of it: no such entity; the store has all" in said

    def test_what_cannot_be_sent_is_waited_for_only_so_long(
        self,
        told: Path,
        tmp_path: Path,
        tunes: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HANGS_S", "600")
        monkeypatch.setattr(trackers, "LAST_WAIT_S", 2.0)
        begun = time.monotonic()
        (callback,) = trackers.callbacks(("wandb",), sweep="study", store=tmp_path)
        follow(callback, tunes)  # would not return for minutes otherwise
        assert time.monotonic() - begun < 100

    def test_a_trial_that_is_started_again_keeps_its_run(self) -> None:
        opened: list[str] = []

        def init(**told: Any) -> Any:
            opened.append(told["id"])
            return SimpleNamespace(log=lambda **_: None, finish=lambda: None)

        runs = Runs(SimpleNamespace(init=init))
        runs.begin("one", {})
        runs.begin("one", {})
        runs.record("another", {"step": 0, "data": {}})
        runs.close(5)
        assert opened == ["one"]
