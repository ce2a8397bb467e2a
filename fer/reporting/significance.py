"""Which differences between a study's systems are more than chance."""

from __future__ import annotations

import pandas as pd

from fer.evaluation import significance
from fer.evaluation.significance import Predictions
from fer.reporting.results import Result


def comparisons(results: list[Result]) -> pd.DataFrame:
    """Return every pair of experiments on one dataset with the difference in accuracy and its p-value.

    The columns are those of `fer.evaluation.significance.comparisons`.
    """
    return significance.comparisons(
        [Predictions(result.name, result.first.experiment.dataset, result.predictions) for result in results]
    )
