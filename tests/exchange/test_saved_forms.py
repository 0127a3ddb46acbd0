"""A half-pruned network in the files that people save: each makes one ticket, or one message."""

import argparse
import io
import json
import os
import pathlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from lip_ray.errors import UserError
from lip_ray.exchange import tickets
from lip_ray.priors import DeepDecoder, OesUnet, Skip, read_checkpoint
from lip_ray.priors.base import AbstractPrior
from lip_ray.priors.generators.layers import LayerList
from lip_ray.priors.generators.published import read_published
from lip_ray.trials import ticketfile
from lip_ray.trials.ticketfile import TicketError

PRIOR = Skip(width=6, scales=2, skip_width=2, input_channels=3)
PRIORS = [PRIOR, DeepDecoder(width=8, layers=2), OesUnet(widths=(4, 6), input_channels=3)]
State = dict[str, Tensor]


def network(prior: AbstractPrior = PRIOR) -> nn.Module:
    side = prior.minimum_side
    return prior.module((3, side, side), torch.Generator().manual_seed(0))


def convolutions(module: nn.Module) -> dict[str, nn.Conv2d]:
    return {n: m for n, m in module.named_modules() if isinstance(m, nn.Conv2d)}


def half(prior: AbstractPrior = PRIOR) -> State:
    """A state dict without the smaller half of each layer's weights."""
    module = network(prior)
    for layer in convolutions(module).values():
        weight = layer.weight.data
        weight[weight.abs() <= weight.abs().flatten().median()] = 0
    return {name: value.clone() for name, value in module.state_dict().items()}


def masks_of(state: Mapping[str, Tensor], prior: AbstractPrior = PRIOR) -> State:
    return {f"{name}.weight": state[f"{name}.weight"] != 0 for name in convolutions(network(prior))}


def before(state: State, prefix: str) -> State:
    return OrderedDict((prefix + name, value) for name, value in state.items())


class Settings:
    """Of a class that lives in somebody's training script."""

    def __init__(self) -> None:
        self.width = 3


NOTES = [OrderedDict(rate=0.1), {"path": pathlib.PurePosixPath("a/b"), "shape": torch.Size((2, 3))}]
FORMS: dict[str, Callable[[State], object]] = {
    "plain": lambda state: state,
    "parallel": lambda state: before(state, "module."),
    "compiled": lambda state: before(state, "_orig_mod."),
    "parallel and compiled": lambda state: before(state, "module._orig_mod."),
    "compiled and parallel": lambda state: before(state, "_orig_mod.module."),
    "of its own class": lambda state: before(state, "restorer.prior."),
    "lightning": lambda state: {"state_dict": before(state, "model."), "epoch": 1, "loops": {}},
    "lightning, compiled": lambda state: {"state_dict": before(state, "model._orig_mod.")},
    "tutorial": lambda state: {"model_state_dict": state, "epoch": 1, "loss": 0.1},
    "with an optimizer": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{}]},
    },
    "model": lambda state: {"model": state, "args": argparse.Namespace(lr=0.01)},
    "net": lambda state: {"net": state, "acc": 93.1, "epoch": 7},
    "wrapped twice": lambda state: {"model": {"state_dict": before(state, "module.")}},
    "hyperparameters": lambda state: {"state_dict": state, "hp": argparse.Namespace(lr=0.01)},
    "a class of theirs": lambda state: {"state_dict": state, "settings": Settings()},
    "numpy beside it": lambda state: {"state_dict": state, "loss": np.float64(3), "a": np.ones(3)},
    "things beside it": lambda state: {"state_dict": state, "notes": NOTES},
    "parameters": lambda state: {
        name: nn.Parameter(value) if value.is_floating_point() else value
        for name, value in state.items()
    },
    "no counters": lambda state: {n: v for n, v in state.items() if "num_batches" not in n},
    "coo": lambda state: {n: v.to_sparse() if v.dim() == 4 else v for n, v in state.items()},
    "double": lambda state: {
        n: v.double() if v.is_floating_point() else v for n, v in state.items()
    },
}


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


