"""Transfers in general: which pairs are compared, and what is said of sources and targets."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import crossed_table, figure_of, transfer_table
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Fold, Table, Text
from lip_ray.analysis.parts import transfer
from lip_ray.analysis.parts.crossed import ALONE

Row = Callable[..., dict[str, Any]]
IMAGES = ("astronaut", "camera", "coffee", "chelsea")
INPAINTING = {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}}


@pytest.fixture
def travelled_between(
    trial_row: Row, transfer_row: Row, level_row: Row
) -> Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Makes tickets of these images, fitted to each other with these losses in dB to native."""

    def make(
        images: tuple[str, ...], loss: Callable[[int, int, int], float], *, seeds: int = 2
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        trials, levels = [], []
        for seed in range(seeds):
            found = [
                trial_row("magnitude", seed, images=[builtin(name)]) | {"image": name}
                for name in images
            ]
            for place, own in enumerate(found):
                trials.append(own)
                levels += [level_row(own, level, psnr=25.0 + place) for level in (0, 1)]
            for i, source in enumerate(found):
                for j, target in enumerate(images):
                    if i == j:
                        continue
                    moved = transfer_row(source, target)
                    trials.append(moved)
                    dense, sparse = 25.0 + j, 25.0 + j - loss(i, j, seed)
                    levels.append(level_row(moved, 0, psnr=dense))
                    levels.append(level_row(moved, 1, psnr=sparse))
        return trials, levels

    return make


def builtin(name: str) -> dict[str, Any]:
    """An image of a spec."""
    return {"kind": "builtin", "name": name, "size": [128, 128]}


def one(table: pd.DataFrame, which: str = "selected", against: str = "native") -> Any:
    """The row of one PSNR and comparison."""
    rows = table[(table["which"] == which) & (table["against"] == against)]
    return rows.iloc[0]


def test_pairs_are_means_over_seeds_without_those_that_stayed(
    travelled_between: Callable[..., Any],
) -> None:
    def loss(i: int, j: int, seed: int) -> float:
        return 1.0 + 0.01 * i - 0.01 * j + 0.2 * seed

    trials, levels = travelled_between(IMAGES, loss)
    row = one(crossed_table(pd.DataFrame(trials), pd.DataFrame(levels)))
    assert (row["sources"], row["targets"], row["pairs"]) == (4, 4, 12)
    assert row["mean_db"] == pytest.approx(-1.1)
    assert row["verdict"] == (
        "not shown to be within 0.1 dB of native at any density; loses more from 0.5 down, shown"
    )


def test_networks_for_grey_and_colour_images_are_at_one_density(
    travelled_between: Callable[..., Any], store_of: Callable[..., Any]
) -> None:
    """They differ in a few weights, and so do the shares that they keep."""
    trials, levels = travelled_between(IMAGES, lambda i, j, seed: 1.0 + 0.01 * i - 0.01 * j)
    sizes = {"astronaut": (20_000, 100_000), "camera": (20_013, 100_066)}
    for row in levels:
        kept, total = sizes.get(row["image"], sizes["astronaut"])
        row["total"] = total
        row["kept"] = total if row["level"] == 0 else kept
        row["density"] = row["kept"] / total
    table = crossed_table(pd.DataFrame(trials), pd.DataFrame(levels))
    row = one(table)
    assert len(table) == 4, "one density, by two PSNRs, against native and dense"
    assert row["pairs"] == 12
    assert row["density"] == pytest.approx(0.2, abs=1e-4)
    assert pd.isna(row["kept"])
    assert pd.isna(row["total"])
    [matrix] = figure_of(store_of(trials, levels), "transfer").data
    cells = [text for line in matrix.text for text in line]
    assert sum(text.startswith("−") for text in cells) == 12, "all photos are in one matrix"


def test_what_depends_on_the_source_is_not_decided_by_many_targets(
    travelled_between: Callable[..., Any],
) -> None:
    """Twelve pairs agree that tickets lose, but only because two sources of four are bad."""

    def loss(i: int, j: int, seed: int) -> float:
        return (0.9 if i < 2 else 0.15) + 0.01 * j

    trials, levels = travelled_between(IMAGES, loss, seeds=1)
    frames = pd.DataFrame(trials), pd.DataFrame(levels)
    row = one(crossed_table(*frames), "peak")
    assert row["verdict"].startswith("undecided; about ")
    assert row["low_db"] < -0.1 < row["high_db"] + 0.1
    table = transfer_table(*frames)
    pooled = table[table["which"] == "selected"]["to_native_db"]
    assert pooled.mean() / (pooled.std() / 12**0.5) < -4


def test_two_images_are_two_pairs(travelled_between: Callable[..., Any]) -> None:
    trials, levels = travelled_between(IMAGES[:2], lambda i, j, seed: 0.1 * i)
    row = one(crossed_table(pd.DataFrame(trials), pd.DataFrame(levels)), against="dense")
    assert (row["pairs"], row["freedom"]) == (2, 1)


def test_one_target_has_no_verdict(travelled_between: Callable[..., Any]) -> None:
    trials, levels = travelled_between(IMAGES, lambda i, j, seed: 0.1 * i)
    kept = [one["trial_id"] for one in trials if one["kind"] == "trajectory"]
    kept += [one["trial_id"] for one in trials if one["image"] == IMAGES[0]]
    levels = pd.DataFrame(levels)
    row = one(crossed_table(pd.DataFrame(trials), levels[levels["trial_id"].isin(kept)]))
    assert (row["verdict"], row["targets"]) == (ALONE, 1)
    assert pd.isna(row["low_db"])


def test_unfinished_fits_are_in_no_mean_unless_asked_for(
    travelled_between: Callable[..., Any],
) -> None:
    def loss(i: int, j: int, seed: int) -> float:
        return 5.0 if (i, j) == (0, 1) else 0.0

    trials, levels = travelled_between(IMAGES, loss)
    frames = pd.DataFrame(trials), pd.DataFrame(levels)
    rows = frames[1]
    rows["unfinished"] = rows["psnr_selected_db"] < 22
    assert rows["unfinished"].sum() == 2
    assert one(crossed_table(*frames))["mean_db"] == pytest.approx(0, abs=1e-9)
    assert one(crossed_table(*frames, unfinished=True))["mean_db"] == pytest.approx(-5 / 12)
    table = transfer_table(*frames)
    away = table[(table["unfinished"] > 0) & (table["which"] == "peak")]
    assert away[["unfinished", "n", "n_native", "seeds"]].to_numpy().tolist() == [[2, 0, 0, 2]]
    found = transfer_table(*frames, unfinished=True)
    assert found["n"].min() == 2


def test_a_page_counts_unfinished_fits_only_where_it_is_asked_to(
    travelled_between: Callable[..., Any], store_of: Callable[..., Any]
) -> None:
    def loss(i: int, j: int, seed: int) -> float:
        return 5.0 if (i, j) == (0, 1) else 1.0

    trials, levels = travelled_between(IMAGES, loss)
    [section] = transfer.sections(Content(store=store_of(trials, levels)))
    assert not any(isinstance(block, Fold) for block in section.blocks)
    assert section.figure is not None
    assert [one.name for one in section.figure.controls] == ["which", "density"]
    for level in levels:
        level["unfinished"] = level["psnr_selected_db"] < 22
    [section] = transfer.sections(Content(store=store_of(trials, levels)))
    assert section.figure is not None
    shown = {
        words: section.figure.chosen([None, words]).data[0].text
        for words in (None, "left out", "counted")
    }
    assert shown[None] == shown["left out"] != shown["counted"]
    assert (shown["left out"][0][1], shown["counted"][0][1]) == ("", "−5.00")
    asked = figure_of(store_of(trials, levels), "transfer", choose=["unfinished fits counted"])
    assert asked.data[0].text == shown["counted"]
    fold = section.blocks[-1]
    assert isinstance(fold, Fold)
    assert fold.title == "Count unfinished fits"
    tables = [block for block in (*section.blocks, *fold.blocks) if isinstance(block, Table)]
    assert len({table.label for table in tables}) == len(tables) == 4
    assert [table.rows[0][3][:5] for table in (tables[0], tables[2])] == ["−1.00", "−1.33"]


def test_the_page_says_the_verdict_in_a_sentence(
    travelled_between: Callable[..., Any], store_of: Callable[..., Any]
) -> None:
    trials, levels = travelled_between(IMAGES, lambda i, j, seed: 1.0 + 0.01 * (i - j))
    [section] = transfer.sections(Content(store=store_of(trials, levels)))
    said = [block.words for block in section.blocks if isinstance(block, Text)]
    assert said[0] == (
        "denoising, σ = 25, against native tickets, over 4 sources and 4 targets: not shown to be "
        "within 0.1 dB of native at any density; loses more from 0.5 down, shown."
    )
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0][3].startswith("−1.00 [−1.0")


def test_a_margin_must_be_positive(travelled_between: Callable[..., Any]) -> None:
    trials, levels = travelled_between(IMAGES[:2], lambda i, j, seed: 0.0)
    with pytest.raises(ValueError, match="margin_db must be positive"):
        crossed_table(pd.DataFrame(trials), pd.DataFrame(levels), margin_db=0)
