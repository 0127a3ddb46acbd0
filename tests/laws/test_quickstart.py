"""The shipped study, whole: what the README promises of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from lip_ray.analysis import matching_table
from lip_ray.store import Reader

SELECTED_BY_PRUNER = """
select pruner, avg(psnr_selected_db) as selected, sum((levels.outcome = 'collapsed')::int) as lost
from levels join trials using (trial_id) where round(density, 2) = {density} group by all
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make quickstart` leaves."""
    folder = tmp_path_factory.mktemp("quickstart")
    lip = str(Path(sys.executable).with_name("lip"))
    subprocess.run([lip, "run", "quickstart", "--store", "store"], cwd=folder, check=True)
    return folder / "store"


def by_pruner(store: Path, density: float) -> dict[str, dict[str, float]]:
    rows = Reader(store).sql(SELECTED_BY_PRUNER.format(density=density)).to_pylist()
    return {row["pruner"]: row for row in rows}


@pytest.mark.slow
def test_imp_beats_random_pruning_where_it_matters(store: Path) -> None:
    at_a_twentieth = by_pruner(store, 0.05)
    gap = at_a_twentieth["magnitude"]["selected"] - at_a_twentieth["random"]["selected"]
    assert gap >= 2
    dense = by_pruner(store, 1)["magnitude"]["selected"]
    assert dense - at_a_twentieth["magnitude"]["selected"] <= 2


@pytest.mark.slow
def test_snip_collapses_and_imp_does_not(store: Path) -> None:
    sparsest = by_pruner(store, 0.03)
    assert sparsest["snip"]["lost"] == 3
    assert sparsest["magnitude"]["lost"] == 0


@pytest.mark.slow
def test_dense_fits_learn_and_then_overfit(store: Path) -> None:
    dense = Reader(store).sql(
        "select unfinished, psnr_peak_db - psnr_final_db as lost from levels where level = 0"
    )
    for fit in dense.to_pylist():
        assert not fit["unfinished"]
        assert fit["lost"] > 3


@pytest.mark.slow
def test_every_method_gets_a_verdict(store: Path) -> None:
    reader = Reader(store)
    verdicts = matching_table(reader.frame("trials"), reader.frame("levels"))["verdict_selected"]
    assert len(verdicts) == 3
    assert not verdicts.str.startswith("no verdict").any()
