"""Tickets leave a store and come back as the same bits; published ones come in; masks compare."""

import json
import runpy
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lip_ray.errors import UserError
from lip_ray.exchange import tickets
from lip_ray.priors import AbstractPrior, OesUnet, Skip, UntrainedPrior
from lip_ray.pruning import Mask
from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.trials import (
    AnyTrial,
    Classification,
    Context,
    Generator,
    Reconstruction,
    Trajectory,
    Transfer,
    run,
)
from lip_ray.trials.ticketfile import Ticket, TicketError

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
OF_THE_RUN = {"trial_id", "level", "masks", "fit_s", "memory_mb", "host", "finished_at"}

COFFEE = {"kind": "builtin", "name": "coffee", "rows": (100, 112), "columns": (200, 213)}
SPEC: dict[str, Any] = {
    "images": COFFEE | {"name": "astronaut"},
    "task": {"kind": "denoising", "sigma": 25.0},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "skip_width": 2, "input_channels": 3},
    "schedule": [1.0, 0.6, 0.4],
    "fit": {"steps": 12, "stopping": {"window": 6, "stride": 3}},
}
STILL = SPEC["fit"] | {"input_noise": 0.0}
"""Without the input noise, which is keyed by level, a ticket fits the same on any level."""
REWINDS = ("init", {"kind": "step", "step": 5}, "finetune", "reinit")


def trajectory(**changes: Any) -> Trajectory:
    return Trajectory.model_validate(SPEC | changes)


def transfer(source: object, **changes: Any) -> Transfer:
    fields = {"images": COFFEE, "task": SPEC["task"], "fit": SPEC["fit"], "source": source}
    return Transfer.model_validate(fields | changes)


def classification(source: Trajectory, **changes: Any) -> Classification:
    fields = {"dataset": "digits", "fit": {"epochs": 1, "batch": 512}, "source": source}
    return Classification.model_validate(fields | changes)


TRIALS: dict[str, AnyTrial] = {
    **{str(rewind): trajectory(rewind=rewind) for rewind in REWINDS},
    "other image": trajectory(images=COFFEE),
    "random": trajectory(pruner="random"),
    "hopeless": trajectory(fit=SPEC["fit"] | {"learning_rate": 1e30}),
}
TRIALS |= {
    travels: transfer(TRIALS["init"], travels=travels)
    for travels in ("mask", "mask_and_weights", "layer_densities")
}
TRIALS["late"] = transfer(TRIALS[str(REWINDS[1])])
TRIALS["consensus"] = transfer(
    {"kind": "consensus", "trajectories": (TRIALS["init"], TRIALS["other image"])}
)


TRIALS["learnt"] = classification(TRIALS["finetune"])
TRIALS["learnt anew"] = classification(TRIALS["init"], travels="layer_densities", seed=4)


def stored(writer: Writer, trials: Sequence[AnyTrial]) -> Reader:
    """The store, after running these one after the other, without Ray."""
    reader = Reader(writer.where)
    for trial in trials:
        writer.write_trial(trial_record(trial))
        rows = run(trial, Context(device=CPU, artifacts=reader))
        for _, level in groupby(rows, key=lambda record: record.level):
            writer.write_level(list(level))
    return reader