class TestStateDicts:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "flat"])
    def test_every_form_is_the_same_ticket(self, tmp_path: Path, form: str, zipped: bool) -> None:
        for prior in PRIORS if form == "parallel" else PRIORS[:1]:
            state = half(prior)
            path = tmp_path / f"{prior.kind}.pth"
            torch.save(FORMS[form](state), path, _use_new_zipfile_serialization=zipped)
            ticket = tickets.imported(path, prior)
            assert_equal(ticket.masks, masks_of(state, prior))
            assert_equal(ticket.weights, state)
            assert ticket.about["notes"] == []

    @pytest.mark.parametrize("name", ["plain.safetensors", "weights.bin"])
    @pytest.mark.parametrize("prefix", ["", "module.", "model."])
    def test_safetensors_by_name_or_content(self, tmp_path: Path, name: str, prefix: str) -> None:
        state = half()
        save_file(before(state, prefix), tmp_path / name)
        ticket = tickets.imported(tmp_path / name, PRIOR)
        assert_equal(ticket.masks, masks_of(state))
        assert_equal(ticket.weights, state)

    def test_a_ticket_of_ours_is_read_back(self, tmp_path: Path) -> None:
        ticket = tickets.imported(saved(half(), tmp_path / "a.pth"), PRIOR)
        tickets.write(ticket, tmp_path / "a.safetensors")
        again = tickets.imported(tmp_path / "a.safetensors", PRIOR)
        assert_equal(again.masks, ticket.masks)
        assert_equal(again.weights, ticket.weights)

    def test_several_state_dicts_are_not_guessed_at(self, tmp_path: Path) -> None:
        path = saved({"model": half(), "state_dict": half()}, tmp_path / "a.pth")
        with pytest.raises(UserError, match="holds several state dicts, state_dict, model: save"):
            read_checkpoint(path, PRIOR)

    def test_wrappers_in_a_circle(self, tmp_path: Path) -> None:
        content: dict[str, Any] = {"epoch": 1}
        content["state_dict"] = content
        with pytest.raises(UserError, match="must be dense tensors, not epoch"):
            read_checkpoint(saved(content, tmp_path / "a.pth"), PRIOR)

    def test_a_generators_state_is_read_alike(self, tmp_path: Path) -> None:
        spec = LayerList(
            layers=(("linear", 3, 4), ("sigmoid",), ("view", 1, 2, 2)),
            latent_size=3,
            output="unit",
        )
        card = tmp_path / "card.json"
        card.write_text(
            json.dumps(
                {
                    "layers": [list(layer) for layer in spec.layers],
                    "latent": {"dim": 3, "prior": "normal(0,1)"},
                    "output": {"range": [0, 1], "shape": [1, 2, 2]},
                }
            )
        )
        state = spec.build(seed=1, device=torch.device("cpu")).snapshot()
        for make in FORMS.values():
            found = read_published(saved(make(state), tmp_path / "a.pth"), card=card)
            assert_equal(found.trained.weights, state)
        save_file(before(state, "module."), tmp_path / "a.bin")
        found = read_published(tmp_path / "a.bin", card=card)
        assert_equal({name: found.trained.weights[name] for name in state}, state)


