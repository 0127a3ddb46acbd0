"""The aggregation of all tables, against means and intervals taken one group at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lip_ray.analysis.statistics.aggregate import Groups, dense_first, score_table
from lip_ray.analysis.statistics.intervals import mean_interval, samples_of

BY = ["method", "kept"]


@pytest.fixture(scope="module")
def fits() -> pd.DataFrame:
    """Two methods, two counts, four images with one to three seeds; a fifth of the scores lack."""
    rng = np.random.default_rng(7)
    rows = [
        {"method": method, "kept": kept, "density": kept / 90, "image": image, "seed": seed}
        for method in ("random", "magnitude")
        for kept in (90, 30)
        for image in ("astronaut", "camera", "coffee", "rocket")
        for seed in range(1 + rng.integers(3))
    ]
    found = pd.DataFrame(rows).sample(frac=1, random_state=1).reset_index(drop=True)
    found["psnr"] = np.where(rng.random(len(found)) < 0.2, np.nan, rng.normal(25, 3, len(found)))
    found["outcome"] = rng.choice(["budget", "collapsed", "failed"], len(found))
    return found


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_images_are_averaged_over_their_seeds_first(fits: pd.DataFrame, confidence: float) -> None:
    groups = Groups(fits=fits, by=BY, unit="image", seed="seed", confidence=confidence)
    found = groups.interval("psnr")
    for place, key in groups.keys().iterrows():
        own = fits[(fits[BY] == key).all(axis=1)]
        known = own.dropna(subset="psnr")
        samples = samples_of(known["psnr"].tolist(), known["image"].tolist())
        expected = mean_interval(samples, confidence=confidence)
        assert found.loc[place, "n"] == expected.n == groups.images("psnr")[place]
        assert found.loc[place, ["mean", "low", "high"]].tolist() == pytest.approx(
            [expected.mean, expected.low, expected.high], rel=1e-12
        )
        assert groups.sizes()[place] == len(own)
        assert groups.missing("psnr")[place] == len(own) - len(known)
        assert groups.seeds("psnr")[place] == known["seed"].nunique()


def test_every_fit_is_independent_where_seeds_are_the_sample(fits: pd.DataFrame) -> None:
    groups = Groups(fits=fits, by=[*BY, "image"])
    for place, key in groups.keys().iterrows():
        values = fits.loc[(fits[[*BY, "image"]] == key).all(axis=1), "psnr"].dropna()
        row = groups.interval("psnr").loc[place]
        assert row["n"] == len(values) == groups.seeds("psnr")[place]
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-12, nan_ok=True)
        bounds = stats.t.interval(0.95, len(values) - 1, values.mean(), values.sem())
        expected = bounds if len(values) > 1 else (np.nan, np.nan)
        assert (row["low"], row["high"]) == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_a_repeated_seed_counts_once() -> None:
    fits = pd.DataFrame({"kept": 9, "seed": [1, 1, 2], "psnr": [20.0, 21.0, 25.0]})
    by_seed = Groups(fits=fits, by=["kept"], seed="seed").interval("psnr")
    assert by_seed["n"].tolist() == [2]
    assert Groups(fits=fits, by=["kept"]).interval("psnr")["n"].tolist() == [3]


def test_a_group_without_a_value_in_a_column_is_a_group() -> None:
    fits = pd.DataFrame({"m": [50.0, np.nan, np.nan], "psnr": [20.0, 21.0, 23.0]})
    groups = Groups(fits=fits, by=["m"])
    assert groups.sizes().tolist() == [1, 2]
    assert groups.interval("psnr")["mean"].tolist() == [20.0, 22.0]


def test_a_table_has_a_row_per_group_and_score(fits: pd.DataFrame) -> None:
    scores = {"selected": "psnr", "half": "halved"}
    groups = Groups(fits=fits.assign(halved=fits["psnr"] / 2, cost=3.0), by=BY)
    table = score_table(groups, scores, same=["density"], means={"seconds": "cost"})
    counts = ["seeds", "n", "mean", "collapsed", "diverged", "failed"]
    bounds = ["low", "high", "confidence", "missing"]
    assert [*table] == [*BY, "which", "density", "seconds", *counts, *bounds]
    assert table["which"].tolist() == ["selected"] * 4 + ["half"] * 4
    assert (table["seeds"] == table["n"] + table["missing"]).all()
    assert table["collapsed"].sum() == 2 * (fits["outcome"] == "collapsed").sum()
    assert set(table["seconds"]) == {3.0}


def test_a_table_without_fits_has_the_columns_of_one_with() -> None:
    fits = pd.DataFrame({"method": [], "kept": [], "psnr": [], "outcome": []})
    table = score_table(Groups(fits=fits, by=BY), {"selected": "psnr"})
    assert table.empty
    assert [*table][:4] == [*BY, "which", "seeds"]


def test_tables_go_from_dense_to_sparse(fits: pd.DataFrame) -> None:
    found = dense_first(Groups(fits=fits, by=BY).keys(), BY)
    rows = list(found.itertuples(index=False, name=None))
    assert rows == [("magnitude", 90), ("magnitude", 30), ("random", 90), ("random", 30)]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_within_0_and_1(fits: pd.DataFrame, confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence must be within 0 and 1"):
        Groups(fits=fits, by=BY, confidence=confidence)
