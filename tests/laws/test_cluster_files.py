"""The cluster files hold: Ray takes them, and they say what Ray does not check."""

import ast
import copy
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

Config = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    name: ROOT / name for name in ("cluster.yaml", "clusters/gcp.yaml", "clusters/on_premises.yaml")
}
PAGE = ROOT / "docs" / "cluster.md"
STORE = "/mnt/lip"
REFUSED = (
    jsonschema.ValidationError,
    ValueError,
    NotImplementedError,
    AssertionError,
    TypeError,
    click.ClickException,
)

INSTANCES = {
    "m6i.large": {"CPU": 2},
    "g4dn.xlarge": {"CPU": 4, "GPU": 1, "accelerator_type:T4": 1},
    "g5.xlarge": {"CPU": 4, "GPU": 1, "accelerator_type:A10G": 1},
    "g5.2xlarge": {"CPU": 8, "GPU": 1, "accelerator_type:A10G": 1},
    "g5.12xlarge": {"CPU": 48, "GPU": 4, "accelerator_type:A10G": 1},
    "g6.xlarge": {"CPU": 4, "GPU": 1, "accelerator_type:L4": 1},
    "g6.2xlarge": {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1},
    "n2-standard-2": {"CPU": 2},
    "g2-standard-4": {"CPU": 4, "GPU": 1, "accelerator_type:L4": 1},
    "g2-standard-8": {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1},
    "g2-standard-24": {"CPU": 24, "GPU": 2, "accelerator_type:L4": 1},
}
"""What Ray finds on the instances that a file may name; from the clouds' own lists."""

SPOT = {
    "aws": {
        "MarketType": "spot",
        "SpotOptions": {
            "SpotInstanceType": "one-time",
            "InstanceInterruptionBehavior": "terminate",
        },
    },
    "gcp": {
        "provisioningModel": "SPOT",
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": False,
    },
}
SPOT_KEY = {"aws": "InstanceMarketOptions", "gcp": "scheduling"}
TYPE_KEY = {"aws": "InstanceType", "gcp": "machineType"}

SECRETS = {
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token": r"\b[0-9a-f]{32,}\b",
    "a private key": r"PRIVATE KEY",
    "a key's value": r"(?i)(?:secret|password|api_?key|auth_token)\w*\s*[=:]\s*[^\s~/]",
    "long random text": r"(?<![\w/.-])[A-Za-z0-9+]{40,}(?![\w/.-])",
}

FIRST_AUTOSCALER = "export RAY_enable_autoscaler_v2=0; "
"""On machines of one's own the second takes the head for a worker, as tests/clusters shows."""

AGAIN = ("tries=0; until ", "; do [ $((tries += 1)) -lt 5 ] || exit 1; ray stop; done")
"""What tries to start Ray again: there the first autoscaler never does."""

HEAD_PORTS = {
    "--port": "6379",
    "--ray-client-server-port": "10001",
    "--dashboard-host": "127.0.0.1",
    "--dashboard-port": "8265",
}
ALL_PORTS = {
    "--node-manager-port": "6380",
    "--object-manager-port": "6381",
    "--min-worker-port": "10002",
    "--max-worker-port": "19999",
}


def read(path: Path) -> Config:
    config: Config = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


def refuse_by_ray(config: Config) -> None:
    """Raise what `ray up` does before it asks a cloud for anything."""
    validate_config(prepare_config(copy.deepcopy(config)))


def defaults_of(provider: str) -> Config:
    return read(Path(str(files("ray.autoscaler"))) / provider / "defaults.yaml")