def trial_record(trial: AnyTrial) -> TrialRecord:
    from lip_ray.engine.trainable import trial_record

    return trial_record(trial, device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return stored(Writer.open(tmp_path_factory.mktemp("tickets")), list(TRIALS.values()))


def reference(name: str, level: int) -> str:
    return f"{TRIALS[name].id}@{level}"


def found(record: LevelRecord) -> dict[str, str]:
    """What a fit found, whoever's ticket it was."""
    names = (f.name for f in fields(record) if f.name not in OF_THE_RUN)
    return {name: repr(getattr(record, name)) for name in names}


def exported(store: Reader, name: str, level: int, folder: Path) -> Path:
    path = folder / f"{name}.safetensors"
    tickets.write(tickets.export(store, reference(name, level)), path)
    return path


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["init", "{'kind': 'step', 'step': 5}", "finetune"])
    @pytest.mark.parametrize("level", [1, 2])
    def test_a_fit_from_the_file_is_that_of_a_transfer(
        self, name: str, level: int, store: Reader, tmp_path: Path
    ) -> None:
        path = exported(store, name, level, tmp_path)
        fit = SPEC["fit"] if level == 1 else STILL
        direct = list(run(transfer(TRIALS[name], fit=fit), Context(device=CPU, artifacts=store)))
        from_file = transfer({"kind": "file", "path": str(path)}, seed=0, fit=fit)
        assert list(from_file.conflicts()) == []
        dense, ticket = run(from_file, Context(device=CPU))
        assert found(ticket) == found(direct[level])
        assert ticket.masks[1] == store.masks(TRIALS[name].id, level)
        assert found(dense) == found(direct[0]), "the dense network lacks no weight"

    @pytest.mark.parametrize("name", ["mask", "mask_and_weights", "layer_densities", "late"])
    def test_a_transfers_ticket_fits_as_it_did(
        self, name: str, store: Reader, tmp_path: Path
    ) -> None:
        path = exported(store, name, 1, tmp_path)
        *_, again = run(transfer({"kind": "file", "path": str(path)}, seed=0), Context(device=CPU))
        there = next(run(TRIALS[name], Context(device=CPU, artifacts=store, first_level=1)))
        assert found(again) == found(there)

    def test_a_consensus_rewinds_to_the_initial_weights(
        self, store: Reader, tmp_path: Path
    ) -> None:
        path = exported(store, "consensus", 1, tmp_path)
        *_, again = run(transfer({"kind": "file", "path": str(path)}, seed=0), Context(device=CPU))
        there = list(run(TRIALS["consensus"], Context(device=CPU, artifacts=store)))
        assert found(again) == found(there[1])

    def test_a_classifier_has_the_body_of_its_source(self, store: Reader) -> None:
        learnt = tickets.export(store, reference("learnt", 1))
        source = tickets.export(store, reference("finetune", 1))
        assert_equal(learnt.weights, source.weights)
        assert_equal(learnt.masks, source.masks)

    def test_a_ticket_out_of_a_file_leaves_the_store_again(
        self, store: Reader, tmp_path: Path
    ) -> None:
        path = exported(store, "finetune", 1, tmp_path)
        from_file = transfer({"kind": "file", "path": str(path)}, seed=7)
        reader = stored(Writer.open(tmp_path / "store"), [from_file])
        again = tickets.export(reader, f"{from_file.id}@1")
        assert_equal(again.weights, tickets.read(path).weights)
        assert_equal(again.masks, tickets.read(path).masks)
        assert again.about["weights"] == "of the ticket file finetune"
        dense = tickets.export(reader, f"{from_file.id}@0")
        assert dense.about["weights"] == "initial weights of seed 7"
        path.unlink()
        with pytest.raises(TicketError, match="cannot read ticket"):
            tickets.export(reader, f"{from_file.id}@1")

    def test_a_reinitialised_level_exports_what_it_began_with(self, store: Reader) -> None:
        one, two = (tickets.export(store, reference("reinit", level)) for level in (1, 2))
        assert one.about["weights"] == "fresh initial weights of seed 0 and level 1"
        assert not torch.equal(one.weights["9.1.weight"], two.weights["9.1.weight"])

    def test_a_level_that_was_taken_is_the_sources(self, store: Reader, tmp_path: Path) -> None:
        some = transfer(TRIALS["finetune"], take=[2])
        reader = stored(Writer.open(tmp_path / "store"), [TRIALS["finetune"], some])
        taken = tickets.export(reader, f"{some.id}@0")
        there = tickets.export(store, reference("finetune", 2))
        assert_equal(taken.weights, there.weights)
        assert_equal(taken.masks, there.masks)

    def test_the_same_ticket_is_the_same_bytes(self, store: Reader, tmp_path: Path) -> None:
        one = exported(store, "init", 2, tmp_path).read_bytes()
        assert exported(store, "init", 2, tmp_path).read_bytes() == one

    @pytest.mark.parametrize("name", [name for name in TRIALS if name != "hopeless"])
    def test_it_says_what_it_is(self, name: str, store: Reader) -> None:
        ticket, trial = tickets.export(store, reference(name, 2)), TRIALS[name]
        about = ticket.about
        assert (about["trial_id"], about["level"], about["image_channels"]) == (trial.id, 2, 3)
        assert about["kept"] == sum(int(mask.sum()) for mask in ticket.masks.values())
        assert about["density"] == about["kept"] / about["total"]
        canonical = json.dumps(about["spec"], sort_keys=True, separators=(",", ":"))
        assert canonical == trial.canonical_json(), "what the id is the hash of"

    @pytest.mark.parametrize(
        ("name", "weights"),
        [
            ("init", "initial weights of seed 0"),
            ("{'kind': 'step', 'step': 5}", "step 5 of the dense fit"),
            ("late", "step 5 of the dense fit"),
            ("finetune", "end of the fit of level 1"),
            ("mask", "fresh initial weights of seed 0"),
            ("layer_densities", "initial weights of seed 0"),
            ("consensus", "initial weights of seed 0"),
            ("learnt", "end of the fit of level 1"),
            ("learnt anew", "initial weights of seed 4"),
        ],
    )
    def test_it_says_what_its_weights_are(self, name: str, weights: str, store: Reader) -> None:
        assert tickets.export(store, reference(name, 2)).about["weights"] == weights


