"""A store in an object store: moto's S3 on this machine."""

import json
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader, StoreError, Writer
from lip_ray.store import files as files_module
from lip_ray.store.files import Bucket, files_of

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")
from moto.server import ThreadedMotoServer  # noqa: E402 (only where there is one)

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 with nothing in it but an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "someone")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        patched.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        host, port = server.get_host_and_port()
        boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1"
        ).create_bucket(Bucket="results")
        yield f"{host}:{port}"
        server.stop()


@pytest.fixture
def store(endpoint: str, tmp_path: Path) -> str:
    """The name of a store that is not there yet."""
    return f"s3://results/{tmp_path.name}?scheme=http&endpoint_override={endpoint}"


def test_files_are_sent_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in chunks with a checksum behind them, which OpenStack Swift answers with an error."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    sent: list[tuple[bytes, str]] = []

    class Server(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            sent.append((self.rfile.read(length), self.headers.get("Content-Encoding", "")))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"127.0.0.1:{server.server_port}"
        files_of(f"s3://results/x?scheme=http&endpoint_override={endpoint}").replace("a", b"one")
        server.shutdown()
    assert sent == [(b"one", "")]


def test_files_come_and_go(store: str) -> None:
    files = files_of(store)
    assert files.publish("levels/a", b"one")
    assert files.publish("levels/a", b"one")
    assert not files.publish("levels/a", b"two")
    files.replace("levels/b", b"two")
    files.publish("levels/.hidden", b"")
    assert files.names("levels") == ["levels/a", "levels/b"]
    assert files.read("levels/a") == b"one"
    assert abs(files.clock() - files.modified("levels/a")) < 60
    for _ in range(2):
        files.remove("levels/b")
    assert (files.exists("levels/a"), files.exists("levels/b")) == (True, False)
    assert files.names("levels") == ["levels/a"]
    with pytest.raises(FileNotFoundError):
        files.modified("levels/b")


def test_a_run_is_resumed_and_asked(
    store: str, level_record: Make, trial_record: Make, sweep_record: Make
) -> None:
    writer = Writer.open(store)
    writer.write_sweep(sweep_record())
    writer.write_trial(trial_record())
    assert writer.write_level([level_record()])
    writer.keep_unfinished("a" * 16, 1, b"half of it")
    reader = Reader(store)
    assert reader.sql("select outcome from trials")["outcome"].to_pylist() == ["incomplete"]

    again = Writer.open(writer.where, must_exist=True, patience_s=1)
    assert again.where == store
    [first] = Reader(again.where).levels_done().values()
    assert reader.unfinished("a" * 16, first) == b"half of it"
    assert reader.masks("a" * 16, first) == level_record().masks[1]
    assert again.write_level([level_record(level=first)])
    assert reader.unfinished("a" * 16, first) is None
    assert not again.write_level([level_record(level=first, fit_s=9.0)]), "it is there"

    assert reader.levels_done() == {"a" * 16: 2}
    [row] = reader.sql("select outcome, levels_done from trials").to_pylist()
    assert row == {"outcome": "budget", "levels_done": 2}
    asked = "select level, count(*) as pictures from reconstructions group by 1 order by 1"
    assert reader.sql(asked)["pictures"].to_pylist() == [2, 2]
    assert len(reader.frame("curves", trials=["a" * 16])) == 2
    assert reader.damaged == ()


def test_a_damaged_file_is_left_out(store: str, level_record: Make) -> None:
    Writer.open(store).write_level([level_record()])
    Writer.open(store).write_level([level_record(level=1)])
    name = f"levels/{'a' * 16}-001.parquet"
    files_of(store).replace(name, b"PAR1")
    reader = Reader(store)
    assert reader.frame("levels")["level"].tolist() == [0]
    assert reader.damaged == (name,)


def test_a_trial_in_flight_is_seen_from_elsewhere(store: str) -> None:
    writer = Writer.open(store)
    with writer.beacon() as beacon:
        assert Reader(store).sees(beacon)
    assert not Reader(store).sees(beacon)
    Writer.probe(store)
    assert Reader(store).standings() == []


def gone(error: str) -> OSError:
    return OSError(f"When uploading object with key 'x' in bucket 'results': AWS Error {error}")


@pytest.mark.parametrize(
    "error",
    ["NETWORK_CONNECTION during PutObject operation: curlCode: 7", "SLOW_DOWN during PutObject"],
)
def test_a_server_that_is_gone_is_waited_for(
    store: str, level_record: Make, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    pauses_s: list[float] = []
    writer = Writer.open(store, patience_s=60, sleep=pauses_s.append, clock=lambda: 0.0)
    replace = Bucket.replace

    def away_twice(bucket: Bucket, *args: Any, **options: Any) -> None:
        if len(pauses_s) < 2:
            raise gone(error)
        replace(bucket, *args, **options)

    monkeypatch.setattr(Bucket, "replace", away_twice)
    assert writer.write_level([level_record()])
    assert len(pauses_s) == 2
    assert Reader(store).levels_done() == {"a" * 16: 1}


def test_a_server_that_cannot_be_asked_where_the_bucket_is_is_waited_for(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Writer.open(store).where
    pauses_s: list[float] = []
    made = files_module.Bucket

    def away_once(uri: str) -> Bucket:
        if not pauses_s:
            raise StoreError("cannot be reached") from gone("NETWORK_CONNECTION during HeadBucket")
        return made(uri)

    monkeypatch.setattr(files_module, "Bucket", away_once)
    opened = Writer.open(
        where, must_exist=True, patience_s=60, sleep=pauses_s.append, clock=lambda: 0.0
    )
    assert (opened.where, len(pauses_s)) == (where, 1)


def test_a_key_that_is_refused_is_said_at_once(
    store: str, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise gone("ACCESS_DENIED during PutObject operation: Access Denied")

    writer = Writer.open(store, patience_s=60, sleep=pytest.fail)
    monkeypatch.setattr(Bucket, "replace", refused)
    with pytest.raises(StoreError, match="ACCESS_DENIED"):
        writer.write_level([level_record()])


def _write(store: str, level: Any) -> None:
    Writer.open(store, must_exist=True).write_level([level])


def test_another_process_needs_the_name_alone(store: str, level_record: Make) -> None:
    where = Writer.open(store).where
    process = multiprocessing.get_context("spawn").Process(
        target=_write, args=(where, level_record())
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert Reader(where).levels_done() == {"a" * 16: 1}


def test_no_key_is_kept(store: str, level_record: Make) -> None:
    writer = Writer.open(store)
    writer.write_level([level_record()])
    files = files_of(store)
    kept = [files.read(name) for folder in ("levels", "masks") for name in files.names(folder)]
    assert not any(b"s3cret" in content for content in [*kept, writer.where.encode()])


def test_what_is_not_there_is_said(store: str, endpoint: str) -> None:
    assert not Reader.exists(store)
    with pytest.raises(StoreError, match="there is no store in s3://results/"):
        Reader(store)
    nowhere = f"s3://nobody/store?scheme=http&endpoint_override={endpoint}"
    with pytest.raises(StoreError, match="NO_SUCH_BUCKET"):
        Writer.open(nowhere)


def test_a_newer_store_is_refused(store: str) -> None:
    files_of(store).replace("lip-ray-store.json", json.dumps({"schema_version": 99}).encode())
    for refused in (Writer.open, Writer.probe, Reader):
        with pytest.raises(StoreError, match="schema version 99"):
            refused(store)
