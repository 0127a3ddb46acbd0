"""The name of a CPU: alike on machines of one kind, different on others."""

from pathlib import Path

import pytest
import torch

from lip_ray.processor import cpu_name

EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
cpu MHz\t\t: 2596.122

processor\t: 1
cpu family\t: 99
model name\t: another
"""
GRAVITON = """\
processor\t: 0
BogoMIPS\t: 2100.00
CPU implementer\t: 0x41
CPU part\t: 0xd4f
"""


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")

    def of(cpuinfo: str) -> str:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo, encoding="utf-8")
        return cpu_name(tmp_path)

    return of


def test_a_core_with_a_name(named) -> None:
    assert named(EPYC) == "AMD EPYC, cpu family 26, model 2, AVX512"


def test_a_core_without_a_name(named) -> None:
    assert named(GRAVITON) == "aarch64, CPU implementer 0x41, CPU part 0xd4f, AVX512"


def test_what_changes_from_one_moment_to_the_next_is_left_out(named) -> None:
    assert named(EPYC) == named(EPYC.replace("2596.122", "3700.001"))


def test_one_generation_is_told_from_another(named) -> None:
    assert named(EPYC) != named(EPYC.replace("26", "25"))


def test_a_system_without_proc(tmp_path: Path) -> None:
    assert cpu_name(tmp_path).endswith(torch.backends.cpu.get_cpu_capability())


def test_this_machine_says_the_same_twice() -> None:
    assert cpu_name() == cpu_name()
