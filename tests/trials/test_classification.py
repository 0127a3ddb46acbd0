"""Classification: tickets as bodies of classifiers, rewound and masked as their source says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from lip_ray.data import labelled
from lip_ray.fits.classifier import EpochFit
from lip_ray.priors import Skip
from lip_ray.pruning import Mask, effective
from lip_ray.records import LayerMask, LevelRecord, Outcome, StoredTensor
from lip_ray.rng import keyed
from lip_ray.trials import Context, ticketfile, trajectory
from lip_ray.trials.classification import Classification, run
from lip_ray.trials.tensors import stored
from lip_ray.trials.trajectory import Trajectory

pytest.importorskip("sklearn")

CPU = torch.device("cpu")
TRAVELS = ("mask_and_weights", "mask", "layer_densities")
OF_THE_RUN = {"fit_s", "memory_mb", "host", "finished_at"}

SOURCE: dict[str, Any] = {
    "kind": "trajectory",
    "images": {"kind": "builtin", "name": "astronaut", "size": (12, 13), "channels": 1},
    "task": {"kind": "denoising", "sigma": 25.0},
    "prior": {"kind": "skip", "width": 4, "scales": 1, "skip_width": 2, "input_channels": 3},
    "schedule": [1.0, 0.4, 0.2],
    "fit": {"steps": 12, "stopping": {"window": 6, "stride": 3}},
    "seed": 5,
}
FIT: dict[str, Any] = {"epochs": 2, "batch": 256, "learning_rate": 0.1}


def classification(**changes: Any) -> Classification:
    return Classification.model_validate(
        {"source": SOURCE, "dataset": "digits", "fit": FIT} | changes
    )


@dataclass
class MemoryArtifacts:
    """What trials have left, in a dictionary."""

    layers: dict[tuple[str, int], tuple[LayerMask, ...]] = field(default_factory=dict)
    tensors: dict[tuple[str, int], tuple[StoredTensor, ...]] = field(default_factory=dict)

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """Those of a level."""
        return self.layers.get((trial_id, level))

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """Those of a level."""
        return self.tensors.get((trial_id, level))

    def put(self, records: list[LevelRecord]) -> None:
        """Keep the masks of a trial."""
        for record in records:
            for level, rows in record.masks.items():
                self.layers[record.trial_id, level] = rows


def artifacts_of(*sources: Trajectory) -> MemoryArtifacts:
    artifacts = MemoryArtifacts()
    for source in sources:
        artifacts.put(list(trajectory.run(source, Context(device=CPU))))
    return artifacts


@pytest.fixture(scope="module")
def artifacts() -> MemoryArtifacts:
    """The source's tickets."""
    return artifacts_of(classification().source)


def records_of(
    spec: Classification, artifacts: MemoryArtifacts, **context: Any
) -> list[LevelRecord]:
    return list(run(spec, Context(device=CPU, artifacts=artifacts, **context)))


def found(record: LevelRecord) -> dict[str, Any]:
    """What a record says of its level."""
    columns = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in columns.items() if name not in OF_THE_RUN}


@dataclass
class Start:
    """What a level's fit was given."""

    body: dict[str, Tensor]
    head: dict[str, Tensor]
    mask: Mask
    seed: int
    level: int


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Start]]:
    """What every fit was given, in order."""
    seen: list[Start] = []
    fit = EpochFit.run

    def watched(self, classifier, mask, split, *, seed, level, **options):
        body, head = (
            {name: value.clone() for name, value in part.state_dict().items()}
            for part in (classifier.body, classifier.head)
        )
        seen.append(Start(body, head, mask, seed, level))
        return fit(self, classifier, mask, split, seed=seed, level=level, **options)

    monkeypatch.setattr(EpochFit, "run", watched)
    return seen


def initial(seed: int) -> dict[str, Tensor]:
    """The weights that an image's fit begins with."""
    prior = Skip.model_validate(SOURCE["prior"])
    return prior.build((1, 12, 13), seed=seed, image="astronaut", device=CPU).snapshot()


def assert_begins_at(start: Start, weights: Mapping[str, Tensor]) -> None:
    assert start.body.keys() == weights.keys()
    for name, value in weights.items():
        mask = start.mask.layers.get(name)
        assert torch.equal(start.body[name], value if mask is None else value * mask), name