def pinned() -> dict[str, str]:
    """By package, the version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_normal(name): version.strip() for name, version in pairs}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def setup(config: Config) -> list[str]:
    names = ("initialization_commands", "setup_commands", "head_setup_commands")
    return [command for name in (*names, "worker_setup_commands") for command in config[name]]


def options(command: str) -> dict[str, str]:
    """The `--name=value` of a command."""
    return dict(re.findall(r"(--[\w-]+)=([^\s;]+)", command))


def mistakes(config: Config) -> list[str]:
    """What is wrong with a cluster file although Ray takes it."""
    checks = (_of_keys, _of_nodes, _of_region, _of_versions, _of_store, _of_start, _of_token)
    return [mistake for check in checks for mistake in check(config)]


def _of_keys(config: Config) -> Iterator[str]:
    """Ray would fill what is missing from defaults that nobody reads."""
    filled = defaults_of(config["provider"]["type"])
    yield from (f"{key} is left to Ray's defaults" for key in filled if key not in config)
    if config.get("docker"):
        yield "docker is used, so a --shm-size would be needed"


def _of_nodes(config: Config) -> Iterator[str]:
    provider = config["provider"]["type"]
    if provider == "local":
        if config["max_workers"] != len(config["provider"]["worker_ips"]):
            yield "max_workers is not the number of worker_ips"
        return
    head = config["head_node_type"]
    for name, node in config["available_node_types"].items():
        instance = node["node_config"].get(TYPE_KEY[provider])
        market = node["node_config"].get(SPOT_KEY[provider])
        if instance not in INSTANCES:
            yield f"{name}: unknown instance {instance}"
        elif name == head:
            yield from _of_head(node, INSTANCES[instance], market)
        else:
            if node["resources"] != INSTANCES[instance]:
                yield f"{name}: resources are not those of {instance}: {INSTANCES[instance]}"
            if market != SPOT[provider]:
                yield f"{name}: not on spot: {market}"
            if node.get("min_workers") != 0 or node.get("max_workers", 0) < 1:
                yield f"{name}: does not scale between none and some"
    if not any("GPU" in node["resources"] for node in config["available_node_types"].values()):
        yield "no node has a GPU"


def _of_head(node: Config, has: Config, market: object) -> Iterator[str]:
    if node["resources"] != {"CPU": 0, "GPU": 0}:
        yield "head: trials may land there"
    if "GPU" in has:
        yield "head: pays for a GPU that no trial uses"
    if market is not None:
        yield "head: not on demand"


def _of_region(config: Config) -> Iterator[str]:
    provider = config["provider"]
    if provider["type"] == "local":
        return
    region = provider.get("region")
    if not isinstance(region, str) or not re.fullmatch(r"[a-z]+-[a-z]+-?\d", region):
        yield f"no region: {region}"
        return
    zones = str(provider.get("availability_zone")).split(",")
    yield from (f"zone {zone} is not in {region}" for zone in zones if not zone.startswith(region))
    elsewhere = re.findall(r"fs-[\w-]+\.efs\.([\w-]+)\.amazonaws\.com", " ".join(setup(config)))
    yield from (f"the store is in {place}" for place in elsewhere if place != region)


def _of_versions(config: Config) -> Iterator[str]:
    everything = yaml.safe_dump(config)
    if re.search(r"nightly|\.dev\d|ray-wheels|:latest\b", everything):
        yield "a nightly build, or whatever is the latest"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wheel = f"lip_ray-{project['version']}-py3-none-any.whl"
    wheels = set(re.findall(r"[\w.-]+\.whl", everything))
    if wheels != {wheel}:
        yield f"installs {wheels}, not {wheel}"
    known, wanted = pinned(), list(requirements(config))
    if f"ray[default]=={known['ray']}" not in wanted:
        yield "Ray is not installed as tested"
    for requirement in wanted:
        name, equal, version = requirement.partition("==")
        package = _normal(name.partition("[")[0])
        if not equal:
            yield f"{name} has no version"
        elif version != known.get(package, version):
            yield f"{requirement}, but constraints.txt has {known[package]}"


def requirements(config: Config) -> Iterator[str]:
    """What pip is asked for by name."""
    for command in setup(config):
        words = shlex.split(command)
        if not (words[0].endswith("/pip") and words[1] == "install"):
            continue
        for before, word in pairwise(words[1:]):
            if before != "--constraint" and not word.startswith("-") and "/" not in word:
                yield word


def _of_store(config: Config) -> Iterator[str]:
    commands = config["setup_commands"]
    if not any(f"mountpoint -q {STORE} ||" in command for command in commands):
        yield f"nothing is mounted at {STORE} on every node"
    paths = set(re.findall(r"/mnt/[\w/-]+", yaml.safe_dump(config)))
    yield from (f"another mount: {path}" for path in paths - {STORE})


def _of_start(config: Config) -> Iterator[str]:
    for role, wanted in (("head", HEAD_PORTS | ALL_PORTS), ("worker", ALL_PORTS)):
        stop, *starts = config[f"{role}_start_ray_commands"]
        given = options(" ".join(starts))
        before = after = ""
        if config["provider"]["type"] == "local":
            before, after = (FIRST_AUTOSCALER * (role == "head") + AGAIN[0], AGAIN[1])
        if stop != "ray stop" or not all(
            f"ulimit -n 65536; {before}ray start" in one and one.endswith(after) for one in starts
        ):
            yield f"{role}: files are limited, an older Ray lives on, or what starts it is another"
        yield from (
            f"{role}: {name} is {given.get(name)}, not {value}"
            for name, value in wanted.items()
            if given.get(name) != value
        )
    head = options(" ".join(config["head_start_ray_commands"]))
    if (head.get("--num-cpus"), head.get("--num-gpus")) != ("0", "0"):
        yield "head: trials may land there"
    if head.get("--autoscaling-config") != "~/ray_bootstrap_config.yaml":
        yield "head: no autoscaler"


def _of_token(config: Config) -> Iterator[str]:
    if config["file_mounts"].get("~/.ray/auth_token") != "~/.ray/auth_token":
        yield "the token is not on every node"
    if not any("export RAY_AUTH_MODE=token" in command for command in config["setup_commands"]):
        yield "tokens are not asked for"
    if "chmod 600 ~/.ray/auth_token" not in config["setup_commands"]:
        yield "anyone on a node reads the token"


def secrets(text: str) -> list[str]:
    return [name for name, pattern in SECRETS.items() if re.search(pattern, text)]


each = pytest.mark.parametrize("path", FILES.values(), ids=FILES.keys())


@each
class TestEveryFile:
    def test_ray_takes_it(self, path: Path) -> None:
        refuse_by_ray(read(path))

    def test_it_says_what_ray_does_not_check(self, path: Path) -> None:
        assert mistakes(read(path)) == []

    def test_it_holds_no_secret(self, path: Path) -> None:
        assert secrets(path.read_text(encoding="utf-8")) == []

    def test_it_begins_with_what_it_makes_costs_and_wants_edited(self, path: Path) -> None:
        head = path.read_text(encoding="utf-8").split("\n\n")[0]
        assert all(line.startswith("#") for line in head.splitlines())
        assert re.search(r"^# Costs: ", head, re.MULTILINE)
        assert re.search(r"^# Edit: ", head, re.MULTILINE)

    def test_what_is_to_be_edited_is_said(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        told = next(line for line in text.splitlines() if line.startswith("# Edit: "))
        for place in set(re.findall(r"[\w-]+-EDIT", text)):
            assert place in told

    def test_what_it_mounts_is_there_or_made_by_a_told_command(self, path: Path) -> None:
        made = {"dist", "~/.ray/auth_token"}
        for local in read(path)["file_mounts"].values():
            assert local in made or (ROOT / local).is_file()


def test_files_differ_only_where_clouds_do() -> None:
    configs = [read(path) for path in FILES.values()]
    same = ("file_mounts", "head_start_ray_commands", "worker_start_ray_commands", "docker")
    for config in configs:
        for role in ("head", "worker"):
            lines = config[f"{role}_start_ray_commands"]
            for text in (FIRST_AUTOSCALER, *AGAIN):
                lines[:] = [line.replace(text, "") for line in lines]
        assert all(config[key] == configs[0][key] for key in same)


def _drop(*keys: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for key in keys[:-1]:
            config = config[key]
        del config[keys[-1]]

    return change


def _set(value: object, *keys: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


def _replace(old: str, new: str) -> Callable[[Config], None]:
    """In all of the file's text."""

    def change(config: Config) -> None:
        text = yaml.safe_dump(config, width=10_000)
        assert old in text
        config.clear()
        config.update(yaml.safe_load(text.replace(old, new)))

    return change


