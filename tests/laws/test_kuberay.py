"""clusters/kuberay.yaml holds to what KubeRay publishes of a RayJob, and to more."""

import copy
import gzip
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import ValidationError  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]

from lip_ray import __version__
from lip_ray.sweep import Sweep

Config = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "clusters" / "kuberay.yaml"
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
SCHEMA = Path(__file__).parent / "kuberay" / "rayjob-v1.7.0.json.gz"


def documents() -> dict[str, Config]:
    """The file's documents, by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(PATH.read_text(encoding="utf-8"))}


def closed(schema: Any) -> Any:
    """A schema that takes no key it does not name: the server would drop it without a word."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and "x-kubernetes-preserve-unknown-fields" not in schema:
        found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found = {"type": ["integer", "string"]}
    return found


@pytest.fixture(scope="module")
def validator() -> Any:
    """What holds a RayJob to what KubeRay takes; the schema is checked once for all tests."""
    published = closed(json.loads(gzip.decompress(SCHEMA.read_bytes())))
    published["properties"]["metadata"] = {"type": "object"}
    kind = validator_for(published)
    kind.check_schema(published)
    return kind(published)


def mistakes(job: Config) -> Iterator[str]:
    """What is wrong with a RayJob although KubeRay takes it."""
    spec = job["spec"]["rayClusterSpec"]
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"]
    if spec["rayVersion"] != ray.__version__:
        yield f"rayVersion is {spec['rayVersion']}, tested is {ray.__version__}"
    if spec.get("authOptions", {}).get("mode") != "token":
        yield "tokens are not asked for"
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "head: trials may land there"
    for group in (head, *workers):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        if pod.get("restartPolicy") != "Never":
            yield "a pod is restarted behind the autoscaler's back"
        if container["resources"]["limits"] != container["resources"]["requests"]:
            yield "Ray would count what a pod may not have"
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        if mounted.keys() != {volume["name"] for volume in pod["volumes"]}:
            yield "a volume is not mounted, or a mount has no volume"
        if mounted.get("store") != "/mnt/lip":
            yield "the store is not where the entrypoint has it"
        if "/dev/shm" not in mounted.values():
            yield "64 MiB of shared memory"
        if not container["image"].endswith(f"/lip-ray:{__version__}"):
            yield f"image {container['image']}"
    if job["spec"]["shutdownAfterJobFinishes"] is not True:
        yield "the cluster outlives the sweep"
    for group in workers:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        if "nvidia.com/gpu" not in limits:
            yield "a worker has no GPU"
        if group["minReplicas"] != 0 or group["maxReplicas"] < 1:
            yield "workers do not scale between none and some"


def test_kuberay_takes_it(validator: Any) -> None:
    validator.validate(documents()["RayJob"])


def test_it_says_what_kuberay_does_not_check() -> None:
    assert list(mistakes(documents()["RayJob"])) == []


def test_its_parts_fit_together() -> None:
    job, claim, config = (
        documents()[kind] for kind in ("RayJob", "PersistentVolumeClaim", "ConfigMap")
    )
    volumes = {
        volume["name"]: volume
        for volume in job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    }
    assert volumes["store"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["sweeps"]["configMap"]["name"] == config["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    [sweep] = re.findall(r"/sweeps/(\S+)", job["spec"]["entrypoint"])
    assert sweep in config["data"]
    assert "Secret" not in documents(), "a token has no place in a file"
    assert (
        job["spec"]["rayClusterSpec"]["authOptions"]["secretName"]
        in PATH.read_text().split("\n\n")[0]
    )


def test_its_sweep_is_one(tmp_path: Path) -> None:
    for name, text in documents()["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
        assert Sweep.from_yaml(tmp_path / name).trials


def test_what_is_to_be_edited_is_said() -> None:
    head, _, rest = PATH.read_text(encoding="utf-8").partition("\n\n")
    places = set(re.findall(r"[\w-]+-EDIT", rest))
    assert places
    assert all(place in head for place in places)
    assert "# Costs: " in head


def test_the_image_has_what_was_tested() -> None:
    assert f"'ray[default]=={ray.__version__}'" in CONTAINERFILE
    assert f"lip_ray-{__version__}-py3-none-any.whl" in CONTAINERFILE
    copied = {
        name
        for names in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
        for name in names.split()
    }
    assert all((ROOT / name).exists() for name in copied)
    ignored, *rest = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == copied
    assert project()["readme"] in copied, "else the package has no description"


def project() -> Config:
    """What pyproject.toml says of the package."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: Config = tomllib.load(file)["project"]
    return found


def _at(*keys: str | int) -> Callable[[Config, Any], None]:
    def change(job: Config, value: Any) -> None:
        for key in keys[:-1]:
            job = job[key]  # type: ignore[index]
        job[keys[-1]] = value  # type: ignore[index]

    return change


CLUSTER = ("spec", "rayClusterSpec")
WORKER = (*CLUSTER, "workerGroupSpecs", 0)
POD = (*WORKER, "template", "spec")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (_at("spec", "entrypont"), "lip"),
        (_at(*CLUSTER, "autoscalerOptions", "idleTimeout"), 3),
        (_at(*WORKER, "maxReplicas"), "eight"),
        (_at(*WORKER, "groupname"), "gpu"),
        (_at(*POD, "containers", 0, "volumeMount"), []),
        (_at(*POD, "containers", 0, "resources"), {"limits": {"cpu": [1]}}),
        (_at(*CLUSTER, "authOptions", "mode"), "tokens"),
    ],
)
def test_kuberay_refuses(validator: Any, change: Callable[[Config, Any], None], value: Any) -> None:
    job = copy.deepcopy(documents()["RayJob"])
    change(job, value)
    with pytest.raises(ValidationError):
        validator.validate(job)


@pytest.mark.parametrize(
    ("change", "value", "said"),
    [
        (_at(*CLUSTER, "rayVersion"), "2.0.0", "rayVersion is 2.0.0"),
        (_at(*CLUSTER, "authOptions", "mode"), "disabled", "tokens are not asked for"),
        (_at(*CLUSTER, "headGroupSpec", "rayStartParams"), {}, "head: trials may land there"),
        (_at(*POD, "restartPolicy"), "Always", "a pod is restarted"),
        (_at(*POD, "volumes"), [], "a volume is not mounted"),
        (_at(*POD, "containers", 0, "image"), "lip-ray:latest", "image lip-ray:latest"),
        (_at(*WORKER, "minReplicas"), 1, "workers do not scale"),
        (_at("spec", "shutdownAfterJobFinishes"), False, "the cluster outlives the sweep"),
    ],
)
def test_ours_refuse(change: Callable[[Config, Any], None], value: Any, said: str) -> None:
    job = copy.deepcopy(documents()["RayJob"])
    change(job, value)
    assert any(said in mistake for mistake in mistakes(job))