class TestReferences:
    def test_four_digits_do(self, store: Reader) -> None:
        trial_id = TRIALS["init"].id
        assert tickets.resolve(store, f"{trial_id[:4]}@2") == (trial_id, 2)

    def test_digits_of_two_trials_do_not(self, tmp_path: Path) -> None:
        writer = Writer.open(tmp_path)
        record = trial_record(TRIALS["init"])
        for last in "01":
            writer.write_trial(TrialRecord(**vars(record) | {"trial_id": f"{'ab' * 7}a{last}"}))
        with pytest.raises(StoreError, match=r"abab begins the ids of 2 trials: ababab.*a0, abab"):
            tickets.resolve(Reader(tmp_path), "abab@0")

    def test_a_slip_is_shown_what_is_near(self, store: Reader) -> None:
        trial_id = TRIALS["init"].id
        slipped = trial_id[:9] + ("0" if trial_id[9] != "0" else "1")
        with pytest.raises(StoreError, match=f"no trial {slipped}; near are: {trial_id}"):
            tickets.export(store, f"{slipped}@1")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("abc@1", "'abc@1' is no ticket: allowed are TRIAL_ID@LEVEL, with at least 4 digits"),
            ("abcd", "files that end in .safetensors"),
            ("abcd@-1", "is no ticket"),
            ("a'--@1", "is no ticket"),
            (reference("init", 9), "has no level 9; levels there are: 0, 1, 2"),
            (reference("hopeless", 1), "has no ticket: a level above diverged"),
        ],
    )
    def test_what_is_wrong_is_said(self, given: str, message: str, store: Reader) -> None:
        with pytest.raises(UserError, match=message):
            tickets.export(store, given)

    def test_an_empty_store(self, tmp_path: Path) -> None:
        Writer.open(tmp_path)
        with pytest.raises(StoreError, match="trials there are: none yet"):
            tickets.resolve(Reader(tmp_path), "abcd@0")

    def test_the_list_has_every_ticket_once_and_only_those(self, store: Reader) -> None:
        rows = store.sql(tickets.LISTING).to_pylist()
        references = {
            reference(name, level)
            for name in TRIALS
            for level in (range(3) if name != "hopeless" else [0])
        }
        assert {row["ticket"] for row in rows} == references
        assert len(rows) == len(references)


