"""Claims about a store: which fits are picked and paired, and what page, table and figure say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from benchmarks import synthetic
from lip_ray.analysis.live.state import Live
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.parts.claims.section import claims_figure
from lip_ray.analysis.parts.claims.stated import StatedStore
from lip_ray.analysis.parts.claims.table import claims_table
from lip_ray.analysis.print import LINE_PX
from lip_ray.analysis.print import _height as print_height
from lip_ray.claims import Claims
from lip_ray.cli import app
from lip_ray.errors import UserError
from lip_ray.mistakes import SweepError
from lip_ray.records import LevelRecord, Outcome, SweepRecord
from lip_ray.store import QueryError, Reader, Writer, publish
from lip_ray.trials import AnyTrial, Trajectory, Transfer
from tests import every_kind

IMAGES = ("astronaut", "camera", "cell", "chelsea", "coffee", "coins")

MEASURED = 20.0

Score = Callable[[AnyTrial, int], dict[str, Any]]


def trajectory(image: str, pruner: str, seed: int = 0) -> Trajectory:
    """Two levels of one photo."""
    return Trajectory.model_validate(
        {
            "images": {"kind": "builtin", "name": image, "size": [64, 64]},
            "task": {"kind": "denoising", "sigma": 25.0},
            "pruner": pruner,
            "schedule": [1, 0.5],
            "seed": seed,
        }
    )


def rows(trial: AnyTrial, score: Score) -> Iterator[list[LevelRecord]]:
    """The levels of a trial with PSNRs of one's own."""
    for level, (made_up,) in enumerate(every_kind.level_records(trial)):
        scores = {"peak": 28.0, "selected": 27.5, "final": 24.0, "unfinished": False}
        own = scores | score(trial, level)
        psnrs = {f"psnr_{which}_db": own[which] for which in ("peak", "selected", "final")}
        psnrs["psnr_measured_db"] = MEASURED
        flags = {name: own[name] for name in ("unfinished", "outcome") if name in own}
        yield [replace(made_up, **psnrs, **flags)]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Reader]:
    """Writes trials with these scores, and reads them."""

    def make(trials: list[AnyTrial], score: Score) -> Reader:
        writer = Writer.open(tmp_path / "store")
        for trial in trials:
            writer.write_trial(every_kind.record(trial))
            for level in rows(trial, score):
                writer.write_level(level)
        return Reader(tmp_path / "store")

    return make


def claims(**claim: Any) -> Claims:
    """One claim: magnitude against random at a half, unless told otherwise."""
    said = {
        "name": "imp-beats-random",
        "says": "IMP restores better than random pruning.",
        "first": "pruner = 'magnitude' and density < 1",
        "second": "pruner = 'random' and density < 1",
    }
    return Claims.model_validate({"claims": [said | claim]})


def both(seeds: tuple[int, ...] = (0,)) -> list[AnyTrial]:
    return [
        trajectory(image, pruner, seed)
        for image in IMAGES
        for pruner in ("magnitude", "random")
        for seed in seeds
    ]


def better_by(gains: dict[str, float]) -> Score:
    """Magnitude is better by so much, photo by photo."""

    def score(trial: AnyTrial, level: int) -> dict[str, Any]:
        said = trial.description
        gain = gains[said.image] if said.pruner == "magnitude" and level else 0.0
        return {"peak": 28.0 + gain, "selected": 27.0 + gain}

    return score


GAINS = {image: 0.5 + 0.02 * place for place, image in enumerate(IMAGES)}


class TestStore:
    def test_a_page_with_claims_says_what_a_published_store_was_made_without(
        self, tmp_path: Path
    ) -> None:
        synthetic.write(tmp_path / "store", 4, pictures=True)
        publish(tmp_path / "store", tmp_path / "small")
        reader = Reader(tmp_path / "small")
        found = StatedStore(reader=reader, claims=claims())
        assert Content(store=found).left_out == Content(store=reader).left_out
        assert "reconstructions" in Content(store=found).left_out

    def test_a_live_page_has_them(self, stored: Callable[..., Reader], tmp_path: Path) -> None:
        stored(both(), better_by(GAINS))
        live = Live(store=tmp_path / "store", claims=claims())
        live.look()
        live.wait()
        assert "IMP restores better than random pruning." in live.page


