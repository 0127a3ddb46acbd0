"""`--address` where no Ray answers."""

from pathlib import Path

import pytest
from studies import TINY
from typer.testing import CliRunner

from lip_ray.cli import app


@pytest.mark.parametrize("address", ["nowhere:1", "127.0.0.1:1", "ray://127.0.0.1:1", "there"])
def test_an_address_where_nobody_answers_is_one_message(address: str, tmp_path: Path) -> None:
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text(TINY)
    command = ["run", str(sweep), "--store", str(tmp_path / "store"), "--address", address]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 2, ended.output
    [line] = [line for line in ended.output.splitlines() if "Warning" not in line]
    assert line.startswith(f"--address {address}: no Ray cluster can be joined there: ")