def assert_equal(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


SMALL = Skip(width=8, scales=3, skip_width=4, input_channels=4)


def pruned_globally(weights: dict[str, Tensor], rounds: int) -> dict[str, Tensor]:
    """A fifth of what remains, smallest first, each time: another way to the oracle's mask."""
    flat = torch.cat([weight.abs().flatten() for weight in weights.values()])
    left = flat.numel()
    for _ in range(rounds):
        left -= round(0.2 * left)
    threshold = flat.sort(descending=True).values[left - 1]
    return {name: weight.abs() >= threshold for name, weight in weights.items()}


class TestImport:
    def test_the_published_format_of_the_study(self, shared: Path, tmp_path: Path) -> None:
        oracles = shared / "oracles"
        tensors = load_file(oracles / "skip_small.safetensors")
        state = {
            name.removeprefix("state_dict."): value
            for name, value in tensors.items()
            if name.startswith("state_dict.")
        }
        torch.save(state, tmp_path / "weights.pt")
        ticket = tickets.imported(
            oracles / "skip_small_mask_prune_state_3.pt", SMALL, weights=tmp_path / "weights.pt"
        )
        expected = pruned_globally({name: state[name] for name in ticket.masks}, rounds=3)
        assert_equal(ticket.masks, expected)
        tickets.write(ticket, tmp_path / "x.safetensors")
        read = tickets.read(tmp_path / "x.safetensors")
        assert_equal(read.masks, expected)
        for name, value in read.weights.items():
            pruned = ~expected.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value, state[name].masked_fill(pruned, 0)), name

    def test_what_the_study_leaves_dense_is_said(self, shared: Path) -> None:
        path = shared / "oracles" / "skip_small_mask_prune_state_3.pt"
        ticket = tickets.imported(path, SMALL)
        regrown = sum(int((~ticket.masks[name]).sum()) for name in tickets.LEFT_DENSE)
        drawn, dense = ticket.about["notes"]
        assert "drawn here" in drawn
        assert f"{regrown:,} of the weights pruned here are fitted there" in dense
        assert ticket.about["weights"] == "initial weights of seed 0"

    def test_masked_biases_are_counted(self, tmp_path: Path) -> None:
        prior = OesUnet(widths=(2, 3), input_channels=2)
        parameters = dict(network(prior).named_parameters())
        flat = torch.cat([torch.ones(p.numel(), dtype=torch.bool) for p in parameters.values()])
        flat[-2:] = False  # biases of the last convolution
        torch.save(flat, tmp_path / "mask.pt")
        ticket = tickets.imported(tmp_path / "mask.pt", prior, seed=3)
        assert ticket.about["notes"][-1].startswith("the file masks 2 biases and entries")
        assert ticket.about["weights"] == "initial weights of seed 3"
        assert ticket.about["kept"] == ticket.about["total"]

    def test_a_state_dict_brings_its_own_weights(self, tmp_path: Path) -> None:
        state = network(SMALL).state_dict()
        state["9.1.weight"][:, ::2] = 0
        torch.save(state, tmp_path / "dip.pt")
        ticket = tickets.imported(tmp_path / "dip.pt", SMALL)
        assert_equal(ticket.weights, state)
        assert ticket.about["notes"] == []
        assert ticket.about["kept"] == ticket.about["total"] - state["9.1.weight"].numel() // 2
        redrawn = tickets.imported(tmp_path / "dip.pt", SMALL, seed=1)
        assert not torch.equal(redrawn.weights["9.1.weight"], state["9.1.weight"])

    def test_wrong_weights(self, shared: Path, tmp_path: Path) -> None:
        path = shared / "oracles" / "skip_small_mask_prune_state_3.pt"
        with pytest.raises(TicketError, match="holds masks and no weights"):
            tickets.imported(path, SMALL, weights=path)
        with pytest.raises(TicketError, match="give one of them"):
            tickets.imported(path, SMALL, weights=path, seed=1)
        with pytest.raises(UserError, match="made for another network"):
            tickets.imported(path, Skip(width=4, scales=3, input_channels=4))

    @pytest.mark.parametrize("text", ["skip", "{}", "{kind: skip}"])
    def test_priors_by_name(self, text: str) -> None:
        assert tickets.prior_named(text) == Skip()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("skipp", r"prior: unknown kind 'skipp'; did you mean 'skip'\?"),
            ("{kind: skip, widht: 4}", "prior.widht: unknown key 'widht'; did you mean 'width'"),
            ("{kind: skip, width: 0}", "prior.width: must be at least 1, got 0"),
            ("{", "prior: line 1"),
            ("3", "prior: must be a mapping"),
        ],
    )
    def test_wrong_priors(self, text: str, message: str) -> None:
        with pytest.raises(TicketError, match=message):
            tickets.prior_named(text)


