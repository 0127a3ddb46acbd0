"""Numbers of the published study without lip-ray: pandas reads its tables, SciPy has the interval.

    python examples/claims_with_pandas.py studies/lottery

Each line is a claim of studies/claims.yaml, that a ticket is not worse than the dense network by
0.1 dB at its best step: the mean difference, its 95 % interval over photos, and a verdict. All
claims of the file are tested together, so a p-value counts only if it is small for so many: here by
Bonferroni's rule, which shows a little less than Holm's, by which the table is made.
"""

import sys
from pathlib import Path

import pandas as pd
from scipy import stats

TESTS = 113  # of studies/claims.yaml
trials, levels = (
    pd.concat(map(pd.read_parquet, Path(sys.argv[1]).glob(f"*/{table}-*.parquet")))
    for table in ("trials", "levels")
)
of_trial = ["trial_id", "prior", "task_name", "seed", "kind", "method_name", "method_settings"]
fits = levels.merge(trials[of_trial], on="trial_id")
fits = fits.query("kind == 'trajectory' and prior == 'skip' and seed == 0")
imp = fits[
    fits["method_settings"].str.contains('"at": "level"') & (fits["method_name"] == "magnitude")
]
imp = imp[imp["total"] < 200_000].assign(density=imp["density"].round(2))
for sigma in (25, 50):
    task = imp[imp["task_name"] == f"denoising, σ = {sigma}"]
    dense = task[task["density"] == 1]
    for density, name in ((0.5, "half"), (0.2, "fifth"), (0.05, "twentieth")):
        both = task[task["density"] == density].merge(dense, on=["image", "seed"])
        both = both[~(both["unfinished_x"] | both["unfinished_y"]).astype(bool)]
        gain = (both["psnr_peak_db_x"] - both["psnr_peak_db_y"]).groupby(both["image"]).mean()
        low, high = stats.ttest_1samp(gain, 0).confidence_interval()
        shown = stats.ttest_1samp(gain, -0.1, alternative="greater").pvalue * TESTS <= 0.05
        said = f"{gain.mean():+.2f} [{low:+.2f}, {high:+.2f}], {len(gain)} images"
        print(f"ticket-matches-{name}-{sigma}: {said}, {'holds' if shown else 'cannot be told'}")
