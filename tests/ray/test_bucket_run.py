"""A sweep whose store is in a bucket: run, killed, resumed, asked, compacted, asked again."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")
from moto.server import ThreadedMotoServer  # noqa: E402 (only where there is one)

Start = Callable[..., Any]

KEYS = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a store that is not there yet, in an S3 on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    client.create_bucket(Bucket="results")
    yield f"s3://results/tiny?scheme=http&endpoint_override={host}:{port}"
    server.stop()


@pytest.mark.slow
def test_a_sweep_in_a_bucket(bucket: str, tiny: Path, lip: Start) -> None:
    settings = ("--set", "grid.seed=[0]", "--set", "run.concurrent=1")
    command = ("run", *settings, tiny, "--store", bucket)
    first = lip(*command)
    first.wait_for_levels(3)
    os.kill(first.process.pid, signal.SIGKILL)
    first.finish()
    done = sum(Reader(bucket).levels_done().values())
    assert 3 <= done < 8

    code, output = lip(*command).finish()
    assert code == 0, output
    assert "8/8 levels of 2/2 trials" in output
    assert output.count(" density ") <= 1 + 8 - done, "one that was done was fitted again"

    asked = ("query", "from levels order by all", "--format", "json", "--store", bucket)
    _, before = lip(*asked).finish()
    assert len(json.loads(before)) == 8
    code, output = lip("store", "compact", "--grace", 0, "--store", bucket).finish()
    assert code == 0, output
    assert "files folded in" in output
    _, after = lip(*asked).finish()
    assert json.loads(after) == json.loads(before)

    code, output = lip(*command).finish()
    assert code == 0, output
    assert "at once" not in output, "no trial was started"
    code, output = lip("store", "check", "--store", bucket).finish()
    assert code == 0, output


def test_trackers_need_a_folder(bucket: str, tiny: Path, lip: Start) -> None:
    code, output = lip("run", tiny, "--store", bucket, "--set", "run.trackers=[mlflow]").finish()
    assert code == 2
    assert "run.trackers: mlflow needs a store in a folder, not in a bucket" in output
