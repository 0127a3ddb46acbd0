"""How much each searched field matters for an objective, by Optuna's evaluators."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.importance import BaseImportanceEvaluator

LEAST_POINTS = 10
"""Complete points below which importances would be chance alone."""

FANOVA, PED_ANOVA, IMPURITY = "fANOVA", "PED-ANOVA", "impurity"
EVALUATORS = (FANOVA, PED_ANOVA, IMPURITY)
"""Hutter et al. 2014, Watanabe et al. 2023, and the forest of the first by its splits."""

LOG_SPAN = 8.0
"""The ratio of a field's ends from which it is taken to be searched, and is shown, by its log."""


def importance_table(params: pd.DataFrame, values: pd.Series, *, grows: bool) -> pd.DataFrame:
    """One row per field and evaluator: its share of what the fields explain, in [0, 1].

    `params` has one column per searched field, numbers or text, and one row per complete point;
    `values` are those of one objective, better where larger if it `grows`. Fields that have one
    value in all points are left out. The shares of an evaluator add up to 1. Columns: field,
    evaluator, importance; no rows for fewer than `LEAST_POINTS` points or where no value differs.
    """
    columns = ["field", "evaluator", "importance"]
    varied = [name for name in params if params[name].nunique() > 1]
    if len(params) < LEAST_POINTS or not varied or values.nunique() < 2:
        return pd.DataFrame(columns=columns).astype({"importance": float})
    study = _study(params[varied], values, grows=grows)
    rows = [
        (name, evaluator, share)
        for evaluator in EVALUATORS
        for name, share in _shares(study, evaluator).items()
    ]
    return pd.DataFrame(rows, columns=columns)


def looks_log(values: pd.Series) -> bool:
    """Whether a field's values span so much that their logs tell more."""
    if values.dtype.kind not in "if" or not len(values) or values.min() <= 0:
        return False
    return bool(values.max() >= LOG_SPAN * values.min())


def _shares(study: "optuna.Study", evaluator: str) -> Mapping[str, float]:
    import optuna

    found = optuna.importance.get_param_importances(study, evaluator=_made(evaluator))
    return {name: share if math.isfinite(share) else 0.0 for name, share in found.items()}


def _made(evaluator: str) -> "BaseImportanceEvaluator":
    from optuna import importance

    if evaluator == FANOVA:
        return importance.FanovaImportanceEvaluator(seed=0)
    if evaluator == IMPURITY:
        return importance.MeanDecreaseImpurityImportanceEvaluator(seed=0)
    return importance.PedAnovaImportanceEvaluator()


def _study(params: pd.DataFrame, values: pd.Series, *, grows: bool) -> "optuna.Study":
    """The points as Optuna has them; ends of ranges are those that were drawn."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if grows else "minimize")
    told = {str(name): _told(params[name]) for name in params}
    distributions = {name: _distribution(own) for name, own in told.items()}
    for row, value in zip(zip(*told.values(), strict=True), values, strict=True):
        drawn = dict(zip(told, row, strict=True))
        study.add_trial(
            optuna.trial.create_trial(params=drawn, distributions=distributions, value=float(value))
        )
    return study


def _told(values: pd.Series) -> pd.Series:
    """The values of a field as Optuna takes them: numbers as they are, all else as text."""
    return values if values.dtype.kind in "if" else values.map(str)


def _distribution(values: pd.Series) -> "BaseDistribution":
    from optuna import distributions

    if values.dtype.kind not in "if":
        return distributions.CategoricalDistribution(sorted(set(values)))
    floats = values.dtype.kind == "f"
    made = distributions.FloatDistribution if floats else distributions.IntDistribution
    return made(values.min().item(), values.max().item(), log=looks_log(values))