class TestMasks:
    @pytest.mark.parametrize("prefix", ["", "module.", "model."])
    @pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.float32])
    def test_of_open_lth(self, tmp_path: Path, prefix: str, dtype: torch.dtype) -> None:
        expected = masks_of(half())
        masks = {prefix + name: mask.to(dtype) for name, mask in expected.items()}
        ticket = tickets.imported(saved(masks, tmp_path / "mask.pth"), PRIOR)
        assert_equal(ticket.masks, expected)
        assert ticket.about["weights"] == "initial weights of seed 0"
        assert not any("lottery-image-prior" in note for note in ticket.about["notes"])

    def test_of_open_lth_without_a_layer(self, tmp_path: Path) -> None:
        masks = {name: mask.int() for name, mask in masks_of(half()).items()}
        missing = masks.popitem()[0]
        with pytest.raises(UserError, match=f"it lacks {missing}"):
            tickets.imported(saved(masks, tmp_path / "mask.pth"), PRIOR)

    def test_pruned_biases_are_told(self, tmp_path: Path) -> None:
        module = network()
        for layer in convolutions(module).values():
            prune.l1_unstructured(layer, "weight", 0.5)
            if layer.bias is not None:
                prune.l1_unstructured(layer, "bias", 0.4)
        effective = {
            f"{n}.bias": m.bias for n, m in convolutions(module).items() if m.bias is not None
        }
        dropped = sum(int((bias == 0).sum()) for bias in effective.values())
        assert dropped
        ticket = tickets.imported(saved(module.state_dict(), tmp_path / "a.pth"), PRIOR)
        assert ticket.about["density"] == pytest.approx(0.5, abs=0.01)
        [note] = ticket.about["notes"]
        assert note.startswith(f"the file masks {dropped} biases")
        for name, bias in effective.items():
            assert torch.equal(ticket.weights[name], bias), name

    def test_masks_alone_of_biases_too(self, tmp_path: Path) -> None:
        module = network()
        masks = {f"{n}_mask": torch.ones_like(p) for n, p in module.named_parameters()}
        name = next(name for name in masks if name.endswith("bias_mask"))
        masks[name][0] = 0
        ticket = tickets.imported(saved(masks, tmp_path / "a.pth"), PRIOR)
        assert ticket.about["density"] == 1
        assert ticket.about["notes"][-1].startswith("the file masks 1 biases")


def first_layer(state: State) -> str:
    return next(name for name, value in state.items() if value.dim() == 4)


