"""Published generators: read in full, dropped parts said, code in pickles not run."""

import json
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lip_ray.errors import UserError
from lip_ray.exchange.generators import imported
from lip_ray.priors.generators import Dcgan, LayerList, Pgan
from lip_ray.priors.generators.published import Published, read_published
from lip_ray.priors.saved import CheckpointError, objects_in

CPU = torch.device("cpu")
TINY = Pgan(depths=(4, 3, 2), latent_size=5)
ZIPPED = pytest.mark.parametrize("zipped", [True, False])


def unused(name: str, spec: Pgan = TINY) -> dict[str, Tensor]:
    """Layers of coarser scales, as the zoo's networks keep them."""
    made = {}
    for i, depth in enumerate(spec.depths[:-1]):
        shape = (3, depth, 1, 1) if name == "toRGBLayers" else (depth, 3, 1, 1)
        made[f"{name}.{i}.module.weight"] = torch.zeros(shape)
        made[f"{name}.{i}.module.bias"] = torch.zeros(shape[0])
    return made


def generator_state(seed: int, spec: Pgan = TINY) -> dict[str, Tensor]:
    state = spec.build(seed=seed, device=CPU).snapshot() | unused("toRGBLayers", spec)
    return OrderedDict(reversed(state.items()))


def critic_state(seed: int, spec: Pgan = TINY) -> dict[str, Tensor]:
    return spec.build_critic(seed=seed, device=CPU).snapshot() | unused("fromRGBLayers", spec)


def zoo(**parts: object) -> dict[str, object]:
    """A checkpoint in the zoo's format, whose parts may be replaced."""
    networks = {"netG": generator_state(1), "netD": critic_state(2), "avgG": generator_state(3)}
    return {"config": _config()} | networks | parts


def _config() -> object:
    """An object of a class that is not there when the file is read."""
    made = _foreign_class()()
    made.depthScale0, made.nested = 4, [_foreign_class()()]
    return made


