"""The script of a GPU's first hour, on the stand-in: all that it does on a CUDA device runs."""

import importlib
import json
from pathlib import Path

import pytest

from lip_ray.fits import replay
from lip_ray.priors import Skip
from tests.gpu.standin import gpu, lacking

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_steps_are_timed_launched_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("gpu")
    monkeypatch.setattr(script, "NETWORKS", {"tiny": Skip(width=4, scales=2, input_channels=3)})
    monkeypatch.setattr(script, "SIZES", (16,))
    for module in (script, replay):
        monkeypatch.setattr(module, "WORTH_CAPTURING", 6)
    kept = tmp_path / "gpu.json"
    with gpu():
        script.main(device="cuda", quick=False, steps=6, rounds=1, output=kept)
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert (found["card"], found["capability"]) == ("stand-in", "9.0")
    assert len(found["findings"]) == 2 * 3
    for one in found["findings"]:
        assert set(one["step_ms"]) == {"eager", "replayed"}
        assert one["replay_is_exact"] is True
    assert "replayed, ms" in capsys.readouterr().out
