"""Mutated sweeps, checkpoints, cards, arrays and pictures: refused in one message, or read rightly.

Nothing may be taken silently with other values, and nothing may end in a traceback or hang. A short
form of each runs with all tests; `make test-fuzz` runs the long ones and prints their figures.
"""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mutations import Figures, damaged, mutated
from pictures import DEEP, encoded, ramp
from safetensors.torch import save
from torch import Tensor, nn

from lip_ray.data.images import ArrayImage, FileImage
from lip_ray.exchange import tickets
from lip_ray.priors import Skip
from lip_ray.priors.generators.layers import LayerList
from lip_ray.priors.generators.published import read_published
from lip_ray.sweep import Sweep
from lip_ray.trials import AbstractTrial

SEED = 20_260_725


def long_and_short(long: int, short: int) -> pytest.MarkDecorator:
    counts = [short, pytest.param(long, marks=pytest.mark.fuzz)]
    return pytest.mark.parametrize("count", counts)


IMAGE = {"kind": "builtin", "name": "camera", "rows": [0, 24], "columns": [0, 24], "channels": 1}
FOUND: dict[str, Any] = {
    "images": IMAGE,
    "task": {"kind": "denoising", "sigma": 25, "clip": False},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
    "pruner": {"kind": "snip", "rounds": 3},
    "schedule": {"kind": "rate", "rate": 0.5, "steps": 2},
    "rewind": {"kind": "step", "step": 20},
    "fit": {"steps": 100, "learning_rate": 0.01, "stopping": {"kind": "wmv", "window": 20}},
    "seed": 1,
}
DRAWN: dict[str, Any] = {
    "kind": "generator",
    "prior": {"kind": "dcgan", "size": 8, "channels": 1, "width": 4, "latent_size": 4},
    "images": {"kind": "digits"},
    "schedule": [1, 0.5],
    "fit": {"steps": 20, "batch": 8},
}
SWEEPS: list[dict[str, Any]] = [
    {"name": "one", "trial": FOUND, "grid": {"seed": [0, 1], "pruner": ["magnitude", "random"]}},
    {
        "name": "cases",
        "trial": FOUND,
        "cases": [{"task.sigma": 10, "fit.steps": 200}, {"task.sigma": 50}],
        "quick": {"fit.steps": 40, "grid.seed": [0]},
        "grid": {"seed": [0, 1]},
        "run": {"cpus": 1, "gpus": 0.5, "kinds": {"trajectory": {"cpus": 2}}, "retries": 1},
    },
    {
        "name": "moved",
        "trial": {
            "kind": "transfer",
            "source": FOUND,
            "images": ["moon", IMAGE],
            "task": {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}},
            "travels": "mask_and_weights",
            "take": [1, 2],
        },
    },
    {
        "name": "theirs",
        "trial": {"kind": "transfer", "images": IMAGE, "task": FOUND["task"], "travels": "mask"},
        "sources": {
            "sweep": "theirs.yaml",
            "set": {"fit.steps": 80, "schedule.steps": 2},
            "where": {"seed": [0, 1], "images.0.kind": "builtin"},
        },
        "grid": {"take": [[1], [1, 2]]},
    },
    {
        "name": "searched",
        "trial": FOUND,
        "search": {
            "space": {
                "fit.learning_rate": {"kind": "float", "low": 0.001, "high": 0.1, "log": True},
                "prior.width": {"kind": "int", "low": 2, "high": 8, "step": 2},
                "pruner": ["magnitude", {"kind": "snip"}],
            },
            "objectives": [
                {"column": "psnr_selected_db", "direction": "maximize", "level": {"density": 0.5}},
                {"column": "kept", "direction": "minimize", "level": 1},
            ],
            "points": 4,
            "sampler": {"kind": "tpe", "seed": 0},
            "stop_hopeless": {"margin_db": 2},
        },
    },
    {
        "name": "sensed",
        "trial": {
            "kind": "reconstruction",
            "source": DRAWN,
            "images": {"kind": "digit", "index": [0, 1]},
            "task": {
                "kind": "compressed_sensing",
                "m": 20,
                "outliers": {"kind": "rows", "share": 0.1},
            },
            "solver": {"kind": "median_of_means", "block": 4, "restarts": 2, "steps": 10},
        },
        "grid": {"task.m": [10, 20]},
    },
]


