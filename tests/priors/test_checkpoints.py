"""Published files: what they hold is read in full, what they want to run is not run."""

import contextlib
import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import prune

from lip_ray.errors import UserError
from lip_ray.priors import (
    AbstractPrior,
    Checkpoint,
    CheckpointError,
    DeepDecoder,
    OesUnet,
    Skip,
    read_checkpoint,
)

SMALL = Skip(width=8, scales=3, skip_width=4, input_channels=4)
TINY = Skip(width=2, scales=1, skip_width=1, input_channels=1)
UNET = OesUnet(widths=(2, 3), input_channels=2)


def network(prior: AbstractPrior, seed: int = 0) -> nn.Module:
    side = prior.minimum_side
    return prior.module((3, side, side), torch.Generator().manual_seed(seed))


def random_masks(prior: AbstractPrior) -> dict[str, Tensor]:
    """Of every convolution, by state-dict name."""
    draws = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(value.shape, generator=draws) < 0.3
        for name, value in network(prior).state_dict().items()
        if value.ndim == 4
    }


def read(tmp_path: Path, content: object, prior: AbstractPrior = TINY, **saving) -> Checkpoint:
    """What comes back of `content` after torch.save."""
    torch.save(content, tmp_path / "file.pt", **saving)
    return read_checkpoint(tmp_path / "file.pt", prior)


def assert_equal(found, expected) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


class TestLipMasks:
    def test_a_mask_of_the_scripts(self, shared: Path) -> None:
        """Made from the weights beside it: the largest 0.8³, magnitude over all layers."""
        oracles = shared / "oracles"
        found = read_checkpoint(oracles / "skip_small_mask_prune_state_3.pt", SMALL)
        weights = load_file(oracles / "skip_small.safetensors")
        magnitudes = {name: weights[f"state_dict.{name}"].abs() for name in found.masks}
        kept = torch.cat([magnitudes[name][mask] for name, mask in found.masks.items()])
        pruned = torch.cat([magnitudes[name][~mask] for name, mask in found.masks.items()])
        total = SMALL.prunable_count(3)
        assert len(kept) + len(pruned) == total
        assert len(kept) / total == pytest.approx(0.8**3, abs=2 / total)
        assert float(kept.min()) >= float(pruned.max())
        assert (found.weights, found.masked_elsewhere) == (None, 0)

    @pytest.mark.parametrize("prior", [Skip(), TINY, UNET, DeepDecoder(width=3, layers=1)])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_round_trip(self, tmp_path: Path, prior: AbstractPrior, zipped: bool) -> None:
        """In the order of the network, whatever that of the file."""
        masks = random_masks(prior)
        content = {f"{name}_mask": mask.float() for name, mask in reversed(masks.items())}
        saved = OrderedDict(content)
        found = read(tmp_path, saved, prior, _use_new_zipfile_serialization=zipped)
        assert_equal(found.masks, masks)

    def test_a_share_of_a_weight_is_no_mask(self, tmp_path: Path) -> None:
        content = {f"{name}_mask": mask.float() for name, mask in random_masks(TINY).items()}
        content["9.1.weight_mask"][0, 0] = 0.5
        with pytest.raises(CheckpointError, match=r"9\.1\.weight has entries other than 0 and 1"):
            read(tmp_path, content)
        content["9.1.weight_mask"][0, 0] = float("nan")
        with pytest.raises(CheckpointError, match=r"9\.1\.weight has entries"):
            read(tmp_path, content)


class OnCuda:
    """Pickles as a tensor that lay on the first GPU, byte for byte as torch writes it there."""

    def __init__(self, tensor: Tensor) -> None:
        function, arguments = tensor.__reduce_ex__(2)
        load, (saved,) = arguments[0].__reduce__()
        saved = saved.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        assert b"cuda:0" in saved
        self._reduced = function, (_Reduced(load, (saved,)), *arguments[1:])

    def __reduce__(self):
        return self._reduced


class _Reduced:
    def __init__(self, *reduced: object) -> None:
        self._reduced = reduced

    def __reduce__(self):
        return self._reduced