def network(prior: AbstractPrior) -> torch.nn.Module:
    side = prior.minimum_side
    return prior.module((3, side, side), torch.Generator().manual_seed(0))


def random_ticket(prior: AbstractPrior, density: float, seed: int) -> Ticket:
    draws = torch.Generator().manual_seed(seed)
    module = network(prior)
    masks = {
        name: torch.rand(weight.shape, generator=draws) < density
        for name, weight in UntrainedPrior(module, torch.empty(0)).prunable().items()
    }
    about = {"prior": prior.model_dump(mode="json"), "image_channels": 3}
    return Ticket(about=about, weights=module.state_dict(), masks=masks)


class TestCompare:
    WIDE = Skip(width=32, scales=2, input_channels=16)

    def test_a_ticket_is_itself(self, store: Reader) -> None:
        ticket = tickets.export(store, reference("init", 2))
        table = tickets.compare(ticket, ticket).set_index("layer")
        assert (table["iou"].dropna() == 1).all()
        assert list(table.index[:-2]) == list(ticket.masks)
        assert table.loc["total", "density_a"] == ticket.about["density"]
        effective = store.sql(
            f"select effective_density from levels where trial_id = '{TRIALS['init'].id}' "
            "and level = 2"
        ).to_pylist()[0]["effective_density"]
        assert table.loc["total", "effective_density_b"] == effective

    def test_by_hand(self) -> None:
        one, other = (random_ticket(SMALL, 1.1, 0) for _ in range(2))
        one.masks["9.1.weight"][:, :4] = False
        other.masks["9.1.weight"][:, 2:6] = False  # 3×8 weights: 4 of 8 columns each, 2 in common
        row = tickets.compare(one, other).set_index("layer").loc["9.1.weight"]
        assert row["shape"] == "3×8×1×1"
        assert (row["density_a"], row["density_b"]) == (0.5, 0.5)
        assert row["iou"] == 6 / 18
        assert row["iou_by_chance"] == 6 / 18

    def test_independent_masks_overlap_by_chance(self) -> None:
        table = tickets.compare(
            random_ticket(self.WIDE, 0.3, 1), random_ticket(self.WIDE, 0.1, 2)
        ).set_index("layer")
        for total in ("total", "total by layer"):
            assert table.loc[total, "iou_over_chance"] == pytest.approx(1, abs=0.1)
            assert table.loc[total, "iou_by_chance"] == pytest.approx(0.03 / 0.37, rel=0.05)

    def test_other_networks_are_refused_by_layer(self) -> None:
        wide = random_ticket(self.WIDE, 0.5, 0)
        with pytest.raises(TicketError) as caught:
            tickets.compare(wide, random_ticket(Skip(width=32, scales=1, input_channels=16), 1, 0))
        assert str(caught.value).startswith("tickets of different networks: ")
        assert "and not there" in str(caught.value)
        narrow = random_ticket(Skip(width=32, scales=2, input_channels=8), 0.5, 0)
        with pytest.raises(TicketError, match=r"1\.0\.1\.1\.weight \(4×16×1×1 and 4×8×1×1\)"):
            tickets.compare(wide, narrow)


