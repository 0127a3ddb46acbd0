"""What exact 32-bit floats cost on GPUs with tensor cores, and where that is said."""

from pathlib import Path
from typing import Any

import pytest

from lip_ray.engine import doctor, outlook, tensor_cards
from lip_ray.engine.outlook import look_ahead
from lip_ray.engine.ray_session import _capacity
from lip_ray.engine.resources import Capacity
from lip_ray.engine.tensor_cards import exact_remark, tensor_card_here, tensor_card_of
from lip_ray.sweep import Sweep

H200 = Capacity(cpus=8, gpus=1, tensor_card="NVIDIA H200")
SAID = (
    " in exact fp32, which on NVIDIA H200 can take several times as long as tf32: "
    "--set fit.precision=tf32 is faster, and changes the numbers and the ids"
)


def cards(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, tuple[int, int]]) -> None:
    """Let torch report these GPUs, each with its name and compute capability."""
    monkeypatch.setattr(tensor_cards.torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(tensor_cards.torch.cuda, "get_device_name", lambda at: found[at][0])
    monkeypatch.setattr(tensor_cards.torch.cuda, "get_device_capability", lambda at: found[at][1])


def sweep(side: int = 256, *, fit: dict[str, Any] | None = None, **run: Any) -> Sweep:
    return Sweep.build(
        {
            "name": "large",
            "trial": {
                "images": {"kind": "builtin", "name": "camera", "size": [side, side]},
                "task": {"kind": "denoising", "sigma": 25},
                "prior": {"kind": "skip", "width": 4, "scales": 2},
                "schedule": [1, 0.5],
                "fit": {"steps": 1000} | (fit or {}),
            },
            "grid": {"seed": [0, 1]},
            "run": run,
        }
    )


class TestCards:
    @pytest.mark.parametrize(
        ("found", "name"),
        [
            ((), ""),
            ((("Tesla V100", (7, 0)), ("Tesla T4", (7, 5))), ""),
            ((("NVIDIA A100", (8, 0)),), "NVIDIA A100"),
            ((("Tesla T4", (7, 5)), ("NVIDIA H200", (9, 0))), "NVIDIA H200"),
            ((("NVIDIA B200", (10, 0)),), "NVIDIA B200"),
        ],
    )
    def test_of_this_machine(
        self,
        monkeypatch: pytest.MonkeyPatch,
        found: tuple[tuple[str, tuple[int, int]], ...],
        name: str,
    ) -> None:
        cards(monkeypatch, *found)
        assert tensor_card_here() == name

    @pytest.mark.parametrize("name", ["A100", "A10G", "L4", "L40S", "H200", "GB200", "B300"])
    def test_of_a_node_as_ray_names_it(self, name: str) -> None:
        resources = {"CPU": 8.0, "GPU": 1.0, f"accelerator_type:{name}": 1.0}
        assert _capacity(resources) == Capacity(cpus=8, gpus=1, tensor_card=name)

    @pytest.mark.parametrize(
        "name", ["V100", "T4", "P100", "K80", "AMD-Instinct-MI300A", "Intel-GAUDI", "Ascend910B"]
    )
    def test_others_have_none(self, name: str) -> None:
        assert tensor_card_of({"GPU": 1.0, f"accelerator_type:{name}": 1.0}) == ""


class TestRemark:
    def test_large_exact_fits_are_counted(self) -> None:
        trials = sweep().trials
        assert exact_remark(trials, "NVIDIA H200") == (
            f"2 trials with images of 256×256 or more{SAID}"
        )
        assert exact_remark(trials[:1], "NVIDIA H200").startswith("1 trial with images ")

    @pytest.mark.parametrize("fit", [{"precision": "tf32"}, {"precision": "bf16"}])
    def test_others_are_not(self, fit: dict[str, Any]) -> None:
        assert exact_remark(sweep(fit=fit).trials, "NVIDIA H200") == ""
        assert exact_remark(sweep(255).trials, "NVIDIA H200") == ""

    def test_the_largest_image_counts(self) -> None:
        images = [
            {"kind": "builtin", "name": name, "size": [side, side]}
            for name, side in (("camera", 64), ("moon", 320))
        ]
        trial = sweep().trials[0].model_dump(mode="json") | {"images": images}
        (one,) = Sweep.build({"name": "s", "trial": trial}).trials
        assert one.exact_pixels == 320 * 320


class TestPlan:
    """`lip plan` on a machine with such a card."""

    def lines(
        self, monkeypatch: pytest.MonkeyPatch, node: Capacity, store: Path, asked: Sweep
    ) -> str:
        monkeypatch.setattr(outlook, "this_machine", lambda: node)
        return "\n".join(look_ahead(asked, str(store)).lines)

    def test_it_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert SAID in self.lines(monkeypatch, H200, tmp_path, sweep())

    @pytest.mark.parametrize(
        ("node", "asked"),
        [
            (H200, sweep(fit={"precision": "tf32"})),
            (H200, sweep(128)),
            (H200, sweep(device="cpu")),
            (H200, sweep(gpus=0)),
            (Capacity(cpus=8, gpus=1), sweep()),
            (Capacity(cpus=8), sweep()),
        ],
        ids=["tf32", "small", "on the CPU", "without GPUs", "an older card", "no card"],
    )
    def test_elsewhere_it_does_not(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node: Capacity, asked: Sweep
    ) -> None:
        assert "fp32" not in self.lines(monkeypatch, node, tmp_path, asked)

    def test_it_says_what_is_computed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        asked = sweep(64)
        macs = sum(2 * 1000 * trial.size.macs_per_step for trial in asked.trials)
        told = self.lines(monkeypatch, Capacity(cpus=2), tmp_path, asked)
        assert f"{macs:.3g} multiply-adds left to compute, those of pruned weights" in told

    def test_shares_by_size_are_planned_with(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        told = self.lines(monkeypatch, H200, tmp_path, sweep(64, gpus="auto"))
        assert "trials at once: 8 trajectory with 1/8 GPU on cuda" in told


def test_the_doctor_says_it_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, ("NVIDIA H200", (9, 0)))
    monkeypatch.setattr(doctor, "mps_runs", lambda: True)
    found = {check.name: check for check in doctor._of_gpus()}
    assert found["precision"].passed
    assert "on NVIDIA H200 for images of 256×256 or more: --set " in found["precision"].detail