class TestTable:
    def test_pairs_are_of_one_image_and_seed(self, stored: Callable[..., Reader]) -> None:
        found = claims_table(stored(both((0, 1)), better_by(GAINS)), claims())
        assert [*found["by"]] == ["peak", "selected"]
        assert [*found["n"]] == [6, 6]
        assert [*found["mean"]] == pytest.approx([0.55, 0.55])
        assert [*found["verdict"]] == ["holds", "holds"]

    def test_a_dense_fit_that_several_ladders_begin_with_counts_once(
        self, stored: Callable[..., Reader]
    ) -> None:
        claim = claims(first="pruner = 'magnitude' and density < 1", second="density = 1")
        found = claims_table(stored(both(), better_by(GAINS)), claim)
        assert [*found["n"]] == [6, 6]

    def test_the_last_step_against_the_best(self, stored: Callable[..., Reader]) -> None:
        claim = claims(
            first="density = 1", second="density = 1", by=["final"], against="peak",
            test="not_worse",
        )  # fmt: skip
        found = claims_table(stored(both(), better_by(GAINS)), claim)
        assert [*found["mean"]] == [-4.0]
        assert [*found["verdict"]] == ["does not"]

    def test_unfinished_fits_are_left_out_and_counted(self, stored: Callable[..., Reader]) -> None:
        def score(trial: AnyTrial, level: int) -> dict[str, Any]:
            return better_by(GAINS)(trial, level) | {
                "unfinished": trial.description.image in IMAGES[:2] and level == 1
            }

        found = claims_table(stored(both(), score), claims())
        assert [*found["n"]] == [4, 4]
        assert [*found["unfinished"]] == [2, 2]

    def test_a_failed_fit_counts_as_its_measurement_however_bad(
        self, stored: Callable[..., Reader]
    ) -> None:
        """It is a loss, also where it was still rising, but not of as many dB as it likes."""

        def score(trial: AnyTrial, level: int) -> dict[str, Any]:
            if trial.description.pruner == "random" and level:
                return {"peak": 6.0, "selected": 5.0, "unfinished": True}
            return {"peak": 28.0, "selected": 27.0}

        found = claims_table(stored(both(), score), claims())
        assert [*found["mean"]] == [8.0, 7.0]
        assert [*found["failed"]] == [6, 6]
        assert [*found["unfinished"]] == [0, 0]

    def test_pairs_of_which_neither_restores_are_left_out(
        self, stored: Callable[..., Reader]
    ) -> None:
        found = claims_table(
            stored(both(), lambda trial, level: {"peak": 6.0 + level, "selected": 6.0}), claims()
        )
        assert [*found["n"]] == [0, 0]
        assert [*found["neither"]] == [6, 6]
        assert [*found["verdict"]] == ["cannot be told", "cannot be told"]

    def test_a_share_of_images(self, stored: Callable[..., Reader]) -> None:
        def score(trial: AnyTrial, level: int) -> dict[str, Any]:
            works = trial.description.pruner == "magnitude" or not level
            return {"peak": 28.0 if works else 12.0}

        reader = stored(both(), score)
        said = claims(first="pruner = 'random' and density < 1", second=None, test="works")
        found = claims_table(reader, said)
        assert [*found["mean"]] == [0.0, 0.0]
        assert [*found["failed"]] == [6, 6]
        assert [*found["verdict"]] == ["does not", "does not"]

    def test_a_network_that_lost_a_layer_does_not_work(self, stored: Callable[..., Reader]) -> None:
        """A constant image of a smooth photo may be nearer to it than its noisy measurement."""

        def score(trial: AnyTrial, level: int) -> dict[str, Any]:
            dead = {"outcome": Outcome.COLLAPSED} if level else {}
            return {"peak": MEASURED + 6.0, "selected": MEASURED + 6.0, **dead}

        claim = claims(first="density < 1 and pruner = 'magnitude'", second=None, test="works")
        found = claims_table(stored(both(), score), claim)
        assert set(found["mean"]) == {0.0}
        assert set(found["verdict"]) == {"does not"}

    def test_tickets_that_moved_are_crossed(self, stored: Callable[..., Reader]) -> None:
        found = {image: trajectory(image, "magnitude") for image in IMAGES}
        moved = [
            Transfer.model_validate(
                {
                    "source": source.model_dump(mode="json"),
                    "images": {"kind": "builtin", "name": target, "size": [64, 64]},
                    "take": [1],
                }
            )
            for name, source in found.items()
            for target in IMAGES
            if target != name
        ]
        reader = stored(
            [*found.values(), *moved],
            lambda trial, level: {"peak": 27.5 if trial.kind == "transfer" else 28.0},
        )
        claim = claims(
            first="kind = 'transfer'", second="kind = 'trajectory' and density < 1",
            test="not_worse", by=["peak"],
        )  # fmt: skip
        (row,) = claims_table(reader, claim).itertuples()
        assert (row.n, row.unit, row.verdict) == (6, "source and target image", "does not")

    def test_tickets_of_the_photo_itself_are_not_crossed(
        self, stored: Callable[..., Reader]
    ) -> None:
        """Random weights at a ticket's layer densities: images are the sample."""
        found = [trajectory(image, "magnitude") for image in IMAGES]
        drawn = [
            Transfer.model_validate(
                {"source": one.model_dump(mode="json"), "travels": "layer_densities", "take": [1]}
            )
            for one in found
        ]
        reader = stored(
            [*found, *drawn],
            lambda trial, level: {"peak": 27.0 if trial.kind == "transfer" else 28.0},
        )
        claim = claims(
            first="pruner = 'magnitude' and kind = 'trajectory' and density < 1",
            second="travels = 'layer_densities'", by=["peak"],
        )  # fmt: skip
        (row,) = claims_table(reader, claim).itertuples()
        assert (row.n, row.unit, row.mean, row.verdict) == (6, "image", 1.0, "holds")

    def test_an_ambiguous_condition_is_refused(self, stored: Callable[..., Reader]) -> None:
        reader = stored(both(), better_by(GAINS))
        with pytest.raises(
            UserError, match="claim imp-beats-random, first: 2 different fits of astronaut"
        ):
            claims_table(reader, claims(first="density < 1"))

    def test_named_conditions_are_used_like_columns(self, stored: Callable[..., Reader]) -> None:
        reader = stored(both(), better_by(GAINS))
        plain = claims()
        named = plain.model_copy(
            update={
                "fits": {"imp": "pruner = 'magnitude' -- of any kind", "sparse": "density < 1"},
                "claims": (plain.claims[0].model_copy(update={"first": "imp and sparse"}),),
            }
        )
        pd.testing.assert_frame_equal(claims_table(reader, named), claims_table(reader, plain))

    def test_a_condition_may_name_the_sweep_that_asked(
        self, stored: Callable[..., Reader], tmp_path: Path
    ) -> None:
        reader = stored(both(), better_by(GAINS))
        asked = [trial for trial in both() if trial.images[0].label != IMAGES[0]]
        record = SweepRecord(
            sweep="most",
            sweep_id="0",
            trial_ids=tuple(trial.id for trial in asked),
            kinds=tuple(trial.kind for trial in asked),
            specs=tuple(trial.model_dump_json() for trial in asked),
            levels=tuple(trial.levels for trial in asked),
            lip_ray_version="0",
            requested_at=datetime(2026, 1, 1),
        )
        Writer.open(tmp_path / "store").write_sweep(record)
        assert set(claims_table(reader, claims())["n"]) == {len(IMAGES)}
        chosen = claims(where="list_contains(sweeps, 'most')")
        assert set(claims_table(reader, chosen)["n"]) == {len(IMAGES) - 1}

    def test_a_wrong_condition_is_told(self, stored: Callable[..., Reader]) -> None:
        reader = stored(both(), better_by(GAINS))
        with pytest.raises(QueryError, match=r"claim imp-beats-random, first: .*densty"):
            claims_table(reader, claims(first="densty < 1"))


