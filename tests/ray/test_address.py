"""What `--address` refuses before any trial begins, where a Ray answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]


def test_gpus_where_there_are_none_are_refused(
    run_there: Start, tiny: Path, tmp_path: Path
) -> None:
    code, output = run_there(tiny, "--store", "store", "--set", "run.device=cuda").finish()
    assert code == 2, output
    assert "run.device: cuda is asked for, but there is no GPU" in output
    assert not list((tmp_path / "store").glob("*/*"))


def test_other_versions_than_the_cluster_s_are_refused(
    run_there: Start, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver believes to be another Ray."""
    folder = tmp_path / "another"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import ray\nray.__version__ = '2.1.0'\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    code, output = run_there(tiny, "--store", "store").finish()
    assert code == 2, output
    assert "it runs other versions than this machine" in output
    assert "2.1.0" in output