class TestBroken:
    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_not_finite(self, tmp_path: Path, number: float) -> None:
        for chosen in (first_layer, lambda state: next(n for n in state if "running_var" in n)):
            state = half()
            name = chosen(state)
            state[name].view(-1)[0] = number
            with pytest.raises(UserError, match=f"{name} has 1 numbers that are not finite"):
                tickets.imported(saved(state, tmp_path / "a.pth"), PRIOR)

    def test_what_overflows_single_precision(self, tmp_path: Path) -> None:
        state = half()
        state[first_layer(state)] = state[first_layer(state)].double() * 1e300
        with pytest.raises(UserError, match="not finite"):
            tickets.imported(saved(state, tmp_path / "a.pth"), PRIOR)

    def test_no_weight_at_all(self, tmp_path: Path) -> None:
        state = {n: v * 0 if v.dim() == 4 else v for n, v in half().items()}
        masks = {f"{n}_mask": m & False for n, m in masks_of(half()).items()}
        parameters = sum(p.numel() for p in network().parameters())
        for content in (state, masks, torch.zeros(parameters)):
            with pytest.raises(UserError, match=r"a\.pth: it keeps none of the [0-9,]+ weights"):
                tickets.imported(saved(content, tmp_path / "a.pth"), PRIOR)

    def test_a_ticket_without_a_path_is_told(self, tmp_path: Path) -> None:
        state = half()
        *_, last = (name for name, value in state.items() if value.dim() == 4)
        state[last] *= 0
        notes = tickets.imported(saved(state, tmp_path / "a.pth"), PRIOR).about["notes"]
        assert notes[0].startswith("no path leads from the latent to the image")
        assert notes[1] == f"1 layer has no weight left: {last}"

    def test_an_empty_layer_beside_a_path_is_told(self, tmp_path: Path) -> None:
        state = half()
        state[first_layer(state)] *= 0
        [note] = tickets.imported(saved(state, tmp_path / "a.pth"), PRIOR).about["notes"]
        assert note == f"1 layer has no weight left: {first_layer(state)}"

    @pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64])
    def test_weights_of_whole_numbers_are_none(self, tmp_path: Path, dtype: torch.dtype) -> None:
        state = half()
        state[first_layer(state)] = (state[first_layer(state)] * 100).to(dtype)
        with pytest.raises(UserError, match=rf"weight is {dtype} instead of torch\.float32"):
            tickets.imported(saved(state, tmp_path / "a.pth"), PRIOR)

    def test_complex_and_quantised_ones_neither(self, tmp_path: Path) -> None:
        for odd in (
            torch.ones(2).cfloat(),
            torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.qint8),
        ):
            path = saved(half() | {"odd": odd}, tmp_path / "a.pth")
            with pytest.raises(UserError, match=r"must be dense tensors, not odd"):
                tickets.imported(path, PRIOR)

    def test_a_tensor_that_is_larger_than_its_file(self, tmp_path: Path) -> None:
        vast = torch.zeros(1).expand(2**20, 2**20)
        for content in ({"a": vast}, half() | {"odd": vast}, {"state_dict": {"a": vast}}):
            with pytest.raises(
                UserError, match=r"it has 1,[0-9,]+ numbers, more than 1,073,741,824"
            ):
                tickets.imported(saved(content, tmp_path / "a.pth"), PRIOR)
        sparse = torch.sparse_coo_tensor(
            torch.zeros(2, 1).long(), torch.ones(1), (2**20, 2**20), check_invariants=False
        )
        with pytest.raises(UserError, match="numbers, more than"):
            tickets.imported(saved({"a": sparse}, tmp_path / "a.pth"), PRIOR)

    def test_a_sparse_tensor_with_entries_outside(self, tmp_path: Path) -> None:
        state = half()
        name = first_layer(state)
        sparse = torch.sparse_coo_tensor(
            torch.tensor([[0], [0], [0], [10**9]]),
            torch.ones(1),
            state[name].shape,
            check_invariants=False,
        )
        path = saved(state | {name: sparse}, tmp_path / "a.pth")
        with pytest.raises(UserError, match=r"a\.pth: is no file of tensors"):
            tickets.imported(path, PRIOR)

    def test_a_packed_archive_is_not_unpacked(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        torch.save({"a": torch.zeros(10**6)}, buffer)
        path = tmp_path / "a.pth"
        with (
            zipfile.ZipFile(buffer) as plain,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for member in plain.infolist():
                packed.writestr(member.filename, plain.read(member))
        with pytest.raises(UserError, match=r"it is packed, and unpacks to 4,0[0-9,]+ bytes"):
            tickets.imported(path, PRIOR)

    @pytest.mark.parametrize("what", ["ticket", "weights", "card", "sweep's ticket"])
    def test_a_pipe_is_no_file(self, tmp_path: Path, what: str) -> None:
        pipe = tmp_path / "pipe.safetensors"
        os.mkfifo(pipe)
        sound = saved(half(), tmp_path / "a.pth")
        calls: dict[str, Callable[[], object]] = {
            "ticket": lambda: tickets.imported(pipe, PRIOR),
            "weights": lambda: tickets.imported(sound, PRIOR, weights=pipe),
            "card": lambda: read_published(sound, card=pipe),
            "sweep's ticket": lambda: tickets.read(pipe),
        }
        with pytest.raises(UserError, match="it is a named pipe"):
            calls[what]()


class TestTicketFiles:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.weights[first_layer(t.weights)].fill_(torch.nan), "not finite, in 1.0"),
            (lambda t: [mask.fill_(False) for mask in t.masks.values()], "keeps no weight"),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(self, tmp_path: Path, change, message: str) -> None:
        ticket = tickets.imported(saved(half(), tmp_path / "a.pth"), PRIOR)
        kept = {name: mask.clone() for name, mask in ticket.masks.items()}
        dense = {name: torch.ones_like(mask) for name, mask in kept.items()}
        altered = ticketfile.Ticket(about=ticket.about, weights=ticket.weights, masks=dense)
        change(altered)
        tickets.write(altered, tmp_path / "a.safetensors")
        with pytest.raises(TicketError, match=message):
            tickets.read(tmp_path / "a.safetensors")


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
