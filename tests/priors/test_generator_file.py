"""Generators in files: known by content, checked whenever they are read."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lip_ray.errors import UserError
from lip_ray.priors.generators import Dcgan, GeneratorFile, LayerList, Pgan
from lip_ray.priors.generators.file import GeneratorError, Trained, read, write

CPU = torch.device("cpu")
DCGAN = Dcgan(size=8, channels=1, latent_size=3, width=2, law="uniform")
PGAN = Pgan(depths=(4, 3), latent_size=5)
LAYERS = LayerList(layers=(("linear", 2, 4), ("view", 1, 2, 2)), latent_size=2, output="unit")


def trained(spec=DCGAN, *, seed: int = 1, critic: bool = True) -> Trained:
    judge = spec.build_critic(seed=seed, device=CPU).snapshot() if critic else None
    weights = spec.build(seed=seed, device=CPU).snapshot()
    return Trained(architecture=spec, weights=weights, critic=judge, origin={"sha256": "ab"})


def altered(path: Path, tensors: dict[str, torch.Tensor], **about: object) -> Path:
    """The same file with other tensors, or another description."""
    with safe_open(path, "pt") as opened:
        said = json.loads(opened.metadata()["generator"])
    other = path.with_name("altered.safetensors")
    save_file(load_file(path) | tensors, other, {"generator": json.dumps(said | about)})
    return other


@pytest.mark.parametrize("spec", [DCGAN, PGAN, LAYERS])
@pytest.mark.parametrize("critic", [True, False])
def test_a_file_is_the_network_that_was_written(tmp_path: Path, spec, critic: bool) -> None:
    written = trained(spec, critic=critic)
    found = GeneratorFile(path=str(write(written, tmp_path, "mine")))
    assert found.architecture == spec
    for name in ("latent_size", "law", "output", "image_shape", "cost"):
        assert getattr(found, name) == getattr(spec, name)
    weights = found.build(seed=7, device=CPU).snapshot()
    assert all(torch.equal(written.weights[n], value) for n, value in weights.items())
    drawn = spec.build_critic(seed=7, device=CPU).snapshot()
    expected = written.critic if critic else drawn
    judge = found.build_critic(seed=7, device=CPU).snapshot()
    assert all(torch.equal(expected[n], value) for n, value in judge.items())
    assert (found.pretrained_critic() is None) == (not critic)
    assert read(Path(found.path)).origin == {"sha256": "ab"}


def test_its_untrained_network_is_the_architectures(tmp_path: Path) -> None:
    """For those who draw weights anew."""
    found = GeneratorFile(path=str(write(trained(), tmp_path, "mine")))
    drawn = found.module(torch.Generator().manual_seed(4)).state_dict()
    expected = DCGAN.module(torch.Generator().manual_seed(4)).state_dict()
    assert all(torch.equal(drawn[name], value) for name, value in expected.items())


def test_equal_generators_make_equal_files_and_others_others(tmp_path: Path) -> None:
    first, again = (write(trained(), tmp_path / where, "mine") for where in "ab")
    assert first.name == again.name
    assert first.read_bytes() == again.read_bytes()
    assert write(trained(seed=2), tmp_path, "mine").name != first.name
    assert sorted(tmp_path.glob("a/*")) == [first]


def test_the_name_ends_in_the_content(tmp_path: Path) -> None:
    path = write(trained(), tmp_path, "mine")
    found = GeneratorFile(path=str(path))
    assert path.name == f"mine-{found.sha256[:12]}.safetensors"
    assert found.label == path.stem


def test_moving_a_file_changes_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(trained(), tmp_path, "mine")
    here = GeneratorFile(path=str(path))
    moved = path.rename(tmp_path / "other.safetensors")
    monkeypatch.chdir(tmp_path)
    there = GeneratorFile(path="other.safetensors")
    assert there.path == str(moved)
    assert there.id == here.id
    assert GeneratorFile.model_validate_json(there.model_dump_json()) == there


def test_a_known_file_may_be_missing_until_it_is_needed(tmp_path: Path) -> None:
    """A store can be read where the file is not."""
    path = tmp_path / "gone.safetensors"
    found = GeneratorFile(path=str(path), sha256="0" * 64)
    for need in (found.pretrained, found.network, lambda: found.image_shape):
        with pytest.raises(GeneratorError, match=r"cannot read generator .*gone.safetensors: No s"):
            need()
    with pytest.raises(ValidationError, match=r"cannot read generator .*gone.safetensors"):
        GeneratorFile(path=str(path))


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = write(trained(), tmp_path, "mine")
    found = GeneratorFile(path=str(path))
    path.write_bytes(write(trained(seed=2), tmp_path, "mine").read_bytes())
    with pytest.raises(
        GeneratorError, match=rf"mine-.* has changed since its sha256 {found.sha256[:12]}"
    ):
        found.build(seed=0, device=CPU)


class TestRefusals:
    """A wrong file is one message that says what is wrong with it."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(trained(), tmp_path, "mine")

    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(GeneratorError, match=message) as caught:
            read(path)
        assert isinstance(caught.value, UserError)
        assert f"{path} is no generator: lip import generator writes them (" in str(caught.value)
        with pytest.raises(ValidationError, match=message):
            GeneratorFile(path=str(path))

    def test_other_shapes(self, path: Path) -> None:
        wrong = {"1.weight": torch.zeros(2, 2)}
        self.refused(altered(path, wrong), "1.weight is 2×2 instead of 3×2×4×4")

    def test_more_tensors(self, path: Path) -> None:
        self.refused(altered(path, {"more": torch.zeros(1)}), "the network lacks more")
        self.refused(altered(path, {"critic.more": torch.zeros(1)}), "the network lacks more")

    def test_fewer_tensors(self, path: Path) -> None:
        few = {"1.weight": load_file(path)["1.weight"]}
        save_file(few, path, {"generator": json.dumps(described(DCGAN))})
        self.refused(path, "it lacks 2.weight")

    def test_other_numbers(self, path: Path) -> None:
        tensors = load_file(path)
        halved = {"4.weight": tensors["4.weight"].half()}
        self.refused(altered(path, halved), r"4.weight is torch.float16 instead of torch.float32")
        endless = {"4.weight": tensors["4.weight"] / 0}
        self.refused(altered(path, endless), "4.weight has numbers that are not finite")

    def test_another_architecture(self, path: Path) -> None:
        self.refused(altered(path, {}, architecture={"kind": "vae"}), "'vae'")
        other = Dcgan(size=16, channels=1, latent_size=3, width=2).model_dump()
        self.refused(altered(path, {}, architecture=other), "made for another network")
        wrong = {"kind": "dcgan", "size": 9}
        self.refused(altered(path, {}, architecture=wrong), r"architecture.dcgan.size: Input")

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            (None, "no 'generator'"),
            ({"ticket": "{}"}, "no 'generator'"),
            ({"generator": "{}"}, "no 'architecture'"),
            ({"generator": "["}, "Expecting value"),
            ({"generator": "[1]"}, "list indices"),
        ],
    )
    def test_other_safetensors(
        self, path: Path, metadata: dict[str, str] | None, message: str
    ) -> None:
        save_file(load_file(path), path, metadata)
        self.refused(path, message)

    @pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff" * 64])
    def test_other_formats(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.refused(path, "eader")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(GeneratorError, match=r"cannot read generator .*: Is a directory"):
            read(tmp_path)


def described(spec: Dcgan) -> dict[str, object]:
    return {"architecture": spec.model_dump(), "origin": {}}


@pytest.mark.parametrize("fields", [{}, {"path": 3}, {"path": "a", "sha256": 3}])
def test_what_is_missing_is_one_problem(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        GeneratorFile.model_validate(fields)
    assert caught.value.error_count() == 1