WORKER = ("available_node_types", "l4")


class TestTheChecks:
    @pytest.mark.parametrize(
        "change",
        [
            _set(3, "max_wokers"),
            _set({}, "worker_nodes_"),
            _set(0.5, *WORKER, "resources", "GPU"),
            _set(-1, *WORKER, "resources", "GPU"),
            _set("no_such_type", "head_node_type"),
            _drop("available_node_types", "head"),
            _drop(*WORKER, "node_config"),
            _drop(*WORKER, "resources"),
            _set(1, *WORKER, "max_worker"),
            _set(99, *WORKER, "min_workers"),
            _set("no_such_cloud", "provider", "type"),
            _drop("provider", "type"),
            _set("pip install ray", "setup_commands"),
            _set({"image": "ubuntu"}, "docker"),
            _set("many", "max_workers"),
        ],
    )
    @pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
    def test_ray_refuses(self, name: str, change: Callable[[Config], None]) -> None:
        config = read(FILES[name])
        change(config)
        with pytest.raises((*REFUSED, KeyError)):
            refuse_by_ray(config)

    @pytest.mark.parametrize(
        "change",
        [
            _drop("provider", "worker_ips"),
            _set({"head": {"resources": {}, "node_config": {}}}, "available_node_types"),
            _set(3, "max_wokers"),
        ],
    )
    def test_ray_refuses_on_premises(self, change: Callable[[Config], None]) -> None:
        config = read(FILES["clusters/on_premises.yaml"])
        change(config)
        with pytest.raises(REFUSED):
            refuse_by_ray(config)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (_drop("setup_commands"), "KeyError"),
            (_drop("rsync_filter"), "rsync_filter is left to Ray's defaults"),
            (_set({"image": "x", "container_name": "y"}, "docker"), "docker is used"),
            (_set("g5.huge", *WORKER, "node_config", "InstanceType"), "unknown instance g5.huge"),
            (_set(8, *WORKER, "resources", "GPU"), "l4: resources are not those of g6.xlarge"),
            (_drop(*WORKER, "resources", "GPU"), "l4: resources are not those of g6.xlarge"),
            (_drop(*WORKER, "node_config", "InstanceMarketOptions"), "l4: not on spot"),
            (_set(1, *WORKER, "min_workers"), "l4: does not scale"),
            (_set(2, "available_node_types", "head", "resources", "CPU"), "head: trials may land"),
            (_replace("m6i.large", "g5.xlarge"), "head: pays for a GPU"),
            (_drop("provider", "region"), "no region"),
            (
                _set("us-west-2a,us-east-1a", "provider", "availability_zone"),
                "us-east-1a is not in",
            ),
            (_replace("efs.us-west-2", "efs.us-east-1"), "the store is in us-east-1"),
            (_replace("ray[default]==", "ray[default]>="), "Ray is not installed as tested"),
            (_replace("ray[default]==2", "ray[default]==1"), "but constraints.txt has"),
            (_replace("boto3==", "boto3>="), "boto3>=1.44.8 has no version"),
            (_replace("lip_ray-0.1.0", "lip_ray-0.0.1"), "not lip_ray-"),
            (_replace("'ray[default]==2.60.0'", "ray-3.0.0.dev0-cp310.whl"), "a nightly build"),
            (_replace("mountpoint -q /mnt/lip ||", "true ||"), "nothing is mounted"),
            (_replace("sudo chown", "mkdir /mnt/elsewhere; sudo chown"), "another mount"),
            (_replace("ulimit -n 65536; ", ""), "files are limited"),
            (
                _replace("ray start --head", FIRST_AUTOSCALER + "ray start --head"),
                "what starts it is another",
            ),
            (_replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"), "not 127.0.0.1"),
            (_replace("--max-worker-port=19999", ""), "--max-worker-port is None"),
            (_replace("--num-cpus=0", "--num-cpus=2"), "head: trials may land"),
            (_replace("--autoscaling-config=~/ray_bootstrap_config.yaml", ""), "no autoscaler"),
            (_replace("export RAY_AUTH_MODE=token", "export"), "tokens are not asked for"),
            (_drop("file_mounts", "~/.ray/auth_token"), "the token is not on every node"),
            (_replace("chmod 600", "chmod 644"), "anyone on a node reads the token"),
        ],
    )
    def test_ours_refuse(self, change: Callable[[Config], None], said: str) -> None:
        config = read(FILES["cluster.yaml"])
        change(config)
        try:
            found = mistakes(config)
        except KeyError:
            found = ["KeyError"]
        assert any(said in mistake for mistake in found), found

    @pytest.mark.parametrize("text", [FIRST_AUTOSCALER, *AGAIN])
    def test_how_ray_is_started_on_machines_of_ones_own(self, text: str) -> None:
        config = read(FILES["clusters/on_premises.yaml"])
        _replace(text, "")(config)
        assert any("what starts it is another" in mistake for mistake in mistakes(config))

    def test_workers_on_premises_are_counted(self) -> None:
        config = read(FILES["clusters/on_premises.yaml"])
        config["max_workers"] += 1
        assert mistakes(config) == ["max_workers is not the number of worker_ips"]

    @pytest.mark.parametrize(
        "text",
        [
            "aws_access_key_id: AKIAIOSFODNN7EXAMPLE",
            f"export RAY_AUTH_TOKEN={'0123456789abcdef' * 4}",
            "WANDB_API_KEY=abc",
            "password: hunter2",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY0123456789",
        ],
    )
    def test_secrets_are_seen(self, text: str) -> None:
        assert secrets(text)


ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def said_by_the_package() -> list[str]:
    """All texts in the package's source, with … for what is filled in."""
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "lip_ray").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    texts = (_text(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant))
    return [re.sub(r"…( …)+", "…", text) for text in texts]


def _text(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = (str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return "".join(parts)


def unsaid(page: str, said: list[str]) -> list[str]:
    """Messages in the page's tables that no code holds, each a row `| `message` | … |`."""
    rows = [row for row in ROW.findall(page) if "…" in row]
    return [row for row in rows if not any(row.strip("… ") in text for text in said)]


def test_messages_on_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len([row for row in ROW.findall(page) if "…" in row]) >= 8
    assert unsaid(page, said_by_the_package()) == []


def test_a_message_that_no_code_holds_is_found() -> None:
    page = "| `run.gpus: … was too …` | x |\n| `a … b` | y |\n| `--port` | z |\n"
    assert unsaid(page, ["the a … b"]) == ["run.gpus: … was too …"]


def test_the_page_names_every_port() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for port in (HEAD_PORTS | ALL_PORTS).values():
        assert port in page
