"""The first hour on a new GPU begins with a script that runs, as it does here on a CPU."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the quick one printed, and what it kept."""
    kept = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--output", str(kept)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, json.loads(kept.read_text(encoding="utf-8"))


def test_every_setting_is_timed(ran: tuple[str, dict[str, Any]]) -> None:
    findings = ran[1]["findings"]
    settings = {tuple(one["setting"].values()) for one in findings}
    assert len(settings) == len(findings) == 2 * 3
    assert all(ms > 0 for one in findings for ms in one["step_ms"]["eager"])


def test_what_is_equal_is_said(ran: tuple[str, dict[str, Any]]) -> None:
    """A CPU has no TF32; the other layout differs by rounding, bfloat16 by much more."""
    for one in ran[1]["findings"]:
        setting, apart = one["setting"], one["image_difference"]
        if setting["precision"] == "bf16":
            assert 1e-3 < apart < 1
        elif setting["layout"] == "contiguous":
            assert apart == one["gradient_difference"] == 0
            assert one["same_bits"]
        else:
            assert apart < 1e-3


def test_the_machine_and_its_versions_are_kept(ran: tuple[str, dict[str, Any]]) -> None:
    assert {"card", "capability", "torch", "cuda", "cudnn", "lip-ray", "at"} <= ran[1].keys()


def test_a_table_and_what_to_set_are_printed(ran: tuple[str, dict[str, Any]]) -> None:
    lines = ran[0].splitlines()
    assert sum(line.startswith("small, 64×64") for line in lines) == 1
    assert sum("channels_last" in line and "layout:" not in line for line in lines) == 3
    assert sum(line.strip().startswith("set: ") for line in lines) >= 1


class TestAdvice:
    """What is said of the times that a GPU might have."""

    @pytest.fixture
    def gpu(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(SCRIPT.parent)
        return importlib.import_module("gpu")

    def said(self, gpu: Any, times: dict[tuple[str, str], float]) -> list[str]:
        findings = [
            gpu.Finding(
                setting=gpu.Setting(network="small", size=64, layout=layout, precision=precision),
                step_ms={"eager": [ms, ms, 99.0]},
                image_difference=0.0,
                gradient_difference=0.001,
                same_bits=True,
                replay_is_exact=None,
            )
            for (layout, precision), ms in times.items()
        ]
        return list(gpu.advice(findings, "channels_last"))

    def test_a_precision_that_is_faster(self, gpu: Any) -> None:
        times = {("channels_last", "fp32"): 21.0, ("channels_last", "tf32"): 7.0}
        assert self.said(gpu, times | {("channels_last", "bf16"): 20.0}) == [
            "set: --set fit.precision=tf32 is 3.0 times as fast as fp32, "
            "with gradients 1.0e-03 apart"
        ]

    def test_a_layout_that_is_faster(self, gpu: Any) -> None:
        times = {("channels_last", "fp32"): 6.0, ("contiguous", "fp32"): 3.0}
        assert self.said(gpu, times) == [
            "set: nothing, fp32 is as fast as any",
            "layout: contiguous would be 2.0 times as fast as channels_last: "
            "LAYOUTS in lip_ray/priors/network.py",
        ]