def _foreign_class() -> type:
    return sys.modules["models.utils.config"].BaseConfig


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zoo's own module, while a file is written."""
    found = ModuleType("models.utils.config")
    found.BaseConfig = type("BaseConfig", (), {"__module__": "models.utils.config"})
    for name in ("models", "models.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "models.utils.config", found)


def saved(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for name in ("models", "models.utils", "models.utils.config"):
        sys.modules.pop(name, None)
    return path


def read(tmp_path: Path, content: object, **options) -> Published:
    return read_published(saved(tmp_path / "zoo.pth", content), **options)


def assert_equal(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


class TestTheZoo:
    @ZIPPED
    def test_a_checkpoint_is_read_in_full(self, tmp_path: Path, zipped: bool) -> None:
        """Of the older format of torch.save too, which the zoo's own files are in."""
        found = read_published(saved(tmp_path / "zoo.pth", zoo(), zipped=zipped))
        assert found.trained.architecture == TINY
        assert_equal(found.trained.weights, TINY.build(seed=3, device=CPU).snapshot())
        assert_equal(found.trained.critic, TINY.build_critic(seed=2, device=CPU).snapshot())
        assert found.name == "zoo"
        assert found.trained.origin["network"] == "avgG"
        assert "models" not in sys.modules
        assert found.notes == (
            "not used at this size: toRGBLayers.1, toRGBLayers.0 (27 numbers)",
            "not used at this size: fromRGBLayers.0, fromRGBLayers.1 (28 numbers)",
        )

    def test_the_reference_checkpoint(self, shared: Path) -> None:
        """It holds the networks whose outputs are known."""
        oracles = shared / "oracles"
        found = read_published(oracles / "pgan_zoo_format_tiny.pth").trained
        spec = found.architecture
        assert (spec.depths, spec.latent_size, spec.minibatch_deviation) == ((16, 16, 8), 16, False)
        reference = load_file(oracles / "pgan_small.safetensors")
        network = spec.network()
        network.load_state_dict(found.weights)
        output = network(reference["latent"])
        torch.testing.assert_close(output, reference["output"], rtol=1e-4, atol=1e-5)
        reference = load_file(oracles / "pgan_discriminator_small.safetensors")
        critic = spec.critic_network()
        critic.load_state_dict(found.critic)
        scores = critic(reference["image"])
        torch.testing.assert_close(scores, reference["output"][:, 0], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(("network", "seed"), [(None, 3), ("avgG", 3), ("netG", 1)])
    def test_either_network_is_taken(self, tmp_path: Path, network: str | None, seed: int) -> None:
        found = read(tmp_path, zoo(), network=network)
        assert_equal(found.trained.weights, TINY.build(seed=seed, device=CPU).snapshot())

    def test_without_an_average_the_generator_is_taken(self, tmp_path: Path) -> None:
        content = zoo()
        del content["avgG"]
        found = read(tmp_path, content)
        assert found.trained.origin["network"] == "netG"
        with pytest.raises(CheckpointError, match=r"zoo.pth: it lacks avgG; it has config, netG,"):
            read_published(tmp_path / "zoo.pth", network="avgG")

    def test_names_of_parallel_training(self, tmp_path: Path) -> None:
        parallel = {f"module.{name}": value for name, value in generator_state(3).items()}
        found = read(tmp_path, zoo(avgG=parallel))
        assert_equal(found.trained.weights, TINY.build(seed=3, device=CPU).snapshot())

    @pytest.mark.parametrize(
        "spec",
        [
            Pgan(depths=(3,), latent_size=2, channels=1),
            Pgan(depths=(2, 5), latent_size=9, minibatch_deviation=False),
        ],
    )
    def test_sizes_are_those_of_the_tensors(self, tmp_path: Path, spec: Pgan) -> None:
        state = spec.build(seed=0, device=CPU).snapshot()
        critic = spec.build_critic(seed=0, device=CPU).snapshot()
        found = read(tmp_path, {"netG": state, "netD": critic})
        assert found.trained.architecture == spec
        assert found.trained.critic is not None
        assert found.notes == ()

    def test_half_precision_becomes_single(self, tmp_path: Path) -> None:
        state = {name: value.half() for name, value in generator_state(3).items()}
        found = read(tmp_path, zoo(avgG=state)).trained.weights
        assert {value.dtype for value in found.values()} == {torch.float32}

    @pytest.mark.parametrize(
        ("critic", "reason"),
        [
            (None, "netD must be a state dict, tensors by name; this is a NoneType"),
            ({"main.0.weight": torch.zeros(1)}, "netD is made for another network: it lacks from"),
            (
                critic_state(2) | {"decisionLayer.module.weight": torch.zeros(7, 4)},
                "netD is made for another network: decisionLayer.module.weight is 7×4",
            ),
        ],
    )
    def test_a_critic_that_does_not_fit_is_left_out(
        self, tmp_path: Path, critic: object, reason: str
    ) -> None:
        found = read(tmp_path, zoo(netD=critic))
        assert found.trained.critic is None
        assert found.trained.architecture == TINY
        (note,) = (note for note in found.notes if note.startswith("the critic is drawn anew: "))
        assert reason in note

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1], r"expected a checkpoint of the GAN zoo, which has netG and avgG, .* is a list"),
            ({"a": torch.ones(1)}, r"or else a card of the layers .*; this is a dict of a"),
            ({"netG": []}, "netG must be a state dict, tensors by name; this is a list"),
            (
                {"netG": {"a": 1, "b": None}},
                r"must be dense tensors, not a \(int\), b \(NoneType\)",
            ),
            (
                {"netG": {"main.formatLayer.weight": torch.zeros(4, 2)}},
                r"netG is none of the GAN zoo's progressive GANs: expected formatLayer.module.weig"
                r"ht, groupScale0.0.module.weight, toRGBLayers.0.module.weight in it; it has main",
            ),
        ],
    )
    def test_another_checkpoint_is_refused(
        self, tmp_path: Path, content: object, message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            read(tmp_path, content)
        assert str(caught.value).startswith(f"{tmp_path / 'zoo.pth'}: ")
        assert isinstance(caught.value, UserError)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"scaleLayers.0.0.module.weight": torch.zeros(3, 9, 3, 3)},
                "3×9×3×3 instead of 3×4×3×3",
            ),
            ({"formatLayer.module.weight": torch.zeros(())}, "latent_size: must be at least 1"),
            ({"toRGBLayers.2.module.weight": torch.zeros(2, 2, 1, 1)}, "channels: unknown value 2"),
            ({"attributes.weight": torch.zeros(2)}, "the network lacks attributes.weight"),
            ({"groupScale0.0.module.bias": torch.full((4,), torch.inf)}, "that are not finite"),
            ({"scaleLayers.1.1.module.weight": None}, "expected toRGBLayers.1.*"),
        ],
    )
    def test_wrong_tensors_are_named(
        self, tmp_path: Path, changes: dict[str, Tensor | None], message: str
    ) -> None:
        state = generator_state(3) | changes
        for name in [name for name, value in changes.items() if value is None]:
            del state[name]
        if "expected" in message:
            del state["toRGBLayers.1.module.weight"]
        with pytest.raises(UserError, match=message):
            read(tmp_path, zoo(avgG=state))