def another_value(trials: tuple[AbstractTrial, ...], document: dict[str, Any]) -> str:
    """Where a number or name that a trial says is not the one in the document; empty if nowhere."""
    fixed = document["trial"]
    set_elsewhere = {
        *document.get("grid", {}),
        *(p for c in document.get("cases") or () for p in c),
    }
    for trial in trials:
        said = trial.model_dump(mode="json")
        for name, written in fixed.items():
            moved = any(path.split(".")[0] == name for path in set_elsewhere)
            if isinstance(written, int | float | str) and not moved:
                found = said.get(name)
                short = isinstance(found, dict | list)  # a name stands for more
                if not short and (found != written or type(found) is bool is not type(written)):
                    return f"{name} is {found!r}, not {written!r}"
    return ""


@long_and_short(1000, 40)
def test_sweeps(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(SWEEPS[0]))
    draws = random.Random(SEED)
    figures = Figures("sweeps", SEED)
    for _ in range(count):
        original = draws.choice(SWEEPS)
        if draws.random() < 0.2:
            text = yaml.safe_dump(original)
            what, data = damaged(text.encode(), draws)
            (tmp_path / "s.yaml").write_bytes(data)
            figures.attempt(what, lambda: Sweep.from_yaml(tmp_path / "s.yaml").name and "")
            continue
        what, document = mutated(original, draws)

        def build(document: Any = document) -> str:
            sweep = Sweep.build(document)
            return another_value(sweep.trials, document)

        figures.attempt(f"{original['name']}: {what}", build)
    figures.require_sound()


PRIOR = Skip(width=4, scales=2, skip_width=2, input_channels=3)
State = dict[str, Tensor]


def half() -> State:
    """A state dict without the smaller half of each layer's weights."""
    side = PRIOR.minimum_side
    module = PRIOR.module((3, side, side), torch.Generator().manual_seed(0))
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.data
            weight[weight.abs() <= weight.abs().flatten().median()] = 0
    return module.state_dict()


def altered(state: State, draws: random.Random) -> tuple[str, dict[Any, Any], bool]:
    """One tensor altered, and whether the file still means the same ticket."""
    state = {name: value.clone() for name, value in state.items()}
    name = draws.choice(list(state))
    value = state[name]
    same: dict[str, Callable[[], Any]] = {
        "sparse": value.to_sparse,
        "a parameter": lambda: nn.Parameter(value.float()) if value.is_floating_point() else value,
        "double": lambda: value.double() if value.is_floating_point() else value,
        "not contiguous": lambda: value.mT.contiguous().mT if value.dim() > 1 else value,
    }
    other: dict[str, Callable[[], Any]] = {
        "nan": lambda: value.float().fill_(torch.nan),
        "inf": lambda: value.float() + torch.inf,
        "flat": lambda: torch.cat([value.flatten(), value.flatten(), torch.ones(1)]),
        "complex": value.cfloat,
        "whole": lambda: value.to(torch.int16) if value.is_floating_point() else value.float(),
        "meta": lambda: value.to("meta"),
        "text": lambda: "weights",
        "none": lambda: None,
        "vast": lambda: torch.zeros(1).expand(2**18, 2**18),
        "of no size": lambda: torch.zeros(0, 3),
    }
    how = draws.choice([*same, *other])
    state[name] = (same | other)[how]()
    return f"{name} made {how}", state, how in same


