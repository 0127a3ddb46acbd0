"""What the processes of workers are given, seen from inside a worker of a real Ray."""

import json
import os
import subprocess
import sys
from pathlib import Path

from lip_ray import allocator

RUN = """
import sys
from pathlib import Path
from rich.console import Console
from lip_ray.engine.launch import launch
from lip_ray.engine.trainable import run_trial
from lip_ray.sweep import Sweep

sweep_file, report, store = sys.argv[1:]  # a worker has other arguments

def watched(config):
    import json, os, resource
    import torch

    def faults():
        # Those of taking and freeing blocks of 40 MiB again: glibc by itself gives them back.
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            blocks = [torch.ones(10 * 2**20) for _ in range(4)]
            del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    before = faults()
    run_trial(config)
    names = ("GOMP_SPINCOUNT", "LIP_RAY_SCRATCH")
    found = {name: os.environ.get(name) for name in names} | {"before": before, "after": faults()}
    with open(report, "w") as file:
        json.dump(found, file)

sweep = Sweep.from_yaml(
    Path(sweep_file), overrides=["schedule=[1]", "grid.pruner=[random]", "grid.seed=[0]"]
)
launched = launch(sweep, store, Console(quiet=True), worker=watched)
assert launched.complete
"""


def test_a_worker_keeps_memory_and_its_idle_threads_sleep(
    tiny: Path, home: Path, tmp_path: Path
) -> None:
    (home / "tmp").mkdir()
    report = tmp_path / "report.json"
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(home / "tmp")}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, tiny, report, tmp_path / "store"],
        env={name: value for name, value in environment.items() if name != "GOMP_SPINCOUNT"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(report.read_text())
    assert found["GOMP_SPINCOUNT"] == "20000"
    assert Path(found["LIP_RAY_SCRATCH"]).parent == home / "tmp"
    assert not Path(found["LIP_RAY_SCRATCH"]).exists(), "it goes with the run"
    if allocator._is_glibc():
        assert found["after"] < found["before"] / 2
