"""The sentences above the frontier: what each method gets to, and how sure that is."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Answer, Answers, Section, Words
from lip_ray.analysis.page.static import section_html
from lip_ray.analysis.parts.frontier import answers as answering
from lip_ray.analysis.parts.frontier.answers import answers
from lip_ray.analysis.parts.frontier.looks import series_of
from lip_ray.analysis.parts.frontier.section import sections
from lip_ray.analysis.parts.frontier.table import fits_of, scene_table
from lip_ray.analysis.parts.verdicts import matching_of
from lip_ray.analysis.rows.points import described_points

Row = Callable[..., dict[str, Any]]
Say = Callable[..., list[Answer]]
IMAGES = ("astronaut", "camera", "chelsea", "coffee")


def plain(words: Words) -> str:
    """Words without what stands out."""
    return words if isinstance(words, str) else "".join(
        run if isinstance(run, str) else run.text for run in words
    )  # fmt: skip


def said_of(trials: list[dict[str, Any]], levels: list[dict[str, Any]]) -> list[Answer]:
    """The answers of a store with these rows."""
    points = described_points(pd.DataFrame(trials), pd.DataFrame(levels))
    fits = fits_of(points)
    return answers(points, fits, matching_of(points), series_of(scene_table(fits)))


@pytest.fixture
def say(trial_row: Row, level_row: Row) -> Say:
    """Answers about losses by pruner, at each level below dense, over images and seeds.

    Each image adds its part of `spread` to the loss, and `changes` are those of all levels.
    """

    def made(
        losses: dict[str, Iterable[float]],
        *,
        images: Iterable[str] = IMAGES[:1],
        seeds: int = 1,
        spread: float = 0.0,
        **changes: Any,
    ) -> list[Answer]:
        trials, levels = [], []
        images = list(images)
        parts = np.linspace(-1, 1, len(images)) if len(images) > 1 else [0.0]
        for pruner, own in losses.items():
            for (image, part), seed in ((pair, s) for pair in zip(images, parts, strict=True)
                                        for s in range(seeds)):  # fmt: skip
                spec = [{"kind": "builtin", "name": image, "size": [128, 128]}]
                trials.append(trial_row(pruner, seed, images=spec) | {"image": image})
                for level, loss in enumerate((0.0, *own)):
                    psnr = 27.0 - loss - (spread * part + 0.001 * seed if level else 0.0)
                    levels.append(level_row(trials[-1], level, psnr=psnr, **changes))
        return said_of(trials, levels)

    return made


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((0.0, 0.02, 0.8), "may match dense down to 0.25: 26.98 against 27.00 dB."),
        ((0.0, 0.02), "may match dense down to 0.25, the sparsest tried: 26.98 against 27.00 dB."),
        ((0.8, 0.9), "looks worse than dense at 0.5 and sparser: 26.20 against 27.00 dB."),
        ((0.8, 0.02), "looks worse than dense at 0.5: 26.20 against 27.00 dB."),
        ((0.8,), "looks worse than dense at 0.5: 26.20 against 27.00 dB."),
        ((0.2,), "at 0.5 is within rounding of dense: 26.80 against 27.00 dB."),
        ((-1.0, 2.0), "may match dense down to 0.5: 28.00 against 27.00 dB."),
        ((0.02, 0.8, 0.0), "may match dense down to 0.5: 26.98 against 27.00 dB."),
    ],
)
def test_how_sparse_a_method_gets(say: Say, losses: tuple[float, ...], said: str) -> None:
    [answer] = say({"magnitude": losses})
    assert plain(answer.words) == f"magnitude {said}"


class TestCertainty:
    """What is proven, and what would decide the rest."""

    def test_what_is_shown(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 1.0)}, images=IMAGES, spread=0.01, seeds=2)
        assert plain(answer.words).startswith("magnitude matches dense down to 0.5: ")
        assert answer.certainty == "Shown by 4 images. Shown to be worse from 0.25 down."

    def test_that_it_loses_is_shown_too(self, say: Say) -> None:
        [answer] = say({"magnitude": (1.0,)}, images=IMAGES, spread=0.01)
        assert plain(answer.words).startswith("magnitude is worse than dense at 0.5:")
        assert answer.certainty == "Shown by 4 images."

    def test_seeds_of_one_image_say_so(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 1.0)}, seeds=3)
        assert plain(answer.certainty).startswith("Shown by 3 seeds of one image.")

    def test_what_is_open_says_how_many_images_would_decide(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0,)}, images=IMAGES, spread=0.3)
        first, _, rest = plain(answer.certainty).partition("; ")
        assert first == "Not proven: 4 images"
        number = rest.removeprefix("it takes about ").removesuffix(" images to decide 0.5.")
        assert int(number.replace(",", "")) > 4

    def test_where_no_number_can_be_given_it_gives_none(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 0.0)}, images=IMAGES, spread=30.0)
        assert answer.certainty == "Not proven: 4 images."

    def test_one_run_proves_nothing(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 1.0)})
        assert answer.certainty == "Not proven: 1 seed of one image."

    def test_an_unfinished_dense_network_cannot_be_compared(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 1.0)}, seeds=2, unfinished=True)
        assert plain(answer.words) == "magnitude cannot be compared yet."
        assert plain(answer.certainty).startswith("The dense network's fit is unfinished")
        assert answer.fit is None

    def test_unfinished_sparse_fits_are_left_out_and_counted(
        self, trial_row: Row, level_row: Row
    ) -> None:
        trials = [trial_row(seed=seed) for seed in range(3)]
        levels = [
            level_row(trial, level, psnr=27.0 - 0.01 * level, unfinished=bool(level and seed))
            for seed, trial in enumerate(trials)
            for level in (0, 1)
        ]
        [answer] = said_of(trials, levels)
        assert plain(answer.certainty).startswith(
            "Not proven: 1 seed of one image, without 2 unfinished fits"
        )

    def test_nor_one_below_the_measurement(self, say: Say) -> None:
        [answer] = say({"magnitude": (0.0, 1.0)}, seeds=2, psnr_measured_db=30.0)
        assert plain(answer.words) == "magnitude cannot be compared yet."
        assert plain(answer.certainty) == (
            "The dense network restores worse than the measurement itself, 27.5 against 30.0 dB."
        )

    def test_nor_fits_without_a_psnr(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row()
        none = dict.fromkeys((f"psnr_{which}_db" for which in ("peak", "selected", "final")), None)
        [answer] = said_of([trial], [level_row(trial), level_row(trial, 1, **none)])
        assert plain(answer.words) == "magnitude cannot be compared yet."
        assert answer.certainty == "Fits without a PSNR leave nothing to compare."


class TestTheList:
    """Which sentences there are, and where they lead."""

    def test_the_sparsest_match_comes_first(self, say: Say) -> None:
        found = say(
            {
                "magnitude": (0.0, 0.0, 1.0),
                "random": (1.0, 2.0, 3.0),
                "snip": (0.0, 0.0, 0.0),
                "synflow": (1.0, 1.5, 1.6),
            }
        )
        assert [one.when["method"] for one in found] == ["snip", "magnitude", "synflow", "random"]

    def test_each_leads_to_a_fit_at_the_density_that_it_names(
        self, trial_row: Row, level_row: Row
    ) -> None:
        trials = [trial_row(pruner) for pruner in ("magnitude", "random")]
        levels = [
            level_row(trial, level, psnr=27.0 - loss)
            for trial, losses in zip(trials, ((0, 0, 0, 2), (0, 2, 2, 2)), strict=True)
            for level, loss in enumerate(losses)
        ]
        points = described_points(pd.DataFrame(trials), pd.DataFrame(levels))
        for answer, density in zip(said_of(trials, levels), (0.25, 0.5), strict=True):
            fit = points.loc[answer.fit]
            assert fit["method"] == answer.when["method"]
            assert fit["density"] == pytest.approx(density)

    def test_each_has_the_colour_of_its_method_in_the_figure(self, study: Any) -> None:
        [section] = sections(Content(store=study))
        assert section.figure is not None
        colours = {trace.name: trace.line.color for trace in section.figure.chosen([]).data}
        [own] = [block for block in section.blocks if isinstance(block, Answers)]
        assert {one.when["method"]: one.colour for one in own.rows} == {
            method: colours[method] for method in ("IMP (magnitude)", "random", "SNIP")
        }

    def test_tasks_and_networks_have_sentences_of_their_own(
        self, trial_row: Row, level_row: Row
    ) -> None:
        tasks = ({"kind": "denoising", "sigma": 25.0}, {"kind": "denoising", "sigma": 50.0})
        priors = ({"kind": "skip", "width": 128}, {"kind": "skip", "width": 32})
        trials = [trial_row(task=task, prior=prior) for task in tasks for prior in priors]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        table = scene_table(fits_of(described_points(pd.DataFrame(trials), pd.DataFrame(levels))))
        found = said_of(trials, levels)
        own = {(one.when["task"], one.when["prior"]) for one in found}
        assert own == {
            (task, prior) for task in set(table["task"]) for prior in set(table["network"])
        }
        assert len(found) == len(own) == 4

    def test_no_more_than_can_be_read(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        losses = {"magnitude": (0.0,), "random": (1.0,), "snip": (0.0, 0.0)}
        everything = say(losses)
        monkeypatch.setattr(answering, "MOST_ANSWERS", 2)
        assert say(losses) == everything[:2]

    def test_dense_fits_alone_say_nothing(
        self, trial_row: Row, level_row: Row, store_of: Any
    ) -> None:
        trial = trial_row()
        [section] = sections(Content(store=store_of([trial], [level_row(trial)])))
        assert not [block for block in section.blocks if isinstance(block, Answers)]


def test_names_are_text_on_the_page() -> None:
    hostile = "'\"><img src=x onerror=alert(1)>"
    answer = Answer(
        when={"task": hostile, "prior": hostile, "method": hostile},
        words=(hostile,),
        certainty=hostile,
        colour="#000000",
        fit=hostile,
    )
    block = Answers(title=hostile, rows=[answer], note=hostile)
    page = section_html(Section(name="x", title="x", blocks=(block,)))
    assert "<img" not in page
    assert page.count("data-when") == page.count("data-fit") == 1