class Calls:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._reduced = function, arguments

    def __reduce__(self):
        return self._reduced


class Made:
    """Pickles as an object whose state is set by code of its own."""

    def __setstate__(self, state: object) -> None:
        raise AssertionError("it was run")


class TestPickles:
    """What a pickle wants to run is named and not run."""

    @ZIPPED
    @pytest.mark.parametrize("hidden", [False, True])
    def test_a_call_is_refused(self, tmp_path: Path, zipped: bool, hidden: bool) -> None:
        mark = tmp_path / "ran"
        call = Calls(os.system, f"touch {mark}")
        content = zoo(config=[call] if hidden else call)
        path = saved(tmp_path / "zoo.pth", content, zipped=zipped)
        with pytest.raises(CheckpointError, match=r"refused: .* it asks for posix\.system"):
            read_published(path)
        assert not mark.exists()
        torch.load(path, weights_only=False, map_location="cpu")  # the file does do what it says
        assert mark.exists()

    @ZIPPED
    def test_a_call_after_a_class_that_is_not_here(self, tmp_path: Path, zipped: bool) -> None:
        """So the first reading stops at the class, and the second meets the call."""
        mark = tmp_path / "ran"
        content = [_config(), Calls(os.system, f"touch {mark}")]
        path = saved(tmp_path / "zoo.pth", content, zipped=zipped)
        with pytest.raises(CheckpointError, match=r"refused: .* it asks for posix\.system"):
            read_published(path)
        assert not mark.exists()

    @ZIPPED
    def test_a_class_that_is_not_here_is_not_called(self, tmp_path: Path, zipped: bool) -> None:
        content = zoo(config=Calls(_foreign_class()))
        path = saved(tmp_path / "zoo.pth", content, zipped=zipped)
        with pytest.raises(CheckpointError, match=r"it asks for models\.utils\.config\.BaseConfig"):
            read_published(path)

    def test_classes_that_are_here_are_inert_too(self, tmp_path: Path) -> None:
        """Whose __setstate__ would run."""
        made = Made()
        made.secret = 3
        path = saved(tmp_path / "zoo.pth", {"made": made, "class": Made, "tensor": torch.ones(2)})
        found = objects_in(path)
        assert torch.equal(found["tensor"], torch.ones(2))
        assert not isinstance(found["made"], Made)
        assert vars(found["made"]) == {}
        assert not callable(found["made"])
        with pytest.raises(CheckpointError, match=r"refused: .* it asks for .*Made"):
            found["class"]()

    @pytest.mark.parametrize(
        "program",
        [
            b"(S'touch {mark}'\nios\nsystem\n.",
            b"cos\nsystem\n(S'touch {mark}'\ntR.",
            b"(cos\nsystem\nS'touch {mark}'\no.",
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08touch {mark}\x85R.",
        ],
    )
    @pytest.mark.parametrize("torch_file", [True, False])
    @pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
    def test_by_hand(
        self, tmp_path: Path, program: bytes, torch_file: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Opcodes that no pickler writes today."""
        monkeypatch.chdir(tmp_path)
        program = program.replace(b"{mark}", b"ma")
        path = tmp_path / "zoo.pth"
        if torch_file:  # in place of the content of a file in the older format
            saved(path, 1, zipped=False)
            path.write_bytes(path.read_bytes().replace(b"\x80\x02K\x01.", program, 1))
        else:
            path.write_bytes(program)
        with pytest.raises(CheckpointError, match=r"it asks for os\.system|is no file of tensors"):
            read_published(path)
        assert not (tmp_path / "ma").exists()

    @pytest.mark.filterwarnings("ignore:.*jit")
    def test_code_that_torch_would_run(self, tmp_path: Path) -> None:
        path = tmp_path / "zoo.pth"
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
        with pytest.raises(CheckpointError, match="is no file of tensors"):
            read_published(path)

    @pytest.mark.parametrize("cut", [1, 40, 400])
    def test_a_damaged_file(self, tmp_path: Path, cut: int) -> None:
        path = saved(tmp_path / "zoo.pth", zoo(), zipped=cut != 40)
        path.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(CheckpointError, match=r"zoo\.pth: "):
            read_published(path)

    def test_a_plain_pickle(self, tmp_path: Path) -> None:
        path = tmp_path / "zoo.pth"
        path.write_bytes(pickle.dumps({"netG": _config()}))
        with pytest.raises(CheckpointError, match=r"it asks for models\.utils\.config\.BaseConfig"):
            read_published(path)


CARD = {
    "name": "my digits",
    "latent": {"dim": 3, "prior": "uniform(-1,1)"},
    "output": {"shape": [1, 2, 2], "range": [0.0, 1.0]},
    "layers": [["linear", 3, 4], ["bn1d", 4, 1e-5], ["sigmoid"], ["view", 1, 2, 2]],
    "licence": "CC0",
}
DIGITS = LayerList(
    layers=(("linear", 3, 4), ("bn1d", 4, 1e-5), ("sigmoid",), ("view", 1, 2, 2)),
    latent_size=3,
    law="uniform",
    output="unit",
)


def digits_state() -> dict[str, Tensor]:
    return DIGITS.build(seed=4, device=CPU).snapshot()


class TestCards:
    def card(self, tmp_path: Path, **changes: object) -> Path:
        path = tmp_path / "card.json"
        content = {k: v for k, v in (CARD | changes).items() if v is not None}
        path.write_text(json.dumps(content))
        return path

    def read(self, tmp_path: Path, state: object, **changes: object) -> Published:
        path = saved(tmp_path / "weights.pt", state)
        return read_published(path, card=self.card(tmp_path, **changes))

    @pytest.mark.parametrize("form", ["torch", "nested", "parallel", "safetensors"])
    def test_a_state_dict_with_a_card(self, tmp_path: Path, form: str) -> None:
        state, path = digits_state(), tmp_path / "weights.pt"
        if form == "safetensors":
            path = tmp_path / "weights.safetensors"
            save_file(state, path)
        elif form == "nested":
            saved(path, {"state_dict": state, "epoch": 3})
        else:
            prefix = "module." if form == "parallel" else ""
            saved(path, {prefix + name: value for name, value in state.items()})
        found = read_published(path, card=self.card(tmp_path))
        assert found.trained.architecture == DIGITS
        assert_equal(found.trained.weights, state)
        assert found.trained.critic is None
        assert (found.name, found.notes) == ("my digits", ())
        assert found.trained.origin["card"] == {"name": "my digits", "licence": "CC0"}

    def test_counters_of_batches_may_be_missing(self, tmp_path: Path) -> None:
        """Files of before they were there."""
        layers = [*CARD["layers"][:2], ["bn1d", 4, 1e-5], *CARD["layers"][2:]]
        spec = DIGITS.model_validate(DIGITS.model_dump() | {"layers": layers})
        expected = spec.build(seed=0, device=CPU).snapshot()
        state = {n: v for n, v in expected.items() if not n.endswith("num_batches_tracked")}
        assert len(state) == len(expected) - 2
        assert_equal(self.read(tmp_path, state, layers=layers).trained.weights, expected)
        card = tmp_path / "card.json"
        made = imported(tmp_path / "weights.pt", card=card, folder=tmp_path)
        assert_equal(made.generator.pretrained(), expected)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"layers": None}, r"card.json is no card, which lists layers under `layers`"),
            ({"latent": None}, r"latent.dim is missing, so it is no generator's card"),
            ({"output": {"shape": [1, 2, 2]}}, r"output.range is missing"),
            ({"output": {"range": [0, 1]}}, r"output.shape is missing"),
            (
                {"output": {"range": [0, 255], "shape": [1, 2, 2]}},
                r"output.range must be one of \[0, 1\], \[-1, 1\]; got \[0, 255\]",
            ),
            (
                {"latent": {"dim": 3, "prior": "cauchy"}},
                r"latent.prior must be one of normal\(0,1\), uniform\(-1,1\); got 'cauchy'",
            ),
            ({"latent": {"dim": "3", "prior": "normal(0,1)"}}, r"latent_size: must be a whole"),
            ({"output": {"range": [-1, 1], "shape": [1, 2, 2]}}, r"output must be unit, as the"),
            (
                {"output": {"range": [0, 1], "shape": [1, 4, 4]}},
                r"output.shape is \[1, 4, 4\], but the layers make \[1, 2, 2\]",
            ),
            ({"layers": [["linear", 3, 4], ["logsoftmax"]]}, r"layer 1: logsoftmax makes scores"),
            ({"layers": [["linear", 2, 4]]}, r"layer 0: linear takes \(2\), but what comes in is"),
            ({"sha256": "ab"}, r"is the card of another file: its sha256 is ab, that of"),
        ],
    )
    def test_a_wrong_card_is_one_message(
        self, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        with pytest.raises(UserError, match=message) as caught:
            self.read(tmp_path, digits_state(), **changes)
        assert str(tmp_path / "card.json") in str(caught.value)

    def test_what_is_no_card(self, tmp_path: Path) -> None:
        weights = saved(tmp_path / "weights.pt", digits_state())
        with pytest.raises(UserError, match=r"cannot read card .*none.json: No such file"):
            read_published(weights, card=tmp_path / "none.json")
        with pytest.raises(UserError, match=r"weights.pt is no card, which is a JSON"):
            read_published(weights, card=weights)

    def test_a_missing_card_is_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"--card FILE.*; this is a OrderedDict of 0.weight"):
            read(tmp_path, OrderedDict(digits_state()))
        save_file(digits_state(), tmp_path / "weights.safetensors")
        with pytest.raises(UserError, match=r"which layers its tensors are of a card says: --card"):
            read_published(tmp_path / "weights.safetensors")

    def test_a_card_describes_one_network(self, tmp_path: Path) -> None:
        weights = saved(tmp_path / "weights.pt", digits_state())
        with pytest.raises(UserError, match="network: netG is one of the GAN zoo's; a card descr"):
            read_published(weights, card=self.card(tmp_path), network="netG")

    def test_other_weights_are_named(self, tmp_path: Path) -> None:
        state = digits_state() | {"0.weight": torch.zeros(4, 2)}
        with pytest.raises(CheckpointError, match=r"weights.pt: .*0.weight is 4×2 instead of 4×3"):
            self.read(tmp_path, state)
        del state["0.weight"]
        with pytest.raises(CheckpointError, match=r"it lacks 0.weight"):
            self.read(tmp_path, state)

    def test_objects_are_never_made_beside_a_card(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"it asks for models\.utils\.config\.BaseConfig"):
            self.read(tmp_path, digits_state() | {"config": _config()})

    def test_a_missing_file(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.pt", tmp_path / "none.safetensors"):
            with pytest.raises(UserError, match=r"none.*: cannot be read: No such file"):
                read_published(path, card=self.card(tmp_path))
        with pytest.raises(UserError, match=r"none.pt: cannot be read: No such file"):
            read_published(tmp_path / "none.pt")
        (tmp_path / "bad.safetensors").write_bytes(b"bad")
        with pytest.raises(CheckpointError, match=r"bad.safetensors: is no file of tensors"):
            read_published(tmp_path / "bad.safetensors", card=self.card(tmp_path))


class TestImporting:
    def test_what_is_written_is_what_was_read(self, tmp_path: Path) -> None:
        source = saved(tmp_path / "zoo v2.pth", zoo())
        found = imported(source, folder=tmp_path / "made")
        assert found.path.parent == tmp_path / "made"
        assert found.path.name == f"zoo-v2-{found.generator.sha256[:12]}.safetensors"
        assert_equal(found.generator.pretrained(), TINY.build(seed=3, device=CPU).snapshot())
        assert list(found.path.parent.iterdir()) == [found.path]

    def test_importing_again_gives_the_same_file(self, tmp_path: Path) -> None:
        source = saved(tmp_path / "zoo.pth", zoo())
        first = imported(source, folder=tmp_path / "made")
        content = first.path.read_bytes()
        again = imported(source, folder=tmp_path / "made")
        assert (again.path, again.path.read_bytes()) == (first.path, content)
        assert again.generator.id == first.generator.id
        other = imported(source, network="netG", folder=tmp_path / "made")
        assert other.generator.id != first.generator.id

    def test_it_says_what_was_found(self, tmp_path: Path) -> None:
        found = imported(saved(tmp_path / "zoo.pth", zoo()), folder=tmp_path)
        text = "\n".join(found.lines)
        for said in (
            "pgan, 16×16 pixels, colour",
            f"{TINY.cost.parameters:,} parameters, {TINY.cost.prunable:,} of them prunable",
            "critic: that of the file",
            "latent: 5 numbers, N(0, 1); range: [-1, 1]",
            f"source: sha256 {found.published.trained.origin['sha256']}, avgG",
            f"result: sha256 {found.generator.sha256}",
            "note: not used at this size: toRGBLayers",
        ):
            assert said in text

    @pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..", "", "a b/c"])
    def test_a_cards_name_leads_out_of_no_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "card.json").write_text(json.dumps(CARD | {"name": name}))
        weights = saved(tmp_path / "weights.pt", digits_state())
        found = imported(weights, card=tmp_path / "card.json", folder=tmp_path / "made")
        assert found.path.resolve().parent == (tmp_path / "made").resolve()

    @pytest.mark.parametrize(
        "name", ["face32_dcgan_celeba", "face64_vae_celeba", "mnist28_dcgan", "mnist28_vae"]
    )
    def test_real_cards(self, tmp_path: Path, shared: Path, name: str) -> None:
        folder = shared / "data" / "generators" / name
        found = imported(folder / "weights.pt", card=folder / "card.json", folder=tmp_path)
        card = json.loads((folder / "card.json").read_text())
        assert found.generator.cost.parameters == card["parameters"]
        assert list(found.generator.image_shape) == card["output"]["shape"]
        latents = found.generator.latents(4, torch.Generator())
        images = found.generator.build(seed=0, device=CPU)(latents)
        assert 0 <= float(images.detach().min()) < float(images.detach().max()) <= 1

    def test_a_real_classifier_is_no_generator(self, tmp_path: Path, shared: Path) -> None:
        folder = shared / "data" / "generators" / "mnist32_lenet_classifier"
        with pytest.raises(UserError, match="it is no generator's card"):
            imported(folder / "weights.pt", card=folder / "card.json", folder=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_dcgan_needs_no_card_of_its_own_kind(self, tmp_path: Path) -> None:
        """A card's numbering is that of the network, so a state dict of ours has one too."""
        spec = Dcgan(size=8, channels=1, latent_size=2, width=3)
        layers = [
            *(["view", 2, 1, 1], ["convT", 2, 3, 4, 1, 0, False], ["bn2d", 3, 1e-5], ["relu"]),
            *(["convT", 3, 1, 4, 2, 1, False], ["tanh"]),
        ]
        card = {
            "layers": layers,
            "latent": {"dim": 2, "prior": "normal(0,1)"},
            "output": {"shape": [1, 8, 8], "range": [-1, 1]},
        }
        (tmp_path / "card.json").write_text(json.dumps(card))
        state = spec.build(seed=0, device=CPU).snapshot()
        weights = saved(tmp_path / "weights.pt", state)
        found = imported(weights, card=tmp_path / "card.json", folder=tmp_path)
        z = spec.latents(2, torch.Generator())
        ours = found.generator.build(seed=0, device=CPU)(z)
        assert torch.equal(ours, spec.build(seed=0, device=CPU)(z))
