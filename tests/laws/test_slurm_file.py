"""clusters/slurm.sh says what it makes, costs and wants edited, and reads what SLURM gives."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "clusters" / "slurm.sh"
TEXT = SCRIPT.read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="this machine has no bash")


def function(name: str) -> str:
    """The source of one of the script's functions."""
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def called(name: str, environment: dict[str, str]) -> str:
    """What a function prints, in an environment that has nothing else."""
    words = ["bash", "-c", f"set -u; {function(name)}; {name}"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, 0),
        ({"SLURM_GPUS_ON_NODE": "4"}, 4),
        ({"SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_GPUS": "0,1,2,3"}, 2),
        ({"SLURM_JOB_GPUS": "0,1,2"}, 3),  # before SLURM 20.11
        ({"SLURM_JOB_GPUS": "0,1,2", "SLURM_STEP_GPUS": "2"}, 1),
        ({"SLURM_GPUS_ON_NODE": "gpu:2", "SLURM_STEP_GPUS": "0,1"}, 2),
        ({"SLURM_JOB_GPUS": "", "SLURM_GPUS_PER_NODE": "2"}, 0),  # what was asked for is not there
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 0),  # not SLURM's word
        ({"LIP_GPUS": "8", "SLURM_GPUS_ON_NODE": "4"}, 8),
        ({"LIP_GPUS": "0", "SLURM_GPUS_ON_NODE": "4"}, 0),
    ],
)
def test_gpus(environment: dict[str, str], found: int) -> None:
    assert called("gpus", environment) == str(found)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"SLURM_CPUS_ON_NODE": "4"}, ""),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "2048"}, f"--memory={2**31}"),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "1024"}, f"--memory={2**32}"),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "0"}, ""),  # --mem=0: all there is
    ],
)
def test_memory(environment: dict[str, str], found: str) -> None:
    assert called("memory", environment) == found


def test_it_is_bash() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    assert SCRIPT.stat().st_mode & 0o111


def test_it_begins_with_what_it_costs_needs_and_wants_edited() -> None:
    head = TEXT.split("#SBATCH")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    for told in ("# Costs: ", "# Edit: "):
        assert any(line.startswith(told) for line in head)


def test_it_is_signalled_alone_before_the_limit_and_goes_on_after_it() -> None:
    options = re.findall(r"^#SBATCH (--\S+)", TEXT, re.MULTILINE)
    [signal] = [option for option in options if option.startswith("--signal=")]
    assert re.fullmatch(r"--signal=B:USR1@\d+", signal)
    assert "trap end_soon USR1" in TEXT
    assert {"--requeue", "--open-mode=append", "--ntasks-per-node=1"} <= set(options)


def test_what_other_nodes_call_is_sent_to_them() -> None:
    """A node has only the functions that are named when it is started."""
    [sent] = re.findall(r"declare -f ([\w ]+)\)", TEXT)
    source = "\n".join(function(name) for name in sent.split())
    own = re.findall(r"^(\w+)\(\) \{", TEXT, re.MULTILINE)
    called_there = {name for name in own if re.search(rf"(?<![\w-]){name}(?![\w-])", source)}
    assert called_there <= set(sent.split())