class TestOesMasks:
    def flat(self, prior: AbstractPrior = UNET) -> Tensor:
        """Over all parameters in order."""
        total = sum(parameter.numel() for parameter in network(prior).parameters())
        return torch.rand(total, generator=torch.Generator().manual_seed(3)) < 0.2

    def applied(self, flat: Tensor, prior: AbstractPrior = UNET) -> dict[str, Tensor]:
        """What the original does with the mask: it multiplies parameter after parameter."""
        masks, start = {}, 0
        for name, parameter in network(prior).named_parameters():
            masks[name] = flat[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()
        return masks

    @pytest.mark.parametrize("prior", [UNET, OesUnet()])
    @pytest.mark.parametrize("protocol", [3, 4, 5, "cuda", "torch"])
    def test_round_trip(self, tmp_path: Path, prior: AbstractPrior, protocol) -> None:
        flat = self.flat(prior)
        path = tmp_path / "mask_pepper.pkl"
        if protocol == "torch":
            torch.save(flat, path)
        elif protocol == "cuda":
            path.write_bytes(pickle.dumps(OnCuda(flat), protocol=4))
        else:
            path.write_bytes(pickle.dumps(flat, protocol=protocol))
        found = read_checkpoint(path, prior)
        every = self.applied(flat, prior)
        assert_equal(found.masks, {n: mask for n, mask in every.items() if mask.ndim == 4})
        others = torch.cat([mask.flatten() for mask in every.values() if mask.ndim != 4])
        assert found.masked_elsewhere == int((~others).sum()) > 0
        kept = sum(int(mask.sum()) for mask in found.masks.values())
        assert kept + len(others) - found.masked_elsewhere == int(flat.sum())

    @pytest.mark.parametrize("form", ["float", "uint8", "row", "parameter"])
    def test_other_forms(self, tmp_path: Path, form: str) -> None:
        flat = self.flat()
        forms = {
            "float": flat.float(),
            "uint8": flat.to(torch.uint8),
            "row": flat[None],
            "parameter": nn.Parameter(flat.float()),
        }
        path = tmp_path / "mask.pkl"
        path.write_bytes(pickle.dumps(forms[form]))
        expected = {n: mask for n, mask in self.applied(flat).items() if mask.ndim == 4}
        assert_equal(read_checkpoint(path, UNET).masks, expected)

    def test_another_network_has_another_number_of_parameters(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"its 3,008,867 parameters, this one has 10"):
            read(tmp_path, torch.ones(10), OesUnet())


class TestStateDicts:
    @pytest.mark.parametrize("wrapped", [True, False])
    @pytest.mark.parametrize("raw", [True, False])
    def test_dense_weights(self, tmp_path: Path, wrapped: bool, raw: bool) -> None:
        state = network(TINY).state_dict()
        content = {"state_dict": state, "epoch": 3} if wrapped else state
        path = tmp_path / "init_weight.pth"
        if raw:
            path.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, path)
        found = read_checkpoint(path, TINY)
        assert found.weights is not None
        assert_equal(found.weights, state)
        assert all(bool(mask.all()) for mask in found.masks.values())
        assert list(found.masks) == list(random_masks(TINY))

    def test_a_weight_of_zero_is_pruned(self, tmp_path: Path) -> None:
        state, masks = network(TINY).state_dict(), random_masks(TINY)
        pruned = {name: value * masks.get(name, 1) for name, value in state.items()}
        found = read(tmp_path, pruned)
        assert_equal(found.masks, masks)
        assert found.weights is not None
        assert_equal(found.weights, {n: pruned[n].to(state[n].dtype) for n in state})

    def test_of_a_network_pruned_by_torch(self, tmp_path: Path) -> None:
        """It has the weights from before pruning, and its masks beside them."""
        module = network(TINY)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        layer = module.get_submodule("3.1")
        prune.l1_unstructured(layer, "weight", amount=0.5)
        found = read(tmp_path, module.state_dict())
        assert found.weights is not None
        assert_equal(found.weights, before)
        assert torch.equal(found.masks["3.1.weight"], layer.weight_mask.bool())
        assert bool(found.masks["6.1.weight"].all())

    def test_an_original_network_becomes_ours(self, shared: Path, tmp_path: Path) -> None:
        reference = load_file(shared / "oracles" / "skip_small.safetensors")
        prefix = "state_dict."
        state = {n.removeprefix(prefix): v for n, v in reference.items() if n.startswith(prefix)}
        found = read(tmp_path, state, SMALL)
        module = network(SMALL)
        module.load_state_dict(dict(found.weights or {}), strict=True)
        torch.testing.assert_close(
            module(reference["input"]), reference["output"], rtol=1e-4, atol=1e-5
        )