class TestLevels:
    def test_one_record_a_level_with_its_counts(self, artifacts: MemoryArtifacts) -> None:
        spec = classification()
        records = records_of(spec, artifacts)
        total = spec.source.prior.prunable_count(1)
        everything = spec.size.parameters
        assert [record.level for record in records] == [0, 1, 2]
        assert [record.kept for record in records] == list(spec.source.counts(total))
        for record in records:
            assert (record.trial_id, record.image) == (spec.id, "digits")
            assert (record.total, record.total_all) == (total, everything)
            assert record.kept_all == record.kept + everything - total
            assert record.outcome is Outcome.BUDGET
            assert record.steps == spec.steps == 2 * 6
            assert 0 <= record.accuracy <= 1
            assert 0 <= record.accuracy_final <= 1
            assert record.psnr_final_db is None
            assert record.device == "cpu"

    def test_the_head_is_counted_and_not_pruned(self) -> None:
        spec = classification()
        body = spec.source.prior.cost((1, 8, 8)).parameters
        assert spec.size.parameters == body + (8 * 8 + 1) * 10

    def test_effective_weights_are_those_of_the_prior(self, artifacts: MemoryArtifacts) -> None:
        spec = classification()
        module = spec.source.prior.module((1, 8, 8), torch.Generator())
        for level, record in enumerate(records_of(spec, artifacts)):
            rows = artifacts.masks(spec.source.id, level)
            mask = Mask.from_rows(rows, device=CPU)
            assert record.effective == effective(module, mask, (3, 3, 3)) <= record.kept

    def test_curves_have_an_entry_an_epoch(self, artifacts: MemoryArtifacts) -> None:
        record, *_ = records_of(classification(), artifacts)
        assert record.curve.step == (5, 11)
        assert record.curve.loss[-1] == record.loss_final
        assert record.selected_step in record.curve.step
        assert (
            min(record.curve.statistic)
            == dict(zip(record.curve.step, record.curve.statistic, strict=True))[
                record.selected_step
            ]
        )

    def test_a_run_repeats_bit_for_bit_and_goes_on_at_any_level(
        self, artifacts: MemoryArtifacts
    ) -> None:
        whole = [found(record) for record in records_of(classification(), artifacts)]
        rest = [found(r) for r in records_of(classification(), artifacts, first_level=1)]
        assert rest == whole[1:]

    def test_the_global_generator_is_left_alone(self, artifacts: MemoryArtifacts) -> None:
        state = torch.get_rng_state()
        records_of(classification(fit=FIT | {"epochs": 1}, travels="layer_densities"), artifacts)
        assert torch.equal(state, torch.get_rng_state())


