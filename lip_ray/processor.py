"""Which CPU this is: fits have the same bits only on CPUs of one kind."""

import platform
from itertools import takewhile
from pathlib import Path

import torch

from lip_ray.cores import ROOT

BESIDE_THE_NAME = ("cpu family", "model", "CPU implementer", "CPU part")
"""What /proc/cpuinfo says of a core beside its name: virtual machines often hide which model of a
family the name is of, and ARM's cores have no name at all."""


def cpu_name(root: Path = ROOT) -> str:
    """The model of this machine's first core, and the widest vector instructions PyTorch uses.

    For example "AMD EPYC, cpu family 26, model 2, AVX512". `root` has the file `proc/cpuinfo`;
    systems without one, as macOS, say the architecture in place of the model.
    """
    first = _first_core(root)
    name = first.get("model name") or platform.machine()
    known = [f"{key} {first[key]}" for key in BESIDE_THE_NAME if key in first]
    return ", ".join([name, *known, torch.backends.cpu.get_cpu_capability()])


def _first_core(root: Path) -> dict[str, str]:
    """The fields of the first block of /proc/cpuinfo; none where there is no such file."""
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8") as lines:
            block = list(takewhile(str.strip, lines))
    except OSError:
        return {}
    fields = (line.partition(":") for line in block)
    return {key.strip(): value.strip() for key, _, value in fields}