PREFIXES = ("", "module.", "_orig_mod.", "model.", "net.prior.")
WRAPPERS: tuple[Callable[[Any], Any], ...] = (
    lambda state: state,
    lambda state: {"state_dict": state, "epoch": 1},
    lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}, "loss": 0.1}},
    lambda state: {"model": {"state_dict": state}},
)


def saved(content: Any, draws: random.Random, *, zipped: bool) -> bytes:
    named = {f"{draws.choice(PREFIXES)}": content}
    ((prefix, state),) = named.items()
    wrapped = draws.choice(WRAPPERS)({f"{prefix}{name}": value for name, value in state.items()})
    torch.save(wrapped, buffer := io.BytesIO(), _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@long_and_short(200, 20)
def test_checkpoints(count: int, tmp_path: Path) -> None:
    draws = random.Random(SEED)
    figures = Figures("checkpoints", SEED)
    state = half()
    masks = {name: value != 0 for name, value in state.items() if value.dim() == 4}
    path = tmp_path / "a.pth"

    def read(same: bool) -> str:
        ticket = tickets.imported(path, PRIOR)
        if not same:
            return "it is of another network"
        equal = all(torch.equal(ticket.masks[name], mask) for name, mask in masks.items())
        kept = all(torch.equal(ticket.weights[name], value) for name, value in state.items())
        return "" if equal and kept else "masks or weights are others"

    for _ in range(count):
        what = draws.choice(("whole", "altered", "bytes", "bytes", "unchecked", "safetensors"))
        content, same = state, True
        zipped = what != "unchecked"
        if what == "altered":
            how, content, same = altered(state, draws)
            what = f"{what}, {how}"
        data = saved(content, draws, zipped=zipped)
        if what == "safetensors":
            data = save({name: value.contiguous() for name, value in state.items()})
        if what in ("bytes", "unchecked", "safetensors"):
            how, data = damaged(data, draws)
            what = f"{what}, {how}"
        path.write_bytes(data)
        checked = what.startswith(("whole", "altered", "bytes"))  # by the archive's checksums
        figures.attempt(what, lambda same=same, c=checked: read(same) if c else read(True) and "")
    figures.require_sound()


LAYERS = LayerList(
    layers=(("linear", 3, 8), ("bn1d", 8, 1e-5), ("relu",), ("view", 2, 2, 2),
            ("convT", 2, 1, 2, 2, 0, True), ("sigmoid",)),
    latent_size=3,
    output="unit",
)  # fmt: skip
CARD: dict[str, Any] = {
    "name": "digits",
    "licence": "CC0",
    "latent": {"dim": 3, "prior": "normal(0,1)"},
    "output": {"shape": [1, 4, 4], "range": [0, 1]},
    "layers": [list(layer) for layer in LAYERS.layers],
}


@long_and_short(100, 15)
def test_cards(count: int, tmp_path: Path) -> None:
    draws = random.Random(SEED)
    figures = Figures("cards", SEED)
    state = LAYERS.build(seed=0, device=torch.device("cpu")).snapshot()
    torch.save(state, tmp_path / "a.pt")
    card = tmp_path / "card.json"

    def read() -> str:
        found = read_published(tmp_path / "a.pt", card=card).trained
        written = json.loads(card.read_text())
        if list(found.architecture.image_shape) != written["output"]["shape"]:
            return "the images are of another shape"
        equal = all(torch.equal(found.weights[name], value) for name, value in state.items())
        return "" if equal else "the weights are others"

    for _ in range(count):
        what, content = mutated(CARD, draws)
        text = json.dumps(content).encode()
        if draws.random() < 0.3:
            what, text = damaged(json.dumps(CARD).encode(), draws)
        card.write_bytes(text)
        figures.attempt(what, read)
    figures.require_sound()


@long_and_short(100, 15)
def test_arrays(count: int, tmp_path: Path) -> None:
    draws = random.Random(SEED)
    figures = Figures("arrays", SEED)
    path = tmp_path / "a.npz"
    for _ in range(count):
        dtype = draws.choice((np.uint8, np.uint8, np.uint16, np.float32, np.float64, np.int8, bool))
        shape = draws.choice(
            ((2, 5, 6), (2, 5, 6, 3), (2, 5, 6, 1), (5, 6), (0, 5, 6), (2, 3, 5, 6))
        )
        values = np.random.default_rng(draws.randrange(10**9)).random(shape)
        deepest = draws.choice((1, 255, 4095))
        pixels = (values * deepest).astype(dtype)
        white = draws.choice((None, None, 1, 255, 4095))
        (np.savez, np.savez_compressed)[draws.randrange(2)](path, images=pixels)
        what = f"{dtype.__name__} {shape} to {deepest}, white {white}"
        if draws.random() < 0.5:
            how, data = damaged(path.read_bytes(), draws)
            path.write_bytes(data)
            what = f"{what}, {how}"

        def read(pixels: Any = pixels, white: float | None = white) -> str:
            found = ArrayImage(path=str(path), index=1, white=white).load()
            default = {"uint8": 255, "float32": 1}.get(pixels.dtype.name)
            expected = np.atleast_3d(pixels[1].astype(np.float64)) / (white or default)
            wanted = torch.from_numpy(expected).permute(2, 0, 1).float()
            return "" if torch.allclose(found, wanted, atol=1e-6) else "the values are others"

        figures.attempt(what, read, refusal=ValueError)
    figures.require_sound()


@long_and_short(200, 25)
def test_pictures(count: int, tmp_path: Path) -> None:
    draws = random.Random(SEED)
    figures = Figures("pictures", SEED)
    path = tmp_path / "a.png"
    for _ in range(count):
        what = draws.choice(("deep", "pages", "plain", "plain", "bytes", "bytes", "orientation"))
        form = draws.choice(("PNG", "TIFF", "BMP", "PPM", "WEBP"))
        lossless = {"lossless": True} if form == "WEBP" else {}
        pixels = np.roll(ramp(10, 12), draws.randrange(100))
        page, wanted = None, pixels
        data = encoded(pixels, form=form, **lossless)
        checked = True
        if what == "deep":
            form = draws.choice(list(DEEP))
            data, wanted = DEEP[form], None
        elif what == "pages":
            form = draws.choice(("TIFF", "WEBP", "GIF", "MPO"))
            options = {"lossless": True} if form == "WEBP" else {}
            pages = [np.roll(pixels, turn) for turn in range(draws.choice((2, 3)))]
            data = encoded(*pages, form=form, **options)
            page = draws.choice((None, 0, 1, 5))
            sure = page is not None and page < len(pages) and form in ("TIFF", "WEBP")
            wanted = pages[page] if sure else None
            checked = form in ("TIFF", "WEBP") or page in (None, 5)
        elif what == "bytes":
            how, data = damaged(data, draws)
            checked = form == "PNG"  # the others have no checksums
            what = f"{what}, {how}"
        elif what == "orientation":
            turned = draws.randrange(1, 9)
            data = encoded(pixels, form="PNG", exif=_exif(turned))
            wanted = _turned(pixels, turned)
        path.write_bytes(data)

        def read(wanted: Any = wanted, page: int | None = page, checked: bool = checked) -> str:
            found = FileImage(path=str(path), page=page).load()
            if not checked:
                return ""
            if wanted is None:
                return "it was read"
            equal = np.array_equal(found.mul(255).round().permute(1, 2, 0).numpy(), wanted)
            return "" if equal else "the pixels are others"

        figures.attempt(f"{form}: {what}", read, refusal=ValueError)
    figures.require_sound()


def _exif(orientation: int) -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _turned(pixels: Any, orientation: int) -> Any:
    """As the standard draws it: where row 0 and column 0 are."""
    flipped = pixels.swapaxes(0, 1) if orientation > 4 else pixels
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return flipped[::rows, ::columns]