class TestGenerators:
    LEARNED = Generator.model_validate(
        {
            "prior": {"kind": "dcgan", "size": 8, "channels": 1, "width": 4, "latent_size": 4},
            "images": "digits",
            "schedule": [1.0, 0.5, 0.3],
            "critic_pruned": True,
            "fit": {"steps": 2, "batch": 8},
        }
    )
    RECOVERED = Reconstruction.model_validate(
        {
            "source": LEARNED,
            "images": {"kind": "digit", "index": 0},
            "task": {"kind": "compressed_sensing", "m": 9},
            "solver": {"kind": "erm", "steps": 2, "restarts": 1},
            "take": [0],
        }
    )

    @pytest.fixture(scope="class")
    @classmethod
    def learned(cls, tmp_path_factory: pytest.TempPathFactory) -> Reader:
        writer = Writer.open(tmp_path_factory.mktemp("generators"))
        return stored(writer, [cls.LEARNED, cls.RECOVERED])

    def test_a_generators_ticket_is_its_mask_and_what_the_level_ended_with(
        self, learned: Reader, tmp_path: Path
    ) -> None:
        path = tmp_path / "generator.safetensors"
        tickets.write(tickets.export(learned, f"{self.LEARNED.id}@2"), path)
        file = load_file(path)
        context = Context(device=CPU, artifacts=learned)
        network = self.LEARNED.network(2, context)
        mask = self.LEARNED.mask(2, context)
        assert network is not None
        assert mask is not None
        assert {n for n in file if n.endswith("_mask")} == {f"{n}_mask" for n in mask.layers}
        assert all(torch.equal(file[name], value) for name, value in network.items())
        with pytest.raises(TicketError, match="generator's ticket, which is for other programs"):
            tickets.read(path)

    def test_two_levels_are_compared(self, learned: Reader) -> None:
        first, second = (tickets.export(learned, f"{self.LEARNED.id}@{at}") for at in (1, 2))
        table = tickets.compare(first, second).set_index("layer")
        assert table.loc["total", "density_b"] == pytest.approx(0.3, abs=1e-3)
        assert table.loc["total", "iou"] == pytest.approx(0.6, abs=1e-2)  # nested
        assert 0 < table.loc["total", "effective_density_b"] <= table.loc["total", "density_b"]

    def test_a_reconstruction_has_none_and_names_its_generator(self, learned: Reader) -> None:
        with pytest.raises(TicketError, match=f"its generator's trial: {self.LEARNED.id}"):
            tickets.export(learned, f"{self.RECOVERED.id}@0")
        listed = learned.sql(tickets.LISTING).to_pylist()
        assert [row["ticket"] for row in listed] == [f"{self.LEARNED.id}@{at}" for at in range(3)]


class TestPlainPyTorch:
    def test_the_example(self, store: Reader, tmp_path: Path) -> None:
        path = exported(store, "init", 2, tmp_path)
        example = runpy.run_path(str(ROOT / "examples" / "load_ticket.py"))
        prior = Skip.model_validate(SPEC["prior"])
        net = prior.network(3).train()
        example["load_ticket"](net, str(path))
        ticket = tickets.export(store, reference("init", 2))
        mask = Mask(ticket.masks)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        for name, value in before.items():
            kept = mask.layers.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value, ticket.weights[name].masked_fill(~kept, 0)), name
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        latent = torch.rand((1, 3, 12, 13), generator=torch.Generator().manual_seed(0))
        for _ in range(3):
            optimizer.zero_grad()
            (net(latent) - 0.5).square().mean().backward()
            optimizer.step()
        for name, layer in mask.layers.items():
            weight = net.get_parameter(name)
            assert not weight[~layer].any(), name
        assert any(
            not torch.equal(net.get_parameter(name)[layer], before[name][layer])
            for name, layer in mask.layers.items()
        )
