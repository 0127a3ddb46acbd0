"""The doctor looks at everything, says what is wrong, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.engine import doctor


def test_a_sound_machine_passes(lip: Callable[..., Any], tmp_path: Path) -> None:
    code, output = lip("doctor", "--store", "store").finish()
    assert code == 0, output
    for name in ("python", "lip-ray", "torch", "ray", "cpu", "gpu", "store"):
        assert f"ok    {name} " in output
    assert "starts inside this process and runs a task" in output
    assert not (tmp_path / "store").exists()


def test_one_thing_that_fails_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_ray() -> str:
        raise RuntimeError("no room for sockets")

    monkeypatch.setattr(doctor, "_ray_answered", no_ray)
    (tmp_path / "file").write_text("")
    found = {check.name: check for check in doctor.checks(str(tmp_path / "file" / "store"))}
    assert not found["store"].passed
    assert "cannot be written to" in found["store"].detail
    assert not found["ray"].passed
    assert found["ray"].detail == "no room for sockets"
    assert found["torch"].passed
