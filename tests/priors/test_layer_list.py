"""Generators written down layer by layer: real cards, and every way not to fit."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lip_ray.priors.generators import Dcgan, LayerList

CPU = torch.device("cpu")
START = (["linear", 4, 12], ["relu"], ["view", 3, 2, 2])


def spec(*layers: object, output: str = "unit", latent_size: int = 4) -> LayerList:
    return LayerList.model_validate(
        {"layers": list(layers), "latent_size": latent_size, "output": output}
    )


def test_a_card_of_dcgan_is_dcgan() -> None:
    """The same state dict makes the same images."""
    dcgan = Dcgan(size=16, channels=1, latent_size=3, width=2)
    layers = [
        ["view", 3, 1, 1],
        ["convT", 3, 4, 4, 1, 0, False],
        ["bn2d", 4, 1e-5],
        ["relu"],
        ["convT", 4, 2, 4, 2, 1, False],
        ["bn2d", 2, 1e-5],
        ["relu"],
        ["convT", 2, 1, 4, 2, 1, False],
        ["tanh"],
    ]
    card = spec(*layers, output="symmetric", latent_size=3)
    ours, theirs = card.build(seed=0, device=CPU), dcgan.build(seed=0, device=CPU)
    ours.module.load_state_dict(theirs.snapshot())
    z = dcgan.latents(3, torch.Generator())
    assert torch.equal(ours(z), theirs(z))
    assert card.cost == dcgan.cost


def test_every_layer_of_the_vocabulary() -> None:
    layers = [
        ["linear", 4, 18],
        ["bn1d", 18, 1e-3],
        ["leaky", 0.3],
        ["view", 2, 3, 3],
        ["convT", 2, 2, 3, 2, 0, True],
        ["crop_br"],
        ["bn2d", 2, 1e-5],
        ["relu"],
        ["maxpool", 2],
        ["conv", 2, 1, 1, 1, 0, False],
        ["flatten"],
        ["tanh"],
        ["view", 1, 3, 3],
    ]
    made = spec(*layers, output="symmetric")
    assert made.image_shape == (1, 3, 3)
    module = made.network()
    assert [type(layer).__name__ for layer in module] == [
        *("Linear", "BatchNorm1d", "LeakyReLU", "View", "ConvTranspose2d", "CropBottomRight"),
        *("BatchNorm2d", "ReLU", "MaxPool2d", "Conv2d", "Flatten", "Tanh", "View"),
    ]
    assert module[1].eps == 1e-3
    assert module[2].negative_slope == 0.3
    assert (module[4].stride, module[4].padding) == ((2, 2), (0, 0))
    assert (module[4].bias is None, module[9].bias is None) == (False, True)
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert torch.equal(module[5](x), x[..., :2, :3])


def test_initial_weights_are_pytorchs_own_distributions() -> None:
    """Uniform on ±1/√fan-in, as torch's own constructors draw them."""
    layers = (["view", 4, 1, 1], ["convT", 4, 64, 4, 1, 0, True], ["conv", 64, 3, 3, 1, 1, True])
    ours = spec(*layers).build(seed=0, device=CPU).module
    torch.manual_seed(0)
    for layer, like in ((ours[1], nn.ConvTranspose2d(4, 64, 4)), (ours[2], nn.Conv2d(64, 3, 3))):
        bound = like.weight[0].numel() ** -0.5
        for values in (layer.weight.detach(), like.weight.detach()):
            assert 0.9 * bound < float(values.abs().max()) <= bound
        assert float(layer.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([["linear", 5, 12], *START[1:]], r"layer 0: linear takes \(5\), but what comes in is \(4"),
        ([["linear", 4, 13], *START[1:]], r"layer 2: view cannot work on \(13\)"),
        ([["bn2d", 4, 1e-5]], r"layer 0: bn2d takes \(4, H, W\), but what comes in is \(4\)"),
        ([*START, ["bn2d", 4, 1e-5]], r"layer 3: bn2d takes \(4, H, W\), but .* \(3, 2, 2\)"),
        ([*START, ["linear", 3, 3]], r"layer 3: linear takes \(3\), but what comes in is \(3, 2"),
        ([*START, ["conv", 3, 3, 5, 1, 0, True]], r"layer 3: conv cannot work on \(3, 2, 2\)"),
        ([*START, ["crop_br"], ["crop_br"]], r"layer 4: crop_br leaves nothing of \(3, 1, 1\)"),
        ([*START, ["flatten"]], r"must end in an image of 1 or 3 channels, .* end in \(12\)"),
        ([["linear", 4, 4], ["view", 2, 1, 2]], r"1 or 3 channels, .* end in \(2, 1, 2\)"),
        ([["linear", 4, 3], ["logsoftmax"]], r"layer 1: logsoftmax makes scores of classes"),
        ([["dense", 4, 3]], r"layer 0: unknown layer 'dense'; allowed: linear, convT, conv"),
        ([["linear", 4]], r"layer 0: linear takes in, out; got \[4\]"),
        ([["relu", 1]], r"layer 0: relu takes no numbers; got \[1\]"),
        ([["linear", 4, 0]], r"layer 0: out of linear must be a whole number from 1 to 1048576"),
        ([["linear", 4, 2.0]], r"out of linear must be a whole number .*, got 2\.0"),
        ([["leaky", -1]], r"slope of leaky must be from 0 to 1, got -1"),
        ([["bn1d", 4, 0]], r"eps of bn1d must be between 0 and 1, got 0"),
        ([*START, ["conv", 3, 3, 1, 1, -1, True]], r"pad of conv must be .* from 0 to .*, got -1"),
        ([*START, ["conv", 3, 3, 1, 1, 0, 0]], r"bias of conv must be true or false, got 0"),
        ([*START, ["tanh"]], r"output must be symmetric, as the layers end in tanh; got unit"),
        ([], r"must end in an image of 1 or 3 channels, .* end in \(4\)"),
        ([[]], "at least 1 item"),
    ],
)
def test_what_does_not_fit_is_named(layers: list[object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        spec(*layers)
    assert caught.value.error_count() == 1


def test_numbers_that_python_takes_for_equal_are_told_apart() -> None:
    """False is 0, and what was found right before must not make a slip right."""
    right = (["view", 4, 1, 1], ["convT", 4, 3, 2, 1, 0, False])
    assert spec(*right).image_shape == (3, 2, 2)
    with pytest.raises(ValidationError, match="bias of convT must be true or false, got 0"):
        spec(right[0], [*right[1][:-1], 0])


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("face32_dcgan_celeba", (3, 32, 32), 870_851),
        ("face64_vae_celeba", (3, 64, 64), 1_010_563),
        ("mnist28_dcgan", (1, 28, 28), 312_256),
        ("mnist28_vae", (1, 28, 28), 322_784),
    ],
)
def test_real_cards(name: str, shape: tuple[int, ...], parameters: int, shared: Path) -> None:
    """Their weights make pictures: neither grey nor noise, their neighbours alike."""
    folder = shared / "data" / "generators" / name
    card = json.loads((folder / "card.json").read_text())
    made = LayerList.model_validate(
        {
            "layers": card["layers"],
            "latent_size": card["latent"]["dim"],
            "law": card["latent"]["prior"].partition("(")[0],
            "output": "unit" if card["output"]["range"][0] == 0 else "symmetric",
        }
    )
    assert made.image_shape == shape
    assert made.cost.parameters == parameters
    network = made.build(seed=0, device=CPU)
    network.module.load_state_dict(torch.load(folder / card["weights"], weights_only=True))
    images = network(made.latents(16, torch.Generator().manual_seed(0))).detach()
    assert 0 <= float(images.min()) < 0.2
    assert 0.8 < float(images.max()) <= 1
    along = (images[..., 1:] - images[..., :-1]).abs().mean()
    assert float(along) < 0.5 * float(images.std())