class TestOtherNetworks:
    def test_the_layers_that_differ_are_named(self, tmp_path: Path) -> None:
        content = {f"{name}_mask": mask.float() for name, mask in random_masks(TINY).items()}
        content["9.1.weight_mask"] = torch.ones(1, 2, 1, 1)
        content["8.1.weight_mask"] = content.pop("6.1.weight_mask")
        with pytest.raises(CheckpointError) as refused:
            read(tmp_path, content)
        message = str(refused.value)
        assert message.startswith(str(tmp_path / "file.pt"))
        assert "9.1.weight is 1×2×1×1 instead of 3×2×1×1" in message
        assert "it lacks 6.1.weight" in message
        assert "the prior lacks 8.1.weight" in message

    def test_many_are_counted(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"it lacks .* and \d+ more") as refused:
            read(tmp_path, network(TINY).state_dict(), Skip())
        assert len(str(refused.value)) < 1000

    def test_channels_of_the_image_count(self, tmp_path: Path) -> None:
        torch.save(network(TINY).state_dict(), tmp_path / "rgb.pt")
        with pytest.raises(CheckpointError, match=r"9\.1\.bias is 3 instead of 1"):
            read_checkpoint(tmp_path / "rgb.pt", TINY, image_channels=1)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({}, "masks are a dense tensor or a mapping, this is a dict"),
            (torch.ones(3).to_sparse(), "this is a Tensor"),
            ({"net": torch.ones(3, device="meta")}, r"not net \(Tensor\)"),
            ([1, 2], "this is a list"),
            (None, "this is a NoneType"),
            ({"epoch": 3, "net": torch.ones(1)}, r"not epoch \(int\)"),
            ({"nets": {"a": torch.ones(1)}}, r"not nets \(dict\)"),
            ({3: torch.ones(1)}, "the prior lacks 3"),
        ],
    )
    def test_what_holds_no_masks(self, tmp_path: Path, content, message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            read(tmp_path, content)


class Evil:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def raw(content: object) -> bytes:
    return pickle.dumps(content)


def zipped(content: object) -> bytes:
    torch.save(content, saved := io.BytesIO())
    return saved.getvalue()


def unzipped(content: object) -> bytes:
    torch.save(content, saved := io.BytesIO(), _use_new_zipfile_serialization=False)
    return saved.getvalue()


def nested(content: object) -> bytes:
    """As the bytes of a storage within a pickled tensor."""
    storage = _Reduced(torch.storage._load_from_bytes, (unzipped(content),))
    return pickle.dumps(_Reduced(torch._utils._rebuild_tensor_v2, (storage, 0, (1,), (1,))))


class TestPickles:
    @pytest.mark.parametrize("form", [raw, zipped, unzipped, nested])
    def test_nothing_is_run(self, tmp_path: Path, form) -> None:
        """Whatever the form, the message names what the file wanted."""
        trace = tmp_path / "it_ran"
        path = tmp_path / "mask.pkl"
        calls = {
            r"(posix|nt)\.system": Evil(os.system, f"touch {trace}"),
            "eval": Evil(eval, f"open({str(trace)!r}, 'w')"),
            "getattr": Evil(getattr, [], "append"),
            r"torch\.serialization\.load": Evil(torch.load, str(trace)),
        }
        for wanted, call in calls.items():
            for content in (call, {"9.1.weight_mask": call}, [torch.ones(3), call]):
                path.write_bytes(form(content))
                with pytest.raises(ValueError, match=f"refused: .* asks for .*{wanted}"):
                    read_checkpoint(path, TINY)
        assert not trace.exists()

    def test_the_trap_works(self, tmp_path: Path) -> None:
        """Unpickled as usual, it does run."""
        trace = tmp_path / "it_ran"
        pickle.loads(raw(Evil(os.system, f"touch {trace}")))
        assert trace.exists()

    @pytest.mark.parametrize("form", [raw, zipped, unzipped])
    def test_a_pickled_network_is_refused_by_name(self, tmp_path: Path, form) -> None:
        path = tmp_path / "model_final.pth"
        path.write_bytes(form(network(TINY)))
        with pytest.raises(UserError, match=r"asks for torch\.nn\.modules\.container\.Sequential"):
            read_checkpoint(path, TINY)

    def test_what_stands_in_cannot_be_altered(self, tmp_path: Path) -> None:
        """A pickle may set attributes of what it gets: not of torch's own functions."""

        pickled = (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
            b"}X\x08\x00\x00\x00poisonedK\x01sb."  # BUILD: sets its attribute
        )
        path = tmp_path / "mask.pkl"
        path.write_bytes(pickled)
        with pytest.raises(CheckpointError, match="this is a function"):
            read_checkpoint(path, TINY)
        assert not hasattr(torch._utils._rebuild_tensor_v2, "poisoned")

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"])
    def test_other_files(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "mask.pkl"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is no file of tensors"):
            read_checkpoint(path, TINY)

    def test_no_file(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent.pt"):
            with pytest.raises(CheckpointError, match="cannot be read"):
                read_checkpoint(path, TINY)

    @given(data=st.data())
    def test_damaged_files_are_one_message_or_fine(self, data, tmp_path_factory) -> None:
        masks = {f"{name}_mask": mask for name, mask in random_masks(TINY).items()}
        form = data.draw(st.sampled_from([raw, zipped, unzipped]))
        content = bytearray(form(masks))
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[place:]
        else:
            content[place] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.mktemp("damaged") / "mask.pt"
        path.write_bytes(content)
        with contextlib.suppress(CheckpointError):
            assert list(read_checkpoint(path, TINY).masks) == list(random_masks(TINY))
