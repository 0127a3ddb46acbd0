"""Ticket files: what is read is what was written, and nothing else passes for a ticket."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lip_ray.priors import AbstractPrior, DeepDecoder, Skip
from lip_ray.pruning import Mask
from lip_ray.trials import Context, Transfer, ticketfile
from lip_ray.trials.sources import FromFile, Source
from lip_ray.trials.ticketfile import Ticket, TicketError

CPU = torch.device("cpu")
SKIP = Skip(width=4, scales=2, skip_width=2, input_channels=3)
DECODER = DeepDecoder(width=4, layers=4)
"""Of more than ten layers: their names sort otherwise than they lie."""


def ticket_of(prior: AbstractPrior, *, channels: int = 3, **about: Any) -> Ticket:
    """Random masks on initial weights, none of them zero."""
    side, draws = prior.minimum_side, torch.Generator().manual_seed(3)
    module = prior.module((channels, side, side), draws)
    weights = module.state_dict()
    masks = {
        name: torch.rand(value.shape, generator=draws) < 0.5
        for name, value in weights.items()
        if value.ndim == 4
    }
    facts = {"prior": prior.model_dump(mode="json"), "image_channels": channels}
    return Ticket(about=facts | about, weights=weights, masks=masks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "ticket.safetensors"
    ticketfile.write(ticket_of(SKIP), place)
    return place


def source(path: Path, **fields: Any) -> FromFile:
    found: FromFile = TypeAdapter(Source).validate_python(
        {"kind": "file", "path": str(path)} | fields
    )
    return found


def transfer(path: Path, **fields: Any) -> Transfer:
    return Transfer.model_validate(
        {
            "source": {"kind": "file", "path": str(path)},
            "images": {"kind": "builtin", "name": "coffee", "size": (24, 25)},
            "task": {"kind": "denoising", "sigma": 25.0},
            "seed": 0,
        }
        | fields
    )


class TestFile:
    @pytest.mark.parametrize("prior", [SKIP, DECODER], ids=lambda prior: prior.kind)
    def test_what_is_read_is_what_was_written(self, prior: AbstractPrior, tmp_path: Path) -> None:
        ticket = ticket_of(prior, origin="here")
        ticketfile.write(ticket, tmp_path / "a" / "x.safetensors")
        read = ticketfile.ordered(ticketfile.read(tmp_path / "a" / "x.safetensors"), prior)
        assert read.about == ticket.about
        assert list(read.weights) == list(ticket.weights)
        assert list(read.masks) == list(ticket.masks)
        for name, mask in ticket.masks.items():
            assert torch.equal(read.masks[name], mask)
            assert torch.equal(read.weights[name][mask], ticket.weights[name][mask])
            assert not read.weights[name][~mask].any()
        assert json.loads((tmp_path / "a" / "x.json").read_text()) == ticket.about

    def test_pruned_weights_are_zero_whatever_they_were(self, tmp_path: Path) -> None:
        ticket = ticket_of(SKIP)
        name, mask = next(iter(ticket.masks.items()))
        ticket.weights[name][~mask] = float("nan")
        ticketfile.write(ticket, tmp_path / "x.safetensors")
        stored = load_file(tmp_path / "x.safetensors")[name]
        assert not stored[~mask].any()
        assert not stored[~mask].signbit().any(), "no -0.0 either"

    def test_other_programs_find_the_metadata(self, path: Path) -> None:
        with safe_open(path, "pt") as opened:
            assert json.loads(opened.metadata()["ticket"])["image_channels"] == 3

    def test_any_ending_of_bytes_is_no_ticket(self, path: Path) -> None:
        whole = path.read_bytes()
        for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(TicketError, match="is no ticket"):
                ticketfile.read(path)

    @pytest.mark.parametrize(
        "metadata",
        [None, {"ticket": "no json"}, {"ticket": "[]"}, {"ticket": "{}"}, {"ticket": "[" * 9999}],
    )
    def test_safetensors_of_something_else(self, metadata: Any, path: Path) -> None:
        save_file({"weight": torch.ones(2)}, path, metadata)
        with pytest.raises(TicketError, match="is no ticket: lip tickets export and lip import"):
            ticketfile.read(path)

    def test_masks_are_boolean(self, path: Path) -> None:
        tensors = {"x": torch.ones(2), "x_mask": torch.ones(2)}
        about = json.dumps({"prior": "skip", "image_channels": 3})
        save_file(tensors, path, {"ticket": about})
        with pytest.raises(TicketError, match="masks must be boolean, not x"):
            ticketfile.read(path)

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(TicketError, match=r"cannot read ticket .*: No such file"):
            ticketfile.read(tmp_path / "nowhere.safetensors")

    @pytest.mark.parametrize("part", ["weights", "masks"])
    @pytest.mark.parametrize("change", ["less", "more", "shape"])
    def test_tensors_of_another_network(self, part: str, change: str) -> None:
        ticket = ticket_of(SKIP)
        tensors = dict(getattr(ticket, part))
        if change == "more":
            tensors["20.1.weight"] = torch.ones(1, 1, 1, 1)
        elif change == "less":
            del tensors["9.1.weight"]
        else:
            tensors["9.1.weight"] = tensors["9.1.weight"][:1]
        name = "20.1.weight" if change == "more" else "9.1.weight"
        with pytest.raises(TicketError, match=f"another network than the prior skip.* {name}$"):
            ticketfile.ordered(replace(ticket, **{part: tensors}), SKIP)

    @pytest.mark.parametrize("channels", [0, "3", None])
    def test_strange_channels(self, channels: object) -> None:
        ticket = ticket_of(SKIP)
        strange = replace(ticket, about=dict(ticket.about) | {"image_channels": channels})
        with pytest.raises(TicketError, match="image_channels must be a whole number from 1"):
            ticketfile.ordered(strange, SKIP)


class TestSource:
    def test_all_but_the_path_is_read_from_the_file(self, path: Path) -> None:
        found = source(path)
        assert found.prior == SKIP
        assert found.name == found.label == "ticket"
        assert found.sha256 == ticketfile.read(path).sha256
        assert (found.levels, found.seed, found.channels()) == (2, None, 3)
        kept = sum(int(mask.sum()) for mask in ticket_of(SKIP).masks.values())
        assert found.counts(1000) == (1000, kept)

    def test_where_it_lies_is_not_what_it_is(self, path: Path, tmp_path: Path) -> None:
        moved = tmp_path / "elsewhere" / path.name
        moved.parent.mkdir()
        moved.write_bytes(path.read_bytes())
        assert source(path).id == source(moved).id
        assert source(path, name="other").id != source(path).id

    def test_its_spec_needs_no_file_to_be_read_again(self, path: Path) -> None:
        spec = transfer(path)
        path.unlink()
        assert Transfer.model_validate_json(spec.model_dump_json()) == spec

    def test_masks_lie_as_the_network_does(self, tmp_path: Path) -> None:
        place = tmp_path / "decoder.safetensors"
        ticketfile.write(ticket_of(DECODER, channels=1), place)
        found = source(place)
        assert found.channels() == 1
        dense = Mask.dense(ticket_of(DECODER, channels=1).masks)
        first, second = found.masks(Context(device=CPU), dense)
        assert first is dense
        assert list(second.layers) == list(dense.layers)

    def test_the_dense_network_has_no_weights_of_the_file(self, path: Path) -> None:
        found, context = source(path), Context(device=CPU)
        assert found.weights(0, context) is None
        weights = found.weights(1, context)
        assert weights is not None
        assert weights.keys() == ticket_of(SKIP).weights.keys()

    def test_a_sound_one_has_no_conflicts(self, path: Path) -> None:
        assert list(transfer(path).conflicts()) == []

    def test_a_changed_file_is_refused(self, path: Path) -> None:
        spec = transfer(path)
        ticketfile.write(ticket_of(SKIP, changed="since"), path)
        ((field, message),) = spec.conflicts()
        assert field == "source.path"
        assert f"has changed since its sha256 {spec.source.sha256[:12]}… was noted" in message
        with pytest.raises(TicketError, match="has changed"):
            list(spec.source.masks(Context(device=CPU), Mask({})))

    def test_a_removed_file_is_refused(self, path: Path) -> None:
        spec = transfer(path)
        path.unlink()
        ((field, message),) = spec.conflicts()
        assert field == "source.path"
        assert "cannot read ticket" in message

    def test_a_prior_that_the_ticket_is_not_of(self, path: Path) -> None:
        prior = SKIP.model_dump() | {"width": 5}
        ((field, message),) = transfer(
            path, source={"kind": "file", "path": str(path), "prior": prior}
        ).conflicts()
        assert field == "source.path"
        assert "another network than the prior skip" in message

    def test_images_of_other_channels(self, path: Path) -> None:
        grey = {"kind": "builtin", "name": "camera", "size": (24, 25)}
        ((field, message),) = transfer(path, images=grey).conflicts()
        assert field == "images"
        assert "images of 3 channels" in message

    def test_without_a_seed(self, path: Path) -> None:
        ((field, message),) = transfer(path, seed=None).conflicts()
        assert (field, message) == ("seed", "is missing: a ticket from a file brings none")

    @pytest.mark.parametrize("given", [{}, {"path": 3}])
    def test_without_a_path_only_the_path_is_at_fault(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Source).validate_python({"kind": "file"} | given)
        assert [error["loc"] for error in caught.value.errors()] == [("file", "path")]

    def test_what_is_no_ticket_is_told_in_place(self, tmp_path: Path) -> None:
        (tmp_path / "x.safetensors").write_text("no tensors")
        with pytest.raises(ValidationError, match="is no ticket"):
            transfer(tmp_path / "x.safetensors")