class TestWhatTravels:
    def test_mask_and_weights(self, artifacts: MemoryArtifacts, starts: list[Start]) -> None:
        spec = classification()
        records_of(spec, artifacts)
        for level, start in enumerate(starts):
            assert start.mask.to_rows() == artifacts.masks(spec.source.id, level)
            assert_begins_at(start, initial(seed=5))

    def test_the_mask_alone(self, artifacts: MemoryArtifacts, starts: list[Start]) -> None:
        spec = classification(travels="mask")
        records_of(spec, artifacts)
        draws = keyed(5, "fresh initial weights")  # as a transfer's
        fresh = spec.source.prior.module((1, 8, 8), draws).state_dict()
        for level, start in enumerate(starts):
            assert start.mask.to_rows() == artifacts.masks(spec.source.id, level)
            assert_begins_at(start, fresh)

    def test_layer_densities(self, artifacts: MemoryArtifacts, starts: list[Start]) -> None:
        spec = classification(travels="layer_densities")
        records_of(spec, artifacts)
        for level, start in enumerate(starts):
            theirs = artifacts.masks(spec.source.id, level)
            ours = start.mask.to_rows()
            assert [row.kept for row in ours] == [row.kept for row in theirs]
            assert (ours == theirs) == (level == 0)
            assert_begins_at(start, initial(seed=5))

    def test_weights_that_the_source_stored(
        self, artifacts: MemoryArtifacts, starts: list[Start]
    ) -> None:
        """As after late rewinding; what a latent left in running statistics does not travel."""
        weights = initial(seed=77)
        weights = {n: w + 1 if w.dtype == torch.float32 else w + 9 for n, w in weights.items()}
        late = Trajectory.model_validate(SOURCE)
        full = MemoryArtifacts(artifacts.layers, {(late.id, 1): stored(weights)})
        records_of(classification(), full)
        statistics = {n: w for n, w in initial(seed=5).items() if "running" in n or "num_" in n}
        assert statistics
        assert_begins_at(starts[1], weights | statistics)

    def test_all_meet_the_same_head_and_the_same_order(
        self, artifacts: MemoryArtifacts, starts: list[Start]
    ) -> None:
        for travels in TRAVELS:
            records_of(classification(travels=travels, fit=FIT | {"epochs": 1}), artifacts)
        assert [(start.seed, start.level) for start in starts] == [(5, 0), (5, 1), (5, 2)] * 3
        for start in starts:
            for name, value in start.head.items():
                assert torch.equal(value, starts[0].head[name])

    def test_another_seed_changes_the_head_and_not_the_ticket(
        self, artifacts: MemoryArtifacts, starts: list[Start]
    ) -> None:
        for seed in (5, 6):
            records_of(classification(seed=seed, fit=FIT | {"epochs": 1}), artifacts)
        for ours, theirs in zip(starts[:3], starts[3:], strict=True):
            assert not torch.equal(ours.head["weight"], theirs.head["weight"])
            assert_begins_at(theirs, ours.body)

    @pytest.mark.parametrize("travels", TRAVELS)
    def test_masks_are_stored_where_the_source_has_not_got_them(
        self, artifacts: MemoryArtifacts, travels: str
    ) -> None:
        spec = classification(travels=travels, fit=FIT | {"epochs": 1})
        levels = [set(record.masks) for record in records_of(spec, artifacts)]
        assert levels == ([{0}, {1}, {2}] if travels == "layer_densities" else [set()] * 3)

    def test_what_trajectories_agree_on(self) -> None:
        """Masks of a consensus are nobody's own, so they are stored."""
        coffee = SOURCE | {"images": SOURCE["images"] | {"name": "coffee"}}
        source = {"kind": "consensus", "trajectories": [SOURCE, coffee]}
        spec = classification(source=source, fit=FIT | {"epochs": 1})
        assert list(spec.conflicts()) == []
        assert spec.sources == spec.source.trajectories
        records = records_of(spec, artifacts_of(*spec.source.trajectories))
        assert [set(record.masks) for record in records] == [{0}, {1}, {2}]
        for record in records:
            assert sum(row.kept for row in record.masks[record.level]) == record.kept

    def test_a_ticket_from_a_file(self, tmp_path: Path, starts: list[Start]) -> None:
        draws, weights = keyed(0, "test"), initial(seed=3)
        path = tmp_path / "ticket.safetensors"
        masks = {
            name: torch.rand(w.shape, generator=draws) < 0.5
            for name, w in weights.items()
            if w.ndim == 4
        }
        about = {"prior": SOURCE["prior"], "image_channels": 1}
        ticketfile.write(ticketfile.Ticket(about=about, weights=weights, masks=masks), path)
        spec = classification(source={"kind": "file", "path": str(path)}, seed=3)
        assert list(spec.conflicts()) == []
        (field, message), *_ = spec.model_copy(update={"seed": None}).conflicts()
        assert (field, message) == ("seed", "is missing: a ticket from a file brings none")
        records = records_of(spec, MemoryArtifacts())
        assert [set(record.masks) for record in records] == [{0}, {1}]
        kept = sum(int(mask.sum()) for mask in masks.values())
        assert records[1].kept == kept
        assert_begins_at(starts[1], weights)


