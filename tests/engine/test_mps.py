"""Whether processes can compute on a GPU side by side, and what is said where they cannot."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from lip_ray.engine import doctor, launch, mps
from lip_ray.engine.mps import PIPES, PROCESS_NAME, lacks_mps, mps_runs, turns_remark
from lip_ray.engine.ray_session import Session
from lip_ray.engine.resources import Capacity
from lip_ray.sweep import Sweep


def machine(root: Path, *processes: str, gpu: bool = True) -> Path:
    """A file system with these processes and perhaps a GPU."""
    for pid, name in enumerate(processes, start=10):
        (root / f"proc/{pid}").mkdir(parents=True)
        (root / f"proc/{pid}/comm").write_text(f"{name}\n")
    (root / "dev").mkdir()
    (root / "dev/nvidiactl").touch()
    if gpu:
        (root / "dev/nvidia0").touch()
    return root


class TestDetection:
    def test_a_daemon_is_seen_by_its_name(self, tmp_path: Path) -> None:
        assert PROCESS_NAME == "nvidia-cuda-mps"
        root = machine(tmp_path, "python", PROCESS_NAME)
        assert mps_runs(root, {})
        assert not lacks_mps(root, {})

    def test_others_are_none(self, tmp_path: Path) -> None:
        root = machine(tmp_path, "python", "nvidia-persiste")
        assert not mps_runs(root, {})
        assert lacks_mps(root, {})

    def test_a_machine_without_a_gpu_lacks_nothing(self, tmp_path: Path) -> None:
        assert not lacks_mps(machine(tmp_path, "python", gpu=False), {})

    def test_a_container_is_told_by_the_pipe_that_it_was_given(self, tmp_path: Path) -> None:
        root, pipes = machine(tmp_path, "python"), tmp_path / "pipes"
        assert not mps_runs(root, {PIPES: str(pipes)})
        pipes.mkdir()
        (pipes / "control").touch()
        assert mps_runs(root, {PIPES: str(pipes)})

    def test_a_process_that_ends_meanwhile_is_passed_over(self, tmp_path: Path) -> None:
        root = machine(tmp_path, "python")
        (root / "proc/9").mkdir()
        (root / "proc/9/comm").symlink_to(tmp_path / "gone")
        assert not mps_runs(root, {})


def test_machines_are_named_and_the_command_is_said() -> None:
    assert turns_remark(["a"]) == (
        "CUDA MPS does not run on a: trials that share a GPU compute in turns there. Start it with "
        "nvidia-cuda-mps-control -d before the run"
    )
    assert "does not run on a, b, c and 2 more: " in turns_remark([*"abcde"])


@pytest.mark.parametrize(
    ("runs", "said"), [(True, "CUDA MPS runs"), (False, "CUDA MPS does not run on this machine: ")]
)
def test_the_doctor_says_which(monkeypatch: pytest.MonkeyPatch, runs: bool, said: str) -> None:
    monkeypatch.setattr(doctor.torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(doctor, "tensor_card_here", lambda: "")
    monkeypatch.setattr(doctor, "mps_runs", lambda: runs)
    (found,) = doctor._of_gpus()
    assert (found.name, found.passed) == ("mps", True)
    assert found.detail.startswith(said)


def test_the_doctor_says_nothing_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.torch.cuda, "device_count", lambda: 0)
    assert list(doctor._of_gpus()) == []


class TestLaunch:
    """What a run says before its first trial, on a machine that has a GPU."""

    def said(
        self, monkeypatch: pytest.MonkeyPatch, sweep: Path, store: Path, gpus: str, lacking: bool
    ) -> str:
        @contextmanager
        def no_ray(address: str | None) -> Iterator[Session]:
            yield Session(store, "")

        monkeypatch.setattr(launch, "ray_at", no_ray)
        monkeypatch.setattr(launch, "nodes", lambda: [Capacity(cpus=8, gpus=1)])
        monkeypatch.setattr(launch, "this_machine", lambda: Capacity(cpus=8, gpus=1))
        monkeypatch.setattr(launch, "lacks_mps", lambda: lacking)
        monkeypatch.setattr(launch._Launch, "fit", lambda *_, **__: None)
        told = io.StringIO()
        asked = Sweep.from_yaml(sweep, overrides=[f"run.gpus={gpus}"])
        launch.launch(asked, str(store), Console(file=told, width=500))
        return told.getvalue()

    @pytest.mark.parametrize("gpus", ["0.25", "auto"])
    def test_trials_that_share_a_gpu_need_mps(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path, gpus: str
    ) -> None:
        told = self.said(monkeypatch, tiny, tmp_path, gpus, lacking=True)
        assert mps.START in told
        assert len(told.splitlines()) == 1

    @pytest.mark.parametrize(("gpus", "lacking"), [("1", True), ("0", True), ("0.25", False)])
    def test_otherwise_nothing_is_said(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path, gpus: str, lacking: bool
    ) -> None:
        assert self.said(monkeypatch, tiny, tmp_path, gpus, lacking) == ""
