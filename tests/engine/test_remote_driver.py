"""What is said outside a cluster when what runs there is gone."""

from types import SimpleNamespace

import pytest
from ray.exceptions import RayError, WorkerCrashedError
from rich.console import Console

from lip_ray.engine import remote_driver
from lip_ray.engine.remote_driver import launch_from_outside, lost
from lip_ray.engine.resources import LaunchError


@pytest.mark.parametrize(
    "error", [ConnectionError("Socket closed\nby peer"), WorkerCrashedError(), RayError("gone")]
)
def test_a_driver_that_is_gone_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise error

    class Queue:
        def __init__(self, **_: object) -> None: ...

        def shutdown(self, **_: object) -> None:
            raise ConnectionError("gone too")

    class Joined:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(remote_driver, "joined", lambda _: Joined())
    monkeypatch.setattr(remote_driver, "Queue", Queue)
    monkeypatch.setattr(remote_driver, "_drive", SimpleNamespace(remote=lambda *_: None))
    monkeypatch.setattr(remote_driver, "_followed", gone)
    with pytest.raises(LaunchError) as refused:
        launch_from_outside(None, "/store", Console(), "ray://head:10001")  # type: ignore[arg-type]
    said = str(refused.value)
    assert said == lost("ray://head:10001", error)
    assert said.startswith("--address ray://head:10001: the driver on the cluster's head no longer")
    assert said.endswith("Levels that are stored stay: the same command resumes.")
    assert len(said.splitlines()) == 1