class TestFile:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("claims: []", "claims: must be a list of at least 1"),
            ("[1]", "must be a mapping with a list of claims"),
            ("claims: [{name: a, says: b, first: c}]", "needs a second"),
            ("claims: [{name: a, says: b, first: c, second: d, test: works}]", "has no second"),
            ("claims: [{name: A b, says: b, first: c, second: d}]", "claims.0.name"),
            ("claims: [{name: a, says: b, first: c, second: d, by: [best]}]", "claims.0.by.0"),
            (
                "claims: [{name: a, says: b, first: c, second: d, source: wu2023chasin}]",
                "wu2023chasing",
            ),
            ("margin_db: 0\nclaims: [{name: a, says: b, first: c, second: d}]", "margin_db"),
            (
                "claims: [{name: a, says: b, first: c, second: d}, "
                "{name: a, says: b, first: c, second: d}]",
                "two claims are called 'a'",
            ),
            (
                "fits: {A-B: x}\nclaims: [{name: a, says: b, first: c, second: d}]",
                "fits",
            ),
            ("claims: {", "line 1"),
        ],
    )
    def test_mistakes_are_told(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "claims.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SweepError) as refused:
            Claims.load(path)
        assert said in str(refused.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SweepError, match=r"none\.yaml: 1 problem\n  cannot be read:"):
            Claims.load(tmp_path / "none.yaml")


def lip(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class TestCommands:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "claims.yaml"
        path.write_text(
            "claims:\n"
            "  - {name: imp, says: IMP beats random., source: wu2023chasing,\n"
            "     first: pruner = 'magnitude' and density < 1,\n"
            "     second: pruner = 'random' and density < 1}\n",
            encoding="utf-8",
        )
        return path

    def test_a_table(self, stored: Callable[..., Reader], tmp_path: Path, file: Path) -> None:
        stored(both(), better_by(GAINS))
        shown = lip(
            "table", "claims", tmp_path / "store", "--claims", file, "--format", "markdown",
            "--choose", "peak",
        )  # fmt: skip
        assert shown.exit_code == 0, shown.stdout
        (line,) = shown.stdout.splitlines()[2:]
        found = "peak | +0.55 ± 0.04 | holds | 6 images | wu2023chasing |"
        assert line.startswith(f"| imp | IMP beats random. | {found}")

    @pytest.mark.parametrize(
        ("gain_db", "drawn_at", "said"),
        [(0.5, 0.5, ""), (7.0, 3.0, "+7.0 →"), (-4.0, -3.0, "← −4.0")],
    )
    def test_what_is_beyond_the_figures_edge_has_its_number_there(
        self, stored: Callable[..., Reader], gain_db: float, drawn_at: float, said: str
    ) -> None:
        gains = {image: gain_db + 0.01 * place for place, image in enumerate(IMAGES)}
        found = claims_table(stored(both(), better_by(gains)), claims())
        [trace] = claims_figure(found).data
        assert [*trace.x] == pytest.approx([drawn_at] * 2, abs=0.03)
        assert [*trace.text] == [said] * 2
        assert [length is None for length in trace.error_x.array] == [bool(said)] * 2

    def test_every_row_of_a_printed_figure_has_a_line(self, stored: Callable[..., Reader]) -> None:
        found = claims_table(stored(both(), better_by(GAINS)), claims())
        many = claims_figure(pd.concat([found] * 50))
        assert print_height(many, 500.0) > 100 * LINE_PX

    def test_page_and_figure(
        self, stored: Callable[..., Reader], tmp_path: Path, file: Path
    ) -> None:
        stored(both(), better_by(GAINS))
        page, figure = tmp_path / "page.html", tmp_path / "claims.svg"
        for command in (
            ("report", tmp_path / "store", "--claims", file, "-o", page),
            ("figure", "claims", tmp_path / "store", "--claims", file, "-o", figure),
        ):
            assert lip(*command).exit_code == 0
        assert "IMP beats random." in page.read_text(encoding="utf-8")
        assert "<svg" in figure.read_text(encoding="utf-8")

    def test_one_run_has_no_interval(
        self, stored: Callable[..., Reader], tmp_path: Path, file: Path
    ) -> None:
        stored(both()[:2], better_by(GAINS))
        page = tmp_path / "page.html"
        assert lip("report", tmp_path / "store", "--claims", file, "-o", page).exit_code == 0
        assert "cannot be told: one run" in page.read_text(encoding="utf-8")

    def test_no_claims_no_section(self, stored: Callable[..., Reader], tmp_path: Path) -> None:
        stored(both(), better_by(GAINS))
        refused = lip("table", "claims", tmp_path / "store")
        assert refused.exit_code != 0