class TestFailures:
    def test_a_collapsed_ticket_guesses_the_most_frequent_class(self) -> None:
        spec = classification(source=SOURCE | {"schedule": [1.0, 0.01]})
        _, record = records_of(spec, artifacts_of(spec.source))
        split = spec.dataset.split(5)
        guess = int(split.training.labels.mode().values)
        share = split.test.labels.tolist().count(guess) / len(split.test)
        assert record.outcome is Outcome.COLLAPSED
        assert "no path" in record.reason
        assert record.accuracy == record.accuracy_final == pytest.approx(share)
        assert (record.effective, record.steps, record.curve) == (0, 0, None)

    def test_without_a_ticket_a_level_has_failed(self, artifacts: MemoryArtifacts) -> None:
        spec = classification(fit=FIT | {"epochs": 1})
        short = MemoryArtifacts({key: rows for key, rows in artifacts.layers.items() if key[1] < 2})
        *_, last = records_of(spec, short)
        whole = records_of(spec, artifacts)[-1]
        assert (last.outcome, last.reason) == (
            Outcome.FAILED,
            "the source has no ticket of this level",
        )
        assert (last.kept, last.kept_all) == (whole.kept, whole.kept_all)
        assert (last.accuracy, last.effective) == (None, None)

    def test_divergence_is_a_row(self, artifacts: MemoryArtifacts) -> None:
        records = records_of(classification(fit=FIT | {"learning_rate": 1e30}), artifacts)
        assert [record.outcome for record in records] == [Outcome.DIVERGED] * 3
        assert all(record.accuracy is None for record in records)
        assert all("not finite" in record.reason for record in records)


class TestNamesAndSizes:
    def test_names(self) -> None:
        described = classification().description
        assert (described.task, described.image) == ("classification", "digits")
        assert (described.pruner, described.prior) == ("magnitude", "skip")
        assert described.travels == "mask_and_weights"

    def test_a_spec_survives_json(self) -> None:
        spec = classification(side=16)
        again = TypeAdapter(Classification).validate_json(spec.model_dump_json())
        assert again == spec
        assert again.id == spec.id

    @pytest.mark.parametrize(("scales", "side"), [(1, 8), (3, 16), (5, 40)])
    def test_sides_are_multiples_that_the_network_takes(self, scales: int, side: int) -> None:
        prior = {"kind": "skip", "scales": scales}
        assert classification(source=SOURCE | {"prior": prior}).side_used == side

    def test_a_step_is_a_full_batch(self) -> None:
        """Body as on one image; the head once forward and twice backward."""
        spec = classification(side=16)
        body = spec.source.prior.cost((1, 16, 16)).macs_per_step
        assert spec.size.macs_per_step == 256 * (body + 3 * 16 * 16 * 10)

    def test_a_rehearsal_takes_time(self) -> None:
        spec = classification()
        assert spec.rehearse(2, device=CPU) > 0
        assert spec.rehearsal == classification(seed=8).rehearsal
        assert spec.rehearsal != classification(side=16).rehearsal


class TestConflicts:
    def test_a_sound_trial_has_none(self) -> None:
        assert list(classification().conflicts()) == []

    def test_without_scikit_learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> None:
            raise ValueError("scikit-learn is not there")

        monkeypatch.setattr(labelled, "_digits", missing)
        assert list(classification().conflicts()) == [("dataset", "scikit-learn is not there")]

    def test_a_side_too_small(self) -> None:
        source = SOURCE | {"prior": {"kind": "skip", "scales": 3}}
        ((path, message),) = classification(
            source=source | {"images": ["astronaut"]}, side=8
        ).conflicts()
        assert (path, message) == ("side", "must be at least 9 for this prior, got 8")

    def test_a_latent_too_small_for_a_picture(self) -> None:
        image = SOURCE["images"] | {"size": (64, 64)}
        source = SOURCE | {"prior": "deep_decoder", "images": image}
        ((path, message),) = classification(source=source).conflicts()
        assert path == "source"
        assert "no picture can take its place" in message

    def test_too_few_channels_for_colour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(labelled.Digits, "shape", (3, 8, 8))
        source = SOURCE | {"prior": SOURCE["prior"] | {"input_channels": 1}}
        ((path, message),) = classification(source=source).conflicts()
        assert path == "source"
        assert "takes 1 channels" in message

    def test_those_of_the_source(self) -> None:
        source = SOURCE | {"schedule": {"kind": "rate", "rate": 0.9, "steps": 9}}
        assert [path for path, _ in classification(source=source).conflicts()] == [
            "source.schedule"
        ]
        assert [
            path for path, _ in classification(source=SOURCE | {"rewind": "reinit"}).conflicts()
        ] == ["travels"]

    def test_an_archive_that_is_gone(self, tmp_path: Path) -> None:
        dataset = {"kind": "cifar10", "path": str(tmp_path / "gone.tar.gz"), "sha256": "0" * 64}
        ((path, message),) = classification(dataset=dataset).conflicts()
        assert path == "dataset"
        assert "cannot read" in message
